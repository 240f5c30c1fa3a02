//! A scene as shapes: its tracks with where they have been, its lines with what has crossed them, its zones.

use std::collections::{BTreeMap, VecDeque};

use verge_scene::{Crossing, FrameSize, Scene, SceneSettings};
use verge_vision::annotate::AnnotatedShape;

/// Places of one object that are drawn.
const TRAIL: usize = 40;

/// What is drawn of a scene beside what it knows itself.
#[derive(Debug)]
pub(super) struct SceneDrawing {
    /// Of each track that is alive: its latest places in shares of the picture, oldest first.
    trails: BTreeMap<u64, VecDeque<[f64; 2]>>,
    /// Of each line: what has crossed it forward and backward.
    counts: Vec<[u64; 2]>,
}

impl SceneDrawing {
    pub(super) fn new(settings: &SceneSettings) -> Self {
        Self { trails: BTreeMap::new(), counts: vec![[0; 2]; settings.lines().len()] }
    }

    /// The shapes behind a frame of this size, which the scene has observed and in which these crossings were found.
    pub(super) fn shapes(
        &mut self,
        scene: &Scene,
        size: FrameSize,
        crossings: &[Crossing],
    ) -> Vec<AnnotatedShape> {
        for crossing in crossings {
            self.counts[crossing.line][usize::from(!crossing.forward)] += 1;
        }
        let settings = scene.settings();
        let zones = settings.zones().iter().map(|(name, zone)| AnnotatedShape::Zone {
            text: name.to_string(),
            corners: zone.polygon.clone(),
        });
        let lines = settings.lines().iter().zip(&self.counts).map(|(line, &counts)| AnnotatedShape::Line {
            name: line.name.to_string(),
            from: line.from,
            to: line.to,
            counts: Some(counts),
        });
        let mut shapes: Vec<AnnotatedShape> = zones.chain(lines).collect();
        let (width, height) = (f64::from(size.width), f64::from(size.height));
        let mut trails = BTreeMap::new();
        for (track, seen) in scene.tracks() {
            let label = settings.classes()[seen.class].to_string();
            let (left, right) = (seen.left / width, seen.right / width);
            let (top, bottom) = (seen.top / height, seen.bottom / height);
            let mut trail = self.trails.remove(&track).unwrap_or_default();
            if trail.len() == TRAIL {
                trail.pop_front();
            }
            trail.push_back([f64::midpoint(left, right), bottom]);
            shapes.push(AnnotatedShape::Trail {
                label: label.clone(),
                points: trail.iter().copied().collect(),
            });
            let area = [left, top, right - left, bottom - top];
            shapes.push(AnnotatedShape::Object { area, label, score: None, track: Some(track) });
            trails.insert(track, trail);
        }
        self.trails = trails;
        shapes
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use verge_domain::id::{Label, PlaceId};
    use verge_domain::interval::IntervalGrid;
    use verge_scene::{Anchor, SceneLine, SceneReport, SceneZone, SeenBox};

    use super::*;

    const SIZE: FrameSize = FrameSize { width: 200, height: 100 };

    #[test]
    fn a_drive_over_a_line_is_a_track_with_its_trail_and_counts_there() {
        let interval = IntervalGrid::new(Duration::from_secs(60)).unwrap();
        let mut settings = SceneSettings::new(vec![Label::new("car").unwrap()], interval);
        let name = |name: &str| PlaceId::new(name).unwrap();
        let line = SceneLine { name: name("stop"), from: [0.0, 0.5], to: [1.0, 0.5], anchor: Anchor::Bottom };
        settings.add_line(line).unwrap();
        let polygon = vec![[0.0, 0.0], [1.0, 0.0], [1.0, 0.4]];
        settings.add_zone(name("approach"), SceneZone { polygon, ..SceneZone::default() }).unwrap();
        let mut drawing = SceneDrawing::new(&settings);
        let mut scene = Scene::new(Arc::new(settings));
        let mut counts = Vec::new();
        let mut longest = 0;
        for step in 0..20 {
            let (bottom, mut report) = (f64::from(step) * 4.0 + 15.0, SceneReport::default());
            let seen = SeenBox { class: 0, score: 0.9, left: 90.0, top: bottom - 12.0, right: 110.0, bottom };
            scene.observe(1e9 + f64::from(step) * 0.2, SIZE, &mut vec![seen], &mut report);
            let shapes = drawing.shapes(&scene, SIZE, &report.crossings);
            for shape in &shapes {
                match shape {
                    AnnotatedShape::Line { name, counts: Some(of_line), .. } if name == "stop" => {
                        counts.push(*of_line);
                    }
                    AnnotatedShape::Trail { points, .. } => longest = longest.max(points.len()),
                    AnnotatedShape::Object { area, track, .. } => {
                        assert!((area[2] - 0.1).abs() < 0.01 && track.is_some(), "{shape:?}");
                    }
                    AnnotatedShape::Zone { text, .. } => assert_eq!(text, "approach"),
                    other => panic!("{other:?}"),
                }
            }
        }
        assert_eq!((counts.first(), counts.last()), (Some(&[0, 0]), Some(&[1, 0])), "down is forward");
        assert!((15..=20).contains(&longest), "{longest} places");
    }
}
