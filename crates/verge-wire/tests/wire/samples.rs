//! What the tests write: one verdict, its stored form, messages of it.

use std::time::Duration;

use bytes::Bytes;
use verge_domain::finding::{Expected, Feedback, Member};
use verge_domain::id::{
    DeviceId, Epoch, EventId, GatewayId, Identity, JudgeId, Lane, Seq, SignalId, SourceId, Unit,
};
use verge_domain::stage::{Encoder, Envelope, StoredRow, Withdrawn};
use verge_domain::time::{DeviceClock, UtcMillis};
use verge_domain::verdict::{
    AlarmHandling, Anomaly, Body, Detector, Event, EventState, Severity, Subject, Times, Verdict,
};
use verge_domain::withdrawn::Withdrawal;
use verge_wire::{WireEncoder, WireFormat};

pub(crate) const NAME: &str = "a name from a strategy of names";

pub(crate) fn envelope(lane: Lane) -> Envelope {
    Envelope {
        gateway: GatewayId::new("pump-room-1").expect(NAME),
        epoch: Epoch([0xab; 16]),
        lane,
        sent: UtcMillis(1_700_000_001_000),
        age: Duration::from_millis(998),
        volatile: false,
    }
}

pub(crate) fn sample() -> Verdict {
    let received = UtcMillis(1_700_000_000_000);
    Verdict {
        judge: JudgeId::new("vibration-high").expect(NAME),
        subject: Subject {
            source: SourceId::new("pump").expect(NAME),
            device: DeviceId::new("pump-1").expect(NAME),
            signal: Some(SignalId::new("vibration").expect(NAME)),
        },
        times: Times {
            captured: Some(UtcMillis(received.0 - 40)),
            clock: DeviceClock::Trusted,
            received,
            decided: UtcMillis(received.0 + 2),
            estimated: false,
        },
        detector: Detector::Threshold,
        tag: None,
        model: None,
        severity: Severity::Critical,
        lane: Lane::Alarm,
        event: Some(Event {
            id: EventId([0x11; 16]),
            state: EventState::Raised,
            since: UtcMillis(received.0 - 5000),
            lasted_ms: 5000,
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
            observed: 7.9,
            expected: Expected { low: None, high: Some(7.1) },
            p_value: None,
            unit: Some(Unit::new("mm/s").expect(NAME)),
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

pub(crate) fn identity(seq: u64, lane: Lane) -> Identity {
    let Envelope { gateway, epoch, .. } = envelope(lane);
    Identity { gateway, epoch, lane, seq: Seq(seq) }
}

pub(crate) fn stored(seq: u64, verdict: &Verdict) -> StoredRow {
    let mut bytes = Vec::new();
    WireEncoder::new(WireFormat::Cbor)
        .verdict(&identity(seq, verdict.lane), verdict, &mut bytes)
        .expect("verdicts of these tests are finite");
    StoredRow { seq: Seq(seq), decided: verdict.times.decided, bytes: Bytes::from(bytes), withdrawn: None }
}

/// Stored verdicts, numbered from 1.
pub(crate) fn rows(verdicts: &[Verdict]) -> Vec<StoredRow> {
    (1..).zip(verdicts).map(|(seq, verdict)| stored(seq, verdict)).collect()
}

/// What takes the place of these rows, with what they said in short.
pub(crate) fn withdrawn(lane: Lane, rows: &[StoredRow], reason: Withdrawal) -> StoredRow {
    let mut bytes = b"what was there before".to_vec();
    WireEncoder::new(WireFormat::Cbor).summary(lane, rows, &mut bytes).expect("summaries are always good");
    let (first, last) = (rows.first().expect("not empty"), rows.last().expect("not empty"));
    let withdrawn = Some(Withdrawn { through: last.through(), reason });
    StoredRow { seq: first.seq, decided: UtcMillis(1_700_000_000_900), bytes: bytes.into(), withdrawn }
}

pub(crate) fn written(format: WireFormat, envelope: &Envelope, rows: &[StoredRow]) -> Vec<u8> {
    let mut out = b"what was there before".to_vec();
    WireEncoder::new(format).message(envelope, rows, &mut out).expect("stored rows can be read");
    out
}

pub(crate) fn message(format: WireFormat, lane: Lane, verdicts: &[Verdict]) -> Vec<u8> {
    written(format, &envelope(lane), &rows(verdicts))
}
