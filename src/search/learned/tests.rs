use proptest::prelude::*;

use super::super::fuse::tests::{ENCODER, INDEX, WORDS, vectors_of};
use super::super::{Query, Ranking, rank, rank_with};
use super::*;
use crate::embed::{Embedder, Role};
use crate::tool::ServerId;

/// Evidence: words of the query, which tool, what it weighs.
type Told = (Vec<usize>, usize, f32);

fn vector(text: &str) -> Vec<f32> {
    ENCODER.embed(Role::Query, &[text], None).unwrap().remove(0)
}

fn space() -> Space {
    Space::of(ENCODER.id(), &UNLIKE.map(vector))
}

fn text(words: &[usize]) -> String {
    words.iter().map(|at| WORDS[*at]).collect::<Vec<_>>().join(" ")
}

/// Its queries are apart, as they are in a book.
fn taught(told: &[Told]) -> Vec<Taught> {
    let mut by_text: BTreeMap<String, BTreeMap<ToolId, f32>> = BTreeMap::new();
    for (words, tool, weight) in told {
        let id = INDEX.catalog.tools()[*tool].id.clone();
        by_text.entry(text(words)).or_default().insert(id, *weight);
    }
    let taught = by_text.into_iter().map(|(text, tools)| Taught {
        vector: Some(vector(&text).into()),
        text: text.into(),
        tools: tools.into_iter().collect(),
    });
    taught.collect()
}

fn learned(told: &[Told]) -> Learned {
    Learned::of(taught(told), Some(space()))
}

fn query(words: &[usize]) -> Query {
    Query { texts: vec![text(words)], ..Query::default() }
}

fn ask(query: &Query, learned: &Learned) -> Ranking {
    rank_with(&INDEX, query, &vectors_of(query), Some((learned, Some(ENCODER.id()))))
}

fn of_all(id: &ToolId) -> Option<ToolIdx> {
    INDEX.catalog.position(id.as_str())
}

fn lifts(query: &Query, learned: &Learned) -> BTreeMap<ToolId, Lifted> {
    let lifts = learned.lifts(&query.texts, &vectors_of(query), Some(ENCODER.id()), of_all);
    lifts.into_iter().map(|(tool, lifted)| (INDEX.catalog.tool(tool).id.clone(), lifted)).collect()
}

fn evidence(least: f32) -> impl Strategy<Value = Vec<Told>> {
    let words = prop::collection::vec(0..WORDS.len(), 1..4);
    prop::collection::vec((words, 0..64_usize, least..3.0_f32), 0..40)
}

fn asked() -> impl Strategy<Value = Vec<usize>> {
    prop::collection::vec(0..WORDS.len(), 1..5)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Votes counted one by one, over all kept queries.
    #[test]
    fn lifts_agree_with_a_naive_model(told in evidence(-3.0), asked in asked()) {
        let (taught, space) = (taught(&told), space());
        let of_query = vector(&text(&asked));
        let mut near: Vec<(f32, &Taught)> = taught
            .iter()
            .map(|one| {
                let vector = one.vector.as_ref().unwrap();
                let cosine: f32 = vector.iter().zip(&of_query).map(|(a, b)| a * b).sum();
                (((cosine - space.unlike) / (1.0 - space.unlike)).min(1.0), one)
            })
            .filter(|(likeness, _)| *likeness > FLOOR)
            .collect();
        near.sort_by(|a, b| b.0.total_cmp(&a.0));
        // At the end of the voters' list quantised vectors may choose others.
        prop_assume!(near.len() <= VOTERS);
        let mut votes: BTreeMap<ToolId, f32> = BTreeMap::new();
        for (likeness, one) in near {
            for (tool, weight) in &one.tools {
                *votes.entry(tool.clone()).or_default() += weight * (likeness - FLOOR) / (1.0 - FLOOR);
            }
        }
        votes.retain(|_, votes| *votes > 0.0);
        let all: f32 = votes.values().sum();
        let lifts = lifts(&query(&asked), &learned(&told));
        let sum: f32 = lifts.values().map(|lifted| lifted.lift).sum();
        prop_assert!(sum <= MOST * 1.0001, "{sum}");
        for (tool, lifted) in &lifts {
            let wanted = MOST * votes.get(tool).copied().unwrap_or(0.0) / (all + PRIOR);
            prop_assert!(lifted.lift > 0.0 && (lifted.lift - wanted).abs() < 5e-3, "{lifted:?} {wanted}");
        }
        for (tool, votes) in votes {
            prop_assert!(lifts.contains_key(&tool) || votes < 5e-3);
        }
    }

    /// What fades lifts less, whatever fades with it.
    #[test]
    fn what_weighs_less_lifts_less(told in evidence(0.1), asked in asked(), faded in 0.0..1.0_f32) {
        let later: Vec<Told> =
            told.iter().map(|(words, tool, weight)| (words.clone(), *tool, weight * faded)).collect();
        let query = query(&asked);
        let (now, later) = (lifts(&query, &learned(&told)), lifts(&query, &learned(&later)));
        prop_assert!(later.iter().all(|(tool, lifted)| lifted.lift <= now[tool].lift + 1e-6));
    }

    /// A lift lifts: the tools keep their order but for those that are lifted, and scores stay in bounds.
    #[test]
    fn only_what_was_chosen_moves_up(told in evidence(-3.0), asked in asked()) {
        let query = query(&asked);
        let plain = rank(&INDEX, &query, &vectors_of(&query));
        let lifted = ask(&query, &learned(&told));
        let others = |ranking: &Ranking| -> Vec<ToolIdx> {
            let all = ranking.ranked.iter().map(|ranked| ranked.tool);
            all.filter(|tool| !lifted.lifted.contains_key(tool)).collect()
        };
        prop_assert_eq!(others(&plain), others(&lifted));
        let named = |tool: &ToolIdx| lifted.named.contains(tool);
        prop_assert!(lifted.ranked.iter().all(|r| named(&r.tool) || (0.0..=1.0).contains(&r.score)));
        prop_assert!(lifted.ranked.is_sorted_by(|a, b| a.order(b).is_le()));
        // The same evidence says the same again, in whatever order it was told.
        let mut told = told;
        told.sort_by(|a, b| (&a.0, a.1, b.2.to_bits()).cmp(&(&b.0, b.1, a.2.to_bits())));
        told.dedup_by(|a, b| text(&a.0) == text(&b.0) && a.1 == b.1);
        let once = ask(&query, &learned(&told)).ranked;
        told.reverse();
        prop_assert_eq!(once, ask(&query, &learned(&told)).ranked);
    }

    #[test]
    fn a_named_tool_is_before_all_that_was_learned(named in 0..64_usize, others in evidence(0.1)) {
        let tool = &INDEX.catalog.tools()[named];
        let spelt = tool.name.replace('_', " ");
        let mut told = taught(&others);
        let elsewhere = INDEX.catalog.tools()[(named + 9) % 64].id.clone();
        told.push(Taught {
            text: spelt.as_str().into(),
            vector: Some(vector(&spelt).into()),
            tools: vec![(elsewhere, 3.0)],
        });
        let query = Query { texts: vec![spelt], ..Query::default() };
        let ranking = ask(&query, &Learned::of(told, Some(space())));
        prop_assert!(!ranking.lifted.is_empty());
        prop_assert!(ranking.named.contains(&ranking.ranked[0].tool));
    }

    /// Rights before ranking: to who may not find a tool, evidence of it is as if there were none.
    #[test]
    fn a_filter_is_as_if_the_evidence_had_been_filtered(
        told in evidence(-3.0), asked in asked(), server in 0..8_u8,
    ) {
        let server = ServerId::from(format!("server{server}"));
        let query = Query { servers: vec![server.clone()], ..query(&asked) };
        let ranking = ask(&query, &learned(&told));
        let of_server = |tool: &usize| INDEX.catalog.tools()[*tool].server == server;
        prop_assert!(ranking.ranked.iter().all(|ranked| of_server(&ranked.tool.as_usize())));
        let left: Vec<Told> = told.into_iter().filter(|(_, tool, _)| of_server(tool)).collect();
        let wanted = ask(&query, &learned(&left));
        prop_assert_eq!(ranking.lifted, wanted.lifted);
        prop_assert_eq!(ranking.ranked, wanted.ranked);
    }
}

#[test]
fn without_evidence_of_such_queries_nothing_changes() {
    let query = Query { texts: vec!["send the invoice".into()], ..Query::default() };
    let plain = rank(&INDEX, &query, &vectors_of(&query)).ranked;
    let unlike = Taught {
        text: "who won the match last night".into(),
        vector: Some(vector("who won the match last night").into()),
        tools: vec![(INDEX.catalog.tools()[0].id.clone(), 3.0)],
    };
    for learned in [Learned::default(), Learned::of(vec![unlike], Some(space()))] {
        let ranking = ask(&query, &learned);
        assert!(ranking.lifted.is_empty() && ranking.ranked == plain);
    }
    // What is gone from the catalog, or was wrong, lifts nothing either.
    let text: Arc<str> = "send the invoice".into();
    let vector: Option<Vector> = Some(vector(&text).into());
    let wrong = (INDEX.catalog.tools()[5].id.clone(), -1.0);
    let tools = vec![(ToolId::from("gone/tool"), 1.0), wrong];
    let ranking = ask(&query, &Learned::of(vec![Taught { text, vector, tools }], Some(space())));
    assert!(ranking.lifted.is_empty() && ranking.ranked == plain);
}

#[test]
fn words_say_what_is_alike_where_vectors_are_not_of_one_encoder() {
    let (id, at) = (INDEX.catalog.tools()[40].id.clone(), ToolIdx(40));
    let told = |vector: Option<Vector>| Taught {
        text: "post the newsletter to subscribers".into(),
        vector,
        tools: vec![(id.clone(), 1.0)],
    };
    let other = vector("something else");
    for (vector, space, encoder) in [
        (None, None, None),
        (Some(other.into()), Some(space()), Some("another")),
        (None, None, Some(ENCODER.id())),
    ] {
        let learned = Learned::of(vec![told(vector)], space);
        let lifts = |text: &str| {
            let query = Query { texts: vec![text.into()], ..Query::default() };
            learned.lifts(&query.texts, &vectors_of(&query), encoder, of_all)
        };
        let same = lifts("post the newsletter to subscribers")[&at];
        assert!(
            (same.likeness - 1.0).abs() < 1e-6 && (same.lift - MOST / (1.0 + PRIOR)).abs() < 1e-6
        );
        let alike = lifts("posting newsletters to a subscriber list")[&at];
        assert!(alike.lift > 0.0 && alike.lift < same.lift, "{alike:?}");
        assert!(lifts("subscribers").is_empty() || lifts("subscribers")[&at].lift < alike.lift);
        assert!(lifts("what is the weather").is_empty());
    }
}

#[test]
fn an_encoder_that_calls_everything_alike_is_seen_through() {
    // Every vector has a large part in common, as those of some encoders do.
    let squeeze = |vector: Vec<f32>| -> Vec<f32> {
        let mut vector: Vec<f32> = vector.into_iter().map(|number| number * 0.5).collect();
        vector.push(0.75_f32.sqrt());
        vector
    };
    let tool = INDEX.catalog.tools()[3].id.clone();
    let lift = |squeezed: bool, text: &str| {
        let made = |text: &str| if squeezed { squeeze(vector(text)) } else { vector(text) };
        let space = Space::of("e", &UNLIKE.map(made));
        let taught = Taught {
            text: "merge the branch".into(),
            vector: Some(made("merge the branch").into()),
            tools: vec![(tool.clone(), 1.0)],
        };
        let vectors = [PartVectors { whole: made(text), pieces: Vec::new() }];
        let learned = Learned::of(vec![taught], Some(space));
        let lifts = learned.lifts(&[text.to_owned()], &vectors, Some("e"), of_all);
        lifts.get(&ToolIdx(3)).map(|lifted| lifted.lift)
    };
    for text in ["merge the branch", "merge my branch now", "water the plants"] {
        let (plain, squeezed) = (lift(false, text), lift(true, text));
        assert_eq!(plain.is_some(), squeezed.is_some(), "{text}");
        assert!((plain.unwrap_or(0.0) - squeezed.unwrap_or(0.0)).abs() < 0.01, "{text}");
    }
    assert!(lift(true, "merge the branch").is_some() && lift(true, "water the plants").is_none());
}
