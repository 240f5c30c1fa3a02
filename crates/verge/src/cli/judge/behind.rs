//! What a judge over frames observes, through the judge behind it.

use std::sync::Arc;

use verge_anomaly::ReadingJudge;
use verge_domain::reading::{Reading, SourceIndex};
use verge_domain::rejection::Reason;
use verge_domain::time::Moment;
use verge_domain::verdict::Verdict;
use verge_pipeline::counters::Counters;
use verge_pipeline::frames::FrameBench;
use verge_pipeline::judging::{Decision, JudgeSet, Undecoded};

use verge_gateway::settings::Settings;
use verge_gateway::wiring::{self, Autoencoders};

/// The judge behind, and what it remembers of one input.
pub(super) struct Behind<'a> {
    settings: &'a Settings,
    models: Autoencoders,
    counters: Arc<Counters>,
    /// Made at the first observation, whose time is the start of its world.
    bench: Option<JudgeSet<Undecoded, ReadingJudge>>,
    decision: Decision,
}

impl<'a> Behind<'a> {
    pub(super) fn new(
        settings: &'a Settings,
        eyes: &FrameBench,
        counters: Arc<Counters>,
    ) -> anyhow::Result<Self> {
        let models = Autoencoders::load(settings, eyes)?;
        Ok(Self { settings, models, counters, bench: None, decision: Decision::default() })
    }

    /// Judges what was observed in one frame.
    pub(super) fn hear(
        &mut self,
        source: SourceIndex,
        observed: &[Reading],
        received: Moment,
    ) -> Result<Vec<Verdict>, Reason> {
        if observed.is_empty() {
            return Ok(Vec::new());
        }
        let bench = self.bench.get_or_insert_with(|| {
            wiring::judge_set(self.settings, &self.models, Undecoded, Arc::clone(&self.counters), received)
        });
        for reading in observed {
            bench.reading(source, reading, received, received, &mut self.decision)?;
        }
        self.decision.checkpoints.clear();
        Ok(std::mem::take(&mut self.decision.verdicts))
    }
}
