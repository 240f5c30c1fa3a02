//! The events of a store: the open ones, and those that were raised within a period.

use std::collections::HashMap;

use verge_domain::finding::Member;
use verge_domain::id::{EventId, EventNumber, JudgeId, Lane, Seq};
use verge_domain::stage::Remark;
use verge_domain::time::UtcMillis;
use verge_domain::verdict::{Body, Detector, EventState, Severity, Subject, Verdict};
use verge_outbox::OutboxReader;
use verge_pipeline::judging::{labels_in, open_events};
use verge_wire::read_verdict;

/// The judge and the signal that an alarm is about.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Tag {
    pub(super) judge: JudgeId,
    pub(super) source: String,
    pub(super) device: String,
    /// Empty: the device as a whole.
    pub(super) signal: String,
}

impl Tag {
    fn of(judge: &JudgeId, subject: &Subject) -> Self {
        let signal = subject.signal.as_ref().map_or(String::new(), ToString::to_string);
        Self {
            judge: judge.clone(),
            source: subject.source.to_string(),
            device: subject.device.to_string(),
            signal,
        }
    }

    /// Device and signal.
    pub(super) fn subject(&self) -> String {
        match self.signal.as_str() {
            "" => self.device.clone(),
            signal => format!("{} {signal}", self.device),
        }
    }
}

/// One event, as far as the store knows it.
#[derive(Debug, Clone)]
pub(super) struct EventRecord {
    pub(super) id: EventId,
    pub(super) number: Option<EventNumber>,
    pub(super) tag: Tag,
    pub(super) detector: Detector,
    pub(super) severity: Severity,
    /// When it was raised; of an open event whose begin is not stored any more, since when its condition holds.
    pub(super) raised: UtcMillis,
    /// Whether the store still has its begin.
    pub(super) begin_known: bool,
    /// For how long, once it is cleared.
    pub(super) lasted_ms: Option<u64>,
    pub(super) is_open: bool,
    pub(super) member: Option<Member>,
    /// What a person said about it last.
    pub(super) label: Option<Remark>,
    /// How far out it was at its farthest, in usual widths.
    pub(super) farthest: Option<f64>,
    /// What was said first, as far as the store knows.
    pub(super) first: Verdict,
    /// What was said last.
    pub(super) last: Verdict,
}

impl EventRecord {
    fn of(verdict: Verdict) -> Option<Self> {
        let event = verdict.event?;
        let member = match &verdict.body {
            Body::Anomaly(anomaly) => Some(anomaly.member),
            Body::Health(health) => Some(health.cause),
            Body::Counts(_) | Body::Classification(_) | Body::Detections(_) | Body::Traffic(_) => None,
        };
        let is_raised = event.state == EventState::Raised;
        Some(Self {
            id: event.id,
            number: event.number,
            tag: Tag::of(&verdict.judge, &verdict.subject),
            detector: verdict.detector,
            severity: verdict.severity,
            raised: if is_raised { verdict.times.decided } else { event.since },
            begin_known: is_raised,
            lasted_ms: (event.state == EventState::Cleared).then_some(event.lasted_ms),
            is_open: event.state != EventState::Cleared,
            member,
            label: None,
            farthest: distance(&verdict),
            first: verdict.clone(),
            last: verdict,
        })
    }

    /// A later verdict of the same event.
    fn go_on(&mut self, verdict: Verdict) {
        let Some(event) = verdict.event else { return };
        if event.state == EventState::Cleared {
            (self.is_open, self.lasted_ms) = (false, Some(event.lasted_ms));
        }
        self.number = self.number.or(event.number);
        self.severity = self.severity.max(verdict.severity);
        if event.state != EventState::Cleared {
            self.farthest = distance(&verdict).into_iter().chain(self.farthest).reduce(f64::max);
        }
        self.last = verdict;
    }
}

/// The events of a period.
#[derive(Debug, Default)]
pub(super) struct Record {
    /// By the time at which they were raised.
    pub(super) events: Vec<EventRecord>,
    /// When the oldest verdict was made that the store still has.
    pub(super) oldest: Option<UtcMillis>,
    /// Verdicts that cannot be read.
    pub(super) unreadable: u64,
}

/// Reads the events that were raised since `from` or are open.
pub(super) fn read(reader: &mut OutboxReader, from: UtcMillis) -> anyhow::Result<Record> {
    let summary = reader.summary()?;
    let saved = reader.saved(|key| key.starts_with("events"))?;
    let mut by_id: HashMap<EventId, EventRecord> = HashMap::new();
    let mut record = Record::default();
    for lane in &summary.lanes {
        let Some(first) = lane.first else { continue };
        let oldest = decided_at(reader, lane.lane, first);
        record.oldest = [record.oldest, oldest].into_iter().flatten().min();
        let first = reader.first_since(lane.lane, (first, lane.last), from)?;
        for row in reader.rows(lane.lane, first, lane.last) {
            let verdict = row.ok().filter(|row| row.withdrawn.is_none());
            let Some(row) = verdict else { continue };
            let Ok((_, verdict)) = read_verdict(&row.bytes, lane.lane) else {
                record.unreadable += 1;
                continue;
            };
            let Some(event) = verdict.event else { continue };
            if let Some(known) = by_id.get_mut(&event.id) {
                known.go_on(verdict);
            } else if let Some(new) = EventRecord::of(verdict).filter(|new| new.begin_known) {
                by_id.insert(event.id, new);
            }
        }
    }
    // What is open is open, however long ago it was raised.
    let open: Vec<Verdict> = open_events(&saved).collect();
    for verdict in &open {
        let Some(event) = verdict.event else { continue };
        by_id.entry(event.id).or_insert_with(|| {
            EventRecord::of(verdict.clone()).unwrap_or_else(|| unreachable!("a saved event is an event"))
        });
    }
    let labels = labels_in(&reader.saved(|key| key == "labels")?);
    let is_open = |id: EventId| open.iter().any(|verdict| verdict.event.is_some_and(|event| event.id == id));
    record.events = by_id.into_values().collect();
    for event in &mut record.events {
        // The verdict that cleared it may have been evicted, as telemetry is first.
        event.is_open &= is_open(event.id);
        event.label = event.number.and_then(|number| labels.get(&number)).copied();
    }
    record.events.sort_by_key(|event| (event.raised, event.number));
    Ok(record)
}

/// How far out it is, in usual widths.
fn distance(verdict: &Verdict) -> Option<f64> {
    match &verdict.body {
        Body::Anomaly(anomaly) => anomaly.distance,
        Body::Health(health) => health.distance,
        Body::Counts(_) | Body::Classification(_) | Body::Detections(_) | Body::Traffic(_) => None,
    }
}

fn decided_at(reader: &OutboxReader, lane: Lane, seq: Seq) -> Option<UtcMillis> {
    reader.rows(lane, seq, Seq(u64::MAX - 1)).next()?.ok().map(|row| row.decided)
}
