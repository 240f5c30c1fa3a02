use std::collections::BTreeSet;

use serde_json::Value;

use super::*;

/// One plant by the judges that it is measured with: a day at a reading a second is the longest that a test lasts.
#[test]
fn alarms_of_the_real_judges_are_held_against_the_faults() {
    let args = PlantArgs {
        run: Some(PlantRun::Minutes),
        variety: PlantVariety::Usual,
        seeds: 1,
        first_seed: 1,
        list: true,
        config: None,
        write: None,
    };
    let mut out = Vec::new();
    plant(&args, true, &mut out).unwrap();
    let value: Value = serde_json::from_slice(&out).unwrap();
    let run = &value["runs"][0];
    let judged = &run["plants"][0];
    assert_eq!(
        (&run["run"], &run["faults"], &judged["seed"]),
        (&"minutes".into(), &9.into(), &1.into()),
        "{run}"
    );
    // Silence and sensors that stand still are found by rules that are sure.
    let judges: BTreeSet<&str> =
        run["by_member"].as_array().unwrap().iter().filter_map(|one| one["judge"].as_str()).collect();
    assert!(judges.contains("unusual") && judges.contains("silent"), "{run}");
    assert!(judged["found"].as_u64().unwrap() >= 6, "{judged}");
    assert_eq!(judged["faults"].as_array().unwrap().len(), 9);
}

#[test]
fn a_plant_is_written_so_that_other_commands_can_read_it() {
    let folder = tempfile::tempdir().unwrap();
    let args = PlantArgs {
        run: Some(PlantRun::Minutes),
        variety: PlantVariety::Usual,
        seeds: 1,
        first_seed: 4,
        list: false,
        config: None,
        write: Some(folder.path().to_owned()),
    };
    plant(&args, false, &mut Vec::new()).unwrap();
    let folder = folder.path().join("minutes");
    let loaded = Settings::load(&folder.join("verge.toml"), []).unwrap();
    assert_eq!(loaded.judges.len(), 3);
    let lines_of = |name: &str| std::fs::read_to_string(folder.join(name)).unwrap().lines().count();
    assert_eq!((lines_of("faults.csv"), lines_of("tank-1.csv") > 30_000), (10, true));
    // A message for each of fifteen devices a minute, but for a few that are lost or silent.
    assert!((450_000..=453_600).contains(&lines_of("plant.jsonl")), "{}", lines_of("plant.jsonl"));
}
