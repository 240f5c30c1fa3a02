//! What of a scene outlives a restart.

use super::{MAX_EVENTS, Scene, SceneState};
use crate::settings::SceneSettings;

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
        let sound = state.tracker.tracks.iter().all(|track| {
            track.is_finite(classes) && track.course.is_finite() && track.course.fits(&self.settings)
        }) && state.record.fits(&self.settings)
            && state.zones.len() == self.settings.zones.len()
            && state.fronts.len() == self.settings.lines.len()
            && state.open.len() <= MAX_EVENTS
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

pub(super) fn names_of(settings: &SceneSettings) -> Vec<String> {
    let classes = settings.classes.iter().map(ToString::to_string);
    let lines = settings.lines.iter().map(|line| format!("line {}", line.name));
    let zones = settings.zones.iter().map(|(name, _)| format!("zone {name}"));
    let arms = settings.arms.iter().map(|arm| format!("arm {arm}"));
    classes.chain(lines).chain(zones).chain(arms).collect()
}
