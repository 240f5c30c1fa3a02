//! A picture of what was just looked at, as it is sent.

use verge_domain::frame::{FrameSnapshot, SceneSketch, SnapshotError, SnapshotOrder, View};
use verge_domain::id::JudgeId;
use verge_domain::observation::Camera;

use crate::annotate::{AnnotatedShape, Encoded, SizeError, encode_within, shapes_of, shapes_of_scene};
use crate::mask::{PrivacyMask, SourceMasks, masks_of};
use crate::picture::Picture;

/// A judge that looks at a frame, and what it saw in it.
pub(crate) struct JudgeSight<'a> {
    pub(crate) name: &'a JudgeId,
    /// `None` where its gate was closed: the picture is as the ones before.
    pub(crate) view: Option<&'a View>,
    /// What it knew of the scene in the frame before.
    pub(crate) sketch: Option<&'a SceneSketch>,
    pub(crate) heat: Option<AnnotatedShape>,
}

/// Bytes of a picture that is shown to people at most.
const SHOWN_BYTES: usize = 4 << 20;

/// A picture that people see in the place of the one that its camera sent.
pub(crate) fn redrawn(picture: &Picture) -> Option<Vec<u8>> {
    encode_within(picture, &[], SHOWN_BYTES).ok().map(|encoded| encoded.jpeg)
}

/// Makes the picture of a frame that was looked at. What a judge follows is drawn in place of what its model sees.
pub(crate) fn take(
    (picture, camera): (&Picture, &Camera),
    masks: &SourceMasks,
    sights: &[JudgeSight<'_>],
    order: &SnapshotOrder,
) -> Result<FrameSnapshot, SnapshotError> {
    if let Some(judge) = &order.judge
        && !sights.iter().any(|sight| sight.name == judge)
    {
        let known = sights.iter().map(|sight| sight.name.to_string()).collect();
        return Err(SnapshotError::UnknownJudge { judge: judge.clone(), known });
    }
    let mut shapes = Vec::new();
    if order.annotate {
        shapes.extend(masks_of(masks, camera).map(PrivacyMask::to_shape));
        let is_meant = |sight: &&JudgeSight<'_>| order.judge.as_ref().is_none_or(|judge| sight.name == judge);
        for JudgeSight { view, sketch, heat, .. } in sights.iter().filter(is_meant) {
            shapes.extend(heat.clone());
            match sketch {
                Some(sketch) => shapes.extend(shapes_of_scene(sketch)),
                None => shapes.extend(view.iter().flat_map(|view| shapes_of(view))),
            }
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
    use verge_domain::frame::{Detections, EncodedFrame, ImageFormat, Orientation, SketchedLine};
    use verge_domain::id::{DeviceId, PlaceId, SourceId};
    use verge_domain::reading::SourceIndex;
    use verge_domain::time::DeviceClock;

    use super::*;

    fn decoded(jpeg: Vec<u8>, (width, height): (u32, u32)) -> Picture {
        let device = DeviceId::new("north").unwrap();
        let (format, orientation) = (ImageFormat::Jpeg, Orientation::Upright);
        let clock = DeviceClock::Absent;
        let bytes = jpeg.into();
        let frame =
            EncodedFrame { device, format, bytes, width, height, orientation, captured_at: None, clock };
        let mut picture = Picture::new();
        picture.decode(&frame).unwrap();
        picture
    }

    #[test]
    fn lines_and_what_has_crossed_them_are_drawn_where_a_judge_knows_them() {
        let device = DeviceId::new("north").unwrap();
        let order = |judge: Option<&str>, annotate| SnapshotOrder {
            source: SourceId::new("cameras").unwrap(),
            device: device.clone(),
            judge: judge.map(|name| JudgeId::new(name).unwrap()),
            annotate,
            max_bytes: 1 << 20,
        };
        let camera = Camera { source: SourceIndex(0), device: device.clone() };
        let view = View::Detections(Detections { width: 640, height: 480, objects: Vec::new() });
        let [vehicles, crossing] = ["vehicles", "crossing"].map(|name| JudgeId::new(name).unwrap());
        let line = SketchedLine {
            name: PlaceId::new("stop").unwrap(),
            from: [0.1, 0.5],
            to: [0.9, 0.5],
            counts: [12, 7],
            running: [2, 1],
        };
        let sketch = SceneSketch { lines: vec![line], ..SceneSketch::default() };
        let sight = |name, sketch| JudgeSight { name, view: Some(&view), sketch, heat: None };
        let sights = [sight(&vehicles, None), sight(&crossing, Some(&sketch))];
        let grey = Picture::from_rgb(640, 480, vec![96; 640 * 480 * 3]);
        let yellow = |order: &SnapshotOrder| {
            let masks = SourceMasks::default();
            let taken = take((&grey, &camera), &masks, &sights, order).unwrap();
            let picture = decoded(taken.jpeg, (taken.width, taken.height));
            let is_yellow = |pixel: &&[u8]| pixel[0] > 190 && pixel[1] > 180 && pixel[2] < 130;
            picture.rgb().chunks_exact(3).filter(is_yellow).count()
        };
        assert!(yellow(&order(None, true)) > 500);
        assert!(yellow(&order(Some("crossing"), true)) > 500);
        assert_eq!(yellow(&order(Some("vehicles"), true)), 0, "another judge's");
        assert_eq!(yellow(&order(None, false)), 0);
    }

    #[test]
    fn a_judge_whose_gate_is_closed_is_known_and_another_is_not() {
        let picture = Picture::from_rgb(64, 48, vec![90; 64 * 48 * 3]);
        let camera = Camera { source: SourceIndex(0), device: DeviceId::new("north").unwrap() };
        let name = JudgeId::new("cars").unwrap();
        let taken = |judge: &str| {
            let order = SnapshotOrder {
                source: SourceId::new("cameras").unwrap(),
                device: camera.device.clone(),
                judge: JudgeId::new(judge).ok(),
                annotate: true,
                max_bytes: 40_960,
            };
            let sights = [JudgeSight { name: &name, view: None, sketch: None, heat: None }];
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
