//! A running toolscout, asked to change something.
//!
//! Invariant: the token of the data folder goes to the address of the same configuration, or to the
//! one that the user named, and through no proxy; over TLS only to whoever has the key of a
//! certificate that is trusted. Nothing else of that configuration has to be right.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, bail};
use clap::Args;
use reqwest::{Certificate, ClientBuilder, Identity, Method};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use serde_json::Value;
use url::Url;
use x509_parser::prelude::{FromDer, GeneralName, X509Certificate};

use super::sources::{PlaceArgs, variable};
use crate::config::{admin_address, data_folder, service_certificate};
use crate::serve::TENANT;
use crate::serve::token::AdminToken;

/// Time for a whole answer.
const PATIENCE: Duration = Duration::from_mins(1);

/// Whom to trust over https, and who we are there.
#[derive(Debug, Clone, Default, Args)]
pub struct TlsArgs {
    /// Certificates (PEM) that are trusted besides the system's, where it serves over https.
    #[arg(long, value_name = "FILE")]
    pub ca_file: Option<PathBuf>,
    /// A certificate to show it, with its key (PEM, in one file), where it asks for one.
    #[arg(long, value_name = "FILE")]
    pub client_cert_file: Option<PathBuf>,
}

impl TlsArgs {
    /// The client that a running toolscout is asked with. No proxy is to see what it is told, and
    /// `HTTP_PROXY` would hold for this machine, too.
    pub(super) fn client(&self) -> anyhow::Result<ClientBuilder> {
        let mut client = reqwest::Client::builder().no_proxy().timeout(PATIENCE);
        if let Some(path) = &self.ca_file {
            client = client.tls_certs_merge(certificates(path)?);
        }
        if let Some(path) = &self.client_cert_file {
            let identity = Identity::from_pem(&read(path)?);
            let named = || format!("{}: not one certificate with its key", path.display());
            client = client.identity(identity.with_context(named)?);
        }
        Ok(client)
    }
}

fn certificates(path: &Path) -> anyhow::Result<Vec<Certificate>> {
    let certificates = Certificate::from_pem_bundle(&read(path)?);
    certificates.with_context(|| format!("{}: no certificates in PEM form", path.display()))
}

fn read(path: &Path) -> anyhow::Result<Vec<u8>> {
    std::fs::read(path).with_context(|| format!("{} can't be read", path.display()))
}

/// A name that the first certificate of a file is for.
fn name_in(path: &Path) -> Option<String> {
    let pem = CertificateDer::pem_slice_iter(&std::fs::read(path).ok()?).next()?.ok()?;
    let (_, certificate) = X509Certificate::from_der(&pem).ok()?;
    let names = certificate.subject_alternative_name().ok()??;
    names.value.general_names.iter().find_map(|name| match name {
        GeneralName::DNSName(name) => Some(name.replace('*', "toolscout")),
        _ => None,
    })
}

/// Which toolscout.
#[derive(Debug, Clone, Args)]
pub struct RemoteArgs {
    /// Where it is administered [default: the address of the configuration].
    #[arg(long, value_name = "URL")]
    pub url: Option<Url>,
    /// Its configuration and data folder.
    #[command(flatten)]
    pub place: PlaceArgs,
    /// Whom to trust there.
    #[command(flatten)]
    pub tls: TlsArgs,
    /// The tenant that this is about [default: the main configuration].
    #[arg(long, value_name = "NAME")]
    pub tenant: Option<String>,
}

/// A running toolscout.
pub struct Remote {
    base: Url,
    client: reqwest::Client,
    token: AdminToken,
    tenant: Option<String>,
}

impl Remote {
    /// The one that these arguments name.
    pub fn of(args: &RemoteArgs) -> anyhow::Result<Self> {
        let sources = args.place.sources();
        let mut client = args.tls.client()?;
        let base = if let Some(url) = &args.url {
            url.clone()
        } else {
            let mut listen = admin_address(&sources, &variable)?;
            if listen.ip().is_unspecified() {
                listen.set_ip(std::net::Ipv4Addr::LOCALHOST.into());
            }
            match service_certificate(&sources, &variable)? {
                None => Url::parse(&format!("http://{listen}"))?,
                Some(path) => {
                    let (over_tls, base) = over_tls(client, listen, &path)?;
                    client = over_tls;
                    base
                }
            }
        };
        let data = data_folder(&sources, &variable)?;
        let tenant = args.tenant.clone();
        Ok(Self { base, client: client.build()?, token: AdminToken::read(&data)?, tenant })
    }

    /// The answer to a request, or what its problem says. Each of `path` is one segment.
    pub fn ask(
        &self,
        method: Method,
        path: &[&str],
        body: Option<&Value>,
    ) -> anyhow::Result<Value> {
        self.ask_for(method, path, &[], body)
    }

    /// As [`Remote::ask`], with parameters.
    pub fn ask_for(
        &self,
        method: Method,
        path: &[&str],
        params: &[(&str, &str)],
        body: Option<&Value>,
    ) -> anyhow::Result<Value> {
        let mut url = self.base.clone();
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().extend(path);
        }
        if !params.is_empty() {
            url.query_pairs_mut().extend_pairs(params);
        }
        super::runtime()?.block_on(async {
            let mut request = self.client.request(method, url);
            request = request.bearer_auth(self.token.expose());
            if let Some(tenant) = &self.tenant {
                request = request.header(TENANT, tenant);
            }
            if let Some(body) = body {
                request = request.json(body);
            }
            let response = request.send().await.with_context(|| {
                let origin = self.base.origin().ascii_serialization();
                format!("no toolscout answers at {origin}: start it, or name its address by --url")
            })?;
            let status = response.status();
            let text = response.text().await?;
            let value: Value = serde_json::from_str(&text).unwrap_or_default();
            if !status.is_success() {
                bail!("{}", value["detail"].as_str().unwrap_or(status.as_str()));
            }
            Ok(value)
        })
    }
}

/// The listener of a configuration over TLS: asked by a name of its certificate, wherever that name
/// leads elsewhere, and trusted by that certificate where no authority vouches for it.
fn over_tls(
    client: ClientBuilder,
    listen: SocketAddr,
    certificate: &Path,
) -> anyhow::Result<(ClientBuilder, Url)> {
    let client = client.tls_certs_merge(certificates(certificate)?);
    Ok(match name_in(certificate) {
        Some(name) => {
            let base = Url::parse(&format!("https://{name}:{}", listen.port()))?;
            (client.resolve(&name, listen), base)
        }
        None => (client, Url::parse(&format!("https://{listen}"))?),
    })
}
