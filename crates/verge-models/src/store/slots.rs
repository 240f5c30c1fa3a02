//! Which version of a model is in use: `slots.json`, replaced as a whole.

use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Write as _};
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::package::open::sync_folder;

/// Its name.
pub const SLOTS: &str = "slots.json";
/// Where the next ones are written first.
const NEXT: &str = "slots.json.next";
/// The version that `file` of the configuration names, where a slot says so.
pub const FACTORY: &str = "factory";
/// A block that is given up where the disk is full, so that a rollback needs no free one.
const RESERVE: &str = "slots.reserve";
/// Bytes of it.
const RESERVED: usize = 8 * 1024;
/// Slots are a page of text.
const MAX_BYTES: u64 = 64 * 1024;
/// Versions that are remembered as not to be taken again.
const MAX_REFUSED: usize = 64;

/// Which version is in use, and which were.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Slots {
    /// The version in use; that of the configuration where there is none.
    pub active: Option<String>,
    /// The one that a rollback returns to; [`FACTORY`] for that of the configuration.
    pub previous: Option<String>,
    /// The one that was pushed and not promoted yet.
    pub candidate: Option<String>,
    /// Where the candidate stands.
    pub stage: Option<String>,
    /// Share of the cameras that the candidate looks at.
    pub share: Option<u32>,
    /// When they were changed last, in ms since 1970.
    pub since: i64,
    /// Starts of the active version that have not been confirmed.
    pub starts: u32,
    /// The active version was found to be good.
    pub confirmed: bool,
    /// Counters below are refused; it never falls.
    pub floor: u64,
    /// Versions that were returned from.
    pub refused: Vec<String>,
}

/// Slots as they were found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Found {
    /// As they were written.
    Whole(Slots),
    /// There are none yet.
    None,
    /// They cannot be read.
    Damaged(String),
}

impl Slots {
    /// Reads those of a model's folder.
    #[must_use]
    pub fn read(folder: &Path) -> Found {
        let path = folder.join(SLOTS);
        let text = match std::fs::symlink_metadata(&path) {
            Ok(found) if !found.is_file() => return Found::Damaged("it is no file".to_owned()),
            Ok(found) if found.len() > MAX_BYTES => {
                return Found::Damaged(format!("it has {} bytes", found.len()));
            }
            Ok(_) => std::fs::read(&path),
            Err(error) => Err(error),
        };
        match text {
            Ok(text) => serde_json::from_slice(&text)
                .map_or_else(|error| Found::Damaged(error.to_string()), Found::Whole),
            Err(error) if error.kind() == ErrorKind::NotFound => Found::None,
            Err(error) => Found::Damaged(error.to_string()),
        }
    }

    /// Puts them in place of those that are there. Power that is lost meanwhile leaves the old ones or these.
    ///
    /// # Errors
    /// They cannot be written; the old ones are in place.
    pub fn write(&self, folder: &Path) -> std::io::Result<()> {
        let next = folder.join(NEXT);
        let text = serde_json::to_vec_pretty(self)?;
        let write = || -> std::io::Result<()> {
            let mut file: File = OpenOptions::new().write(true).create(true).truncate(true).open(&next)?;
            file.write_all(&text)?;
            file.sync_all()?;
            std::fs::rename(&next, folder.join(SLOTS))?;
            sync_folder(folder)
        };
        let reserve = folder.join(RESERVE);
        let written = write().or_else(|error| {
            let is_full = matches!(error.kind(), ErrorKind::StorageFull | ErrorKind::QuotaExceeded);
            if !is_full || std::fs::remove_file(&reserve).is_err() {
                return Err(error);
            }
            write()
        });
        written.inspect_err(|_| drop(std::fs::remove_file(&next)))?;
        let is_whole = reserve.metadata().is_ok_and(|found| found.len() == RESERVED as u64);
        if !is_whole && std::fs::write(&reserve, [0; RESERVED]).is_err() {
            // Where there is no room now, the next change needs some.
            drop(std::fs::remove_file(&reserve));
        }
        Ok(())
    }

    /// Those in which the candidate is in use.
    #[must_use]
    pub fn promoted(&self, counter: u64, now: i64) -> Self {
        let Some(candidate) = self.candidate.clone() else { return self.clone() };
        Self {
            previous: Some(self.active.clone().unwrap_or_else(|| FACTORY.to_owned())),
            active: Some(candidate),
            candidate: None,
            stage: None,
            share: None,
            since: now,
            starts: 0,
            // A person decided.
            confirmed: true,
            floor: self.floor.max(counter),
            refused: self.refused.clone(),
        }
    }

    /// Those in which the version before is in use again; nothing where there is none to return to.
    #[must_use]
    pub fn rolled_back(&self, now: i64) -> Option<Self> {
        let previous = self.previous.clone()?;
        let mut refused = self.refused.clone();
        refused.extend(self.active.clone().filter(|active| !self.refused.contains(active)));
        let beyond = refused.len().saturating_sub(MAX_REFUSED);
        refused.drain(..beyond);
        let active = Some(previous).filter(|previous| previous != FACTORY);
        Some(Self { active, previous: None, since: now, starts: 0, confirmed: true, refused, ..self.clone() })
    }

    /// Whether a version is in one of the slots.
    #[must_use]
    pub fn hold(&self, id: &str) -> bool {
        [&self.active, &self.previous, &self.candidate].into_iter().flatten().any(|slot| slot == id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_move_through_the_slots_and_back() {
        let pushed =
            Slots { candidate: Some("1-a".to_owned()), stage: Some("staged".to_owned()), ..Slots::default() };
        let first = pushed.promoted(1, 10);
        assert_eq!((first.active.as_deref(), first.previous.as_deref()), (Some("1-a"), Some(FACTORY)));
        let second = Slots { candidate: Some("2-b".to_owned()), ..first }.promoted(2, 20);
        assert_eq!((second.active.as_deref(), second.previous.as_deref()), (Some("2-b"), Some("1-a")));
        assert_eq!(second.promoted(9, 30), second, "nothing to promote");
        let back = second.rolled_back(30).unwrap();
        assert_eq!(
            (back.active.as_deref(), back.floor, &back.refused[..]),
            (Some("1-a"), 2, &["2-b".to_owned()][..])
        );
        assert_eq!(back.rolled_back(40), None, "once is enough");
        let to_factory = pushed.promoted(1, 10).rolled_back(20).unwrap();
        assert_eq!((to_factory.active, to_factory.previous), (None, None));
    }

    #[test]
    fn slots_that_cannot_be_read_are_damaged_and_never_a_panic() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path();
        assert_eq!(Slots::read(path), Found::None);
        let slots = Slots { active: Some("1-a".to_owned()), floor: 7, ..Slots::default() };
        slots.write(path).unwrap();
        assert_eq!(Slots::read(path), Found::Whole(slots));
        let text = std::fs::read(path.join(SLOTS)).unwrap();
        for end in 0..text.len() - 1 {
            std::fs::write(path.join(SLOTS), &text[..end]).unwrap();
            assert!(matches!(Slots::read(path), Found::Damaged(_)), "{end} bytes");
        }
    }
}
