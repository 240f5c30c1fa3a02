//! Clients that speak MQTT 5, translated to 3.1.1 on their way to the broker and back.
//!
//! What rumqttd cannot do is said in CONNACK (`QoS` 2, retained messages, shared subscriptions, subscription identifiers,
//! topic aliases) and answered with the standard's own reason codes. Properties of messages are not passed on.

mod connect;
mod packets;
mod reasons;
mod sessions;

use std::sync::Arc;
use std::sync::atomic::AtomicU32;

use super::window::Window;
pub(super) use connect::{Greeting, acknowledgement, read, refusal};
pub(super) use packets::{Acknowledgement, Farewell, Head, Place, Properties, publish_down, suback};
pub(super) use reasons::{for_connection, for_filter, for_message};
pub(super) use sessions::{Keeping, Sessions};

/// What holds for one connection.
#[derive(Debug, Clone)]
pub(super) struct Five {
    /// Messages of the broker that the client has not acknowledged.
    pub(super) window: Arc<Window>,
    /// Largest packet that the client takes, with its fixed header.
    pub(super) most_bytes: usize,
    /// Seconds for which its session is kept after its end; [`u32::MAX`] for as long as the broker runs.
    pub(super) expiry: Arc<AtomicU32>,
}

impl Five {
    /// Of a client that asked for this.
    pub(super) fn new(greeting: &Greeting) -> Self {
        Self {
            window: Arc::new(Window::new(greeting.receive_maximum)),
            most_bytes: greeting.most_bytes,
            expiry: Arc::new(AtomicU32::new(greeting.expiry)),
        }
    }
}
