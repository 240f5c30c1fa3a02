//! What the gateway is configured to do: its sources, judges and models, every setting with its origin; how another
//! configuration is checked, and how the file is taken up.

use std::sync::Arc;

use axum::extract::{RawQuery, State};
use axum::response::{IntoResponse, Response};
use hyper::header::CONTENT_TYPE;
use serde_json::{Value, json as json_value};
use verge_domain::configured::{ReloadOutcome, SettingOrigin};

use super::operation::{Parameter, count, flag, list, object, text, word};
use super::{Input, Operation, Schema, json};
use crate::dashboard::access::{Role, Who};
use crate::dashboard::form::TextBody;
use crate::dashboard::problem::Problem;
use crate::dashboard::reload::{check, reload};
use crate::dashboard::routes::Routes;
use crate::dashboard::site::Site;

/// Media type of a configuration in the document: every tester can write it. `application/toml` is taken as well.
const TOML: &str = "text/plain";

fn settings() -> Value {
    json_value!({ "type": "object", "additionalProperties": { "type": "string" }, "description": "Everything that is set, as TOML, by its key" })
}

const SOURCES: Schema = Schema {
    name: "Sources",
    make: || {
        let source = object(
            json_value!({
                "name": text("Its name"),
                "topic": text("Its topic filter"),
                "carries": word("What its messages are", &["readings", "frames"]),
                "settings": settings(),
            }),
            json_value!({ "status": json_value!({ "type": "object", "description": "What came in and what became of it: its entry of `sources` in the status document" }) }),
        );
        object(json_value!({ "sources": list(source) }), json_value!({}))
    },
};
const JUDGES: Schema = Schema {
    name: "Judges",
    make: || {
        let judge = object(
            json_value!({
                "name": text("Its name"),
                "detector": text("Its kind"),
                "settings": settings(),
                "open": count("Events of it that are open"),
            }),
            json_value!({
                "model": text("The model that it asks, by its name in the configuration"),
                "status": json_value!({ "type": "object", "description": "How often it alarms: its entry of `judges` in the status document" }),
            }),
        );
        object(json_value!({ "judges": list(judge) }), json_value!({}))
    },
};
const MODELS: Schema = Schema {
    name: "Models",
    make: || {
        let loaded = object(
            json_value!({
                "identity": text("What its card calls it; verdicts carry it"),
                "version": text("The version that its card gives it"),
                "task": text("What it does"),
                "input": text("What goes in"),
                "outputs": list(text("What comes out")),
                "decoder": text("How outputs are read"),
                "provider": text("What runs it"),
                "labels": list(text("A class")),
                "content": text("SHA-256 of what its files held when they were read"),
            }),
            json_value!({}),
        );
        let model = object(
            json_value!({
                "name": text("Its name in the configuration"),
                "card": text("The file of its card"),
                "judges": list(text("A judge that asks it")),
            }),
            json_value!({ "loaded": loaded }),
        );
        object(
            json_value!({ "models": list(model) }),
            json_value!({ "judging_ms": json_value!({ "type": "object", "description": "What workers take for a frame, all models together: `p50`, `p99`" }) }),
        )
    },
};
const CONFIGURATION: Schema = Schema {
    name: "Configuration",
    make: || {
        let setting = object(
            json_value!({
                "key": text("Its key within its section"),
                "value": text("As TOML; of a password or key the word `set`"),
                "secret": flag("It is a password or a key"),
                "origin": word("Where the value comes from", &SettingOrigin::ALL.map(SettingOrigin::as_str)),
            }),
            json_value!({ "line": count("The line of the file"), "variable": text("The environment variable") }),
        );
        let section = object(
            json_value!({ "path": text("Such as `judge.high`"), "settings": list(setting) }),
            json_value!({}),
        );
        object(
            json_value!({
                "file": text("The file"), "sections": list(section), "warnings": list(text("A remark")),
            }),
            json_value!({}),
        )
    },
};
const CHECKED: Schema = Schema {
    name: "CheckedConfiguration",
    make: || {
        let fault = object(
            json_value!({ "key": text("The key"), "words": text("What stands there, what is expected, what to do") }),
            json_value!({ "line": count("The line of the text") }),
        );
        object(
            json_value!({
                "ok": flag("A gateway would start with it, as far as the text alone says"),
                "faults": list(fault),
                "warnings": list(text("A remark")),
            }),
            json_value!({}),
        )
    },
};
const REPORT: Schema = Schema {
    name: "ReloadReport",
    make: || json_value!({ "type": "object", "description": "What changed, as `verge reload --json` prints it", "required": ["outcome"] }),
};
const DRY_RUN: &[Parameter] = &[Parameter {
    name: "dry_run",
    says: "Only say what would change",
    schema: || json_value!({ "type": "boolean", "default": false }),
}];

pub(super) fn routes(routes: Routes) -> Routes {
    use Operation as Op;
    let sees = |path, what| Op::get(path, Role::Viewer, what);
    routes
        .operation(sees("/api/v1/sources", "Lists sources and what came in").gives(SOURCES), sources)
        .operation(sees("/api/v1/judges", "Lists judges and what of them is open").gives(JUDGES), judges)
        .operation(sees("/api/v1/models", "Lists models and who asks them").gives(MODELS), models)
        .operation(
            Op::get(
                "/api/v1/configuration",
                Role::Admin,
                "Shows every setting with the place that its value comes from",
            )
            .gives(CONFIGURATION),
            configuration,
        )
        .operation(
            Op::post(
                "/api/v1/configuration/check",
                Role::Admin,
                "Checks another configuration, all faults at once, without its files; nothing changes",
            )
            .takes_text(TOML)
            .gives(CHECKED),
            checked,
        )
        .operation(
            Op::post(
                "/api/v1/reload",
                Role::Admin,
                "Takes up the configuration file as it is now, all or nothing",
            )
            .query(DRY_RUN)
            .gives(REPORT)
            .or(&[409]),
            reloaded,
        )
}

/// An entry of a list of the status document, by its name.
fn status_of(status: &Value, part: &str, name: &str) -> Option<Value> {
    status[part].as_array()?.iter().find(|entry| entry["name"] == name).cloned()
}

fn with_status(entry: &impl serde::Serialize, status: Option<Value>) -> Value {
    let mut entry = json_value!(entry);
    if let Some(status) = status {
        entry["status"] = status;
    }
    entry
}

async fn sources(State(site): State<Arc<Site>>) -> Response {
    let (status, sources) = (site.status(), site.live.configured().sources());
    let sources = sources.iter().map(|one| with_status(one, status_of(&status, "sources", &one.name)));
    json(&json_value!({ "sources": sources.collect::<Vec<_>>() }))
}

async fn judges(State(site): State<Arc<Site>>) -> Response {
    let (status, judges) = (site.status(), site.live.configured().judges());
    let open = site.live.board().words(&|word| word.open_event().is_some());
    let judges = judges.iter().map(|judge| {
        let mut entry = with_status(judge, status_of(&status, "judges", &judge.name));
        entry["open"] = open.iter().filter(|word| word.verdict.judge.as_str() == judge.name).count().into();
        entry
    });
    json(&json_value!({ "judges": judges.collect::<Vec<_>>() }))
}

async fn models(State(site): State<Arc<Site>>) -> Response {
    let mut answer = json_value!({ "models": site.live.configured().models() });
    let judging = &site.status()["frames"]["judging_ms"];
    if judging.is_object() {
        answer["judging_ms"] = judging.clone();
    }
    json(&answer)
}

async fn configuration(State(site): State<Arc<Site>>) -> Response {
    json(&site.live.configured().settings())
}

async fn checked(State(site): State<Arc<Site>>, TextBody(text): TextBody) -> Result<Response, Problem> {
    Ok(json(&check(&site, text).await?))
}

async fn reloaded(
    State(site): State<Arc<Site>>,
    who: Who,
    RawQuery(query): RawQuery,
) -> Result<Response, Problem> {
    let mut input = Input::query(query.as_deref());
    let dry_run = input.flag("dry_run").unwrap_or(false);
    input.done()?;
    let reply = reload(&site, &who, dry_run).await?;
    match reply.outcome {
        ReloadOutcome::Done => Ok(([(CONTENT_TYPE, "application/json")], reply.report).into_response()),
        outcome => Err(Problem::Reload { outcome, words: reply.words, report: reply.report }),
    }
}
