//! How many tokens a text has, by the tokenizer o200k of OpenAI's models.
//!
//! Invariant: a count is of the text alone. For other families it is an estimate: o200k's count
//! times a stated factor.

use std::sync::LazyLock;

use quick_cache::sync::Cache;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::tool::ContentHash;

/// Whose tokens are counted.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    Hash,
    Default,
    Serialize,
    Deserialize,
    JsonSchema,
    clap::ValueEnum,
)]
#[serde(rename_all = "snake_case")]
pub enum Family {
    /// OpenAI's models: o200k.
    #[default]
    Openai,
    /// Anthropic's models, whose tokenizer is not public: o200k and three tenths more, which is
    /// where published comparisons end. Rather too many than too few.
    Anthropic,
}

impl Family {
    /// Tenths of a token for each of o200k.
    fn tenths(self) -> usize {
        match self {
            Self::Openai => 10,
            Self::Anthropic => 13,
        }
    }

    /// This family's tokens for so many of o200k.
    pub fn tokens(self, o200k: usize) -> usize {
        o200k.saturating_mul(self.tenths()).div_ceil(10)
    }

    /// The most tokens of o200k that are no more than `tokens` of this family.
    pub fn in_o200k(self, tokens: usize) -> usize {
        tokens.saturating_mul(10) / self.tenths()
    }
}

/// Texts whose counts are kept, 32 bytes each.
const KEPT: usize = 32 * 1024;
/// Shorter ones are counted as fast as they are hashed.
const SHORT: usize = 64;

static COUNTS: LazyLock<Cache<ContentHash, u32>> = LazyLock::new(|| Cache::new(KEPT));

/// As much is counted at once: the tokenizer panics on a million spaces.
const AT_ONCE: usize = 64 * 1024;

/// The tokens of `text`. The first call loads the tokenizer: a quarter of a second and 47 MB, which
/// nobody pays who counts nothing.
pub fn count(text: &str) -> usize {
    let tokenizer = tiktoken_rs::o200k_base_singleton();
    let (mut rest, mut tokens) = (text, 0);
    while rest.len() > AT_ONCE {
        let (now, later) = rest.split_at(rest.floor_char_boundary(AT_ONCE));
        tokens += tokenizer.count_ordinary(now);
        rest = later;
    }
    tokens + tokenizer.count_ordinary(rest)
}

/// As [`count`], kept for the next time.
pub fn count_kept(text: &str) -> usize {
    if text.len() < SHORT { count(text) } else { count_as(ContentHash::of(text), || text) }
}

/// The tokens of the one text that `key` stands for; `text` makes it if it was never counted.
pub fn count_as<T: AsRef<str>>(key: ContentHash, text: impl FnOnce() -> T) -> usize {
    let counted = COUNTS.get_or_insert_with(&key, || {
        Ok::<_, std::convert::Infallible>(u32::try_from(count(text().as_ref())).unwrap_or(u32::MAX))
    });
    match counted {
        Ok(count) => count as usize,
        Err(never) => match never {},
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_as_openai_does() {
        // From OpenAI's own tiktoken, o200k_base.
        assert_eq!(count("hello world"), 2);
        assert_eq!(count("antidisestablishmentarianism"), 6);
        assert_eq!(count_kept(&"hello world ".repeat(20)), count(&"hello world ".repeat(20)));
    }

    #[test]
    fn no_text_is_too_long_or_too_odd() {
        for text in [" ".repeat(2_000_000), "\u{0}é\u{1f600}".repeat(50_000), "a".repeat(200_000)]
        {
            assert!(count(&text) >= text.len() / 200, "{}", count(&text));
        }
    }

    #[test]
    fn a_budget_in_other_tokens_is_never_overrun() {
        for family in [Family::Openai, Family::Anthropic] {
            for budget in 0..1_000 {
                assert!(family.tokens(family.in_o200k(budget)) <= budget);
                assert!(family.tokens(family.in_o200k(budget) + 1) > budget);
            }
        }
    }
}
