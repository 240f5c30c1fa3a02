//! A picture of what was just looked at, as it is sent.

use verge_domain::frame::{FrameSnapshot, SnapshotError, SnapshotOrder, View};
use verge_domain::id::JudgeId;
use verge_domain::observation::Camera;

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

/// A judge that looks at a frame, and what it saw in it.
pub(crate) struct JudgeSight<'a> {
    pub(crate) drawing: &'a JudgeDrawing,
    /// `None` where its gate was closed: the picture is as the ones before.
    pub(crate) view: Option<&'a View>,
    pub(crate) heat: Option<AnnotatedShape>,
}

/// Makes the picture of a frame that was looked at.
pub(crate) fn take(
    (picture, camera): (&Picture, &Camera),
    masks: &SourceMasks,
    sights: &[JudgeSight<'_>],
    order: &SnapshotOrder,
) -> Result<FrameSnapshot, SnapshotError> {
    if let Some(judge) = &order.judge
        && !sights.iter().any(|sight| sight.drawing.name == *judge)
    {
        let known = sights.iter().map(|sight| sight.drawing.name.to_string()).collect();
        return Err(SnapshotError::UnknownJudge { judge: judge.clone(), known });
    }
    let mut shapes = Vec::new();
    if order.annotate {
        shapes.extend(masks_of(masks, camera).map(PrivacyMask::to_shape));
        let is_meant =
            |sight: &&JudgeSight<'_>| order.judge.as_ref().is_none_or(|judge| sight.drawing.name == *judge);
        for JudgeSight { drawing, view, heat } in sights.iter().filter(is_meant) {
            shapes.extend(heat.iter().chain(&drawing.shapes).cloned());
            shapes.extend(view.iter().flat_map(|view| shapes_of(view)));
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

#[cfg(test)]
mod tests {
    use verge_domain::id::{DeviceId, SourceId};
    use verge_domain::reading::SourceIndex;

    use super::*;

    #[test]
    fn a_judge_whose_gate_is_closed_is_known_and_another_is_not() {
        let picture = Picture::from_rgb(64, 48, vec![90; 64 * 48 * 3]);
        let camera = Camera { source: SourceIndex(0), device: DeviceId::new("north").unwrap() };
        let drawing = JudgeDrawing { name: JudgeId::new("cars").unwrap(), shapes: Vec::new() };
        let taken = |judge: &str| {
            let order = SnapshotOrder {
                source: SourceId::new("cameras").unwrap(),
                device: camera.device.clone(),
                judge: JudgeId::new(judge).ok(),
                annotate: true,
                max_bytes: 40_960,
            };
            let sights = [JudgeSight { drawing: &drawing, view: None, heat: None }];
            take((&picture, &camera), &SourceMasks::default(), &sights, &order)
        };
        assert_eq!(taken("cars").map(|taken| taken.width), Ok(64));
        let known = vec!["cars".to_owned()];
        assert_eq!(
            taken("plates"),
            Err(SnapshotError::UnknownJudge { judge: JudgeId::new("plates").unwrap(), known })
        );
    }
}
