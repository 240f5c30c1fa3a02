//! Columns that may say in which state a machine is, though the judge does not look at them: one of them may explain its
//! events, see [`StateSuggestion`](verge_pipeline::judging::StateSuggestion).

use std::collections::BTreeSet;

use verge_codec::is_switch;
use verge_domain::id::SignalId;
use verge_pipeline::judging::InputPattern;

use super::columns::{Columns, Of, Values};
use crate::cli::table::{Table, plain};

/// A signal with more values than this is no contact.
const MOST_VALUES: usize = 4;

/// The signals of such columns. Columns that are not read yet are added to the values.
pub(super) fn add(
    table: &Table,
    inputs: &[InputPattern],
    not_judged: &[SignalId],
    columns: &mut Columns,
) -> Vec<SignalId> {
    let mut contacts: Vec<SignalId> = not_judged
        .iter()
        .filter(|signal| {
            columns.values.iter().any(|values| is_contact(cells_of(table, values, signal), values))
        })
        .cloned()
        .collect();
    // With a column that names signals, the others hold something else.
    let is_wide = columns.values.iter().all(|values| matches!(values.of, Of::Signal(_)));
    let Some(first) = columns.values.first().filter(|_| is_wide) else { return contacts };
    let time = first.time.clone();
    let used = |values: &Values| {
        let quality = values.quality.map(|(column, _)| column);
        values.time.iter().copied().chain([values.column]).chain(quality).collect::<Vec<_>>()
    };
    let mut others: Vec<usize> = columns.values.iter().flat_map(used).collect();
    others.extend(columns.device);
    let mut candidates = table.values(&others);
    candidates.extend(table.switches(&others));
    candidates.sort_unstable();
    candidates.dedup();
    let is_judged = |name: &str| inputs.iter().any(|input| input.takes_signal(name));
    for column in candidates {
        let (Ok(signal), Ok(decimal)) = (SignalId::new(table.name(column)), table.decimal(column)) else {
            continue;
        };
        let values =
            Values { column, of: Of::Signal(signal.clone()), decimal, time: time.clone(), quality: None };
        if !is_judged(signal.as_str()) && is_contact(table.texts(column), &values) {
            columns.values.push(values);
            contacts.push(signal);
        }
    }
    contacts
}

/// The cells of one signal.
fn cells_of<'a>(table: &'a Table, values: &'a Values, signal: &'a SignalId) -> impl Iterator<Item = &'a str> {
    (0..table.len())
        .filter(move |row| values.signal(*row) == Some(signal))
        .map(move |row| table.text(row, values.column))
}

/// Whether these are from two to four whole numbers, or words that stand for such.
fn is_contact<'a>(cells: impl Iterator<Item = &'a str>, values: &Values) -> bool {
    let mut met: BTreeSet<String> = BTreeSet::new();
    for text in cells.filter(|text| !text.is_empty()) {
        let value = match plain(text, values.decimal) {
            Some(number) => {
                number.parse::<f64>().ok().filter(|number| number.fract() == 0.0).map(|_| number.into_owned())
            }
            None => Some(text.to_lowercase()).filter(|word| is_switch(word)),
        };
        let Some(value) = value else { return false };
        met.insert(value);
        if met.len() > MOST_VALUES {
            return false;
        }
    }
    met.len() > 1
}
