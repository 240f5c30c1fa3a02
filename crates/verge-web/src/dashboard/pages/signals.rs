//! Signals: the list with its filter, and one signal with its history.

use std::sync::Arc;

use askama::Template;
use axum::extract::{Path, RawQuery, State};
use axum::response::{IntoResponse, Response};
use hyper::header::CONTENT_TYPE;
use verge_domain::history::{Sample, Step};
use verge_domain::time::UtcMillis;
use verge_domain::verdict::Subject;

use super::{Chrome, Page, html, number};
use serde_json::Value;

use crate::dashboard::access::{Role, Who};
use crate::dashboard::api::Input;
use crate::dashboard::api::signals::Span;
use crate::dashboard::chart::{self, ChartSize, Drawn, Sparkline};
use crate::dashboard::events::EventView;
use crate::dashboard::form::Form;
use crate::dashboard::pages::events::range_words;
use crate::dashboard::problem::Problem;
use crate::dashboard::routes::Allowed;
use crate::dashboard::shown::{Shown, span};
use crate::dashboard::signals::{
    OLD_AFTER_MS, SignalFilter, SignalList, SignalState, SignalView, budgets, events_about, find, named,
    path_of, unknown,
};
use crate::dashboard::site::Site;

const SEES: Allowed = Allowed::From(Role::Viewer);
/// Signals of one page.
const ROWS: usize = 50;

pub(super) const PAGE: Page = Page {
    path: "/signals",
    name: "Signals",
    routes: |routes| {
        routes.get("/signals", SEES, list).get("/signals/{source}/{device}/{signal}", SEES, one).get(
            "/signals/{source}/{device}/{signal}/chart.svg",
            SEES,
            chart_of,
        )
    },
};

/// A signal as a line of the list.
struct Line {
    path: String,
    key: String,
    device: Shown,
    signal: Shown,
    source: Shown,
    value: String,
    raw: f64,
    unit: String,
    age: String,
    old: bool,
    worst: Option<&'static str>,
    expected: Option<String>,
    spark: Option<Sparkline>,
}

impl Line {
    fn of(site: &Site, subject: &Subject, view: &SignalView) -> Self {
        let now = site.live.now().wall;
        let age = now.since(UtcMillis(view.at));
        let from = UtcMillis(now.0.saturating_sub(3_600_000));
        let course = site.live.signals().course(subject, Step::Fine, from);
        Self {
            path: path_of(subject),
            key: format!("{}/{}/{}", view.source, view.device, view.signal),
            device: Shown::of(&view.device),
            signal: Shown::of(&view.signal),
            source: Shown::of(&view.source),
            value: number(view.value),
            raw: view.value,
            unit: view.unit.as_deref().map_or_else(String::new, |unit| Shown::of(unit).text),
            age: span(age.as_secs()),
            old: age.as_millis() > OLD_AFTER_MS,
            worst: view.worst,
            expected: view.judges.iter().find_map(|judge| judge.expected).map(range_words),
            spark: course.and_then(|course| Sparkline::of(&course, from, now)),
        }
    }
}

#[derive(Template)]
#[template(path = "signals.html")]
struct Signals {
    chrome: Chrome,
    lines: Vec<Line>,
    name: String,
    state: &'static str,
    /// Places in the list, from 1.
    first: usize,
    last: usize,
    matching: usize,
    all: usize,
    left_out: u64,
    before: Option<String>,
    behind: Option<String>,
}

async fn list(State(site): State<Arc<Site>>, who: Who, RawQuery(query): RawQuery) -> Response {
    let query = Form::read(query.unwrap_or_default().as_bytes());
    let filter = SignalFilter::of(&query);
    let page =
        query.text("page").and_then(|page| page.parse::<usize>().ok()).unwrap_or(1).clamp(1, 1_000_000);
    let list = SignalList::of(&site, &filter, ((page - 1) * ROWS, None, ROWS));
    let name = query.text("name").unwrap_or_default();
    let state = filter.state.map_or("", SignalState::as_str);
    let to_page = |page: usize| {
        let mut link = form_urlencoded::Serializer::new("/signals?".to_owned());
        link.append_pair("name", name).append_pair("state", state).append_pair("page", &page.to_string());
        link.finish()
    };
    let last = (list.first + ROWS).min(list.matching);
    html(&Signals {
        chrome: Chrome::of(&site, &who, (PAGE.name, PAGE.path), false),
        lines: list.signals.iter().map(|(subject, view)| Line::of(&site, subject, view)).collect(),
        name: name.to_owned(),
        state,
        first: (list.first + 1).min(last),
        last,
        matching: list.matching,
        all: list.all,
        left_out: site.live.signals().left_out(),
        before: (page > 1).then(|| to_page(page - 1)),
        behind: (last < list.matching).then(|| to_page(page + 1)),
    })
}

/// A row of the table of numbers.
struct Row {
    at: String,
    least: String,
    greatest: String,
    last: String,
    held: bool,
}

/// An event about the signal.
struct Alarm {
    id: String,
    severity: &'static str,
    state: &'static str,
    waits: bool,
    words: Shown,
    since: String,
    parts: Vec<(Shown, String, String)>,
}

impl Alarm {
    fn of(site: &Site, event: &EventView) -> Self {
        let part = |part: &crate::dashboard::events::Part| {
            (Shown::of(&part.signal), format!("{:.0} %", part.share * 100.0), number(part.observed))
        };
        Self {
            id: event.id.clone(),
            severity: event.severity,
            state: event.state,
            waits: event.waits(),
            words: Shown::sentence(&event.words),
            since: site.live.time_words(UtcMillis(event.since)),
            parts: event.contributions.iter().map(part).collect(),
        }
    }
}

/// A judge of the signal.
struct Judged {
    judge: Shown,
    expected: Option<String>,
    budget: Option<String>,
}

#[derive(Template)]
#[template(path = "signal.html")]
struct OneSignal {
    chrome: Chrome,
    line: Line,
    at: String,
    day: bool,
    /// Since when its history is kept.
    since: Option<String>,
    /// The start of what is shown, as the chart is asked for.
    picture: Option<chart::Picture>,
    rows: Vec<Row>,
    every: &'static str,
    judges: Vec<Judged>,
    alarms: Vec<Alarm>,
}

async fn one(
    State(site): State<Arc<Site>>,
    who: Who,
    Path((source, device, signal)): Path<(String, String, String)>,
    RawQuery(query): RawQuery,
) -> Result<Response, Problem> {
    let subject = named(&source, &device, &signal)?;
    let view = find(&site, &subject).ok_or_else(|| unknown(&subject))?;
    let query = Form::read(query.unwrap_or_default().as_bytes());
    let day = query.text("span") == Some("day");
    let step = if day { Step::Coarse } else { Step::Fine };
    let now = site.live.now().wall;
    let from = now.0.saturating_sub(i64::try_from(step.span().as_millis()).unwrap_or(i64::MAX));
    let course =
        site.live.signals().course(&subject, step, UtcMillis(from)).ok_or_else(|| unknown(&subject))?;
    let events = events_about(&site, &subject);
    let budgets = budgets(&site);
    let judged = |judge: &crate::dashboard::signals::JudgeView| Judged {
        judge: Shown::of(&judge.judge),
        expected: judge.expected.map(range_words),
        budget: budgets.get(&judge.judge).cloned(),
    };
    Ok(html(&OneSignal {
        chrome: Chrome::of(&site, &who, ("Signal", PAGE.path), false),
        line: Line::of(&site, &subject, &view),
        at: site.live.time_words(UtcMillis(view.at)),
        day,
        since: course.since.map(|since| site.live.time_words(since)),
        picture: (!course.samples.is_empty()).then(|| {
            // What begins now is drawn over ten minutes, not at the edge of an hour.
            let first = course.since.map_or(from, |since| since.0.min(now.0.saturating_sub(600_000)));
            chart::Picture::of(&subject, step, from.max(first), now.0)
        }),
        rows: rows(&site, &course.samples, step),
        every: if day { "half an hour" } else { "a minute" },
        judges: view.judges.iter().map(judged).collect(),
        alarms: events.iter().take(8).map(|event| Alarm::of(&site, event)).collect(),
    }))
}

/// Some 60 rows, the newest first.
fn rows(site: &Site, samples: &[Sample], step: Step) -> Vec<Row> {
    let every: i64 = if step == Step::Fine { 60_000 } else { 1_800_000 };
    let pieces = samples.chunk_by(|one, other| one.at.0.div_euclid(every) == other.at.0.div_euclid(every));
    let row = |piece: &[Sample]| {
        let begin = piece.first()?.at.0.div_euclid(every) * every;
        let least = piece.iter().map(|one| one.least).fold(f32::INFINITY, f32::min);
        let greatest = piece.iter().map(|one| one.greatest).fold(f32::NEG_INFINITY, f32::max);
        Some(Row {
            at: site.live.hour_words(UtcMillis(begin)),
            least: short(least),
            greatest: short(greatest),
            last: short(piece.last()?.last),
            held: piece.iter().any(|one| one.held),
        })
    };
    let mut rows: Vec<Row> = pieces.filter_map(row).collect();
    rows.reverse();
    rows
}

fn short(value: f32) -> String {
    number(f64::from(value))
}

/// The chart of a signal: `step`, `from` and `to` say of what, `size=small` and `dark` how.
async fn chart_of(
    State(site): State<Arc<Site>>,
    Path((source, device, signal)): Path<(String, String, String)>,
    RawQuery(query): RawQuery,
) -> Result<Response, Problem> {
    let subject = named(&source, &device, &signal)?;
    let mut input = Input::query(query.as_deref());
    let span = Span::of(&site, &mut input);
    let is = |wanted: &'static str| move |value: &Value| (value == wanted).then_some(());
    let small = input.read("size", "small", is("small")).is_some();
    let dark = input.read("ground", "dark", is("dark")).is_some();
    input.done()?;
    let course =
        site.live.signals().course(&subject, span.step, span.from).ok_or_else(|| unknown(&subject))?;
    let size = if small { ChartSize::Small } else { ChartSize::Large };
    let events = events_about(&site, &subject);
    let hour = |at| site.live.hour_words(at);
    let drawn = Drawn { course: &course, events: &events, from: span.from, to: span.to, hour: &hour };
    let text = chart::svg(&drawn, size, dark).map_err(|error| {
        tracing::error!(%error, "a chart cannot be drawn");
        Problem::Unavailable("the chart cannot be drawn")
    })?;
    Ok(([(CONTENT_TYPE, "image/svg+xml")], text).into_response())
}
