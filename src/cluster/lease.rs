//! Whose turn it is to crawl which server: a row a server, held for some seconds and renewed.
//!
//! Invariant: this process crawls nothing that it may not have renewed in time, by its own clock; the
//! database's clock says when others may take it. Each replica takes its share of what nobody holds,
//! and gives back what it has above that, so work spreads without anyone who assigns it.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use tokio_postgres::types::Type;
use tokio_util::sync::CancellationToken;

use super::{Cluster, ClusterError};
use crate::tool::ServerId;

/// Changes of what is wanted are gathered for this long.
const SETTLE: Duration = Duration::from_millis(50);
/// A server that no replica has wanted for so long is forgotten, and so is a replica that says nothing.
const FORGOTTEN: Duration = Duration::from_hours(24 * 7);

/// Whose server.
type Key = (String, ServerId);

/// Renews what is held, and takes and gives back, until `stop`; then it gives back everything.
pub(super) async fn run(cluster: &Cluster, stop: &CancellationToken) {
    let lease = cluster.0.config.lease;
    let every = lease / 3;
    let mut renewed = Instant::now();
    let mut known = BTreeSet::new();
    loop {
        let begun = Instant::now();
        // A database that hangs must not keep this process crawling past its leases.
        let left = lease.saturating_sub(renewed.elapsed());
        let left = if left.is_zero() { cluster.0.config.timeout } else { left };
        let turn = tokio::time::timeout(left, take_turn(cluster, &mut known)).await;
        let turn = turn.unwrap_or(Err(ClusterError::Late(left)));
        cluster.tell(turn.as_ref().err());
        match turn {
            Ok(()) => renewed = begun,
            Err(_) if renewed.elapsed() >= lease => cluster.hold(BTreeMap::new()),
            Err(_) => {}
        }
        // Before others may take it over, whatever this end of the connection waits for.
        let wait = if turn_failed(renewed, begun) {
            (every / 2).min(lease.saturating_sub(renewed.elapsed())).max(SETTLE)
        } else {
            every
        };
        tokio::select! {
            () = tokio::time::sleep(wait) => {}
            () = cluster.0.changed.notified() => tokio::time::sleep(SETTLE).await,
            () = stop.cancelled() => break,
        }
    }
    cluster.hold(BTreeMap::new());
    if let Err(error) = leave(cluster).await {
        tracing::warn!("others will have to wait for this replica's servers: {error}");
    }
}

fn turn_failed(renewed: Instant, begun: Instant) -> bool {
    renewed != begun
}

/// One round.
async fn take_turn(cluster: &Cluster, known: &mut BTreeSet<Key>) -> Result<(), ClusterError> {
    let wanted = cluster.wanted();
    let (me, seconds) = (&cluster.0.replica, cluster.0.config.lease.as_secs_f64());
    let new: Vec<&Key> = wanted.iter().filter(|key| !known.contains(*key)).collect();
    let replicas = cluster
        .0
        .writes
        .within(async |connection| {
            if !new.is_empty() {
                make_rows(connection, &new).await?;
            }
            let program = env!("CARGO_PKG_VERSION");
            let seen = connection
                .query_typed(
                    "with me as (insert into toolscout.replica values ($1, now(), $3)
                       on conflict (id) do update set seen_at = now(), program = excluded.program)
                     select 1 + count(*) from toolscout.replica
                       where id <> $1 and seen_at > now() - make_interval(secs => $2)",
                    &[(me, Type::TEXT), (&seconds, Type::FLOAT8), (&program, Type::TEXT)],
                )
                .await?;
            Ok(seen.first().map_or(Ok(1), |row| row.try_get::<_, i64>(0))?)
        })
        .await?;
    known.extend(new.into_iter().cloned());
    known.retain(|key| wanted.contains(key));
    let replicas = usize::try_from(replicas).unwrap_or(1).max(1);
    let share = wanted.len().div_ceil(replicas);
    let mut held = renew(cluster, &wanted).await?;
    for (tenant, server) in cluster.missed() {
        cluster.refresh(&(tenant, server));
    }
    if held.len() > share {
        // Nothing is crawled any more that is given back: first here, then for the others.
        let first = held.keys().nth(share).cloned();
        let surplus = first.map(|first| held.split_off(&first)).unwrap_or_default();
        cluster.hold(held);
        give_back(cluster, &surplus).await?;
    } else {
        let more = take(cluster, &wanted, share - held.len()).await?;
        held.extend(more);
        cluster.hold(held);
    }
    Ok(())
}

/// Rows that leases can be of.
async fn make_rows(
    connection: &tokio_postgres::Client,
    keys: &[&Key],
) -> Result<(), tokio_postgres::Error> {
    let (tenants, servers) = columns(keys.iter().copied());
    connection
        .execute_typed(
            "insert into toolscout.tenant (id) select distinct t from unnest($1::text[]) t
               on conflict do nothing",
            &[(&tenants, Type::TEXT_ARRAY)],
        )
        .await?;
    connection
        .execute_typed(
            "insert into toolscout.server (tenant, id) select * from unnest($1::text[], $2::text[])
               on conflict do nothing",
            &[(&tenants, Type::TEXT_ARRAY), (&servers, Type::TEXT_ARRAY)],
        )
        .await?;
    Ok(())
}

fn columns<'a>(keys: impl IntoIterator<Item = &'a Key>) -> (Vec<&'a str>, Vec<&'a str>) {
    keys.into_iter().map(|(tenant, server)| (tenant.as_str(), server.as_str())).unzip()
}

/// Those of `wanted` that are held for another while; the others are left. What somebody asked for is
/// crawled.
async fn renew(
    cluster: &Cluster,
    wanted: &BTreeSet<Key>,
) -> Result<BTreeMap<Key, i64>, ClusterError> {
    let (tenants, servers) = columns(wanted);
    let seconds = cluster.0.config.lease.as_secs_f64();
    let sql = "update toolscout.server s set
                 holder = case when old.wanted then $1 end,
                 held_until = case when old.wanted then now() + make_interval(secs => $2) end,
                 wanted_at = case when old.wanted then now() else wanted_at end,
                 asked_at = null
               from (select tenant, id, asked_at is not null as asked,
                       (tenant, id) in (select * from unnest($3::text[], $4::text[])) as wanted
                     from toolscout.server where holder = $1 for update) old
               where s.tenant = old.tenant and s.id = old.id
               returning s.tenant, s.id, s.epoch, old.asked, old.wanted";
    let rows = cluster.ask_rows(sql, &seconds, (&tenants, &servers), None).await?;
    let mut held = BTreeMap::new();
    for row in rows {
        if !row.try_get::<_, bool>(4)? {
            continue;
        }
        let key: Key = (row.try_get(0)?, row.try_get::<_, &str>(1)?.into());
        if row.try_get(3)? {
            cluster.refresh(&key);
        }
        held.insert(key, row.try_get(2)?);
    }
    Ok(held)
}

/// At most so many of those that nobody holds, the longest without a holder first.
async fn take(
    cluster: &Cluster,
    wanted: &BTreeSet<Key>,
    most: usize,
) -> Result<BTreeMap<Key, i64>, ClusterError> {
    if most == 0 {
        return Ok(BTreeMap::new());
    }
    let (tenants, servers) = columns(wanted);
    let seconds = cluster.0.config.lease.as_secs_f64();
    let sql = "update toolscout.server s set
                 holder = $1, epoch = s.epoch + 1, asked_at = null,
                 held_until = now() + make_interval(secs => $2)
               from (select tenant, id from toolscout.server
                     where (holder is null or held_until < now())
                       and (tenant, id) in (select * from unnest($3::text[], $4::text[]))
                     order by held_until nulls first limit $5
                     for update skip locked) free
               where s.tenant = free.tenant and s.id = free.id
               returning s.tenant, s.id, s.epoch";
    let rows = cluster.ask_rows(sql, &seconds, (&tenants, &servers), Some(most)).await?;
    let held = |row: &tokio_postgres::Row| {
        Ok(((row.try_get(0)?, row.try_get::<_, &str>(1)?.into()), row.try_get(2)?))
    };
    rows.iter().map(held).collect()
}

async fn give_back(cluster: &Cluster, held: &BTreeMap<Key, i64>) -> Result<(), ClusterError> {
    let (tenants, servers) = columns(held.keys());
    cluster
        .0
        .writes
        .within(async |connection| {
            connection
                .execute_typed(
                    "update toolscout.server set holder = null, held_until = null
                     where holder = $1 and (tenant, id) in
                       (select * from unnest($2::text[], $3::text[]))",
                    &[
                        (&cluster.0.replica, Type::TEXT),
                        (&tenants, Type::TEXT_ARRAY),
                        (&servers, Type::TEXT_ARRAY),
                    ],
                )
                .await?;
            Ok(())
        })
        .await
}

/// Leaves what is held to the others at once.
async fn leave(cluster: &Cluster) -> Result<(), ClusterError> {
    let old = FORGOTTEN.as_secs_f64();
    cluster
        .0
        .writes
        .within(async |connection| {
            let me = (&cluster.0.replica as _, Type::TEXT);
            connection
                .execute_typed(
                    "update toolscout.server set holder = null, held_until = null where holder = $1",
                    std::slice::from_ref(&me),
                )
                .await?;
            connection
                .execute_typed(
                    "delete from toolscout.replica
                     where id = $1 or seen_at < now() - make_interval(secs => $2)",
                    &[me, (&old, Type::FLOAT8)],
                )
                .await?;
            connection
                .execute_typed(
                    "delete from toolscout.server
                     where holder is null and wanted_at < now() - make_interval(secs => $1)",
                    &[(&old, Type::FLOAT8)],
                )
                .await?;
            Ok(())
        })
        .await
}

impl Cluster {
    /// What this process would crawl, of all tenants.
    fn wanted(&self) -> BTreeSet<Key> {
        let members = self.members();
        let of_one = |(tenant, joined): (&String, &super::Joined)| -> Vec<Key> {
            let wanted = joined.leases.wanted();
            let wanted = wanted.map(|wanted| wanted.borrow().clone()).unwrap_or_default();
            wanted.into_iter().map(|server| (tenant.clone(), server)).collect()
        };
        members.iter().flat_map(of_one).collect()
    }

    /// Makes these the leases that are held, with their epochs.
    fn hold(&self, held: BTreeMap<Key, i64>) {
        #[expect(clippy::cast_precision_loss, reason = "a gauge")]
        metrics::gauge!("toolscout_cluster_leases").set(held.len() as f64);
        let mut by_tenant: BTreeMap<String, BTreeMap<ServerId, i64>> = BTreeMap::new();
        for ((tenant, server), epoch) in held {
            by_tenant.entry(tenant).or_default().insert(server, epoch);
        }
        for (tenant, joined) in self.members().iter_mut() {
            joined.held = by_tenant.remove(tenant).unwrap_or_default();
            joined.leases.hold(joined.held.keys().cloned().collect());
        }
    }

    /// The epoch of a lease that is held.
    pub(super) fn epoch(&self, tenant: &str, server: &ServerId) -> Option<i64> {
        self.members().get(tenant)?.held.get(server).copied()
    }

    /// Has a server crawled that is held here.
    fn refresh(&self, (tenant, server): &Key) {
        if let Some(crawler) = self.members().get(tenant).and_then(|joined| joined.crawler.as_ref())
        {
            crawler.refresh(server);
        }
    }

    /// Has a server crawled again once the database can be asked.
    pub(super) fn crawl_later(&self, tenant: &str, server: &ServerId) {
        if let Some(joined) = self.members().get_mut(tenant) {
            joined.missed.insert(server.clone());
        }
    }

    fn missed(&self) -> Vec<Key> {
        let mut members = self.members();
        let of_one = |(tenant, joined): (&String, &mut super::Joined)| -> Vec<Key> {
            let missed = std::mem::take(&mut joined.missed);
            missed.into_iter().map(|server| (tenant.clone(), server)).collect()
        };
        members.iter_mut().flat_map(of_one).collect()
    }

    /// Has whoever holds this server crawl it now.
    pub(super) async fn ask(&self, tenant: &str, server: &ServerId) -> Result<(), ClusterError> {
        let sql = "update toolscout.server set asked_at = now() where tenant = $1 and id = $2";
        let server = server.as_str();
        self.0
            .writes
            .within(async |connection| {
                let with = [(&tenant as _, Type::TEXT), (&server as _, Type::TEXT)];
                connection.execute_typed(sql, &with).await?;
                Ok(())
            })
            .await
    }

    /// A statement about this replica's leases of these servers.
    async fn ask_rows(
        &self,
        sql: &str,
        seconds: &f64,
        (tenants, servers): (&Vec<&str>, &Vec<&str>),
        most: Option<usize>,
    ) -> Result<Vec<tokio_postgres::Row>, ClusterError> {
        let most = most.map(|most| i64::try_from(most).unwrap_or(i64::MAX));
        self.0
            .writes
            .within(async |connection| {
                let mut with: Vec<(&(dyn tokio_postgres::types::ToSql + Sync), Type)> = vec![
                    (&self.0.replica, Type::TEXT),
                    (seconds, Type::FLOAT8),
                    (tenants, Type::TEXT_ARRAY),
                    (servers, Type::TEXT_ARRAY),
                ];
                with.extend(most.as_ref().map(|most| (most as _, Type::INT8)));
                Ok(connection.query_typed(sql, &with).await?)
            })
            .await
    }
}
