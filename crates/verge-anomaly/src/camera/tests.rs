use verge_domain::finding::{Condition, Finding, Member, Standing};
use verge_domain::frame::{CameraLook, EDGE_PARTS, EdgeLook, EdgeParts, GivenUp, PictureShift, Shortfall};
use verge_domain::motion::Motion;
use verge_domain::observation::{Captured, Observable};
use verge_domain::stage::Judge;
use verge_domain::time::{DeviceClock, Moment, UtcMillis};

use super::{CameraCauses, CameraHealthSettings};
use crate::health::HealthSettings;
use crate::state::{self, StateKind};
use crate::{JudgeSettings, ReadingJudge};

pub(crate) const KNOWN: EdgeLook = EdgeLook { usual: 0.1, missing: 0.05, missing_area: 0.06, layout: 0.95 };
/// A picture with its edges in some of its parts.
const STREET: EdgeParts = {
    let mut parts = [10; EDGE_PARTS.0 * EDGE_PARTS.1];
    let mut at = 0;
    while at < parts.len() {
        parts[at] = (at * 37 % 101) as u8;
        at += 1;
    }
    EdgeParts(parts)
};

pub(crate) const WELL: CameraLook = CameraLook {
    width: 1920,
    height: 1080,
    mean: 110.0,
    low: 30.0,
    high: 190.0,
    saturated: 0.01,
    equal: Some(0.02),
    sharpness: 0.2,
    edges: 0.12,
    parts: STREET,
    known: Some(KNOWN),
    shift: None,
    motion: Motion { blobs: verge_domain::motion::Blobs::NONE, changed: 0.0, light: false, settled: true },
    hidden: 0.0,
    shortfall: Shortfall { given_up: GivenUp::Nothing, passed_over: 0 },
};

fn judge(settings: &JudgeSettings) -> ReadingJudge {
    ReadingJudge::new(settings, moment(0.0))
}

fn all() -> JudgeSettings {
    let causes: Vec<Member> = [Member::Silent].into_iter().chain(Member::OF_CAMERAS).collect();
    JudgeSettings::Camera(CameraHealthSettings::new(&causes, 1.0).unwrap())
}

fn moment(at: f64) -> Moment {
    Moment::from_wall(UtcMillis(1_700_000_000_000 + (at * 1000.0) as i64))
}

/// Shows a look for some seconds, five a second. Gives the causes that are abnormal at the end, and the next time.
fn show(judge: &mut ReadingJudge, look: &CameraLook, (from, to): (f64, f64)) -> Vec<Member> {
    let mut at = from;
    let mut findings = Vec::new();
    while at < to {
        findings.clear();
        judge.observe(Observable::Look(look, Captured::UNKNOWN), moment(at), &mut findings);
        at += 0.2;
    }
    abnormal(&findings)
}

fn abnormal(findings: &[Finding]) -> Vec<Member> {
    let of = |finding: &Finding| match finding {
        Finding::Condition(Condition { member, standing: Standing::Abnormal, .. }) => Some(*member),
        _ => None,
    };
    findings.iter().filter_map(of).collect()
}

#[test]
fn each_fault_is_raised_after_its_time_and_is_over_after_three_seconds() {
    let dark = CameraLook { mean: 3.0, low: 1.0, high: 4.0, known: None, ..WELL };
    let known = |known: EdgeLook| CameraLook { known: Some(known), ..WELL };
    let shift = Some(PictureShift { x: 0.1, y: 0.0, correlation: 0.8, unshifted: 0.1 });
    for (cause, look, after) in [
        (Member::Dark, dark, 5.0),
        (Member::Bright, CameraLook { saturated: 0.9, mean: 250.0, ..WELL }, 5.0),
        (Member::Frozen, CameraLook { equal: Some(0.995), ..WELL }, 3.0),
        (Member::Blurred, CameraLook { sharpness: 0.03, ..WELL }, 10.0),
        (
            Member::Covered,
            CameraLook { edges: 0.01, ..known(EdgeLook { missing: 0.9, layout: 0.1, ..KNOWN }) },
            5.0,
        ),
        (Member::Covered, known(EdgeLook { missing: 0.5, layout: 0.4, ..KNOWN }), 30.0),
        (Member::LowContrast, CameraLook { low: 100.0, high: 115.0, ..WELL }, 30.0),
        (Member::Moved, CameraLook { shift, ..known(EdgeLook { missing: 0.6, ..KNOWN }) }, 10.0),
        (Member::Moved, known(EdgeLook { missing: 0.9, layout: 0.1, ..KNOWN }), 10.0),
    ] {
        let mut judge = judge(&all());
        assert_eq!(show(&mut judge, &WELL, (0.0, 30.0)), []);
        assert_eq!(show(&mut judge, &look, (30.0, 30.0 + after - 0.5)), [], "{cause}");
        assert_eq!(show(&mut judge, &look, (30.0 + after - 0.5, 31.0 + after)), [cause]);
        assert_eq!(show(&mut judge, &WELL, (70.0, 74.0)), [], "{cause}");
    }
}

/// An encoder that hangs gives one frame again and again, with its time.
#[test]
fn a_picture_that_stands_still_with_its_time_is_frozen() {
    let mut judge = judge(&all());
    let stands = Captured { at: Some(UtcMillis(1_700_000_000_000)), clock: DeviceClock::Trusted };
    let frozen = CameraLook { equal: Some(1.0), ..WELL };
    let mut found = |look: &CameraLook, (from, to): (u32, u32)| {
        let mut findings = Vec::new();
        for frame in from..to {
            findings.clear();
            let received = moment(f64::from(frame) * 0.2);
            judge.observe(Observable::Look(look, stands), received, &mut findings);
        }
        abnormal(&findings)
    };
    assert_eq!(found(&WELL, (0, 50)), []);
    assert_eq!(found(&frozen, (50, 64)), []);
    assert_eq!(found(&frozen, (64, 67)), [Member::Frozen]);
}

/// The wall clock may step meanwhile.
#[test]
fn faults_last_by_a_clock_that_does_not_step() {
    let dark = CameraLook { mean: 3.0, low: 1.0, high: 4.0, known: None, ..WELL };
    let mut causes = CameraCauses::default();
    for frame in 0..60 {
        let at = f64::from(frame) * 0.2;
        let received = Moment { mono: moment(at).mono, ..moment(if frame < 30 { at } else { at - 3600.0 }) };
        causes.look(if frame < 25 { &WELL } else { &dark }, received, 1.0);
        assert_eq!(causes.is_found(Member::Dark), frame >= 49, "frame {frame}");
    }
}

#[test]
fn another_size_is_raised_at_once_until_it_is_the_cameras_size() {
    let mut judge = judge(&all());
    show(&mut judge, &WELL, (0.0, 10.0));
    let turned = CameraLook { width: 1080, height: 1920, ..WELL };
    assert_eq!(show(&mut judge, &turned, (10.0, 10.1)), [Member::Size]);
    assert_eq!(show(&mut judge, &turned, (10.2, 11.7)), [Member::Size]);
    assert_eq!(show(&mut judge, &turned, (11.8, 13.0)), []);
}

#[test]
fn brightness_that_alternates_is_flicker_and_traffic_is_none() {
    let mut judge = judge(&all());
    show(&mut judge, &WELL, (0.0, 10.0));
    let (mut at, mut findings) = (10.0, Vec::new());
    let mut mean = |mean: f32, judge: &mut ReadingJudge| {
        at += 0.2;
        findings.clear();
        let look = CameraLook { mean, ..WELL };
        judge.observe(Observable::Look(&look, Captured::UNKNOWN), moment(at), &mut findings);
        abnormal(&findings)
    };
    // A bright car comes and goes.
    for second in 0..20 {
        for _ in 0..5 {
            assert_eq!(mean(if second % 2 == 0 { 110.0 } else { 70.0 }, &mut judge), []);
        }
    }
    let last = (0..30).map(|frame| mean(if frame % 2 == 0 { 110.0 } else { 70.0 }, &mut judge)).last();
    assert_eq!(last, Some(vec![Member::Flicker]));
}

#[test]
fn what_blinds_a_camera_is_known_from_its_beginning() {
    let mut causes = CameraCauses::default();
    (0..100).for_each(|frame| causes.look(&WELL, moment(f64::from(frame) * 0.2), 1.0));
    assert_eq!(causes.blind(), None);
    (100..130).for_each(|frame| causes.look(&COVERED, moment(f64::from(frame) * 0.2), 1.0));
    let blind = causes.blind().unwrap();
    assert_eq!(blind.cause, Member::Covered);
    let since = blind.since - moment(0.0).wall.0 as f64 / 1e3;
    assert!((19.5..20.1).contains(&since), "{blind:?}");
}

const COVERED: CameraLook = CameraLook {
    known: Some(EdgeLook { missing: 0.95, missing_area: 0.95, layout: 0.0, ..KNOWN }),
    edges: 0.01,
    ..WELL
};

/// After a restart pixels are learnt of what covers the camera: it shows all that it is known by.
#[test]
fn what_is_covered_is_covered_after_a_restart_until_it_shows_its_edges_again() {
    let mut first = judge(&all());
    show(&mut first, &WELL, (0.0, 30.0));
    assert_eq!(show(&mut first, &COVERED, (30.0, 40.0)), [Member::Covered]);
    let mut next = judge(&all());
    next.restore(&first.save().unwrap(), moment(40.0)).unwrap();
    let unknown = CameraLook { known: None, ..COVERED };
    assert_eq!(show(&mut next, &unknown, (40.0, 45.0)), [Member::Covered]);
    let learnt = CameraLook { known: Some(KNOWN), ..COVERED };
    assert_eq!(show(&mut next, &learnt, (45.0, 4_000.0)), [Member::Covered]);
    // Uncovered, it lacks the edges of what covered it until its own are learnt.
    let shown = CameraLook { known: COVERED.known, ..WELL };
    assert_eq!(show(&mut next, &shown, (4_000.0, 4_002.0)), [Member::Covered]);
    for (from, look) in [(4_002.0, &shown), (4_020.0, &CameraLook { known: None, ..WELL }), (4_025.0, &WELL)]
    {
        assert_eq!(show(&mut next, look, (from + 1.2, from + 18.0)), [], "{from}");
    }
    assert_eq!(show(&mut next, &COVERED, (4_100.0, 4_106.0)), [Member::Covered]);
}

/// The new view is learnt after 20 s, however patient a judge is.
#[test]
fn a_camera_that_moved_is_found_by_a_patient_judge_too() {
    let causes = CameraHealthSettings::new(&[Member::Moved], 10.0).unwrap();
    let mut judge = judge(&JudgeSettings::Camera(causes));
    show(&mut judge, &WELL, (0.0, 10.0));
    let shift = Some(PictureShift { x: 0.1, y: 0.0, correlation: 0.6, unshifted: 0.1 });
    let known = Some(EdgeLook { missing: 0.6, ..KNOWN });
    let moved = CameraLook { shift, known, ..WELL };
    assert_eq!(show(&mut judge, &moved, (10.0, 27.0)), []);
    assert_eq!(show(&mut judge, &moved, (27.0, 29.0)), [Member::Moved]);
}

#[test]
fn what_is_usual_is_learnt_anew_where_masks_hide_another_part() {
    // What is left of the picture has little detail.
    let masked = CameraLook { sharpness: 0.03, edges: 0.02, hidden: 0.6, ..WELL };
    let mut judge = judge(&all());
    show(&mut judge, &WELL, (0.0, 30.0));
    assert_eq!(show(&mut judge, &masked, (30.0, 70.0)), []);
    let mut other = self::judge(&all());
    other.restore(&judge.save().unwrap(), moment(70.0)).unwrap();
    assert_eq!(show(&mut other, &masked, (70.0, 80.0)), []);
    let blurred = CameraLook { sharpness: 0.005, ..masked };
    assert_eq!(show(&mut other, &blurred, (80.0, 91.0)), [Member::Blurred]);
    let state = StateKind::Camera;
    let former: (Option<Vec<u8>>, CameraCauses) = state::open(state, &judge.save().unwrap()).unwrap();
    self::judge(&all()).restore(&state::seal(state, &former), moment(91.0)).unwrap();
}

#[test]
fn a_restart_changes_nothing_and_what_watched_arrivals_alone_is_taken_up() {
    let mut one = judge(&all());
    show(&mut one, &WELL, (0.0, 30.0));
    let blurred = CameraLook { sharpness: 0.03, ..WELL };
    show(&mut one, &blurred, (30.0, 36.0));
    let mut other = judge(&all());
    other.restore(&one.save().unwrap(), moment(36.0)).unwrap();
    assert_eq!(other.save(), one.save());
    assert_eq!(show(&mut other, &blurred, (36.0, 41.0)), [Member::Blurred]);
    // An open event is not over before the camera is seen to be well, whatever is known of its pixels.
    let unknown = CameraLook { known: None, ..blurred };
    assert_eq!(show(&mut other, &unknown, (41.0, 60.0)), [Member::Blurred]);

    let arrivals = JudgeSettings::Health(HealthSettings::new(&[Member::Silent], 1.0).unwrap());
    let mut former = judge(&arrivals);
    let arrive = |judge: &mut ReadingJudge, at: f64| {
        judge.observe(Observable::Arrival(Captured::UNKNOWN), moment(at), &mut Vec::new());
    };
    (0..200).for_each(|frame| arrive(&mut former, f64::from(frame)));
    let mut later = judge(&all());
    later.restore(&former.save().unwrap(), moment(200.0)).unwrap();
    let mut findings = Vec::new();
    later.tick(moment(400.0), &mut findings);
    assert_eq!(abnormal(&findings), [Member::Silent]);
    for damaged in [&b"heard"[..], &[1, 14, 0, 0, 0, 0, 9]] {
        assert!(later.restore(damaged, moment(0.0)).is_err());
    }
}

/// While the gateway did not run somebody turned the camera, or hung a cloth over it. The pixels that were usual are lost, so
/// that the first look knows of no edges, and those behind it know the new ones.
#[test]
fn what_happened_to_a_camera_while_the_gateway_was_down_is_found_after_it() {
    let turned = EdgeParts(std::array::from_fn(|at| (at * 53 % 89) as u8));
    let cloth = EdgeParts([4; EDGE_PARTS.0 * EDGE_PARTS.1]);
    let after = |parts: EdgeParts, (edges, mean): (f32, f32), to: f64| {
        let mut before = judge(&all());
        assert_eq!(show(&mut before, &WELL, (0.0, 90.0)), []);
        let mut judge = judge(&all());
        judge.restore(&before.save().unwrap(), moment(3600.0)).unwrap();
        let look = CameraLook { parts, edges, mean, ..WELL };
        show(&mut judge, &CameraLook { known: None, ..look }, (3600.0, 3604.0));
        (show(&mut judge, &look, (3604.0, 3600.0 + to)), judge)
    };
    assert_eq!(after(turned, (0.11, 120.0), 7.0).0, []);
    let (found, mut turned_judge) = after(turned, (0.11, 120.0), 12.0);
    assert_eq!(found, [Member::Moved]);
    // The new view is the usual one from now on, also after another restart.
    let look = CameraLook { parts: turned, edges: 0.11, mean: 120.0, ..WELL };
    assert_eq!(show(&mut turned_judge, &look, (3612.0, 3700.0)), []);
    let mut later = judge(&all());
    later.restore(&turned_judge.save().unwrap(), moment(3700.0)).unwrap();
    assert_eq!(show(&mut later, &look, (3700.0, 3730.0)), []);

    let (found, mut covered) = after(cloth, (0.01, 60.0), 6.0);
    assert_eq!(found, [Member::Covered]);
    let look = CameraLook { parts: cloth, edges: 0.01, mean: 60.0, ..WELL };
    assert_eq!(show(&mut covered, &look, (3606.0, 5000.0)), [Member::Covered], "until it is taken off");
    assert_eq!(show(&mut covered, &WELL, (5000.0, 5010.0)), []);

    // Nothing happened; and by night nothing can be said.
    assert_eq!(after(STREET, (0.12, 115.0), 30.0).0, []);
    assert_eq!(after(turned, (0.11, 30.0), 30.0).0, []);
}
