//! What a model costs, beside another on the same machine.

use super::{Decision, Rules};

/// A version that is meant to be faster takes less than this share of the old one's time.
const FASTER: f64 = 0.95;

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
    pub fn cost(&self, old: &Cost, new: &Cost) -> Decision {
        let times = new.times(old);
        let shown = format!("{:.2} ms of CPU instead of {:.2} ({times:.2}x)", new.cpu_ms, old.cpu_ms);
        if times <= FASTER {
            Decision::passed(shown)
        } else if self.keep_slower {
            Decision::passed(format!("{shown}, kept for its bytes: {} instead of {}", new.bytes, old.bytes))
        } else {
            Decision::refused(format!(
                "{shown}: not faster; --keep-slower takes it where bytes are the point"
            ))
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
}
