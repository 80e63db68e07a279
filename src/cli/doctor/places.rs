//! The data folder: that it can be written, has room, and that this release reads what is in it.

use std::path::Path;
use std::time::SystemTime;

use rustix::fs::statvfs;

use super::Check;
use crate::access::keys::file::KeyFile;
use crate::auth::Accounts;
use crate::config::Config;
use crate::index::snapshot;
use crate::quality::History;
use crate::roster::Entries;
use crate::sealed::SealedError;
use crate::serve::token::{AdminToken, TokenError};
use crate::{activity, learn, trust};

/// With less room than this nothing is sure to be written.
const FULL: u64 = 64 << 20;
/// And with less than this it is time to look.
const TIGHT: u64 = 1 << 30;

/// What is kept there for the process alone, beside what is [`kept`] for each tenant as well.
pub(super) fn all(config: &Config) -> Vec<Check> {
    let mut checks = kept(config);
    if config.auth.keys {
        checks.push(api_keys(config));
    }
    checks.push(match AdminToken::read(&config.data) {
        Ok(_) => Check::ok("admin token", "its owner's alone"),
        Err(TokenError::None(_)) => Check::ok("admin token", "made at the first start"),
        Err(error) => Check::fail(
            "admin token",
            error.to_string(),
            "mend that first: without it nothing is served",
        ),
    });
    checks
}

/// What a catalog of its own comes with.
pub(super) fn kept(config: &Config) -> Vec<Check> {
    let mut checks = folder(&config.data);
    checks.push(snapshot_check(config));
    checks.push(history(config));
    // Only where there is something to say: it is beside the history, and made with it.
    if let Err(error) = trust::earlier::load(&trust::earlier::beside(&config.trust_path())) {
        let then = "it is set aside at the next start: what changed is shown from then on";
        checks.push(unusable("earlier definitions", &error, then));
    }
    if config.learn.is_some() {
        checks.push(learned(config));
    }
    checks.push(evaluations(config));
    checks.push(activity_check(config));
    checks.push(match Entries::open(config.clone()) {
        Ok(entries) => Check::ok("servers", format!("{} in all", entries.wanted().len())),
        Err(error) => Check::fail("servers", error.to_string(), "restore the file from a backup"),
    });
    checks.push(logins(config));
    checks
}

/// The folder itself. It is not made here: the nearest folder that is there has to let us.
pub(super) fn folder(data: &Path) -> Vec<Check> {
    let what = "data folder";
    let shown = data.display();
    // A relative path ends where the working folder is.
    let there =
        data.ancestors().find(|path| path.exists()).filter(|path| !path.as_os_str().is_empty());
    let there = there.unwrap_or(Path::new("."));
    let writable = match tempfile::NamedTempFile::new_in(there) {
        Ok(_) if there == data => Check::ok(what, format!("{shown} can be written")),
        Ok(_) => Check::ok(what, format!("{shown} is made at the first start")),
        Err(error) => Check::fail(
            what,
            format!("can't write in {}: {error}", there.display()),
            format!("give {shown} to the user that runs toolscout, or name another with --data"),
        ),
    };
    let room = match statvfs(there) {
        Ok(found) => room(found.f_bavail.saturating_mul(found.f_frsize)),
        Err(error) => {
            Check::warn("disk", format!("its room can't be read: {error}"), "look with `df`")
        }
    };
    vec![writable, room]
}

fn room(free: u64) -> Check {
    let (what, said) = ("disk", format!("{} MiB free", free >> 20));
    let remedy = "make room, or name a data folder on another disk with --data";
    match free {
        _ if free < FULL => Check::fail(what, said, remedy),
        _ if free < TIGHT => Check::warn(what, said, remedy),
        _ => Check::ok(what, said),
    }
}

fn snapshot_check(config: &Config) -> Check {
    match snapshot::load(&config.snapshot_path()) {
        Ok(Some((generation, catalog))) => Check::ok(
            "snapshot",
            format!("generation {generation}, {} tools: a restart serves at once", catalog.len()),
        ),
        Ok(None) => Check::ok("snapshot", "none yet: the first crawl makes one"),
        Err(error) => unusable(
            "snapshot",
            &error.0,
            "it is set aside at the next start, and the servers are crawled before anything is found",
        ),
    }
}

fn history(config: &Config) -> Check {
    match trust::file::load(&config.trust_path()) {
        Ok(Some(book)) => Check::ok("history", format!("{} definitions", book.offered().count())),
        Ok(None) => Check::ok("history", "none yet: the first crawl begins one"),
        Err(error) => unusable(
            "history",
            &error,
            "it is set aside at the next start: what was approved or held is asked for again; \
             restore it from a backup to keep that",
        ),
    }
}

fn learned(config: &Config) -> Check {
    match learn::file::load(&config.learned_path()) {
        Ok(Some(_)) => Check::ok("learned", "can be read"),
        Ok(None) => Check::ok("learned", "nothing yet"),
        Err(error) => unusable(
            "learned",
            &error,
            "it is set aside at the next start, and learning begins anew; restore it from a backup \
             to keep it",
        ),
    }
}

fn evaluations(config: &Config) -> Check {
    match History::of(&config.data).check() {
        Ok(0) => Check::ok("evaluations", "none yet"),
        Ok(count) => Check::ok("evaluations", format!("{count} results")),
        Err(error) => unusable(
            "evaluations",
            &error,
            "it is set aside when the history is looked at, and that result is not in it",
        ),
    }
}

fn activity_check(config: &Config) -> Check {
    match activity::file::load(&config.activity_path()) {
        Ok(Some(kept)) => Check::ok("activity", format!("{} searches", kept.total.searches)),
        Ok(None) => Check::ok("activity", "nothing was counted yet"),
        Err(error) => unusable(
            "activity",
            &error,
            "it is set aside at the next start, and searches are counted anew",
        ),
    }
}

/// A sealed file that `serve` would not go on with.
fn unusable(what: &str, error: &SealedError, then: &str) -> Check {
    match error {
        SealedError::Io { .. } => {
            Check::fail(what, error.to_string(), "run as the user that it belongs to")
        }
        SealedError::Version { found, read, .. } if found > read => {
            Check::warn(what, error.to_string(), format!("run that one again, or {then}"))
        }
        _ => Check::warn(what, error.to_string(), then),
    }
}

fn api_keys(config: &Config) -> Check {
    let what = "api keys";
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    match KeyFile::of(&config.data).read().map(|book| {
        let count = book.keys().count();
        (count, book.keys().filter(|key| key.counts(now.as_secs())).count())
    }) {
        Ok((count, 0)) => Check::warn(
            what,
            format!("none of {count} counts: nobody is let in by one"),
            "make one: toolscout key create NAME",
        ),
        Ok((count, valid)) => Check::ok(what, format!("{valid} of {count} count")),
        Err(error) => Check::fail(
            what,
            error.to_string(),
            "restore the file from a backup, or move it away and make keys anew",
        ),
    }
}

fn logins(config: &Config) -> Check {
    let what = "logins";
    let accounts = match Accounts::open(config) {
        Ok(accounts) => accounts,
        Err(error) => {
            return Check::fail(
                what,
                error.to_string(),
                "mend that first: without it nothing is served",
            );
        }
    };
    let unread = config.servers.iter().find_map(|server| {
        let error = accounts.vault()?.read(server.id.as_str()).err()?;
        Some((&server.id, error))
    });
    match unread {
        Some((server, error)) => Check::fail(
            what,
            format!("that of {server}: {error}"),
            format!("give the key that it was written with, or `toolscout auth login {server}`"),
        ),
        None => Check::ok(what, "for their owner alone"),
    }
}

#[cfg(test)]
mod tests {
    use super::super::Level::{Fail, Ok, Warn};
    use super::*;

    #[test]
    fn little_room_is_told_before_there_is_none() {
        let levels = [0, FULL - 1, FULL, TIGHT - 1, TIGHT, u64::MAX].map(|free| room(free).level);
        assert_eq!(levels, [Fail, Fail, Warn, Warn, Ok, Ok]);
        assert!(room(0).remedy.unwrap().contains("--data"));
    }
}
