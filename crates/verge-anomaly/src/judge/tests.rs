use verge_domain::id::{DeviceId, SignalId};
use verge_domain::time::UtcMillis;

use super::*;
use crate::alarm::AlarmSettings;
use crate::auto::AutoSettings;
use crate::cusum::CusumSettings;
use crate::multi::MultiSettings;
use crate::noise::Noise;
use crate::pattern::PatternSettings;
use crate::threshold::ThresholdSettings;

fn reading(signal: &str, value: f64) -> Reading {
    Reading::of(DeviceId::new("d").unwrap(), SignalId::new(signal).unwrap(), value)
}

fn at(second: u32) -> Moment {
    Moment::from_wall(UtcMillis(i64::from(second) * 1_000))
}

/// Noise of two signals, a second apart.
fn run(judge: &mut ReadingJudge, seconds: std::ops::Range<u32>) -> Vec<Finding> {
    let (mut noise, mut findings) = (Noise::new(5), Vec::new());
    for second in seconds {
        for signal in ["a", "b"] {
            judge.observe((&reading(signal, 20.0 + noise.normal())).into(), at(second), &mut findings);
        }
        judge.tick(at(second), &mut findings);
    }
    findings
}

/// Those that learn and have a state of some structure, with little to learn from.
fn learners() -> Vec<JudgeSettings> {
    let multi = MultiSettings::new(200, AlarmSettings::default()).unwrap();
    vec![
        JudgeSettings::Auto(AutoSettings::default()),
        JudgeSettings::Multi(multi),
        JudgeSettings::Pattern(PatternSettings::new(16).unwrap(), AlarmSettings::default()),
        JudgeSettings::Reconstruction(AlarmSettings::default()),
        JudgeSettings::Appearance(AlarmSettings::default()),
    ]
}

/// The same state with other content, under a checksum that fits.
fn resealed(state: &[u8], place: usize, by: u8) -> Vec<u8> {
    let mut state = state.to_vec();
    state[place] ^= by;
    let checksum = crc32c::crc32c(&state[6..]);
    state[2..6].copy_from_slice(&checksum.to_le_bytes());
    state
}

#[test]
fn a_state_that_does_not_fit_is_refused_or_harmless() {
    for settings in learners() {
        let mut before = ReadingJudge::new(&settings, at(0));
        run(&mut before, 0..400);
        let state = before.save().unwrap();
        let mut refused = 0;
        let step = (state.len() / 400).max(1);
        for place in (6..state.len()).step_by(step) {
            for by in [0x01, 0x40, 0x80, 0xff] {
                let mut after = ReadingJudge::new(&settings, at(400));
                match after.restore(&resealed(&state, place, by), at(400)) {
                    Ok(()) => drop(run(&mut after, 400..430)),
                    Err(error) => {
                        refused += 1;
                        assert!(!error.to_string().is_empty());
                        assert_eq!(after.save(), ReadingJudge::new(&settings, at(400)).save(), "unchanged");
                    }
                }
            }
        }
        assert!(refused > 0, "{settings:?}");
    }
}

#[test]
fn the_first_readings_of_auto_are_judged_as_a_detector_would_and_outlive_a_restart() {
    for cut in [1, 15, 16, 17, 100] {
        let settings = JudgeSettings::Auto(AutoSettings::default());
        let mut whole = ReadingJudge::new(&settings, at(0));
        let all = run(&mut whole, 0..200);
        let mut before = ReadingJudge::new(&settings, at(0));
        let (mut noise, mut parts) = (Noise::new(5), Vec::new());
        let mut detector = crate::auto::AutoDetector::new(&AutoSettings::default());
        for second in 0..200 {
            for signal in ["a", "b"] {
                if second == cut && signal == "a" {
                    let state = before.save().unwrap();
                    before = ReadingJudge::new(&settings, at(second));
                    before.restore(&state, at(second)).unwrap();
                }
                let reading = reading(signal, 20.0 + noise.normal());
                before.observe((&reading).into(), at(second), &mut parts);
                let assessed = detector.observe(at(second).wall, reading.value);
                let Some(Finding::Condition(judged)) = parts.last() else { panic!("a condition") };
                assert_eq!((judged.member, judged.standing), (assessed.member, assessed.standing));
                assert_eq!((judged.observed, judged.expected), (assessed.observed, assessed.expected));
                assert_eq!(judged.p_value, Some(assessed.p_value.max(detector.least_p())));
            }
        }
        assert_eq!(parts, all, "restarted at {cut} s");
        assert_eq!(before.save(), whole.save());
    }
}

#[test]
fn a_signal_of_few_readings_takes_little_and_states_of_earlier_releases_are_taken_up() {
    let settings = JudgeSettings::Auto(AutoSettings::default());
    let mut young = ReadingJudge::new(&settings, at(0));
    run(&mut young, 0..4);
    assert!(young.heap_bytes() <= 512 && young.save().unwrap().len() <= 512);
    assert_eq!(young.alarm_rate(), None);
    run(&mut young, 4..20);
    let grown = young.heap_bytes();
    assert!(grown > 10_000 && grown < 20_000, "{grown} bytes");
    // As they were: a whole detector from the first reading.
    let mut early = crate::auto::AutoDetector::new(&AutoSettings::default());
    early.observe(UtcMillis(0), 20.0);
    let mut judge = ReadingJudge::new(&settings, at(1));
    judge.restore(&early.save(), at(1)).unwrap();
    assert_eq!(judge.save(), Some(early.save()));
}

#[test]
fn those_that_expect_a_range_of_values_say_it_once_they_know_it() {
    let threshold = ThresholdSettings::new(Some(25.0), None, None, None).unwrap();
    let judge = ReadingJudge::new(&JudgeSettings::Threshold(threshold), at(0));
    assert_eq!(judge.expectation(), Some(Expected { low: None, high: Some(25.0) }));

    let cusum = CusumSettings::new(Some(20.0), None, 50, 0.5, 5.0, 0.2, false).unwrap();
    for settings in [JudgeSettings::Cusum(cusum), JudgeSettings::Auto(AutoSettings::default())] {
        let mut judge = ReadingJudge::new(&settings, at(0));
        assert_eq!(judge.expectation(), None, "{settings:?}: nothing is known yet");
        run(&mut judge, 0..2_000);
        let Some(Expected { low: Some(low), high: Some(high) }) = judge.expectation() else {
            panic!("{settings:?} expects nothing");
        };
        // Noise of one around 20: 98 % lie within 2.3 of it.
        assert!((16.0..19.0).contains(&low) && (21.0..24.0).contains(&high), "{settings:?}: {low} to {high}");
    }
    for settings in learners().into_iter().skip(1) {
        let mut judge = ReadingJudge::new(&settings, at(0));
        run(&mut judge, 0..400);
        assert_eq!(judge.expectation(), None, "{settings:?} expects no range of values");
    }
}
