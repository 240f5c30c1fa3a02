//! Verdicts for tests.

use crate::id::{DeviceId, EventId, JudgeId, Lane, SignalId, SourceId};
use crate::time::{DeviceClock, UtcMillis};
use crate::verdict::{AlarmHandling, Body, Detector, Event, EventState, Severity, Subject, Times, Verdict};

/// A warning of source `s`, with an event where it has a state.
///
/// # Panics
/// A name is none.
#[must_use]
pub fn verdict_of(
    judge: &str,
    (device, signal): (&str, Option<&str>),
    at: UtcMillis,
    state: Option<EventState>,
    body: Body,
) -> Verdict {
    let event = |state| Event {
        id: EventId([1; 16]),
        state,
        since: at,
        lasted_ms: 0,
        number: None,
        change: None,
        suspended: false,
        learning: false,
        group: None,
        handling: AlarmHandling::default(),
    };
    Verdict {
        judge: JudgeId::new(judge).expect("a name"),
        subject: Subject {
            source: SourceId::new("s").expect("a name"),
            device: DeviceId::new(device).expect("a name"),
            signal: signal.map(|signal| SignalId::new(signal).expect("a name")),
        },
        times: Times {
            captured: None,
            clock: DeviceClock::Absent,
            received: at,
            decided: at,
            estimated: false,
        },
        detector: Detector::Threshold,
        tag: None,
        model: None,
        severity: Severity::Warning,
        lane: Lane::Alarm,
        event: state.map(event),
        group: None,
        action: None,
        body,
    }
}
