//! Tables through a judge over readings: each column of values is a signal, each cell a message of the source that the
//! judge looks at.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ffi::OsStr;
use std::io::Write;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, anyhow, bail};
use bytes::Bytes;
use verge_codec::{
    CodecSettings, Compression, Decimal, Decoders, DeviceRule, NameTemplate, NumberSettings, SignalRule,
    SourceSettings,
};
use verge_domain::id::{DeviceId, SignalId};
use verge_domain::verdict::Detector;
use verge_pipeline::counters::Counters;
use verge_pipeline::judging::InputPattern;

use super::readings::Trial;
use super::{JudgeArgs, Teller, Told};
use crate::cli::recording::Recorded;
use crate::cli::say;
use crate::cli::table::{TIMES, Table};
use crate::exit::{Exit, ExitWith};
use crate::settings::{Carries, Judge, Settings};
use crate::wiring;

/// A table as the readings of one device, with the scale and unit of the judge's source.
pub(super) fn table(
    args: &JudgeArgs,
    settings: &Settings,
    teller: &Teller,
    judge: &Judge,
    path: &Path,
    out: &mut impl Write,
) -> anyhow::Result<Told> {
    let inputs = &judge.readings().context("the judge looks at readings")?.inputs;
    let stem = path.file_stem().and_then(OsStr::to_str).unwrap_or_default();
    let device = args.device.as_deref().unwrap_or(stem);
    let device =
        DeviceId::new(device).with_context(|| format!("device {device:?}")).exit_with(Exit::Usage)?;
    if let Some(signal) = &args.signal {
        SignalId::new(signal).with_context(|| format!("signal {signal:?}")).exit_with(Exit::Usage)?;
    }
    let input = inputs.first().context("a judge has an input")?;
    let source = codec_of(settings, input);
    let mut table = Table::open(path).exit_with(Exit::BadInput)?;
    let time = table.named(args.time_column.as_deref(), &TIMES).exit_with(Exit::BadInput)?.unwrap_or(0);
    let wide = match &args.signal_column {
        Some(_) => None,
        None => Some(columns(args, &table, time, inputs, &source.1).exit_with(Exit::BadInput)?),
    };
    let times = table.sort_by_time(time).exit_with(Exit::BadInput)?;
    let values = match (wide, &args.signal_column) {
        (None, Some(name)) => Values::long(args, &table, time, name).exit_with(Exit::BadInput)?,
        (columns, _) => {
            let columns = columns.unwrap_or_default();
            tell_columns(&table, time, &columns, path);
            Values::Wide(columns)
        }
    };
    let looks = |signal: &SignalId| {
        inputs
            .iter()
            .any(|input| input.signals.as_ref().is_none_or(|pattern| pattern.matches(signal.as_str())))
    };
    let (judged, left): (Vec<SignalId>, Vec<SignalId>) = values.signals().into_iter().partition(looks);
    if let Some(signal) = left.first().filter(|_| judged.is_empty() || args.signal_column.is_none()) {
        let text = format!("the judge {} does not look at a signal {signal}; --signal names one", judge.name);
        return Err(anyhow!(text)).exit_with(Exit::Usage);
    }
    if !left.is_empty() {
        let names: Vec<&str> = left.iter().take(SIGNALS_SHOWN).map(SignalId::as_str).collect();
        let more = if left.len() > SIGNALS_SHOWN { ", …" } else { "" };
        say(&format!(
            "{}: the judge {} does not look at {} of {} signals: {}{more}",
            path.display(),
            judge.name,
            left.len(),
            left.len() + judged.len(),
            names.join(", ")
        ));
    }
    if judge.detector() == Detector::Multi && judged.len() < 2 {
        let text = format!(
            "{}: the judge {} needs several signals, and there is a column for {} alone",
            path.display(),
            judge.name,
            judged[0]
        );
        return Err(anyhow!(text)).exit_with(Exit::BadInput);
    }

    let mut only: Vec<Option<SourceSettings>> = vec![None; settings.sources.len()];
    // A cell comes on a topic with the name of its signal.
    let signal = SignalRule::Composed(NameTemplate::parse("{topic:0..}", false).context("a whole topic")?);
    let number = NumberSettings { signal, ..source.1 };
    let (device, codec) = (DeviceRule::Fixed(device), CodecSettings::Number(number));
    only[usize::from(input.source.0)] =
        Some(SourceSettings { codec, device, compression: Compression::None, ..source.0 });
    let decoders = Decoders::new(only).exit_with(Exit::BadConfig)?;
    let counters = Arc::new(Counters::new(wiring::source_ids(settings)));
    let mut trial = Trial::new(settings, teller, decoders, counters, out)?;
    trial.source = Some(input.source);
    for (row, time) in times.into_iter().enumerate() {
        for (column, signal) in values.of_row(row) {
            let cell = table.text(row, column);
            // An empty cell is no reading.
            if cell.is_empty() {
                continue;
            }
            trial.hear(Recorded {
                topic: signal.to_string(),
                payload: Bytes::copy_from_slice(cell.as_bytes()),
                time,
                retained: false,
            })?;
        }
    }
    trial.end()
}

/// Signals that are listed.
const SIGNALS_SHOWN: usize = 5;

/// Where the values stand, and what they are of.
enum Values {
    /// A column for each signal.
    Wide(Vec<(usize, SignalId)>),
    /// One column, and in each row the signal that its value is of.
    Long { column: usize, signals: Vec<SignalId> },
}

impl Values {
    fn long(args: &JudgeArgs, table: &Table, time: usize, name: &str) -> anyhow::Result<Self> {
        let signal_column = table.column(name)?;
        let column = match &args.value_column {
            Some(name) => table.column(name)?,
            None => match table.values(&[time, signal_column])[..] {
                [column] => column,
                [] => bail!("{}: no column of numbers", table.path().display()),
                [..] => bail!(
                    "{}: more than one column of numbers; --value-column names the one",
                    table.path().display()
                ),
            },
        };
        let mut known: HashMap<&str, SignalId> = HashMap::new();
        let mut signals = Vec::new();
        for (row, text) in table.texts(signal_column).enumerate() {
            let signal = match known.get(text) {
                Some(signal) => signal.clone(),
                None => SignalId::new(text)
                    .with_context(|| format!("{}, column `{name}`: signal {text:?}", table.place(row)))?,
            };
            known.insert(text, signal.clone());
            signals.push(signal);
        }
        Ok(Self::Long { column, signals })
    }

    /// All signals, each once.
    fn signals(&self) -> Vec<SignalId> {
        match self {
            Self::Wide(columns) => columns.iter().map(|(_, signal)| signal.clone()).collect(),
            Self::Long { signals, .. } => {
                signals.iter().collect::<BTreeSet<_>>().into_iter().cloned().collect()
            }
        }
    }

    /// The columns of a row, and the signals they are.
    fn of_row(&self, row: usize) -> impl Iterator<Item = (usize, &SignalId)> {
        let (wide, long) = match self {
            Self::Wide(columns) => (&columns[..], None),
            Self::Long { column, signals } => (&[][..], signals.get(row).map(|signal| (*column, signal))),
        };
        wide.iter().map(|(column, signal)| (*column, signal)).chain(long)
    }
}

/// The settings of the judge's source, and what it does to numbers: nothing, where its codec is another.
fn codec_of(settings: &Settings, input: &InputPattern) -> (SourceSettings, NumberSettings) {
    let plain = NumberSettings {
        signal: SignalRule::TopicLevel(0),
        unit: None,
        scale: 1.0,
        offset: 0.0,
        words: BTreeMap::new(),
        decimal: Decimal::Point,
    };
    match &settings.sources[usize::from(input.source.0)].carries {
        Carries::Readings(source) => match &source.codec {
            CodecSettings::Number(number) => (source.clone(), number.clone()),
            CodecSettings::Json(_)
            | CodecSettings::Senml(_)
            | CodecSettings::Line(_)
            | CodecSettings::Samples(_) => (source.clone(), plain),
        },
        Carries::Frames(_) => unreachable!("a judge over readings looks at no frames"),
    }
}

/// The columns that are judged, and the signals they are.
fn columns(
    args: &JudgeArgs,
    table: &Table,
    time: usize,
    inputs: &[InputPattern],
    number: &NumberSettings,
) -> anyhow::Result<Vec<(usize, SignalId)>> {
    let header = |column: usize| table.header().nth(column).unwrap_or_default();
    let signal = |name: &str| SignalId::new(name).with_context(|| format!("signal {name:?}"));
    let candidates = table.values(&[time]);
    let named = |column: &usize| {
        let matches = |input: &InputPattern| {
            input.signals.as_ref().is_some_and(|pattern| pattern.matches(header(*column)))
        };
        inputs.iter().any(matches)
    };
    if args.value_column.is_none() && args.signal.is_none() {
        let mut several: Vec<usize> = candidates.iter().copied().filter(named).collect();
        let takes_all = inputs.iter().any(|input| input.signals.is_none());
        if several.is_empty() && takes_all && !matches!(number.signal, SignalRule::Fixed(_)) {
            several.clone_from(&candidates);
        }
        if !several.is_empty() {
            return several.into_iter().map(|column| Ok((column, signal(header(column))?))).collect();
        }
    }
    let column = match &args.value_column {
        Some(name) => table.column(name)?,
        None => match candidates.first() {
            Some(column) => *column,
            None => bail!("{}: no column of numbers", table.path().display()),
        },
    };
    let exact = inputs.iter().find_map(|input| {
        input.signals.as_ref().map(ToString::to_string).filter(|pattern| !pattern.contains(['*', '?']))
    });
    let name = match (&args.signal, exact, &number.signal) {
        (Some(name), _, _) => name.clone(),
        (None, Some(name), _) => name,
        (None, None, SignalRule::Fixed(name)) => name.to_string(),
        (None, None, SignalRule::TopicLevel(_) | SignalRule::Composed(_)) => header(column).to_owned(),
    };
    Ok(vec![(column, signal(&name)?)])
}

/// Says what of a table with several columns is judged, and where several series may stand in one column.
fn tell_columns(table: &Table, time: usize, columns: &[(usize, SignalId)], path: &Path) {
    for (column, texts) in table.groups(&[time]) {
        let name = table.header().nth(column).unwrap_or_default();
        say(&format!(
            "{}: the column `{name}` is not read; where its {texts} texts name signals, --signal-column {name:?} tells them \
             apart",
            path.display()
        ));
    }
    let left: Vec<String> = table
        .values(&[time])
        .into_iter()
        .filter(|column| columns.iter().all(|(judged, _)| judged != column))
        .filter_map(|column| table.header().nth(column).map(|name| format!("`{name}`")))
        .collect();
    if left.is_empty() {
        return;
    }
    let judged: Vec<String> = columns
        .iter()
        .filter_map(|(column, signal)| Some(format!("`{}` as {signal}", table.header().nth(*column)?)))
        .collect();
    say(&format!(
        "{}: judged is the column {}; not read: {}",
        path.display(),
        judged.join(", "),
        left.join(", ")
    ));
}
