//! Connections: whoever may connects, up to a number, asks whole frames within a time, and is answered from the image.

use std::future::poll_fn;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, oneshot};
use tokio::task::JoinHandle;
use tokio::time::{MissedTickBehavior, timeout};
use verge_domain::address::AddressRange;
use verge_domain::board::Board;
use verge_domain::image::{PointQuality, PointSelector};

use crate::pdu::{self, Exception, Reply};
use crate::shown::{ModbusView, PointCommand, ServedImage};
use crate::{ModbusSettings, PointPlace};

/// A frame that has begun is complete after this time, and an answer taken.
const FRAME_TIMEOUT: Duration = Duration::from_secs(5);
/// A command that is not durable by then is answered as a failure; it may be carried out later.
const COMMAND_TIMEOUT: Duration = Duration::from_secs(3);
/// Pause after the operating system refuses a connection.
const ACCEPT_PAUSE: Duration = Duration::from_millis(200);
/// Transaction, protocol, length and unit (messaging guide, section 3.1.3).
const HEADER: usize = 7;
/// Bytes of a request behind its header.
const MAX_PDU: usize = 253;

/// What a server counts.
#[derive(Debug, Default)]
pub struct ModbusCounters {
    /// Clients that are connected.
    pub clients: AtomicU64,
    /// Clients accepted.
    pub accepted: AtomicU64,
    /// Clients refused.
    pub refused: AtomicU64,
    /// Connections closed by the server.
    pub closed: AtomicU64,
    /// Requests answered.
    pub requests: AtomicU64,
    /// Of these, with an exception.
    pub exceptions: AtomicU64,
    last_error: Mutex<Option<String>>,
}

impl ModbusCounters {
    fn note(&self, counter: &AtomicU64, client: IpAddr, why: &str) {
        counter.fetch_add(1, Ordering::Relaxed);
        *self.last_error.lock().unwrap_or_else(PoisonError::into_inner) = Some(format!("{client}: {why}"));
    }

    /// Why a connection was last refused or closed.
    #[must_use]
    pub fn last_error(&self) -> Option<String> {
        self.last_error.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// A running server. It ends when it is dropped.
pub struct ModbusServer {
    name: String,
    address: SocketAddr,
    counters: Arc<ModbusCounters>,
    shown: Arc<ServedImage>,
    board: Arc<dyn Board>,
    tasks: Vec<JoinHandle<()>>,
}

impl ModbusServer {
    /// Serves on a listener, by tasks of the present runtime.
    ///
    /// # Errors
    /// The listener cannot be used.
    pub fn start(
        settings: ModbusSettings,
        listener: std::net::TcpListener,
        board: Arc<dyn Board>,
        view: Arc<dyn ModbusView>,
    ) -> std::io::Result<Self> {
        listener.set_nonblocking(true)?;
        let listener = TcpListener::from_std(listener)?;
        let address = listener.local_addr()?;
        let (name, counters) = (settings.name.clone(), Arc::<ModbusCounters>::default());
        let shown = Arc::new(ServedImage::new(settings, view, board.raised_before()));
        let follow = tokio::spawn(follow(Arc::clone(&shown), Arc::clone(&board)));
        let accept = tokio::spawn(accept(listener, Arc::clone(&shown), Arc::clone(&counters)));
        Ok(Self { name, address, counters, shown, board, tasks: vec![follow, accept] })
    }

    /// Its points show this from now on, in their order: another configuration is at work.
    pub fn select(&self, points: &[PointPlace]) {
        self.shown.select(points, self.board.raised_before());
    }

    /// Its name in the configuration.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Where it listens.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// What it counts.
    #[must_use]
    pub fn counters(&self) -> &ModbusCounters {
        &self.counters
    }

    /// Points by their quality, in the order of [`PointQuality::ALL`].
    #[must_use]
    pub fn qualities(&self) -> [u64; PointQuality::ALL.len()] {
        self.shown.qualities()
    }
}

impl Drop for ModbusServer {
    fn drop(&mut self) {
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}

/// Keeps the image up to date.
async fn follow(shown: Arc<ServedImage>, board: Arc<dyn Board>) {
    let whole = || {
        let copy = board.copy(&|word| shown.is_about(word));
        shown.begin_anew(&copy.words, board.standing());
        copy.place
    };
    let mut place = whole();
    shown.second();
    let mut seconds = tokio::time::interval(Duration::from_secs(1));
    seconds.set_missed_tick_behavior(MissedTickBehavior::Skip);
    loop {
        tokio::select! {
            committed = poll_fn(|context| board.poll_behind(&mut place, context)) => {
                if committed.missed > 0 {
                    place = whole();
                } else {
                    shown.fold(&committed.words, board.standing());
                }
            }
            () = shown.changed.notified() => place = whole(),
            _ = seconds.tick() => shown.second(),
        }
    }
}

async fn accept(listener: TcpListener, shown: Arc<ServedImage>, counters: Arc<ModbusCounters>) {
    let permits = Arc::new(Semaphore::new(shown.settings.max_clients));
    // The clients end with this task.
    let mut clients = tokio::task::JoinSet::new();
    loop {
        let (stream, client) = tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok(accepted) => accepted,
                Err(error) => {
                    tracing::warn!(server = %shown.settings.name, %error, "a client cannot be accepted");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                    continue;
                }
            },
            Some(_) = clients.join_next() => continue,
        };
        let client = client.ip();
        let allow = &shown.settings.allow;
        if !allow.is_empty() && !allow.iter().any(|range: &AddressRange| range.contains(client)) {
            counters.note(&counters.refused, client, "not within `allow`");
            continue;
        }
        let Ok(permit) = Arc::clone(&permits).try_acquire_owned() else {
            counters.note(&counters.refused, client, "`max_clients` are connected");
            continue;
        };
        counters.accepted.fetch_add(1, Ordering::Relaxed);
        let (shown, counters) = (Arc::clone(&shown), Arc::clone(&counters));
        clients.spawn(async move {
            counters.clients.fetch_add(1, Ordering::Relaxed);
            if let Err(why) = serve(stream, client, &shown, &counters).await {
                counters.note(&counters.closed, client, why);
            }
            counters.clients.fetch_sub(1, Ordering::Relaxed);
            drop(permit);
        });
    }
}

/// Answers one client until it leaves. Says why where the server ends it.
async fn serve(
    mut stream: TcpStream,
    client: IpAddr,
    shown: &Arc<ServedImage>,
    counters: &ModbusCounters,
) -> Result<(), &'static str> {
    // Without it an answer may wait for the acknowledgement of the one before.
    stream.set_nodelay(true).map_err(|_| "the connection cannot be used")?;
    loop {
        let mut header = [0; HEADER];
        match timeout(shown.settings.idle, stream.read(&mut header[..1])).await {
            Err(_) => return Err("idle"),
            Ok(Ok(0) | Err(_)) => return Ok(()),
            Ok(Ok(_)) => {}
        }
        let mut body = [0; MAX_PDU];
        let frame = timeout(FRAME_TIMEOUT, rest_of(&mut stream, &mut header, &mut body)).await;
        let request = frame.map_err(|_| "a frame was not complete in time")??;
        let Some(request) = request else { return Ok(()) };
        let unit = header[HEADER - 1];
        if shown.settings.unit.is_some_and(|own| own != unit) {
            // For another device behind the same address: nothing is said.
            continue;
        }
        let answer = match pdu::answer(request, &**shown, shown.settings.writes) {
            Reply::Answer(answer) => answer,
            Reply::Acknowledge { point, echo } => {
                let command = shown.selector(point).map(PointCommand::Acknowledge);
                carry_out(shown, command, client, echo).await
            }
            Reply::Set { point, key, value, echo } => {
                let selector = shown.selector(point);
                let command =
                    selector.map(|PointSelector { judge, .. }| PointCommand::Set { judge, key, value });
                carry_out(shown, command, client, echo).await
            }
        };
        counters.requests.fetch_add(1, Ordering::Relaxed);
        counters.exceptions.fetch_add(u64::from(answer[0] & 0x80 != 0), Ordering::Relaxed);
        let length = u16::try_from(answer.len() + 1).map_err(|_| "an answer is too long")?;
        let mut bytes = Vec::with_capacity(HEADER + answer.len());
        bytes.extend([header[0], header[1], 0, 0]);
        bytes.extend(length.to_be_bytes());
        bytes.push(unit);
        bytes.extend(answer);
        match timeout(FRAME_TIMEOUT, stream.write_all(&bytes)).await {
            Err(_) => return Err("an answer was not taken in time"),
            Ok(Err(_)) => return Ok(()),
            Ok(Ok(())) => {}
        }
    }
}

/// Reads the rest of a frame. `None`: the client has left.
async fn rest_of<'a>(
    stream: &mut TcpStream,
    header: &mut [u8; HEADER],
    body: &'a mut [u8; MAX_PDU],
) -> Result<Option<&'a [u8]>, &'static str> {
    if stream.read_exact(&mut header[1..]).await.is_err() {
        return Ok(None);
    }
    let [_, _, protocol_high, protocol_low, length_high, length_low, _] = *header;
    if (protocol_high, protocol_low) != (0, 0) {
        return Err("not Modbus: another protocol identifier");
    }
    // The length counts the unit.
    let length = usize::from(u16::from_be_bytes([length_high, length_low]));
    let request =
        length.checked_sub(1).filter(|&length| length > 0).and_then(|length| body.get_mut(..length));
    let request = request.ok_or("a frame of 2 to 254 bytes behind its length was expected")?;
    Ok(stream.read_exact(request).await.is_ok().then_some(&*request))
}

/// Carries out a command, and waits until that is durable.
async fn carry_out(
    shown: &ServedImage,
    command: Option<PointCommand>,
    client: IpAddr,
    echo: Vec<u8>,
) -> Vec<u8> {
    let function = echo[0];
    let Some(command) = command else { return pdu::refused(function, Exception::Address) };
    let (done, durable) = oneshot::channel();
    let done = Box::new(move |carried_out| done.send(carried_out).unwrap_or(()));
    let by = format!("server {}: {client}", shown.settings.name);
    if !shown.view.carry_out(command, &by, done) {
        return pdu::refused(function, Exception::Busy);
    }
    match timeout(COMMAND_TIMEOUT, durable).await {
        Ok(Ok(true)) => echo,
        _ => pdu::refused(function, Exception::Failure),
    }
}

#[cfg(test)]
mod tests;
