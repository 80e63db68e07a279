//! The needs inside one text: the clauses of a long task, each searched beside the whole.
//!
//! Invariant: pieces are parts of the text in its order, and a text of one clause has none, so a
//! short query is searched exactly as it stands.

use super::Query;
use crate::text::each_word;

/// Most pieces of one text; what is left over stays in the last one.
pub const MAX_PIECES: usize = 12;
/// A clause of fewer words says no need of its own and stays with its neighbour.
const FEWEST_WORDS: usize = 3;
/// Words that join two needs.
const JOINING: [&str; 8] = ["and", "then", "und", "dann", "et", "puis", "y", "luego"];

/// A text and its pieces.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parts<'a> {
    /// The text.
    pub whole: &'a str,
    /// Its clauses; none if it is one clause.
    pub pieces: Vec<&'a str>,
}

/// The vectors of a text and of its pieces.
#[derive(Debug, Clone, Default)]
pub struct PartVectors {
    /// The text's.
    pub whole: Vec<f32>,
    /// Those of [`Parts::pieces`], in order; or none, and only the whole text is searched.
    pub pieces: Vec<Vec<f32>>,
}

impl Query {
    /// The parts of every phrasing, in order.
    pub fn parts(&self) -> Vec<Parts<'_>> {
        self.texts.iter().map(|text| Parts::of(text)).collect()
    }
}

impl<'a> Parts<'a> {
    /// The parts of `text`.
    pub fn of(text: &'a str) -> Self {
        let pieces = split(text);
        Self { whole: text, pieces: if pieces.len() > 1 { pieces } else { Vec::new() } }
    }

    /// The text and then its pieces.
    pub fn texts(&self) -> impl Iterator<Item = &'a str> {
        std::iter::once(self.whole).chain(self.pieces.iter().copied())
    }
}

impl PartVectors {
    /// The vector of the text and then those of its pieces.
    pub fn texts(&self) -> impl Iterator<Item = &[f32]> {
        std::iter::once(&*self.whole).chain(self.pieces.iter().map(|piece| &**piece))
    }

    /// Of the vectors of [`Parts::texts`]; `None` if there are none.
    pub fn of(mut vectors: impl Iterator<Item = Vec<f32>>) -> Option<Self> {
        Some(Self { whole: vectors.next()?, pieces: vectors.collect() })
    }
}

/// Cuts at the ends of sentences and clauses and at joining words.
fn split(text: &str) -> Vec<&str> {
    let mut pieces: Vec<(usize, usize)> = Vec::new();
    // The last piece still waits for words of its own.
    let mut short = false;
    for (start, end) in clauses(text) {
        let mut count = 0;
        each_word(&text[start..end], |_| count += 1);
        let is_short = count < FEWEST_WORDS;
        let full = pieces.len() == MAX_PIECES;
        match pieces.last_mut() {
            Some(last) if short || is_short || full => {
                last.1 = end;
                short = false;
            }
            _ => {
                pieces.push((start, end));
                short = is_short;
            }
        }
    }
    pieces.into_iter().map(|(start, end)| text[start..end].trim()).collect()
}

/// The clauses of `text` as byte ranges; those without a letter or digit are left out.
fn clauses(text: &str) -> Vec<(usize, usize)> {
    let mut clauses = Vec::new();
    let mut start = 0;
    let mut at = 0;
    while let Some(c) = text[at..].chars().next() {
        let next = at + c.len_utf8();
        if ends_clause(c, text[next..].chars().next()) {
            clauses.push((start, at));
            start = next;
        } else if c.is_whitespace()
            && let Some(word) = joining_word(&text[next..])
        {
            clauses.push((start, at));
            start = next + word.len();
        }
        at = next.max(start);
    }
    clauses.push((start, text.len()));
    clauses.retain(|(start, end)| text[*start..*end].chars().any(char::is_alphanumeric));
    clauses
}

/// Inside `3.5`, `a:b` and `file.txt` a mark ends nothing.
fn ends_clause(c: char, next: Option<char>) -> bool {
    match c {
        '\n' | ';' | '。' | '！' | '？' | '，' | '、' | '；' => true,
        '.' | '!' | '?' | ',' | ':' => next.is_none_or(char::is_whitespace),
        _ => false,
    }
}

/// The joining word that `rest` begins with.
fn joining_word(rest: &str) -> Option<&str> {
    let word = &rest[..rest.find(char::is_whitespace)?];
    JOINING.iter().any(|joining| word.eq_ignore_ascii_case(joining)).then_some(word)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_task_of_several_needs_falls_into_them() {
        let task = "Find the pull request of Kenji, nr 35, and then post its title to #payments; \
                    thanks!";
        assert_eq!(
            Parts::of(task).pieces,
            ["Find the pull request of Kenji, nr 35", "post its title to #payments; thanks"]
        );
        assert_eq!(
            Parts::of("查询飞书多维表格里的记录，然后发送邮件给客户。").pieces,
            ["查询飞书多维表格里的记录", "然后发送邮件给客户"]
        );
    }

    #[test]
    fn one_clause_has_no_pieces() {
        for text in ["list merge requests", "drag and drop", "read a.b/c.txt", "", "and", "?!"] {
            assert_eq!(Parts::of(text).pieces, Vec::<&str>::new(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn pieces_are_parts_of_the_text_in_order(text in "\\PC{0,80}|([a-z]{1,4}[ ,.;] ?(and )?){0,40}") {
            let parts = Parts::of(&text);
            prop_assert!(parts.pieces.len() != 1 && parts.pieces.len() <= MAX_PIECES);
            let mut from = 0;
            for piece in parts.pieces {
                let at = text[from..].find(piece);
                prop_assert!(at.is_some() && !piece.is_empty());
                from += at.unwrap_or_default() + piece.len();
            }
        }
    }
}
