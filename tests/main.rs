//! Tests of the whole gateway through its public interface. One binary, so that it links once.
#![expect(clippy::unwrap_used, reason = "a test may fail")]

mod architecture;
mod autoencoder;
mod cameras;
mod columns;
mod commands;
mod config;
mod config_mistakes;
mod embedded;
mod frames;
mod gateway;
mod glossary;
mod learning;
mod learnt_files;
mod library;
mod logging;
mod machine_states;
mod pictures;
mod pooled;
mod program;
mod real_messages;
mod site;
mod store;
mod tables;
