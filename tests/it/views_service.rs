//! Profiles of a whole service: they come, change and go with the configuration, and hold on the
//! command line and over stdio as well.

use std::path::Path;
use std::process::Stdio;

use rmcp::service::ServiceExt;
use serde_json::{Value, json};
use tokio::process::Command;

use crate::support::mock_embeddings::{MockEmbeddings, Reply};
use crate::support::service::{Service, catalog, configure, ids, run};

const TOOLS: &[(&str, &str, &str)] = &[
    ("crm", "find_customer", "Find a customer"),
    ("crm", "delete_customer", "Delete a customer"),
    ("mail", "send", "Send a letter to a customer"),
];
const SERVER: &str = "[servers.all]\ncatalog = \"catalog.jsonl\"\n";

fn write(folder: &Path, profiles: &str) {
    configure(folder, &format!("{SERVER}{profiles}"));
}

async fn shown(service: &Service, profile: &str) -> Vec<String> {
    ids(&service.get(&format!("/p/{profile}/v1/tools")).await.1)
}

async fn profiles(folder: &Path, service: &Service) -> Value {
    let token = std::fs::read_to_string(folder.join("data/admin.token")).unwrap();
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let request = client.get(format!("{}/v1/admin/profiles", service.url));
    let refused = request.try_clone().unwrap().send().await.unwrap();
    assert_eq!(refused.status(), 401);
    request.bearer_auth(token.trim()).send().await.unwrap().json().await.unwrap()
}

#[tokio::test]
async fn profiles_come_change_and_go_without_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    catalog(folder.path(), TOOLS);
    write(folder.path(), "[profiles.mail]\nservers = [\"mail\"]");
    let service = Service::start(folder.path(), &[]).await;
    service
        .until("the view is there", async || shown(&service, "mail").await == ["mail/send"])
        .await;
    assert_eq!(service.tools().await.len(), 3);
    assert_eq!(service.get("/p/crm/v1/tools").await.0, 404);
    let (_, before) = service.get("/p/mail/v1/search?q=customer").await;
    assert_eq!((ids(&before), &before["mode"]), (vec!["mail/send".to_owned()], &json!("hybrid")));

    write(
        folder.path(),
        "[profiles.mail]\ndeny = [\"delete_*\"]\n\
         [profiles.crm]\nservers = [\"crm\"]\npinned = [\"crm/gone\"]\nmax_tools = 1\n\
         [profiles.crm.rename]\n\"crm/delete_customer\" = \"find_customer\"",
    );
    let args = ["reload", "--json", "--data", "data", "--url", &service.url];
    let told = run(folder.path(), &args).await.json();
    assert_eq!(told["needs_restart"], json!([]), "{told}");
    let both = ["crm/find_customer", "mail/send"];
    service.until("the view changed", async || shown(&service, "mail").await == both).await;
    assert_eq!(shown(&service, "crm").await, ["crm/delete_customer"]);
    let (_, after) = service.get("/p/mail/v1/search?q=customer").await;
    assert!(after["generation"].as_u64() > before["generation"].as_u64());
    assert_eq!(ids(&after).len(), 2, "{after}");

    let told = profiles(folder.path(), &service).await;
    let crm = &told["profiles"][0];
    assert_eq!(
        (&crm["name"], &crm["tools"], &crm["embedded"]),
        (&json!("crm"), &json!(1), &json!(1))
    );
    let warnings = json!(["pinned: there is no tool crm/gone in this view"]);
    assert_eq!(crm["warnings"], warnings);

    // What is wrong changes nothing.
    write(folder.path(), "[profiles.mail]\nallow = [\"[\"]");
    service.until_logged("profiles.mail.allow").await;
    assert_eq!(shown(&service, "mail").await, both);

    write(folder.path(), "[profiles.crm]\nservers = [\"crm\"]");
    service.until("it is gone", async || service.get("/p/mail/v1/tools").await.0 == 404).await;
    assert_eq!(shown(&service, "crm").await.len(), 2);
    service.stop().await;

    // They are there from the start on, over what the snapshot has.
    let service = Service::start(folder.path(), &[]).await;
    service.until_ready().await;
    assert_eq!(shown(&service, "crm").await, ["crm/delete_customer", "crm/find_customer"]);
    service.stop().await;
}

#[tokio::test]
async fn a_rewritten_tool_gets_a_vector_of_its_own_from_a_slow_encoder() {
    let mock = MockEmbeddings::start(|_, _| Reply::Vectors).await;
    let folder = tempfile::tempdir().unwrap();
    catalog(folder.path(), TOOLS);
    let endpoint = format!(
        "[embed]\ndeadline = \"10s\"\n[embed.endpoint]\nurl = \"{}\"\nmodel = \"m\"\n\
         dimensions = 3\n",
        mock.url
    );
    let describe = "[profiles.a.describe]\n\"mail/send\" = \"Book an appointment\"";
    write(folder.path(), &format!("{endpoint}{describe}"));
    let service = Service::start(folder.path(), &[]).await;
    let first = async |path: &str| service.get(path).await.1["tools"][0].clone();
    // No word of it is in the query, so only its vector leads there.
    let path = "/v1/search?q=meeting&limit=1&explain=1";
    service
        .until("it is found by its new meaning", async || {
            let first = first(&format!("/p/a{path}")).await;
            first["id"] == "mail/send" && first["explain"]["dense"]["score"].as_f64() > Some(0.9)
        })
        .await;
    assert!(first(path).await["explain"]["dense"]["score"].as_f64() < Some(0.1));
    // So it is for one that is described later.
    write(
        folder.path(),
        &format!("{endpoint}{}", describe.replace("mail/send", "crm/delete_customer")),
    );
    service
        .until("the other is found", async || {
            let first = first(&format!("/p/a{path}")).await;
            first["id"] == "crm/delete_customer"
                && first["explain"]["dense"]["score"].as_f64() > Some(0.9)
        })
        .await;
    service.stop().await;
}

#[tokio::test]
async fn the_command_line_searches_a_view() {
    let folder = tempfile::tempdir().unwrap();
    catalog(folder.path(), TOOLS);
    write(
        folder.path(),
        "[profiles.a]\nallow = [\"*customer\"]\nlimit = 1\n[profiles.a.describe]\n\
         \"crm/find_customer\" = \"Look up a zebra\"",
    );
    let ask = ["search", "--json", "--profile", "a", "zebra"];
    let told = run(folder.path(), &ask).await.json();
    assert_eq!(ids(&told), ["crm/find_customer"]);
    assert_eq!(told["tools"][0]["definition"]["description"], "Look up a zebra");
    let letter = run(folder.path(), &["search", "--json", "--profile", "a", "send a letter"]).await;
    assert!(!ids(&letter.json()).contains(&"mail/send".to_owned()));
    let unknown = run(folder.path(), &["search", "--profile", "b", "letter"]).await;
    assert_ne!(unknown.code, 0);
    assert!(unknown.stderr.contains("choose one of a"), "{}", unknown.stderr);

    let service = Service::start(folder.path(), &[]).await;
    service.until_ready().await;
    let running = run(folder.path(), &[&ask[..], &["--url", &service.url]].concat()).await.json();
    assert_eq!(running["tools"][0]["definition"], told["tools"][0]["definition"]);
    let reads = ["search", "--json", "--read-only", "letter", "--url", &service.url];
    assert_eq!(ids(&run(folder.path(), &reads).await.json()), Vec::<String>::new());
    service.stop().await;
}

#[tokio::test]
async fn a_client_on_stdin_sees_its_profile() {
    let folder = tempfile::tempdir().unwrap();
    catalog(folder.path(), TOOLS);
    write(folder.path(), "[profiles.a]\nservers = [\"mail\"]");
    let start = |profile: &str| {
        Command::new(env!("CARGO_BIN_EXE_toolscout"))
            .args(["serve", "--stdio", "--data", "data", "--profile", profile])
            .env_remove("TOOLSCOUT_MODEL")
            .env_remove("TOOLSCOUT_CONFIG")
            .current_dir(folder.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .unwrap()
    };
    let mut child = start("a");
    let pipes = (child.stdout.take().unwrap(), child.stdin.take().unwrap());
    let client = ().serve(pipes).await.unwrap();
    loop {
        let tools = client.list_tools(None).await.unwrap().tools;
        let described = tools[0].description.as_deref().unwrap().to_owned();
        assert!(!described.contains("crm"), "{described}");
        if described.contains("1 tool of 1 server") {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    client.cancel().await.unwrap();
    let unknown = start("b").wait_with_output().await.unwrap();
    assert!(!unknown.status.success());
}
