//! Which columns of a table are times, values and signals.

use std::collections::{BTreeSet, HashMap};

use anyhow::{Context, bail};
use verge_codec::{Decimal, NumberSettings, SignalRule};
use verge_domain::id::SignalId;
use verge_pipeline::judging::InputPattern;

use super::quality;
use crate::cli::judge::JudgeArgs;
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

/// A column of values.
#[derive(Debug)]
pub(super) struct Values {
    pub(super) column: usize,
    pub(super) of: Of,
    pub(super) decimal: Decimal,
    /// Columns of its times.
    pub(super) time: Vec<usize>,
    pub(super) quality: Option<(usize, quality::Form)>,
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
    args: &JudgeArgs,
    table: &Table,
    inputs: &[InputPattern],
    number: &NumberSettings,
) -> anyhow::Result<Vec<Values>> {
    let time = table.time_columns(&args.time_column)?;
    let qualities = quality::columns(table);
    let others: Vec<usize> = time.iter().chain(&qualities).copied().collect();
    let named_by = signal_column(args, table, &others)?;
    let columns: Vec<(usize, Of)> = match named_by {
        Some(column) => vec![long(args, table, &others, column)?],
        None => wide(args, table, &others, inputs, number)?
            .into_iter()
            .map(|(column, signal)| (column, Of::Signal(signal)))
            .collect(),
    };
    let values: Vec<usize> = columns.iter().map(|(column, _)| *column).collect();
    let pens = if args.time_column.is_empty() { table.time_of_each(&values) } else { None };
    columns
        .into_iter()
        .map(|(column, of)| {
            let pen = pens.iter().flatten().find(|(_, values)| values.contains(&column));
            let quality = quality::column_of(&qualities, column);
            let quality = quality.and_then(|column| Some((column, quality::Form::of(table, column)?)));
            let time = pen.map_or_else(|| time.clone(), |(time, _)| vec![*time]);
            Ok(Values { column, of, decimal: table.decimal(column)?, time, quality })
        })
        .collect()
}

/// The column that names the signal of each row: the one that is named, or called so.
fn signal_column(args: &JudgeArgs, table: &Table, others: &[usize]) -> anyhow::Result<Option<usize>> {
    if let Some(name) = &args.signal_column {
        return table.column(name).map(Some);
    }
    if args.signal.is_some() {
        return Ok(None);
    }
    let groups = table.groups(others);
    let is_called_so =
        |column: usize| SIGNALS.iter().any(|known| known.eq_ignore_ascii_case(table.name(column)));
    let called = groups.iter().find(|(column, _)| is_called_so(*column)).map(|(column, _)| *column);
    if table.values(others).len() != 1 {
        return Ok(None);
    }
    if let (None, None, [(column, texts)]) = (called, &args.value_column, &groups[..])
        && has_rows_at_one_time(table, others, *column)
    {
        bail!(
            "{}: the column `{name}` has {texts} texts, and each time stands in several rows: say --signal-column {name:?} \
             if it names signals, or --value-column to judge all rows as one series",
            table.path().display(),
            name = table.name(*column),
        );
    }
    Ok(called)
}

/// Whether most times stand in several rows, with another text in each.
fn has_rows_at_one_time(table: &Table, time: &[usize], column: usize) -> bool {
    let mut at: HashMap<Vec<&str>, BTreeSet<&str>> = HashMap::new();
    for (row, text) in table.texts(column).enumerate() {
        at.entry(time.iter().map(|time| table.text(row, *time)).collect()).or_default().insert(text);
    }
    at.values().filter(|texts| texts.len() > 1).count() * 2 > at.len()
}

/// One column of values, and the signal that each row names.
fn long(args: &JudgeArgs, table: &Table, others: &[usize], named_by: usize) -> anyhow::Result<(usize, Of)> {
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
    args: &JudgeArgs,
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
        let matches = |column: usize| {
            let name = table.name(column);
            inputs.iter().any(|input| input.signals.as_ref().is_some_and(|pattern| pattern.matches(name)))
        };
        let mut several: Vec<usize> = candidates.iter().copied().filter(|column| matches(*column)).collect();
        let takes_all = inputs.iter().any(|input| input.signals.is_none());
        if several.is_empty() && takes_all && !matches!(number.signal, SignalRule::Fixed(_)) {
            several.clone_from(&candidates);
        }
        if !several.is_empty() {
            return several.into_iter().map(|column| Ok((column, signal(table.name(column))?))).collect();
        }
    }
    let column = match &args.value_column {
        Some(name) => table.column(name)?,
        None => *candidates.first().with_context(|| no_numbers(table))?,
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
