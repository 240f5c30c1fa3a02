//! The stream of verdicts, over a real body.

use axum::response::Response;
use http_body_util::BodyExt;
use hyper::{Method, StatusCode};
use verge_domain::id::Lane;
use verge_domain::time::UtcMillis;
use verge_domain::verdict::EventState;

use super::gateway::{event_id, word};
use super::{Bench, text};
use crate::dashboard::access::{AccessFile, Role};
use crate::dashboard::site::MAX_LISTENERS;

/// The next piece of a stream that says something.
async fn next(stream: &mut Response) -> Option<String> {
    loop {
        let frame = stream.body_mut().frame().await?.unwrap();
        let text = String::from_utf8(frame.into_data().unwrap().to_vec()).unwrap();
        if text != ":\n\n" {
            return Some(text);
        }
    }
}

async fn open(bench: &Bench, after: &str) -> Response {
    let answer = bench.get(&format!("/api/v1/stream?kinds=verdict&after={after}"), Some(Role::Viewer)).await;
    assert_eq!(
        (answer.status(), &answer.headers()["content-type"]),
        (StatusCode::OK, &"text/event-stream".parse().unwrap())
    );
    answer
}

#[tokio::test]
async fn a_listener_that_comes_back_goes_on_where_he_was() {
    let bench = Bench::new();
    let mut stream = open(&bench, "").await;
    assert_eq!(next(&mut stream).await.unwrap(), "retry: 2000\n\n");
    bench.gateway.commit(word(1, "pump-1", EventState::Raised));
    bench.gateway.commit(word(2, "pump-2", EventState::Raised));
    let epoch = "07".repeat(16);
    let expected = |number: u8| {
        format!("event: verdict\nid: {epoch}/alarm/{number}\ndata: {{\"device\":\"pump-{number}\"}}\n\n")
    };
    assert_eq!(next(&mut stream).await, Some(expected(1)));
    drop(stream);
    let mut again = open(&bench, &format!("{epoch}/alarm/1")).await;
    next(&mut again).await;
    assert_eq!(next(&mut again).await, Some(expected(2)), "nothing twice, nothing left out");
    for lost in [format!("{}/alarm/1", "08".repeat(16)), format!("{epoch}/alarm/77"), "odd".to_owned()] {
        let mut anew = open(&bench, &lost).await;
        next(&mut anew).await;
        assert!(next(&mut anew).await.unwrap().starts_with("event: resync\n"), "{lost}");
    }
}

#[tokio::test]
async fn a_listener_goes_on_out_of_the_store_where_the_board_keeps_it_no_more() {
    let bench = Bench::new();
    let in_lane = |number: u8, lane: Lane| {
        let mut word = word(number, &format!("pump-{number}"), EventState::Raised);
        word.verdict.lane = lane;
        word
    };
    for number in 4..10 {
        bench.gateway.store(in_lane(number, Lane::Alarm));
    }
    bench.gateway.store(in_lane(40, Lane::Verdict));
    let mut old = in_lane(39, Lane::Verdict);
    old.verdict.times.decided = UtcMillis(0);
    bench.gateway.store(old);
    let epoch = "07".repeat(16);
    let mut again = open(&bench, &format!("{epoch}/alarm/5")).await;
    next(&mut again).await;
    // What was committed while it reads, of which the store has a part.
    bench.gateway.commit(in_lane(9, Lane::Alarm));
    bench.gateway.commit(in_lane(10, Lane::Alarm));
    let mut seen = Vec::new();
    for _ in 0..6 {
        let text = next(&mut again).await.unwrap();
        seen.push(text.split('\n').nth(1).unwrap().rsplit_once(&epoch).unwrap().1.to_owned());
    }
    assert_eq!(seen, ["/alarm/6", "/alarm/7", "/alarm/8", "/alarm/9", "/verdict/40", "/alarm/10"]);
}

#[tokio::test]
async fn listeners_are_bounded_and_a_place_becomes_free() {
    let bench = Bench::new();
    let mut streams = Vec::new();
    for _ in 0..MAX_LISTENERS {
        streams.push(open(&bench, "").await);
    }
    let refused = bench.get("/api/v1/stream", Some(Role::Viewer)).await;
    assert_eq!(refused.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert!(text(refused).await.contains("32 listeners"));
    streams.pop();
    open(&bench, "").await;
}

#[tokio::test(start_paused = true)]
async fn a_stream_ends_with_its_login() {
    let bench = Bench::new();
    let mut stream = bench.get("/api/v1/stream?kinds=status", Some(Role::Viewer)).await;
    next(&mut stream).await;
    assert!(next(&mut stream).await.unwrap().starts_with("event: status\ndata: {"));
    let mut file = AccessFile::load(bench.folder.path()).unwrap();
    file.remove("viewer", None).unwrap();
    file.save(bench.folder.path()).unwrap();
    bench.gateway.pass(2_000);
    // The status comes every two seconds.
    let mut pieces = 0;
    while next(&mut stream).await.is_some() {
        pieces += 1;
        assert!(pieces < 2, "it goes on for longer than two seconds");
    }
}

#[tokio::test]
async fn a_listener_follows_cameras_and_what_people_do() {
    let bench = Bench::new();
    let mut stream = bench.get("/api/v1/stream?kinds=camera,action", Some(Role::Viewer)).await;
    assert_eq!(next(&mut stream).await.unwrap(), "retry: 2000\n\n");
    let camera = next(&mut stream).await.unwrap();
    assert!(camera.starts_with("event: camera\ndata: {\"source\":"), "{camera}");
    let path = format!("/api/v1/events/{}/acknowledgement", event_id(1));
    let done =
        bench.ask(bench.request(Method::PUT, &path, Some(Role::Operator), "{\"note\":\"seen\"}")).await;
    assert_eq!(done.status(), StatusCode::OK);
    let action = loop {
        let text = next(&mut stream).await.unwrap();
        if text.starts_with("event: action\n") {
            break text;
        }
    };
    for part in ["\"number\":1,", "\"who\":\"operator\"", "\"what\":\"acknowledge\"", "\"note\":\"seen\""] {
        assert!(action.contains(part), "{part} in {action}");
    }
    let listed = text(bench.get("/api/v1/actions?limit=1", Some(Role::Viewer)).await).await;
    let data = action.trim_start_matches("event: action\ndata: ").trim_end();
    assert_eq!(listed, format!("{{\"actions\":[{data}]}}"));
    let none = text(bench.get("/api/v1/actions?after=1", Some(Role::Viewer)).await).await;
    assert_eq!(none, "{\"actions\":[]}");
    let mut other = bench.get("/api/v1/stream?kinds=camera&device=none", Some(Role::Viewer)).await;
    next(&mut other).await;
    let silent = tokio::time::timeout(std::time::Duration::from_millis(1_500), next(&mut other)).await;
    assert!(silent.is_err(), "no camera is meant: {silent:?}");
}
