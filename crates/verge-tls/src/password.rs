//! Passwords: what is stored of them, and how one that is shown is compared with it.

use std::num::NonZeroU32;
use std::sync::{Mutex, PoisonError};

use argon2::{Algorithm, Argon2, Block, Params, Version};
use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::{pbkdf2, rand};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};

/// Memory, passes and lanes of argon2id (OWASP): some 20 ms on a desktop machine.
const MEMORY_KIB: u32 = 19 * 1024;
const PASSES: u32 = 2;
const LANES: u32 = 1;
/// A file may ask for this much at most.
const MOST_MEMORY_KIB: u32 = 256 * 1024;
const MOST_PASSES: u32 = 10;
/// What is kept of the memory from one hash to the next.
const KEPT_BLOCKS: usize = MEMORY_KIB as usize;
const HASH_BYTES: usize = 32;
const SALT_BYTES: usize = 16;

/// Passes of PBKDF2 that a file may ask for at most, and bytes of its hash (SHA-512).
const MOST_ITERATIONS: u32 = 1_000_000;
const PBKDF2_BYTES: usize = 64;

/// The memory of all hashes, one after the other: were it each thread's own, the allocator would go on holding it for every
/// thread that ever compared a password, and a guesser has many of them busy.
static MEMORY: Mutex<Vec<Block>> = Mutex::new(Vec::new());

/// The system gives no random numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the system gives no random numbers")]
pub struct NoRandom;

/// What is stored of a password: `$argon2id$v=19$m=19456,t=2,p=1$SALT$HASH`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PasswordHash {
    memory_kib: u32,
    passes: u32,
    lanes: u32,
    salt: Vec<u8>,
    hash: Vec<u8>,
}

impl PasswordHash {
    /// Of a new password.
    ///
    /// # Errors
    /// The system gives no random numbers.
    pub fn of(password: &str) -> Result<Self, NoRandom> {
        let mut salt = vec![0; SALT_BYTES];
        rand::fill(&mut salt).map_err(|_| NoRandom)?;
        let hash = Self { memory_kib: MEMORY_KIB, passes: PASSES, lanes: LANES, salt, hash: Vec::new() };
        Ok(Self { hash: hash.computed(password, HASH_BYTES), ..hash })
    }

    /// What no password matches, and takes as long.
    #[must_use]
    pub fn of_nobody() -> Self {
        let (salt, hash) = (vec![0; SALT_BYTES], Vec::new());
        Self { memory_kib: MEMORY_KIB, passes: PASSES, lanes: LANES, salt, hash }
    }

    /// Whether the password is this one. Takes memory and time on purpose: never in a thread that others wait for.
    #[must_use]
    pub fn matches(&self, password: &str) -> bool {
        let computed = self.computed(password, HASH_BYTES);
        verify_slices_are_equal(&computed, &self.hash).is_ok()
    }

    fn computed(&self, password: &str, bytes: usize) -> Vec<u8> {
        let params = Params::new(self.memory_kib, self.passes, self.lanes, Some(bytes))
            .expect("these were checked when they were read");
        let blocks = params.block_count();
        let argon = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
        let mut hash = vec![0; bytes];
        let mut memory = MEMORY.lock().unwrap_or_else(PoisonError::into_inner);
        if memory.len() < blocks {
            memory.resize(blocks, Block::default());
        }
        let hashed =
            argon.hash_password_into_with_memory(password.as_bytes(), &self.salt, &mut hash, &mut *memory);
        if memory.len() > KEPT_BLOCKS {
            *memory = Vec::new();
        }
        drop(memory);
        hashed.expect("the salt has 8 bytes at least, and a password is short");
        hash
    }

    /// Reads what a file holds.
    #[must_use]
    pub fn read(text: &str) -> Option<Self> {
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
    #[must_use]
    pub fn written(&self) -> String {
        let Self { memory_kib, passes, lanes, salt, hash } = self;
        let (salt, hash) = (STANDARD_NO_PAD.encode(salt), STANDARD_NO_PAD.encode(hash));
        format!("$argon2id$v=19$m={memory_kib},t={passes},p={lanes}${salt}${hash}")
    }
}

/// A password as mosquitto's `mosquitto_passwd` stores it: `$7$PASSES$SALT$HASH`, PBKDF2 with SHA-512.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MosquittoHash {
    iterations: NonZeroU32,
    salt: Vec<u8>,
    hash: Vec<u8>,
}

impl MosquittoHash {
    /// Reads what its file holds.
    #[must_use]
    pub fn read(text: &str) -> Option<Self> {
        let mut parts = text.strip_prefix("$7$")?.split('$');
        let (iterations, salt, hash) = (parts.next()?, parts.next()?, parts.next()?);
        let iterations = NonZeroU32::new(iterations.parse().ok()?)?;
        let (salt, hash) = (STANDARD.decode(salt).ok()?, STANDARD.decode(hash).ok()?);
        let fits = iterations.get() <= MOST_ITERATIONS
            && (8..=64).contains(&salt.len())
            && hash.len() == PBKDF2_BYTES
            && parts.next().is_none();
        fits.then_some(Self { iterations, salt, hash })
    }

    /// Whether the password is this one.
    #[must_use]
    pub fn matches(&self, password: &str) -> bool {
        let algorithm = pbkdf2::PBKDF2_HMAC_SHA512;
        pbkdf2::verify(algorithm, self.iterations, &self.salt, password.as_bytes(), &self.hash).is_ok()
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

    #[cfg(target_os = "linux")]
    #[test]
    fn passwords_that_are_compared_in_many_threads_take_the_memory_of_one() {
        let resident = || {
            let status = std::fs::read_to_string("/proc/self/status").unwrap();
            let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
            line.trim().trim_end_matches("kB").trim().parse::<u64>().unwrap()
        };
        let stored = PasswordHash::of("correct horse battery").unwrap();
        let before = resident();
        let all = std::sync::Barrier::new(17);
        std::thread::scope(|threads| {
            let (stored, all) = (&stored, &all);
            // As many at the same time as a pool has: none gives its memory back before the last has begun.
            for _ in 0..16 {
                threads.spawn(move || {
                    all.wait();
                    assert!(stored.matches("correct horse battery"));
                    all.wait();
                });
            }
            all.wait();
            all.wait();
            let grown = resident().saturating_sub(before);
            assert!(grown < 2 * u64::from(MEMORY_KIB), "{grown} KiB");
        });
        // More memory than is kept, and less than there is.
        for memory_kib in [2 * MEMORY_KIB, 64, MEMORY_KIB] {
            let other = PasswordHash { memory_kib, hash: Vec::new(), ..stored.clone() };
            let other = PasswordHash { hash: other.computed("pass", HASH_BYTES), ..other };
            assert!(other.matches("pass") && !other.matches("word"));
        }
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
    fn what_mosquitto_passwd_has_stored_is_read() {
        // mosquitto_passwd -b of 2.0, password "correct".
        let text = "$7$101$BBI6q9U/G1rMxmuv$7Npf9C6kMuyrGkKJ7Vf6qYzy1wcDLldF++XdxRKvVYMADssUcrNVL5bulsn7i1EaRq1JEG+L+85PP+OzeMbgOQ==";
        let read = MosquittoHash::read(text).unwrap();
        assert!(read.matches("correct") && !read.matches("wrong"));
        for odd in ["", "$6$abc$def", "$7$0$c2FsdHNhbHQ=$aGFzaA==", "$7$101$c2FsdHNhbHQ=$aGFzaA=="] {
            assert_eq!(MosquittoHash::read(odd), None, "{odd}");
        }
        assert_eq!(MosquittoHash::read(&text.replace("$101$", "$4000000$")), None);
    }
}
