//! What is chosen after a query is lifted for queries like it, shown, and erased on demand.

use std::path::{Path, PathBuf};

use reqwest::Method;
use serde_json::{Value, json};

use crate::support::service::{Service, catalog, configure, ids, run};

/// Chat, mail and calendar, none of them in the words of the queries below.
fn office(folder: &Path, learn: &str) {
    catalog(
        folder,
        &[
            ("chat", "post_message", "Write a message into a channel"),
            ("mail", "send_mail", "Send an e-mail to a recipient"),
            ("mail", "search_mail", "Search the mailbox for an e-mail"),
            (
                "calendar",
                "create_event",
                "Create an event and invite guests for lunch or a meeting",
            ),
            ("calendar", "list_events", "List the events of a day"),
            ("files", "read_file", "Read a file from disk"),
            ("files", "write_file", "Write a file to disk"),
            ("tickets", "close_ticket", "Close a ticket of the help desk"),
        ],
    );
    configure(folder, &format!("{learn}\n[servers.office]\ncatalog = 'catalog.jsonl'"));
}

const ON: &str = "[learn]\nenabled = true";
const ASKED: &str = "ping the crew about lunch";
const ALIKE: &str = "ping my crew, it is about lunch";

/// Status and body of a request, with the token of the data folder.
async fn send(
    folder: &Path,
    service: &Service,
    method: Method,
    path: &str,
    body: Option<Value>,
) -> (u16, Value) {
    let token = std::fs::read_to_string(folder.join("data/admin.token")).unwrap();
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let mut request = client.request(method, format!("{}{path}", service.url));
    if let Some(body) = body {
        request = request.json(&body);
    }
    let response = request.bearer_auth(token.trim()).send().await.unwrap();
    (response.status().as_u16(), response.json().await.unwrap_or_default())
}

async fn tell(folder: &Path, service: &Service, body: Value) -> (u16, Value) {
    send(folder, service, Method::POST, "/v1/feedback", Some(body)).await
}

async fn choose(folder: &Path, service: &Service, query: &str, tool: &str) {
    let told = tell(folder, service, json!({"query": query, "tool": tool})).await;
    assert_eq!(told, (202, json!({"tool": tool, "noted": "chosen"})));
}

/// The answer to a query, explained, but for what the clock has to do with.
async fn ask(service: &Service, query: &str) -> Value {
    let query: String = url::form_urlencoded::byte_serialize(query.as_bytes()).collect();
    let path = format!("/v1/search?q={query}&explain=1&why=chat/post_message");
    let (status, mut answer) = service.get(&path).await;
    assert_eq!(status, 200, "{answer}");
    answer["took_us"].take();
    answer
}

async fn until_first(service: &Service, query: &str, tool: &str) {
    service
        .until(&format!("{tool} is first for {query:?}"), async || {
            ids(&ask(service, query).await)[0] == tool
        })
        .await;
}

fn book(folder: &Path) -> PathBuf {
    folder.join("data/learned/evidence.book")
}

fn holds(path: &Path, text: &str) -> bool {
    std::fs::read(path).unwrap().windows(text.len()).any(|bytes| bytes == text.as_bytes())
}

#[tokio::test]
async fn a_choice_lifts_is_explained_outlives_a_restart_and_is_erased() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    office(folder, ON);
    let service = Service::start(folder, &[]).await;
    service.until_ready().await;
    let unlike = "read what is on the disk";
    let before = (ask(&service, ASKED).await, ask(&service, ALIKE).await);
    let other = ask(&service, unlike).await;
    assert_ne!(ids(&before.0)[0], "chat/post_message", "{}", before.0);
    assert_eq!(before.0["mode"], "hybrid");
    assert!(before.0["why"]["learned"].is_null());

    choose(folder, &service, ASKED, "chat/post_message").await;
    until_first(&service, ASKED, "chat/post_message").await;
    let same = ask(&service, ASKED).await;
    let learned = &same["tools"][0]["explain"]["learned"];
    assert_eq!((&learned["evidence"], &same["why"]["learned"]), (&json!(1), learned), "{same}");
    assert!(learned["likeness"].as_f64().unwrap() > 0.99, "{same}");
    // Its words alone had not been enough.
    assert_eq!((&before.0["no_good_match"], &same["no_good_match"]), (&json!(true), &json!(false)));
    let alike = ask(&service, ALIKE).await;
    let raised = |answer: &Value| answer["why"]["learned"]["lift"].as_f64().unwrap();
    assert!(raised(&alike) > 0.0 && raised(&alike) < raised(&same), "{alike}");
    assert!(
        same["tools"].as_array().unwrap()[1..]
            .iter()
            .all(|tool| tool["explain"]["learned"].is_null())
    );
    let place = ["search", "--url", &service.url, "--explain", ASKED];
    let shown = run(folder, &place).await;
    assert!(shown.stdout.contains("chosen after 1 queries like this one"), "{}", shown.stdout);
    // Nobody reads there what others asked.
    assert!(!alike.to_string().contains(ASKED));
    assert_eq!(ask(&service, unlike).await, other);
    service.stop().await;

    let service = Service::start(folder, &[]).await;
    service.until_ready().await;
    until_first(&service, ASKED, "chat/post_message").await;
    let (status, list) =
        send(folder, &service, Method::GET, "/v1/admin/learned?tool=chat/post_message", None).await;
    assert_eq!((status, &list["total"]), (200, &json!(1)), "{list}");
    let one = &list["evidence"][0];
    assert_eq!(
        (&one["query"], &one["scope"], &one["times"]),
        (&json!(ASKED), &json!(""), &json!(1))
    );
    assert!(one["weight"].as_f64().unwrap() > 0.99);
    assert!(holds(&book(folder), ASKED));

    let erase = async |path: &str| send(folder, &service, Method::DELETE, path, None).await;
    let nothing = (200, json!({"forgotten": 0}));
    assert_eq!(erase("/v1/admin/learned?tool=mail/send_mail").await, nothing);
    assert_eq!(erase("/v1/admin/learned?scope=team").await, nothing);
    // Else all of it would go.
    for unknown in ["tols=x", "profile=x"] {
        assert_eq!(erase(&format!("/v1/admin/learned?{unknown}")).await.0, 400, "{unknown}");
    }
    assert_eq!(erase("/v1/admin/learned?query=nobody%20asked%20").await, nothing);
    assert_eq!(erase("/v1/admin/learned").await, (200, json!({"forgotten": 1})));
    // At once, on disk as well, and the answers are those from before.
    let generation = |mut answer: Value| {
        answer["generation"].take();
        answer
    };
    assert!(!holds(&book(folder), ASKED));
    assert_eq!(generation(ask(&service, ASKED).await), generation(before.0));
    assert_eq!(generation(ask(&service, ALIKE).await), generation(before.1));
    service.stop().await;
    assert!(!holds(&book(folder), ASKED));
}

#[tokio::test]
async fn a_wrong_tool_is_taken_back_and_an_exact_name_stays_first() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    office(folder, ON);
    let service = Service::start(folder, &[]).await;
    service.until_ready().await;
    let before = ids(&ask(&service, ASKED).await);
    for _ in 0..5 {
        choose(folder, &service, "send mail", "tickets/close_ticket").await;
        choose(folder, &service, ASKED, "chat/post_message").await;
    }
    until_first(&service, ASKED, "chat/post_message").await;
    let (_, list) = send(folder, &service, Method::GET, "/v1/admin/learned?limit=1", None).await;
    assert_eq!((&list["total"], &list["evidence"][0]["times"]), (&json!(2), &json!(5)), "{list}");
    // Five times said is heard three times.
    assert!((list["evidence"][0]["weight"].as_f64().unwrap() - 3.0).abs() < 0.01, "{list}");
    let next =
        format!("/v1/admin/learned?limit=1&cursor={}", list["next_cursor"].as_str().unwrap());
    let (_, list) = send(folder, &service, Method::GET, &next, None).await;
    assert_eq!(
        (&list["evidence"][0]["query"], &list["next_cursor"]),
        (&json!("send mail"), &Value::Null)
    );

    let named = ask(&service, "send mail").await;
    let tools = named["tools"].as_array().unwrap();
    assert_eq!(tools[0]["id"], "mail/send_mail", "{named}");
    let pushed = tools.iter().find(|tool| tool["id"] == "tickets/close_ticket").unwrap();
    assert!(pushed["explain"]["learned"]["lift"].as_f64().unwrap() > 0.5, "{named}");
    assert!(pushed["score"].as_f64().unwrap() <= 1.0, "{named}");

    let wrong = json!({"queries": [ASKED], "tool": "chat/post_message", "outcome": "wrong"});
    for _ in 0..4 {
        let told = tell(folder, &service, wrong.clone()).await;
        assert_eq!((told.0, &told.1["noted"]), (202, &json!("wrong")));
    }
    service
        .until("it is as if nothing had been chosen", async || {
            ids(&ask(&service, ASKED).await) == before
        })
        .await;
    service.stop().await;
}

#[tokio::test]
async fn what_can_not_be_learned_is_refused_and_says_why() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    office(folder, "");
    let service = Service::start(folder, &[]).await;
    service.until_ready().await;
    let fine = json!({"query": ASKED, "tool": "chat/post_message"});
    let (status, problem) = tell(folder, &service, fine.clone()).await;
    assert_eq!((status, &problem["type"]), (409, &json!("urn:toolscout:problem:learning-off")));
    assert!(problem["detail"].as_str().unwrap().contains("[learn]"), "{problem}");
    assert_eq!(send(folder, &service, Method::GET, "/v1/admin/learned", None).await.0, 409);
    service.stop().await;
    assert!(!book(folder).exists(), "nothing is kept where nothing is learned");

    office(folder, ON);
    let service = Service::start(folder, &[]).await;
    service.until_ready().await;
    for (body, status, code) in [
        (json!({"query": ASKED, "tool": "chat/none"}), 404, "unknown-tool"),
        (json!({"query": " - ", "tool": "chat/post_message"}), 400, "empty-query"),
        (json!({"query": "long ".repeat(500), "tool": "chat/post_message"}), 400, "query-too-long"),
        (json!({"queries": vec!["x"; 9], "tool": "chat/post_message"}), 400, "too-many-phrasings"),
        (json!({"tool": "chat/post_message"}), 400, "invalid-request"),
        (
            json!({"query": "x", "tool": "chat/post_message", "outcome": "best"}),
            400,
            "invalid-request",
        ),
        (json!({"query": "x", "tool": "chat/post_message", "scope": "y"}), 400, "invalid-request"),
    ] {
        let (got, problem) = tell(folder, &service, body).await;
        assert_eq!(
            (got, &problem["type"]),
            (status, &json!(format!("urn:toolscout:problem:{code}")))
        );
    }
    let (_, list) = send(folder, &service, Method::GET, "/v1/admin/learned", None).await;
    assert_eq!(list, json!({"evidence": [], "total": 0}));
    // A flood is stopped.
    let mut refused = None;
    for number in 0..200 {
        let query = format!("query number {number}");
        let told =
            tell(folder, &service, json!({"query": query, "tool": "chat/post_message"})).await;
        if told.0 != 202 {
            refused = Some(told);
            break;
        }
    }
    let (status, problem) = refused.expect("not stopped");
    assert_eq!(
        (status, &problem["type"]),
        (429, &json!("urn:toolscout:problem:too-much-feedback"))
    );
    service.stop().await;
}

#[tokio::test]
async fn the_command_line_lists_and_forgets() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    office(folder, ON);
    let service = Service::start(folder, &[]).await;
    service.until_ready().await;
    let learned = async |args: &[&str]| {
        let place = ["--data", "data", "--url", &service.url];
        run(folder, &[&["learned"], args, &place].concat()).await
    };
    assert_eq!(learned(&["list"]).await.stdout, "nothing was learned\n");
    choose(folder, &service, ASKED, "chat/post_message").await;
    choose(folder, &service, "turn \u{202E}round", "chat/post_message").await;
    choose(folder, &service, ASKED, "mail/send_mail").await;
    let ran = learned(&["list"]).await;
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    assert!(ran.stdout.contains(ASKED) && ran.stdout.contains("mail/send_mail"), "{}", ran.stdout);
    assert!(!ran.stdout.contains('\u{202E}'), "{}", ran.stdout);
    let json = learned(&["list", "--query", ASKED, "--json"]).await.json();
    let tools: Vec<&Value> = json.as_array().unwrap().iter().map(|one| &one["tool"]).collect();
    assert_eq!(tools, ["chat/post_message", "mail/send_mail"]);

    assert_eq!(learned(&["forget"]).await.code, 2, "what is to be forgotten has to be named");
    let ran = learned(&["forget", "--query", ASKED, "--tool", "mail/send_mail"]).await;
    assert_eq!(ran.stdout, "forgot 1 pieces of evidence\n", "{}", ran.stderr);
    assert_eq!(learned(&["forget", "--all"]).await.stdout, "forgot 2 pieces of evidence\n");
    assert_eq!(learned(&["list"]).await.stdout, "nothing was learned\n");
    service.stop().await;
}

#[tokio::test]
async fn a_damaged_book_is_set_aside() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    office(folder, ON);
    std::fs::create_dir_all(folder.join("data/learned")).unwrap();
    std::fs::write(book(folder), "this is no book, however long it may be made to look").unwrap();
    let service = Service::start(folder, &[]).await;
    service.until_ready().await;
    service.until_logged("learning begins anew").await;
    choose(folder, &service, ASKED, "chat/post_message").await;
    until_first(&service, ASKED, "chat/post_message").await;
    service.stop().await;
    let files: Vec<_> = std::fs::read_dir(folder.join("data/learned")).unwrap().collect();
    assert_eq!(files.len(), 2, "{files:?}");
}

#[tokio::test]
async fn another_encoder_reads_what_was_kept_anew() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    office(folder, &format!("{ON}\n[embed]\nenabled = false"));
    let service = Service::start(folder, &[]).await;
    service.until_ready().await;
    choose(folder, &service, ASKED, "chat/post_message").await;
    until_first(&service, ASKED, "chat/post_message").await;
    let by_words = ask(&service, ALIKE).await;
    assert_eq!(by_words["mode"], "lexical");
    service.stop().await;

    office(folder, ON);
    let service = Service::start(folder, &[]).await;
    service.until_ready().await;
    let likeness = |answer: &Value| answer["why"]["learned"]["likeness"].as_f64();
    assert_eq!(likeness(&by_words), Some(1.0), "it differs in words without weight alone");
    service
        .until("vectors tell the two apart", async || {
            let answer = ask(&service, ALIKE).await;
            answer["mode"] == "hybrid" && likeness(&answer).is_some_and(|of| of > 0.0 && of < 1.0)
        })
        .await;
    service.stop().await;
}
