//! One service's part of the cluster: between its crawler and its indexer.
//!
//! Invariant: what other replicas have to know reaches the indexer by way of the database alone, so
//! all of them have it in one order; what is of this process alone (a catalog file, a server that
//! left the configuration) goes straight on.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

use super::follow::Followed;
use super::publish::Published;
use super::{Cluster, Joined};
use crate::catalog::{Outcome, ServerUpdate};
use crate::crawl::{Crawler, Leases};
use crate::tool::ServerId;

/// Changes of what is wanted are gathered for this long.
const SETTLE: Duration = Duration::from_millis(50);

/// A service that takes part.
pub struct Member {
    cluster: Cluster,
    tenant: String,
    leases: Leases,
    asked: mpsc::UnboundedReceiver<ServerId>,
    version: watch::Receiver<i64>,
    followed: Followed,
    /// The last attempt to catch up failed.
    is_behind: bool,
}

impl Cluster {
    /// A service for `tenant` ("" for the process's own configuration) takes part from now on.
    pub fn member(&self, tenant: &str) -> Member {
        let (leases, asked) = Leases::shared();
        let (version, seen) = watch::channel(0);
        let joined = Joined {
            leases: leases.clone(),
            version,
            held: BTreeMap::new(),
            crawler: None,
            missed: BTreeSet::new(),
        };
        self.members().insert(tenant.to_owned(), joined);
        Member {
            cluster: self.clone(),
            tenant: tenant.to_owned(),
            leases,
            asked,
            version: seen,
            followed: Followed::default(),
            is_behind: false,
        }
    }
}

impl Member {
    /// What says which servers are crawled here.
    pub fn leases(&self) -> Leases {
        self.leases.clone()
    }

    /// Takes what `crawler` reports from `reports`, and gives the indexer its `updates`, until `stop`.
    pub async fn run(
        mut self,
        crawler: Crawler,
        mut reports: mpsc::Receiver<ServerUpdate>,
        updates: mpsc::Sender<ServerUpdate>,
        stop: CancellationToken,
    ) {
        if let Some(joined) = self.cluster.members().get_mut(&self.tenant) {
            joined.crawler = Some(crawler.clone());
        }
        let Some(mut wanted) = self.leases.wanted() else { return };
        wanted.mark_changed();
        loop {
            let looks = tokio::select! {
                () = stop.cancelled() => break,
                update = reports.recv() => match update {
                    Some(update) => {
                        self.take(update, &updates).await;
                        false
                    }
                    None => break,
                },
                Some(server) = self.asked.recv() => {
                    self.pass_on(&server).await;
                    false
                }
                Ok(()) = wanted.changed() => {
                    tokio::time::sleep(SETTLE).await;
                    self.cluster.0.changed.notify_one();
                    true
                }
                Ok(()) = self.version.changed() => true,
                () = tokio::time::sleep(self.cluster.0.config.poll), if self.is_behind => true,
            };
            if !looks {
                continue;
            }
            self.version.mark_unchanged();
            let servers = wanted.borrow_and_update().clone();
            // What their tasks said before they were wanted goes before what others found.
            while let Ok(update) = reports.try_recv() {
                self.take(update, &updates).await;
            }
            self.catch_up(servers, &crawler, &updates).await;
            if updates.is_closed() {
                break;
            }
        }
        self.leave();
    }

    /// Another service may have taken its place by now.
    fn leave(&self) {
        let mut members = self.cluster.members();
        let is_ours = |joined: &Joined| joined.version.subscribe().same_channel(&self.version);
        if members.get(&self.tenant).is_some_and(is_ours) {
            members.remove(&self.tenant);
        }
        drop(members);
        self.cluster.0.changed.notify_one();
    }

    /// Publishes what a crawl came to, or passes on what nobody else has to know.
    async fn take(&self, update: ServerUpdate, updates: &mpsc::Sender<ServerUpdate>) {
        let is_shared = matches!(
            update.outcome,
            Outcome::Listed(_) | Outcome::Failed { .. } | Outcome::AuthRequired { .. }
        );
        if !is_shared || update.transport == "file" {
            // Nobody takes it at the end.
            let _ = updates.send(update).await;
            return;
        }
        let server = &update.server;
        let epoch = self.cluster.epoch(&self.tenant, server);
        let published = match epoch {
            Some(epoch) => self.cluster.publish(&self.tenant, epoch, &update).await,
            None => Ok(Published::Fenced),
        };
        match published {
            Ok(Published::Yes) => self.cluster.0.hinted.notify_one(),
            Ok(Published::Fenced) => tracing::info!(%server, "another replica crawls it by now"),
            Err(error) => {
                tracing::warn!(%server, "what was crawled can't be published: {error}");
                self.cluster.tell(Some(&error));
                self.cluster.crawl_later(&self.tenant, server);
            }
        }
    }

    async fn catch_up(
        &mut self,
        wanted: BTreeSet<ServerId>,
        crawler: &Crawler,
        updates: &mpsc::Sender<ServerUpdate>,
    ) {
        let of = (&*self.tenant, &wanted, crawler);
        let read = self.cluster.catch_up(of, &mut self.followed, updates).await;
        self.is_behind = read.is_err();
        if let Err(error) = read {
            self.cluster.tell_reads(Some(&error));
        }
    }

    /// Has whoever crawls this server do it now.
    async fn pass_on(&self, server: &ServerId) {
        if let Err(error) = self.cluster.ask(&self.tenant, server).await {
            tracing::warn!(%server, "whoever crawls it can't be asked to: {error}");
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::config::ClusterConfig;
    use crate::troubles::Troubles;

    use super::*;

    #[tokio::test]
    async fn one_that_ends_late_takes_nothing_from_who_has_its_place() {
        let config = ClusterConfig {
            database: "postgres://nobody@127.0.0.1:1/nothing".into(),
            read: None,
            ca_file: None,
            replica: None,
            lease: Duration::from_secs(1),
            poll: Duration::from_secs(1),
            listen: false,
            connections: 1,
            timeout: Duration::from_secs(1),
        };
        let (cluster, _) =
            Cluster::join(&config, &Troubles::default(), CancellationToken::new()).unwrap();
        let before = cluster.member("acme");
        let after = cluster.member("acme");
        before.leave();
        assert!(cluster.members().contains_key("acme"));
        after.leave();
        assert!(!cluster.members().contains_key("acme"));
    }
}
