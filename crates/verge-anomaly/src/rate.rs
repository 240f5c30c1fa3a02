//! Limits on the rate of change.
//!
//! The rate is the difference quotient over a sliding window,
//!
//! ```text
//! rate = (x_now - x_ref) / (t_now - t_ref)      per second
//! ```
//!
//! where the reference is the newest retained reading that is at least one window old. Until there is one,
//! it is the oldest reading, once that is at least half a window old; before that, nothing is judged. After a
//! long pause a reference older than two windows gives way as soon as another is half a window old. A
//! signal with fewer readings than one per window is thus judged from reading to reading.
//!
//! Time is the signal's own: the device's where it is trusted, else the monotonic clock of receipt. When a
//! signal changes from one to the other, the window starts again. A reading older than the newest is passed
//! over, unless [`STEP_AFTER`] come in a row: then the device's clock has stepped back, and the window starts
//! afresh. Readings with equal times are judged, each against the same reference.
//!
//! Memory is bounded: a reading is retained only if it is at least 1/62 of the window newer than the one
//! retained before, so that at most [`MAX_RETAINED`] are; the reference may be that much older than one
//! window.
//!
//! `Rise` is abnormal above `rise_above` and normal at or below `rise_above * (1 - hysteresis)`; `Fall` is
//! the same for the negative rate. `observed` is the signed rate in both.

use std::collections::VecDeque;
use std::time::Duration;

use verge_domain::finding::{Condition, Expected, Finding, Member};
use verge_domain::reading::Reading;
use verge_domain::time::{DeviceClock, Moment};

use crate::fault::{SettingsError, check_finite, check_span};
use crate::threshold::standing;

/// Readings retained at most, per judge.
pub const MAX_RETAINED: usize = 64;

/// This many readings in a row that are older than the newest mean that the device's clock stepped back.
pub const STEP_AFTER: u8 = 16;

/// Limits on the change per second.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RateSettings {
    rise_above: Option<f64>,
    fall_above: Option<f64>,
    window: Duration,
    hysteresis: f64,
}

impl RateSettings {
    /// Checks limits, both positive and in the signal's unit per second; `hysteresis` is the part of a limit
    /// by which the rate must fall under it to clear, `0..=1`.
    ///
    /// # Errors
    /// No limit at all, a limit that is not finite and positive, a window shorter than 100 ms or longer than
    /// 30 days, a hysteresis outside `0..=1`.
    pub fn new(
        rise_above: Option<f64>,
        fall_above: Option<f64>,
        window: Duration,
        hysteresis: f64,
    ) -> Result<Self, SettingsError> {
        for (key, limit) in [("rise_above", rise_above), ("fall_above", fall_above)] {
            check_finite(key, limit)?;
            if let Some(actual) = limit.filter(|&limit| limit <= 0.0) {
                return Err(SettingsError::NotPositive { key, actual });
            }
        }
        if rise_above.or(fall_above).is_none() {
            return Err(SettingsError::NoLimit("rise_above or fall_above"));
        }
        check_span("window", window, Duration::from_millis(100), Duration::from_secs(30 * 86_400))?;
        if !(0.0..=1.0).contains(&hysteresis) {
            let (low, high) = (0.0, 1.0);
            return Err(SettingsError::OutOfRange { key: "hysteresis", actual: hysteresis, low, high });
        }
        Ok(Self { rise_above, fall_above, window, hysteresis })
    }
}

/// Watches the rate of change of one signal.
#[derive(Debug)]
pub struct RateJudge {
    settings: RateSettings,
    expected: Expected,
    window: RateWindow,
}

impl RateJudge {
    pub(crate) fn new(settings: RateSettings) -> Self {
        let expected = Expected { low: settings.fall_above.map(|limit| -limit), high: settings.rise_above };
        Self { settings, expected, window: RateWindow::new(settings.window) }
    }

    pub(crate) fn observe(&mut self, reading: &Reading, received: Moment, findings: &mut Vec<Finding>) {
        let Some(rate) = self.window.rate(SourceInstant::of(reading, received), reading.value) else {
            return;
        };
        let keep = 1.0 - self.settings.hysteresis;
        let rise = self.settings.rise_above.map(|limit| (Member::Rise, standing(rate, limit, limit * keep)));
        let fall = self.settings.fall_above.map(|limit| (Member::Fall, standing(-rate, limit, limit * keep)));
        for (member, standing) in rise.into_iter().chain(fall) {
            findings.push(Finding::Condition(Condition::of_rule(member, standing, rate, self.expected)));
        }
    }

    /// No rate spans a pause.
    pub(crate) fn resume(&mut self) {
        self.window.samples.clear();
    }

    pub(crate) fn heap_bytes(&self) -> usize {
        self.window.samples.capacity() * size_of::<RateSample>()
    }
}

/// Whose clock a time was read from. The two are never compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum TimeSource {
    /// The device's, in UTC.
    Device,
    /// The gateway's monotonic one, at receipt.
    Receipt,
}

#[derive(Debug, Clone, Copy)]
struct SourceInstant {
    clock: TimeSource,
    at_us: i64,
}

impl SourceInstant {
    fn of(reading: &Reading, received: Moment) -> Self {
        match (reading.clock, reading.captured_at) {
            (DeviceClock::Trusted, Some(at)) => {
                Self { clock: TimeSource::Device, at_us: at.0.saturating_mul(1000) }
            }
            _ => {
                Self { clock: TimeSource::Receipt, at_us: i64::try_from(received.mono.0).unwrap_or(i64::MAX) }
            }
        }
    }
}

#[derive(Debug, Clone, Copy)]
struct RateSample {
    at_us: i64,
    value: f64,
}

/// The retained readings of a sliding window.
#[derive(Debug)]
struct RateWindow {
    length_us: i64,
    /// Least distance between retained readings.
    spacing_us: i64,
    /// In order of time; the first is the reference.
    samples: VecDeque<RateSample>,
    newest: Option<SourceInstant>,
    /// Readings in a row that were older than the newest.
    older_in_a_row: u8,
}

impl RateWindow {
    fn new(length: Duration) -> Self {
        let length_us = i64::try_from(length.as_micros()).expect("settings bound the window to 30 days");
        // Inside the window lie fewer than 62 spacings, hence at most 62 readings, and one before it.
        let parts = (MAX_RETAINED - 2) as i64;
        let spacing_us = (length_us + parts - 1) / parts;
        Self { length_us, spacing_us, samples: VecDeque::new(), newest: None, older_in_a_row: 0 }
    }

    /// Takes a reading into the window and returns the rate per second, finite, if there is one.
    fn rate(&mut self, now: SourceInstant, value: f64) -> Option<f64> {
        match self.newest {
            Some(newest) if newest.clock != now.clock => self.samples.clear(),
            Some(newest) if now.at_us < newest.at_us => {
                self.older_in_a_row += 1;
                if self.older_in_a_row < STEP_AFTER {
                    return None;
                }
                self.samples.clear();
            }
            _ => {}
        }
        self.older_in_a_row = 0;
        self.newest = Some(now);
        self.drop_stale(now.at_us);
        let rate = self.samples.front().and_then(|reference| self.quotient(*reference, now.at_us, value));
        let since_last = self.samples.back().map(|last| now.at_us.saturating_sub(last.at_us));
        if since_last.is_none_or(|span| span >= self.spacing_us) {
            self.samples.push_back(RateSample { at_us: now.at_us, value });
        }
        rate
    }

    /// Makes the right reading the first.
    fn drop_stale(&mut self, now_us: i64) {
        while let (Some(first), Some(second)) = (self.samples.front(), self.samples.get(1)) {
            let first_age = now_us.saturating_sub(first.at_us);
            let second_age = now_us.saturating_sub(second.at_us);
            let outdated = first_age > 2 * self.length_us && second_age >= self.length_us / 2;
            if second_age < self.length_us && !outdated {
                break;
            }
            self.samples.pop_front();
        }
    }

    fn quotient(&self, reference: RateSample, now_us: i64, value: f64) -> Option<f64> {
        let span_us = now_us.saturating_sub(reference.at_us);
        if span_us < self.length_us / 2 {
            return None;
        }
        // The difference of two finite numbers can be infinite, and so can its quotient; neither is ever NaN.
        let difference = (value - reference.value).clamp(f64::MIN, f64::MAX);
        Some((difference / (span_us as f64 / 1e6)).clamp(f64::MIN, f64::MAX))
    }
}
