//! Lines, zones and masks, as programs draw them.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use hyper::header::{CONTENT_TYPE, ETAG, HeaderMap, IF_MATCH};
use serde_json::Value;
use verge_domain::live::{Drawing, TaggedDrawing};

use super::json;
use crate::dashboard::access::{Role, Who};
use crate::dashboard::cameras::named;
use crate::dashboard::drawing::{DrawingDocument, TrialDocument};
use crate::dashboard::form::JsonBody;
use crate::dashboard::problem::Problem;
use crate::dashboard::routes::{Allowed, Routes};
use crate::dashboard::site::Site;

const SEES: Allowed = Allowed::From(Role::Viewer);
const DRAWS: Allowed = Allowed::From(Role::Operator);

pub(super) fn routes(routes: Routes) -> Routes {
    routes
        .get("/api/v1/drawings/{source}/{device}", SEES, read)
        .put("/api/v1/drawings/{source}/{device}", DRAWS, draw)
        .post("/api/v1/drawings/{source}/{device}/trial", DRAWS, try_out)
}

fn tagged(TaggedDrawing { drawing, tag, .. }: TaggedDrawing) -> Response {
    let text = serde_json::to_string(&DrawingDocument::from(drawing)).expect("texts and numbers are JSON");
    ([(CONTENT_TYPE, "application/json".to_owned()), (ETAG, format!("\"{tag}\""))], text).into_response()
}

async fn read(
    State(site): State<Arc<Site>>,
    Path((source, device)): Path<(String, String)>,
) -> Result<Response, Problem> {
    let name = named(&source, &device)?;
    site.drawings(&name, |drawings, name| drawings.drawing(name)).await.map(tagged)
}

fn document(keys: serde_json::Map<String, Value>) -> Result<Drawing, Problem> {
    let document: Result<DrawingDocument, _> = serde_json::from_value(Value::Object(keys));
    let document = document.map_err(|error| Problem::Invalid {
        what: "the body".to_owned(),
        expected: format!("expected a drawing as GET gives it: {error}"),
    })?;
    Ok(Drawing::from(&document))
}

async fn draw(
    State(site): State<Arc<Site>>,
    who: Who,
    headers: HeaderMap,
    Path((source, device)): Path<(String, String)>,
    JsonBody(keys): JsonBody,
) -> Result<Response, Problem> {
    let name = named(&source, &device)?;
    let rests_on =
        headers.get(IF_MATCH).and_then(|tag| tag.to_str().ok()).map(|tag| tag.trim_matches('"').to_owned());
    let rests_on = rests_on.ok_or(Problem::Outdated)?;
    let (drawing, by) = (document(keys)?, who.user);
    site.drawings(&name, move |drawings, name| {
        drawings.draw(name, &drawing, &rests_on, &by)?;
        drawings.drawing(name)
    })
    .await
    .map(tagged)
}

async fn try_out(
    State(site): State<Arc<Site>>,
    Path((source, device)): Path<(String, String)>,
    JsonBody(keys): JsonBody,
) -> Result<Response, Problem> {
    let (name, drawing) = (named(&source, &device)?, document(keys)?);
    let trial = site.drawings(&name, move |drawings, name| drawings.try_out(name, &drawing)).await?;
    Ok(json(&TrialDocument::from(trial)))
}
