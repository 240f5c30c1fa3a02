//! One verdict: its invariants, and its CBOR map.

use verge_domain::finding::{Contribution, Expected};
use verge_domain::frame::{Classification, Detection, Detections, Scored};
use verge_domain::id::Identity;
use verge_domain::time::{DeviceClock, UtcMillis};
use verge_domain::verdict::{Anomaly, Body, Counts, Event, Health, Model, Verdict};

use super::number::write_float;
use super::{Writer, Written, entries, length, write_optional};
use crate::{WireError, code};

/// The invariants that CBOR would not hold by itself.
pub(super) fn check(verdict: &Verdict) -> Result<(), WireError> {
    let times = &verdict.times;
    let event_since = verdict.event.map(|event| event.since);
    let in_range = |field, at: Option<UtcMillis>| match at {
        Some(at) if UtcMillis::in_range(at.0).is_none() => Err(WireError::NotATime { field }),
        _ => Ok(()),
    };
    in_range("received", Some(times.received))?;
    in_range("decided", Some(times.decided))?;
    in_range("captured", times.captured)?;
    in_range("event since", event_since)?;
    if times.captured.is_some() == (times.clock == DeviceClock::Absent) {
        return Err(WireError::Clock);
    }
    let finite = |field, value: Option<f64>| match value {
        Some(value) if !value.is_finite() => Err(WireError::NotFinite { field }),
        _ => Ok(()),
    };
    match &verdict.body {
        Body::Anomaly(Anomaly { observed, expected, p_value, contributions, .. }) => {
            finite("observed", Some(*observed))?;
            finite("expected low", expected.low)?;
            finite("expected high", expected.high)?;
            for Contribution { share, observed, expected, .. } in contributions {
                finite("share", Some(*share))?;
                finite("observed", Some(*observed))?;
                finite("expected low", expected.low)?;
                finite("expected high", expected.high)?;
            }
            finite("p-value", *p_value)
        }
        Body::Counts(counts) => {
            in_range("counted from", Some(counts.from))?;
            finite("flow", counts.flow_per_hour)?;
            finite("occupancy", counts.occupancy)?;
            finite("mean speed", counts.mean_speed)
        }
        Body::Health(Health { observed, expected, .. }) => {
            finite("observed", Some(*observed))?;
            finite("expected low", expected.low)?;
            finite("expected high", expected.high)
        }
        // Whole numbers only.
        Body::Classification(_) | Body::Detections(_) => Ok(()),
    }
}

/// The stored form.
pub(super) fn write_verdict(cbor: &mut Writer<'_>, identity: &Identity, verdict: &Verdict) -> Written {
    use code::verdict as key;
    let Verdict { judge, subject, times, detector, model, severity, lane: _, event, body } = verdict;
    let optional = [
        subject.signal.is_some(),
        times.captured.is_some(),
        times.captured.is_some(),
        event.is_some(),
        model.is_some(),
        times.estimated,
    ];
    cbor.map(entries(9, optional))?;
    cbor.u64(key::SEQ)?.u64(identity.seq.0)?;
    cbor.u64(key::JUDGE)?.str(judge.as_str())?;
    cbor.u64(key::SOURCE)?.str(subject.source.as_str())?;
    cbor.u64(key::DEVICE)?.str(subject.device.as_str())?;
    if let Some(signal) = &subject.signal {
        cbor.u64(key::SIGNAL)?.str(signal.as_str())?;
    }
    cbor.u64(key::RECEIVED)?.i64(times.received.0)?;
    cbor.u64(key::DECIDED)?.i64(after(times.received, times.decided))?;
    if let Some(captured) = times.captured {
        cbor.u64(key::CAPTURED)?.i64(after(times.received, captured))?;
        let clock = if times.clock == DeviceClock::Trusted { code::TRUSTED } else { code::SKEWED };
        cbor.u64(key::CLOCK)?.u8(clock)?;
    }
    cbor.u64(key::DETECTOR)?.u8(code::of_detector(*detector))?;
    cbor.u64(key::SEVERITY)?.u8(code::of_severity(*severity))?;
    if let Some(event) = event {
        cbor.u64(key::EVENT)?;
        write_event(cbor, event, times.received)?;
    }
    if let Some(Model { name, version }) = model {
        cbor.u64(key::MODEL)?.array(2)?.str(name.as_str())?.str(version.as_str())?;
    }
    if times.estimated {
        cbor.u64(key::ESTIMATED)?.bool(true)?;
    }
    match body {
        Body::Anomaly(anomaly) => {
            cbor.u64(key::ANOMALY)?;
            write_anomaly(cbor, anomaly)
        }
        Body::Counts(counts) => {
            cbor.u64(key::COUNTS)?;
            write_counts(cbor, counts, times.received)
        }
        Body::Health(health) => {
            cbor.u64(key::HEALTH)?;
            write_health(cbor, health)
        }
        Body::Classification(view) => {
            cbor.u64(key::CLASSIFICATION)?;
            write_classification(cbor, view)
        }
        Body::Detections(view) => {
            cbor.u64(key::DETECTIONS)?;
            write_detections(cbor, view)
        }
    }
}

fn write_classification(cbor: &mut Writer<'_>, view: &Classification) -> Written {
    use code::classification as key;
    cbor.map(1)?.u64(key::LABELS)?.array(length(&view.labels))?;
    for Scored { label, score } in &view.labels {
        cbor.array(2)?.str(label.as_str())?.u16(score.thousandths())?;
    }
    Ok(())
}

fn write_detections(cbor: &mut Writer<'_>, view: &Detections) -> Written {
    use code::detections as key;
    let Detections { width, height, objects } = view;
    cbor.map(3)?.u64(key::WIDTH)?.u32(*width)?.u64(key::HEIGHT)?.u32(*height)?;
    cbor.u64(key::OBJECTS)?.array(length(objects))?;
    for Detection { label, score, area, track } in objects {
        cbor.array(6u64.saturating_add(u64::from(track.is_some())))?;
        cbor.str(label.as_str())?.u16(score.thousandths())?;
        cbor.u32(area.x)?.u32(area.y)?.u32(area.width)?.u32(area.height)?;
        if let Some(track) = track {
            cbor.u64(*track)?;
        }
    }
    Ok(())
}

fn write_event(cbor: &mut Writer<'_>, event: &Event, received: UtcMillis) -> Written {
    use code::event as key;
    cbor.map(4)?;
    cbor.u64(key::ID)?.bytes(&event.id.0)?;
    cbor.u64(key::STATE)?.u8(code::of_state(event.state))?;
    cbor.u64(key::SINCE)?.i64(after(received, event.since))?;
    cbor.u64(key::LASTED)?.u64(event.lasted_ms)?.ok()
}

fn write_anomaly(cbor: &mut Writer<'_>, anomaly: &Anomaly) -> Written {
    use code::anomaly as key;
    let Anomaly { member, observed, expected, p_value, unit, contributions, feedback } = anomaly;
    let optional = [
        expected.low.is_some(),
        expected.high.is_some(),
        p_value.is_some(),
        unit.is_some(),
        !contributions.is_empty(),
        !feedback.is_empty(),
    ];
    cbor.map(entries(2, optional))?;
    cbor.u64(key::MEMBER)?.u8(code::of_member(*member))?;
    write_float(cbor.u64(key::OBSERVED)?, *observed)?;
    write_expected(cbor, *expected)?;
    write_optional(cbor, key::P_VALUE, *p_value)?;
    if let Some(unit) = unit {
        cbor.u64(key::UNIT)?.str(unit.as_str())?;
    }
    if !contributions.is_empty() {
        cbor.u64(key::CONTRIBUTIONS)?.array(length(contributions))?;
        for Contribution { signal, share, observed, expected } in contributions {
            write_float(cbor.array(5)?.str(signal.as_str())?, *share)?;
            write_float(cbor, *observed)?;
            for end in [expected.low, expected.high] {
                match end {
                    Some(end) => write_float(cbor, end)?,
                    None => cbor.null()?.ok()?,
                }
            }
        }
    }
    if !feedback.is_empty() {
        cbor.u64(key::FEEDBACK)?.array(2)?.u32(feedback.maintenance)?.u32(feedback.real)?;
    }
    Ok(())
}

fn write_health(cbor: &mut Writer<'_>, health: &Health) -> Written {
    use code::anomaly as key;
    let Health { cause, observed, expected } = health;
    cbor.map(entries(2, [expected.low.is_some(), expected.high.is_some()]))?;
    cbor.u64(key::MEMBER)?.u8(code::of_member(*cause))?;
    write_float(cbor.u64(key::OBSERVED)?, *observed)?;
    write_expected(cbor, *expected)
}

fn write_expected(cbor: &mut Writer<'_>, expected: Expected) -> Written {
    write_optional(cbor, code::anomaly::LOW, expected.low)?;
    write_optional(cbor, code::anomaly::HIGH, expected.high)
}

fn write_counts(cbor: &mut Writer<'_>, counts: &Counts, received: UtcMillis) -> Written {
    use code::counts as key;
    let Counts {
        from,
        length_ms,
        observed_ms,
        partial,
        readings,
        vehicles,
        flow_per_hour,
        occupancy,
        mean_speed,
    } = counts;
    let optional = [vehicles.is_some(), flow_per_hour.is_some(), occupancy.is_some(), mean_speed.is_some()];
    cbor.map(entries(5, optional))?;
    cbor.u64(key::FROM)?.i64(after(received, *from))?;
    cbor.u64(key::LENGTH)?.u64(*length_ms)?;
    cbor.u64(key::OBSERVED)?.u64(*observed_ms)?;
    cbor.u64(key::PARTIAL)?.bool(*partial)?;
    cbor.u64(key::READINGS)?.u64(*readings)?;
    if let Some(vehicles) = vehicles {
        cbor.u64(key::VEHICLES)?.u64(*vehicles)?;
    }
    write_optional(cbor, key::FLOW, *flow_per_hour)?;
    write_optional(cbor, key::OCCUPANCY, *occupancy)?;
    write_optional(cbor, key::MEAN_SPEED, *mean_speed)
}

/// Milliseconds from `received` to `at`. Both lie in range, so this cannot overflow.
fn after(received: UtcMillis, at: UtcMillis) -> i64 {
    at.0.saturating_sub(received.0)
}
