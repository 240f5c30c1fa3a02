//! LZ4 blocks with their size in front: 32 bits, little-endian, then one block (LZ4 block format).
//!
//! The size is a claim. It is held against the caller's cap and against what the block could unpack to at
//! most before a single byte is set aside for it.
//!
//! This crate must never know what is packed, nor where it comes from.
#![deny(clippy::arithmetic_side_effects, clippy::indexing_slicing, clippy::as_conversions)]

use lz4_flex::block::{
    CompressTable, DecompressError, compress_into_with_table, decompress_into, get_maximum_output_size,
};
use verge_domain::rejection::Reason;

/// Bytes that hold the size.
const SIZE_BYTES: usize = 4;
/// One byte of a block stands for at most this many bytes (LZ4 block format: a length byte adds up to 255).
const MAX_RATIO: usize = 255;

/// Why bytes are not a block of acceptable size.
#[derive(Debug, thiserror::Error)]
pub enum Lz4Error {
    /// Not even a size.
    #[error("{actual} bytes are too few for a block with its size in front")]
    NoSize {
        /// Bytes found.
        actual: usize,
    },
    /// More than the caller accepts.
    #[error("the block claims to unpack to {claimed} bytes, the limit is {limit}")]
    TooLarge {
        /// Bytes claimed.
        claimed: usize,
        /// Bytes accepted.
        limit: usize,
    },
    /// More than such a block can hold.
    #[error("the block claims to unpack to {claimed} bytes, which its {block} bytes cannot hold")]
    Implausible {
        /// Bytes claimed.
        claimed: usize,
        /// Bytes of the block.
        block: usize,
    },
    /// Not a block.
    #[error("the block is damaged: {0}")]
    Damaged(#[from] DecompressError),
    /// A block of another size.
    #[error("the block claims to unpack to {claimed} bytes and unpacks to {actual}")]
    WrongSize {
        /// Bytes claimed.
        claimed: usize,
        /// Bytes found.
        actual: usize,
    },
    /// More than 32 bits can say.
    #[error("{actual} bytes are too many for one block")]
    TooLong {
        /// Bytes to be packed.
        actual: usize,
    },
}

impl Lz4Error {
    /// The reason it is counted under.
    #[must_use]
    pub const fn reason(&self) -> Reason {
        match self {
            Self::TooLarge { .. } => Reason::Lz4TooLarge,
            Self::NoSize { .. }
            | Self::Implausible { .. }
            | Self::Damaged(_)
            | Self::WrongSize { .. }
            | Self::TooLong { .. } => Reason::BadLz4,
        }
    }
}

/// Unpacks into a buffer that it keeps.
#[derive(Debug, Default)]
pub struct Unpacker {
    buffer: Vec<u8>,
}

impl Unpacker {
    /// Unpacks `payload`, a block with its size in front, to at most `max_bytes`.
    ///
    /// # Errors
    /// See [`Lz4Error`]. The buffer has not grown beyond `max_bytes`, nor beyond 255 times the payload.
    pub fn unpack(&mut self, payload: &[u8], max_bytes: usize) -> Result<&[u8], Lz4Error> {
        let (size, block) =
            payload.split_first_chunk::<SIZE_BYTES>().ok_or(Lz4Error::NoSize { actual: payload.len() })?;
        let claimed = usize::try_from(u32::from_le_bytes(*size)).unwrap_or(usize::MAX);
        if claimed > max_bytes {
            return Err(Lz4Error::TooLarge { claimed, limit: max_bytes });
        }
        if claimed > block.len().saturating_mul(MAX_RATIO) {
            return Err(Lz4Error::Implausible { claimed, block: block.len() });
        }
        if self.buffer.len() < claimed {
            self.buffer.resize(claimed, 0);
        }
        let room = self.buffer.get_mut(..claimed).expect("the buffer was grown to the size above");
        let actual = decompress_into(block, room)?;
        if actual != claimed {
            return Err(Lz4Error::WrongSize { claimed, actual });
        }
        Ok(room)
    }
}

/// Packs with a table and a buffer that it keeps.
pub struct Packer {
    table: CompressTable,
    buffer: Vec<u8>,
}

impl Default for Packer {
    fn default() -> Self {
        Self { table: CompressTable::small(), buffer: Vec::new() }
    }
}

impl Packer {
    /// Packs `bytes` into a block with its size in front.
    ///
    /// # Errors
    /// More bytes than 32 bits can count.
    pub fn pack(&mut self, bytes: &[u8]) -> Result<&[u8], Lz4Error> {
        let too_long = || Lz4Error::TooLong { actual: bytes.len() };
        let size = u32::try_from(bytes.len()).map_err(|_| too_long())?;
        let room = get_maximum_output_size(bytes.len()).checked_add(SIZE_BYTES).ok_or_else(too_long)?;
        if self.buffer.len() < room {
            self.buffer.resize(room, 0);
        }
        let (front, block) = self
            .buffer
            .split_first_chunk_mut::<SIZE_BYTES>()
            .expect("the buffer was grown to hold a size above");
        *front = size.to_le_bytes();
        let packed = compress_into_with_table(bytes, block, &mut self.table)
            .expect("the buffer holds the largest block there can be");
        Ok(self
            .buffer
            .get(..packed.saturating_add(SIZE_BYTES))
            .expect("the block was written into the buffer"))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn packed(bytes: &[u8]) -> Vec<u8> {
        Packer::default().pack(bytes).unwrap().to_vec()
    }

    #[test]
    fn claims_are_checked_before_memory_is_set_aside() {
        let check = |payload: &[u8], limit: usize, expected: Result<usize, Reason>| {
            let mut unpacker = Unpacker::default();
            let result = unpacker.unpack(payload, limit).map(<[u8]>::len).map_err(|error| error.reason());
            assert_eq!(result, expected, "{payload:02x?}");
            assert!(unpacker.buffer.capacity() <= limit);
        };
        let good = packed(&[7; 1000]);
        check(&good, 1000, Ok(1000));
        check(&good, 999, Err(Reason::Lz4TooLarge));
        check(&good[..good.len() - 1], 1000, Err(Reason::BadLz4));
        check(&[0xff, 0xff, 0xff, 0xff, 0], 65_536, Err(Reason::Lz4TooLarge));
        check(&[0, 0, 1, 0, 0], 65_536, Err(Reason::BadLz4));
        check(&[1, 0, 0], 65_536, Err(Reason::BadLz4));
        check(&[], 65_536, Err(Reason::BadLz4));
        check(&packed(&[]), 65_536, Ok(0));
        let mut lie = good.clone();
        lie[0] = lie[0].wrapping_add(1);
        check(&lie, 65_536, Err(Reason::BadLz4));
        lie[0] = lie[0].wrapping_sub(2);
        check(&lie, 65_536, Err(Reason::BadLz4));
    }

    proptest! {
        #[test]
        fn what_is_packed_is_unpacked(messages in prop::collection::vec(prop::collection::vec(0u8..8, 0..2000), 1..5)) {
            let (mut packer, mut unpacker) = (Packer::default(), Unpacker::default());
            for message in messages {
                let block = packer.pack(&message).unwrap();
                prop_assert_eq!(unpacker.unpack(block, message.len()).unwrap(), &message[..]);
            }
        }

        #[test]
        fn arbitrary_bytes_never_panic(payload in prop::collection::vec(any::<u8>(), 0..300), small in any::<bool>()) {
            let mut payload = payload;
            if small && payload.len() >= 4 {
                payload[1..4].fill(0);
            }
            let mut unpacker = Unpacker::default();
            if let Ok(unpacked) = unpacker.unpack(&payload, 4096) {
                prop_assert!(unpacked.len() <= 4096);
            }
            prop_assert!(unpacker.buffer.capacity() <= 4096);
        }
    }
}
