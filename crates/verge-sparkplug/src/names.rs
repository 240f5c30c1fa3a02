//! Topics, and names that Sparkplug takes.

/// Letters that a name of a metric should not hold (and `/` separates its parts).
const AVOIDED: &str = ".,\\@#$%^&*()[]{}|!~:;'\"<>?+`=/";

/// A name as an element of a topic.
#[must_use]
pub fn element(name: &str) -> String {
    name.chars().map(|letter| if matches!(letter, '/' | '+' | '#') { '_' } else { letter }).collect()
}

/// A name as a part of the name of a metric.
#[must_use]
pub fn metric_part(name: &str) -> String {
    name.chars().map(|letter| if AVOIDED.contains(letter) { '_' } else { letter }).collect()
}

/// An edge node: its group and its own name, as they stand in topics.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeAddress {
    group: String,
    node: String,
}

impl NodeAddress {
    /// What cannot stand in a topic becomes `_`.
    #[must_use]
    pub fn new(group: &str, node: &str) -> Self {
        Self { group: element(group), node: element(node) }
    }

    /// The group.
    #[must_use]
    pub fn group(&self) -> &str {
        &self.group
    }

    /// The name of the node.
    #[must_use]
    pub fn node(&self) -> &str {
        &self.node
    }

    /// The topic of a message of the node itself, such as `NBIRTH`.
    #[must_use]
    pub fn topic(&self, kind: &str) -> String {
        format!("spBv1.0/{}/{kind}/{}", self.group, self.node)
    }

    /// The topic of a message about a device, such as `DDATA`.
    #[must_use]
    pub fn device_topic(&self, kind: &str, device: &str) -> String {
        format!("{}/{device}", self.topic(kind))
    }
}

/// The topics on which a primary host says whether it is there: the form of Sparkplug 3.0, and the one before it.
pub(crate) fn host_topics(host: &str) -> [String; 2] {
    [format!("spBv1.0/STATE/{host}"), format!("STATE/{host}")]
}
