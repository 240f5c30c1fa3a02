//! A sensor or device is faulty.

use verge_domain::finding::Member;
use verge_domain::verdict::{Event, Health};

use super::Decided;
use crate::record::record;
use crate::words::{against, event_words, unit_words};

record!(Health: "health" { 0 cause, 1 observed, 2 expected optional });

impl Decided for Health {
    fn words(&self, event: Option<&Event>) -> String {
        let cause = if self.cause == Member::ClockSkewed { "clock skewed" } else { self.cause.as_str() };
        event_words(cause, event) + &against(self.observed, &self.expected, &unit_words(self.cause, None))
    }

    fn observed(&self) -> Option<f64> {
        Some(self.observed)
    }
}
