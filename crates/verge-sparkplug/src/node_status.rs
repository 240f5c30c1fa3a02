//! What an edge node says of itself, out of the gateway's status document.

use serde::Deserialize;
use serde_json::{Map, Value};

/// The parts of the status document that are metrics of the node.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct NodeStatus {
    /// The state of the store.
    pub state: String,
    /// Verdicts that are committed and not delivered, on the route that is furthest behind.
    pub backlog: u64,
    /// Verdicts that were withdrawn since the start.
    pub withdrawn: u64,
    /// Links upstream that are connected.
    pub uplinks: u32,
    /// Limits that operators have set: judge, key, value.
    pub set_limits: Vec<(String, String, f64)>,
}

#[derive(Deserialize)]
struct Document {
    store: StoreOf,
    routes: Vec<RouteOf>,
    #[serde(default)]
    set_limits: Vec<LimitOf>,
}

#[derive(Deserialize)]
struct LimitOf {
    judge: String,
    key: String,
    value: f64,
}

#[derive(Deserialize)]
struct StoreOf {
    state: String,
    withdrawn: Map<String, Value>,
}

#[derive(Deserialize)]
struct RouteOf {
    backlog: u64,
    links: Vec<LinkOf>,
}

#[derive(Deserialize)]
struct LinkOf {
    connected: bool,
}

impl NodeStatus {
    /// Reads a document; `None` where it is none.
    #[must_use]
    pub fn read(document: &[u8]) -> Option<Self> {
        let Document { store, routes, set_limits } = serde_json::from_slice(document).ok()?;
        let links = routes.iter().flat_map(|route| &route.links);
        Some(Self {
            state: store.state,
            withdrawn: store.withdrawn.values().filter_map(Value::as_u64).sum(),
            backlog: routes.iter().map(|route| route.backlog).max().unwrap_or(0),
            uplinks: u32::try_from(links.filter(|link| link.connected).count()).unwrap_or(u32::MAX),
            set_limits: set_limits.into_iter().map(|limit| (limit.judge, limit.key, limit.value)).collect(),
        })
    }

    /// Where an operator has set a limit.
    pub(crate) fn limit(&self, judge: &str, key: &str) -> Option<f64> {
        self.set_limits.iter().find(|(of, which, _)| of == judge && which == key).map(|(_, _, value)| *value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_reads_the_document() {
        let document = br#"{"v":1,"store":{"state":"ok","withdrawn":{"evicted":2,"too_large":1}},
            "routes":[{"backlog":3,"links":[{"connected":true},{"connected":false}]},{"backlog":9,"links":[]}]}"#;
        let expected = NodeStatus {
            state: "ok".to_owned(),
            backlog: 9,
            withdrawn: 3,
            uplinks: 1,
            set_limits: Vec::new(),
        };
        assert_eq!(NodeStatus::read(document), Some(expected));
        assert_eq!(NodeStatus::read(b"{}"), None);
    }
}
