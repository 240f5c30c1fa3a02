//! What stands at the roadside and may hide a vehicle, or be hidden by one: signals, lamps, a tree.

use tiny_skia::{BlendMode, IntRect, Pixmap, PixmapPaint, Transform};

use super::backdrop::trees::{IN_FRONT, Tree};
use super::canvas::{Colour, Glows, SceneCanvas};
use super::geometry::{Projection, Vec3, vec3};
use super::light::{LAMP_HEIGHT, LAMPS, Light};
use super::routes::{MAIN_HALF_WIDTH, MAIN_STOP, Road, SIDE_HALF_WIDTH, SIDE_STOP};
use super::traffic::{RenderedTraffic, TrafficLight};
use super::{HEIGHT, WIDTH};

/// From a foot to each side of the ground that counts as taken, in metres.
const HALF_FOOT: f32 = 0.15;
const METAL: Colour = [0.36, 0.38, 0.40];
const HOUSING: Colour = [0.10, 0.10, 0.11];

/// Something upright.
pub(super) enum Fixture {
    /// A signal at a stop line, and the direction of the vehicles that stop there.
    TrafficLight { foot: [f32; 2], road: Road, heading: [f32; 2] },
    /// A street lamp, and the direction to the middle of its road.
    Lamp { foot: [f32; 2], reach: [f32; 2] },
    /// A tree as this camera sees it: hundreds of shapes, drawn once.
    Tree { tree: Tree, corner: [i32; 2], picture: Box<Pixmap>, mask: Box<Pixmap> },
}

/// All fixtures of a camera's view.
pub(super) fn fixtures(camera: &Projection, light: &Light) -> Vec<Fixture> {
    let mut fixtures = Vec::new();
    for sign in [1.0, -1.0] {
        // On the right of oncoming vehicles.
        let main = [-sign * (MAIN_STOP + 0.2), -sign * (MAIN_HALF_WIDTH + 0.7)];
        let side = [sign * (SIDE_HALF_WIDTH + 0.7), -sign * (SIDE_STOP + 0.2)];
        fixtures.push(Fixture::TrafficLight { foot: main, road: Road::Main, heading: [sign, 0.0] });
        fixtures.push(Fixture::TrafficLight { foot: side, road: Road::Side, heading: [0.0, sign] });
    }
    for [x, y] in LAMPS {
        let is_beside_main = y.abs() < MAIN_HALF_WIDTH + 5.0;
        let reach = if is_beside_main { [0.0, -y.signum() * 1.6] } else { [-x.signum() * 1.2, 0.0] };
        fixtures.push(Fixture::Lamp { foot: [x, y], reach });
    }
    if !light.is_night {
        let mut picture = Pixmap::new(WIDTH, HEIGHT).expect("the picture has a size");
        let glows = &mut Glows::default();
        IN_FRONT.draw_upright(&mut SceneCanvas { pixmap: &mut picture, camera, glows }, light);
        let (corner, picture) = trimmed(&picture);
        let mut mask = picture.clone();
        // What hides more than half of a pixel hides it.
        for pixel in mask.data_mut().chunks_exact_mut(4) {
            pixel.fill(if pixel[3] > 127 { u8::MAX } else { 0 });
        }
        let (picture, mask) = (Box::new(picture), Box::new(mask));
        fixtures.push(Fixture::Tree { tree: IN_FRONT, corner, picture, mask });
    }
    fixtures.retain(|fixture| camera.depth(fixture.foot()) > 3.0);
    fixtures
}

impl Fixture {
    fn foot(&self) -> Vec3 {
        match self {
            Self::TrafficLight { foot: [x, y], .. } | Self::Lamp { foot: [x, y], .. } => vec3(*x, *y, 0.0),
            Self::Tree { tree, .. } => tree.foot(),
        }
    }

    /// Corners of the ground that it covers.
    pub(super) fn footprint(&self) -> [[f32; 2]; 4] {
        let foot = self.foot();
        [(1.0, 1.0), (-1.0, 1.0), (-1.0, -1.0), (1.0, -1.0)]
            .map(|(east, north)| [foot.x + east * HALF_FOOT, foot.y + north * HALF_FOOT])
    }

    /// Draws it as it looks now.
    pub(super) fn draw(&self, canvas: &mut SceneCanvas<'_>, light: &Light, traffic: &RenderedTraffic) {
        let foot = self.foot();
        let to_eye = canvas.camera.eye - foot;
        let distance = to_eye.length();
        let metal = light.shade(METAL, vec3(to_eye.x, to_eye.y, 0.0).unit(), foot, distance);
        let above = |up: f32| foot + vec3(0.0, 0.0, up);
        match self {
            Self::TrafficLight { road, heading: [east, north], .. } => {
                canvas.line(&[above(0.0), above(3.6)], 0.14, metal);
                let faces = vec3(-east, -north, 0.0);
                draw_head(canvas, above(3.1), faces, traffic.signal(*road));
            }
            Self::Lamp { reach: [east, north], .. } => {
                let arm = above(LAMP_HEIGHT) + vec3(*east, *north, 0.15);
                canvas.line(&[above(0.0), above(LAMP_HEIGHT)], 0.16, metal);
                canvas.line(&[above(LAMP_HEIGHT), arm], 0.12, metal);
                let end = arm + vec3(*east, *north, 0.0) * 0.35;
                canvas.line(&[arm, end], 0.22, if light.is_night { light.lamp() } else { metal });
                if let Some(pixel) = canvas.camera.project(end).filter(|_| light.is_night) {
                    canvas.glow(pixel, 420.0 / distance.sqrt(), light.lamp(), 0.75);
                }
            }
            Self::Tree { corner: [left, top], picture, .. } => {
                let (paint, stays) = (PixmapPaint::default(), Transform::identity());
                canvas.pixmap.draw_pixmap(*left, *top, picture.as_ref().as_ref(), &paint, stays, None);
            }
        }
    }

    /// Wipes what it hides out of a mask of vehicles. Poles hide too little to count.
    pub(super) fn hide(&self, mask_of_vehicles: &mut Pixmap) {
        if let Self::Tree { corner: [left, top], mask, .. } = self {
            let paint = PixmapPaint { blend_mode: BlendMode::DestinationOut, ..PixmapPaint::default() };
            let (mask, stays) = (mask.as_ref().as_ref(), Transform::identity());
            mask_of_vehicles.draw_pixmap(*left, *top, mask, &paint, stays, None);
        }
    }
}

/// The part of a picture that is not empty, and where its top left corner was.
fn trimmed(picture: &Pixmap) -> ([i32; 2], Pixmap) {
    let (mut left, mut top, mut right, mut bottom) = (WIDTH as i32, HEIGHT as i32, 0, 0);
    for (pixel, index) in picture.pixels().iter().zip(0_i32..) {
        if pixel.alpha() > 0 {
            let (x, y) = (index % WIDTH as i32, index / WIDTH as i32);
            (left, top, right, bottom) = (left.min(x), top.min(y), right.max(x + 1), bottom.max(y + 1));
        }
    }
    let part = IntRect::from_ltrb(left, top, right, bottom).and_then(|part| picture.clone_rect(part));
    // An empty picture has no such part, and stays as it is.
    part.map_or_else(|| ([0, 0], picture.clone()), |part| ([left, top], part))
}

/// The box with the three lights, which shows its back to the other road.
fn draw_head(canvas: &mut SceneCanvas<'_>, middle: Vec3, faces: Vec3, signal: TrafficLight) {
    let across = vec3(-faces.y, faces.x, 0.0);
    let at = |left: f32, up: f32| middle + across * left + vec3(0.0, 0.0, up);
    canvas.line(&[at(0.0, -0.45), at(0.0, 0.45)], 0.36, HOUSING);
    let front = faces.dot((canvas.camera.eye - middle).unit());
    if front <= 0.0 {
        return;
    }
    let pixels = canvas.camera.pixels_per_metre(middle);
    let lamps: [(TrafficLight, f32, Colour); 3] = [
        (TrafficLight::Red, 0.36, [1.0, 0.16, 0.12]),
        (TrafficLight::Yellow, 0.0, [1.0, 0.75, 0.15]),
        (TrafficLight::Green, -0.36, [0.20, 0.95, 0.45]),
    ];
    for (shows, up, colour) in lamps {
        let Some(pixel) = canvas.camera.project(at(0.0, up) + faces * 0.1) else { continue };
        if shows == signal {
            canvas.disc(pixel, 0.15 * pixels, colour);
            canvas.glow(pixel, 0.7 * pixels, colour, 0.6 * front);
        } else {
            canvas.disc(pixel, 0.13 * pixels, colour.map(|channel| channel * 0.15 + 0.03));
        }
    }
}
