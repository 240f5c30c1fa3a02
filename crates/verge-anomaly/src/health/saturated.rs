//! Saturated: many readings at exactly the greatest or the least value of the recent past.
//!
//! Counted over spans of four blocks. A span is saturated if it has more than four times the most that was usual,
//! and at least 15 % of its readings, at an extreme. Signals with fewer than 32 steps between their extremes
//! (counts of few, two values) are not judged: they touch their extremes by nature.

use verge_domain::finding::{Condition, Member, Standing};

use super::sample::{BLOCK, Grain, HealthSample, condition};
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

/// Steps between the extremes of a signal that can be judged.
const STEPS: f64 = 32.0;

/// One extreme, of the value or of its negative.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
struct Rail {
    before: f64,
    now: f64,
    /// Readings of this span at the extreme.
    count: u16,
}

impl Rail {
    const NEW: Self = Self { before: f64::MIN, now: f64::MIN, count: 0 };

    fn extreme(&self) -> f64 {
        self.before.max(self.now)
    }

    #[inline]
    fn enter(&mut self, value: f64) {
        let extreme = self.extreme();
        if value >= extreme {
            self.count = if value > extreme { 1 } else { self.count.saturating_add(1) };
        }
        self.now = self.now.max(value);
    }
}

/// Watches for saturation.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Saturated {
    top: Rail,
    bottom: Rail,
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
        }
    }
}

impl Saturated {
    #[inline]
    pub(super) fn enter(&mut self, sample: &HealthSample) {
        self.top.enter(sample.value);
        self.bottom.enter(-sample.value);
    }

    pub(super) fn close(&mut self, grain: Grain, patience: u16) {
        self.blocks += 1;
        if self.blocks < BLOCKS {
            return;
        }
        self.blocks = 0;
        self.count = self.top.count.max(self.bottom.count);
        (self.top.count, self.bottom.count) = (0, 0);
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
        self.judge(patience);
    }

    fn judge(&mut self, patience: u16) {
        let limit = self.limit();
        if self.judged && self.count > limit {
            self.streak = self.streak.saturating_add(1);
            self.pending = 0;
            self.peak = self.peak.max(self.count);
            if self.standing != Standing::Abnormal {
                self.standing = if self.streak >= patience { Standing::Abnormal } else { Standing::Margin };
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
            self.usual = self.usual.max(self.peak.min(self.excused));
            self.excused = self.peak;
            self.peak = 0;
        }
        self.standing = if within || !self.judged { Standing::Normal } else { Standing::Margin };
        self.usual = self.usual.max(self.pending);
        self.pending = self.count;
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
        Some(condition(Member::Saturated, self.standing, share(self.count), expected, None))
    }
}
