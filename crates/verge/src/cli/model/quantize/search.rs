//! The search for a quantised model that holds the gate: methods, then repair, then layers that stay float.

use std::collections::BTreeSet;

use anyhow::Context;
use verge_models::gate::GateDecision;
use verge_models::quantise::{Quantised, Quantiser, RangeMethod, Target};

use crate::cli::model::files::NewFiles;
use crate::cli::model::measure::Subject;
use crate::cli::model::proof::{self, Answers, Prepared, Proof, Proving, costs, refused, show};

/// What is tried, and with what.
pub(super) struct Search<'a> {
    pub(super) proving: Proving<'a>,
    /// How ranges are chosen, one after the other.
    pub(super) methods: &'static [RangeMethod],
    pub(super) quantiser: &'a Quantiser<'a>,
    pub(super) target: Target,
}

/// A quantised model that was tried.
struct Tried {
    method: RangeMethod,
    is_repaired: bool,
    float: Vec<String>,
    of: proof::Tried,
}

/// What came of the search.
pub(super) struct Found {
    pub(super) target: Target,
    pub(super) method: RangeMethod,
    pub(super) is_repaired: bool,
    pub(super) float: Vec<String>,
    pub(super) proof: Proof,
}

impl Search<'_> {
    pub(super) fn search(
        &mut self,
        old: &mut Subject,
        prepared: &mut Prepared<'_>,
        names: &NewFiles,
    ) -> anyhow::Result<Found> {
        let answers = Answers::of(old, self.proving.set, "the model as it is", self.proving.progress)?;
        let none = BTreeSet::new();
        let mut best: Option<Tried> = None;
        for method in self.methods {
            let quantised = self
                .quantiser
                .quantised(*method, &none)
                .map_err(|error| refused(self.proving.source, error))?;
            let tried = self.tried(*method, quantised, false, (old, &answers))?;
            best = Some(better(best, tried));
        }
        let mut best = best.context("at least one method is tried")?;
        // Neither repair nor layers that stay float make it faster.
        if !best.of.decision.passes && self.is_slow(&mut best, old, 0)? {
            return self.proven(best, old, names);
        }
        if !best.of.decision.passes {
            let repaired = self.repaired(best.method, &none, prepared)?;
            let tried = self.tried(best.method, repaired, true, (old, &answers))?;
            best = better(Some(best), tried);
        }
        if !best.of.decision.passes {
            best = self.with_float(best, (old, &answers), prepared)?;
        }
        self.proven(best, old, names)
    }

    /// Leaves the layers that lose most as they were, twice as many each time, until the gate holds or nothing is gained.
    fn with_float(
        &mut self,
        mut best: Tried,
        old: (&mut Subject, &Answers),
        prepared: &mut Prepared<'_>,
    ) -> anyhow::Result<Tried> {
        let progress = &mut *self.proving.progress;
        let worst = self.quantiser.sensitivity(best.method, prepared, &mut |done, all| {
            show(progress, "layers", done, all);
        });
        let worst = worst.map_err(|error| refused(self.proving.source, error))?;
        let (method, is_repaired) = (best.method, best.is_repaired);
        let mut count = 1;
        while count < worst.len() {
            let float: BTreeSet<String> = worst.iter().take(count).map(|(made, _)| made.clone()).collect();
            let quantised = if is_repaired {
                self.repaired(method, &float, prepared)?
            } else {
                self.quantiser
                    .quantised(method, &float)
                    .map_err(|error| refused(self.proving.source, error))?
            };
            let mut tried = self.tried(method, quantised, is_repaired, (&*old.0, old.1))?;
            if tried.of.decision.passes {
                return Ok(tried);
            }
            if self.is_slow(&mut tried, old.0, count)? {
                return Ok(tried);
            }
            best = better(Some(best), tried);
            count *= 2;
        }
        Ok(best)
    }

    /// Whether a candidate that is not good enough is not faster either, which its decision then says.
    fn is_slow(&mut self, tried: &mut Tried, old: &mut Subject, float: usize) -> anyhow::Result<bool> {
        let rules = self.proving.rules;
        if !self.proving.runs_here || rules.keep_slower {
            return Ok(false);
        }
        let (old_cost, new_cost) =
            costs((old, 0), (&mut tried.of.subject, 0), &self.proving.set.frames, self.proving.progress)?;
        let is_slow = !rules.cost(&old_cost, &new_cost).passes;
        if is_slow {
            let layers = match float {
                0 => "even with every layer quantised".to_owned(),
                1 => "with 1 layer left float".to_owned(),
                float => format!("with {float} layers left float"),
            };
            let reason = format!(
                "{}; and {layers} it takes {:.2} ms of CPU instead of {:.2}: not faster",
                tried.of.decision.reason, new_cost.cpu_ms, old_cost.cpu_ms
            );
            tried.of.decision = GateDecision { passes: false, reason };
        }
        Ok(is_slow)
    }

    fn repaired(
        &mut self,
        method: RangeMethod,
        float: &BTreeSet<String>,
        prepared: &mut Prepared<'_>,
    ) -> anyhow::Result<Quantised> {
        let progress = &mut *self.proving.progress;
        let repaired = self.quantiser.repaired(method, float, prepared, &mut |done, all| {
            show(progress, "repair", done, all);
        });
        repaired.map_err(|error| refused(self.proving.source, error))
    }

    /// Loads a candidate and lets it look at all pictures.
    fn tried(
        &mut self,
        method: RangeMethod,
        quantised: Quantised,
        is_repaired: bool,
        old: (&Subject, &Answers),
    ) -> anyhow::Result<Tried> {
        let what = if is_repaired { format!("{method}, repaired") } else { method.to_string() };
        let of = self.proving.tried(quantised.bytes, &what, old)?;
        Ok(Tried { method, is_repaired, float: quantised.float, of })
    }

    /// Speed and saturation of the best; written where all of it holds.
    fn proven(&mut self, best: Tried, old: &mut Subject, names: &NewFiles) -> anyhow::Result<Found> {
        let Tried { method, is_repaired, float, of } = best;
        let mut proof = self.proving.proven(of, old, names)?;
        proof.note(&[("weight bits", f64::from(self.target.weight_bits()))]);
        let found = Found { target: self.target, method, is_repaired, float, proof };
        self.proving.keep(&found.proof, old, &found.proof.report(found.json()))?;
        Ok(found)
    }
}

/// The one that loses less; of two that lose as much, the first.
fn better(known: Option<Tried>, tried: Tried) -> Tried {
    match known {
        Some(known) if !tried.of.is_better_than(&known.of) => known,
        _ => tried,
    }
}
