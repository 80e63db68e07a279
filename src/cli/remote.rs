//! A running toolscout, asked to change something.
//!
//! Invariant: the token of the data folder goes to the address of the same configuration, or to the
//! one that the user named, and through no proxy; over TLS only to whoever has the key of a
//! certificate that is trusted (`trusted`). Nothing else of that configuration has to be right.

mod trusted;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail};
use clap::Args;
use reqwest::{ClientBuilder, Method};
use rustls::ClientConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use serde_json::Value;
use url::Url;

use self::trusted::Trusted;
pub(super) use self::trusted::unanswered;
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
    /// The client that a running toolscout is asked with; `own` is the certificate that it is known
    /// to have. No proxy is to see what it is told, and `HTTP_PROXY` would hold for this machine, too.
    pub(super) fn client(&self, own: Option<&Path>) -> anyhow::Result<ClientBuilder> {
        let named = self.ca_file.as_deref().map(certificates).transpose()?.unwrap_or_default();
        let own = own.map(certificates).transpose()?.and_then(|chain| chain.into_iter().next());
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let trusted = Trusted::new(named, own, Arc::clone(&provider))?;
        let tls = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(trusted));
        let tls = match &self.client_cert_file {
            None => tls.with_no_client_auth(),
            Some(path) => {
                let named = || format!("{}: not one certificate with its key", path.display());
                let key = PrivateKeyDer::from_pem_slice(&read(path)?).with_context(named)?;
                tls.with_client_auth_cert(certificates(path)?, key).with_context(named)?
            }
        };
        let client = reqwest::Client::builder().no_proxy().timeout(PATIENCE);
        Ok(client.tls_backend_preconfigured(tls))
    }
}

fn certificates(path: &Path) -> anyhow::Result<Vec<CertificateDer<'static>>> {
    let text = read(path)?;
    let all: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&text).collect();
    let all = all.ok().filter(|all| !all.is_empty());
    all.with_context(|| format!("{}: no certificates in PEM form", path.display()))
}

fn read(path: &Path) -> anyhow::Result<Vec<u8>> {
    std::fs::read(path).with_context(|| format!("{} can't be read", path.display()))
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
        let (client, base) = if let Some(url) = &args.url {
            (args.tls.client(None)?, url.clone())
        } else {
            let mut listen = admin_address(&sources, &variable)?;
            if listen.ip().is_unspecified() {
                listen.set_ip(std::net::Ipv4Addr::LOCALHOST.into());
            }
            match service_certificate(&sources, &variable)? {
                None => (args.tls.client(None)?, Url::parse(&format!("http://{listen}"))?),
                Some(path) => {
                    (args.tls.client(Some(&path))?, Url::parse(&format!("https://{listen}"))?)
                }
            }
        };
        let data = data_folder(&sources, &variable)?;
        let tenant = args.tenant.clone();
        Ok(Self { base, client: client.build()?, token: AdminToken::read(&data)?, tenant })
    }

    /// Where its console is, and who one is there: in the fragment, which no browser sends.
    pub fn console(&self) -> Url {
        let mut url = self.base.clone();
        url.set_path("/");
        url.set_query(None);
        let mut who = url::form_urlencoded::Serializer::new(String::new());
        who.append_pair("key", self.token.expose());
        if let Some(tenant) = &self.tenant {
            who.append_pair("tenant", tenant);
        }
        url.set_fragment(Some(&who.finish()));
        url
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
            let response = request.send().await.map_err(|error| {
                let told = unanswered(&error, &self.base.origin().ascii_serialization());
                anyhow::Error::new(error).context(told)
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
