//! One instance of a judge as a member of the pool: its level, whether it still learns, and what it enters.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use verge_domain::finding::Standing;
use verge_domain::stage::{AlarmRate, RestoreError};
use verge_domain::time::UtcMillis;

use super::known::KnownRange;
use super::own::{BEYOND, OwnPeaks, OwnRange};
use super::{AlarmPool, HALF_LIFE_ALARMS, PeriodLevel, SUPPORT, Share, law};
use crate::alarm::{AlarmOutcome, AlarmSettings, Alarms, Pace, WhileLearning};
use crate::budget::AlarmLevel;
use crate::tail::LEAST_P;

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
/// A value a width of its signal's range outside is as surprising as this many nats. Measured on eight simulated plants: a
/// fifth of a width is left about as often as twelve nats are reached otherwise.
const NATS_PER_WIDTH: f64 = 64.0;
/// What is among the usual has this probability.
const USUAL: f64 = 1.0;

/// The level of one reading.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Level {
    /// The combined probability from which it alarms.
    pub(crate) p: f64,
    /// The history does not support the budget yet.
    pub(crate) learning: bool,
}

impl Level {
    /// What is among the usual needs none.
    pub(crate) const OF_THE_USUAL: Self = Self { p: 0.0, learning: false };

    /// The same for a part of the budget.
    pub(crate) fn times(self, part: f64) -> Self {
        Self { p: part * self.p, ..self }
    }
}

/// How one reading stands to what was seen.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Seen {
    /// A value, which may be of either sign.
    Value(f64),
    /// A score.
    Score(f64),
}

/// One instance in the pool of its judge, or alone.
#[derive(Debug, Clone, Default)]
pub(crate) struct PoolMember {
    pool: Option<Arc<AlarmPool>>,
    holds: Option<PeriodLevel>,
    /// Readings that were not entered yet.
    readings: u32,
    event: PeakEvent,
    /// It is judged with the others.
    mature: bool,
    /// Seconds for which it has been.
    known: f64,
    /// The probability from which it alarms then.
    p: f64,
    saved: SavedMember,
}

/// What is saved of it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct SavedMember {
    own: OwnPeaks,
    range: OwnRange,
    known: KnownRange,
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
            known: KnownRange::default(),
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
        self.saved == other.saved
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
        let period = pool.period_of(at.0);
        if self.holds.is_some_and(|holds| holds.period == period) {
            return;
        }
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
            self.known = self.saved.own.pass(readings, pool.kept(), oldest..=period) * pace.seconds();
        }
        self.set_level();
    }

    /// The level follows from what holds for all, and from what this signal has shown.
    fn set_level(&mut self) {
        let (Some(pool), Some(holds)) = (&self.pool, self.holds) else { return };
        let own = &self.saved.own;
        // One signal may spend half of the budget, or all of it where it is the only one.
        let part = (1.0 / holds.members.max(1.0)).max(0.5);
        let allowed = part * pool.budget.per_second() * self.known;
        let level = holds.surprise + own.apart(holds.rate, holds.scale);
        self.p = (-own.beyond_shown(level, allowed).max(law::LEAST)).exp();
    }

    /// The level now. `own`: what the signal's own history makes of the budget.
    pub(crate) fn level(&self, own: impl FnOnce() -> AlarmLevel) -> Level {
        match (&self.pool, self.holds) {
            (Some(_), Some(holds)) if self.mature && holds.missing <= 0.0 => {
                // What raised an alarm already raises none again before it is over.
                let again = if self.event.alarmed { (-BEYOND * self.event.peak).exp() } else { 1.0 };
                Level { p: self.p.min(again), learning: false }
            }
            (Some(_), _) => Level { p: own().p, learning: true },
            (None, _) => {
                let own = own();
                Level { p: own.p, learning: own.supported_in.is_some() }
            }
        }
    }

    /// The probability of a value as far outside of what the signal has kept to for long; one inside, and for an instance
    /// alone. The range is taken to be `floor` wide at least.
    pub(crate) fn outside(&mut self, at: UtcMillis, value: f64, floor: f64) -> f64 {
        let Some(pool) = &self.pool else { return 1.0 };
        let outside = self.saved.known.outside(at.0.div_euclid(pool.block_ms()), value, floor);
        let surprise = NATS_PER_WIDTH * outside;
        if surprise >= law::LEAST { (-surprise).exp().max(LEAST_P) } else { 1.0 }
    }

    /// The range in which the signal is expected for long, up to values of this probability.
    pub(crate) fn expected_range(&self, p: f64, floor: f64) -> (f64, f64) {
        self.saved.known.widened(-p.ln() / NATS_PER_WIDTH, floor)
    }

    /// Learns the range of a value, unless it belongs to an alarm.
    pub(crate) fn note_range(&mut self, value: f64, alarms: &Alarms) {
        if self.pool.is_some() && (self.saved.open || !alarms.is_open()) {
            self.saved.known.note(value);
        }
    }

    /// The signal was changed on purpose: its range is learnt again.
    pub(crate) fn was_maintenance(&mut self) {
        self.saved.known = KnownRange::default();
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
        (p, level): (f64, Level),
        (pace, seen): (&Pace, Seen),
        still_off: bool,
    ) -> AlarmOutcome {
        let enormous = level.learning && p <= level.p && self.is_beyond_doubt(settings, pace, seen);
        let (Seen::Value(value) | Seen::Score(value)) = seen;
        self.saved.range.note(value);
        let learning = level.learning && !enormous && settings.while_learning != WhileLearning::Alarm;
        let gives_way = self.saved.open && alarms.is_open() && !learning && p <= level.p;
        if gives_way {
            alarms.give_way();
        }
        let was_open = alarms.is_open();
        let mut outcome = alarms.judge((p, level.p), settings.hold_off, pace, still_off && !gives_way);
        if !alarms.is_open() {
            self.event.alarmed |= was_open && !self.saved.open && self.event.length > 0;
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
        self.note_peak(p, settings.hold_off);
        outcome
    }

    fn is_beyond_doubt(&self, settings: &AlarmSettings, pace: &Pace, seen: Seen) -> bool {
        let Some(budget) = settings.budget else { return false };
        let known = pace.seen() as f64 >= RANGE_KNOWN
            && pace.span() >= (RANGE_TIME * SUPPORT / budget.per_second()).min(DAY);
        let range = &self.saved.range;
        known
            && match seen {
                Seen::Value(value) => range.is_far(value),
                Seen::Score(score) => range.is_far_score(score),
            }
    }

    /// Follows an event to its end.
    fn note_peak(&mut self, p: f64, hold_off: u32) {
        let Some(pool) = &self.pool else { return };
        let event = &mut self.event;
        if p >= USUAL && event.length == 0 {
            return;
        }
        let surprise = -p.ln();
        let is_strange = surprise >= law::LEAST;
        if event.length == 0 && !is_strange {
            return;
        }
        event.length += 1;
        event.calm = if is_strange { 0 } else { event.calm + 1 };
        event.peak = event.peak.max(surprise);
        if event.calm < hold_off.max(EVENT.0) && event.length < EVENT.1 {
            return;
        }
        let peak = std::mem::take(event).peak;
        if let (true, Some(holds)) = (self.mature, self.holds) {
            let weight = self.saved.own.note(holds.period, peak, holds.rate);
            pool.note_peak(peak, weight);
            self.set_level();
        }
    }

    /// A person says that the last alarm was real.
    pub(crate) fn was_real(&mut self) {
        self.event = PeakEvent::default();
        self.saved.own.forget_newest();
    }

    /// How often it alarms. `own`: by its own history alone.
    pub(crate) fn rate(&self, mut own: AlarmRate, pace: &Pace, remembered: f64) -> AlarmRate {
        own.alarms = own.alarms.saturating_sub(self.saved.learnt);
        let Some(pool) = &self.pool else { return own };
        let part = self.holds.map_or(1.0, |holds| {
            ((1.0 / pace.seconds()) / holds.pace_of_all.max(1.0 / pace.seconds())).min(1.0)
        });
        let missing = missing_of(pool, pace, remembered).max(0.0)
            + self.holds.map_or(SUPPORT / pool.budget.per_second(), |holds| holds.missing);
        let supported_in = (missing > 0.0)
            .then(|| std::time::Duration::try_from_secs_f64(missing).unwrap_or(std::time::Duration::MAX));
        let expected_per_second = part * pool.budget.per_second();
        AlarmRate { expected_per_second, supported_in, rarest: None, ..own }
    }

    pub(crate) fn saved(&self) -> &SavedMember {
        &self.saved
    }

    /// What is saved of the event that goes on.
    pub(crate) fn running(&self, alarms: &Alarms) -> RunningEvent {
        RunningEvent { peak: self.event, quiet: alarms.quiet() }
    }

    pub(crate) fn restore(
        &mut self,
        saved: SavedMember,
        running: RunningEvent,
        alarms: &mut Alarms,
    ) -> Result<(), RestoreError> {
        let peak = running.peak.peak;
        if !(saved.own.is_sound() && saved.range.is_sound() && saved.known.is_sound() && peak.is_finite()) {
            return Err(RestoreError::Misfit { part: "its part of the budget" });
        }
        alarms.set_quiet(running.quiet);
        *self = Self { pool: self.pool.take(), saved, event: running.peak, ..Self::default() };
        Ok(())
    }

    pub(crate) fn heap_bytes(&self) -> usize {
        self.saved.own.heap_bytes() + self.saved.known.heap_bytes()
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
