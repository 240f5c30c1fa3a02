//! Whether frames come often enough for a line: sightings of an object before and behind it.

use serde::{Deserialize, Serialize};
use verge_domain::countable::{Countability, LineSightings};
use verge_domain::id::PlaceId;

use crate::geometry::{Point, orientation};
use crate::ground::Ground;
use crate::settings::SceneLine;

/// Sightings are counted up to this.
pub(crate) const ENOUGH: u16 = 15;
/// Crossings after which the older half of them counts half.
const LATELY: u16 = 64;
/// Crossings before which nothing is said.
const LEAST: u16 = 4;

/// What sightings on both sides of a line mean for its counts.
#[must_use]
pub const fn countability(before: u32, after: u32) -> Countability {
    match if before < after { before } else { after } {
        0 | 1 => Countability::TooFew,
        2 => Countability::Few,
        _ => Countability::Good,
    }
}

/// Sightings over a way of this length, at this speed and rate, on average.
#[must_use]
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a cast saturates")]
pub fn sightings_over(metres: f64, metres_per_s: f64, frames_per_s: f64) -> u32 {
    (metres / metres_per_s.max(0.1) * frames_per_s).round().max(0.0) as u32
}

/// Metres of ground that the picture shows on the left and on the right of a line, from its middle at right angles: on the way
/// an object is seen before and behind it. Up to 100.
#[must_use]
pub fn metres_beside(line: &SceneLine, ground: &Ground) -> Option<[f64; 2]> {
    const STEP: f64 = 0.25;
    const MOST: u32 = 400;
    let place = |[x, y]: [f64; 2]| ground.place(Point::new(x, y));
    let (from, to) = (place(line.from)?, place(line.to)?);
    let way = to.minus(from).unit()?;
    let middle = place([0, 1].map(|axis| f64::midpoint(line.from[axis], line.to[axis])))?;
    let normal = Point::new(-way.y, way.x);
    let is_shown = |at: Point| ground.picture(at).is_some_and(|p| in_picture(p.x) && in_picture(p.y));
    let metres = |turn: f64| {
        let steps =
            (1..=MOST).take_while(|&step| is_shown(middle.plus(normal.times(turn * STEP * f64::from(step)))));
        steps.last().map_or(0.0, |step| STEP * f64::from(step))
    };
    // Which side is which is said of the picture: the ground's axes may be those of a map.
    let beside = ground.picture(middle.plus(normal.times(STEP)))?;
    let [from, to] = [line.from, line.to].map(|[x, y]| Point::new(x, y));
    let turn = if orientation(from, to, beside) > 0.0 { 1.0 } else { -1.0 };
    Some([metres(-turn), metres(turn)])
}

fn in_picture(share: f64) -> bool {
    (0.0..=1.0).contains(&share)
}

/// How often what crossed a line lately was seen before and behind it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct SightingTally {
    before: [u16; ENOUGH as usize + 1],
    after: [u16; ENOUGH as usize + 1],
}

impl SightingTally {
    pub(crate) fn add(&mut self, before: u16, after: u16) {
        for (counts, seen) in [(&mut self.before, before), (&mut self.after, after)] {
            counts[usize::from(seen.min(ENOUGH))] += 1;
        }
        if self.crossings() >= LATELY {
            self.before.iter_mut().chain(&mut self.after).for_each(|count| *count /= 2);
        }
    }

    fn crossings(&self) -> u16 {
        self.before.iter().sum()
    }

    /// What a saved one may hold.
    pub(crate) fn is_sound(&self) -> bool {
        let sum = |counts: &[u16]| counts.iter().map(|count| u32::from(*count)).sum::<u32>();
        sum(&self.before) <= u32::from(LATELY) && sum(&self.after) <= u32::from(LATELY)
    }

    /// `None` while too little has crossed.
    pub(crate) fn of(&self, line: &PlaceId) -> Option<LineSightings> {
        let crossings = self.crossings();
        (crossings >= LEAST).then(|| {
            let (before, after) = (median(&self.before), median(&self.after));
            let verdict = countability(before, after);
            LineSightings { line: line.clone(), crossings: u32::from(crossings), before, after, verdict }
        })
    }

    pub(crate) fn is_too_few(&self) -> bool {
        let is_known = self.crossings() >= LEAST;
        is_known && countability(median(&self.before), median(&self.after)) == Countability::TooFew
    }
}

/// The middle one, counting from below.
fn median(counts: &[u16]) -> u32 {
    let all: u16 = counts.iter().sum();
    let mut passed = 0;
    let reaches = |count: &u16| {
        passed += count;
        2 * passed > all
    };
    counts.iter().position(reaches).and_then(|seen| u32::try_from(seen).ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::Anchor;

    #[test]
    fn three_sightings_on_each_side_are_good_and_one_is_too_few() {
        let check = |before, after, expected: &str| {
            assert_eq!(countability(before, after).as_str(), expected, "{before}, {after}");
        };
        check(3, 3, "good");
        check(15, 2, "few");
        check(2, 9, "few");
        check(1, 9, "too_few");
        check(4, 0, "too_few");
    }

    #[test]
    fn the_median_of_the_newer_crossings_decides() {
        let line = PlaceId::new("north").unwrap();
        let mut tally = SightingTally::default();
        for _ in 0..3 {
            tally.add(9, 8);
            assert_eq!((tally.of(&line), tally.is_too_few()), (None, false), "too little has crossed");
        }
        tally.add(40, 8);
        let found = tally.of(&line).unwrap();
        assert_eq!((found.crossings, found.before, found.after), (4, 9, 8));
        for _ in 0..200 {
            tally.add(5, 1);
        }
        let found = tally.of(&line).unwrap();
        assert_eq!((found.before, found.after, found.verdict), (5, 1, Countability::TooFew));
        assert!(found.crossings < 64 && tally.is_too_few() && tally.is_sound());
    }

    #[test]
    fn the_ground_beside_a_line_says_how_often_what_passes_is_seen() {
        // Ten metres wide, and forty long from the lower border to the upper one.
        let picture = [[0.0, 0.0], [1.0, 0.0], [1.0, 1.0], [0.0, 1.0]];
        let ground = Ground::new(picture, [[0.0, 40.0], [10.0, 40.0], [10.0, 0.0], [0.0, 0.0]]).unwrap();
        let line = |y: f64| SceneLine {
            name: PlaceId::new("a").unwrap(),
            from: [0.2, y],
            to: [0.8, y],
            anchor: Anchor::Bottom,
        };
        let near = |found: Option<[f64; 2]>, expected: [f64; 2]| {
            let off =
                found.unwrap().into_iter().zip(expected).map(|(found, expected)| (found - expected).abs());
            assert!(off.fold(0.0, f64::max) <= 0.25, "{found:?}");
        };
        near(metres_beside(&line(0.5), &ground), [20.0, 20.0]);
        // Its left is above it: what comes from there has a long way.
        near(metres_beside(&line(0.9), &ground), [36.0, 4.0]);
        // 50 km/h over 20 m at 5 frames a second.
        assert_eq!((sightings_over(20.0, 13.9, 5.0), sightings_over(4.0, 13.9, 5.0)), (7, 1));
    }
}
