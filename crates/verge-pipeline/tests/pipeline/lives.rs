//! Summaries replace verdicts past their useful life.

use std::time::Duration;

use verge_domain::id::{Lane, Seq};
use verge_domain::stage::{RowStore, Store, Withdrawn};
use verge_domain::time::UtcMillis;
use verge_domain::withdrawn::Withdrawal;
use verge_pipeline::clock::Clock;
use verge_pipeline::committer::Retention;

use crate::desk::{Desk, Upstream, route};
use crate::support::{Memory, until};

const LIVES: Retention =
    Retention { verdict: None, telemetry: Some(Duration::from_secs(60)), interval: Duration::from_secs(60) };

/// Verdicts made in these minutes, each with its number as value.
fn shelve(minutes: &[i64]) -> Memory {
    let shelf = Memory::default();
    let mut store = shelf.clone();
    for (seq, minute) in (1..).zip(minutes) {
        let bytes = seq.to_string();
        let row = verge_domain::stage::NewRow {
            lane: Lane::Telemetry,
            seq: Seq(seq),
            decided: UtcMillis(minute * 60_000 + 59_000),
            cause: 0,
            bytes: bytes.as_bytes(),
            withdrawn: None,
        };
        store.commit(&[row], &[]).unwrap();
    }
    shelf
}

/// A committer in minute 100 finds that all up to a number are past their useful life.
async fn summarised(shelf: &Memory, through: u64, expected: &[&str]) {
    shelf.0.lock().unwrap().overdue[Lane::Telemetry.index()] = Some((1, through));
    let clock = Clock::start_at(UtcMillis(100 * 60_000));
    let desk = Desk::open_with(shelf, clock, LIVES);
    let texts = || shelf.0.lock().unwrap().texts(Lane::Telemetry);
    // Housekeeping runs every ten seconds.
    for _ in 0..1500 {
        if texts() == expected {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(texts(), expected);
    let upstream = Upstream::single(&desk);
    upstream.ends[0].connect().await;
    until("offered", || upstream.texts().join(",").ends_with(expected.last().unwrap())).await;
    upstream.ends[0].acknowledge_all().await;
    let last = shelf.0.lock().unwrap().next[Lane::Telemetry.index()];
    until("all its numbers are settled", || shelf.mark_of(&route(), Lane::Telemetry) == last).await;
    upstream.stop().await;
    desk.close().unwrap();
}

/// Of the last interval one verdict is still useful: the interval waits for it.
async fn complete_intervals() {
    let shelf = shelve(&[1, 1, 1, 2, 2, 3, 3, 3]);
    let expected = ["[1-3 expired 3 of telemetry]", "[4-5 expired 2 of telemetry]", "6", "7", "8"];
    summarised(&shelf, 7, &expected).await;
}

/// An interval at the end of what is stored is summarised once it is over.
async fn around_a_tombstone() {
    let mut shelf = shelve(&[1, 1, 1, 1, 2, 2]);
    let tombstone = Withdrawn { through: Seq(3), reason: Withdrawal::Full };
    shelf.withdraw(Lane::Telemetry, Seq(2), tombstone, UtcMillis(0), b"").unwrap();
    let expected = [
        "[1-1 expired 1 of telemetry]",
        "[2-3 full ]",
        "[4-4 expired 1 of telemetry]",
        "[5-6 expired 2 of telemetry]",
    ];
    summarised(&shelf, 6, &expected).await;
}

/// More than one pass writes.
async fn many_intervals() {
    let shelf = shelve(&(1..=30).collect::<Vec<i64>>());
    let expected: Vec<String> = (1..=30).map(|seq| format!("[{seq}-{seq} expired 1 of telemetry]")).collect();
    let expected: Vec<&str> = expected.iter().map(String::as_str).collect();
    summarised(&shelf, 30, &expected).await;
}

#[tokio::test]
async fn a_summary_takes_the_place_of_each_interval_once_it_is_complete() {
    // Side by side: each waits for housekeeping.
    tokio::join!(complete_intervals(), around_a_tombstone(), many_intervals());
}
