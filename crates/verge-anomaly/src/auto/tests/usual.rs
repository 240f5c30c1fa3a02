//! What is usual, in the unit of the signal, and how far out readings lie.

use super::*;

/// A temperature with a daily course around `middle` and noise of a twentieth of it, a reading each five minutes.
fn course(middle: f64, swing: f64) -> impl FnMut(usize) -> f64 {
    let mut noise = Noise::new(11);
    move |reading| middle + swing * ((TAU * reading as f64 / 288.0).sin() + 0.05 * noise.normal())
}

#[test]
fn what_is_usual_is_the_band_of_the_hour() {
    let (mut detector, mut next) = (detector(), course(90.0, 3.0));
    assert_eq!(detector.usual(), None);
    for reading in 0..288 * 14 {
        detector.observe(at(reading), next(reading));
    }
    // Six in the morning: the course is highest. At noon it is at its mean, at six in the evening lowest.
    for (hour, value) in [(6, 93.0), (12, 90.0), (18, 87.0)] {
        let reading = 288 * 14 + 12 * hour + 6;
        detector.observe(at(reading), value);
        let Expected { low: Some(low), high: Some(high) } = detector.usual().unwrap() else {
            panic!("a band has two ends")
        };
        assert!(low < value && value < high, "{hour}: {value} in {low} to {high}");
        assert!(high - low < 4.0, "{hour}: {low} to {high} is not the hour but the day");
    }
}

#[test]
fn distances_of_two_signals_compare() {
    // Strange by as many of its own widths each: the distances agree, though units and sizes do not.
    let distance = |scale: f64, offset: f64, off: f64| {
        let (mut detector, mut noise) = (detector(), Noise::new(5));
        for reading in 0..3_000 {
            detector.observe(at(reading), offset + scale * noise.normal());
        }
        let shown = detector.observe(at(3_000), offset + scale * off).shown;
        shown.expect("it is strange").0
    };
    let (far, near) = (distance(1.0, 93.5, 40.0), distance(1.0, 93.5, 8.0));
    assert!((10.0..25.0).contains(&far) && (2.0..6.0).contains(&near), "{far} and {near}");
    assert!(far > 3.0 * near, "{far} and {near}");
    for (scale, offset) in [(1e-3, 0.03), (1e4, -2e6)] {
        let other = distance(scale, offset, 40.0);
        assert!((other / far - 1.0).abs() < 0.1, "{other} and {far}: bins are an eighth of an octave wide");
    }
}

#[test]
fn each_strange_reading_shows_its_value_and_what_is_usual() {
    let (mut detector, mut next) = (detector(), process("seasonal and autocorrelated"));
    let mut seen = 0;
    for reading in 0..20_000 {
        let value = if reading % 4_001 > 3_980 { 80.0 } else { next(reading) };
        let assessment = detector.observe(at(reading), value);
        let Some((distance, shown)) = assessment.shown else {
            assert!(!assessment.abnormal && assessment.standing == Standing::Normal, "{assessment:?}");
            continue;
        };
        seen += 1;
        assert!((0.0..=1_000.0).contains(&distance), "{assessment:?}");
        let Expected { low: Some(low), high: Some(high) } = shown.usual else { panic!("{assessment:?}") };
        assert!(low <= high && high < 60.0, "what is strange is not usual: {assessment:?}");
        assert!(value < 60.0 || distance > 1.0, "{assessment:?}");
    }
    assert!(seen > 100, "{seen}");
}

#[test]
fn a_distance_agrees_with_the_value_and_the_band_beside_it() {
    // A fault that soon makes up more than 2 % of a short past: the members take it for usual, the band does not.
    let (mut detector, mut noise) = (detector(), Noise::new(3));
    for reading in 0..3_000 {
        let value = 4.0 + 0.3 * noise.normal() + if reading >= 2_000 { 4.5 } else { 0.0 };
        let Some((distance, shown)) = detector.observe(at(reading), value).shown else { continue };
        let of_band = shown.usual.distance(shown.value).unwrap_or_default();
        let agrees = shown.usual.contains(shown.value) || distance >= of_band;
        assert!(agrees, "{reading}: {distance} beside {shown:?}, which is {of_band} widths out");
    }
}

#[test]
fn a_signal_that_never_moved_has_a_distance_too() {
    let distance = |resolution, level: f64, value: f64| {
        let settings = AutoSettings::new(AlarmSettings::default(), resolution).unwrap();
        let mut detector = AutoDetector::new(&settings);
        for reading in 0..3_000 {
            detector.observe(at(reading), level);
        }
        detector.observe(at(3_000), value).shown.expect("it was never seen").0
    };
    assert!((distance(None, 20.0, 21.0) - 5.0).abs() < 0.01, "against a hundredth of the level");
    assert!((distance(Some(0.5), 20.0, 22.0) - 4.0).abs() < 1e-9, "against the resolution");
    assert_eq!(distance(None, 0.0, 5.0), 1.0, "against nothing");
}
