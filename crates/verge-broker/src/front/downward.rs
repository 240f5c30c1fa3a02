//! What the broker sends to a client, with what the front itself has to say in between.

use std::io;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::sync::mpsc;

use super::answers::{Answers, Down};
use super::buffer::{Buffer, IDLE};
use super::five::Five;
use super::packets::{Delivering, ToClient};
use super::pass::PassEnd;
use crate::policy::Refusal;

/// Time for a client to take some of what is sent to it.
const STALLED: Duration = Duration::from_secs(60);

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

/// Passes on what the broker sends.
pub(super) async fn downward(
    mut from_broker: impl AsyncRead + Unpin,
    mut to_client: impl AsyncWrite + Unpin,
    mut answering: mpsc::Receiver<ToClient>,
    five: Option<Five>,
    delivering: Option<Delivering>,
) -> Result<(), PassEnd> {
    let mut buffer = Buffer::of(&[]);
    let mut answers = Answers::of(five.clone()).delivering(delivering.clone());
    let mut is_open = true;
    // The client acknowledges first: the broker is left unread meanwhile.
    let mut waits = false;
    loop {
        let can_shrink = buffer.can_shrink();
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
            () = tokio::time::sleep(IDLE), if can_shrink => buffer.shrink(),
            read = from_broker.read(buffer.space()), if !waits => match read {
                Err(error) => return Err(PassEnd::Broker(error)),
                Ok(0) => {
                    to_client.shutdown().await?;
                    return Err(PassEnd::Broker(io::ErrorKind::UnexpectedEof.into()));
                }
                Ok(read) => {
                    buffer.filled(read);
                    while let Ok(answer) = answering.try_recv() {
                        answers.add(answer);
                    }
                }
            },
        }
        waits = loop {
            match answers.next(buffer.held())? {
                Down::Pass(bytes) => {
                    send(&mut to_client, &buffer.held()[..bytes]).await?;
                    buffer.pass(bytes);
                }
                Down::Send(packet, taken) => {
                    send(&mut to_client, &packet).await?;
                    buffer.pass(taken);
                }
                Down::More => break false,
                Down::Wait => break true,
            }
        };
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
