//! An edge node of Sparkplug as the gateway uses it, for the gateway and for `verge check`.

use verge_domain::id::{JudgeId, LinkId};
use verge_domain::settable::SettableLimit;
use verge_domain::stage::{Checkpoint, EncodeError, Envelope, Form, KEY_SEPARATOR, StoredRow, VerdictRow};
use verge_mqtt::ConnectionSettings;
use verge_sparkplug::{EdgeSettings, HostCommands};
use verge_wire::read_verdict;

use crate::settings::{JudgeSection, Settings, SparkplugUplink, Uplink};

/// What the keys of checkpoints of uplinks begin with.
const UPLINK: &str = "uplink";
/// Room for a topic and the header of a packet.
const HEADER_BYTES: usize = 1024;

/// Under what key the store keeps the number of the last birth of an uplink.
pub(super) fn birth_number_key(uplink: &LinkId) -> String {
    format!("{UPLINK}{KEY_SEPARATOR}{uplink}{KEY_SEPARATOR}bdseq")
}

/// Takes the checkpoints of uplinks out of those of the judges.
pub(super) fn take_own(checkpoints: &mut Vec<Checkpoint>) -> Vec<Checkpoint> {
    let is_own =
        |one: &Checkpoint| one.key.strip_prefix(UPLINK).is_some_and(|rest| rest.starts_with(KEY_SEPARATOR));
    let (own, others) = std::mem::take(checkpoints).into_iter().partition(is_own);
    *checkpoints = others;
    own
}

/// How the node behaves.
pub fn edge_settings(
    settings: &Settings,
    uplink: &Uplink,
    sparkplug: &SparkplugUplink,
    connection: &ConnectionSettings,
) -> EdgeSettings {
    let property = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    let site = settings.gateway.site.as_deref().map(|site| property("Site", site));
    let properties = [
        property("Gateway", settings.gateway.id.as_str()),
        property("Software", "Verge"),
        property("Version", env!("CARGO_PKG_VERSION")),
    ];
    EdgeSettings {
        address: sparkplug.address.clone(),
        host: sparkplug.host.clone(),
        lanes: uplink.lanes.clone(),
        confirm: sparkplug.confirm,
        history: sparkplug.history,
        history_rate: sparkplug.history_rate,
        datatype_in_data: sparkplug.datatype_in_data,
        properties: properties.into_iter().chain(site).collect(),
        silent_is_death: sparkplug.silent_is_death,
        commands: sparkplug.commands.then(|| HostCommands { limits: limits_of(settings) }),
        max_payload: connection.max_packet_bytes.saturating_sub(HEADER_BYTES),
    }
}

/// Limits that the configuration opens.
fn limits_of(settings: &Settings) -> Vec<(JudgeId, SettableLimit)> {
    let of_judge = |judge: &JudgeSection| {
        let settable = judge.readings().map_or(&[][..], |rules| rules.settable.as_slice());
        settable.iter().map(|limit| (judge.name.clone(), *limit)).collect::<Vec<_>>()
    };
    settings.judges.iter().flat_map(of_judge).collect()
}

/// Stored rows as the verdicts that they hold.
#[derive(Debug, Clone, Copy)]
pub(super) struct VerdictForm;

impl Form for VerdictForm {
    type Item = Vec<VerdictRow>;

    fn item(&mut self, envelope: &Envelope, rows: &[StoredRow]) -> Result<Self::Item, EncodeError> {
        let row = |row: &StoredRow| {
            let verdict = match row.withdrawn {
                Some(_) => None,
                None => {
                    let read = read_verdict(&row.bytes, envelope.lane);
                    let (_, verdict) = read.map_err(|error| EncodeError(Box::new(error)))?;
                    Some(Box::new(verdict))
                }
            };
            Ok(VerdictRow { lane: envelope.lane, seq: row.through(), verdict, stored_bytes: row.bytes.len() })
        };
        rows.iter().map(row).collect()
    }

    fn bytes(rows: &Self::Item) -> usize {
        rows.iter().map(|row| row.stored_bytes).sum()
    }
}
