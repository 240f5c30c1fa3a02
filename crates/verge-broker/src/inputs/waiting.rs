//! Messages that the gateway does not take yet.

use std::sync::atomic::Ordering;
use std::time::Duration;

use verge_domain::reading::Inbound;
use verge_domain::stage::IntakeFull;

use super::{Input, lock};

/// How often the gateway is asked whether it takes a message again.
const ASK_AGAIN: Duration = Duration::from_millis(2);

/// A message that an input has not taken yet.
pub(super) struct WaitingMessage<'a> {
    pub(super) input: &'a Input,
    /// `None` once it is taken.
    pub(super) message: Option<Inbound>,
}

impl WaitingMessage<'_> {
    /// Waits until it is taken.
    pub(super) async fn taken(mut self) {
        let input = self.input;
        let _turn = input.turn.lock().await;
        while let Some(message) = self.message.take() {
            let Err(IntakeFull(back)) = input.offer(message) else { return };
            self.message = Some(back);
            tokio::time::sleep(ASK_AGAIN).await;
        }
    }
}

impl Drop for WaitingMessage<'_> {
    fn drop(&mut self) {
        self.input.waiting.fetch_sub(1, Ordering::Relaxed);
        // Its connection has ended before it was taken: nobody will settle its receipt.
        if let Some(receipt) = self.message.take().and_then(|message| message.receipt) {
            let claim = lock(&self.input.claims).open.remove(&receipt.index);
            drop(claim);
        }
    }
}
