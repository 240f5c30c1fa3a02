//! How long something lasts, whatever interrupts it for a moment.

use serde::{Deserialize, Serialize};

/// A longer step between two frames counts as one of this length, in seconds: what was between them was not seen.
const LONGEST_STEP: f64 = 2.0;
/// An interruption takes this many times its own length off.
const INTERRUPTED: f64 = 2.0;

/// Something that is found once it has lasted for a while, and is over once it was absent for a while.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
pub(super) struct Lasting {
    /// Seconds for which it has been there, or has been away since it was found.
    lasted: f64,
    /// When that began.
    began: f64,
    found: bool,
}

/// Seconds after which something is found, and after which it is over.
#[derive(Debug, Clone, Copy)]
pub(super) struct Spans {
    pub(super) found: f64,
    pub(super) over: f64,
}

impl Lasting {
    /// Takes in what a frame shows `step` seconds after the one before; `None` where it cannot tell.
    pub(super) fn enter(&mut self, is_there: Option<bool>, (at, step): (f64, f64), spans: Spans) {
        let step = step.clamp(0.0, LONGEST_STEP);
        let Some(is_there) = is_there else { return };
        let turns = is_there != self.found;
        if turns {
            if self.lasted <= 0.0 && !self.found {
                self.began = at - step;
            }
            self.lasted += step;
        } else {
            self.lasted = (self.lasted - INTERRUPTED * step).max(0.0);
        }
        let span = if self.found { spans.over } else { spans.found };
        if turns && self.lasted >= span {
            self.found = !self.found;
            self.lasted = 0.0;
        }
    }

    /// It is there, and has been for long enough.
    pub(super) const fn is_found(&self) -> bool {
        self.found
    }

    /// Since when it is there, where it is found or may soon be.
    pub(super) fn since(&self) -> Option<f64> {
        (self.found || self.lasted > 0.0).then_some(self.began)
    }

    /// Whether both of its numbers are numbers.
    pub(super) const fn is_sound(&self) -> bool {
        self.lasted.is_finite() && self.began.is_finite()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SPANS: Spans = Spans { found: 5.0, over: 3.0 };

    fn run(lasting: &mut Lasting, from: f64, shown: &[(bool, usize)]) -> (f64, Vec<f64>) {
        let (mut at, mut turns) = (from, Vec::new());
        for &(is_there, frames) in shown {
            for _ in 0..frames {
                let before = lasting.is_found();
                at += 0.5;
                lasting.enter(Some(is_there), (at, 0.5), SPANS);
                turns.extend((before != lasting.is_found()).then_some(at));
            }
        }
        (at, turns)
    }

    #[test]
    fn what_lasts_is_found_and_what_ends_is_over() {
        let mut lasting = Lasting::default();
        let (at, turns) = run(&mut lasting, 100.0, &[(false, 10), (true, 30), (false, 10)]);
        assert_eq!((at, turns), (125.0, vec![110.0, 123.0]));
    }

    #[test]
    fn a_glance_does_not_end_what_lasts_and_what_comes_and_goes_is_not_found() {
        let mut lasting = Lasting::default();
        let (at, turns) = run(&mut lasting, 0.0, &[(true, 6), (false, 1), (true, 8)]);
        assert_eq!(turns, [6.5], "one frame takes twice its time off");
        assert_eq!(lasting.since(), Some(0.0));
        let mut other = Lasting::default();
        let passing: Vec<_> = (0..50).flat_map(|_| [(true, 4), (false, 3)]).collect();
        assert_eq!(run(&mut other, at, &passing).1, [0.0; 0]);
    }

    #[test]
    fn frames_far_apart_are_no_proof_of_the_time_between() {
        let mut lasting = Lasting::default();
        lasting.enter(Some(true), (0.0, 0.0), SPANS);
        lasting.enter(Some(true), (3600.0, 3600.0), SPANS);
        assert!(!lasting.is_found());
        lasting.enter(None, (3601.0, 1.0), SPANS);
        (0..3).for_each(|n| lasting.enter(Some(true), (3602.0 + f64::from(n), 1.0), SPANS));
        assert!(lasting.is_found());
    }
}
