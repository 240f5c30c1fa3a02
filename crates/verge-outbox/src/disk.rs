//! A disk that is full, or nearly: what the store gives up, and how far it grows into the room that there is.
//!
//! On a full disk the ballast is given up, so that the log has room for deletions; the database does not grow into its
//! space. What comes free later is used at once, however little: of the space of the ballast, only what nobody has taken
//! meanwhile is kept, and 2 MiB at least.

use std::path::PathBuf;

use crate::connect;
use crate::fault::{StoreFault, is_full};
use crate::schema;
use crate::store::Outbox;

/// The cap counts as reached this many pages before it.
const NEAR_PAGES: u64 = 32;

impl Outbox {
    /// Whether there was no room: under the cap, on the disk or in a quota.
    pub(crate) fn is_full(&self, fault: &StoreFault) -> bool {
        match fault {
            StoreFault::Database { source, .. } => is_full(source) || self.files.is_beyond_quota(source),
            _ => false,
        }
    }

    /// There was no room. Gives up what there is for this case, and says whether there may be room now.
    pub(crate) fn find_room(&mut self) -> bool {
        if !self.cap_is_far() {
            return false;
        }
        let released = self.ballast.release();
        if released {
            self.fold_log();
        }
        self.may_grow() || released
    }

    /// Takes the ballast back once there is room; until then lets the database grow into what is free.
    pub(crate) fn fit_to_disk(&mut self) {
        if !self.ballast.is_out() {
            return;
        }
        if !self.ballast.restore() {
            self.may_grow();
            return;
        }
        match connect::limit_pages(&self.connection, &self.settings) {
            Ok(()) => tracing::info!("the disk has room again: the store's ballast is restored"),
            Err(error) => tracing::warn!(%error, "the store cannot grow"),
        }
    }

    /// Limits the database to the room that there is, if the ballast is given up. Says whether it may grow now.
    fn may_grow(&mut self) -> bool {
        if !self.ballast.is_out() {
            return true;
        }
        self.limit_to_free_room().unwrap_or_else(|error| {
            tracing::warn!(%error, "the store may grow into the space of its ballast");
            false
        })
    }

    fn limit_to_free_room(&mut self) -> Result<bool, rusqlite::Error> {
        let page = schema::page_bytes(&self.connection)?;
        let pages = self.pragma("page_count")?;
        let most = connect::max_pages(&self.connection, &self.settings)?.cast_unsigned();
        // Pages that are in the log alone grow the file when the log is folded in.
        let length = |path: PathBuf| path.metadata().map_or(0, |about| about.len());
        let pending = (pages * page).saturating_sub(length(self.files.database()));
        let free = self.ballast.free_bytes().saturating_add(length(self.files.log())).saturating_sub(pending);
        let limit = pages.saturating_add(self.ballast.spare(free) / page).min(most);
        self.connection.pragma_update(None, "max_page_count", limit.cast_signed())?;
        Ok(limit > pages)
    }

    /// Whether it is the disk that is full, and not the cap that is reached: SQLite says the same of both.
    pub(crate) fn cap_is_far(&self) -> bool {
        let most = connect::max_pages(&self.connection, &self.settings);
        self.pragma("page_count")
            .is_ok_and(|pages| most.is_ok_and(|most| pages + NEAR_PAGES < most.cast_unsigned()))
    }

    /// Brings the log into the database and cuts it, so that it takes no space.
    fn fold_log(&self) {
        let folded = self.connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()));
        if let Err(error) = folded {
            tracing::debug!(%error, "the log cannot be folded in");
        }
    }
}
