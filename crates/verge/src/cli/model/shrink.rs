//! Commands that change weights alone: `prune`, `quantize --bits 4` and `quantize --dynamic`. Each prints its price, and the gate
//! refuses what does not pay.

use std::io::Write;
use std::path::Path;

use serde_json::{Value, json};
use verge_engine::{ModelLimits, Optimisation};
use verge_gateway::exit::Exit;
use verge_models::card::ANY_PROCESSOR;
use verge_models::gate::{GateDecision, Rules};
use verge_models::package::packed_bytes;
use verge_models::quantise::Bench;
use verge_models::quantise::shrink::{Change, Shrinker, Shrunk};

use super::files::no_model;
use super::proof::{Answers, Bed, Pays, Prepared, Proof, Proving, check_max_drop, folder, refused, show};
use crate::cli::output::Progress;

/// What such a command is given.
pub(super) struct Shrinking<'a> {
    pub(super) card: &'a Path,
    pub(super) data: &'a Path,
    pub(super) output: &'a Path,
    /// Pictures at most.
    pub(super) limit: u64,
    pub(super) change: Change,
    pub(super) runs_here: bool,
    pub(super) rules: Rules,
    /// As it stands in `[made]`.
    pub(super) command: String,
}

/// What was made.
struct Made {
    is_repaired: bool,
    layers: usize,
    /// Share of the weights in them that are zero, in percent.
    zeros: f64,
}

impl Shrinking<'_> {
    /// Runs the command.
    pub(super) fn run(&self, as_json: bool, out: &mut impl Write) -> anyhow::Result<Exit> {
        let mut progress = Progress::new();
        let result = self.made(&mut progress);
        progress.clear()?;
        match result {
            Ok((proof, made)) => proof.print(&[self.head(&made)], self.json(&made), as_json, out),
            Err(error) => {
                no_model(&error, as_json, out);
                Err(error)
            }
        }
    }

    fn made(&self, progress: &mut Progress) -> anyhow::Result<(Proof, Made)> {
        check_max_drop(self.rules.max_drop)?;
        let why = if matches!(self.change, Change::Dynamic(_)) { "the proof needs" } else { "repair needs" };
        let Bed { runtime, source, card, mut old, set, names } =
            Bed::open(self.card, self.data, self.output, self.limit, why)?;
        let mut prepared = Prepared::new(&set, &old.model);
        let (model, limits) = (old.model.clone(), ModelLimits::default());
        let bench = Bench { runtime: &runtime, path: &source, limits, contract: model.contract() };
        let failed = |error| refused(&source, error);
        let shrinker = Shrinker::new(model.graph(), bench, self.change, &mut prepared).map_err(failed)?;
        let optimisation = if self.runs_here { Optimisation::Full } else { Optimisation::AsWritten };
        // Whoever asks for fewer bytes at this price gets them. Where nobody says what is right, the price is a share of the answers.
        let is_loss_consented = self.pays() == Pays::Bytes && self.rules.max_drop > Rules::default().max_drop;
        let usual = self.rules.agreement;
        let agreement = if is_loss_consented { usual.min(1.0 - self.rules.max_drop / 100.0) } else { usual };
        let mut proving = Proving {
            runtime: &runtime,
            folder: folder()?,
            source: &source,
            card: &card,
            set: &set,
            limits: ModelLimits { optimisation, ..limits },
            runs_here: self.runs_here,
            rules: Rules { agreement, is_loss_consented, ..self.rules },
            pays: self.pays(),
            command: self.command.clone(),
            processor: self.processor(),
            suffix: self.suffix(),
            progress,
        };
        let answers = Answers::of(&mut old, &set, "the model as it is", proving.progress)?;
        let shrunk = shrinker.shrunk().map_err(failed)?;
        let mut best = proving.tried(shrunk.bytes.clone(), "the changed model", (&old, &answers))?;
        let (mut shrunk, mut is_repaired, mut unrepaired) = (shrunk, false, None);
        let progress = &mut *proving.progress;
        let repaired = shrinker.repaired(&mut prepared, &mut |done, all| show(progress, "repair", done, all));
        if let Some(repaired) = repaired.map_err(failed)? {
            let tried = proving.tried(repaired.bytes.clone(), "repaired", (&old, &answers))?;
            // Repair makes more different numbers, which pack worse.
            let costs_bytes = self.pays() == Pays::Bytes && {
                let before = packed_bytes(old.model.bytes());
                let is_smaller = |bytes: &[u8]| Rules::is_smaller((before, packed_bytes(bytes)));
                is_smaller(&best.bytes) && !is_smaller(&tried.bytes)
            };
            if tried.is_better_than(&best) && !costs_bytes {
                let first = std::mem::replace(&mut best, tried);
                (shrunk, is_repaired, unrepaired) = (repaired, true, Some(first.compared));
            }
        }
        let loses_answers = !best.decision.passes;
        let mut proof = proving.proven(best, &mut old, &names)?;
        proof.unrepaired = unrepaired;
        if loses_answers {
            proof.decision = self.with_price(&proof.decision);
        }
        let made = Made { is_repaired, layers: shrunk.layers, zeros: zeros(&shrunk) };
        proof.note(&self.figures(&made));
        proving.keep(&proof, &old, &proof.report(self.json(&made)))?;
        Ok((proof, made))
    }

    /// The kind of processor that the weights are made for.
    fn processor(&self) -> &'static str {
        match self.change {
            Change::Prune(_) | Change::FourBits => ANY_PROCESSOR,
            Change::Dynamic(target) => target.processor.as_str(),
        }
    }

    const fn pays(&self) -> Pays {
        match self.change {
            Change::Prune(_) | Change::FourBits => Pays::Bytes,
            Change::Dynamic(_) => Pays::Time,
        }
    }

    fn suffix(&self) -> String {
        match self.change {
            Change::Prune(share) => format!("pruned{:.0}", share * 100.0),
            Change::FourBits => "int4".to_owned(),
            Change::Dynamic(_) => "dynamic".to_owned(),
        }
    }

    /// Why it is refused, with what such a model is good for.
    fn with_price(&self, decision: &GateDecision) -> GateDecision {
        let price = match self.change {
            Change::Prune(_) => {
                "a pruned model gains bytes in a package and no time; --max-drop POINTS takes a loss for that"
            }
            Change::FourBits => {
                "weights of 4 bits gain bytes and no time; --max-drop POINTS takes a loss for that"
            }
            Change::Dynamic(_) => return decision.clone(),
        };
        GateDecision { passes: false, reason: format!("{}; {price}", decision.reason) }
    }

    fn figures(&self, made: &Made) -> Vec<(&'static str, f64)> {
        match self.change {
            Change::Prune(share) => vec![("sparsity %", share * 100.0), ("zeros %", made.zeros)],
            Change::FourBits => vec![("weight bits", 4.0)],
            Change::Dynamic(target) => vec![("weight bits", f64::from(target.weight_bits()))],
        }
    }

    fn json(&self, made: &Made) -> Value {
        let (processor, layers, repaired) = (self.processor(), made.layers, made.is_repaired);
        let quantised = |bits: u32, method: &str| {
            json!({
                "for": processor, "weight_bits": bits, "method": method, "repaired": repaired, "kept_float": [],
                "layers": layers,
            })
        };
        match self.change {
            Change::Prune(share) => json!({
                "sparsity": share * 100.0, "zeros": made.zeros, "repaired": repaired, "layers": layers,
            }),
            Change::FourBits => quantised(4, "blocks"),
            Change::Dynamic(target) => quantised(target.weight_bits(), "dynamic"),
        }
    }

    fn head(&self, made: &Made) -> String {
        let card = self.card.display();
        let layers = if made.layers == 1 { "1 layer".to_owned() } else { format!("{} layers", made.layers) };
        let repaired = if made.is_repaired { ", repaired" } else { "" };
        match self.change {
            Change::Prune(_) => {
                format!("{card}: {:.1} % of the weights of {layers} are zero{repaired}", made.zeros)
            }
            Change::FourBits => format!("{card}: weights of {layers} have 4 bits{repaired}"),
            Change::Dynamic(target) => format!(
                "{card}: for {}, weights of {layers} have {} bits, activations are quantised while it runs",
                target.processor.as_str(),
                target.weight_bits()
            ),
        }
    }
}

#[expect(clippy::cast_precision_loss, reason = "numbers of weights")]
fn zeros(shrunk: &Shrunk) -> f64 {
    100.0 * shrunk.zeros as f64 / shrunk.weights.max(1) as f64
}
