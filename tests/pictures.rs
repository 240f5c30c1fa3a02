//! The commands that try models on files.

use std::fs;
use std::path::Path;
use std::time::Duration;

use serde_json::Value;
use verge_demo::scene::{HEIGHT, LABELS, RoadScene, SceneTruth, Viewpoint, WIDTH};
use verge_domain::frame::{EncodedFrame, ImageFormat, Orientation};
use verge_domain::id::DeviceId;
use verge_domain::time::DeviceClock;
use verge_vision::Picture;
use verge_vision::annotate::encode;

use crate::frames::{CAMERAS, base64, frame, plain, put_model, runtime, write};
use crate::program::{Ended, command, verge};

/// A configuration without brokers, for the commands that need none.
fn trial() -> tempfile::TempDir {
    runtime();
    let folder = tempfile::tempdir().unwrap();
    put_model(folder.path());
    let text = format!(
        "{CAMERAS}
[gateway]
id = \"trial\"
state_dir = \"state\"
[local]
url = \"mqtt://localhost:1883\"
[uplink.centre]
url = \"mqtt://localhost:8883\"
insecure_plaintext = true
"
    );
    fs::write(folder.path().join("gateway.toml"), text).unwrap();
    folder
}

#[test]
fn pictures_are_judged_and_annotated() {
    let folder = trial();
    let day = frame(Viewpoint::North, 30);
    write(folder.path(), "frames/a.jpg", &day.jpeg);
    write(folder.path(), "frames/b.jpg", &day.jpeg[..1000]);
    write(folder.path(), "frames/notes.txt", b"");
    let arguments = ["judge", "-c", "gateway.toml", "vehicles", "frames", "--annotate", "seen"];
    let ended = verge(folder.path(), &arguments).expect(0);
    let lines = ended.json();
    assert_eq!(lines.len(), 1);
    assert_eq!((&lines[0]["device"], &lines[0]["file"]), (&"a".into(), &"frames/a.jpg".into()));
    assert!(lines[0]["detections"]["objects"].as_array().unwrap().len() >= plain(&day.truths));
    assert!(
        ended.stderr.contains("2 messages, 1 frames, 1 verdicts; 1 refused: bad_jpeg"),
        "{}",
        ended.stderr
    );
    let annotated = fs::read(folder.path().join("seen/a.jpg")).unwrap();
    assert!(annotated.starts_with(&[0xff, 0xd8]) && annotated != day.jpeg);
    assert!(!folder.path().join("seen/b.jpg").exists());

    // Recorded messages go through the codecs of the configuration, on the clock of the recording.
    let line = |second: u64, topic: &str, payload: &[u8]| {
        let time = format!("2026-01-02T03:04:{second:02}Z");
        serde_json::json!({ "tst": time, "topic": topic, "payload_base64": base64(payload) }).to_string()
    };
    let recording = [
        line(0, "junction/north/frame", &day.jpeg),
        line(1, "junction/north/frame", b"none"),
        line(2, "elsewhere", &day.jpeg),
    ];
    write(folder.path(), "day.jsonl", recording.join("\n").as_bytes());
    let ended = verge(folder.path(), &["judge", "-c", "gateway.toml", "vehicles", "day.jsonl"]).expect(0);
    assert_eq!(ended.json()[0]["device"], "north");
    assert!(
        ended.stderr.contains("1 on topics that no source takes; 1 refused: bad_jpeg"),
        "{}",
        ended.stderr
    );
}

/// The example of docs/vision.md: the pictures of a clip are a camera's series, and each shows what was counted so far.
#[test]
fn what_is_counted_is_drawn() {
    runtime();
    let folder = tempfile::tempdir().unwrap();
    put_model(folder.path());
    let text = include_str!("../examples/junction-model/counting.toml")
        .replace("junction.onnx", "model/junction.onnx")
        .replace("interval = \"5s\"", "interval = \"1s\"");
    write(folder.path(), "counting.toml", text.as_bytes());
    let (mut scene, mut rgb) = (RoadScene::new(Viewpoint::North, 41), Vec::new());
    for number in 0..40 {
        scene.render(Duration::from_millis(20_000 + 200 * number), &mut rgb);
        let jpeg = encode(&Picture::from_rgb(WIDTH, HEIGHT, rgb.clone())).unwrap();
        write(folder.path(), &format!("clip/{number:03}.jpg"), &jpeg);
    }
    let judged = |judge: &str, to: &str| {
        let arguments = [
            "judge",
            "-c",
            "counting.toml",
            judge,
            "clip",
            "--device",
            "north",
            "--interval",
            "200ms",
            "--annotate",
            to,
        ];
        let ended = verge(folder.path(), &arguments).expect(0);
        let picture = folder.path().join(to).join("039.jpg");
        let yellow = yellow_pixels(&fs::read(picture).unwrap());
        (ended, yellow)
    };
    let (counted, with_lines) = judged("lanes", "drawn");
    let traffic = &counted.json()[0]["traffic"];
    assert_eq!(traffic["lines"].as_array().unwrap().len(), 3, "{traffic}");
    let (_, without_lines) = judged("seen", "seen");
    assert!(with_lines > without_lines + 300, "{with_lines} {without_lines}");
}

/// Pixels in the colour of lines.
fn yellow_pixels(jpeg: &[u8]) -> usize {
    let mut picture = Picture::new();
    let codec_frame = EncodedFrame {
        device: DeviceId::new("north").unwrap(),
        format: ImageFormat::Jpeg,
        bytes: jpeg.to_vec().into(),
        width: WIDTH,
        height: HEIGHT,
        orientation: Orientation::Upright,
        captured_at: None,
        clock: DeviceClock::Absent,
    };
    picture.decode(&codec_frame).unwrap();
    picture.rgb().chunks_exact(3).filter(|pixel| pixel[0] > 190 && pixel[1] > 180 && pixel[2] < 120).count()
}

/// Devices name themselves in what they send; files are made from their names within their folder alone.
#[test]
fn a_device_names_no_path() {
    let folder = trial();
    let image = base64(&frame(Viewpoint::North, 30).jpeg);
    let devices = ["../../escaped", "/escaped", "a/b", "..", ".", "Cam", "cam", "CON", "\u{202e}x", "~"];
    let line = |(second, device): (usize, &&str)| {
        let payload =
            serde_json::json!({ "device": device, "timestamp": 1_767_323_045_000_i64, "image": image });
        let payload = base64(payload.to_string().as_bytes());
        let time = format!("2026-01-02T03:04:{second:02}Z");
        serde_json::json!({ "tst": time, "topic": "snapshots", "payload_base64": payload }).to_string()
    };
    let lines: Vec<String> = devices.iter().enumerate().map(line).collect();
    write(folder.path(), "site/day.jsonl", lines.join("\n").as_bytes());
    let names = |path: &Path| -> Vec<String> {
        let entries =
            fs::read_dir(path).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let mut names: Vec<String> = entries.collect();
        names.sort();
        names
    };
    let before =
        (names(folder.path()), names(folder.path().parent().unwrap()).contains(&"escaped".to_owned()));
    let arguments = ["judge", "-c", "gateway.toml", "vehicles", "site/day.jsonl", "--annotate", "site/seen"];
    verge(folder.path(), &arguments).expect(0);
    let seen = names(&folder.path().join("site/seen"));
    assert_eq!(seen.len(), devices.len(), "{seen:?}");
    assert!(seen.contains(&"cam-000007.jpg".to_owned()), "{seen:?}");
    assert!(seen.iter().all(|name| name.ends_with(".jpg") && !name.starts_with('.')), "{seen:?}");
    let after =
        (names(folder.path()), names(folder.path().parent().unwrap()).contains(&"escaped".to_owned()));
    assert_eq!(after, before);
    assert_eq!(names(&folder.path().join("site")), ["day.jsonl", "seen"]);
}

/// An ESP32-CAM closes a picture that it has sent in part.
#[test]
fn a_picture_that_ends_early_is_refused_though_it_was_closed() {
    let folder = trial();
    let day = frame(Viewpoint::North, 30).jpeg;
    write(folder.path(), "frames/whole.jpg", &day);
    for percent in [30, 60, 90] {
        let cut = [&day[..day.len() * percent / 100], &[0xff, 0xd9]].concat();
        write(folder.path(), &format!("frames/cut{percent}.jpg"), &cut);
    }
    let ended = verge(folder.path(), &["judge", "-c", "gateway.toml", "vehicles", "frames"]).expect(0);
    assert!(
        ended.stderr.contains("4 messages, 1 frames, 1 verdicts; 3 refused: bad_jpeg (first cut30.jpg, "),
        "{}",
        ended.stderr
    );
    let came = "bytes: ff d8 ff e0 00 10 4a 46 49 46 00 01 ";
    let looks = "which looks like a JPEG that is cut off or damaged";
    assert!(ended.stderr.contains(came) && ended.stderr.contains(looks), "{}", ended.stderr);
}

#[test]
fn pictures_of_other_kinds_are_named_with_what_to_do() {
    let folder = trial();
    write(folder.path(), "frames/whole.jpg", &frame(Viewpoint::North, 30).jpeg);
    write(folder.path(), "frames/a.png", b"\x89PNG\r\n\x1a\n");
    write(folder.path(), "frames/b.PNG", b"\x89PNG\r\n\x1a\n");
    write(folder.path(), "pngs/a.png", b"\x89PNG\r\n\x1a\n");
    write(folder.path(), "clip.mp4", b"\0\0\0\x18ftypmp42\0\0\0\0");
    let judge = |input: &str| verge(folder.path(), &["judge", "-c", "gateway.toml", "vehicles", input]);
    let said = judge("frames").expect(0).stderr;
    assert!(
        said.contains("frames: left out: 2 other pictures (a.png is the first): convert them to JPEG"),
        "{said}"
    );
    let said = judge("pngs").expect(65).stderr;
    assert!(
        said.contains("pngs holds no *.jpg or *.jpeg, but 1 other picture (a.png): convert it to JPEG"),
        "{said}"
    );
    let said = judge("pngs/a.png").expect(65).stderr;
    assert!(
        said.contains("looks like a PNG: judges over frames look at pictures as JPEG: convert it"),
        "{said}"
    );
    let said = judge("clip.mp4").expect(65).stderr;
    assert!(said.contains("take them out of it (mkdir pictures, ffmpeg -i FILE"), "{said}");
}

#[test]
fn a_model_is_scored_on_labelled_pictures() {
    let folder = trial();
    for (number, (view, second)) in
        [(Viewpoint::North, 10), (Viewpoint::North, 50), (Viewpoint::South, 20), (Viewpoint::South, 60)]
            .into_iter()
            .enumerate()
    {
        let frame = frame(view, second);
        let line = |truth: &SceneTruth| {
            let class = LABELS.iter().position(|label| *label == truth.label).unwrap();
            let [left, top, width, height] = truth.area.map(f64::from);
            let (sides, centre) = ((640.0, 480.0), (left + width / 2.0, top + height / 2.0));
            format!(
                "{class} {} {} {} {}\n",
                centre.0 / sides.0,
                centre.1 / sides.1,
                width / sides.0,
                height / sides.1
            )
        };
        let labels: String = frame.truths.iter().map(line).collect();
        write(folder.path(), &format!("data/images/{number}.jpg"), &frame.jpeg);
        write(folder.path(), &format!("data/labels/{number}.txt"), labels.as_bytes());
    }
    let model = ["eval", "detect", "--model", "model/junction.onnx", "--data", "data"];
    let ended =
        verge(folder.path(), &[&model[..], &["--json", "--detections", "found.json"]].concat()).expect(0);
    let scores = &ended.json()[0];
    assert!(scores["ap50"].as_f64().unwrap() > 0.8 && scores["map"].as_f64().unwrap() > 0.4, "{scores}");
    assert_eq!(scores["n"], 4);
    let found: Value = serde_json::from_slice(&fs::read(folder.path().join("found.json")).unwrap()).unwrap();
    let first = &found[0];
    assert!(
        first["image_id"].is_u64()
            && first["category_id"].is_u64()
            && first["bbox"].as_array().unwrap().len() == 4
    );

    let refused = |arguments: &[&str], code: i32, words: &str| {
        let ended = verge(folder.path(), arguments).expect(code);
        assert!(ended.stderr.contains(words), "{words:?} in {}", ended.stderr);
    };
    refused(&[&model[..], &["--group", "all=car,ship"]].concat(), 64, "no label \"ship\"");
    refused(&["eval", "classify", "--model", "model/junction.toml", "--data", "data"], 64, "eval detect");
    refused(&["eval", "detect", "--model", "model/junction.toml", "--data", "model"], 65, "no folder images");
    refused(&["eval", "detect", "--model", "model/none.toml", "--data", "data"], 78, "none.toml");
}

#[test]
fn what_models_need_is_reported_before_anything_runs() {
    let folder = trial();
    let check = |arguments: &[&str], change: &dyn Fn(), code: i32, words: &[&str]| {
        put_model(folder.path());
        change();
        for command in ["check", "run"] {
            let arguments = [&[command, "-c", "gateway.toml"], arguments].concat();
            let arguments =
                if command == "check" { [&arguments[..], &["--offline"]].concat() } else { arguments };
            let ended = verge(folder.path(), &arguments);
            reported(&ended, code, words);
        }
    };
    let card = folder.path().join("model/junction.toml");
    let replace = |from: &str, to: &str| {
        let text = fs::read_to_string(&card).unwrap();
        let lines: Vec<String> = text
            .lines()
            .map(|line| if line.starts_with(from) { to.to_owned() } else { line.to_owned() })
            .collect();
        assert!(lines.iter().any(|line| line == to), "{from}");
        fs::write(&card, lines.join("\n")).unwrap();
    };
    let labels = || fs::write(folder.path().join("model/labels.txt"), "car\ntruck\n").unwrap();
    check(&[], &labels, 78, &["number of labels", "2"]);
    check(&[], &|| replace("sha256", &format!("sha256 = \"{}\"", "0".repeat(64))), 78, &["SHA-256", "0000"]);
    check(&[], &|| fs::remove_file(&card).unwrap(), 78, &["junction.toml"]);
    check(&[], &|| replace("colour", "colour = \"grey\""), 78, &["shape of the input"]);
    check(&[], &|| fs::write(folder.path().join("model/junction.onnx"), b"none").unwrap(), 78, &["SHA-256"]);
    // What comes out is seen on a grey picture, before a camera sends any.
    let own = |name: &str, output: &str| {
        let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures/models");
        fs::copy(fixtures.join(format!("{name}.onnx")), folder.path().join("model/junction.onnx")).unwrap();
        fs::write(folder.path().join("model/labels.txt"), "a\nb\n").unwrap();
        let text = format!(
            "name = \"own\"\nversion = \"1\"\nfile = \"junction.onnx\"\ntask = \"detect\"\nlabels = \"labels.txt\"\n\
             [input]\nlayout = \"nchw\"\ncolour = \"rgb\"\nelement = \"f32\"\nresize = \"stretch\"\n\
             scale = [0.00392157, 0.00392157, 0.00392157]\n[output]\n{output}\n"
        );
        fs::write(&card, text).unwrap();
    };
    let strides = "decoder = \"yolox\"\nstrides = [8, 16, 32]";
    check(
        &[],
        &|| own("yolox_decoded", strides),
        78,
        &["model.junction", "grey picture", "\"yolox_decoded\""],
    );
    own("yolox_decoded", "decoder = \"yolox_decoded\"");
    let good = verge(folder.path(), &["check", "-c", "gateway.toml", "--offline"]).expect(0);
    let reported = good.stdout.lines().find(|line| line.contains("one grey picture")).unwrap();
    assert!(
        reported.contains("took ") && reported.contains("y f32 [1, 21, 7] from 0.0000 to "),
        "{reported}"
    );

    put_model(folder.path());
    let mut without = command(folder.path(), &["check", "-c", "gateway.toml", "--offline"]);
    let output = without.env("ORT_DYLIB_PATH", "/nowhere/libonnxruntime.so").output().unwrap();
    let stdout = String::from_utf8(output.stdout).unwrap();
    assert!(stdout.contains("ORT_DYLIB_PATH") && stdout.contains("verge runtime install"), "{stdout}");
    assert_eq!(output.status.code(), Some(69), "{stdout}");
}

fn reported(ended: &Ended, code: i32, words: &[&str]) {
    let all = format!("{}{}", ended.stdout, ended.stderr);
    assert_eq!(ended.code, code, "{all}");
    assert!(words.iter().all(|words| all.contains(words)), "{words:?} in {all}");
    assert!(!all.contains("panicked"), "{all}");
}

#[test]
fn boxes_are_not_counted_where_there_are_none() {
    let folder = tempfile::tempdir().unwrap();
    let line = "[data]\nsize = [1280, 720]\n\n[track.line.middle]\nfrom = [0.0, 0.5]\nto = [1.0, 0.5]\n";
    write(folder.path(), "road/count.toml", line.as_bytes());
    write(folder.path(), "boxes.jsonl", b"");
    let count = ["eval", "count", "--data", "road", "--detections", "boxes.jsonl", "--fps", "10"];
    let refused = verge(folder.path(), &count).expect(65).stderr;
    assert!(refused.contains("boxes.jsonl: no frames"), "{refused}");
    write(folder.path(), "boxes.jsonl", b"{\"frame\": \"1\", \"objects\": []}\n");
    verge(folder.path(), &count).expect(0);
}
