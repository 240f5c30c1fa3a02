//! What a judge knows of the scene before a camera, for drawing. Places are shares of the picture's sides.

use crate::id::{Label, PlaceId};
use crate::time::UtcMillis;

/// The lines and zones of a judge, and the objects that it follows.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct SceneSketch {
    /// Its lines.
    pub lines: Vec<SketchedLine>,
    /// Its zones.
    pub zones: Vec<SketchedZone>,
    /// The objects that it follows.
    pub tracks: Vec<SketchedTrack>,
    /// When the interval that is counted now began.
    pub running_since: Option<UtcMillis>,
}

/// A directed line.
#[derive(Debug, Clone, PartialEq)]
pub struct SketchedLine {
    /// Its name.
    pub name: PlaceId,
    /// Where it begins.
    pub from: [f64; 2],
    /// Where it ends.
    pub to: [f64; 2],
    /// What has crossed it forward and backward since the judge began to work.
    pub counts: [u64; 2],
    /// The same in the interval that is counted now, which includes what came before a restart.
    pub running: [u64; 2],
}

/// A zone.
#[derive(Debug, Clone, PartialEq)]
pub struct SketchedZone {
    /// Its name.
    pub name: PlaceId,
    /// Its corners.
    pub corners: Vec<[f64; 2]>,
}

/// An object that is followed.
#[derive(Debug, Clone, PartialEq)]
pub struct SketchedTrack {
    /// Its number.
    pub number: u64,
    /// What it is.
    pub label: Label,
    /// Its box: left, top, width, height.
    pub area: [f64; 4],
    /// Where it has been lately, oldest first.
    pub trail: Vec<[f64; 2]>,
}
