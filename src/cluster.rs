//! What replicas share: a catalog in PostgreSQL, and whose turn it is to crawl which server.
//!
//! Each replica searches in its own memory; nothing here is on the way of a query. A crawl is
//! published in one transaction ([`publish`]), and every replica, the one that crawled too, takes it
//! from there ([`follow`]), in the order of commits. Invariant: what this process may not crawl any
//! more it does not publish (the epoch of its lease is checked under the row's lock), and where the
//! database can't be reached what was known stays.

mod connect;
mod follow;
mod hint;
mod lease;
mod member;
mod publish;
mod schema;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;

use crate::config::ClusterConfig;
use crate::crawl::{Crawler, Leases};
use crate::tool::ServerId;
use crate::troubles::Troubles;

pub use connect::ClusterError;
pub use member::Member;

/// What is wrong with the process while the database can't be asked.
const TROUBLE: &str = "database";
/// The same of the one that followers read, where it is another.
const TROUBLE_READING: &str = "database of followers";

/// This process's part of the cluster; cheap to clone.
#[derive(Clone)]
pub struct Cluster(Arc<Inner>);

struct Inner {
    replica: String,
    config: ClusterConfig,
    writes: connect::Database,
    reads: connect::Database,
    troubles: Troubles,
    /// Those whose servers this process serves, by the tenant's name; its own by "".
    members: Mutex<BTreeMap<String, Joined>>,
    /// There is a new one, or one wants other servers.
    changed: Notify,
    /// A version may have moved.
    hinted: Notify,
}

/// A tenant that this process serves.
struct Joined {
    leases: Leases,
    /// The newest version that the database was seen at.
    version: watch::Sender<i64>,
    /// Epochs of the leases that are held.
    held: BTreeMap<ServerId, i64>,
    /// What crawls, from when it does.
    crawler: Option<Crawler>,
    /// What was crawled of these could not be published: nothing queues, they are crawled again.
    missed: BTreeSet<ServerId>,
}

impl Cluster {
    /// Connects, brings the schema up to date, and takes part until `stop`.
    pub fn join(
        config: &ClusterConfig,
        troubles: &Troubles,
        stop: CancellationToken,
    ) -> Result<(Self, tokio::task::JoinHandle<()>), ClusterError> {
        let writes = connect::Database::new(&config.database, config)?;
        let reads = match &config.read {
            Some(url) => connect::Database::new(url, config)?,
            None => writes.clone(),
        };
        let replica = config.replica.clone().unwrap_or_else(name);
        let cluster = Self(Arc::new(Inner {
            replica,
            config: config.clone(),
            writes,
            reads,
            troubles: troubles.clone(),
            members: Mutex::default(),
            changed: Notify::new(),
            hinted: Notify::new(),
        }));
        tracing::info!(replica = cluster.0.replica, "takes part in a cluster");
        let running = cluster.clone();
        let work = async move {
            let schema = schema::keep_trying(&running, &stop);
            if !schema.await {
                return;
            }
            tokio::join!(
                lease::run(&running, &stop),
                follow::watch(&running, &stop),
                hint::listen(&running, &stop),
            );
        };
        let task = tokio::spawn(work);
        Ok((cluster, task))
    }

    /// The name of this replica.
    pub fn replica(&self) -> &str {
        &self.0.replica
    }

    fn members(&self) -> MutexGuard<'_, BTreeMap<String, Joined>> {
        self.0.members.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Says that the database answers what is written there, or why it does not.
    fn tell(&self, error: Option<&ClusterError>) {
        let then = "answers are as of when it was last asked, and nothing is crawled";
        self.tell_of(TROUBLE, then, error);
        metrics::gauge!("toolscout_cluster_connected").set(f64::from(u8::from(error.is_none())));
    }

    /// The same of where followers read.
    fn tell_reads(&self, error: Option<&ClusterError>) {
        if self.0.config.read.is_some() {
            let then = "answers are as of when it was last asked";
            self.tell_of(TROUBLE_READING, then, error);
        } else if error.is_some() {
            self.tell(error);
        }
    }

    fn tell_of(&self, part: &'static str, then: &str, error: Option<&ClusterError>) {
        let troubles = &self.0.troubles;
        match error {
            None => troubles.clear(part),
            Some(error) => {
                if !troubles.all().contains_key(part) {
                    tracing::warn!("the {part} can't be asked: {error}");
                }
                troubles.set(part, format!("it can't be asked: {then}"));
            }
        }
    }
}

/// A name that no other replica has.
fn name() -> String {
    let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
    format!("{host}-{:08x}", fastrand::u32(..))
}
