//! The uplink towards an upstream that does what no broker should: the connection is given up with a reason in words,
//! and the next one works.

use std::time::Duration;

use rumqttc::{ConnAck, ConnectReturnCode, Packet};
use verge_domain::id::Lane;
use verge_domain::stage::{Sink, SinkEvent, Token};
use verge_mqtt::{ConnectionSettings, UplinkSink};

use crate::scripted::ScriptedBroker;
use crate::sink::{event, expect_connected, offer, start};
use crate::support::settings;

/// Read as MQTT, it begins with a PUBACK of 84 bytes.
const HTTP: &[u8] = b"HTTP/1.1 400 Bad Request\r\nContent-Type: text/html; charset=utf-8\r\n\
    Content-Length: 11\r\n\r\nbad request";

fn quick(broker: &ScriptedBroker, seconds: u64) -> ConnectionSettings {
    ConnectionSettings {
        keep_alive: Duration::from_secs(seconds),
        connect_timeout: Duration::from_secs(1),
        ..settings(broker.address(), "uplink")
    }
}

async fn expect_lost(sink: &mut UplinkSink) -> String {
    match event(sink).await {
        SinkEvent::Disconnected { reason } => reason,
        other => panic!("{other:?}"),
    }
}

/// The next connection takes what the one before has not delivered.
async fn expect_working(broker: &ScriptedBroker, sink: &mut UplinkSink, what: &str) {
    let (mut peer, _) = broker.accept_client(false).await;
    expect_connected(sink).await;
    assert_eq!(offer(sink, 1), Ok(()), "{what}");
    let again = peer.expect_publish().await;
    peer.acknowledge(again.pkid).await;
    assert_eq!(event(sink).await, SinkEvent::Delivered(Token(1)), "{what}");
}

/// A broker that acknowledges nothing, and one that leaves out one message: both are given up after a keep-alive, and
/// everything can be offered again on the next connection.
#[tokio::test]
async fn an_upstream_that_owes_acknowledgements_is_given_up() {
    for leave_out_one in [false, true] {
        let broker = ScriptedBroker::start().await;
        let mut sink = start(quick(&broker, 2), "v/g", 4);
        let (mut peer, _) = broker.accept_client(false).await;
        expect_connected(&mut sink).await;
        for token in 1..=2 {
            assert_eq!(offer(&mut sink, token), Ok(()));
        }
        peer.expect_publish().await;
        let second = peer.expect_publish().await;
        if leave_out_one {
            peer.acknowledge(second.pkid).await;
            assert_eq!(event(&mut sink).await, SinkEvent::Delivered(Token(2)));
        }
        // Pings are answered meanwhile.
        let (left, reason) = tokio::join!(peer.until_closed(), expect_lost(&mut sink));
        assert_eq!(left, [], "nothing more is sent");
        assert!(reason.contains("acknowledges nothing for 2 s"), "{reason}");
        expect_working(&broker, &mut sink, "after").await;
    }
}

#[tokio::test]
async fn an_upstream_that_answers_no_ping_or_reads_nothing_is_given_up() {
    let broker = ScriptedBroker::start().await;
    let mut sink = start(quick(&broker, 2), "v/g", 4);
    let (peer, _) = broker.accept_client(false).await;
    expect_connected(&mut sink).await;
    let reason = expect_lost(&mut sink).await;
    assert!(reason.contains("keep-alive"), "{reason}");
    drop(peer);
    expect_working(&broker, &mut sink, "after the silent one").await;

    // More than all socket buffers in between hold. The keep-alive would take too long.
    const MUCH: usize = 64 * 1024 * 1024;
    let broker = ScriptedBroker::start().await;
    let connection = ConnectionSettings { max_packet_bytes: 2 * MUCH, ..quick(&broker, 1000) };
    let mut sink = start(connection, "v/g", 4);
    let (peer, _) = broker.accept_client(false).await;
    expect_connected(&mut sink).await;
    assert_eq!(sink.offer(Lane::Verdict, vec![0; MUCH].into(), Token(1)), Ok(()));
    let reason = expect_lost(&mut sink).await;
    assert!(reason.contains("takes nothing any more"), "{reason}");
    drop(peer);
    expect_working(&broker, &mut sink, "after the one that does not read").await;
}

#[tokio::test]
async fn what_refuses_a_connection_is_reported_in_words() {
    let broker = ScriptedBroker::start().await;
    let mut sink = start(quick(&broker, 30), "v/g", 4);
    let refused = |code: ConnectReturnCode| Packet::ConnAck(ConnAck::new(code, false));
    for (code, words) in [
        (ConnectReturnCode::RefusedProtocolVersion, "does not speak MQTT 3.1.1"),
        (ConnectReturnCode::BadClientId, "refuses this client_id"),
        (ConnectReturnCode::ServiceUnavailable, "not available"),
        (ConnectReturnCode::BadUserNamePassword, "user name or password"),
        (ConnectReturnCode::NotAuthorized, "does not authorise"),
    ] {
        let mut peer = broker.accept().await;
        peer.expect_connect().await;
        peer.send(refused(code)).await;
        let reason = expect_lost(&mut sink).await;
        assert!(reason.contains(words), "{reason}");
    }
    let raw: [(&[u8], &str); 6] = [
        // CONNACK of MQTT 5: not authorised, without properties.
        (&[0x20, 3, 0, 0x87, 0], "does not speak MQTT 3.1.1"),
        (&[0x20, 2, 0, 77], "does not speak MQTT 3.1.1"),
        (&[0x20, 0], "does not speak MQTT 3.1.1"),
        (&[0x40, 2, 0, 1], "not an MQTT broker"),
        (HTTP, "not an MQTT broker"),
        (&[], "no answer in time"),
    ];
    for (bytes, words) in raw {
        let mut peer = broker.accept().await;
        peer.expect_connect().await;
        peer.send_raw(bytes).await;
        let reason = expect_lost(&mut sink).await;
        assert!(reason.contains(words), "{bytes:x?}: {reason}");
    }
    // A success of MQTT 5, with one byte of (no) properties, is one.
    let mut peer = broker.accept().await;
    peer.expect_connect().await;
    peer.send_raw(&[0x20, 3, 0, 0, 0]).await;
    assert_eq!(event(&mut sink).await, SinkEvent::Connected);
}

/// What an upstream may send after a PUBLISH with identifier 1 has reached it, and what comes of it: the message is
/// delivered (`None`), or the connection is lost for a reason with these words.
#[tokio::test]
async fn an_upstream_that_answers_nonsense_is_survived() {
    const SILENT: &str = "acknowledges nothing for 1 s";
    const NOT_SENT: &str = "acknowledges what it was not sent";
    const NO_MQTT: &str = "does not speak MQTT 3.1.1";
    let nonsense: [(&str, &[u8], Option<&str>); 24] = [
        ("PUBACK of a message not sent", &[0x40, 2, 0, 77], Some(NOT_SENT)),
        ("PUBACK of identifier 0", &[0x40, 2, 0, 0], Some(NOT_SENT)),
        ("PUBACK of the highest identifier", &[0x40, 2, 0xff, 0xff], Some(NOT_SENT)),
        ("PUBACK twice", &[0x40, 2, 0, 1, 0x40, 2, 0, 1], None),
        ("PUBACK without identifier", &[0x40, 0], Some(NO_MQTT)),
        ("PUBACK with half an identifier", &[0x40, 1, 0], Some(NO_MQTT)),
        // Known and wrong: rumqttc passes over the reason, which MQTT 3.1.1 does not know, and does not show it. So a
        // refusal (0x97) in an answer that no broker may give to our CONNECT is taken for an acknowledgement.
        ("PUBACK of MQTT 5 with a reason", &[0x40, 3, 0, 1, 0x97], None),
        ("PUBACK of MQTT 5 with reason and properties", &[0x40, 4, 0, 1, 0x97, 0], None),
        ("PUBACK of MQTT 5 of a message not sent", &[0x40, 3, 0, 9, 0x97], Some(NOT_SENT)),
        ("PUBREC", &[0x50, 2, 0, 1], Some(SILENT)),
        ("PUBREC and PUBCOMP", &[0x50, 2, 0, 1, 0x70, 2, 0, 1], Some(SILENT)),
        ("PUBREC of a message not sent", &[0x50, 2, 0, 9], Some(NOT_SENT)),
        ("PUBREL out of nothing", &[0x62, 2, 0, 5], Some(NOT_SENT)),
        ("PUBCOMP out of nothing", &[0x70, 2, 0, 1], Some(NOT_SENT)),
        ("a SUBACK that nobody asked for", &[0x90, 3, 0, 9, 0x80], Some(SILENT)),
        ("a SUBACK with a reason of MQTT 5", &[0x90, 3, 0, 9, 0x87], Some(NO_MQTT)),
        ("an UNSUBACK", &[0xb0, 2, 0, 9], Some(SILENT)),
        ("a second CONNACK", &[0x20, 2, 0, 0], Some("CONNACK twice")),
        ("a DISCONNECT of MQTT 5", &[0xe0, 2, 0x8b, 0], Some("only clients")),
        ("a message nobody subscribed to", b"\x30\x05\x00\x03a/bx", Some(SILENT)),
        ("a message whose topic is no UTF-8", &[0x30, 5, 0, 2, 0xc3, 0x28, b'x'], Some(NO_MQTT)),
        ("a packet type that does not exist", &[0x00, 0], Some(NO_MQTT)),
        ("a length without end", &[0x30, 0xff, 0xff, 0xff, 0xff, 0xff], Some(NO_MQTT)),
        ("no MQTT at all", HTTP, Some(NOT_SENT)),
    ];
    // Each waits for its silence; together they wait once.
    let cases = nonsense.map(|(what, bytes, lost)| tokio::spawn(after_nonsense(what, bytes, lost)));
    for case in cases {
        case.await.unwrap();
    }
}

async fn after_nonsense(what: &str, bytes: &[u8], lost: Option<&str>) {
    let broker = ScriptedBroker::start().await;
    let mut sink = start(quick(&broker, 1), "v/g", 4);
    let (mut peer, _) = broker.accept_client(false).await;
    expect_connected(&mut sink).await;
    assert_eq!(offer(&mut sink, 1), Ok(()), "{what}");
    assert_eq!(peer.expect_publish().await.pkid, 1, "{what}");
    peer.send_raw(bytes).await;
    let Some(words) = lost else {
        assert_eq!(event(&mut sink).await, SinkEvent::Delivered(Token(1)), "{what}");
        return;
    };
    // Pings are answered until the connection is closed; what else the sink sends to such a broker does not matter.
    let (_, reason) = tokio::join!(peer.until_closed(), expect_lost(&mut sink));
    assert!(reason.contains(words), "{what}: {reason}");
    expect_working(&broker, &mut sink, what).await;
}

/// The broker's own identifiers are others than ours, whatever their number.
#[tokio::test]
async fn identifiers_of_the_broker_are_not_ours() {
    let broker = ScriptedBroker::start().await;
    let mut sink = start(quick(&broker, 30), "v/g", 4);
    let (mut peer, _) = broker.accept_client(false).await;
    expect_connected(&mut sink).await;
    for round in 0..3 {
        assert_eq!(offer(&mut sink, round), Ok(()));
        let ours = peer.expect_publish().await.pkid;
        peer.publish("a/b", ours, b"x", false).await;
        assert_eq!(peer.expect_acks(1).await, [ours]);
        peer.acknowledge(ours).await;
        assert_eq!(event(&mut sink).await, SinkEvent::Delivered(Token(round)));
    }
}
