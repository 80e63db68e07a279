//! `[[registry]]`: the MCP registries that are followed.
//!
//! Invariant: names are unique and fit for a file's name; what is not said is asked for.

use std::time::Duration;

use url::Url;

use super::error::{ConfigError, Place, Problem};
use super::raw::RawRegistry;
use super::server::duration;
use super::{NameFilter, Names};

/// A registry that is followed.
#[derive(Debug, Clone, PartialEq)]
pub struct RegistryConfig {
    /// What it is called here.
    pub name: String,
    /// Its base URL.
    pub url: Url,
    /// Names of servers that are taken.
    pub filter: NameFilter,
    /// Transports that are taken.
    pub remotes: Vec<RemoteKind>,
    /// Servers at most.
    pub max: usize,
    /// Who approves them.
    pub approve: Approve,
    /// Time between two looks, before jitter.
    pub refresh: Duration,
    /// Servers of it may be on private networks.
    pub allow_private: bool,
}

/// A transport of a server in a registry.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize,
)]
pub enum RemoteKind {
    /// Streamable HTTP.
    #[serde(rename = "streamable-http")]
    StreamableHttp,
    /// HTTP+SSE of 2024.
    #[serde(rename = "sse")]
    Sse,
}

impl RemoteKind {
    /// All of them, the better first.
    pub const ALL: [Self; 2] = [Self::StreamableHttp, Self::Sse];

    /// As documents write it.
    pub fn name(self) -> &'static str {
        match self {
            Self::StreamableHttp => "streamable-http",
            Self::Sse => "sse",
        }
    }
}

/// Who approves the servers of a registry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Approve {
    /// An operator, each of them.
    Ask,
    /// Nobody: all are connected to.
    All,
}

impl Approve {
    /// As the configuration writes it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Ask => "ask",
            Self::All => "all",
        }
    }
}

/// Resolves every `[[registry]]`, or says what is wrong with each.
pub(super) fn resolve(
    raws: Vec<RawRegistry>,
    place: &Place,
    errors: &mut Vec<ConfigError>,
) -> Vec<RegistryConfig> {
    let place = place.at("registry");
    let mut resolved: Vec<RegistryConfig> = Vec::new();
    for raw in raws {
        let mut wrong = |key: &str, problem: Problem| errors.push(place.at(key).error(problem));
        let name = raw.name.unwrap_or_default();
        let is_plain = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
        if name.is_empty() {
            wrong("name", Problem::Needed);
        } else if !name.chars().all(is_plain) || name.len() > 64 {
            wrong("name", Problem::RegistryName);
        } else if resolved.iter().any(|other| other.name == name) {
            wrong("name", Problem::RegistryTwice(name.clone()));
        }
        let url = match raw.url.as_deref().map(Url::parse) {
            None => Err(Problem::Needed),
            Some(Err(error)) => Err(Problem::Url(error.to_string())),
            Some(Ok(url)) if !matches!(url.scheme(), "http" | "https") => {
                Err(Problem::Scheme(url.scheme().to_owned()))
            }
            Some(Ok(url)) => Ok(url),
        };
        let url = url.map_err(|problem| wrong("url", problem));
        let filter = match raw.filter.as_deref().map(Names::new) {
            None => NameFilter::default(),
            Some(Ok(names)) => NameFilter { allow: Some(names), ..NameFilter::default() },
            Some(Err(globs)) => {
                for glob in globs {
                    wrong("filter", Problem::Glob(glob.to_string()));
                }
                NameFilter::default()
            }
        };
        let mut remotes = Vec::new();
        for text in
            raw.remotes.unwrap_or_else(|| RemoteKind::ALL.map(|kind| kind.name().to_owned()).into())
        {
            match RemoteKind::ALL.into_iter().find(|kind| kind.name() == text) {
                Some(kind) => remotes.push(kind),
                None => wrong("remotes", Problem::OneOf("\"streamable-http\" or \"sse\"")),
            }
        }
        let approve = match raw.approve.as_deref() {
            None | Some("ask") => Approve::Ask,
            Some("all") => Approve::All,
            Some(_) => {
                wrong("approve", Problem::OneOf("\"ask\" or \"all\""));
                Approve::Ask
            }
        };
        if raw.max == Some(0) {
            wrong("max", Problem::TooSmall { least: "1" });
        }
        let refresh =
            match raw.refresh.as_deref().map(|text| duration(text, Duration::from_secs(1))) {
                None => Duration::from_hours(1),
                Some(Ok(refresh)) => refresh,
                Some(Err(problem)) => {
                    wrong("refresh", problem);
                    Duration::from_hours(1)
                }
            };
        if let Ok(url) = url {
            resolved.push(RegistryConfig {
                name,
                url,
                filter,
                remotes,
                max: raw.max.unwrap_or(100),
                approve,
                refresh,
                allow_private: raw.allow_private_addresses.unwrap_or(false),
            });
        }
    }
    resolved
}

#[cfg(test)]
mod tests {
    use super::super::tests::try_toml;
    use super::*;

    #[test]
    fn they_are_checked_and_ask_unless_told_otherwise() {
        let loaded = try_toml(
            "[[registry]]\nname = 'a'\nurl = 'https://r.test'\n[[registry]]\nname = 'b'\n\
             url = 'http://r.test/x'\nfilter = ['io.github.acme/*']\nremotes = ['sse']\nmax = 3\n\
             approve = 'all'\nrefresh = '5m'\nallow_private_addresses = true",
        )
        .unwrap();
        assert!(loaded.warnings.is_empty(), "{:?}", loaded.warnings);
        let [a, b] = &loaded.config.registries[..] else { panic!("two were given") };
        assert_eq!((a.approve, a.max, a.remotes.len()), (Approve::Ask, 100, 2));
        assert_eq!((a.refresh, a.allow_private), (Duration::from_hours(1), false));
        assert!(a.filter.admits("any/thing"));
        assert_eq!((b.approve, b.max, &b.remotes[..]), (Approve::All, 3, &[RemoteKind::Sse][..]));
        assert!(b.filter.admits("io.github.acme/x") && !b.filter.admits("io.github.other/x"));
        let shown = loaded.shown().unwrap();
        assert!(
            shown.contains("approve = \"all\"") && shown.contains("refresh = \"5m\""),
            "{shown}"
        );

        let errors = try_toml(
            "[[registry]]\nname = '../x'\nurl = 'ftp://r.test'\nremotes = ['stdio']\n\
             approve = 'some'\nmax = 0\nrefresh = '0s'\nfilter = ['[']\n\
             [[registry]]\nurl = 'https://r.test'\n[[registry]]\nname = 'c'\nurl = 'https://r.test'\n\
             [[registry]]\nname = 'c'\nurl = 'https://r.test'",
        );
        let Err(errors) = errors else { panic!("it was taken") };
        for problem in [
            "registry.name: not a name for a registry",
            "registry.url: the URL scheme",
            "registry.remotes: not one of",
            "use \"ask\" or \"all\"",
            "registry.max: too small",
            "registry.refresh: too small",
            "registry.filter: ",
            "registry.name: is missing",
            "two registries called \"c\"",
        ] {
            assert!(errors.contains(problem), "{problem}: {errors}");
        }
    }
}
