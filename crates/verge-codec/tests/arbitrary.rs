//! Whatever arrives, every codec answers with finite, bounded readings or with counted refusals.

use bytes::Bytes;
use proptest::prelude::*;
use verge_codec::{
    CodecSettings, Compression, Decimal, Decoders, DeviceRule, JsonMapping, JsonSettings, LineSettings,
    NumberSettings, Precision, SampleElement, SamplesSettings, SenmlFormat, SenmlSettings, SignalRule,
    SourceSettings, TimeFormat, TimeRule,
};
use verge_domain::reading::{Decoded, Inbound, SourceIndex};
use verge_domain::stage::Decoder;
use verge_domain::time::{Moment, UtcMillis};
use verge_lz4::Packer;

const MAX_PAYLOAD: usize = 2048;
const MAX_READINGS: usize = 16;

fn mapping(pointer: &str) -> JsonMapping {
    JsonMapping {
        pointer: pointer.to_owned(),
        signal: None,
        time: None,
        quality: None,
        unit: None,
        scale: 1e10,
        offset: 1.0,
        words: [("run".to_owned(), 5.0)].into(),
        decimal: Decimal::Point,
        required: true,
    }
}

/// Every codec, with the settings that look at most of a message.
fn codecs() -> Vec<(CodecSettings, DeviceRule)> {
    let number = NumberSettings {
        signal: SignalRule::TopicLevel(1),
        unit: None,
        scale: 1e10,
        offset: 1.0,
        words: [("run".to_owned(), 5.0)].into(),
        decimal: Decimal::Comma,
    };
    let readings = ["/a", "/a/b", "/*/*", "/b/0", "/v"].map(mapping).to_vec();
    let time = Some(TimeRule { pointer: "/t".to_owned(), format: TimeFormat::Auto, zone: None });
    let samples = |element| {
        CodecSettings::Samples(SamplesSettings {
            element,
            signal: SignalRule::TopicLevel(1),
            unit: None,
            scale: 1e300,
            offset: 1.0,
        })
    };
    vec![
        (samples(SampleElement::F32), DeviceRule::TopicLevel(0)),
        (samples(SampleElement::I16), DeviceRule::TopicLevel(0)),
        (CodecSettings::Number(number), DeviceRule::TopicLevel(0)),
        (
            CodecSettings::Json(JsonSettings { readings, time, quality: None }),
            DeviceRule::Pointer("/id".to_owned()),
        ),
        (
            CodecSettings::Senml(SenmlSettings { format: SenmlFormat::Auto, signal: None }),
            DeviceRule::SenmlName,
        ),
        (
            CodecSettings::Senml(SenmlSettings { format: SenmlFormat::Cbor, signal: None }),
            DeviceRule::SenmlName,
        ),
        (CodecSettings::Line(LineSettings::new(Precision::Ns)), DeviceRule::Tag("host".to_owned())),
    ]
}

fn decoders() -> Decoders {
    let sources = [Compression::None, Compression::Lz4].into_iter().flat_map(|compression| {
        codecs().into_iter().map(move |(codec, device)| SourceSettings {
            codec,
            compression,
            device,
            max_payload_bytes: MAX_PAYLOAD,
            max_readings: MAX_READINGS,
            accept_retained: true,
        })
    });
    Decoders::new(sources.map(Some)).expect("the settings of this test are good")
}

/// Shows a payload to every source, as it is and packed.
fn survive(topic: &str, payload: &[u8]) {
    let mut decoders = decoders();
    let mut decoded = Decoded::default();
    let packed = Packer::default().pack(payload).expect("payloads of this test are short").to_vec();
    for source in 0..14 {
        for payload in [payload, &packed] {
            let message = Inbound::of(
                SourceIndex(source),
                topic,
                Bytes::copy_from_slice(payload),
                Moment::from_wall(UtcMillis(1_700_000_000_000)),
            );
            decoders.decode(&message, &mut decoded);
            assert!(!decoded.items.is_empty() || !decoded.rejections.is_empty(), "nothing came of it");
            assert!(decoded.items.len() <= MAX_READINGS);
            // A rejection per value, and per message or line those of missing fields, times and excess.
            assert!(decoded.rejections.len() <= 2 * MAX_READINGS + 8, "{}", decoded.rejections.len());
            for reading in &decoded.items {
                assert!(reading.value.is_finite(), "{reading:?}");
            }
        }
    }
}

/// Text that is nearly right: pieces of all formats that the codecs read, in any order.
fn nearly() -> impl Strategy<Value = Vec<u8>> {
    let pieces: Vec<&[u8]> = vec![
        b"{",
        b"}",
        b"[",
        b"]",
        b":",
        b",",
        b"\"a\"",
        b"\"b\"",
        b"\"id\"",
        b"\"t\"",
        b"\"v\"",
        b"\"n\"",
        b"\"bn\"",
        b"\"vs\"",
        b"\"vd\"",
        b"\"x:y\"",
        b"\"\\u0000\"",
        b"\"\\ud800\"",
        b"1",
        b"-0",
        b"1e999",
        b"0.5",
        b"9007199254740993",
        b"null",
        b"true",
        b"\xff",
        b"m,host=",
        b" ",
        b"=",
        b"\n",
        b"\\",
        b"\"",
        b"1i",
        b"2u",
        b"t",
        b"NaN",
        b"inf",
        b"ON",
        b"\x81",
        b"\xa1",
        b"\x00",
        b"\x02",
        b"\x9f",
        b"\xbf",
        b"\xff",
        b"\xc4\x82",
        b"\x1b\xff\xff\xff\xff\xff\xff\xff\xff",
        b"\x21",
        b"\x62",
        b"1700000000000",
        b"#",
    ];
    prop::collection::vec(prop::sample::select(pieces), 0..60).prop_map(|pieces| pieces.concat())
}

/// Messages that are right, for the tests that damage them.
const GOOD: [&[u8]; 6] = [
    b" 21.5\n",
    br#"{"id":"pump-1","t":1700000000000,"a":{"b":1.5,"c":[2,"x"]},"b":[3],"v":-4e2}"#,
    br#"[{"bn":"pump-1:","bt":1.7e9,"bu":"m","n":"level","v":1.5},{"n":"on","vb":true,"t":-5}]"#,
    b"\x82\xa4\x21\x62a:\x22\x1a\x65\x53\xf1\x00\x00\x61x\x02\xf9\x3e\x00\xa2\x00\x61y\x02\xc4\x82\x20\x18\xd7",
    b"cpu,host=a,core=0 user=1.5,idle=98i,on=t,note=\"x y\" 1700000000000000000\nmem,host=a used=5u\n",
    b"\x9f\xbf\x00\x63a:x\x04\xf5\xff\xff",
];

#[test]
fn damaged_messages_are_survived_at_every_byte() {
    for good in GOOD {
        for at in 0..good.len() {
            survive("d/s", &good[..at]);
            for mask in [0x01, 0x20, 0x80, 0xff] {
                let mut damaged = good.to_vec();
                damaged[at] ^= mask;
                survive("d/s", &damaged);
            }
        }
    }
}

proptest! {
    #[test]
    fn samples_are_read_as_they_were_written(samples in prop::collection::vec(any::<f32>(), 1..100)) {
        let settings = SamplesSettings {
            element: SampleElement::F32,
            signal: SignalRule::TopicLevel(0),
            unit: None,
            scale: 1.0,
            offset: 0.0,
        };
        let mut decoders = Decoders::new([Some(SourceSettings {
            codec: CodecSettings::Samples(settings),
            compression: Compression::None,
            device: DeviceRule::TopicLevel(0),
            max_payload_bytes: MAX_PAYLOAD,
            max_readings: 100,
            accept_retained: true,
        })]).unwrap();
        let payload: Vec<u8> = samples.iter().flat_map(|sample| sample.to_le_bytes()).collect();
        let message = Inbound::of(SourceIndex(0), "d", payload, Moment::from_wall(UtcMillis(0)));
        let mut decoded = Decoded::default();
        decoders.decode(&message, &mut decoded);
        let read: Vec<f64> = decoded.items.iter().map(|reading| reading.value).collect();
        let finite: Vec<f64> = samples.iter().copied().filter(|x| x.is_finite()).map(f64::from).collect();
        prop_assert_eq!(decoded.rejections.len(), samples.len() - finite.len());
        prop_assert_eq!(read, finite);
    }

    #[test]
    fn arbitrary_bytes_never_panic(
        topic in "[a-z/]{0,8}",
        payload in prop::collection::vec(any::<u8>(), 0..200),
    ) {
        survive(&topic, &payload);
    }

    #[test]
    fn nearly_right_text_never_panics(topic in "[a-z/]{0,8}", payload in nearly()) {
        survive(&topic, &payload);
    }

    #[test]
    fn every_number_is_read_as_it_was_written(value in any::<f64>()) {
        let mut decoders = Decoders::new([Some(SourceSettings {
            codec: CodecSettings::Number(NumberSettings {
                signal: SignalRule::TopicLevel(0),
                unit: None,
                scale: 1.0,
                offset: 0.0,
                words: Default::default(),
                decimal: Decimal::Point,
            }),
            compression: Compression::None,
            device: DeviceRule::TopicLevel(0),
            max_payload_bytes: MAX_PAYLOAD,
            max_readings: 1,
            accept_retained: true,
        })]).unwrap();
        let mut decoded = Decoded::default();
        let payload = format!("{value:e}");
        let message = Inbound::of(SourceIndex(0), "d", payload, Moment::from_wall(UtcMillis(0)));
        decoders.decode(&message, &mut decoded);
        match decoded.items.first() {
            Some(reading) => prop_assert_eq!(reading.value, value),
            None => prop_assert!(!value.is_finite()),
        }
    }
}
