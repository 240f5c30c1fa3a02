use std::path::PathBuf;

use tempfile::TempDir;
use verge_domain::id::{DeviceId, SourceId};

use super::*;
use crate::config::DRAWN_FILE;

const FILE: &str = r#"
[gateway]
id = "north-1"
state_dir = "state"
[local]
url = "mqtt://localhost:1883"
[model.vehicles]
file = "vehicles.onnx"
[source.road]
topic = "road/+/frame"
codec = "jpeg"
device = "topic:1"
[source.road.mask.window]
polygon = [[0, 0], [0.5, 0], [0.5, 0.25]]
[judge.crossing]
inputs = ["road"]
detector = "track"
model = "vehicles"
[judge.crossing.line.stop]
from = [0.1, 0.5]
to = [0.9, 0.5]
anchor = "centre"
[judge.crossing.line.old]
from = [0.1, 0.7]
to = [0.9, 0.7]
[judge.crossing.zone.box]
polygon = [[0.1, 0.1], [0.4, 0.1], [0.4, 0.4]]
stopped_after = "30s"
[judge.cars]
inputs = ["road"]
detector = "detect"
model = "vehicles"
"#;

struct Site {
    folder: TempDir,
}

impl Site {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("state")).unwrap();
        let site = Self { folder };
        std::fs::write(site.file(), FILE).unwrap();
        site
    }

    fn file(&self) -> PathBuf {
        self.folder.path().join("gateway.toml")
    }

    fn drawn(&self) -> PathBuf {
        self.folder.path().join("state").join(DRAWN_FILE)
    }

    fn load(&self) -> Settings {
        Settings::load(&self.file(), []).unwrap_or_else(|error| panic!("{error}"))
    }

    fn drawing(&self) -> Drawing {
        drawing_of(&self.load(), &north(), [("crossing".to_owned(), Vec::new())].into_iter())
    }

    fn draw(&self, drawing: &Drawing) -> Result<(), Vec<String>> {
        let before = std::fs::read_to_string(self.drawn()).unwrap_or_default();
        let of = (&north(), drawing, &self.drawing());
        let text = redrawn(&before, &self.load(), of, ("anna", "2026-11-30T07:12:00.000Z"))?;
        std::fs::write(self.drawn(), text).unwrap();
        Ok(())
    }
}

fn north() -> CameraName {
    CameraName { source: SourceId::new("road").unwrap(), device: DeviceId::new("no\"rth*").unwrap() }
}

#[test]
fn what_is_drawn_takes_the_place_of_the_files_lines_and_keeps_what_is_not_drawn() {
    let site = Site::new();
    let mut drawing = site.drawing();
    let judge = &drawing.judges[0];
    assert_eq!((judge.lines.len(), judge.zones.len(), &judge.drawn), (2, 1, &None));
    assert_eq!((drawing.masks.len(), drawing.masks[0].fixed), (1, true));
    drawing.judges[0].lines.retain(|line| line.name != "old");
    drawing.judges[0].lines[0].ends = [[0.2, 0.55555555], [0.8, 1.0]];
    drawing.judges[0].lines.push(DrawnLine { name: "new".to_owned(), ends: [[0.0, 0.0], [1.0, 1.0]] });
    drawing.judges[0].zones[0].corners[0] = [0.0, 0.0];
    site.draw(&drawing).unwrap();

    let again = site.drawing();
    let judge = &again.judges[0];
    assert_eq!(judge.lines.iter().map(|line| line.name.as_str()).collect::<Vec<_>>(), ["new", "stop"]);
    assert_eq!(judge.lines[1].ends, [[0.2, 0.55556], [0.8, 1.0]]);
    let by = DrawnBy { by: "anna".to_owned(), at: "2026-11-30T07:12:00.000Z".to_owned() };
    assert_eq!(judge.drawn, Some(by));
    let settings = site.load();
    let values = &settings.section("judge", "crossing").unwrap().values;
    assert_eq!(values["line.stop.anchor"], "\"centre\"");
    assert_eq!(values["zone.box.stopped_after"], "\"30s\"");
    let [drawn] = &settings.drawn[..] else { panic!("{:?}", settings.drawn) };
    assert_eq!(
        drawn.keys,
        ["judge.crossing.line.stop", "judge.crossing.line.new", "judge.crossing.zone.box"]
    );
    let place = settings.origins.describe("judge.crossing.line.new.from").unwrap();
    assert!(place.ends_with("state/drawn.toml, drawn by anna at 2026-11-30T07:12:00.000Z"), "{place}");
    // The environment stands above both.
    let variable = ("VERGE__JUDGE__CROSSING__LINE__STOP__ANCHOR".into(), "bottom".into());
    let over = Settings::load(&site.file(), [variable]).unwrap();
    assert_eq!(over.section("judge", "crossing").unwrap().values["line.stop.anchor"], "\"bottom\"");
}

#[test]
fn a_drawn_mask_comes_beside_those_of_the_file_which_stay() {
    let site = Site::new();
    let mut drawing = site.drawing();
    drawing.masks.clear();
    let corners = vec![[0.5, 0.5], [1.0, 0.5], [1.0, 1.0]];
    drawing.masks.push(DrawnMask { name: "door".to_owned(), corners: corners.clone(), fixed: false });
    site.draw(&drawing).unwrap();
    let again = site.drawing();
    let masks: Vec<(&str, bool)> = again.masks.iter().map(|mask| (mask.name.as_str(), mask.fixed)).collect();
    assert_eq!(masks, [("door", false), ("window", true)], "what the file hides stays hidden");
    assert_eq!(again.masks[0].corners, corners);
    // It is one of this camera alone.
    let south = CameraName { device: DeviceId::new("south").unwrap(), ..north() };
    let of_south = drawing_of(&site.load(), &south, std::iter::empty());
    assert_eq!(of_south.masks.len(), 1);
    drawing.masks[0].name = "window".to_owned();
    assert_eq!(site.draw(&drawing).unwrap_err().len(), 1);
    drawing.masks.clear();
    site.draw(&drawing).unwrap();
    assert_eq!(site.drawing().masks.len(), 1);
}

#[test]
fn a_mask_of_the_file_takes_no_drawn_one_of_the_same_name_away() {
    let site = Site::new();
    let mut drawing = site.drawing();
    let corners = vec![[0.0, 0.5], [1.0, 0.5], [1.0, 1.0]];
    let door = "door.1";
    drawing.masks.push(DrawnMask { name: door.to_owned(), corners, fixed: false });
    site.draw(&drawing).unwrap();
    let again = site.drawing();
    assert!(again.masks.iter().any(|mask| mask.name == door && !mask.fixed), "{again:?}");
    let of_file = |corner: &str| {
        format!(
            "{FILE}\n[source.road.mask.\"door.1\"]\ndevices = [\"no\\\"rth*\"]\npolygon = [[0, 0.5], [1, 0.5], {corner}]\n"
        )
    };
    std::fs::write(site.file(), of_file("[0.9, 1.0]")).unwrap();
    let error = Settings::load(&site.file(), []).unwrap_err().to_string();
    assert!(error.contains("another name: a mask that was drawn has this one"), "{error}");
    // As `verge config drawn` prints it, for the file.
    std::fs::write(site.file(), of_file("[1, 1]")).unwrap();
    assert!(site.drawing().masks.iter().any(|mask| mask.name == door && mask.fixed));
}

#[test]
fn the_anchor_of_a_line_is_that_of_the_configuration() {
    let settings = Site::new().load();
    assert_eq!(anchor_of(&settings, "crossing", "stop"), Anchor::Centre);
    assert_eq!(anchor_of(&settings, "crossing", "old"), Anchor::Bottom);
    assert_eq!(anchor_of(&settings, "crossing", "new"), Anchor::Bottom);
}

#[test]
fn what_cannot_be_is_refused_with_every_fault() {
    let site = Site::new();
    let mut drawing = site.drawing();
    drawing.judges[0].lines[1].name = "old".to_owned();
    drawing.judges[0].zones[0].name.clear();
    drawing.judges.push(DrawnJudge { judge: "cars".to_owned(), ..DrawnJudge::default() });
    let faults = site.draw(&drawing).unwrap_err();
    assert_eq!(faults.len(), 3, "{faults:?}");
    assert!(!site.drawn().exists());
}

#[test]
fn a_drawing_of_what_is_not_there_any_more_has_no_effect_and_is_reported() {
    let site = Site::new();
    let mut drawing = site.drawing();
    drawing.judges[0].lines.clear();
    site.draw(&drawing).unwrap();
    assert!(site.drawing().judges[0].lines.is_empty());
    std::fs::write(site.file(), FILE.replace("judge.crossing", "judge.other")).unwrap();
    let settings = site.load();
    let remark =
        settings.warnings.iter().map(ToString::to_string).find(|remark| remark.contains("judge.crossing"));
    assert!(
        remark.is_some_and(|remark| remark.contains("the drawing has no effect")),
        "{:?}",
        settings.warnings
    );
    // One that is there and cannot be read is not passed over either: here it leads nowhere.
    std::fs::remove_file(site.drawn()).unwrap();
    std::os::unix::fs::symlink("nowhere", site.drawn()).unwrap();
    let error = Settings::load(&site.file(), []).unwrap_err().to_string();
    assert!(error.contains("drawn.toml"), "{error}");
    std::fs::remove_file(site.drawn()).unwrap();
    // A file that is damaged may have held masks: it is not passed over.
    std::fs::write(site.drawn(), "[judge.").unwrap();
    let error = Settings::load(&site.file(), []).unwrap_err().to_string();
    assert!(error.contains("drawn.toml") && error.contains("drawn.toml.1"), "{error}");
}
