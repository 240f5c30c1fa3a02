//! What one interval adds up to.

use serde::{Deserialize, Serialize};
use verge_domain::interval::IntervalGrid;
use verge_domain::time::UtcMillis;
use verge_domain::verdict::Counts;

use super::LoopSettings;

const MS_PER_HOUR: f64 = 3_600_000.0;
/// What is observed for less has no flow, occupancy or speed.
const LEAST_OBSERVED_MS: u64 = 1000;

/// The open interval. All sums stay finite: each addend is bounded by what the judge lets through.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(super) struct LoopTally {
    pub(super) from: UtcMillis,
    pub(super) length_ms: u64,
    observed_ms: u64,
    readings: u64,
    vehicles: u64,
    /// Vehicles of observed time only, for the flow.
    vehicles_observed: u64,
    /// Time for which presence or occupancy is known.
    known_ms: u64,
    /// Of that, occupied; fractional where shares were measured.
    occupied_ms: f64,
    speed_sum: f64,
    speed_weight: f64,
}

impl LoopTally {
    pub(super) fn new(grid: IntervalGrid, at: UtcMillis) -> Self {
        Self {
            from: grid.start_of(at),
            length_ms: grid.length_ms(),
            observed_ms: 0,
            readings: 0,
            vehicles: 0,
            vehicles_observed: 0,
            known_ms: 0,
            occupied_ms: 0.0,
            speed_sum: 0.0,
            speed_weight: 0.0,
        }
    }

    pub(super) fn end(&self) -> UtcMillis {
        UtcMillis(self.from.0.saturating_add_unsigned(self.length_ms))
    }

    /// How much of `from..to` lies in this interval, in milliseconds.
    fn overlap(&self, from: UtcMillis, to: UtcMillis) -> u64 {
        let (from, to) = (from.max(self.from), to.min(self.end()));
        u64::try_from(to.0.saturating_sub(from.0)).unwrap_or(0)
    }

    pub(super) fn observed(&mut self, from: UtcMillis, to: UtcMillis) {
        self.observed_ms += self.overlap(from, to);
    }

    /// `share` of `from..to` was occupied.
    pub(super) fn occupied(&mut self, from: UtcMillis, to: UtcMillis, share: f64) {
        let span = self.overlap(from, to);
        self.known_ms += span;
        self.occupied_ms += share * span as f64;
    }

    pub(super) fn reading(&mut self) {
        self.readings += 1;
    }

    pub(super) fn vehicles(&mut self, count: u64, in_observed_time: bool) {
        self.vehicles += count;
        if in_observed_time {
            self.vehicles_observed += count;
        }
    }

    pub(super) fn speed(&mut self, speed: f64, weight: f64) {
        self.speed_sum += speed * weight;
        self.speed_weight += weight;
    }

    /// Whether there is anything to report: time that was observed, or a vehicle.
    pub(super) fn is_worth_reporting(&self) -> bool {
        self.has_rates() || self.vehicles > 0
    }

    /// Rates over a fraction of a second mean nothing.
    fn has_rates(&self) -> bool {
        self.observed_ms >= self.length_ms.min(LEAST_OBSERVED_MS)
    }

    pub(super) fn counts(&self, settings: &LoopSettings) -> Counts {
        let roles = &settings.roles;
        let counts = roles.pulses.is_some() || roles.presence.is_some();
        let rates = self.has_rates();
        let occupancy =
            (rates && self.known_ms > 0).then(|| (self.occupied_ms / self.known_ms as f64).clamp(0.0, 1.0));
        let measured = (self.speed_weight > 0.0).then(|| self.speed_sum / self.speed_weight);
        let speed = measured.or_else(|| self.estimated_speed(settings.effective_length_m?));
        Counts {
            from: self.from,
            length_ms: self.length_ms,
            observed_ms: self.observed_ms,
            partial: self.observed_ms < self.length_ms,
            readings: self.readings,
            vehicles: counts.then_some(self.vehicles),
            flow_per_hour: (counts && rates)
                .then(|| self.vehicles_observed as f64 * MS_PER_HOUR / self.observed_ms as f64),
            occupancy,
            mean_speed: speed.filter(|_| rates),
            forecasts: Vec::new(),
        }
    }

    /// In km/h; `None` where nothing passed or nothing was occupied.
    fn estimated_speed(&self, effective_length_m: f64) -> Option<f64> {
        if self.vehicles_observed == 0 || self.occupied_ms <= 0.0 {
            return None;
        }
        // Metres per millisecond to kilometres per hour.
        Some(self.vehicles_observed as f64 * effective_length_m / self.occupied_ms * 3600.0)
    }
}
