//! The last queries, and those that found nothing.
//!
//! Invariant: of a text is kept what the policy says and no more: all of it, to be shown whole or
//! without what looks like a person's or a secret; its keyed hash; nothing. How much is kept is
//! bounded in number and in bytes.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::{Arc, OnceLock};
use std::time::SystemTime;

use super::{NAMED, Search};
use crate::audit::Way;
use crate::config::Told;
use crate::redact;
use crate::search::{Answer, Mode, Query};
use crate::tool::ToolId;

/// Queries that are remembered.
const MOST: usize = 200;
/// Bytes that their texts have together.
const MOST_BYTES: usize = 256 << 10;
/// The longest text that is kept whole.
const LONGEST: usize = 4_096;
/// So much of what a query was filtered by is told.
const LONGEST_FILTER: usize = 256;
/// Queries without a result that are told.
const MOST_TOLD: usize = 50;
/// What stands between phrasings.
const BETWEEN: &str = " | ";

/// What is kept of texts.
pub struct Policy {
    told: Told,
    /// Of the hashes: a short text could be guessed from one that anybody can make.
    key: [u8; 32],
}

impl Policy {
    /// Keeps so much.
    pub fn new(told: Told) -> Self {
        let mut key = [0; 32];
        fastrand::Rng::new().fill(&mut key);
        if getrandom::fill(&mut key).is_err() {
            tracing::warn!("there is no good randomness: hashes of queries could be guessed");
        }
        Self { told, key }
    }

    /// How much is kept.
    pub fn told(&self) -> Told {
        self.told
    }

    /// What is kept of these phrasings.
    pub fn keep(&self, texts: &[String]) -> Option<Arc<Text>> {
        let text = match self.told {
            Told::None => return None,
            Told::Full | Told::Redact => cut(&texts.join(BETWEEN)).to_owned(),
            Told::Hash => {
                let hash = blake3::keyed_hash(&self.key, texts.join(BETWEEN).as_bytes());
                format!("blake3:{}", &hash.to_hex()[..32])
            }
        };
        Some(Arc::new(Text { kept: text, shown: OnceLock::new() }))
    }
}

/// The beginning of a long text, to the end of a word: the half of a secret may not look like one.
fn cut(text: &str) -> &str {
    if text.len() <= LONGEST {
        return text;
    }
    let start = &text[..text.floor_char_boundary(LONGEST)];
    start.rfind(char::is_whitespace).map_or("", |end| &start[..end])
}

/// What a query leaves out, in the words of `GET /v1/search`; empty where that is nothing.
pub(super) fn filter_of(query: &Query) -> String {
    let hints = &query.hints;
    let hints = [
        ("read_only", hints.read_only),
        ("destructive", hints.destructive),
        ("open_world", hints.open_world),
    ];
    let servers = query.servers.iter().map(|server| format!("server={server}"));
    let hints = hints.into_iter().filter_map(|(name, wanted)| Some(format!("{name}={}", wanted?)));
    let mut filter = servers.chain(hints).collect::<Vec<_>>().join(" ");
    if filter.len() > LONGEST_FILTER {
        filter.truncate(filter.floor_char_boundary(LONGEST_FILTER));
        filter.push('…');
    }
    filter
}

/// The text of a query, as far as it is kept.
pub struct Text {
    kept: String,
    shown: OnceLock<String>,
}

impl Text {
    /// As it may be shown. What is taken out is looked for when it is shown first: that takes longer
    /// than a search.
    pub fn shown(&self, policy: &Policy) -> &str {
        match policy.told {
            Told::Redact => self.shown.get_or_init(|| redact::text(&self.kept)),
            Told::Full | Told::Hash | Told::None => &self.kept,
        }
    }
}

/// A query that was asked.
pub struct Asked {
    /// Each has the next.
    pub number: u64,
    /// When it was answered.
    pub at: SystemTime,
    /// What was asked, as far as that is kept.
    pub text: Option<Arc<Text>>,
    /// Which way it came.
    pub way: Way,
    /// Who asked.
    pub caller: Arc<str>,
    /// Through which profile.
    pub profile: Option<Arc<str>>,
    /// What it came to; `None` where it was refused.
    pub found: Option<Found>,
}

/// What a query came to.
pub struct Found {
    /// Microseconds.
    pub took_us: u64,
    /// The arms that ranked.
    pub mode: Mode,
    /// Why that is less than is configured.
    pub reason: Option<String>,
    /// It was answered as before.
    pub cached: bool,
    /// How many tools.
    pub hits: usize,
    /// The first of them.
    pub best: Vec<ToolId>,
    /// None of them is likely to fit.
    pub no_good_match: bool,
}

impl Asked {
    pub(super) fn refused(
        number: u64,
        at: SystemTime,
        text: Option<Arc<Text>>,
        search: Search<'_>,
    ) -> Self {
        let Search { way, caller, profile, .. } = search;
        Self { number, at, text, way, caller, profile, found: None }
    }

    pub(super) fn answered(
        number: u64,
        at: SystemTime,
        text: Option<Arc<Text>>,
        search: Search<'_>,
        answer: &Answer,
    ) -> Self {
        let found = Found {
            took_us: answer.took_us,
            mode: answer.mode,
            reason: answer.reason.clone(),
            cached: answer.repeated,
            hits: answer.hits.len(),
            best: answer.hits.iter().take(NAMED).map(|hit| hit.tool.id.clone()).collect(),
            no_good_match: answer.no_good_match,
        };
        Self { found: Some(found), ..Self::refused(number, at, text, search) }
    }

    fn bytes(&self) -> usize {
        self.text.as_ref().map_or(0, |text| text.kept.len())
    }
}

/// The last queries.
#[derive(Default)]
pub struct Recent {
    /// Oldest first.
    all: VecDeque<Arc<Asked>>,
    bytes: usize,
    last: u64,
}

impl Recent {
    /// None yet. The first number is of the clock, so that whoever knows the last one of the process
    /// before hears of all.
    pub fn after_start() -> Self {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        Self { last: u64::try_from(now.as_micros()).unwrap_or_default(), ..Self::default() }
    }

    /// The number of the next.
    pub fn next(&self) -> u64 {
        self.last + 1
    }

    /// The number of the last.
    pub fn last(&self) -> u64 {
        self.last
    }

    /// One more.
    pub fn add(&mut self, asked: Asked) {
        self.last = asked.number;
        self.bytes += asked.bytes();
        self.all.push_back(Arc::new(asked));
        while self.all.len() > MOST || self.bytes > MOST_BYTES {
            let Some(oldest) = self.all.pop_front() else { break };
            self.bytes -= oldest.bytes();
        }
    }

    /// Those after that number, newest first.
    pub fn after(&self, number: u64) -> Vec<Arc<Asked>> {
        self.all.iter().rev().take_while(|asked| asked.number > number).cloned().collect()
    }
}

/// A query that found nothing, and how often.
#[derive(Clone)]
pub struct MissedQuery {
    text: Arc<Text>,
    /// What it left out, in the words of a request; mostly empty.
    pub filter: Arc<str>,
    /// How often it was asked.
    pub searches: u64,
    /// How often there was no tool at all.
    pub empty: u64,
    /// When it was asked last.
    pub last: SystemTime,
}

impl MissedQuery {
    /// What was asked; redacted by [`merge`] already.
    pub fn shown(&self, activity: &super::Activity) -> &str {
        self.text.shown(&activity.0.policy)
    }
}

/// The queries that found nothing.
#[derive(Default)]
pub struct Missed {
    /// By text and filter: what there is nothing of on one server may be there on another.
    all: HashMap<(String, Arc<str>), MissedQuery>,
    bytes: usize,
}

impl Missed {
    /// One more; `is_empty` where there was no tool at all, and not just none that is likely to fit.
    pub fn add(&mut self, text: &Arc<Text>, filter: &str, is_empty: bool, at: SystemTime) {
        let empty = u64::from(is_empty);
        let key = (text.kept.clone(), Arc::<str>::from(filter));
        if let Some(known) = self.all.get_mut(&key) {
            known.searches += 1;
            known.empty += empty;
            known.last = at;
            return;
        }
        self.bytes += text.kept.len() + filter.len();
        let (text, filter) = (Arc::clone(text), Arc::clone(&key.1));
        self.all.insert(key, MissedQuery { text, filter, searches: 1, empty, last: at });
        while self.all.len() > MOST || self.bytes > MOST_BYTES {
            // The one that was asked least, and longest ago.
            let least = self.all.iter().min_by_key(|(_, missed)| (missed.searches, missed.last));
            let Some(least) = least.map(|(key, _)| key.clone()) else { break };
            self.bytes -= least.0.len() + least.1.len();
            self.all.remove(&least);
        }
    }

    /// All of them.
    pub fn all(&self) -> Vec<MissedQuery> {
        self.all.values().cloned().collect()
    }
}

/// Those that are shown alike become one; the most often asked come first.
pub(super) fn merge(all: Vec<MissedQuery>, policy: &Policy) -> Vec<MissedQuery> {
    let mut merged: BTreeMap<(String, Arc<str>), MissedQuery> = BTreeMap::new();
    for one in all {
        match merged.entry((one.text.shown(policy).to_owned(), Arc::clone(&one.filter))) {
            std::collections::btree_map::Entry::Vacant(free) => {
                free.insert(one);
            }
            std::collections::btree_map::Entry::Occupied(mut known) => {
                let known = known.get_mut();
                known.searches += one.searches;
                known.empty += one.empty;
                known.last = known.last.max(one.last);
            }
        }
    }
    let mut merged: Vec<_> = merged.into_values().collect();
    merged.sort_by_key(|missed| std::cmp::Reverse((missed.searches, missed.last)));
    merged.truncate(MOST_TOLD);
    merged
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use super::*;

    fn asked(number: u64, text: &Arc<Text>) -> Asked {
        let (way, caller) = (Way::Http, "ada".into());
        let text = Some(Arc::clone(text));
        Asked { number, at: UNIX_EPOCH, text, way, caller, profile: None, found: None }
    }

    #[test]
    fn of_a_text_is_kept_what_the_policy_says() {
        let texts = ["mail ada@example.com".to_owned(), "write".to_owned()];
        let shown = |told| {
            let policy = Policy::new(told);
            let text = policy.keep(&texts)?;
            assert!(matches!(told, Told::Full | Told::Redact) == text.kept.contains("ada@"));
            Some(text.shown(&policy).to_owned())
        };
        assert_eq!(shown(Told::Full).unwrap(), "mail ada@example.com | write");
        assert_eq!(shown(Told::Redact).unwrap(), "mail [email] | write");
        assert_eq!(shown(Told::None), None);
        let hash = shown(Told::Hash).unwrap();
        assert!(hash.starts_with("blake3:") && hash.len() == 39, "{hash}");
        // Of another process it is another.
        assert_ne!(shown(Told::Hash).unwrap(), hash);
        let policy = Policy::new(Told::Hash);
        let again = || policy.keep(&texts).unwrap().kept.clone();
        assert_eq!(again(), again());
    }

    #[test]
    fn a_long_text_is_cut_between_words_and_never_inside_of_one() {
        let policy = Policy::new(Told::Redact);
        let long = format!("{} ada@example.com", "word ".repeat(LONGEST / 5 - 1));
        let kept = policy.keep(&[long]).unwrap();
        assert!(kept.kept.len() < LONGEST && !kept.kept.contains("ada"), "{}", kept.kept.len());
        assert_eq!(policy.keep(&["é".repeat(LONGEST)]).unwrap().kept, "");
    }

    #[test]
    fn the_last_queries_are_bounded_in_number_and_bytes() {
        let policy = Policy::new(Told::Full);
        let short = policy.keep(&["ring".to_owned()]).unwrap();
        let mut recent = Recent::default();
        for _ in 0..MOST + 50 {
            recent.add(asked(recent.next(), &short));
        }
        let numbers = |recent: &Recent, after| -> Vec<u64> {
            recent.after(after).iter().map(|asked| asked.number).collect()
        };
        assert_eq!((recent.all.len(), recent.bytes, recent.last()), (MOST, MOST * 4, 250));
        assert_eq!(numbers(&recent, 247), [250, 249, 248]);
        assert_eq!(numbers(&recent, 250), Vec::<u64>::new());
        let long = policy.keep(&["x".repeat(LONGEST)]).unwrap();
        for _ in 0..MOST {
            recent.add(asked(recent.next(), &long));
        }
        assert_eq!(recent.all.len(), MOST_BYTES / LONGEST);
        assert_eq!(recent.bytes, MOST_BYTES);
    }

    #[test]
    fn of_what_found_nothing_the_most_often_asked_stay_and_those_shown_alike_are_one() {
        let policy = Policy::new(Told::Redact);
        let text = |text: &str| policy.keep(&[text.to_owned()]).unwrap();
        let at = |seconds| UNIX_EPOCH + Duration::from_secs(seconds);
        let mut missed = Missed::default();
        for _ in 0..3 {
            missed.add(&text("often"), "", true, at(1));
        }
        missed.add(&text("write to ada@example.com"), "", false, at(2));
        missed.add(&text("write to bob@example.com"), "", true, at(3));
        missed.add(&text("often"), "server=mail", true, at(1));
        let told = |missed: &Missed| -> Vec<(String, u64, u64)> {
            let merged = merge(missed.all(), &policy);
            merged
                .iter()
                .map(|one| (one.text.shown(&policy).to_owned(), one.searches, one.empty))
                .collect()
        };
        // With a filter it is another query.
        let expected = [
            ("often".to_owned(), 3, 3),
            ("write to [email]".to_owned(), 2, 1),
            ("often".to_owned(), 1, 1),
        ];
        assert_eq!(told(&missed), expected);
        for number in 0..MOST as u64 {
            missed.add(&text(&format!("query number {number}")), "", true, at(10 + number));
        }
        assert_eq!(missed.all.len(), MOST);
        assert_eq!(told(&missed)[0], expected[0]);
    }
}
