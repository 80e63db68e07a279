//! `${VAR}`, `${VAR:-default}` and `${env:VAR}` in the strings of a server entry.
//!
//! Invariant: text without `${` comes back unchanged, so `$$` and `$VAR` stay as they are.

use super::Environment;
use super::error::Problem;

/// Expanded text, and what the environment put into it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Expanded {
    pub text: String,
    /// Values of variables, to be hidden wherever the text is shown.
    pub filled_in: Vec<String>,
}

/// Variables whose values are no secrets.
const PLAIN: [&str; 6] = ["HOME", "USER", "PWD", "PATH", "TMPDIR", "LANG"];

/// Fills in the variables of `text`.
pub(super) fn expand(text: &str, environment: &Environment<'_>) -> Result<Expanded, Problem> {
    let mut expanded = Expanded { text: String::with_capacity(text.len()), filled_in: Vec::new() };
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("${") {
        expanded.text.push_str(before);
        let Some((reference, behind)) = after.split_once('}') else {
            return Err(Problem::Reference("an unclosed `${`".into()));
        };
        rest = behind;
        let (name, default) = match reference.split_once(":-") {
            Some((name, default)) => (name, Some(default)),
            None => (reference, None),
        };
        let name = name.strip_prefix("env:").unwrap_or(name);
        if !is_name(name) {
            return Err(Problem::Reference(format!("`${{{name}}}`")));
        }
        // As in a shell, `:-` also stands in for a variable that is set but empty.
        match (environment(name), default) {
            (Some(value), _) if default.is_none() || !value.is_empty() => {
                expanded.text.push_str(&value);
                if !value.is_empty() && !PLAIN.contains(&name) {
                    expanded.filled_in.push(value);
                }
            }
            (_, Some(default)) => expanded.text.push_str(default),
            (_, None) => return Err(Problem::Unset(name.into())),
        }
    }
    expanded.text.push_str(rest);
    Ok(expanded)
}

fn is_name(name: &str) -> bool {
    let mut bytes = name.bytes();
    bytes.next().is_some_and(|first| first.is_ascii_alphabetic() || first == b'_')
        && bytes.all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn environment(name: &str) -> Option<String> {
        match name {
            "TOKEN" => Some("s3cret".into()),
            "HOME" => Some("/home/ada".into()),
            "EMPTY" => Some(String::new()),
            _ => None,
        }
    }

    fn text(from: &str) -> Result<String, Problem> {
        expand(from, &environment).map(|expanded| expanded.text)
    }

    #[test]
    fn fills_in_variables_and_defaults() {
        assert_eq!(text("Bearer ${TOKEN}!").unwrap(), "Bearer s3cret!");
        assert_eq!(text("${env:TOKEN}${TOKEN}").unwrap(), "s3crets3cret");
        assert_eq!(text("${NONE:-a:-b}").unwrap(), "a:-b");
        assert_eq!(text("${env:NONE:-}").unwrap(), "");
        assert_eq!(text("${EMPTY:-x}${EMPTY}").unwrap(), "x");
        assert_eq!(text("$$ $TOKEN $").unwrap(), "$$ $TOKEN $");
        assert_eq!(text("$${TOKEN}").unwrap(), "$s3cret");
    }

    #[test]
    fn remembers_what_must_be_hidden() {
        let expanded = expand("${HOME}/${TOKEN}/${NONE:-x}", &environment).unwrap();
        assert_eq!(expanded.filled_in, ["s3cret"]);
    }

    #[test]
    fn names_what_is_missing() {
        assert_eq!(text("${NONE}"), Err(Problem::Unset("NONE".into())));
        for odd in ["${", "${TOKEN", "${}", "${1A}", "${input:key}", "${A B}"] {
            assert!(matches!(text(odd), Err(Problem::Reference(_))), "{odd} was taken");
        }
    }

    proptest! {
        #[test]
        fn never_panics(text in r"(\$|\{|\}|:|-|env:|TOKEN|é|[a-zA-Z]|\PC){0,24}") {
            let _ = expand(&text, &environment);
        }

        #[test]
        fn leaves_other_text_alone(text in r"(\$|\}|:|-|env:|TOKEN|é|\PC){0,24}") {
            prop_assume!(!text.contains("${"));
            prop_assert_eq!(expand(&text, &environment).unwrap().text, text);
        }

        #[test]
        fn keeps_what_stands_around(before in "[^$]{0,12}", after in "[^$]{0,12}") {
            let text = format!("{before}${{TOKEN}}{after}");
            prop_assert_eq!(
                expand(&text, &environment).unwrap().text,
                format!("{before}s3cret{after}")
            );
        }
    }
}
