//! Every string of a definition, with the place where it stands.
//!
//! Invariant: the text is JSON (a definition always is), so each string is met once, keys too,
//! however deep it lies, and nothing else is read.

use std::borrow::Cow;

/// Longer pointers are cut at a name.
pub const MOST_POINTER: usize = 1 << 10;

/// A string.
pub struct Found<'a, 'p> {
    /// Its text; half a surrogate pair reads as U+FFFD.
    pub text: Cow<'a, str>,
    /// It is the name of a member, not a value.
    pub is_key: bool,
    path: &'p [Step<'a>],
}

enum Step<'a> {
    /// In an object, at this member; `None` before its first.
    Member(Option<&'a str>),
    /// In an array, at this place.
    Item(usize),
}

impl Found<'_, '_> {
    /// Where it stands, as a JSON pointer; that of its value for a name. Where that would be longer
    /// than [`MOST_POINTER`], what it is in.
    pub fn pointer(&self) -> String {
        let mut pointer = String::new();
        for step in self.path {
            let step: Cow<'_, str> = match step {
                // Read, it would be longer than a sixth of this.
                Step::Member(Some(name)) if name.len() > 6 * MOST_POINTER => break,
                Step::Member(name) => {
                    read(name.unwrap_or("")).replace('~', "~0").replace('/', "~1").into()
                }
                Step::Item(at) => at.to_string().into(),
            };
            if pointer.len() + 1 + step.len() > MOST_POINTER {
                break;
            }
            pointer.push('/');
            pointer.push_str(&step);
        }
        pointer
    }

    /// It is there to be read.
    pub fn is_prose(&self) -> bool {
        !self.is_key
            && matches!(self.path.last(), Some(Step::Member(Some("description" | "title"))))
    }

    /// It is a name, of the tool or of a member, and no sentence.
    pub fn is_name(&self) -> bool {
        self.is_key || matches!(self.path, [Step::Member(Some("name"))])
    }
}

/// Calls `each` with every string of `json`, in its order.
pub fn each<'a>(json: &'a str, mut each: impl FnMut(&Found<'a, '_>)) {
    let bytes = json.as_bytes();
    let mut path: Vec<Step<'a>> = Vec::new();
    let mut expects_key = false;
    let mut at = 0;
    while let Some(byte) = bytes.get(at) {
        at += 1;
        match byte {
            b'{' => {
                path.push(Step::Member(None));
                expects_key = true;
            }
            b'[' => {
                path.push(Step::Item(0));
                expects_key = false;
            }
            b'}' | b']' => {
                path.pop();
                expects_key = false;
            }
            b',' => match path.last_mut() {
                Some(Step::Item(at)) => *at += 1,
                _ => expects_key = true,
            },
            b'"' => {
                let start = at;
                while let Some(byte) = bytes.get(at) {
                    match byte {
                        b'"' => break,
                        b'\\' => at += 2,
                        _ => at += 1,
                    }
                }
                let raw = json.get(start..at).unwrap_or("");
                at += 1;
                let is_key = std::mem::take(&mut expects_key);
                if let (true, Some(Step::Member(name))) = (is_key, path.last_mut()) {
                    *name = Some(raw);
                }
                each(&Found { text: read(raw), is_key, path: &path });
            }
            _ => {}
        }
    }
}

/// A string as it is written between its quotes, read.
fn read(raw: &str) -> Cow<'_, str> {
    if !raw.contains('\\') {
        return Cow::Borrowed(raw);
    }
    let mut text = String::with_capacity(raw.len());
    let mut units: Vec<u16> = Vec::new();
    let mut rest = raw.chars();
    while let Some(c) = rest.next() {
        if c != '\\' {
            flush(&mut units, &mut text);
            text.push(c);
            continue;
        }
        let escaped = rest.next().unwrap_or('\\');
        if escaped == 'u' {
            let digits: String = rest.by_ref().take(4).collect();
            units.push(u16::from_str_radix(&digits, 16).unwrap_or(0xFFFD));
            continue;
        }
        flush(&mut units, &mut text);
        text.push(match escaped {
            'n' => '\n',
            'r' => '\r',
            't' => '\t',
            'b' => '\u{8}',
            'f' => '\u{c}',
            other => other,
        });
    }
    flush(&mut units, &mut text);
    Cow::Owned(text)
}

fn flush(units: &mut Vec<u16>, text: &mut String) {
    text.extend(char::decode_utf16(units.drain(..)).map(|c| c.unwrap_or('\u{FFFD}')));
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::Value;

    use super::*;

    fn strings(json: &str) -> Vec<(String, bool, String)> {
        let mut all = Vec::new();
        each(json, |found| {
            all.push((found.text.clone().into_owned(), found.is_key, found.pointer()));
        });
        all
    }

    /// The same of a value that was read.
    fn of(value: &Value, pointer: &str, all: &mut Vec<(String, bool, String)>) {
        match value {
            Value::String(text) => all.push((text.clone(), false, pointer.into())),
            Value::Array(items) => {
                for (at, item) in items.iter().enumerate() {
                    of(item, &format!("{pointer}/{at}"), all);
                }
            }
            Value::Object(members) => {
                for (name, value) in members {
                    let at = format!("{pointer}/{}", name.replace('~', "~0").replace('/', "~1"));
                    all.push((name.clone(), true, at.clone()));
                    of(value, &at, all);
                }
            }
            _ => {}
        }
    }

    fn json() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            any::<String>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            Just(Value::Null),
        ];
        leaf.prop_recursive(4, 24, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                prop::collection::btree_map("[a-c~/\"\\\\]{0,2}", inner, 0..4)
                    .prop_map(|map| Value::Object(map.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn meets_what_a_reader_meets(value in json(), pretty in any::<bool>()) {
            let text = if pretty {
                serde_json::to_string_pretty(&value).unwrap()
            } else {
                value.to_string()
            };
            let mut wanted = Vec::new();
            of(&value, "", &mut wanted);
            prop_assert_eq!(strings(&text), wanted);
        }
    }

    #[test]
    fn escapes_and_halves() {
        let all = strings(r#"{"a\u0062":["\ud83d\ude00 \ud83d x\n", 1e400, {"k":"\"v\\"}]}"#);
        let wanted = [
            ("ab", true, "/ab"),
            ("\u{1F600} \u{FFFD} x\n", false, "/ab/0"),
            ("k", true, "/ab/2/k"),
            ("\"v\\", false, "/ab/2/k"),
        ];
        let wanted: Vec<_> = wanted
            .iter()
            .map(|(text, key, at)| ((*text).to_owned(), *key, (*at).to_owned()))
            .collect();
        assert_eq!(all, wanted);
    }
}
