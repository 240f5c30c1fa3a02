//! Sparkplug B 3.0 without I/O: what an edge node says, and when. Time and bytes come in as arguments.
//!
//! Checked by tests keyed by the identifiers of the specification (`tck-id-...`); nobody has certified it.
//!
//! Reading order: [`payload`], what travels; `names`, topics and metric names; `values`, from verdicts to metrics; `devices`,
//! births and what has changed; `host`, the primary host; `numbers` and `rows`, what was sent and what waits; [`EdgeNode`],
//! the state machine; [`SparkplugReader`], what other edge nodes say. This crate must never know a connection, a store or a clock.

mod command;
mod devices;
mod edge;
mod host;
mod names;
mod node_status;
mod numbers;
pub mod payload;
mod reader;
mod rows;
mod values;

pub use command::rebirth_command;
pub use edge::{EdgeAction, EdgeNews, EdgeNode, EdgeSettings, HistoryOrder, HostCommands};
pub use names::{NodeAddress, element, metric_part};
pub use node_status::NodeStatus;
pub use reader::{SparkplugRead, SparkplugReader, Speaker};
pub use values::{NamedValue, TagValue, metric_names, time_of, values_of};

/// Devices that are born at most; further ones are counted.
pub const MAX_DEVICES: usize = 1024;
/// Metrics of one device at most; further ones are counted.
pub const MAX_METRICS: usize = 256;
