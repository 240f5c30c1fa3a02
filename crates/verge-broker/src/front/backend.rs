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
use verge_tls::Credentials;

use super::FrontShared;
use super::connect::{self, ConnectRefusal, connack};
use super::holds::Place;
use super::identity::{Introduced, identify};
use super::packets::{Guard, Refused};
use super::pass::{Pacing, PassEnd, pass};
use super::slots::Admission;
use crate::policy::Refusal;

/// Time for the broker to accept a connection and to answer CONNECT. One that hangs is started again before long.
const BROKER_ANSWER: Duration = Duration::from_secs(10);
/// Time for a client that is not let in to take the answer and to leave.
const LEAVE: Duration = Duration::from_secs(1);
/// First byte and length of CONNACK (MQTT 3.1.1, section 3.2.1).
const CONNACK: [u8; 2] = [0x20, 2];

/// The broker behind the front.
#[derive(Debug)]
pub(super) struct Backend {
    pub(super) broker: SocketAddr,
    pub(super) login: Option<Credentials>,
}

impl Backend {
    /// Admits a client, or refuses it.
    pub(super) async fn receive<S>(
        &self,
        mut outside: S,
        (peer, identities): (SocketAddr, Option<&[String]>),
        admission: Admission,
        shared: &FrontShared,
        deadline: Instant,
    ) where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let Admission { waiting, connection: _connection } = admission;
        let read = tokio::time::timeout_at(deadline, connect::read(&mut outside)).await;
        drop(waiting);
        let (policy, mut nameless, mut known) = (shared.policy(), None, None);
        let admitted = read.unwrap_or(Err(ConnectRefusal::Late)).and_then(|(connect, rest)| {
            let connect = connect::admit(connect, self.login.as_ref())?;
            let new_name = || nameless.insert(shared.devices.nameless()).client_id();
            let mut introduced = identify(connect, identities, &policy, new_name)?;
            let too_many = |_| ConnectRefusal::TooManyClientIds;
            let device = shared.devices.device(&introduced.account).map_err(too_many)?;
            // What is refused from here on is counted as this device's.
            let device = Arc::clone(known.insert(device));
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
            Ok((introduced, (device, place), rest))
        });
        let (Introduced { connect, client, .. }, (device, place), rest) = match admitted {
            Ok(admitted) => admitted,
            Err(refusal) => {
                shared.refuse(peer, known.as_deref(), refusal.reason(), &refusal.to_string());
                return turn_away(outside, refusal.answer()).await;
            }
        };
        // Whatever the client does meanwhile, the broker's answer is taken: one that rumqttd cannot give makes it
        // stop its listener at the next client of that name.
        let answered = tokio::time::timeout(BROKER_ANSWER, self.introduce(&connect)).await;
        let (answer, inside) = match answered.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into())) {
            Ok(introduced) => introduced,
            Err(error) => {
                let why = format!("the broker did not accept {:?}: {error}", connect.client_id);
                shared.refuse(peer, Some(&device), Refusal::NotAccepted, &why);
                return turn_away(outside, Some(connack(self.unaccepted(&error)))).await;
            }
        };
        shared.accepted.fetch_add(1, Ordering::Relaxed);
        let silence = Duration::from_secs(connect.keep_alive.into()) * 3 / 2;
        let devices = Arc::clone(&shared.devices);
        let guard = Guard::new(policy, client, Arc::clone(&device), devices);
        let pacing = Pacing { device: &device, devices: &shared.devices, silence };
        match pass_on(outside, inside, &answer, rest, guard, pacing).await {
            Ok(()) => {}
            Err(PassEnd::Io(error)) => {
                tracing::debug!(%peer, client_id = connect.client_id, %error, "connection ended");
            }
            Err(PassEnd::Refused(Refused { why, topic })) => {
                let topic = if topic.is_empty() { topic } else { format!(" {topic:?}") };
                let words = format!("{:?}: {}{topic}", connect.client_id, why.words());
                shared.cut_off(peer, &device, why, &words);
            }
        }
        drop((nameless, place));
    }

    /// Gives CONNECT to the broker and takes its answer.
    async fn introduce(&self, connect: &Connect) -> io::Result<([u8; 4], TcpStream)> {
        let mut inside = TcpStream::connect(self.broker).await?;
        inside.set_nodelay(true)?;
        let mut packet = BytesMut::new();
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
    guard: Guard,
    pacing: Pacing<'_>,
) -> Result<(), PassEnd>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    outside.write_all(answer).await?;
    outside.flush().await?;
    pass(outside, inside, &rest, guard, pacing).await
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
