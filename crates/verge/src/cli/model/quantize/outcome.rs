//! What came of it, for people and programs.

use std::collections::BTreeMap;
use std::io::Write;

use anyhow::Context;
use serde_json::{Value, json};
use verge_gateway::exit::Exit;
use verge_models::gate::Cost;
use verge_models::gate::bootstrap::ALPHA;

use super::QuantizeArgs;
use super::search::Found;
use super::written::Figures;
use crate::cli::output::json_line;

impl Found {
    /// What stands in `[made]`.
    pub(super) fn figures(&self) -> Figures {
        let (low, high) = self.compared.agreed.bounds(ALPHA);
        let mut figures = BTreeMap::from([
            ("agreement %".to_owned(), self.compared.agreed.share() * 100.0),
            ("weight bits".to_owned(), f64::from(self.target.weight_bits())),
        ]);
        figures.extend(self.compared.divergence.mean().map(|mean| ("divergence nats".to_owned(), mean)));
        let mut bounds = BTreeMap::from([("agreement %".to_owned(), [low * 100.0, high * 100.0])]);
        if let Some(drop) = &self.compared.drop {
            let what = if self.is_detector { "AP50 %" } else { "top1 %" };
            figures.insert(what.to_owned(), drop.new);
            figures.insert(format!("{what} before"), drop.old);
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
        (figures, bounds)
    }

    fn json(&self) -> Value {
        let Self { names, compared, costs, bytes, decision, .. } = self;
        let drop = compared.drop.as_ref();
        let score = |of: Option<f64>, is_it: bool| if is_it { of } else { None };
        let side = |of: Option<f64>, bytes: u64, cost: Option<&Cost>| {
            json!({
                "top1": score(of, !self.is_detector), "ap50": score(of, self.is_detector), "bytes": bytes,
                "ms": cost.map(|cost| cost.cpu_ms), "p95_ms": cost.map(|cost| cost.p95_ms),
            })
        };
        let (low, high) = compared.agreed.bounds(ALPHA);
        json!({
            "written": decision.passes,
            "refused": (!decision.passes).then_some(&decision.reason),
            "out": names.weights, "card": names.card,
            "for": self.target.processor.as_str(), "weight_bits": self.target.weight_bits(),
            "method": self.method.as_str(), "repaired": self.is_repaired, "kept_float": self.float,
            "before": side(drop.map(|drop| drop.old), bytes.0, costs.as_ref().map(|costs| &costs.0)),
            "after": side(drop.map(|drop| drop.new), bytes.1, costs.as_ref().map(|costs| &costs.1)),
            "drop": drop.map(|drop| json!({
                "points": drop.points, "low": drop.low, "high": drop.high, "p": drop.p,
            })),
            "agreement": compared.agreed.share() * 100.0,
            "agreement_low": low * 100.0, "agreement_high": high * 100.0, "divergence": compared.divergence.mean(),
            "saturation": self.saturation.map(|agreed| agreed.share() * 100.0),
            "pictures": self.pictures,
        })
    }
}

/// What is written beside the model: the table `[made]`, and all that is said.
pub(super) fn report(found: &Found) -> Value {
    let mut report = found.json();
    report["made"] = json!(found.made);
    report
}

pub(super) fn tell(
    args: &QuantizeArgs,
    found: &Found,
    as_json: bool,
    out: &mut impl Write,
) -> anyhow::Result<Exit> {
    if as_json {
        json_line(out, &found.json())?;
    } else {
        for line in lines(args, found) {
            writeln!(out, "{line}").context("standard output")?;
        }
    }
    Ok(if found.decision.passes { Exit::Fine } else { Exit::Failure })
}

fn lines(args: &QuantizeArgs, found: &Found) -> Vec<String> {
    #[expect(clippy::cast_precision_loss, reason = "bytes for people")]
    let mb = |bytes: u64| bytes as f64 / 1e6;
    let bits = found.target.weight_bits();
    let repaired = if found.is_repaired { ", repaired" } else { "" };
    let mut lines = vec![format!(
        "{}: for {}, weights of {bits} bits, ranges by {}{repaired}",
        args.card.display(),
        found.target.processor.as_str(),
        found.method
    )];
    if !found.float.is_empty() {
        lines.push(format!("left float: {}", found.float.join(", ")));
    }
    lines.push(format!("size: {:.2} MB instead of {:.2}", mb(found.bytes.1), mb(found.bytes.0)));
    if let Some(drop) = &found.compared.drop {
        let what = if found.is_detector { "AP50" } else { "top-1" };
        lines.push(format!(
            "{what}: {:.2} % instead of {:.2} of {} pictures, which rule out losses above {:.1} points",
            drop.new, drop.old, found.pictures, drop.high
        ));
    }
    let (low, high) = found.compared.agreed.bounds(ALPHA);
    lines.push(format!(
        "answers: {:.1} % are those of the old model ({:.1} to {:.1} %)",
        found.compared.agreed.share() * 100.0,
        low * 100.0,
        high * 100.0
    ));
    if let Some(mean) = found.compared.divergence.mean() {
        lines.push(format!(
            "probabilities: {mean:.4} nats from those of the old model (mean Kullback-Leibler divergence)"
        ));
    }
    match &found.costs {
        Some((old, new)) => lines.push(format!(
            "time: {:.2} ms of CPU instead of {:.2} ({:.2}x)",
            new.cpu_ms,
            old.cpu_ms,
            new.times(old)
        )),
        None => lines.push(format!(
            "time: unknown, since this processor is not of kind {}: `verge model bench` there decides",
            found.target.processor.as_str()
        )),
    }
    lines.push(if found.decision.passes {
        format!("written: {}, with its card {}", found.names.weights.display(), found.names.card.display())
    } else {
        format!("refused, nothing is written: {}", found.decision.reason)
    });
    lines
}
