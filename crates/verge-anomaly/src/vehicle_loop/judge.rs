//! The judge over one vehicle detector.

use serde::{Deserialize, Serialize};
use verge_domain::finding::Finding;
use verge_domain::reading::Reading;
use verge_domain::stage::RestoreError;
use verge_domain::time::{Moment, Monotonic, UtcMillis};
use verge_domain::verdict::{Counts, ForecastMeasure};

use super::reports::LoopManner;
use super::tally::LoopTally;
use super::{LoopReports, LoopRole, LoopSettings, MAX_PULSES};
use crate::forecast::{ForecastSeries, ForecastValue};

/// This many late readings in a row mean that a clock stepped back.
const STEP_AFTER: u8 = 16;

/// After the end of an interval, reports on change are waited for this long.
const GRACE_MS: u64 = 2000;

/// Version of the saved state.
const VERSION: u8 = 1;

/// Counts vehicles per interval.
#[derive(Debug)]
pub struct LoopJudge {
    settings: LoopSettings,
    open: Option<LoopTally>,
    /// Everything before this is reported.
    reported_until: UtcMillis,
    late_in_a_row: u8,
    manner: LoopManner,
    /// Newest reading of any role.
    newest: Option<NewestReading>,
    presence: Option<Presence>,
    /// Time of the newest occupancy.
    occupancy_at: Option<UtcMillis>,
    last_pulses: Option<(UtcMillis, f64)>,
    /// A speed whose pulses may still come, in the same message.
    lone_speed: Option<(UtcMillis, f64)>,
    /// Of the flow, where it forecasts.
    forecast: Option<ForecastSeries>,
}

#[derive(Debug, Clone, Copy)]
struct NewestReading {
    at: UtcMillis,
    received: Monotonic,
    /// Receipt after `at`, in milliseconds; negative for a device whose clock is ahead.
    lag_ms: i64,
    /// A reading, not merely a restart.
    live: bool,
    /// The time up to it from the reading before counts as observed.
    observed: bool,
}

#[derive(Debug, Clone, Copy)]
struct Presence {
    occupied: bool,
    /// When it was last reported.
    reported: UtcMillis,
    /// Up to when it is added up.
    summed: UtcMillis,
}

#[derive(Serialize, Deserialize)]
struct SavedLoop {
    v: u8,
    reported_until: UtcMillis,
    open: Option<LoopTally>,
    lag_ms: i64,
    /// It was found that it reports on change.
    #[serde(default)]
    on_change: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    forecast: Option<ForecastSeries>,
}

impl LoopJudge {
    pub(crate) fn new(settings: LoopSettings) -> Self {
        let forecast = (!settings.forecast.is_empty()).then(|| ForecastSeries::new(&settings.forecast));
        Self {
            settings,
            forecast,
            open: None,
            reported_until: UtcMillis(i64::MIN),
            late_in_a_row: 0,
            manner: LoopManner::default(),
            newest: None,
            presence: None,
            occupancy_at: None,
            last_pulses: None,
            lone_speed: None,
        }
    }

    pub(crate) fn observe(&mut self, reading: &Reading, received: Moment, findings: &mut Vec<Finding>) {
        let Some(role) = self.settings.roles.of(&reading.signal) else { return };
        let Some(value) = self.plausible(role, reading.value) else { return };
        let at = reading.time(received.wall);
        let until = self.open.map_or(self.reported_until, |open| open.from);
        if at < until {
            // Empty intervals were reported up to now: what waited for a connection comes too late for them.
            if self.is_on_change() && self.close_together(at, until) {
                if role == LoopRole::Presence {
                    self.note_late_presence(value >= 0.5, at);
                }
                return;
            }
            self.late_in_a_row += 1;
            if self.late_in_a_row < STEP_AFTER {
                return;
            }
            self.start_afresh(findings);
        }
        self.late_in_a_row = 0;
        self.settle_lone_speed(at);
        let observed = self.advance(at, findings);
        if self.newest.is_none_or(|newest| newest.at <= at || !newest.live) {
            let lag_ms = received.wall.0.saturating_sub(at.0);
            self.newest = Some(NewestReading { at, received: received.mono, lag_ms, live: true, observed });
        }
        self.enter(role, value, at, observed);
    }

    /// The value as it is used; `None` for what cannot be.
    fn plausible(&self, role: LoopRole, value: f64) -> Option<f64> {
        let (value, highest) = match role {
            LoopRole::Pulses => (value.round(), MAX_PULSES),
            LoopRole::Presence => (value, f64::MAX),
            LoopRole::Occupancy => (self.settings.occupancy_scale.fraction(value), 1.0),
            LoopRole::Speed => (value, 1e6),
        };
        (role == LoopRole::Presence || (0.0..=highest).contains(&value)).then_some(value)
    }

    fn is_on_change(&self) -> bool {
        self.settings.reports.map_or(self.manner.is_on_change(), |reports| reports == LoopReports::Change)
    }

    /// What a late report says about the road still holds.
    fn note_late_presence(&mut self, occupied: bool, at: UtcMillis) {
        if let Some(presence) = self.presence.as_mut().filter(|presence| presence.reported <= at) {
            (presence.occupied, presence.reported) = (occupied, at);
        }
    }

    fn close_together(&self, from: UtcMillis, to: UtcMillis) -> bool {
        let longest_ms =
            if self.is_on_change() { self.settings.max_silence_ms } else { self.settings.max_gap_ms };
        from <= to && to.0.saturating_sub(from.0).unsigned_abs() <= longest_ms
    }

    /// Carries what is known up to `at`, through as many intervals as lie between, and opens the one of `at`.
    /// Says whether the time since the reading before counts as observed.
    fn advance(&mut self, at: UtcMillis, findings: &mut Vec<Finding>) -> bool {
        let newest = self.newest.filter(|newest| newest.live);
        let since = newest.map(|newest| newest.at).filter(|since| self.close_together(*since, at));
        while let Some(mut open) = self.open {
            self.carry(&mut open, since, at);
            if at < open.end() {
                self.open = Some(open);
                break;
            }
            self.report(&open, findings);
            // Only observed time makes intervals of its own.
            self.open = since.map(|_| LoopTally::new(self.settings.grid, open.end()));
        }
        if self.open.is_none() {
            self.open = Some(LoopTally::new(self.settings.grid, at));
        }
        if let Some(presence) = &mut self.presence {
            presence.summed = presence.summed.max(at);
        }
        // Readings of one message share their time, and what lies before it.
        newest.filter(|newest| newest.at == at).map_or(since.is_some(), |newest| newest.observed)
    }

    fn carry(&self, open: &mut LoopTally, since: Option<UtcMillis>, at: UtcMillis) {
        if let Some(since) = since {
            open.observed(since, at);
        }
        if let Some(presence) = self.presence
            && self.close_together(presence.reported, at)
        {
            open.occupied(presence.summed, at, if presence.occupied { 1.0 } else { 0.0 });
        }
    }

    fn enter(&mut self, role: LoopRole, value: f64, at: UtcMillis, observed: bool) {
        let close = self.occupancy_at.filter(|before| self.close_together(*before, at));
        let counts_edges = self.settings.roles.pulses.is_none();
        match role {
            LoopRole::Pulses => self.manner.note(at, value > 0.0),
            LoopRole::Presence if counts_edges => {
                let before = self.presence.map(|presence| presence.occupied);
                self.manner.note(at, before != Some(value >= 0.5));
            }
            _ => {}
        }
        let Some(open) = &mut self.open else { return };
        open.reading();
        match role {
            LoopRole::Pulses => {
                // Bounded and whole, see `plausible`.
                open.vehicles(value as u64, observed);
                if let Some((_, speed)) = self.lone_speed.take() {
                    open.speed(speed, value);
                }
                self.last_pulses = Some((at, value));
            }
            LoopRole::Presence => {
                if self.presence.is_some_and(|presence| presence.reported > at) {
                    return;
                }
                let occupied = value >= 0.5;
                if counts_edges && occupied && self.presence.is_some_and(|presence| !presence.occupied) {
                    open.vehicles(1, observed);
                }
                let summed = self.presence.map_or(at, |presence| presence.summed.max(at));
                self.presence = Some(Presence { occupied, reported: at, summed });
            }
            LoopRole::Occupancy => {
                if let Some(before) = close
                    && self.settings.roles.presence.is_none()
                {
                    open.occupied(before, at, value);
                }
                self.occupancy_at = self.occupancy_at.max(Some(at));
            }
            LoopRole::Speed => match self.last_pulses {
                Some((time, vehicles)) if time == at => open.speed(value, vehicles),
                _ if counts_edges => open.speed(value, 1.0),
                _ => self.lone_speed = Some((at, value)),
            },
        }
    }

    /// A speed without pulses stands for one vehicle.
    fn settle_lone_speed(&mut self, now: UtcMillis) {
        if let Some((_, speed)) = self.lone_speed.take_if(|(at, _)| *at != now)
            && let Some(open) = &mut self.open
        {
            open.speed(speed, 1.0);
        }
    }

    fn report(&mut self, open: &LoopTally, findings: &mut Vec<Finding>) {
        if open.is_worth_reporting() {
            let mut counts = open.counts(&self.settings);
            self.forecast(&mut counts);
            findings.push(Finding::Counts(counts));
        }
        self.reported_until = open.end();
    }

    /// Takes the flow of an interval of which at least half was observed, and forecasts.
    fn forecast(&mut self, counts: &mut Counts) {
        let (Some(series), Some(flow)) = (&mut self.forecast, counts.flow_per_hour) else { return };
        if counts.observed_ms.saturating_mul(2) < counts.length_ms {
            return;
        }
        let of = &self.settings.forecast;
        series.observe(of, counts.from, flow);
        let known = |(ahead_ms, value): (u64, Option<ForecastValue>)| {
            Some(value?.of(None, ForecastMeasure::Flow, ahead_ms))
        };
        counts.forecasts = series.forecasts(of).filter_map(known).collect();
    }

    fn start_afresh(&mut self, findings: &mut Vec<Finding>) {
        if let Some(open) = self.open.take() {
            self.report(&open, findings);
        }
        let forecast = self.forecast.take();
        *self = Self { manner: self.manner, forecast, ..Self::new(self.settings.clone()) };
    }

    /// Ends intervals whose last moment can no longer be observed. The device's time goes on
    /// from its newest reading by the monotonic clock, so that no clock's lag or step matters.
    pub(crate) fn tick(&mut self, now: Moment, findings: &mut Vec<Finding>) {
        let Some(newest) = self.newest else { return };
        let passed = i64::try_from(now.mono.since(newest.received).as_millis()).unwrap_or(i64::MAX);
        let device_now = newest.at.0.saturating_add(passed);
        let on_change = self.is_on_change();
        let wait_ms = if on_change { GRACE_MS } else { self.settings.max_gap_ms };
        while let Some(end) = self.open.map(|open| open.end()) {
            if device_now <= end.0.saturating_add_unsigned(wait_ms) {
                return;
            }
            self.settle_lone_speed(UtcMillis(i64::MAX));
            let Some(mut open) = self.open.take() else { return };
            // The silence of a detector that reports on change has observed the rest.
            let since = Some(newest.at).filter(|_| on_change && newest.live);
            let since = since.filter(|since| self.close_together(*since, end));
            if since.is_some() {
                self.carry(&mut open, since, end);
                self.open = Some(LoopTally::new(self.settings.grid, end));
                if let Some(presence) = &mut self.presence {
                    presence.summed = presence.summed.max(end);
                }
            }
            self.report(&open, findings);
        }
    }

    pub(crate) fn save(&self) -> Option<Vec<u8>> {
        let lag_ms = self.newest?.lag_ms;
        let saved = SavedLoop {
            v: VERSION,
            reported_until: self.reported_until,
            open: self.open,
            lag_ms,
            on_change: self.manner.is_on_change(),
            forecast: self.forecast.clone(),
        };
        serde_json::to_vec(&saved).ok()
    }

    /// Restores the counts, but not the last reading: what happened since is not known, so that
    /// the time up to the next reading is not observed.
    pub(crate) fn restore(&mut self, state: &[u8], now: Moment) -> Result<(), RestoreError> {
        let saved: SavedLoop =
            serde_json::from_slice(state).map_err(|error| RestoreError::Damaged(Box::new(error)))?;
        if saved.v != VERSION {
            return Err(RestoreError::Foreign);
        }
        let at = UtcMillis(now.wall.0.saturating_sub(saved.lag_ms));
        let of = &self.settings.forecast;
        let forecast = saved.forecast.filter(|series| !of.is_empty() && series.fits(of));
        let forecast = forecast.or_else(|| self.forecast.take());
        *self = Self {
            // The settings may have changed in between; counts on another grid cannot be continued.
            open: saved.open.filter(|open| self.fits(open)),
            reported_until: saved.reported_until,
            forecast,
            manner: LoopManner::restored(saved.on_change),
            newest: Some(NewestReading {
                at,
                received: now.mono,
                lag_ms: saved.lag_ms,
                live: false,
                observed: false,
            }),
            ..Self::new(self.settings.clone())
        };
        Ok(())
    }

    pub(crate) fn heap_bytes(&self) -> usize {
        self.forecast.as_ref().map_or(0, ForecastSeries::heap_bytes)
    }

    fn fits(&self, open: &LoopTally) -> bool {
        let grid = self.settings.grid;
        open.length_ms == grid.length_ms() && grid.start_of(open.from) == open.from
    }
}
