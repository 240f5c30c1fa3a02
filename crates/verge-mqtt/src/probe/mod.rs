//! Tries a connection for real, step by step, and says in words where it ends.

mod sparkplug;
mod uplink;

use std::fmt;
use std::time::Duration;

use bytes::Bytes;
use rumqttc::{AsyncClient, ConnectionError, Event, EventLoop, Outgoing, Packet, QoS, StateError, TlsError};
use tokio::net::TcpStream;

use crate::connection::ConnectionSettings;
use crate::subscriptions::{Subscriptions, refused};
use crate::words::{attempt_words, io_words, words};
pub use sparkplug::probe_sparkplug;
pub(crate) use uplink::CAUSES;
pub use uplink::probe_uplink;

/// Added to the client identifier while a gateway runs: a probe under its own would throw it off its broker.
const CLIENT_ID_SUFFIX: &str = "-check";

/// One thing that was tried.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProbeStep {
    /// What, in words: `TCP connection to broker.example:8883`.
    pub what: String,
    /// What came of it, or why it failed; both in words.
    pub outcome: Result<String, String>,
}

impl fmt::Display for ProbeStep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.outcome {
            Ok(result) => write!(f, "{}: {result}", self.what),
            Err(reason) => write!(f, "{}: FAILED: {reason}", self.what),
        }
    }
}

/// Something that works differently than it is configured.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProbeRemark {
    /// Key of the section that it is about.
    pub key: &'static str,
    /// What, and what to do; in words.
    pub text: String,
}

/// What a probe found. It ends with the first step that failed, except that every filter is tried.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ProbeReport {
    /// In the order they were tried.
    pub steps: Vec<ProbeStep>,
    /// What the gateway can live with.
    pub remarks: Vec<ProbeRemark>,
    /// The broker keeps a session of the gateway: what it holds must not be taken by anybody else.
    pub keeps_session: bool,
}

impl ProbeReport {
    /// Whether every step succeeded.
    #[must_use]
    pub fn is_ok(&self) -> bool {
        self.steps.iter().all(|step| step.outcome.is_ok())
    }

    fn note(&mut self, what: impl Into<String>, outcome: Result<String, String>) {
        self.steps.push(ProbeStep { what: what.into(), outcome });
    }

    fn remark(&mut self, key: &'static str, text: String) {
        self.remarks.push(ProbeRemark { key, text });
    }
}

/// Connects by TCP, by TLS where the address says so, by MQTT, and subscribes to `filters`. Publishes nothing and
/// acknowledges nothing. Where a gateway runs (`running`) its client identifier gets `-check` behind it. Else it is the
/// gateway's own, as brokers may allow no other: a session that the broker keeps for it stays as it is, and one that was
/// not there before is removed.
pub async fn probe(connection: &ConnectionSettings, filters: &[String], running: bool) -> ProbeReport {
    let mut report = ProbeReport::default();
    if !tcp(connection, &mut report).await {
        return report;
    }
    if running {
        mqtt(&as_check(connection), filters, ProbeSession::Clean, &mut report).await;
        return report;
    }
    let Some(kept) = mqtt(connection, filters, ProbeSession::Kept, &mut report).await else { return report };
    report.keeps_session = kept;
    if !kept && let Err(reason) = forget(connection).await {
        report.remark("client_id", format!("the session of this check may still be at the broker: {reason}"));
    }
    report
}

/// The session of a probe.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ProbeSession {
    /// None from before, and it ends with the connection.
    Clean,
    /// The gateway's.
    Kept,
}

/// Larger packets are not possible: of a session that is kept, all may come.
const MAX_PACKET_BYTES: usize = 268_435_455;

/// Removes the session under this client identifier.
async fn forget(connection: &ConnectionSettings) -> Result<(), String> {
    let mut options = connection.options()?;
    options.set_clean_session(true);
    let (client, mut eventloop) = AsyncClient::new(options, 1);
    eventloop.set_network_options(connection.network_options());
    eventloop.poll().await.map_err(|error| attempt_words(&error))?;
    leave(&client, eventloop).await;
    Ok(())
}

/// What is retained on a topic, read under a name that disturbs no gateway; `None` where nothing is, or it cannot be read.
pub async fn retained(connection: &ConnectionSettings, topic: &str) -> Option<Bytes> {
    let connection = as_check(connection);
    let mut options = connection.options().ok()?;
    options.set_clean_session(true);
    let (client, mut eventloop) = AsyncClient::new(options, 2);
    eventloop.set_network_options(connection.network_options());
    let mut found = None;
    let mut deadline = tokio::time::Instant::now() + connection.connect_timeout;
    client.try_subscribe(topic, QoS::AtMostOnce).ok()?;
    while let Ok(Ok(event)) = tokio::time::timeout_at(deadline, eventloop.poll()).await {
        match event {
            Event::Incoming(Packet::SubAck(_)) => {
                deadline = tokio::time::Instant::now() + RETAINED_WITHIN;
            }
            Event::Incoming(Packet::Publish(message)) if message.retain => {
                found = Some(message.payload);
                break;
            }
            _ => {}
        }
    }
    leave(&client, eventloop).await;
    found
}

/// A retained message comes at once or not at all.
const RETAINED_WITHIN: Duration = Duration::from_secs(1);

/// The same connection under a name that disturbs no gateway.
fn as_check(connection: &ConnectionSettings) -> ConnectionSettings {
    let client_id = format!("{}{CLIENT_ID_SUFFIX}", connection.client_id);
    ConnectionSettings { client_id, ..connection.clone() }
}

/// Whether the broker can be reached at all.
async fn tcp(connection: &ConnectionSettings, report: &mut ProbeReport) -> bool {
    let address = &connection.address;
    let target = (address.host(), address.port());
    let reached = match tokio::time::timeout(connection.connect_timeout, TcpStream::connect(target)).await {
        Ok(Ok(stream)) => {
            stream.peer_addr().map(|peer| format!("connected ({peer})")).map_err(|error| io_words(&error))
        }
        Ok(Err(error)) => Err(io_words(&error)),
        Err(_) => Err("no answer in time: a wrong address, or a firewall on the way".to_owned()),
    };
    let ok = reached.is_ok();
    report.note(format!("TCP connection to {}:{}", address.host(), address.port()), reached);
    ok
}

/// TLS and CONNECT. Says also whether the broker had kept the session.
async fn note_connection(
    connection: &ConnectionSettings,
    requests: usize,
    session: ProbeSession,
    report: &mut ProbeReport,
) -> Option<(AsyncClient, EventLoop, bool)> {
    let is_tls = connection.address.is_tls();
    let mut options = match connection.options() {
        Ok(options) => options,
        Err(reason) => {
            report.note("TLS", Err(reason));
            return None;
        }
    };
    options.set_clean_session(session == ProbeSession::Clean);
    if session == ProbeSession::Kept {
        // What comes is the gateway's: it stays unacknowledged.
        options.set_manual_acks(true);
        options.set_max_packet_size(MAX_PACKET_BYTES, connection.max_packet_bytes);
    }
    let (client, mut eventloop) = AsyncClient::new(options, requests);
    eventloop.set_network_options(connection.network_options());
    let connected = eventloop.poll().await;
    let kept = matches!(&connected, Ok(Event::Incoming(Packet::ConnAck(answer))) if answer.session_present);
    if is_tls {
        let failed = connected.as_ref().err().filter(|error| is_of_tls(error));
        let both = || Ok("both sides accept each other's certificates".to_owned());
        report.note("TLS", failed.map_or_else(both, |error| Err(attempt_words(error))));
        if failed.is_some() {
            return None;
        }
    }
    let accepted = connected.map(|_| "accepted".to_owned()).map_err(|error| attempt_words(&error));
    let stands = accepted.is_ok();
    report.note(format!("MQTT connection as {:?}", connection.client_id), accepted);
    stands.then_some((client, eventloop, kept))
}

/// Says whether the broker had kept the session; `None`: there was no connection.
async fn mqtt(
    connection: &ConnectionSettings,
    filters: &[String],
    session: ProbeSession,
    report: &mut ProbeReport,
) -> Option<bool> {
    let requests = Subscriptions::requests(filters.len()) + 1;
    let (client, mut eventloop, kept) = note_connection(connection, requests, session, report).await?;
    if subscribe(connection, &client, &mut eventloop, filters, report).await {
        leave(&client, eventloop).await;
    }
    Some(kept)
}

/// Says whether the connection still stands.
async fn subscribe(
    connection: &ConnectionSettings,
    client: &AsyncClient,
    eventloop: &mut EventLoop,
    filters: &[String],
    report: &mut ProbeReport,
) -> bool {
    let mut subscriptions = Subscriptions::default();
    if let Err(reason) = subscriptions.ask(client, filters, QoS::AtLeastOnce) {
        report.note("subscriptions", Err(reason));
        return true;
    }
    let deadline = tokio::time::Instant::now() + connection.connect_timeout.max(Duration::from_secs(1));
    while !subscriptions.is_settled() {
        match tokio::time::timeout_at(deadline, eventloop.poll()).await {
            Ok(Ok(Event::Outgoing(Outgoing::Subscribe(packet_id)))) => subscriptions.sent(packet_id),
            Ok(Ok(Event::Incoming(Packet::SubAck(answer)))) => {
                for answer in subscriptions.answered(&answer) {
                    let outcome = match answer.granted {
                        Some(QoS::AtMostOnce) => {
                            Ok("granted, at QoS 0 only: messages can be lost".to_owned())
                        }
                        Some(_) => Ok("granted".to_owned()),
                        None => Err(refused(&answer.filter)),
                    };
                    report.note(format!("subscription to {:?}", answer.filter), outcome);
                }
            }
            Ok(Ok(_)) => {}
            Ok(Err(error)) => {
                report.note("subscriptions", Err(words(&error)));
                return false;
            }
            Err(_) => {
                report.note("subscriptions", Err("the broker does not answer in time".to_owned()));
                return true;
            }
        }
    }
    true
}

/// Whether an attempt failed in TLS. With TLS 1.3 a server refuses a client's certificate only after the
/// client believes that all is well: then the refusal comes with the first read.
fn is_of_tls(error: &ConnectionError) -> bool {
    use rumqttc::mqttbytes::Error::Io;
    let refused = |error: &std::io::Error| error.kind() == std::io::ErrorKind::InvalidData;
    match error {
        ConnectionError::Tls(TlsError::Io(_) | TlsError::TLS(_) | TlsError::DNSName(_)) => true,
        ConnectionError::Io(error) => refused(error),
        ConnectionError::MqttState(StateError::Io(error) | StateError::Deserialization(Io(error))) => {
            refused(error)
        }
        _ => false,
    }
}

async fn leave(client: &AsyncClient, mut eventloop: EventLoop) {
    const FAREWELL: Duration = Duration::from_secs(1);
    let leaving = async {
        if client.try_disconnect().is_ok() {
            while let Ok(event) = eventloop.poll().await {
                if matches!(event, Event::Outgoing(Outgoing::Disconnect)) {
                    break;
                }
            }
        }
    };
    // The connection ends when it is dropped, with or without this.
    drop(tokio::time::timeout(FAREWELL, leaving).await);
}
