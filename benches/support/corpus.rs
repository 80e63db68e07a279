//! What the benches search: catalogs, queries and vectors.
//!
//! Catalogs and queries are the shared benchmark sets joined, read from the folder that
//! `TOOLSCOUT_BENCHMARKS` names (default `../shared/benchmarks`); where it is absent, seeded ones
//! whose words are as unevenly common as those of a language (Zipf). Vectors are always seeded:
//! unit vectors in clumps, as texts of a few subjects have them. Everything is the same from run
//! to run.
#![allow(dead_code, reason = "every bench takes what it needs of this")]
#![expect(
    clippy::expect_used,
    clippy::print_stderr,
    reason = "a bench without its data has nothing to measure, and says what it measures"
)]

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::SystemTime;

use toolscout::catalog::{Catalog, Listing, ServerInfo, file};
use toolscout::eval::read_queries;
use toolscout::index::dense::normalise;
use toolscout::tool::{ServerId, Tool};

/// The catalogs' sizes; the joined sets have somewhat fewer than 28,000 tools.
pub const SIZES: [(&str, usize); 3] = [("1k", 1_000), ("5k", 5_000), ("28k", 28_000)];
/// Length of a vector, as the encoder's.
pub const DIMS: usize = 384;

/// The sets that are joined: their ids are unique together.
const SETS: [&str; 5] =
    ["livemcpbench", "smithery-mcp", "metatool", "sealtools", "stabletoolbench"];
/// Queries taken of each set, evenly spread over its file.
const QUERIES_A_SET: usize = 40;
const TOOLS_A_SERVER: usize = 13;
const VOCABULARY: f64 = 20_000.0;
const SEED: u64 = 0x7001_5c00;

/// A catalog and queries for it.
pub struct Corpus {
    whole: Catalog,
    /// Real ones from the sets, else generated.
    pub queries: Vec<String>,
}

impl Corpus {
    /// The joined sets, else a generated catalog.
    pub fn load() -> Self {
        let folder = benchmarks();
        let corpus = if SETS.iter().all(|set| folder.join(set).exists()) {
            Self::joined()
        } else {
            eprintln!("no sets in {}: the catalog is generated", folder.display());
            Self::generated()
        };
        eprintln!("{} tools, {} queries", corpus.whole.len(), corpus.queries.len());
        corpus
    }

    fn joined() -> Self {
        let mut whole = Catalog::default();
        let mut queries = Vec::new();
        for set in SETS {
            whole = whole.join(&set_catalog(set));
            let path = benchmarks().join(set).join("queries.jsonl");
            let of_set = read_queries(&path).expect("readable queries");
            let step = (of_set.len() / QUERIES_A_SET).max(1);
            let taken = of_set.into_iter().step_by(step).take(QUERIES_A_SET);
            queries.extend(taken.map(|query| query.query));
        }
        // Neighbours come from different sets, so that every sample measures the same mixture.
        fastrand::Rng::with_seed(SEED).shuffle(&mut queries);
        Self { whole, queries }
    }

    fn generated() -> Self {
        let mut random = fastrand::Rng::with_seed(SEED);
        let listings = (0..=28_000 / TOOLS_A_SERVER).map(|at| {
            let id = ServerId::from(format!("{}-{at}", words(&mut random, 1)));
            let tools = (0..TOOLS_A_SERVER).map(|_| tool(&id, &mut random));
            let listing = Listing {
                tools: tools.collect(),
                info: ServerInfo {
                    title: Some(words(&mut random, 2)),
                    description: Some(words(&mut random, 15)),
                    protocol: None,
                },
                crawled_at: SystemTime::UNIX_EPOCH,
                defects: Vec::new(),
            };
            (id, listing)
        });
        let whole = Catalog::from_listings(listings.collect::<Vec<_>>());
        let mut query = || {
            let count = random.usize(4..30);
            words(&mut random, count)
        };
        let queries = (0..SETS.len() * QUERIES_A_SET).map(|_| query()).collect();
        Self { whole, queries }
    }

    /// A sample of `size` tools; the whole where it has no more.
    pub fn sized(&self, size: usize) -> Arc<Catalog> {
        let ids = self.whole.tools().iter().map(|tool| tool.id.clone());
        let sample = fastrand::Rng::with_seed(SEED).choose_multiple(ids, size);
        let sample: BTreeSet<_> = sample.into_iter().collect();
        Arc::new(self.whole.retain(|tool| sample.contains(&tool.id)))
    }
}

/// Where the sets are.
pub fn benchmarks() -> PathBuf {
    std::env::var_os("TOOLSCOUT_BENCHMARKS")
        .map_or_else(|| PathBuf::from("../shared/benchmarks"), PathBuf::from)
}

/// The catalog of one set.
pub fn set_catalog(set: &str) -> Catalog {
    let folder = benchmarks().join(set);
    let plain = folder.join("catalog.jsonl");
    let path = if plain.exists() { plain } else { folder.join("catalog.jsonl.gz") };
    let servers = Some(folder.join("servers.jsonl")).filter(|path| path.exists());
    Catalog::from_listings(file::read(&path, servers.as_deref()).expect("a readable catalog"))
}

/// `tools` vectors, and `queries` that lie about as far from the nearest clump as queries do from
/// tools. Two levels: a clump of fifty tools (cosine about .7 within) lies in one of forty
/// subjects.
pub fn vectors(tools: usize, queries: usize) -> (Vec<Arc<[f32]>>, Vec<Vec<f32>>) {
    let mut random = fastrand::Rng::with_seed(SEED);
    let subjects: Vec<_> = (0..40).map(|_| near(&[0.0; DIMS], 1.0, &mut random)).collect();
    let clumps: Vec<_> = (0..tools.div_ceil(50))
        .map(|at| near(&subjects[at % subjects.len()], 0.1, &mut random))
        .collect();
    let rows =
        (0..tools).map(|at| near(&clumps[at % clumps.len()], 0.06, &mut random).into()).collect();
    let queries = (0..queries)
        .map(|_| near(&clumps[random.usize(..clumps.len())], 0.08, &mut random))
        .collect();
    (rows, queries)
}

fn near(centre: &[f32], spread: f32, random: &mut fastrand::Rng) -> Vec<f32> {
    let mut vector: Vec<f32> =
        centre.iter().map(|x| x + spread * (random.f32() * 2.0 - 1.0)).collect();
    normalise(&mut vector);
    vector
}

fn tool(server: &ServerId, random: &mut fastrand::Rng) -> Tool {
    let mut some = |range: std::ops::Range<usize>| {
        let count = random.usize(range);
        words(random, count)
    };
    let name = some(2..5).replace(' ', "_");
    let description = some(8..40);
    let params: serde_json::Map<_, _> = (0..4)
        .map(|_| {
            let schema = serde_json::json!({"type": "string", "description": some(3..10)});
            (some(1..3).replace(' ', "_"), schema)
        })
        .collect();
    let definition = serde_json::json!({
        "name": name,
        "description": description,
        "inputSchema": {"type": "object", "properties": params},
    });
    Tool::parse(server, &definition.to_string()).expect("a tool with a name")
}

/// Words whose ranks are spread evenly by logarithm, so that word `r` comes in proportion to 1/r.
fn words(random: &mut fastrand::Rng, count: usize) -> String {
    let words: Vec<String> = (0..count).map(|_| word(VOCABULARY.powf(random.f64()))).collect();
    words.join(" ")
}

/// The word of a rank: the rank in syllables.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "1 to 20,000")]
fn word(rank: f64) -> String {
    const SYLLABLES: [&str; 10] = ["ba", "ko", "di", "fu", "le", "mi", "no", "ra", "su", "te"];
    let digits = (rank as u32).to_string();
    digits.bytes().map(|digit| SYLLABLES[usize::from(digit - b'0')]).collect()
}
