//! Reads a configuration: one TOML file, then `VERGE__SECTION__NAME__KEY` from the environment, compared
//! with the declared schema. What comes out has every type right; what it says is for [`crate::settings`].
//!
//! Reading order: `schema` (all keys, kinds, defaults), `walk` (finds every fault at once), `raw` (the
//! structures), [`Fault`] and `remedy` (what to do), `origin` (where each key stands), `environment`, `units`; then
//! `document` (from TOML) and `syntax` (what is no TOML).

mod document;
mod environment;
mod fault;
mod kind;
mod nearest;
mod origin;
mod raw;
mod remedy;
mod schema;
mod syntax;
mod units;
mod walk;

use std::ffi::OsString;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use config::{Config, Map, Value, ValueKind};
use environment::Overlay;
pub use environment::PREFIX;
pub use fault::{Fault, Place, Warning};
pub(crate) use nearest::nearest;
pub use origin::Origins;
pub use raw::Raw;
pub(crate) use raw::RawCause;
pub(crate) use raw::Sections;
pub(crate) use raw::{
    RawBatch, RawCodec, RawCompression, RawConnection, RawDecimal, RawDetector, RawEngine, RawFormat,
    RawFrames, RawGateway, RawJudge, RawLane, RawLocal, RawMode, RawModel, RawOccupancyUnit, RawOverload,
    RawPrecision, RawQuality, RawQualityFormat, RawReading, RawRegion, RawReport, RawRoute, RawRouteMode,
    RawSecret, RawSenmlFormat, RawSeverity, RawSource, RawTime, RawTimeFormat, RawUplink, RawUplinkKind,
    RawWhenFull,
};
pub(crate) use remedy::frequency;
pub(crate) use schema::{ALARM_BUDGET, LINE_SIGNAL};
use toml::de::DeTable;
pub use units::{Frequency, Size, Span};
pub(crate) use walk::UNNAMED;

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

/// What loading gives: a configuration, and every fault that the schema shows in it. With faults it is only
/// good for finding more of them.
#[derive(Debug)]
pub struct Loaded {
    /// The configuration; what is faulty is left out.
    pub raw: Raw,
    /// What is wrong with it.
    pub faults: Vec<Fault>,
    /// Where each key of it stands.
    pub origins: Origins,
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
    Ok(parse(bytes, path, variables))
}

/// The same from what a file holds; relative paths in it start from the file's folder.
pub fn parse(
    bytes: impl Into<Vec<u8>>,
    path: &Path,
    variables: impl IntoIterator<Item = (OsString, OsString)>,
) -> Loaded {
    let mut origins = Origins::new(&path.display().to_string());
    let saved = syntax::decode(bytes.into());
    let mended = syntax::mend(saved.text, &origins);
    let mut faults: Vec<Fault> = saved.fault.iter().map(|fault| fault.to_fault(&origins)).collect();
    faults.extend(mended.faults);
    let table = DeTable::parse(&mended.text).expect("a mended text is TOML").into_inner();
    let document = document::read(&mended.text, table, &mut origins);
    let overlay = Overlay::new(&document.tree, variables, &mut faults);
    let merged = Config::builder()
        .add_source(document)
        .add_source(overlay)
        .build()
        .expect("both sources are trees already, and tables lie over tables");
    let merged = table_of(&merged.cache);
    origins.note_variables("", merged);
    // A file of which nothing can be read lacks nothing.
    let mut lost = mended.lost;
    if saved.fault.is_some() && mended.text.trim().is_empty() {
        lost.push(String::new());
    }
    let fitting = walk::walk(merged, &lost, &mut origins, &mut faults);
    let sections: Sections = Value::new(None, fitting).try_deserialize().expect(
        "the walk leaves only what the schema declares, and a test holds the structures to the schema",
    );
    let folder = path.parent().map_or_else(PathBuf::new, Path::to_owned);
    Loaded { raw: Raw { folder, sections }, faults, origins, twice: mended.twice, lost }
}

fn table_of(value: &Value) -> &Map<String, Value> {
    match &value.kind {
        ValueKind::Table(table) => table,
        _ => unreachable!("the root of a configuration is a table"),
    }
}

#[cfg(test)]
mod tests;
