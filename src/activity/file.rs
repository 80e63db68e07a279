//! The hours on disk.
//!
//! Invariant: [`load`] gives back what [`save`] was given, or an error; there are counts in it and
//! times, and nothing that anybody said.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::SystemTime;

use wincode::{SchemaRead, SchemaWrite};

use super::series::Slot;
use super::tally::{Counts, Latency, Tally};
use super::{seconds, time};
use crate::sealed::{Kind, SealedError};

const KIND: Kind = Kind { magic: *b"TSACTIV\0", version: 1 };

/// What is kept.
#[derive(Debug, Clone, PartialEq)]
pub struct Kept {
    /// Since when is counted.
    pub since: SystemTime,
    /// Since then.
    pub total: Counts,
    /// By hours.
    pub hours: Vec<Arc<Slot>>,
}

#[derive(SchemaWrite, SchemaRead)]
struct Saved {
    since: u64,
    total: Counts,
    hours: Vec<SavedHour>,
}

#[derive(SchemaWrite, SchemaRead)]
struct SavedHour {
    at: u64,
    counts: Counts,
    /// Microseconds, and how many searches took as long.
    latency: Vec<(u64, u32)>,
}

/// Writes it, all or nothing.
pub fn save(path: &Path, kept: &Kept) -> Result<(), SealedError> {
    let hour = |slot: &Arc<Slot>| {
        let cells = slot.tally.latency.cells().into_iter();
        let latency = cells.map(|cell| (cell.from, u32::try_from(cell.count).unwrap_or(u32::MAX)));
        SavedHour { at: slot.at, counts: slot.tally.counts, latency: latency.collect() }
    };
    let hours = kept.hours.iter().map(hour).collect();
    let saved = Saved { since: seconds(kept.since), total: kept.total, hours };
    let payload = wincode::serialize(&saved)
        .map_err(|error| SealedError::Io { path: path.into(), source: io::Error::other(error) })?;
    KIND.write(path, &payload)
}

/// Reads what [`save`] wrote; `None` when there is no such file.
pub fn load(path: &Path) -> Result<Option<Kept>, SealedError> {
    let Some(payload) = KIND.read(path)? else { return Ok(None) };
    let saved: Saved =
        wincode::deserialize(&payload).map_err(|_| SealedError::undecodable(path))?;
    let hour = |hour: SavedHour| {
        let mut latency = Latency::default();
        for (micros, count) in hour.latency {
            latency.record_all(micros, count);
        }
        Arc::new(Slot { at: hour.at, tally: Tally { counts: hour.counts, latency } })
    };
    let hours = saved.hours.into_iter().map(hour).collect();
    Ok(Some(Kept { since: time(saved.since), total: saved.total, hours }))
}

#[cfg(test)]
mod tests {
    use super::super::series::Series;
    use super::*;

    #[test]
    fn what_was_saved_is_what_is_loaded_and_damage_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("activity/hours.book");
        assert!(load(&path).unwrap().is_none());
        let mut hours = Series::new(3_600, 336);
        for (at, took) in [(0, 3), (3_600, 1_234), (3_700, 59_000_000)] {
            let tally = hours.slot(at);
            tally.counts.searches += 1;
            tally.latency.record(took);
        }
        let total = Counts { searches: 9, whole_bytes: 1 << 40, ..Counts::default() };
        let kept = Kept { since: time(1_800_000_000), total, hours: hours.since(0) };
        save(&path, &kept).unwrap();
        let loaded = load(&path).unwrap().unwrap();
        assert_eq!((loaded.since, loaded.total), (kept.since, kept.total));
        let told = |kept: &Kept| -> Vec<_> {
            let hours = kept.hours.iter();
            hours.map(|slot| (slot.at, slot.tally.counts, slot.tally.latency.cells())).collect()
        };
        assert_eq!(told(&loaded), told(&kept));
        let mut bytes = std::fs::read(&path).unwrap();
        *bytes.last_mut().unwrap() ^= 1;
        std::fs::write(&path, bytes).unwrap();
        assert!(load(&path).is_err());
    }
}
