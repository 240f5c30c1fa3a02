//! Cameras, their newest pictures, and what judges see in them.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use hyper::StatusCode;
use hyper::header::{CONTENT_TYPE, ETAG, HeaderMap, IF_NONE_MATCH};
use serde::Serialize;

use super::json;
use crate::dashboard::access::{Role, Who};
use crate::dashboard::cameras::{CameraLine, Sight, named, tag_of};
use crate::dashboard::problem::Problem;
use crate::dashboard::routes::{Allowed, Routes};
use crate::dashboard::site::Site;

const SEES: Allowed = Allowed::From(Role::Viewer);

pub(super) fn routes(routes: Routes) -> Routes {
    routes
        .get("/api/v1/cameras", SEES, list)
        .get("/api/v1/cameras/{source}/{device}", SEES, one)
        // From the role on that `dashboard.pictures` names.
        .get("/api/v1/cameras/{source}/{device}/frame", SEES, frame)
        .get("/api/v1/cameras/{source}/{device}/views", SEES, views)
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
