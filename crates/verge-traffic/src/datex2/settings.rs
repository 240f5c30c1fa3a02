//! Who publishes, and what is where.

use verge_domain::id::{DeviceId, JudgeId};

use crate::CountsOf;
use crate::rsmp::DetectorKind;

/// Who publishes, and the places of which something is measured.
#[derive(Debug, Clone, PartialEq)]
pub struct DatexSettings {
    /// Two letters of ISO 3166-1, in lower case.
    pub country: String,
    /// The identifier of the publisher in its country.
    pub national_identifier: String,
    /// Two letters of ISO 639-1.
    pub language: String,
    /// The identifier of the table of places.
    pub table: String,
    /// Its version; grows whenever a place changes.
    pub table_version: u64,
    /// The places, at most [`MAX_SITES`](super::MAX_SITES).
    pub sites: Vec<DatexSite>,
}

/// A place where something is measured.
#[derive(Debug, Clone, PartialEq)]
pub struct DatexSite {
    /// Its identifier.
    pub id: String,
    /// Its name for people.
    pub name: Option<String>,
    /// The device that measures there.
    pub device: DeviceId,
    /// Which counts are its own.
    pub counts: Option<CountsOf>,
    /// Judges whose queues, stopped vehicles and vehicles on the wrong way are situations.
    pub events: Vec<JudgeId>,
    /// Judges of the health of its device.
    pub faults: Vec<JudgeId>,
    /// What the device is.
    pub kind: DetectorKind,
    /// Lanes that it measures.
    pub lanes: Option<u64>,
    /// Where it is.
    pub place: Place,
}

/// A point on the ground, in ETRS89 (some decimetres from WGS 84).
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Place {
    /// Degrees north.
    pub latitude: f64,
    /// Degrees east.
    pub longitude: f64,
    /// Where traffic goes, in degrees from north, clockwise.
    pub bearing: Option<u64>,
}
