//! Charts of ordinary and of odd courses.

use verge_domain::id::{DeviceId, JudgeId, SignalId, SourceId};

use super::*;

fn course(values: &[f32], expected: Option<Expected>) -> Course {
    let sample = |(index, value): (usize, &f32)| Sample {
        at: UtcMillis(index as i64 * 10_000),
        last: *value,
        least: value.min(0.0),
        greatest: value + 0.5,
        held: index == 1,
    };
    Course {
        step: Step::Fine,
        since: Some(UtcMillis(0)),
        samples: values.iter().enumerate().map(sample).collect(),
        bands: vec![(JudgeId::new("j").unwrap(), vec![BandChange { from: UtcMillis(0), expected }])],
    }
}

fn drawn(course: &Course, size: ChartSize, dark: bool) -> String {
    let (from, to) = (UtcMillis(0), UtcMillis(3_600_000));
    svg(&Drawn { course, events: &[], from, to, hour: &|at| at.0.to_string() }, size, dark).unwrap()
}

#[test]
fn a_chart_has_no_style_no_script_and_stays_small() {
    let values: Vec<f32> = (0..360).map(|index| (index as f32 / 9.0).sin()).collect();
    let course = course(&values, Some(Expected { low: Some(-1.0), high: Some(1.0) }));
    for (size, dark) in [(ChartSize::Large, false), (ChartSize::Small, true)] {
        let svg = drawn(&course, size, dark);
        for forbidden in ["style=", "<style", "<script", " on", "href", "url("] {
            assert!(!svg.contains(forbidden), "{forbidden}: {svg}");
        }
        assert!(svg.contains("<polygon") && svg.contains("<polyline") && svg.contains("<rect"), "{svg}");
        assert!(svg.len() < 60_000, "{} bytes", svg.len());
    }
}

#[test]
fn odd_courses_are_drawn_too() {
    for values in [&[][..], &[1.0], &[0.0, 0.0], &[f32::MAX, f32::MIN, 1.0], &[1e-30, 2e-30]] {
        for expected in [None, Some(Expected { low: None, high: Some(1e300) })] {
            let course = course(values, expected);
            assert!(drawn(&course, ChartSize::Large, false).ends_with("</svg>\n"), "{values:?}");
            let spark = Sparkline::of(&course, UtcMillis(0), UtcMillis(3_600_000));
            assert_eq!(spark.is_some(), !values.is_empty());
            let lines = spark.map(|spark| spark.lines.concat()).unwrap_or_default();
            assert!(!lines.contains("NaN") && !lines.contains("inf"), "{values:?}: {lines}");
        }
    }
}

#[test]
fn a_signal_that_was_silent_has_a_gap() {
    let mut course = course(&[1.0; 40], None);
    course.samples.drain(10..30);
    let spark = Sparkline::of(&course, UtcMillis(0), UtcMillis(3_600_000)).unwrap();
    assert_eq!(spark.lines.len(), 2);
}

#[test]
fn a_picture_changes_with_the_step_and_carries_any_name() {
    let name = "<a b>/\"&\u{202e}";
    let subject = Subject {
        source: SourceId::new("s").unwrap(),
        device: DeviceId::new(name).unwrap(),
        signal: SignalId::new("x").ok(),
    };
    let picture = |at| Picture::of(&subject, Step::Fine, at, at + 3_600_000).large;
    assert_eq!(picture(20_000), picture(29_999));
    assert_ne!(picture(20_000), picture(30_000));
    assert!(picture(0).is_ascii() && !picture(0).contains(['<', '"', ' ']), "{}", picture(0));
}

#[test]
fn the_axis_has_round_times() {
    let course = course(&[1.0; 360], None);
    let hours = std::cell::RefCell::new(Vec::new());
    let hour = |at: UtcMillis| {
        hours.borrow_mut().push(at.0);
        String::new()
    };
    let (from, to) = (UtcMillis(1_764_000_000_000 - 1_234_567), UtcMillis(1_764_000_000_000 + 2_000_000));
    svg(&Drawn { course: &course, events: &[], from, to, hour: &hour }, ChartSize::Large, false).unwrap();
    let hours = hours.into_inner();
    assert!(hours.len() >= 4 && hours.iter().all(|at| at % 600_000 == 0), "{hours:?}");
}
