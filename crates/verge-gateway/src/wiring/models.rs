//! Model files as they were when they were read: what was written since takes effect at the next start.

use std::path::PathBuf;
use std::time::SystemTime;

use verge_models::ModelFiles;

use crate::reload::KeyChange;
use crate::settings::Settings;

/// When a file was written, and its length; `None` where it cannot be read.
type Mark = Option<(SystemTime, u64)>;

/// The files of all models.
#[derive(Debug)]
pub(super) struct ModelMarks(Vec<(String, PathBuf, Mark)>);

impl ModelMarks {
    /// As they are now.
    pub(super) fn of(settings: &Settings) -> Self {
        let files = |model: &ModelFiles| {
            let weights = model.weights.clone().unwrap_or_else(|| model.card.with_extension("onnx"));
            [model.card.clone(), weights]
                .map(|file| (format!("model.{}", model.name), file.clone(), mark(&file)))
        };
        Self(settings.models.iter().chain(&settings.autoencoders).flat_map(files).collect())
    }

    /// Those that are not as they were.
    pub(super) fn written_since(&self) -> Vec<KeyChange> {
        let change = |(key, file, before): &(String, PathBuf, Mark)| {
            let words = |what: &str| Some(format!("{} {what}", file.display()));
            (mark(file) != *before).then(|| KeyChange {
                key: format!("{key}.file"),
                before: words("as it was read at the start"),
                after: words("was written since"),
            })
        };
        self.0.iter().filter_map(change).collect()
    }
}

fn mark(file: &PathBuf) -> Mark {
    let about = std::fs::metadata(file).ok()?;
    Some((about.modified().ok()?, about.len()))
}
