//! Who comes too often is told when to come again; whether the service is ready is always told.

use reqwest::Method;
use toolscout::config::{Config, LimitsConfig, Rate};
use toolscout::live::Live;

use crate::support::app::{Reply, SERVERS, TestApp, catalog, config};
use crate::support::service::{Service, configure};

/// So slow that nothing comes back while a test runs.
fn burst(of: u32) -> Option<Rate> {
    Rate::new(0.001, of)
}

/// A configuration whose proxy is this machine.
fn behind_a_proxy(mut limits: LimitsConfig) -> Config {
    limits.trusted_proxies = vec!["127.0.0.0/8".parse().unwrap()];
    Config { limits, ..config() }
}

async fn start(config: &Config) -> TestApp {
    TestApp::serve(Live::from_catalog(catalog(SERVERS)), config).await
}

async fn get(app: &TestApp, path: &str, from: &str) -> Reply {
    app.send(app.request(Method::GET, path).header("x-forwarded-for", from)).await
}

const SEARCH: &str = "/v1/search?q=event";

#[track_caller]
fn assert_limited(reply: &Reply, code: &str) {
    assert_eq!(reply.status, 429, "{}", reply.text);
    assert_eq!(reply.problem(), code);
    let after: u64 = reply.headers["retry-after"].to_str().unwrap().parse().unwrap();
    assert!((900..=1_000).contains(&after), "{after}");
}

#[tokio::test]
async fn an_address_has_its_rate_and_no_other_pays_for_it() {
    let limits = LimitsConfig { per_address: burst(3), ..LimitsConfig::default() };
    let app = start(&behind_a_proxy(limits)).await;
    for _ in 0..3 {
        assert_eq!(get(&app, SEARCH, "203.0.113.1").await.status, 200);
    }
    assert_limited(&get(&app, SEARCH, "203.0.113.1").await, "rate-limited");
    // What it claims to have come through does not help.
    let claimed = get(&app, SEARCH, "198.51.100.7, 203.0.113.1").await;
    assert_limited(&claimed, "rate-limited");
    assert_eq!(get(&app, SEARCH, "203.0.113.2").await.status, 200);
    for path in ["/livez", "/readyz"] {
        assert_eq!(get(&app, path, "203.0.113.1").await.status, 200, "{path}");
    }
    // Who has one address of a /64 has all of them.
    for end in 1..=3 {
        assert_eq!(get(&app, SEARCH, &format!("2001:db8::{end}")).await.status, 200);
    }
    assert_limited(&get(&app, SEARCH, "2001:db8::4").await, "rate-limited");
    assert_eq!(get(&app, SEARCH, "2001:db8:0:1::4").await.status, 200);
    // This machine itself has no rate.
    for _ in 0..10 {
        assert_eq!(app.get(SEARCH).await.status, 200);
    }
    let metrics = app.get("/metrics").await.text;
    assert!(metrics.contains("toolscout_limited_total{kind=\"address\"}"), "{metrics}");
}

/// A proxy on this machine writes one header and passes the other on, as its client wrote it.
#[tokio::test]
async fn a_header_that_contradicts_the_proxys_frees_nobody() {
    let limits = LimitsConfig { per_address: burst(3), ..LimitsConfig::default() };
    let app = start(&behind_a_proxy(limits)).await;
    let ask = async || {
        let request = app.request(Method::GET, SEARCH).header("x-forwarded-for", "203.0.113.1");
        app.send(request.header("forwarded", "for=198.51.100.7")).await
    };
    for _ in 0..3 {
        assert_eq!(ask().await.status, 200);
    }
    assert_limited(&ask().await, "rate-limited");
    assert_eq!(app.get(SEARCH).await.status, 200);
}

#[tokio::test]
async fn nobody_but_a_trusted_proxy_is_believed() {
    let limits = LimitsConfig { per_caller: burst(3), ..LimitsConfig::default() };
    let app = start(&Config { limits, ..config() }).await;
    for number in 0..3 {
        assert_eq!(get(&app, SEARCH, &format!("203.0.113.{number}")).await.status, 200);
    }
    assert_limited(&get(&app, SEARCH, "203.0.113.9").await, "rate-limited");
    assert_eq!(app.get("/readyz").await.status, 200);
}

#[tokio::test]
async fn without_a_word_in_the_file_who_searches_all_the_time_is_not_limited() {
    let app = start(&behind_a_proxy(LimitsConfig::default())).await;
    for _ in 0..500 {
        assert_eq!(get(&app, SEARCH, "203.0.113.1").await.status, 200);
    }
}

#[tokio::test]
async fn credentials_that_are_refused_too_often_make_their_address_wait() {
    let folder = tempfile::tempdir().unwrap();
    let limits = "[limits]\ntrusted_proxies = ['127.0.0.1']\nfailed_auth_per_minute = 1";
    configure(folder.path(), limits);
    let service = Service::start(folder.path(), &[]).await;
    let token = std::fs::read_to_string(folder.path().join("data/admin.token")).unwrap();
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let ask = async |path: &str, from: &str, token: Option<&str>| {
        let request = client.get(format!("{}{path}", service.url));
        let mut request = request.header("x-forwarded-for", from);
        if let Some(token) = token {
            request = request.bearer_auth(token.trim());
        }
        let response = request.send().await.unwrap();
        (response.status().as_u16(), response.headers().contains_key("retry-after"))
    };
    let admin = "/v1/admin/quotas";
    // The second is one too many, and is told so the next time.
    for _ in 0..2 {
        assert_eq!(ask(admin, "203.0.113.1", Some("guess")).await, (401, false));
    }
    assert_eq!(ask(admin, "203.0.113.1", Some("guess")).await, (429, true));
    // Not even the right one is looked at, so that guessing on tells nothing.
    assert_eq!(ask(admin, "203.0.113.1", Some(&token)).await, (429, true));
    assert_eq!(ask("/livez", "203.0.113.1", None).await, (200, false));
    assert_eq!(ask(admin, "203.0.113.2", Some(&token)).await, (200, false));
    // Who shows nothing has not guessed.
    for _ in 0..4 {
        assert_eq!(ask(admin, "203.0.113.3", None).await, (401, false));
    }
    assert_eq!(ask(admin, "203.0.113.3", Some(&token)).await, (200, false));
    service.stop().await;
}
