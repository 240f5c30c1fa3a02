//! Packages that hold what changed in the weights: made of two packages, and made whole again. The manifest stays as it was
//! signed, so that no key is needed.

use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use verge_engine::ContentDigest;

use super::pack::zip_up;
use super::{DELTA_END, OpenLimits, Package, PackageError, PackedFile};
use crate::delta::{self, MadeDelta};

/// How a zip begins.
const ZIP: &[u8] = b"PK\x03\x04";

/// Whether a file is a package, by its first bytes.
///
/// # Errors
/// It cannot be read.
pub fn is_package(path: &Path) -> std::io::Result<bool> {
    let mut begin = Vec::new();
    plain(path)?.take(ZIP.len() as u64).read_to_end(&mut begin)?;
    Ok(begin == ZIP)
}

/// Opens a package of one's own: who signed it and until when it is taken is for the gateway to ask.
///
/// # Errors
/// See [`PackageError`].
pub fn open_any(path: &Path, max_file_bytes: u64) -> Result<Package, PackageError> {
    Package::open(path, OpenLimits { max_file_bytes, trust: &[], unsigned: true, now: Timestamp::UNIX_EPOCH })
}

/// The weights of a package that holds them whole: its file that is an ONNX by name.
///
/// # Errors
/// See [`PackageError`]
pub fn weights(package: &mut Package) -> Result<(PackedFile, Vec<u8>), PackageError> {
    let is_weights = |file: &&PackedFile| Path::new(&file.name).extension().is_some_and(|end| end == "onnx");
    let none =
        || PackageError::NotOne { path: package.path().to_owned(), why: "it holds no *.onnx".to_owned() };
    let file = package.manifest.files.iter().find(is_weights).ok_or_else(none)?.clone();
    let content = package.content(&file, &|_| None)?;
    Ok((file, content))
}

/// Writes the package of `new` with what changed from the weights of `old`, an ONNX file or a package, in the place of its own.
///
/// # Errors
/// See [`PackageError`].
pub fn changes(old: &Path, new: &Path, to: &Path, max_file_bytes: u64) -> Result<MadeDelta, PackageError> {
    let base = old_weights(old, max_file_bytes)?;
    let mut package = open_any(new, max_file_bytes)?;
    let (file, content) = weights(&mut package)?;
    let made = delta::make(&base, &content);
    let signed = package.manifest.base.as_ref();
    if let Some(signed) = signed.filter(|signed| !signed.eq_ignore_ascii_case(&made.base)) {
        let why = format!(
            "it is signed as a change of {signed}, and {} has the SHA-256 {}",
            old.display(),
            made.base
        );
        return Err(PackageError::Lie { path: new.to_owned(), why });
    }
    let changed = (format!("{}{DELTA_END}", file.name), made.bytes.clone());
    write(&mut package, to, Some((&file.name, changed)), &|_| None)?;
    Ok(made)
}

/// Writes the whole package out of one that holds what changed. Gives the SHA-256 of the weights.
///
/// # Errors
/// See [`PackageError`].
pub fn whole(old: &Path, changes: &Path, to: &Path, max_file_bytes: u64) -> Result<String, PackageError> {
    let base = old_weights(old, max_file_bytes)?;
    let mut package = open_any(changes, max_file_bytes)?;
    let Some(file) = package.changed().cloned() else {
        let why = "it holds the weights themselves: there is nothing to rebuild".to_owned();
        return Err(PackageError::NotOne { path: changes.to_owned(), why });
    };
    let content = package.rebuilt_from(&file, &base)?;
    let sha256 = ContentDigest::of(&content).to_string();
    write(&mut package, to, Some((&file.name, (file.name.clone(), content))), &|_| None)?;
    Ok(sha256)
}

/// The weights of an ONNX file or of a package.
fn old_weights(path: &Path, max_file_bytes: u64) -> Result<Vec<u8>, PackageError> {
    let io = |source| PackageError::Io { path: path.to_owned(), source };
    if is_package(path).map_err(io)? {
        return Ok(weights(&mut open_any(path, max_file_bytes)?)?.1);
    }
    read_at_most(path, max_file_bytes).map_err(io)
}

/// The content of a file that has `most` bytes at most.
///
/// # Errors
/// It cannot be read, or has more.
pub fn read_at_most(path: &Path, most: u64) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    plain(path)?.take(most.saturating_add(1)).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > most {
        return Err(std::io::Error::other(format!("it has more than {most} bytes")));
    }
    Ok(bytes)
}

/// Opens a file; not a pipe, whose writer would be waited for, nor a device, which may never end.
fn plain(path: &Path) -> std::io::Result<File> {
    if std::fs::metadata(path)?.is_file() {
        return File::open(path);
    }
    Err(std::io::Error::other("it is no file but a folder, a pipe or a device"))
}

/// Writes a package again with another entry in the place of one.
fn write(
    package: &mut Package,
    to: &Path,
    replaced: Option<(&String, (String, Vec<u8>))>,
    base: &dyn Fn(&str) -> Option<PathBuf>,
) -> Result<(), PackageError> {
    let mut entries = Vec::new();
    for file in package.manifest.files.clone() {
        match &replaced {
            Some((name, entry)) if **name == file.name => entries.push(entry.clone()),
            _ => entries.push((file.name.clone(), package.content(&file, base)?)),
        }
    }
    let head = (&package.manifest_bytes[..], package.signature.as_str());
    zip_up(to, head, &entries).map_err(|source| PackageError::Io { path: to.to_owned(), source })
}
