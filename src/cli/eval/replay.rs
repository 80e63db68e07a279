//! `toolscout eval --replay`: what evidence of half of the queries does to the other half.

use std::collections::BTreeMap;
use std::io::Write;
use std::process::ExitCode;
use std::sync::Arc;

use comfy_table::{Table, presets};
use rayon::prelude::*;
use serde::Serialize;

use super::asked::Asked;
use crate::cli::local::Local;
use crate::embed::{EmbedError, Role};
use crate::eval::replay::{Lesson, teaches};
use crate::eval::{self, AsServed, Comparison, LabelledQuery, Metric, Scores};
use crate::learn::book::MOST_WEIGHT;
use crate::search::learned::{Learned, Space, Taught, UNLIKE};
use crate::search::{PartVectors, Query};

/// What is told.
const METRICS: [Metric; 6] = [
    Metric::Recall1,
    Metric::Recall5,
    Metric::Recall10,
    Metric::Ndcg5,
    Metric::Mrr,
    Metric::Complete10,
];

#[derive(Serialize)]
struct Output {
    encoder: Option<String>,
    tools: usize,
    /// Queries that taught.
    taught: usize,
    /// Queries that were asked.
    queries: usize,
    without: Scores,
    as_served: AsServed,
    lessons: Vec<Learnt>,
}

/// What came of a lesson.
#[derive(Serialize)]
struct Learnt {
    lesson: Lesson,
    with: Scores,
    as_served: AsServed,
    /// Query by query, by the metric's name.
    differences: BTreeMap<&'static str, Difference>,
}

#[derive(Serialize)]
struct Difference {
    mean: f64,
    low: f64,
    high: f64,
}

/// One labelled query and what it is asked with.
type Case<'a> = (&'a LabelledQuery, Query, Vec<PartVectors>);

/// The rankings by query, and what is served of them.
type Run = (BTreeMap<String, Vec<String>>, AsServed);

/// Teaches, asks and tells.
pub fn run(local: &Local, cases: Vec<Case<'_>>, json: bool) -> anyhow::Result<ExitCode> {
    let (teachers, asked): (Vec<Case<'_>>, Vec<Case<'_>>) =
        cases.into_iter().filter(|(query, ..)| query.is_scored()).partition(|(q, ..)| teaches(q));
    let tools: Vec<String> =
        local.index.catalog.tools().iter().map(|tool| tool.id.to_string()).collect();
    let space = space(local)?;
    let queries: Vec<LabelledQuery> = asked.iter().map(|(query, ..)| (*query).clone()).collect();
    let (before, as_served) = ask(local, &asked, None)?;
    let mut output = Output {
        encoder: space.as_ref().map(|space| space.encoder.clone()),
        tools: tools.len(),
        taught: teachers.len(),
        queries: queries.len(),
        without: eval::report(&queries, &before).all.metrics,
        as_served,
        lessons: Vec::new(),
    };
    for lesson in Lesson::ALL {
        let taught = teachers.iter().map(|(query, asked, vectors)| Taught {
            text: asked.texts.concat().into(),
            vector: vectors.first().map(|vectors| Arc::from(&*vectors.whole)),
            tools: (lesson.teach(query, &tools, MOST_WEIGHT).into_iter())
                .map(|(tool, weight)| (tool.into(), weight))
                .collect(),
        });
        let learned = Learned::of(taught.collect(), space.clone());
        let (after, as_served) = ask(local, &asked, Some(&learned))?;
        let difference = |metric: Metric| {
            let Comparison { difference: mean, interval, .. } =
                eval::compare(&queries, &before, &after, metric);
            (metric.name(), Difference { mean, low: interval.low, high: interval.high })
        };
        output.lessons.push(Learnt {
            lesson,
            with: eval::report(&queries, &after).all.metrics,
            as_served,
            differences: METRICS.into_iter().map(difference).collect(),
        });
    }
    let mut out = anstream::stdout().lock();
    if json {
        serde_json::to_writer(&mut out, &output)?;
        writeln!(out)?;
    } else {
        writeln!(out, "{}", table(&output))?;
        writeln!(out, "{} queries taught, {} were asked", output.taught, output.queries)?;
    }
    Ok(ExitCode::SUCCESS)
}

fn ask(local: &Local, cases: &[Case<'_>], learned: Option<&Learned>) -> Result<Run, EmbedError> {
    let asked: Result<Vec<Asked>, EmbedError> = cases
        .par_iter()
        .map(|(labelled, query, vectors)| Asked::ask(local, labelled, query, vectors, learned))
        .collect();
    let asked = asked?;
    let queries: Vec<LabelledQuery> = cases.iter().map(|(query, ..)| (*query).clone()).collect();
    let (ranked, answered): (Vec<_>, Vec<_>) =
        asked.into_iter().map(|one| (one.asked.ranked, one.asked.answered)).unzip();
    let served = AsServed::of(queries.iter().zip(&answered));
    Ok((queries.into_iter().map(|query| query.id).zip(ranked).collect(), served))
}

/// What the encoder calls unlike; `None` without an encoder.
fn space(local: &Local) -> Result<Option<Space>, EmbedError> {
    let Ok(cache) = &local.vectors else { return Ok(None) };
    let embedder = cache.embedder();
    let mut vectors = Vec::new();
    for text in UNLIKE {
        vectors.extend(embedder.embed(Role::Query, &[text], None)?);
    }
    Ok(Some(Space::of(embedder.id(), &vectors)))
}

fn table(output: &Output) -> Table {
    let mut table = Table::new();
    table.load_preset(presets::NOTHING);
    let names = METRICS.map(Metric::name).into_iter();
    table.set_header(["learned"].into_iter().chain(names).chain(["served", "tools"]));
    let served =
        |served: &AsServed| [format!("{:.3}", served.complete), format!("{:.1}", served.returned)];
    let plain = METRICS.map(|metric| format!("{:.3}", output.without.get(metric)));
    table.add_row(["nothing".to_owned()].into_iter().chain(plain).chain(served(&output.as_served)));
    for learnt in &output.lessons {
        let metrics = METRICS.map(|metric| {
            let Difference { mean, low, high } = &learnt.differences[metric.name()];
            format!("{:.3}: {mean:+.3} [{low:+.3}, {high:+.3}]", learnt.with.get(metric))
        });
        let name = [learnt.lesson.name().to_owned()].into_iter();
        table.add_row(name.chain(metrics).chain(served(&learnt.as_served)));
    }
    table
}
