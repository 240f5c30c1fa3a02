//! Tries an uplink as a gateway would use it: the same sink, with messages without verdicts.

use std::time::Duration;

use bytes::Bytes;
use rumqttc::{Event, Outgoing, Packet, QoS};
use tokio::time::{Instant, timeout_at};
use verge_domain::backoff::Backoff;
use verge_domain::id::Lane;
use verge_domain::link::{Arrival, TopicReport};
use verge_domain::stage::{Control, ControlEvent, Sink, SinkEvent, Token};

use super::{ProbeReport, ProbeSession, RETAINED_WITHIN, as_check, leave, note_connection, tcp};
use crate::connection::ConnectionSettings;
use crate::sink::{Services, UplinkSettings, UplinkSink, consequence};

/// Time for services to be found out one by one.
const CONNECT_WITHIN: Duration = Duration::from_secs(30);
/// Time for messages to come back.
const ARRIVE_WITHIN: Duration = Duration::from_secs(30);
const BACKOFF: Backoff = Backoff { min: Duration::from_millis(500), max: Duration::from_secs(2) };

/// Connects as the uplink would, and publishes messages without verdicts. Nothing that is retained changes. Where a
/// gateway runs (`running`) its client identifier gets `-check` behind it, and last will and status are left alone.
pub async fn probe_uplink(settings: UplinkSettings, running: bool) -> ProbeReport {
    let mut report = ProbeReport::default();
    if !tcp(&settings.connection, &mut report).await {
        return report;
    }
    let (connection, services) = if running {
        let services = Services { will: false, status: false, ..settings.services };
        (as_check(&settings.connection), services)
    } else {
        (settings.connection.clone(), settings.services)
    };
    let Some(known) = connect(&connection, &settings.topics.status, &mut report).await else { return report };
    let settings = UplinkSettings {
        connection: ConnectionSettings { backoff: BACKOFF, ..connection },
        services,
        ..settings
    };
    try_out(settings, known, &mut report).await;
    report
}

/// What is known of the retained status.
enum RetainedStatus {
    Bytes(Bytes),
    Unknown,
}

/// Connects without anything that a policy could forbid, and looks at the retained status, so that publishing it again
/// changes nothing. `None`: there is no connection.
async fn connect(
    connection: &ConnectionSettings,
    status: &str,
    report: &mut ProbeReport,
) -> Option<RetainedStatus> {
    let (client, mut eventloop, _) = note_connection(connection, 2, ProbeSession::Clean, report).await?;
    let mut known = RetainedStatus::Unknown;
    if client.try_subscribe(status, QoS::AtMostOnce).is_ok() {
        let mut deadline = Instant::now() + connection.connect_timeout;
        while let Ok(Ok(event)) = timeout_at(deadline, eventloop.poll()).await {
            match event {
                Event::Incoming(Packet::SubAck(answer)) => {
                    let refused = answer.return_codes.contains(&rumqttc::SubscribeReasonCode::Failure);
                    if refused {
                        break;
                    }
                    known = RetainedStatus::Bytes(Bytes::new());
                    deadline = Instant::now() + RETAINED_WITHIN;
                }
                Event::Incoming(Packet::Publish(message)) if message.retain => {
                    known = RetainedStatus::Bytes(message.payload);
                    break;
                }
                Event::Outgoing(Outgoing::Disconnect) => break,
                _ => {}
            }
        }
    }
    leave(&client, eventloop).await;
    Some(known)
}

async fn try_out(settings: UplinkSettings, known: RetainedStatus, report: &mut ProbeReport) {
    let (topics, services, proof) = (settings.topics.clone(), settings.services, settings.proof.clone());
    let mut sink = UplinkSink::spawn(settings);
    let mut reason = "it does not accept the connection in time".to_owned();
    let connected = tokio::time::timeout(CONNECT_WITHIN, async {
        while let Some(event) = sink.event().await {
            match event {
                SinkEvent::Connected => return true,
                SinkEvent::Disconnected { reason: given } => reason = given,
                _ => {}
            }
        }
        false
    });
    if !connected.await.unwrap_or(false) {
        sink.leave().await;
        return report.note("as the gateway connects", Err(reason));
    }
    let mut awaited = Awaited::default();
    if let (true, RetainedStatus::Bytes(status)) = (services.status, known) {
        awaited.status = Some(status);
    }
    if let Some(proof) = proof {
        awaited.verdicts = Lane::ALL.into_iter().map(|lane| (lane, proof.of(topics.of(lane)))).collect();
    }
    let mut lost = None;
    let deadline = Instant::now() + ARRIVE_WITHIN;
    awaited.offer(&mut sink);
    while !awaited.is_empty() {
        match timeout_at(deadline, sink.event()).await {
            Ok(Some(SinkEvent::Delivered(token))) => {
                awaited.verdicts.retain(|(lane, _)| token_of(*lane) != token)
            }
            Ok(Some(SinkEvent::Control(ControlEvent::StatusTaken))) => awaited.status = None,
            // Of a broker that closes at something, the next connections find out at what.
            Ok(Some(SinkEvent::Connected)) => awaited.offer(&mut sink),
            Ok(Some(SinkEvent::Disconnected { reason })) => {
                lost = Some(reason);
                let dead = |topic: &TopicReport| matches!(topic.arrival, Arrival::Dead { .. });
                if sink.report().topics.iter().any(dead) {
                    break;
                }
            }
            Ok(Some(_)) => {}
            Ok(None) | Err(_) => break,
        }
    }
    if let Some(reason) = lost.filter(|_| !awaited.is_empty()) {
        report.remark("url", format!("upstream ends the connection when the gateway publishes: {reason}"));
    }
    let found = sink.report();
    sink.leave().await;
    report.note("as the gateway connects", Ok("accepted".to_owned()));
    for degraded in found.degraded {
        report.remark(
            degraded.service.as_str(),
            format!("{}; the gateway goes on without: {}", degraded.reason, consequence(degraded.service)),
        );
    }
    for topic in found.topics {
        let what = format!("arrival on {:?}", topic.topic);
        match topic.arrival {
            Arrival::Proven { .. } => report.note(what, Ok("a message came back".to_owned())),
            Arrival::Unproven { why } => {
                report.remark("echo", format!("arrival on {:?} is unproven: {why}", topic.topic));
            }
            Arrival::Dead { why } => report.remark("echo", format!("{why}; {CAUSES}")),
        }
    }
}

/// What was not acknowledged yet.
#[derive(Default)]
struct Awaited {
    status: Option<Bytes>,
    /// A message without verdicts for each lane.
    verdicts: Vec<(Lane, Bytes)>,
}

fn token_of(lane: Lane) -> Token {
    Token(lane.index() as u64)
}

impl Awaited {
    fn is_empty(&self) -> bool {
        self.status.is_none() && self.verdicts.is_empty()
    }

    /// Offers everything; what the link does not send is not awaited.
    fn offer(&mut self, sink: &mut UplinkSink) {
        self.status = self.status.take().filter(|_| sink.takes_status());
        let status = self.status.iter().map(|status| sink.publish_status(status.clone()));
        let mut offered: Vec<_> = status.collect();
        let verdicts = self.verdicts.iter();
        offered.extend(verdicts.map(|(lane, payload)| sink.offer(*lane, payload.clone(), token_of(*lane))));
        for error in offered.into_iter().filter_map(Result::err) {
            tracing::debug!(%error, "offered again at the next connection");
        }
    }
}

/// Why what is acknowledged does not arrive, and what to do.
pub(crate) const CAUSES: &str = "nothing counts as delivered there. Usual causes: the broker's ACL or policy does not let \
    this client publish on that topic; it drops messages above a size; a bridge or rule on the way drops them; or this \
    client has no right to read the topic: allow that, or set echo = false to believe acknowledgements";
