//! How many alarms come and stand, in the terms by which operators are judged (EEMUA 191, ISA-18.2).
//!
//! An alarm is an event that requires a response: of severity *warning* or *critical*, not for the record, and not one that
//! another event stands for.

use std::collections::VecDeque;
use std::time::Duration;

use serde::Serialize;

use crate::board::LastWord;
use crate::id::{DeviceId, JudgeId, SignalId};
use crate::time::UtcMillis;
use crate::verdict::{EventState, Severity, Verdict};

/// More alarms than this in ten minutes are a flood.
const FLOOD_ABOVE: u64 = 10;
/// A flood is over when fewer come in ten minutes.
const FLOOD_BELOW: u64 = 5;
/// An alarm chatters that is raised three times within it.
const A_MINUTE: Duration = Duration::from_secs(60);
const MINUTE_MS: i64 = 60_000;
const TEN_MINUTES: i64 = 10;
const DAY_MINUTES: i64 = 24 * 60;
/// Points that are listed.
const LISTED: usize = 10;

/// Whether a verdict is about an alarm.
#[must_use]
pub fn is_alarm(verdict: &Verdict) -> bool {
    let counts = |event: &crate::verdict::Event| !event.learning && event.group.is_none();
    verdict.severity >= Severity::Warning && verdict.event.as_ref().is_some_and(counts)
}

/// Alarms that are open.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct StandingAlarms {
    /// All of them.
    pub standing: u64,
    /// Not acknowledged and not shelved.
    pub unacknowledged: u64,
    /// Shelved.
    pub shelved: u64,
    /// Critical.
    pub critical: u64,
}

impl StandingAlarms {
    /// Adds the alarm that a word is about, or takes it off by another `change`, if one is open.
    pub fn count(&mut self, word: &LastWord, change: impl Fn(u64) -> u64) {
        let Some(event) = word.open_event().filter(|_| is_alarm(&word.verdict)) else { return };
        self.standing = change(self.standing);
        let places = [
            (&mut self.unacknowledged, event.handling.is_none()),
            (&mut self.shelved, event.handling.shelved.is_some()),
            (&mut self.critical, word.verdict.severity == Severity::Critical),
        ];
        places.into_iter().filter(|(_, is_one)| *is_one).for_each(|(place, _)| *place = change(*place));
    }
}

/// How the events of one point went on, since the start where nothing else is said.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct PointCourse {
    /// Events raised.
    pub raised: u32,
    /// Events raised in the life of the store.
    pub total: u32,
    /// When the last two of them were raised, the newest first.
    last: [Option<UtcMillis>; 2],
    /// When it last chattered.
    chattered: Option<UtcMillis>,
}

impl PointCourse {
    /// Of a point that had raised `total` events before the start.
    #[must_use]
    pub fn after_events(total: u32) -> Self {
        Self { total, ..Self::default() }
    }

    /// After the next verdict of the point.
    #[must_use]
    pub fn after(self, verdict: &Verdict) -> Self {
        if verdict.event.is_none_or(|event| event.state != EventState::Raised) {
            return self;
        }
        let at = verdict.times.decided;
        let [newest, other] = self.last;
        let chatters = other.is_some_and(|first| at.since(first) <= A_MINUTE);
        Self {
            raised: self.raised.wrapping_add(1),
            total: self.total.wrapping_add(1),
            last: [Some(at), newest],
            chattered: if chatters { Some(at) } else { self.chattered },
        }
    }
}

/// Alarms per minute of the last day.
#[derive(Debug, Clone, Default)]
pub struct AlarmLoad {
    /// Minutes in which alarms came, oldest first, with their number.
    minutes: VecDeque<(i64, u64)>,
    flooding: bool,
    floods: u64,
}

impl AlarmLoad {
    /// Counts the alarm that a verdict raises, if it does.
    pub fn note(&mut self, verdict: &Verdict) {
        if !is_alarm(verdict) || verdict.event.is_none_or(|event| event.state != EventState::Raised) {
            return;
        }
        let at = verdict.times.decided.0.div_euclid(MINUTE_MS);
        // The clock may have been set back.
        let at = self.minutes.back().map_or(at, |(newest, _)| at.max(*newest));
        self.flooding &= self.since(at - TEN_MINUTES) >= FLOOD_BELOW;
        match self.minutes.back_mut() {
            Some((minute, count)) if *minute == at => *count += 1,
            _ => self.minutes.push_back((at, 1)),
        }
        while self.minutes.front().is_some_and(|(minute, _)| *minute <= at - DAY_MINUTES) {
            self.minutes.pop_front();
        }
        if !self.flooding && self.since(at - TEN_MINUTES) > FLOOD_ABOVE {
            (self.flooding, self.floods) = (true, self.floods + 1);
        }
    }

    /// Alarms in minutes after this one.
    fn since(&self, minute: i64) -> u64 {
        self.minutes.iter().rev().take_while(|(at, _)| *at > minute).map(|(_, count)| count).sum()
    }

    /// The most that came within ten minutes of the last day.
    fn peak(&self, now: i64) -> u64 {
        let of_day = || self.minutes.iter().filter(|(at, _)| *at > now - DAY_MINUTES);
        let until = |end: i64| of_day().filter(move |(at, _)| *at > end - TEN_MINUTES && *at <= end);
        of_day().map(|(at, _)| until(*at).map(|(_, count)| count).sum()).max().unwrap_or(0)
    }
}

/// A point in a list of alarms.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct AlarmPoint {
    /// The judge.
    pub judge: JudgeId,
    /// The device.
    pub device: DeviceId,
    /// The signal.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub signal: Option<SignalId>,
    /// Events raised since the start.
    pub raised: u32,
}

impl AlarmPoint {
    fn of(word: &LastWord) -> Self {
        let Verdict { judge, subject, .. } = &word.verdict;
        let (device, signal) = (subject.device.clone(), subject.signal.clone());
        Self { judge: judge.clone(), device, signal, raised: word.course.raised }
    }
}

/// The alarms of a gateway.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct AlarmFigures {
    /// Open.
    pub standing: u64,
    /// Open, not acknowledged and not shelved.
    pub unacknowledged: u64,
    /// Open and shelved.
    pub shelved: u64,
    /// Open for more than a day.
    pub stale: u64,
    /// Raised in the last ten minutes.
    pub last_ten_minutes: u64,
    /// The most that were raised within ten minutes of the last day.
    pub peak_of_day: u64,
    /// Times since the start at which more came in ten minutes than people can look at.
    pub floods: u64,
    /// The points with the most events since the start, the most frequent first.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub most_frequent: Vec<AlarmPoint>,
    /// Points that raised three or more within a minute during the last day.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub chattering: Vec<AlarmPoint>,
}

impl AlarmFigures {
    /// Of the last words about all points.
    #[must_use]
    pub fn of<'a>(words: impl Iterator<Item = &'a LastWord>, load: &AlarmLoad, now: UtcMillis) -> Self {
        let minute = now.0.div_euclid(MINUTE_MS);
        let day_ago = UtcMillis(now.0.saturating_sub(DAY_MINUTES * MINUTE_MS));
        let mut figures = Self {
            last_ten_minutes: load.since(minute - TEN_MINUTES),
            peak_of_day: load.peak(minute),
            floods: load.floods,
            ..Self::default()
        };
        let (mut frequent, mut chattering): (Vec<&LastWord>, Vec<&LastWord>) = (Vec::new(), Vec::new());
        let mut open = StandingAlarms::default();
        for word in words.filter(|word| is_alarm(&word.verdict)) {
            open.count(word, |count| count + 1);
            figures.stale += u64::from(word.open_event().is_some_and(|event| event.since < day_ago));
            if word.course.chattered.is_some_and(|at| at > day_ago) {
                chattering.push(word);
            }
            if word.course.raised > 0 {
                frequent.push(word);
            }
        }
        let StandingAlarms { standing, unacknowledged, shelved, critical: _ } = open;
        (figures.standing, figures.unacknowledged, figures.shelved) = (standing, unacknowledged, shelved);
        let listed = |mut words: Vec<&LastWord>| -> Vec<AlarmPoint> {
            let rank = |word: &&LastWord| {
                let Verdict { judge, subject, .. } = &word.verdict;
                (std::cmp::Reverse(word.course.raised), judge.clone(), subject.device.clone())
            };
            words.sort_by_key(rank);
            words.into_iter().take(LISTED).map(AlarmPoint::of).collect()
        };
        figures.most_frequent = listed(frequent);
        figures.chattering = listed(chattering);
        figures
    }
}

#[cfg(test)]
mod tests;
