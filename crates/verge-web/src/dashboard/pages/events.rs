//! Events: the list with its filter, one event, and what operators do about it.

use std::sync::Arc;
use std::time::Duration;

use askama::Template;
use axum::extract::{Path, RawQuery, State};
use axum::response::Response;
use tokio::time::{Instant, MissedTickBehavior, interval, timeout_at};
use verge_domain::history::Step;
use verge_domain::time::UtcMillis;

use super::figure::Figure;
use super::{Chrome, Page, cameras, html, number};
use crate::dashboard::access::{Role, Who};
use crate::dashboard::chart::Picture;
use crate::dashboard::command::{EventCommand, of_event};
use crate::dashboard::events::{EventFilter, EventList, EventView, ListedState, Place, Range, find};
use crate::dashboard::form::Form;
use crate::dashboard::past::{self, PastQuery};
use crate::dashboard::problem::Problem;
use crate::dashboard::routes::{Allowed, own_path, see_other};
use crate::dashboard::shown::{Shown, span};
use crate::dashboard::signals::{named, path_of};
use crate::dashboard::site::Site;

const SEES: Allowed = Allowed::From(Role::Viewer);
const OPERATES: Allowed = Allowed::From(Role::Operator);
/// Events of one page: of names that need all of their room a page stays below 300 kB.
const ROWS: usize = 50;
/// Those that were selected are acknowledged within this time, less than what a request may take.
const SEVERAL_WITHIN: Duration = Duration::from_secs(8);
/// From one to the next: a whole page fits, and some of the ten commands a second that are taken are left to others.
const PACE: Duration = Duration::from_millis(150);

pub(super) const PAGE: Page = Page {
    path: "/events",
    name: "Events",
    routes: |routes| {
        routes
            .get("/events", SEES, list)
            .get("/events/{id}", SEES, one)
            .post("/events/acknowledge", OPERATES, acknowledge_several)
            .post("/events/{id}/acknowledge", OPERATES, acknowledge)
            .post("/events/{id}/shelve", OPERATES, shelve)
            .post("/events/{id}/unshelve", OPERATES, unshelve)
            .post("/events/{id}/label", OPERATES, label)
    },
};

/// An event as a line of the list.
struct Line {
    id: String,
    /// Where it stands in the store, for a link to it.
    row: Option<String>,
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
            row: event.row.clone().filter(|_| !event.is_open()),
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
    /// The times of the query, as they were typed.
    from: String,
    to: String,
    /// It is of the store, and goes on here.
    older: Option<String>,
    /// It is of the board, and goes on here.
    next: Option<String>,
    /// Nothing more was found back to then.
    looked_to: Option<String>,
    /// The query, so that a form leads back to the same list.
    back: String,
}

async fn list(
    State(site): State<Arc<Site>>,
    who: Who,
    RawQuery(query): RawQuery,
) -> Result<Response, Problem> {
    let query = query.unwrap_or_default();
    let form = Form::read(query.as_bytes());
    let filter = EventFilter::of(&form);
    let (mut older, mut looked_to) = (None, None);
    let behind = |key: &str, place: &str| {
        let mut link = form_urlencoded::Serializer::new("/events?".to_owned());
        for key in ["state", "severity", "judge", "device", "from", "to"] {
            if let Some(value) = form.text(key) {
                link.append_pair(key, value);
            }
        }
        link.append_pair(key, place).finish()
    };
    let list = if filter.state == Some(ListedState::Past) {
        let past = past::events(&site, &PastQuery::of(&site, &form)?, ROWS).await?;
        older = past.next.map(|next| behind("before", &next.to_string()));
        looked_to = past.looked_to.map(|at| site.live.time_words(at));
        EventList { events: past.events, more: 0, next: None }
    } else {
        EventList::of(&site, &filter, (form.text("after").and_then(Place::read), ROWS))
    };
    Ok(html(&Events {
        chrome: Chrome::of(&site, &who, (PAGE.name, PAGE.path), false),
        operates: who.operates(),
        lines: list.events.iter().map(|event| Line::of(&site, event)).collect(),
        more: list.more,
        state: filter.state.map_or("", ListedState::as_str),
        severity: filter.severity.map_or("", |severity| severity.as_str()),
        filter,
        from: form.raw("from").to_owned(),
        to: form.raw("to").to_owned(),
        older,
        next: list.next.map(|next| behind("after", &next)),
        looked_to,
        back: own_path(&format!("/events?{query}")).to_owned(),
    }))
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
    /// The chart of its signal around it, and the path of that.
    picture: Option<(Picture, String)>,
    /// The camera that it is about, and what makes its picture follow.
    watched: Option<Figure>,
    script: &'static str,
    back: String,
}

async fn one(
    State(site): State<Arc<Site>>,
    who: Who,
    Path(id): Path<String>,
    RawQuery(query): RawQuery,
) -> Result<Response, Problem> {
    let query = Form::read(query.unwrap_or_default().as_bytes());
    let event = past::find_anywhere(&site, &id, query.text("row")).await?;
    let event = event.ok_or_else(|| Problem::NoEvent(Shown::of(&id).text))?;
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
        picture: picture_of(&site, &event),
        watched: cameras::of_event(&site, &who, &event),
        script: crate::dashboard::assets::cameras_script(),
        back: match &event.row {
            Some(row) if !event.is_open() => format!("/events/{}?row={row}", event.id),
            _ => format!("/events/{}", event.id),
        },
        whole: event,
    }))
}

/// What its signal did around it, as far as that is kept: by fine steps where it began within the last hour.
fn picture_of(site: &Site, event: &EventView) -> Option<(Picture, String)> {
    const AROUND_MS: i64 = 600_000;
    let subject = named(&event.source, &event.device, event.signal.as_deref()?).ok()?;
    let since = site.live.signals().newest(&subject)?.since?;
    let now = site.live.now().wall;
    let end = event.since.saturating_add(i64::try_from(event.lasted_ms).unwrap_or(i64::MAX));
    let to = end.saturating_add(AROUND_MS).min(now.0);
    let from = event.since.saturating_sub(AROUND_MS).max(since.0);
    let step = [Step::Fine, Step::Coarse].into_iter().find(|step| {
        now.since(UtcMillis(from)) <= step.span() && UtcMillis(to).since(UtcMillis(from)) <= step.span()
    });
    // Of an event of yesterday nothing is kept; of one that goes on since then, the end.
    let step = step.or_else(|| (now.since(UtcMillis(to)) < Step::Coarse.span()).then_some(Step::Coarse))?;
    (from < to).then(|| (Picture::of(&subject, step, from, to), path_of(&subject)))
}

fn known(site: &Site, id: &str) -> Result<EventView, Problem> {
    find(site, id).ok_or_else(|| Problem::NoEvent(Shown::of(id).text))
}

fn note(form: &Form) -> Option<String> {
    form.text("note").map(ToOwned::to_owned)
}

/// Does it, then shows the page that the form stood on.
async fn carry_out(
    site: &Arc<Site>,
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

/// Acknowledges those of the list that were selected. One that was over meanwhile needs nobody any more.
async fn acknowledge_several(
    State(site): State<Arc<Site>>,
    who: Who,
    form: Form,
) -> Result<Response, Problem> {
    let selected = form.all("event");
    if selected.is_empty() || selected.len() > ROWS {
        let expected = format!("expected 1 to {ROWS} events: select them in the list");
        return Err(Problem::Invalid { what: "event".to_owned(), expected });
    }
    let (until, mut done, all) = (Instant::now() + SEVERAL_WITHIN, 0_usize, selected.len());
    let mut turns = interval(PACE);
    turns.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let out_of_time = |done: usize| {
        Problem::TooOften(format!(
            "{done} of {all} events are acknowledged, then there was no time left: select the others again"
        ))
    };
    for id in &selected {
        let Some(event) = find(&site, id) else { continue };
        loop {
            turns.tick().await;
            if Instant::now() >= until {
                return Err(out_of_time(done));
            }
            let acknowledge = of_event(&site, &who, &event, EventCommand::Acknowledge { note: note(&form) });
            match timeout_at(until, acknowledge).await {
                Ok(Ok(_)) => break done += 1,
                Ok(Err(Problem::CommandUnknown(_) | Problem::CommandConflict(_))) => break,
                Ok(Err(Problem::TooOften(_))) => {}
                Ok(Err(Problem::Unconfirmed)) | Err(_) => return Err(out_of_time(done)),
                Ok(Err(problem)) => return Err(problem),
            }
        }
    }
    Ok(see_other(own_path(form.text("back").unwrap_or("/events"))))
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

/// Also of an event that is over: most are labelled then.
async fn label(
    State(site): State<Arc<Site>>,
    who: Who,
    Path(id): Path<String>,
    form: Form,
) -> Result<Response, Problem> {
    let remark = form.text("remark").unwrap_or_default().to_owned();
    let event = past::find_anywhere(&site, &id, form.text("row")).await?;
    let event = event.ok_or_else(|| Problem::NoEvent(Shown::of(&id).text))?;
    of_event(&site, &who, &event, EventCommand::Label { remark }).await?;
    Ok(see_other(own_path(form.text("back").unwrap_or("/events"))))
}
