//! How fast a device may send.

use std::time::Duration;

use tokio::time::Instant;

use crate::policy::SendRate;

/// What a device may save up, in seconds of its rate.
const BURST_S: f64 = 2.0;

/// What a device may still send at once.
#[derive(Debug)]
pub(super) struct Allowance {
    rate: (f64, f64),
    left: (f64, f64),
    at: Instant,
}

impl Allowance {
    pub(super) fn of(rate: SendRate, now: Instant) -> Self {
        let rate = (f64::from(rate.messages), f64::from(rate.bytes));
        Self { rate, left: (BURST_S * rate.0, BURST_S * rate.1), at: now }
    }

    pub(super) fn spend(&mut self, messages: u64, bytes: usize, now: Instant) -> Option<Duration> {
        let passed = now.saturating_duration_since(self.at).as_secs_f64();
        self.at = self.at.max(now);
        let spend = |left: &mut f64, rate: f64, spent: f64| {
            *left = (*left + passed * rate).min(BURST_S * rate) - spent;
            (-*left / rate).max(0.0)
        };
        #[expect(clippy::cast_precision_loss, reason = "what one connection holds at once")]
        let waits = (
            spend(&mut self.left.0, self.rate.0, messages as f64),
            spend(&mut self.left.1, self.rate.1, bytes as f64),
        );
        let wait = waits.0.max(waits.1);
        (wait > 0.0).then(|| Duration::try_from_secs_f64(wait).unwrap_or(Duration::MAX))
    }
}
