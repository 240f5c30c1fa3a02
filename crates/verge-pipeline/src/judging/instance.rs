//! One judge that watches one subject, and its open events.

mod verdicts;

use std::time::Duration;

use verge_domain::finding::{Condition, Finding, Member, Strand};
use verge_domain::id::{EventNumber, JudgeId, JudgeIndex, Unit};
use verge_domain::observation::{Captured, Observable};
use verge_domain::policy::{EventLife, Observed};
use verge_domain::stage::{Checkpoint, Judge, RestoreError};
use verge_domain::time::{Moment, Monotonic, UtcMillis};
use verge_domain::verdict::{Body, Event, EventState, Severity, Subject, Verdict};

use super::body::{beyond_normal, body_of, times};
use super::machine::{StateGate, UNSET};
use super::register::EventNaming;
use super::saved;
use super::saved_life::{SavedEvent, SavedLife, about};
use super::saving::{self, SaveTime};
use super::streams::SETTLED;
use super::{Decision, InstanceKey, JudgeSpec};

pub(super) struct Instance<J> {
    pub(super) judge_index: JudgeIndex,
    pub(super) subject: Subject,
    pub(super) judge: J,
    pub(super) life: EventLife,
    pub(super) last_received: Monotonic,
    pub(super) unit: Option<Unit>,
    pub(super) save_time: SaveTime,
    /// Checksum of the state that was last handed out or restored.
    saved_state: Option<u64>,
    /// The last report of each open event.
    pub(super) open: Vec<SavedEvent>,
    /// Its silence lasted so long that it was ended; silence is not reported again until the subject sends.
    vanished: bool,
    /// Its detector was set anew, and its judge is still the former one.
    pub(super) outdated: bool,
    /// The states of machines in which it judges, where it does not in all.
    pub(super) gate: Option<Box<StateGate>>,
    /// Signals that it looks at, plus one if it is expected, plus one if it was restored from the store.
    pub(super) users: usize,
    /// The memory it takes, as last computed.
    pub(super) bytes: usize,
    observations: u32,
    /// What it saw last was seen by a version of its model that is on trial.
    pub(super) by_candidate: bool,
}

/// A judge's memory is computed again after this number of observations at the latest.
const RECKON_EVERY: u32 = 256;
/// Silence of a device that sent nothing for this long is ended: the device has vanished. Expected devices are exempt.
pub(super) const VANISHED_AFTER: Duration = Duration::from_secs(7 * 24 * 3600);

impl<J: Judge> Instance<J> {
    pub(super) fn new(judge_index: JudgeIndex, subject: Subject, judge: J, now: Monotonic) -> Self {
        let life = EventLife::default();
        let save_time = SaveTime::first(0, judge.save_every(), now);
        let bytes = Self::bytes_of(&judge, None);
        Self {
            judge_index,
            subject,
            judge,
            life,
            last_received: now,
            unit: None,
            save_time,
            saved_state: None,
            open: Vec::new(),
            vanished: false,
            outdated: false,
            gate: None,
            users: 0,
            bytes,
            observations: 0,
            by_candidate: false,
        }
    }

    /// An instance with its key, in two tables.
    fn bytes_of(judge: &J, gate: Option<&StateGate>) -> usize {
        size_of::<Self>() + 2 * size_of::<InstanceKey>() + judge.heap_bytes() + gate.map_or(0, size_of_val)
    }

    /// Records an observation. Returns whether it is time to compute the judge's memory again.
    pub(super) fn note(&mut self, received: Monotonic) -> bool {
        self.last_received = received;
        self.observations = self.observations.wrapping_add(1);
        self.observations.is_power_of_two() || self.observations.is_multiple_of(RECKON_EVERY)
    }

    /// Whether it received only a few observations, those before a restart included.
    pub(super) const fn is_new(&self) -> bool {
        self.observations < SETTLED && self.saved_state.is_none()
    }

    /// Computes the memory it takes. Returns the new and the previous value.
    pub(super) fn reckon(&mut self) -> (usize, usize) {
        let before = std::mem::replace(&mut self.bytes, Self::bytes_of(&self.judge, self.gate.as_deref()));
        (self.bytes, before)
    }

    /// Turns findings into verdicts. `observed` is `None` when only time has passed.
    #[expect(clippy::too_many_arguments, reason = "each is one of the inputs that a pure decision has")]
    pub(super) fn decide(
        &mut self,
        spec: &JudgeSpec<J>,
        observed: Option<Observable<'_>>,
        received: Moment,
        now: Moment,
        findings: &[Finding],
        naming: &mut EventNaming,
        out: &mut Decision,
    ) {
        let captured = observed.map_or(Captured::UNKNOWN, Observable::captured);
        let at = captured.time(received.wall);
        for finding in findings {
            match finding {
                Finding::Condition(condition) => {
                    let when = Observed { at, received };
                    let ended = self.life.give_way(condition, when);
                    let event = self.life.advance(&spec.policy, condition, when, || naming.id());
                    if event.is_none() && self.note_course(condition) {
                        out.checkpoints.push(self.saved_life(spec));
                    }
                    for event in ended.into_iter().chain(event) {
                        let event = Event { number: self.number_of(condition, event, naming), ..event };
                        // A report about a whole device has no unit of one of its signals.
                        if let Some(unit) = observed.and_then(Observable::unit)
                            && self.subject.signal.is_some()
                        {
                            self.unit = Some(unit.clone());
                        }
                        let before = self.open_severity(condition);
                        // What was critical once is critical to its end.
                        let reported =
                            spec.policy.severity_of(condition, &event).max(before.unwrap_or(Severity::Info));
                        let severity = if event.learning { Severity::Info } else { reported };
                        let by_rule = Some(reported)
                            .filter(|severity| !event.learning && *severity != spec.policy.severity);
                        let changed = self.note_open(condition, event, received.wall, by_rule);
                        let subject = about(&self.subject, condition.part.as_ref());
                        let tag = spec.tags.of(&subject);
                        let unit = self.unit.as_ref().or(tag.and_then(|tag| tag.unit.as_ref()));
                        let body = body_of(&beyond_normal(condition, tag), unit);
                        let times = times(captured, received, now);
                        let (_, lane) = spec.policy.class_of(event.learning);
                        let verdict = Verdict {
                            lane,
                            ..self.verdict(spec, subject, times, severity, Some(event), body)
                        };
                        if event.state == EventState::Raised {
                            naming.note(&verdict);
                        }
                        out.verdicts.push(verdict);
                        // Most updates change nothing of the open events that is saved.
                        let is_critical_now = before != by_rule;
                        if event.state != EventState::Updated || changed || is_critical_now {
                            out.checkpoints.push(self.saved_life(spec));
                        }
                    }
                }
                Finding::Counts(counts) => {
                    self.report_counts(
                        spec,
                        Body::Counts(counts.clone()),
                        times(captured, received, now),
                        out,
                    );
                }
                Finding::Traffic(traffic) => {
                    let body = Body::Traffic((**traffic).clone());
                    self.report_counts(spec, body, times(captured, received, now), out);
                }
                Finding::Tracks(tracks) => {
                    let body = Body::Detections((**tracks).clone());
                    self.report_for_the_record(spec, body, times(captured, received, now), out);
                }
                // The caller that has the view reports it, and hands measures to the judges that look at them.
                Finding::View | Finding::Measure(_) => {}
            }
        }
    }

    /// A new event gets a number; one that is open keeps its own.
    fn number_of(&self, condition: &Condition, event: Event, naming: &EventNaming) -> Option<EventNumber> {
        if event.state == EventState::Raised {
            return Some(naming.number());
        }
        self.open.iter().find(|open| open.strand().holds(condition)).and_then(|open| open.number)
    }

    /// The severity that a rule gave to the event that a condition belongs to, where it is open.
    fn open_severity(&self, condition: &Condition) -> Option<Severity> {
        self.open.iter().find(|open| open.strand().holds(condition)).and_then(|open| open.severity)
    }

    /// What it watches, and the parts of that which its judge tells apart or of which events are open.
    pub(super) fn subjects(&self) -> impl Iterator<Item = Subject> + '_ {
        let parts = self.judge.parts().iter().chain(self.open.iter().filter_map(|open| open.part.as_ref()));
        std::iter::once(None).chain(parts.map(Some)).map(|part| about(&self.subject, part))
    }

    /// Notes how the open event of a condition has gone on. Returns whether that is new.
    fn note_course(&mut self, condition: &Condition) -> bool {
        let Some(open) = self.open.iter_mut().find(|open| open.strand().holds(condition)) else {
            return false;
        };
        let Some(now) = self.life.event_of(&open.strand()) else { return false };
        std::mem::replace(&mut open.event.course, now.course) != now.course
    }

    /// Returns whether the event was suspended before, or goes on otherwise than was known.
    fn note_open(
        &mut self,
        condition: &Condition,
        event: Event,
        received: UtcMillis,
        severity: Option<Severity>,
    ) -> bool {
        let Strand { member, part } = condition.strand();
        let place = self.open.iter().position(|open| open.strand().holds(condition));
        let before = place.map(|place| self.open.remove(place).event);
        let open = self.life.event_of(&condition.strand()).filter(|_| event.state != EventState::Cleared);
        if let Some(open) = open {
            let (observed, expected, number) = (condition.observed, condition.expected, event.number);
            let reported = Some(received);
            self.open.push(SavedEvent {
                member,
                part,
                event: open,
                observed,
                expected,
                number,
                reported,
                severity,
            });
        }
        before.zip(open).is_some_and(|(before, open)| before.suspended || before.course != open.course)
    }

    /// It judges again, after a time in which nothing was judged.
    pub(super) fn resume(&mut self, now: Moment) {
        if let Some(gate) = &mut self.gate {
            gate.paused = false;
        }
        self.judge.resume(now);
    }

    /// Nothing is judged for now: its open events are suspended, which is reported with their last report.
    pub(super) fn suspend(&mut self, spec: &JudgeSpec<J>, observed: Observed, out: &mut Decision) {
        let reports = self.life.suspend(observed);
        self.report_again(spec, &reports, None, observed.received, out);
    }

    /// The key under which something of it is saved.
    pub(super) fn saved_key(&self, kind: &str, judge: &JudgeId) -> String {
        let name = self.gate.as_ref().and_then(|gate| gate.name.as_deref());
        saved::key_in_state(kind, judge, &self.subject, name)
    }

    /// Its open events, as they are saved.
    pub(super) fn saved_life(&self, spec: &JudgeSpec<J>) -> Checkpoint {
        let life = SavedLife::of(spec, self.unit.as_ref(), &self.open, self.vanished);
        Checkpoint { key: self.saved_key(saved::EVENTS, &spec.name), state: life.map(|life| life.to_bytes()) }
    }

    /// Restores the events that were open.
    pub(super) fn restore_life(&mut self, life: SavedLife, now: Monotonic) {
        for saved in &life.events {
            self.life.restore(&saved.strand(), saved.event, now);
        }
        (self.open, self.unit, self.vanished) = (life.events, life.unit, life.vanished);
    }

    /// Ends open events without their judge: the last report is repeated as cleared. Returns whether there
    /// were any.
    pub(super) fn end_events(
        &mut self,
        spec: &JudgeSpec<J>,
        which: impl Fn(&SavedEvent) -> bool,
        now: Moment,
        out: &mut Decision,
    ) -> bool {
        let (ended, open): (Vec<_>, Vec<_>) = self.open.drain(..).partition(|event| which(event));
        self.open = open;
        for event in &ended {
            self.life.end(&event.strand());
        }
        if let Some(life) = SavedLife::of(spec, self.unit.as_ref(), &ended, false) {
            out.verdicts.extend(life.clear(&spec.name, &self.subject, now));
        }
        !ended.is_empty()
    }

    /// Ends its silence if it has lasted for [`VANISHED_AFTER`]. Returns whether it has.
    pub(super) fn vanish(&mut self, spec: &JudgeSpec<J>, now: Moment, out: &mut Decision) -> bool {
        let silent_for = now.mono.since(self.last_received);
        if silent_for < VANISHED_AFTER || spec.expect.contains(&self.subject.device) {
            return false;
        }
        for open in self.open.iter_mut().filter(|open| open.member == Member::Silent) {
            open.observed = silent_for.as_secs_f64();
        }
        if !self.end_events(spec, |event| event.member == Member::Silent, now, out) {
            return false;
        }
        self.vanished = true;
        out.checkpoints.push(self.saved_life(spec));
        true
    }

    /// Whether its silence is not reported any more.
    pub(super) const fn is_vanished(&self) -> bool {
        self.vanished
    }

    /// The subject sends again.
    pub(super) fn return_from_silence(&mut self, spec: &JudgeSpec<J>, out: &mut Decision) {
        self.vanished = false;
        out.checkpoints.push(self.saved_life(spec));
    }

    /// State of the judge, if it has one that differs from the state last handed out.
    pub(super) fn changed_state(&mut self, judge: &JudgeId) -> Option<Checkpoint> {
        if self.gate.as_ref().is_some_and(|gate| gate.state() == Some(UNSET)) {
            return None;
        }
        let state = self.judge.save()?;
        let checksum = Some(saving::checksum(&state));
        if self.saved_state == checksum {
            return None;
        }
        self.saved_state = checksum;
        Some(Checkpoint { key: self.saved_key(saved::STATE, judge), state: Some(state) })
    }

    /// Restores the saved state of the judge.
    pub(super) fn restore(&mut self, state: &[u8], now: Moment) -> Result<(), RestoreError> {
        self.judge.restore(state, now)?;
        self.saved_state = Some(saving::checksum(state));
        Ok(())
    }

    /// Puts a judge with the present settings in the place of the former one, with what that has learnt.
    ///
    /// # Errors
    /// What was learnt does not fit the settings; then the judge starts anew.
    pub(super) fn set_anew(&mut self, spec: &JudgeSpec<J>, now: Moment) -> Result<(), RestoreError> {
        let mut judge = (spec.make)(now);
        let taken = self.judge.save().map_or(Ok(()), |learnt| judge.restore(&learnt, now));
        self.judge = judge;
        taken
    }

    /// The removal of its saved state, if there is any.
    pub(super) fn forgotten_state(&self, judge: &JudgeId) -> Option<Checkpoint> {
        self.saved_state.as_ref()?;
        Some(Checkpoint { key: self.saved_key(saved::STATE, judge), state: None })
    }

    /// Its saved state is removed elsewhere.
    pub(super) fn forget_saved(&mut self) {
        self.saved_state = None;
    }
}
