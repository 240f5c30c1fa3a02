//! Whether a signal jumped beyond any doubt: before a history supports its budget, little else of a young signal may alarm.
//!
//! One reading says too little, since a machine runs down within some seconds. So a step is held back until it is known
//! where it led: back (a spike), or to where the signal stays. What comes to rest is a machine that stops. Means of twenty
//! readings show the steps that noise hides.

use serde::{Deserialize, Serialize};
use verge_domain::stage::RestoreError;

use super::beside::Sight;
use super::steps::Steps;

/// Beyond doubt is this many times the greatest that was seen…
const TIMES: f64 = 4.0;
/// …and this part of the width in which 98 % of the values lie.
const WIDTHS: f64 = 0.5;
/// Readings for which a step is held back.
const HELD_FOR: u8 = 10;
/// No machine stops and starts again, or starts and stops, within this number of seconds.
const CYCLE_S: f64 = 30.0;
/// What is left of a step, as a part of it: so much at most once the value is back…
const BACK: f64 = 0.25;
/// …and so much where it stays. What goes on to move is a machine that starts slowly.
const STAYS: std::ops::RangeInclusive<f64> = 0.5..=1.5;
/// Readings between two means: none is in both.
const EACH: u8 = 20;
/// Means that are compared: the second with all from the fourth on. What begins within the third is whole in those.
const MEANS: usize = 6;
/// What the first two may differ by, as a part of the jump: a machine that runs down is no place to jump from.
const STEADY: f64 = 0.25;
/// Means before any is compared.
const KNOWN: u16 = 50;
/// Part of the greatest that is forgotten with each reading.
const FORGOTTEN: f64 = 1e-5;

/// Larger steps count as this one.
const LARGEST: f64 = 1e300;

/// The greatest steps of one signal, and one that is held back.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Jumps {
    last: f64,
    /// The greatest step from reading to reading, and from mean to means.
    step: f64,
    between_means: f64,
    held: Option<HeldStep>,
    means: [f64; MEANS],
    known: u16,
    until_next: u8,
}

/// A step of which it is not known yet where it leads.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
struct HeldStep {
    from: f64,
    to: f64,
    least: f64,
    left: u8,
}

/// A jump beyond doubt.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Jump {
    /// Where the signal was, and where it jumped to.
    pub(super) from: f64,
    pub(super) to: f64,
    /// From which distance on it is beyond doubt.
    pub(super) least: f64,
}

impl Jumps {
    /// Looks at a reading, then learns it. `is_strange`: its step is beyond doubt among those that count.
    pub(super) fn look(&mut self, sight: Sight, is_strange: bool) -> Option<Jump> {
        let step = (sight.value - self.last).abs().min(LARGEST);
        // Most steps are none that could be held back.
        let is_usual = !is_strange && step <= TIMES * self.step && self.held.is_none();
        let led = if is_usual { None } else { self.hold(sight, step, is_strange) };
        let first = self.known == 0 && self.until_next == 0;
        self.step = if first { 0.0 } else { (self.step * (1.0 - FORGOTTEN)).max(step) };
        self.last = sight.value;
        let stays = self.between_means(sight);
        led.or(stays)
    }

    /// Holds back a step beyond doubt, and says where the one led that is held back already, once that is known.
    fn hold(&mut self, sight: Sight, step: f64, is_strange: bool) -> Option<Jump> {
        let least = (TIMES * self.step).max(WIDTHS * sight.width.min(LARGEST));
        let is_quick = f64::from(HELD_FOR) * sight.seconds <= CYCLE_S;
        let is_far = is_quick && self.known > 0 && sight.width > 0.0 && step > least;
        // What left its usual range before is a machine that starts.
        let is_usual_place = (-1.0..=2.0).contains(&((self.last - sight.low) / sight.width));
        let led = self.led_to(sight.value);
        // The way back is no jump of its own.
        if (is_strange || is_far) && is_usual_place && self.held.is_none() && led.is_none() {
            let least = least.min(step);
            self.held = Some(HeldStep { from: self.last, to: sight.value, least, left: HELD_FOR });
        }
        led
    }

    /// Where the step led that is held back, once that is known.
    fn led_to(&mut self, value: f64) -> Option<Jump> {
        let held = self.held.as_mut()?;
        let HeldStep { from, to, least, .. } = *held;
        let left = (value - from) / (to - from);
        held.left = held.left.saturating_sub(1);
        if left.abs() < BACK {
            self.held = None;
            return Some(Jump { from, to, least });
        }
        if held.left > 0 {
            return None;
        }
        self.held = None;
        let stays = STAYS.contains(&left) && Steps::between(from, value).is_some();
        stays.then_some(Jump { from, to: value, least })
    }

    fn between_means(&mut self, sight: Sight) -> Option<Jump> {
        self.until_next += 1;
        if self.until_next < EACH {
            return None;
        }
        self.until_next = 0;
        self.means.rotate_left(1);
        self.means[MEANS - 1] = sight.mean;
        self.known = self.known.saturating_add(1);
        let [before, from, _, rest @ ..] = self.means;
        let to = rest[rest.len() - 1];
        // A machine that starts or stops teaches nothing here.
        if usize::from(self.known) < MEANS || Steps::between(from, to).is_none() {
            return None;
        }
        let nearest = |sign: f64| rest.iter().map(|mean| sign * (mean - from)).fold(f64::INFINITY, f64::min);
        let by = nearest(1.0).max(nearest(-1.0)).clamp(0.0, LARGEST);
        let least = (TIMES * self.between_means).max(WIDTHS * sight.width.min(LARGEST));
        let can_say = self.known > KNOWN && sight.width > 0.0 && self.between_means > 0.0;
        let is_far = can_say && by > least && (from - before).abs() <= STEADY * by;
        self.between_means = (self.between_means * (1.0 - FORGOTTEN).powi(i32::from(EACH))).max(by);
        is_far.then_some(Jump { from, to, least })
    }

    pub(super) fn check(&self) -> Result<(), RestoreError> {
        let held = self.held.map_or([0.0; 3], |held| [held.from, held.to, held.least]);
        let numbers = [self.last, self.step, self.between_means];
        let finite = numbers.iter().chain(&held).chain(&self.means).all(|number| number.is_finite());
        let sound = finite && self.until_next < EACH && self.step >= 0.0 && self.between_means >= 0.0;
        if sound { Ok(()) } else { Err(RestoreError::Misfit { part: "its jumps" }) }
    }
}
