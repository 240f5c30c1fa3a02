//! One gateway per state folder.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use crate::files::create_private_folder;
use crate::place::is_displaced;

/// Name of the lock within the state folder.
const LOCK_FILE: &str = "gateway.lock";

/// Why the state folder cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// Another gateway runs on it.
    #[error("another gateway ({}) holds {}", pid.map_or_else(|| "pid unknown".to_owned(), |pid| format!("pid {pid}")), path.display())]
    Held {
        /// The process that holds it, if it has said so.
        pid: Option<u32>,
        /// The lock.
        path: PathBuf,
    },
    /// The folder or the lock in it cannot be made.
    #[error("cannot lock {}: the folder must be there or makeable, and writable by this user", path.display())]
    Io {
        /// What cannot be made.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
}

/// The right to be the gateway of a state folder, until it is dropped or the process ends, however it ends.
#[derive(Debug)]
pub struct StateLock {
    /// The lock is the system's, on this handle; the file's content only serves the message.
    file: File,
    path: PathBuf,
}

impl StateLock {
    /// Takes the lock of a state folder, which is created (0700) if it is missing.
    ///
    /// # Errors
    /// Another gateway holds it, or the folder cannot be written.
    pub fn take(state_dir: &Path) -> Result<Self, LockError> {
        let path = state_dir.join(LOCK_FILE);
        let io = |source| LockError::Io { path: path.clone(), source };
        create_private_folder(state_dir).map_err(io)?;
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(&path)
            .map_err(io)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let mut text = String::new();
                // Without its content the message only lacks the number.
                let pid = file.read_to_string(&mut text).ok().and_then(|_| text.trim().parse().ok());
                return Err(LockError::Held { pid, path });
            }
            Err(TryLockError::Error(source)) => return Err(io(source)),
        }
        write_pid(&mut file).map_err(io)?;
        Ok(Self { file, path })
    }
}

/// The file that locks is not under its name any more: another gateway could take the folder.
#[derive(Debug, thiserror::Error)]
#[error("{} was deleted, moved or replaced: the state folder is not locked any more", path.display())]
pub struct LockLost {
    path: PathBuf,
}

impl StateLock {
    /// Whether the lock still keeps others away.
    ///
    /// # Errors
    /// Its file was deleted, moved or replaced.
    pub fn holds(&self) -> Result<(), LockLost> {
        if is_displaced(&self.file, &self.path) { Err(LockLost { path: self.path.clone() }) } else { Ok(()) }
    }
}

fn write_pid(file: &mut File) -> io::Result<()> {
    file.set_len(0)?;
    file.rewind()?;
    writeln!(file, "{}", std::process::id())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_gateway_is_refused_until_the_first_ends() {
        let folder = tempfile::tempdir().unwrap();
        let state = folder.path().join("not/yet/there");
        let first = StateLock::take(&state).unwrap();
        let refused = StateLock::take(&state).unwrap_err();
        let expected = format!("another gateway (pid {}) holds {}", std::process::id(), state.display());
        assert!(refused.to_string().starts_with(&expected), "{refused}");
        drop(first);
        let again = StateLock::take(&state).unwrap();
        assert!(again.holds().is_ok());
        std::fs::remove_file(state.join(LOCK_FILE)).unwrap();
        assert!(again.holds().is_err());
        let other = StateLock::take(&state).unwrap();
        assert!(again.holds().is_err() && other.holds().is_ok());
        drop((again, other));
        std::fs::write(state.join(LOCK_FILE), "4294967295 and much that an older holder left").unwrap();
        let after_garbage = StateLock::take(&state).unwrap();
        let refused = StateLock::take(&state).unwrap_err();
        assert!(refused.to_string().starts_with(&expected), "{refused}");
        drop(after_garbage);
    }

    #[test]
    fn a_folder_that_cannot_be_made_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let in_the_way = folder.path().join("file");
        std::fs::write(&in_the_way, "").unwrap();
        let refused = StateLock::take(&in_the_way).unwrap_err();
        assert!(matches!(&refused, LockError::Io { path, .. } if path.starts_with(&in_the_way)), "{refused}");
    }
}
