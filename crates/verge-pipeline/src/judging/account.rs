//! What is counted of a message that was judged.

use verge_domain::reading::{Decoded, Inbound, Reading};
use verge_domain::rejection::Rejection;

use crate::counters::Counters;

/// Names of a message that stand for several series, and devices whose clock has shown an offset.
pub(super) fn note_remarks(counters: &Counters, message: &Inbound, decoded: &Decoded<Reading>) {
    let Some(source) = counters.source(message.source) else { return };
    for (at, by) in &decoded.shared {
        if let Some(reading) = decoded.items.get(*at) {
            source.share(reading, *by);
        }
    }
    for change in &decoded.clock_offsets {
        source.clock_offsets.note(&source.name, change);
    }
}

/// What came of a message.
pub(super) fn account(counters: &Counters, message: &Inbound, judged: u64, rejections: &[Rejection]) {
    let Some(source) = counters.source(message.source) else { return };
    source.readings_judged_total.add(judged);
    if judged > 0 {
        source.messages_judged_total.add(1);
    } else {
        source.messages_refused_total.add(1);
    }
    for rejection in rejections {
        source.refuse(&message.topic, Some(message.payload.len()), rejection);
    }
}
