//! The end of a site that a route holds.

use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use verge_domain::id::Lane;
use verge_domain::link::{LinkReport, SiteReport};
use verge_domain::stage::{Control, OfferError, OfferWindow, Sink, SinkEvent, Token, VerdictRow};

use super::driver::{Driver, Inlets, Offered, RsmpSettings};
use super::site::{Site, SiteView};

/// Outcomes of orders that may wait: of all that a site may have under way.
const OUTCOMES: usize = 256;

/// Keeps the connection of a site to its supervisor. Its acknowledgements are the receipts.
#[derive(Debug)]
pub struct RsmpSink {
    window: OfferWindow,
    address: String,
    offers: Option<mpsc::Sender<Offered>>,
    events: mpsc::Receiver<SinkEvent>,
    report: watch::Receiver<SiteReport>,
    driver: Option<JoinHandle<()>>,
}

impl RsmpSink {
    /// Connects, and keeps connecting.
    ///
    /// # Panics
    /// Outside of a Tokio runtime.
    #[must_use]
    pub fn spawn(settings: RsmpSettings, view: Arc<dyn SiteView>) -> Self {
        let window = settings.window.max(1);
        let address = settings.target.to_string();
        let (offers, offered) = mpsc::channel(window);
        // A receipt each, and the end of one connection and the beginning of the next.
        let (said, events) = mpsc::channel(window + 2);
        let (outcome, outcomes) = mpsc::channel(OUTCOMES);
        let site = Site::new(settings.site.clone(), fastrand::u64(..), view.now());
        let (reports, report) = watch::channel(site.report());
        let inlets = Inlets { offers: offered, outcomes, outcome };
        let driver = Driver {
            settings,
            view,
            site,
            inlets,
            events: said,
            report: reports,
            generation: 0,
            closing: false,
        };
        Self {
            window: OfferWindow::new(window),
            address,
            offers: Some(offers),
            events,
            report,
            driver: Some(tokio::spawn(driver.run())),
        }
    }
}

impl Sink for RsmpSink {
    type Item = Vec<VerdictRow>;

    fn offer(&mut self, _: Lane, rows: Vec<VerdictRow>, token: Token) -> Result<(), OfferError> {
        let generation = self.window.admit()?;
        let offers = self.offers.as_ref().ok_or(OfferError::NotConnected)?;
        let offered = Offered { generation, token, rows };
        offers.try_send(offered).map_err(|_| OfferError::WindowFull)?;
        self.window.offered();
        Ok(())
    }

    fn poll_event(&mut self, context: &mut Context<'_>) -> Poll<Option<SinkEvent>> {
        let event = self.events.poll_recv(context);
        if let Poll::Ready(Some(event)) = &event {
            self.window.note(event);
        }
        event
    }

    fn report(&self) -> LinkReport {
        LinkReport { site: Some(*self.report.borrow()), ..LinkReport::default() }
    }

    async fn close(&mut self, grace: Duration) {
        // The driver ends once what it holds is acknowledged.
        self.offers = None;
        self.window.close();
        let Some(mut driver) = self.driver.take() else { return };
        if tokio::time::timeout(grace, &mut driver).await.is_err() {
            tracing::info!(to = %self.address, "the supervisor has not acknowledged everything in time");
            driver.abort();
        }
        self.events.close();
    }
}

impl Control for RsmpSink {}
