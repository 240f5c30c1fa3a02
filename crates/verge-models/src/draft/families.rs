//! Which families of models have outputs like these: by what the exporter wrote into the file, by the names of the
//! outputs, by their shapes.

use verge_engine::{ElementType, Port};

use super::anomalies;
use super::classifiers;
use super::paddle;
use super::preparation::{Preparation, ResizeDraft};
use super::python::PythonValue;
use super::sides::SideFiles;
use super::{Facts, LineSource, quoted};

/// Levels of networks, in pixels of the input per cell; most have the first.
const STRIDES: [&[usize]; 4] = [&[8, 16, 32], &[8, 16], &[16, 32], &[8, 16, 32, 64]];

/// One reading of a model's outputs.
#[derive(Debug, Clone)]
pub(super) struct Family {
    pub(super) task: &'static str,
    pub(super) decoder: &'static str,
    /// Keys of the output beside its decoder.
    pub(super) keys: Vec<(&'static str, String)>,
    pub(super) preparation: Preparation,
    pub(super) source: LineSource,
    /// Which exporters give such outputs.
    pub(super) remark: &'static str,
}

impl Family {
    pub(super) fn new(
        decoder: &'static str,
        source: LineSource,
        preparation: impl Fn(LineSource) -> Preparation,
    ) -> Self {
        let prepared = preparation(match &source {
            LineSource::Guess(_) => LineSource::Guess("usual for this family; nothing says so"),
            known => known.clone(),
        });
        Self { task: "detect", decoder, keys: Vec::new(), preparation: prepared, source, remark: "" }
    }

    pub(super) fn with(mut self, key: &'static str, value: impl Into<String>) -> Self {
        self.keys.push((key, value.into()));
        self
    }

    pub(super) fn remark(self, remark: &'static str) -> Self {
        Self { remark, ..self }
    }

    pub(super) fn classifier(self) -> Self {
        Self { task: "classify", ..self }
    }
}

pub(super) const UNSAID: LineSource = LineSource::Guess("shapes of the outputs fit; nothing says so");
pub(super) const NAMED: LineSource = LineSource::Guess("names and shapes of the outputs fit");
const METADATA: LineSource = LineSource::File("its metadata and outputs");

/// Readings that fit, the likeliest first.
pub(super) fn of(facts: &Facts<'_>, sides: &SideFiles) -> Vec<Family> {
    if let Some(family) = ultralytics(facts) {
        return vec![family];
    }
    if let Some(family) = classifiers::labelled(facts) {
        return vec![family];
    }
    let of_anomalies = anomalies::of(facts);
    let named = if of_anomalies.is_empty() { by_names(facts, sides) } else { of_anomalies };
    if named.is_empty() { by_shapes(facts, sides) } else { named }
}

/// What ultralytics' metadata say.
fn ultralytics(facts: &Facts<'_>) -> Option<Family> {
    let outputs = facts.graph.outputs();
    let shape = outputs.first()?.sides();
    let first = quoted(&outputs[0].name);
    let named =
        |family: Family| if outputs.len() > 1 { family.with("names", format!("[{first}]")) } else { family };
    let Some(task) = facts.task else {
        // The v5 repository writes no task.
        let (classes, is_v5) = (facts.classes()?, facts.graph.metadata("stride").is_some());
        let &[_, _, numbers] = shape else { return None };
        return (is_v5 && side(numbers) == Some(5 + classes))
            .then(|| named(Family::new("yolov5", METADATA, Preparation::letterboxed)));
    };
    let classes = facts.classes()?;
    let last = side(*shape.last()?);
    let is_detr = facts.graph.metadata("head").is_some_and(|head| head.contains("RTDETR"));
    let args = facts.metadata("args");
    let nms = args.as_ref().and_then(|args| args.of("nms")) == Some(&PythonValue::Truth(true));
    if task == "classify" {
        let family = Family::new("probabilities", METADATA, Preparation::cropped);
        return (last == Some(classes)).then(|| family.classifier());
    }
    if is_detr {
        let decoder = if last == Some(6) { "rt-detr-ultralytics" } else { "rt-detr-ultralytics-old" };
        let fits = last == Some(6) || last == Some(4 + classes);
        return fits.then(|| Family::new(decoder, METADATA, Preparation::stretched));
    }
    let boxed = |decoder| named(Family::new(decoder, METADATA, Preparation::letterboxed));
    if facts.is_set("end2end") || nms {
        let last = last?;
        return match task {
            "detect" if last == 6 => Some(boxed("yolov10")),
            "segment" if last > 6 => Some(boxed("yolo26-seg")),
            "pose" if last > 6 => Some(boxed("yolo26-pose")),
            "obb" if last == 7 => Some(boxed("yolo26-obb")),
            _ => None,
        };
    }
    let &[_, numbers, _] = shape else { return None };
    let extra = side(numbers)?.checked_sub(4 + classes)?;
    match (task, extra) {
        ("detect", 0) => Some(boxed("yolov8")),
        ("segment", 1..) => Some(boxed("yolov8-seg").with("extra", extra.to_string())),
        ("pose", 1..) => Some(boxed("yolov8-pose").with("extra", extra.to_string())),
        ("obb", 1) => Some(boxed("yolov8-obb")),
        _ => None,
    }
}

fn by_names(facts: &Facts<'_>, sides: &SideFiles) -> Vec<Family> {
    let outputs = facts.graph.outputs();
    let port = |name: &str| outputs.iter().find(|port| port.name == name);
    let all = |names: &[&str]| names.iter().all(|name| port(name).is_some());
    let has_input = |name: &str| facts.graph.inputs().iter().any(|port| port.name == name);
    if all(&["detection_boxes", "detection_scores", "detection_classes", "num_detections"]) {
        return vec![Family::new("tf", NAMED, Preparation::plain)];
    }
    if all(&["detected_boxes", "detected_scores", "detected_classes"]) {
        return vec![Family::new("custom-vision", NAMED, Preparation::plain)];
    }
    if all(&["num_dets", "det_boxes", "det_scores", "det_classes"]) {
        return vec![Family::new("end2end", NAMED, Preparation::letterboxed)];
    }
    if all(&["boxes", "confs"]) {
        return vec![Family::new("yolov4", NAMED, Preparation::stretched)];
    }
    if all(&["dets", "labels"]) {
        let is_detr = port("labels").is_some_and(|port| port.sides().len() == 3);
        return if is_detr {
            let resize = |source| Preparation::imagenet(ResizeDraft::Stretch, source);
            let background = Family::new("rf-detr", NAMED, resize).with("background", "\"last\"");
            vec![
                background.remark("RF-DETR of own training: the last class is the background"),
                Family::new("rf-detr", NAMED, resize)
                    .remark("RF-DETR's COCO weights: 91 classes with numbers left out"),
            ]
        } else {
            let prepare = |source| Preparation {
                resize: ResizeDraft::LetterboxTopleft,
                ..Preparation::nanodet(source)
            };
            vec![Family::new("mmdeploy", sides.mmdeploy().unwrap_or(NAMED), prepare)]
        };
    }
    if all(&["labels", "boxes", "scores"]) && has_input("orig_target_sizes") {
        return vec![Family::new("d-fine", NAMED, Preparation::stretched)];
    }
    if all(&["logits", "pred_boxes"]) {
        let stretched = |source| Preparation::imagenet(ResizeDraft::Stretch, source);
        let detr =
            Family::new("detr", NAMED, stretched).remark("DETR: softmax, the last class is the background");
        let other = Family::new("rt-detr-hf", NAMED, Preparation::stretched).remark("RT-DETR: sigmoid");
        return match sides.model_type() {
            Some(kind) if kind.contains("rt_detr") => vec![Family { source: sides.config(), ..other }],
            Some(kind) if kind.contains("detr") => vec![Family { source: sides.config(), ..detr }],
            _ => vec![other, detr],
        };
    }
    let thin = |name: &str| port(name).is_some_and(|port| port.sides().last() == Some(&1));
    if all(&["boxes", "scores", "classes"]) && thin("scores") {
        return vec![Family::new("deepstream-old", NAMED, Preparation::letterboxed)];
    }
    Vec::new()
}

fn by_shapes(facts: &Facts<'_>, sides: &SideFiles) -> Vec<Family> {
    let outputs = facts.graph.outputs();
    if let Some(rows) =
        outputs.iter().find(|port| matches!(port.sides().last(), Some(6 | 7)) && port.sides().len() <= 3)
        && (facts.classes() != Some(1) || rows.sides().len() == 2)
    {
        return of_rows(facts, rows, sides);
    }
    let [only] = outputs else { return of_several(outputs) };
    let (shape, classes) = (only.sides(), facts.classes());
    match *shape {
        _ if shape.len() == 4 && shape == facts.picture.sides() => {
            let family = Family::new("reconstruction", UNSAID, Preparation::stretched);
            vec![Family { task: "reconstruct", ..family }]
        }
        [_, numbers, rows, columns]
            if rows > 1 && columns > 1 && classes.is_none_or(|of| side(numbers) == Some(5 + of)) =>
        {
            let nms = "{ iou = 0.45, per_class = true }";
            vec![Family::new("fastestdet", UNSAID, Preparation::fastestdet).with("nms", nms)]
        }
        [_, cells, numbers] => of_cells(facts, side(cells), side(numbers), classes),
        [_, _] | [_, _, 1, 1] => classifiers::plain(facts, sides, only),
        _ => Vec::new(),
    }
}

/// One tensor with the numbers of each cell along one side.
fn of_cells(
    facts: &Facts<'_>,
    cells: Option<usize>,
    numbers: Option<usize>,
    classes: Option<usize>,
) -> Vec<Family> {
    let (Some(cells), Some(numbers)) = (cells, numbers) else { return Vec::new() };
    if cells < numbers {
        let v8 = Family::new("yolov8", UNSAID, Preparation::letterboxed);
        return match classes.map(|classes| cells.checked_sub(4 + classes)) {
            None | Some(Some(0)) => vec![v8.remark("YOLOv8 to v12")],
            Some(Some(32)) => vec![Family::new("yolov8-seg", UNSAID, Preparation::letterboxed)],
            Some(Some(extra)) => vec![v8.with("extra", extra.to_string())],
            Some(None) => Vec::new(),
        };
    }
    let sides = pixels(facts);
    let count = |strides: &[usize], up: bool| {
        let along = |pixels: usize, stride: usize| if up { pixels.div_ceil(stride) } else { pixels / stride };
        sides.map(|[height, width]| {
            strides.iter().map(|s| along(height, *s) * along(width, *s)).sum::<usize>()
        })
    };
    if classes.is_some_and(|classes| numbers == classes + 32) && count(&[8, 16, 32, 64], true) == Some(cells)
    {
        return vec![Family::new("nanodet-plus", UNSAID, Preparation::nanodet)];
    }
    if classes.is_some_and(|classes| numbers != 5 + classes) {
        return Vec::new();
    }
    let v5 = Family::new("yolov5", UNSAID, Preparation::letterboxed);
    let Some(strides) = STRIDES.iter().find(|strides| count(strides, false) == Some(cells)) else {
        return vec![v5.remark("YOLOv5, v6, v7")];
    };
    let raw = Family::new("yolox", UNSAID, Preparation::yolox).with("strides", format!("{strides:?}"));
    let decoded = Family::new("yolox_decoded", UNSAID, Preparation::yolox);
    let nms = |family: Family| family.with("nms", "{ iou = 0.65, per_class = true }");
    vec![
        nms(raw).remark("YOLOX as it leaves the network: `verge check` warns where it is decoded"),
        nms(decoded).remark("YOLOX exported with --decode_in_inference"),
        v5.remark("YOLOv6: pictures go in as rgb / 255, letterboxed"),
    ]
}

/// Boxes after their suppression, or such as look like it.
fn of_rows(facts: &Facts<'_>, rows: &Port, sides: &SideFiles) -> Vec<Family> {
    let has_input = |name: &str| facts.graph.inputs().iter().any(|port| port.name == name);
    let named = |family: Family| match facts.graph.outputs().len() {
        1 => family,
        _ => family.with("names", format!("[{}]", quoted(&rows.name))),
    };
    let family =
        |decoder, remark| named(Family::new(decoder, UNSAID, Preparation::letterboxed).remark(remark));
    let paddle = named(
        Family::new("ppyoloe", UNSAID, Preparation::stretched)
            .remark("PP-YOLOE, PicoDet: class and score first"),
    );
    match rows.sides().last() {
        Some(7) => vec![
            family("yolov7-end2end", "YOLOv7 --end2end: class before score"),
            family("yolo-nas-flat", "YOLO-NAS flat: score before class"),
        ],
        Some(6) if sides.is_paddle() => vec![Family { source: paddle::source(), ..paddle }],
        _ if has_input("scale_factor") => vec![Family { source: NAMED, ..paddle }],
        _ => vec![
            family("yolov10", "YOLOv10, YOLO26, ultralytics nms=True: finished, in pixels"),
            family("deepstream", "DeepStream-Yolo: in pixels, not yet suppressed"),
            Family {
                preparation: Preparation::stretched(UNSAID),
                ..family("rt-detr-ultralytics", "RT-DETR by ultralytics: centres in shares")
            },
            paddle,
        ],
    }
}

/// Boxes, scores and classes apart.
fn of_several(outputs: &[Port]) -> Vec<Family> {
    let is_whole = |port: &&Port| matches!(port.element, Some(ElementType::I64 | ElementType::I32));
    let roles: Vec<Option<&str>> = outputs
        .iter()
        .map(|port| match port.sides() {
            [.., 4] => Some("boxes"),
            [_] | [_, _] if is_whole(&port) => Some("classes"),
            [_] | [_, _] => Some("scores"),
            _ => None,
        })
        .collect();
    match &roles[..] {
        [Some("boxes"), Some("classes"), Some("scores")] => {
            vec![Family::new("torchvision", UNSAID, Preparation::stretched)]
        }
        [Some("boxes"), Some("scores"), Some("classes")] => {
            vec![Family::new("torchvision-ssd", UNSAID, Preparation::stretched)]
        }
        [Some("boxes"), Some("scores"), Some("scores"), Some("scores")] => {
            vec![Family::new("tflite", UNSAID, Preparation::plain)]
        }
        [_, _] => {
            let boxes =
                outputs.iter().find(|port| port.sides().len() == 3 && port.sides().last() == Some(&4));
            let scores =
                outputs.iter().find(|port| port.sides().len() == 3 && port.sides().last() != Some(&4));
            let (Some(boxes), Some(scores)) = (boxes, scores) else { return Vec::new() };
            let names = format!("[{}, {}]", quoted(&boxes.name), quoted(&scores.name));
            let family = |decoder, prepare: fn(LineSource) -> Preparation| {
                Family::new(decoder, UNSAID, prepare).with("names", names.clone())
            };
            vec![
                family("yolo-nas", Preparation::stretched).remark("YOLO-NAS: corners in pixels"),
                family("ssd", Preparation::stretched)
                    .with("corners", "\"xyxy\"")
                    .with("nms", "{ iou = 0.45, per_class = true }")
                    .remark("SSD: corners in shares of the sides"),
            ]
        }
        _ => {
            let is_level = |port: &Port| port.sides().len() == 5 && port.sides().get(1) == Some(&3);
            let raw = outputs.len() == 3 && outputs.iter().all(is_level);
            let family = |decoder| Family::new(decoder, UNSAID, Preparation::letterboxed);
            match raw {
                true => vec![
                    family("yolov7-raw").remark("YOLOv7 without its grid"),
                    family("yolov5-raw").remark("YOLOv5 without its grid: other anchors"),
                ],
                false => Vec::new(),
            }
        }
    }
}

fn side(side: i64) -> Option<usize> {
    usize::try_from(side).ok()
}

/// Height and width of the input.
pub(super) fn pixels(facts: &Facts<'_>) -> Option<[usize; 2]> {
    let stated = facts.size.map(|sides| sides.map(|side| side as usize));
    let shape = facts.picture.sides();
    let of_shape = match facts.channels {
        Some((_, true)) => shape.len().checked_sub(2).map(|at| [shape[at], shape[at + 1]]),
        Some((_, false)) => shape.len().checked_sub(3).map(|at| [shape[at], shape[at + 1]]),
        None => None,
    };
    let of_shape = of_shape.and_then(|[height, width]| Some([side(height)?, side(width)?]));
    of_shape.or(stated)
}
