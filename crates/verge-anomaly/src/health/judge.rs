//! The judge over the health of one signal's sensor.

use verge_domain::finding::{Condition, Finding, Member};
use verge_domain::observation::Captured;
use verge_domain::stage::RestoreError;
use verge_domain::time::{DeviceClock, Moment, Monotonic};

use super::HealthSettings;
use super::sample::{BLOCK, Circumstances, HealthSample};
use super::saved::HealthState;

/// Watches the sensor behind one signal. Some 1200 bytes, and nothing on the heap.
#[derive(Debug)]
pub struct HealthJudge {
    settings: HealthSettings,
    /// Of the newest reading; of the start or restart before one.
    last_received: Monotonic,
    state: HealthState,
    /// Its device has said that it is away.
    is_away: bool,
}

/// A sensor is young until it has shown what it does in a week, and a day.
const YOUNG_US: u64 = 8 * 86_400_000_000;
const WEEK_US: u64 = 7 * 86_400_000_000;

impl HealthJudge {
    pub(crate) fn new(settings: HealthSettings, now: Monotonic) -> Self {
        Self { settings, last_received: now, state: HealthState::default(), is_away: false }
    }

    /// Frames have no value: then it is the same each time, and only their silence is watched.
    pub(crate) fn observe(
        &mut self,
        value: f64,
        captured: Captured,
        received: Moment,
        findings: &mut Vec<Finding>,
    ) {
        let settings = self.settings;
        let sample = self.sample(value, captured, received);
        let state = &mut self.state;
        state.age_us = state.age_us.saturating_add(if state.has_sent { sample.gap_us } else { 0 });
        let around = Circumstances {
            patience: settings.watched.patience,
            blocks: settings.blocks(),
            young: state.age_us < YOUNG_US,
            one_state: settings.one_state,
            week: u16::try_from(state.age_us / WEEK_US).unwrap_or(u16::MAX),
        };
        let mut say = |condition: Condition| findings.push(Finding::Condition(settings.reported(condition)));
        state.grain.enter(&sample);
        let closes = state.place + 1 >= BLOCK;
        if settings.watches(Member::Silent) && state.has_sent {
            state.silent.enter(sample.gap_us, around, &mut say);
        }
        if settings.watches(Member::Stuck) {
            state.stuck.enter(&sample, around);
            state.stuck.condition(sample.value, around).map(&mut say);
        }
        if settings.watches(Member::Flat) || settings.watches(Member::Noisy) {
            state.levels.enter(&sample);
            if closes {
                let block = state.levels.close();
                state.flat.close(block, state.grain, around);
                state.noisy.close(block, state.grain, around);
            }
        }
        if settings.watches(Member::Flat) {
            state.flat.condition(around).map(&mut say);
        }
        if settings.watches(Member::Noisy) {
            state.noisy.condition(around).map(&mut say);
        }
        if settings.watches(Member::Saturated) {
            state.saturated.enter(&sample);
            if closes {
                state.saturated.close(state.grain, around);
            }
            state.saturated.condition().map(&mut say);
        }
        if settings.watches(Member::ClockSkewed) {
            state.clock.enter(&sample);
            if closes {
                state.clock.close(around.blocks);
            }
            state.clock.condition(settings.watched.patience).map(&mut say);
        }
        if settings.watches(Member::Duplicate) {
            state.duplicate.enter(&sample, state.grain);
            if closes {
                state.duplicate.close(around.blocks);
            }
            state.duplicate.condition().map(&mut say);
        }
        state.has_sent = true;
        state.place = if closes { 0 } else { state.place + 1 };
        state.past = [Some(sample.value), state.past[0]];
        state.captured_ms = sample.captured_ms;
        self.last_received = self.last_received.max(received.mono);
        self.is_away = false;
    }

    fn sample(&self, value: f64, captured: Captured, received: Moment) -> HealthSample {
        let state = &self.state;
        let gap = received.mono.since(self.last_received);
        HealthSample {
            // Codecs let only finite values through; this makes one zero of the two.
            value: value + 0.0,
            past: state.past,
            gap_us: u64::try_from(gap.as_micros()).unwrap_or(u64::MAX),
            captured_ms: match captured.clock {
                DeviceClock::Trusted => captured.at.map(|at| at.0),
                DeviceClock::Absent | DeviceClock::Skewed => None,
            },
            captured_before_ms: state.captured_ms,
            ahead_ms: match captured.clock {
                DeviceClock::Trusted | DeviceClock::Skewed => {
                    captured.at.map(|at| at.0.saturating_sub(received.wall.0))
                }
                DeviceClock::Absent => None,
            },
            place: state.place,
        }
    }

    pub(crate) fn tick(&mut self, now: Moment, findings: &mut Vec<Finding>) {
        if !self.settings.watches(Member::Silent) {
            return;
        }
        let silent_for = now.mono.since(self.last_received);
        let silence = self.state.silent.tick(silent_for, self.settings.watched.patience, self.is_away);
        findings.extend(silence.map(|silence| Finding::Condition(self.settings.reported(silence))));
    }

    /// Its device says that it is away.
    pub(crate) fn away(&mut self, now: Moment, findings: &mut Vec<Finding>) {
        self.is_away = true;
        self.tick(now, findings);
    }

    /// The time in which nothing was expected is no pause between two readings, and the readings on both sides of it are
    /// no neighbours.
    pub(crate) fn resume(&mut self, now: Monotonic) {
        self.last_received = now;
        self.state.past = [None; 2];
        self.state.captured_ms = None;
    }

    /// Some 1200 bytes at most.
    pub(crate) fn save(&self) -> Option<Vec<u8>> {
        self.state.has_sent.then(|| self.state.seal())
    }

    /// Time counts from now: how long it was silent before is not known.
    pub(crate) fn restore(&mut self, saved: &[u8], now: Moment) -> Result<(), RestoreError> {
        self.state = HealthState::open(saved)?;
        self.last_received = now.mono;
        Ok(())
    }
}
