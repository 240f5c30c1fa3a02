//! Saturated: the signal is cut off at exactly the greatest or the least value of the recent past.
//!
//! Counted over spans of four blocks. A span is saturated if it has more than four times the most that was usual,
//! and at least 15 % of its readings, at an extreme, which it left and met again several times: the noise of what is
//! measured goes on and is cut off. What stays at an extreme stands still, which is for the cause *stuck*. Signals with
//! fewer than 32 steps between their extremes (counts of few, two values) are not judged: they touch their extremes by
//! nature. At the end of a scale (nothing, 1, 100 %) a process may be as well: the first time is for the record.

use verge_domain::finding::{Condition, Member, Standing};

use super::sample::{BLOCK, Circumstances, Grain, HealthSample, condition, shown};
use serde::{Deserialize, Serialize};

const BLOCKS: u8 = 4;

/// Readings in a span.
const SPAN: u16 = BLOCK as u16 * BLOCKS as u16;

/// This many readings of a span at an extreme are always usual.
const LEAST: u16 = 24;

/// Spans before there is a limit.
const READY: u16 = 8;

/// Extremes are those of one whole epoch of spans and of the present one.
const EPOCH: u16 = 64;

/// A span that is cut off meets its extreme this many times at least.
const MEETS: u16 = 4;

/// Steps between the extremes of a signal that can be judged.
const STEPS: f64 = 32.0;

/// One extreme, of the value or of its negative.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(super) struct Rail {
    before: f64,
    now: f64,
    /// Readings of this span at the extreme.
    count: u16,
    /// How often it came to the extreme within this span. Saved beside the rest: earlier versions did not know it.
    #[serde(skip)]
    pub(super) visits: RailVisits,
}

/// How a signal meets one of its extremes.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
pub(super) struct RailVisits {
    /// In this span.
    times: u16,
    /// The newest reading is at the extreme.
    stays: bool,
}

impl Rail {
    const NEW: Self =
        Self { before: f64::MIN, now: f64::MIN, count: 0, visits: RailVisits { times: 0, stays: false } };

    fn extreme(&self) -> f64 {
        self.before.max(self.now)
    }

    /// Readings of the span at the extreme, if it was cut off there. A new span begins.
    fn close(&mut self) -> u16 {
        let count = if self.visits.times >= MEETS { self.count } else { 0 };
        (self.count, self.visits.times) = (0, 0);
        count
    }

    #[inline]
    fn enter(&mut self, value: f64) {
        let extreme = self.extreme();
        let is_there = value >= extreme;
        if value > extreme {
            (self.count, self.visits.times) = (1, 1);
        } else if is_there {
            self.count = self.count.saturating_add(1);
            self.visits.times = self.visits.times.saturating_add(u16::from(!self.visits.stays));
        }
        self.visits.stays = is_there;
        self.now = self.now.max(value);
    }
}

/// Watches for saturation.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Saturated {
    pub(super) top: Rail,
    pub(super) bottom: Rail,
    blocks: u8,
    /// Spans known, up to [`READY`], and spans of this epoch.
    known: u16,
    in_epoch: u16,
    /// Most that was usual.
    usual: u16,
    /// Of the newest span, not yet learnt: the beginning of a fault must not teach.
    pending: u16,
    /// How far the episode before went (a second one like it is learnt), and this one.
    excused: u16,
    peak: u16,
    streak: u16,
    standing: Standing,
    /// Of the newest span.
    count: u16,
    judged: bool,
    /// The newest span that was cut off is for the record, and was so at the top. Saved beside the rest: earlier versions
    /// did not know it.
    #[serde(skip)]
    pub(super) learning: bool,
    #[serde(skip)]
    pub(super) at_top: bool,
}

impl Default for Saturated {
    fn default() -> Self {
        Self {
            top: Rail::NEW,
            bottom: Rail::NEW,
            blocks: 0,
            known: 0,
            in_epoch: 0,
            usual: 0,
            pending: 0,
            excused: 0,
            peak: 0,
            streak: 0,
            standing: Standing::Normal,
            count: 0,
            judged: false,
            learning: false,
            at_top: false,
        }
    }
}

impl Saturated {
    #[inline]
    pub(super) fn enter(&mut self, sample: &HealthSample) {
        self.top.enter(sample.value);
        self.bottom.enter(-sample.value);
    }

    pub(super) fn close(&mut self, grain: Grain, around: Circumstances) {
        self.blocks += 1;
        if self.blocks < BLOCKS {
            return;
        }
        self.blocks = 0;
        let (at_top, at_bottom) = (self.top.close(), self.bottom.close());
        self.count = at_top.max(at_bottom);
        if self.count > 0 {
            self.at_top = at_top >= at_bottom;
            self.learning = around.young || (self.ends_scale(self.at_top) && !around.one_state);
        }
        let half_range = self.top.extreme() / 2.0 + self.bottom.extreme() / 2.0;
        let fine = grain.half().is_some_and(|half| half_range / STEPS >= half);
        self.judged = fine && self.known >= READY;
        self.known = (self.known + 1).min(READY);
        self.in_epoch += 1;
        if self.in_epoch >= EPOCH {
            self.in_epoch = 0;
            for rail in [&mut self.top, &mut self.bottom] {
                (rail.before, rail.now) = (rail.now, f64::MIN);
            }
        }
        self.judge(around);
    }

    fn judge(&mut self, around: Circumstances) {
        let limit = self.limit();
        if self.judged && self.count > limit {
            self.streak = self.streak.saturating_add(1);
            self.pending = 0;
            self.peak = self.peak.max(self.count);
            if self.standing != Standing::Abnormal {
                self.standing =
                    if self.streak >= around.blocks { Standing::Abnormal } else { Standing::Margin };
            }
            return;
        }
        self.streak = 0;
        let within = self.count <= limit / 2;
        if self.peak > 0 {
            if self.judged && !within {
                self.standing = Standing::Margin;
                return;
            }
            // What was raised for the record alone is learnt at once.
            let learnt = if self.learning { self.peak } else { self.peak.min(self.excused) };
            self.usual = self.usual.max(learnt);
            self.excused = self.peak;
            self.peak = 0;
        }
        self.standing = if within || !self.judged { Standing::Normal } else { Standing::Margin };
        self.usual = self.usual.max(self.pending);
        self.pending = self.count;
    }

    /// Whether an extreme is one that a process may be at, too.
    fn ends_scale(&self, top: bool) -> bool {
        let (greatest, least) = (self.top.extreme(), 0.0 - self.bottom.extreme());
        if top { greatest == 0.0 || (least >= 0.0 && [1.0, 100.0].contains(&greatest)) } else { least == 0.0 }
    }

    fn limit(&self) -> u16 {
        self.usual * 4 + LEAST
    }

    pub(super) fn condition(&self) -> Option<Condition> {
        if !self.judged {
            return None;
        }
        let share = |count: u16| f64::from(count.min(SPAN)) / f64::from(SPAN);
        let expected = (None, Some(share(self.limit())));
        let condition = condition(Member::Saturated, self.standing, share(self.count), expected, None);
        let end = if self.at_top { self.top.extreme() } else { 0.0 - self.bottom.extreme() };
        Some(Condition { learning: self.learning, shown: shown(end, (None, None)), ..condition })
    }
}
