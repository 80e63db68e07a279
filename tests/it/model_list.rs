//! `toolscout model list` and `model texts`.

use std::fs;
use std::path::Path;

use serde_json::Value;

use crate::support::service::{Ran, catalog, configure, run, tiny};

/// A folder whose data holds an encoder, a reranker, and what is neither.
fn folder(text: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let models = folder.path().join("data/models");
    fs::create_dir_all(models.join("onnxruntime")).unwrap();
    for (name, of, manifest) in [
        ("e5", "tiny-encoder", "name = 'e5'\npooling = 'mean'\ndimensions = 384"),
        ("cross", "tiny-reranker", "name = 'cross'"),
        (".pull-x", "tiny-encoder", "name = 'half'"),
    ] {
        fs::rename(tiny(of, Some(manifest)).keep(), models.join(name)).unwrap();
    }
    configure(folder.path(), text);
    folder
}

async fn list(folder: &Path, args: &[&str]) -> Ran {
    run(folder, &[&["model", "list", "--data", "data"], args].concat()).await
}

/// The table without the folder's name and the length of the vectors in the binary.
fn table(folder: &Path, ran: &Ran) -> String {
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    let real = folder.canonicalize().unwrap();
    let shown = ran.stdout.replace(real.to_str().unwrap(), "HERE");
    let lines = shown.lines().map(|line| {
        let words: Vec<_> = line.split_whitespace().collect();
        match words[..] {
            [.., "the", "binary", _] => words[..words.len() - 1].join(" ") + " N",
            _ => words.join(" "),
        }
    });
    lines.collect::<Vec<_>>().join("\n")
}

#[tokio::test]
async fn models_are_listed_and_the_configured_one_is_marked() {
    let folder = folder("[embed]\nmodel = 'e5'\n");
    insta::assert_snapshot!(table(folder.path(), &list(folder.path(), &[]).await), @r"
    model where dimensions
    scout in the binary N
    cross reranker, in HERE/data/models/cross
    * e5 in HERE/data/models/e5 384
    minilm can be fetched, 104 MB: toolscout model pull minilm 384
    ");
    let json = list(folder.path(), &["--json"]).await.json();
    let models = json["models"].as_array().unwrap();
    let of = |name: &str| models.iter().find(|row| row["name"] == name).unwrap();
    assert_eq!((&of("e5")["used"], &of("e5")["place"]), (&true.into(), &"folder".into()));
    assert_eq!(
        (&of("cross")["kind"], &of("cross")["dimensions"]),
        (&"reranker".into(), &Value::Null)
    );
    assert_eq!(
        (&of("minilm")["place"], &of("minilm")["megabytes"]),
        (&"index".into(), &104.into())
    );
    assert!(of("scout")["dimensions"].is_u64() && of("scout")["used"] == false);
}

#[tokio::test]
async fn what_is_used_is_listed_wherever_it_is() {
    let used = async |text: &str| {
        let folder = folder(text);
        let table = table(folder.path(), &list(folder.path(), &[]).await);
        let marked: Vec<_> = table.lines().filter(|line| line.starts_with('*')).collect();
        marked.join("; ")
    };
    assert_eq!(used("").await, "* scout in the binary N");
    assert_eq!(used("[embed]\nenabled = false\n").await, "");
    // The one that is configured and not there is what somebody wants to fetch.
    let fetch = "* minilm can be fetched, 104 MB: toolscout model pull minilm 384";
    assert_eq!(used("[embed]\nmodel = 'minilm'\n").await, fetch);
    assert_eq!(used("[embed]\nmodel = 'gone'\n").await, "* gone not there");
    let endpoint = "[embed.endpoint]\nurl = 'https://u:secret@api.test/v1?key=secret'\n\
        model = 'large'\ndimensions = 3072\n";
    assert_eq!(used(endpoint).await, "* large at api.test 3072");
    let elsewhere = tiny("tiny-encoder", Some("name = 'x'\npooling = 'cls'"));
    let path = elsewhere.path().canonicalize().unwrap();
    let name = path.file_name().unwrap().to_str().unwrap();
    let row = used(&format!("[embed]\nmodel = {path:?}\n")).await;
    assert_eq!(row, format!("* {name} in {}", path.display()));
}

#[tokio::test]
async fn texts_are_those_that_are_embedded() {
    let folder = tempfile::tempdir().unwrap();
    catalog(folder.path(), &[("files", "read_file", "Read one"), ("calendar", "addEvent", "")]);
    fs::write(folder.path().join("servers.jsonl"), r#"{"server":"files","title":"My files"}"#)
        .unwrap();
    let args = ["model", "texts", "--catalog", "catalog.jsonl", "--servers", "servers.jsonl"];
    let ran = run(folder.path(), &args).await;
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    insta::assert_snapshot!(ran.stdout, @r#"
    {"id":"calendar/addEvent","server":"calendar","name":"addEvent","description":"","text":"calendar: add Event. "}
    {"id":"files/read_file","server":"files","name":"read_file","description":"Read one","text":"My files: read file. Read one"}
    "#);
    let absent = run(folder.path(), &["model", "texts", "--catalog", "absent.jsonl"]).await;
    assert_eq!(absent.code, 1);
    assert!(absent.stderr.contains("can't read catalog file absent.jsonl"), "{}", absent.stderr);
}
