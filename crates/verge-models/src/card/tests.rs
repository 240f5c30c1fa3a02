use super::*;

const YOLOX: &str = r#"
    name = "yolox-nano"
    version = "0.1"
    file = "yolox_nano.onnx"
    task = "detect"
    labels = "coco_80_names.txt"
    [input]
    layout = "nchw"
    colour = "bgr"
    element = "f32"
    resize = "letterbox-topleft"
    [output]
    decoder = "yolox"
    strides = [8, 16, 32]
    nms = { iou = 0.65, per_class = true }
"#;

fn parse(text: &str) -> Result<Card, String> {
    Card::parse(text, Path::new("m.toml")).map_err(|error| error.to_string())
}

#[test]
fn a_card_is_read_with_its_defaults() {
    let card = parse(YOLOX).unwrap();
    let Meaning::Frames(card) = card.meaning else { panic!("it has [input] and [output]") };
    assert_eq!((card.input.pad, card.output.label_offset, card.output.background), (114, 0, None));
    assert_eq!(card.output.strides.as_deref(), Some(&[8, 16, 32][..]));
}

#[test]
fn what_cannot_be_is_refused_by_key() {
    let check = |from: &str, to: &str, expected: &str| {
        assert!(YOLOX.contains(from), "{from}");
        let error = parse(&YOLOX.replacen(from, to, 1)).unwrap_err();
        assert!(error.contains(expected), "{to}: {error}");
    };
    check("name = \"yolox-nano\"", "name = \"\"", "name = ");
    check("version = \"0.1\"", "", "missing field `version`");
    check("version = \"0.1\"", "version = \"0.1\"\nvariant = 1", "unknown field `variant`");
    check("task = \"detect\"", "task = \"classify\"", "output.decoder = yolox");
    check("task = \"detect\"", "task = \"segment\"", "unknown variant `segment`");
    check("labels = \"coco_80_names.txt\"", "", "labels = nothing");
    check("version = \"0.1\"", "version = \"0.1\"\nsha256 = \"abc\"", "64 hexadecimal digits");
    check("element = \"f32\"", "element = \"f32\"\nsize = [0, 4]", "input.size");
    check("element = \"f32\"", "element = \"f32\"\nmean = [1.0]", "one finite number per channel");
    check("element = \"f32\"", "element = \"f32\"\ncrop_fraction = 0.5", "input.crop_fraction");
    let quantised = "element = \"f32\"\nquantisation = { scale = 1.0, zero_point = 0 }";
    check("element = \"f32\"", quantised, "input.quantisation");
    check("letterbox-topleft", "central-crop", "input.crop_fraction");
    check("letterbox-topleft", "shorter-side-crop", "input.shorter_side");
    check("strides = [8, 16, 32]", "", "output.strides");
    check("strides = [8, 16, 32]", "strides = [8, 0]", "output.strides");
    check("iou = 0.65", "iou = 0.0", "output.nms.iou");
    check("decoder = \"yolox\"\n    strides = [8, 16, 32]", "decoder = \"ssd\"", "output.corners");
}
