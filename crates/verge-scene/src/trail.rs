//! Where an object was on the ground lately, and how fast it is.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

use crate::geometry::Point;

/// A place on the ground at a time.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
struct TrailPoint {
    at: f64,
    place: Point,
}

/// Marks at most.
const MOST: usize = 32;
/// Seconds between two of them at least.
const APART: f64 = 0.06;
/// Seconds that are kept.
const KEPT: f64 = 2.2;
/// Marks that are kept whatever their age.
const LEAST: usize = 4;
/// The speed at a time is that of the marks within this many seconds of it.
const AROUND: f64 = 0.8;
/// The present speed is that of the marks of this many seconds.
const LATELY: f64 = 1.2;

/// The latest marks of one object, oldest first.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub(crate) struct Trail {
    marks: VecDeque<TrailPoint>,
}

impl Trail {
    pub(crate) fn add(&mut self, at: f64, place: Point) {
        if self.marks.back().is_some_and(|last| at - last.at < APART) {
            return;
        }
        self.marks.push_back(TrailPoint { at, place });
        while self.marks.len() > MOST
            || (self.marks.len() > LEAST && self.marks.front().is_some_and(|first| at - first.at > KEPT))
        {
            self.marks.pop_front();
        }
    }

    /// Where it is by its latest marks, the median of each coordinate: a single box that is cut or merged moves nothing. `None`
    /// where no mark is of this time.
    pub(crate) fn place_lately(&self, at: f64) -> Option<Point> {
        let last = self.marks.back().filter(|last| at - last.at < APART)?;
        let (mut xs, mut ys, mut count) = ([0.0; MOST], [0.0; MOST], 0);
        for mark in self.marks.iter().rev().take_while(|mark| last.at - mark.at <= AROUND).take(MOST) {
            (xs[count], ys[count]) = (mark.place.x, mark.place.y);
            count += 1;
        }
        let median = |values: &mut [f64]| {
            values.sort_unstable_by(f64::total_cmp);
            f64::midpoint(values[(values.len() - 1) / 2], values[values.len() / 2])
        };
        Some(Point::new(median(&mut xs[..count]), median(&mut ys[..count])))
    }

    /// Velocity in metres per second around a time; `None` where too little was seen.
    pub(crate) fn velocity_around(&self, at: f64) -> Option<Point> {
        self.velocity(at - AROUND, at + AROUND).or_else(|| {
            // At few frames a second: the sightings before and after.
            let after = self.marks.iter().find(|mark| mark.at >= at)?;
            let before = self.marks.iter().rev().find(|mark| mark.at < at)?;
            (after.at - before.at <= 2.0 * KEPT)
                .then(|| after.place.minus(before.place).times(1.0 / (after.at - before.at)))
        })
    }

    /// Velocity in metres per second at the last mark.
    pub(crate) fn velocity_now(&self) -> Option<Point> {
        let last = self.marks.back()?;
        self.velocity(last.at - LATELY, last.at).or_else(|| {
            let before = self.marks.get(self.marks.len().checked_sub(2)?)?;
            Some(last.place.minus(before.place).times(1.0 / (last.at - before.at)))
        })
    }

    /// Least squares over the marks of a span of time.
    fn velocity(&self, from: f64, to: f64) -> Option<Point> {
        let within = || self.marks.iter().filter(|mark| (from..=to).contains(&mark.at));
        let (first, last) = (within().next()?, within().next_back()?);
        let count = within().count();
        if count < 3 || last.at - first.at < 0.25 {
            return None;
        }
        #[expect(clippy::cast_precision_loss, reason = "at most 32")]
        let share = 1.0 / count as f64;
        let time = within().map(|mark| mark.at - first.at).sum::<f64>() * share;
        let middle = within().fold(Point::default(), |sum, mark| sum.plus(mark.place)).times(share);
        let (mut spread, mut along) = (0.0, Point::default());
        for mark in within() {
            let off = mark.at - first.at - time;
            spread += off * off;
            along = along.plus(mark.place.minus(middle).times(off));
        }
        Some(along.times(1.0 / spread))
    }

    pub(crate) fn is_finite(&self) -> bool {
        self.marks.len() <= MOST
            && self.marks.iter().flat_map(|mark| [mark.at, mark.place.x, mark.place.y]).all(f64::is_finite)
    }

    pub(crate) fn heap_bytes(&self) -> usize {
        self.marks.capacity() * size_of::<TrailPoint>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_speed_is_that_of_the_marks_around_a_time() {
        let mut trail = Trail::default();
        assert_eq!(trail.velocity_now(), None);
        // Ten a second: at first 5 m/s, from the second second on 10 m/s.
        for number in 0..40_u32 {
            let at = f64::from(number) / 10.0;
            let east = if at < 2.0 { 5.0 * at } else { 10.0 * at - 10.0 };
            trail.add(at, Point::new(east, 0.0));
        }
        assert!((trail.velocity_now().unwrap().x - 10.0).abs() < 1e-9);
        assert!((trail.velocity_around(3.0).unwrap().x - 10.0).abs() < 1e-9);
        assert!(trail.marks.len() <= MOST && trail.is_finite());
        // One mark far off moves nothing; a time without a mark has no place.
        let mut trail = Trail::default();
        for number in 0..8_u32 {
            let x = if number == 6 { 90.0 } else { f64::from(number % 2) };
            trail.add(f64::from(number) / 5.0, Point::new(x, 7.0));
        }
        let place = trail.place_lately(1.4).unwrap();
        assert!((0.0..=1.0).contains(&place.x) && (place.y - 7.0).abs() < 1e-9, "{place:?}");
        assert_eq!(trail.place_lately(1.6), None);
        // One frame a second: the two sightings beside it.
        let mut trail = Trail::default();
        for second in 0..3_u32 {
            trail.add(f64::from(second), Point::new(3.0 * f64::from(second), 4.0 * f64::from(second)));
        }
        assert!((trail.velocity_around(1.5).unwrap().length() - 5.0).abs() < 1e-9);
    }
}
