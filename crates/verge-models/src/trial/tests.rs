use super::*;
use crate::gate::share::wilson;

const CONFIRMED: Duration = Duration::from_secs(600);

fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

fn trial(phase: TrialPhase, is_automatic: bool) -> Trial {
    Trial::new(phase, TrialRules { is_automatic, ..TrialRules::default() }, None)
}

/// This many runs, each for the verdict of a frame.
fn runs(trial: &mut Trial, side: TrialSide, count: u32, run: TrialRun) {
    (0..count).for_each(|_| {
        trial.note(side, LookKind::First, run);
        if side == TrialSide::Candidate {
            trial.judged();
        }
    });
}

/// This many frames, of which `same` are the same.
fn compared(trial: &mut Trial, same: u32, of: u32) {
    // Evenly, so that a look in between sees the same share.
    (0..of).for_each(|at| {
        let is_same = (at + 1) * same / of > at * same / of;
        trial.compare([Agreed::of_answers([is_same])]);
    });
}

#[test]
fn a_candidate_that_agrees_goes_on_by_itself_only_where_that_is_asked_for() {
    for (phase, next) in
        [(TrialPhase::Shadow, TrialNext::ToCanary), (TrialPhase::Canary, TrialNext::ToActive)]
    {
        let (mut alone, mut asked) = (trial(phase, true), trial(phase, false));
        for one in [&mut alone, &mut asked] {
            compared(one, 199, 199);
            assert_eq!(one.next(ms(0)), TrialNext::Stay, "the first look is at 200");
            compared(one, 1, 1);
        }
        assert_eq!(alone.next(ms(0)), next);
        assert_eq!(asked.next(ms(0)), TrialNext::Stay);
        let figures = asked.agreement();
        assert_eq!(
            (figures.frames, figures.share, figures.high, figures.passed),
            (200, 100.0, 100.0, Some(true))
        );
        assert!(figures.low > 97.0 && figures.low < 100.0, "{figures:?}");
    }
}

#[test]
fn a_candidate_that_disagrees_is_returned_from_only_where_the_gate_decides() {
    let mut alone = trial(TrialPhase::Shadow, true);
    compared(&mut alone, 100, 200);
    let TrialNext::Return(cause @ ReturnCause::Disagrees(figures)) = alone.next(ms(0)) else {
        panic!("{:?}", alone.next(ms(0)))
    };
    assert_eq!((figures.frames, figures.share), (200, 50.0));
    assert!(cause.words().contains("50.0 % agree"), "{}", cause.words());
    let mut asked = trial(TrialPhase::Shadow, false);
    compared(&mut asked, 100, 200);
    assert_eq!(asked.next(ms(0)), TrialNext::Stay);
    assert_eq!(asked.agreement().passed, Some(false));
    // What is open at one look is decided at a later one.
    let mut open = trial(TrialPhase::Canary, true);
    compared(&mut open, 186, 200);
    assert_eq!((open.next(ms(0)), open.agreement().passed), (TrialNext::Stay, None));
    compared(&mut open, 299, 300);
    assert_eq!(open.next(ms(0)), TrialNext::ToActive);
}

#[test]
fn frames_on_which_neither_sees_anything_prove_nothing() {
    let mut empty = trial(TrialPhase::Shadow, true);
    (0..2_000).for_each(|_| empty.compare([Agreed::default()]));
    assert_eq!((empty.next(ms(0)), empty.agreement().frames), (TrialNext::Stay, 0));
    // The active version sees an object, the candidate none.
    (0..200).for_each(|_| empty.compare([Agreed { same: 0.0, of: 0.5 }]));
    assert!(matches!(empty.next(ms(0)), TrialNext::Return(ReturnCause::Disagrees(_))));
}

#[test]
fn faults_return_at_once_in_every_phase_whoever_decides() {
    for phase in [TrialPhase::Shadow, TrialPhase::Canary, TrialPhase::Unconfirmed] {
        for is_automatic in [false, true] {
            let new = || trial(phase, is_automatic);
            let mut one = new();
            one.note(TrialSide::Candidate, LookKind::First, TrialRun::NotFinite);
            assert_eq!(one.next(ms(0)), TrialNext::Return(ReturnCause::NotFinite));
            let mut one = new();
            one.cannot_load("no graph".to_owned());
            one.note(TrialSide::Candidate, LookKind::First, TrialRun::NotFinite);
            let expected = ReturnCause::CannotLoad("no graph".to_owned());
            assert_eq!(one.next(CONFIRMED), TrialNext::Return(expected), "the first cause stands");
            let mut one = new();
            runs(&mut one, TrialSide::Candidate, 2, TrialRun::Failed);
            assert_eq!(one.next(ms(0)), TrialNext::Stay);
            runs(&mut one, TrialSide::Candidate, 1, TrialRun::Failed);
            assert_eq!(one.next(ms(0)), TrialNext::Return(ReturnCause::Failed(3)));
            // The active version's own faults are not the candidate's.
            let mut one = new();
            runs(&mut one, TrialSide::Active, 9, TrialRun::Failed);
            runs(&mut one, TrialSide::Active, 9, TrialRun::NotFinite);
            assert_eq!(one.next(ms(0)), TrialNext::Stay);
        }
    }
}

#[test]
fn a_slow_candidate_is_returned_from_once_both_were_measured() {
    let slow = |active, candidate| {
        let mut one = trial(TrialPhase::Shadow, false);
        runs(&mut one, TrialSide::Active, 50, TrialRun::Answered(active));
        runs(&mut one, TrialSide::Candidate, 49, TrialRun::Answered(candidate));
        assert_eq!(one.next(ms(0)), TrialNext::Stay, "too few runs");
        runs(&mut one, TrialSide::Candidate, 1, TrialRun::Answered(candidate));
        one.next(ms(0))
    };
    assert_eq!(slow(ms(10), ms(13)), TrialNext::Stay);
    let (p95, limit) = (ms(14), ms(13));
    assert_eq!(slow(ms(10), ms(14)), TrialNext::Return(ReturnCause::Slow { p95, limit }));
    // Three times as slow, and within what the machine's unrest is.
    assert_eq!(slow(Duration::from_micros(200), Duration::from_micros(600)), TrialNext::Stay);
    // A machine that does something else now and then.
    let mut unrest = trial(TrialPhase::Shadow, false);
    runs(&mut unrest, TrialSide::Active, 100, TrialRun::Answered(ms(10)));
    runs(&mut unrest, TrialSide::Candidate, 90, TrialRun::Answered(ms(10)));
    runs(&mut unrest, TrialSide::Candidate, 10, TrialRun::Answered(ms(40)));
    assert_eq!(unrest.next(ms(0)), TrialNext::Stay);
    // A version in use is held against what the one before took; deadlines of that time are past.
    let mut before = trial(TrialPhase::Canary, false);
    runs(&mut before, TrialSide::Active, 10, TrialRun::Overrun(ms(10)));
    runs(&mut before, TrialSide::Active, 40, TrialRun::Answered(ms(10)));
    let mut active = Trial::new(TrialPhase::Unconfirmed, TrialRules::default(), Some(before.usual()));
    runs(&mut active, TrialSide::Candidate, 3, TrialRun::Overrun(ms(1)));
    assert_eq!(active.next(ms(0)), TrialNext::Return(ReturnCause::Overruns(0.06)));
    let mut active = Trial::new(TrialPhase::Unconfirmed, TrialRules::default(), Some(before.usual()));
    runs(&mut active, TrialSide::Candidate, 50, TrialRun::Answered(ms(20)));
    assert!(matches!(active.next(ms(0)), TrialNext::Return(ReturnCause::Slow { .. })));
}

/// Runs of one side in looks of one kind, all of which took this long.
fn looks(trial: &mut Trial, side: TrialSide, kind: LookKind, took: Duration) {
    (0..100).for_each(|_| trial.note(side, kind, TrialRun::Answered(took)));
}

#[test]
fn looks_of_one_kind_are_compared_with_their_like() {
    use LookKind::{Again, First, Parts};
    use TrialSide::{Active, Candidate};
    // Idle workers look once more with the active version, which takes longer for them than for verdicts; and the other way.
    for (usual, idle, own) in [(10, 40, 30), (40, 10, 30)] {
        let mut canary = trial(TrialPhase::Canary, false);
        looks(&mut canary, Active, First, ms(usual));
        looks(&mut canary, Active, Again, ms(idle));
        looks(&mut canary, Candidate, First, ms(own));
        let (p95, limit) = (ms(own), ms(13));
        let expected =
            if own > usual { TrialNext::Return(ReturnCause::Slow { p95, limit }) } else { TrialNext::Stay };
        assert_eq!(canary.next(ms(0)), expected, "{usual} {idle}");
        assert_eq!(canary.p95(), [Some(ms(usual)), Some(ms(own))]);
    }
    // A shadow is held against what the active version takes for verdicts, and crops against crops.
    let mut shadow = trial(TrialPhase::Shadow, false);
    looks(&mut shadow, Active, First, ms(10));
    looks(&mut shadow, Active, Parts, ms(1));
    looks(&mut shadow, Candidate, Again, ms(12));
    assert_eq!((shadow.next(ms(0)), shadow.p95()), (TrialNext::Stay, [Some(ms(10)), Some(ms(12))]));
    looks(&mut shadow, Candidate, Parts, ms(12));
    assert!(matches!(shadow.next(ms(0)), TrialNext::Return(ReturnCause::Slow { .. })));
    // A canary of all cameras: there is nothing else to hold it against.
    let mut all = trial(TrialPhase::Canary, false);
    looks(&mut all, Active, Again, ms(10));
    looks(&mut all, Candidate, First, ms(20));
    assert!(matches!(all.next(ms(0)), TrialNext::Return(ReturnCause::Slow { .. })));
    // Idle looks with a long deadline say nothing of how often frames wait too long.
    let mut late = trial(TrialPhase::Canary, false);
    looks(&mut late, Active, Again, ms(10));
    runs(&mut late, Active, 80, TrialRun::Answered(ms(10)));
    runs(&mut late, Active, 20, TrialRun::Overrun(ms(10)));
    runs(&mut late, Candidate, 75, TrialRun::Answered(ms(10)));
    runs(&mut late, Candidate, 25, TrialRun::Overrun(ms(10)));
    assert_eq!((late.next(ms(0)), late.failures()), (TrialNext::Stay, (0, 25)));
}

#[test]
fn a_frame_is_one_look_however_many_judges_and_boxes_it_has() {
    let mut one = trial(TrialPhase::Shadow, true);
    let [same, other] = [1.0, 0.0].map(|same| Agreed { same, of: 1.0 });
    // Ten judges see the same picture: 20 such pictures are no 200 looks.
    (0..20).for_each(|_| one.compare([same; 10]));
    assert_eq!((one.next(ms(0)), one.agreement().frames), (TrialNext::Stay, 20));
    let many = Agreed { same: 40.0, of: 40.0 };
    (0..179).for_each(|_| one.compare([many, Agreed::default()]));
    assert_eq!((one.next(ms(0)), one.agreement().frames), (TrialNext::Stay, 199));
    one.compare([same, other]);
    let figures = one.agreement();
    assert_eq!((one.next(ms(0)), figures.frames, figures.share), (TrialNext::ToCanary, 200, 99.75));
    // Bounds are those of 200 answers, not of thousands of boxes.
    assert_eq!((figures.low * 10.0).round(), (wilson(199, 200, 0.05 / 3.0).0 * 1e3).round());
    one.compare([]);
    assert_eq!(one.agreement().frames, 200, "nothing was compared");
}

#[test]
fn deadlines_that_end_runs_count_against_a_candidate_unless_they_end_the_active_versions_too() {
    let overrun = |own: u32, usual: u32| {
        let mut one = trial(TrialPhase::Canary, false);
        runs(&mut one, TrialSide::Active, 100 - usual, TrialRun::Answered(ms(50)));
        runs(&mut one, TrialSide::Active, usual, TrialRun::Overrun(ms(50)));
        runs(&mut one, TrialSide::Candidate, 100 - own, TrialRun::Answered(ms(50)));
        runs(&mut one, TrialSide::Candidate, own, TrialRun::Overrun(ms(50)));
        one.next(ms(0))
    };
    assert_eq!(overrun(5, 0), TrialNext::Stay);
    assert_eq!(overrun(20, 0), TrialNext::Return(ReturnCause::Overruns(0.2)));
    // Chance alone may have made so much of a difference.
    assert_eq!(overrun(12, 5), TrialNext::Stay);
    assert_eq!(overrun(30, 20), TrialNext::Stay);
    // A canary of all cameras leaves the active version nothing but the frames for which it was too late.
    let mut alone = trial(TrialPhase::Canary, false);
    runs(&mut alone, TrialSide::Candidate, 40, TrialRun::Overrun(ms(50)));
    assert_eq!(alone.next(ms(0)), TrialNext::Stay);
    runs(&mut alone, TrialSide::Active, 40, TrialRun::Answered(ms(50)));
    assert_eq!(alone.next(ms(0)), TrialNext::Return(ReturnCause::Overruns(0.8)));
    // Three of the first are too many beside fifty that were in time, and each costs a frame its time.
    let mut early = trial(TrialPhase::Canary, false);
    runs(&mut early, TrialSide::Active, 50, TrialRun::Answered(ms(50)));
    runs(&mut early, TrialSide::Candidate, 2, TrialRun::Overrun(ms(50)));
    assert_eq!(early.next(ms(0)), TrialNext::Stay);
    runs(&mut early, TrialSide::Candidate, 1, TrialRun::Overrun(ms(50)));
    assert_eq!(early.next(ms(0)), TrialNext::Return(ReturnCause::Overruns(0.06)));
    // Frames come late to both just after a start; runs of before say nothing of that, however many there were.
    for carried in [0, 1_000] {
        let mut before = trial(TrialPhase::Shadow, false);
        runs(&mut before, TrialSide::Active, carried, TrialRun::Answered(ms(50)));
        let mut late = Trial::new(TrialPhase::Canary, TrialRules::default(), Some(before.usual()));
        runs(&mut late, TrialSide::Candidate, 3, TrialRun::Overrun(ms(50)));
        assert_eq!(late.next(ms(0)), TrialNext::Stay, "the active version has not looked yet");
        runs(&mut late, TrialSide::Active, 20, TrialRun::Answered(ms(50)));
        runs(&mut late, TrialSide::Active, 10, TrialRun::Overrun(ms(50)));
        assert_eq!(late.next(ms(0)), TrialNext::Stay, "of 30 it was late with 10");
    }
}

#[test]
fn time_and_frames_confirm_once() {
    let mut one = trial(TrialPhase::Unconfirmed, true);
    runs(&mut one, TrialSide::Candidate, 199, TrialRun::Answered(ms(1)));
    assert_eq!(one.next(CONFIRMED), TrialNext::Stay, "too few frames");
    runs(&mut one, TrialSide::Candidate, 1, TrialRun::Answered(ms(1)));
    assert_eq!(one.next(CONFIRMED - ms(1)), TrialNext::Stay, "too soon");
    assert_eq!((one.next(CONFIRMED), one.frames()), (TrialNext::Confirm, 200));
    one.confirmed();
    assert_eq!(one.next(CONFIRMED), TrialNext::Stay);
    // Also after it was confirmed it is returned from.
    one.note(TrialSide::Candidate, LookKind::First, TrialRun::NotFinite);
    assert_eq!(one.next(CONFIRMED), TrialNext::Return(ReturnCause::NotFinite));
}

#[test]
fn a_canary_has_its_share_of_cameras_and_each_candidate_others() {
    let cameras: Vec<String> = (0..2_000).map(|at| format!("camera-{at}")).collect();
    let of =
        |candidate: &str, share| cameras.iter().filter(|camera| chosen(camera, candidate, share)).count();
    assert_eq!((of("1-a", 0), of("1-a", 100)), (0, 2_000));
    assert!((300..500).contains(&of("1-a", 20)), "{}", of("1-a", 20));
    let both = cameras.iter().filter(|camera| chosen(camera, "1-a", 20) && chosen(camera, "2-b", 20)).count();
    assert!((40..130).contains(&both), "{both}");
    // Whoever is in a small share is in a larger one.
    assert!(cameras.iter().all(|camera| !chosen(camera, "1-a", 20) || chosen(camera, "1-a", 40)));
    // As `printf 'north\0%s' 1-0123456789ab | sha256sum` says: its first 8 digits are 1591654102.
    let at = |share| chosen("north", "1-0123456789ab", share);
    assert_eq!((at(2), at(3)), (false, true));
}

#[test]
fn memory_is_that_of_the_weights_and_of_each_worker() {
    assert_eq!(memory_needed(10_000_000, None, 4), 13_000_000);
    assert_eq!(memory_needed(10_000_000, Some(14_000_000), 2), 21_000_000);
    assert_eq!(memory_needed(10_000_000, Some(9_000_000), 2), 13_000_000);
    assert_eq!(memory_needed(u64::MAX, Some(u64::MAX), 2), u64::MAX);
}
