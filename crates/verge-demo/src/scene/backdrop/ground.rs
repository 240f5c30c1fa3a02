//! Grass, pavements, roads and what is painted on them.

use std::f32::consts::FRAC_PI_2;

use crate::scene::canvas::{Colour, SceneCanvas};
use crate::scene::geometry::{Vec3, vec3};
use crate::scene::light::Light;
use crate::scene::routes::{
    BICYCLE_LANE, INNER_LANE, MAIN_HALF_WIDTH, MAIN_STOP, OUTER_LANE, SIDE_HALF_WIDTH, SIDE_STOP,
};
use crate::scene::{HEIGHT, WIDTH};

const GRASS: Colour = [0.36, 0.47, 0.24];
const PAVEMENT: Colour = [0.66, 0.64, 0.60];
const KERB: Colour = [0.78, 0.77, 0.74];
const ASPHALT: Colour = [0.33, 0.34, 0.355];
const BICYCLE_SURFACE: Colour = [0.50, 0.27, 0.23];
const WHITE: Colour = [0.90, 0.90, 0.88];
const YELLOW: Colour = [0.88, 0.70, 0.22];
/// Roads reach to the haze.
const FAR: f32 = 400.0;
const CORNER_RADIUS: f32 = 5.0;

pub(super) fn draw(canvas: &mut SceneCanvas<'_>, light: &Light) {
    let whole = 3000.0;
    canvas.polygon(
        &[
            vec3(-whole, -whole, 0.0),
            vec3(whole, -whole, 0.0),
            vec3(whole, whole, 0.0),
            vec3(-whole, whole, 0.0),
        ],
        GRASS,
    );
    crossing(canvas, 3.6, CORNER_RADIUS - 3.0, PAVEMENT);
    crossing(canvas, 0.22, CORNER_RADIUS - 0.2, KERB);
    crossing(canvas, 0.0, CORNER_RADIUS, ASPHALT);
    mark(canvas);
    finish(canvas, light);
}

/// Both roads, each side wider by `margin`, with rounded corners between them.
fn crossing(canvas: &mut SceneCanvas<'_>, margin: f32, radius: f32, colour: Colour) {
    let (main, side) = (MAIN_HALF_WIDTH + margin, SIDE_HALF_WIDTH + margin);
    rectangle(canvas, [-FAR, FAR], [-main, main], colour);
    rectangle(canvas, [-side, side], [-FAR, FAR], colour);
    for (east, north) in [(1.0, 1.0), (-1.0, 1.0), (-1.0, -1.0), (1.0, -1.0)] {
        let mut corner = vec![vec3(east * (side - 0.1), north * (main - 0.1), 0.0)];
        corner.extend((0_u8..=8).map(|step| {
            let (sin, cos) = (f32::from(step) / 8.0 * FRAC_PI_2).sin_cos();
            vec3(east * (side + radius * (1.0 - cos)), north * (main + radius * (1.0 - sin)), 0.0)
        }));
        canvas.polygon(&corner, colour);
    }
}

fn rectangle(canvas: &mut SceneCanvas<'_>, [west, east]: [f32; 2], [south, north]: [f32; 2], colour: Colour) {
    let points = [[west, south], [east, south], [east, north], [west, north]];
    canvas.polygon(&points.map(|[x, y]| vec3(x, y, 0.0)), colour);
}

/// On both arms of a road: `along` from the middle outwards, `across` its axis. `is_main` swaps east and north.
fn both_arms(canvas: &mut SceneCanvas<'_>, is_main: bool, along: [f32; 2], across: [f32; 2], colour: Colour) {
    let mirrored = |[low, high]: [f32; 2]| [-high, -low];
    for (along, across) in [(along, across), (mirrored(along), mirrored(across))] {
        if is_main {
            rectangle(canvas, along, across, colour);
        } else {
            rectangle(canvas, mirrored(across), along, colour);
        }
    }
}

fn mark(canvas: &mut SceneCanvas<'_>) {
    let lane_edge = f32::midpoint(INNER_LANE, OUTER_LANE);
    let bicycle_edge = f32::midpoint(OUTER_LANE, BICYCLE_LANE) + 0.45;
    let kerb = MAIN_HALF_WIDTH - 0.15;
    rectangle(canvas, [-FAR, FAR], [bicycle_edge, kerb], BICYCLE_SURFACE);
    rectangle(canvas, [-FAR, FAR], [-kerb, -bicycle_edge], BICYCLE_SURFACE);
    let line = |at: f32, half: f32| [at - half, at + half];
    for sign in [1.0, -1.0] {
        both_arms(canvas, true, [MAIN_STOP, FAR], line(sign * bicycle_edge, 0.07), WHITE);
        both_arms(canvas, true, [MAIN_STOP, FAR], line(sign * 0.16, 0.06), YELLOW);
        // Dashes separate the lanes, near the junction an unbroken line.
        both_arms(canvas, true, [MAIN_STOP, MAIN_STOP + 14.0], line(sign * lane_edge, 0.07), WHITE);
        for dash in 0_u8..16 {
            let from = MAIN_STOP + 17.0 + f32::from(dash) * 6.0;
            both_arms(canvas, true, [from, from + 3.0], line(sign * lane_edge, 0.07), WHITE);
        }
        // The crossing of the junction for bicycles.
        for dash in -5_i8..=5 {
            let middle = f32::from(dash) * 1.4;
            rectangle(canvas, line(middle, 0.4), line(sign * bicycle_edge, 0.08), WHITE);
        }
    }
    both_arms(canvas, false, [SIDE_STOP, SIDE_STOP + 14.0], line(0.0, 0.07), YELLOW);
    for dash in 0_u8..14 {
        let from = SIDE_STOP + 17.0 + f32::from(dash) * 6.0;
        both_arms(canvas, false, [from, from + 3.0], line(0.0, 0.07), WHITE);
    }
    // Stop lines: of the incoming lanes, on the right of oncoming vehicles.
    both_arms(canvas, true, line(MAIN_STOP + 0.2, 0.22), [0.3, kerb], WHITE);
    both_arms(canvas, false, line(SIDE_STOP + 0.2, 0.22), [0.2, SIDE_HALF_WIDTH - 0.2], WHITE);
    // Crossings for pedestrians.
    for stripe in -8_i8..=8 {
        let at = f32::from(stripe);
        if at.abs() < kerb - 0.4 {
            both_arms(canvas, true, [MAIN_STOP - 4.4, MAIN_STOP - 1.4], line(at, 0.26), WHITE);
        }
        if at.abs() < SIDE_HALF_WIDTH - 0.4 {
            both_arms(canvas, false, [SIDE_STOP - 4.8, SIDE_STOP - 1.8], line(at, 0.26), WHITE);
        }
    }
    for lane in [INNER_LANE, OUTER_LANE] {
        arrow(canvas, MAIN_STOP + 5.0, lane, lane == OUTER_LANE);
    }
}

/// The direction of a lane, painted on it.
fn arrow(canvas: &mut SceneCanvas<'_>, from: f32, lane: f32, turns_right: bool) {
    let shaft = [[0.8, -0.09], [0.8, 0.09], [3.6, 0.09], [3.6, -0.09]];
    let head = [[0.0, 0.0], [1.1, 0.36], [1.1, -0.36], [1.1, -0.36]];
    let branch = [[2.2, 0.1], [1.9, 0.6], [1.7, 0.6], [2.0, 0.1]];
    let branch_head = [[1.8, 1.0], [2.2, 0.55], [1.4, 0.55], [1.4, 0.55]];
    let shapes: &[[[f32; 2]; 4]] =
        if turns_right { &[shaft, head, branch, branch_head] } else { &[shaft, head] };
    for sign in [1.0, -1.0] {
        for shape in shapes {
            canvas.polygon(&shape.map(|[x, y]| vec3(sign * (from + x), sign * (lane + y), 0.0)), WHITE);
        }
    }
}

/// Lights the ground, roughens it, and lets the haze take what is far away.
fn finish(canvas: &mut SceneCanvas<'_>, light: &Light) {
    let upwards = vec3(0.0, 0.0, 1.0);
    let camera = canvas.camera;
    for (pixel, index) in canvas.pixmap.data_mut().chunks_exact_mut(4).zip(0_u32..) {
        let place = [(index % WIDTH) as f32 + 0.5, (index / WIDTH) as f32 + 0.5];
        let Some((ground, distance)) = camera.ground_at(place) else { continue };
        debug_assert!(index / WIDTH < HEIGHT);
        let colour = [0, 1, 2].map(|channel| f32::from(pixel[channel]) / 255.0);
        let colour = colour.map(|channel| channel * roughness(ground, colour, distance));
        let lit = light.shade(colour, upwards, ground, distance);
        for (sample, channel) in pixel.iter_mut().zip(lit) {
            *sample = (channel.clamp(0.0, 1.0) * 255.0).round() as u8;
        }
    }
}

/// How much brighter or darker than its colour a spot is: patches, wheel tracks, grain. Grass has more of it.
fn roughness(ground: Vec3, colour: Colour, distance: f32) -> f32 {
    let is_grass = colour[1] > colour[0] + 0.05;
    let coarse = noise(ground.x * 0.23, ground.y * 0.23) + 0.5 * noise(ground.x * 0.9, ground.y * 0.9);
    // What is finer than a pixel must not flicker.
    let fine = noise(ground.x * 5.0, ground.y * 5.0) * (1.0 - distance / 60.0).max(0.0);
    if is_grass { 1.0 + 0.16 * coarse + 0.28 * fine } else { 1.0 + 0.05 * coarse + 0.09 * fine }
}

/// Smooth noise between -1 and 1: random values at whole coordinates, blended in between.
pub(super) fn noise(x: f32, y: f32) -> f32 {
    let value = |x: f32, y: f32| {
        let mixed = (x as i32).wrapping_mul(374_761_393) ^ (y as i32).wrapping_mul(668_265_263);
        let mixed = (mixed ^ (mixed >> 13)).wrapping_mul(1_274_126_177);
        ((mixed ^ (mixed >> 16)) & 0xffff) as f32 / 32_767.5 - 1.0
    };
    let (west, south) = (x.floor(), y.floor());
    let smooth = |share: f32| share * share * (3.0 - 2.0 * share);
    let (along, up) = (smooth(x - west), smooth(y - south));
    let row = |y: f32| value(west, y) + (value(west + 1.0, y) - value(west, y)) * along;
    row(south) + (row(south + 1.0) - row(south)) * up
}
