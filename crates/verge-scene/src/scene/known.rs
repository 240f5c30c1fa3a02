//! What is known of a scene: tracks and events that go on, how fast frames come, and whether that is enough for its lines.

use verge_domain::countable::LineSightings;

use super::{SAME_INSTANT, Scene, SceneState, ZoneEvent};
use crate::settings::SceneSettings;
use crate::track::{FrameSize, SeenBox};

/// One object that is followed.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LiveTrack {
    /// Its number, never given twice.
    pub id: u64,
    /// Where it is taken to be, and its class.
    pub area: SeenBox,
    /// How sure the detector is of it, on average; `0..=1`.
    pub score: f32,
    /// The zones that it is in, a bit for each in their order.
    pub zones: u64,
    /// It does not move.
    pub stands: bool,
}

impl Scene {
    /// The objects that are followed, oldest first.
    pub fn live(&self) -> impl Iterator<Item = LiveTrack> {
        let tracks = self.state.tracker.tracks.iter().filter(|track| track.is_confirmed());
        tracks.map(|track| {
            let inside = track.course.zones.iter().enumerate().filter(|(_, zone)| zone.inside);
            let zones = inside.fold(0, |bits, (zone, _)| bits | 1_u64.checked_shl(zone as u32).unwrap_or(0));
            let score = track.mean_score(&self.settings.kind_of);
            LiveTrack { id: track.id, area: track.area(), score, zones, stands: track.course.waits }
        })
    }

    /// The tracks that are alive.
    pub fn tracks(&self) -> impl Iterator<Item = (u64, SeenBox)> {
        self.state
            .tracker
            .tracks
            .iter()
            .filter(|track| track.is_confirmed())
            .map(|track| (track.id, track.area()))
    }

    /// The size of its frames.
    #[must_use]
    pub const fn frame_size(&self) -> Option<FrameSize> {
        self.state.frame
    }

    /// How it counts.
    #[must_use]
    pub fn settings(&self) -> &SceneSettings {
        &self.settings
    }

    /// Conditions in zones that hold.
    #[must_use]
    pub fn open_events(&self) -> &[ZoneEvent] {
        &self.state.open
    }

    /// Objects that were followed so far.
    #[must_use]
    pub const fn followed(&self) -> u64 {
        self.state.tracker.confirmed
    }

    /// For want of time frames that came before this time were not judged. `reduced`: less was looked at than was asked for.
    pub fn note_overload(&mut self, at: f64, passed_over: u32, reduced: bool) {
        if at.is_finite() && (passed_over > 0 || reduced) {
            self.state.record.note_overload(&self.settings, at, (passed_over, reduced));
        }
    }

    /// Whether what crosses each line is seen often enough; of lines over which too little has gone nothing.
    pub fn line_sightings(&self) -> impl Iterator<Item = LineSightings> {
        let lines = self.settings.lines.iter().zip(self.state.record.sightings());
        lines.filter_map(|(line, tally)| tally.of(&line.name))
    }

    /// Frames that come a second, on average over the last ones; `None` before there are two.
    #[must_use]
    pub fn frames_per_s(&self) -> Option<f64> {
        (self.state.pace > 0.0).then(|| 1.0 / self.state.pace)
    }

    pub(super) fn note_pace(&mut self, at: f64) {
        /// What the newest step counts.
        const NEWEST: f64 = 0.05;
        let SceneState { last, pace, .. } = &mut self.state;
        let step =
            last.map(|last| at - last).filter(|step| (SAME_INSTANT..=self.settings.max_gap).contains(step));
        if let Some(step) = step {
            *pace += if *pace > 0.0 { NEWEST * (step - *pace) } else { step };
        }
    }
}
