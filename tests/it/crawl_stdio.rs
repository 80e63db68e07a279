//! Servers that are children: their environment, their noise, their end.

use std::time::Duration;

use serde_json::{Value, json};
use toolscout::catalog::ServerInfo;
use toolscout::config::Transport;
use toolscout::crawl::crawl_once;

use crate::support::crawling::{
    Crawls, failure, limits, listing, names, outcome, page, server, until,
};
use crate::support::mock_stdio::MockStdio;

fn command(command: &str, args: &[&str]) -> Transport {
    Transport::Stdio {
        command: command.into(),
        args: args.iter().map(ToString::to_string).collect(),
        env: Vec::new(),
        cwd: None,
    }
}

#[tokio::test]
async fn noise_is_survived() {
    let mock = MockStdio::new(&json!({"pages": [[null, page(&["a"], None)]], "noise": true}));
    assert_eq!(names(&listing(outcome(mock.transport()).await)), ["a"]);
}

#[tokio::test]
async fn any_refusal_of_discovery_leads_to_the_handshake() {
    for refusal in [-32601, -32602, -32600, 0] {
        let pages = page(&["a"], None);
        let mock = MockStdio::new(&json!({"pages": [[null, pages]], "refusal": refusal}));
        assert_eq!(names(&listing(outcome(mock.transport()).await)), ["a"]);
        // The same process was asked.
        assert_eq!(mock.count("start"), 1);
    }
    let pages = page(&["a"], None);
    let mock = MockStdio::new(&json!({"pages": [[null, pages]], "dies_on_discover": true}));
    assert_eq!(names(&listing(outcome(mock.transport()).await)), ["a"]);
    assert_eq!(mock.count("start"), 2);
}

#[tokio::test]
async fn a_slow_start_is_no_failure() {
    // Longer than rmcp waits for an answer to its probe: the late answer must do no harm.
    let crawl = |stateless: bool| async move {
        let script =
            json!({"pages": [[null, page(&["a"], None)]], "stateless": stateless, "delay": 10.5});
        let mock = MockStdio::new(&script);
        assert_eq!(names(&listing(outcome(mock.transport()).await)), ["a"]);
        mock.count("start")
    };
    let (handshake, stateless) = tokio::join!(crawl(false), crawl(true));
    assert_eq!(handshake, 1);
    // Having been asked to shake hands, it is asked afresh.
    assert_eq!(stateless, 2);
}

#[tokio::test]
async fn the_remembered_era_comes_first() {
    let mock = MockStdio::pages(&[(None, &page(&["a"], None))]);
    let known = ServerInfo { protocol: Some("2025-11-25".into()), ..ServerInfo::default() };
    crawl_once(&server("srv", mock.transport()), &limits(), Some(&known)).await;
    assert_eq!(mock.log()[1..], ["initialize", "notifications/initialized", "tools/list"]);
}

#[tokio::test]
async fn the_environment_is_clean_but_for_what_is_named() {
    let mock = MockStdio::new(&json!({"environment": true}));
    let mut transport = mock.transport();
    if let Transport::Stdio { env, .. } = &mut transport {
        env.push(("MOCK_TOKEN".into(), "value".into()));
    }
    let listing = listing(outcome(transport).await);
    let tool: Value = serde_json::from_str(listing.tools[0].definition.get()).unwrap();
    let names: Vec<_> = tool["env"].as_object().unwrap().keys().map(String::as_str).collect();
    assert!(names.contains(&"PATH") && names.contains(&"MOCK_TOKEN"), "{names:?}");
    // Set by cargo for this process, so it would be there had it been inherited.
    assert!(std::env::var_os("CARGO_MANIFEST_DIR").is_some());
    assert!(!names.contains(&"CARGO_MANIFEST_DIR"), "{names:?}");
}

#[tokio::test]
async fn a_command_that_can_not_run_is_named() {
    let error = failure(outcome(command("no-such-command-at-all", &[])).await);
    assert!(error.contains("`no-such-command-at-all` not found"), "{error}");
    let folder = tempfile::tempdir().unwrap();
    let error = failure(outcome(command(folder.path().to_str().unwrap(), &[])).await);
    assert!(error.contains("does not start"), "{error}");
    let mut transport = command("python3", &[]);
    if let Transport::Stdio { cwd, .. } = &mut transport {
        *cwd = Some("/no/such/folder".into());
    }
    let error = failure(outcome(transport).await);
    assert!(error.contains("/no/such/folder does not exist"), "{error}");
}

#[tokio::test]
async fn last_words_are_told_and_secrets_are_not() {
    let mock = MockStdio::new(&json!({"last_words": "no access with key-12345, sorry"}));
    let mut transport = mock.transport();
    if let Transport::Stdio { env, .. } = &mut transport {
        env.push(("KEY".into(), "key-12345".into()));
    }
    let error = failure(outcome(transport).await);
    assert!(error.contains("exit status: 7"), "{error}");
    assert!(error.contains("no access with ***, sorry"), "{error}");
}

#[tokio::test]
async fn a_line_without_end_is_cut_off() {
    let mock = MockStdio::new(&json!({"flood": true}));
    let error = failure(outcome(mock.transport()).await);
    assert!(error.contains("more than 4194304 bytes"), "{error}");
    until("the child is gone", || mock.running().is_empty()).await;
}

#[tokio::test]
async fn an_end_in_the_middle_of_a_page_is_a_failure() {
    let mock = MockStdio::new(&json!({"cut": true}));
    let error = failure(outcome(mock.transport()).await);
    assert!(error.contains("ended (exit status: 0) before it had answered"), "{error}");
}

#[tokio::test]
async fn nothing_is_left_running() {
    // A child that does not end when its stdin closes, and that has a child of its own.
    let script = |hang: bool| json!({"pages": [[null, page(&["a"], None)]], "grandchild": true, "stubborn": true, "hang": hang});
    let mock = MockStdio::new(&script(false));
    listing(outcome(mock.transport()).await);
    assert_eq!(mock.count("start"), 2);
    until("the listed are gone", || mock.running().is_empty()).await;

    let hanging = MockStdio::new(&script(true));
    let mut slow = server("srv", hanging.transport());
    slow.timeout = Duration::from_secs(3);
    failure(crawl_once(&slow, &limits(), None).await.remove(0).outcome);
    until("the timed out are gone", || hanging.running().is_empty()).await;

    let mock = MockStdio::new(&script(false));
    let hanging = MockStdio::new(&script(true));
    let mut crawls = Crawls::start(
        vec![server("watched", mock.transport()), server("hanging", hanging.transport())],
        [].into(),
    );
    crawls.listing_of("watched").await;
    until("both run", || mock.running().len() == 2 && hanging.count("tools/list") == 1).await;
    crawls.stop().await;
    until("the watched are gone", || mock.running().is_empty()).await;
    until("the hanging are gone", || hanging.running().is_empty()).await;
}
