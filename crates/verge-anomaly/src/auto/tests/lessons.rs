//! What an event teaches, what is forgotten of it, and what people say.

use super::*;

#[test]
fn maintenance_is_learnt_anew_and_real_alarms_are_not_learnt() {
    let run = |remark: Option<bool>| {
        let (mut detector, mut next) = (detector(), process("white"));
        for reading in 0..6_000 {
            detector.observe(at(reading), next(reading));
        }
        let mut labelled_after = 0;
        for reading in 6_000..8_000 {
            let assessment = detector.observe(at(reading), next(reading) + 12.0);
            if reading == 6_030 {
                match remark {
                    Some(true) => detector.was_maintenance(),
                    Some(false) => assert!(detector.was_real(None)),
                    None => {}
                }
            }
            labelled_after += u32::from(reading > 6_030 && assessment.abnormal);
        }
        (detector, labelled_after)
    };
    let (_, silent) = run(None);
    let (maintained, maintenance) = run(Some(true));
    let (sharpened, real) = run(Some(false));
    assert!(maintenance * 3 < silent, "{maintenance} abnormal readings after maintenance, {silent} without");
    assert!(real > silent, "{real} abnormal readings after a real alarm, {silent} without");
    assert_eq!(maintained.feedback(), Feedback { maintenance: 1, real: 0 });
    assert_eq!(sharpened.feedback(), Feedback { maintenance: 0, real: 1 });
}

/// Which of the faults are found: each lasts for fifteen readings, and the next comes 700 later.
fn found(
    detector: &mut AutoDetector,
    faults: usize,
    labelled_at: usize,
    mut apply: impl FnMut(&mut AutoDetector),
) -> Vec<bool> {
    const EVERY: usize = 700;
    let mut next = process("white");
    let mut judged = Vec::new();
    for fault in 0..faults {
        let mut raised = false;
        for reading in 0..EVERY {
            let off = if (300..315).contains(&reading) { 20.0 } else { 0.0 };
            let assessment = detector.observe(at(10_000 + fault * EVERY + reading), next(reading) + off);
            raised |= assessment.alarm && (300..320).contains(&reading);
            if reading == labelled_at {
                apply(detector);
            }
        }
        judged.push(raised);
    }
    judged
}

#[test]
fn a_fault_that_comes_back_is_found_again_and_nobody_hears_of_it_for_ever() {
    let budget = AlarmBudget::new(1.0, Duration::from_secs(7 * 86_400)).unwrap();
    let settings = AutoSettings::new(AlarmSettings::new(Some(budget), 100).unwrap(), None).unwrap();
    let (mut detector, mut next) = (AutoDetector::new(&settings), process("white"));
    for reading in 0..10_000 {
        detector.observe(at(reading), next(reading));
    }
    let (confirmed, amid) = (detector.clone(), detector.clone());
    let unheard = found(&mut detector, 30, 400, |_| {});
    assert!(unheard[..10].iter().all(|&raised| raised), "{unheard:?}");
    assert!(unheard[20..].iter().filter(|&&raised| raised).count() < 5, "it is how things are: {unheard:?}");
    // Once it is over, and while it lasts.
    for (mut detector, labelled_at) in [(confirmed, 400), (amid, 303)] {
        let raised_after = found(&mut detector, 30, labelled_at, |detector| assert!(detector.was_real(None)));
        assert!(
            raised_after.iter().all(|&raised| raised),
            "what is said to be real at {labelled_at} stays so: {raised_after:?}"
        );
    }
}

#[test]
fn a_young_signal_learns_what_comes_again() {
    let (mut detector, mut next) = (detector(), process("white"));
    // A spike every three hundred readings, from the beginning.
    let alarms = (0..6_000)
        .filter(|reading| {
            let spike = if reading % 300 == 250 { 20.0 } else { 0.0 };
            detector.observe(at(*reading), next(*reading) + spike).alarm
        })
        .count();
    assert!(alarms <= 10, "{alarms} alarms about 20 spikes");
}

#[test]
fn what_maintenance_has_shown_is_strange_at_the_next_time() {
    let spike = |feedback: bool| {
        let (mut detector, mut next) = (detector(), process("white"));
        let mut alarms = Vec::new();
        for reading in 0..2_600 {
            let off = if matches!(reading, 1_500..1_520 | 2_500..2_520) { 20.0 } else { 0.0 };
            if detector.observe(at(reading), next(reading) + off).alarm {
                alarms.push(reading);
            }
            if feedback && reading == 1_600 {
                detector.was_maintenance();
            }
        }
        [1_500..1_520, 2_500..2_520].map(|fault| alarms.iter().any(|alarm| fault.contains(alarm)))
    };
    assert_eq!(spike(true), [true, true]);
    assert_eq!(spike(false), [true, false], "a young signal learns it without");
}

#[test]
fn an_excursion_labelled_false_is_usual_a_larger_one_is_not_and_the_last_label_counts() {
    let (mut detector, mut next) = (detector(), process("white"));
    for reading in 0..6_000 {
        detector.observe(at(reading), next(reading));
    }
    let mut begin = 6_000;
    // An excursion of fifteen readings by so much, and when its alarm was raised.
    let mut excursion = |detector: &mut AutoDetector, by: f64| {
        let mut raised = None;
        for reading in 0..600 {
            let off = if (100..115).contains(&reading) { by } else { 0.0 };
            let at = at(begin + reading);
            if detector.observe(at, next(begin + reading) + off).alarm && (100..120).contains(&reading) {
                raised.get_or_insert(at);
            }
        }
        begin += 600;
        raised
    };
    let labelled = excursion(&mut detector, 20.0);
    assert!(labelled.is_some());
    let mut unlabelled = detector.clone();
    assert!(excursion(&mut unlabelled, 20.0).is_some(), "far beyond all chance: it is not learnt by itself");

    // Hours later another alarm was the last.
    assert!(excursion(&mut detector, -40.0).is_some());
    assert!(detector.was_false(labelled));
    let saved = detector.save();
    let mut detector = AutoDetector::new(&AutoSettings::default());
    detector.restore(&saved).unwrap();
    for _ in 0..3 {
        assert_eq!(excursion(&mut detector, 20.0), None, "it is of a kind that is no fault");
    }
    let larger = excursion(&mut detector, 60.0);
    assert!(larger.is_some(), "that is another matter");
    // The last label counts.
    assert!(detector.was_false(larger));
    assert_eq!(excursion(&mut detector, 60.0), None);
    assert!(detector.was_real(larger));
    assert!(excursion(&mut detector, 60.0).is_some());
}
