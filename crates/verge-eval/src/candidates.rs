//! Structure and settings of `auto`, chosen on other series than they are scored on.

use std::ops::RangeInclusive;

use verge_anomaly::auto::{AutoDetector, AutoSettings, MEMBERS};
use verge_domain::time::UtcMillis;

use crate::measure::nab::{Series, at};
use crate::measure::{MeasureError, ScoreProfile};
use crate::nested::{Candidates, Nested, ScorePart};

/// Levels: the smallest probability of a member, as a power of ten.
const LEVELS: [f64; 13] = [2.5, 2.625, 2.75, 2.875, 3.0, 3.125, 3.25, 3.375, 3.5, 3.625, 3.75, 3.875, 4.0];
/// Readings after an alarm before the next.
const HOLD_OFFS: [u32; 7] = [60, 80, 90, 100, 110, 120, 150];
/// Levels and hold-offs to each side that count as neighbours.
const NEAR: (usize, usize) = (2, 1);

/// All members, and all but one.
fn structures() -> Vec<Option<usize>> {
    std::iter::once(None).chain((0..MEMBERS.len()).map(Some)).collect()
}

/// What every candidate gets on each series of the Numenta Anomaly Benchmark.
#[derive(Debug)]
pub struct AutoCandidates {
    structures: Vec<Option<usize>>,
    /// For each candidate, a part for each series.
    parts: Vec<Vec<ScorePart>>,
}

impl Default for AutoCandidates {
    fn default() -> Self {
        let structures = structures();
        let parts = vec![Vec::new(); structures.len() * LEVELS.len() * HOLD_OFFS.len()];
        Self { structures, parts }
    }
}

impl AutoCandidates {
    /// Runs all candidates over one more series; `windows` are its labelled rows.
    ///
    /// # Errors
    /// The windows do not fit the series.
    pub fn add(
        &mut self,
        times: &[UtcMillis],
        values: &[f64],
        windows: &[RangeInclusive<usize>],
    ) -> Result<(), MeasureError> {
        let mut detector = AutoDetector::new(&AutoSettings::default());
        let rows = times.iter().zip(values);
        let members: Vec<[f64; MEMBERS.len()]> =
            rows.map(|(&at, &value)| detector.observe_members(at, value).1).collect();
        let mut candidates = self.parts.iter_mut();
        for left_out in &self.structures {
            let smallest: Vec<f64> = members.iter().map(|all| smallest(all, *left_out)).collect();
            for level in LEVELS {
                for (hold_off, parts) in HOLD_OFFS.into_iter().zip(&mut candidates) {
                    let alarms = alarms(&smallest, 10f64.powf(-level), hold_off);
                    let outcome = at([&Series::new(&alarms, windows)?], ScoreProfile::STANDARD, 1.0);
                    parts.push(ScorePart { gain: outcome.gain, perfect: outcome.perfect });
                }
            }
        }
        Ok(())
    }

    /// What settings score that were chosen on other series; `None` with too few series.
    #[must_use]
    pub fn cross_validate(self) -> Option<Nested> {
        let neighbours = (0..self.parts.len()).map(neighbours).collect();
        Candidates { parts: self.parts, neighbours }.cross_validate()
    }
}

fn smallest(members: &[f64; MEMBERS.len()], left_out: Option<usize>) -> f64 {
    let kept = members.iter().enumerate().filter(|(member, _)| Some(*member) != left_out);
    kept.map(|(_, &p)| p).fold(1.0, f64::min)
}

/// 1 where an alarm is raised, 0 elsewhere.
fn alarms(smallest: &[f64], level: f64, hold_off: u32) -> Vec<f64> {
    let mut since = u32::MAX;
    let rows = smallest.iter().map(|&p| {
        let alarm = p <= level && since > hold_off;
        since = if alarm { 1 } else { since.saturating_add(1) };
        if alarm { 1.0 } else { 0.0 }
    });
    rows.collect()
}

/// Candidates of the same structure whose level and hold-off lie next to those of one, itself included.
fn neighbours(candidate: usize) -> Vec<usize> {
    let each = LEVELS.len() * HOLD_OFFS.len();
    let first = candidate / each * each;
    let (level, hold_off) = (candidate % each / HOLD_OFFS.len(), candidate % HOLD_OFFS.len());
    let near =
        |center: usize, far: usize, count: usize| center.saturating_sub(far)..(center + far + 1).min(count);
    near(level, NEAR.0, LEVELS.len())
        .flat_map(|level| {
            near(hold_off, NEAR.1, HOLD_OFFS.len())
                .map(move |hold_off| first + level * HOLD_OFFS.len() + hold_off)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neighbours_stay_within_their_structure() {
        let each = LEVELS.len() * HOLD_OFFS.len();
        assert_eq!(neighbours(0), [0, 1, 7, 8, 14, 15]);
        assert_eq!(neighbours(each), [each, each + 1, each + 7, each + 8, each + 14, each + 15]);
        let middle = 5 * HOLD_OFFS.len() + 3;
        let around = neighbours(middle);
        assert_eq!(around.len(), 15);
        assert!(around.contains(&middle));
    }

    #[test]
    fn alarms_wait_for_the_hold_off() {
        let p = [1.0, 1e-4, 1e-4, 1e-4, 1.0, 1e-4];
        assert_eq!(alarms(&p, 1e-3, 2), [0.0, 1.0, 0.0, 0.0, 0.0, 1.0]);
    }
}
