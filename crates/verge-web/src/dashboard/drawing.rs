//! Drawings as programs and forms write them.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::json;
use verge_domain::live::{
    CameraName, Drawing, DrawingError, DrawingTrial, DrawnJudge, DrawnLine, DrawnMask, DrawnZone,
    LiveDrawings,
};

use super::access::Who;
use super::actions::ActionWord;
use super::problem::{InputFault, Problem};
use super::shown::Shown;
use super::site::Site;

/// A drawing in JSON.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct DrawingDocument {
    pub(crate) judges: Vec<JudgeDocument>,
    #[serde(default)]
    pub(crate) masks: Vec<MaskDocument>,
}

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct JudgeDocument {
    pub(crate) judge: String,
    #[serde(default)]
    pub(crate) lines: Vec<LineDocument>,
    #[serde(default)]
    pub(crate) zones: Vec<ZoneDocument>,
    /// Not read.
    #[serde(default)]
    pub(crate) also: Vec<String>,
    /// Not read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) drawn: Option<ByDocument>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ByDocument {
    pub(crate) by: String,
    pub(crate) at: String,
}

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct LineDocument {
    pub(crate) name: String,
    pub(crate) from: [f64; 2],
    pub(crate) to: [f64; 2],
}

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ZoneDocument {
    pub(crate) name: String,
    pub(crate) polygon: Vec<[f64; 2]>,
}

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct MaskDocument {
    pub(crate) name: String,
    pub(crate) polygon: Vec<[f64; 2]>,
    /// It stands in the file, and stays. Not read.
    #[serde(default)]
    pub(crate) fixed: bool,
}

impl From<Drawing> for DrawingDocument {
    fn from(drawing: Drawing) -> Self {
        let line = |line: DrawnLine| LineDocument { name: line.name, from: line.ends[0], to: line.ends[1] };
        let zone = |zone: DrawnZone| ZoneDocument { name: zone.name, polygon: zone.corners };
        let judge = |judge: DrawnJudge| JudgeDocument {
            judge: judge.judge,
            lines: judge.lines.into_iter().map(line).collect(),
            zones: judge.zones.into_iter().map(zone).collect(),
            also: judge.also,
            drawn: judge.drawn.map(|drawn| ByDocument { by: drawn.by, at: drawn.at }),
        };
        let mask =
            |mask: DrawnMask| MaskDocument { name: mask.name, polygon: mask.corners, fixed: mask.fixed };
        Self {
            judges: drawing.judges.into_iter().map(judge).collect(),
            masks: drawing.masks.into_iter().map(mask).collect(),
        }
    }
}

impl From<&DrawingDocument> for Drawing {
    fn from(document: &DrawingDocument) -> Self {
        let line = |line: &LineDocument| DrawnLine { name: line.name.clone(), ends: [line.from, line.to] };
        let zone = |zone: &ZoneDocument| DrawnZone { name: zone.name.clone(), corners: zone.polygon.clone() };
        let judge = |judge: &JudgeDocument| DrawnJudge {
            judge: judge.judge.clone(),
            lines: judge.lines.iter().map(line).collect(),
            zones: judge.zones.iter().map(zone).collect(),
            also: Vec::new(),
            drawn: None,
        };
        let mask = |mask: &MaskDocument| DrawnMask {
            name: mask.name.clone(),
            corners: mask.polygon.clone(),
            fixed: mask.fixed,
        };
        Self {
            judges: document.judges.iter().map(judge).collect(),
            masks: document.masks.iter().map(mask).collect(),
        }
    }
}

/// What lines and zones would have counted, in JSON.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct TrialDocument {
    /// UTC ms.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) since: Option<i64>,
    pub(crate) tracks: usize,
    pub(crate) lines: Vec<TriedLine>,
    pub(crate) zones: Vec<TriedZone>,
}

#[derive(Debug, Clone, Serialize)]
pub(crate) struct TriedLine {
    pub(crate) judge: String,
    pub(crate) name: String,
    pub(crate) forward: u64,
    pub(crate) backward: u64,
}

#[derive(Debug, Clone, Serialize)]
pub(crate) struct TriedZone {
    pub(crate) judge: String,
    pub(crate) name: String,
    pub(crate) objects: u64,
}

impl From<DrawingTrial> for TrialDocument {
    fn from(trial: DrawingTrial) -> Self {
        let line = |(judge, name, [forward, backward]): (String, String, [u64; 2])| TriedLine {
            judge,
            name,
            forward,
            backward,
        };
        let zone = |(judge, name, objects): (String, String, u64)| TriedZone { judge, name, objects };
        Self {
            since: trial.since.map(|at| at.0),
            tracks: trial.tracks,
            lines: trial.lines.into_iter().map(line).collect(),
            zones: trial.zones.into_iter().map(zone).collect(),
        }
    }
}

impl From<DrawingError> for Problem {
    fn from(error: DrawingError) -> Self {
        match error {
            DrawingError::Unknown(camera) => Self::NoCamera(Shown::of(&camera).text),
            DrawingError::Changed => Self::Changed(None),
            DrawingError::Faulty(faults) => {
                Self::Faults(faults.iter().map(|fault| in_words(fault)).collect())
            }
            error @ (DrawingError::NoVersion | DrawingError::NotAtWork) => {
                Self::CommandConflict(shown(&error.to_string()))
            }
            DrawingError::Failed(why) => Self::NotTakenUp(shown(&why)),
        }
    }
}

/// A sentence that says which of what is drawn, what it has and what is expected.
fn in_words(fault: &str) -> InputFault {
    InputFault { pointer: String::new(), value: None, expected: shown(fault) }
}

fn shown(text: &str) -> String {
    Shown::sentence(text).text
}

impl Site {
    /// Changes what is drawn before a camera and records that, whether or not the client waits for it.
    pub(crate) async fn draws(
        self: &Arc<Self>,
        who: &Who,
        action: ActionWord,
        camera: &CameraName,
        what: impl FnOnce(&dyn LiveDrawings, &CameraName) -> Result<(), DrawingError> + Send + 'static,
    ) -> Result<(), Problem> {
        let (site, user, camera) = (Arc::clone(self), who.user.clone(), camera.clone());
        let recorded = tokio::spawn(async move {
            site.drawings(&camera, what).await?;
            let about = json!({ "source": camera.source.as_str(), "device": camera.device.as_str() });
            site.record(&user, action, about).await;
            Ok(())
        });
        recorded.await.map_err(|_| Problem::Unavailable("drawing failed"))?
    }

    /// Lets something be done with drawings, apart from what must not wait.
    pub(crate) async fn drawings<T: Send + 'static>(
        self: &Arc<Self>,
        name: &CameraName,
        what: impl FnOnce(&dyn LiveDrawings, &CameraName) -> Result<T, DrawingError> + Send + 'static,
    ) -> Result<T, Problem> {
        self.camera(name)?;
        let (site, name) = (Arc::clone(self), name.clone());
        let done = tokio::task::spawn_blocking(move || {
            let unknown = || DrawingError::Unknown(format!("{}/{}", name.source, name.device));
            let drawings = site.live.drawings().ok_or_else(unknown)?;
            what(drawings, &name)
        });
        Ok(done.await.map_err(|_| Problem::Unavailable("reading what is drawn failed"))??)
    }
}
