//! What an upgrade and a downgrade find in the data folder: files of other formats are kept, never
//! read by halves, and what they held is made anew.

use std::fs;
use std::path::{Path, PathBuf};

use crate::support::service::{Service, catalog, configure, run, snapshot};

/// A folder that a service has served from, with everything in it that it writes by itself.
async fn used() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    catalog(folder.path(), &[("house", "ring_bell", "Ring the bell")]);
    configure(
        folder.path(),
        "[learn]\nenabled = true\n[servers.house]\ncatalog = \"catalog.jsonl\"\n",
    );
    let service = Service::start(folder.path(), &[]).await;
    service.until_ready().await;
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let chosen = serde_json::json!({"query": "bell", "tool": "house/ring_bell"});
    let feedback = client.post(format!("{}/v1/feedback", service.url)).json(&chosen);
    assert_eq!(feedback.send().await.unwrap().status(), 202);
    service.stop().await;
    folder
}

/// The numbered files that hold what is known.
fn numbered(folder: &Path) -> [PathBuf; 3] {
    let data = folder.join("data");
    [snapshot(folder), data.join("trust/definitions.book"), data.join("learned/evidence.book")]
}

/// What was set aside of this file.
fn aside(path: &Path) -> Vec<PathBuf> {
    let beside = fs::read_dir(path.parent().unwrap()).unwrap();
    let beside = beside.map(|entry| entry.unwrap().path());
    let stem = path.file_stem().unwrap();
    beside.filter(|other| other != path && other.file_stem() == Some(stem)).collect()
}

#[tokio::test]
async fn files_of_other_formats_are_kept_and_made_anew() {
    for (format, who) in [(0, "an older"), (200, "a newer")] {
        let folder = used().await;
        let files = numbered(folder.path());
        let ours = files.each_ref().map(|path| fs::read(path).unwrap()[8]);
        let other: Vec<_> = files
            .iter()
            .map(|path| {
                let mut bytes = fs::read(path).unwrap();
                bytes[8] = format;
                fs::write(path, &bytes).unwrap();
                bytes
            })
            .collect();
        let service = Service::start(folder.path(), &[]).await;
        service.until_ready().await;
        assert_eq!(service.tools().await, ["house/ring_bell"]);
        let log = service.log();
        let said = format!("has format {format}, which {who} toolscout wrote");
        assert_eq!(log.matches(&said).count(), files.len(), "{log}");
        assert_eq!(log.matches("set aside as").count(), files.len(), "{log}");
        service.stop().await;
        for (path, other) in files.iter().zip(other) {
            let kept = aside(path);
            assert_eq!(kept.len(), 1, "{path:?}: {kept:?}");
            assert_eq!(fs::read(&kept[0]).unwrap(), other);
        }
        assert!(snapshot(folder.path()).is_file());
        // The one that wrote it goes on with it once it is back in its place.
        for (path, ours) in files.iter().zip(ours) {
            fs::rename(&aside(path)[0], path).unwrap();
            let mut bytes = fs::read(path).unwrap();
            bytes[8] = ours;
            fs::write(path, bytes).unwrap();
        }
        let service = Service::start(folder.path(), &[]).await;
        assert_eq!(service.tools().await, ["house/ring_bell"]);
        assert!(!service.log().contains("set aside"), "{}", service.log());
        service.stop().await;
    }
}

/// The snapshot as the first format had it, which is committed in the history of
/// `src/index/snapshot.rs`: a server had five fields before its tools.
fn first_format() -> Vec<u8> {
    fn text(into: &mut Vec<u8>, text: &str) {
        into.extend((text.len() as u64).to_le_bytes());
        into.extend(text.as_bytes());
    }
    let mut payload = Vec::new();
    payload.extend(7_u64.to_le_bytes());
    payload.extend(1_u64.to_le_bytes());
    text(&mut payload, "house");
    // No title, no description, no protocol; crawled at the epoch; one tool.
    payload.extend([0, 0, 0]);
    payload.extend(0_u64.to_le_bytes());
    payload.extend(1_u64.to_le_bytes());
    text(&mut payload, r#"{"name":"ring_bell"}"#);
    let mut file = b"TOOLSCOU\x01\0\0\0".to_vec();
    file.extend(blake3::hash(&payload).as_bytes());
    file.extend(payload);
    file
}

#[tokio::test]
async fn a_snapshot_of_the_first_format_is_crawled_anew() {
    let folder = tempfile::tempdir().unwrap();
    catalog(folder.path(), &[("house", "open_door", "Open the door")]);
    configure(folder.path(), "[servers.house]\ncatalog = \"catalog.jsonl\"\n");
    let path = snapshot(folder.path());
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(&path, first_format()).unwrap();
    let service = Service::start(folder.path(), &[]).await;
    service.until_ready().await;
    assert_eq!(service.tools().await, ["house/open_door"]);
    service.until_logged("has format 1, which an older toolscout wrote").await;
    service.stop().await;
    assert_eq!(fs::read(&aside(&path)[0]).unwrap(), first_format());
}

#[tokio::test]
async fn servers_that_were_added_are_never_lost_in_silence() {
    let folder = used().await;
    let path = folder.path().join("data/servers.json");
    let newer = r#"{"servers":{"a":{"url":"https://a.test/mcp","since":"next year"}},"paused":[]}"#;
    fs::write(&path, newer).unwrap();
    let ran = run(folder.path(), &["serve", "--listen", "127.0.0.1:0", "--data", "data"]).await;
    assert_eq!(ran.code, 1, "{}", ran.stderr);
    assert!(
        ran.stderr.contains("servers.json") && ran.stderr.contains("move it away"),
        "{}",
        ran.stderr
    );
    assert_eq!(fs::read_to_string(&path).unwrap(), newer);
}

#[tokio::test]
async fn an_unknown_key_of_the_configuration_is_never_ignored() {
    let folder = tempfile::tempdir().unwrap();
    configure(folder.path(), "lisen = \"127.0.0.1:0\"\n");
    let ran = run(folder.path(), &["serve"]).await;
    assert_eq!(ran.code, 2, "{}", ran.stderr);
    assert!(ran.stderr.contains("lisen") && ran.stderr.contains("known here"), "{}", ran.stderr);
}
