//! Encoders from folders: a real ONNX model of a few words, read as its manifest says.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use toolscout::config::EmbedConfig;
use toolscout::embed::{self, EmbedError, Embedder, Role, embed_one};

use crate::support::service::{Service, catalog, configure, ids, runtime, tiny};

fn load(folder: &Path, runtime: PathBuf) -> Result<Arc<dyn Embedder>, EmbedError> {
    let config = EmbedConfig { model: Some(folder.to_owned()), runtime, ..EmbedConfig::default() };
    embed::load(&config, 1)
}

fn cosine(a: &[f32], b: &[f32]) -> f32 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

/// How alike a query and a tool of these texts are.
fn alike(encoder: &dyn Embedder, query: &str, tool: &str) -> f32 {
    let vector = |role, text| embed_one(encoder, role, text, None).unwrap();
    cosine(&vector(Role::Query, query), &vector(Role::Tool, tool))
}

#[test]
fn pooling_is_as_the_manifest_says() {
    let Some(runtime) = runtime() else { return };
    let encoder = |manifest| load(tiny("tiny-encoder", manifest).path(), runtime.clone()).unwrap();
    let mean = encoder(Some("name = 'tiny'\npooling = 'mean'\ndimensions = 9"));
    let cls = encoder(Some("name = 'tiny'\npooling = 'cls'"));
    let bare = encoder(None);
    assert_eq!(mean.dims(), 9);
    // The vector of [CLS] knows nothing of the other words.
    assert!(alike(&*cls, "arrange meeting", "open file") > 0.999);
    for encoder in [&mean, &bare] {
        assert!(alike(&**encoder, "arrange meeting", "schedule appointment") > 0.999);
        assert!(alike(&**encoder, "arrange meeting", "open file") < 0.5);
    }
    assert!(mean.id().starts_with("tiny-") && bare.id().starts_with("minilm-"));
    assert!(mean.id() != cls.id());
}

#[test]
fn prefixes_tell_queries_from_tools() {
    let Some(runtime) = runtime() else { return };
    let manifest = "name = 'tiny'\npooling = 'mean'\nquery_prefix = 'query '\n\
        passage_prefix = 'passage '";
    let encoder = load(tiny("tiny-encoder", Some(manifest)).path(), runtime.clone()).unwrap();
    let vector = |role, text| embed_one(&*encoder, role, text, None).unwrap();
    assert!(alike(&*encoder, "file", "file") < 0.9);
    let both = encoder.embed(Role::Tool, &["file", "money"], None).unwrap();
    assert_eq!(both, [vector(Role::Tool, "file"), vector(Role::Tool, "money")]);
    // What the prefix adds is that word and no other.
    let plain = load(tiny("tiny-encoder", None).path(), runtime).unwrap();
    let spelled = embed_one(&*plain, Role::Tool, "passage file", None).unwrap();
    assert_eq!(vector(Role::Tool, "file"), spelled);
    let spelled = embed_one(&*plain, Role::Tool, "query file", None).unwrap();
    assert_eq!(vector(Role::Query, "file"), spelled);
}

#[test]
fn max_length_is_where_reading_ends() {
    let Some(runtime) = runtime() else { return };
    let manifest = "name = 'tiny'\npooling = 'mean'\nmax_length = 4";
    let encoder = load(tiny("tiny-encoder", Some(manifest)).path(), runtime).unwrap();
    // Four tokens are [CLS], two words and [SEP].
    assert!(alike(&*encoder, "open file", "open file money money money") > 0.999);
}

#[test]
fn a_model_that_is_not_what_is_said_does_not_load() {
    let Some(runtime) = runtime() else { return };
    let problem = |folder: &Path| load(folder, runtime.clone()).err().unwrap().to_string();
    let folder = tiny("tiny-encoder", Some("name = 'tiny'\npooling = 'mean'\ndimensions = 384"));
    let told = problem(folder.path());
    assert!(told.contains("vectors of 9 numbers, and 384 are configured"), "{told}");
    let folder = tiny("tiny-encoder", Some("name = 'tiny'"));
    let told = problem(folder.path());
    assert!(told.contains("encoder.toml: pooling is missing"), "{told}");
    let folder = tiny("tiny-encoder", None);
    std::fs::write(folder.path().join("model.onnx"), "no model").unwrap();
    let told = problem(folder.path());
    assert!(told.contains("embedding model") && told.contains("does not load"), "{told}");
    let told = problem(Path::new("/nonexistent/bge"));
    assert!(told.contains("/nonexistent/bge") && told.contains("model.onnx"), "{told}");
}

#[tokio::test]
async fn the_service_uses_the_folder_that_its_configuration_names() {
    let Some(runtime) = runtime() else { return };
    let folder = tempfile::tempdir().unwrap();
    catalog(
        folder.path(),
        &[
            ("calendar", "create_event", "Schedule a meeting"),
            ("files", "cat", "Read the bytes of one path"),
        ],
    );
    let model = tiny("tiny-encoder", Some("name = 'tiny'\npooling = 'mean'"));
    let text = format!(
        "[embed]\nmodel = {:?}\nruntime = {runtime:?}\ndeadline = '20s'\n\
         [servers.all]\ncatalog = 'catalog.jsonl'\n",
        model.path()
    );
    configure(folder.path(), &text);
    let service = Service::start(folder.path(), &[]).await;
    let embedded = async || {
        let status = service.status().await;
        status["mode"] == "hybrid" && status["embedded"] == 2
    };
    service.until("all is embedded", embedded).await;
    let status = service.status().await;
    assert!(status["encoder"].as_str().unwrap().starts_with("tiny-"), "{status}");
    let answer = service.search("open file").await;
    assert_eq!((ids(&answer)[0].as_str(), &answer["mode"]), ("files/cat", &"hybrid".into()));
    service.stop().await;
}
