//! What changed from one model file to the next, tensor by tensor.
//!
//! A delta is a list of pieces of the new file: what is *same* is copied out of the old one, what is *xor* holds the bits that
//! differ from a tensor of the old one, a *difference* how far each of its numbers has moved, what is *new* holds all of its bytes.
//! Bytes of one significance of a tensor's numbers stand together, because they are alike, and everything is compressed in one stream. A patch is bit-exact or it is nothing: old
//! and new file are named by their SHA-256, and the delta ends with that of itself.
//!
//! Reading order: [`make`], [`apply`], `format` (bytes of a delta), `spans` (where a file keeps its tensors), `planes`.

mod format;
mod make;
mod planes;
mod spans;

use verge_engine::ContentDigest;

pub use format::Header;
use format::{Opened, Piece};
pub use make::{MadeDelta, make};

/// Why a file cannot be rebuilt.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DeltaError {
    /// It is something else, or of a later version.
    #[error("no delta of this version of Verge: it does not begin with its mark")]
    NotOne,
    /// Its bytes are others than were written.
    #[error("the delta is damaged ({0}): fetch it again")]
    Damaged(&'static str),
    /// It is for another old file.
    #[error(
        "the delta changes the file with the SHA-256 {expected}, and this one has {found}: use that file, or fetch the new one whole"
    )]
    OtherBase {
        /// SHA-256 of the file that it changes.
        expected: String,
        /// Of the file that was given.
        found: String,
    },
    /// What it makes is larger than is accepted.
    #[error("the delta makes a file of {bytes} bytes, and {limit} is the limit")]
    TooLarge {
        /// Bytes of the new file.
        bytes: u64,
        /// Bytes accepted.
        limit: u64,
    },
    /// What it makes is not what it names.
    #[error(
        "the rebuilt file has the SHA-256 {found}, and the delta names {expected}: fetch the new one whole"
    )]
    OtherTarget {
        /// SHA-256 that it names.
        expected: String,
        /// Of what was rebuilt.
        found: String,
    },
}

/// Rebuilds the new file out of the old one.
///
/// # Errors
/// See [`DeltaError`]; nothing is returned that does not hash to what the delta names.
pub fn apply(base: &[u8], delta: &[u8], limit: u64) -> Result<Vec<u8>, DeltaError> {
    let Opened { header, pieces, body } = format::open(delta, limit)?;
    let found = ContentDigest::of(base).to_string();
    if found != header.base {
        return Err(DeltaError::OtherBase { expected: header.base, found });
    }
    let damaged = DeltaError::Damaged;
    let old = |at: u64, bytes: u64| {
        let range = usize::try_from(at).ok()?..usize::try_from(at.checked_add(bytes)?).ok()?;
        base.get(range)
    };
    let target_bytes =
        usize::try_from(header.target_bytes).map_err(|_| damaged("it is too large for this machine"))?;
    let mut target: Vec<u8> = Vec::with_capacity(target_bytes);
    let mut rest = &body[..];
    let mut take = |bytes: u64| {
        let (taken, behind) = usize::try_from(bytes)
            .ok()
            .and_then(|bytes| rest.split_at_checked(bytes))
            .ok_or(damaged("it is cut"))?;
        rest = behind;
        Ok::<_, DeltaError>(taken)
    };
    for piece in pieces {
        if piece.bytes() > header.target_bytes.saturating_sub(target.len() as u64) {
            return Err(damaged("its pieces are longer than the file"));
        }
        match piece {
            Piece::Same { at, bytes } => {
                target.extend_from_slice(
                    old(at, bytes).ok_or(damaged("a piece lies outside of the old file"))?,
                );
            }
            Piece::Xor { at, bytes, width } => {
                let old = old(at, bytes).ok_or(damaged("a piece lies outside of the old file"))?;
                let begin = target.len();
                planes::joined(take(bytes)?, width, &mut target);
                target[begin..].iter_mut().zip(old).for_each(|(new, old)| *new ^= old);
            }
            Piece::Difference { at, bytes, width } => {
                let old = old(at, bytes).ok_or(damaged("a piece lies outside of the old file"))?;
                let mut differences = Vec::new();
                planes::joined(take(bytes)?, width, &mut differences);
                let moved = planes::moved(&differences, old, width);
                target.extend(moved.ok_or(damaged("a piece is no whole number of numbers"))?);
            }
            Piece::New { bytes, width } => planes::joined(take(bytes)?, width, &mut target),
        }
    }
    if !rest.is_empty() || target.len() != target_bytes {
        return Err(damaged("its pieces are not the whole file"));
    }
    let found = ContentDigest::of(&target).to_string();
    if found == header.target {
        Ok(target)
    } else {
        Err(DeltaError::OtherTarget { expected: header.target, found })
    }
}

#[cfg(test)]
mod tests;
