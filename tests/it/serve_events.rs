//! `GET /v1/events`: what is published, as it happens.

use futures::{Stream, StreamExt};
use reqwest::Method;
use serde_json::{Value, json};
use tokio_util::bytes::Bytes;

use crate::support::app::{Listed, TestApp, catalog, config, profiles, remove_server};
use crate::support::crawling::PATIENCE;
use crate::support::service::{Service, configure};
use crate::support::tenants::{Asker, key, operator};
use crate::trust_history::Shop;

/// The events of a stream, one after the other.
pub struct Events<S> {
    body: S,
    rest: String,
}

impl<S: Stream<Item = reqwest::Result<Bytes>> + Unpin> Events<S> {
    pub fn new(body: S) -> Self {
        Self { body, rest: String::new() }
    }

    /// The next event's name and data; `None` at the end.
    pub async fn next(&mut self) -> Option<(String, Value)> {
        let read = async {
            loop {
                if let Some((event, rest)) = self.rest.split_once("\n\n") {
                    let (event, rest) = (event.to_owned(), rest.to_owned());
                    self.rest = rest;
                    let (mut name, mut data) = (String::new(), None);
                    for line in event.lines() {
                        if let Some(said) = line.strip_prefix("event: ") {
                            said.clone_into(&mut name);
                        } else if let Some(said) = line.strip_prefix("data: ") {
                            data = Some(serde_json::from_str(said).unwrap());
                        }
                    }
                    if let Some(data) = data {
                        return Some((name, data));
                    }
                    continue;
                }
                let more = self.body.next().await?;
                self.rest.push_str(std::str::from_utf8(&more.unwrap()).unwrap());
            }
        };
        tokio::time::timeout(PATIENCE, read).await.expect("no event in time")
    }

    /// The next event, which has to be this.
    pub async fn told(&mut self, name: &str) -> Value {
        let (is, data) = self.next().await.expect("it ended");
        assert_eq!(is, name, "{data}");
        data
    }
}

fn ask(app: &TestApp) -> reqwest::RequestBuilder {
    app.request(Method::GET, "/v1/events").header("accept", "text/event-stream")
}

/// Opens the stream that is asked for.
pub async fn open(
    request: reqwest::RequestBuilder,
) -> Events<impl Stream<Item = reqwest::Result<Bytes>> + Unpin> {
    let response = request.header("accept", "text/event-stream").send().await.unwrap();
    assert_eq!(response.status(), 200);
    assert_eq!(response.headers()["content-type"], "text/event-stream");
    Events::new(response.bytes_stream())
}

fn without_age(mut servers: Value) -> Value {
    for server in servers.as_array_mut().unwrap() {
        server.as_object_mut().unwrap().remove("age_s");
    }
    servers
}

#[tokio::test]
async fn a_stream_begins_with_how_things_are_and_tells_what_changes() {
    let app = TestApp::start().await;
    let mut events = open(app.request(Method::GET, "/v1/events")).await;
    let state = events.told("state").await;
    let status = app.get("/v1/status").await.json();
    assert_eq!((&state["generation"], &state["total"]), (&status["generation"], &status["total"]));
    let servers = app.get("/v1/servers").await.json()["servers"].take();
    assert_eq!(without_age(state["servers"].clone()), without_age(servers));

    remove_server(&app.live, "files").await;
    let told = events.told("generation").await;
    let after = app.get("/v1/status").await.json();
    let wanted = json!({
        "generation": after["generation"], "total": after["total"],
        "added": 0, "removed": 1, "changed": 0, "servers": ["files"],
    });
    assert_eq!(told, wanted);
    assert_eq!(events.told("servers").await, json!({"servers": [], "gone": ["files"]}));
    // It ends with the service, which waits for no one.
    app.stop().await;
    assert_eq!(events.next().await, None);
}

#[tokio::test]
async fn a_profile_hears_of_its_own_servers_alone() {
    let tool = |name: &str| format!(r#"{{"name":"{name}","description":"x"}}"#);
    let (ring, knock) = (tool("ring"), tool("knock"));
    let servers: [Listed<'_>; 2] = [("bell", None, &[&ring]), ("door", None, &[&knock])];
    let profiles = profiles("[profiles.one]\nservers = ['bell']\n");
    let live = toolscout::live::Live::from_catalog_with(catalog(&servers), &profiles);
    let app = TestApp::serve(live, &config()).await;
    let mut events = open(app.request(Method::GET, "/p/one/v1/events")).await;
    let state = events.told("state").await;
    assert_eq!(state["total"], 1);
    assert!(!state.to_string().contains("door"), "{state}");
    remove_server(&app.live, "door").await;
    // That there is another generation is told of any view, and that nothing of this one changed.
    let told = events.told("generation").await;
    let counts = [&told["total"], &told["added"], &told["removed"], &told["changed"]];
    assert_eq!(counts, [1, 0, 0, 0]);
    assert_eq!(told["servers"], json!([]));
    remove_server(&app.live, "bell").await;
    assert_eq!(events.told("generation").await["servers"], json!(["bell"]));
    assert_eq!(events.told("servers").await["gone"], json!(["bell"]));
    assert_eq!(app.get("/v1/events?profile=none").await.problem(), "unknown-profile");
    let odd = app.get("/v1/events?after=3").await;
    assert_eq!(odd.problem(), "invalid-request");
    assert!(odd.text.contains("this path takes profile"), "{}", odd.text);
    // Whoever reads answers to their end gets none that has no end.
    assert_eq!(app.get("/v1/events").await.problem(), "not-acceptable");
}

#[tokio::test]
async fn a_caller_has_a_few_streams_and_gets_them_back() {
    let app = TestApp::start().await;
    let mut open_now = Vec::new();
    let refused = loop {
        let reply = ask(&app).send().await.unwrap();
        if reply.status() != 200 {
            break reply;
        }
        open_now.push(reply);
        assert!(open_now.len() <= 100, "no bound");
    };
    assert_eq!(refused.status(), 429);
    assert!(refused.headers().contains_key("retry-after"));
    open_now.truncate(1);
    let again = async {
        while ask(&app).send().await.unwrap().status() != 200 {
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(PATIENCE, again).await.unwrap();
}

#[tokio::test]
async fn what_a_real_server_does_is_told_as_it_happens() {
    let shop = Shop::open(&[("buy", "Buy a book")]).await;
    let folder = tempfile::tempdir().unwrap();
    shop.configure(folder.path(), "");
    let service = Service::start(folder.path(), &[]).await;
    service.until_state("shop", "ready").await;
    let asker = Asker::new(&service, Some(&operator(folder.path())));
    let mut events = open(asker.request(Method::GET, "/v1/events")).await;
    assert_eq!(events.told("state").await["servers"][0]["state"], "ready");
    shop.offer(&[("buy", "Buy a car"), ("sell", "Sell a car")]);
    // A crawl that finds nothing new is told as well: the listing is younger then.
    let told = loop {
        let (name, data) = events.next().await.unwrap();
        if name == "generation" {
            break data;
        }
    };
    assert_eq!((&told["added"], &told["changed"]), (&json!(1), &json!(1)));
    assert_eq!(events.told("servers").await["servers"][0]["tools"], 2);
    let paused = asker.post("/v1/admin/servers/shop/pause", &json!({})).await;
    assert_eq!(paused.status, 200, "{}", paused.text);
    while events.told("servers").await["servers"][0]["state"] != "paused" {}
    service.stop().await;
}

#[tokio::test]
async fn whoever_may_not_search_hears_nothing() {
    let folder = tempfile::tempdir().unwrap();
    configure(folder.path(), "[auth]\nkeys = true\n");
    let calls = key(folder.path(), None, &["call"]).await;
    let service = Service::start(folder.path(), &["--demo"]).await;
    for (key, wanted) in [(None, 401), (Some(calls.as_str()), 403)] {
        assert_eq!(Asker::new(&service, key).get("/v1/events").await.status, wanted);
    }
    service.stop().await;
}
