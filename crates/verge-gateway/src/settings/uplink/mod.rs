//! `[uplink.NAME]`, and what uplinks must agree on with the rest.

mod datex2;
mod detector;
mod http;
mod mqtt;
mod rsmp;
mod sparkplug;

use std::time::Duration;

use verge_domain::id::{Lane, LinkId, RouteId};
use verge_pipeline::delivery::BatchPolicy;

use super::Check;
use super::JudgeSection;
use super::connection::{self, Connection, is_loopback};
use crate::config::{Fault, Map, RawBatch, RawBroker, RawTransport, RawUplink, RawUplinkKind, Size, Warning};
pub use datex2::{DatexFiles, DatexSnapshots, DatexUplink};
pub use http::{HttpUplink, PushFormat};
pub use mqtt::MqttUplink;
pub(super) use mqtt::{check_client_ids, check_loops};
pub use rsmp::RsmpUplink;
pub use sparkplug::SparkplugUplink;
pub(super) use sparkplug::check_collisions;

/// One connection upstream.
#[derive(Debug, Clone)]
pub struct Uplink {
    /// Its name.
    pub name: LinkId,
    /// The route it belongs to, under whose name the store keeps marks; by default one of its own.
    pub route: RouteId,
    /// What it speaks.
    pub kind: UplinkKind,
    /// Messages sent and not yet acknowledged, at most.
    pub window: usize,
    /// Lanes whose verdicts it sends.
    pub lanes: Vec<Lane>,
    /// How verdicts become messages.
    pub batch: BatchPolicy,
    /// How much of what was acknowledged before a loss is sent again.
    pub rewind: Duration,
    /// Bytes that may be sent on one day, in UTC, before routine verdicts wait for the next.
    pub budget: Option<u64>,
}

/// What an uplink speaks.
#[derive(Debug, Clone)]
pub enum UplinkKind {
    /// MQTT, to a broker.
    Mqtt(Box<MqttUplink>),
    /// HTTP, to a web service.
    Http(Box<HttpUplink>),
    /// Sparkplug B over MQTT, as an edge node.
    Sparkplug(Box<SparkplugUplink>),
    /// RSMP, as a site.
    Rsmp(Box<RsmpUplink>),
}

impl UplinkKind {
    /// The word for it in a configuration.
    #[must_use]
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Mqtt(_) => "mqtt",
            Self::Http(_) => "http",
            Self::Sparkplug(_) => "sparkplug",
            Self::Rsmp(_) => "rsmp",
        }
    }
}

impl Uplink {
    /// What it is where it speaks MQTT.
    #[must_use]
    pub fn mqtt(&self) -> Option<&MqttUplink> {
        match &self.kind {
            UplinkKind::Mqtt(mqtt) => Some(mqtt),
            UplinkKind::Http(_) | UplinkKind::Sparkplug(_) | UplinkKind::Rsmp(_) => None,
        }
    }

    /// Its broker, where it has one.
    #[must_use]
    pub fn broker(&self) -> Option<&Connection> {
        match &self.kind {
            UplinkKind::Mqtt(mqtt) => Some(&mqtt.broker),
            UplinkKind::Sparkplug(sparkplug) => Some(&sparkplug.broker),
            UplinkKind::Http(_) | UplinkKind::Rsmp(_) => None,
        }
    }

    /// Its publications of DATEX II, where it sends such.
    #[must_use]
    pub fn datex2(&self) -> Option<&DatexUplink> {
        match &self.kind {
            UplinkKind::Http(http) => http.format.datex2(),
            UplinkKind::Mqtt(_) | UplinkKind::Sparkplug(_) | UplinkKind::Rsmp(_) => None,
        }
    }

    /// Its section.
    #[must_use]
    pub fn section(&self) -> String {
        format!("uplink.{}", self.name)
    }
}

/// The keys that uplinks of every kind have.
struct CommonKeys<'a> {
    route: Option<&'a str>,
    window: usize,
    lanes: &'a [Lane],
    batch: &'a RawBatch,
    rewind: Duration,
    budget: Option<Size>,
}

/// `gateway`: its id and its site. `judges`: those that are without fault, and the names of all.
pub(super) fn check_all(
    check: &mut Check<'_>,
    gateway: (&str, Option<&str>),
    raw: &Map<RawUplink>,
    judges: (&[JudgeSection], &[&str]),
) -> (Vec<Uplink>, Vec<DatexFiles>) {
    let (mut uplinks, mut files) = (Vec::new(), Vec::new());
    for (name, raw) in raw {
        let key = format!("uplink.{name}");
        let datex2 = match &raw.kind {
            Some(RawUplinkKind::Http(raw)) if datex2::is_only_fetched(raw) => {
                datex2::check_format(check, &key, gateway.0, raw, judges).ok().flatten()
            }
            _ => {
                let uplink = check_one(check, gateway, name, raw, judges);
                let datex2 = uplink.as_ref().and_then(Uplink::datex2).cloned();
                uplinks.extend(uplink);
                datex2
            }
        };
        let keeps = datex2.filter(|datex2| datex2.snapshots.is_some());
        files.extend(keeps.map(|datex2| DatexFiles { key, datex2 }));
    }
    (uplinks, files)
}

fn check_one(
    check: &mut Check<'_>,
    (gateway, site): (&str, Option<&str>),
    name: &str,
    raw: &RawUplink,
    judges: (&[JudgeSection], &[&str]),
) -> Option<Uplink> {
    let section = format!("uplink.{name}");
    let (kind, keys) = match raw.kind.as_ref()? {
        RawUplinkKind::Mqtt(raw) => {
            let kind = MqttUplink::check(check, gateway, name, raw);
            let keys = CommonKeys {
                route: raw.route.as_deref(),
                window: raw.window,
                lanes: &raw.lanes,
                batch: &raw.batch,
                rewind: raw.rewind.0,
                budget: raw.budget,
            };
            (kind.map(|mqtt| UplinkKind::Mqtt(Box::new(mqtt))), keys)
        }
        RawUplinkKind::Http(raw) => {
            let kind = HttpUplink::check(check, gateway, &section, raw, judges);
            let keys = CommonKeys {
                route: raw.route.as_deref(),
                window: http::WINDOW,
                lanes: &raw.lanes,
                batch: &raw.batch,
                // What a service has answered it has.
                rewind: Duration::ZERO,
                budget: raw.budget,
            };
            (kind.map(|http| UplinkKind::Http(Box::new(http))), keys)
        }
        RawUplinkKind::Sparkplug(raw) => {
            let kind = SparkplugUplink::check(check, (gateway, site), name, raw);
            let keys = CommonKeys {
                route: raw.route.as_deref(),
                window: sparkplug::WINDOW,
                lanes: &raw.lanes,
                batch: &raw.batch,
                rewind: raw.rewind.0,
                budget: raw.budget,
            };
            (kind.map(|sparkplug| UplinkKind::Sparkplug(Box::new(sparkplug))), keys)
        }
        RawUplinkKind::Rsmp(raw) => {
            let kind = RsmpUplink::check(check, &section, raw, judges);
            let keys = CommonKeys {
                route: raw.route.as_deref(),
                window: rsmp::WINDOW,
                lanes: &raw.lanes,
                batch: &raw.batch,
                // What a supervisor has acknowledged it has.
                rewind: Duration::ZERO,
                budget: raw.budget,
            };
            (kind.map(|rsmp| UplinkKind::Rsmp(Box::new(rsmp))), keys)
        }
    };
    let route = keys.route.unwrap_or(name);
    let route = check.keep(&format!("{section}.route"), route, RouteId::new(route));
    let name = check.keep(&section, name, LinkId::new(name));
    Some(Uplink {
        name: name?,
        route: route?,
        kind: kind?,
        window: keys.window,
        lanes: keys.lanes.to_vec(),
        batch: policy_of(keys.batch),
        rewind: keys.rewind,
        budget: keys.budget.map(|budget| budget.0),
    })
}

/// The broker of an uplink, which is reached by TLS unless the file says otherwise.
fn check_broker(
    check: &mut Check<'_>,
    section: &str,
    (broker, transport): (&RawBroker, &RawTransport),
    insecure_plaintext: bool,
    client_id: String,
) -> Option<Connection> {
    let connection = connection::check_parts(check, section, broker, transport, client_id)?;
    if !connection.address.is_tls() {
        let address = PlainAddress {
            section,
            url: broker.url.as_deref().unwrap_or_default(),
            host: connection.address.host(),
            scheme: "mqtts://",
            instead: format!("mqtts://{}", connection.address.host()),
            is_allowed: insecure_plaintext,
        };
        address.check(check);
    }
    Some(connection)
}

/// Whether an uplink may go without TLS.
struct PlainAddress<'a> {
    section: &'a str,
    url: &'a str,
    host: &'a str,
    /// That asks for TLS.
    scheme: &'a str,
    /// The address with it.
    instead: String,
    is_allowed: bool,
}

impl PlainAddress<'_> {
    fn check(&self, check: &mut Check<'_>) {
        let Self { section, url, scheme, instead, .. } = self;
        if !self.is_allowed {
            let expected = format!(
                "{scheme}, or insecure_plaintext = true beside it: without TLS anyone on the way can read and change \
                 verdicts"
            );
            let remedy = format!("write url = {instead:?} with ca beside it");
            check.faults.push(Fault::at_text(format!("{section}.url"), url, expected).remedy(remedy));
        } else if !is_loopback(self.host) {
            check.warnings.push(Warning {
                key: format!("{section}.insecure_plaintext"),
                remark: "verdicts leave this machine without TLS; anyone on the way can read and change them"
                    .to_owned(),
            });
        }
    }
}

fn policy_of(raw: &RawBatch) -> BatchPolicy {
    BatchPolicy {
        max_verdicts: raw.max_verdicts,
        verdict_wait: raw.verdict_wait.0,
        telemetry_wait: raw.telemetry_wait.0,
    }
}

/// Verdicts of a lane that no uplink takes are never delivered.
pub(super) fn check_lanes(check: &mut Check<'_>, uplinks: &[Uplink]) {
    if uplinks.is_empty() {
        return;
    }
    for lane in Lane::ALL {
        if !uplinks.iter().any(|uplink| uplink.lanes.contains(&lane)) {
            check.warnings.push(Warning {
                key: "uplink".to_owned(),
                remark: format!(
                    "no uplink takes the lane {lane:?}: its verdicts leave the store unsent after the replay window",
                    lane = lane.as_str()
                ),
            });
        }
    }
}
