//! What of a scene outlives a restart.

use super::{MAX_EVENTS, Scene, SceneState, ZoneEvent};
use crate::countable::SightingTally;
use crate::course::CourseFront;
use crate::presence::ZoneNow;
use crate::settings::SceneSettings;
use crate::track::MAX_TRACKS;

/// A saved scene that is of another configuration, or that no scene could have become.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SceneMisfit {
    /// Its lines, zones or classes have other names.
    #[error("it counts other lines, zones or classes")]
    OtherPlaces,
    /// Numbers that cannot be.
    #[error("its numbers are out of range")]
    OutOfRange,
}

impl Scene {
    /// What follows is not joined to what was observed so far: the time between is not observed.
    pub fn interrupt(&mut self) {
        self.state.resumed = self.state.last.is_some();
        self.state.record.mark_gap();
    }

    /// The times that it is given are not those of the camera's clock any more, or are again: they may have jumped.
    pub fn doubt_clock(&mut self) {
        self.state.record.doubt_clock();
    }

    /// How often what crosses each line is seen before and behind it: to be saved behind the state, which earlier versions
    /// wrote without it.
    #[must_use]
    pub fn sighting_tallies(&self) -> &[SightingTally] {
        self.state.record.sightings()
    }

    /// Goes on from saved tallies, after [`Scene::restore`]; those of other lines are left out.
    pub fn restore_sightings(&mut self, saved: Vec<SightingTally>) {
        self.state.record.restore_sightings(&self.settings, saved);
    }

    /// The camera has shown nothing since a time before it was known: the open intervals observed less.
    pub fn doubt_since(&mut self, since: f64) {
        if let Some(last) = self.state.last.filter(|last| *last > since) {
            self.state.record.doubt_since(&self.settings, (since, last));
        }
    }

    /// What must outlive a restart.
    #[must_use]
    pub const fn state(&self) -> &SceneState {
        &self.state
    }

    /// Goes on from a saved state. The time until the next frame was not observed.
    ///
    /// # Errors
    /// See [`SceneMisfit`]; the scene is then unchanged.
    pub fn restore(&mut self, mut state: SceneState) -> Result<(), SceneMisfit> {
        if state.names != self.state.names {
            return Err(SceneMisfit::OtherPlaces);
        }
        let classes = self.settings.classes.len();
        let mut fronts = state.fronts.iter().flatten().flatten();
        let sound = state.tracker.tracks.len() <= MAX_TRACKS
            && state.tracker.tracks.iter().all(|track| {
                track.is_finite(classes) && track.course.is_finite() && track.course.fits(&self.settings)
            })
            && state.record.fits(&self.settings)
            && state.zones.len() == self.settings.zones.len()
            && state.zones.iter().all(ZoneNow::is_finite)
            && state.fronts.len() == self.settings.lines.len()
            && fronts.all(CourseFront::is_finite)
            && state.open.len() <= MAX_EVENTS
            && state.open.iter().all(|event| event.fits(&self.settings))
            && state.last.is_none_or(f64::is_finite);
        if !sound {
            return Err(SceneMisfit::OutOfRange);
        }
        state.record.mark_gap();
        state.resumed = state.last.is_some();
        self.places = None;
        self.state = state;
        Ok(())
    }

    /// Bytes it holds beside itself.
    #[must_use]
    pub fn heap_bytes(&self) -> usize {
        let courses = self.state.tracker.tracks.iter().map(|track| track.course.heap_bytes());
        self.state.tracker.heap_bytes() + courses.sum::<usize>() + self.state.record.heap_bytes()
    }
}

impl ZoneEvent {
    fn fits(&self, settings: &SceneSettings) -> bool {
        let mut numbers = [self.from, self.value, self.last].into_iter().chain(self.until);
        self.zone < settings.zones.len()
            && self.track.is_none_or(|(_, class)| class < settings.classes.len())
            && numbers.all(f64::is_finite)
    }
}

pub(super) fn names_of(settings: &SceneSettings) -> Vec<String> {
    let classes = settings.classes.iter().map(ToString::to_string);
    let lines = settings.lines.iter().map(|line| format!("line {}", line.name));
    let zones = settings.zones.iter().map(|(name, _)| format!("zone {name}"));
    let arms = settings.arms.iter().map(|arm| format!("arm {arm}"));
    classes.chain(lines).chain(zones).chain(arms).collect()
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

    const FRAME: FrameSize = FrameSize { width: 100, height: 100 };

    /// A line, and a zone in which one object is forbidden and stands.
    fn scene() -> Scene {
        let minute = IntervalGrid::new(Duration::from_secs(60)).unwrap();
        let mut settings = SceneSettings::new(vec![Label::new("person").unwrap()], minute);
        let name = PlaceId::new("line").unwrap();
        let line = SceneLine { name, from: [0.1, 0.5], to: [0.9, 0.5], anchor: Anchor::Centre };
        settings.add_line(line).unwrap();
        let polygon = vec![[0.1, 0.1], [0.9, 0.1], [0.9, 0.9], [0.1, 0.9]];
        let zone = SceneZone { polygon, forbidden: vec![0], ..SceneZone::default() };
        settings.add_zone(PlaceId::new("zone").unwrap(), zone).unwrap();
        Scene::new(Arc::new(settings))
    }

    fn watched() -> Scene {
        let mut scene = scene();
        for frame in 0..30 {
            let top = 20.0 + f64::from(frame);
            let seen = SeenBox { class: 0, score: 0.9, left: 40.0, top, right: 50.0, bottom: top + 20.0 };
            scene.observe(f64::from(frame) / 10.0, FRAME, &mut vec![seen], &mut SceneReport::default());
        }
        scene
    }

    #[test]
    fn a_state_that_no_scene_could_have_become_is_refused() {
        let sound = watched().state;
        assert_eq!((sound.open.len(), sound.fronts[0][1].is_some()), (1, true));
        let check = |spoil: fn(&mut SceneState), expected: Result<(), SceneMisfit>| {
            let mut state = sound.clone();
            spoil(&mut state);
            assert_eq!(scene().restore(state), expected);
        };
        check(|_| (), Ok(()));
        let out_of_range = Err(SceneMisfit::OutOfRange);
        check(|state| state.open[0].value = f64::NAN, out_of_range);
        check(|state| state.open[0].zone = 1, out_of_range);
        check(|state| state.open[0].track = Some((0, 1)), out_of_range);
        check(|state| state.zones[0].speeds.0 = f64::INFINITY, out_of_range);
        check(|state| state.fronts[0][1].as_mut().unwrap().spoil(), out_of_range);
        check(
            |state| {
                let one = state.tracker.tracks[0].clone();
                state.tracker.tracks.resize(MAX_TRACKS, one);
            },
            Ok(()),
        );
        check(
            |state| {
                let one = state.tracker.tracks[0].clone();
                state.tracker.tracks.resize(MAX_TRACKS + 1, one);
            },
            out_of_range,
        );
    }
}
