//! Commands from upstream and their answers.

use bytes::Bytes;
use serde_json::{Value, json};
use verge_domain::id::Lane;
use verge_domain::stage::{ControlEvent, SinkEvent};

use crate::desk::{Desk, End, Upstream};
use crate::support::{Memory, until};

async fn send(end: &End, command: &str) {
    let command = Bytes::copy_from_slice(command.as_bytes());
    end.events.send(SinkEvent::Control(ControlEvent::Command(command))).await.unwrap();
}

fn answers(end: &End) -> Vec<Value> {
    let wire = end.wire.lock().unwrap();
    wire.answers.iter().map(|text| serde_json::from_str(text).unwrap()).collect()
}

fn verdicts(end: &End) -> Vec<String> {
    end.texts()
}

pub(crate) async fn ask(end: &End, command: &str) -> Value {
    let before = answers(end).len();
    send(end, command).await;
    until("answered", || answers(end).len() > before).await;
    answers(end).pop().unwrap()
}

#[tokio::test]
async fn a_range_is_sent_again_under_its_numbers_and_moves_no_mark() {
    let shelf = Memory::default();
    let desk = Desk::open(&shelf);
    desk.commit(Lane::Verdict, 1..=20).await;
    let upstream = Upstream::single(&desk);
    let end = &upstream.ends[0];
    end.connect().await;
    until("offered", || end.texts().len() == 2).await;
    end.acknowledge_all().await;
    until("delivered", || upstream.counters.backlog() == 0).await;
    let answer = ask(end, r#"{"id":"a","command":"replay","lane":"verdict","from":8,"to":12}"#).await;
    assert_eq!(answer, json!({ "id": "a", "ok": true, "from": 8, "to": 12, "queued": 5 }));
    until("sent again", || verdicts(end).last().map(String::as_str) == Some("8,9,10,11,12")).await;
    assert_eq!(upstream.counters.delivered(), 20);
    // Clipped to what is there.
    shelf.0.lock().unwrap().evict(Lane::Verdict, 15);
    let answer = ask(end, r#"{"id":"b","command":"replay","lane":"verdict","from":1,"to":99}"#).await;
    assert_eq!(answer, json!({ "id": "b", "ok": true, "from": 16, "to": 20, "queued": 5 }));
    until("sent again", || verdicts(end).last().map(String::as_str) == Some("16,17,18,19,20")).await;
    let gone = ask(end, r#"{"id":"c","command":"replay","lane":"verdict","from":1,"to":15}"#).await;
    let words = "not stored any more; the oldest number of lane verdict is 16";
    assert_eq!(gone, json!({ "id": "c", "ok": false, "error": words }));
    let other = r#"{"id":"d","command":"replay","lane":"verdict","from":16,"to":16,"epoch":"00"}"#;
    assert_eq!(ask(end, other).await["ok"], false);
    assert_eq!(ask(end, "{}").await["id"], Value::Null);
    upstream.stop().await;
    desk.close().unwrap();
}

#[tokio::test]
async fn what_was_lost_with_its_link_while_it_was_sent_again_is_sent_once_more() {
    let desk = Desk::open(&Memory::default());
    desk.commit(Lane::Alarm, 1..=3).await;
    let upstream = Upstream::single(&desk);
    let end = &upstream.ends[0];
    end.connect().await;
    until("offered", || end.texts().len() == 3).await;
    end.acknowledge_all().await;
    until("delivered", || upstream.counters.backlog() == 0).await;
    ask(end, r#"{"id":"a","command":"replay","lane":"alarm","from":2,"to":3}"#).await;
    until("sent again", || verdicts(end).len() == 5).await;
    end.lose().await;
    end.connect().await;
    until("sent once more", || verdicts(end) == ["2", "3"]).await;
    upstream.stop().await;
    desk.close().unwrap();
}

#[tokio::test]
async fn the_ledger_tells_what_there_is_and_what_was_delivered() {
    let desk = Desk::open(&Memory::default());
    desk.commit(Lane::Alarm, 1..=3).await;
    let upstream = Upstream::single(&desk);
    let end = &upstream.ends[0];
    end.connect().await;
    until("offered", || end.texts().len() == 3).await;
    end.acknowledge(0).await;
    let answer = ask(end, r#"{"id":"a","command":"ledger"}"#).await;
    assert_eq!(answer["lanes"]["alarm"], json!({ "oldest": 1, "last": 3, "delivered": 1 }));
    assert_eq!(answer["lanes"]["verdict"], json!({ "oldest": 1, "last": 0, "delivered": 0 }));
    assert_eq!((&answer["ok"], &answer["epoch"]), (&json!(true), &json!("07".repeat(16))));
    assert_eq!(
        (&answer["links"][0]["name"], &answer["links"][0]["connected"]),
        (&json!("one"), &json!(true))
    );
    upstream.stop().await;
    desk.close().unwrap();
}

#[tokio::test]
async fn a_flood_of_commands_is_counted_and_not_answered() {
    let desk = Desk::open(&Memory::default());
    let upstream = Upstream::single(&desk);
    let end = &upstream.ends[0];
    end.connect().await;
    for _ in 0..200 {
        send(end, "x").await;
    }
    let counted = || end.counters.commands_total.get() + end.counters.commands_ignored_total.get();
    until("all are counted", || counted() == 200).await;
    // Ten in a second, however many seconds that took.
    assert!(end.counters.commands_ignored_total.get() >= 100);
    assert_eq!(answers(end).len() as u64, end.counters.commands_total.get());
    upstream.stop().await;
    desk.close().unwrap();
}
