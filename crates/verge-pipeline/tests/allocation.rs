//! What the board costs the committer: no memory for a verdict about a point that it knows. One test, because allocations
//! of other threads would be counted too.
#![expect(clippy::unwrap_used, reason = "a test may fail")]

use std::alloc::System;

use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};
use verge_domain::board::{Board, LastWord};
use verge_domain::finding::{Expected, Feedback, Member};
use verge_domain::id::{DeviceId, EventId, JudgeId, Lane, Seq, SignalId, SourceId};
use verge_domain::time::{DeviceClock, UtcMillis};
use verge_domain::verdict::{
    AlarmHandling, Anomaly, Body, Detector, Event, EventState, Severity, Subject, Times, Verdict,
};
use verge_pipeline::board::LastWords;

#[global_allocator]
static MEMORY: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

const SIGNALS: usize = 1_000;

fn verdict(signal: usize, at: i64, state: EventState) -> Verdict {
    let at = UtcMillis(at);
    Verdict {
        judge: JudgeId::new("high").unwrap(),
        subject: Subject {
            source: SourceId::new("pump").unwrap(),
            device: DeviceId::new("pump-1").unwrap(),
            signal: SignalId::new(&format!("s{signal}")).ok(),
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
        event: Some(Event {
            id: EventId([7; 16]),
            state,
            since: at,
            lasted_ms: 0,
            number: None,
            change: None,
            suspended: false,
            learning: false,
            group: None,
            handling: AlarmHandling::default(),
        }),
        group: None,
        action: None,
        body: Body::Anomaly(Anomaly {
            member: Member::High,
            observed: 9.5,
            expected: Expected { low: None, high: Some(7.1) },
            p_value: None,
            unit: None,
            contributions: Vec::new(),
            feedback: Feedback::default(),
            distance: None,
            value: None,
            usual: Expected::default(),
            value_unit: None,
            regions: verge_domain::verdict::Regions::default(),
        }),
    }
}

#[test]
fn a_verdict_about_a_known_point_allocates_nothing() {
    let board = LastWords::default();
    let mut seq = 0;
    let mut round = |state| {
        let words: Vec<LastWord> = (0..SIGNALS)
            .map(|signal| {
                seq += 1;
                LastWord::new(verdict(signal, seq as i64, state), Some(Seq(seq)))
            })
            .collect();
        let region = Region::new(MEMORY);
        for word in words {
            board.post(std::iter::once(word));
        }
        region.change().allocations
    };
    assert!(round(EventState::Raised) >= SIGNALS, "the counter counts");
    // The second finds its memory in what the first left.
    round(EventState::Updated);
    for state in [EventState::Updated, EventState::Cleared, EventState::Raised] {
        assert_eq!(round(state), 0, "{state:?}");
    }
    assert_eq!((board.words(&|_| true).len(), board.open_events().open), (SIGNALS, SIGNALS as u64));
}
