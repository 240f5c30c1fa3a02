//! Whether the files here are those of the last run, or copies of them.
//!
//! What is compared: inode and time of birth of the database and of the witness, against what the witness says of both;
//! the salts of the log beside the database; the run, which the witness and the database must agree on. A copy, a restored
//! backup, a database without its witness: all look like a store, and would give numbers again that the other life has
//! given. Where there is any doubt the store takes a new epoch, which loses nothing.
//!
//! File systems that draw inode numbers at each mount (vfat, some over a network or in user space) cost a new epoch
//! whenever the system starts. The number of the device is compared only where no time of birth is known: it may change
//! from one start of the system to the next.

use std::fs::{self, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::UNIX_EPOCH;

use crate::files::Files;
use crate::guard::{LogNote, OriginNote, Testimony};
use crate::log;
use crate::note::Damage;
use crate::{salvage, schema};

/// What distinguishes a file from a copy of it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct FileId {
    pub(crate) inode: u64,
    /// Nanoseconds since 1970; zero where the file system does not say.
    pub(crate) born: u64,
    pub(crate) device: u64,
}

impl FileId {
    pub(crate) fn of(about: &Metadata) -> Self {
        let born = about.created().ok().and_then(|born| born.duration_since(UNIX_EPOCH).ok());
        let born = born.and_then(|born| u64::try_from(born.as_nanos()).ok()).unwrap_or(0);
        Self { inode: about.ino(), born, device: about.dev() }
    }

    /// Whether both are the same file.
    pub(crate) fn is(&self, other: &Self) -> bool {
        let alike = match (self.born, other.born) {
            (0, 0) => self.device == other.device,
            // A system that learnt to say it, or forgot to.
            (0, _) | (_, 0) => true,
            (one, other) => one == other,
        };
        alike && self.inode == other.inode
    }

    pub(crate) fn at(path: &Path) -> io::Result<Option<Self>> {
        match fs::metadata(path) {
            Ok(about) => Ok(Some(Self::of(&about))),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }
}

/// What is wrong with the files, before SQLite opens them: it would believe any log, and fold it in.
pub(crate) fn of_files(files: &Files, testimony: Option<&Testimony>) -> io::Result<Option<Damage>> {
    // What cannot be read as a backup is checked later.
    let backup = salvage::open_alone(&files.database())
        .is_some_and(|database| schema::meta(&database, schema::BACKUP).is_ok_and(|mark| mark.is_some()));
    if backup {
        return Ok(Some(Damage::Backup));
    }
    let Some(OriginNote { log, own, database, .. }) = testimony.and_then(|testimony| testimony.origin) else {
        return Ok(None);
    };
    let is =
        |path: &Path, noted: &FileId| Ok::<_, io::Error>(FileId::at(path)?.is_some_and(|id| id.is(noted)));
    if !is(&files.guard(), &own)? || !is(&files.database(), &database)? {
        return Ok(Some(Damage::Copied));
    }
    Ok(is_foreign(files, &log)?.then_some(Damage::ForeignLog))
}

/// Whether another log lies there than the witness says.
pub(crate) fn is_foreign(files: &Files, noted: &LogNote) -> io::Result<bool> {
    let Some(salts) = log::salts(&files.log())? else { return Ok(false) };
    Ok(match noted {
        LogNote::Any => false,
        LogNote::Nothing => true,
        LogNote::Known(noted) => !salts.follows(*noted),
    })
}

/// What is wrong with the content of a store that could be read.
pub(crate) fn of_content(
    connection: &rusqlite::Connection,
    life: Option<&verge_domain::life::Life>,
    testimony: Option<&Testimony>,
) -> Result<Option<Damage>, rusqlite::Error> {
    if let Some(why) = schema::meta(connection, schema::RENEW)? {
        return Ok(Some(if why == schema::CUT_BACK { Damage::Log } else { Damage::Overtaken }));
    }
    if schema::meta(connection, schema::WITNESSED)?.is_none() {
        return Ok(None);
    }
    let Some(origin) = testimony.and_then(|testimony| testimony.origin) else {
        return Ok(Some(Damage::NoWitness));
    };
    let count = life.map_or(0, |life| life.count);
    let same = life.is_some_and(|life| life.run() == origin.run);
    // Killed between the two notes of an opening.
    let beginning = origin.log == LogNote::Any && origin.run.count == count + 1;
    Ok((!same && !beginning).then_some(Damage::Copied))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_known_by_inode_and_birth() {
        let id = |inode, born, device| FileId { inode, born, device };
        let check = |one: FileId, other: FileId, same| assert_eq!(one.is(&other), same, "{one:?} {other:?}");
        check(id(1, 2, 3), id(1, 2, 3), true);
        check(id(1, 2, 3), id(1, 2, 4), true);
        check(id(1, 2, 3), id(1, 5, 3), false);
        check(id(1, 2, 3), id(6, 2, 3), false);
        check(id(1, 0, 3), id(1, 0, 3), true);
        check(id(1, 0, 3), id(1, 0, 4), false);
        check(id(1, 0, 3), id(1, 2, 4), true);
    }
}
