//! What such a command needs before it begins: the library, the old model, pictures, names of new files.

use std::path::{Path, PathBuf};

use anyhow::{Context, anyhow};
use verge_engine::{ModelLimits, Runtime};
use verge_gateway::exit::{Exit, ExitWith};
use verge_gateway::wiring;
use verge_models::Card;
use verge_models::card::Meaning;
use verge_models::quantise::{FEW_PICTURES, LEAST_PICTURES};

use super::pictures::{PictureSet, Prepared};
use crate::cli::model::files::NewFiles;
use crate::cli::model::measure::Subject;
use crate::cli::say;

/// All of it.
pub(in crate::cli::model) struct Bed {
    pub(in crate::cli::model) runtime: Runtime,
    /// The file of the old model.
    pub(in crate::cli::model) source: PathBuf,
    /// The text of its card.
    pub(in crate::cli::model) card: String,
    pub(in crate::cli::model) old: Subject,
    pub(in crate::cli::model) set: PictureSet,
    pub(in crate::cli::model) names: NewFiles,
}

impl Bed {
    /// Reads it, and refuses what nothing comes of. `limit`: pictures at most; `pictures_for`: what they are for, in messages.
    pub(in crate::cli::model) fn open(
        card: &Path,
        data: &Path,
        output: &Path,
        limit: u64,
        pictures_for: &str,
    ) -> anyhow::Result<Self> {
        let runtime = Runtime::load(&wiring::user_runtime_search()).exit_with(Exit::Unavailable)?;
        let card = card.with_extension("toml");
        let known = Card::load(&card).exit_with(Exit::BadInput)?;
        if known.meaning == Meaning::Windows {
            let error = anyhow!(
                "{}: a model over windows of readings: only models over frames are made smaller here",
                card.display()
            );
            return Err(error).exit_with(Exit::BadInput);
        }
        let names = NewFiles::of(output)?;
        let source = card.parent().unwrap_or(Path::new("")).join(&known.file);
        names.are_free(&card, &source)?;
        let old = Subject::load(&runtime, &card, ModelLimits::default())?;
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        let set = PictureSet::read(data, limit, &old.model).exit_with(Exit::BadInput)?;
        if set.distinct < LEAST_PICTURES {
            let error = anyhow!(
                "{}: {} different pictures: {pictures_for} at least {LEAST_PICTURES}, better 100 of all times of day",
                data.display(),
                set.distinct
            );
            return Err(error).exit_with(Exit::BadInput);
        }
        if set.distinct < FEW_PICTURES {
            say(&format!("warning: {} pictures are few: {pictures_for} better 100", set.distinct));
        }
        let text = std::fs::read_to_string(&card)
            .with_context(|| card.display().to_string())
            .exit_with(Exit::BadInput)?;
        let (dark, bright) = Prepared::new(&set, &old.model).brightness().exit_with(Exit::BadInput)?;
        if u32::from(bright - dark) * 10 < 255 {
            let error = anyhow!(
                "{}: all pictures are alike: the samples of most lie between {dark} and {bright}, less than a tenth of the input's range: \
                 take pictures with the camera uncovered and in light",
                data.display()
            );
            return Err(error).exit_with(Exit::BadInput);
        }
        Ok(Self { runtime, source, card: text, old, set, names })
    }
}
