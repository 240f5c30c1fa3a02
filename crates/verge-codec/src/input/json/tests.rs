use verge_domain::reading::SharedBy;
use verge_domain::stage::Decoder;

use super::*;
use crate::JsonMapping;
use crate::testing::{self, inbound, source};
use crate::{CodecSettings, Decimal, QualityFormat, SourceSettings, TimeFormat};

/// A mapping: `pointer`, `?pointer` (not required), each with ` -> signal` behind it where it has a name.
fn mapping(text: &str) -> JsonMapping {
    let (pointer, signal) = match text.split_once(" -> ") {
        Some((pointer, signal)) => (pointer, Some(signal.to_owned())),
        None => (text, None),
    };
    let required = !pointer.starts_with('?');
    let pointer = pointer.trim_start_matches('?').to_owned();
    JsonMapping {
        pointer,
        signal,
        time: None,
        quality: None,
        unit: None,
        scale: 1.0,
        offset: 0.0,
        words: Default::default(),
        decimal: Decimal::Point,
        required,
    }
}

fn settings(mappings: &[&str]) -> JsonSettings {
    JsonSettings { readings: mappings.iter().map(|text| mapping(text)).collect(), time: None, quality: None }
}

fn by_topic(settings: JsonSettings) -> SourceSettings {
    source(CodecSettings::Json(settings), DeviceRule::TopicLevel(0))
}

#[test]
fn values_stand_where_pointers_point() {
    let check = |mappings: &[&str], payload: &str, readings: &[&str], rejections: &[&str]| {
        testing::check(
            &by_topic(settings(mappings)),
            &inbound("d", payload.as_bytes()),
            readings,
            rejections,
        );
    };
    check(&["/a"], r#"{"a":1.5,"b":[1,{"a":2}]}"#, &["d a 1.5"], &[]);
    check(&["/a/b/c"], r#"{"a":{"b":{"c":-3}}}"#, &["d c -3"], &[]);
    check(&["/b", "/a"], r#" { "a" : 1 , "b" : 2 } "#, &["d a 1", "d b 2"], &[]);
    check(&["/m/1/v"], r#"{"m":[{"v":1},{"v":2},{"v":3}]}"#, &["d v 2"], &[]);
    check(&["/m/01/v"], r#"{"m":[{"v":1},{"v":2}]}"#, &[], &["missing_field at /m/01/v"]);
    check(&["/1"], r#"{"1":4}"#, &["d 1 4"], &[]);
    check(&["/a~1b/m~0n"], r#"{"a/b":{"m~n":5}}"#, &["d m~n 5"], &[]);
    check(&["/\u{fc}"], r#"{"\u00fc":6}"#, &["d \u{fc} 6"], &[]);
    check(&[" -> all"], "21.5", &["d all 21.5"], &[]);
    check(&[" -> all", "/a"], r#"{"a":1}"#, &["d a 1"], &["not_a_number at "]);
    check(&["/a", "/a -> twin"], r#"{"a":1}"#, &["d a 1", "d twin 1"], &[]);
    check(&["?/a", "/a/b"], r#"{"a":{"b":1}}"#, &["d b 1"], &["not_a_number at /a"]);
    check(&["?/a", "?/a/b"], r#"{"a":7}"#, &["d a 7"], &[]);
}

#[test]
fn wildcards_stand_for_one_step() {
    let check = |mappings: &[&str], payload: &str, readings: &[&str], rejections: &[&str]| {
        testing::check(
            &by_topic(settings(mappings)),
            &inbound("d", payload.as_bytes()),
            readings,
            rejections,
        );
    };
    let sensors = r#"{"sensors":{"drive":{"value":61.5,"ok":true},"fan":{"value":48}},"n":1}"#;
    check(&["/sensors/*/value -> *"], sensors, &["d drive 61.5", "d fan 48"], &[]);
    check(&["/sensors/*/value"], sensors, &["d drive/value 61.5", "d fan/value 48"], &[]);
    check(&["/sensors/*/value -> temp-*-C"], sensors, &["d temp-drive-C 61.5", "d temp-fan-C 48"], &[]);
    check(&["/sensors/*/ok"], sensors, &["d drive/ok 1"], &[]);
    check(&["/sensors/*/none"], sensors, &[], &["missing_field at /sensors/*/none"]);
    check(&["/sensors/*"], r#"{"sensors":{"a":1,"b":2}}"#, &["d a 1", "d b 2"], &[]);
    check(&["/*/* -> *.*"], r#"{"x":[5,6],"y":{"z":7},"w":8}"#, &["d x.0 5", "d x.1 6", "d y.z 7"], &[]);
    check(&["/*/*"], r#"{"x":[5]}"#, &["d x/0 5"], &[]);
    // A name and `*` at the same place: both count, and each continues by itself.
    check(
        &["/s/*/v -> any-*", "/s/fan/v -> fan", "?/s/fan/w"],
        r#"{"s":{"drive":{"v":1},"fan":{"v":2,"w":3}}}"#,
        &["d any-drive 1", "d fan 2", "d w 3", "d any-fan 2"],
        &[],
    );
    check(&["/s/* -> x"], r#"{"s":{"a":1,"b":[2],"c":null}}"#, &["d x 1"], &["not_a_number at /s/*"]);
    check(&["/s/*"], r#"{"s":{"":1,"a\nb":2}}"#, &[], &["bad_name at /s/*", "bad_name at /s/*"]);
}

#[test]
fn good_and_bad_come_out_side_by_side() {
    let check = |payload: &str, readings: &[&str], rejections: &[&str]| {
        let source = by_topic(settings(&["/a", "/b", "?/c"]));
        testing::check(&source, &inbound("d", payload.as_bytes()), readings, rejections);
    };
    check(r#"{"a":1,"b":"2 m"}"#, &["d a 1"], &["not_a_number at /b"]);
    check(r#"{"a":1}"#, &["d a 1"], &["missing_field at /b"]);
    check(r#"{"a":null,"b":1,"c":null}"#, &["d b 1"], &["missing_field at /a"]);
    check(r#"{"a":1e999,"b":-1e999}"#, &[], &["not_finite at /a", "not_finite at /b"]);
    check(
        r#"{"a":9007199254740993,"b":9007199254740993.0}"#,
        &["d b 9007199254740992"],
        &["not_exact at /a"],
    );
    check(r#"{"a":123456789012345678901234567890,"b":0}"#, &["d b 0"], &["not_exact at /a"]);
    check(r#"{"a":[1],"b":{}}"#, &[], &["not_a_number at /a", "not_a_number at /b"]);
    check(r#"{"a":true,"b":false,"c":"OPEN"}"#, &["d a 1", "d b 0"], &["not_a_number at /c"]);
    check(r#"{"x":1e999,"a":1,"b":2}"#, &["d a 1", "d b 2"], &[]);
    check("[1,2]", &[], &["missing_field at /a", "missing_field at /b"]);
    check("17", &[], &["missing_field at /a", "missing_field at /b"]);
    check(r#""text""#, &[], &["missing_field at /a", "missing_field at /b"]);
    check("null", &[], &["missing_field at /a", "missing_field at /b"]);
}

#[test]
fn what_is_not_json_is_refused_as_a_whole() {
    let source = by_topic(settings(&["/a"]));
    let check = |payload: &[u8], rejection: &str| {
        testing::check(&source, &inbound("d", payload), &[], &[rejection]);
    };
    check(br#"{"a":1"#, "bad_json");
    check(br#"{"a":1}}"#, "bad_json");
    check(br#"{"a":1} {"a":2}"#, "bad_json");
    check(br#"{"a":NaN"#, "bad_json");
    check(br#"{"a":18,4}"#, "bad_json");
    check(br#"{"a":1,}"#, "bad_json");
    check(br#"{"a":}"#, "bad_json");
    check(br#"{a:1}"#, "bad_json");
    check(b"open", "bad_json");
    check(b"{\"a\":1,\"b\":\"\xff\"}", "not_utf8");
    check("[".repeat(60_000).as_bytes(), "bad_json");
    check(format!("{{\"b\":{}", "[".repeat(60_000)).as_bytes(), "bad_json");
    check(format!("{{\"a\":{}", "{\"a\":".repeat(10_000)).as_bytes(), "bad_json");
}

#[test]
fn deep_nesting_beside_the_pointers_is_passed_over() {
    let payload = format!(r#"{{"deep":{}{},"a":1}}"#, "[".repeat(20_000), "]".repeat(20_000));
    testing::check(&by_topic(settings(&["/a"])), &inbound("d", payload.as_bytes()), &["d a 1"], &[]);
}

#[test]
fn the_device_stands_in_the_message() {
    let rule = DeviceRule::Pointer("/dev/id".to_owned());
    let source = source(CodecSettings::Json(settings(&["/v"])), rule);
    let check = |payload: &str, readings: &[&str], rejections: &[&str]| {
        testing::check(&source, &inbound("topic", payload.as_bytes()), readings, rejections);
    };
    check(r#"{"v":1,"dev":{"id":"pump-1"}}"#, &["pump-1 v 1"], &[]);
    check(r#"{"v":1,"dev":{"id":"p\u00fcmp"}}"#, &["p\u{fc}mp v 1"], &[]);
    check(r#"{"v":1,"dev":{"id":9884}}"#, &["9884 v 1"], &[]);
    check(r#"{"v":1,"dev":{"id":9.5}}"#, &[], &["missing_device at /dev/id"]);
    check(r#"{"v":1,"dev":{"id":null}}"#, &[], &["missing_device at /dev/id"]);
    check(r#"{"v":1,"dev":{"id":["x"]}}"#, &[], &["missing_device at /dev/id"]);
    check(r#"{"v":1,"dev":"pump-1"}"#, &[], &["missing_device at /dev/id"]);
    check(r#"{"v":1}"#, &[], &["missing_device at /dev/id"]);
    check(r#"{"v":1,"dev":{"id":""}}"#, &[], &["bad_name at /dev/id"]);
    check(r#"{"v":1,"dev":{"id":"a\nb"}}"#, &[], &["bad_name at /dev/id"]);
}

#[test]
fn readings_outlive_a_bad_time() {
    let rule = TimeRule { pointer: "/t".to_owned(), format: TimeFormat::UnixS, zone: None };
    let source = by_topic(JsonSettings { time: Some(rule), ..settings(&["/v"]) });
    let check = |payload: &str, readings: &[&str], rejections: &[&str]| {
        testing::check(&source, &inbound("d", payload.as_bytes()), readings, rejections);
    };
    check(r#"{"v":1,"t":1700000000.25}"#, &["d v 1 @250"], &[]);
    check(r#"{"t":1699999999,"v":1}"#, &["d v 1 @-1000"], &[]);
    check(r#"{"v":1,"t":"17 o'clock"}"#, &["d v 1"], &["bad_time at /t"]);
    check(r#"{"v":1,"t":1e999}"#, &["d v 1"], &["bad_time at /t"]);
    check(r#"{"v":1,"t":null}"#, &["d v 1"], &["missing_field at /t"]);
    check(r#"{"v":1}"#, &["d v 1"], &["missing_field at /t"]);
}

#[test]
fn scale_and_unit_are_the_mappings_own() {
    let tenths = JsonMapping {
        unit: Some(Unit::new("Cel").unwrap()),
        scale: 0.1,
        offset: -40.0,
        ..mapping("/raw -> temperature")
    };
    let source =
        by_topic(JsonSettings { readings: vec![tenths, mapping("/rpm")], time: None, quality: None });
    testing::check(
        &source,
        &inbound("d", br#"{"raw":650,"rpm":1480}"#),
        &["d temperature 25 Cel", "d rpm 1480"],
        &[],
    );
}

#[test]
fn a_message_of_too_many_values_is_cut_off() {
    let check = |payload: &str, readings: &[&str], rejections: &[&str]| {
        let source = SourceSettings { max_readings: 2, ..by_topic(settings(&["/s/* -> *", "/last"])) };
        testing::check(&source, &inbound("d", payload.as_bytes()), readings, rejections);
    };
    check(r#"{"s":[1],"last":2}"#, &["d 0 1", "d last 2"], &[]);
    check(r#"{"s":[null,null,null,1],"last":2}"#, &["d 3 1", "d last 2"], &[]);
    check(r#"{"s":[1,2],"last":2}"#, &["d 0 1", "d 1 2"], &["too_many_readings"]);
    check(
        r#"{"s":["x","y","z","w"]}"#,
        &[],
        &["not_a_number at /s/* (0)", "not_a_number at /s/* (1)", "too_many_readings"],
    );
}

#[test]
fn contradictions_are_refused() {
    let check = |mappings: &[&str], expected: &str| {
        let error = JsonCodec::new(settings(mappings), &DeviceRule::TopicLevel(0)).unwrap_err().to_string();
        assert!(error.contains(expected), "{error:?} does not contain {expected:?}");
    };
    check(&[], "at least one reading");
    check(&["a"], "RFC 6901");
    check(&["/a~x"], "RFC 6901");
    check(&[""], "needs a signal name");
    check(&["/"], "must not be empty");
    check(&["/a -> *"], "more \"*\"");
    check(&["/*/a -> *-*"], "more \"*\"");
    check(&["/a -> "], "must not be empty");
    check(&[&"/x".repeat(65)], "65 steps");

    let error = |settings: JsonSettings, device: &DeviceRule| {
        JsonCodec::new(settings, device).unwrap_err().to_string()
    };
    let star = DeviceRule::Pointer("/*/id".to_owned());
    assert!(
        error(settings(&["/a"]), &star)
            .contains("\"/*/id\" has a \"*\" that the reading at \"/a\" does not have")
    );
    let time = Some(TimeRule { pointer: "/*".to_owned(), format: TimeFormat::Auto, zone: None });
    assert!(
        error(JsonSettings { time, ..settings(&["/a"]) }, &DeviceRule::TopicLevel(0))
            .contains("does not have at the same place")
    );
    check(&["/s/*/v -> {pointer:/t/*/id}"], "does not have at the same place");
    check(&["/s/*/v -> {*2}"], "more \"*\"");
    check(&["/s/*/v -> {field}"], "no signal names in a field");
    check(&["/s/*/v -> {topic:1}{*}"], "text between two parts");
    let device = DeviceRule::Composed(NameTemplate::parse("{topic:1}/{*}", false).unwrap());
    assert!(error(settings(&["/s/*/v", "/a"]), &device).contains("more \"*\""));
    let flat = JsonMapping { scale: 0.0, ..mapping("/a") };
    assert!(
        error(JsonSettings { readings: vec![flat], time: None, quality: None }, &DeviceRule::TopicLevel(0))
            .contains("not 0")
    );
}

fn composed(device: &str, readings: JsonSettings) -> SourceSettings {
    let template = NameTemplate::parse(device, false).unwrap();
    source(CodecSettings::Json(readings), DeviceRule::Composed(template))
}

fn time_at(pointer: &str) -> Option<TimeRule> {
    Some(TimeRule { pointer: pointer.to_owned(), format: TimeFormat::UnixMs, zone: None })
}

fn quality_at(pointer: &str) -> Option<QualityRule> {
    Some(QualityRule { pointer: pointer.to_owned(), format: QualityFormat::Auto })
}

#[test]
fn what_stands_beside_a_value_names_it() {
    let readings = JsonSettings {
        time: time_at("/values/*/t"),
        quality: quality_at("/values/*/q"),
        ..settings(&["/values/*/v -> {pointer:/values/*/id}"])
    };
    let check = |payload: &str, readings_expected: &[&str], rejections: &[&str]| {
        let source = by_topic(readings.clone());
        testing::check(&source, &inbound("d", payload.as_bytes()), readings_expected, rejections);
    };
    check(
        r#"{"values":[{"id":"A.1","v":42,"q":true,"t":1700000000001},{"t":1700000000002,"v":7,"q":true,"id":"A.2"}]}"#,
        &["d A.1 42 @1", "d A.2 7 @2"],
        &[],
    );
    // Its position in the array is not its name.
    check(r#"{"values":[{"id":"A.2","v":8,"t":1700000000003}]}"#, &["d A.2 8 @3"], &[]);
    check(
        r#"{"values":[{"id":"A.1","v":1,"q":false,"t":1},{"id":"A.2","v":2,"t":1700000000000}]}"#,
        &["d A.2 2 @0"],
        &["bad_quality at /values/*/q"],
    );
    check(
        r#"{"values":[{"v":1,"t":1700000000000},{"id":"","v":2,"t":1700000000000},{"id":{},"v":3,"t":1700000000000},{"id":7,"v":4}]}"#,
        &["d 7 4"],
        &[
            "missing_field at /values/*/v",
            "bad_name at /values/*/v",
            "missing_field at /values/*/v",
            "missing_field at /values/*/t",
        ],
    );
    check(r#"{"values":[{"id":"x","id":"y","v":4,"t":1700000000000}]}"#, &["d y 4 @0"], &[]);
}

#[test]
fn a_backlog_has_the_times_of_its_elements() {
    let source = by_topic(JsonSettings { time: time_at("/*/ts"), ..settings(&["/*/values/t -> t"]) });
    let payload = br#"[{"ts":1699999400000,"values":{"t":9}},{"ts":1699999700000,"values":{"t":9}},{"values":{"t":1},"ts":1700000000000}]"#;
    let readings = ["d t 9 @-600000", "d t 9 @-300000", "d t 1 @0"];
    testing::check(&source, &inbound("d", payload), &readings, &[]);
    assert!(testing::decode(&source, &inbound("d", payload)).shared.is_empty());
    let first = by_topic(JsonSettings { time: time_at("/0/ts"), ..settings(&["/*/values/t -> t"]) });
    assert_eq!(
        testing::decode(&first, &inbound("d", payload)).shared,
        [(2, SharedBy::Time)],
        "one time for three values"
    );
}

#[test]
fn opc_ua_messages_name_device_and_signal_at_two_depths() {
    let readings = JsonSettings {
        time: Some(TimeRule {
            pointer: "/Messages/*/Payload/*/SourceTimestamp".to_owned(),
            format: TimeFormat::Rfc3339,
            zone: None,
        }),
        quality: Some(QualityRule {
            pointer: "/Messages/*/Payload/*/StatusCode".to_owned(),
            format: QualityFormat::OpcUa,
        }),
        ..settings(&["/Messages/*/Payload/*/Value -> {*2}"])
    };
    let source = composed("{pointer:/PublisherId}/{pointer:/Messages/*/DataSetWriterId}", readings);
    let payload = br#"{"PublisherId":"opc","Messages":[
        {"DataSetWriterId":1,"Payload":{"T":{"Value":1,"SourceTimestamp":"2023-11-14T22:13:20Z"},
                                        "P":{"Value":2,"SourceTimestamp":"2023-11-14T22:13:21Z","StatusCode":{"Code":2157772800,"Symbol":"BadOutOfService"}}}},
        {"DataSetWriterId":2,"Payload":{"T":{"Value":3,"StatusCode":1083113472,"SourceTimestamp":"2023-11-14T22:13:22Z"}}}]}"#;
    testing::check(
        &source,
        &inbound("d", payload),
        &["opc/1 T 1 @0", "opc/2 T 3 @2000"],
        &["bad_quality at /Messages/*/Payload/*/StatusCode"],
    );
    assert_eq!(testing::decode(&source, &inbound("d", payload)).items[1].quality, Quality::Uncertain);
}

mod devices;
mod names;
