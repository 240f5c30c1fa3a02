//! Orders about models from upstream: packages that are offered are fetched part by part and pushed, candidates promoted, versions
//! rolled back.
//!
//! What changes the store is this very program as a process of its own (`verge model push|promote|rollback`), as if a person had
//! called it: one way in, whoever asks. Fetching has connections of its own, so that no alarm waits behind a package.
//!
//! Reading order: [`ModelOffers`] (the entrance), `book` (the offers, on the disk as well), `orders` (what is asked, one after the
//! other), `done` (orders that were carried out, so that none is twice), `fetching` (packages in turn), `parts` (by MQTT), `command`
//! (this program as a process).

mod book;
mod command;
mod done;
mod fetching;
mod orders;
mod parts;

use std::path::PathBuf;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex};
use std::time::Instant;

use tokio::sync::{Notify, mpsc};
use verge_domain::id::OperatorText;
use verge_domain::model_order::{ModelDesk, ModelDone, ModelOrder, ModelRefusal};
use verge_models::{Card, ModelFiles};
use verge_mqtt::ConnectionSettings;
use verge_pipeline::status::{OffersStatus, WeightsStatus};

use super::links::OpenedUplink;
use super::locked;
use crate::io_thread::IoThread;
use crate::settings::{PackageRules, Settings, UplinkKind};
use book::OfferBook;
use done::OrderBook;

/// Orders that wait at most.
const WAITING: usize = 8;

/// An order, where it came in, and who waits for its result.
struct Asked {
    order: ModelOrder,
    door: String,
    done: ModelDone,
}

/// What all of it knows.
struct Shared {
    /// The configuration, for the commands.
    file: PathBuf,
    /// Its folder of arrivals.
    incoming: PathBuf,
    state_dir: PathBuf,
    rules: PackageRules,
    managed: Vec<ModelFiles>,
    links: Vec<OfferLink>,
    book: Mutex<OfferBook>,
    done: Mutex<OrderBook>,
    weights: Mutex<Vec<WeightsStatus>>,
    /// There is something to fetch.
    news: Notify,
    taken: AtomicU64,
    refused: AtomicU64,
    parts: AtomicU64,
    parts_refused: AtomicU64,
}

/// An uplink that packages come by.
struct OfferLink {
    /// As commands name it.
    door: String,
    connection: ConnectionSettings,
    /// Topic of parts, and of what is asked for and reported.
    parts: String,
    reply: String,
}

/// The entrance. Its tasks end with the thread.
pub(super) struct ModelOffers {
    shared: Arc<Shared>,
    orders: mpsc::Sender<Asked>,
    _thread: IoThread,
}

impl ModelOffers {
    /// Begins, where the configuration allows it and a model is managed.
    ///
    /// # Errors
    /// The system gives no thread.
    pub(super) fn start(settings: &Settings, uplinks: &[OpenedUplink]) -> anyhow::Result<Option<Arc<Self>>> {
        let managed: Vec<ModelFiles> = settings
            .models
            .iter()
            .chain(&settings.autoencoders)
            .filter(|model| model.store.is_some())
            .cloned()
            .collect();
        let state_dir = settings.gateway.state_dir.clone();
        let models = state_dir.join(verge_models::store::FOLDER);
        let incoming = models.join(verge_models::store::INCOMING);
        let book = OfferBook::load(&incoming, Instant::now());
        if !settings.packages.upstream || managed.is_empty() {
            // Nobody fetches what was on its way any more.
            book.forget_all(&incoming);
            return Ok(None);
        }
        let shared = Arc::new(Shared {
            file: PathBuf::from(settings.origins.file()),
            book: Mutex::new(book),
            done: Mutex::new(OrderBook::load(&models)),
            incoming,
            state_dir,
            rules: settings.packages.clone(),
            managed,
            links: links(settings, uplinks),
            weights: Mutex::default(),
            news: Notify::new(),
            taken: AtomicU64::default(),
            refused: AtomicU64::default(),
            parts: AtomicU64::default(),
            parts_refused: AtomicU64::default(),
        });
        let (orders, asked) = mpsc::channel(WAITING);
        // It waits for the disk and for processes, and nothing waits for it.
        let thread = IoThread::start_unwatched("verge-offers")?;
        thread.within(|| {
            tokio::spawn(orders::carry_out(Arc::clone(&shared), asked));
            tokio::spawn(fetching::fetch_all(Arc::clone(&shared)));
        });
        Ok(Some(Arc::new(Self { shared, orders, _thread: thread })))
    }

    /// For the status.
    pub(super) fn status(&self) -> OffersStatus {
        use std::sync::atomic::Ordering::Relaxed;
        OffersStatus {
            weights: locked(&self.shared.weights).clone(),
            taken: self.shared.taken.load(Relaxed),
            refused: self.shared.refused.load(Relaxed),
            parts_refused: self.shared.parts_refused.load(Relaxed),
            parts: self.shared.parts.load(Relaxed),
            packages: locked(&self.shared.book).status(),
        }
    }
}

impl ModelDesk for ModelOffers {
    fn submit(&self, order: ModelOrder, door: &OperatorText, done: ModelDone) {
        let asked = Asked { order, door: door.as_str().to_owned(), done };
        if let Err(refused) = self.orders.try_send(asked) {
            (refused.into_inner().done)(Err(ModelRefusal::Busy));
        }
    }
}

impl Shared {
    fn model(&self, name: &str) -> Result<&ModelFiles, ModelRefusal> {
        let by_card = |model: &&ModelFiles| {
            let card = Card::load(&model.in_use().files.card);
            card.is_ok_and(|card| card.identity.name.to_string() == name)
        };
        let of_section = self.managed.iter().find(|model| model.name == name);
        of_section.or_else(|| self.managed.iter().find(by_card)).ok_or_else(|| {
            let known: Vec<&str> = self.managed.iter().map(|model| model.name.as_str()).collect();
            ModelRefusal::Unknown { name: name.to_owned(), known: known.join(", ") }
        })
    }

    /// Looks which weights are in use. Every file of a version is read for it.
    fn look(&self) {
        let of = |model: &ModelFiles| {
            let sha256 =
                verge_engine::ContentDigest::of_file(&model.in_use().files.factory_weights()?).ok()?;
            Some(WeightsStatus { model: model.name.clone(), sha256: sha256.to_string() })
        };
        let found = self.managed.iter().filter_map(of).collect();
        *locked(&self.weights) = found;
    }
}

/// Uplinks that packages may come by, and where on each.
fn links(settings: &Settings, uplinks: &[OpenedUplink]) -> Vec<OfferLink> {
    let of = |(uplink, opened): (&crate::settings::Uplink, &OpenedUplink)| match (&uplink.kind, opened) {
        (UplinkKind::Mqtt(mqtt), OpenedUplink::Mqtt(connection)) if mqtt.services.commands => {
            Some(OfferLink {
                door: format!("uplink {}", uplink.name),
                connection: mqtt.models_connection(connection),
                parts: mqtt.parts.clone(),
                reply: mqtt.topics.reply.clone(),
            })
        }
        _ => None,
    };
    settings.uplinks.iter().zip(uplinks).filter_map(of).collect()
}
