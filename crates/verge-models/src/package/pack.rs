//! How a package is made: the files of a card, flat beside each other, and a manifest over them.

use std::io::Write as _;
use std::path::{Path, PathBuf};

use flate2::Compression;
use flate2::write::DeflateEncoder;
use jiff::Timestamp;
use toml::de::DeTable;
use verge_engine::ContentDigest;
use verge_engine::staged::StagedFile;
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipWriter};

use super::open::sync_folder;
use super::{
    DELTA_END, FORMAT, FORMAT_SINCE, MANIFEST, Manifest, PackageError, PackedFile, SIGNATURE, SigningKey,
    is_flat,
};
use crate::card::{self, Card, LabelsCard, Meaning};
use crate::delta;
use crate::error::ModelError;

/// What a publisher says of a package.
#[derive(Debug, Clone, Default)]
pub struct PackOptions {
    /// The model, where it is to be called otherwise than by its card.
    pub name: Option<String>,
    /// Rises from each version to the next.
    pub counter: u64,
    /// When it is made.
    pub made: Timestamp,
    /// When it is not to be taken any more.
    pub expires: Option<Timestamp>,
    /// The weights before, where only what changed from them is to be packed.
    pub base: Option<PathBuf>,
}

/// Why no package is made.
#[derive(Debug, thiserror::Error)]
pub enum PackError {
    /// The card cannot be used.
    #[error(transparent)]
    Model(#[from] ModelError),
    /// A file cannot be read or written.
    #[error(transparent)]
    Package(#[from] PackageError),
}

/// Packs the files of a card, signs the manifest, and writes all of it in place of `to` at once.
///
/// # Errors
/// See [`PackError`].
pub fn pack(path: &Path, key: &SigningKey, options: &PackOptions, to: &Path) -> Result<Manifest, PackError> {
    let io = |path: &Path, source| PackageError::Io { path: path.to_owned(), source };
    let text = card::read_text(path).map_err(ModelError::from)?;
    let known = Card::parse(&text, path).map_err(ModelError::from)?;
    let beside = |file: &Path| path.parent().unwrap_or(Path::new("")).join(file);
    let named = |path: &Path| path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let mut sources: Vec<(String, PathBuf)> = vec![(named(&known.file), beside(&known.file))];
    let labels = match &known.meaning {
        Meaning::Frames(frames) => match &frames.labels {
            Some(LabelsCard::File(labels)) => Some(labels.clone()),
            Some(LabelsCard::List(_)) | None => None,
        },
        Meaning::Windows => None,
    };
    sources.extend(labels.iter().map(|labels| (named(labels), beside(labels))));
    let report = path.with_extension("report.json");
    if report.is_file() {
        sources.push((named(&report), report));
    }
    let text = flat(&text, &known.file, labels.as_deref());
    let mut files = vec![(named(path), text.into_bytes())];
    for (name, source) in sources {
        files.push((name, std::fs::read(&source).map_err(|error| io(&source, error))?));
    }
    let old = options.base.as_ref().map(|old| std::fs::read(old).map_err(|error| io(old, error)));
    let old = old.transpose()?;
    let packed = files.iter().map(|(name, bytes)| PackedFile {
        name: name.clone(),
        bytes: bytes.len() as u64,
        sha256: ContentDigest::of(bytes).to_string(),
    });
    let manifest = Manifest {
        format: FORMAT,
        name: options.name.clone().unwrap_or_else(|| known.identity.name.to_string()),
        version: known.identity.version.to_string(),
        counter: options.counter,
        made: options.made.to_string(),
        expires: options.expires.map(|time| time.to_string()),
        min_verge: Some(FORMAT_SINCE.to_owned()),
        base: old.as_ref().map(|old| ContentDigest::of(old).to_string()),
        card: named(path),
        files: packed.collect(),
    };
    let bytes = serde_json::to_vec_pretty(&manifest).expect("text and numbers");
    let lie = |why| PackageError::Lie { path: path.to_owned(), why };
    Manifest::parse(&bytes).map_err(lie)?;
    if let Some(old) = old {
        // The card comes first, and then its weights.
        let (name, weights) = &mut files[1];
        (*name, *weights) = (format!("{name}{DELTA_END}"), delta::make(&old, weights).bytes);
    }
    zip_up(to, (&bytes, &key.sign(&bytes)), &files).map_err(|error| io(to, error))?;
    Ok(manifest)
}

/// Writes a package in place of `to` at once: its manifest with the signature, and its entries.
pub(super) fn zip_up(
    to: &Path,
    (manifest, signature): (&[u8], &str),
    entries: &[(String, Vec<u8>)],
) -> std::io::Result<()> {
    // In memory: a writer that is given up because the disk is full would say so once more on standard error.
    let mut zip = ZipWriter::new(std::io::Cursor::new(Vec::new()));
    let plain =
        SimpleFileOptions::default().compression_method(CompressionMethod::Deflated).large_file(false);
    let head = [(MANIFEST, manifest), (SIGNATURE, signature.as_bytes())].into_iter();
    for (name, bytes) in head.chain(entries.iter().map(|(name, bytes)| (name.as_str(), &bytes[..]))) {
        zip.start_file(name, plain)?;
        zip.write_all(bytes)?;
    }
    let mut staged = StagedFile::beside(to, 0o666)?;
    staged.file().write_all(zip.finish()?.get_ref())?;
    staged.file().sync_all()?;
    staged.name(to)?;
    let folder = to.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    sync_folder(folder)
}

/// Bytes that a file takes in a package.
#[must_use]
pub fn packed_bytes(bytes: &[u8]) -> u64 {
    let mut packed = DeflateEncoder::new(Counted(0), Compression::default());
    // Nothing that only counts fails.
    match packed.write_all(bytes).and_then(|()| packed.finish()) {
        Ok(counted) => counted.0,
        Err(_) => bytes.len() as u64,
    }
}

/// Counts what is written.
struct Counted(u64);

impl std::io::Write for Counted {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0 += bytes.len() as u64;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// The text of a card whose files lie beside it.
fn flat(text: &str, weights: &Path, labels: Option<&Path>) -> String {
    let Ok(table) = DeTable::parse(text) else { return text.to_owned() };
    let name = |path: &Path| path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let wanted = [("file", Some(weights)), ("labels", labels)];
    let mut edits: Vec<(std::ops::Range<usize>, String)> = wanted
        .into_iter()
        .filter_map(|(key, path)| {
            let path = path.filter(|path| !is_flat(&path.to_string_lossy()))?;
            let (_, value) = table.get_ref().iter().find(|(known, _)| known.get_ref() == key)?;
            // A string of JSON is a basic string of TOML too.
            Some((value.span(), card::quoted(&name(path))))
        })
        .collect();
    edits.sort_by_key(|(span, _)| std::cmp::Reverse(span.start));
    let mut text = text.to_owned();
    edits.into_iter().for_each(|(span, value)| text.replace_range(span, &value));
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cards_of_files_elsewhere_become_flat() {
        let card = "name = \"w\"\nfile = \"/models/x/w.onnx\" # far\nlabels = '../w.txt'\nversion = \"1\"\n";
        let found = flat(card, Path::new("/models/x/w.onnx"), Some(Path::new("../w.txt")));
        assert_eq!(found, "name = \"w\"\nfile = \"w.onnx\" # far\nlabels = \"w.txt\"\nversion = \"1\"\n");
        assert_eq!(flat(&found, Path::new("w.onnx"), Some(Path::new("w.txt"))), found);
    }
}
