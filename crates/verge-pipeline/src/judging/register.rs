//! The numbers of events: short, so that a person can type one, dense, and never given twice in the life of a store. And
//! what the events of late are about, so that a number is enough to label one.
//!
//! The judges of both classes take them from one register. The committer saves the highest number in the commit of the event
//! that has it, so that numbers continue after a restart; what was numbered and not committed does not exist.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use verge_domain::id::{EventId, EventNumber, JudgeId};
use verge_domain::stage::{Checkpoint, Remark};
use verge_domain::time::UtcMillis;
use verge_domain::verdict::{Subject, Verdict};

use super::Selector;

/// The key under which the highest number is saved.
pub(super) const NUMBERS: &str = "numbers";

/// The key under which labels are saved.
pub(super) const LABELS: &str = "labels";

/// Events that are known by their numbers; of more, the oldest are forgotten.
pub const KNOWN_EVENTS: usize = 1024;

/// An event that can be labelled by its number.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KnownEvent {
    /// Its number.
    pub number: EventNumber,
    /// The judge that raised it.
    pub judge: JudgeId,
    /// What it is about.
    pub subject: Subject,
    /// Since when its condition holds.
    pub since: UtcMillis,
    /// What a person said about it last.
    pub label: Option<Remark>,
}

impl KnownEvent {
    /// The event of a verdict, if it has a number.
    #[must_use]
    pub fn of(verdict: &Verdict) -> Option<Self> {
        let event = verdict.event?;
        Some(Self {
            number: event.number?,
            judge: verdict.judge.clone(),
            subject: verdict.subject.clone(),
            since: event.since,
            label: None,
        })
    }

    /// Whether it is of an instance: of what that watches, or of a part of that.
    pub(super) fn is_of(&self, judge: &JudgeId, subject: &Subject) -> bool {
        let Subject { source, device, signal } = &self.subject;
        self.judge == *judge
            && (source, device) == (&subject.source, &subject.device)
            && (subject.signal.is_none() || *signal == subject.signal)
    }

    /// Selects the judge that raised it.
    #[must_use]
    pub fn selector(&self) -> Selector {
        Selector {
            device: self.subject.device.clone(),
            signal: self.subject.signal.clone(),
            judge: Some(self.judge.clone()),
            source: Some(self.subject.source.clone()),
        }
    }
}

/// Gives events their numbers; clones of its `Arc` share it.
#[derive(Debug, Default)]
pub struct EventRegister {
    /// The highest number that was given.
    highest: AtomicU64,
    /// The newest last.
    known: Mutex<VecDeque<KnownEvent>>,
    /// Labels that were saved, of events that may be noted again.
    saved: BTreeMap<EventNumber, Remark>,
}

impl EventRegister {
    /// Continues behind the highest number that was saved.
    #[must_use]
    pub fn restored(checkpoints: &[Checkpoint]) -> Self {
        let highest = checkpoints.iter().filter_map(number_in).max();
        if let Some(damaged) = checkpoints.iter().find(|one| one.key == NUMBERS && number_in(one).is_none()) {
            tracing::error!(
                key = damaged.key,
                "the saved number of events is damaged: numbers begin again at 1"
            );
        }
        let register = Self {
            highest: AtomicU64::new(highest.map_or(0, |number| number.0)),
            saved: labels_in(checkpoints),
            ..Self::default()
        };
        super::open_events(checkpoints)
            .filter_map(|open| KnownEvent::of(&open))
            .for_each(|one| register.note(one));
        register
    }

    fn known(&self) -> MutexGuard<'_, VecDeque<KnownEvent>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes an event, once.
    pub fn note(&self, event: KnownEvent) {
        let event = KnownEvent { label: self.saved.get(&event.number).copied(), ..event };
        let mut known = self.known();
        let place = known.partition_point(|one| one.number < event.number);
        if known.get(place).is_some_and(|one| one.number == event.number) {
            return;
        }
        known.insert(place, event);
        if known.len() > KNOWN_EVENTS {
            known.pop_front();
        }
    }

    /// The event with this number.
    ///
    /// # Errors
    /// It is not known: the numbers from the lowest to the highest that are.
    pub fn find(&self, number: EventNumber) -> Result<KnownEvent, Option<(EventNumber, EventNumber)>> {
        let known = self.known();
        let found = known.binary_search_by_key(&number, |one| one.number).ok();
        let range = || Some((known.front()?.number, known.back()?.number));
        found.and_then(|place| known.get(place)).cloned().ok_or_else(range)
    }

    /// A person labelled the last event that is meant. Returns it as it was before, unless it had this label already.
    pub(super) fn label(&self, remark: Remark, is_meant: impl Fn(&KnownEvent) -> bool) -> Option<KnownEvent> {
        let mut known = self.known();
        let event = known.iter_mut().rev().find(|one| is_meant(one))?;
        let before = event.clone();
        event.label = Some(remark);
        (before.label != event.label).then_some(before)
    }

    /// The labels of all events that are known, to be saved.
    pub(super) fn saved_labels(&self) -> Checkpoint {
        let known = self.known();
        let labels: BTreeMap<EventNumber, Remark> =
            known.iter().filter_map(|event| Some((event.number, event.label?))).collect();
        let state = serde_json::to_vec(&labels).expect("numbers and words only");
        Checkpoint { key: LABELS.to_owned(), state: Some(state) }
    }

    /// The number of a new event.
    pub(super) fn next(&self) -> EventNumber {
        EventNumber(self.highest.fetch_add(1, Ordering::Relaxed).saturating_add(1))
    }
}

/// The labels of events, as they were saved; none where that cannot be read, which is reported.
pub fn labels_in(checkpoints: &[Checkpoint]) -> BTreeMap<EventNumber, Remark> {
    let saved = checkpoints.iter().filter(|one| one.key == LABELS).filter_map(|one| one.state.as_deref());
    let read = saved.map(serde_json::from_slice).collect::<Result<Vec<BTreeMap<_, _>>, _>>();
    match read {
        Ok(labels) => labels.into_iter().flatten().collect(),
        Err(error) => {
            tracing::error!(key = LABELS, %error, "the saved labels of events are damaged: they are forgotten");
            BTreeMap::new()
        }
    }
}

fn number_in(checkpoint: &Checkpoint) -> Option<EventNumber> {
    let state = checkpoint.state.as_deref().filter(|_| checkpoint.key == NUMBERS)?;
    Some(EventNumber(u64::from_le_bytes(state.try_into().ok()?)))
}

/// The checkpoint of the highest number.
pub(crate) fn saved_number(highest: EventNumber) -> Checkpoint {
    Checkpoint { key: NUMBERS.to_owned(), state: Some(highest.0.to_le_bytes().to_vec()) }
}

/// Gives new events their identities: a random one, and a number.
pub(super) struct EventNaming {
    fresh_id: Box<dyn FnMut() -> EventId + Send>,
    pub(super) register: Arc<EventRegister>,
}

impl EventNaming {
    /// With a register of its own.
    pub(super) fn new(fresh_id: impl FnMut() -> EventId + Send + 'static) -> Self {
        Self { fresh_id: Box::new(fresh_id), register: Arc::default() }
    }

    pub(super) fn id(&mut self) -> EventId {
        (self.fresh_id)()
    }

    pub(super) fn number(&self) -> EventNumber {
        self.register.next()
    }

    /// An event was raised.
    pub(super) fn note(&self, verdict: &Verdict) {
        KnownEvent::of(verdict).into_iter().for_each(|event| self.register.note(event));
    }
}

impl fmt::Debug for EventNaming {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EventNaming").field("register", &self.register).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use verge_domain::id::{DeviceId, SourceId};

    use super::*;

    #[test]
    fn numbers_continue_behind_the_highest_that_was_saved() {
        let register = EventRegister::restored(&[]);
        assert_eq!([register.next(), register.next()], [EventNumber(1), EventNumber(2)]);
        let other = Checkpoint { key: "events".to_owned(), state: Some(vec![9; 8]) };
        let register = EventRegister::restored(&[other, saved_number(EventNumber(141))]);
        assert_eq!(register.next(), EventNumber(142));
        let damaged = Checkpoint { key: NUMBERS.to_owned(), state: Some(vec![1, 2, 3]) };
        assert_eq!(EventRegister::restored(&[damaged]).next(), EventNumber(1));
    }

    fn known(number: u64, device: &str) -> KnownEvent {
        KnownEvent {
            number: EventNumber(number),
            judge: JudgeId::new("auto").unwrap(),
            subject: Subject {
                source: SourceId::new("plc").unwrap(),
                device: DeviceId::new(device).unwrap(),
                signal: None,
            },
            since: UtcMillis(0),
            label: None,
        }
    }

    #[test]
    fn labels_outlive_a_restart_as_long_as_their_events_are_known() {
        let register = EventRegister::default();
        (1..=3).for_each(|number| register.note(known(number, "p")));
        let event = register.find(EventNumber(2)).unwrap();
        register.label(Remark::False, |one| one.number == event.number);
        let after = EventRegister::restored(&[register.saved_labels()]);
        (1..=3).for_each(|number| after.note(known(number, "p")));
        let labels = [1, 2, 3].map(|number| after.find(EventNumber(number)).unwrap().label);
        assert_eq!(labels, [None, Some(Remark::False), None]);
        let before = after.label(Remark::Real, |one| one.number == event.number).unwrap();
        assert_eq!(before.label, Some(Remark::False));
        let damaged = Checkpoint { key: LABELS.to_owned(), state: Some(b"{".to_vec()) };
        assert!(labels_in(&[damaged]).is_empty());
    }

    #[test]
    fn the_events_of_late_are_found_by_number_and_remember_their_last_label() {
        let register = EventRegister::default();
        assert_eq!(register.find(EventNumber(1)), Err(None));
        let last = KNOWN_EVENTS as u64 + 10;
        for number in (1..=last).rev().chain(1..=last) {
            register.note(known(number, if number % 2 == 0 { "even" } else { "odd" }));
        }
        assert_eq!(register.find(EventNumber(10)), Err(Some((EventNumber(11), EventNumber(last)))));
        let found = register.find(EventNumber(11)).unwrap();
        assert_eq!(found.subject.device.as_str(), "odd");
        let label = |remark| register.label(remark, |one| one.number == found.number);
        assert_eq!(label(Remark::Real).map(|before| before.label), Some(None));
        assert_eq!(label(Remark::Real), None, "the same again");
        assert_eq!(label(Remark::False).map(|before| before.label), Some(Some(Remark::Real)));
        let last = register.label(Remark::Real, |one| one.is_of(&found.judge, &found.subject)).unwrap();
        assert_eq!((last.number.0, last.label), (KNOWN_EVENTS as u64 + 9, None), "of that subject");
    }
}
