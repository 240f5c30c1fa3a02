//! The readings connection at its limits: a full intake, large packets, foreign topics.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use rumqttc::{Packet, PubComp, PubRec, PubRel};
use verge_broker::FrontLimits;
use verge_domain::reading::{Inbound, Session, SourceIndex};
use verge_domain::stage::{Intake, IntakeFull, Source};
use verge_mqtt::{ConnectionSettings, Guarantee, MqttSource, MqttSourceSettings, Publisher, QoS, Repetition};

use crate::certificates::{Certificates, through};
use crate::scripted::{Peer, ScriptedBroker};
use crate::source::{receipts, start, take};
use crate::support::{MAX_PACKET_BYTES, clock, eventually, settings, unique};

#[tokio::test]
async fn a_full_intake_leaves_the_connection_unread_and_nothing_is_sent_again() {
    let broker = ScriptedBroker::start().await;
    // The broker counts on a sign of life within 1.5 s.
    let connection =
        ConnectionSettings { keep_alive: Duration::from_millis(1500), ..settings(broker.address(), "full") };
    let (source, mut messages) = start(connection, &["t"], 5);
    let (mut peer, ..) = broker.accept_subscriber(false).await;
    for packet_id in 1..=1000 {
        peer.publish("t", packet_id, b"1", false).await;
    }
    eventually("overload", || source.state().overloaded).await;
    for _ in 0..5 {
        assert!(
            matches!(peer.next_with_pings().await, Packet::PingReq),
            "it lives, and acknowledges nothing"
        );
        peer.send(Packet::PingResp).await;
    }
    let state = source.state();
    assert_eq!((state.received, state.overloads, state.connections), (6, 1, 1), "one is held in hand");

    for expected in 1..=1000 {
        let taken = take(&mut messages, 1).await;
        assert_eq!(taken[0].packet_id, expected);
        source.settle(&receipts(&taken));
    }
    assert_eq!(peer.expect_acks(1000).await, (1..=1000).collect::<Vec<u16>>());
    eventually("the overload is over", || !source.state().overloaded).await;
    let state = source.state();
    assert_eq!((state.received, state.acknowledged, state.outstanding), (1000, 1000, 0));
    assert_eq!((state.connections, state.dropped), (1, 0));
}

#[tokio::test]
async fn a_broker_that_gives_an_unread_connection_up_has_nothing_judged_twice() {
    let broker = ScriptedBroker::start().await;
    // That the broker has closed shows at a ping: nothing is read.
    let connection = ConnectionSettings {
        keep_alive: Duration::from_millis(1500),
        ..settings(broker.address(), "given-up")
    };
    let (source, mut messages) = start(connection, &["t"], 3);
    let (mut peer, ..) = broker.accept_subscriber(false).await;
    let deliver = async |peer: &mut Peer, from: u16, again: bool| {
        for packet_id in from..=10 {
            peer.publish("t", packet_id, &[b'a' + packet_id as u8], again).await;
        }
    };
    deliver(&mut peer, 1, false).await;
    eventually("overload", || source.state().overloaded).await;
    let mut taken = Vec::new();
    for _ in 0..3 {
        drop(peer);
        // Some judging continues in between, whose acknowledgements find no connection.
        let now = take(&mut messages, 1).await;
        source.settle(&receipts(&now));
        taken.extend(now);
        eventually("the loss is noticed", || !source.state().connected).await;
        (peer, ..) = broker.accept_subscriber(true).await;
        deliver(&mut peer, 1, true).await;
        eventually("overload", || source.state().overloaded).await;
    }
    while taken.len() < 10 {
        let now = take(&mut messages, 1).await;
        source.settle(&receipts(&now));
        taken.extend(now);
    }
    let ids: Vec<u16> = taken.iter().map(|message| message.packet_id).collect();
    assert_eq!(ids, (1..=10).collect::<Vec<u16>>(), "each once, in order");
    assert_eq!(peer.expect_acks(10).await, ids);
    assert_eq!(source.state().outstanding, 0);
}

/// Takes everything, and wants no more while it holds as many as this.
struct Crowded {
    held: Arc<Mutex<Vec<Inbound>>>,
    most: usize,
}

impl Intake for Crowded {
    fn offer(&mut self, message: Inbound) -> Result<(), IntakeFull> {
        self.held.lock().unwrap().push(message);
        Ok(())
    }

    fn is_held(&mut self) -> bool {
        self.held.lock().unwrap().len() >= self.most
    }
}

#[tokio::test]
async fn a_crowded_intake_leaves_the_connection_unread_and_nothing_is_sent_again() {
    let broker = ScriptedBroker::start().await;
    let held = Arc::new(Mutex::new(Vec::new()));
    let filters = vec![(SourceIndex(0), "t".to_owned())];
    let connection = settings(broker.address(), "crowded");
    let guarantee = Guarantee::AtLeastOnce(Session::Readings);
    let intake = Crowded { held: Arc::clone(&held), most: 5 };
    let source = MqttSource::spawn(
        MqttSourceSettings { connection, guarantee, repetition: Repetition::Marked, filters },
        clock,
        intake,
    );
    let (mut peer, ..) = broker.accept_subscriber(false).await;
    for packet_id in 1..=200 {
        peer.publish("t", packet_id, b"1", false).await;
    }
    let mut taken = Vec::new();
    while taken.len() < 200 {
        let expected = taken.len();
        eventually("the next are taken", || !held.lock().unwrap().is_empty()).await;
        let now: Vec<Inbound> = held.lock().unwrap().drain(..).collect();
        assert!(now.len() <= 5, "{}", now.len());
        // Acknowledgements go out while it is held, too.
        source.settle(&receipts(&now));
        taken.extend(now);
        let acknowledged = peer.expect_acks(taken.len() - expected).await;
        assert_eq!(acknowledged.len(), taken.len() - expected);
    }
    assert!(taken.iter().all(|message| !message.redelivered));
    let state = source.state();
    assert_eq!((state.connections, state.overloads, state.acknowledged), (1, 0, 200));
}

#[tokio::test]
async fn at_qos_0_a_full_intake_costs_the_message_and_counts_it() {
    let broker = ScriptedBroker::start().await;
    let (source, mut messages) = start(settings(broker.address(), "fast"), &["t"], 2);
    let (mut peer, ..) = broker.accept_subscriber(false).await;
    for _ in 0..5 {
        peer.publish("t", 0, b"1", false).await;
    }
    eventually("three are lost", || source.state().dropped == 3).await;
    let taken = take(&mut messages, 2).await;
    assert!(taken.iter().all(|message| message.receipt.is_none()), "nobody waits at QoS 0");
    peer.publish("t", 9, b"1", false).await;
    source.settle(&receipts(&take(&mut messages, 1).await));
    assert_eq!(peer.expect_acks(1).await, [9], "the connection stands");
    assert_eq!((source.state().connections, source.state().overloads), (1, 0));
}

#[tokio::test]
async fn a_packet_one_byte_over_the_limit_is_passed_over_and_counted() {
    // Topic "t": fixed header 1 + 3, topic 2 + 1, identifier 2.
    const LARGEST: usize = MAX_PACKET_BYTES - 9;
    let broker = ScriptedBroker::start().await;
    let (source, mut messages) = start(settings(broker.address(), "large"), &["t"], 10);
    let (mut peer, ..) = broker.accept_subscriber(false).await;
    peer.publish("t", 1, &vec![b'x'; LARGEST], false).await;
    peer.publish("t", 2, &vec![b'x'; LARGEST + 1], false).await;
    peer.publish("t", 3, b"1", false).await;
    let taken = take(&mut messages, 2).await;
    assert_eq!(taken.iter().map(|message| message.payload.len()).collect::<Vec<_>>(), [LARGEST, 1]);
    assert_eq!(source.state().oversized, 1);
    source.settle(&receipts(&taken));
    assert_eq!(peer.expect_acks(3).await, [1, 2, 3], "in its turn");
}

/// A PUBLISH packet with a payload of zeros, sent in pieces.
async fn publish_zeros(peer: &mut Peer, head: &[u8], mut payload: usize) {
    peer.send_raw(head).await;
    let piece = vec![0; 1 << 20];
    while payload > 0 {
        let now = payload.min(piece.len());
        peer.send_raw(&piece[..now]).await;
        payload -= now;
    }
}

#[tokio::test]
async fn packets_of_any_length_are_skipped_and_hold_nobody_up() {
    let broker = ScriptedBroker::start().await;
    let (source, mut messages) = start(settings(broker.address(), "huge"), &["t"], 10);
    let (mut peer, ..) = broker.accept_subscriber(false).await;
    // The longest there is (MQTT 3.1.1, section 2.2.3), at QoS 1 and QoS 2, and 100 MB at QoS 0.
    let longest = [0xff, 0xff, 0xff, 0x7f];
    let whole = 268_435_455;
    publish_zeros(&mut peer, &[&[0x32][..], &longest, &[0, 1, b't', 0, 1]].concat(), whole - 5).await;
    peer.publish("t", 2, b"1", false).await;
    publish_zeros(&mut peer, &[0x30, 0x80, 0xc2, 0xd7, 0x2f, 0, 2, b't', 0xff], 100_000_000 - 4).await;
    publish_zeros(&mut peer, &[&[0x35][..], &longest, &[0, 1, b't', 0, 3]].concat(), whole - 5).await;
    peer.publish("t", 4, b"2", false).await;
    let taken = take(&mut messages, 2).await;
    assert_eq!(source.state().oversized, 3);
    assert_eq!(source.state().last_oversized.unwrap(), "\"t\": 268435460 bytes (limit 20000)");
    source.settle(&receipts(&taken));
    assert_eq!(peer.expect_acks(2).await, [1, 2], "in their turn");
    assert!(matches!(peer.next().await, Packet::PubRec(PubRec { pkid: 3 })));
    assert_eq!(peer.expect_acks(1).await, [4]);
    peer.send(Packet::PubRel(PubRel::new(3))).await;
    assert!(matches!(peer.next().await, Packet::PubComp(PubComp { pkid: 3 })));
    assert_eq!(source.state().connections, 1);
}

#[tokio::test]
async fn a_packet_that_is_cut_off_while_it_is_skipped_comes_again() {
    let broker = ScriptedBroker::start().await;
    let (source, mut messages) = start(settings(broker.address(), "cut"), &["t"], 10);
    let head = [0x32, 0x80, 0xc2, 0xd7, 0x2f, 0, 1, b't', 0, 1];
    let (mut peer, ..) = broker.accept_subscriber(false).await;
    publish_zeros(&mut peer, &head, 5_000_000).await;
    drop(peer);
    let (mut peer, ..) = broker.accept_subscriber(true).await;
    assert_eq!(source.state().oversized, 0, "not all of it came");
    publish_zeros(&mut peer, &head, 100_000_000 - 5).await;
    peer.publish("t", 2, b"1", false).await;
    source.settle(&receipts(&take(&mut messages, 1).await));
    assert_eq!(peer.expect_acks(2).await, [1, 2]);
    assert_eq!(source.state().oversized, 1);
}

#[tokio::test]
async fn a_topic_that_is_not_utf_8_is_acknowledged_and_counted() {
    let broker = ScriptedBroker::start().await;
    let (source, mut messages) = start(settings(broker.address(), "utf-8"), &["#"], 10);
    let (mut peer, ..) = broker.accept_subscriber(false).await;
    peer.send_raw(&[0x32, 7, 0, 2, b't', 0xff, 0, 1, b'1']).await;
    peer.publish("t", 2, b"1", false).await;
    source.settle(&receipts(&take(&mut messages, 1).await));
    assert_eq!(peer.expect_acks(2).await, [1, 2]);
    assert_eq!((source.state().unknown_topic, source.state().connections), (1, 1));
}

#[tokio::test]
async fn a_broker_that_falls_silent_is_given_up() {
    let broker = ScriptedBroker::start().await;
    let keep_alive = Duration::from_millis(1500);
    let connection = ConnectionSettings { keep_alive, ..settings(broker.address(), "silent") };
    let (source, _messages) = start(connection, &["t"], 10);
    let (peer, ..) = broker.accept_subscriber(false).await;
    eventually("it is noticed", || {
        source.state().last_error.is_some_and(|reason| reason.contains("keep-alive"))
    })
    .await;
    drop(peer);
    broker.accept_subscriber(true).await;
}

#[tokio::test]
async fn what_is_not_mqtt_ends_the_connection_with_a_reason() {
    let broker = ScriptedBroker::start().await;
    let (source, _messages) = start(settings(broker.address(), "nonsense"), &["t"], 10);
    for (bytes, reason) in [
        (&[0x30, 0xff, 0xff, 0xff, 0xff, 0x7f][..], "does not speak MQTT"),
        (&[0x40, 2, 0, 1], "not sent (packet identifier 1)"),
        (&[0x20, 2, 0, 0], "CONNACK twice"),
    ] {
        let (mut peer, ..) = broker.accept_subscriber(false).await;
        peer.send_raw(bytes).await;
        peer.until_closed().await;
        eventually(reason, || source.state().last_error.is_some_and(|said| said.contains(reason))).await;
    }
}

#[tokio::test]
async fn topics_that_no_source_takes_are_acknowledged_and_counted() {
    let broker = ScriptedBroker::start().await;
    let (source, mut messages) = start(settings(broker.address(), "foreign"), &["t/+"], 10);
    let (mut peer, ..) = broker.accept_subscriber(true).await;
    peer.publish("of/an/older/subscription", 1, b"1", false).await;
    assert_eq!(peer.expect_acks(1).await, [1]);
    peer.publish("t/1", 2, b"1", false).await;
    assert_eq!(take(&mut messages, 1).await[0].topic, "t/1");
    assert_eq!(source.state().unknown_topic, 1);
}

#[tokio::test]
async fn stopping_says_goodbye_after_the_settled_are_acknowledged() {
    let broker = ScriptedBroker::start().await;
    let (source, mut messages) = start(settings(broker.address(), "leaving"), &["t"], 10);
    let (mut peer, ..) = broker.accept_subscriber(false).await;
    for packet_id in 1..=3 {
        peer.publish("t", packet_id, b"1", false).await;
    }
    let taken = receipts(&take(&mut messages, 3).await);
    source.settle(&taken[..2]);
    let (packets, ()) = tokio::join!(
        async {
            assert_eq!(peer.expect_acks(2).await, [1, 2]);
            let last = peer.next().await;
            drop(peer);
            last
        },
        source.stop()
    );
    assert!(matches!(packets, Packet::Disconnect), "{packets:?}");
    assert!(!source.state().connected);
}

#[tokio::test]
async fn a_source_skips_large_packets_under_tls_too() {
    let certificates = Certificates::new();
    let front = certificates.front(FrontLimits::default()).await;
    let topic = unique("large");
    let reader = through(&front, certificates.client(), &unique("reader")).await;
    let (source, mut messages) = start(reader, &[&topic], 1000);
    let writer = ConnectionSettings {
        max_packet_bytes: 200_000,
        ..through(&front, certificates.client(), &unique("writer")).await
    };
    let publisher = Publisher::connect(writer).await.unwrap();
    // The broker does not report when the subscription stands.
    while messages.is_empty() {
        publisher.publish(&topic, Bytes::from_static(b"first"), QoS::AtLeastOnce, false).await.unwrap();
    }
    // Less than the broker keeps for a reader that falls behind.
    for _ in 0..6 {
        publisher.submit(&topic, vec![0; 150_000].into(), QoS::AtLeastOnce, false).await.unwrap();
        publisher.submit(&topic, Bytes::from_static(b"small"), QoS::AtLeastOnce, false).await.unwrap();
    }
    publisher.flush().await.unwrap();
    let mut small = 0;
    while small < 6 {
        let message = take(&mut messages, 1).await.remove(0);
        source.settle(&receipts(std::slice::from_ref(&message)));
        small += usize::from(message.payload == "small");
    }
    eventually("all acknowledged", || source.state().outstanding == 0).await;
    let state = source.state();
    assert_eq!((state.oversized, state.connections), (6, 1));
    publisher.close().await;
    source.stop().await;
    assert!(!source.state().connected);
}
