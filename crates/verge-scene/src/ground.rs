//! From the picture to the ground: a planar homography through four points, and what stands on the ground.

use nalgebra::{SMatrix, SVector};

use crate::geometry::{Point, convex_turn};

/// Length and width of what a class looks like from above, in metres.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Footprint {
    /// Along its direction of travel.
    pub length: f64,
    /// Across.
    pub width: f64,
}

impl Footprint {
    /// What objects of a class of this name usually measure.
    #[must_use]
    pub fn usual(class: &str) -> Self {
        let (length, width) = match class {
            "truck" | "lorry" | "heavy" => (8.5, 2.4),
            "bus" | "coach" => (11.5, 2.5),
            "van" => (5.5, 2.0),
            "motorbike" | "motorcycle" | "moped" | "bicycle" | "cyclist" | "two-wheeler" => (2.1, 0.8),
            "person" | "pedestrian" => (0.5, 0.6),
            _ => (4.5, 1.8),
        };
        Self { length, width }
    }
}

/// Why four pairs of points give no ground.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum GroundError {
    /// Three of them lie on one line, or they enclose nothing.
    #[error("the points of `{which}` lie on one line or enclose no area")]
    Flat {
        /// `picture` or `metres`.
        which: &'static str,
    },
    /// One side is crossed or has a corner that points inwards.
    #[error("the points of `{which}` are not the corners of a convex quadrilateral in their order")]
    Fold {
        /// `picture` or `metres`.
        which: &'static str,
    },
}

/// A homography from shares of the picture to metres.
#[derive(Debug, Clone, PartialEq)]
pub struct Ground {
    matrix: [f64; 9],
}

/// The smallest area that counts, as a share of the square of the longest side.
const LEAST_AREA: f64 = 1e-4;

impl Ground {
    /// Through four points: where they lie in the picture (shares of its sides) and on the ground (metres).
    ///
    /// # Errors
    /// See [`GroundError`].
    pub fn new(picture: [[f64; 2]; 4], metres: [[f64; 2]; 4]) -> Result<Self, GroundError> {
        let points = |corners: [[f64; 2]; 4]| corners.map(|[x, y]| Point::new(x, y));
        let (from, to) = (points(picture), points(metres));
        check_corners(&from, "picture")?;
        check_corners(&to, "metres")?;
        // The ground is worked out around the middle of its points: national grids have seven digits before the point.
        let middle = to.iter().fold(Point::default(), |sum, &point| sum.plus(point)).times(0.25);
        let mut left = SMatrix::<f64, 8, 8>::zeros();
        let mut right = SVector::<f64, 8>::zeros();
        for (at, (p, g)) in from.iter().zip(to.iter().map(|&point| point.minus(middle))).enumerate() {
            let x = [p.x, p.y, 1.0, 0.0, 0.0, 0.0, -g.x * p.x, -g.x * p.y];
            let y = [0.0, 0.0, 0.0, p.x, p.y, 1.0, -g.y * p.x, -g.y * p.y];
            for column in 0..8 {
                left[(2 * at, column)] = x[column];
                left[(2 * at + 1, column)] = y[column];
            }
            right[2 * at] = g.x;
            right[2 * at + 1] = g.y;
        }
        let solved = left.lu().solve(&right).ok_or(GroundError::Flat { which: "picture" })?;
        let mut matrix = [0.0; 9];
        matrix[..8].copy_from_slice(solved.as_slice());
        matrix[8] = 1.0;
        for column in 0..3 {
            matrix[column] += middle.x * matrix[6 + column];
            matrix[3 + column] += middle.y * matrix[6 + column];
        }
        if !matrix.iter().all(|number| number.is_finite()) {
            return Err(GroundError::Flat { which: "metres" });
        }
        let mut ground = Self { matrix };
        // The corner of the picture, where the matrix is 1, may lie above the horizon.
        if ground.depth(from[0]) < 0.0 {
            ground.matrix = ground.matrix.map(|number| -number);
        }
        // Points before and behind the horizon: no camera sees the ground in this way.
        if from.iter().any(|&point| ground.depth(point) <= 1e-9) {
            return Err(GroundError::Fold { which: "picture" });
        }
        Ok(ground)
    }

    fn depth(&self, at: Point) -> f64 {
        self.matrix[6] * at.x + self.matrix[7] * at.y + self.matrix[8]
    }

    /// The place on the ground that is seen at these shares of the picture; `None` at the horizon and above.
    #[must_use]
    pub fn place(&self, at: Point) -> Option<Point> {
        let depth = self.depth(at);
        let m = &self.matrix;
        (depth > 1e-6).then(|| {
            Point::new((m[0] * at.x + m[1] * at.y + m[2]) / depth, (m[3] * at.x + m[4] * at.y + m[5]) / depth)
        })
    }

    /// Where a place on the ground is seen, in shares of the picture and beyond; `None` for what lies behind the camera.
    pub(crate) fn picture(&self, place: Point) -> Option<Point> {
        let m = &self.matrix;
        let minor = |a: usize, b: usize, c: usize, d: usize| m[a] * m[d] - m[b] * m[c];
        let row = |one: f64, other: f64, last: f64| one * place.x + other * place.y + last;
        let x = row(minor(4, 5, 7, 8), -minor(1, 2, 7, 8), minor(1, 2, 4, 5));
        let y = row(-minor(3, 5, 6, 8), minor(0, 2, 6, 8), -minor(0, 2, 3, 5));
        let depth = row(minor(3, 4, 6, 7), -minor(0, 1, 6, 7), minor(0, 1, 3, 4));
        let at = Point::new(x / depth, y / depth);
        (at.x.is_finite() && at.y.is_finite() && self.depth(at) > 1e-6).then_some(at)
    }

    /// The four corners of what stands with the middle of its lower edge at `at` (shares) and travels along `travel`;
    /// `None` where the ground is not seen.
    pub(crate) fn footprint(&self, at: Point, travel: Option<Point>, size: Footprint) -> Option<[Point; 4]> {
        /// A step in the picture that is small and still well above rounding.
        const STEP: f64 = 1e-4;
        let near = self.place(at)?;
        let beyond = self.place(Point::new(at.x, at.y - STEP))?;
        let beside = self.place(Point::new(at.x + STEP, at.y))?;
        // Along one column of the picture, and square to what one row of it shows.
        let ray = beyond.minus(near).unit()?;
        let row = beside.minus(near).unit()?;
        let mut away = Point::new(-row.y, row.x);
        if away.dot(ray) < 0.0 {
            away = away.times(-1.0);
        }
        let along = travel.and_then(Point::unit).unwrap_or(away);
        let across = Point::new(-along.y, along.x);
        let half = (along.dot(away).abs() * size.length + across.dot(away).abs() * size.width) / 2.0;
        let middle = near.plus(ray.times(half / away.dot(ray).max(0.2)));
        let (length, width) = (along.times(size.length / 2.0), across.times(size.width / 2.0));
        Some([
            middle.plus(length).plus(width),
            middle.plus(length).minus(width),
            middle.minus(length).minus(width),
            middle.minus(length).plus(width),
        ])
    }
}

fn check_corners(corners: &[Point; 4], which: &'static str) -> Result<(), GroundError> {
    let side = |at: usize| corners[(at + 1) % 4].minus(corners[at]).length();
    let longest = (0..4).map(side).fold(0.0, f64::max);
    let least = LEAST_AREA * longest * longest;
    let is_flat = |a: usize, b: usize, c: usize| {
        crate::geometry::orientation(corners[a], corners[b], corners[c]).abs() <= least
    };
    let flat = [(0, 1, 2), (0, 1, 3), (0, 2, 3), (1, 2, 3)].iter().any(|&(a, b, c)| is_flat(a, b, c));
    if flat || longest.is_nan() {
        return Err(GroundError::Flat { which });
    }
    if convex_turn(corners, least) == 0 {
        return Err(GroundError::Fold { which });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const PICTURE: [[f64; 2]; 4] = [[0.4, 0.4], [0.6, 0.4], [0.9, 0.9], [0.1, 0.9]];

    #[test]
    fn the_four_points_lie_where_they_are_said_to_and_lines_stay_straight() {
        let metres = [[-7.0, 60.0], [7.0, 60.0], [7.0, 10.0], [-7.0, 10.0]];
        let ground = Ground::new(PICTURE, metres).unwrap();
        for ([x, y], [east, north]) in PICTURE.into_iter().zip(metres) {
            let found = ground.place(Point::new(x, y)).unwrap();
            assert!(found.minus(Point::new(east, north)).length() < 1e-6, "{found:?}");
        }
        for at in [Point::new(0.3, 0.8), Point::new(0.7, 0.45), Point::new(0.05, 0.95)] {
            let back = ground.picture(ground.place(at).unwrap()).unwrap();
            assert!(back.minus(at).length() < 1e-9, "{back:?}");
        }
        assert_eq!(ground.picture(Point::new(0.0, -1000.0)), None, "behind the camera");
        let middle = ground.place(Point::new(0.5, 0.7)).unwrap();
        assert!(middle.x.abs() < 1e-9 && middle.y > 10.0 && middle.y < 35.0, "{middle:?}");
        assert_eq!(ground.place(Point::new(0.5, 0.0)), None, "above the horizon");
        // The same in a national grid.
        let far = metres.map(|[x, y]| [x + 3_500_000.0, y + 5_600_000.0]);
        let there = Ground::new(PICTURE, far).unwrap().place(Point::new(0.5, 0.7)).unwrap();
        assert!((there.x - 3_500_000.0).abs() < 1e-3 && (there.y - 5_600_000.0 - middle.y).abs() < 1e-3);
    }

    #[test]
    fn a_car_stands_behind_its_lower_edge() {
        let metres = [[-7.0, 60.0], [7.0, 60.0], [7.0, 10.0], [-7.0, 10.0]];
        let ground = Ground::new(PICTURE, metres).unwrap();
        let at = Point::new(0.5, 0.8);
        let near = ground.place(at).unwrap();
        let size = Footprint { length: 4.5, width: 1.8 };
        let check = |travel: Point, depth: f64| {
            let corners = ground.footprint(at, Some(travel), size).unwrap();
            let low = corners.iter().map(|corner| corner.y).fold(f64::MAX, f64::min);
            let high = corners.iter().map(|corner| corner.y).fold(f64::MIN, f64::max);
            assert!((low - near.y).abs() < 1e-3 && (high - near.y - depth).abs() < 1e-3, "{corners:?}");
        };
        check(Point::new(0.0, 1.0), 4.5);
        check(Point::new(0.0, -9.0), 4.5);
        check(Point::new(1.0, 0.0), 1.8);
    }

    #[test]
    fn what_is_no_quadrilateral_is_refused() {
        let metres = [[0.0, 0.0], [1.0, 0.0], [1.0, 1.0], [0.0, 1.0]];
        let check = |picture: [[f64; 2]; 4], expected: GroundError| {
            assert_eq!(Ground::new(picture, metres), Err(expected));
        };
        check([[0.1, 0.1], [0.2, 0.2], [0.3, 0.3], [0.1, 0.9]], GroundError::Flat { which: "picture" });
        check([[0.5, 0.5]; 4], GroundError::Flat { which: "picture" });
        check([[0.1, 0.1], [0.9, 0.9], [0.9, 0.1], [0.1, 0.9]], GroundError::Fold { which: "picture" });
        check([[0.1, 0.1], [0.9, 0.1], [0.3, 0.25], [0.1, 0.9]], GroundError::Fold { which: "picture" });
        let crossed = [[0.0, 0.0], [1.0, 1.0], [1.0, 0.0], [0.0, 1.0]];
        assert_eq!(Ground::new(PICTURE, crossed), Err(GroundError::Fold { which: "metres" }));
    }
}
