//! The schema in the database.
//!
//! Invariant: one process at a time brings it up to date, in one transaction; what a newer program
//! has added is left alone.

use std::time::Duration;

use backon::{BackoffBuilder, ExponentialBuilder};
use refinery::Migration;
use refinery_core::traits::r#async::{AsyncMigrate, AsyncQuery, AsyncTransaction};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use tokio_postgres::Transaction;
use tokio_util::sync::CancellationToken;

use super::connect::Database;
use super::{Cluster, ClusterError};

mod embedded {
    refinery::embed_migrations!("src/cluster/migrations");
}

/// Whoever brings it up to date holds this lock until the transaction ends: "toolscou" as a number.
const LOCK: &str = "select pg_advisory_xact_lock(8389209319198061429)";
/// The longest wait before a database that did not answer is asked again.
const LAST_RETRY: Duration = Duration::from_secs(5);

/// Brings it up to date as soon as the database can be asked; false where `stop` came before.
pub(super) async fn keep_trying(cluster: &Cluster, stop: &CancellationToken) -> bool {
    let mut waits = ExponentialBuilder::new()
        .with_min_delay(Duration::from_millis(200))
        .with_max_delay(LAST_RETRY)
        .with_jitter()
        .without_max_times()
        .build();
    loop {
        let done = bring_up_to_date(&cluster.0.writes).await;
        cluster.tell(done.as_ref().err());
        if done.is_ok() {
            return true;
        }
        tokio::select! {
            () = tokio::time::sleep(waits.next().unwrap_or(LAST_RETRY)) => {}
            () = stop.cancelled() => return false,
        }
    }
}

/// Applies what is missing.
async fn bring_up_to_date(database: &Database) -> Result<(), ClusterError> {
    database
        .within(async |connection| {
            let transaction = connection.transaction().await?;
            transaction.batch_execute(LOCK).await?;
            // Asked first: who may use the schema need not be allowed to make one.
            let there = "select 1 from pg_namespace where nspname = 'toolscout'";
            if transaction.query_typed(there, &[]).await?.is_empty() {
                transaction.batch_execute("create schema toolscout").await?;
            }
            let mut runner = embedded::migrations::runner()
                .set_grouped(true)
                .set_abort_divergent(true)
                // A newer program was here.
                .set_abort_missing(false);
            runner.set_migration_table_name("toolscout.migrations");
            let mut inside = Inside(&transaction);
            let report = runner.run_async(&mut inside).await;
            let report = report.map_err(|error| ClusterError::Schema(error.to_string()))?;
            for migration in report.applied_migrations() {
                tracing::info!(%migration, "the schema is brought up to date");
            }
            transaction.commit().await?;
            Ok(())
        })
        .await
}

/// refinery's view of a transaction that is open already.
struct Inside<'a>(&'a Transaction<'a>);

impl AsyncTransaction for Inside<'_> {
    type Error = tokio_postgres::Error;

    async fn execute<'a, T: Iterator<Item = &'a str> + Send + 'a>(
        &'a mut self,
        queries: T,
    ) -> Result<usize, Self::Error> {
        let mut count = 0;
        for query in queries {
            self.0.batch_execute(query).await?;
            count += 1;
        }
        Ok(count)
    }
}

impl AsyncQuery<Vec<Migration>> for Inside<'_> {
    async fn query<'a>(&'a mut self, query: &'a str) -> Result<Vec<Migration>, Self::Error> {
        let rows = self.0.query_typed(query, &[]).await?;
        let applied = |row: &tokio_postgres::Row| {
            let on: String = row.try_get(2)?;
            let checksum: String = row.try_get(3)?;
            // Written by refinery itself; of one that was not, only the number counts.
            let on = OffsetDateTime::parse(&on, &Rfc3339).unwrap_or(OffsetDateTime::UNIX_EPOCH);
            let checksum = checksum.parse().unwrap_or_default();
            Ok(Migration::applied(row.try_get(0)?, row.try_get(1)?, on, checksum))
        };
        rows.iter().map(applied).collect()
    }
}

impl AsyncMigrate for Inside<'_> {}
