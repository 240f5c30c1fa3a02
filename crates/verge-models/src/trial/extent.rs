//! How far a trial reaches: which cameras it has, and what memory it takes.

use verge_engine::ContentDigest;

/// Whether a canary has a camera: this share of them in percent, by a hash of the device and of the candidate, so that each
/// candidate has others.
#[must_use]
pub fn chosen(device: &str, candidate: &str, share: u32) -> bool {
    let digest = ContentDigest::of(format!("{device}\0{candidate}").as_bytes());
    let [first, second, third, fourth, ..] = *digest.as_bytes();
    u32::from_be_bytes([first, second, third, fourth]) % 100 < share
}

/// Memory that a version needs beside the one in use, in bytes: its weights with what the library makes of them, and what `workers`
/// need at work, as its first load was measured.
#[must_use]
#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "bytes of memory"
)]
pub fn memory_needed(weights: u64, measured: Option<u64>, workers: usize) -> u64 {
    let loaded = (weights as f64 * 1.3) as u64;
    let arena = measured.map_or(0, |measured| measured.saturating_sub(weights));
    loaded.saturating_add(arena.saturating_mul(workers.max(1) as u64))
}
