//! What judges measure before their cameras, handed to the judges that look at it like at readings.

use verge_domain::finding::{Finding, Measure};
use verge_domain::reading::{Reading, SourceIndex};
use verge_domain::rejection::Rejection;
use verge_domain::stage::{Decoder, Judge};
use verge_domain::time::{DeviceClock, Moment};
use verge_domain::verdict::{Subject, TimeBasis};

use super::{Decision, JudgeSet};

/// What was measured before one camera.
#[derive(Debug)]
pub(super) struct CameraMeasure {
    subject: Subject,
    measure: Measure,
}

/// Keeps the measures among what a judge has found.
pub(super) fn keep(findings: &[Finding], subject: &Subject, measured: &mut Vec<CameraMeasure>) {
    let measures = findings.iter().filter_map(|finding| match finding {
        Finding::Measure(measure) => Some(measure.clone()),
        _ => None,
    });
    measured.extend(measures.map(|measure| CameraMeasure { subject: subject.clone(), measure }));
}

impl<D: Decoder<Item = Reading>, J: Judge> JudgeSet<D, J> {
    /// Judges what was measured, as far as a judge looks at it. Measures of what that causes there are none: who judges readings
    /// measures nothing.
    pub(super) fn judge_measures(&mut self, received: Moment, now: Moment, out: &mut Decision) {
        if self.measured.is_empty() {
            return;
        }
        let mut measured = std::mem::take(&mut self.measured);
        for CameraMeasure { subject, measure } in measured.drain(..) {
            let known = self.sources.iter().position(|source| *source == subject.source);
            let Some(source) = known.and_then(|at| u16::try_from(at).ok()).map(SourceIndex) else { continue };
            let looks = |(_, spec): (_, &super::JudgeSpec<J>)| {
                spec.inputs.takes(source, &subject.device, &measure.signal)
            };
            if !self.specs.iter().any(looks) {
                continue;
            }
            let clock = match measure.time {
                TimeBasis::Captured => DeviceClock::Trusted,
                TimeBasis::Received => DeviceClock::Absent,
            };
            let captured_at = (clock == DeviceClock::Trusted).then_some(measure.at);
            let plain = Reading::of(subject.device.clone(), measure.signal, measure.value);
            let reading = Reading { unit: measure.unit, captured_at, clock, ..plain };
            if let Err(reason) = self.judge_reading(source, &reading, received, now, out)
                && let Some(counters) = self.counters.source(source)
            {
                counters.refuse(subject.device.as_str(), None, &Rejection::whole(reason));
            }
        }
        self.measured = measured;
    }
}
