//! Packages are fetched one after the other, and pushed once they are whole.

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

/// Between two attempts at a package that does not come.
const PAUSE: Duration = Duration::from_secs(5);
const LONGEST_PAUSE: Duration = Duration::from_secs(300);
/// A web service answers within this time, and goes on sending.
const TIMEOUT: Duration = Duration::from_secs(30);
/// A report that does not reach upstream is sent again this often.
const REPORTS: u32 = 5;

/// Why a package is not whole yet.
pub(super) enum Fetched {
    /// It is.
    Whole,
    /// It goes on later, for this reason.
    Later(String),
}

/// Fetches packages for as long as the gateway runs.
pub(super) async fn fetch_all(shared: Arc<Shared>) {
    let (mut turn, mut pause) = (0, PAUSE);
    loop {
        let next = locked(&shared.book).next(turn);
        let Some(offer) = next else {
            shared.news.notified().await;
            continue;
        };
        if offer.is_old(&shared.incoming) {
            let days = INCOMING_KEPT.as_secs() / 86_400;
            end(&shared, &offer, Err(ModelRefusal::GivenUp { days })).await;
            continue;
        }
        match fetch(&shared, &offer).await {
            Ok(report) => {
                pause = PAUSE;
                end(&shared, &offer, Ok(ModelAnswer::Done { state: "staged", report })).await;
            }
            Err(refusal) if refusal.is_temporary() => {
                let why = refusal.to_string();
                tracing::warn!(model = %offer.name, sha256 = %offer.sha256, %why, "a package is not here yet: it is tried again");
                let have = offer.part(&shared.incoming).metadata().map_or(0, |found| found.len());
                locked(&shared.book).note(&offer.sha256, have, Some(why));
                turn += 1;
                tokio::select! {
                    () = tokio::time::sleep(pause) => pause = (pause * 2).min(LONGEST_PAUSE),
                    // Upstream has offered something, or the same again.
                    () = shared.news.notified() => pause = PAUSE,
                }
            }
            Err(refusal) => end(&shared, &offer, Err(refusal)).await,
        }
    }
}

/// Fetches one, and pushes it. Gives what the push said.
async fn fetch(shared: &Arc<Shared>, offer: &OpenOffer) -> Result<String, ModelRefusal> {
    let part = offer.part(&shared.incoming);
    let io = |error: std::io::Error| ModelRefusal::Io { reason: format!("{}: {error}", part.display()) };
    let mut incoming = Incoming::open(&part, offer.bytes, PART_BYTES, Instant::now()).map_err(io)?;
    loop {
        let fetched = match &offer.url {
            Some(url) => by_http(shared, offer, url, &mut incoming).await?,
            None => by_parts(shared, offer, &mut incoming).await.map_err(io)?,
        };
        if let Fetched::Later(reason) = fetched {
            return Err(ModelRefusal::Io { reason });
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
        (pushed, _, _) => pushed,
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
    let offer =
        locked(&shared.book).end(&offer.sha256, result.as_ref().err()).unwrap_or_else(|| offer.clone());
    offer.forget(&shared.incoming);
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
    while !incoming.is_whole() {
        match fetch.next().await {
            Ok(Some(bytes)) => {
                if bytes.len() as u64 > offer.bytes - incoming.have() {
                    let reason = format!(
                        "{} sends more than the {} bytes that were offered",
                        settings.target, offer.bytes
                    );
                    return Err(ModelRefusal::Url { reason });
                }
                let io = |error: std::io::Error| ModelRefusal::Io { reason: error.to_string() };
                incoming.append(&bytes).map_err(io)?;
                locked(&shared.book).note(&offer.sha256, incoming.have(), None);
                let due = pace.spend(bytes.len() as u64, Instant::now());
                tokio::time::sleep_until(due.into()).await;
            }
            Ok(None) => return later(format!("{} sent less than was offered", settings.target)),
            Err(error) => return later(error.to_string()),
        }
    }
    // Nothing may come behind it.
    match fetch.next().await {
        Ok(Some(_)) => Err(ModelRefusal::Url {
            reason: format!(
                "{} sends more than the {} bytes that were offered",
                settings.target, offer.bytes
            ),
        }),
        Ok(None) | Err(_) => Ok(Fetched::Whole),
    }
}
