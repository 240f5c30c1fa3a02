//! The topics of points.

use std::time::Duration;

use verge_domain::image::PointSelector;
use verge_sparkplug::element;

use super::homeassistant;

/// What state topics are made of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StateTopics {
    /// The levels in front of the device, and the topic on which it is retained whether the gateway is there.
    pub root: String,
    /// Whether devices are announced to Home Assistant.
    pub homeassistant: bool,
    /// A device that has sent nothing for this long makes its points stale.
    pub stale_after: Duration,
}

impl StateTopics {
    /// The filters that take all topics of it.
    #[must_use]
    pub fn filters(&self) -> Vec<String> {
        let states = format!("{}/#", self.root);
        let configs = self.homeassistant.then(|| homeassistant::FILTER.to_owned());
        std::iter::once(states).chain(configs).collect()
    }

    /// The topics that it writes, for people.
    #[must_use]
    pub fn written(&self) -> Vec<String> {
        let states = [self.root.clone(), format!("{}/#", self.root)];
        let configs = self.homeassistant.then(|| homeassistant::FILTER.to_owned());
        states.into_iter().chain(configs).collect()
    }

    /// The topic of a point.
    pub(crate) fn topic_of(&self, point: &PointSelector) -> String {
        let mut topic =
            format!("{}/{}/{}", self.root, level(point.device.as_str()), level(point.judge.as_str()));
        let signal = point.signal.as_ref().map(|signal| level(signal.as_str()));
        for part in signal.into_iter().chain(point.strand.map(|strand| strand.as_str().to_owned())) {
            topic.push('/');
            topic += &part;
        }
        topic
    }
}

/// A name as a level of a topic.
fn level(name: &str) -> String {
    let level = element(name);
    if level.is_empty() { "_".to_owned() } else { level }
}
