//! What the status reports of the routes upstream.

#![expect(missing_docs, reason = "docs/status.md says what each key means")]

use std::sync::Arc;

use serde::Serialize;
use verge_domain::id::{LinkId, RouteId};
use verge_domain::link::{
    Arrival, Degraded, EdgeNodeReport, LinkReport, PublicationReport, SiteReport, TopicReport,
};
use verge_domain::time::{Moment, UtcMillis};

use super::is_zero;
use crate::delivery::{LinkCounters, RouteCounters};

#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct RouteStatus {
    pub name: RouteId,
    pub connected: bool,
    pub connections: u64,
    pub delivered: u64,
    pub backlog: u64,
    /// Up to which number each lane that the route carries is delivered.
    pub delivered_upto: serde_json::Map<String, serde_json::Value>,
    pub messages_sent: u64,
    pub bytes_sent: u64,
    pub undeliverable: u64,
    #[serde(skip_serializing_if = "is_zero")]
    pub volatile: u64,
    pub links: Vec<LinkStatus>,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct LinkStatus {
    pub name: LinkId,
    pub connected: bool,
    pub connections: u64,
    pub messages_sent: u64,
    pub bytes_sent: u64,
    /// Of all payloads, on the present day (UTC).
    pub day_bytes: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub budget: Option<u64>,
    /// Lanes that wait for the next day.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub deferred: Vec<&'static str>,
    #[serde(skip_serializing_if = "is_zero")]
    pub commands: u64,
    #[serde(skip_serializing_if = "is_zero")]
    pub commands_ignored: u64,
    #[serde(skip_serializing_if = "is_zero")]
    pub replies_dropped: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_error: Option<String>,
    /// Services that it lacks because the broker does not allow them.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub degraded: Vec<DegradedStatus>,
    /// Whether verdicts arrive, by topic.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub arrival: Vec<ArrivalStatus>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub largest_message: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub credentials_error: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sparkplug: Option<EdgeNodeStatus>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rsmp: Option<SiteStatus>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub datex2: Option<PublicationStatus>,
}

/// Of an uplink of the kind `http` with `format = "datex2"`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct PublicationStatus {
    pub sites: u64,
    pub measurements: u64,
    pub situations: u64,
    #[serde(skip_serializing_if = "is_zero")]
    pub left_out: u64,
    #[serde(skip_serializing_if = "is_zero")]
    pub withdrawn: u64,
}

impl From<PublicationReport> for PublicationStatus {
    fn from(report: PublicationReport) -> Self {
        let PublicationReport { sites, measurements, situations, left_out, withdrawn } = report;
        Self { sites, measurements, situations, left_out, withdrawn }
    }
}

/// Of an uplink of the kind `sparkplug`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct EdgeNodeStatus {
    pub state: &'static str,
    pub devices: u64,
    pub metrics: u64,
    pub births: u64,
    pub rebirths: u64,
    pub unconfirmed: u64,
    pub history_left: u64,
    #[serde(skip_serializing_if = "is_zero")]
    pub refused: u64,
    #[serde(skip_serializing_if = "is_zero")]
    pub left_out: u64,
}

impl From<EdgeNodeReport> for EdgeNodeStatus {
    fn from(report: EdgeNodeReport) -> Self {
        let EdgeNodeReport {
            state,
            devices,
            metrics,
            births,
            rebirths,
            unconfirmed,
            history_left,
            refused,
            left_out,
        } = report;
        let state = state.as_str();
        Self { state, devices, metrics, births, rebirths, unconfirmed, history_left, refused, left_out }
    }
}

/// Of an uplink of the kind `rsmp`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct SiteStatus {
    pub state: &'static str,
    pub components: u64,
    pub active_alarms: u64,
    pub suspended_alarms: u64,
    pub subscriptions: u64,
    pub sent: u64,
    pub unacknowledged: u64,
    #[serde(skip_serializing_if = "is_zero")]
    pub refused_by_supervisor: u64,
    #[serde(skip_serializing_if = "is_zero")]
    pub refused: u64,
    #[serde(skip_serializing_if = "is_zero")]
    pub unreadable: u64,
    #[serde(skip_serializing_if = "is_zero")]
    pub left_out: u64,
}

impl From<SiteReport> for SiteStatus {
    fn from(report: SiteReport) -> Self {
        Self {
            state: report.state.as_str(),
            components: report.components,
            active_alarms: report.active_alarms,
            suspended_alarms: report.suspended_alarms,
            subscriptions: report.subscriptions,
            sent: report.sent,
            unacknowledged: report.unacknowledged,
            refused_by_supervisor: report.refused_by_supervisor,
            refused: report.refused,
            unreadable: report.unreadable,
            left_out: report.left_out,
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DegradedStatus {
    pub service: &'static str,
    pub reason: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ArrivalStatus {
    pub topic: String,
    pub state: &'static str,
    /// When an own message last came back (UTC ms).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub proven_at: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
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

impl RouteStatus {
    pub(super) fn of(name: &RouteId, counters: &RouteCounters) -> Self {
        Self {
            name: name.clone(),
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

impl LinkStatus {
    fn of(link: &LinkCounters) -> Self {
        let report = link.report();
        let (report, at) = report.unwrap_or_else(|| (LinkReport::default(), Moment::from_wall(UtcMillis(0))));
        let LinkReport {
            degraded,
            topics,
            largest_message,
            credentials_fault,
            edge_node,
            site,
            publications,
        } = report;
        Self {
            name: link.id.clone(),
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
            sparkplug: edge_node.map(EdgeNodeStatus::from),
            rsmp: site.map(SiteStatus::from),
            datex2: publications.map(PublicationStatus::from),
        }
    }
}

/// Input compared with output.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Ledger {
    pub received_bytes: u64,
    pub sent_bytes: u64,
    /// Bytes received per byte sent upstream; absent while nothing was sent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ratio: Option<f64>,
    pub links: Vec<LinkLedger>,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct LinkLedger {
    pub route: RouteId,
    pub name: LinkId,
    pub sent_bytes: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ratio: Option<f64>,
}

impl Ledger {
    pub(super) fn of(received_bytes: u64, routes: &[(RouteId, Arc<RouteCounters>)]) -> Self {
        let links = routes
            .iter()
            .flat_map(|(route, counters)| counters.links().iter().map(move |link| (route, link)));
        let link = |(route, link): (&RouteId, &Arc<LinkCounters>)| {
            let sent_bytes = link.bytes_offered_total.get();
            let ratio = ratio(received_bytes, sent_bytes);
            LinkLedger { route: route.clone(), name: link.id.clone(), sent_bytes, ratio }
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
