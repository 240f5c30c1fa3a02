//! One connection after another: reads while the pipeline takes, writes acknowledgements in batches, pings whether it
//! reads or not.
//!
//! While the pipeline takes no more, the connection is left unread: what the broker has sent waits in the network and
//! is neither lost nor sent again, and since pings go out the broker keeps the connection.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use rumqttc::{ConnectionError, Packet, PubAck, PubComp, PubRec, StateError};
use tokio::sync::watch;
use verge_domain::time::Moment;

use super::Intake;
use super::dial::dial;
use super::receipts::Acknowledgement;
use super::role::SourceRole;
use super::wire::{Incoming, Wire};
use crate::connection::ConnectionSettings;
use crate::driver::{AttemptEnd, Attempts, stopped};
use crate::takeover::Takeovers;
use crate::words::{attempt_words, words};

/// How often the task checks what is due: pings, refused filters, what the broker owes.
const LOOK: Duration = Duration::from_secs(1);
/// The same while the pipeline takes no more.
const HELD_LOOK: Duration = Duration::from_millis(5);
/// A broker is asked at most this often whether it has received acknowledgements.
const CONFIRM_EVERY: Duration = Duration::from_secs(1);

/// The connections of a source.
pub(super) struct Connections<C, I> {
    pub(super) settings: ConnectionSettings,
    pub(super) role: SourceRole<C, I>,
    pub(super) takeovers: Takeovers,
}

impl<C, I> Attempts for Connections<C, I>
where
    C: Fn() -> Moment + Send + 'static,
    I: Intake + 'static,
{
    async fn attempt(&mut self, stop: &mut watch::Receiver<bool>) -> AttemptEnd {
        let Self { settings, role, takeovers } = self;
        let mut options = match settings.options() {
            Ok(options) => options,
            Err(reason) => return AttemptEnd::Lost(reason, None),
        };
        options.set_clean_session(role.wants_clean_session());
        let patience = settings.whole_connect_timeout();
        let dialled = tokio::select! {
            biased;
            () = stopped(stop) => return AttemptEnd::Stopped,
            dialled = tokio::time::timeout(patience, dial(&options, settings.max_packet_bytes)) => dialled,
        };
        let (wire, session_present) = match dialled {
            Ok(Ok(dialled)) => dialled,
            Ok(Err(error)) => {
                return AttemptEnd::Lost(
                    takeovers.explained(attempt_words(&error), None, &settings.client_id),
                    None,
                );
            }
            Err(_) => return AttemptEnd::Lost(words(&ConnectionError::NetworkTimeout), None),
        };
        let began = Instant::now();
        let pulse = Pulse::new(options.keep_alive());
        let mut standing = RunningConnection { wire, role, pulse, patience, due: Vec::new() };
        match standing.run(session_present, stop).await {
            Ok(()) => {
                standing.leave().await;
                AttemptEnd::Stopped
            }
            Err(reason) => {
                let stood = Some(began.elapsed());
                AttemptEnd::Lost(takeovers.explained(reason, stood, &settings.client_id), None)
            }
        }
    }

    fn lost(&mut self, reason: String) -> bool {
        self.role.lost(reason);
        true
    }

    fn ended(&mut self) {
        self.role.ended();
    }
}

/// Pings without an answer are distinguished up to this number.
const MAX_PINGS: usize = 8;

/// Pings that wait for their answer.
struct Ping {
    sent: Instant,
    /// Acknowledgements written before them, as [`super::receipts::Receipts::confirm`] counts.
    written: u64,
    count: u32,
}

/// What is known of the broker's life.
struct Pulse {
    every: Duration,
    next: Instant,
    waiting: VecDeque<Ping>,
    next_confirmation: Instant,
    last_received: Instant,
}

impl Pulse {
    fn new(every: Duration) -> Self {
        let now = Instant::now();
        Self {
            every,
            next: now + every,
            waiting: VecDeque::new(),
            next_confirmation: now,
            last_received: now,
        }
    }

    fn sent(&mut self, now: Instant, written: u64) {
        self.next = now + self.every;
        self.next_confirmation = now + CONFIRM_EVERY;
        let is_full = self.waiting.len() >= MAX_PINGS;
        match self.waiting.back_mut().filter(|_| is_full) {
            Some(last) => last.count += 1,
            None => self.waiting.push_back(Ping { sent: now, written, count: 1 }),
        }
    }

    /// A ping is answered: gives the number of acknowledgements that the broker has received.
    fn answered(&mut self) -> Option<u64> {
        let oldest = self.waiting.front_mut()?;
        let written = oldest.written;
        oldest.count -= 1;
        if oldest.count == 0 {
            self.waiting.pop_front();
        }
        Some(written)
    }

    /// Whether a ping has no answer for too long, and nothing else was received.
    fn is_dead(&self, now: Instant) -> bool {
        self.waiting.front().is_some_and(|ping| now - self.last_received.max(ping.sent) > self.every)
    }
}

/// A connection that stands.
struct RunningConnection<'a, C, I> {
    wire: Wire,
    role: &'a mut SourceRole<C, I>,
    pulse: Pulse,
    patience: Duration,
    due: Vec<Acknowledgement>,
}

impl<C: Fn() -> Moment + Send, I: Intake + 'static> RunningConnection<'_, C, I> {
    /// Until the stop, or until the connection breaks for the reason that is given.
    async fn run(&mut self, session_present: bool, stop: &mut watch::Receiver<bool>) -> Result<(), String> {
        for packet in self.role.connected(session_present) {
            self.put(&Packet::Subscribe(packet))?;
        }
        let receipts = self.role.receipts().clone();
        let look = LOOK.min(self.pulse.every / 4);
        let mut next_look = Instant::now() + look;
        let mut was_held = false;
        while !*stop.borrow() {
            let is_held = self.take_in()?;
            self.acknowledge()?;
            let now = Instant::now();
            if was_held && !is_held {
                // Its answer to a ping may have lain unread: that was not the broker's fault.
                self.pulse.last_received = now;
            }
            was_held = is_held;
            if now >= next_look {
                next_look = now + look;
                self.look(now, is_held)?;
            }
            let rest = if is_held || self.wire.has_more() { None } else { self.role.rest() };
            if let Some(rest) = rest {
                self.wire.write_now().await.map_err(broken)?;
                // An asynchronous sleep would be no rest: each segment that arrives would wake the thread to
                // report it.
                std::thread::park_timeout(rest);
            }
            let wake = if is_held { next_look.min(now + HELD_LOOK) } else { next_look };
            tokio::select! {
                biased;
                exchanged = self.wire.exchange(!is_held) => {
                    exchanged.map_err(broken)?;
                    self.pulse.last_received = Instant::now();
                }
                () = receipts.woken() => {}
                () = stopped(stop) => {}
                () = tokio::time::sleep_until(wake.into()) => {}
            }
        }
        Ok(())
    }

    /// Hands on what has been read, for as long as the pipeline takes. Says whether it takes no more.
    fn take_in(&mut self) -> Result<bool, String> {
        loop {
            if self.role.is_held() {
                return Ok(true);
            }
            match self.wire.next() {
                Ok(Some(incoming)) => self.incoming(incoming)?,
                Ok(None) => return Ok(false),
                Err(error) => return Err(words(&error.into())),
            }
        }
    }

    fn incoming(&mut self, incoming: Incoming) -> Result<(), String> {
        let packet = match incoming {
            Incoming::Message(message) => {
                self.role.take(message);
                return Ok(());
            }
            Incoming::Passed(passed) => {
                self.role.pass(&passed);
                return Ok(());
            }
            Incoming::Packet(packet) => packet,
        };
        match packet {
            Packet::SubAck(answer) => self.role.answered(&answer),
            Packet::PingResp => {
                if let Some(written) = self.pulse.answered() {
                    self.role.receipts().confirm(written);
                }
            }
            // The second half of QoS 2, of which nothing needs to be remembered.
            Packet::PubRel(released) => self.put(&Packet::PubComp(PubComp::new(released.pkid)))?,
            Packet::UnsubAck(_) => self.role.gave_up(),
            Packet::PubAck(PubAck { pkid })
            | Packet::PubRec(PubRec { pkid })
            | Packet::PubComp(PubComp { pkid }) => {
                return Err(words(&StateError::Unsolicited(pkid).into()));
            }
            _ => return Err(words(&StateError::WrongPacket.into())),
        }
        Ok(())
    }

    /// Writes acknowledgements that are due, all at once, and asks the broker from time to time whether it has them.
    fn acknowledge(&mut self) -> Result<(), String> {
        let mut due = std::mem::take(&mut self.due);
        self.role.receipts().due(&mut due);
        for Acknowledgement { packet_id, exactly_once } in due.iter().copied() {
            let packet = if exactly_once {
                Packet::PubRec(PubRec::new(packet_id))
            } else {
                Packet::PubAck(PubAck::new(packet_id))
            };
            self.put(&packet)?;
        }
        let has_written = !due.is_empty();
        due.clear();
        self.due = due;
        let now = Instant::now();
        if has_written && self.is_to_confirm(now) {
            self.ping(now)?;
        }
        Ok(())
    }

    /// Does what is due at this time.
    fn look(&mut self, now: Instant, is_held: bool) -> Result<(), String> {
        if self.wire.stuck_since().is_some_and(|since| now - since > self.patience) {
            return Err(words(&ConnectionError::FlushTimeout));
        }
        if !is_held && self.pulse.is_dead(now) {
            return Err(words(&StateError::AwaitPingResp.into()));
        }
        if now >= self.pulse.next || self.is_to_confirm(now) {
            self.ping(now)?;
        }
        for packet in self.role.look(now) {
            self.put(&Packet::Subscribe(packet))?;
        }
        for packet in self.role.give_up() {
            self.put(&Packet::Unsubscribe(packet))?;
        }
        Ok(())
    }

    /// Whether the broker is to be asked now for acknowledgements that it has perhaps not received.
    fn is_to_confirm(&self, now: Instant) -> bool {
        self.pulse.waiting.is_empty()
            && now >= self.pulse.next_confirmation
            && self.role.receipts().is_unconfirmed()
    }

    fn ping(&mut self, now: Instant) -> Result<(), String> {
        self.pulse.sent(now, self.role.receipts().written());
        self.put(&Packet::PingReq)
    }

    fn put(&mut self, packet: &Packet) -> Result<(), String> {
        self.wire.put(packet).map_err(|error| words(&error.into()))
    }

    /// Acknowledges what is settled and disconnects. Reads on until the broker closes: to close first, with unread
    /// bytes in the socket, would reset the connection and might take DISCONNECT with it.
    async fn leave(&mut self) {
        let left = async {
            self.acknowledge()?;
            self.put(&Packet::Disconnect)?;
            let receipts = self.role.receipts().clone();
            let written = receipts.written();
            self.wire.write_all().await.map_err(broken)?;
            self.wire.drain().await.map_err(broken)?;
            // It has closed because of DISCONNECT, which came behind them.
            receipts.confirm(written);
            Ok::<(), String>(())
        };
        if let Err(reason) = left.await {
            tracing::debug!(reason, "the connection ended before its farewell");
        }
    }
}

fn broken(error: std::io::Error) -> String {
    match error.kind() {
        std::io::ErrorKind::UnexpectedEof => words(&StateError::ConnectionAborted.into()),
        _ => words(&error.into()),
    }
}
