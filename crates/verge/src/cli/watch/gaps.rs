//! When missing numbers are reported to a receiver that does not heal. Pure: no clock, no connection.

use std::time::{Duration, Instant};

use super::heal::{Gap, LaneKey};
use verge_wire::counted;

/// Numbers may arrive out of order, over two links: what is missing for this long is reported.
const PATIENCE: Duration = Duration::from_secs(2);

/// What was missing at the last look, and what was reported.
#[derive(Default)]
pub(super) struct GapReports {
    missing: u64,
    since: Option<Instant>,
    reported: u64,
}

impl GapReports {
    /// What to report now, if more is missing than at the last report.
    pub(super) fn look(&mut self, lanes: &[(LaneKey, Vec<Gap>)], now: Instant) -> Option<String> {
        let missing: u64 = lanes.iter().flat_map(|(_, gaps)| gaps).map(|(from, to)| to - from + 1).sum();
        if missing != self.missing {
            (self.missing, self.since) = (missing, Some(now));
        }
        self.reported = self.reported.min(missing);
        let stays = self.since.is_some_and(|since| now.duration_since(since) >= PATIENCE);
        if missing <= self.reported || !stays {
            return None;
        }
        self.reported = missing;
        let ((gateway, _, lane), gaps) = lanes.iter().find(|(_, gaps)| !gaps.is_empty())?;
        let (from, to) = gaps.first()?;
        Some(format!(
            "{} missing, the first: {gateway} {lane} {from} to {to}; --heal asks the gateway to send them again",
            counted(missing, "verdict")
        ))
    }
}

#[cfg(test)]
mod tests {
    use verge_domain::id::{Epoch, GatewayId, Lane};

    use super::*;

    #[test]
    fn a_gap_that_stays_is_reported_once_and_again_when_it_grows() {
        let key = (GatewayId::new("g").unwrap(), Epoch([7; 16]), Lane::Verdict);
        let mut reports = GapReports::default();
        let start = Instant::now();
        let mut look = |to: u64, seconds: u64| {
            let gaps = if to < 3 { vec![] } else { vec![(3, to)] };
            reports.look(&[(key.clone(), gaps)], start + Duration::from_secs(seconds))
        };
        assert_eq!(
            (look(2, 0), look(5, 1), look(2, 2), look(5, 3)),
            (None, None, None, None),
            "it came late"
        );
        let words =
            "3 verdicts missing, the first: g verdict 3 to 5; --heal asks the gateway to send them again";
        assert_eq!((look(5, 5).as_deref(), look(5, 9)), (Some(words), None));
        assert_eq!((look(3, 10), look(3, 20)), (None, None), "less is no news");
        assert!(look(4, 30).is_none() && look(4, 40).is_some_and(|words| words.starts_with("2 verdicts")));
    }
}
