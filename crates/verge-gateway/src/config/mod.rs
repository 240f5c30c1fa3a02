//! Reads a configuration: one TOML file, then `VERGE__SECTION__NAME__KEY` from the environment, compared
//! with the declared keys. What comes out has every type right; what it says is for [`crate::settings`].
//!
//! Reading order: `raw` (all sections and keys, declared once by the macros of `declare`), `walk` (finds every fault at
//! once), [`Fault`] and `remedy` (what to do), `tree` and `origin` (the values and where each stands), `effective` (both, as people see them), `environment`,
//! `units`; then `syntax` (what is no TOML).

mod declare;
mod drawn;
mod effective;
mod environment;
mod fault;
mod key;
mod nearest;
mod origin;
mod raw;
mod remedy;
mod syntax;
mod tree;
mod units;
mod values;
mod walk;

use std::ffi::OsString;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

pub(crate) use drawn::{DRAWN, DrawnLayer};
pub use drawn::{DRAWN_FILE, DrawnSection};
pub use effective::effective_settings;
pub use environment::PREFIX;
pub use fault::{Fault, FilePlace, Warning};
pub use nearest::nearest;
pub use origin::Origins;
pub use raw::Raw;
pub(crate) use raw::*;
pub(crate) use remedy::frequency;
use toml::de::DeTable;
pub(crate) use tree::Map;
use tree::Table;
pub use units::{Frequency, Size, Span};
pub use values::{ConfigValues, SectionValues};
pub(crate) use walk::{UNNAMED, join};

/// A file that is not there, or not to be read by this user.
#[derive(Debug, thiserror::Error)]
#[error("cannot read {path}: {source}")]
pub struct LoadError {
    /// The file.
    pub path: PathBuf,
    /// What the system says.
    pub source: std::io::Error,
}

impl LoadError {
    /// The same as a fault of the file.
    #[must_use]
    pub fn to_fault(&self) -> Fault {
        let (value, remedy) = match self.source.kind() {
            ErrorKind::NotFound => {
                ("there is no such file".to_owned(), "name the configuration with -c FILE")
            }
            ErrorKind::IsADirectory => ("a folder".to_owned(), "name the configuration in it with -c FILE"),
            ErrorKind::PermissionDenied => {
                ("this user may not read it".to_owned(), "give the user that runs verge the right to read it")
            }
            _ => (self.source.to_string(), "name the configuration with -c FILE"),
        };
        // Whole: it is all that there is to go by.
        Fault {
            key: self.path.display().to_string(),
            value,
            ..Fault::new("", "", "a TOML file").remedy(remedy)
        }
    }
}

/// What loading gives: a configuration, and every fault that its keys show. With faults it is only
/// good for finding more of them.
#[derive(Debug)]
pub struct Loaded {
    /// The configuration; what is faulty is left out.
    pub raw: Raw,
    /// What is wrong with it.
    pub faults: Vec<Fault>,
    /// Where each key of it stands.
    pub origins: Origins,
    /// What each key says.
    pub values: ConfigValues,
    /// What people drew over it.
    pub drawn: Vec<DrawnSection>,
    /// Sections that stand twice: the name that the second one has here, and its own.
    pub(crate) twice: Vec<(String, String)>,
    /// Keys and sections whose lines are no TOML.
    pub(crate) lost: Vec<String>,
}

/// Reads a file and lays Verge's variables from `variables` (usually [`std::env::vars_os`]) over it.
///
/// # Errors
/// The file cannot be read.
pub fn load(
    path: &Path,
    variables: impl IntoIterator<Item = (OsString, OsString)>,
) -> Result<Loaded, LoadError> {
    let bytes = std::fs::read(path).map_err(|source| LoadError { path: path.to_owned(), source })?;
    let variables: Vec<(OsString, OsString)> = variables.into_iter().collect();
    let alone = parse(bytes.as_slice(), path, variables.iter().cloned());
    // Where it is says the file or the environment, whatever else is wrong with them.
    match drawn::read(&alone.raw.folder.join(&alone.raw.sections.gateway.state_dir)) {
        Ok(None) => Ok(alone),
        Ok(Some(layer)) => Ok(parse_under(bytes, path, Some(&layer), variables)),
        Err(fault) => Ok(Loaded { faults: alone.faults.into_iter().chain([*fault]).collect(), ..alone }),
    }
}

/// The same with this in the place of what is drawn in the state folder.
pub(crate) fn load_under(
    path: &Path,
    layer: &DrawnLayer,
    variables: impl IntoIterator<Item = (OsString, OsString)>,
) -> Result<Loaded, LoadError> {
    let bytes = std::fs::read(path).map_err(|source| LoadError { path: path.to_owned(), source })?;
    Ok(parse_under(bytes, path, Some(layer), variables))
}

/// The same from what a file holds; relative paths in it start from the file's folder.
pub fn parse(
    bytes: impl Into<Vec<u8>>,
    path: &Path,
    variables: impl IntoIterator<Item = (OsString, OsString)>,
) -> Loaded {
    parse_under(bytes, path, None, variables)
}

fn parse_under(
    bytes: impl Into<Vec<u8>>,
    path: &Path,
    layer: Option<&DrawnLayer>,
    variables: impl IntoIterator<Item = (OsString, OsString)>,
) -> Loaded {
    let ParsedText { mut tree, mut origins, mut faults, lost, twice } = ParsedText::of(bytes.into(), path);
    let drawn = layer.map(|layer| drawn::lay_over(&mut tree, layer, &mut faults)).unwrap_or_default();
    environment::lay_over(&mut tree, variables, &mut faults);
    origins.note("", &tree);
    let fitting = walk::walk(&tree, &lost, &mut origins, &mut faults);
    let (sections, values) = (Sections::take(&fitting), values::values_of(&fitting));
    let folder = path.parent().map_or_else(PathBuf::new, Path::to_owned);
    Loaded { raw: Raw { folder, sections }, faults, origins, values, drawn, twice, lost }
}

/// A file as it is written, corrected as far as it is no TOML.
struct ParsedText {
    tree: Table,
    origins: Origins,
    faults: Vec<Fault>,
    lost: Vec<String>,
    twice: Vec<(String, String)>,
}

impl ParsedText {
    fn of(bytes: Vec<u8>, path: &Path) -> Self {
        let origins = Origins::new(&path.display().to_string());
        let saved = syntax::decode(bytes);
        let corrected = syntax::correct(saved.text, &origins);
        let mut faults: Vec<Fault> = saved.fault.iter().map(|fault| fault.to_fault(&origins)).collect();
        faults.extend(corrected.faults);
        let table = DeTable::parse(&corrected.text).expect("a corrected text is TOML").into_inner();
        let tree = tree::read(&corrected.text, table);
        // A file of which nothing can be read lacks nothing.
        let mut lost = corrected.lost;
        if saved.fault.is_some() && corrected.text.trim().is_empty() {
            lost.push(String::new());
        }
        Self { tree, origins, faults, lost, twice: corrected.twice }
    }
}

/// What a file that says only what is counted holds.
pub(crate) struct LoadedTrack {
    pub(crate) detector: Option<RawDetector>,
    pub(crate) size: Option<[u32; 2]>,
    pub(crate) faults: Vec<Fault>,
    pub(crate) origins: Origins,
}

/// Reads a file with the table `[track]`, with the keys of a judge, and `[data]`.
pub(crate) fn parse_track(bytes: impl Into<Vec<u8>>, path: &Path) -> LoadedTrack {
    let ParsedText { tree, mut origins, mut faults, .. } = ParsedText::of(bytes.into(), path);
    origins.note("", &tree);
    let (file, found) = walk::track(&tree, &mut origins);
    // Where frames come from and what looks at them is said elsewhere.
    let elsewhere = |fault: &Fault| {
        let of_judge = ["track.inputs", "track.model"].contains(&fault.key.as_str());
        of_judge && fault.value == "missing"
    };
    faults.extend(found.into_iter().filter(|fault| !elsewhere(fault)));
    let TrackSections { track, data } = file;
    let mut size = None;
    if let Some([width, height]) = data.size {
        let side =
            |side: f64| ((1.0..=65_535.0).contains(&side) && side.fract() == 0.0).then_some(side as u32);
        size = side(width).zip(side(height)).map(|(width, height)| [width, height]);
        if size.is_none() {
            let fault = Fault::new("data.size", format!("[{width}, {height}]"), "width and height in pixels");
            faults.push(fault.remedy("write size = [1920, 1080]"));
        }
    }
    LoadedTrack { detector: track.and_then(|track| track.detector), size, faults, origins }
}

#[cfg(test)]
mod tests;
