//! Metrics out of status documents: of this gateway for its dashboard, or of many gateways at a centre, which cannot scrape those
//! behind a cellular network.
//!
//! Reading order: `families` (what a document says, as metrics), `text` (how that is written), `fleet` (many documents, of which
//! none is trusted), `exporter` (where they are scraped).

mod exporter;
mod families;
mod fleet;
mod text;

pub use exporter::Exporter;
pub use fleet::{Fleet, StatusRefusal};
pub(crate) use text::{TextForm, of_this_gateway};
