//! What frames say of their camera: whether it is blind, and what moves before it.

use verge_domain::frame::{CameraLook, GivenUp, Shortfall};
use verge_domain::motion::Blob;
use verge_scene::BlobUse;

use super::*;
use crate::camera::tests::WELL;

#[test]
fn what_a_blind_camera_did_not_see_is_unknown_and_not_zero() {
    let mut judge = judge();
    let mut findings = watch(&mut judge, 0, 30_000, driving);
    for ms in (30_000..186_000).step_by(100) {
        judge.observe_blind(Captured::UNKNOWN, at(ms), &mut findings);
    }
    findings.extend(watch(&mut judge, 186_000, 246_000, driving));
    let found = intervals(&findings);
    let [part, blind, third, last] = found.as_slice() else { panic!("{found:?}") };
    assert_eq!(
        (part.observed_ms, crossed(part), &part.partial[..]),
        (29_900, Some((3, 0)), &[PartialReason::Health][..])
    );
    for unknown in [blind, third] {
        assert_eq!((unknown.observed_ms, unknown.judged, unknown.skipped), (0, 0, 600));
        assert_eq!((crossed(unknown), unknown.zones[1].entered), (None, None));
        assert_eq!(unknown.partial, [PartialReason::Health]);
    }
    assert_eq!((last.from.0 - BEGIN, crossed(last)), (180_000, Some((5, 0))), "the car at 183 s is not seen");
    let measured = |from: i64| {
        let end = UtcMillis(BEGIN + from + 60_000);
        let of = |finding: &&Finding| matches!(finding, Finding::Measure(measure) if measure.at == end);
        findings.iter().filter(of).count()
    };
    assert!(measured(0) > 0 && measured(60_000) == 0, "what is unknown is no measure");
}

/// A camera is found dark after five seconds of it, and was blind all the while.
#[test]
fn the_time_before_a_camera_is_known_to_be_blind_is_not_observed() {
    let dark = CameraLook { mean: 3.0, low: 1.0, high: 4.0, known: None, ..WELL };
    let run = |restarts: bool| {
        let (mut judge, mut findings) = (judge(), Vec::new());
        for ms in (0..66_000).step_by(100) {
            let is_dark = (20_000..40_000).contains(&ms);
            judge.look(if is_dark { &dark } else { &WELL }, at(ms));
            let shown = if is_dark { view(Vec::new()) } else { driving(ms) };
            judge.observe(&shown, Captured::UNKNOWN, at(ms), &mut findings);
            if restarts && ms == 30_000 {
                let saved = judge.save();
                judge = self::judge();
                judge.restore(&saved).unwrap();
            }
        }
        let found = intervals(&findings);
        let [only] = found.as_slice() else { panic!("{found:?}") };
        assert!(only.partial.contains(&PartialReason::Health), "{:?}", only.partial);
        (only.observed_ms, crossed(only))
    };
    // It is over three seconds later.
    let (observed, crossings) = run(false);
    assert!((36_500..=37_500).contains(&observed), "{observed}");
    assert_eq!(crossings, Some((4, 0)));
    assert_eq!(run(true), (observed, crossings));
}

/// A model that knows cars sees none of what passes but for some.
#[test]
fn what_moves_and_is_not_tracked_is_raised_within_what_the_model_sees() {
    let passing = |settings: &TrackSettings, is_seen: &dyn Fn(i64) -> bool| {
        let (mut judge, mut findings) = (TrackJudge::new(settings), Vec::new());
        for ms in (0..120_000).step_by(100) {
            let top = (ms % 10_000) as f32 / 10_000.0;
            let mut look = WELL;
            if top < 0.8 {
                look.motion.blobs.add(Blob { left: 0.45, top, right: 0.55, bottom: top + 0.1, area: 0.008 });
            }
            judge.look(&look, at(ms));
            let objects = if top < 0.8 && is_seen(ms) {
                vec![object("car", 470, (top * 1000.0) as u32 + 30)]
            } else {
                Vec::new()
            };
            judge.observe(&view(objects), Captured::UNKNOWN, at(ms), &mut findings);
            if ms == 60_000 {
                let saved = judge.save();
                judge = TrackJudge::new(settings);
                judge.restore(&saved).unwrap();
            }
        }
        let observed = |finding: &Finding| match finding {
            Finding::Condition(found) if found.member == Member::UnexplainedMotion => {
                assert_eq!(found.standing == Standing::Abnormal, found.observed >= 3.0);
                Some(found.observed)
            }
            _ => None,
        };
        findings.iter().filter_map(observed).next_back().unwrap()
    };
    assert_eq!(passing(&settings(), &|_| false), 12.0);
    assert_eq!(passing(&settings(), &|_| true), 0.0);
    assert_eq!(passing(&settings(), &|ms| ms / 10_000 % 3 == 0), 8.0);
    assert_eq!(
        passing(&settings().within([0.0, 0.0, 0.4, 1.0]), &|_| false),
        0.0,
        "the model sees nothing there"
    );
}

/// A gate may be shut for blobs that still count.
#[test]
fn blobs_of_frames_that_the_model_is_spared_count() {
    let scene = scene("north").with_blobs(BlobUse::Count, None);
    let settings = TrackSettings::new(&JudgeId::new("junction").unwrap(), scene).unwrap();
    let (mut judge, mut findings) = (TrackJudge::new(&settings), Vec::new());
    for ms in (0..66_000).step_by(100) {
        let top = (ms % 10_000) as f32 / 10_000.0;
        let mut look = WELL;
        look.motion.blobs.add(Blob { left: 0.48, top, right: 0.54, bottom: top + 0.08, area: 0.0045 });
        judge.look(&look, at(ms));
        judge.observe(&View::Still, Captured::UNKNOWN, at(ms), &mut findings);
    }
    let found = intervals(&findings);
    let [only] = found.as_slice() else { panic!("{found:?}") };
    assert_eq!((crossed(only), only.judged), (Some((6, 0)), 0));
}

/// An encoder that hangs gives one frame again and again, with its time.
#[test]
fn a_picture_that_stands_still_with_its_time_is_not_observed() {
    let mut judge = judge();
    let mut findings = Vec::new();
    for ms in (0..126_000).step_by(100) {
        let shown = ms.min(20_000);
        let look = CameraLook { equal: Some(if ms > shown { 1.0 } else { 0.1 }), ..WELL };
        judge.look(&look, at(ms));
        judge.observe(&driving(shown), claimed(shown), at(ms), &mut findings);
    }
    let found = intervals(&findings);
    let [part, blind] = found.as_slice() else { panic!("{found:?}") };
    assert_eq!((part.observed_ms, crossed(part)), (20_000, Some((2, 0))));
    assert!(part.partial.contains(&PartialReason::Health), "{:?}", part.partial);
    assert_eq!((blind.observed_ms, crossed(blind)), (0, None));
}

/// What was superseded came and was not judged; what was given up beyond that makes counts lower bounds.
#[test]
fn what_is_given_up_under_overload_stands_in_the_interval() {
    let counted = |given_up: GivenUp| {
        let (mut judge, mut findings) = (judge(), Vec::new());
        for ms in (0..66_000).step_by(250) {
            let given_up = if ms == 30_000 { given_up } else { GivenUp::Rate };
            judge.look(&CameraLook { shortfall: Shortfall { given_up, passed_over: 2 }, ..WELL }, at(ms));
            judge.observe(&driving(ms), Captured::UNKNOWN, at(ms), &mut findings);
        }
        let found = intervals(&findings);
        let [only] = found.as_slice() else { panic!("{found:?}") };
        (only.judged, only.skipped, only.partial.clone())
    };
    assert_eq!(counted(GivenUp::Rate), (240, 480, Vec::new()));
    assert_eq!(counted(GivenUp::Models), (240, 480, vec![PartialReason::Overload]));
}
