//! `[server.NAME]`: what control systems poll.

use std::collections::HashMap;
use std::net::SocketAddr;

use verge_anomaly::{JudgeSettings, TrackSettings};
use verge_domain::address::AddressRange;
use verge_domain::finding::Member;
use verge_domain::id::{DeviceId, JudgeId, SignalId};
use verge_domain::image::{PointContent, PointSelector};
use verge_domain::reading::SourceIndex;
use verge_domain::settable::LimitKey;
use verge_domain::stage::Scope;
use verge_domain::verdict::Detector;
use verge_modbus::{ModbusSettings, PointLimit, PointPlace};

use super::Check;
use super::judge::{JudgeRules, JudgeSection, Rule, limit_of};
use crate::config::{Fault, Map, RawPoint, RawServer, RawServerKind, Warning};

/// More points than this are refused.
const MOST_POINTS: usize = verge_pipeline::board::MAX_POINTS;

/// A Modbus TCP server.
#[derive(Debug, Clone)]
pub struct ServerSection {
    /// How it serves.
    pub modbus: ModbusSettings,
    /// Through which sources the device of each point comes, in the order of the points.
    pub sources: Vec<Vec<SourceIndex>>,
}

pub(super) fn check_all(
    check: &mut Check<'_>,
    raw: &Map<RawServer>,
    judges: &[JudgeSection],
    known: &[&str],
) -> Vec<ServerSection> {
    let servers: Vec<_> =
        raw.iter().filter_map(|(name, server)| check_one(check, name, server, judges, known)).collect();
    check_count(check, servers.iter().map(|server| server.modbus.points.len()).sum());
    servers
}

/// Points of all servers together.
pub(super) fn check_count(check: &mut Check<'_>, points: usize) {
    if points > MOST_POINTS {
        let expected = format!("at most {MOST_POINTS} points of all servers together");
        let fault = Fault::new("server".to_owned(), points.to_string(), expected);
        check.faults.push(fault.remedy("leave points out, or divide them among gateways"));
    }
}

fn check_one(
    check: &mut Check<'_>,
    name: &str,
    raw: &RawServer,
    judges: &[JudgeSection],
    known: &[&str],
) -> Option<ServerSection> {
    let RawServerKind::Modbus(raw) = raw.kind.as_ref()? else { return None };
    let section = format!("server.{name}");
    let listen = check_listen(check, &section, raw.listen.as_deref(), "10.1.0.5:502");
    let allow = check_allow(check, &section, raw.allow.as_deref());
    if listen.is_some_and(|listen| listen.ip().is_unspecified()) && raw.allow.is_none() {
        let remark = "anyone who reaches a network of this machine may read it, and Modbus is not encrypted; listen on the \
                      address of the control network, or add allow";
        check.warnings.push(Warning { key: format!("{section}.listen"), remark: remark.to_owned() });
    }
    let points = check_points(check, &section, raw.point.as_ref(), judges, known);
    if points.is_empty() && raw.point.as_ref().is_none_or(Map::is_empty) {
        let fault = Fault::missing(format!("{section}.point"), "one point at least");
        check
            .faults
            .push(fault.remedy(format!("add a section [{section}.point.NAME] with block, judge and device")));
    }
    let (points, sources) = points.into_iter().unzip();
    Some(ServerSection {
        modbus: ModbusSettings {
            name: name.to_owned(),
            listen: listen?,
            max_clients: raw.max_clients,
            idle: raw.idle.0,
            allow: allow?,
            unit: raw.unit.and_then(|unit| u8::try_from(unit).ok()),
            stale_after: raw.stale_after.0,
            writes: raw.writes,
            points,
            member_number: verge_wire::member_number,
            version: env!("CARGO_PKG_VERSION"),
        },
        sources,
    })
}

pub(super) fn check_listen(
    check: &mut Check<'_>,
    section: &str,
    text: Option<&str>,
    example: &str,
) -> Option<SocketAddr> {
    let text = text?;
    let listen = text.parse().ok();
    if listen.is_none() {
        let expected = format!("an address of this machine with a port, such as {example:?}");
        let fault = Fault::at_text(format!("{section}.listen"), text, expected);
        check.faults.push(fault.remedy("write listen = and such an address"));
    }
    listen
}

pub(super) fn check_allow(
    check: &mut Check<'_>,
    section: &str,
    raw: Option<&[String]>,
) -> Option<Vec<AddressRange>> {
    let mut ranges = Some(Vec::new());
    for text in raw.into_iter().flatten() {
        match (&mut ranges, text.parse::<AddressRange>()) {
            (Some(ranges), Ok(range)) => ranges.push(range),
            (_, Ok(_)) => {}
            (_, Err(error)) => {
                let expected = format!("an address or a network ({error})");
                let fault = Fault::at_text(format!("{section}.allow"), text, expected);
                check.faults.push(fault.remedy(r#"write it as "10.1.0.5" or "10.1.0.0/16""#));
                ranges = None;
            }
        }
    }
    ranges
}

fn check_points(
    check: &mut Check<'_>,
    section: &str,
    raw: Option<&Map<RawPoint>>,
    judges: &[JudgeSection],
    known: &[&str],
) -> Vec<(PointPlace, Vec<SourceIndex>)> {
    let mut points: Vec<(PointPlace, Vec<SourceIndex>)> = Vec::new();
    let mut names: HashMap<String, &str> = HashMap::new();
    for (name, raw) in raw.into_iter().flatten() {
        let section = format!("{section}.point.{name}");
        if let Some(other) = names.insert(name.to_lowercase(), name) {
            let remark =
                format!("differs from point {other:?} by case only: people will take one for the other");
            check.warnings.push(Warning { key: section.clone(), remark });
        }
        let Some((point, sources)) = check_point(check, &section, name, raw, judges, known) else { continue };
        match points.iter().find(|(other, _)| other.block == point.block) {
            Some((other, _)) => {
                let expected = format!("a block of its own; {:?} has this one", other.name);
                let fault = Fault::new(format!("{section}.block"), point.block.to_string(), expected);
                check.faults.push(fault.remedy("write a block that no other point of this server has"));
            }
            None => points.push((point, sources)),
        }
    }
    points
}

fn check_point(
    check: &mut Check<'_>,
    section: &str,
    name: &str,
    raw: &RawPoint,
    judges: &[JudgeSection],
    known: &[&str],
) -> Option<(PointPlace, Vec<SourceIndex>)> {
    let device = raw.device.as_ref()?;
    let device = check.keep(&format!("{section}.device"), device, DeviceId::new(device));
    let signal = match &raw.signal {
        None => Some(None),
        Some(signal) => check.keep(&format!("{section}.signal"), signal, SignalId::new(signal)).map(Some),
    };
    let (block, judge) = (raw.block?, raw.judge.as_ref()?);
    if !known.contains(&judge.as_str()) {
        let fault = Fault::at_text(format!("{section}.judge"), judge, "the name of a judge");
        check.faults.push(fault.remedy(format!("write one of {}", known.join(", "))));
        return None;
    }
    // A judge that is at fault itself has its own.
    let rules = judges.iter().find(|one| one.name.as_str() == judge)?;
    let is_of_events = raw.strand.is_some();
    let signal = signal.and_then(|signal| check_signal(check, section, rules, signal, is_of_events));
    let strand = check_strand(check, section, rules, signal.as_ref()?.as_ref(), raw.strand.as_deref());
    let judge = check.keep(&format!("{section}.judge"), judge, JudgeId::new(judge))?;
    let inputs = match &rules.rules {
        JudgeRules::Readings(rules) => &rules.inputs,
        JudgeRules::Frames(rules) => &rules.inputs,
    };
    let sources = inputs.iter().map(|input| input.source).collect();
    let (signal, strand) = (signal?, strand?);
    let content = content_of(rules, strand);
    let selector = PointSelector { judge, device: device?, signal, strand, content };
    let block = u16::try_from(block).ok()?;
    let (name, fail_safe, limits) = (name.to_owned(), raw.fail_safe, limits_of(rules));
    Some((PointPlace { name, block, selector, fail_safe, limits }, sources))
}

/// The limits of a judge, in the order of their keys.
fn limits_of(judge: &JudgeSection) -> [Option<PointLimit>; 2] {
    LimitKey::ALL.map(|key| {
        let rules = judge.readings()?;
        let Rule::Plain(JudgeSettings::Threshold(threshold)) = &rules.rule else { return None };
        let settable = rules.settable.iter().find(|limit| limit.key == key).copied();
        Some(PointLimit { configured: limit_of(threshold, key)?, settable })
    })
}

/// What a point of a judge is read for.
pub(super) fn content_of(judge: &JudgeSection, strand: Option<Member>) -> PointContent {
    match judge.detector() {
        Detector::Classify | Detector::Detect => PointContent::Views,
        Detector::Loop => PointContent::Counts,
        Detector::Track if strand.is_none() => PointContent::Counts,
        _ => PointContent::Events,
    }
}

/// Points of events of several strands need one. Where a judge counts, a point without one is what it counts.
fn check_strand(
    check: &mut Check<'_>,
    section: &str,
    judge: &JudgeSection,
    signal: Option<&SignalId>,
    strand: Option<&str>,
) -> Option<Option<Member>> {
    let strands: Vec<Member> = match (judge.detector(), track_of(judge), signal) {
        (Detector::Threshold, ..) => vec![Member::High, Member::Low],
        (Detector::Rate, ..) => vec![Member::Rise, Member::Fall],
        (Detector::Health, ..) => {
            // Those of models are of no judge of the configuration.
            let is_of_sensors = |member: &Member| member.is_health() && !Member::OF_MODELS.contains(member);
            Member::ALL.into_iter().filter(is_of_sensors).collect()
        }
        (_, Some(track), Some(zone)) => {
            track.events().filter(|(known, _)| *known == zone).map(|(_, member)| member).collect()
        }
        // About the camera as a whole.
        (_, Some(_), None) => vec![Member::UnexplainedMotion],
        _ => Vec::new(),
    };
    let words = strands.iter().map(|member| format!("{:?}", member.as_str())).collect::<Vec<_>>().join(", ");
    let key = format!("{section}.strand");
    let of = signal.map_or_else(|| judge.name.to_string(), |signal| format!("{} about {signal}", judge.name));
    match strand.map(Member::named) {
        None if strands.is_empty() || track_of(judge).is_some() => Some(None),
        Some(Some(member)) if strands.contains(&member) => Some(Some(member)),
        None => {
            let expected = format!("one of {words}: events of {of} are of several kinds");
            check.faults.push(Fault::missing(key, expected).remedy("add strand = and one of them"));
            None
        }
        Some(_) if strands.is_empty() => {
            let expected = format!("no strand: events of {of} are of one kind");
            let fault = Fault::at_text(key, strand.unwrap_or_default(), expected);
            check.faults.push(fault.remedy("take the line out"));
            None
        }
        Some(_) => {
            let remedy = match (track_of(judge), signal) {
                (Some(_), None) => "add signal = and the zone of the events, or write \"unexplained_motion\"",
                _ => "write one of them",
            };
            let fault = Fault::at_text(key, strand.unwrap_or_default(), format!("one of {words}"));
            check.faults.push(fault.remedy(remedy));
            None
        }
    }
}

fn track_of(judge: &JudgeSection) -> Option<&TrackSettings> {
    match &judge.frames()?.rule {
        JudgeSettings::Track(track) => Some(track),
        _ => None,
    }
}

/// A judge of signals needs one, one that counts has its zones, and a judge of whole devices has none.
fn check_signal(
    check: &mut Check<'_>,
    section: &str,
    judge: &JudgeSection,
    signal: Option<SignalId>,
    is_of_events: bool,
) -> Option<Option<SignalId>> {
    let key = format!("{section}.signal");
    let rules = match &judge.rules {
        JudgeRules::Readings(rules) => rules,
        JudgeRules::Frames(rules) => {
            return match (&rules.rule, signal) {
                (JudgeSettings::Track(track), Some(signal)) => {
                    check_place(check, key, judge, track, signal, is_of_events).map(Some)
                }
                // Of what they make of frames, the signal is called as they are.
                (JudgeSettings::Reconstruction(_) | JudgeSettings::Appearance(_), None) => {
                    Some(Some(SignalId::from(&judge.name)))
                }
                (_, signal) => Some(signal),
            };
        }
    };
    let of_signals = rules.rule.scope() == Scope::Signal && !rules.arrivals;
    match signal {
        None if of_signals => {
            let expected = format!("a signal: {} watches each signal by itself", judge.name);
            check.faults.push(Fault::missing(key, expected).remedy("add signal = and the name of a signal"));
            None
        }
        Some(signal) if !of_signals => {
            let expected = format!("no signal: {} watches devices as a whole", judge.name);
            check.faults.push(Fault::at_text(key, signal.as_str(), expected).remedy("take the line out"));
            None
        }
        signal => Some(signal),
    }
}

/// A judge that counts has lines and zones, and its events are about zones.
fn check_place(
    check: &mut Check<'_>,
    key: String,
    judge: &JudgeSection,
    track: &TrackSettings,
    place: SignalId,
    is_of_events: bool,
) -> Option<SignalId> {
    let (scene, events) = (track.scene(), track.parts().iter().map(SignalId::as_str));
    let zones = scene.zones().iter().map(|(zone, _)| zone.as_str());
    let lines = scene.lines().iter().map(|line| line.name.as_str());
    let (known, what): (Vec<&str>, _) = if is_of_events {
        (events.collect(), "zone of {} in which something is an event")
    } else {
        (zones.chain(lines).collect(), "zone or line of {}")
    };
    if known.contains(&place.as_str()) {
        return Some(place);
    }
    let expected = format!("a {}", what.replace("{}", judge.name.as_str()));
    let remedy = if known.is_empty() {
        "give a zone stopped_after, lane, forbidden or queue_from; or take strand out: then the point is what is counted".to_owned()
    } else {
        format!("write one of {}", known.join(", "))
    };
    check.faults.push(Fault::at_text(key, place.as_str(), expected).remedy(remedy));
    None
}
