//! Cameras: who sees pictures, what is kept while somebody watches, and what stands on the pages.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use hyper::header::{CONTENT_TYPE, ETAG, IF_NONE_MATCH};
use hyper::{Method, StatusCode};
use verge_domain::frame::{
    Detection, Detections, PixelBox, SceneSketch, Score, ShownFrame, SketchedLine, SketchedTrack,
    SketchedZone, View,
};
use verge_domain::id::{DeviceId, JudgeId, Label, PlaceId, SourceId};
use verge_domain::live::{
    CameraCourse, CameraName, LiveCamera, LiveCameras, LivePicture, WatchError, WatchedCamera,
};
use verge_domain::observation::Captured;
use verge_domain::time::{Moment, UtcMillis};

use super::gateway::HOSTILE;
use super::{Bench, settings, text};
use crate::dashboard::access::{PictureAccess, Role};
use crate::dashboard::cameras::path_of;

/// The names of a hostile camera.
pub(super) fn camera() -> CameraName {
    CameraName { source: SourceId::new("s").unwrap(), device: DeviceId::new(HOSTILE).unwrap() }
}

/// One camera, with a picture of 640 x 480 from the second time on that somebody asks.
#[derive(Default)]
pub(super) struct TestCameras {
    pub(super) asked: AtomicUsize,
    age: Mutex<Duration>,
}

fn picture() -> Arc<LivePicture> {
    let object = Detection {
        label: Label::new("car").unwrap(),
        score: Score::new(0.91).unwrap(),
        area: PixelBox { x: 64, y: 48, width: 128, height: 96 },
        track: None,
    };
    let view = View::Detections(Detections { width: 640, height: 480, objects: vec![object] });
    let frame = ShownFrame {
        jpeg: Bytes::from_static(b"\xff\xd8 picture \xff\xd9"),
        width: 640,
        height: 480,
        masked: false,
        views: vec![(JudgeId::new("vehicles").unwrap(), view)],
    };
    let received = Moment::from_wall(UtcMillis(59_000));
    Arc::new(LivePicture { number: 7, frame, captured: Captured::UNKNOWN, received })
}

fn sketch() -> SceneSketch {
    SceneSketch {
        lines: vec![SketchedLine {
            name: PlaceId::new("stop").unwrap(),
            from: [0.0, 0.5],
            to: [1.0, 0.5],
            counts: [40, 30],
            running: [4, 3],
        }],
        zones: vec![SketchedZone {
            name: PlaceId::new("box").unwrap(),
            corners: vec![[0.1, 0.1], [0.2, 0.1], [0.2, 0.2]],
        }],
        tracks: vec![SketchedTrack {
            number: 12,
            label: Label::new("truck").unwrap(),
            area: [0.5, 0.5, 0.1, 0.1],
            trail: vec![[0.4, 0.6], [0.5, 0.6]],
        }],
        running_since: Some(UtcMillis(0)),
    }
}

impl TestCameras {
    fn line(&self) -> LiveCamera {
        let course = CameraCourse {
            came: 1_234,
            taken: 1_200,
            passed_over: 34,
            usual_gap: Some(Duration::from_millis(500)),
        };
        LiveCamera { name: camera(), age: *self.age.lock().unwrap(), course }
    }
}

impl LiveCameras for TestCameras {
    fn list(&self) -> Vec<LiveCamera> {
        vec![self.line()]
    }

    fn one(&self, name: &CameraName) -> Option<LiveCamera> {
        (*name == camera()).then(|| self.line())
    }

    fn watch(&self, name: &CameraName) -> Result<WatchedCamera, WatchError> {
        if *name != camera() {
            return Err(WatchError::Unknown);
        }
        let is_first = self.asked.fetch_add(1, Ordering::Relaxed) == 0;
        let scene = Arc::from([(JudgeId::new("crossing").unwrap(), sketch())]);
        Ok(WatchedCamera { picture: (!is_first).then(picture), scene })
    }
}

fn path(rest: &str) -> String {
    format!("/api/v1/cameras/{}{rest}", path_of(&camera()))
}

#[tokio::test]
async fn a_picture_is_the_cameras_own_bytes_and_has_a_tag() {
    let bench = Bench::new();
    let answer = bench.get(&path("/frame"), Some(Role::Viewer)).await;
    assert_eq!(
        (answer.status(), &answer.headers()[CONTENT_TYPE]),
        (StatusCode::OK, &"image/jpeg".parse().unwrap())
    );
    assert_eq!(bench.gateway.cameras.asked.load(Ordering::Relaxed), 2, "waits for the first one");
    let tag = answer.headers()[ETAG].clone();
    assert_eq!(tag, "\"59000-7\"");
    let bytes = axum::body::to_bytes(answer.into_body(), 1 << 20).await.unwrap();
    assert_eq!(bytes, picture().frame.jpeg);
    let mut request = bench.request(Method::GET, &path("/frame"), Some(Role::Viewer), "");
    request.headers_mut().insert(IF_NONE_MATCH, tag);
    assert_eq!(bench.ask(request).await.status(), StatusCode::NOT_MODIFIED);
    let missing = bench.get("/api/v1/cameras/s/nobody/frame", Some(Role::Viewer)).await;
    assert_eq!(missing.status(), StatusCode::NOT_FOUND);
    assert!(text(missing).await.contains("unknown_camera"));
}

#[tokio::test]
async fn pictures_are_for_the_role_that_the_configuration_names() {
    for (pictures, allowed) in [
        (PictureAccess::Viewer, [true, true, true]),
        (PictureAccess::Operator, [false, true, true]),
        (PictureAccess::Off, [false, false, false]),
    ] {
        let bench = Bench::of(|folder| crate::dashboard::DashboardSettings { pictures, ..settings(folder) });
        for (role, allowed) in Role::ALL.into_iter().zip(allowed) {
            let expected = if allowed { StatusCode::OK } else { StatusCode::FORBIDDEN };
            let scene = format!("/cameras/{}/scene", path_of(&camera()));
            for path in [path("/frame"), path("/views"), scene, "/cameras/scenes".to_owned()] {
                assert_eq!(bench.get(&path, Some(role)).await.status(), expected, "{pictures} {role} {path}");
            }
            // What came and what is open is for everybody.
            assert_eq!(bench.get(&path(""), Some(role)).await.status(), StatusCode::OK);
            let page = text(bench.get("/cameras", Some(role)).await).await;
            assert_eq!(page.contains("<img"), allowed, "{pictures} {role}");
            assert!(page.contains("data-age-ms"), "{page}");
            let wall = text(bench.get("/?wall", Some(role)).await).await;
            assert_eq!(wall.contains("<img"), allowed, "the worst event is the camera's");
        }
        if pictures == PictureAccess::Off {
            assert_eq!(bench.gateway.cameras.asked.load(Ordering::Relaxed), 0, "nothing is kept for nobody");
        }
    }
}

#[tokio::test]
async fn what_is_seen_stands_as_text_and_as_a_drawing() {
    let bench = Bench::new();
    bench.get(&path("/frame"), Some(Role::Viewer)).await;
    let page = text(bench.get(&format!("/cameras/{}", path_of(&camera())), Some(Role::Viewer)).await).await;
    for part in [
        "data-stale=\"false\"",
        "data-detection=\"car\"",
        "data-detection=\"truck\"",
        "car 0.91, above, left",
        "truck #12",
        "<rect x=\"64.0\" y=\"48.0\" width=\"128.0\" height=\"96.0\"/>",
        "<polyline class=\"line\" points=\"0.0,240.0 640.0,240.0\"/>",
        "<polyline class=\"trail\"",
        "<polygon class=\"zone\"",
        "4 forward, 3 backward",
        "no picture since",
    ] {
        assert!(page.contains(part), "{part} is not in\n{page}");
    }
    let views: serde_json::Value =
        serde_json::from_str(&text(bench.get(&path("/views"), Some(Role::Viewer)).await).await).unwrap();
    assert_eq!((&views["picture"]["number"], &views["stale"]), (&7.into(), &false.into()));
    assert_eq!(views["lines"][0]["forward"], 4);
    assert_eq!(views["objects"][1]["area"], serde_json::json!([0.1, 0.1, 0.2, 0.2]));
    assert_eq!(views["open"][0]["severity"], "critical");
    // A picture is old after three times the usual gap, and three seconds.
    bench.gateway.pass(2_000);
    let page = text(bench.get("/cameras/scenes", Some(Role::Viewer)).await).await;
    assert!(page.contains("data-stale=\"false\"") && page.contains("data-age-ms=\"3000\""), "{page}");
    bench.gateway.pass(1);
    let page = text(bench.get("/cameras/scenes", Some(Role::Viewer)).await).await;
    assert!(page.contains("data-stale=\"true\""), "{page}");
}

#[tokio::test]
async fn a_camera_that_sends_nothing_is_called_blind() {
    let bench = Bench::new();
    let overview = text(bench.get("/", Some(Role::Viewer)).await).await;
    assert!(overview.contains("1\u{202f}234 frames, the newest 0 s ago"), "{overview}");
    *bench.gateway.cameras.age.lock().unwrap() = Duration::from_secs(90);
    let overview = text(bench.get("/", Some(Role::Viewer)).await).await;
    assert!(overview.contains("no picture since 1 min"), "{overview}");
    assert_eq!(bench.gateway.cameras.asked.load(Ordering::Relaxed), 0, "an overview watches no camera");
}
