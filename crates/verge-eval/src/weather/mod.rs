//! A street before a fixed camera, in all weathers and by day and night, as pictures; and what can go wrong with the
//! camera. Pure: a picture is a function of settings, seed and time.
//!
//! Reading order: `street` (what stands there), `traffic` (what drives there), `sky` (light, fog, rain), `camera` (the
//! sensor: exposure, noise, faults).

mod camera;
mod sky;
mod street;
mod traffic;

pub use camera::{CameraFault, WeatherCamera};
pub use sky::Weather;

/// Width of the pictures in pixels.
pub const WIDTH: usize = 320;
/// Height of the pictures in pixels.
pub const HEIGHT: usize = 180;
/// The street is drawn this much larger on each side, so that a camera can look elsewhere.
const MARGIN: usize = 48;
