//! What pages show, and that nothing of what devices say becomes markup.

use std::time::Duration;

use hyper::{Method, StatusCode};
use verge_domain::configured::ReloadOutcome;
use verge_domain::live::CommandOutcome;
use verge_domain::verdict::EventState;

use super::gateway::{HOSTILE, TestGateway, event_id, signal_path, word};
use super::{Bench, text};
use crate::dashboard::access::Role;

#[tokio::test]
async fn nothing_that_a_device_says_becomes_markup() {
    let bench = Bench::new();
    let event = format!("/events/{}", event_id(1));
    let camera = format!("/cameras/{}", crate::dashboard::cameras::path_of(&super::gateway::camera()));
    let signal = format!("/signals/{}", signal_path());
    let day = format!("{signal}?span=day");
    let query = "/events?device=%22%3E%3Cscript%3Ealert(1)%3C/script%3E&judge=%27%3E%3Cimg%20src=x%3E";
    for path in [
        "/",
        "/?wall",
        "/events",
        "/cameras",
        "/cameras/scenes",
        &camera,
        &camera.replace("/cameras/", "/lines/"),
        query,
        &event,
        "/accounts",
        "/signals",
        "/signals?name=%22%3E%3Cscript%3E",
        &signal,
        &day,
        "/models",
        "/actions",
        "/configuration",
        "/configuration?all",
        "/api",
        "/login?next=%22%3E%3Cscript%3E",
        "/nothing/%3Cscript%3E",
    ] {
        let page = text(bench.get(path, Some(Role::Admin)).await).await;
        for markup in ["<script>", "<img src=x", "<b>room", "g<b>", "<i>"] {
            assert!(!page.contains(markup), "{path} has {markup}:\n{page}");
        }
        // Attributes for programs hold names as they are.
        let seen: String =
            page.split('<').filter_map(|piece| piece.split_once('>')).map(|(_, text)| text).collect();
        assert!(!seen.contains('\u{202e}'), "{path} turns its text around:\n{seen}");
        for inline in [" style=", " onclick", " onload", "javascript:", "http://", "https://"] {
            assert!(!page.contains(inline), "{path} has {inline}");
        }
        // Scenes are parts of the page of cameras.
        let is_whole = page.starts_with("<!doctype html>") || path == "/cameras/scenes";
        assert!(page.len() < 300_000 && is_whole, "{path}");
    }
    let list = text(bench.get("/events", Some(Role::Operator)).await).await;
    assert!(list.contains("&#60;script&#62;alert(1)") && list.contains("[U+202E]"), "{list}");
    assert!(HOSTILE.len() < 128);
}

#[tokio::test]
async fn a_flood_of_events_is_shown_page_by_page() {
    // Names that take all of their room and are escaped throughout.
    let name = |number: u8| format!("{number:03}{}", "<".repeat(125));
    let words: Vec<_> = (1..=120).map(|number| word(number, &name(number), EventState::Raised)).collect();
    let bench = Bench::with(TestGateway::of(words));
    let (mut path, mut seen) = ("/events".to_owned(), Vec::new());
    loop {
        let page = text(bench.get(&path, Some(Role::Operator)).await).await;
        assert!(page.len() < 300_000, "{path}: {} bytes", page.len());
        seen.extend(page.split("data-event=\"").skip(1).map(|rest| rest[..32].to_owned()));
        let next = page.split_once("rel=\"next\"").and_then(|(before, _)| before.rsplit_once("href=\""));
        let Some((_, next)) = next else { break };
        path = next.split_once('"').unwrap().0.replace("&#38;", "&");
    }
    let all: std::collections::BTreeSet<_> = seen.iter().collect();
    assert_eq!((seen.len(), all.len()), (120, 120), "each once");
    // Of what does not name a place the list begins anew.
    let page = text(bench.get(&format!("/events?after={}", "0".repeat(32)), Some(Role::Viewer)).await).await;
    assert!(page.contains(&seen[0]) && page.contains("70 more"));
    assert!(!page.contains("type=\"checkbox\""), "a viewer selects nothing");
}

#[tokio::test]
async fn nothing_that_waits_is_left_out_behind_events_that_were_acknowledged() {
    let words = (1..=60).map(|number| word(number, &format!("pump-{number}"), EventState::Raised)).collect();
    let bench = Bench::with(TestGateway::of(words));
    let list = async |path: &str| {
        let page = text(bench.get(path, Some(Role::Operator)).await).await;
        let ids = page.split("data-event=\"").skip(1).map(|rest| rest[..32].to_owned());
        (ids.collect::<Vec<_>>(), page)
    };
    let (first, page) = list("/events").await;
    let next = page.split_once("\" rel=\"next\"").unwrap().0.rsplit_once("href=\"").unwrap().1.to_owned();
    assert!(
        page.find("id=\"several\"").unwrap() < page.find("data-live=\"events\"").unwrap(),
        "the form stays while the list changes"
    );
    first.iter().for_each(|id| bench.gateway.acknowledge(id));
    let (second, _) = list(&next).await;
    let waiting: Vec<_> = (51..=60).map(event_id).collect();
    assert_eq!(second[..10], waiting);
    assert_eq!((second.len(), second[10].clone()), (50, first[0].clone()), "then what is behind it now");
}

#[tokio::test]
async fn several_events_are_acknowledged_at_once() {
    let bench = Bench::with(TestGateway::of((1..=3).map(|n| word(n, "pump", EventState::Raised)).collect()));
    let post = |body: String| {
        let request = bench.request(Method::POST, "/events/acknowledge", Some(Role::Operator), &body);
        bench.ask(request)
    };
    assert_eq!(post(String::new()).await.status(), StatusCode::UNPROCESSABLE_ENTITY, "nothing is selected");
    let body = format!("event={}&event={}&event={}&note=seen", event_id(1), event_id(9), event_id(2));
    assert_eq!(post(body).await.status(), StatusCode::SEE_OTHER, "one is over already");
    let commands = bench.gateway.commands();
    let numbers: Vec<_> = commands.iter().map(|(_, command)| command["event"].as_u64()).collect();
    assert_eq!(numbers, [Some(1), Some(2)]);
    assert!(commands.iter().all(|(by, command)| by == "dashboard: operator" && command["note"] == "seen"));
    let many = format!("event={}&", event_id(1)).repeat(51);
    assert_eq!(post(many).await.status(), StatusCode::UNPROCESSABLE_ENTITY);
}

#[tokio::test(start_paused = true)]
async fn several_acknowledgements_end_before_their_request_does_and_say_how_many_there_were() {
    let bench = Bench::with(TestGateway::of((1..=50).map(|n| word(n, "pump", EventState::Raised)).collect()));
    let body: String = (1..=50).map(|number| format!("event={}&", event_id(number))).collect();
    let post = async || {
        let began = tokio::time::Instant::now();
        let request = bench.request(Method::POST, "/events/acknowledge", Some(Role::Operator), &body);
        let answer = bench.ask(request).await;
        assert!(began.elapsed() < Duration::from_millis(8_500), "{:?}", began.elapsed());
        (began.elapsed(), answer.status().as_u16(), text(answer).await)
    };
    let (lasted, status, _) = post().await;
    assert_eq!((status, bench.gateway.commands().len()), (303, 50), "a whole page");
    assert!(lasted > Duration::from_secs(5), "others have their part of the rate: {lasted:?}");
    bench.gateway.answer_with(CommandOutcome::TooOften);
    let (_, status, page) = post().await;
    assert!(status == 429 && page.contains("0 of 50 events are acknowledged"), "{status} {page}");
    // One of them is not committed.
    bench.gateway.answer_with(CommandOutcome::Done);
    bench.gateway.hold_back();
    let before = bench.gateway.commands().len();
    let (_, status, page) = post().await;
    assert!(status == 429 && page.contains("0 of 50 events are acknowledged"), "{status} {page}");
    assert_eq!(bench.gateway.commands().len(), before + 1, "none is sent behind the last one");
}

#[tokio::test]
async fn an_event_that_is_over_is_labelled() {
    let bench = Bench::new();
    let page = text(bench.get(&format!("/events/{}", event_id(2)), Some(Role::Operator)).await).await;
    assert!(page.contains("This was") && !page.contains(">Acknowledge"), "{page}");
    let path = format!("/events/{}/label", event_id(2));
    let answer = bench.ask(bench.request(Method::POST, &path, Some(Role::Operator), "remark=false")).await;
    assert_eq!(answer.status(), StatusCode::SEE_OTHER);
    let (_, command) = bench.gateway.commands().remove(0);
    assert_eq!((&command["command"], &command["event"]), (&"label".into(), &2.into()));
    let viewed = text(bench.get(&format!("/events/{}", event_id(2)), Some(Role::Viewer)).await).await;
    assert!(!viewed.contains("This was"), "a viewer does not");
}

#[tokio::test]
async fn an_event_has_the_hooks_that_programs_rely_on() {
    let bench = Bench::new();
    let list = text(bench.get("/events", Some(Role::Operator)).await).await;
    let hook = format!(
        "data-event=\"{}\" data-device=\"pump-2\" data-judge=\"j\" data-state=\"cleared\" data-acknowledged=\"false\"",
        event_id(2)
    );
    assert!(list.contains(&hook), "{list}");
    assert!(list.contains("observed <b>8.25</b>") && list.contains("expected <b>at most 7.5</b>"));
    assert!(list.contains(">Acknowledge</button>"));
    let of_viewer = text(bench.get("/events", Some(Role::Viewer)).await).await;
    assert!(!of_viewer.contains("Acknowledge") && !of_viewer.contains("/shelve"), "{of_viewer}");
    let open = text(bench.get("/events?state=open", Some(Role::Viewer)).await).await;
    assert!(!open.contains("pump-2") && open.contains("pump-3"));
    let none = text(bench.get("/events?device=nobody", Some(Role::Viewer)).await).await;
    assert!(none.contains("No event that the filter takes"));
    let missing = bench.get(&format!("/events/{}", event_id(9)), Some(Role::Viewer)).await;
    assert_eq!(missing.status(), StatusCode::NOT_FOUND);
    assert!(text(missing).await.contains("is not known here"));
}

#[tokio::test]
async fn numbers_stand_with_their_place_in_the_status() {
    let bench = Bench::new();
    let accounts = text(bench.get("/accounts", Some(Role::Viewer)).await).await;
    for hook in [
        "data-status=\"/sources/0/received\" data-value=\"1234\"",
        "data-status=\"/store/committed/2\" data-value=\"3\"",
        "data-status=\"/routes/0/backlog\"",
    ] {
        assert!(accounts.contains(hook), "{hook}");
    }
    let wall = text(bench.get("/?wall", Some(Role::Viewer)).await).await;
    assert!(wall.contains("class=\"wall\"") && !wall.contains("<nav") && !wall.contains("<button"), "{wall}");
    assert!(wall.contains("not connected, 7 verdicts wait"));
}

#[test]
fn templates_trust_nothing() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/templates");
    for file in std::fs::read_dir(folder).unwrap() {
        let path = file.unwrap().path();
        let template = std::fs::read_to_string(&path).unwrap();
        for forbidden in ["|safe", "| safe", "escape=", "<style", " style=", " onclick=", "<script>"] {
            assert!(!template.contains(forbidden), "{} has {forbidden}", path.display());
        }
    }
}

#[tokio::test]
async fn a_configuration_is_checked_and_taken_up_on_its_page_and_nothing_pasted_becomes_markup() {
    let bench = Bench::new();
    let post = async |path: &str, body: &str| {
        let answer = bench.ask(bench.request(Method::POST, path, Some(Role::Admin), body)).await;
        assert_eq!(answer.status(), StatusCode::OK, "{path}");
        text(answer).await
    };
    let page = text(bench.get("/configuration", Some(Role::Admin)).await).await;
    assert!(
        page.contains("data-key=\"gateway.password\" data-origin=\"environment\"")
            && page.contains("VERGE__LOCAL__PASSWORD")
    );
    assert!(page.contains("line 7") && !page.contains("store_cap") && page.contains("id=\"said\""));
    assert!(text(bench.get("/configuration?all", Some(Role::Admin)).await).await.contains("store_cap"));
    assert!(!page.contains("id=\"reload-now\""));

    let pasted = post("/configuration/check", "text=%3C/textarea%3E%3Cscript%3Ealert(1)%3C/script%3E").await;
    assert!(pasted.contains("1 fault") && pasted.contains("data-said=\"refused\""));
    assert!(!pasted.contains("<script>") && !pasted.contains("</textarea><"), "{pasted}");
    let good = post("/configuration/check", "text=good+%3D+1").await;
    assert!(good.contains("No fault.") && good.contains("a &#60;b&#62;remark"), "{good}");

    let dry = post("/configuration/reload", "").await;
    assert!(dry.contains("a reload would take this up") && dry.contains("id=\"reload-now\""));
    assert!(!dry.contains("<script>"));
    post("/configuration/reload", "now=yes").await;
    bench.gateway.reload_with(ReloadOutcome::NeedsRestart);
    let refused = post("/configuration/reload", "").await;
    assert!(refused.contains("data-said=\"refused\"") && !refused.contains("id=\"reload-now\""));
    let runs: Vec<_> =
        bench.gateway.commands().iter().map(|(_, command)| command["dry_run"].clone()).collect();
    assert_eq!(runs, [true, false, true]);
}

#[tokio::test]
async fn every_operation_stands_on_the_page_of_the_interface() {
    let bench = Bench::new();
    let page = text(bench.get("/api", Some(Role::Viewer)).await).await;
    for route in crate::dashboard::table().table().iter().filter_map(|route| route.operation.as_ref()) {
        let line = format!("{} {}", route.verb.method(), route.path);
        assert!(page.contains(&line), "{line}");
    }
}

#[tokio::test]
async fn who_did_what_is_shown_with_the_newest_first() {
    let bench = Bench::new();
    let read = async |path: &str| text(bench.get(path, Some(Role::Viewer)).await).await;
    assert!(read("/actions").await.contains("Nobody has done anything."));
    let path = format!("/events/{}/acknowledge", event_id(1));
    for number in 1..=52 {
        let body = format!("note=%3Cb%3Eround+{number}");
        let answer = bench.ask(bench.request(Method::POST, &path, Some(Role::Operator), &body)).await;
        assert_eq!(answer.status(), StatusCode::SEE_OTHER);
    }
    let page = read("/actions").await;
    let (newest, before) = (page.find("&#60;b&#62;round 52").unwrap(), page.find("round 51").unwrap());
    assert!(newest < before && page.contains(">operator<") && page.contains(">acknowledge<"), "{page}");
    assert!(!page.contains("round 2<") && page.contains("href=\"/actions?before=3\""), "{page}");
    let older = read("/actions?before=3&who=operator&what=acknowledge").await;
    assert!(older.contains("round 2<") && older.contains("round 1<") && !older.contains("rel=\"next\""));
    let nobody = read("/actions?who=%3Cscript%3E").await;
    assert!(nobody.contains("that the filter takes") && !nobody.contains("<script>"), "{nobody}");
}
