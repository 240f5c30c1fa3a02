//! Points of the site in metres (x east, y north, z up) and where a camera sees them.

use std::ops::{Add, Mul, Sub};

use super::{HEIGHT, WIDTH};

/// What comes nearer to the lens than this is cut off, in metres.
const NEAR: f32 = 1.0;

/// A point or a direction of the site.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Vec3 {
    pub(super) x: f32,
    pub(super) y: f32,
    pub(super) z: f32,
}

/// Shorthand that keeps tables of coordinates readable.
pub(super) const fn vec3(x: f32, y: f32, z: f32) -> Vec3 {
    Vec3 { x, y, z }
}

impl Vec3 {
    pub(super) fn dot(self, other: Self) -> f32 {
        self.x * other.x + self.y * other.y + self.z * other.z
    }

    pub(super) fn cross(self, other: Self) -> Self {
        vec3(
            self.y * other.z - self.z * other.y,
            self.z * other.x - self.x * other.z,
            self.x * other.y - self.y * other.x,
        )
    }

    pub(super) fn length(self) -> f32 {
        self.dot(self).sqrt()
    }

    /// Of length 1. The zero vector has no direction and must not come here.
    pub(super) fn unit(self) -> Self {
        self * (1.0 / self.length())
    }
}

impl Add for Vec3 {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        vec3(self.x + other.x, self.y + other.y, self.z + other.z)
    }
}

impl Sub for Vec3 {
    type Output = Self;

    fn sub(self, other: Self) -> Self {
        vec3(self.x - other.x, self.y - other.y, self.z - other.z)
    }
}

impl Mul<f32> for Vec3 {
    type Output = Self;

    fn mul(self, factor: f32) -> Self {
        vec3(self.x * factor, self.y * factor, self.z * factor)
    }
}

/// A point of the picture, in pixels from its top left corner.
pub(super) type Pixel = [f32; 2];

/// A pinhole camera.
#[derive(Debug, Clone)]
pub(super) struct Projection {
    pub(super) eye: Vec3,
    right: Vec3,
    up: Vec3,
    forward: Vec3,
    /// In pixels.
    focal: f32,
}

impl Projection {
    /// Level, at `eye`, with `target` in the middle of the picture.
    pub(super) fn new(eye: Vec3, target: Vec3, focal: f32) -> Self {
        let forward = (target - eye).unit();
        let right = forward.cross(vec3(0.0, 0.0, 1.0)).unit();
        Self { eye, right, up: right.cross(forward), forward, focal }
    }

    /// Distance along the view, in metres.
    pub(super) fn depth(&self, point: Vec3) -> f32 {
        (point - self.eye).dot(self.forward)
    }

    /// Pixels that a metre takes up at this point.
    pub(super) fn pixels_per_metre(&self, point: Vec3) -> f32 {
        self.focal / self.depth(point).max(NEAR)
    }

    /// Where a point is seen; `None` behind the camera.
    pub(super) fn project(&self, point: Vec3) -> Option<Pixel> {
        let depth = self.depth(point);
        (depth >= NEAR).then(|| {
            let from_eye = point - self.eye;
            let scale = self.focal / depth;
            [
                WIDTH as f32 / 2.0 + from_eye.dot(self.right) * scale,
                HEIGHT as f32 / 2.0 - from_eye.dot(self.up) * scale,
            ]
        })
    }

    /// A polygon as it is seen, without what lies behind the camera.
    pub(super) fn project_polygon(&self, points: &[Vec3]) -> Vec<Pixel> {
        let mut seen = Vec::with_capacity(points.len() + 2);
        for (index, point) in points.iter().enumerate() {
            let previous = points[(index + points.len() - 1) % points.len()];
            let (depth, previous_depth) = (self.depth(*point) - NEAR, self.depth(previous) - NEAR);
            if (depth < 0.0) != (previous_depth < 0.0) {
                let cut = *point + (previous - *point) * (depth / (depth - previous_depth));
                // A hair further, so that rounding cannot put it behind the plane.
                seen.extend(self.project(cut + self.forward * 1e-3));
            }
            if depth >= 0.0 {
                seen.extend(self.project(*point));
            }
        }
        seen
    }

    /// The point of the ground that a pixel shows, and how far away it is; `None` above the horizon.
    pub(super) fn ground_at(&self, [x, y]: Pixel) -> Option<(Vec3, f32)> {
        let ray = self.forward * self.focal + self.right * (x - WIDTH as f32 / 2.0)
            - self.up * (y - HEIGHT as f32 / 2.0);
        (ray.z < -1e-3).then(|| {
            let step = ray * (self.eye.z / -ray.z);
            (self.eye + step, step.length())
        })
    }
}

/// Corners of the smallest convex polygon around these points (Andrew's monotone chain), in order.
pub(super) fn convex_hull(mut points: Vec<Pixel>) -> Vec<Pixel> {
    points.sort_by(|a, b| a[0].total_cmp(&b[0]).then(a[1].total_cmp(&b[1])));
    let turns_left =
        |a: Pixel, b: Pixel, c: Pixel| (b[0] - a[0]) * (c[1] - a[1]) - (b[1] - a[1]) * (c[0] - a[0]) > 0.0;
    let mut hull: Vec<Pixel> = Vec::with_capacity(points.len() + 1);
    let mut chain = |points: &mut dyn Iterator<Item = Pixel>| {
        let start = hull.len();
        for point in points {
            while hull.len() >= start + 2 && !turns_left(hull[hull.len() - 2], hull[hull.len() - 1], point) {
                hull.pop();
            }
            hull.push(point);
        }
        // It is the first of the other chain.
        hull.pop();
    };
    chain(&mut points.iter().copied());
    chain(&mut points.iter().rev().copied());
    hull
}

/// The part of a convex polygon that lies within the picture (Sutherland and Hodgman, 1974).
pub(super) fn within_picture(mut points: Vec<Pixel>) -> Vec<Pixel> {
    let edges = [(0, 0.0, 1.0), (1, 0.0, 1.0), (0, WIDTH as f32, -1.0), (1, HEIGHT as f32, -1.0)];
    for (axis, edge, inwards) in edges {
        let inside = |point: Pixel| (point[axis] - edge) * inwards;
        let mut kept = Vec::with_capacity(points.len() + 1);
        for (index, point) in points.iter().enumerate() {
            let previous = points[(index + points.len() - 1) % points.len()];
            let (here, before) = (inside(*point), inside(previous));
            if (here < 0.0) != (before < 0.0) {
                let share = here / (here - before);
                kept.push([0, 1].map(|axis| point[axis] + (previous[axis] - point[axis]) * share));
            }
            if here >= 0.0 {
                kept.push(*point);
            }
        }
        points = kept;
    }
    points
}

/// Area within a polygon.
pub(super) fn polygon_area(points: &[Pixel]) -> f32 {
    let next = points.iter().cycle().skip(1);
    points.iter().zip(next).map(|(a, b)| a[0] * b[1] - a[1] * b[0]).sum::<f32>().abs() / 2.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_camera_sees_its_target_in_the_middle_and_the_ground_where_it_is() {
        let camera = Projection::new(vec3(10.0, 20.0, 9.0), vec3(-2.0, 1.0, 0.0), 500.0);
        let middle = camera.project(vec3(-2.0, 1.0, 0.0)).unwrap();
        assert!((middle[0] - 320.0).abs() < 0.01 && (middle[1] - 240.0).abs() < 0.01);
        let (ground, _) = camera.ground_at(middle).unwrap();
        assert!((ground - vec3(-2.0, 1.0, 0.0)).length() < 0.01);
        assert_eq!(camera.project(vec3(30.0, 50.0, 9.0)), None, "behind it");
        let partly =
            camera.project_polygon(&[vec3(-2.0, 1.0, 0.0), vec3(30.0, 50.0, 0.0), vec3(0.0, 4.0, 0.0)]);
        assert_eq!(partly.len(), 4, "cut at the lens");
    }

    #[test]
    fn a_hull_has_the_outer_corners_alone() {
        let hull = convex_hull(vec![[0.0, 0.0], [2.0, 0.0], [1.0, 1.0], [2.0, 2.0], [0.0, 2.0], [1.0, 0.0]]);
        assert_eq!(hull.len(), 4);
        assert!((polygon_area(&hull) - 4.0).abs() < 1e-6);
        let whole = vec![[-100.0, -100.0], [900.0, -100.0], [900.0, 100.0], [-100.0, 100.0]];
        assert!((polygon_area(&within_picture(whole)) - 64_000.0).abs() < 1.0);
        assert_eq!(within_picture(vec![[-9.0, 0.0], [-5.0, 0.0], [-5.0, 9.0]]), Vec::<Pixel>::new());
    }
}
