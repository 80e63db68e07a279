//! The resolved configuration: every default filled in, every variable expanded, every path known.
//!
//! Invariant: a [`Config`] is complete and valid; nothing after it reads the environment.

mod added;
mod audit;
mod call;
mod check;
mod client;
mod cluster;
mod credential;
pub mod edit;
mod encoder;
mod error;
mod expand;
mod file;
#[cfg(any(test, feature = "fuzzing"))]
pub(crate) mod fuzzing;
mod hidden;
pub mod import;
mod inbound;
mod learn;
mod limits;
mod load;
mod names;
mod network;
mod places;
mod profile;
mod raw;
mod registry;
mod secret;
mod server;
mod service;
mod show;
mod telemetry;
mod tenant;
#[cfg(test)]
mod tests;
mod tls;
mod trust;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use secrecy::{ExposeSecret, SecretString};
use url::Url;

use crate::access::profile::Profiles;
use crate::catalog::Server;
use crate::learn::Rules;
use crate::tool::{ServerId, Tool};
use crate::trust::policy::Policy;

pub use self::added::AddedServer;
pub use self::audit::{AuditConfig, Told};
pub use self::call::{Alias, Allow, CallConfig, McpConfig};
pub use self::cluster::ClusterConfig;
pub use self::error::{ConfigError, ConfigErrors, Problem};
pub use self::inbound::{
    AuthConfig, CertificateConfig, ConsoleLogin, Introspection, IssuerConfig, Mapped,
};
pub use self::limits::{LimitsConfig, Rate};
pub use self::load::{DEFAULT_FILE, EncoderPlaces, Loaded, Sources, encoder_places, file_of, load};
pub use self::names::{NameFilter, Names};
pub use self::network::{ClientCertificate, NetworkConfig, Proxy, Unusable, certificates};
pub use self::registry::{Approve, RegistryConfig, RemoteKind};
pub(crate) use self::secret::{looks_secret, sounds_secret};
pub use self::server::Defaults;
pub use self::service::{
    admin_address, audit_config, data_folder, followed_registries, named_places, service_address,
    service_certificate, takes_keys,
};
pub use self::telemetry::{OtlpConfig, TelemetryConfig};
pub use self::tenant::{TenantConfig, load_tenant};
pub use self::tls::{Certificates, Clients, TlsConfig};

/// Looks a variable up; `None` when it is unset.
pub type Environment<'a> = dyn Fn(&str) -> Option<String> + 'a;

/// A `toolscout.toml` with every key and its default.
pub const EXAMPLE: &str = include_str!("config/example.toml");

/// The variable that gives the key of kept logins.
pub const TOKEN_KEY: &str = "TOOLSCOUT_TOKEN_KEY";

/// Everything `serve` and `crawl` need to know.
#[derive(Debug, Clone)]
pub struct Config {
    /// Where to listen.
    pub listen: SocketAddr,
    /// A listener beyond loopback is allowed although nobody is asked who they are.
    pub allow_anonymous: bool,
    /// `Host` values that are served, besides loopback names and the listening address.
    pub allowed_hosts: Vec<String>,
    /// `Origin` values that are served, besides loopback origins.
    pub allowed_origins: Vec<String>,
    /// Where snapshots and caches live.
    pub data: PathBuf,
    /// Start and crawl the demo's servers as well.
    pub demo: bool,
    /// What to crawl.
    pub servers: Vec<ServerConfig>,
    /// Bounds on every crawl.
    pub crawl: CrawlConfig,
    /// How servers are crawled that say nothing of it, as those that are added later.
    pub defaults: Defaults,
    /// What is to be done about definitions that changed or are odd.
    pub trust: Policy,
    /// How tools are called through toolscout.
    pub call: CallConfig,
    /// What is offered over MCP beside toolscout's own tools.
    pub mcp: McpConfig,
    /// What is learned from use; `None` is nothing.
    pub learn: Option<Rules>,
    /// The query and tool encoder.
    pub embed: EmbedConfig,
    /// The reranker, if there is to be one.
    pub rerank: Option<RerankConfig>,
    /// Registries that are followed.
    pub registries: Vec<RegistryConfig>,
    /// Views of the catalog.
    pub profiles: Profiles,
    /// What logins are encrypted with.
    pub token_key: TokenKey,
    /// Who may ask.
    pub auth: AuthConfig,
    /// Those who share the process and nothing else, by name.
    pub tenants: BTreeMap<String, TenantConfig>,
    /// How much is served.
    pub limits: LimitsConfig,
    /// Certificates of the listener.
    pub tls: TlsConfig,
    /// Logs, traces and metrics.
    pub telemetry: TelemetryConfig,
    /// What is kept of who did what.
    pub audit: AuditConfig,
    /// The database that this replica shares with others.
    pub cluster: Option<ClusterConfig>,
}

/// Where the key is that logins are encrypted with.
#[derive(Debug, Clone)]
pub enum TokenKey {
    /// Here.
    Given(SecretString),
    /// In the keyring of the desktop, or as [`TokenKey::File`] where there is none.
    Keyring,
    /// In a file beside the logins.
    File,
}

impl Config {
    /// The sections in which `next` differs from this, and which are read at the start alone.
    /// Secrets of other sections than servers are not compared, but for the key of logins.
    pub fn needs_restart(&self, next: &Self) -> Vec<&'static str> {
        let hosts = |config: &Self| {
            let Self { allowed_hosts, allowed_origins, .. } = config;
            (allowed_hosts.clone(), allowed_origins.clone())
        };
        let listens = |config: &Self| (config.listen, config.allow_anonymous);
        let key = |config: &Self| match &config.token_key {
            TokenKey::Given(key) => Ok(key.expose_secret().to_owned()),
            TokenKey::Keyring => Err(true),
            TokenKey::File => Err(false),
        };
        let shown = |section: &dyn std::fmt::Debug| format!("{section:?}");
        let reached_anew = self.defaults.network != next.defaults.network;
        let differs = [
            ("listen", listens(self) != listens(next)),
            ("allowed_hosts, allowed_origins", hosts(self) != hosts(next)),
            ("data", self.data != next.data),
            ("[crawl]", shown(&self.crawl) != shown(&next.crawl)),
            ("[mcp]", self.mcp != next.mcp),
            ("[learn]", self.learn != next.learn),
            ("[embed]", shown(&self.embed) != shown(&next.embed)),
            ("[[registry]]", self.registries != next.registries),
            ("[crawl], for [[registry]] alone", reached_anew && !self.registries.is_empty()),
            ("token_key_file, token_keyring", key(self) != key(next)),
            ("[auth]", self.auth != next.auth),
            ("[limits]", self.limits != next.limits),
            ("[tls]", self.tls != next.tls),
            ("[rerank]", shown(&self.rerank) != shown(&next.rerank)),
            ("[telemetry]", shown(&self.telemetry) != shown(&next.telemetry)),
            ("[audit]", self.audit != next.audit),
            ("[cluster]", shown(&self.cluster) != shown(&next.cluster)),
        ];
        differs.into_iter().filter(|(_, differs)| *differs).map(|(section, _)| section).collect()
    }

    /// Where the catalog is kept between runs.
    pub fn snapshot_path(&self) -> PathBuf {
        self.data.join("snapshots/catalog.snapshot")
    }

    /// Where the history of definitions is kept between runs.
    pub fn trust_path(&self) -> PathBuf {
        self.data.join("trust/definitions.book")
    }

    /// Where evidence of use is kept between runs.
    pub fn learned_path(&self) -> PathBuf {
        self.data.join("learned/evidence.book")
    }

    /// Where is kept between runs how much was asked.
    pub fn activity_path(&self) -> PathBuf {
        self.data.join("activity/hours.book")
    }

    /// A tool that an earlier run knew may still be offered: its server is configured and
    /// switched on, the name is allowed, and what was shown to us alone was shown to who we are
    /// now (`who` logged in). What a file lists is read from the file.
    pub fn admits(
        &self,
        source: &Server,
        tool: &Tool,
        who: impl Fn(&ServerConfig) -> String,
    ) -> bool {
        let demo = self.demo && crate::demo::names().any(|name| name == tool.server.as_str());
        demo || self.servers.iter().find(|server| server.id == tool.server).is_some_and(|server| {
            server.enabled
                && server.names.admits(&tool.name)
                && server.was_shown(&source.info, || who(server))
        })
    }
}

impl ServerConfig {
    /// Both are the same in every value, secrets included.
    pub fn same_as(&self, other: &Self) -> bool {
        let Self {
            id,
            enabled,
            title,
            names,
            timeout,
            refresh,
            network,
            guard,
            transport,
            auth,
            filled_in,
        } = self;
        let clear = |values: &[SecretString]| -> Vec<String> {
            values.iter().map(|value| value.expose_secret().to_owned()).collect()
        };
        *id == other.id
            && *enabled == other.enabled
            && *title == other.title
            && *names == other.names
            && *timeout == other.timeout
            && *refresh == other.refresh
            && *network == other.network
            && *guard == other.guard
            && transport.same_as(&other.transport)
            && *auth == other.auth
            && clear(filled_in) == clear(&other.filled_in)
    }
}

impl Transport {
    /// Both reach the same server in the same way, with the same secrets.
    pub fn same_as(&self, other: &Self) -> bool {
        match (self, other) {
            (
                Self::Stdio { command, args, env, cwd },
                Self::Stdio { command: command_2, args: args_2, env: env_2, cwd: cwd_2 },
            ) => command == command_2 && args == args_2 && same(env, env_2) && cwd == cwd_2,
            (Self::Http { url, headers }, Self::Http { url: url_2, headers: headers_2 }) => {
                url == url_2 && same(headers, headers_2)
            }
            (
                Self::Catalog { path, servers },
                Self::Catalog { path: path_2, servers: servers_2 },
            ) => path == path_2 && servers == servers_2,
            _ => false,
        }
    }
}

fn same(ours: &[(String, SecretString)], theirs: &[(String, SecretString)]) -> bool {
    let clear = |pairs: &[(String, SecretString)]| -> Vec<(String, String)> {
        pairs.iter().map(|(key, value)| (key.clone(), value.expose_secret().into())).collect()
    };
    clear(ours) == clear(theirs)
}

/// One upstream server (or one file that holds the tools of several).
#[derive(Debug, Clone)]
pub struct ServerConfig {
    /// Its id: the key in the configuration.
    pub id: ServerId,
    /// Switched on.
    pub enabled: bool,
    /// Display title, instead of what the server says.
    pub title: Option<String>,
    /// Which of its tools are kept.
    pub names: NameFilter,
    /// Time for one whole crawl of it.
    pub timeout: Duration,
    /// Time between crawls, before jitter.
    pub refresh: Duration,
    /// What lies on the way to it, where that is HTTP.
    pub network: NetworkConfig,
    /// Where it may be, if its address came from a remote document; `None` leaves that to who
    /// configured it.
    pub guard: Option<crate::auth::guard::Policy>,
    /// How to reach it.
    pub transport: Transport,
    /// How to prove who we are, beside what its headers say.
    pub auth: Auth,
    /// Values that variables filled in: no text shows them.
    pub filled_in: Vec<SecretString>,
}

/// How toolscout proves to a server who it is.
#[derive(Debug, Clone, Default, PartialEq)]
pub enum Auth {
    /// By the headers of its transport, or not at all.
    #[default]
    Headers,
    /// By OAuth, once the server asks.
    OAuth(OAuthConfig),
}

/// How to get a token for a server.
#[derive(Debug, Clone, Default)]
pub struct OAuthConfig {
    /// Who logs in.
    pub grant: Grant,
    /// toolscout's id at the authorization server, where it is registered there.
    pub client_id: Option<String>,
    /// The secret that goes with it.
    pub client_secret: Option<SecretString>,
    /// A document that says who toolscout is, for authorization servers that take its URL as id.
    pub client_metadata_url: Option<Url>,
    /// What to ask for, instead of what the server names.
    pub scopes: Vec<String>,
    /// Where `auth login` waits for the browser on this machine; 0 is any free port.
    pub redirect_port: u16,
    /// The authorization server may be in a private network, also over plain http.
    pub allow_private_addresses: bool,
}

impl PartialEq for OAuthConfig {
    fn eq(&self, other: &Self) -> bool {
        let secret = |config: &Self| {
            config.client_secret.as_ref().map(|secret| secret.expose_secret().to_owned())
        };
        self.grant == other.grant
            && self.client_id == other.client_id
            && secret(self) == secret(other)
            && self.client_metadata_url == other.client_metadata_url
            && self.scopes == other.scopes
            && self.redirect_port == other.redirect_port
            && self.allow_private_addresses == other.allow_private_addresses
    }
}

/// Who logs in.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Grant {
    /// A person, in a browser.
    #[default]
    AuthorizationCode,
    /// toolscout itself, with its client's secret.
    ClientCredentials,
}

/// How a server is reached.
#[derive(Debug, Clone)]
pub enum Transport {
    /// A child process that speaks MCP on stdin and stdout.
    Stdio {
        /// The program.
        command: String,
        /// Its arguments.
        args: Vec<String>,
        /// Its environment, on top of a clean one (PATH, HOME and the like).
        env: Vec<(String, SecretString)>,
        /// Its working folder.
        cwd: Option<PathBuf>,
    },
    /// Streamable HTTP.
    Http {
        /// The MCP endpoint.
        url: Url,
        /// Headers of every request; a bearer token is one of them.
        headers: Vec<(String, SecretString)>,
    },
    /// A file of definitions, one tool or one server a line, perhaps gzipped. The ids of its
    /// servers come from the file.
    Catalog {
        /// The file.
        path: PathBuf,
        /// A `servers.jsonl` with their titles and descriptions.
        servers: Option<PathBuf>,
    },
}

/// Bounds on every crawl.
#[derive(Debug, Clone)]
pub struct CrawlConfig {
    /// Children that start at once.
    pub concurrency: usize,
    /// Pages of one listing.
    pub max_pages: usize,
    /// Tools of one listing.
    pub max_tools: usize,
    /// Bytes of one listing (all pages).
    pub max_bytes: usize,
}

/// The encoder.
#[derive(Debug, Clone)]
pub struct EmbedConfig {
    /// Use vectors at all.
    pub enabled: bool,
    /// The model's folder; `None` is the encoder in the binary.
    pub model: Option<PathBuf>,
    /// Vectors come from here instead.
    pub endpoint: Option<EndpointConfig>,
    /// The ONNX Runtime library, for models that want it.
    pub runtime: PathBuf,
    /// Threads that embed tools in the background.
    pub threads: usize,
    /// Past this, a query is answered lexically.
    pub deadline: Duration,
}

impl EmbedConfig {
    /// Vectors come from the encoder in the binary.
    pub fn is_in_binary(&self) -> bool {
        self.enabled && self.endpoint.is_none() && self.model.is_none()
    }
}

impl Default for EmbedConfig {
    /// The encoder in the binary.
    fn default() -> Self {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        Self {
            enabled: true,
            model: None,
            endpoint: None,
            runtime: PathBuf::new(),
            threads: (cores / 2).max(1),
            deadline: Duration::from_millis(200),
        }
    }
}

/// An OpenAI-compatible embeddings endpoint.
#[derive(Debug, Clone)]
pub struct EndpointConfig {
    /// Its base, with or without `/embeddings` at the end.
    pub url: Url,
    /// The model that it is asked for.
    pub model: String,
    /// Sent as a bearer token.
    pub api_key: Option<SecretString>,
    /// Length of its vectors.
    pub dimensions: usize,
    /// Texts of one request.
    pub batch: usize,
    /// Time for one request.
    pub timeout: Duration,
    /// Further requests after one that failed and may yet succeed.
    pub retries: usize,
    /// Put before a query.
    pub query_prefix: String,
    /// Put before the text of a tool.
    pub passage_prefix: String,
}

/// The reranker.
#[derive(Debug, Clone)]
pub struct RerankConfig {
    /// Folder of `model.onnx`, `tokenizer.json` ….
    pub model: PathBuf,
    /// How many of the best tools are put in order anew.
    pub depth: usize,
    /// Past this, the order stays as it was.
    pub deadline: Duration,
}
