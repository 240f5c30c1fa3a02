//! A package on its way to this machine: parts of one size in any order, the file on the disk grows from its beginning.
//!
//! The receiver asks for parts and checks each; nothing that was not asked for is kept. What is on the disk outlives a lost
//! connection and a restart. Pure of any network: what asks and brings is handed in elsewhere.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{File, OpenOptions};
use std::io::{self, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use verge_engine::ContentDigest;

/// Parts that are asked for at a time at most.
pub const WINDOW: usize = 8;
/// What was written becomes durable after this many bytes.
const SYNC_EVERY: u64 = 1 << 20;
/// Nothing came for this long: what is missing is asked for again. Grows with how long parts take.
const PATIENCE: Duration = Duration::from_secs(3);
/// Before the first part it is not known how long they take.
const FIRST_PATIENCE: Duration = Duration::from_secs(10);
/// The longest wait.
const LONGEST: Duration = Duration::from_secs(60);

/// Why a part is not taken: a closed list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PartRefusal {
    /// It was not asked for, or it is there already.
    #[error("it was not asked for")]
    Unasked,
    /// Its bytes are not those of the part.
    #[error("it has another length than was asked for")]
    Length,
}

/// A range of the package.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PartRange {
    /// Where it begins.
    pub from: u64,
    /// Its bytes.
    pub bytes: u64,
}

/// A package that is being received.
#[derive(Debug)]
pub struct Incoming {
    file: File,
    path: PathBuf,
    total: u64,
    part_bytes: u64,
    /// Bytes from the beginning that are on the disk.
    have: u64,
    synced: u64,
    /// Something was there before: should it be damaged, it is received anew once.
    resumed: bool,
    /// Parts that came ahead of their turn.
    ahead: BTreeMap<u64, Vec<u8>>,
    /// Parts that were asked for.
    asked: BTreeSet<u64>,
    window: usize,
    last: Instant,
    slowest: Option<Duration>,
    waits: u32,
}

impl Incoming {
    /// Opens the part of a package, and goes on with what is there.
    ///
    /// # Errors
    /// It cannot be opened or written.
    pub fn open(path: &Path, total: u64, part_bytes: u64, now: Instant) -> io::Result<Self> {
        let is_link = path.symlink_metadata().is_ok_and(|found| !found.is_file());
        if is_link {
            return Err(io::Error::other("it is no file"));
        }
        let mut file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path)?;
        let length = file.metadata()?.len();
        let found = length.min(total);
        // A part that was cut is asked for again.
        let have = if found == total { total } else { found - found % part_bytes };
        if length != have {
            file.set_len(have)?;
        }
        file.seek(SeekFrom::Start(have))?;
        Ok(Self {
            file,
            path: path.to_owned(),
            total,
            part_bytes,
            have,
            synced: have,
            resumed: have > 0,
            ahead: BTreeMap::new(),
            asked: BTreeSet::new(),
            window: 1,
            last: now,
            slowest: None,
            waits: 0,
        })
    }

    /// Bytes from the beginning that are there.
    #[must_use]
    pub fn have(&self) -> u64 {
        self.have
    }

    /// Whether all is there.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        self.have == self.total
    }

    /// Whether nothing that was asked for is on its way.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.asked.is_empty()
    }

    /// The next part to ask for, if one may be asked for now. Say [`Incoming::asked`] once it is.
    #[must_use]
    pub fn wanted(&self) -> Option<PartRange> {
        if self.asked.len() >= self.window {
            return None;
        }
        let mut from = self.have;
        while from < self.total {
            if !self.asked.contains(&from) && !self.ahead.contains_key(&from) {
                // What waits in memory stays within the window.
                let is_near = from - self.have < self.part_bytes * WINDOW as u64;
                return is_near.then(|| self.range(from));
            }
            from += self.part_bytes;
        }
        None
    }

    fn range(&self, from: u64) -> PartRange {
        PartRange { from, bytes: self.part_bytes.min(self.total - from) }
    }

    /// A part was asked for.
    pub fn asked(&mut self, range: PartRange, now: Instant) {
        if self.asked.is_empty() {
            self.last = now;
        }
        self.asked.insert(range.from);
    }

    /// The connection is new: what was asked for may be on its way still, so the wait for it begins anew.
    pub fn reconnected(&mut self, now: Instant) {
        self.last = now;
    }

    /// Whether what was asked for is overdue; then it is asked for again.
    pub fn is_overdue(&mut self, now: Instant) -> bool {
        let least = self.slowest.map_or(FIRST_PATIENCE, |slowest| PATIENCE.max(slowest * 4));
        let patience = (least * 2_u32.saturating_pow(self.waits)).min(LONGEST);
        if self.asked.is_empty() || now.duration_since(self.last) < patience {
            return false;
        }
        self.waits = self.waits.saturating_add(1).min(6);
        self.asked.clear();
        self.window = 1;
        true
    }

    /// Takes a part.
    ///
    /// # Errors
    /// It cannot be written; a part that is refused is no error but an answer.
    pub fn take(&mut self, from: u64, bytes: &[u8], now: Instant) -> io::Result<Result<(), PartRefusal>> {
        let is_awaited = from >= self.have
            && from < self.total
            && from.is_multiple_of(self.part_bytes)
            && from - self.have < self.part_bytes * WINDOW as u64
            && !self.ahead.contains_key(&from);
        if !is_awaited {
            return Ok(Err(PartRefusal::Unasked));
        }
        if bytes.len() as u64 != self.range(from).bytes {
            return Ok(Err(PartRefusal::Length));
        }
        self.asked.remove(&from);
        let took = now.duration_since(self.last);
        self.slowest = Some(self.slowest.map_or(took, |slowest| slowest.max(took)));
        (self.last, self.waits) = (now, 0);
        self.window = (self.window + 1).min(WINDOW);
        self.ahead.insert(from, bytes.to_vec());
        while let Some(next) = self.ahead.remove(&self.have) {
            self.append(&next)?;
        }
        Ok(Ok(()))
    }

    /// Takes what comes next.
    ///
    /// # Errors
    /// It cannot be written, or is more than the package has.
    pub fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        if bytes.len() as u64 > self.total - self.have {
            return Err(io::Error::other("more came than was offered"));
        }
        self.file.write_all(bytes).inspect_err(|_| {
            // Half a part is none.
            drop(self.file.set_len(self.have));
            drop(self.file.seek(SeekFrom::Start(self.have)));
        })?;
        self.have += bytes.len() as u64;
        if self.have - self.synced >= SYNC_EVERY || self.is_whole() {
            self.file.sync_data()?;
            self.synced = self.have;
        }
        Ok(())
    }

    /// Whether the whole hashes to what was offered; otherwise what it hashes to. What was resumed and is not right begins anew:
    /// `Ok(false)`.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn check(&mut self, sha256: &str) -> io::Result<Result<bool, String>> {
        let found = ContentDigest::of_file(&self.path)?.to_string();
        if found == sha256 {
            return Ok(Ok(true));
        }
        if std::mem::take(&mut self.resumed) {
            self.file.set_len(0)?;
            self.file.rewind()?;
            (self.have, self.synced) = (0, 0);
            self.asked.clear();
            return Ok(Ok(false));
        }
        Ok(Err(found))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PART: u64 = 10;

    fn content(total: u64) -> Vec<u8> {
        (0..total).map(|byte| (byte * 7 % 251) as u8).collect()
    }

    fn piece(content: &[u8], range: PartRange) -> &[u8] {
        &content[range.from as usize..(range.from + range.bytes) as usize]
    }

    #[test]
    fn parts_in_any_order_become_the_file() {
        let folder = tempfile::tempdir().unwrap();
        let content = content(333);
        let sha256 = ContentDigest::of(&content).to_string();
        let mut random = fastrand::Rng::with_seed(3);
        let now = Instant::now();
        let mut incoming = Incoming::open(&folder.path().join("p"), 333, PART, now).unwrap();
        let (mut way, mut sent) = (Vec::new(), 0);
        while !incoming.is_whole() {
            while let Some(range) = incoming.wanted() {
                incoming.asked(range, now);
                way.push(range);
            }
            assert!(way.len() <= WINDOW);
            let range = way.swap_remove(random.usize(..way.len()));
            assert_eq!(incoming.take(range.from, piece(&content, range), now).unwrap(), Ok(()));
            assert_eq!(
                incoming.take(range.from, piece(&content, range), now).unwrap(),
                Err(PartRefusal::Unasked)
            );
            sent += 1;
        }
        assert_eq!(sent, 34, "none twice");
        assert_eq!(incoming.check(&sha256).unwrap(), Ok(true));
        assert_eq!(std::fs::read(folder.path().join("p")).unwrap(), content);
    }

    #[test]
    fn what_was_there_is_gone_on_with_and_what_is_wrong_begins_anew_once() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("p");
        let content = content(95);
        let sha256 = ContentDigest::of(&content).to_string();
        std::fs::write(&path, &content[..47]).unwrap();
        let now = Instant::now();
        let mut incoming = Incoming::open(&path, 95, PART, now).unwrap();
        assert_eq!((incoming.have(), incoming.wanted()), (40, Some(PartRange { from: 40, bytes: 10 })));
        let finish = |incoming: &mut Incoming, content: &[u8]| {
            while let Some(range) = incoming.wanted() {
                incoming.asked(range, now);
                incoming.take(range.from, piece(content, range), now).unwrap().unwrap();
            }
        };
        finish(&mut incoming, &content);
        assert_eq!(incoming.check(&sha256).unwrap(), Ok(true));
        // Power was lost: zeros where bytes were.
        let mut zeros = content.clone();
        zeros[3] ^= 1;
        std::fs::write(&path, &zeros).unwrap();
        let mut incoming = Incoming::open(&path, 95, PART, now).unwrap();
        assert!(incoming.is_whole());
        assert_eq!(incoming.check(&sha256).unwrap(), Ok(false), "anew");
        finish(&mut incoming, &zeros);
        assert!(incoming.check(&sha256).unwrap().is_err(), "not twice");
    }

    #[test]
    fn what_was_not_asked_for_is_not_kept() {
        let folder = tempfile::tempdir().unwrap();
        let now = Instant::now();
        let mut incoming = Incoming::open(&folder.path().join("p"), 995, PART, now).unwrap();
        for (from, bytes, expected) in [
            (5, 10, PartRefusal::Unasked),
            (80, 10, PartRefusal::Unasked),
            (1000, 10, PartRefusal::Unasked),
            (u64::MAX, 10, PartRefusal::Unasked),
            (0, 9, PartRefusal::Length),
            (0, 11, PartRefusal::Length),
            (10, 0, PartRefusal::Length),
        ] {
            assert_eq!(incoming.take(from, &vec![0; bytes], now).unwrap(), Err(expected), "{from} {bytes}");
        }
        assert!(incoming.append(&[0; 996]).is_err());
        assert_eq!(incoming.have(), 0);
    }

    #[test]
    fn what_does_not_come_is_asked_for_again_later_and_later() {
        let folder = tempfile::tempdir().unwrap();
        let begun = Instant::now();
        let at = |seconds: u64| begun + Duration::from_secs(seconds);
        let mut incoming = Incoming::open(&folder.path().join("p"), 995, PART, begun).unwrap();
        assert!(!incoming.is_overdue(at(1_000)), "nothing was asked for");
        incoming.asked(incoming.wanted().unwrap(), begun);
        assert!(incoming.wanted().is_none(), "one until it is known how long it takes");
        assert!(!incoming.is_overdue(at(9)));
        assert!(incoming.is_overdue(at(10)));
        incoming.asked(incoming.wanted().unwrap(), at(10));
        assert!(!incoming.is_overdue(at(29)) && incoming.is_overdue(at(30)), "twice as long");
        incoming.asked(incoming.wanted().unwrap(), at(30));
        incoming.take(0, &[0; 10], at(32)).unwrap().unwrap();
        assert_eq!(incoming.wanted(), Some(PartRange { from: 10, bytes: 10 }));
        incoming.asked(incoming.wanted().unwrap(), at(32));
        incoming.reconnected(at(100));
        assert!(!incoming.is_overdue(at(107)) && incoming.is_overdue(at(108)));
    }
}
