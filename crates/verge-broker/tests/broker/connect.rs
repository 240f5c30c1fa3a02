//! What a front makes of CONNECT: who is admitted, with which login, and who is refused.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use rumqttc::{ConnAck, Connect, ConnectReturnCode, LastWill, Login, Packet};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use verge_broker::{Front, FrontError, FrontLimits, FrontSettings, KnownFilters, Policy, SourceInputs};
use verge_domain::reading::{Inbound, Session, SourceIndex};
use verge_domain::stage::IntakeFull;
use verge_domain::time::{Moment, UtcMillis};
use verge_mqtt::{ConnectionSettings, PublishError, Publisher, QoS, Subscriber, SubscriberEvent};
use verge_tls::{Credentials, Secret};

use crate::scripted::{Peer, ScriptedBroker};
use crate::support::{embedded, eventually, settings, unique, within};

const LOOPBACK: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

fn credentials(password: &str) -> Credentials {
    Credentials { username: "somebody".to_owned(), password: Secret::new(password.to_owned()) }
}

/// A front in plain text before any broker.
async fn front_before(broker: SocketAddr, login: Option<Credentials>, limits: FrontLimits) -> Front {
    Front::start(FrontSettings { listen: LOOPBACK, tls: None, broker, login, policy: Policy::open(), limits })
        .await
        .unwrap()
}

/// A front that logs in at the real broker.
async fn front() -> Front {
    let broker = embedded().await;
    front_before(broker.address(), Some(broker.credentials().clone()), FrontLimits::default()).await
}

/// A front before a scripted broker.
async fn scripted() -> (ScriptedBroker, Front) {
    let broker = ScriptedBroker::start().await;
    let front = front_before(broker.address(), Some(credentials("right")), FrontLimits::default()).await;
    (broker, front)
}

fn bytes(packet: Packet) -> BytesMut {
    let mut bytes = BytesMut::new();
    packet.write(&mut bytes, usize::MAX).unwrap();
    bytes
}

async fn open(front: &Front, bytes: &[u8]) -> TcpStream {
    let mut stream = TcpStream::connect(front.address()).await.unwrap();
    stream.write_all(bytes).await.unwrap();
    stream
}

/// All that comes until the connection is closed.
async fn answer(mut stream: TcpStream) -> Vec<u8> {
    let mut answer = Vec::new();
    // A reset is one way to close.
    drop(within("closed", stream.read_to_end(&mut answer)).await);
    answer
}

async fn expect_service(front: &Front) {
    let publisher = Publisher::connect(settings(front.address(), &unique("device"))).await.unwrap();
    publisher.publish("front/service", Bytes::from_static(b"1"), QoS::AtLeastOnce, false).await.unwrap();
    publisher.close().await;
}

/// Messages pass in order from one client to another.
pub(crate) async fn expect_passage(reader: ConnectionSettings, writer: ConnectionSettings) {
    let topic = unique("passage");
    let mut subscriber = Subscriber::spawn(reader, vec![topic.clone()]);
    assert_eq!(within("subscribed", subscriber.next()).await, Some(SubscriberEvent::Subscribed));
    let publisher = Publisher::connect(writer).await.unwrap();
    for index in 0..500 {
        publisher.submit(&topic, index.to_string().into(), QoS::AtLeastOnce, false).await.unwrap();
    }
    publisher.flush().await.unwrap();
    for index in 0..500 {
        match within("a message", subscriber.next()).await {
            Some(SubscriberEvent::Message(message)) => assert_eq!(message.payload, index.to_string()),
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test]
async fn messages_pass_from_clients_without_a_login_or_with_another() {
    let front = front().await;
    let mut writer = settings(front.address(), &unique("writer"));
    writer.credentials = Some(credentials("anything"));
    expect_passage(settings(front.address(), &unique("reader")), writer).await;
    assert_eq!((front.view().totals().accepted, front.view().totals().refused_clients), (2, 0));
}

#[tokio::test]
async fn the_broker_sees_the_fronts_login_and_a_keep_alive() {
    let (broker, front) = scripted().await;
    let mut connect = Connect::new("camera-1");
    connect.last_will = Some(LastWill::new("camera-1/state", "gone", QoS::AtLeastOnce, true));
    connect.keep_alive = 0;
    connect.clean_session = false;
    connect.set_login("me", "wrong");
    // What follows without waiting for the answer is not lost.
    let mut stream =
        open(&front, &[bytes(Packet::Connect(connect.clone())), bytes(Packet::PingReq)].concat()).await;
    let (mut peer, seen) = broker.accept_client(true).await;
    // Longer than the front's own, which is to end silent clients itself.
    let expected = Connect { keep_alive: 180, login: Some(Login::new("somebody", "right")), ..connect };
    assert_eq!(seen, expected);
    stream.write_all(&bytes(Packet::Disconnect)).await.unwrap();
    peer.expect_disconnect().await;
    drop(peer);
    assert_eq!(
        answer(stream).await,
        b"\x20\x02\x01\x00\xd0\x00",
        "session present, and the answer to the ping"
    );
}

#[tokio::test]
async fn clients_that_would_harm_are_refused_by_the_standards_codes() {
    let front = front().await;
    let check = async |packet: &[u8], expected: &[u8], words: &str| {
        for _ in 0..3 {
            let refused = front.view().totals().refused_clients;
            assert_eq!(answer(open(&front, packet).await).await, expected, "{packet:?}");
            assert_eq!(front.view().totals().refused_clients, refused + 1);
            let why = front.view().last_refusal().unwrap();
            assert!(why.starts_with("127.0.0.1: ") && why.contains(words), "{why}");
        }
    };
    let named = |client_id: &str, clean_session: bool| {
        let connect = Connect { clean_session, ..Connect::new(client_id) };
        bytes(Packet::Connect(connect)).to_vec()
    };
    const BAD_CLIENT_ID: &[u8] = b"\x20\x02\x00\x02";
    const BAD_VERSION: &[u8] = b"\x20\x02\x00\x01";
    for bad in ["cam/1", "cam+1", "cam#1", "cam$1"] {
        check(&named(bad, true), BAD_CLIENT_ID, bad).await;
    }
    check(&named("@verge-gateway", false), BAD_CLIENT_ID, "gateway's own").await;
    check(&named(&"x".repeat(129), true), BAD_CLIENT_ID, "longer than 128").await;
    check(&named("", false), BAD_CLIENT_ID, "is empty").await;
    // In its own version: an identifier of the gateway's own, and a method to log in by.
    let five = b"\x10\x0f\0\x04MQTT\x05\x02\0\x3c\0\0\x02@v";
    check(five, b"\x20\x03\x00\x85\x00", "gateway's own").await;
    let method = b"\x10\x12\0\x04MQTT\x05\x02\0\x3c\x04\x15\0\x01X\0\x01a";
    check(method, b"\x20\x03\x00\x8c\x00", "authentication method").await;
    check(b"\x10\x0d\0\x04MQTT\x06\x02\0\x3c\0\0\0", BAD_VERSION, "protocol level 6").await;
    check(b"\x10\x0e\0\x06MQIsdp\x03\x02\0\x3c\0\0", BAD_VERSION, "protocol level 3").await;
    check(b"\x10\xff\xff\xff\x7f", b"", "at most 16384").await;
    check(b"GET / HTTP/1.1\r\n\r\n", b"", "did not begin with CONNECT").await;
    check(&bytes(Packet::PingReq), b"", "did not begin with CONNECT").await;
    expect_service(&front).await;
}

#[tokio::test]
async fn a_connect_that_does_not_come_holds_a_place_for_so_long_and_stops_nobody() {
    let broker = embedded().await;
    let limits = FrontLimits { handshake: Duration::from_secs(2), ..FrontLimits::default() };
    let front = front_before(broker.address(), Some(broker.credentials().clone()), limits).await;
    let connect = bytes(Packet::Connect(Connect::new("slow")));
    let idle = open(&front, b"").await;
    let half = open(&front, &connect[..10]).await;
    let drop_by_drop = async {
        let mut stream = open(&front, b"").await;
        for byte in &connect[..] {
            if stream.write_all(&[*byte]).await.is_err() {
                break;
            }
            tokio::time::sleep(Duration::from_millis(250)).await;
        }
        answer(stream).await
    };
    let (idle, half, slow, ()) =
        tokio::join!(answer(idle), answer(half), drop_by_drop, expect_service(&front));
    assert_eq!([idle, half, slow], [b"", b"", b""]);
    assert_eq!(front.view().totals().refused_clients, 3);
    assert!(front.view().last_refusal().unwrap().contains("not complete in time"));
}

#[tokio::test]
async fn silence_ends_a_connection_even_under_traffic_towards_it() {
    let (broker, front) = scripted().await;
    let stream = open(&front, &bytes(Packet::Connect(Connect { keep_alive: 1, ..Connect::new("c") }))).await;
    let (mut peer, _) = broker.accept_client(false).await;
    let began = std::time::Instant::now();
    let traffic = async {
        loop {
            peer.publish("t", 0, b"1", false).await;
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::select! {
        _ = answer(stream) => {}
        () = traffic => {}
    }
    let silent = began.elapsed();
    assert!((Duration::from_secs(1)..Duration::from_secs(10)).contains(&silent), "{silent:?}");
    assert!(peer.until_closed().await.is_empty(), "no farewell is made up, so the last will is published");
}

#[tokio::test]
async fn a_will_goes_to_the_gateway_when_its_client_is_away_and_not_when_the_broker_is() {
    let broker = ScriptedBroker::start().await;
    let inputs = SourceInputs::new(false, || Moment::from_wall(UtcMillis(1)));
    let (sent, received) = std::sync::mpsc::channel();
    let intake = move |message: Inbound| -> Result<(), IntakeFull> {
        sent.send(message.topic).unwrap();
        Ok(())
    };
    inputs.add(Some(Session::Readings), vec![(SourceIndex(0), "#".to_owned())], intake);
    inputs.open();
    let (policy, limits) = (Policy::open(), FrontLimits::default());
    let (login, broker_address) = (Some(credentials("right")), broker.address());
    let settings =
        FrontSettings { listen: LOOPBACK, tls: None, broker: broker_address, login, policy, limits };
    let front = Front::start_with(settings, (Some(inputs), None), KnownFilters::default()).await.unwrap();
    let connect = |name: &str| {
        let will = LastWill::new(format!("{name}/state"), "away", QoS::AtLeastOnce, false);
        bytes(Packet::Connect(Connect { last_will: Some(will), ..Connect::new(name) }))
    };
    let stream = open(&front, &connect("a")).await;
    drop(broker.accept_client(false).await);
    answer(stream).await;
    let stream = open(&front, &connect("b")).await;
    let (_peer, _) = broker.accept_client(false).await;
    drop(stream);
    let mut wills = Vec::new();
    eventually("the will", || {
        wills.extend(received.try_iter());
        !wills.is_empty()
    })
    .await;
    assert_eq!(wills, ["b/state"]);
}

/// rumqttd stops its listener for good when it cannot give its answer and another client of that name comes.
#[tokio::test]
async fn the_brokers_answer_is_taken_from_it_although_the_client_has_left() {
    let (broker, front) = scripted().await;
    drop(open(&front, &bytes(Packet::Connect(Connect::new("hasty")))).await);
    let mut peer = broker.accept().await;
    peer.expect_connect().await;
    let waiting = tokio::time::timeout(Duration::from_millis(300), peer.read()).await;
    assert!(waiting.is_err(), "the connection to the broker stands until it has answered");
    peer.send(Packet::ConnAck(ConnAck::new(ConnectReturnCode::Success, false))).await;
    assert!(peer.until_closed().await.is_empty());
}

#[tokio::test]
async fn a_goodbye_reaches_a_broker_that_is_sending() {
    let (broker, front) = scripted().await;
    let mut stream = open(&front, &bytes(Packet::Connect(Connect::new("c")))).await;
    let (mut peer, _) = broker.accept_client(false).await;
    peer.publish("t", 0, &[0; 100_000], false).await;
    let mut some = [0; 1000];
    stream.read_exact(&mut some).await.unwrap();
    stream.write_all(&bytes(Packet::Disconnect)).await.unwrap();
    // Unread bytes reset the connection.
    drop(stream);
    let traffic = async |peer: &mut Peer| {
        for _ in 0..20 {
            peer.publish("t", 0, &[0; 100_000], false).await;
        }
    };
    traffic(&mut peer).await;
    peer.expect_disconnect().await;
    assert!(peer.until_closed().await.is_empty());
}

#[tokio::test]
async fn clients_receive_a_code_while_the_broker_does_not_serve() {
    let nowhere = ScriptedBroker::start().await.address();
    let front = front_before(nowhere, Some(credentials("right")), FrontLimits::default()).await;
    let connect = || Publisher::connect(settings(front.address(), "c"));
    match connect().await {
        Err(PublishError::Connect { reason, .. }) => assert!(reason.contains("not available"), "{reason}"),
        other => panic!("{other:?}"),
    }
    assert_eq!(front.view().totals().accepted, 0);

    // With logins of their own, clients receive the code for a wrong one: rumqttd only closes the connection.
    let front = front_before(embedded().await.address(), None, FrontLimits::default()).await;
    let mut stranger = settings(front.address(), "c");
    stranger.credentials = Some(credentials("wrong"));
    match Publisher::connect(stranger).await {
        Err(PublishError::Connect { reason, .. }) => assert!(reason.contains("not authorise"), "{reason}"),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn connections_end_with_the_broker() {
    let (broker, front) = scripted().await;
    let stream = open(&front, &bytes(Packet::Connect(Connect::new("c")))).await;
    let (peer, _) = broker.accept_client(false).await;
    drop(peer);
    assert_eq!(answer(stream).await, b"\x20\x02\x00\x00");
    let again = open(&front, &bytes(Packet::Connect(Connect::new("c")))).await;
    let (_peer, _) = broker.accept_client(false).await;
    eventually("let in again", || front.view().totals().accepted == 2).await;
    drop(again);
}

#[tokio::test]
async fn plain_text_is_for_this_machine_alone() {
    let broker = embedded().await.address();
    let plain = |listen: &str| FrontSettings {
        listen: listen.parse().unwrap(),
        tls: None,
        broker,
        login: None,
        policy: Policy::open(),
        limits: FrontLimits::default(),
    };
    for outside in ["0.0.0.0:0", "[::]:0", "192.0.2.1:0"] {
        let error = Front::start(plain(outside)).await.unwrap_err();
        assert!(matches!(error, FrontError::PlainText { .. }), "{error}");
    }
    let taken = Front::start(plain("127.0.0.1:0")).await.unwrap();
    let error = Front::start(plain(&taken.address().to_string())).await.unwrap_err();
    assert!(error.to_string().starts_with(&format!("cannot listen on {}: ", taken.address())), "{error}");
}
