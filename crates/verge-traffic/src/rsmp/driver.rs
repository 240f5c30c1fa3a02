//! The task that connects, and carries what it says and receives.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, split};
use tokio::net::TcpStream;
use tokio::sync::{mpsc, watch};
use tokio::time::{MissedTickBehavior, interval, sleep, timeout};
use verge_domain::link::SiteReport;
use verge_domain::stage::{SinkEvent, Token, VerdictRow};
use verge_tls::{ClientConfig, TlsStream};

use super::packet::{Packet, PacketReader};
use super::settings::SiteSettings;
use super::site::{Site, SiteView};
use super::target::RsmpTarget;

/// How often the site looks at the time.
const TICK: Duration = Duration::from_millis(200);
/// Bytes that wait to be written before more is made.
const MAX_UNWRITTEN: usize = 64 * 1024;
/// A last word is written within this time.
const LAST_WORD: Duration = Duration::from_secs(2);
/// Read at once.
const READ_BYTES: usize = 16 * 1024;
const END: u8 = 0x0c;

/// Reads certificates and keys, again at each connection.
#[derive(Clone)]
pub struct RsmpAccess(Arc<dyn Fn() -> Result<Option<Arc<ClientConfig>>, String> + Send + Sync>);

impl RsmpAccess {
    /// Read by this function; it gives `None` where no TLS is used.
    pub fn new(read: impl Fn() -> Result<Option<Arc<ClientConfig>>, String> + Send + Sync + 'static) -> Self {
        Self(Arc::new(read))
    }
}

impl fmt::Debug for RsmpAccess {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RsmpAccess")
    }
}

/// Where a site connects to, and what it is.
#[derive(Debug, Clone)]
pub struct RsmpSettings {
    /// The supervisor.
    pub target: RsmpTarget,
    /// What proves who connects.
    pub access: RsmpAccess,
    /// The pause before it is dialled again.
    pub reconnect: Duration,
    /// Items in flight at most.
    pub window: usize,
    /// The site.
    pub site: SiteSettings,
}

/// Rows that the route has offered.
#[derive(Debug)]
pub(super) struct Offered {
    /// The connection that they were offered on: void with it.
    pub(super) generation: u64,
    pub(super) token: Token,
    pub(super) rows: Vec<VerdictRow>,
}

/// A connection to a supervisor.
pub(super) enum Line {
    Plain(TcpStream),
    Tls(Box<TlsStream>),
}

impl Line {
    /// Dials, and does the handshake of TLS.
    ///
    /// # Errors
    /// Why there is no connection, in words.
    pub(super) async fn open(settings: &RsmpSettings) -> Result<Self, String> {
        let wait = settings.site.ack_timeout;
        let dialled = timeout(wait, Self::dial(settings)).await;
        dialled.map_err(|_| format!("it did not answer within {} s (timeout)", wait.as_secs_f32()))?
    }

    async fn dial(settings: &RsmpSettings) -> Result<Self, String> {
        let config = (settings.access.0)()?;
        let (host, port) = (settings.target.host(), settings.target.port());
        let stream = TcpStream::connect((host, port)).await.map_err(|error| verge_tls::explain(&error))?;
        // Messages are short, and their acknowledgements are waited for.
        stream.set_nodelay(true).map_err(|error| verge_tls::explain(&error))?;
        match config {
            None => Ok(Self::Plain(stream)),
            Some(config) => {
                let stream = verge_tls::connect(config, host, stream).await;
                Ok(Self::Tls(Box::new(stream.map_err(|error| verge_tls::explain(&error))?)))
            }
        }
    }
}

/// What a driver receives beside what comes by the line.
pub(super) struct Inlets {
    pub(super) offers: mpsc::Receiver<Offered>,
    pub(super) outcomes: mpsc::Receiver<(u64, Result<(), String>)>,
    /// For outcomes to come.
    pub(super) outcome: mpsc::Sender<(u64, Result<(), String>)>,
}

pub(super) struct Driver {
    pub(super) settings: RsmpSettings,
    pub(super) view: Arc<dyn SiteView>,
    pub(super) site: Site,
    pub(super) inlets: Inlets,
    pub(super) events: mpsc::Sender<SinkEvent>,
    pub(super) report: watch::Sender<SiteReport>,
    /// Connections announced so far.
    pub(super) generation: u64,
    /// Nothing is offered any more.
    pub(super) closing: bool,
}

impl Driver {
    pub(super) async fn run(mut self) {
        loop {
            let reason = match Line::open(&self.settings).await {
                Ok(Line::Plain(stream)) => self.serve(stream).await,
                Ok(Line::Tls(stream)) => self.serve(stream).await,
                Err(reason) => reason,
            };
            self.site.lost();
            self.report.send_replace(self.site.report());
            if self.closing || self.events.send(SinkEvent::Disconnected { reason }).await.is_err() {
                return;
            }
            if !self.rest().await {
                return;
            }
        }
    }

    /// Waits before it dials again, and lets go of what is void. Returns whether to go on.
    async fn rest(&mut self) -> bool {
        let over = sleep(self.settings.reconnect);
        tokio::pin!(over);
        loop {
            tokio::select! {
                () = &mut over => return true,
                offered = self.inlets.offers.recv() => if offered.is_none() { return false },
                _ = self.inlets.outcomes.recv() => {}
            }
        }
    }

    /// One connection, from its beginning to its end. Returns why it ended.
    async fn serve(&mut self, stream: impl AsyncRead + AsyncWrite + Send) -> String {
        let (mut from, mut to) = split(stream);
        let (mut reader, mut packets) = (PacketReader::default(), Vec::new());
        let mut read = vec![0; READ_BYTES];
        let (mut unwritten, mut unflushed): (Vec<u8>, bool) = (Vec::new(), false);
        let mut ticks = interval(TICK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        self.site.connected(&*self.view);
        loop {
            if !self.pass_on(&mut unwritten).await {
                return "the gateway stops".to_owned();
            }
            if let Some(reason) = self.site.hang_up().map(str::to_owned) {
                let last = async {
                    to.write_all(&unwritten).await?;
                    to.shutdown().await
                };
                drop(timeout(LAST_WORD, last).await);
                return reason;
            }
            if self.closing && self.site.is_idle() && unwritten.is_empty() && !unflushed {
                drop(timeout(LAST_WORD, to.shutdown()).await);
                return "the gateway stops".to_owned();
            }
            tokio::select! {
                count = from.read(&mut read), if self.site.listens() => match count {
                    Ok(0) => return "the supervisor has closed the connection".to_owned(),
                    Ok(count) => {
                        reader.read(&read[..count], &mut packets);
                        for packet in packets.drain(..) {
                            self.received(packet);
                        }
                    }
                    Err(error) => return verge_tls::explain(&error),
                },
                written = carry_on(&mut to, &unwritten), if !unwritten.is_empty() || unflushed => match written {
                    Ok(count) => {
                        unflushed = !unwritten.is_empty();
                        unwritten.drain(..count);
                    }
                    Err(error) => return verge_tls::explain(&error),
                },
                offered = self.inlets.offers.recv(), if !self.closing => match offered {
                    Some(Offered { generation, token, rows }) if generation == self.generation => {
                        self.site.offer(rows, token);
                    }
                    Some(_) => {}
                    None => self.closing = true,
                },
                Some((number, outcome)) = self.inlets.outcomes.recv() => {
                    self.site.ordered(number, outcome, &*self.view);
                }
                _ = ticks.tick() => {
                    self.site.tick(&*self.view);
                    self.report.send_replace(self.site.report());
                }
            }
        }
    }

    fn received(&mut self, packet: Packet) {
        self.site.received(packet, &*self.view);
    }

    /// Carries out what the site wants. Returns whether somebody still wants its events.
    async fn pass_on(&mut self, unwritten: &mut Vec<u8>) -> bool {
        while unwritten.len() < MAX_UNWRITTEN {
            let Some(packet) = self.site.next_packet(&*self.view) else { break };
            unwritten.extend_from_slice(&packet);
            unwritten.push(END);
        }
        while let Some((number, orders)) = self.site.take_order() {
            let outcome = self.inlets.outcome.clone();
            // There is room for as many as may wait.
            let done = move |done| drop(outcome.try_send((number, done)));
            self.view.carry_out(orders, Box::new(done));
        }
        while let Some(event) = self.site.take_event() {
            if event == SinkEvent::Connected {
                self.generation += 1;
                while self.inlets.offers.try_recv().is_ok() {}
                self.report.send_replace(self.site.report());
            }
            if self.events.send(event).await.is_err() {
                return false;
            }
        }
        true
    }
}

/// Writes some of what is left, or flushes where nothing is. Cancel-safe.
async fn carry_on(to: &mut (impl AsyncWrite + Unpin), unwritten: &[u8]) -> std::io::Result<usize> {
    if unwritten.is_empty() {
        return to.flush().await.map(|()| 0);
    }
    match to.write(unwritten).await? {
        0 => Err(std::io::ErrorKind::WriteZero.into()),
        count => Ok(count),
    }
}
