//! Commands from upstream and the answers to them, at both ends: the uplink, and the subscriber that asks.

use bytes::Bytes;
use rumqttc::{Packet, Publish, QoS};
use verge_domain::stage::{Control, ControlEvent, OfferError, Sink, SinkEvent, Token};
use verge_mqtt::{
    NotPublished, Services, Subscriber, SubscriberEvent, UplinkSettings, UplinkSink, UplinkTopics,
};

use crate::scripted::{Peer, ScriptedBroker};
use crate::sink::{event, expect_connected, offer};
use crate::support::{MAX_PACKET_BYTES, direct, embedded, eventually, settings, unique, within};

fn start(broker: &ScriptedBroker) -> UplinkSink {
    UplinkSink::spawn(UplinkSettings {
        connection: settings(broker.address(), "uplink"),
        topics: UplinkTopics::under("v/g"),
        window: 1,
        last_will: Bytes::from_static(b"gone").into(),
        services: Services { echo: false, ..Services::ALL },
        proof: None,
        alone: true,
    })
}

/// Takes the connection and its subscription, which is refused or granted.
async fn accept(broker: &ScriptedBroker, sink: &mut UplinkSink, grant: bool) -> Peer {
    let (mut peer, _) = broker.accept_client(false).await;
    expect_connected(sink).await;
    let subscribe = peer.expect_subscribe().await;
    assert_eq!(
        subscribe.filters.iter().map(|filter| (filter.path.as_str(), filter.qos)).collect::<Vec<_>>(),
        [("v/g/cmd", QoS::AtLeastOnce)]
    );
    peer.answer(&subscribe, |_| grant).await;
    peer
}

fn command(payload: &'static [u8]) -> SinkEvent {
    SinkEvent::Control(ControlEvent::Command(Bytes::from_static(payload)))
}

#[tokio::test]
async fn commands_are_taken_and_answered() {
    let broker = ScriptedBroker::start().await;
    let mut sink = start(&broker);
    let mut peer = accept(&broker, &mut sink, true).await;
    peer.publish("v/g/cmd", 1, b"{}", false).await;
    assert_eq!(event(&mut sink).await, command(b"{}"));
    assert_eq!(peer.expect_acks(1).await, [1]);
    // Acknowledged and dropped: another topic, one byte too long, retained.
    peer.publish("v/other/cmd", 2, b"{}", false).await;
    peer.publish("v/g/cmd", 3, &[b'x'; 4097], false).await;
    let retained = Publish { retain: true, pkid: 4, ..Publish::new("v/g/cmd", QoS::AtLeastOnce, *b"{}") };
    peer.send(Packet::Publish(retained)).await;
    peer.publish("v/g/cmd", 5, b"last", false).await;
    assert_eq!(event(&mut sink).await, command(b"last"));
    assert_eq!(peer.expect_acks(4).await, [2, 3, 4, 5]);
    assert_eq!(offer(&mut sink, 1), Ok(()));
    let mut answer = || sink.answer(Bytes::from_static(b"yes"));
    assert!((0..8).all(|_| answer().is_ok()), "beside the window");
    assert_eq!(answer(), Err(OfferError::WindowFull));
    assert_eq!(peer.expect_publish().await.topic, "v/g/verdict");
    let sent = peer.expect_publish().await;
    assert_eq!((sent.topic.as_str(), sent.retain, sent.qos), ("v/g/cmd/reply", false, QoS::AtLeastOnce));
    peer.acknowledge(sent.pkid).await;
    assert_eq!(event(&mut sink).await, SinkEvent::Control(ControlEvent::AnswerTaken));
    assert_eq!(sink.answer(Bytes::new()), Ok(()));
}

#[tokio::test]
async fn commands_that_nobody_reads_are_bounded_and_outlive_the_connection() {
    let broker = ScriptedBroker::start().await;
    let mut sink = start(&broker);
    let mut peer = accept(&broker, &mut sink, true).await;
    for packet_id in 1..=20 {
        peer.publish("v/g/cmd", packet_id, b"{}", false).await;
    }
    assert_eq!(peer.expect_acks(20).await.len(), 20);
    drop(peer);
    for _ in 0..16 {
        assert_eq!(event(&mut sink).await, command(b"{}"));
    }
    assert!(matches!(event(&mut sink).await, SinkEvent::Disconnected { .. }));
    // Each connection subscribes again: the session is clean.
    let mut peer = accept(&broker, &mut sink, true).await;
    peer.publish("v/g/cmd", 1, b"again", false).await;
    assert_eq!(event(&mut sink).await, command(b"again"));
}

#[tokio::test]
async fn a_refused_subscription_keeps_no_verdict_back() {
    let broker = ScriptedBroker::start().await;
    let mut sink = start(&broker);
    let mut peer = accept(&broker, &mut sink, false).await;
    assert_eq!(offer(&mut sink, 1), Ok(()));
    let publish = peer.expect_publish().await;
    peer.acknowledge(publish.pkid).await;
    assert_eq!(event(&mut sink).await, SinkEvent::Delivered(Token(1)));
}

#[tokio::test]
async fn a_subscriber_sends_commands_and_reads_answers_through_a_real_broker() {
    let broker = embedded().await;
    let prefix = unique("commands");
    let mut sink = UplinkSink::spawn(UplinkSettings {
        connection: direct(broker, &unique("uplink")),
        topics: UplinkTopics::under(&prefix),
        window: 1,
        last_will: Bytes::new().into(),
        services: Services::ALL,
        proof: None,
        alone: true,
    });
    expect_connected(&mut sink).await;
    let filters = vec![format!("{prefix}/verdict"), format!("{prefix}/cmd/reply")];
    let mut reader = Subscriber::spawn(direct(broker, &unique("reader")), filters);
    assert_eq!(within("subscribed", reader.next()).await, Some(SubscriberEvent::Subscribed));
    // Its subscription may not be granted yet: what is sent before is lost.
    let taken = loop {
        assert_eq!(reader.publish(&format!("{prefix}/cmd"), Bytes::from_static(b"{}")), Ok(()));
        if let Ok(taken) = tokio::time::timeout(std::time::Duration::from_secs(1), sink.event()).await {
            break taken;
        }
    };
    assert_eq!(taken, Some(command(b"{}")));
    assert_eq!(sink.answer(Bytes::from_static(b"yes")), Ok(()));
    match within("the answer", reader.next()).await {
        Some(SubscriberEvent::Message(answer)) => {
            assert_eq!((answer.topic, &answer.payload[..]), (format!("{prefix}/cmd/reply"), &b"yes"[..]));
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn what_a_subscriber_publishes_is_bounded() {
    let broker = ScriptedBroker::start().await;
    let mut reader = Subscriber::spawn(settings(broker.address(), "reader"), vec!["t".to_owned()]);
    let publish = |reader: &Subscriber| reader.publish("c", Bytes::from_static(b"1"));
    assert_eq!(publish(&reader), Err(NotPublished::NotConnected));
    let (mut peer, ..) = broker.accept_subscriber(false).await;
    assert_eq!(within("subscribed", reader.next()).await, Some(SubscriberEvent::Subscribed));
    assert!((0..64).all(|_| publish(&reader).is_ok()));
    assert_eq!(publish(&reader), Err(NotPublished::Busy));
    let actual = MAX_PACKET_BYTES + 9;
    let too_large = NotPublished::TooLarge { actual, limit: MAX_PACKET_BYTES };
    assert_eq!(reader.publish("c", vec![0; MAX_PACKET_BYTES].into()), Err(too_large));
    let first = peer.expect_publish().await;
    assert_eq!((first.topic.as_str(), first.qos, first.retain), ("c", QoS::AtLeastOnce, false));
    peer.acknowledge(first.pkid).await;
    eventually("there is room again", || publish(&reader).is_ok()).await;
    assert_eq!(publish(&reader), Err(NotPublished::Busy));
    // There is still room for DISCONNECT.
    let script = async {
        for _ in 0..64 {
            peer.expect_publish().await;
        }
        peer.expect_disconnect().await;
        drop(peer);
    };
    tokio::join!(script, reader.stop());
    assert_eq!(publish(&reader), Err(NotPublished::NotConnected));
}
