//! A second witness of how far the numbers have come.
//!
//! SQLite drops what follows the first damaged page of its log without a word, and a log that was cut or removed says
//! nothing at all: verdicts that were handed out would be gone and their numbers given again. So after each commit, before
//! anyone is told of it, the newest numbers are written into a small file of their own. It is not synced with each commit,
//! which would double the cost; a process that dies takes nothing from it. A database that ends before its witness was cut
//! back, and gets a new epoch.
//!
//! What this guarantees: whatever becomes of the database and its log, a number that was handed out is never given again
//! in the same epoch, as long as the system kept running; across a loss of power as far as the system had written the
//! file back (some 30 s). A witness that is damaged or absent is no evidence, and one that lags accuses nobody: a plain
//! crash never costs an epoch.
//!
//! It also knows a store of ours whose header does not say so any more.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;

use verge_domain::id::Epoch;

use crate::schema::SCHEMA_VERSION;

const MAGIC: [u8; 4] = *b"VRGG";
const LENGTH: usize = 56;

/// What the witness says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Testimony {
    /// Schema version of the store.
    pub(crate) version: u32,
    /// Bytes of its pages.
    pub(crate) page_bytes: u32,
    /// Its epoch.
    pub(crate) epoch: Epoch,
    /// Newest number committed, by lane.
    pub(crate) last: [u64; 3],
}

impl Testimony {
    fn to_bytes(self) -> [u8; LENGTH] {
        let mut bytes = [0; LENGTH];
        bytes[..4].copy_from_slice(&MAGIC);
        bytes[4..8].copy_from_slice(&self.version.to_le_bytes());
        bytes[8..12].copy_from_slice(&self.page_bytes.to_le_bytes());
        bytes[12..28].copy_from_slice(&self.epoch.0);
        for (to, last) in bytes[28..52].chunks_exact_mut(8).zip(self.last) {
            to.copy_from_slice(&last.to_le_bytes());
        }
        let crc = crc32c::crc32c(&bytes[..52]);
        bytes[52..].copy_from_slice(&crc.to_le_bytes());
        bytes
    }

    fn of(bytes: &[u8]) -> Option<Self> {
        let bytes: &[u8; LENGTH] = bytes.try_into().ok()?;
        let last = |lane: usize| bytes[28 + 8 * lane..].first_chunk().copied().map(u64::from_le_bytes);
        let testimony = Self {
            version: u32::from_le_bytes(*bytes[4..].first_chunk()?),
            page_bytes: u32::from_le_bytes(*bytes[8..].first_chunk()?),
            epoch: Epoch(*bytes[12..].first_chunk()?),
            last: [last(0)?, last(1)?, last(2)?],
        };
        (testimony.to_bytes() == *bytes).then_some(testimony)
    }

    /// What the file says; `None` if it is absent or damaged.
    pub(crate) fn read(path: &Path) -> io::Result<Option<Self>> {
        match fs::read(path) {
            Ok(bytes) => Ok(Self::of(&bytes)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }
}

/// The witness of an open store.
#[derive(Debug)]
pub(crate) struct Guard {
    file: File,
    testimony: Testimony,
    /// It could not be written; said once.
    failing: bool,
}

impl Guard {
    /// Starts a new account, durably.
    pub(crate) fn begin(path: &Path, epoch: Epoch, page_bytes: u64, last: [u64; 3]) -> io::Result<Self> {
        let file =
            OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(path)?;
        let page_bytes = u32::try_from(page_bytes).unwrap_or_default();
        let testimony = Testimony { version: SCHEMA_VERSION, page_bytes, epoch, last };
        if file.metadata()?.len() != LENGTH as u64 {
            file.set_len(0)?;
        }
        file.write_all_at(&testimony.to_bytes(), 0)?;
        file.sync_all()?;
        Ok(Self { file, testimony, failing: false })
    }

    /// Notes what was committed. A failure weakens the guard and nothing else, so it does not fail the commit.
    pub(crate) fn note(&mut self, last: [u64; 3]) {
        if self.testimony.last == last && !self.failing {
            return;
        }
        self.testimony.last = last;
        let written = self.file.write_all_at(&self.testimony.to_bytes(), 0);
        if let (Err(error), false) = (&written, self.failing) {
            tracing::warn!(%error, "the file that guards the numbers cannot be written; commits are not affected");
        }
        self.failing = written.is_err();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_sound_witness_is_heard() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("guard");
        assert_eq!(Testimony::read(&path).unwrap(), None);
        let mut guard = Guard::begin(&path, Epoch([3; 16]), 2048, [1, 2, 3]).unwrap();
        guard.note([4, 5, u64::MAX]);
        let (version, epoch, last) = (SCHEMA_VERSION, Epoch([3; 16]), [4, 5, u64::MAX]);
        let expected = Testimony { version, page_bytes: 2048, epoch, last };
        assert_eq!(Testimony::read(&path).unwrap(), Some(expected));
        let sound = fs::read(&path).unwrap();
        for at in 0..sound.len() {
            let mut bytes = sound.clone();
            bytes[at] ^= 0x10;
            assert_eq!(Testimony::of(&bytes), None, "byte {at}");
            assert_eq!(Testimony::of(&sound[..at]), None, "cut at {at}");
        }
    }
}
