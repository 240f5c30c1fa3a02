//! What a message costs on its way in, per codec, and a verdict on its way out.

use std::hint::black_box;

use bytes::Bytes;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use verge_codec::wire::{WireEncoder, WireFormat, WireLimits, read_message};
use verge_codec::{
    CodecSettings, Compression, Decoders, DeviceRule, JsonMapping, JsonSettings, LineSettings,
    NumberSettings, Precision, SenmlFormat, SenmlSettings, SignalRule, SourceSettings, TimeFormat, TimeRule,
};
use verge_domain::finding::{Expected, Member};
use verge_domain::id::{
    DeviceId, Epoch, EventId, GatewayId, Identity, JudgeId, Lane, Seq, SignalId, SourceId, Unit,
};
use verge_domain::reading::{Decoded, Inbound, SourceIndex};
use verge_domain::stage::{Decoder, Encoder, Envelope, StoredRow};
use verge_domain::time::{DeviceClock, Moment, UtcMillis};
use verge_domain::verdict::{Anomaly, Body, Detector, Event, EventState, Severity, Subject, Times, Verdict};

const NAME: &str = "a name";
const NOW: UtcMillis = UtcMillis(1_700_000_000_000);

struct Case {
    name: &'static str,
    codec: CodecSettings,
    compression: Compression,
    device: DeviceRule,
    payload: Bytes,
    readings: usize,
}

fn number() -> CodecSettings {
    CodecSettings::Number(NumberSettings {
        signal: SignalRule::TopicLevel(2),
        unit: Unit::new("mm/s").ok(),
        scale: 1.0,
        offset: 0.0,
        words: std::collections::BTreeMap::default(),
    })
}

fn json() -> CodecSettings {
    let mapping = JsonMapping {
        pointer: "/sensors/*/value".to_owned(),
        signal: Some("*".to_owned()),
        unit: Unit::new("Cel").ok(),
        scale: 1.0,
        offset: 0.0,
        required: true,
    };
    let time = TimeRule { pointer: "/ts".to_owned(), format: TimeFormat::UnixMs };
    CodecSettings::Json(JsonSettings { readings: vec![mapping], time: Some(time) })
}

/// An LZ4 block of literals only, with the size in front: what unpacking costs at least.
fn packed(text: &str) -> Bytes {
    let length = u8::try_from(text.len()).expect("a short text");
    assert!(length < 15, "the token holds the length");
    let mut block = vec![length, 0, 0, 0, length << 4];
    block.extend_from_slice(text.as_bytes());
    block.into()
}

fn cases() -> Vec<Case> {
    let senml = |format| CodecSettings::Senml(SenmlSettings { format });
    let json_text = r#"{"ts":1699999999950,"id":"pump-1","sensors":{"a":{"value":61.5},"b":{"value":48.25},"c":{"value":7.125},"d":{"value":0.5}}}"#;
    let senml_text = r#"[{"bn":"tank-1:","bt":1699999999,"n":"level","u":"m","v":2.41},{"n":"temperature","u":"Cel","v":18.5}]"#;
    // The same pack in CBOR (RFC 8428 section 6).
    let senml_cbor: &[u8] = b"\x82\xa5\x21\x67tank-1:\x22\x1a\x65\x53\xf0\xff\x00\x65level\x01\x61m\x02\xfb\x40\x03\x47\xae\x14\x7a\xe1\x48\xa3\x00\x6btemperature\x01\x63Cel\x02\xf9\x4c\xa0";
    let topic = || DeviceRule::TopicLevel(1);
    let case = |name, codec, compression, device, payload, readings| Case {
        name,
        codec,
        compression,
        device,
        payload,
        readings,
    };
    vec![
        case("number", number(), Compression::None, topic(), "7.123".into(), 1),
        case("number in lz4", number(), Compression::Lz4, topic(), packed("7.123"), 1),
        case("json with 4 readings", json(), Compression::None, topic(), json_text.into(), 4),
        case(
            "senml json",
            senml(SenmlFormat::Json),
            Compression::None,
            DeviceRule::SenmlName,
            senml_text.into(),
            2,
        ),
        case(
            "senml cbor",
            senml(SenmlFormat::Cbor),
            Compression::None,
            DeviceRule::SenmlName,
            senml_cbor.into(),
            2,
        ),
        case(
            "line",
            CodecSettings::Line(LineSettings { precision: Precision::Ns }),
            Compression::None,
            DeviceRule::Tag("host".to_owned()),
            "cpu,host=edge-1,core=0 idle=92.5,user=4.25 1699999999950000000".into(),
            2,
        ),
    ]
}

fn decode(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("decode");
    for Case { name, codec, compression, device, payload, readings } in cases() {
        let settings = SourceSettings {
            codec,
            compression,
            device,
            max_payload_bytes: 65_536,
            max_readings: 256,
            accept_retained: false,
        };
        let mut decoders = Decoders::new(vec![settings]).expect("good settings");
        let message = Inbound {
            source: SourceIndex(0),
            topic: "plant/pump-1/vibration".to_owned(),
            payload,
            received: Moment::from_wall(NOW),
            retained: false,
            redelivered: false,
            packet_id: 1,
            receipt: None,
        };
        let mut decoded = Decoded::default();
        decoders.decode(&message, &mut decoded);
        assert_eq!((decoded.readings.len(), decoded.rejections.len()), (readings, 0), "{name}: {decoded:?}");
        group.throughput(Throughput::Elements(readings as u64));
        group.bench_function(name, |bench| bench.iter(|| decoders.decode(black_box(&message), &mut decoded)));
    }
    group.finish();
}

fn verdict() -> Verdict {
    Verdict {
        judge: JudgeId::new("vibration-high").expect(NAME),
        subject: Subject {
            source: SourceId::new("pump").expect(NAME),
            device: DeviceId::new("pump-1").expect(NAME),
            signal: Some(SignalId::new("vibration").expect(NAME)),
        },
        times: Times { captured: None, clock: DeviceClock::Absent, received: NOW, decided: NOW },
        detector: Detector::Threshold,
        severity: Severity::Critical,
        lane: Lane::Verdict,
        event: Some(Event { id: EventId([7; 16]), state: EventState::Raised, since: NOW, lasted_ms: 0 }),
        body: Body::Anomaly(Anomaly {
            member: Member::High,
            observed: 7.93,
            expected: Expected { low: None, high: Some(7.1) },
            p_value: None,
            unit: Unit::new("mm/s").ok(),
        }),
    }
}

fn encode(criterion: &mut Criterion) {
    let (gateway, epoch, lane) = (GatewayId::new("pump-room-1").expect(NAME), Epoch([1; 16]), Lane::Verdict);
    let verdict = verdict();
    let stored = |seq: u64| {
        let identity = Identity { gateway: gateway.clone(), epoch, lane, seq: Seq(seq) };
        let mut bytes = Vec::new();
        WireEncoder::new(WireFormat::Cbor).verdict(&identity, &verdict, &mut bytes).expect("finite numbers");
        StoredRow { seq: Seq(seq), decided: NOW, bytes: bytes.into() }
    };
    let mut group = criterion.benchmark_group("encode");
    let identity = Identity { gateway: gateway.clone(), epoch, lane, seq: Seq(1) };
    let mut out = Vec::new();
    group.bench_function("verdict", |bench| {
        let mut encoder = WireEncoder::new(WireFormat::Cbor);
        bench.iter(|| {
            out.clear();
            encoder.verdict(&identity, black_box(&verdict), &mut out).expect("finite numbers");
        });
    });
    let rows: Vec<StoredRow> = (1..=20).map(stored).collect();
    let envelope = Envelope { gateway: gateway.clone(), epoch, lane, sent: NOW };
    group.throughput(Throughput::Elements(20));
    for (name, format) in
        [("message of 20, cbor", WireFormat::Cbor), ("message of 20, json", WireFormat::Json)]
    {
        let mut encoder = WireEncoder::new(format);
        group.bench_function(name, |bench| {
            bench.iter(|| encoder.message(&envelope, black_box(&rows), &mut out).expect("good rows"));
        });
        group.bench_function(format!("read {name}"), |bench| {
            bench.iter(|| read_message(black_box(&out), WireLimits::default()).expect("a good message"));
        });
    }
    group.finish();
}

criterion_group!(benches, decode, encode);
criterion_main!(benches);
