mod looks;

use std::time::Duration;

use verge_domain::finding::{Finding, Measure, Member, Standing};
use verge_domain::frame::{Detection, Detections, PixelBox, Score, View};
use verge_domain::id::{JudgeId, Label, PlaceId};
use verge_domain::interval::IntervalGrid;
use verge_domain::observation::Captured;
use verge_domain::stage::RestoreError;
use verge_domain::time::{DeviceClock, Moment, Monotonic, UtcMillis};
use verge_domain::verdict::{DirectionCounts, PartialReason, TimeBasis, Traffic};
use verge_scene::{Anchor, SceneLine, SceneSettings, SceneZone};

use super::live::LiveReport;
use super::*;
use crate::forecast::ForecastSettings;

const BEGIN: i64 = 1_767_225_600_000;

fn scene(line: &str) -> SceneSettings {
    let interval = IntervalGrid::new(Duration::from_secs(60)).unwrap();
    let labels = ["car", "person"].map(|label| Label::new(label).unwrap());
    let mut scene = SceneSettings::new(labels.to_vec(), interval);
    let name = PlaceId::new(line).unwrap();
    scene.add_line(SceneLine { name, from: [0.1, 0.5], to: [0.9, 0.5], anchor: Anchor::Bottom }).unwrap();
    for (name, left) in [("kerb", 0.0), ("lane", 0.4)] {
        let polygon = vec![[left, 0.0], [left + 0.3, 0.0], [left + 0.3, 1.0], [left, 1.0]];
        let zone =
            SceneZone { polygon, stopped_after: Some(5.0), forbidden: vec![1], ..SceneZone::default() };
        scene.add_zone(PlaceId::new(name).unwrap(), zone).unwrap();
    }
    scene
}

fn settings() -> TrackSettings {
    TrackSettings::new(&JudgeId::new("junction").unwrap(), scene("north")).unwrap()
}

fn judge() -> TrackJudge {
    TrackJudge::new(&settings())
}

fn at(ms: i64) -> Moment {
    Moment { wall: UtcMillis(BEGIN + ms), mono: Monotonic(ms.unsigned_abs() * 1000) }
}

fn object(label: &str, x: u32, y: u32) -> Detection {
    let area = PixelBox { x, y, width: 60, height: 40 };
    Detection { label: Label::new(label).unwrap(), score: Score::new(0.9).unwrap(), area, track: None }
}

fn view(objects: Vec<Detection>) -> View {
    View::Detections(Detections { width: 1000, height: 1000, objects })
}

/// A car that drives down the picture once in ten seconds, as it is seen at this time.
fn driving(ms: i64) -> View {
    view(vec![object("car", 480, u32::try_from(ms % 10_000).unwrap() / 10)])
}

/// Shows ten pictures a second.
fn watch(judge: &mut TrackJudge, from_ms: i64, to_ms: i64, shown: impl Fn(i64) -> View) -> Vec<Finding> {
    let mut findings = Vec::new();
    for ms in (from_ms..to_ms).step_by(100) {
        judge.observe(&shown(ms), Captured::UNKNOWN, at(ms), &mut findings);
    }
    findings
}

fn interval(finding: &Finding) -> Option<&Traffic> {
    if let Finding::Traffic(traffic) = finding { Some(traffic) } else { None }
}

fn intervals(findings: &[Finding]) -> Vec<&Traffic> {
    findings.iter().filter_map(interval).collect()
}

/// Forward and backward over the only line.
fn crossed(traffic: &Traffic) -> Option<(u64, u64)> {
    let line = &traffic.lines[0];
    Some((line.forward.as_ref()?.total, line.backward.as_ref()?.total))
}

#[test]
fn an_interval_says_what_crossed_and_ends_by_itself() {
    let mut judge = judge();
    let mut findings = watch(&mut judge, 0, 66_000, driving);
    let found = intervals(&findings);
    let [only] = found.as_slice() else { panic!("{found:?}") };
    assert_eq!((only.from, only.observed_ms, only.judged), (UtcMillis(BEGIN), 60_000, 600));
    assert_eq!((&only.partial[..], only.time, only.lines[0].unresolved), (&[][..], TimeBasis::Received, 0));
    assert_eq!(crossed(only), Some((6, 0)));
    let forward = only.lines[0].forward.as_ref().unwrap();
    assert_eq!((forward.classes.len(), forward.classes[0].label.as_str()), (1, "car"));
    assert_eq!((only.zones[1].entered, only.zones[0].entered), (Some(6), Some(0)));
    findings.clear();
    judge.tick(at(124_000), &mut findings);
    assert_eq!(findings, []);
    judge.tick(at(125_000), &mut findings);
    let found = intervals(&findings);
    let [last] = found.as_slice() else { panic!("{found:?}") };
    assert_eq!((last.observed_ms, &last.partial[..]), (5_900, &[PartialReason::Gap][..]));
}

#[test]
fn measures_are_signals_of_the_camera() {
    let findings = watch(&mut judge(), 0, 66_000, driving);
    let measures: Vec<&Measure> = findings
        .iter()
        .filter_map(|finding| match finding {
            Finding::Measure(measure) => Some(measure),
            _ => None,
        })
        .collect();
    let value = |name: &str| {
        let found = measures.iter().find(|measure| measure.signal.as_str() == name)?;
        assert_eq!(found.at, UtcMillis(BEGIN + 60_000));
        Some((found.value, found.unit.as_ref().map_or("", |unit| unit.as_str())))
    };
    assert_eq!(value("junction.north.forward"), Some((6.0, "")));
    assert_eq!(value("junction.north.flow"), Some((360.0, "/h")));
    assert_eq!(value("junction.lane.entered"), Some((6.0, "")));
    assert_eq!(value("junction.north.speed"), None, "without a ground there is no speed");
    assert_eq!(settings().signals().count(), 4 + 2 * 6);
}

#[test]
fn a_kill_in_the_middle_of_an_interval_leaves_no_plausible_low_count() {
    let mut first = judge();
    assert!(intervals(&watch(&mut first, 0, 20_000, driving)).is_empty());
    let saved = first.save();
    // What follows is lost with the process.
    watch(&mut first, 20_000, 28_000, driving);
    let mut next = judge();
    next.restore(&saved).unwrap();
    let findings = watch(&mut next, 24_000, 66_000, driving);
    let found = intervals(&findings);
    let [only] = found.as_slice() else { panic!("{found:?}") };
    assert_eq!(only.partial, [PartialReason::Gap]);
    assert_eq!(only.observed_ms, 60_000 - 4_100, "not the time between the saved frame and the next");
    assert_eq!(crossed(only), Some((6, 0)), "nothing crossed in that time");
    // A damaged state and one of other lines change nothing.
    assert!(next.restore(&saved[..saved.len() - 1]).is_err());
    let other = TrackSettings::new(&JudgeId::new("junction").unwrap(), scene("south")).unwrap();
    assert!(matches!(TrackJudge::new(&other).restore(&saved), Err(RestoreError::Foreign)));
}

#[test]
fn what_was_seen_for_a_fraction_of_a_second_is_not_counted() {
    let mut judge = judge();
    let mut findings = watch(&mut judge, 59_600, 60_000, driving);
    judge.tick(at(70_000), &mut findings);
    let found = intervals(&findings);
    let [only] = found.as_slice() else { panic!("{found:?}") };
    assert_eq!((only.observed_ms, crossed(only), only.zones[1].occupancy), (0, None, None));
    assert!(!findings.iter().any(|finding| matches!(finding, Finding::Measure(_))));
    // What is found late to have crossed in it is no flow.
    let direction = DirectionCounts { total: 1, ..only.lines[0].forward.clone().unwrap_or_default() };
    let mut late = (*only).clone();
    (late.lines[0].forward, late.lines[0].backward) = (Some(direction.clone()), Some(direction));
    let mut measured = Vec::new();
    measures::report(&settings().named, &late, &mut measured);
    let of_line = |finding: &&Finding| matches!(finding, Finding::Measure(measure) if measure.signal.as_str().starts_with("junction.north"));
    assert_eq!(measured.iter().filter(of_line).count(), 2, "forward and backward");
}

#[test]
fn at_the_end_of_a_file_the_interval_comes_out_as_far_as_it_goes() {
    let mut judge = judge();
    let mut findings = watch(&mut judge, 0, 75_000, driving);
    findings.clear();
    judge.finish(&mut findings);
    let found = intervals(&findings);
    let [last] = found.as_slice() else { panic!("{found:?}") };
    assert_eq!((last.from.0 - BEGIN, last.observed_ms, crossed(last)), (60_000, 15_000, Some((2, 0))));
    assert_eq!(last.partial, [PartialReason::Start]);
}

/// Changes of conditions as "member zone objects".
fn changes(findings: &[Finding]) -> Vec<String> {
    let mut said: Vec<String> = Vec::new();
    let mut now = std::collections::BTreeMap::new();
    for finding in findings {
        let Finding::Condition(condition) = finding else { continue };
        let part = condition.part.as_ref().expect("all are about zones");
        assert_eq!(condition.standing == Standing::Abnormal, condition.observed > 0.0);
        let key = (condition.member.as_str(), part.to_string());
        let before = now.insert(key.clone(), condition.observed).unwrap_or(0.0);
        if before != condition.observed {
            said.push(format!("{} {} {}", key.0, key.1, condition.observed));
        }
    }
    said
}

#[test]
fn each_zone_has_conditions_of_its_own() {
    // A car stands in the lane, later another at the kerb; a person walks through the lane meanwhile.
    let shown = |ms: i64| {
        let mut objects = vec![object("car", 480, 300)];
        if (10_000..16_000).contains(&ms) {
            objects.push(object("person", 560, 500 + u32::try_from(ms - 10_000).unwrap() / 30));
        }
        if (20_000..40_000).contains(&ms) {
            objects.push(object("car", 100, 300));
        }
        view(objects)
    };
    let findings = watch(&mut judge(), 0, 60_000, shown);
    let said = changes(&findings);
    let expected = ["stopped lane 1", "person lane 1", "person lane 0", "stopped kerb 1", "stopped kerb 0"];
    assert_eq!(said, expected);
    assert!(Member::Stopped.own_unit() == Some("objects"));
}

fn claimed(ms: i64) -> Captured {
    Captured { at: Some(UtcMillis(BEGIN + ms)), clock: DeviceClock::Trusted }
}

#[test]
fn a_clock_that_stands_still_or_runs_back_stops_no_interval() {
    let mut judge = judge();
    let mut findings = Vec::new();
    // The camera's clock moves for 30 s, stands still for 60 s, and goes on 20 s behind.
    let clock = |ms: i64| match ms {
        0..30_000 => ms,
        30_000..90_000 => 30_000,
        _ => ms - 20_000,
    };
    for ms in (0..186_000).step_by(100) {
        judge.observe(&driving(ms), claimed(clock(ms)), at(ms), &mut findings);
    }
    let found = intervals(&findings);
    let said: Vec<_> =
        found.iter().map(|one| ((one.from.0 - BEGIN) / 1000, one.time, &one.partial[..])).collect();
    let clock = &[PartialReason::Clock][..];
    assert_eq!(said.len(), 2, "{said:?}");
    assert_eq!((said[0].0, said[0].1), (0, TimeBasis::Received));
    assert!(said[0].2.contains(&PartialReason::Clock), "{said:?}");
    assert!(said[1].0 == 60 && said[1].2.contains(&clock[0]), "{said:?}");
    let mut sound = TrackJudge::new(&settings());
    findings.clear();
    for ms in (0..66_000).step_by(100) {
        sound.observe(&driving(ms), claimed(ms), at(ms + 40), &mut findings);
    }
    assert_eq!(intervals(&findings)[0].time, TimeBasis::Captured);
}

#[test]
fn a_camera_that_changes_its_size_begins_anew_and_says_so() {
    let shown = |ms: i64| {
        let size = if ms < 30_000 { 1000 } else { 500 };
        let mut car = object("car", 480, u32::try_from(ms % 10_000).unwrap() / 10);
        let area = &mut car.area;
        for side in [&mut area.x, &mut area.y, &mut area.width, &mut area.height] {
            *side = *side * size / 1000;
        }
        View::Detections(Detections { width: size, height: size, objects: vec![car] })
    };
    let findings = watch(&mut judge(), 0, 66_000, shown);
    let found = intervals(&findings);
    assert_eq!((crossed(found[0]), &found[0].partial[..]), (Some((6, 0)), &[PartialReason::Gap][..]));
}

/// Settings under which flow and queue are forecast.
fn forecasting(minutes: &[u64]) -> TrackSettings {
    let ahead: Vec<Duration> = minutes.iter().map(|minutes| Duration::from_secs(60 * minutes)).collect();
    let forecast = ForecastSettings::new(scene("north").interval(), &ahead).unwrap();
    TrackSettings::forecasting(&JudgeId::new("junction").unwrap(), scene("north"), forecast).unwrap()
}

#[test]
fn flow_and_queue_are_forecast_with_each_interval_and_as_signals() {
    let settings = forecasting(&[5, 15]);
    let signals: Vec<&str> = settings.signals().map(|signal| signal.as_str()).collect();
    let ahead = ["junction.north.flow_in_5m", "junction.north.flow_in_15m", "junction.kerb.queue_in_5m"];
    assert!(ahead.iter().all(|signal| signals.contains(signal)), "{signals:?}");
    let mut judge = TrackJudge::new(&settings);
    let findings = watch(&mut judge, 0, 600_000, driving);
    let found = intervals(&findings);
    assert!(found[..7].iter().all(|one| one.forecasts.is_empty()), "seven intervals are too few");
    let last = found.last().unwrap();
    let words: Vec<String> = last
        .forecasts
        .iter()
        .map(|one| {
            let (place, measure) = (one.place.as_ref().unwrap(), one.measure);
            format!("{place} {measure} {} {:.0}", one.ahead_ms / 60_000, one.expected)
        })
        .collect();
    let expected = [
        "north flow 5 360",
        "north flow 15 360",
        "kerb queue 5 0",
        "kerb queue 15 0",
        "lane queue 5 0",
        "lane queue 15 0",
    ];
    assert_eq!(words, expected);
    let measured: Vec<&Measure> = findings
        .iter()
        .filter_map(|finding| if let Finding::Measure(measure) = finding { Some(measure) } else { None })
        .filter(|measure| measure.signal.as_str() == "junction.north.flow_in_5m")
        .collect();
    assert_eq!(measured.len(), found.len() - 7);
    assert_eq!(measured[0].unit.as_ref().map(|unit| unit.as_str()), Some("/h"));
}

#[test]
fn forecasts_are_saved_with_the_judge_and_states_without_them_are_taken_up() {
    let mut judge = TrackJudge::new(&forecasting(&[5]));
    watch(&mut judge, 0, 600_000, driving);
    let mut next = TrackJudge::new(&forecasting(&[5]));
    next.restore(&judge.save()).unwrap();
    let findings = watch(&mut next, 600_000, 726_000, driving);
    let found = intervals(&findings);
    assert!(found[0].forecasts.len() == 3 && found[1].forecasts.len() == 3, "{found:?}");
    // Other horizons are learnt anew, and so is everything where none was saved; counts go on.
    let mut plain = self::judge();
    watch(&mut plain, 0, 600_000, |_| view(Vec::new()));
    // An earlier version ends ahead of the two empty lists and of where edges usually are.
    let mut earlier = plain.save();
    assert_eq!(earlier.split_off(earlier.len() - 15), [0; 15]);
    let checksum = crc32c::crc32c(&earlier[6..]).to_le_bytes();
    earlier[2..6].copy_from_slice(&checksum);
    for saved in [judge.save(), plain.save(), earlier] {
        let mut other = TrackJudge::new(&forecasting(&[5, 15]));
        other.restore(&saved).unwrap();
        let findings = watch(&mut other, 600_000, 666_000, driving);
        let found = intervals(&findings);
        assert!(found[0].forecasts.is_empty() && crossed(found[0]).is_some());
    }
}

#[test]
fn sightings_at_lines_are_known_and_saved() {
    let mut judge = judge();
    assert_eq!(judge.seen_lines(), None);
    watch(&mut judge, 0, 120_000, driving);
    let seen = judge.seen_lines().unwrap();
    assert_eq!((seen.lines.len(), seen.lines[0].verdict.as_str()), (1, "good"));
    assert!((seen.frames_per_s.unwrap() - 10.0).abs() < 0.1);
    let mut next = self::judge();
    next.restore(&judge.save()).unwrap();
    assert_eq!(next.seen_lines().unwrap().lines, seen.lines);
}

/// One car drives down for ten seconds, is over the zone `lane` all the while, and crosses the line.
#[test]
fn what_is_followed_is_reported_whenever_something_about_it_changes() {
    let found_with = |live: Option<LiveReport>| {
        let mut judge = TrackJudge::new(&settings().reporting(live));
        let shown = |ms: i64| if (1_000..10_000).contains(&ms) { driving(ms) } else { view(Vec::new()) };
        let findings = watch(&mut judge, 0, 20_000, shown);
        let tracks = findings.into_iter().filter_map(|finding| match finding {
            Finding::Tracks(tracks) => Some(*tracks),
            _ => None,
        });
        tracks.collect::<Vec<_>>()
    };
    assert_eq!(found_with(None), []);
    let reported = found_with(Some(LiveReport { again: None }));
    // It is confirmed, crosses, and is lost; whether it is taken for standing at first is its speed's business.
    assert!((3..=5).contains(&reported.len()), "{reported:?}");
    let first = &reported[0].objects[0];
    assert_eq!((first.label.as_str(), first.track), ("car", Some(0)));
    assert!(first.score.thousandths() > 800 && first.area.width.abs_diff(60) < 10, "{first:?}");
    assert_eq!(reported.last().unwrap().objects, []);
    let again = found_with(Some(LiveReport { again: Some(Duration::from_secs(2)) }));
    assert!(again.len() >= reported.len() + 4, "{}", again.len());
}
