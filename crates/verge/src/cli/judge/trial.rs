//! The judges at work on recorded time, whatever they look at.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use verge_domain::frame::SceneSketch;
use verge_domain::id::JudgeIndex;
use verge_domain::observation::{Camera, Captured, Observation};
use verge_domain::reading::{Inbound, Reading, SourceIndex};
use verge_domain::rejection::Rejection;
use verge_domain::stage::{Checkpoint, Decoder};
use verge_domain::time::{Moment, Monotonic, UtcMillis};
use verge_domain::verdict::{EventState, Severity};
use verge_pipeline::counters::Counters;
use verge_pipeline::judging::{Decision, JudgeRate, JudgeSet, SavePass, budget_text};
use verge_wire::counted;

use super::refusals::{Notes, Noting};
use super::{JudgeSummary, VerdictPrinter, clock_offsets, rejections, shared_names, source_of};
use crate::cli::output::Progress;
use crate::cli::recording::{Recorded, Recording};
use crate::describe;
use verge_gateway::exit::{Exit, ExitWith};
use verge_gateway::settings::Settings;
use verge_gateway::wiring::{self, Autoencoders};

/// Time passes in steps of this length, as in the gateway, but never in more steps than these between two
/// readings: a series with one value a day would otherwise take for ever.
const STEP_MS: u64 = 500;
const MAX_STEPS: u64 = 64;

/// Readings between two lines of progress.
const PROGRESS_EVERY: u64 = 10_000;

/// The judges at work on recorded time.
pub(super) struct JudgeTrial<'a, W, D> {
    settings: &'a Settings,
    printer: &'a VerdictPrinter,
    models: &'a Autoencoders,
    /// Made at the first time in the file, which is when its clock starts.
    set: Option<JudgeSet<Noting<D>, verge_anomaly::ReadingJudge>>,
    input: Option<Noting<D>>,
    pub(super) notes: Notes,
    /// Set where there are no topics that identify sources.
    pub(super) source: Option<SourceIndex>,
    counters: Arc<Counters>,
    decision: Decision,
    now: Option<Moment>,
    out: &'a mut W,
    progress: Progress,
    pub(super) messages: u64,
    pub(super) unknown_topics: u64,
    verdicts: u64,
    /// Alarms raised, by device and signal.
    alarms: BTreeMap<(String, String), u64>,
    no_alarms: NoAlarms,
}

impl<'a, W: Write, D: Decoder<Item = Reading>> JudgeTrial<'a, W, D> {
    pub(super) fn new(
        settings: &'a Settings,
        printer: &'a VerdictPrinter,
        models: &'a Autoencoders,
        input: D,
        out: &'a mut W,
    ) -> Self {
        let notes = Notes::default();
        Self {
            settings,
            printer,
            models,
            set: None,
            input: Some(notes.of(input)),
            notes,
            source: None,
            counters: Arc::new(Counters::new(wiring::source_ids(settings))),
            decision: Decision::default(),
            now: None,
            out,
            progress: Progress::new(),
            messages: 0,
            unknown_topics: 0,
            verdicts: 0,
            alarms: BTreeMap::new(),
            no_alarms: NoAlarms::default(),
        }
    }

    /// Judges all messages of a file.
    pub(super) fn recording(mut self, path: &Path) -> anyhow::Result<JudgeSummary> {
        for recorded in Recording::open(path).exit_with(Exit::BadInput)? {
            let (line, recorded) = recorded.exit_with(Exit::BadInput)?;
            self.message(recorded, line)?;
        }
        self.end()
    }

    /// Judges a message that stands in this line.
    pub(super) fn message(&mut self, recorded: Recorded, line: usize) -> anyhow::Result<()> {
        let Some(message) = self.received(recorded, line)? else { return Ok(()) };
        if let Some(set) = &mut self.set {
            set.message(&message, message.received, &mut self.decision);
        }
        self.print(None)
    }

    /// A message that stands in this line, as the gateway would receive it at its time; `None` where no source takes it.
    pub(super) fn received(&mut self, recorded: Recorded, line: usize) -> anyhow::Result<Option<Inbound>> {
        self.messages += 1;
        self.notes.at_line(line);
        if self.messages.is_multiple_of(PROGRESS_EVERY) {
            self.show()?;
        }
        let received = self.let_time_pass(recorded.time)?;
        let by_topic = || source_of(self.settings, &recorded.topic);
        let Some(source) = recorded.source.or(self.source).or_else(by_topic) else {
            self.unknown_topics += 1;
            return Ok(None);
        };
        Ok(Some(Inbound {
            retained: recorded.retained,
            ..Inbound::of(source, recorded.topic, recorded.payload, received)
        }))
    }

    /// Judges that a frame has arrived. Says whether there was room for that.
    pub(super) fn arrival(
        &mut self,
        camera: &Camera,
        captured: Captured,
        received: Moment,
    ) -> anyhow::Result<bool> {
        let judged = self
            .set
            .as_mut()
            .map_or(Ok(()), |set| set.arrival(camera, captured, received, received, &mut self.decision));
        if let Err(reason) = judged {
            self.refuse(camera.source, camera.device.as_str(), None, &Rejection::whole(reason));
        }
        self.print(None)?;
        Ok(judged.is_ok())
    }

    /// Judges what was seen in one frame, which is in this file.
    pub(super) fn observation(
        &mut self,
        observation: Observation,
        file: Option<&Path>,
    ) -> anyhow::Result<()> {
        let received = observation.received;
        if let Some(set) = &mut self.set {
            set.observation(observation, received, &mut self.decision);
        }
        self.print(file)
    }

    /// What judges know of the scene before a camera.
    pub(super) fn sketches(&self, camera: &Camera) -> Vec<(JudgeIndex, SceneSketch)> {
        self.set.as_ref().map_or_else(Vec::new, |set| set.sketches(camera))
    }

    /// Counts and notes what cannot be judged. `about` is the topic or the file.
    pub(super) fn refuse(
        &self,
        source: SourceIndex,
        about: &str,
        bytes: Option<usize>,
        rejection: &Rejection,
    ) {
        self.notes.add(about, bytes, rejection);
        if let Some(source) = self.counters.source(source) {
            source.refuse(about, bytes, rejection);
        }
    }

    /// Forgets all that was seen: what comes next is unrelated.
    pub(super) fn start_anew(&mut self, input: D) {
        self.set = None;
        self.input = Some(self.notes.of(input));
    }

    pub(super) fn show(&mut self) -> anyhow::Result<()> {
        Ok(self.progress.show(&format!("{} messages, {} verdicts", self.messages, self.verdicts))?)
    }

    /// Goes on to the time of the next message. Durations never run backwards, whatever the file says.
    pub(super) fn let_time_pass(&mut self, to: UtcMillis) -> anyhow::Result<Moment> {
        let before = self.now.unwrap_or_else(|| Moment::from_wall(to));
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
        if let Some(input) = self.input.take() {
            let counters = Arc::clone(&self.counters);
            self.set = Some(wiring::judge_set(self.settings, self.models, input, counters, end));
        }
        Ok(end)
    }

    fn tick(&mut self, now: Moment) -> anyhow::Result<()> {
        if let Some(set) = &mut self.set {
            set.tick(now, &mut self.decision);
        }
        self.print(None)
    }

    fn print(&mut self, file: Option<&Path>) -> anyhow::Result<()> {
        for verdict in self.decision.verdicts.drain(..) {
            self.verdicts += 1;
            if let Some(event) = verdict.event.filter(|event| event.state == EventState::Raised) {
                let subject = &verdict.subject;
                let signal = subject.signal.as_ref().map_or("all signals together", |signal| signal.as_str());
                if verdict.severity > Severity::Info {
                    *self.alarms.entry((subject.device.to_string(), signal.to_owned())).or_default() += 1;
                } else if event.learning {
                    self.no_alarms.learning += 1;
                } else {
                    self.no_alarms.info += 1;
                }
            }
            self.printer.print(&verdict, file, self.out)?;
        }
        self.decision.checkpoints.clear();
        Ok(())
    }

    /// What the judges have learnt, and how many signals they know.
    pub(super) fn learnt(&mut self) -> (Vec<Checkpoint>, usize) {
        let (Some(set), Some(now)) = (&mut self.set, self.now) else { return (Vec::new(), 0) };
        let mut pass = SavePass::of_all();
        while set.save(&mut pass, now, &mut self.decision) {}
        let instances = usize::try_from(set.account().instances).unwrap_or(usize::MAX);
        (std::mem::take(&mut self.decision.checkpoints), instances)
    }

    pub(super) fn end(mut self) -> anyhow::Result<JudgeSummary> {
        if let Some((set, now)) = self.set.as_mut().zip(self.now) {
            set.finish(now, &mut self.decision);
        }
        self.print(None)?;
        self.progress.clear()?;
        let sources = self.counters.sources();
        let rates = self.set.as_ref().zip(self.now).map(|(set, now)| set.alarm_rates(now));
        Ok(JudgeSummary {
            messages: self.messages,
            unknown_topics: self.unknown_topics,
            verdicts: self.verdicts,
            observations: sources.iter().map(|source| source.readings_judged_total.get()).sum(),
            rejections: rejections(&self.counters),
            shared: shared_names(&self.counters),
            clocks: clock_offsets(&self.counters),
            refusals: self.notes.take(),
            alarms: self.alarms,
            no_alarms: self.no_alarms,
            young: rates.as_ref().and_then(|rates| {
                let asked = self.settings.judges.first()?.alarms()?.budget()?.per_second().recip();
                young(rates.first()?, asked, self.now?)
            }),
            suggestion: rates.and_then(|rates| Some(rates.into_iter().next()?.suggestion?.words)),
            table: None,
        })
    }
}

/// Events that are no alarms.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct NoAlarms {
    /// Of the time in which their judge still learned what is usual.
    pub(super) learning: u64,
    /// Others of severity info.
    pub(super) info: u64,
}

impl NoAlarms {
    /// `None` where there are none.
    pub(super) fn words(self) -> Option<String> {
        let learning = (self.learning > 0).then(|| {
            format!("{} noted while the judge still learned what is usual", counted(self.learning, "event"))
        });
        let info = (self.info > 0).then(|| format!("{} of severity info", counted(self.info, "event")));
        let words: Vec<String> = learning.into_iter().chain(info).collect();
        (!words.is_empty()).then(|| format!("events that are no alarms: {}", words.join("; ")))
    }
}

/// The time in which one false alarm is accepted by the rarest budget that a history supports: one half of it makes the
/// signals known, the other supports seven times its length. Gaps teach nothing: of a budget of one in `asked` seconds, it
/// supports no more than the part that it has of the whole time of learning.
#[expect(clippy::cast_precision_loss, reason = "a number of series")]
fn rarest(rate: &JudgeRate, asked: f64, left: f64) -> String {
    let watched = rate.seconds / rate.instances.max(1) as f64;
    let seconds = (3.5 * watched).min(asked * watched / (watched + left));
    budget_text(Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX))
}

/// What a judge that learns cannot promise yet, where its history is shorter than its budget of one alarm in `asked`
/// seconds asks for.
fn young(rate: &JudgeRate, asked: f64, now: Moment) -> Option<String> {
    if let Some(rarest) = rate.rarest {
        return Some(format!(
            "{} of {} series send too often for the alarm budget of {}: it can never be supported, and what is unusual raises no \
             alarm; the rarest budget that works is alarm_budget = \"{}\", or write budget_of = \"judge\", which knows no \
             such limit",
            rate.unsupported,
            rate.instances,
            rate.judge,
            budget_text(rarest)
        ));
    }
    let (minute, hour, day) = (60, 3_600, 86_400);
    let left = Duration::from_millis(u64::try_from(rate.supported_at?.0 - now.wall.0).unwrap_or(0));
    let seconds = left.as_secs().max(minute);
    let unit = [day, hour].into_iter().find(|unit| seconds >= 2 * unit).unwrap_or(minute);
    let more = describe::span(Duration::from_secs(seconds.div_ceil(unit) * unit));
    Some(format!(
        "the history is too short for the alarm budget of {}, in {} of {} series: what is unusual may raise no alarm before \
         {more} more of it; this history supports alarm_budget = \"{}\" at the rarest",
        rate.judge,
        rate.unsupported,
        rate.instances,
        rarest(rate, asked, left.as_secs_f64())
    ))
}

#[cfg(test)]
mod tests {
    use verge_domain::id::JudgeId;

    use super::*;

    #[test]
    fn a_history_with_gaps_supports_no_rarer_budget_than_one_that_it_is_too_short_for() {
        let day = 86_400.0;
        let young = |watched: f64, left_ms: i64| {
            let now = Moment::from_wall(UtcMillis(0));
            let rate = JudgeRate {
                judge: JudgeId::new("unusual").unwrap(),
                instances: 1,
                alarms: 0,
                seconds: watched,
                expected_per_second: 0.0,
                unsupported: 1,
                supported_at: Some(UtcMillis(left_ms)),
                rarest: None,
                suggestion: None,
            };
            let said = young(&rate, 7.0 * day, now).unwrap();
            let (_, said) = said.split_once("no alarm before ").unwrap();
            said.to_owned()
        };
        let supports = |budget: &str| {
            format!("more of it; this history supports alarm_budget = \"{budget}\" at the rarest")
        };
        // Seven days, of which readings fill an hour.
        assert_eq!(young(7.0 * day, 172_000_000), format!("2 days {}", supports("1/5d")));
        assert_eq!(young(0.5 * day, 129_600_000), format!("1 day 12 h {}", supports("1/42h")));
        assert_eq!(young(60.0, 5_400_001), format!("1 h 30 min {}", supports("1/3m")));
    }
}
