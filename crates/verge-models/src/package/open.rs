//! How a package is read. It is a stranger's file: names are those of its manifest and lead nowhere, sizes are known before
//! anything is unpacked, nothing stands in it twice, and what is unpacked hashes to what was signed.

use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use verge_engine::ContentDigest;
use zip::result::ZipError;
use zip::{CompressionMethod, ZipArchive};

use super::{MANIFEST, MAX_MANIFEST_BYTES, Manifest, PackageError, SIGNATURE, TrustedKey};

/// A signature in base64 is 88 bytes.
const MAX_SIGNATURE_BYTES: u64 = 256;
/// Bytes of the record at the end of a zip, without a comment.
const END: u64 = 22;

/// What is accepted of packages.
#[derive(Debug, Clone, Copy)]
pub struct OpenLimits<'a> {
    /// Bytes of one file.
    pub max_file_bytes: u64,
    /// Keys that packages are believed by.
    pub trust: &'a [TrustedKey],
    /// Packages without a signature of these are taken, too.
    pub unsigned: bool,
    /// The time, as far as it is known.
    pub now: Timestamp,
}

/// A package whose manifest is believed.
#[derive(Debug)]
pub struct Package {
    path: PathBuf,
    archive: ZipArchive<File>,
    /// What it says of itself.
    pub manifest: Manifest,
    /// The bytes of its manifest, as they were signed.
    pub manifest_bytes: Vec<u8>,
    /// Their signature.
    pub signature: String,
    /// The key that signed it; nothing where that was not asked for.
    pub signed_by: Option<PathBuf>,
}

impl Package {
    /// Opens one and checks what it says of itself, and who says so.
    ///
    /// # Errors
    /// See [`PackageError`].
    pub fn open(path: &Path, limits: OpenLimits<'_>) -> Result<Self, PackageError> {
        let not_one = |why: String| PackageError::NotOne { path: path.to_owned(), why };
        let lie = |why: String| PackageError::Lie { path: path.to_owned(), why };
        let io = |source| PackageError::Io { path: path.to_owned(), source };
        let mut file = File::open(path).map_err(io)?;
        let entries = entries(&mut file).map_err(io)?.ok_or_else(|| {
            not_one("it is no zip, was cut, or something was added behind its end: fetch it again".to_owned())
        })?;
        let mut archive = ZipArchive::new(file).map_err(|error| not_one(error.to_string()))?;
        if archive.len() != usize::from(entries) {
            return Err(lie("a name stands in it twice".to_owned()));
        }
        let manifest_bytes = small(&mut archive, MANIFEST, MAX_MANIFEST_BYTES).map_err(not_one)?;
        let signature = small(&mut archive, SIGNATURE, MAX_SIGNATURE_BYTES);
        let signature = signature.map(|bytes| String::from_utf8_lossy(&bytes).trim().to_owned());
        let signed_by = signature.as_ref().ok().and_then(|signature| {
            limits
                .trust
                .iter()
                .find(|key| key.verifies(&manifest_bytes, signature))
                .map(|key| key.path.clone())
        });
        if signed_by.is_none() && !limits.unsigned {
            let trusted = limits.trust.iter().map(|key| key.path.clone()).collect();
            return Err(PackageError::Untrusted { path: path.to_owned(), trusted });
        }
        let manifest = Manifest::parse(&manifest_bytes).map_err(lie)?;
        let package = Self {
            path: path.to_owned(),
            archive,
            manifest,
            manifest_bytes,
            signature: signature.unwrap_or_default(),
            signed_by,
        };
        package.check(limits, usize::from(entries))?;
        Ok(package)
    }

    fn check(&self, limits: OpenLimits<'_>, entries: usize) -> Result<(), PackageError> {
        let lie = |why: String| PackageError::Lie { path: self.path.clone(), why };
        let manifest = &self.manifest;
        let signature = usize::from(self.archive.index_for_name(SIGNATURE).is_some());
        if entries != manifest.files.len() + 1 + signature {
            return Err(lie(format!(
                "it holds {entries} entries, and its manifest names {} files",
                manifest.files.len()
            )));
        }
        if let Some(file) = manifest.files.iter().find(|file| file.bytes > limits.max_file_bytes) {
            let most = limits.max_file_bytes;
            return Err(lie(format!(
                "{:?} has {} bytes, and engine.max_model is {most}",
                file.name, file.bytes
            )));
        }
        if let Some(expires) = manifest.expires_at().filter(|expires| *expires <= limits.now) {
            return Err(PackageError::Expired { path: self.path.clone(), expires });
        }
        let here = env!("CARGO_PKG_VERSION");
        if let Some(needed) = manifest.min_verge.as_ref().filter(|needed| parts(needed) > parts(here)) {
            return Err(PackageError::TooNew { path: self.path.clone(), needed: needed.clone(), here });
        }
        Ok(())
    }

    /// The name under which it is stored.
    #[must_use]
    pub fn id(&self) -> String {
        Manifest::id(&self.manifest_bytes, self.manifest.counter)
    }

    /// Unpacks it into a new folder; each file is durable then. Files that hash to something else are not left there.
    ///
    /// # Errors
    /// See [`PackageError`].
    pub fn unpack(&mut self, folder: &Path) -> Result<(), PackageError> {
        let io = |path: &Path, source| PackageError::Io { path: path.to_owned(), source };
        std::fs::create_dir(folder).map_err(|error| io(folder, error))?;
        for file in self.manifest.files.clone() {
            let to = folder.join(&file.name);
            let written = self.extract(&file.name, file.bytes, Some(&to))?;
            if written != file.sha256.to_ascii_lowercase() {
                return Err(self.lie(format!(
                    "{:?} has the SHA-256 {written}, and {} is signed",
                    file.name, file.sha256
                )));
            }
        }
        let with = [(MANIFEST, &self.manifest_bytes[..]), (SIGNATURE, self.signature.as_bytes())];
        for (name, bytes) in with {
            let to = folder.join(name);
            let write = || -> std::io::Result<()> {
                let mut file = new_file(&to)?;
                file.write_all(bytes)?;
                file.sync_all()
            };
            write().map_err(|error| io(&to, error))?;
        }
        sync_folder(folder).map_err(|error| io(folder, error))
    }

    /// Reads every file and compares it with the manifest, without writing any.
    ///
    /// # Errors
    /// See [`PackageError`].
    pub fn read_through(&mut self) -> Result<(), PackageError> {
        for file in self.manifest.files.clone() {
            let found = self.extract(&file.name, file.bytes, None)?;
            if found != file.sha256.to_ascii_lowercase() {
                return Err(self
                    .lie(format!("{:?} has the SHA-256 {found}, and {} is signed", file.name, file.sha256)));
            }
        }
        Ok(())
    }

    fn lie(&self, why: String) -> PackageError {
        PackageError::Lie { path: self.path.clone(), why }
    }

    /// The SHA-256 of an entry, which is written to a new file where one is named.
    fn extract(&mut self, name: &str, bytes: u64, to: Option<&Path>) -> Result<String, PackageError> {
        let path = self.path.clone();
        let lie = |why: String| PackageError::Lie { path: path.clone(), why };
        let entry = self.archive.by_name(name);
        let entry = entry
            .map_err(|error| lie(format!("{name:?} is named in its manifest and cannot be read: {error}")))?;
        let is_link = entry.unix_mode().is_some_and(|mode| mode & 0o170_000 == 0o120_000);
        if is_link || !entry.is_file() {
            return Err(lie(format!("{name:?} is no file but a link or a folder")));
        }
        if !matches!(entry.compression(), CompressionMethod::Stored | CompressionMethod::Deflated) {
            return Err(lie(format!("{name:?} is compressed in another way than deflate")));
        }
        // One byte beyond shows that there are more.
        let mut limited = entry.take(bytes.saturating_add(1));
        let mut buffer = vec![0; 1 << 16];
        let mut digest = verge_engine::digest::Digester::default();
        let mut total = 0_u64;
        let at = to.unwrap_or(&path);
        let io = |source| PackageError::Io { path: at.to_owned(), source };
        let mut file = to.map(new_file).transpose().map_err(io)?;
        loop {
            let count = match limited.read(&mut buffer) {
                Ok(0) => break,
                Ok(count) => count,
                Err(error) => return Err(lie(format!("{name:?} cannot be unpacked: {error}"))),
            };
            total += count as u64;
            digest.add(&buffer[..count]);
            if let Some(file) = &mut file {
                file.write_all(&buffer[..count]).map_err(io)?;
            }
        }
        if total != bytes {
            let more = if total > bytes { "more" } else { "fewer" };
            return Err(lie(format!("{name:?} has {more} than the {bytes} bytes that are signed")));
        }
        if let Some(file) = &mut file {
            file.sync_all().map_err(io)?;
        }
        Ok(digest.end().to_string())
    }
}

/// Entries of a zip without a comment, by the record at its end; nothing where that is not there.
///
/// **Source**: APPNOTE.TXT of PKWARE, 4.3.16. The reader of zips keeps one of several entries of a name, so they are counted.
fn entries(file: &mut File) -> std::io::Result<Option<u16>> {
    let length = file.seek(SeekFrom::End(0))?;
    if length < END {
        return Ok(None);
    }
    let mut record = [0; END as usize];
    file.seek(SeekFrom::Start(length - END))?;
    file.read_exact(&mut record)?;
    file.rewind()?;
    let number = |at: usize| u16::from_le_bytes([record[at], record[at + 1]]);
    let is_end = record.starts_with(b"PK\x05\x06") && number(8) == number(10) && number(20) == 0;
    Ok(is_end.then(|| number(10)))
}

/// A small entry.
fn small(archive: &mut ZipArchive<File>, name: &str, most: u64) -> Result<Vec<u8>, String> {
    let entry = archive.by_name(name).map_err(|error| match error {
        ZipError::FileNotFound => format!("it has no {name}"),
        error => format!("{name}: {error}"),
    })?;
    let mut bytes = Vec::new();
    entry.take(most + 1).read_to_end(&mut bytes).map_err(|error| format!("{name}: {error}"))?;
    if bytes.len() as u64 > most { Err(format!("{name} has more than {most} bytes")) } else { Ok(bytes) }
}

fn new_file(path: &Path) -> std::io::Result<File> {
    OpenOptions::new().write(true).create_new(true).open(path)
}

/// Makes durable which names a folder holds.
pub(crate) fn sync_folder(folder: &Path) -> std::io::Result<()> {
    File::open(folder)?.sync_all()
}

/// The parts of a version.
fn parts(version: &str) -> Vec<u64> {
    version.split(['.', '-', '+']).map_while(|part| part.parse().ok()).collect()
}

/// SHA-256 of a file, in hexadecimal digits.
pub(crate) fn digest_of(path: &Path) -> std::io::Result<String> {
    ContentDigest::of_file(path).map(|digest| digest.to_string())
}
