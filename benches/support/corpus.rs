//! What the benches search: catalogs, queries and vectors.
//!
//! Catalogs and queries are the shared benchmark sets joined, read from the folder that
//! `TOOLSCOUT_BENCHMARKS` names (default `../shared/benchmarks`); where it is absent, seeded ones
//! whose words are as unevenly common as those of a language (Zipf). Catalogs larger than that
//! have copies in which every third word of a description is another tool's. Vectors are those of
//! the encoder in the binary. Everything is the same from run to run.
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

use rayon::prelude::*;
use serde_json::Value;
use toolscout::catalog::{Catalog, Listing, ServerInfo, file};
use toolscout::embed::{Embedder, Fixed, Role};
use toolscout::eval::read_queries;
use toolscout::index::Index;
use toolscout::index::dense::Dense;
use toolscout::search::needs::Parts;
use toolscout::search::{PartVectors, Query};
use toolscout::text::{fields, words as words_of};
use toolscout::tool::{ServerId, Tool};

/// As in the program.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// The catalogs' sizes; the joined sets have somewhat fewer than 28,000 tools, and what is more
/// is copies.
pub const SIZES: [(&str, usize); 4] =
    [("500", 500), ("5k", 5_000), ("28k", 28_000), ("100k", 100_000)];

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

/// A catalog with its index, and what is asked of it.
pub struct Fixture {
    /// The index, vectors included.
    pub index: Index,
    /// Queries of 10 to 14 words and one clause.
    pub plain: Vec<Asked>,
    /// All queries; half of them are tasks of several clauses.
    pub mixed: Vec<Asked>,
}

/// A query and its vectors.
pub struct Asked {
    /// The query.
    pub query: Query,
    /// Those of its parts.
    pub vectors: Vec<PartVectors>,
}

impl Fixture {
    /// The index of `catalog`, and the queries of `corpus`.
    pub fn of(corpus: &Corpus, catalog: Arc<Catalog>) -> Self {
        let encoder = Fixed::in_binary().expect("the encoder in the binary");
        let mut index = Index::build(1, catalog);
        index.dense = Dense::build(&vectors(&encoder, &index.catalog)).map(Arc::new);
        let mixed: Vec<Asked> =
            corpus.queries.iter().map(|text| Asked::of(&encoder, text)).collect();
        let plain = corpus.queries.iter().filter(|text| {
            (10..=14).contains(&text.split_whitespace().count())
                && Parts::of(text).pieces.is_empty()
        });
        let plain = plain.map(|text| Asked::of(&encoder, text)).collect();
        Self { index, plain, mixed }
    }
}

impl Asked {
    fn of(encoder: &Fixed, text: &str) -> Self {
        let query = Query { texts: vec![text.to_owned()], ..Query::default() };
        let parts = query.parts();
        let texts: Vec<&str> = parts[0].texts().collect();
        let vectors = encoder.embed(Role::Query, &texts, None).expect("vectors of the query");
        let vectors = PartVectors::of(vectors.into_iter()).into_iter().collect();
        Self { query, vectors }
    }
}

/// The vector of each tool.
pub fn vectors(encoder: &Fixed, catalog: &Catalog) -> Vec<Option<Arc<[f32]>>> {
    let vector = |tool: &Arc<Tool>| {
        let text = fields::embedded_in(catalog, tool);
        let vectors = encoder.embed(Role::Tool, &[&text], None).expect("a vector");
        vectors.into_iter().next().map(Into::into)
    };
    catalog.tools().par_iter().map(vector).collect()
}

impl Corpus {
    /// The joined sets, else a generated catalog.
    pub fn load() -> Self {
        let folder = benchmarks();
        let corpus = if SETS.iter().all(|set| folder.join(set).exists()) {
            Self::joined()
        } else {
            eprintln!("no sets in {}: the catalog is generated", folder.display());
            Self::generated(28_000)
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

    /// A seeded catalog of about `size` tools.
    pub fn generated(size: usize) -> Self {
        let mut random = fastrand::Rng::with_seed(SEED);
        let listings = (0..=size / TOOLS_A_SERVER).map(|at| {
            let id = ServerId::from(format!("{}-{at}", words(&mut random, 1)));
            let tools = (0..TOOLS_A_SERVER).map(|_| tool(&id, &mut random));
            let listing = Listing {
                tools: tools.collect(),
                info: ServerInfo {
                    title: Some(words(&mut random, 2)),
                    description: Some(words(&mut random, 15)),
                    ..ServerInfo::default()
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

    /// A sample of `size` tools, or all with as many copies as that takes.
    pub fn sized(&self, size: usize) -> Arc<Catalog> {
        if size > self.whole.len() + self.whole.len() / 10 {
            return Arc::new(self.copied(size));
        }
        let ids = self.whole.tools().iter().map(|tool| tool.id.clone());
        let sample = fastrand::Rng::with_seed(SEED).choose_multiple(ids, size);
        let sample: BTreeSet<_> = sample.into_iter().collect();
        Arc::new(self.whole.retain(|tool| sample.contains(&tool.id)))
    }

    fn copied(&self, size: usize) -> Catalog {
        let pool: Vec<String> = self
            .whole
            .tools()
            .iter()
            .flat_map(|tool| words_of(tool.view().description.as_deref().unwrap_or("")))
            .collect();
        let copies = size.div_ceil(self.whole.len());
        let servers: Vec<_> = self.whole.servers().collect();
        let listings: Vec<_> = (0..copies)
            .flat_map(|copy| servers.iter().map(move |server| (copy, *server)))
            .collect::<Vec<_>>()
            .into_par_iter()
            .map(|(copy, server)| {
                let id = match copy {
                    0 => server.id.clone(),
                    _ => ServerId::from(format!("{}-{copy}", server.id)),
                };
                let seed = blake3::hash(id.as_str().as_bytes());
                let seed =
                    seed.as_bytes().first_chunk().map_or(0, |bytes| u64::from_le_bytes(*bytes));
                let mut random = fastrand::Rng::with_seed(seed);
                let tools = server.tools.iter().map(|tool| match copy {
                    0 => Tool::clone(tool),
                    _ => perturbed(&id, tool, &pool, &mut random),
                });
                let listing = Listing {
                    info: server.info.clone(),
                    tools: tools.collect(),
                    crawled_at: SystemTime::UNIX_EPOCH,
                    defects: Vec::new(),
                };
                (id, listing)
            })
            .collect();
        let catalog = Catalog::from_listings(listings);
        let last = catalog.tools().get(size).map(|tool| tool.id.clone());
        catalog.retain(|tool| last.as_ref().is_none_or(|last| tool.id < *last))
    }
}

/// The tool at another server, every third word of its description taken from others.
fn perturbed(server: &ServerId, tool: &Tool, pool: &[String], random: &mut fastrand::Rng) -> Tool {
    let view = tool.view();
    let words: Vec<&str> = view
        .description
        .as_deref()
        .unwrap_or("")
        .split_whitespace()
        .map(|word| match (random.u8(..3), random.choice(pool)) {
            (0, Some(other)) => other.as_str(),
            _ => word,
        })
        .collect();
    let other = random.choice(pool).map_or("", |word| word.as_str());
    let mut definition: Value = serde_json::from_str(tool.definition.get())
        .unwrap_or_else(|_| Value::Object(serde_json::Map::default()));
    definition["name"] = format!("{}_{other}", tool.name).into();
    definition["description"] = words.join(" ").into();
    Tool::parse(server, &definition.to_string()).expect("a tool with a name")
}

/// True when the command line asks for no other group of benches than this one: what takes long
/// to prepare is prepared only where it is measured.
pub fn wanted(group: &str, name: &str) -> bool {
    let filter = std::env::args().skip(1).find(|arg| !arg.starts_with('-'));
    filter.is_none_or(|filter| {
        let (of_group, of_size) = filter.split_once('/').unwrap_or((&filter, ""));
        group.starts_with(of_group)
            && of_size.rsplit('/').next().is_none_or(|of| name.ends_with(of))
    })
}

/// The sum of all bytes, read as fast as memory gives them.
pub fn read_all(bytes: &[u8]) -> u64 {
    const LANES: usize = 16;
    let (numbers, _) = bytes.as_chunks::<8>();
    let mut sums = [0_u64; LANES];
    for chunk in numbers.chunks_exact(LANES) {
        for (sum, number) in sums.iter_mut().zip(chunk) {
            *sum ^= u64::from_le_bytes(*number);
        }
    }
    sums.iter().fold(0, |all, sum| all ^ sum)
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
