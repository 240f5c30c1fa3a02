//! `docs/verdict.cddl` says what the tables say: the same keys, the same of them optional, the same codes.

use std::collections::BTreeMap;

use verge_domain::finding::Member;
use verge_domain::frame::{Classification, Detections};
use verge_domain::group::{AlarmGroup, GroupKind};
use verge_domain::id::Lane;
use verge_domain::tag::SignalTag;
use verge_domain::verdict::{
    ActionKind, Anomaly, Counts, Detector, DirectionCounts, Event, EventChange, EventState, ForecastMeasure,
    Health, LineCounts, OperatorAction, PartialReason, Severity, TimeBasis, Traffic, TrafficForecast,
    ZoneMeasures,
};
use verge_domain::withdrawn::Withdrawal;

use crate::body::WireBody;
use crate::codes::ClockJudgement;
use crate::message::WireMessage;
use crate::portable::{Portable, RecordMember, Row};
use crate::tombstone::{WireSummary, WireTombstone};
use crate::verdict::WireVerdict;

const CDDL: &str = include_str!("../../../docs/verdict.cddl");

/// The lines of the schema without comments.
fn lines() -> impl Iterator<Item = &'static str> {
    CDDL.lines().map(|line| line.split(';').next().unwrap_or_default().trim_end())
}

/// What a rule is defined as, up to the next rule.
fn rule(name: &str) -> Vec<&'static str> {
    let start = format!("{name} = ");
    let mut lines = lines().skip_while(|line| !line.starts_with(&start));
    let first = lines.next().unwrap_or_else(|| panic!("{name} is no rule of the schema"));
    let rest = lines.take_while(|line| line.is_empty() || line.starts_with([' ', '}', ')']));
    std::iter::once(&first[start.len()..]).chain(rest).collect()
}

/// Numbers that stand for names, as `name = 7`.
fn constants() -> BTreeMap<&'static str, u64> {
    lines()
        .filter_map(|line| line.split_once(" = "))
        .filter_map(|(name, number)| Some((name, number.parse().ok()?)))
        .collect()
}

/// Keys of the entries of a rule and of the groups in it, and whether each may be left out.
fn keys(name: &str, optional_group: bool, found: &mut BTreeMap<u64, bool>) {
    let constants = constants();
    let mut in_optional = optional_group;
    let body = rule(name);
    for line in &body {
        let line = line.trim_start_matches(['{', '(', ' ']);
        if line.starts_with("? (") || line == "?" {
            in_optional = true;
        }
        let optional = in_optional || line.starts_with("? ");
        let entry = line.trim_start_matches("? ").trim_end_matches(" //").trim_end_matches([',', ')', '}']);
        match entry.split_once(" => ") {
            Some((key, _)) => {
                let key = key.parse().ok().or_else(|| constants.get(key).copied());
                let key = key.unwrap_or_else(|| panic!("{name}: {line:?} has no key"));
                let before = found.get(&key).copied().unwrap_or(optional);
                found.insert(key, optional || before);
            }
            None if !entry.is_empty() && CDDL.contains(&format!("\n{entry} = (")) => {
                keys(entry, optional || body.iter().any(|line| line.ends_with("//")), found);
            }
            None => {}
        }
        if line.starts_with(')') {
            in_optional = optional_group;
        }
    }
}

fn check_record(name: &str, table: &[Row]) {
    let mut expected = BTreeMap::new();
    keys(name, false, &mut expected);
    let mut found = BTreeMap::new();
    for (key, member, mark) in table {
        let width = match *member {
            "expected" | "usual" => 2,
            "body" => usize::try_from(WireBody::KEYS).expect("a few"),
            _ => 1,
        };
        for key in (*key..).take(width) {
            let optional = match *mark {
                // Written always, and read without.
                "late" => expected.get(&key).copied().unwrap_or_default(),
                // Of the bodies one is there.
                mark => mark == "optional",
            };
            found.insert(key, optional);
        }
    }
    assert_eq!(found, expected, "keys of {name}, and whether they are optional");
}

#[test]
fn records_have_the_keys_of_the_schema() {
    check_record("message", WireMessage::TABLE);
    check_record("tombstone", WireTombstone::TABLE);
    check_record("summary", WireSummary::TABLE);
    check_record("verdict", WireVerdict::TABLE);
    check_record("event", Event::TABLE);
    check_record("action", OperatorAction::TABLE);
    check_record("tag", SignalTag::TABLE);
    check_record("group", AlarmGroup::TABLE);
    check_record("anomaly", Anomaly::TABLE);
    check_record("counts", Counts::TABLE);
    check_record("health", Health::TABLE);
    check_record("classification", Classification::TABLE);
    check_record("detections", Detections::TABLE);
    check_record("traffic", Traffic::TABLE);
    check_record("line", LineCounts::TABLE);
    check_record("direction", DirectionCounts::TABLE);
    check_record("zone", ZoneMeasures::TABLE);
    check_record("forecast", TrafficForecast::TABLE);
}

/// `ClockSkewed` is called `clock-skewed`, or by a longer name with that in it.
fn kebab(variant: &str) -> String {
    let mut text = String::new();
    for letter in variant.chars() {
        if letter.is_ascii_uppercase() && !text.is_empty() {
            text.push('-');
        }
        text.push(letter.to_ascii_lowercase());
    }
    text
}

fn check_codes(name: &str, table: &[Row]) {
    let (constants, choices) = (constants(), rule(name).join(" "));
    let choices: Vec<&str> = choices.split('/').map(str::trim).collect();
    assert_eq!(choices.len(), table.len(), "codes of {name}");
    for (choice, (code, variant, _)) in choices.into_iter().zip(table) {
        assert_eq!(constants.get(choice), Some(code), "{name}: {choice}");
        assert!(choice.contains(&kebab(variant)), "{name}: {choice} is {variant} here");
    }
}

#[test]
fn codes_are_those_of_the_schema() {
    check_codes("lane", Lane::TABLE);
    check_codes("clock-judgement", ClockJudgement::TABLE);
    check_codes("detector", Detector::TABLE);
    check_codes("severity", Severity::TABLE);
    check_codes("event-state", EventState::TABLE);
    check_codes("event-change", EventChange::TABLE);
    check_codes("action-kind", ActionKind::TABLE);
    check_codes("group-kind", GroupKind::TABLE);
    check_codes("reason", Withdrawal::TABLE);
    check_codes("partial-reason", PartialReason::TABLE);
    check_codes("time-basis", TimeBasis::TABLE);
    check_codes("forecast-measure", ForecastMeasure::TABLE);
    check_codes("member", Member::TABLE);
    // The store and the configuration know these numbers too.
    for (lane, (code, ..)) in Lane::ALL.into_iter().zip(Lane::TABLE) {
        assert_eq!(lane.index(), usize::try_from(*code).expect("a small number"));
    }
    for (reason, (code, ..)) in Withdrawal::ALL.into_iter().zip(Withdrawal::TABLE) {
        assert_eq!(u64::from(reason.code()), *code);
    }
}
