//! What the judge counted at the junction beside what the renderer knows.

use std::time::Duration;

use anyhow::Context;
use verge_domain::time::UtcMillis;
use verge_domain::verdict::{PartialReason, Traffic};
use verge_gateway::settings::Settings;

use super::cameras;
use super::scene::SceneCrossing;

/// A count may differ by this many vehicles, or this share of the truth: the model is small, and one vehicle may be between
/// the line as the traffic knows it and the lower edge of its box when the first and the last interval are cut.
const TOLERANCE: u64 = 2;
const TOLERANCE_SHARE: f64 = 0.1;

/// What the renderer knows: the lines of the configuration, and what truly crosses them in a run.
pub(super) struct JunctionTruth {
    lines: Vec<String>,
    /// Their times count from the start of the run.
    crossings: Vec<SceneCrossing>,
}

impl JunctionTruth {
    /// Of the judge that counts, in a run of this length.
    pub(super) fn of(settings: &Settings, run: Duration) -> anyhow::Result<Self> {
        let scene = settings.judges.iter().find_map(|judge| judge.scene()).context("a judge counts")?;
        let places: Vec<[[f64; 2]; 2]> = scene.lines().iter().map(|line| [line.from, line.to]).collect();
        let lines = scene.lines().iter().map(|line| line.name.to_string()).collect();
        Ok(Self { lines, crossings: cameras::true_crossings(&places, run) })
    }
}

/// Counts of one camera beside the truth.
pub(super) struct CountComparison {
    truth: JunctionTruth,
    start: UtcMillis,
    intervals: Vec<ComparedInterval>,
}

/// What was counted in one interval.
struct ComparedInterval {
    from: i64,
    to: i64,
    /// It says of itself that something may be missing.
    is_lower_bound: bool,
    /// By line: forward and backward, and what the judge could not decide.
    counts: Vec<([u64; 2], u64)>,
}

/// One direction of a line over all intervals that have arrived.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct ComparedDirection {
    counted: u64,
    truth: u64,
    /// What must have been counted: the truth of intervals that say of themselves that nothing is missing.
    least: u64,
}

impl ComparedDirection {
    /// Whether it is out of what is tolerated.
    fn is_wrong(self, unresolved: u64) -> bool {
        let most = self.truth + tolerance(self.truth);
        self.counted > most || self.counted + unresolved + tolerance(self.least) < self.least
    }

    fn words(self) -> [String; 3] {
        let difference = i128::from(self.counted) - i128::from(self.truth);
        let difference = if difference == 0 { String::new() } else { format!("{difference:+}") };
        [self.counted.to_string(), self.truth.to_string(), difference]
    }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_precision_loss,
    reason = "a few hundred"
)]
fn tolerance(truth: u64) -> u64 {
    TOLERANCE.max((truth as f64 * TOLERANCE_SHARE) as u64)
}

impl CountComparison {
    /// Of a run that began then.
    pub(super) const fn new(truth: JunctionTruth, start: UtcMillis) -> Self {
        Self { truth, start, intervals: Vec::new() }
    }

    /// An interval has arrived.
    pub(super) fn note(&mut self, traffic: &Traffic) {
        let counts = self.truth.lines.iter().map(|name| {
            let found = traffic.lines.iter().find(|line| line.line.as_str() == name);
            let total = |direction: &Option<verge_domain::verdict::DirectionCounts>| {
                direction.as_ref().map_or(0, |direction| direction.total)
            };
            found.map_or(([0; 2], 0), |line| ([total(&line.forward), total(&line.backward)], line.unresolved))
        });
        self.intervals.push(ComparedInterval {
            from: traffic.from.0,
            to: traffic.from.0.saturating_add_unsigned(traffic.length_ms),
            // Counting begins with the run, as the truth does.
            is_lower_bound: traffic.partial.iter().any(|reason| *reason != PartialReason::Start),
            counts: counts.collect(),
        });
    }

    /// Seconds from the start of the run to a time.
    pub(super) fn second_of(&self, at: UtcMillis) -> f64 {
        at.0.saturating_sub(self.start.0) as f64 / 1000.0
    }

    /// Time of the run up to which counts have arrived.
    fn covered(&self) -> Duration {
        let ends = self.intervals.iter().map(|interval| interval.to);
        let millis = ends.max().map_or(0, |end| end.saturating_sub(self.start.0));
        u64::try_from(millis).map_or(Duration::ZERO, Duration::from_millis)
    }

    /// Of one line: both directions, and what is unresolved.
    fn line(&self, line: usize) -> ([ComparedDirection; 2], u64) {
        let (mut directions, mut unresolved) = ([ComparedDirection::default(); 2], 0);
        for interval in &self.intervals {
            let (counts, of_line) = interval.counts[line];
            unresolved += of_line;
            for (place, direction) in directions.iter_mut().enumerate() {
                let truth = self.truth_in(interval, line, place == 0);
                direction.counted += counts[place];
                direction.truth += truth;
                direction.least += if interval.is_lower_bound { 0 } else { truth };
            }
        }
        (directions, unresolved)
    }

    fn truth_in(&self, interval: &ComparedInterval, line: usize, forward: bool) -> u64 {
        let is_in = |crossing: &&SceneCrossing| {
            let millis = u64::try_from(crossing.at.as_millis()).unwrap_or(u64::MAX);
            let at = self.start.0.saturating_add_unsigned(millis);
            crossing.line == line && crossing.forward == forward && (interval.from..interval.to).contains(&at)
        };
        self.truth.crossings.iter().filter(is_in).count() as u64
    }

    /// As a table; nothing before the first interval has arrived.
    pub(super) fn table(&self) -> Vec<String> {
        if self.intervals.is_empty() {
            return Vec::new();
        }
        let row = |name: &str, cells: [&str; 6]| {
            let [forward, truth, off, backward, back_truth, back_off] = cells;
            format!("{name:<24} {forward:>8} {truth:>6} {off:>4} {backward:>9} {back_truth:>6} {back_off:>4}")
                .trim_end()
                .to_owned()
        };
        let head = format!("line, 0 to {} s", self.covered().as_secs());
        let mut rows = vec![row(&head, ["forward", "truth", "", "backward", "truth", ""])];
        for (line, name) in self.truth.lines.iter().enumerate() {
            let ([forward, backward], _) = self.line(line);
            let ([a, b, c], [d, e, f]) = (forward.words(), backward.words());
            rows.push(row(name, [&a, &b, &c, &d, &e, &f]));
        }
        rows
    }

    /// What is tolerated, in words.
    pub(super) fn tolerated() -> String {
        format!("a count may differ by {TOLERANCE}, or by {:.0} % of the truth", TOLERANCE_SHARE * 100.0)
    }

    /// Whether all intervals that end within a run of this length have arrived: they come some seconds after their end, and later
    /// where something stands on a line.
    pub(super) fn is_complete(&self, run: Duration) -> bool {
        let length = self.intervals.first().map_or(0, |interval| interval.to.saturating_sub(interval.from));
        self.covered() + Duration::from_millis(length.unsigned_abs()) > run
    }

    /// What of a run of this length is not counted, or counted wrong beyond that.
    pub(super) fn faults(&self, run: Duration) -> Vec<String> {
        let mut faults = Vec::new();
        if 2 * self.covered() < run {
            faults.push(format!("vehicles are counted up to {} s only", self.covered().as_secs()));
        }
        for (line, name) in self.truth.lines.iter().enumerate() {
            let (directions, unresolved) = self.line(line);
            for (direction, of) in directions.into_iter().zip(["forward", "backward"]) {
                if direction.is_wrong(unresolved) {
                    let ComparedDirection { counted, truth, .. } = direction;
                    faults.push(format!("line {name}: {counted} counted {of}, {truth} crossed it"));
                }
            }
        }
        faults
    }
}

#[cfg(test)]
mod tests {
    use verge_domain::id::PlaceId;
    use verge_domain::verdict::{DirectionCounts, LineCounts, TimeBasis};

    use super::*;

    const RUN: Duration = Duration::from_secs(6);

    fn traffic(from: i64, [forward, backward, unresolved]: [u64; 3], partial: Vec<PartialReason>) -> Traffic {
        let of = |total| Some(DirectionCounts { total, ..DirectionCounts::default() });
        let line = PlaceId::new("east").unwrap();
        Traffic {
            from: UtcMillis(from),
            length_ms: 5000,
            observed_ms: 5000,
            judged: 25,
            skipped: 0,
            partial,
            time: TimeBasis::Received,
            lines: vec![LineCounts { line, forward: of(forward), backward: of(backward), unresolved }],
            zones: Vec::new(),
            trips: Vec::new(),
        }
    }

    /// Twenty vehicles forward in the first ten seconds of a run that begins at 2 s.
    fn comparison() -> CountComparison {
        let crossing =
            |number: u64| SceneCrossing { at: Duration::from_millis(number * 500), line: 0, forward: true };
        let crossings = (0..20).map(crossing).collect();
        CountComparison::new(JunctionTruth { lines: vec!["east".to_owned()], crossings }, UtcMillis(2000))
    }

    #[test]
    fn only_intervals_that_arrived_are_compared() {
        let mut comparison = comparison();
        assert!(comparison.table().is_empty());
        assert_eq!(comparison.faults(RUN), ["vehicles are counted up to 0 s only"]);
        comparison.note(&traffic(0, [7, 0, 0], vec![PartialReason::Start]));
        let table = comparison.table();
        assert!(
            table[0].starts_with("line, 0 to 3 s ") && table[0].ends_with("backward  truth"),
            "{table:?}"
        );
        let cells: Vec<&str> = table[1].split_whitespace().collect();
        assert_eq!(cells, ["east", "7", "6", "+1", "0", "0"]);
        assert_eq!(comparison.faults(RUN), [""; 0]);
        assert!(comparison.is_complete(RUN) && !comparison.is_complete(2 * RUN));
        assert_eq!(comparison.faults(2 * RUN), ["vehicles are counted up to 3 s only"]);
    }

    #[test]
    fn a_count_beyond_the_tolerance_is_a_fault_and_what_may_be_missing_is_not() {
        let check = |counted: [[u64; 3]; 2], partial: Vec<PartialReason>, expected: &[&str]| {
            let mut comparison = comparison();
            for (from, counts) in [0, 5000].into_iter().zip(counted) {
                comparison.note(&traffic(from, counts, partial.clone()));
            }
            assert_eq!(comparison.faults(RUN), expected);
        };
        // Sixteen crossed it up to 10 s: two more or fewer are tolerated.
        check([[7, 0, 0], [11, 1, 0]], vec![], &[]);
        check([[7, 0, 0], [12, 0, 0]], vec![], &["line east: 19 counted forward, 16 crossed it"]);
        check([[4, 0, 0], [10, 0, 0]], vec![], &[]);
        check([[4, 0, 0], [9, 0, 0]], vec![], &["line east: 13 counted forward, 16 crossed it"]);
        check([[4, 0, 1], [9, 0, 0]], vec![], &[]);
        check([[4, 3, 0], [12, 0, 0]], vec![], &["line east: 3 counted backward, 0 crossed it"]);
        // Lower bounds say so; too many are too many.
        check([[0, 0, 0], [9, 0, 0]], vec![PartialReason::Rate], &[]);
        check(
            [[9, 0, 0], [10, 0, 0]],
            vec![PartialReason::Rate],
            &["line east: 19 counted forward, 16 crossed it"],
        );
    }
}
