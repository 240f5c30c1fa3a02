//! One reading as the causes see it, with what came before it.

use verge_domain::finding::{Condition, Expected, Member, ShownValue, Standing};

use serde::{Deserialize, Serialize};

/// Readings in a block: what is judged together.
pub(super) const BLOCK: u8 = 40;

/// Readings in a part of a block; a block has five.
pub(super) const PART: u8 = 8;

/// What all causes are judged by.
#[derive(Debug, Clone, Copy)]
pub(super) struct Circumstances {
    /// See [`super::HealthSettings`].
    pub(super) patience: f64,
    /// The same in evaluations in a row that must be abnormal.
    pub(super) blocks: u16,
    /// The sensor has not shown yet what it does in a week.
    pub(super) young: bool,
    /// It is judged in one state of its machine: where it stands still, the machine does not.
    pub(super) one_state: bool,
    /// Number of the week, counted from the first reading: what is known is remembered for one at least.
    pub(super) week: u16,
}

/// One reading with its past.
#[derive(Debug, Clone, Copy)]
pub(super) struct HealthSample {
    /// The value; never the negative zero.
    pub(super) value: f64,
    /// The value before, and the one before that.
    pub(super) past: [Option<f64>; 2],
    /// Receipt after the reading before, in microseconds; zero for the readings of one message.
    pub(super) gap_us: u64,
    /// The device's time as far as it is believed, in milliseconds since 1970.
    pub(super) captured_ms: Option<i64>,
    /// The same of the reading before.
    pub(super) captured_before_ms: Option<i64>,
    /// Device's time less time of receipt, in milliseconds, believed or not.
    pub(super) ahead_ms: Option<i64>,
    /// Its place in the block, `0..BLOCK`.
    pub(super) place: u8,
}

impl HealthSample {
    /// Half of how far the value lies from the one 1 or 2 readings before: finite for every value.
    pub(super) fn half_step(&self, back: usize) -> Option<f64> {
        self.past[back - 1].map(|past| (self.value / 2.0 - past / 2.0).abs())
    }

    /// A quarter of the second difference, without sign: blind to level and slope, finite for every value.
    pub(super) fn quarter_bend(&self) -> Option<f64> {
        let [Some(before), Some(earlier)] = self.past else { return None };
        Some((self.value / 4.0 - before / 2.0 + earlier / 4.0).abs().min(f64::MAX))
    }
}

/// The smallest distance between different values, of neighbours or next but one (two publishers that alternate
/// have none between neighbours), halved; zero before the first.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
pub(super) struct Grain {
    half: f64,
}

impl Grain {
    pub(super) fn enter(&mut self, sample: &HealthSample) {
        // Rounding in the last digits is no change of the signal's own.
        let rounding = sample.value.abs() * 1e-9;
        for half in [sample.half_step(1), sample.half_step(2)].into_iter().flatten() {
            if half > rounding && (self.half == 0.0 || half < self.half) {
                self.half = half;
            }
        }
    }

    /// Half of that distance, if there was one.
    pub(super) fn half(self) -> Option<f64> {
        (self.half > 0.0).then_some(self.half)
    }
}

/// A value in the unit of the signal.
pub(super) fn shown(value: f64, usual: (Option<f64>, Option<f64>)) -> Option<ShownValue> {
    let (low, high) = usual;
    Some(ShownValue { value, usual: Expected { low, high } })
}

/// The mean step from reading to reading of normal noise of which this is the quarter bend: 2 / sqrt(pi) standard
/// deviations, of which the median bend is .674 sqrt(6).
pub(super) fn mean_step(octaves: f64) -> f64 {
    (octaves.exp2() * (4.0 * 1.128 / (0.674 * 2.449))).min(f64::MAX)
}

/// What a cause says.
pub(super) fn condition(
    member: Member,
    standing: Standing,
    observed: f64,
    (low, high): (Option<f64>, Option<f64>),
    p_value: Option<f64>,
) -> Condition {
    Condition { p_value, ..Condition::of_rule(member, standing, observed, Expected { low, high }) }
}
