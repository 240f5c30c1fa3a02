//! `verge alarms`: which alarms are open, which were raised of late, which tags alarm most, and what to do about them.

mod advice;
mod rates;
mod record;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::io::Write;
use std::time::Duration;

use anyhow::bail;
use clap::Args;
use serde_json::{Value, json};
use verge_domain::action::ActionKind;
use verge_domain::id::JudgeId;
use verge_domain::time::UtcMillis;
use verge_domain::verdict::Severity;
use verge_pipeline::clock::Clock;
use verge_wire::{SiteZone, counted, verdict_words};

use super::outbox::{StoreArgs, StoreFolder};
use super::output::json_line;
use advice::{AlarmAdvice, advice};
use rates::{TagAlarms, WEEK_MS, by_tag, worst_ten_minutes};
use record::{EventRecord, Record};
use verge_gateway::config::nearest;
use verge_gateway::exit::{Exit, ExitWith};

/// Recent events that are listed.
const RECENT: usize = 20;
/// Tags that are listed.
const TAGS: usize = 15;
/// What a person can bear in ten minutes on average (EEMUA 191).
const BEARABLE: usize = 1;

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  verge alarms -c gateway.toml
  verge alarms -c gateway.toml --last 24h --judge unusual
  verge alarms -c gateway.toml --json

It reads the store, beside a running gateway or after it: what was raised within the replay window (gateway.replay_age), and what is open. A number (#142) names its event in `verge label 142 false`. Events of severity info are no alarms; --all counts them too.")]
pub(super) struct AlarmsArgs {
    #[command(flatten)]
    store: StoreArgs,
    /// Alarms raised within this time
    #[arg(long, value_name = "SPAN", default_value = "7d", value_parser = humantime::parse_duration)]
    last: Duration,
    /// Only of this judge
    #[arg(long, value_name = "NAME")]
    judge: Option<String>,
    /// Only of this device
    #[arg(long, value_name = "NAME")]
    device: Option<String>,
    /// Count events of severity info, too
    #[arg(long)]
    all: bool,
}

/// What is shown.
struct Overview<'a> {
    from: UtcMillis,
    to: UtcMillis,
    open: Vec<&'a EventRecord>,
    /// Raised within the period, by time.
    raised: Vec<&'a EventRecord>,
    tags: Vec<TagAlarms<'a>>,
    advice: Vec<AlarmAdvice>,
    worst: Option<(usize, UtcMillis)>,
    /// Events that are no alarms.
    info: usize,
    unreadable: u64,
    /// In which times are printed.
    zone: SiteZone,
}

pub(super) fn alarms(args: &AlarmsArgs, json: bool, out: &mut impl Write) -> anyhow::Result<Exit> {
    let mut store = StoreFolder::open(&args.store)?;
    let now = Clock::start().now().wall;
    let from = i64::try_from(args.last.as_millis()).unwrap_or(i64::MAX);
    let from = UtcMillis(now.0.saturating_sub(from));
    let record = record::read(&mut store.reader, from).exit_with(Exit::BadInput)?;
    if let Some(judge) = &args.judge {
        refuse_unknown(judge, &store.judges, &record).exit_with(Exit::Usage)?;
    }
    let overview = overview(args, &record, (from, now), store.zone.clone());
    let gateway = store.gateway.as_str();
    if json {
        json_line(out, &document(gateway, &overview))?;
    } else {
        print(gateway, &overview, out)?;
    }
    Ok(Exit::Fine)
}

/// A judge that is neither configured nor has raised anything that the store holds.
fn refuse_unknown(judge: &str, configured: &[JudgeId], record: &Record) -> anyhow::Result<()> {
    let recorded = record.events.iter().map(|event| &event.tag.judge);
    let known: BTreeSet<&str> = configured.iter().chain(recorded).map(JudgeId::as_str).collect();
    if known.contains(judge) {
        return Ok(());
    }
    let meant = nearest(judge, known.iter().copied());
    let meant = meant.map_or_else(String::new, |meant| format!("; {meant} is probably meant"));
    let known: Vec<&str> = known.into_iter().collect();
    bail!(
        "there is no judge {judge:?}, neither in the configuration nor in the store; there are {}{meant}",
        known.join(", ")
    )
}

fn overview<'a>(
    args: &AlarmsArgs,
    record: &'a Record,
    (from, to): (UtcMillis, UtcMillis),
    zone: SiteZone,
) -> Overview<'a> {
    let is_wanted = |event: &&EventRecord| {
        args.judge.as_ref().is_none_or(|judge| event.tag.judge.as_str() == judge)
            && args.device.as_ref().is_none_or(|device| event.tag.device == *device)
    };
    let wanted: Vec<&EventRecord> = record.events.iter().filter(is_wanted).collect();
    let is_alarm = |event: &&&EventRecord| args.all || event.severity > Severity::Info;
    let alarms: Vec<&EventRecord> = wanted.iter().filter(is_alarm).copied().collect();
    let raised: Vec<&EventRecord> =
        alarms.iter().filter(|event| event.begin_known && event.raised >= from).copied().collect();
    let tags = by_tag(&raised);
    Overview {
        // Not longer than the store remembers.
        from: record.oldest.map_or(from, |oldest| oldest.max(from)).min(to),
        to,
        open: alarms.iter().filter(|event| event.is_open).copied().collect(),
        advice: advice(&tags, &raised, &zone),
        worst: worst_ten_minutes(&raised),
        info: wanted.len() - alarms.len(),
        unreadable: record.unreadable,
        zone,
        tags,
        raised,
    }
}

impl Overview<'_> {
    #[expect(clippy::cast_precision_loss, reason = "times in milliseconds")]
    fn span_ms(&self) -> f64 {
        (self.to.0 - self.from.0).max(1) as f64
    }

    /// Alarms a week, where the period says something about one.
    #[expect(clippy::cast_precision_loss, reason = "numbers of alarms")]
    fn per_week(&self, count: usize) -> Option<f64> {
        /// Of shorter periods a week would be a guess.
        const LEAST_MS: f64 = 6.0 * 3_600_000.0;
        (self.span_ms() >= LEAST_MS).then(|| count as f64 * WEEK_MS / self.span_ms())
    }
}

fn print(gateway: &str, overview: &Overview<'_>, out: &mut impl Write) -> anyhow::Result<()> {
    let Overview { open, raised, tags, advice, worst, info, .. } = overview;
    let period = u64::try_from(overview.to.0 - overview.from.0).unwrap_or(0);
    let rate = overview.per_week(raised.len()).map_or_else(String::new, |rate| format!(", {rate:.1} a week"));
    writeln!(
        out,
        "{gateway}: {} in {} (since {}){rate}; {} open",
        counted(raised.len() as u64, "alarm"),
        span(period),
        overview.zone.to_minute(overview.from),
        open.len()
    )?;
    if let Some((count, at)) = worst.filter(|(count, _)| *count > BEARABLE) {
        writeln!(
            out,
            "most within ten minutes: {count}, from {}; a person can bear about one",
            overview.zone.to_minute(at)
        )?;
    }
    if *info > 0 {
        writeln!(out, "beside them {} of severity info; --all counts them", counted(*info as u64, "event"))?;
    }
    if overview.unreadable > 0 {
        writeln!(out, "{} cannot be read and are left out", counted(overview.unreadable, "verdict"))?;
    }
    if !open.is_empty() {
        writeln!(out, "\nopen{HEAD}")?;
        open.iter().try_for_each(|event| line(event, overview, out))?;
    }
    let over: Vec<&&EventRecord> = raised.iter().filter(|event| !event.is_open).collect();
    if !over.is_empty() {
        let shown = &over[over.len().saturating_sub(RECENT)..];
        let more = if shown.len() < over.len() {
            format!(" (the newest {} of {})", shown.len(), over.len())
        } else {
            String::new()
        };
        writeln!(out, "\nover{more}{HEAD}")?;
        shown.iter().rev().try_for_each(|event| line(event, overview, out))?;
    }
    print_tags(overview, tags, out)?;
    if !advice.is_empty() {
        writeln!(out, "\nwhat to do")?;
        advice.iter().try_for_each(|one| writeln!(out, "  {}", one.words()))?;
    }
    Ok(())
}

/// Columns of a list of events.
const HEAD: &str = ": event, since, severity, lasted, greatest distance, judge and what it said";

/// How far out, for people.
fn far(distance: Option<f64>) -> String {
    distance.map_or_else(|| "-".to_owned(), |distance| format!("{distance:.1}"))
}

/// One event: number, begin, severity, how long, and what its judge said.
fn line(event: &EventRecord, overview: &Overview<'_>, out: &mut impl Write) -> anyhow::Result<()> {
    let (now, zone) = (overview.to, &overview.zone);
    let number = event.number.map_or_else(|| "-".to_owned(), |number| format!("#{number}"));
    let at = zone.to_minute(event.raised);
    let lasted = match event.lasted_ms {
        Some(lasted) => span(lasted),
        None => span(u64::try_from(now.0 - event.raised.0).unwrap_or(0)),
    };
    let said = if event.is_open { &event.last } else { &event.first };
    let words = verdict_words(said, zone);
    // The words may be those of the label itself.
    let is_said = said.action.as_ref().is_some_and(|action| action.kind == ActionKind::Labelled);
    let label = event.label.filter(|_| !is_said);
    let label = label.map_or_else(String::new, |label| format!("; labelled {}", label.as_str()));
    Ok(writeln!(
        out,
        "  {number:>7}  {at}  {:<8}  {lasted:>9}  {:>8}  {}: {words}{label}",
        event.severity.as_str(),
        far(event.farthest),
        event.tag.judge
    )?)
}

fn print_tags(overview: &Overview<'_>, tags: &[TagAlarms<'_>], out: &mut impl Write) -> anyhow::Result<()> {
    if tags.is_empty() {
        return Ok(());
    }
    let name = |tag: &TagAlarms<'_>| format!("{}: {}", tag.tag.judge, tag.tag.subject());
    let shown = &tags[..tags.len().min(TAGS)];
    let width = shown.iter().map(|tag| name(tag).chars().count()).max().unwrap_or(0).clamp(20, 60);
    writeln!(
        out,
        "\n{:<width$} {:>7} {:>7} {:>6} {:>5} {:>9} {:>8}  last",
        "tag", "alarms", "a week", "share", "open", "median", "distance"
    )?;
    for tag in shown {
        let rate = overview.per_week(tag.count()).map_or_else(|| "-".to_owned(), |rate| format!("{rate:.1}"));
        let median = tag.median_ms().map_or_else(|| "-".to_owned(), span);
        let last = tag.events.last().map_or_else(String::new, |event| overview.zone.to_minute(event.raised));
        writeln!(
            out,
            "{:<width$} {:>7} {rate:>7} {:>5.0}% {:>5} {median:>9} {:>8}  {last}",
            name(tag),
            tag.count(),
            100.0 * tag.share(),
            tag.open(),
            far(tag.farthest())
        )?;
    }
    if shown.len() < tags.len() {
        let rest: usize = tags[shown.len()..].iter().map(TagAlarms::count).sum();
        writeln!(
            out,
            "{} more with {}",
            counted((tags.len() - shown.len()) as u64, "tag"),
            counted(rest as u64, "alarm")
        )?;
    }
    Ok(())
}

fn document(gateway: &str, overview: &Overview<'_>) -> Value {
    let tag_of = |tag: &record::Tag| {
        let signal = Some(tag.signal.as_str()).filter(|signal| !signal.is_empty());
        json!({ "judge": tag.judge.as_str(), "source": tag.source, "device": tag.device, "signal": signal })
    };
    let event = |event: &&EventRecord| {
        json!({
            "number": event.number.map(|number| number.0), "id": event.id.to_string(), "tag": tag_of(&event.tag),
            "detector": event.detector.as_str(), "severity": event.severity.as_str(), "raised": event.raised.0,
            "open": event.is_open, "lasted_ms": event.lasted_ms, "member": event.member.map(|member| member.as_str()),
            "label": event.label.map(|label| label.as_str()),
            "distance": event.farthest, "words": verdict_words(&event.last, &overview.zone),
        })
    };
    let tag = |tag: &TagAlarms<'_>| {
        json!({
            "tag": tag_of(tag.tag), "alarms": tag.count(), "of_judge": tag.of_judge, "open": tag.open(),
            "per_week": overview.per_week(tag.count()), "median_ms": tag.median_ms(),
            "distance": tag.farthest(),
            "last": tag.events.last().map(|event| event.raised.0),
        })
    };
    let advised = |one: &AlarmAdvice| {
        json!({
            "tag": tag_of(&one.tag), "alarms": one.alarms, "of": one.of, "seen": one.seen, "remedies": one.remedies,
            "words": one.words(),
        })
    };
    json!({
        "gateway": gateway, "from": overview.from.0, "to": overview.to.0, "alarms": overview.raised.len(),
        "per_week": overview.per_week(overview.raised.len()), "info": overview.info,
        "worst_ten_minutes": overview.worst.map(|(alarms, at)| json!({ "alarms": alarms, "from": at.0 })),
        "open": overview.open.iter().map(event).collect::<Vec<_>>(),
        "raised": overview.raised.iter().rev().map(event).collect::<Vec<_>>(),
        "tags": overview.tags.iter().map(tag).collect::<Vec<_>>(),
        "advice": overview.advice.iter().map(advised).collect::<Vec<_>>(),
        "unreadable": overview.unreadable,
    })
}

/// How long something lasted, in the unit that reads best.
fn span(millis: u64) -> String {
    let tenths = |unit: u64| format!("{}.{}", millis / unit, millis % unit * 10 / unit);
    match millis {
        0..1_000 => format!("{millis} ms"),
        1_000..60_000 => format!("{} s", millis / 1_000),
        60_000..7_200_000 => format!("{} min", millis / 60_000),
        7_200_000..172_800_000 => format!("{} h", tenths(3_600_000)),
        _ => format!("{} days", tenths(86_400_000)),
    }
}
