//! The bytes of a delta.
//!
//! | bytes | what |
//! |---|---|
//! | 8 | mark, with the version of the format |
//! | 32, 32 | SHA-256 of the old file and of the new one |
//! | 8 | bytes of the new file |
//! | 8 | bytes of the list of pieces |
//! | 8 | bytes of what the pieces hold |
//! | … | both, one after the other, as one deflate stream |
//! | 32 | SHA-256 of all that is before |
//!
//! Numbers are unsigned and little-endian. A piece is its kind (0 same, 1 xor, 2 new, 3 difference), for all but the first the bytes
//! of one number, then as varints its bytes and, for all but new, where it lies in the old file. The mark ends in 2 where pieces
//! are differences, which the first version of the format does not know, else in 1.

use std::io::{Read as _, Write as _};

use flate2::Compression;
use flate2::read::DeflateDecoder;
use flate2::write::DeflateEncoder;
use verge_engine::ContentDigest;

use super::DeltaError;

/// How every delta begins, by what it holds: the first kinds of pieces alone, or differences, too.
const MARK: &[u8; 8] = b"VRGDELT1";
const MARK_OF_DIFFERENCES: &[u8; 8] = b"VRGDELT2";
const HASH: usize = 32;
const HEAD: usize = MARK.len() + 2 * HASH + 3 * 8;
/// The list of pieces at most: some ten bytes each.
const MAX_LIST: u64 = 4 << 20;

/// A piece of the new file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Piece {
    Same { at: u64, bytes: u64 },
    Xor { at: u64, bytes: u64, width: u8 },
    New { bytes: u64, width: u8 },
    Difference { at: u64, bytes: u64, width: u8 },
}

impl Piece {
    pub(super) const fn bytes(self) -> u64 {
        match self {
            Self::Same { bytes, .. }
            | Self::Xor { bytes, .. }
            | Self::New { bytes, .. }
            | Self::Difference { bytes, .. } => bytes,
        }
    }
}

/// What a delta says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Header {
    /// SHA-256 of the old file.
    pub base: String,
    /// SHA-256 of the new file.
    pub target: String,
    /// Bytes of the new file.
    pub target_bytes: u64,
    list_bytes: u64,
    body_bytes: u64,
}

/// A delta whose bytes are what was written.
pub(super) struct Opened {
    pub(super) header: Header,
    pub(super) pieces: Vec<Piece>,
    pub(super) body: Vec<u8>,
}

impl Header {
    /// Reads that of a delta. Its bytes are compared with their own SHA-256; what it makes is not checked.
    ///
    /// # Errors
    /// See [`DeltaError`].
    pub fn read(delta: &[u8]) -> Result<Self, DeltaError> {
        if ![MARK, MARK_OF_DIFFERENCES].iter().any(|mark| delta.starts_with(*mark)) {
            return Err(DeltaError::NotOne);
        }
        let cut = DeltaError::Damaged("it is cut");
        let end = delta.len().checked_sub(HASH).filter(|end| *end >= HEAD).ok_or(cut)?;
        if ContentDigest::of(&delta[..end]).as_bytes() != &delta[end..] {
            return Err(DeltaError::Damaged("its SHA-256 is not the one it ends with"));
        }
        let hash = |index: usize| hex(&delta[MARK.len() + index * HASH..][..HASH]);
        let number = |index: usize| {
            let at = MARK.len() + 2 * HASH + index * 8;
            u64::from_le_bytes(delta[at..at + 8].try_into().expect("eight bytes"))
        };
        Ok(Self {
            base: hash(0),
            target: hash(1),
            target_bytes: number(0),
            list_bytes: number(1),
            body_bytes: number(2),
        })
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Writes a delta.
pub(super) fn write(base: &[u8], target: &[u8], pieces: &[Piece], body: &[u8]) -> Vec<u8> {
    let mut list = Vec::new();
    for piece in pieces {
        match *piece {
            Piece::Same { at, bytes } => {
                list.push(0);
                push(&mut list, bytes);
                push(&mut list, at);
            }
            Piece::Xor { at, bytes, width } => {
                list.extend([1, width]);
                push(&mut list, bytes);
                push(&mut list, at);
            }
            Piece::New { bytes, width } => {
                list.extend([2, width]);
                push(&mut list, bytes);
            }
            Piece::Difference { at, bytes, width } => {
                list.extend([3, width]);
                push(&mut list, bytes);
                push(&mut list, at);
            }
        }
    }
    let has_differences = pieces.iter().any(|piece| matches!(piece, Piece::Difference { .. }));
    let mut delta = if has_differences { MARK_OF_DIFFERENCES } else { MARK }.to_vec();
    for file in [base, target] {
        delta.extend_from_slice(ContentDigest::of(file).as_bytes());
    }
    for number in [target.len(), list.len(), body.len()] {
        delta.extend((number as u64).to_le_bytes());
    }
    delta.extend(deflated(&[&list, body]));
    let hash = ContentDigest::of(&delta);
    delta.extend_from_slice(hash.as_bytes());
    delta
}

/// Compressed as far as deflate does.
pub(super) fn deflated(parts: &[&[u8]]) -> Vec<u8> {
    let mut encoder = DeflateEncoder::new(Vec::new(), Compression::best());
    let written = parts.iter().try_for_each(|part| encoder.write_all(part));
    written.and_then(|()| encoder.finish()).expect("memory takes what is written")
}

/// Checks and unpacks one.
pub(super) fn open(delta: &[u8], limit: u64) -> Result<Opened, DeltaError> {
    let header = Header::read(delta)?;
    if header.target_bytes > limit {
        return Err(DeltaError::TooLarge { bytes: header.target_bytes, limit });
    }
    if header.list_bytes > MAX_LIST || header.body_bytes > header.target_bytes {
        return Err(DeltaError::Damaged("it says that it holds more than its file"));
    }
    let total = header.list_bytes + header.body_bytes;
    let mut unpacked = Vec::new();
    let stream = &delta[HEAD..delta.len() - HASH];
    // One byte beyond shows that there are more.
    let read = DeflateDecoder::new(stream).take(total + 1).read_to_end(&mut unpacked);
    if read.is_err() || unpacked.len() as u64 != total {
        return Err(DeltaError::Damaged("it cannot be unpacked"));
    }
    let list = usize::try_from(header.list_bytes).map_err(|_| DeltaError::Damaged("its list is too long"))?;
    let pieces = pieces(&unpacked[..list]).ok_or(DeltaError::Damaged("its list of pieces cannot be read"))?;
    unpacked.drain(..list);
    Ok(Opened { header, pieces, body: unpacked })
}

fn pieces(mut list: &[u8]) -> Option<Vec<Piece>> {
    let mut pieces = Vec::new();
    while let Some((kind, rest)) = list.split_first() {
        list = rest;
        let mut byte = || {
            let (byte, rest) = list.split_first()?;
            list = rest;
            Some(*byte)
        };
        pieces.push(match kind {
            0 => {
                let bytes = pull(&mut list)?;
                Piece::Same { bytes, at: pull(&mut list)? }
            }
            1 => {
                let width = byte()?;
                let bytes = pull(&mut list)?;
                Piece::Xor { width, bytes, at: pull(&mut list)? }
            }
            2 => {
                let width = byte()?;
                Piece::New { width, bytes: pull(&mut list)? }
            }
            3 => {
                let width = byte()?;
                let bytes = pull(&mut list)?;
                Piece::Difference { width, bytes, at: pull(&mut list)? }
            }
            _ => return None,
        });
    }
    Some(pieces)
}

fn push(list: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        list.push((number & 0x7f) as u8 | 0x80);
        number >>= 7;
    }
    list.push(number as u8);
}

fn pull(list: &mut &[u8]) -> Option<u64> {
    let mut number = 0_u64;
    for shift in (0..64).step_by(7) {
        let (byte, rest) = list.split_first()?;
        *list = rest;
        number |= u64::from(byte & 0x7f).checked_shl(shift)?;
        if byte & 0x80 == 0 {
            return Some(number);
        }
    }
    None
}
