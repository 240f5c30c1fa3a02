//! What may be evicted: verdicts that every open route has delivered and that the replay window no longer holds.

use std::collections::HashMap;

use rusqlite::{Connection, OptionalExtension};
use verge_domain::id::{Lane, RouteId};

use crate::lanes::{self, LaneState};
use crate::row::{Binding, per_lane};

const BYTES_UPTO: [&str; 3] =
    per_lane!("SELECT lane_bytes FROM ", " WHERE seq <= ?1 ORDER BY seq DESC LIMIT 1");
const FIRST_REACHING: [&str; 3] = per_lane!(
    "SELECT coalesce(through, seq) FROM ",
    " WHERE seq <= ?1 AND lane_bytes >= ?2 ORDER BY seq LIMIT 1"
);
const NEWEST_UPTO: [&str; 3] =
    per_lane!("SELECT seq, coalesce(through, seq) FROM ", " WHERE seq <= ?1 ORDER BY seq DESC LIMIT 1");
const DELETE_UPTO: [&str; 3] = per_lane!("DELETE FROM ", " WHERE seq <= ?1");

/// Open routes and up to where each has delivered every lane; `None` before it is known which are open.
pub(crate) type Routes<'a> = Option<&'a HashMap<RouteId, [u64; 3]>>;

/// Up to where every open route has delivered a lane. Without a route all of it counts as delivered,
/// and is kept as long as the replay window holds it. Before it is known which routes are open, nothing is delivered.
pub(crate) fn delivered(routes: Routes<'_>, lane: Lane, state: &LaneState) -> u64 {
    let Some(marks) = routes else { return 0 };
    marks.values().map(|marks| marks[lane.index()]).min().unwrap_or(state.last).min(state.last)
}

/// What the replay window holds.
pub(crate) struct ReplayWindow {
    /// Bytes of delivered verdicts, shared by the lanes: newest first within each, alarms before the rest.
    pub(crate) bytes: u64,
    /// By lane: numbers up to here are too old.
    pub(crate) too_old: [u64; 3],
}

/// Deletes what the window no longer holds, and returns the lanes as they are then.
pub(crate) fn beyond_window(
    transaction: &Connection,
    lanes: &[LaneState; 3],
    routes: Routes<'_>,
    window: &ReplayWindow,
    binding: &Binding,
) -> Result<[LaneState; 3], rusqlite::Error> {
    let mut after = *lanes;
    let mut room = window.bytes;
    for lane in Lane::ALL {
        let state = &mut after[lane.index()];
        let upto = delivered(routes, lane, state);
        if upto <= state.evicted {
            continue;
        }
        let delivered_bytes = bytes_upto(transaction, lane, upto)?.unwrap_or(state.bytes);
        let kept = delivered_bytes.saturating_sub(state.evicted_bytes);
        let by_bytes = if kept > room {
            first_reaching(transaction, lane, upto, delivered_bytes - room)?.unwrap_or(state.evicted)
        } else {
            state.evicted
        };
        let limit = by_bytes.max(window.too_old[lane.index()]).min(upto);
        evict_upto(transaction, lane, limit, state, binding)?;
        room = room.saturating_sub(delivered_bytes.saturating_sub(state.evicted_bytes));
    }
    Ok(after)
}

/// Deletes the oldest of a lane that is delivered: `wanted` bytes or a sixteenth of it, whichever is more. Returns the
/// lane as it is then.
pub(crate) fn oldest_delivered(
    transaction: &Connection,
    lane: Lane,
    state: &LaneState,
    routes: Routes<'_>,
    wanted: u64,
    binding: &Binding,
) -> Result<LaneState, rusqlite::Error> {
    let mut after = *state;
    let upto = delivered(routes, lane, state);
    let delivered_bytes = bytes_upto(transaction, lane, upto)?.unwrap_or(state.bytes);
    let kept = delivered_bytes.saturating_sub(state.evicted_bytes);
    let goes = state.evicted_bytes + wanted.max(kept / 16);
    let limit = first_reaching(transaction, lane, upto, goes)?.map_or(upto, |limit| limit.min(upto));
    evict_upto(transaction, lane, limit, &mut after, binding)?;
    Ok(after)
}

fn evict_upto(
    transaction: &Connection,
    lane: Lane,
    limit: u64,
    state: &mut LaneState,
    binding: &Binding,
) -> Result<(), rusqlite::Error> {
    // A tombstone that reaches beyond the limit stays as a whole.
    let newest: Option<(i64, i64)> = transaction
        .prepare_cached(NEWEST_UPTO[lane.index()])?
        .query_row([limit.cast_signed()], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()?;
    let limit = match newest {
        Some((seq, through)) if through.cast_unsigned() > limit => seq.cast_unsigned() - 1,
        _ => limit,
    };
    if limit <= state.evicted {
        return Ok(());
    }
    state.evicted_bytes = bytes_upto(transaction, lane, limit)?.unwrap_or(state.evicted_bytes);
    state.evicted = limit;
    transaction.prepare_cached(DELETE_UPTO[lane.index()])?.execute([limit.cast_signed()])?;
    lanes::write(transaction, lane, state, binding)
}

/// Bytes of the lane up to and including this verdict; `None` if nothing so old is stored.
pub(crate) fn bytes_upto(
    transaction: &Connection,
    lane: Lane,
    seq: u64,
) -> Result<Option<u64>, rusqlite::Error> {
    transaction
        .prepare_cached(BYTES_UPTO[lane.index()])?
        .query_row([seq.cast_signed()], |row| row.get::<_, i64>(0))
        .optional()
        .map(|bytes| bytes.map(i64::cast_unsigned))
}

/// The oldest verdict up to `upto` whose cumulative bytes reach `bytes`: without it and older ones, the rest fits.
fn first_reaching(
    transaction: &Connection,
    lane: Lane,
    upto: u64,
    bytes: u64,
) -> Result<Option<u64>, rusqlite::Error> {
    transaction
        .prepare_cached(FIRST_REACHING[lane.index()])?
        .query_row([upto.cast_signed(), bytes.cast_signed()], |row| row.get::<_, i64>(0))
        .optional()
        .map(|seq| seq.map(i64::cast_unsigned))
}
