//! What the store knows of each lane without reading its rows: the newest number, and where what is stored begins.

use std::collections::HashMap;

use rusqlite::{Connection, OptionalExtension, params};
use verge_domain::id::Lane;

use crate::row::{Binding, RowColumns, SELECT_NEWEST, per_lane};

/// Names of the lanes' tables, in the order of [`Lane::ALL`].
pub(crate) const TABLES: [&str; 3] = per_lane!("", "");
const OLDEST: [&str; 3] = per_lane!("SELECT min(seq) FROM ", "");

/// One lane.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct LaneState {
    /// Newest number ever given.
    pub(crate) last: u64,
    /// Bytes of all verdicts ever stored.
    pub(crate) bytes: u64,
    /// Newest number evicted: what is stored begins behind it.
    pub(crate) evicted: u64,
    /// Bytes of all verdicts evicted.
    pub(crate) evicted_bytes: u64,
}

impl LaneState {
    /// Of all four numbers and the lane's.
    fn crc(&self, lane: Lane, seed: u32) -> i32 {
        let numbers = [lane.index() as u64, self.last, self.bytes, self.evicted, self.evicted_bytes];
        checksum(seed, &numbers, "")
    }

    /// Whether this is the checksum that the numbers were noted with. A new store's zeros have none.
    fn is_noted_with(&self, crc: Option<i32>, lane: Lane, binding: &Binding) -> bool {
        match crc {
            None => *self == Self::default() || binding.takes_unbound(),
            Some(crc) => {
                crc == self.crc(lane, binding.seed()) || binding.takes_unbound() && crc == self.crc(lane, 0)
            }
        }
    }
}

/// Checksum of numbers with a name.
fn checksum(seed: u32, numbers: &[u64], name: &str) -> i32 {
    let start = crc32c::crc32c_append(seed, name.as_bytes());
    numbers.iter().fold(start, |crc, number| crc32c::crc32c_append(crc, &number.to_le_bytes())).cast_signed()
}

pub(crate) fn lane_number(lane: Lane) -> i64 {
    i64::try_from(lane.index()).expect("there are three lanes")
}

/// Reads all lanes. `None` if what is noted of them contradicts itself or the rows.
pub(crate) fn read(
    connection: &Connection,
    binding: &Binding,
) -> Result<Option<[LaneState; 3]>, rusqlite::Error> {
    let mut lanes = [LaneState::default(); 3];
    for lane in Lane::ALL {
        let noted = connection
            .query_row(
                "SELECT last, bytes, evicted, evicted_bytes, crc FROM lane WHERE lane = ?1",
                [lane_number(lane)],
                |row| {
                    let number = |column| row.get::<_, i64>(column).map(i64::cast_unsigned);
                    let (last, bytes) = (number(0)?, number(1)?);
                    let (evicted, evicted_bytes) = (number(2)?, number(3)?);
                    Ok((LaneState { last, bytes, evicted, evicted_bytes }, row.get::<_, Option<i32>>(4)?))
                },
            )
            .optional()?;
        let Some((mut state, crc)) = noted else { return Ok(None) };
        if !state.is_noted_with(crc, lane, binding) {
            return Ok(None);
        }
        if let Some((through, bytes)) = newest(connection, lane, binding)? {
            (state.last, state.bytes) = (state.last.max(through), state.bytes.max(bytes));
        }
        let oldest: Option<i64> = connection.query_row(OLDEST[lane.index()], [], |row| row.get(0))?;
        let begins = oldest.is_none_or(|oldest| oldest.cast_unsigned() == state.evicted + 1);
        // Where nothing is stored, everything that was ever given has been evicted.
        let ends = oldest.is_some() || state.evicted == state.last;
        if !begins || !ends || state.evicted > state.last || state.evicted_bytes > state.bytes {
            return Ok(None);
        }
        lanes[lane.index()] = state;
    }
    Ok(Some(lanes))
}

/// The last number that the newest row stands for, and the bytes of the lane up to it; the row itself may be damaged.
fn newest(
    connection: &Connection,
    lane: Lane,
    binding: &Binding,
) -> Result<Option<(u64, u64)>, rusqlite::Error> {
    connection
        .query_row(SELECT_NEWEST[lane.index()], [i64::MAX], |row| {
            let believed = RowColumns::read(lane, row, binding)?;
            let seq = row.get::<_, i64>(0)?.cast_unsigned();
            Ok(believed.map_or((seq, 0), |(columns, _)| (columns.through(), columns.lane_bytes)))
        })
        .optional()
}

pub(crate) fn write(
    connection: &Connection,
    lane: Lane,
    state: &LaneState,
    binding: &Binding,
) -> Result<(), rusqlite::Error> {
    connection
        .prepare_cached("INSERT OR REPLACE INTO lane VALUES (?1, ?2, ?3, ?4, ?5, ?6)")?
        .execute(params![
            lane_number(lane),
            state.last.cast_signed(),
            state.bytes.cast_signed(),
            state.evicted.cast_signed(),
            state.evicted_bytes.cast_signed(),
            state.crc(lane, binding.seed()),
        ])
        .map(|_| ())
}

/// Marks of all routes as stored; one whose checksum is wrong counts as none, which only causes duplicates.
pub(crate) fn read_marks(
    connection: &Connection,
    binding: &Binding,
) -> Result<HashMap<String, [u64; 3]>, rusqlite::Error> {
    let mut marks: HashMap<String, [u64; 3]> = HashMap::new();
    let mut statement = connection.prepare("SELECT route, lane, upto, crc FROM mark")?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let (route, lane, upto): (String, i64, i64) = (row.get(0)?, row.get(1)?, row.get(2)?);
        let crc: Option<i32> = row.get(3)?;
        let upto = upto.cast_unsigned();
        let Some(lane) = usize::try_from(lane).ok().and_then(Lane::from_index) else { continue };
        let bound = crc == Some(mark_crc(&route, lane, upto, binding.seed()));
        let unbound = crc.is_none_or(|crc| crc == mark_crc(&route, lane, upto, 0));
        let believed = bound || binding.takes_unbound() && unbound;
        if !believed {
            tracing::error!(route = %route.escape_debug(), %lane, "a mark of delivery is damaged: duplicates follow");
        }
        marks.entry(route).or_default()[lane.index()] = if believed { upto } else { 0 };
    }
    Ok(marks)
}

fn mark_crc(route: &str, lane: Lane, upto: u64, seed: u32) -> i32 {
    checksum(seed, &[lane.index() as u64, upto], route)
}

pub(crate) fn save_marks<'a>(
    connection: &Connection,
    marks: impl IntoIterator<Item = (&'a str, [u64; 3])>,
    binding: &Binding,
) -> Result<(), rusqlite::Error> {
    let mut put = connection.prepare_cached("INSERT OR REPLACE INTO mark VALUES (?1, ?2, ?3, ?4)")?;
    for (route, lanes) in marks {
        for (lane, upto) in Lane::ALL.into_iter().zip(lanes) {
            let crc = mark_crc(route, lane, upto, binding.seed());
            put.execute(params![route, lane_number(lane), upto.cast_signed(), crc])?;
        }
    }
    Ok(())
}
