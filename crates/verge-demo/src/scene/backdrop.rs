//! What never moves: ground, roads and their markings, houses, trees, sky. Drawn once for each camera.

use tiny_skia::{BlendMode, Pixmap};

use super::canvas::{Colour, Glows, SceneCanvas, mix, scaled};
use super::geometry::{Projection, Vec3, vec3};
use super::light::Light;
use super::{HEIGHT, WIDTH};

mod ground;
pub(super) mod trees;

/// A block of flats: its corner nearest the origin's south-west, its sides, its height, its walls.
struct House {
    from: [f32; 2],
    to: [f32; 2],
    height: f32,
    walls: Colour,
}

const HOUSES: [House; 10] = [
    House { from: [-34.0, -36.0], to: [-15.0, -19.0], height: 13.0, walls: [0.72, 0.58, 0.47] },
    House { from: [-62.0, -34.0], to: [-38.0, -20.0], height: 9.5, walls: [0.80, 0.77, 0.70] },
    House { from: [-36.0, -66.0], to: [-13.0, -40.0], height: 16.0, walls: [0.62, 0.45, 0.38] },
    House { from: [14.0, -46.0], to: [34.0, -24.0], height: 12.0, walls: [0.74, 0.72, 0.66] },
    House { from: [13.0, -84.0], to: [30.0, -52.0], height: 10.0, walls: [0.66, 0.56, 0.50] },
    House { from: [16.0, 21.0], to: [36.0, 38.0], height: 14.0, walls: [0.68, 0.52, 0.44] },
    House { from: [40.0, 20.0], to: [66.0, 36.0], height: 10.0, walls: [0.76, 0.74, 0.68] },
    House { from: [14.0, 43.0], to: [38.0, 70.0], height: 17.0, walls: [0.60, 0.56, 0.54] },
    House { from: [-40.0, 50.0], to: [-16.0, 76.0], height: 12.0, walls: [0.70, 0.62, 0.52] },
    House { from: [-70.0, -70.0], to: [-44.0, -42.0], height: 14.0, walls: [0.64, 0.62, 0.58] },
];
/// Storeys and windows repeat after this many metres.
const STOREY: f32 = 3.1;
const WINDOW: f32 = 2.9;

/// Nearer than this to a camera, vehicles pass behind a tree.
const NEAREST_TREE: f32 = 24.0;

/// Draws everything that stands still and that nothing moves behind.
pub(super) fn draw(camera: &Projection, light: &Light) -> Pixmap {
    let mut pixmap = Pixmap::new(WIDTH, HEIGHT).expect("the picture has a size");
    let mut canvas = SceneCanvas { pixmap: &mut pixmap, camera, glows: &mut Glows::default() };
    draw_sky(&mut canvas, light);
    ground::draw(&mut canvas, light);
    draw_wood(&mut canvas, light);
    let mut houses: Vec<&House> = HOUSES.iter().collect();
    let distance = |house: &House| {
        let middle = |axis: usize| (house.from[axis] + house.to[axis]) / 2.0;
        (vec3(middle(0), middle(1), 0.0) - camera.eye).length()
    };
    houses.sort_by(|one, other| distance(other).total_cmp(&distance(one)));
    for (index, house) in houses.into_iter().enumerate() {
        house.draw(&mut canvas, light, index as u64);
    }
    let mut trees = trees::BEHIND.to_vec();
    trees.retain(|tree| camera.depth(tree.foot()) > NEAREST_TREE);
    trees.sort_by(|one, other| camera.depth(other.foot()).total_cmp(&camera.depth(one.foot())));
    trees.iter().for_each(|tree| tree.draw(&mut canvas, light));
    pixmap
}

impl House {
    fn draw(&self, canvas: &mut SceneCanvas<'_>, light: &Light, seed: u64) {
        let ([west, south], [east, north]) = (self.from, self.to);
        let corner = |x: f32, y: f32, z: f32| vec3(x, y, z);
        // Each wall from its left to its right as seen from outside, and where outside is.
        let walls = [
            ([west, north], [west, south], vec3(-1.0, 0.0, 0.0)),
            ([east, south], [east, north], vec3(1.0, 0.0, 0.0)),
            ([west, south], [east, south], vec3(0.0, -1.0, 0.0)),
            ([east, north], [west, north], vec3(0.0, 1.0, 0.0)),
        ];
        let eye = canvas.camera.eye;
        for (index, (from, to, outside)) in (0..).zip(walls) {
            let from = corner(from[0], from[1], 0.0);
            if outside.dot(eye - from) > 0.0 {
                let to = corner(to[0], to[1], 0.0);
                self.draw_wall(canvas, light, [from, to], outside, seed * 4 + index);
            }
        }
        let top = self.height;
        let roof = [[west, south], [east, south], [east, north], [west, north]];
        if eye.z > top {
            let colour = light.shade([0.42, 0.41, 0.40], vec3(0.0, 0.0, 1.0), vec3(west, south, top), 60.0);
            canvas.polygon(&roof.map(|[x, y]| corner(x, y, top)), colour);
        }
    }

    fn draw_wall(
        &self,
        canvas: &mut SceneCanvas<'_>,
        light: &Light,
        [from, to]: [Vec3; 2],
        outside: Vec3,
        seed: u64,
    ) {
        let mut rng = fastrand::Rng::with_seed(seed);
        let eye = canvas.camera.eye;
        let length = (to - from).length();
        let along = (to - from).unit();
        let at = |way: f32, up: f32| from + along * way + vec3(0.0, 0.0, up);
        let rectangle = |way: [f32; 2], up: [f32; 2]| {
            [at(way[0], up[0]), at(way[1], up[0]), at(way[1], up[1]), at(way[0], up[1])]
        };
        let shade = |colour: Colour, way: f32, up: f32| {
            let point = at(way, up);
            light.shade(colour, outside, point, (eye - point).length())
        };
        // In strips, so that lamps light some of it only.
        let strips = (length / 3.0).ceil();
        for strip in 0..strips as u16 {
            let way = [f32::from(strip), f32::from(strip) + 1.03].map(|edge| edge * length / strips);
            let colour = shade(self.walls, way[0], 0.0);
            canvas.polygon(&rectangle(way, [0.0, self.height]), colour);
            canvas.polygon(&rectangle(way, [0.0, 0.9]), scaled(colour, 0.72));
            canvas.polygon(&rectangle(way, [self.height - 0.35, self.height]), scaled(colour, 1.12));
        }
        let storeys = (self.height / STOREY) as u16;
        let windows = (length / WINDOW) as u16;
        for (storey, window) in (0..storeys).flat_map(|storey| (0..windows).map(move |one| (storey, one))) {
            let way = (length - f32::from(windows) * WINDOW) / 2.0 + f32::from(window) * WINDOW + 0.75;
            let up = f32::from(storey) * STOREY + 1.0;
            let is_lit = light.is_night && rng.f32() < 0.28;
            let brightness = 0.6 + 0.5 * rng.f32();
            let pane = if is_lit {
                light
                    .through_haze(scaled([0.92, 0.74, 0.42], 0.75 * brightness), (eye - at(way, up)).length())
            } else {
                scaled(mix(shade([0.20, 0.25, 0.31], way, up), light.sky(0.3), 0.22), brightness)
            };
            canvas.polygon(
                &rectangle([way - 0.12, way + 1.52], [up - 0.12, up + 1.72]),
                shade(scaled(self.walls, 1.15), way, up),
            );
            canvas.polygon(&rectangle([way, way + 1.4], [up, up + 1.6]), pane);
            canvas.polygon(
                &rectangle([way + 0.65, way + 0.75], [up, up + 1.6]),
                shade(scaled(self.walls, 1.1), way, up),
            );
        }
    }
}

/// The sky, row by row, down to the first that shows ground.
fn draw_sky(canvas: &mut SceneCanvas<'_>, light: &Light) {
    let width = WIDTH as f32;
    let horizon = horizon(canvas.camera);
    for row in 0..horizon {
        let top = row as f32;
        let colour = light.sky((horizon as f32 - top) / 160.0);
        let band = [[0.0, top], [width, top], [width, top + 1.0], [0.0, top + 1.0]];
        canvas.outline(&band, colour, 1.0, BlendMode::SourceOver);
    }
}

/// A wood far away, so that the plain does not end in a bare line.
fn draw_wood(canvas: &mut SceneCanvas<'_>, light: &Light) {
    let horizon = horizon(canvas.camera) as f32;
    for (layer, distance) in (0_u8..).zip([210.0, 150.0]) {
        let lower = f32::from(layer);
        let colour = light.shade([0.22, 0.33, 0.17], vec3(0.0, 0.0, 1.0), vec3(999.0, 0.0, 0.0), distance);
        let mut edge = vec![[WIDTH as f32, horizon + 14.0], [0.0, horizon + 14.0]];
        edge.extend((0..=WIDTH / 4).map(|step| {
            let x = step as f32 * 4.0;
            let crowns = ground::noise(x * 0.09, 7.0 * lower) + 1.3 * ground::noise(x * 0.017, 3.0 + lower);
            [x, horizon - 5.0 + 7.0 * lower - 3.2 * crowns]
        }));
        canvas.outline(&edge, colour, 1.0, BlendMode::SourceOver);
    }
}

/// The first row of the picture that shows ground.
fn horizon(camera: &Projection) -> u32 {
    (0..HEIGHT).find(|row| camera.ground_at([WIDTH as f32 / 2.0, *row as f32]).is_some()).unwrap_or(HEIGHT)
}
