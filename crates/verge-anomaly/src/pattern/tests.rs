use proptest::prelude::*;

use super::*;
use crate::noise::Noise;

const BEAT: usize = 80;

/// A beat of 80 readings: a small wave, a sharp peak between two dips, a broad wave; the last turned over where
/// the beat is `altered`.
fn heart(index: usize, altered: usize) -> f64 {
    let at = (index % BEAT) as f64;
    let wave = |centre: f64, width: f64, height: f64| height * (-((at - centre) / width).powi(2)).exp();
    let last = if index / BEAT == altered { -0.3 } else { 0.3 };
    wave(15.0, 4.0, 0.15)
        + wave(27.0, 1.5, -0.15)
        + wave(30.0, 1.5, 1.0)
        + wave(33.0, 1.5, -0.25)
        + wave(52.0, 6.0, last)
}

/// Distances with the index of the reading of each.
fn distances(settings: PatternSettings, values: &[f64]) -> Vec<(usize, f64)> {
    let mut detector = PatternDetector::new(settings);
    let judged = |(index, value): (usize, &f64)| Some((index, detector.observe(*value)?));
    values.iter().enumerate().filter_map(judged).collect()
}

#[test]
fn one_altered_beat_is_the_largest_distance_by_far() {
    // Windows of a beat, of less and of more; the beat a multiple of the stride or not.
    for (window, stride) in [(80, 5), (64, 4), (100, 7), (128, 8)] {
        let settings = PatternSettings::new(window).unwrap().with_reservoir(stride, 128).unwrap();
        let mut noise = Noise::new(9);
        let altered = 90;
        let values: Vec<f64> =
            (0..120 * BEAT).map(|index| heart(index, altered) + 0.02 * noise.normal()).collect();
        let judged = distances(settings, &values);
        let settled = 30 * BEAT;
        let within = |index: usize| (altered * BEAT..(altered + 1) * BEAT + window).contains(&index);
        let most = |inside: bool| {
            let those = judged.iter().filter(|(index, _)| *index >= settled && within(*index) == inside);
            those.fold(0.0, |most: f64, (_, distance)| most.max(*distance))
        };
        let (inside, outside) = (most(true), most(false));
        assert!(inside > 2.5 * outside, "window {window}, stride {stride}: {inside} {outside}");
    }
}

#[test]
fn a_flat_stretch_in_a_lively_signal_is_a_shape_and_noise_on_it_is_none() {
    let settings = PatternSettings::new(64).unwrap();
    let mut noise = Noise::new(2);
    let values: Vec<f64> = (0..8000)
        .map(|index| {
            let flat = (4000..4300).contains(&index) || (6000..6300).contains(&index);
            let wave = if flat { 0.0 } else { (index as f64 / 5.0).sin() };
            wave + 0.01 * noise.normal()
        })
        .collect();
    let judged = distances(settings, &values);
    let most = |from: usize, to: usize| {
        let those = judged.iter().filter(|(index, _)| (from..to).contains(index));
        those.fold(0.0, |most: f64, (_, distance)| most.max(*distance))
    };
    let (first, second, lively) = (most(4000, 4300), most(6070, 6300), most(2000, 4000));
    assert!(first > 3.0 * lively, "{first} {lively}");
    // The second time it is known, noise and all.
    assert!(second < 0.5 * first, "{second} {first}");
}

/// A single wild reading is reported, and what comes after it is seen as sharply as what came before.
#[test]
fn a_spike_blinds_nobody() {
    let settings = PatternSettings::new(80).unwrap().with_reservoir(5, 64).unwrap();
    let mut noise = Noise::new(8);
    let value =
        |index: usize| if index == 40 * BEAT { 1e9 } else { heart(index, 60) + 0.02 * noise.normal() };
    let values: Vec<f64> = (0..70 * BEAT).map(value).collect();
    let judged = distances(settings, &values);
    let most = |from: usize, to: usize| {
        let those = judged.iter().filter(|(index, _)| (from * BEAT..to * BEAT).contains(index));
        those.fold(0.0, |most: f64, (_, distance)| most.max(*distance))
    };
    let (spike, altered, sound) = (most(40, 42), most(60, 62), most(45, 60));
    assert!(spike > 3.0 * sound && altered > 2.0 * sound, "{spike} {altered} {sound}");
}

#[test]
fn memory_is_what_is_stated() {
    let settings = PatternSettings::new(128).unwrap();
    assert_eq!(settings.bytes(), 128 * 8 + 16 * (64 + 8) + 256 * (64 + 12));
    let mut detector = PatternDetector::new(settings);
    let held = |detector: &PatternDetector| {
        let state = &detector.state;
        (state.recent.capacity(), state.waiting.capacity(), state.reservoir.clone().len())
    };
    let mut noise = Noise::new(7);
    let judged = (0..15_000).filter_map(|_| detector.observe(noise.normal())).count();
    assert_eq!(judged, 15_000 / 8 - 16 + 1 - 16 - 7);
    assert_eq!(held(&detector), (128, 16 * 32, 256));
}

#[test]
fn settings_and_states_are_checked() {
    let check = |made: Result<PatternSettings, SettingsError>, expected: &str| {
        let error = made.unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
    };
    check(PatternSettings::new(15), "window must be from 16 to 512, not 15");
    let good = PatternSettings::new(128).unwrap();
    check(good.with_reservoir(3, 256), "stride must be from 4 to 32, not 3");
    check(good.with_reservoir(33, 256), "stride must be from 4 to 32, not 33");
    check(good.with_reservoir(8, 15), "shapes must be from 16 to 1024, not 15");
    let mut detector = PatternDetector::new(good);
    let other = PatternDetector::new(PatternSettings::new(64).unwrap()).save();
    for (state, expected) in [(b"no".as_slice(), "another version"), (other.as_slice(), "another version")] {
        let error = detector.restore(state).unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// With any finite values, distances are finite; a restart anywhere changes nothing, and neither does
    /// what comes after.
    #[test]
    fn distances_are_finite_and_survive_a_restart(
        pieces in prop::collection::vec((prop::num::f64::NORMAL | prop::num::f64::ZERO, 0_u8..4, 1_usize..120), 1..40),
        restart in 0_usize..2000,
        cut in 0_usize..2000,
    ) {
        let mut noise = Noise::new(6);
        let mut values = Vec::new();
        for (value, kind, length) in pieces {
            values.extend((0..length).map(|index| match kind {
                0 => value,
                1 => value * noise.normal().clamp(-1.0, 1.0),
                2 => (index as f64 / 4.0).sin(),
                _ => noise.normal(),
            }));
        }
        let settings = PatternSettings::new(16).unwrap().with_reservoir(1, 16).unwrap();
        let whole = distances(settings, &values);
        prop_assert!(whole.iter().all(|(_, distance)| distance.is_finite() && *distance >= 0.0));
        let part = distances(settings, &values[..cut.min(values.len())]);
        for (one, other) in part.iter().zip(&whole) {
            prop_assert_eq!((one.0, one.1.to_bits()), (other.0, other.1.to_bits()));
        }
        let mut detector = PatternDetector::new(settings);
        let mut judged = Vec::new();
        for (index, value) in values.iter().enumerate() {
            if index == restart {
                let state = detector.save();
                detector = PatternDetector::new(settings);
                detector.restore(&state).unwrap();
                prop_assert_eq!(detector.save(), state);
            }
            judged.extend(detector.observe(*value).map(|distance| (index, distance)));
        }
        prop_assert_eq!(judged, whole);
    }
}
