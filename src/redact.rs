//! Takes out of a text what looks like a person's or a secret, for what is kept or logged.
//!
//! Invariant: in doubt it goes; what is left was in the text, and a text without anything of the
//! kind comes back as it was. It works by looks: what looks like a word stays.

use std::borrow::Cow;
use std::sync::LazyLock;

use regex::{Captures, Regex};
use serde_json::{Map, Value};

use crate::config::{looks_secret, sounds_secret};

/// One kind of thing that goes, and what stands in its place.
struct Rule(LazyLock<Regex>, &'static str);

#[expect(clippy::expect_used, reason = "patterns that a test compiles")]
fn pattern(pattern: &str) -> Regex {
    Regex::new(pattern).expect("a pattern of our own")
}

static RULES: [Rule; 6] = [
    // A value that is called a secret, whatever stands before that in its name.
    Rule(
        LazyLock::new(|| {
            pattern(
                r#"(?i)([a-z0-9_-]*(?:pass(?:word|wd|phrase)s?|pwd|secret|token|api[ _-]?key|authorization)["']?)(\s*[:=]\s*|\s+is\s+)(?:"[^"]*"?|'[^']*'?|\S+)"#,
            )
        }),
        "$1$2[secret]",
    ),
    // The same as commands take it.
    Rule(
        LazyLock::new(|| {
            pattern(
                r"(?i)(--[a-z0-9-]*(?:pass(?:word|wd|phrase)|pwd|secret|token|api-?key)\s+)[^\s-]\S*",
            )
        }),
        "$1[secret]",
    ),
    Rule(LazyLock::new(|| pattern(r"(?i)\b(bearer|basic)\s+[^\s\[]\S{7,}")), "$1 [secret]"),
    // Who logs in, in a URL.
    Rule(LazyLock::new(|| pattern(r"([A-Za-z][A-Za-z0-9+.-]*://)[^\s/?#]*@")), "$1[user]@"),
    Rule(
        LazyLock::new(|| pattern(r"[\p{L}\p{N}._%+'-]+@[\p{L}\p{N}-]+(?:\.[\p{L}\p{N}-]+)+")),
        "[email]",
    ),
    // Numbers of telephones, cards and accounts, however they are grouped.
    Rule(LazyLock::new(|| pattern(r"\d(?:[ .\-/()]{0,2}\d){6,}")), "[number]"),
];

/// What a token may consist of.
static TOKEN: LazyLock<Regex> = LazyLock::new(|| pattern(r"[A-Za-z0-9_\-+=.~/]{12,}"));

/// The text without it.
pub fn text(text: &str) -> String {
    let mut text = text.to_owned();
    // What goes may leave behind what looks like a secret only now.
    for _ in 0..8 {
        let next = once(&text);
        if next == text {
            break;
        }
        text = next;
    }
    text
}

fn once(text: &str) -> String {
    let [named, option, bearer, user, email, number] = &RULES;
    let by = |text: Cow<'_, str>, rule: &Rule| rule.0.replace_all(&text, rule.1).into_owned();
    let text = by(by(by(text.into(), bearer).into(), named).into(), option);
    let text = by(by(text.into(), user).into(), email);
    let text = TOKEN.replace_all(&text, |found: &Captures<'_>| tokens(&found[0]).into_owned());
    by(text, number)
}

/// A run of characters that tokens are made of, without those that look like one.
fn tokens(run: &str) -> Cow<'_, str> {
    if looks_secret(run) {
        return "[secret]".into();
    }
    if !run.contains(['/', '=']) {
        return run.into();
    }
    let pieces = run.split_inclusive(['/', '=']).map(|piece| {
        let bare = piece.trim_end_matches(['/', '=']);
        if looks_secret(bare) { format!("[secret]{}", &piece[bare.len()..]) } else { piece.into() }
    });
    pieces.collect::<String>().into()
}

/// The same of every text in a value, its names too; what stands under a secret's name goes whole.
pub fn value(value: &Value) -> Value {
    match value {
        Value::String(said) => text(said).into(),
        Value::Number(number) => match text(&number.to_string()) {
            redacted if redacted == number.to_string() => value.clone(),
            redacted => redacted.into(),
        },
        Value::Array(items) => items.iter().map(self::value).collect(),
        Value::Object(members) => Value::Object(object(members)),
        Value::Null | Value::Bool(_) => value.clone(),
    }
}

/// As [`value`].
pub fn object(members: &Map<String, Value>) -> Map<String, Value> {
    let member = |(name, held): (&String, &Value)| {
        let goes = sounds_secret(name) && !matches!(held, Value::Null | Value::Bool(_));
        (text(name), if goes { "[secret]".into() } else { value(held) })
    };
    members.iter().map(member).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_looks_like_a_person_or_a_secret_goes() {
        for (said, left) in [
            ("mail ada.l+x@example.co.uk about it", "mail [email] about it"),
            ("call +49 (170) 123-45 67 now", "call +[number] now"),
            ("open https://ada:pw@host.example/x", "open https://[user]@host.example/x"),
            ("password: hunter2, then log in", "password: [secret] then log in"),
            ("my api key is abc", "my api key is [secret]"),
            (
                "DB_PASSWORD=hunter2 client_secret: x1",
                "DB_PASSWORD=[secret] client_secret: [secret]",
            ),
            (r#"{"password": "hunter 2"}"#, r#"{"password": [secret]"#),
            ("mysql --password hunter2 -v", "mysql --password [secret] -v"),
            ("Authorization: Bearer abcdefgh1234", "Authorization: [secret] [secret]"),
            ("use ghp_0123456789abcdefABCDEF0123456789abcd please", "use [secret] please"),
            ("get /v1/sk-a1b2c3d4e5f6g7h8/x", "get /v1/[secret]/x"),
        ] {
            assert_eq!(text(said), left);
        }
        for plain in [
            "find the ticket about the broken build",
            "list merge requests of project 4711",
            "reset a user's password and send a token by mail",
            "list_merge_requests github/create_issue v1.2.3",
        ] {
            assert_eq!(text(plain), plain);
        }
    }

    #[test]
    fn a_value_keeps_its_shape() {
        let said = serde_json::json!({
            "to": "ada@example.com", "api_key": {"a": 1}, "n": 12, "card": 4111_1111_1111_1111_u64,
            "deep": [{"password": "x", "ok": true, "none": null}],
        });
        let left = serde_json::json!({
            "to": "[email]", "api_key": "[secret]", "n": 12, "card": "[number]",
            "deep": [{"password": "[secret]", "ok": true, "none": null}],
        });
        assert_eq!(value(&said), left);
    }

    proptest! {
        #[test]
        fn nothing_of_the_kind_is_left(
            before in "[a-z ,.]{0,20}",
            after in "[a-z ,.]{0,20}",
            user in "[a-z][a-z0-9]{2,8}",
            digits in "[0-9]{7,20}",
            token in "[A-Za-z0-9]{32}",
        ) {
            let mail = format!("{user}@example.com");
            let told = text(&format!("{before} {mail} {after}"));
            prop_assert!(!told.contains(&mail), "{}", told);
            let told = text(&format!("{before} {digits} {after}"));
            prop_assert!(!told.contains(&digits), "{}", told);
            let told = text(&format!("{before} https://{user}:{digits}@host/ {after}"));
            prop_assert!(!told.contains(&user) || before.contains(&user) || after.contains(&user));
            for said in [format!("token={token}"), format!("bearer {token}"), format!("ghp_1{token}")] {
                let told = text(&format!("{before} {said} {after}"));
                prop_assert!(!told.contains(&token), "{}", told);
            }
        }

        /// Once is enough, whatever the text.
        #[test]
        fn what_was_redacted_stays_as_it_is(said in "\\PC{0,80}") {
            let once = text(&said);
            prop_assert_eq!(text(&once), once);
        }

        #[test]
        fn plain_words_stay(words in prop::collection::vec("[a-z]{1,11}", 0..12)) {
            let plain: Vec<_> =
                words.into_iter().filter(|word| !sounds_secret(word) && word != "pwd" && word != "basic").collect();
            let plain = plain.join(" ");
            prop_assert_eq!(text(&plain), plain);
        }
    }
}
