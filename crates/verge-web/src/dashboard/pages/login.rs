//! Logging in and out.

use std::sync::Arc;

use askama::Template;
use axum::extract::{Extension, RawQuery, State};
use axum::response::{IntoResponse, Response};
use hyper::header::{HeaderValue, RETRY_AFTER, SET_COOKIE};
use hyper::{Method, StatusCode};
use serde_json::json;

use super::html;
use crate::dashboard::access::{LoginRefusal, Proof, Role, Who};
use crate::dashboard::actions::ActionWord;
use crate::dashboard::assets;
use crate::dashboard::form::Form;
use crate::dashboard::front::Peer;
use crate::dashboard::problem::Problem;
use crate::dashboard::routes::{Allowed, Routes, own_path, see_other};
use crate::dashboard::site::Site;

/// Path of links that log in once; the ticket is in the query.
pub(crate) const ONCE: &str = "/login/once";
/// As long as browsers keep one: the session ends at the gateway, when it was not used for 30 days.
const COOKIE_SECONDS: u64 = 400 * 24 * 3_600;

pub(super) fn routes(routes: Routes) -> Routes {
    routes
        .get("/login", Allowed::Anyone, form)
        .post("/login", Allowed::Anyone, log_in)
        .get(ONCE, Allowed::Anyone, enter)
        .post("/logout", Allowed::From(Role::Viewer), log_out)
}

#[derive(Template)]
#[template(path = "login.html")]
struct LoginPage {
    gateway: String,
    /// Why the last attempt was refused.
    refusal: Option<String>,
    /// Nobody can log in yet.
    empty: bool,
    next: String,
    style: &'static str,
    icon: &'static str,
}

impl LoginPage {
    fn of(site: &Site, next: &str, refusal: Option<String>) -> Self {
        let empty = site.access.is_empty(site.live.now().mono);
        Self {
            gateway: site.live.id().to_string(),
            refusal,
            empty,
            next: own_path(next).to_owned(),
            style: assets::style(),
            icon: assets::icon(),
        }
    }
}

async fn form(State(site): State<Arc<Site>>, RawQuery(query): RawQuery) -> Response {
    let query = Form::read(query.unwrap_or_default().as_bytes());
    html(&LoginPage::of(&site, query.raw("next"), None))
}

async fn log_in(State(site): State<Arc<Site>>, Extension(peer): Extension<Peer>, form: Form) -> Response {
    let (user, password, next) = (form.raw("user"), form.raw("password"), form.raw("next"));
    let refused = match site.access.log_in(peer.address, (user, password), site.live.now()).await {
        Ok(cookie) => {
            site.record(user, ActionWord::Login, json!({})).await;
            let mut answer = see_other(own_path(next));
            set_cookie(&mut answer, &peer, &cookie, COOKIE_SECONDS);
            return answer;
        }
        Err(LoginRefusal::Wrong) => Problem::WrongLogin,
        Err(LoginRefusal::TooMany(wait)) => Problem::TooManyLogins(wait),
        Err(LoginRefusal::NoRandom) => Problem::Unavailable("the system gives no random numbers"),
    };
    let page = html(&LoginPage::of(&site, next, Some(refused.to_string())));
    let status = refused.status();
    let mut answer = (status, page).into_response();
    if let (Problem::TooManyLogins(wait), StatusCode::TOO_MANY_REQUESTS) = (refused, status) {
        answer.headers_mut().insert(RETRY_AFTER, wait.as_secs().max(1).into());
    }
    answer
}

#[derive(Template)]
#[template(path = "entered.html")]
struct EnteredPage {
    gateway: String,
    style: &'static str,
    icon: &'static str,
}

/// A link that logs in once. It leads on by a page and not by a redirect: a browser that comes from another site would not send
/// the new cookie with that.
async fn enter(
    State(site): State<Arc<Site>>,
    Extension(peer): Extension<Peer>,
    who: Option<Extension<Who>>,
    method: Method,
    RawQuery(query): RawQuery,
) -> Response {
    if who.is_some() {
        return see_other("/");
    }
    // Programs that look at links before people do ask for their heads.
    if method == Method::HEAD {
        return StatusCode::NO_CONTENT.into_response();
    }
    let query = Form::read(query.unwrap_or_default().as_bytes());
    match site.access.enter(query.raw("ticket"), site.live.now().mono) {
        Ok(Some(cookie)) => {
            let entered = site.access.identify(Proof::Cookie(cookie.clone()), site.live.now());
            if let Some(who) = entered {
                site.record(&who.user, ActionWord::Login, json!({ "by": "link" })).await;
            }
            let gateway = site.live.id().to_string();
            let mut answer = html(&EnteredPage { gateway, style: assets::style(), icon: assets::icon() });
            set_cookie(&mut answer, &peer, &cookie, COOKIE_SECONDS);
            answer
        }
        Ok(None) => Problem::UsedLink.into_response(),
        Err(_) => Problem::Unavailable("the system gives no random numbers").into_response(),
    }
}

async fn log_out(State(site): State<Arc<Site>>, Extension(peer): Extension<Peer>, who: Who) -> Response {
    if let Proof::Cookie(cookie) = &who.proof {
        site.access.log_out(cookie);
        site.record(&who.user, ActionWord::Logout, json!({})).await;
    }
    let mut answer = see_other("/login");
    set_cookie(&mut answer, &peer, "", 0);
    answer
}

fn set_cookie(answer: &mut Response, peer: &Peer, value: &str, seconds: u64) {
    let secure = if peer.tls { "; Secure" } else { "" };
    let cookie =
        format!("{}={value}; Path=/; HttpOnly; SameSite=Strict; Max-Age={seconds}{secure}", peer.cookie());
    let cookie = HeaderValue::from_str(&cookie).expect("a cookie is letters and digits");
    answer.headers_mut().insert(SET_COOKIE, cookie);
}
