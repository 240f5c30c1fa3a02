//! From conditions to events with a life: raised, updated, cleared.
//!
//! Pure: state goes in and out explicitly, time and fresh identities are arguments. The state of an open
//! event is saved in the same transaction as the verdict that changed it, so a restart can neither forget
//! to clear an event nor raise it twice.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::finding::{Condition, Member, Strand};
use crate::id::{EventId, Lane, SignalId};
use crate::time::{Moment, Monotonic, UtcMillis};
use crate::verdict::{AlarmHandling, Event, EventChange, EventState, Severity};

mod course;
mod severity;

pub use course::{EventCourse, GROWS_BY};
pub use severity::CriticalRule;

/// How conditions of one judge become events.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct EventPolicy {
    /// Severity of the judge's events.
    pub severity: Severity,
    /// Events of which this holds are critical, from then on to their end.
    pub critical_when: Option<CriticalRule>,
    /// Lane of the judge's verdicts. All states of an event travel in one lane, so that they stay in order.
    pub lane: Lane,
    /// A condition must hold for this long before it is raised; zero raises at once.
    pub raise_after: Duration,
    /// A condition must be normal for this long before it is cleared; zero clears at once.
    pub clear_after: Duration,
    /// While it continues, an event is reported again after this long, one of which nothing changes (`silent`, `stuck`) then each
    /// time after as long as it has lasted, once a day at least; `None` never, zero at every observation.
    pub update_every: Option<Duration>,
}

impl EventPolicy {
    /// The lane that suits a severity: what a person must look at overtakes the rest.
    #[must_use]
    pub const fn lane_for(severity: Severity) -> Lane {
        match severity {
            Severity::Info => Lane::Verdict,
            Severity::Warning | Severity::Critical => Lane::Alarm,
        }
    }

    /// How severe an event is by what is reported of it.
    #[must_use]
    pub fn severity_of(&self, condition: &Condition, event: &Event) -> Severity {
        let critical = self.critical_when.is_some_and(|rule| rule.holds(condition, event.lasted_ms));
        if critical { Severity::Critical } else { self.severity }
    }

    /// Severity and lane of the verdicts of an event: one that was raised while learning is for the record.
    #[must_use]
    pub const fn class_of(&self, learning: bool) -> (Severity, Lane) {
        if learning { (Severity::Info, Lane::Telemetry) } else { (self.severity, self.lane) }
    }
}

/// An open event, as it is saved.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct OpenEvent {
    /// Identity over the whole life.
    pub id: EventId,
    /// Since when the condition holds.
    pub since: UtcMillis,
    /// See [`Event::suspended`].
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub suspended: bool,
    /// Its judge was still learning when it was raised: it is for the record, to its end.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub learning: bool,
    /// See [`Event::handling`].
    #[serde(default, skip_serializing_if = "AlarmHandling::is_none")]
    pub handling: AlarmHandling,
    /// How it went on so far; earlier versions did not save it.
    #[serde(default, skip_serializing_if = "EventCourse::is_unknown")]
    pub course: EventCourse,
}

#[derive(Debug, Clone, Copy)]
enum Phase {
    /// Nothing is wrong.
    Quiet,
    /// Abnormal, but not yet for long enough.
    Rising { first_at: UtcMillis, since: Monotonic },
    /// It would have been raised, had raises not been held back.
    HeldBack { first_at: UtcMillis, since: Monotonic },
    /// Raised; `begun` is its begin where it was seen by this process, `calm` since when it has been normal again, if it has.
    Open { event: OpenEvent, begun: Option<Monotonic>, reported: Monotonic, calm: Option<Monotonic> },
}

/// The life of the events of one judge about one subject: one phase per strand, since a value can be too
/// high and rise too fast at once.
#[derive(Debug, Clone, Default)]
pub struct EventLife {
    phases: Vec<(Strand, Phase)>,
    holding: bool,
    held_back: u32,
    /// Parts of the subject of which raises are held back; of most subjects none is.
    held_parts: Option<Box<HeldParts>>,
}

#[derive(Debug, Clone)]
struct HeldParts(Vec<SignalId>);

/// An event that was reported a shorter while ago is not yet reported as suspended: a contact that chatters must not
/// cause two verdicts with each change.
const SUSPENDED_AFTER: Duration = Duration::from_secs(10);

const DAY: Duration = Duration::from_secs(86_400);

/// Two clocks read one after the other, and roundings.
const CLOCKS_AGREE: Duration = Duration::from_secs(2);

/// When the observation was made and received.
#[derive(Debug, Clone, Copy)]
pub struct Observed {
    /// Time to reckon with: the device's where trusted, else that of receipt.
    pub at: UtcMillis,
    /// Receipt; its monotonic part measures all durations.
    pub received: Moment,
}

impl EventLife {
    /// Takes up an event that was open when its state was saved.
    pub fn restore(&mut self, strand: &Strand, event: OpenEvent, now: Monotonic) {
        *self.phase(strand) = Phase::Open { event, begun: None, reported: now, calm: None };
    }

    /// Holds raises back, all or those about these parts of the subject, or allows them again. What is open continues and is cleared as usual; what would have been
    /// raised is counted once, and is raised afterwards if it still holds then.
    pub fn hold(&mut self, holding: bool, parts: Vec<SignalId>) {
        self.holding = holding;
        self.held_parts = (!parts.is_empty()).then(|| Box::new(HeldParts(parts)));
    }

    /// Whether what is raised about a part is held back; `None`: about the subject as a whole.
    #[must_use]
    pub fn is_holding(&self, part: Option<&SignalId>) -> bool {
        let is_held = |part| self.held_parts.as_ref().is_some_and(|held| held.0.contains(part));
        self.holding || part.is_some_and(is_held)
    }

    /// How many raises were held back since this was last asked.
    pub fn take_held_back(&mut self) -> u64 {
        u64::from(std::mem::take(&mut self.held_back))
    }

    /// Notes what an operator did about the open event of a strand. Returns what to report.
    pub fn handle(&mut self, strand: &Strand, handling: AlarmHandling, observed: Observed) -> Option<Event> {
        let place = self.phases.iter_mut().find(|(known, _)| known == strand);
        let Some((_, Phase::Open { event, begun, reported, .. })) = place else { return None };
        (event.handling, *reported) = (handling, observed.received.mono);
        Some(event.report(EventState::Updated, observed, *begun))
    }

    /// Ends the phase of a strand, open or not. The caller clears what was open.
    pub fn end(&mut self, strand: &Strand) {
        self.phases.retain(|(known, _)| known != strand);
    }

    /// Nothing is judged for now: what is open is suspended, what is about to be raised is not. Returns what to report;
    /// what was reported a moment ago waits for the next call.
    pub fn suspend(&mut self, observed: Observed) -> Vec<(Strand, Event)> {
        let now = observed.received.mono;
        let mut reports = Vec::new();
        self.phases.retain_mut(|(strand, phase)| {
            let Phase::Open { event, begun, reported, calm, .. } = phase else { return false };
            *calm = None;
            if !event.suspended && now.since(*reported) >= SUSPENDED_AFTER {
                (event.suspended, *reported) = (true, now);
                reports.push((strand.clone(), event.report(EventState::Updated, observed, *begun)));
            }
            true
        });
        reports
    }

    /// The open events, to be saved.
    pub fn open(&self) -> impl Iterator<Item = (&Strand, OpenEvent)> + '_ {
        self.phases.iter().filter_map(|(strand, phase)| match *phase {
            Phase::Open { event, .. } => Some((strand, event)),
            Phase::Quiet | Phase::Rising { .. } | Phase::HeldBack { .. } => None,
        })
    }

    /// The open event of a strand.
    #[must_use]
    pub fn event_of(&self, strand: &Strand) -> Option<OpenEvent> {
        self.open().find(|&(known, _)| known == strand).map(|(_, event)| event)
    }

    /// Ends an event that was raised while its judge was learning, where what is observed now is an alarm: the next
    /// [`EventLife::advance`] raises that as an event of its own.
    pub fn give_way(&mut self, condition: &Condition, observed: Observed) -> Option<Event> {
        if !condition.standing.is_abnormal() || condition.learning {
            return None;
        }
        let place = self.phases.iter().position(|(strand, _)| strand.holds(condition))?;
        let Phase::Open { event, begun, .. } = self.phases[place].1 else { return None };
        event.learning.then(|| {
            self.phases.swap_remove(place);
            event.report(EventState::Cleared, observed, begun)
        })
    }

    /// Takes note of a condition; says what to report, if anything. `fresh_id` is called once for each new
    /// event.
    pub fn advance(
        &mut self,
        policy: &EventPolicy,
        condition: &Condition,
        observed: Observed,
        fresh_id: impl FnOnce() -> EventId,
    ) -> Option<Event> {
        let now = observed.received.mono;
        let standing = condition.standing;
        // Most readings are normal and find nothing open: they must cost nothing.
        if standing.is_normal() && !self.phases.iter().any(|(strand, _)| strand.holds(condition)) {
            return None;
        }
        let holding = self.is_holding(condition.part.as_ref());
        let phase = self.phase_of(condition);
        let before = *phase;
        let (next, report) = match before {
            Phase::Quiet if standing.is_abnormal() => {
                rise(policy, condition, (observed.at, now), observed, holding, fresh_id)
            }
            Phase::Rising { first_at, since } | Phase::HeldBack { first_at, since }
                if standing.is_abnormal() =>
            {
                rise(policy, condition, (first_at, since), observed, holding, fresh_id)
            }
            Phase::HeldBack { .. } if holding && !standing.is_normal() => (before, None),
            Phase::Quiet | Phase::Rising { .. } | Phase::HeldBack { .. } => (Phase::Quiet, None),
            Phase::Open { mut event, begun, reported, calm } => {
                let calm = standing.is_normal().then(|| calm.unwrap_or(now));
                let was_critical = event.course.critical;
                let change = event.course.note(condition);
                let escalated = change.is_some_and(EventChange::is_escalation) && !holding;
                let is_due = move || {
                    let passed = now.since(reported);
                    let lasted = || {
                        let now = event.report(EventState::Updated, observed, begun).lasted_ms;
                        Duration::from_millis(now).saturating_sub(passed)
                    };
                    policy
                        .update_every
                        .is_some_and(|every| passed >= every && passed >= pause(every, condition, lasted))
                };
                // Reported once: later reports say it by themselves.
                let critical = |event: &mut OpenEvent| {
                    let rule = policy.critical_when.filter(|_| !event.course.critical && !holding);
                    event.course.critical |= rule.is_some_and(|rule| {
                        rule.holds(condition, event.report(EventState::Updated, observed, begun).lasted_ms)
                    });
                    rule.is_some() && event.course.critical
                };
                if calm.is_some_and(|since| now.since(since) >= policy.clear_after) {
                    let event = OpenEvent { suspended: false, ..event };
                    let report = Event { change, ..event.report(EventState::Cleared, observed, begun) };
                    (Phase::Quiet, Some(report))
                } else if event.suspended || escalated || critical(&mut event) || is_due() {
                    let worse = escalated || (event.course.critical && !was_critical);
                    let handling = if worse { AlarmHandling::default() } else { event.handling };
                    let event = OpenEvent { suspended: false, handling, ..event };
                    let change = change.filter(|_| escalated);
                    let report = Event { change, ..event.report(EventState::Updated, observed, begun) };
                    (Phase::Open { event, begun, reported: now, calm }, Some(report))
                } else {
                    (Phase::Open { event, begun, reported, calm }, None)
                }
            }
        };
        *phase = next;
        if matches!(next, Phase::HeldBack { .. }) && !matches!(before, Phase::HeldBack { .. }) {
            self.held_back = self.held_back.saturating_add(1);
        }
        if matches!(next, Phase::Quiet) {
            self.phases.retain(|(strand, _)| !strand.holds(condition));
        }
        report
    }

    fn phase_of(&mut self, condition: &Condition) -> &mut Phase {
        let known = self.phases.iter().position(|(strand, _)| strand.holds(condition));
        let index = known.unwrap_or_else(|| self.add(condition.strand()));
        &mut self.phases[index].1
    }

    fn phase(&mut self, strand: &Strand) -> &mut Phase {
        let known = self.phases.iter().position(|(known, _)| known == strand);
        let index = known.unwrap_or_else(|| self.add(strand.clone()));
        &mut self.phases[index].1
    }

    fn add(&mut self, strand: Strand) -> usize {
        self.phases.push((strand, Phase::Quiet));
        self.phases.len() - 1
    }
}

/// How long after it was reported an event that goes on is reported again. Of a silence, and of a value that stays the same,
/// there is nothing new but how long it has lasted: it is reported each time after as long as it had `lasted` by then, once a day at least.
fn pause(every: Duration, condition: &Condition, lasted: impl FnOnce() -> Duration) -> Duration {
    let is_same = matches!(condition.member, Member::Silent | Member::Stuck);
    if is_same && !every.is_zero() { lasted().min(DAY).max(every) } else { every }
}

fn rise(
    policy: &EventPolicy,
    condition: &Condition,
    (first_at, since): (UtcMillis, Monotonic),
    observed: Observed,
    holding: bool,
    fresh_id: impl FnOnce() -> EventId,
) -> (Phase, Option<Event>) {
    let now = observed.received.mono;
    if now.since(since) < policy.raise_after {
        return (Phase::Rising { first_at, since }, None);
    }
    if holding {
        return (Phase::HeldBack { first_at, since }, None);
    }
    let course = EventCourse::of(condition);
    let mut event = OpenEvent { course, ..OpenEvent::new(fresh_id(), first_at, condition.learning) };
    let report = event.report(EventState::Raised, observed, Some(since));
    event.course.critical = policy.critical_when.is_some_and(|rule| rule.holds(condition, report.lasted_ms));
    (Phase::Open { event, begun: Some(since), reported: now, calm: None }, Some(report))
}

impl OpenEvent {
    /// One of which no more is known.
    #[must_use]
    pub fn new(id: EventId, since: UtcMillis, learning: bool) -> Self {
        let (handling, course) = (AlarmHandling::default(), EventCourse::default());
        Self { id, since, suspended: false, learning, handling, course }
    }

    /// Where the time of receipt is reckoned with and the wall clock has moved otherwise than the monotonic one, that
    /// one says how long it lasted.
    fn report(self, state: EventState, observed: Observed, begun: Option<Monotonic>) -> Event {
        let Observed { at, received } = observed;
        let by_wall = at.since(self.since);
        let begun = begun.filter(|_| at == received.wall).map(|begun| received.mono.since(begun));
        let lasted = begun.filter(|lasted| lasted.abs_diff(by_wall) > CLOCKS_AGREE).unwrap_or(by_wall);
        let lasted_ms = u64::try_from(lasted.as_millis()).unwrap_or(u64::MAX);
        let Self { id, since, suspended, learning, handling, course: _ } = self;
        Event {
            id,
            state,
            since,
            lasted_ms,
            number: None,
            change: None,
            suspended,
            learning,
            group: None,
            handling,
        }
    }
}

#[cfg(test)]
mod tests;
