//! Servers that come, go and change while others are being crawled: whatever the order, in the end
//! the catalog is that of the last list.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use toolscout::catalog::Catalog;
use toolscout::config::{Names, Transport};
use toolscout::crawl::{self, Hold, Wanted};

use crate::support::crawling::{PATIENCE, http, limits, page, server};
use crate::support::mock_http::{MockHttp, Speaks};

/// What may become of a server in one list.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Fate {
    Absent,
    Crawled,
    /// Without its tool `b`.
    Narrow,
    Disabled,
    Pending,
}

const FATES: [Fate; 5] = [Fate::Absent, Fate::Crawled, Fate::Narrow, Fate::Disabled, Fate::Pending];

/// The entry of one server (or of the file that lists the servers 0 and 9) in a list.
fn entry(id: &str, transport: Transport, fate: Fate) -> Option<Wanted> {
    let mut server = server(id, transport);
    let mut hold = None;
    match fate {
        Fate::Absent => return None,
        Fate::Crawled => {}
        Fate::Narrow => server.names.deny = Names::new(&["b".into()]).unwrap(),
        Fate::Disabled => server.enabled = false,
        Fate::Pending => hold = Some(Hold::Pending),
    }
    Some(Wanted { server: Arc::new(server), hold })
}

/// The tools that a server with this fate has in the end.
fn tools(id: &str, fate: Fate) -> Vec<String> {
    let names: &[&str] = match fate {
        Fate::Crawled => &["a", "b"],
        Fate::Narrow => &["a"],
        Fate::Absent | Fate::Disabled | Fate::Pending => &[],
    };
    names.iter().map(|name| format!("{id}/{name}")).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_last_list_is_what_stays() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("tools.jsonl");
    let line = |server: &str, name: &str| {
        format!("{{\"server\":\"{server}\",\"name\":\"{name}\",\"inputSchema\":{{}}}}\n")
    };
    std::fs::write(&path, line("nine", "a") + &line("nine", "b")).unwrap();
    let file = Transport::Catalog { path, servers: None };
    let mut mocks = Vec::new();
    for events in [false, true, false, true] {
        let pages = vec![(None, page(&["a"], Some("2"))), (Some("2"), page(&["b"], None))];
        mocks.push(MockHttp::pages(Speaks::Stateless, events, pages).await);
    }
    let ids = ["zero", "one", "two", "three"];

    for seed in 0..12 {
        let mut random = fastrand::Rng::with_seed(seed);
        let (sender, mut updates) = mpsc::channel(64);
        let shutdown = CancellationToken::new();
        let crawler =
            crawl::start(Vec::new(), &limits(), BTreeMap::new(), sender, shutdown.clone());
        let mut expected = Vec::new();
        for _ in 0..10 {
            expected.clear();
            let mut wanted = Vec::new();
            for (id, mock) in ids.iter().zip(&mocks) {
                let fate = *random.choice(&FATES).unwrap();
                wanted.extend(entry(id, http(&mock.url), fate));
                expected.extend(tools(id, fate));
            }
            // What the file lists is gone with the file, whatever becomes of it.
            let fate = *random.choice(&FATES).unwrap();
            wanted.extend(entry("file", file.clone(), fate));
            expected.extend(tools("nine", fate));
            crawler.apply(wanted);
            // Sometimes a crawl gets through in between, sometimes none does.
            tokio::time::sleep(Duration::from_millis(random.u64(0..20))).await;
        }
        expected.sort_unstable();
        let mut catalog = Catalog::default();
        let ids = |catalog: &Catalog| -> Vec<String> {
            catalog.tools().iter().map(|tool| tool.id.to_string()).collect()
        };
        let settled = async {
            // Equal now may be by chance: what is told afterwards must not change it.
            let mut quiet = false;
            while !quiet || ids(&catalog) != expected {
                let wait = Duration::from_millis(300);
                match tokio::time::timeout(wait, updates.recv()).await {
                    Ok(Some(update)) => {
                        catalog = catalog.fold(&update).0;
                        quiet = false;
                    }
                    _ => quiet = true,
                }
            }
        };
        let in_time = tokio::time::timeout(PATIENCE, settled).await.is_ok();
        assert!(in_time, "seed {seed}: {:?}, not {expected:?}", ids(&catalog));
        shutdown.cancel();
        crawler.stopped().await;
    }
}
