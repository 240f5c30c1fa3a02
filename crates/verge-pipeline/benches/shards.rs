//! Bursts of readings through judges of a known cost, by number of threads.
//!
//! A burst is 256 messages of one reading each, of 500 devices; decoding costs nearly nothing here, so that the bench
//! measures judging, dividing and putting together.

use std::hint::black_box;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use verge_domain::finding::Finding;
use verge_domain::id::{DeviceId, JudgeId, Lane, SignalId, SourceId};
use verge_domain::observation::Observable;
use verge_domain::policy::EventPolicy;
use verge_domain::reading::{Decoded, Inbound, Quality, Reading, SourceIndex};
use verge_domain::stage::{Decoder, Judge, RestoreError, Scope};
use verge_domain::time::{DeviceClock, Moment, UtcMillis};
use verge_domain::verdict::{Detector, Severity};
use verge_pipeline::clock::random_event_id;
use verge_pipeline::counters::Counters;
use verge_pipeline::judging::{
    InputPattern, Inputs, JudgeSet, JudgeSpec, Place, Placement, Shards, Undecoded,
};

const BURST: usize = 256;
const DEVICES: usize = 500;

/// The packet identifier selects the device.
struct Known(Vec<DeviceId>, SignalId);

impl Decoder for Known {
    type Item = Reading;
    fn decode(&mut self, message: &Inbound, out: &mut Decoded<Reading>) {
        out.clear();
        out.items.push(Reading {
            device: self.0[usize::from(message.packet_id) % self.0.len()].clone(),
            signal: self.1.clone(),
            value: 1.0,
            unit: None,
            captured_at: None,
            clock: DeviceClock::Absent,
            quality: Quality::Good,
        });
    }
}

/// Works for a while on some kilobytes of its own.
struct Busy {
    rounds: usize,
    state: Vec<f64>,
}

impl Judge for Busy {
    fn observe(&mut self, observed: Observable<'_>, _received: Moment, _findings: &mut Vec<Finding>) {
        let Observable::Reading(reading) = observed else { return };
        for _ in 0..self.rounds {
            let mut last = reading.value;
            for value in &mut self.state {
                *value = value.mul_add(0.99, 0.01 * last);
                last = *value;
            }
        }
        black_box(&self.state);
    }
    fn tick(&mut self, _now: Moment, _findings: &mut Vec<Finding>) {}
    fn save(&self) -> Option<Vec<u8>> {
        None
    }
    fn restore(&mut self, _state: &[u8], _now: Moment) -> Result<(), RestoreError> {
        Err(RestoreError::Foreign)
    }
}

fn shards(threads: usize, rounds: usize) -> Shards<Known, Busy> {
    let now = Moment::from_wall(UtcMillis(0));
    let sources = vec![SourceId::new("s").expect("a name")];
    let counters = Arc::new(Counters::new(sources.clone()));
    let spec = || JudgeSpec {
        name: JudgeId::new("j").expect("a name"),
        detector: Detector::Threshold,
        scope: Scope::Signal,
        policy: EventPolicy {
            severity: Severity::Warning,
            lane: Lane::Alarm,
            raise_after: Duration::ZERO,
            clear_after: Duration::ZERO,
            update_every: None,
        },
        inputs: Inputs::readings(vec![InputPattern { source: SourceIndex(0), signals: None }]),
        expect: Vec::new(),
        machine: None,
        model: None,
        make: Box::new(move |_| Busy { rounds, state: vec![0.0; 512] }),
    };
    let devices = (0..DEVICES).map(|device| DeviceId::new(&format!("device-{device}")).expect("a name"));
    let decoder = Known(devices.collect(), SignalId::new("s").expect("a name"));
    let mut places = Placement::new(threads).places().into_iter();
    let first = places.next().unwrap_or_else(Place::everywhere);
    let (names, count) = (sources.clone(), Arc::clone(&counters));
    let front = JudgeSet::at(first, decoder, vec![spec()], names, count, random_event_id, now);
    let others = places.map(|place| {
        let (names, count) = (sources.clone(), Arc::clone(&counters));
        JudgeSet::at(place, Undecoded, vec![spec()], names, count, random_event_id, now)
    });
    Shards::new(front, others.collect())
}

fn bursts(criterion: &mut Criterion) {
    let now = Moment::from_wall(UtcMillis(1000));
    let mut next = 0_u16;
    let mut burst = || -> Vec<Inbound> {
        let message = |_| {
            next = next.wrapping_add(1);
            Inbound {
                source: SourceIndex(0),
                topic: "t".to_owned(),
                payload: Bytes::new(),
                received: now,
                retained: false,
                redelivered: false,
                packet_id: next,
                receipt: None,
            }
        };
        (0..BURST).map(message).collect()
    };
    for (cost, rounds) in [("light", 0), ("heavy", 20)] {
        let mut group = criterion.benchmark_group(format!("burst of {cost} judges"));
        group.throughput(Throughput::Elements(BURST as u64));
        for threads in [1, 2, 4] {
            let mut shards = shards(threads, rounds);
            let messages = burst();
            group.bench_function(BenchmarkId::from_parameter(threads), |bencher| {
                bencher.iter(|| {
                    for message in &messages {
                        shards.post(message, now);
                    }
                    black_box(shards.judge(&messages));
                });
            });
        }
    }
}

criterion_group!(benches, bursts);
criterion_main!(benches);
