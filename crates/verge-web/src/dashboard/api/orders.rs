//! Labels, maintenance and repetition: what is about names, not about one event.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::response::Response;
use serde_json::{Map, Value, json as json_value};
use verge_domain::id::Lane;

use super::events::{DONE, REMARKS, remark_named};
use super::operation::{MAX_SEQ, count, list, name_schema, object, text, time, word};
use super::{Input, Operation, Schema, json};
use crate::dashboard::access::{Role, Who};
use crate::dashboard::command::carry_out;
use crate::dashboard::form::JsonBody;
use crate::dashboard::maintenance::{Window, windows};
use crate::dashboard::problem::Problem;
use crate::dashboard::routes::Routes;
use crate::dashboard::shown::Shown;
use crate::dashboard::site::Site;

/// A week.
const MAX_MINUTES: u64 = 10_080;

fn selected(more: Value) -> Value {
    let mut required = json_value!({ "device": name_schema("The device") });
    if let (Value::Object(all), Value::Object(more)) = (&mut required, more) {
        all.extend(more);
    }
    object(
        required,
        json_value!({
            "signal": name_schema("Only this signal of it"),
            "judge": name_schema("Only this judge"),
            "source": name_schema("Only of this source"),
        }),
    )
}

const LABEL: Schema = Schema {
    name: "Label",
    make: || selected(json_value!({ "remark": word("What the last alarm was", &REMARKS) })),
};
const MAINTENANCE: Schema = Schema {
    name: "Maintenance",
    make: || {
        let minutes = json_value!({ "type": "integer", "minimum": 1, "maximum": MAX_MINUTES });
        selected(json_value!({ "minutes": minutes }))
    },
};
const WINDOWS: Schema = Schema {
    name: "MaintenanceWindows",
    make: || {
        let window = object(
            json_value!({
                "id": text("Its identity, as long as it is open"),
                "kind": word("Work, or alarms that an operator took off the list", &["maintenance", "shelving"]),
                "device": text("The device"),
                "until": time("When it ends"),
            }),
            json_value!({
                "signal": text("The signal"), "judge": text("The judge"), "source": text("The source"),
                "by": text("Who shelved the alarms"), "note": text("Why"),
            }),
        );
        object(json_value!({ "windows": list(window) }), json_value!({}))
    },
};
const REPLAY: Schema = Schema {
    name: "Replay",
    make: || {
        let number = || json_value!({ "type": "integer", "minimum": 1, "maximum": MAX_SEQ });
        object(
            json_value!({
                "lane": word("The lane", &Lane::ALL.map(Lane::as_str)), "from": number(), "to": number(),
            }),
            json_value!({
                "epoch": json_value!({ "type": "string", "pattern": "^[0-9a-f]{32}$", "description": "The epoch that the numbers are of" }),
            }),
        )
    },
};
const REPLAYED: Schema = Schema {
    name: "Replayed",
    make: || {
        object(
            json_value!({
                "ok": json_value!({ "const": true }),
                "from": count("The first number that is sent again"),
                "to": count("The last one"),
                "queued": count("How many that are"),
            }),
            json_value!({}),
        )
    },
};

pub(super) fn routes(routes: Routes) -> Routes {
    use Operation as Op;
    const WINDOW: &str = "/api/v1/maintenance";
    routes
        .operation(
            Op::post("/api/v1/labels", Role::Operator, "Says what the last alarm about something was")
                .takes(LABEL)
                .gives(DONE)
                .or(&[404, 409, 429]),
            label,
        )
        .operation(
            Op::get(WINDOW, Role::Viewer, "Lists maintenance and shelved alarms").gives(WINDOWS),
            open_windows,
        )
        .operation(
            Op::post(WINDOW, Role::Operator, "Lets judges raise nothing for a while")
                .takes(MAINTENANCE)
                .gives(DONE)
                .or(&[404, 409, 429]),
            begin,
        )
        .operation(
            Op::delete(
                "/api/v1/maintenance/{id}",
                Role::Operator,
                "Ends maintenance, or puts shelved alarms back",
            )
            .gives(DONE)
            .or(&[409, 422, 429]),
            end,
        )
        .operation(
            Op::post(
                "/api/v1/routes/{name}/replay",
                Role::Operator,
                "Sends a range of verdicts upstream again",
            )
            .takes(REPLAY)
            .gives(REPLAYED)
            .or(&[409, 429]),
            replay,
        )
}

/// Reads what a command is about.
fn read_selected(input: &mut Input) -> Map<String, Value> {
    let names =
        ["device", "signal", "judge", "source"].map(|key| Some((key.to_owned(), input.name(key)?.into())));
    names.into_iter().flatten().collect()
}

fn command(name: &str, mut keys: Map<String, Value>) -> Value {
    keys.insert("id".to_owned(), "dashboard".into());
    keys.insert("command".to_owned(), name.into());
    Value::Object(keys)
}

async fn label(State(site): State<Arc<Site>>, who: Who, body: JsonBody) -> Result<Response, Problem> {
    let mut input = Input::body(body, &["device", "remark"]);
    let mut keys = read_selected(&mut input);
    if let Some(remark) = input.word("remark", remark_named, &REMARKS) {
        keys.insert("remark".to_owned(), remark.into());
    }
    input.done()?;
    Ok(json(&carry_out(&site, &who, &command("label", keys)).await?))
}

async fn open_windows(State(site): State<Arc<Site>>) -> Response {
    json(&json_value!({ "windows": windows(&site) }))
}

async fn begin(State(site): State<Arc<Site>>, who: Who, body: JsonBody) -> Result<Response, Problem> {
    let mut input = Input::body(body, &["device", "minutes"]);
    let mut keys = read_selected(&mut input);
    if let Some(minutes) = input.whole("minutes", 1..=MAX_MINUTES) {
        keys.insert("minutes".to_owned(), minutes.into());
    }
    input.done()?;
    Ok(json(&carry_out(&site, &who, &command("maintenance", keys)).await?))
}

async fn end(State(site): State<Arc<Site>>, who: Who, Path(id): Path<String>) -> Result<Response, Problem> {
    let window = windows(&site).into_iter().find(|window| window.id == id);
    let window = window.ok_or_else(|| {
        Problem::CommandUnknown(format!("no window {} is open: it may be over", Shown::of(&id).text))
    })?;
    Ok(json(&carry_out(&site, &who, &Window::end(&window)).await?))
}

async fn replay(
    State(site): State<Arc<Site>>,
    who: Who,
    Path(name): Path<String>,
    body: JsonBody,
) -> Result<Response, Problem> {
    let mut input = Input::body(body, &["lane", "from", "to"]);
    let mut keys = Map::new();
    if let Some(lane) = input.word("lane", Lane::named, &Lane::ALL.map(Lane::as_str)) {
        keys.insert("lane".to_owned(), lane.as_str().into());
    }
    for key in ["from", "to"] {
        if let Some(number) = input.whole(key, 1..=MAX_SEQ) {
            keys.insert(key.to_owned(), number.into());
        }
    }
    let epoch = input.hex("epoch");
    input.done()?;
    if let Some(epoch) = epoch {
        keys.insert("epoch".to_owned(), epoch.into());
    }
    keys.insert("route".to_owned(), name.into());
    Ok(json(&carry_out(&site, &who, &command("replay", keys)).await?))
}
