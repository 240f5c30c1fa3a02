//! Models of visual anomalies, as Anomalib exports them.

use super::families::{Family, NAMED, UNSAID};
use super::preparation::{Preparation, ResizeDraft};
use super::{Facts, quoted};

/// Readings that fit, the likeliest first.
pub(super) fn of(facts: &Facts<'_>) -> Vec<Family> {
    let outputs = facts.graph.outputs();
    let has = |name: &str| outputs.iter().any(|port| port.name == name);
    // Preprocessing is a part of the graph from Anomalib 1.0 on: pictures go in as shares.
    let named = |decoder| Family { task: "anomaly", ..Family::new(decoder, NAMED, Preparation::stretched) };
    let alone = |name: &str, role| {
        named("anomaly").with("names", format!("[{}]", quoted(name))).with("outputs", format!("[\"{role}\"]"))
    };
    match (has("pred_score"), has("anomaly_map")) {
        (true, true) => return vec![named("anomalib")],
        (false, true) => return vec![alone("anomaly_map", "map")],
        (true, false) => return vec![alone("pred_score", "score")],
        (false, false) => {}
    }
    let is_map = |sides: &[i64]| matches!(sides, &[_, 1, rows, columns] if rows != 1 && columns != 1);
    let is_grey = matches!(facts.channels, Some((1, _)));
    match outputs.first() {
        Some(first) if first.name == "output" && is_map(first.sides()) && !is_grey && outputs.len() <= 2 => {
            let of = |preparation: fn(_) -> Preparation| Family {
                task: "anomaly",
                ..Family::new("anomalib-1", UNSAID, preparation)
            };
            let imagenet = |source| Preparation::imagenet(ResizeDraft::Stretch, source);
            vec![
                of(Preparation::stretched).remark("Anomalib 1.x: pictures are normalised in the graph"),
                of(imagenet).remark("Anomalib 0.x: input.mean and input.scale are those of ImageNet"),
            ]
        }
        _ => Vec::new(),
    }
}
