//! The state of a health judge, and how it is saved.

use serde::{Deserialize, Serialize};
use verge_domain::stage::RestoreError;

use super::clock::ClockWatch;
use super::duplicate::Duplicate;
use super::flat::Flat;
use super::levels::Levels;
use super::noisy::Noisy;
use super::rest::Rests;
use super::sample::{BLOCK, Grain};
use super::saturated::{RailVisits, Saturated};
use super::silent::Silent;
use super::stuck::Stuck;
use crate::state::{self, StateKind};

/// What a judge knows of its sensor.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(super) struct HealthState {
    pub(super) has_sent: bool,
    pub(super) place: u8,
    pub(super) past: [Option<f64>; 2],
    pub(super) captured_ms: Option<i64>,
    pub(super) grain: Grain,
    pub(super) stuck: Stuck,
    pub(super) flat: Flat,
    pub(super) noisy: Noisy,
    pub(super) saturated: Saturated,
    pub(super) silent: Silent,
    pub(super) clock: ClockWatch,
    pub(super) duplicate: Duplicate,
    /// For how long it was observed. Saved in [`HealthMore`], as all that follows.
    #[serde(skip)]
    pub(super) age_us: u64,
    #[serde(skip)]
    pub(super) levels: Levels,
}

/// What version 0.1 did not know: it stands behind what that saved.
#[derive(Default, Serialize, Deserialize)]
struct HealthMore {
    age_us: u64,
    levels: Levels,
    rests: Rests,
    /// In which week the epochs of stuck, flat, noisy and silent began.
    weeks: [u16; 4],
    visits: [RailVisits; 2],
    /// Whether the newest span that was cut off is for the record, and was so at the top.
    cut_off: [bool; 2],
}

impl HealthState {
    pub(super) fn seal(&self) -> Vec<u8> {
        let more = HealthMore {
            age_us: self.age_us,
            levels: self.levels.clone(),
            rests: self.stuck.rests.clone(),
            weeks: [
                self.stuck.lengths.week,
                self.flat.record.week,
                self.noisy.record.week,
                self.silent.gaps.week,
            ],
            visits: [self.saturated.top.visits, self.saturated.bottom.visits],
            cut_off: [self.saturated.learning, self.saturated.at_top],
        };
        state::seal_with(StateKind::Health, self, &Some(more), &())
    }

    pub(super) fn open(saved: &[u8]) -> Result<Self, RestoreError> {
        let (mut state, more, ()): (Self, Option<HealthMore>, ()) =
            state::open_with(StateKind::Health, saved)?;
        if state.place >= BLOCK {
            return Err(RestoreError::Misfit { part: "the place within a block" });
        }
        let Some(more) = more else {
            // Version 0.1 compared the range of blocks, which is no measure of noise: that is learnt again.
            state.flat = Flat::default();
            state.age_us = state.silent.observed_us();
            return Ok(state);
        };
        state.age_us = more.age_us;
        state.levels = more.levels;
        state.stuck.rests = more.rests;
        let HealthState { stuck, flat, noisy, silent, .. } = &mut state;
        [stuck.lengths.week, flat.record.week, noisy.record.week, silent.gaps.week] = more.weeks;
        [state.saturated.top.visits, state.saturated.bottom.visits] = more.visits;
        [state.saturated.learning, state.saturated.at_top] = more.cut_off;
        Ok(state)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_version_0_1_saved_is_taken_up_but_for_its_idea_of_flat() {
        let mut state =
            HealthState { has_sent: true, place: 7, past: [Some(2.5), Some(2.4)], ..Default::default() };
        (0..100).for_each(|_| state.silent.gaps.enter(60_000_000, false, 0));
        (state.age_us, state.stuck.lengths.week) = (1, 1);
        // Its state had no more behind it.
        let taken_up = HealthState::open(&state::seal(StateKind::Health, &state)).unwrap();
        assert_eq!((taken_up.place, taken_up.past), (7, [Some(2.5), Some(2.4)]));
        assert_eq!((taken_up.age_us, taken_up.stuck.lengths.week), (6_000_000_000, 0));
        let again = HealthState::open(&state.seal()).unwrap();
        assert_eq!((again.age_us, again.stuck.lengths.week), (1, 1));
        assert_eq!(again.seal(), state.seal());
    }
}
