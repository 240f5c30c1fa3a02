//! A picture of what was just looked at, as it is sent.

use verge_domain::frame::{FrameSnapshot, SnapshotError, SnapshotOrder};
use verge_domain::id::{JudgeId, JudgeIndex};
use verge_domain::observation::Camera;
use verge_domain::stage::Seen;

use crate::annotate::{AnnotatedShape, Encoded, SizeError, encode_within, shapes_of};
use crate::mask::{PrivacyMask, SourceMasks, masks_of};
use crate::picture::Picture;

/// What is drawn of a judge beside its views.
#[derive(Debug, Clone, PartialEq)]
pub struct JudgeDrawing {
    /// Its name.
    pub name: JudgeId,
    /// What stands in every picture: its lines and zones.
    pub shapes: Vec<AnnotatedShape>,
}

/// Makes the picture of a frame that was looked at.
pub(crate) fn take(
    (picture, camera, seen): (&Picture, &Camera, &Seen),
    masks: &SourceMasks,
    (drawings, heat): (&[Option<JudgeDrawing>], impl Fn(JudgeIndex) -> Option<AnnotatedShape>),
    order: &SnapshotOrder,
) -> Result<FrameSnapshot, SnapshotError> {
    let drawing = |judge: JudgeIndex| drawings.get(judge.position()).and_then(Option::as_ref);
    let views = seen.views.iter().filter_map(|(judge, view)| Some((*judge, drawing(*judge)?, view)));
    let views: Vec<_> = views.collect();
    if let Some(judge) = &order.judge
        && !views.iter().any(|(_, drawing, _)| drawing.name == *judge)
    {
        let known = views.iter().map(|(_, drawing, _)| drawing.name.to_string()).collect();
        return Err(SnapshotError::UnknownJudge { judge: judge.clone(), known });
    }
    let mut shapes = Vec::new();
    if order.annotate {
        shapes.extend(masks_of(masks, camera).map(PrivacyMask::to_shape));
        let is_meant =
            |drawing: &JudgeDrawing| order.judge.as_ref().is_none_or(|judge| drawing.name == *judge);
        for (judge, drawing, view) in views.into_iter().filter(|(_, drawing, _)| is_meant(drawing)) {
            shapes.extend(heat(judge));
            shapes.extend(drawing.shapes.iter().cloned());
            shapes.extend(shapes_of(view));
        }
    }
    match encode_within(picture, &shapes, order.max_bytes) {
        Ok(Encoded { jpeg, width, height }) => Ok(FrameSnapshot { jpeg, width, height }),
        Err(SizeError::TooLarge { bytes, width, limit }) => {
            Err(SnapshotError::TooLarge { bytes, width, limit })
        }
        Err(SizeError::Encoding(_)) => {
            Err(SnapshotError::TooWide { width: picture.width(), height: picture.height() })
        }
    }
}
