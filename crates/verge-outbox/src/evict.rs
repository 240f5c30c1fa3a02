//! What may go: verdicts that every open route has delivered and that the replay window no longer holds.

use std::collections::HashMap;

use rusqlite::{OptionalExtension, Transaction, params};
use verge_domain::id::{Lane, RouteId};
use verge_domain::time::UtcMillis;

use crate::open::OutboxSettings;
use crate::store::{LaneState, lane_number, write_lane};

/// Deletes what may go and returns the lanes as they are then. Without `now` there is no room left and the
/// replay window gives way, too.
pub(crate) fn evict(
    transaction: &Transaction<'_>,
    lanes: &[LaneState; 3],
    marks: &HashMap<RouteId, [u64; 3]>,
    settings: &OutboxSettings,
    now: Option<UtcMillis>,
) -> Result<[LaneState; 3], rusqlite::Error> {
    let mut after = *lanes;
    // Without a route nobody has delivered anything.
    let delivered = |lane: Lane| marks.values().map(|marks| marks[lane.index()]).min().unwrap_or(0);
    // The window's bytes are shared by the lanes, newest first within each, alarms before the rest.
    let mut room = settings.replay_bytes;
    for lane in Lane::ALL {
        let state = &mut after[lane.index()];
        let upto = delivered(lane).min(state.last);
        if upto <= state.evicted {
            continue;
        }
        let limit = match now {
            None => upto,
            Some(now) => {
                let delivered_bytes = bytes_upto(transaction, lane, upto)?.unwrap_or(state.bytes);
                let kept = delivered_bytes.saturating_sub(state.evicted_bytes);
                let by_bytes = if kept > room {
                    first_reaching(transaction, lane, upto, delivered_bytes - room)?.unwrap_or(state.evicted)
                } else {
                    state.evicted
                };
                by_bytes.max(older_than(transaction, lane, state.evicted, upto, settings, now)?)
            }
        };
        if limit > state.evicted {
            state.evicted_bytes = bytes_upto(transaction, lane, limit)?.unwrap_or(state.evicted_bytes);
            state.evicted = limit;
            transaction
                .prepare_cached("DELETE FROM verdict WHERE lane = ?1 AND seq <= ?2")?
                .execute(params![lane_number(lane), limit.cast_signed()])?;
            write_lane(transaction, lane, state)?;
        }
        let kept = bytes_upto(transaction, lane, upto)?.unwrap_or(state.evicted_bytes) - state.evicted_bytes;
        room = room.saturating_sub(kept);
    }
    Ok(after)
}

/// Bytes of the lane up to and including this verdict; `None` if it is not stored.
fn bytes_upto(transaction: &Transaction<'_>, lane: Lane, seq: u64) -> Result<Option<u64>, rusqlite::Error> {
    transaction
        .prepare_cached("SELECT lane_bytes FROM verdict WHERE lane = ?1 AND seq = ?2")?
        .query_row(params![lane_number(lane), seq.cast_signed()], |row| row.get::<_, i64>(0))
        .optional()
        .map(|bytes| bytes.map(i64::cast_unsigned))
}

/// The oldest verdict up to `upto` whose cumulative bytes reach `bytes`: without it and its elders, the rest fits.
fn first_reaching(
    transaction: &Transaction<'_>,
    lane: Lane,
    upto: u64,
    bytes: u64,
) -> Result<Option<u64>, rusqlite::Error> {
    transaction
        .prepare_cached(
            "SELECT seq FROM verdict WHERE lane = ?1 AND seq <= ?2 AND lane_bytes >= ?3 ORDER BY seq LIMIT 1",
        )?
        .query_row(params![lane_number(lane), upto.cast_signed(), bytes.cast_signed()], |row| {
            row.get::<_, i64>(0)
        })
        .optional()
        .map(|seq| seq.map(i64::cast_unsigned))
}

/// The newest of the oldest verdicts that are all past the replay age. It stops at the first that is not,
/// so that a clock that stepped evicts nothing behind a young one.
fn older_than(
    transaction: &Transaction<'_>,
    lane: Lane,
    evicted: u64,
    upto: u64,
    settings: &OutboxSettings,
    now: UtcMillis,
) -> Result<u64, rusqlite::Error> {
    let age = i64::try_from(settings.replay_age.as_millis()).unwrap_or(i64::MAX);
    let before = now.0.saturating_sub(age);
    let first_young: Option<i64> = transaction
        .prepare_cached(
            "SELECT seq FROM verdict WHERE lane = ?1 AND seq > ?2 AND seq <= ?3 AND decided >= ?4 ORDER BY seq LIMIT 1",
        )?
        .query_row(
            params![lane_number(lane), evicted.cast_signed(), upto.cast_signed(), before],
            |row| row.get(0),
        )
        .optional()?;
    Ok(first_young.map_or(upto, |seq| seq.cast_unsigned() - 1))
}
