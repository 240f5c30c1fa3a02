//! What it costs to decode a message, per codec.

use std::hint::black_box;

use bytes::Bytes;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use verge_codec::{
    CodecSettings, Compression, Decimal, Decoders, DeviceRule, JsonMapping, JsonSettings, LineSettings,
    NumberSettings, Precision, SenmlFormat, SenmlSettings, SignalRule, SourceSettings, TimeFormat, TimeRule,
};
use verge_domain::id::Unit;
use verge_domain::reading::{Decoded, Inbound, SourceIndex};
use verge_domain::stage::Decoder;
use verge_domain::time::{Moment, UtcMillis};
use verge_lz4::Packer;

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
        decimal: Decimal::Point,
    })
}

fn json() -> CodecSettings {
    let mapping = JsonMapping {
        pointer: "/sensors/*/value".to_owned(),
        signal: Some("*".to_owned()),
        time: None,
        quality: None,
        unit: Unit::new("Cel").ok(),
        scale: 1.0,
        offset: 0.0,
        words: std::collections::BTreeMap::default(),
        decimal: Decimal::Point,
        required: true,
    };
    let time = TimeRule { pointer: "/ts".to_owned(), format: TimeFormat::UnixMs, zone: None };
    CodecSettings::Json(JsonSettings { readings: vec![mapping], time: Some(time), quality: None })
}

fn packed(text: &str) -> Bytes {
    let mut packer = Packer::default();
    Bytes::copy_from_slice(packer.pack(text.as_bytes()).expect("a short text"))
}

fn cases() -> Vec<Case> {
    let senml = |format| CodecSettings::Senml(SenmlSettings { format, signal: None });
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
        case("json with 4 readings", json(), Compression::None, topic(), json_text.into(), 4),
        case("json with 4 readings, in lz4", json(), Compression::Lz4, topic(), packed(json_text), 4),
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
            CodecSettings::Line(LineSettings::new(Precision::Ns)),
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
        let mut decoders = Decoders::new([Some(settings)]).expect("good settings");
        let message = Inbound {
            packet_id: 1,
            ..Inbound::of(SourceIndex(0), "plant/pump-1/vibration", payload, Moment::from_wall(NOW))
        };
        let mut decoded = Decoded::default();
        decoders.decode(&message, &mut decoded);
        assert_eq!((decoded.items.len(), decoded.rejections.len()), (readings, 0), "{name}: {decoded:?}");
        group.throughput(Throughput::Elements(readings as u64));
        group.bench_function(name, |bench| bench.iter(|| decoders.decode(black_box(&message), &mut decoded)));
    }
    group.finish();
}

criterion_group!(benches, decode);
criterion_main!(benches);
