//! The store at work.

use std::collections::HashMap;

use rusqlite::Connection;
use verge_domain::id::{Epoch, Lane, RouteId};
use verge_domain::life::Life;
use verge_domain::stage::{Checkpoint, Displaced, NewRow, SentBytes, Store, StoreError, StoreUsage};
use verge_domain::time::Monotonic;
use verge_domain::withdrawn::Withdrawal;

use crate::acknowledged::AcknowledgedNumbers;
use crate::age::Ages;
use crate::ballast::Ballast;
use crate::checkpoints::States;
use crate::encrypt::Sealing;
use crate::evict::{self, ReplayWindow};
use crate::fault::StoreFault;
use crate::files::Files;
use crate::guard::Guard;
use crate::key::Cipher;
use crate::lanes::LaneState;
use crate::marks::save_lazily;
use crate::pressure::Pressure;
use crate::recover;
use crate::row::Binding;
use crate::rows;
use crate::schema;
use crate::settings::OutboxSettings;

/// The durable store. Dropping it closes it; everything committed is on the medium already.
#[derive(Debug)]
pub struct Outbox {
    pub(crate) connection: Connection,
    pub(crate) epoch: Epoch,
    pub(crate) binding: Binding,
    pub(crate) life: Life,
    pub(crate) settings: OutboxSettings,
    pub(crate) files: Files,
    pub(crate) cipher: Option<Cipher>,
    pub(crate) lanes: [LaneState; 3],
    /// Open routes, and up to where each has delivered every lane.
    pub(crate) marks: HashMap<RouteId, [u64; 3]>,
    /// It is known which routes are open, if any.
    pub(crate) open: bool,
    pub(crate) sent: HashMap<String, SentBytes>,
    pub(crate) acknowledged: AcknowledgedNumbers,
    /// Marks or bytes sent that are not in the database yet.
    pub(crate) unsaved: bool,
    pub(crate) ages: Ages,
    pub(crate) ballast: Ballast,
    /// Something failed: the open handle is not trusted until the store is opened again.
    pub(crate) suspect: bool,
    /// Behind `lanes` there may be rows of a commit that was reported as failed: the next one replaces them.
    pub(crate) leftovers: bool,
    /// Set once the store is open.
    pub(crate) guard: Option<Guard>,
    pub(crate) withdrawn: [u64; Withdrawal::ALL.len()],
    pub(crate) states: States,
    pub(crate) pressure: Pressure,
    pub(crate) sealing: Sealing,
}

/// Closed first, then noted: whatever lies there at the next opening is what the witness says.
impl Drop for Outbox {
    fn drop(&mut self) {
        let Some(guard) = self.guard.take() else { return };
        if let Ok(nothing) = Connection::open_in_memory() {
            drop(std::mem::replace(&mut self.connection, nothing));
            guard.close();
        }
    }
}

impl Outbox {
    /// `learnt`: learnt states, too.
    fn try_commit(
        &mut self,
        rows: &[NewRow<'_>],
        saved: &[Checkpoint],
        learnt: bool,
    ) -> Result<(), StoreFault> {
        let fault = StoreFault::while_doing("commit verdicts");
        let (mut lanes, mut states) = (self.lanes, self.states);
        let transaction = self.connection.transaction().map_err(&fault)?;
        if self.leftovers {
            rows::delete_behind(&transaction, &lanes).map_err(&fault)?;
        }
        rows::insert(&transaction, rows, &mut lanes, self.cipher.as_ref(), &self.binding)?;
        states.save(&transaction, saved, learnt, self.cipher.as_ref()).map_err(&fault)?;
        if self.unsaved {
            save_lazily(&transaction, &self.marks, &self.sent, &self.binding).map_err(&fault)?;
        }
        self.acknowledged.save(&transaction, &self.binding).map_err(&fault)?;
        transaction.commit().map_err(&fault)?;
        self.lanes = lanes;
        self.pressure.note(&self.states, &states);
        self.states = states;
        self.unsaved = false;
        self.acknowledged.saved();
        self.leftovers = false;
        for reason in rows.iter().filter_map(|row| row.withdrawn) {
            self.note_withdrawn(reason, 1);
        }
        // Before it is reported to anyone else.
        if let Some(guard) = &mut self.guard {
            guard.note(lanes.map(|lane| lane.last));
        }
        Ok(())
    }

    fn try_sweep(&mut self, now: Monotonic) -> Result<u64, StoreFault> {
        let fault = StoreFault::while_doing("evict delivered verdicts");
        let transaction = self.connection.transaction().map_err(&fault)?;
        if self.unsaved {
            save_lazily(&transaction, &self.marks, &self.sent, &self.binding).map_err(&fault)?;
        }
        self.acknowledged.save(&transaction, &self.binding).map_err(&fault)?;
        let mut ages = self.ages;
        ages.note(&transaction, &self.lanes, now).map_err(&fault)?;
        let mut too_old = [0; 3];
        for lane in Lane::ALL {
            too_old[lane.index()] =
                ages.older_than(&transaction, lane, self.settings.replay_age, now).map_err(&fault)?;
        }
        let window = ReplayWindow { bytes: self.settings.replay_bytes, too_old };
        let after = evict::beyond_window(
            &transaction,
            &self.lanes,
            self.open.then_some(&self.marks),
            &window,
            &self.binding,
        )
        .map_err(&fault)?;
        transaction.commit().map_err(&fault)?;
        self.ages = ages;
        self.unsaved = false;
        self.acknowledged.saved();
        if let Some(guard) = &mut self.guard {
            guard.renew(now);
        }
        Ok(self.take_over(after))
    }

    pub(crate) fn routes(&self) -> evict::Routes<'_> {
        self.open.then_some(&self.marks)
    }

    /// The lanes are as an eviction left them. Returns how many numbers were evicted.
    pub(crate) fn take_over(&mut self, after: [LaneState; 3]) -> u64 {
        let gone = after.iter().zip(&self.lanes).map(|(after, before)| after.evicted - before.evicted).sum();
        self.lanes = after;
        gone
    }

    pub(crate) fn full(&self) -> StoreError {
        let cap = self.settings.cap_bytes;
        let used = self.used_bytes().unwrap_or(cap);
        if self.cap_is_far() { StoreError::DiskFull { used, cap } } else { StoreError::Full { used, cap } }
    }

    fn used_bytes(&self) -> Result<u64, StoreFault> {
        let fault = StoreFault::while_doing("measure the store");
        let pages = self.pragma("page_count").map_err(&fault)?;
        let free = self.pragma("freelist_count").map_err(&fault)?;
        let page = schema::page_bytes(&self.connection).map_err(&fault)?;
        Ok(pages.saturating_sub(free) * page)
    }

    pub(crate) fn pragma(&self, name: &str) -> Result<u64, rusqlite::Error> {
        self.connection
            .pragma_query_value(None, name, |row| row.get::<_, i64>(0))
            .map(|value| value.max(0).cast_unsigned())
    }

    /// A result of writing: after a failure other than lack of room, the handle is no longer trusted.
    pub(crate) fn judge<T>(&mut self, done: Result<T, StoreFault>) -> Result<T, StoreError> {
        done.map_err(|fault| {
            if self.is_full(&fault) {
                return self.full();
            }
            self.suspect |= matches!(fault, StoreFault::Database { .. });
            fault.into()
        })
    }

    /// Before anything is written or read: a handle that failed is opened again first.
    pub(crate) fn ready(&mut self) -> Result<(), StoreError> {
        if self.suspect { self.recover() } else { Ok(()) }
    }

    pub(crate) fn note_withdrawn(&mut self, reason: Withdrawal, numbers: u64) {
        self.withdrawn[usize::from(reason.code())] += numbers;
    }
}

impl Store for Outbox {
    fn epoch(&self) -> Epoch {
        self.epoch
    }

    fn life(&self) -> Life {
        self.life.clone()
    }

    fn give_up_epoch(&mut self) -> Result<(), StoreError> {
        self.ready()?;
        let noted = schema::set_meta(&self.connection, schema::RENEW, schema::OVERTAKEN)
            .map_err(StoreFault::while_doing("give the epoch up"));
        self.judge(noted)
    }

    fn in_place(&mut self) -> Result<(), Displaced> {
        self.look_at_place()
    }

    fn commit(&mut self, rows: &[NewRow<'_>], saved: &[Checkpoint]) -> Result<(), StoreError> {
        if rows.is_empty() && saved.is_empty() {
            return Ok(());
        }
        self.ready()?;
        match self.try_commit(rows, saved, true) {
            Err(fault) if self.is_full(&fault) => {}
            done => return self.judge(done),
        }
        // Nothing is evicted for learnt states, and no verdict waits for them.
        let wanted = rows.iter().map(|row| row.bytes.len() as u64).sum();
        self.when_full(wanted, |outbox| outbox.try_commit(rows, saved, false))
    }

    fn sweep(&mut self, now: Monotonic) -> Result<u64, StoreError> {
        self.ready()?;
        self.fit_to_disk();
        self.pressure.look(now);
        self.finish_sealing();
        match self.try_sweep(now) {
            // Nothing is lost by it: the next sweep comes, and a commit makes room if it needs some.
            Err(fault) if self.is_full(&fault) => {
                self.find_room();
                Ok(0)
            }
            done => self.judge(done),
        }
    }

    fn recover(&mut self) -> Result<(), StoreError> {
        recover::again(self).map_err(StoreError::from)
    }

    fn usage(&mut self) -> Result<StoreUsage, StoreError> {
        Ok(StoreUsage {
            used_bytes: self.used_bytes()?,
            cap_bytes: self.settings.cap_bytes,
            rows: self.lanes.map(|lane| lane.last - lane.evicted),
            withdrawn: self.withdrawn,
            states: self.states.usage(),
        })
    }
}
