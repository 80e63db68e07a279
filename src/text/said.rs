//! The words of a text as they stand in it, for who shows what matched.
//!
//! Invariant: the words are those that are indexed, in their order (a property test compares them),
//! each with a part of the text that has it.

use unicode_normalization::UnicodeNormalization;
use unicode_normalization::char::is_combining_mark;

use super::{ascii, each_of_any_script, words_of_any_script};

/// Calls `each` with every word of `text`, as [`super::words`] gives them, after the part of the text that says
/// it: `Create` and `create`, `Brûlée` and `brulee`.
pub fn each_said<'t>(text: &'t str, mut each: impl FnMut(&'t str, &str)) {
    for part in text.split_ascii_whitespace() {
        if part.is_ascii() {
            ascii::each_place(part, |word, place| each(&part[place], word));
        } else {
            for (said, word) in said_in_any_script(part) {
                each(said, &word);
            }
        }
    }
}

fn said_in_any_script(part: &str) -> Vec<(&str, String)> {
    // Each character by itself, so that it is known where it came from.
    let (mut folded, mut from): (Vec<char>, Vec<usize>) = Default::default();
    for (at, c) in part.char_indices() {
        for c in std::iter::once(c).nfkd().filter(|c| !is_combining_mark(*c)).nfc() {
            folded.push(c);
            from.push(at);
        }
    }
    let mut said = Vec::new();
    let mut is_apart = true;
    let begins = |at: usize| at == 0 || at == from.len() || from[at - 1] != from[at];
    each_of_any_script(&folded, &mut |place, word| {
        is_apart &= begins(place.start) && begins(place.end);
        // Marks belong to the letter before them.
        let end = from.get(place.end).copied().unwrap_or(part.len());
        said.push((&part[from[place.start]..end], word));
    });
    let words = words_of_any_script(part);
    if is_apart && said.iter().map(|(_, word)| word).eq(&words) {
        return said;
    }
    // Characters of which one is in two words, or several make another: all of it says each word.
    words.into_iter().map(|word| (part, word)).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::words;
    use super::*;

    fn said(text: &str) -> Vec<(&str, String)> {
        let mut all = Vec::new();
        each_said(text, |said, word| all.push((said, word.to_owned())));
        all
    }

    fn surfaces(text: &str) -> Vec<&str> {
        said(text).into_iter().map(|(said, _)| said).collect()
    }

    #[test]
    fn words_are_shown_as_they_stand_there() {
        assert_eq!(
            surfaces("Create events, create_event"),
            ["Create", "events", "create", "event"]
        );
        assert_eq!(surfaces("listHTTPServers"), ["list", "HTTP", "Servers", "listHTTPServers"]);
        assert_eq!(surfaces("the Crème\u{301}-brûlée"), ["the", "Crème\u{301}", "brûlée"]);
        assert_eq!(surfaces("搜索网页"), ["搜索", "索网", "网页"]);
        assert_eq!(surfaces("½ﬁne"), ["½ﬁne", "½ﬁne"], "a half is a one and a two");
    }

    proptest! {
        #[test]
        fn they_are_the_words_that_are_indexed(text in "\\PC*|(\\PC|[a-zA-Z é½ﬁⅡ각ᄀ\u{1161}\u{301}]){0,40}") {
            let said = said(&text);
            let found: Vec<String> = said.iter().map(|(_, word)| word.clone()).collect();
            prop_assert_eq!(found, words(&text));
            for (said, word) in said {
                prop_assert!(text.contains(said));
                prop_assert!(words(said).contains(&word), "{:?} is not in {:?}", word, said);
            }
        }
    }
}
