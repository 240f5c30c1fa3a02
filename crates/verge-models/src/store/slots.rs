//! Which version of a model is in use: `slots.json`, replaced as a whole.

use std::fs::OpenOptions;
use std::io::{self, ErrorKind, Write as _};
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::package::open::sync_folder;
use crate::trial::{AgreementFigures, TrialPhase};

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

/// The stage of a candidate that was pushed and is not looked with.
pub const STAGED: &str = "staged";

/// Which version is in use, and which were.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Slots {
    /// The version in use; that of the configuration where there is none.
    pub active: Option<String>,
    /// The one that a rollback returns to; [`FACTORY`] for that of the configuration.
    pub previous: Option<String>,
    /// The one that was pushed and not promoted yet.
    pub candidate: Option<String>,
    /// Where the candidate stands: [`STAGED`], or on trial as [`TrialPhase`] calls it.
    pub stage: Option<String>,
    /// Share of the cameras that the candidate looks at, in percent, where it is a canary.
    pub share: Option<u32>,
    /// When they were changed last, in ms since 1970.
    pub since: i64,
    /// Starts of the gateway with what is on trial, or with an active version that is not confirmed, none of which has proved it.
    pub starts: u32,
    /// The active version has proved itself.
    pub confirmed: bool,
    /// Counters below are refused; it never falls.
    pub floor: u64,
    /// Versions that were returned from.
    pub refused: Vec<String>,
    /// Memory that the candidate needs beside the active version, in bytes, where that was measured.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub needs: Option<u64>,
    /// How far the candidate's answers are those of the active version, as the gate found at its last look.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agreement: Option<AgreementFigures>,
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
        match read(&folder.join(SLOTS)) {
            // They are written after the first, so that there were some.
            Found::None if folder.join(LAST).symlink_metadata().is_ok() => {
                Found::Damaged("it is not there any more".to_owned())
            }
            found => found,
        }
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
            if !is_full(&error) || std::fs::remove_file(&reserve).is_err() {
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
            // It has to prove itself first, whoever decided.
            confirmed: false,
            floor: self.floor.max(counter),
            refused: self.refused.clone(),
            needs: None,
            agreement: None,
        }
    }

    /// Those in which the version before is in use again; nothing where there is none to return to.
    #[must_use]
    pub fn rolled_back(&self, now: i64) -> Option<Self> {
        let previous = self.previous.clone()?;
        let refused = self.refused_with(self.active.as_deref());
        let active = Some(previous).filter(|previous| previous != FACTORY);
        // A clock that was set back makes no expired package valid again.
        let since = now.max(self.since);
        Some(Self { active, previous: None, since, starts: 0, confirmed: true, refused, ..self.clone() })
    }

    /// Those in which the candidate is not tried again; nothing where there is none.
    #[must_use]
    pub fn without_candidate(&self, now: i64) -> Option<Self> {
        let candidate = self.candidate.as_deref()?;
        let (refused, since) = (self.refused_with(Some(candidate)), now.max(self.since));
        let (candidate, stage, share, needs, agreement) = Default::default();
        Some(Self { candidate, stage, share, needs, agreement, starts: 0, since, refused, ..self.clone() })
    }

    /// Those in which a version is returned from by itself: as a candidate, or as the active version, which gives way to the one
    /// before or to that of the configuration. Nothing where it is neither.
    #[must_use]
    pub fn returned_from(&self, id: &str, now: i64) -> Option<Self> {
        if self.candidate.as_deref() == Some(id) {
            return self.without_candidate(now);
        }
        let previous = self.previous.clone().unwrap_or_else(|| FACTORY.to_owned());
        let is_active = self.active.as_deref() == Some(id);
        is_active.then(|| Self { previous: Some(previous), ..self.clone() }.rolled_back(now)).flatten()
    }

    /// Those in which the candidate is on trial. `share`: of the cameras, in percent, of a canary.
    #[must_use]
    pub fn tried(&self, phase: TrialPhase, share: u32, now: i64) -> Self {
        if self.candidate.is_none() || phase == TrialPhase::Unconfirmed {
            return self.clone();
        }
        let share = (phase == TrialPhase::Canary).then_some(share.min(100));
        let stage = Some(phase.as_str().to_owned());
        // What was compared is of the same two versions at every stage, but the gate looks afresh.
        Self { stage, share, starts: 0, agreement: None, since: now.max(self.since), ..self.clone() }
    }

    /// The candidate that is on trial, and how.
    #[must_use]
    pub fn trial(&self) -> Option<(&str, TrialPhase)> {
        Some((self.candidate.as_deref()?, TrialPhase::of_stage(self.stage.as_deref()?)?))
    }

    /// The version that has to prove itself: what is on trial, else an active version that is not confirmed.
    #[must_use]
    pub fn unproved(&self) -> Option<(&str, TrialPhase)> {
        let active = self.active.as_deref().filter(|_| !self.confirmed);
        self.trial().or_else(|| Some((active?, TrialPhase::Unconfirmed)))
    }

    /// Those in which the version of [`Self::unproved`] has proved that a gateway lives with it.
    #[must_use]
    pub fn proved(&self) -> Self {
        Self { starts: 0, confirmed: self.confirmed || self.trial().is_none(), ..self.clone() }
    }

    /// What is not tried again, with one more.
    fn refused_with(&self, id: Option<&str>) -> Vec<String> {
        let mut refused = self.refused.clone();
        refused.extend(id.filter(|id| !self.refused.iter().any(|known| known == id)).map(str::to_owned));
        let beyond = refused.len().saturating_sub(MAX_REFUSED);
        refused.drain(..beyond);
        refused
    }

    /// Whether a version is in one of the slots.
    #[must_use]
    pub fn hold(&self, id: &str) -> bool {
        [&self.active, &self.previous, &self.candidate].into_iter().flatten().any(|slot| slot == id)
    }
}

/// Whether a disk has no room, or the system lets a file grow no further.
#[must_use]
pub fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::StorageFull | ErrorKind::QuotaExceeded | ErrorKind::FileTooLarge)
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
        assert!(!first.confirmed && back.confirmed);
        let to_factory = pushed.promoted(1, 10).rolled_back(20).unwrap();
        assert_eq!((to_factory.active, to_factory.previous), (None, None));
    }

    #[test]
    fn what_is_on_trial_proves_itself_or_is_not_tried_again() {
        let pushed = Slots {
            candidate: Some("2-b".to_owned()),
            stage: Some(STAGED.to_owned()),
            active: Some("1-a".to_owned()),
            confirmed: true,
            ..Slots::default()
        };
        assert_eq!((pushed.trial(), pushed.unproved()), (None, None));
        let shadow = pushed.tried(TrialPhase::Shadow, 20, 5);
        assert_eq!((shadow.trial(), shadow.share), (Some(("2-b", TrialPhase::Shadow)), None));
        let canary = Slots { starts: 2, ..shadow.tried(TrialPhase::Canary, 20, 6) };
        assert_eq!((canary.unproved(), canary.share), (Some(("2-b", TrialPhase::Canary)), Some(20)));
        assert_eq!((canary.proved().starts, canary.proved().stage.as_deref()), (0, Some("canary")));
        let ended = canary.returned_from("2-b", 7).unwrap();
        assert_eq!((ended.candidate.as_deref(), &ended.refused[..]), (None, &["2-b".to_owned()][..]));
        assert_eq!((ended.active.as_deref(), ended.stage, ended.confirmed), (Some("1-a"), None, true));
        assert_eq!(canary.returned_from("3-c", 7), None);
        let active = canary.promoted(2, 8);
        assert_eq!(active.unproved(), Some(("2-b", TrialPhase::Unconfirmed)));
        assert!(active.proved().confirmed && active.proved().unproved().is_none());
        let back = active.returned_from("2-b", 9).unwrap();
        assert_eq!(
            (back.active.as_deref(), back.confirmed, &back.refused[..]),
            (Some("1-a"), true, &["2-b".to_owned()][..])
        );
        // Nothing to return to but the file of the configuration.
        let alone = Slots { previous: None, ..active }.returned_from("2-b", 9).unwrap();
        assert_eq!((alone.active, alone.previous), (None, None));
        // An active version that is not confirmed waits while another is on trial.
        let both = Slots { candidate: Some("3-c".to_owned()), ..back.promoted(1, 1) };
        assert_eq!(both.tried(TrialPhase::Shadow, 1, 1).unproved().unwrap().0, "3-c");
    }

    #[test]
    fn slots_of_earlier_versions_are_read_and_what_is_measured_survives() {
        let folder = tempfile::tempdir().unwrap();
        let old = r#"{"active":"1-a","previous":null,"candidate":null,"stage":null,"share":null,"since":1,"starts":0,"confirmed":true,"floor":1,"refused":[]}"#;
        std::fs::write(folder.path().join(SLOTS), old).unwrap();
        assert!(matches!(Slots::read(folder.path()), Found::Whole(slots) if slots.unproved().is_none()));
        let figures =
            AgreementFigures { frames: 200, share: 99.5, low: 97.0, high: 99.9, passed: Some(true) };
        let slots = Slots { needs: Some(7), agreement: Some(figures), ..Slots::default() };
        slots.write(folder.path()).unwrap();
        assert!(matches!(Slots::read(folder.path()), Found::Whole(found) if found == slots));
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
        std::fs::rename(path.join(SLOTS), path.join("away")).unwrap();
        assert!(matches!(Slots::read(path), Found::Damaged(_)), "those of the last change are there");
        std::fs::rename(path.join("away"), path.join(SLOTS)).unwrap();
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
