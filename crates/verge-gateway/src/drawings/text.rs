//! A drawing as TOML, and what a configuration says as a drawing.

use toml::{Table, Value};
use verge_domain::live::{CameraName, Drawing, DrawnBy, DrawnJudge, DrawnLine, DrawnMask, DrawnZone};
use verge_scene::Anchor;

use crate::config::{DRAWN, DrawnSection, SectionValues, join};
use crate::settings::Settings;

/// Its first line.
const HEAD: &str = "# Lines, zones and masks that were drawn in the dashboard. The gateway writes this file: docs/dashboard.md.\n";

/// What a configuration says of a camera, with these judges counting before it, each with the other cameras that it counts
/// before.
pub(crate) fn drawing_of(
    settings: &Settings,
    camera: &CameraName,
    judges: impl Iterator<Item = (String, Vec<String>)>,
) -> Drawing {
    let judges = judges.filter_map(|(judge, also)| {
        let values = settings.section("judge", &judge)?;
        let drawn = settings.drawn.iter().find(|one| one.at_work && one.section == format!("judge.{judge}"));
        Some(DrawnJudge {
            lines: values.names_in("line").into_iter().filter_map(|name| line(values, name)).collect(),
            zones: values.names_in("zone").into_iter().filter_map(|name| zone(values, name)).collect(),
            drawn: drawn.map(|DrawnSection { by, at, .. }| DrawnBy { by: by.clone(), at: at.clone() }),
            judge,
            also,
        })
    });
    let source = settings.section("source", camera.source.as_str());
    let masks = source.into_iter().flat_map(|values| {
        values.names_in("mask").into_iter().filter_map(|name| mask(settings, values, camera, name))
    });
    Drawing { judges: judges.collect(), masks: masks.collect() }
}

/// What a key says, as numbers or texts.
fn said<T: serde::de::DeserializeOwned>(
    values: &SectionValues,
    table: &str,
    name: &str,
    key: &str,
) -> Option<T> {
    let (_, text) = values.keys_of(table, name).find(|(found, _)| *found == key)?;
    toml_value(text)?.try_into().ok()
}

/// A value out of its TOML.
fn toml_value(text: &str) -> Option<Value> {
    format!("value = {text}").parse::<Table>().ok()?.remove("value")
}

fn line(values: &SectionValues, name: String) -> Option<DrawnLine> {
    let ends = [said(values, "line", &name, "from")?, said(values, "line", &name, "to")?];
    Some(DrawnLine { name, ends })
}

/// What of an object crosses a line: the editor does not show it.
pub(crate) fn anchor_of(settings: &Settings, judge: &str, line: &str) -> Anchor {
    let word =
        settings.section("judge", judge).and_then(|values| said::<String>(values, "line", line, "anchor"));
    if word.as_deref() == Some("centre") { Anchor::Centre } else { Anchor::Bottom }
}

fn zone(values: &SectionValues, name: String) -> Option<DrawnZone> {
    let corners = said(values, "zone", &name, "polygon")?;
    Some(DrawnZone { name, corners })
}

fn mask(settings: &Settings, values: &SectionValues, camera: &CameraName, name: String) -> Option<DrawnMask> {
    let corners = said(values, "mask", &name, "polygon")?;
    let devices: Vec<String> = said(values, "mask", &name, "devices").unwrap_or_default();
    let device = camera.device.as_str();
    let is_of = devices.is_empty()
        || devices.iter().any(|pattern| wildmatch::WildMatch::new(pattern).matches(device));
    let key = join(&join(&join("source", camera.source.as_str()), "mask"), &name);
    let fixed = !settings.origins.is_drawn(&key);
    is_of.then_some(DrawnMask { name, corners, fixed })
}

/// The file with a drawing in it. What was drawn of other judges and cameras stays, and of zones what is not drawn.
///
/// # Errors
/// What of the drawing, or of the file, cannot be.
pub(crate) fn redrawn(
    before: &str,
    settings: &Settings,
    (camera, drawing, present): (&CameraName, &Drawing, &Drawing),
    (by, at): (&str, &str),
) -> Result<String, Vec<String>> {
    let mut file: Table =
        before.parse().map_err(|_| vec!["drawn.toml in the state folder is no TOML".to_owned()])?;
    let mut faults = repeated(drawing);
    for judge in &drawing.judges {
        let Some(known) = present.judges.iter().find(|known| known.judge == judge.judge) else {
            faults.push(format!("judge {:?} does not count before this camera", judge.judge));
            continue;
        };
        if (&known.lines, &known.zones) == (&judge.lines, &judge.zones) {
            continue;
        }
        let Some(values) = settings.section("judge", &judge.judge) else { continue };
        let lines = judge.lines.iter().map(|line| {
            let [from, to] = line.ends.map(point);
            (line.name.clone(), shape(values, ("line", &line.name), [("from", from), ("to", to)]))
        });
        let zones = judge.zones.iter().map(|zone| {
            (zone.name.clone(), shape(values, ("zone", &zone.name), [("polygon", polygon(&zone.corners))]))
        });
        let shapes = Table::from_iter([
            ("line".to_owned(), Value::Table(lines.collect())),
            ("zone".to_owned(), Value::Table(zones.collect())),
        ]);
        put(&mut file, ("judge", &judge.judge), shapes, (by, at));
    }
    let changed = |masks: &[DrawnMask]| masks.iter().filter(|mask| !mask.fixed).cloned().collect::<Vec<_>>();
    let (own, known) = (changed(&drawing.masks), changed(&present.masks));
    if own != known {
        let source = camera.source.as_str();
        let taken = |name: &str| present.masks.iter().any(|mask| mask.fixed && mask.name == name);
        let others =
            settings.section("source", source).map(|values| values.names_in("mask")).unwrap_or_default();
        let of_others = |name: &str| {
            others.iter().any(|other| other == name) && !known.iter().any(|mask| mask.name == name)
        };
        let mut masks = drawn_masks(&file, source);
        masks.retain(|name, _| !known.iter().any(|mask| mask.name == *name));
        for mask in own {
            if taken(&mask.name) || of_others(&mask.name) {
                faults.push(format!(
                    "mask {:?}: this source has a mask of that name; expected another name",
                    mask.name
                ));
            }
            let devices = Value::Array(vec![Value::String(camera.device.to_string())]);
            let keys = [("polygon".to_owned(), polygon(&mask.corners)), ("devices".to_owned(), devices)];
            masks.insert(mask.name, Value::Table(Table::from_iter(keys)));
        }
        let shapes = Table::from_iter([("mask".to_owned(), Value::Table(masks))]);
        put(&mut file, ("source", source), shapes, (by, at));
    }
    if faults.is_empty() { Ok(format!("{HEAD}{file}")) } else { Err(faults) }
}

/// Names that stand twice, or are none.
fn repeated(drawing: &Drawing) -> Vec<String> {
    let mut faults = Vec::new();
    let mut check = |what: &str, names: Vec<&str>| {
        for (at, name) in names.iter().enumerate() {
            if name.is_empty() {
                faults.push(format!("{what} {} has no name; expected one", at + 1));
            } else if names[..at].contains(name) {
                faults.push(format!("{what} {name:?} is there twice; expected different names"));
            }
        }
    };
    for judge in &drawing.judges {
        check("line", judge.lines.iter().map(|line| line.name.as_str()).collect());
        check("zone", judge.zones.iter().map(|zone| zone.name.as_str()).collect());
    }
    check("mask", drawing.masks.iter().map(|mask| mask.name.as_str()).collect());
    faults
}

/// Rounded to a hundredth of a thousandth of a side: less than a pixel.
fn point(point: [f64; 2]) -> Value {
    Value::Array(point.map(|share| Value::Float((share * 1e5).round() / 1e5)).to_vec())
}

fn polygon(corners: &[[f64; 2]]) -> Value {
    Value::Array(corners.iter().map(|&corner| point(corner)).collect())
}

/// A shape with what is drawn, and with what the configuration says of it beside that.
fn shape<const N: usize>(
    values: &SectionValues,
    (table, name): (&str, &str),
    drawn: [(&'static str, Value); N],
) -> Value {
    let kept =
        values.keys_of(table, name).filter_map(|(key, text)| Some((key.to_owned(), toml_value(text)?)));
    let mut keys: Table = kept.collect();
    keys.extend(drawn.map(|(key, value)| (key.to_owned(), value)));
    Value::Table(keys)
}

fn table<'a>(of: &'a mut Table, name: &str) -> &'a mut Table {
    let slot = of.entry(name).or_insert_with(|| Value::Table(Table::new()));
    if !slot.is_table() {
        *slot = Value::Table(Table::new());
    }
    slot.as_table_mut().expect("it was made one")
}

fn drawn_masks(file: &Table, source: &str) -> Table {
    let masks = || file.get("source")?.get(source)?.get("mask")?.as_table().cloned();
    masks().unwrap_or_default()
}

fn put(file: &mut Table, (kind, name): (&str, &str), shapes: Table, (by, at): (&str, &str)) {
    table(file, kind).insert(name.to_owned(), Value::Table(shapes));
    let who = [("by", by), ("at", at)].map(|(key, text)| (key.to_owned(), Value::String(text.to_owned())));
    table(file, DRAWN).insert(format!("{kind}.{name}"), Value::Table(Table::from_iter(who)));
}

#[cfg(test)]
mod tests;
