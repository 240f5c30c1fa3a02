//! From message to what it carries: one decoder per source, of readings here and of frames in [`crate::frames`].

use verge_domain::excerpt::Excerpt;
use verge_domain::reading::{Decoded, Inbound, Reading};
use verge_domain::rejection::{Reason, Rejection};
use verge_domain::stage::Decoder;
use verge_domain::time::DeviceClock;

use crate::envelope::SourceEnvelope;
use crate::input::{Codec, DecoderOutput, InputMessage, buffer};
use crate::names::NameCache;
use crate::offsets::Offsets;
use crate::settings::{CodecPlaces, CodecSettings, CodecSettingsError, SourceSettings};
use crate::shared::SharedNames;
use verge_lz4::Unpacker;

/// The decoders of all sources that carry the same, in the order of the settings: `Inbound::source` is an index into
/// them.
#[derive(Debug)]
pub struct SourceDecoders<S> {
    /// By the index of the source; a source that carries something else has none.
    sources: Vec<Option<S>>,
    tools: Tools,
}

/// The decoders of all sources of readings.
pub type Decoders = SourceDecoders<ReadingSource>;

/// What the decoders of one table share.
#[derive(Debug)]
pub struct Tools {
    pub(crate) names: NameCache,
    pub(crate) unpacker: Unpacker,
}

/// How the messages of one source are decoded.
pub trait SourceDecoder: Sized + Send {
    /// What it is made from.
    type Settings;
    /// What it finds in messages.
    type Item;

    /// Prepares it.
    ///
    /// # Errors
    /// Settings that contradict themselves.
    fn new(settings: Self::Settings) -> Result<Self, CodecSettingsError>;

    /// Decodes one message.
    ///
    /// # Errors
    /// The reason to refuse the message as a whole.
    fn decode(
        &mut self,
        message: &Inbound,
        tools: &mut Tools,
        out: &mut Decoded<Self::Item>,
    ) -> Result<(), Rejection>;
}

impl<S: SourceDecoder> SourceDecoders<S> {
    /// Prepares one decoder per source, in the order of the sources; `None` for one that carries something else.
    ///
    /// # Errors
    /// Settings that contradict themselves.
    pub fn new(sources: impl IntoIterator<Item = Option<S::Settings>>) -> Result<Self, CodecSettingsError> {
        let sources =
            sources.into_iter().map(|source| source.map(S::new).transpose()).collect::<Result<_, _>>()?;
        Ok(Self { sources, tools: Tools { names: NameCache::new(), unpacker: Unpacker::default() } })
    }
}

impl<S: SourceDecoder> Decoder for SourceDecoders<S> {
    type Item = S::Item;

    fn decode(&mut self, message: &Inbound, out: &mut Decoded<S::Item>) {
        out.clear();
        let Some(Some(source)) = self.sources.get_mut(usize::from(message.source.0)) else {
            out.rejections.push(Rejection::whole(Reason::UnknownTopic));
            return;
        };
        if let Err(rejection) = source.decode(message, &mut self.tools, out) {
            out.clear();
            out.rejections.push(rejection);
        }
    }
}

/// The decoder of one source of readings.
#[derive(Debug)]
pub struct ReadingSource {
    envelope: SourceEnvelope,
    codec: Codec,
    max_readings: usize,
    shared: SharedNames,
    offsets: Offsets,
}

impl SourceDecoder for ReadingSource {
    type Settings = SourceSettings;
    type Item = Reading;

    fn new(settings: SourceSettings) -> Result<Self, CodecSettingsError> {
        let SourceSettings { codec, compression, device, max_payload_bytes, max_readings, accept_retained } =
            settings;
        if max_readings == 0 {
            return Err(CodecSettingsError::ZeroLimit { limit: "max_readings" });
        }
        device.check_place(match &codec {
            CodecSettings::Number(_) => CodecPlaces::NUMBER,
            CodecSettings::Json(_) => CodecPlaces::JSON,
            CodecSettings::Senml(_) => CodecPlaces::SENML,
            CodecSettings::Line(_) => CodecPlaces::LINE,
            CodecSettings::Sparkplug(_) => CodecPlaces::SPARKPLUG,
            CodecSettings::Samples(samples) => CodecPlaces { name: samples.element.codec(), places: &[] },
        })?;
        let codec = Codec::new(codec, &device)?;
        let envelope = SourceEnvelope::new(device, compression, max_payload_bytes, accept_retained)?;
        Ok(Self {
            envelope,
            codec,
            max_readings,
            shared: SharedNames::default(),
            offsets: Offsets::default(),
        })
    }

    fn decode(
        &mut self,
        message: &Inbound,
        tools: &mut Tools,
        out: &mut Decoded<Reading>,
    ) -> Result<(), Rejection> {
        let Tools { names, unpacker } = tools;
        names.begin(usize::from(message.source.0));
        let opened = self.envelope.open(message, names, unpacker);
        let (payload, device) = opened.map_err(|refused| refused.showing(&message.payload))?;
        let moment = message.received;
        let received = moment.wall;
        let payload = payload.as_slice();
        let unwrapped = if self.codec.reads_buffers() { None } else { buffer::of_message(payload) };
        let payload = unwrapped.as_deref().unwrap_or(payload);
        let message = InputMessage { topic: &message.topic, payload, device, received };
        let read =
            self.codec.decode(&message, names, &mut DecoderOutput::new(out, self.max_readings, received));
        read.map_err(|refused| refused.showing(message.payload))?;
        show(&mut out.rejections, message.payload);
        // The samples of a block have one name and no time of their own, as they should.
        if out.items.len() > 1 && !matches!(self.codec, Codec::Samples(_)) {
            self.shared.find(&out.items, &mut out.shared);
        }
        for reading in &out.items {
            self.offsets.observe(&reading.device, reading.captured_at, moment, &mut out.clock_offsets);
        }
        if self.offsets.any() {
            let dated = out.items.iter_mut().filter(|reading| reading.captured_at.is_some());
            for reading in dated.filter(|reading| self.offsets.has(&reading.device)) {
                reading.clock = DeviceClock::Skewed;
            }
        }
        Ok(())
    }
}

/// Shows the head of the message where nothing narrower is shown.
pub(crate) fn show(rejections: &mut [Rejection], payload: &[u8]) {
    for rejection in rejections.iter_mut().filter(|rejection| rejection.came.is_empty()) {
        rejection.came = Excerpt::of(payload);
    }
}

#[cfg(test)]
mod tests {
    use verge_domain::id::{DeviceId, SignalId};
    use verge_domain::reading::SourceIndex;
    use verge_domain::time::{Moment, UtcMillis};

    use super::*;
    use crate::testing::{self, RECEIVED, inbound, source};
    use crate::{
        Compression, Decimal, DeviceRule, JsonMapping, JsonSettings, LineSettings, NumberSettings, Precision,
        SampleElement, SamplesSettings, SenmlFormat, SenmlSettings, SignalRule, TimeFormat, TimeRule,
    };
    use verge_lz4::Packer;

    fn number() -> CodecSettings {
        CodecSettings::Number(NumberSettings {
            signal: SignalRule::Fixed(SignalId::new("level").unwrap()),
            unit: None,
            scale: 1.0,
            offset: 0.0,
            words: Default::default(),
            decimal: Decimal::Point,
        })
    }

    fn json() -> CodecSettings {
        CodecSettings::Json(JsonSettings {
            readings: vec![JsonMapping {
                pointer: "/v".to_owned(),
                signal: None,
                time: None,
                quality: None,
                unit: None,
                scale: 1.0,
                offset: 0.0,
                words: Default::default(),
                decimal: Decimal::Point,
                required: true,
            }],
            time: Some(TimeRule { pointer: "/t".to_owned(), format: TimeFormat::UnixMs, zone: None }),
            quality: None,
        })
    }

    fn senml() -> CodecSettings {
        CodecSettings::Senml(SenmlSettings { format: SenmlFormat::Auto, signal: None })
    }

    fn line() -> CodecSettings {
        CodecSettings::Line(LineSettings::new(Precision::Ns))
    }

    fn samples() -> CodecSettings {
        CodecSettings::Samples(SamplesSettings {
            element: SampleElement::F32,
            signal: SignalRule::Fixed(SignalId::new("x").unwrap()),
            unit: None,
            scale: 1.0,
            offset: 0.0,
        })
    }

    fn fixed() -> DeviceRule {
        DeviceRule::Fixed(DeviceId::new("d").unwrap())
    }

    #[test]
    fn messages_are_refused_before_they_are_read() {
        let source = SourceSettings { max_payload_bytes: 4, ..source(number(), fixed()) };
        testing::check(&source, &inbound("a", b"12.5"), &["d level 12.5"], &[]);
        testing::check(&source, &inbound("a", b"12.50"), &[], &["too_large"]);
        testing::check(&source, &inbound("a", b""), &[], &["empty"]);
        let retained = Inbound { retained: true, ..inbound("a", b"1") };
        testing::check(&source, &retained, &[], &["retained"]);
        let tolerant = SourceSettings { accept_retained: true, ..source.clone() };
        testing::check(&tolerant, &retained, &["d level 1"], &[]);
        let stray = Inbound { source: SourceIndex(1), ..inbound("a", b"1") };
        testing::check(&source, &stray, &[], &["unknown_topic"]);
    }

    #[test]
    fn every_codec_is_read_from_a_block() {
        let check = |codec: CodecSettings, payload: &[u8], reading: &str| {
            let plain = source(codec, fixed());
            testing::check(&plain, &inbound("a", payload), &[reading], &[]);
            let wrapped = SourceSettings { compression: Compression::Lz4, max_payload_bytes: 64, ..plain };
            let block = Packer::default().pack(payload).unwrap().to_vec();
            testing::check(&wrapped, &inbound("a", &block), &[reading], &[]);

            testing::check(&wrapped, &inbound("a", b""), &[], &["empty"]);
            testing::check(&wrapped, &inbound("a", b"\0\0\0\0\0"), &[], &["empty"]);
            testing::check(&wrapped, &inbound("a", payload), &[], &["lz4_too_large"]);
            testing::check(&wrapped, &inbound("a", &block[..block.len() - 1]), &[], &["bad_lz4"]);
            testing::check(&wrapped, &inbound("a", b"\x10\0\0\0\x10a"), &[], &["bad_lz4"]);
            testing::check(&wrapped, &inbound("a", b"\x01\0\0"), &[], &["bad_lz4"]);
            let bomb = Packer::default().pack(&[b' '; 65]).unwrap().to_vec();
            testing::check(&wrapped, &inbound("a", &bomb), &[], &["lz4_too_large"]);
        };
        check(number(), b"21.5 ", "d level 21.5");
        check(json(), br#"{"v":21.5,"t":1700000000001}"#, "d v 21.5 @1");
        check(senml(), br#"[{"n":"level","u":"m","v":21.5}]"#, "d level 21.5 m");
        check(senml(), &[0x81, 0xa2, 0x00, 0x61, b'l', 0x02, 0xf9, 0x3e, 0x00], "d l 1.5");
        check(line(), b"tank level=21.5 1700000000002000000", "d tank/level 21.5 @2");
        check(samples(), &1.0_f32.to_le_bytes(), "d x 1");
    }

    #[test]
    fn device_clocks_are_judged() {
        let source = source(json(), fixed());
        let check = |time: UtcMillis, expected: DeviceClock| {
            let payload = format!(r#"{{"v":1,"t":{}}}"#, time.0);
            let decoded = testing::decode(&source, &inbound("a", payload.as_bytes()));
            assert_eq!(decoded.items[0].captured_at, Some(time));
            assert_eq!(decoded.items[0].clock, expected, "{time:?}");
        };
        check(RECEIVED, DeviceClock::Trusted);
        check(UtcMillis(RECEIVED.0 - 86_400_001), DeviceClock::Skewed);
        check(UtcMillis(RECEIVED.0 + 300_001), DeviceClock::Skewed);
        check(UtcMillis(0), DeviceClock::Skewed);
    }

    #[test]
    fn a_clock_in_another_zone_is_skewed_once_it_has_shown() {
        let mut decoders = Decoders::new([Some(source(json(), fixed()))]).unwrap();
        let mut decoded = Decoded::default();
        let mut clocks = Vec::new();
        for second in 0..20 {
            let received = Moment::from_wall(UtcMillis(RECEIVED.0 + second * 1000));
            let payload = format!(r#"{{"v":1,"t":{}}}"#, received.wall.0 - 5 * 3_600_000);
            let message = Inbound { received, ..inbound("a", payload.as_bytes()) };
            decoders.decode(&message, &mut decoded);
            clocks.push(decoded.items[0].clock);
            let reported: Vec<_> = decoded.clock_offsets.iter().map(|change| change.offset_ms).collect();
            let expected = if second == 10 { vec![Some(-18_000_000)] } else { Vec::new() };
            assert_eq!(reported, expected, "{second}");
        }
        assert_eq!(clocks, [[DeviceClock::Trusted; 10], [DeviceClock::Skewed; 10]].concat());
    }

    #[test]
    fn device_names_stand_where_the_codec_has_a_place_for_them() {
        let check = |codec: fn() -> CodecSettings, own: &DeviceRule| {
            let foreign = [
                DeviceRule::Pointer("/id".to_owned()),
                DeviceRule::Tag("host".to_owned()),
                DeviceRule::SenmlName,
            ];
            for rule in foreign {
                let good = rule == *own;
                assert_eq!(Decoders::new([Some(source(codec(), rule.clone()))]).is_ok(), good, "{rule:?}");
            }
            assert!(Decoders::new([Some(source(codec(), DeviceRule::TopicLevel(0)))]).is_ok());
        };
        check(number, &fixed());
        check(json, &DeviceRule::Pointer("/id".to_owned()));
        check(senml, &DeviceRule::SenmlName);
        check(line, &DeviceRule::Tag("host".to_owned()));
        check(samples, &fixed());

        let zero = SourceSettings { max_readings: 0, ..source(number(), fixed()) };
        assert!(Decoders::new([Some(zero)]).unwrap_err().to_string().contains("max_readings"));
    }
}
