//! What is counted of a span of time.
//!
//! Invariant: sums lose nothing; a time that is told is off by one part in 32 at most (a cell of the
//! histogram is a sixteenth of its value wide, and its middle is told).

use hdrhistogram::Histogram;
use wincode::{SchemaRead, SchemaWrite};

/// The largest error of a time that is told, as a part of it.
pub const ERROR: f64 = 1.0 / 32.0;
/// A longer time is told as this one: an hour.
const LONGEST_US: u64 = 3_600_000_000;

/// How often something happened.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, SchemaWrite, SchemaRead)]
pub struct Counts {
    /// Searches that were answered.
    pub searches: u64,
    /// Of these by words alone.
    pub lexical: u64,
    /// By vectors alone.
    pub dense: u64,
    /// With less than is configured, for a reason.
    pub degraded: u64,
    /// As before in the same generation.
    pub cached: u64,
    /// Without any tool.
    pub empty: u64,
    /// With tools of which none is likely to fit.
    pub no_good_match: u64,
    /// Searches that were refused for what they asked, or before there was anything to search.
    pub refused: u64,
    /// Requests that were not let in, or had one too many beside them.
    pub turned_away: u64,
    /// Calls of tools.
    pub calls: u64,
    /// Of these, without a result of the tool, or with an error of it.
    pub failed_calls: u64,
    /// Bytes of the definitions that searches returned.
    pub sent_bytes: u64,
    /// Bytes of all definitions that they could have returned.
    pub whole_bytes: u64,
}

impl Counts {
    /// Bytes of definitions that nobody had to read.
    pub fn saved_bytes(&self) -> u64 {
        self.whole_bytes.saturating_sub(self.sent_bytes)
    }
}

impl std::ops::Add for Counts {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            searches: self.searches + other.searches,
            lexical: self.lexical + other.lexical,
            dense: self.dense + other.dense,
            degraded: self.degraded + other.degraded,
            cached: self.cached + other.cached,
            empty: self.empty + other.empty,
            no_good_match: self.no_good_match + other.no_good_match,
            refused: self.refused + other.refused,
            turned_away: self.turned_away + other.turned_away,
            calls: self.calls + other.calls,
            failed_calls: self.failed_calls + other.failed_calls,
            sent_bytes: self.sent_bytes + other.sent_bytes,
            whole_bytes: self.whole_bytes + other.whole_bytes,
        }
    }
}

impl std::ops::AddAssign for Counts {
    fn add_assign(&mut self, other: Self) {
        *self = *self + other;
    }
}

/// How long searches took, in microseconds.
#[derive(Debug, Clone, PartialEq)]
pub struct Latency(Histogram<u32>);

/// Times from one to another, and how many searches took that long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cell {
    /// The shortest time of the cell, in microseconds.
    pub from: u64,
    /// The longest.
    pub to: u64,
    /// How many.
    pub count: u64,
}

impl Default for Latency {
    #[expect(clippy::expect_used, reason = "one digit is what a histogram can have")]
    fn default() -> Self {
        Self(Histogram::new(1).expect("one significant digit"))
    }
}

impl Latency {
    /// One more.
    pub fn record(&mut self, micros: u64) {
        self.record_all(micros, 1);
    }

    /// So many more.
    pub fn record_all(&mut self, micros: u64, count: u32) {
        // It grows as it has to, and nothing is too long.
        let _ = self.0.record_n(micros.min(LONGEST_US), count);
    }

    /// And those of another.
    pub fn add(&mut self, other: &Self) {
        let _ = self.0.add(&other.0);
    }

    /// The time that this part (0 to 1) of all were not slower than; `None` of none.
    pub fn quantile(&self, part: f64) -> Option<u64> {
        let histogram = &self.0;
        let value = (!histogram.is_empty()).then(|| histogram.value_at_quantile(part))?;
        let cell = (histogram.lowest_equivalent(value), histogram.highest_equivalent(value));
        Some(cell.0.midpoint(cell.1))
    }

    /// The longest.
    pub fn longest(&self) -> Option<u64> {
        self.quantile(1.0)
    }

    /// Every cell that something is in, shortest first.
    pub fn cells(&self) -> Vec<Cell> {
        let cell = |found: hdrhistogram::iterators::IterationValue<u32>| Cell {
            from: self.0.lowest_equivalent(found.value_iterated_to()),
            to: self.0.highest_equivalent(found.value_iterated_to()),
            count: found.count_at_value().into(),
        };
        self.0.iter_recorded().map(cell).collect()
    }
}

/// What is counted.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Tally {
    /// How often what happened.
    pub counts: Counts,
    /// How long answered searches took.
    pub latency: Latency,
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn of_none_there_is_nothing_to_tell() {
        let latency = Latency::default();
        assert_eq!((latency.quantile(0.5), latency.longest()), (None, None));
        assert!(latency.cells().is_empty());
    }

    proptest! {
        /// Against all times, sorted.
        #[test]
        fn percentiles_are_those_of_a_sorted_list_but_for_the_stated_error(
            mut times in prop::collection::vec(
                prop_oneof![0_u64..100, 0_u64..20_000, 0_u64..LONGEST_US], 1..400,
            ),
            split in 0_usize..400,
        ) {
            let split = split.min(times.len());
            let (mut latency, mut other) = (Latency::default(), Latency::default());
            times[..split].iter().for_each(|time| latency.record(*time));
            times[split..].iter().for_each(|time| other.record(*time));
            latency.add(&other);
            times.sort_unstable();
            for part in [0.01, 0.5, 0.9, 0.99, 1.0] {
                #[expect(clippy::cast_precision_loss, clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a few hundred")]
                let rank = (part * times.len() as f64).ceil() as usize;
                let exact = times[rank.max(1) - 1];
                let told = latency.quantile(part).unwrap();
                #[expect(clippy::cast_precision_loss, reason = "below an hour")]
                let most = exact as f64 * ERROR;
                #[expect(clippy::cast_precision_loss, reason = "below an hour")]
                let off = told.abs_diff(exact) as f64;
                prop_assert!(off <= most, "{told} for {exact}");
            }
            // Nothing is lost or counted twice, and the cells come back as they were.
            let cells = latency.cells();
            prop_assert_eq!(cells.iter().map(|cell| cell.count).sum::<u64>(), times.len() as u64);
            let mut again = Latency::default();
            for cell in &cells {
                prop_assert!(times.iter().any(|time| (cell.from..=cell.to).contains(time)));
                again.record_all(cell.from, u32::try_from(cell.count).unwrap());
            }
            prop_assert_eq!(again.cells(), cells);
        }
    }
}
