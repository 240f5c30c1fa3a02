//! What sites of RSMP and places of DATEX II have in common: which judge counts for a detector, and which say that it is at
//! fault.

use verge_anomaly::JudgeSettings;
use verge_domain::finding::Member;
use verge_domain::id::{JudgeId, PlaceId};
use verge_domain::verdict::Detector;
use verge_traffic::rsmp::{AlarmCode, DetectorKind, FaultJudge};
use verge_traffic::{CountsOf, Direction, SpeedUnit};

use super::super::judge::Rule;
use super::super::{Check, JudgeSection};
use crate::config::{Fault, RawComponent, RawSite, nearest};

/// A judge by its name. One that is at fault itself has its own faults.
pub(super) fn find<'a>(
    check: &mut Check<'_>,
    key: &str,
    name: &str,
    (judges, known): (&'a [JudgeSection], &[&str]),
) -> Option<&'a JudgeSection> {
    if !known.contains(&name) {
        let fault = Fault::at_text(key.to_owned(), name, "the name of a judge");
        let remedy = match nearest(name, known.iter().copied()) {
            Some(near) => format!("write {near:?}"),
            None => format!("write one of {}", known.join(", ")),
        };
        check.faults.push(fault.remedy(remedy));
    }
    judges.iter().find(|judge| judge.name.as_str() == name)
}

/// Whether it is a loop; where nothing counts it is taken for one.
pub(super) fn kind_of(counting: Option<&JudgeSection>) -> DetectorKind {
    let is_loop = counting.is_none_or(|judge| judge.detector() == Detector::Loop);
    if is_loop { DetectorKind::Loop } else { DetectorKind::Input }
}

/// Which counts of a judge are meant, as it is written.
#[derive(Clone, Copy)]
pub(super) struct CountKeys<'a> {
    pub(super) line: &'a Option<String>,
    pub(super) direction: Direction,
    pub(super) zone: &'a Option<String>,
    pub(super) speed_unit: SpeedUnit,
}

impl<'a> CountKeys<'a> {
    pub(super) const fn of_component(raw: &'a RawComponent) -> Self {
        Self { line: &raw.line, direction: raw.direction, zone: &raw.zone, speed_unit: raw.speed_unit }
    }

    pub(super) const fn of_site(raw: &'a RawSite) -> Self {
        Self { line: &raw.line, direction: raw.direction, zone: &raw.zone, speed_unit: raw.speed_unit }
    }
}

/// Which counts of a judge are those of a detector.
pub(super) fn check_counts(
    check: &mut Check<'_>,
    section: &str,
    raw: CountKeys<'_>,
    judge: &JudgeSection,
) -> Option<CountsOf> {
    let place = |check: &mut Check<'_>, key: &str, name: &Option<String>| match name {
        None => Some(None),
        Some(name) => check.keep(&format!("{section}.{key}"), name, PlaceId::new(name)).map(Some),
    };
    let (line, zone) = (place(check, "line", raw.line)?, place(check, "zone", raw.zone)?);
    let plain = judge.readings().and_then(|rules| match &rules.rule {
        Rule::Plain(JudgeSettings::Loop(settings)) => Some(settings.interval()),
        _ => None,
    });
    let of_camera = judge.frames().and_then(|rules| match &rules.rule {
        JudgeSettings::Track(track) => Some(track.scene()),
        _ => None,
    });
    let interval = match (plain, of_camera) {
        (Some(interval), _) => {
            for (key, value) in [("line", raw.line), ("zone", raw.zone)] {
                let Some(value) = value else { continue };
                let fault = Fault::at_text(
                    format!("{section}.{key}"),
                    value,
                    "nothing: loops have no lines and zones",
                );
                check.faults.push(fault.remedy("take the line out"));
                return None;
            }
            interval
        }
        (None, Some(scene)) => {
            let lines: Vec<&str> = scene.lines().iter().map(|line| line.name.as_str()).collect();
            let zones: Vec<&str> = scene.zones().iter().map(|(zone, _)| zone.as_str()).collect();
            for (key, value, known) in [("line", raw.line, lines), ("zone", raw.zone, zones)] {
                let Some(value) = value.as_deref().filter(|value| !known.contains(value)) else { continue };
                let fault =
                    Fault::at_text(format!("{section}.{key}"), value, format!("a {key} of {}", judge.name));
                check.faults.push(fault.remedy(format!("write one of {}", known.join(", "))));
                return None;
            }
            scene.interval()
        }
        (None, None) => {
            let expected = "a judge that counts vehicles: detector = \"loop\" or \"track\"";
            let fault = Fault::at_text(format!("{section}.traffic"), judge.name.as_str(), expected);
            check.faults.push(fault.remedy("name such a judge"));
            return None;
        }
    };
    Some(CountsOf {
        judge: judge.name.clone(),
        interval,
        line,
        direction: raw.direction,
        zone,
        speed_unit: raw.speed_unit,
    })
}

/// A judge of the health of a detector.
pub(super) fn check_faults(check: &mut Check<'_>, key: &str, judge: &JudgeSection) -> Option<FaultJudge> {
    let name: JudgeId = judge.name.clone();
    let of = |members: &mut dyn Iterator<Item = Member>| {
        let (mut hardware, mut logic) = (false, false);
        for member in members {
            let is_logic = AlarmCode::is_logic_error(member);
            (hardware, logic) = (hardware || !is_logic, logic || is_logic);
        }
        (hardware, logic)
    };
    let rule = judge.readings().map(|rules| &rules.rule);
    let (hardware, logic) = match (judge.of_cameras(), rule) {
        (Some(camera), _) => of(&mut camera.causes()),
        (None, Some(Rule::Plain(JudgeSettings::Silence(_)))) => (true, false),
        (None, Some(Rule::Plain(JudgeSettings::Health(_)))) => (true, true),
        _ => {
            let expected = "judges of silence or health: detector = \"silence\" or \"health\"";
            let fault = Fault::at_text(key.to_owned(), name.as_str(), expected);
            check.faults.push(fault.remedy("name such judges; other events are no faults of a detector"));
            return None;
        }
    };
    Some(FaultJudge { judge: name, hardware, logic })
}
