//! Where a quick signal never was on its first day, while its judge learns.

use verge_domain::id::DeviceId;

use super::beside::alarms;
use super::*;

const SECOND: i64 = 1_000;
const HOUR: usize = 3_600;

/// Signals of one device, of a judge that learns.
fn of_device(signals: usize) -> Vec<AutoDetector> {
    let budget = AlarmBudget::new(1.0, Duration::from_secs(7 * 86_400)).unwrap();
    let alarms = AlarmSettings::new(Some(budget), 100).unwrap().with(BudgetOf::Judge, WhileLearning::Info);
    let settings = AutoSettings::new(alarms, None).unwrap();
    let pool = AlarmPool::of(&alarms).unwrap();
    let device = DeviceId::new("pump-1").unwrap();
    let one = || {
        let mut detector = AutoDetector::sharing(&settings, Some(&pool));
        detector.belongs_to(&device);
        detector
    };
    std::iter::repeat_with(one).take(signals).collect()
}

/// A temperature with a daily course.
fn temperature(second: usize, noise: &mut Noise) -> f64 {
    60.0 + 4.0 * (TAU * second as f64 / (24 * HOUR) as f64).sin() + 0.3 * noise.normal()
}

#[test]
fn what_drifts_within_an_hour_as_far_as_in_all_of_the_day_is_an_alarm_while_learning_and_the_day_is_none() {
    for (drift, found) in [(0.0, false), (12.0, true), (-12.0, true), (2.0, false)] {
        let mut noise = Noise::new(3);
        let mut detector = of_device(1).remove(0);
        let begin = 10 * HOUR;
        let alarms = alarms(&mut detector, SECOND, 0..12 * HOUR, |second| {
            let done = second.saturating_sub(begin) as f64 / HOUR as f64;
            temperature(second, &mut noise) + drift * done.min(1.0)
        });
        assert_eq!(alarms.len(), usize::from(found), "{drift}: {alarms:?}");
        let Some((second, alarm)) = alarms.first() else { continue };
        assert!((begin..begin + HOUR + 600).contains(second), "{drift}: at {second} s");
        assert_eq!(alarm.member, Member::Mean);
        let Expected { low, high } = alarm.expected;
        let is_outside =
            low.is_some_and(|low| alarm.observed < low) || high.is_some_and(|high| alarm.observed > high);
        assert!(is_outside && alarm.shown.is_some_and(|(distance, _)| distance > 1.0), "{alarm:?}");
    }
}

#[test]
fn what_cools_because_its_machine_stops_has_not_left() {
    let stop = 10 * HOUR;
    let (cools, current) = (
        |second: usize| 22.0 + 28.0 * (-(second.saturating_sub(stop) as f64) / 1_500.0).exp(),
        |second: usize| if second < stop { 30.0 } else { 0.0 },
    );
    for with_current in [false, true] {
        let mut noise = Noise::new(4);
        let mut signals = of_device(2);
        let mut raised = 0;
        for second in 0..12 * HOUR {
            let at = UtcMillis(second as i64 * SECOND);
            if with_current {
                let assessment = signals[0].observe(at, current(second) + 0.1 * noise.normal());
                assert!(!assessment.alarm || assessment.learning, "{second}: {assessment:?}");
            }
            let assessment = signals[1].observe(at, cools(second) + 0.1 * noise.normal());
            raised += u32::from(assessment.alarm && !assessment.learning);
        }
        // Alone it looks like a fault.
        assert_eq!(raised > 0, !with_current, "{raised} alarms");
    }
}

#[test]
fn what_was_seen_of_the_day_outlives_a_restart() {
    let mut noise = Noise::new(3);
    let mut detector = of_device(1).remove(0);
    let begin = 10 * HOUR;
    let early = alarms(&mut detector, SECOND, 0..begin, |second| temperature(second, &mut noise));
    let mut restored = of_device(1).remove(0);
    restored.restore(&detector.save()).unwrap();
    assert_eq!(restored, detector);
    let late = alarms(&mut restored, SECOND, begin..begin + 2 * HOUR, |second| {
        temperature(second, &mut noise) + 12.0 * ((second - begin) as f64 / HOUR as f64).min(1.0)
    });
    assert_eq!((early.len(), late.len()), (0, 1));
}
