//! What a gateway is configured to do, with hostile names; and what is done about its configuration.

use axum::body::Bytes;
use hyper::header::CONTENT_TYPE;
use hyper::{Method, StatusCode};
use serde_json::{Value, json};
use verge_domain::configured::{
    CheckedConfiguration, ConfigurationFault, Configured, ConfiguredJudge, ConfiguredModel,
    ConfiguredSection, ConfiguredSettings, ConfiguredSource, LoadedModel, ReloadDone, ReloadOutcome,
    ReloadReply, Setting, SettingOrigin,
};
use verge_domain::id::OperatorText;

use super::gateway::{HOSTILE, TestGateway};
use super::{Bench, text};
use crate::dashboard::access::Role;

impl Configured for TestGateway {
    fn sources(&self) -> Vec<ConfiguredSource> {
        let settings = [("topic".to_owned(), format!("{HOSTILE:?}"))].into();
        vec![ConfiguredSource {
            name: HOSTILE.to_owned(),
            topic: "a/<b>/+".to_owned(),
            carries: "readings",
            settings,
        }]
    }

    fn judges(&self) -> Vec<ConfiguredJudge> {
        let settings = [("above".to_owned(), "7.5".to_owned())].into();
        vec![ConfiguredJudge { name: "j".to_owned(), detector: "threshold", model: None, settings }]
    }

    fn models(&self) -> Vec<ConfiguredModel> {
        let loaded = LoadedModel {
            identity: HOSTILE.to_owned(),
            version: "1".to_owned(),
            task: "detect".to_owned(),
            input: "640x640 u8 into images".to_owned(),
            outputs: vec!["out [1, 84, <b>]".to_owned()],
            decoder: "rows".to_owned(),
            provider: "CPU".to_owned(),
            labels: vec!["person".to_owned(), HOSTILE.to_owned()],
            content: "ab".repeat(32),
        };
        let named = |name: &str, loaded| ConfiguredModel {
            name: name.to_owned(),
            card: "models/<i>.toml".to_owned(),
            judges: vec!["j".to_owned()],
            loaded,
        };
        vec![named("vehicles", Some(loaded)), named("windows", None)]
    }

    fn settings(&self) -> ConfiguredSettings {
        let setting = |key: &str, value: &str, origin| Setting {
            key: key.to_owned(),
            value: value.to_owned(),
            secret: value == "set",
            origin,
            line: (origin == SettingOrigin::File).then_some(7),
            variable: (origin == SettingOrigin::Environment).then(|| "VERGE__LOCAL__PASSWORD".to_owned()),
        };
        let settings = vec![
            setting("password", "set", SettingOrigin::Environment),
            setting("site", &format!("{HOSTILE:?}"), SettingOrigin::File),
            setting("store_cap", "\"2 GiB\"", SettingOrigin::Default),
        ];
        let sections = vec![ConfiguredSection { path: "gateway".to_owned(), settings }];
        ConfiguredSettings { file: "/etc/<b>.toml".to_owned(), sections, warnings: vec![HOSTILE.to_owned()] }
    }

    fn check(&self, text: &[u8]) -> CheckedConfiguration {
        let words = format!("line 3: {}", String::from_utf8_lossy(text));
        let fault = ConfigurationFault { line: Some(3), key: HOSTILE.to_owned(), words };
        let ok = text == b"good = 1";
        let faults = if ok { Vec::new() } else { vec![fault] };
        CheckedConfiguration { ok, faults, warnings: vec!["a <b>remark".to_owned()] }
    }

    fn reload(&self, dry_run: bool, by: &OperatorText, done: ReloadDone) -> bool {
        self.note(by, json!({ "command": "reload", "dry_run": dry_run }));
        let outcome = self.reload_outcome();
        let words = vec![
            "a reload would take this up:".to_owned(),
            format!("changed: judge.{HOSTILE}.above: 8.0, was 7.5"),
        ];
        let report = json!({ "outcome": "would_reload", "changed": [{ "key": "judge.j.above" }] });
        done(ReloadReply { outcome, words, report: Bytes::from(report.to_string()) });
        true
    }
}

async fn answered(bench: &Bench, method: Method, path: &str, body: &str) -> (StatusCode, Value) {
    let mut request = bench.request(method, path, Some(Role::Admin), body);
    if path.ends_with("/check") {
        request.headers_mut().insert(CONTENT_TYPE, "application/toml".parse().unwrap());
    }
    let answer = bench.ask(request).await;
    let status = answer.status();
    (status, serde_json::from_str(&text(answer).await).unwrap_or_default())
}

#[tokio::test]
async fn sources_judges_and_models_are_listed_with_what_the_status_says_of_them() {
    let bench = Bench::new();
    let (_, sources) = answered(&bench, Method::GET, "/api/v1/sources", "").await;
    assert_eq!(sources["sources"][0]["status"]["received"], 1_234);
    let (_, judges) = answered(&bench, Method::GET, "/api/v1/judges", "").await;
    assert_eq!(
        (&judges["judges"][0]["open"], &judges["judges"][0]["settings"]["above"]),
        (&2.into(), &"7.5".into())
    );
    let (_, models) = answered(&bench, Method::GET, "/api/v1/models", "").await;
    assert_eq!(models["models"][0]["loaded"]["provider"], "CPU");
    assert_eq!(models["judging_ms"]["p99"], 40.25);
    assert_eq!(models["models"][1]["loaded"], Value::Null);
}

#[tokio::test]
async fn a_configuration_is_shown_without_secrets_and_another_is_checked() {
    let bench = Bench::new();
    let (status, shown) = answered(&bench, Method::GET, "/api/v1/configuration", "").await;
    assert_eq!(status, StatusCode::OK);
    let password = &shown["sections"][0]["settings"][0];
    assert_eq!((&password["value"], &password["origin"]), (&"set".into(), &"environment".into()));
    let (status, checked) = answered(&bench, Method::POST, "/api/v1/configuration/check", "bad").await;
    assert_eq!(
        (status, &checked["ok"], &checked["faults"][0]["line"]),
        (StatusCode::OK, &false.into(), &3.into())
    );
    // A configuration may be larger than other bodies, and is bounded, too.
    let large = "#".repeat(1_000_000);
    let path = "/api/v1/configuration/check";
    assert_eq!(answered(&bench, Method::POST, path, &large).await.0, StatusCode::OK);
    let huge = "#".repeat(1_100_000);
    assert_eq!(answered(&bench, Method::POST, path, &huge).await.0, StatusCode::PAYLOAD_TOO_LARGE);
    assert_eq!(answered(&bench, Method::POST, path, "good = 1").await.1["ok"], true);
}

#[tokio::test]
async fn a_reload_says_what_changed_or_why_not() {
    let bench = Bench::new();
    let (status, report) = answered(&bench, Method::POST, "/api/v1/reload?dry_run=true", "").await;
    assert_eq!((status, &report["outcome"]), (StatusCode::OK, &"would_reload".into()));
    let command = json!({ "command": "reload", "dry_run": true });
    assert_eq!(bench.gateway.commands(), [("dashboard: admin".to_owned(), command)]);
    let cases = [
        (ReloadOutcome::NeedsRestart, 409, "needs_restart"),
        (ReloadOutcome::Faulty, 422, "faulty_configuration"),
        (ReloadOutcome::Failed, 503, "reload_failed"),
    ];
    for (outcome, expected, word) in cases {
        bench.gateway.reload_with(outcome);
        let (status, problem) = answered(&bench, Method::POST, "/api/v1/reload", "").await;
        assert_eq!((status.as_u16(), &problem["type"]), (expected, &word.into()));
        assert_eq!(problem["report"]["changed"][0]["key"], "judge.j.above");
        assert!(problem["detail"].as_str().unwrap().contains("8.0, was 7.5"));
    }
    let (status, problem) = answered(&bench, Method::POST, "/api/v1/reload?dry_run=perhaps&x=1", "").await;
    let pointers: Vec<_> =
        problem["faults"].as_array().unwrap().iter().map(|fault| fault["pointer"].clone()).collect();
    assert_eq!((status.as_u16(), pointers), (422, vec!["?dry_run".into(), "?x".into()]));
}

#[tokio::test]
async fn maintenance_begins_is_listed_and_ends_and_a_route_repeats() {
    let bench = Bench::new();
    let (_, listed) = answered(&bench, Method::GET, "/api/v1/maintenance", "").await;
    let windows = listed["windows"].as_array().unwrap();
    assert_eq!((&windows[0]["kind"], &windows[1]["kind"]), (&"maintenance".into(), &"shelving".into()));
    let body = r#"{"device":"pump-1","minutes":60}"#;
    assert_eq!(answered(&bench, Method::POST, "/api/v1/maintenance", body).await.0, StatusCode::OK);
    for window in windows {
        let path = format!("/api/v1/maintenance/{}", window["id"].as_str().unwrap());
        assert_eq!(answered(&bench, Method::DELETE, &path, "").await.0, StatusCode::OK);
    }
    assert_eq!(answered(&bench, Method::DELETE, "/api/v1/maintenance/x", "").await.0, StatusCode::NOT_FOUND);
    let label = r#"{"device":"pump-1","judge":"j","remark":"real"}"#;
    assert_eq!(answered(&bench, Method::POST, "/api/v1/labels", label).await.0, StatusCode::OK);
    let replay = r#"{"lane":"alarm","from":1,"to":9}"#;
    assert_eq!(answered(&bench, Method::POST, "/api/v1/routes/up/replay", replay).await.0, StatusCode::OK);
    let commands: Vec<Value> = bench.gateway.commands().into_iter().map(|(_, command)| command).collect();
    let id = "dashboard";
    assert_eq!(
        commands,
        [
            json!({ "id": id, "command": "maintenance", "device": "pump-1", "minutes": 60 }),
            json!({ "id": id, "command": "maintenance", "device": HOSTILE, "minutes": 0 }),
            json!({ "id": id, "command": "unshelve", "device": "pump-2", "signal": "p", "judge": "j", "source": "s" }),
            json!({ "id": id, "command": "label", "device": "pump-1", "judge": "j", "remark": "real" }),
            json!({ "id": id, "command": "replay", "route": "up", "lane": "alarm", "from": 1, "to": 9 }),
        ]
    );
    let (status, problem) =
        answered(&bench, Method::POST, "/api/v1/maintenance", r#"{"minutes":0,"signal":"","x":1}"#).await;
    let pointers: Vec<_> =
        problem["faults"].as_array().unwrap().iter().map(|fault| fault["pointer"].clone()).collect();
    assert_eq!(status.as_u16(), 422);
    assert_eq!(pointers, ["/device", "/signal", "/minutes", "/x"]);
}

#[tokio::test]
async fn a_list_goes_on_behind_its_cursor_and_an_event_is_written_only_as_it_was_seen() {
    let bench = Bench::new();
    let (mut ids, mut path) = (Vec::new(), "/api/v1/events?limit=2".to_owned());
    loop {
        let (status, page) = answered(&bench, Method::GET, &path, "").await;
        assert_eq!(status, StatusCode::OK);
        ids.extend(page["events"].as_array().unwrap().iter().map(|event| event["id"].clone()));
        let Some(next) = page["next"].as_str() else { break };
        path = format!("/api/v1/events?limit=2&after={next}");
    }
    let (_, all) = answered(&bench, Method::GET, "/api/v1/events", "").await;
    let whole: Vec<Value> =
        all["events"].as_array().unwrap().iter().map(|event| event["id"].clone()).collect();
    assert_eq!((ids.len(), ids), (3, whole));
    for odd in ["0", "1.1.critical.5", "1.1.over.x.0", "1.2.over.5.0", "1.1.high.5.0"] {
        let unknown = format!("/api/v1/events?after={odd}{}", "0".repeat(31));
        assert_eq!(answered(&bench, Method::GET, &unknown, "").await.0.as_u16(), 422, "{odd}");
    }

    let path = format!("/api/v1/events/{}", super::gateway::event_id(1));
    let tag = bench.get(&path, Some(Role::Viewer)).await.headers()["etag"].clone();
    let put = async |tag: &str| {
        let acknowledgement = format!("{path}/acknowledgement");
        let mut request = bench.request(Method::PUT, &acknowledgement, Some(Role::Operator), "");
        request.headers_mut().insert("if-match", tag.parse().unwrap());
        bench.ask(request).await.status()
    };
    assert_eq!(put("\"other\"").await, StatusCode::PRECONDITION_FAILED);
    assert!(bench.gateway.commands().is_empty());
    assert_eq!(put(tag.to_str().unwrap()).await, StatusCode::OK);
    assert_eq!(put("*").await, StatusCode::OK);
}
