//! How servers are reached over HTTP: the proxy, the authorities that are trusted, and who we are.
//!
//! Invariant: the files that a [`NetworkConfig`] names were there, and held what they should, when
//! it was resolved. They are read again whenever a connection is set up anew, since certificates
//! are renewed in place.

use std::path::{Path, PathBuf};

use reqwest::{Certificate, ClientBuilder, Identity, NoProxy};
use url::Url;

use super::Environment;
use super::error::{ConfigError, Place, Problem};
use super::expand::expand;
use super::raw::RawCrawl;

/// How a server is reached over HTTP.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NetworkConfig {
    /// What stands between.
    pub proxy: Proxy,
    /// Certificates (PEM) of authorities that are trusted besides the system's.
    pub ca: Option<PathBuf>,
    /// Our own certificate.
    pub client: Option<ClientCertificate>,
}

/// The proxy of a server.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Proxy {
    /// What `HTTPS_PROXY`, `HTTP_PROXY`, `ALL_PROXY` and `NO_PROXY` say.
    #[default]
    Environment,
    /// None, whatever they say.
    None,
    /// This one, but not for what `NO_PROXY` names.
    Through(Url),
}

/// A certificate of our own, and its key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientCertificate {
    /// The certificate and those that lead to its authority (PEM), perhaps the key as well.
    pub certificate: PathBuf,
    /// The key (PEM), where it has a file of its own.
    pub key: Option<PathBuf>,
}

impl NetworkConfig {
    /// Not even a variable leads these connections elsewhere.
    pub fn direct() -> Self {
        Self { proxy: Proxy::None, ..Self::default() }
    }

    /// The files that it names.
    pub fn files(&self) -> impl Iterator<Item = &PathBuf> {
        let own =
            self.client.iter().flat_map(|own| std::iter::once(&own.certificate).chain(&own.key));
        self.ca.iter().chain(own)
    }

    /// The same way for somebody who need not know who we are.
    #[must_use]
    pub fn anonymous(&self) -> Self {
        Self { client: None, ..self.clone() }
    }

    /// An HTTP client that goes this way, to be finished; else the key that is to blame, and why.
    pub fn client(&self) -> Result<ClientBuilder, (&'static str, Unusable)> {
        let mut builder =
            reqwest::Client::builder().user_agent(concat!("toolscout/", env!("CARGO_PKG_VERSION")));
        builder = match &self.proxy {
            Proxy::Environment => builder,
            Proxy::None => builder.no_proxy(),
            Proxy::Through(url) => {
                let proxy = reqwest::Proxy::all(url.as_str());
                let proxy = proxy.map_err(|_| ("proxy", Unusable::NoProxy))?;
                builder.proxy(proxy.no_proxy(NoProxy::from_env()))
            }
        };
        if let Some(path) = &self.ca {
            builder = builder.tls_certs_merge(certificates(path).map_err(|why| ("ca_file", why))?);
        }
        if let Some(client) = &self.client {
            builder = builder.identity(client.read().map_err(|why| ("client_cert_file", why))?);
        }
        Ok(builder)
    }
}

impl ClientCertificate {
    /// Certificate and key, as they are now.
    pub fn read(&self) -> Result<Identity, Unusable> {
        let mut pem = read(&self.certificate)?;
        if let Some(key) = &self.key {
            pem.push(b'\n');
            pem.extend(read(key)?);
        }
        Identity::from_pem(&pem).map_err(|_| Unusable::NoIdentity)
    }
}

/// The certificates of a bundle, as they are now.
pub fn certificates(path: &Path) -> Result<Vec<Certificate>, Unusable> {
    match Certificate::from_pem_bundle(&read(path)?) {
        Ok(certificates) if !certificates.is_empty() => Ok(certificates),
        _ => Err(Unusable::NoCertificate),
    }
}

pub(super) fn read(path: &Path) -> Result<Vec<u8>, Unusable> {
    let unreadable =
        |error: std::io::Error| Unusable::Unreadable { path: path.into(), why: error.to_string() };
    std::fs::read(path).map_err(unreadable)
}

/// Why a file of certificates is of no use.
#[derive(Debug, thiserror::Error)]
pub enum Unusable {
    /// It can't be read.
    #[error("{path}: {why}", path = path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system said.
        why: String,
    },
    /// It holds no certificate.
    #[error("no certificate in PEM form in it")]
    NoCertificate,
    /// Certificate or key is missing, or they are more than one pair.
    #[error("not one certificate with its key, both in PEM form")]
    NoIdentity,
    /// It is no address of a proxy.
    #[error("not a proxy")]
    NoProxy,
    /// It holds no key.
    #[error("no private key in PEM form in it")]
    NoKey,
    /// The key is not that of the certificate.
    #[error("not the key of that certificate")]
    OtherKey,
    /// It holds no list of revoked certificates.
    #[error("no list of revoked certificates in PEM form in it")]
    NoRevocations,
}

impl From<Unusable> for Problem {
    fn from(why: Unusable) -> Self {
        match why {
            Unusable::Unreadable { .. }
            | Unusable::NoProxy
            | Unusable::NoKey
            | Unusable::OtherKey
            | Unusable::NoRevocations => Self::Unreadable(why.to_string()),
            Unusable::NoCertificate => Self::NoCertificate,
            Unusable::NoIdentity => Self::NoIdentity,
        }
    }
}

/// The keys as they are written, in `[crawl]` and in an entry.
#[derive(Default)]
pub(super) struct Keys {
    pub proxy: Option<String>,
    pub ca_file: Option<String>,
    pub client_cert_file: Option<String>,
    pub client_key_file: Option<String>,
}

impl Keys {
    /// Each key, and whether it is there.
    pub(super) fn given(&self) -> [(&'static str, bool); 4] {
        [
            ("proxy", self.proxy.is_some()),
            ("ca_file", self.ca_file.is_some()),
            ("client_cert_file", self.client_cert_file.is_some()),
            ("client_key_file", self.client_key_file.is_some()),
        ]
    }
}

/// What `[crawl]` says, and the values of variables in it.
pub(super) fn of_crawl(
    raw: &mut RawCrawl,
    (place, base): (&Place, &Path),
    environment: &Environment<'_>,
    filled_in: &mut Vec<String>,
    errors: &mut Vec<ConfigError>,
) -> NetworkConfig {
    let mut take = |key: &str, value: &mut Option<String>| match expand(&value.take()?, environment)
    {
        Ok(expanded) => {
            filled_in.extend(expanded.filled_in);
            Some(expanded.text)
        }
        Err(problem) => {
            errors.push(place.at(key).error(problem));
            None
        }
    };
    let keys = Keys {
        proxy: take("proxy", &mut raw.proxy),
        ca_file: take("ca_file", &mut raw.ca_file),
        client_cert_file: take("client_cert_file", &mut raw.client_cert_file),
        client_key_file: take("client_key_file", &mut raw.client_key_file),
    };
    resolve(keys, &NetworkConfig::default(), (place, base), errors)
}

/// Checks `keys`; what they leave out is as in `default`.
pub(super) fn resolve(
    keys: Keys,
    default: &NetworkConfig,
    (place, base): (&Place, &Path),
    errors: &mut Vec<ConfigError>,
) -> NetworkConfig {
    let mut network = default.clone();
    let mut wrong = |key: &str, problem| errors.push(place.at(key).error(problem));
    match keys.proxy.as_deref().map(proxy) {
        Some(Ok(proxy)) => network.proxy = proxy,
        Some(Err(problem)) => wrong("proxy", problem),
        None => {}
    }
    if let Some(path) = keys.ca_file {
        let path = base.join(path);
        if let Err(why) = certificates(&path) {
            wrong("ca_file", why.into());
        }
        network.ca = Some(path);
    }
    let key = keys.client_key_file.map(|path| base.join(path));
    match keys.client_cert_file {
        Some(path) => {
            let client = ClientCertificate { certificate: base.join(path), key };
            if let Err(why) = client.read() {
                wrong("client_cert_file", why.into());
            }
            network.client = Some(client);
        }
        None if key.is_some() => wrong("client_cert_file", Problem::Needed),
        None => {}
    }
    network
}

fn proxy(text: &str) -> Result<Proxy, Problem> {
    match text {
        "environment" => return Ok(Proxy::Environment),
        "none" => return Ok(Proxy::None),
        _ => {}
    }
    match Url::parse(text) {
        Ok(url) if matches!(url.scheme(), "http" | "https") && url.has_host() => {
            Ok(Proxy::Through(url))
        }
        _ => Err(Problem::Proxy),
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Config, Loaded, Sources, load};
    use super::*;

    fn environment(name: &str) -> Option<String> {
        (name == "PROXY_PASSWORD").then(|| "s3cret".into())
    }

    /// What a `toolscout.toml` comes to, in a folder with certificates.
    fn loaded(text: &str) -> Result<Loaded, String> {
        let folder = tempfile::tempdir().unwrap();
        let pair = rcgen::generate_simple_self_signed(vec!["us".into()]).unwrap();
        let (certificate, key) = (pair.cert.pem(), pair.signing_key.serialize_pem());
        for (name, text) in [
            ("ca.pem", format!("# ours\n{certificate}{certificate}")),
            ("client.pem", certificate.clone()),
            ("client.key", key.clone()),
            ("both.pem", format!("{key}{certificate}")),
            ("text.pem", "no certificate".into()),
            ("toolscout.toml", text.into()),
        ] {
            std::fs::write(folder.path().join(name), text).unwrap();
        }
        let sources = Sources { folder: folder.path().to_owned(), ..Sources::default() };
        load(&sources, &environment).map_err(|errors| {
            errors.to_string().replace(&folder.path().display().to_string(), "FOLDER")
        })
    }

    fn network(config: &Config, id: &str) -> NetworkConfig {
        let server = config.servers.iter().find(|server| server.id.as_str() == id);
        server.unwrap().network.clone()
    }

    #[test]
    fn a_server_takes_what_it_does_not_say_from_the_crawl() {
        let loaded = loaded(
            r#"
[crawl]
proxy = "http://ada:${PROXY_PASSWORD}@proxy.test:3128"
ca_file = "ca.pem"
client_cert_file = "client.pem"
client_key_file = "client.key"
[servers.a]
url = "https://a.test/mcp"
[servers.b]
url = "https://b.test/mcp"
proxy = "none"
client_cert_file = "both.pem"
[servers.c]
url = "https://c.test/mcp"
proxy = "environment"
[servers.d]
command = "sh"
"#,
        )
        .unwrap();
        let name = |path: &Option<PathBuf>| {
            path.as_ref().map(|path| path.file_name().unwrap().to_str().unwrap().to_owned())
        };
        let [a, b, c, d] = ["a", "b", "c", "d"].map(|id| network(&loaded.config, id));
        let through: Url = "http://ada:s3cret@proxy.test:3128".parse().unwrap();
        assert_eq!(a.proxy, Proxy::Through(through));
        assert_eq!(name(&a.ca).as_deref(), Some("ca.pem"));
        let (a, b) = (a.client.unwrap(), (b.proxy, b.ca, b.client.unwrap()));
        assert_eq!(name(&Some(a.certificate)).as_deref(), Some("client.pem"));
        assert_eq!(name(&a.key).as_deref(), Some("client.key"));
        assert_eq!((b.0, name(&b.1).as_deref()), (Proxy::None, Some("ca.pem")));
        // A certificate of its own comes with its own key, or holds it.
        assert_eq!(name(&Some(b.2.certificate)).as_deref(), Some("both.pem"));
        assert_eq!(b.2.key, None);
        assert_eq!(c.proxy, Proxy::Environment);
        assert_eq!(d, NetworkConfig::default());

        let shown = loaded.shown().unwrap();
        assert!(!shown.contains("s3cret") && !shown.contains("ada"), "{shown}");
        assert!(shown.contains("proxy = \"http://****@proxy.test:3128/\""), "{shown}");
        for key in ["proxy = \"none\"", "ca.pem", "client.pem", "client.key", "both.pem"] {
            assert!(shown.contains(key), "{key}: {shown}");
        }
    }

    #[test]
    fn what_is_wrong_is_told_with_its_remedy() {
        let Err(errors) = loaded(
            r#"
[crawl]
ca_file = "text.pem"
[servers.a]
url = "https://a.test/mcp"
proxy = "socks5://proxy.test"
client_cert_file = "client.pem"
[servers.b]
url = "https://b.test/mcp"
ca_file = "missing.pem"
client_key_file = "client.key"
[servers.c]
command = "sh"
proxy = "none"
"#,
        ) else {
            panic!("it was taken");
        };
        insta::assert_snapshot!(errors, @r#"
        toolscout.toml:3: crawl.ca_file: no certificate in PEM form in that file
          remedy: name a file with BEGIN CERTIFICATE in it
        error: toolscout.toml:6: servers.a.proxy: not a proxy
          remedy: write "http://proxy.example.com:3128", "none" or "environment"
        error: toolscout.toml:7: servers.a.client_cert_file: not one certificate with its key, both in PEM form
          remedy: put the certificate and its key in one file, or name the key as `client_key_file`
        error: toolscout.toml:8: servers.b.client_cert_file: is missing
          remedy: give it a value; see `toolscout config example`
        error: toolscout.toml:10: servers.b.ca_file: can't be read: FOLDER/missing.pem: No such file or directory (os error 2)
          remedy: check the path and its permissions
        error: toolscout.toml:14: servers.c.proxy: means nothing for a server with `command`
          remedy: remove it, or remove `command`
        "#);
    }
}
