//! Blocks of samples and judges that ask a model to give them back, from a file or a topic to a verdict.

#![expect(clippy::print_stderr, reason = "says what was measured or skipped")]

use std::fs;
use std::path::Path;

use serde_json::Value;
use verge_vision::Picture;
use verge_vision::annotate::encode;

use crate::program::verge;
use crate::site::Site;

/// Windows of eight readings, by a model that knows only constants: the error is the variance of the window.
const SECTIONS: &str = r#"
[model.constants]
file = "window.onnx"

[source.sound]
topic = "plant/+/sound"
codec = "samples_i16"
device = "topic:1"
signal = "sound"
unit = "Pa"
scale = 0.01

[judge.odd]
inputs = ["sound"]
detector = "autoencoder"
model = "constants"
"#;

const NOWHERE: &str = r#"
[gateway]
id = "trial"
state_dir = "state"
[local]
url = "mqtt://localhost:1883"
[uplink.centre]
url = "mqtt://localhost:8883"
insecure_plaintext = true
"#;

/// The model with its card, in a folder of its own.
fn put_model(folder: &Path) {
    verge_gateway::wiring::provide_runtime(&mut |step| eprintln!("{step}")).map(drop).unwrap();
    let models = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures/models");
    fs::copy(models.join("window.onnx"), folder.join("window.onnx")).unwrap();
    let card = "name = \"constants\"\nversion = \"7\"\nfile = \"window.onnx\"\ntask = \"reconstruct\"\n";
    fs::write(folder.join("window.toml"), card).unwrap();
}

fn trial() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    put_model(folder.path());
    fs::write(folder.path().join("gateway.toml"), format!("{SECTIONS}{NOWHERE}")).unwrap();
    folder
}

/// Windows that hum with an amplitude that changes from one to the next, then one that roars.
fn samples() -> Vec<u8> {
    let hum = (0..200_i16 * 8).map(|at| (if at % 2 == 0 { 1 } else { -1 }) * (100 + at / 8 * 7 % 50));
    let roar = [3000, -3000].into_iter().cycle().take(8);
    hum.chain(roar).flat_map(i16::to_le_bytes).collect()
}

#[test]
fn a_file_of_samples_is_judged_by_a_model() {
    let folder = trial();
    fs::write(folder.path().join("pump-1.i16"), samples()).unwrap();
    let checked = verge(folder.path(), &["check", "-c", "gateway.toml", "--offline"]).expect(0);
    assert!(checked.stdout.contains("reconstruct windows of 8 numbers"), "{}", checked.stdout);
    let ended = verge(folder.path(), &["judge", "-c", "gateway.toml", "odd", "pump-1.i16"]).expect(0);
    assert!(ended.stderr.contains("1 messages, 1608 readings, 1 verdicts"), "{}", ended.stderr);
    let reported: Vec<Value> = ended.json();
    let said = &reported[0];
    assert_eq!((&said["device"], &said["signal"]), (&"pump-1".into(), &"sound".into()));
    assert_eq!((&said["detector"], &said["event"]["state"]), (&"autoencoder".into(), &"raised".into()));
    assert_eq!(said["model"], serde_json::json!({ "name": "constants", "version": "7" }));
    let anomaly = &said["anomaly"];
    assert_eq!((&anomaly["member"], anomaly.get("unit")), (&"reconstruction".into(), None));
    assert!((anomaly["observed"].as_f64().unwrap() - 900.0).abs() < 0.1, "{anomaly}");
    assert!((0.0..=1e-3).contains(&anomaly["p_value"].as_f64().unwrap()), "{anomaly}");
    assert!(anomaly["expected"]["high"].as_f64().unwrap() < 10.0, "{anomaly}");
}

#[test]
fn what_a_model_cannot_do_is_refused_before_the_start() {
    let folder = trial();
    let path = folder.path().join("gateway.toml");
    let text = fs::read_to_string(&path).unwrap();
    let check = |wrong: &str, arguments: &[&str], expected: &str| {
        fs::write(&path, text.replacen("model = \"constants\"", wrong, 1)).unwrap();
        let ended = verge(folder.path(), arguments).expect(78);
        let all = format!("{}{}", ended.stdout, ended.stderr);
        assert!(all.contains(expected), "{all}");
    };
    let wide = "model = \"constants\"\nstride = 9";
    fs::write(folder.path().join("day.i16"), [0; 16]).unwrap();
    for arguments in [
        &["check", "-c", "gateway.toml", "--offline"][..],
        &["judge", "-c", "gateway.toml", "odd", "day.i16"],
        &["run", "-c", "gateway.toml"],
    ] {
        check(wide, arguments, "judge.odd: stride = 9: the windows of constants have 8 readings");
    }
}

#[test]
fn files_of_samples_say_what_is_wrong_with_them() {
    let folder = trial();
    fs::write(folder.path().join("odd.i16"), [0; 17]).unwrap();
    let ended = verge(folder.path(), &["judge", "-c", "gateway.toml", "odd", "odd.i16"]).expect(0);
    assert!(
        ended.stderr.contains("1 messages, 0 readings, 0 verdicts; 1 refused: bad_samples"),
        "{}",
        ended.stderr
    );
    fs::write(folder.path().join("other.f32"), [0; 16]).unwrap();
    let ended = verge(folder.path(), &["judge", "-c", "gateway.toml", "odd", "other.f32"]).expect(64);
    assert!(ended.stderr.contains("codec = \"samples_f32\""), "{}", ended.stderr);
}

#[test]
fn blocks_that_are_sent_become_verdicts_upstream() {
    let site = Site::start(SECTIONS);
    put_model(site.path());
    fs::write(site.path().join("block.bin"), samples()).unwrap();
    let gateway = site.spawn(&["run", "-c", "gateway.toml"], "connected upstream");
    let receiver = site.spawn(&["watch", "-c", "gateway.toml", "--json", "--count", "1"], "connected to");
    verge(site.path(), &["send", "-c", "gateway.toml", "-t", "plant/pump-1/sound", "block.bin"]).expect(0);
    let reported = receiver.output();
    let reported: Vec<Value> = reported.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let said =
        reported.iter().find(|line| line["device"] == "pump-1").unwrap_or_else(|| panic!("{reported:#?}"));
    assert_eq!(said["detector"], "autoencoder");
    assert_eq!(said["anomaly"]["member"], "reconstruction");
    assert_eq!(gateway.stop(), 0);
}

/// Frames, by a model that knows only colours without any shape: the error is their variance.
const CAMERAS: &str = r#"
[model.flat]
file = "flat_f32.onnx"

[source.belt]
topic = "line/+/frame"
codec = "jpeg"
device = "topic:1"
frames = "every"

[judge.strange]
inputs = ["belt"]
detector = "autoencoder"
model = "flat"
region = { left = 0.5 }
"#;

fn put_eye(folder: &Path) {
    put_model(folder);
    let models = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures/models");
    fs::copy(models.join("flat_f32.onnx"), folder.join("flat_f32.onnx")).unwrap();
    let share = 1.0 / 255.0;
    let card = format!(
        "name = \"flat\"\nversion = \"2\"\nfile = \"flat_f32.onnx\"\ntask = \"reconstruct\"\n[input]\nlayout = \"nchw\"\n\
         colour = \"rgb\"\nelement = \"f32\"\nresize = \"stretch\"\nscale = [{share}, {share}, {share}]\n[output]\n\
         decoder = \"reconstruction\"\n"
    );
    fs::write(folder.join("flat_f32.toml"), card).unwrap();
}

/// A picture whose right half is lighter above than below, by twice that number of steps. The left half is never the same.
fn belt(number: u32, contrast: u8) -> Vec<u8> {
    let rows = (0..32).flat_map(|y| (0..32).map(move |x| (x, y)));
    let pixel = |(x, y): (u32, u32)| match (x < 16, y < 16) {
        (true, _) => (number * 97 % 251) as u8,
        (false, true) => 128 + contrast,
        (false, false) => 128 - contrast,
    };
    let rgb = rows.flat_map(|at| [pixel(at); 3]).collect();
    encode(&Picture::from_rgb(32, 32, rgb)).unwrap()
}

/// Enough of what is usual to learn it, then what is not: their files, in order.
fn put_pictures(folder: &Path) -> Vec<String> {
    fs::create_dir_all(folder.join("frames")).unwrap();
    let usual = (0..200).map(|number| (number, 10 + (number * 7 % 13) as u8));
    usual
        .chain([(200, 100), (201, 100), (202, 100)])
        .map(|(number, contrast)| {
            let name = format!("frames/{number:03}.jpg");
            fs::write(folder.join(&name), belt(number, contrast)).unwrap();
            name
        })
        .collect()
}

#[test]
fn pictures_of_one_camera_are_judged_by_a_model_as_a_series() {
    let folder = tempfile::tempdir().unwrap();
    put_eye(folder.path());
    fs::write(folder.path().join("gateway.toml"), format!("{CAMERAS}{NOWHERE}")).unwrap();
    let checked = verge(folder.path(), &["check", "-c", "gateway.toml", "--offline"]).expect(0);
    assert!(checked.stdout.contains("model.flat: flat 2: reconstruct frames; 4x4 f32"), "{}", checked.stdout);
    let files = put_pictures(folder.path());
    let arguments = ["judge", "-c", "gateway.toml", "strange", "frames"];
    let ended = verge(folder.path(), &[&arguments[..], &["--device", "belt-1"]].concat()).expect(0);
    assert!(ended.stderr.contains("203 messages, 203 frames, 1 verdicts"), "{}", ended.stderr);
    // As a shell lists them.
    let listed: Vec<&str> = files.iter().map(String::as_str).collect();
    let listed = [&arguments[..4], &listed, &["--device", "belt-1"]].concat();
    let one_by_one = verge(folder.path(), &listed).expect(0);
    assert!(
        one_by_one.stderr.contains("frames/000.jpg to frames/202.jpg: 203 messages, 203 frames, 1 verdicts")
    );
    let reported: Vec<Value> = ended.json();
    let said = &reported[0];
    assert_eq!((&said["device"], &said["signal"]), (&"belt-1".into(), &"strange".into()));
    assert_eq!((&said["file"], &said["source"]), (&"frames/200.jpg".into(), &"belt".into()));
    assert_eq!((&said["detector"], &said["event"]["state"]), (&"autoencoder".into(), &"raised".into()));
    assert_eq!(said["model"], serde_json::json!({ "name": "flat", "version": "2" }));
    let anomaly = &said["anomaly"];
    assert_eq!(anomaly["member"], "reconstruction");
    // Two halves that are 100 steps above and below their mean, but for the rows between, which the resize blends.
    let expected = (100.0_f64 / 255.0).powi(2);
    assert!((0.7..1.0).contains(&(anomaly["observed"].as_f64().unwrap() / expected)), "{anomaly}");
    assert!(anomaly["expected"]["high"].as_f64().unwrap() < 0.02, "{anomaly}");
    // What must last for half a minute does so at a frame a minute.
    let lasting = CAMERAS.replacen("[judge.strange]", "[judge.strange]\nraise_after = \"30s\"", 1);
    fs::write(folder.path().join("gateway.toml"), format!("{lasting}{NOWHERE}")).unwrap();
    let at = |interval: &str| {
        let more = ["--device", "belt-1", "--interval", interval];
        verge(folder.path(), &[&arguments[..], &more].concat())
    };
    assert!(at("1s").expect(0).stderr.contains("203 frames, 0 verdicts"));
    let ended = at("1m").expect(0);
    assert!(ended.stderr.contains("203 frames, 1 verdicts"), "{}", ended.stderr);
    assert!(at("0s").expect(64).stderr.contains("at least 1ms"));
    let scored =
        verge(folder.path(), &["eval", "detect", "--model", "flat_f32.toml", "--data", "frames"]).expect(64);
    assert!(scored.stderr.contains("`verge judge` tries it on pictures"), "{}", scored.stderr);
    // Each picture a camera of its own: nobody has a past, and so nobody is strange.
    let ended = verge(folder.path(), &arguments).expect(0);
    assert!(ended.stderr.contains("203 frames, 0 verdicts"), "{}", ended.stderr);
}

#[test]
fn frames_that_a_model_does_not_know_become_verdicts_upstream() {
    let site = Site::start(CAMERAS);
    put_eye(site.path());
    let pictures = put_pictures(site.path());
    let gateway = site.spawn(&["run", "-c", "gateway.toml"], "connected upstream");
    let receiver = site.spawn(&["watch", "-c", "gateway.toml", "--json", "--count", "1"], "connected to");
    let mut arguments = vec!["send", "-c", "gateway.toml", "-t", "line/belt-1/frame"];
    arguments.extend(pictures.iter().map(String::as_str));
    verge(site.path(), &arguments).expect(0);
    let reported = receiver.output();
    let reported: Vec<Value> = reported.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let said =
        reported.iter().find(|line| line["device"] == "belt-1").unwrap_or_else(|| panic!("{reported:#?}"));
    assert_eq!((&said["judge"], &said["signal"]), (&"strange".into(), &"strange".into()));
    assert_eq!((&said["detector"], &said["event"]["state"]), (&"autoencoder".into(), &"raised".into()));
    assert_eq!(said["model"]["name"], "flat");
    assert_eq!(gateway.stop(), 0);
}

#[test]
fn models_for_frames_and_for_readings_are_not_mistaken_for_each_other() {
    let folder = tempfile::tempdir().unwrap();
    put_eye(folder.path());
    let text = format!("{SECTIONS}{CAMERAS}{NOWHERE}");
    let check = |from: &str, to: &str, expected: &str| {
        assert!(text.contains(from), "{from}");
        fs::write(folder.path().join("gateway.toml"), text.replacen(from, to, 1)).unwrap();
        let ended = verge(folder.path(), &["check", "-c", "gateway.toml", "--offline"]);
        let all = format!("{}{}", ended.stdout, ended.stderr);
        assert_eq!(ended.code, 78, "{all}");
        assert!(all.contains(expected), "{expected:?} in {all}");
    };
    check(
        "file = \"window.onnx\"",
        "file = \"flat_f32.onnx\"",
        "model.constants: files: flat_f32.toml: the card of a model over frames, where one over windows of readings",
    );
    check(
        "file = \"flat_f32.onnx\"",
        "file = \"window.onnx\"",
        "model.flat: files: window.toml: the card of a model over windows of readings, where one over frames",
    );
}
