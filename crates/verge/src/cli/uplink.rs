//! Where the commands that stand upstream connect to, and as whom.

use anyhow::{Context, anyhow};
use clap::Args;
use verge_mqtt::ConnectionSettings;

use super::FileArgs;
use super::connect::ConnectArgs;
use crate::exit::{Exit, ExitWith};
use crate::settings::{Settings, Uplink};

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
}

/// What the arguments and the configuration say together.
pub(super) struct Upstream {
    pub(super) connection: ConnectionSettings,
    /// First levels of the topics.
    pub(super) prefix: String,
    /// The gateway of the configuration, where there is one.
    pub(super) gateway: Option<String>,
}

impl UplinkArgs {
    /// The connection. `purpose` is part of a client identifier that is made up.
    pub(super) fn upstream(&self, purpose: &str) -> anyhow::Result<Upstream> {
        let prefix = |default: &str| self.prefix.clone().unwrap_or_else(|| default.to_owned());
        if let Some(connection) = self.connect.written(purpose)? {
            return Ok(Upstream { connection, prefix: prefix("verge"), gateway: None });
        }
        let config = self.config.clone().context("--url or --config is needed").exit_with(Exit::Usage)?;
        let settings = FileArgs { config }.settings()?;
        let uplink = chosen(&settings, self.uplink.as_deref()).exit_with(Exit::Usage)?;
        let connection = self.connect.of(&uplink.broker, purpose)?;
        let gateway = Some(settings.gateway.id.to_string());
        Ok(Upstream { connection, prefix: prefix(&uplink.prefix), gateway })
    }
}

fn chosen<'a>(settings: &'a Settings, name: Option<&str>) -> anyhow::Result<&'a Uplink> {
    let mut uplinks = settings.uplinks.iter();
    match name {
        None => uplinks.next().context("the configuration has no uplink"),
        Some(name) => uplinks
            .find(|uplink| uplink.name.as_str() == name)
            .ok_or_else(|| anyhow!("the configuration has no uplink {name:?}")),
    }
}
