//! Space on the disk that can be given up. SQLite in WAL mode cannot even delete on a full disk: deleting writes first.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use rustix::fs::{FallocateFlags, fallocate, statvfs};

/// Its name in the store's folder.
const FILE: &str = "ballast";

/// The file, or the lack of one.
#[derive(Debug)]
pub(crate) struct Ballast {
    path: PathBuf,
    bytes: u64,
    is_out: bool,
    /// What the store leaves free while it is given up.
    reserve: u64,
}

/// The least that the store leaves free: deletions and a few commits need it in the log.
const LOG_ROOM: u64 = 2 << 20;

impl Ballast {
    /// Makes the file if there is room for it; else it counts as given up.
    pub(crate) fn new(folder: &Path, bytes: u64) -> Self {
        let mut ballast = Self { path: folder.join(FILE), bytes, is_out: true, reserve: LOG_ROOM };
        let whole = ballast.path.metadata().is_ok_and(|about| about.len() == bytes);
        if bytes > 0 && whole {
            ballast.is_out = false;
        } else {
            ballast.restore();
        }
        ballast
    }

    /// Gives up what an earlier process left, where the disk is too full to open the store. Says whether there was any.
    pub(crate) fn discard(folder: &Path, bytes: u64) -> bool {
        bytes > 0 && std::fs::remove_file(folder.join(FILE)).is_ok()
    }

    /// Whether the disk was full and has not had room for it since.
    pub(crate) fn is_out(&self) -> bool {
        self.is_out && self.bytes > 0
    }

    /// Gives the space up. Says whether there was any.
    pub(crate) fn release(&mut self) -> bool {
        if self.is_out {
            return false;
        }
        self.is_out = true;
        match std::fs::remove_file(&self.path) {
            Ok(()) => {
                self.reserve = self.bytes.max(LOG_ROOM);
                tracing::warn!(bytes = self.bytes, "the disk is full: the store's ballast is given up");
                true
            }
            Err(error) => {
                tracing::error!(%error, "the disk is full, and the store's ballast cannot be given up");
                false
            }
        }
    }

    /// Takes the space back if there is twice as much. Says whether it is there.
    pub(crate) fn restore(&mut self) -> bool {
        if !self.is_out || self.bytes == 0 {
            return true;
        }
        if self.free_bytes() < self.bytes.saturating_mul(2) {
            return false;
        }
        match self.make() {
            Ok(()) => {
                self.is_out = false;
                true
            }
            Err(error) => {
                tracing::debug!(%error, "no room for the store's ballast yet");
                // What was made of it would only be in the way.
                drop(std::fs::remove_file(&self.path));
                false
            }
        }
    }

    /// Bytes that are free on the disk.
    pub(crate) fn free_bytes(&self) -> u64 {
        let folder = self.path.parent().unwrap_or(Path::new("."));
        statvfs(folder).map_or(u64::MAX, |about| about.f_bavail.saturating_mul(about.f_frsize))
    }

    /// The part of `free` that the store may grow into. The space of the ballast is left to the log; what others
    /// have taken of it is not asked for again.
    pub(crate) fn spare(&mut self, free: u64) -> u64 {
        self.reserve = self.reserve.min(free).max(LOG_ROOM);
        free.saturating_sub(self.reserve)
    }

    fn make(&self) -> io::Result<()> {
        let file: File =
            OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&self.path)?;
        // Twice as much: a quota does not show in what the file system says is free.
        fallocate(&file, FallocateFlags::empty(), 0, self.bytes.saturating_mul(2))?;
        file.set_len(self.bytes)?;
        file.sync_all()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_made_given_up_and_made_again() {
        let folder = tempfile::tempdir().unwrap();
        let mut ballast = Ballast::new(folder.path(), 1 << 20);
        let size = || folder.path().join("ballast").metadata().map(|about| about.len()).ok();
        assert_eq!((ballast.is_out(), size()), (false, Some(1 << 20)));
        assert!(ballast.release());
        assert!(!ballast.release(), "there is no more");
        assert_eq!((ballast.is_out(), size()), (true, None));
        assert!(ballast.restore());
        assert_eq!((ballast.is_out(), size()), (false, Some(1 << 20)));
        drop(ballast);
        assert!(!Ballast::new(folder.path(), 1 << 20).is_out(), "it is found again");
        assert!(!Ballast::new(folder.path(), 0).is_out(), "none is wanted");
        let mut huge = Ballast::new(tempfile::tempdir().unwrap().path(), u64::MAX / 4);
        assert!(huge.is_out() && !huge.restore(), "there is no such disk");
    }
}
