//! Catalog files are a source like any server: read, read again, and never half.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use toolscout::catalog::{Outcome, ServerInfo};
use toolscout::config::{Names, Transport};
use toolscout::crawl::{Wanted, crawl_once};

use crate::support::crawling::{Crawls, failure, http, limits, listing, names, page, server};
use crate::support::mock_http::{MockHttp, Speaks};

fn catalog(path: &Path) -> Transport {
    Transport::Catalog { path: path.into(), servers: None }
}

fn line(server: &str, tool: &str) -> String {
    format!(r#"{{"server":"{server}","name":"{tool}","inputSchema":{{}}}}"#) + "\n"
}

/// Replaces the file in one step, as a careful writer does.
fn write(path: &Path, text: &str) {
    let fresh = path.with_extension("fresh");
    std::fs::write(&fresh, text).unwrap();
    std::fs::rename(fresh, path).unwrap();
}

#[tokio::test]
async fn one_update_a_server_in_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("tools.jsonl");
    write(&path, &(line("a", "x") + &line("b", "y") + &line("a", "z")));
    let mut server = server("file", catalog(&path));
    server.names.deny = Names::new(&["z".into()]).unwrap();
    let updates = crawl_once(&server, &limits(), None).await;
    let found: Vec<_> = updates
        .into_iter()
        .map(|update| (update.server.to_string(), update.transport, listing(update.outcome)))
        .collect();
    assert_eq!(found.len(), 2);
    assert_eq!((&*found[0].0, found[0].1, names(&found[0].2)), ("a", "file", vec!["x"]));
    assert_eq!((&*found[1].0, names(&found[1].2)), ("b", vec!["y"]));
    let missing = crawl_once(
        &crate::support::crawling::server("file", catalog(Path::new("/no"))),
        &limits(),
        None,
    )
    .await;
    assert_eq!(missing[0].server.as_str(), "file");
    assert!(failure(missing.into_iter().next().unwrap().outcome).contains("/no"));
}

#[tokio::test]
async fn a_file_is_read_again_when_it_changed() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("tools.jsonl");
    let mut server = server("file", catalog(&path));
    server.refresh = Duration::from_millis(30);
    let known = BTreeMap::from([
        ("a".into(), ServerInfo::default()),
        ("long-gone".into(), ServerInfo::default()),
    ]);
    let mut crawls = Crawls::start(vec![server], known);
    // Nothing is removed before the file has been read.
    let first = crawls.next().await;
    assert_eq!(first.server.as_str(), "file");
    failure(first.outcome);
    write(&path, &(line("a", "x") + &line("b", "y")));
    let (mut removed, mut listed) = (Vec::new(), 0);
    while removed.len() < 2 || listed < 2 {
        let update = crawls.next().await;
        match update.outcome {
            Outcome::Removed => removed.push(update.server.to_string()),
            Outcome::Listed(_) => listed += 1,
            _ => {}
        }
    }
    assert_eq!(removed, ["file", "long-gone"]);
    assert!(crawls.crawler.refresh(&"b".into()));
    write(&path, &line("a", "x2"));
    loop {
        let update = crawls.next().await;
        if matches!(update.outcome, Outcome::Removed) {
            assert_eq!(update.server.as_str(), "b");
            break;
        }
    }
    assert_eq!(names(&crawls.listing_of("a").await), ["x2"]);
    // A file that is gone takes nothing away.
    std::fs::remove_file(&path).unwrap();
    loop {
        let update = crawls.next().await;
        assert_eq!(update.server.as_str(), "a");
        if matches!(update.outcome, Outcome::Failed { .. }) {
            break;
        }
    }
    crawls.stop().await;
}

#[tokio::test]
async fn a_server_that_leaves_the_file_for_an_entry_of_its_own_stays() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("tools.jsonl");
    write(&path, &(line("bell", "ring") + &line("door", "knock")));
    let file = server("file", catalog(&path));
    let mut crawls = Crawls::start(vec![file.clone()], BTreeMap::new());
    crawls.listing_of("bell").await;

    let door = MockHttp::pages(Speaks::Quiet, false, vec![(None, page(&["open"], None))]).await;
    let own = server("door", http(&door.url));
    crawls.crawler.apply(vec![Wanted::crawled(file), Wanted::crawled(own)]);
    while names(&crawls.listing_of("door").await) != ["open"] {}
    write(&path, &line("bell", "chime"));
    assert!(crawls.crawler.refresh(&"bell".into()));
    loop {
        let update = crawls.next().await;
        let is_gone = matches!(update.outcome, Outcome::Removed);
        assert!(!is_gone, "{} was taken away", update.server);
        if let (Outcome::Listed(listing), "bell") = (&update.outcome, update.server.as_str()) {
            assert_eq!(names(listing), ["chime"]);
            break;
        }
    }
    crawls.stop().await;
}
