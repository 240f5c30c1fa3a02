//! `infer_cfg.yml` of `PaddleDetection`, which `tools/export_model.py` writes beside a model.

use serde_json::Value;

use super::LineSource;
use super::preparation::{Preparation, ResizeDraft};

/// Its name.
pub(super) const FILE: &str = "infer_cfg.yml";

/// What it says, as far as it matters.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct PaddleConfig {
    pub(super) labels: Option<Vec<String>>,
    /// Height and width.
    pub(super) size: Option<[u32; 2]>,
    /// How pictures go in, where it is one of the ways that cards know.
    pub(super) preparation: Option<Preparation>,
}

impl PaddleConfig {
    /// Reads one; `None` where it holds no preprocessing.
    pub(super) fn of(config: &Value) -> Option<Self> {
        let steps = config.get("Preprocess")?.as_array()?;
        let step =
            |kind: &str| steps.iter().find(|step| step.get("type").and_then(Value::as_str) == Some(kind));
        let names = config.get("label_list").and_then(Value::as_array);
        let labels = names.and_then(|names| names.iter().map(name).collect::<Option<Vec<_>>>());
        let resize = step("Resize");
        let side =
            |side: &Value| side.as_u64().and_then(|side| u32::try_from(side).ok()).filter(|side| *side > 0);
        let size = resize.and_then(|resize| match resize.get("target_size")? {
            Value::Array(sides) if sides.len() == 2 => Some([side(&sides[0])?, side(&sides[1])?]),
            one => side(one).map(|side| [side; 2]),
        });
        // What turns or pads pictures in ways of its own has no words in a card.
        let is_known = steps.iter().all(|step| {
            let kind = step.get("type").and_then(Value::as_str);
            matches!(kind, Some("Resize" | "NormalizeImage" | "Permute" | "PadStride" | "Pad"))
        });
        let preparation = is_known.then(|| preparation(resize, step("NormalizeImage"))).flatten();
        let is_name = |name: &String| verge_domain::id::check_name(name).is_ok();
        let labels = labels.filter(|labels| !labels.is_empty() && labels.iter().all(is_name));
        Some(Self { labels, size, preparation })
    }
}

pub(super) fn source() -> LineSource {
    LineSource::Beside(FILE.to_owned())
}

/// A label; one of digits alone is read as a number.
fn name(value: &Value) -> Option<String> {
    match value {
        Value::String(name) => Some(name.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(truth) => Some(truth.to_string()),
        _ => None,
    }
}

/// Pictures go in red first, as shares unless `is_scale` is off, less `mean` and divided by `std` unless `norm_type` is none.
fn preparation(resize: Option<&Value>, normalize: Option<&Value>) -> Option<Preparation> {
    let keeps = resize?.get("keep_ratio").and_then(Value::as_bool).unwrap_or(true);
    let resize = if keeps { ResizeDraft::LetterboxTopleft } else { ResizeDraft::Stretch };
    let (mut mean, mut scale) = ([0.0; 3], [1.0; 3]);
    if let Some(normalize) = normalize {
        let is_scale = normalize.get("is_scale").and_then(Value::as_bool).unwrap_or(true);
        let factor = if is_scale { 1.0 / 255.0 } else { 1.0 };
        scale = [factor; 3];
        if normalize.get("norm_type").and_then(Value::as_str) != Some("none") {
            let (means, deviations) = (three(normalize.get("mean")?)?, three(normalize.get("std")?)?);
            mean = means.map(|mean| mean / factor);
            scale = deviations.map(|deviation| factor / deviation);
        }
    }
    let is_good =
        mean.iter().chain(&scale).all(|number| number.is_finite()) && scale.iter().all(|one| *one > 0.0);
    is_good.then(|| Preparation { colour: "rgb", resize, mean, scale, source: source() })
}

fn three(value: &Value) -> Option<[f64; 3]> {
    let numbers: Vec<f64> = value.as_array()?.iter().map(Value::as_f64).collect::<Option<_>>()?;
    numbers.try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::draft::yaml;

    /// Written by hand in the layout of that exporter.
    const PPYOLOE: &str = "\
mode: paddle
draw_threshold: 0.5
metric: COCO
arch: YOLO
min_subgraph_size: 3
Preprocess:
- interp: 2
  keep_ratio: false
  target_size:
  - 480
  - 640
  type: Resize
- mean:
  - 0.485
  - 0.456
  - 0.406
  norm_type: mean_std
  is_scale: true
  std:
  - 0.229
  - 0.224
  - 0.225
  type: NormalizeImage
- type: Permute
label_list:
- person
- traffic light
- 3
";

    fn read(text: &str) -> Option<PaddleConfig> {
        PaddleConfig::of(&yaml::read(text)?)
    }

    #[test]
    fn labels_size_and_normalisation_are_read() {
        let found = read(PPYOLOE).unwrap();
        assert_eq!(found.labels.unwrap(), ["person", "traffic light", "3"]);
        assert_eq!(found.size, Some([480, 640]));
        let prepared = found.preparation.unwrap();
        assert_eq!((prepared.colour, prepared.resize), ("rgb", ResizeDraft::Stretch));
        assert!(
            (prepared.mean[0] - 123.675).abs() < 1e-9 && (prepared.scale[0] - 1.0 / 58.395).abs() < 1e-12
        );
        assert_eq!(prepared.source, LineSource::Beside("infer_cfg.yml".to_owned()));
        // PP-YOLOE+ divides by 255 alone.
        let plus = PPYOLOE.replace("norm_type: mean_std", "norm_type: none");
        let prepared = read(&plus).unwrap().preparation.unwrap();
        assert_eq!((prepared.mean, prepared.scale), ([0.0; 3], [1.0 / 255.0; 3]));
        let kept = PPYOLOE.replace("keep_ratio: false", "keep_ratio: true");
        assert_eq!(read(&kept).unwrap().preparation.unwrap().resize, ResizeDraft::LetterboxTopleft);
    }

    #[test]
    fn what_a_card_cannot_say_is_left_open() {
        let turned = PPYOLOE.replace("type: Permute", "type: WarpAffine");
        let found = read(&turned).unwrap();
        assert!(found.preparation.is_none() && found.labels.is_some());
        let wrong = PPYOLOE.replace("  - 0.229\n", "  - 0.0\n");
        assert_eq!(read(&wrong).unwrap().preparation, None);
        assert_eq!(read("mode: paddle\n"), None);
        assert_eq!(read(&PPYOLOE.replace("arch: YOLO", "arch: &a YOLO")), None);
        let unnamed = PPYOLOE.replace("- person", "- \"a\\u0007\"");
        assert_eq!(read(&unnamed).unwrap().labels, None);
    }
}
