use proptest::prelude::*;

use super::*;
use crate::catalog::listing_of;
use crate::index::dense::Dense;
use crate::index::dense::tests::vectors;
use crate::tool::{ServerId, Tool};

/// An index of tools of these numbers; those of a number have always the same vector, in one of
/// ten clumps, or none.
fn index(generation: u64, numbers: &[usize], without: &[usize]) -> Index {
    let server = ServerId::from("mail");
    let tools = numbers.iter().map(|number| {
        let definition = serde_json::json!({"name": format!("t{number:04}"), "description": "x"});
        Tool::parse(&server, &definition.to_string()).unwrap()
    });
    let listing = listing_of(tools);
    let mut index = Index::build(generation, Arc::new(Catalog::from_listings([(server, listing)])));
    let most = numbers.iter().max().map_or(0, |most| most + 1);
    let known = vectors(5, most, 32);
    let mut sorted = numbers.to_vec();
    sorted.sort_unstable();
    let vector = |number: &usize| (!without.contains(number)).then(|| known[*number].clone());
    index.dense = Dense::build(&sorted.iter().map(vector).collect::<Vec<_>>()).map(Arc::new);
    index
}

/// On one thread, as it is drawn where it serves.
fn draw(index: &Index, earlier: Option<&Picture>) -> Option<Picture> {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap();
    pool.install(|| Picture::draw(index, earlier))
}

fn all(count: usize) -> Vec<usize> {
    (0..count).collect()
}

fn far(a: Point, b: Point) -> f32 {
    (a[0] - b[0]).hypot(a[1] - b[1])
}

fn drawn(picture: &Picture) -> Vec<Point> {
    picture.points.iter().flatten().copied().collect()
}

/// How wide the picture is.
fn extent(picture: &Picture) -> f32 {
    drawn(picture).into_iter().map(|point| far(point, [0.0; 2])).fold(0.0, f32::max)
}

#[test]
fn what_is_alike_stands_together_and_the_same_is_drawn_twice() {
    let index = index(1, &all(200), &[]);
    let picture = draw(&index, None).unwrap();
    assert_eq!(picture.points, draw(&index, None).unwrap().points);
    // Ten clumps: of the ten nearest on the picture nearly all are of a tool's own clump.
    let points = drawn(&picture);
    let mut own = 0;
    for (at, point) in points.iter().enumerate() {
        let mut others: Vec<usize> = (0..points.len()).filter(|other| *other != at).collect();
        others.sort_by(|a, b| far(points[*a], *point).total_cmp(&far(points[*b], *point)));
        own += others[..10].iter().filter(|other| **other % 10 == at % 10).count();
    }
    assert!(own > 1_900, "{own} of 2000");
}

#[test]
fn on_the_grid_the_same_is_drawn_twice_as_well() {
    let index = index(1, &all(300), &[]);
    let tools: Vec<ToolIdx> = (0..).map(ToolIdx).take(300).collect();
    let nearest = neighbours::nearest(&index, &tools, NEAREST);
    let neighbour = |ranked: &Ranked| Neighbor {
        index: ranked.tool.as_usize(),
        distance: (2.0 - 2.0 * ranked.score).max(0.0).sqrt(),
    };
    let row = |found: &Vec<Ranked>| found.iter().map(neighbour).collect();
    let table: Vec<Vec<Neighbor<f32>>> = nearest.iter().map(row).collect();
    let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap();
    let draw = || pool.install(|| by_tsne(&table, None, 30, true));
    let points = draw();
    assert_eq!(points, draw());
    assert_eq!(points.len(), 600);
    assert!(points.iter().all(|number| number.is_finite()));
    assert_ne!(points[..2], points[2..4]);
}

#[test]
fn nothing_moves_for_a_few_new_tools() {
    let mut numbers = all(100);
    let before = draw(&index(1, &numbers, &[]), None).unwrap();
    // Three go, four come, of clumps that are there.
    numbers.retain(|number| ![7, 30, 99].contains(number));
    numbers.extend([101, 102, 103, 104]);
    let after = index(2, &numbers, &[]);
    let picture = draw(&after, Some(&before)).unwrap();
    assert_eq!(picture.generation, 2);
    let known = before.seen_in(&after);
    assert_eq!(known.iter().flatten().count(), 97);
    for (at, (was, is)) in known.iter().zip(&picture.points).enumerate() {
        if was.is_some() {
            assert_eq!(was, is);
            continue;
        }
        // Of those that were there, the nearest to a new one is of its own clump.
        let clump = |at: usize| {
            let name = &after.catalog.tools()[at].name;
            name[1..].parse::<usize>().unwrap() % 10
        };
        let far = |of: &usize| far(picture.points[*of].unwrap(), is.unwrap());
        let nearest = (0..97).min_by(|a, b| far(a).total_cmp(&far(b)));
        assert_eq!(clump(nearest.unwrap()), clump(at));
    }
}

#[test]
fn much_that_is_new_turns_the_picture_little() {
    let mut numbers = all(300);
    let before = draw(&index(1, &numbers, &[]), None).unwrap();
    numbers.extend(300..360);
    let after = index(2, &numbers, &[]);
    let picture = draw(&after, Some(&before)).unwrap();
    let was = before.seen_in(&after);
    let both = was.iter().zip(&picture.points);
    let mut moved: Vec<f32> =
        both.filter_map(|(was, is)| Some(far((*was)?, (*is)?) / extent(&before))).collect();
    assert_eq!(moved.len(), 300);
    moved.sort_by(f32::total_cmp);
    assert!(moved[150] < 0.15, "half of all moved by {} of the half width", moved[150]);
}

#[test]
fn a_few_tools_and_none_are_pictures_too() {
    for count in 1..FEWEST + 3 {
        let picture = draw(&index(1, &all(count), &[]), None).unwrap();
        let points = drawn(&picture);
        assert_eq!(points.len(), count);
        for (at, point) in points.iter().enumerate() {
            assert!(point.iter().all(|number| number.is_finite()));
            assert!(points[..at].iter().all(|other| far(*other, *point) > 1e-3), "{points:?}");
        }
    }
    assert!(draw(&Index::build(1, Arc::default()), None).is_none());
}

#[test]
fn nothing_is_drawn_for_a_generation_that_changes_nothing() {
    let first = index(1, &all(30), &[3]);
    let before = draw(&first, None).unwrap();
    let mut same = first.updated(2, Arc::clone(&first.catalog));
    same.dense.clone_from(&first.dense);
    assert!(before.is_of(&same));
    let after = draw(&same, Some(&before)).unwrap();
    assert_eq!((after.generation, &after.points), (2, &before.points));
    // One gets its vector.
    let more = index(3, &all(30), &[]);
    assert!(!before.is_of(&more));
    let after = draw(&more, Some(&before)).unwrap();
    assert!(before.points[3].is_none() && after.points[3].is_some());
    assert_eq!(after.points[4], before.points[4]);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]
    #[test]
    fn who_has_a_vector_has_a_point_and_nobody_else(
        steps in prop::collection::vec(
            (prop::collection::btree_set(0_usize..40, 1..30), prop::collection::vec(0_usize..40, 0..6)),
            1..4,
        ),
    ) {
        let mut earlier: Option<Picture> = None;
        for (generation, (numbers, without)) in (1..).zip(steps) {
            let numbers: Vec<usize> = numbers.into_iter().collect();
            let index = index(generation, &numbers, &without);
            let picture = draw(&index, earlier.as_ref());
            let Some(picture) = picture else {
                prop_assert!(numbers.iter().all(|number| without.contains(number)));
                continue;
            };
            for (number, point) in numbers.iter().zip(&picture.points) {
                prop_assert_eq!(point.is_some(), !without.contains(number));
                prop_assert!(point.iter().flatten().all(|number| number.is_finite()));
            }
            earlier = Some(picture);
        }
    }
}
