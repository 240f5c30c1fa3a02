//! From verdict to bytes, and from stored verdicts to a message.

use std::convert::Infallible;

use minicbor::Encoder as Cbor;
use minicbor::encode::Error as CborError;
use verge_domain::finding::Expected;
use verge_domain::frame::{Classification, Detection, Detections, Scored};
use verge_domain::id::Identity;
use verge_domain::stage::{EncodeError, Encoder, Envelope, StoredRow};
use verge_domain::time::{DeviceClock, UtcMillis};
use verge_domain::verdict::{Anomaly, Body, Counts, Event, Health, Model, Verdict};

use super::{PACKED, PLAIN, VERSION, WireError, WireFormat, code, json};
use crate::lz4::Packer;
use crate::number::to_single;
use crate::time::in_range;

/// Smaller messages are not worth a block.
const PACK_FROM_BYTES: usize = 256;
/// A block must be smaller than this share of the message, in percent.
const PACK_BELOW_PERCENT: usize = 95;

/// Writes verdicts and messages. Stored verdicts are CBOR whatever the format of messages is.
pub struct WireEncoder {
    format: WireFormat,
    packer: Packer,
}

impl WireEncoder {
    /// An encoder whose messages are of this format.
    #[must_use]
    pub fn new(format: WireFormat) -> Self {
        Self { format, packer: Packer::default() }
    }

    fn cbor_message(
        &mut self,
        envelope: &Envelope,
        rows: &[StoredRow],
        out: &mut Vec<u8>,
    ) -> Result<(), WireError> {
        out.push(PLAIN);
        write_message(&mut Cbor::new(&mut *out), envelope, rows).unwrap_or_else(never);
        let plain = out.get(1..).unwrap_or_default();
        if plain.len() < PACK_FROM_BYTES {
            return Ok(());
        }
        let block = self.packer.pack(plain)?;
        if block.len().saturating_mul(100) < plain.len().saturating_mul(PACK_BELOW_PERCENT) {
            out.clear();
            out.push(PACKED);
            out.extend_from_slice(block);
        }
        Ok(())
    }
}

impl Encoder for WireEncoder {
    fn verdict(
        &mut self,
        identity: &Identity,
        verdict: &Verdict,
        out: &mut Vec<u8>,
    ) -> Result<(), EncodeError> {
        check(verdict).map_err(|error| EncodeError(Box::new(error)))?;
        write_verdict(&mut Cbor::new(out), identity, verdict).unwrap_or_else(never);
        Ok(())
    }

    fn message(
        &mut self,
        envelope: &Envelope,
        rows: &[StoredRow],
        out: &mut Vec<u8>,
    ) -> Result<(), EncodeError> {
        out.clear();
        if rows.is_empty() {
            return Err(EncodeError(Box::new(WireError::NoVerdict)));
        }
        match self.format {
            WireFormat::Cbor => self.cbor_message(envelope, rows, out),
            WireFormat::Json => json::write_message(envelope, rows, out),
        }
        .map_err(|error| EncodeError(Box::new(error)))
    }
}

/// Writing to memory does not fail.
fn never(error: CborError<Infallible>) {
    unreachable!("CBOR is written to memory, and that cannot fail: {error}")
}

/// The invariants that CBOR would not hold by itself.
fn check(verdict: &Verdict) -> Result<(), WireError> {
    let times = &verdict.times;
    let event_since = verdict.event.map(|event| event.since);
    let in_range = |field, at: Option<UtcMillis>| match at {
        Some(at) if in_range(at.0).is_none() => Err(WireError::NotATime { field }),
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
        Body::Anomaly(Anomaly { observed, expected, p_value, .. }) => {
            finite("observed", Some(*observed))?;
            finite("expected low", expected.low)?;
            finite("expected high", expected.high)?;
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

type Written = Result<(), CborError<Infallible>>;
type Writer<'a> = Cbor<&'a mut Vec<u8>>;

fn write_message(cbor: &mut Writer<'_>, envelope: &Envelope, rows: &[StoredRow]) -> Written {
    use code::message as key;
    let lane = u64::try_from(envelope.lane.index()).unwrap_or(u64::MAX);
    cbor.map(6)?;
    cbor.u64(key::VERSION)?.u8(VERSION)?;
    cbor.u64(key::GATEWAY)?.str(envelope.gateway.as_str())?;
    cbor.u64(key::EPOCH)?.bytes(&envelope.epoch.0)?;
    cbor.u64(key::LANE)?.u64(lane)?;
    cbor.u64(key::SENT)?.i64(envelope.sent.0)?;
    cbor.u64(key::VERDICTS)?.array(length(rows))?;
    for row in rows {
        cbor.writer_mut().extend_from_slice(&row.bytes);
    }
    Ok(())
}

fn write_verdict(cbor: &mut Writer<'_>, identity: &Identity, verdict: &Verdict) -> Written {
    use code::verdict as key;
    let Verdict { judge, subject, times, detector, model, severity, lane: _, event, body } = verdict;
    let optional = [
        subject.signal.is_some(),
        times.captured.is_some(),
        times.captured.is_some(),
        event.is_some(),
        model.is_some(),
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

fn length<T>(list: &[T]) -> u64 {
    u64::try_from(list.len()).unwrap_or(u64::MAX)
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
    let Anomaly { member, observed, expected, p_value, unit } = anomaly;
    cbor.map(entries(
        2,
        [expected.low.is_some(), expected.high.is_some(), p_value.is_some(), unit.is_some()],
    ))?;
    cbor.u64(key::MEMBER)?.u8(code::of_member(*member))?;
    write_float(cbor.u64(key::OBSERVED)?, *observed)?;
    write_expected(cbor, *expected)?;
    write_optional(cbor, key::P_VALUE, *p_value)?;
    if let Some(unit) = unit {
        cbor.u64(key::UNIT)?.str(unit.as_str())?;
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

/// Entries of a map with so many that are always there, and these that may be.
fn entries<const N: usize>(always: u64, optional: [bool; N]) -> u64 {
    optional.into_iter().fold(always, |entries, there| entries.saturating_add(u64::from(there)))
}

/// Milliseconds from `received` to `at`. Both lie in range, so this cannot overflow.
fn after(received: UtcMillis, at: UtcMillis) -> i64 {
    at.0.saturating_sub(received.0)
}

fn write_optional(cbor: &mut Writer<'_>, key: u64, value: Option<f64>) -> Written {
    match value {
        Some(value) => write_float(cbor.u64(key)?, value),
        None => Ok(()),
    }
}

/// The shortest float that is exact (RFC 8949 section 4.2.1).
fn write_float(cbor: &mut Writer<'_>, value: f64) -> Written {
    let single = to_single(value);
    if f64::from(single).to_bits() != value.to_bits() {
        return cbor.f64(value)?.ok();
    }
    if fits_half(single) { cbor.f16(single)?.ok() } else { cbor.f32(single)?.ok() }
}

/// Whether a finite number is a half-precision one: 10 bits of fraction, exponents from -14 to 15, and below
/// that multiples of 2^-24 (IEEE 754).
fn fits_half(single: f32) -> bool {
    const FRACTION_BITS: u32 = 23;
    const SPARE_BITS: u32 = 13;
    let bits = single.to_bits();
    let fraction = bits & 0x007f_ffff;
    let biased_exponent = bits >> FRACTION_BITS & 0xff;
    let spare = match biased_exponent {
        0 => return fraction == 0,
        113..=142 => SPARE_BITS,
        // Below the smallest normal number each exponent costs one more bit.
        103..=112 => SPARE_BITS.saturating_add(113u32.saturating_sub(biased_exponent)),
        _ => return false,
    };
    fraction.trailing_zeros() >= spare
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(value: f64) -> Vec<u8> {
        let mut bytes = Vec::new();
        write_float(&mut Cbor::new(&mut bytes), value).unwrap();
        bytes
    }

    #[test]
    fn floats_are_as_short_as_exactness_allows() {
        let check = |value: f64, length: usize| assert_eq!(written(value).len(), length, "{value:e}");
        check(0.0, 3);
        check(-0.0, 3);
        check(1.5, 3);
        check(65_504.0, 3);
        check(65_505.0, 5);
        check(65_536.0, 5);
        check(f64::exp2(-14.0), 3);
        check(f64::exp2(-24.0), 3);
        check(f64::exp2(-24.0) * 1.5, 5);
        check(f64::exp2(-23.0) * 1.5, 3);
        check(f64::exp2(-25.0), 5);
        check(100_000.5, 5);
        check(f64::exp2(-149.0), 5);
        check(7.1, 9);
        check(1e300, 9);
        check(f64::MIN_POSITIVE / 2.0, 9);
    }

    #[test]
    fn every_half_is_written_as_one_and_nothing_else_is() {
        for bits in 0..=u16::MAX {
            let cbor = [&[0xf9][..], &bits.to_be_bytes()].concat();
            let half = minicbor::Decoder::new(&cbor).f16().unwrap();
            if half.is_finite() {
                assert_eq!(written(f64::from(half)), cbor, "{half:e}");
                let next = f32::from_bits(half.to_bits() ^ 1);
                assert!(written(f64::from(next)).len() > 3 || half == 0.0 && next == 0.0, "{next:e}");
            }
        }
    }
}
