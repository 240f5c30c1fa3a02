//! What the status reports of the site's own broker and of certificates.

use std::collections::BTreeMap;
use std::time::Duration;

use super::{MadeElsewhereStatus, ModelStatus};
use serde::Serialize;
use verge_domain::observation::Camera;

/// State of a connection to the local broker, in words.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct LocalState {
    /// Whether it is connected.
    pub connected: bool,
    /// Connections made since the start.
    pub connections: u64,
    /// Messages not yet acknowledged to the broker.
    pub outstanding: u64,
    /// Messages larger than the limit, since the start: passed over.
    pub oversized: u64,
    /// Topic and size of the last of them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_oversized: Option<String>,
    /// The judges' queue is full: a connection is left unread.
    pub overloaded: bool,
    /// Messages that the broker sent again and this run recognised, since the start: not judged again.
    pub redelivered: u64,
    /// Requests for births that were sent to edge nodes of Sparkplug B, since the start.
    #[serde(skip_serializing_if = "super::is_zero")]
    pub births_asked: u64,
    /// Messages that no source takes, since the start; reported beside the sources.
    #[serde(skip)]
    pub unknown_topics: u64,
    /// Why it is down, or why it last was.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_error: Option<String>,
    /// Why the files with its credentials cannot be used; the last good ones stay in use.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub credentials_error: Option<String>,
    /// That broker itself, where it runs beside the gateway; reported beside the connection.
    #[serde(skip)]
    pub broker: Option<BrokerStatus>,
    /// Certificates of all connections; reported beside this one.
    #[serde(skip)]
    pub certificates: Vec<CertificateStatus>,
    /// Cameras with the time since the newest frame of each; reported with their sources.
    #[serde(skip)]
    pub cameras: Vec<(Camera, Duration)>,
    /// Servers for control systems; reported beside this one.
    #[serde(skip)]
    pub servers: Vec<ServerStatus>,
    /// State topics; reported beside this one.
    #[serde(skip)]
    pub states: Vec<StatesStatus>,
    /// Packages of models from upstream; reported beside this one.
    #[serde(skip)]
    pub offers: Option<OffersStatus>,
    /// Managed models; reported beside this one.
    #[serde(skip)]
    pub models: Vec<ModelStatus>,
    /// Files of models that were made elsewhere; reported beside this one.
    #[serde(skip)]
    pub made_elsewhere: Vec<MadeElsewhereStatus>,
}

/// Packages of models that upstream has offered.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct OffersStatus {
    /// The weights in use of each managed model, so that upstream knows what a delta must change.
    pub weights: Vec<WeightsStatus>,
    /// Offers taken since the start.
    pub taken: u64,
    /// Offers refused since the start, those that turned out to be something else included.
    pub refused: u64,
    /// Parts that were not asked for or had another length, since the start.
    pub parts_refused: u64,
    /// Parts received since the start.
    pub parts: u64,
    /// Packages that are being received, and the last ones that were.
    pub packages: Vec<OfferStatus>,
}

/// Weights in use.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct WeightsStatus {
    /// The model.
    pub model: String,
    /// SHA-256 of its file.
    pub sha256: String,
}

/// A package from upstream.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct OfferStatus {
    /// The model.
    pub model: String,
    /// SHA-256 of the package.
    pub sha256: String,
    /// Its bytes.
    pub bytes: u64,
    /// Those that are here.
    pub have: u64,
    /// `receiving`, `staged` or `refused`.
    pub state: &'static str,
    /// Why it was refused, or why it does not go on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// State topics of an uplink.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct StatesStatus {
    /// The uplink.
    pub uplink: String,
    /// Whether their connection stands.
    pub connected: bool,
    /// Whether the broker says that the gateway is there.
    pub online: bool,
    /// Points.
    pub points: u64,
    /// Topics with a message.
    pub topics: u64,
    /// Of these, not yet at the broker.
    pub waiting: u64,
    /// Messages that the broker has acknowledged, since the start.
    pub published: u64,
    /// Messages larger than a packet, and points for which there was no room or no topic of their own, since the start.
    pub refused: u64,
    /// Why the last was refused, or why the connection is lost.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_error: Option<String>,
}

/// A server that control systems poll.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct ServerStatus {
    /// Its name in the configuration.
    pub name: String,
    /// What it speaks.
    pub kind: &'static str,
    /// Where it listens.
    pub listening: String,
    /// Clients that are connected.
    pub clients: u64,
    /// Clients accepted since the start.
    pub accepted: u64,
    /// Clients refused: by the list of addresses, or because there were too many.
    pub refused: u64,
    /// Connections that it closed: idle, too slow within a frame, or no frames of this kind.
    pub closed: u64,
    /// Requests answered.
    pub requests: u64,
    /// Of these, with an exception.
    pub exceptions: u64,
    /// Points by quality.
    pub points: ServerPoints,
    /// Of one of OPC UA.
    #[serde(flatten)]
    pub opcua: Option<OpcUaStatus>,
    /// Why a connection was last refused or closed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_error: Option<String>,
}

/// What a server of OPC UA counts beside the others.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct OpcUaStatus {
    /// Variables that clients follow.
    pub followed: u64,
    /// Logins refused since the start.
    pub logins_refused: u64,
    /// Words about points for which there was no room, since the start.
    pub left_out: u64,
}

/// Points of a server by their quality.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct ServerPoints {
    /// See [`PointQuality`](verge_domain::image::PointQuality).
    pub never: u64,
    /// See `never`.
    pub good: u64,
    /// See `never`.
    pub uncertain: u64,
    /// See `never`.
    pub stale: u64,
}

/// When a certificate ends.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct CertificateStatus {
    /// Key of the configuration that names its file.
    pub key: String,
    /// `valid`, `ends_soon`, `ended` or `unreadable`.
    pub state: &'static str,
    /// Its subject.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub subject: Option<String>,
    /// When it ends (UTC ms).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ends_at: Option<i64>,
    /// Whole days until then; negative afterwards.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub days_left: Option<i64>,
    /// Why it cannot be read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// A device of which something was refused.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RefusedDeviceStatus {
    /// Its name.
    pub device: String,
    /// How often.
    pub refused: u64,
    /// The last reason.
    pub reason: &'static str,
}

/// A broker that runs beside the gateway. Numbers are since the start.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct BrokerStatus {
    /// Whether it serves.
    pub serving: bool,
    /// Since when (UTC ms).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub since: Option<i64>,
    /// How often it was started again.
    pub restarts: u64,
    /// Why it last failed, in words.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_fault: Option<String>,
    /// When that was (UTC ms).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_fault_at: Option<i64>,
    /// Connections from outside now.
    pub connections: u64,
    /// Clients admitted.
    pub accepted: u64,
    /// Connections closed at once because there were too many.
    pub refused_connections: u64,
    /// TLS handshakes that failed.
    pub failed_handshakes: u64,
    /// Clients refused because of what they sent.
    pub refused_clients: u64,
    /// Clients that were let in and closed for what they did.
    pub cut_off: u64,
    /// How often a client was left unread for a while because it sent faster than it may.
    pub throttled: u64,
    /// Clients, packets and filters refused, by reason.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub refusals: BTreeMap<&'static str, u64>,
    /// The devices of which most was refused.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub refused_devices: Vec<RefusedDeviceStatus>,
    /// The last client refused or cut off: its address and the reason.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_refusal: Option<String>,
    /// Retained messages of devices that are kept across a restart of the broker.
    pub retained: u64,
    /// Those since the start that were not, being too large or too many.
    pub retained_not_kept: u64,
    /// Why the files of the listener's certificates cannot be used; the last good ones stay in use.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub credentials_error: Option<String>,
}
