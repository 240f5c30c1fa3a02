//! The budget of a whole judge: what its instances learn together about how often they alarm.
//!
//! A probability by one signal's own past cannot support "once in forty weeks", which is the share of one of forty
//! signals in "1/week". Probabilities compare, though: all instances of a judge enter the **peaks** of their events (the
//! smallest combined probability of each, as a surprise: its negative logarithm) into one record, and the level follows
//! from how often peaks reach it among the readings of all. A peak counts once however long its event lasts, a signal
//! that has many counts as three ordinary ones, and how far out the farthest lie is not learnt: neither one bad signal nor
//! real faults move the level much.
//!
//! Time is divided into periods of readings' own time. A level holds for one period and is made of the periods before, so
//! that answers do not depend on which instance judges first. Instances of one judge on two threads (plain readings and
//! blocks) may see each other's peaks a period sooner or later.

mod former;
mod law;
mod machine;
mod member;
mod odds;
mod own;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use verge_domain::stage::{RestoreError, SharedState};

use crate::alarm::{AlarmSettings, BudgetOf};
use crate::budget::AlarmBudget;
use crate::state::{self, StateKind};
use law::{BINS, PeakLaw, WHOLE};
use machine::Machines;
pub(crate) use member::{PoolMember, RunningEvent, SavedBeside, SavedMember};
pub(crate) use odds::{Level, Odds, SeenReading};

/// A budget is supported once its judge has been watched for a seventh of the time in which one false alarm is accepted: a
/// day for "1/week". That is how far the law is trusted beyond the record.
const SUPPORT: f64 = 1.0 / 7.0;
/// The record fades by half in the time in which this number of false alarms is accepted, while readings come.
const HALF_LIFE_ALARMS: f64 = 4.0;
/// Periods in the time that supports the budget.
const PERIODS: f64 = 24.0;
/// Shortest and longest period, in seconds.
const PERIOD_SECONDS: (f64, f64) = (1.0, 600.0);
/// The pace of all readings follows at this rate at least where it sinks; where it rises, by half in each period.
const PACE_RATE: f64 = 1.0 / 144.0;
/// Blocks of time after which what is seen of a signal counts as known: a day for "1/week".
pub(crate) const LAG: usize = 8;
/// Parts of a reading per second in which paces are added: whole numbers, which add up in any order.
const PACE_PARTS: f64 = 1e6;

/// What the instances of one judge share.
#[derive(Debug)]
pub struct AlarmPool {
    budget: AlarmBudget,
    period_ms: i64,
    /// Length of a block of time.
    block_ms: i64,
    /// Part of the record that is kept over one period.
    kept: f64,
    book: Mutex<Book>,
    machines: Machines,
}

/// What is known of a judge.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Book {
    /// Number of the newest period.
    period: i64,
    periods: u32,
    law: PeakLaw,
    /// Readings per second of instances that may alarm, and of all.
    pace: f64,
    pace_of_all: f64,
    /// Instances that may alarm.
    members: f64,
    #[serde(skip)]
    now: Entries,
    /// What holds for the newest period, once an instance asked: the first to come into it reckons for all.
    #[serde(skip)]
    holds: Option<PeriodLevel>,
}

/// What came in during the newest period. Whole numbers alone.
#[derive(Debug, Clone, PartialEq)]
struct Entries {
    peaks: Box<[u32; BINS]>,
    readings: u64,
    pace: u64,
    pace_of_all: u64,
    members: u32,
}

impl Default for Entries {
    fn default() -> Self {
        Self { peaks: Box::new([0; BINS]), readings: 0, pace: 0, pace_of_all: 0, members: 0 }
    }
}

/// What holds for one period.
#[derive(Debug, Clone, Copy, PartialEq)]
struct PeriodLevel {
    period: i64,
    /// The surprise from which an ordinary signal alarms.
    surprise: f64,
    /// Peaks of an ordinary signal where the law begins, per reading, and its scale.
    rate: f64,
    scale: f64,
    /// Readings per second of the instances that may alarm, and of all.
    pace: f64,
    pace_of_all: f64,
    members: f64,
    /// Seconds until the record supports the budget; zero where it does.
    missing: f64,
}

/// What an instance enters when it comes into a period: its readings since it last did.
#[derive(Debug, Clone, Copy)]
struct Share {
    readings: u32,
    per_second: f64,
    mature: bool,
}

/// Seconds after which the budget of one false alarm in `each` seconds is supported, at best: first the signals become
/// known, then the record grows.
fn learns_for(each: f64) -> f64 {
    (SUPPORT * each).min(member::DAY) + SUPPORT * each
}

/// Seconds of one false alarm by the rarest budget that is supported after this number of seconds.
fn supported_after(seconds: f64) -> f64 {
    (0.5 * seconds / SUPPORT).max((seconds - member::DAY) / SUPPORT)
}

impl AlarmSettings {
    /// Whether a judge with these settings learns for longer than this before it supports its budget, at best; then the time
    /// that it learns for, and the time of one false alarm by the rarest budget with which it does not.
    #[must_use]
    pub fn learns_longer_than(&self, most: Duration) -> Option<(Duration, Duration)> {
        let each = self.budget.filter(|_| self.budget_of == BudgetOf::Judge)?.per_second().recip();
        let learns_for = Duration::try_from_secs_f64(learns_for(each)).unwrap_or(Duration::MAX);
        let rarest = Duration::from_secs_f64(supported_after(most.as_secs_f64()));
        (learns_for > most).then_some((learns_for, rarest))
    }
}

impl AlarmPool {
    /// What the instances of a judge with these settings share; `None` where each has a budget of its own.
    #[must_use]
    pub fn of(settings: &AlarmSettings) -> Option<Arc<Self>> {
        let budget = settings.budget.filter(|_| settings.budget_of == BudgetOf::Judge)?;
        let period = (SUPPORT / PERIODS / budget.per_second()).clamp(PERIOD_SECONDS.0, PERIOD_SECONDS.1);
        let lag = (SUPPORT / budget.per_second()).min(member::DAY);
        let block_ms = ((lag * 1e3) as i64 / LAG as i64).max(1);
        let period_ms = (period * 1e3) as i64;
        let kept = (-period_ms as f64 / 1e3 * budget.per_second() / HALF_LIFE_ALARMS).exp2();
        let book = Mutex::new(Book::new());
        Some(Arc::new(Self { budget, period_ms, block_ms, kept, book, machines: Machines::default() }))
    }

    fn book(&self) -> MutexGuard<'_, Book> {
        // Each entry is whole before the next begins.
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn period_of(&self, at_ms: i64) -> i64 {
        at_ms.div_euclid(self.period_ms)
    }

    /// An instance comes into a period. The first to do so ends the one before.
    fn enter(&self, period: i64, share: Share) -> PeriodLevel {
        let mut book = self.book();
        // A clock that was far ahead must not stop the record.
        if period > book.period || period < book.period - i64::from(u16::MAX) {
            book.turn(period, self.kept);
        }
        let pace = (share.per_second * PACE_PARTS).min(1e15) as u64;
        book.now.pace_of_all = book.now.pace_of_all.saturating_add(pace);
        if share.mature {
            book.now.pace = book.now.pace.saturating_add(pace);
            book.now.members = book.now.members.saturating_add(1);
            book.now.readings = book.now.readings.saturating_add(u64::from(share.readings));
        }
        book.level(period, self.budget)
    }

    /// An event of an instance has ended.
    fn note_peak(&self, surprise: f64, weight: f64) {
        let mut book = self.book();
        let peaks = &mut book.now.peaks[law::bin_of(surprise)];
        *peaks = peaks.saturating_add((weight * f64::from(WHOLE)) as u32);
    }
}

impl Book {
    fn new() -> Self {
        Self {
            period: i64::MIN,
            periods: 0,
            law: PeakLaw::new(),
            pace: 0.0,
            pace_of_all: 0.0,
            members: 0.0,
            now: Entries::default(),
            holds: None,
        }
    }

    fn turn(&mut self, period: i64, kept: f64) {
        self.period = period;
        self.holds = None;
        if self.now.pace_of_all == 0 {
            return;
        }
        self.periods = self.periods.saturating_add(1);
        let rate = PACE_RATE.max(1.0 / f64::from(self.periods));
        follow(&mut self.pace_of_all, self.now.pace_of_all as f64 / PACE_PARTS, rate);
        // While those that may alarm rest, what is known of them waits for them: signals that are not known long enough,
        // and may never be, neither fade the record nor make it one of a slower judge.
        if self.now.members > 0 {
            self.law.learn(kept, &self.now.peaks, self.now.readings);
            follow(&mut self.pace, self.now.pace as f64 / PACE_PARTS, rate);
            follow(&mut self.members, f64::from(self.now.members), rate);
        }
        self.now.peaks.fill(0);
        (self.now.readings, self.now.pace, self.now.pace_of_all, self.now.members) = (0, 0, 0, 0);
    }

    fn level(&mut self, period: i64, budget: AlarmBudget) -> PeriodLevel {
        let holds = self.holds.unwrap_or_else(|| self.level_now(budget));
        self.holds = Some(holds);
        PeriodLevel { period, ..holds }
    }

    fn level_now(&self, budget: AlarmBudget) -> PeriodLevel {
        let pace = self.pace.max(1e-9);
        let each_reading = budget.per_second() / pace;
        let fitted = self.law.fitted();
        let known = self.law.readings() / pace;
        PeriodLevel {
            period: self.period,
            surprise: self.law.level(&fitted, each_reading),
            rate: fitted.rate,
            scale: fitted.scale,
            pace: self.pace,
            pace_of_all: self.pace_of_all,
            members: self.members,
            missing: (SUPPORT / budget.per_second() - known).max(0.0),
        }
    }
}

/// Rises quickly, sinks slowly: where new signals appear, the level must be ready for them.
fn follow(mean: &mut f64, now: f64, rate: f64) {
    let rate = if now > *mean { rate.max(0.5) } else { rate };
    *mean += rate * (now - *mean);
}

impl SharedState for AlarmPool {
    fn save(&self) -> Option<Vec<u8>> {
        let book = self.book();
        (book.periods > 0).then(|| state::seal(StateKind::Pool, &*book))
    }

    fn restore(&self, bytes: &[u8]) -> Result<(), RestoreError> {
        let restored: Book = state::open(StateKind::Pool, bytes)?;
        restored.law.check()?;
        let paces = [restored.pace, restored.pace_of_all, restored.members];
        if !paces.iter().all(|pace| pace.is_finite() && *pace >= 0.0) {
            return Err(RestoreError::Misfit { part: "the pace of its readings" });
        }
        *self.book() = restored;
        Ok(())
    }
}
