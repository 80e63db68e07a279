//! Hears that something was published.
//!
//! Invariant: it is a hint and no more. Where none comes (a pooler of transactions passes none on, a
//! standby has none), the versions are looked at all the same.

use std::time::Duration;

use futures::{StreamExt, stream};
use tokio_postgres::AsyncMessage;
use tokio_util::sync::CancellationToken;

use super::connect;
use super::publish::CHANNEL;
use super::{Cluster, ClusterError};

/// How long a connection that was lost is left alone.
const PAUSE: Duration = Duration::from_secs(5);

/// Listens until `stop`, where that is configured.
pub(super) async fn listen(cluster: &Cluster, stop: &CancellationToken) {
    if !cluster.0.config.listen {
        return;
    }
    loop {
        tokio::select! {
            ended = hear(cluster) => {
                if let Err(error) = ended {
                    tracing::debug!("no hints for a while: {error}");
                }
            }
            () = stop.cancelled() => return,
        }
        tokio::select! {
            () = tokio::time::sleep(PAUSE) => {}
            () = stop.cancelled() => return,
        }
    }
}

async fn hear(cluster: &Cluster) -> Result<(), ClusterError> {
    let config = &cluster.0.config;
    let mut parsed = connect::parse(&config.database, config)?;
    parsed.keepalives_idle(Duration::from_secs(30));
    let (client, mut connection) = parsed.connect(connect::tls(config)?).await?;
    let mut messages = stream::poll_fn(move |cx| connection.poll_message(cx));
    let listening = format!("listen {CHANNEL}");
    let listening = async {
        client.batch_execute(&listening).await?;
        std::future::pending::<Result<(), ClusterError>>().await
    };
    let heard = async {
        while let Some(message) = messages.next().await {
            if let AsyncMessage::Notification(_) = message? {
                cluster.0.hinted.notify_one();
            }
        }
        Ok(())
    };
    tokio::select! {
        ended = listening => ended,
        ended = heard => ended,
    }
}
