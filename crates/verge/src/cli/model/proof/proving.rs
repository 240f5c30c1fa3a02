//! A candidate is loaded as the gateway would, looks at all pictures, is measured beside the old model, and is written where all
//! of that holds.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, anyhow};
use verge_engine::staged::TrialFolder;
use verge_engine::{ModelLimits, Runtime};
use verge_gateway::exit::{Exit, ExitWith};
use verge_models::card::{ModelTask, Provenance};
use verge_models::gate::{GateDecision, Rules};
use verge_models::package::packed_bytes;
use verge_models::quantise::QuantiseError;
use verge_models::{FrameModel, ModelFiles};

use super::compare::{Answers, Compared, costs};
use super::outcome::Proof;
use super::pictures::PictureSet;
use super::written::NewVersion;
use crate::cli::model::files::NewFiles;
use crate::cli::model::measure::{Pictures, SATURATION_PICTURES, Subject, saturation};
use crate::cli::output::Progress;
use crate::cli::words;

/// What a new version is to gain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::cli::model) enum Pays {
    /// Less processor time.
    Time,
    /// Fewer bytes.
    Bytes,
}

/// With what candidates are tried.
pub(in crate::cli::model) struct Proving<'a> {
    pub(in crate::cli::model) runtime: &'a Runtime,
    pub(in crate::cli::model) folder: TrialFolder,
    /// The file of the old model.
    pub(in crate::cli::model) source: &'a Path,
    /// The text of the old card.
    pub(in crate::cli::model) card: &'a str,
    pub(in crate::cli::model) set: &'a PictureSet,
    /// How candidates are loaded.
    pub(in crate::cli::model) limits: ModelLimits,
    /// Whether this processor runs a candidate as that which it is made for.
    pub(in crate::cli::model) runs_here: bool,
    pub(in crate::cli::model) rules: Rules,
    pub(in crate::cli::model) pays: Pays,
    /// The command, as it stands in `[made]`, and the kind of processor that the file is made for.
    pub(in crate::cli::model) command: String,
    pub(in crate::cli::model) processor: &'static str,
    /// What stands behind the version of the old card in the new one.
    pub(in crate::cli::model) suffix: String,
    pub(in crate::cli::model) progress: &'a mut Progress,
}

/// A candidate that was tried.
pub(in crate::cli::model) struct Tried {
    pub(in crate::cli::model) bytes: bytes::Bytes,
    pub(in crate::cli::model) subject: Subject,
    pub(in crate::cli::model) compared: Compared,
    pub(in crate::cli::model) decision: GateDecision,
}

impl Tried {
    /// Whether it passes where another does not, or loses less.
    pub(in crate::cli::model) fn is_better_than(&self, other: &Self) -> bool {
        match (self.decision.passes, other.decision.passes) {
            (true, false) => true,
            (false, true) => false,
            _ => self.compared.is_better_than(&other.compared),
        }
    }
}

impl Proving<'_> {
    /// Loads a candidate as the gateway would, from its card, and lets it look at all pictures. `what` it is, for the progress.
    pub(in crate::cli::model) fn tried(
        &mut self,
        bytes: bytes::Bytes,
        what: &str,
        (old, answers): (&Subject, &Answers),
    ) -> anyhow::Result<Tried> {
        let names = self.candidate()?;
        self.write(&old.model, &bytes, &names)?;
        let mut subject = Subject::load(self.runtime, &names.card, self.limits)?;
        let new = Answers::of(&mut subject, self.set, what, self.progress)?;
        let compared = Compared::of(self.set, (old, answers), (&subject, &new))?;
        let decision = compared.decision(&self.rules);
        tracing::debug!(what, passes = decision.passes, "{}", decision.reason);
        Ok(Tried { bytes, subject, compared, decision })
    }

    /// Time, bytes and saturation of the best; nothing is written yet.
    pub(in crate::cli::model) fn proven(
        &mut self,
        best: Tried,
        old: &mut Subject,
        names: &NewFiles,
    ) -> anyhow::Result<Proof> {
        let Tried { bytes: new, mut subject, compared, mut decision } = best;
        let weights = self.source.metadata().map_or(0, |file| file.len());
        let bytes = (weights, new.len() as u64);
        self.progress.show("bytes of both in a package")?;
        let packed = (packed_bytes(old.model.bytes()), packed_bytes(&new));
        let (mut cost, mut saturated) = (None, None);
        if self.runs_here {
            let measured = costs((old, bytes.0), (&mut subject, bytes.1), &self.set.frames, self.progress)?;
            cost = Some(measured);
            // Shown, not judged: what is made for a processor does not overflow there.
            self.progress.show("as the library runs it and as it is written")?;
            let frames = self.set.frames.iter().take(SATURATION_PICTURES).cloned().collect();
            let pictures = Pictures { frames, are_drawn: false };
            let card = self.candidate()?;
            self.write(&old.model, &new, &card)?;
            let files = ModelFiles::of_card(&card.card);
            let written = saturation(self.runtime, &files, &mut subject, &pictures, None);
            saturated = written.exit_with(Exit::BadInput)?;
            let of_cost = match self.pays {
                Pays::Time => self.rules.cost(&measured.0, &measured.1),
                Pays::Bytes => self.rules.size(&measured.0, &measured.1, packed),
            };
            if decision.passes && !of_cost.passes {
                decision = of_cost;
            }
        }
        Ok(Proof {
            names: names.clone(),
            compared,
            unrepaired: None,
            is_detector: old.model.frames().task == ModelTask::Detect,
            pictures: self.set.frames.len(),
            costs: cost,
            bytes,
            packed,
            saturation: saturated,
            decision,
            made: self.made(&old.model),
            weights: new,
        })
    }

    /// Writes what has passed, with its report.
    pub(in crate::cli::model) fn keep(
        &self,
        proof: &Proof,
        old: &Subject,
        report: &serde_json::Value,
    ) -> anyhow::Result<()> {
        if !proof.decision.passes {
            return Ok(());
        }
        let version = format!("{}-{}", old.model.card().identity.version, self.suffix);
        let version = NewVersion {
            model: &old.model,
            card: self.card,
            version: &version,
            bytes: &proof.weights,
            made: &proof.made,
        };
        version.write(&proof.names, Some(report))
    }

    fn made(&self, model: &FrameModel) -> Provenance {
        Provenance {
            command: self.command.clone(),
            source_sha256: model.graph().digest().to_string(),
            pictures: self.set.frames.len() as u64,
            pictures_sha256: Some(self.set.digest.to_string()),
            processor: self.processor.to_owned(),
            verge: env!("CARGO_PKG_VERSION").to_owned(),
            onnxruntime: self.runtime.version().unwrap_or("unknown").to_owned(),
            figures: BTreeMap::new(),
            bounds: BTreeMap::new(),
        }
    }

    fn candidate(&self) -> anyhow::Result<NewFiles> {
        NewFiles::of(&self.folder.path().join("candidate"))
    }

    /// Writes what is tried, with a card, where it is tried.
    fn write(&self, model: &FrameModel, bytes: &[u8], names: &NewFiles) -> anyhow::Result<()> {
        let made = self.made(model);
        NewVersion { model, card: self.card, version: "0", bytes, made: &made }.write(names, None)
    }
}

/// A folder for what is tried.
pub(in crate::cli::model) fn folder() -> anyhow::Result<TrialFolder> {
    TrialFolder::new().context("a folder for what is tried").exit_with(Exit::Temporary)
}

/// How far a step is.
pub(in crate::cli::model) fn show(progress: &mut Progress, what: &str, done: usize, all: usize) {
    // A terminal that is not there any more ends the command at its next line.
    drop(progress.show(&format!("{what}: {} %", done * 100 / all.max(1))));
}

/// Why a model is not changed, with how the command ends.
pub(in crate::cli::model) fn refused(source: &Path, error: QuantiseError) -> anyhow::Error {
    if error.is_memory() {
        let why = anyhow!("{}: memory is refused, even for one tensor at a time: {error}", source.display());
        return why.context(Exit::Temporary);
    }
    let names_itself = matches!(error, QuantiseError::Graph(_) | QuantiseError::Picture { .. });
    let why = if names_itself {
        anyhow!(words(&error))
    } else {
        anyhow!("{}: {}", source.display(), words(&error))
    };
    why.context(Exit::BadInput)
}
