//! `multi` as a judge: readings of several signals become rows.
//!
//! The signals need not be named: those that are received while the machine is got to know, until none was new for
//! [`SETTLED`] rounds, belong to it; later ones do not. A **round** ends when each signal has sent a reading, or when one sends
//! a second time: then the others count with their last value. A signal that was silent for [`STALE`] rounds has none,
//! and nothing is judged until it sends again.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use verge_domain::finding::{Condition, Contribution, Expected, Feedback, Finding, Member, Standing};
use verge_domain::id::{DeviceId, SignalId};
use verge_domain::reading::Reading;
use verge_domain::stage::{AlarmRate, Remark, RestoreError};
use verge_domain::time::{Moment, UtcMillis};

use super::aftermath::Aftermath;
use super::baseline::ROWS_PER_INDEPENDENT;
use super::{MAX_SIGNALS, MultiDetector, MultiSettings, SignalShare};
use crate::alarm::{Alarms, Pace};
use crate::budget::{AlarmLevel, least_p};
use crate::excursions::Excursions;
use crate::pool::{AlarmPool, Odds, PoolMember, RunningEvent, SavedMember, SeenReading};
use crate::state::{self, SavedParts, StateKind};

/// Rounds without a new signal after which the signals of the machine are known.
const SETTLED: u32 = 10;
/// Rounds after which a signal that is silent has no value.
const STALE: u32 = 3;
/// What is not among the usual 98 %.
const UNUSUAL: f64 = 0.02;
/// Signals named in a verdict.
const NAMED: usize = 3;

/// Watches one machine.
#[derive(Debug)]
pub struct MultiJudge {
    settings: MultiSettings,
    state: MultiState,
    pool: PoolMember,
    /// By the signals that were the strangest.
    excursions: Excursions,
    row: Vec<f64>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct MultiState {
    signals: Vec<SignalSlot>,
    rounds: u32,
    /// Round of the newest signal.
    newest: u32,
    detector: Option<MultiDetector>,
    pace: Pace,
    alarms: Alarms,
    feedback: Feedback,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct SignalSlot {
    device: DeviceId,
    signal: SignalId,
    last: f64,
    /// The round of its last reading.
    round: u32,
}

impl MultiState {
    fn new() -> Self {
        Self {
            signals: Vec::new(),
            rounds: 1,
            newest: 1,
            detector: None,
            pace: Pace::new(),
            alarms: Alarms::new(),
            feedback: Feedback::default(),
        }
    }

    fn find(&self, reading: &Reading) -> Option<usize> {
        self.signals.iter().position(|one| one.signal == reading.signal && one.device == reading.device)
    }
}

impl MultiJudge {
    pub(crate) fn new(settings: MultiSettings, pool: Option<&Arc<AlarmPool>>) -> Self {
        let pool = PoolMember::of(pool);
        Self { settings, state: MultiState::new(), pool, excursions: Excursions::default(), row: Vec::new() }
    }

    pub(crate) fn observe(&mut self, reading: &Reading, received: Moment, findings: &mut Vec<Finding>) {
        let state = &mut self.state;
        let Some(place) = state.find(reading) else {
            if state.detector.is_none() && state.signals.len() < MAX_SIGNALS {
                let (device, signal) = (reading.device.clone(), reading.signal.clone());
                state.signals.push(SignalSlot { device, signal, last: reading.value, round: state.rounds });
                state.newest = state.rounds;
            }
            return;
        };
        if state.signals[place].round == state.rounds {
            self.end_round(reading, received, findings);
        }
        let state = &mut self.state;
        let signal = &mut state.signals[place];
        (signal.last, signal.round) = (reading.value, state.rounds);
        if state.detector.is_some() && state.signals.iter().all(|one| one.round == state.rounds) {
            self.end_round(reading, received, findings);
        }
    }

    fn end_round(&mut self, reading: &Reading, received: Moment, findings: &mut Vec<Finding>) {
        let Self { settings, state, pool, excursions, row } = self;
        let round = state.rounds;
        state.rounds = state.rounds.saturating_add(1);
        if state.detector.is_none() && round >= state.newest.saturating_add(SETTLED) {
            state.detector = Some(MultiDetector::new(settings, state.signals.len()));
        }
        let Some(detector) = &mut state.detector else { return };
        if state.signals.iter().any(|one| round.saturating_sub(one.round) >= STALE) {
            return;
        }
        row.clear();
        row.extend(state.signals.iter().map(|one| one.last));
        let at = reading.time(received.wall);
        state.pace.note(at);
        pool.begin(at, &state.pace, detector.rows());
        let level = pool.level(|| settings.rate(&state.pace, detector)).times(excursions.part());
        let score = detector.observe(row);
        if detector.commissioning_left() > 0 {
            return;
        }
        let parts = if score.p_value <= level.p { detector.contributions() } else { Vec::new() };
        let strangest = parts.first().map(|part| part.signal);
        // People said that it is no fault.
        let is_hidden = strangest.is_some_and(|signal| excursions.is_harmless(signal, score.distance));
        let p_value = if is_hidden { 1.0 } else { score.p_value };
        let (how, was_open) = ((&state.pace, SeenReading::Score(score.distance)), state.alarms.is_open());
        let outcome = pool.judge(&mut state.alarms, &settings.alarms, (Odds::of(p_value), level), how, false);
        if state.alarms.is_open() && strangest.is_some() {
            let shares: Vec<(usize, f64)> = parts.iter().map(|part| (part.signal, part.share)).collect();
            let (was_open, of) = (was_open && !outcome.gives_way, (state.signals.len(), &shares[..]));
            excursions.note_together(at, was_open, level.p, of, (score.distance, p_value));
        }
        let contributions = if outcome.abnormal { explained(&state.signals, parts) } else { Vec::new() };
        let expected = Expected { low: None, high: detector.distance_at(level.p) };
        // In usual distances: those that 98 % of all rows stay below.
        let usual = || Expected { low: None, high: detector.distance_at(UNUSUAL) };
        findings.push(Finding::Condition(Condition {
            learning: outcome.learning,
            p_value: Some(p_value.max(least_p(detector.rows(), ROWS_PER_INDEPENDENT))),
            contributions,
            feedback: state.feedback,
            distance: (outcome.standing != Standing::Normal)
                .then(|| usual().distance(score.distance))
                .flatten(),
            ..Condition::of_rule(Member::Machine, outcome.standing, score.distance, expected)
        }));
    }

    /// After maintenance the machine is learnt again, its signals included. What was no fault is known by the signals that
    /// were the strangest.
    pub(crate) fn apply(&mut self, remark: Remark, event: Option<UtcMillis>) -> bool {
        let feedback = &mut self.state.feedback;
        match remark {
            Remark::False => self.excursions.was_false(event),
            Remark::Maintenance => {
                feedback.maintenance = feedback.maintenance.saturating_add(1);
                self.state = MultiState { feedback: *feedback, ..MultiState::new() };
                self.excursions.was_maintenance();
                true
            }
            // Abnormal rows teach nothing: there is nothing to forget but another label.
            Remark::Real => {
                feedback.real = feedback.real.saturating_add(1);
                self.pool.was_real();
                self.excursions.was_real(event)
            }
        }
    }

    pub(crate) fn alarm_rate(&self) -> Option<AlarmRate> {
        let rate: AlarmLevel = self.settings.rate_ahead(&self.state.pace, self.state.detector.as_ref()?);
        let rows = self.state.detector.as_ref()?.rows();
        Some(self.pool.rate(self.state.alarms.rate(&self.state.pace, &rate), &self.state.pace, rows))
    }

    pub(crate) fn save(&self) -> Vec<u8> {
        let aftermath = self.state.detector.as_ref().map(MultiDetector::aftermath).unwrap_or_default();
        let newest = (self.pool.running(&self.state.alarms), &self.excursions, aftermath);
        state::seal_with(StateKind::Multi, &self.state, self.pool.saved(), &newest)
    }

    pub(crate) fn restore(&mut self, bytes: &[u8]) -> Result<(), RestoreError> {
        let mut parts = SavedParts::of(StateKind::Multi, bytes)?;
        let (mut state, shared): (MultiState, SavedMember) = (parts.first()?, parts.next()?);
        let (running, excursions): (RunningEvent, Excursions) = (parts.next()?, parts.next()?);
        let aftermath: Aftermath = parts.next()?;
        if state.signals.len() > MAX_SIGNALS || state.detector.is_some() && state.signals.is_empty() {
            return Err(RestoreError::Misfit { part: "the number of its signals" });
        }
        state.detector.as_ref().map_or(Ok(()), |detector| detector.check(state.signals.len()))?;
        excursions.check(state.signals.len())?;
        state.detector.as_mut().map_or(Ok(()), |detector| detector.restore_aftermath(aftermath))?;
        self.pool.restore(shared, running, &mut state.alarms)?;
        (self.state, self.excursions) = (state, excursions);
        Ok(())
    }

    pub(crate) fn heap_bytes(&self) -> usize {
        let detector = self.state.detector.as_ref().map_or(0, MultiDetector::bytes);
        detector
            + self.excursions.heap_bytes()
            + self.state.signals.capacity() * size_of::<SignalSlot>()
            + self.row.capacity() * size_of::<f64>()
    }
}

fn explained(signals: &[SignalSlot], parts: Vec<SignalShare>) -> Vec<Contribution> {
    let several = signals.iter().any(|one| one.device != signals[0].device);
    let named = parts.into_iter().take(NAMED).filter_map(|part| {
        let SignalSlot { device, signal, .. } = &signals[part.signal];
        let name = if several { SignalId::new(&format!("{device}/{signal}")).ok()? } else { signal.clone() };
        let (low, high) = (part.expected - part.margin, part.expected + part.margin);
        Some(Contribution {
            signal: name,
            share: part.share,
            observed: part.observed,
            expected: Expected { low: Some(low), high: Some(high) },
        })
    });
    named.collect()
}
