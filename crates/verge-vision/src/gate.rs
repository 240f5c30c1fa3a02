//! Whether a model looks at a frame: where nothing moves and nothing was, it would see nothing.

use std::time::{Duration, Instant};

use verge_domain::frame::{GivenUp, View};
use verge_domain::motion::Motion;
use verge_domain::time::Monotonic;

use crate::preprocess::Region;

/// How long what was seen may be hidden and still be followed: as long as a moving track lasts unseen.
const FOLLOWED: Duration = Duration::from_millis(2_500);

/// Under overload a blob must be larger by this factor to be motion.
const COARSER: f32 = 3.0;

/// When a judge's model looks at a frame.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct GateSettings {
    /// It looks at least this often.
    pub heartbeat: Duration,
    /// It goes on looking for this long after something moved.
    pub after: Duration,
    /// A blob of a smaller share of the picture is no motion.
    pub least: f32,
}

/// What the judges know of a frame before their models look.
#[derive(Debug, Clone, Copy)]
pub(crate) struct JudgedFrame<'a> {
    /// What moves in it, where that is known.
    pub(crate) motion: Option<&'a Motion>,
    /// When it was received.
    pub(crate) at: Monotonic,
    /// When a viewer gives up.
    pub(crate) until: Option<Instant>,
    /// What is given up for want of time.
    pub(crate) given_up: GivenUp,
}

/// The gate before the model of one judge and camera.
#[derive(Debug, Default)]
pub(crate) struct MotionGate {
    looked: Option<Monotonic>,
    moved: Option<Monotonic>,
    /// When an object was last seen.
    held: Option<Monotonic>,
}

impl MotionGate {
    /// Whether the model looks at a frame, of which it sees this part.
    pub(crate) fn is_open(&mut self, settings: &GateSettings, of: JudgedFrame<'_>, region: Region) -> bool {
        let JudgedFrame { motion: Some(motion), at, given_up, .. } = of else { return true };
        let least = if given_up >= GivenUp::Gates { settings.least * COARSER } else { settings.least };
        if self.looked.is_some_and(|looked| at < looked) {
            // Time ran back: nothing is known.
            *self = Self::default();
        }
        if motion.moves(least, region.sides()) {
            self.moved = Some(at);
        }
        let within =
            |since: Option<Monotonic>, span: Duration| since.is_some_and(|since| at.since(since) < span);
        let follows =
            self.moved == Some(at) || within(self.moved, settings.after) || within(self.held, FOLLOWED);
        follows || !within(self.looked, settings.heartbeat)
    }

    /// The model has looked.
    pub(crate) fn looked(&mut self, view: &View, of: JudgedFrame<'_>) {
        self.looked = Some(of.at);
        if matches!(view, View::Detections(view) if !view.objects.is_empty()) {
            self.held = Some(of.at);
        }
    }
}

#[cfg(test)]
mod tests {
    use verge_domain::frame::{Classification, Detection, Detections, PixelBox, Score};
    use verge_domain::id::Label;
    use verge_domain::motion::Blob;

    use super::*;

    const SETTINGS: GateSettings =
        GateSettings { heartbeat: Duration::from_secs(2), after: Duration::from_secs(1), least: 0.004 };

    fn motion(blobs: &[Blob]) -> Motion {
        let mut motion = Motion { settled: true, ..Motion::default() };
        blobs.iter().for_each(|blob| motion.blobs.add(*blob));
        motion
    }

    fn blob(left: f32, area: f32) -> Blob {
        Blob { left, top: 0.4, right: left + 0.1, bottom: 0.5, area }
    }

    fn detections(count: usize) -> View {
        let object = Detection {
            label: Label::new("car").unwrap(),
            score: Score::new(0.9).unwrap(),
            area: PixelBox { x: 0, y: 0, width: 9, height: 9 },
            track: None,
        };
        View::Detections(Detections { width: 90, height: 90, objects: vec![object; count] })
    }

    /// At which frames of ten a second the model looks, where this moves and that is seen.
    fn looks(
        frames: u64,
        region: Region,
        moves: impl Fn(u64) -> Motion,
        sees: impl Fn(u64) -> View,
    ) -> Vec<u64> {
        let mut gate = MotionGate::default();
        let mut looked = Vec::new();
        for frame in 0..frames {
            let motion = moves(frame);
            let of = JudgedFrame {
                motion: Some(&motion),
                at: Monotonic(frame * 100_000),
                until: None,
                given_up: GivenUp::Rate,
            };
            if gate.is_open(&SETTINGS, of, region) {
                gate.looked(&sees(frame), of);
                looked.push(frame);
            }
        }
        looked
    }

    #[test]
    fn a_still_scene_is_looked_at_with_every_heartbeat() {
        assert_eq!(looks(61, Region::WHOLE, |_| motion(&[]), |_| detections(0)), [0, 20, 40, 60]);
        let nothing = |_| View::Classification(Classification { labels: Vec::new() });
        assert_eq!(looks(41, Region::WHOLE, |_| motion(&[]), nothing), [0, 20, 40]);
    }

    #[test]
    fn motion_opens_it_and_keeps_it_open_for_a_second() {
        let moving = |frame| motion(&[blob(0.2, if frame == 5 { 0.01 } else { 0.0 })]);
        let expected: Vec<u64> = [0].into_iter().chain(5..15).chain([34]).collect();
        assert_eq!(looks(40, Region::WHOLE, moving, |_| detections(0)), expected);
        let small = |frame| motion(&[blob(0.2, if frame == 5 { 0.003 } else { 0.0 })]);
        assert_eq!(looks(19, Region::WHOLE, small, |_| detections(0)), [0]);
        // Elsewhere than the judge looks.
        let part = Region::new([0.5, 0.0, 1.0, 1.0]).unwrap();
        assert_eq!(looks(19, part, moving, |_| detections(0)), [0]);
        assert_eq!(
            looks(19, part, |_| motion(&[blob(0.45, 0.01)]), |_| detections(0)),
            (0..19).collect::<Vec<_>>()
        );
    }

    #[test]
    fn under_overload_only_large_motion_opens_it() {
        let opens = |area: f32, given_up: GivenUp| {
            let mut gate = MotionGate::default();
            let moving = motion(&[blob(0.2, area)]);
            let of = JudgedFrame { motion: Some(&moving), at: Monotonic(9), until: None, given_up };
            gate.looked = Some(Monotonic(8));
            gate.is_open(&SETTINGS, of, Region::WHOLE)
        };
        assert!(opens(0.01, GivenUp::Rate) && opens(0.013, GivenUp::Gates));
        assert!(!opens(0.01, GivenUp::Gates) && !opens(0.01, GivenUp::Coverage));
    }

    #[test]
    fn what_was_seen_is_followed_as_long_as_a_track_lasts() {
        let sees = |frame| detections(usize::from(frame == 20));
        let expected: Vec<u64> = [0].into_iter().chain(20..45).chain([64]).collect();
        assert_eq!(looks(70, Region::WHOLE, |_| motion(&[]), sees), expected);
    }

    #[test]
    fn what_is_not_known_is_looked_at() {
        let all: Vec<u64> = (0..10).collect();
        let unsettled = |_| Motion::default();
        assert_eq!(looks(10, Region::WHOLE, unsettled, |_| detections(0)), all);
        let light = |_| Motion { light: true, settled: true, ..Motion::default() };
        assert_eq!(looks(10, Region::WHOLE, light, |_| detections(0)), all);
        let mut gate = MotionGate::default();
        let still = motion(&[]);
        let mut open = |motion: Option<&Motion>, at: u64| {
            let of =
                JudgedFrame { motion, at: Monotonic(at * 1000), until: None, given_up: GivenUp::Nothing };
            let open = gate.is_open(&SETTINGS, of, Region::WHOLE);
            if open {
                gate.looked(&detections(0), of);
            }
            open
        };
        assert!(open(Some(&still), 60_000) && !open(Some(&still), 60_100));
        assert!(open(None, 60_200), "nobody says what moves");
        assert!(open(Some(&still), 1_000), "time ran back");
    }
}
