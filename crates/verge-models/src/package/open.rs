//! How a package is read. It is a stranger's file: names are those of its manifest and lead nowhere, sizes are known before
//! anything is unpacked, nothing stands in it twice, and what is unpacked hashes to what was signed.

use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use verge_engine::ContentDigest;
use zip::result::ZipError;
use zip::{CompressionMethod, ZipArchive};

use super::{
    CHECKSUMS, DELTA_END, MANIFEST, MAX_MANIFEST_BYTES, Manifest, PackageError, PackedFile, SIGNATURE,
    TrustedKey, checksums,
};
use crate::delta::{self, Header};

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

/// Finds weights by their SHA-256.
pub type FindBase<'a> = &'a dyn Fn(&str) -> Option<PathBuf>;

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
        // A pipe without a writer would be waited for.
        if !std::fs::metadata(path).map_err(io)?.is_file() {
            return Err(not_one("it is no file but a folder, a pipe or a device".to_owned()));
        }
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
        // `openssl base64` and `base64` break lines.
        let signature =
            signature.map(|bytes| String::from_utf8_lossy(&bytes).split_whitespace().collect::<String>());
        if let Err(why) = &signature
            && archive.index_for_name(SIGNATURE).is_some()
        {
            return Err(lie(why.clone()));
        }
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
        let missing = |file: &&PackedFile| self.archive.index_for_name(&file.name).is_none();
        let missing: Vec<&PackedFile> = manifest.files.iter().filter(missing).collect();
        let is_changed =
            |file: &PackedFile| self.archive.index_for_name(&format!("{}{DELTA_END}", file.name)).is_some();
        if let Some(file) =
            missing.iter().find(|file| missing.len() > 1 || file.name == manifest.card || !is_changed(file))
        {
            return Err(lie(format!("{:?} is named in its manifest and is not in it", file.name)));
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

    /// The file of which it holds only what changed.
    #[must_use]
    pub fn changed(&self) -> Option<&PackedFile> {
        self.manifest.files.iter().find(|file| self.archive.index_for_name(&file.name).is_none())
    }

    /// Unpacks it into a new folder; each file is durable then. Files that hash to something else are not left there. `base`: finds
    /// weights by their SHA-256.
    ///
    /// # Errors
    /// See [`PackageError`].
    pub fn unpack(&mut self, folder: &Path, base: FindBase<'_>) -> Result<(), PackageError> {
        let io = |path: &Path, source| PackageError::Io { path: path.to_owned(), source };
        std::fs::create_dir(folder).map_err(|error| io(folder, error))?;
        let changed = self.changed().map(|file| file.name.clone());
        for file in self.manifest.files.clone() {
            let to = folder.join(&file.name);
            let mut out = new_file(&to).map_err(|error| io(&to, error))?;
            if changed.as_ref() == Some(&file.name) {
                let content = self.rebuilt(&file, base)?;
                out.write_all(&content).map_err(|error| io(&to, error))?;
            } else {
                self.extract(&file, &mut out, &to)?;
            }
            out.sync_all().map_err(|error| io(&to, error))?;
        }
        let sums = checksums(&self.manifest_bytes, self.signature.as_bytes());
        let with = [
            (MANIFEST, &self.manifest_bytes[..]),
            (SIGNATURE, self.signature.as_bytes()),
            (CHECKSUMS, sums.as_bytes()),
        ];
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

    /// Reads every file and compares it with the manifest, without writing any. Of one that is held as what changed, only that is
    /// checked.
    ///
    /// # Errors
    /// See [`PackageError`].
    pub fn read_through(&mut self) -> Result<(), PackageError> {
        let changed = self.changed().map(|file| file.name.clone());
        for file in self.manifest.files.clone() {
            if changed.as_ref() == Some(&file.name) {
                self.delta(&file)?;
            } else {
                let path = self.path.clone();
                self.extract(&file, &mut std::io::sink(), &path)?;
            }
        }
        Ok(())
    }

    /// What a file of it holds.
    ///
    /// # Errors
    /// See [`PackageError`].
    pub fn content(&mut self, file: &PackedFile, base: FindBase<'_>) -> Result<Vec<u8>, PackageError> {
        if self.changed().is_some_and(|changed| changed.name == file.name) {
            return self.rebuilt(file, base);
        }
        let path = self.path.clone();
        let mut content = Vec::new();
        self.extract(file, &mut content, &path)?;
        Ok(content)
    }

    /// What changed in a file, and which file it changes; it makes the file that is signed.
    fn delta(&mut self, file: &PackedFile) -> Result<(Vec<u8>, String), PackageError> {
        let failed = |path: &Path, source| PackageError::Delta { path: path.to_owned(), source };
        let name = format!("{}{DELTA_END}", file.name);
        // What changed is at most a little longer than the whole.
        let most = file.bytes.saturating_add(MAX_MANIFEST_BYTES);
        let bytes = small(&mut self.archive, &name, most).map_err(|why| self.lie(why))?;
        let header = Header::read(&bytes).map_err(|source| failed(&self.path, source))?;
        if !header.target.eq_ignore_ascii_case(&file.sha256) || header.target_bytes != file.bytes {
            return Err(self.lie(format!(
                "{name:?} makes a file of {} bytes with the SHA-256 {}, and {} is signed",
                header.target_bytes, header.target, file.sha256
            )));
        }
        let signed = self.manifest.base.as_ref();
        if let Some(signed) = signed.filter(|signed| !signed.eq_ignore_ascii_case(&header.base)) {
            return Err(self.lie(format!("{name:?} changes {}, and {signed} is signed", header.base)));
        }
        Ok((bytes, header.base))
    }

    /// The same out of weights that are at hand.
    pub(super) fn rebuilt_from(&mut self, file: &PackedFile, old: &[u8]) -> Result<Vec<u8>, PackageError> {
        let (changes, _) = self.delta(file)?;
        let failed = |source| PackageError::Delta { path: self.path.clone(), source };
        delta::apply(old, &changes, file.bytes).map_err(failed)
    }

    /// SHA-256 of the weights that it changes.
    ///
    /// # Errors
    /// It holds no change, or one that is damaged.
    pub fn base(&mut self) -> Result<String, PackageError> {
        let changed = self.changed().cloned();
        let file = changed.ok_or_else(|| self.lie("it holds no changes but the weights".to_owned()))?;
        Ok(self.delta(&file)?.1)
    }

    /// The file.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    fn rebuilt(&mut self, file: &PackedFile, base: FindBase<'_>) -> Result<Vec<u8>, PackageError> {
        let (changes, sha256) = self.delta(file)?;
        let path = self.path.clone();
        let found = base(&sha256).ok_or(PackageError::NoBase { path: path.clone(), base: sha256 })?;
        let old = std::fs::read(&found).map_err(|source| PackageError::Io { path: found, source })?;
        delta::apply(&old, &changes, file.bytes).map_err(|source| PackageError::Delta { path, source })
    }

    fn lie(&self, why: String) -> PackageError {
        PackageError::Lie { path: self.path.clone(), why }
    }

    /// Writes a file out, and compares it with the manifest. `at`: where it is written, for messages.
    fn extract(&mut self, file: &PackedFile, to: &mut dyn Write, at: &Path) -> Result<(), PackageError> {
        let (name, bytes) = (&file.name, file.bytes);
        let path = self.path.clone();
        let lie = |why: String| PackageError::Lie { path: path.clone(), why };
        let entry = self.archive.by_name(name);
        let entry = entry
            .map_err(|error| lie(format!("{name:?} is named in its manifest and cannot be read: {error}")))?;
        checked(&entry).map_err(|why| lie(format!("{name:?} {why}")))?;
        // One byte beyond shows that there are more.
        let mut limited = entry.take(bytes.saturating_add(1));
        let mut buffer = vec![0; 1 << 16];
        let mut digest = verge_engine::digest::Digester::default();
        let mut total = 0_u64;
        loop {
            let count = match limited.read(&mut buffer) {
                Ok(0) => break,
                Ok(count) => count,
                Err(error) => return Err(lie(format!("{name:?} cannot be unpacked: {error}"))),
            };
            total += count as u64;
            digest.add(&buffer[..count]);
            let io = |source| PackageError::Io { path: at.to_owned(), source };
            to.write_all(&buffer[..count]).map_err(io)?;
        }
        if total != bytes {
            let more = if total > bytes { "more" } else { "fewer" };
            return Err(lie(format!("{name:?} has {more} than the {bytes} bytes that are signed")));
        }
        let found = digest.end().to_string();
        if found.eq_ignore_ascii_case(&file.sha256) {
            return Ok(());
        }
        Err(lie(format!("{name:?} has the SHA-256 {found}, and {} is signed", file.sha256)))
    }
}

/// Whether an entry is a plain file, packed in a way that is taken.
fn checked<R: Read>(entry: &zip::read::ZipFile<'_, R>) -> Result<(), &'static str> {
    // Writers without Unix say nothing of its kind.
    let is_plain = entry.unix_mode().is_none_or(|mode| [0, 0o100_000].contains(&(mode & 0o170_000)));
    if !is_plain || !entry.is_file() {
        return Err("is no file but a link, a folder or a device");
    }
    let known = matches!(entry.compression(), CompressionMethod::Stored | CompressionMethod::Deflated);
    if known { Ok(()) } else { Err("is compressed in another way than deflate") }
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
    checked(&entry).map_err(|why| format!("{name} {why}"))?;
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
