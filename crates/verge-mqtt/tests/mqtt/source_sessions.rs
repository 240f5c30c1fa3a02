//! What the readings connection makes of sessions that are resumed: nothing is judged twice, nothing new is dropped.

use std::time::Duration;

use bytes::Bytes;
use verge_domain::reading::Inbound;
use verge_domain::stage::Source;
use verge_mqtt::{BrokerAddress, ConnectionSettings, MqttSource, Publisher, QoS, Repetition};

use crate::scripted::{Peer, ScriptedBroker};
use crate::source::{receipts, start, start_with, take};
use crate::support::{direct, embedded, eventually, settings, unique};

async fn settle_next(source: &MqttSource, messages: &mut tokio::sync::mpsc::Receiver<Inbound>) -> Inbound {
    let message = take(messages, 1).await.remove(0);
    source.settle(&receipts(std::slice::from_ref(&message)));
    message
}

/// Waits until all that the broker was sent is known to have arrived there.
async fn until_confirmed(source: &MqttSource, peer: &mut Peer) {
    let confirmed = async {
        while !source.state().is_confirmed {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::select! {
        () = confirmed => {}
        packet = peer.next() => panic!("nothing was to come, but {packet:?} did"),
    }
}

#[tokio::test]
async fn a_resumed_session_delivers_again_what_is_not_handed_on_again() {
    let broker = ScriptedBroker::start().await;
    let (source, mut messages) = start(settings(broker.address(), "session"), &["t"], 100);
    let (mut peer, ..) = broker.accept_subscriber(false).await;
    for packet_id in 1..=3 {
        peer.publish("t", packet_id, &[b'0' + packet_id as u8], false).await;
    }
    let first = receipts(&take(&mut messages, 3).await);
    source.settle(&first[..1]);
    assert_eq!(peer.expect_acks(1).await, [1]);
    drop(peer);
    eventually("the loss is noticed", || !source.state().connected).await;
    // Settled while there is no connection.
    source.settle(&first[1..2]);

    let (mut peer, connect, filters) = broker.accept_subscriber(true).await;
    assert_eq!((connect.client_id.as_str(), connect.clean_session), ("session", false));
    assert_eq!(filters, ["t"], "asked for again although the session is present");
    for packet_id in 2..=3 {
        peer.publish("t", packet_id, &[b'0' + packet_id as u8], true).await;
    }
    assert_eq!(peer.expect_acks(1).await, [2], "judged before, and 3 is not yet");
    // What it caused becomes durable only now.
    source.settle(&first[2..]);
    assert_eq!(peer.expect_acks(1).await, [3]);
    peer.publish("t", 4, b"4", false).await;
    assert_eq!(settle_next(&source, &mut messages).await.packet_id, 4, "nothing else was handed on");
    assert_eq!(peer.expect_acks(1).await, [4]);
    let state = source.state();
    assert_eq!((state.connections, state.received, state.acknowledged, state.redelivered), (2, 6, 4, 2));
}

#[tokio::test]
async fn two_door_openings_are_two_messages_where_the_broker_gives_the_lowest_free_identifier() {
    let broker = ScriptedBroker::start().await;
    let (source, mut messages) = start(settings(broker.address(), "door"), &["door"], 100);
    let (mut peer, ..) = broker.accept_subscriber(false).await;
    let mut session = async |peer: &mut Peer, payload: &str, again: bool| {
        peer.publish("door", 1, payload.as_bytes(), again).await;
        let message = settle_next(&source, &mut messages).await;
        assert_eq!(message.payload, payload);
        assert_eq!(peer.expect_acks(1).await, [1]);
    };
    for _ in 0..3 {
        session(&mut peer, "ON", false).await;
        session(&mut peer, "OFF", false).await;
    }
    // The door opens again, but the connection ends before that arrives: the broker sends it with DUP.
    drop(peer);
    let (mut peer, ..) = broker.accept_subscriber(true).await;
    session(&mut peer, "ON", true).await;

    // The same opening twice, and the broker has said in between that it has the acknowledgement.
    until_confirmed(&source, &mut peer).await;
    drop(peer);
    let (mut peer, ..) = broker.accept_subscriber(true).await;
    session(&mut peer, "ON", true).await;
    assert_eq!(source.state().redelivered, 0);
}

#[tokio::test]
async fn identifiers_that_have_come_round_stand_for_new_messages() {
    let broker = ScriptedBroker::start().await;
    let (source, mut messages) = start(settings(broker.address(), "round"), &["t"], 100);
    let (mut peer, ..) = broker.accept_subscriber(false).await;
    for packet_id in (1..=u16::MAX).chain(1..=3) {
        peer.publish("t", packet_id, b"1", false).await;
        settle_next(&source, &mut messages).await;
        assert_eq!(peer.expect_acks(1).await, [packet_id]);
    }
    until_confirmed(&source, &mut peer).await;
    drop(peer);
    let (mut peer, ..) = broker.accept_subscriber(true).await;
    for packet_id in 4..=6 {
        peer.publish("t", packet_id, b"1", true).await;
        assert_eq!(settle_next(&source, &mut messages).await.packet_id, packet_id);
    }
    assert_eq!(peer.expect_acks(3).await, [4, 5, 6]);
    assert_eq!(source.state().redelivered, 0);
}

#[tokio::test]
async fn without_a_session_everything_is_new() {
    let broker = ScriptedBroker::start().await;
    let (source, mut messages) = start(settings(broker.address(), "forgotten"), &["t"], 100);
    let (mut peer, ..) = broker.accept_subscriber(false).await;
    peer.publish("t", 1, b"ON", false).await;
    let old = receipts(&take(&mut messages, 1).await);
    drop(peer);
    let (mut peer, ..) = broker.accept_subscriber(false).await;
    peer.publish("t", 1, b"ON", true).await;
    let new = take(&mut messages, 1).await;
    assert!(!new[0].redelivered, "no earlier run can have had it either");
    source.settle(&old);
    source.settle(&receipts(&new));
    assert_eq!(peer.expect_acks(1).await, [1]);
    assert_eq!(source.state().outstanding, 0);
}

#[tokio::test]
async fn what_comes_without_dup_is_new_and_only_what_comes_before_it_may_be_of_an_earlier_run() {
    let broker = ScriptedBroker::start().await;
    let (source, mut messages) = start(settings(broker.address(), "restart"), &["t"], 100);
    let (mut peer, ..) = broker.accept_subscriber(true).await;
    let mut redelivered = Vec::new();
    for (packet_id, again) in [(1, true), (2, true), (3, false), (4, true)] {
        peer.publish("t", packet_id, b"ON", again).await;
        redelivered.push(settle_next(&source, &mut messages).await.redelivered);
    }
    assert_eq!(redelivered, [true, true, false, false]);
    assert_eq!(peer.expect_acks(4).await, [1, 2, 3, 4]);
}

#[tokio::test]
async fn an_acknowledgement_that_the_broker_lost_is_given_again_without_judging() {
    let broker = ScriptedBroker::start().await;
    let (source, mut messages) = start(settings(broker.address(), "lost"), &["t"], 100);
    let (mut peer, ..) = broker.accept_subscriber(false).await;
    for packet_id in 1..=3 {
        peer.publish("t", packet_id, &[b'0' + packet_id as u8], false).await;
        settle_next(&source, &mut messages).await;
    }
    eventually("they are written", || source.state().acknowledged == 3).await;
    drop(peer);
    let (mut peer, ..) = broker.accept_subscriber(true).await;
    for packet_id in 1..=3 {
        peer.publish("t", packet_id, &[b'0' + packet_id as u8], true).await;
    }
    assert_eq!(peer.expect_acks(3).await, [1, 2, 3]);
    assert_eq!(source.state().redelivered, 3);
    assert!(messages.try_recv().is_err());
}

/// Passes connections on to a broker, until it is to cut them.
async fn relay(to: std::net::SocketAddr) -> (std::net::SocketAddr, std::sync::Arc<tokio::sync::Notify>) {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let cut = std::sync::Arc::new(tokio::sync::Notify::new());
    let cuts = std::sync::Arc::clone(&cut);
    tokio::spawn(async move {
        while let Ok((mut near, _)) = listener.accept().await {
            let mut far = tokio::net::TcpStream::connect(to).await.unwrap();
            tokio::select! {
                ended = tokio::io::copy_bidirectional(&mut near, &mut far) => drop(ended),
                () = cuts.notified() => {}
            }
        }
    });
    (address, cut)
}

#[tokio::test]
async fn the_embedded_broker_repeats_without_dup_and_nothing_is_handed_on_twice() {
    let broker = embedded().await;
    let (address, cut) = relay(broker.address()).await;
    let (doors, levels) = (unique("door"), unique("level"));
    let connection = ConnectionSettings {
        address: BrokerAddress::plain(address),
        ..direct(broker, &unique("without-dup"))
    };
    let (source, mut messages) =
        start_with(connection, Repetition::Unmarked, &[&format!("{doors}/+"), &format!("{levels}/+")], 100);
    let publisher = Publisher::connect(direct(broker, &unique("device"))).await.unwrap();
    let publish = async |topic: &str, payload: &str| {
        let payload = Bytes::copy_from_slice(payload.as_bytes());
        publisher.publish(topic, payload, QoS::AtLeastOnce, false).await.unwrap();
    };
    // Only a message shows when a subscription stands at this broker.
    for _ in 0..100 {
        if source.state().received > 0 {
            break;
        }
        publish(&format!("{doors}/first"), "OFF").await;
        let received = async {
            while source.state().received == 0 {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        drop(tokio::time::timeout(Duration::from_millis(100), received).await);
    }
    publish(&format!("{doors}/first"), "ON").await;
    while settle_next(&source, &mut messages).await.payload != "ON" {}
    eventually("confirmed", || source.state().is_confirmed).await;
    let before = source.state().acknowledged;
    let door = format!("{doors}/a");
    for number in 0..15 {
        publish(&door, if number % 2 == 0 { "ON" } else { "OFF" }).await;
        publish(&format!("{levels}/{}", number % 3), &number.to_string()).await;
    }
    let first = receipts(&take(&mut messages, 30).await);
    for connections in 2..=3 {
        cut.notify_one();
        eventually("connected again", || source.state().connections == connections).await;
        eventually("repeated", || source.state().redelivered == 30 * (connections - 1)).await;
    }
    // The door opens and closes again, which it did before.
    publish(&door, "ON").await;
    publish(&door, "OFF").await;
    publish(&format!("{levels}/0"), "12").await;
    let fresh = take(&mut messages, 3).await;
    assert_eq!(
        fresh.iter().map(|message| &message.payload[..]).collect::<Vec<_>>(),
        [&b"ON"[..], b"OFF", b"12"]
    );
    assert_eq!(source.state().acknowledged, before, "nothing is acknowledged before it is judged");
    source.settle(&first);
    source.settle(&receipts(&fresh));
    eventually("all acknowledged", || source.state().outstanding == 0).await;
    assert_eq!(source.state().acknowledged, before + 33);
    assert!(messages.try_recv().is_err(), "nothing is handed on twice");
}
