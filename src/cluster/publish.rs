//! What a crawl came to, written in one transaction.
//!
//! Invariant: nothing is written by who has lost the lease, and the tenant's version moves with what
//! is: whoever sees the version sees all of it.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use tokio_postgres::types::{ToSql, Type};

use super::{Cluster, ClusterError};
use crate::catalog::{Listing, Outcome, ServerUpdate};
use crate::tool::Tool;

/// What became of it.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Published {
    /// It is in the database.
    Yes,
    /// Somebody else crawls the server by now.
    Fenced,
}

/// Every replica wakes at this.
pub(super) const CHANNEL: &str = "toolscout";

impl Cluster {
    /// Writes what `update` says of a server of `tenant`, which was crawled under the lease of `epoch`.
    pub(super) async fn publish(
        &self,
        tenant: &str,
        epoch: i64,
        update: &ServerUpdate,
    ) -> Result<Published, ClusterError> {
        let published = self.try_to_publish(tenant, epoch, update).await;
        let outcome = match &published {
            Ok(Published::Yes) => "published",
            Ok(Published::Fenced) => "fenced",
            Err(_) => "failed",
        };
        metrics::counter!("toolscout_cluster_publishes_total", "outcome" => outcome).increment(1);
        published
    }

    async fn try_to_publish(
        &self,
        tenant: &str,
        epoch: i64,
        update: &ServerUpdate,
    ) -> Result<Published, ClusterError> {
        let server = update.server.as_str();
        let (error, wants_login, listing) = match &update.outcome {
            Outcome::Listed(listing) => (None, false, Some(listing)),
            Outcome::Failed { error } => (Some(error.as_str()), false, None),
            Outcome::AuthRequired { error } => (Some(error.as_str()), true, None),
            _ => return Ok(Published::Yes),
        };
        let error = error.map(text);
        // A clock of this process, told as one on the wall.
        let next = update
            .next_crawl
            .map(|at| SystemTime::now() + at.saturating_duration_since(std::time::Instant::now()));
        self.0
            .writes
            .within(async |connection| {
                let transaction = connection.transaction().await?;
                let of_server: [(&(dyn ToSql + Sync), Type); 2] =
                    [(&tenant, Type::TEXT), (&server, Type::TEXT)];
                let fence = "select private_to from toolscout.server
                             where tenant = $1 and id = $2 and holder = $3 and epoch = $4
                             for update";
                let [of_tenant, of_id] = of_server.clone();
                let me = (&self.0.replica as &(dyn ToSql + Sync), Type::TEXT);
                let is_ours = transaction
                    .query_typed(fence, &[of_tenant, of_id, me, (&epoch, Type::INT8)])
                    .await?;
                let Some(row) = is_ours.first() else { return Ok(Published::Fenced) };
                let changed = match listing {
                    // For somebody else it is another listing, whatever is in it.
                    Some(listing) => {
                        let was_for: Option<&str> = row.try_get(0)?;
                        write_tools(&transaction, &of_server, listing).await?
                            || was_for != listing.info.private_to.as_deref()
                    }
                    None => false,
                };
                let version: i64 = transaction
                    .query_typed(
                        "update toolscout.tenant set version = version + 1 where id = $1
                         returning version",
                        &of_server[..1],
                    )
                    .await?
                    .first()
                    .map_or(Ok(0), |row| row.try_get(0))?;
                let [of_tenant, of_id] = of_server.clone();
                transaction
                    .execute_typed(
                        "update toolscout.server set version = $3, transport = $4, error = $5,
                           wants_login = $6, next_crawl = $7, published_at = clock_timestamp()
                         where tenant = $1 and id = $2",
                        &[
                            of_tenant,
                            of_id,
                            (&version, Type::INT8),
                            (&update.transport, Type::TEXT),
                            (&error, Type::TEXT),
                            (&wants_login, Type::BOOL),
                            (&next, Type::TIMESTAMPTZ),
                        ],
                    )
                    .await?;
                if let Some(listing) = listing {
                    write_listing(&transaction, &of_server, listing, changed.then_some(version))
                        .await?;
                }
                transaction
                    .query_typed("select pg_notify($1, '')", &[(&CHANNEL, Type::TEXT)])
                    .await?;
                transaction.commit().await?;
                Ok(Published::Yes)
            })
            .await
    }
}

/// As a column of text takes it: without NUL.
fn text(said: &str) -> String {
    said.replace('\0', "\u{fffd}")
}

/// What the server says of itself; `version` where its tools changed with it.
async fn write_listing(
    transaction: &tokio_postgres::Transaction<'_>,
    [of_tenant, of_id]: &[(&(dyn ToSql + Sync), Type); 2],
    listing: &Listing,
    version: Option<i64>,
) -> Result<(), ClusterError> {
    let info = &listing.info;
    let (title, description) =
        (info.title.as_deref().map(text), info.description.as_deref().map(text));
    let defects: Vec<String> = listing.defects.iter().map(|defect| text(defect)).collect();
    let ttl = info.ttl.map(|ttl: Duration| i64::try_from(ttl.as_millis()).unwrap_or(i64::MAX));
    transaction
        .execute_typed(
            "update toolscout.server set tools_version = coalesce($3, tools_version),
               crawled_at = $4, title = $5, description = $6, protocol = $7, event_stream = $8,
               ttl_ms = $9, private_to = $10, defects = $11
             where tenant = $1 and id = $2",
            &[
                of_tenant.clone(),
                of_id.clone(),
                (&version, Type::INT8),
                (&listing.crawled_at, Type::TIMESTAMPTZ),
                (&title, Type::TEXT),
                (&description, Type::TEXT),
                (&info.protocol, Type::TEXT),
                (&info.event_stream, Type::BOOL),
                (&ttl, Type::INT8),
                (&info.private_to, Type::TEXT),
                (&defects, Type::TEXT_ARRAY),
            ],
        )
        .await?;
    Ok(())
}

/// Makes these the tools of a server; true if they were not.
async fn write_tools(
    transaction: &tokio_postgres::Transaction<'_>,
    of_server: &[(&(dyn ToSql + Sync), Type); 2],
    listing: &Listing,
) -> Result<bool, ClusterError> {
    let rows = transaction
        .query_typed(
            "select name, hash from toolscout.tool where tenant = $1 and server = $2",
            of_server,
        )
        .await?;
    let mut there = BTreeMap::new();
    for row in &rows {
        there.insert(row.try_get::<_, &[u8]>(0)?, row.try_get::<_, &[u8]>(1)?);
    }
    let mut wanted: BTreeMap<&[u8], &Tool> = BTreeMap::new();
    for tool in &listing.tools {
        // Of two with one name the first is kept.
        wanted.entry(tool.name.as_bytes()).or_insert(tool);
    }
    let gone: Vec<&[u8]> =
        there.keys().filter(|name| !wanted.contains_key(*name)).copied().collect();
    let new: Vec<&Tool> = (wanted.values().copied())
        .filter(|tool| there.get(tool.name.as_bytes()).is_none_or(|hash| *hash != &tool.hash.0[..]))
        .collect();
    let [of_tenant, of_id] = of_server.clone();
    if !gone.is_empty() {
        let sql = "delete from toolscout.tool
                   where tenant = $1 and server = $2 and name = any($3)";
        let with = [of_tenant.clone(), of_id.clone(), (&gone as _, Type::BYTEA_ARRAY)];
        transaction.execute_typed(sql, &with).await?;
    }
    if !new.is_empty() {
        let names: Vec<&[u8]> = new.iter().map(|tool| tool.name.as_bytes()).collect();
        let hashes: Vec<&[u8]> = new.iter().map(|tool| &tool.hash.0[..]).collect();
        let definitions: Vec<&str> = new.iter().map(|tool| tool.definition.get()).collect();
        transaction
            .execute_typed(
                "insert into toolscout.tool
                 select $1, $2, * from unnest($3::bytea[], $4::bytea[], $5::text[])
                 on conflict (tenant, server, name)
                   do update set hash = excluded.hash, definition = excluded.definition",
                &[
                    of_tenant,
                    of_id,
                    (&names, Type::BYTEA_ARRAY),
                    (&hashes, Type::BYTEA_ARRAY),
                    (&definitions, Type::TEXT_ARRAY),
                ],
            )
            .await?;
    }
    Ok(!gone.is_empty() || !new.is_empty())
}
