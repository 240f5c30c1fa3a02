//! Where packages arrive, and what may lie there.

use std::fs;
use std::path::Path;

/// Where packages arrive.
pub const INCOMING: &str = "incoming";
/// A package of which nothing came for this long is given up. Only the time counts in which a gateway was at work: its own count,
/// no clock that may stand at 1970 or be set to another day.
pub const INCOMING_KEPT: std::time::Duration = std::time::Duration::from_secs(7 * 24 * 3600);

/// The SHA-256 and the ending in the name of a file of arrivals that belongs to an offer: `HASH.json` is the offer, `HASH.part` what
/// has come of its package.
#[must_use]
pub fn offer_of(name: &str) -> Option<(&str, &str)> {
    let (hash, end) = name.split_once('.')?;
    let is_hash = hash.len() == 64 && hash.bytes().all(|digit| digit.is_ascii_hexdigit());
    is_hash.then_some((hash, end))
}

/// An offer, or a package that is being received for one.
pub(super) fn is_on_its_way(incoming: &Path, entry: &fs::DirEntry) -> bool {
    let name = entry.file_name();
    let Some((hash, "json" | "part")) = name.to_str().and_then(offer_of) else { return false };
    let is_file = |path: &Path| path.symlink_metadata().is_ok_and(|found| found.is_file());
    is_file(&entry.path()) && is_file(&incoming.join(format!("{hash}.json")))
}
