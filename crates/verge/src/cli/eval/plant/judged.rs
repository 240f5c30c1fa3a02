//! A plant through the judges of a configuration, on the path of `verge judge` and the gateway, in simulated time.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use anyhow::Context;
use verge_domain::group::GroupMember;
use verge_domain::id::{DeviceId, EventId, Lane, SignalId, Unit};
use verge_domain::reading::{Reading, SourceIndex};
use verge_domain::time::{Moment, UtcMillis};
use verge_domain::verdict::{Body, EventChange, EventState, Severity, Verdict};
use verge_eval::plant::score::{PlantAlarm, PlantScore, RaisedBy};
use verge_eval::plant::tags::TAGS;
use verge_eval::plant::{Plant, PlantRun};
use verge_gateway::settings::Settings;
use verge_gateway::wiring::{self, Autoencoders};
use verge_pipeline::counters::Counters;
use verge_pipeline::judging::{Decision, Undecoded};

/// Time passes in steps of this length between readings.
const TICK_MS: i64 = 30_000;

/// Judges one plant from its first reading to its last.
pub(super) fn judge(settings: &Settings, run: PlantRun, mut plant: Plant) -> anyhow::Result<PlantScore> {
    let source = settings
        .sources
        .iter()
        .position(|source| verge_domain::filter::matches(&source.filter, "plant/pump-1"))
        .context("no source takes the topic plant/pump-1")?;
    let source = SourceIndex(u16::try_from(source)?);
    let mut readings = readings()?;
    let begin = Moment::from_wall(UtcMillis(plant.begin_s() * 1000));
    let counters = Arc::new(Counters::new(wiring::source_ids(settings)));
    let models = Autoencoders::load(settings, None)?;
    let mut set = wiring::judge_set(settings, &models, Undecoded, counters, begin);
    let mut alarms = PlantAlarms::new();
    let mut decision = Decision::default();
    let mut step = Vec::new();
    while let Some(at_s) = plant.read(&mut step) {
        for reading in &step {
            let now = Moment::from_wall(UtcMillis(reading.at_ms));
            let one = &mut readings[reading.tag];
            one.value = reading.value;
            set.reading(source, one, now, now, &mut decision)
                .map_err(|reason| anyhow::anyhow!("{} is refused: {reason}", one.signal))?;
        }
        let until_ms = (at_s + run.interval_s()) * 1000;
        for at_ms in ((at_s + 1) * 1000..until_ms + 1).step_by(TICK_MS as usize) {
            set.tick(Moment::from_wall(UtcMillis(at_ms)), &mut decision);
        }
        decision.verdicts.drain(..).for_each(|verdict| alarms.take(&verdict));
        decision.checkpoints.clear();
    }
    let mut score = PlantScore::of(&plant, &alarms.all);
    alarms.noted.into_iter().for_each(|noted| score.note(noted, run));
    Ok(score)
}

/// One reading of each tag, in the order of the tags.
fn readings() -> anyhow::Result<Vec<Reading>> {
    let reading = |tag: &verge_eval::plant::tags::PlantTag| {
        let unit = (!tag.unit.is_empty()).then(|| Unit::new(tag.unit)).transpose()?;
        Ok(Reading { unit, ..Reading::of(DeviceId::new(tag.device)?, SignalId::new(tag.signal)?, 0.0) })
    };
    TAGS.iter().map(reading).collect()
}

/// What a control room gets.
struct PlantAlarms {
    /// Positions of tags by device and signal.
    tags: HashMap<(&'static str, &'static str), usize>,
    /// Events that were counted.
    counted: HashSet<EventId>,
    all: Vec<PlantAlarm>,
    /// Events that began while learning: when, and the position of the tag.
    noted: Vec<(i64, usize)>,
}

impl PlantAlarms {
    fn new() -> Self {
        let tags = TAGS.iter().enumerate().map(|(index, tag)| ((tag.device, tag.signal), index));
        Self { tags: tags.collect(), counted: HashSet::new(), all: Vec::new(), noted: Vec::new() }
    }

    /// An event counts when it first asks for a person, and again with each escalation.
    fn take(&mut self, verdict: &Verdict) {
        let Some(event) = &verdict.event else { return };
        let at_s = verdict.times.decided.0 / 1000;
        let name = |device: &DeviceId, signal: &SignalId| {
            self.tags.get(&(device.as_str(), signal.as_str())).copied()
        };
        if event.learning && event.state == EventState::Raised {
            let signal = verdict.subject.signal.as_ref();
            let tag = signal.and_then(|signal| name(&verdict.subject.device, signal));
            self.noted.extend(tag.map(|tag| (at_s, tag)));
        }
        let asks = verdict.lane == Lane::Alarm || verdict.severity > Severity::Info;
        let escalates = event.change.is_some_and(EventChange::is_escalation);
        if !asks || event.state == EventState::Cleared {
            return;
        }
        let again = !(self.counted.insert(event.id) || escalates);
        // What an event stands for is read once.
        let listed = verdict.group.iter().flat_map(|group| &group.members);
        let listed: Vec<&GroupMember> = listed.filter(|one| self.counted.insert(one.event)).collect();
        if again && listed.is_empty() {
            return;
        }
        let (member, contributions) = match &verdict.body {
            Body::Anomaly(anomaly) => (anomaly.member, &anomaly.contributions[..]),
            Body::Health(health) => (health.cause, &[][..]),
            Body::Counts(_) | Body::Classification(_) | Body::Detections(_) | Body::Traffic(_) => return,
        };
        let subject = &verdict.subject;
        let signals = subject.signal.iter().chain(contributions.iter().map(|part| &part.signal));
        let own = signals.map(|signal| (subject.device.as_str(), signal.as_str())).filter(|_| !again);
        let listed =
            listed.iter().filter_map(|one| Some((one.device.as_str(), one.signal.as_ref()?.as_str())));
        let tags = own.chain(listed).filter_map(|name| self.tags.get(&name).copied());
        self.all.push(PlantAlarm {
            at_s,
            tags: tags.collect(),
            again,
            raised_by: RaisedBy { judge: verdict.judge.to_string(), member: member.as_str().to_owned() },
        });
    }
}
