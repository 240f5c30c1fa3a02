//! Several links of one route: failover, spreading, budgets.

use std::time::Duration;

use serde_json::Value;
use verge_domain::id::{Lane, LinkId};
use verge_domain::stage::SentBytes;
use verge_domain::time::UtcMillis;
use verge_pipeline::clock::Clock;
use verge_pipeline::committer::Retention;
use verge_pipeline::delivery::RouteMode;

use crate::desk::{Desk, FAILOVER, PLAIN, Plan, Upstream, route};
use crate::support::{Memory, until};

#[tokio::test]
async fn the_next_link_takes_over_what_the_lost_one_left_and_the_preferred_one_returns() {
    let shelf = Memory::default();
    let desk = Desk::open(&shelf);
    let return_after = Duration::from_millis(300);
    let upstream = Upstream::open(&desk, &[PLAIN, PLAIN], RouteMode::Failover { return_after });
    let [one, two] = &upstream.ends[..] else { panic!("two links") };
    one.connect().await;
    two.connect().await;
    desk.commit(Lane::Alarm, 1..=3).await;
    until("over the preferred link", || one.texts() == ["1", "2", "3"]).await;
    one.acknowledge(1).await;
    until("delivered", || upstream.counters.links()[0].messages_offered_total.get() == 3).await;
    one.lose().await;
    until("what it left", || two.texts() == ["1", "3"]).await;
    desk.commit(Lane::Alarm, 4..=4).await;
    until("and what is new", || two.texts() == ["1", "3", "4"]).await;
    one.connect().await;
    // After it was connected for a while, it carries again; what is in flight stays where it is.
    for value in 5.. {
        desk.commit(Lane::Alarm, value..=value).await;
        until("offered", || one.texts().len() + two.texts().len() == value as usize - 1).await;
        if !one.texts().is_empty() {
            break;
        }
        two.acknowledge(two.texts().len() - 1).await;
    }
    two.acknowledge_all().await;
    one.acknowledge_all().await;
    until("all is delivered", || upstream.counters.backlog() == 0).await;
    assert_eq!((upstream.counters.connections(), upstream.counters.connected()), (3, true));
    upstream.stop().await;
    desk.close().unwrap();
}

#[tokio::test]
async fn a_spread_route_uses_all_links_and_each_lane_can_be_put_in_order_again() {
    let shelf = Memory::default();
    let desk = Desk::open(&shelf);
    let upstream = Upstream::open(&desk, &[PLAIN, PLAIN], RouteMode::Spread);
    let [one, two] = &upstream.ends[..] else { panic!("two links") };
    one.connect().await;
    two.connect().await;
    desk.commit(Lane::Alarm, 1..=2).await;
    until("alarms prefer the first", || one.texts() == ["1", "2"]).await;
    desk.commit(Lane::Verdict, 1..=80).await;
    until("all are on their way", || one.texts().len() + two.texts().len() == 10).await;
    assert!(!two.texts().is_empty());
    // The second is lost with everything in flight; the first takes that over as it has room.
    two.acknowledge(1).await;
    until("known", || desk.counters.committed_total[1].get() == 80).await;
    let before: Vec<String> = two.texts();
    two.lose().await;
    let verdicts = |texts: &[String]| -> Vec<u64> {
        let texts = texts.iter().filter(|text| text.contains(','));
        texts
            .flat_map(|text| text.split(',').map(|value| value.parse().unwrap()).collect::<Vec<_>>())
            .collect()
    };
    until("the first has it all", || {
        let mut seqs = verdicts(&one.texts());
        seqs.extend(verdicts(&before[1..2]));
        seqs.sort_unstable();
        let acknowledged = one.texts().len();
        let wire = one.wire.lock().unwrap();
        for (_, _, token) in &wire.offered[..acknowledged.min(wire.offered.len())] {
            one.events.try_send(verge_domain::stage::SinkEvent::Delivered(*token)).ok();
        }
        drop(wire);
        seqs == (1..=80).collect::<Vec<_>>()
    })
    .await;
    until("the mark is at the end", || shelf.mark_of(&route(), Lane::Verdict) == 80).await;
    upstream.stop().await;
    desk.close().unwrap();
}

#[tokio::test]
async fn what_is_too_large_for_one_link_goes_or_waits_for_another() {
    let shelf = Memory::default();
    let desk = Desk::open(&shelf);
    let narrow = Plan { limit: 5, ..PLAIN };
    let upstream = Upstream::open(&desk, &[narrow, PLAIN], FAILOVER);
    let [one, two] = &upstream.ends[..] else { panic!("two links") };
    one.connect().await;
    desk.commit(Lane::Alarm, 1_000_000..=1_000_000).await;
    desk.commit(Lane::Alarm, 2..=3).await;
    until("the rest passes it", || one.texts() == ["2", "3"]).await;
    one.acknowledge_all().await;
    assert_eq!(upstream.counters.undeliverable_total.get(), 0);
    two.connect().await;
    until("the other takes it", || two.texts() == ["1000000"]).await;
    two.acknowledge_all().await;
    until("all is delivered", || shelf.mark_of(&route(), Lane::Alarm) == 3).await;
    desk.commit(Lane::Alarm, 1_000_001..=1_000_001).await;
    until("at once where it stands", || two.texts().len() == 2).await;
    assert_eq!(one.texts(), ["2", "3"]);
    upstream.stop().await;
    desk.close().unwrap();
}

#[tokio::test]
async fn what_upstream_refuses_is_found_among_others_and_goes_over_another_link_or_gets_a_tombstone() {
    let shelf = Memory::default();
    let desk = Desk::open(&shelf);
    let upstream = Upstream::open(&desk, &[PLAIN, PLAIN], FAILOVER);
    let [one, two] = &upstream.ends[..] else { panic!("two links") };
    one.connect().await;
    desk.commit(Lane::Verdict, 1..=3).await;
    until("together", || one.texts() == ["1,2,3"]).await;
    one.refuse(0).await;
    until("one by one", || one.texts() == ["1,2,3", "1", "2", "3"]).await;
    two.connect().await;
    one.acknowledge(1).await;
    one.acknowledge(3).await;
    one.refuse(2).await;
    until("over the other link", || two.texts() == ["2"]).await;
    two.refuse(0).await;
    until("a tombstone", || one.texts().last().is_some_and(|text| text == "[2-2 refused ]")).await;
    assert_eq!(upstream.counters.undeliverable_total.get(), 1);
    one.acknowledge(one.texts().len() - 1).await;
    until("all is delivered", || shelf.mark_of(&route(), Lane::Verdict) == 3).await;
    // What follows goes in batches again.
    desk.commit(Lane::Verdict, 4..=6).await;
    until("together", || one.texts().last().is_some_and(|text| text == "4,5,6")).await;
    upstream.stop().await;
    desk.close().unwrap();
}

#[tokio::test]
async fn an_alarm_that_the_only_link_refuses_gives_way_and_the_others_arrive() {
    let shelf = Memory::default();
    let desk = Desk::open(&shelf);
    let upstream = Upstream::open(&desk, &[PLAIN], FAILOVER);
    let [one] = &upstream.ends[..] else { panic!("a link") };
    one.connect().await;
    desk.commit(Lane::Alarm, 1..=3).await;
    until("offered", || one.texts() == ["1", "2", "3"]).await;
    one.refuse(0).await;
    one.acknowledge(1).await;
    one.acknowledge(2).await;
    until("a tombstone", || one.texts().last().is_some_and(|text| text == "[1-1 refused ]")).await;
    // A tombstone that is refused as well: nothing smaller can take its place.
    one.refuse(3).await;
    until("the mark passes it", || shelf.mark_of(&route(), Lane::Alarm) == 3).await;
    upstream.stop().await;
    desk.close().unwrap();
}

const DAY_MS: i64 = 86_400_000;

fn status_of(upstream: &Upstream) -> Value {
    let wire = upstream.ends[0].wire.lock().unwrap();
    serde_json::from_str(wire.statuses.last().unwrap()).unwrap()
}

#[tokio::test]
async fn a_spent_budget_defers_routine_verdicts_to_the_next_day_and_never_alarms() {
    let shelf = Memory::default();
    // A few seconds before midnight, and the day's budget nearly spent before the restart.
    let eve = UtcMillis(20_001 * DAY_MS - 6_000);
    shelf.0.lock().unwrap().sent =
        vec![SentBytes { link: LinkId::new("one").unwrap(), day: 20_000, bytes: 999_980 }];
    let desk = Desk::open_with(&shelf, Clock::start_at(eve), Retention::default());
    let upstream = Upstream::open(&desk, &[Plan { budget: Some(1_000_000), ..PLAIN }], FAILOVER);
    let end = &upstream.ends[0];
    end.connect().await;
    // The status itself has been sent, and is on the account.
    until("a status was sent", || end.statuses() == 1).await;
    desk.commit(Lane::Verdict, 1..=9).await;
    desk.commit(Lane::Telemetry, 1..=9).await;
    desk.commit(Lane::Alarm, 5..=5).await;
    until("the alarm passes", || end.texts() == ["5"]).await;
    assert_eq!(end.counters.deferred(), [Lane::Verdict, Lane::Telemetry]);
    assert!(end.counters.day_bytes() > 1_000_000);
    until("midnight", || end.texts().len() == 3).await;
    assert_eq!(end.texts()[1..], ["1,2,3,4,5,6,7,8,9", "1,2,3,4,5,6,7,8,9"]);
    assert_eq!(end.counters.deferred(), []);
    until("the store knows", || {
        let sent = shelf.0.lock().unwrap().sent.clone();
        sent == [SentBytes { link: LinkId::new("one").unwrap(), day: 20_001, bytes: 34 }]
    })
    .await;
    upstream.stop().await;
    desk.close().unwrap();
}

#[tokio::test]
async fn what_waits_for_a_link_with_room_for_it_goes_once_that_has_a_new_budget() {
    let shelf = Memory::default();
    shelf.0.lock().unwrap().sent =
        vec![SentBytes { link: LinkId::new("two").unwrap(), day: 20_000, bytes: 1_000_000 }];
    let eve = UtcMillis(20_001 * DAY_MS - 6_000);
    let desk = Desk::open_with(&shelf, Clock::start_at(eve), Retention::default());
    let plans = [Plan { limit: 5, ..PLAIN }, Plan { budget: Some(1_000_000), ..PLAIN }];
    let upstream = Upstream::open(&desk, &plans, FAILOVER);
    let [one, two] = &upstream.ends[..] else { panic!("two links") };
    one.connect().await;
    two.connect().await;
    desk.commit(Lane::Verdict, 1_000_000..=1_000_000).await;
    desk.commit(Lane::Verdict, 2..=2).await;
    until("the rest passes it", || one.texts() == ["2"]).await;
    assert_eq!(two.texts(), [""; 0]);
    until("midnight", || two.texts() == ["1000000"]).await;
    upstream.stop().await;
    desk.close().unwrap();
}

#[tokio::test]
async fn a_batch_that_does_not_fit_into_the_budget_is_sent_as_far_as_it_does() {
    let shelf = Memory::default();
    let noon = UtcMillis(20_000 * DAY_MS + DAY_MS / 2);
    let desk = Desk::open_with(&shelf, Clock::start_at(noon), Retention::default());
    let probe = Upstream::open(&desk, &[Plan { budget: Some(1 << 40), ..PLAIN }], FAILOVER);
    probe.ends[0].connect().await;
    until("a status was sent", || probe.ends[0].statuses() == 1).await;
    until("and noted", || !shelf.0.lock().unwrap().sent.is_empty()).await;
    probe.stop().await;
    let spent = shelf.0.lock().unwrap().sent[0].bytes;
    // Room for another status of about that size, and hardly more: the exact rest depends on its digits.
    let budget = 2 * spent + 40;
    let upstream = Upstream::open(&desk, &[Plan { budget: Some(budget), ..PLAIN }], FAILOVER);
    let end = &upstream.ends[0];
    end.connect().await;
    until("a status was sent", || end.statuses() == 1).await;
    desk.commit(Lane::Verdict, 1_000_000..=1_000_009).await;
    until("the rest waits", || end.counters.deferred().contains(&Lane::Verdict)).await;
    let sent = end.texts().join(",").split(',').filter(|text| !text.is_empty()).count();
    assert!(sent < 10 && end.counters.day_bytes() <= budget, "{sent} of 10");
    upstream.stop().await;
    desk.close().unwrap();
}

#[tokio::test]
async fn the_status_tells_of_each_link() {
    let desk = Desk::open(&Memory::default());
    let plans = [Plan { budget: Some(1_000_000), ..PLAIN }, PLAIN];
    let upstream = Upstream::open(&desk, &plans, RouteMode::Spread);
    let [one, two] = &upstream.ends[..] else { panic!("two links") };
    desk.commit(Lane::Alarm, 1..=2).await;
    one.connect().await;
    until("offered", || one.texts().len() == 2).await;
    two.connect().await;
    until("both are notified", || two.statuses() == 1 && one.statuses() == 2).await;
    two.lose().await;
    // A last will of the second may have reported the gateway as offline.
    until("notified again at once", || one.statuses() == 3).await;
    let status = status_of(&upstream);
    let route = &status["routes"][0];
    assert_eq!((&route["connected"], &route["connections"]), (&Value::from(true), &Value::from(2)));
    assert_eq!((&route["messages_sent"], &route["bytes_sent"]), (&Value::from(2), &Value::from(2)));
    let [one, two] = &route["links"].as_array().unwrap()[..] else { panic!("two links") };
    assert_eq!((&one["name"], &one["budget"]), (&Value::from("one"), &Value::from(1_000_000)));
    assert!(one["day_bytes"].as_u64().unwrap() > 2 && one["last_error"].is_null());
    assert_eq!(
        (&two["connected"], &two["last_error"]),
        (&Value::from(false), &Value::from("as the test asked"))
    );
    assert_eq!(status["ledger"]["links"][0]["sent_bytes"], 2);
    assert_eq!(
        (&status["store"]["last"][0], &status["store"]["oldest"][0]),
        (&Value::from(2), &Value::from(1))
    );
    upstream.stop().await;
    desk.close().unwrap();
}
