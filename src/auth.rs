//! Credentials for upstreams: where they are kept, how they are got, and how far they may go.
//!
//! Stands between `config` and `crawl`. rmcp speaks OAuth (discovery, PKCE, registration, exchange,
//! refresh); this room has the store, the guard, and the life of a token around it.
//!
//! Invariant: a secret leaves this room only in a request to the server it was issued for, and a
//! URL that a remote document names is asked only if [`guard`] lets it through.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use tokio::sync::Notify;
use tokio_util::task::TaskTracker;

use crate::config::{Auth, Config, ServerConfig, Transport};
use crate::tool::ServerId;

mod account;
mod error;
pub mod guard;
mod key;
mod keyring;
mod login;
mod manager;
mod record;
mod vault;

pub use account::{Account, Verdict};
pub use error::AuthError;
pub(crate) use error::{cause, clip, innermost};
pub use key::Source as KeySource;
pub use login::{Callback, Login, PATIENCE};
pub use record::{Record, Secret, Tokens};
pub use vault::{Vault, VaultError};

/// How often the folder of logins is looked at.
const LOOK: Duration = Duration::from_secs(1);

/// The logins of all servers.
#[derive(Clone)]
pub struct Accounts {
    vault: Option<Arc<Vault>>,
    known: Arc<Mutex<BTreeMap<ServerId, Arc<Account>>>>,
    news: News,
    /// Tokens that are on their way.
    tasks: TaskTracker,
}

impl Accounts {
    /// The logins that are kept in the data folder. Fails where others can get at them.
    pub fn open(config: &Config) -> Result<Self, VaultError> {
        let vault = Vault::open(folder(config), config.token_key.clone())?;
        Ok(Self { vault: Some(Arc::new(vault)), ..Self::none() })
    }

    /// No logins: servers that want one are told of as such.
    pub fn none() -> Self {
        let (known, news, tasks) = (Arc::default(), News::default(), TaskTracker::new());
        Self { vault: None, known, news, tasks }
    }

    /// The login of a server; `None` where it is not to use OAuth. The same server has the same
    /// account, so that there is one refresh at a time.
    pub fn of(&self, server: &ServerConfig) -> Option<Arc<Account>> {
        let (Transport::Http { url, .. }, Auth::OAuth(config)) = (&server.transport, &server.auth)
        else {
            return None;
        };
        let vault = self.vault.as_ref()?;
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let same = |account: &&Arc<Account>| {
            account.url == *url && account.config == *config && account.network == server.network
        };
        if let Some(account) = known.get(&server.id).filter(same) {
            return Some(Arc::clone(account));
        }
        let account = Arc::new(Account::new(
            server.id.clone(),
            (url.clone(), server.network.clone()),
            config.clone(),
            Arc::clone(vault),
            (self.news.clone(), self.tasks.clone()),
        ));
        known.insert(server.id.clone(), Arc::clone(&account));
        Some(account)
    }

    /// Who we are to this server by login ([`Account::who`]).
    pub fn who(&self, server: &ServerConfig) -> String {
        self.of(server).map(|account| account.who()).unwrap_or_default()
    }

    /// The account that [`Accounts::of`] gave for this id.
    pub fn get(&self, server: &str) -> Option<Arc<Account>> {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.get(server).cloned()
    }

    /// The store, if there is one.
    pub fn vault(&self) -> Option<&Vault> {
        self.vault.as_deref()
    }

    /// Waits until somebody has logged in, here or in another process; the servers it was for.
    pub async fn changed(&self) -> BTreeSet<ServerId> {
        let mut seen = self.stamp();
        loop {
            let found = tokio::select! {
                () = self.news.0.1.notified() => self.news.take(),
                () = tokio::time::sleep(LOOK) => {
                    let stamp = self.stamp();
                    // A file system's clock is coarse: what is young may have changed since.
                    let young = stamp.and_then(|stamp| SystemTime::now().duration_since(stamp).ok());
                    if stamp == seen && young.is_none_or(|age| age > LOOK * 3) {
                        continue;
                    }
                    seen = stamp;
                    self.reload()
                }
            };
            if !found.is_empty() {
                return found;
            }
        }
    }

    /// Waits until tokens that were asked for are here and kept: a server that rotates them has
    /// forgotten the old ones.
    pub async fn settled(&self, patience: Duration) {
        self.tasks.close();
        if tokio::time::timeout(patience, self.tasks.wait()).await.is_err() {
            tracing::warn!("a token was asked for and did not come: somebody may have to log in");
        }
    }

    fn reload(&self) -> BTreeSet<ServerId> {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let changed = |(_, account): &(ServerId, Arc<Account>)| account.reload().unwrap_or(false);
        known.into_iter().filter(changed).map(|(id, _)| id).collect()
    }

    fn stamp(&self) -> Option<SystemTime> {
        self.vault.as_ref().and_then(|vault| vault.stamp())
    }
}

/// Where the logins are.
fn folder(config: &Config) -> PathBuf {
    config.data.join("tokens")
}

/// Servers that somebody logged in at in this process.
#[derive(Clone, Default)]
struct News(Arc<(Mutex<BTreeSet<ServerId>>, Notify)>);

impl News {
    fn tell(&self, server: &ServerId) {
        self.0.0.lock().unwrap_or_else(PoisonError::into_inner).insert(server.clone());
        self.0.1.notify_one();
    }

    fn take(&self) -> BTreeSet<ServerId> {
        std::mem::take(&mut *self.0.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
