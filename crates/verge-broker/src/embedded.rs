//! rumqttd on loopback, configured in code.
//!
//! What it does not do is known: sessions and retained messages live in memory only, and a subscriber that
//! falls behind by more than a topic's log loses the oldest messages. It has no stop: its threads live until
//! the process ends.

use std::collections::HashMap;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::thread;
use std::time::Duration;

use rumqttd::{
    Broker, Config, ConnectionSettings as ListenerConnections, RouterConfig, SegmentConfig, ServerSettings,
};
use verge_tls::Credentials;

use crate::client::Client;
use crate::endpoint::Endpoint;
use crate::policy::COMMANDS;

/// A free port may be taken by someone else before rumqttd listens on it; then another is tried.
const PORT_ATTEMPTS: usize = 5;
/// Time for rumqttd to accept its first connection.
const READY_WITHIN: Duration = Duration::from_secs(25);
/// Pause between two attempts.
const READY_POLL: Duration = Duration::from_millis(20);
/// Far above what a front lets through: a client refused by this bound would poison the listener.
const MAX_CONNECTIONS: usize = 20_000;
/// Log per topic filter: two segments. Filters are never forgotten.
pub(crate) const SEGMENTS: usize = 2;
/// Of the log of commands, which are short: every device may subscribe to many filters of its own, and fill their logs. rumqttd counts
/// topic and payload, and takes some 300 bytes more for each message, so that short ones take twenty times what is counted.
const COMMAND_SEGMENT_BYTES: usize = 12 * 1024;
/// Levels in front of `cmd` at which filters of commands are known as such.
const MOST_COMMAND_LEVELS: usize = 16;

/// How to run the embedded broker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EmbeddedSettings {
    /// Largest packet it takes, in bytes without the packet's fixed header.
    pub max_packet_bytes: usize,
}

/// Why the embedded broker does not run.
#[derive(Debug, thiserror::Error)]
pub enum EmbeddedError {
    /// No port on loopback, or no thread.
    #[error("cannot start the embedded broker: {0}")]
    System(#[from] io::Error),
    /// No randomness for its password.
    #[error("the system gives no random numbers for the embedded broker's password: {0}")]
    Random(#[from] getrandom::Error),
    /// It does not accept connections.
    #[error("the embedded broker does not accept connections: {0}")]
    NotServing(String),
}

/// A running rumqttd in this process. MQTT 3.1.1 on 127.0.0.1, one user with a random password.
#[derive(Debug, Clone)]
pub struct Embedded {
    pub(crate) endpoint: Endpoint,
}

impl Embedded {
    /// Starts it on a free port, and returns when it accepts connections.
    ///
    /// # Errors
    /// See [`EmbeddedError`].
    pub async fn start(settings: EmbeddedSettings) -> Result<Self, EmbeddedError> {
        let mut fault = String::new();
        for _ in 0..PORT_ATTEMPTS {
            let endpoint = Endpoint::random(free_port()?, settings.max_packet_bytes)?;
            match Self::serve(endpoint).await {
                Err(EmbeddedError::NotServing(reason)) => fault = reason,
                ended => return ended,
            }
        }
        Err(EmbeddedError::NotServing(fault))
    }

    /// Starts it at this endpoint, and returns when it accepts connections.
    pub(crate) async fn serve(endpoint: Endpoint) -> Result<Self, EmbeddedError> {
        let config = config(&endpoint);
        // `start` blocks for as long as it serves.
        let serving = thread::Builder::new().name("embedded-broker".to_owned()).spawn(move || {
            if let Err(error) = Broker::new(config).start() {
                tracing::error!(%error, "the embedded broker has ended");
            }
        })?;
        let broker = Self { endpoint };
        broker.ready(&serving).await.map_err(EmbeddedError::NotServing)?;
        Ok(broker)
    }

    /// Where it listens, on loopback, without TLS.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.endpoint.address
    }

    /// The one user it knows; clients that come through a front without a login of its own need them, too.
    #[must_use]
    pub const fn credentials(&self) -> &Credentials {
        &self.endpoint.credentials
    }

    /// Waits for a real CONNECT to be accepted: a bare TCP connection says little of rumqttd.
    async fn ready(&self, serving: &thread::JoinHandle<()>) -> Result<(), String> {
        let deadline = tokio::time::Instant::now() + READY_WITHIN;
        loop {
            match Client::connect(&self.endpoint, "verge-readiness").await {
                Ok(client) => {
                    client.close().await;
                    return Ok(());
                }
                Err(error) if serving.is_finished() || tokio::time::Instant::now() >= deadline => {
                    return Err(error.to_string());
                }
                Err(_) => tokio::time::sleep(READY_POLL).await,
            }
        }
    }
}

fn config(endpoint: &Endpoint) -> Config {
    let Credentials { username, password } = &endpoint.credentials;
    let listener = ServerSettings {
        name: "embedded".to_owned(),
        listen: endpoint.address,
        tls: None,
        next_connection_delay_ms: 0,
        connections: ListenerConnections {
            connection_timeout_ms: 5000,
            max_payload_size: endpoint.max_packet_bytes,
            max_inflight_count: 200,
            auth: Some(HashMap::from([(username.clone(), password.reveal().to_owned())])),
            external_auth: None,
            // A message may come before its first subscriber; without this its sender would be
            // disconnected.
            dynamic_filters: true,
        },
    };
    Config {
        id: 0,
        router: RouterConfig {
            max_connections: MAX_CONNECTIONS,
            max_outgoing_packet_count: 200,
            max_segment_size: endpoint.segment_bytes,
            max_segment_count: SEGMENTS,
            custom_segment: Some(command_segments(endpoint.segment_bytes.min(COMMAND_SEGMENT_BYTES))),
            ..RouterConfig::default()
        },
        v4: Some(HashMap::from([("embedded".to_owned(), listener)])),
        ..Config::default()
    }
}

/// The logs of filters of commands, wherever the device's name stands: rumqttd holds the text of a filter against these.
fn command_segments(segment_bytes: usize) -> HashMap<String, SegmentConfig> {
    (1..=MOST_COMMAND_LEVELS)
        .map(|levels| {
            let config = SegmentConfig { max_segment_size: segment_bytes, max_segment_count: SEGMENTS };
            (format!("{}{COMMANDS}/#", "+/".repeat(levels)), config)
        })
        .collect()
}

fn free_port() -> io::Result<SocketAddr> {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()
}
