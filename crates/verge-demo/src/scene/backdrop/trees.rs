//! Trees: a trunk, and a crown of many small clumps of leaves.

use crate::scene::canvas::{Colour, SceneCanvas, mix};
use crate::scene::geometry::{Vec3, vec3};
use crate::scene::light::Light;

/// Clumps of a crown.
const CLUMPS: u32 = 260;
const DARK_LEAVES: Colour = [0.13, 0.24, 0.09];
const BRIGHT_LEAVES: Colour = [0.47, 0.60, 0.25];
const BARK: Colour = [0.30, 0.23, 0.17];

/// A tree.
#[derive(Debug, Clone, Copy)]
pub(in crate::scene) struct Tree {
    pub(in crate::scene) x: f32,
    pub(in crate::scene) y: f32,
    /// Of its whole, in metres.
    pub(in crate::scene) height: f32,
    /// Of its crown.
    pub(in crate::scene) radius: f32,
}

/// Trees that no vehicle passes behind, as either camera sees it.
pub(in crate::scene) const BEHIND: [Tree; 12] = [
    tree(-11.5, -17.0, 6.5, 2.3),
    tree(-22.0, -15.5, 7.0, 2.5),
    tree(-36.0, -15.8, 6.2, 2.4),
    tree(-48.0, -15.5, 7.2, 2.6),
    tree(10.5, -30.0, 6.8, 2.2),
    tree(10.8, -48.0, 7.0, 2.4),
    tree(11.5, -19.5, 6.0, 2.1),
    tree(12.5, 17.0, 6.8, 2.4),
    tree(24.0, 16.5, 7.2, 2.6),
    tree(38.0, 16.5, 6.6, 2.4),
    tree(11.0, 30.0, 7.0, 2.4),
    tree(11.0, 46.0, 7.4, 2.5),
];

/// The tree that hides a part of a lane from the northern camera.
pub(in crate::scene) const IN_FRONT: Tree = tree(-13.5, 12.6, 7.2, 2.7);

const fn tree(x: f32, y: f32, height: f32, radius: f32) -> Tree {
    Tree { x, y, height, radius }
}

impl Tree {
    /// Where it stands.
    pub(in crate::scene) const fn foot(&self) -> Vec3 {
        vec3(self.x, self.y, 0.0)
    }

    /// Draws it, with its shadow.
    pub(in crate::scene) fn draw(&self, canvas: &mut SceneCanvas<'_>, light: &Light) {
        if canvas.camera.depth(self.foot()) > self.radius + 1.0 {
            self.draw_shadow(canvas, light);
            self.draw_upright(canvas, light);
        }
    }

    /// Its shadow on the ground.
    pub(in crate::scene) fn draw_shadow(&self, canvas: &mut SceneCanvas<'_>, light: &Light) {
        let mut rng = fastrand::Rng::with_seed(self.seed());
        let middle = light.shadow_of(self.crown());
        let foot = self.foot();
        let bark = vec3(0.12, 0.12, 0.0);
        canvas.veil(&[foot - bark, foot + bark, middle + bark, middle - bark], [0.02, 0.03, 0.05], 0.3);
        for _ in 0..14 {
            let turn = rng.f32() * std::f32::consts::TAU;
            let out = self.radius * 0.62 * rng.f32().sqrt();
            let clump = middle + vec3(turn.cos(), turn.sin(), 0.0) * out;
            let radius = self.radius * (0.35 + 0.2 * rng.f32());
            let spot: [Vec3; 10] = std::array::from_fn(|index| {
                let (sin, cos) = (index as f32 / 10.0 * std::f32::consts::TAU).sin_cos();
                clump + vec3(cos, sin, 0.0) * radius
            });
            canvas.veil(&spot, [0.02, 0.03, 0.05], 0.11);
        }
    }

    /// Trunk and crown.
    pub(in crate::scene) fn draw_upright(&self, canvas: &mut SceneCanvas<'_>, light: &Light) {
        let mut rng = fastrand::Rng::with_seed(self.seed());
        let crown = self.crown();
        let distance = (canvas.camera.eye - crown).length();
        let towards_eye = (canvas.camera.eye - crown).unit();
        let bark = light.shade(BARK, towards_eye, self.foot(), distance);
        canvas.line(&[self.foot(), crown], 0.3, bark);
        let pixels = canvas.camera.pixels_per_metre(crown);
        let mut clumps: Vec<(f32, Vec3)> = (0..CLUMPS)
            .map(|_| {
                // Evenly in the crown, more of them near its skin, where they are seen.
                let up = rng.f32() * 2.0 - 1.0;
                let turn = rng.f32() * std::f32::consts::TAU;
                let round = (1.0 - up * up).sqrt();
                let out = rng.f32().powf(0.25);
                let place = vec3(turn.cos() * round, turn.sin() * round, up * 0.92) * out;
                (canvas.camera.depth(crown + place * self.radius), place)
            })
            .collect();
        clumps.sort_by(|one, other| other.0.total_cmp(&one.0));
        for (_, place) in clumps {
            let at = crown + place * self.radius;
            let lit = (0.5 + 0.42 * place.dot(light.sun) + 0.22 * (rng.f32() - 0.5)).clamp(0.0, 1.0);
            let leaves = mix(DARK_LEAVES, BRIGHT_LEAVES, lit);
            let colour = light.shade(leaves, place.unit(), at, distance);
            if let Some(pixel) = canvas.camera.project(at) {
                canvas.disc(pixel, self.radius * (0.10 + 0.10 * rng.f32()) * pixels, colour);
            }
        }
    }

    fn crown(&self) -> Vec3 {
        vec3(self.x, self.y, self.height - self.radius)
    }

    /// No two look alike, and each always looks the same.
    fn seed(&self) -> u64 {
        u64::from(self.x.to_bits()) << 32 | u64::from(self.y.to_bits())
    }
}
