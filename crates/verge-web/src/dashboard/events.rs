//! Events as pages and the interface show them: the last word about each point of the board that has one.

use std::cmp::Reverse;
use std::fmt;

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

/// Where an event stands in the list: open ones first, of those what waits for an operator, by severity, the newest first. A list
/// that goes on behind a place leaves nothing out that has kept its own, whatever became of the event that stood there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Place {
    open: Reverse<bool>,
    waits: Reverse<bool>,
    severity: Reverse<Option<Severity>>,
    newest: Reverse<i64>,
    id: u128,
}

impl Place {
    fn of(word: &LastWord) -> Self {
        let event = word.verdict.event;
        let open = word.open_event().is_some();
        let newest = event.map_or(0, |event| if open { event.since.0 } else { word.verdict.times.decided.0 });
        Self {
            open: Reverse(open),
            waits: Reverse(open && event.is_some_and(|event| event.handling.is_none())),
            severity: Reverse(open.then_some(word.verdict.severity)),
            newest: Reverse(newest),
            id: event.map_or(0, |event| u128::from_be_bytes(event.id.0)),
        }
    }

    /// As links and answers have it.
    pub(crate) fn read(text: &str) -> Option<Self> {
        let mut parts = text.split('.');
        let mut part = || parts.next();
        let flag = |text| match text {
            "0" => Some(Reverse(false)),
            "1" => Some(Reverse(true)),
            _ => None,
        };
        let severity = |text| match text {
            OVER => Some(Reverse(None)),
            named => Severity::named(named).map(|named| Reverse(Some(named))),
        };
        let place = Self {
            open: flag(part()?)?,
            waits: flag(part()?)?,
            severity: severity(part()?)?,
            newest: Reverse(part()?.parse().ok()?),
            id: u128::from_be_bytes(read_event_id(part()?)?),
        };
        parts.next().is_none().then_some(place)
    }
}

/// In the place of a severity.
const OVER: &str = "over";

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (open, waits) = (u8::from(self.open.0), u8::from(self.waits.0));
        let severity = self.severity.0.map_or(OVER, |severity| severity.as_str());
        write!(f, "{open}.{waits}.{severity}.{}.{:032x}", self.newest.0, self.id)
    }
}

impl EventList {
    /// Those that the filter takes, `most` of them, behind a place or from the begin.
    pub(crate) fn of(site: &Site, filter: &EventFilter, (behind, most): (Option<Place>, usize)) -> Self {
        let takes =
            |word: &LastWord| matches!(word.point().2, PointKind::Events(_)) && filter.takes(&word.verdict);
        let words = site.live.board().words(&takes);
        let mut words: Vec<_> = words.iter().map(|word| (Place::of(word), word)).collect();
        words.sort_unstable_by_key(|(place, _)| *place);
        let begin = behind.map_or(0, |behind| words.partition_point(|(place, _)| *place <= behind));
        let rest = &words[begin..];
        let page = &rest[..most.min(rest.len())];
        let more = rest.len() - page.len();
        let next = page.last().filter(|_| more > 0).map(|(place, _)| place.to_string());
        Self { events: page.iter().filter_map(|(_, word)| EventView::of(site, word)).collect(), more, next }
    }
}

/// The last events of points that are picked, in no order.
pub(crate) fn about(site: &Site, selected: &dyn Fn(&LastWord) -> bool) -> Vec<EventView> {
    site.live.board().words(selected).iter().filter_map(|word| EventView::of(site, word)).collect()
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
