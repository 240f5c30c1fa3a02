//! What goes from a client to the broker.

use std::time::Duration;

use tokio::io::{AsyncWrite, AsyncWriteExt};
use tokio::time::Instant;

use super::packets::{Delivering, Guard};
use super::pass::PassEnd;
use super::standing::ConnectionStanding;

const PINGREQ: [u8; 2] = [0xc0, 0];
/// In the time for which a client may be silent, one and a half times its keep-alive.
const PINGS: u32 = 3;

/// What goes to the broker.
#[derive(Debug)]
pub(super) struct ToBroker<W> {
    to: W,
    /// When it was given something last.
    wrote: Instant,
}

impl<W: AsyncWrite + Unpin> ToBroker<W> {
    pub(super) fn new(to: W) -> Self {
        Self { to, wrote: Instant::now() }
    }

    pub(super) async fn write_all(&mut self, bytes: &[u8]) -> Result<(), PassEnd> {
        if bytes.is_empty() {
            return Ok(());
        }
        self.wrote = Instant::now();
        self.to.write_all(bytes).await.map_err(PassEnd::Broker)
    }

    pub(super) async fn shutdown(&mut self) -> Result<(), PassEnd> {
        self.to.shutdown().await.map_err(PassEnd::Broker)
    }

    #[cfg(test)]
    pub(super) const fn as_inner(&self) -> &W {
        &self.to
    }

    /// Shows the broker in time that the client lives: messages that no filter matches are not given to it.
    pub(super) async fn keep(&mut self, delivering: &Delivering, silence: Duration) -> Result<(), PassEnd> {
        if self.wrote.elapsed() < silence / PINGS { Ok(()) } else { self.ping(delivering).await }
    }

    async fn ping(&mut self, delivering: &Delivering) -> Result<(), PassEnd> {
        delivering.note_ping();
        self.write_all(&PINGREQ).await
    }

    /// Waits before the client is read on, and closes it where other rules that come meanwhile do not allow it any more. Where the
    /// broker `is_between` two packets, it is shown that the client lives, of which nothing is read.
    pub(super) async fn wait<T>(
        &mut self,
        until: impl Future<Output = T>,
        delivering: &Delivering,
        (silence, is_between): (Duration, bool),
        (guard, standing): (&mut Guard, &mut ConnectionStanding),
    ) -> Result<T, PassEnd> {
        tokio::pin!(until);
        let ping_every = silence / PINGS;
        loop {
            tokio::select! {
                biased;
                done = &mut until => return Ok(done),
                () = standing.changed() => self.take_up(guard, standing).await?,
                () = tokio::time::sleep(ping_every), if is_between => self.ping(delivering).await?,
            }
        }
    }

    /// Takes up other rules.
    pub(super) async fn take_up(
        &mut self,
        guard: &mut Guard,
        standing: &mut ConnectionStanding,
    ) -> Result<(), PassEnd> {
        let Err(refused) = standing.take_up(guard) else { return Ok(()) };
        // Without its last will, which nobody has allowed any more.
        guard.leaves().set();
        self.write_all(&[0xe0, 0]).await?;
        Err(PassEnd::Refused(refused))
    }
}
