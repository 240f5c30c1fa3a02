//! What lines and zones would have counted of tracks that were followed before: for people who draw.

use std::collections::HashMap;

use crate::geometry::{Point, contains};
use crate::line::{LineCourse, PlacedLine};
use crate::settings::SceneLine;
use crate::track::{FrameSize, SeenBox};

/// Tracks over one set of lines and zones.
#[derive(Debug)]
pub struct SceneTrial {
    frame: FrameSize,
    lines: Vec<PlacedLine>,
    zones: Vec<Vec<Point>>,
    tracks: HashMap<u64, TrackTrial>,
    counts: Vec<[u64; 2]>,
    within: Vec<u64>,
}

#[derive(Debug)]
struct TrackTrial {
    courses: Vec<LineCourse>,
    within: Vec<bool>,
}

impl SceneTrial {
    /// Nothing has been seen. Zones by their corners, in shares of the sides.
    #[must_use]
    pub fn new(frame: FrameSize, lines: &[SceneLine], zones: &[Vec<[f64; 2]>]) -> Self {
        let corners = |zone: &Vec<[f64; 2]>| zone.iter().map(|&[x, y]| Point::new(x, y)).collect();
        Self {
            frame,
            lines: lines.iter().map(|line| PlacedLine::new(line, frame)).collect(),
            zones: zones.iter().map(corners).collect(),
            tracks: HashMap::new(),
            counts: vec![[0; 2]; lines.len()],
            within: vec![0; zones.len()],
        }
    }

    /// An object was there, in seconds and in shares of the sides: left, top, width, height.
    pub fn see(&mut self, track: u64, at: f64, [left, top, width, height]: [f64; 4]) {
        let (wide, high) = (f64::from(self.frame.width), f64::from(self.frame.height));
        let seen = SeenBox {
            class: 0,
            score: 1.0,
            left: left * wide,
            top: top * high,
            right: (left + width) * wide,
            bottom: (top + height) * high,
        };
        let (lines, zones) = (self.lines.len(), self.zones.len());
        let known = self.tracks.entry(track).or_insert_with(|| TrackTrial {
            courses: vec![LineCourse::default(); lines],
            within: vec![false; zones],
        });
        let of_lines = self.lines.iter().zip(&mut known.courses).zip(&mut self.counts);
        for ((line, course), counts) in of_lines {
            if let Some(passage) = line.follow(course, at, &seen, self.frame) {
                counts[usize::from(!passage.forward)] += 1;
            }
        }
        let foot = Point::new(left + width / 2.0, top + height);
        for ((zone, within), count) in self.zones.iter().zip(&mut known.within).zip(&mut self.within) {
            if !*within && contains(zone, foot) {
                *within = true;
                *count += 1;
            }
        }
    }

    /// How many objects were seen.
    #[must_use]
    pub fn tracks(&self) -> usize {
        self.tracks.len()
    }

    /// Of each line: what crossed it forward and backward.
    #[must_use]
    pub fn counts(&self) -> &[[u64; 2]] {
        &self.counts
    }

    /// Of each zone: how many objects were in it.
    #[must_use]
    pub fn within(&self) -> &[u64] {
        &self.within
    }
}

#[cfg(test)]
mod tests {
    use verge_domain::id::PlaceId;

    use super::*;
    use crate::settings::Anchor;

    #[test]
    fn lines_and_zones_count_what_was_followed() {
        let line =
            |from, to| SceneLine { name: PlaceId::new("l").unwrap(), from, to, anchor: Anchor::Bottom };
        let lines =
            [line([0.0, 0.5], [1.0, 0.5]), line([1.0, 0.5], [0.0, 0.5]), line([0.0, 0.9], [0.2, 0.9])];
        let zone = vec![[0.2, 0.4], [0.6, 0.4], [0.6, 0.6], [0.2, 0.6]];
        let mut trial =
            SceneTrial::new(FrameSize { width: 640, height: 480 }, &lines, &[zone, vec![[0.0; 2]; 3]]);
        for step in 0..20 {
            let y = f64::from(step) * 0.04;
            trial.see(7, f64::from(step) * 0.2, [0.3, y, 0.1, 0.1]);
            // One that stands.
            trial.see(8, f64::from(step) * 0.2, [0.7, 0.2, 0.1, 0.1]);
        }
        assert_eq!((trial.tracks(), trial.within()), (2, &[1, 0][..]));
        // Down is forward where the line runs from left to right, as for the judge itself.
        assert_eq!(trial.counts(), [[1, 0], [0, 1], [0, 0]]);
    }
}
