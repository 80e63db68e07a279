use std::fs;
use std::path::{Path, PathBuf};

use proptest::prelude::*;

use super::chain::Broken;
use super::verify::{Report, VerifyError, whole};
use super::*;
use crate::access::caller::Caller;
use crate::config::Told;

struct Place {
    _folder: tempfile::TempDir,
    config: AuditConfig,
    path: PathBuf,
}

fn place(max_bytes: u64, keep: usize) -> Place {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("audit.jsonl");
    let config = AuditConfig {
        enabled: true,
        file: Some(path.clone()),
        max_bytes,
        keep,
        ..AuditConfig::default()
    };
    Place { _folder: folder, config, path }
}

fn search(query: &str) -> Event {
    Event {
        queries: vec![query.to_owned()],
        caller: Some(Caller::anonymous()),
        ..Event::own(Action::Search, "answered")
    }
}

impl Place {
    fn open(&self) -> Audit {
        Audit::open(&self.config, Path::new("unused"), Troubles::default()).unwrap()
    }

    fn write(&self, count: usize) {
        let audit = self.open();
        for at in 0..count {
            audit.keep(|| search(&format!("find tool number {at}")));
            if at % 5 == 0 {
                audit.settle(Duration::from_mins(1));
            }
        }
        audit.settle(Duration::from_mins(1));
        self.close(audit);
    }

    /// Waits until the thread has let go of the files.
    fn close(&self, audit: Audit) {
        drop(audit);
        let lock = fs::File::open(self.path.with_extension("lock")).unwrap();
        lock.lock().unwrap();
    }

    fn verify(&self) -> Result<Report, VerifyError> {
        whole(&self.path, &Seal::of(self.config.key_file.as_deref()).unwrap())
    }

    fn files(&self) -> Vec<PathBuf> {
        let mut files = log::full_files(&self.path).unwrap();
        files.push(self.path.clone());
        files
    }

    fn lines(&self) -> Vec<serde_json::Value> {
        let text: String =
            self.files().iter().map(|file| fs::read_to_string(file).unwrap()).collect();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    fn broken(&self) -> (usize, Broken) {
        match self.verify() {
            Err(VerifyError::Broken { line, broken, .. }) => (line, broken),
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn a_chain_goes_on_over_files_and_restarts() {
    let place = place(4096, 0);
    place.write(40);
    place.write(40);
    let report = place.verify().unwrap();
    assert!(report.files > 3, "{report:?}");
    assert_eq!((report.first, report.lines), (1, 82));
    let opened = place.lines().iter().filter(|line| line["action"] == "opened").count();
    assert_eq!(opened, 2);
    for file in place.files() {
        use std::os::unix::fs::PermissionsExt;
        assert_eq!(fs::metadata(file).unwrap().permissions().mode() & 0o777, 0o600);
    }
}

#[test]
fn old_files_go_and_the_chain_says_so() {
    let place = place(4096, 2);
    place.write(200);
    let report = place.verify().unwrap();
    assert_eq!(report.files, 3);
    assert!(report.first > 1);
    assert_eq!(report.last.seq, report.first + report.lines - 1);
    // The same without anybody having said it.
    fs::remove_file(&place.files()[0]).unwrap();
    assert!(matches!(place.broken(), (1, Broken::Headless(_))));
}

#[test]
fn lines_cut_from_the_end_are_missed_now_and_after_a_restart() {
    let place = place(1 << 20, 0);
    place.write(10);
    let text = fs::read_to_string(&place.path).unwrap();
    let kept: Vec<_> = text.lines().take(7).collect();
    fs::write(&place.path, kept.join("\n") + "\n").unwrap();
    assert_eq!(place.broken(), (7, Broken::Cut(4)));
    place.write(1);
    assert_eq!(place.broken(), (8, Broken::Gap(8, 11)));
    fs::remove_file(&place.path).unwrap();
    assert!(matches!(place.broken(), (0, Broken::Cut(_))));
}

#[test]
fn a_head_that_is_gone_is_missed() {
    let place = place(1 << 20, 0);
    place.write(3);
    fs::remove_file(place.path.with_extension("head")).unwrap();
    assert_eq!(place.broken().1, Broken::Unheaded);
    let lines = place.lines().len();
    place.write(1);
    assert_eq!(place.lines()[lines]["outcome"], "head missing");
    place.verify().unwrap();
}

#[test]
fn a_torn_line_is_set_aside_and_told_of() {
    let place = place(1 << 20, 0);
    place.write(5);
    let whole_text = fs::read(&place.path).unwrap();
    fs::write(&place.path, &whole_text[..whole_text.len() - 30]).unwrap();
    fs::remove_file(place.path.with_extension("head")).unwrap();
    assert_eq!(place.broken(), (6, Broken::Torn));
    place.write(1);
    assert_eq!(place.verify().unwrap().lines, 7);
    let marker = place.lines()[5].clone();
    assert_eq!(marker["outcome"], "torn line set aside");
    let aside = place.path.with_file_name(marker["target"].as_str().unwrap());
    assert!(whole_text.ends_with(b"\n") && !fs::read(aside).unwrap().is_empty());
}

#[test]
fn with_a_key_nobody_else_can_make_a_chain() {
    let mut place = place(1 << 20, 0);
    let key = place.path.with_extension("key");
    fs::write(&key, "k".repeat(40)).unwrap();
    place.config.key_file = Some(key.clone());
    place.write(5);
    assert_eq!(place.verify().unwrap().lines, 6);
    fs::write(&key, "l".repeat(40)).unwrap();
    assert_eq!(place.broken(), (1, Broken::Changed));
    // Whoever lacks it can recompute a plain chain, and no keyed one.
    place.config.key_file = None;
    assert_eq!(place.broken(), (1, Broken::Changed));
}

#[test]
fn two_do_not_write_one_log() {
    let place = place(1 << 20, 0);
    let audit = place.open();
    let second = Audit::open(&place.config, Path::new("unused"), Troubles::default());
    assert!(matches!(second, Err(AuditError::Taken(_))));
    place.close(audit);
    place.write(1);
}

#[test]
fn texts_are_kept_as_configured() {
    let arguments = serde_json::json!({"to": "ada@example.com", "password": "hunter2", "n": 1});
    for (told, query, kept) in [
        (Told::Full, Some("mail ada@example.com"), Some(arguments.clone())),
        (
            Told::Redact,
            Some("mail [email]"),
            Some(serde_json::json!({"to": "[email]", "password": "[secret]", "n": 1})),
        ),
        (Told::None, None, None),
    ] {
        let mut place = place(1 << 20, 0);
        (place.config.queries, place.config.arguments) = (told, told);
        let audit = place.open();
        audit.keep(|| Event {
            arguments: arguments.as_object().cloned(),
            ..search("mail ada@example.com")
        });
        audit.settle(Duration::from_mins(1));
        place.close(audit);
        let line = &place.lines()[1];
        assert_eq!(line["queries"][0].as_str(), query);
        assert_eq!(line.get("arguments"), kept.as_ref());
    }
    let mut place = place(1 << 20, 0);
    (place.config.queries, place.config.arguments) = (Told::Hash, Told::Hash);
    for query in ["one", "one", "two"] {
        let audit = place.open();
        audit.keep(|| Event { arguments: arguments.as_object().cloned(), ..search(query) });
        audit.settle(Duration::from_mins(1));
        place.close(audit);
    }
    let lines = place.lines();
    let hashes: Vec<_> = lines.iter().filter(|line| line["action"] == "search").collect();
    assert_eq!(hashes[0]["queries"], hashes[1]["queries"]);
    assert_ne!(hashes[0]["queries"], hashes[2]["queries"]);
    assert!(hashes[0]["arguments"].as_str().unwrap().starts_with("blake3:"));
    let text = fs::read_to_string(&place.path).unwrap();
    assert!(!text.contains("hunter2") && !text.contains("\"one\""));
}

#[test]
fn what_finds_no_room_is_counted_and_told() {
    let (orders, _never_read) = sync_channel(2);
    let audit = Audit(Some(Arc::new(Handle { orders, shared: Arc::default() })));
    for _ in 0..5 {
        audit.keep(|| search("x"));
    }
    let shared = &audit.0.as_ref().unwrap().shared;
    assert_eq!(shared.dropped.load(Ordering::Relaxed), 3);
    assert_eq!(audit.health().unwrap().waiting, 2);

    let place = place(1 << 20, 0);
    let audit = place.open();
    audit.0.as_ref().unwrap().shared.drop_events(3, "busy");
    audit.keep(|| search("x"));
    audit.settle(Duration::from_mins(1));
    place.close(audit);
    let lines = place.lines();
    let told = lines.iter().find(|line| line["action"] == "dropped").unwrap();
    assert_eq!(told["count"], 3);
    assert_eq!(place.verify().unwrap().dropped, 3);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    /// No byte can be another one, no line can go, and no two can change places.
    #[test]
    fn every_change_is_found(
        count in 3_usize..30,
        small in any::<bool>(),
        which in any::<prop::sample::Index>(),
        other in any::<prop::sample::Index>(),
        mask in 1_u8..=255,
    ) {
        let place = place(if small { 4096 } else { 1 << 20 }, 0);
        place.write(count);
        prop_assert!(place.verify().is_ok());
        let files = place.files();
        let whole: Vec<Vec<u8>> = files.iter().map(|file| fs::read(file).unwrap()).collect();
        let restore = || for (file, bytes) in files.iter().zip(&whole) {
            fs::write(file, bytes).unwrap();
        };

        let at = which.index(files.len());
        let mut bytes = whole[at].clone();
        let byte = other.index(bytes.len());
        bytes[byte] ^= mask;
        fs::write(&files[at], &bytes).unwrap();
        prop_assert!(place.verify().is_err(), "byte {} of file {}", byte, at);
        restore();

        let lines: Vec<&[u8]> = whole[at].split_inclusive(|byte| *byte == b'\n').collect();
        let (a, b) = (other.index(lines.len()), usize::from(mask) % lines.len());
        let without: Vec<&[u8]> =
            lines.iter().enumerate().filter(|(line, _)| *line != a).map(|(_, line)| *line).collect();
        fs::write(&files[at], without.concat()).unwrap();
        prop_assert!(place.verify().is_err(), "without line {} of file {}", a, at);
        restore();

        if a != b {
            let mut swapped = lines.clone();
            swapped.swap(a, b);
            fs::write(&files[at], swapped.concat()).unwrap();
            prop_assert!(place.verify().is_err(), "lines {} and {} swapped", a, b);
            restore();
        }

        let mut twice = lines.clone();
        twice.insert(a, lines[a]);
        fs::write(&files[at], twice.concat()).unwrap();
        prop_assert!(place.verify().is_err(), "line {} twice", a);
        restore();
        prop_assert!(place.verify().is_ok());
    }
}
