//! The objects that are followed, as a verdict of their own whenever something about them changes.

use std::time::Duration;

use verge_domain::finding::Finding;
use verge_domain::frame::{Detection, Detections, PixelBox, Score};
use verge_domain::time::Monotonic;
use verge_scene::{FrameSize, LiveTrack, Scene};

/// Objects of one verdict at most.
const MOST: usize = 100;

/// When the objects that are followed are reported.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LiveReport {
    /// While nothing changes they are reported again after this long; `None` never.
    pub again: Option<Duration>,
}

/// What was reported last: of each object its number, its class, its zones, and whether it stands.
#[derive(Debug, Default)]
pub(super) struct Reported {
    gist: Vec<(u64, usize, u64, bool)>,
    now: Vec<(u64, usize, u64, bool)>,
    at: Option<Monotonic>,
}

impl Reported {
    /// Reports the objects if something about them has changed since: one is confirmed or lost, of another class, in another
    /// zone, has stopped or drives on, or has crossed a line.
    pub(super) fn look(
        &mut self,
        how: LiveReport,
        (scene, has_crossed): (&Scene, bool),
        at: Monotonic,
        findings: &mut Vec<Finding>,
    ) {
        let Some(size) = scene.frame_size() else { return };
        self.now.clear();
        self.now.extend(scene.live().map(|one| (one.id, one.area.class, one.zones, one.stands)));
        let is_due = |since: Monotonic| how.again.is_some_and(|again| at.since(since) >= again);
        let is_new = self.now != self.gist || has_crossed;
        let is_known =
            self.at.is_some_and(|since| !is_due(since)) || (self.at.is_none() && self.now.is_empty());
        if is_known && !is_new {
            return;
        }
        self.at = Some(at);
        std::mem::swap(&mut self.gist, &mut self.now);
        let classes = scene.settings().classes();
        let object = |one: LiveTrack| Detection {
            label: classes[one.area.class].clone(),
            score: Score::new(one.score.clamp(0.0, 1.0)).unwrap_or(Score::from_thousandths(0).expect("zero")),
            area: pixels(&one, size),
            track: Some(one.id),
        };
        let objects = scene.live().take(MOST).map(object).collect();
        let tracks = Detections { width: size.width, height: size.height, objects };
        findings.push(Finding::Tracks(Box::new(tracks)));
    }

    pub(super) fn heap_bytes(&self) -> usize {
        (self.gist.capacity() + self.now.capacity()) * size_of::<(u64, usize, u64, bool)>()
    }
}

/// Whole pixels within the frame, at least one.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "clamped to the frame")]
fn pixels(of: &LiveTrack, size: FrameSize) -> PixelBox {
    let span = |from: f64, to: f64, side: u32| {
        let first = (from.clamp(0.0, f64::from(side)) as u32).min(side.saturating_sub(1));
        let last = (to.clamp(0.0, f64::from(side)).round() as u32).max(first + 1);
        (first, last - first)
    };
    let (x, width) = span(of.area.left, of.area.right, size.width);
    let (y, height) = span(of.area.top, of.area.bottom, size.height);
    PixelBox { x, y, width, height }
}
