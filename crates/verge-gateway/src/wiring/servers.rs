//! Servers for control systems: what they see of the gateway, and their status.

use std::net::TcpListener;
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use anyhow::Context;
use verge_domain::board::Board;
use verge_domain::id::{DeviceId, JudgeId, OperatorText, RouteId};
use verge_domain::image::{GatewayState, HeldBack, InputAge, PointSelector};
use verge_domain::reading::SourceIndex;
use verge_domain::settable::LimitKey;
use verge_domain::time::Moment;
use verge_modbus::{ModbusServer, ModbusView, PointCommand};
use verge_pipeline::clock::Clock;
use verge_pipeline::commands::CommandRate;
use verge_pipeline::counters::{Counters, MaintenanceWindow};
use verge_pipeline::delivery::RouteCounters;
use verge_pipeline::intake::OrderDesk;
use verge_pipeline::judging::{Operator, Order, Selector, WatchedDevices};
use verge_pipeline::status::{ServerPoints, ServerStatus};

use super::datex2::SnapshotsAtWork;
use crate::exit::{Exit, ExitWith};
use crate::io_thread::IoThread;
use crate::settings::{ServerSection, Settings, Uplink};

/// The devices that servers show.
pub(super) fn watched_devices(settings: &Settings) -> Arc<WatchedDevices> {
    let points = settings.servers.iter().flat_map(|server| &server.modbus.points);
    let devices = points.map(|point| point.selector.device.clone());
    let sites = settings.publications.iter().flat_map(|files| &files.datex2.publisher.sites);
    let devices = devices.chain(sites.map(|site| site.device.clone()));
    let watched = WatchedDevices::of(devices, settings.sources.len());
    let all = settings.uplinks.iter().filter_map(Uplink::mqtt).any(|mqtt| mqtt.states.is_some())
        || !settings.opcua.is_empty();
    Arc::new(if all { watched.and_all_others() } else { watched })
}

/// What all servers share.
#[derive(Clone)]
pub(super) struct Served {
    pub(super) clock: Clock,
    pub(super) counters: Arc<Counters>,
    pub(super) board: Arc<dyn Board>,
    pub(super) routes: Vec<(RouteId, Arc<RouteCounters>)>,
    pub(super) orders: OrderDesk,
    pub(super) watched: Arc<WatchedDevices>,
}

impl Served {
    /// How the gateway is, without its points.
    pub(super) fn state(&self, windows: &[MaintenanceWindow]) -> GatewayState {
        let Self { counters, routes, .. } = self;
        let alarms = self.board.standing();
        GatewayState {
            progress: counters.progress(),
            store_full: counters.store_full(),
            storage_fault: counters.store_fault(),
            uplink_down: routes.iter().any(|(_, route)| !route.connected()),
            backlog: routes.iter().map(|(_, route)| route.backlog()).max().unwrap_or(0),
            standing: alarms.standing,
            unacknowledged: alarms.unacknowledged,
            critical: alarms.critical > 0,
            maintenance: windows.iter().any(|window| window.by.is_none()),
            held_back: Vec::new(),
        }
    }

    /// How long ago a device was received, through whatever source.
    pub(super) fn age(&self, device: &DeviceId, began: Moment) -> InputAge {
        let received = self.watched.received_at_all(device);
        let lasts = self.clock.now().mono.since(received.unwrap_or(began.mono));
        InputAge { received: received.is_some(), lasts }
    }
}

/// The servers at work, on threads of their own, and the documents that others fetch. They end with it.
pub(super) struct ControlServers {
    servers: Vec<(ModbusServer, Arc<ServedView>)>,
    #[cfg(feature = "opcua")]
    opcua: super::opcua::OpcUaServers,
    _snapshots: Option<SnapshotsAtWork>,
    _thread: IoThread,
}

impl ControlServers {
    /// Starts those of a configuration, if it has any.
    ///
    /// # Errors
    /// One cannot listen.
    pub(super) fn start(settings: &Settings, served: &Served) -> anyhow::Result<Option<Arc<Self>>> {
        let snapshots = SnapshotsAtWork::start(settings, served)?;
        if settings.servers.is_empty() && settings.opcua.is_empty() && snapshots.is_none() {
            return Ok(None);
        }
        let thread = IoThread::start("verge-servers", &served.counters.beats)?;
        let start = |section: &ServerSection| {
            let modbus = section.modbus.clone();
            let (listen, key) = (modbus.listen, format!("server.{}.listen", modbus.name));
            let cannot = || format!("{key}: cannot listen on {listen}");
            let listener = TcpListener::bind(listen).with_context(cannot).exit_with(Exit::Unavailable)?;
            let view = Arc::new(ServedView {
                served: served.clone(),
                began: served.clock.now(),
                devices: RwLock::new(devices_of(section)),
                commands: Mutex::default(),
            });
            let shown = Arc::<ServedView>::clone(&view);
            let server = thread
                .within(|| ModbusServer::start(modbus, listener, Arc::clone(&served.board), shown))
                .with_context(cannot)
                .exit_with(Exit::Unavailable)?;
            tracing::info!(server = server.name(), address = %server.address(), "Modbus TCP");
            anyhow::Ok((server, view))
        };
        let servers = settings.servers.iter().map(start).collect::<anyhow::Result<_>>()?;
        Ok(Some(Arc::new(Self {
            servers,
            #[cfg(feature = "opcua")]
            opcua: super::opcua::OpcUaServers::start(settings, served)?,
            _snapshots: snapshots,
            _thread: thread,
        })))
    }

    /// Other judges are at work: what the points of the same servers show may be otherwise named, or come by other sources.
    pub(super) fn take_up(&self, settings: &Settings) {
        for ((server, view), section) in self.servers.iter().zip(&settings.servers) {
            *view.devices.write().unwrap_or_else(PoisonError::into_inner) = devices_of(section);
            server.select(&section.modbus.points);
        }
        #[cfg(feature = "opcua")]
        self.opcua.take_up(settings);
    }

    /// What the status says of them.
    pub(super) fn status(&self) -> Vec<ServerStatus> {
        let modbus = self.servers.iter().map(|(server, _)| status_of(server));
        #[cfg(feature = "opcua")]
        let modbus = modbus.chain(self.opcua.status());
        modbus.collect()
    }
}

fn status_of(server: &ModbusServer) -> ServerStatus {
    use std::sync::atomic::Ordering::Relaxed;
    let counters = server.counters();
    let [never, good, uncertain, stale] = server.qualities();
    ServerStatus {
        name: server.name().to_owned(),
        kind: "modbus",
        listening: server.address().to_string(),
        clients: counters.clients.load(Relaxed),
        accepted: counters.accepted.load(Relaxed),
        refused: counters.refused.load(Relaxed),
        closed: counters.closed.load(Relaxed),
        requests: counters.requests.load(Relaxed),
        exceptions: counters.exceptions.load(Relaxed),
        points: ServerPoints { never, good, uncertain, stale },
        last_error: counters.last_error(),
        ..ServerStatus::default()
    }
}

/// The device of each point, and the sources through which it comes.
type PointDevices = Vec<(DeviceId, Vec<SourceIndex>)>;

fn devices_of(section: &ServerSection) -> PointDevices {
    let points = section.modbus.points.iter().zip(&section.sources);
    points.map(|(point, sources)| (point.selector.device.clone(), sources.clone())).collect()
}

/// What one server sees of the gateway.
struct ServedView {
    served: Served,
    began: Moment,
    devices: RwLock<PointDevices>,
    commands: Mutex<CommandRate>,
}

impl ModbusView for ServedView {
    fn now(&self) -> Moment {
        self.served.clock.now()
    }

    fn state(&self, points: &[PointSelector]) -> GatewayState {
        let windows = self.served.counters.maintenance();
        let held_back = points.iter().map(|point| held_back(&windows, point));
        GatewayState { held_back: held_back.collect(), ..self.served.state(&windows) }
    }

    fn age(&self, point: usize, now: Moment) -> InputAge {
        let devices = self.devices.read().unwrap_or_else(PoisonError::into_inner);
        let device = devices.get(point);
        let received = device.and_then(|(device, sources)| self.served.watched.received(sources, device));
        let lasts = now.mono.since(received.unwrap_or(self.began.mono));
        InputAge { received: received.is_some(), lasts }
    }

    fn limit(&self, judge: &JudgeId, key: LimitKey) -> Option<f64> {
        let set = self.served.counters.set_limits();
        set.iter().find(|set| (&set.judge, set.key) == (judge, key)).map(|set| set.value)
    }

    fn carry_out(&self, command: PointCommand, by: &str, done: Box<dyn FnOnce(bool) + Send>) -> bool {
        let now = self.now().mono;
        if !self.commands.lock().unwrap_or_else(PoisonError::into_inner).admit(now) {
            return false;
        }
        let Ok(by) = OperatorText::new(by) else { return false };
        let operator = Operator { by, note: None };
        let order = match command {
            PointCommand::Acknowledge(PointSelector { judge, device, signal, .. }) => {
                let selector = Selector { device, signal, judge: Some(judge), source: None };
                Order::Acknowledge { selector, event: None, operator }
            }
            PointCommand::Set { judge, key, value } => Order::Set { judge, key, value, operator },
        };
        self.served.orders.submit(order, move |outcome| done(outcome.is_ok())).is_ok()
    }
}

/// What holds back the alarm of a point.
pub(super) fn held_back(windows: &[MaintenanceWindow], point: &PointSelector) -> HeldBack {
    let of_point = || windows.iter().filter(|window| is_about(window, point));
    HeldBack {
        maintenance: of_point().any(|window| window.by.is_none()),
        shelved: of_point().any(|window| window.by.is_some()),
    }
}

/// Whether a window holds back what would be raised about a point.
fn is_about(window: &MaintenanceWindow, point: &PointSelector) -> bool {
    window.device == point.device
        && window.signal.as_ref().is_none_or(|signal| point.signal.as_ref() == Some(signal))
        && window.judge.as_ref().is_none_or(|judge| *judge == point.judge)
}
