//! Tries an edge node as a gateway would use it: births on a name of its own, a receipt, and the death.

use std::time::Duration;

use tokio::time::{Instant, timeout_at};
use verge_domain::id::Lane;
use verge_domain::link::EdgeNodeState;
use verge_domain::stage::{Sink, SinkEvent, Token};
use verge_sparkplug::EdgeSettings;

use super::{ProbeReport, as_check, tcp};
use crate::connection::ConnectionSettings;
use crate::sparkplug::{BirthNumbers, ShownBoard, SparkplugSettings, SparkplugSink};

/// Time for a connection, births and a receipt.
const WITHIN: Duration = Duration::from_secs(10);
/// Time for the death.
const GRACE: Duration = Duration::from_secs(2);

/// Connects under a name that disturbs no gateway. `edge`: its node must be one that no gateway uses. `shown`: a board
/// without points.
pub async fn probe_sparkplug(
    connection: &ConnectionSettings,
    edge: EdgeSettings,
    shown: ShownBoard,
) -> ProbeReport {
    let mut report = ProbeReport::default();
    if !tcp(connection, &mut report).await {
        return report;
    }
    let (births, host) = (edge.address.topic("NBIRTH"), edge.host.clone());
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
