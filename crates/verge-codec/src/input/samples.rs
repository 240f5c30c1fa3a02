//! Codecs `samples_f32` and `samples_i16`: the payload is an array of samples, little-endian and nothing else, as
//! vibration sensors and microphones send blocks. Each sample becomes a reading of the topic's device and signal.

use verge_domain::id::Unit;
use verge_domain::rejection::{Reason, Rejection};

use super::number::SignalPlace;
use super::{DecoderOutput, InputMessage, Linear};
use crate::names::NameCache;
use crate::settings::{CodecSettingsError, SampleElement, SamplesSettings};

#[derive(Debug)]
pub(crate) struct SamplesCodec {
    element: SampleElement,
    signal: SignalPlace,
    unit: Option<Unit>,
    linear: Linear,
}

impl SamplesCodec {
    pub(super) fn new(settings: SamplesSettings) -> Result<Self, CodecSettingsError> {
        let SamplesSettings { element, signal, unit, scale, offset } = settings;
        Ok(Self { element, signal: SignalPlace::new(signal)?, unit, linear: Linear::new(scale, offset)? })
    }

    pub(super) fn decode(
        &self,
        message: &InputMessage<'_>,
        names: &mut NameCache,
        output: &mut DecoderOutput<'_>,
    ) -> Result<(), Rejection> {
        match self.element {
            SampleElement::F32 => {
                let (samples, rest) = message.payload.as_chunks();
                let values = samples.iter().map(|bytes| f64::from(f32::from_le_bytes(*bytes)));
                self.readings(values, rest, message, names, output)
            }
            SampleElement::I16 => {
                let (samples, rest) = message.payload.as_chunks();
                let values = samples.iter().map(|bytes| f64::from(i16::from_le_bytes(*bytes)));
                self.readings(values, rest, message, names, output)
            }
        }
    }

    fn readings(
        &self,
        values: impl ExactSizeIterator<Item = f64>,
        rest: &[u8],
        message: &InputMessage<'_>,
        names: &mut NameCache,
        output: &mut DecoderOutput<'_>,
    ) -> Result<(), Rejection> {
        if !rest.is_empty() {
            return Err(Rejection::whole(Reason::BadSamples));
        }
        // Part of a block would be a block of another length: what looks at blocks would see a step in it.
        if values.len() > output.room {
            return Err(Rejection::whole(Reason::TooManyReadings));
        }
        let signal = self.signal.of(message.topic, names)?;
        let device = message.device.as_ref().ok_or(Rejection::whole(Reason::MissingDevice))?;
        output.decoded.items.reserve(values.len());
        for value in values {
            match self.linear.apply(value) {
                Ok(value) => output.reading(device, signal.clone(), value, self.unit.clone(), None),
                Err(reason) => output.decoded.rejections.push(Rejection::whole(reason)),
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use verge_domain::id::SignalId;

    use super::*;
    use crate::testing::{self, inbound, source};
    use crate::{CodecSettings, DeviceRule, SignalRule, SourceSettings};

    fn with(element: SampleElement, scale: f64, offset: f64) -> SourceSettings {
        let settings = SamplesSettings {
            element,
            signal: SignalRule::Fixed(SignalId::new("x").unwrap()),
            unit: Unit::new("m/s2").ok(),
            scale,
            offset,
        };
        source(CodecSettings::Samples(settings), DeviceRule::TopicLevel(1))
    }

    fn bytes<const N: usize>(samples: impl IntoIterator<Item = [u8; N]>) -> Vec<u8> {
        samples.into_iter().flatten().collect()
    }

    #[test]
    fn each_sample_is_a_reading() {
        let check = |source: &SourceSettings, payload: &[u8], readings: &[&str], rejections: &[&str]| {
            testing::check(source, &inbound("plant/pump-1/x", payload), readings, rejections);
        };
        let floats = with(SampleElement::F32, 1.0, 0.0);
        let good = bytes([1.5_f32, -2.0, 0.0].map(f32::to_le_bytes));
        check(&floats, &good, &["pump-1 x 1.5 m/s2", "pump-1 x -2 m/s2", "pump-1 x 0 m/s2"], &[]);
        let holes = bytes([f32::NAN, 1.0, f32::INFINITY, f32::NEG_INFINITY, 2.0].map(f32::to_le_bytes));
        let three = ["not_finite", "not_finite", "not_finite"];
        check(&floats, &holes, &["pump-1 x 1 m/s2", "pump-1 x 2 m/s2"], &three);
        let whole = with(SampleElement::I16, 0.5, 1.0);
        let extremes = bytes([i16::MIN, -1, 0x0102, i16::MAX].map(i16::to_le_bytes));
        check(
            &whole,
            &extremes,
            &["pump-1 x -16383 m/s2", "pump-1 x 0.5 m/s2", "pump-1 x 130 m/s2", "pump-1 x 16384.5 m/s2"],
            &[],
        );
        check(&whole, &[2, 1], &["pump-1 x 130 m/s2"], &[]);
        let huge = with(SampleElement::F32, 1e300, 0.0);
        check(&huge, &bytes([1e30_f32.to_le_bytes()]), &[], &["not_finite"]);
    }

    #[test]
    fn blocks_are_refused_as_a_whole() {
        let floats = with(SampleElement::F32, 1.0, 0.0);
        let whole = with(SampleElement::I16, 1.0, 0.0);
        let check = |source: &SourceSettings, payload: &[u8], expected: &str| {
            testing::check(source, &inbound("plant/pump-1/x", payload), &[], &[expected]);
        };
        check(&floats, &[], "empty");
        for length in [1, 2, 3, 5, 4_001] {
            check(&floats, &vec![0; length], "bad_samples");
        }
        check(&whole, &[0], "bad_samples");
        check(&whole, &[0; 3], "bad_samples");
        check(&whole, &[0; 514], "too_many_readings");
        check(&floats, &[0; 1028], "too_many_readings");
        testing::check(&floats, &inbound("plant", &[0; 4]), &[], &["missing_device at topic:1"]);
        let largest = SourceSettings { max_payload_bytes: 1 << 20, max_readings: 65_536, ..whole };
        let decoded = testing::decode(&largest, &inbound("plant/pump-1/x", &[0; 131_072]));
        assert_eq!((decoded.items.len(), decoded.rejections.len()), (65_536, 0));
        check(&largest, &[0; 131_074], "too_many_readings");
    }
}
