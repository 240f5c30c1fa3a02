//! One change of the store at a time, whoever makes it.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read as _, Seek as _, Write as _};
use std::path::Path;
use std::time::{Duration, Instant};

use super::ModelStoreError;

/// Its name within the folder of all models.
const LOCK: &str = "store.lock";
/// How long another's change is waited for.
const PATIENCE: Duration = Duration::from_secs(5);
/// How often it is tried.
const STEP: Duration = Duration::from_millis(50);

/// The right to change the store, until it is dropped or the process ends, however it ends.
#[derive(Debug)]
pub struct StoreLock {
    _file: File,
}

impl StoreLock {
    /// Takes it, waiting for whoever has it.
    pub(super) fn take(root: &Path) -> Result<Self, ModelStoreError> {
        let path = root.join(LOCK);
        let io = |source| ModelStoreError::io(&path, source);
        let mut file =
            OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&path).map_err(io)?;
        let until = Instant::now() + PATIENCE;
        loop {
            match file.try_lock() {
                Ok(()) => break,
                Err(TryLockError::WouldBlock) if Instant::now() < until => std::thread::park_timeout(STEP),
                Err(TryLockError::WouldBlock) => {
                    let mut text = String::new();
                    // Without its content the message only lacks the number.
                    drop(file.read_to_string(&mut text));
                    return Err(ModelStoreError::Busy { pid: text.trim().parse().ok() });
                }
                Err(TryLockError::Error(source)) => return Err(io(source)),
            }
        }
        let write = |file: &mut File| -> std::io::Result<()> {
            file.set_len(0)?;
            file.rewind()?;
            writeln!(file, "{}", std::process::id())
        };
        // For the message alone: a full disk does not keep a rollback from its work.
        drop(write(&mut file));
        Ok(Self { _file: file })
    }
}
