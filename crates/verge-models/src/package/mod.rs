//! Packages: a card with its weights and labels in one file, `NAME.vmodel`, which a publisher signs.
//!
//! A package is a zip. `manifest.json` names all other files with their bytes and SHA-256, and `manifest.sig` is the Ed25519
//! signature of its bytes in base64, so that openssl makes and checks it. A package comes from a stranger until its signature
//! is checked, and nothing of it is believed before.
//!
//! In the place of weights a package may hold what changed in them: its manifest and signature are the same, and so is what is
//! unpacked.
//!
//! Reading order: [`Manifest`], [`pack()`] (how one is made), [`mod@open`] (how one is read), [`changes`] (weights as what changed
//! in them), [`keys`].

pub mod changes;
pub mod keys;
pub mod open;
pub mod pack;

use std::path::{Component, Path, PathBuf};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use verge_engine::ContentDigest;

use crate::delta::DeltaError;

pub use keys::{SigningKey, SigningKeyError, TrustedKey};
pub use open::{OpenLimits, Package};
pub use pack::{PackOptions, pack, packed_bytes};

/// The only format there is.
pub const FORMAT: u32 = 1;
/// The version of Verge that reads it since.
pub const FORMAT_SINCE: &str = "0.1.0";
/// The highest counter: readers of JSON that know numbers as 64 bit floats keep no higher one.
pub const MAX_COUNTER: u64 = 1 << 53;
/// Name of the manifest in a package and beside a stored version.
pub const MANIFEST: &str = "manifest.json";
/// Name of its signature.
pub const SIGNATURE: &str = "manifest.sig";
/// Name of the SHA-256 of both beside a stored version, for `sha256sum -c`: nothing else shows a flipped bit in the signature.
pub const CHECKSUMS: &str = "manifest.sha256";
/// Behind the name of a file: the entry holds what changed in it, see [`crate::delta`].
pub const DELTA_END: &str = ".delta";
/// A manifest is a page of text; a larger one is something else.
pub const MAX_MANIFEST_BYTES: u64 = 64 * 1024;
/// Card, weights, labels, report and few others.
const MAX_FILES: usize = 16;
/// Bytes of a name and of a version, as in a card.
const MAX_NAME: usize = 128;
/// When this version was written: no clock that is right is earlier.
pub const EARLIEST: &str = "2026-11-30T00:00:00Z";

/// What a package says of itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// [`FORMAT`].
    pub format: u32,
    /// The model.
    pub name: String,
    /// Its version, for people.
    pub version: String,
    /// Rises from each version to the next, for ever.
    pub counter: u64,
    /// When it was made (RFC 3339).
    pub made: String,
    /// When it is not to be taken any more (RFC 3339).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires: Option<String>,
    /// The oldest version of Verge that reads it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min_verge: Option<String>,
    /// SHA-256 of the weights that a delta changes, where the publisher says so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub base: Option<String>,
    /// Name of the card among the files.
    pub card: String,
    /// All other files.
    pub files: Vec<PackedFile>,
}

/// A file of a package.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PackedFile {
    /// Its name, without a folder.
    pub name: String,
    /// Its bytes.
    pub bytes: u64,
    /// SHA-256 of them in hexadecimal digits.
    pub sha256: String,
}

/// Why a package is not taken.
#[derive(Debug, thiserror::Error)]
pub enum PackageError {
    /// A file cannot be read or written.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// It is something else than a package.
    #[error("{}: no package: {why}", path.display())]
    NotOne {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        why: String,
    },
    /// It lies about itself.
    #[error("{}: refused: {why}", path.display())]
    Lie {
        /// The file.
        path: PathBuf,
        /// What is not as the manifest says.
        why: String,
    },
    /// Nobody who is trusted signed it.
    #[error(
        "{}: its signature is by none of the trusted keys{}: name the publisher's key in [models] trust, or have it signed again",
        path.display(),
        listed(trusted)
    )]
    Untrusted {
        /// The package.
        path: PathBuf,
        /// The keys.
        trusted: Vec<PathBuf>,
    },
    /// Its time is over.
    #[error("{}: it expired at {expires}: ask its publisher for a newer one", path.display())]
    Expired {
        /// The package.
        path: PathBuf,
        /// When.
        expires: Timestamp,
    },
    /// It holds what changed, and the weights that it changes are not there.
    #[error(
        "{}: it holds what changed from the weights with the SHA-256 {base}, which are not here: ask for the whole package",
        path.display()
    )]
    NoBase {
        /// The package.
        path: PathBuf,
        /// SHA-256 of those weights.
        base: String,
    },
    /// What changed cannot be applied.
    #[error("{}: {source}", path.display())]
    Delta {
        /// The package.
        path: PathBuf,
        /// Why.
        source: DeltaError,
    },
    /// It needs a newer Verge.
    #[error("{}: it needs Verge {needed}, and this is {here}: update Verge first", path.display())]
    TooNew {
        /// The package.
        path: PathBuf,
        /// The version it names.
        needed: String,
        /// This one.
        here: &'static str,
    },
}

fn listed(keys: &[PathBuf]) -> String {
    let names: Vec<String> = keys.iter().map(|key| key.display().to_string()).collect();
    if names.is_empty() { String::new() } else { format!(" ({})", names.join(", ")) }
}

impl Manifest {
    /// The name under which a version is stored.
    #[must_use]
    pub fn id(bytes: &[u8], counter: u64) -> String {
        let digest = ContentDigest::of(bytes).to_string();
        format!("{counter}-{}", &digest[..12])
    }

    /// Reads one; what cannot be is an error in words.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(bytes: &[u8]) -> Result<Self, String> {
        let manifest: Self = serde_json::from_slice(bytes).map_err(|error| format!("{MANIFEST}: {error}"))?;
        let is_digest = |text: &str| text.len() == 64 && text.bytes().all(|digit| digit.is_ascii_hexdigit());
        if manifest.format != FORMAT {
            return Err(format!(
                "its format is {}, and this version of Verge reads {FORMAT}",
                manifest.format
            ));
        }
        if manifest.counter > MAX_COUNTER {
            return Err(format!("its counter is {}, and {MAX_COUNTER} is the highest", manifest.counter));
        }
        for (key, text) in [("name", &manifest.name), ("version", &manifest.version)] {
            if !(1..=MAX_NAME).contains(&text.len()) || text.contains(char::is_control) {
                return Err(format!("its {key} is {text:?}, expected 1 to {MAX_NAME} bytes of text"));
            }
        }
        if let Some(needed) = manifest.min_verge.as_ref().filter(|needed| !is_version(needed)) {
            return Err(format!("its min_verge is {needed:?}, expected a version such as {FORMAT_SINCE}"));
        }
        if manifest.files.is_empty() || manifest.files.len() > MAX_FILES {
            return Err(format!("it names {} files, expected 1 to {MAX_FILES}", manifest.files.len()));
        }
        for (index, file) in manifest.files.iter().enumerate() {
            if !is_flat(&file.name) || [MANIFEST, SIGNATURE, CHECKSUMS].contains(&file.name.as_str()) {
                return Err(format!("{:?} is no name of a file in a package", file.name));
            }
            if manifest.files[..index].iter().any(|other| other.name == file.name) {
                return Err(format!("it names {:?} twice", file.name));
            }
            if !is_digest(&file.sha256) {
                return Err(format!("the SHA-256 of {:?} is not 64 hexadecimal digits", file.name));
            }
        }
        if !manifest.files.iter().any(|file| file.name == manifest.card) {
            return Err(format!("its card {:?} is not among its files", manifest.card));
        }
        for time in manifest.expires.iter().chain([&manifest.made]) {
            time.parse::<Timestamp>().map_err(|_| format!("{time:?} is no time of RFC 3339"))?;
        }
        if manifest.base.as_ref().is_some_and(|base| !is_digest(base)) {
            return Err("the SHA-256 of its base is not 64 hexadecimal digits".to_owned());
        }
        Ok(manifest)
    }

    /// When it is not to be taken any more.
    #[must_use]
    pub fn expires_at(&self) -> Option<Timestamp> {
        self.expires.as_ref().and_then(|time| time.parse().ok())
    }

    /// Bytes of its files together.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.files.iter().fold(0, |sum, file| sum.saturating_add(file.bytes))
    }
}

/// What lies in [`CHECKSUMS`].
pub(crate) fn checksums(manifest: &[u8], signature: &[u8]) -> String {
    format!("{}  {MANIFEST}\n{}  {SIGNATURE}\n", ContentDigest::of(manifest), ContentDigest::of(signature))
}

/// Whether a text begins with the number of a version.
fn is_version(text: &str) -> bool {
    text.split(['.', '-', '+']).next().is_some_and(|first| first.parse::<u64>().is_ok())
}

/// A name in one part, which nothing takes for anything else.
pub(crate) fn is_flat(name: &str) -> bool {
    let mut parts = Path::new(name).components();
    let is_one =
        matches!((parts.next(), parts.next()), (Some(Component::Normal(part)), None) if part == name);
    is_one
        && name.len() <= 128
        && !name.starts_with('.')
        && !name.contains(['\\', '/'])
        && !name.contains(char::is_control)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_are_numbers_that_every_reader_keeps() {
        let parse = |counter: u64| {
            let file = PackedFile { name: "a.toml".to_owned(), bytes: 1, sha256: "0".repeat(64) };
            let manifest = Manifest {
                format: FORMAT,
                name: "a".to_owned(),
                version: "1".to_owned(),
                counter,
                made: EARLIEST.to_owned(),
                expires: None,
                min_verge: Some(FORMAT_SINCE.to_owned()),
                base: None,
                card: file.name.clone(),
                files: vec![file],
            };
            Manifest::parse(&serde_json::to_vec(&manifest).unwrap())
        };
        assert!(parse(MAX_COUNTER).is_ok());
        assert!(parse(MAX_COUNTER + 1).unwrap_err().contains("counter"));
    }

    #[test]
    fn names_lead_nowhere() {
        for name in ["a.onnx", "Größe 2.txt", "a..b"] {
            assert!(is_flat(name), "{name}");
        }
        for name in
            ["", ".", "..", "../a", "/a", "a/b", "a/", "./a", "a\\b", ".a", "a\nb", "a\0", &"x".repeat(129)]
        {
            assert!(!is_flat(name), "{name:?}");
        }
    }
}
