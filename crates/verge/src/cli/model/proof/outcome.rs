//! What came of it, for people and programs.

use std::collections::BTreeMap;
use std::io::Write;

use anyhow::Context;
use serde_json::{Value, json};
use verge_gateway::exit::Exit;
use verge_models::card::Provenance;
use verge_models::gate::bootstrap::ALPHA;
use verge_models::gate::{Agreed, Cost, GateDecision};

use super::compare::Compared;
use crate::cli::model::files::NewFiles;
use crate::cli::output::json_line;

/// A candidate with its figures, whether it passes, and what is written then.
pub(in crate::cli::model) struct Proof {
    pub(in crate::cli::model) names: NewFiles,
    pub(in crate::cli::model) compared: Compared,
    /// Before means and deviations were put back, where both were tried.
    pub(in crate::cli::model) unrepaired: Option<Compared>,
    pub(in crate::cli::model) is_detector: bool,
    pub(in crate::cli::model) pictures: usize,
    /// Cost of the old and the new model, where both run here.
    pub(in crate::cli::model) costs: Option<(Cost, Cost)>,
    pub(in crate::cli::model) bytes: (u64, u64),
    /// Bytes of both in a package.
    pub(in crate::cli::model) packed: (u64, u64),
    /// How it agrees with itself as written, where it runs here.
    pub(in crate::cli::model) saturation: Option<Agreed>,
    pub(in crate::cli::model) decision: GateDecision,
    pub(in crate::cli::model) made: Provenance,
    pub(in crate::cli::model) weights: bytes::Bytes,
}

impl Proof {
    /// Notes the figures in `[made]`, with those that only this command has.
    pub(in crate::cli::model) fn note(&mut self, own: &[(&str, f64)]) {
        let (low, high) = self.compared.agreed.bounds(ALPHA);
        let mut figures: BTreeMap<String, f64> =
            own.iter().map(|(what, value)| ((*what).to_owned(), *value)).collect();
        figures.insert("agreement %".to_owned(), self.compared.agreed.share() * 100.0);
        figures.extend(self.compared.divergence.mean().map(|mean| ("divergence nats".to_owned(), mean)));
        let mut bounds = BTreeMap::from([("agreement %".to_owned(), [low * 100.0, high * 100.0])]);
        if let Some(drop) = &self.compared.drop {
            let what = self.score();
            figures.insert(format!("{what} %"), drop.new);
            figures.insert(format!("{what} % before"), drop.old);
            figures.insert("points lost".to_owned(), drop.points);
            bounds.insert("points lost".to_owned(), [drop.low, drop.high]);
        }
        if let Some((old, new)) = &self.costs {
            figures.insert("cpu ms".to_owned(), new.cpu_ms);
            figures.insert("cpu ms before".to_owned(), old.cpu_ms);
        }
        if let Some(agreed) = &self.saturation {
            figures.insert("as written %".to_owned(), agreed.share() * 100.0);
        }
        self.made.figures = figures;
        self.made.bounds = bounds;
    }

    const fn score(&self) -> &'static str {
        if self.is_detector { "AP50" } else { "top1" }
    }

    /// The members that all such commands have; `own` are those of one command.
    pub(in crate::cli::model) fn json(&self, own: Value) -> Value {
        let Self { names, compared, costs, bytes, packed, decision, .. } = self;
        let drop = compared.drop.as_ref();
        let score = |of: Option<f64>, is_it: bool| if is_it { of } else { None };
        let side = |of: Option<f64>, (bytes, packed): (u64, u64), cost: Option<&Cost>| {
            json!({
                "top1": score(of, !self.is_detector), "ap50": score(of, self.is_detector), "bytes": bytes,
                "packed": packed, "ms": cost.map(|cost| cost.cpu_ms), "p95_ms": cost.map(|cost| cost.p95_ms),
            })
        };
        let (low, high) = compared.agreed.bounds(ALPHA);
        let unrepaired = self.unrepaired.as_ref().map(|compared| {
            let of = compared.drop.as_ref().map(|drop| drop.new);
            json!({
                "top1": score(of, !self.is_detector), "ap50": score(of, self.is_detector),
                "agreement": compared.agreed.share() * 100.0,
            })
        });
        let mut said = json!({
            "written": decision.passes,
            "refused": (!decision.passes).then_some(&decision.reason),
            "out": names.weights, "card": names.card,
            "before": side(drop.map(|drop| drop.old), (bytes.0, packed.0), costs.as_ref().map(|costs| &costs.0)),
            "after": side(drop.map(|drop| drop.new), (bytes.1, packed.1), costs.as_ref().map(|costs| &costs.1)),
            "unrepaired": unrepaired,
            "drop": drop.map(|drop| json!({
                "points": drop.points, "low": drop.low, "high": drop.high, "p": drop.p,
            })),
            "agreement": compared.agreed.share() * 100.0,
            "agreement_low": low * 100.0, "agreement_high": high * 100.0, "divergence": compared.divergence.mean(),
            "saturation": self.saturation.map(|agreed| agreed.share() * 100.0),
            "pictures": self.pictures,
        });
        if let (Some(said), Value::Object(own)) = (said.as_object_mut(), own) {
            said.extend(own);
        }
        said
    }

    /// What is written beside the model: the table `[made]`, and all that is said.
    pub(in crate::cli::model) fn report(&self, own: Value) -> Value {
        let mut report = self.json(own);
        report["made"] = json!(self.made);
        report
    }

    /// Prints it; `head` says what was made of what.
    pub(in crate::cli::model) fn print(
        &self,
        head: &[String],
        own: Value,
        as_json: bool,
        out: &mut impl Write,
    ) -> anyhow::Result<Exit> {
        if as_json {
            json_line(out, &self.json(own))?;
        } else {
            for line in head.iter().chain(&self.lines()) {
                writeln!(out, "{line}").context("standard output")?;
            }
        }
        Ok(if self.decision.passes { Exit::Fine } else { Exit::Failure })
    }

    fn lines(&self) -> Vec<String> {
        #[expect(clippy::cast_precision_loss, reason = "bytes for people")]
        let mb = |bytes: u64| bytes as f64 / 1e6;
        let mut lines = vec![format!(
            "size: {:.2} MB instead of {:.2}; in a package {:.2} MB instead of {:.2}",
            mb(self.bytes.1),
            mb(self.bytes.0),
            mb(self.packed.1),
            mb(self.packed.0)
        )];
        let unrepaired = |of: fn(&Compared) -> Option<f64>| {
            let share = self.unrepaired.as_ref().and_then(of);
            share.map_or_else(String::new, |share| format!(", {share:.1} before repair"))
        };
        if let Some(drop) = &self.compared.drop {
            let what = if self.is_detector { "AP50" } else { "top-1" };
            lines.push(format!(
                "{what}: {:.2} % instead of {:.2}{} of {} pictures, which rule out losses above {:.1} points",
                drop.new,
                drop.old,
                unrepaired(|compared| compared.drop.as_ref().map(|drop| drop.new)),
                self.pictures,
                drop.high
            ));
        }
        let (low, high) = self.compared.agreed.bounds(ALPHA);
        lines.push(format!(
            "answers: {:.1} % are those of the old model ({:.1} to {:.1} %{})",
            self.compared.agreed.share() * 100.0,
            low * 100.0,
            high * 100.0,
            unrepaired(|compared| Some(compared.agreed.share() * 100.0)),
        ));
        if let Some(mean) = self.compared.divergence.mean() {
            lines.push(format!(
                "probabilities: {mean:.4} nats from those of the old model (mean Kullback-Leibler divergence)"
            ));
        }
        match &self.costs {
            Some((old, new)) => lines.push(format!(
                "time: {:.2} ms of CPU instead of {:.2} ({:.2}x)",
                new.cpu_ms,
                old.cpu_ms,
                new.times(old)
            )),
            None => lines.push(format!(
                "time: unknown, since this processor is not of kind {}: `verge model bench` there decides",
                self.made.processor
            )),
        }
        lines.push(if self.decision.passes {
            format!("written: {}, with its card {}", self.names.weights.display(), self.names.card.display())
        } else {
            format!("refused, nothing is written: {}", self.decision.reason)
        });
        lines
    }
}
