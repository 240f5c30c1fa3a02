//! What is written beside the new file: its card, its labels, its report.

use serde_json::Value;
use verge_engine::ContentDigest;
use verge_models::FrameModel;
use verge_models::card::{LabelsCard, Provenance, Successor};

use crate::cli::model::files::{NewFiles, NewModel, name};

/// A new version of a model.
pub(in crate::cli::model) struct NewVersion<'a> {
    pub(in crate::cli::model) model: &'a FrameModel,
    /// The text of the old card.
    pub(in crate::cli::model) card: &'a str,
    pub(in crate::cli::model) version: &'a str,
    pub(in crate::cli::model) bytes: &'a [u8],
    pub(in crate::cli::model) made: &'a Provenance,
}

impl NewVersion<'_> {
    /// Writes weights, card, report, and labels where they lie in a file.
    pub(in crate::cli::model) fn write(
        &self,
        files: &NewFiles,
        report: Option<&Value>,
    ) -> anyhow::Result<()> {
        let is_file = matches!(self.model.frames().labels, Some(LabelsCard::File(_)));
        let labels = is_file.then(|| self.model.labels().iter().map(|label| format!("{label}\n")).collect());
        let digest = ContentDigest::of(self.bytes).to_string();
        let of_labels = name(&files.labels);
        let successor = Successor {
            version: self.version,
            file: &name(&files.weights),
            sha256: &digest,
            labels: is_file.then_some(&of_labels),
            made: self.made,
        };
        let card = successor.card(self.card, &files.card)?;
        files.write(&NewModel { weights: self.bytes, card, labels, report })
    }
}
