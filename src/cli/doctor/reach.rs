//! What is loaded and connected to: the encoder, each server, and by the servers' clocks our own.

use std::time::{Duration, Instant, SystemTime};

use futures::StreamExt;
use futures::stream;

use super::Check;
use crate::auth::Accounts;
use crate::catalog::{Outcome, ServerUpdate};
use crate::config::{Config, ServerConfig, Transport};
use crate::crawl;
use crate::embed::{self, Cost, EmbedError, Role};

/// Servers that are looked at at once.
const AT_ONCE: usize = 16;
/// Servers whose clocks are asked.
const CLOCKS: usize = 3;
/// How long such a server may take.
const PATIENCE: Duration = Duration::from_secs(5);
/// Tokens are refused, and so are certificates, by a clock that is further off.
const WRONG: Duration = Duration::from_mins(5);
/// It is worth a word from here on; `Date` is of whole seconds, and an answer takes a while.
const OFF: Duration = Duration::from_secs(30);

/// The encoder, the library that it may want, and the reranker.
pub(super) fn model(config: &Config, offline: bool) -> Vec<Check> {
    let mut checks = vec![encoder(config, offline)];
    if let Some(rerank) = &config.rerank {
        checks.push(match embed::load_reranker(rerank, &config.embed, 1) {
            Ok(reranker) => Check::ok("reranker", reranker.id()),
            Err(error) => {
                of_model("reranker", &error, "answers are not reranked until it is there")
            }
        });
    }
    checks
}

fn encoder(config: &Config, offline: bool) -> Check {
    let what = "model";
    let instead = "until then the encoder in the binary answers";
    match embed::load(&config.embed, 1) {
        Ok(embedder) if embedder.cost() == Cost::Remote && offline => {
            Check::ok(what, format!("{}: not asked", embedder.id()))
        }
        Ok(embedder) => match embedder.embed(Role::Query, &["is it there"], None) {
            Ok(_) => Check::ok(what, embedder.id()),
            Err(error) => of_model(what, &error, instead),
        },
        Err(EmbedError::Off) => Check::warn(
            what,
            "there is none: searches go by words alone",
            "leave out `enabled = false` in [embed] to have vectors too",
        ),
        Err(error) => of_model(what, &error, instead),
    }
}

fn of_model(what: &str, error: &EmbedError, meanwhile: &str) -> Check {
    let remedy = match error {
        EmbedError::NoRuntime(_) | EmbedError::NoModel { .. } => {
            "fetch it: toolscout model pull, or leave the model out of the configuration"
        }
        _ => "correct [embed] or [rerank]",
    };
    Check::fail(what, error.to_string(), format!("{remedy}; {meanwhile}"))
}

/// Each server in the configuration.
pub(super) async fn servers(config: &Config, patience: Duration) -> Vec<Check> {
    let accounts = Accounts::open(config).unwrap_or_else(|_| Accounts::none());
    let each = config.servers.iter().map(|server| one(config, server, &accounts, patience));
    let found: Vec<Vec<Check>> = stream::iter(each).buffered(AT_ONCE).collect().await;
    // Those that did not answer in time: nobody waits for them any more.
    crawl::end_children();
    found.into_iter().flatten().collect()
}

async fn one(
    config: &Config,
    server: &ServerConfig,
    accounts: &Accounts,
    patience: Duration,
) -> Vec<Check> {
    let what = format!("server {}", server.id);
    let begun = Instant::now();
    let crawl = crawl::crawl_once_with(server, accounts, &config.crawl, None);
    let Ok(updates) = tokio::time::timeout(patience, crawl).await else {
        let said = format!("no answer within {}", humantime::format_duration(patience));
        let remedy = "see that it runs; --timeout gives it longer";
        return vec![Check::fail(what, said, remedy)];
    };
    let took = begun.elapsed();
    let tools = |update: &ServerUpdate| match &update.outcome {
        Outcome::Listed(listing) => Some(listing.tools.len()),
        _ => None,
    };
    // A file holds many servers, and one line is enough for those of them that are well.
    if updates.len() != 1 && updates.iter().all(|update| tools(update).is_some()) {
        let sum: usize = updates.iter().filter_map(tools).sum();
        return vec![Check::ok(what, format!("{sum} tools of {} servers", updates.len()))];
    }
    updates.iter().map(|update| of_update(update, took)).collect()
}

fn of_update(update: &ServerUpdate, took: Duration) -> Check {
    let id = &update.server;
    let what = format!("server {id}");
    match &update.outcome {
        Outcome::Listed(listing) => {
            let (tools, over) = (listing.tools.len(), update.transport);
            let said = format!("{tools} tools over {over} in {:.1} s", took.as_secs_f32());
            match listing.defects.first() {
                None => Check::ok(what, said),
                Some(first) => Check::warn(
                    what,
                    format!("{said}; {} defects, first: {first}", listing.defects.len()),
                    "tell who keeps the server: toolscout crawl lists them",
                ),
            }
        }
        Outcome::AuthRequired { error } => Check::fail(
            what,
            error.clone(),
            format!("toolscout auth login {id}, or a token in [servers.{id}]"),
        ),
        Outcome::Failed { error } => Check::fail(
            what,
            error.clone(),
            format!("correct [servers.{id}], or set `enabled = false` there"),
        ),
        Outcome::Disabled => Check::ok(what, "switched off in the configuration"),
        _ => Check::ok(what, "nothing to tell"),
    }
}

/// Our clock by those of the first servers that answer. Nothing is sent but a request without a
/// credential.
pub(super) async fn clock(servers: &[ServerConfig]) -> Check {
    let over_http = servers.iter().filter(|server| server.enabled && server.guard.is_none());
    let asked = over_http.filter_map(|server| match &server.transport {
        Transport::Http { url, .. } => Some((server, url.clone())),
        _ => None,
    });
    let ask = async |(server, url): (&ServerConfig, url::Url)| {
        let client = server.network.client().ok()?.timeout(PATIENCE).build().ok()?;
        let response = client.get(url).send().await.ok()?;
        let date = response.headers().get(reqwest::header::DATE)?.to_str().ok()?;
        httpdate::parse_http_date(date).ok()
    };
    let told = futures::future::join_all(asked.take(CLOCKS).map(ask)).await;
    let now = SystemTime::now();
    let off = |then: SystemTime| now.duration_since(then).unwrap_or_else(|error| error.duration());
    // One server may be wrong: the nearest counts.
    judge(told.into_iter().flatten().map(off).min())
}

fn judge(off: Option<Duration>) -> Check {
    let what = "clock";
    let remedy = "set it by NTP: timedatectl set-ntp true, or chrony";
    match off {
        None if std::path::Path::new("/run/systemd/timesync/synchronized").exists() => {
            Check::ok(what, "kept by systemd-timesyncd")
        }
        None => Check::ok(what, "nothing to compare it with"),
        Some(off) if off < OFF => Check::ok(what, "as the servers' clocks"),
        Some(off) => {
            let off_by = humantime::format_duration(Duration::from_secs(off.as_secs()));
            let said = format!("{off_by} off the servers' clocks");
            if off < WRONG {
                Check::warn(what, said, remedy)
            } else {
                Check::fail(what, said, remedy)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::Level::{Fail, Ok, Warn};
    use super::*;

    #[test]
    fn a_clock_that_is_off_is_told_of_by_how_much() {
        let seconds = |off| judge(Some(Duration::from_secs(off)));
        let levels = [0, 29, 30, 299, 300, 90_000].map(|off| seconds(off).level);
        assert_eq!(levels, [Ok, Ok, Warn, Warn, Fail, Fail]);
        assert!(seconds(3_700).said.starts_with("1h 1m 40s off"), "{}", seconds(3_700).said);
    }
}
