//! Names out of topic and message.

use super::*;

#[test]
fn names_come_from_topic_and_message() {
    let check =
        |device: &str, mapping: &str, topic: &str, payload: &str, expected: &[&str], refused: &[&str]| {
            let source = composed(device, settings(&[mapping]));
            testing::check(&source, &inbound(topic, payload.as_bytes()), expected, refused);
        };
    check("{topic:1}/{pointer:/id}", "/v", "s/a", r#"{"id":"b","v":1}"#, &["a/b v 1"], &[]);
    check(
        "{topic:1}/{pointer:/id}",
        "/v",
        "s/a",
        r#"{"v":1}"#,
        &[],
        &["missing_device at {topic:1}/{pointer:/id}"],
    );
    check("{topic:1..}", "/v -> {topic:0}-{pointer:/k}", "s/a/b", r#"{"k":"x","v":1}"#, &["a/b s-x 1"], &[]);
    check(
        "{topic:0}:{*}",
        "/s/*/v -> v",
        "s",
        r#"{"s":{"fan":{"v":1},"drive":{"v":2}}}"#,
        &["s:fan v 1", "s:drive v 2"],
        &[],
    );
    check("{topic:0}", "/v -> {pointer:/k}", "s", r#"{"k":"a/b","v":1}"#, &["s a/b 1"], &[]);
    // Telegraf in JSON.
    check(
        "{pointer:/tags/host}",
        "/fields/* -> {pointer:/name}/{*},{pointer:/tags}",
        "t",
        r#"{"fields":{"used":95},"name":"disk","tags":{"path":"/","host":"a"},"timestamp":1}"#,
        &["a disk/used,host=a,path=/ 95"],
        &[],
    );
}

#[test]
fn positions_in_an_array_of_changing_length_are_no_names() {
    let check = |mapping: &str, payloads: &[(&str, &str)], expected: &[(usize, SharedBy)]| {
        let mut decoders = crate::Decoders::new([Some(by_topic(settings(&[mapping])))]).unwrap();
        let mut decoded = verge_domain::reading::Decoded::default();
        for (topic, payload) in payloads {
            assert!(decoded.shared.is_empty());
            decoders.decode(&inbound(topic, payload.as_bytes()), &mut decoded);
        }
        assert_eq!(decoded.shared, expected, "{mapping}");
    };
    let (two, one) = (r#"{"s":[{"i":"a","v":1},{"i":"b","v":2}]}"#, r#"{"s":[{"i":"b","v":2}]}"#);
    check("/s/*/v -> tag*", &[("d", two), ("d", two), ("d", one)], &[(0, SharedBy::Position)]);
    check("/s/*/v", &[("d", two), ("d", one)], &[(0, SharedBy::Position)]);
    check("/s/*/v -> tag*", &[("d", two), ("e", one), ("d", two)], &[]);
    check("/s/*/v -> {pointer:/s/*/i}", &[("d", two), ("d", one)], &[]);
    let named = (r#"{"s":{"a":{"v":1},"b":{"v":2}}}"#, r#"{"s":{"b":{"v":2}}}"#);
    check("/s/*/v -> tag*", &[("d", named.0), ("d", named.1)], &[]);
    check("/s/*", &[("d", r#"{"s":[1,2,3]}"#), ("d", r#"{"s":[1,null,3]}"#)], &[]);
}
