//! Identities, trust and certificates.
//!
//! The only crate that names rustls, tokio-rustls and rcgen. It must never learn what is sent over a
//! connection, and offers no switch that turns verification off.
//!
//! Reading order: [`Identity`] and [`TrustedRoots`] (what is loaded), [`client_config`] and
//! [`server_config`] (what is built of them), [`Acceptor`], [`connect`], [`authority`] and [`summary`] (certificates that
//! are made and read), [`explain`] (why a handshake failed, in words).

mod acceptor;
pub mod authority;
mod config;
mod connector;
mod explain;
mod identity;
mod summary;

pub use acceptor::{Acceptor, ServerStream};
pub use config::{ClientConfig, ServerConfig, client_config, install_provider, server_config};
pub use connector::{ClientStream, connect};
pub use explain::explain;
pub use identity::{Identity, TrustedRoots};
pub use summary::{CertificateSummary, Usage, summary};

use std::path::PathBuf;

/// Why keys, certificates or a TLS connection cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file cannot be read.
    #[error("cannot read {path}: {source}")]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// A file cannot be written.
    #[error("cannot write {path}: {source}")]
    Write {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// The PEM text is malformed.
    #[error("{what} is not PEM: {source}")]
    Pem {
        /// Which text.
        what: String,
        /// What the parser says.
        source: rustls::pki_types::pem::Error,
    },
    /// No certificate in a text that should hold one.
    #[error("{what} holds no certificate (expected \"BEGIN CERTIFICATE\")")]
    NoCertificate {
        /// Which text.
        what: String,
    },
    /// No private key in a text that should hold one.
    #[error("{what} holds no private key (expected \"BEGIN PRIVATE KEY\")")]
    NoKey {
        /// Which text.
        what: String,
    },
    /// The private key is encrypted.
    #[error(
        "{what} is encrypted; store the key unencrypted, readable by the gateway's user only (mode 0600)"
    )]
    EncryptedKey {
        /// Which text.
        what: String,
    },
    /// A certificate cannot be used as an anchor of trust.
    #[error("a certificate in {what} cannot be trusted as an authority: {source}")]
    Root {
        /// Which text.
        what: String,
        /// What rustls says.
        source: rustls::Error,
    },
    /// Certificate and key do not belong together, or are of an unsupported kind.
    #[error("certificate and key cannot be used together: {0}")]
    Pair(#[source] rustls::Error),
    /// The set of roots cannot verify clients.
    #[error("clients cannot be verified: {0}")]
    Verifier(#[source] rustls::server::VerifierBuilderError),
    /// A certificate cannot be made.
    #[error("cannot make a certificate: {0}")]
    Make(#[from] rcgen::Error),
    /// A certificate cannot be read.
    #[error("{what} is not an X.509 certificate")]
    NotX509 {
        /// Which text.
        what: String,
    },
    /// The file is there already.
    #[error("{path} exists already and is left as it is")]
    Exists {
        /// The file.
        path: PathBuf,
    },
    /// The peer did not finish the handshake in time.
    #[error("the TLS handshake was not finished within {0:?}")]
    HandshakeTimeout(std::time::Duration),
    /// The handshake failed.
    #[error("the TLS handshake failed: {}", explain(.0))]
    Handshake(#[source] std::io::Error),
}
