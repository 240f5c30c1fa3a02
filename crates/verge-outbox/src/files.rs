//! The store's files: where they lie, how they are made, how they are set aside.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rusqlite::ffi::SQLITE_IOERR_WRITE;

use crate::schema::{self, FileHeader, HEADER_BYTES};

/// Name of the database in the store's folder.
const DATABASE: &str = "outbox.db";
/// A store being made; it gets its name when it is complete, so half of one is never found.
const UNFINISHED: &str = "outbox.new";
/// A complete store that takes the place of the damaged one.
const SALVAGED: &str = "outbox.salvaged";
/// How far the numbers had come, see [`crate::guard`].
const GUARD: &str = "outbox.guard";
/// Written and removed at once, to see whether there is room.
const PROBE: &str = "outbox.probe";
/// The same before it takes the other's place.
const NEW_GUARD: &str = "outbox.guard-new";
/// Folder of what was set aside.
const QUARANTINE: &str = "quarantine";
/// Files that SQLite keeps beside a database.
const COMPANIONS: [&str; 3] = ["-wal", "-shm", "-journal"];

/// Whether it failed for want of room, on the disk or in a quota.
pub(crate) fn lacks_room(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

/// Creates a folder, and those above it, for the owner alone; one that exists is left as it is.
pub(crate) fn create_private_folder(path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(path)
}

/// What lies in the store's folder.
#[derive(Debug)]
pub(crate) enum FolderContents {
    /// No store.
    Nothing,
    /// A database; whose, its header says.
    Database(FileHeader),
    /// No database, but the log of one: commits whose database is missing.
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
    pub(crate) fn find(&self) -> io::Result<FolderContents> {
        match header_of(&self.database())? {
            Some(header) => Ok(FolderContents::Database(header)),
            None => {
                Ok(if self.log().try_exists()? { FolderContents::LogAlone } else { FolderContents::Nothing })
            }
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

    /// The finished store takes the place of the damaged one, which is kept under this name, durably; says where.
    /// Cut short after the first renaming, [`Self::resume`] does the rest: at no moment is there neither of them.
    pub(crate) fn replace(&self, path: &Path, name: &str) -> io::Result<PathBuf> {
        File::open(path)?.sync_all()?;
        fs::rename(path, self.folder.join(SALVAGED))?;
        sync_folder(&self.folder)?;
        let to = self.set_aside(name)?;
        fs::rename(self.folder.join(SALVAGED), self.database())?;
        sync_folder(&self.folder)?;
        Ok(to)
    }

    /// Completes a replacement that was cut short. Says whether there was one.
    pub(crate) fn resume(&self, name: &str) -> io::Result<bool> {
        let salvaged = self.folder.join(SALVAGED);
        let Some(header) = header_of(&salvaged)? else { return Ok(false) };
        if !matches!(header, FileHeader::Ours { version } if version <= schema::SCHEMA_VERSION) {
            return move_away(&salvaged, name).map(|()| false);
        }
        // The old log must be removed before the new database can be taken for its own.
        self.set_aside(name)?;
        fs::rename(salvaged, self.database())?;
        sync_folder(&self.folder)?;
        Ok(true)
    }

    /// Moves what bears a name that a file of the store needs, and cannot be one, out of the way.
    pub(crate) fn clear_names(&self, name: &str) -> io::Result<()> {
        let beside = COMPANIONS.map(|suffix| format!("{DATABASE}{suffix}"));
        let unfinished = COMPANIONS.map(|suffix| format!("{UNFINISHED}{suffix}"));
        let names = beside.iter().chain(&unfinished).map(String::as_str);
        for needed in names.chain([UNFINISHED, GUARD, NEW_GUARD]) {
            let path = self.folder.join(needed);
            match fs::symlink_metadata(&path) {
                Ok(about) if !about.is_file() => move_away(&path, name)?,
                Err(error)
                    if !matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) =>
                {
                    return Err(error);
                }
                Ok(_) | Err(_) => {}
            }
        }
        Ok(())
    }

    /// Whether a write failed because a quota is used up: SQLite knows only the disk that is full. Tries to write.
    pub(crate) fn is_beyond_quota(&self, error: &rusqlite::Error) -> bool {
        const PROBE_BYTES: usize = 64 << 10;
        if error.sqlite_error().is_none_or(|it| it.extended_code != SQLITE_IOERR_WRITE) {
            return false;
        }
        let path = self.folder.join(PROBE);
        let probed = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&path)
            .and_then(|mut file| file.write_all(&[0; PROBE_BYTES]).and_then(|()| file.sync_all()));
        // What was made of it would only be in the way.
        drop(fs::remove_file(&path));
        probed.is_err_and(|error| lacks_room(&error))
    }

    pub(crate) fn guard(&self) -> PathBuf {
        self.folder.join(GUARD)
    }

    /// Writes what is the same in every store's header where it was overwritten or is missing, so that SQLite reads
    /// what is behind it. What stood there is kept in the quarantine.
    pub(crate) fn restore_header(&self, page_bytes: u32, version: u32, name: &str) -> io::Result<()> {
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(self.database())?;
        let mut head = Vec::with_capacity(HEADER_BYTES);
        (&file).take(HEADER_BYTES as u64).read_to_end(&mut head)?;
        let mut kept = File::create(self.remains()?.join(format!("{name}-header")))?;
        kept.write_all(&head)?;
        kept.sync_all()?;
        head.resize(HEADER_BYTES, 0);
        schema::restore_header(&mut head, page_bytes, version);
        file.write_all_at(&head, 0)?;
        if file.metadata()?.len() < u64::from(page_bytes) {
            file.set_len(page_bytes.into())?;
        }
        file.sync_all()
    }

    pub(crate) fn new_guard(&self) -> PathBuf {
        self.folder.join(NEW_GUARD)
    }

    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    /// Makes the folder of what is set aside under this name: within the quarantine, or beside it where something else
    /// bears that name or nothing can be made in it.
    pub(crate) fn quarantine(&self, name: &str) -> io::Result<PathBuf> {
        self.make_folder(&Path::new(QUARANTINE).join(name), &format!("{QUARANTINE}-{name}"))
    }

    /// The quarantine itself, for single remains.
    pub(crate) fn remains(&self) -> io::Result<PathBuf> {
        self.make_folder(Path::new(QUARANTINE), &format!("{QUARANTINE}-remains"))
    }

    fn make_folder(&self, wanted: &Path, otherwise: &str) -> io::Result<PathBuf> {
        let wanted = self.folder.join(wanted);
        if create_private_folder(&wanted).is_ok() {
            return Ok(wanted);
        }
        let otherwise = self.folder.join(otherwise);
        create_private_folder(&otherwise)?;
        Ok(otherwise)
    }

    /// The log beside the database.
    pub(crate) fn log(&self) -> PathBuf {
        self.folder.join(format!("{DATABASE}-wal"))
    }

    /// Databases of ours in the folder and in quarantine, whatever their names.
    pub(crate) fn stores(&self) -> io::Result<Vec<PathBuf>> {
        let mut folders = vec![self.folder.clone()];
        let quarantine = self.folder.join(QUARANTINE);
        if quarantine.try_exists()? {
            for entry in fs::read_dir(&quarantine)? {
                folders.push(entry?.path());
            }
        }
        let mut stores = Vec::new();
        for folder in folders.iter().filter(|folder| folder.is_dir()) {
            for entry in fs::read_dir(folder)? {
                let path = entry?.path();
                let mut head = Vec::with_capacity(HEADER_BYTES);
                if path.is_file() && fs::metadata(&path)?.len() > 0 {
                    File::open(&path)?.take(HEADER_BYTES as u64).read_to_end(&mut head)?;
                    // A damaged one that was set aside is recognised by its name.
                    let ours = matches!(FileHeader::of(&head), FileHeader::Ours { .. });
                    if ours || folder.starts_with(&quarantine) && path.ends_with(DATABASE) {
                        stores.push(path);
                    }
                }
            }
        }
        Ok(stores)
    }

    /// Moves the database and what belongs to it into a folder of its own, durably.
    fn set_aside(&self, name: &str) -> io::Result<PathBuf> {
        let to = self.quarantine(name)?;
        let companions = ["", "-wal", "-shm", "-journal"].map(|suffix| format!("{DATABASE}{suffix}"));
        for file in companions.iter().map(String::as_str).chain([GUARD]) {
            match fs::rename(self.folder.join(file), to.join(file)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                Ok(()) | Err(_) => {}
            }
        }
        for folder in [Some(to.as_path()), to.parent(), Some(&self.folder)].into_iter().flatten() {
            sync_folder(folder)?;
        }
        Ok(to)
    }
}

/// What a file's first bytes say it is; `None` if there is none.
fn header_of(path: &Path) -> io::Result<Option<FileHeader>> {
    let mut head = Vec::with_capacity(HEADER_BYTES);
    match File::open(path).and_then(|file| file.take(HEADER_BYTES as u64).read_to_end(&mut head)) {
        Ok(_) => Ok(Some(FileHeader::of(&head))),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) if error.kind() == io::ErrorKind::IsADirectory => {
            Ok(Some(FileHeader::Foreign { application: None }))
        }
        Err(error) => Err(error),
    }
}

/// Gives something another name beside its own.
fn move_away(path: &Path, name: &str) -> io::Result<()> {
    let mut other = path.as_os_str().to_owned();
    other.push(format!("-{name}"));
    tracing::error!(
        path = %path.display(), moved_to = %Path::new(&other).display(),
        "something that is no file of the store bears the name of one, and was moved"
    );
    fs::rename(path, other)
}

fn sync_folder(folder: &Path) -> io::Result<()> {
    // A relative path of one part has the empty path as its parent.
    let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
    File::open(folder)?.sync_all()
}
