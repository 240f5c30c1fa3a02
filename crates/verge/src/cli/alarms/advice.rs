//! What to do about tags that alarm most: computed from how, when and for how long they do.

use std::collections::{BTreeMap, BTreeSet};

use verge_domain::finding::{Expected, Member};
use verge_domain::verdict::{Body, Detector};
use verge_wire::SiteZone;

use super::rates::TagAlarms;
use super::record::{EventRecord, Tag};
use super::span;

/// A tag is worth advice from this many alarms on…
const FEWEST: usize = 3;
/// …if they are this part of what its judge raised.
const LEAST_SHARE: f64 = 0.25;
/// Most of them: a pattern.
const MOST: f64 = 0.7;
/// Tags that alarm within this time of one another do so together.
const TOGETHER_MS: i64 = 120_000;
/// An hour of the day counts with its two neighbours.
const HOURS_BESIDE: u32 = 1;
const HOUR_MS: i64 = 3_600_000;
const DAY_MS: i64 = 86_400_000;

/// Advice on one tag.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct AlarmAdvice {
    pub(super) tag: Tag,
    pub(super) alarms: usize,
    pub(super) of: usize,
    /// What can be seen of them.
    pub(super) seen: Vec<String>,
    /// What to do, the best first.
    pub(super) remedies: Vec<String>,
}

impl AlarmAdvice {
    /// In a sentence.
    pub(super) fn words(&self) -> String {
        let Self { tag, alarms, of, seen, remedies } = self;
        let seen = if seen.is_empty() { String::new() } else { format!(" ({})", seen.join("; ")) };
        format!(
            "{} raised {alarms} of {of} alarms of {}{seen}: {}",
            tag.subject(),
            tag.judge,
            remedies.join(", or ")
        )
    }
}

/// On the tags that are worth it. `all`: every alarm of the period.
pub(super) fn advice(tags: &[TagAlarms<'_>], all: &[&EventRecord], zone: &SiteZone) -> Vec<AlarmAdvice> {
    let several = |tag: &&TagAlarms<'_>| tag.count() >= FEWEST && tag.share() >= LEAST_SHARE;
    tags.iter().filter(several).map(|tag| on(tag, all, zone)).collect()
}

fn on(tag: &TagAlarms<'_>, all: &[&EventRecord], zone: &SiteZone) -> AlarmAdvice {
    let (mut seen, mut remedies) = (Vec::new(), Vec::new());
    let company = company(tag, all);
    if let Some((other, count)) = &company {
        seen.push(format!("{count} of them within two minutes of one of {other}"));
    }
    let hour = usual_hour(tag, zone);
    if let Some((from, to, count)) = hour {
        seen.push(format!("{count} of them from {from:02}:00 to {to:02}:00"));
    }
    match tag.detector {
        Detector::Threshold | Detector::Rate | Detector::Cusum => on_rule(tag, &mut seen, &mut remedies),
        Detector::Silence => on_silence(tag, &mut remedies),
        Detector::Health => on_health(tag, &mut seen, &mut remedies),
        Detector::Track => on_places(tag, &mut remedies),
        Detector::Auto
        | Detector::Multi
        | Detector::Pattern
        | Detector::Vibration
        | Detector::Autoencoder
        | Detector::Anomaly
        | Detector::Loop
        | Detector::Classify
        | Detector::Detect => on_learning(tag, company.is_some() || hour.is_some(), &mut seen, &mut remedies),
    }
    AlarmAdvice { tag: tag.tag.clone(), alarms: tag.count(), of: tag.of_judge, seen, remedies }
}

/// What has learnt what is usual: it can be corrected.
fn on_learning(tag: &TagAlarms<'_>, is_regular: bool, seen: &mut Vec<String>, remedies: &mut Vec<String>) {
    if let Some((member, count)) = tag.usual_member()
        && is_most(count, tag.count())
    {
        seen.push(format!("{count} by its {}", member.as_str().replace('_', " ")));
    }
    let newest = tag.events.iter().rev().find_map(|event| event.number);
    let label = match newest {
        Some(number) => format!("if they are no faults, label the newest (`verge label {number} false`)"),
        None => "if they are no faults, label them false".to_owned(),
    };
    if is_regular {
        remedies.push(format!("judge it only while its machine runs (`while` in [judge.{}])", tag.tag.judge));
    }
    remedies.push(label);
}

fn on_rule(tag: &TagAlarms<'_>, seen: &mut Vec<String>, remedies: &mut Vec<String>) {
    if let Some(median) = tag.median_ms().filter(|&median| median > 0) {
        seen.push(format!("half of them over within {}", span(median)));
        // A condition that must last twice as long as half of them did.
        let wait = rounded_up(2 * median);
        let left =
            tag.events.iter().filter(|event| event.lasted_ms.is_none_or(|lasted| lasted >= wait)).count();
        if wait <= 600_000 && left * 2 <= tag.count() {
            remedies.push(format!(
                "set raise_after = \"{}\" in [judge.{}] ({left} of {} would be left)",
                setting(wait),
                tag.tag.judge,
                tag.count()
            ));
        }
    }
    if let Some((key, limit, reached)) = limit_of(tag) {
        remedies.push(format!(
            "move {key} from {limit} to beyond {reached}, which half of them did not reach, if that is harmless"
        ));
    }
    if remedies.is_empty() {
        remedies.push("look at the machine: nothing in how they come speaks for a wrong setting".to_owned());
    }
}

fn on_silence(tag: &TagAlarms<'_>, remedies: &mut Vec<String>) {
    let mut lasted: Vec<u64> = tag.events.iter().filter_map(|event| event.lasted_ms).collect();
    lasted.sort_unstable();
    if let Some(&most) = lasted.get(lasted.len() * 9 / 10) {
        let left = lasted.iter().filter(|&&one| one > most).count() + tag.open();
        remedies.push(format!(
            "raise `after` in [judge.{}] by {} ({left} of {} would be left)",
            tag.tag.judge,
            setting(rounded_up(most)),
            tag.count()
        ));
    }
    remedies.push("check the connection of the device".to_owned());
}

/// Places of a camera have limits of their own.
fn on_places(tag: &TagAlarms<'_>, remedies: &mut Vec<String>) {
    let place = &tag.tag.signal;
    let keys = match tag.usual_member().map(|(member, _)| member) {
        Some(Member::Queue) => "raise `queue_from`",
        Some(Member::Stopped) => "raise `stopped_after`",
        Some(Member::Person) => "take classes out of `forbidden`",
        _ => "check `lane` and the corners of `polygon`",
    };
    remedies.push(format!("{keys} in [judge.{}.zone.{place}]", tag.tag.judge));
}

fn on_health(tag: &TagAlarms<'_>, seen: &mut Vec<String>, remedies: &mut Vec<String>) {
    let Some((cause, count)) = tag.usual_member() else { return };
    let name = cause.as_str();
    seen.push(format!("{count} {}", name.replace('_', " ")));
    remedies.push(match cause {
        Member::Stuck | Member::Flat => {
            format!(
                "if the signal may stand still, leave \"{name}\" out of `causes` in [judge.{}]",
                tag.tag.judge
            )
        }
        Member::ClockSkewed => "set the clock of the device".to_owned(),
        Member::Duplicate => "give each publisher a name of its own".to_owned(),
        _ => "look at the sensor and its wiring".to_owned(),
    });
}

fn is_most(count: usize, of: usize) -> bool {
    #[expect(clippy::cast_precision_loss, reason = "numbers of alarms")]
    let share = count as f64 / of.max(1) as f64;
    share >= MOST
}

/// The tag in whose company most of the alarms come, and how many do. Each alarm of that tag is company for one: three
/// alarms about one of another tag are one coincidence.
fn company(tag: &TagAlarms<'_>, all: &[&EventRecord]) -> Option<(String, usize)> {
    // By other tag: coincidences, and the place of the last alarm that was one.
    let mut counts: BTreeMap<&Tag, (usize, usize)> = BTreeMap::new();
    for event in &tag.events {
        let begin = all.partition_point(|other| other.raised.0 < event.raised.0 - TOGETHER_MS);
        let near = all.iter().enumerate().skip(begin);
        let near = near.take_while(|(_, other)| other.raised.0 <= event.raised.0 + TOGETHER_MS);
        let is_other = |other: &EventRecord| {
            (&other.tag.device, &other.tag.signal) != (&tag.tag.device, &tag.tag.signal)
        };
        let mut met: BTreeSet<&Tag> = BTreeSet::new();
        for (place, other) in near.filter(|(_, other)| is_other(other)) {
            let known = counts.get(&other.tag);
            if known.is_none_or(|&(_, last)| place > last) && met.insert(&other.tag) {
                counts.insert(&other.tag, (known.map_or(0, |known| known.0) + 1, place));
            }
        }
    }
    let (other, (count, _)) = counts.into_iter().max_by_key(|&(_, (count, _))| count)?;
    (count >= FEWEST && is_most(count, tag.count())).then(|| (other.subject(), count))
}

/// Three hours of the day at the site within which most of the alarms come on several days, and how many do.
fn usual_hour(tag: &TagAlarms<'_>, zone: &SiteZone) -> Option<(u32, u32, usize)> {
    let at_site = |event: &EventRecord| zone.wall_clock(event.raised).0;
    let hour =
        |event: &&EventRecord| u32::try_from(at_site(event).div_euclid(HOUR_MS).rem_euclid(24)).unwrap_or(0);
    let days: BTreeSet<i64> = tag.events.iter().map(|event| at_site(event).div_euclid(DAY_MS)).collect();
    if days.len() < FEWEST {
        return None;
    }
    let near = |middle: u32, beside: u32| {
        let is_near = |event: &&&EventRecord| (hour(event) + 24 - middle + beside) % 24 <= 2 * beside;
        tag.events.iter().filter(is_near).count()
    };
    let fitting = |middle: &u32| (near(*middle, HOURS_BESIDE), near(*middle, 0));
    let middle = (0..24).max_by_key(fitting)?;
    let count = near(middle, HOURS_BESIDE);
    let (from, to) = ((middle + 24 - HOURS_BESIDE) % 24, (middle + 1 + HOURS_BESIDE) % 24);
    is_most(count, tag.count()).then_some((from, to, count))
}

/// The limit that was passed, and the value that half of the alarms did not pass when they were raised.
fn limit_of(tag: &TagAlarms<'_>) -> Option<(&'static str, f64, f64)> {
    let (member, count) = tag.usual_member()?;
    let key = match member {
        Member::High => "above",
        Member::Low => "below",
        _ => return None,
    };
    let limit = |expected: &Expected| if member == Member::High { expected.high } else { expected.low };
    let mut values: Vec<(f64, f64)> = tag
        .events
        .iter()
        .filter(|event| event.member == Some(member))
        .filter_map(|event| match &event.first.body {
            Body::Anomaly(anomaly) => Some((anomaly.observed, limit(&anomaly.expected)?)),
            _ => None,
        })
        .collect();
    values.sort_by(|one, other| one.0.total_cmp(&other.0));
    is_most(count, tag.count()).then_some(())?;
    let (reached, limit) = *values.get(values.len() / 2)?;
    Some((key, limit, reached))
}

/// Up to a number that people write.
fn rounded_up(millis: u64) -> u64 {
    let step = match millis {
        0..10_000 => 1_000,
        10_000..60_000 => 5_000,
        60_000..600_000 => 60_000,
        _ => 600_000,
    };
    millis.div_ceil(step) * step
}

/// As the configuration takes it.
fn setting(millis: u64) -> String {
    match millis {
        0..60_000 => format!("{}s", millis / 1000),
        60_000..3_600_000 => format!("{}m", millis / 60_000),
        _ => format!("{}h", millis.div_ceil(3_600_000)),
    }
}
