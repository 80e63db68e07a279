//! Connections to the database.
//!
//! Invariant: they are bounded in number and in time, and no statement has a name, so that a pooler
//! of transactions may stand between.

use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use deadpool_postgres::{Manager, ManagerConfig, Object, Pool, RecyclingMethod, Runtime};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls_platform_verifier::Verifier;
use secrecy::{ExposeSecret, SecretString};
use tokio_postgres::Config;
use tokio_postgres_rustls::MakeRustlsConnect;

use crate::config::ClusterConfig;

/// Why the database did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum ClusterError {
    /// The address makes no sense.
    #[error("[cluster] database_url: {0}; write it as postgres://user:password@host:5432/name")]
    Url(tokio_postgres::Error),
    /// Certificates can't be used.
    #[error("[cluster] ca_file: {0}")]
    Certificates(String),
    /// No pool of connections.
    #[error("no pool of connections: {0}")]
    Pool(#[from] deadpool_postgres::BuildError),
    /// No connection.
    #[error("no connection: {0}")]
    Connect(#[from] deadpool_postgres::PoolError),
    /// It refused, or went away.
    #[error("{}", told(.0))]
    Database(#[from] tokio_postgres::Error),
    /// The schema can't be brought up to date.
    #[error("the schema can't be brought up to date: {0}")]
    Schema(String),
    /// It took too long.
    #[error("no answer in {} s", .0.as_secs())]
    Late(Duration),
    /// What it has can't be read.
    #[error("server {server}: {problem}")]
    Unreadable {
        /// Whose row it is.
        server: String,
        /// What is wrong with it.
        problem: String,
    },
}

/// With what the database said of it, which the error alone does not show.
fn told(error: &tokio_postgres::Error) -> String {
    match error.as_db_error() {
        Some(said) => format!("the database says: {} ({})", said.message(), said.code().code()),
        None => match std::error::Error::source(error) {
            Some(source) => format!("{error}: {source}"),
            None => error.to_string(),
        },
    }
}

/// A pool of connections; cheap to clone.
#[derive(Clone)]
pub(super) struct Database {
    pool: Pool,
    timeout: Duration,
}

impl Database {
    /// Connects when it is first asked for a connection.
    pub fn new(url: &SecretString, config: &ClusterConfig) -> Result<Self, ClusterError> {
        let tls = tls(config)?;
        let recycling_method = RecyclingMethod::Fast;
        let manager =
            Manager::from_config(parse(url, config)?, tls, ManagerConfig { recycling_method });
        let pool = Pool::builder(manager)
            .max_size(config.connections)
            .wait_timeout(Some(config.timeout))
            .create_timeout(Some(config.timeout))
            .runtime(Runtime::Tokio1)
            .build()?;
        Ok(Self { pool, timeout: config.timeout })
    }

    /// A connection.
    pub async fn get(&self) -> Result<Object, ClusterError> {
        Ok(self.pool.get().await?)
    }

    /// What `work` gives, within the time for it. A connection whose work was cut is not used again.
    pub async fn within<T>(
        &self,
        work: impl AsyncFnOnce(&mut Object) -> Result<T, ClusterError>,
    ) -> Result<T, ClusterError> {
        let mut connection = self.get().await?;
        if let Ok(done) = tokio::time::timeout(self.timeout, work(&mut connection)).await {
            return done;
        }
        drop(Object::take(connection));
        Err(ClusterError::Late(self.timeout))
    }
}

/// The address, with what is kept to whatever it says.
pub(super) fn parse(url: &SecretString, config: &ClusterConfig) -> Result<Config, ClusterError> {
    let mut parsed = Config::from_str(url.expose_secret()).map_err(ClusterError::Url)?;
    parsed.application_name("toolscout").connect_timeout(config.timeout);
    parsed.tcp_user_timeout(config.timeout);
    Ok(parsed)
}

/// TLS as the address asks for it (`sslmode`): whoever speaks it is held to its certificate.
pub(super) fn tls(config: &ClusterConfig) -> Result<MakeRustlsConnect, ClusterError> {
    let unusable = |error: &dyn std::fmt::Display| ClusterError::Certificates(error.to_string());
    let mut named: Vec<CertificateDer<'static>> = Vec::new();
    if let Some(path) = &config.ca_file {
        let at = |error: &dyn std::fmt::Display| unusable(&format!("{}: {error}", path.display()));
        for certificate in CertificateDer::pem_file_iter(path).map_err(|error| at(&error))? {
            named.push(certificate.map_err(|error| at(&error))?);
        }
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let verifier = Verifier::new_with_extra_roots(named, Arc::clone(&provider))
        .map_err(|error| unusable(&error))?;
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| unusable(&error))?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier))
        .with_no_client_auth();
    Ok(MakeRustlsConnect::new(config))
}
