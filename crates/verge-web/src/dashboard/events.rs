//! Events as pages and the interface show them: the last word about each point of the board that has one.

use std::cmp::Reverse;

use serde::Serialize;
use verge_domain::board::{LastWord, PointKind};
use verge_domain::finding::Expected;
use verge_domain::verdict::{Body, Event, EventState, Severity, Verdict};

use super::form::Form;
use super::site::Site;

/// An event.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct EventView {
    pub(crate) id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) number: Option<u64>,
    pub(crate) state: &'static str,
    pub(crate) severity: &'static str,
    pub(crate) judge: String,
    pub(crate) detector: &'static str,
    pub(crate) source: String,
    pub(crate) device: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) signal: Option<String>,
    /// UTC ms.
    pub(crate) since: i64,
    pub(crate) lasted_ms: u64,
    /// When its last verdict was made (UTC ms).
    pub(crate) decided: i64,
    pub(crate) acknowledged: bool,
    /// UTC ms.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) acknowledged_at: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) acknowledged_by: Option<String>,
    /// UTC ms.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) shelved_until: Option<i64>,
    pub(crate) learning: bool,
    /// It was open before the gateway started, and its judge has said nothing since.
    pub(crate) restored: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) observed: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) expected: Option<Range>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) unit: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) p: Option<f64>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) contributions: Vec<Part>,
    /// All of it in a sentence.
    pub(crate) words: String,
    /// Where its last verdict stands in the store.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) row: Option<String>,
}

/// Where a value lies while all is well.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub(crate) struct Range {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) low: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) high: Option<f64>,
}

/// One signal's part in what is strange.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct Part {
    pub(crate) signal: String,
    pub(crate) share: f64,
    pub(crate) observed: f64,
}

impl EventView {
    pub(super) fn of(site: &Site, word: &LastWord) -> Option<Self> {
        let verdict = &word.verdict;
        let event = verdict.event?;
        let measured = Measured::of(&verdict.body);
        let handling = event.handling;
        Some(Self {
            id: event.id.to_string(),
            number: event.number.map(|number| number.0),
            state: event.state.as_str(),
            severity: verdict.severity.as_str(),
            judge: verdict.judge.to_string(),
            detector: verdict.detector.as_str(),
            source: verdict.subject.source.to_string(),
            device: verdict.subject.device.to_string(),
            signal: verdict.subject.signal.as_ref().map(ToString::to_string),
            since: event.since.0,
            lasted_ms: lasted(site, &event),
            decided: verdict.times.decided.0,
            acknowledged: handling.acknowledged.is_some(),
            acknowledged_at: handling.acknowledged.map(|at| at.0),
            acknowledged_by: word.acknowledged_by.as_ref().map(ToString::to_string),
            shelved_until: handling.shelved.map(|until| until.0),
            learning: event.learning,
            restored: word.seq.is_none(),
            observed: measured.observed,
            expected: measured.expected,
            unit: measured.unit,
            p: measured.p,
            contributions: measured.contributions,
            words: site.live.verdict_words(verdict),
            row: word.seq.map(|seq| format!("{}/{seq}", verdict.lane)),
        })
    }

    /// Whether it is not over.
    pub(crate) fn is_open(&self) -> bool {
        self.state != EventState::Cleared.as_str()
    }

    /// Whether an operator is expected to take note of it.
    pub(crate) fn waits(&self) -> bool {
        self.is_open() && !self.acknowledged && self.shelved_until.is_none()
    }
}

/// An open event goes on while nobody reports it.
fn lasted(site: &Site, event: &Event) -> u64 {
    let now = site.live.now().wall.since(event.since).as_millis();
    let until_now = u64::try_from(now).unwrap_or(u64::MAX);
    if event.state == EventState::Cleared { event.lasted_ms } else { event.lasted_ms.max(until_now) }
}

/// What the bodies of events have in common.
#[derive(Default)]
struct Measured {
    observed: Option<f64>,
    expected: Option<Range>,
    unit: Option<String>,
    p: Option<f64>,
    contributions: Vec<Part>,
}

impl Measured {
    fn of(body: &Body) -> Self {
        let range = |Expected { low, high }: Expected| Some(Range { low, high });
        match body {
            Body::Anomaly(anomaly) => Self {
                observed: Some(anomaly.observed),
                expected: range(anomaly.expected),
                unit: anomaly.unit.as_ref().map(ToString::to_string),
                p: anomaly.p_value,
                contributions: anomaly
                    .contributions
                    .iter()
                    .map(|part| Part {
                        signal: part.signal.to_string(),
                        share: part.share,
                        observed: part.observed,
                    })
                    .collect(),
            },
            Body::Health(health) => Self {
                observed: Some(health.observed),
                expected: range(health.expected),
                unit: health.cause.own_unit().map(ToOwned::to_owned),
                ..Self::default()
            },
            Body::Counts(_) | Body::Traffic(_) | Body::Classification(_) | Body::Detections(_) => {
                Self::default()
            }
        }
    }
}

/// Which events are listed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct EventFilter {
    /// Open ones, past ones, or all.
    pub(crate) state: Option<ListedState>,
    pub(crate) severity: Option<Severity>,
    pub(crate) judge: Option<String>,
    pub(crate) device: Option<String>,
}

verge_domain::words! {
    /// Which part of the list.
    pub enum ListedState {
        /// Open.
        Open = "open",
        /// Open and waiting for an operator.
        Unacknowledged = "unacknowledged",
        /// Over.
        Past = "past",
    }
}

impl EventFilter {
    /// From a query; what it does not understand does not limit the list.
    pub(crate) fn of(query: &Form) -> Self {
        Self {
            state: query.text("state").and_then(ListedState::named),
            severity: query.text("severity").and_then(Severity::named),
            judge: query.text("judge").map(ToOwned::to_owned),
            device: query.text("device").map(ToOwned::to_owned),
        }
    }

    pub(super) fn takes(&self, verdict: &Verdict) -> bool {
        let Some(event) = verdict.event else { return false };
        let open = event.state != EventState::Cleared;
        let waits = open && event.handling.is_none();
        let by_state = match self.state {
            None => true,
            Some(ListedState::Open) => open,
            Some(ListedState::Unacknowledged) => waits,
            Some(ListedState::Past) => !open,
        };
        by_state
            && self.severity.is_none_or(|severity| severity == verdict.severity)
            && self.judge.as_ref().is_none_or(|judge| judge == verdict.judge.as_str())
            && self.device.as_ref().is_none_or(|device| device == verdict.subject.device.as_str())
    }
}

/// A list of events.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct EventList {
    pub(crate) events: Vec<EventView>,
    /// Of those that the filter takes, how many stand beyond the end of the list.
    pub(crate) more: usize,
    /// Where the list goes on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) next: Option<String>,
}

impl EventList {
    /// Open ones first: what waits for an operator, by severity, the newest first.
    pub(crate) fn of(site: &Site, filter: &EventFilter, most: usize) -> Self {
        let all = Self::behind(site, filter, (None, most));
        all.unwrap_or(Self { events: Vec::new(), more: 0, next: None })
    }

    /// The same behind an event of the list; `None` if that is not in it any more.
    pub(crate) fn behind(
        site: &Site,
        filter: &EventFilter,
        (after, most): (Option<&str>, usize),
    ) -> Option<Self> {
        let takes =
            |word: &LastWord| matches!(word.point().2, PointKind::Events(_)) && filter.takes(&word.verdict);
        let mut words = site.live.board().words(&takes);
        words.sort_by_key(|word| {
            let event = word.verdict.event;
            let open = word.open_event().is_some();
            let waits = open && event.is_some_and(|event| event.handling.is_none());
            let newest =
                event.map_or(0, |event| if open { event.since.0 } else { word.verdict.times.decided.0 });
            let severity = if open { Some(word.verdict.severity) } else { None };
            (Reverse(open), Reverse(waits), Reverse(severity), Reverse(newest), event.map(|event| event.id.0))
        });
        let begin = match after {
            None => 0,
            Some(after) => words.iter().position(|word| event_id(word).as_deref() == Some(after))? + 1,
        };
        let more = words.len().saturating_sub(begin).saturating_sub(most);
        let page = words.iter().skip(begin).take(most);
        let last = page.clone().next_back().and_then(|word| event_id(word));
        let events = page.filter_map(|word| EventView::of(site, word)).collect();
        Some(Self { events, more, next: last.filter(|_| more > 0) })
    }
}

/// The last events of points that are picked, in no order.
pub(crate) fn about(site: &Site, selected: &dyn Fn(&LastWord) -> bool) -> Vec<EventView> {
    site.live.board().words(selected).iter().filter_map(|word| EventView::of(site, word)).collect()
}

fn event_id(word: &LastWord) -> Option<String> {
    word.verdict.event.map(|event| event.id.to_string())
}

/// The identity of an event, as links and lists have it.
pub(crate) fn read_event_id(text: &str) -> Option<[u8; 16]> {
    let is_hex = text.len() == 32 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    is_hex.then(|| u128::from_str_radix(text, 16).ok())?.map(u128::to_be_bytes)
}

/// An event by its identity.
pub(crate) fn find(site: &Site, id: &str) -> Option<EventView> {
    let id = read_event_id(id)?;
    let is_it = |word: &LastWord| word.verdict.event.is_some_and(|event| event.id.0 == id);
    site.live.board().words(&is_it).first().and_then(|word| EventView::of(site, word))
}
