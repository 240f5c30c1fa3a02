//! Verdicts in words, for people: `verge watch`, `verge run` and the demo write them so. What a body says stands in its
//! file.

use verge_domain::finding::{Expected, Member};
use verge_domain::group::{AlarmGroup, GroupKind, GroupMember};
use verge_domain::id::{DeviceId, Unit};
use verge_domain::time::{DeviceClock, UtcMillis};
use verge_domain::verdict::{
    ActionKind, Body, Detector, Event, EventChange, EventState, OperatorAction, Subject, Verdict,
};
use verge_domain::withdrawn::{Tombstone, Withdrawal};

use crate::SiteZone;
use crate::body;

/// Decimals that are added at most where what was observed lies close to what was expected.
const MOST_DIGITS: usize = 4;

/// The verdict in words, without its identity and times. Hours of the day are those of the site.
#[must_use]
pub fn verdict_words(verdict: &Verdict, zone: &SiteZone) -> String {
    let words = body::words(&verdict.body, &Occasion::of(verdict, zone));
    let device = &verdict.subject.device;
    let signal = verdict.subject.signal.as_ref().map_or(String::new(), |signal| format!(" {signal}"));
    let tag = verdict.tag.as_ref().and_then(|tag| tag.description.as_ref());
    let tag = tag.map_or(String::new(), |description| format!(" ({description})"));
    let group = verdict.group.as_ref().map_or_else(String::new, |group| group_words(&verdict.subject, group));
    let learning = verdict.event.filter(|event| event.learning && event.state == EventState::Raised);
    let learning = learning.map_or("", |_| "; no alarm: it is still being learnt what is usual");
    let action =
        verdict.action.as_ref().map_or_else(String::new, |action| action_words(action, verdict, zone));
    let waits = waiting_words(verdict);
    format!("{device}{signal}{tag}: {action}{words}{waits}{learning}{group}")
}

/// What it means that a signal does not come that says in which state a machine is: of what learns or follows a rule, that
/// alone is silent.
fn waiting_words(verdict: &Verdict) -> String {
    let silent = matches!(&verdict.body, Body::Health(health) if health.cause == Member::Silent);
    let reports_silence = matches!(verdict.detector, Detector::Health | Detector::Silence);
    let is_over = verdict.event.is_some_and(|event| event.state == EventState::Cleared);
    match silent && !reports_silence && !is_over {
        true => format!("; judge {} waits for it and does not judge meanwhile", verdict.judge),
        false => String::new(),
    }
}

/// What an operator did, in front of how the event stands.
fn action_words(action: &OperatorAction, verdict: &Verdict, zone: &SiteZone) -> String {
    let shelved = verdict.event.and_then(|event| event.handling.shelved);
    let until = shelved.map_or_else(String::new, |until| format!(" until {}", zone.to_minute(until)));
    let note = action.note.as_ref().map_or_else(String::new, |note| format!(" ({note})"));
    let what = if action.kind == ActionKind::Set { "limit set" } else { action.kind.as_str() };
    format!("{what}{until} by {}{note}; ", action.by)
}

/// Names of a group that are written out at most.
const MOST_NAMED: usize = 5;

/// The alarms that an event stands for, behind its own words.
fn group_words(subject: &Subject, group: &AlarmGroup) -> String {
    let name = |member: &GroupMember| match &member.signal {
        Some(signal) if member.device == subject.device => signal.to_string(),
        Some(signal) => format!("{} {signal}", member.device),
        None => member.device.to_string(),
    };
    let mut names: Vec<String> = Vec::new();
    for name in group.members.iter().map(name) {
        if names.len() < MOST_NAMED && !names.contains(&name) {
            names.push(name);
        }
    }
    let named = u32::try_from(names.len()).unwrap_or(u32::MAX);
    if group.others > named {
        names.push("…".to_owned());
    }
    let of = match group.kind {
        GroupKind::Machine => format!("and {} more", group.others),
        GroupKind::Flood => format!("alarm flood: {} more", group.others),
    };
    format!(" ({of}: {})", names.join(", "))
}

/// A tombstone in words.
#[must_use]
pub fn tombstone_words(tombstone: &Tombstone) -> String {
    let why = match tombstone.reason {
        Withdrawal::Full => "the store was full",
        Withdrawal::Expired => "their useful life was over",
        Withdrawal::Damaged => "damaged on the medium",
        Withdrawal::EarlierEpoch => "they belong to an earlier epoch of the store",
        Withdrawal::TooLarge => "too large for upstream",
        Withdrawal::Defect => "they could not be encoded, which is a defect of the gateway",
        Withdrawal::Refused => "upstream refuses them",
    };
    let mut line = format!("{} to {}: {why}", tombstone.from, tombstone.through);
    for summary in &tombstone.summary {
        let signal = summary.signal.as_ref().map_or(String::new(), |signal| format!(" {signal}"));
        let device = summary.device.as_ref().map_or("several devices", DeviceId::as_str);
        line += &format!("; {} x {}: {device}{signal}", summary.count, summary.judge);
        if let Some((low, high)) = summary.range {
            line += &format!(", {} to {}", number(low), number(high));
        }
    }
    line
}

/// What the words of a body need beside it: what all events have in common is said here.
pub(crate) struct Occasion<'a> {
    event: Option<&'a Event>,
    /// When the observation that decided was made.
    at: UtcMillis,
    zone: &'a SiteZone,
}

impl<'a> Occasion<'a> {
    fn of(verdict: &'a Verdict, zone: &'a SiteZone) -> Self {
        let times = &verdict.times;
        let trusted = times.captured.filter(|_| times.clock == DeviceClock::Trusted);
        Self { event: verdict.event.as_ref(), at: trusted.unwrap_or(times.received), zone }
    }

    pub(crate) fn is_cleared(&self) -> bool {
        self.event.is_some_and(|event| event.state == EventState::Cleared)
    }

    pub(crate) fn is_updated(&self) -> bool {
        self.event.is_some_and(|event| event.state == EventState::Updated)
    }

    /// The hour of the day at the site.
    pub(crate) fn hour(&self) -> String {
        self.zone.hour(self.at)
    }

    /// What is so, and for how long where it was reported before; what is new in it.
    pub(crate) fn lasting(&self, what: String) -> String {
        let Some(event) = self.event.filter(|event| event.state == EventState::Updated) else { return what };
        let after = span(event.lasted_ms);
        if event.suspended {
            return format!("suspended after {after}, the machine is in another state: {what}");
        }
        match event.change {
            Some(EventChange::Renewed) => format!("again after {after}: {what}"),
            Some(EventChange::Turned) => format!("on the other side after {after}: {what}"),
            Some(EventChange::Grown) => format!("several times farther off after {after}: {what}"),
            Some(EventChange::Adapted) | None => format!("{what}, for {after}"),
        }
    }

    /// The same of what is about to end.
    pub(crate) fn abating(&self, what: String) -> String {
        match self.event {
            Some(event)
                if event.state == EventState::Updated && !event.suspended && event.change.is_none() =>
            {
                format!("{what}, {} after it began", span(event.lasted_ms))
            }
            _ => self.lasting(what),
        }
    }

    /// That it is over, and what is so now.
    pub(crate) fn cleared(&self, now: &str) -> String {
        let after = span(self.event.map_or(0, |event| event.lasted_ms));
        match self.event.and_then(|event| event.change) {
            Some(EventChange::Adapted) => format!("has become usual after {after}: {now}"),
            _ => format!("cleared after {after}: {now}"),
        }
    }
}

/// A value beside a range in the same unit.
pub(crate) struct Quantity {
    pub(crate) value: f64,
    pub(crate) range: Expected,
    /// With a space in front; empty where there is none.
    pub(crate) unit: String,
}

impl Quantity {
    /// "8.41 mm/s", with as many digits as distinguish it from the ends of the range.
    pub(crate) fn value(&self) -> String {
        let unit = if self.value == 1.0 { singular(&self.unit) } else { &self.unit };
        format!("{}{unit}", self.number(self.value))
    }

    /// " (normally 4.1 to 5.9)".
    pub(crate) fn normally(&self) -> String {
        self.within("normally")
    }

    /// " (normal 4.1 to 5.9)".
    pub(crate) fn normal(&self) -> String {
        self.within("normal")
    }

    /// The range in brackets, after a word; nothing where it is open.
    pub(crate) fn within(&self, how: &str) -> String {
        let number = |value| self.number(value);
        match (self.range.low, self.range.high) {
            (Some(low), Some(high)) if low == high => format!(" ({how} {})", number(low)),
            (Some(low), Some(high)) => format!(" ({how} {} to {})", number(low), number(high)),
            (Some(low), None) => format!(" ({how} at least {})", number(low)),
            (None, Some(high)) => format!(" ({how} at most {})", number(high)),
            (None, None) => String::new(),
        }
    }

    /// "8.41 mm/s (expected at most 7.1 mm/s)": against a limit that somebody has set.
    pub(crate) fn expected(&self) -> String {
        self.beside("expected")
    }

    /// The value and its range, both with the unit.
    pub(crate) fn beside(&self, how: &str) -> String {
        let range = self.within(how);
        let range = range.strip_suffix(')').map_or(String::new(), |range| format!("{range}{})", self.unit));
        format!("{}{range}", self.value())
    }

    pub(crate) fn is_usual(&self) -> bool {
        self.range.contains(self.value)
    }

    /// The same where a range is known.
    pub(crate) fn is_within(&self) -> bool {
        self.range != Expected::default() && self.is_usual()
    }

    pub(crate) fn times(&self, factor: f64) -> Self {
        let times = |value: f64| value * factor;
        let range = Expected { low: self.range.low.map(times), high: self.range.high.map(times) };
        Self { value: times(self.value), range, unit: self.unit.clone() }
    }

    fn number(&self, value: f64) -> String {
        let apart = |more: &usize| {
            let ends = [self.range.low, self.range.high];
            ends.into_iter().flatten().all(|end| digits(end, *more) != digits(self.value, *more))
        };
        digits(value, (0..=MOST_DIGITS).find(apart).unwrap_or(0))
    }
}

/// The unit of what is observed, with a space in front: the member's own, else the signal's.
pub(crate) fn unit_words(member: Member, of_signal: Option<&Unit>) -> String {
    match member.own_unit().or(of_signal.map(Unit::as_str)) {
        None | Some("") => String::new(),
        Some(unit) => format!(" {unit}"),
    }
}

/// Four significant digits at most: enough to read, without long decimals.
pub(crate) fn number(value: f64) -> String {
    digits(value, 0)
}

/// The same, with more decimals.
fn digits(value: f64, more: usize) -> String {
    let decimals = |least: usize| least.saturating_add(more);
    let magnitude = value.abs();
    match magnitude {
        m if m >= 1e7 || (m > 0.0 && m < 1e-3) => format!("{value:.*e}", decimals(3)),
        m if m >= 1000.0 => format!("{value:.more$}"),
        m if m >= 100.0 => trimmed(format!("{value:.*}", decimals(1))),
        m if m >= 1.0 => trimmed(format!("{value:.*}", decimals(2))),
        _ => trimmed(format!("{value:.*}", decimals(3))),
    }
}

fn trimmed(text: String) -> String {
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// How many of what: "1 verdict", "2 verdicts".
#[must_use]
pub fn counted(number: u64, noun: &str) -> String {
    format!("{number} {noun}{}", if number == 1 { "" } else { "s" })
}

/// The unit of one: units of measurement have no plural, what is counted has.
fn singular(unit: &str) -> &str {
    if unit == " readings" { " reading" } else { unit }
}

/// A span, in the units that read best.
pub(crate) fn span(millis: u64) -> String {
    let minutes = millis / 60_000;
    let two = |whole: u64, unit: &str, rest: u64, of: &str| match rest {
        0 => format!("{whole} {unit}"),
        rest => format!("{whole} {unit} {rest} {of}"),
    };
    match minutes {
        0 if millis < 1000 => format!("{millis} ms"),
        0 => format!("{}.{} s", millis / 1000, millis % 1000 / 100),
        1..120 => format!("{minutes} min"),
        120..2_880 => two(minutes / 60, "h", minutes % 60, "min"),
        _ => two(minutes / 1_440, "d", minutes % 1_440 / 60, "h"),
    }
}

#[cfg(test)]
mod tests;
