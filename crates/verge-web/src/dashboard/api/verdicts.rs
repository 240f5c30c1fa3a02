//! Verdicts as they stand in the store.

use std::sync::Arc;

use axum::extract::{RawQuery, State};
use axum::response::{IntoResponse, Response};
use hyper::header::CONTENT_TYPE;
use serde_json::json as json_value;
use verge_domain::id::{Lane, Seq};
use verge_domain::live::{ReadFrom, StoredItem};

use super::operation::{LIMIT, MAX_SEQ, count, limit_schema, list as list_of, object, word};
use super::{Input, Operation, Parameter, Schema};
use crate::dashboard::access::Role;
use crate::dashboard::past;
use crate::dashboard::problem::Problem;
use crate::dashboard::routes::Routes;
use crate::dashboard::site::Site;

/// Verdicts in one answer at most: one snapshot of the store.
const MOST: u64 = 256;

const VERDICTS: Schema = Schema {
    name: "Verdicts",
    make: || {
        let verdict =
            json_value!({ "type": "object", "description": "A verdict or a tombstone, see docs/verdict.md" });
        let next = count("Where the lane goes on, for `after`; absent at its end");
        object(json_value!({ "verdicts": list_of(verdict) }), json_value!({ "next": next }))
    },
};
const LANE: &[Parameter] = &[
    Parameter {
        name: "lane",
        says: "The lane, `alarm` where it is left out",
        schema: || word("The lane", &Lane::ALL.map(Lane::as_str)),
    },
    Parameter {
        name: "after",
        says: "Only what stands behind this number",
        schema: || json_value!({ "type": "integer", "minimum": 0, "maximum": MAX_SEQ }),
    },
    Parameter { schema: || limit_schema(MOST), ..LIMIT },
];

pub(super) fn routes(routes: Routes) -> Routes {
    let reads = "Lists what the store holds of a lane, in order";
    let read = Operation::get("/api/v1/verdicts", Role::Viewer, reads).query(LANE).gives(VERDICTS);
    routes.operation(read, list)
}

async fn list(State(site): State<Arc<Site>>, RawQuery(query): RawQuery) -> Result<Response, Problem> {
    let mut input = Input::query(query.as_deref());
    let lane = input.word("lane", Lane::named, &Lane::ALL.map(Lane::as_str)).unwrap_or(Lane::Alarm);
    let after = input.whole("after", 0..=MAX_SEQ).map_or(Seq::ZERO, Seq);
    let limit = input.limit(MOST);
    input.done()?;
    let part = past::read(&site, lane, ReadFrom::Behind(after)).await?;
    let (mut text, mut last) = (String::from("{\"verdicts\":["), after);
    for item in part.items.iter().take(limit) {
        let (json, through) = match item {
            StoredItem::Verdict(word) => (site.live.verdict_json(word), word.seq.unwrap_or(last)),
            StoredItem::Tombstone { through, json, .. } => (Some(json.clone()), *through),
        };
        last = through;
        let Some(json) = json else { continue };
        if !text.ends_with('[') {
            text.push(',');
        }
        text.push_str(&String::from_utf8_lossy(&json));
    }
    // What was read may reach beyond what can be shown: where that is damaged, the list goes on behind it.
    let next = match part.rest {
        _ if part.items.len() > limit => Some(last),
        Some(ReadFrom::Behind(behind)) => Some(behind),
        Some(_) => Some(last),
        None => None,
    };
    text.push(']');
    if let Some(next) = next {
        text.push_str(&format!(",\"next\":{next}"));
    }
    text.push('}');
    Ok(([(CONTENT_TYPE, "application/json")], text).into_response())
}
