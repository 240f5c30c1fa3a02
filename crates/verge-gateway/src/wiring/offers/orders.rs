//! What is asked of the models, one order after the other.

use std::ffi::OsStr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use tokio::sync::mpsc;
use verge_domain::model_order::{ModelAnswer, ModelOffer, ModelOrder, ModelRefusal};
use verge_models::ModelFiles;
use verge_models::store::{FACTORY, FOLDER, ModelStore, Slots, bytes_of};
use verge_web::PushTarget;

use super::book::OpenOffer;
use super::done::{Begun, OrderKey};
use super::{Asked, Shared, command, locked};

/// How often it is looked which weights are in use, beside what is done here: people promote, too.
const LOOK_EVERY: Duration = Duration::from_secs(5);

/// Carries orders out until nobody can give any.
pub(super) async fn carry_out(shared: Arc<Shared>, mut asked: mpsc::Receiver<Asked>) {
    let mut slots = None;
    loop {
        let looking = Arc::clone(&shared);
        let before = slots.take();
        // Versions are read only where something has changed.
        slots = blocking(move || {
            let now = changes(&looking);
            if before.as_ref() != Some(&now) {
                looking.look();
            }
            now
        })
        .await;
        let Ok(next) = tokio::time::timeout(LOOK_EVERY, asked.recv()).await else { continue };
        let Some(Asked { order, door, done }) = next else { return };
        let working = Arc::clone(&shared);
        let result = blocking(move || working.carry_out(order, &door)).await;
        let result = result.unwrap_or_else(|| {
            Err(ModelRefusal::Io { reason: "the order had a fault of its own".to_owned() })
        });
        if result.is_err() {
            shared.refused.fetch_add(1, Ordering::Relaxed);
        }
        done(result);
    }
}

/// Runs this where it may wait.
pub(super) async fn blocking<T: Send + 'static>(run: impl FnOnce() -> T + Send + 'static) -> Option<T> {
    tokio::task::spawn_blocking(run).await.ok()
}

/// When the slots of each model were changed last.
fn changes(shared: &Shared) -> Vec<Option<std::time::SystemTime>> {
    shared.managed.iter().filter_map(|model| model.store.as_ref()).map(ModelStore::changed).collect()
}

impl Shared {
    fn carry_out(&self, order: ModelOrder, door: &str) -> Result<ModelAnswer, ModelRefusal> {
        match order {
            ModelOrder::Offer(offer) => self.take(offer, door),
            ModelOrder::Promote { id, name, stage } => {
                let model = self.model(&name)?;
                let stage = stage.as_str();
                let words = ["promote", &model.name, "--stage", stage, "--candidate"];
                let key = OrderKey::new(door, id, format!("promote {} {stage}", model.name));
                self.once(&key, ("promoted", &words), model, |slots| slots.candidate)
            }
            ModelOrder::Rollback { id, name } => {
                let model = self.model(&name)?;
                let key = OrderKey::new(door, id, format!("rollback {}", model.name));
                let left = |slots: Slots| {
                    let on_trial = slots.trial().map(|(id, _)| id.to_owned());
                    on_trial.or(slots.active)
                };
                self.once(&key, ("rolled_back", &["rollback", &model.name, "--from"]), model, left)
            }
        }
    }

    /// Carries an order out about the version that it meant when it came first: its model may have another one where the order
    /// comes again, and the order does not apply to that. `version` gives it from the slots, and the last of `words` takes it.
    fn once(
        &self,
        key: &OrderKey,
        (state, words): (&'static str, &[&str]),
        model: &ModelFiles,
        version: impl FnOnce(Slots) -> Option<String>,
    ) -> Result<ModelAnswer, ModelRefusal> {
        let meant = || {
            let slots = model.store.as_ref().map(|store| store.slots().0);
            slots.and_then(version).unwrap_or_else(|| FACTORY.to_owned())
        };
        let begun = locked(&self.done).begin(key, meant);
        let version = match begun {
            Begun::Before(answer) => return Ok(answer),
            Begun::With(version) => version,
        };
        tracing::info!(order = %key.what, %version, by = %key.door, "an order about a model from upstream is carried out");
        let last = version.as_str();
        let arguments: Vec<&OsStr> = words.iter().chain([&last]).map(OsStr::new).collect();
        let report = command::run(&self.file, &arguments).inspect_err(|refusal| {
            // A push holds the store while it tests its version, which becomes the candidate at its end.
            if refusal.is_temporary() {
                locked(&self.done).forget(key);
            }
        })?;
        let answer = ModelAnswer::Done { state, report, repeated: false };
        locked(&self.done).end(key, &answer);
        Ok(answer)
    }

    /// Takes an offer, or says why not.
    fn take(&self, offer: ModelOffer, door: &str) -> Result<ModelAnswer, ModelRefusal> {
        let model = self.model(&offer.name)?;
        let offer = OpenOffer::new(offer, door);
        // Once it is staged there may be no room for it any more, and its base may have been removed.
        if let Some(answer) = locked(&self.done).answer(&offer.key()) {
            return Ok(answer);
        }
        let limit = self.room();
        // The package, its copy, and what is unpacked of it. One that is being received is here in part.
        if offer.bytes > limit / 3 && locked(&self.book).find(&offer.sha256).is_none() {
            return Err(ModelRefusal::TooLarge { bytes: offer.bytes, limit: limit / 3 });
        }
        match &offer.url {
            Some(url) => self.check_url(url)?,
            None if self.links.iter().any(|link| link.door == door) => {}
            None => return Err(ModelRefusal::NoParts { door: door.to_owned() }),
        }
        if let (Some(base), Some(store)) = (&offer.base, &model.store)
            && store.weights_of(base, model.factory_weights().as_deref()).is_none()
        {
            return Err(ModelRefusal::OtherBase { base: base.clone() });
        }
        let mut book = locked(&self.book);
        let is_known = book.find(&offer.sha256).is_some();
        let have = book.take(&offer, Instant::now())?;
        // Under the same lock: a package that ends meanwhile takes its file away with it.
        match offer.keep(&self.incoming) {
            Ok(()) => {}
            // Its first offer is durable.
            Err(error) if is_known => {
                tracing::warn!(model = %offer.name, %error, "that a package was offered again is not remembered beyond a restart");
            }
            Err(error) => {
                let refusal = ModelRefusal::Io { reason: format!("{}: {error}", self.incoming.display()) };
                book.end(&offer.sha256, Some(&refusal));
                return Err(refusal);
            }
        }
        drop(book);
        self.taken.fetch_add(1, Ordering::Relaxed);
        tracing::info!(model = %offer.name, bytes = offer.bytes, sha256 = %offer.sha256, by = %door, have, "a package is fetched");
        self.news.notify_one();
        Ok(ModelAnswer::Receiving { have })
    }

    /// Bytes that are left of the cap.
    fn room(&self) -> u64 {
        self.rules.cap.saturating_sub(bytes_of(&self.state_dir.join(FOLDER)))
    }

    fn check_url(&self, url: &str) -> Result<(), ModelRefusal> {
        let refused = |reason: String| Err(ModelRefusal::Url { reason });
        if let Err(error) = PushTarget::parse(url) {
            return refused(error.to_string());
        }
        let climbs = url.contains("/../") || url.contains("/./") || url.to_ascii_lowercase().contains("%2e");
        if climbs || !self.rules.from.iter().any(|from| url.starts_with(from.as_str())) {
            return refused(
                "it is not below an address of `from` in [models] of the gateway's configuration".to_owned(),
            );
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::sync::Mutex;

    use tokio::sync::Notify;
    use verge_models::trial::TrialRules;

    use super::super::book::OfferBook;
    use super::super::done::OrderBook;
    use super::*;
    use crate::settings::PackageRules;

    const URL: &str = "https://models.example/";

    fn shared(folder: &Path, cap: u64) -> Shared {
        let rules = PackageRules {
            trust: Vec::new(),
            unsigned: false,
            cap,
            keep: 1,
            upstream: true,
            rate: 1,
            from: vec![URL.to_owned()],
            ca: None,
            trial: TrialRules::default(),
            canary: 20,
        };
        Shared {
            file: folder.join("gateway.toml"),
            incoming: folder.join("incoming"),
            state_dir: folder.to_owned(),
            rules,
            managed: vec![ModelFiles {
                name: "parts".to_owned(),
                ..ModelFiles::of_card(&folder.join("parts.toml"))
            }],
            links: Vec::new(),
            book: Mutex::new(OfferBook::default()),
            done: Mutex::new(OrderBook::load(folder)),
            weights: Mutex::default(),
            news: Notify::new(),
            taken: 0.into(),
            refused: 0.into(),
            parts: 0.into(),
            parts_refused: 0.into(),
        }
    }

    fn offer(id: &str) -> ModelOffer {
        let sha256 = "ab".repeat(32);
        let url = Some(format!("{URL}a.vmodel"));
        ModelOffer { id: id.to_owned(), name: "parts".to_owned(), bytes: 9, sha256, base: None, url }
    }

    #[test]
    fn an_offer_of_a_package_that_is_staged_is_answered_as_before_also_where_nothing_is_left_of_the_cap() {
        let folder = tempfile::tempdir().unwrap();
        let shared = shared(folder.path(), 0);
        let refused = shared.take(offer("a"), "uplink wan");
        assert_eq!(refused, Err(ModelRefusal::TooLarge { bytes: 9, limit: 0 }));
        let staged = |repeated| ModelAnswer::Done { state: "staged", report: "{}".to_owned(), repeated };
        locked(&shared.done).end(&OpenOffer::new(offer("a"), "uplink wan").key(), &staged(false));
        assert_eq!(shared.take(offer("a"), "uplink wan"), Ok(staged(true)));
        assert!(shared.take(offer("b"), "uplink wan").is_err(), "another order");
    }

    #[test]
    fn an_offer_that_cannot_be_kept_is_refused_and_one_that_was_taken_before_goes_on() {
        let folder = tempfile::tempdir().unwrap();
        let shared = shared(folder.path(), 1 << 20);
        std::fs::write(&shared.incoming, "a file in the place of the folder").unwrap();
        assert!(matches!(shared.take(offer("a"), "uplink wan"), Err(ModelRefusal::Io { .. })));
        let status = locked(&shared.book).status();
        assert_eq!((status.len(), status[0].state), (1, "refused"));
        std::fs::remove_file(&shared.incoming).unwrap();
        assert_eq!(shared.take(offer("a"), "uplink wan"), Ok(ModelAnswer::Receiving { have: 0 }));
        std::fs::remove_dir_all(&shared.incoming).unwrap();
        std::fs::write(&shared.incoming, "a file in the place of the folder").unwrap();
        assert_eq!(shared.take(offer("b"), "uplink wan"), Ok(ModelAnswer::Receiving { have: 0 }));
        let status = locked(&shared.book).status();
        assert_eq!((status.len(), status[0].state), (1, "receiving"));
    }
}
