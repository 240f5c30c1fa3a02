//! State topics: what is true now of each point, one retained message per point, and what Home Assistant needs to show them.
//!
//! Pure: words of the board, times and what a broker still holds come in; out come topics with their messages. What is said
//! is what the [image](verge_domain::image) says, and so only what is committed.
//!
//! Reading order: [`StateBook`]; `words`, the message of a point; `homeassistant`, its discovery.

mod homeassistant;
#[cfg(test)]
mod tests;
mod topics;
mod words;

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use serde_json::Value;
use verge_domain::board::{LastWord, PointKind, RaisedBefore};
use verge_domain::id::{DeviceId, GatewayId, JudgeId};
use verge_domain::image::{PointBook, PointContent, PointKey, PointSelector, PointsView, selector_of};

use homeassistant::Discovery;
pub(crate) use homeassistant::is_ours;
pub use topics::StateTopics;
use words::{identity_of, point_message, sensors_of};

/// Points at most; the words of further ones are counted.
pub(crate) const MAX_POINTS: usize = verge_pipeline::board::MAX_POINTS;
/// Home Assistant shows a point as unavailable when nothing came for this long.
pub(crate) const EXPIRE_AFTER: Duration = Duration::from_secs(900);
/// Each message is retained again at this interval, so that it does not expire.
pub(crate) const AGAIN_AFTER: Duration = Duration::from_secs(300);

/// What a topic is kept with.
#[derive(Debug)]
struct StatePoint {
    topic: Arc<str>,
    /// Values of it that are sensors by themselves.
    sensors: Vec<String>,
}

/// The points, and what was said of them.
#[derive(Debug)]
pub(crate) struct StateBook {
    settings: StateTopics,
    gateway: GatewayId,
    book: PointBook,
    /// In the order of the book.
    points: Vec<StatePoint>,
    topics: HashSet<Arc<str>>,
    discovery: Discovery,
    /// Devices whose discovery may be out of date.
    devices_due: BTreeSet<DeviceId>,
    /// What an earlier run left is known: an announcement before that would not take away its entities.
    is_read: bool,
    /// Topics of points that are no more.
    gone: Vec<Arc<str>>,
    /// Where repeating goes on.
    next_again: usize,
    left_out: u64,
}

impl StateBook {
    /// The points that raised anything before the start.
    pub(crate) fn new(
        settings: StateTopics,
        gateway: GatewayId,
        judges: HashMap<JudgeId, PointContent>,
        before: &[RaisedBefore],
    ) -> Self {
        let discovery = Discovery::new(&settings.root, &gateway);
        let mut book = Self {
            book: PointBook::new(settings.stale_after, judges),
            settings,
            gateway,
            points: Vec::new(),
            topics: HashSet::new(),
            discovery,
            devices_due: BTreeSet::new(),
            is_read: false,
            gone: Vec::new(),
            next_again: 0,
            left_out: 0,
        };
        book.add(book.book.known_before(before));
        Self { book: book.book.counting_from(before), ..book }
    }

    /// The same with points of which nothing may have been said yet; they stay while their judges are at work.
    pub(crate) fn with_configured(mut self, keys: impl IntoIterator<Item = PointKey>) -> Self {
        let keys = keys.into_iter().filter(|(judge, ..)| self.book.content_of(judge).is_some());
        let mut keys: Vec<PointKey> = keys.collect();
        // One order at each start.
        keys.sort_by_cached_key(|(judge, device, signal, _)| {
            (device.to_string(), judge.to_string(), signal.as_ref().map(ToString::to_string))
        });
        self.add(keys.clone());
        Self { book: self.book.with_configured(keys), ..self }
    }

    /// Points that are there; those for which there was no room.
    pub(crate) fn counts(&self) -> (u64, u64) {
        (self.points.len() as u64, self.left_out)
    }

    fn add(&mut self, keys: Vec<PointKey>) {
        let (mut added, mut seen) = (Vec::new(), HashSet::new());
        for key in keys {
            if self.book.index_of(&key).is_some() || !seen.insert(key.clone()) {
                continue;
            }
            let selector = selector_of(&key);
            let topic: Arc<str> = self.settings.topic_of(&selector).into();
            // Two names can become one level.
            if self.points.len() >= MAX_POINTS || !self.topics.insert(Arc::clone(&topic)) {
                self.left_out += 1;
                continue;
            }
            self.devices_due.insert(selector.device);
            self.points.push(StatePoint { topic, sensors: Vec::new() });
            added.push(key);
        }
        self.book.add(added);
    }

    /// Takes up what was committed.
    pub(crate) fn fold(&mut self, words: &[Arc<LastWord>]) {
        self.add(self.book.missing(words));
        for (word, index) in words.iter().zip(self.book.fold(words)) {
            let Some(point) = index.and_then(|index| self.points.get_mut(index)) else { continue };
            let sensors = sensors_of(&word.verdict);
            if point.sensors != sensors {
                point.sensors = sensors;
                self.devices_due.insert(word.verdict.subject.device.clone());
            }
        }
    }

    /// Begins anew with a whole copy of the board.
    pub(crate) fn begin_anew(&mut self, words: &[Arc<LastWord>]) {
        self.book.empty();
        self.fold(words);
    }

    /// Other judges are at work: points of judges that are no more go, and those whose words the board has dropped.
    pub(crate) fn select(&mut self, judges: HashMap<JudgeId, PointContent>, words: &[Arc<LastWord>]) {
        let before = Arc::clone(self.book.image().selectors());
        if let Some(kept) = self.book.select(judges, words) {
            self.keep(&kept, &before);
        }
        self.begin_anew(words);
    }

    /// Drops all other points.
    fn keep(&mut self, kept: &[usize], before: &[PointSelector]) {
        let mut kept = kept.iter().peekable();
        let mut points = Vec::new();
        for (index, (point, selector)) in std::mem::take(&mut self.points).into_iter().zip(before).enumerate()
        {
            if kept.next_if_eq(&&index).is_some() {
                points.push(point);
                continue;
            }
            self.topics.remove(&point.topic);
            self.gone.push(point.topic);
            self.devices_due.insert(selector.device.clone());
        }
        self.points = points;
    }

    /// What an earlier run left with the broker: counts and views of judges at work are points without a value, announcements
    /// are known, the rest is taken away.
    pub(crate) fn earlier(&mut self, found: Vec<(String, Bytes)>) {
        let mut points = Vec::new();
        for (topic, payload) in found {
            if let Some(device) = self.discovery.earlier(&topic, &payload) {
                match device {
                    Some(device) => self.devices_due.insert(device),
                    None => continue,
                };
                continue;
            }
            let key = identity_of(&payload).filter(|(judge, _, _, kind)| {
                matches!(
                    (self.book.content_of(judge), kind),
                    (Some(PointContent::Counts), PointKind::Counts)
                        | (Some(PointContent::Views), PointKind::View)
                )
            });
            match key.filter(|key| self.settings.topic_of(&selector_of(key)) == topic) {
                Some(key) => points.push(key),
                None => self.gone.push(topic.into()),
            }
        }
        self.add(points);
        self.is_read = true;
    }

    /// A second has passed: quality changes by itself.
    pub(crate) fn second(&mut self, view: &impl PointsView) {
        let before = Arc::clone(self.book.image().selectors());
        if let Some(kept) = self.book.second(view) {
            self.keep(&kept, &before);
        }
    }

    /// The messages that are to be retained from now on; an empty one takes away what is there.
    pub(crate) fn messages(&mut self, view: &impl PointsView) -> Vec<(Arc<str>, Bytes)> {
        let mut messages: Vec<(Arc<str>, Bytes)> =
            self.gone.drain(..).map(|topic| (topic, Bytes::new())).collect();
        let selectors = Arc::clone(self.book.image().selectors());
        for index in self.book.take_due() {
            let (Some(point), Some(selector)) = (self.points.get(index), selectors.get(index)) else {
                continue;
            };
            let Some(standing) = self.book.standing(index, view) else { continue };
            self.book.show(index, standing);
            let message = point_message(&self.gateway, selector, self.book.image(), index, standing);
            messages.push((Arc::clone(&point.topic), message));
        }
        if self.is_read {
            if self.settings.homeassistant {
                messages.extend(self.announcements());
            }
            self.devices_due.clear();
        }
        messages
    }

    fn announcements(&mut self) -> Vec<(Arc<str>, Bytes)> {
        let mut of_device: HashMap<&DeviceId, Vec<usize>> =
            self.devices_due.iter().map(|device| (device, Vec::new())).collect();
        if of_device.is_empty() {
            return Vec::new();
        }
        let selectors = Arc::clone(self.book.image().selectors());
        for (index, selector) in selectors.iter().enumerate() {
            if let Some(points) = of_device.get_mut(&selector.device) {
                points.push(index);
            }
        }
        let mut messages = Vec::new();
        for (device, points) in of_device {
            let points = points.iter().filter_map(|&index| {
                let point = self.points.get(index)?;
                Some((selectors.get(index)?, &*point.topic, point.sensors.as_slice()))
            });
            messages.extend(self.discovery.announce(device, points));
        }
        messages
    }

    /// Topics whose messages are to be retained again, once a second: each of them in time.
    pub(crate) fn again(&mut self) -> Vec<Arc<str>> {
        if !self.settings.homeassistant || self.points.is_empty() {
            return Vec::new();
        }
        let seconds = usize::try_from(AGAIN_AFTER.as_secs()).unwrap_or(usize::MAX);
        let count = self.points.len().div_ceil(seconds);
        let first = self.next_again % self.points.len();
        self.next_again = first + count;
        self.points.iter().cycle().skip(first).take(count).map(|point| Arc::clone(&point.topic)).collect()
    }
}

/// The word for what a point is read for.
const fn kind_word(content: PointContent) -> &'static str {
    match content {
        PointContent::Events => "events",
        PointContent::Counts => "counts",
        PointContent::Views => "view",
    }
}

/// A member of a JSON object as text.
fn text<'a>(value: &'a Value, key: &str) -> Option<&'a str> {
    value.get(key)?.as_str()
}
