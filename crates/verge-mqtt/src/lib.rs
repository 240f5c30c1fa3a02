//! MQTT: the only crate that names rumqttc and rumqttd.
//!
//! Every known trap of the two is guarded here and nowhere else, so that either can be replaced. It must
//! never learn what a payload means.
//!
//! A connection that stands and is dead is given up within one and a half times its keep-alive, see `driver`; on the
//! uplink it also counts as dead where nothing is acknowledged.
//!
//! Reading order: [`ConnectionSettings`] and `driver` (one attempt, one fresh event loop, own backoff), then
//! what stands on it: [`MqttSource`], [`UplinkSink`], [`Subscriber`], [`Publisher`], [`probe`]; [`filter`]
//! (topic filters), [`TopicTemplate`]; [`broker`] (the embedded broker and the TLS front before it).

pub mod broker;
mod connection;
mod driver;
pub mod filter;
mod in_flight;
mod packet;
mod probe;
mod publisher;
mod receipts;
mod renewal;
mod sink;
mod source;
mod subscriber;
mod subscriptions;
mod takeover;
mod template;
mod topics;
mod words;

pub use connection::{AddressError, Backoff, BrokerAddress, ConnectionSettings, Credentials, Secret};
pub use probe::{ProbeRemark, ProbeReport, ProbeStep, probe, probe_uplink, retained};
pub use publisher::{PublishError, Publisher};
pub use renewal::{Access, LOOK, Renewal, WatchedFiles};
pub use rumqttc::QoS;
pub use sink::{ProofMessage, Services, UplinkSettings, UplinkSink, UplinkTopics, WillMessage};
pub use source::{Guarantee, MovedFilters, MqttSource, Repetition, SourceSettings, SourceState};
pub use subscriber::{Delivery, NotPublished, Subscriber, SubscriberEvent};
pub use template::{TemplateError, TopicNames, TopicTemplate, TopicUse};
