//! How many messages may be outstanding, by kind: status and answers never wait for verdicts.

use verge_domain::stage::Channel;

/// Status messages outstanding at most, beside the window.
pub(super) const MAX_STATUSES: usize = 2;
/// Answers to commands outstanding at most, beside the window.
pub(super) const MAX_REPLIES: usize = 8;

/// Which place a message takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    /// One in the window.
    Window,
    /// One of [`MAX_STATUSES`].
    Status,
    /// One of [`MAX_REPLIES`].
    Reply,
}

impl Place {
    pub(super) const fn of(channel: Channel) -> Self {
        match channel {
            Channel::Alarm | Channel::Verdict | Channel::Telemetry => Self::Window,
            Channel::Status => Self::Status,
            Channel::Reply => Self::Reply,
        }
    }
}

/// Places taken: by messages in flight, or acknowledged without that it is read yet.
#[derive(Debug, Default)]
pub(super) struct Places {
    in_window: usize,
    statuses: usize,
    replies: usize,
}

impl Places {
    /// Whether one is free.
    pub(super) fn has(&mut self, place: Place, window: usize) -> bool {
        let limit = match place {
            Place::Window => window,
            Place::Status => MAX_STATUSES,
            Place::Reply => MAX_REPLIES,
        };
        *self.taken(place) < limit
    }

    pub(super) fn take(&mut self, place: Place) {
        *self.taken(place) += 1;
    }

    pub(super) fn free(&mut self, place: Place) {
        *self.taken(place) -= 1;
    }

    fn taken(&mut self, place: Place) -> &mut usize {
        match place {
            Place::Window => &mut self.in_window,
            Place::Status => &mut self.statuses,
            Place::Reply => &mut self.replies,
        }
    }
}
