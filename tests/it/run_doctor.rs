//! `toolscout doctor` finds what is wrong, names the remedy, and changes nothing.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};

use crate::config_check::toolscout;
use crate::support::crawling::{page, until};
use crate::support::front::{Authority, Flaw, Issued};
use crate::support::mock_http::{Answer, MockHttp, Speaks};
use crate::support::mock_stdio::MockStdio;
use crate::support::service::{Ran, Service, catalog, configure, run, snapshot};

/// A folder with a catalog of one tool, and what else its configuration says.
fn folder(more: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    catalog(folder.path(), &[("house", "ring_bell", "Ring the bell")]);
    let entry = "[servers.house]\ncatalog = \"catalog.jsonl\"\n";
    configure(folder.path(), &format!("listen = \"127.0.0.1:0\"\n{entry}{more}"));
    folder
}

async fn doctor(folder: &Path, args: &[&str]) -> (i32, Value) {
    let args = [&["doctor", "--json", "--data", "data"], args].concat();
    let ran = run(folder, &args).await;
    (ran.code, read(&ran))
}

fn read(ran: &Ran) -> Value {
    serde_json::from_str(&ran.stdout)
        .unwrap_or_else(|e| panic!("{e}: {}{}", ran.stdout, ran.stderr))
}

/// The worst check of this name.
fn check<'a>(report: &'a Value, what: &str) -> &'a Value {
    let checks = report["checks"].as_array().unwrap().iter().filter(|check| check["what"] == what);
    let rank =
        |check: &&Value| ["ok", "warn", "fail"].iter().position(|level| check["level"] == *level);
    checks.max_by_key(rank).unwrap_or_else(|| panic!("no {what}: {report:#}"))
}

/// The check of this name is as grave as `level` says, and its text and remedy hold these.
#[track_caller]
fn assert_told(report: &Value, what: &str, level: &str, said: &str, remedy: &str) {
    let check = check(report, what);
    assert_eq!(check["level"], level, "{check}");
    assert!(check["said"].as_str().unwrap().contains(said), "{check}");
    let told = check["remedy"].as_str().unwrap_or_default();
    assert!(told.contains(remedy), "{check}");
    assert_eq!(level == "ok", told.is_empty(), "{check}");
}

/// Everything below a folder, with its size.
fn files(folder: &Path) -> Vec<(String, u64)> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap().map(Result::unwrap) {
        let (path, meta) = (entry.path(), entry.metadata().unwrap());
        if meta.is_dir() {
            found.extend(files(&path));
        }
        found.push((path.display().to_string(), meta.len()));
    }
    found.sort();
    found
}

#[tokio::test]
async fn all_is_well_and_stays_as_it_was() {
    let folder = folder("");
    let before = files(folder.path());
    let (code, report) = doctor(folder.path(), &[]).await;
    assert_eq!(code, 0, "{report:#}");
    assert_eq!(files(folder.path()), before);
    for (what, said) in [
        ("configuration", "toolscout.toml: 1 servers"),
        ("model", "scout"),
        ("data folder", "is made at the first start"),
        ("snapshot", "none yet"),
        ("history", "none yet"),
        ("evaluations", "none yet"),
        ("logins", "for their owner alone"),
        ("admin token", "made at the first start"),
        ("listen", "is free"),
        ("clock", ""),
        ("server house", "1 tools over file"),
    ] {
        assert_told(&report, what, "ok", said, "");
    }

    // After a run, by what that left.
    let service = Service::start(folder.path(), &[]).await;
    service.until_ready().await;
    service.stop().await;
    let (code, report) = doctor(folder.path(), &[]).await;
    assert_eq!(code, 0, "{report:#}");
    assert_told(&report, "data folder", "ok", "can be written", "");
    assert_told(&report, "snapshot", "ok", "1 tools: a restart serves at once", "");
    assert_told(&report, "admin token", "ok", "owner's alone", "");

    // For people: a line each, without colours where there is no terminal.
    let ran = run(folder.path(), &["doctor", "--data", "data"]).await;
    let lines: Vec<&str> = ran.stdout.lines().collect();
    assert_eq!(lines.len(), report["checks"].as_array().unwrap().len() + 1, "{}", ran.stdout);
    assert!(lines[0].starts_with("ok    configuration"), "{}", ran.stdout);
    assert!(!ran.stdout.contains('\u{1b}'), "{}", ran.stdout);
}

#[tokio::test]
async fn a_wrong_configuration_is_told_with_what_does_not_hang_on_it() {
    let folder = folder("[servers.odd]\ncomand = \"sh\"\n[embed]\nthreads = \"many\"\n");
    let (code, report) = doctor(folder.path(), &[]).await;
    assert_eq!(code, 1);
    let failed = report["checks"].as_array().unwrap().iter().filter(|one| one["level"] == "fail");
    assert!(failed.clone().count() >= 2 && failed.clone().all(|one| one["remedy"].is_string()));
    assert_told(&report, "data folder", "ok", "first start", "");
    assert_told(&report, "listen", "ok", "free", "");

    let (code, report) = doctor(folder.path(), &["--config", "gone.toml"]).await;
    assert_eq!(code, 1);
    assert_told(&report, "configuration", "fail", "gone.toml", "");
}

#[tokio::test]
async fn each_server_is_connected_to_and_the_clock_compared() {
    let well =
        MockHttp::start(Speaks::Stateless, false, |_| Answer::Result(page(&["a", "b"], None)))
            .await;
    let closed = MockHttp::start(Speaks::Stateless, false, |_| Answer::Status(401, None)).await;
    let hanging = MockStdio::new(&json!({"hang": true, "pages": []}));
    let toolscout::config::Transport::Stdio { command, args, .. } = hanging.transport() else {
        unreachable!("it speaks on stdio");
    };
    let folder = folder(&format!(
        "[servers.well]\nurl = \"{}\"\n[servers.closed]\nurl = \"{}\"\n\
         [servers.gone]\ncommand = \"/no/such/program\"\n[servers.off]\nurl = \"http://127.0.0.1:1/\"\n\
         enabled = false\n[servers.hanging]\ncommand = {command:?}\nargs = {args:?}\n",
        well.url, closed.url
    ));
    let (code, report) = doctor(folder.path(), &["--timeout", "2s"]).await;
    assert_eq!(code, 1);
    assert_told(&report, "server well", "ok", "2 tools over http", "");
    assert_told(&report, "server closed", "fail", "the server wants", "auth login closed");
    assert_told(&report, "server gone", "fail", "/no/such/program", "[servers.gone]");
    assert_told(&report, "server off", "ok", "switched off", "");
    assert_told(&report, "server hanging", "fail", "no answer within 2s", "--timeout");
    until("the child has ended", || hanging.running().is_empty()).await;

    let (_, report) = doctor(folder.path(), &["--offline"]).await;
    let asked = report["checks"].as_array().unwrap().iter();
    let asked = asked.filter(|one| one["what"].as_str().unwrap().starts_with("server "));
    assert_eq!(asked.count(), 0, "{report:#}");
}

#[tokio::test]
async fn a_model_that_is_not_there_is_told_with_what_answers_instead() {
    let folder = folder(
        "[embed.endpoint]\nurl = \"http://127.0.0.1:1/v1\"\nmodel = \"m\"\ndimensions = 8\nretries = 0\n",
    );
    let (code, report) = doctor(folder.path(), &[]).await;
    assert_eq!(code, 1);
    assert_told(&report, "model", "fail", "", "the encoder in the binary answers");
    let (code, report) = doctor(folder.path(), &["--offline"]).await;
    assert_eq!(code, 0, "{report:#}");
    assert_told(&report, "model", "ok", "not asked", "");

    let tiny = crate::support::service::tiny("tiny-encoder", None);
    let model = tiny.path().display().to_string();
    let args = ["--offline", "--model", &model, "--runtime", "/no/such/library.so"];
    configure(folder.path(), "listen = \"127.0.0.1:0\"");
    let (code, report) = doctor(folder.path(), &args).await;
    assert_eq!(code, 1, "{report:#}");
    assert_told(&report, "model", "fail", "/no/such/library.so", "toolscout model pull");

    configure(folder.path(), "listen = \"127.0.0.1:0\"\n[embed]\nenabled = false");
    let (code, report) = doctor(folder.path(), &["--offline"]).await;
    assert_eq!(code, 0);
    assert_told(&report, "model", "warn", "words alone", "enabled");
}

#[tokio::test]
async fn what_is_in_the_data_folder_is_read_as_serve_would() {
    let folder = folder("[learn]\nenabled = true\n");
    let service = Service::start(folder.path(), &[]).await;
    service.until_ready().await;
    service.stop().await;
    let data = folder.path().join("data");
    let book = data.join("trust/definitions.book");
    let newer = |path: &Path| {
        let mut bytes = fs::read(path).unwrap();
        bytes[8] = 200;
        fs::write(path, bytes).unwrap();
    };
    newer(&snapshot(folder.path()));
    newer(&book);
    let (code, report) = doctor(folder.path(), &[]).await;
    assert_eq!(code, 0, "{report:#}");
    assert_told(&report, "snapshot", "warn", "has format 200", "run that one again");
    assert_told(&report, "history", "warn", "has format 200", "from a backup");
    fs::write(snapshot(folder.path()), "odd").unwrap();
    fs::create_dir_all(data.join("learned")).unwrap();
    fs::write(data.join("learned/evidence.book"), "odd").unwrap();
    fs::write(data.join("trust/earlier.book"), "odd").unwrap();
    fs::write(data.join("servers.json"), "odd").unwrap();
    let open = fs::Permissions::from_mode(0o644);
    fs::set_permissions(data.join("admin.token"), open.clone()).unwrap();
    fs::create_dir_all(data.join("tokens")).unwrap();
    fs::set_permissions(data.join("tokens"), fs::Permissions::from_mode(0o755)).unwrap();
    let (code, report) = doctor(folder.path(), &[]).await;
    assert_eq!(code, 1);
    assert_told(&report, "snapshot", "warn", "is damaged", "set aside");
    assert_told(&report, "learned", "warn", "is damaged", "from a backup");
    assert_told(&report, "earlier definitions", "warn", "is damaged", "set aside");
    assert_told(&report, "servers", "fail", "servers.json", "backup");
    assert_told(&report, "admin token", "fail", "chmod 600", "");
    assert_told(&report, "logins", "fail", "chmod 700", "");
}

#[tokio::test]
async fn keys_that_nobody_has_and_an_address_for_operators_are_looked_at() {
    let folder = folder("[auth]\nkeys = true\nadmin_listen = \"127.0.0.1:0\"\n");
    let (code, report) = doctor(folder.path(), &["--offline"]).await;
    assert_eq!(code, 0, "{report:#}");
    assert_told(&report, "api keys", "warn", "none of 0", "toolscout key create");
    assert_told(&report, "admin listen", "ok", "is free", "");
    let made = run(folder.path(), &["key", "create", "me", "--data", "data"]).await;
    assert_eq!(made.code, 0, "{}", made.stderr);
    let (_, report) = doctor(folder.path(), &["--offline"]).await;
    assert_told(&report, "api keys", "ok", "1 of 1 count", "");
    fs::write(folder.path().join("data/keys/api.keys"), "odd").unwrap();
    let (code, report) = doctor(folder.path(), &["--offline"]).await;
    assert_eq!(code, 1);
    assert_told(&report, "api keys", "fail", "api.keys", "from a backup");
}

#[tokio::test]
async fn a_data_folder_that_cant_be_made_and_files_that_are_few() {
    let folder = folder("");
    fs::write(folder.path().join("file"), "").unwrap();
    let args = ["doctor", "--json", "--offline", "--data", "/proc/toolscout"];
    let report = read(&run(folder.path(), &args).await);
    assert_told(&report, "data folder", "fail", "can't write in /proc", "--data");

    let told = toolscout(folder.path());
    let output = Command::new("sh")
        .current_dir(folder.path())
        .args(["-c", r#"ulimit -n 256; exec "$0" "$@""#])
        .arg(told.get_program())
        .args(["doctor", "--json", "--offline"])
        .env("HOME", folder.path())
        .output()
        .unwrap();
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_told(&report, "open files", "warn", "no more than 256", "LimitNOFILE");
}

#[tokio::test]
async fn a_certificate_is_told_with_how_long_it_is_good() {
    let folder = folder("[tls]\ncert_file = \"server.pem\"\nkey_file = \"server.key\"\n");
    let authority = Authority::new();
    let certify = |flaw| {
        let Issued { certificate, key } = authority.issue("localhost", flaw);
        fs::write(folder.path().join("server.pem"), certificate).unwrap();
        fs::write(folder.path().join("server.key"), key).unwrap();
    };
    certify(Flaw::None);
    let (code, report) = doctor(folder.path(), &["--offline"]).await;
    assert_eq!(code, 0, "{report:#}");
    assert_told(&report, "tls", "ok", "is good for", "");

    let service = Service::start(folder.path(), &[]).await;
    let here = service.url.strip_prefix("https://").unwrap().to_owned();
    let listens = async || doctor(folder.path(), &["--offline", "--listen", &here]).await.1;
    let served = async || check(&listens().await, "listen")["level"] == "ok";
    service.until("ready over TLS", served).await;
    assert_told(&listens().await, "listen", "ok", "a toolscout", "");
    service.stop().await;

    certify(Flaw::Expired);
    let (code, report) = doctor(folder.path(), &["--offline"]).await;
    assert_eq!(code, 1);
    assert_told(&report, "tls", "fail", "ended", "renew it");
}

#[tokio::test]
async fn who_listens_already_is_told_apart() {
    let folder = folder("");
    let service = Service::start(folder.path(), &[]).await;
    service.until_ready().await;
    let taken = |url: &str| url.strip_prefix("http://").unwrap().to_owned();
    let here = taken(&service.url);
    let (code, report) = doctor(folder.path(), &["--listen", &here]).await;
    assert_eq!(code, 0, "{report:#}");
    assert_told(&report, "listen", "ok", concat!("a toolscout ", env!("CARGO_PKG_VERSION")), "");
    service.stop().await;

    let other = MockHttp::start(Speaks::Stateless, false, |_| Answer::Status(404, None)).await;
    let address = format!("127.0.0.1:{}", other.url.port().unwrap());
    let (code, report) = doctor(folder.path(), &["--listen", &address]).await;
    assert_eq!(code, 1);
    assert_told(&report, "listen", "fail", "something else", "--listen");
    let (code, report) =
        doctor(folder.path(), &["--listen", "192.0.2.1:0", "--allow-anonymous"]).await;
    assert_eq!(code, 1);
    assert_told(&report, "listen", "fail", "192.0.2.1", "--listen");
    let (code, report) = doctor(folder.path(), &["--listen", "0.0.0.0:0"]).await;
    assert_eq!(code, 1);
    assert_told(&report, "configuration", "fail", "0.0.0.0:0", "allow");
}

#[tokio::test]
async fn tenants_are_looked_at_by_their_own_files() {
    let folder =
        folder("[tenants.acme]\nconfig = \"acme.toml\"\n[tenants.beta]\nconfig = \"beta.toml\"\n");
    let put = |name: &str, text: &str| fs::write(folder.path().join(name), text).unwrap();
    put("acme.toml", "[servers.bell]\ncatalog = \"catalog.jsonl\"\n");
    put("beta.toml", "[servers.gone]\ncommand = \"/no/such/program\"\n");
    let of_acme = folder.path().join("data/tenants/acme");
    fs::create_dir_all(of_acme.join("snapshots")).unwrap();
    fs::write(of_acme.join("snapshots/catalog.snapshot"), "none of ours").unwrap();
    let before = files(folder.path());
    let (code, report) = doctor(folder.path(), &[]).await;
    assert_eq!(code, 1);
    assert_eq!(files(folder.path()), before);
    assert_told(&report, "acme: configuration", "ok", "acme.toml: 1 servers", "");
    assert_told(&report, "acme: snapshot", "warn", "catalog.snapshot", "set aside");
    assert_told(&report, "acme: server house", "ok", "1 tools over file", "");
    assert_told(&report, "beta: data folder", "ok", "tenants/beta is made", "");
    assert_told(&report, "beta: server gone", "fail", "/no/such/program", "[servers.gone]");

    put("beta.toml", "listen = \"127.0.0.1:1\"\n");
    let (code, report) = doctor(folder.path(), &["--offline"]).await;
    assert_eq!(code, 1);
    assert_told(&report, "beta: configuration", "fail", "beta.toml:1: listen", "");
    assert_told(&report, "acme: configuration", "ok", "acme.toml", "");
}
