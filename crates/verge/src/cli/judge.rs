//! `verge judge`: files through one judge of a configuration, exactly as the gateway would judge them.

use std::ffi::OsStr;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, anyhow, bail};
use bytes::Bytes;
use clap::Args;
use verge_codec::wire::verdict_json;
use verge_domain::id::{DeviceId, Epoch, GatewayId, Identity, Seq, SignalId};
use verge_domain::reading::{Decoded, Inbound, Quality, Reading, SourceIndex};
use verge_domain::rejection::{Reason, Rejection};
use verge_domain::stage::Decoder;
use verge_domain::time::{DeviceClock, Moment, Monotonic, UtcMillis};
use verge_domain::verdict::Verdict;
use verge_pipeline::counters::Counters;
use verge_pipeline::judging::{Bench, Decision};

use super::output::{Progress, json_line};
use super::recording::{Recorded, Recording, parse_time};
use super::{FileArgs, say};
use crate::exit::{Exit, ExitWith};
use crate::settings::{Judge, Settings};
use crate::wiring;

/// Time passes in steps of this length, as in the gateway, but never in more steps than these between two
/// readings: a series with one value a day would otherwise take for ever.
const STEP_MS: u64 = 500;
const MAX_STEPS: u64 = 64;

/// Readings between two lines of progress.
const PROGRESS_EVERY: u64 = 10_000;

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  mosquitto_sub -t 'plant/#' -F %j > day.jsonl        record what devices publish
  verge judge -c gateway.toml pump-high day.jsonl     what would pump-high have said to that day?
  verge judge -c gateway.toml pump-high series.csv    the same for a table with time and value

Verdicts come as JSON lines on standard output, a summary on standard error. Input is told by its name: *.csv is \
a table with a header, times in RFC 3339, \"2026-01-02 03:04:05\" (UTC) or seconds since 1970, in order; anything \
else is JSON lines with \"tst\" (or \"time\"), \"topic\", and \"payload\" or \"payload_base64\".")]
pub(super) struct JudgeArgs {
    #[command(flatten)]
    file: FileArgs,
    /// Name of the judge in the configuration
    judge: String,
    /// Recorded messages or tables
    #[arg(required = true, value_name = "INPUT")]
    inputs: Vec<PathBuf>,
    /// Tables: device of the values; by default the name of the file
    #[arg(long, value_name = "NAME")]
    device: Option<String>,
    /// Tables: signal of the values; by default the one that the judge names
    #[arg(long, value_name = "NAME")]
    signal: Option<String>,
    /// Tables: column with the time; by default the first
    #[arg(long, value_name = "NAME")]
    time_column: Option<String>,
    /// Tables: column with the value; by default the second
    #[arg(long, value_name = "NAME")]
    value_column: Option<String>,
}

/// The codecs of the configuration, or the values of a table, which need none.
enum Input<D> {
    Messages(D),
    Table { device: DeviceId, signal: SignalId },
}

impl<D: Decoder> Decoder for Input<D> {
    fn decode(&mut self, message: &Inbound, out: &mut Decoded) {
        let (device, signal) = match self {
            Self::Messages(codecs) => return codecs.decode(message, out),
            Self::Table { device, signal } => (device.clone(), signal.clone()),
        };
        out.clear();
        let value =
            std::str::from_utf8(&message.payload).ok().and_then(|text| text.trim().parse::<f64>().ok());
        match value {
            Some(value) if value.is_finite() => out.readings.push(Reading {
                device,
                signal,
                value,
                unit: None,
                captured_at: None,
                clock: DeviceClock::Absent,
                quality: Quality::Good,
            }),
            Some(_) => out.rejections.push(Rejection::whole(Reason::NotFinite)),
            None => out.rejections.push(Rejection::whole(Reason::NotANumber)),
        }
    }
}

pub(super) fn judge(args: &JudgeArgs, json: bool, out: &mut impl Write) -> anyhow::Result<Exit> {
    let mut settings = args.file.settings()?;
    let judge = chosen(&settings, &args.judge).exit_with(Exit::Usage)?;
    settings.judges = vec![judge];
    for path in &args.inputs {
        // Each file is a story of its own: nothing of the last one is remembered.
        let told =
            if is_table(path) { table(args, &settings, path, out)? } else { messages(&settings, path, out)? };
        if json {
            json_line(&mut std::io::stderr().lock(), &told.json(path))?;
        } else {
            say(&told.words(path));
        }
    }
    Ok(Exit::Fine)
}

fn chosen(settings: &Settings, name: &str) -> anyhow::Result<Judge> {
    let found = settings.judges.iter().find(|judge| judge.name.as_str() == name);
    found.cloned().ok_or_else(|| {
        let names: Vec<&str> = settings.judges.iter().map(|judge| judge.name.as_str()).collect();
        anyhow!("there is no judge {name:?}; the configuration has {}", names.join(", "))
    })
}

fn is_table(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("csv"))
}

fn messages(settings: &Settings, path: &Path, out: &mut impl Write) -> anyhow::Result<Told> {
    let counters = Arc::new(Counters::new(wiring::source_ids(settings)));
    let mut trial = Trial::new(settings, Input::Messages(wiring::decoders(settings)?), counters, out);
    for recorded in Recording::open(path).exit_with(Exit::BadInput)? {
        trial.hear(recorded.exit_with(Exit::BadInput)?)?;
    }
    trial.end()
}

fn table(args: &JudgeArgs, settings: &Settings, path: &Path, out: &mut impl Write) -> anyhow::Result<Told> {
    let judge = &settings.judges[0];
    let stem = path.file_stem().and_then(OsStr::to_str).unwrap_or_default();
    let device = args.device.as_deref().unwrap_or(stem);
    let device =
        DeviceId::new(device).with_context(|| format!("device {device:?}")).exit_with(Exit::Usage)?;
    let input = judge.inputs.first().context("a judge has an input")?;
    let signal = match (&args.signal, &input.signals) {
        (Some(signal), _) => signal.clone(),
        (None, Some(pattern)) if !pattern.to_string().contains('*') => pattern.to_string(),
        (None, _) => "value".to_owned(),
    };
    let signal =
        SignalId::new(&signal).with_context(|| format!("signal {signal:?}")).exit_with(Exit::Usage)?;
    if !judge
        .inputs
        .iter()
        .any(|input| input.signals.as_ref().is_none_or(|pattern| pattern.matches(signal.as_str())))
    {
        return Err(anyhow!(
            "the judge {} does not look at a signal {signal}; --signal names one",
            judge.name
        ))
        .exit_with(Exit::Usage);
    }
    let counters = Arc::new(Counters::new(wiring::source_ids(settings)));
    let input_of_table = Input::<verge_codec::Decoders>::Table { device, signal };
    let mut trial = Trial::new(settings, input_of_table, counters, out);
    trial.source = Some(input.source);
    for row in rows(args, path).exit_with(Exit::BadInput)? {
        trial.hear(row.exit_with(Exit::BadInput)?)?;
    }
    trial.end()
}

/// The rows of a table as messages whose payload is the value.
fn rows(
    args: &JudgeArgs,
    path: &Path,
) -> anyhow::Result<impl Iterator<Item = anyhow::Result<Recorded>> + use<>> {
    let mut reader = csv::ReaderBuilder::new()
        .trim(csv::Trim::All)
        .from_path(path)
        .with_context(|| format!("cannot read {}", path.display()))?;
    let header = reader.headers().with_context(|| path.display().to_string())?.clone();
    let column = |name: &Option<String>, default: usize| match name {
        Some(name) => header.iter().position(|known| known == name).with_context(|| {
            let known: Vec<&str> = header.iter().collect();
            format!("{} has no column {name:?}, only {}", path.display(), known.join(", "))
        }),
        None if header.len() > default => Ok(default),
        None => bail!("{} has fewer than {} columns", path.display(), default + 1),
    };
    let (time, value) = (column(&args.time_column, 0)?, column(&args.value_column, 1)?);
    let path = path.to_owned();
    Ok(reader.into_records().map(move |record| {
        let record = record.with_context(|| path.display().to_string())?;
        let line = record.position().map_or(0, csv::Position::line);
        let place = || format!("{}, line {line}", path.display());
        let field = |index: usize| record.get(index).with_context(place);
        Ok(Recorded {
            topic: String::new(),
            payload: Bytes::copy_from_slice(field(value)?.as_bytes()),
            time: parse_time(field(time)?).with_context(place)?,
            retained: false,
        })
    }))
}

/// What one file led to.
struct Told {
    messages: u64,
    unknown_topics: u64,
    verdicts: u64,
    readings: u64,
    rejections: Vec<(Reason, u64)>,
}

impl Told {
    fn words(&self, path: &Path) -> String {
        let mut text = format!(
            "{}: {} messages, {} readings, {} verdicts",
            path.display(),
            self.messages,
            self.readings,
            self.verdicts
        );
        if self.unknown_topics > 0 {
            text += &format!("; {} on topics that no source takes", self.unknown_topics);
        }
        for (reason, count) in &self.rejections {
            text += &format!("; {count} refused: {reason}");
        }
        text
    }

    fn json(&self, path: &Path) -> serde_json::Value {
        let rejections: serde_json::Map<String, serde_json::Value> = self
            .rejections
            .iter()
            .map(|(reason, count)| (reason.as_str().to_owned(), (*count).into()))
            .collect();
        serde_json::json!({
            "file": path, "messages": self.messages, "readings": self.readings, "verdicts": self.verdicts,
            "unknown_topics": self.unknown_topics, "rejections": rejections,
        })
    }
}

/// The judges at work on recorded time.
struct Trial<'a, W, D> {
    settings: &'a Settings,
    bench: Option<Bench<D, verge_anomaly::ReadingJudge>>,
    input: Option<D>,
    /// Set where there are no topics to tell sources by.
    source: Option<SourceIndex>,
    counters: Arc<Counters>,
    decision: Decision,
    now: Option<Moment>,
    out: &'a mut W,
    progress: Progress,
    messages: u64,
    unknown_topics: u64,
    verdicts: u64,
}

impl<'a, W: Write, D: Decoder> Trial<'a, W, D> {
    fn new(settings: &'a Settings, input: D, counters: Arc<Counters>, out: &'a mut W) -> Self {
        Self {
            settings,
            bench: None,
            input: Some(input),
            source: None,
            counters,
            decision: Decision::default(),
            now: None,
            out,
            progress: Progress::new(),
            messages: 0,
            unknown_topics: 0,
            verdicts: 0,
        }
    }

    fn hear(&mut self, recorded: Recorded) -> anyhow::Result<()> {
        self.messages += 1;
        if self.messages.is_multiple_of(PROGRESS_EVERY) {
            self.progress.show(&format!("{} messages, {} verdicts", self.messages, self.verdicts))?;
        }
        let now = self.let_time_pass(recorded.time)?;
        let by_topic = || {
            let takes = |source: &crate::settings::Source| {
                verge_mqtt::filter::matches(&source.filter, &recorded.topic)
            };
            self.settings
                .sources
                .iter()
                .position(takes)
                .and_then(|index| u16::try_from(index).ok())
                .map(SourceIndex)
        };
        let Some(source) = self.source.or_else(by_topic) else {
            self.unknown_topics += 1;
            return Ok(());
        };
        let message = Inbound {
            source,
            topic: recorded.topic,
            payload: recorded.payload,
            received: now,
            retained: recorded.retained,
            redelivered: false,
            packet_id: 0,
            receipt: None,
        };
        if let Some(bench) = &mut self.bench {
            bench.message(&message, now, &mut self.decision);
        }
        self.tell()
    }

    /// Goes on to the time of the next message. Durations never run backwards, whatever the file says.
    fn let_time_pass(&mut self, to: UtcMillis) -> anyhow::Result<Moment> {
        let Some(before) = self.now else {
            let now = Moment::from_wall(to);
            self.now = Some(now);
            if let Some(input) = self.input.take() {
                self.bench = Some(wiring::bench(self.settings, input, Arc::clone(&self.counters), now));
            }
            return Ok(now);
        };
        let end = Moment { wall: to, mono: before.mono.max(Moment::from_wall(to).mono) };
        let gap_ms = u64::try_from(end.mono.since(before.mono).as_millis()).unwrap_or(u64::MAX);
        let step = STEP_MS.max(gap_ms / MAX_STEPS);
        for passed in (step..gap_ms).step_by(usize::try_from(step).unwrap_or(usize::MAX)) {
            let mono: Monotonic = before.mono.after(Duration::from_millis(passed));
            let wall = UtcMillis(before.wall.0.saturating_add_unsigned(passed));
            self.tick(Moment { wall, mono })?;
        }
        self.tick(end)?;
        self.now = Some(end);
        Ok(end)
    }

    fn tick(&mut self, now: Moment) -> anyhow::Result<()> {
        if let Some(bench) = &mut self.bench {
            bench.tick(now, &mut self.decision);
        }
        self.tell()
    }

    fn tell(&mut self) -> anyhow::Result<()> {
        for verdict in self.decision.verdicts.drain(..) {
            self.verdicts += 1;
            json_line(self.out, &as_json(&self.settings.gateway.id, &verdict))?;
        }
        self.decision.checkpoints.clear();
        Ok(())
    }

    fn end(mut self) -> anyhow::Result<Told> {
        self.progress.clear()?;
        let sources = self.counters.sources();
        let mut rejections: Vec<(Reason, u64)> = Vec::new();
        for (reason, count) in sources.iter().flat_map(|source| source.rejections()) {
            match rejections.iter_mut().find(|(known, _)| *known == reason) {
                Some((_, sum)) => *sum += count,
                None => rejections.push((reason, count)),
            }
        }
        Ok(Told {
            messages: self.messages,
            unknown_topics: self.unknown_topics,
            verdicts: self.verdicts,
            readings: sources.iter().map(|source| source.readings_judged_total.get()).sum(),
            rejections,
        })
    }
}

/// The verdict without the parts of its identity that only the store gives.
fn as_json(gateway: &GatewayId, verdict: &Verdict) -> serde_json::Value {
    let identity =
        Identity { gateway: gateway.clone(), epoch: Epoch([0; 16]), lane: verdict.lane, seq: Seq::ZERO };
    let mut json = verdict_json(&identity, verdict);
    if let Some(keys) = json.as_object_mut() {
        keys.remove("epoch");
        keys.remove("seq");
    }
    json
}
