//! Tallies by time: slots of one width, as many as are kept.
//!
//! Invariant: slots are in order of time, none twice, none empty and none older than the series
//! reaches; what a reader holds of them does not change under it.

use std::collections::VecDeque;
use std::sync::Arc;

use super::tally::Tally;

/// What was counted in a span of time.
#[derive(Debug, Clone, PartialEq)]
pub struct Slot {
    /// When it began, in seconds since 1970.
    pub at: u64,
    /// What was counted.
    pub tally: Tally,
}

/// The slots.
#[derive(Debug)]
pub struct Series {
    /// Seconds of a slot.
    width: u64,
    /// How many reach back.
    most: usize,
    slots: VecDeque<Arc<Slot>>,
}

impl Series {
    /// None yet, of `width` seconds, reaching back `most` of them.
    pub fn new(width: u64, most: usize) -> Self {
        Self { width, most, slots: VecDeque::new() }
    }

    /// What is counted at this moment, in seconds since 1970.
    pub fn slot(&mut self, now: u64) -> &mut Tally {
        let mut at = now / self.width * self.width;
        // Who noted a moment ago may come late; what lies further ahead was a wrong clock's.
        while let Some(last) = self.slots.back().map(|slot| slot.at).filter(|last| *last > at) {
            if last == at + self.width {
                at = last;
            } else {
                self.slots.pop_back();
            }
        }
        if self.slots.back().is_none_or(|slot| slot.at != at) {
            let first = (at + self.width).saturating_sub(self.most as u64 * self.width);
            while self.slots.front().is_some_and(|slot| slot.at < first) {
                self.slots.pop_front();
            }
            self.slots.push_back(Arc::new(Slot { at, tally: Tally::default() }));
        }
        let last = self.slots.len() - 1;
        &mut Arc::make_mut(&mut self.slots[last]).tally
    }

    /// The slots that begin then or later, oldest first.
    pub fn since(&self, at: u64) -> Vec<Arc<Slot>> {
        let first = self.slots.partition_point(|slot| slot.at < at);
        self.slots.range(first..).cloned().collect()
    }

    /// Takes up these, in the order of their time.
    pub fn restore(&mut self, slots: Vec<Arc<Slot>>) {
        let fits = |slot: &Arc<Slot>| slot.at.is_multiple_of(self.width);
        self.slots = slots.into_iter().filter(fits).collect();
        self.slots.make_contiguous().sort_by_key(|slot| slot.at);
        while self.slots.len() > self.most {
            self.slots.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    fn counts(series: &Series) -> Vec<(u64, u64)> {
        series.since(0).iter().map(|slot| (slot.at, slot.tally.counts.searches)).collect()
    }

    proptest! {
        /// Against a map of all that was ever counted.
        #[test]
        fn slots_are_what_was_counted_in_their_time(steps in prop::collection::vec(0_u64..40, 1..60)) {
            let mut series = Series::new(5, 4);
            let mut all: BTreeMap<u64, u64> = BTreeMap::new();
            let mut now = 1_000;
            for step in steps {
                now += step;
                series.slot(now).counts.searches += 1;
                *all.entry(now / 5 * 5).or_default() += 1;
                let first = now / 5 * 5 - 15;
                let naive: Vec<_> = all.range(first..).map(|(at, count)| (*at, *count)).collect();
                prop_assert_eq!(counts(&series), naive);
            }
        }
    }

    #[test]
    fn a_clock_that_was_set_back_makes_no_gap_and_no_second_slot() {
        let mut series = Series::new(5, 4);
        series.slot(100).counts.searches += 1;
        series.slot(105).counts.searches += 1;
        // Late by a moment.
        series.slot(104).counts.searches += 1;
        assert_eq!(counts(&series), [(100, 1), (105, 2)]);
        // Of a day that was never.
        series.slot(90_000).counts.searches += 1;
        series.slot(110).counts.searches += 1;
        assert_eq!(counts(&series).last(), Some(&(110, 1)));
    }

    #[test]
    fn what_a_reader_holds_stays_as_it_was() {
        let mut series = Series::new(5, 4);
        series.slot(100).counts.searches += 1;
        let held = series.since(0);
        series.slot(101).counts.searches += 1;
        assert_eq!((held[0].tally.counts.searches, counts(&series)), (1, vec![(100, 2)]));
    }
}
