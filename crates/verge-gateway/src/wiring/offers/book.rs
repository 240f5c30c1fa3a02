//! The offers that were taken: each is a file beside its package, so that it outlives a restart.

use std::collections::VecDeque;
use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use verge_domain::model_order::{ModelOffer, ModelRefusal};
use verge_models::store::INCOMING_KEPT;
use verge_pipeline::status::OfferStatus;

/// Packages that are received, or wait for it, at most.
pub(super) const MAX_OPEN: usize = 4;
/// Those that are done and still shown.
const MAX_SHOWN: usize = 4;
/// An offer is a line of text.
const MAX_BYTES: u64 = 16 * 1024;

/// An offer that was taken.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct OpenOffer {
    pub(super) id: String,
    pub(super) name: String,
    pub(super) bytes: u64,
    pub(super) sha256: String,
    pub(super) base: Option<String>,
    pub(super) url: Option<String>,
    /// Where it came in.
    pub(super) door: String,
}

/// All of them.
#[derive(Debug, Default)]
pub(super) struct OfferBook {
    open: Vec<(OpenOffer, u64, Option<String>)>,
    done: VecDeque<OfferStatus>,
}

impl OpenOffer {
    pub(super) fn new(offer: ModelOffer, door: &str) -> Self {
        let ModelOffer { id, name, bytes, sha256, base, url } = offer;
        Self { id, name, bytes, sha256, base, url, door: door.to_owned() }
    }

    /// Where its package grows.
    pub(super) fn part(&self, incoming: &Path) -> PathBuf {
        incoming.join(format!("{}.part", self.sha256))
    }

    fn file(&self, incoming: &Path) -> PathBuf {
        incoming.join(format!("{}.json", self.sha256))
    }

    /// Makes it durable.
    pub(super) fn keep(&self, incoming: &Path) -> io::Result<()> {
        fs::create_dir_all(incoming)?;
        let (to, beside) = (self.file(incoming), incoming.join(format!("{}.next", self.sha256)));
        let write = || -> io::Result<()> {
            if beside.symlink_metadata().is_ok() {
                fs::remove_file(&beside)?;
            }
            let mut file = fs::File::create_new(&beside)?;
            file.write_all(&serde_json::to_vec(self)?)?;
            file.sync_all()?;
            fs::rename(&beside, &to)?;
            fs::File::open(incoming)?.sync_all()
        };
        write().inspect_err(|_| drop(fs::remove_file(&beside)))
    }

    /// Removes it with its package.
    pub(super) fn forget(&self, incoming: &Path) {
        for path in [self.file(incoming), self.part(incoming)] {
            if let Err(error) = fs::remove_file(&path)
                && error.kind() != io::ErrorKind::NotFound
            {
                tracing::warn!(path = %path.display(), %error, "a package that is done with is not removed");
            }
        }
    }

    /// Nothing of it came for days.
    pub(super) fn is_old(&self, incoming: &Path) -> bool {
        let changed = |path: PathBuf| path.metadata().and_then(|found| found.modified()).ok();
        let newest = changed(self.part(incoming)).max(changed(self.file(incoming)));
        newest.is_some_and(|at| at.elapsed().unwrap_or_default() >= INCOMING_KEPT)
    }
}

impl OfferBook {
    /// Those on the disk. What cannot be read is no offer, and is swept with the next push.
    pub(super) fn load(incoming: &Path) -> Self {
        let entries = fs::read_dir(incoming).into_iter().flatten().flatten();
        let read = |entry: fs::DirEntry| {
            let path = entry.path();
            let found = path.symlink_metadata().ok()?;
            if path.extension()? != "json" || !found.is_file() || found.len() > MAX_BYTES {
                return None;
            }
            let offer: OpenOffer = serde_json::from_slice(&fs::read(&path).ok()?).ok()?;
            // Its name leads to its package, so it must be its own.
            let is_own = offer.file(incoming) == path && !offer.sha256.contains(['/', '.']);
            let have = offer.part(incoming).metadata().map_or(0, |found| found.len());
            is_own.then_some((offer, have, None))
        };
        let mut open: Vec<_> = entries.filter_map(read).collect();
        open.sort_by(|(a, ..), (b, ..)| a.sha256.cmp(&b.sha256));
        open.truncate(MAX_OPEN);
        Self { open, done: VecDeque::new() }
    }

    /// Takes one; the same package again is answered with what is here. Gives that.
    pub(super) fn take(&mut self, offer: &OpenOffer) -> Result<u64, ModelRefusal> {
        if let Some((known, have, _)) = self.open.iter_mut().find(|(known, ..)| known.sha256 == offer.sha256)
        {
            if (known.bytes, &known.name) != (offer.bytes, &offer.name) {
                return Err(ModelRefusal::Contradiction { bytes: known.bytes, name: known.name.clone() });
            }
            known.clone_from(offer);
            return Ok(*have);
        }
        if self.open.len() >= MAX_OPEN {
            return Err(ModelRefusal::TooMany { open: self.open.len() });
        }
        self.done.retain(|done| done.sha256 != offer.sha256);
        self.open.push((offer.clone(), 0, None));
        Ok(0)
    }

    /// The next one to fetch behind this one.
    pub(super) fn next(&self, turn: usize) -> Option<OpenOffer> {
        let count = self.open.len();
        (count > 0).then(|| self.open[turn % count].0.clone())
    }

    pub(super) fn find(&self, sha256: &str) -> Option<OpenOffer> {
        self.open.iter().find(|(offer, ..)| offer.sha256 == sha256).map(|(offer, ..)| offer.clone())
    }

    pub(super) fn note(&mut self, sha256: &str, bytes: u64, why: Option<String>) {
        if let Some((_, have, error)) = self.open.iter_mut().find(|(offer, ..)| offer.sha256 == sha256) {
            (*have, *error) = (bytes, why);
        }
    }

    /// It is over. Gives it as it was known last.
    pub(super) fn end(&mut self, sha256: &str, refused: Option<&ModelRefusal>) -> Option<OpenOffer> {
        let at = self.open.iter().position(|(offer, ..)| offer.sha256 == sha256)?;
        let (offer, have, _) = self.open.remove(at);
        if self.done.len() >= MAX_SHOWN {
            self.done.pop_front();
        }
        let state = if refused.is_some() { "refused" } else { "staged" };
        let error = refused.map(ToString::to_string);
        self.done.push_back(OfferStatus { have, state, error, ..described(&offer) });
        Some(offer)
    }

    pub(super) fn status(&self) -> Vec<OfferStatus> {
        let open = self.open.iter().map(|(offer, have, error)| OfferStatus {
            have: *have,
            state: "receiving",
            error: error.clone(),
            ..described(offer)
        });
        open.chain(self.done.iter().cloned()).collect()
    }
}

fn described(offer: &OpenOffer) -> OfferStatus {
    OfferStatus {
        model: offer.name.clone(),
        sha256: offer.sha256.clone(),
        bytes: offer.bytes,
        ..OfferStatus::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn offer(number: u8) -> OpenOffer {
        let sha256 = format!("{number:02x}").repeat(32);
        let offer = ModelOffer {
            id: "a".to_owned(),
            name: "parts".to_owned(),
            bytes: 9,
            sha256,
            base: None,
            url: None,
        };
        OpenOffer::new(offer, "uplink wan")
    }

    #[test]
    fn offers_outlive_a_restart_and_are_few() {
        let folder = tempfile::tempdir().unwrap();
        let mut book = OfferBook::default();
        for number in 0..4 {
            assert_eq!(book.take(&offer(number)), Ok(0));
            offer(number).keep(folder.path()).unwrap();
        }
        assert_eq!(book.take(&offer(4)), Err(ModelRefusal::TooMany { open: 4 }));
        assert_eq!(book.take(&offer(1)), Ok(0), "the same again");
        let other = OpenOffer { bytes: 8, ..offer(1) };
        assert!(matches!(book.take(&other), Err(ModelRefusal::Contradiction { bytes: 9, .. })));
        fs::write(offer(2).part(folder.path()), "1234").unwrap();
        // What lies there and is none of them.
        fs::write(folder.path().join("x.json"), serde_json::to_vec(&offer(9)).unwrap()).unwrap();
        fs::write(offer(7).file(folder.path()), "{").unwrap();
        let mut again = OfferBook::load(folder.path());
        assert_eq!(again.status().iter().map(|one| one.have).collect::<Vec<_>>(), [0, 0, 4, 0]);
        assert_eq!(again.end(&offer(2).sha256, None), Some(offer(2)));
        offer(2).forget(folder.path());
        assert_eq!(OfferBook::load(folder.path()).status().len(), 3);
        let status = again.status();
        assert_eq!((status.len(), status[3].state), (4, "staged"));
    }
}
