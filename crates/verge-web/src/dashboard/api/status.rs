//! The status document.

use std::sync::Arc;

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use hyper::header::CONTENT_TYPE;
use serde_json::json;

use super::{Operation, Schema};
use crate::dashboard::access::Role;
use crate::dashboard::routes::Routes;
use crate::dashboard::site::Site;

/// Its members are those of `docs/status.md`, which grow.
const STATUS: Schema = Schema {
    name: "Status",
    make: || json!({ "type": "object", "description": "The status document, see docs/status.md" }),
};

pub(super) fn routes(routes: Routes) -> Routes {
    let what = "The status document: what came in, what became of it, what is stored and what was sent";
    routes.operation(Operation::get("/api/v1/status", Role::Viewer, what).gives(STATUS), status)
}

async fn status(State(site): State<Arc<Site>>) -> Response {
    ([(CONTENT_TYPE, "application/json")], site.live.status()).into_response()
}
