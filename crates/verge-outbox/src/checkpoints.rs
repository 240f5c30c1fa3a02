//! What judges save: open events and windows, which are kept, and learnt states, which have a share of the store of
//! their own.
//!
//! The share is small beside the cap, so verdicts always have room. Where learnt states need more, those that were saved
//! least recently are evicted. A state that is larger than the share is not saved at all. Open events have a bound of
//! their own, which only a flood of events meets: over it, what is new is not saved.

mod form;
mod read;

use rusqlite::{Connection, OptionalExtension, params};
use verge_domain::stage::{Checkpoint, StatesUsage, is_learnt};

use crate::key::Cipher;
use crate::row::Binding;
use form::{StateForm, StateRow, open};
pub(crate) use read::{bring_over, each, plain, read};

/// Of the share, this part is made free at once where an eviction is needed.
const FREED_PART: u64 = 16;
/// Of the cap, this part at most is taken by open events and windows.
const KEPT_PART: u64 = 4;

/// The two tables. Learnt states lie in the order in which they were saved: the one longest unused comes first.
#[derive(Debug, Clone, Copy)]
enum StateTable {
    Kept,
    Learnt,
}

impl StateTable {
    fn of(key: &str) -> Self {
        if is_learnt(key) { Self::Learnt } else { Self::Kept }
    }

    const fn put(self) -> &'static str {
        match self {
            Self::Kept => "INSERT INTO checkpoint (key, crc, state) VALUES (?1, ?2, ?3)",
            Self::Learnt => "INSERT INTO learnt (key, crc, state) VALUES (?1, ?2, ?3)",
        }
    }

    const fn size_of(self) -> &'static str {
        match self {
            Self::Kept => "SELECT 2 * octet_length(key) + length(state) FROM checkpoint WHERE key = ?1",
            Self::Learnt => "SELECT 2 * octet_length(key) + length(state) FROM learnt WHERE key = ?1",
        }
    }

    const fn remove(self) -> &'static str {
        match self {
            Self::Kept => "DELETE FROM checkpoint WHERE key = ?1",
            Self::Learnt => "DELETE FROM learnt WHERE key = ?1",
        }
    }
}

/// What a row counts: its key stands in an index as well.
fn size(key: &str, state: &[u8]) -> u64 {
    (2 * key.len() + state.len()) as u64
}

/// How much of the store is taken by what judges save.
#[derive(Debug, Clone, Copy)]
pub(crate) struct States {
    binding: Binding,
    /// Bytes of learnt states allowed.
    pub(crate) share: u64,
    /// Bytes of learnt states.
    pub(crate) bytes: u64,
    kept_share: u64,
    pub(crate) kept_bytes: u64,
    /// Learnt states evicted since the store was opened.
    pub(crate) evicted: u64,
    /// Learnt states that were not saved since then.
    pub(crate) refused: u64,
    /// Open events and windows that were not saved since then.
    pub(crate) kept_refused: u64,
}

impl States {
    /// With what there is in the store.
    pub(crate) fn of(
        connection: &Connection,
        share: u64,
        cap: u64,
        binding: Binding,
    ) -> Result<Self, rusqlite::Error> {
        let total = |table: &str| {
            let sql = format!("SELECT coalesce(sum(2 * octet_length(key) + length(state)), 0) FROM {table}");
            connection.query_row(&sql, [], |row| row.get::<_, i64>(0)).map(i64::cast_unsigned)
        };
        let (bytes, kept_bytes) = (total("learnt")?, total("checkpoint")?);
        let kept_share = cap / KEPT_PART;
        let (evicted, refused, kept_refused) = (0, 0, 0);
        Ok(Self { binding, share, bytes, kept_share, kept_bytes, evicted, refused, kept_refused })
    }

    /// For the status.
    pub(crate) fn usage(&self) -> StatesUsage {
        StatesUsage {
            bytes: self.bytes,
            share_bytes: self.share,
            evicted: self.evicted,
            not_saved: self.refused,
            events_bytes: self.kept_bytes,
            events_not_saved: self.kept_refused,
        }
    }

    /// Saves and removes; `learnt`: learnt states, too. Nothing of `self` may be believed if the transaction fails.
    pub(crate) fn save(
        &mut self,
        transaction: &Connection,
        checkpoints: &[Checkpoint],
        learnt: bool,
        cipher: Option<&Cipher>,
    ) -> Result<(), rusqlite::Error> {
        for Checkpoint { key, state } in checkpoints {
            let table = StateTable::of(key);
            match (table, state) {
                (StateTable::Learnt, Some(_)) if !learnt => self.refused += 1,
                (_, None) => self.remove(transaction, table, key, cipher)?,
                (_, Some(state)) => self.put(transaction, table, key, state, cipher)?,
            }
        }
        Ok(())
    }

    fn put(
        &mut self,
        transaction: &Connection,
        table: StateTable,
        key: &str,
        state: &[u8],
        cipher: Option<&Cipher>,
    ) -> Result<(), rusqlite::Error> {
        let row = StateRow::of(key, state, cipher, &self.binding);
        let bytes = size(&row.name, &row.state);
        if matches!(table, StateTable::Learnt) && bytes > self.share {
            self.refused += 1;
            return Ok(());
        }
        if matches!(table, StateTable::Kept) {
            let before: Option<i64> = transaction
                .prepare_cached(table.size_of())?
                .query_row([&row.name], |row| row.get(0))
                .optional()?;
            let after = (self.kept_bytes + bytes).saturating_sub(before.unwrap_or(0).cast_unsigned());
            if bytes > before.unwrap_or(0).cast_unsigned() && after > self.kept_share {
                self.kept_refused += 1;
                return Ok(());
            }
        }
        self.remove(transaction, table, key, cipher)?;
        if matches!(table, StateTable::Learnt) {
            self.make_room(transaction, bytes)?;
        }
        self.insert(transaction, table, &row)
    }

    fn insert(
        &mut self,
        transaction: &Connection,
        table: StateTable,
        row: &StateRow,
    ) -> Result<(), rusqlite::Error> {
        transaction.prepare_cached(table.put())?.execute(params![row.name, row.crc, row.state])?;
        *self.bytes_of(table) += size(&row.name, &row.state);
        Ok(())
    }

    fn bytes_of(&mut self, table: StateTable) -> &mut u64 {
        match table {
            StateTable::Kept => &mut self.kept_bytes,
            StateTable::Learnt => &mut self.bytes,
        }
    }

    /// Under its name, and under the one that stores of an earlier version gave it.
    fn remove(
        &mut self,
        transaction: &Connection,
        table: StateTable,
        key: &str,
        cipher: Option<&Cipher>,
    ) -> Result<(), rusqlite::Error> {
        let sealed = cipher.map(|cipher| cipher.name(key));
        for name in [Some(key), sealed.as_deref()].into_iter().flatten() {
            let before: Option<i64> = transaction
                .prepare_cached(table.size_of())?
                .query_row([name], |row| row.get(0))
                .optional()?;
            let Some(before) = before else { continue };
            transaction.prepare_cached(table.remove())?.execute([name])?;
            let bytes = self.bytes_of(table);
            *bytes = bytes.saturating_sub(before.cast_unsigned());
        }
        Ok(())
    }

    /// Evicts the learnt states that were saved least recently, until `wanted` bytes have room in the share.
    fn make_room(&mut self, transaction: &Connection, wanted: u64) -> Result<(), rusqlite::Error> {
        if self.bytes + wanted <= self.share {
            return Ok(());
        }
        let target = (self.share - self.share / FREED_PART).saturating_sub(wanted);
        let (mut upto, mut left, mut evicted) = (None, self.bytes, 0);
        {
            let mut oldest = transaction
                .prepare_cached("SELECT id, 2 * octet_length(key) + length(state) FROM learnt ORDER BY id")?;
            let mut rows = oldest.query([])?;
            while left > target
                && let Some(row) = rows.next()?
            {
                upto = Some(row.get::<_, i64>(0)?);
                left = left.saturating_sub(row.get::<_, i64>(1)?.cast_unsigned());
                evicted += 1;
            }
        }
        transaction.prepare_cached("DELETE FROM learnt WHERE id <= ?1")?.execute([upto])?;
        self.bytes = left;
        self.evicted += evicted;
        Ok(())
    }

    /// Brings what there is within the share: it was made smaller, or an earlier version knew none.
    pub(crate) fn shrink(&mut self, transaction: &Connection) -> Result<(), rusqlite::Error> {
        if self.bytes > self.share { self.make_room(transaction, 0) } else { Ok(()) }
    }

    /// Brings up to some mebibyte of states that an earlier version saved to where and under what name they belong. Says
    /// whether there may be more.
    pub(crate) fn settle(
        &mut self,
        transaction: &Connection,
        cipher: Option<&Cipher>,
    ) -> Result<bool, rusqlite::Error> {
        let (mut piece, mut bytes) = (Vec::new(), 0);
        {
            let mut misplaced = transaction
                .prepare("SELECT key, crc, state FROM checkpoint WHERE ?1 OR (key >= ?2 AND key < ?3)")?;
            let (from, to) = learnt_keys();
            let mut rows = misplaced.query(params![cipher.is_some(), from, to])?;
            while bytes < PIECE_BYTES
                && let Some(row) = rows.next()?
            {
                let (name, crc, state): (String, i32, Vec<u8>) = (row.get(0)?, row.get(1)?, row.get(2)?);
                let form = StateForm::of(&name, crc, &state, &self.binding);
                if form == Some(StateForm::Sealed) {
                    continue;
                }
                bytes += size(&name, &state);
                piece.push((form.and_then(|form| open(&name, &state, form, cipher)), name));
            }
        }
        let more = !piece.is_empty();
        for (found, name) in piece {
            self.remove(transaction, StateTable::Kept, &name, None)?;
            match found {
                // Open events are kept, however many an earlier version had saved.
                Some((key, state)) if !is_learnt(&key) => {
                    self.insert(
                        transaction,
                        StateTable::Kept,
                        &StateRow::of(&key, &state, cipher, &self.binding),
                    )?;
                }
                // None was used later than another, as far as is known.
                Some((key, state)) if self.bytes + size(&key, &state) > self.share => self.evicted += 1,
                Some((key, state)) => self.put(transaction, StateTable::Learnt, &key, &state, cipher)?,
                None => {
                    tracing::error!(key = %name.escape_debug(), "a saved state is damaged and was dropped");
                }
            }
        }
        Ok(more)
    }

    /// Seals up to some mebibyte of the learnt states behind this one, in their places. Says which was the last; `None`:
    /// there is none behind it.
    pub(crate) fn seal_learnt(
        &mut self,
        transaction: &Connection,
        after: i64,
        cipher: &Cipher,
    ) -> Result<Option<i64>, rusqlite::Error> {
        let (mut piece, mut bytes, mut last) = (Vec::new(), 0, None);
        {
            let mut learnt = transaction
                .prepare_cached("SELECT id, key, crc, state FROM learnt WHERE id > ?1 ORDER BY id")?;
            let mut rows = learnt.query([after])?;
            while bytes < PIECE_BYTES
                && let Some(row) = rows.next()?
            {
                let (name, crc, state): (String, i32, Vec<u8>) = (row.get(1)?, row.get(2)?, row.get(3)?);
                let id = row.get(0)?;
                last = Some(id);
                bytes += size(&name, &state);
                if StateForm::of(&name, crc, &state, &self.binding) == Some(StateForm::Plain) {
                    piece.push((
                        id,
                        size(&name, &state),
                        StateRow::of(&name, &state, Some(cipher), &self.binding),
                    ));
                }
            }
        }
        let mut seal = transaction
            .prepare_cached("UPDATE OR REPLACE learnt SET key = ?2, crc = ?3, state = ?4 WHERE id = ?1")?;
        for (id, before, StateRow { name, crc, state }) in piece {
            seal.execute(params![id, name, crc, state])?;
            self.bytes = (self.bytes + size(&name, &state)).saturating_sub(before);
        }
        Ok(last)
    }
}

/// States brought to another place or form in one transaction, about.
const PIECE_BYTES: u64 = 1 << 20;

/// Keys of learnt states lie between these.
fn learnt_keys() -> (String, String) {
    let text = |end: char| format!("{}{end}", verge_domain::stage::LEARNT_KEY);
    let separator = verge_domain::stage::KEY_SEPARATOR;
    let behind = char::from_u32(u32::from(separator) + 1).unwrap_or(' ');
    (text(separator), text(behind))
}
