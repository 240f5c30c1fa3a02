//! `[engine]` and `[model.NAME]`: what runs models, and which there are. Files are named here, not yet read.

use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};

use verge_engine::ModelLimits;
use verge_models::ModelFiles;

use super::Check;
use crate::config::{Map, RawEngine, RawModel};

/// `[engine]`.
#[derive(Debug, Clone)]
pub struct Engine {
    /// The ONNX Runtime library to load; without it the usual places are searched.
    pub library: Option<PathBuf>,
    /// Frames judged at once; `None` takes one for each core.
    pub workers: Option<NonZeroUsize>,
    /// What is accepted of models, and how they run.
    pub limits: ModelLimits,
}

pub(super) fn check_engine(check: &Check<'_>, raw: &RawEngine) -> Engine {
    Engine {
        library: raw.library.as_ref().map(|path| check.path(path)),
        workers: raw.workers.and_then(NonZeroUsize::new),
        limits: ModelLimits { max_file_bytes: raw.max_model.0, threads: raw.threads },
    }
}

pub(super) fn check_all(check: &Check<'_>, raw: &Map<RawModel>) -> Vec<ModelFiles> {
    let model = |(name, model): (&String, &RawModel)| {
        let path = check.path(model.file.as_ref()?);
        Some(if is_card(&path) {
            ModelFiles { name: name.clone(), card: path, weights: None }
        } else {
            ModelFiles { name: name.clone(), card: path.with_extension("toml"), weights: Some(path) }
        })
    };
    raw.iter().filter_map(model).collect()
}

fn is_card(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("toml"))
}
