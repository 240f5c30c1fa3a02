//! From committed verdict to acknowledged mark, over one link.

use std::time::Duration;

use verge_domain::id::{Lane, Seq};
use verge_domain::stage::{RowStore, Withdrawn};
use verge_domain::time::UtcMillis;
use verge_domain::withdrawn::Withdrawal;

use crate::desk::{Desk, FAILOVER, PLAIN, Plan, Upstream, route};
use crate::support::{Memory, until};

#[tokio::test]
async fn alarms_go_alone_and_routine_verdicts_in_batches() {
    for (lane, expected) in [(Lane::Alarm, vec!["1", "2", "3"]), (Lane::Verdict, vec!["1,2,3"])] {
        let desk = Desk::open(&Memory::default());
        desk.commit(lane, 1..=3).await;
        let upstream = Upstream::single(&desk);
        upstream.ends[0].connect().await;
        until("offered", || upstream.texts() == expected).await;
        upstream.stop().await;
        desk.close().unwrap();
    }
}

#[tokio::test]
async fn what_is_not_acknowledged_is_offered_again_on_a_new_connection_and_after_a_restart() {
    let shelf = Memory::default();
    let desk = Desk::open(&shelf);
    desk.commit(Lane::Alarm, 1..=4).await;
    let upstream = Upstream::single(&desk);
    let end = &upstream.ends[0];
    end.connect().await;
    until("offered", || upstream.texts().len() == 4).await;
    end.acknowledge(0).await;
    end.acknowledge(2).await;
    until("counted", || upstream.counters.backlog() == 3).await;
    end.lose().await;
    end.connect().await;
    until("what was acknowledged out of order is not repeated", || upstream.texts() == ["2", "4"]).await;
    end.acknowledge(0).await;
    until("delivered", || upstream.counters.backlog() == 1).await;
    upstream.stop().await;
    desk.close().unwrap();

    let desk = Desk::open(&shelf);
    let upstream = Upstream::single(&desk);
    upstream.ends[0].connect().await;
    until("the mark outlived the restart", || upstream.texts() == ["4"]).await;
    upstream.stop().await;
    desk.close().unwrap();
}

#[tokio::test]
async fn a_sink_whose_window_is_full_is_not_pressed() {
    let desk = Desk::open(&Memory::default());
    desk.commit(Lane::Alarm, 1..=50).await;
    let upstream = Upstream::single(&desk);
    upstream.ends[0].connect().await;
    until("the window is full", || upstream.texts().len() == 8).await;
    upstream.ends[0].acknowledge(0).await;
    upstream.ends[0].acknowledge(1).await;
    until("two more", || upstream.texts().len() == 10).await;
    assert_eq!(upstream.texts().last().map(String::as_str), Some("10"));
    upstream.stop().await;
    desk.close().unwrap();
}

#[tokio::test]
async fn tombstones_are_delivered_in_their_place_also_where_an_offer_begins_within_one() {
    let mut shelf = Memory::default();
    let desk = Desk::open(&shelf);
    desk.commit(Lane::Verdict, 1..=9).await;
    let upstream = Upstream::single(&desk);
    let end = &upstream.ends[0];
    end.connect().await;
    until("offered", || upstream.texts() == ["1,2,3,4,5,6,7,8,9"]).await;
    end.lose().await;
    let tombstone = Withdrawn { through: Seq(6), reason: Withdrawal::Full };
    shelf.withdraw(Lane::Verdict, Seq(3), tombstone, UtcMillis(i64::MAX), b"").unwrap();
    end.connect().await;
    until("offered again", || upstream.texts() == ["1,2,[3-6 full ],7,8,9"]).await;
    end.acknowledge(0).await;
    until("its numbers are settled", || shelf.mark_of(&route(), Lane::Verdict) == 9).await;
    // A route whose mark is within the range gets the whole range.
    upstream.stop().await;
    shelf.0.lock().unwrap().marks.insert((route(), Lane::Verdict.index()), 4);
    let again = Upstream::single(&desk);
    again.ends[0].connect().await;
    until("whole", || again.texts() == ["[3-6 full ],7,8,9"]).await;
    again.stop().await;
    desk.close().unwrap();
}

#[tokio::test]
async fn a_route_that_is_new_to_an_old_store_begins_with_what_is_held() {
    let shelf = Memory::default();
    let desk = Desk::open(&shelf);
    desk.commit(Lane::Alarm, 1..=5).await;
    shelf.0.lock().unwrap().evict(Lane::Alarm, 3);
    let upstream = Upstream::single(&desk);
    upstream.ends[0].connect().await;
    until("offered", || upstream.texts() == ["4", "5"]).await;
    upstream.ends[0].acknowledge_all().await;
    until("all is settled", || shelf.mark_of(&route(), Lane::Alarm) == 5).await;
    upstream.stop().await;
    desk.close().unwrap();
}

#[tokio::test]
async fn a_batch_that_is_too_large_is_split_and_a_verdict_that_is_gets_a_tombstone() {
    let shelf = Memory::default();
    let desk = Desk::open(&shelf);
    desk.commit(Lane::Verdict, 99..=103).await;
    desk.commit(Lane::Verdict, 1_000_000_000_000_000..=1_000_000_000_000_000).await;
    desk.commit(Lane::Verdict, 7..=7).await;
    let upstream = Upstream::open(&desk, &[Plan { limit: 15, ..PLAIN }], FAILOVER);
    upstream.ends[0].connect().await;
    until("all is offered", || upstream.texts().concat().ends_with('7')).await;
    until("the mark passes it", || {
        let texts = upstream.texts();
        texts.iter().any(|text| text.contains("103")) && texts.iter().all(|text| text.len() <= 15)
    })
    .await;
    // Its tombstone, "[6-6 too_large ]", is larger than this link takes as well: its number is passed over.
    upstream.ends[0].acknowledge_all().await;
    until("the mark is at the end", || shelf.mark_of(&route(), Lane::Verdict) == 7).await;
    assert_eq!(upstream.counters.undeliverable_total.get(), 1);
    assert_eq!(shelf.0.lock().unwrap().texts(Lane::Verdict)[5], "[6-6 too_large ]");
    upstream.stop().await;
    desk.close().unwrap();
}

#[tokio::test]
async fn a_verdict_that_cannot_be_read_gives_way_to_a_tombstone() {
    let desk = Desk::open(&Memory::default());
    desk.commit(Lane::Verdict, -2..=1).await;
    let upstream = Upstream::single(&desk);
    upstream.ends[0].connect().await;
    let all = || upstream.texts().join(",");
    until("all is offered", || all() == "-2,[2-2 damaged ],0,1" || all() == "-2,0,1,[2-2 damaged ]").await;
    upstream.stop().await;
    desk.close().unwrap();
}

#[tokio::test]
async fn a_message_tells_the_age_of_its_oldest_verdict() {
    let desk = Desk::open(&Memory::default());
    let now = desk.clock.now().wall;
    desk.hand_in_as_of(UtcMillis(now.0 - 5 * 3_600_000), Lane::Verdict, 1..=1);
    desk.hand_in_as_of(now, Lane::Verdict, 2..=2);
    // A clock that was set back.
    desk.hand_in_as_of(UtcMillis(now.0 + 3_600_000), Lane::Alarm, 3..=3);
    until("committed", || desk.settled() == 3).await;
    let upstream = Upstream::single(&desk);
    upstream.ends[0].connect().await;
    until("offered", || upstream.texts() == ["3", "aged 5 h 1,2"]).await;
    upstream.stop().await;
    desk.close().unwrap();
}

#[tokio::test]
async fn what_was_acknowledged_just_before_a_loss_is_repeated() {
    let desk = Desk::open(&Memory::default());
    desk.commit(Lane::Alarm, 1..=2).await;
    let settings = verge_pipeline::delivery::RouteSettings {
        route: route(),
        gateway: crate::desk::gateway(),
        lanes: Lane::ALL.to_vec(),
        batch: verge_pipeline::delivery::BatchPolicy {
            max_verdicts: 10,
            verdict_wait: Duration::ZERO,
            telemetry_wait: Duration::ZERO,
        },
        rewind: Duration::from_secs(60),
        mode: FAILOVER,
        beat: std::sync::Arc::default(),
        limits: tokio::sync::watch::channel(Vec::new()).1,
    };
    let upstream = Upstream::open_with(&desk, &[PLAIN, PLAIN], settings);
    upstream.ends[0].connect().await;
    until("offered", || upstream.texts() == ["1", "2"]).await;
    upstream.ends[0].acknowledge_all().await;
    until("delivered", || upstream.counters.backlog() == 0).await;
    upstream.ends[0].lose().await;
    upstream.ends[1].connect().await;
    until("on whichever link carries now", || upstream.ends[1].texts() == ["1", "2"]).await;
    assert_eq!(upstream.counters.delivered(), 2, "each counts once");
    upstream.stop().await;
    desk.close().unwrap();
}
