//! One verdict.

use minicbor::Decoder;
use minicbor::data::Type;
use verge_domain::finding::{Contribution, Expected, Feedback};
use verge_domain::frame::{Classification, Detection, Detections, PixelBox, Score, Scored};
use verge_domain::id::{DeviceId, EventId, JudgeId, Label, Lane, ModelName, Seq, SignalId, SourceId, Unit};
use verge_domain::time::{DeviceClock, UtcMillis};
use verge_domain::verdict::{
    Anomaly, Body, Counts, Event, EventState, Health, Model, Subject, Times, Verdict,
};

use super::items::{Field, entries, expect_array, float, identity, list, name, offset_time, time};
use crate::{WireError, code};

/// One verdict with its number.
pub(super) fn verdict(cbor: &mut Decoder<'_>, lane: Lane) -> Result<(Seq, Verdict), WireError> {
    use code::verdict as key;
    let (mut seq, mut judge, mut source) = (Field::new("seq"), Field::new("judge"), Field::new("source"));
    let (mut device, mut signal) = (Field::new("device"), Field::new("signal"));
    let (mut received, mut decided) = (Field::new("received"), Field::new("decided"));
    let (mut captured, mut clock) = (Field::new("captured"), Field::new("clock"));
    let mut estimated = Field::new("estimated");
    let (mut detector, mut severity) = (Field::new("detector"), Field::new("severity"));
    let (mut event, mut model, mut body) = (Field::new("event"), Field::new("model"), Field::new("body"));
    entries(cbor, "verdict", |key, cbor| match key {
        key::SEQ => seq.set(Seq(cbor.u64()?)),
        key::JUDGE => judge.set(name(cbor, "judge", JudgeId::new)?),
        key::SOURCE => source.set(name(cbor, "source", SourceId::new)?),
        key::DEVICE => device.set(name(cbor, "device", DeviceId::new)?),
        key::SIGNAL => signal.set(name(cbor, "signal", SignalId::new)?),
        key::RECEIVED => received.set(time(cbor.i64()?, "received")?),
        key::DECIDED => decided.set(cbor.i64()?),
        key::CAPTURED => captured.set(cbor.i64()?),
        key::CLOCK => clock.set(read_clock(cbor.u64()?)?),
        key::DETECTOR => detector.set(code::meaning(&code::DETECTORS, cbor.u64()?, "detector")?),
        key::SEVERITY => severity.set(code::meaning(&code::SEVERITIES, cbor.u64()?, "severity")?),
        key::EVENT => event.set(read_event(cbor)?),
        key::MODEL => model.set(read_model(cbor)?),
        key::ESTIMATED => estimated.set(cbor.bool()?),
        key::ANOMALY => body.set(ReadBody::Anomaly(read_anomaly(cbor)?)),
        key::COUNTS => body.set(ReadBody::Counts(read_counts(cbor)?)),
        key::HEALTH => body.set(ReadBody::Health(read_health(cbor)?)),
        key::CLASSIFICATION => body.set(ReadBody::Classification(read_classification(cbor)?)),
        key::DETECTIONS => body.set(ReadBody::Detections(read_detections(cbor)?)),
        _ => Ok(cbor.skip()?),
    })?;
    let received = received.take()?;
    let at = |field, offset| offset_time(received, offset, field);
    let captured = captured.optional().map(|offset| at("captured", offset)).transpose()?;
    let clock = match (captured, clock.optional()) {
        (Some(_), Some(clock)) => clock,
        (None, None) => DeviceClock::Absent,
        _ => return Err(WireError::Clock),
    };
    let event = match event.optional() {
        Some((id, state, since, lasted_ms)) => {
            Some(Event { id, state, since: at("event since", since)?, lasted_ms })
        }
        None => None,
    };
    let body = match body.take()? {
        ReadBody::Anomaly(anomaly) => Body::Anomaly(anomaly),
        ReadBody::Health(health) => Body::Health(health),
        ReadBody::Classification(view) => Body::Classification(view),
        ReadBody::Detections(view) => Body::Detections(view),
        ReadBody::Counts((from, counts)) => {
            Body::Counts(Counts { from: at("counted from", from)?, ..counts })
        }
    };
    let verdict = Verdict {
        judge: judge.take()?,
        subject: Subject { source: source.take()?, device: device.take()?, signal: signal.optional() },
        times: Times {
            captured,
            clock,
            received,
            decided: at("decided", decided.take()?)?,
            estimated: estimated.optional().unwrap_or(false),
        },
        detector: detector.take()?,
        model: model.optional(),
        severity: severity.take()?,
        lane,
        event,
        body,
    };
    Ok((seq.take()?, verdict))
}

/// A body whose times still count from the receipt.
enum ReadBody {
    Anomaly(Anomaly),
    Counts((i64, Counts)),
    Health(Health),
    Classification(Classification),
    Detections(Detections),
}

fn read_clock(found: u64) -> Result<DeviceClock, WireError> {
    match u8::try_from(found) {
        Ok(code::TRUSTED) => Ok(DeviceClock::Trusted),
        Ok(code::SKEWED) => Ok(DeviceClock::Skewed),
        _ => Err(WireError::UnknownCode { field: "clock", found }),
    }
}

/// Identity, state, since (counted from the receipt), lasted.
type ReadEvent = (EventId, EventState, i64, u64);

fn read_event(cbor: &mut Decoder<'_>) -> Result<ReadEvent, WireError> {
    use code::event as key;
    let (mut id, mut state) = (Field::new("event id"), Field::new("event state"));
    let (mut since, mut lasted) = (Field::new("event since"), Field::new("event lasted"));
    entries(cbor, "event", |key, cbor| match key {
        key::ID => id.set(EventId(identity(cbor, "event id")?)),
        key::STATE => state.set(code::meaning(&code::STATES, cbor.u64()?, "event state")?),
        key::SINCE => since.set(cbor.i64()?),
        key::LASTED => lasted.set(cbor.u64()?),
        _ => Ok(cbor.skip()?),
    })?;
    Ok((id.take()?, state.take()?, since.take()?, lasted.take()?))
}

fn read_anomaly(cbor: &mut Decoder<'_>) -> Result<Anomaly, WireError> {
    use code::anomaly as key;
    let (mut member, mut observed) = (Field::new("member"), Field::new("observed"));
    let (mut low, mut high) = (Field::new("expected low"), Field::new("expected high"));
    let (mut p_value, mut unit) = (Field::new("p-value"), Field::new("unit"));
    let (mut contributions, mut feedback) = (Field::new("contributions"), Field::new("feedback"));
    entries(cbor, "anomaly", |key, cbor| match key {
        key::MEMBER => member.set(code::meaning(&code::MEMBERS, cbor.u64()?, "member")?),
        key::OBSERVED => observed.set(float(cbor, "observed")?),
        key::LOW => low.set(float(cbor, "expected low")?),
        key::HIGH => high.set(float(cbor, "expected high")?),
        key::P_VALUE => p_value.set(float(cbor, "p-value")?),
        key::UNIT => unit.set(name(cbor, "unit", Unit::new)?),
        key::CONTRIBUTIONS => contributions.set(list(cbor, "contributions", read_contribution)?),
        key::FEEDBACK => {
            expect_array(cbor, "feedback", 2..=2)?;
            feedback.set(Feedback { maintenance: cbor.u32()?, real: cbor.u32()? })
        }
        _ => Ok(cbor.skip()?),
    })?;
    Ok(Anomaly {
        member: member.take()?,
        observed: observed.take()?,
        expected: Expected { low: low.optional(), high: high.optional() },
        p_value: p_value.optional(),
        unit: unit.optional(),
        contributions: contributions.optional().unwrap_or_default(),
        feedback: feedback.optional().unwrap_or_default(),
    })
}

fn read_contribution(cbor: &mut Decoder<'_>) -> Result<Contribution, WireError> {
    expect_array(cbor, "contribution", 5..=5)?;
    let signal = name(cbor, "contribution", SignalId::new)?;
    let (share, observed) = (float(cbor, "share")?, float(cbor, "observed")?);
    let (low, high) = (optional_float(cbor, "expected low")?, optional_float(cbor, "expected high")?);
    Ok(Contribution { signal, share, observed, expected: Expected { low, high } })
}

fn optional_float(cbor: &mut Decoder<'_>, field: &'static str) -> Result<Option<f64>, WireError> {
    if cbor.datatype()? == Type::Null {
        cbor.skip()?;
        return Ok(None);
    }
    float(cbor, field).map(Some)
}

fn read_health(cbor: &mut Decoder<'_>) -> Result<Health, WireError> {
    use code::anomaly as key;
    let (mut cause, mut observed) = (Field::new("cause"), Field::new("observed"));
    let (mut low, mut high) = (Field::new("expected low"), Field::new("expected high"));
    entries(cbor, "health", |key, cbor| match key {
        key::MEMBER => cause.set(code::meaning(&code::MEMBERS, cbor.u64()?, "cause")?),
        key::OBSERVED => observed.set(float(cbor, "observed")?),
        key::LOW => low.set(float(cbor, "expected low")?),
        key::HIGH => high.set(float(cbor, "expected high")?),
        _ => Ok(cbor.skip()?),
    })?;
    let expected = Expected { low: low.optional(), high: high.optional() };
    Ok(Health { cause: cause.take()?, observed: observed.take()?, expected })
}

fn read_model(cbor: &mut Decoder<'_>) -> Result<Model, WireError> {
    expect_array(cbor, "model", 2..=2)?;
    Ok(Model {
        name: name(cbor, "model", ModelName::new)?,
        version: name(cbor, "model version", ModelName::new)?,
    })
}

fn read_classification(cbor: &mut Decoder<'_>) -> Result<Classification, WireError> {
    use code::classification as key;
    let mut labels = Field::new("labels");
    entries(cbor, "classification", |key, cbor| match key {
        key::LABELS => labels.set(list(cbor, "labels", |cbor| {
            expect_array(cbor, "label", 2..=2)?;
            Ok(Scored { label: name(cbor, "label", Label::new)?, score: read_score(cbor)? })
        })?),
        _ => Ok(cbor.skip()?),
    })?;
    Ok(Classification { labels: labels.take()? })
}

fn read_detections(cbor: &mut Decoder<'_>) -> Result<Detections, WireError> {
    use code::detections as key;
    let (mut width, mut height, mut objects) =
        (Field::new("width"), Field::new("height"), Field::new("objects"));
    entries(cbor, "detections", |key, cbor| match key {
        key::WIDTH => width.set(cbor.u32()?),
        key::HEIGHT => height.set(cbor.u32()?),
        key::OBJECTS => objects.set(list(cbor, "objects", read_object)?),
        _ => Ok(cbor.skip()?),
    })?;
    Ok(Detections { width: width.take()?, height: height.take()?, objects: objects.take()? })
}

fn read_object(cbor: &mut Decoder<'_>) -> Result<Detection, WireError> {
    let parts = expect_array(cbor, "object", 6..=7)?;
    let label = name(cbor, "label", Label::new)?;
    let score = read_score(cbor)?;
    let area = PixelBox { x: cbor.u32()?, y: cbor.u32()?, width: cbor.u32()?, height: cbor.u32()? };
    let track = if parts == 7 { Some(cbor.u64()?) } else { None };
    Ok(Detection { label, score, area, track })
}

fn read_score(cbor: &mut Decoder<'_>) -> Result<Score, WireError> {
    let found = cbor.u16()?;
    Score::from_thousandths(found).ok_or(WireError::UnknownCode { field: "score", found: u64::from(found) })
}

/// The start of the interval, counted from the receipt, and the counts without it.
fn read_counts(cbor: &mut Decoder<'_>) -> Result<(i64, Counts), WireError> {
    use code::counts as key;
    let (mut from, mut length, mut observed) =
        (Field::new("counted from"), Field::new("length"), Field::new("observed"));
    let (mut partial, mut readings, mut vehicles) =
        (Field::new("partial"), Field::new("readings"), Field::new("vehicles"));
    let (mut flow, mut occupancy, mut mean_speed) =
        (Field::new("flow"), Field::new("occupancy"), Field::new("mean speed"));
    entries(cbor, "counts", |key, cbor| match key {
        key::FROM => from.set(cbor.i64()?),
        key::LENGTH => length.set(cbor.u64()?),
        key::OBSERVED => observed.set(cbor.u64()?),
        key::PARTIAL => partial.set(cbor.bool()?),
        key::READINGS => readings.set(cbor.u64()?),
        key::VEHICLES => vehicles.set(cbor.u64()?),
        key::FLOW => flow.set(float(cbor, "flow")?),
        key::OCCUPANCY => occupancy.set(float(cbor, "occupancy")?),
        key::MEAN_SPEED => mean_speed.set(float(cbor, "mean speed")?),
        _ => Ok(cbor.skip()?),
    })?;
    let counts = Counts {
        from: UtcMillis(0),
        length_ms: length.take()?,
        observed_ms: observed.take()?,
        partial: partial.take()?,
        readings: readings.take()?,
        vehicles: vehicles.optional(),
        flow_per_hour: flow.optional(),
        occupancy: occupancy.optional(),
        mean_speed: mean_speed.optional(),
    };
    Ok((from.take()?, counts))
}
