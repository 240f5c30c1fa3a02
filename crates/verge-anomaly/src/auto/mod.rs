//! `auto`: the detector for any numeric signal, without training and without a threshold.
//!
//! Eight members look at each reading, each from another side; each score goes through a [`Tail`](crate::tail::Tail) of its own
//! and comes out as a probability. The smallest wins. Since the smallest of eight is smaller than one, what is
//! published is corrected for the choice: `p = 1 - (1 - p_min)^5.5` (Šidák 1967, with the effective number of
//! independent members measured on noise of ten kinds).
//!
//! | member | score |
//! |---|---|
//! | level | distance of the reading from the slow mean |
//! | mean | distance of the mean of twenty from the slow mean |
//! | profile | mean error against this hour of the day |
//! | median | distance of the median of five from its slow mean |
//! | volatility | mean step of forty against the long-run mean step, rising only |
//! | context | bits that the last four symbols cost after those before them |
//! | time of day | bits that the last six symbols cost at this hour |
//! | shift | spread of the last hundred readings over the long-run quantiles |
//!
//! Strictly causal: a reading is judged by what came before, then learnt, alarm or not. Members count readings,
//! not time; only the two that know the hour look at the clock.

mod beside;
mod cause;
mod departures;
mod judge;
mod jumps;
mod novelty;
mod places;
mod residual;
mod saved;
mod settings;
mod shift;
mod steps;
mod tails;
#[cfg(test)]
mod tests;
mod usual;
mod views;

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use verge_domain::finding::{Expected, Feedback, Member, ShownValue, Standing};
use verge_domain::stage::AlarmRate;
use verge_domain::time::UtcMillis;

use crate::alarm::{Alarms, Pace};
use crate::budget::{self, AlarmLevel};
use crate::excursions::Excursions;
use crate::lessons::{LessonStep, Lessons};
use crate::pool::{AlarmPool, Level, Odds, PoolMember, SeenReading};
use crate::tail::{HALF_LIFE, MAX_HALF_LIFE};
use beside::{BesideMembers, SeenBeside};
use cause::{EventCause, UsualBefore};
pub use judge::AutoJudge;
use novelty::{Predictor, Quantiser};
use residual::{DayProfile, RecentValues, SLOW, Volatility, mean, mean_f32, median5};
pub use settings::AutoSettings;
use shift::Shift;
use steps::Steps;
use tails::{Marks, MemberScores, NO_MARKS, Tails};
use views::{Centre, MemberView, Views};

/// The members.
pub const MEMBERS: [Member; 8] = [
    Member::Level,
    Member::Mean,
    Member::Profile,
    Member::Median,
    Member::Volatility,
    Member::Context,
    Member::TimeOfDay,
    Member::Shift,
];
/// The one that looks at the mean of twenty readings; it also reports what stays where its signal never did.
const MEAN: usize = 1;
const _: () = assert!(matches!(MEMBERS[MEAN], Member::Mean));
/// The one that looks at steps; it also reports a single one.
const VOLATILITY: usize = 4;
/// Independent members that the eight are worth.
pub(crate) const EFFECTIVE_MEMBERS: f64 = 5.5;
/// The level without a budget: half an alarm to one in a thousand readings. Smallest probability of a member.
const MEMBER_P: f64 = 5.623_413_251_903_491e-4;

/// What a detector says about one reading.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Assessment {
    /// Probability of a reading at least this strange while all is well, in `(0, 1]`.
    pub p_value: f64,
    /// It is strange enough for an alarm.
    pub abnormal: bool,
    /// It raises an alarm.
    pub alarm: bool,
    /// It would have raised one, had another not come shortly before.
    pub held: bool,
    /// How the event continues.
    pub standing: Standing,
    /// The history does not support the budget, or did not when the open event began.
    pub learning: bool,
    /// Which member found it strangest.
    pub member: Member,
    /// What that member observed.
    pub observed: f64,
    /// What that member expected.
    pub expected: Expected,
    /// While it is strange, or an event is open: how far out the value lies, and where such values lie at this hour.
    pub shown: Option<(f64, ShownValue)>,
}

/// The detector over one signal: some 14 KiB, and as much again while feedback on its last alarm may still come.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AutoDetector {
    #[serde(skip, default)]
    settings: AutoSettings,
    /// Saved behind the rest.
    #[serde(skip, default)]
    pool: PoolMember,
    /// Readings with which the slow means compute their rate; set back where the signal is to be learnt again.
    readings: u32,
    pace: Pace,
    alarms: Alarms,
    last: f64,
    level: f64,
    deviation: f64,
    median: f64,
    recent: RecentValues<f64>,
    profile: DayProfile,
    volatility: Volatility,
    quantiser: Quantiser,
    context: Predictor,
    context_bits: RecentValues<f32>,
    hourly: Predictor,
    hourly_bits: RecentValues<f32>,
    shift: Shift,
    tails: Tails,
    feedback: Feedback,
    lessons: Lessons<Marks>,
    cause: EventCause,
    /// Saved behind the rest.
    #[serde(skip, default)]
    usual_before: UsualBefore,
    /// Saved behind the rest.
    #[serde(skip, default)]
    excursions: Excursions,
    /// Where signals share a budget. Saved behind the rest.
    #[serde(skip, default)]
    beside: Option<Box<BesideMembers>>,
}

impl AutoDetector {
    /// A detector that has seen nothing.
    #[must_use]
    pub fn new(settings: &AutoSettings) -> Self {
        Self::sharing(settings, AlarmPool::of(&settings.alarms).as_ref())
    }

    /// The same as one of the instances that share a budget.
    pub(crate) fn sharing(settings: &AutoSettings, pool: Option<&Arc<AlarmPool>>) -> Self {
        Self {
            settings: *settings,
            pool: PoolMember::of(pool),
            readings: 0,
            pace: Pace::new(),
            alarms: Alarms::new(),
            last: 0.0,
            level: 0.0,
            deviation: 0.0,
            median: 0.0,
            recent: RecentValues::new(20),
            profile: DayProfile::new(),
            volatility: Volatility::new(),
            quantiser: Quantiser::new(0.0),
            context: Predictor::new(4),
            context_bits: RecentValues::new(4),
            hourly: Predictor::new(2),
            hourly_bits: RecentValues::new(6),
            shift: Shift::new(),
            tails: Tails::new(),
            feedback: Feedback::default(),
            lessons: Lessons::new(),
            cause: EventCause::NONE,
            usual_before: UsualBefore::default(),
            excursions: Excursions::default(),
            beside: pool.map(|_| Box::new(BesideMembers::new())),
        }
    }

    /// Judges a reading, then learns it.
    pub fn observe(&mut self, at: UtcMillis, value: f64) -> Assessment {
        self.observe_members(at, value).0
    }

    /// The same, and the probability that each member gives the reading, in the order of [`MEMBERS`].
    pub fn observe_members(&mut self, at: UtcMillis, value: f64) -> (Assessment, [f64; MEMBERS.len()]) {
        let views = self.look(at, value);
        let judged = self.tails.judge(&views, &self.excursions);
        let MemberScores { members, smallest, .. } = judged;
        self.pool.begin(at, &self.pace, self.remembered());
        let (p_members, seen_beside) = (self.compared(&judged), self.look_beside(at, &views));
        let (p_beside, at_least) = seen_beside.map_or((1.0, 1.0), |seen| (seen.p, seen.p.min(seen.by_jump)));
        let was_open = self.alarms.is_open();
        let still_off = self.still_off(&views, was_open);
        // The usual needs no level, unless it ends an alarm or what was held back goes on: it costs logarithms.
        let needs_level = judged.without_labels < 1.0 || at_least < 1.0 || was_open || still_off;
        let judging = if needs_level { self.pool.level(|| self.rate()) } else { Level::OF_THE_USUAL };
        let odds = Odds { members: p_members, beside: p_beside };
        let judging = judging.times(self.excursions.part());
        let (p_value, level) = judging.strangest(odds);
        let seen_beside = seen_beside.map(|seen| seen.while_learning(judging.learning));
        let jump = seen_beside.filter(|seen| seen.jump.is_some());
        let p_value = jump.map_or(p_value, |seen| p_value.min(seen.by_jump));
        let by_beside = jump.or(seen_beside.filter(|_| judging.is_beside(odds)));
        let seen = SeenReading::of(self.last, jump.map(|seen| seen.by_jump));
        let (settings, how) = (&self.settings.alarms, (&self.pace, seen));
        let outcome = self.pool.judge(&mut self.alarms, settings, (odds, judging), how, still_off);
        let (still_off, was_open) = (still_off && !outcome.gives_way, was_open && !outcome.gives_way);
        // What was expected, and how far off this is, before it is learnt.
        let (strangest, observed, expected) = self.words(&judged, &views, by_beside, level);
        let is_single_step = by_beside.is_some_and(SeenBeside::is_single_step);
        let found = MemberView { member: MEMBERS[strangest], observed, expected, is_single_step };
        let far = outcome.abnormal && self.tails.is_far(&judged, level / EFFECTIVE_MEMBERS);
        // What would alarm, had nobody labelled it false, is known by that alone: the label may be taken back.
        let is_hidden = smallest > judged.without_labels && combined(judged.without_labels) <= level;
        let marks = if is_hidden { NO_MARKS } else { self.tails.learn(&judged) };
        // While nothing new is strange, an event reports what it is about, to its end.
        let about = !outcome.abnormal && (outcome.alarm || was_open);
        let view = self.cause.now(&views).filter(|_| about).unwrap_or(found);
        let off_normal = outcome.abnormal || was_open || outcome.standing != Standing::Normal;
        let reported = off_normal.then(|| self.report(&views, view, by_beside));
        // What is found later in an event was expected of what the event has taught, and ends nothing; what has come to
        // an end is no cause any more. What begins after a time without anything strange is another cause.
        let begins = outcome.standing == Standing::Renewed || (!still_off && !was_open);
        if outcome.abnormal && begins {
            self.cause = EventCause::new(strangest, by_beside.as_ref(), expected, p_value);
            self.usual_before = UsualBefore::of(self.usual_by(&views.range), self.profile.now().0);
        } else if (was_open && !self.alarms.is_open()) || !(self.alarms.is_open() || still_off) {
            self.cause = EventCause::NONE;
        }
        let (seen, is_open) = (self.pace.seen(), self.alarms.is_open());
        if is_open {
            let scores = views.scores.iter().map(|score| score.unwrap_or(0.0));
            self.excursions.note(at, was_open, level / EFFECTIVE_MEMBERS, scores.zip(members));
        }
        let step = LessonStep { seen, remembered: self.remembered(), was_open, is_open, far };
        let forgotten = self.lessons.note(step, marks);
        self.tails.forget(&forgotten);
        if let Some(seen) = seen_beside {
            let begins = begins && by_beside.is_some();
            self.learn_beside(&seen, &outcome, begins, judging.beside);
        }
        // What is going to be forgotten must not become what is usual at its hour: the next day would be strange.
        if !(is_hidden || self.lessons.will_be_forgotten(step)) {
            self.profile.learn(self.last);
        }
        let assessment = Assessment {
            p_value,
            abnormal: outcome.abnormal,
            alarm: outcome.alarm,
            held: outcome.abnormal && !outcome.alarm,
            standing: outcome.standing,
            learning: outcome.learning,
            member: view.member,
            observed: view.observed,
            expected: reported.as_ref().map_or(view.expected, |reported| reported.expected),
            shown: reported.map(|reported| (reported.distance, reported.shown)),
        };
        (assessment, members)
    }

    /// The combined probability. Where it is compared with those of other signals, by laws that end nowhere.
    fn compared(&self, judged: &MemberScores) -> f64 {
        if judged.smallest < 1.0 && self.pool.is_shared() {
            combined(self.tails.open_ended(judged))
        } else {
            combined(judged.smallest)
        }
    }

    /// Scores of all members: of state from before the reading, which all but the profile then learn.
    fn look(&mut self, at: UtcMillis, value: f64) -> Views {
        let value = self.settings.admit(value);
        let slot = at.0.div_euclid(3_600_000).rem_euclid(24) as usize;
        if self.pace.seen() == 0 {
            self.level = value;
            self.median = value;
            self.last = value;
            self.quantiser = Quantiser::new(value);
        }
        self.pace.note(at);
        self.fit_memory();
        self.readings = self.readings.saturating_add(1);
        let rate = (1.0 / f64::from(self.readings)).max(SLOW);

        let level = self.level;
        let distance = (value - level).abs();
        self.recent.push(value);
        let mean = mean(self.recent.all());
        let daily = self.profile.score(slot, value);
        let middle = median5(&self.recent);
        let (is_first, step_between) = (self.pace.seen() <= 1, Steps::between(self.last, value));
        let (volatility, step) = if is_first { (0.0, 0.0) } else { self.restlessness(value, step_between) };
        let (range, symbol) = (self.quantiser.clone(), self.quantiser.symbol(value));
        self.context_bits.push(self.context.bits(0, symbol) as f32);
        self.hourly_bits.push(self.hourly.bits(1 + slot as u32, symbol) as f32);
        let context = mean_f32(self.context_bits.all());
        let hourly = mean_f32(self.hourly_bits.all());
        self.deviation += rate * (distance - self.deviation);
        let shift = self.shift.score(value, self.readings, self.deviation);
        let off_median = (middle - self.median).abs();
        let views = Views {
            range,
            step: step_between.filter(|_| !is_first),
            scores: [
                Some(distance),
                Some((mean - level).abs()),
                daily,
                Some(off_median),
                Some(volatility),
                Some(context),
                Some(hourly),
                Some(shift),
            ],
            observed: [
                (value, Centre::Around(level)),
                (mean, Centre::Around(level)),
                (daily.unwrap_or_default(), Centre::Itself),
                (middle, Centre::Around(self.median)),
                (step, Centre::Times),
                (context, Centre::Itself),
                (hourly, Centre::Itself),
                (shift, Centre::Itself),
            ],
        };
        self.level += rate * (value - level);
        self.median += rate * (middle - self.median);
        self.last = value;
        views
    }

    /// Lets the tails remember as much as the budget needs.
    fn fit_memory(&mut self) {
        let Some(budget) = self.settings.alarms.budget else { return };
        let seen = self.pace.seen();
        // Rarely: the pace of a signal changes slowly.
        if seen > 1 && (seen.is_power_of_two() || seen.is_multiple_of(u64::from(HALF_LIFE))) {
            let wanted = budget.half_life(self.pace.seconds(), EFFECTIVE_MEMBERS);
            let half_life = wanted.clamp(f64::from(HALF_LIFE), f64::from(MAX_HALF_LIFE)) as u32;
            self.tails.set_half_life(half_life);
        }
    }

    /// The probability from which a reading alarms now, and what may be promised of it.
    #[must_use]
    pub fn rate(&self) -> AlarmLevel {
        self.settings.alarms.rate(&self.pace, self.remembered(), EFFECTIVE_MEMBERS, combined(MEMBER_P))
    }

    /// The smallest probability that so short a history supports.
    #[must_use]
    pub fn least_p(&self) -> f64 {
        budget::least_p(self.remembered(), EFFECTIVE_MEMBERS)
    }

    fn remembered(&self) -> f64 {
        self.tails.weight()
    }

    /// The probability of what the last alarm is about, when that was first seen.
    pub(crate) fn cause_p(&self) -> f64 {
        self.cause.p()
    }

    /// How often it alarms.
    #[must_use]
    pub fn alarm_rate(&self) -> AlarmRate {
        let alarms = &self.settings.alarms;
        let rate = alarms.rate_ahead(&self.pace, self.remembered(), EFFECTIVE_MEMBERS, combined(MEMBER_P));
        let rarest = alarms.rarest(&self.pace, EFFECTIVE_MEMBERS);
        let own = AlarmRate { rarest, ..self.alarms.rate(&self.pace, &rate) };
        self.pool.rate(own, &self.pace, self.remembered())
    }
}

/// Corrects the smallest of several probabilities for having been chosen.
#[must_use]
pub fn combined(smallest: f64) -> f64 {
    -f64::exp_m1(EFFECTIVE_MEMBERS * f64::ln_1p(-smallest))
}
