//! What the files of models held when they were read: by that it is found whether a reload must read them again.

use std::collections::BTreeMap;

use verge_engine::ContentDigest;

use crate::settings::Settings;

/// The contents of the models that judges ask, by their names in the configuration. A model whose files cannot be read has
/// none.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct ModelContents(BTreeMap<String, Option<ContentDigest>>);

impl ModelContents {
    /// As the files are now. Reads all of them.
    pub(crate) fn of_files(settings: &Settings) -> Self {
        let models = settings.models.iter().chain(&settings.autoencoders);
        Self(models.map(|model| (model.name.clone(), model.content())).collect())
    }

    /// As they were read.
    pub(crate) fn of_loaded(loaded: impl IntoIterator<Item = (String, ContentDigest)>) -> Self {
        Self(loaded.into_iter().map(|(name, content)| (name, Some(content))).collect())
    }

    /// What a model holds, if that is known.
    pub(crate) fn of(&self, model: &str) -> Option<ContentDigest> {
        self.0.get(model).copied().flatten()
    }
}
