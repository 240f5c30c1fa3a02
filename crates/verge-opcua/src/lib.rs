//! OPC UA: control systems read, and subscribe to, what the gateway says now.
//!
//! The only crate that names async-opcua. It knows the [board](verge_domain::board) and a [view of the gateway](OpcuaView),
//! and neither judging nor the store. It reads from a [book of points](verge_domain::image::PointBook) of its own, which a
//! task keeps up to date: the data path never waits for a client.
//!
//! Reading order: `names`, the node of each point; `values`, what it says; `tree` and `shown`, what there is; `nodes`, how a
//! client sees it; `follow`, the board behind it; `frame` and `front`, connections; `pki` and `access`, who is served;
//! `server`, all of it together.

mod access;
mod follow;
mod frame;
mod front;
mod names;
mod nodes;
mod pki;
mod server;
mod shown;
#[cfg(test)]
mod tests;
mod tree;
mod values;

use std::collections::HashMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use verge_domain::address::AddressRange;
use verge_domain::id::{GatewayId, JudgeId};
use verge_domain::image::PointContent;
use verge_domain::verdict::Verdict;

pub use access::Logins;
pub use front::OpcuaCounters;
pub use names::node_path;
pub use nodes::{MAX_ITEMS, NAMESPACE};
pub use pki::{PkiError, PkiSummary, look};
pub use server::{OpcUaError, OpcUaServer, application_uri};
pub use shown::{MAX_POINTS, OpcuaView};

/// A verdict in words.
pub type VerdictWords = Arc<dyn Fn(&Verdict) -> String + Send + Sync>;

/// A server.
#[derive(Clone)]
pub struct OpcUaSettings {
    /// Its name in the configuration.
    pub name: String,
    /// Where it listens.
    pub listen: SocketAddr,
    /// The gateway, which names the application.
    pub gateway: GatewayId,
    /// Certificates: its own, those that are trusted and those that were rejected.
    pub pki_dir: PathBuf,
    /// Users with a password, if any may log in.
    pub logins: Option<Arc<dyn Logins>>,
    /// Whether anybody with a trusted certificate may read.
    pub anonymous: bool,
    /// Whether connections without security are served.
    pub insecure_none: bool,
    /// Clients at the same time.
    pub max_clients: usize,
    /// A client that sends nothing for this long is disconnected.
    pub idle: Duration,
    /// Who may connect; empty: anyone.
    pub allow: Vec<AddressRange>,
    /// A device that sends nothing for this long is stale.
    pub stale_after: Duration,
    /// The judges at work, and what their points are read for.
    pub judges: HashMap<JudgeId, PointContent>,
    /// What events say.
    pub words: VerdictWords,
    /// The version of the program, for those who ask.
    pub version: &'static str,
}
