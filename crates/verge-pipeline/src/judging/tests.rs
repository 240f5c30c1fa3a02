use std::time::Duration;

use bytes::Bytes;
use verge_domain::finding::{Condition, Expected, Member, Standing};
use verge_domain::frame::{Detections, View};
use verge_domain::id::{JudgeId, Lane};
use verge_domain::observation::{Camera, Captured, Observable, Observation};
use verge_domain::policy::EventPolicy;
use verge_domain::reading::{ClockOffset, Quality, SharedBy};
use verge_domain::stage::{AlarmRate, Remark, RestoreError, Scope};
use verge_domain::time::{DeviceClock, UtcMillis};
use verge_domain::verdict::{Body, Detector, EventState, Severity};
use wildmatch::WildMatch;

use super::*;

mod containment;
mod room;

/// Payload `device signal value` becomes a reading; anything else is refused.
pub(super) struct Words;

impl Decoder for Words {
    type Item = Reading;

    fn decode(&mut self, message: &Inbound, out: &mut Decoded<Reading>) {
        out.clear();
        let text = std::str::from_utf8(&message.payload).unwrap();
        let words: Vec<&str> = text.split(' ').collect();
        match words[..] {
            [device, signal, value] => out.items.push(Reading {
                device: DeviceId::new(device).unwrap(),
                signal: SignalId::new(signal).unwrap(),
                value: value.parse().unwrap(),
                unit: None,
                captured_at: None,
                clock: DeviceClock::Absent,
                quality: Quality::Good,
            }),
            _ => out.rejections.push(Rejection::whole(Reason::BadJson)),
        }
    }
}

/// Abnormal above ten; silent after a minute; its state is how many readings it has seen.
struct AboveTen {
    seen: u8,
    heard: Moment,
    rate: Option<AlarmRate>,
    weight: usize,
}

impl Judge for AboveTen {
    fn observe(&mut self, observed: Observable<'_>, received: Moment, findings: &mut Vec<Finding>) {
        self.seen = self.seen.saturating_add(1);
        self.heard = received;
        let value = match observed {
            Observable::Reading(reading) => reading.value,
            Observable::Arrival(captured) => captured.at.unwrap().0 as f64,
            Observable::View(View::Reconstruction(error), _) => *error,
            Observable::View(..) => return findings.push(Finding::View),
        };
        let standing = if value > 10.0 { Standing::Abnormal } else { Standing::Normal };
        findings.push(condition(Member::High, standing, value));
        findings.push(condition(Member::Silent, Standing::Normal, 0.0));
    }

    fn tick(&mut self, now: Moment, findings: &mut Vec<Finding>) {
        let quiet = now.mono.since(self.heard.mono);
        if quiet > Duration::from_secs(60) {
            findings.push(condition(Member::Silent, Standing::Abnormal, quiet.as_secs_f64()));
        }
    }

    fn save(&self) -> Option<Vec<u8>> {
        (self.seen > 0).then(|| vec![self.seen])
    }

    fn restore(&mut self, state: &[u8], _now: Moment) -> Result<(), RestoreError> {
        self.seen = *state.first().ok_or(RestoreError::Foreign)?;
        Ok(())
    }

    fn alarm_rate(&self) -> Option<AlarmRate> {
        self.rate
    }

    fn heap_bytes(&self) -> usize {
        self.weight
    }
}

fn condition(member: Member, standing: Standing, observed: f64) -> Finding {
    let expected = Expected { low: None, high: Some(10.0) };
    Finding::Condition(Condition::of_rule(member, standing, observed, expected))
}

fn at(second: u64) -> Moment {
    Moment::from_wall(UtcMillis(second as i64 * 1000))
}

fn spec(name: &str, scope: Scope, expect: &[&str]) -> JudgeSpec<AboveTen> {
    JudgeSpec {
        name: JudgeId::new(name).unwrap(),
        detector: Detector::Threshold,
        scope,
        policy: EventPolicy {
            severity: Severity::Critical,
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
        model: None,
        expect: expect.iter().map(|device| DeviceId::new(device).unwrap()).collect(),
        make: Box::new(|now| AboveTen { seen: 0, heard: now, rate: None, weight: 0 }),
    }
}

struct Trial<J> {
    set: JudgeSet<Words, J>,
    counters: Arc<Counters>,
    out: Decision,
}

impl Trial<AboveTen> {
    fn new(specs: Vec<JudgeSpec<AboveTen>>) -> Self {
        Self::with(specs)
    }
}

impl<J: Judge> Trial<J> {
    fn with(specs: Vec<JudgeSpec<J>>) -> Self {
        Self::at(Place::everywhere(), specs)
    }

    fn at(place: Place, specs: Vec<JudgeSpec<J>>) -> Self {
        let sources = vec![SourceId::new("plant").unwrap()];
        let counters = Arc::new(Counters::new(sources.clone()));
        let mut ids = 0_u8;
        let fresh = move || {
            ids = ids.wrapping_add(1);
            EventId([ids; 16])
        };
        let set = JudgeSet::at(place, Words, specs, sources, Arc::clone(&counters), fresh, at(0));
        Self { set, counters, out: Decision::default() }
    }

    fn send(&mut self, second: u64, payload: &str) -> Vec<String> {
        let message = Inbound {
            source: SourceIndex(0),
            topic: "t".to_owned(),
            payload: Bytes::copy_from_slice(payload.as_bytes()),
            received: at(second),
            retained: false,
            redelivered: false,
            packet_id: 0,
            receipt: None,
        };
        let before = self.out.verdicts.len();
        self.set.message(&message, at(second), &mut self.out);
        self.told(before)
    }

    fn tick(&mut self, second: u64) -> Vec<String> {
        let before = self.out.verdicts.len();
        self.set.tick(at(second), &mut self.out);
        self.told(before)
    }

    /// States of all judges, as they are saved before a stop.
    fn save(&mut self) {
        let mut pass = SavePass::of_all();
        while self.set.save(&mut pass, at(0), &mut self.out) {}
    }

    fn told(&self, from: usize) -> Vec<String> {
        self.out.verdicts[from..].iter().map(tell).collect()
    }
}

fn tell(verdict: &Verdict) -> String {
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
    assert_eq!(after.told(0), ["hot a temp anomaly cleared 1"]);
    assert_eq!(after.out.verdicts[0].event.unwrap().lasted_ms, 9000);
    assert_eq!(after.out.checkpoints, [Checkpoint { key: saved[0].key.clone(), state: None }]);
}

#[test]
fn an_expected_device_is_missed_even_if_it_was_never_heard() {
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
        // No faster than new names are taken.
        trial.send(2 + device as u64 / 128, &format!("d{device} temp 1"));
    }
    let source = &trial.counters.sources()[0];
    let rejections: Vec<_> = source.rejections().collect();
    assert_eq!(rejections, [(Reason::BadJson, 2)], "who was seen once gives way");
    assert_eq!(source.messages_judged_total.get(), MAX_DEVICES as u64 + 1);
    assert_eq!(source.messages_refused_total.get(), 2);
    assert!(trial.set.stream_count() <= MAX_DEVICES);
}

/// Each message has two values, `device signal value`, of one name and one time.
struct Twins;

impl Decoder for Twins {
    type Item = Reading;

    fn decode(&mut self, message: &Inbound, out: &mut Decoded<Reading>) {
        Words.decode(message, out);
        out.items.extend_from_within(..);
        out.shared.push((1, SharedBy::Time));
        let offset_ms = (message.payload != "a y 1").then_some(-18_000_000);
        out.clock_offsets.push(ClockOffset { device: out.items[0].device.clone(), offset_ms });
    }
}

#[test]
fn names_that_stand_for_several_series_are_counted_once_and_judged() {
    let sources = vec![SourceId::new("pump").unwrap()];
    let counters = Arc::new(Counters::new(sources.clone()));
    let mut set: JudgeSet<_, AboveTen> =
        JudgeSet::new(Twins, Vec::new(), sources, Arc::clone(&counters), || EventId([0; 16]), at(0));
    for (number, payload) in ["a x 1", "a x 2", "a y 1"].into_iter().enumerate() {
        let message = Inbound {
            source: SourceIndex(0),
            topic: "t".to_owned(),
            payload: Bytes::copy_from_slice(payload.as_bytes()),
            received: at(number as u64),
            retained: false,
            redelivered: false,
            packet_id: 0,
            receipt: None,
        };
        set.message(&message, message.received, &mut Decision::default());
        let offsets: Vec<i64> =
            counters.sources()[0].clock_offsets.devices().into_iter().map(|of| of.1).collect();
        assert_eq!(offsets, if number < 2 { vec![-18_000_000] } else { Vec::new() });
    }
    let source = &counters.sources()[0];
    assert_eq!((source.shared_name_count(), source.shared_readings_total.get()), (2, 3));
    assert_eq!(source.readings_judged_total.get(), 6);
    let names = source.shared_names();
    assert_eq!((names[0].0.1.as_str(), names[1].0.1.as_str(), names[0].1), ("x", "y", SharedBy::Time));
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

fn whom(device: &str, signal: Option<&str>, judge: Option<&str>) -> Whom {
    Whom {
        device: DeviceId::new(device).unwrap(),
        signal: signal.map(|signal| SignalId::new(signal).unwrap()),
        judge: judge.map(|judge| JudgeId::new(judge).unwrap()),
        source: None,
    }
}

impl Trial<AboveTen> {
    fn maintain(&mut self, second: u64, whom: Whom, minutes: u64) -> Result<Outcome, OrderError> {
        let order = Order::Maintenance { whom, length: Duration::from_secs(minutes * 60) };
        self.set.carry_out(&order, at(second), &mut self.out)
    }
}

#[test]
fn a_window_holds_back_what_it_means_until_its_end() {
    let mut trial = Trial::new(vec![spec("hot", Scope::Signal, &[]), spec("warm", Scope::Signal, &[])]);
    trial.send(0, "a temp 1");
    trial.send(0, "a tension 11");
    let until = UtcMillis(61_000);
    let opened = trial.maintain(1, whom("a", None, Some("hot")), 1);
    assert_eq!(opened, Ok(Outcome::Opened { instances: 2, until }));
    assert_eq!(trial.send(2, "a temp 11"), ["warm a temp anomaly raised 3"]);
    assert_eq!(trial.send(3, "a tension 1").len(), 2, "what was open is cleared");
    assert!(trial.send(4, "a temp 12").is_empty());
    // A signal that is first heard while the window is open is meant as well.
    assert_eq!(trial.send(5, "a teeth 11"), ["warm a teeth anomaly raised 4"]);
    assert_eq!(trial.counters.raises_held_back_total.get(), 2);
    assert_eq!(trial.counters.maintenance().len(), 1);
    assert!(trial.send(59, "a temp 12").is_empty());
    trial.tick(60);
    assert_eq!(trial.counters.maintenance().len(), 1);
    trial.tick(61);
    assert!(trial.counters.maintenance().is_empty());
    assert_eq!(trial.send(62, "a temp 12"), ["hot a temp anomaly raised 5"], "it still holds");
    assert_eq!(trial.out.verdicts.last().unwrap().event.unwrap().since, UtcMillis(2000));
}

#[test]
fn windows_are_bounded_and_narrower_ones_end_with_wider_words() {
    let mut trial = Trial::new(vec![spec("hot", Scope::Signal, &[])]);
    for device in 0..=MAX_WINDOWS {
        trial.send(0, &format!("d{device} temp 1"));
    }
    for device in 0..MAX_WINDOWS {
        assert!(trial.maintain(1, whom(&format!("d{device}"), None, None), 1).is_ok());
    }
    let one_more = whom(&format!("d{MAX_WINDOWS}"), None, None);
    assert_eq!(trial.maintain(1, one_more.clone(), 1), Err(OrderError::TooManyWindows));
    let again = trial.maintain(2, whom("d0", None, None), 2);
    assert_eq!(again, Ok(Outcome::Opened { instances: 1, until: UtcMillis(122_000) }), "another end");
    assert!(trial.maintain(3, one_more, 0).is_err());
    let narrower = trial.maintain(3, whom("d0", Some("temp"), None), 0).unwrap_err().to_string();
    assert!(narrower.ends_with("and 56 more"), "{narrower}");
    let closed = trial.maintain(3, whom("d0", None, None), 0);
    assert_eq!(closed, Ok(Outcome::Closed { windows: 1, heard: 1, used: 0 }));
    assert!(trial.maintain(3, whom("d1", Some("temp"), Some("hot")), 1).is_ok());
    let both = trial.maintain(4, whom("d1", None, None), 0);
    assert_eq!(both, Ok(Outcome::Closed { windows: 2, heard: 1, used: 0 }));
}

#[test]
fn a_saved_window_never_lasts_longer_than_it_may_and_one_that_is_over_is_ended() {
    let mut before = Trial::new(vec![spec("hot", Scope::Signal, &[])]);
    before.send(0, "a temp 1");
    before.maintain(0, whom("a", None, None), 60).unwrap();
    let saved: Vec<_> = before.out.checkpoints.clone();
    let restored = |second: u64| {
        let mut after = Trial::new(vec![spec("hot", Scope::Signal, &[])]);
        after.set.restore(&saved, at(second), &mut after.out);
        after
    };
    assert_eq!(restored(3599).counters.maintenance()[0].until, UtcMillis(3_600_000));
    let over = restored(3600);
    assert!(over.counters.maintenance().is_empty());
    assert_eq!(over.out.checkpoints, [Checkpoint { key: saved[0].key.clone(), state: None }]);
    // The clock was set back by years.
    let mut back = Trial::new(vec![spec("hot", Scope::Signal, &[])]);
    let long_ago = Moment { wall: UtcMillis(-1_000_000_000_000), mono: Monotonic(0) };
    back.set.restore(&saved, long_ago, &mut back.out);
    let left = back.counters.maintenance()[0].until.since(long_ago.wall);
    assert_eq!(left, LONGEST_WINDOW);
    let damaged = Checkpoint { key: saved[0].key.clone(), state: Some(b"x".to_vec()) };
    let mut trial = Trial::new(vec![spec("hot", Scope::Signal, &[])]);
    trial.set.restore(&[damaged], at(0), &mut trial.out);
    assert_eq!(trial.out.checkpoints, over.out.checkpoints);
}

#[test]
fn the_rates_of_all_instances_of_a_judge_are_told_together() {
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
        });
    }
    let told = trial.set.alarm_rates(at(10));
    assert_eq!(told.len(), 1, "rules know no rate");
    let rate = &told[0];
    assert_eq!((rate.judge.as_str(), rate.instances, rate.alarms, rate.unsupported), ("usual", 3, 3, 2));
    assert_eq!(rate.supported_at, Some(UtcMillis(3_610_000)));
    assert!((rate.per_week().unwrap() - 2.25).abs() < 1e-9, "3 alarms in 4 weeks, 3 instances");
    assert!((rate.expected_per_week() - 1.5).abs() < 1e-9);
}

/// Judges over the cameras of two sources.
fn over_cameras(name: &str, observes: Observes) -> JudgeSpec<AboveTen> {
    let patterns = [0, 1].map(|source| InputPattern { source: SourceIndex(source), signals: None }).to_vec();
    JudgeSpec { inputs: Inputs { observes, patterns, devices: Vec::new() }, ..spec(name, Scope::Camera, &[]) }
}

struct Yard {
    set: JudgeSet<Words, AboveTen>,
    counters: Arc<Counters>,
    out: Decision,
}

impl Yard {
    fn new() -> Self {
        let sources = ["yard", "gate"].map(|name| SourceId::new(name).unwrap()).to_vec();
        let counters = Arc::new(Counters::new(sources.clone()));
        let mut ids = 0_u8;
        let fresh = move || {
            ids += 1;
            EventId([ids; 16])
        };
        let specs = [("alive", Observes::Arrivals), ("odd", Observes::Errors), ("seen", Observes::Views)]
            .map(|(name, observes)| over_cameras(name, observes))
            .into();
        let set = JudgeSet::new(Words, specs, sources, Arc::clone(&counters), fresh, at(0));
        Self { set, counters, out: Decision::default() }
    }

    fn camera(source: u16) -> Camera {
        Camera { source: SourceIndex(source), device: DeviceId::new("north").unwrap() }
    }

    fn arrival(&mut self, second: u64, source: u16, value: i64) -> Vec<String> {
        let before = self.out.verdicts.len();
        let captured = Captured { at: Some(UtcMillis(value)), clock: DeviceClock::Skewed };
        let now = at(second);
        self.set.arrival(&Self::camera(source), captured, now, now, &mut self.out).unwrap();
        self.out.verdicts[before..].iter().map(tell).collect()
    }

    /// What each frame shows: the error of the judge `odd`, and objects that the judge `seen` reports.
    fn frame(&mut self, second: u64, error: f64) -> Vec<String> {
        let before = self.out.verdicts.len();
        let objects = View::Detections(Detections { width: 1, height: 1, objects: Vec::new() });
        let views = vec![(JudgeIndex(1), View::Reconstruction(error)), (JudgeIndex(2), objects)];
        let (captured, received) = (Captured::UNKNOWN, at(second));
        let observation = Observation { camera: Self::camera(1), captured, received, views };
        self.set.observation(observation, received, &mut self.out);
        let words = |verdict: &Verdict| match verdict.event {
            Some(_) => tell(verdict),
            None => format!("{} {}", verdict.judge, verdict.body.kind()),
        };
        self.out.verdicts[before..].iter().map(words).collect()
    }

    /// A restart: what was saved, in another set.
    fn restarted(mut self, second: u64) -> Self {
        let mut pass = SavePass::of_all();
        while self.set.save(&mut pass, at(second), &mut self.out) {}
        let mut after = Self::new();
        after.set.restore(&self.out.checkpoints, at(second), &mut after.out);
        assert!(after.out.is_empty(), "{:?}", after.out);
        after
    }
}

#[test]
fn of_a_camera_it_is_said_without_a_signal_and_by_its_own_source() {
    // Two cameras of one name, each of a source of its own.
    let mut yard = Yard::new();
    assert_eq!(yard.arrival(1, 1, 20), ["alive north - anomaly raised 1"]);
    assert!(yard.arrival(1, 0, 2).is_empty());
    let subject = &yard.out.verdicts[0].subject;
    assert_eq!((subject.source.as_str(), subject.device.as_str(), &subject.signal), ("gate", "north", &None));

    // What is open is taken up, and cleared by the camera that it is of; what gives way is forgotten as a whole.
    let mut yard = yard.restarted(2);
    assert!(yard.arrival(3, 0, 2).is_empty());
    assert_eq!(yard.arrival(3, 1, 2), ["alive north - anomaly cleared 1"]);
    for source in [0, 1] {
        let Camera { source, device } = Yard::camera(source);
        yard.set.forget(source, &device, at(4), &mut yard.out);
    }
    assert_eq!((yard.set.by_key.len(), yard.set.instances.len()), (0, 0));
}

#[test]
fn views_and_errors_have_the_life_that_readings_have() {
    let mut yard = Yard::new();
    // What is reported comes before what errors cause, which is a signal of the camera with the judge's name.
    assert_eq!(yard.frame(1, 20.0), ["seen detections", "odd north odd anomaly raised 1"]);
    let seen = &yard.out.verdicts[0];
    assert_eq!((seen.severity, seen.lane, &seen.subject.signal), (Severity::Critical, Lane::Alarm, &None));
    let counted = |yard: &Yard| yard.counters.source(SourceIndex(1)).unwrap().readings_judged_total.get();
    assert_eq!(counted(&yard), 1, "an error is a number, a view is not");
    assert_eq!(yard.set.account().instances, 3, "each judge watches the camera by itself");

    let states = |yard: &Yard| {
        let saved = yard.out.checkpoints.iter().filter(|saved| saved.key.starts_with("state"));
        saved.map(|saved| saved.state.clone().unwrap()).collect::<Vec<_>>()
    };
    assert_eq!(states(&yard), [[1]], "the state of what is reported goes with the report");
    let mut yard = yard.restarted(2);
    assert_eq!(yard.frame(3, 2.0), ["seen detections", "odd north odd anomaly cleared 1"]);
    assert_eq!(states(&yard), [[2]], "it goes on from what was saved");

    // A window of maintenance holds raises back, and no report.
    let order = Order::Maintenance { whom: whom("north", None, None), length: Duration::from_secs(10) };
    let opened = yard.set.carry_out(&order, at(4), &mut yard.out).unwrap();
    assert_eq!(opened, Outcome::Opened { instances: 3, until: UtcMillis(14_000) });
    assert_eq!(yard.frame(5, 20.0), ["seen detections"]);
    yard.set.tick(at(14), &mut yard.out);
    assert_eq!(yard.frame(15, 20.0), ["seen detections", "odd north odd anomaly raised 1"]);
}
