//! Stands in for `verge_anomaly::auto` and `verge_anomaly::multi`: plain distances from a running mean.

use verge_domain::finding::Expected;

/// As `verge_anomaly::auto::Assessment`.
pub(super) struct Assessment {
    pub(super) p_value: f64,
    pub(super) alarm: bool,
    pub(super) abnormal: bool,
    pub(super) held: bool,
    pub(super) expected: Expected,
}

/// Distance from a running mean in running deviations, as a probability.
struct Mean {
    seen: u32,
    mean: f64,
    variance: f64,
}

const LEVEL: f64 = 1e-3;
const HOLD_OFF: u32 = 100;
/// Deviations that [`LEVEL`] is.
const WIDTH: f64 = 3.3;

impl Mean {
    fn new() -> Self {
        Self { seen: 0, mean: 0.0, variance: 0.0 }
    }

    fn observe(&mut self, value: f64) -> (f64, Expected) {
        if self.seen == 0 {
            self.mean = value;
        }
        self.seen += 1;
        let rate = (1.0 / f64::from(self.seen)).max(0.005);
        let off = value - self.mean;
        let deviation = self.variance.sqrt().max(1e-9);
        let (low, high) = (self.mean - WIDTH * deviation, self.mean + WIDTH * deviation);
        self.mean += rate * off;
        self.variance += rate * (off * off - self.variance);
        if self.seen < 50 {
            return (1.0, Expected::default());
        }
        let p_value = (-0.5 * (off / deviation).powi(2)).exp().max(1e-30);
        (p_value, Expected { low: Some(low), high: Some(high) })
    }
}

pub(super) mod auto {
    use verge_domain::time::UtcMillis;

    use super::{Assessment, HOLD_OFF, LEVEL, Mean};

    #[derive(Default)]
    pub(in super::super) struct AutoSettings {}

    impl AutoSettings {
        pub(in super::super) fn fixed_level() -> f64 {
            LEVEL
        }
    }

    pub(in super::super) struct AutoDetector {
        mean: Mean,
        since_alarm: u32,
    }

    impl AutoDetector {
        pub(in super::super) fn new(_settings: &AutoSettings) -> Self {
            Self { mean: Mean::new(), since_alarm: u32::MAX }
        }

        pub(in super::super) fn observe(&mut self, _at: UtcMillis, value: f64) -> Assessment {
            let (p_value, expected) = self.mean.observe(value);
            let abnormal = p_value <= LEVEL;
            let free = self.since_alarm > HOLD_OFF;
            let alarm = abnormal && free;
            self.since_alarm = if alarm { 1 } else { self.since_alarm.saturating_add(1) };
            Assessment { p_value, alarm, abnormal, held: abnormal && !free, expected }
        }

        pub(in super::super) fn bytes() -> usize {
            size_of::<Self>()
        }
    }
}

pub(super) mod multi {
    use verge_domain::finding::Expected;
    use verge_domain::time::UtcMillis;

    use super::{Assessment, LEVEL, Mean};

    #[derive(Default)]
    pub(in super::super) struct MultiSettings {}

    impl MultiSettings {
        pub(in super::super) fn fixed_level() -> f64 {
            LEVEL
        }
    }

    pub(in super::super) struct MultiDetector {
        means: Vec<Mean>,
        was_abnormal: bool,
    }

    impl MultiDetector {
        pub(in super::super) fn new(_settings: &MultiSettings, signals: usize) -> Self {
            Self { means: std::iter::repeat_with(Mean::new).take(signals).collect(), was_abnormal: false }
        }

        pub(in super::super) fn observe(&mut self, _at: UtcMillis, values: &[f64]) -> Assessment {
            let each = self.means.iter_mut().zip(values).map(|(mean, value)| mean.observe(*value).0);
            let p_value = each.fold(1.0, f64::min);
            let abnormal = p_value <= LEVEL;
            let alarm = abnormal && !self.was_abnormal;
            self.was_abnormal = abnormal;
            Assessment { p_value, alarm, abnormal, held: false, expected: Expected::default() }
        }

        pub(in super::super) fn bytes(signals: usize) -> usize {
            size_of::<Self>() + signals * size_of::<Mean>()
        }
    }
}
