//! Tables of what the judges of a plant came to.

use std::collections::BTreeMap;
use std::io::Write;
use std::time::Duration;

use serde_json::{Value, json};
use verge_domain::time::UtcMillis;
use verge_eval::plant::PlantRun;
use verge_eval::plant::faults::PlantFaultKind;
use verge_eval::plant::score::{
    FalseAlarms, FaultOutcome, LEAST_FOUND, MOST_IN_THIRD_WEEK, MOST_ON_FIRST_DAY, MemberAlarms, PlantScore,
    RaisedBy,
};
use verge_eval::plant::tags::TAGS;

use super::Judged;
use crate::cli::eval::yes_or_no;
use crate::describe;

/// Prints the plants of each run in a table of its own.
pub(super) fn print(out: &mut impl Write, plants: &[Judged], list: bool) -> std::io::Result<()> {
    for (number, plants) in plants.chunk_by(|one, next| one.run == next.run).enumerate() {
        if number > 0 {
            writeln!(out)?;
        }
        let what = match plants[0].run {
            PlantRun::Minutes => "three weeks at a reading a minute",
            PlantRun::Seconds => "a day at a reading a second",
        };
        writeln!(out, "Plant of {} tags, {what}: false alarms, and faults found of nine", TAGS.len())?;
        by_seed(out, plants)?;
        by_member(out, plants)?;
        by_fault(out, plants)?;
        if list {
            one_by_one(out, plants)?;
        }
    }
    Ok(())
}

fn by_seed(out: &mut impl Write, plants: &[Judged]) -> std::io::Result<()> {
    writeln!(
        out,
        "{:>6}  {:>9}  {:>6}  {:>6}  {:>6}  {:>5}  {:>10}  {:>12}  {:>13}",
        "seed",
        "first day",
        "week 1",
        "week 2",
        "week 3",
        "found",
        "only noted",
        "median delay",
        "meets marks"
    )?;
    for Judged { run, seed, score } in plants {
        let cells = cells(*run, &score.false_alarms, score.found());
        let delay = median_delay(score.faults.iter());
        let meets = yes_or_no(score.meets_marks());
        writeln!(out, "{seed:>6}  {cells}  {:>10}  {delay:>12}  {meets:>13}", score.only_noted())?;
    }
    let sum = plants.iter().fold(FalseAlarms::default(), |sum, one| add(sum, one.score.false_alarms));
    let found = plants.iter().map(|one| one.score.found()).sum();
    let delay = median_delay(plants.iter().flat_map(|one| &one.score.faults));
    let meet = plants.iter().filter(|one| one.score.meets_marks()).count();
    let meet = format!("{meet} of {}", plants.len());
    let noted: usize = plants.iter().map(|one| one.score.only_noted()).sum();
    let cells = cells(plants[0].run, &sum, found);
    writeln!(out, "{:>6}  {cells}  {noted:>10}  {delay:>12}  {meet:>13}", "all")?;
    writeln!(
        out,
        "{:>6}  {:>9}  {:>6}  {:>6}  {:>6}  {:>5}",
        "marks",
        format!("<= {MOST_ON_FIRST_DAY}"),
        "",
        "",
        format!("<= {MOST_IN_THIRD_WEEK}"),
        format!(">= {LEAST_FOUND}"),
    )
}

/// A day has no weeks.
fn cells(run: PlantRun, alarms: &FalseAlarms, found: usize) -> String {
    let FalseAlarms { first_day, first_week, second_week, third_week } = *alarms;
    let [first, second, third] = [first_week, second_week, third_week].map(|week| match run {
        PlantRun::Minutes => week.to_string(),
        PlantRun::Seconds => "-".to_owned(),
    });
    format!("{first_day:>9}  {first:>6}  {second:>6}  {third:>6}  {found:>5}")
}

fn add(sum: FalseAlarms, more: FalseAlarms) -> FalseAlarms {
    FalseAlarms {
        first_day: sum.first_day + more.first_day,
        first_week: sum.first_week + more.first_week,
        second_week: sum.second_week + more.second_week,
        third_week: sum.third_week + more.third_week,
    }
}

fn median_delay<'a>(faults: impl Iterator<Item = &'a FaultOutcome>) -> String {
    let mut delays: Vec<i64> = faults.filter_map(|fault| fault.found.as_ref()).map(|found| found.0).collect();
    delays.sort_unstable();
    delays.get(delays.len() / 2).map_or_else(|| "-".to_owned(), |delay| span(*delay))
}

fn span(seconds: i64) -> String {
    describe::span(Duration::from_secs(u64::try_from(seconds).unwrap_or(0)))
}

fn by_member(out: &mut impl Write, plants: &[Judged]) -> std::io::Result<()> {
    let members = sum_by_member(plants);
    if members.is_empty() {
        return writeln!(out, "no alarms");
    }
    writeln!(out, "by judge and what it found, all seeds:")?;
    for (RaisedBy { judge, member }, alarms) in &members {
        let MemberAlarms { false_alarms, found } = alarms;
        writeln!(out, "  {judge:<12} {member:<14} {}", cells(plants[0].run, false_alarms, *found as usize))?;
    }
    Ok(())
}

fn sum_by_member(plants: &[Judged]) -> BTreeMap<&RaisedBy, MemberAlarms> {
    let mut members: BTreeMap<&RaisedBy, MemberAlarms> = BTreeMap::new();
    for (raised_by, alarms) in plants.iter().flat_map(|one| &one.score.by_member) {
        let sum = members.entry(raised_by).or_default();
        sum.false_alarms = add(sum.false_alarms, alarms.false_alarms);
        sum.found += alarms.found;
    }
    members
}

fn by_fault(out: &mut impl Write, plants: &[Judged]) -> std::io::Result<()> {
    let mut kinds: BTreeMap<PlantFaultKind, Vec<&FaultOutcome>> = BTreeMap::new();
    for fault in plants.iter().flat_map(|one| &one.score.faults) {
        kinds.entry(fault.kind).or_default().push(fault);
    }
    writeln!(out, "by kind of fault, all seeds:")?;
    for (kind, faults) in kinds {
        let found = faults.iter().filter(|fault| fault.found.is_some()).count();
        let delay = median_delay(faults.iter().copied());
        writeln!(out, "  {:<7} found {found} of {}, median delay {delay}", kind.as_str(), faults.len())?;
    }
    Ok(())
}

fn one_by_one(out: &mut impl Write, plants: &[Judged]) -> std::io::Result<()> {
    for Judged { seed, score, .. } in plants {
        for (day, alarm) in &score.false_ones {
            let tags: Vec<String> = alarm.tags.iter().map(|tag| name(*tag)).collect();
            let at = describe::short_utc(UtcMillis(alarm.at_s * 1000));
            let RaisedBy { judge, member } = &alarm.raised_by;
            writeln!(
                out,
                "seed {seed}, day {}, {at}: false: {}, {judge} {member}",
                day + 1,
                tags.join(", ")
            )?;
        }
        for fault in &score.faults {
            let at = describe::short_utc(UtcMillis(fault.from_s * 1000));
            let lasts = span(fault.to_s - fault.from_s);
            let (tag, kind) = (name(fault.tag), fault.kind.as_str());
            let found = match &fault.found {
                Some((delay, by)) => format!("found after {} by {} {}", span(*delay), by.judge, by.member),
                None => match fault.noted {
                    Some(delay) => format!("missed, noted while learning after {}", span(delay)),
                    None => "missed".to_owned(),
                },
            };
            writeln!(out, "seed {seed}, {at}: {kind}, {tag}, for {lasts}: {found}")?;
        }
    }
    Ok(())
}

fn name(tag: usize) -> String {
    format!("{} {}", TAGS[tag].device, TAGS[tag].signal)
}

pub(super) fn as_value(plants: &[Judged]) -> Value {
    let of_run = |plants: &[Judged]| {
        let sum = plants.iter().fold(FalseAlarms::default(), |sum, one| add(sum, one.score.false_alarms));
        let members = sum_by_member(plants).into_iter().map(|(by, alarms)| {
            json!({ "judge": by.judge, "member": by.member, "false_alarms": alarms_value(&alarms.false_alarms),
                    "found": alarms.found })
        });
        json!({
            "run": plants[0].run.as_str(),
            "plants": plants.iter().map(plant_value).collect::<Vec<_>>(),
            "false_alarms": alarms_value(&sum),
            "found": plants.iter().map(|one| one.score.found()).sum::<usize>(),
            "faults": plants.iter().map(|one| one.score.faults.len()).sum::<usize>(),
            "meet_marks": plants.iter().filter(|one| one.score.meets_marks()).count(),
            "by_member": members.collect::<Vec<_>>(),
        })
    };
    let runs = plants.chunk_by(|one, next| one.run == next.run).map(of_run);
    json!({
        "runs": runs.collect::<Vec<_>>(),
        "marks": { "first_day": MOST_ON_FIRST_DAY, "third_week": MOST_IN_THIRD_WEEK, "found": LEAST_FOUND },
    })
}

fn plant_value(Judged { seed, score, .. }: &Judged) -> Value {
    let PlantScore { false_alarms, aftermath, faults, .. } = score;
    let faults = faults.iter().map(|fault| {
        json!({
            "kind": fault.kind.as_str(), "device": TAGS[fault.tag].device, "signal": TAGS[fault.tag].signal,
            "from": describe::stamp(UtcMillis(fault.from_s * 1000)), "to": describe::stamp(UtcMillis(fault.to_s * 1000)),
            "noted_s": fault.noted,
            "delay_s": fault.found.as_ref().map(|found| found.0),
            "judge": fault.found.as_ref().map(|found| &found.1.judge),
            "member": fault.found.as_ref().map(|found| &found.1.member),
        })
    });
    json!({
        "seed": seed, "false_alarms": alarms_value(false_alarms), "aftermath": aftermath, "found": score.found(),
        "only_noted": score.only_noted(), "meets_marks": score.meets_marks(), "faults": faults.collect::<Vec<_>>(),
    })
}

fn alarms_value(alarms: &FalseAlarms) -> Value {
    let FalseAlarms { first_day, first_week, second_week, third_week } = alarms;
    json!({ "first_day": first_day, "first_week": first_week, "second_week": second_week, "third_week": third_week })
}
