//! The bytes of a JPEG for a decoder that does not say when its data ends too early.
//!
//! zune-jpeg takes an end marker within the scan for the end of the picture and fills what is missing with grey, in
//! strict mode too. So it never sees the marker while it reads entropy-coded data. Behind the end it finds ones, which
//! no Huffman code consists of (T.81 section C.2) and which count as what they are: more than the few bytes that it
//! reads ahead of its needs, and the data has ended too early. Where it looks for a marker it finds the end's.

use std::cell::Cell;

use zune_core::bytestream::{ZByteIoError, ZByteReaderTrait, ZSeekFrom};

/// End of image (T.81 annex B).
const END: [u8; 2] = [0xff, 0xd9];
/// Bytes that the decoder reads ahead at most: its buffer has 64 bits.
const AHEAD: usize = 8;

/// A JPEG without its end marker, read from front to back.
pub(super) struct Scan<'a> {
    bytes: &'a [u8],
    at: usize,
    /// Bytes of entropy-coded data that were read behind the end; shared, since the decoder keeps the rest.
    behind: &'a Cell<usize>,
    /// Bytes of the end marker that were read.
    end: usize,
    /// The position was asked for last: the decoder does so where it looks for the marker of a restart, and nowhere
    /// else. There the end is none: that it is missing must show in the data.
    is_restart: bool,
}

impl<'a> Scan<'a> {
    /// From a JPEG that ends with its end marker; `None` for other bytes.
    pub(super) fn new(jpeg: &'a [u8], behind: &'a Cell<usize>) -> Option<Self> {
        let mut bytes = jpeg.strip_suffix(&END)?;
        // Bytes of fill in front of the marker.
        while let Some(shorter) = bytes.strip_suffix(&[0xff]) {
            bytes = shorter;
        }
        behind.set(0);
        Some(Self { bytes, at: 0, behind, end: 0, is_restart: false })
    }

    /// Whether the decoder needed more data than there is.
    pub(super) const fn ended_early(behind: &Cell<usize>) -> bool {
        behind.get() > AHEAD
    }

    /// A byte behind the end: ones, stuffed with zeros as they are within a scan.
    #[cold]
    fn byte_behind(&mut self) -> u8 {
        let is_stuffing = (self.at - self.bytes.len()) % 2 == 1;
        self.at += 1;
        if is_stuffing {
            return 0;
        }
        self.behind.set(self.behind.get() + 1);
        0xff
    }

    /// A byte behind the end where a marker is looked for.
    #[cold]
    fn marker_behind(&mut self, buffer: &mut [u8]) -> Result<(), ZByteIoError> {
        let [byte] = buffer else { return Err(ZByteIoError::NotEnoughBytes(0, buffer.len())) };
        *byte = END[self.end % END.len()];
        self.end += 1;
        Ok(())
    }
}

impl ZByteReaderTrait for Scan<'_> {
    #[inline(always)]
    fn read_byte_no_error(&mut self) -> u8 {
        self.is_restart = false;
        let Some(byte) = self.bytes.get(self.at) else { return self.byte_behind() };
        self.at += 1;
        *byte
    }

    #[inline(always)]
    fn read_exact_bytes(&mut self, buffer: &mut [u8]) -> Result<(), ZByteIoError> {
        match self.bytes.get(self.at..).and_then(|left| left.get(..buffer.len())) {
            Some(bytes) => {
                buffer.copy_from_slice(bytes);
                self.at += bytes.len();
                if bytes.len() > 1 {
                    self.is_restart = false;
                }
                Ok(())
            }
            None => self.marker_behind(buffer),
        }
    }

    fn read_bytes(&mut self, buffer: &mut [u8]) -> Result<usize, ZByteIoError> {
        let count = self.peek_bytes(buffer)?;
        self.at += count;
        Ok(count)
    }

    fn peek_bytes(&mut self, buffer: &mut [u8]) -> Result<usize, ZByteIoError> {
        let left = self.bytes.get(self.at..).unwrap_or_default();
        let count = left.len().min(buffer.len());
        buffer[..count].copy_from_slice(&left[..count]);
        Ok(count)
    }

    fn peek_exact_bytes(&mut self, buffer: &mut [u8]) -> Result<(), ZByteIoError> {
        match self.peek_bytes(buffer)? {
            count if count == buffer.len() => Ok(()),
            count => Err(ZByteIoError::NotEnoughBytes(count, buffer.len())),
        }
    }

    fn z_seek(&mut self, from: ZSeekFrom) -> Result<u64, ZByteIoError> {
        let to = match from {
            ZSeekFrom::Start(at) => usize::try_from(at).ok(),
            ZSeekFrom::End(by) => {
                isize::try_from(by).ok().and_then(|by| self.bytes.len().checked_add_signed(by))
            }
            ZSeekFrom::Current(by) => isize::try_from(by).ok().and_then(|by| self.at.checked_add_signed(by)),
        };
        self.at = to.ok_or(ZByteIoError::SeekError("beyond what can be counted"))?;
        Ok(self.at as u64)
    }

    #[inline(always)]
    fn is_eof(&mut self) -> Result<bool, ZByteIoError> {
        Ok(self.at >= self.bytes.len() && std::mem::take(&mut self.is_restart))
    }

    fn z_position(&mut self) -> Result<u64, ZByteIoError> {
        self.is_restart = true;
        Ok(self.at as u64)
    }

    fn read_remaining(&mut self, sink: &mut Vec<u8>) -> Result<usize, ZByteIoError> {
        let left = self.bytes.get(self.at..).unwrap_or_default();
        sink.extend_from_slice(left);
        self.at = self.bytes.len();
        Ok(left.len())
    }
}
