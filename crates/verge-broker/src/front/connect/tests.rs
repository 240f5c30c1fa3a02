use proptest::prelude::*;
use rumqttc::LastWill;
use rumqttc::QoS;

use super::*;
use verge_tls::Secret;

fn written(connect: &Connect) -> BytesMut {
    let mut bytes = BytesMut::new();
    connect.write(&mut bytes).unwrap();
    bytes
}

fn full() -> Connect {
    let mut connect = Connect::new("camera-1");
    connect.last_will = Some(LastWill::new("site/camera-1/state", "gone", QoS::AtLeastOnce, true));
    connect.set_login("somebody", "something");
    connect
}

#[tokio::test]
async fn connect_is_read_however_it_arrives_and_what_follows_is_kept() {
    let mut bytes = written(&full());
    bytes.extend_from_slice(b"\xc0\x00");
    for split in 0..bytes.len() {
        let mut stream = (&bytes[..split]).chain(&bytes[split..]);
        let ((connect, five), rest) = read(&mut stream, &mut false).await.unwrap();
        assert_eq!((connect, five), (full(), None), "{split}");
        let mut left = Vec::new();
        stream.read_to_end(&mut left).await.unwrap();
        assert_eq!([&rest[..], &left[..]].concat(), b"\xc0\x00", "{split}");
    }
    assert!(matches!(read(&mut &bytes[..10], &mut false).await, Err(ConnectRefusal::Left)));
}

#[test]
fn what_is_no_connect_is_refused_early() {
    let check = |bytes: &[u8], words: &str| {
        let refusal = take(&mut BytesMut::from(bytes), &mut false).unwrap_err();
        assert!(refusal.to_string().contains(words), "{bytes:?}: {refusal}");
    };
    check(b"GET / HTTP/1.1", "did not begin with CONNECT");
    check(b"\x16\x03\x01", "is TLS off");
    check(b"\x11", "did not begin with CONNECT");
    check(b"\x10\xff\xff\xff\x7f", "has 268435455 bytes");
    check(b"\x10\x81\x80\x01", "has 16385 bytes");
    check(b"\x10\xff\xff\xff\xff\x01", "malformed");
    check(b"\x10\x02\0\x04", "malformed");
    check(b"\x10\x08\0\x04MQTX\x04\x02", "malformed");
    // A flag without meaning, and bytes behind the end.
    check(b"\x10\x0d\0\x04MQTT\x04\x03\0\x3c\0\x01a", "malformed");
    check(b"\x10\x0e\0\x04MQTT\x04\x02\0\x3c\0\x01aa", "malformed");
    // Version 3.1, with an empty client identifier.
    check(b"\x10\x0e\0\x06MQIsdp\x03\x02\0\x3c\0\0", "protocol level 3");
    check(b"\x10\x0c\0\x04MQTT\x84\x02\0\x3c\0\0", "protocol level 132");
    for incomplete in [&b""[..], b"\x10", b"\x10\x80", b"\x10\x80\x80\x01", b"\x10\x0c\0\x04MQTT\x05"] {
        assert!(take(&mut BytesMut::from(incomplete), &mut false).unwrap().is_none(), "{incomplete:?}");
    }
}

#[test]
fn clients_are_judged_by_their_identifier() {
    let check = |client_id: &str, clean_session: bool, words: Option<&str>| {
        let mut connect = Connect::new(client_id);
        connect.clean_session = clean_session;
        match (admit(connect, None), words) {
            (Ok(_), None) => {}
            (Err(refusal), Some(words)) => {
                assert!(refusal.to_string().contains(words), "{refusal}");
                assert_eq!(refusal.code(), Some(ConnectReturnCode::BadClientId));
            }
            (result, _) => panic!("{client_id:?}: {result:?}"),
        }
    };
    for good in ["camera-1", "Waage 3", "Tür", "a@b", &"x".repeat(MAX_CLIENT_ID_BYTES)] {
        check(good, false, None);
    }
    check("", true, None);
    check("", false, Some("is empty"));
    for bad in ["cam/1", "cam+", "#", "$SYS", "a\nb", "a\0"] {
        check(bad, true, Some("contains"));
    }
    check("@verge-gateway", true, Some("only the gateway's"));
    check(&"x".repeat(MAX_CLIENT_ID_BYTES + 1), true, Some("xxx…\" is longer"));
}

#[test]
fn wills_that_would_stop_the_router_are_refused() {
    let check = |topic: &str, good: bool| {
        let mut connect = Connect::new("c");
        connect.last_will = Some(LastWill::new(topic, "gone", QoS::AtMostOnce, false));
        let admitted = admit(connect, None);
        assert_eq!(admitted.is_ok(), good, "{topic:?}: {admitted:?}");
    };
    check("site/Öl", true);
    for bad in ["", "a/+", "Öl/1", "$share/g/t", "a\0b"] {
        check(bad, false);
    }
}

#[test]
fn the_login_is_replaced_and_the_rest_is_kept() {
    let login = Credentials { username: "verge".to_owned(), password: Secret::new("right".to_owned()) };
    let expected = Connect { login: Some(Login::new("verge", "right")), ..full() };
    assert_eq!(admit(full(), Some(&login)).unwrap(), expected);
    assert_eq!(admit(full(), None).unwrap(), full());
    let silent = Connect { keep_alive: 0, login: None, ..full() };
    let admitted = admit(silent, Some(&login)).unwrap();
    assert_eq!(admitted, Connect { keep_alive: KEEP_ALIVE_FOR_NONE, ..expected.clone() });
    let patient = Connect { keep_alive: u16::MAX, ..full() };
    assert_eq!(admit(patient, Some(&login)).unwrap(), Connect { keep_alive: MAX_KEEP_ALIVE, ..expected });
}

proptest! {
    #[test]
    fn any_bytes_are_judged_without_panic(
        tail in proptest::collection::vec(any::<u8>(), 0..200),
        flips in proptest::collection::vec((any::<proptest::sample::Index>(), any::<u8>()), 0..4),
    ) {
        let mut mutated = written(&full());
        for (index, byte) in flips {
            let at = index.index(mutated.len());
            mutated[at] = byte;
        }
        let mut begun = BytesMut::from(&[CONNECT, tail.len() as u8][..]);
        begun.extend_from_slice(&tail);
        for mut bytes in [mutated, begun, BytesMut::from(&tail[..])] {
            if let Ok(Some((connect, _))) = take(&mut bytes, &mut false) {
                drop(admit(connect, None));
            }
        }
    }
}
