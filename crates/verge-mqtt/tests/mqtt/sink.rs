//! The uplink: acknowledgements, the window, reconnection, last will, closing.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use rumqttc::QoS;
use verge_domain::id::Lane;
use verge_domain::stage::{Control, ControlEvent, OfferError, Sink, SinkEvent, Token};
use verge_mqtt::{
    ConnectionSettings, Services, Subscriber, SubscriberEvent, UplinkSettings, UplinkSink, UplinkTopics,
    WillMessage,
};

use crate::scripted::ScriptedBroker;
use crate::support::{MAX_PACKET_BYTES, direct, embedded, settings, unique, within};

const GRACE: Duration = Duration::from_secs(10);

fn uplink(connection: ConnectionSettings, prefix: &str, window: usize) -> UplinkSettings {
    UplinkSettings {
        connection,
        topics: UplinkTopics::under(prefix),
        window,
        last_will: Bytes::from_static(b"gone").into(),
        services: Services { commands: false, echo: false, ..Services::ALL },
        proof: None,
        alone: true,
    }
}

pub(crate) fn start(connection: ConnectionSettings, prefix: &str, window: usize) -> UplinkSink {
    UplinkSink::spawn(uplink(connection, prefix, window))
}

pub(crate) async fn event(sink: &mut UplinkSink) -> SinkEvent {
    within("an event", sink.event()).await.expect("the sink lives")
}

pub(crate) async fn expect_connected(sink: &mut UplinkSink) {
    while event(sink).await != SinkEvent::Connected {}
}

pub(crate) fn offer(sink: &mut UplinkSink, token: u64) -> Result<(), OfferError> {
    sink.offer(Lane::Verdict, token.to_string().into(), Token(token))
}

#[tokio::test]
async fn acknowledgements_out_of_order_find_their_tokens() {
    let broker = ScriptedBroker::start().await;
    let mut sink = start(settings(broker.address(), "uplink"), "v/g", 4);
    assert_eq!(offer(&mut sink, 1), Err(OfferError::NotConnected));
    let (mut peer, connect) = broker.accept_client(false).await;
    assert!(connect.clean_session);
    let will = connect.last_will.unwrap();
    assert_eq!((will.topic.as_str(), will.retain, will.qos), ("v/g/status", true, QoS::AtLeastOnce));
    assert_eq!(will.message, "gone");
    expect_connected(&mut sink).await;
    for token in 100..104 {
        assert_eq!(offer(&mut sink, token), Ok(()));
    }
    assert_eq!(offer(&mut sink, 104), Err(OfferError::WindowFull));
    assert_eq!(sink.publish_status(Bytes::from_static(b"up")), Ok(()), "beside the window");
    let mut sent = Vec::new();
    for _ in 0..5 {
        sent.push(peer.expect_publish().await);
    }
    assert!(sent.iter().all(|publish| publish.qos == QoS::AtLeastOnce && !publish.dup));
    assert!(sent[..4].iter().all(|publish| publish.topic == "v/g/verdict" && !publish.retain));
    assert_eq!((sent[4].topic.as_str(), sent[4].retain), ("v/g/status", true));
    for publish in sent.iter().rev() {
        peer.acknowledge(publish.pkid).await;
    }
    let mut delivered = Vec::new();
    for _ in 0..5 {
        delivered.push(event(&mut sink).await);
    }
    assert_eq!(delivered[0], SinkEvent::Control(ControlEvent::StatusTaken));
    assert_eq!(delivered[1..], [103, 102, 101, 100].map(|token| SinkEvent::Delivered(Token(token))));
    assert_eq!(sink.offer(Lane::Alarm, Bytes::from_static(b"!"), Token(105)), Ok(()));
    assert_eq!(peer.expect_publish().await.topic, "v/g/alarm");
}

#[tokio::test]
async fn a_withheld_acknowledgement_does_not_confuse_the_others() {
    let broker = ScriptedBroker::start().await;
    let mut sink = start(settings(broker.address(), "uplink"), "v/g", 4);
    let (mut peer, _) = broker.accept_client(false).await;
    expect_connected(&mut sink).await;
    // The first stays unacknowledged while more than all packet identifiers but its own are used and given
    // again. Behind the collision nothing moves until it is acknowledged.
    assert_eq!(offer(&mut sink, 0), Ok(()));
    let withheld = peer.expect_publish().await.pkid;
    for token in 1..320 {
        assert_eq!(offer(&mut sink, token), Ok(()));
        let publish = peer.expect_publish().await;
        peer.acknowledge(publish.pkid).await;
        assert_eq!(event(&mut sink).await, SinkEvent::Delivered(Token(token)));
    }
    assert_eq!(offer(&mut sink, 320), Ok(()));
    assert_eq!(offer(&mut sink, 321), Ok(()));
    peer.acknowledge(withheld).await;
    assert_eq!(event(&mut sink).await, SinkEvent::Delivered(Token(0)));
    for token in [320, 321] {
        let publish = peer.expect_publish().await;
        assert_eq!(publish.payload, token.to_string());
        peer.acknowledge(publish.pkid).await;
        assert_eq!(event(&mut sink).await, SinkEvent::Delivered(Token(token)));
    }
}

#[tokio::test]
async fn what_was_in_flight_is_void_after_a_reconnect() {
    let broker = ScriptedBroker::start().await;
    let mut sink = start(settings(broker.address(), "uplink"), "v/g", 3);
    let (mut peer, _) = broker.accept_client(false).await;
    expect_connected(&mut sink).await;
    for token in 1..=3 {
        assert_eq!(offer(&mut sink, token), Ok(()));
    }
    let first = peer.expect_publish().await;
    peer.acknowledge(first.pkid).await;
    assert_eq!(event(&mut sink).await, SinkEvent::Delivered(Token(1)));
    drop(peer);
    let (mut peer, _) = broker.accept_client(false).await;
    assert!(matches!(event(&mut sink).await, SinkEvent::Disconnected { .. }));
    assert_eq!(offer(&mut sink, 2), Err(OfferError::NotConnected), "the new connection is not announced yet");
    expect_connected(&mut sink).await;
    for token in [12, 13, 14] {
        assert_eq!(offer(&mut sink, token), Ok(()), "the whole window is free");
    }
    for token in [12, 13, 14] {
        let publish = peer.expect_publish().await;
        assert_eq!((publish.payload.as_ref(), publish.dup), (token.to_string().as_bytes(), false));
        peer.acknowledge(publish.pkid).await;
        assert_eq!(event(&mut sink).await, SinkEvent::Delivered(Token(token)));
    }
}

#[tokio::test]
async fn the_largest_message_passes_and_one_byte_more_does_not() {
    // Topic "v/g/verdict": fixed header 1 + 3, topic 2 + 11, identifier 2.
    const LARGEST: usize = MAX_PACKET_BYTES - 19;
    let broker = ScriptedBroker::start().await;
    let mut sink = start(settings(broker.address(), "uplink"), "v/g", 2);
    let (mut peer, _) = broker.accept_client(false).await;
    expect_connected(&mut sink).await;
    let over = OfferError::TooLarge { actual: MAX_PACKET_BYTES + 1, limit: MAX_PACKET_BYTES };
    assert_eq!(sink.offer(Lane::Verdict, vec![0; LARGEST + 1].into(), Token(1)), Err(over));
    assert_eq!(sink.offer(Lane::Verdict, vec![0; LARGEST].into(), Token(2)), Ok(()));
    let publish = peer.expect_publish().await;
    assert_eq!(publish.size(), MAX_PACKET_BYTES);
    peer.acknowledge(publish.pkid).await;
    assert_eq!(event(&mut sink).await, SinkEvent::Delivered(Token(2)));
}

#[tokio::test]
async fn closing_waits_for_acknowledgements_publishes_the_last_status_and_says_goodbye() {
    let broker = ScriptedBroker::start().await;
    let mut sink = start(settings(broker.address(), "uplink"), "v/g", 2);
    let (mut peer, _) = broker.accept_client(false).await;
    expect_connected(&mut sink).await;
    assert_eq!(offer(&mut sink, 1), Ok(()));
    let script = async {
        let verdict = peer.expect_publish().await;
        let status = peer.expect_publish().await;
        assert_eq!(
            (status.topic.as_str(), status.retain, status.payload.as_ref()),
            ("v/g/status", true, &b"bye"[..])
        );
        peer.acknowledge(verdict.pkid).await;
        peer.acknowledge(status.pkid).await;
        peer.expect_disconnect().await;
        drop(peer);
    };
    sink.set_last_status(Bytes::from_static(b"bye"));
    tokio::join!(script, sink.close(GRACE));
    assert_eq!(sink.event().await, Some(SinkEvent::Delivered(Token(1))));
    assert_eq!(sink.event().await, None);
    assert_eq!(offer(&mut sink, 2), Err(OfferError::NotConnected));
}

#[tokio::test]
async fn closing_ends_in_time_where_upstream_is_silent_or_absent() {
    let broker = ScriptedBroker::start().await;
    let mut sink = start(settings(broker.address(), "uplink"), "v/g", 2);
    let (_peer, _) = broker.accept_client(false).await;
    expect_connected(&mut sink).await;
    assert_eq!(offer(&mut sink, 1), Ok(()));
    sink.set_last_status(Bytes::new());
    within("the silent one", sink.close(Duration::from_millis(50))).await;
    assert_eq!(sink.event().await, None, "nothing was acknowledged");

    let address = ScriptedBroker::start().await.address();
    let mut sink = start(settings(address, "uplink"), "v/g", 2);
    sink.set_last_status(Bytes::new());
    within("the absent one", sink.close(GRACE)).await;
    while sink.event().await.is_some() {}
}

#[tokio::test]
async fn each_connection_has_a_will_of_its_own() {
    let broker = ScriptedBroker::start().await;
    let made = AtomicU64::new(0);
    let last_will = WillMessage::new(move || (made.fetch_add(1, Ordering::Relaxed) + 1).to_string().into());
    let connection = settings(broker.address(), "uplink");
    let mut sink = UplinkSink::spawn(UplinkSettings { last_will, ..uplink(connection, "v/g", 4) });
    let mut before = 0;
    for _ in 0..3 {
        let (peer, connect) = broker.accept_client(false).await;
        let will: u64 = std::str::from_utf8(&connect.last_will.unwrap().message).unwrap().parse().unwrap();
        assert!(will > before, "{will} after {before}");
        before = will;
        expect_connected(&mut sink).await;
        drop(peer);
    }
}

#[tokio::test]
async fn a_real_broker_publishes_the_last_will_of_a_sink_that_disappears_and_of_no_other() {
    let broker = embedded().await;
    let check = async |clean: bool, expected: &[&str]| {
        let prefix = unique("will");
        let mut reader =
            Subscriber::spawn(direct(broker, &unique("reader")), vec![format!("{prefix}/status")]);
        assert_eq!(within("subscribed", reader.next()).await, Some(SubscriberEvent::Subscribed));
        let mut sink = start(direct(broker, &unique("uplink")), &prefix, 2);
        expect_connected(&mut sink).await;
        assert_eq!(sink.publish_status(Bytes::from_static(b"up")), Ok(()));
        assert_eq!(event(&mut sink).await, SinkEvent::Control(ControlEvent::StatusTaken));
        if clean {
            sink.set_last_status(Bytes::from_static(b"stopped"));
            sink.close(GRACE).await;
        }
        drop(sink);
        // Whatever a will would have said was said before this.
        let mut after = start(direct(broker, &unique("uplink")), &prefix, 2);
        expect_connected(&mut after).await;
        let mut seen = Vec::new();
        while seen.len() < expected.len() {
            match within("a status", reader.next()).await {
                Some(SubscriberEvent::Message(message)) => seen.push(message.payload),
                other => panic!("{other:?}"),
            }
        }
        assert_eq!(seen, expected, "clean: {clean}");
        assert_eq!(after.publish_status(Bytes::from_static(b"again")), Ok(()));
        match within("a status", reader.next()).await {
            Some(SubscriberEvent::Message(message)) => assert_eq!(message.payload, "again", "clean: {clean}"),
            other => panic!("{other:?}"),
        }
    };
    check(true, &["up", "stopped"]).await;
    check(false, &["up", "gone"]).await;
}
