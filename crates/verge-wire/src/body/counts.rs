//! An interval was counted.

use verge_domain::verdict::Counts;

use super::Decided;
use super::traffic::forecast_words;
use crate::number::exact;
use crate::record::record;
use crate::scalar::SpanMs;
use crate::words::{Occasion, counted, span};

record! {
    [Counts {
        from,
        length_ms: length_s,
        observed_ms: observed_s,
        partial,
        readings,
        vehicles,
        flow_per_hour,
        occupancy,
        mean_speed,
        forecasts,
    }]
    Counts as Counts: "counts" {
        0 from,
        1 length_s (SpanMs),
        2 observed_s (SpanMs),
        3 partial,
        4 readings,
        5 vehicles optional,
        6 flow_per_hour optional,
        7 occupancy optional,
        8 mean_speed optional,
        9 forecasts optional,
    }
}

/// What was observed for less is no count.
const LEAST_OBSERVED_MS: u64 = 1000;

impl Decided for Counts {
    fn words(&self, _: &Occasion<'_>) -> String {
        if self.partial && self.observed_ms < LEAST_OBSERVED_MS {
            let passed = self.vehicles.filter(|vehicles| *vehicles > 0);
            let passed = passed.map_or_else(String::new, |n| format!(", {} then", counted(n, "vehicle")));
            return format!(
                "not counted: saw {} of {}{passed}",
                span(self.observed_ms),
                span(self.length_ms)
            );
        }
        let mut parts = Vec::new();
        if let Some(vehicles) = self.vehicles {
            parts.push(counted(vehicles, "vehicle"));
        }
        if let Some(flow) = self.flow_per_hour {
            parts.push(format!("{flow:.0} veh/h"));
        }
        if let Some(occupancy) = self.occupancy {
            parts.push(format!("occupied {:.0} %", occupancy * 100.0));
        }
        if let Some(speed) = self.mean_speed {
            parts.push(format!("mean speed {speed:.0}"));
        }
        if parts.is_empty() {
            parts.push("nothing observed".to_owned());
        }
        let seen =
            if self.partial { format!(" (saw {} of it)", span(self.observed_ms)) } else { String::new() };
        let ahead = forecast_words(&self.forecasts);
        format!("{} in {}{seen}{ahead}", parts.join(", "), span(self.length_ms))
    }

    fn observed(&self) -> Option<f64> {
        self.vehicles.and_then(exact)
    }
}
