//! Structure and settings of `auto`, chosen on other series than they are scored on.

use verge_anomaly::auto::{AutoDetector, AutoSettings, MEMBERS};
use verge_anomaly::measure::Profile;
use verge_anomaly::measure::nab::{Series, at};

use super::corpus::Labelled;
use crate::cli::eval::nested::{Candidates, Nested, Part};
use crate::cli::output::Progress;

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

pub(super) fn cross_validate(corpus: &[Labelled]) -> anyhow::Result<Option<Nested>> {
    let structures = structures();
    let each = LEVELS.len() * HOLD_OFFS.len();
    let mut parts = vec![Vec::with_capacity(corpus.len()); structures.len() * each];
    let mut progress = Progress::new();
    for (count, one) in corpus.iter().enumerate() {
        progress.show(&format!("cross-validation: {count} of {} series", corpus.len()))?;
        let mut detector = AutoDetector::new(&AutoSettings::default());
        let members: Vec<[f64; MEMBERS.len()]> = one
            .at
            .iter()
            .zip(&one.values)
            .map(|(&at, &value)| detector.observe_members(at, value).1)
            .collect();
        let mut candidate = 0;
        for left_out in &structures {
            let smallest: Vec<f64> = members.iter().map(|all| smallest(all, *left_out)).collect();
            for level in LEVELS {
                for hold_off in HOLD_OFFS {
                    let alarms = alarms(&smallest, 10f64.powf(-level), hold_off);
                    let outcome = at([&Series::new(&alarms, &one.windows)?], Profile::STANDARD, 1.0);
                    parts[candidate].push(Part { gain: outcome.gain, perfect: outcome.perfect });
                    candidate += 1;
                }
            }
        }
    }
    progress.clear()?;
    let neighbours = (0..parts.len()).map(neighbours).collect();
    Ok(Candidates { parts, neighbours }.cross_validate())
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
