//! Where a camera's picture has edges, as it outlives a restart: pixels do not. By that a camera is found that was turned or
//! covered while the gateway did not run.

use serde::{Deserialize, Serialize};
use verge_domain::frame::{CameraLook, EDGE_PARTS};

/// Seconds that it must have been learnt for before anything is held against it.
const LEAST_LEARNT: f64 = 60.0;
/// It follows the picture with this time constant at last, in seconds.
const FOLLOWS: f64 = 3600.0;
/// Pictures whose mean levels differ by a larger factor say nothing of each other: other edges show by night.
const OTHER_LIGHT: f32 = 1.6;
/// Below this correlation a picture is of something else, or of nothing.
const ALIKE: f32 = 0.65;
/// With fewer edges than this share of the usual ones, it is of nothing.
const COVERED: f32 = 0.4;
/// Seconds with the usual picture after which nothing happened while the gateway did not run.
const SURE: f64 = 3.0;
/// Seconds after which a camera that was turned shows its new view.
const NEW_VIEW: f64 = 20.0;
const PARTS: usize = EDGE_PARTS.0 * EDGE_PARTS.1;

/// The share of pixels that are edges in each part of the picture, over what was learnt.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct EdgeReference {
    learnt: f64,
    mean: f32,
    edges: Vec<f32>,
}

/// How the picture after a restart stands to that before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum AfterRestart {
    /// It shows something else.
    Moved,
    /// It shows next to nothing.
    Covered,
}

/// For how long the pictures after a restart were like those before it, and unlike them, in seconds.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct RestartCheck {
    alike: f64,
    unlike: f64,
    found: Option<AfterRestart>,
}

impl EdgeReference {
    /// Learns from a healthy frame that was shown for `step` seconds.
    pub(super) fn learn(&mut self, look: &CameraLook, step: f64) {
        let is_other = self.edges.len() == PARTS && !self.is_of_light(look.mean);
        if is_other && look.mean < self.mean {
            // More is seen by day.
            return;
        }
        if is_other || self.edges.len() != PARTS {
            *self = Self { learnt: 0.0, mean: look.mean, edges: vec![0.0; PARTS] };
        }
        let weight = (step / (self.learnt.min(FOLLOWS) + step).max(1e-3)) as f32;
        let weight = if self.learnt <= 0.0 { 1.0 } else { weight };
        self.mean += weight * (look.mean - self.mean);
        for (known, now) in self.edges.iter_mut().zip(look.parts.0) {
            *known += weight * (f32::from(now) - *known);
        }
        self.learnt = (self.learnt + step.max(1e-3)).min(FOLLOWS);
    }

    /// Forgets everything.
    pub(super) fn forget(&mut self) {
        *self = Self::default();
    }

    fn is_of_light(&self, mean: f32) -> bool {
        let (low, high) = (mean.min(self.mean) + 1.0, mean.max(self.mean) + 1.0);
        high <= OTHER_LIGHT * low
    }

    /// What a picture shows that is unlike this; `Some(None)` where it is like it, `None` where nothing can be said.
    fn compare(&self, look: &CameraLook) -> Option<Option<AfterRestart>> {
        if self.learnt < LEAST_LEARNT || self.edges.len() != PARTS {
            return None;
        }
        let sum: f32 = self.edges.iter().sum();
        let now: f32 = look.parts.0.iter().map(|&edges| f32::from(edges)).sum();
        let is_bare = now < COVERED * sum;
        // What covers a camera is often darker than what it sees; what shows as many edges in other light is not compared.
        if !is_bare && !self.is_of_light(look.mean) {
            return None;
        }
        Some(match (is_bare, self.correlation(look)) {
            (true, correlation) if correlation < ALIKE => Some(AfterRestart::Covered),
            (false, correlation) if correlation < ALIKE => Some(AfterRestart::Moved),
            _ => None,
        })
    }

    /// Of where the edges are, `-1..=1`; zero where one of both has none.
    fn correlation(&self, look: &CameraLook) -> f32 {
        // Roots: some parts with many edges, such as a tree, are not to decide alone.
        let pairs =
            || self.edges.iter().zip(look.parts.0).map(|(a, b)| (a.max(0.0).sqrt(), f32::from(b).sqrt()));
        let count = PARTS as f32;
        let (a, b) = pairs().fold((0.0, 0.0), |(a, b), pair| (a + pair.0, b + pair.1));
        let (a, b) = (a / count, b / count);
        let (both, own, others) = pairs().fold((0.0, 0.0, 0.0), |(both, own, others), pair| {
            let (x, y) = (pair.0 - a, pair.1 - b);
            (both + x * y, own + x * x, others + y * y)
        });
        let scale = f32::sqrt(own * others);
        if scale > 1e-3 { both / scale } else { 0.0 }
    }

    pub(super) fn is_sound(&self) -> bool {
        matches!(self.edges.len(), 0 | PARTS)
            && self.learnt.is_finite()
            && self.edges.iter().chain([&self.mean]).all(|number| number.is_finite())
    }

    pub(super) const fn is_known(&self) -> bool {
        self.learnt >= LEAST_LEARNT
    }
}

impl RestartCheck {
    /// Holds a picture against how the camera looked before the restart. `None`: there is nothing more to hold against it, since
    /// it is as it was, or has shown its new view for long enough; then the reference is to be learnt anew.
    pub(super) fn look(
        mut self,
        reference: &mut EdgeReference,
        look: &CameraLook,
        step: f64,
    ) -> Option<Self> {
        match reference.compare(look) {
            None => {}
            Some(None) => {
                (self.alike, self.found) = (self.alike + step, self.found.filter(|_| self.alike < 1.0));
            }
            Some(found) => {
                (self.alike, self.unlike, self.found) = (0.0, self.unlike + step, found);
            }
        }
        if self.found == Some(AfterRestart::Moved) && self.unlike >= NEW_VIEW {
            reference.forget();
            return None;
        }
        (self.alike < SURE).then_some(self)
    }

    pub(super) const fn found(self) -> Option<AfterRestart> {
        self.found
    }
}
