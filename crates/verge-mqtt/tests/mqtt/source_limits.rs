//! The readings connection at its limits: a full intake, large packets, foreign topics.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rumqttc::Packet;
use verge_domain::reading::{Inbound, SourceIndex};
use verge_domain::stage::Source;
use verge_mqtt::{ConnectionSettings, Guarantee, Intake, IntakeFull, MqttSource, SourceSettings};

use crate::scripted::ScriptedBroker;
use crate::source::{receipts, start, take};
use crate::support::{MAX_PACKET_BYTES, clock, eventually, settings};

#[tokio::test]
async fn a_full_intake_drops_the_connection_without_acknowledging_and_loses_nothing() {
    let broker = ScriptedBroker::start().await;
    let (source, mut messages) = start(settings(broker.address(), "full"), &["t"], 5);
    let (mut peer, ..) = broker.accept_subscriber(false).await;
    for packet_id in 1..=10 {
        peer.publish("t", packet_id, b"1", false).await;
    }
    assert!(peer.until_closed().await.is_empty(), "no acknowledgement, no DISCONNECT");
    eventually("the loss is noticed", || !source.state().connected).await;
    let state = source.state();
    assert!(state.overloaded);
    assert!(state.last_error.unwrap().contains("overloaded"));
    assert_eq!((state.received, state.acknowledged, state.overloads, state.dropped), (5, 0, 1, 0));
    let old = receipts(&take(&mut messages, 5).await);

    // The stalled sink moves again: the session delivers everything once more, five at a time.
    let (mut peer, ..) = broker.accept_subscriber(true).await;
    source.settle(&old);
    for packet_id in 1..=10 {
        peer.publish("t", packet_id, b"1", true).await;
        source.settle(&receipts(&take(&mut messages, 1).await));
    }
    assert_eq!(peer.expect_acks(10).await, (1..=10).collect::<Vec<u16>>());
    let state = source.state();
    assert!(!state.overloaded && state.connected);
    assert_eq!((state.received, state.acknowledged, state.outstanding), (15, 10, 0));
    assert_eq!((state.connections, state.overloads, state.dropped), (2, 1, 0));
}

#[tokio::test]
async fn a_stalled_pipeline_stops_the_source_for_as_long_as_it_stalls() {
    let broker = ScriptedBroker::start().await;
    let stalled = Arc::new(AtomicBool::new(true));
    let intake = Arc::clone(&stalled);
    let filters = vec![(SourceIndex(0), "t".to_owned())];
    let source = MqttSource::spawn(
        SourceSettings {
            connection: settings(broker.address(), "stalled"),
            guarantee: Guarantee::AtLeastOnce,
            filters,
        },
        clock,
        move |_| if intake.load(Ordering::Relaxed) { Err(IntakeFull) } else { Ok(()) },
    );
    for overloads in 1..=3 {
        let (mut peer, ..) = broker.accept_subscriber(overloads > 1).await;
        peer.publish("t", 1, b"1", overloads > 1).await;
        assert!(peer.until_closed().await.is_empty());
        assert_eq!((source.state().overloads, source.state().received), (overloads, 0));
    }
    stalled.store(false, Ordering::Relaxed);
    let (mut peer, ..) = broker.accept_subscriber(true).await;
    peer.publish("t", 1, b"1", true).await;
    eventually("it is taken", || source.state().received == 1).await;
}

/// Takes everything, and wants no more while it holds as many as this.
struct Crowded {
    held: Arc<Mutex<Vec<Inbound>>>,
    most: usize,
}

impl Intake for Crowded {
    fn take(&mut self, message: Inbound) -> Result<(), IntakeFull> {
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
    let guarantee = Guarantee::AtLeastOnce;
    let intake = Crowded { held: Arc::clone(&held), most: 5 };
    let source = MqttSource::spawn(SourceSettings { connection, guarantee, filters }, clock, intake);
    let (mut peer, ..) = broker.accept_subscriber(false).await;
    for packet_id in 1..=200 {
        peer.publish("t", packet_id, b"1", false).await;
    }
    let mut taken = Vec::new();
    while taken.len() < 200 {
        let expected = taken.len();
        eventually("the next are taken", || !held.lock().unwrap().is_empty()).await;
        let now: Vec<Inbound> = held.lock().unwrap().drain(..).collect();
        // What a few looks at the network give, and no more.
        assert!(now.len() < 100, "{}", now.len());
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
async fn a_connection_that_is_held_for_too_long_is_given_up_as_overloaded() {
    let broker = ScriptedBroker::start().await;
    let held = Arc::new(Mutex::new(Vec::new()));
    let filters = vec![(SourceIndex(0), "t".to_owned())];
    let keep_alive = Duration::from_secs(1);
    let connection = ConnectionSettings { keep_alive, ..settings(broker.address(), "stuck") };
    let guarantee = Guarantee::AtLeastOnce;
    let intake = Crowded { held, most: 1 };
    let source = MqttSource::spawn(SourceSettings { connection, guarantee, filters }, clock, intake);
    let (mut peer, ..) = broker.accept_subscriber(false).await;
    peer.publish("t", 1, b"1", false).await;
    assert!(peer.until_closed().await.is_empty());
    assert_eq!(source.state().overloads, 1);
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

#[tokio::test]
async fn a_packet_beyond_all_limits_ends_the_connection_with_a_reason() {
    let broker = ScriptedBroker::start().await;
    let (source, _messages) = start(settings(broker.address(), "huge"), &["t"], 10);
    let (mut peer, ..) = broker.accept_subscriber(false).await;
    peer.publish("t", 1, &vec![b'x'; 33 * 1024 * 1024], false).await;
    assert!(peer.until_closed().await.is_empty());
    eventually("the reason is told", || {
        source.state().last_error.is_some_and(|reason| reason.contains("exceeds the limit"))
    })
    .await;
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
