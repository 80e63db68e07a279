//! Over the wire, for any catalogs, profiles and questions: no id that somebody may not see is in any
//! answer, whichever way it is asked for.

use std::collections::BTreeSet;

use proptest::prelude::*;
use proptest::test_runner::{Config as Cases, TestCaseError, TestRunner};
use reqwest::Method;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;
use toolscout::config::Config;
use toolscout::live::Live;
use toolscout::serve::door::Door;
use toolscout::serve::token::AdminToken;
use toolscout::serve::{Rooms, TENANT, Tenants};

use crate::support::app::{Listed, Reply, TestApp, catalog, config, profiles};

const SERVERS: [&str; 3] = ["git", "github", "mail"];
const NAMES: [&str; 5] = ["list", "list_issues", "drop", "send", "find"];
const WORDS: [&str; 5] = ["invoice", "branch", "customer", "letter", "merge"];
const GLOBS: [&str; 6] = ["*", "list*", "git/*", "github/find", "*s*", "send"];

/// A tool: which server and name, the word it is about, and whether it says that it only reads.
type Made = ((usize, usize), (usize, bool));

/// Who sees what: servers, allowed, denied, only those that read.
#[derive(Debug, Clone)]
struct Sees {
    servers: Option<Vec<&'static str>>,
    allow: Option<Vec<&'static str>>,
    deny: Vec<&'static str>,
    read_only: bool,
}

#[derive(Debug, Clone)]
struct Case {
    /// The main catalog, and those of two tenants.
    catalogs: [Vec<Made>; 3],
    profile: Sees,
    words: Vec<&'static str>,
    tool: (usize, usize),
}

fn case() -> impl Strategy<Value = Case> {
    let catalog = || {
        let tool = (0..WORDS.len(), any::<bool>());
        let at = (0..SERVERS.len(), 0..NAMES.len());
        prop::collection::btree_map(at, tool, 1..9).prop_map(|tools| tools.into_iter().collect())
    };
    let globs = || prop::collection::vec(prop::sample::select(&GLOBS[..]), 0..3);
    let denied = globs().prop_map(|globs| globs.into_iter().filter(|it| *it != "*").collect());
    let servers = prop::sample::subsequence(SERVERS.to_vec(), 0..3);
    let profile =
        (prop::option::of(servers), prop::option::of(globs()), denied, prop::bool::weighted(0.3))
            .prop_map(|(servers, allow, deny, read_only)| Sees { servers, allow, deny, read_only });
    let words = prop::collection::vec(prop::sample::select(&WORDS[..]), 1..4);
    let tool = (0..SERVERS.len(), 0..NAMES.len());
    ([catalog(), catalog(), catalog()], profile, words, tool)
        .prop_map(|(catalogs, profile, words, tool)| Case { catalogs, profile, words, tool })
}

/// A word that stands in this tool of this catalog and nowhere else.
fn marker(of: usize, (server, name): (usize, usize)) -> String {
    format!("qq{of}x{server}x{name}qq")
}

fn live(of: usize, tools: &[Made], toml: &str) -> Live {
    let define = |((server, name), (word, reads)): &Made| {
        let description = format!("{} {}", WORDS[*word], marker(of, (*server, *name)));
        json!({"name": NAMES[*name], "description": description,
            "annotations": {"readOnlyHint": reads}})
        .to_string()
    };
    let servers: Vec<(usize, Vec<String>)> = (0..SERVERS.len())
        .map(|at| (at, tools.iter().filter(|tool| tool.0.0 == at).map(define).collect()))
        .collect();
    let texts: Vec<(usize, Vec<&str>)> = servers
        .iter()
        .map(|(at, tools)| (*at, tools.iter().map(String::as_str).collect()))
        .collect();
    let listed: Vec<Listed<'_>> = texts
        .iter()
        .filter(|(_, tools)| !tools.is_empty())
        .map(|(at, tools)| (SERVERS[*at], None, tools.as_slice()))
        .collect();
    Live::from_catalog_with(catalog(&listed), &profiles(toml))
}

impl Sees {
    fn toml(&self) -> String {
        let list = |name: &str, of: &[&str]| format!("{name} = {of:?}\n");
        let servers = self.servers.as_ref().map(|of| list("servers", of)).unwrap_or_default();
        let allow = self.allow.as_ref().map(|of| list("allow", of)).unwrap_or_default();
        let deny = list("deny", &self.deny);
        let reads = if self.read_only { "read_only = true\n" } else { "" };
        format!("[profiles.some]\n{servers}{allow}{deny}{reads}")
    }

    /// By a plain reading.
    fn admits(&self, ((server, name), (_, reads)): &Made) -> bool {
        let id = format!("{}/{}", SERVERS[*server], NAMES[*name]);
        let matches = |globs: &[&str]| {
            globs.iter().any(|glob| {
                let matcher = globset::Glob::new(glob).unwrap().compile_matcher();
                matcher.is_match(if glob.contains('/') { &id } else { NAMES[*name] })
            })
        };
        self.servers.as_ref().is_none_or(|servers| servers.contains(&SERVERS[*server]))
            && self.allow.as_ref().is_none_or(|allow| matches(allow))
            && !matches(&self.deny)
            && (!self.read_only || *reads)
    }
}

/// Asks in every way; the answers, each with what was asked.
async fn ask(
    app: &TestApp,
    case: &Case,
    prefix: &str,
    headers: &[(&str, &str)],
) -> Vec<(String, Reply)> {
    let words = case.words.join("+");
    let id = format!("{}/{}", SERVERS[case.tool.0], NAMES[case.tool.1]);
    let with = |request: reqwest::RequestBuilder| {
        headers.iter().fold(request, |request, (name, value)| request.header(*name, *value))
    };
    let mut answers = Vec::new();
    for path in [
        "/v1/tools".to_owned(),
        "/v1/tools?limit=2".to_owned(),
        format!("/v1/tools/{id}"),
        "/v1/servers".to_owned(),
        "/v1/status".to_owned(),
        "/v1/anthropic/tools".to_owned(),
        "/v1/openai/tools".to_owned(),
        "/mcp/server-card".to_owned(),
        format!("/v1/search?q={words}&limit=50&explain=1"),
        format!("/v1/search?q={words}&why={id}"),
        format!("/v1/search?q={words}&server={}", SERVERS[case.tool.0]),
        format!("/v1/search?q={words}&format=openai"),
    ] {
        let path = format!("{prefix}{path}");
        let reply = app.send(with(app.request(Method::GET, &path))).await;
        answers.push((path, reply));
    }
    let text = case.words.join(" ");
    for (path, body) in [
        ("/v1/search", json!({"query": text, "limit": 50, "format": "names"})),
        ("/v1/search", json!({"batch": [{"query": text}, {"query": id}], "explain": true})),
        ("/v1/select", json!({"text": text, "limit": 50, "pinned": [id]})),
        ("/v1/select", json!({"text": text, "previous": [id]})),
        ("/v1/feedback", json!({"query": text, "tool": id})),
        ("/v1/call", json!({"id": id, "arguments": {}})),
    ] {
        let path = format!("{prefix}{path}");
        let request = app.request(Method::POST, &path).json(&body);
        answers.push((format!("{path} {body}"), app.send(with(request)).await));
    }
    for (name, arguments) in [
        ("search_tools", json!({"query": text, "limit": 50})),
        ("get_tool", json!({"id": id})),
        ("list_servers", json!({})),
        (&*id.replace('/', "__"), json!({})),
    ] {
        let params = json!({"name": name, "arguments": arguments});
        let body = json!({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params});
        let request = app.request(Method::POST, &format!("{prefix}/mcp")).json(&body);
        let request = request.header("accept", "application/json, text/event-stream");
        let request = request.header("mcp-protocol-version", "2025-06-18");
        answers.push((format!("{prefix}/mcp {body}"), app.send(with(request)).await));
    }
    let list = json!({"jsonrpc": "2.0", "id": 1, "method": "tools/list"});
    let request = app.request(Method::POST, &format!("{prefix}/mcp")).json(&list);
    let request = request.header("accept", "application/json, text/event-stream");
    answers.push((format!("{prefix}/mcp {list}"), app.send(with(request)).await));
    answers
}

/// Whoever sees `seen` of the catalog `of` was told of nothing else, and of all of that.
fn check(
    case: &Case,
    (of, seen): (usize, &BTreeSet<(usize, usize)>),
    answers: &[(String, Reply)],
) -> Result<(), TestCaseError> {
    for (asked, reply) in answers {
        prop_assert!(reply.status.as_u16() < 500 || reply.status == 501, "{asked}: {}", reply.text);
        let told = format!("{:?} {}", reply.headers, reply.text);
        for (at, tools) in case.catalogs.iter().enumerate() {
            for (tool, _) in tools.iter().filter(|(tool, _)| at != of || !seen.contains(tool)) {
                let word = marker(at, *tool);
                prop_assert!(!told.contains(&word), "{asked} tells {word}: {told}");
            }
        }
        // Of ids that it does not see, only the one that was asked for may be repeated.
        for (server, name) in
            (0..SERVERS.len()).flat_map(|at| (0..NAMES.len()).map(move |it| (at, it)))
        {
            let id = format!("{}/{}", SERVERS[server], NAMES[name]);
            if !seen.contains(&(server, name)) && !asked.contains(&id) {
                prop_assert!(!told.contains(&format!("{id:?}")), "{asked} tells {id}: {told}");
            }
        }
    }
    let listed: Value = answers[0].1.json();
    let tools = listed["tools"].as_array().unwrap();
    prop_assert_eq!(tools.len(), seen.len(), "{}", listed);
    let status: Value = answers[4].1.json();
    prop_assert_eq!(&status["total"], &json!(seen.len()), "{}", status);
    Ok(())
}

async fn run(case: Case) -> Result<(), TestCaseError> {
    let data = tempfile::tempdir().unwrap();
    let config = Config { data: data.path().to_owned(), ..config() };
    let token = AdminToken::open(data.path()).unwrap();
    let shutdown = CancellationToken::new();
    let tenants = Tenants::default();
    for (at, name) in [(1, "acme"), (2, "beta")] {
        let rooms = Rooms::from(live(at, &case.catalogs[at], ""));
        tenants.serve(name, rooms, &shutdown);
    }
    let main = live(0, &case.catalogs[0], &case.profile.toml());
    let bearer = format!("Bearer {}", token.expose());
    let door = Door::open(&config, Some(token)).unwrap();
    let app = TestApp::of(Rooms { tenants, door, ..Rooms::from(main) }, &config).await;

    let all = |at: usize| case.catalogs[at].iter().map(|(tool, _)| *tool).collect();
    check(&case, (0, &all(0)), &ask(&app, &case, "", &[]).await)?;
    let seen = case.catalogs[0].iter().filter(|tool| case.profile.admits(tool));
    let seen = seen.map(|(tool, _)| *tool).collect();
    check(&case, (0, &seen), &ask(&app, &case, "/p/some", &[]).await)?;
    for (at, name) in [(1, "acme"), (2, "beta")] {
        let headers = [("authorization", bearer.as_str()), (TENANT, name)];
        check(&case, (at, &all(at)), &ask(&app, &case, "", &headers).await)?;
        // The name alone, said by anybody, is nothing.
        let anybody = ask(&app, &case, "", &[(TENANT, name)]).await;
        check(&case, (0, &all(0)), &anybody)?;
    }
    app.stop().await;
    Ok(())
}

#[test]
fn no_answer_tells_of_what_is_not_to_be_seen() {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let cases = std::env::var("PROPTEST_CASES").ok().and_then(|text| text.parse().ok());
    let cases = Cases { cases: cases.unwrap_or(24), failure_persistence: None, ..Cases::default() };
    let done = TestRunner::new(cases).run(&case(), |case| runtime.block_on(run(case)));
    done.unwrap();
}
