//! The readings connection: order of acknowledgements, sessions, refusals.

use std::time::Duration;

use bytes::Bytes;
use rumqttc::{ConnAck, ConnectReturnCode, Packet};
use tokio::sync::mpsc;
use verge_domain::reading::{Inbound, Receipt, Session, SourceIndex};
use verge_domain::stage::{IntakeFull, Source};
use verge_mqtt::{ConnectionSettings, Guarantee, MqttSource, MqttSourceSettings, Publisher, QoS, Repetition};

use crate::scripted::ScriptedBroker;
use crate::support::{clock, direct, embedded, eventually, settings, unique, within};

/// A source with these filters, whose messages go into a channel of this capacity.
pub(crate) fn start(
    connection: ConnectionSettings,
    filters: &[&str],
    capacity: usize,
) -> (MqttSource, mpsc::Receiver<Inbound>) {
    start_with(connection, Repetition::Marked, filters, capacity)
}

/// The same at a broker that repeats in this manner.
pub(crate) fn start_with(
    connection: ConnectionSettings,
    repetition: Repetition,
    filters: &[&str],
    capacity: usize,
) -> (MqttSource, mpsc::Receiver<Inbound>) {
    let (sender, receiver) = mpsc::channel(capacity);
    let filters =
        (0..).zip(filters).map(|(index, filter)| (SourceIndex(index), (*filter).to_owned())).collect();
    let source = MqttSource::spawn(
        MqttSourceSettings {
            connection,
            guarantee: Guarantee::AtLeastOnce(Session::Readings),
            repetition,
            filters,
        },
        clock,
        move |message| sender.try_send(message).map_err(|full| IntakeFull(full.into_inner())),
    );
    (source, receiver)
}

pub(crate) async fn take(messages: &mut mpsc::Receiver<Inbound>, count: usize) -> Vec<Inbound> {
    let mut taken = Vec::new();
    for _ in 0..count {
        taken.push(within("a message", messages.recv()).await.expect("the source lives"));
    }
    taken
}

pub(crate) fn receipts(messages: &[Inbound]) -> Vec<Receipt> {
    messages.iter().map(|message| message.receipt.expect("QoS 1 has a receipt")).collect()
}

#[tokio::test]
async fn acknowledgements_go_out_in_order_of_arrival() {
    let broker = ScriptedBroker::start().await;
    let (source, mut messages) = start(settings(broker.address(), "order"), &["a/+", "b/#"], 100);
    let (mut peer, connect, filters) = broker.accept_subscriber(false).await;
    assert!(!connect.clean_session);
    assert_eq!(filters, ["a/+", "b/#"]);
    for packet_id in 11..=20 {
        peer.publish(if packet_id % 2 == 0 { "a/x" } else { "b/x/y" }, packet_id, b"1", false).await;
    }
    let taken = take(&mut messages, 10).await;
    assert!(taken.iter().all(|message| message.source.0 == message.packet_id % 2));
    let mut late = receipts(&taken);
    let first = late.remove(0);
    late.reverse();
    source.settle(&late);
    assert_eq!(source.state().acknowledged, 0, "the first is not settled yet");
    source.settle(&[first]);
    assert_eq!(peer.expect_acks(10).await, (11..=20).collect::<Vec<u16>>());
    let state = source.state();
    assert_eq!((state.received, state.acknowledged, state.outstanding), (10, 10, 0));
}

#[tokio::test]
async fn settling_from_many_threads_keeps_the_order() {
    const MESSAGES: u16 = 400;
    let broker = ScriptedBroker::start().await;
    let (source, mut messages) = start(settings(broker.address(), "threads"), &["t"], 1000);
    let (mut peer, ..) = broker.accept_subscriber(false).await;
    for packet_id in 1..=MESSAGES {
        peer.publish("t", packet_id, b"1", false).await;
    }
    let all = receipts(&take(&mut messages, MESSAGES.into()).await);
    let settlers: Vec<_> = (0..4)
        .map(|share| {
            let (source, mine) =
                (source.clone(), all.iter().copied().skip(share).step_by(4).collect::<Vec<_>>());
            std::thread::spawn(move || mine.iter().for_each(|receipt| source.settle(&[*receipt])))
        })
        .collect();
    assert_eq!(peer.expect_acks(MESSAGES.into()).await, (1..=MESSAGES).collect::<Vec<u16>>());
    for settler in settlers {
        settler.join().unwrap();
    }
}

#[tokio::test]
async fn a_refused_filter_is_named_and_asked_for_again_while_the_others_work() {
    let broker = ScriptedBroker::start().await;
    let connection =
        ConnectionSettings { keep_alive: Duration::from_secs(1), ..settings(broker.address(), "refused") };
    let (source, mut messages) = start(connection, &["open", "secret"], 100);
    let (mut peer, _) = broker.accept_client(false).await;
    let subscribe = peer.expect_subscribe().await;
    peer.answer(&subscribe, |filter| filter != "secret").await;
    peer.publish("open", 1, b"1", false).await;
    source.settle(&receipts(&take(&mut messages, 1).await));
    assert_eq!(peer.expect_acks(1).await, [1]);
    let state = source.state();
    assert!(state.connected);
    assert_eq!(state.refused_filters, ["secret"]);
    assert!(state.last_error.unwrap().contains("\"secret\""));

    let subscribe = peer.expect_subscribe().await;
    assert_eq!(subscribe.filters.len(), 1);
    assert_eq!(subscribe.filters[0].path, "secret");
    peer.answer(&subscribe, |_| true).await;
    peer.publish("secret", 2, b"1", false).await;
    assert_eq!(take(&mut messages, 1).await[0].source, SourceIndex(1));
    let state = source.state();
    assert!(state.refused_filters.is_empty());
    assert_eq!((state.refusals, state.connections), (1, 1));
}

#[tokio::test]
async fn a_refused_connection_is_tried_again_and_its_reason_reported() {
    let broker = ScriptedBroker::start().await;
    let (source, mut messages) = start(settings(broker.address(), "unwanted"), &["t"], 100);
    let check = async |code: ConnectReturnCode, words: &str| {
        let mut peer = broker.accept().await;
        peer.expect_connect().await;
        peer.send(Packet::ConnAck(ConnAck::new(code, false))).await;
        assert!(peer.until_closed().await.is_empty());
        eventually("the reason is reported", || {
            source.state().last_error.is_some_and(|reason| reason.contains(words))
        })
        .await;
        assert!(!source.state().connected);
    };
    check(ConnectReturnCode::BadUserNamePassword, "user name or password").await;
    check(ConnectReturnCode::NotAuthorized, "not authorise").await;
    check(ConnectReturnCode::ServiceUnavailable, "not available").await;
    let (mut peer, ..) = broker.accept_subscriber(false).await;
    peer.publish("t", 1, b"1", false).await;
    take(&mut messages, 1).await;
    assert_eq!(source.state().connections, 1);
}

#[tokio::test]
async fn a_thousand_messages_through_a_real_broker_are_all_acknowledged() {
    const MESSAGES: usize = 1000;
    let broker = embedded().await;
    let topic = unique("thousand");
    let (source, mut messages) = start(direct(broker, &unique("source")), &[&topic], 100_000);
    eventually("connected", || source.state().connected).await;
    let publisher = Publisher::connect(direct(broker, &unique("device"))).await.unwrap();
    // The subscription is known to stand when a message comes through.
    let mut received = 0;
    while received == 0 {
        publisher.publish(&topic, Bytes::from_static(b"first"), QoS::AtLeastOnce, false).await.unwrap();
        received =
            tokio::time::timeout(Duration::from_millis(100), messages.recv()).await.map_or(0, |message| {
                source.settle(&[message.unwrap().receipt.unwrap()]);
                1
            });
    }
    for index in 0..MESSAGES {
        publisher.submit(&topic, index.to_string().into(), QoS::AtLeastOnce, false).await.unwrap();
    }
    publisher.flush().await.unwrap();
    let mut next = 0;
    while next < MESSAGES {
        let message = take(&mut messages, 1).await.remove(0);
        source.settle(&[message.receipt.unwrap()]);
        if message.payload != "first" {
            assert_eq!(message.payload, next.to_string(), "in order");
            next += 1;
        }
    }
    eventually("all acknowledged", || source.state().outstanding == 0).await;
    assert_eq!(source.state().connections, 1, "the broker had nothing to complain of");
    publisher.close().await;
    source.stop().await;
}

#[tokio::test]
async fn a_stopped_source_leaves_its_session_and_the_next_one_finds_the_messages() {
    let broker = embedded().await;
    let (topic, client_id) = (unique("kept"), unique("source"));
    let publisher = Publisher::connect(direct(broker, &unique("device"))).await.unwrap();
    let publish = async |text: &'static str| {
        publisher
            .publish(&topic, Bytes::from_static(text.as_bytes()), QoS::AtLeastOnce, false)
            .await
            .unwrap();
    };
    let (source, mut messages) = start(direct(broker, &client_id), &[&topic], 100);
    let mut settled = Vec::new();
    while settled.is_empty() {
        publish("before").await;
        if let Ok(Some(message)) = tokio::time::timeout(Duration::from_millis(100), messages.recv()).await {
            settled.push(message.receipt.unwrap());
        }
    }
    source.settle(&settled);
    source.stop().await;
    assert!(!source.state().connected);
    for text in ["one", "two", "three"] {
        publish(text).await;
    }
    let (source, mut messages) = start(direct(broker, &client_id), &[&topic], 100);
    let mut texts = Vec::new();
    while texts.len() < 3 {
        let message = take(&mut messages, 1).await.remove(0);
        source.settle(&receipts(std::slice::from_ref(&message)));
        if message.payload != "before" {
            texts.push(message.payload);
        }
    }
    assert_eq!(texts, ["one", "two", "three"]);
    source.stop().await;
    publisher.close().await;
}

#[tokio::test]
async fn of_frames_the_broker_keeps_none() {
    let broker = embedded().await;
    let topic = unique("frames");
    let filters = vec![(SourceIndex(0), topic.clone())];
    let spawn = || {
        let (sender, messages) = mpsc::channel(10);
        let connection = direct(broker, "frames");
        let guarantee = Guarantee::AtMostOnce;
        let settings = MqttSourceSettings {
            connection,
            guarantee,
            repetition: Repetition::Marked,
            filters: filters.clone(),
        };
        let source = MqttSource::spawn(settings, clock, move |message| {
            sender.try_send(message).map_err(|full| IntakeFull(full.into_inner()))
        });
        (source, messages)
    };
    let publisher = Publisher::connect(direct(broker, "camera")).await.unwrap();
    let (source, mut messages) = spawn();
    eventually("the subscription", || source.state().connected && source.state().refused_filters.is_empty())
        .await;
    // Published until it comes: this broker does not report when a QoS 0 subscription stands.
    let mut first = None;
    for _ in 0..100 {
        publisher.publish(&topic, Bytes::from_static(b"one"), QoS::AtLeastOnce, false).await.unwrap();
        first = tokio::time::timeout(Duration::from_millis(50), messages.recv()).await.ok().flatten();
        if first.is_some() {
            break;
        }
    }
    let first = first.expect("a frame within five seconds");
    assert_eq!((first.receipt, first.packet_id, &first.payload[..]), (None, 0, &b"one"[..]));
    source.stop().await;
    publisher.publish(&topic, Bytes::from_static(b"missed"), QoS::AtLeastOnce, false).await.unwrap();

    let (source, mut messages) = spawn();
    eventually("the connection", || source.state().connected).await;
    for _ in 0..100 {
        publisher.publish(&topic, Bytes::from_static(b"two"), QoS::AtLeastOnce, false).await.unwrap();
        let next = tokio::time::timeout(Duration::from_millis(50), messages.recv()).await.ok().flatten();
        if let Some(message) = next {
            assert_eq!(&message.payload[..], b"two", "what was published while it was away is gone");
            return;
        }
    }
    panic!("no frame within five seconds");
}
