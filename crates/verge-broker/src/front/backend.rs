//! From a client's CONNECT to the end of its connection: admitted, or refused.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::BytesMut;
use rumqttc::{Connect, ConnectReturnCode};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::Instant;
use verge_tls::{Credentials, ShownCertificates};

use super::FrontShared;
use super::connect::{self, ConnectRefusal, connack};
use super::five::{self, Five, Greeting, Keeping};
use super::holds::Place;
use super::identity::{Introduced, identify};
use super::packets::{Delivering, Guard, Refused};
use super::pass::{Pacing, PassEnd, pass};
use super::slots::{Admission, EntryStage};
use super::standing::{ConnectionStanding, Rules, UsedLogin};
use crate::passwords::BrokerPasswords;
use crate::policy::Refusal;

/// Time for the broker to accept a connection and to answer CONNECT. One that hangs is started again before long.
const BROKER_ANSWER: Duration = Duration::from_secs(10);
/// Time for a client that is not let in to take the answer and to leave.
const LEAVE: Duration = Duration::from_secs(1);
/// First byte and length of CONNACK (MQTT 3.1.1, section 3.2.1).
const CONNACK: [u8; 2] = [0x20, 2];
/// A wrong password is answered after this time.
const WRONG_PASSWORD: Duration = Duration::from_secs(1);
/// How much longer the broker is to wait for a client than the guard does.
const KEEP_ALIVE_FOR_BROKER: u16 = 3;
const DISCONNECT: [u8; 2] = [0xe0, 0];

/// The broker behind the front.
#[derive(Debug)]
pub(super) struct Backend {
    pub(super) broker: SocketAddr,
    pub(super) login: Option<Credentials>,
}

/// The session of a client of MQTT 5.
#[derive(Debug)]
struct Session {
    /// `None` where too many are kept already: it ends with its connection.
    keeping: Option<Keeping>,
    /// Whatever the broker has of an earlier one is not to be gone on with.
    is_new: bool,
}

impl Session {
    fn begin(greeting: &Greeting, connect: &Connect, shared: &FrontShared) -> Self {
        let keeping = shared.sessions.begin(&connect.client_id, Instant::now());
        let is_new = greeting.clean_start || keeping.as_ref().is_none_or(|keeping| keeping.has_expired);
        Self { keeping, is_new }
    }

    /// Whether the broker is to forget it.
    fn end(self, expiry: u32, now: Instant) -> bool {
        self.keeping.is_none_or(|keeping| keeping.end(expiry, now))
    }
}

impl Backend {
    /// Admits a client, or refuses it.
    pub(super) async fn receive<S>(
        &self,
        mut outside: S,
        (peer, identities, shown): (SocketAddr, Option<&[String]>, ShownCertificates),
        admission: Admission,
        shared: &FrontShared,
        deadline: Instant,
    ) where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let Admission { mut waiting, connection: _connection } = admission;
        let mut is_five = false;
        // What this takes is not kept for as long as the connection.
        let reading = async {
            let read = connect::read(&mut outside, &mut is_five);
            let read = tokio::select! {
                read = tokio::time::timeout_at(deadline, read) => read.unwrap_or(Err(ConnectRefusal::Late)),
                () = waiting.gives_way() => Err(ConnectRefusal::GaveWay),
            };
            let mut rules = shared.rules();
            let Rules { policy, revocations, passwords } = rules.borrow_and_update().clone();
            waiting.reached(EntryStage::Login);
            // Whoever is not let in yet counts among those that wait, and has no more time.
            let logged_in = tokio::time::timeout_at(deadline, log_in(read, identities, passwords)).await;
            let logged_in = logged_in.unwrap_or_else(|_| (Err(ConnectRefusal::Late), None));
            (logged_in, rules, (policy, revocations))
        };
        let ((read, login), rules, (policy, revocations)) = Box::pin(reading).await;
        let (mut nameless, mut known) = (None, None);
        drop(waiting);
        let named = login.as_ref().map(|(name, _)| vec![name.clone()]);
        let identities = named.as_deref().or(identities);
        let admitted = read.and_then(|((connect, greeting), rest)| {
            let connect = connect::admit(connect, self.login.as_ref())?;
            let new_name = || nameless.insert(shared.devices.nameless()).client_id();
            let mut introduced = identify(connect, identities, &policy, new_name)?;
            let too_many = |_| ConnectRefusal::TooManyClientIds;
            let device = shared.devices.device(&introduced.account).map_err(too_many)?;
            // What is refused from here on is counted as this device's.
            let device = Arc::clone(known.insert(device));
            // It may have been revoked since the handshake.
            if revocations.revoke(&shown) {
                return Err(ConnectRefusal::Revoked);
            }
            let place = Place::of(&device).ok_or(ConnectRefusal::TooManyClientIds)?;
            introduced.check_will(&policy, |topic| shared.devices.note_topic(&device, topic))?;
            let connect = &mut introduced.connect;
            if nameless.is_none() && !shared.devices.takes(&device, &connect.client_id) {
                // Only a session that is to be kept needs its own.
                if !connect.clean_session {
                    return Err(ConnectRefusal::TooManyClientIds);
                }
                connect.client_id = nameless.insert(shared.devices.nameless()).client_id();
            }
            Ok((introduced, greeting, (device, place), rest))
        });
        let (Introduced { connect, client, is_proved, .. }, greeting, (device, place), rest) = match admitted
        {
            Ok(admitted) => admitted,
            Err(refusal) => {
                shared.refuse(peer, known.as_deref(), refusal.reason(), &refusal.to_string());
                return turn_away(outside, refusal.answer(is_five)).await;
            }
        };
        let _connected = shared.devices.connect();
        let session = greeting.as_ref().map(|greeting| Session::begin(greeting, &connect, shared));
        // Whatever the client does meanwhile, the broker's answer is taken: one that rumqttd cannot give makes it
        // stop its listener at the next client of that name.
        let beginning = async {
            if let Some(inputs) = &shared.inputs {
                inputs.retained_back().await;
            }
            self.begin(&connect, session.as_ref()).await
        };
        let answered = tokio::time::timeout(BROKER_ANSWER, beginning).await;
        let (answer, inside) = match answered.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into())) {
            Ok(introduced) => introduced,
            Err(error) => {
                let why = format!("the broker did not accept {:?}: {error}", connect.client_id);
                shared.refuse(peer, Some(&device), Refusal::NotAccepted, &why);
                let answer = match (is_five, self.unaccepted(&error)) {
                    (false, code) => connack(code),
                    (true, _) => five::refusal(five::for_connection(Refusal::NotAccepted)),
                };
                return turn_away(outside, Some(answer)).await;
            }
        };
        shared.accepted.fetch_add(1, Ordering::Relaxed);
        let ownership = shared.owners.take_over(&connect.client_id);
        let answer = match &greeting {
            Some(greeting) => five::acknowledgement(greeting, &connect, &policy, answer[2] != 0),
            None => {
                shared.sessions.forget(&connect.client_id);
                answer.to_vec()
            }
        };
        let silence = Duration::from_secs(connect.keep_alive.into()) * 3 / 2;
        let devices = Arc::clone(&shared.devices);
        let five = greeting.as_ref().map(Five::new);
        let delivering = match &shared.inputs {
            Some(inputs) => Some(Delivering::new(inputs.opened().await)),
            None => None,
        };
        let start = devices.filters().start();
        let guard = Guard::new(policy, client, Arc::clone(&device), devices, five.clone())
            .delivering(delivering.clone())
            .of_start(start);
        let leaves = guard.leaves();
        let pacing = Pacing { device: &device, devices: &shared.devices, silence };
        let will = connect.last_will.as_ref().map(|will| (will.topic.clone(), will.retain));
        let standing =
            ConnectionStanding { rules, shown, client_id: connect.client_id.clone(), is_proved, login, will };
        // The end of the broker, or a later connection of the client, says nothing of whether the client is there.
        let mut is_away = true;
        let (guard, standing) = (Box::new(guard), Box::new(standing));
        match pass_on(outside, inside, &answer, rest, guard, (pacing, standing)).await {
            Ok(()) => {}
            Err(PassEnd::Io(error)) => {
                tracing::debug!(%peer, client_id = connect.client_id, %error, "connection ended");
            }
            Err(PassEnd::Broker(error)) => {
                is_away = false;
                tracing::debug!(%peer, client_id = connect.client_id, %error, "the broker has ended a connection");
            }
            Err(PassEnd::Refused(Refused { why, topic })) => {
                let topic = if topic.is_empty() { topic } else { format!(" {topic:?}") };
                let words = format!("{:?}: {}{topic}", connect.client_id, why.words());
                shared.cut_off(peer, &device, why, &words);
            }
        }
        let is_away = is_away && !leaves.get() && ownership.stands();
        if let (Some(delivering), Some(will), true) = (&delivering, &connect.last_will, is_away) {
            delivering.hand_on_will(will).await;
        }
        drop(ownership);
        if let (Some(session), Some(five)) = (session, five)
            && session.end(five.expiry.load(Ordering::Relaxed), Instant::now())
            && !connect.clean_session
        {
            drop(tokio::time::timeout(BROKER_ANSWER, self.forget(&connect)).await);
        }
        drop((nameless, place));
    }

    /// Lets the broker forget an earlier session where that is to be, and gives it CONNECT.
    async fn begin(&self, connect: &Connect, session: Option<&Session>) -> io::Result<([u8; 4], TcpStream)> {
        if session.is_some_and(|session| session.is_new) && !connect.clean_session {
            self.forget(connect).await?;
        }
        self.introduce(connect).await
    }

    /// Lets the broker forget the session of a client that is not connected.
    async fn forget(&self, connect: &Connect) -> io::Result<()> {
        let mut clean = connect.clone();
        (clean.clean_session, clean.last_will) = (true, None);
        let (_, mut inside) = self.introduce(&clean).await?;
        inside.write_all(&DISCONNECT).await?;
        inside.shutdown().await?;
        // The broker has closed the connection when it has dropped the session.
        tokio::io::copy(&mut inside, &mut tokio::io::sink()).await.map(drop)
    }

    /// Gives CONNECT to the broker and takes its answer.
    async fn introduce(&self, connect: &Connect) -> io::Result<([u8; 4], TcpStream)> {
        let mut inside = TcpStream::connect(self.broker).await?;
        inside.set_nodelay(true)?;
        // The guard notices silence first: an end by the broker has other causes. And what comes is not always passed on.
        let keep_alive = connect.keep_alive.saturating_mul(KEEP_ALIVE_FOR_BROKER);
        let mut packet = BytesMut::new();
        let connect = Connect { keep_alive, ..connect.clone() };
        connect.write(&mut packet).map_err(io::Error::other)?;
        inside.write_all(&packet).await?;
        let mut answer = [0; 4];
        inside.read_exact(&mut answer).await?;
        if answer[..2] == CONNACK { Ok((answer, inside)) } else { Err(io::ErrorKind::InvalidData.into()) }
    }

    /// rumqttd closes the connection instead of saying that user or password are wrong.
    fn unaccepted(&self, error: &io::Error) -> ConnectReturnCode {
        if self.login.is_none() && error.kind() == io::ErrorKind::UnexpectedEof {
            ConnectReturnCode::NotAuthorized
        } else {
            ConnectReturnCode::ServiceUnavailable
        }
    }
}

async fn pass_on<S>(
    mut outside: S,
    inside: TcpStream,
    answer: &[u8],
    rest: BytesMut,
    guard: Box<Guard>,
    pacing: (Pacing<'_>, Box<ConnectionStanding>),
) -> Result<(), PassEnd>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    outside.write_all(answer).await?;
    outside.flush().await?;
    pass(outside, inside, &rest, guard, pacing).await
}

/// What a client has asked for, and what came behind it.
type ReadConnect<T> = Result<((Connect, T), BytesMut), ConnectRefusal>;

/// A client without a certificate, where there are passwords: it is who its password proves it to be.
async fn log_in<T>(
    read: ReadConnect<T>,
    identities: Option<&[String]>,
    passwords: Option<Arc<BrokerPasswords>>,
) -> (ReadConnect<T>, Option<UsedLogin>) {
    let has_shown = identities.is_some_and(|names| !names.is_empty());
    let (Ok(((connect, _), _)), Some(passwords), false) = (&read, passwords, has_shown) else {
        return (read, None);
    };
    match passwords.name_of(connect.login.as_ref()).await {
        Some(name) => (read, Some((name, passwords))),
        None => {
            // Whoever guesses has time.
            tokio::time::sleep(WRONG_PASSWORD).await;
            (Err(ConnectRefusal::Password), None)
        }
    }
}

/// Closes a connection so that the answer arrives: what the client still sends is read, since unread bytes would reset
/// the connection.
async fn turn_away<S>(mut outside: S, answer: Option<Vec<u8>>)
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let leave = async {
        if let Some(answer) = answer {
            outside.write_all(&answer).await?;
        }
        outside.shutdown().await?;
        tokio::io::copy(&mut outside, &mut tokio::io::sink()).await
    };
    // A client that does not close is cut off.
    drop(tokio::time::timeout(LEAVE, leave).await);
}
