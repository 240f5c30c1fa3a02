//! Servers for control systems: what they see of the gateway, and their status.

use std::net::TcpListener;
use std::sync::Arc;

use anyhow::Context;
use verge_domain::board::Board;
use verge_domain::id::{DeviceId, OperatorText, RouteId};
use verge_domain::image::{HeldBack, InputAge, PointSelector};
use verge_domain::reading::SourceIndex;
use verge_domain::time::Moment;
use verge_modbus::{GatewayState, GatewayView, ModbusServer};
use verge_pipeline::clock::Clock;
use verge_pipeline::counters::{Counters, MaintenanceWindow};
use verge_pipeline::delivery::RouteCounters;
use verge_pipeline::intake::OrderDesk;
use verge_pipeline::judging::{Operator, Order, Selector, WatchedDevices};
use verge_pipeline::status::{ServerPoints, ServerStatus};

use crate::exit::{Exit, ExitWith};
use crate::io_thread::IoThread;
use crate::settings::{ServerSection, Settings};

/// The devices that servers show.
pub(super) fn watched_devices(settings: &Settings) -> Arc<WatchedDevices> {
    let devices = settings.servers.iter().flat_map(|server| {
        let points = server.modbus.points.iter().zip(&server.sources);
        points.flat_map(|(point, sources)| {
            sources.iter().map(|&source| (source, point.selector.device.clone()))
        })
    });
    Arc::new(WatchedDevices::of(devices))
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

/// The servers at work, on a thread of their own. They end with it.
pub(super) struct ControlServers {
    servers: Vec<ModbusServer>,
    _thread: IoThread,
}

impl ControlServers {
    /// Starts those of a configuration, if it has any.
    ///
    /// # Errors
    /// One cannot listen.
    pub(super) fn start(settings: &Settings, served: &Served) -> anyhow::Result<Option<Arc<Self>>> {
        if settings.servers.is_empty() {
            return Ok(None);
        }
        let thread = IoThread::start("verge-servers")?;
        let start = |section: &ServerSection| {
            let modbus = section.modbus.clone();
            let (listen, key) = (modbus.listen, format!("server.{}.listen", modbus.name));
            let cannot = || format!("{key}: cannot listen on {listen}");
            let listener = TcpListener::bind(listen).with_context(cannot).exit_with(Exit::Unavailable)?;
            let points = modbus.points.iter().zip(&section.sources);
            let devices = points.map(|(point, sources)| (point.selector.device.clone(), sources.clone()));
            let view = Arc::new(ServedView {
                served: served.clone(),
                began: served.clock.now(),
                devices: devices.collect(),
            });
            let server = thread
                .within(|| ModbusServer::start(modbus, listener, Arc::clone(&served.board), view))
                .with_context(cannot)
                .exit_with(Exit::Unavailable)?;
            tracing::info!(server = server.name(), address = %server.address(), "Modbus TCP");
            anyhow::Ok(server)
        };
        let servers = settings.servers.iter().map(start).collect::<anyhow::Result<_>>()?;
        Ok(Some(Arc::new(Self { servers, _thread: thread })))
    }

    /// What the status says of them.
    pub(super) fn status(&self) -> Vec<ServerStatus> {
        self.servers.iter().map(status_of).collect()
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
    }
}

/// What one server sees of the gateway.
struct ServedView {
    served: Served,
    began: Moment,
    /// The device of each point, and the sources through which it comes.
    devices: Vec<(DeviceId, Vec<SourceIndex>)>,
}

impl GatewayView for ServedView {
    fn now(&self) -> Moment {
        self.served.clock.now()
    }

    fn state(&self, points: &[PointSelector]) -> GatewayState {
        let Served { clock, counters, board, routes, .. } = &self.served;
        let (alarms, windows) = (board.alarms(clock.now().wall), counters.maintenance());
        let held_back = points.iter().map(|point| {
            let holds = |window: &&MaintenanceWindow| is_about(window, point);
            let (shelved, maintenance): (Vec<_>, Vec<_>) =
                windows.iter().filter(holds).partition(|window| window.by.is_some());
            HeldBack { maintenance: !maintenance.is_empty(), shelved: !shelved.is_empty() }
        });
        GatewayState {
            progress: counters.progress(),
            store_full: counters.store_full(),
            storage_fault: counters.store_fault(),
            uplink_down: routes.iter().any(|(_, route)| !route.connected()),
            backlog: routes.iter().map(|(_, route)| route.backlog()).max().unwrap_or(0),
            standing: alarms.standing,
            unacknowledged: alarms.unacknowledged,
            critical: board.open_events().critical > 0,
            maintenance: windows.iter().any(|window| window.by.is_none()),
            held_back: held_back.collect(),
        }
    }

    fn age(&self, point: usize, now: Moment) -> InputAge {
        let received = self.devices.get(point).and_then(|(device, sources)| {
            sources.iter().filter_map(|source| self.served.watched.received(*source, device)).max()
        });
        let lasts = now.mono.since(received.unwrap_or(self.began.mono));
        InputAge { received: received.is_some(), lasts }
    }

    fn acknowledge(&self, point: &PointSelector, by: &str, done: Box<dyn FnOnce(bool) + Send>) -> bool {
        let Ok(by) = OperatorText::new(by) else { return false };
        let selector = Selector {
            device: point.device.clone(),
            signal: point.signal.clone(),
            judge: Some(point.judge.clone()),
            source: None,
        };
        let order = Order::Acknowledge { selector, event: None, operator: Operator { by, note: None } };
        self.served.orders.submit(order, move |outcome| done(outcome.is_ok())).is_ok()
    }
}

/// Whether a window holds back what would be raised about a point.
fn is_about(window: &MaintenanceWindow, point: &PointSelector) -> bool {
    window.device == point.device
        && window.signal.as_ref().is_none_or(|signal| point.signal.as_ref() == Some(signal))
        && window.judge.as_ref().is_none_or(|judge| *judge == point.judge)
}
