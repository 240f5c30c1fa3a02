//! The process image: what a gateway says now about the points that a control system reads.
//!
//! A typed view of the [board](crate::board) for readers that poll, one place per configured point: the newest word about its
//! events, counts and views, its alarm, and how far all that may be trusted. There is one meaning of quality for all outputs.
//! Pure: words and times come in as arguments.

mod book;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use crate::alarms::is_alarm;
use crate::board::{LastWord, PointKind, RaisedBefore};
use crate::finding::Member;
use crate::id::{DeviceId, JudgeId, SignalId};
use crate::time::DeviceClock;
use crate::verdict::{Body, Event, Severity, Subject};

pub use book::{FORGET_AFTER, PointBook, PointKey, PointStanding, PointsView, key_of, selector_of};

crate::words! {
    /// How far a point may be trusted.
    pub enum PointQuality {
        /// Nothing is known: no verdict, and its device has sent nothing since the start.
        Never = "never",
        /// Its device sends.
        Good = "good",
        /// Taken over from before a restart, of a partial interval, or by a device's clock that is wrong.
        Uncertain = "uncertain",
        /// Its device has sent nothing for too long, or its sensor is unwell.
        Stale = "stale",
    }

    /// The state of the alarm of a point, after ISA-18.2.
    pub enum AlarmState {
        /// No event is open that requires a response.
        Normal = "normal",
        /// An alarm is open and waits for an operator.
        Unacknowledged = "unacknowledged",
        /// An operator takes care of the open alarm.
        Acknowledged = "acknowledged",
        /// An operator has taken it off the list for a limited time.
        Shelved = "shelved",
        /// Maintenance holds back what would be raised.
        Suppressed = "suppressed",
    }
}

/// What a point is read for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PointContent {
    /// Events: without any, all is well.
    Events,
    /// What is counted: nothing is known before the first interval.
    Counts,
    /// What a camera shows: nothing is known before the first view.
    Views,
}

/// How long ago the device of a point was received.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct InputAge {
    /// Whether it was at all since the start.
    pub received: bool,
    /// Since then; since the start where it was not.
    pub lasts: Duration,
}

/// What a point shows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PointSelector {
    /// The judge.
    pub judge: JudgeId,
    /// The device.
    pub device: DeviceId,
    /// The signal, or of counts before a camera the line or zone; `None`: the device as a whole.
    pub signal: Option<SignalId>,
    /// Which events, where the judge has several strands; `None`: all of them.
    pub strand: Option<Member>,
    /// What of the judge.
    pub content: PointContent,
}

impl PointSelector {
    fn takes(&self, (judge, subject, kind): (&JudgeId, &Subject, PointKind)) -> bool {
        let content = match kind {
            PointKind::Events(member) => {
                self.content == PointContent::Events && self.strand.is_none_or(|strand| strand == member)
            }
            PointKind::Counts => self.content == PointContent::Counts,
            PointKind::View => self.content == PointContent::Views,
        };
        // Lines and zones stand in one verdict about their camera.
        let is_about = subject.signal == self.signal || kind == PointKind::Counts && subject.signal.is_none();
        content && *judge == self.judge && subject.device == self.device && is_about
    }
}

/// What is said of a point now.
#[derive(Debug, Clone, Default)]
pub struct ImagePoint {
    /// The newest word about its events.
    pub event: Option<Arc<LastWord>>,
    /// About the newest counted interval.
    pub counts: Option<Arc<LastWord>>,
    /// About the newest view.
    pub view: Option<Arc<LastWord>>,
}

impl ImagePoint {
    /// Its open event.
    #[must_use]
    pub fn open(&self) -> Option<&Event> {
        self.event.as_deref().and_then(LastWord::open_event)
    }

    /// How severe its open event is.
    #[must_use]
    pub fn severity(&self) -> Option<Severity> {
        self.open()?;
        self.event.as_ref().map(|word| word.verdict.severity)
    }

    /// The newest of its words.
    #[must_use]
    pub fn newest(&self) -> Option<&LastWord> {
        let words = [&self.event, &self.counts, &self.view].into_iter().flatten();
        words.max_by_key(|word| word.verdict.times.decided).map(AsRef::as_ref)
    }
}

/// What holds an alarm off the list beside the events: windows of maintenance, and shelved alarms of which no event is open.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct HeldBack {
    /// By maintenance.
    pub maintenance: bool,
    /// By an operator who shelved it.
    pub shelved: bool,
}

/// How the gateway is, as servers show it: as of a second ago at most.
#[derive(Debug, Clone, Default)]
pub struct GatewayState {
    /// Counters that all grow while judging and committing make progress.
    pub progress: Vec<u64>,
    /// The store takes nothing.
    pub store_full: bool,
    /// The store has failed.
    pub storage_fault: bool,
    /// A route upstream has no connection.
    pub uplink_down: bool,
    /// Verdicts that are stored and not delivered.
    pub backlog: u64,
    /// Alarms that are open.
    pub standing: u64,
    /// Of these, those that wait for an operator.
    pub unacknowledged: u64,
    /// A critical event is open.
    pub critical: bool,
    /// A window of maintenance is open.
    pub maintenance: bool,
    /// What holds back the alarm of each point, in their order.
    pub held_back: Vec<HeldBack>,
}

/// What is unwell about a device: an open event of the health of one of its signals.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Unwell {
    judge: JudgeId,
    signal: Option<SignalId>,
    member: Member,
}

/// The image of some points.
#[derive(Debug, Default)]
pub struct Image {
    selectors: Arc<[PointSelector]>,
    points: Vec<ImagePoint>,
    /// Events that each point had raised when the gateway started.
    raised_before: Vec<u32>,
    devices: HashMap<DeviceId, (Vec<usize>, Vec<Unwell>)>,
}

impl Image {
    /// An empty image of these points.
    #[must_use]
    pub fn of(selectors: impl Into<Arc<[PointSelector]>>) -> Self {
        let selectors = selectors.into();
        let mut devices: HashMap<DeviceId, (Vec<usize>, Vec<Unwell>)> = HashMap::new();
        for (index, selector) in selectors.iter().enumerate() {
            devices.entry(selector.device.clone()).or_default().0.push(index);
        }
        let (points, raised_before) =
            (vec![ImagePoint::default(); selectors.len()], vec![0; selectors.len()]);
        Self { points, raised_before, selectors, devices }
    }

    /// The same where events were raised before.
    #[must_use]
    pub fn counting_from(mut self, before: &[RaisedBefore]) -> Self {
        for RaisedBefore { judge, subject, strand, count } in before {
            let Some((points, _)) = self.devices.get(&subject.device) else { continue };
            for &index in points {
                let takes =
                    |selector: &PointSelector| selector.takes((judge, subject, PointKind::Events(*strand)));
                if self.selectors.get(index).is_some_and(takes)
                    && let Some(raised) = self.raised_before.get_mut(index)
                {
                    *raised = *count;
                }
            }
        }
        self
    }

    /// The same with these numbers of events before, in the order of the points.
    #[must_use]
    pub fn with_raised_before(mut self, before: Vec<u32>) -> Self {
        self.raised_before = before;
        self.raised_before.resize(self.points.len(), 0);
        self
    }

    /// Adds points at the end. What is said of them comes with the next words, or by [`Image::begin_anew`].
    pub fn add(&mut self, selectors: impl IntoIterator<Item = PointSelector>) {
        let known = self.selectors.len();
        let all: Vec<PointSelector> = self.selectors.iter().cloned().chain(selectors).collect();
        for (index, selector) in all.iter().enumerate().skip(known) {
            self.devices.entry(selector.device.clone()).or_default().0.push(index);
        }
        self.points.resize(all.len(), ImagePoint::default());
        self.raised_before.resize(all.len(), 0);
        self.selectors = all.into();
    }

    /// How many events a point has raised in the life of the store.
    #[must_use]
    pub fn raised(&self, index: usize) -> u32 {
        let since =
            self.points.get(index).and_then(|point| point.event.as_ref()).map(|word| word.course.total);
        since.unwrap_or_else(|| self.raised_before.get(index).copied().unwrap_or(0))
    }

    /// What the points show.
    #[must_use]
    pub const fn selectors(&self) -> &Arc<[PointSelector]> {
        &self.selectors
    }

    /// The points.
    #[must_use]
    pub fn points(&self) -> &[ImagePoint] {
        &self.points
    }

    /// Whether a word is about one of its devices.
    #[must_use]
    pub fn is_about(&self, word: &LastWord) -> bool {
        self.devices.contains_key(&word.verdict.subject.device)
    }

    /// Takes up a word that is newer than those before it.
    pub fn fold(&mut self, word: &Arc<LastWord>) {
        let (judge, subject, kind) = word.point();
        let Some((points, unwell)) = self.devices.get_mut(&subject.device) else { return };
        if let PointKind::Events(member) = kind
            && member.is_health()
        {
            let one = Unwell { judge: judge.clone(), signal: subject.signal.clone(), member };
            unwell.retain(|known| *known != one);
            if word.open_event().is_some() {
                unwell.push(one);
            }
        }
        for &index in &*points {
            if !self.selectors.get(index).is_some_and(|selector| selector.takes(word.point())) {
                continue;
            }
            if let Some(point) = self.points.get_mut(index) {
                let place = match kind {
                    PointKind::Events(_) => &mut point.event,
                    PointKind::Counts => &mut point.counts,
                    PointKind::View => &mut point.view,
                };
                *place = Some(Arc::clone(word));
            }
        }
    }

    /// Begins anew with a whole copy of the board, after words were missed.
    pub fn begin_anew(&mut self, words: &[Arc<LastWord>]) {
        let raised_before = std::mem::take(&mut self.raised_before);
        *self = Self { raised_before, ..Self::of(Arc::clone(&self.selectors)) };
        words.iter().for_each(|word| self.fold(word));
    }

    /// How far a point may be trusted.
    #[must_use]
    pub fn quality(&self, index: usize, age: InputAge, stale_after: Duration) -> PointQuality {
        let (Some(selector), Some(point)) = (self.selectors.get(index), self.points.get(index)) else {
            return PointQuality::Never;
        };
        let newest = point.newest();
        if newest.is_none() && !age.received {
            return PointQuality::Never;
        }
        // What is said about the silence of a device is itself good.
        let is_about_health = selector.strand.is_some_and(Member::is_health)
            || point.event.as_deref().is_some_and(|word| matches!(word.verdict.body, Body::Health(_)));
        let unwell = self.devices.get(&selector.device).map_or(&[][..], |(_, unwell)| unwell);
        let is_unwell = unwell.iter().any(|one| one.signal.is_none() || one.signal == selector.signal);
        if !is_about_health && (is_unwell || age.lasts > stale_after) {
            return PointQuality::Stale;
        }
        let is_awaited = match selector.content {
            PointContent::Events => {
                let is_reported = newest.is_some_and(|word| word.seq.is_some());
                !(age.received || is_about_health && is_reported)
            }
            PointContent::Counts => !age.received || point.counts.is_none(),
            // A view that is as it was before a restart is not reported again at once, and what stood there still does.
            PointContent::Views => !age.received || point.view.is_none(),
        };
        let is_partial = match point.counts.as_deref().map(|word| &word.verdict.body) {
            Some(Body::Counts(counts)) => counts.partial,
            Some(Body::Traffic(traffic)) => !traffic.partial.is_empty(),
            _ => false,
        };
        let is_skewed = newest.is_some_and(|word| word.verdict.times.clock == DeviceClock::Skewed);
        if is_awaited || is_partial || is_skewed { PointQuality::Uncertain } else { PointQuality::Good }
    }

    /// The state of the alarm of a point.
    #[must_use]
    pub fn alarm(&self, index: usize, held_back: HeldBack) -> AlarmState {
        let word = self.points.get(index).and_then(|point| point.event.as_deref());
        match word.filter(|word| is_alarm(&word.verdict)).and_then(LastWord::open_event) {
            Some(event) if event.handling.shelved.is_some() => AlarmState::Shelved,
            _ if held_back.shelved => AlarmState::Shelved,
            Some(event) if event.handling.acknowledged.is_some() => AlarmState::Acknowledged,
            Some(_) => AlarmState::Unacknowledged,
            None if held_back.maintenance => AlarmState::Suppressed,
            None => AlarmState::Normal,
        }
    }
}

/// Counts seconds in which all that a verdict passes through has made progress. It stops when judging or committing stalls,
/// although whoever shows it still answers.
#[derive(Debug, Clone, Default)]
pub struct Heartbeat {
    beats: u16,
    last: Vec<u64>,
}

impl Heartbeat {
    /// A second has passed. `progress`: counters of the stages, each of which must have grown. Returns whether it beats.
    pub fn second(&mut self, progress: &[u64]) -> bool {
        let grown = self.last.len() == progress.len()
            && self.last.iter().zip(progress).all(|(before, now)| now != before);
        self.last.clear();
        self.last.extend(progress);
        self.beats = self.beats.wrapping_add(u16::from(grown));
        grown
    }

    /// How often it has beaten.
    #[must_use]
    pub const fn beats(&self) -> u16 {
        self.beats
    }
}

#[cfg(test)]
mod tests;
