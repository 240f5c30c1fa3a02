//! The offers that were taken: each is a file beside its package, so that it outlives a restart.

use std::collections::VecDeque;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use verge_domain::backoff::Backoff;
use verge_domain::model_order::{ModelOffer, ModelRefusal};
use verge_models::store::{INCOMING_KEPT, offer_of};
use verge_pipeline::status::OfferStatus;
use verge_tls::replace_file;

use super::done::OrderKey;

/// How long one package is fetched where others wait.
const TURN: Duration = Duration::from_secs(30);
/// A turn is doubled this often at most.
const MAX_DOUBLED: u32 = 12;
/// Packages that are received, or wait for it, at most.
pub(super) const MAX_OPEN: usize = 4;
/// Those that are done and still shown.
const MAX_SHOWN: usize = 4;
/// An offer is a line of text.
const MAX_BYTES: u64 = 16 * 1024;
/// Time without a part becomes durable in steps of this length.
const IDLE_STEP: Duration = Duration::from_secs(3600);
/// Between two attempts at a package that does not come. Each package has pauses of its own.
const PAUSES: Backoff = Backoff { min: Duration::from_secs(5), max: Duration::from_secs(300) };

/// Files of offers and orders are of this program alone.
pub(super) const PRIVATE: u32 = 0o600;

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
    /// Time in which gateways were at work and nothing of it came, in seconds. It is counted and not read off a clock: one that
    /// is not set yet, or set to another day, makes no package old and none new.
    #[serde(default)]
    idle_s: u64,
}

/// An offer, and how far it is.
#[derive(Debug)]
struct OpenEntry {
    offer: OpenOffer,
    have: u64,
    error: Option<String>,
    /// Attempts that failed in a row.
    failures: u32,
    /// Turns that were over before it was whole, after which all of it had to come again.
    lost_turns: u32,
    not_before: Option<Instant>,
    /// Since when nothing of it has come, in this run of the gateway.
    moved: Instant,
    /// The bytes that were there then.
    moved_have: u64,
}

/// All of them.
#[derive(Debug, Default)]
pub(super) struct OfferBook {
    open: Vec<OpenEntry>,
    done: VecDeque<OfferStatus>,
}

impl OpenOffer {
    pub(super) fn new(offer: ModelOffer, door: &str) -> Self {
        let ModelOffer { id, name, bytes, sha256, base, url } = offer;
        Self { id, name, bytes, sha256, base, url, door: door.to_owned(), idle_s: 0 }
    }

    /// As it is remembered once its package is here.
    pub(super) fn key(&self) -> OrderKey {
        OrderKey::new(&self.door, self.id.clone(), format!("offer {} {}", self.name, self.sha256))
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
        let bytes = serde_json::to_vec(self)?;
        let write = || replace_file(&self.file(incoming), &bytes, PRIVATE);
        // A push sweeps what belongs to no offer, and may do so in between.
        write().or_else(|_| write())
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
}

impl OpenEntry {
    fn new(offer: OpenOffer, have: u64, now: Instant) -> Self {
        Self {
            offer,
            have,
            error: None,
            failures: 0,
            lost_turns: 0,
            not_before: None,
            moved: now,
            moved_have: have,
        }
    }

    fn is_due(&self, now: Instant) -> bool {
        self.not_before.is_none_or(|at| at <= now)
    }

    /// Time without a part, over all runs.
    fn idle(&self, now: Instant) -> Duration {
        Duration::from_secs(self.offer.idle_s) + now.saturating_duration_since(self.moved)
    }
}

impl OfferBook {
    /// Those on the disk. What cannot be read is no offer, and is removed.
    pub(super) fn load(incoming: &Path, now: Instant) -> Self {
        let entries = fs::read_dir(incoming).into_iter().flatten().flatten();
        let read = |path: &Path| -> Option<OpenOffer> {
            let found =
                path.symlink_metadata().ok().filter(|found| found.is_file() && found.len() <= MAX_BYTES);
            let offer: OpenOffer = serde_json::from_slice(&found.and_then(|_| fs::read(path).ok())?).ok()?;
            // Its name leads to its package, so it must be its own.
            (offer.file(incoming) == path).then_some(offer)
        };
        let mut paths: Vec<PathBuf> = entries
            .filter(|entry| {
                entry.file_name().to_str().and_then(offer_of).is_some_and(|(_, end)| end == "json")
            })
            .map(|entry| entry.path())
            .collect();
        paths.sort();
        let mut open = Vec::new();
        for path in paths {
            match read(&path).filter(|_| open.len() < MAX_OPEN) {
                Some(offer) => {
                    let have = offer.part(incoming).metadata().map_or(0, |found| found.len());
                    open.push(OpenEntry::new(offer, have, now));
                }
                None => {
                    tracing::warn!(path = %path.display(), "not an offer; removed");
                    drop(fs::remove_file(&path));
                }
            }
        }
        Self { open, done: VecDeque::new() }
    }

    /// Takes one; the same package again is answered with what is here, and is fetched now. Gives that.
    pub(super) fn take(&mut self, offer: &OpenOffer, now: Instant) -> Result<u64, ModelRefusal> {
        if let Some(entry) = self.open.iter_mut().find(|entry| entry.offer.sha256 == offer.sha256) {
            let known = &entry.offer;
            if (known.bytes, &known.name) != (offer.bytes, &offer.name) {
                return Err(ModelRefusal::Contradiction { bytes: known.bytes, name: known.name.clone() });
            }
            // Somebody wants it still.
            let (have, fresh) = (entry.have, OpenEntry::new(offer.clone(), entry.have, now));
            *entry = OpenEntry { error: entry.error.take(), lost_turns: entry.lost_turns, ..fresh };
            return Ok(have);
        }
        if self.open.len() >= MAX_OPEN {
            return Err(ModelRefusal::TooMany { open: self.open.len() });
        }
        self.done.retain(|done| done.sha256 != offer.sha256);
        self.open.push(OpenEntry::new(offer.clone(), 0, now));
        Ok(0)
    }

    /// Gives all of them up, where nobody is going to fetch them.
    pub(super) fn forget_all(self, incoming: &Path) {
        self.open.iter().for_each(|entry| entry.offer.forget(incoming));
    }

    /// The next one to fetch behind this one: the first that no pause holds back. Otherwise when one is due.
    pub(super) fn next(&self, turn: usize, now: Instant) -> Result<OpenOffer, Option<Instant>> {
        let count = self.open.len();
        let mut in_turn = (0..count).map(|at| &self.open[(turn + at) % count]);
        match in_turn.find(|entry| entry.is_due(now)) {
            Some(entry) => Ok(entry.offer.clone()),
            None => Err(self.open.iter().filter_map(|entry| entry.not_before).min()),
        }
    }

    /// Its place among those that take turns.
    pub(super) fn place(&self, sha256: &str) -> usize {
        self.open.iter().position(|entry| entry.offer.sha256 == sha256).unwrap_or(0)
    }

    /// Whether another one could be fetched meanwhile.
    pub(super) fn others_wait(&self, sha256: &str, now: Instant) -> bool {
        self.open.iter().any(|entry| entry.offer.sha256 != sha256 && entry.is_due(now))
    }

    /// How long a package is fetched where others wait. One that begins anew each time must be whole within a turn, so turns grow
    /// while there is one, and those of the others with it: what is read twice is less than the package, and each has its share.
    pub(super) fn turn(&self) -> Duration {
        let lost = self.open.iter().map(|entry| entry.lost_turns).max().unwrap_or(0);
        TURN * (1_u32 << lost.min(MAX_DOUBLED))
    }

    /// Its turn is over, and all of it comes again in the next.
    pub(super) fn lose_turn(&mut self, sha256: &str) {
        if let Some(entry) = self.open.iter_mut().find(|entry| entry.offer.sha256 == sha256) {
            entry.lost_turns = entry.lost_turns.saturating_add(1);
        }
    }

    pub(super) fn find(&self, sha256: &str) -> Option<OpenOffer> {
        self.open.iter().find(|entry| entry.offer.sha256 == sha256).map(|entry| entry.offer.clone())
    }

    pub(super) fn note(&mut self, sha256: &str, bytes: u64, why: Option<String>) {
        if let Some(entry) = self.open.iter_mut().find(|entry| entry.offer.sha256 == sha256) {
            (entry.have, entry.error) = (bytes, why);
        }
    }

    /// An attempt has ended without all of it; it failed for this reason, or has given way to others. Gives the offer where its
    /// file is to be written again. `random` is uniform over all of `u16`.
    pub(super) fn attempted(
        &mut self,
        sha256: &str,
        (have, failed): (u64, Option<String>),
        (now, random): (Instant, u16),
    ) -> Option<OpenOffer> {
        let entry = self.open.iter_mut().find(|entry| entry.offer.sha256 == sha256)?;
        let has_moved = have > entry.moved_have;
        (entry.have, entry.error) = (have, failed);
        entry.failures = match &entry.error {
            Some(_) if has_moved => 1,
            Some(_) => entry.failures.saturating_add(1),
            None => 0,
        };
        entry.not_before = entry.error.as_ref().map(|_| now + PAUSES.pause(entry.failures, random));
        if has_moved {
            (entry.moved, entry.moved_have) = (now, have);
            return (std::mem::take(&mut entry.offer.idle_s) > 0).then(|| entry.offer.clone());
        }
        if now.saturating_duration_since(entry.moved) < IDLE_STEP {
            return None;
        }
        entry.offer.idle_s = entry.idle(now).as_secs();
        entry.moved = now;
        Some(entry.offer.clone())
    }

    /// Whether nothing of it came for days in which gateways were at work.
    pub(super) fn is_given_up(&self, sha256: &str, now: Instant) -> bool {
        let entry = self.open.iter().find(|entry| entry.offer.sha256 == sha256);
        entry.is_some_and(|entry| entry.idle(now) >= INCOMING_KEPT)
    }

    /// It is over. Gives it as it was known last.
    pub(super) fn end(&mut self, sha256: &str, refused: Option<&ModelRefusal>) -> Option<OpenOffer> {
        let at = self.open.iter().position(|entry| entry.offer.sha256 == sha256)?;
        let OpenEntry { offer, have, .. } = self.open.remove(at);
        if self.done.len() >= MAX_SHOWN {
            self.done.pop_front();
        }
        let state = if refused.is_some() { "refused" } else { "staged" };
        let error = refused.map(ToString::to_string);
        self.done.push_back(OfferStatus { have, state, error, ..described(&offer) });
        Some(offer)
    }

    pub(super) fn status(&self) -> Vec<OfferStatus> {
        let open = self.open.iter().map(|entry| OfferStatus {
            have: entry.have,
            state: "receiving",
            error: entry.error.clone(),
            ..described(&entry.offer)
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
mod tests;
