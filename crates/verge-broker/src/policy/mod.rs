//! Who may publish and read what at the embedded broker: decided without a socket.
//!
//! A [`Policy`] is made of settings, a [`PolicyClient`] of what a connection proves of itself. [`Policy::may`] is asked for
//! every topic and filter before the broker sees it. What it does not know it refuses.

mod acl;
#[cfg(test)]
mod fuzz;
mod refusal;

use verge_domain::filter::{self, CANARY_TOPIC, FilterError};

pub use acl::{AccessList, AccessListError};
pub use refusal::Refusal;

/// The level below which a device reads.
pub(crate) const COMMANDS: &str = "cmd";

/// Who may do what, and how much of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policy {
    /// Who may do what.
    pub access: Access,
    /// Whether clients may leave retained messages.
    pub retained: bool,
    /// How much.
    pub limits: ClientLimits,
    /// Filters of the topics that carry frames, whose packets may be larger.
    pub frames: Vec<String>,
}

/// Who may do what.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Access {
    /// Every client may publish and read everything but the broker's own topics.
    Open,
    /// A client may publish below its own name, and read its own `cmd`.
    Own(Vec<OwnedTopics>),
    /// What a list says.
    List(AccessList),
}

/// Topics that belong to one device each, as sources say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OwnedTopics {
    /// The topics.
    pub filter: String,
    /// Whose each of them is.
    pub owner: Owner,
}

/// Where the name of a topic's device stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Owner {
    /// At this level of the topic, counted from 0.
    Level(usize),
    /// All are of this device.
    Named(String),
    /// Not in the topic; where a level of the filter is open, a device may put its name there.
    Elsewhere,
}

/// How much a client may do. Bytes are those of a packet without its fixed header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClientLimits {
    /// Largest packet on topics that carry frames.
    pub frame_bytes: usize,
    /// Largest packet of all others.
    pub packet_bytes: usize,
    /// Longest topic and filter.
    pub topic_bytes: usize,
    /// How fast one device may send; `None` for as fast as it can.
    pub rate: Option<SendRate>,
    /// Topics that one device may publish to.
    pub topics: usize,
    /// Filters that one device may subscribe to.
    pub filters: usize,
}

/// How fast a device may send, on average over a second or two. What comes faster is left unread.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SendRate {
    /// Packets in a second.
    pub messages: u32,
    /// Bytes in a second.
    pub bytes: u32,
}

impl ClientLimits {
    /// What no client of a plant reaches.
    pub const DEFAULT: Self = Self {
        frame_bytes: 268_435_455,
        packet_bytes: 268_435_455,
        topic_bytes: 1024,
        rate: None,
        topics: 1000,
        filters: 64,
    };
}

/// A client, as its connection proves it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PolicyClient {
    name: String,
    publish: Vec<String>,
    read: Vec<String>,
    denied: (Vec<String>, Vec<String>),
}

/// What a client wants to do with a topic.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// Publish to it.
    Publish {
        /// A message that the broker is to keep.
        retained: bool,
    },
    /// Subscribe to it: then it is a filter.
    Subscribe,
}

impl Policy {
    /// Everybody may do everything that does the broker no harm.
    #[must_use]
    pub const fn open() -> Self {
        Self { access: Access::Open, retained: true, limits: ClientLimits::DEFAULT, frames: Vec::new() }
    }

    /// What there is to know of a client. `name`: its own, which its certificate proves; `proved` says so.
    #[must_use]
    pub fn client(&self, name: &str, client_id: &str, proved: bool) -> PolicyClient {
        let mut client = PolicyClient {
            name: name.to_owned(),
            publish: Vec::new(),
            read: Vec::new(),
            denied: Default::default(),
        };
        match &self.access {
            Access::Open => {}
            Access::Own(owned) => {
                let mut prefixes: Vec<String> = Vec::new();
                for OwnedTopics { filter, owner } in owned {
                    match owner {
                        Owner::Level(level) => prefixes.extend(prefix_of(filter, *level, name)),
                        Owner::Elsewhere => {
                            let open = filter
                                .split('/')
                                .enumerate()
                                .filter(|(_, level)| matches!(*level, "+" | "#"));
                            prefixes.extend(open.filter_map(|(level, _)| prefix_of(filter, level, name)));
                        }
                        Owner::Named(owner) if owner == name => client.publish.push(filter.clone()),
                        Owner::Named(_) => {}
                    }
                }
                // Where no source says where names stand: one level below the first.
                if prefixes.is_empty() {
                    prefixes.push(format!("+/{name}"));
                }
                // One of this name would write the commands of all others there.
                if name == COMMANDS {
                    prefixes.retain(|prefix| !prefix.contains('+'));
                }
                client.read.extend(prefixes.iter().filter_map(|prefix| sparkplug_reads(prefix)).flatten());
                prefixes.push(name.to_owned());
                prefixes.sort_unstable();
                prefixes.dedup();
                client.publish.extend(prefixes.iter().map(|prefix| format!("{prefix}/#")));
                client.read.extend(prefixes.iter().map(|prefix| format!("{prefix}/{COMMANDS}/#")));
            }
            Access::List(list) => {
                let user = proved.then_some(name);
                (client.publish, client.read, client.denied) = list.of(user, client_id);
            }
        }
        client
    }

    /// Whether a client may do that.
    ///
    /// # Errors
    /// Why not.
    pub fn may(&self, client: &PolicyClient, action: Action, topic: &str) -> Result<(), Refusal> {
        self.check_text(action, topic)?;
        match action {
            Action::Publish { retained } => {
                if retained && !self.retained {
                    return Err(Refusal::Retained);
                }
                if self.may_publish(client, topic) { Ok(()) } else { Err(Refusal::PublishNotAllowed) }
            }
            Action::Subscribe => {
                let allowed = match self.access {
                    Access::Open => true,
                    Access::Own(_) | Access::List(_) => {
                        let covered = client.read.iter().any(|read| filter::covers(read, topic));
                        covered && !client.denied.1.iter().any(|denied| filter::overlaps(denied, topic))
                    }
                };
                if allowed { Ok(()) } else { Err(Refusal::SubscribeNotAllowed) }
            }
        }
    }

    /// Largest packet to a topic.
    #[must_use]
    pub fn most_bytes(&self, topic: &str) -> usize {
        let is_frame = self.frames.iter().any(|frames| filter::matches(frames, topic));
        if is_frame { self.limits.frame_bytes } else { self.limits.packet_bytes }
    }

    /// Largest packet to any topic.
    #[must_use]
    pub fn most_bytes_of_all(&self) -> usize {
        self.limits.frame_bytes.max(self.limits.packet_bytes)
    }

    fn check_text(&self, action: Action, topic: &str) -> Result<(), Refusal> {
        if topic.len() > self.limits.topic_bytes {
            return Err(Refusal::BadTopic);
        }
        let checked = match action {
            Action::Publish { .. } => filter::validate_topic(topic),
            Action::Subscribe => filter::validate(topic),
        };
        match checked {
            Ok(()) => {}
            Err(FilterError::Shared) => return Err(Refusal::SharedSubscription),
            Err(_) => return Err(Refusal::BadTopic),
        }
        // rumqttd's router cuts off a topic's first byte to look at it, and panics where that is no character.
        if !topic.starts_with(|first: char| first.is_ascii()) {
            return Err(Refusal::BadTopic);
        }
        let reserved = topic.starts_with('$') || topic == CANARY_TOPIC;
        if reserved { Err(Refusal::ReservedTopic) } else { Ok(()) }
    }

    fn may_publish(&self, client: &PolicyClient, topic: &str) -> bool {
        let allowed = || client.publish.iter().any(|own| filter::matches(own, topic));
        match &self.access {
            Access::Open => true,
            // What a source holds to be another device's is never this one's, whatever stands at another level.
            Access::Own(owned) => allowed() && is_of(owned, &client.name, topic),
            Access::List(_) => {
                allowed() && !client.denied.0.iter().any(|denied| filter::matches(denied, topic))
            }
        }
    }
}

impl OwnedTopics {
    /// Whether a topic that is one of these is this client's.
    fn is_of(&self, name: &str, topic: &str) -> bool {
        match &self.owner {
            Owner::Level(level) => topic.split('/').nth(*level) == Some(name),
            Owner::Named(owner) => owner == name,
            Owner::Elsewhere => true,
        }
    }

    /// Whether a topic is below some device's name as these are, behind levels that are written out.
    fn is_near(&self, topic: &str) -> bool {
        let Owner::Level(level) = self.owner else { return false };
        let (mut levels, mut wanted) = (topic.split('/'), self.filter.split('/'));
        let is_same = (0..level).all(|_| {
            let wanted = wanted.next();
            wanted.is_some_and(|wanted| !matches!(wanted, "+" | "#")) && wanted == levels.next()
        });
        level > 0 && is_same && levels.next().is_some()
    }
}

/// Whether no source holds a topic to be another device's: neither the topic itself nor what it lies below.
fn is_of(owned: &[OwnedTopics], name: &str, topic: &str) -> bool {
    let mut taking = owned.iter().filter(|owned| filter::matches(&owned.filter, topic)).peekable();
    if taking.peek().is_some() {
        return taking.all(|owned| owned.is_of(name, topic));
    }
    let mut near = owned.iter().filter(|owned| owned.is_near(topic)).peekable();
    near.peek().is_none() || near.any(|owned| owned.is_of(name, topic))
}

impl PolicyClient {
    /// Its own name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }
}

/// The first levels of a filter, with the name in place of this one; `None` where the filter has no such level.
fn prefix_of(filter: &str, level: usize, name: &str) -> Option<String> {
    let mut levels: Vec<&str> = filter.split('/').take(level + 1).collect();
    // "site/#" has all levels.
    if levels.last() == Some(&"#") {
        levels.pop();
        levels.resize(level.max(levels.len()), "+");
        levels.push(name);
    } else if levels.len() == level + 1 {
        levels[level] = name;
    } else {
        return None;
    }
    Some(levels.join("/"))
}

/// What an edge node of Sparkplug B reads, whose name stands at the end of this prefix: commands to it and its devices, and
/// the states of hosts.
fn sparkplug_reads(prefix: &str) -> Option<[String; 3]> {
    let mut levels = prefix.split('/');
    let (space, group, _, node) = (levels.next()?, levels.next()?, levels.next()?, levels.next()?);
    (space == "spBv1.0" && levels.next().is_none()).then(|| {
        [
            format!("{space}/{group}/NCMD/{node}/#"),
            format!("{space}/{group}/DCMD/{node}/#"),
            format!("{space}/STATE/+"),
        ]
    })
}

#[cfg(test)]
mod tests;
