//! Duplicate: two publishers under one device and signal.
//!
//! Two traces are looked for, each in four blocks of 40 readings in a row:
//! - *captured times go back*: at least a fifth of the messages is older than the one before it, by the device's own
//!   clock. Within a message the order does not matter, and a device that sends what it stored while it was
//!   offline is known by its old readings, which advance faster than time.
//! - *values alternate*: at least 70 % of the readings lie four times farther from the one before than from the one
//!   before that, and by more than eight of the signal's smallest steps (a signal of two values may alternate).
//!
//! Both are absolute: two publishers may have been there from the beginning.

use verge_domain::finding::{Condition, Member, Standing};

use super::sample::{BLOCK, Grain, HealthSample, condition};
use serde::{Deserialize, Serialize};

/// Blocks that must agree.
const RING: usize = 4;

/// Steps back, and alternations, in a block that are too many.
const BACK: u8 = 8;
const ALTERNATING: u8 = 28;

/// The older one of two publishers, by the times that followed a step back.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
struct Older {
    first_ms: i64,
    newest_ms: i64,
    /// Time of receipt since the first.
    received_us: u64,
    /// The same at the newest.
    newest_us: u64,
}

/// Watches for a second publisher.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Duplicate {
    /// Of this block.
    back: u8,
    alternating: u8,
    older: Option<Older>,
    /// Of the blocks before.
    backs: [u8; RING],
    alternatings: [u8; RING],
    next: u8,
    known: u8,
    streak: u16,
    standing: Standing,
}

impl Default for Duplicate {
    fn default() -> Self {
        Self {
            back: 0,
            alternating: 0,
            older: None,
            backs: [0; RING],
            alternatings: [0; RING],
            next: 0,
            known: 0,
            streak: 0,
            standing: Standing::Normal,
        }
    }
}

impl Duplicate {
    #[inline]
    pub(super) fn enter(&mut self, sample: &HealthSample, grain: Grain) {
        if let (Some(near), Some(far)) = (sample.half_step(2), sample.half_step(1))
            && far / 4.0 > near
            && grain.half().is_some_and(|half| far / 8.0 > half)
        {
            self.alternating += 1;
        }
        if let Some(older) = &mut self.older {
            older.received_us = older.received_us.saturating_add(sample.gap_us);
        }
        if let (Some(now_ms), Some(before_ms)) = (sample.captured_ms, sample.captured_before_ms)
            && sample.gap_us > 0
            && now_ms < before_ms
        {
            self.back += 1;
            match &mut self.older {
                Some(older) => (older.newest_ms, older.newest_us) = (now_ms, older.received_us),
                None => {
                    self.older =
                        Some(Older { first_ms: now_ms, newest_ms: now_ms, received_us: 0, newest_us: 0 });
                }
            }
        }
    }

    pub(super) fn close(&mut self, patience: u16) {
        let catches_up = self.older.take().is_some_and(|older| {
            let captured_ms = older.newest_ms.saturating_sub(older.first_ms);
            let received_ms = i64::try_from(older.newest_us / 1000).unwrap_or(i64::MAX);
            captured_ms.saturating_sub(1000) > received_ms.saturating_add(received_ms / 2)
        });
        let slot = usize::from(self.next) % RING;
        self.backs[slot] = if catches_up { 0 } else { self.back };
        self.alternatings[slot] = self.alternating;
        (self.back, self.alternating) = (0, 0);
        self.next = (self.next + 1) % RING as u8;
        self.known = (self.known + 1).min(RING as u8);
        if usize::from(self.known) < RING {
            return;
        }
        let (back, alternating) = (least(&self.backs), least(&self.alternatings));
        if back >= BACK || alternating >= ALTERNATING {
            self.streak = self.streak.saturating_add(1);
            if self.streak >= patience {
                self.standing = Standing::Abnormal;
            } else if self.standing == Standing::Normal {
                self.standing = Standing::Margin;
            }
        } else {
            self.streak = 0;
            let near = back > BACK / 2 || alternating > ALTERNATING / 2;
            self.standing = if near { Standing::Margin } else { Standing::Normal };
        }
    }

    pub(super) fn condition(&self) -> Option<Condition> {
        if usize::from(self.known) < RING {
            return None;
        }
        let (back, alternating) = (least(&self.backs), least(&self.alternatings));
        // The trace that is nearer to its limit is reported.
        let by_time = u16::from(back) * u16::from(ALTERNATING) >= u16::from(alternating) * u16::from(BACK);
        let (count, limit) = if by_time { (back, BACK) } else { (alternating, ALTERNATING) };
        let share = |count: u8| f64::from(count) / f64::from(BLOCK);
        // The limit itself is too much.
        let expected = (None, Some(share(limit - 1)));
        Some(condition(Member::Duplicate, self.standing, share(count), expected, None))
    }
}

fn least(counts: &[u8; RING]) -> u8 {
    counts.iter().copied().fold(u8::MAX, u8::min)
}
