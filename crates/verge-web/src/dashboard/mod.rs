//! The dashboard: pages for people, an interface and metrics for programs, of one gateway.
//!
//! It sees the gateway through [`LiveGateway`] alone, and runs on a thread of its own. What it shows is read when it is asked
//! for; whoever reads slowly loses his place and begins anew.
//!
//! Reading order: [`Dashboard`], [`Opening`] (before it), `server` and `http2` (connections and their limits, `cut`: those that they end), `front` (what every request passes: names,
//! origins, headers), `routes` (the table of paths and roles), `access` (logins), `site` (what handlers share), `actions` (the record of what people did); then what is
//! served: `pages`, `api`, `stream`, `metrics`, `health`, `assets`. `shown` makes foreign names fit to be shown.

pub mod access;
mod actions;
mod api;
mod assets;
mod cameras;
mod chart;
mod command;
mod cut;
mod drawing;
mod events;
mod form;
pub(crate) mod front;
mod health;
mod http2;
mod maintenance;
mod metrics;
mod opening;
mod pages;
mod past;
mod problem;
mod reload;
mod routes;
pub(crate) mod server;
mod shown;
mod signals;
mod site;
mod stall;
mod stream;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use access::{PictureAccess, Role};
use verge_domain::live::LiveGateway;
use verge_tls::ServerConfig;

pub(crate) use cut::{Cut, Cuts};
pub use opening::Opening;
pub use server::Dashboard;

/// Certificates of the listener as they are now; asked for at each new connection, since files change.
pub type ServerTls = Arc<dyn Fn() -> Arc<ServerConfig> + Send + Sync>;

/// How a dashboard is served.
#[derive(Clone)]
pub struct DashboardSettings {
    /// Names under which it may be reached, beside its address and localhost, without ports.
    pub hosts: Vec<String>,
    /// Certificates; `None` for plain text, which only this machine may reach.
    pub tls: Option<ServerTls>,
    /// What clients may do that show a certificate, by the common name in it.
    pub certificates: BTreeMap<String, Role>,
    /// Who may see the pictures of cameras.
    pub pictures: PictureAccess,
    /// Folder of the state, which holds the logins.
    pub state_dir: PathBuf,
    /// The site, as configured.
    pub site: Option<String>,
    /// Version of the program.
    pub version: &'static str,
}

/// Everything that is served.
fn table() -> routes::Routes {
    let routes = assets::routes(routes::Routes::default());
    let routes = stream::routes(metrics::routes(health::routes(routes)));
    pages::routes(api::routes(routes))
}

/// The front of a dashboard.
fn front(settings: DashboardSettings, live: Arc<dyn LiveGateway>) -> (Arc<site::Site>, front::Front) {
    let site = Arc::new(site::Site::new(settings, live));
    let (router, _) = table().finish(Arc::clone(&site));
    (Arc::clone(&site), front::Front::new(site, router))
}
