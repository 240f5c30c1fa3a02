//! What was followed before a camera while somebody draws: bounded in time and in number, oldest out.

use std::collections::VecDeque;
use std::time::Duration;

use verge_domain::frame::SceneSketch;
use verge_domain::id::JudgeId;
use verge_domain::time::{Moment, Monotonic, UtcMillis};

/// Tracks are kept for this long.
pub(super) const KEPT_FOR: Duration = Duration::from_secs(15 * 60);
/// Places at most, of all tracks of a camera: some 0.3 MB.
const MOST: usize = 8_000;

/// Where one object was at one time.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct TrackPoint {
    /// Position of the judge that follows it, see [`SeenTracks::judges`].
    pub judge: u16,
    /// Number of the track.
    pub track: u64,
    /// When its frame was received.
    pub at: Monotonic,
    /// Left, top, width and height, in shares of the picture's sides.
    pub area: [f32; 4],
}

/// What judges have followed.
#[derive(Debug, Clone, PartialEq)]
pub struct SeenTracks {
    since: UtcMillis,
    judges: Vec<JudgeId>,
    points: VecDeque<TrackPoint>,
}

impl SeenTracks {
    /// None yet.
    #[must_use]
    pub const fn new(since: UtcMillis) -> Self {
        Self { since, judges: Vec::new(), points: VecDeque::new() }
    }

    /// From when on all tracks are there.
    #[must_use]
    pub const fn since(&self) -> UtcMillis {
        self.since
    }

    /// The judges, by their positions.
    #[must_use]
    pub fn judges(&self) -> &[JudgeId] {
        &self.judges
    }

    /// Places, oldest first.
    pub fn points(&self) -> impl Iterator<Item = &TrackPoint> {
        self.points.iter()
    }

    /// What judges follow in a frame that was received then.
    pub(super) fn note(&mut self, scene: &[(JudgeId, SceneSketch)], received: Moment) {
        let at = received.mono;
        for (judge, sketch) in scene {
            let known = self.judges.iter().position(|known| known == judge);
            let position = known.unwrap_or_else(|| {
                self.judges.push(judge.clone());
                self.judges.len() - 1
            });
            let Ok(judge) = u16::try_from(position) else { continue };
            self.points.extend(sketch.tracks.iter().map(|track| TrackPoint {
                judge,
                track: track.number,
                at,
                area: track.area.map(|share| share as f32),
            }));
        }
        while self.points.len() > MOST
            || self.points.front().is_some_and(|oldest| at.since(oldest.at) > KEPT_FOR)
        {
            let Some(out) = self.points.pop_front() else { break };
            let age = i64::try_from(at.since(out.at).as_millis()).unwrap_or(i64::MAX);
            self.since = self.since.max(UtcMillis(received.wall.0.saturating_sub(age)));
        }
    }
}

#[cfg(test)]
mod tests {
    use verge_domain::frame::SketchedTrack;
    use verge_domain::id::Label;

    use super::*;

    #[test]
    fn what_is_kept_is_bounded_in_time_and_in_number() {
        let track = |number| SketchedTrack {
            number,
            label: Label::new("car").unwrap(),
            area: [0.25, 0.5, 0.1, 0.1],
            trail: Vec::new(),
        };
        let scene = |count: u64| {
            let tracks = (0..count).map(track).collect();
            [(JudgeId::new("j").unwrap(), SceneSketch { tracks, ..SceneSketch::default() })]
        };
        let at = |seconds: i64| Moment::from_wall(UtcMillis(seconds * 1_000));
        let mut seen = SeenTracks::new(UtcMillis(500));
        seen.note(&scene(2), at(1));
        assert_eq!((seen.points().count(), seen.since(), seen.judges().len()), (2, UtcMillis(500), 1));
        assert_eq!(seen.points().next().unwrap().area, [0.25, 0.5, 0.1, 0.1]);
        seen.note(&scene(1), at(902));
        assert_eq!((seen.points().count(), seen.since()), (1, UtcMillis(1_000)));
        for second in 0..5 {
            seen.note(&scene(2_000), at(903 + second));
        }
        assert_eq!((seen.points().count(), seen.since()), (MOST, UtcMillis(903_000)));
    }
}
