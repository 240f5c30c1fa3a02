//! What is written of a model with a new head.

use serde_json::Value;
use verge_engine::ContentDigest;
use verge_models::FrameModel;
use verge_models::card::{Provenance, quoted};

use super::super::files::{NewFiles, NewModel, name};

/// A model with a new head.
pub(super) struct NewHead<'a> {
    pub(super) old: &'a FrameModel,
    pub(super) output: &'a str,
    pub(super) weights: &'a [u8],
    pub(super) labels: &'a [String],
}

impl NewHead<'_> {
    /// Writes weights, card, labels and report.
    pub(super) fn write(
        &self,
        files: &NewFiles,
        made: &Provenance,
        report: Option<&Value>,
    ) -> anyhow::Result<()> {
        let labels = self.labels.iter().map(|label| format!("{label}\n")).collect();
        files.write(&NewModel {
            weights: self.weights,
            card: self.card(files, made),
            labels: Some(labels),
            report,
        })
    }

    /// The old card is about another output and other labels: of it the input stays.
    fn card(&self, files: &NewFiles, made: &Provenance) -> String {
        let card = self.old.card();
        let digest = ContentDigest::of(self.weights).to_string();
        let weights = name(&files.weights);
        let stem = weights.trim_end_matches(".onnx");
        let mut text = format!("name = {}\nversion = {}\n", quoted(stem), quoted(&digest[..8]));
        if let Some(licence) = &card.licence {
            text += &format!("licence = {}\n", quoted(licence));
        }
        let old = &card.identity;
        text += &format!("source = {}\n", quoted(&format!("{} {}, with a new head", old.name, old.version)));
        text += &format!("sha256 = {}\nfile = {}\n", quoted(&digest), quoted(&weights));
        text += &format!("task = \"classify\"\nlabels = {}\n\n", quoted(&name(&files.labels)));
        text += &self.old.frames().input.table();
        text += &format!("\n[output]\ndecoder = \"probabilities\"\nnames = [{}]\n\n", quoted(self.output));
        text + &made.table()
    }
}
