//! Publications of DATEX II, version 3: what is measured, what happens on the road and what is wrong with detectors, for
//! national access points.
//!
//! Written after the elements and their order as the public model names them, and checked by tests against a list of rules;
//! nobody has certified it. Pure: what is sent is bytes that come out here.
//!
//! Reading order: [`DatexSettings`], the places; [`DatexPublisher`], verdicts to documents; `measured`, `situations` and `table`,
//! one publication each; `xml`, how elements are written.

mod measured;
mod publisher;
mod settings;
mod situations;
mod table;
#[cfg(test)]
mod tests;
mod xml;

pub use publisher::{DatexPublisher, Publications};
pub use settings::{DatexSettings, DatexSite, Place};

/// Places of a table at most.
pub const MAX_SITES: usize = 4096;

/// What a document is, as HTTP names it.
pub const CONTENT_TYPE: &str = "application/xml";
