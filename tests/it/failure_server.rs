//! Servers that die, hang and talk nonsense: what was known of them stays, and is searched.
