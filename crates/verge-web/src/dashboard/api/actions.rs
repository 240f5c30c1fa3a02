//! What people did by pages and this interface.

use std::sync::Arc;

use axum::extract::{RawQuery, State};
use axum::response::Response;
use serde::Serialize;
use serde_json::{Value, json as json_value};

use super::operation::{LIMIT, MAX_LIMIT, MAX_SEQ, count, list as list_of, object, text, time, word};
use super::{Input, Operation, Parameter, Schema, json};
use crate::dashboard::access::Role;
use crate::dashboard::actions::{Action, ActionWord};
use crate::dashboard::problem::Problem;
use crate::dashboard::routes::Routes;
use crate::dashboard::site::Site;

fn action() -> Value {
    let about = json_value!({ "type": "object", "description": "What it was about, by what it is" });
    object(
        json_value!({
            "number": count("In order, over restarts"),
            "at": time("When it was done"),
            "who": text("The name of the login"),
            "what": word("What was done", &ActionWord::ALL.map(ActionWord::as_str)),
            "about": about,
        }),
        json_value!({}),
    )
}

const ACTIONS: Schema = Schema {
    name: "Actions",
    make: || {
        let next = count("Where the list goes on, for `after`; absent at its end");
        object(json_value!({ "actions": list_of(action()) }), json_value!({ "next": next }))
    },
};
const LIST: &[Parameter] = &[
    Parameter {
        name: "after",
        says: "Only what stands behind this number",
        schema: || json_value!({ "type": "integer", "minimum": 0, "maximum": MAX_SEQ }),
    },
    LIMIT,
];

pub(super) fn routes(routes: Routes) -> Routes {
    let lists = "Lists what people did by pages and this interface, in order: the newest 1000";
    let list_them = Operation::get("/api/v1/actions", Role::Viewer, lists).query(LIST).gives(ACTIONS);
    routes.operation(list_them, list)
}

#[derive(Serialize)]
struct Answer<'a> {
    actions: Vec<&'a Action>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<u64>,
}

async fn list(State(site): State<Arc<Site>>, RawQuery(query): RawQuery) -> Result<Response, Problem> {
    let mut input = Input::query(query.as_deref());
    let after = input.whole("after", 0..=MAX_SEQ).unwrap_or(0);
    let limit = input.limit(MAX_LIMIT);
    input.done()?;
    let all = site.actions.behind(after);
    let actions: Vec<&Action> = all.iter().take(limit).map(|action| &**action).collect();
    let next = actions.last().filter(|_| actions.len() < all.len()).map(|action| action.number);
    Ok(json(&Answer { actions, next }))
}
