//! `toolscout search`: one question, answered here or by a running toolscout.

mod why;

use std::io::Write;
use std::process::ExitCode;

use anyhow::{Context, bail};
use clap::ValueEnum;
use reqwest::StatusCode;
use serde_json::Value;
use url::Url;

use super::local::Local;
use super::remote::unanswered;
use super::serve::no_profile;
use super::sources::variable;
use super::{LogFormat, SearchArgs, crawl, log};
use crate::auth::Accounts;
use crate::catalog::{Catalog, file};
use crate::config::{Config, ServerConfig, Transport};
use crate::demo;
use crate::format::signature::sentence;
use crate::index::snapshot;
use crate::search::{Arms, Query};
use crate::serve::{self, Wants};
use crate::tool::hints::HintFilter;
use crate::tool::{ServerId, ToolId};

/// The longest sentence on a tool.
const MAX_ABOUT: usize = 110;

/// Runs the subcommand.
pub fn run(args: &SearchArgs) -> anyhow::Result<ExitCode> {
    let lines = log::start(LogFormat::Text, true);
    let query = query(args);
    query.check(|_| true)?;
    let body = if let Some(url) = &args.url {
        ask_running(args, url)?
    } else {
        let config = args.sources.resolve()?;
        let profile = args.profile.as_ref().map(|name| {
            let profile = config.profiles.get(name.as_str());
            profile.with_context(|| no_profile(name, &config))
        });
        let profile = profile.transpose()?;
        let catalog = catalog(&config, &lines)?;
        let mut local = Local::build(catalog, &config, query.arms == Arms::Lexical)?;
        let mut wants = wants(args);
        if let Some(profile) = profile {
            local.see(profile);
            wants = wants.or(&profile.defaults);
        }
        serve::answer_body(&local.ask(&query)?, &local.index.catalog, &wants)
    };
    let mut out = anstream::stdout().lock();
    if args.json || args.format.is_some() {
        writeln!(out, "{body}")?;
        return Ok(ExitCode::SUCCESS);
    }
    let answer: Value = serde_json::from_str(&body).context("the answer is not JSON")?;
    // A profile may say the format as well.
    if answer["tools"].is_null() {
        writeln!(out, "{body}")?;
    } else {
        write!(out, "{}", table(&answer))?;
    }
    Ok(ExitCode::SUCCESS)
}

fn wants(args: &SearchArgs) -> Wants {
    Wants {
        format: args.format,
        token_budget: args.token_budget.map(|tokens| tokens as usize),
        family: args.family,
        ..Wants::default()
    }
}

fn query(args: &SearchArgs) -> Query {
    Query {
        texts: vec![args.query.join(" ")],
        limit: args.limit.map(usize::from),
        servers: args.server.iter().map(|id| ServerId::from(id.as_str())).collect(),
        hints: HintFilter { read_only: args.read_only.then_some(true), ..HintFilter::default() },
        explain: args.explain,
        why: args.why.as_deref().map(ToolId::from),
        arms: args.arm,
    }
}

/// The tools of the configuration: from files, from the demo, from the snapshot of a service that
/// has crawled them; only what is nowhere else is crawled.
fn catalog(config: &Config, lines: &indicatif::MultiProgress) -> anyhow::Result<Catalog> {
    let (mut catalog, mut live) = at_hand(config)?;
    if live.servers.is_empty() {
        return Ok(catalog);
    }
    let path = config.snapshot_path();
    let saved = snapshot::load(&path).unwrap_or_else(|error| {
        tracing::warn!("{error}: crawling instead");
        None
    });
    let accounts = Accounts::open(config)?;
    let who = |server: &ServerConfig| accounts.who(server);
    let known = saved
        .map(|(_, saved)| saved.retain_of(|server, tool| live.admits(server, tool, who)))
        .unwrap_or_default();
    live.servers.retain(|server| known.server(server.id.as_str()).is_none());
    if !live.servers.is_empty() {
        let (crawled, rows) = crawl::crawl_all(&live, lines)?;
        crawl::warn_of_failed(&rows);
        catalog = catalog.join(&crawled);
    }
    Ok(catalog.join(&known))
}

/// The tools of the configuration as its servers offer them now, and the servers that did not say.
pub(super) fn catalog_now(
    config: &Config,
    lines: &indicatif::MultiProgress,
) -> anyhow::Result<(Catalog, Vec<ServerId>)> {
    let (catalog, live) = at_hand(config)?;
    if live.servers.is_empty() {
        return Ok((catalog, Vec::new()));
    }
    let (crawled, rows) = crawl::crawl_all(&live, lines)?;
    Ok((catalog.join(&crawled), crawl::warn_of_failed(&rows)))
}

/// The tools of files and of the demo, and the configuration of what has to be crawled.
fn at_hand(config: &Config) -> anyhow::Result<(Catalog, Config)> {
    let mut listings = Vec::new();
    let mut live = Config { servers: Vec::new(), demo: false, ..config.clone() };
    for server in config.servers.iter().filter(|server| server.enabled) {
        match &server.transport {
            Transport::Catalog { path, servers } => {
                for (id, mut listing) in file::read(path, servers.as_deref())? {
                    listing.tools.retain(|tool| server.names.admits(&tool.name));
                    listings.push((id, listing));
                }
            }
            _ => live.servers.push(server.clone()),
        }
    }
    if config.demo {
        listings.extend(demo::catalog()?);
    }
    Ok((Catalog::from_listings(listings), live))
}

fn ask_running(args: &SearchArgs, url: &Url) -> anyhow::Result<String> {
    let mut url = url.clone();
    let path = format!("{}/v1/search", url.path().trim_end_matches('/'));
    url.set_path(&path);
    {
        let mut pairs = url.query_pairs_mut();
        pairs.append_pair("q", &args.query.join(" "));
        if let Some(limit) = args.limit {
            pairs.append_pair("limit", &limit.to_string());
        }
        for server in &args.server {
            pairs.append_pair("server", server);
        }
        if let Some(profile) = &args.profile {
            pairs.append_pair("profile", profile);
        }
        if args.read_only {
            pairs.append_pair("read_only", "1");
        }
        if args.explain {
            pairs.append_pair("explain", "1");
        }
        if let Some(format) = args.format {
            pairs.append_pair("format", &word(&format));
        }
        if let Some(tokens) = args.token_budget {
            pairs.append_pair("token_budget", &tokens.to_string());
        }
        if let Some(family) = args.family {
            pairs.append_pair("family", &word(&family));
        }
        if let Some(id) = &args.why {
            pairs.append_pair("why", id);
        }
        if args.arm != Arms::default() {
            pairs.append_pair("arm", &word(&args.arm));
        }
    }
    super::runtime()?.block_on(async {
        let mut request = args.tls.client(None)?.build()?.get(url.clone());
        let key = key(args)?;
        if let Some(key) = &key {
            request = request.bearer_auth(key);
        }
        let response = request.send().await.map_err(|error| {
            let told = unanswered(&error, &url.origin().ascii_serialization());
            anyhow::Error::new(error).context(told)
        })?;
        let status = response.status();
        let body = response.text().await?;
        if !status.is_success() {
            let problem: Value = serde_json::from_str(&body).unwrap_or_default();
            let unasked = status == StatusCode::UNAUTHORIZED && key.is_none();
            let how = if unasked { " (here: --key-file, or TOOLSCOUT_KEY)" } else { "" };
            bail!("{}{how}", problem["detail"].as_str().unwrap_or(status.as_str()));
        }
        Ok(body)
    })
}

/// What is shown to a running toolscout.
fn key(args: &SearchArgs) -> anyhow::Result<Option<String>> {
    let text = match &args.key_file {
        Some(file) => std::fs::read_to_string(file)
            .with_context(|| format!("can't read {}", file.display()))?,
        None => variable("TOOLSCOUT_KEY").unwrap_or_default(),
    };
    let text = text.trim();
    Ok((!text.is_empty()).then(|| text.to_owned()))
}

/// As it is written in a request.
fn word(value: &impl ValueEnum) -> String {
    value.to_possible_value().map_or_else(String::new, |value| value.get_name().to_owned())
}

/// The answer for a person.
fn table(answer: &Value) -> String {
    use std::fmt::Write;

    let bold = anstyle::Style::new().bold();
    let dim = anstyle::Style::new().dimmed();
    let mut text = String::new();
    for (at, tool) in answer["tools"].as_array().into_iter().flatten().enumerate() {
        let score = tool["score"].as_f64().unwrap_or_default();
        let id = tool["id"].as_str().unwrap_or_default();
        let about = tool["definition"]["description"].as_str().unwrap_or_default();
        let about = sentence(about, MAX_ABOUT);
        let sure = 100.0 * tool["confidence"].as_f64().unwrap_or_default();
        let _ =
            writeln!(text, "{:>2}. {bold}{id}{bold:#} {dim}{score:.3}, {sure:.0} %{dim:#}", at + 1);
        if !about.is_empty() {
            let _ = writeln!(text, "    {about}");
        }
        let beside: Vec<&str> = strings(&tool["duplicates"]).collect();
        if tool["pinned"] == true {
            let _ = writeln!(text, "    {dim}pinned{dim:#}");
        }
        if !beside.is_empty() {
            let _ = writeln!(text, "    {dim}the same: {}{dim:#}", beside.join(", "));
        }
        if let Some(explain) = tool.get("explain") {
            let _ = writeln!(text, "    {dim}{}{dim:#}", reasons(explain));
        }
    }
    if text.is_empty() {
        text.push_str("no tool fits\n");
    }
    if answer["no_good_match"] == true && answer["tools"] != Value::Array(Vec::new()) {
        text.push_str("none of these is likely to be what is looked for\n");
    }
    if let Some(why) = answer.get("why") {
        text.push_str(&why::told(why));
    }
    let count = answer["tools"].as_array().map_or(0, Vec::len);
    let mode = answer["mode"].as_str().unwrap_or_default();
    let took = answer["took_us"].as_f64().unwrap_or_default() / 1000.0;
    let _ = write!(text, "{dim}{count} tools, {mode}, {took:.1} ms");
    if let Some(reason) = answer["reason"].as_str() {
        let _ = write!(text, " ({reason})");
    }
    for stale in answer["stale"].as_array().into_iter().flatten() {
        let server = stale["server"].as_str().unwrap_or_default();
        let _ = write!(text, "; {server} is stale since {} s", stale["age_s"]);
    }
    if let Some(tokens) = answer.get("tokens") {
        let (returned, budget, baseline) =
            (&tokens["returned"], &tokens["budget"], &tokens["baseline"]);
        let _ = write!(text, "; {returned} of {budget} tokens, all tools have {baseline}");
    }
    let _ = writeln!(text, "{dim:#}");
    text
}

fn reasons(explain: &Value) -> String {
    let mut parts = places(explain);
    for (field, terms) in explain["matched"].as_object().into_iter().flatten() {
        let terms: Vec<&str> = strings(terms).collect();
        parts.push(format!("{field}: {}", terms.join(" ")));
    }
    parts.join("; ")
}

/// Whether the query names the tool, and its places in the arms.
fn places(explain: &Value) -> Vec<String> {
    let mut parts = Vec::new();
    if explain["exact_name"] == true {
        parts.push("named in the query".to_owned());
    }
    if let Some(boost) = explain["boost"].as_f64() {
        parts.push(format!("boosted by {boost:.2}"));
    }
    for arm in ["lexical", "dense"] {
        if let (Some(rank), Some(score)) =
            (explain[arm]["rank"].as_u64(), explain[arm]["score"].as_f64())
        {
            parts.push(format!("{arm} #{rank} ({score:.3})"));
        }
    }
    if let (Some(lift), Some(evidence)) =
        (explain["learned"]["lift"].as_f64(), explain["learned"]["evidence"].as_u64())
    {
        parts.push(format!("chosen after {evidence} queries like this one (+{lift:.3})"));
    }
    parts
}

fn strings(list: &Value) -> impl Iterator<Item = &str> {
    list.as_array().into_iter().flatten().filter_map(Value::as_str)
}
