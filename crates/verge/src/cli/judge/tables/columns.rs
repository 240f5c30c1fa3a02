//! Which columns of a table are times, values and signals.

use std::collections::{BTreeSet, HashMap};

use anyhow::{Context, bail};
use verge_codec::{Decimal, NumberSettings, SignalRule};
use verge_domain::id::{DeviceId, SignalId};
use verge_pipeline::judging::InputPattern;

use super::quality;
use crate::cli::judge::InputArgs;
use crate::cli::table::Table;

/// Names of columns that name the signal of each row.
const SIGNALS: [&str; 16] = [
    "tag",
    "tagname",
    "tag_name",
    "tag name",
    "signal",
    "point",
    "pointname",
    "variable",
    "varname",
    "metric",
    "sensor",
    "item",
    "itemid",
    "parameter",
    "channel",
    "_field",
];

/// Names of columns that name the device of each row.
const DEVICES: [&str; 16] = [
    "device",
    "deviceid",
    "device_id",
    "devicename",
    "device_name",
    "device name",
    "machine",
    "asset",
    "equipment",
    "station",
    "host",
    "gerät",
    "geraet",
    "maschine",
    "anlage",
    "aggregat",
];

/// Names of a column of values that is not called as its signal is.
const VALUES: [&str; 8] =
    ["value", "values", "reading", "measurement", "wert", "messwert", "valeur", "valor"];

/// What a table is read by.
#[derive(Debug)]
pub(super) struct Columns {
    pub(super) values: Vec<Values>,
    /// The column that names the device of each row.
    pub(super) device: Option<usize>,
}

/// A column of values.
#[derive(Debug)]
pub(super) struct Values {
    pub(super) column: usize,
    pub(super) of: Of,
    pub(super) decimal: Decimal,
    /// Columns of its times.
    pub(super) time: Vec<usize>,
    pub(super) quality: Option<(usize, quality::QualityCells)>,
}

/// What values are of.
#[derive(Debug)]
pub(super) enum Of {
    Signal(SignalId),
    /// The signal of each row, as this column names it.
    Rows(usize, Vec<SignalId>),
}

impl Values {
    /// All signals, each once.
    pub(super) fn signals(&self) -> Vec<SignalId> {
        match &self.of {
            Of::Signal(signal) => vec![signal.clone()],
            Of::Rows(_, signals) => signals.iter().collect::<BTreeSet<_>>().into_iter().cloned().collect(),
        }
    }

    pub(super) fn signal(&self, row: usize) -> Option<&SignalId> {
        match &self.of {
            Of::Signal(signal) => Some(signal),
            Of::Rows(_, signals) => signals.get(row),
        }
    }
}

/// The columns that are judged, and how each is read.
pub(super) fn choose(
    args: &InputArgs,
    table: &Table,
    inputs: &[InputPattern],
    number: &NumberSettings,
) -> anyhow::Result<Columns> {
    let time = table.time_columns(&args.time_column)?;
    let qualities = quality::columns(table);
    let mut others: Vec<usize> = time.iter().chain(&qualities).copied().collect();
    let device = device_column(args, table, &others)?;
    others.extend(device);
    let named_by = signal_column(args, table, &others)?;
    let keys: Vec<usize> = time.iter().copied().chain(device).chain(named_by).collect();
    refuse_rows_at_one_time(args, table, &keys, &others)?;
    let columns: Vec<(usize, Of)> = match named_by {
        Some(column) => vec![long(args, table, &others, column)?],
        None => wide(args, table, &others, inputs, number)?
            .into_iter()
            .map(|(column, signal)| (column, Of::Signal(signal)))
            .collect(),
    };
    let values: Vec<usize> = columns.iter().map(|(column, _)| *column).collect();
    let pens = if args.time_column.is_empty() { table.time_of_each(&values) } else { None };
    let values = columns
        .into_iter()
        .map(|(column, of)| {
            let pen = pens.iter().flatten().find(|(_, values)| values.contains(&column));
            let quality = quality::column_of(&qualities, column);
            let quality =
                quality.and_then(|column| Some((column, quality::QualityCells::of(table, column)?)));
            let time = pen.map_or_else(|| time.clone(), |(time, _)| vec![*time]);
            Ok(Values { column, of, decimal: table.decimal(column)?, time, quality })
        })
        .collect::<anyhow::Result<Vec<Values>>>()?;
    Ok(Columns { values, device })
}

/// The column that names the device of each row: the one that is named, or called so.
fn device_column(args: &InputArgs, table: &Table, others: &[usize]) -> anyhow::Result<Option<usize>> {
    let names_signals = args.signal_column.as_ref().map(|name| table.column(name)).transpose()?;
    let others: Vec<usize> = others.iter().copied().chain(names_signals).collect();
    let column = match &args.device_column {
        Some(name) => Some(table.column(name)?),
        None if args.device.is_some() => None,
        None => called(table, &table.groups(&others), &DEVICES),
    };
    if let Some(column) = column {
        for (row, text) in table.texts(column).enumerate() {
            DeviceId::new(text).with_context(|| {
                format!("{}, column `{}`: device {text:?}", table.place(row), table.name(column))
            })?;
        }
    }
    Ok(column)
}

/// The first of these columns that has one of the names.
fn called(table: &Table, groups: &[(usize, usize)], names: &[&str]) -> Option<usize> {
    let is =
        |column: usize| names.iter().any(|name| name.to_lowercase() == table.name(column).to_lowercase());
    groups.iter().map(|(column, _)| *column).find(|column| is(*column))
}

/// The column that names the signal of each row: the one that is named, or called so.
fn signal_column(args: &InputArgs, table: &Table, others: &[usize]) -> anyhow::Result<Option<usize>> {
    if let Some(name) = &args.signal_column {
        return table.column(name).map(Some);
    }
    if args.signal.is_some() {
        return Ok(None);
    }
    if table.values(others).len() != 1 {
        return Ok(None);
    }
    Ok(called(table, &table.groups(others), &SIGNALS))
}

/// Rows of several series would be judged as one: nothing is guessed. `keys` are the columns that distinguish rows.
fn refuse_rows_at_one_time(
    args: &InputArgs,
    table: &Table,
    keys: &[usize],
    others: &[usize],
) -> anyhow::Result<()> {
    let stated = args.device.is_some() || args.signal.is_some() || args.value_column.is_some();
    let others: Vec<usize> = others.iter().chain(keys).copied().collect();
    let groups = if stated { Vec::new() } else { table.groups(&others) };
    let Some((column, texts)) = groups.iter().find(|(column, _)| has_rows_at_one_time(table, keys, *column))
    else {
        return Ok(());
    };
    bail!(
        "{}: the column `{name}` has {texts} texts, and each time stands in several rows: say --device-column {name:?} if it \
         names devices, --signal-column {name:?} if it names signals, or --value-column to judge all rows as one series",
        table.path().display(),
        name = table.name(*column),
    );
}

/// Whether most of what the keys hold stands in several rows, with another text in each.
fn has_rows_at_one_time(table: &Table, keys: &[usize], column: usize) -> bool {
    let mut at: HashMap<Vec<&str>, BTreeSet<&str>> = HashMap::new();
    for (row, text) in table.texts(column).enumerate() {
        at.entry(keys.iter().map(|key| table.text(row, *key)).collect()).or_default().insert(text);
    }
    at.values().filter(|texts| texts.len() > 1).count() * 2 > at.len()
}

/// One column of values, and the signal that each row names.
fn long(args: &InputArgs, table: &Table, others: &[usize], named_by: usize) -> anyhow::Result<(usize, Of)> {
    let others: Vec<usize> = others.iter().copied().chain([named_by]).collect();
    let column = match (&args.value_column, &table.values(&others)[..]) {
        (Some(name), _) => table.column(name)?,
        (None, [column]) => *column,
        (None, []) => bail!(no_numbers(table)),
        (None, [..]) => {
            bail!("{}: more than one column of numbers; --value-column names the one", table.path().display())
        }
    };
    let mut known: HashMap<&str, SignalId> = HashMap::new();
    let mut signals = Vec::new();
    for (row, text) in table.texts(named_by).enumerate() {
        if !known.contains_key(text) {
            let signal = SignalId::new(text).with_context(|| {
                format!("{}, column `{}`: signal {text:?}", table.place(row), table.name(named_by))
            })?;
            known.insert(text, signal);
        }
        signals.extend(known.get(text).cloned());
    }
    Ok((column, Of::Rows(named_by, signals)))
}

/// A column for each signal.
fn wide(
    args: &InputArgs,
    table: &Table,
    others: &[usize],
    inputs: &[InputPattern],
    number: &NumberSettings,
) -> anyhow::Result<Vec<(usize, SignalId)>> {
    let signal = |name: &str| SignalId::new(name).with_context(|| format!("signal {name:?}"));
    let mut candidates = table.values(others);
    candidates.extend(table.switches(others));
    candidates.sort_unstable();
    if args.value_column.is_none() && args.signal.is_none() {
        let wanted = |name: &&str| {
            inputs.iter().any(|input| input.signals.as_ref().is_some_and(|pattern| pattern.matches(name)))
        };
        let several = candidates.iter().filter_map(|column| {
            let names = table.names_of(*column);
            Some((*column, names.into_iter().find(wanted)?))
        });
        let mut several: Vec<(usize, &str)> = several.collect();
        let takes_all = inputs.iter().any(|input| input.signals.is_none());
        if several.is_empty() && takes_all && !matches!(number.signal, SignalRule::Fixed(_)) {
            several.extend(candidates.iter().map(|column| (*column, table.name(*column))));
        }
        if !several.is_empty() {
            return several.into_iter().map(|(column, name)| Ok((column, signal(name)?))).collect();
        }
    }
    let column = match &args.value_column {
        Some(name) => table.column(name)?,
        None => only_value(table, &candidates, inputs, number)?,
    };
    let exact = inputs.iter().find_map(|input| {
        input.signals.as_ref().map(ToString::to_string).filter(|pattern| !pattern.contains(['*', '?']))
    });
    let name = match (&args.signal, exact, &number.signal) {
        (Some(name), _, _) => name.clone(),
        (None, Some(name), _) => name,
        (None, None, SignalRule::Fixed(name)) => name.to_string(),
        (None, None, SignalRule::TopicLevel(_) | SignalRule::Composed(_)) => table.name(column).to_owned(),
    };
    Ok(vec![(column, signal(&name)?)])
}

/// The one column of values that need not be called as the signal is.
fn only_value(
    table: &Table,
    candidates: &[usize],
    inputs: &[InputPattern],
    number: &NumberSettings,
) -> anyhow::Result<usize> {
    let is_called_so = |column: &&usize| {
        let mut names = table.names_of(**column).into_iter();
        let is_fixed =
            |name: &str| matches!(&number.signal, SignalRule::Fixed(signal) if signal.as_str() == name);
        names.any(|name| is_fixed(name) || VALUES.iter().any(|known| known.eq_ignore_ascii_case(name)))
    };
    let column = match candidates {
        [] => bail!(no_numbers(table)),
        [one] => Some(one),
        several => several.iter().find(is_called_so),
    };
    column.copied().with_context(|| {
        let names: Vec<String> =
            candidates.iter().map(|column| format!("`{}`", table.name(*column))).collect();
        let wanted: Vec<String> = inputs
            .iter()
            .filter_map(|input| input.signals.as_ref().map(ToString::to_string))
            .chain(match &number.signal {
                SignalRule::Fixed(signal) => Some(signal.to_string()),
                SignalRule::TopicLevel(_) | SignalRule::Composed(_) => None,
            })
            .collect();
        format!(
            "{}: of the columns of numbers, {}, none is called {}; --value-column names the one to judge",
            table.path().display(),
            names.join(", "),
            wanted.join(" or ")
        )
    })
}

/// What the columns hold instead.
fn no_numbers(table: &Table) -> String {
    let names: Vec<String> = table.header().map(|name| format!("`{name}`")).collect();
    let first: Vec<&str> = (0..names.len()).map(|column| table.text(0, column)).collect();
    format!(
        "{}: no column of numbers among {}; the first row holds {:?}",
        table.place(0),
        names.join(", "),
        first.join(" | ")
    )
}
