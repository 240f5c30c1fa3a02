//! Passes the bytes of an admitted client on, both ways, until one side ends.
//!
//! The rest of the guard belongs here: packets of the client, of which only their bytes are counted now, are to be
//! taken apart, so that shared subscriptions are refused and each client keeps to its topics and its share.

use std::io;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;

/// Bytes in flight in one direction.
const BUFFER_BYTES: usize = 8 * 1024;
/// Time for what is in flight when one side has ended: the client's DISCONNECT must reach the broker, or its last
/// will is published.
const FAREWELL: Duration = Duration::from_secs(2);

/// Passes bytes on. A client from which nothing comes for `silence` is closed without farewell: rumqttd does not
/// notice that one is silent while it has something to send to it.
///
/// # Errors
/// The client broke off or fell silent.
pub(super) async fn pass<S>(outside: S, inside: TcpStream, silence: Duration) -> io::Result<()>
where
    S: AsyncRead + AsyncWrite,
{
    let (mut from_client, mut to_client) = tokio::io::split(outside);
    let (mut from_broker, mut to_broker) = inside.into_split();
    let upward = async {
        let mut buffer = vec![0; BUFFER_BYTES];
        loop {
            let read = tokio::time::timeout(silence, from_client.read(&mut buffer)).await;
            let read = read.map_err(|_| io::Error::new(io::ErrorKind::TimedOut, "silent for too long"))??;
            if read == 0 {
                return to_broker.shutdown().await;
            }
            to_broker.write_all(&buffer[..read]).await?;
        }
    };
    let downward = async {
        tokio::io::copy(&mut from_broker, &mut to_client).await?;
        to_client.shutdown().await
    };
    tokio::pin!(upward, downward);
    tokio::select! {
        ended = &mut upward => {
            ended?;
            // What is still unread when the connection is closed would reset it.
            drop(tokio::time::timeout(FAREWELL, downward).await);
            Ok(())
        }
        ended = &mut downward => {
            if ended.is_err() {
                // A client that has closed takes nothing more, but may have said goodbye before.
                drop(tokio::time::timeout(FAREWELL, upward).await);
            }
            ended
        }
    }
}
