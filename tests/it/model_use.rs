//! `toolscout model use`: one key of toolscout.toml, and nothing else of it.

use std::fs;
use std::path::Path;

use crate::support::service::{Ran, configure, run};

/// A folder with a model of our own in its data: that of the binary, by another name.
fn folder(text: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    ours(&folder.path().join("data/models/ours"));
    configure(folder.path(), text);
    folder
}

fn ours(to: &Path) {
    let from = Path::new(env!("CARGO_MANIFEST_DIR")).join("index-data/models/scout");
    fs::create_dir_all(to).unwrap();
    for file in ["model.safetensors", "vocab.txt"] {
        fs::copy(from.join(file), to.join(file)).unwrap();
    }
}

fn text(folder: &Path) -> String {
    fs::read_to_string(folder.join("toolscout.toml")).unwrap()
}

async fn choose(folder: &Path, args: &[&str]) -> Ran {
    run(folder, &[&["model", "use"], args].concat()).await
}

const COMMENTED: &str = r#"# Our servers.
data = "data"   # beside this file

[embed] # vectors
# The team's choice.
model = "elsewhere"  # for now
threads   =   1

[servers.all]
catalog = 'catalog.jsonl' # theirs
# The end.
"#;

#[tokio::test]
async fn comments_and_spaces_stay() {
    let folder = folder(COMMENTED);
    let ran = choose(folder.path(), &["ours"]).await;
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    let dims = ran.stdout.split(['(', ' ']).find_map(|word| word.parse::<usize>().ok()).unwrap();
    let told = ran.stdout.replace(&format!("{dims} dimensions"), "N dimensions");
    insta::assert_snapshot!(told, @r"
    toolscout.toml: the encoder is ours (N dimensions), and was elsewhere
    next: restart `toolscout serve`; it embeds the tools anew where it has to
    ");
    insta::assert_snapshot!(text(folder.path()), @r#"
    # Our servers.
    data = "data"   # beside this file

    [embed] # vectors
    # The team's choice.
    model = "ours"  # for now
    threads   =   1

    [servers.all]
    catalog = 'catalog.jsonl' # theirs
    # The end.
    "#);
    let again = choose(folder.path(), &["ours"]).await;
    assert!(again.stdout.contains("already"), "{}", again.stdout);
    let back = choose(folder.path(), &["scout"]).await;
    assert_eq!(back.code, 0, "{}", back.stderr);
    insta::assert_snapshot!(text(folder.path()), @r#"
    # Our servers.
    data = "data"   # beside this file

    [embed] # vectors
    # The team's choice.
    threads   =   1

    [servers.all]
    catalog = 'catalog.jsonl' # theirs
    # The end.
    "#);
}

#[tokio::test]
async fn scout_undoes_what_was_written() {
    for before in [
        "data = 'data'\n",
        "data = 'data'\n\n# Nothing more.\n",
        "data = 'data'\n[servers.all]\ncatalog = 'c'\n",
        "data = 'data'\n[embed]\nthreads = 1\n",
        "data = 'data'\nembed = { threads = 1 }\n",
        "data = 'data'\nembed.threads = 1\n[crawl]\n",
    ] {
        let folder = folder(before);
        assert_eq!(choose(folder.path(), &["ours"]).await.code, 0);
        let chosen = text(folder.path());
        assert!(chosen.contains("model = \"ours\""), "{chosen}");
        assert_eq!(choose(folder.path(), &["scout"]).await.code, 0);
        assert_eq!(text(folder.path()), before);
    }
    // A comment of the key stays where it stood, also where no key follows.
    for (before, after) in [
        ("[embed]\nthreads = 1\n# Ours.\nmodel = 'ours'\n", "[embed]\nthreads = 1\n# Ours.\n"),
        ("[embed]\n# Ours.\nmodel = 'ours'\n[crawl]\n", "[embed]\n# Ours.\n[crawl]\n"),
    ] {
        let folder = folder(before);
        assert_eq!(choose(folder.path(), &["scout"]).await.code, 0);
        assert_eq!(text(folder.path()), after);
    }
}

#[tokio::test]
async fn a_file_that_is_not_there_is_made_and_a_link_stays_one() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    ours(&here.join("elsewhere/ours"));
    let ran = choose(here, &["elsewhere/ours", "--config", "new.toml"]).await;
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    let made = fs::read_to_string(here.join("new.toml")).unwrap();
    assert_eq!(made, "[embed]\nmodel = \"elsewhere/ours\"\n");

    // A folder is found from the file that names it.
    fs::create_dir(here.join("etc")).unwrap();
    fs::write(here.join("etc/real.toml"), "").unwrap();
    std::os::unix::fs::symlink("real.toml", here.join("etc/link.toml")).unwrap();
    let ran = choose(here, &["elsewhere/ours", "--config", "etc/link.toml"]).await;
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    assert!(here.join("etc/link.toml").is_symlink());
    let written = fs::read_to_string(here.join("etc/real.toml")).unwrap();
    let absolute = here.canonicalize().unwrap().join("elsewhere/ours");
    assert!(written.contains(absolute.to_str().unwrap()), "{written}");
    assert_eq!(fs::read_dir(here.join("etc")).unwrap().count(), 2);
}

#[tokio::test]
async fn what_does_not_load_changes_nothing() {
    let endpoint = "[embed.endpoint]\nurl = 'http://127.0.0.1:9'\nmodel = 'm'\ndimensions = 3\n";
    for (before, model, code, told) in [
        ("data = 'data'\n", "absent", 1, "there is no model \"absent\": fetch it with"),
        ("data = 'data'\n", "broken", 1, "does not load"),
        ("data = 'data'\n[embed]\nenabled = false\n", "ours", 1, "switched off"),
        (endpoint, "ours", 1, "remove [embed.endpoint]"),
        (endpoint, "scout", 1, "remove [embed.endpoint]"),
        ("data = 'data'\n[embed\n", "ours", 2, "toolscout.toml:2: syntax"),
        ("data = 'data'\n[embed]\nmodle = 'x'\n", "ours", 2, "embed.modle: unknown key"),
    ] {
        let folder = folder(before);
        let broken = folder.path().join("data/models/broken");
        ours(&broken);
        fs::write(broken.join("model.safetensors"), "no weights").unwrap();
        let ran = choose(folder.path(), &[model]).await;
        assert_eq!(ran.code, code, "{told}: {}", ran.stderr);
        assert!(ran.stderr.contains(told), "{told}: {}", ran.stderr);
        assert_eq!(text(folder.path()), before);
    }
}
