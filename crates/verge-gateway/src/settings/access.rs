//! Who may publish and read what at the embedded broker, and how much.

use std::path::PathBuf;

use verge_broker::policy::{Access, AccessList, ClientLimits, OwnedTopics, Owner, Policy, SendRate};
use verge_codec::DeviceRule;

use super::Check;
use super::connection::BuildError;
use super::local::Local;
use super::source::{Carries, SourceSection};
use crate::config::{Fault, RawAccess, RawListener, Warning};

/// Level of the edge node's name in topics of Sparkplug B: `spBv1.0/GROUP/TYPE/NODE`.
const SPARKPLUG_NODE: usize = 3;
/// Largest access list, and file of logins.
const MAX_LIST_BYTES: u64 = 4 << 20;

/// What the configuration says of that.
#[derive(Debug, Clone)]
pub struct BrokerRules {
    access: BrokerAccess,
    retained: bool,
    rate: SendRate,
    topics: usize,
}

#[derive(Debug, Clone)]
enum BrokerAccess {
    /// Every client may do everything.
    Open,
    /// Each below its own name.
    Own,
    /// What a file says.
    List(PathBuf),
}

impl BrokerRules {
    /// In words, for `check`.
    #[must_use]
    pub fn words(&self) -> String {
        match &self.access {
            BrokerAccess::Open => "every client may publish and read everything".to_owned(),
            BrokerAccess::Own => {
                "each device publishes below its own name and reads its own cmd/#, nothing else".to_owned()
            }
            BrokerAccess::List(file) => format!("who may do what is in {}", file.display()),
        }
    }

    /// The file of the access list.
    pub(super) const fn list(&self) -> Option<&PathBuf> {
        match &self.access {
            BrokerAccess::List(file) => Some(file),
            BrokerAccess::Open | BrokerAccess::Own => None,
        }
    }

    /// Reads the access list, where there is one. `readings` and `frames`: largest packets of each.
    ///
    /// # Errors
    /// It is missing or cannot be understood.
    pub fn policy(
        &self,
        sources: &[SourceSection],
        (readings, frames): (usize, usize),
    ) -> Result<Policy, BuildError> {
        let access = match &self.access {
            BrokerAccess::Open => Access::Open,
            BrokerAccess::Own => Access::Own(sources.iter().map(owned).collect()),
            BrokerAccess::List(path) => Access::List(read_list(path)?),
        };
        let carries_frames = |source: &&SourceSection| matches!(source.carries, Carries::Frames(_));
        Ok(Policy {
            retained: self.retained || access_is_listed(&access),
            access,
            limits: ClientLimits {
                frame_bytes: frames,
                packet_bytes: readings,
                rate: Some(self.rate),
                topics: self.topics,
                ..ClientLimits::DEFAULT
            },
            frames: sources.iter().filter(carries_frames).map(|source| source.filter.clone()).collect(),
        })
    }
}

const fn access_is_listed(access: &Access) -> bool {
    matches!(access, Access::Open | Access::List(_))
}

fn read_list(path: &PathBuf) -> Result<AccessList, BuildError> {
    let text = read_bounded("local.acl_file", path)?;
    AccessList::parse(&text).map_err(|error| BuildError::List("acl_file", path.clone(), error.to_string()))
}

/// Reads a list that this key names.
pub(super) fn read_bounded(key: &str, path: &PathBuf) -> Result<String, BuildError> {
    let unreadable = |error| BuildError::SecretFile { key: key.to_owned(), path: path.clone(), error };
    let too_large = || std::io::Error::new(std::io::ErrorKind::FileTooLarge, "a list has at most 4 MiB");
    if std::fs::metadata(path).map_err(unreadable)?.len() > MAX_LIST_BYTES {
        return Err(unreadable(too_large()));
    }
    std::fs::read_to_string(path).map_err(unreadable)
}

fn rule_of(source: &SourceSection) -> &DeviceRule {
    match &source.carries {
        Carries::Readings(settings) => &settings.device,
        Carries::Frames(frames) => &frames.codec.device,
    }
}

/// Whose the topics of a source are.
fn owned(source: &SourceSection) -> OwnedTopics {
    let owner = match rule_of(source) {
        DeviceRule::TopicLevel(level) => Owner::Level(*level),
        // An edge node speaks for its devices.
        DeviceRule::Sparkplug(_) => Owner::Level(SPARKPLUG_NODE),
        DeviceRule::Fixed(device) => Owner::Named(device.to_string()),
        DeviceRule::Pointer(_) | DeviceRule::Tag(_) | DeviceRule::SenmlName | DeviceRule::Composed(_) => {
            Owner::Elsewhere
        }
    };
    OwnedTopics { filter: source.filter.clone(), owner }
}

pub(super) fn check_rules(check: &mut Check<'_>, raw: &RawListener, has_tls: bool) -> Option<BrokerRules> {
    let list = raw.acl_file.as_ref().map(|file| check.path(file));
    let access = match (raw.access, list) {
        (Some(_), Some(_)) => {
            let expected = "either access or acl_file: the file says all of it";
            check
                .faults
                .push(Fault::missing("local.access".to_owned(), expected).remedy("remove access".to_owned()));
            return None;
        }
        (None, Some(list)) => BrokerAccess::List(list),
        (Some(RawAccess::Open), None) => BrokerAccess::Open,
        (Some(RawAccess::Own), None) => BrokerAccess::Own,
        (None, None) if has_tls => BrokerAccess::Own,
        // Without certificates nobody can prove a name, and only programs on this machine connect.
        (None, None) => BrokerAccess::Open,
    };
    let rate = SendRate {
        messages: u32::try_from(raw.rate).unwrap_or(u32::MAX),
        bytes: u32::try_from(raw.rate_bytes.to_usize()).unwrap_or(u32::MAX),
    };
    Some(BrokerRules { access, retained: raw.retained, rate, topics: raw.max_topics })
}

/// Sources whose topics the embedded broker does not take: rumqttd cuts off their first byte, and ends where that is no
/// character.
pub(super) fn refuse_unroutable(check: &mut Check<'_>, local: &Local, sources: &[SourceSection]) {
    if !matches!(local, Local::Embedded(_)) {
        return;
    }
    for source in sources.iter().filter(|source| !source.filter.starts_with(|first: char| first.is_ascii())) {
        let expected = "a topic that begins with a character of ASCII, as the embedded broker takes no other";
        let remedy = "put a level such as \"plant\" in front, or use a broker of your own (local.url)";
        check.faults.push(
            Fault::at_text(format!("source.{}.topic", source.name), &source.filter, expected).remedy(remedy),
        );
    }
}

/// Sources that no device may publish to.
pub(super) fn warn_of_unreachable(check: &mut Check<'_>, local: &Local, sources: &[SourceSection]) {
    let Local::Embedded(broker) = local else { return };
    if !matches!(broker.rules.access, BrokerAccess::Own) {
        return;
    }
    for source in sources.iter().filter(|source| owned(source).owner == Owner::Elsewhere) {
        // Somebody may write a name where the filter is open.
        if source.filter.split('/').any(|level| matches!(level, "+" | "#")) {
            continue;
        }
        check.warnings.push(Warning {
            key: format!("source.{}.topic", source.name),
            remark: format!(
                "no device may publish to {}: no level of it can name a device, and a device publishes below its own name \
                 alone. Put the device's name into the topic, list who may in local.acl_file, or write access = \"open\" below \
                 [local] to allow every device everything, as up to version 0.2",
                source.filter
            ),
        });
    }
}
