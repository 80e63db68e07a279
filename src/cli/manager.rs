//! What a service manager is told that started us (systemd, by its `NOTIFY_SOCKET`): ready, alive,
//! stopping.
//!
//! Invariant: where no manager listens nothing happens, and what it makes of it stops nothing here.

use std::time::Duration;

use sd_notify::NotifyState;
use tokio_util::sync::CancellationToken;

/// Connections are taken. Whether there is something to find already is what `/readyz` tells.
pub fn ready(address: &str) {
    tell(&[NotifyState::Ready, NotifyState::Status(&format!("serving on {address}"))]);
}

/// Open requests end now.
pub fn stopping() {
    tell(&[NotifyState::Stopping]);
}

/// Says twice in each span that the manager watches by that the runtime still runs.
pub fn stay_alive(shutdown: CancellationToken) {
    let Some(span) = sd_notify::watchdog_enabled() else { return };
    tokio::spawn(shutdown.run_until_cancelled_owned(async move {
        let mut ticks = tokio::time::interval((span / 2).max(Duration::from_millis(1)));
        loop {
            ticks.tick().await;
            tell(&[NotifyState::Watchdog]);
        }
    }));
}

fn tell(state: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(state) {
        tracing::debug!(%error, "the service manager can't be told");
    }
}
