//! `[uplink.NAME]`, and what uplinks must agree on with the rest.

use std::time::Duration;

use verge_domain::filter;
use verge_domain::id::{Lane, LinkId, RouteId};
use verge_mqtt::{ConnectionSettings, Services, TopicNames, TopicTemplate, TopicUse, UplinkTopics};
use verge_pipeline::delivery::BatchPolicy;
use verge_wire::WireFormat;

use super::Check;
use super::connection::{self, BuildError, Connection, is_loopback};
use super::local::Local;
use super::source::SourceSection;
use crate::config::{Fault, Map, RawBatch, RawMqtt, RawUplink, RawUplinkKind, Warning};

/// One connection upstream.
#[derive(Debug, Clone)]
pub struct Uplink {
    /// Its name.
    pub name: LinkId,
    /// The route it belongs to, under whose name the store keeps marks; by default one of its own.
    pub route: RouteId,
    /// The broker.
    pub broker: Connection,
    /// Its topics.
    pub topics: UplinkTopics,
    /// What they are made of, for those who look for them: `{prefix}`, and the template.
    pub prefix: String,
    /// See `prefix`.
    pub template: TopicTemplate,
    /// How messages are written.
    pub format: WireFormat,
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
    /// What it does beside sending verdicts.
    pub services: Services,
}

impl Uplink {
    /// The connection, with certificates and password read.
    ///
    /// # Errors
    /// A file is missing or cannot be used.
    pub fn connection(&self) -> Result<ConnectionSettings, BuildError> {
        self.broker.build()
    }
}

pub(super) fn check_all(check: &mut Check<'_>, gateway: &str, raw: &Map<RawUplink>) -> Vec<Uplink> {
    raw.iter().filter_map(|(name, uplink)| check_one(check, gateway, name, uplink)).collect()
}

fn check_one(check: &mut Check<'_>, gateway: &str, name: &str, raw: &RawUplink) -> Option<Uplink> {
    let RawUplinkKind::Mqtt(raw) = raw.kind.as_ref()?;
    let section = format!("uplink.{name}");
    let connection = connection::check_parts(
        check,
        &section,
        &raw.broker,
        &raw.transport,
        format!("verge-{gateway}-{name}"),
    );
    if let Some(connection) = connection.as_ref().filter(|connection| !connection.address.is_tls()) {
        check_plaintext(check, &section, connection, raw);
    }
    check_prefix(check, &section, &raw.prefix);
    let template = check_template(check, &section, raw);
    let route = raw.route.as_deref().unwrap_or(name);
    let route = check.keep(&format!("{section}.route"), route, RouteId::new(route));
    let name = check.keep(&section, name, LinkId::new(name));
    let (broker, template) = (connection?, template?);
    let names =
        TopicNames { prefix: &raw.prefix, gateway: Some(gateway), client_id: Some(&broker.client_id) };
    Some(Uplink {
        name: name?,
        route: route?,
        topics: topics(&template, names),
        services: Services {
            // Where all goes to one topic, a retained message there would be no status, and a command no command.
            retain: raw.retain && template.has_channels(),
            commands: raw.commands && template.has_channels(),
            will: raw.will,
            status: raw.status,
            echo: raw.echo,
        },
        broker,
        template,
        prefix: raw.prefix.clone(),
        format: raw.format,
        window: raw.window,
        lanes: raw.lanes.clone(),
        batch: policy_of(&raw.batch),
        rewind: raw.rewind.0,
        budget: raw.budget.map(|budget| budget.0),
    })
}

fn check_template(check: &mut Check<'_>, section: &str, raw: &RawMqtt) -> Option<TopicTemplate> {
    match TopicTemplate::parse(&raw.topic) {
        Ok(template) => Some(template),
        Err(errors) => {
            for error in errors {
                let expected = format!(r#"a topic such as "{}" ({error})"#, TopicTemplate::DEFAULT);
                let remedy = "write it of these placeholders and of text without \"+\" and \"#\"";
                check
                    .faults
                    .push(Fault::at_text(format!("{section}.topic"), &raw.topic, expected).remedy(remedy));
            }
            None
        }
    }
}

fn topics(template: &TopicTemplate, names: TopicNames<'_>) -> UplinkTopics {
    let topic = |topic: TopicUse| template.topic(topic, names);
    UplinkTopics {
        alarm: topic(TopicUse::Alarm),
        verdict: topic(TopicUse::Verdict),
        telemetry: topic(TopicUse::Telemetry),
        status: topic(TopicUse::Status),
        command: template.has_channels().then(|| topic(TopicUse::Command)),
        reply: topic(TopicUse::Reply),
    }
}

fn policy_of(raw: &RawBatch) -> BatchPolicy {
    BatchPolicy {
        max_verdicts: raw.max_verdicts,
        verdict_wait: raw.verdict_wait.0,
        telemetry_wait: raw.telemetry_wait.0,
    }
}

fn check_plaintext(check: &mut Check<'_>, section: &str, connection: &Connection, raw: &RawMqtt) {
    let url = raw.broker.url.as_deref().unwrap_or_default();
    if !raw.insecure_plaintext {
        let expected = "mqtts://, or insecure_plaintext = true beside it: without TLS anyone on the way can read \
                        and change verdicts";
        let host = url.split_once("://").map_or(url, |(_, host)| host);
        let host = host.split([':', '/']).next().unwrap_or(host);
        let remedy = format!("write url = \"mqtts://{host}\" with ca beside it");
        check.faults.push(Fault::at_text(format!("{section}.url"), url, expected).remedy(remedy));
    } else if !is_loopback(connection.address.host()) {
        check.warnings.push(Warning {
            key: format!("{section}.insecure_plaintext"),
            remark: "verdicts leave this machine without TLS; anyone on the way can read and change them"
                .to_owned(),
        });
    }
}

fn check_prefix(check: &mut Check<'_>, section: &str, prefix: &str) {
    let bad_letter = |letter: char| matches!(letter, '+' | '#') || letter.is_control();
    if prefix.contains(bad_letter) || prefix.starts_with('$') || prefix.split('/').any(str::is_empty) {
        let expected = r##"levels of a topic without "+" and "#", not starting with "$", none of them empty, such as "verge""##;
        let levels: Vec<&str> =
            prefix.split('/').filter(|level| !level.is_empty() && !level.contains(bad_letter)).collect();
        let made = levels.join("/");
        let made = made.trim_start_matches('$');
        let remedy = format!("write prefix = {:?}", if made.is_empty() { "verge" } else { made });
        check.faults.push(Fault::at_text(format!("{section}.prefix"), prefix, expected).remedy(remedy));
    }
}

/// A broker throws out the older of two clients of one name, so two of ours would throw each other out for ever.
pub(super) fn check_client_ids(check: &mut Check<'_>, local: &Local, uplinks: &[Uplink]) {
    // A broker of our own has names of its own for us.
    let local = match local {
        Local::External(connection) => Some(connection),
        Local::Embedded(_) => None,
    };
    let connections: Vec<&Connection> =
        local.into_iter().chain(uplinks.iter().map(|uplink| &uplink.broker)).collect();
    for (index, connection) in connections.iter().enumerate() {
        if let Some(earlier) =
            connections[..index].iter().find(|earlier| earlier.client_id == connection.client_id)
        {
            let expected = format!("another name than {} uses", earlier.key);
            check.faults.push(
                Fault::at_text(format!("{}.client_id", connection.key), &connection.client_id, expected)
                    .remedy("take the line out, or write another name"),
            );
        }
    }
}

/// A source that takes our own verdicts from a broker that is site and upstream at once would feed itself.
pub(super) fn check_loops(
    check: &mut Check<'_>,
    local: &Local,
    uplinks: &[Uplink],
    sources: &[SourceSection],
) {
    let local = local.address();
    for uplink in uplinks.iter().filter(|uplink| uplink.broker.address == local) {
        let UplinkTopics { alarm, verdict, telemetry, status, command, reply } = &uplink.topics;
        let own: Vec<&String> =
            [alarm, verdict, telemetry, status, reply].into_iter().chain(command.as_ref()).collect();
        for source in sources {
            let Some(own) = own.iter().find(|own| filter::matches(&source.filter, own)) else { continue };
            let expected = format!(
                "a filter that does not take {own}, where uplink.{} publishes on the same broker",
                uplink.name
            );
            check.faults.push(
                Fault::at_text(format!("source.{}.topic", source.name), &source.filter, expected).remedy(
                    format!("write a narrower topic, or another prefix below [uplink.{}]", uplink.name),
                ),
            );
        }
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
