//! A copy of a store, made beside a running gateway, that is safe to open: it says that it is one, so that it takes a new
//! epoch before it numbers anything. What is encrypted stays so, and no key is needed.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use rusqlite::Connection;

use crate::reader::{OutboxReader, ReadError};
use crate::schema;

/// Why there is no backup.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    /// The store cannot be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// There is a file of that name already.
    #[error("{} exists and is left as it is: name another file", path.display())]
    Exists {
        /// The file.
        path: PathBuf,
    },
    /// The file cannot be written.
    #[error("cannot write the backup {}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system says.
        #[source]
        source: io::Error,
    },
    /// SQLite cannot write it.
    #[error("cannot write the backup {}", path.display())]
    Database {
        /// The file.
        path: PathBuf,
        /// What SQLite says.
        #[source]
        source: rusqlite::Error,
    },
}

/// Writes a backup of the store in this folder, as of one moment. Returns its size in bytes.
///
/// # Errors
/// See [`BackupError`]; nothing bears the name of `to` then.
pub fn backup(dir: &Path, to: &Path) -> Result<u64, BackupError> {
    write_to(&OutboxReader::connect(dir)?, to)
}

/// Writes it through an open handle.
pub(crate) fn write_to(source: &Connection, to: &Path) -> Result<u64, BackupError> {
    let io = |source| BackupError::Io { path: to.to_owned(), source };
    let to = std::path::absolute(to).map_err(io)?;
    if to.symlink_metadata().is_ok() {
        return Err(BackupError::Exists { path: to });
    }
    let mut part = to.as_os_str().to_owned();
    part.push(format!(".part-{}", std::process::id()));
    let part = PathBuf::from(part);
    let made = write(source, &part, &to);
    if made.is_err() {
        // An incomplete copy is of no use: the failure is reported.
        drop(fs::remove_file(&part));
    }
    made
}

fn write(source: &Connection, part: &Path, to: &Path) -> Result<u64, BackupError> {
    let io = |source| BackupError::Io { path: to.to_owned(), source };
    let database = |source| BackupError::Database { path: to.to_owned(), source };
    let name = part.to_str().ok_or_else(|| io(io::Error::from(io::ErrorKind::InvalidFilename)))?;
    // SQLite would make it readable for others.
    OpenOptions::new().write(true).create_new(true).mode(0o600).open(part).map_err(io)?;
    source.execute("VACUUM INTO ?1", [name]).map_err(database)?;
    let copy = Connection::open(part).map_err(database)?;
    schema::set_meta(&copy, schema::BACKUP, &[]).map_err(database)?;
    copy.close().map_err(|(_, source)| database(source))?;
    let file = File::open(part).map_err(io)?;
    file.sync_all().map_err(io)?;
    let bytes = file.metadata().map_err(io)?.len();
    match fs::hard_link(part, to) {
        Ok(()) => fs::remove_file(part).map_err(io)?,
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            return Err(BackupError::Exists { path: to.to_owned() });
        }
        // A file system without links.
        Err(_) => fs::rename(part, to).map_err(io)?,
    }
    let folder = to.parent().unwrap_or(Path::new("/"));
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(io)?;
    Ok(bytes)
}
