//! Tries an edge node as a gateway would use it: births on a name of its own, a receipt, and the death.

use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::time::{Instant, timeout_at};
use verge_domain::alarms::AlarmFigures;
use verge_domain::board::{Board, CommittedWords, LastWord, OpenEvents};
use verge_domain::id::{Lane, Seq};
use verge_domain::link::EdgeNodeState;
use verge_domain::stage::{Sink, SinkEvent, Token};
use verge_domain::time::{Moment, UtcMillis};
use verge_sparkplug::EdgeSettings;

use super::{ProbeReport, as_check, tcp};
use crate::connection::ConnectionSettings;
use crate::sparkplug::{BirthNumbers, ShownBoard, SparkplugSettings, SparkplugSink};

/// Time for a connection, births and a receipt.
const WITHIN: Duration = Duration::from_secs(10);
/// Time for the death.
const GRACE: Duration = Duration::from_secs(2);

/// Connects under a name that disturbs no gateway. `edge`: its node must be one that no gateway uses.
pub async fn probe_sparkplug(
    connection: &ConnectionSettings,
    edge: EdgeSettings,
    now: impl Fn() -> Moment + Send + Sync + 'static,
) -> ProbeReport {
    let mut report = ProbeReport::default();
    if !tcp(connection, &mut report).await {
        return report;
    }
    let (births, host) = (edge.address.topic("NBIRTH"), edge.host.clone());
    let shown =
        ShownBoard { board: Arc::new(NoBoard), heads: Arc::new(|| [Seq::ZERO; 3]), now: Arc::new(now) };
    let numbers = BirthNumbers::new(None, |_| Box::pin(std::future::ready(true)));
    let connection = as_check(connection);
    let mut sink = SparkplugSink::spawn(SparkplugSettings { connection, edge, shown, numbers });
    let outcome = try_out(&mut sink).await;
    let state = sink.report().edge_node.unwrap_or_default().state;
    sink.close(GRACE).await;
    let what = format!("births on {births:?}, and a receipt for them");
    match (outcome, host) {
        (Err(_), Some(host)) if state == EdgeNodeState::WaitHost => {
            report.note("as the edge node connects", Ok("accepted".to_owned()));
            let text = format!("the primary host {host:?} is not online: nothing is born before it is");
            report.remark("host", text);
        }
        (outcome, _) => report.note(what, outcome),
    }
    report
}

async fn try_out(sink: &mut SparkplugSink) -> Result<String, String> {
    let mut reason = "the broker does not answer in time".to_owned();
    let deadline = Instant::now() + WITHIN;
    while let Ok(Some(event)) = timeout_at(deadline, sink.event()).await {
        match event {
            SinkEvent::Connected => {
                sink.offer(Lane::Alarm, Vec::new(), Token(1)).map_err(|error| error.to_string())?;
            }
            SinkEvent::Delivered(_) => return Ok("published, and the broker has them".to_owned()),
            SinkEvent::Disconnected { reason: given } => reason = given,
            _ => {}
        }
    }
    Err(reason)
}

/// A board without points.
struct NoBoard;

impl Board for NoBoard {
    fn words(&self, _selected: &dyn Fn(&LastWord) -> bool) -> Vec<Arc<LastWord>> {
        Vec::new()
    }

    fn alarms(&self, _now: UtcMillis) -> AlarmFigures {
        AlarmFigures::default()
    }

    fn open_events(&self) -> OpenEvents {
        OpenEvents::default()
    }

    fn follow(&self) -> u64 {
        0
    }

    fn place_behind(&self, _lane: Lane, _seq: Seq) -> Option<u64> {
        None
    }

    fn poll_behind(&self, _place: &mut u64, _context: &mut Context<'_>) -> Poll<CommittedWords> {
        Poll::Pending
    }
}
