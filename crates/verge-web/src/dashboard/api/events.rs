//! Events, and what operators do about them.

use std::sync::Arc;

use axum::extract::{Path, RawQuery, State};
use axum::response::Response;
use hyper::header::{ETAG, HeaderMap, HeaderValue, IF_MATCH};
use serde_json::{Value, json as json_value};
use verge_domain::verdict::{EventState, Severity};

use super::operation::{
    AFTER, LIMIT, MAX_LIMIT, count, flag, list, name_schema, number, object, text, time, word,
};
use super::{Input, Operation, Parameter, Schema, json};
use crate::dashboard::access::{Role, Who};
use crate::dashboard::command::{EventCommand, of_event};
use crate::dashboard::events::{EventFilter, EventList, EventView, ListedState, Place, find};
use crate::dashboard::form::JsonBody;
use crate::dashboard::past::{self, Cursor, PastQuery, TIME, read_time};
use crate::dashboard::problem::Problem;
use crate::dashboard::routes::Routes;
use crate::dashboard::shown::Shown;
use crate::dashboard::site::Site;

/// Shelving ends after this time at the latest.
const MAX_MINUTES: u64 = 480;
pub(super) const REMARKS: [&str; 3] = ["real", "false", "maintenance"];

fn words<T: Copy>(all: &[T], as_str: fn(T) -> &'static str) -> Vec<&'static str> {
    all.iter().copied().map(as_str).collect()
}

fn event() -> Value {
    let range = object(
        json_value!({}),
        json_value!({ "low": number("Least usual value"), "high": number("Largest usual value") }),
    );
    let part = json_value!({
        "signal": text("The signal"), "share": number("Its part, 0 to 1"), "observed": number("What it read"),
    });
    object(
        json_value!({
            "id": text("Identity of the event"),
            "state": word("What its last verdict says", &words(&EventState::ALL, EventState::as_str)),
            "severity": word("How grave it is", &words(&Severity::ALL, Severity::as_str)),
            "judge": text("The judge"),
            "detector": text("Its kind of judge"),
            "source": text("The source"),
            "device": text("The device"),
            "since": time("When it began"),
            "lasted_ms": count("How long it has lasted, in ms"),
            "decided": time("When its last verdict was made"),
            "acknowledged": flag("An operator takes care of it"),
            "learning": flag("Its judge still learns what is usual"),
            "restored": flag("It was open before the gateway started, and was not reported again since"),
            "words": text("All of it in a sentence"),
        }),
        json_value!({
            "number": count("Its number, for people"),
            "signal": text("The signal"),
            "acknowledged_at": time("When an operator took note of it"),
            "acknowledged_by": text("Who did"),
            "shelved_until": time("Until when it is off the list"),
            "observed": number("What was observed"),
            "expected": range,
            "unit": text("The unit of both"),
            "p": number("How likely a value like it is while all is well"),
            "contributions": list(object(part, json_value!({}))),
            "row": text("Where its last verdict stands in the store, for `row`"),
        }),
    )
}

const EVENT: Schema = Schema { name: "Event", make: event };
const EVENTS: Schema = Schema {
    name: "Events",
    make: || {
        let more = count("Events that the filter takes beyond `limit`");
        let next = text("Where the list goes on, for `after`; absent at its end");
        object(json_value!({ "events": list(event()), "more": more }), json_value!({ "next": next }))
    },
};
const NOTE: Schema =
    Schema { name: "Note", make: || object(json_value!({}), json_value!({ "note": note() })) };
const SHELVING: Schema = Schema {
    name: "Shelving",
    make: || {
        let minutes = json_value!({ "type": "integer", "minimum": 1, "maximum": MAX_MINUTES });
        object(json_value!({ "minutes": minutes }), json_value!({ "note": note() }))
    },
};
const REMARK: Schema = Schema {
    name: "Remark",
    make: || object(json_value!({ "remark": word("What it was", &REMARKS) }), json_value!({})),
};
/// What the judges say to a command, in the words of `docs/verdict.md`.
pub(super) const DONE: Schema = Schema {
    name: "Done",
    make: || json_value!({ "type": "object", "description": "The answer of the command, see docs/verdict.md" }),
};

fn note() -> Value {
    name_schema("For colleagues")
}

const FILTER: &[Parameter] = &[
    Parameter {
        name: "state",
        says: "Only those that are open, open and not acknowledged, or over",
        schema: || word("The state", &words(&ListedState::ALL, ListedState::as_str)),
    },
    Parameter {
        name: "severity",
        says: "Only those of this severity",
        schema: || word("The severity", &words(&Severity::ALL, Severity::as_str)),
    },
    Parameter { name: "judge", says: "Only those of this judge", schema: || name_schema("The judge") },
    Parameter { name: "device", says: "Only those of this device", schema: || name_schema("The device") },
    Parameter { name: "from", says: "Of past events: only those that ended since then", schema: time_text },
    Parameter { name: "to", says: "Of past events: only those that ended before then", schema: time_text },
    LIMIT,
    Parameter { schema: || json_value!({ "type": "string", "pattern": PLACES }), ..AFTER },
];

const PLACE: &[Parameter] = &[Parameter {
    name: "row",
    says: "Where it stands in the store, as `row` of a list says: a past one is found at once",
    schema: || json_value!({ "type": "string", "pattern": "^(alarm|verdict|telemetry)/[0-9]{1,18}$" }),
}];

fn time_text() -> Value {
    json_value!({ "type": "string", "minLength": 1, "maxLength": 40, "description": "In ms since 1970 (UTC), or as people of the site write it: 2026-11-30T14:05" })
}

pub(super) fn routes(routes: Routes) -> Routes {
    use Operation as Op;
    const ONE: &str = "/api/v1/events/{id}";
    const ACKNOWLEDGEMENT: &str = "/api/v1/events/{id}/acknowledgement";
    const SHELVED: &str = "/api/v1/events/{id}/shelving";
    const LABEL: &str = "/api/v1/events/{id}/label";
    let lists = "Lists open events and the last one of each point that is over";
    routes
        .operation(Op::get("/api/v1/events", Role::Viewer, lists).query(FILTER).gives(EVENTS), all)
        .operation(Op::get(ONE, Role::Viewer, "Shows one event").query(PLACE).gives(EVENT), one)
        .operation(
            Op::put(ACKNOWLEDGEMENT, Role::Operator, "Takes note of an open event")
                .may_take(NOTE)
                .gives(DONE)
                .if_match()
                .or(&[409, 429]),
            acknowledge,
        )
        .operation(
            Op::put(SHELVED, Role::Operator, "Takes alarms of its judge about its subject off the list")
                .takes(SHELVING)
                .gives(DONE)
                .if_match()
                .or(&[409, 429]),
            shelve,
        )
        .operation(
            Op::delete(SHELVED, Role::Operator, "Puts them back").gives(DONE).if_match().or(&[409, 422, 429]),
            unshelve,
        )
        .operation(
            Op::put(LABEL, Role::Operator, "Says what the event was; its judge learns from it")
                .takes(REMARK)
                .gives(DONE)
                .if_match()
                .or(&[409, 429]),
            label,
        )
}

/// A place in the list, or in that of past events.
const PLACES: &str = "^([01]\\.[01]\\.(info|warning|critical|over)\\.-?[0-9]{1,18}\\.[0-9a-f]{32}|[0-9]{1,20}\\.[0-9]{1,20}\\.[0-9]{1,20})$";
/// What that is.
const NEXT: &str = "what an answer gave as next";

async fn all(State(site): State<Arc<Site>>, RawQuery(query): RawQuery) -> Result<Response, Problem> {
    let mut input = Input::query(query.as_deref());
    let filter = EventFilter {
        state: input.word("state", ListedState::named, &words(&ListedState::ALL, ListedState::as_str)),
        severity: input.word("severity", Severity::named, &words(&Severity::ALL, Severity::as_str)),
        judge: input.name("judge"),
        device: input.name("device"),
    };
    let mut time = |key| input.read(key, TIME, |value| read_time(&site, value.as_str()?));
    let (from, to) = (time("from"), time("to"));
    let limit = input.limit(MAX_LIMIT);
    if filter.state == Some(ListedState::Past) {
        let cursor = input.read("after", NEXT, |value| Cursor::read(value.as_str()?));
        input.done()?;
        let past = past::events(&site, &PastQuery { filter, from, to, cursor }, limit).await?;
        let next = past.next.map(|next| next.to_string());
        return Ok(json(&EventList { events: past.events, more: 0, next }));
    }
    for (key, time) in [("from", from), ("to", to)] {
        if time.is_some() {
            input.wrong(key, "state=past beside it");
        }
    }
    let after = input.read("after", NEXT, |value| Place::read(value.as_str()?));
    input.done()?;
    Ok(json(&EventList::of(&site, &filter, (after, limit))))
}

async fn one(
    State(site): State<Arc<Site>>,
    Path(id): Path<String>,
    RawQuery(query): RawQuery,
) -> Result<Response, Problem> {
    let mut input = Input::query(query.as_deref());
    let row = input.read("row", "what a list gave as row", |value| {
        value.as_str().filter(|row| past::read_row(row).is_some()).map(ToOwned::to_owned)
    });
    input.done()?;
    let event = past::find_anywhere(&site, &id, row.as_deref()).await?;
    let event = event.ok_or_else(|| Problem::NoEvent(Shown::of(&id).text))?;
    let mut answer = json(&event);
    if let Ok(tag) = HeaderValue::from_str(&tag_of(&event)) {
        answer.headers_mut().insert(ETAG, tag);
    }
    Ok(answer)
}

async fn acknowledge(
    State(site): State<Arc<Site>>,
    who: Who,
    Path(id): Path<String>,
    headers: HeaderMap,
    body: JsonBody,
) -> Result<Response, Problem> {
    let mut input = Input::body(body, &[]);
    let command = EventCommand::Acknowledge { note: input.name("note") };
    input.done()?;
    carry_out(&site, &who, (&id, &headers), command).await
}

async fn shelve(
    State(site): State<Arc<Site>>,
    who: Who,
    Path(id): Path<String>,
    headers: HeaderMap,
    body: JsonBody,
) -> Result<Response, Problem> {
    let mut input = Input::body(body, &["minutes"]);
    let (minutes, note) = (input.whole("minutes", 1..=MAX_MINUTES), input.name("note"));
    input.done()?;
    let command = EventCommand::Shelve { minutes: minutes.unwrap_or_default(), note };
    carry_out(&site, &who, (&id, &headers), command).await
}

async fn unshelve(
    State(site): State<Arc<Site>>,
    who: Who,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    carry_out(&site, &who, (&id, &headers), EventCommand::Unshelve).await
}

async fn label(
    State(site): State<Arc<Site>>,
    who: Who,
    Path(id): Path<String>,
    headers: HeaderMap,
    body: JsonBody,
) -> Result<Response, Problem> {
    let mut input = Input::body(body, &["remark"]);
    let remark = input.word("remark", remark_named, &REMARKS);
    input.done()?;
    let remark = remark.unwrap_or_default().to_owned();
    carry_out(&site, &who, (&id, &headers), EventCommand::Label { remark }).await
}

pub(super) fn remark_named(word: &str) -> Option<&'static str> {
    REMARKS.into_iter().find(|remark| *remark == word)
}

async fn carry_out(
    site: &Arc<Site>,
    who: &Who,
    (id, headers): (&str, &HeaderMap),
    command: EventCommand,
) -> Result<Response, Problem> {
    let event = known(site, id)?;
    unchanged(headers, &tag_of(&event))?;
    Ok(json(&of_event(site, who, &event, command).await?))
}

/// Refuses what was decided on another version, where the client says on which.
pub(super) fn unchanged(headers: &HeaderMap, now: &str) -> Result<(), Problem> {
    let Some(wanted) = headers.get(IF_MATCH) else { return Ok(()) };
    let wanted = wanted.to_str().unwrap_or_default();
    let is_it = |one: &str| one == "*" || one == now;
    if wanted.split(',').map(str::trim).any(is_it) {
        Ok(())
    } else {
        Err(Problem::Changed(Some(now.to_owned())))
    }
}

/// What an operator decides on: another verdict or another hand on it makes another version.
fn tag_of(event: &EventView) -> String {
    let until = event.shelved_until.unwrap_or_default();
    format!("\"{}-{}-{until}\"", event.decided, event.acknowledged_at.unwrap_or_default())
}

fn known(site: &Site, id: &str) -> Result<EventView, Problem> {
    find(site, id).ok_or_else(|| Problem::NoEvent(Shown::of(id).text))
}
