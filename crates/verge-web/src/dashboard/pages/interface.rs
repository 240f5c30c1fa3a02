//! The interface for programs, from its OpenAPI document.

use std::sync::Arc;

use askama::Template;
use axum::extract::State;
use axum::response::Response;

use super::{Chrome, Page, html};
use crate::dashboard::access::{Role, Who};
use crate::dashboard::api::document;
use crate::dashboard::routes::Allowed;
use crate::dashboard::site::Site;

pub(super) const PAGE: Page = Page {
    path: "/api",
    name: "API",
    routes: |routes| routes.get("/api", Allowed::From(Role::Viewer), interface),
};

/// An operation as the document has it.
struct Entry {
    id: String,
    verb: String,
    path: String,
    role: String,
    summary: String,
    parameters: Vec<Parameter>,
    body: Option<String>,
    answers: Vec<(String, String)>,
}

struct Parameter {
    name: String,
    place: String,
    says: String,
}

#[derive(Template)]
#[template(path = "interface.html")]
struct Interface {
    chrome: Chrome,
    entries: Vec<Entry>,
}

async fn interface(State(site): State<Arc<Site>>, who: Who) -> Response {
    let chrome = Chrome::of(&site, &who, (PAGE.name, PAGE.path), false);
    html(&Interface { chrome, entries: entries() })
}

fn entries() -> Vec<Entry> {
    let document = document();
    let text = |value: &serde_json::Value| value.as_str().unwrap_or_default().to_owned();
    let paths = document["paths"].as_object().into_iter().flatten();
    let operations =
        paths.flat_map(|(path, all)| all.as_object().into_iter().flatten().map(move |one| (path, one)));
    let entry = |(path, (verb, operation)): (&String, (&String, &serde_json::Value))| {
        let parameters = operation["parameters"].as_array().into_iter().flatten();
        let content = operation["requestBody"]["content"].as_object().into_iter().flatten().next();
        let answers = operation["responses"].as_object().into_iter().flatten();
        Entry {
            id: text(&operation["operationId"]),
            verb: verb.to_ascii_uppercase(),
            path: path.clone(),
            role: text(&operation["x-verge-role"]),
            summary: text(&operation["summary"]),
            parameters: parameters
                .map(|one| Parameter {
                    name: text(&one["name"]),
                    place: text(&one["in"]),
                    says: text(&one["description"]),
                })
                .collect(),
            body: content.map(|(media, body)| match body["schema"]["$ref"].as_str() {
                Some(reference) => format!("{media}: {}", reference.rsplit('/').next().unwrap_or_default()),
                None => media.clone(),
            }),
            answers: answers.map(|(status, answer)| (status.clone(), text(&answer["description"]))).collect(),
        }
    };
    operations.map(entry).collect()
}
