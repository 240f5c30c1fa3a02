//! Every number of the status document: what came in, what became of it, what is stored and what was sent.

use std::sync::Arc;

use askama::Template;
use axum::extract::State;
use axum::response::Response;
use serde_json::Value;
use verge_domain::id::Lane;

use super::{Chrome, Page, grouped, html, number};
use crate::dashboard::access::{Role, Who};
use crate::dashboard::routes::Allowed;
use crate::dashboard::shown::Shown;
use crate::dashboard::site::Site;

pub(super) const PAGE: Page = Page {
    path: "/accounts",
    name: "Accounts",
    routes: |routes| routes.get("/accounts", Allowed::From(Role::Viewer), accounts),
};

/// Parts of the document that are shown, with their headings.
const PARTS: [(&str, &str); 9] = [
    ("sources", "Sources"),
    ("store", "Store"),
    ("routes", "Routes"),
    ("ledger", "Received and sent"),
    ("local", "Connection to the site's broker"),
    ("broker", "Embedded broker"),
    ("frames", "Frames"),
    ("judging", "Judging"),
    ("certificates", "Certificates"),
];

/// One value, and where it stands in the document.
struct Leaf {
    pointer: String,
    label: String,
    text: Shown,
    raw: String,
}

/// What has a heading: a whole part, or one entry of it.
struct Group {
    name: Option<Shown>,
    leaves: Vec<Leaf>,
}

struct Part {
    title: &'static str,
    groups: Vec<Group>,
}

#[derive(Template)]
#[template(path = "accounts.html")]
struct Accounts {
    chrome: Chrome,
    parts: Vec<Part>,
}

async fn accounts(State(site): State<Arc<Site>>, who: Who) -> Response {
    let parts = parts_of(&site.status());
    html(&Accounts { chrome: Chrome::of(&site, &who, (PAGE.name, PAGE.path), false), parts })
}

fn parts_of(status: &Value) -> Vec<Part> {
    let part = |(key, title): (&str, &'static str)| {
        let groups = groups_of(&format!("/{key}"), status.get(key)?);
        (!groups.is_empty()).then_some(Part { title, groups })
    };
    PARTS.into_iter().filter_map(part).collect()
}

fn groups_of(pointer: &str, part: &Value) -> Vec<Group> {
    let group = |name: Option<Shown>, pointer: &str, value: &Value| {
        let mut leaves = Vec::new();
        collect(pointer, "", value, &mut leaves);
        Group { name, leaves }
    };
    match part {
        Value::Array(entries) => {
            let name = |entry: &Value| entry["name"].as_str().or(entry["key"].as_str()).map(Shown::of);
            let numbered = entries.iter().enumerate();
            numbered.map(|(index, entry)| group(name(entry), &format!("{pointer}/{index}"), entry)).collect()
        }
        _ => vec![group(None, pointer, part)],
    }
}

fn collect(pointer: &str, label: &str, value: &Value, leaves: &mut Vec<Leaf>) {
    let below = |key: &str| {
        if label.is_empty() { key.replace('_', " ") } else { format!("{label}, {}", key.replace('_', " ")) }
    };
    match value {
        Value::Object(keys) => {
            for (key, value) in keys {
                let escaped = key.replace('~', "~0").replace('/', "~1");
                collect(&format!("{pointer}/{escaped}"), &below(key), value, leaves);
            }
        }
        Value::Array(entries) => {
            let by_lane = entries.len() == Lane::ALL.len() && entries.iter().all(Value::is_number);
            for (index, value) in entries.iter().enumerate() {
                let lane = Lane::from_index(index).filter(|_| by_lane).map(|lane| lane.as_str().to_owned());
                let name = value["name"]
                    .as_str()
                    .map(ToOwned::to_owned)
                    .or(lane)
                    .unwrap_or_else(|| index.to_string());
                collect(&format!("{pointer}/{index}"), &below(&name), value, leaves);
            }
        }
        Value::Null => {}
        plain => leaves.push(Leaf {
            pointer: pointer.to_owned(),
            label: Shown::of(label).text,
            text: text_of(plain),
            raw: plain.as_str().map_or_else(|| plain.to_string(), ToOwned::to_owned),
        }),
    }
}

fn text_of(value: &Value) -> Shown {
    match value {
        Value::Bool(flag) => Shown::of(if *flag { "yes" } else { "no" }),
        Value::Number(found) => {
            let words = found.as_u64().map(grouped).or_else(|| found.as_f64().map(number));
            Shown { text: words.unwrap_or_default(), whole: None }
        }
        other => Shown::of(other.as_str().unwrap_or_default()),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// Pointers of all values that are no texts.
    fn pointers(at: &str, value: &Value, found: &mut Vec<String>) {
        match value {
            Value::Object(keys) => {
                keys.iter().for_each(|(key, value)| pointers(&format!("{at}/{key}"), value, found))
            }
            Value::Array(all) => {
                all.iter()
                    .enumerate()
                    .for_each(|(index, value)| pointers(&format!("{at}/{index}"), value, found));
            }
            _ => found.push(at.to_owned()),
        }
    }

    #[test]
    fn every_value_of_a_part_is_shown_with_its_pointer() {
        let status = json!({
            "sources": [{ "name": "pump", "received": 12_345, "rejections": { "bad_json": 2 }, "age_ms": 7 }],
            "store": { "state": "ok", "committed": [1, 2, 3], "commit_ms": { "p50": 0.25 } },
            "routes": [{ "name": "up", "connected": true, "links": [{ "name": "wan", "bytes_sent": 9 }] }],
        });
        let mut expected = Vec::new();
        pointers("", &status, &mut expected);
        let parts = parts_of(&status);
        let leaves: Vec<&Leaf> =
            parts.iter().flat_map(|part| &part.groups).flat_map(|group| &group.leaves).collect();
        let mut shown: Vec<&str> = leaves.iter().map(|leaf| leaf.pointer.as_str()).collect();
        shown.sort_unstable();
        expected.sort_unstable();
        assert_eq!(shown, expected);
        for leaf in leaves {
            let value = status.pointer(&leaf.pointer).unwrap();
            assert_eq!(leaf.raw, value.as_str().map_or_else(|| value.to_string(), ToOwned::to_owned));
        }
    }
}
