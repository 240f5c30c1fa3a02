//! The durable store of a gateway: verdicts in three lanes with dense numbers, marks of delivery per route,
//! checkpoints of the judges. One SQLite file under one owner.
//!
//! This crate must never know what a verdict says, how it is sent, or that there is a network; it reads no
//! clock. It is the only one that names `rusqlite`.
//!
//! What it promises: a commit is all or nothing, and durable when it returns; a number is given once in an
//! epoch, whatever is evicted; nothing goes that an open route has not delivered; a damaged row is never
//! handed out. What it does not do yet: rows of a damaged store are not salvaged, the store is set aside
//! as a whole and said so.
//!
//! Reading order: [`schema`](self) (tables and numbers), `open` (what is found at start), `store` (the
//! [`Store`](verge_domain::stage::Store) itself), `evict` (what may go), `row`, `reader` (for the command
//! line, beside a live gateway), `lock`.

mod evict;
mod fault;
mod files;
mod lock;
mod open;
mod reader;
mod row;
mod schema;
mod store;

pub use fault::Fault;
pub use lock::{LockError, StateLock};
pub use open::{Damage, MIN_CAP_BYTES, OpenError, Opened, OutboxSettings, StartNote};
pub use reader::{CheckpointSummary, LaneSummary, OutboxReader, ReadError, RouteSummary, Rows, Summary};
pub use schema::SCHEMA_VERSION;
pub use store::Outbox;
