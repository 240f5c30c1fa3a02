//! What whoever supervises a gateway sees of it: whether every thread makes progress, whether it takes input, and how it is in a
//! line. It holds nothing open that the gateway closes.

use std::sync::Arc;
use std::time::{Duration, Instant};

use verge_domain::board::Board;
use verge_domain::id::RouteId;
use verge_pipeline::beats::{BEAT_EVERY, BeatWatch, Hang};
use verge_pipeline::counters::Counters;
use verge_pipeline::delivery::RouteCounters;
use verge_pipeline::frames::Sources;

use super::Gateway;
use super::abort::AbortOnDrop;
use super::inputs::SiteSource;
use super::site::local_state_of;

/// A gateway at work, for its supervisor.
pub struct GatewayPulse {
    counters: Arc<Counters>,
    sources: Sources<SiteSource>,
    routes: Vec<(RouteId, Arc<RouteCounters>)>,
    board: Arc<dyn Board>,
    watch: BeatWatch,
    /// Beats for the thread that carries the deliveries.
    _main: AbortOnDrop,
}

/// What is so now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PulseLook {
    /// All sources have subscribed at the site's broker.
    pub takes_input: bool,
    /// A thread that makes no progress.
    pub hang: Option<Hang>,
    /// In a line.
    pub words: String,
}

impl Gateway {
    /// For a supervisor. Called on the runtime that the gateway was started on.
    #[must_use]
    pub fn pulse(&self) -> GatewayPulse {
        let counters = Arc::clone(self.counters());
        let beat = counters.beats.join("verge-main");
        let main = tokio::spawn(async move {
            loop {
                tokio::time::sleep(BEAT_EVERY).await;
                beat.beat();
            }
        });
        GatewayPulse {
            counters,
            sources: self.sources.clone(),
            routes: self.routes().to_vec(),
            board: self.board(),
            watch: BeatWatch::default(),
            _main: AbortOnDrop(main),
        }
    }
}

impl GatewayPulse {
    /// Looks at it now. A thread hangs when no beat has passed through it within `limit`.
    pub fn look(&mut self, now: Instant, limit: Duration) -> PulseLook {
        let hang = self.watch.look(&self.counters.thread_beats(), now, limit);
        let local = local_state_of(&self.sources);
        let connected = self.routes.iter().filter(|(_, route)| route.connected()).count();
        let waiting: u64 = self.routes.iter().map(|(_, route)| route.backlog()).sum();
        let store = match (self.counters.store_fault(), self.counters.store_full()) {
            (true, _) => "; storage fault",
            (_, true) => "; store full",
            _ => "",
        };
        let words = format!(
            "site broker {}; {connected} of {} routes connected; events open: {}; verdicts waiting: {waiting}{store}",
            if local.connected { "connected" } else { "not connected" },
            self.routes.len(),
            self.board.open_events().open,
        );
        let takes_input = self.sources.0.iter().all(|source| source.state().subscribed);
        PulseLook { takes_input, hang, words }
    }
}
