//! A package part by part by MQTT: the gateway asks for ranges on the topic of answers, and whoever offered it publishes them.

use std::io;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use bytes::Bytes;
use serde_json::json;
use verge_domain::backoff::Backoff;
use verge_domain::model_order::PART_BYTES;
use verge_engine::ContentDigest;
use verge_models::incoming::{Incoming, PartRange};
use verge_mqtt::{ConnectionSettings, Subscriber, SubscriberEvent};

use super::book::OpenOffer;
use super::fetching::Fetched;
use super::{OfferLink, Shared, locked};

/// What stands before the bytes of a part: the SHA-256 of the package, and where the part begins (8 bytes, little-endian).
const HEAD: usize = 32 + 8;
/// Topic and header of a message beside it.
const BESIDE: usize = 2048;
/// How often it is looked whether something is overdue.
const LOOK: Duration = Duration::from_millis(250);
/// An attempt at a package of which nothing comes for this long has failed.
const SILENCE: Duration = Duration::from_secs(120);

/// Keeps to a rate: what is spent is due later.
pub(super) struct Pace {
    rate: u64,
    due: Instant,
}

impl Pace {
    pub(super) fn new(rate: u64) -> Self {
        Self { rate: rate.max(1), due: Instant::now() }
    }

    /// Whether more may be spent now.
    fn admits(&self, now: Instant) -> bool {
        now >= self.due
    }

    /// Spends this many bytes. Gives when the next may be.
    pub(super) fn spend(&mut self, bytes: u64, now: Instant) -> Instant {
        self.due = self.due.max(now) + Duration::from_secs_f64(bytes as f64 / self.rate as f64);
        self.due
    }
}

/// Fetches what is missing.
pub(super) async fn by_parts(
    shared: &Shared,
    offer: &OpenOffer,
    incoming: &mut Incoming,
) -> io::Result<Fetched> {
    if incoming.is_whole() {
        return Ok(Fetched::Whole);
    }
    let Some(link) = shared.links.iter().find(|link| link.door == offer.door) else {
        return Ok(Fetched::Later(format!(
            "there is no {} any more that its parts could come by",
            offer.door
        )));
    };
    let connection = ConnectionSettings {
        max_packet_bytes: PART_BYTES as usize + HEAD + BESIDE,
        // A link that is cut often carries a package all the same.
        backoff: Backoff { min: Duration::from_secs(1), max: Duration::from_secs(5) },
        ..link.connection.clone()
    };
    let mut subscriber = Subscriber::resume(connection, vec![link.parts.clone()]);
    let fetched = receive(shared, offer, link, &mut subscriber, incoming).await;
    subscriber.stop().await;
    fetched
}

async fn receive(
    shared: &Shared,
    offer: &OpenOffer,
    link: &OfferLink,
    subscriber: &mut Subscriber,
    incoming: &mut Incoming,
) -> io::Result<Fetched> {
    let mut pace = Pace::new(shared.rules.rate);
    let (began, turn) = (Instant::now(), locked(&shared.book).turn());
    let (mut is_connected, mut moved, mut why) = (false, began, "upstream is silent".to_owned());
    let hash = ContentDigest::of_digits(&offer.sha256);
    while !incoming.is_whole() {
        let now = Instant::now();
        let others_wait = || locked(&shared.book).others_wait(&offer.sha256, now);
        let is_over = now.duration_since(began) >= turn && others_wait();
        // What was asked for comes first, so that nothing comes twice.
        if is_over && (incoming.is_idle() || !is_connected) {
            // One of which nothing came pauses before it takes the others' time again.
            return Ok(if moved == began { Fetched::Later(why) } else { Fetched::GaveWay });
        }
        if now.duration_since(moved) >= SILENCE {
            return Ok(Fetched::Later(why));
        }
        if is_connected && incoming.is_overdue(now) {
            "what was asked for does not come".clone_into(&mut why);
        }
        let mut wait = LOOK;
        while let Some(range) = incoming.wanted().filter(|_| is_connected && !is_over) {
            if !pace.admits(now) {
                wait = LOOK.min(pace.due.duration_since(now));
                break;
            }
            // The id is that of the newest offer of the package.
            let id =
                locked(&shared.book).find(&offer.sha256).map_or_else(|| offer.id.clone(), |offer| offer.id);
            if subscriber.publish(&link.reply, request(&id, &offer.sha256, range)).is_err() {
                break;
            }
            incoming.asked(range, now);
            pace.spend(range.bytes, now);
        }
        let Ok(event) = tokio::time::timeout(wait, subscriber.next()).await else { continue };
        match event {
            Some(SubscriberEvent::Subscribed) => {
                is_connected = true;
                incoming.reconnected(Instant::now());
            }
            Some(SubscriberEvent::Disconnected { reason }) => {
                is_connected = false;
                locked(&shared.book).note(&offer.sha256, incoming.have(), Some(reason.clone()));
                why = reason;
            }
            Some(SubscriberEvent::Message(message)) => {
                let part = hash.and_then(|hash| part(&message.payload, &hash)).filter(|_| !message.retained);
                let taken = match part {
                    Some((from, bytes)) => incoming.take(from, bytes, Instant::now())?.is_ok(),
                    None => false,
                };
                if taken {
                    moved = Instant::now();
                    shared.parts.fetch_add(1, Ordering::Relaxed);
                    locked(&shared.book).note(&offer.sha256, incoming.have(), None);
                } else {
                    shared.parts_refused.fetch_add(1, Ordering::Relaxed);
                }
            }
            None => return Ok(Fetched::Later("the connection has ended".to_owned())),
        }
    }
    Ok(Fetched::Whole)
}

/// What is asked for.
fn request(id: &str, sha256: &str, range: PartRange) -> Bytes {
    let wanted = json!({
        "id": id, "ok": true, "state": "wanted", "hash": sha256, "from": range.from, "bytes": range.bytes,
    });
    Bytes::from(wanted.to_string())
}

/// Where a part begins, and its bytes; nothing where it is one of another package.
fn part<'a>(payload: &'a Bytes, hash: &ContentDigest) -> Option<(u64, &'a [u8])> {
    let (head, bytes) = payload.split_at_checked(HEAD)?;
    let (found, from) = head.split_at(32);
    let from = u64::from_le_bytes(from.try_into().ok()?);
    (found == hash.as_bytes()).then_some((from, bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_name_their_package_and_their_place() {
        let hash = ContentDigest::of_digits(&"ab".repeat(32)).unwrap();
        let whole = [&[0xab; 32][..], &7_u64.to_le_bytes(), b"bytes"].concat();
        assert_eq!(part(&Bytes::from(whole.clone()), &hash), Some((7, &b"bytes"[..])));
        assert_eq!(part(&Bytes::from(whole.clone()), &ContentDigest::of(b"another")), None);
        for length in 0..HEAD {
            assert_eq!(part(&Bytes::copy_from_slice(&whole[..length]), &hash), None);
        }
    }

    #[test]
    fn a_rate_is_kept_to() {
        let now = Instant::now();
        let mut pace = Pace::new(1000);
        assert!(pace.admits(Instant::now()));
        let due = pace.spend(500, now);
        assert!(due - now >= Duration::from_millis(500) && due - now < Duration::from_millis(600));
        assert!(!pace.admits(now + Duration::from_millis(400)));
        assert!(pace.admits(now + Duration::from_secs(1)));
    }
}
