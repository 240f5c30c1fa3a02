//! Which version of a model is in use: `slots.json`, replaced as a whole.

use std::fs::OpenOptions;
use std::io::{self, ErrorKind, Write as _};
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::package::open::sync_folder;

/// Its name.
pub const SLOTS: &str = "slots.json";
/// Where the next ones are written first.
const NEXT: &str = "slots.json.next";
/// The same text again, for a flipped bit in the first.
const LAST: &str = "slots.json.last";
/// Where that is written first.
const LAST_NEXT: &str = "slots.json.last.next";
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
#[derive(Debug)]
pub enum Found {
    /// As they were written.
    Whole(Slots),
    /// There are none yet.
    None,
    /// They are there, and are no slots.
    Damaged(String),
    /// What they say is not known: it may well be whole, so nothing is written in its place.
    Unreadable(io::Error),
}

impl Slots {
    /// Reads those of a model's folder.
    #[must_use]
    pub fn read(folder: &Path) -> Found {
        read(&folder.join(SLOTS))
    }

    /// Those of the last change once more, where they are whole.
    #[must_use]
    pub fn read_last(folder: &Path) -> Option<Self> {
        match read(&folder.join(LAST)) {
            Found::Whole(slots) => Some(slots),
            Found::None | Found::Damaged(_) | Found::Unreadable(_) => None,
        }
    }

    /// The counter of the active version as far as damaged slots still name it: `Some(None)` where that of the configuration was
    /// in use.
    pub(super) fn remnant(folder: &Path) -> Option<Option<u64>> {
        [SLOTS, LAST].iter().find_map(|name| {
            let path = folder.join(name);
            let is_small =
                path.symlink_metadata().is_ok_and(|found| found.is_file() && found.len() <= MAX_BYTES);
            let bytes = is_small.then(|| std::fs::read(&path).ok()).flatten()?;
            let text = String::from_utf8_lossy(&bytes);
            let (_, behind) = text.split_once("\"active\":")?;
            let value = behind.trim_start();
            if value.starts_with("null") {
                return Some(None);
            }
            let (id, _) = value.strip_prefix('"')?.split_once('"')?;
            super::version::counter_of(id).map(Some)
        })
    }

    /// Puts them in place of those that are there. Power that is lost meanwhile leaves the old ones or these.
    ///
    /// # Errors
    /// They cannot be written; the old ones are in place.
    pub fn write(&self, folder: &Path) -> io::Result<()> {
        let text = serde_json::to_vec_pretty(self)?;
        let write = || replace(folder, NEXT, SLOTS, &text);
        let reserve = folder.join(RESERVE);
        write().or_else(|error| {
            let is_full = matches!(error.kind(), ErrorKind::StorageFull | ErrorKind::QuotaExceeded);
            if !is_full || std::fs::remove_file(&reserve).is_err() {
                return Err(error);
            }
            write()
        })?;
        // Old ones would be worse than none. Without them a disk may have the room that these need.
        let last = || replace(folder, LAST_NEXT, LAST, &text);
        drop(last().or_else(|_| std::fs::remove_file(folder.join(LAST)).and_then(|()| last())));
        let is_whole =
            reserve.symlink_metadata().is_ok_and(|found| found.is_file() && found.len() == RESERVED as u64);
        if !is_whole {
            drop(std::fs::remove_file(&reserve));
            if new_file(&reserve, &[0; RESERVED]).is_err() {
                // Where there is no room now, the next change needs some.
                drop(std::fs::remove_file(&reserve));
            }
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
            since: now.max(self.since),
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
        // A clock that was set back makes no expired package valid again.
        let since = now.max(self.since);
        Some(Self { active, previous: None, since, starts: 0, confirmed: true, refused, ..self.clone() })
    }

    /// Whether a version is in one of the slots.
    #[must_use]
    pub fn hold(&self, id: &str) -> bool {
        [&self.active, &self.previous, &self.candidate].into_iter().flatten().any(|slot| slot == id)
    }
}

fn read(path: &Path) -> Found {
    let text = match std::fs::symlink_metadata(path) {
        Ok(found) if !found.is_file() => return Found::Damaged("it is no file".to_owned()),
        Ok(found) if found.len() > MAX_BYTES => {
            return Found::Damaged(format!("it has {} bytes", found.len()));
        }
        Ok(_) => std::fs::read(path),
        Err(error) => Err(error),
    };
    match text {
        Ok(text) => {
            serde_json::from_slice(&text).map_or_else(|error| Found::Damaged(error.to_string()), Found::Whole)
        }
        Err(error) if error.kind() == ErrorKind::NotFound => Found::None,
        Err(error) => Found::Unreadable(error),
    }
}

/// Writes a file beside another and renames it over that; both are durable then.
fn replace(folder: &Path, next: &str, name: &str, text: &[u8]) -> io::Result<()> {
    let next = folder.join(next);
    // What a process that was killed left there, or a link that somebody laid.
    super::remove(&next)?;
    let write = || -> io::Result<()> {
        new_file(&next, text)?;
        std::fs::rename(&next, folder.join(name))?;
        sync_folder(folder)
    };
    write().inspect_err(|_| drop(std::fs::remove_file(&next)))
}

fn new_file(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).open(path)?;
    file.write_all(bytes)?;
    file.sync_all()
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
        let second = Slots { candidate: Some("2-b".to_owned()), ..first.clone() }.promoted(2, 20);
        assert_eq!((second.active.as_deref(), second.previous.as_deref()), (Some("2-b"), Some("1-a")));
        assert_eq!(second.promoted(9, 30), second, "nothing to promote");
        let back = second.rolled_back(30).unwrap();
        assert_eq!(
            (back.active.as_deref(), back.floor, &back.refused[..]),
            (Some("1-a"), 2, &["2-b".to_owned()][..])
        );
        assert_eq!(back.rolled_back(40), None, "once is enough");
        assert_eq!(
            (second.rolled_back(5).unwrap().since, first.promoted(1, 5).since),
            (20, 10),
            "a clock set back"
        );
        let to_factory = pushed.promoted(1, 10).rolled_back(20).unwrap();
        assert_eq!((to_factory.active, to_factory.previous), (None, None));
    }

    #[test]
    fn slots_that_cannot_be_read_are_damaged_and_never_a_panic() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path();
        assert!(matches!(Slots::read(path), Found::None));
        let slots = Slots { active: Some("1-a".to_owned()), floor: 7, ..Slots::default() };
        slots.write(path).unwrap();
        assert!(matches!(Slots::read(path), Found::Whole(found) if found == slots));
        assert_eq!(Slots::read_last(path), Some(slots));
        let text = std::fs::read(path.join(SLOTS)).unwrap();
        for end in 0..text.len() - 1 {
            std::fs::write(path.join(SLOTS), &text[..end]).unwrap();
            assert!(matches!(Slots::read(path), Found::Damaged(_)), "{end} bytes");
        }
    }

    #[test]
    fn slots_that_cannot_be_reached_are_not_called_damaged() {
        let folder = tempfile::tempdir().unwrap();
        // A part of the path that is no folder: an error of the system, whoever runs the test.
        let file = folder.path().join("file");
        std::fs::write(&file, "").unwrap();
        assert!(matches!(Slots::read(&file), Found::Unreadable(_)));
    }
}
