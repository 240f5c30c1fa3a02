//! One judge watching one subject, and the events it has open.

use verge_domain::finding::{Condition, Finding};
use verge_domain::id::{EventId, JudgeId, Unit};
use verge_domain::policy::{EventLife, Observed};
use verge_domain::reading::Reading;
use verge_domain::stage::{Checkpoint, Judge, RestoreError};
use verge_domain::time::{DeviceClock, Moment, Monotonic};
use verge_domain::verdict::{Anomaly, Body, Event, EventState, Health, Severity, Subject, Times, Verdict};

use super::saved::{self, SavedLife};
use super::saving::{self, SaveTime};
use super::{Decision, JudgeSpec};

pub(super) struct Instance<J> {
    pub(super) judge_index: usize,
    pub(super) subject: Subject,
    pub(super) judge: J,
    pub(super) life: EventLife,
    pub(super) last_heard: Monotonic,
    unit: Option<Unit>,
    pub(super) save_time: SaveTime,
    /// Checksum of the state that was last handed out, or taken up.
    saved_state: Option<u64>,
}

impl<J: Judge<Observation = Reading>> Instance<J> {
    pub(super) fn new(judge_index: usize, subject: Subject, judge: J, now: Monotonic) -> Self {
        let life = EventLife::default();
        let save_time = SaveTime::first(0, judge.save_every(), now);
        Self { judge_index, subject, judge, life, last_heard: now, unit: None, save_time, saved_state: None }
    }

    /// Turns findings into verdicts. `reading` is what was observed; `None` when time alone decided.
    #[expect(clippy::too_many_arguments, reason = "each is one of the inputs that a pure decision has")]
    pub(super) fn decide(
        &mut self,
        spec: &JudgeSpec<J>,
        reading: Option<&Reading>,
        received: Moment,
        now: Moment,
        findings: &[Finding],
        fresh_id: &mut dyn FnMut() -> EventId,
        out: &mut Decision,
    ) {
        let at = reading.map_or(received.wall, |reading| reading.time(received.wall));
        for finding in findings {
            match finding {
                Finding::Condition(condition) => {
                    let observed = Observed { at, received };
                    let Some(event) = self.life.advance(&spec.policy, condition, observed, &mut *fresh_id)
                    else {
                        continue;
                    };
                    // What is said of a whole device has no unit of one of its signals.
                    if let Some(unit) = reading.and_then(|reading| reading.unit.as_ref())
                        && self.subject.signal.is_some()
                    {
                        self.unit = Some(unit.clone());
                    }
                    let body = body_of(condition, self.unit.as_ref());
                    out.verdicts.push(Verdict {
                        severity: spec.policy.severity,
                        ..self.verdict(spec, reading, received, now, Some(event), body)
                    });
                    // An update leaves the set of open events as it is saved.
                    if event.state != EventState::Updated {
                        let open = SavedLife::of(&self.life, spec, condition, self.unit.as_ref());
                        out.checkpoints.push(Checkpoint {
                            key: saved::key(saved::EVENTS, &spec.name, &self.subject),
                            state: open.map(|life| life.to_bytes()),
                        });
                    }
                }
                Finding::Counts(counts) => {
                    out.verdicts.push(self.verdict(
                        spec,
                        reading,
                        received,
                        now,
                        None,
                        Body::Counts(*counts),
                    ));
                    // What is reported must not be counted again after a restart.
                    out.checkpoints.extend(self.changed_state(&spec.name));
                }
            }
        }
    }

    fn verdict(
        &self,
        spec: &JudgeSpec<J>,
        reading: Option<&Reading>,
        received: Moment,
        now: Moment,
        event: Option<Event>,
        body: Body,
    ) -> Verdict {
        Verdict {
            judge: spec.name.clone(),
            subject: self.subject.clone(),
            times: Times {
                captured: reading.and_then(|reading| reading.captured_at),
                clock: reading.map_or(DeviceClock::Absent, |reading| reading.clock),
                received: received.wall,
                decided: now.wall,
            },
            detector: spec.detector,
            model: spec.model.clone(),
            severity: Severity::Info,
            lane: spec.policy.lane,
            event,
            body,
        }
    }

    /// State of the judge, if it has any and it differs from what was last handed out.
    pub(super) fn changed_state(&mut self, judge: &JudgeId) -> Option<Checkpoint> {
        let state = self.judge.save()?;
        let checksum = Some(saving::checksum(&state));
        if self.saved_state == checksum {
            return None;
        }
        self.saved_state = checksum;
        Some(Checkpoint { key: saved::key(saved::STATE, judge, &self.subject), state: Some(state) })
    }

    /// Takes up the saved state of the judge.
    pub(super) fn restore(&mut self, state: &[u8], now: Moment) -> Result<(), RestoreError> {
        self.judge.restore(state, now)?;
        self.saved_state = Some(saving::checksum(state));
        Ok(())
    }

    /// The removal of its saved state, if there is any.
    pub(super) fn forgotten_state(&self, judge: &JudgeId) -> Option<Checkpoint> {
        self.saved_state.as_ref()?;
        Some(Checkpoint { key: saved::key(saved::STATE, judge, &self.subject), state: None })
    }

    pub(super) fn restore_unit(&mut self, unit: Option<Unit>) {
        self.unit = unit;
    }
}

pub(super) fn body_of(condition: &Condition, unit: Option<&Unit>) -> Body {
    let Condition { member, observed, expected, p_value, ref contributions, feedback, .. } = *condition;
    if member.is_health() {
        Body::Health(Health { cause: member, observed, expected })
    } else {
        Body::Anomaly(Anomaly {
            member,
            observed,
            expected,
            p_value,
            // What a member measures in bits or deviations is not in the unit of the signal.
            unit: unit.filter(|_| member.own_unit().is_none()).cloned(),
            contributions: contributions.clone(),
            feedback,
        })
    }
}
