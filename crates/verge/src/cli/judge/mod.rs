//! `verge judge`: files through one judge of a configuration, exactly as the gateway would judge them.

mod frames;
mod history;
mod learn;
mod refusals;
mod samples;
pub(super) mod shelf;
mod tables;
mod trial;

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::anyhow;
use clap::Args;
use verge_codec::SampleElement;
use verge_domain::id::{Epoch, GatewayId, Identity, Seq};
use verge_domain::reading::{SharedBy, SourceIndex};
use verge_domain::rejection::Reason;
use verge_domain::time::UtcMillis;
use verge_domain::verdict::Verdict;
use verge_pipeline::clock_offsets::offset_words;
use verge_pipeline::counters::Counters;
use verge_wire::{SiteZone, verdict_json};

use super::output::json_line;
use super::table::TableArgs;
use super::{FileArgs, file_guess, pictures, say};
use frames::Frames;
pub(super) use learn::{LearnArgs, learn};
use refusals::Refusals;
use tables::TableReport;
use trial::{JudgeTrial, NoAlarms};
use verge_gateway::exit::{Exit, ExitWith};
use verge_gateway::settings::{JudgeRules, JudgeSection, Settings};
use verge_gateway::wiring::{self, Autoencoders};

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  mosquitto_sub -t 'plant/#' -F %j > day.jsonl    record what devices publish
  verge judge -c gateway.toml pump-high day.jsonl
  verge judge -c gateway.toml pump-high series.csv --words
  verge judge -c gateway.toml high long.csv --signal-column S --device-column D
  verge judge -c gateway.toml vehicles frames/ --annotate seen
  verge judge -c gateway.toml parts frames/ --sort sorted

Verdicts go to standard output as JSON lines, a report to standard error.

Inputs, by their names:
  *.jpg, *.jpeg, folders  frames, each of a camera of its own or of --device
  *.f32, *.i16            samples, cut into messages
  *.csv, *.tsv, *.txt     tables of times and values, see docs/tables.md
  others                  JSON lines as mosquitto_sub -F %j writes them; the
                          payload may be in base64, \"payload_base64\"")]
pub(super) struct JudgeArgs {
    #[command(flatten)]
    file: FileArgs,
    /// Name of the judge in the configuration
    judge: String,
    /// Recorded messages, tables, pictures or folders of pictures
    #[arg(required = true, value_name = "INPUT")]
    inputs: Vec<PathBuf>,
    #[command(flatten)]
    input: InputArgs,
    /// Print verdicts in words, as verge watch does
    #[arg(long)]
    words: bool,
    /// Frames: write copies into this folder, with the boxes, labels or errors that were seen
    #[arg(long, value_name = "DIR")]
    annotate: Option<PathBuf>,
    /// Pictures, a judge that classifies: copy each into DIR/CLASS, by what the model sees in it, for a person to correct
    #[arg(long, value_name = "DIR")]
    sort: Option<PathBuf>,
}

/// How tables, samples and pictures are read.
#[derive(Debug, Args)]
struct InputArgs {
    /// Tables, samples and pictures: their device; by default the name of the file. Pictures of one device are one
    /// camera's series, in the order of their names
    #[arg(long, value_name = "NAME")]
    device: Option<String>,
    /// Samples, and pictures with --device: time from one message to the next, which files do not say. By default a
    /// second, of samples that which they take at the judge's sample_rate
    #[arg(long, value_name = "SPAN", value_parser = interval)]
    interval: Option<Duration>,
    /// Tables: signal of the values; by default the one that the judge or its source names, else that of the column
    #[arg(long, value_name = "NAME")]
    signal: Option<String>,
    /// Tables with one value a row: column with the name of its signal
    #[arg(long, value_name = "NAME", conflicts_with = "signal")]
    signal_column: Option<String>,
    /// Tables with rows of several devices: column with the name of the device
    #[arg(long, value_name = "NAME", conflicts_with = "device")]
    device_column: Option<String>,
    /// Tables: column with the time; twice for a column of dates and one of times of day
    #[arg(long, value_name = "NAME")]
    time_column: Vec<String>,
    /// Tables: column with the value; by default those with the names of the judge's signals, else the only one of numbers
    #[arg(long, value_name = "NAME")]
    value_column: Option<String>,
    #[command(flatten)]
    table: TableArgs,
}

pub(super) fn judge(args: &JudgeArgs, json: bool, out: &mut impl Write) -> anyhow::Result<Exit> {
    let mut settings = args.file.settings()?;
    let judge = chosen(&settings, &args.judge).exit_with(Exit::Usage)?;
    settings.judges = vec![judge.clone()];
    let summarise = |summary: &JudgeSummary, path: &Path, what: &str| {
        if json {
            json_line(&mut std::io::stderr().lock(), &summary.json(path, what))
        } else {
            if let Some(table) = &summary.table {
                say(&format!("{}: alarms: {}", path.display(), table.alarms()));
            }
            let remarks = [summary.no_alarms.words(), summary.young.clone(), summary.suggestion.clone()];
            for remark in remarks.into_iter().flatten() {
                say(&format!("{}: {remark}", path.display()));
            }
            say(&summary.words(path, what));
            Ok(())
        }
    };
    let (gateway, zone) = (settings.gateway.id.clone(), settings.gateway.zone.clone());
    let printer = VerdictPrinter { gateway, zone, words: args.words, json, silent: false };
    match &judge.rules {
        JudgeRules::Readings(rules) if !rules.arrivals => {
            if args.annotate.is_some() {
                return Err(anyhow!("--annotate is for judges over frames")).exit_with(Exit::Usage);
            }
            let models = Autoencoders::load(&settings, None)?;
            let by = (&printer, &models);
            for path in &args.inputs {
                // Each file is judged by itself: nothing of the last one is remembered.
                let summary = if let Some(element) = samples_in(path) {
                    samples::samples(&args.input, &settings, by, rules, element, path, out)?
                } else if is_table(path) {
                    tables::table(&args.input, &settings, by, &judge, path, out)?
                } else {
                    let decoders = wiring::decoders(&settings)?;
                    JudgeTrial::new(&settings, &printer, &models, decoders, out).recording(path)?
                };
                summarise(&summary, path, "readings")?;
            }
        }
        JudgeRules::Frames(_) | JudgeRules::Readings(_) => {
            let mut frames = Frames::new(args, &settings, &judge)?;
            let models = Autoencoders::load(&settings, Some(frames.vision()))?;
            // Pictures of one device are one series, also where a shell has listed the files of their folder.
            let is_series = |one: &PathBuf, next: &PathBuf| {
                args.input.device.is_some() && pictures::is_picture(one) && pictures::is_picture(next)
            };
            for paths in args.inputs.chunk_by(is_series) {
                let summary = frames.input(paths, (&printer, &models), out)?;
                match paths {
                    [path] => summarise(&summary, path, "frames")?,
                    [first, .., last] => {
                        let range = format!("{} to {}", first.display(), last.display());
                        summarise(&summary, Path::new(&range), "frames")?;
                    }
                    [] => {}
                }
            }
        }
    }
    Ok(Exit::Fine)
}

pub(super) fn chosen(settings: &Settings, name: &str) -> anyhow::Result<JudgeSection> {
    let found = settings.judges.iter().find(|judge| judge.name.as_str() == name);
    found.cloned().ok_or_else(|| {
        let names: Vec<&str> = settings.judges.iter().map(|judge| judge.name.as_str()).collect();
        let tip = if name == "state" {
            " (what a judge has learnt: verge state export, verge state import)"
        } else {
            ""
        };
        anyhow!("there is no judge {name:?}; the configuration has {}{tip}", names.join(", "))
    })
}

fn interval(text: &str) -> Result<Duration, String> {
    match humantime::parse_duration(text) {
        Ok(span) if span >= Duration::from_millis(1) => Ok(span),
        Ok(_) => Err("at least 1ms".to_owned()),
        Err(error) => Err(error.to_string()),
    }
}

/// From one message to the next, where no interval is given.
const INTERVAL: Duration = Duration::from_secs(1);

/// The time of a message by its number, where files do not say it.
fn time_of(number: u64, interval: Duration) -> UtcMillis {
    let micros = interval.as_micros().saturating_mul(u128::from(number));
    UtcMillis(i64::try_from(micros / 1000).unwrap_or(i64::MAX))
}

/// What a file of samples holds, by its name.
fn samples_in(path: &Path) -> Option<SampleElement> {
    let extension = path.extension()?.to_str()?.to_ascii_lowercase();
    match extension.as_str() {
        "f32" => Some(SampleElement::F32),
        "i16" => Some(SampleElement::I16),
        _ => None,
    }
}

/// By its name, unless it begins as recordings do.
fn is_table(path: &Path) -> bool {
    let extension = path.extension().and_then(OsStr::to_str).unwrap_or_default().to_ascii_lowercase();
    TABLES.contains(&extension.as_str()) && !file_guess::begins_as_json(path)
}

/// Endings of tables, and of what is exported as one.
const TABLES: [&str; 9] = ["csv", "tsv", "tab", "txt", "dat", "asc", "xlsx", "xls", "parquet"];

/// The source whose filter takes a topic.
fn source_of(settings: &Settings, topic: &str) -> Option<SourceIndex> {
    let takes = |source: &verge_gateway::settings::SourceSection| {
        verge_domain::filter::matches(&source.filter, topic)
    };
    let index = settings.sources.iter().position(takes)?;
    u16::try_from(index).ok().map(SourceIndex)
}

/// What one file led to.
#[derive(Default)]
struct JudgeSummary {
    messages: u64,
    unknown_topics: u64,
    verdicts: u64,
    /// Readings or frames judged.
    observations: u64,
    rejections: Vec<(Reason, u64)>,
    /// Names that stand for several series, as device and signal.
    shared: Vec<String>,
    /// Devices whose clock has a constant offset.
    clocks: Vec<String>,
    refusals: Refusals,
    /// Alarms raised, by device and signal.
    alarms: BTreeMap<(String, String), u64>,
    /// Events that are no alarms.
    no_alarms: NoAlarms,
    /// What a judge that learns cannot promise yet.
    young: Option<String>,
    /// The contact that explains most of its events, in words.
    suggestion: Option<String>,
    table: Option<TableReport>,
}

/// Shared names that are listed.
const SHARED_SHOWN: usize = 5;

impl JudgeSummary {
    fn words(&self, path: &Path, what: &str) -> String {
        let mut text = format!(
            "{}: {} messages, {} {what}, {} verdicts",
            path.display(),
            self.messages,
            self.observations,
            self.verdicts
        );
        if self.unknown_topics > 0 {
            text += &format!("; {} on topics that no source takes", self.unknown_topics);
        }
        for (reason, count) in &self.rejections {
            text += &format!("; {count} refused: {}", self.refusals.words(*reason));
        }
        if !self.shared.is_empty() {
            let shown = self.shared.len().min(SHARED_SHOWN);
            let more = if shown < self.shared.len() { ", …" } else { "" };
            text += &format!(
                "; {} for several series: {}{more}",
                match self.shared.len() {
                    1 => "1 name stands".to_owned(),
                    names => format!("{names} names stand"),
                },
                self.shared[..shown].join(", ")
            );
        }
        if !self.clocks.is_empty() {
            let shown = self.clocks.len().min(SHARED_SHOWN);
            let more = if shown < self.clocks.len() { ", …" } else { "" };
            text += &format!("; clocks in another time zone: {}{more}", self.clocks[..shown].join(", "));
        }
        text
    }

    fn json(&self, path: &Path, what: &str) -> serde_json::Value {
        let rejections: serde_json::Map<String, serde_json::Value> = self
            .rejections
            .iter()
            .map(|(reason, count)| (reason.as_str().to_owned(), (*count).into()))
            .collect();
        let mut value = serde_json::json!({
            "file": path, "messages": self.messages, what: self.observations, "verdicts": self.verdicts,
            "unknown_topics": self.unknown_topics, "rejections": rejections, "shared_names": self.shared,
            "clock_offsets": self.clocks, "noted_while_learning": self.no_alarms.learning, "info": self.no_alarms.info,
            "too_short": self.young, "suggestion": self.suggestion, "refusals": self.refusals.json(),
        });
        if let Some(table) = &self.table {
            value["table"] = table.json();
        }
        value
    }
}

/// What was refused, over all sources.
fn rejections(counters: &Counters) -> Vec<(Reason, u64)> {
    let mut sums: Vec<(Reason, u64)> = Vec::new();
    for (reason, count) in counters.sources().iter().flat_map(|source| source.rejections()) {
        match sums.iter_mut().find(|(known, _)| *known == reason) {
            Some((_, sum)) => *sum += count,
            None => sums.push((reason, count)),
        }
    }
    sums
}

/// Names that stand for several series, over all sources.
fn shared_names(counters: &Counters) -> Vec<String> {
    let names = counters.sources().iter().flat_map(|source| source.shared_names());
    let words = |by: SharedBy| match by {
        SharedBy::Time => "two values of one message with one time",
        SharedBy::Position => "a position in an array whose length changes",
    };
    names.map(|((device, signal), by)| format!("{device} {signal} ({})", words(by))).collect()
}

/// Devices whose clock has a constant offset, over all sources.
fn clock_offsets(counters: &Counters) -> Vec<String> {
    let offsets = counters.sources().iter().flat_map(|source| source.clock_offsets.devices());
    offsets.map(|(device, offset_ms)| format!("{device} ({})", offset_words(offset_ms))).collect()
}

/// How verdicts are printed.
#[derive(Debug, Clone)]
struct VerdictPrinter {
    gateway: GatewayId,
    /// In which times are printed in words.
    zone: SiteZone,
    words: bool,
    /// Reports beside the verdicts are JSON, too.
    json: bool,
    /// Verdicts are counted, not printed.
    silent: bool,
}

impl VerdictPrinter {
    /// Prints no verdict.
    fn silent(gateway: GatewayId) -> Self {
        Self { gateway, zone: SiteZone::utc(), words: false, json: false, silent: true }
    }

    /// One line. JSON has no parts of the identity that only the store gives, and the file that a frame comes from.
    fn print(&self, verdict: &Verdict, file: Option<&Path>, out: &mut impl Write) -> anyhow::Result<()> {
        if self.silent {
            return Ok(());
        }
        if self.words {
            let at = self.zone.to_millisecond(verdict.times.received);
            return Ok(writeln!(out, "{at}  {}", verge_wire::verdict_words(verdict, &self.zone))?);
        }
        let identity = Identity {
            gateway: self.gateway.clone(),
            epoch: Epoch([0; 16]),
            lane: verdict.lane,
            seq: Seq::ZERO,
        };
        let mut json = verdict_json(&identity, verdict);
        if let Some(keys) = json.as_object_mut() {
            keys.remove("epoch");
            keys.remove("seq");
            if let Some(file) = file {
                keys.insert("file".to_owned(), file.display().to_string().into());
            }
        }
        Ok(json_line(out, &json)?)
    }
}
