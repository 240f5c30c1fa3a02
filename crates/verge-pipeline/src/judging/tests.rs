use std::time::Duration;

use bytes::Bytes;
use verge_domain::finding::{Condition, Expected, Member, Standing};
use verge_domain::frame::{Detections, View};
use verge_domain::id::{DeviceId, JudgeId, JudgeIndex, Lane, SignalId};
use verge_domain::observation::{Camera, Captured, Observable, Observation};
use verge_domain::policy::EventPolicy;
use verge_domain::reading::{ClockOffset, SharedBy};
use verge_domain::stage::{AlarmRate, Remark, RestoreError, Scope, is_learnt};
use verge_domain::time::{DeviceClock, UtcMillis};
use verge_domain::verdict::{Body, Detector, EventState, Severity};
use wildmatch::WildMatch;

use super::*;

mod away;
mod cameras;
mod containment;
mod groups;
mod limits;
mod maintenance;
mod numbers;
mod operator;
mod parts;
mod random_swaps;
mod room;
mod settings;
mod severity;
mod shared_names;
mod shown;
mod swap;

use maintenance::selector;

/// Payload `device signal value` becomes a reading; anything else is refused.
pub(super) struct Words;

impl Decoder for Words {
    type Item = Reading;

    fn decode(&mut self, message: &Inbound, out: &mut Decoded<Reading>) {
        out.clear();
        let text = std::str::from_utf8(&message.payload).unwrap();
        let captured_at = message.topic.strip_prefix('@').map(|at| UtcMillis(at.parse().unwrap()));
        for words in text.split(';').map(|text| text.split(' ').collect::<Vec<_>>()) {
            match words[..] {
                [device, signal, value] => out.items.push(Reading {
                    captured_at,
                    clock: if captured_at.is_some() { DeviceClock::Trusted } else { DeviceClock::Absent },
                    ..Reading::of(
                        DeviceId::new(device).unwrap(),
                        SignalId::new(signal).unwrap(),
                        value.parse().unwrap(),
                    )
                }),
                ["away", device] => out.away.push(DeviceId::new(device).unwrap()),
                _ => out.rejections.push(Rejection::whole(Reason::BadJson)),
            }
        }
    }
}

/// A judge that was made so takes up no state.
const REFUSES: u8 = 200;

/// Abnormal above ten; silent after a minute; its state is the number of readings it has seen.
pub(super) struct AboveTen {
    seen: u8,
    received: Moment,
    rate: Option<AlarmRate>,
    weight: usize,
}

impl Judge for AboveTen {
    fn observe(&mut self, observed: Observable<'_>, received: Moment, findings: &mut Vec<Finding>) {
        self.seen = self.seen.saturating_add(1);
        self.received = received;
        let value = match observed {
            Observable::Reading(reading) => reading.value,
            Observable::Arrival(captured) => captured.at.unwrap().0 as f64,
            Observable::View(View::Reconstruction(error), _) => *error,
            Observable::Look(look, _) => f64::from(look.mean),
            Observable::View(..) => return findings.push(Finding::View),
        };
        let standing = if value > 10.0 { Standing::Abnormal } else { Standing::Normal };
        findings.push(condition(Member::High, standing, value));
        findings.push(condition(Member::Silent, Standing::Normal, 0.0));
    }

    fn tick(&mut self, now: Moment, findings: &mut Vec<Finding>) {
        let quiet = now.mono.since(self.received.mono);
        if quiet > Duration::from_secs(60) {
            findings.push(condition(Member::Silent, Standing::Abnormal, quiet.as_secs_f64()));
        }
    }

    fn away(&mut self, _now: Moment, findings: &mut Vec<Finding>) {
        findings.push(condition(Member::Silent, Standing::Abnormal, 0.0));
    }

    fn resume(&mut self, now: Moment) {
        self.received = now;
    }

    fn save(&self) -> Option<Vec<u8>> {
        (self.seen > 0).then(|| vec![self.seen])
    }

    fn restore(&mut self, state: &[u8], _now: Moment) -> Result<(), RestoreError> {
        if self.seen == REFUSES {
            return Err(RestoreError::Foreign);
        }
        self.seen = *state.first().ok_or(RestoreError::Foreign)?;
        Ok(())
    }

    fn alarm_rate(&self) -> Option<AlarmRate> {
        self.rate
    }

    fn expectation(&self) -> Option<Expected> {
        Some(Expected { low: None, high: Some(10.0) })
    }

    fn heap_bytes(&self) -> usize {
        self.weight
    }
}

fn condition(member: Member, standing: Standing, observed: f64) -> Finding {
    let expected = Expected { low: None, high: Some(10.0) };
    Finding::Condition(Condition::of_rule(member, standing, observed, expected))
}

pub(super) fn at(second: u64) -> Moment {
    Moment::from_wall(UtcMillis(second as i64 * 1000))
}

pub(super) fn spec(name: &str, scope: Scope, expect: &[&str]) -> JudgeSpec<AboveTen> {
    spec_of(name, scope, expect, |now| AboveTen { seen: 0, received: now, rate: None, weight: 0 })
}

/// The same with another judge.
fn spec_of<J>(
    name: &str,
    scope: Scope,
    expect: &[&str],
    make: impl Fn(Moment) -> J + Send + 'static,
) -> JudgeSpec<J> {
    JudgeSpec {
        name: JudgeId::new(name).unwrap(),
        detector: Detector::Threshold,
        scope,
        policy: EventPolicy {
            severity: Severity::Critical,
            critical_when: None,
            lane: Lane::Alarm,
            raise_after: Duration::ZERO,
            clear_after: Duration::ZERO,
            update_every: None,
        },
        inputs: Inputs::readings(vec![InputPattern {
            source: SourceIndex(0),
            signals: Some(WildMatch::new("te*")),
        }]),
        machine: None,
        states: StateRules::NONE,
        model: None,
        smaller: None,
        candidate: None,
        tags: Arc::default(),
        pool: None,
        fingerprint: Fingerprint::default(),
        limits: Arc::default(),
        expect: expect.iter().map(|device| DeviceId::new(device).unwrap()).collect(),
        make: Box::new(make),
    }
}

pub(super) struct Trial<J> {
    pub(super) set: JudgeSet<Words, J>,
    counters: Arc<Counters>,
    pub(super) out: Decision,
}

impl Trial<AboveTen> {
    pub(super) fn new(specs: Vec<JudgeSpec<AboveTen>>) -> Self {
        Self::with(specs)
    }
}

impl<J: Judge> Trial<J> {
    fn with(specs: Vec<JudgeSpec<J>>) -> Self {
        Self::within(&JudgesMemory::default(), specs)
    }

    fn within(memory: &JudgesMemory, specs: Vec<JudgeSpec<J>>) -> Self {
        let sources = vec![SourceId::new("plant").unwrap()];
        let counters = Arc::new(Counters::new(sources.clone()));
        let mut ids = 0_u8;
        let fresh = move || {
            ids = ids.wrapping_add(1);
            EventId([ids; 16])
        };
        let set = JudgeSet::within(memory, Words, specs, sources, Arc::clone(&counters), fresh, at(0));
        Self { set, counters, out: Decision::default() }
    }

    pub(super) fn send(&mut self, second: u64, payload: &str) -> Vec<String> {
        self.publish("t", second, payload)
    }

    /// The same with a time of the device.
    pub(super) fn send_at(&mut self, captured: u64, second: u64, payload: &str) -> Vec<String> {
        self.publish(&format!("@{}", captured * 1000), second, payload)
    }

    fn publish(&mut self, topic: &str, second: u64, payload: &str) -> Vec<String> {
        let message =
            Inbound::of(SourceIndex(0), topic, Bytes::copy_from_slice(payload.as_bytes()), at(second));
        let before = self.out.verdicts.len();
        self.set.message(&message, at(second), &mut self.out);
        self.reported(before)
    }

    pub(super) fn tick(&mut self, second: u64) -> Vec<String> {
        let before = self.out.verdicts.len();
        self.set.tick(at(second), &mut self.out);
        self.reported(before)
    }

    /// The newest saved state under a key with this end: its first byte.
    pub(super) fn saved(&self, key: &str) -> Option<u8> {
        let mut saved =
            self.out.checkpoints.iter().filter(|one| is_learnt(&one.key) && one.key.ends_with(key));
        saved.next_back()?.state.as_ref()?.first().copied()
    }

    /// States of all judges, as they are saved before a stop.
    pub(super) fn save(&mut self) {
        let mut pass = SavePass::of_all();
        while self.set.save(&mut pass, at(0), &mut self.out) {}
    }

    pub(super) fn reported(&self, from: usize) -> Vec<String> {
        self.out.verdicts[from..].iter().map(described).collect()
    }
}

fn described(verdict: &Verdict) -> String {
    let event = verdict.event.unwrap();
    let signal = verdict.subject.signal.as_ref().map_or("-", SignalId::as_str);
    format!(
        "{} {} {} {} {} {}",
        verdict.judge,
        verdict.subject.device,
        signal,
        verdict.body.kind(),
        event.state.as_str(),
        event.id.0[0]
    )
}

#[test]
fn each_signal_of_each_device_has_a_life_of_its_own() {
    let mut trial = Trial::new(vec![spec("hot", Scope::Signal, &[])]);
    assert!(trial.send(1, "a temp 5").is_empty());
    assert_eq!(trial.send(2, "a temp 11"), ["hot a temp anomaly raised 1"]);
    assert_eq!(trial.send(2, "b temp 11"), ["hot b temp anomaly raised 2"]);
    assert!(trial.send(3, "a temp 12").is_empty());
    assert!(trial.send(3, "a humidity 99").is_empty(), "the pattern takes `te*` only");
    assert_eq!(trial.send(4, "a temp 9"), ["hot a temp anomaly cleared 1"]);
    assert_eq!(trial.out.verdicts[2].event.unwrap().lasted_ms, 2000);
}

#[test]
fn open_events_and_judge_states_outlive_a_restart() {
    let mut before = Trial::new(vec![spec("hot", Scope::Signal, &[])]);
    before.send(1, "a temp 11");
    before.send(1, "b temp 11");
    before.send(2, "b temp 1");
    before.save();
    let mut saved: HashMap<String, Checkpoint> = HashMap::new();
    for checkpoint in &before.out.checkpoints {
        saved.insert(checkpoint.key.clone(), checkpoint.clone());
    }
    let saved: Vec<Checkpoint> = saved.into_values().collect();

    let mut after = Trial::new(vec![spec("hot", Scope::Signal, &[])]);
    after.set.restore(&saved, at(10), &mut after.out);
    assert!(after.out.verdicts.is_empty());
    assert!(after.send(11, "a temp 12").is_empty(), "already raised");
    assert_eq!(after.send(12, "a temp 2"), ["hot a temp anomaly cleared 1"]);
    let seen = after.set.instances.iter().map(|(_, instance)| instance.judge.seen).max();
    assert_eq!(seen, Some(3), "one before, two after");
}

#[test]
fn an_event_whose_judge_is_gone_is_cleared_not_left_hanging() {
    let mut before = Trial::new(vec![spec("hot", Scope::Signal, &[])]);
    before.send(1, "a temp 11");
    let saved = before.out.checkpoints.clone();
    let mut after = Trial::new(vec![spec("other", Scope::Signal, &[])]);
    after.set.restore(&saved, at(10), &mut after.out);
    assert_eq!(after.reported(0), ["hot a temp anomaly cleared 1"]);
    assert_eq!(after.out.verdicts[0].event.unwrap().lasted_ms, 9000);
    assert_eq!(after.out.checkpoints, [Checkpoint { key: saved[0].key.clone(), state: None }]);
}

#[test]
fn an_expected_device_is_missed_even_if_it_never_sent() {
    let mut trial = Trial::new(vec![spec("quiet", Scope::Device, &["a"])]);
    assert!(trial.tick(60).is_empty());
    assert_eq!(trial.tick(61), ["quiet a - health raised 1"]);
    assert_eq!(trial.send(70, "a temp 1"), ["quiet a - health cleared 1"]);
}

#[test]
fn accounts_balance_and_refusals_have_reasons() {
    let mut trial = Trial::new(vec![spec("hot", Scope::Signal, &[])]);
    trial.send(1, "a temp 5");
    trial.send(1, "rubbish");
    trial.send(1, "more rubbish");
    for device in 0..MAX_DEVICES {
        // No faster than new names are admitted.
        trial.send(2 + device as u64 / 128, &format!("d{device} temp 1"));
    }
    let source = &trial.counters.sources()[0];
    let rejections: Vec<_> = source.rejections().collect();
    assert_eq!(rejections, [(Reason::BadJson, 2)], "who was seen once gives way");
    assert_eq!(source.messages_judged_total.get(), MAX_DEVICES as u64 + 1);
    assert_eq!(source.messages_refused_total.get(), 2);
    assert!(trial.set.stream_count() <= MAX_DEVICES);
}

#[test]
fn every_state_of_an_event_carries_the_lane_of_its_judge() {
    let mut trial = Trial::new(vec![spec("hot", Scope::Signal, &[])]);
    trial.send(1, "a temp 11");
    trial.send(2, "a temp 1");
    let lanes: Vec<_> = trial.out.verdicts.iter().map(|verdict| (verdict.lane, verdict.severity)).collect();
    assert_eq!(lanes, [(Lane::Alarm, Severity::Critical); 2]);
    assert_eq!(trial.out.verdicts[1].event.unwrap().state, EventState::Cleared);
}

#[test]
fn the_rates_of_all_instances_of_a_judge_are_reported_together() {
    let mut trial = Trial::new(vec![spec("rule", Scope::Signal, &[]), spec("usual", Scope::Signal, &[])]);
    trial.send(0, "a temp 5");
    trial.send(0, "b temp 5");
    trial.send(0, "c temp 5");
    let week = 7.0 * 24.0 * 3600.0;
    let rates = [(2, week, None), (1, week, Some(60)), (0, 2.0 * week, Some(3600))];
    let usual = trial.set.instances.iter_mut().filter(|(_, instance)| instance.judge_index == JudgeIndex(1));
    for ((_, instance), (alarms, seconds, left)) in usual.zip(rates) {
        instance.judge.rate = Some(AlarmRate {
            alarms,
            seconds,
            expected_per_second: 0.5 / week,
            supported_in: left.map(Duration::from_secs),
            rarest: None,
            shared: None,
        });
    }
    let reported = trial.set.alarm_rates(at(10));
    assert_eq!(reported.len(), 1, "rules know no rate");
    let rate = &reported[0];
    assert_eq!((rate.judge.as_str(), rate.instances, rate.alarms, rate.unsupported), ("usual", 3, 3, 2));
    assert_eq!(rate.supported_at, Some(UtcMillis(3_610_000)));
    assert!((rate.per_week().unwrap() - 2.25).abs() < 1e-9, "3 alarms in 4 weeks, 3 instances");
    assert!((rate.expected_per_week() - 1.5).abs() < 1e-9);
    // Where they share a budget and how it is divided is not known yet, they promise no more than that together.
    for (_, instance) in &mut trial.set.instances {
        let shared = Some(0.6 / week);
        instance.judge.rate = instance.judge.rate.map(|rate| AlarmRate { shared, ..rate });
    }
    assert!((trial.set.alarm_rates(at(10))[0].expected_per_week() - 0.6).abs() < 1e-9);
    // Those that were silent for longer than they sent count no more; their alarms were raised.
    let later = trial.set.alarm_rates(at(3 + 7 * 24 * 3600)).remove(0);
    assert_eq!((later.instances, later.alarms, later.unsupported), (1, 3, 1));
    assert!((later.expected_per_week() - 0.5).abs() < 1e-9);
    assert!((later.per_week().unwrap() - 0.75).abs() < 1e-9, "3 alarms in 4 weeks, 1 instance");
}
