//! Lines, zones and masks that people draw: stored beside the configuration's file, and taken up as by `verge reload`.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use verge_anomaly::JudgeSettings;
use verge_domain::id::PlaceId;
use verge_domain::live::{
    CameraName, Drawing, DrawingError, DrawingTrial, DrawnJudge, LiveCameras, LiveDrawings, TaggedDrawing,
    WatchError,
};
use verge_domain::observation::Camera;
use verge_domain::reading::SourceIndex;
use verge_pipeline::clock::Clock;
use verge_pipeline::frames::TrackPoint;
use verge_scene::settings::{MAX_LINES, MAX_ZONES, check_polygon};
use verge_scene::{FrameSize, SceneLine, SceneTrial};

use super::cameras::CameraView;
use super::judges::inputs_of;
use crate::drawings::{DrawnFile, TakeUp, anchor_of, drawing_of, failed, redrawn};
use crate::reload::ReloadDesk;
use crate::settings::Settings;

/// Where people draw.
pub(super) struct DrawingBoard {
    /// The configuration's file.
    configuration: PathBuf,
    file: DrawnFile,
    take_up: TakeUp,
    cameras: Arc<CameraView>,
    clock: Clock,
    /// One at a time changes what is drawn.
    changing: Mutex<()>,
    /// One at a time reads files.
    reading: Mutex<()>,
}

/// What a drawing rests on.
struct Ground {
    settings: Settings,
    camera: Camera,
    present: TaggedDrawing,
    text: String,
}

impl DrawingBoard {
    pub(super) fn of(
        settings: &Settings,
        cameras: Arc<CameraView>,
        clock: Clock,
        desk: Arc<ReloadDesk>,
    ) -> Self {
        let configuration = PathBuf::from(settings.origins.file());
        let file = DrawnFile::of(&settings.gateway.state_dir);
        Self {
            take_up: TakeUp::new(configuration.clone(), file.clone(), desk),
            configuration,
            file,
            cameras,
            clock,
            changing: Mutex::default(),
            reading: Mutex::default(),
        }
    }

    fn ground(&self, name: &CameraName) -> Result<Ground, DrawingError> {
        self.cameras.one(name).ok_or_else(|| unknown(name))?;
        let _one = self.reading.lock().unwrap_or_else(PoisonError::into_inner);
        let read = |error: &dyn std::fmt::Display| failed("the configuration cannot be read", error);
        let text = self.file.read().map_err(|error| failed("what is drawn cannot be read", error))?;
        let settings =
            Settings::load(&self.configuration, std::env::vars_os()).map_err(|error| read(&error))?;
        let file = std::fs::read(&self.configuration).map_err(|error| read(&error))?;
        let mut tag = DefaultHasher::new();
        (&text, file).hash(&mut tag);
        let camera = camera_of(&settings, name).ok_or_else(|| unknown(name))?;
        let judges = settings.judges.iter().filter(|judge| {
            judge.frames().is_some_and(|rules| matches!(rules.rule, JudgeSettings::Track(_)))
        });
        let others: Vec<CameraName> = self.cameras.list().into_iter().map(|one| one.name).collect();
        let judges = judges.filter_map(|judge| {
            let inputs = inputs_of(&settings, judge, None);
            inputs.takes_camera(&camera).then(|| {
                let also = others.iter().filter(|other| {
                    *other != name
                        && camera_of(&settings, other).is_some_and(|camera| inputs.takes_camera(&camera))
                });
                (
                    judge.name.to_string(),
                    also.map(|other| format!("{}/{}", other.source, other.device)).collect(),
                )
            })
        });
        let drawing = drawing_of(&settings, name, judges);
        let can_undo = self.file.before().is_ok_and(|before| before.is_some());
        let present = TaggedDrawing { drawing, tag: format!("{:016x}", tag.finish()), can_undo };
        Ok(Ground { settings, camera, present, text })
    }
}

fn unknown(name: &CameraName) -> DrawingError {
    DrawingError::Unknown(format!("{}/{}", name.source, name.device))
}

fn camera_of(settings: &Settings, name: &CameraName) -> Option<Camera> {
    let source = settings.sources.iter().position(|source| source.name == name.source)?;
    Some(Camera { source: SourceIndex(u16::try_from(source).ok()?), device: name.device.clone() })
}

impl LiveDrawings for DrawingBoard {
    fn drawing(&self, camera: &CameraName) -> Result<TaggedDrawing, DrawingError> {
        self.ground(camera).map(|ground| ground.present)
    }

    fn try_out(&self, name: &CameraName, drawing: &Drawing) -> Result<DrawingTrial, DrawingError> {
        let Ground { settings, camera, present, .. } = self.ground(name)?;
        let watched = self.cameras.watch(name).map_err(|error| match error {
            WatchError::Unknown => unknown(name),
            full @ WatchError::TooMany { .. } => DrawingError::Failed(full.to_string()),
        })?;
        check_judges(drawing, &present.drawing)?;
        let frame = watched.picture.map_or(FrameSize { width: 1920, height: 1080 }, |picture| FrameSize {
            width: picture.frame.width,
            height: picture.frame.height,
        });
        let Some(tracks) = self.cameras.tracks(&camera) else { return Ok(DrawingTrial::default()) };
        let mut trial = DrawingTrial { since: Some(tracks.since()), ..DrawingTrial::default() };
        for judge in &drawing.judges {
            let (lines, zones) = places(&settings, judge)?;
            let mut scene = SceneTrial::new(frame, &lines, &zones);
            let position = tracks.judges().iter().position(|known| known.as_str() == judge.judge);
            let own = |point: &&TrackPoint| position == Some(usize::from(point.judge));
            for point in tracks.points().filter(own) {
                scene.see(point.track, point.at.0 as f64 / 1e6, point.area.map(f64::from));
            }
            trial.tracks += scene.tracks();
            let counted = lines.iter().zip(scene.counts());
            trial
                .lines
                .extend(counted.map(|(line, counts)| (judge.judge.clone(), line.name.to_string(), *counts)));
            let within = judge.zones.iter().zip(scene.within());
            trial.zones.extend(within.map(|(zone, count)| (judge.judge.clone(), zone.name.clone(), *count)));
        }
        Ok(trial)
    }

    fn draw(
        &self,
        camera: &CameraName,
        drawing: &Drawing,
        rests_on: &str,
        by: &str,
    ) -> Result<(), DrawingError> {
        let _one = self.changing.lock().unwrap_or_else(PoisonError::into_inner);
        let Ground { settings, present, text, .. } = self.ground(camera)?;
        if present.tag != rests_on {
            return Err(DrawingError::Changed);
        }
        check_judges(drawing, &present.drawing)?;
        for judge in &drawing.judges {
            places(&settings, judge)?;
        }
        let at = verge_wire::to_rfc3339(self.clock.now().wall);
        let next = redrawn(&text, &settings, (camera, drawing, &present.drawing), (by, &at));
        self.take_up.take_up(&next.map_err(DrawingError::Faulty)?, by)?;
        tracing::info!(by, source = %camera.source, device = %camera.device, "lines, zones and masks were drawn");
        Ok(())
    }

    fn undo(&self, camera: &CameraName, rests_on: &str, by: &str) -> Result<(), DrawingError> {
        let _one = self.changing.lock().unwrap_or_else(PoisonError::into_inner);
        if self.ground(camera)?.present.tag != rests_on {
            return Err(DrawingError::Changed);
        }
        let before =
            self.file.before().map_err(|error| failed("the version before cannot be read", error))?;
        self.take_up.take_up(&before.ok_or(DrawingError::NoVersion)?, by)?;
        tracing::info!(by, "went back to the version before of what is drawn");
        Ok(())
    }
}

/// Refuses judges that do not count here, and one that is there twice.
fn check_judges(drawing: &Drawing, present: &Drawing) -> Result<(), DrawingError> {
    let faults = unknown_judges(drawing, present);
    if faults.is_empty() { Ok(()) } else { Err(DrawingError::Faulty(faults)) }
}

fn unknown_judges(drawing: &Drawing, present: &Drawing) -> Vec<String> {
    let names: Vec<&str> = drawing.judges.iter().map(|judge| judge.judge.as_str()).collect();
    let is_known = |name: &str| present.judges.iter().any(|judge| judge.judge == name);
    let numbered = names.iter().enumerate();
    let unfit = numbered.filter(|(at, name)| !is_known(name) || names[..*at].contains(name));
    unfit
        .map(|(_, name)| format!("judge {name:?} does not count before this camera, or is there twice"))
        .collect()
}

/// Lines, and zones by their corners.
type Places = (Vec<SceneLine>, Vec<Vec<[f64; 2]>>);

/// Lines and zones that can be counted.
fn places(settings: &Settings, judge: &DrawnJudge) -> Result<Places, DrawingError> {
    let (mut faults, mut lines) = (Vec::new(), Vec::new());
    for (what, found, most) in
        [("lines", judge.lines.len(), MAX_LINES), ("zones", judge.zones.len(), MAX_ZONES)]
    {
        if found > most {
            return Err(DrawingError::Faulty(vec![format!(
                "{found} {what} of {}; expected at most {most}",
                judge.judge
            )]));
        }
    }
    for line in &judge.lines {
        let [from, to] = line.ends;
        let name = PlaceId::new(&line.name).map_err(|error| error.to_string());
        let anchor = anchor_of(settings, &judge.judge, &line.name);
        let placed = name.map(|name| SceneLine { name, from, to, anchor });
        match placed.and_then(|line| line.check().map(|()| line).map_err(|error| error.to_string())) {
            Ok(line) => lines.push(line),
            Err(error) => faults.push(format!("line {:?} of {}: {error}", line.name, judge.judge)),
        }
    }
    for zone in &judge.zones {
        if let Err(error) = check_polygon(&zone.corners) {
            faults.push(format!("zone {:?} of {}: {error}", zone.name, judge.judge));
        }
    }
    let zones = judge.zones.iter().map(|zone| zone.corners.clone()).collect();
    if faults.is_empty() { Ok((lines, zones)) } else { Err(DrawingError::Faulty(faults)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_judge_is_drawn_once_and_only_where_it_counts() {
        let drawing = |names: &[&str]| {
            let judge = |name: &&str| DrawnJudge { judge: (*name).to_owned(), ..DrawnJudge::default() };
            Drawing { judges: names.iter().map(judge).collect(), ..Drawing::default() }
        };
        let present = drawing(&["a", "b"]);
        assert_eq!(check_judges(&drawing(&["b"]), &present), Ok(()));
        for names in [&["a", "a"], &["a", "c"]] {
            let Err(DrawingError::Faulty(faults)) = check_judges(&drawing(names), &present) else {
                panic!("{names:?} are taken")
            };
            assert_eq!(faults.len(), 1, "{faults:?}");
        }
    }
}
