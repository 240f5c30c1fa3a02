//! Points, lines and polygons in the plane: of the picture (pixels, y down) or of the ground (metres).

use serde::{Deserialize, Serialize};

/// A point, or the way from one to another.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct Point {
    /// To the right.
    pub x: f64,
    /// Down in pictures.
    pub y: f64,
}

impl Point {
    /// At these coordinates.
    #[must_use]
    pub const fn new(x: f64, y: f64) -> Self {
        Self { x, y }
    }

    pub(crate) fn minus(self, other: Self) -> Self {
        Self::new(self.x - other.x, self.y - other.y)
    }

    pub(crate) fn plus(self, other: Self) -> Self {
        Self::new(self.x + other.x, self.y + other.y)
    }

    pub(crate) fn times(self, factor: f64) -> Self {
        Self::new(self.x * factor, self.y * factor)
    }

    pub(crate) fn cross(self, other: Self) -> f64 {
        self.x * other.y - self.y * other.x
    }

    pub(crate) fn dot(self, other: Self) -> f64 {
        self.x * other.x + self.y * other.y
    }

    pub(crate) fn length(self) -> f64 {
        self.x.hypot(self.y)
    }

    /// The same direction with length 1; `None` for no direction.
    pub(crate) fn unit(self) -> Option<Self> {
        let length = self.length();
        (length > 1e-9).then(|| self.times(1.0 / length))
    }
}

/// On which side of the way from `a` to `b` a point lies: positive on its right as pictures are seen (y down).
pub(crate) fn orientation(a: Point, b: Point, point: Point) -> f64 {
    b.minus(a).cross(point.minus(a))
}

/// Whether two closed segments share a point.
fn segments_meet(a: Point, b: Point, c: Point, d: Point) -> bool {
    let within = |low: f64, high: f64, value: f64| value >= low.min(high) && value <= low.max(high);
    let holds = |a: Point, b: Point, point: Point| within(a.x, b.x, point.x) && within(a.y, b.y, point.y);
    let (of_c, of_d) = (orientation(a, b, c), orientation(a, b, d));
    let (of_a, of_b) = (orientation(c, d, a), orientation(c, d, b));
    if of_c * of_d < 0.0 && of_a * of_b < 0.0 {
        return true;
    }
    (of_c == 0.0 && holds(a, b, c))
        || (of_d == 0.0 && holds(a, b, d))
        || (of_a == 0.0 && holds(c, d, a))
        || (of_b == 0.0 && holds(c, d, b))
}

/// The edges of a closed polygon.
fn edges(corners: &[Point]) -> impl Iterator<Item = (Point, Point)> {
    corners.iter().copied().zip(corners.iter().copied().cycle().skip(1))
}

/// Whether a point lies in a polygon (even-odd rule; a polygon includes its upper and left borders, so that polygons that
/// join hold every point once).
pub(crate) fn contains(corners: &[Point], point: Point) -> bool {
    let mut inside = false;
    for (a, b) in edges(corners) {
        if (a.y > point.y) != (b.y > point.y) {
            let at = a.x + (point.y - a.y) / (b.y - a.y) * (b.x - a.x);
            inside ^= point.x < at;
        }
    }
    inside
}

/// Whether two polygons share a point.
pub(crate) fn overlap(first: &[Point], second: &[Point]) -> bool {
    let (Some(&a), Some(&b)) = (first.first(), second.first()) else { return false };
    edges(first).any(|(a, b)| edges(second).any(|(c, d)| segments_meet(a, b, c, d)))
        || contains(second, a)
        || contains(first, b)
}

/// The area of a polygon, signed by its direction.
pub(crate) fn area(corners: &[Point]) -> f64 {
    edges(corners).map(|(a, b)| a.cross(b)).sum::<f64>() / 2.0
}

/// Two edges of a polygon that cross, by the number of the corner at which each begins; `None` where it is simple.
pub(crate) fn self_crossing(corners: &[Point]) -> Option<(usize, usize)> {
    let all: Vec<_> = edges(corners).collect();
    let joined = |first: usize, second: usize| second == first + 1 || (first == 0 && second + 1 == all.len());
    (0..all.len()).find_map(|first| {
        let mut others = first + 1..all.len();
        let found = others.find(|&second| {
            let ((a, b), (c, d)) = (all[first], all[second]);
            !joined(first, second) && segments_meet(a, b, c, d)
        });
        found.map(|second| (first, second))
    })
}

/// Whether a polygon of four corners is convex, and how it turns: 1 or −1; 0 where it is not.
pub(crate) fn convex_turn(corners: &[Point; 4], least: f64) -> i8 {
    let turn = |at: usize| orientation(corners[at], corners[(at + 1) % 4], corners[(at + 2) % 4]);
    let turns = [turn(0), turn(1), turn(2), turn(3)];
    if turns.iter().all(|&turn| turn > least) {
        1
    } else if turns.iter().all(|&turn| turn < -least) {
        -1
    } else {
        0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn polygon(corners: &[(f64, f64)]) -> Vec<Point> {
        corners.iter().map(|&(x, y)| Point::new(x, y)).collect()
    }

    #[test]
    fn points_lie_in_one_of_two_polygons_that_join() {
        let left = polygon(&[(0.0, 0.0), (2.0, 0.0), (2.0, 2.0), (0.0, 2.0)]);
        let right = polygon(&[(2.0, 0.0), (4.0, 0.0), (4.0, 2.0), (2.0, 2.0)]);
        let check = |x: f64, y: f64, expected: (bool, bool)| {
            let point = Point::new(x, y);
            assert_eq!((contains(&left, point), contains(&right, point)), expected, "{x} {y}");
        };
        check(1.0, 1.0, (true, false));
        check(2.0, 1.0, (false, true));
        check(3.0, 0.0, (false, true));
        check(3.0, 2.0, (false, false));
        assert!(overlap(&left, &right));
        let far = polygon(&[(5.0, 5.0), (6.0, 5.0), (6.0, 6.0)]);
        assert!(!overlap(&left, &far));
        let inner = polygon(&[(0.5, 0.5), (1.0, 0.5), (1.0, 1.0)]);
        assert!(overlap(&left, &inner) && overlap(&inner, &left));
    }

    #[test]
    fn a_polygon_that_crosses_itself_is_found() {
        let bow = polygon(&[(0.0, 0.0), (1.0, 1.0), (1.0, 0.0), (0.0, 1.0)]);
        assert_eq!(self_crossing(&bow), Some((0, 2)));
        let star = polygon(&[(0.0, 0.0), (2.0, 0.0), (2.0, 2.0), (1.0, 0.5), (0.0, 2.0)]);
        assert_eq!(self_crossing(&star), None);
        assert!((area(&star).abs() - 2.5).abs() < 1e-12);
    }
}
