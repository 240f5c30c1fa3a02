//! What memory costs: none for a message of a device that is known. One test, because allocations of other threads
//! would be counted too.

use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};
use std::alloc::System;
use verge_codec::{
    CodecSettings, Compression, Decimal, Decoders, DeviceRule, JsonMapping, JsonSettings, LineSettings,
    NameTemplate, NumberSettings, Precision, QualityFormat, QualityRule, SampleElement, SamplesSettings,
    SignalRule, SourceSettings, TimeFormat, TimeRule,
};
use verge_domain::id::{DeviceId, SignalId};
use verge_domain::reading::{Decoded, Inbound, SourceIndex};
use verge_domain::stage::Decoder;
use verge_domain::time::{Moment, UtcMillis};

#[global_allocator]
static MEMORY: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

fn allocated(work: impl FnOnce()) -> usize {
    let region = Region::new(MEMORY);
    work();
    region.change().bytes_allocated
}

fn source(codec: CodecSettings, device: DeviceRule) -> SourceSettings {
    SourceSettings {
        codec,
        compression: Compression::None,
        device,
        max_payload_bytes: 65_536,
        max_readings: 256,
        accept_retained: false,
    }
}

fn inbound(source: u16, payload: &'static [u8]) -> Inbound {
    Inbound {
        packet_id: 1,
        ..Inbound::of(
            SourceIndex(source),
            "plant/pump-1/level",
            payload,
            Moment::from_wall(UtcMillis(1_700_000_000_000)),
        )
    }
}

fn known_devices_cost_nothing() {
    let number = CodecSettings::Number(NumberSettings {
        signal: SignalRule::Fixed(SignalId::new("level").expect("a name")),
        unit: None,
        scale: 1.0,
        offset: 0.0,
        words: Default::default(),
        decimal: Decimal::Point,
    });
    let mapping = |pointer: &str| JsonMapping {
        pointer: pointer.to_owned(),
        signal: None,
        time: None,
        quality: None,
        unit: None,
        scale: 1.0,
        offset: 0.0,
        words: Default::default(),
        decimal: Decimal::Point,
        required: true,
    };
    let json = CodecSettings::Json(JsonSettings {
        readings: vec![mapping("/a"), mapping("/s/*/v"), mapping("/missing")],
        time: Some(TimeRule { pointer: "/ts".to_owned(), format: TimeFormat::UnixMs, zone: None }),
        quality: None,
    });
    let samples = CodecSettings::Samples(SamplesSettings {
        element: SampleElement::I16,
        signal: SignalRule::Fixed(SignalId::new("x").expect("a name")),
        unit: None,
        scale: 1.0,
        offset: 0.0,
    });
    let name = |text: &str| NameTemplate::parse(text, false).expect("a name");
    let line = |signal| CodecSettings::Line(LineSettings { precision: Precision::Ns, signal: name(signal) });
    let beside = JsonMapping {
        signal: Some("{topic:2}/{pointer:/s/*/i}".to_owned()),
        quality: Some(QualityRule { pointer: "/s/*/q".to_owned(), format: QualityFormat::Auto }),
        required: false,
        ..mapping("/s/*/v")
    };
    let elements = CodecSettings::Json(JsonSettings { readings: vec![beside], time: None, quality: None });
    let mut decoders = Decoders::new([
        Some(source(number, DeviceRule::TopicLevel(1))),
        Some(source(json, DeviceRule::Pointer("/dev".to_owned()))),
        Some(source(samples, DeviceRule::TopicLevel(1))),
        Some(source(line(LineSettings::SIGNAL), DeviceRule::Tag("host".to_owned()))),
        Some(source(line("{field}"), DeviceRule::Fixed(DeviceId::new("a").expect("a name")))),
        Some(source(elements, DeviceRule::Composed(name("{topic:1..}/{pointer:/dev}")))),
    ])
    .expect("the settings of this test are good");
    let messages = [
        (inbound(0, b"21.5"), 1),
        (
            inbound(
                1,
                br#"{"dev":"p","ts":1700000000000,"a":1.5,"s":{"x":{"v":2},"y":{"v":3}},"note":["z"]}"#,
            ),
            3,
        ),
        (
            inbound(
                1,
                br#"{"dev":"p","ts":"1700000000000","a":"1.5","s":{"x":{"v":"ON"},"y":{"v":" 3 "}},"note":["z"]}"#,
            ),
            3,
        ),
        (inbound(0, b"\xef\xbb\xbf\"21.5\"\r\n\0"), 1),
        (inbound(2, &[7; 512]), 256),
        (inbound(5, br#"{"dev":"p","s":[{"i":"a","v":1,"t":1700000000000},{"i":"b/c","v":2,"q":192}]}"#), 2),
    ];
    let mut decoded = Decoded::default();
    for (message, readings) in &messages {
        for known in [false, true] {
            let cost = allocated(|| decoders.decode(message, &mut decoded));
            assert_eq!(decoded.items.len(), *readings);
            assert!(!known || cost == 0, "a known device cost {cost} bytes: {message:?}");
        }
    }
    // The parser of line protocol allocates; names of several parts do not.
    let series = b"cpu,host=a,cpu=cpu0 idle=92.5,user=4.25 1699999999950000000";
    let [whole, field] = [3, 4].map(|source| {
        let message = inbound(source, series);
        decoders.decode(&message, &mut decoded);
        let cost = allocated(|| decoders.decode(&message, &mut decoded));
        assert_eq!(decoded.items.len(), 2);
        cost
    });
    assert_eq!(whole, field, "bytes for names of series, and of fields alone");
}

#[test]
fn memory_follows_what_is_there() {
    known_devices_cost_nothing();
}
