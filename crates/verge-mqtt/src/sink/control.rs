//! What an uplink carries beside verdicts: status, last will, answers to commands.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use verge_domain::stage::{Control, OfferError};

use super::UplinkSink;
use super::outstanding::UplinkMessage;

impl Control for UplinkSink {
    fn takes_status(&self) -> bool {
        self.shared.takes_status()
    }

    fn publish_status(&mut self, document: Bytes) -> Result<(), OfferError> {
        self.publish(&self.topics.status, document, UplinkMessage::Status)
    }

    fn answer(&mut self, answer: Bytes) -> Result<(), OfferError> {
        self.publish(&self.topics.reply, answer, UplinkMessage::Answer)
    }

    fn set_last_status(&mut self, document: Bytes) {
        self.last_status = Some(document);
    }
}

/// See [`UplinkSettings::last_will`](super::UplinkSettings::last_will).
#[derive(Clone)]
pub struct WillMessage(Arc<dyn Fn() -> Bytes + Send + Sync>);

impl WillMessage {
    /// Made by this function.
    pub fn new(make: impl Fn() -> Bytes + Send + Sync + 'static) -> Self {
        Self(Arc::new(make))
    }

    pub(crate) fn now(&self) -> Bytes {
        (self.0)()
    }
}

impl From<Bytes> for WillMessage {
    fn from(always: Bytes) -> Self {
        Self::new(move || always.clone())
    }
}

impl fmt::Debug for WillMessage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("WillMessage")
    }
}
