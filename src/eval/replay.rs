//! What learning from use is worth: half of the queries teach, the other half is asked.
//!
//! Invariant: which half a query is in, and what is wrong in a lesson, is decided by the hash of its
//! id alone, so a replay is the same on every machine.

use std::collections::BTreeMap;

use serde::Serialize;

use super::LabelledQuery;

/// One in so many choices is a wrong one, or a push.
const ONE_IN: u8 = 10;

/// What is taught.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Lesson {
    /// For each query the tools that it is labelled with.
    Right,
    /// The same, but for a tenth of the queries any tool in their place.
    Noisy,
    /// The same, and for a tenth of the queries one and the same tool as well, as often as counts.
    Pushed,
    /// That push alone.
    OnlyPushed,
}

impl Lesson {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Right, Self::Noisy, Self::Pushed, Self::OnlyPushed];

    /// In words.
    pub fn name(self) -> &'static str {
        match self {
            Self::Right => "right",
            Self::Noisy => "a tenth wrong",
            Self::Pushed => "a tenth pushes one tool",
            Self::OnlyPushed => "that push alone",
        }
    }

    /// What is taught of a query: tools, and what their evidence weighs; `tools` are all there are,
    /// and `most` is what a piece of evidence can weigh.
    pub fn teach(
        self,
        query: &LabelledQuery,
        tools: &[String],
        most: f32,
    ) -> BTreeMap<String, f32> {
        let right = query.relevant.iter().flatten().filter(|_| self != Self::OnlyPushed);
        let mut taught: BTreeMap<String, f32> = right.map(|tool| (tool.clone(), 1.0)).collect();
        let hash = blake3::hash(query.id.as_bytes());
        let [_, chance, number @ ..] = hash.as_bytes();
        if tools.is_empty() || !chance.is_multiple_of(ONE_IN) {
            return taught;
        }
        match self {
            Self::Right => {}
            Self::Noisy => {
                let number =
                    number.iter().take(4).fold(0, |sum, byte| sum * 256 + usize::from(*byte));
                taught = BTreeMap::from([(tools[number % tools.len()].clone(), 1.0)]);
            }
            Self::Pushed | Self::OnlyPushed => {
                taught.insert(tools[tools.len() / 2].clone(), most);
            }
        }
        taught
    }
}

/// The query is of the half that teaches.
pub fn teaches(query: &LabelledQuery) -> bool {
    blake3::hash(query.id.as_bytes()).as_bytes()[0].is_multiple_of(2)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn halves_are_halves_and_a_tenth_is_a_tenth() {
        let tools: Vec<String> = (0..50).map(|n| format!("s/t{n}")).collect();
        let queries: Vec<LabelledQuery> = (0..2_000)
            .map(|n| {
                let line =
                    serde_json::json!({"id": n.to_string(), "query": "q", "relevant": ["s/x"]});
                serde_json::from_value(line).unwrap()
            })
            .collect();
        let taught = queries.iter().filter(|query| teaches(query)).count();
        assert!((900..1_100).contains(&taught), "{taught}");
        let right = BTreeMap::from([("s/x".to_owned(), 1.0)]);
        let odd = |lesson: Lesson| {
            queries.iter().map(|q| lesson.teach(q, &tools, 3.0)).filter(|t| *t != right).collect()
        };
        let (none, noisy, pushed): (Vec<_>, Vec<_>, Vec<_>) =
            (odd(Lesson::Right), odd(Lesson::Noisy), odd(Lesson::Pushed));
        assert!(none.is_empty());
        assert!((150..250).contains(&noisy.len()) && noisy.len() == pushed.len());
        assert!(noisy.iter().all(|taught| taught.len() == 1));
        let alone = queries.iter().map(|q| Lesson::OnlyPushed.teach(q, &tools, 3.0));
        let alone: Vec<_> = alone.filter(|taught| !taught.is_empty()).collect();
        let push = BTreeMap::from([("s/t25".to_owned(), 3.0)]);
        assert!(alone.len() == pushed.len() && alone.iter().all(|taught| *taught == push));
        let push = BTreeMap::from([("s/t25".to_owned(), 3.0), ("s/x".to_owned(), 1.0)]);
        assert!(pushed.iter().all(|taught| *taught == push));
    }
}
