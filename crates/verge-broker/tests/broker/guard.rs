//! The guard before a real broker: what clients may do, through sockets and TLS.

use std::time::Duration;

use bytes::Bytes;
use rumqttc::{Connect, Packet};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use verge_broker::policy::{Access, ClientLimits, Policy, Refusal, SendRate};
use verge_broker::{Front, FrontLimits, FrontSettings};
use verge_mqtt::{Publisher, QoS, Subscriber, SubscriberEvent};

use crate::certificates::{CLIENT, Certificates, through};
use crate::support::{embedded, eventually, settings, unique, within};

fn own() -> Policy {
    let limits = ClientLimits { packet_bytes: 4_000, frame_bytes: 4_000, ..ClientLimits::DEFAULT };
    Policy { access: Access::Own(Vec::new()), retained: false, limits, frames: Vec::new() }
}

/// In plain text: a client is who it says.
async fn front(policy: Policy) -> Front {
    let broker = embedded().await;
    let (broker, login) = (broker.address(), Some(broker.credentials().clone()));
    let (listen, limits) = ("127.0.0.1:0".parse().unwrap(), FrontLimits::default());
    Front::start(FrontSettings { listen, tls: None, broker, login, policy, limits }).await.unwrap()
}

fn bytes(packet: Packet) -> Vec<u8> {
    let mut bytes = bytes::BytesMut::new();
    packet.write(&mut bytes, usize::MAX).unwrap();
    bytes.to_vec()
}

/// A client that is let in, and what it sends as it likes.
async fn raw(front: &Front, client_id: &str) -> TcpStream {
    let mut stream = TcpStream::connect(front.address()).await.unwrap();
    stream.write_all(&bytes(Packet::Connect(Connect::new(client_id)))).await.unwrap();
    let mut answer = [0; 4];
    within("CONNACK", stream.read_exact(&mut answer)).await.unwrap();
    assert_eq!(answer, [0x20, 2, 0, 0]);
    stream
}

async fn rest(mut stream: TcpStream) -> Vec<u8> {
    let mut rest = Vec::new();
    drop(within("closed", stream.read_to_end(&mut rest)).await);
    rest
}

/// A device publishes and another client reads, below the device's name.
async fn expect_service(front: &Front) {
    let name = unique("device");
    let topic = format!("plant/{name}/cmd/start");
    let mut reader = Subscriber::spawn(settings(front.address(), &name), vec![format!("plant/{name}/cmd/#")]);
    assert_eq!(within("subscribed", reader.next()).await, Some(SubscriberEvent::Subscribed));
    let writer = Publisher::connect(settings(front.address(), &format!("{name}:2"))).await;
    // In plain text "NAME:2" is another name.
    let refused = writer.unwrap().publish(&topic, Bytes::new(), QoS::AtLeastOnce, false).await;
    assert!(refused.is_err());
    let mut device = raw(front, &unique("alive")).await;
    device.write_all(b"\xc0\x00").await.unwrap();
    let mut answer = [0; 2];
    within("PINGRESP", device.read_exact(&mut answer)).await.unwrap();
}

#[tokio::test]
async fn what_a_client_may_not_do_never_reaches_the_broker_and_is_counted() {
    let front = front(own()).await;
    let count = |why: Refusal| {
        let refusals = front.view().refusals();
        refusals.iter().find(|(reason, _)| *reason == why).map_or(0, |(_, count)| *count)
    };
    let publish = |topic: &str, flags: u8| {
        let mut packet = vec![0x30 | flags, (topic.len() + 3) as u8];
        packet.extend_from_slice(&(topic.len() as u16).to_be_bytes());
        packet.extend_from_slice(topic.as_bytes());
        packet.push(b'1');
        packet
    };
    let name = unique("bad");
    let own_topic = format!("{name}/x");
    for (packet, why) in [
        (publish("other/x", 0), Refusal::PublishNotAllowed),
        (publish("Öl/1", 0), Refusal::BadTopic),
        (publish("$SYS/x", 0), Refusal::ReservedTopic),
        (publish(&own_topic, 1), Refusal::Retained),
        (b"\x30\xff\xff\x7f".to_vec(), Refusal::TooLarge),
        (bytes(Packet::Connect(Connect::new(name.as_str()))), Refusal::PacketOrder),
        (b"\x20\x02\x00\x00".to_vec(), Refusal::PacketOrder),
        (b"\xc0\x01\x00".to_vec(), Refusal::Malformed),
    ] {
        let before = count(why);
        let mut stream = raw(&front, &name).await;
        stream.write_all(&packet).await.unwrap();
        assert_eq!(rest(stream).await, b"", "{why}");
        eventually("it is counted", || count(why) == before + 1).await;
    }
    let refused = front.view().refused_devices();
    assert_eq!((refused[0].device.as_str(), refused[0].refused), (name.as_str(), 8));
    let totals = front.view().totals();
    assert_eq!((totals.cut_off, totals.refused_clients), (8, 0));
    assert!(front.view().last_refusal().unwrap().contains("not as MQTT says"));
    expect_service(&front).await;
}

#[tokio::test]
async fn subscriptions_are_answered_filter_by_filter() {
    let front = front(own()).await;
    let name = unique("reader");
    let mut stream = raw(&front, &name).await;
    let mut body = vec![0, 9];
    for filter in ["#", &format!("plant/{name}/cmd/#"), "$share/g/x", "other/cmd"] {
        body.extend_from_slice(&(filter.len() as u16).to_be_bytes());
        body.extend_from_slice(filter.as_bytes());
        body.push(1);
    }
    let packet = [&[0x82, body.len() as u8][..], &body].concat();
    stream.write_all(&packet).await.unwrap();
    let mut answer = [0; 8];
    within("SUBACK", stream.read_exact(&mut answer)).await.unwrap();
    assert_eq!(answer, [0x90, 6, 0, 9, 0x80, 1, 0x80, 0x80]);
    stream.write_all(b"\x82\x06\x00\x0a\x00\x01#\x00\xc0\x00").await.unwrap();
    let mut answer = [0; 7];
    within("SUBACK and PINGRESP", stream.read_exact(&mut answer)).await.unwrap();
    // Which of the two comes first is not said by the standard.
    assert!(
        answer == *b"\x90\x03\x00\x0a\x80\xd0\x00" || answer == *b"\xd0\x00\x90\x03\x00\x0a\x80",
        "{answer:?}"
    );
    assert_eq!(front.view().totals().cut_off, 0);
}

#[tokio::test]
async fn a_certificate_says_who_a_client_is() {
    let certificates = Certificates::new();
    let front = certificates.front_of(own(), FrontLimits::default()).await;
    let connect = async |client_id: &str| {
        let connection = through(&front, certificates.client(), client_id).await;
        within("an attempt", Publisher::connect(connection)).await
    };
    for foreign in ["other", "clients", "Client", "@verge-gateway"] {
        assert!(connect(foreign).await.is_err(), "{foreign}");
    }
    let name = CLIENT;
    for own in [name.to_owned(), format!("{name}:frames")] {
        let publisher = connect(&own).await.unwrap();
        let topic = format!("plant/{name}/x");
        publisher.publish(&topic, Bytes::new(), QoS::AtLeastOnce, false).await.unwrap();
        let foreign = publisher.publish("plant/other/x", Bytes::new(), QoS::AtLeastOnce, false).await;
        assert!(foreign.is_err());
    }
    let refusals = front.view().refusals();
    assert!(refusals.contains(&(Refusal::ForeignClientId, 3)), "{refusals:?}");
    assert!(refusals.contains(&(Refusal::PublishNotAllowed, 2)), "{refusals:?}");
}

#[tokio::test]
async fn a_device_that_floods_is_slowed_down_and_others_are_not() {
    let limits =
        ClientLimits { rate: Some(SendRate { messages: 200, bytes: 1 << 20 }), ..ClientLimits::DEFAULT };
    let front = front(Policy { limits, ..Policy::open() }).await;
    let mut flood = raw(&front, &unique("flood")).await;
    let flooding = tokio::spawn(async move {
        // Each is a message without a payload.
        let many = b"\x30\x03\x00\x01a".repeat(1_000);
        while flood.write_all(&many).await.is_ok() {}
    });
    eventually("it is left unread", || front.view().totals().throttled > 0).await;
    let began = std::time::Instant::now();
    let publisher = Publisher::connect(settings(front.address(), &unique("other"))).await.unwrap();
    for _ in 0..20 {
        publisher.publish("other/x", Bytes::from_static(b"1"), QoS::AtLeastOnce, false).await.unwrap();
    }
    publisher.close().await;
    assert!(began.elapsed() < Duration::from_secs(30), "{:?}", began.elapsed());
    assert_eq!(front.view().totals().cut_off, 0);
    flooding.abort();
}

#[tokio::test]
async fn a_packet_that_does_not_get_complete_ends_its_connection() {
    let front = front(Policy::open()).await;
    let mut slow = raw(&front, &unique("slow")).await;
    let began = std::time::Instant::now();
    let dripping = async {
        for byte in b"\x30\x7f\x00\x01a".iter().chain(std::iter::repeat_n(&b'x', 100)) {
            if slow.write_all(&[*byte]).await.is_err() {
                break;
            }
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
    };
    let counted = eventually("it is cut off", || front.view().totals().cut_off == 1);
    tokio::select! {
        () = dripping => {}
        () = counted => {}
    }
    eventually("it is cut off", || front.view().totals().cut_off == 1).await;
    assert!((5..60).contains(&began.elapsed().as_secs()), "{:?}", began.elapsed());
    assert_eq!(front.view().refusals(), [(Refusal::SlowPacket, 1)]);
}

#[tokio::test]
async fn clients_without_a_name_share_few() {
    let front = front(Policy::open()).await;
    for _ in 0..3 {
        let mut stream = raw(&front, "").await;
        stream.write_all(b"\xe0\x00").await.unwrap();
        rest(stream).await;
    }
    assert_eq!(front.view().totals().accepted, 3);
}
