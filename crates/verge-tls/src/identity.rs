//! What is loaded: an end's own certificate and key, and the authorities it trusts.

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use rustls::RootCertStore;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::{CertifiedKey, SingleCertAndKey};

use crate::TlsError;
use crate::certificate::{CertificateSummary, parsed, public_key_of, summarise};
use crate::config::provider;
use crate::pem::{certificates, private_key, read};

/// The certificate of one end of a connection, with any intermediates behind it.
#[derive(Debug, Clone)]
pub struct Chain {
    ders: Vec<CertificateDer<'static>>,
    what: String,
}

impl Chain {
    /// Reads a PEM file.
    ///
    /// # Errors
    /// A file that is missing, holds no certificate, or one that cannot be used.
    pub fn load(path: &Path) -> Result<Self, TlsError> {
        Self::parse(&read(path)?, path.display().to_string())
    }

    fn parse(pem: &[u8], what: String) -> Result<Self, TlsError> {
        let ders = certificates(pem, &what)?;
        for der in &ders {
            let version = parsed(der, &what)?.version;
            if version != 3 {
                return Err(TlsError::Version { what, version });
            }
        }
        Ok(Self { ders, what })
    }
}

/// A private key.
pub struct PrivateKey {
    der: PrivateKeyDer<'static>,
    what: String,
}

impl PrivateKey {
    /// Reads a PEM file.
    ///
    /// # Errors
    /// A file that is missing, holds no key, or an encrypted one.
    pub fn load(path: &Path) -> Result<Self, TlsError> {
        Self::parse(&read(path)?, path.display().to_string())
    }

    fn parse(pem: &[u8], what: String) -> Result<Self, TlsError> {
        Ok(Self { der: private_key(pem, &what)?, what })
    }
}

impl fmt::Debug for PrivateKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PrivateKey").field("what", &self.what).finish_non_exhaustive()
    }
}

/// Certificate chain and private key of one end of a connection.
#[derive(Clone)]
pub struct TlsIdentity {
    certified: Arc<CertifiedKey>,
}

impl TlsIdentity {
    /// Shows it to every peer.
    pub(crate) fn resolver(&self) -> Arc<SingleCertAndKey> {
        Arc::new(Arc::clone(&self.certified).into())
    }

    /// A certificate and its key.
    ///
    /// # Errors
    /// They do not belong together, or the key is of a kind that is not supported.
    pub fn new(chain: Chain, key: PrivateKey) -> Result<Self, TlsError> {
        let signing = provider()
            .key_provider
            .load_private_key(key.der)
            .map_err(|_| TlsError::UnsupportedKey { what: key.what.clone() })?;
        if let Some(public) = signing.public_key() {
            let is_of = |der: &CertificateDer<'_>| public_key_of(der).as_deref() == Some(public.as_ref());
            match chain.ders.iter().position(is_of) {
                Some(0) => {}
                Some(behind) => return Err(TlsError::Order { what: chain.what, position: behind + 1 }),
                None => return Err(TlsError::Pair { key: key.what, cert: chain.what }),
            }
        }
        Ok(Self { certified: Arc::new(CertifiedKey::new(chain.ders, signing)) })
    }

    /// Reads two PEM files: the certificate with any intermediates, and its private key.
    ///
    /// # Errors
    /// See [`Chain::load`], [`PrivateKey::load`] and [`TlsIdentity::new`].
    pub fn load(cert_path: &Path, key_path: &Path) -> Result<Self, TlsError> {
        Self::new(Chain::load(cert_path)?, PrivateKey::load(key_path)?)
    }

    /// The same from PEM texts.
    ///
    /// # Errors
    /// See [`TlsIdentity::load`].
    pub fn from_pem(cert: &[u8], key: &[u8]) -> Result<Self, TlsError> {
        let chain = Chain::parse(cert, "the certificate".to_owned())?;
        Self::new(chain, PrivateKey::parse(key, "the key".to_owned())?)
    }
}

impl fmt::Debug for TlsIdentity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TlsIdentity")
            .field("certificates", &self.certified.cert.len())
            .field("key", &"[redacted]")
            .finish()
    }
}

/// The authorities that a peer's certificate must lead to.
#[derive(Debug, Clone)]
pub struct TrustedRoots {
    pub(crate) store: Arc<RootCertStore>,
    pub(crate) known: Arc<Authorities>,
}

/// Trusted authorities as they are named in messages.
#[derive(Debug)]
pub(crate) struct Authorities {
    /// The file.
    pub(crate) what: String,
    pub(crate) all: Vec<CertificateSummary>,
    pub(crate) ders: Vec<CertificateDer<'static>>,
}

impl TrustedRoots {
    /// Reads a PEM file with one or more authorities.
    ///
    /// # Errors
    /// A file that is missing, holds none, or holds one that cannot be an authority.
    pub fn load(path: &Path) -> Result<Self, TlsError> {
        Self::parse(&read(path)?, path.display().to_string())
    }

    /// The same from a PEM text.
    ///
    /// # Errors
    /// See [`TrustedRoots::load`].
    pub fn from_pem(pem: &[u8]) -> Result<Self, TlsError> {
        Self::parse(pem, "the CA file".to_owned())
    }

    fn parse(pem: &[u8], what: String) -> Result<Self, TlsError> {
        let mut store = RootCertStore::empty();
        let (mut all, mut ders) = (Vec::new(), Vec::new());
        for (der, number) in certificates(pem, &what)?.into_iter().zip(1..) {
            let summary = summarise(&der).ok_or_else(|| TlsError::NotX509 { what: what.clone() })?;
            store.add(der.clone()).map_err(|_| TlsError::Root { what: what.clone(), number })?;
            all.push(summary);
            ders.push(der);
        }
        Ok(Self { store: Arc::new(store), known: Arc::new(Authorities { what, all, ders }) })
    }
}
