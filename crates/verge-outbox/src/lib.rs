//! The durable store of a gateway: verdicts in three lanes with dense numbers, marks of delivery per route,
//! checkpoints of the judges. One SQLite file under one owner.
//!
//! This crate must never know what a verdict says, how it is sent, or that there is a network; it reads no
//! clock. It is the only one that names `rusqlite`.
//!
//! What it promises: a commit is all or nothing, and durable when it returns; a number is given once in an
//! epoch, whatever is evicted; nothing is removed that an open route has not delivered, unless a tombstone says so; a
//! damaged row is never handed out; a damaged store is salvaged, row by row, into a new one with a new epoch. What it
//! cannot detect: damage of the log's end beyond what `guard` had noted when the power failed.
//!
//! Reading order: `schema` (tables), `row` (one of them), `lanes` (what is known without reading rows), `settings`;
//! `open` (what is found at start; `connect`, the database file), `note` (the report), `guard`, `origin` and `run` (whether it is the store that ran last), `log` and `salvage` (when it is damaged), `encrypt` and `key`; `store` (the
//! [`Store`](verge_domain::store::Store) itself), `rows` and `marks` (its parts), `reading`, `withdraw` (tombstones, and what gives way when there is
//! no room), `recover` (after a fault), `place` (its files were moved), `evict` and `age` (the replay window), `ballast` and `disk` (a full one), `checkpoints` and `pressure` (the share of learnt states); `reader`, `verify`, `plain` and `backup` (for the command
//! line, beside a live gateway); `files`, `lock`.

mod acknowledged;
mod age;
mod backup;
mod ballast;
mod checkpoints;
mod connect;
mod disk;
mod encrypt;
mod evict;
mod fault;
mod files;
mod guard;
mod key;
mod lanes;
mod lock;
mod log;
mod marks;
mod note;
mod open;
mod origin;
mod past;
mod place;
mod plain;
mod pressure;
mod reader;
mod reading;
mod recover;
mod row;
mod rows;
mod run;
mod salvage;
mod schema;
mod settings;
mod store;
mod verify;
mod withdraw;

pub use backup::{BackupError, backup};
pub use fault::StoreFault;
pub use key::{StoreKey, StoreKeyError};
pub use lock::{LockError, LockLost, StateLock};
pub use note::{Damage, OpenError, StartNote};
pub use open::OpenedStore;
pub use reader::{
    CheckpointSummary, LaneSummary, OutboxReader, ReadError, RouteSummary, StoreSummary, StoredRows,
};
pub use salvage::Salvaged;
pub use schema::SCHEMA_VERSION;
pub use settings::{MIN_CAP_BYTES, OutboxSettings};
pub use store::Outbox;
pub use verify::VerifyReport;
