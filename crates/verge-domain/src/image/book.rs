//! All points of the board, in an image that grows and shrinks with it: for outputs that show every point, under its name.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use super::{AlarmState, HeldBack, Image, ImagePoint, InputAge, PointContent, PointQuality, PointSelector};
use crate::board::{LastWord, PointKind, RaisedBefore};
use crate::id::{DeviceId, JudgeId, SignalId};

/// A device that has sent nothing for this long, and has no open event, is forgotten with its points.
pub const FORGET_AFTER: Duration = Duration::from_secs(24 * 3600);

/// The key of a point, as verdicts have it.
pub type PointKey = (JudgeId, DeviceId, Option<SignalId>, PointKind);

/// What is known of points beside the words.
pub trait PointsView {
    /// How long ago a device was received.
    fn age(&self, device: &DeviceId) -> InputAge;

    /// What holds back the alarm of a point.
    fn held_back(&self, point: &PointSelector) -> HeldBack;
}

/// How far a point may be trusted, and its alarm.
pub type PointStanding = (PointQuality, AlarmState);

#[derive(Debug, Default)]
struct Shown {
    standing: Option<PointStanding>,
    /// It stands among those that are due.
    is_due: bool,
}

/// The points, and which of them say something else than they did.
#[derive(Debug)]
pub struct PointBook {
    stale_after: Duration,
    /// The judges at work, and what their points are read for.
    judges: HashMap<JudgeId, PointContent>,
    image: Image,
    by_key: HashMap<PointKey, usize>,
    /// Points that the configuration names: they stay, whatever their devices send.
    configured: HashSet<PointKey>,
    /// In the order of the image.
    shown: Vec<Shown>,
    due: Vec<usize>,
}

impl PointBook {
    /// A book without points.
    #[must_use]
    pub fn new(stale_after: Duration, judges: HashMap<JudgeId, PointContent>) -> Self {
        Self {
            stale_after,
            judges,
            image: Image::default(),
            by_key: HashMap::new(),
            configured: HashSet::new(),
            shown: Vec::new(),
            due: Vec::new(),
        }
    }

    /// The same book, in which these points stay while their judges are at work.
    #[must_use]
    pub fn with_configured(mut self, keys: impl IntoIterator<Item = PointKey>) -> Self {
        self.configured = keys.into_iter().collect();
        self
    }

    /// The points of judges at work that raised anything before the start.
    #[must_use]
    pub fn known_before(&self, before: &[RaisedBefore]) -> Vec<PointKey> {
        let known = before.iter().filter(|one| self.judges.contains_key(&one.judge));
        let keys = known.map(|RaisedBefore { judge, subject, strand, .. }| {
            (judge.clone(), subject.device.clone(), subject.signal.clone(), PointKind::Events(*strand))
        });
        // One device name through two sources is one point.
        let mut seen = HashSet::new();
        keys.filter(|key| seen.insert(key.clone())).collect()
    }

    /// The same book where events were raised before.
    #[must_use]
    pub fn counting_from(mut self, before: &[RaisedBefore]) -> Self {
        self.image = self.image.counting_from(before);
        self
    }

    /// What the points of a judge at work are read for.
    #[must_use]
    pub fn content_of(&self, judge: &JudgeId) -> Option<PointContent> {
        self.judges.get(judge).copied()
    }

    /// What the points say.
    #[must_use]
    pub const fn image(&self) -> &Image {
        &self.image
    }

    /// The place of a point in the image.
    #[must_use]
    pub fn index_of(&self, key: &PointKey) -> Option<usize> {
        self.by_key.get(key).copied()
    }

    /// Points that words are about and that are not there yet, each once.
    #[must_use]
    pub fn missing(&self, words: &[Arc<LastWord>]) -> Vec<PointKey> {
        let mut seen = HashSet::new();
        let keys = words.iter().map(|word| key_of(word)).filter(|key| !self.by_key.contains_key(key));
        keys.filter(|key| seen.insert(key.clone())).collect()
    }

    /// Adds points at the end; those that are there are left out.
    pub fn add(&mut self, keys: Vec<PointKey>) {
        let mut selectors = Vec::new();
        for key in keys {
            if self.by_key.contains_key(&key) {
                continue;
            }
            selectors.push(selector_of(&key));
            self.by_key.insert(key, self.shown.len());
            self.due.push(self.shown.len());
            self.shown.push(Shown { standing: None, is_due: true });
        }
        if !selectors.is_empty() {
            self.image.add(selectors);
        }
    }

    /// Takes up what was committed. Returns the place of the point of each word, where it has one.
    pub fn fold(&mut self, words: &[Arc<LastWord>]) -> Vec<Option<usize>> {
        let mut places = Vec::with_capacity(words.len());
        for word in words {
            self.image.fold(word);
            let place = self.index_of(&key_of(word));
            if let Some(index) = place {
                self.note_due(index);
            }
            places.push(place);
        }
        places
    }

    fn note_due(&mut self, index: usize) {
        if let Some(shown) = self.shown.get_mut(index)
            && !std::mem::replace(&mut shown.is_due, true)
        {
            self.due.push(index);
        }
    }

    /// Nothing is said of any point any more: what follows is a whole copy of the board.
    pub fn empty(&mut self) {
        self.image.begin_anew(&[]);
        self.all_due();
    }

    fn all_due(&mut self) {
        self.shown.iter_mut().for_each(|shown| shown.is_due = true);
        self.due = (0..self.shown.len()).collect();
    }

    /// Other judges are at work: points of judges that are no more go, and those whose words the board has dropped, unless the
    /// configuration names them. Returns the former places of those that stay, if any goes.
    pub fn select(
        &mut self,
        judges: HashMap<JudgeId, PointContent>,
        words: &[Arc<LastWord>],
    ) -> Option<Vec<usize>> {
        let on_board: HashSet<PointKey> = words.iter().map(|word| key_of(word)).collect();
        let had_word = |point: &ImagePoint| point.newest().is_some();
        let stays: HashSet<usize> = self
            .by_key
            .iter()
            .filter(|(key, index)| {
                let was_there = self.image.points().get(**index).is_some_and(had_word);
                let is_configured = self.configured.contains(*key);
                on_board.contains(*key) || judges.contains_key(&key.0) && (!was_there || is_configured)
            })
            .map(|(_, index)| *index)
            .collect();
        self.judges = judges;
        self.keep(&stays)
    }

    /// A second has passed: quality changes by itself, and points of devices that are away go. Returns the former places of
    /// those that stay, if any goes.
    pub fn second(&mut self, view: &(impl PointsView + ?Sized)) -> Option<Vec<usize>> {
        let (mut stays, mut changed) = (HashSet::new(), Vec::new());
        let mut ages: HashMap<&DeviceId, InputAge> = HashMap::new();
        let selectors = Arc::clone(self.image.selectors());
        let configured: HashSet<usize> =
            self.configured.iter().filter_map(|key| self.index_of(key)).collect();
        for (index, (shown, selector)) in self.shown.iter().zip(selectors.iter()).enumerate() {
            let age = *ages.entry(&selector.device).or_insert_with(|| view.age(&selector.device));
            if shown.standing != Some(self.standing_at(index, age, view.held_back(selector))) {
                changed.push(index);
            }
            let is_open = self.image.points().get(index).is_some_and(|point| point.open().is_some());
            // An open event of a judge that is no more is cleared first, which is a word of its own.
            let is_here = age.lasts < FORGET_AFTER || configured.contains(&index);
            if is_open || (is_here && self.judges.contains_key(&selector.judge)) {
                stays.insert(index);
            }
        }
        changed.into_iter().for_each(|index| self.note_due(index));
        self.keep(&stays)
    }

    /// Drops all other points.
    fn keep(&mut self, stays: &HashSet<usize>) -> Option<Vec<usize>> {
        if stays.len() == self.shown.len() {
            return None;
        }
        let keys: HashMap<usize, PointKey> = self.by_key.drain().map(|(key, index)| (index, key)).collect();
        let image = std::mem::take(&mut self.image);
        let (mut kept, mut before, mut selectors) = (Vec::new(), Vec::new(), Vec::new());
        for (index, shown) in std::mem::take(&mut self.shown).into_iter().enumerate() {
            let Some(key) = keys.get(&index).filter(|_| stays.contains(&index)) else { continue };
            before.push(image.raised(index));
            selectors.push(selector_of(key));
            self.by_key.insert(key.clone(), kept.len());
            self.shown.push(shown);
            kept.push(index);
        }
        let mut words = Vec::new();
        for point in image.points() {
            words.extend([&point.event, &point.counts, &point.view].into_iter().flatten().cloned());
        }
        self.image = Image::of(selectors).with_raised_before(before);
        words.iter().for_each(|word| self.image.fold(word));
        self.all_due();
        Some(kept)
    }

    /// The points that may say something else than they did.
    pub fn take_due(&mut self) -> Vec<usize> {
        let due = std::mem::take(&mut self.due);
        for index in &due {
            if let Some(shown) = self.shown.get_mut(*index) {
                shown.is_due = false;
            }
        }
        due
    }

    /// How a point stands now.
    #[must_use]
    pub fn standing(&self, index: usize, view: &(impl PointsView + ?Sized)) -> Option<PointStanding> {
        let selector = self.image.selectors().get(index)?;
        Some(self.standing_at(index, view.age(&selector.device), view.held_back(selector)))
    }

    fn standing_at(&self, index: usize, age: InputAge, held_back: HeldBack) -> PointStanding {
        (self.image.quality(index, age, self.stale_after), self.image.alarm(index, held_back))
    }

    /// Notes that a point is shown as it stands. Returns how it was shown before.
    pub fn show(&mut self, index: usize, standing: PointStanding) -> Option<PointStanding> {
        self.shown.get_mut(index)?.standing.replace(standing)
    }
}

/// The key of the point that a word is about.
#[must_use]
pub fn key_of(word: &LastWord) -> PointKey {
    let (judge, subject, kind) = word.point();
    (judge.clone(), subject.device.clone(), subject.signal.clone(), kind)
}

/// What a point shows, by its key.
#[must_use]
pub fn selector_of((judge, device, signal, kind): &PointKey) -> PointSelector {
    let (strand, content) = match kind {
        PointKind::Events(member) => (Some(*member), PointContent::Events),
        PointKind::Counts => (None, PointContent::Counts),
        PointKind::View => (None, PointContent::Views),
    };
    PointSelector { judge: judge.clone(), device: device.clone(), signal: signal.clone(), strand, content }
}
