//! Verdicts, tombstones and messages: what is written is read back exactly, in both forms, and bytes that are no
//! message are refused.

mod forms;
mod golden;
mod properties;
mod refused;
mod samples;
mod strategies;
mod summaries;
mod tombstones;
