//! The uplink towards brokers that forbid a service, drop what they acknowledge, or let nothing be read back.

use bytes::Bytes;
use rumqttc::{Packet, Publish, QoS, SubAck, SubscribeReasonCode};
use verge_domain::link::{Arrival, Service};
use verge_domain::stage::{Control, ControlEvent, OfferError, Sink, SinkEvent, Token};
use verge_mqtt::{ProofMessage, Services, UplinkSettings, UplinkSink, UplinkTopics};

use crate::scripted::{Peer, ScriptedBroker};
use crate::sink::{event, expect_connected, offer};
use crate::support::{settings, within};

fn start(broker: &ScriptedBroker, services: Services, alone: bool) -> UplinkSink {
    UplinkSink::spawn(UplinkSettings {
        connection: settings(broker.address(), "uplink"),
        topics: UplinkTopics::under("v/g"),
        window: 4,
        last_will: Bytes::from_static(b"gone").into(),
        services,
        proof: Some(ProofMessage::new(|_| Bytes::from_static(b"nothing"))),
        alone,
    })
}

/// What a broker does not allow: it closes the connection.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Forbids {
    Nothing,
    Will,
    RetainedWill,
    RetainedStatus,
    Status,
    Commands,
    Echo,
}

/// Serves connections until one of them has delivered a verdict; says what was published.
async fn serve(broker: &ScriptedBroker, forbids: Forbids) -> Vec<Publish> {
    'connection: loop {
        let mut peer = broker.accept().await;
        let connect = peer.expect_connect().await;
        let refused = connect.last_will.is_some_and(|will| {
            forbids == Forbids::Will || (forbids == Forbids::RetainedWill && will.retain)
        });
        if refused {
            continue;
        }
        peer.send(Packet::ConnAck(rumqttc::ConnAck::new(rumqttc::ConnectReturnCode::Success, false))).await;
        let (mut published, mut read_back) = (Vec::new(), Vec::new());
        while let Some(packet) = peer.read().await {
            match packet {
                Packet::Subscribe(subscribe) => {
                    let commands = subscribe.filters.iter().any(|filter| filter.path.ends_with("/cmd"));
                    if forbids == if commands { Forbids::Commands } else { Forbids::Echo } {
                        continue 'connection;
                    }
                    read_back.extend(subscribe.filters.iter().map(|filter| filter.path.clone()));
                    peer.answer(&subscribe, |_| true).await;
                }
                Packet::Publish(publish) => {
                    let status = publish.topic == "v/g/status";
                    let forbidden =
                        forbids == Forbids::Status || (forbids == Forbids::RetainedStatus && publish.retain);
                    if status && forbidden {
                        continue 'connection;
                    }
                    peer.acknowledge(publish.pkid).await;
                    if read_back.contains(&publish.topic) {
                        peer.publish(&publish.topic, 0, &publish.payload, false).await;
                    }
                    published.push(publish);
                }
                Packet::Disconnect => return published,
                _ => {}
            }
        }
    }
}

/// As the pipeline does: the status at each connection, then a verdict, until it is delivered.
async fn deliver(mut sink: UplinkSink) -> Vec<Service> {
    loop {
        match event(&mut sink).await {
            SinkEvent::Delivered(Token(1)) => break,
            SinkEvent::Disconnected { .. }
            | SinkEvent::Changed
            | SinkEvent::Control(ControlEvent::Command(_)) => continue,
            SinkEvent::Control(_)
            | SinkEvent::Connected
            | SinkEvent::Delivered(_)
            | SinkEvent::Refused { .. } => {}
        }
        // What is refused now is offered again at the next event.
        if sink.takes_status()
            && let Err(error) = sink.publish_status(Bytes::from_static(b"up"))
        {
            assert!(!matches!(error, OfferError::TooLarge { .. }));
        }
        if let Err(error) = offer(&mut sink, 1) {
            assert!(!matches!(error, OfferError::TooLarge { .. }));
        }
    }
    let degraded = sink.report().degraded.into_iter().map(|degraded| degraded.service).collect();
    sink.set_last_status(Bytes::from_static(b"bye"));
    within("the end", sink.close(std::time::Duration::from_secs(5))).await;
    degraded
}

#[tokio::test]
async fn a_service_that_the_broker_closes_on_goes_off_and_verdicts_flow() {
    let cases = [
        (Forbids::Nothing, None),
        (Forbids::Will, Some(Service::Will)),
        (Forbids::RetainedWill, Some(Service::Retain)),
        (Forbids::RetainedStatus, Some(Service::Retain)),
        (Forbids::Commands, Some(Service::Commands)),
        (Forbids::Echo, Some(Service::Echo)),
    ];
    let cases = cases.map(|(forbids, expected)| {
        tokio::spawn(async move {
            let broker = ScriptedBroker::start().await;
            let sink = start(&broker, Services::ALL, true);
            let (published, degraded) =
                tokio::join!(within("verdicts", serve(&broker, forbids)), deliver(sink));
            assert_eq!(degraded, expected.into_iter().collect::<Vec<_>>(), "{forbids:?}");
            assert!(published.iter().any(|publish| publish.topic == "v/g/verdict"), "{forbids:?}");
            let last = published.last().unwrap();
            let retained = expected != Some(Service::Retain);
            assert_eq!((last.payload.as_ref(), last.retain), (&b"bye"[..], retained), "{forbids:?}");
        })
    });
    for case in cases {
        case.await.unwrap();
    }
}

/// Without retain first, then without any status.
#[tokio::test]
async fn a_status_that_is_forbidden_altogether_goes_off_in_two_steps() {
    let broker = ScriptedBroker::start().await;
    let sink = start(&broker, Services::ALL, true);
    let (published, degraded) =
        tokio::join!(within("verdicts", serve(&broker, Forbids::Status)), deliver(sink));
    assert_eq!(degraded, [Service::Retain, Service::Status]);
    assert!(published.iter().all(|publish| publish.topic == "v/g/verdict"));
}

#[tokio::test]
async fn a_service_that_is_switched_off_costs_no_attempt() {
    let broker = ScriptedBroker::start().await;
    let none = Services { retain: false, will: false, status: false, commands: false, echo: false };
    let mut sink = start(&broker, none, true);
    let (mut peer, connect) = broker.accept_client(false).await;
    assert!(connect.last_will.is_none());
    expect_connected(&mut sink).await;
    assert!(!sink.takes_status());
    assert_eq!(offer(&mut sink, 1), Ok(()));
    let publish = peer.expect_publish().await;
    peer.acknowledge(publish.pkid).await;
    assert_eq!(event(&mut sink).await, SinkEvent::Delivered(Token(1)));
}

const ECHO_ONLY: Services = Services { retain: true, will: true, status: true, commands: false, echo: true };

/// Takes CONNECT and the subscription to the gateway's own topics.
async fn accept(broker: &ScriptedBroker) -> Peer {
    let (mut peer, _) = broker.accept_client(false).await;
    let subscribe = peer.expect_subscribe().await;
    let filters: Vec<&str> = subscribe.filters.iter().map(|filter| filter.path.as_str()).collect();
    assert_eq!(filters[..2], ["v/g/alarm", "v/g/verdict"]);
    peer.answer(&subscribe, |filter| filter != "v/g/status").await;
    peer
}

#[tokio::test]
async fn what_is_retained_as_the_own_status_is_reported_before_anything_can_be_offered() {
    let broker = ScriptedBroker::start().await;
    let mut sink = start(&broker, ECHO_ONLY, true);
    let (mut peer, _) = broker.accept_client(false).await;
    let subscribe = peer.expect_subscribe().await;
    assert_eq!(subscribe.filters[2].path, "v/g/status");
    peer.answer(&subscribe, |_| true).await;
    let mut retained = Publish::new("v/g/status", QoS::AtMostOnce, "of the last run");
    retained.retain = true;
    peer.send(Packet::Publish(retained)).await;
    assert_eq!(
        next_but_news(&mut sink).await,
        SinkEvent::Control(ControlEvent::Found(Bytes::from_static(b"of the last run")))
    );
    expect_connected(&mut sink).await;
    // From then on the gateway's own would come back.
    match peer.next().await {
        Packet::Unsubscribe(unsubscribe) => assert_eq!(unsubscribe.topics, ["v/g/status"]),
        other => panic!("{other:?}"),
    }
    assert_eq!(offer(&mut sink, 1), Ok(()));
    // A broker that holds nothing there is not waited for long.
    drop(peer);
    let (mut peer, _) = broker.accept_client(false).await;
    let subscribe = peer.expect_subscribe().await;
    peer.answer(&subscribe, |_| true).await;
    loop {
        if next_but_news(&mut sink).await == SinkEvent::Connected {
            break;
        }
    }
}

async fn next_but_news(sink: &mut UplinkSink) -> SinkEvent {
    loop {
        match event(sink).await {
            SinkEvent::Changed => {}
            other => return other,
        }
    }
}

#[tokio::test]
async fn nothing_is_delivered_before_it_came_back_and_then_acknowledgements_count() {
    let broker = ScriptedBroker::start().await;
    let mut sink = start(&broker, ECHO_ONLY, true);
    let mut peer = accept(&broker).await;
    expect_connected(&mut sink).await;
    assert_eq!(offer(&mut sink, 1), Ok(()));
    let first = peer.expect_publish().await;
    peer.acknowledge(first.pkid).await;
    assert!(matches!(sink.report().topics[1].arrival, Arrival::Unproven { .. }));
    peer.publish("v/g/verdict", 0, &first.payload, false).await;
    assert_eq!(next_but_news(&mut sink).await, SinkEvent::Delivered(Token(1)));
    assert!(matches!(sink.report().topics[1].arrival, Arrival::Proven { .. }));
    // The subscription ends at once: the line does not carry the next message twice.
    match peer.next().await {
        Packet::Unsubscribe(unsubscribe) => assert_eq!(unsubscribe.topics, ["v/g/verdict"]),
        other => panic!("{other:?}"),
    }
    assert_eq!(offer(&mut sink, 2), Ok(()));
    let second = peer.expect_publish().await;
    peer.acknowledge(second.pkid).await;
    assert_eq!(next_but_news(&mut sink).await, SinkEvent::Delivered(Token(2)));
}

#[tokio::test]
async fn what_is_acknowledged_and_dropped_is_not_delivered_and_a_link_beside_others_proves_itself_first() {
    let broker = ScriptedBroker::start().await;
    let mut sink = start(&broker, ECHO_ONLY, false);
    let mut peer = accept(&broker).await;
    expect_connected(&mut sink).await;
    assert_eq!(offer(&mut sink, 1), Ok(()));
    for _ in 0..2 {
        let publish = peer.expect_publish().await;
        assert_eq!(publish.payload, "1", "it is tried twice");
        peer.acknowledge(publish.pkid).await;
    }
    match next_but_news(&mut sink).await {
        SinkEvent::Disconnected { reason } => {
            assert!(reason.contains("acknowledged but not arrived"), "{reason}")
        }
        other => panic!("{other:?}"),
    }
    drop(peer);
    let mut peer = accept(&broker).await;
    let proof = peer.expect_publish().await;
    assert_eq!((proof.topic.as_str(), proof.payload.as_ref()), ("v/g/verdict", &b"nothing"[..]));
    peer.acknowledge(proof.pkid).await;
    assert!(matches!(sink.report().topics[1].arrival, Arrival::Dead { .. }));
    assert!(offer(&mut sink, 1).is_err(), "not before it came back");
    peer.publish("v/g/verdict", 0, b"nothing", false).await;
    expect_connected(&mut sink).await;
    assert_eq!(offer(&mut sink, 1), Ok(()));
}

#[tokio::test]
async fn where_the_broker_refuses_to_let_its_messages_be_read_acknowledgements_count_and_it_is_reported() {
    let broker = ScriptedBroker::start().await;
    let mut sink = start(&broker, ECHO_ONLY, true);
    let (mut peer, _) = broker.accept_client(false).await;
    let subscribe = peer.expect_subscribe().await;
    peer.send(Packet::SubAck(SubAck::new(subscribe.pkid, vec![SubscribeReasonCode::Failure; 2]))).await;
    expect_connected(&mut sink).await;
    assert_eq!(offer(&mut sink, 1), Ok(()));
    let publish = peer.expect_publish().await;
    peer.acknowledge(publish.pkid).await;
    assert_eq!(next_but_news(&mut sink).await, SinkEvent::Delivered(Token(1)));
    let report = sink.report();
    assert_eq!(report.degraded[0].service, Service::Echo);
    assert!(
        matches!(&report.topics[0].arrival, Arrival::Unproven { why } if why.contains("believed")),
        "{report:?}"
    );
}

#[tokio::test]
async fn echoes_are_taken_where_all_goes_to_one_topic() {
    let broker = ScriptedBroker::start().await;
    let one = || "devices/g/events/".to_owned();
    let topics = UplinkTopics {
        alarm: one(),
        verdict: one(),
        telemetry: one(),
        status: one(),
        command: None,
        reply: one(),
    };
    let mut sink = UplinkSink::spawn(UplinkSettings {
        connection: settings(broker.address(), "uplink"),
        topics,
        window: 4,
        last_will: Bytes::from_static(b"gone").into(),
        services: Services { retain: false, ..ECHO_ONLY },
        proof: None,
        alone: true,
    });
    let (mut peer, _) = broker.accept_client(false).await;
    let subscribe = peer.expect_subscribe().await;
    assert_eq!(subscribe.filters.len(), 1);
    peer.answer(&subscribe, |_| true).await;
    expect_connected(&mut sink).await;
    assert_eq!(offer(&mut sink, 1), Ok(()));
    let publish = peer.expect_publish().await;
    peer.acknowledge(publish.pkid).await;
    peer.publish(&publish.topic, 0, b"another gateway", false).await;
    peer.publish(&publish.topic, 0, &publish.payload, false).await;
    assert_eq!(next_but_news(&mut sink).await, SinkEvent::Delivered(Token(1)));
}
