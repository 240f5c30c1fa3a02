//! Open events as they are saved, and reported again without their judge.

mod report;

use serde::{Deserialize, Serialize};
use verge_domain::finding::{Condition, Expected, Member, Standing, Strand};
use verge_domain::id::{EventNumber, JudgeId, Lane, SignalId, Unit};
use verge_domain::policy::OpenEvent;
use verge_domain::stage::Checkpoint;
use verge_domain::time::{DeviceClock, Moment, UtcMillis};
use verge_domain::verdict::{Detector, Event, EventState, Severity, Subject, Times, Verdict};

use super::JudgeSpec;
use super::body::body_of;
use super::keys::{EVENTS, parse_key};
use super::machine::MISSING_STATE;

pub(super) use report::{SavedReport, machine_of};

/// The open events of one instance, with enough about them to clear them without their judge.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct SavedLife {
    pub(super) detector: Detector,
    severity: Severity,
    lane: Lane,
    pub(super) unit: Option<Unit>,
    pub(super) events: Vec<SavedEvent>,
    /// Its silence was ended, see [`Instance::vanish`](super::instance::Instance::vanish).
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(super) vanished: bool,
}

/// An open event, and its last report.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct SavedEvent {
    pub(super) member: Member,
    /// See [`Condition::part`]; earlier versions knew none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) part: Option<SignalId>,
    pub(super) event: OpenEvent,
    pub(super) observed: f64,
    pub(super) expected: Expected,
    /// Its number; earlier versions gave none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) number: Option<EventNumber>,
    /// When that report was made; earlier versions did not save it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) reported: Option<UtcMillis>,
    /// The severity that a rule gave it, which it keeps to its end; else it has that of its judge.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) severity: Option<Severity>,
}

impl SavedEvent {
    pub(super) fn strand(&self) -> Strand {
        Strand { member: self.member.strand(), part: self.part.clone() }
    }
}

impl SavedLife {
    /// `None` when there is nothing to remember.
    pub(super) fn of<J>(
        spec: &JudgeSpec<J>,
        unit: Option<&Unit>,
        events: &[SavedEvent],
        vanished: bool,
    ) -> Option<Self> {
        (vanished || !events.is_empty()).then(|| Self {
            detector: spec.detector,
            severity: spec.policy.severity,
            lane: spec.policy.lane,
            unit: unit.cloned(),
            events: events.to_vec(),
            vanished,
        })
    }

    pub(super) fn to_bytes(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("saved events hold finite numbers and text only")
    }

    /// Verdicts that clear these events on behalf of a judge that is no longer configured.
    pub(super) fn clear(
        &self,
        judge: &JudgeId,
        subject: &Subject,
        now: Moment,
    ) -> impl Iterator<Item = Verdict> {
        self.events
            .iter()
            .map(move |saved| self.repeated(saved, judge, subject, EventState::Cleared, now.wall))
    }

    /// The last report of an event once more, in this state and as of this time.
    fn repeated(
        &self,
        saved: &SavedEvent,
        judge: &JudgeId,
        subject: &Subject,
        state: EventState,
        at: UtcMillis,
    ) -> Verdict {
        let SavedEvent { member, ref part, event, observed, expected, number, .. } = *saved;
        let OpenEvent { id, since, learning, suspended, handling, course: _ } = event;
        let suspended = suspended && state != EventState::Cleared;
        let (severity, lane) = if learning {
            (Severity::Info, Lane::Telemetry)
        } else {
            (saved.severity.unwrap_or(self.severity), self.lane)
        };
        let condition = Condition::of_rule(member, Standing::Normal, observed, expected);
        let lasted_ms = u64::try_from(at.since(since).as_millis()).unwrap_or(u64::MAX);
        Verdict {
            judge: judge.clone(),
            subject: about(subject, part.as_ref()),
            times: Times {
                captured: None,
                clock: DeviceClock::Absent,
                received: at,
                decided: at,
                estimated: false,
            },
            detector: self.detector,
            tag: None,
            model: None,
            severity,
            lane,
            event: Some(Event {
                id,
                state,
                since,
                lasted_ms,
                number,
                change: None,
                learning,
                suspended,
                group: None,
                handling,
            }),
            group: None,
            action: None,
            body: body_of(&condition, self.unit.as_ref()),
        }
    }
}

/// What a verdict about a part of a subject is about.
pub(super) fn about(subject: &Subject, part: Option<&SignalId>) -> Subject {
    let signal = part.or(subject.signal.as_ref()).cloned();
    Subject { signal, ..subject.clone() }
}

/// The events that were open when these checkpoints were saved, each as its last saved report, in the state `updated`.
/// Checkpoints that cannot be read are skipped: [`JudgeSet::restore`](super::JudgeSet::restore) reports them.
pub fn open_events(checkpoints: &[Checkpoint]) -> impl Iterator<Item = Verdict> {
    let saved = checkpoints.iter().filter_map(|checkpoint| {
        let (kind, judge, subject, _) = parse_key(&checkpoint.key)?;
        let state = checkpoint.state.as_ref().filter(|_| [EVENTS, MISSING_STATE].contains(&kind))?;
        Some((judge, subject, serde_json::from_slice::<SavedLife>(state).ok()?))
    });
    saved.flat_map(|(judge, subject, life)| {
        let repeated = |event: &SavedEvent| {
            let at = event.reported.unwrap_or(event.event.since);
            life.repeated(event, &judge, &subject, EventState::Updated, at)
        };
        life.events.iter().map(repeated).collect::<Vec<_>>()
    })
}

#[cfg(test)]
mod tests {
    use verge_domain::verdict::Body;

    use super::super::saved::SEPARATOR;
    use super::*;

    fn checkpoint(key: &str, state: Option<&str>) -> Checkpoint {
        let state = state.map(|state| state.as_bytes().to_vec());
        Checkpoint { key: key.replace('/', &SEPARATOR.to_string()), state }
    }

    #[test]
    fn open_events_are_read_back_with_value_and_time_as_version_0_1_saved_them_too() {
        let event = |member: &str, more: &str| {
            format!(
                r#"{{"member":"{member}","event":{{"id":{:?},"since":5000}},"observed":8.5,"expected":{{"low":null,"high":7.1}}{more}}}"#,
                [10; 16]
            )
        };
        let life = format!(
            r#"{{"detector":"health","severity":"critical","lane":"alarm","unit":"mm/s","events":[{},{}]}}"#,
            event("high", ""),
            event("stuck", r#","reported":9000"#)
        );
        let checkpoints = [
            checkpoint("events/j/s/d/x", Some(&life)),
            checkpoint("events/j/s/other/x", None),
            checkpoint("events/j/s/damaged/x", Some("{")),
            checkpoint("state/j/s/d/x", Some(&life)),
            checkpoint("a key of another kind", Some(&life)),
        ];
        let open: Vec<Verdict> = open_events(&checkpoints).collect();
        assert_eq!(open.len(), 2);
        for (verdict, at, lasted_ms) in [(&open[0], 5_000, 0), (&open[1], 9_000, 4_000)] {
            let event = verdict.event.unwrap();
            assert_eq!((verdict.times.received.0, event.since.0, event.lasted_ms), (at, 5_000, lasted_ms));
            assert_eq!((verdict.subject.device.as_str(), event.state), ("d", EventState::Updated));
        }
        let saved: SavedLife = serde_json::from_str(&life).unwrap();
        assert!(saved.events.iter().all(|event| event.event.course.is_unknown()));
        assert!(!String::from_utf8(saved.to_bytes()).unwrap().contains("course"), "nothing is said of it");
        let course = event("high", "")
            .replace(r#""since":5000"#, r#""since":5000,"course":{"below":true,"reached":2.5}"#);
        let known: SavedEvent = serde_json::from_str(&course).unwrap();
        let again: SavedEvent = serde_json::from_str(&serde_json::to_string(&known).unwrap()).unwrap();
        assert!(!known.event.course.is_unknown() && again.event.course == known.event.course);
        let Body::Anomaly(anomaly) = &open[0].body else { panic!("{:?}", open[0]) };
        assert_eq!((anomaly.observed, anomaly.expected.high), (8.5, Some(7.1)));
        assert!(matches!(&open[1].body, Body::Health(health) if health.cause == Member::Stuck));
    }
}
