//! Evaluations in the background: what they say, how they are stopped and kept, and that searching goes
//! on beside them.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use reqwest::Method;
use rustix::process::Signal;
use serde_json::{Value, json};

use crate::support::mock_embeddings::{MockEmbeddings, Reply};
use crate::support::service::{Service, catalog, configure, ids, run};
use crate::support::tenants::{Asker, Told, key, operator};

const PATH: &str = "/v1/admin/evals";

/// Two tools, and queries of which one is found, one is not, one has no label.
const TOOLS: [(&str, &str, &str); 2] = [
    ("house", "ring_bell", "Ring the bell of the front door"),
    ("house", "open_door", "Open the front door"),
];
const QUERIES: &str = r#"{"id":"a","query":"ring a bell","relevant":["house/ring_bell"],"category":"plain"}
{"id":"b","query":"ring","relevant":["house/paint_fence"],"category":"odd"}
{"id":"c","query":"front door"}
"#;

fn house() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    catalog(folder.path(), &TOOLS);
    configure(folder.path(), "[servers.house]\ncatalog = 'catalog.jsonl'\n");
    folder
}

async fn serve(folder: &Path, args: &[&str]) -> (Service, Asker) {
    let service = Service::start(folder, args).await;
    service.until_ready().await;
    let asker = Asker::new(&service, Some(&operator(folder)));
    (service, asker)
}

/// Begins one; its id.
async fn begin(asker: &Asker, body: Value) -> String {
    let told = asker.post(PATH, &body).await;
    assert_eq!(told.status, 202, "{told:?}");
    told.json()["id"].as_str().unwrap().to_owned()
}

async fn show(asker: &Asker, id: &str) -> Value {
    let told = asker.get(&format!("{PATH}/{id}")).await;
    assert_eq!(told.status, 200, "{told:?}");
    told.json()
}

/// What came of one, once it is done.
async fn done(service: &Service, asker: &Asker, id: &str) -> Value {
    service
        .until(&format!("{id} is done"), async || {
            let state = show(asker, id).await["state"].clone();
            assert!(state != "failed", "{state}");
            state == "done"
        })
        .await;
    show(asker, id).await
}

async fn remove(asker: &Asker, id: &str) -> Told {
    asker.send(asker.request(Method::DELETE, &format!("{PATH}/{id}"))).await
}

async fn listed(asker: &Asker) -> Vec<String> {
    let list = asker.get(PATH).await.json();
    let ids = list["evals"].as_array().unwrap().iter().map(|eval| eval["id"].as_str().unwrap());
    ids.map(str::to_owned).collect()
}

#[tokio::test]
async fn the_scores_are_those_of_the_command() {
    let folder = tempfile::tempdir().unwrap();
    let service = Service::start(folder.path(), &["--demo"]).await;
    service
        .until("all 14 servers ready", async || service.status().await["servers"]["ready"] == 14)
        .await;
    let asker = Asker::new(&service, Some(&operator(folder.path())));
    let files = asker.get(&format!("{PATH}/files")).await.json();
    assert_eq!(files["files"][0]["name"], "demo", "{files}");
    let out = ["--out", "catalog.jsonl", "--out-servers", "servers.jsonl"];
    let ran = run(folder.path(), &[&["crawl", "--demo"][..], &out].concat()).await;
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    let queries = Path::new(env!("CARGO_MANIFEST_DIR")).join("index-data/demo/queries.jsonl");
    let queries = queries.to_str().unwrap();
    for arm in ["hybrid", "lexical"] {
        let id = begin(&asker, json!({"file": "demo", "arms": arm})).await;
        let ours = done(&service, &asker, &id).await;
        let of_what = ["eval", "--catalog", "catalog.jsonl", "--servers", "servers.jsonl"];
        let args = [&of_what[..], &["--queries", queries, "--arm", arm, "--json"]].concat();
        let theirs = run(folder.path(), &args).await.json();
        let head = &ours["head"];
        assert_eq!(head["mode"], arm);
        assert_eq!(head["all"], theirs["all"], "{arm}");
        assert_eq!(ours["categories"], theirs["categories"], "{arm}");
        assert_eq!(head["as_served"], theirs["as_served"], "{arm}");
        for count in ["queries", "unscored", "tools"] {
            assert_eq!(head[count], theirs[count], "{arm} {count}");
        }
        // Each failed query is answered so where it is asked for itself.
        let failures = ours["failures"].as_array().unwrap();
        let scored = head["queries"].as_f64().unwrap();
        let complete = theirs["as_served"]["complete"].as_f64().unwrap();
        assert!((scored * (1.0 - complete) - head["failed"].as_f64().unwrap()).abs() < 1e-6);
        assert_eq!(json!(failures.len()), head["failed"]);
        assert!(!failures.is_empty());
        if arm == "hybrid" {
            for failure in failures.iter().step_by(5) {
                let answer = service.search(failure["query"].as_str().unwrap()).await;
                assert_eq!(json!(ids(&answer)), failure["got"], "{failure}");
            }
        }
    }
    // The two differ by the arms alone, and the first is the better one.
    let both = listed(&asker).await;
    let told = asker.get(&format!("{PATH}/{}/compare?baseline={}", both[1], both[0])).await.json();
    let (hybrid, lexical) = (&told["run"], &told["baseline"]);
    assert_eq!((&hybrid["file"], &hybrid["catalog"]), (&lexical["file"], &lexical["catalog"]));
    assert_ne!(hybrid["configuration"], lexical["configuration"]);
    let of_5 = told["metrics"].as_array().unwrap().iter().find(|one| one["metric"] == "R@5");
    assert_eq!(of_5.unwrap()["verdict"], "better", "{told}");
    assert!(told["moved"].as_array().unwrap()[0]["query"].as_str().unwrap().len() > 5);
}

#[tokio::test]
async fn a_result_says_what_failed_is_kept_over_a_restart_and_forgotten_on_request() {
    let folder = house();
    let (service, asker) = serve(folder.path(), &[]).await;
    assert_eq!(asker.get(PATH).await.json(), json!({"evals": []}));
    let id = begin(&asker, json!({"queries": QUERIES, "name": "my.jsonl", "limit": 1})).await;
    let told = done(&service, &asker, &id).await;
    assert_eq!((&told["done"], &told["total"]), (&json!(3), &json!(3)));
    let head = &told["head"];
    assert_eq!(
        (&head["name"], &head["queries"], &head["failed"]),
        (&json!("my.jsonl"), &json!(2), &json!(1))
    );
    let failure = &told["failures"][0];
    let missed = json!([{"tool": "house/paint_fence", "rank": null, "known": false}]);
    assert_eq!((&failure["id"], &failure["missed"]), (&json!("b"), &missed));
    assert_eq!(failure["got"], json!(["house/ring_bell"]));
    assert_eq!(told["categories"]["plain"]["metrics"]["R@1"], 1.0);
    service.stop().await;

    let (service, asker) = serve(folder.path(), &[]).await;
    assert_eq!(show(&asker, &id).await, told);
    let next = begin(&asker, json!({"queries": QUERIES})).await;
    done(&service, &asker, &next).await;
    assert_eq!(listed(&asker).await, [next.clone(), id.clone()]);
    let compare = format!("{PATH}/{next}/compare?baseline={id}&metric=MRR");
    let same = asker.get(&compare).await.json();
    assert_eq!((&same["queries"], &same["metrics"][0]["verdict"]), (&json!(2), &json!("same")));
    assert_eq!(remove(&asker, &id).await.status, 200);
    assert_eq!(remove(&asker, &id).await.problem(), "unknown-eval");
    assert_eq!(asker.get(&compare).await.problem(), "unknown-eval");
    assert_eq!(listed(&asker).await, [next]);
}

#[tokio::test]
async fn what_can_not_be_evaluated_is_refused_with_what_is_wrong() {
    let folder = house();
    let queries = folder.path().join("data/evals/queries");
    std::fs::create_dir_all(&queries).unwrap();
    std::fs::write(queries.join("own.jsonl"), QUERIES).unwrap();
    std::fs::write(folder.path().join("data/evals/secret.jsonl"), QUERIES).unwrap();
    let (service, asker) = serve(folder.path(), &[]).await;
    let bad = format!("{QUERIES}{{\"id\": 4}}");
    for (body, status, problem, said) in [
        (
            json!({"queries": bad, "name": "bad.jsonl"}),
            400,
            "invalid-queries",
            "bad.jsonl, line 4: ",
        ),
        (json!({"queries": ""}), 400, "invalid-queries", "there is no query in it"),
        (json!({"queries": QUERIES, "file": "own.jsonl"}), 400, "invalid-request", "one of both"),
        (json!({}), 400, "invalid-request", "one of both"),
        (json!({"queries": QUERIES, "k": 5}), 400, "invalid-request", "unknown field `k`"),
        (json!({"queries": QUERIES, "arms": "both"}), 400, "invalid-request", "`both`"),
        (json!({"queries": QUERIES, "limit": 51}), 400, "limit-out-of-range", "1 to 50"),
        (json!({"file": "demo"}), 404, "unknown-file", "evals/files"),
        (json!({"file": "../secret.jsonl"}), 404, "unknown-file", "evals/files"),
        (json!({"queries": "x".repeat(9 << 20)}), 413, "too-many-queries", "bytes"),
        (json!({"queries": "x".repeat(11 << 20)}), 413, "body-too-large", "10485760 bytes"),
    ] {
        let told = asker.post(PATH, &body).await;
        assert_eq!((told.status, &*told.problem()), (status, problem), "{said}: {}", told.text);
        assert!(told.text.contains(said), "{said}: {}", told.text);
    }
    assert!(listed(&asker).await.is_empty());
    for path in ["x", "../evals", "1"] {
        assert_eq!(asker.get(&format!("{PATH}/{path}/compare?baseline=2")).await.status, 404);
    }
    let told = asker.get(&format!("{PATH}/1/compare")).await;
    assert_eq!(told.problem(), "invalid-request");
    // Other paths take as much as ever.
    let large = json!({"query": "x".repeat(2 << 20)});
    assert_eq!(asker.post("/v1/search", &large).await.problem(), "body-too-large");
    let id = begin(&asker, json!({"file": "own.jsonl"})).await;
    assert_eq!(done(&service, &asker, &id).await["name"], "own.jsonl");
    // Whoever does not administer hears nothing of it.
    let nobody = Asker::new(&service, None);
    for path in [PATH.to_owned(), format!("{PATH}/files"), format!("{PATH}/{id}")] {
        assert_eq!(nobody.get(&path).await.status, 401, "{path}");
    }
    assert_eq!(nobody.post(PATH, &json!({"file": "own.jsonl"})).await.status, 401);
    assert_eq!(remove(&nobody, &id).await.status, 401);
}

/// The folder of one whose encoder is at this endpoint.
fn with_endpoint(mock: &MockEmbeddings) -> tempfile::TempDir {
    let folder = house();
    let url = &mock.url;
    configure(
        folder.path(),
        &format!(
            "[servers.house]\ncatalog = 'catalog.jsonl'\n[embed]\ndeadline = '1m'\n\
             [embed.endpoint]\nurl = '{url}'\n\
             model = 'm'\ndimensions = 3\n"
        ),
    );
    folder
}

/// An encoder that never answers to one text, and a folder that names it.
async fn hanging() -> (MockEmbeddings, tempfile::TempDir) {
    let mock = MockEmbeddings::start(|request, _| {
        let is_it = request.texts.iter().any(|text| text.contains("qqhang"));
        if is_it { Reply::Hang } else { Reply::Vectors }
    });
    let mock = mock.await;
    let folder = with_endpoint(&mock);
    (mock, folder)
}

#[tokio::test]
async fn searching_goes_on_beside_it_and_what_waits_can_be_cancelled() {
    let (mock, folder) = hanging().await;
    let (service, asker) = serve(folder.path(), &[]).await;
    service.until("both are embedded", async || service.status().await["embedded"] == 2).await;
    let slow = format!("{QUERIES}{{\"id\":\"d\",\"query\":\"qqhang\"}}\n");
    let first = begin(&asker, json!({"queries": slow, "name": "slow"})).await;
    let is_there = async || mock.seen().iter().any(|one| one.texts.concat().contains("qqhang"));
    service.until("it is at the query that takes for ever", is_there).await;
    let told = show(&asker, &first).await;
    assert_eq!(
        (&told["state"], &told["done"], &told["total"]),
        (&json!("running"), &json!(3), &json!(4))
    );

    // In the middle of it every search is answered, with vectors.
    for query in ["ring the bell", "open a door", "appointment"] {
        assert_eq!(service.search(query).await["mode"], "hybrid", "{query}");
    }
    assert_eq!(show(&asker, &first).await["state"], "running");

    // Others wait for it, not without end, and each can be cancelled.
    let mut waiting = Vec::new();
    for _ in 1..8 {
        waiting.push(begin(&asker, json!({"queries": QUERIES})).await);
    }
    assert_eq!(show(&asker, &waiting[0]).await["state"], "waiting");
    let full = asker.post(PATH, &json!({"queries": QUERIES})).await;
    assert_eq!((full.status, full.problem()), (429, "too-many-evals".into()));
    let refused = asker.get(&format!("{PATH}/{first}/compare?baseline={}", waiting[0])).await;
    assert_eq!(refused.problem(), "not-done");
    // Nor do they take more memory than there is for them; nothing is lost by that.
    assert_eq!(remove(&asker, &waiting.pop().unwrap()).await.status, 200);
    let labels = vec!["a/b"; 200];
    let broad = (0..4_000)
        .map(|at| json!({"id": at.to_string(), "query": "ring", "relevant": labels}).to_string());
    let broad = json!({"queries": broad.collect::<Vec<_>>().join("\n")});
    let told = asker.post(PATH, &broad).await;
    assert_eq!((told.status, told.problem()), (503, "no-room".into()), "{told:?}");
    assert_eq!(listed(&asker).await.len(), 7);
    waiting.push(begin(&asker, json!({"queries": QUERIES})).await);
    let last = waiting.pop().unwrap();
    for id in waiting.iter().chain([&first]) {
        assert_eq!(remove(&asker, id).await.status, 200);
        assert_eq!(asker.get(&format!("{PATH}/{id}")).await.problem(), "unknown-eval");
    }
    assert_eq!(listed(&asker).await, [last]);
    service.stop().await;
    // What was under way left nothing.
    let runs = folder.path().join("data/evals/runs");
    assert!(!runs.exists() || std::fs::read_dir(runs).unwrap().next().is_none());
}

#[tokio::test]
async fn the_end_of_the_process_waits_for_no_endpoint() {
    let (mock, folder) = hanging().await;
    let (mut service, asker) = serve(folder.path(), &[]).await;
    service.until("both are embedded", async || service.status().await["embedded"] == 2).await;
    let slow = json!({"queries": "{\"id\":\"d\",\"query\":\"qqhang\"}\n"});
    let id = begin(&asker, slow).await;
    let is_there = async || mock.seen().iter().any(|one| one.texts.concat().contains("qqhang"));
    service.until("it is at the query that takes for ever", is_there).await;
    assert_eq!(show(&asker, &id).await["state"], "running");
    service.signal(Signal::TERM);
    assert_eq!(service.ended().await, Some(0), "{}", service.log());
    // In time, that is.
    assert!(!service.log().contains("an evaluation did not end"), "{}", service.log());
}

#[tokio::test]
async fn one_that_fails_says_why_and_the_next_is_worked_on() {
    let fails = Arc::new(AtomicBool::new(false));
    let failing = Arc::clone(&fails);
    let mock = MockEmbeddings::start(move |_, _| {
        if failing.load(Ordering::SeqCst) { Reply::Status(400, None) } else { Reply::Vectors }
    });
    let mock = mock.await;
    let folder = with_endpoint(&mock);
    let (service, asker) = serve(folder.path(), &[]).await;
    service.until("both are embedded", async || service.status().await["embedded"] == 2).await;
    fails.store(true, Ordering::SeqCst);
    let id = begin(&asker, json!({"queries": QUERIES})).await;
    service.until("it failed", async || show(&asker, &id).await["state"] == "failed").await;
    let told = show(&asker, &id).await;
    assert!(
        told["error"].as_str().unwrap().starts_with("query \"a\": the embeddings endpoint"),
        "{told}"
    );
    // Words alone need no endpoint.
    let words = begin(&asker, json!({"queries": QUERIES, "arms": "lexical"})).await;
    assert_eq!(done(&service, &asker, &words).await["head"]["mode"], "lexical");
    assert_eq!(listed(&asker).await, [words, id.clone()]);
    assert_eq!(remove(&asker, &id).await.status, 200);
}

#[tokio::test]
async fn an_operator_of_a_tenant_sees_what_was_evaluated_for_it_alone() {
    let folder = house();
    for name in ["acme", "beta"] {
        std::fs::copy(
            folder.path().join("catalog.jsonl"),
            folder.path().join(format!("{name}.jsonl")),
        )
        .unwrap();
        let text = format!("[servers.{name}-file]\ncatalog = '{name}.jsonl'\n");
        std::fs::write(folder.path().join(format!("{name}.toml")), text).unwrap();
    }
    configure(
        folder.path(),
        "[servers.house]\ncatalog = 'catalog.jsonl'\n[auth]\nkeys = true\n\
         [tenants.acme]\nconfig = 'acme.toml'\n[tenants.beta]\nconfig = 'beta.toml'\n",
    );
    let mut keys = Vec::new();
    for tenant in [Some("acme"), Some("beta"), None] {
        keys.push(key(folder.path(), tenant, &["search", "admin"]).await);
    }
    let search = key(folder.path(), Some("acme"), &["search"]).await;
    let service = Service::start(folder.path(), &[]).await;
    let askers: Vec<Asker> = keys.iter().map(|key| Asker::new(&service, Some(key))).collect();
    for asker in &askers {
        service
            .until("served", async || {
                let told = asker.get("/v1/status").await;
                told.status == 200 && told.json()["total"] == 2
            })
            .await;
    }
    let [acme, beta, main] = &askers[..] else { unreachable!() };
    let id = begin(acme, json!({"queries": QUERIES, "name": "secret of acme"})).await;
    done(&service, acme, &id).await;
    for other in [beta, main] {
        assert!(listed(other).await.is_empty());
        assert_eq!(other.get(&format!("{PATH}/{id}")).await.problem(), "unknown-eval");
        let compare = format!("{PATH}/{id}/compare?baseline={id}");
        assert_eq!(other.get(&compare).await.problem(), "unknown-eval");
        assert_eq!(remove(other, &id).await.problem(), "unknown-eval");
    }
    let refused = Asker::new(&service, Some(&search)).get(PATH).await;
    assert_eq!((refused.status, refused.problem()), (403, "insufficient-scope".into()));
    assert_eq!(listed(acme).await, [id]);
    assert!(folder.path().join("data/tenants/acme/evals/runs").is_dir());
}
