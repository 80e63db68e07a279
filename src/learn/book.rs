//! The evidence itself.
//!
//! Invariant: a piece of evidence weighs between -[`MOST_WEIGHT`] and [`MOST_WEIGHT`] however often
//! it is repeated, and less with time; there are never more pieces than the rules allow, and the
//! weakest of the scope that has most goes first.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use wincode::{SchemaRead, SchemaWrite};

use super::{Outcome, Rules};
use crate::tool::ToolId;
use crate::trust::millis;

/// What one query and one tool can weigh: somebody who repeats himself is heard three times.
pub const MOST_WEIGHT: f32 = 3.0;
/// What weighs less has faded away.
const LEAST_WEIGHT: f32 = 0.05;

/// A tool that was chosen after a query.
pub type Key = (Arc<str>, ToolId);

/// What is known of it.
#[derive(Debug, Clone, Copy, PartialEq, SchemaWrite, SchemaRead)]
pub struct Evidence {
    /// Its weight at that time; below zero where it was the wrong tool.
    pub weight: f32,
    /// When it was noted last, in milliseconds since 1970.
    pub at: u64,
    /// How often it was noted.
    pub times: u32,
}

/// All evidence, by scope.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Book {
    scopes: BTreeMap<Arc<str>, BTreeMap<Key, Evidence>>,
}

/// Which evidence; what is `None` is not looked at.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Which {
    /// That of this scope.
    pub scope: Option<String>,
    /// That of this tool.
    pub tool: Option<String>,
    /// That of this query, as it was asked.
    pub query: Option<String>,
}

impl Which {
    fn is(&self, scope: &str, (text, tool): &Key) -> bool {
        let same = |wanted: &Option<String>, is: &str| wanted.as_deref().is_none_or(|it| it == is);
        same(&self.scope, scope) && same(&self.query, text) && same(&self.tool, tool.as_str())
    }
}

impl Evidence {
    /// What it weighs at `now`.
    pub fn weight_at(&self, now: SystemTime, half_life: Duration) -> f32 {
        let age = Duration::from_millis(millis(now).saturating_sub(self.at));
        self.weight * (-age.as_secs_f32() / half_life.as_secs_f32()).exp2()
    }
}

impl Book {
    /// How many pieces there are.
    pub fn len(&self) -> usize {
        self.scopes.values().map(BTreeMap::len).sum()
    }

    /// There are none.
    pub fn is_empty(&self) -> bool {
        self.scopes.is_empty()
    }

    /// Notes what came of `tool` after `text`.
    pub fn note(
        &mut self,
        rules: &Rules,
        scope: &str,
        text: &str,
        tool: &ToolId,
        outcome: Outcome,
        now: SystemTime,
    ) {
        let counts = match outcome {
            Outcome::Chosen => 1.0,
            Outcome::Wrong => -1.0,
        };
        let pieces = self.scopes.entry(scope.into()).or_default();
        let piece = pieces.entry((text.into(), tool.clone())).or_insert(Evidence {
            weight: 0.0,
            at: millis(now),
            times: 0,
        });
        let weight = piece.weight_at(now, rules.half_life) + counts;
        *piece = Evidence {
            weight: weight.clamp(-MOST_WEIGHT, MOST_WEIGHT),
            at: millis(now).max(piece.at),
            times: piece.times.saturating_add(1),
        };
        while self.len() > rules.max_events {
            self.drop_weakest(rules, now);
        }
    }

    /// No scope can push out another that has less.
    fn drop_weakest(&mut self, rules: &Rules, now: SystemTime) {
        let Some(fullest) = self.scopes.values_mut().max_by_key(|pieces| pieces.len()) else {
            return;
        };
        let weight = |piece: &Evidence| piece.weight_at(now, rules.half_life).abs();
        let weakest = fullest
            .iter()
            .min_by(|(_, a), (_, b)| weight(a).total_cmp(&weight(b)).then(a.at.cmp(&b.at)));
        if let Some(key) = weakest.map(|(key, _)| key.clone()) {
            fullest.remove(&key);
        }
        self.scopes.retain(|_, pieces| !pieces.is_empty());
    }

    /// Forgets what has faded away; true if there was such.
    pub fn fade(&mut self, rules: &Rules, now: SystemTime) -> bool {
        self.retain(|_, _, piece| piece.weight_at(now, rules.half_life).abs() >= LEAST_WEIGHT) > 0
    }

    /// Erases; gives how many pieces there were.
    pub fn forget(&mut self, which: &Which) -> usize {
        self.retain(|scope, key, _| !which.is(scope, key))
    }

    fn retain(&mut self, keep: impl Fn(&str, &Key, &Evidence) -> bool) -> usize {
        let before = self.len();
        for (scope, pieces) in &mut self.scopes {
            pieces.retain(|key, piece| keep(scope, key, piece));
        }
        self.scopes.retain(|_, pieces| !pieces.is_empty());
        before - self.len()
    }

    /// Those pieces with their scopes, ordered by scope, query and tool.
    pub fn pieces<'a>(
        &'a self,
        which: &'a Which,
    ) -> impl Iterator<Item = (&'a str, &'a Key, &'a Evidence)> {
        let all = self.scopes.iter().flat_map(|(scope, pieces)| {
            pieces.iter().map(move |(key, piece)| (&**scope, key, piece))
        });
        all.filter(|(scope, key, _)| which.is(scope, key))
    }

    /// The scopes that there is evidence of.
    pub fn scopes(&self) -> impl Iterator<Item = (&Arc<str>, &BTreeMap<Key, Evidence>)> {
        self.scopes.iter()
    }

    /// Takes a piece in as it was kept.
    pub(super) fn put(&mut self, scope: &Arc<str>, key: Key, piece: Evidence) {
        self.scopes.entry(Arc::clone(scope)).or_default().insert(key, piece);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const RULES: Rules = Rules { half_life: Duration::from_secs(100), max_events: 8 };

    fn at(seconds: u64) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)
    }

    fn all() -> Which {
        Which::default()
    }

    #[test]
    fn evidence_adds_up_saturates_and_fades() {
        let mut book = Book::default();
        let tool = ToolId::from("s/t");
        let weight = |book: &Book, now| {
            let (_, _, piece) = book.pieces(&all()).next().map(|(a, b, c)| (a, b, *c))?;
            Some(piece.weight_at(at(now), RULES.half_life))
        };
        book.note(&RULES, "", "ring", &tool, Outcome::Chosen, at(0));
        book.note(&RULES, "", "ring", &tool, Outcome::Chosen, at(100));
        assert_eq!(weight(&book, 100), Some(1.5));
        for _ in 0..20 {
            book.note(&RULES, "", "ring", &tool, Outcome::Chosen, at(100));
        }
        assert_eq!(weight(&book, 100), Some(MOST_WEIGHT));
        assert_eq!(weight(&book, 200), Some(MOST_WEIGHT / 2.0));
        // A clock that was set back makes nothing of it heavier.
        assert_eq!(weight(&book, 0), Some(MOST_WEIGHT));
        assert!(!book.fade(&RULES, at(200)) && book.fade(&RULES, at(2_000)));
        assert!(book.is_empty());
    }

    #[test]
    fn the_weakest_of_the_fullest_scope_goes_first() {
        let mut book = Book::default();
        let note = |book: &mut Book, scope, text: &str, now| {
            book.note(&RULES, scope, text, &"s/t".into(), Outcome::Chosen, at(now));
        };
        note(&mut book, "small", "mine", 0);
        for now in 0..20 {
            note(&mut book, "large", &format!("q{now:02}"), now);
        }
        let all = all();
        let kept: Vec<&str> = book.pieces(&all).map(|(_, (text, _), _)| &**text).collect();
        assert_eq!(kept, ["q13", "q14", "q15", "q16", "q17", "q18", "q19", "mine"]);
    }

    proptest! {
        /// Against a list of all that was ever noted.
        #[test]
        fn it_is_the_sum_of_what_was_noted(
            steps in prop::collection::vec((0..2_u8, 0..2_u8, 0..2_u8, any::<bool>(), 0_u64..300), 0..30),
            erased in (prop::option::of(0..2_u8), prop::option::of(0..2_u8), prop::option::of(0..2_u8)),
        ) {
            let mut book = Book::default();
            let mut naive: BTreeMap<(String, String, String), (f32, u64)> = BTreeMap::new();
            let mut now = 0;
            for (scope, text, tool, good, later) in steps {
                now += later;
                let outcome = if good { Outcome::Chosen } else { Outcome::Wrong };
                let (scope, text, tool) = (format!("c{scope}"), format!("q{text}"), format!("t{tool}"));
                book.note(&RULES, &scope, &text, &tool.as_str().into(), outcome, at(now));
                let known = naive.entry((scope, text, tool)).or_insert((0.0, now));
                #[expect(clippy::cast_precision_loss, reason = "small")]
                let faded = known.0 * 0.5_f32.powf((now - known.1) as f32 / 100.0);
                *known = ((faded + if good { 1.0 } else { -1.0 }).clamp(-3.0, 3.0), now);
            }
            let which = Which {
                scope: erased.0.map(|n| format!("c{n}")),
                tool: erased.1.map(|n| format!("t{n}")),
                query: erased.2.map(|n| format!("q{n}")),
            };
            let before = naive.len();
            naive.retain(|(scope, text, tool), _| {
                let is = |wanted: &Option<String>, it: &String| wanted.as_ref().is_none_or(|w| w == it);
                !(is(&which.scope, scope) && is(&which.query, text) && is(&which.tool, tool))
            });
            prop_assert_eq!(book.forget(&which), before - naive.len());
            prop_assert_eq!(book.len(), naive.len());
            for (scope, (text, tool), piece) in book.pieces(&all()) {
                let key = (scope.to_owned(), text.to_string(), tool.to_string());
                prop_assert!((piece.weight - naive[&key].0).abs() < 1e-4);
            }
        }
    }
}
