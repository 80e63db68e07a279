//! Words: how names, descriptions and queries become the terms that are indexed.
//!
//! Invariant: tools and queries go through the same functions, so what matches by eye matches by
//! term: `listMergeRequests`, `list_merge_requests` and `List merge requests` are the same terms.

mod ascii;
pub mod fields;
pub mod pieces;
mod said;
pub mod stuffing;
pub mod synonyms;

use std::cell::RefCell;
use std::collections::HashMap;
use std::ops::Range;

pub use said::each_said;

use rust_stemmers::{Algorithm, Stemmer};
use unicode_normalization::UnicodeNormalization;
use unicode_normalization::char::is_combining_mark;

/// Words that carry no need of their own. Short on purpose: `get`, `list` and `find` are what
/// tools are about.
const STOP_WORDS: &[&str] = &[
    "a", "an", "and", "are", "as", "at", "be", "been", "but", "by", "can", "could", "did", "do",
    "does", "for", "from", "had", "has", "have", "i", "if", "in", "into", "is", "it", "its", "me",
    "my", "of", "on", "or", "our", "please", "should", "so", "some", "than", "that", "the",
    "their", "them", "then", "there", "these", "they", "this", "those", "to", "us", "was", "we",
    "were", "what", "which", "who", "will", "with", "would", "you", "your",
];

/// The words of `text` in order: split at what is no letter or digit and at changes of case,
/// without case and accents. A word of mixed case is followed by itself unsplit (`GitHub` gives
/// `git`, `hub`, `github`); scripts without spaces give overlapping pairs of characters.
pub fn words(text: &str) -> Vec<String> {
    let mut words = Vec::new();
    each_word(text, |word| words.push(word.to_owned()));
    words
}

/// Calls `each` with the words of `text` in order, as [`words`] gives them.
pub fn each_word(text: &str, mut each: impl FnMut(&str)) {
    if text.is_ascii() {
        return ascii::each_word(text, &mut each);
    }
    // One dash in a description does not make all of it slow.
    for part in text.split_ascii_whitespace() {
        if part.is_ascii() {
            ascii::each_word(part, &mut each);
        } else {
            for word in words_of_any_script(part) {
                each(&word);
            }
        }
    }
}

/// The terms of `text`: its words without stop words, stemmed (Snowball's English).
pub fn terms(text: &str) -> Vec<String> {
    let mut terms = Vec::new();
    each_word(text, |word| terms.extend(term(word)));
    terms
}

/// The letters and digits of a name without case, accents or separators: equal for every
/// spelling of it.
pub fn name_key(text: &str) -> String {
    if text.is_ascii() {
        let kept = text.bytes().filter(u8::is_ascii_alphanumeric);
        return kept.map(|byte| char::from(byte.to_ascii_lowercase())).collect();
    }
    text.nfkd()
        .filter(|c| c.is_alphanumeric() && !is_combining_mark(*c))
        .flat_map(char::to_lowercase)
        .nfc()
        .collect()
}

/// The term that a word is indexed as; `None` for a stop word.
pub fn term(word: &str) -> Option<String> {
    thread_local! {
        static ENGLISH: Stemmer = Stemmer::create(Algorithm::English);
        static KNOWN: RefCell<HashMap<String, Option<String>>> = RefCell::default();
    }
    KNOWN.with_borrow_mut(|known| {
        if let Some(term) = known.get(word) {
            return term.clone();
        }
        let term = if is_stop_word(word) {
            None
        } else if word.len() >= 4 && word.is_ascii() {
            Some(ENGLISH.with(|english| english.stem(word).into_owned()))
        } else {
            Some(word.to_owned())
        };
        // Queries are a caller's text: the memory for them is bounded.
        if known.len() < 50_000 {
            known.insert(word.into(), term.clone());
        }
        term
    })
}

fn is_stop_word(word: &str) -> bool {
    STOP_WORDS.binary_search(&word).is_ok()
}

fn words_of_any_script(text: &str) -> Vec<String> {
    let folded: Vec<char> = text.nfkd().filter(|c| !is_combining_mark(*c)).nfc().collect();
    let mut words = Vec::new();
    each_of_any_script(&folded, &mut |_, word| words.push(word));
    words
}

/// Calls `each` with the words of a text without accents, and where they stand in it.
fn each_of_any_script(folded: &[char], each: &mut impl FnMut(Range<usize>, String)) {
    let mut start = 0;
    for run in folded.split(|c| !c.is_alphanumeric()) {
        each_of_run(folded, start..start + run.len(), each);
        start += run.len() + 1;
    }
}

/// Of one run of letters and digits.
fn each_of_run(all: &[char], run: Range<usize>, each: &mut impl FnMut(Range<usize>, String)) {
    let mut start = run.start;
    while start < run.end {
        let unspaced = is_unspaced(all[start]);
        let rest = &all[start..run.end];
        let length = rest.iter().position(|c| is_unspaced(*c) != unspaced).unwrap_or(rest.len());
        let part = start..start + length;
        if unspaced {
            each_pair(all, part, each);
        } else {
            each_cased(all, part, each);
        }
        start += length;
    }
}

fn each_cased(all: &[char], part: Range<usize>, each: &mut impl FnMut(Range<usize>, String)) {
    let chars = &all[part.clone()];
    let mut start = 0;
    let mut found = 0;
    let mut tell = |from: usize, to: usize| {
        let word = word_of(&chars[from..to]);
        if !word.is_empty() {
            each(part.start + from..part.start + to, word);
            found += 1;
        }
        found
    };
    for at in 1..chars.len() {
        let (last, this) = (chars[at - 1], chars[at]);
        let after_lower = !is_capital(last) && is_capital(this);
        // The last capital of a run begins the next word: `HTTPServer` is `http`, `server`.
        let ends_capitals = is_capital(last)
            && is_capital(this)
            && chars.get(at + 1).is_some_and(|next| next.is_lowercase())
            // A plural is not a word: `IDs`, `URLs`.
            && !(chars.get(at + 1) == Some(&'s') && at + 2 == chars.len());
        if after_lower || ends_capitals {
            tell(start, at);
            start = at;
        }
    }
    if tell(start, chars.len()) > 1 {
        tell(0, chars.len());
    }
}

/// A letter that has another form in lower case; `🅐` is upper case by name only.
fn is_capital(c: char) -> bool {
    c.is_uppercase() && !c.to_lowercase().eq([c])
}

fn word_of(chars: &[char]) -> String {
    // Some letters lower to several characters of which one is a mark.
    chars
        .iter()
        .flat_map(|c| c.to_lowercase())
        .filter(|c| c.is_alphanumeric() && !is_combining_mark(*c))
        .collect()
}

fn each_pair(all: &[char], part: Range<usize>, each: &mut impl FnMut(Range<usize>, String)) {
    let text = |range: Range<usize>| all[range].iter().collect::<String>();
    if part.len() == 1 {
        each(part.clone(), text(part.clone()));
    }
    for at in part.start + 1..part.end {
        each(at - 1..at + 1, text(at - 1..at + 1));
    }
}

/// Scripts that are written without spaces between words.
fn is_unspaced(c: char) -> bool {
    matches!(u32::from(c),
        0x0E00..=0x0EFF // Thai, Lao
        | 0x1000..=0x109F | 0x1780..=0x17FF // Myanmar, Khmer
        | 0x3005..=0x3007 | 0x3040..=0x30FF | 0x31F0..=0x31FF // Kana
        | 0x3400..=0x4DBF | 0x4E00..=0x9FFF | 0xF900..=0xFAFF | 0x20000..=0x3FFFF // Han
        | 0xAC00..=0xD7AF // Hangul: spaced, but by phrase, not by word
    )
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn one_name_in_any_spelling() {
        for spelling in ["list_merge_requests", "List merge requests", "list-merge.requests"] {
            assert_eq!(words(spelling), ["list", "merge", "requests"], "{spelling}");
        }
        assert_eq!(words("listMergeRequests"), ["list", "merge", "requests", "listmergerequests"]);
        assert_eq!(name_key("listMergeRequests"), name_key("List merge/requests"));
    }

    #[test]
    fn capitals_digits_accents_and_scripts() {
        assert_eq!(words("HTTPServer"), ["http", "server", "httpserver"]);
        assert_eq!(words("userIDs"), ["user", "ids", "userids"]);
        assert_eq!(words("A🅐"), ["a🅐"]);
        assert_eq!(words("s3 k8s EC2"), ["s3", "k8s", "ec2"]);
        assert_eq!(words("Crème brûlée"), ["creme", "brulee"]);
        assert_eq!(words("搜索网页 x"), ["搜索", "索网", "网页", "x"]);
    }

    #[test]
    fn terms_meet_across_forms() {
        assert_eq!(terms("searching the repositories"), terms("search repository"));
        assert_eq!(terms("what is it"), Vec::<String>::new());
    }

    #[test]
    fn stop_words_are_sorted_for_the_search() {
        assert!(STOP_WORDS.is_sorted());
    }

    proptest! {
        #[test]
        fn words_of_words_are_the_same_words(text in "\\PC*") {
            let once = words(&text);
            // A pair of unspaced characters stands for itself only when taken alone.
            let again: Vec<String> = once.iter().flat_map(|word| words(word)).collect();
            prop_assert_eq!(again, once);
        }

        #[test]
        fn plain_text_has_the_words_of_any_script(text in "[ -~]*|([a-zA-Z0-9s_ ]{0,9}){0,9}|(\\PC|[a-z \\t\\n]){0,40}") {
            prop_assert_eq!(words(&text), words_of_any_script(&text));
        }

        #[test]
        fn any_text_has_terms_without_panic(text in any::<String>()) {
            for term in terms(&text) {
                prop_assert!(!term.is_empty());
            }
        }
    }
}
