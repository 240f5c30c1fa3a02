//! Packages are fetched one after the other, and pushed once they are whole. They take turns: one that others wait behind gives way
//! after its turn and goes on later where it was, and one that does not come waits for its next attempt without holding others up.

use std::ffi::OsStr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use verge_domain::model_order::{ModelAnswer, ModelRefusal, PART_BYTES};
use verge_models::incoming::Incoming;
use verge_models::store::INCOMING_KEPT;
use verge_mqtt::{Publisher, QoS};
use verge_pipeline::commands::model_report;
use verge_web::{Fetch, FetchSettings, PushTarget};

use super::book::OpenOffer;
use super::orders::blocking;
use super::parts::{Pace, by_parts};
use super::{Shared, command, locked};

/// A service that sends all of a file each time begins anew once it has given way. It does so only where it sends less than this
/// share of what may be fetched, and has a longer turn then.
const SLOW: u64 = 4;
/// Between two attempts to report what came of a package.
const PAUSE: Duration = Duration::from_secs(5);
/// A web service answers within this time, and goes on sending.
const TIMEOUT: Duration = Duration::from_secs(30);
/// A report that does not reach upstream is sent again this often.
const REPORTS: u32 = 5;

/// What came of an attempt at a package.
pub(super) enum Fetched {
    /// It is whole.
    Whole,
    /// Others wait: it goes on when it is its turn again.
    GaveWay,
    /// It goes on later, for this reason.
    Later(String),
}

/// Fetches packages for as long as the gateway runs.
pub(super) async fn fetch_all(shared: Arc<Shared>) {
    let mut turn = 0;
    loop {
        let now = Instant::now();
        let next = locked(&shared.book).next(turn, now);
        let offer = match next {
            Ok(offer) => offer,
            Err(due) => {
                let pause = due.map_or(Duration::from_secs(3600), |due| due.saturating_duration_since(now));
                tokio::select! {
                    () = tokio::time::sleep(pause) => {}
                    // Upstream has offered something, or the same again.
                    () = shared.news.notified() => {}
                }
                continue;
            }
        };
        turn = locked(&shared.book).place(&offer.sha256);
        if locked(&shared.book).is_given_up(&offer.sha256, now) {
            let days = INCOMING_KEPT.as_secs() / 86_400;
            end(&shared, &offer, Err(ModelRefusal::GivenUp { days })).await;
            continue;
        }
        let failed = match fetch(&shared, &offer).await {
            Ok(Some(report)) => {
                let done = ModelAnswer::Done { state: "staged", report, repeated: false };
                end(&shared, &offer, Ok(done)).await;
                continue;
            }
            Ok(None) => None,
            Err(refusal) if refusal.is_temporary() => Some(refusal.to_string()),
            Err(refusal) => {
                end(&shared, &offer, Err(refusal)).await;
                continue;
            }
        };
        if let Some(why) = &failed {
            tracing::warn!(model = %offer.name, sha256 = %offer.sha256, %why, "a package is not here yet: it is tried again");
        }
        let have = offer.part(&shared.incoming).metadata().map_or(0, |found| found.len());
        let attempt = (Instant::now(), fastrand::u16(..));
        let changed = locked(&shared.book).attempted(&offer.sha256, (have, failed), attempt);
        if let Some(Err(error)) = changed.map(|offer| offer.keep(&shared.incoming)) {
            tracing::warn!(model = %offer.name, %error, "how long a package has been on its way is not remembered");
        }
        turn += 1;
    }
}

/// Fetches one, and pushes it. Gives what the push said; nothing where it has given way.
async fn fetch(shared: &Arc<Shared>, offer: &OpenOffer) -> Result<Option<String>, ModelRefusal> {
    let part = offer.part(&shared.incoming);
    let io = |error: std::io::Error| ModelRefusal::Io { reason: format!("{}: {error}", part.display()) };
    // A web service goes on at any byte.
    let part_bytes = if offer.url.is_some() { 1 } else { PART_BYTES };
    let mut incoming = Incoming::open(&part, offer.bytes, part_bytes, Instant::now()).map_err(io)?;
    loop {
        let fetched = match &offer.url {
            Some(url) => by_http(shared, offer, url, &mut incoming).await?,
            None => by_parts(shared, offer, &mut incoming).await.map_err(io)?,
        };
        match fetched {
            Fetched::Whole => {}
            Fetched::GaveWay => return Ok(None),
            Fetched::Later(reason) => return Err(ModelRefusal::Io { reason }),
        }
        match incoming.check(&offer.sha256).map_err(io)? {
            Ok(true) => break,
            Ok(false) => tracing::warn!(
                sha256 = %offer.sha256,
                "what was received before the last start is damaged: the package is fetched anew"
            ),
            Err(found) => return Err(ModelRefusal::OtherContent { found, offered: offer.sha256.clone() }),
        }
    }
    let (file, base) = (shared.file.clone(), offer.base.clone());
    let pushed = blocking(move || command::run(&file, &[OsStr::new("push"), part.as_os_str()])).await;
    let pushed =
        pushed.ok_or_else(|| ModelRefusal::Io { reason: "the push had a fault of its own".to_owned() })?;
    // What it changes may have been removed or damaged since it was offered: then the whole package is asked for.
    let model = shared.managed.iter().find(|model| model.name == offer.name);
    match (pushed, base, model.and_then(|model| Some((model.store.as_ref()?, model.factory_weights())))) {
        (Err(ModelRefusal::Refused { code: 65, .. }), Some(base), Some((store, factory)))
            if store.weights_of(&base, factory.as_deref()).is_none() =>
        {
            Err(ModelRefusal::OtherBase { base })
        }
        (pushed, _, _) => pushed.map(Some),
    }
}

/// A package is over: that is reported upstream, and what is left of it is removed.
async fn end(shared: &Arc<Shared>, offer: &OpenOffer, result: Result<ModelAnswer, ModelRefusal>) {
    match &result {
        Ok(_) => {
            tracing::info!(model = %offer.name, sha256 = %offer.sha256, "a package from upstream is staged")
        }
        Err(refusal) => {
            shared.refused.fetch_add(1, Ordering::Relaxed);
            tracing::warn!(model = %offer.name, sha256 = %offer.sha256, %refusal, "a package from upstream is refused");
        }
    }
    let offer = {
        // Under one lock: an offer that comes meanwhile is one of before, or a new one.
        let mut book = locked(&shared.book);
        let offer = book.end(&offer.sha256, result.as_ref().err()).unwrap_or_else(|| offer.clone());
        if let Ok(answer) = &result {
            locked(&shared.done).end(&offer.key(), answer);
        }
        offer.forget(&shared.incoming);
        offer
    };
    let payload = model_report(&offer.id, &result);
    let Some(link) = shared.links.iter().find(|link| link.door == offer.door) else { return };
    for _ in 0..REPORTS {
        // A clean session under the same name ends the one in which parts came. The next package needs the name, so it waits.
        if let Ok(publisher) = Publisher::connect(link.connection.clone()).await {
            let sent = publisher.publish(&link.reply, payload.clone().into(), QoS::AtLeastOnce, false).await;
            publisher.close().await;
            if sent.is_ok() {
                return;
            }
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// Fetches what is missing from a web service.
async fn by_http(
    shared: &Shared,
    offer: &OpenOffer,
    url: &str,
    incoming: &mut Incoming,
) -> Result<Fetched, ModelRefusal> {
    if incoming.is_whole() {
        return Ok(Fetched::Whole);
    }
    let target = PushTarget::parse(url).map_err(|error| ModelRefusal::Url { reason: error.to_string() })?;
    let tls = shared.rules.tls().map_err(|error| ModelRefusal::Io { reason: error.to_string() })?;
    let settings = FetchSettings { target, tls, timeout: TIMEOUT };
    let later = |reason: String| Ok(Fetched::Later(reason));
    let mut fetch = match Fetch::open(&settings, incoming.have(), offer.bytes).await {
        Ok(fetch) => fetch,
        Err(error) if error.is_final() => return Err(ModelRefusal::Url { reason: error.to_string() }),
        Err(error) => return later(error.to_string()),
    };
    let mut pace = Pace::new(shared.rules.rate);
    let turn = locked(&shared.book).turn();
    let (began, mut read) = (Instant::now(), 0_u64);
    let too_much = || {
        let reason =
            format!("{} sends more than the {} bytes that were offered", settings.target, offer.bytes);
        ModelRefusal::Url { reason }
    };
    while !incoming.is_whole() {
        match fetch.next().await {
            Ok(Some(piece)) => {
                if piece.bytes.len() as u64 > offer.bytes - incoming.have() {
                    return Err(too_much());
                }
                let io = |error: std::io::Error| ModelRefusal::Io { reason: error.to_string() };
                incoming.append(&piece.bytes).map_err(io)?;
                locked(&shared.book).note(&offer.sha256, incoming.have(), None);
                read += piece.read;
                // Also what was here already and comes again is read at the rate.
                let due = pace.spend(piece.read, Instant::now());
                tokio::time::sleep_until(due.into()).await;
            }
            Ok(None) => return later(format!("{} sent less than was offered", settings.target)),
            Err(error) => return later(error.to_string()),
        }
        let took = began.elapsed();
        let is_slow = read < shared.rules.rate.saturating_mul(took.as_secs()) / SLOW;
        if took >= turn
            && !incoming.is_whole()
            && (fetch.knows_ranges() || is_slow)
            && locked(&shared.book).others_wait(&offer.sha256, Instant::now())
        {
            if !fetch.knows_ranges() {
                locked(&shared.book).lose_turn(&offer.sha256);
            }
            return Ok(Fetched::GaveWay);
        }
    }
    // Nothing may come behind it.
    match fetch.next().await {
        Ok(Some(_)) => Err(too_much()),
        Ok(None) | Err(_) => Ok(Fetched::Whole),
    }
}
