//! Files that lie beside a model and say something of it: lists of labels, and the configurations of transformers,
//! mmdeploy and Paddle. Each is read within bounds.

use std::collections::BTreeMap;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde_json::Value;

use super::paddle::{self, PaddleConfig};
use super::preparation::{Preparation, ResizeDraft};
use super::{LineSource, yaml};
use crate::error::ModelError;

/// Longest file that is read, in bytes.
const MAX_BYTES: u64 = 1 << 20;
/// Names of lists of labels.
const LABELS: [&str; 4] = ["labels.txt", "classes.txt", "coco.names", "obj.names"];

/// What lies beside a model.
#[derive(Debug, Default)]
pub(super) struct SideFiles {
    labels: Option<(String, LabelList)>,
    config: Option<TransformersConfig>,
    preprocessor: Option<Value>,
    pipeline: Option<Value>,
    /// It says what mmdeploy exported.
    detail: Option<Value>,
    paddle: Option<PaddleConfig>,
}

/// A file of labels.
#[derive(Debug, PartialEq)]
struct LabelList {
    names: Vec<String>,
    /// Each had its number in front.
    is_numbered: bool,
}

/// `config.json` of transformers, as far as it matters.
#[derive(Debug, Deserialize)]
struct TransformersConfig {
    model_type: Option<String>,
    #[serde(default)]
    id2label: BTreeMap<String, String>,
}

impl SideFiles {
    /// Those in the folder of a model. What cannot be read says nothing.
    pub(super) fn beside(model: &Path) -> Self {
        let folder = model.parent().unwrap_or(Path::new(""));
        let json =
            |name: &str| read(&folder.join(name)).and_then(|text| serde_json::from_str::<Value>(&text).ok());
        let own = model.with_extension("txt");
        let lists = LABELS.iter().map(|name| folder.join(name));
        let labels = std::iter::once(own).chain(lists).find_map(|path| {
            let names = list(&read(&path)?)?;
            Some((path.file_name()?.to_string_lossy().into_owned(), names))
        });
        let config = json("config.json").and_then(|config| serde_json::from_value(config).ok());
        Self {
            labels,
            config,
            preprocessor: json("preprocessor_config.json"),
            pipeline: json("pipeline.json"),
            detail: json("detail.json"),
            paddle: read(&folder.join(paddle::FILE)).and_then(|text| PaddleConfig::of(&yaml::read(&text)?)),
        }
    }

    /// Names of the classes.
    pub(super) fn names(&self) -> Option<(Vec<String>, LineSource)> {
        let of_config = |config: &TransformersConfig| {
            let names: Option<Vec<String>> =
                (0..config.id2label.len()).map(|id| config.id2label.get(&id.to_string()).cloned()).collect();
            names.filter(|names| !names.is_empty()).map(|names| (names, self.config()))
        };
        let of_paddle = |paddle: &PaddleConfig| Some((paddle.labels.clone()?, paddle::source()));
        let of_list =
            |(file, list): &(String, LabelList)| (list.names.clone(), LineSource::Beside(file.clone()));
        let config = self.config.as_ref().and_then(of_config);
        let paddle = || self.paddle.as_ref().and_then(of_paddle);
        config.or_else(paddle).or_else(|| self.labels.as_ref().map(of_list))
    }

    /// Whether the labels beside it are numbered, as Teachable Machine writes them.
    pub(super) fn is_numbered(&self) -> bool {
        self.labels.as_ref().is_some_and(|(_, list)| list.is_numbered)
    }

    /// Height and width of the pictures that the model takes.
    pub(super) fn size(&self) -> Option<([u32; 2], LineSource)> {
        self.paddle.as_ref().and_then(|paddle| Some((paddle.size?, paddle::source())))
    }

    /// Whether `PaddleDetection` exported it.
    pub(super) const fn is_paddle(&self) -> bool {
        self.paddle.is_some()
    }

    /// Where it says that mmdeploy exported a detector.
    pub(super) fn mmdeploy(&self) -> Option<LineSource> {
        let detail = self.detail.as_ref()?;
        let tasks = ["codebase_config", "codebase"].map(|table| detail.get(table)?.get("task")?.as_str());
        let is_detector = tasks.contains(&Some("ObjectDetection"));
        is_detector.then(|| LineSource::Beside("detail.json".to_owned()))
    }

    /// What transformers calls the model.
    pub(super) fn model_type(&self) -> Option<&str> {
        self.config.as_ref()?.model_type.as_deref()
    }

    #[expect(clippy::unused_self, reason = "it is where the type is from")]
    pub(super) fn config(&self) -> LineSource {
        LineSource::Beside("config.json".to_owned())
    }

    /// How pictures go in: as these files say, else as the family has it.
    pub(super) fn prepared(&self, family: Preparation) -> Preparation {
        let of_transformers = self.preprocessor.as_ref().and_then(transformers);
        let of_paddle = || self.paddle.as_ref().and_then(|paddle| paddle.preparation.clone());
        of_transformers
            .or_else(|| self.pipeline.as_ref().and_then(mmdeploy))
            .or_else(of_paddle)
            .unwrap_or(family)
    }
}

/// `preprocessor_config.json` of transformers.
fn transformers(config: &Value) -> Option<Preparation> {
    let is_set = |key: &str, default: bool| config.get(key).and_then(Value::as_bool).unwrap_or(default);
    let factor = if is_set("do_rescale", true) {
        config.get("rescale_factor").and_then(Value::as_f64).unwrap_or(1.0 / 255.0)
    } else {
        1.0
    };
    let (mut mean, mut scale) = ([0.0; 3], [factor; 3]);
    if is_set("do_normalize", config.get("image_mean").is_some()) {
        let (means, deviations) = (three(config.get("image_mean")?)?, three(config.get("image_std")?)?);
        mean = means.map(|mean| mean / factor);
        scale = deviations.map(|deviation| factor / deviation);
    }
    let side = |key: &str| config.get("size").and_then(|size| size.get(key)).and_then(Value::as_u64);
    let crops = is_set("do_center_crop", false);
    let resize = match (crops, side("shortest_edge").and_then(|side| u32::try_from(side).ok())) {
        (true, Some(side)) => ResizeDraft::ShorterSideCrop(Some(side)),
        _ => ResizeDraft::Stretch,
    };
    let source = LineSource::Beside("preprocessor_config.json".to_owned());
    is_good(&mean, &scale).then_some(Preparation { colour: "rgb", resize, mean, scale, source })
}

/// `pipeline.json` of mmdeploy's SDK.
fn mmdeploy(pipeline: &Value) -> Option<Preparation> {
    let tasks = pipeline.get("pipeline")?.get("tasks")?.as_array()?;
    let transforms = tasks.iter().find_map(|task| task.get("transforms")?.as_array())?;
    let of = |kind: &str| transforms.iter().find(|one| one.get("type").and_then(Value::as_str) == Some(kind));
    let normalize = of("Normalize")?;
    let (mean, deviation) = (three(normalize.get("mean")?)?, three(normalize.get("std")?)?);
    let colour = if normalize.get("to_rgb").and_then(Value::as_bool).unwrap_or(true) { "rgb" } else { "bgr" };
    let keeps = of("Resize").and_then(|resize| resize.get("keep_ratio")?.as_bool()).unwrap_or(false);
    let resize = if keeps { ResizeDraft::LetterboxTopleft } else { ResizeDraft::Stretch };
    let (scale, source) = (deviation.map(f64::recip), LineSource::Beside("pipeline.json".to_owned()));
    is_good(&mean, &scale).then_some(Preparation { colour, resize, mean, scale, source })
}

fn is_good(mean: &[f64; 3], scale: &[f64; 3]) -> bool {
    mean.iter().chain(scale).all(|number| number.is_finite()) && scale.iter().all(|number| *number > 0.0)
}

/// Three numbers, or one for all three.
fn three(value: &Value) -> Option<[f64; 3]> {
    match value {
        Value::Array(numbers) => match &numbers[..] {
            [a, b, c] => Some([a.as_f64()?, b.as_f64()?, c.as_f64()?]),
            [one] => Some([one.as_f64()?; 3]),
            _ => None,
        },
        one => Some([one.as_f64()?; 3]),
    }
}

/// The names in a file of labels.
pub(super) fn labels(path: &Path) -> Result<Vec<String>, ModelError> {
    let refused = |path: &Path| ModelError::NoLabels { path: path.to_owned() };
    let text = match std::fs::metadata(path) {
        Ok(found) if found.len() > MAX_BYTES => return Err(refused(path)),
        _ => std::fs::read_to_string(path)
            .map_err(|source| ModelError::Read { path: PathBuf::from(path), source })?,
    };
    list(&text).map(|list| list.names).ok_or_else(|| refused(path))
}

/// One name a line; `0 name` of Teachable Machine loses its number.
fn list(text: &str) -> Option<LabelList> {
    let lines: Vec<&str> = text.trim_end().lines().map(str::trim).collect();
    let unnumbered =
        |(at, line): (usize, &&str)| line.strip_prefix(&format!("{at} ")).map(|name| name.trim().to_owned());
    let names: Option<Vec<String>> = lines.iter().enumerate().map(unnumbered).collect();
    let is_numbered = names.is_some();
    let names = names.unwrap_or_else(|| lines.iter().map(|line| (*line).to_owned()).collect());
    let is_name = |name: &String| verge_domain::id::check_name(name).is_ok();
    (!names.is_empty() && names.iter().all(is_name)).then_some(LabelList { names, is_numbered })
}

fn read(path: &Path) -> Option<String> {
    let mut text = String::new();
    let file = std::fs::File::open(path).ok()?;
    let length = file.take(MAX_BYTES + 1).read_to_string(&mut text).ok()?;
    (length as u64 <= MAX_BYTES).then_some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_of_labels_lose_their_numbers() {
        let check = |text: &str, expected: Option<&[&str]>| {
            let found = list(text);
            let found = found.as_ref().map(|list| list.names.iter().map(String::as_str).collect::<Vec<_>>());
            assert_eq!(found.as_deref(), expected, "{text:?}");
        };
        check("cat\r\ndog\n", Some(&["cat", "dog"]));
        check("0 cat\n1 big dog\n", Some(&["cat", "big dog"]));
        check("0 cat\n2 dog\n", Some(&["0 cat", "2 dog"]));
        check("", None);
        check("cat\n\ndog", None);
    }

    #[test]
    fn what_mmdeploy_exported_stands_in_its_details() {
        let sides =
            |text: &str| SideFiles { detail: serde_json::from_str(text).ok(), ..SideFiles::default() };
        let found =
            sides(r#"{"version": "1.3.1", "codebase": {"task": "ObjectDetection", "codebase": "mmdet"}}"#);
        assert_eq!(found.mmdeploy(), Some(LineSource::Beside("detail.json".to_owned())));
        let by_config = sides(r#"{"codebase_config": {"type": "mmyolo", "task": "ObjectDetection"}}"#);
        assert!(by_config.mmdeploy().is_some());
        for other in [r#"{"codebase": {"task": "Segmentation"}}"#, r#"{"codebase": 1}"#, "[]", "no"] {
            assert_eq!(sides(other).mmdeploy(), None, "{other}");
        }
    }

    #[test]
    fn configurations_say_how_pictures_go_in() {
        let text = r#"{"do_normalize": true, "image_mean": [0.5, 0.5, 0.5], "image_std": [0.5, 0.5, 0.5],
            "size": {"height": 224, "width": 224}}"#;
        let vit = transformers(&serde_json::from_str(text).unwrap()).unwrap();
        assert_eq!((vit.mean, vit.resize), ([127.5; 3], ResizeDraft::Stretch));
        assert!((vit.scale[0] - 2.0 / 255.0).abs() < 1e-12);
        let text = r#"{"image_mean": [0.4, 0.5, 0.6], "image_std": [0.2, 0.2, 0.2], "do_center_crop": true,
            "size": {"shortest_edge": 256}}"#;
        let cropped = transformers(&serde_json::from_str(text).unwrap()).unwrap();
        assert_eq!(cropped.resize, ResizeDraft::ShorterSideCrop(Some(256)));
        let none = r#"{"image_mean": [0.4, 0.5, 0.6], "image_std": [0.0, 0.2, 0.2]}"#;
        assert_eq!(transformers(&serde_json::from_str(none).unwrap()), None);
        let text = r#"{"pipeline": {"tasks": [{"transforms": [{"type": "Resize", "keep_ratio": true},
            {"type": "Normalize", "mean": [103.53, 116.28, 123.675], "std": [57.375, 57.12, 58.395], "to_rgb": false}]}]}}"#;
        let rtmdet = mmdeploy(&serde_json::from_str(text).unwrap()).unwrap();
        assert_eq!((rtmdet.colour, rtmdet.resize), ("bgr", ResizeDraft::LetterboxTopleft));
        assert_eq!(mmdeploy(&Value::Null), None);
    }
}
