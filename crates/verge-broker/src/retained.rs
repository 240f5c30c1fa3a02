//! Retained messages of devices, kept beside the broker, which has them in memory alone: they are put back when it starts, and
//! are in a file for the next start of the gateway.
//!
//! What goes beyond the bounds is not kept: the broker has it until it ends, and it is counted. What the broker has is bounded,
//! too: beyond that a message goes to those who subscribe now, and nobody retains it.

mod held;

use std::collections::BTreeMap;
use std::io::{self, Read};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::{Notify, watch};

use crate::client::Client;
use crate::endpoint::Endpoint;
use crate::own_client_id;
use held::HeldRetained;
pub(crate) use held::RetainDecision;

/// Messages, and bytes of topics and payloads together.
const MOST_MESSAGES: usize = 4096;
const MOST_BYTES: usize = 4 * 1024 * 1024;
/// A larger message is not kept.
const MOST_MESSAGE_BYTES: usize = 64 * 1024;
/// The file is written this often at most: a device that retains every reading must not wear the medium out.
const WRITE_EVERY: Duration = Duration::from_secs(10);
/// For the broker to take all of them, and for one of them. Clients wait meanwhile, and are refused after 10 s
/// (`BROKER_ANSWER` of the front): less, so that a client is let in although the broker does not take them.
const GIVEN_WITHIN: Duration = Duration::from_secs(8);
const TAKEN_WITHIN: Duration = Duration::from_secs(5);
/// Of a packet, beside topic and payload: the topic's length and the packet's number.
const PUBLISH_BYTES: usize = 4;
/// First bytes of the file; the number counts changes of its form.
const BEGINNING: &[u8] = b"verge-retained 2\n";
/// A topic's and a payload's length, and the check behind all.
const LENGTH_BYTES: usize = 4;
const CHECK_BYTES: usize = 4;
const CLIENT: &str = "retained";

/// The retained messages of all devices. Clones are the same.
#[derive(Debug, Clone, Default)]
pub struct Retained(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    kept: Mutex<Kept>,
    changed: Notify,
    /// The broker has them.
    is_back: watch::Sender<bool>,
}

impl Default for Shared {
    fn default() -> Self {
        Self { kept: Mutex::default(), changed: Notify::new(), is_back: watch::Sender::new(true) }
    }
}

#[derive(Debug, Default)]
struct Kept {
    messages: BTreeMap<String, Bytes>,
    bytes: usize,
    not_kept: u64,
    /// What the broker has, these included.
    held: HeldRetained,
    /// Whether the file says something else.
    is_changed: bool,
}

/// How many there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct RetainedTotals {
    /// Messages that are kept.
    pub messages: u64,
    /// Messages since the start that were not, as they or all together were too large.
    pub not_kept: u64,
}

impl Retained {
    /// Those of the file; none where there is no file.
    ///
    /// # Errors
    /// It cannot be read, or holds something else ([`io::ErrorKind::InvalidData`]).
    pub fn load(path: &Path) -> io::Result<Self> {
        let most = BEGINNING.len() + MOST_BYTES + MOST_MESSAGES * 2 * LENGTH_BYTES + CHECK_BYTES;
        let mut content = Vec::new();
        match std::fs::File::open(path) {
            Ok(file) => file.take(most as u64 + 1).read_to_end(&mut content)?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Self::default()),
            Err(error) => return Err(error),
        };
        let messages = read(&content).ok_or(io::ErrorKind::InvalidData)?;
        let retained = Self::default();
        for (topic, payload) in messages {
            retained.lock().put(topic, payload);
        }
        retained.lock().is_changed = false;
        Ok(retained)
    }

    /// A device has published this with the retain flag; an empty message takes the topic's away.
    pub(crate) fn note(&self, topic: &str, payload: &[u8]) {
        let mut kept = self.lock();
        if kept.messages.get(topic).is_some_and(|known| known == payload) {
            return;
        }
        kept.put(topic, payload);
        let is_changed = kept.is_changed;
        drop(kept);
        if is_changed {
            self.0.changed.notify_one();
        }
    }

    /// Whether the broker may retain a message that a device begins to publish with the retain flag.
    pub(crate) fn admit(&self, device: &str, topic: &str, payload_bytes: usize) -> RetainDecision {
        let mut kept = self.lock();
        let retention = kept.held.admit(device, topic, payload_bytes);
        if retention != RetainDecision::Retain {
            kept.put(topic, b"");
            kept.not_kept += 1;
            if kept.is_changed {
                self.0.changed.notify_one();
            }
        }
        retention
    }

    /// How many there are.
    #[must_use]
    pub fn totals(&self) -> RetainedTotals {
        let kept = self.lock();
        RetainedTotals { messages: kept.messages.len() as u64, not_kept: kept.not_kept }
    }

    /// Writes the file whenever they have changed, some seconds later. Never ends.
    pub async fn keep_written(self, path: Arc<Path>) {
        let mut has_failed = false;
        loop {
            if !has_failed {
                self.0.changed.notified().await;
            }
            tokio::time::sleep(WRITE_EVERY).await;
            let (retained, to) = (self.clone(), Arc::clone(&path));
            let written = tokio::task::spawn_blocking(move || retained.write(&to)).await;
            match written.map_err(io::Error::other).flatten() {
                Ok(()) => has_failed = false,
                // Said once: it is tried again every 10 s.
                Err(error) if !std::mem::replace(&mut has_failed, true) => {
                    tracing::error!(%error, file = %path.display(), "the retained messages of devices cannot be written; \
                        tried again every 10 s");
                }
                Err(error) => tracing::debug!(%error, "the retained messages still cannot be written"),
            }
        }
    }

    /// Writes the file now, if they have changed: as a whole or not at all.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn write(&self, path: &Path) -> io::Result<()> {
        let mut kept = self.lock();
        if !std::mem::take(&mut kept.is_changed) {
            return Ok(());
        }
        let content = written(&kept.messages);
        drop(kept);
        let done = verge_tls::replace_file(path, &content, 0o600);
        if done.is_err() {
            self.lock().is_changed = true;
        }
        done
    }

    /// The broker has lost them: clients wait until they are back.
    pub(crate) fn lost(&self) {
        let mut kept = self.lock();
        let bytes = |(topic, payload): &(&String, &Bytes)| topic.len() + payload.len();
        let held = HeldRetained::of(kept.messages.iter().map(|message| (message.0, bytes(&message))));
        kept.held = held;
        drop(kept);
        self.0.is_back.send_replace(false);
    }

    /// Waits until the broker has them.
    pub(crate) async fn back(&self) {
        // It ends with its sender, which this holds.
        drop(self.0.is_back.subscribe().wait_for(|is_back| *is_back).await);
    }

    /// Gives them to a broker that has started. Clients are let in afterwards, whether it took them or has failed again.
    pub(crate) async fn put_back(&self, endpoint: &Endpoint) {
        let messages = self.lock().messages.clone();
        if !messages.is_empty() {
            let count = messages.len();
            match tokio::time::timeout(GIVEN_WITHIN, give(endpoint, messages)).await {
                Ok(Ok(0)) => tracing::info!(count, "the broker has the retained messages of devices again"),
                Ok(Ok(refused)) => {
                    tracing::warn!(
                        count,
                        refused,
                        "the broker has the retained messages of devices again, without some"
                    );
                }
                Ok(Err(error)) => {
                    tracing::warn!(%error, "the broker did not take the retained messages of devices");
                }
                Err(_) => tracing::warn!(
                    count,
                    "the broker did not take all retained messages of devices within {} s; clients are let in without the others",
                    GIVEN_WITHIN.as_secs()
                ),
            }
        }
        self.0.is_back.send_replace(true);
    }

    fn lock(&self) -> MutexGuard<'_, Kept> {
        self.0.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Kept {
    /// What is not kept replaces what was: an old message is worse than none.
    fn put(&mut self, topic: &str, payload: &[u8]) {
        if let Some(before) = self.messages.remove(topic) {
            self.bytes -= topic.len() + before.len();
            self.is_changed = true;
        }
        if payload.is_empty() {
            return;
        }
        let bytes = topic.len() + payload.len();
        if payload.len() > MOST_MESSAGE_BYTES
            || self.messages.len() >= MOST_MESSAGES
            || self.bytes + bytes > MOST_BYTES
        {
            self.not_kept += 1;
            return;
        }
        self.bytes += bytes;
        // A copy: what came may be part of a larger buffer.
        self.messages.insert(topic.to_owned(), Bytes::copy_from_slice(payload));
        self.is_changed = true;
    }
}

/// How many it did not take: each stands for itself.
///
/// # Errors
/// The broker cannot be connected to.
async fn give(endpoint: &Endpoint, messages: BTreeMap<String, Bytes>) -> io::Result<usize> {
    let (mut connected, mut refused) = (None, 0);
    for (topic, payload) in messages {
        let bytes = topic.len() + payload.len() + PUBLISH_BYTES;
        if bytes > endpoint.max_packet_bytes {
            tracing::warn!(
                topic,
                bytes,
                limit = endpoint.max_packet_bytes,
                "a retained message is larger than a packet may be"
            );
            refused += 1;
            continue;
        }
        let mut client = match connected.take() {
            Some(client) => client,
            None => Client::connect(endpoint, &own_client_id(CLIENT)).await?,
        };
        match tokio::time::timeout(TAKEN_WITHIN, client.retain(&topic, payload)).await {
            Ok(Ok(())) => connected = Some(client),
            Ok(Err(error)) => {
                tracing::warn!(topic, %error, "the broker did not take a retained message");
                refused += 1;
            }
            Err(_) => {
                tracing::warn!(
                    topic,
                    "the broker did not take a retained message within {} s",
                    TAKEN_WITHIN.as_secs()
                );
                refused += 1;
            }
        }
    }
    if let Some(client) = connected {
        client.close().await;
    }
    Ok(refused)
}

fn written(messages: &BTreeMap<String, Bytes>) -> Vec<u8> {
    let mut content = BEGINNING.to_vec();
    for (topic, payload) in messages {
        for part in [topic.as_bytes(), payload] {
            // Both are far below 4 GiB.
            content.extend_from_slice(&(part.len() as u32).to_le_bytes());
            content.extend_from_slice(part);
        }
    }
    content.extend_from_slice(&crc32c::crc32c(&content).to_le_bytes());
    content
}

/// Topics and payloads; `None` where the content is another.
fn read(content: &[u8]) -> Option<Vec<(&str, &[u8])>> {
    let (content, at_end) = content.split_last_chunk::<CHECK_BYTES>()?;
    if crc32c::crc32c(content) != u32::from_le_bytes(*at_end) {
        return None;
    }
    let mut rest = content.strip_prefix(BEGINNING)?;
    let mut messages = Vec::new();
    while !rest.is_empty() {
        let topic = str::from_utf8(take(&mut rest)?).ok()?;
        messages.push((topic, take(&mut rest)?));
    }
    Some(messages)
}

fn take<'a>(rest: &mut &'a [u8]) -> Option<&'a [u8]> {
    let (length, behind) = rest.split_first_chunk::<LENGTH_BYTES>()?;
    let (part, behind) = behind.split_at_checked(u32::from_le_bytes(*length) as usize)?;
    *rest = behind;
    Some(part)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn they_are_written_and_read_again_and_damage_is_noticed() {
        let path = std::env::temp_dir().join(format!("verge-retained-{}", std::process::id()));
        let retained = Retained::load(&path).unwrap();
        retained.write(&path).unwrap();
        assert!(!path.exists(), "nothing to write");
        retained.note("a/1", b"one");
        retained.note("a/2", b"two");
        retained.note("a/1", b"three");
        retained.note("a/2", b"");
        retained.note("a/3", b"\0\xff");
        retained.write(&path).unwrap();
        let again = Retained::load(&path).unwrap();
        let expected =
            [("a/1".to_owned(), Bytes::from("three")), ("a/3".to_owned(), Bytes::from(&b"\0\xff"[..]))];
        assert_eq!(again.lock().messages, BTreeMap::from(expected));
        assert_eq!(again.totals(), RetainedTotals { messages: 2, not_kept: 0 });
        let good = std::fs::read(&path).unwrap();
        for at in 0..good.len() {
            let mut damaged = good.clone();
            damaged[at] ^= 1;
            assert!(read(&damaged).is_none(), "byte {at}");
            assert!(read(&good[..at]).is_none(), "{at} bytes");
        }
        std::fs::write(&path, b"something else").unwrap();
        assert_eq!(Retained::load(&path).unwrap_err().kind(), io::ErrorKind::InvalidData);
        std::fs::remove_file(&path).unwrap();
    }

    #[test]
    fn what_is_too_large_or_too_many_is_not_kept_and_nothing_old_in_its_place() {
        let retained = Retained::default();
        retained.note("a", b"1");
        retained.note("a", &vec![7; MOST_MESSAGE_BYTES + 1]);
        assert_eq!(retained.totals(), RetainedTotals { messages: 0, not_kept: 1 });
        for number in 0..MOST_BYTES / MOST_MESSAGE_BYTES {
            retained.note(&format!("t/{number}"), &vec![7; MOST_MESSAGE_BYTES]);
        }
        let totals = retained.totals();
        assert_eq!((totals.messages, totals.not_kept), (63, 2), "topics count, too");
        retained.note("t/0", b"");
        retained.note("t/x", &vec![7; MOST_MESSAGE_BYTES]);
        assert_eq!(retained.totals().messages, 63);
        let many = Retained::default();
        for number in 0..=MOST_MESSAGES {
            many.note(&number.to_string(), b"1");
        }
        assert_eq!(many.totals(), RetainedTotals { messages: MOST_MESSAGES as u64, not_kept: 1 });
    }
}
