//! What it costs to send a verdict.

use std::hint::black_box;
use std::time::Duration;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use verge_domain::finding::{Expected, Feedback, Member};
use verge_domain::id::{
    DeviceId, Epoch, EventId, GatewayId, Identity, JudgeId, Lane, Seq, SignalId, SourceId, Unit,
};
use verge_domain::stage::{Encoder, Envelope, StoredRow};
use verge_domain::time::{DeviceClock, UtcMillis};
use verge_domain::verdict::{
    AlarmHandling, Anomaly, Body, Detector, Event, EventState, Severity, Subject, Times, Verdict,
};
use verge_lz4::{Packer, Unpacker};
use verge_wire::{WireEncoder, WireFormat, WireLimits, read_message, verdict_json};

const NAME: &str = "a name";
const NOW: UtcMillis = UtcMillis(1_700_000_000_000);

/// The verdict with this number: times, values and identities of events differ as they do in practice, for a
/// block of equal verdicts would cost next to nothing.
fn verdict(seq: u64) -> Verdict {
    let received = UtcMillis(NOW.0 + 137 * seq as i64);
    // The multiplier of Knuth's MMIX generator: bits without a pattern that LZ4 could find.
    let scattered = (seq + 1).wrapping_mul(6_364_136_223_846_793_005).to_be_bytes();
    let mut id = [0; 16];
    id[..8].copy_from_slice(&scattered);
    id[8..].copy_from_slice(&scattered.map(|byte| byte.wrapping_mul(151) ^ 0x5a));
    Verdict {
        judge: JudgeId::new("vibration-high").expect(NAME),
        subject: Subject {
            source: SourceId::new("pump").expect(NAME),
            device: DeviceId::new(&format!("pump-{}", seq % 4)).expect(NAME),
            signal: Some(SignalId::new("vibration").expect(NAME)),
        },
        times: Times {
            captured: None,
            clock: DeviceClock::Absent,
            received,
            decided: received,
            estimated: false,
        },
        detector: Detector::Threshold,
        tag: None,
        model: None,
        severity: Severity::Critical,
        lane: Lane::Verdict,
        event: Some(Event {
            id: EventId(id),
            state: EventState::Raised,
            since: received,
            lasted_ms: 0,
            number: None,
            change: None,
            suspended: false,
            learning: false,
            group: None,
            handling: AlarmHandling::default(),
        }),
        group: None,
        action: None,
        body: Body::Anomaly(Anomaly {
            member: Member::High,
            observed: 7.93 + f64::from(scattered[0]) / 100.0,
            expected: Expected { low: None, high: Some(7.1) },
            p_value: None,
            unit: Unit::new("mm/s").ok(),
            contributions: Vec::new(),
            feedback: Feedback::default(),
            distance: None,
            value: None,
            usual: Expected::default(),
            value_unit: None,
            regions: verge_domain::verdict::Regions::default(),
        }),
    }
}

fn identity(seq: u64) -> Identity {
    let gateway = GatewayId::new("pump-room-1").expect(NAME);
    Identity { gateway, epoch: Epoch([1; 16]), lane: Lane::Verdict, seq: Seq(seq) }
}

fn encoded(seq: u64, verdict: &Verdict) -> StoredRow {
    let mut bytes = Vec::new();
    WireEncoder::new(WireFormat::Cbor).verdict(&identity(seq), verdict, &mut bytes).expect("finite numbers");
    StoredRow { seq: Seq(seq), decided: NOW, bytes: bytes.into(), withdrawn: None }
}

fn stored(seq: u64) -> StoredRow {
    encoded(seq, &verdict(seq))
}

fn one_verdict(criterion: &mut Criterion) {
    let (identity, verdict) = (identity(1), verdict(1));
    let mut group = criterion.benchmark_group("verdict");
    let mut encoder = WireEncoder::new(WireFormat::Cbor);
    let mut out = Vec::new();
    group.bench_function("cbor, as stored", |bench| {
        bench.iter(|| {
            out.clear();
            encoder.verdict(&identity, black_box(&verdict), &mut out).expect("finite numbers");
        });
    });
    group.bench_function("json, as printed", |bench| {
        bench.iter(|| verdict_json(&identity, black_box(&verdict)).to_string());
    });
    group.finish();
}

fn message_of_20(criterion: &mut Criterion) {
    let rows: Vec<StoredRow> = (1..=20).map(stored).collect();
    let Identity { gateway, epoch, lane, .. } = identity(1);
    let envelope = Envelope { gateway, epoch, lane, sent: NOW, age: Duration::ZERO, volatile: false };
    let mut group = criterion.benchmark_group("message of 20");
    group.throughput(Throughput::Elements(20));
    let mut out = Vec::new();
    for (name, format) in [("cbor", WireFormat::Cbor), ("json", WireFormat::Json)] {
        let mut encoder = WireEncoder::new(format);
        group.bench_function(format!("write {name}"), |bench| {
            bench.iter(|| encoder.message(&envelope, black_box(&rows), &mut out).expect("good rows"));
        });
        encoder.message(&envelope, &rows, &mut out).expect("good rows");
        group.bench_function(format!("read {name}"), |bench| {
            bench.iter(|| read_message(black_box(&out), WireLimits::default()).expect("a good message"));
        });
    }
    group.finish();
}

/// As many as are summed up at once at most, and more devices than are distinguished.
fn summary_of_4096(criterion: &mut Criterion) {
    let rows: Vec<StoredRow> = (1..=4096)
        .map(|seq| {
            let mut row = verdict(seq);
            row.subject.device = DeviceId::new(&format!("pump-{}", seq % 200)).expect(NAME);
            encoded(seq, &row)
        })
        .collect();
    let mut group = criterion.benchmark_group("summary of 4096");
    group.throughput(Throughput::Elements(4096));
    let mut encoder = WireEncoder::new(WireFormat::Cbor);
    let mut out = Vec::new();
    group.bench_function("64 devices of 200", |bench| {
        bench.iter(|| encoder.summary(Lane::Verdict, black_box(&rows), &mut out).expect("good rows"));
    });
    group.finish();
}

fn lz4(criterion: &mut Criterion) {
    let plain: Vec<u8> = (1..=20).flat_map(|seq| stored(seq).bytes).collect();
    let (mut packer, mut unpacker) = (Packer::default(), Unpacker::default());
    let block = packer.pack(&plain).expect("a short message").to_vec();
    let mut group = criterion.benchmark_group("lz4 of 20 verdicts");
    group.throughput(Throughput::Bytes(plain.len() as u64));
    group.bench_function("pack", |bench| {
        bench.iter(|| packer.pack(black_box(&plain)).expect("a short message").len());
    });
    group.bench_function("unpack", |bench| {
        bench.iter(|| unpacker.unpack(black_box(&block), plain.len()).expect("a good block").len());
    });
    group.finish();
}

criterion_group!(benches, one_verdict, message_of_20, summary_of_4096, lz4);
criterion_main!(benches);
