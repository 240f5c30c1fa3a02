//! Passes on what an admitted client sends and may send, and what the broker sends to it, until one side ends.

use std::io;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::answers::{Answers, Down, MOST_WAITING};
use super::devices::{Device, Devices};
use super::five::{self, Five};
use super::packets::{Delivering, Guard, Next, Refused, ToClient};
use super::standing::Standing;
use crate::policy::Refusal;

/// Bytes in flight in one direction. A packet of filters has room in it.
const BUFFER_BYTES: usize = 8 * 1024;
/// Time for what is in flight when one side has ended: the client's DISCONNECT must reach the broker, or its last
/// will is published.
const FAREWELL: Duration = Duration::from_secs(2);
/// Time for a packet to get complete, from its first byte, beside that for its payload at the slowest pace.
const PACKET: Duration = Duration::from_secs(10);
const SLOWEST_BYTES_PER_SECOND: usize = 8 * 1024;
/// Time for a client to take some of what is sent to it.
const STALLED: Duration = Duration::from_secs(60);
const PINGREQ: [u8; 2] = [0xc0, 0];

/// How fast a client may be, and how slow.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pacing<'a> {
    pub(super) device: &'a Device,
    pub(super) devices: &'a Devices,
    /// A client from which nothing comes for so long is closed without farewell: rumqttd does not notice that one is silent
    /// while it has something to send to it.
    pub(super) silence: Duration,
}

/// Why a connection ended otherwise than in good order.
#[derive(Debug)]
pub(super) enum PassEnd {
    /// It broke off.
    Io(io::Error),
    /// The broker has ended it: it is down, or another connection has taken over the client's session.
    Broker(io::Error),
    /// The client is closed for this.
    Refused(Refused),
}

impl From<io::Error> for PassEnd {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

impl From<Refusal> for PassEnd {
    fn from(why: Refusal) -> Self {
        Self::Refused(why.into())
    }
}

/// Passes on what the client may send, first what came with its CONNECT.
///
/// # Errors
/// The client broke off, or did what it may not.
pub(super) async fn pass<S>(
    outside: S,
    inside: TcpStream,
    rest: &[u8],
    guard: Guard,
    (pacing, standing): (Pacing<'_>, Standing),
) -> Result<(), PassEnd>
where
    S: AsyncRead + AsyncWrite,
{
    let (from_client, to_client) = tokio::io::split(outside);
    let (from_broker, to_broker) = inside.into_split();
    let (answering, answers) = mpsc::channel(MOST_WAITING);
    let (five, delivering) = (guard.five().cloned(), guard.delivers_to().cloned());
    let upward = upward(from_client, ToBroker(to_broker), rest, (guard, standing), pacing, answering.clone());
    let downward = downward(from_broker, to_client, answers, five.clone(), delivering);
    tokio::pin!(upward, downward);
    tokio::select! {
        ended = &mut upward => {
            if let (Some(_), Err(PassEnd::Refused(refused))) = (&five, &ended) {
                // A client of MQTT 5 learns why, behind what is being sent to it.
                let farewell = vec![0xe0, 1, five::for_connection(refused.why)];
                drop(answering.try_send(ToClient::Packet(farewell)));
            } else if ended.is_err() {
                return ended;
            }
            drop(answering);
            // What is still unread when the connection is closed would reset it.
            drop(tokio::time::timeout(FAREWELL, downward).await);
            ended
        }
        ended = &mut downward => {
            if matches!(ended, Err(PassEnd::Io(_))) {
                // A client that has closed takes nothing more, but may have said goodbye before.
                drop(tokio::time::timeout(FAREWELL, upward).await);
            }
            ended
        }
    }
}

/// What goes to the broker.
struct ToBroker<W>(W);

impl<W: AsyncWrite + Unpin> ToBroker<W> {
    async fn write_all(&mut self, bytes: &[u8]) -> Result<(), PassEnd> {
        self.0.write_all(bytes).await.map_err(PassEnd::Broker)
    }

    async fn shutdown(&mut self) -> Result<(), PassEnd> {
        self.0.shutdown().await.map_err(PassEnd::Broker)
    }

    /// Waits before the client is read on, and closes it where other rules that come meanwhile do not allow it any more. Between
    /// two packets the broker is shown that the client lives, of which nothing is read.
    async fn wait<T>(
        &mut self,
        until: impl Future<Output = T>,
        delivering: &Delivering,
        silence: Duration,
        (guard, standing): (&mut Guard, &mut Standing),
    ) -> Result<T, PassEnd> {
        tokio::pin!(until);
        let is_between = guard.left() == 0;
        // The silence is one and a half times the keep-alive.
        let ping_every = silence / 3;
        loop {
            tokio::select! {
                biased;
                done = &mut until => return Ok(done),
                () = standing.changed() => self.take_up(guard, standing).await?,
                () = tokio::time::sleep(ping_every), if is_between => {
                    delivering.note_ping();
                    self.write_all(&PINGREQ).await?;
                }
            }
        }
    }

    /// Takes up other rules.
    async fn take_up(&mut self, guard: &mut Guard, standing: &mut Standing) -> Result<(), PassEnd> {
        let Err(refused) = standing.take_up(guard) else { return Ok(()) };
        // Without its last will, which nobody has allowed any more.
        guard.leaves().set();
        self.write_all(&[0xe0, 0]).await?;
        Err(PassEnd::Refused(refused))
    }
}

async fn upward(
    mut from_client: impl AsyncRead + Unpin,
    mut to_broker: ToBroker<impl AsyncWrite + Unpin>,
    rest: &[u8],
    (mut guard, mut standing): (Guard, Standing),
    pacing: Pacing<'_>,
    answering: mpsc::Sender<ToClient>,
) -> Result<(), PassEnd> {
    let mut buffer = vec![0; BUFFER_BYTES.max(rest.len() + 1)];
    buffer[..rest.len()].copy_from_slice(rest);
    let (mut from, mut to) = (0, rest.len());
    // The packet that is not complete, by its number, and when it must be.
    let mut slow: Option<(u64, Instant)> = None;
    let mut new_bytes = rest.len();
    let (five, delivering) = (guard.five().cloned(), guard.delivers_to().cloned());
    // Room for the message that is being collected.
    let mut room = None;
    loop {
        let packets = guard.packets();
        loop {
            match guard.next(&buffer[from..to]).map_err(PassEnd::Refused)? {
                Next::Pass(bytes) => {
                    to_broker.write_all(&buffer[from..from + bytes]).await?;
                    from += bytes;
                }
                Next::Replace { taken, instead, answer } => {
                    // Ahead of what the broker answers.
                    if answer != ToClient::None && answering.send(answer).await.is_err() {
                        return Ok(());
                    }
                    to_broker.write_all(&instead).await?;
                    from += taken;
                }
                Next::LeaveWith(last) => {
                    to_broker.write_all(&last).await?;
                    return to_broker.shutdown().await;
                }
                Next::Leave(bytes) => {
                    to_broker.write_all(&buffer[from..from + bytes]).await?;
                    return to_broker.shutdown().await;
                }
                Next::More => break,
            }
            if let Some(delivering) = &delivering {
                let begun = guard.begun();
                if begun > BUFFER_BYTES {
                    let free = async {
                        (pacing.device.holds.room(begun).await, delivering.inputs.room(begun).await)
                    };
                    let under = (&mut guard, &mut standing);
                    room = Some(to_broker.wait(free, delivering, pacing.silence, under).await?);
                }
                if let Some(message) = guard.completed() {
                    let handed_on = delivering.inputs.hand_on(message, &delivering.acks);
                    to_broker
                        .wait(handed_on, delivering, pacing.silence, (&mut guard, &mut standing))
                        .await?;
                    drop(room.take());
                }
                while guard.left() == 0 && delivering.acks.is_long() {
                    let under = (&mut guard, &mut standing);
                    to_broker.wait(delivering.acks.freed(), delivering, pacing.silence, under).await?;
                }
            }
        }
        if let Some(wait) =
            pacing.devices.spend(pacing.device, guard.packets() - packets, new_bytes, Instant::now())
        {
            tokio::time::sleep(wait).await;
        }
        buffer.copy_within(from..to, 0);
        (from, to) = (0, to - from);
        let is_complete = to == 0 && guard.left() == 0;
        slow = match slow {
            _ if is_complete => None,
            Some((number, until)) if number == guard.packets() => Some((number, until)),
            _ => {
                let seconds = guard.left() / SLOWEST_BYTES_PER_SECOND;
                Some((guard.packets(), Instant::now() + PACKET + Duration::from_secs(seconds as u64)))
            }
        };
        let silent = Instant::now() + pacing.silence;
        let (until, why) = match slow {
            Some((_, until)) if until < silent => (until, Refusal::SlowPacket),
            _ => (silent, Refusal::Silent),
        };
        new_bytes = loop {
            tokio::select! {
                read = tokio::time::timeout_at(until, from_client.read(&mut buffer[to..])) => {
                    break read.map_err(|_| why)??;
                }
                due = due(five.as_ref()) => to_broker.write_all(&due).await?,
                () = standing.changed() => to_broker.take_up(&mut guard, &mut standing).await?,
            }
        };
        if new_bytes == 0 {
            return to_broker.shutdown().await;
        }
        to += new_bytes;
    }
}

/// Waits for acknowledgements that the broker is to have without the client's doing.
async fn due(five: Option<&Five>) -> Vec<u8> {
    match five {
        Some(five) => {
            five.window.due().await;
            five.window.take_due()
        }
        None => std::future::pending().await,
    }
}

/// Waits for acknowledgements that the client is to have of messages for the gateway's own sources.
async fn acknowledged(delivering: Option<&Delivering>) -> Vec<u8> {
    match delivering {
        Some(delivering) => {
            delivering.acks.due().await;
            delivering.acks.take_due()
        }
        None => std::future::pending().await,
    }
}

async fn downward(
    mut from_broker: impl AsyncRead + Unpin,
    mut to_client: impl AsyncWrite + Unpin,
    mut answering: mpsc::Receiver<ToClient>,
    five: Option<Five>,
    delivering: Option<Delivering>,
) -> Result<(), PassEnd> {
    let mut buffer = vec![0; BUFFER_BYTES];
    let mut held = 0;
    let mut answers = Answers::of(five.clone()).delivering(delivering.clone());
    let mut is_open = true;
    // The client acknowledges first: the broker is left unread meanwhile.
    let mut waits = false;
    loop {
        tokio::select! {
            // What was said of a subscription before the broker had it is known before its answer.
            biased;
            answer = answering.recv(), if is_open => match answer {
                Some(answer) => answers.add(answer),
                None => is_open = false,
            },
            due = acknowledged(delivering.as_ref()) => {
                if !due.is_empty() {
                    answers.add(ToClient::Packet(due));
                }
            }
            () = freed(five.as_ref()), if waits => {}
            read = from_broker.read(&mut buffer[held..]), if !waits => match read {
                Err(error) => return Err(PassEnd::Broker(error)),
                Ok(0) => {
                    to_client.shutdown().await?;
                    return Err(PassEnd::Broker(io::ErrorKind::UnexpectedEof.into()));
                }
                Ok(read) => {
                    held += read;
                    while let Ok(answer) = answering.try_recv() {
                        answers.add(answer);
                    }
                }
            },
        }
        let mut from = 0;
        waits = loop {
            match answers.next(&buffer[from..held])? {
                Down::Pass(bytes) => {
                    send(&mut to_client, &buffer[from..from + bytes]).await?;
                    from += bytes;
                }
                Down::Send(packet, taken) => {
                    send(&mut to_client, &packet).await?;
                    from += taken;
                }
                Down::More => break false,
                Down::Wait => break true,
            }
        };
        buffer.copy_within(from..held, 0);
        held -= from;
        // TLS holds back what is not flushed.
        tokio::time::timeout(STALLED, to_client.flush()).await.map_err(|_| Refusal::Stalled)??;
    }
}

async fn freed(five: Option<&Five>) {
    match five {
        Some(five) => five.window.freed().await,
        None => std::future::pending().await,
    }
}

async fn send(to_client: &mut (impl AsyncWrite + Unpin), bytes: &[u8]) -> Result<(), PassEnd> {
    let sending = to_client.write_all(bytes);
    Ok(tokio::time::timeout(STALLED, sending).await.map_err(|_| Refusal::Stalled)??)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use tokio::sync::watch;
    use verge_domain::time::{Moment, UtcMillis};
    use verge_tls::ShownCertificates;

    use super::super::standing::Rules;
    use super::*;
    use crate::inputs::Inputs;
    use crate::passwords::Passwords;
    use crate::policy::{Access, ClientLimits, Policy};

    #[tokio::test]
    async fn a_client_that_waits_for_the_gateway_is_closed_when_its_login_is_withdrawn() {
        let (access, limits) = (Access::Open, ClientLimits::DEFAULT);
        let policy = Arc::new(Policy { access, retained: true, limits, frames: Vec::new() });
        let devices = Arc::new(Devices::new(limits));
        let device = devices.device("a").unwrap();
        let mut guard =
            Guard::new(Arc::clone(&policy), policy.client("a", "a", false), device, devices, None);
        let passwords = Arc::new(Passwords::parse("").unwrap());
        let rules = |passwords| Rules { policy: Arc::clone(&policy), revocations: Arc::default(), passwords };
        let (change, rules_now) = watch::channel(rules(Some(Arc::clone(&passwords))));
        let mut standing = Standing {
            rules: rules_now,
            shown: ShownCertificates::default(),
            client_id: "a".to_owned(),
            is_proved: false,
            login: Some(("a".to_owned(), passwords)),
            will: None,
        };
        let inputs = Inputs::new(true, || Moment::from_wall(UtcMillis(1)));
        inputs.open();
        let delivering = Delivering::new(inputs.opened().await);
        let mut to_broker = ToBroker(Vec::new());
        change.send(rules(None)).unwrap();
        let never = std::future::pending::<()>();
        let under = (&mut guard, &mut standing);
        let ended = to_broker.wait(never, &delivering, Duration::from_secs(60), under).await;
        assert!(
            matches!(&ended, Err(PassEnd::Refused(refused)) if refused.why == Refusal::Password),
            "{ended:?}"
        );
        assert_eq!(
            (to_broker.0.as_slice(), guard.leaves().get()),
            (&[0xe0, 0][..], true),
            "without its will"
        );
    }
}
