//! The routes upstream: the links of each, and the task that delivers by them.

use std::sync::Arc;

use anyhow::Context;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use verge_domain::board::Board;
use verge_domain::id::Seq;
use verge_domain::stage::Checkpoint;
use verge_mqtt::{
    BirthNumbers, ConnectionSettings, ShownBoard, SparkplugSettings, SparkplugSink, UplinkSettings,
    UplinkSink, WillMessage,
};
use verge_pipeline::clock::Clock;
use verge_pipeline::commands::{CommandDesks, RouteCommands};
use verge_pipeline::committer::StoreHandle;
use verge_pipeline::counters::Counters;
use verge_pipeline::delivery::{self, Link, LinkCounters, RouteCounters, RouteSettings};

use verge_pipeline::status::{self, Status};
use verge_traffic::rsmp::RsmpSink;
use verge_web::HttpSink;
use verge_wire::{WireEncoder, WireFormat};

use super::datex2::DatexForm;
use super::links::{LinkForm, LinkSink, OpenedUplink};
use super::rsmp::SiteSight;
use super::sparkplug::{VerdictForm, birth_number_key, edge_settings};
use super::uplink_settings;
use crate::settings::{PushFormat, Route, Settings, SparkplugUplink, Uplink, UplinkKind};

/// What all routes share.
pub(super) struct Outgoing<'a> {
    pub(super) settings: &'a Settings,
    /// In the order of the settings.
    pub(super) uplinks: &'a [OpenedUplink],
    pub(super) store: StoreHandle,
    pub(super) desks: CommandDesks,
    pub(super) status: Arc<Status>,
    pub(super) clock: Clock,
    pub(super) board: Arc<dyn Board>,
    pub(super) counters: Arc<Counters>,
    /// What was saved of the numbers of births, see [`birth_number_key`].
    pub(super) birth_numbers: &'a [Checkpoint],
}

/// A running delivery. It stops when this is dropped.
pub(super) struct RouteDelivery {
    task: JoinHandle<()>,
    stop: watch::Sender<bool>,
}

impl RouteDelivery {
    /// Lets upstream acknowledge for a few seconds, and ends.
    pub(super) fn stopping(&self) {
        self.stop.send_replace(true);
    }

    /// Waits for the end that [`RouteDelivery::stopping`] began.
    pub(super) async fn stop(self) -> anyhow::Result<()> {
        self.task.await.context("a delivery had panicked")
    }

    /// Waits until it has ended, by itself or by a stop.
    pub(super) async fn ended(&self) {
        self.stop.closed().await;
    }
}

impl Outgoing<'_> {
    /// Connects the links of a route and begins to deliver.
    pub(super) fn start(
        &self,
        route: &Route,
        counters: &Arc<RouteCounters>,
        (delivered, asked): ([Seq; 3], RouteCommands),
    ) -> RouteDelivery {
        let alone = route.uplinks.len() == 1;
        let route_counters = counters;
        let links = route.uplinks.iter().zip(counters.links()).map(|(index, counters)| {
            let uplink = &self.settings.uplinks[*index];
            let (sink, form) = self.sink(uplink, &self.uplinks[*index], alone, route_counters);
            Link { sink, form, window: uplink.window, counters: Arc::clone(counters) }
        });
        let (status, clock) = (Arc::clone(&self.status), self.clock);
        let (stop, stopped) = watch::channel(false);
        let task = tokio::spawn(delivery::deliver(
            route_settings(self.settings, route, &self.counters),
            delivered,
            self.store.clone(),
            (self.desks.clone(), asked),
            links.collect(),
            Arc::clone(counters),
            clock,
            move |stopping| status.document(clock.now(), stopping),
            stopped,
        ));
        RouteDelivery { task, stop }
    }

    /// What sends over an uplink, and how it is written. `alone`: its route has no other.
    fn sink(
        &self,
        uplink: &Uplink,
        opened: &OpenedUplink,
        alone: bool,
        route: &Arc<RouteCounters>,
    ) -> (LinkSink, LinkForm) {
        match (opened, &uplink.kind) {
            (OpenedUplink::Mqtt(connection), UplinkKind::Mqtt(mqtt)) => {
                let (connection, epoch) = (connection.clone(), self.store.epoch());
                let sending =
                    uplink_settings(self.settings, uplink, mqtt, connection, epoch, self.clock, alone);
                let (gateway, life) = (self.settings.gateway.id.clone(), Arc::clone(self.store.life()));
                let heads = self.store.heads();
                // What it says must be as new as can be: it takes the place of the status that says more.
                let last_will = WillMessage::new(move || {
                    status::last_will_of(&gateway, &life, heads.borrow().map(|seq| seq.0))
                });
                let sink = UplinkSink::spawn(UplinkSettings { last_will, ..sending });
                (LinkSink::Mqtt(sink), LinkForm::Wire(WireEncoder::new(mqtt.format)))
            }
            (OpenedUplink::Http(push), UplinkKind::Http(http)) => {
                let mut push = push.clone();
                let wire = |format| (None, LinkForm::Wire(WireEncoder::new(format)));
                let (counts, form) = match &http.format {
                    PushFormat::Json => wire(WireFormat::Json),
                    PushFormat::CloudEvents => wire(WireFormat::CloudEvents),
                    PushFormat::Datex2(datex2) => {
                        let form = DatexForm::new(datex2, Arc::clone(&self.board), self.clock);
                        push.preface = datex2.site_table.then(|| form.preface());
                        (Some(form.counts()), LinkForm::Datex2(Box::new(form)))
                    }
                };
                (LinkSink::Http(HttpSink::spawn(push), counts), form)
            }
            (OpenedUplink::Sparkplug(connection), UplinkKind::Sparkplug(sparkplug)) => {
                let sink = self.edge_node(uplink, sparkplug, connection.clone());
                (LinkSink::Sparkplug(Box::new(sink)), LinkForm::Verdicts(VerdictForm))
            }
            (OpenedUplink::Rsmp(rsmp), UplinkKind::Rsmp(_)) => {
                let sight = SiteSight::new(
                    &uplink.name,
                    self.clock,
                    (Arc::clone(&self.board), self.store.heads()),
                    (Arc::clone(&self.counters), Arc::clone(route)),
                    self.desks.orders.clone(),
                );
                let sink = RsmpSink::spawn(rsmp.as_ref().clone(), Arc::new(sight));
                (LinkSink::Rsmp(Box::new(sink)), LinkForm::Verdicts(VerdictForm))
            }
            (
                OpenedUplink::Mqtt(_)
                | OpenedUplink::Http(_)
                | OpenedUplink::Sparkplug(_)
                | OpenedUplink::Rsmp(_),
                _,
            ) => unreachable!("an uplink is opened as what it is"),
        }
    }

    fn edge_node(
        &self,
        uplink: &Uplink,
        sparkplug: &SparkplugUplink,
        connection: ConnectionSettings,
    ) -> SparkplugSink {
        let (heads, clock) = (self.store.heads(), self.clock);
        let shown = ShownBoard {
            board: Arc::clone(&self.board),
            heads: Arc::new(move || *heads.borrow()),
            now: Arc::new(move || clock.now()),
        };
        let (store, key) = (self.store.clone(), birth_number_key(&uplink.name));
        let last = self.birth_numbers.iter().find(|saved| saved.key == key);
        let last = last.and_then(|saved| saved.state.as_deref()?.first().copied());
        let numbers = BirthNumbers::new(last, move |number| {
            let (store, key) = (store.clone(), key.clone());
            Box::pin(async move {
                let checkpoint = Checkpoint { key, state: Some(vec![number]) };
                matches!(store.save(checkpoint).await, Some(Ok(())))
            })
        });
        let edge = edge_settings(self.settings, uplink, sparkplug, &connection);
        SparkplugSink::spawn(SparkplugSettings { connection, edge, shown, numbers })
    }
}

pub(super) fn route_counters(settings: &Settings, route: &Route) -> Arc<RouteCounters> {
    let uplinks = route.uplinks.iter().map(|index| &settings.uplinks[*index]);
    let links = uplinks.map(|uplink| Arc::new(LinkCounters::new(uplink.name.clone(), uplink.budget)));
    Arc::new(RouteCounters::new(links.collect()))
}

fn route_settings(settings: &Settings, route: &Route, counters: &Counters) -> RouteSettings {
    // The check has ensured that they agree in these.
    let uplink = &settings.uplinks[route.uplinks[0]];
    RouteSettings {
        route: route.name.clone(),
        gateway: settings.gateway.id.clone(),
        lanes: uplink.lanes.clone(),
        batch: uplink.batch,
        rewind: uplink.rewind,
        mode: route.mode,
        beat: counters.beats.join_behind_store(&format!("the delivery of {}", route.name)),
        limits: counters.follow_limits(),
    }
}
