//! What a connection holds in one direction: little while it is idle, as most are.

use std::time::Duration;

/// Bytes in flight in one direction. A packet of filters has room in it.
pub(super) const BUFFER_BYTES: usize = 8 * 1024;
/// While a connection is idle.
const IDLE_BYTES: usize = 512;
/// A connection over which nothing has come for this long is idle.
pub(super) const IDLE: Duration = Duration::from_secs(2);

/// Bytes that came and are not passed on yet.
#[derive(Debug)]
pub(super) struct Buffer {
    bytes: Vec<u8>,
    from: usize,
    to: usize,
    /// More than it takes has come at once.
    is_short: bool,
}

impl Buffer {
    /// With what came before.
    pub(super) fn of(rest: &[u8]) -> Self {
        let mut bytes = rest.to_vec();
        bytes.resize(if rest.is_empty() { IDLE_BYTES } else { BUFFER_BYTES.max(rest.len() + 1) }, 0);
        Self { bytes, from: 0, to: rest.len(), is_short: false }
    }

    /// What is not passed on yet.
    pub(super) fn held(&self) -> &[u8] {
        &self.bytes[self.from..self.to]
    }

    /// This number of bytes of it is.
    pub(super) const fn pass(&mut self, bytes: usize) {
        self.from += bytes;
    }

    /// Where to read to; never empty unless more is held than a packet of filters has.
    pub(super) fn space(&mut self) -> &mut [u8] {
        if self.from > 0 {
            self.bytes.copy_within(self.from..self.to, 0);
            (self.from, self.to) = (0, self.to - self.from);
        }
        if (self.is_short || self.to == self.bytes.len()) && self.bytes.len() < BUFFER_BYTES {
            self.bytes.resize(BUFFER_BYTES, 0);
        }
        &mut self.bytes[self.to..]
    }

    /// This number of bytes was read.
    pub(super) const fn filled(&mut self, bytes: usize) {
        self.to += bytes;
        self.is_short = self.to == self.bytes.len();
    }

    /// Whether it could be smaller.
    pub(super) const fn can_shrink(&self) -> bool {
        self.from == self.to && self.bytes.len() > IDLE_BYTES
    }

    /// The connection is idle.
    pub(super) fn shrink(&mut self) {
        if self.can_shrink() {
            *self = Self::of(&[]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(buffer: &mut Buffer, bytes: usize) -> usize {
        let space = buffer.space();
        let read = bytes.min(space.len());
        space[..read].fill(7);
        buffer.filled(read);
        read
    }

    #[test]
    fn it_is_small_while_little_comes_and_again_when_it_is_idle() {
        let mut buffer = Buffer::of(&[]);
        assert_eq!((read(&mut buffer, 100), buffer.held().len()), (100, 100));
        buffer.pass(100);
        assert!(!buffer.can_shrink());
        assert_eq!(read(&mut buffer, 9_000), IDLE_BYTES);
        buffer.pass(IDLE_BYTES);
        assert_eq!(read(&mut buffer, 9_000), BUFFER_BYTES);
        buffer.pass(10);
        buffer.shrink();
        assert_eq!(buffer.held().len(), BUFFER_BYTES - 10, "what is held stays");
        assert_eq!(read(&mut buffer, 9_000), 10);
        buffer.pass(BUFFER_BYTES);
        buffer.shrink();
        assert_eq!((buffer.bytes.len(), buffer.bytes.capacity()), (IDLE_BYTES, IDLE_BYTES));
        // A packet that grows byte by byte has room, too.
        for _ in 0..BUFFER_BYTES {
            assert_eq!(read(&mut buffer, 1), 1);
        }
        assert_eq!(buffer.held().len(), BUFFER_BYTES);
        let long = Buffer::of(&[1; 2 * BUFFER_BYTES]);
        assert_eq!((long.held().len(), long.bytes.len()), (2 * BUFFER_BYTES, 2 * BUFFER_BYTES + 1));
    }
}
