//! What `serve` shows on a terminal while its first crawl and embedding are under way: a line a
//! server. Elsewhere the log lines say it.
//!
//! Invariant: shows only what `live` says, and ends when nothing is under way any more.

use std::collections::HashMap;
use std::io::IsTerminal;
use std::time::Duration;

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use tokio_util::sync::CancellationToken;

use crate::live::{Live, ServerState, ServerStatus};
use crate::tool::ServerId;

/// More servers than this would fill the screen.
const MOST_LINES: usize = 40;
const EVERY: Duration = Duration::from_millis(200);

/// Draws on `lines` until every server has answered and every tool has a vector.
pub async fn show(live: Live, lines: MultiProgress, shutdown: CancellationToken) {
    if !std::io::stderr().is_terminal() {
        return;
    }
    let mut drawn: HashMap<ServerId, ProgressBar> = HashMap::new();
    let total = lines.add(new_bar());
    loop {
        let status = live.status();
        for (id, server) in live.servers().iter().take(MOST_LINES) {
            let bar =
                drawn.entry(id.clone()).or_insert_with(|| lines.insert_before(&total, new_bar()));
            if !bar.is_finished() {
                bar.set_message(format!("{id}: {}", said(server)));
                if server.state != ServerState::Connecting {
                    bar.finish();
                }
            }
        }
        let connecting = live.servers().values().any(|s| s.state == ServerState::Connecting);
        let embedding = status.encoder.is_some() && status.embedded < status.total;
        total.set_message(format!("{} tools, embedded {}", status.total, status.embedded));
        if status.generation > 0 && !connecting && !embedding {
            total.finish();
            return;
        }
        tokio::select! {
            () = shutdown.cancelled() => return,
            () = tokio::time::sleep(EVERY) => {}
        }
    }
}

fn new_bar() -> ProgressBar {
    let bar = ProgressBar::new_spinner();
    if let Ok(style) = ProgressStyle::with_template("{spinner} {msg}") {
        bar.set_style(style);
    }
    bar
}

fn said(server: &ServerStatus) -> String {
    match (server.state, server.tools, &server.error) {
        (ServerState::Connecting, ..) => "connecting".into(),
        (_, Some(tools), None) => format!("{tools} tools"),
        (_, Some(tools), Some(error)) => format!("{tools} tools, stale: {error}"),
        (_, None, Some(error)) => error.clone(),
        (_, None, None) => "nothing known".into(),
    }
}
