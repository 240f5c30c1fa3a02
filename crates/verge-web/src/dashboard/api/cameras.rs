//! Cameras, their newest pictures, and what judges see in them.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use hyper::StatusCode;
use hyper::header::{CONTENT_TYPE, ETAG, HeaderMap, IF_NONE_MATCH};
use serde::Serialize;
use serde_json::{Value, json as json_value};

use super::operation::{count, flag, list as list_of, number, object, text, time};
use super::{Operation, Schema, json};
use crate::dashboard::access::{Role, Who};
use crate::dashboard::cameras::{CameraLine, Sight, named, tag_of};
use crate::dashboard::problem::Problem;
use crate::dashboard::routes::Routes;
use crate::dashboard::site::Site;

fn camera_parts() -> (Value, Value) {
    let open = object(
        json_value!({ "id": text("Identity of the event"), "severity": text("How grave it is"), "words": text("What it says") }),
        json_value!({}),
    );
    let required = json_value!({
        "source": text("The source"),
        "device": text("The device"),
        "age_ms": count("Since its newest frame, in ms"),
        "stale_after_ms": count("From this age on the newest frame is old, in ms"),
        "stale": flag("The newest frame is old"),
        "received": count("Frames that came"),
        "judged": count("Frames that were judged"),
        "passed_over": count("Frames that newer ones superseded, or that were too old"),
        "open": list_of(open),
    });
    (required, json_value!({ "usual_gap_ms": count("Usual time between frames, in ms") }))
}

fn camera() -> Value {
    let (required, optional) = camera_parts();
    object(required, optional)
}

fn place() -> Value {
    json_value!({ "type": "array", "prefixItems": [number("Right of the left side"), number("Below the top")], "minItems": 2, "maxItems": 2, "description": "In shares of the picture's sides" })
}

fn views_of_camera() -> Value {
    let picture = object(
        json_value!({
            "number": count("Another one with each picture"),
            "received": time("When it came"),
            "age_ms": count("Since then, in ms"),
            "width": count("In pixels"),
            "height": count("In pixels"),
            "masked": flag("Masks hide parts of it"),
        }),
        json_value!({}),
    );
    let area = json_value!({ "type": "array", "items": { "type": "number" }, "minItems": 4, "maxItems": 4, "description": "Left, top, width, height, in shares of the sides" });
    let object_seen = object(
        json_value!({ "judge": text("The judge"), "label": text("Its class"), "area": area }),
        json_value!({
            "score": number("How sure the model is, 0 to 1"),
            "track": count("The object that is followed"),
            "trail": list_of(place()),
        }),
    );
    let line = object(
        json_value!({
            "judge": text("The judge"), "name": text("The line"), "from": place(), "to": place(),
            "forward": count("Crossed forward in the running interval"),
            "backward": count("Crossed backward in the running interval"),
        }),
        json_value!({}),
    );
    let zone = object(
        json_value!({ "judge": text("The judge"), "name": text("The zone"), "corners": list_of(place()) }),
        json_value!({}),
    );
    let (mut required, mut optional) = camera_parts();
    required["objects"] = list_of(object_seen);
    required["remarks"] = list_of(text("Of the whole picture"));
    required["lines"] = list_of(line);
    required["zones"] = list_of(zone);
    optional["picture"] = picture;
    optional["interval_since"] = time("When the running interval began");
    object(required, optional)
}

const CAMERAS: Schema = Schema {
    name: "Cameras",
    make: || object(json_value!({ "cameras": list_of(camera()) }), json_value!({})),
};
const CAMERA: Schema = Schema { name: "Camera", make: camera };
const VIEWS: Schema = Schema { name: "CameraViews", make: views_of_camera };

pub(super) fn routes(routes: Routes) -> Routes {
    use Operation as Op;
    const ONE: &str = "/api/v1/cameras/{source}/{device}";
    const FRAME: &str = "/api/v1/cameras/{source}/{device}/frame";
    const SEEN: &str = "/api/v1/cameras/{source}/{device}/views";
    // Pictures are for the role that `dashboard.pictures` names, and this one at least.
    let picture = "Gives the newest picture, to the roles that `dashboard.pictures` names";
    let seen = "Says what is seen in the newest picture, to the roles that `dashboard.pictures` names";
    let pictures = Op::get(FRAME, Role::Viewer, picture).gives_media("image/jpeg").or(&[304]);
    routes
        .operation(Op::get("/api/v1/cameras", Role::Viewer, "Lists cameras").gives(CAMERAS), list)
        .operation(Op::get(ONE, Role::Viewer, "Shows one camera without its picture").gives(CAMERA), one)
        .operation(pictures, frame)
        .operation(Op::get(SEEN, Role::Viewer, seen).gives(VIEWS), views)
}

#[derive(Serialize)]
struct CameraList {
    cameras: Vec<CameraLine>,
}

async fn list(State(site): State<Arc<Site>>) -> Response {
    let open = site.open_words();
    let line = |camera| site.camera_line(camera, &open);
    json(&CameraList { cameras: site.cameras().iter().map(line).collect() })
}

async fn one(
    State(site): State<Arc<Site>>,
    Path((source, device)): Path<(String, String)>,
) -> Result<Response, Problem> {
    let camera = site.camera(&named(&source, &device)?)?;
    Ok(json(&site.camera_line(&camera, &site.open_words())))
}

async fn frame(
    State(site): State<Arc<Site>>,
    who: Who,
    headers: HeaderMap,
    Path((source, device)): Path<(String, String)>,
) -> Result<Response, Problem> {
    site.shows_pictures(&who)?;
    let picture = site.first_picture(&named(&source, &device)?).await?.ok_or(Problem::NoPicture)?;
    let tag = tag_of(&picture);
    let known = headers.get(IF_NONE_MATCH).and_then(|known| known.to_str().ok()).unwrap_or_default();
    if known.split(',').any(|known| known.trim().trim_start_matches("W/") == tag) {
        return Ok((StatusCode::NOT_MODIFIED, [(ETAG, tag)]).into_response());
    }
    let headers = [(CONTENT_TYPE, "image/jpeg".to_owned()), (ETAG, tag)];
    Ok((headers, picture.frame.jpeg.clone()).into_response())
}

#[derive(Serialize)]
struct CameraViews {
    #[serde(flatten)]
    camera: CameraLine,
    #[serde(flatten)]
    sight: Sight,
}

async fn views(
    State(site): State<Arc<Site>>,
    who: Who,
    Path((source, device)): Path<(String, String)>,
) -> Result<Response, Problem> {
    site.shows_pictures(&who)?;
    let name = named(&source, &device)?;
    let watched = site.watch(&name)?;
    let camera = site.camera_line(&site.camera(&name)?, &site.open_words());
    Ok(json(&CameraViews { camera, sight: site.sight(&watched) }))
}
