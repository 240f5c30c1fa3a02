//! What upstream holds as the status of this gateway: retained by one that ran before, or by another of the same name.

use std::time::{Duration, Instant};

/// A status that is retained upstream comes at once behind the SUBACK; the link waits this long for it.
pub(super) const CLAIM_WAIT: Duration = Duration::from_secs(1);
/// After this number of connections in a row without one, the link waits for none: the broker keeps none.
pub(super) const MAX_UNCLAIMED: u8 = 2;

/// Whether it is known what upstream holds as the status of this gateway.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ClaimState {
    /// It is, or is not asked for.
    Known,
    Asked,
    /// The broker has granted the subscription.
    Awaited(Instant),
}
