//! From probabilities to alarms: how often observations come, hold-off, hysteresis.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use verge_domain::finding::Standing;
use verge_domain::stage::AlarmRate;
use verge_domain::time::UtcMillis;

use crate::budget::{AlarmBudget, AlarmLevel};
use crate::fault::{SettingsError, check_count};

/// An alarm continues until the probability has risen this many times above the level…
const HYSTERESIS: f64 = 10.0;
/// …for this many observations in a row.
const CALM: u32 = 10;
/// What lasts for this many observations is usual from now on: the alarm is over…
const LONGEST: u32 = 2_000;
/// …and so is what was ten times more probable than the level for this many in a row, though it never went back. It is
/// learnt by then, see `lessons`.
const ADAPTED: u32 = 1_000;
/// …but neither before it has lasted for this number of seconds: a fast sensor counts to a thousand within one fault.
const USUAL_AFTER_S: f64 = 600.0;
/// Intervals between observations are followed at this rate at least.
const PACE: f64 = 1.0 / 500.0;
/// A pause counts as this many usual intervals at most.
const LONGEST_PAUSE: f64 = 20.0;

/// Whose alarms a budget is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BudgetOf {
    /// All instances of a judge together.
    Judge,
    /// Each instance.
    Signal,
}

/// What becomes of events until the history supports the budget.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WhileLearning {
    /// Nothing, except for what is beyond doubt.
    Quiet,
    /// They are for the record, except for what is beyond doubt.
    Info,
    /// They are alarms like later ones.
    Alarm,
}

/// How often a detector that learns may alarm.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct AlarmSettings {
    pub(crate) budget: Option<AlarmBudget>,
    pub(crate) hold_off: u32,
    pub(crate) budget_of: BudgetOf,
    pub(crate) while_learning: WhileLearning,
}

impl AlarmSettings {
    /// `budget`: false alarms that are accepted of one subject, `None` for the detector's fixed level. `hold_off`:
    /// observations after an alarm before the next can come.
    ///
    /// # Errors
    /// A hold-off beyond 100,000.
    pub fn new(budget: Option<AlarmBudget>, hold_off: u32) -> Result<Self, SettingsError> {
        check_count("hold_off", u64::from(hold_off), 0, 100_000)?;
        Ok(Self { budget, hold_off, ..Self::default() })
    }

    /// The same with another owner of the budget than each signal, and with events while learning that are no alarms.
    #[must_use]
    pub const fn with(self, budget_of: BudgetOf, while_learning: WhileLearning) -> Self {
        Self { budget_of, while_learning, ..self }
    }

    /// False alarms that are accepted.
    #[must_use]
    pub const fn budget(&self) -> Option<AlarmBudget> {
        self.budget
    }

    /// Whose alarms the budget is for.
    #[must_use]
    pub const fn budget_of(&self) -> BudgetOf {
        self.budget_of
    }

    /// The time of one false alarm by the rarest budget that a tail can support at this pace, where it cannot support the one
    /// that was asked for.
    pub(crate) fn rarest(&self, pace: &Pace, needed: f64) -> Option<Duration> {
        self.budget?.rarest(pace.seconds(), needed)
    }

    /// What is promised at this pace, see [`AlarmBudget::rate`], or from the fixed level `p` on.
    pub(crate) fn rate(&self, pace: &Pace, remembered: f64, needed: f64, p: f64) -> AlarmLevel {
        let interval = pace.seconds();
        match self.budget {
            Some(budget) => budget.rate(interval, remembered, needed),
            None => {
                AlarmLevel { p, per_second: AlarmLevel::alarms_per_second(p, interval), supported_in: None }
            }
        }
    }

    /// The same, with the alarms of the coming week.
    pub(crate) fn rate_ahead(&self, pace: &Pace, remembered: f64, needed: f64, p: f64) -> AlarmLevel {
        let rate = self.rate(pace, remembered, needed, p);
        match (self.budget, rate.supported_in) {
            (Some(budget), Some(_)) => {
                AlarmLevel { per_second: budget.week_ahead(pace.seconds(), remembered, needed), ..rate }
            }
            _ => rate,
        }
    }
}

impl Default for AlarmSettings {
    /// The detector's fixed level and a hold-off of a hundred observations.
    fn default() -> Self {
        let (budget_of, while_learning) = (BudgetOf::Signal, WhileLearning::Alarm);
        Self { budget: None, hold_off: 100, budget_of, while_learning }
    }
}

/// How often observations come.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Pace {
    /// Saturates.
    seen: u64,
    first_at: i64,
    last_at: i64,
    /// In seconds; zero before the second observation.
    interval: f64,
}

impl Pace {
    pub(crate) fn new() -> Self {
        Self { seen: 0, first_at: 0, last_at: 0, interval: 0.0 }
    }

    pub(crate) fn note(&mut self, at: UtcMillis) {
        if self.seen == 0 {
            (self.first_at, self.last_at) = (at.0, at.0);
        }
        let seconds = at.0.saturating_sub(self.last_at).max(0) as f64 / 1e3;
        // A clock that steps back must not make the next observations look late.
        self.last_at = self.last_at.max(at.0);
        match self.seen {
            0 => {}
            1 => self.interval = seconds,
            seen => {
                let rate = (1.0 / seen as f64).max(PACE);
                let most = if self.interval > 0.0 { LONGEST_PAUSE * self.interval } else { seconds };
                self.interval += rate * (seconds.min(most) - self.interval);
            }
        }
        self.seen = self.seen.saturating_add(1);
    }

    pub(crate) fn seen(&self) -> u64 {
        self.seen
    }

    /// Usual seconds between two observations, at least a microsecond.
    pub(crate) fn seconds(&self) -> f64 {
        self.interval.max(1e-6)
    }

    /// Whether this observation comes too late after the last one to continue it.
    pub(crate) fn is_gap(&self, at: UtcMillis) -> bool {
        let seconds = at.0.saturating_sub(self.last_at) as f64 / 1e3;
        self.seen > 1 && self.interval > 0.0 && seconds > LONGEST_PAUSE * self.interval
    }

    /// Whether this number of observations take long enough for what lasts through them to be usual. Without times they count alone.
    fn is_usual_after(&self, observations: u32) -> bool {
        self.interval <= 0.0 || f64::from(observations) * self.interval >= USUAL_AFTER_S
    }

    /// Seconds from the first observation to the last.
    pub(crate) fn span(&self) -> f64 {
        self.last_at.saturating_sub(self.first_at).max(0) as f64 / 1e3
    }
}

/// The alarms of one subject.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Alarms {
    since_last: u32,
    /// Alarms raised, those not counted that reported an open one again.
    raised: u64,
    open: bool,
    /// Observations in a row that were normal, while one is open.
    calm: u32,
    /// Observations since it was opened.
    open_for: u32,
    /// Observations in a row that were ten times more probable than the level, while one is open. Saved behind the rest.
    #[serde(skip, default)]
    quiet: u32,
}

/// What becomes of one observation.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct AlarmOutcome {
    /// It is strange enough for an alarm.
    pub(crate) abnormal: bool,
    /// It raises one, or reports one again after the hold-off.
    pub(crate) alarm: bool,
    /// How its event continues.
    pub(crate) standing: Standing,
    /// The history does not support the budget yet, or did not when the open event began.
    pub(crate) learning: bool,
    /// An event that began while learning ends with it, and another begins.
    pub(crate) gives_way: bool,
}

impl Alarms {
    pub(crate) fn new() -> Self {
        Self { since_last: u32::MAX, raised: 0, open: false, calm: 0, open_for: 0, quiet: 0 }
    }

    /// `still_off`: what raised the open alarm still lies beyond what was expected then, be it learnt meanwhile or not.
    pub(crate) fn judge(
        &mut self,
        (p, level): (f64, f64),
        hold_off: u32,
        pace: &Pace,
        still_off: bool,
    ) -> AlarmOutcome {
        let abnormal = p <= level;
        // An open alarm that nothing strange has kept open for as long as the hold-off must not hide what begins now.
        let renewed = self.open && abnormal && self.quiet > hold_off.max(CALM);
        // What was held back and still lasts once the hold-off is over is raised then.
        let lasts = still_off && !self.open;
        let alarm = (abnormal || lasts) && self.since_last > hold_off;
        // One that is raised late is not new, and holds back nothing.
        self.since_last = if alarm && abnormal { 1 } else { self.since_last.saturating_add(1) };
        self.raised += u64::from(alarm && !self.open);
        self.open_for = if self.open && !renewed { self.open_for.saturating_add(1) } else { 0 };
        self.open |= alarm;
        let is_calm = self.open && p > HYSTERESIS * level;
        self.quiet = if is_calm { self.quiet.saturating_add(1) } else { 0 };
        let enough = |count: u32, least: u32| count >= least && pace.is_usual_after(count);
        let adapted =
            still_off && self.open && (enough(self.open_for, LONGEST) || enough(self.quiet, ADAPTED));
        let still_off = still_off && !adapted;
        self.calm = if is_calm && !still_off { self.calm + 1 } else { 0 };
        // Also where its score was learnt meanwhile: what must last for a time before it is reported does so.
        let standing = if renewed {
            Standing::Renewed
        } else if alarm || (self.open && (abnormal || still_off)) {
            Standing::Abnormal
        } else if self.open && self.calm < CALM {
            Standing::Margin
        } else if abnormal {
            // Held back: nothing begins, and nothing ends.
            Standing::Margin
        } else {
            let ends = std::mem::take(&mut self.open);
            if ends && adapted { Standing::Adapted } else { Standing::Normal }
        };
        AlarmOutcome { abnormal, alarm, standing, learning: false, gives_way: false }
    }

    /// The open event ends, so that the next observation can begin another at once.
    pub(crate) fn give_way(&mut self) {
        (self.open, self.since_last) = (false, u32::MAX);
    }

    pub(crate) fn is_open(&self) -> bool {
        self.open
    }

    /// Observations of the open alarm in a row that were quiet.
    pub(crate) fn quiet(&self) -> u32 {
        if self.open { self.quiet } else { 0 }
    }

    /// Goes on with what was saved behind the rest.
    pub(crate) fn set_quiet(&mut self, quiet: u32) {
        self.quiet = if self.open { quiet } else { 0 };
    }

    pub(crate) fn rate(&self, pace: &Pace, rate: &AlarmLevel) -> AlarmRate {
        AlarmRate {
            alarms: self.raised,
            seconds: pace.span(),
            expected_per_second: rate.per_second,
            supported_in: rate.supported_in,
            rarest: None,
            shared: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Standings, one letter each, for probabilities given as powers of ten; capitals where an alarm is raised.
    fn check(powers: &[i32], hold_off: u32, expected: &str) {
        let (mut alarms, untimed) = (Alarms::new(), Pace::new());
        let outcomes: String = powers
            .iter()
            .map(|&power| {
                let outcome = alarms.judge((10f64.powi(-power), 1e-3), hold_off, &untimed, false);
                let letter = match outcome.standing {
                    Standing::Abnormal | Standing::Renewed => 'a',
                    Standing::Margin => 'm',
                    Standing::Normal | Standing::Adapted => 'n',
                };
                if outcome.alarm { letter.to_ascii_uppercase() } else { letter }
            })
            .collect();
        assert_eq!(outcomes, expected, "{powers:?}");
    }

    #[test]
    fn an_alarm_ends_after_ten_calm_readings_and_the_next_waits_for_the_hold_off() {
        check(&[0, 4, 4, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1], 100, "nAammmmmmmmmnn");
        check(&[4, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 4, 1], 100, "Ammmmmmmmmnmn");
        check(&[4, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 4, 1], 5, "AmmmmmmmmmnAm");
        check(&[4, 4, 4, 4, 4], 2, "AaaAa");
    }

    #[test]
    fn an_alarm_goes_on_while_its_cause_does_but_not_for_ever() {
        let (mut alarms, untimed) = (Alarms::new(), Pace::new());
        assert!(alarms.judge((1e-6, 1e-3), 100, &untimed, false).alarm);
        for _ in 0..50 {
            assert_eq!(alarms.judge((1.0, 1e-3), 100, &untimed, true).standing, Standing::Abnormal);
        }
        let calm =
            (0..).find(|_| alarms.judge((1.0, 1e-3), 100, &untimed, false).standing == Standing::Normal);
        assert_eq!(calm, Some(CALM as usize - 1));
        assert!(alarms.judge((1e-6, 1e-3), 0, &untimed, false).alarm);
        let given_up =
            (0..10_000).any(|_| alarms.judge((1.0, 1e-3), 0, &untimed, true).standing == Standing::Adapted);
        assert!(given_up);
    }

    /// An alarm whose cause lasts, with probabilities by reading: the readings at which something else than an abnormal
    /// standing comes, and what.
    fn lasting(p_of: impl Fn(u32) -> f64) -> Vec<(u32, Standing)> {
        lasting_at(&Pace::new(), 3_000, p_of)
    }

    /// The same with observations at this pace.
    fn lasting_at(pace: &Pace, readings: u32, p_of: impl Fn(u32) -> f64) -> Vec<(u32, Standing)> {
        let mut alarms = Alarms::new();
        assert!(alarms.judge((1e-6, 1e-3), 100, pace, false).alarm);
        let standings = (1..readings)
            .map(|reading| (reading, alarms.judge((p_of(reading), 1e-3), 100, pace, true).standing));
        let mut others: Vec<_> = standings.filter(|(_, standing)| *standing != Standing::Abnormal).collect();
        others.dedup_by_key(|(_, standing)| *standing);
        others
    }

    #[test]
    fn what_has_become_usual_ends_as_that_after_a_thousand_quiet_readings_or_two_thousand_of_any_kind() {
        let margin = (1_000, Standing::Margin);
        assert_eq!(lasting(|_| 1.0)[..2], [margin, (1_009, Standing::Adapted)]);
        // Each 500th reading is a little strange.
        let restless = lasting(|reading| if reading % 500 == 0 { 5e-3 } else { 1.0 });
        assert_eq!(restless[..2], [(2_000, Standing::Margin), (2_010, Standing::Adapted)]);
    }

    #[test]
    fn what_lasts_is_not_usual_before_ten_minutes_however_fast_the_sensor() {
        let mut pace = Pace::new();
        (0..1_000).for_each(|reading| pace.note(UtcMillis(5 * reading)));
        let (first, standing) = lasting_at(&pace, 130_000, |_| 1.0)[0];
        assert_eq!(standing, Standing::Margin, "its event ends");
        assert!((119_000..=121_000).contains(&first), "200 a second, after {first} readings");
    }

    #[test]
    fn what_begins_after_a_hold_off_without_anything_strange_renews_the_alarm() {
        let renewed_at = |again: u32| {
            let found = lasting(|reading| if reading == again { 1e-6 } else { 1.0 });
            found.into_iter().find(|(_, standing)| *standing == Standing::Renewed).map(|(reading, _)| reading)
        };
        assert_eq!(renewed_at(102), Some(102));
        assert_eq!(renewed_at(100), None);
        // What goes on does not begin anew.
        let found = lasting(|reading| if (300..700).contains(&reading) { 1e-6 } else { 1.0 });
        assert_eq!(found.iter().filter(|(_, standing)| *standing == Standing::Renewed).count(), 1);
    }

    #[test]
    fn the_usual_interval_survives_pauses_and_steps_of_the_clock() {
        let mut pace = Pace::new();
        let mut at = 0;
        for reading in 0..5_000 {
            at += if reading % 1_000 == 999 { 86_400_000 } else { 2_000 };
            pace.note(UtcMillis(if reading == 2_500 { at - 3_600_000 } else { at }));
        }
        assert!((1.9..2.5).contains(&pace.seconds()), "{} s", pace.seconds());
        assert!(pace.is_gap(UtcMillis(at + 60_000)) && !pace.is_gap(UtcMillis(at + 10_000)));
    }
}
