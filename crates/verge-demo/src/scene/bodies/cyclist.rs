//! A bicycle and its rider.

use super::{Axes, TYRE, circle, pick};
use crate::scene::canvas::{Colour, SceneCanvas};
use crate::scene::geometry::{Vec3, vec3};
use crate::scene::light::Light;
use crate::scene::traffic::Vehicle;

const WHEEL_RADIUS: f32 = 0.34;
/// From the middle to each hub.
const HUB: f32 = 0.52;
const HEAD_RADIUS: f32 = 0.13;
/// Ground covered by one turn of the pedals.
const METRES_PER_TURN: f32 = 4.5;
const FRAMES: [Colour; 4] = [[0.75, 0.15, 0.12], [0.12, 0.30, 0.60], [0.15, 0.16, 0.18], [0.80, 0.80, 0.78]];
const JERSEYS: [Colour; 6] = [
    [0.90, 0.78, 0.15],
    [0.85, 0.28, 0.14],
    [0.20, 0.48, 0.75],
    [0.88, 0.88, 0.86],
    [0.26, 0.58, 0.32],
    [0.60, 0.24, 0.50],
];
const TROUSERS: [Colour; 3] = [[0.14, 0.16, 0.22], [0.30, 0.27, 0.22], [0.10, 0.10, 0.11]];
const HELMETS: [Colour; 4] = [[0.92, 0.92, 0.90], [0.15, 0.15, 0.16], [0.78, 0.16, 0.14], [0.18, 0.36, 0.66]];

/// Points whose convex hull is the outline of both.
pub(super) fn extent(vehicle: &Vehicle, axes: &Axes) -> Vec<Vec3> {
    let mut points = Vec::with_capacity(30);
    for hub in [-HUB, HUB] {
        points.extend(circle(axes, axes.at(hub, 0.0, WHEEL_RADIUS), WHEEL_RADIUS + 0.03));
    }
    let head = head(vehicle, axes);
    for (ahead, left, up) in
        [(1.0, 0.0, 0.3), (-1.0, 0.0, 0.3), (0.0, 1.0, 0.3), (0.0, -1.0, 0.3), (0.0, 0.0, 1.0)]
    {
        points.push(head + axes.turn(ahead, left, up) * HEAD_RADIUS);
    }
    let half_width = vehicle.width / 2.0;
    points.extend([half_width, -half_width].map(|left| axes.at(0.05, left, vehicle.height * 0.75)));
    points
}

fn head(vehicle: &Vehicle, axes: &Axes) -> Vec3 {
    axes.at(0.12, 0.0, vehicle.height - HEAD_RADIUS)
}

pub(super) fn draw(canvas: &mut SceneCanvas<'_>, light: &Light, vehicle: &Vehicle, axes: &Axes) {
    let distance = (canvas.camera.eye - axes.middle).length();
    let towards_eye = (canvas.camera.eye - axes.middle).unit();
    let shade = |colour: Colour, brighter: f32| {
        light.shade(colour.map(|channel| channel * brighter), towards_eye, axes.middle, distance)
    };
    let looks = vehicle.looks;
    let tube = shade(pick(&FRAMES, looks), 1.0);
    let trousers = pick(&TROUSERS, looks >> 4);
    let jersey = pick(&JERSEYS, looks >> 8);
    let at = |ahead: f32, left: f32, up: f32| axes.at(ahead, left, up);
    let crank = at(-0.06, 0.0, 0.30);
    let saddle = at(-0.22, 0.0, 0.92);
    let bars = at(0.36, 0.0, 1.0);
    for hub in [-HUB, HUB] {
        let rim = circle(axes, at(hub, 0.0, WHEEL_RADIUS), WHEEL_RADIUS);
        canvas.ring(&rim, 0.06, shade(TYRE, 1.0));
    }
    let (rear, front) = (at(-HUB, 0.0, WHEEL_RADIUS), at(HUB, 0.0, WHEEL_RADIUS));
    let neck = at(0.34, 0.0, 0.84);
    canvas.line(&[rear, crank, saddle, rear], 0.045, tube);
    canvas.line(&[crank, neck, saddle], 0.045, tube);
    canvas.line(&[front, neck, bars], 0.045, tube);

    let hip = at(-0.18, 0.0, 1.0);
    let shoulder = at(0.10, 0.0, vehicle.height * 0.82);
    let turn = vehicle.way() / METRES_PER_TURN * std::f32::consts::TAU;
    let right_is_nearer = axes.left.dot(canvas.camera.eye - axes.middle) < 0.0;
    let near = if right_is_nearer { -1.0 } else { 1.0 };
    let leg = |canvas: &mut SceneCanvas<'_>, side: f32, brighter: f32| {
        let (sin, cos) = if side > 0.0 { turn.sin_cos() } else { (-turn.sin(), -turn.cos()) };
        let foot = crank + axes.turn(cos * 0.17, side * 0.12, sin * 0.17);
        // The knee is ahead of the line from hip to foot.
        let knee = (hip + foot) * 0.5 + axes.turn(0.2, side * 0.05, 0.1);
        canvas.line(&[hip + axes.turn(0.0, side * 0.1, 0.0), knee, foot], 0.15, shade(trousers, brighter));
    };
    let arm = |canvas: &mut SceneCanvas<'_>, side: f32, brighter: f32| {
        let hand = bars + axes.turn(0.0, side * 0.24, 0.0);
        canvas.line(&[shoulder + axes.turn(0.0, side * 0.18, 0.0), hand], 0.09, shade(jersey, brighter));
    };
    leg(canvas, -near, 0.75);
    arm(canvas, -near, 0.75);
    canvas.line(&[hip, shoulder], 0.32, shade(jersey, 1.0));
    let across = axes.turn(0.0, 0.16, 0.0);
    canvas.line(&[shoulder + across, shoulder - across], 0.2, shade(jersey, 1.05));
    leg(canvas, near, 1.0);
    arm(canvas, near, 0.9);
    let head = head(vehicle, axes);
    let pixels = canvas.camera.pixels_per_metre(head);
    if let Some(middle) = canvas.camera.project(head) {
        canvas.disc(middle, HEAD_RADIUS * pixels, shade([0.78, 0.60, 0.48], 1.0));
    }
    if let Some(middle) = canvas.camera.project(head + vec3(0.0, 0.0, 0.05)) {
        canvas.disc(middle, HEAD_RADIUS * 0.95 * pixels, shade(pick(&HELMETS, looks >> 12), 1.05));
    }
}
