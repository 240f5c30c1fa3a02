use proptest::prelude::*;
use prost::Message;

use super::*;
use crate::payload::{Metric, MetricValue, PropertySet, PropertyValue, SparkplugPayload};

const NODE: &str = "spBv1.0/g/NBIRTH/n";

fn named(name: &str, datatype: u32, value: MetricValue) -> Metric {
    Metric { name: Some(name.to_owned()), datatype: Some(datatype), value: Some(value), ..Metric::default() }
}

fn double(name: &str, value: f64) -> Metric {
    named(name, 10, MetricValue::Double(value))
}

fn under(alias: u64, metric: Metric) -> Metric {
    Metric { alias: Some(alias), ..metric }
}

fn data(alias: u64, value: f64) -> Metric {
    Metric { alias: Some(alias), value: Some(MetricValue::Double(value)), ..Metric::default() }
}

fn bd_seq(number: u64) -> Metric {
    named("bdSeq", 8, MetricValue::Long(number))
}

fn message(seq: Option<u64>, metrics: Vec<Metric>) -> Vec<u8> {
    SparkplugPayload { timestamp: Some(5), metrics, seq }.encode_to_vec()
}

/// What comes of a message, in words, and whether births are wanted.
fn read(reader: &mut SparkplugReader, topic: &str, payload: &[u8]) -> (Vec<String>, Result<bool, Reason>) {
    let mut out = Vec::new();
    let whose = |speaker: Speaker<'_>| speaker.device.unwrap_or("-").to_owned();
    let answer = reader.read(topic, payload, |read| {
        out.push(match read {
            SparkplugRead::Value { speaker, name, unit, value, .. } => {
                format!(
                    "{} {name} {value}{}",
                    whose(speaker),
                    unit.map(|unit| format!(" {unit}")).unwrap_or_default()
                )
            }
            SparkplugRead::Refused { reason, name } => format!("{reason} {}", name.unwrap_or("-")),
            SparkplugRead::Away(speaker) => format!("{} away", whose(speaker)),
        });
    });
    (out, answer)
}

#[track_caller]
fn check(
    reader: &mut SparkplugReader,
    topic: &str,
    payload: &[u8],
    expected: &[&str],
    wants: Result<bool, Reason>,
) {
    let (out, answer) = read(reader, topic, payload);
    assert_eq!((out.iter().map(String::as_str).collect::<Vec<_>>(), answer), (expected.to_vec(), wants));
}

fn born() -> SparkplugReader {
    let mut reader = SparkplugReader::new(false);
    let birth =
        message(Some(0), vec![bd_seq(9), double("Node Control/Rebirth", 0.0), under(1, double("load", 1.0))]);
    check(&mut reader, NODE, &birth, &["- load 1"], Ok(false));
    let unit = PropertyValue { text: Some("bar".to_owned()), ..PropertyValue::default() };
    let properties = PropertySet { keys: vec!["engUnit".to_owned()], values: vec![unit] };
    let metric = Metric { properties: Some(properties), ..under(2, double("p", 3.5)) };
    check(&mut reader, "spBv1.0/g/DBIRTH/n/d", &message(Some(1), vec![metric]), &["d p 3.5 bar"], Ok(false));
    reader
}

#[test]
fn data_is_named_by_births() {
    let mut reader = born();
    check(
        &mut reader,
        "spBv1.0/g/DDATA/n/d",
        &message(Some(2), vec![data(2, 4.0)]),
        &["d p 4 bar"],
        Ok(false),
    );
    check(&mut reader, "spBv1.0/g/NDATA/n", &message(Some(3), vec![data(1, 2.0)]), &["- load 2"], Ok(false));
    // Without an alias, as older encoders write it.
    let metric =
        Metric { value: Some(MetricValue::Double(5.0)), name: Some("p".to_owned()), ..Metric::default() };
    check(&mut reader, "spBv1.0/g/DDATA/n/d", &message(Some(4), vec![metric]), &["d p 5 bar"], Ok(false));
    let unknown = message(Some(5), vec![data(7, 4.0), data(2, 6.0)]);
    check(&mut reader, "spBv1.0/g/DDATA/n/d", &unknown, &["unknown_alias -", "d p 6 bar"], Ok(true));
    check(
        &mut reader,
        "spBv1.0/g/DDATA/n/e",
        &message(Some(6), vec![data(2, 4.0)]),
        &["unknown_alias -"],
        Ok(true),
    );
    // Of a node that was never born: what says its own name and type is read, and its births are wanted.
    check(&mut reader, "spBv1.0/g/NDATA/m", &message(Some(6), vec![double("v", 1.0)]), &["- v 1"], Ok(true));
}

#[test]
fn a_gap_is_reported_and_the_values_are_read() {
    let mut reader = born();
    let ddata = "spBv1.0/g/DDATA/n/d";
    check(&mut reader, ddata, &message(Some(3), vec![data(2, 1.0)]), &["seq_gap -", "d p 1 bar"], Ok(true));
    check(&mut reader, ddata, &message(Some(4), vec![data(2, 1.0)]), &["d p 1 bar"], Ok(false));
    check(&mut reader, ddata, &message(None, vec![]), &["seq_gap -"], Ok(true));
    let mut reader = born();
    for seq in 2..=700_u64 {
        check(&mut reader, ddata, &message(Some(seq % 256), vec![]), &[], Ok(false));
    }
}

#[test]
fn deaths_count_with_the_number_of_their_birth() {
    let mut reader = born();
    let will = |number: u64| message(None, vec![bd_seq(number)]);
    let death = "spBv1.0/g/NDEATH/n";
    check(&mut reader, death, &will(8), &[], Err(Reason::StaleDeath));
    check(&mut reader, death, &message(None, vec![]), &[], Err(Reason::StaleDeath));
    check(&mut reader, "spBv1.0/g/NDEATH/other", &will(9), &[], Err(Reason::StaleDeath));
    check(
        &mut reader,
        "spBv1.0/g/DDATA/n/d",
        &message(Some(2), vec![data(2, 1.0)]),
        &["d p 1 bar"],
        Ok(false),
    );
    check(&mut reader, death, &will(9), &["d away", "- away"], Ok(false));
    check(&mut reader, death, &will(9), &[], Err(Reason::StaleDeath));
    // Aliases may be others with the next birth.
    check(
        &mut reader,
        "spBv1.0/g/DDATA/n/d",
        &message(Some(3), vec![data(2, 1.0)]),
        &["unknown_alias -"],
        Ok(true),
    );
    assert_eq!((reader.metrics, reader.devices), (0, 0));

    let mut reader = born();
    check(&mut reader, "spBv1.0/g/DDEATH/n/d", &message(Some(2), vec![]), &["d away"], Ok(false));
    check(
        &mut reader,
        "spBv1.0/g/DDATA/n/d",
        &message(Some(3), vec![data(2, 1.0)]),
        &["unknown_alias -"],
        Ok(true),
    );
    assert_eq!((reader.metrics, reader.devices), (1, 0));
}

#[test]
fn values_are_read_in_the_field_of_their_type() {
    let one = |datatype: u32, value: MetricValue, expected: &str| {
        let mut reader = SparkplugReader::new(false);
        let (out, _) = read(&mut reader, NODE, &message(Some(0), vec![named("v", datatype, value)]));
        assert_eq!(out.join(","), expected, "{datatype}");
    };
    use MetricValue::{Boolean, Bytes, Double, Float, Int, Long, Text};
    one(1, Int(0xff), "- v -1");
    one(1, Int(0xffff_ffff), "- v -1");
    one(2, Int(0xfffe), "- v -2");
    one(3, Int(5_u32.wrapping_neg()), "- v -5");
    one(4, Long(5_u64.wrapping_neg()), "- v -5");
    one(5, Int(255), "- v 255");
    one(5, Int(256), "not_a_number v");
    one(7, Int(u32::MAX), "- v 4294967295");
    one(7, Long(7), "- v 7");
    one(7, Long(1 << 32), "not_a_number v");
    one(8, Long(1 << 53), "- v 9007199254740992");
    one(8, Long((1 << 53) + 1), "not_exact v");
    one(4, Long(((1 << 53) + 1_u64).wrapping_neg()), "not_exact v");
    one(9, Float(0.5), "- v 0.5");
    one(9, Float(f32::NAN), "not_finite v");
    one(10, Double(f64::INFINITY), "not_finite v");
    one(10, Float(1.0), "not_a_number v");
    one(11, Boolean(true), "- v 1");
    one(12, Text("on".to_owned()), "");
    one(10, Text("1".to_owned()), "not_a_number v");
    one(13, Long(1_700_000_000_000), "");
    one(22, Bytes(vec![1, 2]), "unsupported v");
}

#[test]
fn null_historical_and_bad_values_are_no_readings() {
    let flagged = |change: fn(&mut Metric)| {
        let mut metric = double("v", 1.0);
        change(&mut metric);
        message(Some(0), vec![metric])
    };
    let null = flagged(|metric| (metric.is_null, metric.value) = (Some(true), None));
    check(&mut SparkplugReader::new(false), NODE, &null, &[], Ok(false));
    let historical = flagged(|metric| metric.is_historical = Some(true));
    check(&mut SparkplugReader::new(false), NODE, &historical, &["historical v"], Ok(false));
    check(&mut SparkplugReader::new(true), NODE, &historical, &["- v 1"], Ok(false));
    let quality = |code: u32| {
        let value = PropertyValue { datatype: Some(3), int: Some(code), ..PropertyValue::default() };
        let properties = PropertySet { keys: vec!["Quality".to_owned()], values: vec![value] };
        message(Some(0), vec![Metric { properties: Some(properties), ..double("v", 1.0) }])
    };
    check(&mut SparkplugReader::new(false), NODE, &quality(192), &["- v 1"], Ok(false));
    check(&mut SparkplugReader::new(false), NODE, &quality(500), &["bad_quality v"], Ok(false));
    check(&mut SparkplugReader::new(false), NODE, &quality(0), &["bad_quality v"], Ok(false));
    let empty = message(
        Some(0),
        vec![Metric { name: Some("v".to_owned()), datatype: Some(10), ..Metric::default() }],
    );
    check(&mut SparkplugReader::new(false), NODE, &empty, &["missing_field v"], Ok(false));
}

/// A length-delimited field.
fn field(number: u8, bytes: &[u8]) -> Vec<u8> {
    let mut field = vec![number << 3 | 2];
    prost::encoding::encode_varint(bytes.len() as u64, &mut field);
    field.extend_from_slice(bytes);
    field
}

/// A metric `t` of this type whose value is in this field, which the messages of prost here do not know.
fn structured(datatype: u32, number: u8, value: &[u8]) -> Vec<u8> {
    let mut metric =
        Metric { name: Some("t".to_owned()), datatype: Some(datatype), ..Metric::default() }.encode_to_vec();
    // Field numbers from 16 on take two bytes.
    metric.extend_from_slice(&[number << 3 & 0x7f | 0x82, 1]);
    prost::encoding::encode_varint(value.len() as u64, &mut metric);
    metric.extend_from_slice(value);
    let mut payload = message(Some(0), vec![]);
    payload.extend(field(2, &metric));
    payload
}

#[test]
fn templates_and_data_sets_are_flat_and_deep_ones_are_not_read() {
    let member = field(2, &double("a", 1.5).encode_to_vec());
    let template = structured(19, 18, &member);
    check(&mut SparkplugReader::new(false), NODE, &template, &["- t/a 1.5"], Ok(false));
    let mut definition = member.clone();
    definition.extend_from_slice(&[0x28, 1]);
    check(&mut SparkplugReader::new(false), NODE, &structured(19, 18, &definition), &[], Ok(false));

    // A hundred thousand levels cost nothing.
    let mut deep = member;
    for _ in 0..3 {
        let mut metric =
            Metric { name: Some("x".to_owned()), datatype: Some(19), ..Metric::default() }.encode_to_vec();
        metric.extend_from_slice(&[0x92, 1]);
        prost::encoding::encode_varint(deep.len() as u64, &mut metric);
        metric.extend_from_slice(&deep);
        deep = field(2, &metric);
    }
    check(&mut SparkplugReader::new(false), NODE, &structured(19, 18, &deep), &["unsupported t"], Ok(false));
    check(
        &mut SparkplugReader::new(false),
        NODE,
        &structured(19, 18, b"\x12\x05ab"),
        &["bad_sparkplug t"],
        Ok(false),
    );

    let set = |rows: usize| {
        let mut set = vec![0x08, 2];
        set.extend(field(2, b"x"));
        set.extend(field(2, b"y"));
        set.extend_from_slice(&[0x18, 10, 0x18, 7]);
        let mut element = vec![0x21];
        element.extend_from_slice(&2.5_f64.to_le_bytes());
        let row = [field(1, &element), field(1, &[0x08, 6])].concat();
        (0..rows).for_each(|_| set.extend(field(4, &row)));
        structured(16, 17, &set)
    };
    check(&mut SparkplugReader::new(false), NODE, &set(1), &["- t/x 2.5", "- t/y 6"], Ok(false));
    check(&mut SparkplugReader::new(false), NODE, &set(2), &["unsupported t"], Ok(false));
}

#[test]
fn what_nodes_make_us_know_is_bounded() {
    let mut reader = SparkplugReader::new(false);
    let names = |from: usize| (from..from + 2_000).map(|number| double(&format!("m{number}"), 1.0)).collect();
    let birth = message(Some(0), names(0));
    for node in 0..70 {
        let (out, _) = read(&mut reader, &format!("spBv1.0/g/NBIRTH/n{node}"), &birth);
        assert_eq!(out.iter().any(|read| read.starts_with("too_many_streams")), node >= 65, "{node}");
    }
    assert_eq!(reader.metrics, MAX_KNOWN_METRICS);
    check(&mut reader, "spBv1.0/g/NBIRTH/n0", &message(Some(0), vec![]), &[], Ok(false));
    assert_eq!(reader.metrics, MAX_KNOWN_METRICS - 2_000, "a new birth takes the place of the old");
    let mut reader = SparkplugReader::new(false);
    let empty = message(Some(0), vec![bd_seq(1)]);
    for node in 0..MAX_NODES {
        check(&mut reader, &format!("spBv1.0/g/NBIRTH/n{node}"), &empty, &[], Ok(false));
    }
    check(&mut reader, "spBv1.0/g/NBIRTH/more", &empty, &[], Err(Reason::TooManyStreams));
    check(&mut reader, "spBv1.0/g/NDEATH/n5", &empty, &["- away"], Ok(false));
    check(&mut reader, "spBv1.0/g/NBIRTH/more", &empty, &[], Ok(false));
    let long = "n".repeat(600);
    check(&mut reader, &format!("spBv1.0/g/NBIRTH/{long}"), &empty, &[], Err(Reason::UnknownTopic));
}

#[test]
fn any_number_of_a_message_is_borne() {
    let mut reader = SparkplugReader::new(false);
    let birth = message(Some(u64::MAX), vec![bd_seq(1)]);
    check(&mut reader, NODE, &birth, &[], Ok(false));
    let device = message(Some(0), vec![double("p", 1.0)]);
    check(&mut reader, "spBv1.0/g/DBIRTH/n/d", &device, &["d p 1"], Ok(false));
    check(&mut reader, NODE, &birth, &[], Ok(false));
    check(&mut reader, "spBv1.0/g/NDATA/n", &message(Some(u64::MAX), vec![]), &["seq_gap -"], Ok(true));
    check(&mut reader, "spBv1.0/g/NDATA/n", &message(Some(0), vec![]), &[], Ok(false));
}

#[test]
fn a_name_under_many_aliases_has_the_room_of_one() {
    let mut reader = SparkplugReader::new(false);
    let metrics = (0..1_000).map(|alias| under(alias, double("p", 1.0))).collect();
    let (out, _) = read(&mut reader, NODE, &message(Some(0), metrics));
    assert_eq!((out.len(), reader.metrics), (1_000, 1));
    check(&mut reader, "spBv1.0/g/NDATA/n", &message(Some(1), vec![data(0, 2.0)]), &["- p 2"], Ok(false));
    let other = message(Some(2), vec![data(999, 2.0)]);
    check(&mut reader, "spBv1.0/g/NDATA/n", &other, &["unknown_alias -"], Ok(true));
}

#[test]
fn nodes_that_were_never_born_give_way_with_their_devices() {
    let mut reader = SparkplugReader::new(false);
    let birth = message(Some(0), vec![double("p", 1.0)]);
    for node in 0..MAX_NODES {
        check(&mut reader, &format!("spBv1.0/g/DBIRTH/n{node}/d"), &birth, &["d p 1"], Ok(true));
    }
    assert_eq!((reader.nodes.len(), reader.devices, reader.metrics), (MAX_NODES, MAX_NODES, MAX_NODES));
    check(&mut reader, "spBv1.0/g/NBIRTH/more", &birth, &["- p 1"], Ok(false));
    assert_eq!((reader.nodes.len(), reader.devices, reader.metrics), (1, 0, 1));
}

proptest! {
    /// Whatever comes: no panic, no more known than is allowed, and a damaged message changes nothing that is known.
    #[test]
    fn damaged_messages_do_no_harm(at in 0_usize..64, to in any::<u8>(), cut in 0_usize..64, kind in 0_usize..6, junk in proptest::collection::vec(any::<u8>(), 0..64)) {
        let mut reader = born();
        let topic = ["spBv1.0/g/NBIRTH/n", "spBv1.0/g/DBIRTH/n/d", "spBv1.0/g/NDATA/n", "spBv1.0/g/DDATA/n/d", "spBv1.0/g/NDEATH/n", "spBv1.0/g/DDEATH/n/d"][kind];
        let mut payload = message(Some(2), vec![bd_seq(9), under(2, double("p", 1.0)), data(1, 2.0)]);
        if let Some(byte) = payload.get_mut(at) {
            *byte = to;
        }
        payload.truncate(payload.len().saturating_sub(cut));
        for payload in [&payload, &junk] {
            let before = (reader.metrics, reader.devices);
            let (out, answer) = read(&mut reader, topic, payload);
            prop_assert!(out.len() <= 8);
            prop_assert!(reader.metrics <= 4 && reader.devices <= 1);
            if answer.is_err() {
                prop_assert_eq!(before, (reader.metrics, reader.devices));
            }
        }
    }
}
