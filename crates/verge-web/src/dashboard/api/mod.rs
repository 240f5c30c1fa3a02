//! `/api/v1`: what pages show and do, for programs.

mod events;
pub(super) mod signals;
mod status;
mod verdicts;

use axum::response::{IntoResponse, Response};
use hyper::header::CONTENT_TYPE;
use serde::Serialize;

use super::routes::Routes;

pub(super) fn routes(routes: Routes) -> Routes {
    verdicts::routes(signals::routes(events::routes(status::routes(routes))))
}

/// An answer in JSON.
fn json(value: &impl Serialize) -> Response {
    let text = serde_json::to_string(value).expect("texts, numbers and lists are JSON");
    ([(CONTENT_TYPE, "application/json")], text).into_response()
}
