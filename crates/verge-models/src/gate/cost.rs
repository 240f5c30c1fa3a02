//! What a model costs, beside another on the same machine.

use super::{GateDecision, Rules};

/// A version that is meant to be faster takes less than this share of the old one's time.
const FASTER: f64 = 0.95;
/// A version whose bytes are the point takes less than this share of the old one's in a package.
const SMALLER: f64 = 0.95;
/// Such a version is slower beyond this share of the old one's time: what differs less may be noise.
const SLOWER: f64 = 1.1;

/// What a model costs on this machine.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Cost {
    /// Processor time of one frame, in ms, the median.
    pub cpu_ms: f64,
    /// Time of one frame, in ms, that 95 of 100 keep within.
    pub p95_ms: f64,
    /// Bytes of its file.
    pub bytes: u64,
    /// Memory that it takes, in bytes, where that was measured.
    pub memory: Option<u64>,
}

impl Cost {
    /// How much of another's processor time it takes.
    #[must_use]
    pub fn times(&self, other: &Self) -> f64 {
        if other.cpu_ms > 0.0 { self.cpu_ms / other.cpu_ms } else { 1.0 }
    }
}

impl Rules {
    /// Whether a version that is meant to be faster is.
    #[must_use]
    pub fn cost(&self, old: &Cost, new: &Cost) -> GateDecision {
        let times = new.times(old);
        let shown = format!("{:.2} ms of CPU instead of {:.2} ({times:.2}x)", new.cpu_ms, old.cpu_ms);
        if times <= FASTER {
            GateDecision::passed(shown)
        } else if self.keep_slower {
            GateDecision::passed(format!(
                "{shown}, kept for its bytes: {} instead of {}",
                new.bytes, old.bytes
            ))
        } else {
            GateDecision::refused(format!(
                "{shown}: not faster; --keep-slower takes it where bytes are the point"
            ))
        }
    }

    /// Whether a version is smaller in a package than the old one, so that it shows. `packed`: bytes of both there.
    #[must_use]
    pub fn is_smaller(packed: (u64, u64)) -> bool {
        #[expect(clippy::cast_precision_loss, reason = "bytes of files")]
        let is_smaller = packed.1 as f64 <= SMALLER * packed.0 as f64;
        is_smaller
    }

    /// Whether a version whose bytes are the point pays: fewer of them in a package, and no more time. `packed`: bytes of both there.
    #[must_use]
    pub fn size(&self, old: &Cost, new: &Cost, packed: (u64, u64)) -> GateDecision {
        #[expect(clippy::cast_precision_loss, reason = "bytes of files")]
        let share = packed.1 as f64 / packed.0.max(1) as f64;
        let times = new.times(old);
        let shown = format!(
            "{} bytes in a package instead of {} ({share:.2}x), {:.2} ms of CPU instead of {:.2} ({times:.2}x)",
            packed.1, packed.0, new.cpu_ms, old.cpu_ms
        );
        if !Self::is_smaller(packed) {
            GateDecision::refused(format!("{shown}: not smaller, which is all that this can gain"))
        } else if times > SLOWER && !self.keep_slower {
            GateDecision::refused(format!(
                "{shown}: slower; --keep-slower takes it where bytes are the point"
            ))
        } else {
            GateDecision::passed(shown)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_faster_is_refused_unless_bytes_are_the_point() {
        let cost = |cpu_ms| Cost { cpu_ms, p95_ms: cpu_ms, bytes: 1_000, memory: None };
        let rules = Rules::default();
        assert!(rules.cost(&cost(10.0), &cost(8.0)).passes);
        let refused = rules.cost(&cost(10.0), &cost(9.7));
        assert!(!refused.passes && refused.reason.contains("0.97x"), "{refused:?}");
        assert!(Rules { keep_slower: true, ..rules }.cost(&cost(10.0), &cost(12.0)).passes);
    }

    #[test]
    fn what_gains_no_bytes_or_costs_time_is_refused_where_bytes_are_the_point() {
        let cost = |cpu_ms| Cost { cpu_ms, p95_ms: cpu_ms, bytes: 1_000, memory: None };
        let check = |rules: Rules, cpu_ms: f64, packed: u64, passes: bool, part: &str| {
            let decision = rules.size(&cost(10.0), &cost(cpu_ms), (1_000, packed));
            assert!(decision.passes == passes && decision.reason.contains(part), "{decision:?}");
        };
        let kept = Rules { keep_slower: true, ..Rules::default() };
        check(Rules::default(), 10.4, 800, true, "0.80x");
        check(Rules::default(), 5.0, 990, false, "not smaller");
        check(kept, 5.0, 990, false, "not smaller");
        check(Rules::default(), 14.0, 300, false, "--keep-slower");
        check(kept, 14.0, 300, true, "1.40x");
    }
}
