//! `/api/v1`: what pages show and do, for programs.

mod cameras;
mod drawings;
mod events;
mod status;

use axum::response::{IntoResponse, Response};
use hyper::header::CONTENT_TYPE;
use serde::Serialize;

use super::routes::Routes;

pub(super) fn routes(routes: Routes) -> Routes {
    let routes = drawings::routes(routes);
    cameras::routes(events::routes(status::routes(routes)))
}

/// An answer in JSON.
fn json(value: &impl Serialize) -> Response {
    let text = serde_json::to_string(value).expect("texts, numbers and lists are JSON");
    ([(CONTENT_TYPE, "application/json")], text).into_response()
}
