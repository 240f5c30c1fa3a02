//! Passes on what an admitted client sends and may send, and what the broker sends to it, until one side ends.

use std::io;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::answers::MOST_WAITING;
use super::buffer::{BUFFER_BYTES, Buffer, IDLE};
use super::devices::{Device, Devices};
use super::downward::downward;
use super::five::{self, Five};
use super::incomplete::{Incomplete, PACKET};
use super::packets::{Guard, Next, Refused, ToClient};
use super::standing::ConnectionStanding;
use super::to_broker::ToBroker;
use crate::policy::Refusal;

/// Time for what is in flight when one side has ended: the client's DISCONNECT must reach the broker, or its last
/// will is published.
const FAREWELL: Duration = Duration::from_secs(2);
/// The pace of a message for which room is set aside that others wait for.
const WANTED_BYTES_PER_SECOND: usize = 1024 * 1024;
/// How often it is looked whether others wait.
const LOOK: Duration = Duration::from_secs(1);

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

/// Passes on what the client may send, first what came with its CONNECT. Boxes: what is handed from one of these functions to the
/// next would take its room in each of them, for as long as the connection stands.
///
/// # Errors
/// The client broke off, or did what it may not.
pub(super) async fn pass<S>(
    outside: S,
    inside: TcpStream,
    rest: &[u8],
    guard: Box<Guard>,
    (pacing, standing): (Pacing<'_>, Box<ConnectionStanding>),
) -> Result<(), PassEnd>
where
    S: AsyncRead + AsyncWrite,
{
    let (from_client, to_client) = tokio::io::split(outside);
    let (from_broker, to_broker) = inside.into_split();
    let (answering, answers) = mpsc::channel(MOST_WAITING);
    let (five, delivering) = (guard.five().cloned(), guard.delivers_to().cloned());
    let upward =
        upward(from_client, ToBroker::new(to_broker), rest, (guard, standing), pacing, answering.clone());
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

async fn upward(
    mut from_client: impl AsyncRead + Unpin,
    mut to_broker: ToBroker<impl AsyncWrite + Unpin>,
    rest: &[u8],
    (mut guard, mut standing): (Box<Guard>, Box<ConnectionStanding>),
    pacing: Pacing<'_>,
    answering: mpsc::Sender<ToClient>,
) -> Result<(), PassEnd> {
    let mut buffer = Buffer::of(rest);
    let mut incomplete: Option<Incomplete> = None;
    let mut new_bytes = rest.len();
    let (five, delivering) = (guard.five().cloned(), guard.delivers_to().cloned());
    // Room for the message that is being collected, and when it must be complete where others wait for room.
    let mut room = None;
    loop {
        let packets = guard.packets();
        loop {
            let is_between = guard.left() == 0;
            let next = guard.next(buffer.held()).map_err(PassEnd::Refused)?;
            let begun = guard.begun();
            if let Some(delivering) = delivering.as_ref().filter(|_| begun > BUFFER_BYTES) {
                let free =
                    async { (pacing.device.holds.room(begun).await, delivering.inputs.room(begun).await) };
                let under = (&mut *guard, &mut *standing);
                let free = to_broker.wait(free, delivering, (pacing.silence, is_between), under).await?;
                let seconds = begun / WANTED_BYTES_PER_SECOND;
                room = Some((free, Instant::now() + PACKET + Duration::from_secs(seconds as u64)));
            }
            match next {
                Next::Pass(bytes) => {
                    to_broker.write_all(&buffer.held()[..bytes]).await?;
                    buffer.pass(bytes);
                }
                Next::Replace { taken, instead, answer } => {
                    // Ahead of what the broker answers.
                    if answer != ToClient::None && answering.send(answer).await.is_err() {
                        return Ok(());
                    }
                    to_broker.write_all(&instead).await?;
                    buffer.pass(taken);
                }
                Next::LeaveWith(last) => {
                    to_broker.write_all(&last).await?;
                    return to_broker.shutdown().await;
                }
                Next::Leave(bytes) => {
                    to_broker.write_all(&buffer.held()[..bytes]).await?;
                    return to_broker.shutdown().await;
                }
                Next::More => break,
            }
            if let Some(delivering) = &delivering {
                let at = (pacing.silence, true);
                if let Some(message) = guard.completed() {
                    let handed_on = delivering.inputs.hand_on(message, &delivering.acks);
                    to_broker.wait(handed_on, delivering, at, (&mut *guard, &mut *standing)).await?;
                    drop(room.take());
                }
                while guard.left() == 0 && delivering.acks.is_long() {
                    let under = (&mut *guard, &mut *standing);
                    to_broker.wait(delivering.acks.freed(), delivering, at, under).await?;
                }
            }
        }
        if let Some(wait) =
            pacing.devices.spend(pacing.device, guard.packets() - packets, new_bytes, Instant::now())
        {
            tokio::time::sleep(wait).await;
            // The front's doing, not the client's.
            incomplete = incomplete.map(|packet| packet.later_by(wait));
        }
        if let Some(delivering) = delivering.as_ref().filter(|_| guard.is_between()) {
            to_broker.keep(delivering, pacing.silence).await?;
        }
        let is_complete = buffer.held().is_empty() && guard.left() == 0;
        incomplete = (!is_complete).then(|| Incomplete::after(incomplete, guard.packets(), new_bytes));
        let silent = Instant::now() + pacing.silence;
        let (until, why) = match incomplete.map(|packet| packet.until()) {
            Some(until) if until < silent => (until, Refusal::SlowPacket),
            _ => (silent, Refusal::Silent),
        };
        // Looked at anew each time: clocks are set.
        let left = standing.shown.left();
        if left.is_some_and(|left| left.is_zero()) {
            return Err(Refusal::Expired.into());
        }
        let (until, why) = match left.map(|left| Instant::now() + left) {
            Some(ended) if ended < until => (ended, Refusal::Expired),
            _ => (until, why),
        };
        let wanted = room.as_ref().map(|(_, wanted)| *wanted);
        new_bytes = loop {
            let is_wanted = delivering.as_ref().is_some_and(|to| to.inputs.is_room_wanted());
            if is_wanted && wanted.is_some_and(|wanted| wanted <= Instant::now()) {
                return Err(Refusal::SlowPacket.into());
            }
            let can_shrink = buffer.can_shrink();
            tokio::select! {
                read = tokio::time::timeout_at(until, from_client.read(buffer.space())) => {
                    break read.map_err(|_| why)??;
                }
                due = due(five.as_ref()) => to_broker.write_all(&due).await?,
                () = standing.changed() => to_broker.take_up(&mut guard, &mut standing).await?,
                () = tokio::time::sleep(LOOK), if wanted.is_some() => {}
                () = tokio::time::sleep(IDLE), if can_shrink => buffer.shrink(),
            }
        };
        if new_bytes == 0 {
            return to_broker.shutdown().await;
        }
        buffer.filled(new_bytes);
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

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use tokio::io::AsyncWriteExt;
    use tokio::sync::watch;
    use verge_domain::reading::{Inbound, Session, SourceIndex};
    use verge_domain::stage::IntakeFull;
    use verge_domain::time::{Moment, UtcMillis};
    use verge_tls::ShownCertificates;

    use super::super::packets::Delivering;
    use super::super::standing::Rules;
    use super::*;
    use crate::inputs::SourceInputs;
    use crate::passwords::BrokerPasswords;
    use crate::policy::{ClientLimits, Policy};

    /// A client with all that its packets are judged by.
    struct Made {
        guard: Guard,
        standing: ConnectionStanding,
        delivering: Delivering,
        device: Arc<Device>,
        devices: Arc<Devices>,
        change: watch::Sender<Rules>,
    }

    fn rules(policy: &Arc<Policy>, passwords: Option<Arc<BrokerPasswords>>) -> Rules {
        Rules { policy: Arc::clone(policy), revocations: Arc::default(), passwords }
    }

    async fn made() -> Made {
        let policy = Arc::new(Policy::open());
        let devices = Arc::new(Devices::new(ClientLimits::DEFAULT));
        let device = devices.device("a").unwrap();
        let inputs = SourceInputs::new(true, || Moment::from_wall(UtcMillis(1)));
        let takes = |_: Inbound| -> Result<(), IntakeFull> { Ok(()) };
        inputs.add(Some(Session::Readings), vec![(SourceIndex(0), "#".to_owned())], takes);
        inputs.open();
        let delivering = Delivering::new(inputs.opened().await);
        let client = policy.client("a", "a", false);
        let (of, all) = (Arc::clone(&device), Arc::clone(&devices));
        let guard =
            Guard::new(Arc::clone(&policy), client, of, all, None).delivering(Some(delivering.clone()));
        let passwords = Arc::new(BrokerPasswords::parse("").unwrap());
        let (change, rules_now) = watch::channel(rules(&policy, Some(Arc::clone(&passwords))));
        let standing = ConnectionStanding {
            rules: rules_now,
            shown: ShownCertificates::default(),
            client_id: "a".to_owned(),
            is_proved: false,
            login: Some(("a".to_owned(), passwords)),
            will: None,
        };
        Made { guard, standing, delivering, device, devices, change }
    }

    #[tokio::test]
    async fn a_client_that_waits_for_the_gateway_is_closed_when_its_login_is_withdrawn() {
        let Made { mut guard, mut standing, delivering, change, .. } = made().await;
        let mut to_broker = ToBroker::new(Vec::new());
        change.send(rules(&Arc::new(Policy::open()), None)).unwrap();
        let never = std::future::pending::<()>();
        let under = (&mut guard, &mut standing);
        let ended = to_broker.wait(never, &delivering, (Duration::from_secs(60), true), under).await;
        assert!(
            matches!(&ended, Err(PassEnd::Refused(refused)) if refused.why == Refusal::Password),
            "{ended:?}"
        );
        assert_eq!(
            (to_broker.as_inner().as_slice(), guard.leaves().get()),
            (&[0xe0, 0][..], true),
            "without its will"
        );
    }

    /// Of a message of 16 MiB this many bytes come every five seconds: when it is given up, at most a minute long.
    async fn given_up_after(bytes: usize, others_wait: bool) -> Option<u64> {
        const MIB: usize = 1024 * 1024;
        let Made { guard, standing, delivering, device, devices, change: _change } = made().await;
        let begun = b"\x32\x85\x80\x80\x08\0\x01a\0\x07";
        let (from_client, mut client) = tokio::io::duplex(MIB);
        let (answering, _answers) = mpsc::channel(1);
        let pacing = Pacing { device: &device, devices: &devices, silence: Duration::from_secs(5000) };
        let began = Instant::now();
        let under = (Box::new(guard), Box::new(standing));
        let passing = upward(from_client, ToBroker::new(Vec::new()), begun, under, pacing, answering);
        let dripping = async {
            loop {
                tokio::time::sleep(Duration::from_secs(5)).await;
                drop(client.write_all(&vec![b'x'; bytes]).await);
            }
        };
        let waiting = async {
            if others_wait {
                tokio::time::sleep(LOOK).await;
                // All that there is: it waits until the slow one has ended.
                drop(delivering.inputs.room(64 * MIB).await);
            }
            std::future::pending::<()>().await;
        };
        tokio::select! {
            ended = passing => match ended {
                Err(PassEnd::Refused(refused)) => assert_eq!(refused.why, Refusal::SlowPacket),
                other => panic!("{other:?}"),
            },
            () = dripping => {}
            () = waiting => {}
            () = tokio::time::sleep(Duration::from_secs(60)) => return None,
        }
        Some(began.elapsed().as_secs())
    }

    #[tokio::test(start_paused = true)]
    async fn a_packet_has_the_time_that_its_bytes_have_earned_whatever_length_it_claims() {
        assert_eq!(given_up_after(0, false).await, Some(10));
        assert_eq!(given_up_after(1, false).await, Some(10));
        // Half of the slowest pace: at 10 s it lags by 10 s less what it has earned.
        assert!((15..=25).contains(&given_up_after(20 * 1024, false).await.unwrap()));
        assert_eq!(given_up_after(50 * 1024, false).await, None);
    }

    #[tokio::test(start_paused = true)]
    async fn a_slow_message_gives_way_once_others_wait_for_room() {
        assert!((26..=28).contains(&given_up_after(50 * 1024, true).await.unwrap()));
    }
}
