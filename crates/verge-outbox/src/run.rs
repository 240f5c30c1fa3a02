//! Runs of a store: each opening is one, counted and with an identifier drawn at random. Two lives that continue from
//! copies of one store share their runs up to the copy, and none behind it.

use rusqlite::Connection;
use verge_domain::id::Epoch;
pub(crate) use verge_domain::life::RunId;
use verge_domain::life::{EarlierEpoch, Life, Run};

use crate::schema;

/// Runs that are kept.
const KEPT_RUNS: usize = 64;
/// Bytes of one: its identifier, the numbers with which it began.
const RUN_BYTES: usize = 8 + 24;
/// Earlier epochs that are kept.
const KEPT_EPOCHS: usize = 4;
const RUNS: &str = "runs";
const EARLIER: &str = "earlier_epochs";
/// Bytes of an earlier epoch: itself, its run, its numbers.
const EPOCH_BYTES: usize = 16 + 16 + 24;

/// What is noted of the life of a store; `None` where no program that notes it has opened the store.
pub(crate) fn read(connection: &Connection, epoch: Epoch) -> Result<Option<Life>, rusqlite::Error> {
    let Some(runs) = schema::meta(connection, RUNS)? else { return Ok(None) };
    let Some((count, runs)) =
        runs.split_first_chunk().map(|(count, runs)| (u64::from_le_bytes(*count), runs))
    else {
        return Ok(None);
    };
    let runs = runs
        .chunks_exact(RUN_BYTES)
        .map(|run| Run { id: long(run, 0), began: [long(run, 8), long(run, 16), long(run, 24)] });
    let earlier = schema::meta(connection, EARLIER)?.unwrap_or_default();
    let earlier = earlier.chunks_exact(EPOCH_BYTES).map(|bytes| EarlierEpoch {
        epoch: Epoch(*bytes.first_chunk().expect("a chunk is longer than an epoch")),
        run: RunId { count: long(bytes, 16), id: long(bytes, 24) },
        last: [long(bytes, 32), long(bytes, 40), long(bytes, 48)],
    });
    Ok(Some(Life { epoch, count, runs: runs.collect(), earlier: earlier.collect() }))
}

/// Eight bytes of a slice that has them.
fn long(bytes: &[u8], at: usize) -> u64 {
    bytes.get(at..).and_then(|rest| rest.first_chunk()).copied().map_or(0, u64::from_le_bytes)
}

/// Notes it.
pub(crate) fn write(connection: &Connection, life: &Life) -> Result<(), rusqlite::Error> {
    let mut runs = life.count.to_le_bytes().to_vec();
    for Run { id, began } in &life.runs {
        runs.extend(id.to_le_bytes());
        runs.extend(began.iter().flat_map(|last| last.to_le_bytes()));
    }
    schema::set_meta(connection, RUNS, &runs)?;
    let mut earlier = Vec::new();
    for EarlierEpoch { epoch, run, last } in &life.earlier {
        earlier.extend(epoch.0);
        let numbers = [run.count, run.id].into_iter().chain(*last);
        earlier.extend(numbers.flat_map(u64::to_le_bytes));
    }
    schema::set_meta(connection, EARLIER, &earlier)
}

/// The life with the next run, which begins behind `last`.
pub(crate) fn begun(life: Option<Life>, epoch: Epoch, id: u64, last: [u64; 3]) -> Life {
    let mut life = life.unwrap_or(Life { epoch, count: 0, runs: Vec::new(), earlier: Vec::new() });
    life.count += 1;
    life.runs.insert(0, Run { id, began: last });
    life.runs.truncate(KEPT_RUNS);
    life
}

/// The life that a store continues with under a new epoch, after it gave numbers up to `last`.
pub(crate) fn renewed(old: Life, last: [u64; 3], epoch: Epoch) -> Life {
    let mut earlier = old.earlier.clone();
    earlier.insert(0, EarlierEpoch { epoch: old.epoch, run: old.run(), last });
    earlier.truncate(KEPT_EPOCHS);
    Life { epoch, earlier, ..old }
}
