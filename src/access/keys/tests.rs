use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::fs::PermissionsExt;

use proptest::prelude::*;

use super::file::{KeyFile, KeyFileError};
use super::*;

fn new(name: &str) -> NewKey {
    NewKey { name: name.into(), scopes: vec![Scope::Search], ..NewKey::default() }
}

fn minutes(count: u64) -> Duration {
    Duration::from_mins(count)
}

#[test]
fn a_key_is_recognisable_and_a_slip_is_told_without_looking_it_up() {
    let secret = Secret::random(None).unwrap();
    let text = secret.expose().to_owned();
    assert!(text.starts_with("ts_") && text.len() == 88, "{}", text.len());
    assert_eq!(Secret::parse(&text).unwrap().id(), secret.id());
    for at in 0..text.len() {
        let mut other = text.clone().into_bytes();
        other[at] = if other[at] == b'0' { b'1' } else { b'0' };
        assert!(Secret::parse(std::str::from_utf8(&other).unwrap()).is_none(), "{at}");
    }
    for none in ["", "ts_", "ts__", "ts_a_b", &text[1..], &text[..87], &text.to_uppercase()] {
        assert!(Secret::parse(none).is_none(), "{none}");
    }
    // Neither can be printed by accident.
    let printed = format!("{secret:?} {:?}", secret.hash());
    assert!(!printed.contains(&text[16..80]), "{printed}");
}

#[test]
fn what_makes_no_sense_is_refused() {
    let mut book = Book::default();
    let mut refused = |key: NewKey| book.create(key, 0).unwrap_err();
    assert_eq!(refused(new(" ")), KeyError::Name);
    assert_eq!(refused(new("a\nb")), KeyError::Name);
    assert_eq!(refused(new(&"x".repeat(101))), KeyError::Name);
    assert_eq!(refused(NewKey { scopes: Vec::new(), ..new("a") }), KeyError::Scopes);
    let locked = NewKey { profile: Some("p".into()), scopes: vec![Scope::Admin], ..new("a") };
    assert_eq!(refused(locked), KeyError::LockedAdmin);
    let lasts = Some(std::time::Duration::from_hours(24 * 365 * 101));
    assert_eq!(refused(NewKey { lasts, ..new("a") }), KeyError::Lasts);
    for allowance in [
        Allowance { rate: Some(0.0), ..Allowance::default() },
        Allowance { rate: Some(f64::NAN), ..Allowance::default() },
        Allowance { burst: Some(0), ..Allowance::default() },
        Allowance { calls_per_day: Some(0), ..Allowance::default() },
    ] {
        assert_eq!(refused(NewKey { allowance, ..new("a") }), KeyError::Allowance);
    }
    assert_eq!(
        book.rotate("nobody", minutes(1), 0).unwrap_err(),
        KeyError::Unknown("nobody".into())
    );
    assert!(book.revoke("nobody", 0).is_err());
}

#[test]
fn who_is_kept_to_a_profile_may_search_and_who_administers_is_kept_to_none() {
    let mut book = Book::default();
    let locked = NewKey { profile: Some("p".into()), ..new("a") };
    assert_eq!(book.create(locked, 0).unwrap().0.profile.as_deref(), Some("p"));
    let admin = NewKey { scopes: vec![Scope::Admin], ..new("a") };
    assert_eq!(book.create(admin, 0).unwrap().0.scopes, [Scope::Admin]);
}

#[test]
fn the_file_is_its_owners_and_holds_no_secret() {
    let data = tempfile::tempdir().unwrap();
    let file = KeyFile::of(data.path());
    assert_eq!(file.read().unwrap(), Book::default());
    let make = |book: &mut Book| book.create(new("a"), 5).map(|(_, secret)| secret);
    let (secret, book) = file.change(make).unwrap();
    assert_eq!(file.read().unwrap(), book);
    assert!(book.find(secret.expose(), 6).is_ok());
    let path = data.path().join("keys/api.keys");
    let mode = |path: &std::path::Path| path.metadata().unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(&path), mode(&data.path().join("keys"))), (0o600, 0o700));
    let text = String::from_utf8_lossy(&std::fs::read(&path).unwrap()).into_owned();
    // Neither the key nor the random part of it.
    assert!(text.contains(secret.id()) && !text.contains(&secret.expose()[16..80]));

    // A change that is refused changes nothing.
    assert!(file.change(|book| book.create(new(""), 5).map(drop)).is_err());
    assert_eq!(file.read().unwrap(), book);
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o640)).unwrap();
    assert!(matches!(file.read(), Err(KeyFileError::Open(_))));
    assert!(file.change(|_| Ok(())).is_err());
}

#[test]
fn the_last_use_is_the_latest_and_a_change_changes_the_stamp() {
    let data = tempfile::tempdir().unwrap();
    let file = KeyFile::of(data.path());
    assert_eq!(file.stamp(), None);
    let make = |book: &mut Book| book.create(new("a"), 5).map(|(key, _)| key.id.clone());
    let (id, mut book) = file.change(make).unwrap();
    let before = file.stamp();
    file.change(make).unwrap();
    assert!(before.is_some() && file.stamp().is_some() && before != file.stamp());
    for at in [9, 7] {
        book.note_use(&id, at);
        book.note_use("nobody", at);
        assert_eq!(book.get(&id).unwrap().last_used, Some(9));
    }
}

#[test]
fn what_root_makes_is_the_services() {
    use std::os::unix::fs::{MetadataExt, chown};

    // As an operator's command beside a service that has a user of its own. (By others than root it
    // can't be tried out: what they make is theirs.)
    let data = tempfile::tempdir().unwrap();
    if rustix::process::geteuid().is_root() {
        chown(data.path(), Some(65_534), Some(65_534)).unwrap();
    }
    KeyFile::of(data.path()).change(|book| book.create(new("a"), 0).map(drop)).unwrap();
    let owner = |path: &std::path::Path| path.metadata().map(|it| (it.uid(), it.gid())).unwrap();
    for made in ["keys", "keys/lock", "keys/api.keys"] {
        assert_eq!(owner(&data.path().join(made)), owner(data.path()), "{made}");
    }
}

#[test]
fn many_that_change_it_at_once_undo_nothing() {
    let data = tempfile::tempdir().unwrap();
    let make = |name: usize| {
        let file = KeyFile::of(data.path());
        file.change(|book| book.create(new(&name.to_string()), 0).map(drop)).unwrap();
    };
    std::thread::scope(|scope| {
        for thread in 0..4 {
            scope.spawn(move || (0..5).for_each(|at| make(thread * 5 + at)));
        }
    });
    let book = KeyFile::of(data.path()).read().unwrap();
    let names: BTreeSet<_> = book.keys().map(|key| key.name.clone()).collect();
    assert_eq!(names.len(), 20);
}

/// What may happen to the keys, in the order of a list.
#[derive(Debug, Clone)]
enum Step {
    Create { lasts: Option<u64> },
    Rotate { of: usize, overlap: u64 },
    Revoke { of: usize },
    Wait { minutes: u64 },
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        prop::option::of(0..8_u64).prop_map(|lasts| Step::Create { lasts }),
        (0..6_usize, 0..5_u64).prop_map(|(of, overlap)| Step::Rotate { of, overlap }),
        (0..6_usize).prop_map(|of| Step::Revoke { of }),
        (0..4_u64).prop_map(|minutes| Step::Wait { minutes }),
    ]
}

/// A secret that was once given out, and what a clerk with a list would know of it.
struct Given {
    text: String,
    key: usize,
    /// Its turn among the secrets of its key, and when the next one came, with which overlap.
    replaced: Option<(u64, bool)>,
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    /// A secret is good exactly while its key is neither revoked nor expired, and it is the last
    /// one of the key, or the one before within the overlap.
    #[test]
    fn the_book_says_what_a_list_says(steps in prop::collection::vec(step(), 1..30)) {
        let (mut book, mut now) = (Book::default(), 1_000_000);
        let mut given: Vec<Given> = Vec::new();
        let mut keys: Vec<(String, Option<u64>)> = Vec::new();
        let mut revoked: BTreeMap<usize, u64> = BTreeMap::new();
        for step in steps {
            match step {
                Step::Create { lasts } => {
                    let key = NewKey { lasts: lasts.map(minutes), ..new("n") };
                    let (key, secret) = book.create(key, now).unwrap();
                    prop_assert_eq!(&*key.id, secret.id());
                    keys.push((secret.id().into(), lasts.map(|lasts| now + lasts * 60)));
                    let key = keys.len() - 1;
                    given.push(Given { text: secret.expose().into(), key, replaced: None });
                }
                Step::Rotate { of, overlap } => {
                    let Some((id, end)) = keys.get(of) else { continue };
                    let over = revoked.contains_key(&of) || end.is_some_and(|end| now >= end);
                    let rotated = book.rotate(id, minutes(overlap), now);
                    prop_assert_eq!(rotated.is_err(), over);
                    let Ok((_, secret)) = rotated else { continue };
                    for before in given.iter_mut().filter(|given| given.key == of) {
                        before.replaced = match before.replaced {
                            None => Some((now + overlap * 60, true)),
                            Some((end, _)) => Some((end, false)),
                        };
                    }
                    given.push(Given { text: secret.expose().into(), key: of, replaced: None });
                }
                Step::Revoke { of } => {
                    if let Some((id, _)) = keys.get(of) {
                        book.revoke(id, now).unwrap();
                        revoked.entry(of).or_insert(now);
                    }
                }
                Step::Wait { minutes } => now += minutes * 60,
            }
            for Given { text, key, replaced } in &given {
                let in_time = keys[*key].1.is_none_or(|end| now < end);
                let current = replaced.is_none_or(|(end, last)| last && now < end);
                let known = replaced.is_none_or(|(_, last)| last);
                let wanted = match (known, revoked.contains_key(key), in_time && current) {
                    (false, ..) => Err(Refused::Unknown),
                    (_, true, _) => Err(Refused::Revoked),
                    (_, _, false) => Err(Refused::Expired),
                    _ => Ok(keys[*key].0.as_str()),
                };
                prop_assert_eq!(book.find(text, now).map(|key| &*key.id), wanted);
            }
        }
        for (at, (id, _)) in keys.iter().enumerate() {
            prop_assert_eq!(book.get(id).unwrap().revoked, revoked.get(&at).copied());
        }
    }
}
