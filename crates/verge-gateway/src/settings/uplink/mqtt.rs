//! `kind = "mqtt"`: an uplink to a broker.

use verge_domain::filter;
use verge_mqtt::{ConnectionSettings, Services, TopicNames, TopicTemplate, TopicUse, UplinkTopics};
use verge_wire::WireFormat;

use super::super::Check;
use super::super::connection::{BuildError, Connection};
use super::super::local::Local;
use super::super::source::SourceSection;
use super::{Uplink, UplinkKind, check_broker};
use crate::config::{Fault, RawMqtt};
use crate::states::StateTopics;

/// An uplink to a broker.
#[derive(Debug, Clone)]
pub struct MqttUplink {
    /// The broker.
    pub broker: Connection,
    /// Its topics.
    pub topics: UplinkTopics,
    /// Where parts of packages of models come.
    pub parts: String,
    /// What they are made of, for those who look for them: `{prefix}`, and the template.
    pub prefix: String,
    /// See `prefix`.
    pub template: TopicTemplate,
    /// How messages are written.
    pub format: WireFormat,
    /// What it does beside sending verdicts.
    pub services: Services,
    /// The state topics, where it has them.
    pub states: Option<StateTopics>,
}

impl MqttUplink {
    /// The connection of the state topics, from that of the verdicts.
    #[must_use]
    pub fn states_connection(&self, connection: &ConnectionSettings) -> ConnectionSettings {
        ConnectionSettings { client_id: states_client_id(&connection.client_id), ..connection.clone() }
    }

    /// The connection by which packages of models come, from that of the verdicts: alarms never wait behind it.
    #[must_use]
    pub fn models_connection(&self, connection: &ConnectionSettings) -> ConnectionSettings {
        ConnectionSettings { client_id: format!("{}-models", connection.client_id), ..connection.clone() }
    }

    /// The connection, with certificates and password read.
    ///
    /// # Errors
    /// A file is missing or cannot be used.
    pub fn connection(&self) -> Result<ConnectionSettings, BuildError> {
        self.broker.build()
    }

    pub(super) fn check(check: &mut Check<'_>, gateway: &str, name: &str, raw: &RawMqtt) -> Option<Self> {
        let section = format!("uplink.{name}");
        let parts = (&raw.broker, &raw.transport);
        let client_id = format!("verge-{gateway}-{name}");
        let connection = check_broker(check, &section, parts, raw.insecure_plaintext, client_id);
        check_prefix(check, &section, &raw.prefix);
        let template = check_template(check, &section, raw);
        let (broker, template) = (connection?, template?);
        let names =
            TopicNames { prefix: &raw.prefix, gateway: Some(gateway), client_id: Some(&broker.client_id) };
        Some(Self {
            topics: topics(&template, names),
            parts: template.topic(TopicUse::Part, names),
            services: Services {
                // Where all goes to one topic, a retained message there would be no status, and a command no command.
                retain: raw.retain && template.has_channels(),
                commands: raw.commands && template.has_channels(),
                will: raw.will,
                status: raw.status,
                echo: raw.echo,
            },
            states: states(gateway, raw),
            broker,
            template,
            prefix: raw.prefix.clone(),
            format: raw.format,
        })
    }
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

/// The connection that keeps the state topics: verdicts never wait behind it.
pub(in crate::settings) fn states_client_id(client_id: &str) -> String {
    format!("{client_id}-state")
}

fn states(gateway: &str, raw: &RawMqtt) -> Option<StateTopics> {
    (raw.state_topics || raw.homeassistant).then(|| StateTopics {
        root: format!("{}/{}/state", raw.prefix, verge_sparkplug::element(gateway)),
        homeassistant: raw.homeassistant,
        stale_after: raw.stale_after.0,
    })
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
pub(in crate::settings) fn check_client_ids(check: &mut Check<'_>, local: &Local, uplinks: &[Uplink]) {
    // A broker of our own has names of its own for us.
    let local = match local {
        Local::External(connection) => Some(connection),
        Local::Embedded(_) => None,
    };
    let connections: Vec<&Connection> =
        local.into_iter().chain(uplinks.iter().filter_map(Uplink::broker)).collect();
    for mqtt in uplinks.iter().filter_map(Uplink::mqtt).filter(|mqtt| mqtt.states.is_some()) {
        let own = states_client_id(&mqtt.broker.client_id);
        if let Some(other) = connections.iter().find(|other| other.client_id == own) {
            let expected = format!("another name than that of the state topics of {}", mqtt.broker.key);
            let fault = Fault::at_text(format!("{}.client_id", other.key), &other.client_id, expected);
            check.faults.push(fault.remedy("take the line out, or write another name"));
        }
    }
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
pub(in crate::settings) fn check_loops(
    check: &mut Check<'_>,
    local: &Local,
    uplinks: &[Uplink],
    sources: &[SourceSection],
) {
    let local = local.address();
    let is_local = |uplink: &&Uplink| uplink.broker().is_some_and(|broker| broker.address == local);
    for uplink in uplinks.iter().filter(is_local) {
        let (name, own) = (&uplink.name, own_topics(uplink));
        for source in sources {
            let Some(own) = own.iter().find(|own| filter::matches(&source.filter, own)) else { continue };
            let expected = format!(
                "a filter that does not take {own}, where uplink.{name} publishes on the same broker"
            );
            check.faults.push(
                Fault::at_text(format!("source.{}.topic", source.name), &source.filter, expected)
                    .remedy(format!("write a narrower topic, or other names below [uplink.{name}]")),
            );
        }
    }
}

/// The topics that an uplink publishes on; of those with a device one of each kind.
fn own_topics(uplink: &Uplink) -> Vec<String> {
    match &uplink.kind {
        UplinkKind::Mqtt(mqtt) => {
            let UplinkTopics { alarm, verdict, telemetry, status, command, reply } = mqtt.topics.clone();
            let own = [alarm, verdict, telemetry, status, reply].into_iter().chain(command);
            let states = mqtt.states.iter();
            own.chain(
                states.flat_map(|states| [states.root.clone(), format!("{}/device/judge", states.root)]),
            )
            .collect()
        }
        UplinkKind::Sparkplug(sparkplug) => {
            let of_node = ["NBIRTH", "NDATA", "NDEATH"].map(|kind| sparkplug.address.topic(kind));
            let of_devices = ["DBIRTH", "DDATA"].map(|kind| sparkplug.address.device_topic(kind, "device"));
            of_node.into_iter().chain(of_devices).collect()
        }
        UplinkKind::Http(_) | UplinkKind::Rsmp(_) => Vec::new(),
    }
}
