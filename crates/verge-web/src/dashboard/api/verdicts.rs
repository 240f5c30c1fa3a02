//! Verdicts as they stand in the store.

use std::sync::Arc;

use axum::extract::{RawQuery, State};
use axum::response::{IntoResponse, Response};
use hyper::header::CONTENT_TYPE;
use verge_domain::id::{Lane, Seq};
use verge_domain::live::{ReadFrom, StoredItem};

use crate::dashboard::access::Role;
use crate::dashboard::form::Form;
use crate::dashboard::past;
use crate::dashboard::problem::Problem;
use crate::dashboard::routes::{Allowed, Routes};
use crate::dashboard::site::Site;

/// Verdicts in one answer at most: one snapshot of the store.
const MOST: usize = 256;

pub(super) fn routes(routes: Routes) -> Routes {
    routes.get("/api/v1/verdicts", Allowed::From(Role::Viewer), list)
}

async fn list(State(site): State<Arc<Site>>, RawQuery(query): RawQuery) -> Result<Response, Problem> {
    let query = Form::read(query.unwrap_or_default().as_bytes());
    let invalid = |what: &str, expected: &str| Problem::Invalid {
        what: what.to_owned(),
        expected: format!("expected {expected}"),
    };
    let lane = match query.text("lane") {
        None => Lane::Alarm,
        Some(lane) => Lane::named(lane).ok_or_else(|| invalid("lane", "alarm, verdict or telemetry"))?,
    };
    let after = match query.text("after").map(str::parse) {
        None => Seq::ZERO,
        Some(Ok(after)) => Seq(after),
        Some(Err(_)) => return Err(invalid("after", "a number of the lane")),
    };
    let limit = match query.text("limit").map(str::parse::<usize>) {
        None => MOST,
        Some(Ok(limit @ 1..=MOST)) => limit,
        Some(_) => return Err(invalid("limit", &format!("a whole number from 1 to {MOST}"))),
    };
    let part = past::read(&site, lane, ReadFrom::Behind(after)).await?;
    let (mut text, mut last) = (String::from("{\"verdicts\":["), after);
    for item in part.items.iter().take(limit) {
        let (json, through) = match item {
            StoredItem::Verdict(word) => {
                let Some(json) = site.live.verdict_json(word) else { continue };
                (json, word.seq.unwrap_or(last))
            }
            StoredItem::Tombstone { through, json, .. } => (json.clone(), *through),
        };
        if !text.ends_with('[') {
            text.push(',');
        }
        text.push_str(&String::from_utf8_lossy(&json));
        last = through;
    }
    let more = part.rest.is_some() || part.items.len() > limit;
    text.push(']');
    if more {
        text.push_str(&format!(",\"next\":{last}"));
    }
    text.push('}');
    Ok(([(CONTENT_TYPE, "application/json")], text).into_response())
}
