//! The status document.

use std::sync::Arc;

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use hyper::header::CONTENT_TYPE;

use crate::dashboard::access::Role;
use crate::dashboard::routes::{Allowed, Routes};
use crate::dashboard::site::Site;

pub(super) fn routes(routes: Routes) -> Routes {
    routes.get("/api/v1/status", Allowed::From(Role::Viewer), status)
}

async fn status(State(site): State<Arc<Site>>) -> Response {
    ([(CONTENT_TYPE, "application/json")], site.live.status()).into_response()
}
