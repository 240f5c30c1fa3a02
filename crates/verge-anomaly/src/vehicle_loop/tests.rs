mod forecast;
mod on_change;

use std::time::Duration;

use proptest::prelude::*;
use verge_domain::id::{DeviceId, SignalId};
use verge_domain::time::DeviceClock;
use verge_domain::verdict::Counts;

use super::*;
use crate::judge::{JudgeSettings, ReadingJudge};
use verge_domain::finding::Finding;
use verge_domain::reading::Reading;
use verge_domain::stage::Judge as _;
use verge_domain::time::{Moment, UtcMillis};

fn signal(name: &str) -> Option<SignalId> {
    Some(SignalId::new(name).unwrap())
}

fn roles(names: &[&str]) -> LoopRoles {
    let role = |name: &str| names.contains(&name).then(|| signal(name)).flatten();
    LoopRoles {
        pulses: role("pulses"),
        presence: role("presence"),
        occupancy: role("occupancy"),
        speed: role("speed"),
    }
}

/// Intervals of ten seconds, gaps up to four.
fn settings(names: &[&str], effective_length: Option<f64>) -> LoopSettings {
    let grid = IntervalGrid::new(Duration::from_secs(10)).unwrap();
    LoopSettings::new(grid, roles(names), OccupancyScale::Percent, effective_length, Duration::from_secs(4))
        .unwrap()
}

fn reading(signal: &str, seconds: f64, value: f64) -> Reading {
    Reading {
        captured_at: Some(UtcMillis((seconds * 1000.0) as i64)),
        clock: DeviceClock::Trusted,
        ..Reading::of(DeviceId::new("loop-1").unwrap(), SignalId::new(signal).unwrap(), value)
    }
}

/// What was received `lag` seconds after the device's time.
fn moment(seconds: f64, lag: f64) -> Moment {
    Moment::from_wall(UtcMillis(((seconds + lag) * 1000.0) as i64))
}

fn text(finding: &Finding) -> String {
    let Finding::Counts(counts) = finding else { panic!("only counts, not {finding:?}") };
    let Counts {
        from, observed_ms, partial, readings, vehicles, flow_per_hour, occupancy, mean_speed, ..
    } = *counts;
    let mut text = format!("{} {}ms r{readings}", from.0 / 1000, observed_ms);
    if partial {
        text += " partial";
    }
    if let Some(vehicles) = vehicles {
        text += &format!(" n{vehicles}");
    }
    for (name, value) in [("q", flow_per_hour), ("o", occupancy), ("v", mean_speed)] {
        if let Some(value) = value {
            text += &format!(" {name}{}", (value * 1000.0).round() / 1000.0);
        }
    }
    text
}

struct LoopTrial {
    judge: ReadingJudge,
    settings: JudgeSettings,
    findings: Vec<Finding>,
}

impl LoopTrial {
    fn new(settings: LoopSettings) -> Self {
        let settings = JudgeSettings::Loop(settings);
        Self { judge: ReadingJudge::new(&settings, moment(0.0, 0.0)), settings, findings: Vec::new() }
    }

    fn send(&mut self, name: &str, seconds: f64, value: f64, lag: f64) {
        self.judge.observe((&reading(name, seconds, value)).into(), moment(seconds, lag), &mut self.findings);
    }

    fn tick(&mut self, seconds: f64) {
        self.judge.tick(moment(seconds, 0.0), &mut self.findings);
    }

    fn restart(&mut self, seconds: f64) {
        let state = self.judge.save().unwrap();
        self.judge = ReadingJudge::new(&self.settings, moment(seconds, 0.0));
        self.judge.restore(&state, moment(seconds, 0.0)).unwrap();
    }

    fn reported(&mut self) -> Vec<String> {
        std::mem::take(&mut self.findings).iter().map(text).collect()
    }
}

/// Sends `(signal, seconds, value)` to the judge and compares what it reported up to then.
fn check(names: &[&str], script: &[(&str, f64, f64)], expected: &[&str]) {
    let mut trial = LoopTrial::new(settings(names, None));
    for (name, seconds, value) in script {
        trial.send(name, *seconds, *value, 0.0);
    }
    assert_eq!(trial.reported(), expected, "{script:?}");
}

/// One reading each two seconds from `from` to `to`.
fn steady(name: &str, from: u32, to: u32, value: f64) -> impl Iterator<Item = (&str, f64, f64)> {
    (from..=to).step_by(2).map(move |second| (name, f64::from(second), value))
}

#[test]
fn pulses_become_vehicles_and_flow() {
    let script: Vec<_> = steady("pulses", 100, 120, 3.0).collect();
    // Time before the first reading is not observed: its vehicles are counted, but are no part of the flow.
    let first = "100 10000ms r5 n15 q4320";
    check(&["pulses"], &script, &[first, "110 10000ms r5 n15 q5400"]);
    let late: Vec<_> = steady("pulses", 104, 110, 3.0).collect();
    check(&["pulses"], &late, &["100 6000ms r3 partial n9 q3600"]);
}

#[test]
fn presence_becomes_occupied_time_and_vehicles() {
    let script = [
        ("presence", 100.0, 0.0),
        ("presence", 102.0, 1.0),
        ("presence", 103.5, 0.0),
        ("presence", 107.0, 1.0),
        ("presence", 107.5, 1.0),
        ("presence", 108.0, 0.0),
        ("presence", 110.0, 0.0),
    ];
    check(&["presence"], &script, &["100 10000ms r6 n2 q720 o0.25"]);
    // A vehicle that stands over the end of the interval belongs to both, but is counted once.
    let over = [
        ("presence", 108.0, 0.0),
        ("presence", 109.0, 1.0),
        ("presence", 112.0, 0.0),
        ("presence", 115.0, 0.0),
        ("presence", 118.0, 0.0),
        ("presence", 120.0, 0.0),
    ];
    check(&["presence"], &over, &["100 2000ms r2 partial n1 q1800 o0.5", "110 10000ms r3 n0 q0 o0.2"]);
    // Occupied at the first reading: since when, and whether it was counted before, is not known.
    check(&["presence"], &[("presence", 101.0, 1.0), ("presence", 111.0, 1.0)], &[]);
}

#[test]
fn shares_of_time_are_weighted_by_their_time() {
    let script = [
        ("occupancy", 100.0, 80.0),
        ("occupancy", 102.0, 50.0),
        ("occupancy", 106.0, 25.0),
        ("occupancy", 110.0, 0.0),
    ];
    // (2 s of 50 % + 4 s of 25 %) of the 6 s known; the last share reaches into the next interval's message.
    check(&["occupancy"], &script, &["100 10000ms r3 o0.333"]);
}

#[test]
fn speeds_are_weighted_by_the_vehicles_they_come_with() {
    let each = [("speed", 101.0, 40.0), ("speed", 103.0, 50.0), ("speed", 111.0, 0.0)];
    check(&["speed"], &each, &["100 2000ms r2 partial v45"]);
    let batches = [
        ("pulses", 101.0, 1.0),
        ("speed", 101.0, 30.0),
        ("speed", 103.0, 60.0),
        ("pulses", 103.0, 2.0),
        ("speed", 105.0, 0.0),
        ("pulses", 105.0, 0.0),
        ("pulses", 111.0, 0.0),
    ];
    check(&["pulses", "speed"], &batches, &["100 4000ms r6 partial n3 q1800 v50"]);
}

#[test]
fn single_loops_estimate_speed() {
    let mut trial = LoopTrial::new(settings(&["pulses", "occupancy"], Some(6.0)));
    for (name, seconds, value) in [
        ("pulses", 100.0, 0.0),
        ("occupancy", 100.0, 0.0),
        ("pulses", 104.0, 2.0),
        ("occupancy", 104.0, 20.0),
        ("pulses", 110.0, 0.0),
    ] {
        trial.send(name, seconds, value, 0.0);
    }
    // Two vehicles of six metres in 0.8 s: 15 m/s.
    assert_eq!(trial.reported(), ["100 4000ms r4 partial n2 q1800 o0.2 v54"]);
}

#[test]
fn gaps_are_not_observed() {
    let script =
        [("pulses", 100.0, 1.0), ("pulses", 105.0, 7.0), ("pulses", 109.0, 1.0), ("pulses", 110.0, 1.0)];
    // The seven passed in unobserved time and are no flow.
    check(&["pulses"], &script, &["100 5000ms r3 partial n9 q720"]);
    // Nor does a second reading of the same message make the gap an observed one.
    let pair = [("speed", 100.0, 5.0), ("speed", 109.0, 5.0), ("pulses", 109.0, 7.0), ("pulses", 110.0, 0.0)];
    check(&["pulses", "speed"], &pair, &["100 1000ms r3 partial n7 q0 v5"]);
    // Intervals of which nothing is known are not reported.
    check(&["pulses"], &[("pulses", 100.0, 1.0), ("pulses", 145.0, 1.0)], &["100 0ms r1 partial n1"]);
}

#[test]
fn an_interval_ends_without_another_reading() {
    for lag in [0.0, 600.0, -90.0] {
        let mut trial = LoopTrial::new(settings(&["pulses"], None));
        trial.send("pulses", 107.0, 1.0, lag);
        trial.send("pulses", 109.0, 1.0, lag);
        trial.tick(114.0 + lag);
        assert!(trial.reported().is_empty(), "a reading at 113 would still observe the rest; lag {lag}");
        trial.tick(114.1 + lag);
        assert_eq!(trial.reported(), ["100 2000ms r2 partial n2 q1800"], "lag {lag}");
        trial.send("pulses", 109.5, 1.0, lag);
        trial.tick(200.0 + lag);
        assert!(trial.reported().is_empty(), "reported is reported; lag {lag}");
    }
}

#[test]
fn a_clock_that_steps_back_is_followed() {
    let mut trial = LoopTrial::new(settings(&["pulses"], None));
    trial.send("pulses", 1000.0, 1.0, 0.0);
    for step in 0..20 {
        trial.send("pulses", 500.0 + f64::from(step) / 10.0, 1.0, 0.0);
    }
    trial.send("pulses", 510.0, 0.0, 0.0);
    assert_eq!(trial.reported(), ["1000 0ms r1 partial n1", "500 400ms r5 partial n5"]);
}

#[test]
fn what_cannot_be_is_left_out() {
    let script = [
        ("pulses", 100.0, -1.0),
        ("pulses", 101.0, 1e9),
        ("occupancy", 102.0, 130.0),
        ("occupancy", 103.0, -0.1),
        ("speed", 104.0, -3.0),
        ("other", 104.0, 5.0),
        ("pulses", 105.0, 1.0),
        ("pulses", 110.0, 0.0),
    ];
    check(&["pulses", "occupancy", "speed"], &script, &["100 0ms r1 partial n1"]);
}

#[test]
fn a_restart_keeps_the_counts_and_admits_the_gap() {
    let mut trial = LoopTrial::new(settings(&["presence"], None));
    for (seconds, value) in [(100.0, 0.0), (102.0, 1.0), (103.0, 0.0)] {
        trial.send("presence", seconds, value, 0.0);
    }
    trial.restart(104.0);
    for (seconds, value) in [(105.0, 1.0), (107.0, 0.0), (110.0, 0.0)] {
        trial.send("presence", seconds, value, 0.0);
    }
    assert_eq!(trial.reported(), ["100 8000ms r5 partial n1 q450 o0.375"]);
    trial.restart(111.0);
    trial.send("presence", 109.0, 1.0, 2.0);
    trial.tick(300.0);
    // What was already reported is not reported again, and the restart alone observes nothing.
    assert!(trial.reported().is_empty());
}

#[test]
fn saved_state_of_others_is_refused() {
    let check = |state: &[u8], expected: &str| {
        let mut judge = LoopTrial::new(settings(&["pulses"], None)).judge;
        let error = judge.restore(state, moment(0.0, 0.0)).unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
    };
    check(b"no", "damaged");
    check(br#"{"v":2,"reported_until":0,"open":null,"lag_ms":0}"#, "another version");
}

#[test]
fn settings_are_checked() {
    let grid = IntervalGrid::new(Duration::from_secs(10)).unwrap();
    let check = |roles: LoopRoles, length: Option<f64>, gap: u64, expected: &str| {
        let made = LoopSettings::new(grid, roles, OccupancyScale::Fraction, length, Duration::from_secs(gap));
        let error = made.unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
    };
    check(LoopRoles::default(), None, 4, "at least one of pulses");
    let shared = LoopRoles { speed: signal("pulses"), ..roles(&["pulses"]) };
    check(shared, None, 4, "both pulses and speed");
    check(roles(&["pulses"]), None, 601, "max_gap");
    check(roles(&["pulses"]), Some(6.0), 4, "effective_length estimates");
    check(roles(&["presence", "speed"]), Some(6.0), 4, "effective_length estimates");
    check(roles(&["presence"]), Some(0.0), 4, "above zero");
    check(roles(&["presence"]), Some(f64::NAN), 4, "finite");
    let check = |names: &[&str], reports, silence_s, expected: &str| {
        let made = settings(names, None).with_reports(reports, Duration::from_secs(silence_s));
        let error = made.unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
    };
    check(&["occupancy", "speed"], Some(LoopReports::Change), 60, "name pulses or presence");
    check(&["presence"], None, 36_001, "max_silence");
}

proptest! {
    /// With any input, shares stay shares, no interval is observed for longer than it lasts, and what comes in
    /// order of time is counted exactly once, over restarts too.
    #[test]
    fn counts_add_up(steps in prop::collection::vec((0_u32..6000, 0_u32..4, 0_u8..4, prop::bool::weighted(0.02)), 1..300)) {
        let names = ["pulses", "presence", "occupancy", "speed"];
        let mut trial = LoopTrial::new(settings(&names, None));
        let (mut at, mut pulses) = (100.0, 0);
        for (pause_ms, value, role, restart) in steps {
            at += f64::from(pause_ms) / 1000.0;
            trial.tick(at);
            trial.send(names[usize::from(role)], at, f64::from(value), 0.0);
            if role == 0 {
                pulses += u64::from(value);
            }
            if restart {
                trial.restart(at);
            }
        }
        trial.tick(at + 1000.0);
        let mut until = UtcMillis(0);
        for finding in &trial.findings {
            let Finding::Counts(counts) = finding else { panic!("only counts") };
            prop_assert!(counts.from >= until, "{counts:?}");
            until = UtcMillis(counts.from.0 + 10_000);
            prop_assert!(counts.observed_ms <= counts.length_ms);
            prop_assert!(counts.occupancy.is_none_or(|share| (0.0..=1.0).contains(&share)));
            prop_assert!(counts.flow_per_hour.is_none_or(f64::is_finite));
            prop_assert!(counts.mean_speed.is_none_or(f64::is_finite));
            pulses -= counts.vehicles.unwrap_or(0);
        }
        prop_assert_eq!(pulses, 0);
    }
}
