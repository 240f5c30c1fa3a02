//! Tokens: what is stored of them, and how one that is shown is compared with it. PasswordFile are those of `verge-tls`.

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::rand;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

pub use verge_tls::NoRandom;
pub(super) use verge_tls::PasswordHash;

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_differ_and_are_compared_by_their_fingerprint() {
        let (one, other) = (random_secret().unwrap(), random_secret().unwrap());
        assert!(one != other && one.len() == 43);
        assert!(equal(&fingerprint(one.as_bytes()), &fingerprint(one.as_bytes())));
        assert!(!equal(&fingerprint(one.as_bytes()), &fingerprint(other.as_bytes())));
        assert_eq!(fingerprint(b"abc"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    }
}
