//! What arrived upstream, counted by the receiver, and whether that is what the scenario must produce.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::time::Instant;

use verge_domain::id::{Epoch, EventId, Lane};
use verge_domain::sequence::SequenceTracker;
use verge_domain::verdict::{Body, EventState, Severity, Verdict};
use verge_wire::{Message, SiteZone, verdict_words};

/// What must arrive: the verdicts of a judge about a device; events must be raised and cleared.
struct Expectation {
    judge: &'static str,
    device: &'static str,
    kind: &'static str,
}

const SCENARIO: [Expectation; 10] = [
    Expectation { judge: "vibration-high", device: "pump-1", kind: "anomaly" },
    Expectation { judge: "unusual", device: "pump-1", kind: "anomaly" },
    Expectation { judge: "sensor-health", device: "pump-1", kind: "health" },
    Expectation { judge: "bearing-rise", device: "bearing-1", kind: "anomaly" },
    Expectation { judge: "flow-low", device: "flow-1", kind: "anomaly" },
    Expectation { judge: "tank-silent", device: "tank-1", kind: "health" },
    Expectation { judge: "traffic", device: "loop-north", kind: "counts" },
    Expectation { judge: "traffic", device: "loop-south", kind: "counts" },
    Expectation { judge: "vehicles", device: "north", kind: "detections" },
    Expectation { judge: "vehicles", device: "south", kind: "detections" },
];

/// Lines remembered for the live table.
const REMEMBERED_LINES: usize = 8;

/// Everything the receiver knows.
pub(super) struct Arrived {
    pub(super) by_kind: BTreeMap<&'static str, u64>,
    pub(super) raised: u64,
    pub(super) cleared: u64,
    pub(super) lines: VecDeque<String>,
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
    cleared: u64,
    plain: u64,
    /// Of cameras: objects in sight, by the newest verdict and over all of them.
    objects: usize,
    objects_total: usize,
}

impl Arrived {
    /// Nothing received yet.
    pub(super) fn new() -> Self {
        Self {
            by_kind: BTreeMap::new(),
            raised: 0,
            cleared: 0,
            lines: VecDeque::new(),
            zone: SiteZone::of_machine(),
            newest: None,
            sequences: HashMap::new(),
            seen: HashMap::new(),
        }
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
                    "counted"
                }
            }
            Some(event) => {
                match event.state {
                    EventState::Raised => {
                        self.raised += 1;
                        seen.open.push(event.id);
                    }
                    EventState::Updated => {}
                    EventState::Cleared => {
                        self.cleared += 1;
                        if let Some(index) = seen.open.iter().position(|open| *open == event.id) {
                            seen.open.swap_remove(index);
                            seen.cleared += 1;
                        }
                    }
                }
                event.state.as_str()
            }
        };
        let severity = if verdict.severity == Severity::Info { "" } else { verdict.severity.as_str() };
        format!("{mark:<8} {severity:<8} {}", verdict_words(verdict, &self.zone))
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

    /// What the scenario must produce and has not, in words; empty when all of it arrived.
    pub(super) fn missing(&self) -> Vec<String> {
        SCENARIO.iter().filter_map(|expected| self.lacks(expected)).collect()
    }

    fn lacks(&self, expected: &Expectation) -> Option<String> {
        let Expectation { judge, device, kind } = *expected;
        let what = match self.seen.get(&(judge.to_owned(), device.to_owned())) {
            None => "nothing arrived",
            Some(seen) if seen.kind != kind => "another kind of verdict arrived",
            Some(seen) if kind == "counts" && seen.plain == 0 => "no interval arrived",
            Some(seen) if kind == "detections" && seen.objects_total == 0 => "no object was seen",
            Some(seen) if kind == "detections" && seen.plain > 0 => return None,
            Some(seen) if kind != "counts" && seen.cleared == 0 => "it was raised and never cleared",
            Some(seen) if !seen.open.is_empty() => "an event was left open",
            Some(_) => return None,
        };
        Some(format!("{judge} about {device} ({kind}): {what}"))
    }
}
