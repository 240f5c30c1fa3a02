//! A stored version: its files, and whether they are what was signed.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use crate::card::{Card, LabelsCard, Meaning};
use crate::package::open::digest_of;
use crate::package::{CHECKSUMS, MANIFEST, MAX_MANIFEST_BYTES, Manifest, SIGNATURE, checksums};

/// A stored version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredVersion {
    /// `<counter>-<hash>`
    pub id: String,
    /// Its folder.
    pub folder: PathBuf,
}

impl StoredVersion {
    pub(super) fn of(model: &Path, id: &str) -> Self {
        Self { id: id.to_owned(), folder: model.join(id) }
    }

    /// Its counter.
    #[must_use]
    pub fn counter(&self) -> u64 {
        counter_of(&self.id).unwrap_or(0)
    }

    /// What it says of itself.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn manifest(&self) -> Result<Manifest, String> {
        match fs::symlink_metadata(&self.folder) {
            Ok(found) if found.is_dir() => {}
            Ok(_) => return Err(format!("{} is no folder", self.folder.display())),
            Err(error) => return Err(format!("{}: {error}", self.folder.display())),
        }
        let path = self.folder.join(MANIFEST);
        plain_file(&path, MAX_MANIFEST_BYTES)?;
        let bytes = fs::read(&path).map_err(|error| format!("{}: {error}", path.display()))?;
        let manifest = Manifest::parse(&bytes)?;
        if Manifest::id(&bytes, manifest.counter) != self.id {
            return Err(format!("{} is another than when it was taken in", path.display()));
        }
        self.signature(&bytes)?;
        Ok(manifest)
    }

    /// Whether the signature is the one that came with the manifest. Versions that an earlier Verge took in have no checksums.
    fn signature(&self, manifest: &[u8]) -> Result<(), String> {
        let sums = self.folder.join(CHECKSUMS);
        if sums.symlink_metadata().is_err_and(|error| error.kind() == ErrorKind::NotFound) {
            return Ok(());
        }
        let read = |path: &Path| {
            plain_file(path, MAX_MANIFEST_BYTES)?;
            fs::read(path).map_err(|error| format!("{}: {error}", path.display()))
        };
        let signature = self.folder.join(SIGNATURE);
        if read(&sums)? == checksums(manifest, &read(&signature)?).into_bytes() {
            return Ok(());
        }
        Err(format!("{} is another than when it was taken in", signature.display()))
    }

    /// What is wrong with it: every file is read. Nothing where it is whole.
    #[must_use]
    pub fn fault(&self) -> Option<String> {
        self.check().err()
    }

    /// Its card, once every file was found to be what was signed.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn check(&self) -> Result<PathBuf, String> {
        let manifest = self.manifest()?;
        for file in &manifest.files {
            let path = self.folder.join(&file.name);
            plain_file(&path, file.bytes)?;
            let digest = digest_of(&path).map_err(|error| format!("{}: {error}", path.display()))?;
            if !digest.eq_ignore_ascii_case(&file.sha256) {
                return Err(format!(
                    "{}: its SHA-256 is {digest}, and {} was signed",
                    path.display(),
                    file.sha256
                ));
            }
        }
        names_its_own(&self.folder, &manifest)?;
        Ok(self.folder.join(&manifest.card))
    }

    /// SHA-256 of its weights.
    #[must_use]
    pub fn weights_sha256(&self, manifest: &Manifest) -> Option<String> {
        let card = Card::load(&self.folder.join(&manifest.card)).ok()?;
        let file = manifest.files.iter().find(|file| Path::new(&file.name) == card.file)?;
        Some(file.sha256.to_ascii_lowercase())
    }
}

/// Whether the card of a version names files that were signed with it, and no other.
pub(super) fn names_its_own(folder: &Path, manifest: &Manifest) -> Result<(), String> {
    let path = folder.join(&manifest.card);
    let card = Card::load(&path).map_err(|error| error.to_string())?;
    let labels = match &card.meaning {
        Meaning::Frames(frames) => match &frames.labels {
            Some(LabelsCard::File(labels)) => Some(labels),
            Some(LabelsCard::List(_)) | None => None,
        },
        Meaning::Windows => None,
    };
    for (key, file) in std::iter::once(("file", &card.file)).chain(labels.map(|labels| ("labels", labels))) {
        // Letter by letter: `./a` is the same file as `a` to a path, and nothing that a publisher writes.
        if !manifest.files.iter().any(|packed| file.as_os_str() == packed.name.as_str()) {
            return Err(format!(
                "its card {} names {} as its {key}, which is not among the files of the package",
                manifest.card,
                file.display()
            ));
        }
    }
    Ok(())
}

/// A file of this size at most; no link, which may lead anywhere.
fn plain_file(path: &Path, most: u64) -> Result<(), String> {
    match fs::symlink_metadata(path) {
        Ok(found) if found.is_symlink() => Err(format!("{} is a symbolic link", path.display())),
        Ok(found) if !found.is_file() => Err(format!("{} is no file", path.display())),
        Ok(found) if found.len() > most => {
            Err(format!("{} has {} bytes, {most} at most", path.display(), found.len()))
        }
        Ok(_) => Ok(()),
        Err(error) => Err(format!("{}: {error}", path.display())),
    }
}

/// The counter in the name of a version.
pub(super) fn counter_of(id: &str) -> Option<u64> {
    let (counter, hash) = id.split_once('-')?;
    let is_hash = hash.len() == 12 && hash.bytes().all(|digit| digit.is_ascii_hexdigit());
    counter.parse().ok().filter(|_| is_hash)
}
