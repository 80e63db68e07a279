//! `[tls]`.
//!
//! Invariant: a certificate without its key, or the other way round, is an error; so are files
//! that nobody could be served with. They are read again while it serves, since certificates are
//! renewed in place.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, CertificateRevocationListDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use serde::{Deserialize, Serialize};

use super::error::Problem;
use super::load::Section;
use super::network::Unusable;

/// `[tls]`.
#[derive(Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RawTls {
    pub cert_file: Option<String>,
    pub key_file: Option<String>,
    pub client: Option<String>,
    pub client_ca_file: Option<String>,
    pub client_crl_file: Option<String>,
    pub hsts: Option<bool>,
}

/// How the listener speaks TLS, if it does.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct TlsConfig(pub Option<Certificates>);

/// The certificates that are listened with.
#[derive(Debug, Clone, PartialEq)]
pub struct Certificates {
    /// Ours, and those that lead to its authority (PEM).
    pub certificate: PathBuf,
    /// Its key (PEM).
    pub key: PathBuf,
    /// Those of clients.
    pub clients: Option<Clients>,
    /// Browsers are told to come back over TLS only.
    pub hsts: bool,
}

/// How clients show certificates of their own.
#[derive(Debug, Clone, PartialEq)]
pub struct Clients {
    /// Nobody is served without one.
    pub required: bool,
    /// The authorities that vouch for them (PEM).
    pub ca: PathBuf,
    /// Which of them count no more (PEM).
    pub revoked: Option<PathBuf>,
}

impl TlsConfig {
    /// How addresses begin.
    pub fn scheme(&self) -> &'static str {
        if self.0.is_some() { "https" } else { "http" }
    }
}

impl Certificates {
    /// Every file that it names.
    pub fn files(&self) -> impl Iterator<Item = &PathBuf> {
        let clients = self.clients.iter();
        let clients =
            clients.flat_map(|clients| std::iter::once(&clients.ca).chain(&clients.revoked));
        [&self.certificate, &self.key].into_iter().chain(clients)
    }

    /// The files as they are now, ready to serve with; else the key that is to blame, and why.
    pub fn read(&self) -> Result<ServerConfig, (&'static str, Unusable)> {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .map_err(|_| ("cert_file", Unusable::NoIdentity))?;
        let builder = match &self.clients {
            None => builder.with_no_client_auth(),
            Some(clients) => {
                let unusable = |_| ("client_ca_file", Unusable::NoCertificate);
                let mut roots = RootCertStore::empty();
                for authority in certificates("client_ca_file", &clients.ca)? {
                    roots.add(authority).map_err(unusable)?;
                }
                let verifier = WebPkiClientVerifier::builder_with_provider(roots.into(), provider)
                    .with_crls(clients.revocations()?);
                let verifier =
                    if clients.required { verifier } else { verifier.allow_unauthenticated() };
                let verifier = verifier.build();
                let verifier =
                    verifier.map_err(|_| ("client_crl_file", Unusable::NoRevocations))?;
                builder.with_client_cert_verifier(verifier)
            }
        };
        let key = PrivateKeyDer::from_pem_slice(&bytes("key_file", &self.key)?);
        let key = key.map_err(|_| ("key_file", Unusable::NoKey))?;
        let chain = certificates("cert_file", &self.certificate)?;
        let config = builder.with_single_cert(chain, key);
        let mut config = config.map_err(|_| ("key_file", Unusable::OtherKey))?;
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(config)
    }
}

impl Clients {
    fn revocations(
        &self,
    ) -> Result<Vec<CertificateRevocationListDer<'static>>, (&'static str, Unusable)> {
        let Some(path) = &self.revoked else { return Ok(Vec::new()) };
        let text = bytes("client_crl_file", path)?;
        let lists: Result<Vec<_>, _> =
            CertificateRevocationListDer::pem_slice_iter(&text).collect();
        match lists {
            Ok(lists) if !lists.is_empty() => Ok(lists),
            _ => Err(("client_crl_file", Unusable::NoRevocations)),
        }
    }
}

fn certificates(
    key: &'static str,
    path: &Path,
) -> Result<Vec<CertificateDer<'static>>, (&'static str, Unusable)> {
    let text = bytes(key, path)?;
    let all: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&text).collect();
    match all {
        Ok(all) if !all.is_empty() => Ok(all),
        _ => Err((key, Unusable::NoCertificate)),
    }
}

fn bytes(key: &'static str, path: &Path) -> Result<Vec<u8>, (&'static str, Unusable)> {
    super::network::read(path).map_err(|why| (key, why))
}

/// Checks the section.
pub(super) fn resolve(raw: RawTls, section: &mut Section<'_>) -> TlsConfig {
    let place = section.place.at("tls");
    let base = section.base;
    let mut wrong = |key: &str, problem| section.errors.push(place.at(key).error(problem));
    let given = raw.key_file.is_some() || raw.client.is_some() || raw.client_ca_file.is_some();
    let Some(certificate) = raw.cert_file else {
        if given {
            wrong("cert_file", Problem::Needed);
        }
        return TlsConfig(None);
    };
    let Some(key) = raw.key_file else {
        wrong("key_file", Problem::Needed);
        return TlsConfig(None);
    };
    let usual = if raw.client_ca_file.is_some() { "required" } else { "none" };
    let client = raw.client.as_deref().unwrap_or(usual);
    if !matches!(client, "none" | "optional" | "required") {
        wrong("client", Problem::OneOf("\"none\", \"optional\" or \"required\""));
    }
    let clients = match raw.client_ca_file {
        _ if client == "none" => None,
        Some(ca) => Some(Clients {
            required: client == "required",
            ca: base.join(ca),
            revoked: raw.client_crl_file.map(|path| base.join(path)),
        }),
        None => {
            wrong("client_ca_file", Problem::Needed);
            None
        }
    };
    let certificates = Certificates {
        certificate: base.join(certificate),
        key: base.join(key),
        clients,
        hsts: raw.hsts.unwrap_or(true),
    };
    if let Err((key, why)) = certificates.read() {
        wrong(key, why.into());
    }
    TlsConfig(Some(certificates))
}

/// The section as it was resolved, for `config check`: no secret is in it.
pub(super) fn shown(config: &TlsConfig) -> RawTls {
    let Some(certificates) = &config.0 else { return RawTls::default() };
    let path = |path: &PathBuf| path.display().to_string();
    let clients = certificates.clients.as_ref();
    let client = match clients {
        None => "none",
        Some(clients) if clients.required => "required",
        Some(_) => "optional",
    };
    RawTls {
        cert_file: Some(path(&certificates.certificate)),
        key_file: Some(path(&certificates.key)),
        client: Some(client.to_owned()),
        client_ca_file: clients.map(|clients| path(&clients.ca)),
        client_crl_file: clients.and_then(|clients| clients.revoked.as_ref()).map(path),
        hsts: Some(certificates.hsts),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Sources, load};

    /// What a `[tls]` comes to, in a folder with certificates.
    fn tls(text: &str) -> Result<TlsConfig, String> {
        let folder = tempfile::tempdir().unwrap();
        let pair = || rcgen::generate_simple_self_signed(vec!["us".into()]).unwrap();
        let (ours, other) = (pair(), pair());
        for (name, text) in [
            ("cert.pem", ours.cert.pem()),
            ("key.pem", ours.signing_key.serialize_pem()),
            ("other.pem", other.signing_key.serialize_pem()),
            ("text.pem", "no certificate".into()),
        ] {
            std::fs::write(folder.path().join(name), text).unwrap();
        }
        let sources = Sources {
            folder: folder.path().to_owned(),
            text: Some(format!("[tls]\n{text}")),
            ..Sources::default()
        };
        let loaded = load(&sources, &|_| None).map_err(|errors| {
            errors.to_string().replace(&folder.path().display().to_string(), "FOLDER")
        });
        loaded.map(|loaded| loaded.config.tls)
    }

    #[test]
    fn an_authority_for_clients_means_that_they_need_a_certificate() {
        let pair = "cert_file = 'cert.pem'\nkey_file = 'key.pem'\n";
        let clients = |more: &str| tls(&format!("{pair}{more}")).unwrap().0.unwrap().clients;
        assert_eq!(clients(""), None);
        assert!(clients("client_ca_file = 'cert.pem'").unwrap().required);
        let optional = clients("client_ca_file = 'cert.pem'\nclient = 'optional'").unwrap();
        assert!(!optional.required);
        assert_eq!(clients("client_ca_file = 'cert.pem'\nclient = 'none'"), None);
        assert_eq!(tls("").unwrap(), TlsConfig(None));
    }

    #[test]
    fn half_a_pair_and_files_of_no_use_are_told_with_their_remedies() {
        let told: Vec<String> = [
            "cert_file = 'cert.pem'",
            "key_file = 'key.pem'",
            "cert_file = 'cert.pem'\nkey_file = 'other.pem'",
            "cert_file = 'text.pem'\nkey_file = 'key.pem'",
            "cert_file = 'cert.pem'\nkey_file = 'text.pem'",
            "cert_file = 'cert.pem'\nkey_file = 'missing.pem'",
            "cert_file = 'cert.pem'\nkey_file = 'key.pem'\nclient = 'required'",
            "cert_file = 'cert.pem'\nkey_file = 'key.pem'\nclient = 'maybe'",
            "cert_file = 'cert.pem'\nkey_file = 'key.pem'\nclient_ca_file = 'cert.pem'\n\
             client_crl_file = 'text.pem'",
        ]
        .into_iter()
        .map(|text| tls(text).unwrap_err())
        .collect();
        insta::assert_snapshot!(told.join("\n"));
    }
}
