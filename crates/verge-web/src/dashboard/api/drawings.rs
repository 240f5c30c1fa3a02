//! Lines, zones and masks, as programs draw them.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use hyper::header::{CONTENT_TYPE, ETAG, HeaderMap, IF_MATCH};
use serde_json::{Value, json as json_value};
use verge_domain::live::{CameraName, Drawing, LiveDrawings, TaggedDrawing};

use super::events::unchanged;
use super::operation::{count, flag, list, object, text, time};
use super::{Operation, Schema, json};
use crate::dashboard::access::{Role, Who};
use crate::dashboard::actions::ActionWord;
use crate::dashboard::cameras::named;
use crate::dashboard::drawing::{DrawingDocument, TrialDocument};
use crate::dashboard::form::JsonBody;
use crate::dashboard::problem::Problem;
use crate::dashboard::routes::Routes;
use crate::dashboard::site::Site;

fn place() -> Value {
    let share = || json_value!({ "type": "number" });
    json_value!({ "type": "array", "items": share(), "minItems": 2, "maxItems": 2, "description": "From the left and from the top, in shares of the sides" })
}

fn drawing() -> Value {
    let line =
        object(json_value!({ "name": text("Its name"), "from": place(), "to": place() }), json_value!({}));
    let area =
        |more: Value| object(json_value!({ "name": text("Its name"), "polygon": list(place()) }), more);
    let by = object(json_value!({ "by": text("Who drew it"), "at": text("When") }), json_value!({}));
    let judge = object(
        json_value!({ "judge": text("The judge") }),
        json_value!({
            "lines": list(line),
            "zones": list(area(json_value!({}))),
            "also": list(text("Another camera that the judge looks at. Not read")),
            "drawn": by,
        }),
    );
    let masks = list(area(json_value!({ "fixed": flag("It stands in the file, and stays. Not read") })));
    object(json_value!({ "judges": list(judge) }), json_value!({ "masks": masks }))
}

fn trial() -> Value {
    let line = json_value!({
        "judge": text("The judge"), "name": text("The line"),
        "forward": count("Crossed forward"), "backward": count("Crossed backward"),
    });
    let zone = json_value!({
        "judge": text("The judge"), "name": text("The zone"), "objects": count("Objects that were in it"),
    });
    let tried = json_value!({
        "tracks": count("Objects that were followed meanwhile"),
        "lines": list(object(line, json_value!({}))),
        "zones": list(object(zone, json_value!({}))),
    });
    object(tried, json_value!({ "since": time("Since when objects were followed") }))
}

const DRAWING: Schema = Schema { name: "Drawing", make: drawing };
const TRIAL: Schema = Schema { name: "DrawingTrial", make: trial };

pub(super) fn routes(routes: Routes) -> Routes {
    use Operation as Op;
    const ONE: &str = "/api/v1/drawings/{source}/{device}";
    const TRY: &str = "/api/v1/drawings/{source}/{device}/trial";
    let takes = "Draws lines, zones and masks, as GET gives them";
    let tries = "Says what lines and zones would have counted; nothing is saved";
    routes
        .operation(
            Op::get(ONE, Role::Viewer, "Shows lines, zones and masks of a camera").gives(DRAWING),
            read,
        )
        .operation(
            Op::put(ONE, Role::Operator, takes).takes(DRAWING).gives(DRAWING).if_match_required().or(&[409]),
            draw,
        )
        .operation(Op::post(TRY, Role::Operator, tries).takes(DRAWING).gives(TRIAL).or(&[409]), try_out)
}

fn tagged(TaggedDrawing { drawing, tag, .. }: TaggedDrawing) -> Response {
    let text = serde_json::to_string(&DrawingDocument::from(drawing)).expect("texts and numbers are JSON");
    ([(CONTENT_TYPE, "application/json".to_owned()), (ETAG, quoted(&tag))], text).into_response()
}

fn quoted(tag: &str) -> String {
    format!("\"{tag}\"")
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
    if !headers.contains_key(IF_MATCH) {
        return Err(Problem::NoVersionNamed);
    }
    let (drawing, by) = (document(keys)?, who.user.clone());
    let rests_on = site.drawings(&name, |drawings, name| drawings.drawing(name)).await?.tag;
    unchanged(&headers, &quoted(&rests_on))?;
    let draw =
        move |drawings: &dyn LiveDrawings, name: &CameraName| drawings.draw(name, &drawing, &rests_on, &by);
    site.draws(&who, ActionWord::Draw, &name, draw).await?;
    site.drawings(&name, |drawings, name| drawings.drawing(name)).await.map(tagged)
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
