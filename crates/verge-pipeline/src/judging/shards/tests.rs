use std::time::Duration;

use bytes::Bytes;
use verge_domain::finding::{Condition, Expected, Finding, Member, Standing};
use verge_domain::frame::View;
use verge_domain::id::{DeviceId, EventId, JudgeId, JudgeIndex, Lane, SignalId, SourceId};
use verge_domain::observation::Observable;
use verge_domain::policy::EventPolicy;
use verge_domain::reading::{Quality, SourceIndex};
use verge_domain::rejection::Reason;
use verge_domain::stage::{AlarmRate, RestoreError, Scope};
use verge_domain::time::{DeviceClock, UtcMillis};
use verge_domain::verdict::{Detector, Severity, Verdict};

use super::*;
use crate::judging::{InputPattern, Inputs, JudgeSpec, MAX_DEVICES, MAX_WINDOWS, Observes, Place, Whom};

/// A payload is readings `device=value` with spaces between; one without `=` is refused.
struct Pairs;

impl Decoder for Pairs {
    type Item = Reading;

    fn decode(&mut self, message: &Inbound, out: &mut Decoded<Reading>) {
        out.clear();
        for pair in std::str::from_utf8(&message.payload).unwrap().split(' ') {
            let Some((device, value)) = pair.split_once('=') else {
                out.rejections.push(Rejection::whole(Reason::BadJson));
                continue;
            };
            out.items.push(reading(device, value.parse().unwrap()));
        }
    }
}

fn reading(device: &str, value: f64) -> Reading {
    Reading {
        device: DeviceId::new(device).unwrap(),
        signal: SignalId::new("s").unwrap(),
        value,
        unit: None,
        captured_at: None,
        clock: DeviceClock::Absent,
        quality: Quality::Good,
    }
}

/// Odd is abnormal. Its state is the sum of what it has seen, so that order and loss show.
struct Odd {
    sum: u64,
    heard: Moment,
}

impl Judge for Odd {
    fn observe(&mut self, observed: Observable<'_>, received: Moment, findings: &mut Vec<Finding>) {
        let observed = match observed {
            Observable::Reading(reading) => reading.value,
            Observable::View(View::Reconstruction(error), _) => *error,
            Observable::View(..) | Observable::Arrival(_) => return,
        };
        self.heard = received;
        let value = observed as u64;
        self.sum = self.sum.wrapping_mul(31).wrapping_add(value);
        let standing = if value % 2 == 1 { Standing::Abnormal } else { Standing::Normal };
        let expected = Expected { low: None, high: None };
        findings.push(Finding::Condition(Condition::of_rule(Member::High, standing, observed, expected)));
    }
    fn tick(&mut self, now: Moment, findings: &mut Vec<Finding>) {
        if now.mono.since(self.heard.mono) > Duration::from_secs(60) {
            let expected = Expected { low: None, high: None };
            let silent = Condition::of_rule(Member::Silent, Standing::Abnormal, 61.0, expected);
            findings.push(Finding::Condition(silent));
        }
    }
    fn save(&self) -> Option<Vec<u8>> {
        Some(self.sum.to_le_bytes().to_vec())
    }
    fn restore(&mut self, state: &[u8], _now: Moment) -> Result<(), RestoreError> {
        self.sum = u64::from_le_bytes(state.try_into().map_err(|_| RestoreError::Foreign)?);
        Ok(())
    }
    fn alarm_rate(&self) -> Option<AlarmRate> {
        let seconds = 1.0;
        Some(AlarmRate { alarms: 1, seconds, expected_per_second: 1.0, supported_in: None })
    }
}

fn at(second: u64) -> Moment {
    Moment::from_wall(UtcMillis(second as i64 * 1000))
}

fn set<D: Decoder<Item = Reading>>(place: Place, decoder: D, counters: &Arc<Counters>) -> JudgeSet<D, Odd> {
    let spec = || JudgeSpec {
        name: JudgeId::new("j").unwrap(),
        detector: Detector::Threshold,
        scope: Scope::Device,
        policy: EventPolicy {
            severity: Severity::Warning,
            lane: Lane::Alarm,
            raise_after: Duration::ZERO,
            clear_after: Duration::ZERO,
            update_every: Some(Duration::ZERO),
        },
        inputs: Inputs::readings(vec![InputPattern { source: SourceIndex(0), signals: None }]),
        expect: vec![DeviceId::new("expected").unwrap()],
        machine: None,
        model: None,
        make: Box::new(|now| Odd { sum: 0, heard: now }),
    };
    let patterns = vec![InputPattern { source: SourceIndex(0), signals: None }];
    let errors = JudgeSpec {
        name: JudgeId::new("errors").unwrap(),
        scope: Scope::Camera,
        inputs: Inputs { observes: Observes::Errors, patterns, devices: Vec::new() },
        expect: Vec::new(),
        make: Box::new(|now| Odd { sum: 0, heard: now }),
        ..spec()
    };
    let sources = vec![SourceId::new("s").unwrap()];
    JudgeSet::at(
        place,
        decoder,
        vec![spec(), errors],
        sources,
        Arc::clone(counters),
        || EventId([0; 16]),
        at(0),
    )
}

struct Trial {
    shards: Shards<Pairs, Odd>,
    counters: Arc<Counters>,
}

impl Trial {
    fn new(placement: &Placement) -> Self {
        let counters = Arc::new(Counters::new([SourceId::new("s").unwrap()]));
        let mut places = placement.places().into_iter();
        let front = set(places.next().unwrap(), Pairs, &counters);
        let others = places.map(|place| set(place, Undecoded, &counters)).collect();
        Self { shards: Shards::new(front, others), counters }
    }

    /// A burst: what each message caused.
    fn burst(&mut self, payloads: &[String]) -> Vec<Vec<String>> {
        let messages: Vec<Inbound> = payloads.iter().map(|payload| message(payload)).collect();
        messages.iter().for_each(|message| self.shards.post(message, at(1)));
        let judged = self.shards.judge(&messages);
        judged.into_iter().map(|(_, decision)| decision.verdicts.iter().map(tell).collect()).collect()
    }

    fn saved(&mut self) -> Vec<Checkpoint> {
        let (mut pass, mut out) = (SavePass::of_all(), Decision::default());
        while self.shards.save(&mut pass, at(1), &mut out) {}
        out.checkpoints.sort_by(|one, other| one.key.cmp(&other.key));
        out.checkpoints
    }

    fn order(&mut self, device: &str, minutes: u64) -> Result<Outcome, OrderError> {
        let device = DeviceId::new(device).unwrap();
        let whom = Whom { device, signal: None, judge: None, source: None };
        let order = Order::Maintenance { whom, length: Duration::from_secs(60 * minutes) };
        self.shards.carry_out(&order, false, at(2), &mut Decision::default())
    }
}

fn message(payload: &str) -> Inbound {
    Inbound {
        source: SourceIndex(0),
        topic: "t".to_owned(),
        payload: Bytes::copy_from_slice(payload.as_bytes()),
        received: at(1),
        retained: false,
        redelivered: false,
        packet_id: 0,
        receipt: None,
    }
}

fn tell(verdict: &Verdict) -> String {
    let state = verdict.event.unwrap().state.as_str();
    match &verdict.body {
        verge_domain::verdict::Body::Anomaly(anomaly) => {
            format!("{} {} {state}", verdict.subject.device, anomaly.observed)
        }
        other => format!("{} {} {state}", verdict.subject.device, other.kind()),
    }
}

/// Bursts of messages with readings of many devices, some of them refused.
fn bursts() -> Vec<Vec<String>> {
    let mut next = 1_u64;
    let mut random = move |below: u64| {
        next = next.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (next >> 33) % below
    };
    let mut payload = || {
        let readings = 1 + random(20);
        let pairs = (0..readings).map(|_| {
            if random(50) == 0 { "x".to_owned() } else { format!("d{}={}", random(40), random(1000)) }
        });
        pairs.collect::<Vec<_>>().join(" ")
    };
    (0..30).map(|length| (0..1 + length * 3).map(|_| payload()).collect()).collect()
}

#[test]
fn however_many_threads_judge_they_decide_the_same_in_the_same_order() {
    let mut alone = Trial::new(&Placement::new(1));
    let expected: Vec<_> = bursts().iter().map(|burst| alone.burst(burst)).collect();
    let states = alone.saved();
    assert!(expected.iter().flatten().flatten().count() > 5000);
    for threads in [2, 3, 8] {
        let mut shared = Trial::new(&Placement::new(threads));
        assert!(shared.shards.is_shared());
        for (burst, expected) in bursts().iter().zip(&expected) {
            assert_eq!(&shared.burst(burst), expected, "{threads} threads");
        }
        assert_eq!(shared.saved(), states, "{threads} threads");
        let (source, of_one) = (&shared.counters.sources()[0], &alone.counters.sources()[0]);
        assert_eq!(source.readings_judged_total.get(), of_one.readings_judged_total.get());
        assert_eq!(source.messages_judged_total.get(), of_one.messages_judged_total.get());
        let rejections: Vec<_> = source.rejections().collect();
        assert_eq!(rejections, of_one.rejections().collect::<Vec<_>>());
        assert_eq!(shared.shards.alarm_rates(at(9)), alone.shards.alarm_rates(at(9)));
        // With another number of threads the next start restores all nevertheless.
        let mut after = Trial::new(&Placement::new(5 - threads.min(3)));
        after.shards.restore(&states, at(9), &mut Decision::default());
        assert_eq!(after.saved(), [], "what was taken up is what is saved");
    }
}

/// A frame with this error.
fn observation(device: &str, error: f64) -> Observation {
    Observation {
        camera: Camera { source: SourceIndex(0), device: DeviceId::new(device).unwrap() },
        captured: Captured::UNKNOWN,
        received: at(1),
        views: vec![(JudgeIndex(1), View::Reconstruction(error))],
    }
}

#[test]
fn what_is_observed_is_judged_where_its_device_belongs() {
    let observe = |threads: usize| {
        let mut trial = Trial::new(&Placement::new(threads));
        let mut told = Vec::new();
        for device in 0..20_u32 {
            let mut out = Decision::default();
            trial.shards.observation(observation(&format!("d{device}"), f64::from(device)), at(1), &mut out);
            told.extend(out.verdicts.iter().map(tell));
        }
        // Orders and saved states go to the shard of a device.
        assert!(trial.order("d7", 1).is_ok(), "{threads} threads");
        // A message in the middle of a burst that is not judged yet.
        let amid = message("d3=9");
        trial.shards.post(&amid, at(1));
        let mut out = Decision::default();
        trial.shards.observation(observation("d4", 5.0), at(1), &mut out);
        told.extend(out.verdicts.iter().map(tell));
        let judged = trial.shards.judge([&amid]);
        told.extend(judged.iter().flat_map(|(_, decision)| decision.verdicts.iter().map(tell)));
        (told, trial.saved())
    };
    let alone = observe(1);
    assert_eq!(alone.0.len(), 12, "{:?}", alone.0);
    for threads in [2, 3, 8] {
        assert_eq!(observe(threads), alone, "{threads} threads");
    }
}

#[test]
fn expected_devices_are_watched_by_one_shard_alone() {
    let mut shared = Trial::new(&Placement::new(4));
    let mut out = Decision::default();
    shared.shards.tick(at(61), &mut out);
    assert_eq!(out.verdicts.iter().map(tell).collect::<Vec<_>>(), ["expected health raised"]);
}

#[test]
fn bounds_hold_over_all_shards_together() {
    let mut shared = Trial::new(&Placement::new(4));
    let devices: Vec<String> = (0..MAX_DEVICES + 100).map(|device| format!("d{device}=0")).collect();
    for burst in devices.chunks(8) {
        shared.burst(burst);
    }
    let known = shared.shards.account().devices;
    assert!(known <= MAX_DEVICES as u64, "{known}");
    assert!(shared.counters.evicted_devices_total.get() >= 100);
    // Those that came last.
    let last = |index: usize| format!("d{}", MAX_DEVICES + 99 - index);
    for device in 0..MAX_WINDOWS {
        assert!(shared.order(&last(device), 1).is_ok());
    }
    assert_eq!(shared.counters.maintenance().len(), MAX_WINDOWS);
    assert_eq!(shared.order(&last(90), 1), Err(OrderError::TooManyWindows));
    assert!(shared.order(&last(7), 2).is_ok(), "another end");
    assert!(shared.order(&last(7), 0).is_ok());
    assert!(shared.order(&last(90), 1).is_ok());
}

#[test]
fn pinned_devices_are_in_one_shard() {
    let placement = Placement::pinning(4, |device| device.as_str().starts_with("m"));
    let shard = |name: String| placement.shard_of(&DeviceId::new(&name).unwrap());
    assert!((0..100).all(|device| shard(format!("m{device}")) == 0));
    let mut count = [0; 4];
    (0..1000).for_each(|device| count[shard(format!("d{device}"))] += 1);
    assert!(count.iter().all(|&count| count > 200), "{count:?}");
    // Saved state stays where it was: this number is part of no format, but must not depend on the run.
    assert_eq!(
        Placement::new(16).shard_of(&DeviceId::new("pump-1").unwrap()),
        crc32c::crc32c(b"pump-1") as usize % 16
    );
}
