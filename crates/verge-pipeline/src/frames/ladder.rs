//! What is given up, and in which order, where frames come faster than they can be looked at. First newer frames supersede
//! older ones, down to the frames a second that cameras must have; then less is looked at, rung by rung.

use std::time::Duration;

use verge_domain::frame::GivenUp;
use verge_domain::time::Monotonic;

/// How often the cameras' rates are looked at.
const WINDOW: Duration = Duration::from_secs(5);
/// Windows in which every camera has what it must have, before something is taken back.
const CALM: u32 = 6;
/// The same at most, where what was taken back had to be given up again.
const MOST_CALM: u32 = 120;
/// A camera that has less than this share of what it must have falls short.
const ENOUGH: f64 = 0.9;

/// Frames of one camera since rates were looked at last.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct CameraTally {
    pub(super) came: u32,
    /// Of those, the ones far enough apart for the rate that the camera must have: of some that come all at once the newest alone
    /// is looked at, whatever is given up.
    pub(super) apart: u32,
    pub(super) taken: u32,
}

/// What all cameras give up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct FrameOverload {
    /// What.
    pub given_up: GivenUp,
    /// Cameras that had less than they must have.
    pub below: u64,
}

/// Climbs where cameras fall short, and comes down after a while in which none does.
#[derive(Debug)]
pub(super) struct Ladder {
    overload: FrameOverload,
    window: Option<Monotonic>,
    /// Windows in which no camera fell short.
    calm: u32,
    calm_needed: u32,
    /// Something was taken back, and has not proved to hold.
    came_down: bool,
}

impl Ladder {
    pub(super) const fn new() -> Self {
        let overload = FrameOverload { given_up: GivenUp::Nothing, below: 0 };
        Self { overload, window: None, calm: 0, calm_needed: CALM, came_down: false }
    }

    pub(super) const fn overload(&self) -> FrameOverload {
        self.overload
    }

    /// Seconds since rates were looked at last, where it is time to look at them.
    pub(super) fn due(&mut self, now: Monotonic) -> Option<f64> {
        let since = *self.window.get_or_insert(now);
        let span = now.since(since);
        (span >= WINDOW).then(|| {
            self.window = Some(now);
            span.as_secs_f64()
        })
    }

    /// Looks at the rates of all cameras that must have some: the frames a second and what there was in these seconds.
    /// `passed_over`: frames of some camera were superseded.
    pub(super) fn look(
        &mut self,
        seconds: f64,
        (cameras, passed_over): (impl Iterator<Item = (f64, CameraTally)>, bool),
    ) {
        let falls_short = |&(least, CameraTally { apart, taken, .. }): &(f64, CameraTally)| {
            // The newest may still wait.
            f64::from(taken + 1) < ENOUGH * f64::from(apart).min(least * seconds)
        };
        let below = cameras.filter(falls_short).count() as u64;
        let before = self.overload.given_up;
        let given_up = if below > 0 {
            self.calm = 0;
            if std::mem::take(&mut self.came_down) {
                self.calm_needed = (self.calm_needed * 2).min(MOST_CALM);
            }
            before.max(GivenUp::Rate).more()
        } else {
            self.calm = self.calm.saturating_add(1);
            let is_calm = self.calm >= self.calm_needed;
            match before {
                GivenUp::Nothing | GivenUp::Rate => {
                    if is_calm {
                        (self.came_down, self.calm_needed) = (false, CALM);
                    }
                    if passed_over { GivenUp::Rate } else { GivenUp::Nothing }
                }
                more if is_calm => {
                    (self.came_down, self.calm) = (true, 0);
                    more.less()
                }
                more => more,
            }
        };
        self.overload = FrameOverload { given_up, below };
        if given_up != before {
            report(before, given_up, below);
        }
    }
}

fn report(before: GivenUp, now: GivenUp, below: u64) {
    if now > before && now >= GivenUp::Gates {
        tracing::warn!(
            given_up = now.as_str(),
            cameras = below,
            "frames come faster than they can be looked at: cameras get fewer a second than their least; {}",
            match now {
                GivenUp::Gates => "gates look at large motion only",
                GivenUp::Models => "models that have a smaller one are replaced by it",
                GivenUp::Nothing | GivenUp::Rate | GivenUp::Coverage => "their counts are lower bounds",
            }
        );
    } else if now < before && before >= GivenUp::Gates {
        tracing::info!(given_up = now.as_str(), "frames are looked at more closely again");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is given up after each window, in which one camera that must have 3 frames a second has as many as this.
    fn after(taken_a_second: &[u32]) -> Vec<&'static str> {
        let mut ladder = Ladder::new();
        let mut said = Vec::new();
        for (number, taken) in (0..).zip(taken_a_second) {
            let now = Monotonic(number * 5_000_000);
            let Some(seconds) = ladder.due(now) else { continue };
            let tally = CameraTally { came: 10 * 5, apart: 5 * 5, taken: taken * 5 };
            ladder.look(seconds, ([(3.0, tally)].into_iter(), *taken < 10));
            said.push(ladder.overload().given_up.as_str());
        }
        said
    }

    #[test]
    fn rate_comes_first_and_the_rest_in_order_only_where_a_camera_falls_short() {
        assert_eq!(after(&[10, 10, 10]), ["nothing", "nothing"]);
        assert_eq!(after(&[10, 5, 3, 10]), ["rate", "rate", "nothing"]);
        assert_eq!(after(&[1, 1, 1, 1, 1]), ["gates", "models", "coverage", "coverage"]);
    }

    #[test]
    fn what_was_given_up_comes_back_one_by_one_after_a_calm_while() {
        let mut load = vec![1; 4];
        load.extend([5; 18]);
        let said = after(&load);
        assert_eq!(said[..3], ["gates", "models", "coverage"]);
        assert_eq!((said[7], said[8], said[14], said[20]), ("coverage", "models", "gates", "rate"));
        // It had come down too early: now it takes twice as long.
        let mut load = vec![1; 3];
        load.extend([5; 6]);
        load.push(1);
        load.extend([5; 12]);
        let said = after(&load);
        assert_eq!((said[1], said[7], said[8]), ("models", "gates", "models"));
        assert_eq!((said[19], said[20]), ("models", "gates"));
    }

    #[test]
    fn a_camera_that_sends_seldom_does_not_fall_short() {
        let mut ladder = Ladder::new();
        ladder.due(Monotonic(0));
        let seconds = ladder.due(Monotonic(5_000_000)).unwrap();
        let tally = CameraTally { came: 5, apart: 5, taken: 5 };
        ladder.look(seconds, ([(3.0, tally)].into_iter(), false));
        assert_eq!(ladder.overload(), FrameOverload::default());
    }
}
