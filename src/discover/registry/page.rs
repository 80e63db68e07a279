//! Reads a page of a registry's listing.
//!
//! Invariant: an entry that is malformed, or longer than any honest one, is named and left out, and
//! takes no other with it.

use std::time::SystemTime;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::{Listed, Status};
use crate::discover::one_line;
use crate::discover::server::Server;

/// Longer entries are left out.
const MAX_ENTRY: usize = 64 << 10;
const OFFICIAL: &str = "io.modelcontextprotocol.registry/official";

/// One page of a listing.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Page {
    /// Its entries.
    pub servers: Vec<Listed>,
    /// Entries that could not be read: a line each.
    pub defects: Vec<String>,
    /// Where the next one begins; `None` at the end.
    pub next: Option<String>,
    /// How many bytes it had.
    pub bytes: usize,
}

#[derive(Deserialize)]
struct RawPage<'a> {
    #[serde(borrow)]
    servers: Option<Vec<&'a RawValue>>,
    #[serde(default)]
    metadata: Option<RawMetadata>,
}

#[derive(Deserialize)]
struct RawMetadata {
    #[serde(rename = "nextCursor", default)]
    next_cursor: Option<String>,
}

#[derive(Deserialize)]
struct RawListed {
    server: Server,
    #[serde(rename = "_meta", default)]
    meta: Option<serde_json::Map<String, serde_json::Value>>,
}

#[derive(Deserialize)]
struct RawNamed {
    server: RawName,
}

#[derive(Deserialize)]
struct RawName {
    name: String,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct RawOfficial {
    status: Option<String>,
    status_message: Option<String>,
    updated_at: Option<String>,
    published_at: Option<String>,
    status_changed_at: Option<String>,
    is_latest: Option<bool>,
}

impl Page {
    pub(super) fn read(body: &[u8]) -> Result<Self, String> {
        let text = std::str::from_utf8(body).map_err(|_| "not UTF-8".to_owned())?;
        let raw: RawPage<'_> =
            serde_json::from_str(text).map_err(|error| one_line(&error.to_string(), 160))?;
        let Some(entries) = raw.servers else { return Err("there is no `servers` list".into()) };
        let mut page = Self { bytes: body.len(), ..Self::default() };
        for raw in entries {
            if raw.get().len() > MAX_ENTRY {
                page.defects.push(format!("{}: more than {MAX_ENTRY} bytes", name_in(raw.get())));
                continue;
            }
            match entry(raw.get()) {
                Ok(listed) => page.servers.push(listed),
                Err(defect) => page.defects.push(defect),
            }
        }
        let next = raw.metadata.and_then(|metadata| metadata.next_cursor);
        page.next = next.filter(|next| !next.is_empty());
        Ok(page)
    }
}

/// One entry, or what is wrong with it.
pub(super) fn entry(text: &str) -> Result<Listed, String> {
    let raw: RawListed = serde_json::from_str(text)
        .map_err(|error| format!("{}: {}", name_in(text), one_line(&error.to_string(), 160)))?;
    if !raw.server.is_named() {
        return Err(format!("{:?} is not a server's name", one_line(&raw.server.name, 100)));
    }
    let official = raw.meta.and_then(|mut meta| meta.remove(OFFICIAL)).unwrap_or_default();
    let official = RawOfficial::deserialize(official).unwrap_or_default();
    let status = match official.status.as_deref() {
        None | Some("active") => Status::Active,
        Some("deleted") => Status::Deleted,
        // Whatever else a registry may say, it is not that all is well.
        Some(_) => Status::Deprecated,
    };
    let times = [official.updated_at, official.status_changed_at, official.published_at];
    let updated = times.iter().flatten().filter_map(|time| millis(time)).max().unwrap_or(0);
    Ok(Listed {
        server: raw.server,
        status,
        message: official.status_message.filter(|message| !message.is_empty()),
        updated,
        superseded: official.is_latest == Some(false),
    })
}

/// What an entry that can't be taken is called.
fn name_in(text: &str) -> String {
    let named = serde_json::from_str::<RawNamed>(text);
    named.map_or_else(|_| "an entry".to_owned(), |named| one_line(&named.server.name, 100))
}

/// Milliseconds since 1970 of an RFC 3339 time.
fn millis(time: &str) -> Option<u64> {
    let (local, offset) = if let Some(local) = time.strip_suffix(['Z', 'z']) {
        (local, 0)
    } else {
        let at = time.len().checked_sub(6).filter(|at| time.is_char_boundary(*at))?;
        let (local, offset) = time.split_at(at);
        let sign = if offset.starts_with('-') { -1 } else { 1 };
        let (hours, minutes) = offset.get(1..)?.split_once(':')?;
        let minutes = u32::from(hours.parse::<u16>().ok()?) * 60 + minutes.parse::<u32>().ok()?;
        (local, sign * i64::from(minutes) * 60)
    };
    let time = humantime::parse_rfc3339(&format!("{local}Z")).ok()?;
    let millis = time.duration_since(SystemTime::UNIX_EPOCH).ok()?.as_millis();
    u64::try_from(i64::try_from(millis).ok()? - offset * 1000).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_with_and_without_an_offset_are_the_same_moment() {
        assert_eq!(millis("1970-01-01T00:00:01.5Z"), Some(1500));
        assert_eq!(
            millis("2026-07-28T12:00:00.123456789Z"),
            millis("2026-07-28T14:00:00.123456789+02:00")
        );
        assert_eq!(millis("2026-07-28T12:00:00Z"), millis("2026-07-28T11:30:00-00:30"));
        for odd in ["", "yesterday", "2026-07-28", "é+02:00", "1960-01-01T00:00:00Z"] {
            assert_eq!(millis(odd), None, "{odd}");
        }
    }

    #[test]
    fn a_malformed_entry_takes_no_other_with_it() {
        let body = br#"{"servers":[
            {"server":{"name":"a/one","version":"1"},"_meta":{"io.modelcontextprotocol.registry/official":
                {"status":"deprecated","statusMessage":"use two","updatedAt":"2026-01-01T00:00:00Z","isLatest":true}}},
            {"server":{"name":"a/two","remotes":"none"}},
            {"server":{"name":"no slash"}},
            7,
            {"server":{"name":"a/three"},"_meta":null}],
            "metadata":{"nextCursor":"","count":5}}"#;
        let page = Page::read(body).unwrap();
        let names: Vec<_> = page.servers.iter().map(|listed| listed.server.name.as_str()).collect();
        assert_eq!(names, ["a/one", "a/three"]);
        assert_eq!(page.servers[0].status, Status::Deprecated);
        assert_eq!(page.servers[0].message.as_deref(), Some("use two"));
        assert_eq!(page.servers[1].status, Status::Active);
        assert_eq!(page.defects.len(), 3);
        assert!(page.defects[0].starts_with("a/two: "), "{:?}", page.defects);
        assert_eq!(page.next, None);
        assert!(Page::read(b"{}").is_err() && Page::read(b"[]").is_err());
    }

    #[test]
    fn a_huge_entry_is_left_out_by_name() {
        let huge = "x".repeat(MAX_ENTRY);
        let body = format!(
            r#"{{"servers":[{{"server":{{"name":"a/huge","description":"{huge}"}}}},
            {{"server":{{"name":"a/small"}}}},{{"huge":"{huge}"}}]}}"#
        );
        let page = Page::read(body.as_bytes()).unwrap();
        assert_eq!((page.servers.len(), &*page.servers[0].server.name), (1, "a/small"));
        let defects = ["a/huge: more than 65536 bytes", "an entry: more than 65536 bytes"];
        assert_eq!(page.defects, defects);
        assert_eq!(page.bytes, body.len());
    }
}
