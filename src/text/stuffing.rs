//! Words that are said again, and whether a text says the same few over and over.
//!
//! Invariant: to be stuffing it takes words that hardly differ, in a window or from the beginning on, as hardly any
//! honest text has them (`docs/trust.md` has the figures).

use std::collections::HashSet;

/// Words that are looked at together.
const WINDOW: usize = 20;
/// One of them so often, or
const SAME: usize = 12;
/// no more than so many different ones, are stuffing.
const DIFFERENT: usize = 4;
/// Of at least so many words from the beginning on, and at most
const MANY: usize = 40;
/// so many,
const FIRST: usize = 200;
/// one in so many being another one is stuffing as well.
const TIMES: usize = 6;
/// Shorter words, and numbers, do not count.
const SHORTEST: usize = 3;

/// Where a text says the same few words over and over: its bytes from where to where.
pub fn find(text: &str) -> Option<std::ops::Range<usize>> {
    // The window can't be full.
    if text.len() < WINDOW * (SHORTEST + 1) - 1 {
        return None;
    }
    let mut window = [(0_u64, 0_usize); WINDOW];
    let (mut held, mut different) = (0, 0);
    let mut found = None;
    each_word(text, |word, start, end| {
        let at = held % WINDOW;
        let is = |other: u64, but: usize| {
            let filled = held.min(WINDOW);
            (0..filled).filter(|place| *place != but && window[*place].0 == other).count()
        };
        if held >= WINDOW && is(window[at].0, at) == 0 {
            different -= 1;
        }
        // The oldest word's place is taken.
        let same = is(word, if held >= WINDOW { at } else { WINDOW });
        different += usize::from(same == 0);
        window[at] = (word, start);
        held += 1;
        if held >= WINDOW && (same + 1 >= SAME || different <= DIFFERENT) {
            let first = window[held % WINDOW].1;
            found = Some(first..end);
        }
        found.is_none()
    });
    found.or_else(|| repeated(text))
}

/// The text without the words that it has said before.
pub fn once(text: &str) -> String {
    let mut said: HashSet<u64, foldhash::fast::FixedState> =
        HashSet::with_capacity_and_hasher(text.len() / 6, foldhash::fast::FixedState::default());
    let mut kept = String::with_capacity(text.len());
    let mut from = 0;
    each_word(text, |word, start, end| {
        if !said.insert(word) {
            kept.push_str(&text[from..start]);
            from = end;
        }
        true
    });
    kept.push_str(&text[from..]);
    kept
}

/// The beginning of a text that says everything many times.
fn repeated(text: &str) -> Option<std::ops::Range<usize>> {
    if text.len() < MANY * (SHORTEST + 1) - 1 {
        return None;
    }
    let mut different: HashSet<u64, foldhash::fast::FixedState> = HashSet::default();
    let (mut words, mut last) = (0, 0);
    each_word(text, |word, _, end| {
        different.insert(word);
        words += 1;
        last = end;
        words < FIRST
    });
    (words >= MANY && different.len() * TIMES <= words).then_some(0..last)
}

/// Calls `each` with a hash of every word that counts, and where it begins and ends, until it says
/// no.
fn each_word(text: &str, mut each: impl FnMut(u64, usize, usize) -> bool) {
    let (mut hash, mut letters, mut start, mut is_number) = (0_u64, 0, 0, true);
    for (at, c) in text.char_indices().chain([(text.len(), ' ')]) {
        if c.is_alphanumeric() {
            if letters == 0 {
                (hash, start, is_number) = (0xcbf2_9ce4_8422_2325, at, true);
            }
            let lower = if c.is_ascii() {
                u64::from(c.to_ascii_lowercase())
            } else {
                c.to_lowercase().fold(0, |all, c| all * 31 + u64::from(c))
            };
            // FNV-1a.
            hash = (hash ^ lower).wrapping_mul(0x0100_0000_01b3);
            letters += 1;
            is_number &= c.is_ascii_digit();
        } else if letters > 0 {
            let counts = letters >= SHORTEST && !is_number;
            letters = 0;
            if counts && !each(hash, start, at) {
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use proptest::prelude::*;

    use super::*;

    /// The same, window by window.
    fn naive(text: &str) -> bool {
        let words: Vec<String> = text
            .split(|c: char| !c.is_alphanumeric())
            .filter(|word| word.chars().count() >= SHORTEST)
            .filter(|word| !word.chars().all(|c| c.is_ascii_digit()))
            .map(str::to_lowercase)
            .collect();
        let first = &words[..words.len().min(FIRST)];
        let different: HashSet<&String> = first.iter().collect();
        let is_repeated = first.len() >= MANY && different.len() * TIMES <= first.len();
        is_repeated
            || words.windows(WINDOW).any(|window| {
                let mut counts: HashMap<&str, usize> = HashMap::new();
                for word in window {
                    *counts.entry(word).or_default() += 1;
                }
                counts.len() <= DIFFERENT || counts.values().any(|count| *count >= SAME)
            })
    }

    proptest! {
        #[test]
        fn agrees_with_counting_every_window(
            text in "(send|mail|Mail|list|page|the|an|123|x1y|naïve|[a-h]{3}|[ ,.]){0,160}",
        ) {
            let spaced: String = text.replace("mail", " mail ").replace("send", " send ");
            for text in [text.as_str(), spaced.as_str()] {
                prop_assert_eq!(find(text).is_some(), naive(text), "{}", text);
            }
        }
    }

    proptest! {
        #[test]
        fn saying_words_again_adds_none(
            words in prop::collection::vec("[a-zA-Zß]{3,9}", 1..20),
            again in prop::collection::vec(any::<prop::sample::Index>(), 0..40),
        ) {
            let text = words.join(" ");
            let again: Vec<&str> = again.iter().map(|at| words[at.index(words.len())].as_str()).collect();
            let stuffed = once(&format!("{text}, {}", again.join(" ")));
            let told = |text: &str| {
                let mut told = Vec::new();
                each_word(text, |word, _, _| { told.push(word); true });
                told
            };
            prop_assert_eq!(told(&stuffed), told(&once(&text)));
        }
    }

    #[test]
    fn a_word_is_kept_once_and_all_else_as_it_was() {
        assert_eq!(once("Send mail, send MAIL: to 3 to 3."), "Send mail,  : to 3 to 3.");
        assert_eq!(once("Überblick überblick"), "Überblick ");
        assert_eq!(once("nothing twice"), "nothing twice");
    }

    #[test]
    fn the_place_is_told() {
        let honest = "Sends a message to somebody and returns when it was delivered. ";
        let text = format!("{honest}{}", "mail send mail letter mail ".repeat(9));
        let at = find(&text).unwrap();
        assert!(at.start < honest.len() + 40 && text[at].contains("mail send mail"));
        assert_eq!(find(&honest.repeat(2)), None);
        assert!(find(&honest.repeat(8)).is_some());
    }
}
