//! The words of plain text, without an allocation for each.
//!
//! Invariant: the same words as those of any script (a property test compares them): most tools
//! and queries are ASCII, and these are found in a tenth of the time.

use std::ops::Range;

/// Calls `each` with the words of `text`, which is ASCII.
pub(super) fn each_word(text: &str, each: &mut impl FnMut(&str)) {
    each_place(text, |word, _| each(word));
}

/// Calls `each` with the words of `text`, which is ASCII, and where they stand in it.
pub(super) fn each_place(text: &str, mut each: impl FnMut(&str, Range<usize>)) {
    let lower = text.to_ascii_lowercase();
    let bytes = text.as_bytes();
    let mut start = 0;
    while start < bytes.len() {
        if !bytes[start].is_ascii_alphanumeric() {
            start += 1;
            continue;
        }
        let length = bytes[start..].iter().take_while(|byte| byte.is_ascii_alphanumeric()).count();
        let end = start + length;
        let mut from = start;
        for at in start + 1..end {
            if begins_word(&bytes[..end], at) {
                each(&lower[from..at], from..at);
                from = at;
            }
        }
        each(&lower[from..end], from..end);
        if from > start {
            each(&lower[start..end], start..end);
        }
        start = end;
    }
}

/// A change of case before the byte `at` of a run of letters and digits that ends with `run`.
fn begins_word(run: &[u8], at: usize) -> bool {
    if !run[at].is_ascii_uppercase() {
        return false;
    }
    // The last capital of several begins the next word (`HTTPServer` is `http`, `server`), but a
    // plural is not a word: `IDs`, `URLs`.
    let next = run.get(at + 1);
    let is_plural = next == Some(&b's') && at + 2 == run.len();
    !run[at - 1].is_ascii_uppercase() || next.is_some_and(u8::is_ascii_lowercase) && !is_plural
}
