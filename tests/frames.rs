//! Cameras: from a JPEG to a verdict upstream. The pictures are rendered, the model is the demo's own.

#![expect(clippy::print_stderr, reason = "says what was measured or skipped")]

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::time::Duration;

use serde_json::Value;
use verge_demo::scene::{HEIGHT, LABELS, RoadScene, SceneTruth, Viewpoint, WIDTH};
use verge_vision::Picture;
use verge_vision::annotate::encode;

use crate::program::{command, verge};
use crate::site::Site;

pub(crate) const CAMERAS: &str = r#"
[model.junction]
file = "model/junction.onnx"

[source.cameras]
topic = "junction/+/frame"
codec = "jpeg"
device = "topic:1"
frames = "every"

[source.snapshots]
topic = "snapshots"
codec = "json_image"
image = "/image"
device = "pointer:/device"
time = { pointer = "/timestamp", format = "unix_ms" }

[judge.vehicles]
inputs = ["cameras", "snapshots"]
detector = "detect"
model = "junction"
report = "every"
"#;

/// A rendered frame: the JPEG, and what stands in it.
pub(crate) struct Frame {
    pub(crate) jpeg: Vec<u8>,
    pub(crate) truths: Vec<SceneTruth>,
}

pub(crate) fn frame(view: Viewpoint, second: u64) -> Frame {
    let mut scene = RoadScene::new(view, 41);
    let at = Duration::from_secs(second);
    let mut rgb = Vec::new();
    scene.render(at, &mut rgb);
    Frame { jpeg: encode(&Picture::from_rgb(WIDTH, HEIGHT, rgb)).unwrap(), truths: scene.truths(at) }
}

/// Large enough, and enough of it in sight, that a model of 400 kB must find it.
pub(crate) fn plain(truths: &[SceneTruth]) -> usize {
    truths.iter().filter(|truth| truth.visible > 0.8 && truth.area[2] * truth.area[3] > 2500.0).count()
}

/// As webcams send frames of Motion JPEG: without Huffman tables, which are those of T.81, annex K.3.
fn without_tables(jpeg: &[u8]) -> Vec<u8> {
    const TABLES: u8 = 0xc4;
    const SCAN: u8 = 0xda;
    let (mut out, mut at) = (jpeg[..2].to_vec(), 2);
    loop {
        let length = usize::from(u16::from_be_bytes([jpeg[at + 2], jpeg[at + 3]])) + 2;
        match jpeg[at + 1] {
            SCAN => return [&out[..], &jpeg[at..]].concat(),
            TABLES => {}
            _ => out.extend_from_slice(&jpeg[at..at + length]),
        }
        at += length;
    }
}

/// The demo's model in a folder of its own.
pub(crate) fn put_model(folder: &Path) {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/junction-model");
    fs::create_dir_all(folder.join("model")).unwrap();
    for name in ["junction.onnx", "junction.toml", "labels.txt"] {
        fs::copy(source.join(name), folder.join("model").join(name)).unwrap();
    }
}

/// Installs ONNX Runtime for this user, once.
pub(crate) fn runtime() {
    static INSTALLED: OnceLock<()> = OnceLock::new();
    INSTALLED.get_or_init(|| {
        let mut report = |step: &str| eprintln!("{step}");
        verge_gateway::wiring::provide_runtime(&mut report).map(drop).unwrap();
    });
}

pub(crate) fn write(folder: &Path, name: &str, content: &[u8]) -> PathBuf {
    let path = folder.join(name);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(&path, content).unwrap();
    path
}

fn send(site: &Site, topic: &str, file: &str) {
    verge(site.path(), &["send", "-c", "gateway.toml", "-t", topic, file]).expect(0);
}

#[test]
fn frames_become_verdicts_upstream() {
    runtime();
    let site = Site::start(CAMERAS);
    put_model(site.path());
    let checked = verge(site.path(), &["check", "-c", "gateway.toml", "--listen", "0"]).expect(0);
    assert!(checked.stdout.contains("detect with 3 labels"), "{}", checked.stdout);

    let (day, night) = (frame(Viewpoint::North, 30), frame(Viewpoint::South, 40));
    write(site.path(), "day.jpg", &day.jpeg);
    write(site.path(), "night.jpg", &night.jpeg);
    let webcam = without_tables(&day.jpeg);
    assert!(webcam.len() < day.jpeg.len());
    write(site.path(), "webcam.jpg", &webcam);
    write(site.path(), "cut.jpg", &day.jpeg[..day.jpeg.len() / 2]);
    let image = base64(&day.jpeg);
    let snapshot = serde_json::json!({
        "device": "esp32-7", "timestamp": 1_700_000_000_000_i64, "image": format!("data:image/jpeg;base64,{image}"),
    });
    write(site.path(), "snapshot.json", snapshot.to_string().as_bytes());

    let gateway = site.spawn(&["run", "-c", "gateway.toml"], "connected upstream");
    let receiver = site.spawn(&["watch", "-c", "gateway.toml", "--json", "--count", "4"], "connected to");
    send(&site, "junction/north/frame", "day.jpg");
    send(&site, "junction/webcam/frame", "webcam.jpg");
    send(&site, "junction/north/frame", "cut.jpg");
    send(&site, "junction/south/frame", "night.jpg");
    send(&site, "snapshots", "snapshot.json");
    let reported: Vec<Value> =
        receiver.output().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let of = |device: &str| {
        let verdict = |line: &&Value| line["device"] == device && line["judge"] == "vehicles";
        reported.iter().find(verdict).unwrap_or_else(|| panic!("{device} in {reported:#?}"))
    };
    for (device, frame) in [("north", &day), ("south", &night), ("esp32-7", &day)] {
        let verdict = of(device);
        let objects = verdict["detections"]["objects"].as_array().unwrap();
        assert!(objects.len() >= plain(&frame.truths), "{device}: {verdict:#}");
        assert!(
            objects.iter().all(|object| LABELS.contains(&object["label"].as_str().unwrap())),
            "{verdict:#}"
        );
        assert_eq!(verdict["model"]["name"], "junction");
        assert_eq!(
            (&verdict["detections"]["width"], &verdict["detections"]["height"]),
            (&640.into(), &480.into())
        );
    }
    assert_eq!(
        of("webcam")["detections"],
        of("north")["detections"],
        "the tables are those that were left out"
    );
    assert_eq!(of("esp32-7")["clock"], "skewed", "a claim of 2023 is passed on, not believed");
    assert_eq!(gateway.stop(), 0);
}

pub(crate) fn base64(bytes: &[u8]) -> String {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD.encode(bytes)
}

#[test]
fn the_library_reports_nothing_to_its_maker() {
    let runtime = verge_gateway::wiring::provide_runtime(&mut |step| eprintln!("{step}")).unwrap();
    let home = tempfile::tempdir().unwrap();
    command(home.path(), &["runtime", "show"])
        .env_remove("ORT_DISABLE_TELEMETRY")
        .env("ORT_DYLIB_PATH", std::path::absolute(runtime.path()).unwrap())
        .envs(["HOME", "XDG_CACHE_HOME", "TMPDIR"].map(|name| (name, home.path())))
        .status()
        .map(|status| assert!(status.success()))
        .unwrap();
    // Its identity of this machine, and what it wants to report, would stand there.
    assert_eq!(fs::read_dir(home.path()).unwrap().count(), 0);
}
