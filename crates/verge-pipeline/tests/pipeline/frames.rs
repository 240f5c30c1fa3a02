//! From a camera's message to its verdict, with viewers that obey the test.

mod site;
mod viewer;

use std::collections::BTreeMap;
use std::pin::pin;
use std::sync::atomic::Ordering;
use std::task::{Context, Waker};
use std::time::{Duration, Instant};

use verge_domain::id::DeviceId;
use verge_domain::observation::Camera;
use verge_domain::reading::SourceIndex;
use verge_domain::rejection::Reason;
use verge_domain::stage::{IntakeFull, StoreError};
use verge_pipeline::frames::{EVERY_CAPACITY, Keep, WATCH_LEASE};

use crate::support::Memory;
use site::{ERA, NEWEST, Report, open, site, watched_site};

#[test]
fn the_newest_frame_is_judged_and_every_frame_is_accounted_for() {
    let mut site = site(NEWEST, 1, Report::Every);
    site.offer(0, "cam", "wait:60").unwrap();
    site.wait("the worker is busy", |site| site.workers.waiting().1 == 0);
    for _ in 0..4 {
        site.offer(0, "cam", "x").unwrap();
    }
    site.offer(0, "cam", "").unwrap();
    site.settle();
    assert_eq!(site.accounts(0), [6, 2, 3, 1]);
    assert_eq!(site.source(0).rejections().collect::<Vec<_>>(), [(Reason::BadJpeg, 1)]);
    // The camera's memory travelled with its frames.
    assert_eq!(site.end(), ["a cam 1", "a cam 2"]);
}

#[test]
fn pictures_are_shown_and_kept_while_somebody_watches_their_camera_and_no_longer() {
    let mut site = site(Keep::Every, 2, Report::Every);
    let shown = |site: &site::Site| site.shown.load(Ordering::Relaxed);
    let camera = |name: &str| Camera { source: SourceIndex(0), device: DeviceId::new(name).unwrap() };
    for _ in 0..5 {
        site.offer(0, "cam", "x").unwrap();
        site.settle();
    }
    assert_eq!((shown(&site), site.watch.kept()), (0, (0, 0)), "nobody watches");
    let now = site.clock.now().mono;
    assert_eq!(site.watch.watch(&camera("cam"), now).unwrap().picture, None);
    // Of no camera beside it.
    site.offer(0, "other", "x").unwrap();
    site.offer(0, "cam", "picture").unwrap();
    site.settle();
    site.wait("it is shown", |site| site.watch.kept() == (1, 7));
    assert_eq!(shown(&site), 1);
    let later = now.after(WATCH_LEASE * 2);
    assert_eq!(site.watch.watch(&camera("other"), later).unwrap().picture, None);
    assert_eq!(site.watch.kept(), (0, 0), "the lease is over");
    site.end();
}

#[test]
fn a_worker_looks_once_more_only_where_another_one_is_free() {
    let mut site = site(Keep::Every, 2, Report::Every);
    let again = |site: &site::Site| site.again.load(Ordering::Relaxed);
    site.offer(1, "part", "wait:300").unwrap();
    site.wait("a worker is busy", |site| site.workers.waiting().1 == 0);
    for _ in 0..3 {
        site.offer(0, "cam", "again").unwrap();
    }
    site.settle();
    assert_eq!(again(&site), 0, "the next frame would find no worker");
    site.offer(0, "cam", "x").unwrap();
    site.settle();
    assert_eq!(again(&site), 0, "no version is on trial");
    site.offer(0, "cam", "again").unwrap();
    site.wait("it is looked at once more", |site| again(site) == 1);
    site.offer(0, "cam", "fail").unwrap();
    site.settle();
    assert_eq!(again(&site), 1, "nothing was seen");
    // Then it rests from that, some times as long as it took.
    std::thread::park_timeout(Duration::from_millis(50));
    site.offer(0, "cam", "again slowly").unwrap();
    site.wait("it is looked at once more", |site| again(site) == 2);
    for _ in 0..3 {
        site.offer(0, "cam", "again").unwrap();
        site.settle();
    }
    assert_eq!(again(&site), 2, "a quarter of the time at most");
    let mut offered = 10;
    let until = Instant::now() + Duration::from_secs(20);
    while again(&site) == 2 {
        assert!(Instant::now() < until, "it has rested");
        site.offer(0, "cam", "again").unwrap();
        site.settle();
        offered += 1;
        std::thread::park_timeout(Duration::from_millis(50));
    }
    // A single worker does so, too, and seldom.
    let mut alone = site::site(Keep::Every, 1, Report::Every);
    alone.offer(0, "cam", "again").unwrap();
    alone.wait("it is looked at once more", |site| again(site) == 1);
    assert_eq!((site.end().len(), alone.end().len()), (offered, 1));
}

#[test]
fn a_fault_is_one_frames_alone() {
    let mut site = site(NEWEST, 2, Report::Every);
    for (camera, payload) in [("one", "x"), ("two", "panic"), ("three", "fail"), ("four", "wait:2000")] {
        site.offer(0, camera, payload).unwrap();
        site.settle();
    }
    site.offer(0, "two", "x").unwrap();
    site.settle();
    assert_eq!(site.accounts(0), [5, 2, 0, 3]);
    let reasons: BTreeMap<&str, u64> =
        site.source(0).rejections().map(|(reason, count)| (reason.as_str(), count)).collect();
    assert_eq!(reasons, BTreeMap::from([("panicked", 1), ("model_failed", 1), ("overrun", 1)]));
    let mut context = Context::from_waker(Waker::noop());
    for end in site.workers.ended() {
        assert!(pin!(end).poll(&mut context).is_pending(), "all workers go on");
    }
    assert_eq!(site.end(), ["a one 1", "a two 1"]);
}

#[test]
fn late_frames_are_dropped_before_they_are_judged() {
    let mut site = site(Keep::Newest { deadline: Duration::from_millis(100) }, 1, Report::Every);
    site.offer(1, "part", "wait:250").unwrap();
    site.wait("the worker is busy", |site| site.workers.waiting().1 == 0);
    site.offer(0, "cam", "x").unwrap();
    site.settle();
    assert_eq!((site.accounts(0), site.accounts(1)), ([1, 0, 0, 1], [1, 1, 0, 0]));
    assert_eq!(site.source(0).rejections().collect::<Vec<_>>(), [(Reason::Late, 1)]);
    assert_eq!(site.end(), ["b part 1"]);
}

#[test]
fn every_frame_of_such_a_source_is_judged_and_a_full_queue_stops_its_connection() {
    let mut site = site(NEWEST, 2, Report::Every);
    site.offer(1, "part", "wait:100").unwrap();
    site.wait("a worker is busy", |site| site.workers.waiting().1 == 0);
    for _ in 0..EVERY_CAPACITY {
        site.offer(1, "part", "x").unwrap();
    }
    assert!(matches!(site.offer(1, "part", "x"), Err(IntakeFull(refused)) if refused.topic == "part"));
    assert_eq!(site.accounts(1)[0], EVERY_CAPACITY as u64 + 1, "what was not taken is not received");
    // A camera of the other source is judged meanwhile.
    site.offer(0, "cam", "x").unwrap();
    site.settle();
    // A payload without a frame is settled, too.
    site.offer(1, "part", "").unwrap();
    site.settle();
    let expected = EVERY_CAPACITY + 2;
    site.wait("all receipts settle", |site| site.settled.0.lock().unwrap().len() == expected);
    let settled: Vec<u64> = site.settled.0.lock().unwrap().iter().map(|receipt| receipt.index).collect();
    assert!(settled.is_sorted(), "one camera's frames are judged in order");
    let counts = (1..=EVERY_CAPACITY + 1).map(|count| format!("b part {count}"));
    let mut verdicts = site.end();
    verdicts.retain(|verdict| verdict != "a cam 1");
    assert_eq!(verdicts, counts.collect::<Vec<_>>());
}

#[test]
fn only_changes_are_reported_where_the_policy_says_so() {
    let mut site = site(NEWEST, 1, Report::Change);
    for _ in 0..3 {
        site.offer(0, "one", "x").unwrap();
        site.settle();
        site.offer(0, "two", "x").unwrap();
        site.settle();
    }
    assert_eq!(site.accounts(0), [6, 6, 0, 0]);
    assert_eq!(site.end(), ["a one 1", "a two 1"]);
}

#[test]
fn what_was_reported_is_not_reported_again_after_the_process_was_killed() {
    let shelf = Memory::default();
    let mut before = open(&shelf, NEWEST, 1, Report::Change, &[]);
    before.offer(0, "one", "x").unwrap();
    before.offer(2, "two", "error:2").unwrap();
    before.settle();
    let verdicts = |shelf: &Memory| shelf.0.lock().unwrap().rows.len();
    before.wait("all is durable", |_| verdicts(&shelf) == 3);
    // What the store holds now is all that is left of this run.
    let killed = shelf.copied();
    let mut after = open(&killed, NEWEST, 1, Report::Change, &[]);
    for (source, camera, payload) in
        [(0, "one", "x"), (2, "two", "error:3"), (0, "three", "x"), (2, "two", "error:0")]
    {
        after.offer(source, camera, payload).unwrap();
        after.settle();
    }
    let all = after.end();
    assert_eq!(all[3..], ["a three 1", "c two 0"], "{all:?}");
    before.end();
}

#[test]
fn a_frame_that_an_earlier_run_has_judged_is_settled_and_no_other_is_taken_for_it() {
    let mut site = site(NEWEST, 1, Report::Every);
    for packet_id in [9, 9, 10] {
        site.again(packet_id);
        site.settle();
    }
    site.wait("all settle", |site| site.settled.0.lock().unwrap().len() == 3);
    assert_eq!(site.accounts(1), [3, 2, 0, 1]);
    assert_eq!(site.end(), ["b part 1", "b part 2"]);
}

#[test]
fn a_full_store_stops_judging_before_it_begins_and_newer_frames_supersede_older_ones() {
    let mut site = site(Keep::Newest { deadline: Duration::from_secs(60) }, 1, Report::Every);
    site.shelf.0.lock().unwrap().fails = Some(|| StoreError::Full { used: 1, cap: 1 });
    site.offer(0, "cam", "x").unwrap();
    site.wait("the store is known to be full", |site| site.counters.store_full());
    for _ in 0..5 {
        site.offer(0, "cam", "x").unwrap();
    }
    // A worker that has seen that the store is full takes no frame: four were superseded, the newest waits.
    site.wait("the accounts say it", |site| site.accounts(0) == [6, 1, 4, 0]);
    std::thread::park_timeout(Duration::from_millis(250));
    assert_eq!((site.accounts(0), site.workers.waiting().1), ([6, 1, 4, 0], 1));
    site.shelf.0.lock().unwrap().fails = None;
    site.settle();
    assert_eq!(site.accounts(0), [6, 2, 4, 0]);
    assert_eq!(site.end(), ["a cam 1", "a cam 2"]);
}

#[test]
fn an_error_is_judged_behind_what_else_is_seen_in_its_frame() {
    let mut site = site(NEWEST, 1, Report::Every);
    for (camera, payload) in
        [("one", "error:0.5"), ("one", "error:2"), ("two", "error:0.1"), ("one", "error:3")]
    {
        site.offer(2, camera, payload).unwrap();
    }
    site.wait("all receipts settle", |site| site.settled.0.lock().unwrap().len() == 4);
    assert_eq!(site.accounts(2), [4, 4, 0, 0]);
    assert_eq!(site.source(2).readings_judged_total.get(), 4);
    let causes = site.shelf.0.lock().unwrap().causes.iter().map(|cause| cause.cause).collect::<Vec<_>>();
    let all = site.end();
    let at = |verdict: &str| all.iter().position(|one| one == verdict).unwrap_or_else(|| panic!("{all:?}"));
    assert!(at("d one 1") < at("d one 2") && at("d one 2") < at("d one 3") && all.len() == 5, "{all:?}");
    // The consequences of one frame are committed together, and after a crash each frame is recognised.
    assert_eq!(at("c one 2"), at("d one 2") + 1);
    assert_eq!(causes[at("c one 2")], causes[at("d one 2")]);
    assert!(causes.iter().all(|cause| *cause != 0) && at("d two 1") < 5, "{causes:?}");
}

#[test]
fn what_an_arrival_causes_is_committed_before_the_frame_is_acknowledged() {
    let mut site = watched_site(NEWEST, 2, Report::Every, &[SourceIndex(1)]);
    for camera in ["one", "two", "three"] {
        // A frame that cannot be judged has arrived nevertheless; a payload without a frame has not.
        site.offer(1, camera, if camera == "two" { "fail" } else { "x" }).unwrap();
        site.offer(1, "none", "").unwrap();
    }
    site.wait("all receipts settle", |site| site.settled.0.lock().unwrap().len() == 6);
    assert_eq!(site.accounts(1), [6, 2, 0, 4]);
    assert_eq!(site.source(1).readings_judged_total.get(), 0, "an arrival is no reading of a message");
    let all = site.end();
    let at = |verdict: &str| all.iter().position(|one| one == verdict).unwrap_or_else(|| panic!("{all:?}"));
    assert!(at("alive one 1") < at("b one 1") && at("alive three 1") < at("b three 1"), "{all:?}");
    assert!(at("alive two 1") < 5 && all.len() == 5, "{all:?}");
}

#[test]
fn of_a_camera_that_sends_fast_the_newest_arrival_is_judged() {
    let mut site = watched_site(NEWEST, 1, Report::Every, &[SourceIndex(0)]);
    for _ in 0..500 {
        site.offer(0, "cam", "x").unwrap();
    }
    site.settle();
    let ages = site.cameras.ages(site.clock.now().mono);
    assert_eq!(
        ages.iter().map(|(camera, _)| (camera.source.0, camera.device.as_str())).collect::<Vec<_>>(),
        [(0, "cam")]
    );
    let all = site.end();
    assert_eq!(all.iter().filter(|one| *one == "alive cam 1").count(), 1, "{all:?}");
}

#[test]
fn while_viewers_and_judges_are_exchanged_each_frame_is_judged_once_by_those_of_its_time() {
    let exchanges = if std::env::var("VERGE_FULL").is_ok_and(|full| full == "1") { 1_000 } else { 40 };
    let mut site = site(NEWEST, 3, Report::Every);
    let mut sent = 0_u32;
    for era in 1..=exchanges {
        let cameras = ["north", "south", "east", "west"];
        for number in 0..12 {
            let camera = cameras[(era as usize + number) % cameras.len()];
            let payload = if number % 5 == 4 { "wait:1".to_owned() } else { format!("nr:{sent}") };
            let known = u32::from(payload.starts_with("nr"));
            site.wait("there is room", |site| site.workers.waiting().1 < EVERY_CAPACITY / 2);
            site.offer(1, camera, &payload).unwrap();
            sent += known;
        }
        if era % 7 == 3 {
            site.offer(1, "north", "panic").unwrap();
        }
        let report = site.exchange(era);
        assert!(report.anew.is_empty() && report.carried <= 1, "{report:?}");
        // At once again, with viewers that no worker has taken.
        if era % 9 == 4 {
            site.exchange(era);
        }
    }
    site.settle();
    let [received, judged, superseded, refused] = site.accounts(1);
    assert_eq!((received, superseded), (judged + refused, 0));
    let mut numbers = Vec::new();
    for verdict in site.end() {
        let words: Vec<&str> = verdict.split(' ').collect();
        let [judge, camera, seen] = words[..] else { panic!("{verdict}") };
        let seen: u32 = seen.parse().unwrap();
        // A frame that only waits shows its camera's memory alone; so does the first era.
        if seen >= ERA {
            assert_eq!(judge, format!("b{}", seen / ERA), "{verdict}");
            numbers.push((camera.to_owned(), seen % ERA));
        } else if judge == "b" {
            assert!(seen <= sent, "{verdict}");
        }
    }
    let before_the_first = 10;
    assert!(numbers.len() >= sent as usize - before_the_first, "{} of {sent}", numbers.len());
    let mut once: Vec<u32> = numbers.iter().map(|(_, number)| *number).collect();
    once.sort_unstable();
    once.dedup();
    assert_eq!(once.len(), numbers.len(), "no frame is judged twice");
    for camera in ["north", "south", "east", "west"] {
        let own: Vec<u32> =
            numbers.iter().filter(|(of, _)| of == camera).map(|(_, number)| *number).collect();
        assert!(own.is_sorted(), "{camera}: in their order");
    }
}
