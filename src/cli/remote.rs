//! A running toolscout, asked to change something.
//!
//! Invariant: the token of the data folder goes to the address of the same configuration, or to the
//! one that the user named, and through no proxy; nothing else of that configuration has to be
//! right.

use std::time::Duration;

use anyhow::{Context, bail};
use clap::Args;
use reqwest::Method;
use serde_json::Value;
use url::Url;

use super::sources::{PlaceArgs, variable};
use crate::config::{admin_address, data_folder};
use crate::serve::TENANT;
use crate::serve::token::AdminToken;

/// Time for a whole answer.
const PATIENCE: Duration = Duration::from_mins(1);

/// The client that a running toolscout is asked with. No proxy is to see what it is told, and
/// `HTTP_PROXY` would hold for this machine, too.
pub(super) fn client() -> reqwest::Result<reqwest::Client> {
    reqwest::Client::builder().no_proxy().timeout(PATIENCE).build()
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
    /// The tenant that this is about [default: the main configuration].
    #[arg(long, value_name = "NAME")]
    pub tenant: Option<String>,
}

/// A running toolscout.
pub struct Remote {
    base: Url,
    token: AdminToken,
    tenant: Option<String>,
}

impl Remote {
    /// The one that these arguments name.
    pub fn of(args: &RemoteArgs) -> anyhow::Result<Self> {
        let sources = args.place.sources();
        let base = if let Some(url) = &args.url {
            url.clone()
        } else {
            let mut listen = admin_address(&sources, &variable)?;
            if listen.ip().is_unspecified() {
                listen.set_ip(std::net::Ipv4Addr::LOCALHOST.into());
            }
            Url::parse(&format!("http://{listen}"))?
        };
        let data = data_folder(&sources, &variable)?;
        let tenant = args.tenant.clone();
        Ok(Self { base, token: AdminToken::read(&data)?, tenant })
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
            let mut request = client()?.request(method, url);
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
