//! Reads what was published, as news of servers.
//!
//! Invariant: what is read is of one moment (a transaction that sees one snapshot), and a server's
//! news come in the order of commits; what was not wanted before is read in full.

use std::collections::{BTreeMap, BTreeSet};
use std::pin::pin;
use std::time::{Duration, Instant, SystemTime};

use deadpool_postgres::{Object, Transaction};
use futures::TryStreamExt;
use tokio::sync::mpsc;
use tokio_postgres::binary_copy::BinaryCopyOutStream;
use tokio_postgres::types::Type;
use tokio_postgres::{IsolationLevel, Row};
use tokio_util::sync::CancellationToken;

use super::{Cluster, ClusterError};
use crate::catalog::{Listing, Outcome, ServerInfo, ServerUpdate};
use crate::config::NameFilter;
use crate::crawl::Crawler;
use crate::tool::{ServerId, Tool};

/// The tools of more servers than this are sent as one copy.
const FEW: usize = 8;

/// Looks at the versions of all tenants that are served here, again and again until `stop`.
pub(super) async fn watch(cluster: &Cluster, stop: &CancellationToken) {
    loop {
        cluster.tell_reads(look(cluster).await.as_ref().err());
        tokio::select! {
            () = tokio::time::sleep(cluster.0.config.poll) => {}
            () = cluster.0.hinted.notified() => {}
            () = stop.cancelled() => return,
        }
    }
}

async fn look(cluster: &Cluster) -> Result<(), ClusterError> {
    let tenants: Vec<String> = cluster.members().keys().cloned().collect();
    if tenants.is_empty() {
        return Ok(());
    }
    let rows = cluster
        .0
        .reads
        .within(async |connection| {
            let sql = "select id, version from toolscout.tenant where id = any($1)";
            Ok(connection.query_typed(sql, &[(&tenants, Type::TEXT_ARRAY)]).await?)
        })
        .await?;
    let members = cluster.members();
    for row in rows {
        let (tenant, version): (&str, i64) = (row.try_get(0)?, row.try_get(1)?);
        if let Some(joined) = members.get(tenant) {
            joined.version.send_if_modified(|seen| {
                let moved = *seen != version;
                *seen = version;
                moved
            });
        }
    }
    Ok(())
}

/// How far the news of a tenant have been read.
#[derive(Debug, Default)]
pub(super) struct Followed {
    version: i64,
    servers: BTreeSet<ServerId>,
}

impl Cluster {
    /// Reads what is new of these servers of `tenant` since `followed`, and sends it to `updates`.
    pub(super) async fn catch_up(
        &self,
        (tenant, wanted, crawler): (&str, &BTreeSet<ServerId>, &Crawler),
        followed: &mut Followed,
        updates: &mpsc::Sender<ServerUpdate>,
    ) -> Result<(), ClusterError> {
        let begun = Instant::now();
        // Whoever comes back is read in full again.
        followed.servers.retain(|server| wanted.contains(server));
        let new: BTreeSet<&ServerId> =
            wanted.iter().filter(|server| !followed.servers.contains(*server)).collect();
        let mut connection = self.0.reads.get().await?;
        // A first reading of a large catalog takes longer than any other statement.
        let read = read(&mut connection, (tenant, wanted, crawler), &new, followed.version);
        let most = self.0.config.timeout.max(Duration::from_mins(2));
        let Ok(done) = tokio::time::timeout(most, read).await else {
            drop(Object::take(connection));
            return Err(ClusterError::Late(most));
        };
        let (version, news) = done?;
        drop(connection);
        metrics::histogram!("toolscout_cluster_catch_up_seconds").record(begun.elapsed());
        for update in news {
            if updates.send(update).await.is_err() {
                // Nobody takes it any more.
                return Ok(());
            }
        }
        followed.version = version;
        followed.servers.clone_from(wanted);
        Ok(())
    }
}

async fn read(
    connection: &mut Object,
    (tenant, wanted, crawler): (&str, &BTreeSet<ServerId>, &Crawler),
    new: &BTreeSet<&ServerId>,
    seen: i64,
) -> Result<(i64, Vec<ServerUpdate>), ClusterError> {
    let transaction = connection
        .build_transaction()
        .isolation_level(IsolationLevel::RepeatableRead)
        .read_only(true)
        .start()
        .await?;
    let version = transaction
        .query_typed("select version from toolscout.tenant where id = $1", &[(&tenant, Type::TEXT)])
        .await?
        .first()
        .map_or(Ok(0), |row| row.try_get(0))?;
    // A standby that took over may lack what was published last.
    let all = BTreeSet::from_iter(wanted);
    let (seen, new) = if version < seen { (0, &all) } else { (seen, new) };
    let named: Vec<&str> = new.iter().map(|server| server.as_str()).collect();
    let rows = transaction
        .query_typed(
            "select id, tools_version, transport, error, wants_login, next_crawl, crawled_at,
               title, description, protocol, event_stream, ttl_ms, private_to, defects,
               extract(epoch from clock_timestamp() - published_at)::float8
             from toolscout.server
             where tenant = $1 and transport is not null and (version > $2 or id = any($3))
             order by version",
            &[(&tenant, Type::TEXT), (&seen, Type::INT8), (&named, Type::TEXT_ARRAY)],
        )
        .await?;
    let mut told: Vec<(ServerId, bool, Row)> = Vec::new();
    for row in rows {
        let server: &str = row.try_get(0)?;
        let Some(server) = wanted.get(server).cloned() else { continue };
        let is_changed = new.contains(&server) || row.try_get::<_, i64>(1)? > seen;
        told.push((server, is_changed, row));
    }
    let changed = told.iter().filter(|(_, is_changed, _)| *is_changed);
    let changed: Vec<&str> = changed.map(|(server, ..)| server.as_str()).collect();
    let mut tools = if changed.len() > FEW {
        copied(&transaction, tenant, &changed).await?
    } else {
        of_servers(&transaction, tenant, &changed).await?
    };
    let mut news = Vec::new();
    for (server, is_changed, row) in &told {
        if !new.contains(server) {
            // By the database's clock, which both moments are of.
            metrics::histogram!("toolscout_cluster_lag_seconds").record(row.try_get::<_, f64>(14)?);
        }
        let tools = is_changed.then(|| tools.remove(server).unwrap_or_default());
        news.extend(of_row(row, server, tools, crawler)?);
    }
    transaction.commit().await?;
    Ok((version, news))
}

type Tools = BTreeMap<ServerId, Vec<String>>;

async fn of_servers(
    transaction: &Transaction<'_>,
    tenant: &str,
    servers: &[&str],
) -> Result<Tools, ClusterError> {
    let mut tools = Tools::new();
    if servers.is_empty() {
        return Ok(tools);
    }
    let sql = "select server, definition from toolscout.tool
               where tenant = $1 and server = any($2)";
    let with = [(&tenant as _, Type::TEXT), (&servers as _, Type::TEXT_ARRAY)];
    for row in transaction.query_typed(sql, &with).await? {
        let server: ServerId = row.try_get::<_, &str>(0)?.into();
        tools.entry(server).or_default().push(row.try_get(1)?);
    }
    Ok(tools)
}

/// The same, which is quicker to send as one copy where it is much.
async fn copied(
    transaction: &Transaction<'_>,
    tenant: &str,
    servers: &[&str],
) -> Result<Tools, ClusterError> {
    // A copy can only be asked for by a statement with a name: behind a pooler another client may
    // have left one of the same name.
    transaction.batch_execute("deallocate all").await?;
    let servers: Vec<String> = servers.iter().map(|server| quoted(server)).collect();
    let sql = format!(
        "copy (select server, definition from toolscout.tool
               where tenant = {} and server = any(array[{}])) to stdout (format binary)",
        quoted(tenant),
        servers.join(",")
    );
    let stream = transaction.copy_out(&sql).await?;
    let mut rows = pin!(BinaryCopyOutStream::new(stream, &[Type::TEXT, Type::TEXT]));
    let mut tools = Tools::new();
    while let Some(row) = rows.try_next().await? {
        let server: &str = row.try_get(0)?;
        match tools.get_mut(server) {
            Some(of_server) => of_server.push(row.try_get(1)?),
            None => {
                tools.insert(server.into(), vec![row.try_get(1)?]);
            }
        }
    }
    Ok(tools)
}

/// A string of SQL.
fn quoted(text: &str) -> String {
    format!("E'{}'", text.replace('\\', "\\\\").replace('\'', "''"))
}

/// The news that a row tells; `tools` where they are to be told, too.
fn of_row(
    row: &Row,
    server: &ServerId,
    tools: Option<Vec<String>>,
    crawler: &Crawler,
) -> Result<Vec<ServerUpdate>, ClusterError> {
    let transport = transport(row.try_get(2)?);
    let error: Option<String> = row.try_get(3)?;
    let wants_login: bool = row.try_get(4)?;
    let next: Option<SystemTime> = row.try_get(5)?;
    let next =
        next.map(|at| Instant::now() + at.duration_since(SystemTime::now()).unwrap_or_default());
    let crawled_at: Option<SystemTime> = row.try_get(6)?;
    let update =
        |outcome| ServerUpdate { server: server.clone(), transport, outcome, next_crawl: next };
    let info = info(row)?;
    if !crawler.is_shown(server, &info) {
        // Whatever was served before is nobody's here.
        let error = "its tools are listed for another login than the one that this replica has";
        let refused = Outcome::AuthRequired { error: error.into() };
        let nothing = Outcome::Narrowed(NameFilter::nothing());
        return Ok([nothing, refused].map(update).into());
    }
    let listed = match (tools, crawled_at) {
        (Some(definitions), Some(crawled_at)) => Some(Outcome::Listed(Listing {
            info,
            tools: parsed(server, &definitions)?,
            crawled_at,
            defects: row.try_get(13)?,
        })),
        (None, Some(at)) if error.is_none() => Some(Outcome::Confirmed { at }),
        _ => None,
    };
    let failed = error.map(|error| {
        if wants_login { Outcome::AuthRequired { error } } else { Outcome::Failed { error } }
    });
    Ok(listed.into_iter().chain(failed).map(update).collect())
}

fn transport(said: &str) -> &'static str {
    match said {
        "stdio" => "stdio",
        _ => "http",
    }
}

fn info(row: &Row) -> Result<ServerInfo, ClusterError> {
    let ttl: Option<i64> = row.try_get(11)?;
    Ok(ServerInfo {
        title: row.try_get(7)?,
        description: row.try_get(8)?,
        protocol: row.try_get(9)?,
        event_stream: row.try_get(10)?,
        ttl: ttl.and_then(|ttl| u64::try_from(ttl).ok()).map(Duration::from_millis),
        private_to: row.try_get(12)?,
    })
}

fn parsed(server: &ServerId, definitions: &[String]) -> Result<Vec<Tool>, ClusterError> {
    let tool = |definition: &String| {
        Tool::parse(server, definition).map_err(|error| ClusterError::Unreadable {
            server: server.to_string(),
            problem: error.to_string(),
        })
    };
    definitions.iter().map(tool).collect()
}
