//! The smallest client that finds out whether a broker works: one connection, one thing at a time, no task, no pings.

use std::io;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use rumqttc::mqttbytes::Error;
use rumqttc::{Connect, ConnectReturnCode, Packet, PubAck, Publish, QoS, Subscribe, SubscribeReasonCode};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use verge_tls::Credentials;

use crate::endpoint::Endpoint;

/// Loopback answers CONNECT at once, or the broker does not work.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Whoever uses it says something more often than this, in seconds.
const KEEP_ALIVE: u16 = u16::MAX;
/// Of each packet that is answered: one is in flight at a time.
const PACKET_ID: u16 = 1;

/// A connection to the broker.
#[derive(Debug)]
pub(crate) struct Client {
    stream: TcpStream,
    input: BytesMut,
    max_packet_bytes: usize,
}

impl Client {
    /// Connects, with a clean session.
    ///
    /// # Errors
    /// The broker does not answer in time, or refuses.
    pub(crate) async fn connect(endpoint: &Endpoint, client_id: &str) -> io::Result<Self> {
        tokio::time::timeout(CONNECT_TIMEOUT, Self::introduce(endpoint, client_id)).await?
    }

    async fn introduce(endpoint: &Endpoint, client_id: &str) -> io::Result<Self> {
        let Endpoint { address, credentials: Credentials { username, password }, max_packet_bytes, .. } =
            endpoint;
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        let mut client = Self { stream, input: BytesMut::new(), max_packet_bytes: *max_packet_bytes };
        let mut connect = Connect::new(client_id);
        connect.keep_alive = KEEP_ALIVE;
        connect.set_login(username, password.reveal());
        client.send(Packet::Connect(connect)).await?;
        match client.next().await? {
            Packet::ConnAck(answer) if answer.code == ConnectReturnCode::Success => Ok(client),
            _ => Err(io::Error::other("the connection was refused")),
        }
    }

    /// Subscribes at QoS 1.
    pub(crate) async fn subscribe(&mut self, topic: &str) -> io::Result<()> {
        let mut subscribe = Subscribe::new(topic, QoS::AtLeastOnce);
        subscribe.pkid = PACKET_ID;
        self.send(Packet::Subscribe(subscribe)).await?;
        match self.next().await? {
            Packet::SubAck(answer)
                if matches!(answer.return_codes[..], [SubscribeReasonCode::Success(_)]) =>
            {
                Ok(())
            }
            _ => Err(io::Error::other("the subscription was refused")),
        }
    }

    /// Publishes at QoS 1 and waits for the acknowledgement.
    pub(crate) async fn publish(&mut self, topic: &str, payload: Bytes) -> io::Result<()> {
        self.send_publish(Publish::from_bytes(topic, QoS::AtLeastOnce, payload)).await
    }

    /// The same with the retain flag.
    pub(crate) async fn retain(&mut self, topic: &str, payload: Bytes) -> io::Result<()> {
        let publish = Publish::from_bytes(topic, QoS::AtLeastOnce, payload);
        self.send_publish(Publish { retain: true, ..publish }).await
    }

    async fn send_publish(&mut self, mut publish: Publish) -> io::Result<()> {
        publish.pkid = PACKET_ID;
        self.send(Packet::Publish(publish)).await?;
        match self.next().await? {
            Packet::PubAck(_) => Ok(()),
            other => Err(unexpected(&other)),
        }
    }

    /// The payload of the next message, which is acknowledged.
    pub(crate) async fn message(&mut self) -> io::Result<Bytes> {
        match self.next().await? {
            Packet::Publish(message) => {
                if message.qos != QoS::AtMostOnce {
                    self.send(Packet::PubAck(PubAck::new(message.pkid))).await?;
                }
                Ok(message.payload)
            }
            other => Err(unexpected(&other)),
        }
    }

    /// Leaves in good order.
    pub(crate) async fn close(mut self) {
        // A connection that has broken needs no farewell.
        drop(self.send(Packet::Disconnect).await);
    }

    async fn send(&mut self, packet: Packet) -> io::Result<()> {
        let mut output = BytesMut::new();
        packet.write(&mut output, usize::MAX).map_err(io::Error::other)?;
        self.stream.write_all(&output).await
    }

    async fn next(&mut self) -> io::Result<Packet> {
        loop {
            match Packet::read(&mut self.input, self.max_packet_bytes) {
                Ok(packet) => return Ok(packet),
                Err(Error::InsufficientBytes(_)) => {}
                Err(error) => return Err(io::Error::other(error)),
            }
            if self.stream.read_buf(&mut self.input).await? == 0 {
                return Err(io::Error::other("the connection has ended"));
            }
        }
    }
}

fn unexpected(packet: &Packet) -> io::Error {
    io::Error::other(format!("it answered with {packet:?}"))
}
