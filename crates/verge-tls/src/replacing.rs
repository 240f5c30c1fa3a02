//! Files that are replaced while programs read them: one as a whole, or a certificate and its key, of which a power cut
//! in between leaves a pair that fits.

use std::ffi::OsString;
use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use crate::authority::{Issued, write};
use crate::{TlsError, TlsIdentity};

/// Replaces a file durably, as a whole or not at all, or makes it. Through a new file (extension `new`) and a rename:
/// an existing file with wider permissions never holds the content, and a reader sees the old content or the new one.
///
/// # Errors
/// It cannot be written; the old content stands, unless the rename alone is not known to be durable.
pub fn replace_file(path: &Path, content: &[u8], mode: u32) -> io::Result<()> {
    let fresh = path.with_extension("new");
    // A program that was killed may have left one.
    match std::fs::remove_file(&fresh) {
        Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(&fresh)?;
    file.write_all(content)?;
    file.sync_all()?;
    rename_durably(&fresh, path)
}

/// A rename that a power cut does not undo.
fn rename_durably(from: &Path, to: &Path) -> io::Result<()> {
    std::fs::rename(from, to)?;
    let folder = to.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(folder)?.sync_all()
}

/// Replaces both. What a power cut leaves half done, [`finish_replacing`] ends.
///
/// # Errors
/// One of them cannot be written; the pair from before is in use then.
pub fn replace_identity(cert: &Path, key: &Path, issued: &Issued) -> Result<(), TlsError> {
    write(&next(key), issued.key_pem.as_bytes(), 0o600)?;
    write(&next(cert), issued.cert_pem.as_bytes(), 0o644)?;
    put_in_place(cert, key)
}

/// Ends a replacement that was interrupted: the new pair is put in place where all of it is there, else it is removed.
///
/// # Errors
/// A file cannot be moved or removed.
pub fn finish_replacing(cert: &Path, key: &Path) -> Result<(), TlsError> {
    let (next_cert, next_key) = (next(cert), next(key));
    if !next_cert.exists() && !next_key.exists() {
        return Ok(());
    }
    let of = if next_key.exists() { &next_key } else { key };
    match TlsIdentity::load(&next_cert, of) {
        Ok(_) => return put_in_place(cert, key),
        // It is not there yet: the key alone was written.
        Err(TlsError::Read { path, error }) if path == next_cert && error.kind() == ErrorKind::NotFound => {}
        // It says nothing of what the files hold.
        Err(error @ TlsError::Read { .. }) => return Err(error),
        Err(_) => {}
    }
    for path in [next_cert, next_key].into_iter().filter(|path| path.exists()) {
        std::fs::remove_file(&path).map_err(|error| TlsError::Write { path, error })?;
    }
    Ok(())
}

/// Whether files can be written there, which nothing else shows: not the permissions of a medium that is full or read-only.
///
/// # Errors
/// They cannot.
pub fn check_writable_dir(dir: &Path) -> Result<(), TlsError> {
    let probe = dir.join(format!(".verge-{}", std::process::id()));
    let of_dir = |error| TlsError::Write { path: dir.to_owned(), error };
    write(&probe, b"probe", 0o600).map_err(|error| match error {
        TlsError::Write { error, .. } => of_dir(error),
        other => other,
    })?;
    std::fs::remove_file(&probe).map_err(of_dir)
}

/// The key first: the certificate beside it says that there is more to do.
fn put_in_place(cert: &Path, key: &Path) -> Result<(), TlsError> {
    for path in [key, cert] {
        let from = next(path);
        if from.exists() {
            rename_durably(&from, path).map_err(|error| TlsError::Write { path: path.to_owned(), error })?;
        }
    }
    Ok(())
}

fn next(path: &Path) -> PathBuf {
    let mut name: OsString = path.as_os_str().to_owned();
    name.push(".next");
    name.into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Usage;
    use crate::authority::{Authority, CertificateRequest};

    #[test]
    fn an_interrupted_replacement_is_ended() {
        let dir = tempfile::tempdir().unwrap();
        let (cert, key) = (dir.path().join("a.pem"), dir.path().join("a.key"));
        let authority = Authority::create("Site", 10).unwrap();
        let asked = CertificateRequest {
            common_name: "a".to_owned(),
            names: vec!["a".to_owned()],
            usage: Usage::Both,
            days: 5,
        };
        let issue = || authority.issue(&asked).unwrap();
        let (first, second) = (issue(), issue());
        replace_identity(&cert, &key, &first).unwrap();
        TlsIdentity::load(&cert, &key).unwrap();
        let names = || std::fs::read_dir(dir.path()).unwrap().count();
        assert_eq!(names(), 2);
        let begun = |parts: &[(&Path, &str)]| {
            for (path, text) in parts {
                std::fs::write(next(path), text).unwrap();
            }
            finish_replacing(&cert, &key).unwrap();
            TlsIdentity::load(&cert, &key).unwrap();
            assert_eq!(names(), 2);
            std::fs::read_to_string(&key).unwrap()
        };
        // The certificate is not there yet, or only some of it.
        assert_eq!(begun(&[(&key, &second.key_pem)]), first.key_pem);
        assert_eq!(begun(&[(&key, &second.key_pem), (&cert, "-----BEGIN")]), first.key_pem);
        // Both are, and neither is in place; then the key is.
        assert_eq!(begun(&[(&key, &second.key_pem), (&cert, &second.cert_pem)]), second.key_pem);
        std::fs::write(&key, &first.key_pem).unwrap();
        assert_eq!(begun(&[(&cert, &first.cert_pem)]), first.key_pem);
        finish_replacing(&cert, &key).unwrap();
        // What cannot be read says nothing, so nothing is removed.
        std::fs::write(next(&key), &second.key_pem).unwrap();
        std::fs::create_dir(next(&cert)).unwrap();
        assert!(finish_replacing(&cert, &key).is_err());
        assert_eq!(names(), 4);
    }
}
