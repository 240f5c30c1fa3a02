//! The kinds of uplink behind one type: what a route delivers by.

use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use verge_domain::id::Lane;
use verge_domain::link::LinkReport;
use verge_domain::stage::{Control, OfferError, Sink, SinkEvent, Token};
use verge_mqtt::{ConnectionSettings, UplinkSink};
use verge_web::{HttpSink, PushSettings};

use crate::settings::{BuildError, Uplink, UplinkKind};

/// An uplink with its files read.
#[derive(Debug, Clone)]
pub(super) enum OpenedUplink {
    Mqtt(ConnectionSettings),
    Http(PushSettings),
}

impl OpenedUplink {
    pub(super) fn of(uplink: &Uplink) -> Result<Self, BuildError> {
        Ok(match &uplink.kind {
            UplinkKind::Mqtt(mqtt) => Self::Mqtt(mqtt.connection()?),
            UplinkKind::Http(http) => Self::Http(http.build()?),
        })
    }
}

/// What sends over one uplink.
pub(super) enum LinkSink {
    Mqtt(UplinkSink),
    Http(HttpSink),
}

impl Sink for LinkSink {
    type Item = Bytes;

    fn offer(&mut self, lane: Lane, item: Bytes, token: Token) -> Result<(), OfferError> {
        match self {
            Self::Mqtt(sink) => sink.offer(lane, item, token),
            Self::Http(sink) => sink.offer(lane, item, token),
        }
    }

    fn poll_event(&mut self, context: &mut Context<'_>) -> Poll<Option<SinkEvent>> {
        match self {
            Self::Mqtt(sink) => sink.poll_event(context),
            Self::Http(sink) => sink.poll_event(context),
        }
    }

    fn report(&self) -> LinkReport {
        match self {
            Self::Mqtt(sink) => sink.report(),
            Self::Http(sink) => sink.report(),
        }
    }

    async fn close(&mut self, grace: Duration) {
        match self {
            Self::Mqtt(sink) => sink.close(grace).await,
            Self::Http(sink) => sink.close(grace).await,
        }
    }
}

impl Control for LinkSink {
    fn takes_status(&self) -> bool {
        match self {
            Self::Mqtt(sink) => sink.takes_status(),
            Self::Http(sink) => sink.takes_status(),
        }
    }

    fn publish_status(&mut self, document: Bytes) -> Result<(), OfferError> {
        match self {
            Self::Mqtt(sink) => sink.publish_status(document),
            Self::Http(sink) => sink.publish_status(document),
        }
    }

    fn answer(&mut self, answer: Bytes) -> Result<(), OfferError> {
        match self {
            Self::Mqtt(sink) => sink.answer(answer),
            Self::Http(sink) => sink.answer(answer),
        }
    }

    fn set_last_status(&mut self, document: Bytes) {
        match self {
            Self::Mqtt(sink) => sink.set_last_status(document),
            Self::Http(sink) => sink.set_last_status(document),
        }
    }
}
