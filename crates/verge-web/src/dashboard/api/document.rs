//! The OpenAPI document: made from the table of operations, and kept in `docs/openapi.json`.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use axum::response::{IntoResponse, Response};
use hyper::header::CONTENT_TYPE;
use serde_json::{Map, Value, json};

use super::operation::{Gives, IfMatch, Operation, Schema, Takes, count, list, object, text};
use crate::dashboard::access::Role;
use crate::dashboard::routes::{Route, Routes};

const DOCUMENT: Schema = Schema { name: "Document", make: || json!({ "type": "object" }) };

pub(super) fn routes(routes: Routes) -> Routes {
    routes.operation(
        Operation::get("/api/v1/openapi.json", Role::Viewer, "This document, in OpenAPI 3.1").gives(DOCUMENT),
        serve,
    )
}

async fn serve() -> Response {
    static TEXT: LazyLock<String> = LazyLock::new(|| document().to_string());
    ([(CONTENT_TYPE, "application/json")], TEXT.as_str()).into_response()
}

/// The document of all operations that are served.
pub(crate) fn document() -> Value {
    let table = crate::dashboard::table();
    of(table.table())
}

fn of(table: &[Route]) -> Value {
    let mut schemas = BTreeMap::from([(PROBLEM.name, (PROBLEM.make)())]);
    let mut paths = Map::new();
    for operation in table.iter().filter_map(|route| route.operation.as_ref()) {
        let entry = paths.entry(operation.path).or_insert_with(|| json!({}));
        entry[operation.verb.as_str()] = described(operation, &mut schemas);
    }
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Verge",
            "version": "1",
            "summary": "One gateway: what is so now, and what operators do about it",
            "description": "Each operation names the role that it needs in `x-verge-role`. Refusals are problem details \
                            (RFC 9457) whose `type` is one of the words of docs/api.md. Anything else that has no login \
                            is answered with 401, another Host with 421.",
            "license": { "name": "Apache-2.0", "identifier": "Apache-2.0" },
        },
        "servers": [{ "url": "/" }],
        "security": [{ "token": [] }, { "cookie": [] }, { "certificate": [] }],
        "paths": paths,
        "components": {
            "schemas": schemas,
            "securitySchemes": {
                "token": { "type": "http", "scheme": "bearer", "description": "`verge users token`" },
                "cookie": { "type": "apiKey", "in": "cookie", "name": "verge", "description": "The login of a browser; over TLS `__Host-verge`" },
                "certificate": { "type": "mutualTLS", "description": "`[dashboard.certificate.NAME]`" },
            },
        },
    })
}

fn described(operation: &Operation, schemas: &mut BTreeMap<&'static str, Value>) -> Value {
    let mut parameters: Vec<Value> = operation.path_parameters().map(path_parameter).collect();
    parameters.extend(operation.query.iter().map(|parameter| {
        json!({
            "name": parameter.name, "in": "query", "required": false,
            "description": parameter.says, "schema": (parameter.schema)(),
        })
    }));
    if operation.if_match != IfMatch::Ignored {
        parameters.push(json!({
            "name": "If-Match", "in": "header", "required": operation.if_match == IfMatch::Required, "schema": { "type": "string" },
            "description": "`ETag` of what was seen; 412 where it is another by now",
        }));
    }
    let mut reference = |schema: &Schema| {
        schemas.entry(schema.name).or_insert_with(|| (schema.make)());
        json!({ "$ref": format!("#/components/schemas/{}", schema.name) })
    };
    let statuses = operation.statuses();
    let answer = |status: u16, reference: &mut dyn FnMut(&Schema) -> Value| match (status, operation.gives) {
        (200, Gives::Json(schema)) => json!({
            "description": "Done",
            "content": { "application/json": { "schema": reference(&schema) } },
        }),
        (200, Gives::Media(media)) => json!({ "description": "Done", "content": { media: {} } }),
        (304, _) => json!({ "description": words_of(304) }),
        _ => json!({
            "description": words_of(status),
            "content": { "application/problem+json": { "schema": reference(&PROBLEM) } },
        }),
    };
    let responses: Map<String, Value> =
        statuses.into_iter().map(|status| (status.to_string(), answer(status, &mut reference))).collect();
    let mut described = json!({
        "operationId": id_of(operation),
        "summary": operation.summary,
        "tags": [tag_of(operation)],
        "x-verge-role": operation.role.as_str(),
        "responses": responses,
    });
    if !parameters.is_empty() {
        described["parameters"] = json!(parameters);
    }
    match operation.takes {
        None => {}
        Some(Takes::Json { schema, required }) => {
            described["requestBody"] = json!({
                "required": required, "content": { "application/json": { "schema": reference(&schema) } },
            });
        }
        Some(Takes::Text(media)) => {
            described["requestBody"] =
                json!({ "required": true, "content": { media: { "schema": { "type": "string" } } } });
        }
    }
    described
}

/// `get_events_id` and so on: the method and the path.
fn id_of(operation: &Operation) -> String {
    let path = operation.path.trim_start_matches("/api/v1/").replace(['{', '}'], "").replace(['/', '.'], "_");
    format!("{}_{path}", operation.verb)
}

/// The first part of its path.
fn tag_of(operation: &Operation) -> &'static str {
    operation.path.trim_start_matches("/api/v1/").split('/').next().unwrap_or("api")
}

fn path_parameter(name: &'static str) -> Value {
    let says = match name {
        "id" => "Its identity, as lists give it",
        "name" => "Its name in the configuration",
        "source" => "A source, by its name in the configuration",
        "device" => "A device of the source",
        "signal" => "A signal of the device",
        other => other,
    };
    json!({
        "name": name, "in": "path", "required": true, "description": says,
        "schema": { "type": "string", "minLength": 1 },
    })
}

fn words_of(status: u16) -> &'static str {
    match status {
        304 => "It is the one that is known already",
        401 => "No login, or an unknown one",
        403 => "The login has too small a role, or the request comes from another site",
        404 => "Not known here",
        409 => "It contradicts what is so now, or the configuration",
        412 => "It is another than the one of `If-Match`",
        413 => "The body is too large",
        415 => "The body is of another type",
        421 => "The gateway is not reached under this name",
        422 => "The query or the body is not what is expected; `faults` names all of it",
        428 => "`If-Match` is missing",
        429 => "Too many: again after `Retry-After` seconds",
        503 => "Not now: again after `Retry-After` seconds",
        _ => "Refused",
    }
}

/// What every refusal looks like.
const PROBLEM: Schema = Schema {
    name: "Problem",
    make: || {
        object(
            json!({
                "type": text("A word of the table in docs/api.md"),
                "title": text("What is the matter, for people"),
                "status": count("The status of the answer"),
                "detail": text("What happened, to what, and what to do"),
            }),
            json!({
                "report": json!({ "type": "object", "description": "Of a reload: the report of `verge reload --json`" }),
                "faults": list(object(
                    json!({
                        "pointer": text("Which part of the body (RFC 6901), or `?name` of the query; empty: all of the body"),
                        "expected": text("What is expected there; of all of the body a sentence that says what is wrong"),
                    }),
                    json!({ "value": text("What is there, cut; absent where it is missing") }),
                )),
            }),
        )
    },
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_document_in_docs_is_the_one_that_is_served() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/openapi.json");
        let made = format!("{:#}\n", document());
        if std::env::var_os("WRITE_DOCS").is_some() {
            std::fs::write(path, &made).unwrap();
        }
        let kept = std::fs::read_to_string(path).unwrap();
        assert!(made == kept, "docs/openapi.json is not what is served: run this test with WRITE_DOCS=1");
    }

    #[test]
    fn all_of_the_interface_is_documented_and_no_identity_stands_twice() {
        let routes = crate::dashboard::table();
        let mut ids = std::collections::BTreeSet::new();
        for route in routes.table().iter().filter(|route| route.path.starts_with("/api/v1/")) {
            let operation = route.operation.as_ref();
            let operation = operation.unwrap_or_else(|| panic!("{} has no operation", route.path));
            assert!(ids.insert(id_of(operation)), "{}", id_of(operation));
            let is_sentence = operation.summary.chars().next().is_some_and(char::is_uppercase)
                && !operation.summary.ends_with('.');
            assert!(is_sentence, "{}", operation.summary);
        }
        assert!(ids.len() > 8);
    }

    #[test]
    fn every_operation_has_its_line_in_the_docs_with_its_role() {
        let docs = include_str!("../../../../../docs/api.md");
        for route in crate::dashboard::table().table() {
            let Some(operation) = route.operation.as_ref().filter(|one| !one.path.ends_with("openapi.json"))
            else {
                continue;
            };
            let (verb, path) = (operation.verb.method(), operation.path.trim_start_matches("/api/v1/"));
            let line = docs.lines().find(|line| {
                let cell = line.split('|').nth(1).unwrap_or_default();
                let named = cell.split('`').any(|part| {
                    let part = part.split_once(' ').map_or(part, |(_, path)| path);
                    part.split('?').next() == Some(path)
                });
                named && cell.contains(verb.as_str())
            });
            let line = line.unwrap_or_else(|| panic!("docs/api.md has no line of {verb} {path}"));
            assert!(line.contains(&format!("| {} |", operation.role)), "{line}");
        }
    }
}
