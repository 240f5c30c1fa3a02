//! Tables through a judge over readings: each column of values is a signal, each cell a message of the source that the
//! judge looks at.

mod columns;
mod contacts;
mod quality;
mod report;
mod states;

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::io::Write;
use std::path::Path;

use anyhow::{Context, anyhow};
use bytes::Bytes;
use verge_codec::{
    CodecSettings, Compression, Decimal, Decoders, DeviceRule, NameTemplate, NumberSettings, SignalRule,
    SourceSettings,
};
use verge_domain::id::{DeviceId, SignalId};
use verge_domain::time::UtcMillis;
use verge_domain::verdict::Detector;
use verge_pipeline::judging::InputPattern;

use super::history::InputFile;
use super::trial::JudgeTrial;
use super::{InputArgs, JudgeSummary, VerdictPrinter};
use crate::cli::recording::Recorded;
use crate::cli::table::{LeftKind, LeftOut, Table, Usual, plain};
use columns::{Columns, Values};
pub(super) use report::TableReport;
use states::StateColumns;
use verge_gateway::exit::{Exit, ExitWith};
use verge_gateway::settings::{Carries, JudgeSection, Settings};
use verge_gateway::wiring::Autoencoders;

/// A table as readings, with the scale and unit of the judge's source.
pub(super) fn table(
    args: &InputArgs,
    settings: &Settings,
    (printer, models): (&VerdictPrinter, &Autoencoders),
    judge: &JudgeSection,
    path: &Path,
    out: &mut impl Write,
) -> anyhow::Result<JudgeSummary> {
    let InputFile { source, decoders, messages, table, .. } =
        open(args, settings, judge, path, TableUse::Trial { json: printer.json })?;
    let mut trial = JudgeTrial::new(settings, printer, models, decoders, out);
    trial.source = source;
    for message in messages {
        let (line, recorded) = message?;
        trial.message(recorded, line)?;
    }
    let mut summary = trial.end()?;
    if summary.observations == 0 {
        return Err(anyhow!("no reading is judged: {}", summary.words(path, "readings")))
            .exit_with(Exit::BadInput);
    }
    summary.table = table;
    if let Some(report) = &mut summary.table {
        report.count_alarms(std::mem::take(&mut summary.alarms));
    }
    Ok(summary)
}

/// What a table is opened for.
#[derive(Debug, Clone, Copy)]
pub(super) enum TableUse {
    /// To be judged; what may explain the events is read as well.
    Trial { json: bool },
    /// To be learnt from.
    Lesson { json: bool },
}

/// Opens a table, and reports how it is read unless that is JSON.
pub(super) fn open(
    args: &InputArgs,
    settings: &Settings,
    judge: &JudgeSection,
    path: &Path,
    of_use: TableUse,
) -> anyhow::Result<InputFile> {
    let inputs = &judge.readings().context("the judge looks at readings")?.inputs;
    let stem = path.file_stem().and_then(OsStr::to_str).unwrap_or_default();
    let device = args.device.as_deref().unwrap_or(stem);
    let device =
        DeviceId::new(device).with_context(|| format!("device {device:?}")).exit_with(Exit::Usage)?;
    if let Some(signal) = &args.signal {
        SignalId::new(signal).with_context(|| format!("signal {signal:?}")).exit_with(Exit::Usage)?;
    }
    let input = inputs.first().context("a judge has an input")?;
    let (source, number, usual) = codec_of(settings, input);
    let mut table = Table::open(path, &args.table.with_usual(usual)).exit_with(Exit::BadInput)?;
    let mut columns = columns::choose(args, &table, inputs, &number).exit_with(Exit::BadInput)?;
    let states = StateColumns::of(judge, input.source);
    let (mut judged, mut not_judged) = signals(judge, inputs, &columns.values, path)?;
    states.add(judge, &table, &mut columns.values).exit_with(Exit::BadInput)?;
    judged.retain(|signal| states.source_of(signal).is_none());
    not_judged.retain(|signal| !states.has(signal));
    let contacts = match of_use {
        TableUse::Trial { .. } => contacts::add(&table, inputs, &not_judged, &mut columns),
        TableUse::Lesson { .. } => Vec::new(),
    };
    let Columns { values, device: named_by } = columns;
    let mut left = LeftOut::default();
    let wanted: Vec<SignalId> = judged.iter().chain(states.signals()).chain(&contacts).cloned().collect();
    let mut entries = entries(&mut table, &values, &wanted, &mut left).exit_with(Exit::BadInput)?;
    // What a row says of the state of the machine holds for its other cells as well.
    entries.sort_by_key(|entry| {
        let says_state = |signal: &SignalId| states.has(signal) || contacts.contains(signal);
        let is_state = values[entry.values].signal(entry.row).is_some_and(says_state);
        (entry.at, !is_state)
    });
    not_judged
        .extend(contacts.into_iter().filter(|contact| !not_judged.contains(contact)).collect::<Vec<_>>());
    let report = TableReport::new(&mut table, &values, named_by, &not_judged, &entries, &left);
    if let TableUse::Trial { json: false } | TableUse::Lesson { json: false } = of_use {
        report.say(path);
    }

    let mut only: Vec<Option<SourceSettings>> = vec![None; settings.sources.len()];
    // A cell comes on a topic with the name of its signal, behind that of its device where a column names it.
    let (device, levels) = match named_by {
        Some(_) => (DeviceRule::TopicLevel(0), "{topic:1..}"),
        None => (DeviceRule::Fixed(device), "{topic:0..}"),
    };
    let signal = SignalRule::Composed(NameTemplate::parse(levels, false).context("levels of a topic")?);
    // Numbers are handed over as programs write them.
    let codec = CodecSettings::Number(NumberSettings { signal, decimal: Decimal::Point, ..number });
    let source = SourceSettings { codec, device, compression: Compression::None, ..source };
    states.decode(settings, &source, &mut only);
    only[usize::from(input.source.0)] = Some(source);
    let decoders = Decoders::new(only).exit_with(Exit::BadConfig)?;
    let cells = entries.into_iter().filter_map(move |entry| cell(&table, &values, named_by, &states, entry));
    Ok(InputFile {
        path: path.to_owned(),
        source: Some(input.source),
        decoders,
        messages: Box::new(cells.map(Ok)),
        table: Some(report),
    })
}

/// A cell as a message, and its line.
fn cell(
    table: &Table,
    values: &[Values],
    named_by: Option<usize>,
    states: &StateColumns,
    entry: Entry,
) -> Option<(usize, Recorded)> {
    let values = &values[entry.values];
    let (signal, text) = (values.signal(entry.row)?, table.text(entry.row, values.column));
    // What is no number may be a word of the source.
    let text = plain(text, values.decimal).unwrap_or(text.into());
    let payload = Bytes::copy_from_slice(text.as_bytes());
    let topic = match named_by {
        Some(column) => format!("{}/{signal}", table.text(entry.row, column).replace('/', "%2F")),
        None => signal.to_string(),
    };
    let source = states.source_of(signal);
    Some((table.line(entry.row), Recorded { topic, payload, time: entry.at, retained: false, source }))
}

/// A cell with a value, and its time.
#[derive(Debug, Clone, Copy)]
struct Entry {
    at: UtcMillis,
    row: usize,
    /// Which column of values.
    values: usize,
}

/// All cells of the judged signals that hold something, in the order of time.
fn entries(
    table: &mut Table,
    values: &[Values],
    judged: &[SignalId],
    left: &mut LeftOut,
) -> anyhow::Result<Vec<Entry>> {
    let mut times: BTreeMap<&[usize], Vec<Option<UtcMillis>>> = BTreeMap::new();
    for values in values {
        if !times.contains_key(&values.time[..]) {
            let read = table.times(&values.time)?;
            table.note_order(&read);
            times.insert(&values.time, read);
        }
    }
    let mut entries = Vec::new();
    for row in 0..table.len() {
        for (index, values) in values.iter().enumerate() {
            let at = times.get(&values.time[..]).and_then(|times| times[row]);
            let is_judged = values.signal(row).is_some_and(|signal| judged.contains(signal));
            let (Some(at), true, false) = (at, is_judged, table.text(row, values.column).is_empty()) else {
                continue;
            };
            if let Some((column, form)) = values.quality
                && !form.takes(table.text(row, column))
            {
                left.add(LeftKind::BadQuality, table.line(row), table.text(row, column));
                continue;
            }
            entries.push(Entry { at, row, values: index });
        }
    }
    entries.sort_by_key(|entry| entry.at);
    Ok(entries)
}

/// The signals of a table that the judge looks at, and the others.
fn signals(
    judge: &JudgeSection,
    inputs: &[InputPattern],
    values: &[Values],
    path: &Path,
) -> anyhow::Result<(Vec<SignalId>, Vec<SignalId>)> {
    let looks = |signal: &SignalId| inputs.iter().any(|input| input.takes_signal(signal.as_str()));
    let all = values.iter().flat_map(Values::signals);
    let (judged, left): (Vec<SignalId>, Vec<SignalId>) = all.partition(looks);
    let fault = match (&judged[..], left.first()) {
        ([], Some(signal)) => {
            format!("the judge {} does not look at a signal {signal}; --signal names one", judge.name)
        }
        ([one], _) if judge.detector() == Detector::Multi => format!(
            "{}: the judge {} needs several signals, and there is a column for {one} alone",
            path.display(),
            judge.name,
        ),
        _ => return Ok((judged, left)),
    };
    let exit = if judged.is_empty() { Exit::Usage } else { Exit::BadInput };
    Err(anyhow!(fault)).exit_with(exit)
}

/// The settings of the judge's source, what it does to numbers (nothing, where its codec is another), and what it says of
/// text.
fn codec_of(settings: &Settings, input: &InputPattern) -> (SourceSettings, NumberSettings, Usual) {
    let plain = NumberSettings {
        signal: SignalRule::TopicLevel(0),
        unit: None,
        scale: 1.0,
        offset: 0.0,
        words: BTreeMap::new(),
        decimal: Decimal::Point,
    };
    let source = &settings.sources[usize::from(input.source.0)];
    let mut usual = Usual { source: source.name.to_string(), decimal: None, zone: None };
    match &source.carries {
        Carries::Readings(source) => match &source.codec {
            CodecSettings::Number(number) => {
                usual.decimal = Some(number.decimal).filter(|decimal| *decimal == Decimal::Comma);
                (source.clone(), number.clone(), usual)
            }
            CodecSettings::Json(json) => {
                let commas = json.readings.iter().all(|reading| reading.decimal == Decimal::Comma);
                usual.decimal = commas.then_some(Decimal::Comma);
                let times = json.time.iter().chain(json.readings.iter().filter_map(|one| one.time.as_ref()));
                usual.zone = times.filter_map(|time| time.zone.as_ref()).next().cloned();
                (source.clone(), plain, usual)
            }
            CodecSettings::Senml(_)
            | CodecSettings::Line(_)
            | CodecSettings::Samples(_)
            | CodecSettings::Sparkplug(_) => (source.clone(), plain, usual),
        },
        Carries::Frames(_) => unreachable!("a judge over readings looks at no frames"),
    }
}
