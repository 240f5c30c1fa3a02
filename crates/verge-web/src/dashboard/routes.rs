//! The table of paths: each with its method and who may use it. Nothing is reached that does not stand in it.

use std::convert::Infallible;
use std::sync::Arc;

use axum::Router;
use axum::extract::Request;
use axum::handler::Handler;
use axum::middleware::{Next, from_fn};
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodFilter, MethodRouter, on};
use hyper::header::{HeaderValue, LOCATION};
use hyper::http::uri::PathAndQuery;
use hyper::{Method, StatusCode, Uri};

use super::access::{Role, Who};
use super::api::Operation;
use super::problem::Problem;
use super::site::Site;

/// Who may use a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Allowed {
    /// Anyone: it tells nothing.
    Anyone,
    /// Logins from this role on.
    From(Role),
}

/// A line of the table.
#[derive(Debug, Clone)]
#[cfg_attr(
    not(test),
    expect(dead_code, reason = "tests go through all of it; what is served needs the operation")
)]
pub(crate) struct Route {
    pub(crate) method: Method,
    pub(crate) path: &'static str,
    pub(crate) allowed: Allowed,
    /// What the document of the interface says about it; `None` for what is no part of that.
    pub(crate) operation: Option<Operation>,
}

/// The table while it is made.
#[derive(Default)]
pub(crate) struct Routes {
    router: Router<Arc<Site>>,
    table: Vec<Route>,
}

impl Routes {
    /// Something to see.
    pub(crate) fn get<T: 'static>(
        self,
        path: &'static str,
        allowed: Allowed,
        handler: impl Handler<T, Arc<Site>>,
    ) -> Self {
        self.add(Method::GET, MethodFilter::GET, path, allowed, handler)
    }

    /// Something to do, by a form.
    pub(crate) fn post<T: 'static>(
        self,
        path: &'static str,
        allowed: Allowed,
        handler: impl Handler<T, Arc<Site>>,
    ) -> Self {
        self.add(Method::POST, MethodFilter::POST, path, allowed, handler)
    }

    /// An operation of the interface, for its role and with its documentation.
    pub(crate) fn operation<T: 'static>(
        self,
        operation: Operation,
        handler: impl Handler<T, Arc<Site>>,
    ) -> Self {
        let method = operation.verb.method();
        let filter = MethodFilter::try_from(method.clone()).expect("a method that paths can have");
        let (path, allowed) = (operation.path, Allowed::From(operation.role));
        let mut routes = self.add(method, filter, path, allowed, handler);
        if let Some(route) = routes.table.last_mut() {
            route.operation = Some(operation);
        }
        routes
    }

    /// What was added.
    pub(crate) fn table(&self) -> &[Route] {
        &self.table
    }

    fn add<T: 'static>(
        mut self,
        method: Method,
        filter: MethodFilter,
        path: &'static str,
        allowed: Allowed,
        handler: impl Handler<T, Arc<Site>>,
    ) -> Self {
        let route: MethodRouter<Arc<Site>, Infallible> = on(filter, handler);
        let route = route.layer(from_fn(move |request, next| gate(allowed, request, next)));
        self.router = self.router.route(path, route);
        self.table.push(Route { method, path, allowed, operation: None });
        self
    }

    /// The router, and the table that it follows.
    pub(crate) fn finish(self, site: Arc<Site>) -> (Router, Vec<Route>) {
        let router = self.router.fallback(|| async { Problem::NoPage });
        let router = router.method_not_allowed_fallback(|method: Method| async { Problem::Method(method) });
        (router.with_state(site), self.table)
    }
}

async fn gate(allowed: Allowed, request: Request, next: Next) -> Response {
    let Allowed::From(needed) = allowed else { return next.run(request).await };
    match request.extensions().get::<Who>() {
        Some(who) if who.role >= needed => next.run(request).await,
        Some(_) => Problem::Forbidden(needed).into_response(),
        None if is_page(&request) => to_login(request.uri()),
        None => Problem::Unauthenticated.into_response(),
    }
}

/// Whether a person would see the answer.
fn is_page(request: &Request) -> bool {
    let path = request.uri().path();
    matches!(*request.method(), Method::GET | Method::HEAD)
        && !path.starts_with("/api/")
        && path != "/metrics"
}

/// Leads back to the same page, with its query.
fn to_login(asked: &Uri) -> Response {
    let asked = asked.path_and_query().map_or("/", PathAndQuery::as_str);
    let next = form_urlencoded::byte_serialize(asked.as_bytes()).collect::<String>();
    let target = if asked == "/" { "/login".to_owned() } else { format!("/login?next={next}") };
    see_other(&target)
}

/// A redirect after which the browser asks by GET.
pub(crate) fn see_other(target: &str) -> Response {
    let target = HeaderValue::from_str(target).unwrap_or(HeaderValue::from_static("/"));
    (StatusCode::SEE_OTHER, [(LOCATION, target)]).into_response()
}

/// A part of a path (RFC 3986, 3.3).
pub(crate) fn segment(text: &str) -> String {
    use std::fmt::Write as _;
    let mut segment = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                segment.push(char::from(byte))
            }
            _ => write!(segment, "%{byte:02X}").expect("a text takes what is written to it"),
        }
    }
    segment
}

/// A path of ours that a form names, or the overview.
pub(crate) fn own_path(path: &str) -> &str {
    let is_own = path.starts_with('/')
        && !path.starts_with("//")
        && !path.contains(['\\', '\t', '\n', '\r'])
        && path.bytes().all(|byte| byte.is_ascii_graphic());
    if is_own { path } else { "/" }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_form_leads_to_a_path_of_ours_only() {
        assert_eq!(own_path("/events/ab"), "/events/ab");
        assert_eq!(own_path("/events?state=open&device=a%20b"), "/events?state=open&device=a%20b");
        for foreign in
            ["", "//evil.example", "https://evil.example", "/\\evil.example", "/\t/evil.example", "/a b"]
        {
            assert_eq!(own_path(foreign), "/", "{foreign:?}");
        }
    }
}
