//! A bounded set of shapes that are as unlike each other as can be.
//!
//! It fills up with what comes. From then on a shape enters if it is farther from the rest than the two most
//! alike of the set are from each other, and takes the place of one of those (the greedy rule for scattered
//! subsets; Ravi, Rosenkrantz and Tayi 1994). So everything that ever occurred has something like it in the set,
//! rarities included, and long repetition does not crowd them out. No chance is involved.

use serde::{Deserialize, Serialize};

use super::STEPS;

/// Bytes per shape for its nearest neighbour and for work space.
pub(crate) const BYTES_BESIDE_SHAPE: usize = size_of::<Nearest>() + size_of::<u32>();

/// Shapes, all of one length.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Reservoir {
    points: usize,
    capacity: usize,
    /// One after the other.
    shapes: Vec<i16>,
    nearest: Vec<Nearest>,
    /// Squared distances of the shape that is offered; work space.
    #[serde(skip)]
    squares: Vec<u32>,
}

/// The nearest other shape of the set.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
struct Nearest {
    square: u32,
    place: u16,
}

const NOBODY: Nearest = Nearest { square: u32::MAX, place: u16::MAX };

impl Reservoir {
    /// An empty set of at most `capacity` shapes of `points` points.
    #[must_use]
    pub fn new(points: usize, capacity: usize) -> Self {
        let mut made =
            Self { points, capacity, shapes: Vec::new(), nearest: Vec::new(), squares: Vec::new() };
        made.reserve();
        made
    }

    /// Allocates all the memory that it will ever use.
    pub(crate) fn reserve(&mut self) {
        self.shapes.reserve_exact(self.capacity * self.points - self.shapes.len());
        self.nearest.reserve_exact(self.capacity - self.nearest.len());
        self.squares = Vec::with_capacity(self.capacity);
    }

    /// Shapes held.
    #[must_use]
    pub fn len(&self) -> usize {
        self.nearest.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.nearest.is_empty()
    }

    /// Root mean square difference from the nearest shape, in standard deviations; finite. Zero where there is
    /// none.
    #[must_use]
    pub fn distance(&self, shape: &[i16]) -> f64 {
        let squares = self.shapes.chunks_exact(self.points).map(|other| square(shape, other));
        let least = squares.min().unwrap_or(0);
        (f64::from(least) / self.points as f64).sqrt() / STEPS
    }

    /// Takes a shape in, if it adds something.
    pub fn offer(&mut self, shape: &[i16]) {
        self.squares.clear();
        let squares = self.shapes.chunks_exact(self.points).map(|other| square(shape, other));
        self.squares.extend(squares);
        if self.len() < self.capacity {
            let place = self.len();
            self.shapes.extend_from_slice(shape);
            self.nearest.push(NOBODY);
            // From itself it is as far as can be.
            self.squares.push(u32::MAX);
            self.settle(place);
            return;
        }
        let alike = self.nearest.iter().enumerate().min_by_key(|(_, nearest)| nearest.square);
        let Some((place, nearest)) = alike.map(|(place, nearest)| (place, *nearest)) else { return };
        self.squares[place] = u32::MAX;
        if self.squares.iter().min().is_some_and(|least| *least > nearest.square) {
            self.shapes[place * self.points..(place + 1) * self.points].copy_from_slice(shape);
            self.settle(place);
        }
    }

    /// Brings the nearest neighbours up to date after the shape at `place` has changed; `squares` are its.
    fn settle(&mut self, place: usize) {
        // At most 1024 shapes.
        let name = place as u16;
        for other in 0..self.len() {
            let square = self.squares[other];
            if other == place {
                continue;
            }
            if square <= self.nearest[other].square {
                self.nearest[other] = Nearest { square, place: name };
            } else if self.nearest[other].place == name {
                self.nearest[other] = self.nearest_of(other);
            }
        }
        let least = self.squares.iter().enumerate().min_by_key(|(_, square)| **square);
        self.nearest[place] =
            least.map_or(NOBODY, |(other, square)| Nearest { square: *square, place: other as u16 });
    }

    fn nearest_of(&self, place: usize) -> Nearest {
        let shapes = || self.shapes.chunks_exact(self.points).enumerate();
        let Some((_, shape)) = shapes().nth(place) else { return NOBODY };
        let others = shapes().filter(|(other, _)| *other != place);
        let squares =
            others.map(|(other, theirs)| Nearest { square: square(shape, theirs), place: other as u16 });
        squares.min_by_key(|nearest| nearest.square).unwrap_or(NOBODY)
    }

    /// Whether a saved state can be of a set like this.
    pub(crate) fn fits(&self, points: usize, capacity: usize) -> bool {
        let held = self.nearest.len();
        (self.points, self.capacity) == (points, capacity)
            && held <= capacity
            && self.shapes.len() == held * points
    }
}

/// Squared distance, in squared steps. The mean square of a shape's points is at most one squared standard
/// deviation, so that the sum is at most `4 * 32 * STEPS²`, far from 2³²: wrapping, which the compiler can lay out
/// for several points at once, never happens.
fn square(one: &[i16], other: &[i16]) -> u32 {
    one.iter().zip(other).fold(0, |sum: u32, (a, b)| {
        let difference = i32::from(*a).wrapping_sub(i32::from(*b));
        sum.wrapping_add(difference.wrapping_mul(difference).cast_unsigned())
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::noise::Noise;

    /// After any number of offers each nearest neighbour is what a search over all pairs finds.
    #[test]
    fn nearest_neighbours_are_kept_right() {
        let mut noise = Noise::new(4);
        let mut set = Reservoir::new(4, 20);
        for offered in 0..400 {
            let shape: Vec<i16> = (0..4).map(|_| (noise.normal() * 50.0).round() as i16).collect();
            set.offer(&shape);
            if set.len() < 2 {
                continue;
            }
            for place in 0..set.len() {
                let found = set.nearest_of(place).square;
                assert_eq!(set.nearest[place].square, found, "{place} after {offered}");
            }
        }
        assert_eq!(set.len(), 20);
    }

    #[test]
    fn repetition_does_not_crowd_out_what_is_rare() {
        let mut set = Reservoir::new(2, 16);
        set.offer(&[5000, 5000]);
        for index in 0..10_000_i16 {
            set.offer(&[index % 50, index % 7]);
        }
        assert!(set.distance(&[5000, 5000]) == 0.0);
        assert!(set.distance(&[25, 3]) < 20.0 / STEPS);
    }
}
