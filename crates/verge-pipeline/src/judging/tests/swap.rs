//! Other judges in the place of those at work.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU8, Ordering};

use super::*;

/// A judge over these signals.
fn judge(name: &str, scope: Scope, signals: &str) -> JudgeSpec<AboveTen> {
    let pattern = InputPattern { source: SourceIndex(0), signals: Some(WildMatch::new(signals)) };
    JudgeSpec { inputs: Inputs::readings(vec![pattern]), ..spec(name, scope, &[]) }
}

pub(super) fn kept(spec: JudgeSpec<AboveTen>) -> PlannedJudge<AboveTen> {
    let JudgeSpec { name, inputs, policy, expect, machine, states, model, tags, fingerprint, .. } = spec;
    PlannedJudge::Kept(KeptJudge {
        name,
        inputs,
        policy,
        expect,
        machine,
        states,
        model,
        smaller: None,
        candidate: None,
        tags,
        fingerprint,
    })
}

impl Trial<AboveTen> {
    /// The judges with their indices: each keeps its own, others come in free places.
    fn placed(&self, planned: Vec<PlannedJudge<AboveTen>>) -> Vec<(JudgeIndex, PlannedJudge<AboveTen>)> {
        let place_of = |name: &JudgeId| {
            self.set.specs.iter().find(|(_, spec)| spec.name == *name).map(|(index, _)| index.0)
        };
        let mut taken: Vec<u16> = planned.iter().filter_map(|one| place_of(one.name())).collect();
        let place = |one: PlannedJudge<AboveTen>| {
            let place = place_of(one.name()).unwrap_or_else(|| {
                let free = (0..).find(|place| !taken.contains(place)).unwrap();
                taken.push(free);
                free
            });
            (JudgeIndex(place), one)
        };
        planned.into_iter().map(place).collect()
    }

    pub(super) fn swap(
        &mut self,
        second: u64,
        planned: Vec<PlannedJudge<AboveTen>>,
    ) -> (Vec<String>, SwapReport) {
        let before = self.out.verdicts.len();
        self.set.swap(self.placed(planned), at(second), &mut self.out);
        let report = loop {
            if let Some(report) = self.set.renew(1, at(second), &mut self.out) {
                break report;
            }
        };
        (self.reported(before), report)
    }

    fn seen(&self, judge: &str) -> Vec<u8> {
        let specs = &self.set.specs;
        let of_judge = |one: &&Instance<AboveTen>| specs[one.judge_index].name.as_str() == judge;
        self.set.instances.iter().map(|(_, one)| one).filter(of_judge).map(|one| one.judge.seen).collect()
    }
}

#[test]
fn a_kept_judge_goes_on_and_a_removed_one_clears_what_is_open() {
    let mut trial = Trial::new(vec![judge("hot", Scope::Signal, "te*"), judge("warm", Scope::Signal, "te*")]);
    assert_eq!(trial.send(1, "a temp 11").len(), 2);
    let mut hot = judge("hot", Scope::Signal, "te*");
    (hot.policy.severity, hot.policy.update_every) = (Severity::Info, Some(Duration::ZERO));
    let version = |version: &str| {
        let name = |word: &str| verge_domain::id::ModelName::new(word).unwrap();
        Some(verge_domain::verdict::Model { name: name("flat"), version: name(version) })
    };
    hot.model = version("2");
    let (seen, report) = trial.swap(2, vec![kept(hot), PlannedJudge::Made(judge("new", Scope::Signal, "*"))]);
    assert_eq!(seen, ["warm a temp anomaly cleared 2"]);
    assert_eq!((report.kept, report.carried, report.ended), (1, 0, 1));
    let gone: Vec<&str> =
        trial.out.checkpoints.iter().filter(|one| one.state.is_none()).map(|one| one.key.as_str()).collect();
    let saved = trial.out.checkpoints.iter().rev().find(|one| one.key.starts_with("events\u{1f}hot"));
    let saved = String::from_utf8(saved.and_then(|one| one.state.clone()).unwrap()).unwrap();
    assert!(saved.contains(r#""severity":"info""#), "as a start would show it: {saved}");
    assert_eq!(gone, ["events\u{1f}warm\u{1f}plant\u{1f}a\u{1f}temp"], "nothing was saved of its state yet");
    // The open event goes on under its identity, with the new policy; the new judge looks from here on.
    assert_eq!(trial.send(3, "a temp 12"), ["hot a temp anomaly updated 1", "new a temp anomaly raised 3"]);
    let [updated, _] = trial.out.verdicts.last_chunk::<2>().unwrap();
    assert_eq!((updated.severity, &updated.model), (Severity::Info, &version("2")));
    assert_eq!((trial.seen("hot"), trial.seen("new")), (vec![2], vec![1]));
    assert_eq!(trial.send(4, "a temp 1").len(), 2);
    assert_eq!(trial.counters.sources()[0].rejections().count(), 0, "no reading is refused");
    assert_eq!(trial.set.account().instances, 2);
}

#[test]
fn a_judge_that_is_set_anew_carries_over_what_it_has_learnt_before_it_observes() {
    let mut trial = Trial::new(vec![judge("hot", Scope::Signal, "te*")]);
    for device in ["a", "b", "c"] {
        trial.send(1, &format!("{device} temp 11"));
    }
    trial.save();
    let mut heavy = judge("hot", Scope::Signal, "te*");
    heavy.make = Box::new(move |now| AboveTen { seen: 0, received: now, rate: None, weight: 9 });
    trial.set.swap(trial.placed(vec![PlannedJudge::Made(heavy)]), at(2), &mut trial.out);
    assert!(trial.set.renew(0, at(2), &mut trial.out).is_none(), "three are left");
    assert!(trial.send(3, "b temp 12").is_empty(), "its event is still open");
    assert_eq!(trial.seen("hot"), [1, 2, 1]);
    let report = trial.set.renew(9, at(4), &mut trial.out).unwrap();
    assert_eq!((report.kept, report.carried, report.ended, report.anew), (0, 3, 0, vec![]));
    assert_eq!(trial.seen("hot"), [1, 2, 1]);
    assert!(trial.set.instances.iter().all(|(_, one)| one.judge.weight == 9));
    // Now with a detector that refuses what another has learnt.
    let mut hot = judge("hot", Scope::Signal, "te*");
    hot.make = Box::new(|now| AboveTen { seen: REFUSES, received: now, rate: None, weight: 0 });
    let (seen, report) = trial.swap(5, vec![PlannedJudge::Made(hot)]);
    assert!(seen.is_empty(), "open events stay open: {seen:?}");
    let [anew] = &report.anew[..] else { panic!("{report:?}") };
    assert_eq!((anew.judge.as_str(), anew.instances), ("hot", 3));
    assert_eq!(anew.why, RestoreError::Foreign.to_string());
    assert_eq!(trial.send(6, "a temp 1"), ["hot a temp anomaly cleared 1"]);
    // And with one that is not to take it up: its model is another.
    let other = PlannedJudge::Anew(judge("hot", Scope::Signal, "te*"), "its model is another");
    let (_, report) = trial.swap(7, vec![other]);
    let [anew] = &report.anew[..] else { panic!("{report:?}") };
    assert_eq!((anew.instances, anew.why.as_str()), (3, "its model is another"));
    assert_eq!(trial.seen("hot"), [0, 0, 0]);
}

#[test]
fn what_is_not_looked_at_any_more_ends_and_another_detector_starts_anew() {
    let mut trial = Trial::new(vec![judge("hot", Scope::Signal, "te*"), judge("any", Scope::Device, "te*")]);
    trial.send(1, "a temp 11");
    trial.send(1, "a tension 11");
    let mut other = judge("any", Scope::Device, "te*");
    other.detector = Detector::Rate;
    let (seen, report) =
        trial.swap(2, vec![kept(judge("hot", Scope::Signal, "temp")), PlannedJudge::Made(other)]);
    assert_eq!(seen.len(), 2, "{seen:?}");
    assert!(
        seen[0].starts_with("any a - anomaly cleared")
            && seen[1].starts_with("hot a tension anomaly cleared")
    );
    assert_eq!((report.kept, report.ended), (1, 2));
    assert_eq!(trial.send(3, "a tension 11"), ["any a - anomaly raised 4"]);
    // Devices of a source that it does not look at any more.
    let mut hot = judge("hot", Scope::Signal, "temp");
    hot.inputs.devices = vec![WildMatch::new("b*")];
    let (seen, _) = trial.swap(4, vec![kept(hot)]);
    assert_eq!(seen.len(), 2, "{seen:?}");
    assert_eq!(trial.set.account().instances, 0);
    assert!(trial.send(5, "a temp 11").is_empty());
    assert_eq!(trial.send(5, "b temp 11"), ["hot b temp anomaly raised 5"]);
}

#[test]
fn expected_devices_follow_the_list() {
    let mut trial = Trial::new(vec![spec("quiet", Scope::Device, &["a", "b"])]);
    assert_eq!(trial.tick(61).len(), 2);
    let (seen, report) = trial.swap(62, vec![kept(spec("quiet", Scope::Device, &["b", "c"]))]);
    assert_eq!(seen, ["quiet a - health cleared 1"]);
    assert_eq!((report.kept, report.ended), (1, 1));
    assert_eq!(trial.tick(123), ["quiet c - health raised 3"]);
}

#[test]
fn a_window_of_maintenance_goes_on() {
    let mut trial = Trial::new(vec![judge("hot", Scope::Signal, "te*")]);
    trial.send(0, "a temp 1");
    let order = Order::Maintenance { selector: selector("a", None, None), length: Duration::from_secs(60) };
    trial.set.carry_out(&order, false, at(1), &mut trial.out).unwrap();
    let new = PlannedJudge::Made(judge("new", Scope::Signal, "te*"));
    trial.swap(2, vec![kept(judge("hot", Scope::Signal, "te*")), new]);
    assert!(trial.send(3, "a temp 11").is_empty());
    trial.tick(61);
    assert_eq!(trial.send(62, "a temp 11").len(), 2);
}

#[test]
fn where_room_is_scarce_no_known_signal_is_refused() {
    let mut trial = Trial::within(&JudgesMemory::new(64 << 10), vec![judge("hot", Scope::Signal, "te*")]);
    let mut devices = 0;
    while trial.set.room.bytes() < 60 << 10 {
        trial.send(devices, &format!("d{devices} temp 1"));
        devices += 1;
    }
    let mut all = vec![kept(judge("hot", Scope::Signal, "te*"))];
    all.extend(["x", "y", "z"].map(|name| PlannedJudge::Made(judge(name, Scope::Signal, "te*"))));
    trial.swap(devices, all);
    for device in 0..devices {
        trial.send(devices + 1 + device, &format!("d{device} temp 1"));
        assert!(trial.set.room.bytes() <= (64 << 10) + (9 << 10), "{}", trial.set.room.bytes());
    }
    assert!(trial.counters.evicted_devices_total.get() > 0, "judges beyond the room evict devices");
    let refused: Vec<_> = trial.counters.sources()[0].rejections().collect();
    assert!(refused.iter().all(|(reason, _)| *reason != Reason::TooManyNewNames), "{refused:?}");
}

#[test]
fn a_swap_ends_in_the_state_that_a_restart_would_have() {
    let mut next = 7_u64;
    let mut random = move |below: u64| {
        next = next.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (next >> 33) % below
    };
    let mut compared = 0;
    for _ in 0..300 {
        let mut random_judges = || -> Vec<(usize, &'static str, bool)> {
            let patterns = ["te*", "temp", "*", "tension"];
            let chosen: Vec<usize> = (0..4).filter(|_| random(4) > 0).collect();
            let judge = |name| (name, patterns[random(4) as usize], random(2) > 0);
            chosen.into_iter().map(judge).collect()
        };
        let (first, second) = (random_judges(), random_judges());
        let specs = |judges: &[(usize, &str, bool)]| -> Vec<JudgeSpec<AboveTen>> {
            judges
                .iter()
                .map(|&(name, signals, _)| judge(["p", "q", "r", "s"][name], Scope::Signal, signals))
                .collect()
        };
        let mut readings = || -> Vec<String> {
            (0..30)
                .map(|_| {
                    let signal = ["temp", "tension", "other"][random(3) as usize];
                    format!("d{} {signal} {}", random(4), random(22))
                })
                .collect()
        };
        let (before, after) = (readings(), readings());
        let run = |swapped: bool| {
            let mut trial = Trial::new(specs(&first));
            before.iter().for_each(|payload| drop(trial.send(1, payload)));
            trial.save();
            let shelf = shelved(BTreeMap::new(), &trial.out);
            let ids = Arc::new(AtomicU8::new(100));
            let mut trial = if swapped {
                trial.out = Decision::default();
                let is_known = |name| first.iter().any(|(known, ..)| *known == name);
                let planned = specs(&second).into_iter().zip(&second).map(|(spec, (name, _, remade))| {
                    if is_known(*name) && !remade { kept(spec) } else { PlannedJudge::Made(spec) }
                });
                trial.swap(2, planned.collect());
                trial
            } else {
                let saved: Vec<Checkpoint> = shelf
                    .iter()
                    .map(|(key, state)| Checkpoint { key: key.clone(), state: Some(state.clone()) })
                    .collect();
                let mut again = Trial::new(specs(&second));
                again.set.restore(&saved, at(2), &mut again.out);
                again
            };
            trial.set.naming = EventNaming::new(move || EventId([ids.fetch_add(1, Ordering::Relaxed); 16]));
            let mut seen = trial.reported(0);
            seen.sort();
            let later = after.iter().flat_map(|payload| {
                let mut seen = trial.send(3, payload);
                // A new judge stands behind those that were there.
                seen.sort_by_key(|line| line.rsplit_once(' ').map(|(head, _)| head.to_owned()));
                seen
            });
            let later: Vec<String> =
                later.map(|line| if line.contains("raised") { raised(&line) } else { line }).collect();
            seen.extend(later);
            trial.save();
            let shelf: BTreeMap<String, Vec<u8>> =
                shelved(shelf, &trial.out).into_iter().filter(|(key, _)| key.starts_with("state")).collect();
            (seen.into_iter().map(|line| without_new_ids(&line)).collect::<Vec<_>>(), shelf)
        };
        let (swapped, restarted) = (run(true), run(false));
        assert_eq!(swapped, restarted, "{first:?} to {second:?}");
        compared += swapped.0.len();
    }
    assert!(compared > 1000, "{compared}");
}

fn raised(line: &str) -> String {
    line.rsplit_once(' ').map_or(String::new(), |(head, _)| head.to_owned())
}

/// Identities given after the change depend on the order of the judges.
fn without_new_ids(line: &str) -> String {
    match line.rsplit_once(' ').and_then(|(head, id)| Some((head, id.parse::<u8>().ok()?))) {
        Some((head, 100..)) => head.to_owned(),
        _ => line.to_owned(),
    }
}

pub(super) fn shelved(mut shelf: BTreeMap<String, Vec<u8>>, out: &Decision) -> BTreeMap<String, Vec<u8>> {
    for Checkpoint { key, state } in &out.checkpoints {
        match state {
            Some(state) => shelf.insert(key.clone(), state.clone()),
            None => shelf.remove(key),
        };
    }
    shelf
}
