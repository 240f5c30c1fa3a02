//! Which camera's frame is judged next, and which frames are superseded.

use bytes::Bytes;
use verge_domain::frame::{GivenUp, ImageFormat, Orientation};
use verge_domain::id::DeviceId;
use verge_domain::time::{DeviceClock, UtcMillis};

use super::super::spec::LEAST_AT_LINES;
use super::*;

const SECOND: Duration = Duration::from_secs(1);
const NEWEST: FrameSourceSpec =
    FrameSourceSpec { keep: Keep::Newest { deadline: Duration::from_secs(2) }, urgency: SECOND, least: None };
const EVERY: FrameSourceSpec = FrameSourceSpec { keep: Keep::Every, urgency: SECOND, least: None };

fn frame(device: &str, bytes: usize) -> EncodedFrame {
    EncodedFrame {
        device: DeviceId::new(device).unwrap(),
        format: ImageFormat::Jpeg,
        bytes: Bytes::from(vec![0; bytes]),
        width: 1,
        height: 1,
        orientation: Orientation::Upright,
        captured_at: None,
        clock: DeviceClock::Absent,
    }
}

fn at(millis: i64) -> Moment {
    Moment::from_wall(UtcMillis(millis))
}

fn offer(
    schedule: &mut Schedule<u32>,
    source: u16,
    frame: EncodedFrame,
    millis: i64,
) -> Result<Vec<SourceIndex>, Reason> {
    let camera = Camera { source: SourceIndex(source), device: frame.device.clone() };
    let origin = Origin { cause: 0, receipt: None };
    let viewers = || CameraViewers { judges: Arc::from([JudgeIndex(0)]), has_lines: false };
    schedule.offer(&camera, frame, at(millis), origin, viewers)
}

/// A schedule and its clock in milliseconds.
struct TimedSchedule(Schedule<u32>);

impl TimedSchedule {
    fn new(sources: &[FrameSourceSpec]) -> Self {
        Self(Schedule::new(sources.iter().copied().map(Some).collect()))
    }

    fn offer(&mut self, source: u16, device: &str, bytes: usize, millis: i64) -> usize {
        offer(&mut self.0, source, frame(device, bytes), millis).unwrap().len()
    }

    fn take(&mut self, millis: i64) -> (Option<Job<u32>>, usize) {
        let mut late = Late::new();
        (self.0.take(at(millis).mono, &mut late), late.len())
    }
}

#[test]
fn the_newest_frame_of_a_camera_waits() {
    let mut bench = TimedSchedule::new(&[NEWEST]);
    assert_eq!(bench.offer(0, "a", 1, 0), 0);
    assert_eq!(bench.offer(0, "a", 2, 10), 1);
    assert_eq!(bench.offer(0, "b", 1, 20), 0);
    let (job, late) = bench.take(30);
    let job = job.unwrap();
    assert_eq!((job.frame.device.as_str(), job.frame.bytes.len(), late), ("a", 2, 0));
    // One worker at a time per camera.
    assert_eq!(bench.offer(0, "a", 3, 40), 0);
    assert_eq!(bench.take(50).0.unwrap().frame.device.as_str(), "b");
    assert!(bench.take(50).0.is_none());
    bench.0.give_back(job);
    assert_eq!(bench.take(60).0.unwrap().frame.bytes.len(), 3);
    assert_eq!((bench.0.bytes, bench.0.waiting()), (0, 0));
}

#[test]
fn what_is_too_old_is_not_judged() {
    let mut bench = TimedSchedule::new(&[NEWEST]);
    bench.offer(0, "a", 1, 0);
    bench.offer(0, "b", 1, 1500);
    let (job, late) = bench.take(2001);
    assert_eq!((job.unwrap().frame.device.as_str(), late), ("b", 1));
}

#[test]
fn every_frame_of_such_a_source_is_judged_in_order() {
    let mut bench = TimedSchedule::new(&[EVERY, NEWEST]);
    for number in 0..EVERY_CAPACITY {
        assert!(!bench.0.is_full(SourceIndex(0)));
        assert_eq!(bench.offer(0, "a", number + 1, 0), 0);
    }
    assert!(bench.0.is_full(SourceIndex(0)) && !bench.0.is_full(SourceIndex(1)));
    for number in 0..EVERY_CAPACITY {
        let (job, late) = bench.take(1_000_000);
        let job = job.unwrap();
        assert_eq!((job.frame.bytes.len(), late), (number + 1, 0));
        bench.0.give_back(job);
    }
    assert!(!bench.0.is_full(SourceIndex(0)));
}

/// Cameras that send every `period` ms against one worker that needs `work` ms: frames judged, by camera.
fn shares(bench: &mut TimedSchedule, cameras: &[(u16, i64)], work: i64, until: i64) -> Vec<u32> {
    let mut judged = vec![0; cameras.len()];
    let mut in_hand: Option<(Job<u32>, i64)> = None;
    for now in 0..until {
        for (index, (source, period)) in cameras.iter().enumerate() {
            // Each with a phase of its own.
            if (now + 7 * index as i64) % period == 0 {
                bench.offer(*source, &index.to_string(), 1, now);
            }
        }
        if let Some((job, _)) = in_hand.take_if(|(_, end)| *end <= now) {
            judged[job.frame.device.as_str().parse::<usize>().unwrap()] += 1;
            assert!(at(now).mono.since(job.received.mono) <= Duration::from_millis(500));
            bench.0.give_back(job);
        }
        if in_hand.is_none() {
            in_hand = bench.take(now).0.map(|job| (job, now + work));
        }
    }
    judged
}

#[test]
fn cameras_get_equal_shares_whatever_they_send() {
    // 30 cameras at 10 frames/s against a model that manages 5: one frame each in 6 s.
    let judged = shares(&mut TimedSchedule::new(&[NEWEST]), &[(0, 100); 30], 200, 60_000);
    assert!(judged.iter().all(|count| (9..=11).contains(count)), "{judged:?}");
    // One that sends fifty times as often gets no more.
    let mut cameras = vec![(0, 100); 10];
    cameras[3] = (0, 2);
    let judged = shares(&mut TimedSchedule::new(&[NEWEST]), &cameras, 200, 60_000);
    assert!(judged.iter().all(|count| (29..=31).contains(count)), "{judged:?}");
}

#[test]
fn urgent_cameras_get_more_and_rare_ones_are_not_starved() {
    let urgent = FrameSourceSpec { urgency: SECOND / 4, ..NEWEST };
    let cameras = [(0, 50), (0, 50), (1, 50), (1, 50), (0, 5000)];
    let judged = shares(&mut TimedSchedule::new(&[NEWEST, urgent]), &cameras, 200, 60_000);
    assert!(judged[2] > 2 * judged[0] && judged[3] > 2 * judged[1], "{judged:?}");
    assert!(judged[0] > 20 && judged[4] >= 11, "{judged:?}");
}

#[test]
fn frames_and_cameras_are_bounded() {
    let mut bench = TimedSchedule::new(&[NEWEST]);
    let half = MAX_WAITING_BYTES / 2;
    assert_eq!(bench.offer(0, "a", half, 0), 0);
    assert_eq!(bench.offer(0, "b", half, 1), 0);
    assert_eq!(bench.offer(0, "c", 1, 2), 1, "the oldest goes");
    assert_eq!(bench.take(3).0.unwrap().frame.device.as_str(), "b");

    // Newest frames fill what there is and leave a source that judges every frame its share, and
    // conversely.
    let mut bench = TimedSchedule::new(&[NEWEST, EVERY]);
    assert_eq!(bench.offer(0, "a", MAX_WAITING_BYTES, 0), 0);
    assert!(!bench.0.is_full(SourceIndex(1)) && !bench.0.is_crowded());
    assert_eq!(bench.offer(1, "part", EVERY_CROWDED_BYTES, 1), 1, "the newest goes");
    assert!(!bench.0.is_full(SourceIndex(1)) && bench.0.is_crowded());
    bench.offer(1, "part", EVERY_CAPACITY_BYTES - EVERY_CROWDED_BYTES, 2);
    assert!(bench.0.is_full(SourceIndex(1)) && !bench.0.is_full(SourceIndex(0)));
    assert_eq!(bench.offer(0, "a", half, 3), 0, "the other half");
    let first = bench.take(4).0.unwrap();
    bench.0.give_back(first);
    let second = bench.take(5).0.unwrap();
    bench.0.give_back(second);
    let third = bench.take(6).0.unwrap();
    bench.0.give_back(third);
    assert!(!bench.0.is_crowded());
    assert_eq!((bench.0.bytes, bench.0.every_bytes, bench.0.every_waiting), (0, 0, 0));

    let mut bench = TimedSchedule::new(&[NEWEST]);
    for number in 0..MAX_CAMERAS {
        bench.offer(0, &number.to_string(), 1, 0);
    }
    let new = |bench: &mut TimedSchedule, millis| offer(&mut bench.0, 0, frame("new", 1), millis);
    assert_eq!(new(&mut bench, 1), Err(Reason::TooManyCameras));
    // Not even after a day, while their frames wait.
    let day = 24 * 3_600_000;
    assert_eq!(new(&mut bench, day), Err(Reason::TooManyCameras));
    assert!(bench.take(day).0.is_none());
    assert_eq!(new(&mut bench, day), Ok(Vec::new()));
}

#[test]
fn a_camera_that_must_have_its_frames_goes_ahead_of_those_that_have_enough() {
    let counting = FrameSourceSpec { least: Some(4.0), ..NEWEST };
    let mut bench = TimedSchedule::new(&[counting, NEWEST]);
    let mut taken = [0; 2];
    let mut passed_over = 0;
    // One worker that looks at five frames a second, and two cameras that send twenty.
    for step in 0..200_i64 {
        let now = step * 50;
        bench.offer(0, "line", 1, now);
        bench.offer(1, "yard", 1, now);
        if step % 4 == 0 {
            let job = bench.take(now).0.unwrap();
            taken[usize::from(job.camera.source.0)] += 1;
            if job.camera.source.0 == 0 {
                passed_over += job.shortfall.passed_over;
                assert!(job.shortfall.given_up <= GivenUp::Rate, "{now}: {:?}", job.shortfall);
            }
            bench.0.give_back(job);
        }
    }
    // By shares alone each had 25.
    assert!(taken[0] >= 39 && taken[1] >= 10, "{taken:?}");
    assert!((150..=165).contains(&passed_over), "{passed_over}");
}

#[test]
fn what_falls_short_of_its_frames_says_so_with_each() {
    let counting = FrameSourceSpec { least: Some(3.0), ..NEWEST };
    let mut bench = TimedSchedule::new(&[counting]);
    let mut said = Vec::new();
    // Two frames a second of twenty.
    for step in 0..500_i64 {
        bench.offer(0, "line", 1, step * 50);
        if step % 10 == 0 {
            let job = bench.take(step * 50).0.unwrap();
            if said.last() != Some(&job.shortfall.given_up) {
                said.push(job.shortfall.given_up);
            }
            bench.0.give_back(job);
        }
    }
    assert_eq!(said, [GivenUp::Nothing, GivenUp::Gates, GivenUp::Models, GivenUp::Coverage]);
    assert_eq!(bench.0.overload().below, 1);
}

#[test]
fn a_camera_that_sends_its_frames_in_bursts_does_not_fall_short() {
    let counting = FrameSourceSpec { least: Some(3.0), ..NEWEST };
    let mut bench = TimedSchedule::new(&[counting]);
    for burst in 0..20_i64 {
        for frame in 0..15 {
            bench.offer(0, "line", 1, burst * 5_000 + frame * 3);
        }
        let job = bench.take(burst * 5_000 + 50).0.unwrap();
        assert!(job.shortfall.given_up <= GivenUp::Rate, "{burst}: {:?}", job.shortfall);
        bench.0.give_back(job);
    }
    assert_eq!(bench.0.overload().below, 0);
}

#[test]
fn frames_that_are_all_looked_at_are_not_passed_over_while_they_wait() {
    let mut bench = TimedSchedule::new(&[EVERY]);
    for millis in 0..40 {
        bench.offer(0, "part", 1, millis);
    }
    bench.offer(0, "part", 1, 6_000);
    assert_eq!(bench.0.overload().given_up, GivenUp::Nothing);
}

#[test]
fn where_lines_are_counted_three_frames_a_second_are_the_least() {
    assert_eq!(NEWEST.least_of(true), Some(LEAST_AT_LINES));
    assert_eq!((NEWEST.least_of(false), EVERY.least_of(true)), (None, None));
    assert_eq!(FrameSourceSpec { least: Some(0.0), ..NEWEST }.least_of(true), None);
}
