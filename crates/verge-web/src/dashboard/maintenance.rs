//! Windows in which nothing is raised, as pages and the interface show them: maintenance, and alarms that are shelved.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::access::short_fingerprint;
use super::site::Site;

/// A window that is open.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct Window {
    /// The same for as long as it is open.
    pub(crate) id: String,
    kind: &'static str,
    #[serde(flatten)]
    about: About,
}

/// As the status document has it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct About {
    device: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    signal: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    judge: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    source: Option<String>,
    until: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    by: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    note: Option<String>,
}

/// All that are open.
pub(crate) fn windows(site: &Site) -> Vec<Window> {
    let windows = site.status()["maintenance"]["windows"].take();
    let all: Vec<About> = serde_json::from_value(windows).unwrap_or_default();
    all.into_iter().map(Window::of).collect()
}

impl Window {
    fn of(about: About) -> Self {
        let kind = if about.by.is_some() { "shelving" } else { "maintenance" };
        // There is one of each kind for the same subjects.
        let identity = serde_json::json!([kind, about.device, about.signal, about.judge, about.source]);
        Self { id: short_fingerprint(identity.to_string().as_bytes()), kind, about }
    }

    /// The command that ends it.
    pub(crate) fn end(&self) -> Value {
        let About { device, signal, judge, source, .. } = &self.about;
        let mut keys = Map::new();
        let names = [
            ("device", Some(device)),
            ("signal", signal.as_ref()),
            ("judge", judge.as_ref()),
            ("source", source.as_ref()),
        ];
        for (key, name) in names {
            if let Some(name) = name {
                keys.insert(key.to_owned(), name.as_str().into());
            }
        }
        keys.insert("id".to_owned(), "dashboard".into());
        if self.kind == "shelving" {
            keys.insert("command".to_owned(), "unshelve".into());
        } else {
            keys.insert("command".to_owned(), "maintenance".into());
            keys.insert("minutes".to_owned(), 0.into());
        }
        Value::Object(keys)
    }
}
