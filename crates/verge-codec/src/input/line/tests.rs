use verge_domain::reading::SharedBy;

use super::*;
use crate::testing::{self, RECEIVED, inbound, source};
use crate::{CodecSettings, SourceSettings};

fn tagged(precision: Precision) -> SourceSettings {
    source(CodecSettings::Line(LineSettings::new(precision)), DeviceRule::Tag("host".to_owned()))
}

fn check(payload: &str, readings: &[&str], rejections: &[&str]) {
    testing::check(&tagged(Precision::Ns), &inbound("telegraf", payload.as_bytes()), readings, rejections);
}

#[test]
fn fields_are_signals() {
    check(
        "cpu,host=a,cpu=0 user=1.5,idle=98i 1700000000000000000",
        &["a cpu/user,cpu=0 1.5 @0", "a cpu/idle,cpu=0 98 @0"],
        &[],
    );
    check("m,host=a x=5u,y=true,z=F", &["a m/x 5", "a m/y 1", "a m/z 0"], &[]);
    check("m,host=a x=-1.5e-3,y=2E2", &["a m/x -0.0015", "a m/y 200"], &[]);
    check("m,host=b\\ 1 x\\,y=1", &["b 1 m/x%2Cy 1"], &[]);
    check("# note\n\nm,host=a x=1\nm,host=b x=2\n", &["a m/x 1", "b m/x 2"], &[]);
}

#[test]
fn measurements_and_tags_tell_series_apart() {
    let check = |device: DeviceRule, signal: &str, payload: &str, readings: &[&str], rejections: &[&str]| {
        let signal = NameTemplate::parse(signal, false).unwrap();
        let codec = CodecSettings::Line(LineSettings { precision: Precision::Ns, signal });
        testing::check(&source(codec, device), &inbound("t/h", payload.as_bytes()), readings, rejections);
    };
    let host = || DeviceRule::Tag("host".to_owned());
    let hosts = "mem,host=a used=40\ndisk,path=/,host=a,fs=x used=95\nswap,host=a used=0";
    let all = ["a mem/used 40", "a disk/used,fs=x,path=/ 95", "a swap/used 0"];
    check(host(), LineSettings::SIGNAL, hosts, &all, &[]);
    check(host(), "{field}", hosts, &["a used 40", "a used 95", "a used 0"], &[]);
    let topic = ["h mem/used,host=a 40", "h disk/used,fs=x,host=a,path=/ 95", "h swap/used,host=a 0"];
    check(DeviceRule::TopicLevel(1), LineSettings::SIGNAL, hosts, &topic, &[]);
    check(
        host(),
        "{topic:0}.{measurement}.{tag:path}.{field}{tags}",
        hosts,
        &["a t.disk./.used,fs=x 95"],
        &["missing_field at field", "missing_field at field"],
    );
    let device = NameTemplate::parse("{tag:host}:{measurement}", false).unwrap();
    check(
        DeviceRule::Composed(device.clone()),
        "{field}{tags}",
        hosts,
        &["a:mem used 40", "a:disk used,fs=x,path=/ 95", "a:swap used 0"],
        &[],
    );
    check(
        DeviceRule::Composed(device),
        "{field}",
        "m x=1",
        &[],
        &["missing_device at {tag:host}:{measurement}"],
    );
    // A field is not taken for a tag, nor a measurement for both.
    let tricky = "a/b,host=h c=1\na,host=h b/c=2\nm,host=h x\\,t\\=1=3\nm,host=h,t=1 x=4";
    check(
        host(),
        LineSettings::SIGNAL,
        tricky,
        &["h a%2Fb/c 1", "h a/b/c 2", "h m/x%2Ct=1 3", "h m/x,t=1 4"],
        &[],
    );
}

#[test]
fn names_of_series_are_bounded() {
    let many: String = (0..40).map(|number| format!(",tag{number}=value")).collect();
    let of = |last: &str| {
        let payload = format!("m,host=a{many},z={last} x=1");
        let decoded = testing::decode(&tagged(Precision::Ns), &inbound("t", payload.as_bytes()));
        decoded.items[0].signal.to_string()
    };
    assert!(of("1").starts_with("m/x,tag0=value,tag1=value,tag10"), "{}", of("1"));
    assert!(of("1").len() <= 128 && of("1") == of("1") && of("1") != of("2"));
}

#[test]
fn series_that_share_a_name_are_found() {
    let shared = |signal: &str| {
        let signal = NameTemplate::parse(signal, false).unwrap();
        let codec = CodecSettings::Line(LineSettings { precision: Precision::Ns, signal });
        let payload = b"mem,host=a used=40\ndisk,host=a used=95\nswap,host=b used=0";
        testing::decode(&source(codec, DeviceRule::Tag("host".to_owned())), &inbound("t", payload)).shared
    };
    assert_eq!(shared("{field}"), [(1, SharedBy::Time)]);
    assert!(shared(LineSettings::SIGNAL).is_empty());
}

#[test]
fn good_and_bad_come_out_side_by_side() {
    check("m,host=a x=\"text\",y=1", &["a m/y 1"], &["not_a_number at field"]);
    check("m,host=a x=9007199254740993i,y=9007199254740993u", &[], &["not_exact at field"; 2]);
    check("m,host=a x=1e999", &[], &["not_finite at field"]);
    check("m x=1,y=2\nm,host=a x=1", &["a m/x 1"], &["missing_device at host"]);
    check("m,host=a x=NaN,y=2\nm,host=a x=1", &["a m/y 2", "a m/x 1"], &["not_finite at field"]);
    check("m,host=a x=-inf,y=\"NaN\",z=2", &["a m/z 2"], &["not_finite at field"; 2]);
    check("m,host=nan x=nan y\nm,host=a x=1", &["a m/x 1"], &["bad_line at line"]);
    check("m,host=a x=99999999999999999999i\nm,host=a x=1", &["a m/x 1"], &["bad_line at line"]);
    check("nonsense\nm,host=a x=1", &["a m/x 1"], &["bad_line at line"]);
    check("m,host=a\tb x=1", &[], &["bad_line at line"]);
    check(&format!("m,host={} x=1", "h".repeat(129)), &[], &["bad_name at host"]);
    check("\n# only a note\n", &[], &["empty"]);
    testing::check(&tagged(Precision::Ns), &inbound("t", b"m x=1\xff"), &[], &["not_utf8"]);
}

#[test]
fn every_precision_is_read() {
    let check = |precision: Precision, timestamp: i128, expected: Option<i64>| {
        let payload = format!("m,host=a x=1 {timestamp}");
        let decoded = testing::decode(&tagged(precision), &inbound("t", payload.as_bytes()));
        let found = decoded.items.first().and_then(|reading| reading.captured_at);
        assert_eq!(found, expected.map(UtcMillis), "{precision:?} {timestamp}");
        assert_eq!(decoded.rejections.is_empty(), expected.is_some());
    };
    let at = i128::from(RECEIVED.0);
    check(Precision::S, at / 1000, Some(RECEIVED.0));
    check(Precision::Ms, at, Some(RECEIVED.0));
    check(Precision::Us, at * 1000 + 999, Some(RECEIVED.0));
    check(Precision::Ns, at * 1_000_000 + 999_999, Some(RECEIVED.0));
    check(Precision::Ns, -1, Some(-1));
    check(Precision::S, i128::from(i64::MAX), None);
    check(Precision::Ms, i128::from(i64::MAX), None);
    check(Precision::Ns, i128::from(i64::MAX) + 1, None);
}

#[test]
fn too_many_fields_are_cut_off() {
    let source = SourceSettings { max_readings: 3, ..tagged(Precision::Ns) };
    let check = |payload: &str, readings: &[&str], rejections: &[&str]| {
        testing::check(&source, &inbound("t", payload.as_bytes()), readings, rejections);
    };
    check("m,host=a x=1,y=2,z=3", &["a m/x 1", "a m/y 2", "a m/z 3"], &[]);
    check("m,host=a x=1,y=2\nm,host=a x=3,y=4", &["a m/x 1", "a m/y 2", "a m/x 3"], &["too_many_readings"]);
    check(
        "a\nb\nc\nd",
        &[],
        &["bad_line at line", "bad_line at line", "bad_line at line", "too_many_readings"],
    );
}
