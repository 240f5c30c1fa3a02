//! Cards of models that reconstruct windows of numbers. They say little, since the file says all of the tensors:
//!
//! ```toml
//! name = "bearing-sound"
//! version = "3"
//! file = "bearing-sound.onnx"
//! task = "reconstruct"
//! ```

use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::{Card, CardError, read_text};

/// The card of a model that reconstructs windows of numbers.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AutoencoderCard {
    /// Its name in verdicts.
    pub name: String,
    /// Its version in verdicts.
    pub version: String,
    /// Licence of the weights, for people.
    #[serde(default)]
    pub licence: Option<String>,
    /// Where the weights come from, for people.
    #[serde(default)]
    pub source: Option<String>,
    /// SHA-256 of the file in hexadecimal digits; checked when it is loaded.
    #[serde(default)]
    pub sha256: Option<String>,
    /// The weights, relative to the card.
    pub file: PathBuf,
    /// What it does.
    pub task: Reconstruct,
}

/// The one task of these cards.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Reconstruct {
    /// `reconstruct`.
    Reconstruct,
}

impl AutoencoderCard {
    /// Reads a card.
    ///
    /// # Errors
    /// See [`CardError`].
    pub fn load(path: &Path) -> Result<Self, CardError> {
        let text = read_text(path)?;
        toml::from_str(&text).map_err(|error| match toml::from_str::<Card>(&text) {
            Ok(_) => {
                CardError::Mistaken { path: path.to_owned(), found: "frames", asked: "windows of readings" }
            }
            Err(_) => CardError::of_text(&text, path, &error),
        })
    }
}
