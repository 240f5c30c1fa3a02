//! What pictures show of a scene beside what it counts: where its objects have been lately, and what has crossed its lines.

use verge_domain::frame::{SceneSketch, SketchedLine, SketchedTrack, SketchedZone};

use crate::record::Crossing;
use crate::scene::Scene;
use crate::settings::SceneSettings;

/// Places of one object at most.
const MOST: usize = 32;
/// Seconds from one place to the next at least.
const APART: f64 = 0.19;

/// The latest places of one object.
#[derive(Debug, Clone, Copy)]
struct TrackTrace {
    track: u64,
    at: f64,
    /// Shares of the picture's sides; a ring of which `next` is written next.
    places: [[f32; 2]; MOST],
    count: usize,
    next: usize,
}

impl TrackTrace {
    fn new(track: u64) -> Self {
        Self { track, at: f64::NEG_INFINITY, places: [[0.0; 2]; MOST], count: 0, next: 0 }
    }

    fn add(&mut self, at: f64, [x, y]: [f64; 2]) {
        if at - self.at < APART {
            return;
        }
        self.at = at;
        self.places[self.next] = [x as f32, y as f32];
        self.next = (self.next + 1) % MOST;
        self.count = (self.count + 1).min(MOST);
    }

    /// Oldest first.
    fn places(&self) -> impl Iterator<Item = [f64; 2]> + '_ {
        let first = (self.next + MOST - self.count) % MOST;
        (0..self.count).map(move |place| self.places[(first + place) % MOST].map(f64::from))
    }
}

/// What of one scene is drawn. Not saved: it begins anew with its judge.
#[derive(Debug, Default)]
pub struct SceneTrace {
    /// In the order of the scene's tracks.
    traces: Vec<TrackTrace>,
    /// Of each line: what has crossed it forward and backward.
    counts: Vec<[u64; 2]>,
}

impl SceneTrace {
    /// Of a scene that begins.
    #[must_use]
    pub fn new(settings: &SceneSettings) -> Self {
        Self { traces: Vec::new(), counts: vec![[0; 2]; settings.lines().len()] }
    }

    /// Crossings have been found.
    pub fn count(&mut self, crossings: &[Crossing]) {
        for crossing in crossings {
            self.counts[crossing.line][usize::from(!crossing.forward)] += 1;
        }
    }

    /// A frame of this time has been observed.
    pub fn follow(&mut self, scene: &Scene, at: f64) {
        let Some(size) = scene.frame_size() else { return };
        let (width, height) = (f64::from(size.width), f64::from(size.height));
        let mut known = 0;
        for (track, seen) in scene.tracks() {
            // Tracks keep their order, so that the search is short.
            let found = self.traces[known..].iter().position(|trace| trace.track == track);
            match found {
                Some(ahead) => self.traces.swap(known, known + ahead),
                None => self.traces.insert(known, TrackTrace::new(track)),
            }
            let place = [f64::midpoint(seen.left, seen.right) / width, seen.bottom / height];
            self.traces[known].add(at, place);
            known += 1;
        }
        self.traces.truncate(known);
    }

    /// What there is to be drawn.
    #[must_use]
    pub fn sketch(&self, scene: &Scene) -> SceneSketch {
        let settings = scene.settings();
        let running = scene.running();
        let lines = settings.lines().iter().zip(&self.counts).enumerate();
        let running_of = |line: usize| {
            let tally = running.and_then(|interval| interval.lines.get(line));
            tally.map_or([0; 2], |tally| [tally.forward.total().into(), tally.backward.total().into()])
        };
        let zones = settings.zones().iter();
        SceneSketch {
            lines: lines
                .map(|(at, (line, &counts))| SketchedLine {
                    name: line.name.clone(),
                    from: line.from,
                    to: line.to,
                    counts,
                    running: running_of(at),
                })
                .collect(),
            zones: zones
                .map(|(name, zone)| SketchedZone { name: name.clone(), corners: zone.polygon.clone() })
                .collect(),
            tracks: self.tracks(scene),
            running_since: running.map(|interval| interval.from),
        }
    }

    fn tracks(&self, scene: &Scene) -> Vec<SketchedTrack> {
        let Some(size) = scene.frame_size() else { return Vec::new() };
        let (width, height) = (f64::from(size.width), f64::from(size.height));
        let sketched = scene.tracks().map(|(number, seen)| {
            let [left, right] = [seen.left / width, seen.right / width];
            let [top, bottom] = [seen.top / height, seen.bottom / height];
            let trace = self.traces.iter().find(|trace| trace.track == number);
            let trail = trace.into_iter().flat_map(TrackTrace::places);
            SketchedTrack {
                number,
                label: scene.settings().classes()[seen.class].clone(),
                area: [left, top, right - left, bottom - top],
                trail: trail.chain([[f64::midpoint(left, right), bottom]]).collect(),
            }
        });
        sketched.collect()
    }

    /// Bytes on the heap.
    #[must_use]
    pub fn heap_bytes(&self) -> usize {
        self.traces.capacity() * size_of::<TrackTrace>() + self.counts.capacity() * size_of::<[u64; 2]>()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use verge_domain::id::{Label, PlaceId};
    use verge_domain::interval::IntervalGrid;

    use super::*;
    use crate::scene::SceneReport;
    use crate::settings::{Anchor, SceneLine, SceneZone};
    use crate::track::{FrameSize, SeenBox};

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
        let mut trace = SceneTrace::new(&settings);
        let mut scene = Scene::new(Arc::new(settings));
        let mut counts = Vec::new();
        let mut longest = 0;
        for step in 0..20 {
            let (bottom, mut report) = (f64::from(step) * 4.0 + 15.0, SceneReport::default());
            let seen = |left: f64| SeenBox {
                class: 0,
                score: 0.9,
                left,
                top: bottom - 12.0,
                right: left + 20.0,
                bottom,
            };
            // Another one ends half way.
            let mut boxes = if step < 10 { vec![seen(10.0), seen(90.0)] } else { vec![seen(90.0)] };
            let at = 1e9 + f64::from(step) * 0.2;
            scene.observe(at, SIZE, &mut boxes, &mut report);
            trace.count(&report.crossings);
            trace.follow(&scene, at);
            let sketch = trace.sketch(&scene);
            assert_eq!(sketch.zones[0].name.as_str(), "approach");
            counts.push(sketch.lines[0].counts);
            for track in sketch.tracks {
                assert!((track.area[2] - 0.1).abs() < 0.01, "{track:?}");
                let apart = track.trail.windows(2).map(|two| two[1][1] - two[0][1]);
                assert!(apart.into_iter().all(|step| (-0.001..0.09).contains(&step)), "{track:?}");
                longest = longest.max(track.trail.len());
            }
        }
        assert_eq!((counts.first(), counts.last()), (Some(&[0, 0]), Some(&[1, 0])), "down is forward");
        let sketch = trace.sketch(&scene);
        assert_eq!(sketch.lines[0].running, [1, 0]);
        assert_eq!(sketch.running_since, scene.running().map(|interval| interval.from));
        assert!((15..=20).contains(&longest), "{longest} places");
        assert!(trace.traces.len() <= 2 && trace.traces[0].places().count() > 15);
    }
}
