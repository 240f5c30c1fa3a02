use minicbor::Encoder;

use verge_domain::reading::SharedBy;

use super::*;
use crate::testing::{self, RECEIVED, inbound, source};
use crate::{CodecSettings, DeviceRule, SourceSettings};

fn named(format: SenmlFormat) -> SourceSettings {
    source(CodecSettings::Senml(SenmlSettings { format, signal: None }), DeviceRule::SenmlName)
}

fn check(payload: &str, readings: &[&str], rejections: &[&str]) {
    for format in [SenmlFormat::Json, SenmlFormat::Auto] {
        testing::check(&named(format), &inbound("d", payload.as_bytes()), readings, rejections);
    }
}

#[test]
fn base_fields_hold_from_their_record_on() {
    check(r#"[{"bn":"tank-1:","n":"level","u":"m","v":2.41}]"#, &["tank-1 level 2.41 m"], &[]);
    check(
        r#"[{"bn":"hall/a:","bt":1.7e9,"bu":"A","bver":5,"n":"i1","u":"V","v":120.5},
            {"n":"i2","t":-5,"v":1.2},{"n":"i3","v":1.5},
            {"bn":"hall/b:","bu":"W","bv":100,"n":"p","v":-1}]"#,
        &["hall/a i1 120.5 V @0", "hall/a i2 1.2 A @-5000", "hall/a i3 1.5 A @0", "hall/b p 99 W @0"],
        &[],
    );
    check(r#"[{"bn":"tank-1:"},{"n":"level","v":1}]"#, &["tank-1 level 1"], &[]);
    // Nothing is left over for the next message.
    let source = named(SenmlFormat::Json);
    let mut decoders = crate::Decoders::new([Some(source)]).unwrap();
    let mut decoded = verge_domain::reading::Decoded::default();
    for (payload, count) in [(r#"[{"bn":"a:","bv":5,"n":"x","v":1}]"#, 1), (r#"[{"n":"x","v":1}]"#, 0)] {
        verge_domain::stage::Decoder::decode(&mut decoders, &inbound("d", payload.as_bytes()), &mut decoded);
        assert_eq!(decoded.items.len(), count, "{payload}");
    }
}

#[test]
fn names_are_taken_apart() {
    let check = |base: &str, name: &str, device: Option<&str>, signal: &str| {
        assert_eq!(
            split(&format!("{base}{name}"), base, name),
            Split { device, signal },
            "{base:?} + {name:?}"
        );
    };
    check("tank-1:", "level", Some("tank-1"), "level");
    check("", "tank-1:level", Some("tank-1"), "level");
    check("site/", "tank-1/level", Some("site/tank-1"), "level");
    check("tank1", "level", Some("tank1"), "level");
    check("tank-1:", "", Some("tank-1"), "value");
    check("", "level", None, "level");
    check("", ":level", None, ":level");
    check("urn:dev:ow:10e2073a01080063:", "temp", Some("urn:dev:ow:10e2073a01080063"), "temp");
    check("urn:dev:ow:10e2073a01080063", "", Some("urn:dev:ow:10e2073a01080063"), "value");
    check("", "urn:dev:ow:10e2073a01080063:", Some("urn:dev:ow:10e2073a01080063"), "value");
    check("urn:dev:", "ow", Some("urn:dev:ow"), "value");
}

#[test]
fn the_device_may_stand_in_the_topic() {
    let by_topic = source(
        CodecSettings::Senml(SenmlSettings { format: SenmlFormat::Auto, signal: None }),
        DeviceRule::TopicLevel(0),
    );
    let check = |payload: &str, readings: &[&str], rejections: &[&str]| {
        testing::check(&by_topic, &inbound("d", payload.as_bytes()), readings, rejections);
    };
    check(r#"[{"n":"level","v":1},{"n":"tank:flow","v":2}]"#, &["d level 1", "d flow 2"], &[]);
    check(r#"[{"v":1}]"#, &[], &["bad_name at n"]);
}

#[test]
fn times_are_relative_below_2_28() {
    let check = |time: &str, expected: Result<i64, &str>| {
        let reading = expected.map(|offset| format!("a x 1 @{offset}"));
        let (readings, rejections) = match &reading {
            Ok(reading) => (vec![reading.as_str()], vec![]),
            Err(reason) => (vec!["a x 1"], vec![*reason]),
        };
        check(&format!(r#"[{{"n":"a:x","v":1,{time}}}]"#), &readings, &rejections);
    };
    check(r#""t":0"#, Ok(0));
    check(r#""t":-0.25"#, Ok(-250));
    check(r#""t":60"#, Ok(60_000));
    check(r#""t":268435455"#, Ok(268_435_455_000));
    check(r#""t":268435456"#, Ok(268_435_456_000 - RECEIVED.0));
    check(r#""bt":1700000000,"t":1.5"#, Ok(1_500));
    check(r#""bt":1700000000"#, Ok(0));
    check(r#""bt":-10,"t":4"#, Ok(-6_000));
    check(r#""t":1e15"#, Err("bad_time at t"));
    check(r#""t":-1e15"#, Err("bad_time at t"));
    check(r#""bt":-1e300,"t":-1e300"#, Err("bad_time at t"));
}

#[test]
fn values_are_numbers_or_truths() {
    let check = |fields: &str, readings: &[&str], rejections: &[&str]| {
        check(&format!(r#"[{{"n":"a:x"{fields}}},{{"n":"a:y","v":2}}]"#), readings, rejections);
    };
    check(r#","v":1"#, &["a x 1", "a y 2"], &[]);
    check(r#","vb":true"#, &["a x 1", "a y 2"], &[]);
    check(r#","vb":false,"bv":7"#, &["a x 0", "a y 9"], &[]);
    check(r#","vs":"open""#, &["a y 2"], &["not_a_number at vs"]);
    check(r#","vd":"aGFsbG8""#, &["a y 2"], &["not_a_number at vd"]);
    check(r#","vd":"aGFsbG8=""#, &["a y 2"], &["not_a_number at vd"]);
    check(r#","vd":"a+/b""#, &["a y 2"], &["bad_base64 at vd"]);
    check(r#","vd":"a""#, &["a y 2"], &["bad_base64 at vd"]);
    check(r#","vd":17"#, &["a y 2"], &["bad_base64 at vd"]);
    check(r#","v":"1""#, &["a x 1", "a y 2"], &[]);
    check(r#","v":"1 m""#, &["a y 2"], &["not_a_number at v"]);
    check(r#","v":nan"#, &["a y 2"], &["not_finite at v"]);
    check(r#","v":null"#, &["a y 2"], &["not_a_number at v"]);
    check(r#","v":1e999"#, &["a y 2"], &["not_finite at v"]);
    check(r#","v":9007199254740993"#, &["a y 2"], &["not_exact at v"]);
    check(r#","v":1e308,"bv":1.7e308},{"bv":0"#, &["a y 2"], &["not_finite at v"]);
}

#[test]
fn records_without_use_are_counted() {
    check(r#"[{"n":"a:x","s":7}]"#, &[], &["missing_field at v"]);
    check(r#"[{"n":"a:x"}]"#, &[], &["missing_field at v"]);
    check(r#"[{"n":"x","v":1}]"#, &[], &["missing_device at n"]);
    check(r#"[{"n":"a:x\ny","v":1}]"#, &[], &["bad_name at n"]);
    check(r#"[{"n":"a:x","u":"","v":1}]"#, &[], &["bad_name at u"]);
    check(r#"[{"n":"a:x","v":1,"ut":5,"bs":1,"vendor":{"deep":[1]}}]"#, &["a x 1"], &[]);
}

#[test]
fn packs_of_another_shape_are_refused_as_a_whole() {
    let good = r#"{"n":"a:x","v":1}"#;
    let check = |rest: &str, rejection: &str| check(&format!("[{good},{rest}"), &[], &[rejection]);
    check(r#"{"n":"a:x","v":1,"vs":"x"}]"#, "bad_senml");
    check(r#"{"n":"a:x","v":1,"must_":1}]"#, "bad_senml");
    check(r#"{"bver":11}]"#, "bad_senml");
    check(r#"{"bn":1}]"#, "bad_senml");
    check(r#"{"bt":"now"}]"#, "bad_senml");
    check(r#"{"n":7,"v":1}]"#, "bad_senml");
    check(r#"{"n":"a:x","vb":1}]"#, "bad_senml");
    check(r#"{"n":"a:x","t":1e999,"v":1}]"#, "bad_senml");
    check("17]", "bad_senml");
    check("null]", "bad_senml");
    check("{}", "bad_json");
    check("{}]]", "bad_json");
    check("{]", "bad_json");
    let whole = |payload: &[u8], rejection: &str| {
        testing::check(&named(SenmlFormat::Json), &inbound("d", payload), &[], &[rejection]);
    };
    whole(b"[]", "bad_senml");
    whole(b"{}", "bad_senml");
    whole(b"17", "bad_senml");
    whole(b"[{\"n\":\"\xff\"}]", "not_utf8");
}

#[test]
fn too_many_records_are_cut_off() {
    let source = SourceSettings { max_readings: 2, ..named(SenmlFormat::Auto) };
    let pack = |records: usize| format!("[{}]", vec![r#"{"n":"a:x","v":1}"#; records].join(","));
    testing::check(&source, &inbound("d", pack(2).as_bytes()), &["a x 1"; 2], &[]);
    testing::check(&source, &inbound("d", pack(5).as_bytes()), &["a x 1"; 2], &["too_many_readings"]);
}

/// Writes CBOR for a test.
fn cbor(
    write: impl FnOnce(
        &mut Encoder<&mut Vec<u8>>,
    ) -> Result<(), minicbor::encode::Error<std::convert::Infallible>>,
) -> Vec<u8> {
    let mut bytes = Vec::new();
    write(&mut Encoder::new(&mut bytes)).unwrap();
    bytes
}

fn check_cbor(payload: &[u8], readings: &[&str], rejections: &[&str]) {
    for format in [SenmlFormat::Cbor, SenmlFormat::Auto] {
        testing::check(&named(format), &inbound("d", payload), readings, rejections);
    }
}

#[test]
fn packs_in_cbor_say_the_same() {
    let pack = cbor(|cbor| {
        cbor.array(4)?;
        cbor.map(5)?.i8(-2)?.str("hall:")?.i8(-3)?.u32(1_700_000_000)?.i8(-4)?.str("A")?;
        cbor.u8(0)?.str("i1")?.u8(2)?.f64(1.25)?;
        cbor.begin_map()?.u8(0)?.str("i2")?.u8(6)?.i8(-5)?.u8(2)?.u64(7)?.end()?;
        cbor.map(3)?.u8(0)?.str("on")?.u8(4)?.bool(true)?.str("vendor")?.array(1)?.null()?;
        cbor.map(2)?.u8(0)?.str("raw")?.u8(8)?.bytes(&[1, 2])?.ok()
    });
    check_cbor(
        &pack,
        &["hall i1 1.25 A @0", "hall i2 7 A @-5000", "hall on 1 A @0"],
        &["not_a_number at vd"],
    );
    check_cbor(&pack[..pack.len() - 1], &[], &["bad_cbor"]);
    check_cbor(&[&pack[..], &[0]].concat(), &[], &["bad_cbor"]);
}

#[test]
fn packs_of_another_shape_in_cbor_are_refused() {
    check_cbor(&[0x80], &[], &["bad_senml"]);
    check_cbor(&[0xa0], &[], &["bad_senml"]);
    check_cbor(&[0x81, 0x01], &[], &["bad_senml"]);
    check_cbor(&[0x81, 0xa1, 0x00, 0x01], &[], &["bad_senml"]);
    check_cbor(&[0x81, 0xa1, 0x21, 0x41, 0xff], &[], &["bad_senml"]);
    check_cbor(&[0x81, 0xa1, 0x62, b'm', b'_', 0x01], &[], &["bad_senml"]);
    check_cbor(&[0x9b, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff], &[], &["bad_cbor"]);
    check_cbor(&[0x81, 0xa1, 0x00, 0x7b, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff], &[], &["bad_cbor"]);
    check_cbor(&[0x9f], &[], &["bad_cbor"]);
    check_cbor(&[0x81, 0xa1, 0x00, 0x62, 0xff, 0xff], &[], &["bad_cbor"]);
    check_cbor(b"hello", &[], &["bad_senml"]);
}

#[test]
fn both_halves_of_a_name_can_be_kept() {
    let pack = br#"[{"bn":"room1/","n":"temp","v":20},{"bn":"room2/","n":"temp","v":30},{"bn":"","n":"alone","v":1}]"#;
    let check = |device: DeviceRule, signal: Option<&str>, readings: &[&str], rejections: &[&str]| {
        let signal = signal.map(|text| NameTemplate::parse(text, false).unwrap());
        let codec = CodecSettings::Senml(SenmlSettings { format: SenmlFormat::Json, signal });
        let source = source(codec, device);
        testing::check(&source, &inbound("gw", pack), readings, rejections);
        testing::decode(&source, &inbound("gw", pack)).shared
    };
    let topic = || DeviceRule::TopicLevel(0);
    let shared = check(topic(), None, &["gw temp 20", "gw temp 30", "gw alone 1"], &[]);
    assert_eq!(shared, [(1, SharedBy::Time)], "one name for two rooms");
    let both = ["gw room1/temp 20", "gw room2/temp 30"];
    assert!(check(topic(), Some("{name}/{record}"), &both, &["missing_field at n"]).is_empty());
    let device = DeviceRule::Composed(NameTemplate::parse("{topic:0}-{name}", false).unwrap());
    check(device, None, &["gw-room1 temp 20", "gw-room2 temp 30"], &["missing_device at n"]);
}
