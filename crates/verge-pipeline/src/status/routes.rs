//! What the status reports of the routes upstream.

use std::sync::Arc;

use serde::Serialize;
use verge_domain::id::RouteId;
use verge_domain::link::{Arrival, Degraded, LinkReport, TopicReport};
use verge_domain::time::{Moment, UtcMillis};

use super::is_zero;
use crate::delivery::{LinkCounters, RouteCounters};

#[derive(Serialize)]
pub(super) struct RouteStatus<'a> {
    name: &'a str,
    connected: bool,
    connections: u64,
    delivered: u64,
    backlog: u64,
    /// Up to which number each lane that the route carries is delivered.
    delivered_upto: serde_json::Map<String, serde_json::Value>,
    messages_sent: u64,
    bytes_sent: u64,
    undeliverable: u64,
    #[serde(skip_serializing_if = "is_zero")]
    volatile: u64,
    links: Vec<LinkStatus<'a>>,
}

#[derive(Serialize)]
struct LinkStatus<'a> {
    name: &'a str,
    connected: bool,
    connections: u64,
    messages_sent: u64,
    bytes_sent: u64,
    /// Of all payloads, on the present day (UTC).
    day_bytes: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    budget: Option<u64>,
    /// Lanes that wait for the next day.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    deferred: Vec<&'static str>,
    #[serde(skip_serializing_if = "is_zero")]
    commands: u64,
    #[serde(skip_serializing_if = "is_zero")]
    commands_ignored: u64,
    #[serde(skip_serializing_if = "is_zero")]
    replies_dropped: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_error: Option<String>,
    /// Services that it lacks because the broker does not allow them.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    degraded: Vec<DegradedStatus>,
    /// Whether verdicts arrive, by topic.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    arrival: Vec<ArrivalStatus>,
    #[serde(skip_serializing_if = "Option::is_none")]
    largest_message: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    credentials_error: Option<String>,
}

#[derive(Serialize)]
struct DegradedStatus {
    service: &'static str,
    reason: String,
}

#[derive(Serialize)]
struct ArrivalStatus {
    topic: String,
    state: &'static str,
    /// When an own message last came back (UTC ms).
    #[serde(skip_serializing_if = "Option::is_none")]
    proven_at: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
}

impl ArrivalStatus {
    fn of(topic: TopicReport, at: Moment) -> Self {
        let (state, proven_at, reason) = match topic.arrival {
            Arrival::Proven { ago } => {
                let ago = i64::try_from(ago.as_millis()).unwrap_or(i64::MAX);
                ("proven", Some(at.wall.0.saturating_sub(ago)), None)
            }
            Arrival::Unproven { why } => ("unproven", None, Some(why)),
            Arrival::Dead { why } => ("dead", None, Some(why)),
        };
        Self { topic: topic.topic, state, proven_at, reason }
    }
}

impl<'a> RouteStatus<'a> {
    pub(super) fn of(name: &'a RouteId, counters: &'a RouteCounters) -> Self {
        Self {
            name: name.as_str(),
            connected: counters.connected(),
            connections: counters.connections(),
            delivered: counters.delivered(),
            backlog: counters.backlog(),
            delivered_upto: counters
                .delivered_upto()
                .map(|(lane, upto)| (lane.as_str().to_owned(), upto.0.into()))
                .collect(),
            messages_sent: counters.messages_offered_total.get(),
            bytes_sent: counters.bytes_offered_total.get(),
            undeliverable: counters.undeliverable_total.get(),
            volatile: counters.provisional_total.get(),
            links: counters.links().iter().map(|link| LinkStatus::of(link)).collect(),
        }
    }
}

impl<'a> LinkStatus<'a> {
    fn of(link: &'a LinkCounters) -> Self {
        let report = link.report();
        let (LinkReport { degraded, topics, largest_message, credentials_fault }, at) =
            report.unwrap_or_else(|| (LinkReport::default(), Moment::from_wall(UtcMillis(0))));
        Self {
            name: link.id.as_str(),
            connected: link.connected(),
            connections: link.connections_total.get(),
            messages_sent: link.messages_offered_total.get(),
            bytes_sent: link.bytes_offered_total.get(),
            day_bytes: link.day_bytes(),
            budget: link.budget,
            deferred: link.deferred().into_iter().map(|lane| lane.as_str()).collect(),
            commands: link.commands_total.get(),
            commands_ignored: link.commands_ignored_total.get(),
            replies_dropped: link.replies_dropped_total.get(),
            last_error: link.last_error(),
            degraded: degraded
                .into_iter()
                .map(|Degraded { service, reason }| DegradedStatus { service: service.as_str(), reason })
                .collect(),
            arrival: topics.into_iter().map(|topic| ArrivalStatus::of(topic, at)).collect(),
            largest_message,
            credentials_error: credentials_fault,
        }
    }
}

/// Input compared with output.
#[derive(Serialize)]
pub(super) struct Ledger<'a> {
    received_bytes: u64,
    sent_bytes: u64,
    /// Bytes received per byte sent upstream; absent while nothing was sent.
    #[serde(skip_serializing_if = "Option::is_none")]
    ratio: Option<f64>,
    links: Vec<LinkLedger<'a>>,
}

#[derive(Serialize)]
struct LinkLedger<'a> {
    route: &'a str,
    name: &'a str,
    sent_bytes: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    ratio: Option<f64>,
}

impl<'a> Ledger<'a> {
    pub(super) fn of(received_bytes: u64, routes: &'a [(RouteId, Arc<RouteCounters>)]) -> Self {
        let links = routes
            .iter()
            .flat_map(|(route, counters)| counters.links().iter().map(move |link| (route, link)));
        let link = |(route, link): (&'a RouteId, &'a Arc<LinkCounters>)| {
            let sent_bytes = link.bytes_offered_total.get();
            let ratio = ratio(received_bytes, sent_bytes);
            LinkLedger { route: route.as_str(), name: link.id.as_str(), sent_bytes, ratio }
        };
        let sent_bytes = routes.iter().map(|(_, counters)| counters.bytes_offered_total.get()).sum();
        Self {
            received_bytes,
            sent_bytes,
            ratio: ratio(received_bytes, sent_bytes),
            links: links.map(link).collect(),
        }
    }
}

#[expect(clippy::cast_precision_loss, reason = "a ratio for people; 53 bits of it are plenty")]
fn ratio(received: u64, sent: u64) -> Option<f64> {
    (sent > 0).then(|| (received as f64 / sent as f64 * 10.0).round() / 10.0)
}
