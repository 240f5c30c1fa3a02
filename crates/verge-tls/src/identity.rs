//! What is loaded: an end's own certificate and key, and the authorities it trusts.

use std::fmt;
use std::path::Path;

use rustls::RootCertStore;
use rustls::pki_types::pem::{Error as PemError, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use crate::TlsError;

/// Certificate chain and private key of one end of a connection.
pub struct Identity {
    pub(crate) chain: Vec<CertificateDer<'static>>,
    pub(crate) key: PrivateKeyDer<'static>,
}

impl Identity {
    /// Reads two PEM files: the certificate with any intermediates, and its private key.
    ///
    /// # Errors
    /// A file that is missing, holds neither, or an encrypted key. Whether the two belong together shows
    /// when a configuration is built.
    pub fn load(cert_path: &Path, key_path: &Path) -> Result<Self, TlsError> {
        let chain = certificates(&read(cert_path)?, &cert_path.display().to_string())?;
        let key = private_key(&read(key_path)?, &key_path.display().to_string())?;
        Ok(Self { chain, key })
    }

    /// The same from PEM texts.
    ///
    /// # Errors
    /// See [`Identity::load`].
    pub fn from_pem(cert: &[u8], key: &[u8]) -> Result<Self, TlsError> {
        Ok(Self { chain: certificates(cert, "the certificate")?, key: private_key(key, "the key")? })
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Identity")
            .field("certificates", &self.chain.len())
            .field("key", &"[redacted]")
            .finish()
    }
}

/// The authorities that a peer's certificate must lead to.
#[derive(Debug, Clone)]
pub struct TrustedRoots {
    pub(crate) store: RootCertStore,
}

impl TrustedRoots {
    /// Reads a PEM file with one or more authorities.
    ///
    /// # Errors
    /// A file that is missing, holds none, or holds one that cannot be an authority.
    pub fn load(path: &Path) -> Result<Self, TlsError> {
        Self::parse(&read(path)?, &path.display().to_string())
    }

    /// The same from a PEM text.
    ///
    /// # Errors
    /// See [`TrustedRoots::load`].
    pub fn from_pem(pem: &[u8]) -> Result<Self, TlsError> {
        Self::parse(pem, "the CA bundle")
    }

    fn parse(pem: &[u8], what: &str) -> Result<Self, TlsError> {
        let mut store = RootCertStore::empty();
        for certificate in certificates(pem, what)? {
            store.add(certificate).map_err(|source| TlsError::Root { what: what.to_owned(), source })?;
        }
        Ok(Self { store })
    }
}

pub(crate) fn read(path: &Path) -> Result<Vec<u8>, TlsError> {
    std::fs::read(path).map_err(|source| TlsError::Read { path: path.to_owned(), source })
}

pub(crate) fn certificates(pem: &[u8], what: &str) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let chain = CertificateDer::pem_slice_iter(pem)
        .collect::<Result<Vec<_>, _>>()
        .map_err(|source| TlsError::Pem { what: what.to_owned(), source })?;
    if chain.is_empty() { Err(TlsError::NoCertificate { what: what.to_owned() }) } else { Ok(chain) }
}

fn private_key(pem: &[u8], what: &str) -> Result<PrivateKeyDer<'static>, TlsError> {
    const ENCRYPTED: [&[u8]; 2] = [b"BEGIN ENCRYPTED PRIVATE KEY", b"Proc-Type: 4,ENCRYPTED"];
    if ENCRYPTED.iter().any(|mark| pem.windows(mark.len()).any(|window| window == *mark)) {
        return Err(TlsError::EncryptedKey { what: what.to_owned() });
    }
    PrivateKeyDer::from_pem_slice(pem).map_err(|source| match source {
        PemError::NoItemsFound => TlsError::NoKey { what: what.to_owned() },
        source => TlsError::Pem { what: what.to_owned(), source },
    })
}
