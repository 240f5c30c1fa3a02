//! The kinds of uplink behind one type: what a route delivers by.

use std::sync::PoisonError;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use verge_domain::id::Lane;
use verge_domain::link::LinkReport;
use verge_domain::stage::{
    Control, EncodeError, Envelope, Form, OfferError, Sink, SinkEvent, StoredRow, Token, VerdictRow,
};
use verge_mqtt::{ConnectionSettings, SparkplugSink, UplinkSink};
use verge_traffic::rsmp::{RsmpSettings, RsmpSink};
use verge_web::{HttpSink, PushSettings};
use verge_wire::WireEncoder;

use super::datex2::{DatexForm, PublicationCounts};
use super::sparkplug::VerdictForm;
use crate::settings::{BuildError, Uplink, UplinkKind};

/// An uplink with its files read.
#[derive(Debug, Clone)]
pub(super) enum OpenedUplink {
    Mqtt(ConnectionSettings),
    Http(PushSettings),
    Sparkplug(ConnectionSettings),
    Rsmp(Box<RsmpSettings>),
}

impl OpenedUplink {
    pub(super) fn of(uplink: &Uplink) -> Result<Self, BuildError> {
        Ok(match &uplink.kind {
            UplinkKind::Mqtt(mqtt) => Self::Mqtt(mqtt.connection()?),
            UplinkKind::Http(http) => Self::Http(http.build()?),
            UplinkKind::Sparkplug(sparkplug) => Self::Sparkplug(sparkplug.broker.build()?),
            UplinkKind::Rsmp(rsmp) => Self::Rsmp(Box::new(rsmp.build()?)),
        })
    }
}

/// What sends over one uplink.
pub(super) enum LinkSink {
    Mqtt(UplinkSink),
    /// With what became of verdicts in publications of DATEX II, where it sends such.
    Http(HttpSink, Option<PublicationCounts>),
    Sparkplug(Box<SparkplugSink>),
    Rsmp(Box<RsmpSink>),
}

/// What goes over a link.
pub(super) enum LinkItem {
    /// A message.
    Message(Bytes),
    /// Documents, which stand for verdicts together.
    Documents(Vec<Bytes>),
    /// Verdicts, for what makes its own messages of them.
    Rows(Vec<VerdictRow>),
}

/// How stored rows become what a link sends.
pub(super) enum LinkForm {
    Wire(WireEncoder),
    Datex2(Box<DatexForm>),
    Verdicts(VerdictForm),
}

impl Form for LinkForm {
    type Item = LinkItem;

    fn item(&mut self, envelope: &Envelope, rows: &[StoredRow]) -> Result<LinkItem, EncodeError> {
        match self {
            Self::Wire(form) => form.item(envelope, rows).map(LinkItem::Message),
            Self::Datex2(form) => form.item(envelope, rows).map(LinkItem::Documents),
            Self::Verdicts(form) => form.item(envelope, rows).map(LinkItem::Rows),
        }
    }

    fn bytes(item: &LinkItem) -> usize {
        match item {
            LinkItem::Message(message) => <WireEncoder as Form>::bytes(message),
            LinkItem::Documents(documents) => <DatexForm as Form>::bytes(documents),
            LinkItem::Rows(rows) => <VerdictForm as Form>::bytes(rows),
        }
    }
}

impl Sink for LinkSink {
    type Item = LinkItem;

    fn offer(&mut self, lane: Lane, item: LinkItem, token: Token) -> Result<(), OfferError> {
        match (self, item) {
            (Self::Mqtt(sink), LinkItem::Message(message)) => sink.offer(lane, message, token),
            (Self::Http(sink, _), LinkItem::Message(message)) => sink.offer(lane, vec![message], token),
            (Self::Http(sink, _), LinkItem::Documents(documents)) => sink.offer(lane, documents, token),
            (Self::Sparkplug(sink), LinkItem::Rows(rows)) => sink.offer(lane, rows, token),
            (Self::Rsmp(sink), LinkItem::Rows(rows)) => sink.offer(lane, rows, token),
            (Self::Mqtt(_), LinkItem::Rows(_) | LinkItem::Documents(_))
            | (Self::Http(..), LinkItem::Rows(_))
            | (Self::Sparkplug(_) | Self::Rsmp(_), LinkItem::Message(_) | LinkItem::Documents(_)) => {
                unreachable!("the form of a link makes what its sink takes")
            }
        }
    }

    fn poll_event(&mut self, context: &mut Context<'_>) -> Poll<Option<SinkEvent>> {
        match self {
            Self::Mqtt(sink) => sink.poll_event(context),
            Self::Http(sink, _) => sink.poll_event(context),
            Self::Sparkplug(sink) => sink.poll_event(context),
            Self::Rsmp(sink) => sink.poll_event(context),
        }
    }

    fn report(&self) -> LinkReport {
        match self {
            Self::Mqtt(sink) => sink.report(),
            Self::Http(sink, counts) => LinkReport {
                publications: counts.as_ref().map(|of| *of.lock().unwrap_or_else(PoisonError::into_inner)),
                ..sink.report()
            },
            Self::Sparkplug(sink) => sink.report(),
            Self::Rsmp(sink) => sink.report(),
        }
    }

    async fn close(&mut self, grace: Duration) {
        match self {
            Self::Mqtt(sink) => sink.close(grace).await,
            Self::Http(sink, _) => sink.close(grace).await,
            Self::Sparkplug(sink) => sink.close(grace).await,
            Self::Rsmp(sink) => sink.close(grace).await,
        }
    }
}

impl Control for LinkSink {
    fn takes_status(&self) -> bool {
        match self {
            Self::Mqtt(sink) => sink.takes_status(),
            Self::Http(sink, _) => sink.takes_status(),
            Self::Sparkplug(sink) => sink.takes_status(),
            Self::Rsmp(sink) => sink.takes_status(),
        }
    }

    fn publish_status(&mut self, document: Bytes) -> Result<(), OfferError> {
        match self {
            Self::Mqtt(sink) => sink.publish_status(document),
            Self::Http(sink, _) => sink.publish_status(document),
            Self::Sparkplug(sink) => sink.publish_status(document),
            Self::Rsmp(sink) => sink.publish_status(document),
        }
    }

    fn answer(&mut self, answer: Bytes) -> Result<(), OfferError> {
        match self {
            Self::Mqtt(sink) => sink.answer(answer),
            Self::Http(sink, _) => sink.answer(answer),
            Self::Sparkplug(sink) => sink.answer(answer),
            Self::Rsmp(sink) => sink.answer(answer),
        }
    }

    fn set_last_status(&mut self, document: Bytes) {
        match self {
            Self::Mqtt(sink) => sink.set_last_status(document),
            Self::Http(sink, _) => sink.set_last_status(document),
            Self::Sparkplug(sink) => sink.set_last_status(document),
            Self::Rsmp(sink) => sink.set_last_status(document),
        }
    }
}
