//! Encoders and rerankers.

use super::*;

/// The encoder's tables of a file, beside a folder `m` and a file `key`.
fn try_encoder(text: &str) -> Result<Loaded, String> {
    let folder = folder(&[("toolscout.toml", text), ("key", "s3cret-file\n")]);
    std::fs::create_dir(folder.path().join("m")).unwrap();
    load(&sources(folder.path()), &environment).map_err(|errors| errors.to_string())
}

#[test]
fn an_endpoint_and_a_reranker_come_with_defaults_and_without_their_key() {
    let loaded = try_encoder(
        "[embed.endpoint]\nurl = 'http://u:p@x.test/v1?k=sk-1'\nmodel = 'm'\ndimensions = 3\n\
         api_key_env = 'TOKEN'\n[rerank]\nmodel = 'm'",
    )
    .unwrap();
    let endpoint = loaded.config.embed.endpoint.as_ref().unwrap();
    let key = endpoint.api_key.as_ref().unwrap();
    assert_eq!(secrecy::ExposeSecret::expose_secret(key), "s3cret");
    assert!(loaded.config.rerank.as_ref().unwrap().model.ends_with("m"));
    let warnings: Vec<_> = loaded.warnings.iter().map(|warning| &warning.problem).collect();
    assert_eq!(warnings, [&Problem::PlainHttp, &Problem::Nothing]);
    let shown = loaded.shown().unwrap();
    for secret in ["s3cret", "u:p", "sk-1"] {
        assert!(!shown.contains(secret), "{secret} is told: {shown}");
        assert!(!format!("{:?}", loaded.config.embed.endpoint).contains("s3cret"));
    }
    let shown = shown.split_once("[embed.endpoint]").unwrap().1;
    let shown = shown.split_once("[auth").map_or(shown, |(before, _)| before);
    let shown = shown.lines().filter(|line| !line.contains("/m\"")).collect::<Vec<_>>();
    // What follows is of other sections.
    let shown = shown.join("\n");
    let shown: Vec<_> = shown.split("\n[").take(2).collect();
    insta::assert_snapshot!(shown.join("\n["), @r#"

    url = "http://****@x.test/v1?****"
    model = "m"
    api_key = "****"
    dimensions = 3
    batch = 64
    timeout = "10s"
    retries = 4
    query_prefix = ""
    passage_prefix = ""

    [rerank]
    depth = 20
    deadline = "1s"
    "#);
}

#[test]
fn the_key_of_an_endpoint_may_be_in_a_file_and_nowhere_in_the_configuration() {
    let text = "[embed.endpoint]\nurl = 'https://x.test'\nmodel = 'm'\ndimensions = 3\n";
    let loaded = try_encoder(&format!("{text}api_key_file = 'key'")).unwrap();
    let key = loaded.config.embed.endpoint.unwrap().api_key.unwrap();
    assert_eq!(secrecy::ExposeSecret::expose_secret(&key), "s3cret-file");
    let refused = try_encoder(&format!("{text}api_key = 'sk-1'")).err().unwrap();
    assert!(refused.contains("embed.endpoint.api_key: unknown key"), "{refused}");
    assert!(!refused.contains("sk-1"), "{refused}");
}

#[test]
fn what_is_wrong_with_an_encoder_is_told_at_once() {
    let wrong = "[embed]\nmodel = 'BAAI/bge-small-en-v1.5'\n[embed.endpoint]\nurl = 'ftp://x'\n\
         api_key_env = 'UNSET'\napi_key_file = 'key'\nbatch = 0\ntimeout = '0s'\n\
         [rerank]\ndepth = 0";
    insta::assert_snapshot!(try_encoder(wrong).err().unwrap(), @r#"
    toolscout.toml:2: embed.model: there is no model "BAAI/bge-small-en-v1.5"
      remedy: fetch it with `toolscout model pull`, name one of `toolscout model list`, or name the folder that it is in
    error: toolscout.toml:3: embed.endpoint.model: is missing
      remedy: give it a value; see `toolscout config example`
    error: toolscout.toml:3: embed.endpoint.dimensions: is missing
      remedy: give it a value; see `toolscout config example`
    error: toolscout.toml:3: embed.endpoint: vectors come from a folder (`model`) or from an endpoint, not from both
      remedy: remove one of the two
    error: toolscout.toml:4: embed.endpoint.url: the URL scheme "ftp" is not supported
      remedy: use http:// or https://
    error: toolscout.toml:5: embed.endpoint.api_key_env: the variable UNSET is not set
      remedy: set UNSET
    error: toolscout.toml:6: embed.endpoint.api_key_file: the key is given twice
      remedy: remove one of the two
    error: toolscout.toml:7: embed.endpoint.batch: too small
      remedy: use 1 or more
    error: toolscout.toml:8: embed.endpoint.timeout: too small
      remedy: use 1ms or more
    error: toolscout.toml:9: rerank.model: is missing
      remedy: give it a value; see `toolscout config example`
    error: toolscout.toml:10: rerank.depth: too small
      remedy: use 1 or more
    "#);
    // What is switched off stands in nobody's way, and a variable goes before the file.
    let off = "[embed]\nenabled = false\n[embed.endpoint]\nurl = 'ftp://x'";
    assert!(try_encoder(off).is_ok());
    let text = "[embed.endpoint]\nurl = 'https://x.test'\nmodel = 'm'\ndimensions = 3";
    let folder = folder(&[("toolscout.toml", text)]);
    let variables = |name: &str| (name == "TOOLSCOUT_MODEL").then(|| "elsewhere".into());
    let embed = load(&sources(folder.path()), &variables).ok().unwrap().config.embed;
    assert_eq!((embed.endpoint.is_some(), embed.model.is_some()), (false, true));
}
