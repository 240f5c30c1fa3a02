//! `/metrics`: the status document as metrics, made when it is scraped: the data path has nothing to do for it.

use std::sync::Arc;

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use hyper::header::{CONTENT_TYPE, HeaderMap};

use super::access::Role;
use super::problem::Problem;
use super::routes::{Allowed, Routes};
use super::site::Site;
use crate::metrics::{TextForm, of_this_gateway};

pub(super) fn routes(routes: Routes) -> Routes {
    routes.get("/metrics", Allowed::From(Role::Viewer), metrics)
}

async fn metrics(State(site): State<Arc<Site>>, headers: HeaderMap) -> Result<Response, Problem> {
    let form = TextForm::wanted(&headers);
    let text = of_this_gateway(&site.status(), &site.cuts, site.settings.version, form);
    let text = text.map_err(|_| Problem::Unavailable("its metrics cannot be written"))?;
    Ok(([(CONTENT_TYPE, form.content_type())], text).into_response())
}
