//! Supervises the embedded broker in a child process: starts it, checks that it works, restarts it.

mod faults;
mod memory;
mod process;

use std::ffi::OsString;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use tokio::net::TcpSocket;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use verge_domain::backoff::Backoff;
use verge_domain::time::Moment;
use verge_tls::Credentials;

use crate::canary::Canary;
use crate::embedded::SEGMENTS;
use crate::endpoint::Endpoint;
use crate::filters::KnownFilters;
use crate::retained::Retained;
pub use faults::{ChildBrokerError, ChildFault};
use memory::{Outgrown, outgrown, smaller_segment};
use process::ChildProcess;

/// A broker that served for this long was good: the next failure counts as the first.
const LASTED: Duration = Duration::from_secs(60);
/// One that served at all is started again after this pause at most, so that devices are without it for less than a second…
const SHORT_PAUSE: Duration = Duration::from_millis(400);
/// …unless it has failed this often, one soon after the other.
const SHORT_PAUSES: u32 = 20;

/// How to run a broker in a child process.
#[derive(Debug, Clone)]
pub struct ChildBrokerSettings {
    /// A program that does what [`child::serve`](crate::child::serve) does.
    pub program: PathBuf,
    /// Its arguments.
    pub arguments: Vec<OsString>,
    /// All that it gets of the environment: the gateway's own may hold passwords.
    pub environment: Vec<(OsString, OsString)>,
    /// Largest packet the broker takes, in bytes without the packet's fixed header; at least 1 KiB.
    pub max_packet_bytes: usize,
    /// Time from its start until it accepts connections.
    pub ready_within: Duration,
    /// Pause between two checks.
    pub canary_every: Duration,
    /// Time for a check. Both together bound how long a hung broker goes unnoticed.
    pub canary_within: Duration,
    /// Pauses before it is started again, each the shortest of its range: there is nobody to keep out of step with.
    pub backoff: Backoff,
    /// Memory that its process may take, in bytes, beside what its connections take: beyond it is started again, with a smaller log
    /// for each topic filter.
    pub most_memory_bytes: u64,
    /// Time to end by itself when it is stopped.
    pub grace: Duration,
    /// What it is given at each start: retained messages of devices.
    pub retained: Retained,
}

impl ChildBrokerSettings {
    /// For this program: a hung broker is noticed within 15 seconds, one that ends at once.
    #[must_use]
    pub fn new(program: PathBuf, arguments: Vec<OsString>, max_packet_bytes: usize) -> Self {
        Self {
            program,
            arguments,
            environment: Vec::new(),
            max_packet_bytes,
            ready_within: Duration::from_secs(30),
            canary_every: Duration::from_secs(5),
            canary_within: Duration::from_secs(10),
            backoff: Backoff { min: Duration::from_millis(200), max: Duration::from_secs(10) },
            most_memory_bytes: memory::most_bytes(max_packet_bytes),
            grace: Duration::from_secs(2),
            retained: Retained::default(),
        }
    }
}

/// The state of a broker in a child process.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct BrokerState {
    /// Since when it serves; `None` while it does not.
    pub serving_since: Option<Moment>,
    /// Number of its process, while there is one that serves.
    pub process: Option<u32>,
    /// Starts after the first that succeeded.
    pub restarts_total: u64,
    /// The last time it failed.
    pub last_fault: Option<BrokerFault>,
}

/// A failure of the broker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BrokerFault {
    /// When it was noticed.
    pub at: Moment,
    /// Its cause.
    pub reason: String,
}

/// A broker in a child process, started again whenever it fails, at the same address and with the same
/// credentials: clients just connect again. The child ends when this is dropped, and when this process is killed.
#[derive(Debug)]
pub struct ChildBroker {
    endpoint: Endpoint,
    filters: KnownFilters,
    state: watch::Receiver<BrokerState>,
    stop: watch::Sender<bool>,
    supervising: JoinHandle<()>,
    /// Bound and never listened on: nobody else is given the port while no broker listens there.
    _port: TcpSocket,
}

impl ChildBroker {
    /// Starts it, and returns when it accepts connections. `clock` dates its state.
    ///
    /// # Errors
    /// See [`ChildBrokerError`]. Only the first start can fail: later ones are tried again and again.
    pub async fn start(
        settings: ChildBrokerSettings,
        clock: impl Fn() -> Moment + Send + 'static,
    ) -> Result<Self, ChildBrokerError> {
        let (port, address) = reserve_port().map_err(ChildBrokerError::Port)?;
        let endpoint = Endpoint::random(address, settings.max_packet_bytes)?;
        settings.retained.lost();
        let filters = KnownFilters::default();
        filters.started();
        let life = ChildProcess::begin(&settings, &endpoint).await?;
        settings.retained.put_back(&endpoint).await;
        let (report, state) = watch::channel(BrokerState::default());
        let (stop, stopped) = watch::channel(false);
        let (of, known) = (endpoint.clone(), filters.clone());
        let supervisor = Supervisor { settings, endpoint: of, filters: known, clock, report, stop: stopped };
        let supervising = tokio::spawn(supervisor.run(life));
        Ok(Self { endpoint, filters, state, stop, supervising, _port: port })
    }

    /// Where it listens, on loopback, without TLS; the same after every restart.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.endpoint.address
    }

    /// The one user it knows; the same after every restart.
    #[must_use]
    pub const fn credentials(&self) -> &Credentials {
        &self.endpoint.credentials
    }

    /// The topic filters that it knows: whoever lets clients through to it must note them here.
    #[must_use]
    pub const fn filters(&self) -> &KnownFilters {
        &self.filters
    }

    /// Its state, as it changes.
    #[must_use]
    pub fn watch(&self) -> watch::Receiver<BrokerState> {
        self.state.clone()
    }

    /// Waits until its supervision has ended, which only a fault can cause.
    pub async fn ended(&self) {
        self.stop.closed().await;
    }

    /// Closes its standard input, waits for it to end, and kills it where it does not.
    pub async fn stop(mut self) {
        self.stop.send_replace(true);
        if let Err(error) = (&mut self.supervising).await {
            tracing::error!(%error, "the task that supervises the embedded broker has panicked");
        }
    }
}

impl Drop for ChildBroker {
    fn drop(&mut self) {
        // The child is killed with the task that holds it.
        self.supervising.abort();
    }
}

/// Binds a port of loopback so that a child process can still listen on it.
fn reserve_port() -> io::Result<(TcpSocket, SocketAddr)> {
    let socket = TcpSocket::new_v4()?;
    socket.set_reuseaddr(true)?;
    socket.bind((Ipv4Addr::LOCALHOST, 0).into())?;
    let address = socket.local_addr()?;
    Ok((socket, address))
}

/// Starts one child process after another.
struct Supervisor<C> {
    settings: ChildBrokerSettings,
    endpoint: Endpoint,
    filters: KnownFilters,
    clock: C,
    report: watch::Sender<BrokerState>,
    stop: watch::Receiver<bool>,
}

enum ProcessEnd {
    Stopped,
    Failed(ChildFault),
}

impl<C: Fn() -> Moment> Supervisor<C> {
    async fn run(mut self, first: ChildProcess) {
        let mut next = Some(Ok(first));
        let mut failures: u32 = 0;
        loop {
            let began = Instant::now();
            let beginning = match next.take() {
                Some(beginning) => beginning,
                None => {
                    self.filters.started();
                    let begin = async {
                        let beginning = ChildProcess::begin(&self.settings, &self.endpoint).await;
                        if beginning.is_ok() {
                            self.settings.retained.put_back(&self.endpoint).await;
                        }
                        beginning
                    };
                    tokio::select! {
                        beginning = begin => {
                            self.report.send_modify(|state| state.restarts_total += u64::from(beginning.is_ok()));
                            beginning
                        }
                        // A child that has begun is killed as it is dropped.
                        () = stopped(&mut self.stop) => return,
                    }
                }
            };
            let has_served = beginning.is_ok();
            let end = match beginning {
                Ok(mut life) => {
                    self.began(&life);
                    let end = self.watch(&mut life).await;
                    self.settings.retained.lost();
                    self.ended();
                    let grace =
                        if matches!(end, ProcessEnd::Stopped) { self.settings.grace } else { Duration::ZERO };
                    life.end(grace).await;
                    end
                }
                Err(fault) => ProcessEnd::Failed(fault),
            };
            let ProcessEnd::Failed(fault) = end else { return };
            failures = if began.elapsed() >= LASTED { 1 } else { failures.saturating_add(1) };
            let pause = pause_of(self.settings.backoff, failures, has_served);
            self.failed(fault.to_string(), pause);
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                () = stopped(&mut self.stop) => return,
            }
        }
    }

    /// Waits until it ends, hangs, or is to be stopped.
    async fn watch(&mut self, life: &mut ChildProcess) -> ProcessEnd {
        let mut canary = Canary::new(self.endpoint.clone());
        let mut pause = Duration::ZERO;
        let filters = self.filters.clone();
        let outgrowing = outgrown(life.process(), self.settings.most_memory_bytes, &filters);
        tokio::pin!(outgrowing);
        loop {
            let look = async {
                tokio::time::sleep(pause).await;
                canary.round(self.settings.canary_within).await
            };
            tokio::select! {
                biased;
                () = stopped(&mut self.stop) => return ProcessEnd::Stopped,
                fault = life.ended() => return ProcessEnd::Failed(fault),
                outgrown = &mut outgrowing => {
                    return ProcessEnd::Failed(self.take_less(outgrown));
                }
                looked = look => {
                    if let Err(reason) = looked {
                        return ProcessEnd::Failed(ChildFault::NoAnswer(reason));
                    }
                }
            }
            pause = self.settings.canary_every;
        }
    }

    /// The next process has smaller logs.
    fn take_less(&mut self, Outgrown { bytes, most }: Outgrown) -> ChildFault {
        let filters = self.filters.len();
        let segment_bytes =
            smaller_segment(self.endpoint.segment_bytes, filters, self.settings.most_memory_bytes);
        self.endpoint.segment_bytes = segment_bytes;
        ChildFault::Memory { bytes, most, filters, log_bytes: SEGMENTS * segment_bytes }
    }

    fn began(&self, life: &ChildProcess) {
        let (now, process) = ((self.clock)(), life.process());
        self.report.send_modify(|state| {
            state.serving_since = Some(now);
            state.process = process;
        });
        tracing::info!(address = %self.endpoint.address, process, "the embedded broker serves");
    }

    fn ended(&self) {
        self.report.send_modify(|state| {
            state.serving_since = None;
            state.process = None;
        });
    }

    fn failed(&self, reason: String, pause: Duration) {
        tracing::warn!(reason, again_in = ?pause, "the embedded broker has failed; what it held in memory is lost");
        let fault = BrokerFault { at: (self.clock)(), reason };
        self.report.send_modify(|state| state.last_fault = Some(fault));
    }
}

/// The pause after this number of failures, one soon after the other.
fn pause_of(backoff: Backoff, failures: u32, has_served: bool) -> Duration {
    let pause = backoff.pause(failures, 0);
    if has_served && failures <= SHORT_PAUSES { pause.min(SHORT_PAUSE) } else { pause }
}

async fn stopped(stop: &mut watch::Receiver<bool>) {
    // A dropped sender is a stop, too.
    drop(stop.wait_for(|&stop| stop).await);
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use tokio::net::TcpStream;

    use super::*;

    #[test]
    fn a_broker_that_served_is_started_again_soon_until_it_has_failed_too_often() {
        let backoff = ChildBrokerSettings::new(PathBuf::new(), Vec::new(), 1024).backoff;
        assert!((1..=SHORT_PAUSES).all(|failures| pause_of(backoff, failures, true) <= SHORT_PAUSE));
        assert_eq!(pause_of(backoff, SHORT_PAUSES + 1, true), backoff.pause(SHORT_PAUSES + 1, 0));
        assert!(
            pause_of(backoff, 6, false) > Duration::from_secs(1),
            "one that does not start is not started all the time"
        );
    }

    #[tokio::test]
    async fn a_reserved_port_is_given_to_nobody_and_can_be_listened_on_again_and_again() {
        let (_port, address) = reserve_port().unwrap();
        assert!(TcpSocket::new_v4().unwrap().bind(address).is_err(), "nobody else binds it by accident");
        for _ in 0..3 {
            let listener = TcpListener::bind(address).unwrap();
            let client = TcpStream::connect(address).await.unwrap();
            let (accepted, _) = listener.accept().unwrap();
            drop((listener, accepted, client));
        }
        assert!(TcpStream::connect(address).await.is_err());
    }
}
