//! How many messages may be outstanding, by kind: status and answers never wait for verdicts.

use verge_domain::stage::Token;

/// Status messages outstanding at most, beside the window.
pub(super) const MAX_STATUSES: usize = 2;
/// Answers to commands outstanding at most, beside the window.
pub(super) const MAX_ANSWERS: usize = 8;

/// One offered message in flight.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum UplinkMessage {
    /// Verdicts, under the name that the caller chose.
    Verdicts(Token),
    Status,
    Answer,
}

/// Messages in flight, or acknowledged without that it is read yet.
#[derive(Debug, Default)]
pub(super) struct Outstanding {
    verdicts: usize,
    statuses: usize,
    answers: usize,
}

impl Outstanding {
    /// Whether there is room for one more; up to `window` messages with verdicts may be outstanding.
    pub(super) fn has_room(&mut self, message: UplinkMessage, window: usize) -> bool {
        let limit = match message {
            UplinkMessage::Verdicts(_) => window,
            UplinkMessage::Status => MAX_STATUSES,
            UplinkMessage::Answer => MAX_ANSWERS,
        };
        *self.count(message) < limit
    }

    pub(super) fn add(&mut self, message: UplinkMessage) {
        *self.count(message) += 1;
    }

    pub(super) fn remove(&mut self, message: UplinkMessage) {
        *self.count(message) -= 1;
    }

    fn count(&mut self, message: UplinkMessage) -> &mut usize {
        match message {
            UplinkMessage::Verdicts(_) => &mut self.verdicts,
            UplinkMessage::Status => &mut self.statuses,
            UplinkMessage::Answer => &mut self.answers,
        }
    }
}
