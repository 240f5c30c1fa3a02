//! Runs of a store: each opening is one, counted and with an identifier drawn at random. Two lives that go on from
//! copies of one store share their runs up to the copy, and none behind it.

use rusqlite::Connection;
use verge_domain::id::Epoch;
pub(crate) use verge_domain::life::RunId;
use verge_domain::life::{EarlierEpoch, Life};

use crate::schema;

/// Runs whose identifiers are kept.
const KEPT_RUNS: usize = 256;
/// Earlier epochs that are kept.
const KEPT_EPOCHS: usize = 4;
const RUNS: &str = "runs";
const EARLIER: &str = "earlier_epochs";
/// Bytes of an earlier epoch: itself, its run, its numbers.
const EPOCH_BYTES: usize = 16 + 16 + 24;

/// What is noted of the life of a store; `None` of one that no program has opened which notes it.
pub(crate) fn read(connection: &Connection, epoch: Epoch) -> Result<Option<Life>, rusqlite::Error> {
    let Some(runs) = schema::meta(connection, RUNS)? else { return Ok(None) };
    let Some((count, ids)) = runs.split_first_chunk().map(|(count, ids)| (u64::from_le_bytes(*count), ids))
    else {
        return Ok(None);
    };
    let ids = ids.chunks_exact(8).map(|id| long(id, 0)).collect();
    let earlier = schema::meta(connection, EARLIER)?.unwrap_or_default();
    let earlier = earlier.chunks_exact(EPOCH_BYTES).map(|bytes| EarlierEpoch {
        epoch: Epoch(*bytes.first_chunk().expect("a chunk is longer than an epoch")),
        run: RunId { count: long(bytes, 16), id: long(bytes, 24) },
        last: [long(bytes, 32), long(bytes, 40), long(bytes, 48)],
    });
    Ok(Some(Life { epoch, count, ids, earlier: earlier.collect() }))
}

/// Eight bytes of a slice that has them.
fn long(bytes: &[u8], at: usize) -> u64 {
    bytes.get(at..).and_then(|rest| rest.first_chunk()).copied().map_or(0, u64::from_le_bytes)
}

/// Notes it.
pub(crate) fn write(connection: &Connection, life: &Life) -> Result<(), rusqlite::Error> {
    let mut runs = life.count.to_le_bytes().to_vec();
    runs.extend(life.ids.iter().flat_map(|id| id.to_le_bytes()));
    schema::set_meta(connection, RUNS, &runs)?;
    let mut earlier = Vec::new();
    for EarlierEpoch { epoch, run, last } in &life.earlier {
        earlier.extend(epoch.0);
        let numbers = [run.count, run.id].into_iter().chain(*last);
        earlier.extend(numbers.flat_map(u64::to_le_bytes));
    }
    schema::set_meta(connection, EARLIER, &earlier)
}

/// The life with the next run.
pub(crate) fn begun(life: Option<Life>, epoch: Epoch, id: u64) -> Life {
    let mut life = life.unwrap_or(Life { epoch, count: 0, ids: Vec::new(), earlier: Vec::new() });
    life.count += 1;
    life.ids.insert(0, id);
    life.ids.truncate(KEPT_RUNS);
    life
}

/// The life that a store goes on with under a new epoch, after it gave numbers up to `last`.
pub(crate) fn renewed(old: Life, last: [u64; 3], epoch: Epoch) -> Life {
    let mut earlier = old.earlier;
    let run = RunId { count: old.count, id: old.ids.first().copied().unwrap_or(0) };
    earlier.insert(0, EarlierEpoch { epoch: old.epoch, run, last });
    earlier.truncate(KEPT_EPOCHS);
    Life { epoch, earlier, ..old }
}
