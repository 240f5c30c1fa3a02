//! Events, and what operators do about them.

use std::sync::Arc;

use axum::extract::{Path, RawQuery, State};
use axum::response::Response;
use serde::Serialize;
use serde_json::{Map, Value};

use super::json;
use crate::dashboard::access::{Role, Who};
use crate::dashboard::command::{EventCommand, of_event};
use crate::dashboard::events::{EventFilter, EventList, EventView, ListedState, MOST_LISTED, find};
use crate::dashboard::form::{Form, JsonBody};
use crate::dashboard::past::{self, PastQuery};
use crate::dashboard::problem::Problem;
use crate::dashboard::routes::{Allowed, Routes};
use crate::dashboard::site::Site;

const SEES: Allowed = Allowed::From(Role::Viewer);
const OPERATES: Allowed = Allowed::From(Role::Operator);

pub(super) fn routes(routes: Routes) -> Routes {
    routes
        .get("/api/v1/events", SEES, list)
        .get("/api/v1/events/{id}", SEES, one)
        .put("/api/v1/events/{id}/acknowledgement", OPERATES, acknowledge)
        .put("/api/v1/events/{id}/shelving", OPERATES, shelve)
        .delete("/api/v1/events/{id}/shelving", OPERATES, unshelve)
        .put("/api/v1/events/{id}/label", OPERATES, label)
}

/// Past events, the newest first.
#[derive(Serialize)]
struct Past {
    events: Vec<EventView>,
    /// Where the next ones begin, if there may be more: `before` of the next request.
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<String>,
}

async fn list(State(site): State<Arc<Site>>, RawQuery(query): RawQuery) -> Result<Response, Problem> {
    let query = Form::read(query.unwrap_or_default().as_bytes());
    let limit = match query.text("limit").map(str::parse::<usize>) {
        None => MOST_LISTED,
        Some(Ok(limit @ 1..=1000)) => limit,
        Some(_) => return Err(invalid("limit", "a whole number from 1 to 1000")),
    };
    if EventFilter::of(&query).state == Some(ListedState::Past) {
        let past = past::events(&site, &PastQuery::of(&site, &query)?, limit).await?;
        return Ok(json(&Past { events: past.events, next: past.next.map(|next| next.to_string()) }));
    }
    Ok(json(&EventList::of(&site, &EventFilter::of(&query), limit)))
}

async fn one(State(site): State<Arc<Site>>, Path(id): Path<String>) -> Result<Response, Problem> {
    let event = past::find_anywhere(&site, &id, None).await?;
    event.map(|event| json(&event)).ok_or_else(|| unknown(&id))
}

async fn acknowledge(
    State(site): State<Arc<Site>>,
    who: Who,
    Path(id): Path<String>,
    JsonBody(keys): JsonBody,
) -> Result<Response, Problem> {
    only(&keys, &["note"])?;
    let command = EventCommand::Acknowledge { note: text(&keys, "note")? };
    Ok(json(&of_event(&site, &who, &known(&site, &id)?, command).await?))
}

async fn shelve(
    State(site): State<Arc<Site>>,
    who: Who,
    Path(id): Path<String>,
    JsonBody(keys): JsonBody,
) -> Result<Response, Problem> {
    only(&keys, &["minutes", "note"])?;
    let minutes = keys.get("minutes").and_then(Value::as_u64);
    let minutes = minutes.ok_or_else(|| invalid("minutes", "a whole number from 1 to 480"))?;
    let command = EventCommand::Shelve { minutes, note: text(&keys, "note")? };
    Ok(json(&of_event(&site, &who, &known(&site, &id)?, command).await?))
}

async fn unshelve(
    State(site): State<Arc<Site>>,
    who: Who,
    Path(id): Path<String>,
) -> Result<Response, Problem> {
    Ok(json(&of_event(&site, &who, &known(&site, &id)?, EventCommand::Unshelve).await?))
}

async fn label(
    State(site): State<Arc<Site>>,
    who: Who,
    Path(id): Path<String>,
    JsonBody(keys): JsonBody,
) -> Result<Response, Problem> {
    only(&keys, &["remark"])?;
    let remark = text(&keys, "remark")?;
    let remark = remark.ok_or_else(|| invalid("remark", r#""false", "maintenance" or "real""#))?;
    Ok(json(&of_event(&site, &who, &known(&site, &id)?, EventCommand::Label { remark }).await?))
}

fn known(site: &Site, id: &str) -> Result<EventView, Problem> {
    find(site, id).ok_or_else(|| unknown(id))
}

fn unknown(id: &str) -> Problem {
    Problem::NoEvent(crate::dashboard::shown::Shown::of(id).text)
}

fn text(keys: &Map<String, Value>, key: &'static str) -> Result<Option<String>, Problem> {
    match keys.get(key) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text.clone())),
        Some(_) => Err(invalid(key, "a text")),
    }
}

fn only(keys: &Map<String, Value>, known: &[&'static str]) -> Result<(), Problem> {
    match keys.keys().find(|key| !known.contains(&key.as_str())) {
        None => Ok(()),
        Some(key) => Err(invalid(
            &crate::dashboard::shown::Shown::of(key).text,
            &format!("one of {}", known.join(", ")),
        )),
    }
}

fn invalid(what: &str, expected: &str) -> Problem {
    Problem::Invalid { what: what.to_owned(), expected: format!("expected {expected}") }
}
