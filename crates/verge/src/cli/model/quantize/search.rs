//! The search for a quantised model that holds the gate: methods, then repair, then layers that stay float.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use anyhow::Context;
use tempfile::TempDir;
use verge_engine::{ModelLimits, Runtime};
use verge_gateway::exit::{Exit, ExitWith};
use verge_models::card::{Made, ModelTask};
use verge_models::gate::{Agreed, Cost, Decision, Rules};
use verge_models::quantise::{Quantised, Quantiser, RangeMethod, Target};
use verge_models::{FrameModel, ModelFiles};

use super::compare::{Answers, Compared, costs};
use super::pictures::{PictureSet, Prepared};
use super::written::NewVersion;
use super::{QuantizeArgs, outcome, refused, runs_here, show};
use crate::cli::model::files::NewFiles;
use crate::cli::model::measure::{Pictures, SATURATION_PICTURES, Subject, saturation};
use crate::cli::output::Progress;

/// What is tried, and with what.
pub(super) struct Search<'a> {
    pub(super) args: &'a QuantizeArgs,
    pub(super) runtime: &'a Runtime,
    pub(super) folder: TempDir,
    pub(super) source: &'a Path,
    /// The text of the old card.
    pub(super) card: &'a str,
    pub(super) set: &'a PictureSet,
    pub(super) quantiser: &'a Quantiser<'a>,
    pub(super) target: Target,
    /// How candidates are loaded.
    pub(super) limits: ModelLimits,
    pub(super) progress: &'a mut Progress,
}

/// A quantised model that was tried.
struct Tried {
    method: RangeMethod,
    is_repaired: bool,
    quantised: Quantised,
    subject: Subject,
    compared: Compared,
    decision: Decision,
}

/// What came of the search.
pub(super) struct Found {
    pub(super) names: NewFiles,
    pub(super) target: Target,
    pub(super) method: RangeMethod,
    pub(super) is_repaired: bool,
    pub(super) float: Vec<String>,
    pub(super) compared: Compared,
    pub(super) is_detector: bool,
    pub(super) pictures: usize,
    /// Cost of the old and the new model, where both run here.
    pub(super) costs: Option<(Cost, Cost)>,
    pub(super) bytes: (u64, u64),
    /// How it agrees with itself as written, where it runs here.
    pub(super) saturation: Option<Agreed>,
    pub(super) decision: Decision,
    pub(super) made: Made,
}

impl Search<'_> {
    pub(super) fn search(
        &mut self,
        old: &mut Subject,
        prepared: &mut Prepared<'_>,
        names: &NewFiles,
    ) -> anyhow::Result<Found> {
        let rules = self.args.rules();
        let answers = Answers::of(old, self.set, "the model as it is", self.progress)?;
        let none = BTreeSet::new();
        let mut best: Option<Tried> = None;
        for method in self.args.method.tried() {
            let quantised =
                self.quantiser.quantised(*method, &none).map_err(|error| refused(self.source, error))?;
            let tried = self.tried(*method, quantised, false, (old, &answers), &rules)?;
            best = Some(better(best, tried));
        }
        let mut best = best.context("at least one method is tried")?;
        // Neither repair nor layers that stay float make it faster.
        if !best.decision.passes && self.is_slow(&mut best, old, 0, &rules)? {
            return self.proven(best, old, names, &rules);
        }
        if !best.decision.passes {
            let repaired = self.repaired(best.method, &none, prepared)?;
            let tried = self.tried(best.method, repaired, true, (old, &answers), &rules)?;
            best = better(Some(best), tried);
        }
        if !best.decision.passes {
            best = self.with_float(best, (old, &answers), prepared, &rules)?;
        }
        self.proven(best, old, names, &rules)
    }

    /// Leaves the layers that lose most as they were, twice as many each time, until the gate holds or nothing is gained.
    fn with_float(
        &mut self,
        mut best: Tried,
        old: (&mut Subject, &Answers),
        prepared: &mut Prepared<'_>,
        rules: &Rules,
    ) -> anyhow::Result<Tried> {
        let progress = &mut *self.progress;
        let worst = self.quantiser.sensitivity(best.method, prepared, &mut |done, all| {
            show(progress, "layers", done, all);
        });
        let worst = worst.map_err(|error| refused(self.source, error))?;
        let (method, is_repaired) = (best.method, best.is_repaired);
        let mut count = 1;
        while count < worst.len() {
            let float: BTreeSet<String> = worst.iter().take(count).map(|(made, _)| made.clone()).collect();
            let quantised = if is_repaired {
                self.repaired(method, &float, prepared)?
            } else {
                self.quantiser.quantised(method, &float).map_err(|error| refused(self.source, error))?
            };
            let mut tried = self.tried(method, quantised, is_repaired, (&*old.0, old.1), rules)?;
            if tried.decision.passes {
                return Ok(tried);
            }
            if self.is_slow(&mut tried, old.0, count, rules)? {
                return Ok(tried);
            }
            best = better(Some(best), tried);
            count *= 2;
        }
        Ok(best)
    }

    /// Whether a candidate that is not good enough is not faster either, which its decision then says.
    fn is_slow(
        &mut self,
        tried: &mut Tried,
        old: &mut Subject,
        float: usize,
        rules: &Rules,
    ) -> anyhow::Result<bool> {
        if !runs_here(self.target) || rules.keep_slower {
            return Ok(false);
        }
        let (old_cost, new_cost) = costs((old, 0), (&mut tried.subject, 0), self.set, self.progress)?;
        let is_slow = !rules.cost(&old_cost, &new_cost).passes;
        if is_slow {
            let layers = match float {
                0 => "even with every layer quantised".to_owned(),
                1 => "with 1 layer left float".to_owned(),
                float => format!("with {float} layers left float"),
            };
            let reason = format!(
                "{}; and {layers} it takes {:.2} ms of CPU instead of {:.2}: not faster",
                tried.decision.reason, new_cost.cpu_ms, old_cost.cpu_ms
            );
            tried.decision = Decision { passes: false, reason };
        }
        Ok(is_slow)
    }

    fn repaired(
        &mut self,
        method: RangeMethod,
        float: &BTreeSet<String>,
        prepared: &mut Prepared<'_>,
    ) -> anyhow::Result<Quantised> {
        let progress = &mut *self.progress;
        let repaired = self.quantiser.repaired(method, float, prepared, &mut |done, all| {
            show(progress, "repair", done, all);
        });
        repaired.map_err(|error| refused(self.source, error))
    }

    /// Loads a candidate as the gateway would, from its card, and lets it look at all pictures.
    fn tried(
        &mut self,
        method: RangeMethod,
        quantised: Quantised,
        is_repaired: bool,
        (old, answers): (&Subject, &Answers),
        rules: &Rules,
    ) -> anyhow::Result<Tried> {
        let names = NewFiles::of(&self.folder.path().join("candidate"))?;
        self.write(&old.model, &quantised, &names)?;
        let mut subject = Subject::load(self.runtime, &names.card, self.limits)?;
        let what = if is_repaired { format!("{method}, repaired") } else { method.to_string() };
        let new = Answers::of(&mut subject, self.set, &what, self.progress)?;
        let compared = Compared::of(self.set, (old, answers), (&subject, &new))?;
        let decision = compared.decision(rules);
        tracing::debug!(%method, is_repaired, float = quantised.float.len(), passes = decision.passes, "{}", decision.reason);
        Ok(Tried { method, is_repaired, quantised, subject, compared, decision })
    }

    fn made(
        &self,
        model: &FrameModel,
        figures: BTreeMap<String, f64>,
        bounds: BTreeMap<String, [f64; 2]>,
    ) -> Made {
        Made {
            command: self.args.command(),
            source_sha256: model.graph().digest().to_string(),
            pictures: self.set.frames.len() as u64,
            pictures_sha256: Some(self.set.digest.to_string()),
            processor: self.target.processor.as_str().to_owned(),
            verge: env!("CARGO_PKG_VERSION").to_owned(),
            onnxruntime: self.runtime.version().unwrap_or("unknown").to_owned(),
            figures,
            bounds,
        }
    }

    /// Speed and saturation of the best; written where all of it holds.
    fn proven(
        &mut self,
        best: Tried,
        old: &mut Subject,
        names: &NewFiles,
        rules: &Rules,
    ) -> anyhow::Result<Found> {
        let Tried { method, is_repaired, quantised, mut subject, compared, mut decision } = best;
        let weights = self.source.metadata().map_or(0, |file| file.len());
        let bytes = (weights, quantised.bytes.len() as u64);
        let (mut cost, mut saturated) = (None, None);
        if runs_here(self.target) {
            let measured = costs((old, bytes.0), (&mut subject, bytes.1), self.set, self.progress)?;
            cost = Some(measured);
            // Shown, not judged: what is made for a processor does not overflow there.
            self.progress.show("as the library runs it and as it is written")?;
            let frames = self.set.frames.iter().take(SATURATION_PICTURES).cloned().collect();
            let pictures = Pictures { frames, are_drawn: false };
            let card = NewFiles::of(&self.folder.path().join("candidate"))?;
            self.write(&old.model, &quantised, &card)?;
            let files = ModelFiles::of_card(&card.card);
            let written = saturation(self.runtime, &files, &mut subject, &pictures, None);
            saturated = written.exit_with(Exit::BadInput)?;
            let of_cost = rules.cost(&measured.0, &measured.1);
            if decision.passes && !of_cost.passes {
                decision = of_cost;
            }
        }
        let mut found = Found {
            names: names.clone(),
            target: self.target,
            method,
            is_repaired,
            float: quantised.float.clone(),
            compared,
            is_detector: old.model.frames().task == ModelTask::Detect,
            pictures: self.set.frames.len(),
            costs: cost,
            bytes,
            saturation: saturated,
            decision,
            made: Made::default(),
        };
        let (figures, bounds) = found.figures();
        found.made = self.made(&old.model, figures, bounds);
        if found.decision.passes {
            let version = format!("{}-int8", old.model.card().identity.version);
            let version = NewVersion {
                model: &old.model,
                card: self.card,
                version: &version,
                bytes: &quantised.bytes,
                made: &found.made,
            };
            version.write(names, Some(&outcome::report(&found)))?;
        }
        Ok(found)
    }

    /// Writes what is tried, with a card, where it is tried.
    fn write(&self, model: &FrameModel, quantised: &Quantised, names: &NewFiles) -> anyhow::Result<()> {
        let made = self.made(model, BTreeMap::new(), BTreeMap::new());
        NewVersion { model, card: self.card, version: "0", bytes: &quantised.bytes, made: &made }
            .write(names, None)
    }
}

/// The one that loses less; of two that lose as much, the first.
fn better(known: Option<Tried>, tried: Tried) -> Tried {
    let Some(known) = known else { return tried };
    let is_better = match (tried.decision.passes, known.decision.passes) {
        (true, false) => true,
        (false, true) => false,
        _ => tried.compared.is_better_than(&known.compared),
    };
    if is_better { tried } else { known }
}
