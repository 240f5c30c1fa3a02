//! A road junction as two cameras see it: vehicles drive, stop at red, are hidden by trees and by each other.
//!
//! Pure: a picture is a function of view, seed and time. It must never read a clock, a file or the system's
//! randomness, so that a model can be trained and measured on what the demo will show.
//!
//! Reading order: `routes` (lanes), `traffic` (who drives there), `geometry` and `canvas` (metres to
//! pixels), `light`, `backdrop` (what stands still), `street` (what may hide a vehicle), `bodies`
//! (vehicles), `exposure` (the sensor), `crossings` (what truly crosses a line).

mod backdrop;
mod bodies;
mod canvas;
mod crossings;
mod exposure;
mod geometry;
mod light;
mod order;
mod routes;
mod street;
#[cfg(test)]
mod tests;
mod traffic;

use std::time::Duration;

use tiny_skia::{Color, Pixmap};

use canvas::{Glows, SceneCanvas, stamp};
pub use crossings::{SceneCrossing, crossings};
use exposure::Exposure;
use geometry::{Projection, polygon_area, vec3, within_picture};
use light::Light;
use order::back_to_front;
use routes::Pose;
use street::Fixture;
use traffic::{RenderedTraffic, Vehicle};

/// Width of a picture in pixels.
pub const WIDTH: u32 = 640;
/// Height of a picture in pixels.
pub const HEIGHT: u32 = 480;
/// Names of the classes, in the order of a model's labels.
pub const LABELS: [&str; 3] = ["car", "truck", "bicycle"];
/// A vehicle is not counted as seen when something hides all but less than this share of it.
const LEAST_VISIBLE: f32 = 0.25;
/// Nor is one of which less than this width and height is seen, in pixels: it is too far away.
const LEAST_SIDES: [f32; 2] = [8.0, 16.0];
/// A vehicle that the picture's edge cuts off must show more to be recognised.
const LEAST_SIDE_AT_EDGE: f32 = 24.0;
/// Beside the picture, a vehicle may still throw a shadow or light into it, this many metres far.
const REACH: f32 = 12.0;
/// Standard deviation of the sensor's noise, in steps of a sample.
const NOISE_BY_DAY: f32 = 1.6;
const NOISE_BY_NIGHT: f32 = 2.6;

/// A camera of the site.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Viewpoint {
    /// By day; a tree hides part of a lane.
    North,
    /// By night; headlamps shine into the lens.
    South,
}

impl Viewpoint {
    fn camera(self) -> Projection {
        match self {
            Self::North => Projection::new(vec3(13.0, 23.0, 11.5), vec3(-5.5, -2.0, 0.0), 520.0),
            Self::South => Projection::new(vec3(-17.0, -17.5, 9.0), vec3(4.5, 1.0, 0.0), 500.0),
        }
    }
}

/// A vehicle that a picture shows.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SceneTruth {
    /// One of [`LABELS`].
    pub label: &'static str,
    /// Left, top, width and height of its visible part, in pixels.
    pub area: [f32; 4],
    /// How much of its outline within the picture is not hidden: above 0 and at most 1.
    pub visible: f32,
}

/// The junction, as one camera sees it.
pub struct RoadScene {
    camera: Projection,
    light: Light,
    exposure: Exposure,
    backdrop: Pixmap,
    fixtures: Vec<Fixture>,
    /// Drawn into again for each picture.
    picture: Pixmap,
    glows: Glows,
    at_start: RenderedTraffic,
    traffic: RenderedTraffic,
}

/// One of the things that may hide each other.
enum Upright<'a> {
    Vehicle(&'a Vehicle, Pose),
    Fixture(&'a Fixture),
}

impl RoadScene {
    /// The same seed gives the same traffic in both views.
    ///
    /// # Panics
    /// Never: the size of a picture is fixed.
    #[must_use]
    pub fn new(view: Viewpoint, seed: u64) -> Self {
        let camera = view.camera();
        let light = Light::new(view);
        let noise = if light.is_night { NOISE_BY_NIGHT } else { NOISE_BY_DAY };
        let backdrop = backdrop::draw(&camera, &light);
        let fixtures = street::fixtures(&camera, &light);
        let traffic = RenderedTraffic::new(seed);
        Self {
            exposure: Exposure::new(noise, seed ^ u64::from(light.is_night)),
            picture: backdrop.clone(),
            glows: Glows::default(),
            at_start: traffic.clone(),
            camera,
            light,
            backdrop,
            fixtures,
            traffic,
        }
    }

    /// Draws the picture of a time since the start into `rgb`, three bytes a pixel, row by row. Going forward in
    /// time is cheap, going back starts again.
    pub fn render(&mut self, at: Duration, rgb: &mut Vec<u8>) {
        self.go_to(at);
        self.picture.data_mut().copy_from_slice(self.backdrop.data());
        let mut canvas =
            SceneCanvas { pixmap: &mut self.picture, camera: &self.camera, glows: &mut self.glows };
        let uprights = uprights(&self.traffic, &self.fixtures, &self.camera, at);
        for upright in &uprights {
            match upright {
                Upright::Vehicle(vehicle, pose) => {
                    bodies::draw_on_ground(&mut canvas, &self.light, vehicle, *pose);
                }
                Upright::Fixture(Fixture::Tree { tree, .. }) => tree.draw_shadow(&mut canvas, &self.light),
                Upright::Fixture(_) => {}
            }
        }
        for upright in &uprights {
            match upright {
                Upright::Vehicle(vehicle, pose) => bodies::draw(&mut canvas, &self.light, vehicle, *pose),
                Upright::Fixture(fixture) => fixture.draw(&mut canvas, &self.light, &self.traffic),
            }
        }
        self.exposure.expose(self.picture.data(), at, rgb);
    }

    /// What a good detector finds in the picture of a time.
    pub fn truths(&mut self, at: Duration) -> Vec<SceneTruth> {
        self.go_to(at);
        // The red channel of a pixel says which vehicle it belongs to: 0 is none.
        self.picture.fill(Color::BLACK);
        let mut outlines = Vec::new();
        for upright in uprights(&self.traffic, &self.fixtures, &self.camera, at) {
            match upright {
                Upright::Vehicle(vehicle, pose) => {
                    let outline = bodies::silhouette(&self.camera, vehicle, pose);
                    let outline = within_picture(outline);
                    outlines.push((vehicle.kind, polygon_area(&outline)));
                    // More than 255 vehicles do not fit on these roads.
                    let value = u8::try_from(outlines.len()).unwrap_or(0);
                    stamp(&mut self.picture, &outline, value);
                }
                Upright::Fixture(fixture) => fixture.hide(&mut self.picture),
            }
        }
        let seen = VisiblePart::count(&self.picture, outlines.len());
        let truths = outlines.into_iter().zip(seen).filter_map(|((kind, whole), seen)| {
            let area = seen.area()?;
            let visible = (seen.pixels as f32 / whole.max(1.0)).min(1.0);
            let is_at_edge = seen.left == 0 || seen.top == 0 || seen.right == WIDTH || seen.bottom == HEIGHT;
            let least = if is_at_edge { [LEAST_SIDE_AT_EDGE; 2] } else { LEAST_SIDES };
            let counts = visible >= LEAST_VISIBLE && area[2] >= least[0] && area[3] >= least[1];
            counts.then_some(SceneTruth { label: kind.label(), area, visible })
        });
        truths.collect()
    }

    fn go_to(&mut self, at: Duration) {
        if self.traffic.is_past(at) {
            self.traffic = self.at_start.clone();
        }
        self.traffic.advance(at);
    }
}

/// Everything that may hide something else, in the order in which it is drawn.
fn uprights<'a>(
    traffic: &'a RenderedTraffic,
    fixtures: &'a [Fixture],
    camera: &Projection,
    at: Duration,
) -> Vec<Upright<'a>> {
    let is_near_view = |pose: &Pose| {
        let place = vec3(pose.x, pose.y, 0.0);
        let margin = REACH * camera.pixels_per_metre(place);
        let within = |at: f32, side: u32| at > -margin && at < side as f32 + margin;
        camera.project(place).is_some_and(|[x, y]| within(x, WIDTH) && within(y, HEIGHT))
    };
    let vehicles = traffic
        .placed(at)
        .filter(|(_, pose)| is_near_view(pose))
        .map(|(vehicle, pose)| (bodies::footprint(vehicle, pose), Upright::Vehicle(vehicle, pose)));
    let fixtures = fixtures.iter().map(|fixture| (fixture.footprint(), Upright::Fixture(fixture)));
    back_to_front(vehicles.chain(fixtures).collect(), [camera.eye.x, camera.eye.y])
}

/// What is left to see of a vehicle.
#[derive(Debug, Clone, Copy)]
struct VisiblePart {
    pixels: u32,
    left: u32,
    top: u32,
    right: u32,
    bottom: u32,
}

impl VisiblePart {
    const NOTHING: Self = Self { pixels: 0, left: WIDTH, top: HEIGHT, right: 0, bottom: 0 };

    /// One for each of the values from 1 on in a mask.
    fn count(mask: &Pixmap, vehicles: usize) -> Vec<Self> {
        let mut seen = vec![Self::NOTHING; vehicles];
        for (pixel, index) in mask.data().chunks_exact(4).zip(0_u32..) {
            let Some(one) = usize::from(pixel[0]).checked_sub(1).and_then(|value| seen.get_mut(value)) else {
                continue;
            };
            let (x, y) = (index % WIDTH, index / WIDTH);
            one.pixels += 1;
            one.left = one.left.min(x);
            one.top = one.top.min(y);
            one.right = one.right.max(x + 1);
            one.bottom = one.bottom.max(y + 1);
        }
        seen
    }

    fn area(&self) -> Option<[f32; 4]> {
        (self.pixels > 0).then(|| {
            [self.left, self.top, self.right - self.left, self.bottom - self.top].map(|pixels| pixels as f32)
        })
    }
}
