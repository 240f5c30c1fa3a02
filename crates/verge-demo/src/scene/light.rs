//! What lights the site: the sun by day, lamps by night.

use super::Viewpoint;
use super::canvas::{Colour, mix, scaled};
use super::geometry::{Vec3, vec3};
use super::routes::{MAIN_HALF_WIDTH, SIDE_HALF_WIDTH};

/// Where street lamps stand; the light hangs above.
pub(super) const LAMPS: [[f32; 2]; 6] = [
    [-SIDE_HALF_WIDTH - 2.5, MAIN_HALF_WIDTH + 1.5],
    [SIDE_HALF_WIDTH + 2.5, -MAIN_HALF_WIDTH - 1.5],
    [32.0, -MAIN_HALF_WIDTH - 1.5],
    [-32.0, MAIN_HALF_WIDTH + 1.5],
    [SIDE_HALF_WIDTH + 1.2, 42.0],
    [-SIDE_HALF_WIDTH - 1.2, -42.0],
];
/// How high they hang, in metres.
pub(super) const LAMP_HEIGHT: f32 = 7.5;
const LAMP_COLOUR: Colour = [1.0, 0.76, 0.46];
/// How far their light reaches, in metres.
const LAMP_REACH: f32 = 13.0;

/// What light there is.
#[derive(Debug, Clone)]
pub(super) struct Light {
    pub(super) is_night: bool,
    /// Towards the sun, or the moon.
    pub(super) sun: Vec3,
    ambient: Colour,
    direct: Colour,
    pub(super) haze: Colour,
    /// Metres in which two thirds of a colour are lost to the haze.
    haze_reach: f32,
}

impl Light {
    pub(super) fn new(view: Viewpoint) -> Self {
        match view {
            Viewpoint::North => Self {
                is_night: false,
                sun: vec3(0.55, -0.35, 0.75).unit(),
                ambient: [0.50, 0.53, 0.60],
                direct: [0.62, 0.58, 0.50],
                haze: [0.80, 0.86, 0.91],
                haze_reach: 190.0,
            },
            Viewpoint::South => Self {
                is_night: true,
                sun: vec3(-0.3, 0.4, 0.85).unit(),
                ambient: [0.13, 0.145, 0.20],
                direct: [0.03, 0.04, 0.07],
                haze: [0.035, 0.045, 0.08],
                haze_reach: 160.0,
            },
        }
    }

    /// How a surface of this colour looks from `distance` away.
    pub(super) fn shade(&self, colour: Colour, normal: Vec3, at: Vec3, distance: f32) -> Colour {
        let sky = 0.75 + 0.25 * normal.z;
        let sun = normal.dot(self.sun).max(0.0);
        let lamps = if self.is_night { lamps_at(at) * (0.45 + 0.55 * normal.z.max(0.0)) } else { 0.0 };
        let lit = [0, 1, 2].map(|channel| {
            let light = self.ambient[channel] * sky + self.direct[channel] * sun;
            colour[channel] * (light + LAMP_COLOUR[channel] * lamps)
        });
        self.through_haze(lit, distance)
    }

    /// How a colour reaches the camera.
    pub(super) fn through_haze(&self, colour: Colour, distance: f32) -> Colour {
        mix(colour, self.haze, 1.0 - (-distance / self.haze_reach).exp())
    }

    /// A surface in the sun's shadow takes this share of its colour.
    pub(super) const fn shadow_alpha(&self) -> f32 {
        if self.is_night { 0.55 } else { 0.42 }
    }

    /// Where the sun throws a point's shadow on the ground. By night light comes from all around, and the
    /// shadow lies below.
    pub(super) fn shadow_of(&self, point: Vec3) -> Vec3 {
        let slope = if self.is_night { 0.12 } else { 1.0 };
        vec3(
            point.x - self.sun.x / self.sun.z * point.z * slope,
            point.y - self.sun.y / self.sun.z * point.z * slope,
            0.0,
        )
    }

    /// The sky at a height above the horizon: 0 there, 1 high up.
    pub(super) fn sky(&self, height: f32) -> Colour {
        let zenith = if self.is_night { [0.01, 0.015, 0.04] } else { [0.45, 0.64, 0.86] };
        mix(self.haze, zenith, height.clamp(0.0, 1.0).sqrt())
    }

    /// Light that something gives off by itself.
    pub(super) fn lamp(&self) -> Colour {
        scaled(LAMP_COLOUR, 1.0)
    }
}

fn lamps_at(at: Vec3) -> f32 {
    let from_one = |[x, y]: &[f32; 2]| {
        let squared = (at.x - x).powi(2) + (at.y - y).powi(2);
        (-squared / (LAMP_REACH * LAMP_REACH)).exp()
    };
    0.62 * LAMPS.iter().map(from_one).sum::<f32>()
}
