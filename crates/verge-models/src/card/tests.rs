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
    assert_eq!(card.output.form, OutputForm::Heads { strides: vec![8, 16, 32] });
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

/// A card for detection with these keys of its output.
fn detector(output: &str) -> Result<OutputCard, String> {
    let (head, _) = YOLOX.split_once("decoder").unwrap();
    let is_of_anomalies = output.contains("anomal");
    let unlabelled = head.replace("\"detect\"", "\"anomaly\"").replace("labels = \"coco_80_names.txt\"", "");
    let head = if is_of_anomalies { &unlabelled } else { head };
    let card = parse(&format!("{head}{output}"))?;
    let Meaning::Frames(card) = card.meaning else { panic!("it has [input] and [output]") };
    Ok(card.output)
}

#[test]
fn every_preset_is_a_card_and_says_what_it_stands_for() {
    for (name, _) in presets::ALL {
        let preset = detector(&format!("decoder = {name:?}")).unwrap();
        assert_eq!(preset.preset, Some(*name));
        let described = preset.described();
        assert!(described.starts_with(&format!("{name}, which is ")), "{described}");
        // What is printed is a card that means the same.
        let (_, keys) = described.split_once(" (").unwrap();
        let mut lines: Vec<String> = Vec::new();
        let mut depth = 0;
        let mut line = String::new();
        for letter in keys.trim_end_matches(')').chars() {
            depth += i32::from("[{".contains(letter)) - i32::from("]}".contains(letter));
            if letter == ',' && depth == 0 {
                lines.push(std::mem::take(&mut line))
            } else {
                line.push(letter)
            }
        }
        lines.push(line);
        let written = format!("decoder = {:?}\n{}", preset.decoder.as_str(), lines.join("\n"));
        assert_eq!(detector(&written).unwrap(), OutputCard { preset: None, ..preset }, "{written}");
    }
    // A key of the card stands above the preset's.
    let own = detector("decoder = \"yolov8\"\nnms = { iou = 0.7, per_class = false }\nextra = 32").unwrap();
    assert_eq!(own.nms.map(|nms| nms.iou), Some(0.7));
    assert!(own.described().contains("extra = 32"), "{}", own.described());
}

#[test]
fn parameters_that_cannot_be_are_refused_by_key() {
    let check = |output: &str, expected: &str| {
        let error = detector(output).unwrap_err();
        assert!(error.contains(expected), "{output}: {error}");
    };
    check("decoder = \"yolov99\"", "output.decoder = \"yolov99\": expected a decoder (probabilities");
    check("decoder = \"grid\"", "output.box");
    check("decoder = \"yolov8\"\nstrides = [0]", "output.strides = [0]");
    check("decoder = \"yolov8\"\nangle = true", "output.angle = true: expected extra = 1");
    check("decoder = \"yolov8\"\nanchors = [[[1, 2]]]", "output.anchors");
    check("decoder = \"yolov8\"\nactivation = \"softmax\"", "output.activation");
    check("decoder = \"yolox\"\nstrides = [8]\nextra = 4", "output.extra = 4: expected nothing without");
    let rows = |columns: &str| format!("decoder = \"rows\"\nunits = \"pixels\"\ncolumns = [{columns}]");
    let good = "\"x0\", \"y0\", \"x1\", \"y1\", \"score\", \"class\"";
    assert!(detector(&rows(good)).is_ok());
    check(&rows(good).replace("pixels", "metres"), "\"metres\" is unknown, expected");
    for bad in [
        good.replace("\"score\"", "\"-\""),
        good.replace("\"class\"", "\"score\""),
        good.replace("\"x0\"", "\"cx\""),
        format!("\"...\", {good}"),
        format!("{good}, \"angle\""),
        String::new(),
    ] {
        check(&rows(&bad), "output.columns");
    }
    check("decoder = \"rows\"\nunits = \"pixels\"", "output.columns = nothing");
    check("decoder = \"tuple\"\noutputs = [\"boxes\", \"scores\"]\nunits = \"share\"", "output.box");
    check("decoder = \"tmp\"", "output.decoder");
    let tuple = |outputs: &str| {
        format!("decoder = \"tuple\"\nbox = \"xyxy\"\nunits = \"share\"\noutputs = [{outputs}]")
    };
    for bad in
        ["\"boxes\"", "\"scores\"", "\"boxes\", \"boxes\", \"scores\"", "\"boxes\", \"indices\", \"classes\""]
    {
        check(&tuple(bad), "output.outputs");
    }
    check("decoder = \"query\"", "output.activation = nothing");
    check("decoder = \"detr\"\nbackground = \"first\"", "output.background: expected the index of a class");
    check("decoder = \"yolov5-raw\"\nstrides = [8, 16]", "output.anchors");
    check("decoder = \"yolov5-raw\"\ncentre_scale = [2.0]", "output.centre_scale");
    check("decoder = \"anchors\"\nstrides = [8]\nanchors = [[[1, 2]]]", "output.formula = nothing");
    check("decoder = \"nanodet-m\"\nreg_max = 0", "output.reg_max = 0");
    check("decoder = \"nanodet-m\"\ncentre = 2.0", "output.centre = 2.0");
    check("decoder = \"yolov8\"\nlabel_offset = 9000000000000000000", "output.label_offset");
    let card = |from: &str, to: &str| parse(&YOLOX.replacen(from, to, 1)).unwrap_err();
    let values = card("[output]", "[input.values]\nfactor = [\"depth\"]\n[output]");
    assert!(values.contains("input.values: expected a list of numbers"), "{values}");
    let labels = card("labels = \"coco_80_names.txt\"", "labels = [\"a\", 1]");
    assert!(labels.contains("labels: expected a file in quotes, or a list"), "{labels}");
    let longest = card("\"letterbox-topleft\"", "\"stretch\"\nlongest_side = 4");
    assert!(longest.contains("input.longest_side = 4"), "{longest}");
}

#[test]
fn outputs_of_anomaly_models_are_a_score_a_map_or_both() {
    let form = |output: &str| match detector(output).map(|output| output.form) {
        Ok(OutputForm::Anomaly(AnomalyForm { score, map })) => Ok((score, map)),
        Ok(other) => panic!("{other:?}"),
        Err(error) => Err(error),
    };
    assert_eq!(form("decoder = \"anomalib\""), Ok((Some(0), Some(1))));
    assert_eq!(form("decoder = \"anomalib-1\"\nscore = 12.5"), Ok((None, Some(0))));
    assert_eq!(form("decoder = \"anomaly\"\noutputs = [\"map\", \"score\"]"), Ok((Some(1), Some(0))));
    for outputs in ["[]", "[\"map\", \"map\"]", "[\"score\", \"boxes\"]"] {
        let error = form(&format!("decoder = \"anomaly\"\noutputs = {outputs}")).unwrap_err();
        assert!(error.contains("output.outputs") && error.contains("with decoder = \"anomaly\""), "{error}");
    }
    assert!(
        form("decoder = \"anomalib\"\nscore = inf")
            .unwrap_err()
            .contains("output.score = inf: expected a finite")
    );
    assert!(form("decoder = \"anomalib\"\nlabel_offset = 1").unwrap_err().contains("which has no classes"));
    let tuple =
        "decoder = \"tuple\"\nbox = \"xyxy\"\nunits = \"share\"\noutputs = [\"boxes\", \"scores\", \"map\"]";
    assert!(detector(tuple).unwrap_err().contains("output.outputs"));
}
