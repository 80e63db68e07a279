//! TLS on the listener, with certificates that are renewed while it serves.
//!
//! Invariant: files that nobody could be served with change nothing: those read before stay in use,
//! and it is told of in the log and counted. Connections that are open keep what they began with.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use arc_swap::ArcSwap;
use metrics::counter;
use rustls::ServerConfig;
use rustls::pki_types::CertificateDer;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tokio_util::sync::CancellationToken;
use x509_parser::prelude::{FromDer, GeneralName, X509Certificate};

use crate::config::Certificates;
use crate::serve::limits::metrics::RELOADS;

/// The files are looked at this often, as those of the configuration are.
const LOOK: Duration = Duration::from_secs(2);

/// What a file is known by; `None` where it is not there.
type Stamp = Option<(SystemTime, u64, u64)>;

/// The certificates in use; cheap to clone.
#[derive(Clone)]
pub struct Tls(Arc<Inner>);

struct Inner {
    certificates: Certificates,
    current: ArcSwap<ServerConfig>,
}

impl Tls {
    /// Reads them; else says what is wrong.
    pub fn open(certificates: &Certificates) -> Result<Self, TlsError> {
        let current = read(certificates)?;
        let certificates = certificates.clone();
        Ok(Self(Arc::new(Inner { certificates, current: ArcSwap::from_pointee(current) })))
    }

    /// The handshake.
    pub async fn accept<S: AsyncRead + AsyncWrite + Unpin>(
        &self,
        stream: S,
    ) -> std::io::Result<TlsStream<S>> {
        TlsAcceptor::from(self.0.current.load_full()).accept(stream).await
    }

    /// Reads the files again when they change, until `shutdown`.
    pub async fn follow(self, shutdown: CancellationToken) {
        let mut seen = self.stamps();
        let look = async {
            loop {
                tokio::time::sleep(LOOK).await;
                let now = self.stamps();
                if now != seen {
                    seen = now;
                    self.reload();
                }
            }
        };
        shutdown.run_until_cancelled(look).await;
    }

    fn reload(&self) {
        match read(&self.0.certificates) {
            Ok(config) => {
                self.0.current.store(Arc::new(config));
                counter!(RELOADS, "outcome" => "ok").increment(1);
                tracing::info!("certificates were read anew: new connections get them");
            }
            Err(error) => {
                counter!(RELOADS, "outcome" => "failed").increment(1);
                tracing::error!("the certificates from before stay in use: {error}");
            }
        }
    }

    fn stamps(&self) -> BTreeMap<PathBuf, Stamp> {
        let files = self.0.certificates.files();
        files.map(|path| (path.clone(), stamp(path))).collect()
    }
}

/// Why certificates can't be used.
#[derive(Debug, thiserror::Error)]
#[error("tls.{key}: {why}: mend the file")]
pub struct TlsError {
    key: &'static str,
    why: String,
}

fn read(certificates: &Certificates) -> Result<ServerConfig, TlsError> {
    certificates.read().map_err(|(key, why)| TlsError { key, why: why.to_string() })
}

fn stamp(path: &PathBuf) -> Stamp {
    use std::os::unix::fs::MetadataExt;

    let meta = std::fs::metadata(path).ok()?;
    Some((meta.modified().ok()?, meta.len(), meta.ino()))
}

/// The name in the certificate that a client showed, which the handshake has verified.
pub fn client_name<S>(stream: &TlsStream<S>) -> Option<Arc<str>> {
    name_in(stream.get_ref().1.peer_certificates()?.first()?)
}

/// The first URI, DNS name or address of the subject's other names, in that order, else its CN.
fn name_in(certificate: &CertificateDer<'_>) -> Option<Arc<str>> {
    let (_, certificate) = X509Certificate::from_der(certificate).ok()?;
    let names = certificate.subject_alternative_name().ok().flatten();
    let names = names.map(|names| &names.value.general_names[..]).unwrap_or_default();
    let first = |kind: fn(&GeneralName<'_>) -> Option<String>| names.iter().find_map(kind);
    let name = first(|name| match name {
        GeneralName::URI(uri) => Some((*uri).to_owned()),
        _ => None,
    });
    let name = name.or_else(|| {
        first(|name| match name {
            GeneralName::DNSName(name) => Some((*name).to_owned()),
            _ => None,
        })
    });
    let name = name.or_else(|| {
        first(|name| match name {
            GeneralName::RFC822Name(name) => Some((*name).to_owned()),
            _ => None,
        })
    });
    let common = certificate.subject().iter_common_name().next();
    let name = name.or_else(|| Some(common?.as_str().ok()?.to_owned()));
    // It goes to logs.
    let plain = |name: &String| !name.is_empty() && !name.chars().any(char::is_control);
    name.filter(plain).map(Arc::from)
}

#[cfg(test)]
mod tests {
    use rcgen::string::Ia5String;
    use rcgen::{CertificateParams, DnType, KeyPair, SanType};

    use super::*;

    fn named(common: Option<&str>, names: Vec<SanType>) -> Option<String> {
        let mut params = CertificateParams::default();
        params.distinguished_name = rcgen::DistinguishedName::new();
        if let Some(common) = common {
            params.distinguished_name.push(DnType::CommonName, common);
        }
        params.subject_alt_names = names;
        let certificate = params.self_signed(&KeyPair::generate().unwrap()).unwrap();
        name_in(certificate.der()).map(|name| name.to_string())
    }

    #[test]
    fn a_client_is_called_by_the_most_telling_of_its_names() {
        let text = |text: &str| Ia5String::try_from(text).unwrap();
        let dns = || SanType::DnsName(text("agent.example"));
        let mail = || SanType::Rfc822Name(text("ada@example.com"));
        let uri = || SanType::URI(text("spiffe://example/agent"));
        let names = |names| named(Some("Agent Ada"), names);
        assert_eq!(names(vec![mail(), dns(), uri()]).unwrap(), "spiffe://example/agent");
        assert_eq!(names(vec![mail(), dns()]).unwrap(), "agent.example");
        assert_eq!(names(vec![mail()]).unwrap(), "ada@example.com");
        assert_eq!(names(vec![]).unwrap(), "Agent Ada");
        assert_eq!(named(None, vec![]), None);
        assert_eq!(named(Some("a\nb"), vec![]), None);
    }
}
