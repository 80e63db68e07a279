//! Word pieces: a text as the ids of a vocabulary's longest matching parts of words.
//!
//! The splitting is that of `WordPiece` (Schuster and Nakajima 2012, "Japanese and Korean Voice
//! Search"), over words cut as identifiers are: at changes of case and at all that is no letter
//! or digit, without case and accents. Invariant: the same text gives the same ids as in
//! training; `scripts/train/` writes the examples that the tests hold it to.

use std::collections::HashMap;

use unicode_normalization::UnicodeNormalization;
use unicode_normalization::char::is_combining_mark;

/// A word of more characters is passed over, as `BERT`'s tokenizer does.
const LONGEST_WORD: usize = 100;

/// Memory to work in, kept from text to text.
#[derive(Debug, Default)]
pub struct Memory {
    chars: Vec<char>,
    word: String,
}

/// A vocabulary.
#[derive(Debug)]
pub struct Pieces {
    /// Pieces that begin a word.
    begin: HashMap<String, u32>,
    /// Pieces inside a word, without the `##` that marks them in the file.
    inside: HashMap<String, u32>,
    /// Bytes of the longest piece.
    longest: usize,
}

impl Pieces {
    /// The vocabulary in `lines`, one piece a line; its id is the number of its line.
    pub fn parse(lines: &str) -> Self {
        let (mut begin, mut inside) = (HashMap::new(), HashMap::new());
        for (id, piece) in (0_u32..).zip(lines.lines()) {
            match piece.strip_prefix("##") {
                Some(rest) if !rest.is_empty() => inside.insert(rest.to_owned(), id),
                _ => begin.insert(piece.to_owned(), id),
            };
        }
        let longest = begin.keys().chain(inside.keys()).map(String::len).max().unwrap_or(0);
        Self { begin, inside, longest }
    }

    /// Puts the ids of at most `limit` pieces of `text` into `ids`, in order. A word with a part
    /// that no piece fits is passed over.
    pub fn split(&self, text: &str, limit: usize, memory: &mut Memory, ids: &mut Vec<u32>) {
        let Memory { chars, word } = memory;
        chars.clear();
        chars.extend(text.nfd().filter(|c| !is_combining_mark(*c)));
        ids.clear();
        word.clear();
        for (at, &c) in chars.iter().enumerate() {
            let alone = is_ideograph(c);
            if alone || !c.is_alphanumeric() || begins_word(chars, at) {
                self.push(word, ids);
            }
            if c.is_alphanumeric() {
                word.extend(c.to_lowercase());
            }
            if alone {
                self.push(word, ids);
            }
            if ids.len() >= limit {
                break;
            }
        }
        self.push(word, ids);
        ids.truncate(limit);
    }

    /// Puts the pieces of `word` after `ids` and empties it.
    fn push(&self, word: &mut String, ids: &mut Vec<u32>) {
        let before = ids.len();
        let mut rest = word.as_str();
        if rest.chars().nth(LONGEST_WORD).is_some() {
            rest = "";
        }
        let mut pieces = &self.begin;
        while !rest.is_empty() {
            let most = rest.floor_char_boundary(self.longest);
            let piece = (1..=most)
                .rev()
                .filter(|end| rest.is_char_boundary(*end))
                .find_map(|end| Some((end, *pieces.get(&rest[..end])?)));
            let Some((end, id)) = piece else {
                ids.truncate(before);
                break;
            };
            ids.push(id);
            rest = &rest[end..];
            pieces = &self.inside;
        }
        word.clear();
    }
}

/// A change of case before the character `at`, inside an identifier: `getPage`, `HTTPServer`, but
/// not the plural of `URLs`.
fn begins_word(chars: &[char], at: usize) -> bool {
    let c = |at: usize| chars.get(at).copied().unwrap_or(' ');
    if at == 0 || !c(at).is_ascii_uppercase() {
        return false;
    }
    let last = c(at - 1);
    let plural = c(at + 1) == 's' && !c(at + 2).is_alphanumeric();
    last.is_ascii_lowercase()
        || last.is_ascii_digit()
        || last.is_ascii_uppercase() && c(at + 1).is_ascii_lowercase() && !plural
}

/// Characters that are words of their own in `BERT`'s vocabularies.
fn is_ideograph(c: char) -> bool {
    matches!(u32::from(c),
        0x3400..=0x4DBF | 0x4E00..=0x9FFF | 0xF900..=0xFAFF | 0x20000..=0x2CEAF | 0x2F800..=0x2FA1F)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde::Deserialize;

    use super::*;

    const VOCABULARY: &str = include_str!("../../index-data/models/scout/vocab.txt");

    #[derive(Deserialize)]
    struct Example {
        text: String,
        ids: Vec<u32>,
    }

    fn ids(pieces: &Pieces, text: &str) -> Vec<u32> {
        let mut ids = Vec::new();
        pieces.split(text, usize::MAX, &mut Memory::default(), &mut ids);
        ids
    }

    #[test]
    fn texts_split_as_in_training() {
        let pieces = Pieces::parse(VOCABULARY);
        for line in include_str!("../../tests/fixtures/pieces.jsonl").lines() {
            let example: Example = serde_json::from_str(line).unwrap();
            assert_eq!(ids(&pieces, &example.text), example.ids, "{}", example.text);
        }
    }

    #[test]
    fn a_limit_is_kept_and_memory_leaves_no_trace() {
        let pieces = Pieces::parse(VOCABULARY);
        let (mut memory, mut split) = (Memory::default(), Vec::new());
        pieces.split("one two three four", 3, &mut memory, &mut split);
        assert_eq!(split, ids(&pieces, "one two three"));
        pieces.split("four", 3, &mut memory, &mut split);
        assert_eq!(split, ids(&pieces, "four"));
    }

    proptest! {
        #[test]
        fn any_text_splits_and_case_and_marks_do_not_matter(text in any::<String>()) {
            let pieces = Pieces::parse("a\nb\n##a\n##b\nab");
            let split = ids(&pieces, &text);
            prop_assert!(split.iter().all(|id| *id < 5));
            prop_assert_eq!(ids(&pieces, &format!("{text}\u{301}")), split);
        }

        #[test]
        fn longest_first_as_a_naive_search_does(word in "[ab]{1,12}") {
            let vocabulary = ["a", "b", "##a", "##b", "ab", "##bab", "##aa"];
            let pieces = Pieces::parse(&vocabulary.join("\n"));
            let mut naive = Vec::new();
            let mut rest = word.clone();
            let mut mark = "";
            while !rest.is_empty() {
                let end = (1..=rest.len())
                    .rev()
                    .find(|end| vocabulary.contains(&format!("{mark}{}", &rest[..*end]).as_str()))
                    .unwrap();
                naive.push(format!("{mark}{}", &rest[..end]));
                rest.drain(..end);
                mark = "##";
            }
            let split: Vec<&str> =
                ids(&pieces, &word).iter().map(|id| vocabulary[*id as usize]).collect();
            prop_assert_eq!(split, naive);
        }
    }
}
