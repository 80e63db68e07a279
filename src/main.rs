//! The `toolscout` command: parse, dispatch, exit code.

fn main() {}
