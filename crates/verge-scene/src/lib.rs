//! Objects followed over frames, and what is counted of them: directed lines, zones, trips, speeds, queues.
//!
//! Everything here is pure and bounded: no I/O, no clock, no pixels. Boxes and times come in; crossings, intervals and events
//! come out. A [`Scene`] is the state of one camera: saved as it is, it goes on after a restart, and the time in between is
//! known not to have been observed.
//!
//! Reading order: [`settings`] (what is drawn), [`ground`] (from the picture to metres), [`track`] (which box is which
//! object), `line` and `zone` (where it is), `course` (what one track has done), [`countable`] (whether it was seen often enough), [`interval`] and `record` (what is
//! counted), [`scene`] (all together), `trace` (what pictures show of it), `trial` (what other lines
//! would have counted).

pub mod countable;
mod course;
mod geometry;
pub mod ground;
pub mod interval;
mod line;
mod presence;
mod record;
pub mod scene;
pub mod settings;
mod trace;
pub mod track;
mod trail;
mod trial;
mod zone;

pub use countable::{SightingTally, countability};
pub use ground::{Footprint, Ground, GroundError};
pub use interval::{DirectionTally, Partial, SceneInterval};
pub use record::Crossing;
pub use scene::{LiveTrack, Scene, SceneMisfit, SceneReport, SceneState, ZoneEvent};
pub use settings::{Anchor, BlobUse, SceneError, SceneLine, SceneSettings, SceneZone};
pub use trace::SceneTrace;
pub use track::{FrameSize, SeenBox};
pub use trial::SceneTrial;
pub use zone::ZoneEventKind;
