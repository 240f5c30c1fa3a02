//! The last report of one event, to be repeated while other events keep it open.

use serde::{Deserialize, Serialize};
use verge_domain::id::{DeviceId, EventId, JudgeId, SignalId, SourceId};
use verge_domain::policy::OpenEvent;
use verge_domain::tag::SignalTag;
use verge_domain::time::UtcMillis;
use verge_domain::verdict::{Body, EventState, Severity, Subject, Verdict};

use super::{SavedEvent, SavedLife};

/// The machine that a verdict is about: as the list of tags says, else its device.
pub(in crate::judging) fn machine_of(verdict: &Verdict) -> &str {
    let machine = verdict.tag.as_ref().and_then(|tag| tag.machine.as_ref());
    machine.map_or(verdict.subject.device.as_str(), |machine| machine.as_str())
}

/// A report with all that is needed to repeat it.
#[derive(Debug, Serialize, Deserialize)]
pub(in crate::judging) struct SavedReport {
    judge: JudgeId,
    source: SourceId,
    device: DeviceId,
    signal: Option<SignalId>,
    /// See [`machine_of`].
    machine: String,
    /// What the list of tags says of it; earlier versions did not save it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    tag: Option<SignalTag>,
    life: SavedLife,
    saved: SavedEvent,
}

impl SavedReport {
    /// `None` where the verdict is of no event.
    pub(in crate::judging) fn of(verdict: &Verdict) -> Option<Self> {
        let event = verdict.event?;
        let (member, observed, expected, unit) = match &verdict.body {
            Body::Anomaly(anomaly) => {
                (anomaly.member, anomaly.observed, anomaly.expected, anomaly.unit.clone())
            }
            Body::Health(health) => (health.cause, health.observed, health.expected, None),
            Body::Counts(_) | Body::Classification(_) | Body::Detections(_) | Body::Traffic(_) => {
                return None;
            }
        };
        let Subject { source, device, signal } = verdict.subject.clone();
        let (detector, severity, lane) = (verdict.detector, verdict.severity, verdict.lane);
        let number = event.number;
        let handling = event.handling;
        let event = OpenEvent { handling, ..OpenEvent::new(event.id, event.since, event.learning) };
        Some(Self {
            judge: verdict.judge.clone(),
            source,
            device,
            signal,
            machine: machine_of(verdict).to_owned(),
            tag: verdict.tag.clone(),
            life: SavedLife { detector, severity, lane, unit, events: Vec::new(), vanished: false },
            saved: SavedEvent {
                member,
                part: None,
                event,
                observed,
                expected,
                number,
                reported: None,
                severity: None,
            },
        })
    }

    pub(in crate::judging) const fn id(&self) -> EventId {
        self.saved.event.id
    }

    pub(in crate::judging) fn is_of_machine(&self, machine: &str) -> bool {
        self.machine == machine
    }

    pub(in crate::judging) const fn severity(&self) -> Severity {
        self.life.severity
    }

    /// It is at least as severe from now on.
    pub(in crate::judging) fn raise(&mut self, severity: Severity) {
        self.life.severity = self.life.severity.max(severity);
    }

    /// The report once more, in this state and as of this time.
    pub(in crate::judging) fn repeated(&self, state: EventState, at: UtcMillis) -> Verdict {
        let (source, device, signal) = (self.source.clone(), self.device.clone(), self.signal.clone());
        let subject = Subject { source, device, signal };
        let verdict = self.life.repeated(&self.saved, &self.judge, &subject, state, at);
        Verdict { tag: self.tag.clone(), ..verdict }
    }
}
