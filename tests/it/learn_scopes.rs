//! What one scope has learned is none of another's; calls count for the searches before them.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;
use toolscout::learn::book::Which;
use toolscout::learn::{Outcome, Rules};
use toolscout::live::Live;
use toolscout::live::learner::Learner;
use toolscout::search::Query;
use toolscout::tool::ToolId;

use crate::support::app::{SERVERS, catalog};

const WORDS: [&str; 8] = ["event", "meeting", "mail", "file", "disk", "send", "list", "party"];
/// Nothing fades while a test runs, so that two that were told the same weigh the same.
const RULES: Rules = Rules { half_life: Duration::from_hours(1 << 20), max_events: 1_000 };

/// An index that learns, without an encoder: words say what is alike.
async fn learning(data: &Path, shutdown: &CancellationToken) -> (Live, Learner) {
    let live = Live::from_catalog(catalog(SERVERS));
    let learner = Learner::open(RULES, data.join("evidence.book")).await.unwrap();
    live.learn(learner.clone());
    tokio::spawn(learner.clone().run(live.clone(), shutdown.clone()));
    (live, learner)
}

fn query(text: &str) -> Query {
    Query { texts: vec![text.to_owned()], explain: true, ..Query::default() }
}

/// As a host asks it.
fn plain(text: &str) -> Query {
    Query { explain: false, ..query(text) }
}

/// Everything that an answer says of its tools.
async fn asked(live: &Live, text: &str) -> Vec<String> {
    let answer = live.search(&query(text)).await.unwrap();
    answer
        .hits
        .iter()
        .map(|hit| format!("{} {} {:?}", hit.tool.id, hit.score, hit.explain))
        .collect()
}

fn text(random: &mut fastrand::Rng) -> String {
    let words: Vec<&str> = (0..random.usize(1..4)).map(|_| WORDS[random.usize(..8)]).collect();
    words.join(" ")
}

#[tokio::test]
async fn the_events_of_one_scope_change_nothing_in_another() {
    for seed in 0..3 {
        let mut random = fastrand::Rng::with_seed(seed);
        let (alone, beside) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let shutdown = CancellationToken::new();
        let (alone, of_one) = learning(alone.path(), &shutdown).await;
        let (beside, of_two) = learning(beside.path(), &shutdown).await;
        let tools: Vec<ToolId> =
            alone.catalog().tools().iter().map(|tool| tool.id.clone()).collect();
        for _ in 0..60 {
            let (texts, tool) = ([text(&mut random)], &tools[random.usize(..tools.len())]);
            let outcome = if random.u8(..4) == 0 { Outcome::Wrong } else { Outcome::Chosen };
            if random.bool() {
                of_two.note("team", &texts, tool, outcome).unwrap();
                continue;
            }
            for learner in [&of_one, &of_two] {
                learner.note("", &texts, tool, outcome).unwrap();
            }
        }
        of_one.settled().await;
        of_two.settled().await;
        let mut lifted = false;
        for _ in 0..40 {
            let text = text(&mut random);
            let (one, two) = (asked(&alone, &text).await, asked(&beside, &text).await);
            lifted |= one.iter().any(|hit| hit.contains("Lifted"));
            assert_eq!(one, two, "{text}");
        }
        assert!(lifted, "evidence has to say something for the test to say something");
        assert!(of_two.learned("team").is_some() && of_one.learned("team").is_none());
        let team = Which { scope: Some("team".into()), ..Which::default() };
        let count = of_two.list(&team).len();
        let all = of_two.list(&Which::default()).len();
        assert_eq!(of_two.forget(&team).await, count);
        assert_eq!(of_two.list(&Which::default()).len(), all - count);
        assert!(of_two.learned("team").is_none() && of_two.learned("").is_some());
        shutdown.cancel();
    }
}

#[tokio::test]
async fn erasing_everything_brings_the_ranking_back_exactly() {
    let data = tempfile::tempdir().unwrap();
    let shutdown = CancellationToken::new();
    let (live, learner) = learning(data.path(), &shutdown).await;
    let plain = Live::from_catalog(catalog(SERVERS));
    let mut random = fastrand::Rng::with_seed(7);
    let tools: Vec<ToolId> = live.catalog().tools().iter().map(|tool| tool.id.clone()).collect();
    for _ in 0..50 {
        let tool = &tools[random.usize(..tools.len())];
        learner.note("", &[text(&mut random)], tool, Outcome::Chosen).unwrap();
    }
    learner.settled().await;
    let texts: Vec<String> = (0..40).map(|_| text(&mut random)).collect();
    let mut moved = 0;
    for text in &texts {
        moved += usize::from(asked(&live, text).await != asked(&plain, text).await);
    }
    assert!(moved > 10, "{moved}");
    learner.forget(&Which::default()).await;
    for text in &texts {
        assert_eq!(asked(&live, text).await, asked(&plain, text).await, "{text}");
    }
    shutdown.cancel();
}

#[tokio::test]
async fn a_call_counts_for_the_search_that_found_the_tool() {
    let data = tempfile::tempdir().unwrap();
    let shutdown = CancellationToken::new();
    let (live, learner) = learning(data.path(), &shutdown).await;
    let known = || -> Vec<(String, String, u32)> {
        let all = learner.list(&Which::default()).into_iter();
        all.map(|noted| (noted.query, noted.tool, noted.evidence.times)).collect()
    };
    let tool = ToolId::from("calendar/create_event");
    live.note_use(&tool);
    assert_eq!(known(), [], "nobody had searched for it");
    // Nor has whoever looks at how it would be found.
    live.search(&query("make an event")).await.unwrap();
    live.note_use(&tool);
    assert_eq!(known(), []);
    live.search(&plain("plan a meeting")).await.unwrap();
    live.search(&plain("read the disk")).await.unwrap();
    live.note_use(&tool);
    live.note_use(&tool);
    live.note_use(&ToolId::from("calendar/none"));
    let noted = ("plan a meeting".to_owned(), "calendar/create_event".to_owned(), 1);
    assert_eq!(known(), [noted]);
    learner.settled().await;
    let hits = live.search(&query("plan the meeting")).await.unwrap().hits;
    let lifted: Arc<_> = Arc::clone(&hits[0].tool);
    assert_eq!(lifted.id, tool);
    assert!(hits[0].explain.as_ref().unwrap().learned.is_some());
    // What was asked before an erasure is not learned after it.
    live.search(&plain("a party on the disk")).await.unwrap();
    learner.forget(&Which::default()).await;
    live.note_use(&ToolId::from("files/read_file"));
    assert_eq!(known(), []);
    shutdown.cancel();
}
