//! Clock skewed: the device's time is not believed, or it has left its usual distance from ours.
//!
//! *Not believed* is what [`DeviceClock::Skewed`] says (also of a constant offset of whole hours, halves or quarters), eight
//! readings in a row. *Left its distance*: per block of 40
//! readings, the distance is that of the freshest reading (latency makes others older); the range of the first
//! sixteen blocks, with a tolerance, is the usual one, and three blocks in a row beyond it are abnormal. The
//! tolerance is 5 s, or 4 times that range where it is more; backwards at least 60 s, since a jammed link delays readings
//! too. A step is thus found at once, a drift once it adds up. A clock within 2 s of ours is never skewed by its
//! distance. Blocks that came in a burst (a device that catches up) are ignored. A new distance that
//! lasts for 256 blocks is taken as the usual one.

use verge_domain::finding::{Condition, Member, Standing};
use verge_domain::time::DeviceClock;

use super::sample::{HealthSample, condition};
use serde::{Deserialize, Serialize};

/// Readings in a row that are believed, or not.
const IN_A_ROW: u16 = 8;

/// Blocks that make the usual distance.
const LEARNS: u16 = 16;

/// Blocks in a row beyond it.
const BLOCKS: u16 = 3;

/// Blocks after which a new distance is the usual one.
const RELEARNS: u16 = 256;

/// Tolerances in milliseconds.
const AHEAD_MS: i64 = 5_000;
const BEHIND_MS: i64 = 60_000;

/// A clock this near to ours is right, whatever it was before. In milliseconds.
const RIGHT_MS: i64 = 2_000;

/// The least constant offset for which a clock is not believed, in seconds.
const ZONE_S: f64 = 1_800.0;

/// Of the readings of this block whose time is believed.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
struct Stretch {
    /// Distance of the freshest.
    freshest_ms: i64,
    /// First and newest captured time.
    first_ms: i64,
    newest_ms: i64,
    /// Time of receipt since the first.
    received_us: u64,
}

/// Watches a device's clock.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct ClockWatch {
    stretch: Option<Stretch>,
    /// Least and greatest usual distance.
    least_ms: i64,
    greatest_ms: i64,
    learnt: u16,
    beyond: u16,
    standing: Standing,
    /// Distance of the newest block.
    distance_ms: i64,
    /// Readings in a row that were not believed, and that were.
    skewed: u16,
    trusted: u16,
    /// Of the newest reading that was not believed.
    skewed_ms: i64,
}

impl Default for ClockWatch {
    fn default() -> Self {
        Self {
            stretch: None,
            least_ms: 0,
            greatest_ms: 0,
            learnt: 0,
            beyond: 0,
            standing: Standing::Normal,
            distance_ms: 0,
            skewed: 0,
            trusted: 0,
            skewed_ms: 0,
        }
    }
}

impl ClockWatch {
    #[inline]
    pub(super) fn enter(&mut self, sample: &HealthSample) {
        let Some(ahead_ms) = sample.ahead_ms else { return };
        let Some(captured_ms) = sample.captured_ms else {
            (self.skewed, self.trusted) = (self.skewed.saturating_add(1), 0);
            self.skewed_ms = ahead_ms;
            return;
        };
        self.trusted = self.trusted.saturating_add(1);
        if self.trusted >= IN_A_ROW {
            self.skewed = 0;
        }
        match &mut self.stretch {
            Some(stretch) => {
                stretch.freshest_ms = stretch.freshest_ms.max(ahead_ms);
                stretch.newest_ms = stretch.newest_ms.max(captured_ms);
                stretch.received_us = stretch.received_us.saturating_add(sample.gap_us);
            }
            None => {
                self.stretch = Some(Stretch {
                    freshest_ms: ahead_ms,
                    first_ms: captured_ms,
                    newest_ms: captured_ms,
                    received_us: 0,
                });
            }
        }
    }

    pub(super) fn close(&mut self, patience: u16) {
        let Some(stretch) = self.stretch.take() else { return };
        let captured_ms = stretch.newest_ms.saturating_sub(stretch.first_ms).unsigned_abs();
        if captured_ms / 2 > stretch.received_us / 1000 {
            return;
        }
        self.distance_ms = stretch.freshest_ms;
        if self.learnt < LEARNS {
            self.learn();
            return;
        }
        let (low_ms, high_ms) = self.limits_ms();
        let outside = !(low_ms..=high_ms).contains(&self.distance_ms);
        if !outside || self.distance_ms.abs() <= RIGHT_MS {
            if outside {
                self.learnt = 0;
                self.learn();
            }
            (self.beyond, self.standing) = (0, Standing::Normal);
            return;
        }
        self.beyond = self.beyond.saturating_add(1);
        if self.beyond >= RELEARNS {
            (self.learnt, self.beyond, self.standing) = (0, 0, Standing::Normal);
            self.learn();
        } else if self.beyond >= BLOCKS.saturating_mul(patience).min(RELEARNS - 1) {
            self.standing = Standing::Abnormal;
        } else if self.standing == Standing::Normal {
            self.standing = Standing::Margin;
        }
    }

    fn learn(&mut self) {
        let first = self.learnt == 0;
        self.least_ms = if first { self.distance_ms } else { self.least_ms.min(self.distance_ms) };
        self.greatest_ms = if first { self.distance_ms } else { self.greatest_ms.max(self.distance_ms) };
        self.learnt += 1;
    }

    fn limits_ms(&self) -> (i64, i64) {
        // Believed times lie within a day of ours: nothing here can overflow.
        let range_ms = self.greatest_ms.saturating_sub(self.least_ms);
        let tolerance_ms = range_ms.saturating_mul(4).max(AHEAD_MS);
        (
            self.least_ms.saturating_sub(tolerance_ms.max(BEHIND_MS)),
            self.greatest_ms.saturating_add(tolerance_ms),
        )
    }

    pub(super) fn condition(&self, patience: f64) -> Option<Condition> {
        let seconds = |ms: i64| ms as f64 / 1e3;
        let reported = |standing, ahead_ms, expected| {
            Some(condition(Member::ClockSkewed, standing, seconds(ahead_ms), expected, None))
        };
        let believed =
            (Some(-DeviceClock::MAX_AGE.as_secs_f64()), Some(DeviceClock::MAX_AHEAD.as_secs_f64()));
        // Not believed for its constant offset, which is that of another time zone.
        let zone = self.skewed > 0 && seconds(self.skewed_ms) > -DeviceClock::MAX_AGE.as_secs_f64();
        let believed = if zone { (Some(-ZONE_S), believed.1) } else { believed };
        if f64::from(self.skewed) >= f64::from(IN_A_ROW) * patience {
            let standing = if self.trusted > 0 { Standing::Margin } else { Standing::Abnormal };
            return reported(standing, self.skewed_ms, believed);
        }
        if self.skewed > 0 {
            return reported(Standing::Margin, self.skewed_ms, believed);
        }
        if self.trusted < IN_A_ROW {
            return None;
        }
        if self.learnt < LEARNS {
            return reported(Standing::Normal, self.distance_ms, believed);
        }
        let (low_ms, high_ms) = self.limits_ms();
        reported(self.standing, self.distance_ms, (Some(seconds(low_ms)), Some(seconds(high_ms))))
    }
}
