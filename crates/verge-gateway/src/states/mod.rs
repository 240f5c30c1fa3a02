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
use verge_domain::id::{DeviceId, GatewayId, JudgeId, SignalId};
use verge_domain::image::{AlarmState, HeldBack, Image, InputAge, PointContent, PointQuality, PointSelector};

use homeassistant::Discovery;
pub(crate) use homeassistant::is_ours;
pub use topics::StateTopics;
use words::{identity_of, point_message, sensors_of};

/// Points at most; the words of further ones are counted.
pub(crate) const MAX_POINTS: usize = verge_pipeline::board::MAX_POINTS;
/// A device that has sent nothing for this long, and has no open event, is forgotten with its points.
pub(crate) const FORGET_AFTER: Duration = Duration::from_secs(24 * 3600);
/// Home Assistant shows a point as unavailable when nothing came for this long.
pub(crate) const EXPIRE_AFTER: Duration = Duration::from_secs(900);
/// Each message is retained again at this interval, so that it does not expire.
pub(crate) const AGAIN_AFTER: Duration = Duration::from_secs(300);

/// The key of a point, as verdicts have it.
pub(crate) type PointKey = (JudgeId, DeviceId, Option<SignalId>, PointKind);

#[derive(Debug)]
struct StatePoint {
    topic: Arc<str>,
    shown: Option<(PointQuality, AlarmState)>,
    /// Its message is out of date, and it stands among those that are due.
    is_due: bool,
    /// Values of it that are sensors by themselves.
    sensors: Vec<String>,
}

/// What is known beside the words.
pub(crate) trait StateView {
    /// How long ago a device was received.
    fn age(&self, device: &DeviceId) -> InputAge;

    /// What holds back the alarm of a point.
    fn held_back(&self, point: &PointSelector) -> HeldBack;
}

/// The points, and what was said of them.
#[derive(Debug)]
pub(crate) struct StateBook {
    settings: StateTopics,
    gateway: GatewayId,
    /// The judges at work, and what their points are read for.
    judges: HashMap<JudgeId, PointContent>,
    image: Image,
    /// In the order of the image.
    points: Vec<StatePoint>,
    by_key: HashMap<PointKey, usize>,
    /// Points that the configuration names: they are there before the first verdict, and stay.
    configured: HashSet<PointKey>,
    due: Vec<usize>,
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
            settings,
            gateway,
            judges,
            image: Image::default(),
            points: Vec::new(),
            by_key: HashMap::new(),
            configured: HashSet::new(),
            due: Vec::new(),
            topics: HashSet::new(),
            discovery,
            devices_due: BTreeSet::new(),
            is_read: false,
            gone: Vec::new(),
            next_again: 0,
            left_out: 0,
        };
        let known = before.iter().filter(|one| book.judges.contains_key(&one.judge));
        let keys = known.map(|RaisedBefore { judge, subject, strand, .. }| {
            let (device, signal) = (subject.device.clone(), subject.signal.clone());
            (judge.clone(), device, signal, PointKind::Events(*strand))
        });
        book.add(keys.collect());
        book.image = std::mem::take(&mut book.image).counting_from(before);
        book
    }

    /// The same with points of which nothing may have been said yet.
    pub(crate) fn with_configured(mut self, keys: impl IntoIterator<Item = PointKey>) -> Self {
        self.configured = keys.into_iter().filter(|(judge, ..)| self.judges.contains_key(judge)).collect();
        let mut keys: Vec<PointKey> = self.configured.iter().cloned().collect();
        // One order at each start.
        keys.sort_unstable_by(|one, other| {
            let of = |key: &PointKey| {
                (key.1.to_string(), key.0.to_string(), key.2.as_ref().map(ToString::to_string))
            };
            of(one).cmp(&of(other))
        });
        self.add(keys);
        self
    }

    /// Points that are there; those for which there was no room.
    pub(crate) fn counts(&self) -> (u64, u64) {
        (self.points.len() as u64, self.left_out)
    }

    fn add(&mut self, keys: Vec<PointKey>) {
        let mut selectors = Vec::new();
        for key in keys {
            if self.by_key.contains_key(&key) {
                continue;
            }
            let selector = selector_of(&key);
            let topic: Arc<str> = self.settings.topic_of(&selector).into();
            // Two names can become one level.
            if self.points.len() >= MAX_POINTS || !self.topics.insert(Arc::clone(&topic)) {
                self.left_out += 1;
                continue;
            }
            self.devices_due.insert(selector.device.clone());
            self.by_key.insert(key, self.points.len());
            self.due.push(self.points.len());
            self.points.push(StatePoint { topic, shown: None, is_due: true, sensors: Vec::new() });
            selectors.push(selector);
        }
        if !selectors.is_empty() {
            self.image.add(selectors);
        }
    }

    /// Takes up what was committed.
    pub(crate) fn fold(&mut self, words: &[Arc<LastWord>]) {
        let is_new = |word: &&Arc<LastWord>| !self.by_key.contains_key(&key_of(word));
        let new: Vec<PointKey> = words.iter().filter(is_new).map(|word| key_of(word)).collect();
        if !new.is_empty() {
            self.add(new);
        }
        for word in words {
            self.image.fold(word);
            let Some(&index) = self.by_key.get(&key_of(word)) else { continue };
            let Some(point) = self.points.get_mut(index) else { continue };
            if !std::mem::replace(&mut point.is_due, true) {
                self.due.push(index);
            }
            let sensors = sensors_of(&word.verdict);
            if point.sensors != sensors {
                point.sensors = sensors;
                self.devices_due.insert(word.verdict.subject.device.clone());
            }
        }
    }

    /// Begins anew with a whole copy of the board.
    pub(crate) fn begin_anew(&mut self, words: &[Arc<LastWord>]) {
        self.image.begin_anew(&[]);
        self.points.iter_mut().for_each(|point| point.is_due = true);
        self.due = (0..self.points.len()).collect();
        self.fold(words);
    }

    /// Other judges are at work: points of judges that are no more go, and those whose words the board has dropped.
    pub(crate) fn select(&mut self, judges: HashMap<JudgeId, PointContent>, words: &[Arc<LastWord>]) {
        let on_board: HashSet<PointKey> = words.iter().map(|word| key_of(word)).collect();
        let had_word = |point: &verge_domain::image::ImagePoint| point.newest().is_some();
        let stays: HashSet<PointKey> = self
            .by_key
            .iter()
            .filter(|(key, index)| {
                let was_there = self.image.points().get(**index).is_some_and(had_word);
                on_board.contains(*key) || !was_there && judges.contains_key(&key.0)
            })
            .map(|(key, _)| key.clone())
            .collect();
        self.judges = judges;
        self.keep(&stays);
        self.begin_anew(words);
    }

    /// Drops all other points.
    fn keep(&mut self, stays: &HashSet<PointKey>) {
        if stays.len() == self.by_key.len() {
            return;
        }
        let by_index: HashMap<usize, PointKey> =
            self.by_key.drain().map(|(key, index)| (index, key)).collect();
        let image = std::mem::take(&mut self.image);
        let mut before = Vec::new();
        let mut selectors = Vec::new();
        for (index, point) in std::mem::take(&mut self.points).into_iter().enumerate() {
            let Some(key) = by_index.get(&index) else { continue };
            if !stays.contains(key) {
                self.topics.remove(&point.topic);
                self.gone.push(point.topic);
                self.devices_due.insert(key.1.clone());
                continue;
            }
            before.push(image.raised(index));
            selectors.push(selector_of(key));
            self.by_key.insert(key.clone(), self.points.len());
            self.points.push(StatePoint { is_due: true, ..point });
        }
        self.due = (0..self.points.len()).collect();
        let mut words = Vec::new();
        for point in image.points() {
            words.extend([&point.event, &point.counts, &point.view].into_iter().flatten().cloned());
        }
        self.image = Image::of(selectors).with_raised_before(before);
        words.iter().for_each(|word| self.image.fold(word));
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
                let content = self.judges.get(judge);
                matches!(
                    (content, kind),
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
    pub(crate) fn second(&mut self, view: &impl StateView) {
        let mut idle = HashSet::new();
        let mut ages: HashMap<&DeviceId, InputAge> = HashMap::new();
        let selectors = Arc::clone(self.image.selectors());
        for (index, (point, selector)) in self.points.iter_mut().zip(selectors.iter()).enumerate() {
            let age = *ages.entry(&selector.device).or_insert_with(|| view.age(&selector.device));
            let held_back = view.held_back(selector);
            let now = (
                self.image.quality(index, age, self.settings.stale_after),
                self.image.alarm(index, held_back),
            );
            if point.shown != Some(now) && !std::mem::replace(&mut point.is_due, true) {
                self.due.push(index);
            }
            let is_open = self.image.points().get(index).is_some_and(|point| point.open().is_some());
            // An open event of a judge that is no more is cleared first, which is a word of its own.
            if !is_open && (age.lasts >= FORGET_AFTER || !self.judges.contains_key(&selector.judge)) {
                let is_configured = self.configured.iter().any(|key| selector_of(key) == *selector);
                if !(is_configured && self.judges.contains_key(&selector.judge)) {
                    idle.insert(index);
                }
            }
        }
        if !idle.is_empty() {
            let stays = self.by_key.iter().filter(|(_, index)| !idle.contains(index));
            let stays: HashSet<PointKey> = stays.map(|(key, _)| key.clone()).collect();
            self.keep(&stays);
        }
    }

    /// The messages that are to be retained from now on; an empty one takes away what is there.
    pub(crate) fn messages(&mut self, view: &impl StateView) -> Vec<(Arc<str>, Bytes)> {
        let mut messages: Vec<(Arc<str>, Bytes)> =
            self.gone.drain(..).map(|topic| (topic, Bytes::new())).collect();
        let selectors = Arc::clone(self.image.selectors());
        for index in std::mem::take(&mut self.due) {
            let (Some(point), Some(selector)) = (self.points.get_mut(index), selectors.get(index)) else {
                continue;
            };
            point.is_due = false;
            let (age, held_back) = (view.age(&selector.device), view.held_back(selector));
            let quality = self.image.quality(index, age, self.settings.stale_after);
            let alarm = self.image.alarm(index, held_back);
            point.shown = Some((quality, alarm));
            let message = point_message(&self.gateway, selector, &self.image, index, (quality, alarm));
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
        let selectors = Arc::clone(self.image.selectors());
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

fn key_of(word: &LastWord) -> PointKey {
    let (judge, subject, kind) = word.point();
    (judge.clone(), subject.device.clone(), subject.signal.clone(), kind)
}

fn selector_of((judge, device, signal, kind): &PointKey) -> PointSelector {
    let (strand, content) = match kind {
        PointKind::Events(member) => (Some(*member), PointContent::Events),
        PointKind::Counts => (None, PointContent::Counts),
        PointKind::View => (None, PointContent::Views),
    };
    PointSelector { judge: judge.clone(), device: device.clone(), signal: signal.clone(), strand, content }
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
