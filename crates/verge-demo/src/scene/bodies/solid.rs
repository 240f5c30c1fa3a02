//! Solids that cars and lorries are made of: a profile from tail to nose, as wide as it says at each corner.

use tiny_skia::BlendMode;

use super::Axes;
use crate::scene::canvas::{Colour, SceneCanvas, mix, scaled};
use crate::scene::geometry::{Vec3, convex_hull, vec3};
use crate::scene::light::Light;

/// What covers a strip of a body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Skin {
    Paint,
    Glass,
    Trim,
}

use Skin::{Glass, Paint, Trim};

/// A corner of a profile, from the tail's lower edge over the roof to the nose's: along the vehicle (-0.5 to
/// 0.5 of its length), height (of its whole), half width (of its half width), and what covers the strip to the
/// next corner.
type Corner = (f32, f32, f32, Skin);

/// The outline of a solid from its side.
pub(super) struct BodyProfile {
    corners: &'static [Corner],
    /// First and last corner of the part with the side windows.
    cabin: [usize; 2],
    is_convex: bool,
}

pub(super) const SALOON: BodyProfile = BodyProfile {
    corners: &[
        (-0.49, 0.17, 0.96, Trim),
        (-0.50, 0.36, 1.0, Paint),
        (-0.49, 0.58, 1.0, Paint),
        (-0.36, 0.62, 0.97, Glass),
        (-0.22, 0.97, 0.78, Paint),
        (0.04, 1.0, 0.78, Glass),
        (0.22, 0.64, 0.97, Paint),
        (0.44, 0.54, 0.96, Paint),
        (0.50, 0.40, 0.94, Trim),
        (0.49, 0.17, 0.94, Trim),
    ],
    cabin: [3, 6],
    is_convex: false,
};
pub(super) const HATCHBACK: BodyProfile = BodyProfile {
    corners: &[
        (-0.49, 0.17, 0.96, Trim),
        (-0.50, 0.38, 1.0, Paint),
        (-0.49, 0.60, 0.99, Glass),
        (-0.40, 0.95, 0.80, Paint),
        (0.03, 1.0, 0.80, Glass),
        (0.24, 0.64, 0.97, Paint),
        (0.45, 0.53, 0.96, Paint),
        (0.50, 0.38, 0.94, Trim),
        (0.49, 0.17, 0.94, Trim),
    ],
    cabin: [2, 5],
    is_convex: false,
};
pub(super) const VAN: BodyProfile = BodyProfile {
    corners: &[
        (-0.495, 0.17, 0.96, Trim),
        (-0.50, 0.34, 1.0, Paint),
        (-0.50, 0.58, 1.0, Glass),
        (-0.47, 0.98, 0.88, Paint),
        (0.14, 1.0, 0.88, Glass),
        (0.34, 0.62, 0.98, Paint),
        (0.48, 0.50, 0.96, Paint),
        (0.50, 0.34, 0.95, Trim),
        (0.49, 0.17, 0.95, Trim),
    ],
    cabin: [2, 5],
    is_convex: false,
};
/// Of a lorry.
pub(super) const CAB: BodyProfile = BodyProfile {
    corners: &[
        (-0.5, 0.15, 1.0, Paint),
        (-0.5, 0.94, 0.94, Paint),
        (0.28, 1.0, 0.92, Glass),
        (0.46, 0.56, 0.98, Paint),
        (0.5, 0.30, 0.98, Trim),
        (0.49, 0.13, 0.96, Trim),
    ],
    cabin: [1, 3],
    is_convex: true,
};
pub(super) const LOAD: BodyProfile = BodyProfile {
    corners: &[
        (-0.5, 0.0, 1.0, Paint),
        (-0.5, 1.0, 1.0, Paint),
        (0.5, 1.0, 1.0, Paint),
        (0.5, 0.0, 1.0, Paint),
    ],
    cabin: [1, 1],
    is_convex: true,
};

const GLASS: Colour = [0.13, 0.17, 0.21];
pub(super) const TRIM: Colour = [0.15, 0.15, 0.16];
/// A solid: a profile stretched to a size, somewhere along a vehicle.
pub(super) struct Solid {
    pub(super) profile: &'static BodyProfile,
    /// Its middle, ahead of the vehicle's.
    pub(super) ahead: f32,
    pub(super) length: f32,
    pub(super) half_width: f32,
    pub(super) bottom: f32,
    pub(super) height: f32,
    pub(super) paint: Colour,
}

impl Solid {
    /// Corner `index` on the left (`side` 1) or the right (-1).
    fn corner(&self, axes: &Axes, index: usize, side: f32) -> Vec3 {
        let (along, up, wide, _) = self.profile.corners[index];
        axes.at(
            self.ahead + along * self.length,
            side * wide * self.half_width,
            self.bottom + up * self.height,
        )
    }

    /// On both sides.
    pub(super) fn all_corners(&self, axes: &Axes) -> impl Iterator<Item = Vec3> {
        let indices = 0..self.profile.corners.len();
        indices.flat_map(|index| [1.0, -1.0].map(|side| self.corner(axes, index, side)))
    }

    /// Draws it, what is farther away first.
    pub(super) fn draw(&self, canvas: &mut SceneCanvas<'_>, light: &Light, axes: &Axes) {
        let eye = canvas.camera.eye;
        let corners = self.profile.corners;
        let mut strips: Vec<(f32, [Vec3; 4], Vec3, Skin)> = Vec::with_capacity(corners.len());
        for index in 0..corners.len() - 1 {
            let strip = [(index, 1.0), (index + 1, 1.0), (index + 1, -1.0), (index, -1.0)]
                .map(|(index, side)| self.corner(axes, index, side));
            let along = (corners[index + 1].0 - corners[index].0) * self.length;
            let up = (corners[index + 1].1 - corners[index].1) * self.height;
            let normal = axes.turn(-up, 0.0, along).unit();
            let to_eye = eye - strip[0];
            if normal.dot(to_eye) > 0.0 {
                strips.push((to_eye.length(), strip, normal, corners[index].3));
            }
        }
        if self.profile.is_convex {
            // Below the faces, whose soft edges would let the road shine through where two of them meet.
            let seen = self.all_corners(axes).filter_map(|corner| canvas.camera.project(corner));
            let outline = convex_hull(seen.collect());
            let colour = light.shade(scaled(self.paint, 0.8), axes.ahead, axes.middle, 30.0);
            canvas.outline(&outline, colour, 1.0, BlendMode::SourceOver);
        }
        strips.sort_by(|one, other| other.0.total_cmp(&one.0));
        for (distance, strip, normal, skin) in strips {
            let shade = |colour| light.shade(colour, normal, strip[0], distance);
            match skin {
                Paint => canvas.polygon(&strip, shade(self.paint)),
                Trim => canvas.polygon(&strip, shade(mix(self.paint, TRIM, 0.7))),
                Glass => {
                    canvas.polygon(&strip, shade(self.paint));
                    canvas.polygon(&inset(&strip, 0.88), glass(light, normal, strip[0], distance));
                }
            }
        }
        for side in [1.0, -1.0] {
            let normal = axes.turn(0.0, side, 0.0);
            let middle = axes.at(self.ahead, side * self.half_width, self.bottom + self.height / 2.0);
            if normal.dot(eye - middle) > 0.0 {
                self.draw_side(canvas, light, axes, side, normal);
            }
        }
    }

    fn draw_side(&self, canvas: &mut SceneCanvas<'_>, light: &Light, axes: &Axes, side: f32, normal: Vec3) {
        let corner = |index| self.corner(axes, index, side);
        let [from, to] = self.profile.cabin;
        let middle = corner(0);
        let distance = (canvas.camera.eye - middle).length();
        let shaded = light.shade(self.paint, normal, middle, distance);
        let whole: Vec<Vec3> = (0..self.profile.corners.len()).map(corner).collect();
        canvas.polygon(&whole, shaded);
        if from < to {
            let windows: Vec<Vec3> = (from..=to).map(corner).collect();
            let windows = inset(&windows, 0.82);
            canvas.polygon(&windows, glass(light, normal, middle, distance));
            // The pillar between the doors.
            let belt = (corner(from) + corner(to)) * 0.5;
            let pillar = self.length * 0.02;
            let foot = |ahead: f32, up: f32| belt + axes.turn(ahead, 0.0, up);
            let up = windows.iter().map(|point| point.z).fold(0.0, f32::max) - belt.z;
            canvas.polygon(
                &[foot(-pillar, 0.0), foot(-pillar, up), foot(pillar, up), foot(pillar, 0.0)],
                shaded,
            );
        }
    }
}

/// Glass is dark, and shows some of the sky.
fn glass(light: &Light, normal: Vec3, at: Vec3, distance: f32) -> Colour {
    let reflected = scaled(light.sky(0.4), 0.35 * normal.z.max(0.15));
    let own = light.shade(GLASS, normal, at, distance);
    [0, 1, 2].map(|channel| own[channel] + reflected[channel])
}

/// A polygon drawn in towards its middle.
fn inset(points: &[Vec3], factor: f32) -> Vec<Vec3> {
    let middle =
        points.iter().fold(vec3(0.0, 0.0, 0.0), |sum, point| sum + *point) * (1.0 / points.len() as f32);
    points.iter().map(|point| middle + (*point - middle) * factor).collect()
}
