//! Each profile learns by itself; and what is called through toolscout teaches it.

use std::time::Duration;

use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;
use toolscout::learn::Rules;
use toolscout::learn::book::Which;
use toolscout::live::Live;
use toolscout::live::learner::Learner;

use crate::support::app::{SERVERS, TestApp, catalog, config, profiles};
use crate::support::crawling::server;
use crate::support::mock_stdio::MockStdio;
use crate::support::proxy::{Proxy, all};

/// Has `live` learn, until the guard is dropped.
async fn learn(live: &Live, data: &tempfile::TempDir) -> (Learner, tokio_util::sync::DropGuard) {
    let rules = Rules { half_life: Duration::from_hours(1 << 20), max_events: 100 };
    let learner = Learner::open(rules, data.path().join("evidence.book")).await.unwrap();
    live.learn(learner.clone());
    let shutdown = CancellationToken::new();
    tokio::spawn(learner.clone().run(live.clone(), shutdown.clone()));
    (learner, shutdown.drop_guard())
}

#[tokio::test]
async fn what_a_profile_learns_shows_and_acts_in_it_alone() {
    let views = profiles("[profiles.team]\ndeny = ['x']\n[profiles.other]\nservers = ['calendar']");
    let live = Live::from_catalog_with(catalog(SERVERS), &views);
    let data = tempfile::tempdir().unwrap();
    let (learner, _guard) = learn(&live, &data).await;
    let app = TestApp::serve(live, &config()).await;
    let ask = async |path: &str| -> Value {
        let query = "q=arrange+a+party+for+the+day&explain=1&why=post/office/send_mail";
        let mut answer = app.get(&format!("{path}/v1/search?{query}")).await.json_lossy();
        answer["took_us"].take();
        answer
    };
    let tell = async |path: &str, more: Value| {
        let mut body =
            json!({"query": "arrange a party for the day", "tool": "post/office/send_mail"});
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        app.post(&format!("{path}/v1/feedback"), body.to_string()).await
    };
    let (whole, team, other) = (ask("").await, ask("/p/team").await, ask("/p/other").await);
    for (path, more) in [("/p/team", json!({})), ("", json!({"profile": "team"}))] {
        assert_eq!(tell(path, more).await.status, 202);
    }
    learner.settled().await;
    assert_eq!(ask("").await, whole);
    assert_eq!(ask("/p/other").await, other);
    let taught = ask("/p/team").await;
    assert_ne!(taught, team);
    assert_eq!(taught["tools"][0]["id"], "post/office/send_mail", "{taught}");
    assert_eq!(taught["why"]["learned"]["evidence"], 1, "{taught}");
    let kept: Vec<_> = learner
        .list(&Which::default())
        .into_iter()
        .map(|it| (it.scope, it.evidence.times))
        .collect();
    assert_eq!(kept, [("team".to_owned(), 2)]);

    // A name as model APIs have it is taken too; an explanation goes beside any format.
    let listed =
        app.get("/p/team/v1/search?q=send_mail&limit=1&format=anthropic").await.json_lossy();
    let name = &listed["result"][0]["name"];
    let named = tell("/p/team", json!({"tool": name})).await;
    let noted = json!({"tool": "post/office/send_mail", "noted": "chosen"});
    assert_eq!((named.status.as_u16(), named.json()), (202, noted));
    let query = "q=arrange+a+party+for+the+day&explain=1&format=names";
    let formatted = app.get(&format!("/p/team/v1/search?{query}")).await.json_lossy();
    let shown = &formatted["explain"]["post/office/send_mail"]["learned"];
    assert_eq!(shown, &taught["why"]["learned"], "{formatted}");

    // What a profile does not show can't be spoken of there, and is as if it were not there at all.
    let refused = tell("/p/other", json!({})).await;
    assert_eq!((refused.status.as_u16(), refused.problem()), (404, "unknown-tool".to_owned()));
    let none = tell("", json!({"profile": "none"})).await;
    assert_eq!((none.status.as_u16(), none.problem()), (404, "unknown-profile".to_owned()));
    assert_eq!(tell("/p/other", json!({"profile": "team"})).await.status, 400);
}

#[tokio::test]
async fn a_call_that_is_answered_teaches_the_search_before_it() {
    let page = json!({"tools": [
        {"name": "ring", "description": "Ring the bell", "inputSchema": {"type": "object"}},
        {"name": "open", "description": "Open the door and ring", "inputSchema": {"type": "object"}},
    ]});
    let done = json!({"result": r#"{"content":[{"type":"text","text":"done"}]}"#});
    let wrong = json!({"result": r#"{"content":[],"isError":true}"#});
    let calls = json!({"ring": wrong, "open": done});
    let stdio = MockStdio::new(&json!({"pages": [[null, page.to_string()]], "calls": calls}));
    let proxy = Proxy::start(vec![server("house", stdio.transport())], all()).await;
    let data = tempfile::tempdir().unwrap();
    let (learner, _guard) = learn(&proxy.app.live, &data).await;
    let known = || -> Vec<(String, String)> {
        let all = learner.list(&Which::default()).into_iter();
        all.map(|noted| (noted.query, noted.tool)).collect()
    };
    proxy.result("house/open", &json!({})).await;
    assert_eq!(known(), [], "nobody had searched");
    let found = proxy.app.get("/v1/search?q=ring+at+the+door").await.json();
    assert_eq!(found["tools"].as_array().unwrap().len(), 2, "{found}");
    proxy.result("house/ring", &json!({})).await;
    assert_eq!(known(), [], "what failed says little");
    // What a misspelled name is likened to is no search that somebody made.
    let missed = proxy.app.post("/v1/call", json!({"id": "house/opn door"}).to_string()).await;
    assert!(missed.json()["detail"].as_str().unwrap().contains("house/open"));
    proxy.result("house/open", &json!({})).await;
    assert_eq!(known(), [("ring at the door".to_owned(), "house/open".to_owned())]);
    proxy.stop().await;
}
