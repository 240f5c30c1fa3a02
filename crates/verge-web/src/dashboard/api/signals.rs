//! Signals, what they show and how they went.

use std::sync::Arc;

use axum::extract::{Path, RawQuery, State};
use axum::response::Response;
use serde::Serialize;
use serde_json::{Value, json as json_value};
use verge_domain::history::Step;
use verge_domain::time::UtcMillis;

use super::operation::{AFTER, LIMIT, flag, limit_schema, list as list_of, number, object, text, time, word};
use super::{Input, Operation, Parameter, Schema, json};
use crate::dashboard::access::Role;
use crate::dashboard::problem::Problem;
use crate::dashboard::routes::Routes;
use crate::dashboard::signals::{
    HistoryView, SignalFilter, SignalList, SignalState, SignalView, find, named, path_of, read_path, unknown,
};
use crate::dashboard::site::Site;

/// Signals in one answer at most.
const MOST: u64 = 500;

fn signal() -> Value {
    let ends = json_value!({ "low": number("Least usual value"), "high": number("Largest usual value") });
    let judge = object(
        json_value!({ "judge": text("A judge that looks at it") }),
        json_value!({ "expected": object(json_value!({}), ends) }),
    );
    object(
        json_value!({
            "source": text("The source"),
            "device": text("The device"),
            "signal": text("The signal"),
            "value": number("Its newest value"),
            "at": time("When that was"),
            "judges": list_of(judge),
        }),
        json_value!({
            "unit": text("The unit of its values"),
            "worst": text("Severity of its worst open event"),
            "since": time("Since when its history is kept"),
        }),
    )
}

fn course() -> Value {
    let sample = object(
        json_value!({
            "at": time("When the step began"),
            "last": number("The last value within it"),
            "least": number("The least"),
            "greatest": number("The greatest"),
        }),
        json_value!({ "held": flag("Alarms about it were held back") }),
    );
    let change = object(
        json_value!({ "from": time("From then on it was expected") }),
        json_value!({ "low": number("at least here"), "high": number("at most here") }),
    );
    let band = object(
        json_value!({ "judge": text("The judge that expected it"), "changes": list_of(change) }),
        json_value!({}),
    );
    object(
        json_value!({ "step": step_schema(), "samples": list_of(sample), "bands": list_of(band) }),
        json_value!({ "since": time("Since when it is kept") }),
    )
}

fn step_schema() -> Value {
    word("Length of a step: `10s` is kept for an hour, `1min` for a day", &Step::ALL.map(Step::as_str))
}

const SIGNAL: Schema = Schema { name: "Signal", make: signal };
const SIGNALS: Schema = Schema {
    name: "Signals",
    make: || {
        let next = text("Where the list goes on, for `after`; absent at its end");
        object(json_value!({ "signals": list_of(signal()) }), json_value!({ "next": next }))
    },
};
const HISTORY: Schema = Schema { name: "SignalHistory", make: course };
const LIST: &[Parameter] = &[
    Parameter {
        name: "name",
        says: "Only those with this in source, device or signal",
        schema: || json_value!({ "type": "string", "minLength": 1, "maxLength": 128 }),
    },
    Parameter {
        name: "state",
        says: "Only those with an open event, without one, or that have sent nothing for five minutes",
        schema: || word("The state", &SignalState::ALL.map(SignalState::as_str)),
    },
    Parameter { schema: || limit_schema(MOST), ..LIMIT },
    Parameter { schema: || json_value!({ "type": "string", "minLength": 1, "maxLength": 1200 }), ..AFTER },
];
const SPAN: &[Parameter] = &[
    Parameter { name: "from", says: "The first time (the default: all that is kept)", schema: time_schema },
    Parameter { name: "to", says: "The time behind the last (the default: now)", schema: time_schema },
    Parameter { name: "step", says: "How fine", schema: step_schema },
];

fn time_schema() -> Value {
    json_value!({ "type": "integer", "minimum": 0, "maximum": MAX_TIME, "description": "In ms since 1970 (UTC)" })
}

/// The end of the year 9999.
const MAX_TIME: u64 = 253_402_300_799_999;

pub(super) fn routes(routes: Routes) -> Routes {
    use Operation as Op;
    const ONE: &str = "/api/v1/signals/{source}/{device}/{signal}";
    const COURSE: &str = "/api/v1/signals/{source}/{device}/{signal}/history";
    let went = "Shows how a signal went, and where its judges expected it";
    routes
        .operation(
            Op::get("/api/v1/signals", Role::Viewer, "Lists signals with their newest values")
                .query(LIST)
                .gives(SIGNALS),
            list,
        )
        .operation(Op::get(ONE, Role::Viewer, "Shows one signal").gives(SIGNAL), one)
        .operation(Op::get(COURSE, Role::Viewer, went).query(SPAN).gives(HISTORY), history)
}

#[derive(Serialize)]
struct Answer {
    signals: Vec<SignalView>,
    /// Where the next ones begin, if there are more: `after` of the next request.
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<String>,
}

async fn list(State(site): State<Arc<Site>>, RawQuery(query): RawQuery) -> Result<Response, Problem> {
    let mut input = Input::query(query.as_deref());
    let filter = SignalFilter {
        name: input.name("name").map(|name| name.to_lowercase()),
        state: input.word("state", SignalState::named, &SignalState::ALL.map(SignalState::as_str)),
    };
    let limit = input.limit(MOST);
    let after = input.read("after", "what an answer gave as next", |value| read_path(value.as_str()?));
    input.done()?;
    let list = SignalList::of(&site, &filter, (0, after.as_ref(), limit));
    let more = list.matching > list.signals.len();
    let next = list.signals.last().filter(|_| more).map(|(subject, _)| path_of(subject));
    Ok(json(&Answer { signals: list.signals.into_iter().map(|(_, view)| view).collect(), next }))
}

async fn one(
    State(site): State<Arc<Site>>,
    Path((source, device, signal)): Path<(String, String, String)>,
) -> Result<Response, Problem> {
    let subject = named(&source, &device, &signal)?;
    find(&site, &subject).map(|view| json(&view)).ok_or_else(|| unknown(&subject))
}

async fn history(
    State(site): State<Arc<Site>>,
    Path((source, device, signal)): Path<(String, String, String)>,
    RawQuery(query): RawQuery,
) -> Result<Response, Problem> {
    let subject = named(&source, &device, &signal)?;
    let mut input = Input::query(query.as_deref());
    let span = Span::of(&site, &mut input);
    input.done()?;
    let course = site.live.signals().course(&subject, span.step, span.from);
    let course = course.ok_or_else(|| unknown(&subject))?;
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
    pub(crate) fn of(site: &Site, input: &mut Input) -> Self {
        let step = input.word("step", Step::named, &Step::ALL.map(Step::as_str)).unwrap_or(Step::Fine);
        let mut time = |key| input.whole(key, 0..=MAX_TIME).and_then(|at| i64::try_from(at).ok());
        let (from, to) = (time("from"), time("to"));
        let now = site.live.now().wall.0;
        let length = i64::try_from(step.length().as_millis()).unwrap_or(i64::MAX);
        let kept = i64::try_from(step.span().as_millis()).unwrap_or(i64::MAX);
        // The step that goes on now is part of it.
        let to = to.unwrap_or(now.saturating_add(length));
        let from = from.unwrap_or(to.saturating_sub(kept));
        if from >= to {
            input.wrong("from", "a time before to");
        }
        // Nothing else is kept, and no axis is longer.
        let from = from.max(to.saturating_sub(kept + length));
        Self { step, from: UtcMillis(from), to: UtcMillis(to) }
    }
}
