//! What all handlers share.

use std::sync::Arc;

use axum::extract::FromRequestParts;
use hyper::http::request::Parts;
use serde_json::Value;
use tokio::sync::Semaphore;
use verge_domain::live::LiveGateway;

use super::DashboardSettings;
use super::access::{Access, Role, Who};
use super::health::Pulse;
use super::problem::Problem;

/// Listeners to the stream at most.
pub(super) const MAX_LISTENERS: usize = 32;

/// The gateway, the logins and what is counted.
pub(crate) struct Site {
    pub(crate) settings: DashboardSettings,
    pub(crate) live: Arc<dyn LiveGateway>,
    pub(crate) access: Access,
    pub(crate) pulse: Pulse,
    pub(crate) listeners: Arc<Semaphore>,
}

impl Site {
    pub(super) fn new(settings: DashboardSettings, live: Arc<dyn LiveGateway>) -> Self {
        let access = Access::open(&settings.state_dir);
        let pulse = Pulse::new(live.now().mono);
        Self { settings, live, access, pulse, listeners: Arc::new(Semaphore::new(MAX_LISTENERS)) }
    }

    /// The status document, to be read by pointers.
    pub(crate) fn status(&self) -> Value {
        serde_json::from_slice(&self.live.status()).unwrap_or_default()
    }
}

/// Who asks, for handlers that the table lets in only with a login.
impl<S: Sync> FromRequestParts<S> for Who {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Problem> {
        parts.extensions.get::<Self>().cloned().ok_or(Problem::Unauthenticated)
    }
}

impl Who {
    /// Whether it may acknowledge, shelve and label.
    pub(crate) fn operates(&self) -> bool {
        self.role >= Role::Operator
    }
}
