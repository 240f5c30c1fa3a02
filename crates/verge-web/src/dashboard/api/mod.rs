//! `/api/v1`: what pages show and do, for programs. Each operation is registered once, in the file of its subject, with its
//! role and documentation (`operation`); `document` makes the OpenAPI document of them, `input` reads queries and bodies.

mod actions;
mod cameras;
mod configured;
mod document;
mod drawings;
mod events;
mod input;
mod operation;
mod orders;
pub(super) mod signals;
mod status;
mod verdicts;

use axum::response::{IntoResponse, Response};
use hyper::header::CONTENT_TYPE;
use serde::Serialize;

use super::routes::Routes;

pub(crate) use document::document;
pub(crate) use input::Input;
pub(crate) use operation::{Operation, Parameter, Schema, name_schema};

pub(super) fn routes(routes: Routes) -> Routes {
    [
        document::routes,
        status::routes,
        events::routes,
        verdicts::routes,
        signals::routes,
        cameras::routes,
        drawings::routes,
        orders::routes,
        configured::routes,
        actions::routes,
    ]
    .into_iter()
    .fold(routes, |routes, add| add(routes))
}

/// An answer in JSON.
pub(crate) fn json(value: &impl Serialize) -> Response {
    let text = serde_json::to_string(value).expect("texts, numbers and lists are JSON");
    ([(CONTENT_TYPE, "application/json")], text).into_response()
}
