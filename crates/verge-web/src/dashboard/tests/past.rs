//! Events that are over, out of the store.

use hyper::StatusCode;
use serde_json::Value;
use verge_domain::id::{Lane, Seq};
use verge_domain::time::UtcMillis;
use verge_domain::verdict::EventState;

use super::gateway::{event_id, word};
use super::{Bench, text};
use crate::dashboard::access::Role;

/// Past events 10 to 29, in two lanes by turns, each raised and cleared.
fn bench() -> Bench {
    let bench = Bench::new();
    for number in 10..30_u8 {
        for state in [EventState::Raised, EventState::Cleared] {
            let mut word = word(number, &format!("pump-{number}"), state);
            word.verdict.lane = if number % 2 == 0 { Lane::Alarm } else { Lane::Verdict };
            word.verdict.times.decided =
                UtcMillis(i64::from(number) * 1_000 + i64::from(state == EventState::Cleared));
            word.seq = Some(Seq(u64::from(number) * 2 + u64::from(state == EventState::Cleared)));
            bench.gateway.store(word);
        }
    }
    bench
}

async fn ask(bench: &Bench, query: &str) -> (Vec<String>, Option<String>) {
    let answer = bench.get(&format!("/api/v1/events?state=past{query}"), Some(Role::Viewer)).await;
    assert_eq!(answer.status(), StatusCode::OK, "{query}");
    let answer: Value = serde_json::from_str(&text(answer).await).unwrap();
    let device = |event: &Value| event["device"].as_str().unwrap().to_owned();
    let devices = answer["events"].as_array().unwrap().iter().map(device).collect();
    (devices, answer["next"].as_str().map(ToOwned::to_owned))
}

#[tokio::test]
async fn past_events_come_the_newest_first_by_a_cursor_each_once() {
    let bench = bench();
    let (mut seen, mut cursor) = (Vec::new(), String::new());
    let mut pages = 0;
    loop {
        let (devices, next) = ask(&bench, &format!("&limit=3{cursor}")).await;
        seen.extend(devices);
        pages += 1;
        assert!(pages < 50, "{seen:?}");
        let Some(next) = next else { break };
        cursor = format!("&after={next}");
    }
    // The words of the board's own events come last.
    let expected: Vec<String> = (10..30).rev().chain([2]).map(|number| format!("pump-{number}")).collect();
    assert_eq!(seen, expected);
    assert_eq!(ask(&bench, "&device=pump-12").await.0, ["pump-12"]);
    assert_eq!(ask(&bench, "&from=27000&to=29000").await.0, ["pump-28", "pump-27"]);
    assert_eq!(ask(&bench, "&to=2026-11-30T14:05").await.0, Vec::<String>::new(), "as people write times");
    assert_eq!(ask(&bench, "&severity=info").await.0, Vec::<String>::new());
    for odd in ["after=1.2", "after=a.b.c", "before=1.2.3", "from=yesterday", "to=-1"] {
        let answer = bench.get(&format!("/api/v1/events?state=past&{odd}"), Some(Role::Viewer)).await;
        assert_eq!(answer.status(), StatusCode::UNPROCESSABLE_ENTITY, "{odd}");
    }
    let answer = bench.get("/api/v1/events?from=1000", Some(Role::Viewer)).await;
    assert_eq!(answer.status(), StatusCode::UNPROCESSABLE_ENTITY, "times are those of past events");
}

#[tokio::test]
async fn a_page_shows_one_of_them_with_and_without_its_place() {
    let bench = bench();
    let list = text(bench.get("/events?state=past", Some(Role::Operator)).await).await;
    let link = format!("/events/{}?row=alarm/57", event_id(28));
    assert!(list.contains(&link) && !list.contains("Acknowledge"), "{list}");
    for path in [link, format!("/events/{}", event_id(28)), format!("/events/{}?row=alarm/3", event_id(28))] {
        let page = bench.get(&path, Some(Role::Viewer)).await;
        assert_eq!(page.status(), StatusCode::OK, "{path}");
        let page = text(page).await;
        assert!(
            page.contains("data-device=\"pump-28\"") && page.contains("data-state=\"cleared\""),
            "{page}"
        );
    }
    let api = bench.get("/api/v1/events?state=past&device=pump-28", Some(Role::Viewer)).await;
    let listed: Value = serde_json::from_str(&text(api).await).unwrap();
    assert_eq!(listed["events"][0]["row"], "alarm/57");
    for (query, expected) in [("", 200), ("?row=alarm/57", 200), ("?row=57", 422), ("?place=alarm/57", 422)] {
        let path = format!("/api/v1/events/{}{query}", event_id(28));
        assert_eq!(bench.get(&path, Some(Role::Viewer)).await.status().as_u16(), expected, "{path}");
    }
    let none = bench.get(&format!("/events/{}?row=alarm/57", event_id(99)), Some(Role::Viewer)).await;
    assert_eq!(none.status(), StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn a_verdict_that_was_made_while_the_clock_was_wrong_does_not_end_the_list() {
    let bench = bench();
    let mut wrong = word(40, "pump-40", EventState::Cleared);
    wrong.verdict.times.decided = UtcMillis(5);
    wrong.seq = Some(Seq(100));
    bench.gateway.store(wrong);
    let (mut devices, _) = ask(&bench, "&from=27000").await;
    devices.sort();
    assert_eq!(devices, ["pump-27", "pump-28", "pump-29"]);
}

/// The number of verdicts of a lane, read to its end.
async fn count(bench: &Bench, limit: u64) -> usize {
    let (mut seen, mut after) = (0, 0);
    loop {
        let path = format!("/api/v1/verdicts?lane=verdict&after={after}&limit={limit}");
        let answer: Value =
            serde_json::from_str(&text(bench.get(&path, Some(Role::Viewer)).await).await).unwrap();
        seen += answer["verdicts"].as_array().unwrap().len();
        let Some(next) = answer["next"].as_u64() else { return seen };
        assert!(next > after, "{next} after {after}");
        after = next;
    }
}

#[tokio::test]
async fn verdicts_of_a_lane_come_in_order() {
    let bench = bench();
    assert_eq!((count(&bench, 256).await, count(&bench, 1).await), (20, 20));
    // Behind a part of which nothing can be read it goes on.
    for seq in [22, 23, 30, 59] {
        bench.gateway.damage(seq);
    }
    assert_eq!((count(&bench, 256).await, count(&bench, 1).await), (16, 16));
    for odd in ["lane=odd", "after=x", "limit=257"] {
        let answer = bench.get(&format!("/api/v1/verdicts?{odd}"), Some(Role::Viewer)).await;
        assert_eq!(answer.status(), StatusCode::UNPROCESSABLE_ENTITY, "{odd}");
    }
}
