//! What vehicles look like: cars and lorries as profiles with a width, bicycles as lines.

use super::canvas::{Colour, SceneCanvas};
use super::geometry::{Pixel, Vec3, convex_hull, vec3};
use super::light::Light;
use super::routes::Pose;
use super::traffic::{Vehicle, VehicleKind};

mod cyclist;
mod lights;
mod solid;

use solid::{BodyProfile, CAB, HATCHBACK, LOAD, SALOON, Solid, TRIM, VAN};

/// A car's profile, and how much higher than others cars of this kind are.
const CARS: [(&BodyProfile, f32); 3] = [(&SALOON, 1.0), (&HATCHBACK, 1.0), (&VAN, 1.2)];
const PAINTS: [Colour; 12] = [
    [0.90, 0.90, 0.88],
    [0.93, 0.93, 0.92],
    [0.66, 0.68, 0.70],
    [0.42, 0.44, 0.47],
    [0.13, 0.14, 0.16],
    [0.20, 0.21, 0.24],
    [0.12, 0.22, 0.48],
    [0.68, 0.12, 0.12],
    [0.50, 0.10, 0.16],
    [0.16, 0.36, 0.28],
    [0.80, 0.62, 0.28],
    [0.38, 0.58, 0.74],
];
const LOADS: [Colour; 6] = [
    [0.90, 0.90, 0.88],
    [0.84, 0.82, 0.76],
    [0.24, 0.42, 0.62],
    [0.76, 0.34, 0.20],
    [0.34, 0.52, 0.40],
    [0.92, 0.78, 0.34],
];
const TYRE: Colour = [0.07, 0.07, 0.08];

/// From a vehicle's own directions (ahead, to the left, up, from the ground below its middle) to the site's.
#[derive(Debug, Clone, Copy)]
struct Axes {
    middle: Vec3,
    ahead: Vec3,
    left: Vec3,
}

impl Axes {
    fn new(pose: Pose) -> Self {
        let (sin, cos) = pose.heading.sin_cos();
        Self { middle: vec3(pose.x, pose.y, 0.0), ahead: vec3(cos, sin, 0.0), left: vec3(-sin, cos, 0.0) }
    }

    fn at(&self, ahead: f32, left: f32, up: f32) -> Vec3 {
        self.middle + self.ahead * ahead + self.left * left + vec3(0.0, 0.0, up)
    }

    fn turn(&self, ahead: f32, left: f32, up: f32) -> Vec3 {
        self.ahead * ahead + self.left * left + vec3(0.0, 0.0, up)
    }
}

/// One of these, by a vehicle's looks.
fn pick<T: Copy>(choices: &[T], looks: u64) -> T {
    choices[(looks % choices.len() as u64) as usize]
}

/// The solids of a car or a lorry, the one at the tail first.
fn solids(vehicle: &Vehicle) -> Vec<Solid> {
    let paint = pick(&PAINTS, vehicle.looks);
    let half_width = vehicle.width / 2.0;
    if vehicle.kind == VehicleKind::Car {
        let (profile, higher) = pick(&CARS, vehicle.looks >> 8);
        let height = vehicle.height * higher;
        return vec![Solid {
            profile,
            ahead: 0.0,
            length: vehicle.length,
            half_width,
            bottom: 0.0,
            height,
            paint,
        }];
    }
    let cab = 2.1;
    let load = vehicle.length - cab - 0.3;
    vec![
        Solid {
            profile: &LOAD,
            ahead: (load - vehicle.length) / 2.0,
            length: load,
            half_width,
            bottom: 0.85,
            height: vehicle.height - 0.85,
            paint: pick(&LOADS, vehicle.looks >> 8),
        },
        Solid {
            profile: &CAB,
            ahead: (vehicle.length - cab) / 2.0,
            length: cab,
            half_width: half_width * 0.96,
            bottom: 0.3,
            height: vehicle.height.min(3.0) - 0.5,
            paint,
        },
    ]
}

/// Points of a vehicle whose convex hull is its outline from any side.
pub(super) fn extent(vehicle: &Vehicle, pose: Pose) -> Vec<Vec3> {
    let axes = Axes::new(pose);
    if vehicle.kind == VehicleKind::Bicycle {
        return cyclist::extent(vehicle, &axes);
    }
    let mut points = Vec::new();
    solids(vehicle).iter().for_each(|solid| points.extend(solid.all_corners(&axes)));
    // Where its wheels stand.
    let (half_length, half_width) = (vehicle.length * 0.36, vehicle.width * 0.48);
    for (ahead, left) in [(1.0, 1.0), (1.0, -1.0), (-1.0, 1.0), (-1.0, -1.0)] {
        points.push(axes.at(ahead * half_length, left * half_width, 0.0));
    }
    points
}

/// Corners of the ground that it covers.
pub(super) fn footprint(vehicle: &Vehicle, pose: Pose) -> [[f32; 2]; 4] {
    let axes = Axes::new(pose);
    let (half_length, half_width) = (vehicle.length / 2.0, vehicle.width / 2.0);
    [(1.0, 1.0), (-1.0, 1.0), (-1.0, -1.0), (1.0, -1.0)].map(|(ahead, left)| {
        let corner = axes.at(ahead * half_length, left * half_width, 0.0);
        [corner.x, corner.y]
    })
}

/// The shadow it throws and the light of its lamps, on the ground.
pub(super) fn draw_on_ground(canvas: &mut SceneCanvas<'_>, light: &Light, vehicle: &Vehicle, pose: Pose) {
    let ground = extent(vehicle, pose).into_iter().map(|point| {
        let shadow = light.shadow_of(point);
        [shadow.x, shadow.y]
    });
    let shadow: Vec<Vec3> = convex_hull(ground.collect()).into_iter().map(|[x, y]| vec3(x, y, 0.0)).collect();
    canvas.veil(&shadow, [0.02, 0.03, 0.06], light.shadow_alpha());
    if light.is_night {
        lights::draw_beam(canvas, vehicle, &Axes::new(pose));
    }
}

/// The vehicle itself.
pub(super) fn draw(canvas: &mut SceneCanvas<'_>, light: &Light, vehicle: &Vehicle, pose: Pose) {
    let axes = Axes::new(pose);
    if vehicle.kind == VehicleKind::Bicycle {
        cyclist::draw(canvas, light, vehicle, &axes);
    } else {
        draw_body(canvas, light, vehicle, &axes);
    }
    if light.is_night {
        lights::draw_glare(canvas, vehicle, &axes);
    }
}

fn draw_body(canvas: &mut SceneCanvas<'_>, light: &Light, vehicle: &Vehicle, axes: &Axes) {
    let from_behind = axes.ahead.dot(canvas.camera.eye - axes.middle) < 0.0;
    let mut solids = solids(vehicle);
    // What is farther away comes first.
    if from_behind {
        solids.reverse();
    }
    let is_truck = vehicle.kind == VehicleKind::Truck;
    let (radius, axles): (f32, &[f32]) =
        if is_truck { (0.48, &[-0.36, -0.22, 0.36]) } else { (0.33, &[-0.30, 0.31]) };
    let wheels = |canvas: &mut SceneCanvas<'_>| {
        for side in [1.0, -1.0] {
            let wall = side * (vehicle.width / 2.0 + 0.01);
            if axes.turn(0.0, side, 0.0).dot(canvas.camera.eye - axes.at(0.0, wall, 0.0)) <= 0.0 {
                continue;
            }
            for axle in axles {
                let hub = axes.at(axle * vehicle.length, wall, radius);
                wheel(canvas, light, axes, hub, radius);
            }
        }
    };
    if is_truck {
        // The chassis that load and cab stand on.
        let chassis = Solid {
            profile: &LOAD,
            ahead: 0.0,
            length: vehicle.length * 0.94,
            half_width: vehicle.width * 0.42,
            bottom: 0.45,
            height: 0.45,
            paint: TRIM,
        };
        chassis.draw(canvas, light, axes);
        wheels(canvas);
    }
    for solid in solids {
        solid.draw(canvas, light, axes);
    }
    if !is_truck {
        wheels(canvas);
    }
    lights::draw_lenses(canvas, light, vehicle, axes);
}

fn wheel(canvas: &mut SceneCanvas<'_>, light: &Light, axes: &Axes, hub: Vec3, radius: f32) {
    let distance = (canvas.camera.eye - hub).length();
    let normal = (canvas.camera.eye - hub).unit();
    for (share, colour) in [(1.0, TYRE), (0.55, [0.45, 0.46, 0.48])] {
        let rim = circle(axes, hub, radius * share);
        canvas.polygon(&rim, light.shade(colour, normal, hub, distance));
    }
}

/// Points of an upright circle along the vehicle.
fn circle(axes: &Axes, hub: Vec3, radius: f32) -> [Vec3; 12] {
    std::array::from_fn(|index| {
        let (sin, cos) = (index as f32 / 12.0 * std::f32::consts::TAU).sin_cos();
        hub + axes.turn(cos * radius, 0.0, sin * radius)
    })
}

/// Its outline in the picture.
pub(super) fn silhouette(canvas: &super::geometry::Projection, vehicle: &Vehicle, pose: Pose) -> Vec<Pixel> {
    convex_hull(extent(vehicle, pose).into_iter().filter_map(|point| canvas.project(point)).collect())
}
