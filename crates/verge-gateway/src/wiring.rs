//! From checked settings to a running gateway, and back to a clean stop.
//!
//! Settings are the plan: pure, with names. `build` opens all that they ask for and starts nothing, `gateway` runs what
//! was built.
//!
//! Reading order: [`Gateway`], `build`, then its parts: `readings` with `classes` and `judges`, `frames` with `runtime`,
//! `autoencoders`, `broker`, `uplink`, `routes`, `servers` with `opcua`, `datex2`, `states`, `expiry`; `replacement` with `models` (what a reload exchanges), `trials` (versions of models that have to prove themselves), `made` (files of models that were made elsewhere), `offers` (orders about models from upstream), `supervised` (what whoever restarts it sees).

mod abort;
mod autoencoders;
mod births;
mod broker;
mod build;
mod cameras;
pub(crate) mod classes;
mod configured;
mod dashboard;
mod datex2;
mod drawings;
mod enrolment;
mod expiry;
mod fingerprint;
mod frames;
mod gateway;
mod inputs;
mod judges;
mod links;
mod made;
mod models;
mod offers;
#[cfg(feature = "opcua")]
mod opcua;
mod open_files;
mod past;
mod readings;
mod renewal;
mod replacement;
mod routes;
mod rsmp;
mod runtime;
mod servers;
mod site;
mod sparkplug;
mod states;
mod supervised;
mod trials;
mod uplink;

use std::sync::{Mutex, MutexGuard, PoisonError};

use verge_codec::Decoders;
use verge_domain::id::SourceId;

use crate::exit::{Exit, ExitWith};
use crate::settings::{Carries, Settings};
pub use autoencoders::{Autoencoders, try_autoencoder};
pub use births::{asks_for_births, births_connection};
pub use broker::{child as broker_process, connection as broker_connection};
pub use expiry::{CertificateRemark, certificate_remarks};
pub use fingerprint::fingerprint_of;
pub use frames::{Vision, frame_decoders, picture_bytes, try_model, workers};
pub use gateway::{Gateway, begins_anew};
pub use judges::judge_set;
pub(crate) use models::ModelContents;
#[cfg(feature = "opcua")]
pub use opcua::look as look_at_opcua;
pub use runtime::{cached_runtime, managed_runtime, provide_runtime, runtime_search, user_runtime_search};
pub use sparkplug::edge_settings;
pub use states::states_settings;
pub use supervised::{GatewayPulse, PulseLook};
pub use uplink::uplink_settings;

/// Certificates and users of a server of OPC UA.
///
/// # Errors
/// This build has none: such a configuration is refused before.
#[cfg(not(feature = "opcua"))]
pub fn look_at_opcua(_: &crate::settings::OpcUaSection) -> Result<String, String> {
    Err("this build has no OPC UA".to_owned())
}

/// The names of the sources, in the order of their indices.
pub fn source_ids(settings: &Settings) -> Vec<SourceId> {
    settings.sources.iter().map(|source| source.name.clone()).collect()
}

/// The codecs of the sources of readings.
///
/// # Errors
/// They refuse their settings, which the check of the configuration reports before.
pub fn decoders(settings: &Settings) -> anyhow::Result<Decoders> {
    let sources = settings.sources.iter().map(|source| match &source.carries {
        Carries::Readings(codec) => Some(codec.clone()),
        Carries::Frames(_) => None,
    });
    Decoders::new(sources).exit_with(Exit::BadConfig)
}

/// What a thread that panicked has left is whole: nothing here is changed in steps that belong together.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
