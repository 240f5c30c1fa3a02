//! The store's files: where they lie, how they are made, how they are set aside.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use crate::schema::{HEADER_BYTES, Header};

/// Name of the database in the store's folder.
const DATABASE: &str = "outbox.db";
/// A store being made; it gets its name when it is complete, so half of one is never found.
const UNFINISHED: &str = "outbox.new";
/// Folder of what was set aside.
const QUARANTINE: &str = "quarantine";
/// Files that SQLite keeps beside a database.
const COMPANIONS: [&str; 3] = ["-wal", "-shm", "-journal"];

/// Creates a folder, and those above it, for the owner alone; one that exists is left as it is.
pub(crate) fn create_private_folder(path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(path)
}

/// What lies in the store's folder.
#[derive(Debug)]
pub(crate) enum Found {
    /// No store.
    Nothing,
    /// A database; whose, its header says.
    Database(Header),
    /// No database, but the log of one: commits whose database is gone.
    LogAlone,
}

/// The files of one store.
#[derive(Debug, Clone)]
pub(crate) struct Files {
    folder: PathBuf,
}

impl Files {
    pub(crate) fn in_folder(folder: &Path) -> Self {
        Self { folder: folder.to_owned() }
    }

    pub(crate) fn database(&self) -> PathBuf {
        self.folder.join(DATABASE)
    }

    /// Looks, without changing anything.
    pub(crate) fn find(&self) -> io::Result<Found> {
        let mut head = Vec::with_capacity(HEADER_BYTES);
        match File::open(self.database()) {
            Ok(file) => {
                file.take(HEADER_BYTES as u64).read_to_end(&mut head)?;
                Ok(Found::Database(Header::of(&head)))
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let log = self.folder.join(format!("{DATABASE}-wal"));
                Ok(if log.try_exists()? { Found::LogAlone } else { Found::Nothing })
            }
            Err(error) => Err(error),
        }
    }

    /// Makes an empty private file for a store to be made in, in place of one that was never finished.
    pub(crate) fn begin(&self) -> io::Result<PathBuf> {
        create_private_folder(&self.folder)?;
        let path = self.folder.join(UNFINISHED);
        for suffix in COMPANIONS.into_iter().chain([""]) {
            match fs::remove_file(self.folder.join(format!("{UNFINISHED}{suffix}"))) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                Ok(()) | Err(_) => {}
            }
        }
        OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path)?;
        Ok(path)
    }

    /// Gives the finished store its name, durably.
    pub(crate) fn finish(&self, path: &Path) -> io::Result<()> {
        File::open(path)?.sync_all()?;
        fs::rename(path, self.database())?;
        sync_folder(&self.folder)?;
        self.folder.parent().map_or(Ok(()), sync_folder)
    }

    /// Folder of what was set aside; made if it is missing.
    pub(crate) fn quarantine_folder(&self) -> io::Result<PathBuf> {
        let folder = self.folder.join(QUARANTINE);
        create_private_folder(&folder)?;
        Ok(folder)
    }

    /// The database within a folder that [`Self::set_aside`] made.
    pub(crate) fn database_in(folder: &Path) -> PathBuf {
        folder.join(DATABASE)
    }

    /// The log beside the database.
    pub(crate) fn log(&self) -> PathBuf {
        self.folder.join(format!("{DATABASE}-wal"))
    }

    /// Moves the database and what belongs to it into a folder of its own, durably; says where. `name` must
    /// be new. Cut short, it leaves a log alone, which the next start sets aside in turn.
    pub(crate) fn set_aside(&self, name: &str) -> io::Result<PathBuf> {
        let quarantine = self.folder.join(QUARANTINE);
        let to = quarantine.join(name);
        create_private_folder(&to)?;
        for suffix in ["", "-wal", "-shm", "-journal"] {
            let file = format!("{DATABASE}{suffix}");
            match fs::rename(self.folder.join(&file), to.join(&file)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                Ok(()) | Err(_) => {}
            }
        }
        for folder in [&to, &quarantine, &self.folder] {
            sync_folder(folder)?;
        }
        Ok(to)
    }
}

fn sync_folder(folder: &Path) -> io::Result<()> {
    // A relative path of one part has the empty path as its parent.
    let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
    File::open(folder)?.sync_all()
}
