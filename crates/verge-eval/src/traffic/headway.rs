//! Headways and gaps of single lanes against the truth.

use verge_scene::{DirectionTally, SceneReport};

use super::BEGIN;
use super::truth::{TrueCrossing, Truth};

/// Headways and gaps of one line and direction.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Headways {
    /// The middle one of the headways, in seconds.
    pub median: f64,
    /// Share of those below 2 s.
    pub short: f64,
    /// Mean gap in seconds.
    pub gap: f64,
}

impl Headways {
    /// What is true of one line and direction until then, if at least two vehicles crossed.
    #[must_use]
    pub fn truly(truth: &Truth, (line, forward): (usize, bool), until: f64) -> Option<Self> {
        let is_of = |one: &&TrueCrossing| (one.line, one.forward) == (line, forward) && one.at < until;
        let mut crossed: Vec<&TrueCrossing> = truth.crossings.iter().filter(is_of).collect();
        crossed.sort_by(|a, b| a.at.total_cmp(&b.at));
        let (mut headways, mut gaps) = (Vec::new(), Vec::new());
        for pair in crossed.windows(2) {
            let headway = pair[1].at - pair[0].at;
            headways.push(headway);
            // What stands for a vehicle is its end nearer to the camera: forward is towards it, so that this is the front, and
            // behind it comes the vehicle's own length; of the other direction it is the rear, and its length goes ahead.
            let nearer = if forward { pair[0] } else { pair[1] };
            gaps.extend(truth.passing.get(&(nearer.id, line)).map(|passing| (headway - passing).max(0.0)));
        }
        Self::of(headways, &gaps)
    }

    /// What was measured of it.
    #[must_use]
    pub fn measured(report: &SceneReport, (line, forward): (usize, bool), until: f64) -> Option<Self> {
        let within = report.intervals.iter().filter(|interval| {
            #[expect(clippy::cast_precision_loss, reason = "milliseconds of this century")]
            let from = interval.from.0 as f64 / 1e3;
            from - BEGIN < until
        });
        let tallies: Vec<&DirectionTally> = within
            .filter_map(|interval| interval.lines.get(line))
            .map(|tally| if forward { &tally.forward } else { &tally.backward })
            .collect();
        let headways = tallies.iter().flat_map(|tally| &tally.headways).map(|&one| f64::from(one)).collect();
        let (sum, count) =
            tallies.iter().fold((0.0, 0), |(sum, count), tally| (sum + tally.gaps.0, count + tally.gaps.1));
        let mean = (count > 0).then(|| sum / f64::from(count))?;
        Self::of(headways, &[mean])
    }

    fn of(mut headways: Vec<f64>, gaps: &[f64]) -> Option<Self> {
        headways.sort_by(f64::total_cmp);
        let median = *headways.get(headways.len() / 2)?;
        #[expect(clippy::cast_precision_loss, reason = "an hour of traffic")]
        let (count, gap_count) = (headways.len() as f64, gaps.len() as f64);
        #[expect(clippy::cast_precision_loss, reason = "an hour of traffic")]
        let short = headways.iter().filter(|&&seconds| seconds < 2.0).count() as f64 / count;
        (gap_count > 0.0).then(|| Self { median, short, gap: gaps.iter().sum::<f64>() / gap_count })
    }
}
