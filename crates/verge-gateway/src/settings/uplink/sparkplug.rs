//! `[uplink.NAME] kind = "sparkplug"`.

use std::time::Duration;

use verge_sparkplug::{HistoryOrder, NodeAddress, element};

use super::super::Check;
use super::super::connection::Connection;
use super::{Uplink, UplinkKind, check_broker};
use crate::config::{Fault, RawSilentDevice, RawSparkplug, Warning};

/// Items in flight at most: the broker is asked what it has read now and then, not for each.
pub(super) const WINDOW: usize = 4096;

/// An uplink that is an edge node.
#[derive(Debug, Clone)]
pub struct SparkplugUplink {
    /// The broker.
    pub broker: Connection,
    /// Its place in the topics.
    pub address: NodeAddress,
    /// The primary host, without which nothing is born.
    pub host: Option<String>,
    /// How often the broker is asked at most what it has read.
    pub confirm: Duration,
    /// The order of history.
    pub history: HistoryOrder,
    /// Historical metrics per second at most.
    pub history_rate: u32,
    /// Whether data says the types of metrics again.
    pub datatype_in_data: bool,
    /// Whether a device that is silent has died.
    pub silent_is_death: bool,
    /// Whether hosts may acknowledge, shelve and set.
    pub commands: bool,
}

impl SparkplugUplink {
    pub(super) fn check(
        check: &mut Check<'_>,
        (gateway, site): (&str, Option<&str>),
        name: &str,
        raw: &RawSparkplug,
    ) -> Option<Self> {
        let section = format!("uplink.{name}");
        let parts = (&raw.broker, &raw.transport);
        let client_id = format!("verge-{gateway}-{name}");
        let broker = check_broker(check, &section, parts, raw.insecure_plaintext, client_id);
        let address = check_address(check, &section, (gateway, site), raw);
        if let Some(host) = raw.host.as_deref().filter(|host| element(host) != **host) {
            let expected = "the name of a host application, without \"/\", \"+\" and \"#\"";
            let fault = Fault::at_text(format!("{section}.host"), host, expected);
            check.faults.push(fault.remedy("write the name that the host uses in its topic STATE"));
        }
        Some(Self {
            broker: broker?,
            address: address?,
            host: raw.host.clone(),
            confirm: raw.confirm.0,
            history: raw.history,
            history_rate: u32::try_from(raw.history_rate).unwrap_or(u32::MAX),
            datatype_in_data: raw.datatype_in_data,
            silent_is_death: raw.silent_device == RawSilentDevice::Death,
            commands: raw.commands,
        })
    }
}

fn check_address(
    check: &mut Check<'_>,
    section: &str,
    (gateway, site): (&str, Option<&str>),
    raw: &RawSparkplug,
) -> Option<NodeAddress> {
    let node = raw.node.as_deref().unwrap_or(gateway);
    let Some(group) = raw.group.as_deref().or(site) else {
        let expected = "the group of the edge node (gateway.site is not set either)";
        let fault = Fault::missing(format!("{section}.group"), expected);
        check.faults.push(fault.remedy("add a line such as group = \"plant-a\""));
        return None;
    };
    for (key, name) in [("group", group), ("node", node)] {
        let shown = element(name);
        if shown != name {
            let remark = format!("{name:?} cannot stand in a topic: it is sent as {shown:?}");
            check.warnings.push(Warning { key: format!("{section}.{key}"), remark });
        }
    }
    Some(NodeAddress::new(group, node))
}

/// Two edge nodes of one name would end each other, and names of judges that become one would share their metrics.
pub(in crate::settings) fn check_collisions(check: &mut Check<'_>, uplinks: &[Uplink], judges: &[&str]) {
    let nodes: Vec<(&Uplink, &NodeAddress)> = uplinks
        .iter()
        .filter_map(|uplink| match &uplink.kind {
            UplinkKind::Sparkplug(sparkplug) => Some((uplink, &sparkplug.address)),
            UplinkKind::Mqtt(_) | UplinkKind::Http(_) | UplinkKind::Rsmp(_) => None,
        })
        .collect();
    for (index, (uplink, address)) in nodes.iter().enumerate() {
        let same = |(_, other): &&(&Uplink, &NodeAddress)| {
            let lower = |address: &NodeAddress| address.topic("").to_lowercase();
            lower(other) == lower(address)
        };
        if let Some((other, _)) = nodes[..index].iter().find(same) {
            let expected =
                format!("another name than uplink.{} uses in this group, not by case alone", other.name);
            let fault = Fault::at_text(format!("uplink.{}.node", uplink.name), address.node(), expected);
            check.faults.push(fault.remedy("write another node, or another group"));
        }
    }
    if nodes.is_empty() {
        return;
    }
    for (index, judge) in judges.iter().enumerate() {
        let shown = verge_sparkplug::metric_part(judge).to_lowercase();
        let same = |other: &&&str| verge_sparkplug::metric_part(other).to_lowercase() == shown;
        if let Some(other) = judges[..index].iter().find(same) {
            let expected =
                format!("a name that is not that of judge.{other} as Sparkplug writes it ({shown})");
            let fault = Fault::at_text(format!("judge.{judge}"), judge, expected);
            check.faults.push(fault.remedy("give one of the two another name"));
        }
    }
}
