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

/// What a reader of the words works out from the numbers beside it: 1 is the edge of the range that is printed.
fn printed_distance(assessment: &Assessment) -> Option<f64> {
    let (_, shown) = assessment.shown?;
    match assessment.member {
        Member::Context | Member::TimeOfDay | Member::Shift => shown.usual.distance(shown.value),
        _ => {
            let (expected, observed) = (assessment.expected, assessment.observed);
            let of_value = shown.usual.distance(shown.value).filter(|_| !shown.usual.contains(shown.value));
            let of_value =
                of_value.filter(|_| !expected.contains(observed) || expected == Expected::default());
            expected.distance(observed).into_iter().chain(of_value).reduce(f64::max)
        }
    }
}

#[test]
fn a_distance_is_that_of_what_is_printed_from_the_range_beside_it() {
    // A fault that soon makes up more than 2 % of a short past: the members take it for usual, the band does not.
    let mut noise = Noise::new(3);
    let fault = move |reading: usize| 4.0 + 0.3 * noise.normal() + if reading >= 2_000 { 4.5 } else { 0.0 };
    let mut seasonal = process("seasonal and autocorrelated");
    let spiky = move |reading: usize| if reading % 1_001 > 990 { 80.0 } else { seasonal(reading) };
    let mut day = day_with_noise(3.0, 60, 0.0);
    let first_day = move |reading: usize| day(reading) + if reading % 400 > 390 { 2.0 } else { 0.0 };
    let weekly = AlarmBudget::new(1.0, Duration::from_secs(7 * 86_400)).unwrap();
    let shared = AlarmSettings::new(Some(weekly), 100).unwrap().with(BudgetOf::Judge, WhileLearning::Info);
    let mut members = std::collections::BTreeSet::new();
    type Signal = Box<dyn FnMut(usize) -> f64>;
    let signals: [(&str, Signal); 3] =
        [("fault", Box::new(fault)), ("spiky", Box::new(spiky)), ("first day", Box::new(first_day))];
    let settings = [AlarmSettings::default(), shared, shared];
    for ((name, mut value), settings) in signals.into_iter().zip(settings) {
        let mut detector = AutoDetector::new(&AutoSettings::new(settings, None).unwrap());
        for reading in 0..3_000 {
            let assessment = detector.observe(UtcMillis(reading as i64 * 60_000), value(reading));
            let Some((distance, _)) = assessment.shown else { continue };
            let Some(printed) = printed_distance(&assessment) else { continue };
            assert!(
                (distance - printed).abs() < 1e-9,
                "{name} {reading}: {printed} is printed beside {assessment:?}"
            );
            assert!(
                !assessment.abnormal || distance > 1.0 || assessment.member.own_unit().is_some(),
                "{name} {reading}: {assessment:?}"
            );
            members.insert(assessment.member);
        }
    }
    assert!(members.len() > 3, "{members:?}");
}

/// A daily course of this swing, with this number of readings an hour and autocorrelated noise of 0.15.
fn day_with_noise(swing: f64, per_hour: usize, phase: f64) -> impl FnMut(usize) -> f64 {
    let (mut noise, mut held) = (Noise::new(7), 0.0);
    move |reading| {
        held = 0.8 * held + 0.6 * noise.normal();
        let hour = reading as f64 / per_hour as f64;
        88.0 + swing * (TAU * (hour / 24.0 + phase)).sin() + 0.15 * held
    }
}

#[test]
fn on_the_first_day_what_is_a_little_off_is_near_and_a_step_is_far() {
    for (swing, per_hour, phase) in [3.0, 1.5].into_iter().flat_map(|swing| {
        [60, 12]
            .into_iter()
            .flat_map(move |per_hour| [0.0, 0.25, 0.5, 0.75].map(|phase| (swing, per_hour, phase)))
    }) {
        let (mut detector, mut next) = (detector(), day_with_noise(swing, per_hour, phase));
        for reading in 0..per_hour * 24 {
            let (value, time) = (next(reading), UtcMillis((reading * 3_600_000 / per_hour) as i64));
            // Nothing is found before the warm-up is over.
            if reading > 300 && reading % per_hour == 0 {
                let distance = |off: f64| {
                    let assessment = detector.clone().observe(time, value + off);
                    assessment.shown.map_or(0.0, |(distance, _)| distance)
                };
                let (near, far) = (distance(0.5), distance(9.0));
                let at =
                    format!("swing {swing}, {per_hour} an hour, phase {phase}, hour {}", reading / per_hour);
                // An event that is open is measured by what was usual when it began.
                if !detector.alarms.is_open() {
                    assert!(near < 2.5, "{at}: {near}");
                    assert!(far > 1.5 * near.max(1.0), "{at}: {far} beside {near}");
                }
            }
            detector.observe(time, value);
        }
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
