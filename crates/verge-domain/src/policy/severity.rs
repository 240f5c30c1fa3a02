//! When an event is critical, whatever the severity of its judge.

use std::time::Duration;

use crate::finding::Condition;

/// What must hold for an event to be critical: all that is given, at one observation. From then on it is.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct CriticalRule {
    distance: Option<f64>,
    probability: Option<f64>,
    lasted: Option<Duration>,
}

impl CriticalRule {
    /// `distance`: at least so far out, in usual widths. `probability`: at most so probable while all is well. `lasted`:
    /// for at least so long. `None` where nothing is given.
    #[must_use]
    pub fn new(distance: Option<f64>, probability: Option<f64>, lasted: Option<Duration>) -> Option<Self> {
        let given = distance.is_some() || probability.is_some() || lasted.is_some();
        given.then_some(Self { distance, probability, lasted })
    }

    /// Whether it holds. A condition without a distance or a probability is not critical by one.
    pub(super) fn holds(&self, condition: &Condition, lasted_ms: u64) -> bool {
        let at_least = |least: f64| condition.distance().is_some_and(|distance| distance >= least);
        let at_most = |most: f64| condition.p_value.is_some_and(|p| p <= most);
        condition.standing.is_abnormal()
            && self.distance.is_none_or(at_least)
            && self.probability.is_none_or(at_most)
            && self.lasted.is_none_or(|least| u128::from(lasted_ms) >= least.as_millis())
    }
}
