//! The picture of the catalog: how long it takes to draw on one core, how many of a tool's ten
//! nearest by vector are among its ten nearest on the picture, and how far tools move when others
//! come.
//!
//! `cargo bench --bench picture`: the first picture, and those after one tool in 20 and one in 4
//! came to a catalog that was drawn without them. `moved` is how far those that were there moved,
//! as a share of the half width, the median and the one in a hundred that moved most.
//! `components` is what the plane of the two principal components keeps, for comparison.
//!
//! Not measured: what a person sees in it.

#![expect(
    clippy::expect_used,
    clippy::print_stdout,
    clippy::cast_precision_loss,
    reason = "prints a table of small counts, and without data there is none"
)]

#[path = "support/corpus.rs"]
mod corpus;

use std::sync::Arc;
use std::time::Instant;

use corpus::{Corpus, Fixture};
use toolscout::catalog::ToolIdx;
use toolscout::index::Index;
use toolscout::index::dense::{dot, normalise};
use toolscout::index::picture::{Picture, Point};

const SIZES: [usize; 3] = [1_000, 5_000, 27_000];
/// Tools whose neighbours are looked at.
const SAMPLE: usize = 500;
const NEAREST: usize = 10;

fn main() {
    // `cargo test --benches` must not take minutes.
    if !std::env::args().any(|arg| arg == "--bench") {
        return;
    }
    let one = rayon::ThreadPoolBuilder::new().num_threads(1).build().expect("a thread");
    let draw = |index: &Index, earlier: Option<&Picture>| {
        one.install(|| {
            let start = Instant::now();
            let picture = Picture::draw(index, earlier).expect("vectors");
            (start.elapsed().as_secs_f64(), picture)
        })
    };
    let corpus = Corpus::load();
    println!("tools  picture       seconds  recall@10  moved: median  most");
    for size in SIZES {
        let whole = Fixture::of(&corpus, corpus.sized(size)).index;
        let vectors = vectors(&whole);
        let kept = |points: &[Point]| recall(&vectors, points);
        println!("{size:6} components         -  {:9.3}", kept(&components(&vectors)));
        let (seconds, first) = draw(&whole, None);
        println!("{size:6} first       {seconds:8.1}  {:9.3}", kept(&points(&first)));
        for share in [20, 4] {
            let before = corpus.sized(size).retain(|tool| !is_late(tool.id.as_str(), share));
            let (_, earlier) = draw(&Fixture::of(&corpus, Arc::new(before)).index, None);
            let (seconds, after) = draw(&whole, Some(&earlier));
            let [half, most] = moved(&earlier, &whole, &after);
            let kept = kept(&points(&after));
            println!(
                "{size:6} 1 in {share:2} new {seconds:8.1}  {kept:9.3}  {half:13.4}  {most:.3}"
            );
        }
    }
}

/// One id in so many, always the same.
fn is_late(id: &str, share: u8) -> bool {
    blake3::hash(id.as_bytes()).as_bytes()[0] < u8::MAX / share
}

fn vectors(index: &Index) -> Vec<Vec<f32>> {
    let dense = index.dense.as_ref().expect("vectors");
    let all = (0..).map(ToolIdx).take(index.catalog.len());
    all.map(|tool| dense.vector(tool).expect("a vector")).collect()
}

fn points(picture: &Picture) -> Vec<Point> {
    picture.points.iter().map(|point| point.expect("a point")).collect()
}

/// The share of tools' ten nearest by vector that are among the ten nearest points.
fn recall(vectors: &[Vec<f32>], points: &[Point]) -> f64 {
    let mut random = fastrand::Rng::with_seed(1);
    let mut kept = 0;
    for _ in 0..SAMPLE {
        let at = random.usize(..vectors.len());
        let near = nearest(vectors.len(), at, |other| -dot(&vectors[at], &vectors[other]));
        let seen = nearest(vectors.len(), at, |other| far(points[at], points[other]));
        kept += seen.iter().filter(|other| near.contains(other)).count();
    }
    kept as f64 / (SAMPLE * NEAREST) as f64
}

fn nearest(count: usize, at: usize, far: impl Fn(usize) -> f32) -> Vec<usize> {
    let others = (0..count).filter(|other| *other != at);
    let mut others: Vec<(f32, usize)> = others.map(|other| (far(other), other)).collect();
    others.select_nth_unstable_by(NEAREST - 1, |a, b| a.0.total_cmp(&b.0));
    others.into_iter().take(NEAREST).map(|(_, other)| other).collect()
}

fn far(a: Point, b: Point) -> f32 {
    (a[0] - b[0]).hypot(a[1] - b[1])
}

fn moved(earlier: &Picture, index: &Index, after: &Picture) -> [f64; 2] {
    let known = earlier.seen_in(index);
    let extent = known.iter().flatten().map(|at| far(*at, [0.0; 2])).fold(0.0, f32::max);
    let both = known.iter().zip(&after.points).filter_map(|(was, is)| Some(((*was)?, (*is)?)));
    let mut moved: Vec<f32> = both.map(|(was, is)| far(was, is) / extent).collect();
    moved.sort_unstable_by(f32::total_cmp);
    [moved[moved.len() / 2], moved[moved.len() * 99 / 100]].map(f64::from)
}

/// The plane of the two principal components, by power iteration.
fn components(vectors: &[Vec<f32>]) -> Vec<Point> {
    let dims = vectors[0].len();
    let mut mean = vec![0.0; dims];
    for vector in vectors {
        mean.iter_mut().zip(vector).for_each(|(mean, x)| *mean += x / vectors.len() as f32);
    }
    let along = |axis: &[f32], vector: &[f32]| dot(axis, vector) - dot(axis, &mean);
    let mut found: Vec<Vec<f32>> = Vec::new();
    for seed in 0..2 {
        let mut random = fastrand::Rng::with_seed(seed);
        let mut axis: Vec<f32> = (0..dims).map(|_| random.f32() - 0.5).collect();
        for _ in 0..30 {
            let mut next = vec![0.0; dims];
            for vector in vectors {
                let far = along(&axis, vector);
                let centred = vector.iter().zip(&mean).map(|(x, mean)| x - mean);
                next.iter_mut().zip(centred).for_each(|(next, x)| *next += far * x);
            }
            for other in &found {
                let part = dot(other, &next);
                next.iter_mut().zip(other).for_each(|(next, x)| *next -= part * x);
            }
            normalise(&mut next);
            axis = next;
        }
        found.push(axis);
    }
    vectors.iter().map(|vector| [along(&found[0], vector), along(&found[1], vector)]).collect()
}
