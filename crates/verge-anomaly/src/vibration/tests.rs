use std::f64::consts::TAU;

use proptest::prelude::*;

use super::features::Analyser;
use super::*;
use crate::noise::Noise;

const RATE: f64 = 12_000.0;

fn settings(block: usize) -> VibrationSettings {
    VibrationSettings::new(RATE, None, block).unwrap()
}

fn features(block: usize, sample: impl FnMut(usize) -> f64) -> Features {
    let samples: Vec<f64> = (0..block).map(sample).collect();
    Analyser::new(&settings(block)).features(&samples)
}

/// A machine: two harmonics of its shaft and noise; where `impacts` is above zero, a resonance at 3.3 kHz that is
/// struck 107 times a second.
fn machine(noise: &mut Noise, index: usize, impacts: f64) -> f64 {
    let seconds = index as f64 / RATE;
    let since_impact = seconds.rem_euclid(1.0 / 107.0);
    let ringing = (TAU * 3300.0 * since_impact).sin() * (-800.0 * since_impact).exp();
    0.1 * (TAU * 29.9 * seconds).sin()
        + 0.05 * (TAU * 359.0 * seconds).sin()
        + 0.05 * noise.normal()
        + impacts * ringing
}

#[test]
fn a_sine_shows_what_the_books_say() {
    let line = RATE / 1024.0;
    let sine = features(1024, |index| 5.0 + 2.0 * (TAU * 150.0 * line * index as f64 / RATE).sin());
    assert!((sine.rms - 2.0_f64.sqrt()).abs() < 1e-9, "{}", sine.rms);
    assert!((sine.kurtosis - 1.5).abs() < 1e-9, "{}", sine.kurtosis);
    assert!((sine.crest - 2.0_f64.sqrt()).abs() < 1e-3, "{}", sine.crest);
    // 1758 Hz lies in the last band but one below 4688 Hz, and the mean square there is 2.
    let loudest = sine.ln_bands().iter().position(|band| (band - 2.0_f64.ln()).abs() < 1e-3);
    assert_eq!(loudest, Some(6), "{:?}", sine.ln_bands());
    assert!(sine.ln_bands()[..5].iter().all(|band| *band < -15.0), "{:?}", sine.ln_bands());
}

#[test]
fn impacts_show_in_the_envelope() {
    let mut noise = Noise::new(1);
    let sound = features(2048, |index| machine(&mut noise, index, 0.0)).envelope_peak;
    // Hardly louder, and no more in a sample than the noise has.
    let faulty = features(2048, |index| machine(&mut noise, index, 0.2)).envelope_peak;
    assert!(sound < 6.0 && faulty > 12.0, "{sound} {faulty}");
}

#[test]
fn a_flat_block_is_no_exception() {
    for level in [0.0, 3.1, -1e308] {
        let flat = features(256, |_| level);
        assert!(flat.rms > 0.0 && flat.rms <= 1e-12 * level.abs().max(1e-130), "{flat:?}");
        assert_eq!((flat.kurtosis, flat.crest, flat.envelope_peak), (1.0, 1.0, 1.0));
        assert!(flat.scaled().iter().all(|feature| feature.is_finite()));
    }
}

#[test]
fn a_fault_is_found_at_once_and_never_taken_for_normal() {
    let mut noise = Noise::new(2);
    let mut detector = VibrationDetector::new(settings(512));
    let mut judged = Vec::new();
    for index in 0..512 * 400 {
        let impacts = if index < 512 * 200 { 0.0 } else { 0.5 };
        if let Some(found) = detector.observe(machine(&mut noise, index, impacts)) {
            judged.push(found);
        }
    }
    assert!(judged[..32].iter().all(|block| block.judgement.is_none()));
    let p = |block: &BlockAssessment| block.judgement.unwrap().p_value;
    let false_alarms = judged[32..200].iter().filter(|block| p(block) <= 1e-4).count();
    assert_eq!(false_alarms, 0);
    for block in &judged[200..] {
        assert!(p(block) < 1e-6, "{block:?}");
        let farthest = block.judgement.unwrap().contributions[0];
        assert!(farthest.deviations > 5.0, "{block:?}");
    }
    detector.relearn();
    let index = (0..).find_map(|index| detector.observe(machine(&mut noise, index, 0.3))).unwrap().index;
    assert_eq!(index, 0);
}

/// A p of one in a thousand comes about once in a thousand blocks.
#[test]
fn p_values_are_probabilities() {
    let (mut below, mut all) = ([0_u32; 2], 0_u32);
    for seed in 0..8 {
        let mut noise = Noise::new(100 + seed);
        let mut detector = VibrationDetector::new(settings(256));
        for index in 0..256 * 1000 {
            let Some(found) = detector.observe(machine(&mut noise, index, 0.0)) else { continue };
            let Some(judgement) = found.judgement else { continue };
            all += 1;
            for (count, level) in below.iter_mut().zip([1e-2, 1e-3]) {
                *count += u32::from(judgement.p_value <= level);
            }
        }
    }
    let share = below.map(|count| f64::from(count) / f64::from(all));
    assert!((0.003..0.02).contains(&share[0]) && share[1] < 0.003, "{share:?} of {all}");
}

#[test]
fn settings_are_checked() {
    let check = |made: Result<VibrationSettings, SettingsError>, expected: &str| {
        let error = made.unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
    };
    let new = VibrationSettings::new;
    check(new(f64::NAN, None, 512), "sample_rate must be a finite number");
    check(new(0.0, None, 512), "sample_rate must be from 1 to 10000000, not 0");
    check(
        new(48_000.0, Some(13_000.0), 512),
        "must be a whole multiple, at most 64, of analysis_rate (13000)",
    );
    check(new(12_000.0, Some(48_000.0), 512), "must be a whole multiple");
    check(new(65_000.0, Some(1000.0), 512), "must be a whole multiple");
    check(new(48_000.0, None, 500), "block must be a power of two, not 500");
    check(new(48_000.0, None, 128), "block must be from 256 to 16384, not 128");
    let good = settings(512);
    check(good.with_bands(17), "bands must be from 2 to 16");
    check(good.with_learning(15, 1000), "learn_blocks must be from 16");
    check(good.with_learning(600, 1000), "memory_blocks must be from 1200");
    assert!(good.with_learning(600, 2000).is_ok());
}

#[test]
fn saved_state_of_others_is_refused() {
    let mut detector = VibrationDetector::new(settings(256));
    let check = |detector: &mut VibrationDetector, state: &[u8], expected: &str| {
        let error = detector.restore(state).unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
    };
    check(&mut detector, b"no", "another version");
    let other = VibrationDetector::new(settings(512)).save();
    check(&mut detector, &other, "another version");
    let slower = VibrationSettings::new(4.0 * RATE, Some(RATE), 256).unwrap();
    let mut slower = VibrationDetector::new(slower);
    slower.observe(1.0);
    check(&mut detector, &slower.save(), "another version");
    slower.gap();
    detector.restore(&slower.save()).unwrap();
}

#[test]
fn a_sound_that_was_no_fault_is_usual_and_a_louder_one_is_not() {
    use verge_domain::finding::Finding;
    use verge_domain::id::{DeviceId, SignalId};
    use verge_domain::reading::Reading;
    use verge_domain::stage::Remark;
    use verge_domain::time::{Moment, UtcMillis};

    use crate::alarm::AlarmSettings;

    let new = || VibrationJudge::new(settings(512), AlarmSettings::new(None, 5).unwrap(), None);
    let (mut judge, mut noise, mut sample) = (new(), Noise::new(3), 0_usize);
    let mut reading = Reading::of(DeviceId::new("pump").unwrap(), SignalId::new("housing").unwrap(), 0.0);
    // Blocks with impacts: when an alarm was raised. Sound blocks follow.
    let mut strike = |judge: &mut VibrationJudge, blocks: usize, impacts: f64| {
        let (mut raised, mut findings) = (None, Vec::new());
        for block in 0..blocks + 20 {
            for _ in 0..512 {
                reading.value = machine(&mut noise, sample, if block < blocks { impacts } else { 0.0 });
                let at = Moment::from_wall(UtcMillis((sample * 1_000 / 12_000) as i64));
                judge.observe(&reading, at, &mut findings);
                sample += 1;
                for finding in findings.drain(..) {
                    let Finding::Condition(condition) = finding else { continue };
                    if condition.standing.is_abnormal() {
                        raised.get_or_insert(at.wall);
                    }
                }
            }
        }
        raised
    };
    assert_eq!(strike(&mut judge, 400, 0.0), None);
    let first = strike(&mut judge, 12, 0.4);
    assert!(first.is_some() && strike(&mut judge, 12, 0.4).is_some(), "faults are not learnt");
    assert!(judge.apply(Remark::False, first));
    let mut labelled = new();
    labelled.restore(&judge.save()).unwrap();
    assert_eq!(strike(&mut labelled, 12, 0.4), None, "of a kind that is no fault");
    assert!(strike(&mut labelled, 12, 4.0).is_some(), "ten times as loud");
    assert!(labelled.apply(Remark::Real, first), "the last label counts");
    assert!(strike(&mut labelled, 12, 0.4).is_some());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    /// With any finite samples, everything stays finite, and a restart anywhere changes nothing.
    #[test]
    fn everything_is_finite_and_survives_a_restart(
        pieces in prop::collection::vec((prop::num::f64::ANY, 0_u8..4, 1_usize..700), 1..60),
        restarts in prop::collection::vec(0_usize..20_000, 0..6),
    ) {
        let settings = VibrationSettings::new(2.0 * RATE, Some(RATE), 256).unwrap().with_bands(16).unwrap();
        let (mut one, mut other) = (VibrationDetector::new(settings), VibrationDetector::new(settings));
        let mut noise = Noise::new(5);
        let mut count = 0;
        for (value, kind, length) in pieces {
            let value = if value.is_finite() { value } else { 1e308 };
            for _ in 0..length {
                let sample = match kind {
                    0 => value,
                    1 => value * noise.normal().clamp(-1.0, 1.0),
                    _ => noise.normal(),
                };
                count += 1;
                if restarts.contains(&count) {
                    let state = other.save();
                    other = VibrationDetector::new(settings);
                    other.restore(&state).unwrap();
                    prop_assert_eq!(other.save(), state);
                }
                let found = one.observe(sample);
                prop_assert_eq!(found, other.observe(sample));
                let Some(found) = found else { continue };
                prop_assert!(found.features.scaled().iter().all(|feature| feature.is_finite()), "{:?}", found);
                if let Some(judgement) = found.judgement {
                    prop_assert!(judgement.distance.is_finite() && judgement.distance >= 0.0, "{:?}", found);
                    prop_assert!((1e-30..=1.0).contains(&judgement.p_value), "{:?}", found);
                }
            }
        }
    }
}
