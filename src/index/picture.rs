//! The catalog as a picture: a point for each tool that has a vector, those that mean the like near
//! each other.
//!
//! The neighbours of each tool are laid out by t-SNE (`bhtsne`), which keeps neighbours together
//! and says nothing of what lies far apart. Invariant: a tool that was in the earlier picture stays
//! exactly where it was until a tenth of all is new, and then the whole is laid out from where it
//! was and turned back onto it; the same index and the same earlier picture are drawn the same.

mod plane;

use std::sync::Arc;

use bhtsne::{Neighbor, tSNE};

use self::plane::Onto;
use super::document::Documents;
use super::neighbours::{self, NEAREST};
use super::{Index, Ranked};
use crate::catalog::{Catalog, ToolIdx};

/// A place in the picture.
pub type Point = [f32; 2];

/// All are laid out anew once one in so many has been put between others.
const ONE_IN: usize = 10;
/// Fewer than so many stand in a circle: that is no cloud yet.
const FEWEST: usize = 5;
/// From this many on forces are summed up on a grid: the time grows with the tools alone then.
const GRID_FROM: usize = 2_000;
/// How exactly they are summed up otherwise.
const THETA: f32 = 0.5;
/// Steps of the first picture, …
const EPOCHS: usize = 750;
/// … in this part of which what is alike is drawn together first, …
const DRAWN_TOGETHER: usize = 3;
/// … and of one that begins with an earlier.
const EPOCHS_AFTER: usize = 100;
/// The step is a share of the tools, and no less than of so many. At 27,000 this keeps 52 of 100
/// neighbours among the ten nearest, the crate's own quarter of it 45.
const STEP: (f32, f32) = (12.0, 50.0);
/// Something is placed between so many of its neighbours, …
const BETWEEN: usize = 5;
/// … and one whose cosine is this much less than the best one's counts a third of it.
const FALL_OFF: f32 = 0.04;

/// One picture.
#[derive(Debug, Clone)]
pub struct Picture {
    /// The generation that it shows.
    pub generation: u64,
    /// The tools of that.
    pub catalog: Arc<Catalog>,
    /// Where each of them is; `None` where it has no vector.
    pub points: Vec<Option<Point>>,
    /// Groups of near-duplicates, the largest first.
    pub groups: Vec<Vec<ToolIdx>>,
    documents: Arc<Documents>,
    /// How many were put between others since all were laid out.
    put_between: usize,
}

impl Picture {
    /// The picture of an index, after an earlier one of it; `None` where no tool has a vector. To
    /// be called on a rayon pool of one thread: several add up in another order each time.
    pub fn draw(index: &Index, earlier: Option<&Self>) -> Option<Self> {
        let dense = index.dense.as_ref()?;
        if let Some(earlier) = earlier.filter(|earlier| earlier.is_of(index)) {
            return Some(Self {
                generation: index.generation,
                catalog: Arc::clone(&index.catalog),
                documents: Arc::clone(&index.documents),
                ..earlier.clone()
            });
        }
        let all: Vec<ToolIdx> = (0..).map(ToolIdx).take(index.catalog.len()).collect();
        let nearest = neighbours::nearest(index, &all, NEAREST);
        let drawn: Vec<ToolIdx> = all.into_iter().filter(|tool| dense.has(*tool)).collect();
        let mut points = earlier.map_or_else(|| vec![None; nearest.len()], |it| it.seen_in(index));
        let known = points.clone();
        let new = drawn.iter().filter(|tool| known[tool.as_usize()].is_none()).count();
        let mut put_between = earlier.map_or(0, |earlier| earlier.put_between) + new;
        let few = put_between * ONE_IN <= drawn.len();
        if !(few && put_all_between(&drawn, &nearest, &mut points)) {
            put_between = 0;
            points = lay_out(&drawn, &nearest, &known);
        }
        let mut groups = neighbours::groups(index, &nearest);
        groups.sort_by_key(|group| std::cmp::Reverse(group.len()));
        Some(Self {
            generation: index.generation,
            catalog: Arc::clone(&index.catalog),
            points,
            groups,
            documents: Arc::clone(&index.documents),
            put_between,
        })
    }

    /// Nothing that is drawn is another in `index`.
    fn is_of(&self, index: &Index) -> bool {
        let (mine, others) = (&self.documents.all, &index.documents.all);
        let drawn = self.points.iter().flatten().count();
        drawn == index.embedded()
            && mine.len() == others.len()
            && mine.iter().zip(others).all(|(mine, other)| Arc::ptr_eq(mine, other))
            && self.catalog.tools().iter().zip(index.catalog.tools()).all(|(a, b)| a.id == b.id)
    }

    /// Where the tools of `index` are in this picture, as far as they are the same in both.
    pub fn seen_in(&self, index: &Index) -> Vec<Option<Point>> {
        let places = index.catalog.places_in(&self.catalog).into_iter();
        let point = |(place, tool): (Option<ToolIdx>, ToolIdx)| {
            let before = place?.as_usize();
            let [was, is] = [&self.documents.all[before], &index.documents.all[tool.as_usize()]];
            let has_vector = index.dense.as_ref().is_some_and(|dense| dense.has(tool));
            self.points[before].filter(|_| has_vector && was.embedded == is.embedded)
        };
        places.zip((0..).map(ToolIdx)).map(point).collect()
    }
}

/// Where something is whose neighbours these are, the best first: between those that have a place,
/// nearer to the more alike.
pub fn between(neighbours: &[Ranked], points: &[Option<Point>]) -> Option<Point> {
    let placed = neighbours.iter().filter_map(|it| Some((it.score, points[it.tool.as_usize()]?)));
    let placed: Vec<(f32, Point)> = placed.take(BETWEEN).collect();
    let best = placed.first()?.0;
    let weigh = |score: f32| ((score - best) / FALL_OFF).exp();
    let all: f32 = placed.iter().map(|(score, _)| weigh(*score)).sum();
    let sum = |axis: usize| placed.iter().map(|(score, at)| weigh(*score) * at[axis]).sum::<f32>();
    Some([sum(0) / all, sum(1) / all])
}

/// Puts those that have no place between their neighbours; false where one has no neighbour with a
/// place.
fn put_all_between(
    drawn: &[ToolIdx],
    nearest: &[Vec<Ranked>],
    points: &mut [Option<Point>],
) -> bool {
    let mut left: Vec<ToolIdx> =
        drawn.iter().copied().filter(|tool| points[tool.as_usize()].is_none()).collect();
    while !left.is_empty() {
        let before = left.len();
        left.retain(|tool| {
            let at = tool.as_usize();
            // A little beside it, or twins would hide each other.
            points[at] = between(&nearest[at], points).map(|point| plane::beside(point, at));
            points[at].is_none()
        });
        if left.len() == before {
            return false;
        }
    }
    true
}

/// The place of each of `drawn`, begun with what is `known` if that is most of them.
fn lay_out(
    drawn: &[ToolIdx],
    nearest: &[Vec<Ranked>],
    known: &[Option<Point>],
) -> Vec<Option<Point>> {
    let begun = begin(drawn, nearest, known);
    let laid_out = embed(drawn, nearest, begun.as_deref());
    let was = |tool: &ToolIdx| known[tool.as_usize()];
    let pairs = drawn.iter().zip(&laid_out);
    let onto = Onto::fit(pairs.filter_map(|(tool, point)| Some((*point, was(tool)?))));
    let mut points = vec![None; nearest.len()];
    for (tool, point) in drawn.iter().zip(laid_out) {
        points[tool.as_usize()] = Some(onto.turn(point));
    }
    points
}

/// Where a layout begins, if most is known.
fn begin(
    drawn: &[ToolIdx],
    nearest: &[Vec<Ranked>],
    known: &[Option<Point>],
) -> Option<Vec<Point>> {
    let mut points = known.to_vec();
    let there = drawn.iter().filter(|tool| known[tool.as_usize()].is_some()).count();
    let begins = there * 2 > drawn.len() && put_all_between(drawn, nearest, &mut points);
    begins.then(|| drawn.iter().filter_map(|tool| points[tool.as_usize()]).collect())
}

/// A point for each of `drawn`, by t-SNE.
fn embed(drawn: &[ToolIdx], nearest: &[Vec<Ranked>], begun: Option<&[Point]>) -> Vec<Point> {
    let mut rows = vec![0; nearest.len()];
    for (row, tool) in drawn.iter().enumerate() {
        rows[tool.as_usize()] = row;
    }
    let neighbours = |tool: &ToolIdx| nearest[tool.as_usize()].iter();
    let count = drawn.iter().map(|tool| neighbours(tool).len()).min().unwrap_or(0);
    if drawn.len() < FEWEST || count + 1 < FEWEST {
        return plane::circle(drawn.len());
    }
    let neighbour = |ranked: &Ranked| Neighbor {
        index: rows[ranked.tool.as_usize()],
        // Of unit vectors.
        distance: (2.0 - 2.0 * ranked.score).max(0.0).sqrt(),
    };
    let table: Vec<Vec<Neighbor<f32>>> =
        drawn.iter().map(|tool| neighbours(tool).take(count).map(neighbour).collect()).collect();
    let epochs = if begun.is_some() { EPOCHS_AFTER } else { EPOCHS };
    let points = by_tsne(&table, begun, epochs, drawn.len() >= GRID_FROM);
    if !points.iter().all(|number| number.is_finite()) {
        return plane::circle(drawn.len());
    }
    points.as_chunks().0.to_vec()
}

/// The numbers of a point for each row of neighbours, all rows of one length.
fn by_tsne(
    table: &[Vec<Neighbor<f32>>],
    begun: Option<&[Point]>,
    epochs: usize,
    on_grid: bool,
) -> Vec<f32> {
    let units = vec![(); table.len()];
    let mut layout = tSNE::<f32, (), 2>::new(&units);
    #[expect(clippy::cast_precision_loss, reason = "counts of tools")]
    let (count, all) = (table.first().map_or(0, Vec::len) as f32, table.len() as f32);
    layout.perplexity(count / 3.0).learning_rate((all / STEP.0).max(STEP.1)).epochs(epochs);
    let together = epochs / DRAWN_TOGETHER;
    match begun {
        None => layout.stop_lying_epoch(together).momentum_switch_epoch(together).spectral_init(),
        Some(begun) => layout
            .stop_lying_epoch(0)
            .momentum_switch_epoch(0)
            .initial_embedding(begun.as_flattened()),
    };
    if on_grid {
        layout.fit_sne_with_neighbors(table);
    } else {
        layout.barnes_hut_with_neighbors(THETA, table);
    }
    layout.embedding()
}

#[cfg(test)]
mod tests;
