//! An edge node of Sparkplug as a sink: what to say and when is decided by [`verge_sparkplug`], this is its connection.
//!
//! What is new comes from the board, so that it never waits behind what is old; the rows that the delivery offers are the
//! receipts of it, and are sent themselves where they are not new.
//!
//! Reading order: [`SparkplugSink`]; `role`, one connection after another; `shared`, the node between the two.

mod birth_number;
mod role;
mod shared;

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use tokio::time::{Instant, Sleep};
use verge_domain::board::Board;
use verge_domain::id::{Lane, Seq};
use verge_domain::link::LinkReport;
use verge_domain::stage::{Control, OfferError, Sink, SinkEvent, Token, VerdictRow};
use verge_domain::time::Moment;
use verge_sparkplug::{EdgeNode, EdgeSettings, NodeStatus};

use crate::connection::ConnectionSettings;
use crate::driver::Driver;
use crate::renewal::Renewal;
pub use birth_number::{BirthNumbers, SavedNumber};
use role::EdgeRole;
use shared::{MAX_QUEUED, SharedNode};

/// Requests beside messages: subscriptions, the death, DISCONNECT.
const REQUESTS: usize = 16;
/// The shortest wait between two looks at what waits for time to pass.
const SHORTEST_WAIT: Duration = Duration::from_millis(5);

/// What an edge node shows, and by what clock.
#[derive(Clone)]
pub struct ShownBoard {
    /// The last words.
    pub board: Arc<dyn Board>,
    /// The newest committed number of each lane.
    pub heads: Arc<dyn Fn() -> [Seq; 3] + Send + Sync>,
    /// The clock.
    pub now: Arc<dyn Fn() -> Moment + Send + Sync>,
}

impl fmt::Debug for ShownBoard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ShownBoard")
    }
}

/// How an edge node connects and what it shows.
#[derive(Debug, Clone)]
pub struct SparkplugSettings {
    /// The broker.
    pub connection: ConnectionSettings,
    /// The node.
    pub edge: EdgeSettings,
    /// What it shows.
    pub shown: ShownBoard,
    /// The numbers of its births.
    pub numbers: BirthNumbers,
}

/// Keeps the connection of an edge node. Dropping it without [`Sink::close`] makes the broker publish its last will.
#[derive(Debug)]
pub struct SparkplugSink {
    shared: SharedNode,
    renewal: Option<Renewal>,
    timer: Pin<Box<Sleep>>,
    driver: Driver,
}

impl SparkplugSink {
    /// Connects, and keeps connecting.
    ///
    /// # Panics
    /// Outside of a Tokio runtime.
    #[must_use]
    pub fn spawn(settings: SparkplugSettings) -> Self {
        let SparkplugSettings { connection, edge, shown, numbers } = settings;
        let shared = SharedNode::new(EdgeNode::new(edge), shown);
        let role = EdgeRole::new(shared.clone(), numbers, connection.patience());
        let renewal = connection.renewal.clone();
        let driver = Driver::start(connection, MAX_QUEUED + REQUESTS, role);
        Self { shared, renewal, timer: Box::pin(tokio::time::sleep(Duration::ZERO)), driver }
    }
}

impl Sink for SparkplugSink {
    type Item = Vec<VerdictRow>;

    fn offer(&mut self, _lane: Lane, rows: Vec<VerdictRow>, token: Token) -> Result<(), OfferError> {
        self.shared.offer(rows, token)
    }

    fn report(&self) -> LinkReport {
        let credentials_fault = self.renewal.as_ref().and_then(Renewal::fault);
        LinkReport { credentials_fault, edge_node: Some(self.shared.report()), ..LinkReport::default() }
    }

    fn poll_event(&mut self, context: &mut Context<'_>) -> Poll<Option<SinkEvent>> {
        loop {
            let (event, wake) = self.shared.poll_event(context);
            if event.is_ready() {
                return event;
            }
            let Some(wait) = wake else { return Poll::Pending };
            self.timer.as_mut().reset(Instant::now() + wait.max(SHORTEST_WAIT));
            if self.timer.as_mut().poll(context).is_pending() {
                return Poll::Pending;
            }
        }
    }

    async fn close(&mut self, grace: Duration) {
        self.shared.leave();
        if tokio::time::timeout(grace, self.shared.left()).await.is_err() {
            tracing::info!("the broker has not acknowledged in time that the edge node leaves");
        }
        self.driver.stop().await;
        self.shared.end();
    }
}

impl Control for SparkplugSink {
    fn takes_status(&self) -> bool {
        true
    }

    fn publish_status(&mut self, document: Bytes) -> Result<(), OfferError> {
        if let Some(status) = NodeStatus::read(&document) {
            self.shared.set_status(status);
        }
        Ok(())
    }

    /// Hosts read it as a metric of the node.
    fn answer(&mut self, answer: Bytes) -> Result<(), OfferError> {
        self.shared.with(|node, _, _| node.answered(&answer));
        Ok(())
    }

    /// The last will says it.
    fn set_last_status(&mut self, _document: Bytes) {}
}
