use proptest::prelude::*;
use verge_domain::finding::{Condition, Finding, Standing};
use verge_domain::id::{DeviceId, SignalId};
use verge_domain::reading::Reading;
use verge_domain::stage::Remark;
use verge_domain::time::{Moment, UtcMillis};

use super::*;
use crate::noise::Noise;

/// A machine of three signals: two that move together, and one that wanders off as it warms up.
struct Machine {
    noise: Noise,
    shared: f64,
    seconds: f64,
}

impl Machine {
    fn new(seed: u64) -> Self {
        Self { noise: Noise::new(seed), shared: 0.0, seconds: 0.0 }
    }

    fn row(&mut self) -> [f64; 3] {
        self.seconds += 1.0;
        self.shared = 0.8 * self.shared + self.noise.normal();
        let flow = 100.0 + 3.0 * self.shared + 0.3 * self.noise.normal();
        let current = 10.0 + 0.5 * self.shared + 0.05 * self.noise.normal();
        let warm = 20.0 + 5.0 * (self.seconds / 2_000.0).min(1.0) + 0.05 * self.noise.normal();
        [flow, current, warm]
    }
}

fn detector() -> MultiDetector {
    MultiDetector::new(&MultiSettings::default(), 3)
}

#[test]
fn a_broken_relation_is_found_though_each_signal_stays_within_its_range() {
    let (mut detector, mut machine) = (detector(), Machine::new(1));
    for row in 0..2_000 {
        let score = detector.observe(&machine.row());
        assert!(row >= 400 || score.p_value == 1.0, "commissioning is not judged");
    }
    let found = (0..40).find(|_| {
        let [flow, current, warm] = machine.row();
        // The pump draws more for the same flow, by less than the flow makes the current vary anyway.
        detector.observe(&[flow, current + 1.2, warm]).p_value <= MultiSettings::fixed_level()
    });
    assert!(found.is_some_and(|delay| delay < 30), "found after {found:?} rows");
    let parts = detector.contributions();
    // Which of the two has changed is not known; the third has no part in it.
    assert!(parts[2].signal == 2 && parts[2].share < 0.1, "{parts:?}");
    assert!(parts.iter().all(|part| (0.0..=1.0).contains(&part.share)), "{parts:?}");
    let current = parts.iter().find(|part| part.signal == 1).unwrap();
    assert!(current.observed > current.expected, "it is more than the flow explains: {current:?}");
    let whole: f64 = parts.iter().map(|part| part.share).sum();
    assert!((whole - 1.0).abs() < 1e-9, "shares add up to {whole}");
}

#[test]
fn a_load_that_moves_all_signals_does_not_hide_one_that_stays_behind() {
    for period in [20.0, 60.0, 188.0, 600.0] {
        let (mut detector, mut noise) = (detector(), Noise::new(6));
        let mut alarms = 0;
        let mut found = None;
        for row in 0..3_260 {
            let load =
                1.0 + 0.3 * (std::f64::consts::TAU * f64::from(row) / period).sin() + 0.05 * noise.normal();
            let flow = 50.0 * load + 0.5 * noise.normal() - if row >= 3_200 { 8.0 } else { 0.0 };
            let signals =
                [10.0 * load + 0.1 * noise.normal(), flow, 40.0 + 5.0 * load + 0.1 * noise.normal()];
            let abnormal = detector.observe(&signals).p_value <= MultiSettings::fixed_level() / 10.0;
            alarms += u32::from(abnormal && row < 3_200);
            if abnormal && row >= 3_200 && found.is_none() {
                found = Some(row - 3_200);
            }
        }
        assert!(found.is_some_and(|delay| delay < 10), "period {period}: found after {found:?} rows");
        assert_eq!(detector.contributions()[0].signal, 1, "period {period}: {:?}", detector.contributions());
        assert!(alarms < 10, "period {period}: {alarms} abnormal rows before");
    }
}

#[test]
fn a_signal_that_warms_up_is_no_fault() {
    let mut abnormal = 0;
    for seed in 0..20 {
        let (mut detector, mut machine) = (detector(), Machine::new(seed));
        for _ in 0..1_500 {
            let score = detector.observe(&machine.row());
            abnormal += u32::from(score.p_value <= MultiSettings::fixed_level());
        }
    }
    // 20 machines, 1,100 rows each, at 1e-3: 22 are nominal.
    assert!(abnormal < 66, "{abnormal} abnormal rows");
}

#[test]
fn false_alarms_come_as_often_as_the_probability_says() {
    for autocorrelation in [0.0, 0.7] {
        let (mut below, mut counted) = (0_u32, 0_u32);
        for seed in 0..60 {
            let mut noise = Noise::new(100 + seed);
            let mut state = [0.0_f64; 6];
            let mut detector = MultiDetector::new(&MultiSettings::default(), 6);
            for row in 0..6_000 {
                for value in &mut state {
                    *value = autocorrelation * *value + noise.normal();
                }
                let score = detector.observe(&state);
                if row >= 400 {
                    counted += 1;
                    below += u32::from(score.p_value <= 1e-3);
                }
            }
        }
        let ratio = f64::from(below) / (f64::from(counted) * 1e-3);
        assert!(
            (0.5..2.0).contains(&ratio),
            "{ratio:.2} times as many rows, autocorrelation {autocorrelation}"
        );
    }
}

#[test]
fn nothing_depends_on_what_is_yet_to_come_and_a_restart_changes_nothing() {
    let mut machine = Machine::new(9);
    let rows: Vec<[f64; 3]> = (0..1_200).map(|_| machine.row()).collect();
    let judged = |detector: &mut MultiDetector, rows: &[[f64; 3]]| -> Vec<u64> {
        rows.iter().map(|row| detector.observe(row).p_value.to_bits()).collect()
    };
    let whole = judged(&mut detector(), &rows);
    for cut in [1, 399, 400, 401, 900] {
        let mut before = detector();
        assert_eq!(judged(&mut before, &rows[..cut]), whole[..cut]);
        let bytes = postcard::to_stdvec(&before).unwrap();
        let mut after: MultiDetector = postcard::from_bytes(&bytes).unwrap();
        assert_eq!(judged(&mut after, &rows[cut..]), whole[cut..], "restarted after {cut}");
    }
}

#[test]
fn a_signal_that_never_moved_is_strange_when_it_does() {
    let mut detector = MultiDetector::new(&MultiSettings::default(), 2);
    let mut noise = Noise::new(4);
    for _ in 0..600 {
        let score = detector.observe(&[5.0, noise.normal()]);
        assert!(score.p_value > MultiSettings::fixed_level() / 10.0);
    }
    let strange = (0..5).any(|_| detector.observe(&[5.1, noise.normal()]).p_value < 1e-6);
    assert!(strange);
    assert_eq!(detector.contributions()[0].signal, 0);
}

fn reading(device: &str, signal: &str, value: f64) -> Reading {
    Reading::of(DeviceId::new(device).unwrap(), SignalId::new(signal).unwrap(), value)
}

fn conditions(judge: &mut MultiJudge, second: i64, readings: &[Reading]) -> Vec<Condition> {
    let mut findings = Vec::new();
    for reading in readings {
        judge.observe(reading, Moment::from_wall(UtcMillis(second * 1_000)), &mut findings);
    }
    findings
        .into_iter()
        .filter_map(|finding| match finding {
            Finding::Condition(condition) => Some(condition),
            _ => None,
        })
        .collect()
}

/// Readings of one second: flow and current from one device, the temperature from another.
fn second(machine: &mut Machine, more_current: f64) -> Vec<Reading> {
    let [flow, current, warm] = machine.row();
    vec![
        reading("pump", "flow", flow),
        reading("pump", "current", current + more_current),
        reading("probe", "temperature", warm),
    ]
}

#[test]
fn readings_of_several_devices_become_rows_and_their_event_names_the_signals() {
    let (mut judge, mut machine) = (MultiJudge::new(MultiSettings::default(), None), Machine::new(2));
    let mut raised = Vec::new();
    for now in 0..1_500 {
        // Orders differ, and one signal misses a second now and then.
        let mut readings = second(&mut machine, if now > 1_000 { 1.5 } else { 0.0 });
        readings.rotate_left(now as usize % 3);
        if now % 7 == 0 {
            readings.truncate(2);
        }
        raised.extend(
            conditions(&mut judge, now, &readings)
                .into_iter()
                .filter(|condition| condition.standing == Standing::Abnormal)
                .map(|condition| (now, condition)),
        );
    }
    let (now, condition) = raised.first().expect("found");
    assert!((1_001..1_040).contains(now), "found at {now} s");
    assert_eq!(condition.contributions[0].signal.as_str(), "pump/current");
    assert!(condition.expected.high.is_some_and(|high| condition.observed > high), "{condition:?}");
}

#[test]
fn nothing_is_said_while_a_signal_is_missing() {
    let (mut judge, mut machine) = (MultiJudge::new(MultiSettings::default(), None), Machine::new(3));
    let mut judged = Vec::new();
    for now in 0..900 {
        let mut readings = second(&mut machine, 0.0);
        if now >= 600 {
            readings.pop();
        }
        judged.push(conditions(&mut judge, now, &readings).len());
    }
    assert!(judged[500..600].iter().all(|&count| count == 1));
    assert_eq!(judged[605..].iter().sum::<usize>(), 0, "a stale value is not judged");
}

#[test]
fn a_judge_goes_on_after_a_restart_and_starts_anew_after_maintenance() {
    let (mut judge, mut machine) = (MultiJudge::new(MultiSettings::default(), None), Machine::new(5));
    for now in 0..700 {
        conditions(&mut judge, now, &second(&mut machine, 0.0));
    }
    let mut restored = MultiJudge::new(MultiSettings::default(), None);
    restored.restore(&judge.save()).unwrap();
    for now in 700..800 {
        let readings = second(&mut machine, 0.0);
        assert_eq!(conditions(&mut restored, now, &readings), conditions(&mut judge, now, &readings));
    }
    assert!(judge.apply(Remark::Maintenance, None) && !judge.apply(Remark::Real, None));
    let judged: usize =
        (800..1_100).map(|now| conditions(&mut judge, now, &second(&mut machine, 4.0)).len()).sum();
    assert_eq!(judged, 0, "commissioning again");
}

#[test]
fn a_fault_that_is_over_is_cleared_while_the_machine_comes_back_and_reported_anew_where_it_does_not() {
    let mut judge = MultiJudge::new(MultiSettings::default(), None);
    let mut machine = Machine { seconds: 1e6, ..Machine::new(7) };
    // The pump draws too much for five minutes, then less too much for as long as follows.
    let off = |now: i64| match now {
        ..700 => 0.0,
        700..1_000 => 6.0,
        _ => 2.0,
    };
    let mut standings = Vec::new();
    for now in 0..1_700 {
        let readings = second(&mut machine, off(now));
        let found = conditions(&mut judge, now, &readings);
        standings.extend(found.iter().map(|one| (now, one.standing.is_abnormal())));
        // A restart in the middle of the way back changes nothing.
        if now == 1_100 {
            let mut restored = MultiJudge::new(MultiSettings::default(), None);
            restored.restore(&judge.save()).unwrap();
            judge = restored;
        }
    }
    let abnormal = |from: i64, to: i64| {
        let within = standings.iter().filter(|(now, _)| (from..to).contains(now));
        within.filter(|(_, is_abnormal)| *is_abnormal).count()
    };
    assert!(abnormal(720, 1_000) == 280, "{} of 280 s", abnormal(720, 1_000));
    assert_eq!(abnormal(1_040, 1_270), 0, "it is on its way back");
    assert!(abnormal(1_330, 1_700) > 300, "it did not come back: {} of 370 s", abnormal(1_330, 1_700));
}

#[test]
fn an_excursion_of_a_machine_that_was_no_fault_is_usual_a_larger_one_and_one_of_another_signal_are_not() {
    let mut judge = MultiJudge::new(MultiSettings::default(), None);
    // Warm since long.
    let (mut machine, mut now) = (Machine { seconds: 1e6, ..Machine::new(9) }, 0);
    // An excursion of current and temperature, 40 s long, and when its alarm was raised.
    let mut excursion = |judge: &mut MultiJudge, current: f64, warm: f64| {
        let mut raised = None;
        for step in 0..400 {
            let is_off = (300..340).contains(&step);
            let mut readings = second(&mut machine, if is_off { current } else { 0.0 });
            readings[2].value += if is_off { warm } else { 0.0 };
            let strange = conditions(judge, now, &readings).iter().any(|one| one.standing.is_abnormal());
            if strange && (300..360).contains(&step) {
                raised.get_or_insert(UtcMillis(now * 1_000));
            }
            now += 1;
        }
        raised
    };
    for _ in 0..3 {
        excursion(&mut judge, 0.0, 0.0);
    }
    let first = excursion(&mut judge, 3.0, 0.0);
    assert!(first.is_some() && excursion(&mut judge, 3.0, 0.0).is_some(), "abnormal rows teach nothing");
    assert!(judge.apply(Remark::False, first));
    let mut labelled = MultiJudge::new(MultiSettings::default(), None);
    labelled.restore(&judge.save()).unwrap();
    assert_eq!(excursion(&mut labelled, 3.0, 0.0), None, "of a kind that is no fault");
    assert!(excursion(&mut labelled, 9.0, 0.0).is_some(), "three times as far");
    assert!(excursion(&mut labelled, 0.0, 3.0).is_some(), "another signal");
    assert!(labelled.apply(Remark::Real, first), "the last label counts");
    assert!(excursion(&mut labelled, 3.0, 0.0).is_some());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(16))]

    #[test]
    fn no_finite_input_breaks_it(
        rows in prop::collection::vec(prop::array::uniform3(any::<f64>().prop_filter("finite", |x| x.is_finite())), 260..400),
    ) {
        let settings = MultiSettings::new(200, crate::alarm::AlarmSettings::default()).unwrap();
        let mut detector = MultiDetector::new(&settings, 3);
        for row in &rows {
            let score = detector.observe(row);
            prop_assert!(score.p_value > 0.0 && score.p_value <= 1.0, "{score:?}");
            prop_assert!(score.distance.is_finite(), "{score:?}");
        }
        for part in detector.contributions() {
            prop_assert!(part.share.is_finite() && part.observed.is_finite() && part.margin.is_finite(), "{part:?}");
        }
    }
}
