//! API keys, from the command line and the admin API to the running service that takes them.

use std::path::Path;

use reqwest::Method;
use serde_json::{Value, json};

use crate::support::oauth::{Browser, Site};
use crate::support::service::{Ran, Service, catalog, configure, run, serve};

const CONFIG: &str = "[auth]\nkeys = true\n[servers.files]\ncatalog = \"catalog.jsonl\"\n";

fn folder(config: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    configure(folder.path(), config);
    catalog(folder.path(), &[("mail", "send_mail", "Send an e-mail"), ("git", "merge", "Merge")]);
    folder
}

async fn key(folder: &Path, args: &[&str]) -> Ran {
    run(folder, &[&["key"], args, &["--data", "data"]].concat()).await
}

/// A key's id and the key itself.
async fn create(folder: &Path, args: &[&str]) -> (String, String) {
    let made = key(folder, &[&["create", "--json"], args].concat()).await.json();
    let text = |name: &str| made[name].as_str().unwrap().to_owned();
    (text("id"), text("secret"))
}

/// Status, challenge and body of an answer to somebody who shows this.
async fn ask_with(
    service: &Service,
    (method, path): (Method, &str),
    headers: &[(&str, &str)],
    body: Option<Value>,
) -> (u16, String, Value) {
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let mut request = client.request(method, format!("{}{path}", service.url));
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    if let Some(body) = body {
        request = request.json(&body);
    }
    let response = request.send().await.unwrap();
    let status = response.status().as_u16();
    let challenge = response.headers().get("www-authenticate");
    let challenge = challenge.map_or("", |value| value.to_str().unwrap()).to_owned();
    let mut body: Value = serde_json::from_str(&response.text().await.unwrap()).unwrap_or_default();
    if let Some(body) = body.as_object_mut() {
        body.remove("request_id");
    }
    (status, challenge, body)
}

async fn status(service: &Service, key: &str) -> u16 {
    let bearer = format!("Bearer {key}");
    let headers = [("authorization", bearer.as_str())];
    ask_with(service, (Method::GET, "/v1/status"), &headers, None).await.0
}

fn operator(folder: &Path) -> String {
    let token = std::fs::read_to_string(folder.join("data/admin.token")).unwrap();
    format!("Bearer {}", token.trim())
}

/// Every file below a folder that holds this text.
fn holding(folder: &Path, text: &str) -> Vec<std::path::PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(holding(&path, text));
        } else if String::from_utf8_lossy(&std::fs::read(&path).unwrap()).contains(text) {
            found.push(path);
        }
    }
    found
}

#[tokio::test]
async fn keys_are_made_used_replaced_and_revoked_while_it_runs() {
    let folder = folder(CONFIG);
    let (early, first) = create(folder.path(), &["made before the start"]).await;
    let mut command = serve(folder.path(), &[]);
    command.env("RUST_LOG", "trace");
    let service = Service::of(command).await;
    service.until("it answers the key", async || status(&service, &first).await == 200).await;
    service.until_ready().await;
    let as_key = [("x-api-key", first.as_str())];
    let found = ask_with(&service, (Method::GET, "/v1/search?q=mail"), &as_key, None).await;
    assert_eq!((found.0, &found.2["tools"][0]["id"]), (200, &json!("mail/send_mail")));

    // Without one, and with one that does not count: nobody is told what is wrong with it.
    let (code, challenge, missing) =
        ask_with(&service, (Method::GET, "/v1/status"), &[], None).await;
    assert_eq!((code, challenge.as_str()), (401, "Bearer realm=\"toolscout\""));
    assert_eq!(missing["type"], "urn:toolscout:problem:unauthorized");
    let (other, revoked) = create(folder.path(), &["to be revoked"]).await;
    service.until("the new key counts", async || status(&service, &revoked).await == 200).await;
    assert_eq!(key(folder.path(), &["revoke", &other]).await.code, 0);
    service.until("it is revoked", async || status(&service, &revoked).await == 401).await;
    let stranger = tempfile::tempdir().unwrap();
    let (_, unknown) = create(stranger.path(), &["of somebody else"]).await;
    let mixed = format!("{}{}", &first[..16], &unknown[16..]);
    let mut told = Vec::new();
    for wrong in [&revoked, &unknown, &mixed, "ts_", "nonsense", ""] {
        let bearer = format!("Bearer {wrong}");
        let headers = [("authorization", bearer.as_str())];
        told.push(ask_with(&service, (Method::GET, "/v1/status"), &headers, None).await);
    }
    assert_eq!(told[0].0, 401);
    assert_eq!(told[0].1, "Bearer realm=\"toolscout\", error=\"invalid_token\"");
    assert!(told.iter().all(|answer| *answer == told[0]), "{told:?}");
    let basic = [("authorization", "Basic dTpw")];
    assert_eq!(ask_with(&service, (Method::GET, "/v1/status"), &basic, None).await, told[0]);
    let both = [("x-api-key", first.as_str()), ("authorization", "Bearer x")];
    assert_eq!(ask_with(&service, (Method::GET, "/v1/status"), &both, None).await.0, 400);

    // Another secret: the old one counts for a while, or not at all any more.
    let rotated = key(folder.path(), &["rotate", &early, "--overlap", "1h", "--json"]).await.json();
    let second = rotated["secret"].as_str().unwrap().to_owned();
    service.until("the new secret counts", async || status(&service, &second).await == 200).await;
    assert_eq!(status(&service, &first).await, 200);
    let rotated = key(folder.path(), &["rotate", &early, "--overlap", "0s", "--json"]).await.json();
    let third = rotated["secret"].as_str().unwrap().to_owned();
    service.until("the third counts", async || status(&service, &third).await == 200).await;
    assert_eq!((status(&service, &first).await, status(&service, &second).await), (401, 401));

    // Failures are counted by reason, and none of the keys is told anywhere.
    let admin = operator(folder.path());
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let metrics = client.get(format!("{}/metrics", service.url)).header("authorization", &admin);
    let metrics = metrics.send().await.unwrap().text().await.unwrap();
    for reason in ["missing", "unknown_key", "revoked_key", "expired_key", "several"] {
        let line = format!("toolscout_auth_failures_total{{reason=\"{reason}\"}} ");
        assert!(metrics.contains(&line), "{reason}: {metrics}");
    }
    let listed = key(folder.path(), &["list"]).await.stdout;
    assert!(listed.contains("made before the start") && listed.contains("revoked"), "{listed}");
    for key in [&first, &second, &third, &revoked] {
        let secret = &key[16..80];
        assert_eq!(holding(folder.path(), secret), Vec::<std::path::PathBuf>::new());
        for text in [&service.log(), &listed, &metrics] {
            assert!(!text.contains(secret), "a secret is told");
        }
    }
    // When it was used is kept, roughly, at the end at the latest.
    service.stop().await;
    let listed = key(folder.path(), &["list", "--json"]).await.json();
    let keys = listed["keys"].as_array().unwrap();
    let used = keys.iter().find(|key| key["id"] == early.as_str()).unwrap();
    assert!(used["last_used"].is_string(), "{used}");
}

#[tokio::test]
async fn operators_have_keys_made_over_http() {
    let folder = folder(CONFIG);
    let service = Service::start(folder.path(), &[]).await;
    let admin = operator(folder.path());
    let as_admin = [("authorization", admin.as_str())];
    let create =
        |body: Value| ask_with(&service, (Method::POST, "/v1/admin/keys"), &as_admin, Some(body));
    let (code, _, made) =
        create(json!({ "name": "ci", "scopes": ["call", "search"], "allowance": { "rate": 2.5 } }))
            .await;
    assert_eq!((code, &made["scopes"]), (201, &json!(["search", "call"])), "{made}");
    // It counts at once.
    let (id, secret) = (made["id"].as_str().unwrap(), made["secret"].as_str().unwrap());
    assert_eq!(status(&service, secret).await, 200);
    let keys = (Method::GET, "/v1/admin/keys");
    let listed = ask_with(&service, keys.clone(), &as_admin, None).await.2;
    assert_eq!(
        (&listed["keys"][0]["name"], &listed["keys"][0]["secret"]),
        (&json!("ci"), &Value::Null)
    );
    assert_eq!(listed["keys"][0]["allowance"], json!({ "rate": 2.5 }));
    // It does not create others itself.
    let as_key = [("x-api-key", secret)];
    let (code, challenge, refused) = ask_with(&service, keys, &as_key, None).await;
    assert_eq!((code, &refused["type"]), (403, &json!("urn:toolscout:problem:insufficient-scope")));
    assert!(challenge.contains("error=\"insufficient_scope\""), "{challenge}");

    // Nor anything else that administers.
    let document = ask_with(&service, (Method::GET, "/openapi.json"), &as_key, None).await.2;
    let mut seen = 0;
    for (path, operations) in document["paths"].as_object().unwrap() {
        for method in operations.as_object().unwrap().keys() {
            if path.starts_with("/v1/admin/") {
                let method: Method = method.to_uppercase().parse().unwrap();
                let has_body = [Method::POST, Method::PUT].contains(&method);
                let body = has_body.then(|| json!({}));
                let asked = (method, path.as_str());
                let refused = ask_with(&service, asked.clone(), &as_key, body.clone()).await;
                assert_eq!(refused.0, 403, "{asked:?}");
                assert_eq!(ask_with(&service, asked, &[], body).await.0, 401, "{path}");
                seen += 1;
            }
        }
    }
    assert!(seen >= 20, "{seen}");

    for (wrong, code) in [
        (json!({ "name": "" }), "invalid-key"),
        (json!({ "name": "a", "scopes": [] }), "invalid-key"),
        (json!({ "name": "a", "scopes": ["root"] }), "invalid-request"),
        (json!({ "name": "a", "profile": "nowhere" }), "invalid-request"),
        (json!({ "name": "a", "expires_in": "soon" }), "invalid-request"),
        (json!({ "name": "a", "secret": "mine" }), "invalid-request"),
    ] {
        let (status, _, problem) = create(wrong.clone()).await;
        assert_eq!(status, 400, "{wrong}");
        assert_eq!(problem["type"], format!("urn:toolscout:problem:{code}"), "{wrong}");
    }
    let path = format!("/v1/admin/keys/{id}/rotate");
    let overlap = Some(json!({ "overlap": "0s" }));
    let rotated = ask_with(&service, (Method::POST, &path), &as_admin, overlap).await;
    let fresh = rotated.2["secret"].as_str().unwrap();
    assert_eq!((status(&service, secret).await, status(&service, fresh).await), (401, 200));
    let path = format!("/v1/admin/keys/{id}");
    let revoked = ask_with(&service, (Method::DELETE, &path), &as_admin, None).await;
    assert_eq!((revoked.0, &revoked.2["state"]), (200, &json!("revoked")));
    assert_eq!(status(&service, fresh).await, 401);
    let unknown = (Method::DELETE, "/v1/admin/keys/nobody");
    assert_eq!(ask_with(&service, unknown, &as_admin, None).await.0, 404);

    // One that lasts a second: until it has passed it counts.
    let short = create(json!({ "name": "short", "expires_in": "1s" })).await.2;
    let short = short["secret"].as_str().unwrap();
    service.until("it has expired", async || status(&service, short).await == 401).await;
}

#[tokio::test]
async fn the_command_line_shows_who_it_is() {
    let folder = folder(CONFIG);
    let service = Service::start(folder.path(), &[]).await;
    let place = ["--data", "data", "--url", service.url.as_str()];
    for command in [&["server", "list"][..], &["reload"], &["trust", "pending"]] {
        let ran = run(folder.path(), &[command, &place].concat()).await;
        assert_eq!(ran.code, 0, "{command:?}: {}", ran.stderr);
    }
    let search = ["search", "mail", "--url", service.url.as_str(), "--json"];
    let refused = run(folder.path(), &search).await;
    assert!(refused.code == 1 && refused.stderr.contains("show who you are"), "{}", refused.stderr);
    let (_, key) = create(folder.path(), &["me"]).await;
    std::fs::write(folder.path().join("my.key"), format!("{key}\n")).unwrap();
    service.until("the key counts", async || status(&service, &key).await == 200).await;
    let found = run(folder.path(), &[&search[..], &["--key-file", "my.key"]].concat()).await.json();
    assert_eq!(found["tools"][0]["id"], "mail/send_mail");
    let mut command = crate::config_check::toolscout(folder.path());
    let output = command.args(search).env("TOOLSCOUT_KEY", &key).output().unwrap();
    assert!(output.status.success());
}

#[tokio::test]
async fn the_network_is_listened_on_only_where_callers_are_asked() {
    let folder = folder("[servers.files]\ncatalog = \"catalog.jsonl\"\n");
    let open = ["serve", "--listen", "0.0.0.0:0", "--data", "data"];
    let refused = run(folder.path(), &open).await;
    assert_eq!(refused.code, 2);
    assert!(refused.stderr.contains("nobody is asked who they are"), "{}", refused.stderr);
    assert!(refused.stderr.contains("remedy: ") && refused.stderr.contains("[auth]"));
    configure(folder.path(), CONFIG);
    let mut command = crate::config_check::toolscout(folder.path());
    command.args(open);
    let service = Service::of(command).await;
    // Others than loopback's names come to every address.
    assert!(service.url.contains("0.0.0.0"), "{}", service.url);
    let url = service.url.replace("0.0.0.0", "127.0.0.1");
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let asked = client.get(format!("{url}/v1/status")).send().await.unwrap();
    assert_eq!(asked.status().as_u16(), 401);
    assert_eq!(client.get(format!("{url}/livez")).send().await.unwrap().status().as_u16(), 200);
    service.stop().await;
    // Keys that others could read are not taken.
    create(folder.path(), &["a"]).await;
    let path = folder.path().join("data/keys/api.keys");
    let open_mode = std::os::unix::fs::PermissionsExt::from_mode(0o644);
    std::fs::set_permissions(path, open_mode).unwrap();
    let refused = run(folder.path(), &["serve", "--listen", "127.0.0.1:0", "--data", "data"]).await;
    assert_eq!(refused.code, 1);
    assert!(refused.stderr.contains("chmod 600"), "{}", refused.stderr);
}

#[tokio::test]
async fn a_key_for_what_the_configuration_does_not_name_is_made_with_a_word_on_it() {
    let more = "[profiles.few]\nallow = ['mail/*']\n[tenants.acme]\nconfig = 'acme.toml'\n";
    let folder = folder(&format!("{CONFIG}{more}"));
    std::fs::write(folder.path().join("acme.toml"), "[profiles.own]\nallow = []\n").unwrap();
    for (args, missing) in [
        (&["--profile", "few"][..], None),
        (&["--tenant", "acme"], None),
        (&["--tenant", "acme", "--profile", "own"], None),
        (&["--profile", "nope"], Some("[profiles.nope]")),
        (&["--tenant", "nobody"], Some("[tenants.nobody]")),
        (&["--tenant", "acme", "--profile", "few"], Some("[profiles.few]")),
    ] {
        let made = key(folder.path(), &[&["create", "somebody"], args].concat()).await;
        assert!(made.code == 0 && made.stdout.starts_with("ts_"), "{}", made.stderr);
        match missing {
            Some(missing) => assert!(made.stderr.contains(missing), "{args:?}: {}", made.stderr),
            None => assert!(!made.stderr.contains("note:"), "{args:?}: {}", made.stderr),
        }
    }
    // Of what can't be read nothing is said.
    configure(folder.path(), "[[[");
    let made = key(folder.path(), &["create", "somebody", "--profile", "nope"]).await;
    assert!(made.code == 0 && !made.stderr.contains("nope"), "{}", made.stderr);
}

#[tokio::test]
async fn what_administers_has_a_listener_of_its_own() {
    let folder = folder(&CONFIG.replace("[auth]", "[auth]\nadmin_listen = \"127.0.0.1:0\""));
    let mut service = Service::start(folder.path(), &[]).await;
    let admin = operator(folder.path());
    let as_admin = [("authorization", admin.as_str())];
    let apart = service.words.iter().rfind(|word| word.starts_with("http://")).unwrap();
    let apart = apart.trim_end_matches(')').to_owned();
    assert_ne!(apart, service.url);
    let paths = ["/metrics", "/v1/admin/config", "/v1/changes", "/v1/findings", "/v1/admin/keys"];
    for path in paths {
        let (status, _, problem) = ask_with(&service, (Method::GET, path), &as_admin, None).await;
        assert_eq!(status, 404, "{path}");
        assert_eq!(problem["type"], "urn:toolscout:problem:no-such-path", "{path}");
    }
    service.url = apart;
    for path in paths {
        let get = || (Method::GET, path);
        assert_eq!(ask_with(&service, get(), &as_admin, None).await.0, 200, "{path}");
        assert_eq!(ask_with(&service, get(), &[], None).await.0, 401, "{path}");
    }
    let place = ["--data", "data", "--url", service.url.as_str()];
    assert_eq!(run(folder.path(), &[&["server", "list"], &place[..]].concat()).await.code, 0);
    service.stop().await;
}

#[tokio::test]
async fn a_browser_begins_a_login_with_an_operators_ticket_alone() {
    let Some(site) = Site::start().await else { return };
    let folder = site.configured("refresh = \"1h\"\n[auth]\nkeys = true");
    let service = Service::start(folder.path(), &[]).await;
    let admin = operator(folder.path());
    let as_admin = [("authorization", admin.as_str())];
    let servers = (Method::GET, "/v1/servers");
    let wants = async || {
        let listed = ask_with(&service, servers.clone(), &as_admin, None).await.2;
        listed["servers"][0]["state"] == "auth_required"
    };
    service.until("it wants a login", wants).await;
    // A browser can't show who it is, so no address is shown that would not work.
    let listed = ask_with(&service, servers.clone(), &as_admin, None).await.2;
    assert_eq!(listed["servers"][0]["login_url"], Value::Null);
    let start = format!("{}/oauth/start/guarded", service.url);
    for wrong in [start.clone(), format!("{start}?ticket=guessed"), format!("{start}?ticket")] {
        assert_eq!(Browser::new().open(&wrong).await.status, 404, "{wrong}");
    }
    let unknown = (Method::POST, "/v1/admin/servers/nobody/login");
    assert_eq!(ask_with(&service, unknown, &as_admin, Some(json!({}))).await.0, 404);
    let login = (Method::POST, "/v1/admin/servers/guarded/login");
    let ticket = ask_with(&service, login, &as_admin, Some(json!({}))).await.2;
    let url = ticket["login_url"].as_str().unwrap();
    // By another name of the same machine it comes to the same.
    let page = Browser::new().open(&url.replace("127.0.0.1", "localhost")).await;
    assert!(page.status == 200 && page.text.contains("logged in at guarded"), "{page:?}");
    assert_eq!(Browser::new().open(url).await.status, 404, "a ticket counts once");
    let ready = async || {
        let listed = ask_with(&service, servers.clone(), &as_admin, None).await.2;
        listed["servers"][0]["state"] == "ready"
    };
    service.until("it is read", ready).await;
}
