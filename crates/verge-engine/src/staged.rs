//! Files that are made beside their place and take its name at once, and folders for what is tried. Whatever a process that was
//! killed has left of them is removed by the next one that makes some in the same folder: each is locked while its maker lives.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

/// How names of them begin and end.
const BEGIN: &str = ".verge-";
const FILE_END: &str = ".part";
const FOLDER_END: &str = ".tried";
/// The file of a folder that is locked.
const LOCK: &str = "lock";
/// How often a name is looked for that nobody has.
const TRIES: u32 = 100;

/// A number for the next name.
static NEXT: AtomicU64 = AtomicU64::new(0);

/// A file that has not taken its name yet. Dropped before, it is removed.
#[derive(Debug)]
pub struct StagedFile {
    file: File,
    at: PathBuf,
    is_named: bool,
}

impl StagedFile {
    /// Makes one in the folder of `to`; what others left there is removed. Its mode is `mode`, as far as the umask allows.
    ///
    /// # Errors
    /// The folder takes no file.
    pub fn beside(to: &Path, mode: u32) -> io::Result<Self> {
        let folder = to.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        for _ in 0..TRIES {
            let at = folder.join(name(FILE_END));
            match OpenOptions::new().write(true).create_new(true).mode(mode).open(&at) {
                Ok(file) if is_kept(&file, &at) => {
                    sweep_files(folder, &file);
                    return Ok(Self { file, at, is_named: false });
                }
                // Somebody who sweeps has found it before it was locked.
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
                Err(error) => return Err(error),
            }
        }
        Err(ErrorKind::AlreadyExists.into())
    }

    /// What is written to.
    pub const fn file(&mut self) -> &mut File {
        &mut self.file
    }

    /// Gives it its name, in place of what has it. The name is durable once its folder is.
    ///
    /// # Errors
    /// The file cannot be renamed; it is removed.
    pub fn name(mut self, to: &Path) -> io::Result<()> {
        fs::rename(&self.at, to)?;
        self.is_named = true;
        Ok(())
    }
}

impl Drop for StagedFile {
    fn drop(&mut self) {
        if !self.is_named {
            // The next one sweeps it.
            drop(fs::remove_file(&self.at));
        }
    }
}

/// A folder among the temporary files, for this user alone. Dropped, it is removed with all that is in it.
#[derive(Debug)]
pub struct TrialFolder {
    at: PathBuf,
    _lock: File,
}

impl TrialFolder {
    /// Makes one; those that were left are removed.
    ///
    /// # Errors
    /// The folder for temporary files takes none.
    pub fn new() -> io::Result<Self> {
        Self::within(&std::env::temp_dir())
    }

    fn within(root: &Path) -> io::Result<Self> {
        for _ in 0..TRIES {
            let at = root.join(name(FOLDER_END));
            match fs::DirBuilder::new().mode(0o700).create(&at) {
                Ok(()) => {}
                Err(error) if error.kind() == ErrorKind::AlreadyExists => continue,
                Err(error) => return Err(error),
            }
            let path = at.join(LOCK);
            let lock = match OpenOptions::new().write(true).create_new(true).open(&path) {
                Ok(lock) => lock,
                // Somebody who sweeps has removed the folder.
                Err(error) if error.kind() == ErrorKind::NotFound => continue,
                Err(error) => {
                    drop(fs::remove_dir(&at));
                    return Err(error);
                }
            };
            if is_kept(&lock, &path) {
                sweep_folders(root, &lock);
                return Ok(Self { at, _lock: lock });
            }
        }
        Err(ErrorKind::AlreadyExists.into())
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.at
    }
}

impl Drop for TrialFolder {
    fn drop(&mut self) {
        // The next one sweeps it.
        drop(fs::remove_dir_all(&self.at));
    }
}

fn name(end: &str) -> String {
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    let nanos = std::time::SystemTime::UNIX_EPOCH.elapsed().map_or(0, |since| since.subsec_nanos());
    format!("{BEGIN}{}-{number}-{nanos:x}{end}", std::process::id())
}

/// Locks what was made, and says whether it is there still. Where the file system knows no locks it stays, and nobody sweeps it.
fn is_kept(file: &File, at: &Path) -> bool {
    drop(file.lock());
    let same = |of: fs::Metadata, other: fs::Metadata| (of.dev(), of.ino()) == (other.dev(), other.ino());
    file.metadata().is_ok_and(|own| at.symlink_metadata().is_ok_and(|there| same(own, there)))
}

/// A file of the user of `own` that nobody holds any more; it is held until the file is dropped.
fn left(path: &Path, own: &File) -> Option<File> {
    // Of others, also such as wait for a reader: the folder for temporary files takes files of everybody.
    let found = path.symlink_metadata().ok().filter(fs::Metadata::is_file)?;
    own.metadata().ok().filter(|own| own.uid() == found.uid())?;
    let file = OpenOptions::new().write(true).open(path).ok()?;
    match file.try_lock() {
        Ok(()) => Some(file),
        Err(TryLockError::WouldBlock | TryLockError::Error(_)) => None,
    }
}

/// Entries of a folder that are ours by their names; links are none.
fn ours(folder: &Path, end: &str, is_folder: bool) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let is_ours = |entry: &fs::DirEntry| {
        let name = entry.file_name();
        let is_named = name.to_str().is_some_and(|name| name.starts_with(BEGIN) && name.ends_with(end));
        let is_kind = |kind: fs::FileType| if is_folder { kind.is_dir() } else { kind.is_file() };
        is_named && entry.file_type().is_ok_and(is_kind)
    };
    entries.filter(is_ours).map(|entry| entry.path()).collect()
}

fn sweep_files(folder: &Path, own: &File) {
    for path in ours(folder, FILE_END, false) {
        if left(&path, own).is_some() {
            drop(fs::remove_file(&path));
        }
    }
}

fn sweep_folders(root: &Path, own: &File) {
    for path in ours(root, FOLDER_END, true) {
        let lock = path.join(LOCK);
        let held = left(&lock, own);
        // Without a lock it was begun or half removed; who has just begun it makes another.
        if held.is_some() || lock.try_exists().is_ok_and(|is_there| !is_there) {
            drop(fs::remove_dir_all(&path));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    fn listed(folder: &Path) -> Vec<String> {
        let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name());
        let mut names: Vec<String> = entries.map(|name| name.into_string().unwrap()).collect();
        names.sort();
        names
    }

    #[test]
    fn a_file_takes_its_name_or_is_removed() {
        let folder = tempfile::tempdir().unwrap();
        let to = folder.path().join("made");
        let mut one = StagedFile::beside(&to, 0o600).unwrap();
        one.file().write_all(b"one").unwrap();
        let other = StagedFile::beside(&to, 0o600).unwrap();
        assert_eq!(listed(folder.path()).len(), 2, "the first is not swept while it is made");
        one.name(&to).unwrap();
        drop(other);
        assert_eq!(
            (listed(folder.path()), fs::read(&to).unwrap()),
            (vec!["made".to_owned()], b"one".to_vec())
        );
        assert!(StagedFile::beside(&folder.path().join("none/made"), 0o600).is_err());
    }

    #[test]
    fn what_a_killed_process_left_is_swept_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        for name in [".verge-1-0-a.part", ".verge-1-0-b.part.kept", "verge-1.part", "a.part"] {
            fs::write(at(name), "left").unwrap();
        }
        std::os::unix::fs::symlink(at("a.part"), at(".verge-2-0-a.part")).unwrap();
        fs::create_dir(at(".verge-3-0-a.part")).unwrap();
        for (name, has_lock) in
            [(".verge-1-0-a.tried", true), (".verge-1-0-b.tried", false), ("verge-1.tried", true)]
        {
            fs::create_dir_all(at(name).join("deep")).unwrap();
            fs::write(at(name).join("deep/weights"), "left").unwrap();
            if has_lock {
                fs::write(at(name).join(LOCK), "").unwrap();
            }
        }
        drop(StagedFile::beside(&at("made"), 0o600).unwrap());
        let kept = TrialFolder::within(folder.path()).unwrap();
        fs::write(kept.path().join("weights"), "tried").unwrap();
        drop(TrialFolder::within(folder.path()).unwrap());
        assert!(kept.path().join("weights").is_file(), "it is in use");
        let (own, at_last) =
            (kept.path().file_name().unwrap().to_str().unwrap().to_owned(), listed(folder.path()));
        let mut expected = vec![
            ".verge-1-0-b.part.kept".to_owned(),
            ".verge-2-0-a.part".to_owned(),
            ".verge-3-0-a.part".to_owned(),
            "a.part".to_owned(),
            "verge-1.part".to_owned(),
            "verge-1.tried".to_owned(),
            own,
        ];
        expected.sort();
        assert_eq!(at_last, expected);
        drop(kept);
        assert_eq!(listed(folder.path()).len(), 6);
    }
}
