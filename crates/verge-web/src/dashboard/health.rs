//! `/healthz` and `/readyz`, for whoever restarts a gateway that hangs. Neither asks whether an uplink works: an outage must
//! not get a gateway restarted.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::extract::State;
use hyper::StatusCode;
use serde_json::Value;
use verge_domain::image::Heartbeat;
use verge_domain::time::Monotonic;

use super::routes::{Allowed, Routes};
use super::site::Site;

/// A gateway whose threads make no progress for this long hangs.
const HANGS_AFTER: Duration = Duration::from_secs(15);

/// When all that a verdict passes through last made progress.
#[derive(Debug)]
pub(crate) struct Pulse(Mutex<(Heartbeat, Monotonic)>);

impl Pulse {
    pub(super) fn new(now: Monotonic) -> Self {
        Self(Mutex::new((Heartbeat::default(), now)))
    }

    /// A second has passed.
    pub(super) fn second(&self, progress: &[u64], now: Monotonic) {
        let mut pulse = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if pulse.0.second(progress) {
            pulse.1 = now;
        }
    }

    /// Whether it beats.
    pub(crate) fn beats(&self, now: Monotonic) -> bool {
        now.since(self.0.lock().unwrap_or_else(PoisonError::into_inner).1) < HANGS_AFTER
    }
}

pub(super) fn routes(routes: Routes) -> Routes {
    routes.get("/healthz", Allowed::Anyone, healthy).get("/readyz", Allowed::Anyone, ready)
}

async fn healthy(State(site): State<Arc<Site>>) -> StatusCode {
    said(site.pulse.beats(site.live.now().mono))
}

async fn ready(State(site): State<Arc<Site>>) -> StatusCode {
    // Anyone may ask, so it costs no status of its own.
    let status = || -> Value { serde_json::from_slice(&site.shared_status()).unwrap_or_default() };
    said(site.pulse.beats(site.live.now().mono) && is_ready(&status()))
}

fn is_ready(status: &Value) -> bool {
    let connected_once =
        status.pointer("/local/connections").and_then(Value::as_u64).is_some_and(|count| count > 0);
    connected_once && status["store"]["state"] != "storage_fault"
}

/// Empty on purpose: anyone may ask.
const fn said(well: bool) -> StatusCode {
    if well { StatusCode::NO_CONTENT } else { StatusCode::SERVICE_UNAVAILABLE }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_thread_that_hangs_ends_the_pulse() {
        let at = |seconds: u64| Monotonic(seconds * 1_000_000);
        let pulse = Pulse::new(at(0));
        assert!(pulse.beats(at(14)), "it may still start");
        assert!(!pulse.beats(at(15)));
        pulse.second(&[1, 1], at(15));
        pulse.second(&[2, 2], at(16));
        assert!(pulse.beats(at(30)));
        pulse.second(&[3, 2], at(30));
        assert!(!pulse.beats(at(31)), "one of them stands still");
    }

    #[test]
    fn a_gateway_is_ready_once_it_was_connected_and_its_store_works() {
        let ready = |connections, state| {
            is_ready(&json!({ "local": { "connections": connections }, "store": { "state": state } }))
        };
        assert!(ready(1, "ok") && ready(2, "full"));
        assert!(!ready(0, "ok") && !ready(1, "storage_fault"));
        assert!(!is_ready(&Value::Null));
    }
}
