//! Where messages of the site come in: from a broker, by a connection for each class of messages; or from the guard of the
//! embedded broker, which hands them on itself.

use tokio::sync::watch;
use verge_broker::{BrokerState, InputSource, SourceInputs};
use verge_domain::reading::{Acknowledged, Receipt};
use verge_domain::stage::{Intake, Source};
use verge_mqtt::{
    ConnectionSettings, Guarantee, MovedFilters, MqttSource, MqttSourceSettings, Repetition, SourceState,
};
use verge_pipeline::clock::Clock;

/// What messages come from.
pub(super) enum Site<'a> {
    /// The site's own broker.
    Broker(&'a ConnectionSettings),
    /// The guard of the embedded one, and how that stands.
    Guard(&'a SourceInputs, watch::Receiver<BrokerState>),
}

/// One class of messages, wherever they come from.
#[derive(Debug, Clone)]
pub(super) enum SiteSource {
    Broker(MqttSource),
    Guard(InputSource, watch::Receiver<BrokerState>),
}

/// One class of messages, before it is connected.
pub(super) struct Wanted {
    /// Of the connection's name, behind the gateway's.
    pub(super) suffix: Option<&'static str>,
    /// Largest packet; `None` for that of readings.
    pub(super) max_packet_bytes: Option<usize>,
    pub(super) guarantee: Guarantee,
    pub(super) filters: Vec<(verge_domain::reading::SourceIndex, String)>,
    /// What another connection had in its session.
    pub(super) moved: Vec<(verge_domain::reading::SourceIndex, String)>,
    /// The sources that have it now.
    pub(super) to: Vec<SiteSource>,
}

impl Site<'_> {
    /// Connects a class of messages. Must be called on the runtime that is to carry them.
    pub(super) fn connect(&self, wanted: Wanted, clock: Clock, intake: impl Intake + 'static) -> SiteSource {
        let Wanted { suffix, max_packet_bytes, guarantee, filters, moved, to } = wanted;
        match self {
            Self::Guard(inputs, broker) => {
                let session = match guarantee {
                    Guarantee::AtLeastOnce(session) => Some(session),
                    Guarantee::AtMostOnce => None,
                };
                SiteSource::Guard(inputs.add(session, filters, intake), broker.clone())
            }
            Self::Broker(local) => {
                let connection = ConnectionSettings {
                    client_id: suffix.map_or_else(
                        || local.client_id.clone(),
                        |suffix| format!("{}-{suffix}", local.client_id),
                    ),
                    max_packet_bytes: max_packet_bytes.unwrap_or(local.max_packet_bytes),
                    ..(*local).clone()
                };
                let repetition = Repetition::Marked;
                let settings = MqttSourceSettings { connection, guarantee, repetition, filters };
                let of_brokers = to.into_iter().filter_map(|source| match source {
                    SiteSource::Broker(source) => Some(source),
                    SiteSource::Guard(..) => None,
                });
                let moved = MovedFilters { filters: moved, to: of_brokers.collect() };
                SiteSource::Broker(MqttSource::spawn_without(moved, settings, move || clock.now(), intake))
            }
        }
    }
}

impl SiteSource {
    /// How it stands.
    pub(super) fn state(&self) -> SourceState {
        match self {
            Self::Broker(source) => source.state(),
            Self::Guard(source, broker) => {
                let (state, broker) = (source.state(), broker.borrow().clone());
                let fault = broker.last_fault.map(|fault| fault.reason);
                SourceState {
                    // No device is let in while it does not serve.
                    connected: broker.serving_since.is_some(),
                    connected_since: broker.serving_since,
                    last_error: fault.map(|reason| format!("the embedded broker: {reason}")),
                    connections: broker.restarts_total + 1,
                    // It is asked for nothing: what devices publish comes by itself.
                    subscribed: true,
                    overloaded: state.overloaded,
                    overloads: state.overloads,
                    received: state.received,
                    outstanding: state.outstanding,
                    dropped: state.dropped,
                    ..SourceState::default()
                }
            }
        }
    }

    /// Waits until it has ended, by a stop or a fault of its own.
    pub(super) async fn ended(&self) {
        match self {
            Self::Broker(source) => source.ended().await,
            // It has no task: it ends with the listener.
            Self::Guard(..) => std::future::pending().await,
        }
    }

    /// Takes no more.
    pub(super) async fn stop(&self) {
        match self {
            Self::Broker(source) => source.stop().await,
            Self::Guard(source, _) => source.stop(),
        }
    }
}

impl Source for SiteSource {
    fn is_awaited(&self) -> bool {
        match self {
            Self::Broker(source) => source.is_awaited(),
            Self::Guard(source, _) => source.is_awaited(),
        }
    }

    fn settle(&self, receipts: &[Receipt]) {
        match self {
            Self::Broker(source) => source.settle(receipts),
            Self::Guard(source, _) => source.settle(receipts),
        }
    }

    fn acknowledged(&self, out: &mut Vec<Acknowledged>) {
        match self {
            Self::Broker(source) => source.acknowledged(out),
            Self::Guard(source, _) => source.acknowledged(out),
        }
    }
}
