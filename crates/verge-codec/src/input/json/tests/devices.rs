//! Values as devices write them: in strings, with words, as what JSON does not know, in wrappers of other programs.

use jiff::tz::TimeZone;
use verge_domain::looks::Looks;

use super::*;

#[track_caller]
fn check(source: &SourceSettings, payload: &str, readings: &[&str], rejections: &[&str]) {
    testing::check(source, &inbound("d", payload.as_bytes()), readings, rejections);
}

#[test]
fn numbers_and_words_stand_in_strings() {
    let mut readings = settings(&["/level", "?/pump"]);
    readings.readings[1].words = [("RUN".to_owned(), 2.0)].into();
    let source = by_topic(readings);
    check(&source, r#"{"level":"18.4","pump":"ON"}"#, &["d level 18.4", "d pump 1"], &[]);
    check(&source, r#"{"level":" -3e1 ","pump":"run"}"#, &["d level -30", "d pump 2"], &[]);
    check(&source, r#"{"level":"\u0037"}"#, &["d level 7"], &[]);
    check(&source, r#"{"level":"NaN","pump":"false"}"#, &["d pump 0"], &["not_finite at /level"]);
    check(&source, r#"{"level":"9007199254740993"}"#, &[], &["not_exact at /level"]);
    for text in ["", "run", "18,4", "1 234", "0x12", "18.4 m", "unavailable"] {
        let payload = format!(r#"{{"level":"{text}","pump":true}}"#);
        check(&source, &payload, &["d pump 1"], &["not_a_number at /level"]);
    }
    let mut comma = settings(&["/level"]);
    comma.readings[0].decimal = Decimal::Comma;
    comma.readings[0].unit = verge_domain::id::Unit::new("m").ok();
    let source = by_topic(comma);
    check(&source, r#"{"level":"18,4 m"}"#, &["d level 18.4 m"], &[]);
    check(&source, r#"{"level":18.4}"#, &["d level 18.4 m"], &[]);
    check(&source, r#"{"level":"18.4"}"#, &[], &["not_a_number at /level"]);
}

#[test]
fn a_value_that_is_not_json_costs_itself_alone() {
    let source = by_topic(settings(&["?/t", "/h"]));
    for word in ["nan", "NaN", "-Infinity", "inf", "-1.#IND"] {
        check(&source, &format!(r#"{{"t":{word},"h":40}}"#), &["d h 40"], &["not_finite at /t"]);
    }
    check(&source, r#"{"t":undefined,"h":40}"#, &["d h 40"], &["not_a_number at /t"]);
    check(&source, r#"{"t":007.5,"h":+40}"#, &["d t 7.5", "d h 40"], &[]);
    check(&source, r#"{"other":[NaN,{"x":nan}],"h":40}"#, &["d h 40"], &[]);
    let list = by_topic(settings(&["/*/v -> v"]));
    check(&list, r#"[{"v":1},{"v":nan},{"v":3}]"#, &["d v 1", "d v 3"], &["not_finite at /*/v"]);
    check(&source, r#"{"t":nan,"h":40"#, &[], &["bad_json"]);
    check(&source, r#"{"t":nan h:40}"#, &[], &["bad_json"]);
}

#[test]
fn text_may_have_what_programs_put_around_it() {
    let source = by_topic(settings(&["/t"]));
    for (before, after) in
        [("\u{feff}", ""), ("", "\0"), ("", "\r\n\0\0"), ("\u{feff} ", "\r\n"), ("", "\0\r\n")]
    {
        check(&source, &format!(r#"{before}{{"t":18.4}}{after}"#), &["d t 18.4"], &[]);
    }
    check(&source, "{\"t\":18.4}\0x", &[], &["bad_json"]);
}

#[test]
fn json_in_a_string_or_in_bytes_is_read_where_a_pointer_leads_in() {
    let source = by_topic(settings(&["/payload/t"]));
    check(&source, r#"{"payload":"{\"t\":18.4}"}"#, &["d t 18.4"], &[]);
    check(&source, r#"{"payload":" [1]"}"#, &[], &["missing_field at /payload/t"]);
    check(&source, r#"{"payload":"{\"t\":18.4"}"#, &[], &["missing_field at /payload/t"]);
    check(&source, r#"{"payload":"t"}"#, &[], &["missing_field at /payload/t"]);
    let whole = by_topic(settings(&["/t"]));
    check(&whole, r#""{\"t\":\"18.4\"}""#, &["d t 18.4"], &[]);
    // {"t":7}
    let buffer = r#"{"type":"Buffer","data":[123,34,116,34,58,55,125]}"#;
    check(&whole, buffer, &["d t 7"], &[]);
    check(&by_topic(settings(&["/data/5"])), buffer, &["d 5 55"], &[]);
    let inside = by_topic(settings(&["/payload"]));
    check(&inside, r#"{"payload":{"type":"Buffer","data":[49,56,46,52]}}"#, &["d payload 18.4"], &[]);
    check(&inside, r#"{"payload":{"type":"Buffer","data":[255]}}"#, &[], &["not_a_number at /payload"]);
}

#[test]
fn each_sample_of_an_array_has_its_own_time() {
    let time = |pointer: &str, zone: Option<&str>| TimeRule {
        pointer: pointer.to_owned(),
        format: TimeFormat::Auto,
        zone: zone.map(|zone| TimeZone::get(zone).unwrap()),
    };
    let of =
        |mapping: &str, time: TimeRule| by_topic(JsonSettings { time: Some(time), ..settings(&[mapping]) });
    let source = of("/*/values/t -> t", time("/*/ts", None));
    let samples = r#"[{"ts":1700000000000,"values":{"t":9}},{"ts":1700000300000,"values":{"t":1}}]"#;
    check(&source, samples, &["d t 9 @0", "d t 1 @300000"], &[]);
    let pairs = of("/rows/*/1 -> t", time("/rows/*/0", None));
    check(&pairs, r#"{"rows":[[1700000000,9],["1700000300","1"]]}"#, &["d t 9 @0", "d t 1 @300000"], &[]);
    let local = of("/*/t -> t", time("/*/at", Some("Asia/Tokyo")));
    let samples =
        r#"[{"at":"2023-11-15 07:13:20","t":9},{"at":"2023-11-15T07:13:21","t":1},{"at":"soon","t":2}]"#;
    check(&local, samples, &["d t 9 @0", "d t 1 @1000", "d t 2"], &["bad_time at /*/at"]);
    let without = of("/*/t -> t", time("/*/at", None));
    check(&without, r#"[{"at":"2023-11-15 07:13:20","t":9}]"#, &["d t 9"], &["bad_time at /*/at"]);
}

#[test]
fn arrays_side_by_side_belong_together_by_position() {
    let time = TimeRule { pointer: "/time/*".to_owned(), format: TimeFormat::UnixMs, zone: None };
    let source = by_topic(JsonSettings { time: Some(time), ..settings(&["/t/* -> t", "?/h/* -> h"]) });
    let both = r#"{"t":[9,1],"time":[1700000000000,1700000300000],"h":[40,null,42]}"#;
    check(
        &source,
        both,
        &["d t 9 @0", "d t 1 @300000", "d h 40 @0", "d h 42"],
        &["missing_field at /time/*"],
    );
    check(&source, r#"{"t":[9],"time":["soon"]}"#, &["d t 9"], &["bad_time at /time/*"]);
    check(&source, r#"{"t":[9],"time":7}"#, &["d t 9"], &["missing_field at /time/*"]);
    check(&source, r#"{"t":{"0":9},"time":[7]}"#, &["d t 9"], &["missing_field at /time/*"]);
    let named = by_topic(settings(&["/values/* -> {pointer:/names/*}"]));
    check(
        &named,
        r#"{"names":["a","b"],"values":[1,2,3]}"#,
        &["d a 1", "d b 2"],
        &["missing_field at /values/*"],
    );
}

#[test]
fn what_is_refused_is_shown() {
    let rule = TimeRule { pointer: "/at".to_owned(), format: TimeFormat::Auto, zone: None };
    let source = by_topic(JsonSettings { time: Some(rule), ..settings(&["/t", "/h"]) });
    let check = |payload: &str, shown: &[(&str, &str, Option<Looks>)]| {
        let decoded = testing::decode(&source, &inbound("d", payload.as_bytes()));
        let found: Vec<_> = decoded
            .rejections
            .iter()
            .map(|rejection| (rejection.to_string(), rejection.came.to_string(), rejection.looks()))
            .collect();
        let expected: Vec<_> =
            shown.iter().map(|(one, came, looks)| ((*one).to_owned(), (*came).to_owned(), *looks)).collect();
        assert_eq!(found, expected, "{payload}");
    };
    check(
        r#"{"at":"2026-11-28 00:00:00","t":"18,4","h":"18.4 °C"}"#,
        &[
            ("bad_time at /at", "`\"2026-11-28 00:00:00\"`", Some(Looks::LocalTime)),
            ("not_a_number at /t", "`\"18,4\"`", Some(Looks::DecimalComma)),
            ("not_a_number at /h", "`\"18.4 °C\"`", Some(Looks::NumberWithUnit)),
        ],
    );
    let message = r#"{"at":1,"h":40}"#;
    check(message, &[("missing_field at /t", "`{\"at\":1,\"h\":40}`", None)]);
    check("pump t=18.4", &[("bad_json", "`pump t=18.4`", Some(Looks::LineProtocol))]);
    let long = format!(r#"{{"at":1,"name":"{}","t":18,4,"h":40}}"#, "x".repeat(60));
    check(
        &long,
        &[("bad_json", "`…xxxxxxxxxxxxxxx\",\"t\":18,4,\"h\":40}`", Some(Looks::DecimalCommaInJson))],
    );
}
