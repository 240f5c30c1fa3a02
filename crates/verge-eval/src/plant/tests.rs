use std::collections::BTreeMap;

use super::faults::PlantFaultKind;
use super::*;

/// All readings of a run, by tag.
fn readings(seed: u64, run: PlantRun) -> (Plant, Vec<Vec<f64>>) {
    let mut plant = Plant::new(seed, run);
    let mut values = vec![Vec::new(); TAGS.len()];
    let mut step = Vec::new();
    while plant.read(&mut step).is_some() {
        step.iter().for_each(|reading| values[reading.tag].push(reading.value));
    }
    (plant, values)
}

#[test]
fn a_seed_gives_one_plant_and_another_seed_another() {
    let (_, first) = readings(1, PlantRun::Minutes);
    assert_eq!(first, readings(1, PlantRun::Minutes).1);
    assert_ne!(first, readings(2, PlantRun::Minutes).1);
}

#[test]
fn tags_behave_as_those_of_a_plant_do() {
    let (_, values) = readings(3, PlantRun::Minutes);
    let of = |device: &str, signal: &str| {
        let place = TAGS.iter().position(|tag| (tag.device, tag.signal) == (device, signal));
        &values[place.unwrap()][..8 * 1440]
    };
    // Pumps stop at night, at the weekend and by level; their currents are nothing then.
    let at_rest =
        |values: &[f64]| values.iter().filter(|value| **value == 0.0).count() as f64 / values.len() as f64;
    assert!((0.3..0.7).contains(&at_rest(of("pump-3", "current"))), "{}", at_rest(of("pump-3", "current")));
    assert!((0.2..0.9).contains(&at_rest(of("pump-2", "current"))), "{}", at_rest(of("pump-2", "current")));
    assert!(of("pump-3", "run").iter().all(|run| [0.0, 1.0].contains(run)));
    // A counter only grows, tanks fill and empty, the day warms.
    assert!(of("line", "count").is_sorted());
    for (device, signal, least, most) in [
        ("tank-1", "level", 1.0, 3.5),
        ("tank-2", "level", 0.0, 3.0),
        ("weather", "temperature", -10.0, 26.0),
        ("compressor", "pressure", 5.5, 7.5),
        ("furnace", "temperature_zone_1", 800.0, 880.0),
    ] {
        let values = of(device, signal);
        assert!(values.iter().all(|value| (least..=most).contains(value)), "{device} {signal}: {values:?}");
    }
    let level = of("tank-1", "level");
    let (low, high) =
        level.iter().fold((f64::MAX, f64::MIN), |(low, high), one| (low.min(*one), high.max(*one)));
    assert!(low < 1.4 && high > 3.0, "{low} to {high}");
}

#[test]
fn each_plant_has_nine_faults_of_five_kinds_on_nine_tags_once_there_was_time_to_learn() {
    for (seed, run) in (0..20).flat_map(|seed| PlantRun::ALL.map(|run| (seed, run))) {
        let plant = Plant::new(seed, run);
        let mut kinds: BTreeMap<PlantFaultKind, u32> = BTreeMap::new();
        plant.faults().iter().for_each(|fault| *kinds.entry(fault.kind).or_default() += 1);
        assert_eq!(kinds.values().collect::<Vec<_>>(), [&2, &2, &2, &1, &2]);
        let mut tags: Vec<usize> = plant.faults().iter().map(|fault| fault.tag).collect();
        tags.sort_unstable();
        tags.dedup();
        assert_eq!(tags.len(), 9);
        let end_s = plant.begin_s() + run.days() * DAY_S;
        for pair in plant.faults().windows(2) {
            assert!(pair[0].from_s < pair[0].to_s && pair[0].from_s < pair[1].from_s, "{pair:?}");
            assert!(pair[0].from_s >= plant.begin_s() + run.days() * DAY_S / 3, "{pair:?}");
            assert!(pair.iter().all(|fault| fault.to_s < end_s), "{pair:?}");
        }
    }
}

#[test]
fn faults_are_in_the_readings() {
    let (plant, values) = readings(5, PlantRun::Minutes);
    for fault in plant.faults() {
        let expected = (fault.to_s - fault.from_s) / 60;
        let missing = 21 * 1440 - values[fault.tag].len() as i64;
        let repeats = values[fault.tag].chunk_by(|a, b| a == b).map(<[f64]>::len).max().unwrap_or(0) as i64;
        match fault.kind {
            PlantFaultKind::Silent => {
                assert!((expected..expected + 60).contains(&missing), "{fault:?} {missing}")
            }
            PlantFaultKind::Stuck => assert!(repeats >= expected - 5, "{fault:?} {repeats}"),
            PlantFaultKind::Drift | PlantFaultKind::Step | PlantFaultKind::Spike => {
                assert!(fault.off.abs() > 0.8 * TAGS[fault.tag].swing, "{fault:?}");
            }
        }
    }
}
