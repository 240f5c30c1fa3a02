//! What many points cost: the board that holds the last word about each, and an image of all of them as a server has it. One
//! test, because memory of other threads would be counted too.
#![expect(clippy::unwrap_used, reason = "a test may fail")]

use std::alloc::System;

use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};
use verge_domain::board::{Board, LastWord};
use verge_domain::finding::{Expected, Feedback, Member};
use verge_domain::id::{DeviceId, JudgeId, Seq, SignalId, SourceId, Unit};
use verge_domain::image::{Image, PointContent, PointSelector};
use verge_domain::sample::verdict_of;
use verge_domain::time::UtcMillis;
use verge_domain::verdict::{Anomaly, Body, EventState, Subject, Verdict};
use verge_pipeline::board::{LastWords, MAX_POINTS};

#[global_allocator]
static MEMORY: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

const POINTS: usize = 10_000;
const BUDGET: usize = 10_000_000;
/// Signals of a device.
const SIGNALS: usize = 10;

fn subject(point: usize, source: &SourceId) -> Subject {
    Subject {
        source: source.clone(),
        device: DeviceId::new(&format!("pump-{}", point / SIGNALS)).unwrap(),
        signal: SignalId::new(&format!("signal-{}", point % SIGNALS)).ok(),
    }
}

/// As a gateway makes it: the names of judge and source are those of the settings, shared by all.
fn raised(point: usize, (judge, source): (&JudgeId, &SourceId)) -> LastWord {
    let at = UtcMillis(1_796_000_000_000 + point as i64);
    let body = Body::Anomaly(Anomaly {
        member: Member::High,
        observed: 9.5,
        expected: Expected { low: None, high: Some(7.1) },
        p_value: None,
        unit: Unit::new("mm/s").ok(),
        contributions: Vec::new(),
        feedback: Feedback::default(),
        distance: None,
        value: None,
        usual: Expected::default(),
        value_unit: None,
        regions: verge_domain::verdict::Regions::default(),
    });
    let some = verdict_of("j", ("d", None), at, Some(EventState::Raised), body);
    let verdict = Verdict { judge: judge.clone(), subject: subject(point, source), ..some };
    LastWord::new(verdict, Some(Seq(point as u64 + 1)))
}

/// As a configuration names it: by names of its own.
fn selector(point: usize) -> PointSelector {
    let Subject { device, signal, .. } = subject(point, &SourceId::new("plant").unwrap());
    PointSelector {
        judge: JudgeId::new("vibration-high").unwrap(),
        device,
        signal,
        strand: Some(Member::High),
        content: PointContent::Events,
    }
}

fn held(region: &Region<'_, System>) -> usize {
    let change = region.change();
    change.bytes_allocated.saturating_sub(change.bytes_deallocated)
}

#[test]
fn ten_thousand_points_fit_and_more_than_there_is_room_for_are_refused_and_counted() {
    let (judge, source) = (JudgeId::new("vibration-high").unwrap(), SourceId::new("plant").unwrap());
    let raised = |point: usize| raised(point, (&judge, &source));
    let region = Region::new(MEMORY);
    let board = LastWords::default();
    (0..POINTS).for_each(|point| board.post(std::iter::once(raised(point))));
    let of_board = held(&region);
    let mut image = Image::of((0..POINTS).map(selector).collect::<Vec<_>>());
    board.words(&|_| true).iter().for_each(|word| image.fold(word));
    let with_image = held(&region);
    assert!((0..POINTS).all(|point| image.points()[point].open().is_some()), "each is shown");
    println!(
        "{POINTS} points: board {} B each, image {} B each, {:.1} MB together",
        of_board / POINTS,
        (with_image - of_board) / POINTS,
        with_image as f64 / 1e6
    );
    assert!(of_board > POINTS * 256, "the counter counts");
    assert!(with_image <= BUDGET, "{with_image} bytes");

    // All of them stand: none gives way, and none is lost without a word.
    (POINTS..=MAX_POINTS).for_each(|point| board.post(std::iter::once(raised(point))));
    let open = board.open_events();
    assert_eq!((MAX_POINTS, open.open, open.left_out), (65_536, 65_536, 1));
    assert_eq!(board.words(&|_| true).len(), MAX_POINTS);
    let full = held(&region);
    board.post(std::iter::once(raised(MAX_POINTS + 1)));
    assert_eq!(
        (board.open_events().left_out, held(&region) / 4096),
        (2, full / 4096),
        "nothing is kept of it"
    );
}
