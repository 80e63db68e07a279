//! `toolscout eval`: the search that serves, scored on labelled queries.

mod asked;
mod replay;

use std::collections::BTreeMap;
use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use rayon::prelude::*;
use serde::Serialize;

use asked::{Asked, write_features};

use super::EvalArgs;
use super::local::{Local, embed_all};
use crate::catalog::{Catalog, file};
use crate::embed::{EmbedError, Role};
use crate::eval::{self, AsServed, Comparison, LabelledQuery, Metric, Report, RunLine};
use crate::search::needs::Parts;
use crate::search::{Arms, PartVectors, Query};

/// How many queries that moved are listed.
const SHOWN_MOVES: usize = 20;

#[derive(Serialize)]
struct Output<'a> {
    encoder: Option<&'a str>,
    tools: usize,
    #[serde(flatten)]
    report: &'a Report,
    as_served: AsServed,
    #[serde(skip_serializing_if = "Option::is_none")]
    against: Option<&'a Comparison>,
}

/// Runs the subcommand.
pub fn run(args: &EvalArgs) -> anyhow::Result<ExitCode> {
    let config = args.resolve()?;
    let queries = eval::read_queries(&args.queries)?;
    let catalog = Catalog::from_listings(file::read(&args.catalog, args.servers.as_deref())?);
    let lexical_only = args.arm == Arms::Lexical;
    let local = Local::build(catalog, &config, lexical_only)?;
    if let Some(error) = &local.instead {
        anyhow::bail!("{error}");
    }
    let parts: Vec<Parts<'_>> = queries.iter().map(|query| Parts::of(query.text())).collect();
    let mut vectors = match &local.vectors {
        Ok(cache) => {
            let texts = parts.iter().flat_map(Parts::texts).map(str::to_owned);
            let texts: Vec<String> = texts.collect();
            embed_all(cache, Role::Query, &texts)?.into_iter().flatten()
        }
        Err(error) if !lexical_only => {
            anyhow::bail!("{error}; `--arm lexical` needs no encoder")
        }
        Err(_) => Vec::new().into_iter().flatten(),
    };
    let vectors: Vec<Option<PartVectors>> = parts
        .iter()
        .map(|parts| {
            let count = 1 + parts.pieces.len();
            PartVectors::of(vectors.by_ref().take(count).map(|vector| vector.to_vec()))
        })
        .collect();
    let cases = queries.iter().zip(vectors).map(|(labelled, vectors)| {
        let texts = vec![labelled.text().to_owned()];
        let query = Query { texts, arms: args.arm, ..Query::default() };
        (labelled, query, vectors.into_iter().collect())
    });
    let cases: Vec<(&LabelledQuery, Query, Vec<PartVectors>)> = cases.collect();
    if args.replay {
        return replay::run(&local, cases, args.json);
    }
    let asked: Result<Vec<Asked>, EmbedError> = cases
        .par_iter()
        .map(|(labelled, query, vectors)| Asked::ask(&local, labelled, query, vectors, None))
        .collect();
    let asked = asked?;
    if let Some(path) = &args.features {
        write_features(path, &asked)?;
    }
    let (ranked, answered): (Vec<_>, Vec<_>) =
        asked.into_iter().map(|one| (one.asked.ranked, one.asked.answered)).unzip();
    let as_served = AsServed::of(queries.iter().zip(&answered));
    let run: BTreeMap<String, Vec<String>> =
        queries.iter().map(|query| query.id.clone()).zip(ranked).collect();
    if let Some(path) = &args.run {
        let lines: Vec<RunLine> = run
            .iter()
            .map(|(id, ranked)| RunLine { id: id.clone(), ranked: ranked.clone() })
            .collect();
        eval::write_run(path, &lines)?;
    }
    let report = eval::report(&queries, &run);
    let compare = |path: &PathBuf| {
        let old = eval::read_run(path)?;
        anyhow::Ok((path.clone(), eval::compare(&queries, &old, &run, Metric::Recall5)))
    };
    let against = args.against.as_ref().map(compare).transpose()?;
    let encoder = local.vectors.as_ref().ok().map(|cache| cache.embedder().id());
    let mut out = anstream::stdout().lock();
    if args.json {
        let tools = local.index.catalog.len();
        serde_json::to_writer(
            &mut out,
            &Output {
                encoder,
                tools,
                report: &report,
                as_served,
                against: against.as_ref().map(|(_, comparison)| comparison),
            },
        )?;
        writeln!(out)?;
        return Ok(ExitCode::SUCCESS);
    }
    writeln!(out, "{}", report.table())?;
    writeln!(out, "{}; {} queries without labels", as_served.summary(), report.unscored)?;
    if let Some((path, comparison)) = &against {
        writeln!(out, "against {}: {}", path.display(), comparison.summary())?;
        for moved in comparison.moved.iter().take(SHOWN_MOVES) {
            let (before, after) = (moved.before, moved.after);
            writeln!(out, "  {} {before:.2} -> {after:.2}", moved.id)?;
        }
    }
    Ok(ExitCode::SUCCESS)
}
