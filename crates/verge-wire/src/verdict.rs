//! A verdict as it travels: what the domain keeps in parts stands side by side.

use std::borrow::Cow;

use serde::ser::SerializeMap as _;
use serde::{Deserialize, Deserializer, Serializer};
use verge_domain::group::{AlarmGroup, GroupMember};
use verge_domain::id::{DeviceId, JudgeId, Lane, OperatorText, Seq, SignalId, SourceId};
use verge_domain::tag::SignalTag;
use verge_domain::time::{DeviceClock, UtcMillis};
use verge_domain::verdict::{
    ActionKind, AlarmHandling, Detector, Event, Model, OperatorAction, Severity, Subject, Times, Verdict,
};

use crate::WireError;
use crate::body::WireBody;
use crate::codes::ClockJudgement;
use crate::portable::{CborReader, CborWriter, Field, Omissible, Portable, Written};
use crate::record::{cbor_array, cbor_map, parse_object, record, show_members, show_object, tuple};
use crate::scalar::{ReceivedTime, SpanMs};

/// One verdict with its number.
pub(crate) struct WireVerdict<'a> {
    seq: Seq,
    judge: Cow<'a, JudgeId>,
    source: Cow<'a, SourceId>,
    device: Cow<'a, DeviceId>,
    signal: Option<Cow<'a, SignalId>>,
    tag: Option<Cow<'a, SignalTag>>,
    received: UtcMillis,
    decided: UtcMillis,
    captured: Option<UtcMillis>,
    clock: Option<ClockJudgement>,
    detector: Detector,
    severity: Severity,
    event: Option<Event>,
    group: Option<Cow<'a, AlarmGroup>>,
    action: WireAction<'a>,
    model: Option<Cow<'a, Model>>,
    estimated: bool,
    body: WireBody<'a>,
}

impl<'a> WireVerdict<'a> {
    pub(crate) fn of(seq: Seq, verdict: &'a Verdict) -> Self {
        let Verdict {
            judge,
            subject,
            tag,
            times,
            detector,
            model,
            severity,
            lane: _,
            event,
            group,
            action,
            body,
        } = verdict;
        let Subject { source, device, signal } = subject;
        let Times { captured, clock, received, decided, estimated } = *times;
        let clock = match clock {
            DeviceClock::Absent => None,
            DeviceClock::Trusted => Some(ClockJudgement::Trusted),
            DeviceClock::Skewed => Some(ClockJudgement::Skewed),
        };
        Self {
            seq,
            judge: Cow::Borrowed(judge),
            source: Cow::Borrowed(source),
            device: Cow::Borrowed(device),
            signal: signal.as_ref().map(Cow::Borrowed),
            tag: tag.as_ref().map(Cow::Borrowed),
            received,
            decided,
            captured,
            clock,
            detector: *detector,
            severity: *severity,
            event: *event,
            group: group.as_ref().map(Cow::Borrowed),
            action: WireAction(action.as_deref().map(Cow::Borrowed)),
            model: model.as_ref().map(Cow::Borrowed),
            estimated,
            body: WireBody::of(body),
        }
    }

    /// What no member holds by itself.
    pub(crate) fn checked(self) -> Result<Self, WireError> {
        if self.captured.is_some() == self.clock.is_some() { Ok(self) } else { Err(WireError::Clock) }
    }

    pub(crate) fn into_verdict(self, lane: Lane) -> Result<(Seq, Verdict), WireError> {
        let Self {
            seq,
            judge,
            source,
            device,
            signal,
            tag,
            received,
            decided,
            captured,
            clock,
            detector,
            severity,
            event,
            group,
            action,
            model,
            estimated,
            body,
        } = self.checked()?;
        let clock = match clock {
            None => DeviceClock::Absent,
            Some(ClockJudgement::Trusted) => DeviceClock::Trusted,
            Some(ClockJudgement::Skewed) => DeviceClock::Skewed,
        };
        let subject = Subject {
            source: source.into_owned(),
            device: device.into_owned(),
            signal: signal.map(Cow::into_owned),
        };
        let times = Times { captured, clock, received, decided, estimated };
        let (judge, model, body) = (judge.into_owned(), model.map(Cow::into_owned), body.into_body()?);
        let (tag, group) = (tag.map(Cow::into_owned), group.map(Cow::into_owned));
        let action = action.0.map(|action| Box::new(action.into_owned()));
        Ok((
            seq,
            Verdict {
                judge,
                subject,
                tag,
                times,
                detector,
                model,
                severity,
                lane,
                event,
                group,
                action,
                body,
            },
        ))
    }

    /// How old the observation was when it was decided on, by the device's clock where that is trusted; zero where
    /// the clocks say that it was not yet made.
    fn age_at_decision(&self) -> u64 {
        let observed = match (self.clock, self.captured) {
            (Some(ClockJudgement::Trusted), Some(captured)) => captured,
            _ => self.received,
        };
        u64::try_from(self.decided.since(observed).as_millis()).unwrap_or(u64::MAX)
    }
}

impl Portable for WireVerdict<'_> {
    cbor_map! {
        [WireVerdict {
            seq, judge, source, device, signal, tag, received, decided, captured, clock, detector, severity, event,
            model,
            estimated, group, action, body,
        }]
        "verdict" {
            0 seq,
            1 judge,
            2 source,
            3 device,
            4 signal optional,
            5 received (ReceivedTime),
            6 decided,
            7 captured optional,
            8 clock optional,
            9 detector,
            10 severity,
            11 event optional,
            12 model optional,
            13 estimated optional,
            14 group optional,
            15 tag optional,
            16 action optional,
            20 body,
        }
    }

    /// In an order for people, and with its age for readers who do not reckon with dates.
    fn show<S: Serializer>(&self, json: S) -> Result<S::Ok, S::Error> {
        let Self { seq, judge, source, device, signal, tag, received, decided, captured, clock, .. } = self;
        let Self { detector, severity, event, group, action, model, estimated, body, .. } = self;
        let mut object = json.serialize_map(None)?;
        show_members!(object, seq, judge, source, device, signal optional, tag optional, captured optional, clock optional);
        show_members!(object, received, decided, estimated optional);
        object.serialize_entry("age_ms", &self.age_at_decision())?;
        show_members!(object, detector, model optional, severity, event optional, group optional);
        show_members!(object, action optional, body);
        object.end()
    }

    parse_object! {
        WireVerdict<'static>,
        [WireVerdict {
            seq, judge, source, device, signal, tag, received, decided, captured, clock, detector, severity, event,
            model,
            estimated, group, action, body,
        }]
        "verdict" {
            seq,
            judge,
            source,
            device,
            signal optional,
            tag optional,
            received,
            decided,
            captured optional,
            clock optional,
            detector,
            severity,
            event optional,
            model optional,
            estimated optional,
            group optional,
            action optional,
            body,
        }
    }
}

record! {
    [Event { id, state, since, lasted_ms: lasted_s, number, learning, suspended, change, group, handling: AlarmHandling { acknowledged, shelved } }]
    Event as Event: "event" {
        0 id, 1 state, 2 since, 3 lasted_s (SpanMs), 4 number optional, 5 learning optional, 6 suspended optional,
        7 change optional, 8 group optional, 9 acknowledged optional, 10 shelved optional,
    }
}

record!(OperatorAction: "action" { 0 kind, 1 by, 2 note optional });

/// An operator's action; none where it is of a kind that a later version has: the rest of the verdict holds without it.
#[derive(Default)]
struct WireAction<'a>(Option<Cow<'a, OperatorAction>>);

impl Omissible for WireAction<'_> {
    fn is_absent(&self) -> bool {
        self.0.is_none()
    }
}

impl Portable for WireAction<'_> {
    fn write(&self, cbor: &mut CborWriter<'_>, field: Field) -> Written {
        self.0.write(cbor, field)
    }

    fn read(cbor: &mut CborReader<'_>, field: Field) -> Result<Self, WireError> {
        let begin = cbor.items.position();
        match OperatorAction::read(cbor, field) {
            Err(WireError::UnknownCode { .. }) => {
                cbor.items.set_position(begin);
                cbor.items.skip()?;
                Ok(Self(None))
            }
            action => Ok(Self(Some(Cow::Owned(action?)))),
        }
    }

    fn show<S: Serializer>(&self, json: S) -> Result<S::Ok, S::Error> {
        self.0.show(json)
    }

    fn parse<'de, D: Deserializer<'de>>(json: D) -> Result<Self, D::Error> {
        /// With any word for its kind.
        #[derive(Deserialize)]
        struct AnyAction {
            kind: String,
            by: OperatorText,
            note: Option<OperatorText>,
        }
        let AnyAction { kind, by, note } = AnyAction::deserialize(json)?;
        let known = ActionKind::named(&kind);
        Ok(Self(known.map(|kind| Cow::Owned(OperatorAction { kind, by, note }))))
    }
}
record!(SignalTag: "tag" { 0 description optional, 1 machine optional, 2 group optional });
record! { AlarmGroup: "group" { 0 kind, 1 others, 2 members optional } }

impl Portable for GroupMember {
    cbor_array! {
        [GroupMember { device, signal, judge, event }] "group member" { device, signal, judge, event }
    }
    show_object! {
        [GroupMember { device, signal, judge, event }] { device, signal optional, judge, event }
    }
    parse_object! {
        GroupMember, [GroupMember { device, signal, judge, event }]
        "group member" { device, signal optional, judge, event }
    }
}

tuple!(Model: "model" { name, version });
