//! What arrived upstream, counted by the receiver, and whether that is what the scenario must produce.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::ops::Range;
use std::time::{Duration, Instant};

use verge_domain::finding::Member;
use verge_domain::id::{Epoch, EventId, Lane};
use verge_domain::sequence::SequenceTracker;
use verge_domain::time::UtcMillis;
use verge_domain::verdict::{Body, EventState, Severity, Verdict};
use verge_wire::{Message, SiteZone, verdict_words};

use super::comparison::CountComparison;

/// What must arrive: the verdicts of a judge about a device; events must be raised and cleared.
struct Expectation {
    judge: &'static str,
    device: &'static str,
    kind: &'static str,
}

const SCENARIO: [Expectation; 12] = [
    Expectation { judge: "vibration-high", device: "pump-1", kind: "anomaly" },
    Expectation { judge: "unusual", device: "pump-1", kind: "anomaly" },
    Expectation { judge: "sensor-health", device: "pump-1", kind: "health" },
    Expectation { judge: "bearing-rise", device: "bearing-1", kind: "anomaly" },
    Expectation { judge: "flow-low", device: "flow-1", kind: "anomaly" },
    Expectation { judge: "tank-silent", device: "tank-1", kind: "health" },
    Expectation { judge: "traffic", device: "loop-north", kind: "counts" },
    Expectation { judge: "traffic", device: "loop-south", kind: "counts" },
    Expectation { judge: "crossing", device: "north", kind: "traffic" },
    Expectation { judge: CAMERAS, device: FROZEN_CAMERA, kind: "health" },
    Expectation { judge: "vehicles", device: "north", kind: "detections" },
    Expectation { judge: "vehicles", device: "south", kind: "detections" },
];

/// The judge over the health of the cameras, and the camera that freezes.
const CAMERAS: &str = "camera-health";
const FROZEN_CAMERA: &str = "south";

/// The judge over what stands at the junction.
const VEHICLES: &str = "vehicles";

/// Lines remembered for the live table.
const REMEMBERED_LINES: usize = 8;

/// Everything the receiver knows.
pub(super) struct Arrived {
    pub(super) by_kind: BTreeMap<&'static str, u64>,
    pub(super) raised: u64,
    pub(super) cleared: u64,
    pub(super) lines: VecDeque<String>,
    /// What was counted at the junction, beside the truth.
    pub(super) counted: CountComparison,
    /// When the camera was found frozen, and when that was over.
    frozen: [Option<UtcMillis>; 2],
    /// What was found of cameras that is no part of the scenario.
    false_alarms: Vec<String>,
    /// Versions of the model that looked for what stands at the junction, in the order of their verdicts.
    versions: Vec<String>,
    zone: SiteZone,
    newest: Option<Instant>,
    sequences: HashMap<(Epoch, Lane), SequenceTracker>,
    /// Per judge and device: events raised and still open, events cleared, verdicts without event.
    seen: HashMap<(String, String), SeenBy>,
}

#[derive(Default)]
struct SeenBy {
    kind: &'static str,
    open: Vec<EventId>,
    /// Raised for the record by a judge that still learns what is usual: such an event may outlast the run.
    learning: Vec<EventId>,
    cleared: u64,
    plain: u64,
    /// Of cameras: objects in sight, by the newest verdict and over all of them.
    objects: usize,
    objects_total: usize,
}

impl Arrived {
    /// Nothing received yet.
    pub(super) fn new(counted: CountComparison) -> Self {
        Self {
            counted,
            frozen: [None; 2],
            false_alarms: Vec::new(),
            by_kind: BTreeMap::new(),
            raised: 0,
            cleared: 0,
            lines: VecDeque::new(),
            versions: Vec::new(),
            zone: SiteZone::of_machine(),
            newest: None,
            sequences: HashMap::new(),
            seen: HashMap::new(),
        }
    }

    /// Events that a judge has raised.
    pub(super) fn raised_by(&self, judge: &str) -> u64 {
        let of_judge = self.seen.iter().filter(|((name, _), _)| name == judge);
        of_judge.map(|(_, seen)| seen.open.len() as u64 + seen.cleared).sum()
    }

    /// Counts one message; returns the lines to show.
    pub(super) fn note(&mut self, message: &Message, at: Instant) -> Vec<String> {
        self.newest = Some(at);
        let mut lines = Vec::new();
        for (seq, verdict) in &message.verdicts {
            let tracker = self.sequences.entry((message.epoch, message.lane)).or_default();
            if tracker.note(*seq) == verge_domain::sequence::SequenceArrival::Duplicate {
                continue;
            }
            let line = self.note_verdict(verdict);
            if self.lines.len() == REMEMBERED_LINES {
                self.lines.pop_front();
            }
            self.lines.push_back(line.clone());
            lines.push(line);
        }
        lines
    }

    fn note_verdict(&mut self, verdict: &Verdict) -> String {
        let kind = verdict.body.kind();
        self.note_camera(verdict);
        self.note_version(verdict);
        *self.by_kind.entry(kind).or_default() += 1;
        let key = (verdict.judge.to_string(), verdict.subject.device.to_string());
        let seen = self.seen.entry(key).or_default();
        seen.kind = kind;
        let mark = match verdict.event {
            None => {
                seen.plain += 1;
                if let Body::Detections(view) = &verdict.body {
                    seen.objects = view.objects.len();
                    seen.objects_total += view.objects.len();
                    "seen"
                } else {
                    if let Body::Traffic(traffic) = &verdict.body {
                        self.counted.note(traffic);
                    }
                    "counted"
                }
            }
            Some(event) => {
                match event.state {
                    EventState::Raised => {
                        self.raised += 1;
                        let events = if event.learning { &mut seen.learning } else { &mut seen.open };
                        events.push(event.id);
                    }
                    EventState::Updated => {}
                    EventState::Cleared => {
                        self.cleared += 1;
                        for events in [&mut seen.open, &mut seen.learning] {
                            if let Some(index) = events.iter().position(|open| *open == event.id) {
                                events.swap_remove(index);
                                seen.cleared += 1;
                            }
                        }
                    }
                }
                event.state.as_str()
            }
        };
        let severity = if verdict.severity == Severity::Info { "" } else { verdict.severity.as_str() };
        format!("{mark:<8} {severity:<8} {}", verdict_words(verdict, &self.zone))
    }

    /// A camera that stands still is part of the scenario, nothing else of cameras is.
    fn note_camera(&mut self, verdict: &Verdict) {
        let (Body::Health(health), Some(event)) = (&verdict.body, verdict.event) else { return };
        if verdict.judge.as_str() != CAMERAS {
            return;
        }
        let is_scenario = verdict.subject.device.as_str() == FROZEN_CAMERA && health.cause == Member::Frozen;
        match event.state {
            EventState::Raised if !is_scenario => {
                self.false_alarms
                    .push(format!("{CAMERAS} about {}: {} was raised", verdict.subject.device, health.cause));
            }
            EventState::Raised => self.frozen[0] = self.frozen[0].or(Some(verdict.times.decided)),
            EventState::Cleared if is_scenario => self.frozen[1] = Some(verdict.times.decided),
            EventState::Updated | EventState::Cleared => {}
        }
    }

    fn note_version(&mut self, verdict: &Verdict) {
        let Some(model) = verdict.model.as_ref().filter(|_| verdict.judge.as_str() == VEHICLES) else {
            return;
        };
        if self.versions.last().is_none_or(|last| *last != model.version.as_str()) {
            self.versions.push(model.version.to_string());
        }
    }

    /// "verdicts of vehicles name versions 1.0, 1.1, 1.0 of their model, one after the other".
    pub(super) fn versions_words(&self) -> Option<String> {
        let versions = self.versions.join(", ");
        (self.versions.len() > 1).then(|| {
            format!("verdicts of {VEHICLES} name versions {versions} of their model, one after the other")
        })
    }

    /// "south stood still from 24 to 36 s: frozen was raised at 27.4 s and cleared at 37.2 s".
    pub(super) fn frozen_words(&self, frozen: &Range<Duration>) -> Option<String> {
        let at = |time: UtcMillis| self.counted.second_of(time);
        let [raised, cleared] = self.frozen;
        let cleared =
            cleared.map_or("not cleared".to_owned(), |time| format!("cleared at {:.1} s", at(time)));
        Some(format!(
            "{FROZEN_CAMERA} stood still from {:.0} to {:.0} s: frozen was raised at {:.1} s and {cleared}",
            frozen.start.as_secs_f64(),
            frozen.end.as_secs_f64(),
            at(raised?)
        ))
    }

    /// "north 3, south 1": vehicles by camera; nothing before a camera is received.
    pub(super) fn seen_objects(&self) -> Option<String> {
        let cameras = self.seen.iter().filter(|(_, seen)| seen.kind == "detections");
        let mut lines: Vec<String> =
            cameras.map(|((_, device), seen)| format!("{device} {}", seen.objects)).collect();
        lines.sort();
        (!lines.is_empty()).then(|| lines.join(", "))
    }

    /// Seconds since the newest verdict arrived.
    pub(super) fn age_s(&self, now: Instant) -> Option<f64> {
        self.newest.map(|newest| now.duration_since(newest).as_secs_f64())
    }

    /// Verdicts seen, duplicates, and numbers missing.
    pub(super) fn sequence_totals(&self) -> (u64, u64, u64) {
        self.sequences.values().fold((0, 0, 0), |(seen, duplicates, missing), tracker| {
            let gaps: u64 = tracker.gaps(true).map(|(from, to)| to.0 - from.0 + 1).sum();
            (seen + tracker.seen(), duplicates + tracker.duplicates(), missing + gaps)
        })
    }

    /// What a run of this length must produce and has not, in words; empty when all of it arrived.
    pub(super) fn missing(&self, run: Duration) -> Vec<String> {
        let missing = SCENARIO.iter().filter_map(|expected| self.lacks(expected));
        missing.chain(self.counted.faults(run)).chain(self.false_alarms.iter().cloned()).collect()
    }

    fn lacks(&self, expected: &Expectation) -> Option<String> {
        let Expectation { judge, device, kind } = *expected;
        let is_interval = kind == "counts" || kind == "traffic";
        let what = match self.seen.get(&(judge.to_owned(), device.to_owned())) {
            None => "nothing arrived",
            Some(seen) if seen.kind != kind => "another kind of verdict arrived",
            Some(seen) if is_interval && seen.plain == 0 => "no interval arrived",
            Some(seen) if kind == "detections" && seen.objects_total == 0 => "no object was seen",
            Some(seen) if kind == "detections" && seen.plain > 0 => return None,
            Some(seen) if !is_interval && seen.cleared == 0 => "it was raised and never cleared",
            Some(seen) if !seen.open.is_empty() => "an event was left open",
            Some(_) => return None,
        };
        Some(format!("{judge} about {device} ({kind}): {what}"))
    }
}
