//! Latencies of the last minutes.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use serde::{Serialize, Serializer};

/// Times of one kind in the last five to ten minutes, in histograms of fixed size (two significant digits, 1 µs to 60 s).
/// If nothing came for longer, the last ones that came.
#[derive(Debug)]
pub struct Latency(Mutex<Recent>);

#[derive(Debug)]
struct Recent {
    now: Histogram<u64>,
    before: Histogram<u64>,
    since: Instant,
}

/// A histogram since the start would hide a fault of today within weeks.
const LATENCY_WINDOW: Duration = Duration::from_secs(300);

impl Recent {
    fn turn(&mut self, at: Instant) {
        if at.saturating_duration_since(self.since) >= LATENCY_WINDOW && !self.now.is_empty() {
            std::mem::swap(&mut self.now, &mut self.before);
            self.now.reset();
            self.since = at;
        }
    }
}

/// The values of a [`Latency`]; in JSON in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Percentiles {
    /// Half were at most this.
    #[serde(serialize_with = "milliseconds")]
    pub p50: Duration,
    /// 99 in 100 were at most this.
    #[serde(serialize_with = "milliseconds")]
    pub p99: Duration,
}

fn milliseconds<S: Serializer>(span: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_f64(span.as_secs_f64() * 1000.0)
}

const LONGEST_LATENCY: Duration = Duration::from_secs(60);

impl Default for Latency {
    fn default() -> Self {
        let longest = u64::try_from(LONGEST_LATENCY.as_micros()).expect("a minute fits");
        let empty = Histogram::new_with_max(longest, 2).expect("the bounds are those the type documents");
        Self(Mutex::new(Recent { now: empty.clone(), before: empty, since: Instant::now() }))
    }
}

impl Latency {
    /// Records some.
    pub fn note(&self, latencies: impl Iterator<Item = Duration>) {
        self.note_at(Instant::now(), latencies);
    }

    fn note_at(&self, at: Instant, latencies: impl Iterator<Item = Duration>) {
        let mut recent = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        recent.turn(at);
        for latency in latencies {
            // Longer ones count as the longest.
            recent.now.saturating_record(u64::try_from(latency.as_micros()).unwrap_or(u64::MAX));
        }
    }

    /// Median and 99th percentile; `None` before the first.
    #[must_use]
    pub fn percentiles(&self) -> Option<Percentiles> {
        let recent = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut both = recent.now.clone();
        both.add(&recent.before).expect("both have the same bounds");
        drop(recent);
        let at = |quantile| Duration::from_micros(both.value_at_quantile(quantile));
        (!both.is_empty()).then(|| Percentiles { p50: at(0.5), p99: at(0.99) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn latencies_of_today_are_not_hidden_by_those_of_last_month() {
        let latency = Latency::default();
        let start = Instant::now();
        let p99 = || latency.percentiles().unwrap().p99.as_millis();
        latency.note_at(start, std::iter::repeat_n(Duration::from_millis(1), 1_000_000));
        assert_eq!(p99(), 1);
        for minutes in [6, 12] {
            latency.note_at(start + Duration::from_secs(60 * minutes), [Duration::from_secs(1)].into_iter());
        }
        assert!(p99() >= 990, "{} ms", p99());
        latency.note_at(start + Duration::from_secs(3600), std::iter::empty());
        assert!(p99() >= 990, "where nothing came, what came last");
    }
}
