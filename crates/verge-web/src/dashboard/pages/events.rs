//! Events: the list with its filter, one event, and what operators do about it.

use std::sync::Arc;

use askama::Template;
use axum::extract::{Path, RawQuery, State};
use axum::response::Response;
use verge_domain::time::UtcMillis;

use super::{Chrome, Page, html, number};
use crate::dashboard::access::{Role, Who};
use crate::dashboard::command::{EventCommand, of_event};
use crate::dashboard::events::{EventFilter, EventList, EventView, ListedState, MOST_LISTED, Range, find};
use crate::dashboard::form::Form;
use crate::dashboard::problem::Problem;
use crate::dashboard::routes::{Allowed, own_path, see_other};
use crate::dashboard::shown::{Shown, span};
use crate::dashboard::site::Site;

const SEES: Allowed = Allowed::From(Role::Viewer);
const OPERATES: Allowed = Allowed::From(Role::Operator);

pub(super) const PAGE: Page = Page {
    path: "/events",
    name: "Events",
    routes: |routes| {
        routes
            .get("/events", SEES, list)
            .get("/events/{id}", SEES, one)
            .post("/events/{id}/acknowledge", OPERATES, acknowledge)
            .post("/events/{id}/shelve", OPERATES, shelve)
            .post("/events/{id}/unshelve", OPERATES, unshelve)
            .post("/events/{id}/label", OPERATES, label)
    },
};

/// An event as a line of the list.
struct Line {
    id: String,
    number: Option<u64>,
    state: &'static str,
    severity: &'static str,
    judge: String,
    device: String,
    /// Device and signal.
    subject: Shown,
    since: String,
    lasted: String,
    observed: Option<String>,
    expected: Option<String>,
    unit: String,
    words: Shown,
    acknowledged: bool,
    acknowledged_by: Option<Shown>,
    shelved_until: Option<String>,
    learning: bool,
    restored: bool,
    open: bool,
    waits: bool,
}

impl Line {
    fn of(site: &Site, event: &EventView) -> Self {
        let subject = event
            .signal
            .as_ref()
            .map_or_else(|| event.device.clone(), |signal| format!("{} {signal}", event.device));
        let time = |at: i64| site.live.time_words(UtcMillis(at));
        Self {
            id: event.id.clone(),
            number: event.number,
            state: event.state,
            severity: event.severity,
            judge: event.judge.clone(),
            device: event.device.clone(),
            subject: Shown::of(&subject),
            since: time(event.since),
            lasted: span(event.lasted_ms / 1_000),
            observed: event.observed.map(number),
            expected: event.expected.map(range_words),
            unit: event.unit.as_deref().map_or_else(String::new, |unit| Shown::of(unit).text),
            words: Shown::sentence(&event.words),
            acknowledged: event.acknowledged,
            acknowledged_by: event.acknowledged_by.as_deref().map(Shown::of),
            shelved_until: event.shelved_until.map(time),
            learning: event.learning,
            restored: event.restored,
            open: event.is_open(),
            waits: event.waits(),
        }
    }
}

pub(super) fn range_words(range: Range) -> String {
    match (range.low, range.high) {
        (Some(low), Some(high)) => format!("{} to {}", number(low), number(high)),
        (None, Some(high)) => format!("at most {}", number(high)),
        (Some(low), None) => format!("at least {}", number(low)),
        (None, None) => String::new(),
    }
}

#[derive(Template)]
#[template(path = "events.html")]
struct Events {
    chrome: Chrome,
    operates: bool,
    lines: Vec<Line>,
    more: usize,
    filter: EventFilter,
    state: &'static str,
    severity: &'static str,
    /// The query, so that a form leads back to the same list.
    back: String,
}

async fn list(State(site): State<Arc<Site>>, who: Who, RawQuery(query): RawQuery) -> Response {
    let query = query.unwrap_or_default();
    let filter = EventFilter::of(&Form::read(query.as_bytes()));
    let list = EventList::of(&site, &filter, MOST_LISTED);
    html(&Events {
        chrome: Chrome::of(&site, &who, (PAGE.name, PAGE.path), false),
        operates: who.operates(),
        lines: list.events.iter().map(|event| Line::of(&site, event)).collect(),
        more: list.more,
        state: filter.state.map_or("", ListedState::as_str),
        severity: filter.severity.map_or("", |severity| severity.as_str()),
        filter,
        back: own_path(&format!("/events?{query}")).to_owned(),
    })
}

#[derive(Template)]
#[template(path = "event.html")]
struct OneEvent {
    chrome: Chrome,
    operates: bool,
    event: Line,
    whole: EventView,
    p: Option<String>,
    parts: Vec<(Shown, String, String)>,
    back: String,
}

async fn one(State(site): State<Arc<Site>>, who: Who, Path(id): Path<String>) -> Result<Response, Problem> {
    let event = known(&site, &id)?;
    let parts = event
        .contributions
        .iter()
        .map(|part| (Shown::of(&part.signal), format!("{:.0} %", part.share * 100.0), number(part.observed)));
    Ok(html(&OneEvent {
        chrome: Chrome::of(&site, &who, ("Event", PAGE.path), false),
        operates: who.operates(),
        event: Line::of(&site, &event),
        p: event.p.map(number),
        parts: parts.collect(),
        back: format!("/events/{}", event.id),
        whole: event,
    }))
}

fn known(site: &Site, id: &str) -> Result<EventView, Problem> {
    find(site, id).ok_or_else(|| Problem::NoEvent(Shown::of(id).text))
}

fn note(form: &Form) -> Option<String> {
    form.text("note").map(ToOwned::to_owned)
}

/// Does it, then shows the page that the form stood on.
async fn carry_out(
    site: &Site,
    who: &Who,
    id: &str,
    form: &Form,
    what: EventCommand,
) -> Result<Response, Problem> {
    of_event(site, who, &known(site, id)?, what).await?;
    Ok(see_other(own_path(form.text("back").unwrap_or("/events"))))
}

async fn acknowledge(
    State(site): State<Arc<Site>>,
    who: Who,
    Path(id): Path<String>,
    form: Form,
) -> Result<Response, Problem> {
    carry_out(&site, &who, &id, &form, EventCommand::Acknowledge { note: note(&form) }).await
}

async fn shelve(
    State(site): State<Arc<Site>>,
    who: Who,
    Path(id): Path<String>,
    form: Form,
) -> Result<Response, Problem> {
    let minutes = form.text("minutes").and_then(|minutes| minutes.parse().ok());
    let minutes = minutes.ok_or_else(|| Problem::Invalid {
        what: "minutes".to_owned(),
        expected: "expected a whole number from 1 to 480".to_owned(),
    })?;
    carry_out(&site, &who, &id, &form, EventCommand::Shelve { minutes, note: note(&form) }).await
}

async fn unshelve(
    State(site): State<Arc<Site>>,
    who: Who,
    Path(id): Path<String>,
    form: Form,
) -> Result<Response, Problem> {
    carry_out(&site, &who, &id, &form, EventCommand::Unshelve).await
}

async fn label(
    State(site): State<Arc<Site>>,
    who: Who,
    Path(id): Path<String>,
    form: Form,
) -> Result<Response, Problem> {
    let remark = form.text("remark").unwrap_or_default().to_owned();
    carry_out(&site, &who, &id, &form, EventCommand::Label { remark }).await
}
