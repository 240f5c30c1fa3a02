//! What `verge judge` says of a table: which columns it took as what, what it left out, and the alarms of each.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use serde_json::{Value, json};
use verge_codec::Decimal;
use verge_domain::id::SignalId;
use verge_domain::time::UtcMillis;

use super::columns::{Of, Values};
use crate::cli::say;
use crate::cli::table::{Left, LeftOut, Table};
use crate::describe;

/// Names that are listed.
const SHOWN: usize = 8;

#[derive(Debug)]
pub(in crate::cli::judge) struct TableReport {
    times: Vec<String>,
    /// The column that names devices, and how many it names.
    devices: Option<(String, usize)>,
    /// Columns, the signals they are, and how they are written.
    columns: Vec<(String, String, Decimal)>,
    not_read: Vec<String>,
    /// Signals that the judge does not look at.
    not_judged: Vec<String>,
    notes: Vec<String>,
    left: Vec<Left>,
    rows: usize,
    from_to: Option<(UtcMillis, UtcMillis)>,
    interval_ms: Option<i64>,
    /// By device, where a column names them, and signal.
    alarms: BTreeMap<(Option<String>, String), u64>,
}

impl TableReport {
    pub(super) fn new(
        table: &mut Table,
        values: &[Values],
        named_by: Option<usize>,
        not_judged: &[SignalId],
        entries: &[super::Entry],
        left: &LeftOut,
    ) -> Self {
        let (notes, mut all_left) = table.take_notes();
        all_left.append(left);
        let mut times: Vec<usize> = values.iter().flat_map(|values| &values.time).copied().collect();
        times.dedup();
        // Read for what they may explain: see `contacts`.
        let is_judged = |signal: &SignalId| !not_judged.contains(signal);
        let judged = values.iter().filter(|values| match &values.of {
            Of::Signal(signal) => is_judged(signal),
            Of::Rows(..) => true,
        });
        let columns = judged.map(|values| {
            let of = match &values.of {
                Of::Signal(signal) => signal.to_string(),
                Of::Rows(column, _) => format!("the signal in column `{}`", table.name(*column)),
            };
            (table.name(values.column).to_owned(), of, values.decimal)
        });
        let mut series: BTreeMap<(Option<&str>, &SignalId), Vec<i64>> = BTreeMap::new();
        for entry in entries {
            let device = named_by.map(|column| table.text(entry.row, column));
            if let Some(signal) = values[entry.values].signal(entry.row).filter(|signal| is_judged(signal)) {
                series.entry((device, signal)).or_default().push(entry.at.0);
            }
        }
        let interval_ms =
            series.values().max_by_key(|times| times.len()).and_then(|times| median_step(times));
        let name = |(device, signal): &(Option<&str>, &SignalId)| {
            (device.map(|device| device.replace('/', "%2F")), signal.to_string())
        };
        let alarms: BTreeMap<(Option<String>, String), u64> =
            series.keys().map(|series| (name(series), 0)).collect();
        let devices: BTreeSet<&Option<String>> = alarms.keys().map(|(device, _)| device).collect();
        let used: Vec<usize> = times.iter().copied().chain(named_by).collect();
        Self {
            columns: columns.collect(),
            not_read: not_read(table, values, &used),
            devices: named_by.map(|column| (table.name(column).to_owned(), devices.len())),
            times: times.iter().map(|column| table.name(*column).to_owned()).collect(),
            not_judged: not_judged.iter().map(ToString::to_string).collect(),
            notes,
            left: all_left.kinds().to_vec(),
            rows: table.len(),
            from_to: entries.first().zip(entries.last()).map(|(first, last)| (first.at, last.at)),
            interval_ms,
            alarms,
        }
    }

    /// How the table is read, before anything is judged.
    pub(super) fn say(&self, path: &Path) {
        let path = path.display();
        let columns: Vec<String> = self
            .columns
            .iter()
            .map(|(name, signal, decimal)| {
                let comma = if *decimal == Decimal::Comma { " (decimal comma)" } else { "" };
                if name == signal {
                    format!("`{name}`{comma}")
                } else {
                    format!("`{name}` as {signal}{comma}")
                }
            })
            .collect();
        let times: Vec<String> = self.times.iter().map(|name| format!("`{name}`")).collect();
        let devices = self.devices.as_ref().map_or(String::new(), |(name, count)| {
            format!("; device: `{name}` ({count} device{})", if *count == 1 { "" } else { "s" })
        });
        say(&format!("{path}: judged: {}{devices}; time: {}", listed(&columns), listed(&times)));
        if !self.not_read.is_empty() {
            say(&format!("{path}: not read: {}", listed(&self.not_read)));
        }
        if !self.not_judged.is_empty() {
            say(&format!("{path}: the judge does not look at {}", listed(&self.not_judged)));
        }
        for note in &self.notes {
            say(&format!("{path}: {note}"));
        }
        if !self.left.is_empty() {
            let left: Vec<String> = self.left.iter().map(ToString::to_string).collect();
            say(&format!("{path}: left out: {}", left.join("; ")));
        }
        if let Some((from, to)) = self.from_to {
            let every = self.interval_ms.map_or_else(String::new, |interval| {
                let span = std::time::Duration::from_millis(interval.unsigned_abs());
                format!(", median interval {}", describe::span(span))
            });
            let (from, to) = (describe::short_utc(from), describe::short_utc(to));
            let rows = if self.rows == 1 { "row" } else { "rows" };
            say(&format!("{path}: {} {rows} from {from} to {to} UTC{every}", self.rows));
        }
    }

    pub(super) fn count_alarms(&mut self, alarms: BTreeMap<(String, String), u64>) {
        let has_devices = self.devices.is_some();
        self.alarms.extend(
            alarms
                .into_iter()
                .map(|((device, signal), count)| ((has_devices.then_some(device), signal), count)),
        );
    }

    /// Alarms of each series, most of them first.
    pub(in crate::cli::judge) fn alarms(&self) -> String {
        let mut alarms: Vec<(String, u64)> = self.alarms_by_name().collect();
        alarms.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
        let words: Vec<String> = alarms.iter().map(|(series, count)| format!("{series} {count}")).collect();
        listed(&words)
    }

    fn alarms_by_name(&self) -> impl Iterator<Item = (String, u64)> {
        self.alarms.iter().map(|((device, signal), count)| match device {
            Some(device) => (format!("{device} {signal}"), *count),
            None => (signal.clone(), *count),
        })
    }

    pub(in crate::cli::judge) fn json(&self) -> Value {
        let time = |at: UtcMillis| at.0;
        let columns: Vec<Value> = self.columns.iter().map(|(name, signal, decimal)| {
            json!({ "column": name, "signal": signal, "decimal": if *decimal == Decimal::Comma { "," } else { "." } })
        }).collect();
        let left: Vec<Value> = self.left.iter().map(|left| {
            json!({ "what": left.kind.words(left.count), "count": left.count, "line": left.line, "text": left.came.to_string() })
        }).collect();
        let alarms: BTreeMap<String, u64> = self.alarms_by_name().collect();
        json!({
            "time": self.times, "device": self.devices.as_ref().map(|(name, _)| name), "columns": columns, "not_read": self.not_read, "not_judged": self.not_judged,
            "notes": self.notes, "left_out": left, "rows": self.rows, "from_ms": self.from_to.map(|(from, _)| time(from)),
            "to_ms": self.from_to.map(|(_, to)| time(to)), "interval_ms": self.interval_ms, "alarms": alarms,
        })
    }
}

/// Columns that are neither times, values, names nor qualities, and why.
fn not_read(table: &Table, values: &[Values], times: &[usize]) -> Vec<String> {
    let mut used = times.to_vec();
    for values in values {
        used.push(values.column);
        used.extend(values.quality.map(|(column, _)| column));
        used.extend(if let Of::Rows(column, _) = &values.of { Some(*column) } else { None });
    }
    let empty = table.empty_columns();
    let groups = table.groups(&used);
    let words = table.words(&used);
    let is_left = |column: &usize| !used.contains(column);
    (0..table.header().count())
        .filter(is_left)
        .map(|column| {
            let name = match table.name(column) {
                "" => format!("column {} (no name)", column + 1),
                name => format!("`{name}`"),
            };
            let group = groups.iter().find(|(group, _)| *group == column);
            match group {
                _ if empty.contains(&column) => format!("{name} (empty)"),
                Some((_, texts)) => format!(
                    "{name} ({texts} texts; where they name signals or devices, --signal-column {0:?} or --device-column {0:?} \
                     distinguishes them)",
                    table.name(column)
                ),
                None if words.contains(&column) => format!("{name} (text)"),
                None => name,
            }
        })
        .collect()
}

/// From one reading to the next.
fn median_step(times: &[i64]) -> Option<i64> {
    let mut steps: Vec<i64> =
        times.windows(2).map(|pair| pair[1] - pair[0]).filter(|step| *step > 0).collect();
    steps.sort_unstable();
    steps.get(steps.len() / 2).copied()
}

fn listed(names: &[String]) -> String {
    let more = if names.len() > SHOWN { format!(" and {} more", names.len() - SHOWN) } else { String::new() };
    format!("{}{more}", names[..names.len().min(SHOWN)].join(", "))
}
