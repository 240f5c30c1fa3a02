//! Cameras as pages and the interface show them: what came from them, what is open about them, and, for those who may see
//! pictures, the newest one with what judges see in it. To ask for a picture begins or renews its lease.

use std::cmp::Reverse;
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use verge_domain::board::LastWord;
use verge_domain::frame::{Detection, PixelBox, SceneSketch, View};
use verge_domain::id::{DeviceId, JudgeId, SourceId};
use verge_domain::live::{
    CameraName, LiveCamera, LiveCameras, LivePicture, WatchError, WatchedCamera, interval_of,
};

use super::access::Who;
use super::problem::Problem;
use super::routes::segment;
use super::shown::Shown;
use super::site::Site;

/// Somebody who asks for a picture waits this long for the first.
const FIRST_PICTURE: Duration = Duration::from_secs(3);
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// A camera without its picture.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct CameraLine {
    pub(crate) source: String,
    pub(crate) device: String,
    /// Since its newest frame.
    pub(crate) age_ms: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) usual_gap_ms: Option<u64>,
    /// An age from which on the newest frame is old.
    pub(crate) stale_after_ms: u64,
    pub(crate) stale: bool,
    pub(crate) received: u64,
    pub(crate) judged: u64,
    /// Superseded by newer frames, or given up because they were too old.
    pub(crate) passed_over: u64,
    /// Events that are open about it.
    pub(crate) open: Vec<OpenAbout>,
}

/// An event that is open about a camera.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct OpenAbout {
    pub(crate) id: String,
    pub(crate) severity: &'static str,
    pub(crate) words: String,
}

/// The newest picture, and what is seen in it. Places are shares of its sides.
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
pub(crate) struct Sight {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) picture: Option<PictureFacts>,
    pub(crate) objects: Vec<SeenObject>,
    /// What is said of the whole picture.
    pub(crate) remarks: Vec<String>,
    pub(crate) lines: Vec<SeenLine>,
    pub(crate) zones: Vec<SeenZone>,
    /// When the interval that is counted now began (UTC ms).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) interval_since: Option<i64>,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct PictureFacts {
    /// Other with each picture.
    pub(crate) number: u64,
    /// UTC ms.
    pub(crate) received: i64,
    pub(crate) age_ms: u64,
    pub(crate) width: u32,
    pub(crate) height: u32,
    /// Masks hide parts of it.
    pub(crate) masked: bool,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct SeenObject {
    pub(crate) judge: String,
    pub(crate) label: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) score: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) track: Option<u64>,
    /// Left, top, width, height.
    pub(crate) area: [f64; 4],
    /// Where it has been lately, oldest first.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) trail: Vec<[f64; 2]>,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct SeenLine {
    pub(crate) judge: String,
    pub(crate) name: String,
    pub(crate) from: [f64; 2],
    pub(crate) to: [f64; 2],
    /// In the interval that is counted now.
    pub(crate) forward: u64,
    pub(crate) backward: u64,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct SeenZone {
    pub(crate) judge: String,
    pub(crate) name: String,
    pub(crate) corners: Vec<[f64; 2]>,
}

/// The names of a camera, as a path has them.
pub(crate) fn named(source: &str, device: &str) -> Result<CameraName, Problem> {
    let name = SourceId::new(source).ok().zip(DeviceId::new(device).ok());
    let (source, device) = name.ok_or_else(|| no_camera(source, device))?;
    Ok(CameraName { source, device })
}

fn no_camera(source: &str, device: &str) -> Problem {
    Problem::NoCamera(Shown::of(&format!("{source}/{device}")).text)
}

/// Its place in paths.
pub(crate) fn path_of(name: &CameraName) -> String {
    format!("{}/{}", segment(name.source.as_str()), segment(name.device.as_str()))
}

impl Site {
    /// Refuses who may not see pictures.
    pub(crate) fn shows_pictures(&self, who: &Who) -> Result<(), Problem> {
        let needed = self.settings.pictures.from_role().ok_or(Problem::PicturesOff)?;
        if who.role >= needed { Ok(()) } else { Err(Problem::Forbidden(needed)) }
    }

    /// All cameras, by their names.
    pub(crate) fn cameras(&self) -> Vec<LiveCamera> {
        self.live.cameras().map(LiveCameras::list).unwrap_or_default()
    }

    /// One that is known.
    pub(crate) fn camera(&self, name: &CameraName) -> Result<LiveCamera, Problem> {
        let known = self.live.cameras().and_then(|cameras| cameras.one(name));
        known.ok_or_else(|| no_camera(name.source.as_str(), name.device.as_str()))
    }

    /// Watches a camera.
    pub(crate) fn watch(&self, name: &CameraName) -> Result<WatchedCamera, Problem> {
        let cameras =
            self.live.cameras().ok_or_else(|| no_camera(name.source.as_str(), name.device.as_str()))?;
        cameras.watch(name).map_err(|error| match error {
            WatchError::Unknown => no_camera(name.source.as_str(), name.device.as_str()),
            WatchError::TooMany { limit } => Problem::TooManyWatched { limit },
        })
    }

    /// The newest picture. Where nobody has watched the camera, waits a little for its next frame.
    pub(crate) async fn first_picture(&self, name: &CameraName) -> Result<Option<Arc<LivePicture>>, Problem> {
        let until = tokio::time::Instant::now() + FIRST_PICTURE;
        loop {
            let picture = self.watch(name)?.picture;
            if picture.is_some() || tokio::time::Instant::now() >= until {
                return Ok(picture);
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    /// The events that are open, for the lines of several cameras.
    pub(crate) fn open_words(&self) -> Vec<Arc<LastWord>> {
        let mut open = self.live.board().words(&|word| word.open_event().is_some());
        open.sort_unstable_by_key(|word| Reverse(word.verdict.severity));
        open
    }

    /// A camera with what is open about it.
    pub(crate) fn camera_line(&self, camera: &LiveCamera, open: &[Arc<LastWord>]) -> CameraLine {
        let LiveCamera { name, age, course } = camera;
        let is_of = |word: &&Arc<LastWord>| {
            let subject = &word.verdict.subject;
            subject.source == name.source && subject.device == name.device
        };
        let open = open.iter().filter(is_of).filter_map(|word| {
            let (id, severity) = (word.open_event()?.id.to_string(), word.verdict.severity.as_str());
            Some(OpenAbout { id, severity, words: self.live.verdict_words(&word.verdict) })
        });
        let stale_after = course.stale_after();
        CameraLine {
            source: name.source.to_string(),
            device: name.device.to_string(),
            age_ms: millis(*age),
            usual_gap_ms: course.usual_gap.map(millis),
            stale_after_ms: millis(stale_after),
            stale: *age > stale_after,
            received: course.came,
            judged: course.taken,
            passed_over: course.passed_over,
            open: open.collect(),
        }
    }

    /// What is seen of a camera that is watched.
    pub(crate) fn sight(&self, watched: &WatchedCamera) -> Sight {
        let WatchedCamera { picture, scene } = watched;
        let now = self.live.now().mono;
        let mut sight = Sight { interval_since: interval_of(scene).map(|at| at.0), ..Sight::default() };
        for (judge, sketch) in scene.iter() {
            sight.add_sketch(judge, sketch);
        }
        let Some(picture) = picture else { return sight };
        for (judge, view) in &picture.frame.views {
            // What a judge follows is shown in place of what its model sees.
            if !scene.iter().any(|(follower, _)| follower == judge) {
                sight.add_view(judge, view);
            }
        }
        let LivePicture { number, frame, received, .. } = &**picture;
        sight.picture = Some(PictureFacts {
            number: *number,
            received: received.wall.0,
            age_ms: millis(now.since(received.mono)),
            width: frame.width,
            height: frame.height,
            masked: frame.masked,
        });
        sight
    }
}

pub(crate) fn millis(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}

/// As a tag that differs with each picture, also across restarts.
pub(crate) fn tag_of(picture: &LivePicture) -> String {
    format!("\"{}-{}\"", picture.received.wall.0, picture.number)
}

fn shares(area: PixelBox, (width, height): (u32, u32)) -> [f64; 4] {
    let (width, height) = (f64::from(width.max(1)), f64::from(height.max(1)));
    let [x, y] = [f64::from(area.x) / width, f64::from(area.y) / height];
    [x, y, f64::from(area.width) / width, f64::from(area.height) / height]
}

impl Sight {
    fn add_sketch(&mut self, judge: &JudgeId, sketch: &SceneSketch) {
        self.lines.extend(sketch.lines.iter().map(|line| SeenLine {
            judge: judge.to_string(),
            name: line.name.to_string(),
            from: line.from,
            to: line.to,
            forward: line.running[0],
            backward: line.running[1],
        }));
        self.zones.extend(sketch.zones.iter().map(|zone| SeenZone {
            judge: judge.to_string(),
            name: zone.name.to_string(),
            corners: zone.corners.clone(),
        }));
        self.objects.extend(sketch.tracks.iter().map(|track| SeenObject {
            judge: judge.to_string(),
            label: track.label.to_string(),
            score: None,
            track: Some(track.number),
            area: track.area,
            trail: track.trail.clone(),
        }));
    }

    fn add_view(&mut self, judge: &JudgeId, view: &View) {
        match view {
            View::Detections(seen) => {
                let object = |one: &Detection| SeenObject {
                    judge: judge.to_string(),
                    label: one.label.to_string(),
                    score: Some(one.score.as_f64()),
                    track: one.track,
                    area: shares(one.area, (seen.width, seen.height)),
                    trail: Vec::new(),
                };
                self.objects.extend(seen.objects.iter().map(object));
            }
            View::Classification(seen) => {
                let labels = seen.labels.iter();
                let remark = |one: &verge_domain::frame::Scored| {
                    format!("{judge}: {} {:.2}", one.label, one.score.as_f64())
                };
                self.remarks.extend(labels.map(remark));
            }
            View::Reconstruction(error) => self.remarks.push(format!("{judge}: error {error:.3e}")),
            View::Appearance(seen) => {
                self.remarks.push(format!("{judge}: score {:.3}", seen.score));
                let regions = &seen.regions;
                self.objects.extend(regions.boxes.iter().map(|one| SeenObject {
                    judge: judge.to_string(),
                    label: "unusual".to_owned(),
                    score: Some(one.peak),
                    track: None,
                    area: shares(one.area, (regions.width, regions.height)),
                    trail: Vec::new(),
                }));
            }
            // Nothing moves, and nothing was there before.
            View::Still => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_name_is_one_part_of_a_path() {
        let name = named("s", "a/b c%\u{202e}<ü").unwrap();
        assert_eq!(path_of(&name), "s/a%2Fb%20c%25%E2%80%AE%3C%C3%BC");
        assert_eq!(named("", "x").unwrap_err(), Problem::NoCamera("/x".to_owned()));
    }
}
