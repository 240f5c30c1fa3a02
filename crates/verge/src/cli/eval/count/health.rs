//! Whether the camera saw, by what the pictures say of it: when it was blind, and what moved that nothing explains.

use serde_json::{Value, json};
use verge_anomaly::camera::{CameraCauses, UnexplainedMotion};
use verge_domain::finding::Member;
use verge_domain::frame::CameraLook;
use verge_scene::{FrameSize, Scene};

use super::files::Frame;

/// What was wrong with the camera, from when to when.
#[derive(Debug, Default)]
pub(super) struct CameraHealth {
    found: Vec<HealthSpan>,
    motion: UnexplainedMotion,
}

#[derive(Debug)]
struct HealthSpan {
    cause: Member,
    from: f64,
    to: Option<f64>,
}

impl CameraHealth {
    /// Of all frames, by what they say of the camera.
    pub(super) fn of(frames: &[Frame], looks: &[CameraLook]) -> Self {
        let (mut causes, mut health) = (CameraCauses::default(), Self::default());
        for (frame, look) in frames.iter().zip(looks) {
            causes.look(look, frame.moment(), 1.0);
            for cause in Member::OF_CAMERAS {
                health.note(cause, causes.is_found(cause), causes.since(cause), frame.at);
            }
        }
        health
    }

    fn note(&mut self, cause: Member, is_found: bool, since: f64, at: f64) {
        let open = self.found.iter_mut().find(|span| span.cause == cause && span.to.is_none());
        match (open, is_found) {
            (Some(span), false) => span.to = Some(at),
            (None, true) => self.found.push(HealthSpan { cause, from: since, to: None }),
            (Some(_), true) | (None, false) => {}
        }
    }

    /// Whether the camera saw nothing then.
    pub(super) fn is_blind(&self, at: f64) -> bool {
        let holds = |span: &&HealthSpan| span.from <= at && span.to.is_none_or(|to| at < to);
        self.found.iter().filter(holds).any(|span| CameraCauses::BLINDING.contains(&span.cause))
    }

    /// Holds what moves in a frame against what is followed there.
    pub(super) fn follow(&mut self, look: &CameraLook, scene: &Scene, size: FrameSize, frame: &Frame) {
        self.motion.look(&look.motion.blobs, scene, size, frame.moment().mono);
        self.note(Member::UnexplainedMotion, self.motion.is_found(), frame.at, frame.at);
    }

    pub(super) fn json(&self) -> Value {
        let mut spans: Vec<&HealthSpan> = self.found.iter().collect();
        spans.sort_by(|a, b| a.from.total_cmp(&b.from));
        spans
            .into_iter()
            .map(|span| json!({ "cause": span.cause.as_str(), "from": span.from, "to": span.to }))
            .collect()
    }

    /// In words, a line each.
    pub(super) fn words(&self) -> Vec<String> {
        let line = |span: &HealthSpan| {
            let to = span.to.map_or_else(|| "to the end".to_owned(), |to| format!("to {to:.1}"));
            format!("{} from {:.1} {to}", span.cause, span.from)
        };
        self.found.iter().map(line).collect()
    }
}
