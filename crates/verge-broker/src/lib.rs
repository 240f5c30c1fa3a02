//! A broker for sites that have none: rumqttd on loopback, and a front before it that lets clients in.
//!
//! In a gateway rumqttd runs alone in a child process ([`ChildBroker`] supervises it, [`child`] is what it does): it has
//! no stop, and a panic of its router leaves a process that accepts connections and does nothing. The demo and the
//! tests run it in their own process ([`Embedded`]).
//!
//! It never receives a connection from outside: [`Front`] does TLS, reads the CONNECT packet of each client, logs in for it,
//! and judges every packet behind it as it streams by: what would harm rumqttd, or what the [`Policy`] does not allow, is
//! refused before rumqttd sees it, and counted.
//!
//! What rumqttd does not do is known: sessions, retained messages and what is on its way live in memory only (retained messages
//! of devices are kept beside it, [`Retained`]), so an acknowledgement of it means "accepted in memory"; a subscriber that falls behind by more than a topic filter's log
//! loses the oldest messages. A log is kept for as long as the process runs, so that is started again, with smaller logs, where they have
//! become too much ([`KnownFilters`]).
//!
//! Every process on this machine can reach rumqttd's port, though not log in to it. One that listens on that port
//! in the moment between the death of the child and its restart could read what the gateway's own connections send.
//!
//! The only crate that names rumqttd. Of rumqttc it uses the packets alone; how the gateway itself connects is not
//! known here ([`ChildBroker`] gives address, login and client identifier).
//!
//! Reading order: [`policy`] (who may do what: no sockets), [`front`] (TLS, CONNECT, then packets both ways), `endpoint` (where the broker is and who may log in),
//! [`embedded`] (rumqttd), [`child`] and [`child_broker`] (its process and its supervisor), `canary` on `client` (whether
//! it works).

mod canary;
pub mod child;
pub mod child_broker;
mod client;
pub mod embedded;
mod endpoint;
mod filters;
pub mod front;
#[cfg(test)]
mod fuzz;
pub mod inputs;
pub mod passwords;
pub mod policy;
pub mod retained;

pub use child::ChildError;
pub use child_broker::{
    BrokerFault, BrokerState, ChildBroker, ChildBrokerError, ChildBrokerSettings, ChildFault,
};
pub use embedded::{Embedded, EmbeddedError, EmbeddedSettings};
pub use endpoint::StartMessageError;
pub use filters::KnownFilters;
pub use front::{Front, FrontError, FrontLimits, FrontSettings, FrontTotals, FrontView, RefusedDevice};
pub use inputs::{InputSource, InputState, SourceInputs};
pub use passwords::{BrokerPasswords, PasswordsError};
pub use policy::Policy;
pub use retained::{Retained, RetainedTotals};

/// Client identifiers that begin with this are the gateway's own; a front refuses them, so that no client takes over
/// one of its sessions.
const OWN_CLIENT_IDS: char = '@';

/// Marks a client identifier as the gateway's own.
#[must_use]
pub fn own_client_id(name: &str) -> String {
    format!("{OWN_CLIENT_IDS}{name}")
}
