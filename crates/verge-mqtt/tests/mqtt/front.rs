//! The TLS front: mutual TLS from end to end, and clients that mean no good.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use verge_domain::stage::Source;
use verge_mqtt::broker::{Front, FrontLimits, FrontSettings};
use verge_mqtt::{
    BrokerAddress, ConnectionSettings, PublishError, Publisher, QoS, Subscriber, SubscriberEvent,
};
use verge_tls::authority::{Authority, Request};
use verge_tls::{ClientConfig, Identity, ServerConfig, TrustedRoots, Usage};

use crate::source::{receipts, start, take};
use crate::support::{embedded, eventually, settings, unique, within};

/// A throwaway authority and what it has issued.
pub(crate) struct Certificates {
    authority: Authority,
}

impl Certificates {
    pub(crate) fn new() -> Self {
        verge_tls::install_provider();
        Self { authority: Authority::create(&unique("test authority"), 1).unwrap() }
    }

    fn roots(&self) -> TrustedRoots {
        TrustedRoots::from_pem(self.authority.cert_pem().as_bytes()).unwrap()
    }

    fn identity(&self, name: &str, usage: Usage) -> Identity {
        let names = if usage == Usage::Client { vec![] } else { vec!["127.0.0.1".to_owned()] };
        let request = Request { common_name: name.to_owned(), names, usage, days: 1 };
        let issued = self.authority.issue(&request).unwrap();
        Identity::from_pem(issued.cert_pem.as_bytes(), issued.key_pem.as_bytes()).unwrap()
    }

    /// For a client that shows a certificate of this authority and trusts it.
    pub(crate) fn client(&self) -> Arc<ClientConfig> {
        verge_tls::client_config(&self.roots(), Some(&self.identity("client", Usage::Client)))
    }

    /// For a client that trusts this authority and has no certificate.
    pub(crate) fn client_without_identity(&self) -> Arc<ClientConfig> {
        verge_tls::client_config(&self.roots(), None)
    }

    /// For a client that trusts another authority and shows a certificate of this one.
    pub(crate) fn client_of(&self, other: &Self) -> Arc<ClientConfig> {
        verge_tls::client_config(&other.roots(), Some(&self.identity("client", Usage::Client)))
    }

    /// For a listener.
    pub(crate) fn server(&self) -> Arc<ServerConfig> {
        verge_tls::server_config(&self.identity("front", Usage::Server), Some(&self.roots()))
    }

    pub(crate) async fn front(&self, limits: FrontLimits) -> Front {
        let tls = self.server();
        let listen = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let broker = embedded().await.address();
        Front::start(FrontSettings { listen, tls: Some(tls), broker, login: None, limits }).await.unwrap()
    }
}

/// Settings to connect through a front.
pub(crate) async fn through(front: &Front, tls: Arc<ClientConfig>, client_id: &str) -> ConnectionSettings {
    ConnectionSettings {
        address: BrokerAddress::tls("127.0.0.1", front.address().port()),
        credentials: Some(embedded().await.credentials().clone()),
        tls: Some(tls),
        ..settings(front.address(), client_id)
    }
}

async fn expect_service(front: &Front, certificates: &Certificates) {
    let publisher = Publisher::connect(through(front, certificates.client(), &unique("device")).await);
    let publisher = within("a connection through the front", publisher).await.unwrap();
    publisher.publish("front/service", Bytes::from_static(b"1"), QoS::AtLeastOnce, false).await.unwrap();
    publisher.close().await;
}

#[tokio::test]
async fn messages_pass_through_mutual_tls() {
    let certificates = Certificates::new();
    let front = certificates.front(FrontLimits::default()).await;
    let topic = unique("tls");
    let reader = through(&front, certificates.client(), &unique("reader")).await;
    let mut subscriber = Subscriber::spawn(reader, vec![topic.clone()]);
    assert_eq!(within("subscribed", subscriber.next()).await, Some(SubscriberEvent::Subscribed));
    let publisher =
        Publisher::connect(through(&front, certificates.client(), &unique("writer")).await).await.unwrap();
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
    assert_eq!((front.totals().accepted, front.totals().failed_handshakes), (2, 0));
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
    // Nobody says when the subscription stands.
    while messages.is_empty() {
        publisher.publish(&topic, Bytes::from_static(b"first"), QoS::AtLeastOnce, false).await.unwrap();
    }
    for _ in 0..20 {
        publisher.submit(&topic, vec![0; 150_000].into(), QoS::AtLeastOnce, false).await.unwrap();
        publisher.submit(&topic, Bytes::from_static(b"small"), QoS::AtLeastOnce, false).await.unwrap();
    }
    publisher.flush().await.unwrap();
    let mut small = 0;
    while small < 20 {
        let message = take(&mut messages, 1).await.remove(0);
        source.settle(&receipts(std::slice::from_ref(&message)));
        small += usize::from(message.payload == "small");
    }
    eventually("all acknowledged", || source.state().outstanding == 0).await;
    let state = source.state();
    assert_eq!((state.oversized, state.connections), (20, 1));
    publisher.close().await;
    source.stop().await;
    assert!(!source.state().connected);
}

#[tokio::test]
async fn a_device_that_sends_more_than_the_broker_takes_loses_its_own_connection_alone() {
    let certificates = Certificates::new();
    let front = certificates.front(FrontLimits::default()).await;
    let topic = unique("flood");
    let device = through(&front, certificates.client(), &unique("device")).await;
    let publisher = Publisher::connect(device).await.unwrap();
    let flood = ConnectionSettings {
        max_packet_bytes: 100_000_000,
        ..through(&front, certificates.client(), &unique("flood")).await
    };
    for _ in 0..3 {
        let flooding = Publisher::connect(flood.clone()).await.unwrap();
        // QoS 0 is written and nothing more; the connection ends in the middle.
        drop(flooding.publish(&topic, vec![0; 50_000_000].into(), QoS::AtMostOnce, false).await);
        publisher.publish(&topic, Bytes::from_static(b"1"), QoS::AtLeastOnce, false).await.unwrap();
        drop(flooding);
    }
    publisher.close().await;
}

#[tokio::test]
async fn strangers_are_refused_in_words() {
    let certificates = Certificates::new();
    let front = certificates.front(FrontLimits::default()).await;
    let check = async |tls: Arc<ClientConfig>, words: &str| {
        let connected = Publisher::connect(through(&front, tls, &unique("stranger")).await).await;
        match connected {
            Err(PublishError::Connect { reason, .. }) => {
                assert!(reason.contains(words), "{reason:?}: {words}")
            }
            other => panic!("{other:?}"),
        }
    };
    check(certificates.client_without_identity(), "requires a certificate").await;
    check(Certificates::new().client(), "did not sign it").await;
    eventually("both are counted", || front.totals().failed_handshakes == 2).await;
    assert_eq!(front.totals().accepted, 0);
    expect_service(&front, &certificates).await;
}

#[tokio::test]
async fn idle_and_garbage_connections_stop_nobody() {
    let certificates = Certificates::new();
    let front = certificates.front(FrontLimits::default()).await;
    let mut idle = Vec::new();
    for _ in 0..10 {
        idle.push(TcpStream::connect(front.address()).await.unwrap());
    }
    for garbage in
        [&b"GET / HTTP/1.1\r\n\r\n"[..], &[0; 1000], &[0x16, 3, 1, 0xff, 0xff, 1, 2, 3], &[0xff; 64]]
    {
        let mut stream = TcpStream::connect(front.address()).await.unwrap();
        stream.write_all(garbage).await.unwrap();
        idle.push(stream);
    }
    expect_service(&front, &certificates).await;
    assert_eq!(front.totals().refused, 0);
}

#[tokio::test]
async fn an_address_has_so_many_handshakes_and_no_more_and_time_frees_them() {
    let certificates = Certificates::new();
    let limits = FrontLimits {
        unauthenticated_per_address: 4,
        handshake: Duration::from_millis(300),
        ..FrontLimits::default()
    };
    let front = certificates.front(limits).await;
    let mut streams = Vec::new();
    for _ in 0..7 {
        streams.push(TcpStream::connect(front.address()).await.unwrap());
    }
    eventually("the newest are closed at once", || front.totals().refused == 3).await;
    for stream in &mut streams[4..] {
        let mut byte = [0];
        let read = within("closed", stream.read(&mut byte)).await;
        assert!(matches!(read, Ok(0) | Err(_)), "{read:?}");
    }
    eventually("the idle ones are closed in time", || front.totals().failed_handshakes == 4).await;
    expect_service(&front, &certificates).await;
    assert_eq!(front.totals().refused, 3);
}

#[tokio::test]
async fn a_full_front_refuses_and_has_room_again() {
    let certificates = Certificates::new();
    let front = certificates.front(FrontLimits { connections: 1, ..FrontLimits::default() }).await;
    let first = through(&front, certificates.client(), &unique("first")).await;
    let first = Publisher::connect(first).await.unwrap();
    let second = through(&front, certificates.client(), &unique("second")).await;
    assert!(matches!(Publisher::connect(second).await, Err(PublishError::Connect { .. })));
    assert_eq!(front.totals().refused, 1);
    first.close().await;
    within("room again", async {
        loop {
            let third = through(&front, certificates.client(), &unique("third")).await;
            match Publisher::connect(third).await {
                Ok(third) => break third.close().await,
                Err(_) => tokio::task::yield_now().await,
            }
        }
    })
    .await;
}
