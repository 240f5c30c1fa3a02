//! Codec `sparkplug`: numbers of other edge nodes of Sparkplug B, named by their births.

use std::sync::Arc;

use verge_domain::id::DeviceId;
use verge_domain::reading::Quality;
use verge_domain::rejection::{Reason, Rejection};
use verge_domain::time::UtcMillis;
use verge_sparkplug::{SparkplugRead, SparkplugReader, Speaker};

use super::{DecoderOutput, InputMessage, Says};
use crate::names::NameCache;
use crate::settings::{CodecSettingsError, DeviceRule, SparkplugCodecSettings, SparkplugDevice};

#[derive(Debug)]
pub(crate) struct SparkplugCodec {
    reader: SparkplugReader,
    device: SparkplugDevice,
    asks_for_births: bool,
    /// Room in which names of devices are put together.
    name: String,
}

impl SparkplugCodec {
    pub(super) fn new(
        settings: &SparkplugCodecSettings,
        device: &DeviceRule,
    ) -> Result<Self, CodecSettingsError> {
        let DeviceRule::Sparkplug(device) = *device else {
            return Err(CodecSettingsError::DeviceRule { codec: "sparkplug", place: "topic" });
        };
        Ok(Self {
            reader: SparkplugReader::new(settings.takes_history),
            device,
            asks_for_births: settings.asks_for_births,
            name: String::new(),
        })
    }

    pub(super) fn decode(
        &mut self,
        message: &InputMessage<'_>,
        names: &mut NameCache,
        output: &mut DecoderOutput<'_>,
    ) -> Result<(), Rejection> {
        let Self { reader, device: rule, name: room, .. } = self;
        // Within a message all values but those of a death are of one device.
        let mut device: Option<DeviceId> = None;
        let wants_births = reader
            .read(message.topic, message.payload, |read| match read {
                SparkplugRead::Value { speaker, name, unit, value, at } => {
                    if !output.take_room() {
                        return;
                    }
                    let part = |name: &str| Arc::from(name);
                    let known = match device.take().map_or_else(|| device_of(*rule, speaker, room, names), Ok)
                    {
                        Ok(known) => known,
                        Err(reason) => return output.reject(reason, &part("device")),
                    };
                    let unit = unit.and_then(|unit| names.unit(unit).ok());
                    let captured_at = at.and_then(|at| UtcMillis::in_range(i64::try_from(at).ok()?));
                    match names.signal(name) {
                        Ok(signal) => {
                            let says = Says { unit, captured_at, quality: Quality::Good };
                            output.reading_that(&known, signal, value, says);
                        }
                        Err(_) => output.reject(Reason::BadName, &part("signal")),
                    }
                    device = Some(known);
                }
                SparkplugRead::Refused { reason, name } => {
                    // A gap comes once in a message, and is about those before it.
                    if reason != Reason::SeqGap && !output.take_room() {
                        return;
                    }
                    match name {
                        Some(name) => output.reject(reason, &Arc::from(name)),
                        None => output.reject_whole(reason),
                    }
                }
                SparkplugRead::Away(speaker) => {
                    if let Ok(device) = device_of(*rule, speaker, room, names) {
                        output.away(device);
                    }
                }
            })
            .map_err(Rejection::whole)?;
        if wants_births && self.asks_for_births {
            output.ask(births_topic(message.topic));
        }
        Ok(())
    }
}

/// Where births of the node of this topic are asked for.
fn births_topic(topic: &str) -> Option<String> {
    let mut levels = topic.split('/');
    let (space, group, _, node) = (levels.next()?, levels.next()?, levels.next()?, levels.next()?);
    Some(format!("{space}/{group}/NCMD/{node}"))
}

fn device_of(
    rule: SparkplugDevice,
    speaker: Speaker<'_>,
    room: &mut String,
    names: &mut NameCache,
) -> Result<DeviceId, Reason> {
    let Speaker { group, node, device } = speaker;
    room.clear();
    let levels: &[Option<&str>] = match rule {
        SparkplugDevice::Device => &[Some(device.unwrap_or(node))],
        SparkplugDevice::Node => &[Some(node), device],
        SparkplugDevice::Group => &[Some(group), Some(node), device],
    };
    for level in levels.iter().flatten() {
        if !room.is_empty() {
            room.push('/');
        }
        room.push_str(level);
    }
    names.device(room).map_err(|_| Reason::BadName)
}

#[cfg(test)]
mod tests {
    use verge_domain::reading::Decoded;
    use verge_domain::stage::Decoder;
    use verge_sparkplug::payload::{Metric, MetricValue, SparkplugPayload};

    use super::*;
    use crate::testing::{RECEIVED, inbound, line_of, source};
    use crate::{CodecSettings, Decoders, SourceSettings};

    fn settings(device: SparkplugDevice) -> SourceSettings {
        let settings = SparkplugCodecSettings { takes_history: false, asks_for_births: true };
        source(CodecSettings::Sparkplug(settings), DeviceRule::Sparkplug(device))
    }

    fn message(seq: Option<u64>, metrics: Vec<Metric>) -> Vec<u8> {
        SparkplugPayload { timestamp: u64::try_from(RECEIVED.0).ok(), metrics, seq }.to_bytes()
    }

    fn metric(name: Option<&str>, alias: u64, value: f64) -> Metric {
        Metric {
            name: name.map(str::to_owned),
            alias: Some(alias),
            datatype: name.map(|_| 10),
            value: Some(MetricValue::Double(value)),
            ..Metric::default()
        }
    }

    fn read(
        decoders: &mut Decoders,
        topic: &str,
        payload: &[u8],
    ) -> (Vec<String>, Vec<String>, Decoded<verge_domain::reading::Reading>) {
        let mut decoded = Decoded::default();
        decoders.decode(&inbound(topic, payload), &mut decoded);
        let lines = decoded.items.iter().map(line_of).collect();
        (lines, decoded.rejections.iter().map(ToString::to_string).collect(), decoded)
    }

    #[test]
    fn values_have_the_names_of_the_birth_and_deaths_say_who_is_away() {
        let mut decoders = Decoders::new([Some(settings(SparkplugDevice::Node))]).unwrap();
        let (lines, refused, decoded) =
            read(&mut decoders, "spBv1.0/g/DDATA/n/d", &message(Some(7), vec![metric(None, 3, 1.0)]));
        assert_eq!((lines, refused), (vec![], vec!["unknown_alias".to_owned()]));
        assert_eq!(decoded.asks.as_deref(), Some("spBv1.0/g/NCMD/n"));

        let bd_seq = Metric {
            name: Some("bdSeq".to_owned()),
            datatype: Some(8),
            value: Some(MetricValue::Long(4)),
            ..Metric::default()
        };
        let (lines, refused, decoded) = read(
            &mut decoders,
            "spBv1.0/g/NBIRTH/n",
            &message(Some(0), vec![bd_seq.clone(), metric(Some("load"), 1, 0.5)]),
        );
        assert_eq!((lines, refused, decoded.asks), (vec!["n load 0.5 @0".to_owned()], vec![], None));
        let birth = message(Some(1), vec![metric(Some("a/b"), 3, 2.0)]);
        assert_eq!(read(&mut decoders, "spBv1.0/g/DBIRTH/n/d", &birth).0, ["n/d a/b 2 @0"]);
        let data = message(Some(2), vec![metric(None, 3, 4.0)]);
        assert_eq!(read(&mut decoders, "spBv1.0/g/DDATA/n/d", &data).0, ["n/d a/b 4 @0"]);

        let (_, refused, decoded) = read(&mut decoders, "spBv1.0/g/NDEATH/n", &message(None, vec![]));
        assert_eq!((refused, decoded.away.len()), (vec!["stale_death".to_owned()], 0));
        let (_, refused, decoded) = read(&mut decoders, "spBv1.0/g/NDEATH/n", &message(None, vec![bd_seq]));
        let away: Vec<&str> = decoded.away.iter().map(DeviceId::as_str).collect();
        assert_eq!((refused, away), (vec![], vec!["n/d", "n"]));
    }

    #[test]
    fn devices_are_named_as_the_source_says() {
        let check = |device: SparkplugDevice, expected: [&str; 2]| {
            let mut decoders = Decoders::new([Some(settings(device))]).unwrap();
            let birth = message(Some(0), vec![metric(Some("v"), 1, 1.0)]);
            for (topic, expected) in ["spBv1.0/g/NBIRTH/n", "spBv1.0/g/DBIRTH/n/d"].into_iter().zip(expected)
            {
                let (lines, ..) = read(&mut decoders, topic, &birth);
                assert_eq!(lines, [format!("{expected} v 1 @0")]);
            }
        };
        check(SparkplugDevice::Device, ["n", "d"]);
        check(SparkplugDevice::Node, ["n", "n/d"]);
        check(SparkplugDevice::Group, ["g/n", "g/n/d"]);
    }

    #[test]
    fn a_message_of_more_values_than_the_source_accepts_is_cut() {
        let limited = SourceSettings { max_readings: 2, ..settings(SparkplugDevice::Device) };
        let mut decoders = Decoders::new([Some(limited)]).unwrap();
        let metrics =
            ["a", "b", "c", "d"].iter().zip(0..).map(|(name, alias)| metric(Some(name), alias, 1.0));
        let (lines, refused, _) =
            read(&mut decoders, "spBv1.0/g/NBIRTH/n", &message(Some(0), metrics.collect()));
        assert_eq!((lines.len(), refused), (2, vec!["too_many_readings".to_owned()]));
        // Bad ones count as good ones do, and a gap does not.
        let metrics = [metric(Some("a"), 0, 1.0), metric(None, 7, 1.0), metric(None, 8, 1.0)];
        let data = message(Some(5), metrics.to_vec());
        let (lines, refused, _) = read(&mut decoders, "spBv1.0/g/NDATA/n", &data);
        let expected = ["seq_gap", "unknown_alias", "too_many_readings"].map(str::to_owned);
        assert_eq!((lines.len(), refused), (1, expected.to_vec()));
    }

    #[test]
    fn topics_of_others_are_passed_over() {
        let mut decoders = Decoders::new([Some(settings(SparkplugDevice::Device))]).unwrap();
        for topic in ["spBv1.0/STATE/host", "spBv1.0/g/NCMD/n", "spBv1.0/g/DCMD/n/d"] {
            let (lines, refused, _) = read(&mut decoders, topic, b"{}");
            assert!(lines.is_empty() && refused.is_empty(), "{topic}: {refused:?}");
        }
        for topic in ["spAv1.0/g/NDATA/n", "spBv1.0/g/NDATA", "spBv1.0/g/NDATA/n/d", "spBv1.0/g/DDATA/n/d/e"]
        {
            assert_eq!(read(&mut decoders, topic, &message(Some(0), vec![])).1, ["unknown_topic"], "{topic}");
        }
        assert_eq!(read(&mut decoders, "spBv1.0/g/NDATA/n", b"\x12\xff").1, ["bad_sparkplug"]);
    }
}
