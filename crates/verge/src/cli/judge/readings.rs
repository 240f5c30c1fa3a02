//! Recorded messages through a judge over readings.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use verge_domain::reading::{Inbound, Reading, SourceIndex};
use verge_domain::stage::Decoder;
use verge_domain::time::{Moment, Monotonic, UtcMillis};
use verge_domain::verdict::EventState;
use verge_pipeline::counters::Counters;
use verge_pipeline::frames::FrameBench;
use verge_pipeline::judging::{Decision, JudgeSet};

use super::refusals::{Notes, Noting};
use super::{Teller, Told, clock_offsets, rejections, shared_names, source_of};
use crate::cli::output::Progress;
use crate::cli::recording::{Recorded, Recording};
use verge_gateway::exit::{Exit, ExitWith};
use verge_gateway::settings::Settings;
use verge_gateway::wiring::{self, Autoencoders};

/// Time passes in steps of this length, as in the gateway, but never in more steps than these between two
/// readings: a series with one value a day would otherwise take for ever.
const STEP_MS: u64 = 500;
const MAX_STEPS: u64 = 64;

/// Readings between two lines of progress.
const PROGRESS_EVERY: u64 = 10_000;

/// Recorded messages through the codecs of the configuration.
pub(super) fn messages(
    settings: &Settings,
    teller: &Teller,
    path: &Path,
    out: &mut impl Write,
) -> anyhow::Result<Told> {
    let counters = Arc::new(Counters::new(wiring::source_ids(settings)));
    Trial::new(settings, teller, wiring::decoders(settings)?, counters, out)?.recording(path)
}

/// The judges at work on recorded time.
pub(super) struct Trial<'a, W, D> {
    settings: &'a Settings,
    teller: &'a Teller,
    models: Autoencoders,
    bench: Option<JudgeSet<Noting<D>, verge_anomaly::ReadingJudge>>,
    input: Option<Noting<D>>,
    notes: Notes,
    /// Set where there are no topics to tell sources by.
    pub(super) source: Option<SourceIndex>,
    counters: Arc<Counters>,
    decision: Decision,
    now: Option<Moment>,
    out: &'a mut W,
    progress: Progress,
    messages: u64,
    unknown_topics: u64,
    verdicts: u64,
    /// Alarms raised, by device and signal.
    alarms: BTreeMap<(String, String), u64>,
}

impl<'a, W: Write, D: Decoder<Item = Reading>> Trial<'a, W, D> {
    pub(super) fn new(
        settings: &'a Settings,
        teller: &'a Teller,
        input: D,
        counters: Arc<Counters>,
        out: &'a mut W,
    ) -> anyhow::Result<Self> {
        let notes = Notes::default();
        Ok(Self {
            settings,
            teller,
            models: Autoencoders::load(settings, &FrameBench::default())?,
            bench: None,
            input: Some(notes.of(input)),
            notes,
            source: None,
            counters,
            decision: Decision::default(),
            now: None,
            out,
            progress: Progress::new(),
            messages: 0,
            unknown_topics: 0,
            verdicts: 0,
            alarms: BTreeMap::new(),
        })
    }

    /// Judges all messages of a file.
    pub(super) fn recording(mut self, path: &Path) -> anyhow::Result<Told> {
        for recorded in Recording::open(path).exit_with(Exit::BadInput)? {
            let (line, recorded) = recorded.exit_with(Exit::BadInput)?;
            self.hear(recorded, line)?;
        }
        self.end()
    }

    /// Judges a message that stands in this line.
    pub(super) fn hear(&mut self, recorded: Recorded, line: usize) -> anyhow::Result<()> {
        self.messages += 1;
        self.notes.at_line(line);
        if self.messages.is_multiple_of(PROGRESS_EVERY) {
            self.progress.show(&format!("{} messages, {} verdicts", self.messages, self.verdicts))?;
        }
        let now = self.let_time_pass(recorded.time)?;
        let by_topic = || source_of(self.settings, &recorded.topic);
        let Some(source) = self.source.or_else(by_topic) else {
            self.unknown_topics += 1;
            return Ok(());
        };
        let message = Inbound {
            source,
            topic: recorded.topic,
            payload: recorded.payload,
            received: now,
            retained: recorded.retained,
            redelivered: false,
            packet_id: 0,
            receipt: None,
        };
        if let Some(bench) = &mut self.bench {
            bench.message(&message, now, &mut self.decision);
        }
        self.tell()
    }

    /// Goes on to the time of the next message. Durations never run backwards, whatever the file says.
    fn let_time_pass(&mut self, to: UtcMillis) -> anyhow::Result<Moment> {
        let Some(before) = self.now else {
            let now = Moment::from_wall(to);
            self.now = Some(now);
            if let Some(input) = self.input.take() {
                self.bench = Some(wiring::judge_set(
                    self.settings,
                    &self.models,
                    input,
                    Arc::clone(&self.counters),
                    now,
                ));
            }
            return Ok(now);
        };
        let end = Moment { wall: to, mono: before.mono.max(Moment::from_wall(to).mono) };
        let gap_ms = u64::try_from(end.mono.since(before.mono).as_millis()).unwrap_or(u64::MAX);
        let step = STEP_MS.max(gap_ms / MAX_STEPS);
        for passed in (step..gap_ms).step_by(usize::try_from(step).unwrap_or(usize::MAX)) {
            let mono: Monotonic = before.mono.after(Duration::from_millis(passed));
            let wall = UtcMillis(before.wall.0.saturating_add_unsigned(passed));
            self.tick(Moment { wall, mono })?;
        }
        self.tick(end)?;
        self.now = Some(end);
        Ok(end)
    }

    fn tick(&mut self, now: Moment) -> anyhow::Result<()> {
        if let Some(bench) = &mut self.bench {
            bench.tick(now, &mut self.decision);
        }
        self.tell()
    }

    fn tell(&mut self) -> anyhow::Result<()> {
        for verdict in self.decision.verdicts.drain(..) {
            self.verdicts += 1;
            if verdict.event.is_some_and(|event| event.state == EventState::Raised) {
                let subject = &verdict.subject;
                let signal = subject.signal.as_ref().map_or("all signals together", |signal| signal.as_str());
                *self.alarms.entry((subject.device.to_string(), signal.to_owned())).or_default() += 1;
            }
            self.teller.tell(&verdict, None, self.out)?;
        }
        self.decision.checkpoints.clear();
        Ok(())
    }

    pub(super) fn end(mut self) -> anyhow::Result<Told> {
        self.progress.clear()?;
        let sources = self.counters.sources();
        Ok(Told {
            messages: self.messages,
            unknown_topics: self.unknown_topics,
            verdicts: self.verdicts,
            observations: sources.iter().map(|source| source.readings_judged_total.get()).sum(),
            rejections: rejections(&self.counters),
            shared: shared_names(&self.counters),
            clocks: clock_offsets(&self.counters),
            refusals: self.notes.take(),
            alarms: self.alarms,
            table: None,
        })
    }
}
