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
    check("version = \"0.1\"", "", "m.toml, line 1: version is missing");
    check(
        "version = \"0.1\"",
        "version = \"0.1\"\nvariant = 1",
        "m.toml, line 4: unknown key variant, expected one of name, version",
    );
    check(
        "task = \"detect\"",
        "task = \"classify\"",
        "m.toml, line 13: output.decoder = \"yolox\": expected one of the task",
    );
    check(
        "task = \"detect\"",
        "task = \"segment\"",
        "m.toml, line 5: \"segment\" is unknown, expected one of classify, detect, reconstruct",
    );
    check("labels = \"coco_80_names.txt\"", "", "labels = nothing");
    check("version = \"0.1\"", "version = \"0.1\"\nsha256 = \"abc\"", "64 hexadecimal digits");
    check("element = \"f32\"", "element = \"f32\"\nsize = [0, 4]", "input.size");
    check(
        "element = \"f32\"",
        "element = \"f32\"\nmean = [1.0]",
        "input.mean = [1.0]: expected one finite number",
    );
    check(
        "element = \"f32\"",
        "element = \"f32\"\npad = 300",
        "line 11: 300: expected a whole number from 0 to 255",
    );
    check("colour = \"bgr\"", "colour = 3", "3: expected a text in quotes");
    check("iou = 0.65", "iou = \"high\"", "line 15: \"high\": expected a number");
    check("per_class = true", "", "per_class is missing");
    check("name = \"yolox-nano\"", "name = yolox", "m.toml, line 2: this is no TOML: ");
    check("element = \"f32\"", "element = \"f32\"\ncrop_fraction = 0.5", "input.crop_fraction");
    let quantised = "element = \"f32\"\nquantisation = { scale = 1.0, zero_point = 0 }";
    check("element = \"f32\"", quantised, "input.quantisation");
    check("letterbox-topleft", "central-crop", "input.crop_fraction");
    check("letterbox-topleft", "shorter-side-crop", "input.shorter_side");
    check("strides = [8, 16, 32]", "", "output.strides");
    check("strides = [8, 16, 32]", "strides = [8, 0]", "line 14: output.strides = [8, 0]: expected such as");
    check("iou = 0.65", "iou = 0.0", "line 15: output.score, output.nms.iou = 0.0: expected numbers");
    check("decoder = \"yolox\"\n    strides = [8, 16, 32]", "decoder = \"ssd\"", "output.corners");
}
