//! Lines, zones and masks: drawn by programs and by the form, tried, refused, undone.

use std::sync::Mutex;

use hyper::header::{ETAG, HeaderValue, IF_MATCH, LOCATION};
use hyper::{Method, StatusCode};
use serde_json::{Value, json};
use verge_domain::live::{
    CameraName, Drawing, DrawingError, DrawingTrial, DrawnJudge, DrawnLine, DrawnMask, DrawnZone,
    LiveDrawings, TaggedDrawing,
};
use verge_domain::time::UtcMillis;

use super::gateway::{HOSTILE, camera};
use super::{Bench, text};
use crate::dashboard::access::Role;
use crate::dashboard::cameras::path_of;

/// Drawings in memory. The name `bad` is a fault.
pub(super) struct TestDrawings(Mutex<(u32, Drawing, Option<String>)>);

impl Default for TestDrawings {
    fn default() -> Self {
        let judge = DrawnJudge {
            judge: "crossing".to_owned(),
            lines: vec![DrawnLine { name: HOSTILE.to_owned(), ends: [[0.1, 0.5], [0.9, 0.5]] }],
            zones: vec![DrawnZone {
                name: "box".to_owned(),
                corners: vec![[0.1, 0.1], [0.2, 0.1], [0.2, 0.2]],
            }],
            also: vec![format!("s/{HOSTILE}")],
            drawn: None,
        };
        let mask = DrawnMask {
            name: "window".to_owned(),
            corners: vec![[0.0, 0.0], [0.1, 0.0], [0.1, 0.1]],
            fixed: true,
        };
        Self(Mutex::new((1, Drawing { judges: vec![judge], masks: vec![mask] }, None)))
    }
}

impl LiveDrawings for TestDrawings {
    fn drawing(&self, _: &CameraName) -> Result<TaggedDrawing, DrawingError> {
        let (tag, drawing, _) = &*self.0.lock().unwrap();
        Ok(TaggedDrawing { drawing: drawing.clone(), tag: tag.to_string(), can_undo: *tag > 1 })
    }

    fn try_out(&self, _: &CameraName, drawing: &Drawing) -> Result<DrawingTrial, DrawingError> {
        let judges = drawing.judges.iter();
        let lines = judges.flat_map(|judge| {
            judge.lines.iter().map(|line| (judge.judge.clone(), line.name.clone(), [4, 2]))
        });
        Ok(DrawingTrial {
            since: Some(UtcMillis(5_000)),
            tracks: 9,
            lines: lines.collect(),
            zones: Vec::new(),
        })
    }

    fn draw(&self, _: &CameraName, drawing: &Drawing, rests_on: &str, by: &str) -> Result<(), DrawingError> {
        let (tag, known, who) = &mut *self.0.lock().unwrap();
        if tag.to_string() != rests_on {
            return Err(DrawingError::Changed);
        }
        let mut lines = drawing.judges.iter().flat_map(|judge| &judge.lines);
        if lines.any(|line| line.name == "bad") {
            return Err(DrawingError::Faulty(vec!["<b>line bad</b>".to_owned(), "more".to_owned()]));
        }
        (*tag, *known, *who) = (*tag + 1, drawing.clone(), Some(by.to_owned()));
        Ok(())
    }

    fn undo(&self, _: &CameraName, rests_on: &str, _: &str) -> Result<(), DrawingError> {
        let is_present = self.0.lock().unwrap().0.to_string() == rests_on;
        Err(if is_present { DrawingError::NoVersion } else { DrawingError::Changed })
    }
}

fn path() -> String {
    format!("/api/v1/drawings/{}", path_of(&camera()))
}

#[tokio::test]
async fn programs_draw_what_rests_on_what_they_have_read() {
    let bench = Bench::new();
    let answer = bench.get(&path(), Some(Role::Viewer)).await;
    let tag = answer.headers()[ETAG].clone();
    assert_eq!(tag, "\"1\"");
    let mut drawing: Value = serde_json::from_str(&text(answer).await).unwrap();
    assert_eq!(drawing["judges"][0]["lines"][0]["to"], json!([0.9, 0.5]));
    let put = async |drawing: &Value, tag: Option<&HeaderValue>| {
        let mut request = bench.request(Method::PUT, &path(), Some(Role::Operator), &drawing.to_string());
        if let Some(tag) = tag {
            request.headers_mut().insert(IF_MATCH, tag.clone());
        }
        let answer = bench.ask(request).await;
        (answer.status().as_u16(), serde_json::from_str::<Value>(&text(answer).await).unwrap())
    };
    drawing["judges"][0]["lines"][0]["name"] = "bad".into();
    let (status, problem) = put(&drawing, Some(&tag)).await;
    assert_eq!(
        (status, &problem["type"], problem["faults"].as_array().unwrap().len()),
        (422, &"invalid".into(), 2)
    );
    drawing["judges"][0]["lines"][0]["name"] = "stop".into();
    assert_eq!(
        (&problem["detail"], &problem["faults"][0]["pointer"]),
        (&"<b>line bad</b>; more".into(), &"".into())
    );
    let (status, problem) = put(&drawing, None).await;
    assert_eq!((status, &problem["type"]), (428, &"no_if_match".into()), "without a tag");
    assert_eq!(put(&json!({ "lines": [] }), Some(&tag)).await.0, 422);
    let (status, drawn) = put(&drawing, Some(&tag)).await;
    assert_eq!((status, &drawn["judges"][0]["lines"][0]["name"]), (200, &"stop".into()));
    assert_eq!(bench.gateway.drawings.0.lock().unwrap().2.as_deref(), Some("operator"));
    assert_eq!(put(&drawing, Some(&tag)).await.0, 412, "somebody was faster");
    let trial =
        bench.request(Method::POST, &format!("{}/trial", path()), Some(Role::Operator), &drawing.to_string());
    let trial: Value = serde_json::from_str(&text(bench.ask(trial).await).await).unwrap();
    assert_eq!((&trial["tracks"], &trial["lines"][0]["forward"]), (&9.into(), &4.into()));
}

#[tokio::test]
async fn the_form_draws_without_a_script() {
    let bench = Bench::new();
    bench.get(&format!("/api/v1/cameras/{}/frame", path_of(&camera())), Some(Role::Operator)).await;
    let editor = format!("/lines/{}", path_of(&camera()));
    let page = text(bench.get(&editor, Some(Role::Operator)).await).await;
    for part in [
        "name=\"l0-x0\" value=\"0.1\"",
        "name=\"z1-y2\" value=\"0.2\"",
        "name=\"m2-fixed\"",
        "value=\"save\"",
    ] {
        assert!(page.contains(part), "{part} is not in\n{page}");
    }
    assert!(!page.contains("<script>") && !page.contains("Undo"), "{page}");
    assert_eq!(bench.get(&editor, Some(Role::Viewer)).await.status(), StatusCode::FORBIDDEN);

    let post =
        async |body: &str| bench.ask(bench.request(Method::POST, &editor, Some(Role::Operator), body)).await;
    let fields = "judges=crossing&l0-judge=crossing&l0-name=stop&l0-x0=0.25&l0-y0=0.5&l0-x1=0.75&l0-y1=0.5\
                  &z1-judge=crossing&z1-name=box&z1-out=1&m2-name=window&m2-fixed=1&m2-x0=0&m2-y0=0&tag=1";
    let tried = text(post(&format!("{fields}&action=try")).await).await;
    assert!(tried.contains("data-tried=\"stop\"") && tried.contains("4 forward, 2 backward"), "{tried}");
    assert!(
        tried.contains("Tried on 9 objects") && tried.contains("name=\"l0-x0\" value=\"0.25\""),
        "{tried}"
    );
    let added = text(post(&format!("{fields}&action=zone:crossing")).await).await;
    assert!(added.contains("value=\"zone-1\"") && added.contains("name=\"z1-x3\""), "{added}");
    let bad = text(post(&format!("{}&action=save", fields.replace("stop", "bad"))).await).await;
    assert!(bad.contains("Not saved") && bad.contains("&#60;b&#62;line bad"), "{bad}");
    let saved = post(&format!("{fields}&action=save")).await;
    assert_eq!(
        (saved.status(), saved.headers()[LOCATION].to_str().unwrap()),
        (StatusCode::SEE_OTHER, &*editor)
    );
    let judge = bench.gateway.drawings.0.lock().unwrap().1.judges[0].clone();
    assert_eq!((judge.lines[0].ends, judge.zones.len()), ([[0.25, 0.5], [0.75, 0.5]], 0));
    let late = text(post(&format!("{fields}&action=save")).await).await;
    assert!(late.contains("have changed since"), "{late}");
    let undone = text(post(&format!("{fields}&action=undo")).await).await;
    assert!(undone.contains("have changed since"), "{undone}");
    let undone = text(post(&format!("{}&action=undo", fields.replace("tag=1", "tag=2"))).await).await;
    assert!(undone.contains("no earlier version"), "{undone}");
    let many: String = (0..4_100).map(|number| format!("&a{number}=")).collect();
    let refused = post(&format!("{fields}{many}&action=save")).await;
    assert_eq!(refused.status(), StatusCode::UNPROCESSABLE_ENTITY, "more fields than are read");
}
