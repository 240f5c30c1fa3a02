//! The TLS front: mutual TLS from end to end, and clients that mean no good.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use verge_broker::{Front, FrontLimits};
use verge_mqtt::{ConnectionSettings, PublishError, Publisher, QoS};
use verge_tls::ClientConfig;

use crate::certificates::{Certificates, through};
use crate::connect::expect_passage;
use crate::support::{eventually, unique, within};

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
    let reader = through(&front, certificates.client(), &unique("reader")).await;
    let writer = through(&front, certificates.client(), &unique("writer")).await;
    expect_passage(reader, writer).await;
    assert_eq!((front.view().totals().accepted, front.view().totals().failed_handshakes), (2, 0));
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
    eventually("both are counted", || front.view().totals().failed_handshakes == 2).await;
    assert_eq!(front.view().totals().accepted, 0);
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
    assert_eq!(front.view().totals().refused, 0);
}

#[tokio::test]
async fn handshakes_of_an_address_are_bounded_and_time_frees_them() {
    let certificates = Certificates::new();
    let limits = FrontLimits {
        unauthenticated_per_address: 4,
        handshake: Duration::from_secs(3),
        ..FrontLimits::default()
    };
    let front = certificates.front(limits).await;
    let mut streams = Vec::new();
    for _ in 0..7 {
        streams.push(TcpStream::connect(front.address()).await.unwrap());
    }
    eventually("the newest are closed at once", || front.view().totals().refused == 3).await;
    for stream in &mut streams[4..] {
        let mut byte = [0];
        let read = within("closed", stream.read(&mut byte)).await;
        assert!(matches!(read, Ok(0) | Err(_)), "{read:?}");
    }
    eventually("the idle ones are closed in time", || front.view().totals().failed_handshakes == 4).await;
    expect_service(&front, &certificates).await;
    assert_eq!(front.view().totals().refused, 3);
}

#[tokio::test]
async fn connections_that_stall_give_way_to_others_of_their_address() {
    let certificates = Certificates::new();
    // Time alone frees nothing.
    let limits = FrontLimits {
        unauthenticated_per_address: 3,
        handshake: Duration::from_secs(600),
        ..FrontLimits::default()
    };
    let front = certificates.front(limits).await;
    let connect = async || TcpStream::connect(front.address()).await.unwrap();
    let _idle = connect().await;
    let mut begun = connect().await;
    begun.write_all(&[0x16, 3, 1, 2, 0, 1]).await.unwrap();
    let encrypted = verge_tls::connect(certificates.client(), "127.0.0.1", connect().await);
    let mut encrypted = within("a handshake", encrypted).await.unwrap();
    encrypted.write_all(&[0x10, 40, 0]).await.unwrap();
    let mut more = Vec::new();
    for given_way in 1..=3 {
        let device = within("a device is let in", async {
            loop {
                let device = through(&front, certificates.client(), &unique("device")).await;
                match Publisher::connect(device).await {
                    Ok(device) => break device,
                    Err(_) => tokio::task::yield_now().await,
                }
            }
        });
        device.await.close().await;
        // In its place another one stalls.
        more.push(connect().await);
        let totals = front.view().totals();
        assert!(totals.failed_handshakes + totals.refused_clients >= given_way, "{totals:?}");
    }
}

#[tokio::test]
async fn a_full_front_refuses_and_has_room_again() {
    let certificates = Certificates::new();
    let front = certificates.front(FrontLimits { connections: 1, ..FrontLimits::default() }).await;
    let first = through(&front, certificates.client(), &unique("first")).await;
    let first = Publisher::connect(first).await.unwrap();
    let second = through(&front, certificates.client(), &unique("second")).await;
    assert!(matches!(Publisher::connect(second).await, Err(PublishError::Connect { .. })));
    assert_eq!(front.view().totals().refused, 1);
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

#[tokio::test]
async fn a_listener_shows_its_new_certificates_to_new_connections() {
    let (old, new) = (Certificates::new(), Certificates::new());
    let front = old.front(FrontLimits::default()).await;
    let connect = async |certificates: &Certificates| {
        let connection = through(&front, certificates.client(), &unique("device")).await;
        within("an attempt", Publisher::connect(connection)).await
    };
    let standing = connect(&old).await.unwrap();
    assert!(connect(&new).await.is_err());
    front.view().renew(new.server());
    assert!(connect(&old).await.is_err());
    connect(&new).await.unwrap().close().await;
    let published = standing.publish("renewal/standing", Bytes::new(), QoS::AtLeastOnce, false);
    within("the connection that stood goes on", published).await.unwrap();
}
