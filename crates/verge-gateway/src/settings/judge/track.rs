//! `detector = "track"`: lines, zones, ground and classes.

use std::sync::Arc;

use verge_anomaly::{JudgeSettings, LiveReport, TrackSettings};
use verge_domain::id::{JudgeId, Label};
use verge_domain::interval::IntervalGrid;
use verge_domain::policy::EventPolicy;
use verge_domain::scheme::{ClassScheme, EVERY_OTHER, SchemeError};
use verge_models::card::ModelTask;
use verge_pipeline::judging::InputPattern;
use verge_scene::{BlobUse, Footprint, Ground, GroundError, SceneSettings};
use verge_vision::{CascadeSettings, VisionJudge};

use super::cascade::{add_kinds, check_counted_kinds, check_second_model};
use super::forecast::check_forecast;
use super::frames::{FrameRules, check_crops, check_rules, gate};
use super::inputs::Known;
use super::places;
use crate::config::{Fault, Map, RawSceneGround, RawTrack, RawTrackReport, nearest};
use crate::settings::Check;

/// What all objects are, where no classes are named.
const OBJECT: &str = "object";

/// What is counted, and which labels of a model mean what.
#[derive(Debug, Clone)]
pub struct TrackRules {
    /// Lines, zones, classes and ground.
    pub scene: SceneSettings,
    /// Which labels mean which class.
    pub scheme: ClassScheme,
    /// Lowest score that counts.
    pub score: f32,
    /// Lowest scores of single classes.
    pub scores: Vec<(String, f32)>,
    /// Into how many parts the model cuts the frames on each side, see [`VisionJudge::tiles`].
    pub tiles: usize,
    /// Crops of a frame at most, see [`VisionJudge::follow`].
    pub follow: usize,
    /// What a second model says of the objects; it is the second of two.
    pub then: Option<CascadeSettings>,
}

pub(super) fn check_track(
    check: &mut Check<'_>,
    (section, id): (&str, Option<&JudgeId>),
    raw: &RawTrack,
    policy: EventPolicy,
    inputs: Option<Vec<InputPattern>>,
    known: &Known<'_>,
) -> Option<FrameRules> {
    let track = check_scene(check, section, raw);
    if raw.line.as_ref().is_none_or(Map::is_empty) && raw.zone.as_ref().is_none_or(Map::is_empty) {
        let expected = "at least one line or zone: there is nothing to count";
        let remedy = format!("add [{section}.line.NAME] with from = [0.1, 0.5] and to = [0.9, 0.5]");
        check.faults.push(Fault::missing(format!("{section}.line"), expected).remedy(remedy));
        return None;
    }
    let rule = track.as_ref().zip(id).and_then(|(track, id)| {
        let forecast = check_forecast(check, section, raw.forecast.as_ref(), track.scene.interval())?;
        let made = TrackSettings::forecasting(id, track.scene.clone(), forecast);
        let live = match raw.report {
            RawTrackReport::Interval => None,
            RawTrackReport::Change => Some(LiveReport { again: raw.events.update_every.0 }),
        };
        check.keep(section, id.as_str(), made).map(|made| JudgeSettings::Track(made.reporting(live)))
    });
    let rules = check_rules(check, section, (ModelTask::Detect, rule, policy), &raw.asking, inputs, known);
    let second = raw.then.as_ref().map(|then| check_second_model(check, section, then, &known.models));
    let (rules, TrackRules { scheme, score, scores, tiles, follow, then, .. }) = (rules?, track?);
    let then = match (then, second) {
        (Some(then), Some(model)) => Some(Arc::new(CascadeSettings { model: model?, ..then })),
        _ => None,
    };
    let gate = raw.gate.as_ref().map(gate);
    let look = VisionJudge {
        score: Some(score),
        scores,
        classes: Some(scheme),
        gate,
        tiles,
        follow,
        then,
        ..rules.look
    };
    let rule = match rules.rule {
        JudgeSettings::Track(track) => JudgeSettings::Track(track.within(look.region.sides())),
        other => other,
    };
    Some(FrameRules { look, rule, ..rules })
}

/// What is drawn and what is counted, whoever asks: a judge, or an evaluation.
pub(in crate::settings) fn check_scene(
    check: &mut Check<'_>,
    section: &str,
    raw: &RawTrack,
) -> Option<TrackRules> {
    let scheme = check_classes(check, section, raw);
    let interval = check_interval(check, section, raw);
    let ground = match &raw.ground {
        None => Some(None),
        Some(ground) => check_ground(check, section, ground).map(Some),
    };
    let lines = places::check_lines(check, section, raw.line.as_ref());
    let names = scheme.as_ref().map(ClassScheme::names);
    let of = (names, ground.as_ref().and_then(Option::as_ref));
    if let (Some(lines), Some(Some(ground))) = (&lines, &ground) {
        places::warn_of_short_ways(check, section, lines, ground);
    }
    let zones = places::check_zones(check, section, raw, of);
    let footprints = names.and_then(|names| check_footprints(check, section, raw.footprint.as_ref(), names));
    let scores = names.and_then(|names| check_scores(check, section, raw.scores.as_ref(), names));
    let then = match (&raw.then, names) {
        (None, _) => Some(None),
        (Some(_), None) => None,
        (Some(then), Some(names)) => check_counted_kinds(check, section, then, names).map(Some),
    };
    let (scheme, scores, then) = (scheme?, scores?, then?);
    let mut scene = SceneSettings::new(scheme.names().to_vec(), interval?)
        .with_max_gap(raw.max_gap.0.as_secs_f64())
        .with_ground(ground?);
    if raw.blobs != BlobUse::Off {
        scene = scene.with_blobs(raw.blobs, scheme.rest());
    }
    for (class, footprint) in footprints? {
        scene.measures(class, footprint);
    }
    if let Some(then) = &then {
        add_kinds(check, section, &mut scene, (&scheme, then))?;
    }
    let mut fits = true;
    for line in lines? {
        let key = format!("{section}.line");
        fits &= scene.add_line(line).map_err(|error| check.faults.push(places::fault(&key, &error))).is_ok();
    }
    for (name, zone) in zones? {
        let key = format!("{section}.zone");
        let added = scene.add_zone(name, zone);
        fits &= added.map_err(|error| check.faults.push(places::fault(&key, &error))).is_ok();
    }
    let (tiles, follow) = check_crops(check, section, (raw.tiles, raw.follow))?;
    fits.then_some(TrackRules { scene, scheme, score: raw.score, scores, tiles, follow, then })
}

fn check_classes(check: &mut Check<'_>, section: &str, raw: &RawTrack) -> Option<ClassScheme> {
    let alone = |label: &String| (label.clone(), vec![label.clone()]);
    let (key, classes) = match (&raw.labels, &raw.classes) {
        (Some(_), Some(_)) => {
            let fault = Fault::new(format!("{section}.labels"), "labels and classes", "one of the two");
            check.faults.push(fault.remedy("take labels out: classes list the labels that they hold"));
            return None;
        }
        (Some(labels), None) => ("labels", labels.iter().map(alone).collect()),
        (None, Some(classes)) => ("classes", classes.clone().into_iter().collect()),
        (None, None) => ("classes", vec![(OBJECT.to_owned(), vec![EVERY_OTHER.to_owned()])]),
    };
    let remedy = |error: &SchemeError| match error {
        SchemeError::Count { .. } => "list fewer classes".to_owned(),
        SchemeError::Name { name, .. } => format!("give {name:?} another name"),
        SchemeError::Empty { name } => format!("write {name} = [\"LABEL\"], or take it out"),
        SchemeError::Twice { label, second, .. } => format!("take {label:?} out of {second}"),
    };
    ClassScheme::new(classes)
        .map_err(|error| {
            let expected = "classes that share no label, such as { car = [\"car\"], other = [\"*\"] }";
            let fault = Fault::new(format!("{section}.{key}"), error.to_string(), expected);
            check.faults.push(fault.remedy(remedy(&error)));
        })
        .ok()
}

fn check_interval(check: &mut Check<'_>, section: &str, raw: &RawTrack) -> Option<IntervalGrid> {
    IntervalGrid::new(raw.interval.0)
        .map_err(|error| {
            let (key, value) = (format!("{section}.interval"), format!("\"{}\"", raw.interval));
            check.faults.push(Fault::new(key, value, error.to_string()).remedy("write interval = \"1m\""));
        })
        .ok()
}

fn check_ground(check: &mut Check<'_>, section: &str, raw: &RawSceneGround) -> Option<Ground> {
    let mut four = |which: &str, points: &Option<Vec<[f64; 2]>>| {
        let points = points.as_deref()?;
        <[[f64; 2]; 4]>::try_from(points)
            .map_err(|_| {
                let value = format!("{} points", points.len());
                let fault = Fault::new(format!("{section}.ground.{which}"), value, "four points");
                check.faults.push(fault.remedy("write four corners of a rectangle on the road, in order"));
            })
            .ok()
    };
    let (picture, metres) = (four("picture", &raw.picture), four("metres", &raw.metres));
    let (picture, metres) = (picture?, metres?);
    if let Some([x, y]) = picture.iter().find(|point| !point.iter().all(|share| (0.0..=1.0).contains(share)))
    {
        let key = format!("{section}.ground.picture");
        let fault = Fault::new(key, format!("[{x}, {y}]"), "shares of the picture's sides, from 0 to 1");
        check.faults.push(fault.remedy("divide pixels by the width and the height of the picture"));
        return None;
    }
    Ground::new(picture, metres)
        .map_err(|error| {
            let (GroundError::Flat { which } | GroundError::Fold { which }) = error;
            let points = if which == "metres" { metres } else { picture };
            let expected = format!("the four corners of an area, in order around it: {error}");
            let fault = Fault::new(format!("{section}.ground.{which}"), format!("{points:?}"), expected);
            let remedy = "write four corners of a rectangle on the road, in order around it, and the same four in metres";
            check.faults.push(fault.remedy(remedy));
        })
        .ok()
}

/// Position of a class by its name; else a fault that names the nearest.
pub(super) fn class_named(check: &mut Check<'_>, key: &str, name: &str, classes: &[Label]) -> Option<usize> {
    let found = classes.iter().position(|class| class.as_str() == name);
    if found.is_none() {
        let known: Vec<String> = classes.iter().map(|class| format!("{:?}", class.as_str())).collect();
        let remedy = match nearest(name, classes.iter().map(Label::as_str)) {
            Some(near) => format!("write {near:?}"),
            None => format!("add {name:?} to classes"),
        };
        let expected = format!("a class of this judge, here {}", known.join(", "));
        check.faults.push(Fault::at_text(key, name, expected).remedy(remedy));
    }
    found
}

fn check_footprints(
    check: &mut Check<'_>,
    section: &str,
    raw: Option<&Map<[f64; 2]>>,
    classes: &[Label],
) -> Option<Vec<(usize, Footprint)>> {
    let mut footprint = |(name, [length, width]): (&String, &[f64; 2])| {
        let key = format!("{section}.footprint.{name}");
        let class = class_named(check, &key, name, classes)?;
        let fits = [length, width].into_iter().all(|side| (0.1..=100.0).contains(side));
        if !fits {
            let expected = "length and width from 0.1 to 100 m";
            let fault = Fault::new(key, format!("[{length}, {width}]"), expected);
            check.faults.push(fault.remedy(format!("write {name} = [4.5, 1.8]")));
        }
        fits.then_some((class, Footprint { length: *length, width: *width }))
    };
    raw.into_iter().flatten().map(&mut footprint).collect::<Vec<_>>().into_iter().collect()
}

#[expect(clippy::cast_possible_truncation, reason = "from 0 to 1")]
fn check_scores(
    check: &mut Check<'_>,
    section: &str,
    raw: Option<&Map<f64>>,
    classes: &[Label],
) -> Option<Vec<(String, f32)>> {
    let mut score = |(name, score): (&String, &f64)| {
        let key = format!("{section}.scores.{name}");
        class_named(check, &key, name, classes)?;
        let fits = (0.0..=1.0).contains(score);
        if !fits {
            let fault = Fault::new(key, score.to_string(), "a number from 0 to 1");
            check.faults.push(fault.remedy(format!("write {name} = 0.5")));
        }
        fits.then_some((name.clone(), *score as f32))
    };
    raw.into_iter().flatten().map(&mut score).collect::<Vec<_>>().into_iter().collect()
}
