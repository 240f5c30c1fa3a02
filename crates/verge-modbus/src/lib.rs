//! Modbus TCP: control systems poll what the gateway says now.
//!
//! It knows the [board](verge_domain::board) and a [view of the gateway](ModbusView), and neither judging nor the store. It
//! reads from an [image](verge_domain::image) of its own, which a task keeps up to date: the data path never waits for a poll.
//!
//! Reading order: `map`, which register says what; `pdu`, one request and its answer, pure; `shown`, the image behind the map;
//! `server`, connections.

mod map;
mod pdu;
mod server;
mod shown;

use std::net::SocketAddr;
use std::time::Duration;

use verge_domain::address::AddressRange;
use verge_domain::finding::Member;
use verge_domain::image::PointSelector;
use verge_domain::settable::SettableLimit;

pub use map::{MAP_VERSION, MAX_BLOCK, coil_of, input_of, register_of};
pub use server::{ModbusCounters, ModbusServer};
pub use shown::{ModbusView, PointCommand};

/// A server.
#[derive(Debug, Clone)]
pub struct ModbusSettings {
    /// Its name in the configuration.
    pub name: String,
    /// Where it listens.
    pub listen: SocketAddr,
    /// Clients at the same time.
    pub max_clients: usize,
    /// A client that asks nothing for this long is disconnected.
    pub idle: Duration,
    /// Who may connect; empty: anyone.
    pub allow: Vec<AddressRange>,
    /// The unit that it answers for; `None`: any.
    pub unit: Option<u8>,
    /// A device that sends nothing for this long is stale.
    pub stale_after: Duration,
    /// Whether coils acknowledge alarms, and holding registers set limits.
    pub writes: bool,
    /// What it shows.
    pub points: Vec<PointPlace>,
    /// The numbers of members, as verdicts have them.
    pub member_number: fn(Member) -> u16,
    /// The version of the program, for those who ask.
    pub version: &'static str,
}

/// A point and its place in the map.
#[derive(Debug, Clone, PartialEq)]
pub struct PointPlace {
    /// Its name in the configuration.
    pub name: String,
    /// Its block: people assign it, so that a new device moves no register.
    pub block: u16,
    /// What it shows.
    pub selector: PointSelector,
    /// What its presence says while the point cannot be trusted.
    pub fail_safe: FailSafe,
    /// The limits of its judge, in the order of [`verge_domain::settable::LimitKey::ALL`].
    pub limits: [Option<PointLimit>; 2],
}

/// A limit of the judge of a point.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct PointLimit {
    /// What the configuration says.
    pub configured: f64,
    /// How far it may be moved, if it may.
    pub settable: Option<SettableLimit>,
}

verge_domain::words! {
    /// What presence says while it cannot be trusted.
    pub enum FailSafe {
        /// That somebody is there: a signal controller serves an approach rather too often.
        Call = "call",
        /// That nobody is there.
        NoCall = "no_call",
        /// What it said last.
        Hold = "hold",
    }
}
