//! One labelled query, answered by the function that serves.

use std::io::Write;
use std::path::Path;

use anyhow::Context;
use serde::Serialize;

use crate::cli::local::Local;
use crate::embed::EmbedError;
use crate::eval::{self, LabelledQuery};
use crate::index::Ranked;
use crate::search::learned::Learned;
use crate::search::{Features, Gauge, PartVectors, Query};

/// Of how many tools of a ranking the features are written.
const MEASURED: usize = 20;

/// One query, ranked and answered.
pub struct Asked {
    pub asked: eval::Asked,
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
    /// Ranks and answers `query`, which is that of `labelled`.
    pub fn ask(
        local: &Local,
        labelled: &LabelledQuery,
        query: &Query,
        vectors: &[PartVectors],
        learned: Option<&Learned>,
    ) -> Result<Self, EmbedError> {
        let index = &local.index;
        let ranking = local.rank(query, vectors, learned)?;
        let gauge = Gauge::new(index, vectors, &ranking);
        let measure = |ranked: &Ranked| {
            let id = index.catalog.tool(ranked.tool).id.as_str();
            MeasuredHit {
                id: id.to_owned(),
                relevant: labelled.is_met_by(id),
                score: ranked.score,
                features: gauge.features(ranked.tool).next(),
            }
        };
        Ok(Self {
            measured: Measured {
                id: labelled.id.clone(),
                needs: labelled.relevant.as_ref().map(Vec::len),
                hits: ranking.ranked.iter().take(MEASURED).map(measure).collect(),
            },
            asked: eval::Asked::of(index, query, vectors, &ranking),
        })
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
