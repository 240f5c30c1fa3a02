//! Who did what: what people did by pages and the interface, the newest first.

use std::sync::Arc;

use askama::Template;
use axum::extract::{RawQuery, State};
use axum::response::Response;
use serde_json::Value;
use verge_domain::time::UtcMillis;

use super::{Chrome, Page, html};
use crate::dashboard::access::{Role, Who};
use crate::dashboard::actions::{Action, ActionWord};
use crate::dashboard::form::Form;
use crate::dashboard::routes::Allowed;
use crate::dashboard::shown::Shown;
use crate::dashboard::site::Site;

pub(super) const PAGE: Page = Page {
    path: "/actions",
    name: "Actions",
    routes: |routes| routes.get("/actions", Allowed::From(Role::Viewer), record),
};

/// Actions of one page.
const ROWS: usize = 50;

struct Line {
    number: u64,
    at: String,
    who: Shown,
    what: Shown,
    about: Shown,
}

impl Line {
    fn of(site: &Site, action: &Action) -> Self {
        Self {
            number: action.number,
            at: site.live.time_words(UtcMillis(action.at)),
            who: Shown::of(&action.who),
            what: Shown::of(&action.what),
            about: Shown::sentence(&words(&action.about)),
        }
    }
}

/// A value without quotes and brackets: names and numbers by what they are.
fn words(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        Value::Array(items) => items.iter().map(words).collect::<Vec<_>>().join("; "),
        Value::Object(keys) => {
            let pair = |(key, value): (&String, &Value)| {
                let said = words(value);
                // An empty list, and no more of something, say nothing.
                (!said.is_empty() && said != "0").then(|| format!("{key}: {said}"))
            };
            keys.iter().filter_map(pair).collect::<Vec<_>>().join(", ")
        }
        other => other.to_string(),
    }
}

#[derive(Template)]
#[template(path = "record.html")]
struct Record {
    chrome: Chrome,
    words: Vec<&'static str>,
    lines: Vec<Line>,
    who: String,
    what: String,
    /// Where it goes on with those before.
    older: Option<String>,
}

async fn record(State(site): State<Arc<Site>>, who: Who, RawQuery(query): RawQuery) -> Response {
    let form = Form::read(query.unwrap_or_default().as_bytes());
    let before = form.text("before").and_then(|number| number.parse().ok()).unwrap_or(u64::MAX);
    let (by, what) = (form.text("who"), form.text("what"));
    let all = site.actions.behind(0);
    let wanted = all.iter().rev().filter(|action| {
        action.number < before
            && by.is_none_or(|by| action.who == by)
            && what.is_none_or(|what| action.what == what)
    });
    let mut found: Vec<&Arc<Action>> = wanted.take(ROWS + 1).collect();
    let goes_on = found.len() > ROWS;
    found.truncate(ROWS);
    let older = found.last().filter(|_| goes_on).map(|last| {
        let mut query = form_urlencoded::Serializer::for_suffix(String::from("/actions?"), "/actions?".len());
        query.append_pair("before", &last.number.to_string());
        for (key, value) in [("who", by), ("what", what)] {
            if let Some(value) = value {
                query.append_pair(key, value);
            }
        }
        query.finish()
    });
    html(&Record {
        chrome: Chrome::of(&site, &who, (PAGE.name, PAGE.path), false),
        words: ActionWord::ALL.map(ActionWord::as_str).to_vec(),
        lines: found.into_iter().map(|action| Line::of(&site, action)).collect(),
        who: by.unwrap_or_default().to_owned(),
        what: what.unwrap_or_default().to_owned(),
        older,
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_it_was_about_is_said_in_words() {
        let check = |about: Value, expected: &str| assert_eq!(words(&about), expected);
        check(json!({}), "");
        check(json!({ "event": 2, "note": "seen" }), "event: 2, note: seen");
        check(json!({ "changed": ["a: 1, was 2", "b"], "more": 0 }), "changed: a: 1, was 2; b");
        check(json!({ "device": null, "minutes": 10 }), "minutes: 10");
    }
}
