//! Subscriber and publisher.

use bytes::Bytes;
use rumqttc::{ConnAck, ConnectReturnCode, Packet, QoS};
use verge_domain::filter::FilterError;
use verge_mqtt::{Delivery, PublishError, Publisher, Subscriber, SubscriberEvent};

use crate::scripted::ScriptedBroker;
use crate::support::{MAX_PACKET_BYTES, direct, embedded, eventually, settings, unique, within};

async fn message(subscriber: &mut Subscriber) -> Delivery {
    match within("a message", subscriber.next()).await {
        Some(SubscriberEvent::Message(message)) => message,
        other => panic!("a message expected, not {other:?}"),
    }
}

#[tokio::test]
async fn messages_of_every_quality_make_the_round_trip() {
    let broker = embedded().await;
    let topic = unique("round-trip");
    let mut subscriber = Subscriber::spawn(direct(broker, &unique("reader")), vec![format!("{topic}/#")]);
    assert_eq!(within("subscribed", subscriber.next()).await, Some(SubscriberEvent::Subscribed));
    let publisher = Publisher::connect(direct(broker, &unique("writer"))).await.unwrap();
    for (index, qos) in [QoS::AtMostOnce, QoS::AtLeastOnce, QoS::ExactlyOnce].into_iter().enumerate() {
        let (topic, payload) = (format!("{topic}/{index}"), Bytes::from(vec![index as u8; 100_000]));
        within("acknowledged", publisher.publish(&topic, payload.clone(), qos, false)).await.unwrap();
        let expected = Delivery { topic, payload, retained: false, redelivered: false };
        assert_eq!(message(&mut subscriber).await, expected);
    }
    publisher
        .publish(&format!("{topic}/kept"), Bytes::from_static(b"1"), QoS::AtLeastOnce, true)
        .await
        .unwrap();
    assert!(!message(&mut subscriber).await.retained);
    let mut late = Subscriber::spawn(direct(broker, &unique("reader")), vec![format!("{topic}/kept")]);
    let retained = loop {
        match within("the retained message", late.next()).await {
            Some(SubscriberEvent::Message(message)) => break message.retained,
            other => assert_eq!(other, Some(SubscriberEvent::Subscribed)),
        }
    };
    assert!(retained);
    publisher.close().await;
    subscriber.stop().await;
    assert_eq!(subscriber.next().await, None);
}

#[tokio::test]
async fn a_message_is_acknowledged_when_its_reader_takes_it() {
    let broker = ScriptedBroker::start().await;
    let mut subscriber = Subscriber::spawn(settings(broker.address(), "reader"), vec!["t".to_owned()]);
    let (mut peer, connect, _) = broker.accept_subscriber(false).await;
    assert!(connect.clean_session);
    assert_eq!(within("subscribed", subscriber.next()).await, Some(SubscriberEvent::Subscribed));
    for packet_id in 1..=3 {
        peer.publish("t", packet_id, b"1", packet_id == 3).await;
    }
    for packet_id in 1..=3 {
        assert_eq!(message(&mut subscriber).await.redelivered, packet_id == 3);
        assert_eq!(peer.expect_acks(1).await, [packet_id]);
    }
}

#[tokio::test]
async fn a_reader_that_never_reads_is_bounded_and_reported() {
    let broker = ScriptedBroker::start().await;
    let mut subscriber = Subscriber::spawn(settings(broker.address(), "reader"), vec!["t".to_owned()]);
    let (mut peer, ..) = broker.accept_subscriber(false).await;
    for _ in 0..5000 {
        peer.publish("t", 0, b"1", false).await;
    }
    eventually("what is beyond the bound is lost", || subscriber.dropped() == 5000 - 4096).await;
    peer.publish("t", 1, b"1", false).await;
    assert!(peer.until_closed().await.is_empty(), "unacknowledged");
    let (_peer, ..) = broker.accept_subscriber(false).await;
    let mut messages = 0;
    let reason = loop {
        match within("an event", subscriber.next()).await {
            Some(SubscriberEvent::Message(_)) => messages += 1,
            Some(SubscriberEvent::Disconnected { reason }) => break reason,
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(messages, 4096);
    assert!(reason.contains("too slow"), "{reason}");
    assert_eq!(within("again", subscriber.next()).await, Some(SubscriberEvent::Subscribed));
}

#[tokio::test]
async fn a_message_that_is_too_large_does_not_come_for_ever() {
    let broker = ScriptedBroker::start().await;
    let mut subscriber = Subscriber::resume(settings(broker.address(), "reader"), vec!["t".to_owned()]);
    let (mut peer, connect, _) = broker.accept_subscriber(false).await;
    assert!(!connect.clean_session);
    peer.publish("t", 1, &vec![0; MAX_PACKET_BYTES], false).await;
    assert!(peer.until_closed().await.is_empty(), "unacknowledged");
    // The broker would send it first thing in every connection of this session.
    let (mut peer, connect, _) = broker.accept_subscriber(false).await;
    assert!(connect.clean_session, "the session is given up with what it holds");
    peer.publish("t", 1, b"1", false).await;
    loop {
        match within("the message", subscriber.next()).await {
            Some(SubscriberEvent::Message(message)) => break assert_eq!(message.payload, b"1"[..]),
            Some(SubscriberEvent::Disconnected { reason }) => {
                assert!(reason.contains("exceeds the limit"), "{reason}");
            }
            other => assert_eq!(other, Some(SubscriberEvent::Subscribed)),
        }
    }
    assert_eq!(peer.expect_acks(1).await, [1]);
    drop(peer);
    let (_peer, connect, _) = broker.accept_subscriber(false).await;
    assert!(!connect.clean_session, "a connection that is cut costs no session");
}

#[tokio::test]
async fn a_subscriber_names_the_refused_filter_and_tries_again() {
    let broker = ScriptedBroker::start().await;
    let filters = ["open", "secret"].map(str::to_owned).to_vec();
    let mut subscriber = Subscriber::spawn(settings(broker.address(), "reader"), filters);
    let (mut peer, _) = broker.accept_client(false).await;
    let subscribe = peer.expect_subscribe().await;
    peer.answer(&subscribe, |filter| filter == "open").await;
    match within("the reason", subscriber.next()).await {
        Some(SubscriberEvent::Disconnected { reason }) => assert!(reason.contains("\"secret\""), "{reason}"),
        other => panic!("{other:?}"),
    }
    let (_peer, _, filters) = broker.accept_subscriber(false).await;
    assert_eq!(filters, ["open", "secret"]);
    assert_eq!(within("subscribed", subscriber.next()).await, Some(SubscriberEvent::Subscribed));
}

#[tokio::test]
async fn a_publisher_says_in_words_why_it_cannot_connect() {
    let closed = ScriptedBroker::start().await.address();
    let error = Publisher::connect(settings(closed, "writer")).await.unwrap_err();
    assert!(error.to_string().contains("nothing listens there"), "{error}");

    let broker = ScriptedBroker::start().await;
    let script = async {
        let mut peer = broker.accept().await;
        peer.expect_connect().await;
        peer.send(Packet::ConnAck(ConnAck::new(ConnectReturnCode::BadClientId, false))).await;
    };
    let (connected, ()) = tokio::join!(Publisher::connect(settings(broker.address(), "writer")), script);
    assert!(connected.unwrap_err().to_string().contains("refuses this client_id"));
}

#[tokio::test]
async fn a_publisher_whose_connection_breaks_reports_it_to_everyone_who_waits() {
    let broker = ScriptedBroker::start().await;
    let (publisher, (mut peer, _)) =
        tokio::join!(Publisher::connect(settings(broker.address(), "writer")), broker.accept_client(false));
    let publisher = publisher.unwrap();
    let payload = Bytes::from_static(b"1");
    publisher.submit("t", payload.clone(), QoS::AtLeastOnce, false).await.unwrap();
    let script = async {
        for _ in 0..2 {
            peer.expect_publish().await;
        }
        drop(peer);
    };
    let (waiting, ()) =
        tokio::join!(publisher.publish("t", payload.clone(), QoS::AtLeastOnce, false), script);
    let lost = |result: Result<(), PublishError>| assert!(matches!(result, Err(PublishError::Lost { .. })));
    lost(waiting);
    lost(publisher.flush().await);
    lost(publisher.publish("t", payload, QoS::AtLeastOnce, false).await);
    publisher.close().await;
}

#[tokio::test]
async fn a_publisher_refuses_what_can_never_be_sent() {
    let broker = ScriptedBroker::start().await;
    let (publisher, (mut peer, _)) =
        tokio::join!(Publisher::connect(settings(broker.address(), "writer")), broker.accept_client(false));
    let publisher = publisher.unwrap();
    let error = publisher.publish("a/+", Bytes::new(), QoS::AtMostOnce, false).await.unwrap_err();
    assert_eq!(error, PublishError::Topic { topic: "a/+".to_owned(), source: FilterError::Wildcard });
    // Topic "t" at QoS 0: fixed header 1 + 3, topic 2 + 1.
    let largest = MAX_PACKET_BYTES - 7;
    let error =
        publisher.publish("t", vec![0; largest + 1].into(), QoS::AtMostOnce, false).await.unwrap_err();
    assert_eq!(error, PublishError::TooLarge { actual: MAX_PACKET_BYTES + 1, limit: MAX_PACKET_BYTES });
    publisher.publish("t", vec![0; largest].into(), QoS::AtMostOnce, false).await.unwrap();
    assert_eq!(peer.expect_publish().await.size(), MAX_PACKET_BYTES);
}
