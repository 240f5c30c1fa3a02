//! A broker that does exactly what a test says, packet by packet.

use std::net::{Ipv4Addr, SocketAddr};

use bytes::BytesMut;
use rumqttc::mqttbytes::Error;
use rumqttc::{
    ConnAck, Connect, ConnectReturnCode, Packet, PubAck, Publish, QoS, SubAck, Subscribe, SubscribeReasonCode,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::support::within;

/// Largest packet this broker reads or writes.
const LIMIT: usize = 64 * 1024 * 1024;

pub(crate) struct ScriptedBroker {
    listener: TcpListener,
}

impl ScriptedBroker {
    pub(crate) async fn start() -> Self {
        Self { listener: TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap() }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.listener.local_addr().unwrap()
    }

    pub(crate) async fn accept(&self) -> Peer {
        let (stream, _) = within("a connection", self.listener.accept()).await.unwrap();
        stream.set_nodelay(true).unwrap();
        Peer { stream, input: BytesMut::new() }
    }

    /// Takes CONNECT and accepts it.
    pub(crate) async fn accept_client(&self, session_present: bool) -> (Peer, Connect) {
        let mut peer = self.accept().await;
        let connect = peer.expect_connect().await;
        peer.send(Packet::ConnAck(ConnAck::new(ConnectReturnCode::Success, session_present))).await;
        (peer, connect)
    }

    /// Takes CONNECT and one SUBSCRIBE, accepts both; returns the filters.
    pub(crate) async fn accept_subscriber(&self, session_present: bool) -> (Peer, Connect, Vec<String>) {
        let (mut peer, connect) = self.accept_client(session_present).await;
        let subscribe = peer.expect_subscribe().await;
        let filters = subscribe.filters.iter().map(|filter| filter.path.clone()).collect();
        peer.answer(&subscribe, |_| true).await;
        (peer, connect, filters)
    }
}

pub(crate) struct Peer {
    stream: TcpStream,
    input: BytesMut,
}

impl Peer {
    /// The next packet except pings, which are answered; `None` when the client has closed the connection.
    pub(crate) async fn read(&mut self) -> Option<Packet> {
        loop {
            match self.read_with_pings().await? {
                Packet::PingReq => self.send(Packet::PingResp).await,
                packet => return Some(packet),
            }
        }
    }

    async fn read_with_pings(&mut self) -> Option<Packet> {
        loop {
            match Packet::read(&mut self.input, LIMIT) {
                Ok(packet) => return Some(packet),
                Err(Error::InsufficientBytes(_)) => {
                    let read = within("a packet", self.stream.read_buf(&mut self.input)).await;
                    // A reset closes, too.
                    if read.unwrap_or(0) == 0 {
                        return None;
                    }
                }
                Err(error) => panic!("the client sent what is no packet: {error}"),
            }
        }
    }

    pub(crate) async fn next(&mut self) -> Packet {
        self.read().await.expect("the connection stands")
    }

    /// The next packet, also a ping.
    pub(crate) async fn next_with_pings(&mut self) -> Packet {
        self.read_with_pings().await.expect("the connection stands")
    }

    pub(crate) async fn send(&mut self, packet: Packet) {
        let mut output = BytesMut::new();
        packet.write(&mut output, LIMIT).unwrap();
        // A client that has just closed the connection shows at the next read.
        drop(self.stream.write_all(&output).await);
    }

    /// Bytes as they are, a packet or not.
    pub(crate) async fn send_raw(&mut self, bytes: &[u8]) {
        drop(self.stream.write_all(bytes).await);
    }

    pub(crate) async fn expect_connect(&mut self) -> Connect {
        match self.next().await {
            Packet::Connect(connect) => connect,
            other => panic!("CONNECT expected, not {other:?}"),
        }
    }

    pub(crate) async fn expect_subscribe(&mut self) -> Subscribe {
        match self.next().await {
            Packet::Subscribe(subscribe) => subscribe,
            other => panic!("SUBSCRIBE expected, not {other:?}"),
        }
    }

    pub(crate) async fn expect_publish(&mut self) -> Publish {
        match self.next().await {
            Packet::Publish(publish) => publish,
            other => panic!("PUBLISH expected, not {other:?}"),
        }
    }

    pub(crate) async fn expect_acks(&mut self, count: usize) -> Vec<u16> {
        let mut acks = Vec::new();
        while acks.len() < count {
            match self.next().await {
                Packet::PubAck(ack) => acks.push(ack.pkid),
                other => panic!("PUBACK expected, not {other:?}"),
            }
        }
        acks
    }

    pub(crate) async fn expect_disconnect(&mut self) {
        match self.next().await {
            Packet::Disconnect => {}
            other => panic!("DISCONNECT expected, not {other:?}"),
        }
    }

    /// All packets until the client closes the connection.
    pub(crate) async fn until_closed(&mut self) -> Vec<Packet> {
        let mut packets = Vec::new();
        while let Some(packet) = self.read().await {
            packets.push(packet);
        }
        packets
    }

    pub(crate) async fn answer(&mut self, subscribe: &Subscribe, grant: impl Fn(&str) -> bool) {
        let codes = subscribe.filters.iter().map(|filter| {
            if grant(&filter.path) {
                SubscribeReasonCode::Success(filter.qos)
            } else {
                SubscribeReasonCode::Failure
            }
        });
        self.send(Packet::SubAck(SubAck::new(subscribe.pkid, codes.collect()))).await;
    }

    pub(crate) async fn acknowledge(&mut self, packet_id: u16) {
        self.send(Packet::PubAck(PubAck::new(packet_id))).await;
    }

    /// Publishes at QoS 1, or at QoS 0 where `packet_id` is 0.
    pub(crate) async fn publish(&mut self, topic: &str, packet_id: u16, payload: &[u8], again: bool) {
        let qos = if packet_id == 0 { QoS::AtMostOnce } else { QoS::AtLeastOnce };
        let mut publish = Publish::new(topic, qos, payload);
        publish.pkid = packet_id;
        publish.dup = again;
        self.send(Packet::Publish(publish)).await;
    }
}
