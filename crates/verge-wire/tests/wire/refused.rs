//! What is not written, and bytes that are no message.

use verge_domain::finding::{Expected, Member};
use verge_domain::id::{Lane, Seq};
use verge_domain::stage::Encoder;
use verge_domain::time::{DeviceClock, UtcMillis};
use verge_domain::verdict::{Body, Health, Verdict};
use verge_wire::{WireEncoder, WireError, WireFormat, WireLimits, read_message, read_verdict};

use crate::samples::{identity, message, sample, stored};

#[test]
fn verdicts_that_break_an_invariant_are_not_written() {
    let check = |spoil: fn(&mut Verdict), expected: &str| {
        let mut verdict = sample();
        spoil(&mut verdict);
        let mut out = Vec::new();
        let error = WireEncoder::new(WireFormat::Cbor)
            .verdict(&identity(1, Lane::Alarm), &verdict, &mut out)
            .unwrap_err()
            .to_string();
        assert!(error.contains(expected), "{error:?} does not contain {expected:?}");
        assert!(out.is_empty());
    };
    check(
        |verdict| {
            let expected = Expected::default();
            verdict.body = Body::Health(Health::of(Member::Silent, f64::NAN, expected));
        },
        "observed is not finite",
    );
    check(|verdict| verdict.times.received = UtcMillis(i64::MAX), "received is not a time");
    check(|verdict| verdict.times.captured = Some(UtcMillis(i64::MIN)), "captured is not a time");
    check(|verdict| verdict.times.clock = DeviceClock::Absent, "come together");
}

#[test]
fn bytes_that_are_no_message_are_refused() {
    let check = |bytes: &[u8], expected: &str| {
        let error = read_message(bytes, WireLimits { max_message_bytes: 200 }).unwrap_err().to_string();
        assert!(error.contains(expected), "{error:?} does not contain {expected:?}");
    };
    let good = message(WireFormat::Cbor, Lane::Alarm, &[sample()]);
    check(b"", "empty");
    check(b"\x02", "0x02");
    check(b"hello", "0x68");
    check(&[0; 201], "exceeds the limit of 200");
    check(&[&good[..], &[0]].concat(), "1 bytes follow the end");
    check(&good[..good.len() - 1], "CBOR");
    check(&[0, 0xa0], "message v is missing");
    check(&[0, 0xbf, 0xff], "indefinite length");
    check(&[0, 0xa1, 0, 2], "version 2");
    check(&[0, 0xa2, 0, 1, 0, 1], "message v stands there twice");
    check(&[0, 0xa1, 3, 3], "lane has no code 3");
    check(&[0, 0xa2, 0, 1, 5, 0x80], "gateway is missing");
    // A verdict's time before the receipt that it is counted from.
    check(&[0, 0xa1, 5, 0x81, 0xa1, 6, 0], "verdict received is missing");
    check(&[0, 0xa1, 1, 0x60], "gateway: a name must not be empty");
    check(&[0, 0xa1, 2, 0x41, 0], "epoch is not 16 bytes long");
    check(&[1, 0xff, 0xff, 0xff, 0x7f, 0], "claims to unpack");
    check(&[1, 200, 0, 0, 0], "cannot hold");
    check(b"{", "JSON");
    check(br#"{"v":1}"#, "the member `gateway` is missing (line 1, column 7)");
    check(br#"{"v":"1"}"#, "a value is of another type than the schema says (line 1, column 8)");
}

#[test]
fn versions_are_distinguished_in_both_forms() {
    let mut cbor = message(WireFormat::Cbor, Lane::Alarm, &[sample()]);
    assert_eq!(cbor[1..4], [0xa7, 0, 1]);
    cbor[3] = 2;
    let json = String::from_utf8(message(WireFormat::Json, Lane::Alarm, &[sample()])).unwrap();
    let json = json.replacen(r#""v":1"#, r#""v":2"#, 1);
    for later in [cbor, json.into_bytes()] {
        let error = read_message(&later, WireLimits::default()).unwrap_err();
        assert!(matches!(error, WireError::Version { found: 2 }), "{error}");
    }
}

#[test]
fn keys_of_later_versions_are_passed_over() {
    let row = stored(1, &sample());
    assert_eq!(row.bytes[0], 0xa0 | 13);
    // One more entry: key 99, an array of two.
    let longer = [&[0xa0 | 14], &row.bytes[1..], &[0x18, 99, 0x82, 0, 0x61, b'x']].concat();
    assert_eq!(read_verdict(&longer, Lane::Alarm).unwrap(), (Seq(1), sample()));

    let json = String::from_utf8(message(WireFormat::Json, Lane::Alarm, &[sample()])).unwrap();
    let json = json.replacen(r#""seq":1"#, r#""seq":1,"later":{"x":[1]}"#, 1);
    assert_eq!(read_message(json.as_bytes(), WireLimits::default()).unwrap().verdicts, [(Seq(1), sample())]);
}
