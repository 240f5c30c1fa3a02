//! Whether a signal jumps as it never did: the step from one reading to the next against all steps before.
//!
//! A machine that starts or stops jumps too. So a step counts between two values of which neither is at rest beside the
//! other: of one sign, or about zero, and less than half as large. What is left is small for nearly every signal, whatever it moves
//! through within an hour: a jump of a good part of that is strange.

use serde::{Deserialize, Serialize};
use verge_domain::stage::RestoreError;

use crate::tail::{HALF_LIFE, LEAST_P, WARM_UP};

/// A value of one sign with another is at rest beside it up to this part of it…
const AT_REST: f64 = 0.5;
/// …and one of the other sign up to this: what rests about zero has noise.
const ABOUT_ZERO: f64 = -0.1;
/// Share of steps that are exceedances.
const SHARE: f64 = 0.02;
/// Shape of their law, heavier than that of noise.
const SHAPE: f64 = 0.1;
/// Slowest rates at which their threshold and their mean are followed.
const RATES: (f64, f64) = (0.002, 0.01);
/// Part of the greatest step that is forgotten with each reading.
const FORGOTTEN: f64 = 1e-5;
/// A step over the width in which 98 % of the values lie is at most as surprising as this many nats beyond an exceedance.
const NATS_PER_WIDTH: f64 = 16.0;
/// A step is beyond doubt at this many times the greatest that was seen…
const DOUBTLESS_TIMES: f64 = 4.0;
/// …and this part of that width.
const DOUBTLESS_WIDTHS: f64 = 0.5;
/// What lies this many times further out than an alarm is not learnt…
const FAR: f64 = 4.0;
/// …this often in the readings of a half-life.
const UNLEARNT_AT_MOST: u8 = 10;
/// A step of which people said that it is no fault may be this many times as large.
const MARGIN: f64 = 1.25;

/// The steps of one signal: a law of five numbers, since only what lies far out matters here.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Steps {
    seen: u32,
    exceedances: u32,
    /// Running means of all steps and of exceedances over the threshold, and that.
    mean: f64,
    excess: f64,
    threshold: f64,
    greatest: f64,
    /// The greatest step of the last event, and those that are no fault.
    strange: f64,
    harmless: f64,
    unlearnt: u8,
}

/// The probability of a step that no law of its own makes more probable.
pub(super) fn by_width(step: f64, width: f64) -> f64 {
    SHARE * (-NATS_PER_WIDTH * step / width).exp()
}

impl Steps {
    pub(super) const fn new() -> Self {
        Self {
            seen: 0,
            exceedances: 0,
            mean: 0.0,
            excess: 0.0,
            threshold: 0.0,
            greatest: 0.0,
            strange: 0.0,
            harmless: 0.0,
            unlearnt: 0,
        }
    }

    /// The step between two readings, where it counts.
    pub(super) fn between(last: f64, value: f64) -> Option<f64> {
        let (small, large) = if last.abs() < value.abs() { (last, value) } else { (value, last) };
        let part = if large == 0.0 { 1.0 } else { small / large };
        (!(ABOUT_ZERO..=AT_REST).contains(&part)).then(|| (value - last).abs())
    }

    /// The probability of a step; one where it is among the usual. `width`: where 98 % of the values lie.
    pub(super) fn probability(&self, step: f64, width: f64) -> f64 {
        let is_usual = step <= self.threshold || step <= self.harmless;
        if is_usual || self.seen < WARM_UP || self.excess <= 0.0 || width <= 0.0 {
            return 1.0;
        }
        let shape = self.shape();
        let by_law = (1.0 + shape * (step - self.threshold) / self.excess).powf(-1.0 / shape);
        // Of the greatest there was at least one.
        let recorded = if step <= self.greatest { 0.5 / f64::from(self.seen.min(HALF_LIFE)) } else { 0.0 };
        (SHARE * by_law).max(by_width(step, width)).max(recorded).max(LEAST_P)
    }

    /// With few exceedances their law is heavier, see [`crate::tail`].
    fn shape(&self) -> f64 {
        SHAPE + 1.0 / f64::from(self.exceedances.max(1))
    }

    /// How far beyond the threshold the step lies that has this probability by the law.
    fn beyond(&self, p: f64) -> f64 {
        let shape = self.shape();
        self.excess * ((SHARE / p.min(SHARE)).powf(shape) - 1.0) / shape
    }

    /// The step that has this probability.
    pub(super) fn most(&self, p: f64, width: f64) -> f64 {
        let by_width = width * (SHARE / p.min(SHARE)).ln() / NATS_PER_WIDTH;
        (self.threshold + self.beyond(p)).max(by_width)
    }

    /// Whether it is far beyond all steps that were seen, and a good part of all that the signal does.
    pub(super) fn is_beyond_doubt(&self, step: f64, width: f64) -> bool {
        let is_known = self.seen >= WARM_UP && self.greatest > 0.0 && width > 0.0;
        is_known && step > DOUBTLESS_TIMES * self.greatest && step > DOUBTLESS_WIDTHS * width
    }

    /// Learns a step. What lies far beyond those with probability `p` is as strange the next time, but not for ever.
    pub(super) fn learn(&mut self, step: f64, p: f64) {
        self.greatest *= 1.0 - FORGOTTEN;
        // What is beyond the threshold by nothing is beyond it by no multiple of anything: most steps need no power.
        let is_beyond = self.seen >= WARM_UP && step > self.threshold;
        let is_far = is_beyond && step - self.threshold > FAR * self.beyond(p);
        if is_far && self.unlearnt < UNLEARNT_AT_MOST {
            self.unlearnt += 1;
            return;
        }
        self.seen = self.seen.saturating_add(1);
        if self.seen.is_multiple_of(HALF_LIFE) {
            self.unlearnt /= 2;
        }
        self.greatest = self.greatest.max(step);
        let rate = (1.0 / f64::from(self.seen)).max(RATES.0);
        self.mean += rate * (step - self.mean);
        if step > self.threshold {
            self.exceedances = self.exceedances.saturating_add(1);
            let rate = (1.0 / f64::from(self.exceedances)).max(RATES.1);
            self.excess += rate * (step - self.threshold - self.excess);
        }
        let usual = if step <= self.threshold { 1.0 } else { 0.0 };
        let by = (3.0 * rate).min(1.0) * self.mean * (1.0 - SHARE - usual);
        self.threshold = (self.threshold + by).max(0.0);
    }

    /// Notes the step that an event is about.
    pub(super) fn note_event(&mut self, step: f64, begins: bool) {
        self.strange = if begins { step } else { self.strange.max(step) };
    }

    /// The last event was no fault.
    pub(super) fn was_false(&mut self) {
        self.harmless = self.harmless.max(MARGIN * self.strange);
    }

    /// The last event was a fault.
    pub(super) fn was_real(&mut self) {
        self.harmless = 0.0;
    }

    /// Steps that were learnt.
    #[cfg(test)]
    pub(super) const fn seen(&self) -> u32 {
        self.seen
    }

    pub(super) fn check(&self) -> Result<(), RestoreError> {
        let sizes = [self.mean, self.excess, self.threshold, self.greatest, self.strange, self.harmless];
        let sound = sizes.iter().all(|size| size.is_finite() && *size >= 0.0);
        if sound { Ok(()) } else { Err(RestoreError::Misfit { part: "its steps" }) }
    }
}
