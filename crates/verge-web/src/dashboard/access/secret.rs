//! Passwords and tokens: what is stored of them, and how one that is shown is compared with it.

use argon2::{Algorithm, Argon2, Params, Version};
use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::rand;
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};

/// Memory, passes and lanes of argon2id (OWASP): some 20 ms on a desktop machine.
const MEMORY_KIB: u32 = 19 * 1024;
const PASSES: u32 = 2;
const LANES: u32 = 1;
/// A file may ask for this much at most.
const MOST_MEMORY_KIB: u32 = 256 * 1024;
const MOST_PASSES: u32 = 10;
const HASH_BYTES: usize = 32;
const SALT_BYTES: usize = 16;

/// The system gives no random numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the system gives no random numbers")]
pub struct NoRandom;

/// Random bytes.
pub(crate) fn random<const N: usize>() -> Result<[u8; N], NoRandom> {
    let mut bytes = [0; N];
    rand::fill(&mut bytes).map_err(|_| NoRandom)?;
    Ok(bytes)
}

/// A secret that nobody guesses: 256 random bits as text.
pub(crate) fn random_secret() -> Result<String, NoRandom> {
    Ok(URL_SAFE_NO_PAD.encode(random::<32>()?))
}

/// SHA-256, hexadecimal. Enough for secrets of 256 random bits; for passwords there is [`PasswordHash`].
pub(crate) fn fingerprint(secret: &[u8]) -> String {
    digest(&SHA256, secret).as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Whether two texts are equal, in a time that does not depend on where they differ.
pub(crate) fn equal(one: &str, other: &str) -> bool {
    verify_slices_are_equal(one.as_bytes(), other.as_bytes()).is_ok()
}

/// What is stored of a password: `$argon2id$v=19$m=19456,t=2,p=1$SALT$HASH`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PasswordHash {
    memory_kib: u32,
    passes: u32,
    lanes: u32,
    salt: Vec<u8>,
    hash: Vec<u8>,
}

impl PasswordHash {
    /// Of a new password.
    pub(crate) fn of(password: &str) -> Result<Self, NoRandom> {
        let salt = random::<SALT_BYTES>()?.to_vec();
        let hash = Self { memory_kib: MEMORY_KIB, passes: PASSES, lanes: LANES, salt, hash: Vec::new() };
        Ok(Self { hash: hash.computed(password, HASH_BYTES), ..hash })
    }

    /// What no password matches, and takes as long.
    pub(crate) fn of_nobody() -> Self {
        let (salt, hash) = (vec![0; SALT_BYTES], Vec::new());
        Self { memory_kib: MEMORY_KIB, passes: PASSES, lanes: LANES, salt, hash }
    }

    /// Whether the password is this one. Takes memory and time on purpose: never in a thread that others wait for.
    pub(crate) fn matches(&self, password: &str) -> bool {
        let computed = self.computed(password, HASH_BYTES);
        verify_slices_are_equal(&computed, &self.hash).is_ok()
    }

    fn computed(&self, password: &str, bytes: usize) -> Vec<u8> {
        let params = Params::new(self.memory_kib, self.passes, self.lanes, Some(bytes));
        let argon = Argon2::new(
            Algorithm::Argon2id,
            Version::V0x13,
            params.expect("these were checked when they were read"),
        );
        let mut hash = vec![0; bytes];
        let hashed = argon.hash_password_into(password.as_bytes(), &self.salt, &mut hash);
        hashed.expect("the salt has 8 bytes at least, and a password is short");
        hash
    }

    /// Reads what a file holds.
    pub(crate) fn read(text: &str) -> Option<Self> {
        let mut parts = text.strip_prefix("$argon2id$v=19$")?.split('$');
        let (params, salt, hash) = (parts.next()?, parts.next()?, parts.next()?);
        let number = |key: &str| {
            let found = params.split(',').find_map(|param| param.strip_prefix(key))?;
            found.parse::<u32>().ok()
        };
        let read = Self {
            memory_kib: number("m=")?,
            passes: number("t=")?,
            lanes: number("p=")?,
            salt: STANDARD_NO_PAD.decode(salt).ok()?,
            hash: STANDARD_NO_PAD.decode(hash).ok()?,
        };
        let fits = read.memory_kib <= MOST_MEMORY_KIB
            && read.passes <= MOST_PASSES
            && (8..=64).contains(&read.salt.len())
            && read.hash.len() == HASH_BYTES
            && parts.next().is_none();
        let is_possible = Params::new(read.memory_kib, read.passes, read.lanes, Some(HASH_BYTES)).is_ok();
        (fits && is_possible).then_some(read)
    }

    /// As a file holds it.
    pub(crate) fn written(&self) -> String {
        let Self { memory_kib, passes, lanes, salt, hash } = self;
        let (salt, hash) = (STANDARD_NO_PAD.encode(salt), STANDARD_NO_PAD.encode(hash));
        format!("$argon2id$v=19$m={memory_kib},t={passes},p={lanes}${salt}${hash}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_stored_as_a_hash_that_only_it_matches() {
        let stored = PasswordHash::of("correct horse battery").unwrap();
        let read = PasswordHash::read(&stored.written()).unwrap();
        assert_eq!(read, stored);
        assert!(read.matches("correct horse battery") && !read.matches("correct horse batterx"));
        assert_ne!(PasswordHash::of("correct horse battery").unwrap(), stored, "each has a salt of its own");
        assert!(!PasswordHash::of_nobody().matches(""));
        assert!(!stored.written().contains("horse"));
    }

    #[test]
    fn hashes_that_would_take_too_much_or_are_none_are_refused() {
        let good = "$argon2id$v=19$m=19456,t=2,p=1$c29tZXNhbHQxMjM0NTY$";
        assert!(PasswordHash::read(&format!("{good}{}", "A".repeat(43))).is_some());
        let hash = "A".repeat(43);
        for odd in [
            String::new(),
            good.to_owned(),
            format!("$argon2i$v=19$m=19456,t=2,p=1$c29tZXNhbHQxMjM0NTY${hash}"),
            format!("$argon2id$v=19$m=4194304,t=2,p=1$c29tZXNhbHQxMjM0NTY${hash}"),
            format!("$argon2id$v=19$m=1,t=2,p=1$c29tZXNhbHQxMjM0NTY${hash}"),
            format!("$argon2id$v=19$m=19456,t=999,p=1$c29tZXNhbHQxMjM0NTY${hash}"),
            format!("$argon2id$v=19$m=19456,t=2,p=0$c29tZXNhbHQxMjM0NTY${hash}"),
            format!("$argon2id$v=19$m=19456,t=2,p=1$c2FsdA${hash}"),
            format!("{good}{hash}$more"),
        ] {
            assert_eq!(PasswordHash::read(&odd), None, "{odd}");
        }
    }

    #[test]
    fn secrets_differ_and_are_compared_by_their_fingerprint() {
        let (one, other) = (random_secret().unwrap(), random_secret().unwrap());
        assert!(one != other && one.len() == 43);
        assert!(equal(&fingerprint(one.as_bytes()), &fingerprint(one.as_bytes())));
        assert!(!equal(&fingerprint(one.as_bytes()), &fingerprint(other.as_bytes())));
        assert_eq!(fingerprint(b"abc"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    }
}
