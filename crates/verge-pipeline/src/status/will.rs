//! Last wills: the status that a broker publishes when the gateway vanishes.

use bytes::Bytes;
use serde::Serialize;
use verge_domain::id::GatewayId;
use verge_domain::life::Life;

use super::claim::LifeStatus;

/// The last will: what the broker publishes as status when the gateway vanishes. The next run reads it back, see
/// [`verge_domain::life`]. `last`: the newest numbers so far, by lane.
///
/// # Panics
/// Never: text and numbers only.
#[must_use]
pub fn last_will_of(gateway: &GatewayId, life: &Life, last: [u64; 3]) -> Bytes {
    #[derive(Serialize)]
    struct Will<'a> {
        v: u8,
        state: &'static str,
        gateway: &'a str,
        epoch: String,
        store: WillStore,
    }
    #[derive(Serialize)]
    struct WillStore {
        #[serde(flatten)]
        life: LifeStatus,
        last: [u64; 3],
    }
    let store = WillStore { life: LifeStatus::of(life), last };
    let will =
        Will { v: 1, state: "offline", gateway: gateway.as_str(), epoch: life.epoch.to_string(), store };
    Bytes::from(serde_json::to_vec(&will).expect("text and numbers only"))
}

/// The last will of a connection without a store.
///
/// # Panics
/// Never: text only.
#[must_use]
pub fn last_will(gateway: &GatewayId) -> Bytes {
    let document = serde_json::json!({ "v": 1, "state": "offline", "gateway": gateway.as_str() });
    Bytes::from(serde_json::to_vec(&document).expect("text only"))
}
