//! A pinhole camera above a flat ground.

/// Where a camera stands and what it looks at. The ground is x to the right and y away from it, in metres.
#[derive(Debug, Clone, Copy)]
pub struct RoadCamera {
    /// Metres above the ground.
    pub height: f64,
    /// How far it looks down, in radians below the horizon.
    pub tilt: f64,
    /// Focal length as a share of the picture's width.
    pub focal: f64,
}

/// Width of its pictures in pixels.
pub const WIDTH: f64 = 1280.0;
/// Height of its pictures in pixels.
pub const HEIGHT: f64 = 720.0;

/// A point of the ground, in metres.
pub type Spot = (f64, f64);

/// Something that stands on the ground: a cuboid.
#[derive(Debug, Clone, Copy)]
pub struct Cuboid {
    /// Its middle on the ground.
    pub at: Spot,
    /// Where its front points, in radians from x.
    pub heading: f64,
    /// Length, width and height in metres.
    pub size: [f64; 3],
}

/// Left, top, right, bottom in pixels.
pub type Edges = [f64; 4];

impl RoadCamera {
    /// Where a point is seen; `None` behind the camera.
    #[must_use]
    pub fn project(&self, (x, y): Spot, above: f64) -> Option<(f64, f64)> {
        let down = self.height - above;
        let (sin, cos) = self.tilt.sin_cos();
        let depth = y * cos + down * sin;
        let below = down * cos - y * sin;
        let focal = self.focal * WIDTH;
        (depth > 0.5).then(|| (WIDTH / 2.0 + focal * x / depth, HEIGHT / 2.0 + focal * below / depth))
    }

    /// The box around a cuboid as it is seen, not cut by the picture; `None` where a part of it is behind the camera.
    #[must_use]
    pub fn edges(&self, body: &Cuboid) -> Option<Edges> {
        let mut edges = [f64::MAX, f64::MAX, f64::MIN, f64::MIN];
        for corner in body.corners() {
            for above in [0.0, body.size[2]] {
                let (x, y) = self.project(corner, above)?;
                edges = [edges[0].min(x), edges[1].min(y), edges[2].max(x), edges[3].max(y)];
            }
        }
        Some(edges)
    }

    /// Shares of the picture's sides at which a spot is seen.
    ///
    /// # Panics
    /// If it is behind the camera: scenes are drawn before it.
    #[must_use]
    pub fn share(&self, spot: Spot) -> [f64; 2] {
        let (x, y) = self.project(spot, 0.0).expect("scenes are drawn before the camera");
        [x / WIDTH, y / HEIGHT]
    }
}

impl Cuboid {
    /// Its corners on the ground.
    #[must_use]
    pub fn corners(&self) -> [Spot; 4] {
        let (sin, cos) = self.heading.sin_cos();
        let [length, width, _] = self.size;
        [(0.5, 0.5), (0.5, -0.5), (-0.5, -0.5), (-0.5, 0.5)].map(|(along, across)| {
            let (along, across) = (along * length, across * width);
            (self.at.0 + along * cos - across * sin, self.at.1 + along * sin + across * cos)
        })
    }
}

/// What the picture shows of a box; `None` where it lies outside.
#[must_use]
pub fn cut(edges: Edges) -> Option<Edges> {
    let cut = [edges[0].max(0.0), edges[1].max(0.0), edges[2].min(WIDTH), edges[3].min(HEIGHT)];
    (cut[2] > cut[0] && cut[3] > cut[1]).then_some(cut)
}

/// Area of a box.
#[must_use]
pub fn area(edges: Edges) -> f64 {
    (edges[2] - edges[0]).max(0.0) * (edges[3] - edges[1]).max(0.0)
}

/// Area that two boxes have in common.
#[must_use]
pub fn common(a: Edges, b: Edges) -> f64 {
    area([a[0].max(b[0]), a[1].max(b[1]), a[2].min(b[2]), a[3].min(b[3])])
}
