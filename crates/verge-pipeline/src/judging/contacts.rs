//! Which contact explains the events of a judge: a run contact, a mode, a valve. Where most events of a judge come shortly
//! after such a signal changed, its machine's state is what they report, and `while` or `by` is what the judge lacks.
//!
//! Signals with a few whole numbers are known by the way (one comparison per reading), their changes are remembered, and
//! each new event takes note of those shortly before it. All of it is bounded. What was noted of events outlives a restart.

mod saved;

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::hash::{BuildHasher, RandomState};
use std::time::Duration;

use serde::Serialize;
use verge_domain::id::{DeviceId, JudgeId, SignalId, SourceId};
use verge_domain::reading::SourceIndex;
use verge_domain::time::UtcMillis;
use verge_domain::verdict::{EventState, Verdict};

use super::StateRules;
pub(super) use saved::CONTACTS;

/// A signal with more values than this is no contact.
const MOST_VALUES: usize = 4;
/// Contacts that are remembered; beyond them the one that has not changed for longest is forgotten.
const MOST_CONTACTS: usize = 256;
/// Events of a judge that are remembered.
const EVENTS: usize = 20;
/// Contacts that are noted with one event.
const NOTED: usize = 8;
/// With fewer events a contact explains nothing.
const LEAST_EVENTS: usize = 5;
/// A contact explains most events where it explains this part of them.
const MOST: f64 = 0.6;
/// And where it does so this many times more often than chance would.
const LIFT: f64 = 3.0;
/// How long after the change events may come.
const WITHIN: [Duration; 3] = [Duration::from_secs(30), Duration::from_secs(120), Duration::from_secs(600)];

/// The values of one signal, as long as they are few.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct FewValues {
    values: [f32; MOST_VALUES],
    /// How many of them are known; one more than there can be where the signal is no contact.
    known: u8,
    /// The last one.
    last: u8,
}

impl FewValues {
    /// Takes note of a value. Says what it was before, where a contact has changed.
    pub(super) fn note(&mut self, value: f64) -> Option<f64> {
        let known = usize::from(self.known);
        if known > MOST_VALUES {
            return None;
        }
        #[expect(clippy::cast_possible_truncation, reason = "values of contacts are small whole numbers")]
        let narrow = value as f32;
        let last = self.values.get(usize::from(self.last)).copied().unwrap_or_default();
        if known > 0 && narrow == last {
            return None;
        }
        let place = self.values.iter().take(known).position(|seen| *seen == narrow).unwrap_or(known);
        if place == known {
            self.known += 1;
            let is_whole = value.fract() == 0.0 && value.abs() < 1e6;
            match self.values.get_mut(place).filter(|_| is_whole) {
                Some(free) => *free = narrow,
                None => {
                    self.known = MOST_VALUES as u8 + 1;
                    return None;
                }
            }
        }
        self.last = u8::try_from(place).unwrap_or_default();
        (known > 0).then_some(f64::from(last))
    }
}

/// A signal of few values, and its last change.
#[derive(Debug, Clone)]
struct Contact {
    source: SourceIndex,
    device: DeviceId,
    signal: SignalId,
    before: f64,
    now: f64,
    since: UtcMillis,
    first: UtcMillis,
    changes: u32,
    is_binary: bool,
}

impl Contact {
    /// Changes per millisecond.
    fn rate(&self) -> f64 {
        let span = (self.since.0 - self.first.0).max(1);
        #[expect(clippy::cast_precision_loss, reason = "a span of some years")]
        let span = span as f64;
        f64::from(self.changes - 1) / span
    }
}

/// The change of a contact shortly before an event.
#[derive(Debug, Clone)]
struct NotedChange {
    source: SourceIndex,
    signal: SignalId,
    /// The device of the contact, where it is another than that of the event.
    elsewhere: Option<DeviceId>,
    before: f64,
    became: f64,
    is_binary: bool,
    delay: Duration,
    rate: f64,
}

impl NotedChange {
    fn is_like(&self, other: &Self) -> bool {
        (self.source, &self.signal, &self.elsewhere, self.became.to_bits())
            == (other.source, &other.signal, &other.elsewhere, other.became.to_bits())
    }
}

/// A contact that explains most events of a judge.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct StateSuggestion {
    /// The contact, as settings name it: `source:signal`.
    pub signal: String,
    /// The device that sends it, where it is not the one that is judged.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub device: Option<DeviceId>,
    /// What it became before the events.
    pub became: f64,
    /// Events of the judge that came shortly after that.
    pub explained: usize,
    /// Of the last events.
    pub events: usize,
    /// How shortly.
    pub within_s: u64,
    /// The line to write.
    pub setting: String,
    /// All that, for people.
    pub words: String,
}

impl StateSuggestion {
    fn of(
        noted: &NotedChange,
        source: &SourceId,
        (explained, events): (usize, usize),
        within: Duration,
    ) -> Self {
        let signal = format!("{source}:{}", noted.signal);
        let setting = setting(&signal, noted, within);
        let (device, became, within_s) = (noted.elsewhere.clone(), noted.became, within.as_secs());
        let of = device.as_ref().map_or_else(String::new, |device| format!(" of {device}"));
        let span = if within_s < 60 { format!("{within_s} s") } else { format!("{} min", within_s / 60) };
        let words = format!(
            "{explained} of the last {events} events came within {span} after {signal}{of} became {became}: consider \
             {setting}"
        );
        Self { signal, device, became, explained, events, within_s, setting, words }
    }
}

/// What is known of contacts, and of the events after their changes.
#[derive(Debug, Default)]
pub(super) struct Contacts {
    known: HashMap<u64, Contact>,
    by_judge: HashMap<JudgeId, VecDeque<Vec<NotedChange>>>,
    /// Judges with events that are not saved yet.
    unsaved: BTreeSet<JudgeId>,
    hasher: RandomState,
}

impl Contacts {
    /// A contact has changed.
    pub(super) fn changed(
        &mut self,
        (source, device, signal): (SourceIndex, &DeviceId, &SignalId),
        (before, now): (f64, f64),
        at: UtcMillis,
    ) {
        let key = self.hasher.hash_one((source, device, signal));
        if let Some(contact) = self.known.get_mut(&key) {
            contact.is_binary &= now == contact.now || now == contact.before;
            (contact.before, contact.now, contact.since) = (before, now, at);
            contact.changes = contact.changes.saturating_add(1);
            return;
        }
        if self.known.len() >= MOST_CONTACTS {
            let oldest = self.known.iter().min_by_key(|(_, contact)| contact.since).map(|(key, _)| *key);
            oldest.and_then(|oldest| self.known.remove(&oldest));
        }
        let (device, signal) = (device.clone(), signal.clone());
        let (since, first, changes, is_binary) = (at, at, 1, true);
        let contact = Contact { source, device, signal, before, now, since, first, changes, is_binary };
        self.known.insert(key, contact);
    }

    /// Takes note of the events that begin in these verdicts. `states_of` knows on which states a judge depends already.
    pub(super) fn note_events<'a>(
        &mut self,
        verdicts: &[Verdict],
        sources: &[SourceId],
        states_of: impl Fn(&JudgeId) -> Option<&'a StateRules>,
    ) {
        let begun = verdicts.iter().filter_map(|verdict| Some((verdict, verdict.event?)));
        for (verdict, event) in begun.filter(|(_, event)| event.state == EventState::Raised) {
            let Some(states) = states_of(&verdict.judge) else { continue };
            let noted = self.before(verdict, event.since, sources, states);
            let events = self.by_judge.entry(verdict.judge.clone()).or_default();
            if events.len() >= EVENTS {
                events.pop_front();
            }
            events.push_back(noted);
            self.unsaved.insert(verdict.judge.clone());
        }
    }

    /// The contacts that changed shortly before an event: those of its device first, then the latest.
    fn before(
        &self,
        verdict: &Verdict,
        since: UtcMillis,
        sources: &[SourceId],
        states: &StateRules,
    ) -> Vec<NotedChange> {
        let subject = &verdict.subject;
        let longest = WITHIN[WITHIN.len() - 1];
        let mut noted: Vec<NotedChange> = self
            .known
            .values()
            .filter(|contact| {
                let is_judged = contact.device == subject.device
                    && subject.signal.as_ref() == Some(&contact.signal)
                    && sources.get(usize::from(contact.source.0)) == Some(&subject.source);
                let is_set = states
                    .signals()
                    .any(|state| state.source == contact.source && state.signal == contact.signal);
                let is_short = contact.since <= since && since.since(contact.since) <= longest;
                is_short && !is_judged && !is_set
            })
            .map(|contact| NotedChange {
                source: contact.source,
                signal: contact.signal.clone(),
                elsewhere: Some(&contact.device).filter(|device| **device != subject.device).cloned(),
                before: contact.before,
                became: contact.now,
                is_binary: contact.is_binary,
                delay: since.since(contact.since),
                rate: contact.rate(),
            })
            .collect();
        noted.sort_by_key(|noted| (noted.elsewhere.is_some(), noted.delay));
        noted.truncate(NOTED);
        noted
    }

    /// The contact that explains most events of a judge, if one does.
    pub(super) fn suggestion(&self, judge: &JudgeId, sources: &[SourceId]) -> Option<StateSuggestion> {
        let events = self.by_judge.get(judge).filter(|events| events.len() >= LEAST_EVENTS)?;
        WITHIN.iter().find_map(|within| {
            let (explained, noted) = explaining(events, *within)?;
            let source = sources.get(usize::from(noted.source.0))?;
            Some(StateSuggestion::of(noted, source, (explained, events.len()), *within))
        })
    }

    /// Some judges are gone.
    pub(super) fn forget(&mut self, stays: impl Fn(&JudgeId) -> bool) {
        self.by_judge.retain(|judge, _| stays(judge));
    }
}

/// The change that most events came after, and the number of them.
#[expect(clippy::cast_precision_loss, reason = "up to twenty events")]
fn explaining(events: &VecDeque<Vec<NotedChange>>, within: Duration) -> Option<(usize, &NotedChange)> {
    let short = |noted: &&NotedChange| noted.delay <= within;
    let candidates = events.iter().flatten().filter(short);
    let explained = |candidate: &NotedChange| {
        let of_events = events
            .iter()
            .filter_map(|noted| noted.iter().find(|noted| noted.is_like(candidate) && noted.delay <= within));
        let rates: Vec<f64> = of_events.map(|noted| noted.rate).collect();
        let rate = rates.iter().sum::<f64>() / rates.len().max(1) as f64;
        (rates.len(), rate)
    };
    candidates
        .filter_map(|candidate| {
            let (found, rate) = explained(candidate);
            let share = found as f64 / events.len() as f64;
            // Half of the changes are to this value, or fewer.
            let by_chance = (0.5 * rate * within.as_millis() as f64).min(1.0);
            let explains = found >= LEAST_EVENTS && share >= MOST && share >= LIFT * by_chance;
            explains.then_some((found, candidate))
        })
        .max_by_key(|(found, candidate)| (*found, std::cmp::Reverse(candidate.elsewhere.is_some())))
}

/// What to write. A contact that is 0 while a machine rests is the rule.
fn setting(signal: &str, noted: &NotedChange, within: Duration) -> String {
    let device = noted.elsewhere.as_ref();
    if !noted.is_binary {
        let device = device.map_or_else(String::new, |device| format!(" and by_device = \"{device}\""));
        return format!("by = \"{signal}\"{device}");
    }
    let stopped = noted.became == 0.0;
    let (runs, settle) = if stopped { (noted.before, WITHIN[0]) } else { (noted.became, within) };
    let device = device.map_or_else(String::new, |device| format!(", device = \"{device}\""));
    format!(
        "while = {{ signal = \"{signal}\"{device}, equals = {runs}, settle = \"{}s\" }}",
        settle.as_secs()
    )
}

#[cfg(test)]
mod tests;
