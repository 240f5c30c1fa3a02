//! One instance of a judge as a member of the pool: its level, whether it still learns, and what it enters.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use verge_domain::finding::Standing;
use verge_domain::stage::{AlarmRate, RestoreError};
use verge_domain::time::UtcMillis;

use super::former::FormerRange;
use super::machine::Machine;
use super::odds::{Level, Odds, SeenReading, USUAL};
use super::own::{BEYOND, OwnPeaks, OwnRange};
use super::{AlarmPool, HALF_LIFE_ALARMS, PeriodLevel, SUPPORT, Share, law};
use crate::alarm::{AlarmOutcome, AlarmSettings, Alarms, Pace, WhileLearning};
use crate::budget::AlarmLevel;

/// Readings from which a signal is judged with the others…
const MATURE: f64 = 1_500.0;
/// …or, where they come rarely, from which the time in which this number of alarms is accepted is enough.
const MATURE_RARE: (f64, f64) = (200.0, 2.0);
/// Nobody waits longer than a day for one signal to be known: the hours of the day were seen.
pub(super) const DAY: f64 = 86_400.0;
/// What is beyond doubt by its own range is so only for a signal of which this many readings were seen…
const RANGE_KNOWN: f64 = 1_000.0;
/// …over this part of the time that supports the budget.
const RANGE_TIME: f64 = 0.25;
/// An event lasts until this number of readings in a row were usual at least, and no longer than the other.
const EVENT: (u32, u32) = (10, 2_000);

/// One instance in the pool of its judge, or alone.
#[derive(Debug, Clone, Default)]
pub(crate) struct PoolMember {
    pub(super) pool: Option<Arc<AlarmPool>>,
    pub(super) machine: Option<Arc<Machine>>,
    holds: Option<PeriodLevel>,
    /// When that period began, in UTC milliseconds.
    holds_from_ms: i64,
    /// Readings that were not entered yet.
    readings: u32,
    members: PeakWatch,
    beside: PeakWatch,
    /// It is judged with the others.
    mature: bool,
    /// Seconds for which it has been.
    known: f64,
    saved: SavedMember,
    own_beside: OwnPeaks,
}

/// By the members of a detector, or by what it sees beside them.
#[derive(Debug, Clone, Copy, Default)]
struct PeakWatch {
    event: PeakEvent,
    /// The probability from which it alarms.
    p: f64,
}

/// What is saved of it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct SavedMember {
    own: OwnPeaks,
    range: OwnRange,
    /// Of earlier versions.
    former: FormerRange,
    /// Events that were raised while learning.
    learnt: u64,
    /// The open event was.
    open: bool,
}

impl Default for SavedMember {
    fn default() -> Self {
        Self {
            own: OwnPeaks::default(),
            range: OwnRange::NONE,
            former: FormerRange::default(),
            learnt: 0,
            open: false,
        }
    }
}

/// What is saved of an event that goes on, so that a restart in the middle of it changes nothing.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct RunningEvent {
    peak: PeakEvent,
    /// See [`Alarms::quiet`].
    quiet: u32,
}

/// What is saved of what is seen beside the members.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct SavedBeside {
    own: OwnPeaks,
    peak: PeakEvent,
}

/// An event whose peak is not known yet.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
struct PeakEvent {
    peak: f64,
    calm: u32,
    length: u32,
    /// It raised an alarm, which has ended.
    alarmed: bool,
}

/// What is saved counts: the rest follows from the next readings.
impl PartialEq for PoolMember {
    fn eq(&self, other: &Self) -> bool {
        self.saved == other.saved && self.own_beside == other.own_beside
    }
}

impl PoolMember {
    pub(crate) fn of(pool: Option<&Arc<AlarmPool>>) -> Self {
        Self { pool: pool.cloned(), ..Self::default() }
    }

    /// A reading comes in. `remembered`: readings that the tail of the signal knows.
    pub(crate) fn begin(&mut self, at: UtcMillis, pace: &Pace, remembered: f64) {
        let Some(pool) = &self.pool else { return };
        self.readings = self.readings.saturating_add(1);
        // A subtraction tells most readings from the few that begin a period; a division would cost each of them.
        let within = at.0.wrapping_sub(self.holds_from_ms);
        if self.holds.is_some() && (0..pool.period_ms).contains(&within) {
            return;
        }
        let period = pool.period_of(at.0);
        self.holds_from_ms = period.saturating_mul(pool.period_ms);
        self.mature = missing_of(pool, pace, remembered) <= 0.0;
        // A signal that sends less than once in a period counts with what it sends.
        let per_second = (1.0 / pace.seconds()).min(f64::from(self.readings) * 1e3 / pool.period_ms as f64);
        let readings = std::mem::take(&mut self.readings);
        let share = Share { readings, per_second, mature: self.mature };
        self.holds = Some(pool.enter(period, share));
        if self.mature {
            let oldest = period.saturating_sub(
                (2.0 * HALF_LIFE_ALARMS / (pool.budget.per_second() * pool.period_ms as f64 / 1e3)) as i64,
            );
            self.own_beside.pass(readings, pool.kept, oldest..=period);
            self.known = self.saved.own.pass(readings, pool.kept, oldest..=period) * pace.seconds();
        }
        self.set_level();
    }

    /// The level follows from what holds for all, and from what this signal has shown.
    fn set_level(&mut self) {
        let (Some(pool), Some(holds)) = (&self.pool, self.holds) else { return };
        // One signal may spend half of the budget, or all of it where it is the only one.
        let part = (1.0 / holds.members.max(1.0)).max(0.5);
        let allowed = part * pool.budget.per_second() * self.known;
        // So it may by its members, and by what is seen beside them.
        for (watch, own) in [(&mut self.members, &self.saved.own), (&mut self.beside, &self.own_beside)] {
            let level = holds.surprise + own.apart(holds.rate, holds.scale);
            watch.p = (-own.beyond_shown(level, allowed).max(law::LEAST)).exp();
        }
    }

    /// The level now. `own`: what the signal's own history makes of the budget.
    pub(crate) fn level(&self, own: impl FnOnce() -> AlarmLevel) -> Level {
        match (&self.pool, self.holds) {
            (Some(_), Some(holds)) if self.mature && holds.missing <= 0.0 => {
                Level { p: self.members.level(), beside: self.beside.level(), learning: false }
            }
            (Some(_), _) => Level::of_own(own().p, true),
            (None, _) => {
                let own = own();
                Level::of_own(own.p, own.supported_in.is_some())
            }
        }
    }

    /// Number of the block of time, of which [`LAG`](super::LAG) pass until what is seen counts as known.
    pub(crate) fn block_of(&self, at: UtcMillis) -> i64 {
        self.pool.as_ref().map_or(0, |pool| at.0.div_euclid(pool.block_ms))
    }

    /// Whether the open event began while learning.
    pub(crate) fn is_learning_event(&self) -> bool {
        self.saved.open
    }

    /// The signal was changed on purpose: its range is learnt again.
    pub(crate) fn was_maintenance(&mut self) {
        self.saved.former = FormerRange::default();
        self.saved.range = OwnRange::NONE;
    }

    /// Whether probabilities are compared with those of others.
    pub(crate) fn is_shared(&self) -> bool {
        self.pool.is_some()
    }

    /// What becomes of a reading with this probability. `still_off`: see [`Alarms::judge`].
    pub(crate) fn judge(
        &mut self,
        alarms: &mut Alarms,
        settings: &AlarmSettings,
        (odds, level): (Odds, Level),
        (pace, seen): (&Pace, SeenReading),
        still_off: bool,
    ) -> AlarmOutcome {
        let (p, least) = level.strangest(odds);
        let p = if let SeenReading::Jump(_, by_jump) = seen { p.min(by_jump) } else { p };
        let enormous = level.learning && p <= least && self.is_beyond_doubt(settings, pace, seen);
        let (SeenReading::Value(value) | SeenReading::Jump(value, _) | SeenReading::Score(value)) = seen;
        self.saved.range.note(value);
        let learning = level.learning && !enormous && settings.while_learning != WhileLearning::Alarm;
        let gives_way = self.saved.open && alarms.is_open() && !learning && p <= least;
        if gives_way {
            alarms.give_way();
        }
        let was_open = alarms.is_open();
        let mut outcome = alarms.judge((p, least), settings.hold_off, pace, still_off && !gives_way);
        if !alarms.is_open() {
            let ends = was_open && !self.saved.open;
            for event in [&mut self.members.event, &mut self.beside.event] {
                event.alarmed |= ends && event.length > 0;
            }
            self.saved.open = false;
        } else if !was_open {
            self.saved.open = learning;
            self.saved.learnt += u64::from(learning);
        }
        if learning && settings.while_learning == WhileLearning::Quiet {
            (outcome.alarm, outcome.standing) = (false, Standing::Normal);
        }
        outcome.learning = if alarms.is_open() { self.saved.open } else { learning };
        outcome.gives_way = gives_way;
        self.note_peak(odds.members, settings.hold_off, false);
        self.note_peak(odds.beside, settings.hold_off, true);
        outcome
    }

    fn is_beyond_doubt(&self, settings: &AlarmSettings, pace: &Pace, seen: SeenReading) -> bool {
        let Some(budget) = settings.budget else { return false };
        let known = pace.seen() as f64 >= RANGE_KNOWN
            && pace.span() >= (RANGE_TIME * SUPPORT / budget.per_second()).min(DAY);
        let range = &self.saved.range;
        known
            && match seen {
                SeenReading::Value(value) => range.is_far(value),
                SeenReading::Jump(..) => true,
                SeenReading::Score(score) => range.is_far_score(score),
            }
    }

    /// Follows an event to its end.
    fn note_peak(&mut self, p: f64, hold_off: u32, is_beside: bool) {
        let (Some(pool), watch) = (&self.pool, if is_beside { &mut self.beside } else { &mut self.members })
        else {
            return;
        };
        let Some(peak) = watch.event.passed(p, hold_off) else { return };
        if let (true, Some(holds)) = (self.mature, self.holds) {
            let own = if is_beside { &mut self.own_beside } else { &mut self.saved.own };
            let weight = own.note(holds.period, peak, holds.rate);
            pool.note_peak(peak, weight);
            self.set_level();
        }
    }

    /// A person says that the last alarm was real.
    pub(crate) fn was_real(&mut self) {
        (self.members.event, self.beside.event) = (PeakEvent::default(), PeakEvent::default());
        self.saved.own.forget_newest();
        self.own_beside.forget_newest();
    }

    /// How often it alarms. `own`: by its own history alone.
    pub(crate) fn rate(&self, mut own: AlarmRate, pace: &Pace, remembered: f64) -> AlarmRate {
        own.alarms = own.alarms.saturating_sub(self.saved.learnt);
        let Some(pool) = &self.pool else { return own };
        // The budget is divided among those that may alarm; before there are any, among all.
        let part = self.holds.map_or(1.0, |holds| {
            let own = 1.0 / pace.seconds();
            match (holds.pace > 0.0, self.mature) {
                (true, true) => own / holds.pace.max(own),
                (true, false) => 0.0,
                (false, _) => own / holds.pace_of_all.max(own),
            }
        });
        let missing = missing_of(pool, pace, remembered).max(0.0)
            + self.holds.map_or(SUPPORT / pool.budget.per_second(), |holds| holds.missing);
        let supported_in = (missing > 0.0)
            .then(|| std::time::Duration::try_from_secs_f64(missing).unwrap_or(std::time::Duration::MAX));
        let expected_per_second = part * pool.budget.per_second();
        AlarmRate {
            expected_per_second,
            supported_in,
            rarest: None,
            shared: Some(pool.budget.per_second()),
            ..own
        }
    }

    pub(crate) fn saved(&self) -> &SavedMember {
        &self.saved
    }

    /// What is saved of what is seen beside the members.
    pub(crate) fn saved_beside(&self) -> SavedBeside {
        SavedBeside { own: self.own_beside.clone(), peak: self.beside.event }
    }

    /// Takes that up, after the rest.
    pub(crate) fn restore_beside(&mut self, saved: SavedBeside) -> Result<(), RestoreError> {
        if !(saved.own.is_sound() && saved.peak.peak.is_finite()) {
            return Err(RestoreError::Misfit { part: "its part of the budget" });
        }
        (self.own_beside, self.beside.event) = (saved.own, saved.peak);
        Ok(())
    }

    /// What is saved of the event that goes on.
    pub(crate) fn running(&self, alarms: &Alarms) -> RunningEvent {
        RunningEvent { peak: self.members.event, quiet: alarms.quiet() }
    }

    pub(crate) fn restore(
        &mut self,
        saved: SavedMember,
        running: RunningEvent,
        alarms: &mut Alarms,
    ) -> Result<(), RestoreError> {
        let peak = running.peak.peak;
        if !(saved.own.is_sound() && saved.range.is_sound() && peak.is_finite()) {
            return Err(RestoreError::Misfit { part: "its part of the budget" });
        }
        alarms.set_quiet(running.quiet);
        let members = PeakWatch { event: running.peak, p: 0.0 };
        let (pool, machine) = (self.pool.take(), self.machine.take());
        *self = Self { pool, machine, saved, members, ..Self::default() };
        Ok(())
    }

    pub(crate) fn heap_bytes(&self) -> usize {
        self.saved.own.heap_bytes() + self.own_beside.heap_bytes()
    }
}

impl SavedMember {
    /// As an earlier version wrote it.
    #[cfg(test)]
    pub(crate) fn with_former_range(range: (f64, f64), blocks: u32, block: i64) -> Self {
        Self { former: FormerRange::of(range, blocks, block), ..Self::default() }
    }

    /// The range, with the number of blocks in which it was seen and the last of them, where an earlier version knew it. It
    /// is not saved again.
    pub(crate) fn take_former_range(&mut self) -> Option<((f64, f64), u32, i64)> {
        std::mem::take(&mut self.former).known()
    }
}

impl PeakWatch {
    /// What raised an alarm already raises none again before it is over.
    fn level(&self) -> f64 {
        let again = if self.event.alarmed { (-BEYOND * self.event.peak).exp() } else { 1.0 };
        self.p.min(again)
    }
}

impl PeakEvent {
    /// Notes one more reading; gives the peak of an event that is over with it.
    fn passed(&mut self, p: f64, hold_off: u32) -> Option<f64> {
        if p >= USUAL && self.length == 0 {
            return None;
        }
        // Most readings of an event are among the usual: they need no logarithm.
        let surprise = if p >= USUAL { 0.0 } else { -p.ln() };
        let is_strange = surprise >= law::LEAST;
        if self.length == 0 && !is_strange {
            return None;
        }
        self.length += 1;
        self.calm = if is_strange { 0 } else { self.calm + 1 };
        self.peak = self.peak.max(surprise);
        let is_over = self.calm >= hold_off.max(EVENT.0) || self.length >= EVENT.1;
        is_over.then(|| std::mem::take(self).peak)
    }
}

/// Seconds until a signal is judged with the others; zero or less where it is.
fn missing_of(pool: &AlarmPool, pace: &Pace, remembered: f64) -> f64 {
    let each = 1.0 / pool.budget.per_second();
    let known = (pace.seen() as f64).min(remembered);
    let by_readings = (MATURE - known) * pace.seconds();
    let rarely = ((MATURE_RARE.0 - known) * pace.seconds()).max(MATURE_RARE.1 * each - pace.span());
    by_readings.min(rarely).max((SUPPORT * each).min(DAY) - pace.span())
}
