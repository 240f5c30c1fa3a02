//! A store that is in use and has failed: opened again, and held against what was committed.

use rusqlite::Connection;
use verge_domain::id::{Epoch, Lane};

use crate::checkpoints::States;
use crate::fault::StoreFault;
use crate::lanes::{self, LaneState};
use crate::store::Outbox;
use crate::{connect, log, open, schema};

/// Opens a store that is in use again after something failed, and holds it against what was committed.
pub(crate) fn again(outbox: &mut Outbox) -> Result<(), StoreFault> {
    let fault = StoreFault::while_doing("open the store again");
    let path = outbox.files.database();
    // The old handle first: two of them would wait for each other's locks.
    let nothing = Connection::open_in_memory().map_err(&fault)?;
    drop(std::mem::replace(&mut outbox.connection, nothing));
    outbox.suspect = true;
    let lost = log::has_lost_commits(&outbox.files.log()).unwrap_or(false);
    let connection = connect::connect(&path, &outbox.settings).map_err(&fault)?;
    if !open::is_sound(&connection).map_err(&fault)? {
        let corrupt = rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_CORRUPT);
        return Err(fault(rusqlite::Error::SqliteFailure(corrupt, None)));
    }
    let epoch = schema::epoch(&connection).map_err(&fault)?;
    let found = lanes::read(&connection, &outbox.binding).map_err(&fault)?;
    let cut_back = cut_back(outbox, epoch, found.as_ref(), lost);
    if let Some(what) = cut_back {
        // The next opening takes another epoch, also where the witness is lost by then.
        schema::set_meta(&connection, schema::RENEW, schema::CUT_BACK).map_err(&fault)?;
        return Err(StoreFault::CutBack { what });
    }
    // After a sync that failed, the system may take pages of the log for written that are not: they are written once more,
    // into the database, before anything is appended behind them.
    let busy: i64 =
        connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get(0)).map_err(&fault)?;
    if busy != 0 {
        let busy = rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_BUSY);
        return Err(fault(rusqlite::Error::SqliteFailure(busy, None)));
    }
    for (known, found) in outbox.lanes.iter_mut().zip(found.unwrap_or_default()) {
        // A commit that was reported as failed and is stored nevertheless was never seen. It stays, together with
        // the states that were saved with it, until the next commit puts others in its place: of the two, states
        // without their verdicts would lose these.
        outbox.leftovers |= found.last > known.last;
        if found.evicted > known.evicted && found.evicted <= known.last {
            (known.evicted, known.evicted_bytes) = (found.evicted, found.evicted_bytes);
        }
    }
    let kept = &mut outbox.states;
    let found =
        States::of(&connection, kept.share, outbox.settings.cap_bytes, outbox.binding).map_err(&fault)?;
    (kept.bytes, kept.kept_bytes) = (found.bytes, found.kept_bytes);
    outbox.connection = connection;
    if let Some(guard) = &mut outbox.guard {
        guard.log_begins_anew();
    }
    outbox.fit_to_disk();
    outbox.unsaved = true;
    outbox.suspect = false;
    tracing::warn!("the store was opened again after a fault, and holds everything that was committed");
    Ok(())
}

/// What is missing of what was committed, in words.
fn cut_back(
    outbox: &Outbox,
    epoch: Option<Epoch>,
    found: Option<&[LaneState; 3]>,
    lost: bool,
) -> Option<String> {
    if lost {
        return Some("its log has lost commits".to_owned());
    }
    if epoch != Some(outbox.epoch) {
        return Some("it has another epoch".to_owned());
    }
    let Some(found) = found else { return Some("its lanes contradict themselves".to_owned()) };
    Lane::ALL.into_iter().find_map(|lane| {
        let (had, has) = (outbox.lanes[lane.index()].last, found[lane.index()].last);
        (has < had).then(|| format!("lane {lane} ends with {has}, not with {had}"))
    })
}
