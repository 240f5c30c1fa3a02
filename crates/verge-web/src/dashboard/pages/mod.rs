//! What people see. Each page has a file: its path and name, its handlers, its template beside it in `templates/`.
//!
//! Pages are whole without a script. The script only enlivens them: it fetches a page again when something has happened, and
//! puts the parts marked `data-live` in the place of the old ones.

mod accounts;
mod cameras;
mod configuration;
mod events;
mod figure;
mod interface;
mod lines;
pub(super) mod login;
mod models;
mod overview;
mod record;
mod signals;

use askama::Template;
use axum::response::{IntoResponse, Response};
use hyper::header::CONTENT_TYPE;
use serde_json::Value;

use super::access::Who;
use super::assets;
use super::problem::Problem;
use super::routes::Routes;
use super::shown::Shown;
use super::site::Site;

/// A page of the navigation.
struct Page {
    path: &'static str,
    name: &'static str,
    routes: fn(Routes) -> Routes,
}

/// In the order of the navigation.
const PAGES: &[Page] = &[
    overview::PAGE,
    cameras::PAGE,
    events::PAGE,
    signals::PAGE,
    accounts::PAGE,
    models::PAGE,
    record::PAGE,
    configuration::PAGE,
    interface::PAGE,
];

pub(super) fn routes(routes: Routes) -> Routes {
    PAGES.iter().fold(lines::routes(login::routes(routes)), |routes, page| (page.routes)(routes))
}

/// What all pages have around them.
struct Chrome {
    title: &'static str,
    /// Path of the page in the navigation.
    here: &'static str,
    gateway: String,
    place: Option<Shown>,
    user: String,
    role: &'static str,
    /// For a screen that nobody operates.
    wall: bool,
    /// Severity of the worst open event.
    worst: Option<&'static str>,
    open: u64,
    /// An alarm waits for an operator.
    waits: bool,
    clock: String,
}

impl Chrome {
    /// Of a page of the navigation, with the status that it shows.
    fn of(site: &Site, who: &Who, (title, here): (&'static str, &'static str), wall: bool) -> Self {
        let events = site.live.board().open_events();
        let counts = [("critical", events.critical), ("warning", events.warning), ("info", events.info)];
        Self {
            title,
            here,
            gateway: site.live.id().to_string(),
            place: site.settings.site.as_deref().map(Shown::of),
            user: who.user.clone(),
            role: who.role.as_str(),
            wall,
            worst: counts.into_iter().find(|(_, count)| *count > 0).map(|(severity, _)| severity),
            open: events.open,
            waits: site.live.board().standing().unacknowledged > 0,
            clock: site.live.time_words(site.live.now().wall),
        }
    }

    fn pages(&self) -> &'static [Page] {
        PAGES
    }

    fn style(&self) -> &'static str {
        assets::style()
    }

    fn script(&self) -> &'static str {
        assets::script()
    }

    fn icon(&self) -> &'static str {
        assets::icon()
    }
}

/// A page of a template.
fn html(page: &impl Template) -> Response {
    match page.render() {
        Ok(text) => ([(CONTENT_TYPE, "text/html; charset=utf-8")], text).into_response(),
        Err(error) => {
            tracing::error!(%error, "a page cannot be made");
            Problem::Unavailable("the page cannot be made").into_response()
        }
    }
}

#[derive(Template)]
#[template(path = "problem.html")]
struct ProblemPage {
    title: &'static str,
    detail: String,
    style: &'static str,
    icon: &'static str,
}

/// A refusal as a page.
pub(super) fn problem(problem: &Problem) -> String {
    let page = ProblemPage {
        title: problem.title(),
        detail: Shown::sentence(&problem.to_string()).to_string(),
        style: assets::style(),
        icon: assets::icon(),
    };
    page.render().unwrap_or_else(|_| problem.title().to_owned())
}

/// A number with thin spaces between thousands.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() * 2);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push('\u{202f}');
        }
        text.push(digit);
    }
    text
}

/// A number as people write it, with six digits that count.
pub(super) fn number(value: f64) -> String {
    let rounded: f64 = format!("{value:.5e}").parse().unwrap_or(value);
    if rounded != 0.0 && !(1e-4..1e9).contains(&rounded.abs()) {
        format!("{rounded:e}")
    } else {
        format!("{rounded}")
    }
}

/// A whole number of a document.
fn whole(value: &Value) -> u64 {
    value.as_u64().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_written_for_people() {
        let check = |value, words: &str| assert_eq!(number(value), words);
        check(8.25, "8.25");
        check(0.1 + 0.2, "0.3");
        check(-1_234_567.0, "-1234570");
        check(0.0, "0");
        check(1.5e-7, "1.5e-7");
        check(3e12, "3e12");
        assert_eq!(grouped(1_234_567), "1\u{202f}234\u{202f}567");
        assert_eq!((grouped(0), grouped(999)), ("0".to_owned(), "999".to_owned()));
    }
}
