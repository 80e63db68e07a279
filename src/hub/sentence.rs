//! What a repository in the manner of sentence-transformers says of its model, as `encoder.toml`.
//!
//! Invariant: pooling is what the repository or the caller says; it is never guessed, for the
//! wrong one goes unseen.

use serde_json::Value;
use toml_edit::{DocumentMut, value};

/// Tokens that are read of a text where the manifest does not say it.
const MAX_LENGTH: i64 = 256;

/// How the vector of a text comes from those of its tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PoolingChoice {
    /// Their mean.
    Mean,
    /// That of the first token.
    Cls,
}

impl PoolingChoice {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Mean => "mean",
            Self::Cls => "cls",
        }
    }
}

/// What `1_Pooling/config.json` says, or how it can't be followed.
pub(super) fn pooling(config: &Value) -> Result<PoolingChoice, String> {
    let keys = config.as_object().into_iter().flatten();
    let set: Vec<&str> = keys
        .filter(|(key, value)| key.starts_with("pooling_mode_") && **value == Value::Bool(true))
        .map(|(key, _)| key.as_str())
        .collect();
    match set[..] {
        ["pooling_mode_mean_tokens"] => Ok(PoolingChoice::Mean),
        ["pooling_mode_cls_token"] => Ok(PoolingChoice::Cls),
        _ => Err(format!(
            "it pools by {}, and only mean and cls can be had: choose another model, or one of \
             them with --pooling",
            if set.is_empty() { "nothing that it names".into() } else { set.join(" and ") }
        )),
    }
}

/// What becomes of a model's own files.
pub(super) struct Said<'a> {
    pub(super) name: &'a str,
    /// Where it is from, for readers.
    pub(super) origin: &'a str,
    /// Absent for rerankers.
    pub(super) pooling: Option<PoolingChoice>,
    /// `config.json`.
    pub(super) config: &'a Value,
    /// `config_sentence_transformers.json`.
    pub(super) prompts: Option<&'a Value>,
}

impl Said<'_> {
    /// The manifest.
    pub(super) fn manifest(&self) -> String {
        let mut manifest = DocumentMut::new();
        manifest["name"] = value(self.name);
        if let Some(pooling) = self.pooling {
            manifest["pooling"] = value(pooling.name());
            for (key, names) in
                [("query_prefix", &["query"][..]), ("passage_prefix", &["passage", "document"])]
            {
                if let Some(prefix) = self.prompt(names) {
                    manifest[key] = value(prefix);
                }
            }
            if let Some(dimensions) = self.number(&["hidden_size", "dim", "d_model"]) {
                manifest["dimensions"] = value(dimensions);
            }
        }
        let positions = self.number(&["max_position_embeddings", "n_positions"]);
        if let Some(fewer) = positions.filter(|positions| (1..MAX_LENGTH).contains(positions)) {
            manifest["max_length"] = value(fewer);
        }
        format!("# Fetched by toolscout: {}.\n{manifest}", self.origin)
    }

    fn number(&self, keys: &[&str]) -> Option<i64> {
        keys.iter().find_map(|key| self.config.get(key)?.as_i64())
    }

    fn prompt(&self, names: &[&str]) -> Option<&str> {
        let prompts = self.prompts?.get("prompts")?;
        let mut found = names.iter().filter_map(|name| prompts.get(name)?.as_str());
        found.find(|prompt| !prompt.is_empty())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_manifest_holds_what_the_files_say() {
        let config = json!({"hidden_size": 384, "max_position_embeddings": 128});
        let prompts = json!({"prompts": {"query": "query: ", "document": "passage: "}});
        let said = Said {
            name: "e5",
            origin: "acme/e5 at main",
            pooling: Some(PoolingChoice::Mean),
            config: &config,
            prompts: Some(&prompts),
        };
        insta::assert_snapshot!(said.manifest(), @r#"
        # Fetched by toolscout: acme/e5 at main.
        name = "e5"
        pooling = "mean"
        query_prefix = "query: "
        passage_prefix = "passage: "
        dimensions = 384
        max_length = 128
        "#);
        let reranker = Said { pooling: None, prompts: None, config: &json!({}), ..said };
        insta::assert_snapshot!(reranker.manifest(), @r#"
        # Fetched by toolscout: acme/e5 at main.
        name = "e5"
        "#);
    }

    #[test]
    fn pooling_is_one_that_can_be_had_or_an_error() {
        let cls = json!({"pooling_mode_cls_token": true, "pooling_mode_mean_tokens": false});
        assert_eq!(pooling(&cls), Ok(PoolingChoice::Cls));
        assert_eq!(pooling(&json!({"pooling_mode_mean_tokens": true})), Ok(PoolingChoice::Mean));
        let last = pooling(&json!({"pooling_mode_lasttoken": true})).unwrap_err();
        assert!(last.contains("pooling_mode_lasttoken"), "{last}");
        let both = json!({"pooling_mode_cls_token": true, "pooling_mode_mean_tokens": true});
        assert!(pooling(&both).is_err());
        assert!(pooling(&json!({})).is_err());
    }
}
