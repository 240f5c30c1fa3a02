//! What files hold, by its digest: equal digests, equal contents.

use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use sha2::{Digest, Sha256};

/// SHA-256 of what a file holds, or of several such digests in a row.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct ContentDigest([u8; 32]);

/// Takes bytes as they come.
#[derive(Default)]
pub struct Digester {
    hash: Sha256,
}

impl Digester {
    /// Takes more.
    pub fn add(&mut self, bytes: &[u8]) {
        self.hash.update(bytes);
    }

    /// Of all of them.
    #[must_use]
    pub fn end(self) -> ContentDigest {
        ContentDigest(self.hash.finalize().into())
    }
}

impl ContentDigest {
    /// Of these bytes.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Self {
        Self(Sha256::digest(bytes).into())
    }

    /// Of a file.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn of_file(path: &Path) -> io::Result<Self> {
        let mut file = File::open(path)?;
        let mut hash = Sha256::new();
        let mut buffer = vec![0; 1 << 16];
        loop {
            match file.read(&mut buffer)? {
                0 => return Ok(Self(hash.finalize().into())),
                count => hash.update(&buffer[..count]),
            }
        }
    }

    /// The one that is written in these 64 hexadecimal digits; nothing where they are none.
    #[must_use]
    pub fn of_digits(digits: &str) -> Option<Self> {
        if digits.len() != 64 || !digits.bytes().all(|digit| digit.is_ascii_hexdigit()) {
            return None;
        }
        let mut bytes = [0; 32];
        for (at, byte) in bytes.iter_mut().enumerate() {
            *byte = u8::from_str_radix(&digits[2 * at..2 * at + 2], 16).ok()?;
        }
        Some(Self(bytes))
    }

    /// Its bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// Of all of these, in their order.
    #[must_use]
    pub fn joined(all: &[Self]) -> Self {
        let mut hash = Sha256::new();
        all.iter().for_each(|one| hash.update(one.0));
        Self(hash.finalize().into())
    }
}

impl fmt::Display for ContentDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for ContentDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_stand_for_bytes() {
        let digest = ContentDigest::of(b"verge");
        assert_eq!(ContentDigest::of_digits(&digest.to_string()), Some(digest));
        assert_eq!(ContentDigest::of_digits(&"aB".repeat(32)).unwrap().as_bytes(), &[0xab; 32]);
        for digits in ["", "ab", &"+b".repeat(32), &"é".repeat(32), &"ab".repeat(33)] {
            assert_eq!(ContentDigest::of_digits(digits), None, "{digits}");
        }
    }
}
