//! What a repository of a hub is called, and where its files are.
//!
//! Invariant: no name leads out of the hub's address.

use std::str::FromStr;

use url::Url;

use super::HubError;

/// The revision that is meant where none is named.
const MAIN: &str = "main";

/// `OWNER/NAME`, and a revision.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Repository {
    pub(super) owner: String,
    pub(super) name: String,
    pub(super) revision: String,
}

impl Repository {
    /// Its name, without the owner's.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// As it was asked for.
    pub(super) fn shown(&self) -> String {
        let Self { owner, name, revision } = self;
        if revision == MAIN {
            format!("{owner}/{name}")
        } else {
            format!("{owner}/{name}@{revision}")
        }
    }

    /// The address of a file at `revision`.
    pub(super) fn url(&self, hub: &Url, revision: &str, file: &str) -> Result<Url, HubError> {
        let mut url = hub.clone();
        url.set_query(None);
        url.path_segments_mut()
            .map_err(|()| HubError::Asked("HF_ENDPOINT is no http:// or https:// URL".into()))?
            .pop_if_empty()
            // A revision may hold slashes, and is one segment all the same.
            .extend([&self.owner, &self.name, "resolve", revision])
            .extend(file.split('/'));
        Ok(url)
    }
}

impl FromStr for Repository {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (path, revision) = text.split_once('@').unwrap_or((text, MAIN));
        let plain = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
        let part = |part: &str| {
            !part.is_empty()
                && !part.starts_with('.')
                && part.len() <= 96
                && part.chars().all(plain)
        };
        let is_revision =
            revision.split('/').all(part) && !revision.contains("..") && revision.len() <= 128;
        match path.split_once('/') {
            Some((owner, name)) if part(owner) && part(name) && is_revision => {
                Ok(Self { owner: owner.into(), name: name.into(), revision: revision.into() })
            }
            _ => Err("write OWNER/NAME or OWNER/NAME@REVISION, as the hub does".into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn repositories_are_read_as_the_hub_writes_them() {
        let url = |text: &str, hub: &str| {
            let repository: Repository = text.parse().unwrap();
            repository.url(&hub.parse().unwrap(), &repository.revision, "onnx/m.onnx").unwrap()
        };
        assert_eq!(
            url("acme/e5-small", "https://hub.test").as_str(),
            "https://hub.test/acme/e5-small/resolve/main/onnx/m.onnx"
        );
        assert_eq!(
            url("acme/e5@refs/pr/1", "https://mirror.test/hf/?x=1").as_str(),
            "https://mirror.test/hf/acme/e5/resolve/refs%2Fpr%2F1/onnx/m.onnx"
        );
        for wrong in ["e5", "a/b/c", "../b", "a/..", "a/b@", "a/b@../x", "a /b", "/b", "a/"] {
            assert!(wrong.parse::<Repository>().is_err(), "{wrong}");
        }
    }
}
