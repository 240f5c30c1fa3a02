//! Lines and zones of a judge that counts.

use verge_domain::id::{Label, PlaceId};
use verge_scene::countable::{metres_beside, sightings_over};
use verge_scene::{Ground, SceneError, SceneLine, SceneZone};

use super::track::class_named;
use crate::config::{Fault, Map, RawEnds, RawSceneLine, RawSceneZone, RawTrack, Warning, nearest};
use crate::settings::Check;

pub(super) fn check_lines(
    check: &mut Check<'_>,
    section: &str,
    raw: Option<&Map<RawSceneLine>>,
) -> Option<Vec<SceneLine>> {
    let mut line = |(name, raw): (&String, &RawSceneLine)| {
        let key = format!("{section}.line.{name}");
        let name = check.keep(&key, name, PlaceId::new(name))?;
        let (from, to) = (raw.from?, raw.to?);
        let mut fits = true;
        for (end, point) in [("from", from), ("to", to)] {
            fits &= is_in_picture(check, &format!("{key}.{end}"), &[point]);
        }
        let line = SceneLine { name, from, to, anchor: raw.anchor };
        if let Some(error) = line.check().err().filter(|_| fits) {
            check.faults.push(fault(&key, &error));
            fits = false;
        }
        if fits && line.is_near_border() {
            let remark = "the line is nearer than 5 % to the border of the picture: what crosses it is hardly seen on both \
                          sides, and is counted as unresolved; draw it farther inside";
            check.warnings.push(Warning { key, remark: remark.to_owned() });
        }
        fits.then_some(line)
    };
    raw.into_iter().flatten().map(&mut line).collect::<Vec<_>>().into_iter().collect()
}

/// 50 km/h.
const USUAL_SPEED: f64 = 50.0 / 3.6;
/// Frames a second that cameras should send for lines.
const USUAL_RATE: f64 = 5.0;

/// Warns where the picture shows so little ground on one side of a line that what passes is seen too seldom there.
pub(super) fn warn_of_short_ways(check: &mut Check<'_>, section: &str, lines: &[SceneLine], ground: &Ground) {
    /// Sightings on average from which on three are more likely than two.
    const THREE: f64 = 2.5;
    for line in lines.iter().filter(|line| !line.is_near_border()) {
        let Some([left, right]) = metres_beside(line, ground) else { continue };
        let (side, metres) = if left < right { ("left", left) } else { ("right", right) };
        if sightings_over(metres, USUAL_SPEED, USUAL_RATE) >= 3 {
            continue;
        }
        let needed = (THREE * USUAL_SPEED / metres.max(0.1)).ceil().min(1000.0);
        let remark = format!(
            "the picture shows {metres:.0} m of the ground on the {side} of the line: what passes at 50 km/h is seen three times \
             there from {needed:.0} frames a second on, and less often the counts are partial (\"rate\"); draw it farther inside, \
             or let the camera send more frames"
        );
        check.warnings.push(Warning { key: format!("{section}.line.{}", line.name), remark });
    }
}

/// Shares of the sides of the picture.
fn is_in_picture(check: &mut Check<'_>, key: &str, points: &[[f64; 2]]) -> bool {
    let outside = points.iter().find(|point| !point.iter().all(|share| (0.0..=1.0).contains(share)));
    if let Some([x, y]) = outside {
        let expected = "a point within the picture, in shares of its sides from 0 to 1";
        let remedy = if *x > 1.5 || *y > 1.5 {
            "divide pixels by the width and the height of the picture"
        } else {
            "write numbers from 0 to 1"
        };
        check.faults.push(Fault::new(key, format!("[{x}, {y}]"), expected).remedy(remedy));
    }
    outside.is_none()
}

pub(super) fn check_zones(
    check: &mut Check<'_>,
    section: &str,
    raw: &RawTrack,
    (classes, ground): (Option<&[Label]>, Option<&Ground>),
) -> Option<Vec<(PlaceId, SceneZone)>> {
    let lines = raw.line.as_ref();
    let mut zone = |(name, raw): (&String, &RawSceneZone)| {
        let key = format!("{section}.zone.{name}");
        let name = check.keep(&key, name, PlaceId::new(name));
        let zone = zone_of(check, &key, raw, lines, classes)?;
        let mut fits = is_in_picture(check, &format!("{key}.polygon"), &zone.polygon);
        for (part, ends) in [("stop_line", zone.stop_line), ("lane", zone.lane)] {
            fits &= ends.is_none_or(|ends| is_in_picture(check, &format!("{key}.{part}"), &ends));
        }
        if let Some(error) = zone.check(ground).err().filter(|_| fits) {
            check.faults.push(fault(&key, &error));
            fits = false;
        }
        name.zip(fits.then_some(zone))
    };
    raw.zone.iter().flatten().map(&mut zone).collect::<Vec<_>>().into_iter().collect()
}

/// The zone as it is written; `None` where a part of it is at fault.
fn zone_of(
    check: &mut Check<'_>,
    key: &str,
    raw: &RawSceneZone,
    lines: Option<&Map<RawSceneLine>>,
    classes: Option<&[Label]>,
) -> Option<SceneZone> {
    let mut arm = |part: &str, arm: &Option<String>| match arm {
        None => Some(None),
        Some(arm) => check.keep(&format!("{key}.{part}"), arm, PlaceId::new(arm)).map(Some),
    };
    let (origin, destination) = (arm("origin", &raw.origin), arm("destination", &raw.destination));
    let stop_line = ends(check, &format!("{key}.stop_line"), raw.stop_line.as_ref(), lines);
    let lane = match &raw.lane {
        Some(RawEnds::Points(ends)) => Some(*ends),
        Some(RawEnds::Line(name)) => {
            let remark = format!(
                "{name:?} names the lane and says nothing about its direction: nobody is found to go the wrong way; write from \
                 where to where traffic runs, such as [[0.3, 0.9], [0.4, 0.5]]"
            );
            check.warnings.push(Warning { key: format!("{key}.lane"), remark });
            None
        }
        None => None,
    };
    let forbidden_key = format!("{key}.forbidden");
    let named = raw.forbidden.iter().flatten();
    let forbidden: Vec<_> = named.map(|name| class_named(check, &forbidden_key, name, classes?)).collect();
    Some(SceneZone {
        polygon: raw.polygon.clone()?,
        origin: origin?,
        destination: destination?,
        stop_line: stop_line?,
        lane,
        forbidden: forbidden.into_iter().collect::<Option<_>>()?,
        stopped_after: raw.stopped_after.map(|span| span.0.as_secs_f64()),
        queue_from: raw.queue_from,
    })
}

/// Two points, or the ends of a line.
#[expect(clippy::option_option, reason = "a fault, nothing, or two points")]
fn ends(
    check: &mut Check<'_>,
    key: &str,
    raw: Option<&RawEnds>,
    lines: Option<&Map<RawSceneLine>>,
) -> Option<Option<[[f64; 2]; 2]>> {
    match raw {
        None => Some(None),
        Some(RawEnds::Points(ends)) => Some(Some(*ends)),
        Some(RawEnds::Line(name)) => {
            let Some((_, line)) = lines.into_iter().flatten().find(|(known, _)| *known == name) else {
                let known: Vec<&str> = lines.into_iter().flatten().map(|(name, _)| name.as_str()).collect();
                let remedy = match nearest(name, known.iter().copied()) {
                    Some(near) => format!("write {near:?}"),
                    None => "write two points, such as [[0.1, 0.6], [0.3, 0.6]]".to_owned(),
                };
                let expected = format!(
                    "two points, or the name of a line of this judge{}",
                    if known.is_empty() {
                        ", of which there is none".to_owned()
                    } else {
                        format!(", here {}", known.join(", "))
                    }
                );
                check.faults.push(Fault::at_text(key, name, expected).remedy(remedy));
                return None;
            };
            // A line at fault is said where it stands.
            Some(Some([line.from?, line.to?]))
        }
    }
}

/// What is wrong with a line or zone.
pub(super) fn fault(key: &str, error: &SceneError) -> Fault {
    let (part, value, remedy) = match error {
        SceneError::TooMany { found, most, .. } => ("", found.to_string(), format!("keep {most} of them")),
        SceneError::Outside { x, y } => ("", format!("[{x}, {y}]"), "write numbers from 0 to 1".to_owned()),
        SceneError::NoLength => {
            ("", "two points in one place".to_owned(), "write two points that lie apart".to_owned())
        }
        SceneError::Corners { found } => {
            (".polygon", format!("{found} points"), "write 3 to 64 corners".to_owned())
        }
        SceneError::Crossed { first, second } => (
            ".polygon",
            format!("edges that cross, from corner {first} and from corner {second}"),
            "write them in order, neighbour after neighbour".to_owned(),
        ),
        SceneError::NoArea => {
            (".polygon", "points on one line".to_owned(), "write corners that enclose an area".to_owned())
        }
        SceneError::Horizon { x, y } => (
            ".polygon",
            format!("[{x}, {y}]"),
            "move the point nearer to the camera, or correct the four points of the ground".to_owned(),
        ),
    };
    let text = error.to_string();
    let expected = text.split_once("expected ").map_or(text.as_str(), |(_, expected)| expected).to_owned();
    Fault::new(format!("{key}{part}"), value, expected).remedy(remedy)
}
