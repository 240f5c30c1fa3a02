//! A second witness of the store: how far the numbers have come, and which files they are in.
//!
//! SQLite silently drops what follows the first damaged page of its log, uses any log that lies beside a
//! database, and does not recognise an older copy of one. A number that was handed out would be given again, with
//! other content. So a small file of its own notes, at the opening and after each commit before it is reported: the
//! newest numbers, the run, the log's salts, and which files the database and this one are (see `origin`). It is not
//! synced with each commit, which would double the cost; a process that dies takes nothing from it. It is a new file at
//! each opening and closing, and at each [`RENEW_EVERY`] while numbers are given: an older copy of it, even one that
//! was written over it in place, is not the file that it says it is.
//!
//! What this guarantees: whatever becomes of the database and its log, a number that was handed out is never given again
//! in the same epoch, as long as the system kept running; across a loss of power as far as the system had written the
//! file back (some 30 s). A witness that lags is no fault: a plain crash never costs an epoch. One that is missing or
//! damaged does, where the store knows that it had one.
//!
//! It also knows a store of ours whose header does not say so any more.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;
use std::time::Duration;

use verge_domain::id::Epoch;
use verge_domain::time::Monotonic;

use crate::files::{Files, lacks_room};
use crate::log::Salts;
use crate::origin::FileId;
use crate::run::RunId;
use crate::schema::SCHEMA_VERSION;

const MAGIC: [u8; 4] = *b"VRG2";
const LENGTH: usize = 132;
/// Of releases that noted neither files nor runs.
const OLD_MAGIC: [u8; 4] = *b"VRGG";
const OLD_LENGTH: usize = 56;
/// While numbers are given the witness becomes a new file this often.
const RENEW_EVERY: Duration = Duration::from_secs(60);

/// Which log lies beside the database.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LogNote {
    /// The store is being opened: there may be any.
    Any,
    /// The store was closed in good order, and its log folded in.
    Nothing,
    /// This one, or one that was begun after it.
    Known(Salts),
}

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
    /// What older releases did not note.
    pub(crate) origin: Option<OriginNote>,
}

/// Which files it is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct OriginNote {
    pub(crate) run: RunId,
    pub(crate) log: LogNote,
    /// The witness itself.
    pub(crate) own: FileId,
    pub(crate) database: FileId,
}

impl Testimony {
    fn to_bytes(self) -> Written {
        let mut bytes = Written::default();
        bytes.put(&if self.origin.is_some() { MAGIC } else { OLD_MAGIC });
        bytes.put(&self.version.to_le_bytes());
        bytes.put(&self.page_bytes.to_le_bytes());
        bytes.put(&self.epoch.0);
        self.last.iter().for_each(|last| bytes.put(&last.to_le_bytes()));
        if let Some(OriginNote { run, log, own, database }) = self.origin {
            bytes.put(&run.count.to_le_bytes());
            bytes.put(&run.id.to_le_bytes());
            let (state, Salts(one, two)) = match log {
                LogNote::Any => (0_u32, Salts(0, 0)),
                LogNote::Nothing => (1, Salts(0, 0)),
                LogNote::Known(salts) => (2, salts),
            };
            [state, one, two].iter().for_each(|number| bytes.put(&number.to_le_bytes()));
            for FileId { inode, born, device } in [own, database] {
                [inode, born, device].iter().for_each(|number| bytes.put(&number.to_le_bytes()));
            }
        }
        let crc = crc32c::crc32c(bytes.as_slice());
        bytes.put(&crc.to_le_bytes());
        bytes
    }

    fn of(bytes: &[u8]) -> Option<Self> {
        let short = |at: usize| bytes.get(at..)?.first_chunk().copied().map(u32::from_le_bytes);
        let long = |at: usize| bytes.get(at..)?.first_chunk().copied().map(u64::from_le_bytes);
        let file = |at: usize| Some(FileId { inode: long(at)?, born: long(at + 8)?, device: long(at + 16)? });
        let origin = match (bytes.first_chunk()?, bytes.len()) {
            (&OLD_MAGIC, OLD_LENGTH) => None,
            (&MAGIC, LENGTH) => Some(OriginNote {
                run: RunId { count: long(52)?, id: long(60)? },
                log: match short(68)? {
                    0 => LogNote::Any,
                    1 => LogNote::Nothing,
                    2 => LogNote::Known(Salts(short(72)?, short(76)?)),
                    _ => return None,
                },
                own: file(80)?,
                database: file(104)?,
            }),
            _ => return None,
        };
        let testimony = Self {
            version: short(4)?,
            page_bytes: short(8)?,
            epoch: Epoch(*bytes.get(12..)?.first_chunk()?),
            last: [long(28)?, long(36)?, long(44)?],
            origin,
        };
        (testimony.to_bytes().as_slice() == bytes).then_some(testimony)
    }

    /// What the file says; `None` if it is absent or damaged.
    pub(crate) fn read(path: &Path) -> io::Result<Option<Self>> {
        match fs::read(path) {
            Ok(bytes) => Ok(Self::of(&bytes)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            // Something else bears its name.
            Err(error) if error.kind() == io::ErrorKind::IsADirectory => Ok(None),
            Err(error) => Err(error),
        }
    }
}

/// The bytes of a testimony.
#[derive(Debug)]
struct Written {
    bytes: [u8; LENGTH],
    length: usize,
}

impl Default for Written {
    fn default() -> Self {
        Self { bytes: [0; LENGTH], length: 0 }
    }
}

impl Written {
    fn put(&mut self, bytes: &[u8]) {
        self.bytes[self.length..self.length + bytes.len()].copy_from_slice(bytes);
        self.length += bytes.len();
    }

    fn as_slice(&self) -> &[u8] {
        &self.bytes[..self.length]
    }
}

/// What is noted at the opening.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Opening {
    pub(crate) epoch: Epoch,
    pub(crate) page_bytes: u64,
    pub(crate) last: [u64; 3],
    pub(crate) run: RunId,
}

/// The witness of an open store.
#[derive(Debug)]
pub(crate) struct Guard {
    file: File,
    files: Files,
    /// Opened once there is one.
    log: Option<File>,
    testimony: Testimony,
    origin: OriginNote,
    /// The numbers when it last became a new file, and when that was.
    renewed: ([u64; 3], Option<Monotonic>),
    /// It could not be written; reported once.
    failing: bool,
}

impl Guard {
    /// Starts a new account, durably.
    pub(crate) fn begin(files: &Files, opening: &Opening) -> io::Result<Self> {
        let Opening { epoch, page_bytes, last, run } = *opening;
        let database = FileId::of(&fs::metadata(files.database())?);
        let origin = OriginNote { run, log: LogNote::Any, own: FileId::default(), database };
        let page_bytes = u32::try_from(page_bytes).unwrap_or_default();
        let testimony = Testimony { version: SCHEMA_VERSION, page_bytes, epoch, last, origin: Some(origin) };
        let (file, testimony) = match new_file(files, testimony) {
            // It takes no room where there is one already.
            Err(error) if lacks_room(&error) => {
                let file =
                    OpenOptions::new().read(true).write(true).open(files.guard()).map_err(|_| error)?;
                let testimony = write(&file, testimony)?;
                file.set_len(LENGTH as u64)?;
                file.sync_all()?;
                (file, testimony)
            }
            made => made?,
        };
        let origin = testimony.origin.unwrap_or(origin);
        let files = files.clone();
        Ok(Self { file, files, log: None, testimony, origin, renewed: (last, None), failing: false })
    }

    /// Which file the database is.
    pub(crate) fn database(&self) -> FileId {
        self.origin.database
    }

    /// Which file its log is, once there was one.
    pub(crate) fn log(&self) -> Option<FileId> {
        self.log.as_ref()?.metadata().ok().map(|about| FileId::of(&about))
    }

    /// Notes what was committed. A failure weakens the guard and nothing else, so it does not fail the commit.
    pub(crate) fn note(&mut self, last: [u64; 3]) {
        let log = self.known_log();
        if self.testimony.last == last && self.origin.log == log && !self.failing {
            return;
        }
        self.testimony.last = last;
        self.origin.log = log;
        self.testimony.origin = Some(self.origin);
        let written = self.file.write_all_at(self.testimony.to_bytes().as_slice(), 0);
        if let (Err(error), false) = (&written, self.failing) {
            tracing::warn!(%error, "the file that guards the numbers cannot be written; commits are not affected");
        }
        self.failing = written.is_err();
    }

    /// Makes it a new file, if it is time to.
    pub(crate) fn renew(&mut self, now: Monotonic) {
        let (last, at) = self.renewed;
        let due = at.is_none_or(|at| now.since(at) >= RENEW_EVERY);
        if due && self.testimony.last != last {
            self.renewed = (self.testimony.last, Some(now));
            self.replace();
        }
    }

    /// The database was opened again: SQLite folded its log in, and begins another.
    pub(crate) fn log_begins_anew(&mut self) {
        self.log = None;
        self.origin.log = LogNote::Any;
        self.testimony.origin = Some(self.origin);
        self.replace();
    }

    /// The store is closed; a reader may have kept SQLite from removing its log.
    pub(crate) fn close(mut self) {
        self.log = None;
        self.origin.log = match crate::log::salts(&self.files.log()) {
            Ok(None) => LogNote::Nothing,
            Ok(Some(salts)) => LogNote::Known(salts),
            Err(_) => LogNote::Any,
        };
        self.testimony.origin = Some(self.origin);
        self.replace();
    }

    /// A new file in its place. Where that cannot be, the old one says the same.
    fn replace(&mut self) {
        match new_file(&self.files, self.testimony) {
            Ok((file, testimony)) => {
                self.file = file;
                self.testimony = testimony;
                self.origin = testimony.origin.unwrap_or(self.origin);
            }
            Err(error) => {
                tracing::debug!(%error, "the file that guards the numbers cannot be made anew");
                self.failing |= self.file.write_all_at(self.testimony.to_bytes().as_slice(), 0).is_err();
            }
        }
    }

    fn known_log(&mut self) -> LogNote {
        if self.log.is_none() {
            self.log = File::open(self.files.log()).ok();
        }
        let mut salts = [0; 8];
        let read = self.log.as_ref().map(|log| log.read_exact_at(&mut salts, Salts::OFFSET));
        match read {
            Some(Ok(())) => LogNote::Known(Salts::of(salts)),
            Some(Err(_)) | None => LogNote::Any,
        }
    }
}

/// Makes a new file, durably, that takes the place of the one there.
fn new_file(files: &Files, testimony: Testimony) -> io::Result<(File, Testimony)> {
    let unnamed = files.new_guard();
    let file =
        OpenOptions::new().read(true).write(true).create(true).truncate(true).mode(0o600).open(&unnamed)?;
    let testimony = write(&file, testimony)?;
    file.sync_all()?;
    fs::rename(&unnamed, files.guard())?;
    Ok((file, testimony))
}

/// Writes it, with the file's own identity in it.
fn write(file: &File, mut testimony: Testimony) -> io::Result<Testimony> {
    let own = FileId::of(&file.metadata()?);
    testimony.origin = testimony.origin.map(|origin| OriginNote { own, ..origin });
    file.write_all_at(testimony.to_bytes().as_slice(), 0)?;
    Ok(testimony)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_sound_witness_is_believed() {
        let folder = tempfile::tempdir().unwrap();
        let files = Files::in_folder(folder.path());
        fs::write(files.database(), "a database").unwrap();
        let path = files.guard();
        assert_eq!(Testimony::read(&path).unwrap(), None);
        let run = RunId { count: 3, id: u64::MAX };
        let opening = Opening { epoch: Epoch([3; 16]), page_bytes: 2048, last: [1, 2, 3], run };
        let mut guard = Guard::begin(&files, &opening).unwrap();
        guard.note([4, 5, u64::MAX]);
        let own = FileId::of(&fs::metadata(&path).unwrap());
        let database = FileId::of(&fs::metadata(files.database()).unwrap());
        let origin = OriginNote { run, log: LogNote::Any, own, database };
        let expected = Testimony {
            version: SCHEMA_VERSION,
            page_bytes: 2048,
            epoch: Epoch([3; 16]),
            last: [4, 5, u64::MAX],
            origin: Some(origin),
        };
        assert_eq!(Testimony::read(&path).unwrap(), Some(expected));
        let old = Testimony { origin: None, ..expected };
        for sound in [fs::read(&path).unwrap(), old.to_bytes().as_slice().to_vec()] {
            assert!(Testimony::of(&sound).is_some());
            for at in 0..sound.len() {
                let mut bytes = sound.clone();
                bytes[at] ^= 0x10;
                assert_eq!(Testimony::of(&bytes), None, "byte {at}");
                assert_eq!(Testimony::of(&sound[..at]), None, "cut at {at}");
            }
        }
        fs::write(files.log(), [7; 40]).unwrap();
        guard.note([4, 5, u64::MAX]);
        let noted = Testimony::read(&path).unwrap().unwrap().origin.unwrap();
        assert_eq!(noted.log, LogNote::Known(Salts(0x0707_0707, 0x0707_0707)));
        let before = FileId::of(&fs::metadata(&path).unwrap());
        guard.renew(Monotonic(0));
        let after = FileId::of(&fs::metadata(&path).unwrap());
        assert!(!after.is(&before), "a new file");
        guard.renew(Monotonic(1));
        assert!(FileId::of(&fs::metadata(&path).unwrap()).is(&after), "not each time");
    }
}
