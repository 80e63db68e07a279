//! Which parts of a definition differ from those of another.
//!
//! Invariant: two definitions differ in form alone only where every member, repeated ones too, has
//! the same name and value; numbers are compared as they are written.

use serde_json::value::RawValue;

use super::feed::Part;
use crate::tool::Members;

/// Deeper than this, values are compared as they are written.
const DEEPEST: usize = 64;

/// What differs between two definitions; empty where they are the same bytes.
pub fn changed(old: &RawValue, new: &RawValue) -> Vec<Part> {
    if old.get() == new.get() {
        return Vec::new();
    }
    let (Some(mut old), Some(mut new)) = (sorted(old), sorted(new)) else {
        return vec![Part::Other];
    };
    let mut parts = Vec::new();
    for (name, part) in [
        ("description", Part::Description),
        ("inputSchema", Part::InputSchema),
        ("outputSchema", Part::OutputSchema),
        ("annotations", Part::Annotations),
    ] {
        if !same_members(&take(&mut old, name), &take(&mut new, name), 0) {
            parts.push(part);
        }
    }
    if !same_members(&old, &new, 0) {
        parts.push(Part::Other);
    }
    if parts.is_empty() {
        parts.push(Part::Form);
    }
    parts
}

type Sorted<'a> = Vec<(std::borrow::Cow<'a, str>, &'a RawValue)>;

/// Members by name; those of one name in the order in which they came.
fn sorted(raw: &RawValue) -> Option<Sorted<'_>> {
    let mut members = Members::of(raw)?.0;
    members.sort_by(|a, b| a.0.cmp(&b.0));
    Some(members)
}

fn take<'a>(members: &mut Sorted<'a>, name: &str) -> Sorted<'a> {
    let start = members.partition_point(|(key, _)| &**key < name);
    let end = members.partition_point(|(key, _)| &**key <= name);
    members.drain(start..end).collect()
}

fn same_members(a: &Sorted<'_>, b: &Sorted<'_>, depth: usize) -> bool {
    a.len() == b.len() && a.iter().zip(b).all(|(a, b)| a.0 == b.0 && same(a.1, b.1, depth))
}

fn same(a: &RawValue, b: &RawValue, depth: usize) -> bool {
    let (left, right) = (a.get(), b.get());
    if left == right {
        return true;
    }
    if depth == DEEPEST || left.as_bytes().first() != right.as_bytes().first() {
        return false;
    }
    match left.as_bytes().first() {
        Some(b'{') => match (sorted(a), sorted(b)) {
            (Some(a), Some(b)) => same_members(&a, &b, depth + 1),
            _ => false,
        },
        Some(b'[') => {
            let read = |text| serde_json::from_str::<Vec<&RawValue>>(text).ok();
            match (read(left), read(right)) {
                (Some(a), Some(b)) => {
                    a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a, b, depth + 1))
                }
                _ => false,
            }
        }
        Some(b'"') => {
            let read = |text| serde_json::from_str::<String>(text).ok();
            read(left).is_some_and(|text| Some(text) == read(right))
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts(old: &str, new: &str) -> Vec<Part> {
        let raw = |text: &str| RawValue::from_string(text.into()).unwrap();
        changed(&raw(old), &raw(new))
    }

    #[test]
    fn each_part_is_named() {
        let old = r#"{"name":"x","description":"a","inputSchema":{"type":"object"},"n":1}"#;
        for (new, wanted) in [
            (old, vec![]),
            (
                r#"{"description":"\u0061","name":"x", "n":1,"inputSchema":{"type":"object"}}"#,
                vec![Part::Form],
            ),
            (
                r#"{"name":"x","description":"b","inputSchema":{"type":"object"},"n":1}"#,
                vec![Part::Description],
            ),
            (
                r#"{"name":"x","inputSchema":{"type":"array"},"n":1}"#,
                vec![Part::Description, Part::InputSchema],
            ),
            (
                r#"{"name":"x","description":"a","inputSchema":{"type":"object"},"n":1.0}"#,
                vec![Part::Other],
            ),
            (
                r#"{"name":"x","description":"a","inputSchema":{"type":"object"},"n":1,"annotations":{},"outputSchema":{}}"#,
                vec![Part::OutputSchema, Part::Annotations],
            ),
            // Readers differ in which of two they take, so a second one is a change.
            (
                r#"{"name":"x","description":"b","description":"a","inputSchema":{"type":"object"},"n":1}"#,
                vec![Part::Description],
            ),
        ] {
            assert_eq!(parts(old, new), wanted, "{new}");
        }
    }

    #[test]
    fn the_order_of_an_array_means_something() {
        let old = r#"{"name":"x","inputSchema":{"required":["a","b"],"b":{"c":1,"d":[{}]}}}"#;
        let moved = r#"{"name":"x","inputSchema":{"b":{"d":[{ }],"c":1},"required":["a", "b"]}}"#;
        assert_eq!(parts(old, moved), [Part::Form]);
        let other = r#"{"name":"x","inputSchema":{"required":["b","a"],"b":{"c":1,"d":[{}]}}}"#;
        assert_eq!(parts(old, other), [Part::InputSchema]);
    }
}
