//! Nine faults of sensors and of what they measure.

use fastrand::Rng;

use super::tags::TAGS;
use super::{DAY_S, PlantRun};

verge_domain::words! {
    /// What goes wrong.
    #[derive(PartialOrd, Ord)]
    pub enum PlantFaultKind {
        /// The value stays where it was.
        Stuck = "stuck",
        /// The value moves away slowly.
        Drift = "drift",
        /// The value jumps and stays there.
        Step = "step",
        /// The value jumps for a few readings.
        Spike = "spike",
        /// No reading arrives.
        Silent = "silent",
    }
}

impl PlantFaultKind {
    /// How long it lasts at least and at most, in readings.
    const fn lasts(self, run: PlantRun) -> (i64, i64) {
        match (self, run) {
            (Self::Stuck, PlantRun::Minutes) => (300, 600),
            (Self::Drift, PlantRun::Minutes) => (900, 1800),
            (Self::Step, PlantRun::Minutes) => (180, 480),
            (Self::Silent, PlantRun::Minutes) => (60, 240),
            (Self::Spike, _) => (2, 5),
            (Self::Stuck, PlantRun::Seconds) => (1200, 2400),
            (Self::Drift, PlantRun::Seconds) => (3600, 7200),
            (Self::Step, PlantRun::Seconds) => (900, 1800),
            (Self::Silent, PlantRun::Seconds) => (600, 1200),
        }
    }

    /// How far it goes, in swings of the tag: at least and at most.
    const fn goes(self) -> (f64, f64) {
        match self {
            Self::Stuck | Self::Silent => (0.0, 0.0),
            Self::Drift => (1.2, 1.8),
            Self::Step => (0.9, 1.4),
            Self::Spike => (1.5, 3.0),
        }
    }
}

/// One fault: what is known to be wrong.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct PlantFault {
    /// Position of its tag in [`TAGS`].
    pub tag: usize,
    /// What goes wrong.
    pub kind: PlantFaultKind,
    /// When it begins, in UTC seconds.
    pub from_s: i64,
    /// When it is over.
    pub to_s: i64,
    /// How far the value is off at most, in the unit of the tag.
    pub off: f64,
}

impl PlantFault {
    /// What the sensor reports of a value; `None` where nothing arrives. `last` is what it reported last.
    pub(super) fn distort(&self, now_s: i64, value: f64, last: f64) -> Option<f64> {
        if !(self.from_s..self.to_s).contains(&now_s) {
            return Some(value);
        }
        // A drift takes four fifths of its time and then stays.
        let done = (now_s - self.from_s) as f64 / (self.to_s - self.from_s) as f64 / 0.8;
        match self.kind {
            PlantFaultKind::Stuck => Some(last),
            PlantFaultKind::Drift => Some(value + self.off * done.min(1.0)),
            PlantFaultKind::Step | PlantFaultKind::Spike => Some(value + self.off),
            PlantFaultKind::Silent => None,
        }
    }
}

const NINE: [PlantFaultKind; 9] = [
    PlantFaultKind::Stuck,
    PlantFaultKind::Stuck,
    PlantFaultKind::Drift,
    PlantFaultKind::Drift,
    PlantFaultKind::Step,
    PlantFaultKind::Step,
    PlantFaultKind::Spike,
    PlantFaultKind::Silent,
    PlantFaultKind::Silent,
];

/// Nine faults of nine tags, one after the other, once there was some time to learn: in the second and third week, or
/// from the ninth hour on.
pub(super) fn nine(rng: &mut Rng, begin_s: i64, run: PlantRun) -> Vec<PlantFault> {
    let (first_s, last_s) = match run {
        PlantRun::Minutes => (8 * DAY_S, 20 * DAY_S),
        PlantRun::Seconds => (8 * 3600, 22 * 3600),
    };
    let mut tags: Vec<usize> = (0..TAGS.len()).filter(|tag| TAGS[*tag].swing > 0.0).collect();
    rng.shuffle(&mut tags);
    let mut kinds = NINE;
    rng.shuffle(&mut kinds);
    let slot_s = (last_s - first_s) / kinds.len() as i64;
    let one = |(number, (kind, tag)): (i64, (PlantFaultKind, usize))| {
        let (least, most) = kind.lasts(run);
        let (nearest, farthest) = kind.goes();
        let interval_s = run.interval_s();
        let from_s = begin_s + first_s + number * slot_s + rng.i64(0..slot_s / 2) / interval_s * interval_s;
        let swings = nearest + (farthest - nearest) * rng.f64();
        let off = TAGS[tag].swing * if rng.bool() { swings } else { 0.0 - swings };
        PlantFault { tag, kind, from_s, to_s: from_s + interval_s * rng.i64(least..=most), off }
    };
    (0..).zip(kinds.into_iter().zip(tags)).map(one).collect()
}
