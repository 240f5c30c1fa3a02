//! A judge that panics loses the reading and its own state.

use verge_domain::id::OperatorText;

use super::*;

/// Above ten is abnormal. Some values are traps: 666 at once, others at the next call of their kind.
#[derive(Default)]
struct Fragile {
    seen: u8,
    trap: f64,
}

const OBSERVE: f64 = 666.0;
const TICK: f64 = -1.0;
const SAVE: f64 = -2.0;
const APPLY: f64 = -3.0;
const RATE: f64 = -4.0;

impl Fragile {
    fn spring(&self, trap: f64) {
        assert!(self.trap != trap, "a trap of the test");
    }
}

impl Judge for Fragile {
    fn observe(&mut self, observed: Observable<'_>, _received: Moment, findings: &mut Vec<Finding>) {
        let Observable::Reading(reading) = observed else { return };
        self.seen += 1;
        self.trap = reading.value;
        self.spring(OBSERVE);
        let standing = if reading.value > 10.0 { Standing::Abnormal } else { Standing::Normal };
        findings.push(condition(Member::High, standing, reading.value));
    }

    fn tick(&mut self, _now: Moment, _findings: &mut Vec<Finding>) {
        self.spring(TICK);
    }

    fn save(&self) -> Option<Vec<u8>> {
        self.spring(SAVE);
        Some(vec![self.seen])
    }

    fn restore(&mut self, state: &[u8], _now: Moment) -> Result<(), RestoreError> {
        assert!(state != [13], "a trap of the test");
        self.seen = state[0];
        Ok(())
    }

    fn apply(&mut self, _remark: Remark, _event: Option<UtcMillis>) -> bool {
        self.spring(APPLY);
        true
    }

    fn alarm_rate(&self) -> Option<AlarmRate> {
        self.spring(RATE);
        Some(AlarmRate {
            alarms: 0,
            seconds: 1.0,
            expected_per_second: 0.0,
            supported_in: None,
            rarest: None,
            shared: None,
        })
    }
}

fn fragile(name: &str) -> JudgeSpec<Fragile> {
    spec_of(name, Scope::Signal, &[], |_| Fragile::default())
}

fn reasons(trial: &Trial<Fragile>) -> Vec<(Reason, u64)> {
    trial.counters.sources()[0].rejections().collect()
}

fn seen(trial: &Trial<Fragile>) -> Vec<(&str, u8)> {
    let all = trial.set.instances.iter();
    all.map(|(_, one)| (one.subject.device.as_str(), one.judge.seen)).collect()
}

#[test]
fn a_panic_costs_the_reading_and_the_instance_and_its_events_go_on() {
    let mut trial = Trial::with(vec![fragile("f")]);
    trial.send(1, "a temp 11");
    trial.send(1, "b temp 11");
    trial.save();
    trial.out.checkpoints.clear();
    assert!(trial.send(2, "a temp 666").is_empty());
    assert_eq!(reasons(&trial), [(Reason::Defect, 1)]);
    assert_eq!(trial.counters.defects_total.get(), 1);
    assert_eq!(seen(&trial), [("a", 0), ("b", 1)], "only the instance that failed starts anew");
    let removed: Vec<_> = trial.out.checkpoints.iter().map(|one| (one.state.is_none(), &one.key)).collect();
    assert!(removed.len() == 1 && removed[0].0 && removed[0].1.starts_with("state"), "{removed:?}");
    assert_eq!(trial.send(3, "a temp 1"), ["f a temp anomaly cleared 1"]);
    assert_eq!(trial.send(3, "b temp 1"), ["f b temp anomaly cleared 2"]);
}

#[test]
fn the_other_judges_of_a_reading_judge_it() {
    let other = fragile("g");
    let mut trial = Trial::with(vec![fragile("f"), other]);
    trial.send(1, "a temp 1");
    let first = trial.set.by_key.values().copied().min().unwrap();
    // Only the first of the two falls into this trap.
    trial.set.specs.0[1].as_mut().unwrap().make = Box::new(|_| Fragile::default());
    trial.set.instances[first].judge.trap = TICK;
    trial.tick(2);
    assert_eq!(trial.counters.defects_total.get(), 1);
    assert_eq!(trial.send(3, "a temp 12").len(), 2, "both judge on");
    let mut seen: Vec<u8> = trial.set.instances.iter().map(|(_, one)| one.judge.seen).collect();
    seen.sort_unstable();
    assert_eq!(seen, [1, 2]);
}

#[test]
fn time_saving_remarks_and_rates_are_contained_as_well() {
    for trap in [TICK, SAVE, APPLY, RATE] {
        let mut trial = Trial::with(vec![fragile("f")]);
        trial.send(1, &format!("a temp {trap}"));
        trial.send(1, "b temp 1");
        trial.tick(2);
        trial.save();
        let by = OperatorText::new("anna").unwrap();
        let order =
            Order::Label { selector: selector("a", None, None), remark: Remark::Real, event: None, by };
        let matched = trial.set.carry_out(&order, false, at(3), &mut trial.out);
        let changed = usize::from(trap != APPLY);
        assert!(
            matches!(matched, Ok(Outcome::Applied { matched: 1, changed: c, signals: 1, replaced: 0, .. }) if c == changed),
            "{matched:?}"
        );
        assert_eq!(trial.set.alarm_rates(at(4))[0].instances, if trap == RATE { 1 } else { 2 });
        assert_eq!(trial.counters.defects_total.get(), u64::from(trap != RATE), "trap {trap}");
        assert!(reasons(&trial).is_empty());
        assert_eq!(trial.send(5, "a temp 11").len(), 1, "it goes on after trap {trap}");
    }
}

#[test]
fn a_state_that_panics_when_it_is_taken_up_is_removed() {
    let mut before = Trial::with(vec![fragile("f")]);
    before.send(1, "a temp 1");
    before.save();
    let mut saved = before.out.checkpoints.clone();
    for state in [vec![13], Vec::new()] {
        saved[0].state = Some(state);
        let mut after = Trial::with(vec![fragile("f")]);
        after.set.restore(&saved, at(2), &mut after.out);
        assert_eq!(after.counters.defects_total.get(), 1);
        assert!(after.out.checkpoints.iter().all(|one| one.key == saved[0].key && one.state.is_none()));
        assert!(!after.out.checkpoints.is_empty());
        assert_eq!(after.send(3, "a temp 11").len(), 1);
    }
}

#[test]
fn a_judge_that_cannot_be_made_and_a_codec_that_panics_cost_the_reading_alone() {
    let mut broken = fragile("f");
    broken.make = Box::new(|_| panic!("a trap of the test"));
    let mut trial = Trial::with(vec![fragile("g"), broken]);
    trial.send(1, "a temp 11");
    trial.send(1, "codec panics now");
    assert_eq!(reasons(&trial), [(Reason::Defect, 2)]);
    assert_eq!(trial.set.instances.len(), 0, "nothing is left of what was half made");
    assert_eq!(trial.set.by_key.len(), 0);
}
