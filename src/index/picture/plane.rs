//! Points in a plane: how one cloud is turned onto another, and where points go that nothing places.

use std::f32::consts::{PI, TAU};

use super::Point;

/// Radius of the circle that a few tools stand in.
const RADIUS: f32 = 10.0;
/// How far one is put beside where it would be.
const BESIDE: f32 = 0.15;

/// Turning, mirroring, stretching and moving, as one map: `p` becomes `a·p + b` of complex numbers, of the
/// mirrored `p` where that fits better.
#[derive(Debug, Clone, Copy)]
pub struct Onto {
    mirrored: bool,
    by: [f64; 2],
    from: [f64; 2],
    to: [f64; 2],
}

impl Onto {
    /// What brings each first point closest to its second (Procrustes); nothing where that says
    /// too little.
    pub fn fit(pairs: impl Iterator<Item = (Point, Point)>) -> Self {
        let pairs: Vec<([f64; 2], [f64; 2])> =
            pairs.map(|(from, to)| (from.map(f64::from), to.map(f64::from))).collect();
        #[expect(clippy::cast_precision_loss, reason = "a count of tools")]
        let count = pairs.len().max(1) as f64;
        let mean = |points: &mut dyn Iterator<Item = [f64; 2]>| {
            let sum = points.fold([0.0; 2], |sum, at| [sum[0] + at[0], sum[1] + at[1]]);
            sum.map(|sum| sum / count)
        };
        let from = mean(&mut pairs.iter().map(|pair| pair.0));
        let to = mean(&mut pairs.iter().map(|pair| pair.1));
        // Sums of conj(p)·q, of p·q for the mirrored, and of |p|².
        let (mut plain, mut mirror, mut size) = ([0.0; 2], [0.0; 2], 0.0);
        for (p, q) in &pairs {
            let [px, py] = [p[0] - from[0], p[1] - from[1]];
            let [qx, qy] = [q[0] - to[0], q[1] - to[1]];
            plain = [plain[0] + px * qx + py * qy, plain[1] + px * qy - py * qx];
            mirror = [mirror[0] + px * qx - py * qy, mirror[1] + px * qy + py * qx];
            size += px * px + py * py;
        }
        let length = |sum: [f64; 2]| sum[0].hypot(sum[1]);
        let mirrored = length(mirror) > length(plain);
        let sum = if mirrored { mirror } else { plain };
        if pairs.len() < 3 || size <= 0.0 || length(sum) <= 0.0 {
            return Self { mirrored: false, by: [1.0, 0.0], from: [0.0; 2], to: [0.0; 2] };
        }
        Self { mirrored, by: sum.map(|sum| sum / size), from, to }
    }

    /// Where a point comes to.
    pub fn turn(&self, point: Point) -> Point {
        let [x, y] = point.map(f64::from);
        let [x, y] = [x - self.from[0], y - self.from[1]];
        let y = if self.mirrored { -y } else { y };
        let turned = [
            self.by[0] * x - self.by[1] * y + self.to[0],
            self.by[0] * y + self.by[1] * x + self.to[1],
        ];
        #[expect(clippy::cast_possible_truncation, reason = "a place in a picture")]
        turned.map(|number| number as f32)
    }
}

/// So many points in a circle.
pub fn circle(count: usize) -> Vec<Point> {
    #[expect(clippy::cast_precision_loss, reason = "a count of tools")]
    let at = |place: usize| TAU * place as f32 / count.max(1) as f32;
    (0..count).map(|place| [RADIUS * at(place).cos(), RADIUS * at(place).sin()]).collect()
}

/// A little beside `point`, in another direction for each `turn`.
pub fn beside(point: Point, turn: usize) -> Point {
    // By the golden angle no two of a few thousand point the same way.
    #[expect(clippy::cast_precision_loss, reason = "only a direction")]
    let angle = PI * (3.0 - 5.0_f32.sqrt()) * (turn % 4_096) as f32;
    [point[0] + BESIDE * angle.cos(), point[1] + BESIDE * angle.sin()]
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_cloud_that_was_turned_mirrored_stretched_and_moved_comes_back(
            cloud in prop::collection::vec([-9.0_f32..9.0, -9.0_f32..9.0], 5..40),
            angle in 0.0_f32..TAU,
            stretched in 0.2_f32..5.0,
            moved in [-50.0_f32..50.0, -50.0_f32..50.0],
            mirrored in any::<bool>(),
        ) {
            let wide = |axis: usize| {
                let numbers = cloud.iter().map(|point| point[axis]);
                numbers.clone().fold(f32::MIN, f32::max) - numbers.fold(f32::MAX, f32::min)
            };
            prop_assume!(wide(0) > 1.0 && wide(1) > 1.0);
            let change = |[x, y]: Point| {
                let y = if mirrored { -y } else { y };
                let [x, y] = [x * stretched, y * stretched];
                let (sin, cos) = angle.sin_cos();
                [x * cos - y * sin + moved[0], x * sin + y * cos + moved[1]]
            };
            let onto = Onto::fit(cloud.iter().map(|point| (change(*point), *point)));
            for point in &cloud {
                let back = onto.turn(change(*point));
                let far = (back[0] - point[0]).hypot(back[1] - point[1]);
                prop_assert!(far < 0.02, "{point:?} came to {back:?}");
            }
        }
    }

    #[test]
    fn of_too_few_points_nothing_is_made() {
        let stays = |onto: Onto| {
            let [x, y] = onto.turn([5.0, 6.0]);
            (x - 5.0).abs() < 1e-6 && (y - 6.0).abs() < 1e-6
        };
        let onto = Onto::fit([([1.0, 2.0], [3.0, 4.0])].into_iter());
        assert!(stays(onto));
        let onto = Onto::fit([([1.0, 2.0], [3.0, 4.0]); 5].into_iter());
        assert!(stays(onto));
    }
}
