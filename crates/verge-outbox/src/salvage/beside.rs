//! What is brought over beside the verdicts: marks and small tables.

use std::collections::HashMap;

use rusqlite::Connection;
use verge_domain::id::Lane;

use crate::lanes;
use crate::row::Binding;

/// Routes resume where they were; those that were behind all others begin again, so that receivers learn which numbers
/// belong to the earlier epoch.
pub(super) fn bring_marks(
    new: &Connection,
    marks: &HashMap<String, [u64; 3]>,
    begins: &[u64; 3],
    last: &[u64; 3],
    of_new: &Binding,
) -> Result<(), rusqlite::Error> {
    let brought = marks.iter().map(|(route, marks)| {
        let upto = Lane::ALL.map(|lane| {
            let mark = marks[lane.index()].min(last[lane.index()]);
            if mark <= begins[lane.index()] { 0 } else { mark }
        });
        (route.as_str(), upto)
    });
    lanes::save_marks(new, brought, of_new)
}

/// Rows of a small table as they are, as far as they can be read. Says how many.
pub(super) fn bring_table(
    old: &Connection,
    new: &Connection,
    table: &str,
    columns: usize,
) -> Result<u64, rusqlite::Error> {
    let places: Vec<String> = (1..=columns).map(|place| format!("?{place}")).collect();
    let mut put = new.prepare(&format!("INSERT OR REPLACE INTO {table} VALUES ({})", places.join(", ")))?;
    let Ok(mut statement) = old.prepare(&format!("SELECT * FROM {table}")) else { return Ok(0) };
    let Ok(mut rows) = statement.query([]) else { return Ok(0) };
    let mut brought = 0;
    while let Ok(Some(row)) = rows.next() {
        let values: Result<Vec<rusqlite::types::Value>, _> =
            (0..columns).map(|column| row.get(column)).collect();
        let Ok(values) = values else { continue };
        brought += u64::from(put.execute(rusqlite::params_from_iter(values)).is_ok());
    }
    Ok(brought)
}
