//! Whether judges that count see often enough what crosses their lines.

use std::panic::{AssertUnwindSafe, catch_unwind};

use serde::Serialize;
use verge_domain::countable::SeenLines;
use verge_domain::id::{DeviceId, JudgeId};
use verge_domain::stage::Judge;

use super::JudgeSet;

/// Cameras of all judges together that are reported at most, the worst first.
const LISTED: usize = 64;

/// What one judge sees of its lines before one camera.
#[expect(missing_docs, reason = "docs/status.md says what each key means")]
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct CountedLines {
    pub judge: JudgeId,
    pub device: DeviceId,
    #[serde(flatten)]
    pub seen: SeenLines,
}

impl<D, J: Judge> JudgeSet<D, J> {
    /// Cameras before which something has crossed a line, those first whose lines are seen worst.
    #[must_use]
    pub fn counted_lines(&self) -> Vec<CountedLines> {
        let mut counted: Vec<CountedLines> = Vec::new();
        for (_, instance) in &self.instances {
            // A judge that panics here is left out; its next frame finds the fault.
            let seen = catch_unwind(AssertUnwindSafe(|| instance.judge.seen_lines())).ok().flatten();
            let Some(spec) = self.specs.get(instance.judge_index) else { continue };
            let Some(mut seen) = seen else { continue };
            seen.frames_per_s = seen.frames_per_s.map(|rate| (rate * 10.0).round() / 10.0);
            let device = instance.subject.device.clone();
            counted.push(CountedLines { judge: spec.name.clone(), device, seen });
        }
        let worst = |of: &CountedLines| of.seen.lines.iter().map(|line| line.verdict).max();
        counted.sort_by(|a, b| {
            worst(b).cmp(&worst(a)).then_with(|| (&a.judge, &a.device).cmp(&(&b.judge, &b.device)))
        });
        counted.truncate(LISTED);
        counted
    }
}
