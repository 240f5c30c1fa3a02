//! Classifiers: numbers with labels of the file's own, and one number a class.

use verge_engine::Port;

use super::families::{Family, NAMED, UNSAID, pixels};
use super::preparation::{Preparation, ResizeDraft};
use super::sides::SideFiles;
use super::{Facts, LineSource, quoted};

/// What is read of a softmax at the end.
const SOFTMAX: LineSource = LineSource::File("its last operator, a softmax");
const SHARES: &str = "after softmax: `verge check` shows numbers from 0 to 1 on a grey picture";

/// A classifier whose output maps labels to numbers: Custom Vision, and converters of scikit-learn.
pub(super) fn labelled(facts: &Facts<'_>) -> Option<Family> {
    let graph = facts.graph;
    let output = graph.outputs().iter().find(|port| graph.labels(&port.name).is_some())?;
    let is_named = output.name == "loss" && graph.outputs().iter().any(|port| port.name == "classLabel");
    let prepare = |source| match is_named {
        true => Preparation::custom_vision(graph, shorter_side(facts), source),
        false => Preparation::imagenet(ResizeDraft::ShorterSideCrop(Some(shorter_side(facts))), source),
    };
    let family = Family::new("probabilities", NAMED, prepare);
    let source = match (graph.is_softmax(&output.name), is_named) {
        (true, _) => SOFTMAX,
        (false, true) => LineSource::File("its outputs, those of Custom Vision"),
        (false, false) => NAMED,
    };
    let names = format!("[{}]", quoted(&output.name));
    Some(Family { source, ..family }.with("names", names).classifier())
}

/// A number for each class.
pub(super) fn plain(facts: &Facts<'_>, sides: &SideFiles, only: &Port) -> Vec<Family> {
    let graph = facts.graph;
    let shorter = shorter_side(facts);
    let imagenet = |source| Preparation::imagenet(ResizeDraft::ShorterSideCrop(Some(shorter)), source);
    let is_softmax = graph.is_softmax(&only.name);
    let source = if is_softmax { SOFTMAX } else { UNSAID };
    let probabilities = |prepare: &dyn Fn(LineSource) -> Preparation| {
        Family { source: source.clone(), ..Family::new("probabilities", UNSAID, prepare) }.classifier()
    };
    if graph.metadata("Image.BitmapPixelFormat").is_some() {
        let prepare = |source| Preparation::custom_vision(graph, shorter, source);
        return vec![probabilities(&prepare).remark("Custom Vision")];
    }
    if sides.is_numbered() && matches!(facts.channels, Some((3, false))) {
        let remark = "Teachable Machine: its labels have numbers in front";
        return vec![probabilities(&Preparation::teachable).remark(remark)];
    }
    let logits = Family::new("logits", UNSAID, imagenet).classifier();
    let probabilities = probabilities(&imagenet).remark(SHARES);
    if is_softmax {
        vec![probabilities]
    } else {
        vec![logits.remark("torchvision, timm, ViT: before softmax"), probabilities]
    }
}

/// The side from which the input is cut, seven eighths of it: 224 of 256.
fn shorter_side(facts: &Facts<'_>) -> u32 {
    pixels(facts)
        .and_then(|[height, width]| u32::try_from((height.max(width) * 8).div_ceil(7)).ok())
        .unwrap_or(256)
}
