//! Machines stop: what stands still with them is no fault, and a sensor that is stuck is found all the same.

use std::collections::BTreeMap;

use verge_anomaly::HealthSettings;
use verge_anomaly::alarm::WhileLearning;
use verge_domain::finding::Member;

use super::signals::Random;
use super::{SentReading, Trial};

/// A machine that is read once a minute.
struct Machine {
    trial: Trial,
    random: Random,
    minutes: i64,
    count: f64,
}

impl Machine {
    fn new(settings: HealthSettings) -> Self {
        Self { trial: Trial::with(settings), random: Random(7), minutes: 0, count: 0.0 }
    }

    /// Reports for some minutes what a sensor shows while the machine runs (`true`) or stands.
    fn report(&mut self, minutes: i64, runs: bool, shows: Shown) -> BTreeMap<Member, bool> {
        self.trial.forget();
        for _ in 0..minutes {
            self.minutes += 1;
            let value = shows(self, runs);
            self.trial.observe(SentReading { value, at_ms: self.minutes * 60_000, captured_ms: None });
        }
        self.trial.raised.clone()
    }

    /// Days of 16 hours in which it runs for 50 minutes, then stands for 30, and nights in which it stands. What was raised
    /// as an alarm.
    fn work(&mut self, days: i64, shows: Shown) -> Vec<Member> {
        let mut alarms = Vec::new();
        for _ in 0..days {
            for _ in 0..12 {
                alarms.extend(self.report(50, true, shows));
                alarms.extend(self.report(30, false, shows));
            }
            alarms.extend(self.report(480, false, shows));
        }
        alarms.into_iter().filter(|(_, learning)| !learning).map(|(member, _)| member).collect()
    }
}

fn tenths(value: f64) -> f64 {
    (value * 10.0).round() / 10.0
}

/// Exactly nothing while the pump stands.
fn current(machine: &mut Machine, runs: bool) -> f64 {
    if runs { tenths(22.0 + 0.3 * machine.random.normal()) } else { 0.0 }
}

/// Zone of the pump that is never still: its noise goes with it.
fn vibration(machine: &mut Machine, runs: bool) -> f64 {
    let normal = machine.random.normal();
    if runs { 1.9 + 0.3 * normal } else { 0.2 + 0.01 * normal }
}

/// Open for as long as the machine stands, else somewhere between.
fn valve(machine: &mut Machine, runs: bool) -> f64 {
    if runs { tenths(55.0 + 4.0 * machine.random.normal()) } else { 100.0 }
}

/// Counts what is made.
fn counter(machine: &mut Machine, runs: bool) -> f64 {
    machine.count += if runs { 20.0 } else { 0.0 };
    machine.count
}

/// Rises while the machine stands and falls while it runs; stands still beyond.
fn level(machine: &mut Machine, runs: bool) -> f64 {
    machine.count += if runs && machine.count > 0.0 { -0.3 } else { 0.0 };
    machine.count += if !runs && machine.count < 9.0 { 0.5 } else { 0.0 };
    tenths(machine.count)
}

/// What its sensor shows while it runs and while it stands.
type Shown = fn(&mut Machine, bool) -> f64;

const SIGNALS: [(&str, Shown); 5] = [
    ("current", current),
    ("vibration", vibration),
    ("valve", valve),
    ("counter", counter),
    ("level", level),
];

#[test]
fn a_machine_that_stops_raises_no_alarm() {
    for (name, shows) in SIGNALS {
        let mut machine = Machine::new(HealthSettings::default());
        // Two weeks, with a weekend in each; then a stop that is longer than any night.
        for _ in 0..2 {
            assert_eq!(machine.work(5, shows), [], "{name}");
            let weekend = machine.report(3_360, false, shows);
            assert!(weekend.values().all(|learning| *learning), "{name}: {weekend:?}");
        }
        let revision = machine.report(5_000, false, shows);
        assert!(revision.values().all(|learning| *learning), "{name}: {revision:?}");
    }
}

/// The machine runs, and its sensor shows the same value all the time: not one at which it rests.
#[test]
fn a_sensor_that_is_stuck_while_its_machine_runs_is_found_soon() {
    let mut machine = Machine::new(HealthSettings::default());
    machine.work(3, current);
    let stuck = machine.report(40, true, |_, _| 21.7);
    assert_eq!(stuck, BTreeMap::from([(Member::Stuck, false)]));
}

/// How long a rest lasts is known by then.
#[test]
fn a_rest_that_does_not_end_is_an_alarm_once_rests_are_known() {
    let mut machine = Machine::new(HealthSettings::default());
    assert_eq!(machine.work(10, current), []);
    // Evening and night are 510 readings, which have passed.
    assert_eq!(machine.report(7 * 510, false, current), BTreeMap::new());
    assert_eq!(machine.report(10, false, current), BTreeMap::from([(Member::Stuck, false)]));
}

/// `while` says that the machine runs: nothing is no rest then.
#[test]
fn in_one_state_of_its_machine_a_value_that_stands_at_nothing_is_stuck() {
    let check = |settings: HealthSettings| {
        let mut machine = Machine::new(settings);
        machine.report(12 * 1440, true, current);
        machine.report(40, true, |_, _| 0.0)
    };
    assert_eq!(check(HealthSettings::default()), BTreeMap::from([(Member::Stuck, true)]));
    assert_eq!(check(HealthSettings::default().in_one_state(true)), BTreeMap::from([(Member::Stuck, false)]));
}

#[test]
fn what_is_found_while_a_sensor_is_young_is_for_the_record_or_an_alarm_or_nothing_as_set() {
    let check = |while_learning, expected: Option<bool>| {
        let mut machine = Machine::new(HealthSettings::default().while_learning(while_learning));
        machine.report(3_000, true, current);
        assert_eq!(machine.report(480, false, current).get(&Member::Stuck).copied(), expected);
        // What is no machine at rest is an alarm in any case.
        machine.report(100, true, current);
        let stuck = machine.report(480, false, |_, _| 22.1);
        assert_eq!(stuck.get(&Member::Stuck), Some(&false));
    };
    check(WhileLearning::Info, Some(true));
    check(WhileLearning::Quiet, None);
    check(WhileLearning::Alarm, Some(false));
}
