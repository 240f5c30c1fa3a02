//! Where the commands that run upstream connect to, and under which identity.

use anyhow::{Context, anyhow, bail};
use clap::Args;
use verge_domain::filter;
use verge_domain::id::GatewayId;
use verge_mqtt::{ConnectionSettings, TopicNames, TopicTemplate, TopicUse};
use verge_wire::SiteZone;

use super::FileArgs;
use super::connect::ConnectArgs;
use verge_gateway::exit::{Exit, ExitWith};
use verge_gateway::settings::{MqttUplink, Settings, Uplink};

/// A broker upstream, and the topics of gateways there.
#[derive(Debug, Args)]
pub(super) struct UplinkArgs {
    #[command(flatten)]
    connect: ConnectArgs,
    /// Take the connection from an uplink of this configuration
    #[arg(short, long, value_name = "FILE")]
    config: Option<std::path::PathBuf>,
    /// Which uplink of the configuration; by default the first
    #[arg(long, value_name = "NAME", requires = "config")]
    uplink: Option<String>,
    /// First levels of the topics [default: verge, or as configured]
    #[arg(long, value_name = "TOPIC")]
    prefix: Option<String>,
    /// Topics, where they are others than {prefix}/{gateway}/{channel}; see `topic` in configs/gateway.toml
    #[arg(long, value_name = "TEMPLATE")]
    topic: Option<String>,
}

/// What the arguments and the configuration say together.
pub(super) struct Upstream {
    pub(super) connection: ConnectionSettings,
    /// The topics.
    pub(super) topics: Topics,
    /// The gateway of the configuration, where there is one.
    pub(super) gateway: Option<String>,
    /// The time zone of the configuration's site; without a configuration that of this machine.
    pub(super) zone: SiteZone,
}

/// The topics of gateways upstream.
pub(super) struct Topics {
    template: TopicTemplate,
    prefix: String,
    client_id: Option<String>,
}

impl Topics {
    fn names<'a>(&'a self, gateway: Option<&'a str>) -> TopicNames<'a> {
        TopicNames { prefix: &self.prefix, gateway, client_id: self.client_id.as_deref() }
    }

    /// The filter of a kind of messages, of one gateway or of all.
    pub(super) fn filter(&self, topic: TopicUse, gateway: Option<&str>) -> String {
        self.template.filter(topic, self.names(gateway))
    }

    /// The topic for commands to a gateway.
    pub(super) fn command(&self, gateway: &str) -> String {
        self.filter(TopicUse::Command, Some(gateway))
    }

    /// Whether commands and answers have topics of their own.
    pub(super) fn has_channels(&self) -> bool {
        self.template.has_channels()
    }

    /// Whether a topic is for this use; unknown where all go to one.
    pub(super) fn is(&self, topic: TopicUse, found: &str) -> bool {
        self.has_channels() && filter::matches(&self.filter(topic, None), found)
    }

    /// The gateway that a topic for a use belongs to.
    pub(super) fn gateway_of(&self, topic: TopicUse, found: &str) -> Option<GatewayId> {
        GatewayId::new(self.template.gateway_of(topic, self.names(None), found)?).ok()
    }
}

impl UplinkArgs {
    /// Whether a client identifier is given.
    pub(super) fn has_client_id(&self) -> bool {
        self.connect.has_client_id()
    }

    /// The configuration, where the command is about this machine.
    pub(super) fn file(&self) -> anyhow::Result<FileArgs> {
        let config =
            self.config.clone().context("--config is needed: --url is of use only with --gateway or --all");
        Ok(FileArgs { config: config.exit_with(Exit::Usage)? })
    }

    /// The connection. `purpose` is part of a generated client identifier.
    pub(super) fn upstream(&self, purpose: &str) -> anyhow::Result<Upstream> {
        let prefix = |default: &str| self.prefix.clone().unwrap_or_else(|| default.to_owned());
        let written = self.topic.as_deref().map(template).transpose()?;
        if let Some(connection) = self.connect.written(purpose)? {
            let template = written.map_or_else(|| template(TopicTemplate::DEFAULT), Ok)?;
            let topics = Topics { template, prefix: prefix("verge"), client_id: None };
            return Ok(Upstream { connection, topics, gateway: None, zone: SiteZone::of_machine() });
        }
        let config = self.config.clone().context("--url or --config is needed").exit_with(Exit::Usage)?;
        let file = config.display().to_string();
        let settings = FileArgs { config }.settings()?;
        let uplink = chosen(&settings, &file, self.uplink.as_deref()).exit_with(Exit::Usage)?;
        let connection = self.connect.of(&uplink.broker, purpose)?;
        let gateway = Some(settings.gateway.id.to_string());
        let topics = Topics {
            template: written.unwrap_or_else(|| uplink.template.clone()),
            prefix: prefix(&uplink.prefix),
            client_id: Some(uplink.broker.client_id.clone()),
        };
        Ok(Upstream { connection, topics, gateway, zone: settings.gateway.zone })
    }
}

fn template(text: &str) -> anyhow::Result<TopicTemplate> {
    let read = TopicTemplate::parse(text).map_err(|errors| {
        let errors: Vec<String> = errors.iter().map(ToString::to_string).collect();
        anyhow!("--topic {text:?}: {}", errors.join("; "))
    });
    read.exit_with(Exit::Usage)
}

/// An uplink to a broker: from a web service nothing can be received.
fn chosen<'a>(settings: &'a Settings, file: &str, name: Option<&str>) -> anyhow::Result<&'a MqttUplink> {
    let names: Vec<&str> = settings.uplinks.iter().map(|uplink| uplink.name.as_str()).collect();
    let mut uplinks = settings.uplinks.iter();
    let found = match name {
        None => uplinks.find(|uplink| uplink.mqtt().is_some()).or_else(|| settings.uplinks.first()),
        Some(name) => uplinks.find(|uplink| uplink.name.as_str() == name),
    };
    if let Some(uplink) = found
        && uplink.mqtt().is_none()
    {
        let (section, kind) = (uplink.section(), uplink.kind.as_str());
        bail!(
            "[{section}] of {file} is of kind {kind:?}: verdicts are received from an uplink of kind \"mqtt\""
        );
    }
    found.and_then(Uplink::mqtt).ok_or_else(|| match (name, names.as_slice()) {
        (_, []) => anyhow!(
            "{file} has no [uplink.NAME], so nothing is sent that could be received: `verge run` prints verdicts on a \
             terminal, `verge outbox show` prints stored ones; --url names a broker"
        ),
        (name, names) => {
            anyhow!("{file} has no [uplink.{}]; its uplinks: {}", name.unwrap_or("NAME"), names.join(", "))
        }
    })
}
