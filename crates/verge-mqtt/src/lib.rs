//! MQTT: the gateway's side of a connection to a broker.
//!
//! Every known trap of rumqttc's client is guarded here and nowhere else, so that it can be replaced. This crate must
//! never learn what a payload means.
//!
//! A connection that stands and is dead is given up within one and a half times its keep-alive, see `driver`; on the
//! uplink it also counts as dead where nothing is acknowledged.
//!
//! Reading order: [`ConnectionSettings`] and `driver` (one attempt, one fresh event loop, own backoff), then
//! what stands on it: [`MqttSource`], [`UplinkSink`], [`SparkplugSink`], [`RetainedTopics`], [`Subscriber`], [`Publisher`], [`probe`];
//! [`TopicTemplate`].

mod connection;
mod driver;
mod in_flight;
mod packet;
mod probe;
mod publisher;
mod receipts;
mod renewal;
mod retained;
mod sink;
mod source;
mod sparkplug;
mod subscriber;
mod subscriptions;
mod takeover;
mod template;
mod topics;
mod words;

pub use connection::{AddressError, BrokerAddress, ConnectionSettings};
pub use probe::{ProbeRemark, ProbeReport, ProbeStep, probe, probe_sparkplug, probe_uplink, retained};
pub use publisher::{PublishError, Publisher};
pub use renewal::{ConnectionAccess, LOOK, Renewal, WatchedFiles};
pub use retained::{IsOwn, OFFLINE, ONLINE, RetainedReport, RetainedSettings, RetainedTopics};
pub use rumqttc::QoS;
pub use sink::{ProofMessage, Services, UplinkSettings, UplinkSink, UplinkTopics, WillMessage};
pub use source::{Guarantee, MovedFilters, MqttSource, MqttSourceSettings, Repetition, SourceState};
pub use sparkplug::{BirthNumbers, SavedNumber, ShownBoard, SparkplugSettings, SparkplugSink};
pub use subscriber::{Delivery, NotPublished, Subscriber, SubscriberEvent};
pub use template::{TopicNames, TopicTemplate, TopicTemplateError, TopicUse};
