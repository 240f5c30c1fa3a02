//! Lamps of vehicles: their lenses by day; beams and glare by night.

use super::Axes;
use crate::scene::canvas::{Colour, SceneCanvas};
use crate::scene::geometry::{Vec3, vec3};
use crate::scene::light::Light;
use crate::scene::traffic::{Vehicle, VehicleKind};

const HEADLAMP: Colour = [1.0, 0.96, 0.86];
const TAIL_LAMP: Colour = [0.95, 0.06, 0.05];
/// A headlamp that is looked straight into blinds the camera within this many pixels, from one metre away; with
/// the square root of the distance it shrinks.
const GLARE: f32 = 270.0;
/// Of light that make up a beam: enough to have no visible edges.
const LAYERS: u8 = 15;

/// One lamp: where it is, in which direction it shines, how far it reaches to each side.
struct Lamp {
    at: Vec3,
    shines: f32,
    half_width: f32,
}

fn lamps(vehicle: &Vehicle, axes: &Axes) -> Vec<Lamp> {
    let half_length = vehicle.length / 2.0 + 0.02;
    let (front, rear, height, half_width) = match vehicle.kind {
        VehicleKind::Car => (0.36, 0.38, vehicle.height * 0.46, 0.16),
        VehicleKind::Truck => (0.40, 0.42, 0.85, 0.16),
        VehicleKind::Bicycle => (0.0, 0.0, 0.75, 0.04),
    };
    let mut lamps = Vec::with_capacity(4);
    for (shines, apart) in [(1.0, front), (-1.0, rear)] {
        let sides: &[f32] = if vehicle.kind == VehicleKind::Bicycle { &[0.0] } else { &[1.0, -1.0] };
        for side in sides {
            let at = axes.at(shines * half_length, side * apart * vehicle.width, height);
            lamps.push(Lamp { at, shines, half_width });
        }
    }
    lamps
}

/// How much of a lamp's light comes straight at the camera, 0 to 1.
fn towards_camera(canvas: &SceneCanvas<'_>, axes: &Axes, lamp: &Lamp) -> f32 {
    (axes.ahead * lamp.shines).dot((canvas.camera.eye - lamp.at).unit()).max(0.0)
}

/// Their lenses, and the number plates.
pub(super) fn draw_lenses(canvas: &mut SceneCanvas<'_>, light: &Light, vehicle: &Vehicle, axes: &Axes) {
    for lamp in lamps(vehicle, axes) {
        if towards_camera(canvas, axes, &lamp) <= 0.0 {
            continue;
        }
        let normal = axes.ahead * lamp.shines;
        let distance = (canvas.camera.eye - lamp.at).length();
        let shade = |colour| light.shade(colour, normal, lamp.at, distance);
        let colour = match (lamp.shines > 0.0, light.is_night || vehicle.braking) {
            (true, _) if light.is_night => HEADLAMP,
            (true, _) => shade([1.0, 1.0, 0.98]),
            (false, true) if vehicle.braking => [1.0, 0.22, 0.16],
            (false, true) => [0.7, 0.05, 0.05],
            (false, false) => shade([0.75, 0.10, 0.08]),
        };
        let corner = |left: f32, up: f32| lamp.at + axes.turn(0.0, left * lamp.half_width, up * 0.09);
        canvas.polygon(&[corner(-1.0, -1.0), corner(-1.0, 1.0), corner(1.0, 1.0), corner(1.0, -1.0)], colour);
    }
    let to_eye = canvas.camera.eye - axes.middle;
    let end = if axes.ahead.dot(to_eye) > 0.0 { 1.0 } else { -1.0 };
    let plate = |left: f32, up: f32| axes.at(end * (vehicle.length / 2.0 + 0.02), left, up);
    let colour = light.shade([0.92, 0.92, 0.9], axes.ahead * end, axes.middle, to_eye.length());
    canvas.polygon(&[plate(-0.26, 0.38), plate(-0.26, 0.5), plate(0.26, 0.5), plate(0.26, 0.38)], colour);
}

/// What the headlamps light up of the road.
pub(super) fn draw_beam(canvas: &mut SceneCanvas<'_>, vehicle: &Vehicle, axes: &Axes) {
    let (reach, alpha) = if vehicle.kind == VehicleKind::Bicycle { (0.35, 0.013) } else { (1.0, 0.025) };
    let start = vehicle.length / 2.0;
    for layer in 1_u8..=LAYERS {
        let share = f32::from(layer) / f32::from(LAYERS);
        let (half_length, half_width) = (6.5 * share * reach, 2.4 * share * reach);
        let middle = start + (1.0 + 6.0 * share) * reach;
        let pool: [Vec3; 16] = std::array::from_fn(|index| {
            let (sin, cos) = (index as f32 / 16.0 * std::f32::consts::TAU).sin_cos();
            // Wider ahead than at the lamps.
            axes.at(middle + half_length * cos, half_width * sin * (1.0 + 0.35 * cos), 0.0)
        });
        canvas.light(&pool, HEADLAMP, alpha);
    }
}

/// The light that comes straight at the camera.
pub(super) fn draw_glare(canvas: &mut SceneCanvas<'_>, vehicle: &Vehicle, axes: &Axes) {
    for lamp in lamps(vehicle, axes) {
        let share = towards_camera(canvas, axes, &lamp);
        let distance = (canvas.camera.eye - lamp.at).length();
        let Some(pixel) = canvas.camera.project(lamp.at).filter(|_| share > 0.05) else { continue };
        let weaker = if vehicle.kind == VehicleKind::Bicycle { 0.45 } else { 1.0 };
        let radius = GLARE / distance.sqrt() * share * weaker;
        if lamp.shines > 0.0 {
            canvas.glow(pixel, radius, HEADLAMP, 0.8 * share);
            canvas.disc(pixel, (radius * 0.07).max(1.0), [1.0, 1.0, 0.97]);
        } else {
            let brighter = if vehicle.braking { 1.0 } else { 0.55 };
            canvas.glow(pixel, radius * 0.45, TAIL_LAMP, 0.8 * brighter * share);
        }
    }
    if vehicle.kind != VehicleKind::Bicycle {
        return;
    }
    // Spokes reflect, so that a bicycle is seen from its side too.
    let across = axes.left.dot((canvas.camera.eye - axes.middle).unit()).abs();
    for hub in [-0.52, 0.52] {
        if let Some(pixel) = canvas.camera.project(axes.middle + axes.ahead * hub + vec3(0.0, 0.0, 0.34)) {
            canvas.glow(pixel, 5.0, [1.0, 0.7, 0.2], 0.6 * across);
        }
    }
}
