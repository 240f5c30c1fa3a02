//! Encryption of what is stored: AES-256-GCM-SIV (RFC 8452) with random nonces, each text bound to its place.

use std::fmt;

use aws_lc_rs::aead::{AES_256_GCM_SIV, Aad, NONCE_LEN, Nonce, RandomizedNonceKey};
use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::hmac;
use zeroize::Zeroizing;

/// Bytes of a key.
const KEY_BYTES: usize = 32;
/// What the check value of a store seals: a wrong key cannot open it.
const CHECK_TEXT: &[u8] = b"verge store";
const CHECK_PLACE: &[u8] = b"key check";
/// What the key for names is derived with.
const NAMES: &[u8] = b"verge: names of saved states";

/// The key of an encrypted store; wiped from memory when it is dropped, never printed.
#[derive(Clone)]
pub struct StoreKey(Zeroizing<[u8; KEY_BYTES]>);

/// Why bytes are no key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum StoreKeyError {
    /// Neither of the two lengths.
    #[error("a store key is 32 raw bytes or 64 hexadecimal digits, this has {actual} bytes")]
    Length {
        /// Bytes found.
        actual: usize,
    },
    /// 64 characters that are not all digits.
    #[error("a store key of 64 characters must be hexadecimal digits")]
    Digits,
}

impl StoreKey {
    /// Takes 32 raw bytes, or 64 hexadecimal digits with or without white space around them.
    ///
    /// # Errors
    /// See [`StoreKeyError`].
    pub fn parse(text: &[u8]) -> Result<Self, StoreKeyError> {
        if let Ok(raw) = <[u8; KEY_BYTES]>::try_from(text) {
            return Ok(Self(Zeroizing::new(raw)));
        }
        let digits = text.trim_ascii();
        if digits.len() != 2 * KEY_BYTES {
            return Err(StoreKeyError::Length { actual: digits.len() });
        }
        let mut key = Zeroizing::new([0; KEY_BYTES]);
        for (byte, pair) in key.iter_mut().zip(digits.chunks_exact(2)) {
            let digit = |at: usize| char::from(pair[at]).to_digit(16).ok_or(StoreKeyError::Digits);
            *byte = u8::try_from(digit(0)? * 16 + digit(1)?).expect("two hexadecimal digits are a byte");
        }
        Ok(Self(key))
    }
}

impl fmt::Debug for StoreKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("StoreKey(…)")
    }
}

impl PartialEq for StoreKey {
    fn eq(&self, other: &Self) -> bool {
        verify_slices_are_equal(&*self.0, &*other.0).is_ok()
    }
}

impl Eq for StoreKey {}

/// Seals and opens texts under one key.
pub(crate) struct Cipher {
    key: RandomizedNonceKey,
    names: hmac::Key,
}

impl fmt::Debug for Cipher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Cipher(…)")
    }
}

impl Cipher {
    pub(crate) fn new(store_key: &StoreKey) -> Self {
        let key = RandomizedNonceKey::new(&AES_256_GCM_SIV, &*store_key.0)
            .expect("the length is right and the algorithm is one with random nonces");
        let names = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, &*store_key.0), NAMES);
        Self { key, names: hmac::Key::new(hmac::HMAC_SHA256, names.as_ref()) }
    }

    /// What stands in the place of a name: the same for the same name, and nothing can be read from it.
    pub(crate) fn name(&self, name: &str) -> String {
        let tag = hmac::sign(&self.names, name.as_bytes());
        tag.as_ref().iter().take(16).map(|byte| format!("{byte:02x}")).collect()
    }

    /// Nonce, encrypted text and tag. It opens only in the same place.
    pub(crate) fn seal(&self, place: &[u8], text: &[u8]) -> Vec<u8> {
        let mut sealed = text.to_vec();
        let nonce = self.key.seal_in_place_append_tag(Aad::from(place), &mut sealed).expect(
            "texts are shorter than the algorithm's limit of 64 GiB, and the system gives random numbers",
        );
        sealed.splice(0..0, nonce.as_ref().iter().copied());
        sealed
    }

    /// The text, if it was sealed under this key in this place and nobody changed it.
    pub(crate) fn open(&self, place: &[u8], sealed: &[u8]) -> Option<Vec<u8>> {
        let (nonce, sealed) = sealed.split_first_chunk::<NONCE_LEN>()?;
        let mut text = sealed.to_vec();
        let nonce = Nonce::assume_unique_for_key(*nonce);
        let length = self.key.open_in_place(nonce, Aad::from(place), &mut text).ok()?.len();
        text.truncate(length);
        Some(text)
    }

    /// A value by which the key is known again.
    pub(crate) fn check_value(&self) -> Vec<u8> {
        self.seal(CHECK_PLACE, CHECK_TEXT)
    }

    /// Whether the check value was made with this key.
    pub(crate) fn made(&self, check_value: &[u8]) -> bool {
        self.open(CHECK_PLACE, check_value).is_some_and(|text| text == CHECK_TEXT)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_32_bytes_or_64_digits() {
        let key = StoreKey::parse(&[7; 32]).unwrap();
        let check = |text: &[u8], expected: Result<&StoreKey, StoreKeyError>| {
            assert_eq!(StoreKey::parse(text), expected.cloned(), "{text:?}");
        };
        check("07".repeat(32).as_bytes(), Ok(&key));
        check(format!(" {}\n", "07".repeat(32)).as_bytes(), Ok(&key));
        check(&[8; 31], Err(StoreKeyError::Length { actual: 31 }));
        check("0x".repeat(32).as_bytes(), Err(StoreKeyError::Digits));
        check(b"", Err(StoreKeyError::Length { actual: 0 }));
        assert_eq!(format!("{key:?}"), "StoreKey(…)");
        assert_ne!(key, StoreKey::parse(&[8; 32]).unwrap());
    }

    #[test]
    fn a_text_opens_only_in_its_place_and_under_its_key() {
        let key = |byte| Cipher::new(&StoreKey::parse(&[byte; 32]).unwrap());
        let cipher = key(1);
        for text in [&b""[..], b"a verdict"] {
            let sealed = cipher.seal(b"here", text);
            assert_ne!(sealed, cipher.seal(b"here", text), "nonces are random");
            assert_eq!(cipher.open(b"here", &sealed).as_deref(), Some(text));
            assert_eq!(cipher.open(b"there", &sealed), None);
            assert_eq!(key(2).open(b"here", &sealed), None);
            for at in 0..sealed.len() {
                let mut changed = sealed.clone();
                changed[at] ^= 1;
                assert_eq!(cipher.open(b"here", &changed), None, "byte {at}");
            }
        }
        assert_eq!(cipher.open(b"here", b"short"), None);
        assert!(cipher.made(&cipher.check_value()));
        assert!(!cipher.made(&key(2).check_value()));
    }

    /// RFC 8452, appendix C.2, the first case: that the algorithm is the one we name.
    #[test]
    fn the_algorithm_is_that_of_the_standard() {
        let mut raw = [0; 32];
        raw[0] = 1;
        let mut nonce = [0; NONCE_LEN];
        nonce[0] = 3;
        let tag =
            [0x07, 0xf5, 0xf4, 0x16, 0x9b, 0xbf, 0x55, 0xa8, 0x40, 0x0c, 0xd4, 0x7e, 0xa6, 0xfd, 0x40, 0x0f];
        let sealed = [&nonce[..], &tag[..]].concat();
        assert_eq!(
            Cipher::new(&StoreKey::parse(&raw).unwrap()).open(b"", &sealed).as_deref(),
            Some(&b""[..])
        );
    }
}
