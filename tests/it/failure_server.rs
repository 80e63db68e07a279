//! Servers that die, hang and talk nonsense: what was known of them stays, is searched, and is
//! said to be stale; why is told; and they come back.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::{Value, json};

use crate::support::crawling::page;
use crate::support::mock_http::{Answer, MockHttp, Speaks};
use crate::support::mock_stdio::MockStdio;
use crate::support::service::{Service, configure, ids};
use toolscout::config::Transport;

const ALL: [&str; 2] = ["house/open_door", "house/ring_bell"];

async fn is_ill(service: &Service, state: &str, said: &str) {
    service
        .until(&format!("{state}: {said}"), async || {
            let house = service.server("house").await;
            house["state"] == state
                && house["error"].as_str().is_some_and(|error| error.contains(said))
        })
        .await;
    assert_eq!(service.tools().await, ALL);
    let answer = service.search("ring the bell").await;
    assert_eq!(ids(&answer)[0], "house/ring_bell");
    assert_eq!(answer["stale"][0]["server"], "house", "{answer}");
}

async fn is_well(service: &Service) {
    service
        .until("ready", async || {
            let house = service.server("house").await;
            house["state"] == "ready" && house["error"] == Value::Null
        })
        .await;
    assert_eq!(service.tools().await, ALL);
}

type Ill = (&'static str, &'static str, fn() -> Answer);

#[tokio::test]
async fn an_http_server_that_fails_takes_no_tool_away() {
    const ILLS: &[Ill] = &[
        ("stale", "ended before the listing was complete", || {
            Answer::Cut(r#"{"jsonrpc":"2.0","result":{"tools":[{"#.into())
        }),
        ("stale", "no complete listing within 2s", || Answer::Hang),
        ("stale", "breaks the protocol", || Answer::Body("text/html", b"<p>Sorry</p>".to_vec())),
        ("stale", "breaks the protocol", || {
            Answer::Body(
                "application/json",
                br#"{"jsonrpc":"2.0","result":{"tools":[{"na"#.to_vec(),
            )
        }),
        ("stale", "breaks the protocol", || {
            Answer::Body(
                "text/plain",
                br#"{"jsonrpc":"2.0","id":1,"result":{"tools":[]}}"#.to_vec(),
            )
        }),
        ("stale", "HTTP 500", || Answer::Status(500, None)),
        ("stale", "`tools` is not an array", || Answer::Result(r#"{"tools":{}}"#.into())),
        ("stale", "refused `tools/list`", || Answer::Error(-32603, "the roof is on fire")),
        ("auth_required", "wants a login", || Answer::Status(401, Some("Bearer"))),
    ];
    let ill = Arc::new(AtomicUsize::new(usize::MAX));
    let now = Arc::clone(&ill);
    // The first page comes: it is in the middle that it fails.
    let mock = MockHttp::start(Speaks::Stateless, false, move |request| {
        match (&request.cursor, ILLS.get(now.load(Ordering::SeqCst))) {
            (None, _) => Answer::Result(page(&["open_door"], Some("more"))),
            (Some(_), None) => Answer::Result(page(&["ring_bell"], None)),
            (Some(_), Some((.., answer))) => answer(),
        }
    })
    .await;
    let folder = tempfile::tempdir().unwrap();
    let entry = "refresh = \"1s\"\ntimeout = \"2s\"";
    configure(folder.path(), &format!("[servers.house]\nurl = \"{}\"\n{entry}\n", mock.url));
    let service = Service::start(folder.path(), &[]).await;
    is_well(&service).await;
    for (at, (state, said, _)) in ILLS.iter().enumerate() {
        ill.store(at, Ordering::SeqCst);
        is_ill(&service, state, said).await;
        ill.store(usize::MAX, Ordering::SeqCst);
        is_well(&service).await;
    }
    service.stop().await;
}

#[tokio::test]
async fn a_child_that_fails_takes_no_tool_away() {
    let pages =
        [(None, page(&["open_door"], Some("more"))), (Some("more"), page(&["ring_bell"], None))];
    let script = |ill: &str| json!({"pages": pages, ill: true});
    let mock = MockStdio::new(&script("well"));
    let Transport::Stdio { command, args, .. } = mock.transport() else {
        panic!("not stdio");
    };
    let folder = tempfile::tempdir().unwrap();
    let entry = "refresh = \"1s\"\ntimeout = \"5s\"";
    let command = format!("command = {command:?}\nargs = {args:?}");
    configure(folder.path(), &format!("[servers.house]\n{command}\n{entry}\n"));
    let service = Service::start(folder.path(), &[]).await;
    is_well(&service).await;
    for (ill, said) in [
        ("cut", "ended (exit status: 0) before it had answered"),
        ("hang", "no complete listing within 5s"),
        ("junk", "no complete listing within 5s"),
    ] {
        mock.rewrite(&script(ill));
        is_ill(&service, "stale", said).await;
        mock.rewrite(&script("well"));
        is_well(&service).await;
    }
    service.stop().await;
}
