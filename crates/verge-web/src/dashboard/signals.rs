//! Signals as pages and the interface show them.

use std::collections::{BTreeMap, HashMap};

use serde::{Deserialize as _, Serialize};
use verge_domain::board::{LastWord, PointKind};
use verge_domain::finding::Expected;
use verge_domain::history::{BandChange, Course, SignalNow};
use verge_domain::id::{DeviceId, SignalId, SourceId};
use verge_domain::judge_account::JudgeAccount;
use verge_domain::time::UtcMillis;
use verge_domain::verdict::{Body, Severity, Subject};

use super::events::Range;
use super::form::Form;
use super::problem::Problem;
use super::routes::segment;
use super::shown::Shown;
use super::site::Site;

/// A signal that has sent nothing for this long is listed as old.
pub(crate) const OLD_AFTER_MS: u128 = 5 * 60_000;

/// A signal, and what it shows.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct SignalView {
    pub(crate) source: String,
    pub(crate) device: String,
    pub(crate) signal: String,
    pub(crate) value: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) unit: Option<String>,
    /// UTC ms.
    pub(crate) at: i64,
    /// Severity of its worst open event.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) worst: Option<&'static str>,
    pub(crate) judges: Vec<JudgeView>,
    /// Since when its history is kept (UTC ms).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) since: Option<i64>,
}

/// A judge that looks at a signal, and where it expects it now.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct JudgeView {
    pub(crate) judge: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) expected: Option<Range>,
}

/// How a signal went.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct HistoryView {
    pub(crate) step: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) since: Option<i64>,
    pub(crate) samples: Vec<SampleView>,
    pub(crate) bands: Vec<BandView>,
}

/// What a signal showed within one step.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct SampleView {
    pub(crate) at: i64,
    pub(crate) last: f32,
    pub(crate) least: f32,
    pub(crate) greatest: f32,
    /// A judge of it was under maintenance, or its alarms were shelved.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub(crate) held: bool,
}

/// Where a judge expected a signal.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct BandView {
    pub(crate) judge: String,
    pub(crate) changes: Vec<ChangeView>,
}

/// From a time on it was expected here; without an end: nowhere in particular.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct ChangeView {
    pub(crate) from: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) low: Option<f32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) high: Option<f32>,
}

fn range(Expected { low, high }: Expected) -> Range {
    Range { low, high }
}

impl SignalView {
    fn of(subject: &Subject, now: SignalNow, worst: Option<Severity>) -> Self {
        let judge = |(judge, expected): (_, Option<Expected>)| JudgeView {
            judge: ToString::to_string(&judge),
            expected: expected.map(range),
        };
        Self {
            source: subject.source.to_string(),
            device: subject.device.to_string(),
            signal: subject.signal.as_ref().map_or_else(String::new, ToString::to_string),
            value: now.value,
            unit: now.unit.map(|unit| unit.to_string()),
            at: now.at.0,
            worst: worst.map(Severity::as_str),
            judges: now.judges.into_iter().map(|(name, expected)| judge((name, expected))).collect(),
            since: now.since.map(|since| since.0),
        }
    }
}

impl HistoryView {
    pub(crate) fn of(course: &Course, to: UtcMillis) -> Self {
        let samples = course.samples.iter().filter(|sample| sample.at < to).map(|sample| SampleView {
            at: sample.at.0,
            last: sample.last,
            least: sample.least,
            greatest: sample.greatest,
            held: sample.held,
        });
        #[expect(clippy::cast_possible_truncation, reason = "it was kept as such")]
        let change = |change: &BandChange| {
            let Expected { low, high } = change.expected.unwrap_or_default();
            ChangeView {
                from: change.from.0,
                low: low.map(|end| end as f32),
                high: high.map(|end| end as f32),
            }
        };
        let bands = course.bands.iter().map(|(judge, changes)| BandView {
            judge: judge.to_string(),
            changes: changes.iter().filter(|one| one.from < to).map(change).collect(),
        });
        Self {
            step: course.step.as_str(),
            since: course.since.map(|since| since.0),
            samples: samples.collect(),
            bands: bands.collect(),
        }
    }
}

/// Which signals are listed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct SignalFilter {
    /// A part of source, device or signal, in whatever case.
    pub(crate) name: Option<String>,
    pub(crate) state: Option<SignalState>,
}

verge_domain::words! {
    /// Which part of the list.
    pub enum SignalState {
        /// An event about it is open.
        Abnormal = "abnormal",
        /// None is.
        Usual = "usual",
        /// It has sent nothing for minutes.
        Old = "old",
    }
}

impl SignalFilter {
    /// From a query; what it does not understand does not limit the list.
    pub(crate) fn of(query: &Form) -> Self {
        Self {
            name: query.text("name").map(str::to_lowercase),
            state: query.text("state").and_then(SignalState::named),
        }
    }
}

/// Some signals of those that a filter takes.
pub(crate) struct SignalList {
    pub(crate) signals: Vec<(Subject, SignalView)>,
    /// Of all those.
    pub(crate) first: usize,
    pub(crate) matching: usize,
    pub(crate) all: usize,
}

impl SignalList {
    /// `most` of them from the place of `first` on, or behind the one that is named.
    pub(crate) fn of(
        site: &Site,
        filter: &SignalFilter,
        (first, behind, most): (usize, Option<&Subject>, usize),
    ) -> Self {
        let (open, now) = (open_events(site), site.live.now().wall);
        let (mut all, mut matching) = (0, 0);
        let found = site.live.signals().list(&mut |signal, at| {
            all += 1;
            let by_state = match filter.state {
                None => true,
                Some(SignalState::Abnormal) => open.contains_key(signal),
                Some(SignalState::Usual) => !open.contains_key(signal),
                Some(SignalState::Old) => now.since(at).as_millis() > OLD_AFTER_MS,
            };
            if !by_state || filter.name.as_ref().is_some_and(|part| !has_in_name(signal, part)) {
                return false;
            }
            if behind.is_some_and(|behind| signal <= behind) {
                return false;
            }
            matching += 1;
            matching > first && matching - first <= most
        });
        let view = |subject: Subject| {
            let view =
                SignalView::of(&subject, site.live.signals().newest(&subject)?, open.get(&subject).copied());
            Some((subject, view))
        };
        Self { signals: found.into_iter().filter_map(view).collect(), first, matching, all }
    }
}

fn has_in_name(subject: &Subject, part: &str) -> bool {
    let has = |name: &str| name.to_lowercase().contains(part);
    has(subject.device.as_str())
        || subject.signal.as_ref().is_some_and(|signal| has(signal.as_str()))
        || has(subject.source.as_str())
}

/// Signals with an open event, and the severity of the worst.
fn open_events(site: &Site) -> HashMap<Subject, Severity> {
    let is_open = |word: &LastWord| word.open_event().is_some() && word.verdict.subject.signal.is_some();
    let mut worst = HashMap::new();
    for word in site.live.board().words(&is_open) {
        let severity = worst.entry(word.verdict.subject.clone()).or_insert(word.verdict.severity);
        *severity = word.verdict.severity.max(*severity);
    }
    worst
}

/// The signal of these names, if it was received.
pub(crate) fn find(site: &Site, subject: &Subject) -> Option<SignalView> {
    let now = site.live.signals().newest(subject)?;
    let is_open = |word: &LastWord| word.open_event().is_some() && word.verdict.subject == *subject;
    let worst = site.live.board().words(&is_open).iter().map(|word| word.verdict.severity).max();
    Some(SignalView::of(subject, now, worst))
}

/// The last events about a signal: its own, and those of its device in which it has a part. The newest first.
pub(crate) fn events_about(site: &Site, subject: &Subject) -> Vec<super::events::EventView> {
    let has_part = |word: &LastWord| match &word.verdict.body {
        Body::Anomaly(anomaly) => {
            anomaly.contributions.iter().any(|part| Some(&part.signal) == subject.signal.as_ref())
        }
        _ => false,
    };
    let is_about = |word: &LastWord| {
        let about = &word.verdict.subject;
        let of_device =
            about.signal.is_none() && (&about.source, &about.device) == (&subject.source, &subject.device);
        matches!(word.point().2, PointKind::Events(_)) && (about == subject || of_device && has_part(word))
    };
    let mut events = super::events::about(site, &is_about);
    events.sort_by_key(|event| std::cmp::Reverse(event.since));
    events
}

/// Names of a path.
pub(crate) fn named(source: &str, device: &str, signal: &str) -> Result<Subject, Problem> {
    let unknown = |_| no_signal(source, device, signal);
    Ok(Subject {
        source: SourceId::new(source).map_err(unknown)?,
        device: DeviceId::new(device).map_err(unknown)?,
        signal: Some(SignalId::new(signal).map_err(unknown)?),
    })
}

/// There is no such signal.
pub(crate) fn unknown(subject: &Subject) -> Problem {
    let signal = subject.signal.as_ref().map_or("", SignalId::as_str);
    no_signal(subject.source.as_str(), subject.device.as_str(), signal)
}

fn no_signal(source: &str, device: &str, signal: &str) -> Problem {
    Problem::NoSignal(Shown::of(&format!("{source}/{device}/{signal}")).text)
}

/// The path of a signal below `/signals/`, whatever stands in its names.
pub(crate) fn path_of(subject: &Subject) -> String {
    let signal = subject.signal.as_ref().map_or("", SignalId::as_str);
    [subject.source.as_str(), subject.device.as_str(), signal].map(segment).join("/")
}

/// The reverse of [`path_of`], for a place in a list.
pub(crate) fn read_path(path: &str) -> Option<Subject> {
    let plain = |part: &str| {
        // A plus sign stands for itself here.
        let pair = format!("x={}", part.replace('+', "%2B"));
        Form::read(pair.as_bytes()).raw("x").to_owned()
    };
    let mut parts = path.split('/').map(plain);
    let (source, device, signal) = (parts.next()?, parts.next()?, parts.next()?);
    named(&source, &device, &signal).ok().filter(|_| parts.next().is_none())
}

/// How often judges alarm, whether they still learn and what would help, in words, by their names.
pub(crate) fn budgets(site: &Site) -> BTreeMap<String, String> {
    let words = |account: JudgeAccount| {
        let words = account.words(|at| site.live.time_words(at));
        (account.name, Shown::sentence(&words).to_string())
    };
    accounts(&site.status()).into_iter().map(words).collect()
}

/// What a status says of judges.
pub(crate) fn accounts(status: &serde_json::Value) -> Vec<JudgeAccount> {
    let judges = status["judges"].as_array().into_iter().flatten();
    judges.filter_map(|judge| JudgeAccount::deserialize(judge).ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_any_kind_come_back_out_of_a_path() {
        for name in ["pump-1", "a/b", "ä+ %2F?#&", "<script>\"'", ".", "\u{202e}x"] {
            let subject = named("s", name, name).unwrap();
            assert_eq!(read_path(&path_of(&subject)), Some(subject), "{name}");
        }
        for odd in ["", "a/b", "a/b/c/d", "a//c"] {
            assert_eq!(read_path(odd), None, "{odd}");
        }
    }
}
