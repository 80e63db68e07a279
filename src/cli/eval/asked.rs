//! One labelled query, answered by the function that serves.

use std::io::Write;
use std::path::Path;

use anyhow::Context;
use serde::Serialize;

use crate::eval::{Answered, LabelledQuery};
use crate::index::{Index, Ranked};
use crate::search::{self, Features, Gauge, Hit, PartVectors, Query, Ranking};

/// How deep a run ranks.
const DEPTH: usize = 100;
/// Of how many tools of a ranking the features are written.
const MEASURED: usize = 20;

/// One query, ranked and answered.
pub struct Asked {
    /// The first [`DEPTH`] tools.
    pub ranked: Vec<String>,
    pub answered: Answered,
    measured: Measured,
}

/// What the confidence in the tools of one answer is made of.
#[derive(Serialize)]
struct Measured {
    id: String,
    /// How many needs the query is labelled with; `None` without labels.
    needs: Option<usize>,
    hits: Vec<MeasuredHit>,
}

#[derive(Serialize)]
struct MeasuredHit {
    id: String,
    relevant: bool,
    score: f32,
    #[serde(flatten)]
    features: Option<Features>,
}

impl Asked {
    /// Answers `query`, which is that of `labelled`, from its ranking.
    pub fn ask(
        index: &Index,
        labelled: &LabelledQuery,
        query: &Query,
        vectors: &[PartVectors],
        ranking: &Ranking,
    ) -> Self {
        let served = search::answer(index, query, vectors, ranking);
        let gauge = Gauge::new(index, &query.texts, vectors, ranking);
        let measure = |ranked: &Ranked| {
            let id = index.catalog.tool(ranked.tool).id.as_str();
            MeasuredHit {
                id: id.to_owned(),
                relevant: labelled.is_met_by(id),
                score: ranked.score,
                features: gauge.features(ranked.tool).next(),
            }
        };
        let slot = |hit: &Hit| {
            std::iter::once(&hit.tool.id).chain(&hit.duplicates).map(ToString::to_string).collect()
        };
        Self {
            measured: Measured {
                id: labelled.id.clone(),
                needs: labelled.relevant.as_ref().map(Vec::len),
                hits: ranking.ranked.iter().take(MEASURED).map(measure).collect(),
            },
            answered: Answered {
                slots: served.hits.iter().map(slot).collect(),
                no_good_match: served.no_good_match,
            },
            ranked: ranking
                .ranked
                .iter()
                .take(DEPTH)
                .map(|ranked| index.catalog.tool(ranked.tool).id.to_string())
                .collect(),
        }
    }
}

/// Writes what the confidence in the tools of each answer is made of, a query a line.
pub fn write_features(path: &Path, asked: &[Asked]) -> anyhow::Result<()> {
    let file = std::fs::File::create(path).with_context(|| path.display().to_string())?;
    let mut out = std::io::BufWriter::new(file);
    for asked in asked {
        serde_json::to_writer(&mut out, &asked.measured)?;
        writeln!(out)?;
    }
    Ok(out.flush()?)
}
