//! The drawing that a form holds: each shape has fields that begin with its kind and its number, `l0-name`, `z1-x2`.

use std::collections::BTreeSet;

use crate::dashboard::drawing::{DrawingDocument, JudgeDocument, LineDocument, MaskDocument, ZoneDocument};
use crate::dashboard::form::Form;
use crate::dashboard::problem::Problem;

/// Numbers of shapes, and of corners, lie below this; a form with another one is refused.
const MOST: usize = 1_024;
/// The form adds corners to a shape up to this number.
const MOST_CORNERS: usize = 64;

/// The parts of a field's name: the kind of shape, its number, and what of it.
fn parts_of(field: &str) -> Option<(&str, usize, &str)> {
    let (key, what) = field.split_once('-')?;
    let (kind, number) = key.split_at_checked(1)?;
    ["l", "z", "m"].contains(&kind).then_some((kind, number.parse().ok()?, what))
}

/// The axis of a corner, and its number.
fn corner_of(what: &str) -> Option<(&str, usize)> {
    let (axis, number) = what.split_at_checked(1)?;
    ["x", "y"].contains(&axis).then_some((axis, number.parse().ok()?))
}

/// The drawing that a form holds. A place that is no number is none in the drawing either, which the check of all places reports.
pub(super) fn drawn_in(form: &Form) -> Result<DrawingDocument, Problem> {
    let mut document = DrawingDocument::default();
    for judge in form.all("judges") {
        document.judges.push(JudgeDocument { judge, ..JudgeDocument::default() });
    }
    let mut shapes = BTreeSet::new();
    for (kind, number, what) in form.names().filter_map(parts_of) {
        if number >= MOST || corner_of(what).is_some_and(|(_, corner)| corner >= MOST) {
            let (what, expected) = (format!("{kind}{number}"), format!("expected numbers below {MOST}"));
            return Err(Problem::Invalid { what, expected });
        }
        shapes.insert((number, kind));
    }
    for (number, kind) in shapes {
        let field = |what: &str| format!("{kind}{number}-{what}");
        let is_out = form.text(&field("out")).is_some();
        if form.raw_if(&field("name")).is_none() || is_out {
            continue;
        }
        let name = form.raw(&field("name")).trim().to_owned();
        let corners = corners_of(form, (kind, number));
        let judge = form.raw(&field("judge"));
        let judge = document.judges.iter_mut().find(|known| known.judge == judge);
        match (kind, judge) {
            ("l", Some(judge)) => {
                let end = |at: usize| corners.get(at).copied().unwrap_or([f64::NAN; 2]);
                judge.lines.push(LineDocument { name, from: end(0), to: end(1) });
            }
            ("z", Some(judge)) => judge.zones.push(ZoneDocument { name, polygon: corners }),
            ("m", _) => {
                let fixed = form.text(&field("fixed")).is_some();
                document.masks.push(MaskDocument { name, polygon: corners, fixed });
            }
            _ => {}
        }
    }
    Ok(document)
}

/// Every corner up to the last one that the form has.
fn corners_of(form: &Form, shape: (&str, usize)) -> Vec<[f64; 2]> {
    let own = |field| parts_of(field).filter(|(kind, number, _)| (*kind, *number) == shape);
    let numbers = form.names().filter_map(|field| corner_of(own(field)?.2)).map(|(_, number)| number);
    let count = numbers.max().map_or(0, |last| last + 1);
    let share = |axis: &str, corner: usize| {
        let text = form.text(&format!("{}{}-{axis}{corner}", shape.0, shape.1));
        text.and_then(|text| text.parse().ok()).unwrap_or(f64::NAN)
    };
    (0..count).map(|corner| [share("x", corner), share("y", corner)]).collect()
}

/// Adds a shape in the middle of the picture, or a corner to one.
pub(super) fn add(document: &mut DrawingDocument, action: &str) {
    let square = vec![[0.4, 0.4], [0.6, 0.4], [0.6, 0.6], [0.4, 0.6]];
    let (what, of) = action.split_once(':').unwrap_or((action, ""));
    let judge = document.judges.iter_mut().find(|judge| judge.judge == of);
    match (what, judge) {
        ("line", Some(judge)) => {
            let name = free("line", judge.lines.iter().map(|line| line.name.as_str()));
            judge.lines.push(LineDocument { name, from: [0.3, 0.5], to: [0.7, 0.5] });
        }
        ("zone", Some(judge)) => {
            let name = free("zone", judge.zones.iter().map(|zone| zone.name.as_str()));
            judge.zones.push(ZoneDocument { name, polygon: square });
        }
        ("mask", _) => {
            let name = free("mask", document.masks.iter().map(|mask| mask.name.as_str()));
            document.masks.push(MaskDocument { name, polygon: square, fixed: false });
        }
        ("corner", _) => {
            let zones = document.judges.iter_mut().flat_map(|judge| &mut judge.zones);
            let polygons = zones.map(|zone| (format!("zone {}", zone.name), &mut zone.polygon));
            let masks =
                document.masks.iter_mut().map(|mask| (format!("mask {}", mask.name), &mut mask.polygon));
            let polygon = polygons.chain(masks).find(|(known, _)| known == of).map(|(_, polygon)| polygon);
            if let Some(polygon) = polygon.filter(|polygon| polygon.len() < MOST_CORNERS) {
                let (first, last) = (polygon.first().copied(), polygon.last().copied());
                let (first, last) = (first.unwrap_or([0.4, 0.4]), last.unwrap_or([0.6, 0.6]));
                polygon.push([f64::midpoint(first[0], last[0]), f64::midpoint(first[1], last[1])]);
            }
        }
        _ => {}
    }
}

fn free<'a>(kind: &str, known: impl Iterator<Item = &'a str>) -> String {
    let known: Vec<&str> = known.collect();
    let name = |number: usize| format!("{kind}-{number}");
    (1..).map(name).find(|name| !known.contains(&name.as_str())).expect("there are numbers enough")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(body: &str) -> Result<DrawingDocument, Problem> {
        drawn_in(&Form::read(body.as_bytes()))
    }

    #[test]
    fn every_shape_of_a_form_is_read_and_what_is_no_number_is_not_left_out() {
        let zone = |number: usize| {
            format!(
                "&z{number}-judge=j&z{number}-name=n{number}&z{number}-x0=0&z{number}-y0=0.5&z{number}-x1=&z{number}-y1=1&z{number}-x2=x"
            )
        };
        let body: String = (0..300).map(zone).collect();
        let document =
            read(&format!("judges=j{body}&m300-name=m&l301-judge=j&l301-name=l&l301-x1=0.25")).unwrap();
        let judge = &document.judges[0];
        let names: Vec<&str> = judge.zones.iter().map(|zone| zone.name.as_str()).collect();
        assert_eq!((names.len(), names[0], names[299]), (300, "n0", "n299"));
        let [first, second, third] = judge.zones[299].polygon[..] else { panic!("{:?}", judge.zones[299]) };
        assert_eq!((first, second[1]), ([0.0, 0.5], 1.0));
        assert!(second[0].is_nan() && third.iter().all(|share| share.is_nan()));
        let line = &judge.lines[0];
        assert!(line.from.iter().all(|share| share.is_nan()) && line.to[0] == 0.25 && line.to[1].is_nan());
        assert_eq!((document.masks.len(), document.masks[0].polygon.len()), (1, 0));
        for odd in ["z1024-name=x", "z0-name=x&z0-x1024=0"] {
            assert!(
                matches!(read(&format!("judges=j&z0-judge=j&{odd}")), Err(Problem::Invalid { .. })),
                "{odd}"
            );
        }
    }
}
