//! Why a tool stands where it does, found or not.
//!
//! Invariant: the verdict is read from the ranking and the slots that answered; only what those
//! do not hold (the arms' ranks beyond their candidates, the terms' scores) is computed here, over
//! the whole catalog, by the functions that rank.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Serialize;

use super::confidence::Gauge;
use super::explain;
use super::learned::Lifted;
use super::slots::Slot;
use super::{Arms, PartVectors, Placed, Query, Ranking};
use crate::catalog::ToolIdx;
use crate::index::lexical::TermScore;
use crate::index::{Index, Ranked, top_k};
use crate::text::name_key;
use crate::tool::ToolId;

/// Most ids that are offered in place of one that is unknown.
const MOST_SIMILAR: usize = 3;
/// How similar they must be, of 1.
const SIMILAR: f32 = 0.6;

/// What became of a tool.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// It is in the answer.
    Returned,
    /// It is named beside the same tool of another server.
    Grouped,
    /// It ranked, but the answer ends before it.
    BelowCut,
    /// No arm had it among its candidates.
    BeyondDepth,
    /// It is in every answer of this profile.
    Pinned,
    /// Its server is not among those asked for, or its annotations are not.
    Filtered,
    /// No tool has this id.
    UnknownTool,
    /// Its server's tools are not known at the moment, or not served.
    ServerUnavailable,
    /// Its definition is held back until an operator approves it.
    Held,
}

/// Why a tool stands where it does.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct Why {
    /// The tool that was asked about.
    #[schemars(with = "String")]
    pub id: ToolId,
    /// What became of it.
    pub verdict: Verdict,
    /// The same in words.
    pub because: String,
    /// Its place in the answer, or the place it would have had; from 1, and of its slot.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub place: Option<usize>,
    /// How many tools the answer has.
    pub returned: usize,
    /// The tool that it is named beside.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    pub under: Option<ToolId>,
    /// Its fused score, if it ranked; comparable within this answer only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub score: Option<f32>,
    /// How likely it meets the need, 0 to 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub confidence: Option<f32>,
    /// The query spells its name.
    pub exact_name: bool,
    /// Its place in the lexical arm, over all tools; absent where no term matches.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lexical: Option<Placed>,
    /// Its place in the dense arm, over all tools; absent without vectors.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dense: Option<Placed>,
    /// What the profile multiplies its score by.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub boost: Option<f32>,
    /// How much it was lifted since it was chosen after queries like this one, if it was.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub learned: Option<Lifted>,
    /// What each term that matches adds to the lexical score, the largest first; of several
    /// phrasings those of the one that fits best.
    pub terms: Vec<TermScore>,
    /// The words that the lexical arm counted, as they stand in the tool, by field.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(default)]
    pub words: BTreeMap<&'static str, Vec<String>>,
    /// Ids much like one that is unknown.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(with = "Vec<String>", default)]
    pub similar: Vec<ToolId>,
}

/// An answer and all that it came from.
pub struct Case<'a> {
    pub index: &'a Index,
    pub query: &'a Query,
    pub vectors: &'a [PartVectors],
    pub ranking: &'a Ranking,
    pub slots: &'a [Slot],
    /// How many of the slots were returned.
    pub count: usize,
    /// How many tools were, with the pinned ones.
    pub returned: usize,
    pub gauge: &'a Gauge<'a>,
}

impl Case<'_> {
    /// Why the tool of this id stands where it does.
    pub fn why(&self, id: &ToolId) -> Why {
        let tools = self.index.catalog.tools();
        let Some(tool) = self.index.catalog.position(id.as_str()) else {
            return self.unknown(id);
        };
        let mut why = self.blank(id);
        self.judge(tool, &mut why);
        let ranked = self.ranking.ranked.iter().find(|ranked| ranked.tool == tool);
        why.score = ranked.map(|ranked| ranked.score);
        why.confidence = Some(self.gauge.confidence(tool));
        why.exact_name = self.ranking.named.contains(&tool);
        why.boost = self.index.emphasis.boosts.get(&tool).copied();
        why.learned = self.ranking.lifted.get(&tool).copied();
        why.lexical = self.place(tool, |text, _| {
            let keep = |other| self.keep(other, tool);
            let lexical = &self.index.lexical;
            let all = lexical.rank(&lexical.asked(text), tools.len(), keep).0;
            (self.query.arms != Arms::Dense).then_some(all)
        });
        why.dense = self.place(tool, |_, at| self.dense_ranking(at, tool));
        why.terms = self.terms(tool);
        why.words = explain::words(self.index, &self.ranking.lists, tool);
        why
    }

    fn blank(&self, id: &ToolId) -> Why {
        Why {
            id: id.clone(),
            verdict: Verdict::UnknownTool,
            because: String::new(),
            place: None,
            returned: self.returned,
            under: None,
            score: None,
            confidence: None,
            exact_name: false,
            lexical: None,
            dense: None,
            boost: None,
            learned: None,
            terms: Vec::new(),
            words: BTreeMap::new(),
            similar: Vec::new(),
        }
    }

    fn unknown(&self, id: &ToolId) -> Why {
        let similar = self.similar(id);
        let because = match similar.first() {
            Some(similar) => format!("no tool has this id; much like it is {similar}"),
            None => "no tool has this id: GET /v1/tools lists them".into(),
        };
        Why { because, similar, ..self.blank(id) }
    }

    fn judge(&self, tool: ToolIdx, why: &mut Why) {
        let server = &self.index.catalog.tool(tool).server;
        if !self.query.servers.is_empty() && !self.query.servers.contains(server) {
            why.verdict = Verdict::Filtered;
            why.because = format!("its server {server} is not among those asked for");
            return;
        }
        if !self.ranking.admitted.has(tool) {
            why.verdict = Verdict::Filtered;
            why.because = "by its annotations it is not among what is asked for".into();
            return;
        }
        if self.index.emphasis.is_pinned(tool) {
            why.verdict = Verdict::Pinned;
            why.because = "it is in every answer of this profile".into();
            return;
        }
        let stands = |slot: &Slot| slot.shown.tool == tool || slot.beside.contains(&tool);
        let Some(at) = self.slots.iter().position(stands) else {
            why.verdict = Verdict::BeyondDepth;
            why.because = "no arm has it among its candidates".into();
            return;
        };
        let place = at + 1;
        let shown = self.slots[at].shown.tool;
        why.place = Some(place);
        if shown != tool {
            why.under = Some(self.index.catalog.tool(shown).id.clone());
        }
        (why.verdict, why.because) = match &why.under {
            _ if at >= self.count => (
                Verdict::BelowCut,
                format!("it has place {place}, and the answer ends at {}", self.count),
            ),
            Some(under) => (
                Verdict::Grouped,
                format!("it is the same tool as {under}, which has place {place}, and named there"),
            ),
            None => (Verdict::Returned, format!("it has place {place} of {}", self.count)),
        };
    }

    /// The ranks are among what the query may find, and the tool that is asked about.
    fn keep(&self, other: ToolIdx, tool: ToolIdx) -> bool {
        other == tool || self.ranking.admitted.has(other)
    }

    fn dense_ranking(&self, text: usize, tool: ToolIdx) -> Option<Vec<Ranked>> {
        if self.query.arms == Arms::Lexical {
            return None;
        }
        let (dense, vector) = (self.index.dense.as_ref()?, self.vectors.get(text)?);
        let all = (0_u32..).map(ToolIdx).take(self.index.catalog.len());
        let kept: Vec<ToolIdx> = all.filter(|other| self.keep(*other, tool)).collect();
        let cosines = dense.scores(&[&vector.whole], &kept).remove(0);
        let scored: Vec<Ranked> = kept
            .into_iter()
            .zip(cosines)
            .filter_map(|(tool, score)| Some(Ranked { tool, score: score? }))
            .collect();
        let count = scored.len();
        Some(top_k(scored, count))
    }

    /// The tool's best place over the whole rankings of all phrasings.
    fn place(
        &self,
        tool: ToolIdx,
        ranking: impl Fn(&str, usize) -> Option<Vec<Ranked>>,
    ) -> Option<Placed> {
        let places = self.query.texts.iter().enumerate().filter_map(|(at, text)| {
            let all = ranking(text, at)?;
            let at = all.iter().position(|ranked| ranked.tool == tool)?;
            Some(Placed { rank: at + 1, score: all[at].score })
        });
        places.min_by_key(|placed| placed.rank)
    }

    fn terms(&self, tool: ToolIdx) -> Vec<TermScore> {
        let sum = |terms: &Vec<TermScore>| terms.iter().map(|term| term.score).sum::<f32>();
        self.query
            .texts
            .iter()
            .map(|text| self.index.lexical.explain_terms(text, tool))
            .max_by(|a, b| sum(a).total_cmp(&sum(b)))
            .unwrap_or_default()
    }

    /// Ids that share most of their letters with `id`, or whose name shares most with its end.
    fn similar(&self, id: &ToolId) -> Vec<ToolId> {
        let asked = pairs(id.as_str());
        let end = pairs(id.as_str().rsplit('/').next().unwrap_or_default());
        let mut close: Vec<(f32, &ToolId)> = self
            .index
            .catalog
            .tools()
            .iter()
            .zip((0..).map(ToolIdx))
            .filter(|(_, at)| self.ranking.admitted.has(*at))
            .map(|(tool, _)| {
                let whole = dice(&asked, &pairs(tool.id.as_str()));
                // The whole id is the better witness where both say the same.
                (whole.max(0.9 * dice(&end, &pairs(&tool.name))), &tool.id)
            })
            .filter(|(likeness, _)| *likeness >= SIMILAR)
            .collect();
        close.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(b.1)));
        close.into_iter().take(MOST_SIMILAR).map(|(_, id)| id.clone()).collect()
    }
}

/// The pairs of neighbouring letters and digits, ordered.
fn pairs(text: &str) -> Vec<(char, char)> {
    let key: Vec<char> = name_key(text).chars().collect();
    let mut pairs: Vec<(char, char)> = key.windows(2).map(|pair| (pair[0], pair[1])).collect();
    pairs.sort_unstable();
    pairs.dedup();
    pairs
}

/// Sørensen and Dice's coefficient of two ordered sets.
fn dice(a: &[(char, char)], b: &[(char, char)]) -> f32 {
    let both = a.iter().filter(|pair| b.binary_search(pair).is_ok()).count();
    #[expect(clippy::cast_precision_loss, reason = "ids are short")]
    let share = 2.0 * both as f32 / (a.len() + b.len()).max(1) as f32;
    share
}

#[cfg(test)]
mod tests {
    use std::fmt::Write as _;
    use std::io::Write as _;
    use std::sync::Arc;

    use super::*;
    use crate::catalog::{Catalog, file};
    use crate::index::dense::Dense;
    use crate::search::{answer, rank};

    /// 150 tools; the later the farther from the query's vector. The last few hold a word of it.
    fn index() -> Index {
        let mut lines = String::new();
        for at in 0..150 {
            let word = if at >= 140 { "bell" } else { "door" };
            let _ = writeln!(lines, r#"{{"server":"s","name":"t{at:03}","description":"{word}"}}"#);
        }
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(lines.as_bytes()).unwrap();
        let catalog = Catalog::from_listings(file::read(file.path(), None).unwrap());
        let vectors = (0..150_u8).map(|at| {
            let angle = f32::from(at) / 100.0;
            Some(Arc::from([angle.cos(), angle.sin()]))
        });
        let dense = Dense::build(&vectors.collect::<Vec<_>>()).map(Arc::new);
        Index { dense, ..Index::build(1, Arc::new(catalog)) }
    }

    #[test]
    fn ranks_reach_beyond_the_candidates() {
        let index = index();
        let vectors = [PartVectors { whole: vec![1.0, 0.0], pieces: Vec::new() }];
        let why = |text: &str, id: &str| {
            let query =
                Query { texts: vec![text.into()], why: Some(ToolId::from(id)), ..Query::default() };
            answer(&index, &query, &vectors, &rank(&index, &query, &vectors)).why.unwrap()
        };
        let far = why("window", "s/t130");
        assert_eq!((far.verdict, far.score, far.place), (Verdict::BeyondDepth, None, None));
        assert_eq!(far.dense.map(|placed| placed.rank), Some(131));
        assert!((far.dense.unwrap().score - 1.3_f32.cos()).abs() < 1e-5);
        assert!(far.lexical.is_none() && far.terms.is_empty());
        let word = why("bell", "s/t149");
        assert_eq!((word.lexical.unwrap().rank, word.dense.unwrap().rank), (10, 150));
        assert_eq!(word.terms[0].term, "bell");
        let without = why("window", "s/t149");
        assert!(word.score.is_some() && word.confidence.unwrap() > without.confidence.unwrap());
    }

    #[test]
    fn likeness_is_of_letters_not_of_spelling() {
        let of = |a: &str, b: &str| dice(&pairs(a), &pairs(b));
        assert!((of("acme/list_issues", "Acme.listIssues") - 1.0).abs() < f32::EPSILON);
        assert!(of("acme/list_issues", "acme/list_issue") > 0.9);
        assert!(of("acme/list_issues", "kitchen/boil_water") < 0.2);
        assert!(of("", "").abs() < f32::EPSILON);
    }
}
