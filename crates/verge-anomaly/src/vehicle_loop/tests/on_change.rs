//! Detectors that send when a vehicle comes or goes, and intervals that were hardly seen.

use std::time::Duration;

use super::super::LoopReports;
use super::{LoopTrial, check, settings};

/// A vehicle each 7, 11 or 9 seconds stands on the loop for half a second; nothing else is sent. What is reported,
/// when, from `from` to `to` seconds.
fn quiet_road(trial: &mut LoopTrial, from: u32, to: u32) -> Vec<String> {
    let headways = [7, 11, 9].into_iter().cycle();
    let arrivals: Vec<u32> = headways
        .scan(0, |at, headway| {
            *at += headway;
            Some(*at)
        })
        .take_while(|at| *at <= to)
        .collect();
    let mut reported = Vec::new();
    for step in from * 2..to * 2 {
        let seconds = f64::from(step) / 2.0;
        if arrivals.contains(&(step / 2)) {
            trial.send("presence", seconds, f64::from(1 - step % 2), 0.0);
        }
        trial.tick(seconds);
        reported.extend(trial.reported().into_iter().map(|text| format!("{seconds}: {text}")));
    }
    reported
}

#[test]
fn the_silence_of_a_loop_that_reports_on_change_is_an_empty_road() {
    let known = settings(&["presence"], None)
        .with_reports(Some(LoopReports::Change), Duration::from_secs(60))
        .unwrap();
    let mut trial = LoopTrial::new(known);
    // One vehicle in 9 s on average: some 400 an hour, also where it was silent for longer than max_gap. An interval is
    // reported two seconds after its end, whether a vehicle comes or not.
    let expected = [
        "12.5: 0 3000ms r2 partial n0 q0 o0.167",
        "22.5: 10 10000ms r2 n1 q360 o0.05",
        "32.5: 20 10000ms r2 n1 q360 o0.05",
        "42.5: 30 10000ms r2 n1 q360 o0.05",
        "52.5: 40 10000ms r2 n1 q360 o0.05",
        "61: 50 10000ms r2 n1 q360 o0.05",
    ];
    assert_eq!(quiet_road(&mut trial, 0, 64), expected);
    // Then nothing comes any more: it is believed for a minute.
    let mut last = Vec::new();
    for second in 64..300 {
        trial.tick(f64::from(second));
        last.extend(trial.reported());
    }
    assert_eq!(last.first().unwrap(), "60 10000ms r2 n1 q360 o0.05");
    assert_eq!(
        &last[1..],
        [
            "70 10000ms r0 n0 q0 o0",
            "80 10000ms r0 n0 q0 o0",
            "90 10000ms r0 n0 q0 o0",
            "100 10000ms r0 n0 q0 o0",
            "110 10000ms r0 n0 q0 o0"
        ]
    );
}

#[test]
fn that_a_loop_reports_on_change_is_found_by_its_readings_and_outlives_a_restart() {
    let mut trial = LoopTrial::new(settings(&["presence"], None));
    let reported = quiet_road(&mut trial, 0, 200);
    assert!(reported[0].contains("partial"), "not known yet: {reported:?}");
    let flows = |reported: &[String]| {
        let whole = reported.iter().filter(|text| !text.contains("partial"));
        whole
            .filter(|text| text.contains(" q360 ") || text.contains(" q720 ") || text.contains(" q0 "))
            .count()
    };
    assert!(flows(&reported[6..]) == reported.len() - 6 && reported.len() > 15, "{reported:?}");
    trial.restart(200.0);
    let reported = quiet_road(&mut trial, 201, 300);
    assert!(reported.len() >= 9 && flows(&reported[2..]) == reported.len() - 2, "{reported:?}");
    // One that sends over and over is not taken for such a one, and its silence is a gap.
    let mut trial = LoopTrial::new(settings(&["presence"], None));
    for second in 0..100 {
        trial.send("presence", f64::from(second), f64::from(u8::from(second % 9 == 0)), 0.0);
    }
    trial.reported();
    trial.tick(300.0);
    assert_eq!(trial.reported(), ["90 9000ms r10 partial n2 q800 o0.111"]);
}

#[test]
fn what_comes_too_late_for_a_reported_interval_is_left_out_but_says_whether_a_vehicle_stands() {
    let known = settings(&["presence"], None)
        .with_reports(Some(LoopReports::Change), Duration::from_secs(600))
        .unwrap();
    let mut trial = LoopTrial::new(known);
    trial.send("presence", 101.0, 0.0, 0.0);
    trial.send("presence", 109.0, 1.0, 0.0);
    trial.tick(112.5);
    assert_eq!(trial.reported(), ["100 9000ms r2 partial n1 q400 o0.111"]);
    // The vehicle left at 109.5; twenty more messages waited for a connection as well.
    trial.send("presence", 109.5, 0.0, 4.0);
    for step in 0..20 {
        trial.send("presence", 105.0 + f64::from(step) / 100.0, f64::from(step % 2), 9.0);
    }
    trial.tick(122.5);
    assert_eq!(trial.reported(), ["110 10000ms r0 n0 q0 o0"]);
}

#[test]
fn an_interval_that_was_seen_for_a_fraction_of_a_second_has_no_rates() {
    let presence = |from: f64| {
        [
            ("presence", from, 0.0),
            ("presence", from + 0.1, 1.0),
            ("presence", from + 0.3, 0.0),
            ("presence", 110.0, 0.0),
        ]
    };
    check(&["presence"], &presence(109.2), &["100 800ms r3 partial n1"]);
    check(
        &["presence"],
        &presence(109.2)[..1].iter().chain(&presence(0.0)[3..]).copied().collect::<Vec<_>>(),
        &[],
    );
    check(&["presence"], &presence(109.0), &["100 1000ms r3 partial n1 q3600 o0.2"]);
}
