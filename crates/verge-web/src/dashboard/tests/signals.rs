//! Signals: the list, one of them, its chart and its numbers.

use hyper::StatusCode;
use serde_json::{Value, json};

use super::gateway::signal_path;
use super::{Bench, text};
use crate::dashboard::access::Role;

async fn ask(bench: &Bench, path: &str) -> (StatusCode, Value) {
    let answer = bench.get(path, Some(Role::Viewer)).await;
    let status = answer.status();
    (status, serde_json::from_str(&text(answer).await).unwrap())
}

#[tokio::test]
async fn ten_thousand_signals_are_listed_by_pages() {
    let bench = Bench::new();
    let first = text(bench.get("/signals", Some(Role::Viewer)).await).await;
    assert!(first.contains("1 to 50 of 10001") && first.len() < 300_000, "{} bytes", first.len());
    assert_eq!(first.matches("data-signal=").count(), 50);
    assert!(first.contains("page=2") && !first.contains("page=0"), "{first}");
    assert!(first.contains("<polyline points=") && first.contains("expected at least 6"));
    assert!(first.contains("dashboard.history"), "some are not listed");
    let last = text(bench.get("/signals?page=201", Some(Role::Viewer)).await).await;
    assert!(last.contains("10001 to 10001 of 10001") && last.contains("d-09999"), "{last}");
    let beyond = text(bench.get("/signals?page=999999999", Some(Role::Viewer)).await).await;
    assert!(beyond.contains("No signal that the filter takes, of 10001"));
    let some = text(bench.get("/signals?name=D-0000&state=usual", Some(Role::Viewer)).await).await;
    assert!(some.contains("1 to 10 of 10, of 10001 in all"), "{some}");
    let abnormal = text(bench.get("/signals?state=abnormal", Some(Role::Viewer)).await).await;
    assert!(abnormal.contains("1 to 1 of 1,") && abnormal.contains("mark critical"), "{abnormal}");
}

#[tokio::test]
async fn programs_read_them_by_a_cursor() {
    let bench = Bench::new();
    let (mut seen, mut after) = (0, String::new());
    loop {
        let (status, answer) = ask(&bench, &format!("/api/v1/signals{after}")).await;
        assert_eq!(status, StatusCode::OK);
        seen += answer["signals"].as_array().unwrap().len();
        let Some(next) = answer["next"].as_str() else { break };
        let next: String = form_urlencoded::byte_serialize(next.as_bytes()).collect();
        after = format!("?after={next}");
    }
    assert_eq!(seen, 10_001);
    let (_, one) = ask(&bench, "/api/v1/signals?limit=1&name=d-00007").await;
    let expected = json!({ "source": "s", "device": "d-00007", "signal": "<img src=x>", "value": 3.25,
        "unit": "m<i>m/s", "at": 50_000, "since": 20_000,
        "judges": [{ "judge": "j", "expected": { "low": 6.0 } }, { "judge": "k" }] });
    assert_eq!(one, json!({ "signals": [expected] }));
    let of_path = ask(&bench, "/api/v1/signals/s/d-00007/%3Cimg%20src=x%3E").await;
    assert_eq!(of_path, (StatusCode::OK, expected));
}

#[tokio::test]
async fn a_history_is_what_came_and_its_bounds_are_kept() {
    let bench = Bench::new();
    let base = format!("/api/v1/signals/{}/history", signal_path());
    let (status, answer) = ask(&bench, &format!("{base}?step=1min&from=10000&to=50000")).await;
    let samples = json!([{ "at": 30_000, "last": 0.1, "least": -0.9, "greatest": 0.1 }]);
    let bands = json!([{ "judge": "j", "changes": [{ "from": 10_000, "low": 6.0 }] }]);
    assert_eq!(status, StatusCode::OK);
    assert_eq!(answer, json!({ "step": "1min", "since": 20_000, "samples": samples, "bands": bands }));
    for (query, key) in
        [("step=1s", "step"), ("from=yesterday", "from"), ("to=-1", "to"), ("from=5&to=5", "from")]
    {
        let (status, problem) = ask(&bench, &format!("{base}?{query}")).await;
        assert_eq!(
            (status, &problem["type"]),
            (StatusCode::UNPROCESSABLE_ENTITY, &"invalid".into()),
            "{query}"
        );
        assert_eq!(problem["faults"][0]["pointer"], format!("?{key}"), "{problem}");
    }
    for path in
        ["/api/v1/signals/s/nobody/x", "/api/v1/signals/s/nobody/x/history", "/api/v1/signals/s/a%00/x"]
    {
        let (status, problem) = ask(&bench, path).await;
        assert_eq!((status, &problem["type"]), (StatusCode::NOT_FOUND, &"unknown_signal".into()), "{path}");
    }
}

#[tokio::test]
async fn a_signal_is_drawn_and_written() {
    let bench = Bench::new();
    let page = text(bench.get(&format!("/signals/{}", signal_path()), Some(Role::Viewer)).await).await;
    assert!(page.contains("data-value=\"3.25\"") && page.contains("expects at least 6"), "{page}");
    assert!(page.contains("expects no range") && page.contains("Kept since 20000"));
    assert!(page.contains("<th scope=\"row\">0</th><td>-0.9</td><td>3.25</td><td>3.25</td>"), "{page}");
    assert!(page.contains("is high</bdi></a>"), "its last event: {page}");
    let chart = page.split("<img src=\"").nth(1).unwrap().split('"').next().unwrap().replace("&#38;", "&");
    let picture = bench.get(&chart, Some(Role::Viewer)).await;
    assert_eq!(
        (picture.status(), &picture.headers()["content-type"]),
        (StatusCode::OK, &"image/svg+xml".parse().unwrap())
    );
    assert!(text(picture).await.starts_with("<svg"));
    let none = bench.get("/signals/s/nobody/x", Some(Role::Viewer)).await;
    assert_eq!(none.status(), StatusCode::NOT_FOUND);
}
