//! A trial of a supervisor, for `verge check`.

use std::sync::Arc;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, split};
use tokio::time::timeout;
use verge_domain::board::LastWord;
use verge_domain::id::Seq;
use verge_domain::time::Moment;

use super::driver::{Line, RsmpSettings};
use super::packet::PacketReader;
use super::site::{AlarmOrder, IsShelved, Site, SiteView};

/// What a trial of a supervisor gave.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RsmpTrial {
    /// It is reached; versions were not exchanged.
    Reached,
    /// It agrees with the version.
    Agrees,
    /// It does not agree, or the site does not: why, in words.
    Disagrees(String),
    /// It is not reached: why, in words.
    Unreachable(String),
}

impl RsmpTrial {
    /// Connects and exchanges versions, and nothing else. While a gateway runs as this site the line alone is tried: a
    /// supervisor may end the connection of one of the two.
    pub async fn of(settings: &RsmpSettings, running: bool, now: Moment) -> Self {
        match Line::open(settings).await {
            Ok(_) if running => Self::Reached,
            Ok(Line::Plain(stream)) => Self::exchange(settings, stream, now).await,
            Ok(Line::Tls(stream)) => Self::exchange(settings, stream, now).await,
            Err(reason) => Self::Unreachable(reason),
        }
    }

    async fn exchange(settings: &RsmpSettings, stream: impl AsyncRead + AsyncWrite, now: Moment) -> Self {
        let wait = settings.site.ack_timeout;
        match timeout(wait, Self::versions(settings, stream, now)).await {
            Ok(outcome) => outcome,
            Err(_) => Self::Disagrees(format!("it has sent no version within {} s", wait.as_secs_f32())),
        }
    }

    async fn versions(settings: &RsmpSettings, stream: impl AsyncRead + AsyncWrite, now: Moment) -> Self {
        let view = NothingToShow(now);
        let mut site = Site::new(settings.site.clone(), fastrand::u64(..), now);
        let (mut from, mut to) = split(stream);
        let (mut reader, mut packets) = (PacketReader::default(), Vec::new());
        let mut read = vec![0; 4096];
        site.connected(&view);
        loop {
            // Watchdogs come next: they are not sent.
            let agrees = site.has_exchanged_versions();
            let mut unwritten = Vec::new();
            while let Some(packet) = site.next_packet(&view).filter(|_| !agrees || unwritten.is_empty()) {
                unwritten.extend_from_slice(&packet);
                unwritten.push(0x0c);
            }
            let written = async {
                to.write_all(&unwritten).await?;
                to.flush().await
            };
            if let Err(error) = written.await {
                return Self::Disagrees(verge_tls::explain(&error));
            }
            if agrees {
                drop(to.shutdown().await);
                return Self::Agrees;
            }
            if let Some(reason) = site.hang_up() {
                drop(to.shutdown().await);
                return Self::Disagrees(reason.to_owned());
            }
            match from.read(&mut read).await {
                Ok(0) => return Self::Disagrees("it closes the connection at the version".to_owned()),
                Ok(count) => reader.read(&read[..count], &mut packets),
                Err(error) => return Self::Disagrees(verge_tls::explain(&error)),
            }
            packets.drain(..).for_each(|packet| site.received(packet, &view));
        }
    }
}

/// What a site sees of a gateway that is not there.
struct NothingToShow(Moment);

impl SiteView for NothingToShow {
    fn now(&self) -> Moment {
        self.0
    }

    fn heads(&self) -> [Seq; 3] {
        [Seq::ZERO; 3]
    }

    fn delivered(&self) -> [Option<Seq>; 3] {
        [None; 3]
    }

    fn words(&self, _: &dyn Fn(&LastWord) -> bool) -> Vec<Arc<LastWord>> {
        Vec::new()
    }

    fn shelved(&self) -> IsShelved {
        Box::new(|_, _| false)
    }

    fn carry_out(&self, _: Vec<AlarmOrder>, done: Box<dyn FnOnce(Result<(), String>) + Send>) {
        done(Ok(()));
    }
}
