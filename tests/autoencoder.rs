//! Blocks of samples and judges that ask a model to give them back, from a file or a topic to a verdict.

use std::fs;
use std::path::Path;

use serde_json::Value;

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
    verge::wiring::provide_runtime(&mut |step| eprintln!("{step}")).map(drop).unwrap();
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
    let told: Vec<Value> = ended.json();
    let said = &told[0];
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
    let told = receiver.output();
    let told: Vec<Value> = told.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let said = told.iter().find(|line| line["device"] == "pump-1").unwrap_or_else(|| panic!("{told:#?}"));
    assert_eq!(said["detector"], "autoencoder");
    assert_eq!(said["anomaly"]["member"], "reconstruction");
    assert_eq!(gateway.stop(), 0);
}
