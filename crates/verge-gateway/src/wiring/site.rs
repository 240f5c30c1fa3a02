//! What the status says of the connections to the site's broker, and who is reported that receives nothing.

use std::sync::Arc;

use verge_pipeline::counters::Counters;
use verge_pipeline::frames::Sources;
use verge_pipeline::status::{self, LocalState};

use super::inputs::SiteSource;

/// Warns, once, of each source that has received nothing since the start. The status keeps saying so.
pub(super) async fn report_silent_sources(counters: Arc<Counters>) {
    tokio::time::sleep(status::NOTHING_RECEIVED_AFTER).await;
    for source in counters.sources().iter().filter(|source| source.messages_received_total.get() == 0) {
        tracing::warn!(source = %source.name, "{}", status::NOTHING_RECEIVED);
    }
}

/// The connections to the site's broker together: up where all are.
pub(super) fn local_state_of(sources: &Sources<SiteSource>) -> LocalState {
    let states: Vec<_> = sources.0.iter().map(SiteSource::state).collect();
    LocalState {
        connected: states.iter().all(|state| state.connected),
        connections: states.iter().map(|state| state.connections).sum(),
        outstanding: states.iter().map(|state| state.outstanding).sum(),
        births_asked: 0,
        unknown_topics: states.iter().map(|state| state.unknown_topic).sum(),
        oversized: states.iter().map(|state| state.oversized).sum(),
        last_oversized: states.iter().find_map(|state| state.last_oversized.clone()),
        overloaded: states.iter().any(|state| state.overloaded),
        redelivered: states.iter().map(|state| state.redelivered).sum(),
        last_error: states.into_iter().find_map(|state| state.last_error),
        credentials_error: None,
        broker: None,
        certificates: Vec::new(),
        cameras: Vec::new(),
        servers: Vec::new(),
        states: Vec::new(),
        models: Vec::new(),
        made_elsewhere: Vec::new(),
        offers: None,
    }
}
