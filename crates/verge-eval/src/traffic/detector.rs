//! What a detector makes of what a camera sees: all of it, or what detectors do to boxes.

use std::collections::BTreeMap;

use fastrand::Rng;

use super::camera::{Edges, HEIGHT, WIDTH, area, common, cut};
use super::road::random_between;

/// How good it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BoxNoise {
    /// Every object with its very edges.
    Ideal,
    /// Runs of misses, trembling edges, cut and merged boxes, ghosts, wrong classes.
    Detected,
}

impl BoxNoise {
    /// The stable text.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ideal => "ideal",
            Self::Detected => "detector-like",
        }
    }
}

/// A box of a detector.
#[derive(Debug, Clone, PartialEq)]
pub struct Detected {
    /// The object; `None` for ghosts.
    pub id: Option<u32>,
    /// Its class.
    pub label: &'static str,
    /// How sure it is.
    pub score: f64,
    /// Its edges in pixels.
    pub edges: Edges,
}

/// One object as it would be seen.
#[derive(Debug, Clone, Copy)]
pub struct Visible {
    /// It keeps it.
    pub id: u32,
    /// Its class.
    pub label: &'static str,
    /// Its edges in pixels, not cut.
    pub edges: Edges,
    /// Metres from the camera.
    pub distance: f64,
}

/// Seconds of a run of misses on average, and how often one begins per second.
const MISSED: f64 = 0.25;
const MISSES: f64 = 0.12;
/// Deviation of each edge, as a share of the box's side.
const JITTER: f64 = 0.025;

/// A detector at work.
#[derive(Debug, Clone)]
pub struct BoxSensor {
    boxes: BoxNoise,
    random: Rng,
    /// Until when objects are missed.
    missed: BTreeMap<u32, f64>,
    last: f64,
}

impl BoxSensor {
    /// A detector.
    #[must_use]
    pub fn new(boxes: BoxNoise, seed: u64) -> Self {
        Self { boxes, random: Rng::with_seed(seed), missed: BTreeMap::new(), last: 0.0 }
    }

    /// Looks at a frame.
    pub fn look(&mut self, time: f64, objects: &mut [Visible], found: &mut Vec<Detected>) {
        found.clear();
        objects.sort_by(|a, b| a.distance.total_cmp(&b.distance));
        let step = (time - self.last).clamp(0.0, 1.0);
        self.last = time;
        for at in 0..objects.len() {
            let own = objects[at];
            let Some(seen) = cut(own.edges) else { continue };
            if area(seen) < 0.25 * area(own.edges) || (seen[3] - seen[1]) < 8.0 {
                continue;
            }
            if self.boxes == BoxNoise::Ideal {
                found.push(Detected { id: Some(own.id), label: own.label, score: 1.0, edges: seen });
                continue;
            }
            let hidden = objects[..at].iter().map(|nearer| common(nearer.edges, seen)).fold(0.0, f64::max)
                / area(seen);
            if hidden > 0.85 || self.is_missed(own.id, time, step, hidden) {
                continue;
            }
            self.detect(own, seen, hidden, found);
        }
        if self.boxes == BoxNoise::Detected {
            self.merge(found);
            self.add_ghosts(step, found);
        }
    }

    fn is_missed(&mut self, id: u32, time: f64, step: f64, hidden: f64) -> bool {
        if self.missed.get(&id).is_some_and(|&until| time < until) {
            return true;
        }
        let rate = MISSES * (1.0 + 6.0 * hidden * hidden);
        if self.random.f64() < 0.02 + rate * step {
            let lasts = -(1.0 - self.random.f64()).ln() * MISSED;
            self.missed.insert(id, time + lasts);
            if self.missed.len() > 4096 {
                self.missed.retain(|_, until| *until > time);
            }
            return true;
        }
        false
    }

    fn detect(&mut self, own: Visible, seen: Edges, hidden: f64, found: &mut Vec<Detected>) {
        let random = &mut self.random;
        let (width, height) = (seen[2] - seen[0], seen[3] - seen[1]);
        let mut edges = seen;
        for (edge, side) in edges.iter_mut().zip([width, height, width, height]) {
            *edge += JITTER * side * normal(random);
        }
        // Now and then a part of it.
        if random.f64() < 0.02 {
            edges[1] += height * random_between(random, 0.1, 0.35);
        }
        let label = if random.f64() < 0.06 { other_than(own.label, random) } else { own.label };
        let small = (height / 40.0).min(1.0);
        let score = (0.9 * small.powf(0.3) - 0.4 * hidden + 0.12 * normal(random)).clamp(0.12, 0.99);
        let edges = [edges[0].max(0.0), edges[1].max(0.0), edges[2].min(WIDTH), edges[3].min(HEIGHT)];
        if edges[2] - edges[0] > 2.0 && edges[3] - edges[1] > 2.0 {
            found.push(Detected { id: Some(own.id), label, score, edges });
        }
    }

    /// Boxes that lie much over each other become one, at times.
    fn merge(&mut self, found: &mut Vec<Detected>) {
        let mut at = 0;
        while at < found.len() {
            let own = found[at].edges;
            let joined = (at + 1..found.len()).find(|&other| {
                let other = found[other].edges;
                let both = common(own, other);
                both / (area(own) + area(other) - both) > 0.55
            });
            if let Some(other) = joined
                && self.random.f64() < 0.5
            {
                let other = found.remove(other).edges;
                let own = &mut found[at].edges;
                *own =
                    [own[0].min(other[0]), own[1].min(other[1]), own[2].max(other[2]), own[3].max(other[3])];
            }
            at += 1;
        }
    }

    fn add_ghosts(&mut self, step: f64, found: &mut Vec<Detected>) {
        if self.random.f64() < 0.15 * step + 0.005 {
            let (x, y) = (self.random.f64() * (WIDTH - 80.0), self.random.f64() * (HEIGHT - 60.0));
            let (width, height) =
                (random_between(&mut self.random, 20.0, 80.0), random_between(&mut self.random, 15.0, 60.0));
            let score = random_between(&mut self.random, 0.15, 0.65);
            found.push(Detected { id: None, label: "car", score, edges: [x, y, x + width, y + height] });
        }
    }
}

fn other_than(label: &str, random: &mut Rng) -> &'static str {
    let others = ["car", "truck", "bus", "motorbike", "person"];
    loop {
        let other = others[random.usize(..others.len())];
        if other != label {
            return other;
        }
    }
}

/// A number of the normal distribution (Box and Muller).
fn normal(random: &mut Rng) -> f64 {
    (-2.0 * (1.0 - random.f64()).ln()).sqrt() * (std::f64::consts::TAU * random.f64()).cos()
}
