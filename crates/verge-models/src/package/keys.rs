//! Keys that sign packages: Ed25519 in PEM, as `openssl genpkey -algorithm ed25519` makes them.

use std::path::{Path, PathBuf};

use aws_lc_rs::signature::{ED25519, Ed25519KeyPair, UnparsedPublicKey};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// What stands before the 32 bytes of a public key in its SPKI.
///
/// **Source**: RFC 8410, section 4: SEQUENCE, the identifier 1.3.101.112, a bit string of 256 bits.
const SPKI: [u8; 12] = [0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];
/// A key is some hundred bytes.
const MAX_KEY_BYTES: u64 = 16 * 1024;

/// Why a key cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum SigningKeyError {
    /// It cannot be read.
    #[error("cannot read the key {}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// It is something else.
    #[error("{} is no {what} of Ed25519 in PEM: {remedy}", path.display())]
    Other {
        /// The file.
        path: PathBuf,
        /// What was expected.
        what: &'static str,
        /// What to do.
        remedy: &'static str,
    },
}

/// A private key, which signs.
pub struct SigningKey {
    pair: Ed25519KeyPair,
}

impl SigningKey {
    /// Reads one (PKCS#8).
    ///
    /// # Errors
    /// See [`SigningKeyError`].
    pub fn load(path: &Path) -> Result<Self, SigningKeyError> {
        let other = || SigningKeyError::Other {
            path: path.to_owned(),
            what: "private key",
            remedy: "`openssl genpkey -algorithm ed25519 -out KEY.pem` makes one, without a password",
        };
        let der = pem(path, "PRIVATE KEY")?.ok_or_else(other)?;
        let pair = Ed25519KeyPair::from_pkcs8_maybe_unchecked(&der).map_err(|_| other())?;
        Ok(Self { pair })
    }

    /// The signature of these bytes, in base64.
    #[must_use]
    pub fn sign(&self, bytes: &[u8]) -> String {
        STANDARD.encode(self.pair.sign(bytes).as_ref())
    }
}

/// A public key that packages are believed by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TrustedKey {
    /// Its file, for people.
    pub path: PathBuf,
    key: Vec<u8>,
}

impl TrustedKey {
    /// Reads one (SPKI).
    ///
    /// # Errors
    /// See [`SigningKeyError`].
    pub fn load(path: &Path) -> Result<Self, SigningKeyError> {
        let other = || SigningKeyError::Other {
            path: path.to_owned(),
            what: "public key",
            remedy: "`openssl pkey -in KEY.pem -pubout -out PUBLIC.pem` makes one of a private key",
        };
        let der = pem(path, "PUBLIC KEY")?.ok_or_else(other)?;
        let key = der.strip_prefix(&SPKI).filter(|key| key.len() == 32).ok_or_else(other)?;
        Ok(Self { path: path.to_owned(), key: key.to_vec() })
    }

    /// Whether a signature in base64 is of these bytes by this key.
    #[must_use]
    pub fn verifies(&self, bytes: &[u8], signature: &str) -> bool {
        let Ok(signature) = STANDARD.decode(signature.trim()) else { return false };
        UnparsedPublicKey::new(&ED25519, &self.key).verify(bytes, &signature).is_ok()
    }
}

/// The first block of this kind in a file; nothing where there is none.
fn pem(path: &Path, kind: &str) -> Result<Option<Vec<u8>>, SigningKeyError> {
    let read = |source| SigningKeyError::Read { path: path.to_owned(), source };
    if std::fs::metadata(path).map_err(read)?.len() > MAX_KEY_BYTES {
        return Ok(None);
    }
    let bytes = std::fs::read(path).map_err(read)?;
    let text = String::from_utf8_lossy(&bytes);
    let block = || {
        let (_, behind) = text.split_once(&format!("-----BEGIN {kind}-----"))?;
        let (body, _) = behind.split_once(&format!("-----END {kind}-----"))?;
        let packed: String = body.split_whitespace().collect();
        STANDARD.decode(packed).ok()
    };
    Ok(block())
}
