//! A store that fails, comes back, is full, or is damaged.

use std::time::Duration;

use serde_json::Value;
use verge_domain::id::Lane;
use verge_domain::stage::{ControlEvent, Displaced, SinkEvent, StoreError};
use verge_pipeline::committer::{CommitterEnd, StoreState};

use crate::desk::{Desk, Upstream, route};
use crate::support::{Memory, until};

const LIMIT: Duration = Duration::from_secs(10);

fn fault() -> StoreError {
    StoreError::Fault("as the test asked".into())
}

fn damaged() -> StoreError {
    StoreError::Damaged("as the test asked".into())
}

fn full() -> StoreError {
    StoreError::Full { used: 1, cap: 1 }
}

fn states(upstream: &Upstream) -> Vec<String> {
    let wire = upstream.ends[0].wire.lock().unwrap();
    let documents = wire.statuses.iter().map(|text| serde_json::from_str::<Value>(text).unwrap());
    documents.map(|document| document["store"]["state"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn alarms_are_shown_without_a_number_while_the_store_has_failed_and_come_again_with_one() {
    let shelf = Memory::default();
    let desk = Desk::open(&shelf);
    let upstream = Upstream::single(&desk);
    let end = &upstream.ends[0];
    end.connect().await;
    until("the first status", || states(&upstream) == ["ok"]).await;
    shelf.0.lock().unwrap().fails = Some(fault);
    desk.hand_in(Lane::Alarm, 1..=1);
    until("shown", || end.texts() == ["volatile 1"]).await;
    until("and reported at once", || states(&upstream) == ["ok", "storage_fault"]).await;
    // New alarms during the fault too, but not routine verdicts.
    desk.hand_in(Lane::Verdict, 7..=7);
    desk.hand_in(Lane::Alarm, 2..=2);
    until("shown", || end.texts() == ["volatile 1", "volatile 2"]).await;
    until("tried again", || shelf.0.lock().unwrap().recoveries >= 2).await;
    assert_eq!(end.texts().len(), 2, "each once");
    assert_eq!((desk.settled(), upstream.counters.provisional_total.get()), (0, 2));
    assert!(end.wire.lock().unwrap().offered.iter().all(|(channel, ..)| *channel == Lane::Alarm));
    end.acknowledge_all().await;
    shelf.0.lock().unwrap().fails = None;
    until("they come again", || end.texts()[2..] == ["1", "2", "7"]).await;
    until("receipts settle", || desk.settled() == 3).await;
    until("reported at once", || states(&upstream) == ["ok", "storage_fault", "ok"]).await;
    assert_eq!(shelf.mark_of(&route(), Lane::Alarm), 0, "what was shown is not delivered");
    // A second fault is a new one.
    shelf.0.lock().unwrap().fails = Some(fault);
    desk.hand_in(Lane::Alarm, 3..=3);
    until("shown", || end.texts().last().map(String::as_str) == Some("volatile 3")).await;
    shelf.0.lock().unwrap().fails = None;
    until("committed", || desk.settled() == 4).await;
    upstream.stop().await;
    desk.close().unwrap();
}

#[tokio::test]
async fn an_alarm_that_no_link_could_show_is_shown_once_one_stands() {
    let shelf = Memory::default();
    let desk = Desk::open(&shelf);
    let upstream = Upstream::single(&desk);
    // A committed alarm over a first connection shows that the delivery runs.
    upstream.ends[0].connect().await;
    until("it listens", || upstream.ends[0].statuses() == 1).await;
    upstream.ends[0].lose().await;
    shelf.0.lock().unwrap().fails = Some(fault);
    desk.hand_in(Lane::Alarm, 1..=1);
    until("the store has failed", || *desk.store.state().borrow() == StoreState::Failed).await;
    upstream.ends[0].connect().await;
    until("shown", || upstream.texts() == ["volatile 1"]).await;
    shelf.0.lock().unwrap().fails = None;
    until("numbered", || upstream.texts() == ["volatile 1", "1"]).await;
    upstream.stop().await;
    desk.close().unwrap();
}

#[tokio::test]
async fn deliveries_go_on_while_nothing_can_be_committed() {
    let shelf = Memory::default();
    let desk = Desk::open(&shelf);
    desk.commit(Lane::Verdict, 1..=3).await;
    shelf.0.lock().unwrap().fails = Some(fault);
    desk.hand_in(Lane::Verdict, 4..=4);
    until("the store has failed", || desk.counters.store_fault()).await;
    let upstream = Upstream::single(&desk);
    upstream.ends[0].connect().await;
    until("what is committed is read", || upstream.texts() == ["1,2,3"]).await;
    upstream.ends[0].acknowledge_all().await;
    until("delivered", || upstream.counters.backlog() == 0).await;
    // The store forgot the mark when it was opened again: it is reported again.
    until("noted", || shelf.mark_of(&route(), Lane::Verdict) == 3).await;
    shelf.0.lock().unwrap().marks.clear();
    shelf.0.lock().unwrap().fails = None;
    until("noted again", || shelf.mark_of(&route(), Lane::Verdict) == 3).await;
    until("it goes on", || upstream.texts() == ["1,2,3", "4"]).await;
    upstream.stop().await;
    desk.close().unwrap();
}

#[tokio::test]
async fn a_store_that_cannot_be_read_is_opened_anew() {
    let shelf = Memory::default();
    let desk = Desk::open(&shelf);
    desk.commit(Lane::Alarm, 1..=1).await;
    shelf.0.lock().unwrap().unreadable = Some(fault);
    let upstream = Upstream::single(&desk);
    upstream.ends[0].connect().await;
    until("tried again", || shelf.0.lock().unwrap().recoveries > 0).await;
    shelf.0.lock().unwrap().unreadable = None;
    until("read", || upstream.texts() == ["1"]).await;
    upstream.stop().await;
    desk.close().unwrap();
}

#[tokio::test]
async fn a_damaged_store_ends_the_committer_and_the_deliveries_whoever_finds_it() {
    for reading in [false, true] {
        let shelf = Memory::default();
        let desk = Desk::open(&shelf);
        let upstream = Upstream::single(&desk);
        upstream.ends[0].connect().await;
        until("it works", || upstream.ends[0].statuses() == 1).await;
        if reading {
            shelf.0.lock().unwrap().unreadable = Some(damaged);
        } else {
            shelf.0.lock().unwrap().fails = Some(damaged);
        }
        desk.hand_in(Lane::Alarm, 1..=1);
        tokio::time::timeout(LIMIT, desk.committer.ended()).await.expect("it has ended");
        upstream.ended().await;
        assert!(matches!(desk.close(), Err(CommitterEnd::StoreDamaged(_))));
    }
}

#[tokio::test]
async fn a_full_store_is_reported_at_once_and_does_not_keep_the_gateway_from_stopping() {
    let shelf = Memory::default();
    let desk = Desk::open(&shelf);
    let upstream = Upstream::single(&desk);
    upstream.ends[0].connect().await;
    until("the first status", || states(&upstream) == ["ok"]).await;
    shelf.0.lock().unwrap().fails = Some(full);
    desk.hand_in(Lane::Alarm, 1..=1);
    until("reported", || states(&upstream) == ["ok", "full"]).await;
    assert!(
        upstream.texts().is_empty(),
        "a full store has not failed: nothing is shown before it is durable"
    );
    upstream.stop().await;
    desk.close().unwrap();
    assert!(shelf.0.lock().unwrap().rows.is_empty());
}

#[tokio::test]
async fn a_store_that_is_not_in_its_place_takes_nothing_and_ends_the_committer() {
    let shelf = Memory::default();
    let desk = Desk::open(&shelf);
    desk.hand_in(Lane::Alarm, 1..=1);
    until("committed", || desk.settled() == 1).await;
    let displaced = Displaced { what: "the store was moved".to_owned(), then: "it was kept".to_owned() };
    shelf.0.lock().unwrap().displaced = Some(displaced.clone());
    tokio::time::timeout(LIMIT, desk.committer.ended()).await.expect("noticed");
    desk.hand_in(Lane::Alarm, 2..=2);
    assert_eq!(desk.settled(), 1, "nothing is acknowledged any more");
    let ended = desk.close();
    assert!(matches!(&ended, Err(CommitterEnd::StoreDisplaced(why)) if *why == displaced), "{ended:?}");
}

#[tokio::test]
async fn a_store_of_which_upstream_knows_more_sends_nothing_and_gives_its_epoch_up() {
    let status = |run: &str, last: u64| {
        let epoch = "07".repeat(16);
        let run = format!(r#"{{"count":3,"id":"{run}"}}"#);
        format!(r#"{{"state":"stopped","epoch":"{epoch}","store":{{"run":{run},"last":[{last},0,0]}}}}"#)
    };
    // Its own run, the numbers it gave: it continues.
    let own = "000000000000001e";
    for (run, last, overtaken) in [(own, 2, false), (own, 3, true), ("00000000000000ff", 1, true)] {
        let shelf = Memory::default();
        let desk = Desk::open(&shelf);
        let upstream = Upstream::single(&desk);
        let end = &upstream.ends[0];
        desk.commit(Lane::Alarm, 1..=2).await;
        end.events.send(SinkEvent::Control(ControlEvent::Found(status(run, last).into()))).await.unwrap();
        end.connect().await;
        if overtaken {
            tokio::time::timeout(LIMIT, desk.committer.ended()).await.expect("noticed");
            upstream.ended().await;
            assert!(shelf.0.lock().unwrap().given_up);
            assert!(matches!(desk.close(), Err(CommitterEnd::Overtaken)));
        } else {
            until("sent", || end.texts() == ["1", "2"]).await;
            assert!(!shelf.0.lock().unwrap().given_up);
        }
    }
}
