//! What all handlers share.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::body::Bytes;
use axum::extract::FromRequestParts;
use hyper::http::request::Parts;
use serde_json::Value;
use tokio::sync::Semaphore;
use verge_domain::live::LiveGateway;
use verge_domain::time::Monotonic;

use super::DashboardSettings;
use super::access::{Access, Role, Who};
use super::actions::ActionLog;
use super::cut::Cuts;
use super::health::Pulse;
use super::problem::Problem;

/// Listeners to the stream at most.
pub(super) const MAX_LISTENERS: usize = 32;
const SHARED_FOR: Duration = Duration::from_secs(1);

/// The gateway, the logins and what is counted.
pub(crate) struct Site {
    pub(crate) settings: DashboardSettings,
    pub(crate) live: Arc<dyn LiveGateway>,
    pub(crate) access: Access,
    pub(crate) pulse: Pulse,
    pub(crate) actions: Arc<ActionLog>,
    pub(crate) cuts: Cuts,
    pub(crate) listeners: Arc<Semaphore>,
    /// One configuration is checked at a time.
    pub(crate) checking: Arc<Semaphore>,
    shared: Mutex<Option<(Monotonic, Bytes)>>,
}

impl Site {
    pub(super) fn new(settings: DashboardSettings, live: Arc<dyn LiveGateway>) -> Self {
        let access = Access::open(&settings.state_dir, settings.certificates.clone());
        let actions = Arc::new(ActionLog::open(&settings.state_dir));
        let pulse = Pulse::new(live.now().mono);
        Self {
            settings,
            live,
            access,
            pulse,
            actions,
            cuts: Cuts::default(),
            listeners: Arc::new(Semaphore::new(MAX_LISTENERS)),
            checking: Arc::new(Semaphore::new(1)),
            shared: Mutex::default(),
        }
    }

    /// The status document for the stream and for whoever asks without a login: all share one of the last second.
    pub(crate) fn shared_status(&self) -> Bytes {
        let now = self.live.now().mono;
        let mut shared = self.shared.lock().unwrap_or_else(PoisonError::into_inner);
        match &*shared {
            Some((made, status)) if now.since(*made) < SHARED_FOR => status.clone(),
            _ => {
                let status = self.live.status();
                *shared = Some((now, status.clone()));
                status
            }
        }
    }

    /// The status document, to be read by pointers.
    pub(crate) fn status(&self) -> Value {
        serde_json::from_slice(&self.live.status()).unwrap_or_default()
    }
}

/// Does something in a task of its own, as the one that asks ends with its client or by its time. What takes longer
/// than `within` goes on, and is answered as unconfirmed.
pub(super) async fn to_its_end<T: Send + 'static>(
    within: Duration,
    work: impl Future<Output = Result<T, Problem>> + Send + 'static,
) -> Result<T, Problem> {
    match tokio::time::timeout(within, tokio::spawn(work)).await {
        Ok(Ok(done)) => done,
        Ok(Err(_)) => Err(Problem::Unavailable("it stops")),
        Err(_) => Err(Problem::Unconfirmed),
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
