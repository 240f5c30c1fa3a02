//! Files of samples through a judge over readings.

use std::ffi::OsStr;
use std::fs;
use std::io::Write;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, anyhow};
use bytes::Bytes;
use verge_anomaly::JudgeSettings;
use verge_codec::{
    CodecSettings, Compression, Decoders, DeviceRule, SampleElement, SignalRule, SourceSettings,
};
use verge_domain::id::{DeviceId, SignalId};
use verge_domain::reading::SourceIndex;
use verge_pipeline::judging::InputPattern;

use super::history::InputFile;
use super::trial::JudgeTrial;
use super::{INTERVAL, InputArgs, JudgeSummary, VerdictPrinter, time_of};
use crate::cli::recording::Recorded;
use verge_gateway::exit::{Exit, ExitWith};
use verge_gateway::settings::{Carries, ReadingRules, Rule, Settings};
use verge_gateway::wiring::Autoencoders;

/// A file of samples, judged.
pub(super) fn samples(
    args: &InputArgs,
    settings: &Settings,
    (printer, models): (&VerdictPrinter, &Autoencoders),
    rules: &ReadingRules,
    element: SampleElement,
    path: &Path,
    out: &mut impl Write,
) -> anyhow::Result<JudgeSummary> {
    let InputFile { source, decoders, messages, .. } = open(args, settings, rules, element, path)?;
    let mut trial = JudgeTrial::new(settings, printer, models, decoders, out);
    trial.source = source;
    for message in messages {
        let (line, recorded) = message?;
        trial.message(recorded, line)?;
    }
    trial.end()
}

/// A file of samples, as messages of one device that are no longer than the judge's source accepts.
pub(super) fn open(
    args: &InputArgs,
    settings: &Settings,
    rules: &ReadingRules,
    element: SampleElement,
    path: &Path,
) -> anyhow::Result<InputFile> {
    let (source, codec) =
        source_of_samples(args, settings, &rules.inputs, element, path).exit_with(Exit::Usage)?;
    let most = (codec.max_payload_bytes / element.bytes()).min(codec.max_readings).max(1);
    // As long as a second where the judge knows how long that is.
    let (samples, interval) = match (&rules.rule, args.interval) {
        (_, Some(interval)) => (most, interval),
        (Rule::Plain(JudgeSettings::Vibration(vibration, _)), None) => {
            let rate = vibration.sample_rate_hz();
            let samples = most.min(rate as usize).max(1);
            (samples, Duration::from_secs_f64(samples as f64 / rate))
        }
        (_, None) => (most, INTERVAL),
    };
    let block = samples * element.bytes();
    let content = fs::read(path).with_context(|| format!("cannot read {}", path.display()));
    let content = Bytes::from(content.exit_with(Exit::BadInput)?);
    let mut only: Vec<Option<SourceSettings>> = vec![None; settings.sources.len()];
    only[usize::from(source.0)] = Some(codec);
    let decoders = Decoders::new(only).exit_with(Exit::BadConfig)?;
    let topic = path.display().to_string();
    let messages = (0..).zip((0..content.len()).step_by(block)).map(move |(number, start)| {
        let recorded = Recorded {
            topic: topic.clone(),
            payload: content.slice(start..content.len().min(start + block)),
            time: time_of(number, interval),
            retained: false,
            source: None,
        };
        Ok((1, recorded))
    });
    Ok(InputFile {
        path: path.to_owned(),
        source: Some(source),
        decoders,
        messages: Box::new(messages),
        table: None,
    })
}

/// The judge's first source of such samples, with the names that a file does not have.
fn source_of_samples(
    args: &InputArgs,
    settings: &Settings,
    inputs: &[InputPattern],
    element: SampleElement,
    path: &Path,
) -> anyhow::Result<(SourceIndex, SourceSettings)> {
    let codec_of = |input: &InputPattern| match &settings.sources[usize::from(input.source.0)].carries {
        Carries::Readings(codec) => match &codec.codec {
            CodecSettings::Samples(samples) if samples.element == element => {
                Some((input.source, codec.clone(), samples.clone()))
            }
            _ => None,
        },
        Carries::Frames(_) => None,
    };
    let (source, codec, mut samples) = inputs.iter().find_map(codec_of).ok_or_else(|| {
        anyhow!("the judge looks at no source of such samples (codec = \"{}\")", element.codec())
    })?;
    let stem = path.file_stem().and_then(OsStr::to_str).unwrap_or_default();
    let device = args.device.as_deref().unwrap_or(stem);
    let device = DeviceId::new(device).with_context(|| format!("device {device:?}"))?;
    match (&args.signal, &samples.signal) {
        (Some(signal), _) => {
            let signal = SignalId::new(signal).with_context(|| format!("signal {signal:?}"))?;
            samples.signal = SignalRule::Fixed(signal);
        }
        (None, SignalRule::TopicLevel(_) | SignalRule::Composed(_)) => {
            samples.signal = SignalRule::Fixed(SignalId::new("value")?);
        }
        (None, SignalRule::Fixed(_)) => {}
    }
    let device = DeviceRule::Fixed(device);
    let (compression, samples) = (Compression::None, CodecSettings::Samples(samples));
    Ok((source, SourceSettings { codec: samples, compression, device, ..codec }))
}
