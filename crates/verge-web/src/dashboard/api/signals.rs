//! Signals, what they show and how they went.

use std::sync::Arc;

use axum::extract::{Path, RawQuery, State};
use axum::response::Response;
use serde::Serialize;
use verge_domain::history::Step;
use verge_domain::time::UtcMillis;

use super::json;
use crate::dashboard::access::Role;
use crate::dashboard::form::Form;
use crate::dashboard::problem::Problem;
use crate::dashboard::routes::{Allowed, Routes};
use crate::dashboard::shown::Shown;
use crate::dashboard::signals::{
    HistoryView, SignalFilter, SignalList, SignalView, find, named, path_of, read_path,
};
use crate::dashboard::site::Site;

const SEES: Allowed = Allowed::From(Role::Viewer);
/// Signals in one answer at most.
const MOST: usize = 500;

pub(super) fn routes(routes: Routes) -> Routes {
    routes
        .get("/api/v1/signals", SEES, list)
        .get("/api/v1/signals/{source}/{device}/{signal}", SEES, one)
        .get("/api/v1/signals/{source}/{device}/{signal}/history", SEES, history)
}

#[derive(Serialize)]
struct Answer {
    signals: Vec<SignalView>,
    /// Where the next ones begin, if there are more: `after` of the next request.
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<String>,
}

async fn list(State(site): State<Arc<Site>>, RawQuery(query): RawQuery) -> Result<Response, Problem> {
    let query = Form::read(query.unwrap_or_default().as_bytes());
    let limit = match query.text("limit").map(str::parse::<usize>) {
        None => MOST,
        Some(Ok(limit)) if (1..=MOST).contains(&limit) => limit,
        Some(_) => return Err(invalid("limit", &format!("a whole number from 1 to {MOST}"))),
    };
    let after = match query.text("after") {
        None => None,
        Some(after) => Some(read_path(after).ok_or_else(|| invalid("after", "what an answer gave as next"))?),
    };
    let list = SignalList::of(&site, &SignalFilter::of(&query), (0, after.as_ref(), limit));
    let more = list.matching > list.signals.len();
    let next = list.signals.last().filter(|_| more).map(|(subject, _)| path_of(subject));
    Ok(json(&Answer { signals: list.signals.into_iter().map(|(_, view)| view).collect(), next }))
}

async fn one(
    State(site): State<Arc<Site>>,
    Path((source, device, signal)): Path<(String, String, String)>,
) -> Result<Response, Problem> {
    find(&site, &named(&source, &device, &signal)?)
        .map(|view| json(&view))
        .ok_or_else(|| unknown(&source, &device, &signal))
}

async fn history(
    State(site): State<Arc<Site>>,
    Path((source, device, signal)): Path<(String, String, String)>,
    RawQuery(query): RawQuery,
) -> Result<Response, Problem> {
    let subject = named(&source, &device, &signal)?;
    let span = Span::of(&site, &Form::read(query.unwrap_or_default().as_bytes()))?;
    let course = site.live.signals().course(&subject, span.step, span.from);
    let course = course.ok_or_else(|| unknown(&source, &device, &signal))?;
    Ok(json(&HistoryView::of(&course, span.to)))
}

/// The part of a history that is asked for.
pub(crate) struct Span {
    pub(crate) step: Step,
    pub(crate) from: UtcMillis,
    pub(crate) to: UtcMillis,
}

impl Span {
    /// From a query: the newest hour by steps of 10 s, where nothing else is said.
    pub(crate) fn of(site: &Site, query: &Form) -> Result<Self, Problem> {
        let step = match query.text("step") {
            None => Step::Fine,
            Some(text) => Step::named(text)
                .ok_or_else(|| invalid("step", "10s (kept for an hour) or 1min (for a day)"))?,
        };
        let time = |key: &'static str, default: i64| match query.text(key).map(str::parse::<i64>) {
            None => Ok(default),
            Some(Ok(at)) if at >= 0 => Ok(at),
            Some(_) => Err(invalid(key, "a time in milliseconds since 1970")),
        };
        let now = site.live.now().wall.0;
        let length = i64::try_from(step.length().as_millis()).unwrap_or(i64::MAX);
        let kept = i64::try_from(step.span().as_millis()).unwrap_or(i64::MAX);
        // The step that goes on now is part of it.
        let to = time("to", now.saturating_add(length))?;
        let from = time("from", now.saturating_sub(kept))?;
        if from >= to {
            return Err(invalid("from", "a time before to"));
        }
        // Nothing else is kept, and no axis is longer.
        let from = from.max(to.saturating_sub(kept + length));
        Ok(Self { step, from: UtcMillis(from), to: UtcMillis(to) })
    }
}

fn unknown(source: &str, device: &str, signal: &str) -> Problem {
    Problem::NoSignal(Shown::of(&format!("{source}/{device}/{signal}")).text)
}

fn invalid(what: &str, expected: &str) -> Problem {
    Problem::Invalid { what: what.to_owned(), expected: format!("expected {expected}") }
}
