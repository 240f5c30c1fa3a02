//! What an edge node reports of itself.

use verge_domain::link::{EdgeNodeReport, EdgeNodeState};

use super::{EdgeNode, EdgePhase};

impl EdgeNode {
    /// What it reports.
    #[must_use]
    pub fn report(&self) -> EdgeNodeReport {
        let state = match self.phase {
            EdgePhase::Down => EdgeNodeState::Down,
            EdgePhase::Connecting | EdgePhase::Subscribing | EdgePhase::Subscribed => {
                EdgeNodeState::Connecting
            }
            EdgePhase::WaitHost => EdgeNodeState::WaitHost,
            EdgePhase::Ready | EdgePhase::Born => EdgeNodeState::Born,
            EdgePhase::Leaving { .. } => EdgeNodeState::Leaving,
        };
        let unconfirmed = self.unconfirmed.len() + self.asked.iter().map(Vec::len).sum::<usize>();
        let born = self.devices.list.iter().filter(|device| device.born.is_some()).count();
        EdgeNodeReport {
            state,
            devices: born as u64,
            metrics: self.devices.metrics() as u64,
            unconfirmed: unconfirmed as u64,
            history_left: self.rows.len() as u64,
            left_out: self.devices.left_out,
            ..self.counted
        }
    }
}
