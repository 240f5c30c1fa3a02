//! Identities, trust and certificates.
//!
//! The only crate that names rustls, tokio-rustls, rcgen and argon2. It must never learn what is sent over a
//! connection, and offers no switch that turns verification off.
//!
//! Reading order: [`TlsIdentity`] and [`TrustedRoots`] (what is loaded, from the files of `pem`), [`client_config`] and
//! [`server_config`] (what is built of them, with a `verifier`), [`Credentials`] (name and password), [`PasswordHash`] (what is stored of passwords), [`Acceptor`] and [`connect`], [`authority`] and [`summary`]
//! (certificates that are made and read), [`enrolment`] (and given out to those that ask), `diagnosis` (what is wrong with a certificate), [`explain`] (why a handshake
//! failed, in words).

pub mod authority;
mod certificate;
mod config;
mod credentials;
mod diagnosis;
pub mod enrolment;
mod explain;
mod identity;
mod password;
mod pem;
mod replacing;
mod revocation;
mod stream;
mod verifier;

pub use certificate::{CertificateSummary, Usage, Weakness, summary};
pub use config::{
    ClientConfig, ClientTerms, ServerConfig, client_config, install_provider, revoking_server_config,
    revoking_web_server_config, server_config, web_server_config,
};
pub use credentials::{Credentials, Secret};
pub use explain::explain;
pub use identity::{Chain, PrivateKey, TlsIdentity, TrustedRoots};
pub use password::{MosquittoHash, NoRandom, PasswordHash};
pub use pem::{FoundInstead, Mistaken, Wanted};
pub use replacing::{check_writable_dir, finish_replacing, replace_file, replace_identity};
pub use revocation::{Revocations, ShownCertificates, serial_of};
pub use stream::{Acceptor, TlsStream, connect, peer_certificate, peer_identities, peer_name, speaks_http2};

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

/// Why keys, certificates or a TLS connection cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file cannot be read.
    #[error("{}", unreadable(path, error))]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system says.
        error: std::io::Error,
    },
    /// A file cannot be written.
    #[error("cannot write {path}: {}", explain(error))]
    Write {
        /// The file.
        path: PathBuf,
        /// What the system says.
        error: std::io::Error,
    },
    /// A file holds something else than it should.
    #[error("{0}")]
    Content(Mistaken),
    /// The private key is encrypted.
    #[error(
        "{what} is encrypted, and nobody is there to type its password: run `openssl pkey -in {what} -out NEW.key`, and let \
         the gateway's user alone read it (chmod 600)"
    )]
    EncryptedKey {
        /// Which text.
        what: String,
    },
    /// A private key of an unsupported kind.
    #[error(
        "{what} is damaged, or a key of a kind that is not supported: expected RSA of 2048 to 8192 bits, ECDSA P-256, P-384 or P-521, \
         or Ed25519; make another with its certificate (`verge certs issue`)"
    )]
    UnsupportedKey {
        /// Which text.
        what: String,
    },
    /// A certificate cannot be used as an anchor of trust.
    #[error(
        "certificate {number} in {what} cannot be trusted as an authority: it is damaged, or its encoding is unusual"
    )]
    Root {
        /// Which text.
        what: String,
        /// Which certificate in it, from 1.
        number: usize,
    },
    /// Certificate and key do not belong together.
    #[error("{key} is not the key of {cert}: name the key that was made with this certificate")]
    Pair {
        /// Where the key is.
        key: String,
        /// Where the certificate is.
        cert: String,
    },
    /// The certificate of the key is not the first.
    #[error(
        "the certificates in {what} stand in the wrong order: the one of the key is number {position}; it must come first, \
         then those that signed it"
    )]
    Order {
        /// Which text.
        what: String,
        /// Where it stands, from 1.
        position: usize,
    },
    /// A certificate of an old version.
    #[error(
        "{what} is a certificate of X.509 version {version} (`openssl x509 -req` without extensions makes those), expected \
         version 3: make it again with `-extfile`, or with `verge certs issue`"
    )]
    Version {
        /// Which text.
        what: String,
        /// Which.
        version: u32,
    },
    /// A certificate cannot be made.
    #[error("cannot make a certificate: {0}")]
    Make(#[from] rcgen::Error),
    /// The certificate would have another key than the request.
    #[error(
        "its key is of a kind that is not signed: take P-256 with SHA-256, P-384 with SHA-384, RSA or Ed25519"
    )]
    KeyKind,
    /// A certificate cannot be read.
    #[error("{what} holds what is marked as a certificate and is not X.509: copy the file again")]
    NotX509 {
        /// Which text.
        what: String,
    },
    /// A list of revoked certificates cannot be used.
    #[error("{what} cannot be used as a list of revoked certificates: {why}")]
    RevocationList {
        /// Which file.
        what: String,
        /// What is wrong with it.
        why: String,
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
    Handshake(std::io::Error),
    /// The peer's certificate was refused, for this reason.
    #[error("{0}")]
    Refused(String),
}

/// Why a file cannot be read, and what to do.
#[must_use]
pub fn unreadable(path: &Path, error: &std::io::Error) -> String {
    let path = path.display();
    match error.kind() {
        ErrorKind::NotFound | ErrorKind::NotADirectory => {
            format!("there is no file {path}: correct the path, or put the file there")
        }
        ErrorKind::PermissionDenied => format!(
            "this user may not read {path}: give the file to the gateway's user, and let that user enter its folder (chown, \
             chmod)"
        ),
        ErrorKind::IsADirectory => format!("{path} is a folder, expected a file"),
        _ => format!("cannot read {path}: {}", explain(error)),
    }
}
