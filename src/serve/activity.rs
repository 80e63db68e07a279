//! `GET /v1/admin/activity`: what was asked lately, for operators; and the task that keeps it over
//! restarts.
//!
//! Invariant: it speaks of one service alone, the main one or a tenant's; the text of a query is in
//! it as `[audit] queries` says. Searches that are explained are not in it: they are those of people who
//! look at how searching works, as the console's are.

use std::time::{Duration, SystemTime};

use axum::extract::{RawQuery, State};
use axum::response::Response;
use schemars::JsonSchema;
use serde::Serialize;
use tokio_util::sync::CancellationToken;

use super::admin::Admin;
use super::formats;
use super::http::{Params, json};
use super::observe::Lifted;
use super::problem::Problem;
use crate::activity::asked::{Asked, MissedQuery};
use crate::activity::series::Slot;
use crate::activity::tally::{Counts, ERROR, Latency};
use crate::activity::{Activity, Range, Reading, seconds};
use crate::audit::Way;
use crate::format::{self, Family, Format};
use crate::live::Live;
use crate::search::Mode;

/// How often the hours are written down.
const SAVE: Duration = Duration::from_mins(1);
/// Tokens of a byte of definitions, where there is no tool to count.
const USUAL: f64 = 0.25;
/// What `saved_tokens` rests on.
const ASSUMPTION: &str = "saved tokens are those of every definition that the caller could have been \
    given, less those of the definitions that were returned, once a search: as of a host that would \
    send the whole catalog once for each need. Bytes are counted, and made tokens by what a sample \
    of this catalog has a byte (OpenAI's o200k)";

/// What was asked, and how that was answered.
#[derive(Debug, Serialize, JsonSchema)]
pub struct ActivityNow {
    /// The time here, in seconds since 1970.
    now_s: u64,
    /// Since when is counted, in seconds since 1970.
    since_s: u64,
    /// What is kept of queries, as `[audit] queries` says: `full`, `redact`, `hash` or `none`.
    queries: &'static str,
    /// Seconds of a slot.
    slot_s: u64,
    /// How many slots the range has.
    slots_in_range: usize,
    /// The slots in which there was anything, oldest first.
    slots: Vec<ActivitySlot>,
    /// How long the searches of the range took.
    latency: Times,
    /// Searches a second over the last half minute.
    per_second: f64,
    /// Of this day (UTC).
    today: Happened,
    /// Since it is counted.
    total: Happened,
    /// Why answers were less than hybrid since the start, most often first.
    reasons: Vec<Reason>,
    /// What is saved is reckoned from this.
    savings: Savings,
    /// Give it as `after` to hear of later queries alone.
    last: u64,
    /// The last queries, newest first.
    recent: Vec<RecentQuery>,
    /// Queries without a result since the start, most often asked first.
    missed: Vec<MissedOften>,
}

/// A span of time.
#[derive(Debug, Serialize, JsonSchema)]
pub struct ActivitySlot {
    /// When it began, in seconds since 1970.
    at_s: u64,
    #[serde(flatten)]
    happened: Happened,
    #[serde(flatten)]
    percentiles: Percentiles,
}

/// How often something happened.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Happened {
    /// Searches that were answered.
    searches: u64,
    /// Of these by words and vectors.
    hybrid: u64,
    /// By words alone.
    lexical: u64,
    /// By vectors alone.
    dense: u64,
    /// With less than is configured, for a reason.
    degraded: u64,
    /// As before in the same generation.
    cached: u64,
    /// Without any tool.
    empty: u64,
    /// With tools of which none is likely to fit.
    no_good_match: u64,
    /// Searches that were refused: they asked what can't be asked, or nothing is crawled yet.
    refused: u64,
    /// Requests to search or call that were not let in (401, 403), or came too often or too many at
    /// once (429, 503). Those of tenants are counted nowhere, those that were refused at the entrance by
    /// `toolscout_shed_total` alone.
    turned_away: u64,
    /// Calls of tools.
    calls: u64,
    /// Of these, without a result or with an error of the tool.
    failed_calls: u64,
    /// Tokens of the definitions that were returned, whole.
    sent_tokens: u64,
    /// Tokens of the definitions that were not.
    saved_tokens: u64,
}

/// Microseconds from query to ranking; absent where nothing was answered.
#[derive(Debug, Serialize, JsonSchema)]
#[expect(clippy::struct_field_names, reason = "a number has its unit in its name")]
pub struct Percentiles {
    /// Half of the searches took no longer.
    #[serde(skip_serializing_if = "Option::is_none")]
    p50_us: Option<u64>,
    /// Nine of ten.
    #[serde(skip_serializing_if = "Option::is_none")]
    p90_us: Option<u64>,
    /// 99 of 100.
    #[serde(skip_serializing_if = "Option::is_none")]
    p99_us: Option<u64>,
    /// All.
    #[serde(skip_serializing_if = "Option::is_none")]
    max_us: Option<u64>,
}

/// How long searches took.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Times {
    #[serde(flatten)]
    percentiles: Percentiles,
    /// The largest error of a time here, as a part of it.
    error: f64,
    /// How many took how long, shortest first.
    cells: Vec<TimeCell>,
}

/// How many searches took from one time to another.
#[derive(Debug, Serialize, JsonSchema)]
pub struct TimeCell {
    /// The shortest, in microseconds.
    from_us: u64,
    /// The longest, in microseconds.
    to_us: u64,
    /// How many.
    searches: u64,
}

/// Why answers were less than they could be.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Reason {
    /// As the answers say it.
    reason: String,
    /// How many had it.
    searches: u64,
}

/// What is reckoned with.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Savings {
    /// Tokens of all definitions, as they are now.
    catalog_tokens: u64,
    /// Tokens of a byte of definitions.
    tokens_per_byte: f64,
    /// What is assumed, in words.
    assumption: &'static str,
}

/// A query that was asked lately.
#[derive(Debug, Serialize, JsonSchema)]
pub struct RecentQuery {
    /// Each has a larger one than those before.
    number: u64,
    /// When it was answered, in milliseconds since 1970.
    at_ms: u64,
    /// What was asked, as far as that is kept.
    #[serde(skip_serializing_if = "Option::is_none")]
    query: Option<String>,
    /// Which way it came.
    way: Way,
    /// Who asked, as in the audit log.
    caller: String,
    /// Through which profile.
    #[serde(skip_serializing_if = "Option::is_none")]
    profile: Option<String>,
    /// It was refused, and the rest is absent.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    #[schemars(default)]
    refused: bool,
    #[serde(flatten)]
    came_to: Option<CameTo>,
}

/// What a query came to.
#[derive(Debug, Serialize, JsonSchema)]
pub struct CameTo {
    /// Microseconds from query to ranking.
    took_us: u64,
    /// The arms that ranked.
    mode: Mode,
    /// Why that is less than is configured.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    /// It was answered as before.
    cached: bool,
    /// How many tools there were.
    hits: usize,
    /// The ids of the first of them.
    best: Vec<String>,
    /// None of them is likely to fit.
    no_good_match: bool,
}

/// A query without a result.
#[derive(Debug, Serialize, JsonSchema)]
pub struct MissedOften {
    /// What was asked, as far as that is kept.
    query: String,
    /// What it left out, in the words of `GET /v1/search`: without that there may be an answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    filter: Option<String>,
    /// How often no tool was likely to fit.
    searches: u64,
    /// How often of these there was no tool at all.
    empty: u64,
    /// When it was asked last, in seconds since 1970.
    last_s: u64,
}

/// `GET /v1/admin/activity`
pub async fn show(
    State(admin): State<Admin>,
    lifted: Lifted,
    RawQuery(query): RawQuery,
) -> Result<Response, Problem> {
    let params = Params::parse(query.as_deref(), &["range", "after"])?;
    let range = params.word("range")?.unwrap_or_default();
    let after = params.number("after")?.unwrap_or(0) as u64;
    let live = admin.live;
    // Tokens are counted, and texts redacted.
    formats::aside(&lifted, true, move || json(&told(&live, range, after))).await
}

fn told(live: &Live, range: Range, after: u64) -> ActivityNow {
    let activity = live.activity();
    let Reading {
        now,
        since,
        told,
        slots,
        lately,
        lately_s,
        today,
        total,
        mut reasons,
        last,
        recent,
        missed,
    } = activity.read(range, after);
    let savings = Savings::of(live);
    let mut all = Latency::default();
    for slot in &slots {
        all.add(&slot.tally.latency);
    }
    reasons.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    let (slot_s, slots_in_range) = range.slots();
    ActivityNow {
        now_s: seconds(now),
        since_s: seconds(since),
        queries: told.name(),
        slot_s,
        slots_in_range,
        slots: slots.iter().map(|slot| ActivitySlot::of(slot, &savings)).collect(),
        latency: Times::of(&all),
        per_second: float(lately) / float(lately_s),
        today: Happened::of(today, &savings),
        total: Happened::of(total, &savings),
        reasons: reasons
            .into_iter()
            .map(|(reason, searches)| Reason { reason: reason.to_string(), searches })
            .collect(),
        savings,
        last,
        recent: recent.iter().map(|asked| RecentQuery::of(asked, activity)).collect(),
        missed: missed.iter().map(|missed| MissedOften::of(missed, activity)).collect(),
    }
}

impl Savings {
    fn of(live: &Live) -> Self {
        let index = live.index();
        let tokens = format::baseline(&index.catalog, Format::Mcp, Family::Openai);
        let tokens_per_byte = match index.definition_bytes {
            0 => USUAL,
            bytes => float(tokens as u64) / float(bytes),
        };
        Self { catalog_tokens: tokens as u64, tokens_per_byte, assumption: ASSUMPTION }
    }

    fn tokens(&self, bytes: u64) -> u64 {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "as `as` has it"
        )]
        let tokens = (float(bytes) * self.tokens_per_byte).round() as u64;
        tokens
    }
}

#[expect(clippy::cast_precision_loss, reason = "an estimate")]
fn float(number: u64) -> f64 {
    number as f64
}

impl ActivitySlot {
    fn of(slot: &Slot, savings: &Savings) -> Self {
        Self {
            at_s: slot.at,
            happened: Happened::of(slot.tally.counts, savings),
            percentiles: Percentiles::of(&slot.tally.latency),
        }
    }
}

impl Happened {
    fn of(counts: Counts, savings: &Savings) -> Self {
        Self {
            searches: counts.searches,
            hybrid: counts.searches.saturating_sub(counts.lexical + counts.dense),
            lexical: counts.lexical,
            dense: counts.dense,
            degraded: counts.degraded,
            cached: counts.cached,
            empty: counts.empty,
            no_good_match: counts.no_good_match,
            refused: counts.refused,
            turned_away: counts.turned_away,
            calls: counts.calls,
            failed_calls: counts.failed_calls,
            sent_tokens: savings.tokens(counts.sent_bytes),
            saved_tokens: savings.tokens(counts.saved_bytes()),
        }
    }
}

impl Percentiles {
    fn of(latency: &Latency) -> Self {
        Self {
            p50_us: latency.quantile(0.5),
            p90_us: latency.quantile(0.9),
            p99_us: latency.quantile(0.99),
            max_us: latency.longest(),
        }
    }
}

impl Times {
    fn of(latency: &Latency) -> Self {
        let cells = latency.cells().into_iter();
        let cells =
            cells.map(|cell| TimeCell { from_us: cell.from, to_us: cell.to, searches: cell.count });
        Self { percentiles: Percentiles::of(latency), error: ERROR, cells: cells.collect() }
    }
}

impl RecentQuery {
    fn of(asked: &Asked, activity: &Activity) -> Self {
        let at = asked.at.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        Self {
            number: asked.number,
            at_ms: u64::try_from(at.as_millis()).unwrap_or(u64::MAX),
            query: activity.shown(asked).map(str::to_owned),
            way: asked.way,
            caller: asked.caller.to_string(),
            profile: asked.profile.as_deref().map(str::to_owned),
            refused: asked.found.is_none(),
            came_to: asked.found.as_ref().map(|found| CameTo {
                took_us: found.took_us,
                mode: found.mode,
                reason: found.reason.clone(),
                cached: found.cached,
                hits: found.hits,
                best: found.best.iter().map(ToString::to_string).collect(),
                no_good_match: found.no_good_match,
            }),
        }
    }
}

impl MissedOften {
    fn of(missed: &MissedQuery, activity: &Activity) -> Self {
        Self {
            query: missed.shown(activity).to_owned(),
            filter: (!missed.filter.is_empty()).then(|| missed.filter.to_string()),
            searches: missed.searches,
            empty: missed.empty,
            last_s: seconds(missed.last),
        }
    }
}

/// Writes what `live` counts down every minute until `end`, and once more then.
pub async fn keep(live: Live, end: CancellationToken) {
    loop {
        let goes_on = end.run_until_cancelled(tokio::time::sleep(SAVE)).await.is_some();
        let activity = live.activity().clone();
        let saved = tokio::task::spawn_blocking(move || activity.save()).await;
        if let Ok(Err(error)) = saved {
            tracing::warn!("a restart forgets the activity of this hour: {error}");
        }
        if !goes_on {
            return;
        }
    }
}
