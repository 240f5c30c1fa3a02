//! Brand names of decoders: what each stands for, key by key. A card that names one may state any key otherwise.

/// What `output.decoder` may be.
pub(super) const EXPECTED: &str = "a decoder (probabilities, logits, yolox, yolox_decoded, ssd, rows, grid, anchors, tuple, \
    query, heatmap, nanodet, fastestdet, reconstruction, anomaly) or a preset (yolov5, yolov8, d-fine, anomalib, …), which \
    docs/models.md lists";

/// A cell's box as centre and size in pixels, to be suppressed: the axis, whether there is an objectness, what follows.
macro_rules! grid {
    ($axis:literal, $objectness:literal, $rest:literal) => {
        concat!(
            "decoder = \"grid\"\naxis = \"",
            $axis,
            "\"\nobjectness = ",
            $objectness,
            "\nbox = \"cxcywh\"\nunits = \"pixels\"\nnms = { iou = 0.45, per_class = true }\n",
            $rest
        )
    };
}

/// A row's columns and units.
macro_rules! rows {
    ($columns:literal, $units:literal, $rest:literal) => {
        concat!("decoder = \"rows\"\ncolumns = [", $columns, "]\nunits = \"", $units, "\"\n", $rest)
    };
}

/// What each output is, form and units of a box.
macro_rules! tuple {
    ($outputs:literal, $form:literal, $units:literal, $rest:literal) => {
        concat!(
            "decoder = \"tuple\"\noutputs = [",
            $outputs,
            "]\nbox = \"",
            $form,
            "\"\nunits = \"",
            $units,
            "\"\n",
            $rest
        )
    };
}

const V5: &str = grid!("last", "true", "");
const V8: &str = grid!("first", "false", "");
const ROWS: &str = rows!("\"x0\", \"y0\", \"x1\", \"y1\", \"score\", \"class\"", "pixels", "");
const PADDLE: &str = rows!("\"class\", \"score\", \"x0\", \"y0\", \"x1\", \"y1\"", "pixels", "");
const DETR_FAMILY: &str = tuple!(
    "\"classes\", \"boxes\", \"scores\"",
    "xyxy",
    "pixels",
    "names = [\"labels\", \"boxes\", \"scores\"]"
);

/// Names and what they stand for. Sources: the exporters' code and guides; docs/models.md lists them for people.
pub(super) const ALL: &[(&str, &str)] = &[
    ("yolov3-zoo", tuple!("\"boxes\", \"scores\", \"indices\"", "yxyx", "pixels", "")),
    (
        "yolov4",
        tuple!(
            "\"boxes\", \"scores\"",
            "xyxy",
            "share",
            "names = [\"boxes\", \"confs\"]\nnms = { iou = 0.45, per_class = true }"
        ),
    ),
    ("yolov5", V5),
    (
        "yolov5-raw",
        "decoder = \"anchors\"\nformula = \"yolov5\"\nstrides = [8, 16, 32]\n\
         anchors = [[[10, 13], [16, 30], [33, 23]], [[30, 61], [62, 45], [59, 119]], [[116, 90], [156, 198], [373, 326]]]\n\
         nms = { iou = 0.45, per_class = true }",
    ),
    ("yolov6", V5),
    ("yolov7", V5),
    (
        "yolov7-raw",
        "decoder = \"anchors\"\nformula = \"yolov5\"\nstrides = [8, 16, 32]\n\
         anchors = [[[12, 16], [19, 36], [40, 28]], [[36, 75], [76, 55], [72, 146]], [[142, 110], [192, 243], [459, 401]]]\n\
         nms = { iou = 0.45, per_class = true }",
    ),
    (
        "yolov7-end2end",
        rows!("\"batch\", \"x0\", \"y0\", \"x1\", \"y1\", \"class\", \"score\"", "pixels", ""),
    ),
    ("yolov8", V8),
    ("yolov8-seg", grid!("first", "false", "extra = 32\nnames = [\"output0\"]")),
    ("yolov8-pose", grid!("first", "false", "extra = 51")),
    ("yolov8-obb", grid!("first", "false", "extra = 1\nangle = true")),
    ("yolov9", V8),
    ("yolov10", ROWS),
    ("yolov11", V8),
    ("yolov12", V8),
    ("yolo26", ROWS),
    (
        "yolo26-seg",
        rows!(
            "\"x0\", \"y0\", \"x1\", \"y1\", \"score\", \"class\", \"...\"",
            "pixels",
            "names = [\"output0\"]"
        ),
    ),
    ("yolo26-pose", rows!("\"x0\", \"y0\", \"x1\", \"y1\", \"score\", \"class\", \"...\"", "pixels", "")),
    ("yolo26-obb", rows!("\"cx\", \"cy\", \"w\", \"h\", \"score\", \"class\", \"angle\"", "pixels", "")),
    ("yolo-nas", tuple!("\"boxes\", \"scores\"", "xyxy", "pixels", "nms = { iou = 0.65, per_class = true }")),
    ("yolo-nas-flat", rows!("\"batch\", \"x0\", \"y0\", \"x1\", \"y1\", \"score\", \"class\"", "pixels", "")),
    ("yolo-nas-batch", tuple!("\"count\", \"boxes\", \"scores\", \"classes\"", "xyxy", "pixels", "")),
    (
        "deepstream",
        rows!(
            "\"x0\", \"y0\", \"x1\", \"y1\", \"score\", \"class\"",
            "pixels",
            "nms = { iou = 0.45, per_class = true }"
        ),
    ),
    (
        "deepstream-old",
        tuple!(
            "\"boxes\", \"scores\", \"classes\"",
            "cxcywh",
            "pixels",
            "names = [\"boxes\", \"scores\", \"classes\"]\nnms = { iou = 0.45, per_class = true }"
        ),
    ),
    (
        "end2end",
        tuple!(
            "\"count\", \"boxes\", \"scores\", \"classes\"",
            "xyxy",
            "pixels",
            "names = [\"num_dets\", \"det_boxes\", \"det_scores\", \"det_classes\"]"
        ),
    ),
    ("ppyoloe", PADDLE),
    ("picodet", PADDLE),
    ("rt-detr", DETR_FAMILY),
    ("d-fine", DETR_FAMILY),
    ("deim", DETR_FAMILY),
    ("rt-detr-ultralytics", rows!("\"cx\", \"cy\", \"w\", \"h\", \"score\", \"class\"", "share", "")),
    (
        "rt-detr-ultralytics-old",
        "decoder = \"grid\"\naxis = \"last\"\nobjectness = false\nbox = \"cxcywh\"\nunits = \"share\"",
    ),
    ("rf-detr", "decoder = \"query\"\nnames = [\"labels\", \"dets\"]\nactivation = \"sigmoid\""),
    (
        "detr",
        "decoder = \"query\"\nnames = [\"logits\", \"pred_boxes\"]\nactivation = \"softmax\"\nbackground = \"last\"",
    ),
    ("rt-detr-hf", "decoder = \"query\"\nnames = [\"logits\", \"pred_boxes\"]\nactivation = \"sigmoid\""),
    (
        "nanodet-m",
        "decoder = \"nanodet\"\nstrides = [8, 16, 32]\ncentre = 0.5\nactivation = \"sigmoid\"\n\
         nms = { iou = 0.6, per_class = true }",
    ),
    (
        "nanodet-plus",
        "decoder = \"nanodet\"\nstrides = [8, 16, 32, 64]\ncentre = 0.0\nnms = { iou = 0.6, per_class = true }",
    ),
    (
        "tf",
        tuple!(
            "\"boxes\", \"classes\", \"scores\", \"count\"",
            "yxyx",
            "share",
            "names = [\"detection_boxes\", \"detection_classes\", \"detection_scores\", \"num_detections\"]\nlabel_offset = 1"
        ),
    ),
    ("tflite", tuple!("\"boxes\", \"classes\", \"scores\", \"count\"", "yxyx", "share", "")),
    ("torchvision", tuple!("\"boxes\", \"classes\", \"scores\"", "xyxy", "pixels", "label_offset = 1")),
    ("torchvision-ssd", tuple!("\"boxes\", \"scores\", \"classes\"", "xyxy", "pixels", "label_offset = 1")),
    ("mmdeploy", tuple!("\"boxes\", \"classes\"", "xyxy", "pixels", "names = [\"dets\", \"labels\"]")),
    (
        "custom-vision",
        tuple!(
            "\"boxes\", \"classes\", \"scores\"",
            "xyxy",
            "share",
            "names = [\"detected_boxes\", \"detected_classes\", \"detected_scores\"]"
        ),
    ),
    ("centernet", "decoder = \"heatmap\""),
    (
        "anomalib",
        "decoder = \"anomaly\"\nnames = [\"pred_score\", \"anomaly_map\"]\noutputs = [\"score\", \"map\"]",
    ),
    ("anomalib-1", "decoder = \"anomaly\"\nnames = [\"output\"]\noutputs = [\"map\"]"),
];

/// A preset by its name.
pub(super) fn find(name: &str) -> Option<(&'static str, &'static str)> {
    ALL.iter().find(|(known, _)| *known == name).copied()
}
