//! Certificates: the server's own, and those of clients and users that people trust.
//!
//! `own/` holds `cert.der` and `key.pem`, made at the first start. A client whose certificate is in `trusted/` is served; an
//! unknown one is written to `rejected/`, from where people move it. `users/` holds certificates of users.

use std::fs;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use opcua::crypto::{CertificateStore, SecurityPolicy, Thumbprint, X509, X509Data};

const TRUSTED: &str = "trusted";
const REJECTED: &str = "rejected";
const USERS: &str = "users";
pub(crate) const OWN_CERTIFICATE: &str = "own/cert.der";
pub(crate) const OWN_KEY: &str = "own/key.pem";
const KEY_BITS: u32 = 2048;
/// Clients trust this very certificate: another one would have to be trusted anew.
const OWN_DAYS: u32 = 20 * 365;
/// Certificates in `rejected/` at most: strangers fill it.
const MAX_REJECTED: usize = 64;
/// Certificates of users that are looked at.
const MAX_USERS: usize = 1024;

/// Why certificates cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum PkiError {
    /// A folder cannot be made.
    #[error("cannot make the folder {path}: {error}")]
    Folder {
        /// The folder.
        path: PathBuf,
        /// What the system says.
        error: std::io::Error,
    },
    /// The server's own certificate cannot be made.
    #[error("cannot make {path}: {reason}")]
    Make {
        /// The file.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// The server's own certificate or key cannot be used.
    #[error(
        "{path}: {reason}; replace it, or remove the folder own: another certificate is made at the next start, which \
             clients have to trust anew"
    )]
    Own {
        /// The file.
        path: PathBuf,
        /// Why.
        reason: String,
    },
}

/// What is in the folders.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PkiSummary {
    /// Whether the server has its certificate; it is made at the first start.
    pub own: bool,
    /// Certificates in `trusted/`.
    pub trusted: usize,
    /// Certificates in `rejected/`.
    pub rejected: usize,
    /// Certificates in `users/`.
    pub users: usize,
}

/// The folders.
#[derive(Debug, Clone)]
pub(crate) struct Pki(PathBuf);

impl Pki {
    /// Makes what is missing.
    pub(crate) fn open(dir: &Path, application_uri: &str, name: &str, host: &str) -> Result<Self, PkiError> {
        for folder in ["own", TRUSTED, REJECTED, USERS] {
            let path = dir.join(folder);
            let made = fs::DirBuilder::new().recursive(true).mode(0o750).create(&path);
            made.map_err(|error| PkiError::Folder { path, error })?;
        }
        let pki = Self(dir.to_owned());
        let (cert, key) = (dir.join(OWN_CERTIFICATE), dir.join(OWN_KEY));
        if !cert.exists() && !key.exists() {
            let made = make_own(&cert, &key, application_uri, name, host);
            made.map_err(|reason| PkiError::Make { path: cert, reason })?;
        }
        check_own(dir, application_uri)?;
        Ok(pki)
    }

    pub(crate) fn dir(&self) -> &Path {
        &self.0
    }

    /// Whether a client with this certificate is served. An unknown one goes to `rejected/`.
    pub(crate) fn admit(&self, certificate: &X509, policy: SecurityPolicy) -> Result<(), String> {
        let store = CertificateStore::new(&self.0);
        let name = CertificateStore::cert_file_name(certificate);
        let was_known = self.0.join(TRUSTED).join(&name).exists();
        let admitted = store.validate_application_instance_cert(certificate, policy, None, None);
        admitted.map_err(|error| {
            if was_known {
                format!("its certificate {name:?} cannot be used: {error}")
            } else {
                format!(
                    "its certificate is not trusted: move {:?} to {TRUSTED}/",
                    format!("{REJECTED}/{name}")
                )
            }
        })
    }

    /// The user with a certificate.
    pub(crate) fn user(&self, thumbprint: &Thumbprint) -> Option<String> {
        let files = certificates(&self.0.join(USERS)).into_iter().take(MAX_USERS);
        files.filter_map(|path| Some((CertificateStore::read_cert(&path).ok()?, path))).find_map(
            |(certificate, path)| {
                let name = certificate.common_name().unwrap_or_else(|_| path.display().to_string());
                let name = name.strip_prefix("CN=").unwrap_or(&name).to_owned();
                (certificate.thumbprint() == *thumbprint).then_some(name)
            },
        )
    }

    /// Keeps the newest of the rejected certificates.
    pub(crate) fn forget_oldest_rejected(&self) {
        let mut files = certificates(&self.0.join(REJECTED));
        if files.len() <= MAX_REJECTED {
            return;
        }
        let written = |path: &PathBuf| {
            fs::metadata(path).and_then(|found| found.modified()).unwrap_or(SystemTime::UNIX_EPOCH)
        };
        files.sort_by_cached_key(written);
        for path in files.iter().take(files.len() - MAX_REJECTED) {
            // One that cannot be removed is tried again in a second.
            fs::remove_file(path).ok();
        }
    }
}

/// Looks without making anything.
///
/// # Errors
/// The server's own certificate cannot be used.
pub fn look(dir: &Path, application_uri: &str) -> Result<PkiSummary, PkiError> {
    let own = dir.join(OWN_CERTIFICATE).exists() || dir.join(OWN_KEY).exists();
    if own {
        check_own(dir, application_uri)?;
    }
    let count = |folder: &str| certificates(&dir.join(folder)).len();
    Ok(PkiSummary { own, trusted: count(TRUSTED), rejected: count(REJECTED), users: count(USERS) })
}

fn certificates(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
    let is_certificate =
        |path: &PathBuf| path.extension().is_some_and(|extension| extension == "der" || extension == "pem");
    entries.filter(is_certificate).collect()
}

fn make_own(cert: &Path, key: &Path, uri: &str, name: &str, host: &str) -> Result<(), String> {
    // The key is readable by this user alone from its first byte on.
    let private = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(key);
    private.map_err(|error| error.to_string())?;
    let data = X509Data {
        key_size: KEY_BITS,
        common_name: name.to_owned(),
        organization: "Verge".to_owned(),
        organizational_unit: String::new(),
        country: String::new(),
        state: String::new(),
        alt_host_names: X509Data::alt_host_names(uri, Some(vec![host.to_owned()]), false, true, false),
        certificate_duration_days: OWN_DAYS,
    };
    let made = CertificateStore::create_certificate_and_key(&data, true, cert, key);
    if made.is_err() {
        // Nothing half-made is taken up at the next start.
        fs::remove_file(key).ok();
    }
    made.map(drop)
}

fn check_own(dir: &Path, application_uri: &str) -> Result<(), PkiError> {
    let (cert, key) = (dir.join(OWN_CERTIFICATE), dir.join(OWN_KEY));
    let own = |path: &Path| {
        let path = path.to_owned();
        move |reason: String| PkiError::Own { path, reason }
    };
    let certificate = CertificateStore::read_cert(&cert).map_err(own(&cert))?;
    CertificateStore::read_pkey(&key).map_err(own(&key))?;
    certificate.is_application_uri_valid(application_uri).map_err(|_| {
        own(&cert)(format!("it is not for {application_uri}, the application URI of this gateway"))
    })
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn folder() -> PathBuf {
        let name = format!("verge-opcua-{}-{:?}", std::process::id(), std::thread::current().id());
        std::env::temp_dir().join(name.replace(['(', ')'], ""))
    }

    #[test]
    fn the_own_certificate_is_made_once_and_strangers_are_rejected() {
        let dir = folder();
        let pki = Pki::open(&dir, "urn:verge:g", "Verge g", "127.0.0.1").unwrap();
        let key = fs::metadata(dir.join(OWN_KEY)).unwrap();
        assert_eq!(key.permissions().mode() & 0o777, 0o600);
        let made = fs::read(dir.join(OWN_CERTIFICATE)).unwrap();
        Pki::open(&dir, "urn:verge:g", "Verge g", "127.0.0.1").unwrap();
        assert_eq!(fs::read(dir.join(OWN_CERTIFICATE)).unwrap(), made, "it stays");
        let other = Pki::open(&dir, "urn:verge:h", "Verge h", "127.0.0.1").unwrap_err().to_string();
        assert!(other.contains("it is not for urn:verge:h"), "{other}");

        // Any certificate will do for a client's.
        let stranger = X509::from_der(&made).unwrap();
        let policy = SecurityPolicy::Basic256Sha256;
        let refused = pki.admit(&stranger, policy).unwrap_err();
        assert!(refused.contains("move \"rejected/"), "{refused}");
        let found = certificates(&dir.join(REJECTED));
        assert_eq!((found.len(), look(&dir, "urn:verge:g").unwrap().rejected), (1, 1));
        fs::rename(&found[0], dir.join(TRUSTED).join(found[0].file_name().unwrap())).unwrap();
        pki.admit(&stranger, policy).unwrap();
        assert_eq!(pki.user(&stranger.thumbprint()), None);
        fs::copy(dir.join(OWN_CERTIFICATE), dir.join("users/anna.der")).unwrap();
        assert_eq!(pki.user(&stranger.thumbprint()).as_deref(), Some("Verge g"));

        for number in 0..=MAX_REJECTED {
            fs::write(dir.join(REJECTED).join(format!("{number}.der")), "x").unwrap();
        }
        pki.forget_oldest_rejected();
        assert_eq!(certificates(&dir.join(REJECTED)).len(), MAX_REJECTED);
        fs::remove_dir_all(&dir).unwrap();
    }
}
