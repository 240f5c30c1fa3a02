//! Reads a configuration: one TOML file, then `VERGE__SECTION__NAME__KEY` from the environment, compared
//! with the declared schema. What comes out has every type right; what it says is for [`crate::settings`].
//!
//! Reading order: `schema` (all keys, kinds, defaults), `walk` (finds every fault at once), `raw` (the
//! structures), `environment`, `units`, [`Fault`].

mod environment;
mod fault;
mod kind;
mod raw;
mod schema;
mod units;
mod walk;

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use config::{Config, ConfigError, File, FileFormat, Map, Value, ValueKind};
use environment::Overlay;
pub use environment::PREFIX;
pub use fault::{Fault, Warning};
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
pub(crate) use schema::{ALARM_BUDGET, LINE_SIGNAL};
pub use units::{Frequency, Size, Span};

/// Why a file could not even be compared with the schema.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// Not there, or not to be read by this user.
    #[error("cannot read {path}: {source}")]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// Not UTF-8, which TOML requires.
    #[error("{path} is not UTF-8 text (byte {at})")]
    NotUtf8 {
        /// The file.
        path: PathBuf,
        /// Offset of the first byte that is wrong.
        at: usize,
    },
    /// Not TOML. The words say line and column.
    #[error("{path} is not TOML: {words}")]
    Syntax {
        /// The file.
        path: PathBuf,
        /// What is wrong and where.
        words: String,
    },
}

impl LoadError {
    /// The same as a fault of the file.
    #[must_use]
    pub fn to_fault(&self) -> Fault {
        let (path, value) = match self {
            Self::Read { path, source } => (path, source.to_string()),
            Self::NotUtf8 { path, at } => (path, format!("not UTF-8 text (byte {at})")),
            Self::Syntax { path, words } => (path, words.clone()),
        };
        // Whole: it is all that there is to go by.
        Fault { key: path.display().to_string(), value, expected: "a TOML file".to_owned(), variable: None }
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
}

/// Reads a file and lays Verge's variables from `variables` (usually [`std::env::vars_os`]) over it.
///
/// # Errors
/// The file cannot be read or is not TOML.
pub fn load(
    path: &Path,
    variables: impl IntoIterator<Item = (OsString, OsString)>,
) -> Result<Loaded, LoadError> {
    let bytes = std::fs::read(path).map_err(|source| LoadError::Read { path: path.to_owned(), source })?;
    let text = String::from_utf8(bytes).map_err(|error| LoadError::NotUtf8 {
        path: path.to_owned(),
        at: error.utf8_error().valid_up_to(),
    })?;
    let folder = path.parent().map_or_else(PathBuf::new, Path::to_owned);
    parse(&text, &folder, variables).map_err(|words| LoadError::Syntax { path: path.to_owned(), words })
}

/// The same from the text of a file; relative paths in it start from `folder`.
///
/// # Errors
/// The words for what is not TOML about it, with line and column.
pub fn parse(
    text: &str,
    folder: &Path,
    variables: impl IntoIterator<Item = (OsString, OsString)>,
) -> Result<Loaded, String> {
    let file = File::from_str(text.strip_prefix('\u{feff}').unwrap_or(text), FileFormat::Toml);
    let written = Config::builder().add_source(file.clone()).build().map_err(|error| in_words(&error))?;
    let mut faults = Vec::new();
    let overlay = Overlay::new(table(&written.cache), variables, &mut faults);
    let merged =
        Config::builder().add_source(file).add_source(overlay).build().map_err(|error| in_words(&error))?;
    let fitting = walk::walk(table(&merged.cache), &mut faults);
    let sections: Sections = Value::new(None, fitting).try_deserialize().expect(
        "the walk leaves only what the schema declares, and a test holds the structures to the schema",
    );
    Ok(Loaded { raw: Raw { folder: folder.to_owned(), sections }, faults })
}

fn table(value: &Value) -> &Map<String, Value> {
    match &value.kind {
        ValueKind::Table(table) => table,
        _ => unreachable!("the root of a configuration is a table"),
    }
}

/// The parser's words without the lines of the file that it quotes: one of them may hold a secret.
fn in_words(error: &ConfigError) -> String {
    let text = error.to_string();
    let lines: Vec<&str> =
        text.lines().filter(|line| !line.contains(" | ") && !line.trim().ends_with('|')).collect();
    let words: Vec<&str> = lines.iter().map(|line| line.trim()).filter(|line| !line.is_empty()).collect();
    words.join(": ")
}

#[cfg(test)]
mod tests;
