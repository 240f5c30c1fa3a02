//! A file that says what is counted, without a gateway: a table `[track]` with the keys of a judge of detector `track`, and
//! a table `[data]`.

use std::path::Path;

use super::judge::TrackRules;
use super::judge::track::check_scene;
use super::{Check, ConfigurationError};
use crate::config::{self, Fault, LoadError, RawDetector};

/// What such a file says.
#[derive(Debug, Clone)]
pub struct TrackFile {
    /// What is counted.
    pub rules: TrackRules,
    /// Width and height of frames that are no pictures, in pixels.
    pub size: Option<[u32; 2]>,
}

/// Reads such a file.
///
/// # Errors
/// The file cannot be read, or everything that is wrong with it.
pub fn read_track_file(path: &Path) -> Result<TrackFile, ConfigurationError> {
    let read = std::fs::read(path).map_err(|source| LoadError { path: path.to_owned(), source })?;
    let config::LoadedTrack { detector, size, mut faults, origins } = config::parse_track(read, path);
    let mut check = Check { folder: path, faults: Vec::new(), warnings: Vec::new() };
    let rules = match &detector {
        Some(RawDetector::Track(raw)) => check_scene(&mut check, "track", raw),
        _ => None,
    };
    let known: Vec<String> = faults.iter().map(|fault| fault.key.clone()).collect();
    let follows = |fault: &Fault| known.iter().any(|key| fault.follows(key));
    faults.extend(check.faults.into_iter().filter(|fault| !follows(fault)));
    match rules.filter(|_| faults.is_empty()) {
        Some(rules) => Ok(TrackFile { rules, size }),
        None => {
            let faults = faults.into_iter().map(|fault| origins.locate(fault)).collect();
            Err(ConfigurationError::Faults { path: path.to_owned(), faults })
        }
    }
}
