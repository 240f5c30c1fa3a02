//! Stored versions of managed models, and which of them is in use.
//!
//! `STATE/models/NAME/<counter>-<hash>/` holds a version and never changes once it has that name; `slots.json` beside it says
//! which is in use. Every step may be done twice, and power may be lost within any: `docs/lifecycle.md` has the table.
//!
//! Reading order: [`ModelStore`], [`slots`], [`version`] (a stored version and whether it is whole), [`lock`].

mod arrivals;
mod error;
pub mod lock;
pub mod slots;
pub mod version;

use std::fs;
use std::io::{self, ErrorKind, Read as _, Write as _};
use std::path::{Path, PathBuf};

use arrivals::is_on_its_way;
pub use arrivals::{INCOMING, INCOMING_KEPT, offer_of};
pub use error::ModelStoreError;
use jiff::Timestamp;
pub use lock::StoreLock;
pub use slots::{FACTORY, Found, STAGED, Slots};
use verge_engine::ContentDigest;
pub use version::StoredVersion;

use crate::package::open::{digest_of, sync_folder};
use crate::package::{EARLIEST, OpenLimits, Package, PackageError, TrustedKey, is_flat};

/// The folder of all models within that of the gateway's state.
pub const FOLDER: &str = "models";
/// What is accepted, and how much is kept.
#[derive(Debug, Clone)]
pub struct StoreRules {
    /// Keys that packages are believed by.
    pub trust: Vec<TrustedKey>,
    /// Packages without a signature are taken, too.
    pub unsigned: bool,
    /// Bytes of all models together.
    pub cap: u64,
    /// Versions of a model that are kept beside those in its slots.
    pub keep: usize,
    /// Bytes of one file.
    pub max_file_bytes: u64,
}

/// The stored versions of one model.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModelStore {
    root: PathBuf,
    name: String,
}

/// What came of a push.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pushed {
    /// The version.
    pub id: String,
    /// It was there already.
    pub known: bool,
}

impl ModelStore {
    /// That of a model of this name; `None` where the name is no name of a folder.
    #[must_use]
    pub fn of(state_dir: &Path, name: &str) -> Option<Self> {
        let is_free = name != INCOMING && is_flat(name);
        is_free.then(|| Self { root: state_dir.join(FOLDER), name: name.to_owned() })
    }

    /// The model.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its folder.
    #[must_use]
    pub fn folder(&self) -> PathBuf {
        self.root.join(&self.name)
    }

    /// The right to change it; its folders are made where they are missing.
    ///
    /// # Errors
    /// [`ModelStoreError::Busy`], [`ModelStoreError::Io`].
    pub fn lock(&self) -> Result<StoreLock, ModelStoreError> {
        for folder in [self.root.clone(), self.root.join(INCOMING), self.folder()] {
            make_folder(&folder).map_err(|error| ModelStoreError::io(&folder, error))?;
        }
        StoreLock::take(&self.root)
    }

    /// A version of this name.
    #[must_use]
    pub fn version(&self, id: &str) -> StoredVersion {
        StoredVersion::of(&self.folder(), id)
    }

    /// When its slots were changed last; nothing where there are none.
    #[must_use]
    pub fn changed(&self) -> Option<std::time::SystemTime> {
        self.folder().join(slots::SLOTS).metadata().and_then(|found| found.modified()).ok()
    }

    /// The slots; where they are damaged, those that are restored, and why.
    ///
    /// # Errors
    /// [`ModelStoreError::Io`]: what they say is not known.
    pub fn read_slots(&self) -> Result<(Slots, Option<String>), ModelStoreError> {
        match Slots::read(&self.folder()) {
            Found::Whole(slots) => Ok((slots, None)),
            Found::None => Ok((Slots::default(), None)),
            Found::Damaged(why) => Ok((self.restored(), Some(why))),
            Found::Unreadable(error) => Err(ModelStoreError::io(&self.folder().join(slots::SLOTS), error)),
        }
    }

    /// The same for those who only read: where they cannot be read, what is best to use meanwhile.
    #[must_use]
    pub fn slots(&self) -> (Slots, Option<String>) {
        self.read_slots().unwrap_or_else(|error| (self.restored(), Some(error.to_string())))
    }

    /// Slots in place of damaged ones: those of the last change, else the newest whole version that is not newer than the one
    /// that was in use. A newer one was rolled back, or nobody has promoted it.
    fn restored(&self) -> Slots {
        if let Some(last) = Slots::read_last(&self.folder()) {
            return last;
        }
        let versions = self.versions();
        let most = Slots::remnant(&self.folder()).unwrap_or(Some(u64::MAX));
        let is_old_enough = |version: &&StoredVersion| most.is_some_and(|most| version.counter() <= most);
        let mut candidates = versions.iter().rev().filter(is_old_enough);
        let active = candidates.find(|version| version.fault().is_none()).map(|version| version.id.clone());
        // The highest counter that was ever here, so that no replay gets in by damage.
        let floor = versions.iter().map(StoredVersion::counter).max().unwrap_or(0);
        Slots { active, confirmed: true, floor, ..Slots::default() }
    }

    /// Puts slots in place.
    ///
    /// # Errors
    /// [`ModelStoreError::Io`]
    pub fn switch(&self, _: &StoreLock, slots: &Slots) -> Result<(), ModelStoreError> {
        slots.write(&self.folder()).map_err(|error| ModelStoreError::io(&self.folder(), error))
    }

    /// All stored versions, in order of their counters.
    #[must_use]
    pub fn versions(&self) -> Vec<StoredVersion> {
        let entries = fs::read_dir(self.folder()).into_iter().flatten().flatten();
        let ids = entries.filter_map(|entry| entry.file_name().into_string().ok());
        let mut found: Vec<StoredVersion> =
            ids.filter(|id| version::counter_of(id).is_some()).map(|id| self.version(&id)).collect();
        found.sort_by(|a, b| (a.counter(), &a.id).cmp(&(b.counter(), &b.id)));
        found
    }

    /// Takes a package in, tries it, and makes it the candidate. Done twice it does no harm. `manifest`: what its manifest held
    /// when it was decided to push it to this model. `factory`: the weights of the configuration, which a package may say the
    /// changes of, like those of any stored version.
    ///
    /// # Errors
    /// See [`ModelStoreError`]; no slot has changed then.
    pub fn push(
        &self,
        lock: &StoreLock,
        path: &Path,
        rules: &StoreRules,
        manifest: ContentDigest,
        factory: Option<&Path>,
        probe: &mut dyn FnMut(&Path) -> Result<(), String>,
    ) -> Result<Pushed, ModelStoreError> {
        self.sweep(lock);
        let part = self.receive(path, rules)?;
        let result = self.take_in(path, &part, rules, manifest, factory, probe);
        // What is left of it is of no use to anyone.
        self.sweep(lock);
        let pushed = result?;
        let (mut slots, _) = self.read_slots()?;
        if !slots.hold(&pushed.id) {
            if slots.trial().is_some() {
                // They were those of the candidate before.
                slots.starts = 0;
            }
            slots.candidate = Some(pushed.id.clone());
            slots.stage = Some(STAGED.to_owned());
            (slots.share, slots.needs, slots.agreement) = (None, None, None);
            self.switch(lock, &slots)?;
        }
        self.drop_old(&slots, rules.keep);
        Ok(pushed)
    }

    /// Copies a package, so that what is checked is what is unpacked.
    fn receive(&self, path: &Path, rules: &StoreRules) -> Result<PathBuf, ModelStoreError> {
        let from = |source| PackageError::Io { path: path.to_owned(), source };
        let mut file = fs::File::open(path).map_err(from)?;
        let bytes = file.metadata().map_err(from)?.len();
        // The copy and what is unpacked of it.
        let needed = bytes_of(&self.root).saturating_add(bytes.saturating_mul(2));
        if needed > rules.cap {
            return Err(ModelStoreError::Cap { needed, cap: rules.cap });
        }
        // One name is enough: whoever holds the lock is alone.
        let part = self.root.join(INCOMING).join("package.part");
        let to = |source| ModelStoreError::io(&part, source);
        remove(&part).map_err(to)?;
        let mut copy = fs::OpenOptions::new().write(true).create_new(true).open(&part).map_err(to)?;
        let mut buffer = vec![0; 1 << 16];
        let mut left = bytes;
        let result = loop {
            match file.read(&mut buffer) {
                Ok(0) => break copy.sync_all().map_err(to),
                Ok(count) if count as u64 > left => {
                    break Err(to(io::Error::other("it grows while it is read")));
                }
                Ok(count) => {
                    left -= count as u64;
                    if let Err(error) = copy.write_all(&buffer[..count]) {
                        break Err(to(error));
                    }
                }
                Err(error) => break Err(from(error).into()),
            }
        };
        let result = result.and_then(|()| {
            let folder = self.root.join(INCOMING);
            sync_folder(&folder).map_err(|error| ModelStoreError::io(&folder, error))
        });
        result.inspect_err(|_| drop(fs::remove_file(&part)))?;
        Ok(part)
    }

    fn take_in(
        &self,
        path: &Path,
        part: &Path,
        rules: &StoreRules,
        manifest: ContentDigest,
        factory: Option<&Path>,
        probe: &mut dyn FnMut(&Path) -> Result<(), String>,
    ) -> Result<Pushed, ModelStoreError> {
        let (slots, _) = self.read_slots()?;
        let limits = OpenLimits {
            max_file_bytes: rules.max_file_bytes,
            trust: &rules.trust,
            unsigned: rules.unsigned,
            now: now(slots.since),
        };
        let mut package = Package::open(part, limits).map_err(|error| renamed(error, path))?;
        let lie = |why: String| PackageError::Lie { path: path.to_owned(), why };
        if ContentDigest::of(&package.manifest_bytes) != manifest {
            return Err(lie("it changed while it was read: push it again".to_owned()).into());
        }
        let (id, counter) = (package.id(), package.manifest.counter);
        if slots.refused.contains(&id) {
            return Err(ModelStoreError::Refused { path: path.to_owned(), id });
        }
        // A version in a slot may be damaged, and is repaired by its own package.
        if counter < slots.floor && !slots.hold(&id) {
            return Err(ModelStoreError::Replay { path: path.to_owned(), counter, floor: slots.floor });
        }
        let known = self.version(&id);
        if known.fault().is_none() {
            return Ok(Pushed { id, known: true });
        }
        let other = self.versions().into_iter().find(|other| other.counter() == counter && other.id != id);
        if let Some(other) = other {
            return Err(ModelStoreError::Taken { path: path.to_owned(), counter, other: other.id });
        }
        let needed = bytes_of(&self.root).saturating_add(package.manifest.bytes());
        if needed > rules.cap {
            return Err(ModelStoreError::Cap { needed, cap: rules.cap });
        }
        let folder = self.root.join(INCOMING).join(&id);
        remove(&folder).map_err(|error| ModelStoreError::io(&folder, error))?;
        let base = |sha256: &str| self.weights_of(sha256, factory);
        package.unpack(&folder, &base).map_err(|error| match error {
            // Of the store's own files, not of the package.
            PackageError::Io { path, source } => ModelStoreError::Io { path, source },
            error => renamed(error, path).into(),
        })?;
        version::names_its_own(&folder, &package.manifest).map_err(lie)?;
        probe(&folder.join(&package.manifest.card)).map_err(|reason| ModelStoreError::Probe { reason })?;
        let at = self.folder().join(&id);
        let place = || -> io::Result<()> {
            sync_folder(&self.root.join(INCOMING))?;
            // A damaged version of the same name makes room.
            remove(&at)?;
            fs::rename(&folder, &at)?;
            sync_folder(&self.folder())?;
            sync_folder(&self.root.join(INCOMING))
        };
        place().map_err(|error| ModelStoreError::io(&at, error))?;
        Ok(Pushed { id, known: false })
    }

    /// Weights by their SHA-256, of a stored version or of the configuration.
    #[must_use]
    pub fn weights_of(&self, sha256: &str, factory: Option<&Path>) -> Option<PathBuf> {
        let is_it = |path: &Path| digest_of(path).is_ok_and(|found| found.eq_ignore_ascii_case(sha256));
        let stored = self.versions().into_iter().find_map(|version| {
            let manifest = version.manifest().ok()?;
            let file = manifest.files.iter().find(|file| file.sha256.eq_ignore_ascii_case(sha256))?;
            // One that is damaged by now is no base.
            Some(version.folder.join(&file.name)).filter(|path| is_it(path))
        });
        stored.or_else(|| factory.filter(|path| is_it(path)).map(Path::to_owned))
    }

    /// Removes what was received and unpacked and is not going to be used: the lock says that nobody else is at it. Packages on
    /// their way stay as long as their offer is there, which is the gateway's to give up; times of files say nothing.
    pub fn sweep(&self, _: &StoreLock) {
        let incoming = self.root.join(INCOMING);
        for entry in fs::read_dir(&incoming).into_iter().flatten().flatten() {
            if !is_on_its_way(&incoming, &entry) {
                drop(remove(&entry.path()));
            }
        }
    }

    /// Removes the oldest versions that are in no slot.
    fn drop_old(&self, slots: &Slots, keep: usize) {
        let free: Vec<StoredVersion> =
            self.versions().into_iter().filter(|version| !slots.hold(&version.id)).collect();
        let beyond = free.len().saturating_sub(keep);
        free.into_iter().take(beyond).for_each(|version| drop(remove(&version.folder)));
    }
}

/// The time as far as it is known: a clock that stands at 1970 makes nothing valid again.
#[must_use]
pub fn now(known: i64) -> Timestamp {
    let earliest = EARLIEST.parse().unwrap_or(Timestamp::UNIX_EPOCH);
    let known = Timestamp::from_millisecond(known).unwrap_or(earliest);
    Timestamp::now().max(earliest).max(known)
}

/// A package by the name that the user knows it by.
fn renamed(error: PackageError, to: &Path) -> PackageError {
    let path = to.to_owned();
    match error {
        PackageError::Io { source, .. } => PackageError::Io { path, source },
        PackageError::NotOne { why, .. } => PackageError::NotOne { path, why },
        PackageError::Lie { why, .. } => PackageError::Lie { path, why },
        PackageError::Untrusted { trusted, .. } => PackageError::Untrusted { path, trusted },
        PackageError::Expired { expires, .. } => PackageError::Expired { path, expires },
        PackageError::NoBase { base, .. } => PackageError::NoBase { path, base },
        PackageError::Delta { source, .. } => PackageError::Delta { path, source },
        PackageError::TooNew { needed, here, .. } => PackageError::TooNew { path, needed, here },
    }
}

fn make_folder(folder: &Path) -> io::Result<()> {
    match fs::symlink_metadata(folder) {
        Ok(found) if found.is_dir() => {}
        Ok(_) => return Err(io::Error::new(ErrorKind::NotADirectory, "it is no folder")),
        Err(error) if error.kind() == ErrorKind::NotFound => fs::create_dir_all(folder)?,
        Err(error) => return Err(error),
    }
    // Also where it is there: whoever made it may have been killed before this.
    folder.parent().map_or(Ok(()), sync_folder)
}

/// Removes a folder or file, if it is there.
fn remove(path: &Path) -> io::Result<()> {
    let result = match fs::symlink_metadata(path) {
        Ok(found) if found.is_dir() => fs::remove_dir_all(path),
        Ok(_) => fs::remove_file(path),
        Err(error) => Err(error),
    };
    result.or_else(|error| if error.kind() == ErrorKind::NotFound { Ok(()) } else { Err(error) })
}

/// Bytes of all files below a folder.
#[must_use]
pub fn bytes_of(folder: &Path) -> u64 {
    let of = |entry: fs::DirEntry| match entry.metadata() {
        Ok(found) if found.is_dir() => bytes_of(&entry.path()),
        Ok(found) => found.len(),
        Err(_) => 0,
    };
    fs::read_dir(folder).into_iter().flatten().flatten().map(of).sum()
}

#[cfg(test)]
mod tests;
