//! What was learnt under other settings.

use super::*;
use crate::judging::keys::settings_key;
use crate::judging::{Fingerprint, NotTaken};

fn learning(scale: &str, by: &str) -> JudgeSpec<AboveTen> {
    let mut fingerprint = Fingerprint::default();
    fingerprint.note("by", by);
    fingerprint.note_source("plant", Some("temp"), "scale", scale);
    JudgeSpec { fingerprint, ..spec("hot", Scope::Signal, &[]) }
}

/// What a store holds after this trial.
fn stored(trial: &mut Trial<AboveTen>) -> Vec<Checkpoint> {
    trial.save();
    let mut stored: HashMap<String, Checkpoint> = HashMap::new();
    for checkpoint in &trial.out.checkpoints {
        stored.insert(checkpoint.key.clone(), checkpoint.clone());
    }
    stored.into_values().filter(|one| one.state.is_some()).collect()
}

fn learnt(scale: &str, by: &str) -> Vec<Checkpoint> {
    let mut trial = Trial::new(vec![learning(scale, by)]);
    for second in 0..10 {
        trial.send(second, "a temp 1;a tension 1");
    }
    stored(&mut trial)
}

/// What is taken up of it, and why the rest is not.
fn taken(saved: &[Checkpoint], spec: JudgeSpec<AboveTen>) -> (Trial<AboveTen>, Vec<String>, Vec<String>) {
    let mut after = Trial::new(vec![spec]);
    let report = after.set.restore(saved, at(10), &mut after.out);
    let seen = after.set.instances.iter().filter(|(_, instance)| instance.judge.seen > 0);
    let signals = seen.map(|(_, instance)| instance.subject.signal.clone().unwrap().to_string()).collect();
    let why = report.left.iter().map(|left| left.why.to_string()).collect();
    (after, signals, why)
}

#[test]
fn what_was_learnt_under_other_settings_is_not_taken_up_and_the_rest_is() {
    let saved = learnt("1", "none");
    let (_, mut same, why) = taken(&saved, learning("1", "none"));
    same.sort();
    assert_eq!((same, why), (vec!["temp".to_owned(), "tension".to_owned()], Vec::new()));

    let (scaled, kept, why) = taken(&saved, learning("0.1", "none"));
    assert_eq!(kept, ["tension"]);
    assert_eq!(why, ["learnt under other settings: source.plant.scale was 1, is 0.1"]);
    // The state goes in the same commit in which the store learns of the new settings, and stays away.
    assert!(scaled.out.checkpoints.iter().any(|one| is_learnt(&one.key) && one.state.is_none()));
    let mut later = saved.clone();
    for checkpoint in &scaled.out.checkpoints {
        later.retain(|one| one.key != checkpoint.key);
        later.extend(checkpoint.state.is_some().then(|| checkpoint.clone()));
    }
    let (_, kept, why) = taken(&later, learning("0.1", "none"));
    assert_eq!((kept, why), (vec!["tension".to_owned()], Vec::new()));

    let (_, kept, why) = taken(&saved, learning("1", "plant:run"));
    assert_eq!((kept.len(), why.len()), (0, 2), "{why:?}");
}

#[test]
fn states_without_a_note_of_their_settings_are_taken_up_and_get_one() {
    let mut saved = learnt("1", "none");
    saved.retain(|one| is_learnt(&one.key));
    let (after, kept, why) = taken(&saved, learning("0.1", "plant:run"));
    assert_eq!((kept.len(), why.len()), (2, 0), "{why:?}");
    let key = settings_key(&JudgeId::new("hot").unwrap());
    let noted = after.out.checkpoints.iter().find(|one| one.key == key).unwrap();
    assert_eq!(
        Fingerprint::read(noted.state.as_ref().unwrap()).unwrap(),
        learning("0.1", "plant:run").fingerprint
    );
    // A damaged one is none.
    saved.push(Checkpoint { key, state: Some(b"{".to_vec()) });
    assert_eq!(taken(&saved, learning("0.1", "none")).1.len(), 2);
}

#[test]
fn what_no_judge_has_use_for_is_named() {
    let saved = learnt("1", "none");
    let mut other = learning("1", "none");
    other.inputs.devices = vec![WildMatch::new("b*")];
    let (_, kept, why) = taken(&saved, other);
    assert_eq!((kept.len(), why), (0, vec!["its judge does not look at it".to_owned(); 2]));
    let mut after = Trial::new(vec![spec("other", Scope::Signal, &[])]);
    let report = after.set.restore(&saved, at(10), &mut after.out);
    assert!(report.left.iter().all(|left| matches!(left.why, NotTaken::UnknownJudge)));
    assert_eq!(after.out.checkpoints.len(), saved.len(), "the note of the settings goes as well");
}

#[test]
fn judges_that_are_exchanged_carry_over_what_means_the_same() {
    let check = |by: &str, expected: Option<&str>| {
        let mut trial = Trial::new(vec![learning("1", "none")]);
        trial.send(1, "a temp 1");
        trial.set.swap(vec![(JudgeIndex(0), PlannedJudge::Made(learning("1", by)))], at(2), &mut trial.out);
        let report = loop {
            if let Some(report) = trial.set.renew(100, at(2), &mut trial.out) {
                break report;
            }
        };
        assert_eq!(report.anew.first().map(|anew| anew.why.as_str()), expected);
        let saved = stored(&mut trial);
        let noted = saved.iter().find(|one| one.key == settings_key(&JudgeId::new("hot").unwrap())).unwrap();
        assert_eq!(Fingerprint::read(noted.state.as_ref().unwrap()), Some(learning("1", by).fingerprint));
    };
    check("none", None);
    check("windows of 64", Some("by was none, is windows of 64"));
}
