//! The rules over single signals, through the seam that the pipeline uses.
#![expect(clippy::unwrap_used, reason = "a test may fail")]

use std::time::Duration;

use proptest::prelude::*;
use verge_anomaly::{JudgeSettings, RateSettings, ReadingJudge, SilenceSettings, ThresholdSettings};
use verge_domain::finding::{Condition, Finding, Standing};
use verge_domain::id::{DeviceId, SignalId};
use verge_domain::reading::Reading;
use verge_domain::stage::Judge as _;
use verge_domain::time::{DeviceClock, Moment, UtcMillis};

fn moment(seconds: f64) -> Moment {
    Moment::from_wall(UtcMillis((seconds * 1000.0).round() as i64))
}

fn reading(value: f64, captured: Option<f64>) -> Reading {
    Reading {
        captured_at: captured.map(|seconds| moment(seconds).wall),
        clock: if captured.is_some() { DeviceClock::Trusted } else { DeviceClock::Absent },
        ..Reading::of(DeviceId::new("pump-1").unwrap(), SignalId::new("vibration").unwrap(), value)
    }
}

fn text(finding: &Finding) -> String {
    let Finding::Condition(Condition { member, standing, observed, expected, .. }) = finding else {
        panic!("only conditions, not {finding:?}")
    };
    let standing = match standing {
        Standing::Abnormal => "!",
        Standing::Margin => "~",
        Standing::Normal => "",
        Standing::Renewed | Standing::Adapted => "of no rule",
    };
    let bound = |bound: Option<f64>| bound.map(|bound| format!("{bound}")).unwrap_or_default();
    format!("{}{standing} {observed} in {}..{}", member.as_str(), bound(expected.low), bound(expected.high))
}

fn findings(of: impl FnOnce(&mut Vec<Finding>)) -> Vec<String> {
    let mut findings = Vec::new();
    of(&mut findings);
    findings.iter().map(text).collect()
}

mod threshold {
    use super::*;

    fn limits(values: [Option<f64>; 4]) -> Result<JudgeSettings, String> {
        let [above, clear_below, below, clear_above] = values;
        ThresholdSettings::new(above, clear_below, below, clear_above)
            .map(JudgeSettings::Threshold)
            .map_err(|error| error.to_string())
    }

    #[test]
    fn a_value_stands_where_the_limits_put_it() {
        let check = |values: [Option<f64>; 4], value: f64, expected: &[&str]| {
            let mut judge = ReadingJudge::new(&limits(values).unwrap(), moment(0.0));
            let found = findings(|out| judge.observe((&reading(value, None)).into(), moment(1.0), out));
            assert_eq!(found, expected, "{value} in {values:?}");
        };
        let high = [Some(7.0), Some(6.0), None, None];
        check(high, 7.5, &["high! 7.5 in ..7"]);
        check(high, 7.0, &["high~ 7 in ..7"]);
        check(high, 6.0, &["high 6 in ..7"]);
        let low = [None, None, Some(-1.0), Some(1.0)];
        check(low, -1.5, &["low! -1.5 in -1.."]);
        check(low, -1.0, &["low~ -1 in -1.."]);
        check(low, 1.0, &["low 1 in -1.."]);
        let both = [Some(7.0), None, Some(2.0), None];
        check(both, 7.0, &["high 7 in 2..7", "low 7 in 2..7"]);
        check(both, 1.0, &["high 1 in 2..7", "low! 1 in 2..7"]);
    }

    #[test]
    fn limits_that_do_not_fit_together_are_refused() {
        let check = |values: [Option<f64>; 4], expected: &str| {
            let error = limits(values).unwrap_err();
            assert!(error.contains(expected), "{values:?}: {error}");
        };
        check([None; 4], "at least one limit");
        check([Some(f64::NAN), None, None, None], "above must be a finite number");
        check([None, Some(1.0), None, None], "clear_below needs above");
        check([None, None, None, Some(1.0)], "clear_above needs below");
        check([Some(7.0), Some(7.5), None, None], "clear_below (7.5) must not exceed above (7)");
        check([None, None, Some(2.0), Some(1.0)], "clear_above (1) must not be less than below (2)");
        check([Some(2.0), None, Some(2.0), None], "below (2) must be less than above (2)");
        check([Some(7.0), Some(1.0), Some(2.0), None], "clear_below (1) lies beyond");
        check([Some(7.0), None, Some(2.0), Some(8.0)], "clear_above (8) lies beyond");
    }
}

mod rate {
    use super::*;

    fn settings(rise: Option<f64>, fall: Option<f64>, window: f64) -> JudgeSettings {
        let window = Duration::from_secs_f64(window);
        JudgeSettings::Rate(RateSettings::new(rise, fall, window, 0.5).unwrap())
    }

    /// Sends `(seconds, value)` to the judge; `None` where it cannot judge.
    fn check(settings: &JudgeSettings, script: &[(f64, f64, Option<&str>)]) {
        for device_time in [true, false] {
            let mut judge = ReadingJudge::new(settings, moment(0.0));
            for (seconds, value, expected) in script {
                // A device's own time decides even if its messages come in one burst.
                let (captured, received) =
                    if device_time { (Some(*seconds), 5000.0) } else { (None, *seconds) };
                let found =
                    findings(|out| judge.observe((&reading(*value, captured)).into(), moment(received), out));
                assert_eq!(found.first().map(String::as_str), *expected, "{seconds} s: {value}");
            }
        }
    }

    #[test]
    fn the_rate_is_that_over_the_window() {
        let script = [
            (100.0, 0.0, None),
            (104.0, 4.0, None),
            (105.0, 5.0, Some("rise 1 in ..2")),
            (110.0, 25.0, Some("rise! 2.5 in ..2")),
            (114.0, 17.0, Some("rise~ 1.3 in ..2")),
            (120.0, 25.0, Some("rise 0 in ..2")),
        ];
        check(&settings(Some(2.0), None, 10.0), &script);
        let falling = [
            (100.0, 50.0, None),
            (110.0, 20.0, Some("fall! -3 in -2..")),
            (120.0, 5.0, Some("fall~ -1.5 in -2..")),
            (130.0, 0.0, Some("fall -0.5 in -2..")),
        ];
        check(&settings(None, Some(2.0), 10.0), &falling);
    }

    #[test]
    fn a_slow_signal_is_judged_from_reading_to_reading() {
        let script = [
            (100.0, 0.0, None),
            (200.0, 100.0, Some("rise 1 in ..2")),
            (300.0, 400.0, Some("rise! 3 in ..2")),
            (301.0, 400.0, Some("rise! 2.9702970297029703 in ..2")),
        ];
        check(&settings(Some(2.0), None, 10.0), &script);
    }

    #[test]
    fn a_device_clock_that_steps_back_is_followed() {
        let mut judge = ReadingJudge::new(&settings(Some(2.0), None, 1.0), moment(0.0));
        let mut send = |seconds: f64, value: f64| {
            findings(|out| judge.observe((&reading(value, Some(seconds))).into(), moment(5000.0), out)).len()
        };
        assert_eq!((send(1000.0, 1.0), send(1001.0, 1.0)), (0, 1));
        // Fifteen late readings are ignored; with the sixteenth the window starts again.
        let said: usize = (0..16).map(|step| send(500.0 + f64::from(step), 1.0)).sum();
        assert_eq!(said, 0);
        assert_eq!(send(516.0, 1.0), 1);
    }

    #[test]
    fn settings_are_checked() {
        let check =
            |rise: Option<f64>, fall: Option<f64>, window_ms: u64, hysteresis: f64, expected: &str| {
                let made = RateSettings::new(rise, fall, Duration::from_millis(window_ms), hysteresis);
                let error = made.unwrap_err().to_string();
                assert!(error.contains(expected), "{error}");
            };
        check(None, None, 1000, 0.2, "rise_above or fall_above");
        check(Some(0.0), None, 1000, 0.2, "rise_above must be above zero");
        check(None, Some(f64::INFINITY), 1000, 0.2, "fall_above must be a finite number");
        check(Some(1.0), None, 99, 0.2, "window must be from 100ms");
        check(Some(1.0), None, 1000, 1.5, "hysteresis must be from 0 to 1");
        check(Some(1.0), None, 1000, f64::NAN, "hysteresis must be from 0 to 1");
    }

    proptest! {
        /// No values and no order of times make a rate that is not finite.
        #[test]
        fn rates_are_finite(script in prop::collection::vec((-1e4..1e4_f64, prop::num::f64::NORMAL), 1..200)) {
            let mut judge = ReadingJudge::new(&settings(Some(1.0), Some(1.0), 10.0), moment(0.0));
            let mut found = Vec::new();
            for (seconds, value) in script {
                judge.observe((&reading(value, Some(seconds))).into(), moment(0.0), &mut found);
            }
            for finding in &found {
                let Finding::Condition(condition) = finding else { panic!("only conditions") };
                prop_assert!(condition.observed.is_finite());
            }
        }
    }
}

mod silence {
    use super::*;

    #[test]
    fn what_does_not_send_for_longer_than_the_limit_is_silent() {
        let settings = JudgeSettings::Silence(SilenceSettings::new(Duration::from_secs(5)).unwrap());
        let mut judge = ReadingJudge::new(&settings, moment(100.0));
        let tick = |judge: &mut ReadingJudge, seconds: f64| findings(|out| judge.tick(moment(seconds), out));
        assert!(tick(&mut judge, 105.0).is_empty());
        assert_eq!(tick(&mut judge, 105.5), ["silent! 5.5 in ..5"], "a device that never sent is silent too");
        let send = |judge: &mut ReadingJudge, seconds: f64| {
            // What the device claims about time does not matter.
            findings(|out| judge.observe((&reading(1.0, Some(3.0))).into(), moment(seconds), out))
        };
        assert_eq!(send(&mut judge, 106.0), ["silent 0 in ..5"]);
        assert!(tick(&mut judge, 111.0).is_empty());
        assert_eq!(send(&mut judge, 112.0), ["silent! 6 in ..5", "silent 0 in ..5"], "between two ticks");
    }

    #[test]
    fn what_says_that_it_is_away_is_silent_at_once() {
        let settings = JudgeSettings::Silence(SilenceSettings::new(Duration::from_secs(3600)).unwrap());
        let mut judge = ReadingJudge::new(&settings, moment(0.0));
        let send = |judge: &mut ReadingJudge, seconds: f64| {
            findings(|out| judge.observe((&reading(1.0, None)).into(), moment(seconds), out))
        };
        send(&mut judge, 1.0);
        assert_eq!(findings(|out| judge.away(moment(2.0), out)), ["silent! 1 in ..3600"]);
        assert_eq!(findings(|out| judge.tick(moment(3.0), out)), ["silent! 2 in ..3600"], "and stays so");
        assert_eq!(send(&mut judge, 4.0), ["silent 0 in ..3600"]);
        assert!(findings(|out| judge.tick(moment(5.0), out)).is_empty());
    }

    #[test]
    fn what_sent_before_a_restart_is_missed_after_it() {
        let settings = JudgeSettings::Silence(SilenceSettings::new(Duration::from_secs(5)).unwrap());
        let mut before = ReadingJudge::new(&settings, moment(100.0));
        assert_eq!(before.save(), None, "nothing was received");
        before.observe((&reading(1.0, None)).into(), moment(101.0), &mut Vec::new());
        let state = before.save().unwrap();
        let mut after = ReadingJudge::new(&settings, moment(0.0));
        assert!(after.restore(b"other", moment(200.0)).is_err());
        after.restore(&state, moment(200.0)).unwrap();
        assert!(findings(|out| after.tick(moment(204.0), out)).is_empty(), "it has its time again");
        assert_eq!(findings(|out| after.tick(moment(206.0), out)), ["silent! 6 in ..5"]);
        assert_eq!(after.save(), Some(state));
    }

    #[test]
    fn settings_are_checked() {
        let check = |after: Duration, good: bool| {
            assert_eq!(SilenceSettings::new(after).is_ok(), good, "{after:?}");
        };
        check(Duration::from_millis(9), false);
        check(Duration::from_millis(10), true);
        check(Duration::from_secs(367 * 86_400), false);
    }
}
