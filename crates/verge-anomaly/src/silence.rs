//! Absence of readings.
//!
//! Measured on the monotonic clock between receipts, so that neither a device's clock nor a step of the
//! gateway's can hide or fake a silence. A judge that has received nothing yet counts from when it was
//! made: an expected device that never sends is silent too. That a signal was received outlives a restart,
//! so that one which fell silent while the gateway was away is missed as well.

use std::time::Duration;

use verge_domain::finding::{Condition, Expected, Finding, Member, Standing};
use verge_domain::stage::RestoreError;
use verge_domain::time::Monotonic;

use crate::fault::{SettingsError, check_span};

/// Limits on the time between readings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SilenceSettings {
    after: Duration,
}

impl SilenceSettings {
    /// Silent is what was not received for longer than `after`.
    ///
    /// # Errors
    /// Shorter than 10 ms (time is checked a few times a second) or longer than 366 days.
    pub fn new(after: Duration) -> Result<Self, SettingsError> {
        check_span("after", after, Duration::from_millis(10), Duration::from_secs(366 * 86_400))?;
        Ok(Self { after })
    }
}

/// The whole state worth saving.
const HAS_SENT: &[u8] = b"heard";

/// Watches for the absence of readings.
#[derive(Debug)]
pub struct SilenceJudge {
    after: Duration,
    last_received: Monotonic,
    has_sent: bool,
    /// The silence that lasts now has been reported.
    reported: bool,
    /// The device has said that it is away.
    is_away: bool,
}

impl SilenceJudge {
    pub(crate) fn new(settings: SilenceSettings, now: Monotonic) -> Self {
        Self { after: settings.after, last_received: now, has_sent: false, reported: false, is_away: false }
    }

    pub(crate) fn observe(&mut self, received: Monotonic, findings: &mut Vec<Finding>) {
        // A silence that fits between two ticks still happened: it is raised and cleared at once.
        if !self.reported {
            self.tick(received, findings);
        }
        self.last_received = self.last_received.max(received);
        self.has_sent = true;
        self.reported = false;
        self.is_away = false;
        findings.push(self.condition(Standing::Normal, Duration::ZERO));
    }

    /// Reports nothing while all is well: an event that was open before a restart must only be cleared by a
    /// reading.
    pub(crate) fn tick(&mut self, now: Monotonic, findings: &mut Vec<Finding>) {
        let silent_for = now.since(self.last_received);
        if silent_for > self.after || self.is_away {
            self.reported = true;
            findings.push(self.condition(Standing::Abnormal, silent_for));
        }
    }

    /// Its device says that it is away.
    pub(crate) fn away(&mut self, now: Monotonic, findings: &mut Vec<Finding>) {
        self.is_away = true;
        self.tick(now, findings);
    }

    /// The time in which nothing was expected is no silence.
    pub(crate) fn resume(&mut self, now: Monotonic) {
        self.last_received = now;
    }

    pub(crate) fn save(&self) -> Option<Vec<u8>> {
        self.has_sent.then(|| HAS_SENT.to_vec())
    }

    /// Time counts from now: how long it was silent before is not known.
    pub(crate) fn restore(&mut self, state: &[u8], now: Monotonic) -> Result<(), RestoreError> {
        if state != HAS_SENT {
            return Err(RestoreError::Foreign);
        }
        self.has_sent = true;
        self.last_received = now;
        Ok(())
    }

    fn condition(&self, standing: Standing, silent_for: Duration) -> Finding {
        Finding::Condition(Condition::of_rule(
            Member::Silent,
            standing,
            silent_for.as_secs_f64(),
            Expected { low: None, high: Some(self.after.as_secs_f64()) },
        ))
    }
}
