//! Connections that the server ended or refused because of its limits, counted by reason.

use std::error::Error;
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};

/// Which limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cut {
    /// All places for connections are taken, or those of its address.
    NoPlace,
    /// Nothing of what was sent was taken for some time.
    Stalled,
    /// Requests were made and taken back faster than they can be begun (CVE-2023-44487), or the like.
    Flood,
}

impl Cut {
    pub(crate) const ALL: [Self; 3] = [Self::NoPlace, Self::Stalled, Self::Flood];

    /// In `/metrics`.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::NoPlace => "no_place",
            Self::Stalled => "stalled",
            Self::Flood => "flood",
        }
    }

    /// The limit that an error of a connection comes from, if it does from one.
    pub(super) fn of(error: &hyper::Error) -> Option<Self> {
        let mut source = error.source();
        while let Some(error) = source {
            if let Some(error) = error.downcast_ref::<h2::Error>()
                && error.is_library()
                && error.reason() == Some(h2::Reason::ENHANCE_YOUR_CALM)
            {
                return Some(Self::Flood);
            }
            let of_stream = error.downcast_ref::<h2::Error>().and_then(h2::Error::get_io);
            if let Some(error) = of_stream.or_else(|| error.downcast_ref::<io::Error>())
                && error.kind() == io::ErrorKind::TimedOut
            {
                return Some(Self::Stalled);
            }
            source = error.source();
        }
        None
    }
}

/// How many of each.
#[derive(Debug, Default)]
pub(crate) struct Cuts([AtomicU64; Cut::ALL.len()]);

impl Cuts {
    pub(super) fn count(&self, cut: Cut) {
        self.0[cut as usize].fetch_add(1, Ordering::Relaxed);
    }

    /// By reason.
    pub(crate) fn counts(&self) -> [(Cut, u64); Cut::ALL.len()] {
        Cut::ALL.map(|cut| (cut, self.0[cut as usize].load(Ordering::Relaxed)))
    }
}
