//! The catalog on disk, so that a restart serves at once and crawls afterwards.
//!
//! A [sealed](crate::sealed) file whose payload wincode writes. Invariant: [`load`] gives back what
//! [`save`] was given or an error, never part of it. Vectors are not in it: they have a file of
//! their own, by content (`embed::cache`).

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use rayon::prelude::*;
use wincode::{SchemaRead, SchemaWrite};

use crate::catalog::{Catalog, Server, ServerInfo};
use crate::sealed::{Kind, SealedError};
use crate::tool::{ServerId, Tool};

const KIND: Kind = Kind { magic: *b"TOOLSCOU", version: 2 };

/// Why there is no snapshot to start from.
#[derive(Debug, thiserror::Error)]
#[error("snapshot {0}")]
pub struct SnapshotError(#[from] pub SealedError);

#[derive(SchemaWrite, SchemaRead)]
struct Saved<'a> {
    generation: u64,
    servers: Vec<SavedServer<'a>>,
}

#[derive(SchemaWrite, SchemaRead)]
struct SavedServer<'a> {
    id: &'a str,
    title: Option<&'a str>,
    description: Option<&'a str>,
    protocol: Option<&'a str>,
    event_stream: bool,
    ttl_ms: Option<u64>,
    private_to: Option<&'a str>,
    crawled_at_ms: u64,
    tools: Vec<&'a str>,
}

/// Writes `catalog` to `path`, all or nothing.
pub fn save(path: &Path, generation: u64, catalog: &Catalog) -> Result<(), SnapshotError> {
    let servers = catalog.servers().map(|server| SavedServer {
        id: server.id.as_str(),
        title: server.info.title.as_deref(),
        description: server.info.description.as_deref(),
        protocol: server.info.protocol.as_deref(),
        event_stream: server.info.event_stream,
        ttl_ms: server.info.ttl.map(whole_millis),
        private_to: server.info.private_to.as_deref(),
        crawled_at_ms: millis(server.crawled_at),
        tools: server.tools.iter().map(|tool| tool.definition.get()).collect(),
    });
    let payload =
        wincode::config::serialize(&Saved { generation, servers: servers.collect() }, limits())
            .map_err(|error| SealedError::Io {
                path: path.into(),
                source: io::Error::other(error),
            })?;
    Ok(KIND.write(path, &payload)?)
}

/// Reads what [`save`] wrote: generation number and catalog; `None` when there is no such file.
pub fn load(path: &Path) -> Result<Option<(u64, Catalog)>, SnapshotError> {
    let Some(payload) = KIND.read(path)? else { return Ok(None) };
    let read = decode(&payload, limits()).ok_or_else(|| SealedError::undecodable(path))?;
    Ok(Some(read))
}

/// What a payload says, unless it makes no sense.
pub(crate) fn decode(
    payload: &[u8],
    limits: impl wincode::config::Config,
) -> Option<(u64, Catalog)> {
    let saved: Saved<'_> = wincode::config::deserialize(payload, limits).ok()?;
    let server = |server: SavedServer<'_>| {
        let id = ServerId::from(server.id);
        let tool = |text: &str| Tool::parse(&id, text).ok().map(Arc::new);
        Server {
            tools: server.tools.into_iter().filter_map(tool).collect(),
            info: ServerInfo {
                title: server.title.map(Into::into),
                description: server.description.map(Into::into),
                protocol: server.protocol.map(Into::into),
                event_stream: server.event_stream,
                ttl: server.ttl_ms.map(Duration::from_millis),
                private_to: server.private_to.map(Into::into),
            },
            crawled_at: SystemTime::UNIX_EPOCH + Duration::from_millis(server.crawled_at_ms),
            id,
        }
    };
    let servers: Vec<Server> = saved.servers.into_par_iter().map(server).collect();
    Some((saved.generation, Catalog::from_servers(servers)))
}

/// wincode refuses to allocate beyond 4 MiB unless told otherwise; a catalog of a million tools
/// has gigabytes, and the checksum has vouched for the lengths.
fn limits() -> impl wincode::config::Config {
    wincode::config::Configuration::default().disable_preallocation_size_limit()
}

fn millis(time: SystemTime) -> u64 {
    whole_millis(time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default())
}

fn whole_millis(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use std::fs;

    use super::*;
    use crate::catalog::Listing;
    use crate::sealed::set_aside;

    fn catalog(servers: Vec<(String, Option<String>, Vec<String>)>) -> Catalog {
        Catalog::from_listings(servers.into_iter().map(|(id, title, names)| {
            let id = ServerId::from(id);
            let tools = names
                .iter()
                .map(|name| serde_json::json!({ "name": format!("t{name}"), "n": 1e3 }).to_string())
                .map(|definition| Tool::parse(&id, &definition).unwrap())
                .collect();
            let listing = Listing {
                info: ServerInfo {
                    private_to: title.clone(),
                    event_stream: title.is_some(),
                    ttl: title.as_ref().map(|title| Duration::from_millis(title.len() as u64)),
                    title,
                    ..ServerInfo::default()
                },
                tools,
                crawled_at: SystemTime::UNIX_EPOCH + Duration::from_millis(1_234_567),
                defects: Vec::new(),
            };
            (id, listing)
        }))
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]
        #[test]
        fn what_is_saved_is_loaded(
            generation in any::<u64>(),
            servers in prop::collection::vec(
                ("[a-z/]{1,8}", any::<Option<String>>(), prop::collection::vec(any::<String>(), 0..5)),
                0..5),
        ) {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("catalog.snapshot");
            let catalog = catalog(servers);
            save(&path, generation, &catalog).unwrap();
            let (loaded_generation, loaded) = load(&path).unwrap().unwrap();
            prop_assert_eq!(loaded_generation, generation);
            prop_assert_eq!(loaded.tools(), catalog.tools());
            let servers = |catalog: &Catalog| -> Vec<Server> {
                catalog.servers().map(|server| (**server).clone()).collect()
            };
            prop_assert_eq!(servers(&loaded), servers(&catalog));
        }
    }

    #[test]
    fn damage_is_noticed_wherever_it_is() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("catalog.snapshot");
        assert!(load(&path).unwrap().is_none());
        save(&path, 3, &catalog(vec![("a".into(), None, vec!["x".into(), "y".into()])])).unwrap();
        let good = fs::read(&path).unwrap();
        for at in 0..good.len() {
            let mut bad = good.clone();
            bad[at] ^= 0x40;
            fs::write(&path, &bad).unwrap();
            assert!(load(&path).is_err(), "byte {at}");
        }
        for length in 0..good.len() {
            fs::write(&path, &good[..length]).unwrap();
            assert!(load(&path).is_err(), "cut at {length}");
        }
        let mut newer = good;
        newer[8] = 9;
        fs::write(&path, &newer).unwrap();
        let error = load(&path).unwrap_err();
        assert!(matches!(error.0, SealedError::Version { found: 9, .. }), "{error}");
        let aside = set_aside(&path).unwrap();
        assert!(aside.exists() && load(&path).unwrap().is_none());
    }
}
