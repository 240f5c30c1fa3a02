//! From the scores of one subject to conditions: a tail makes probabilities of them, a budget says which alarm. What
//! a detector with one score has in common with the next.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use verge_domain::finding::{Condition, Expected, FARTHEST, Feedback, Member, Standing};
use verge_domain::stage::{AlarmRate, Remark, RestoreError};
use verge_domain::time::UtcMillis;

use crate::alarm::{AlarmSettings, Alarms, Pace};
use crate::budget::{AlarmLevel, least_p};
use crate::excursions::Excursions;
use crate::lessons::{LessonStep, Lessons};
use crate::pool::{AlarmPool, Odds, PoolMember, RunningEvent, SavedMember, SeenReading};
use crate::tail::{HALF_LIFE, MAX_HALF_LIFE, Mark, Tail};

/// The level without a budget.
const FIXED_P: f64 = 1e-3;

/// What the scores of one subject have taught.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Scores {
    pace: Pace,
    tail: Tail,
    alarms: Alarms,
    feedback: Feedback,
    lessons: Lessons<Mark>,
    /// What was expected at most when the open event began; infinite while there is none.
    cause: f64,
    /// Saved behind the rest.
    #[serde(skip, default)]
    pub(crate) excursions: Excursions,
    /// Saved behind the rest.
    #[serde(skip, default)]
    pool: PoolMember,
}

impl Scores {
    pub(crate) fn sharing(pool: Option<&Arc<AlarmPool>>) -> Self {
        Self {
            pool: PoolMember::of(pool),
            pace: Pace::new(),
            tail: Tail::new(0),
            alarms: Alarms::new(),
            feedback: Feedback::default(),
            lessons: Lessons::new(),
            cause: f64::INFINITY,
            excursions: Excursions::default(),
        }
    }

    /// Judges a score, then learns it.
    pub(crate) fn judge(
        &mut self,
        settings: &AlarmSettings,
        member: Member,
        at: UtcMillis,
        score: f64,
    ) -> Condition {
        self.pace.note(at);
        self.fit_memory(settings);
        self.pool.begin(at, &self.pace, self.tail.weight());
        let judging = self.pool.level(|| self.rate(settings)).times(self.excursions.part());
        let (level, is_shared) = (judging.p, self.pool.is_shared());
        let expected = if is_shared { self.tail.open_quantile(level) } else { self.tail.quantile(level) };
        let (p_value, place) = self.tail.judge(score);
        // What would alarm, had nobody said that it is no fault, is known by that alone: the label may be taken back.
        let is_hidden = p_value <= level && self.excursions.is_harmless(0, score);
        let p_value = if is_shared && p_value < 1.0 { self.tail.open_ended(place, score) } else { p_value };
        let p_value = if is_hidden { 1.0 } else { p_value };
        let mark = if is_hidden { Mark::NONE } else { self.tail.learn_at(place, score) };
        let (was_open, still_off) = (self.alarms.is_open(), score > self.cause);
        let how = (&self.pace, SeenReading::Score(score));
        let outcome =
            self.pool.judge(&mut self.alarms, settings, (Odds::of(p_value), judging), how, still_off);
        let (still_off, was_open) = (still_off && !outcome.gives_way, was_open && !outcome.gives_way);
        let is_open = self.alarms.is_open();
        if is_open {
            self.excursions.note(at, was_open, level, [(score, p_value)].into_iter());
        }
        let begins = outcome.standing == Standing::Renewed || (!was_open && !still_off);
        if outcome.abnormal && begins {
            self.cause = expected.unwrap_or(f64::INFINITY);
        } else if !is_open && (was_open || !still_off) {
            self.cause = f64::INFINITY;
        }
        let far = outcome.abnormal && self.tail.is_far(score, level);
        let (seen, remembered) = (self.pace.seen(), self.tail.weight());
        let forgotten = self.lessons.note(LessonStep { seen, remembered, was_open, is_open, far }, mark);
        forgotten.into_iter().for_each(|mark| self.tail.forget(mark));
        Condition {
            p_value: Some(p_value.max(least_p(remembered, 1.0))),
            feedback: self.feedback,
            learning: outcome.learning,
            distance: self.distance(member, score, expected),
            ..Condition::of_rule(member, outcome.standing, score, Expected { low: None, high: expected })
        }
    }

    /// Where the budget is this subject's own, its tail alone must support it, and remembers as much as that needs.
    fn fit_memory(&mut self, settings: &AlarmSettings) {
        let Some(budget) = settings.budget.filter(|_| !self.pool.is_shared()) else { return };
        let seen = self.pace.seen();
        // Rarely: the pace of a signal changes slowly.
        if seen > 1 && (seen.is_power_of_two() || seen.is_multiple_of(u64::from(HALF_LIFE))) {
            let wanted = budget.half_life(self.pace.seconds(), 1.0);
            self.tail.set_half_life(wanted.clamp(f64::from(HALF_LIFE), f64::from(MAX_HALF_LIFE)) as u32);
        }
    }

    /// The score in usual ones: those that 98 % of all stay below, else those that were expected at most. Of a square
    /// the root.
    fn distance(&self, member: Member, score: f64, expected: Option<f64>) -> Option<f64> {
        let usual = self.tail.usual().or(expected.filter(|most| *most > 0.0))?;
        let ratio = score / usual;
        let ratio = if member == Member::Reconstruction { ratio.sqrt() } else { ratio };
        Some(ratio.clamp(0.0, FARTHEST)).filter(|ratio| !ratio.is_nan())
    }

    /// Applies a person's remark on errors of a model, which stays as it is: after maintenance their usual values are
    /// learnt again. Returns whether this changed anything.
    pub(crate) fn apply(&mut self, remark: Remark, event: Option<UtcMillis>) -> bool {
        match remark {
            Remark::False => self.was_false(event),
            Remark::Maintenance => {
                self.was_maintenance();
                self.start_again();
                true
            }
            Remark::Real => self.was_real(event),
        }
    }

    /// A person reports maintenance: what the last alarm taught is no part of the usual.
    pub(crate) fn was_maintenance(&mut self) {
        self.feedback.maintenance = self.feedback.maintenance.saturating_add(1);
        let taught = self.lessons.was_maintenance();
        taught.into_iter().for_each(|mark| self.tail.forget(mark));
        self.excursions.was_maintenance();
    }

    /// The usual scores are learnt again.
    fn start_again(&mut self) {
        self.tail = Tail::new(0);
        self.lessons = Lessons::new();
        self.cause = f64::INFINITY;
    }

    /// A person says that an alarm was real: what it taught is forgotten. Returns whether there was one.
    pub(crate) fn was_real(&mut self, event: Option<UtcMillis>) -> bool {
        self.feedback.real = self.feedback.real.saturating_add(1);
        self.pool.was_real();
        let was_harmless = self.excursions.was_real(event);
        let taught = if self.excursions.is_last(event) { self.lessons.was_real() } else { None };
        taught.iter().flatten().for_each(|mark| self.tail.forget(*mark));
        was_harmless || taught.is_some()
    }

    /// A person says that an alarm was none: its kind of excursion is usual from now on. Returns whether it is known.
    pub(crate) fn was_false(&mut self, event: Option<UtcMillis>) -> bool {
        if self.excursions.is_last(event) {
            self.lessons.was_false();
            self.cause = f64::INFINITY;
        }
        self.excursions.was_false(event)
    }

    pub(crate) fn alarm_rate(&self, settings: &AlarmSettings) -> AlarmRate {
        let rate = settings.rate_ahead(&self.pace, self.tail.weight(), 1.0, FIXED_P);
        let rarest = settings.rarest(&self.pace, 1.0);
        let own = AlarmRate { rarest, ..self.alarms.rate(&self.pace, &rate) };
        self.pool.rate(own, &self.pace, self.tail.weight())
    }

    /// What is saved behind the scores.
    pub(crate) fn behind(&self) -> (&Excursions, &SavedMember) {
        (&self.excursions, self.pool.saved())
    }

    /// What is saved of the event that goes on.
    pub(crate) fn running(&self) -> RunningEvent {
        self.pool.running(&self.alarms)
    }

    /// Takes up other scores, and what is saved behind them.
    pub(crate) fn restore(
        &mut self,
        mut scores: Self,
        (excursions, shared): (Excursions, SavedMember),
        running: RunningEvent,
    ) -> Result<(), RestoreError> {
        scores.check()?;
        excursions.check(1)?;
        let mut pool = self.pool.clone();
        pool.restore(shared, running, &mut scores.alarms)?;
        *self = Self { pool, excursions, ..scores };
        Ok(())
    }

    /// Whether it can be what was saved.
    fn check(&self) -> Result<(), RestoreError> {
        self.tail.check()
    }

    pub(crate) fn heap_bytes(&self) -> usize {
        self.tail.heap_bytes()
            + self.lessons.heap_bytes()
            + self.excursions.heap_bytes()
            + self.pool.heap_bytes()
    }

    fn rate(&self, settings: &AlarmSettings) -> AlarmLevel {
        settings.rate(&self.pace, self.tail.weight(), 1.0, FIXED_P)
    }
}
