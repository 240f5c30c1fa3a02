//! What is counted in a scene, as people draw it: lines, zones and the ground, in shares of the picture's sides.

use verge_domain::id::{Label, NameError, PlaceId};
use verge_domain::interval::IntervalGrid;

use crate::geometry::{Point, area, self_crossing};
use crate::ground::{Footprint, Ground};

/// Lines of a scene at most.
pub const MAX_LINES: usize = 64;
/// Zones of a scene at most.
pub const MAX_ZONES: usize = 64;
/// Corners of a polygon at most.
pub const MAX_CORNERS: usize = 64;
/// Nearer to the border of the picture than this share, a line may not see both sides of what passes it.
const NEAR_BORDER: f64 = 0.05;
/// Nothing shorter is a line.
const SHORTEST: f64 = 0.005;
/// Nothing smaller is a zone.
const SMALLEST: f64 = 1e-5;

/// Which point of a box stands for the object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Anchor {
    /// The middle of its lower edge: where it stands.
    #[default]
    Bottom,
    /// Its middle.
    Centre,
}

/// What becomes of places that move and that no box shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum BlobUse {
    /// Nothing.
    #[default]
    Off,
    /// They continue tracks that boxes began.
    Continue,
    /// They begin tracks, too, and count.
    Count,
}

/// The class of what only blobs show, where no class takes all that others leave.
const OTHER: &str = "other";

/// A directed line: forward is from its left to its right, looking from its begin to its end.
#[derive(Debug, Clone, PartialEq)]
pub struct SceneLine {
    /// Its name.
    pub name: PlaceId,
    /// Where it begins.
    pub from: [f64; 2],
    /// Where it ends.
    pub to: [f64; 2],
    /// What of an object crosses it.
    pub anchor: Anchor,
}

/// A part of the picture in which something is measured.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct SceneZone {
    /// Its corners in order.
    pub polygon: Vec<[f64; 2]>,
    /// The arm from which trips begin here.
    pub origin: Option<PlaceId>,
    /// The arm to which trips end here.
    pub destination: Option<PlaceId>,
    /// The line at which a queue begins.
    pub stop_line: Option<[[f64; 2]; 2]>,
    /// From where to where traffic runs.
    pub lane: Option<[[f64; 2]; 2]>,
    /// Classes that must not be here, by their positions.
    pub forbidden: Vec<usize>,
    /// Seconds after which what does not move has stopped.
    pub stopped_after: Option<f64>,
    /// As many in a queue are an event.
    pub queue_from: Option<u32>,
}

/// Why a scene cannot be counted as it is drawn.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum SceneError {
    /// More places than are followed.
    #[error("{found} {what}; expected at most {most}")]
    TooMany {
        /// `lines` or `zones`.
        what: &'static str,
        /// How many there are.
        found: usize,
        /// How many there may be.
        most: usize,
    },
    /// A point that no picture shows.
    #[error("point [{x}, {y}] lies outside the picture; expected shares of its sides from 0 to 1")]
    Outside {
        /// Share of the width.
        x: f64,
        /// Share of the height.
        y: f64,
    },
    /// A line without length.
    #[error("the line has no length; expected two different points")]
    NoLength,
    /// Too few or too many corners.
    #[error("{found} corners; expected 3 to {MAX_CORNERS}")]
    Corners {
        /// How many there are.
        found: usize,
    },
    /// Two edges that cross.
    #[error(
        "the edges from corner {first} and from corner {second} cross; expected corners in order around the polygon"
    )]
    Crossed {
        /// Number of the corner at which one begins, from 1.
        first: usize,
        /// Number of the corner at which the other begins, from 1.
        second: usize,
    },
    /// Nothing can be in it.
    #[error("the corners enclose no area")]
    NoArea,
    /// The four points of the ground do not reach so far.
    #[error(
        "point [{x}, {y}] lies at or above the horizon of the ground's four points; expected a place on the ground"
    )]
    Horizon {
        /// Share of the width.
        x: f64,
        /// Share of the height.
        y: f64,
    },
}

impl SceneLine {
    /// Whether it can be crossed.
    ///
    /// # Errors
    /// See [`SceneError`].
    pub fn check(&self) -> Result<(), SceneError> {
        within(&[self.from, self.to])?;
        let ([ax, ay], [bx, by]) = (self.from, self.to);
        if (bx - ax).hypot(by - ay) < SHORTEST { Err(SceneError::NoLength) } else { Ok(()) }
    }

    /// Whether all of it lies so near to one border that what crosses is hardly seen on both sides.
    #[must_use]
    pub fn is_near_border(&self) -> bool {
        let both = |near: fn(f64) -> bool, axis: usize| near(self.from[axis]) && near(self.to[axis]);
        let low = |share: f64| share < NEAR_BORDER;
        let high = |share: f64| share > 1.0 - NEAR_BORDER;
        both(low, 0) || both(high, 0) || both(low, 1) || both(high, 1)
    }
}

impl SceneZone {
    /// Whether something can be measured in it.
    ///
    /// # Errors
    /// See [`SceneError`].
    pub fn check(&self, ground: Option<&Ground>) -> Result<(), SceneError> {
        check_polygon(&self.polygon)?;
        for ends in [self.stop_line, self.lane].into_iter().flatten() {
            within(&ends)?;
            on_ground(ground, &ends)?;
            let [[ax, ay], [bx, by]] = ends;
            if (bx - ax).hypot(by - ay) < SHORTEST {
                return Err(SceneError::NoLength);
            }
        }
        on_ground(ground, &self.polygon)
    }
}

/// Whether corners in shares of the picture enclose a part of it.
///
/// # Errors
/// See [`SceneError`].
pub fn check_polygon(polygon: &[[f64; 2]]) -> Result<(), SceneError> {
    if !(3..=MAX_CORNERS).contains(&polygon.len()) {
        return Err(SceneError::Corners { found: polygon.len() });
    }
    within(polygon)?;
    let corners: Vec<Point> = polygon.iter().map(|&[x, y]| Point::new(x, y)).collect();
    if let Some((first, second)) = self_crossing(&corners) {
        return Err(SceneError::Crossed { first: first + 1, second: second + 1 });
    }
    if area(&corners).abs() < SMALLEST { Err(SceneError::NoArea) } else { Ok(()) }
}

/// The share of the picture that a polygon encloses.
#[must_use]
pub fn share_within(polygon: &[[f64; 2]]) -> f64 {
    area(&polygon.iter().map(|&[x, y]| Point::new(x, y)).collect::<Vec<_>>()).abs()
}

fn within(points: &[[f64; 2]]) -> Result<(), SceneError> {
    let is_outside = |point: &&[f64; 2]| !point.iter().all(|share| (0.0..=1.0).contains(share));
    points.iter().find(is_outside).map_or(Ok(()), |&[x, y]| Err(SceneError::Outside { x, y }))
}

fn on_ground(ground: Option<&Ground>, points: &[[f64; 2]]) -> Result<(), SceneError> {
    let Some(ground) = ground else { return Ok(()) };
    let beyond = |point: &&[f64; 2]| ground.place(Point::new(point[0], point[1])).is_none();
    points.iter().find(beyond).map_or(Ok(()), |&[x, y]| Err(SceneError::Horizon { x, y }))
}

/// What is counted, with all parts checked.
#[derive(Debug, Clone, PartialEq)]
pub struct SceneSettings {
    /// Names of the classes, by position.
    pub(crate) classes: Vec<Label>,
    /// Of each class the one that it is a kind of, where a second model tells its kinds apart.
    pub(crate) kind_of: Vec<Option<usize>>,
    pub(crate) footprints: Vec<Footprint>,
    pub(crate) interval: IntervalGrid,
    pub(crate) max_gap: f64,
    pub(crate) blobs: BlobUse,
    /// Of what only blobs show.
    pub(crate) blob_class: usize,
    pub(crate) lines: Vec<SceneLine>,
    pub(crate) zones: Vec<(PlaceId, SceneZone)>,
    pub(crate) ground: Option<Ground>,
    /// Names of arms, and of each zone where it begins and ends trips.
    pub(crate) arms: Vec<PlaceId>,
    pub(crate) ends: Vec<(Option<usize>, Option<usize>)>,
}

impl SceneSettings {
    /// Counts objects of these classes, in intervals of this length.
    #[must_use]
    pub fn new(classes: Vec<Label>, interval: IntervalGrid) -> Self {
        let footprints = classes.iter().map(|class| Footprint::usual(class.as_str())).collect();
        Self {
            kind_of: vec![None; classes.len()],
            classes,
            footprints,
            interval,
            max_gap: 5.0,
            blobs: BlobUse::Off,
            blob_class: 0,
            lines: Vec::new(),
            zones: Vec::new(),
            ground: None,
            arms: Vec::new(),
            ends: Vec::new(),
        }
    }

    /// The camera counts as seeing nothing where no frame came for longer than this, in seconds.
    #[must_use]
    pub fn with_max_gap(self, seconds: f64) -> Self {
        Self { max_gap: seconds, ..self }
    }

    /// Tells kinds of a class apart, which a second model names: each is a class `CLASS/KIND` of the size of its class.
    /// Comes behind all that is said of the class.
    ///
    /// # Errors
    /// The names of the class and of a kind are too long together.
    pub fn add_kinds(&mut self, class: usize, kinds: &[Label]) -> Result<(), NameError> {
        for kind in kinds {
            self.classes.push(self.classes[class].kind(kind)?);
            self.kind_of.push(Some(class));
            self.footprints.push(self.footprints[class]);
        }
        Ok(())
    }

    /// Whether a class, or the one that it is a kind of, must not be in a zone.
    pub(crate) fn forbids(&self, zone: usize, class: usize) -> bool {
        self.zones[zone].1.forbidden.contains(&self.kind_of[class].unwrap_or(class))
    }

    /// Follows what moves, too. What only blobs show belongs to the class `rest`, or to one more, `other`.
    #[must_use]
    pub fn with_blobs(mut self, blobs: BlobUse, rest: Option<usize>) -> Self {
        self.blobs = blobs;
        let named = || self.classes.iter().position(|class| class.as_str() == OTHER);
        self.blob_class = rest.or_else(named).unwrap_or(self.classes.len());
        if blobs == BlobUse::Count && self.blob_class == self.classes.len() {
            self.classes.extend(Label::new(OTHER));
            self.kind_of.push(None);
            self.footprints.push(Footprint::usual(OTHER));
        }
        self
    }

    /// Whether it follows what moves, and so wants to know it.
    #[must_use]
    pub fn follows_blobs(&self) -> bool {
        self.blobs != BlobUse::Off
    }

    /// Whether what only blobs show counts.
    #[must_use]
    pub fn counts_blobs(&self) -> bool {
        self.blobs == BlobUse::Count
    }

    /// What a class measures on the ground, where it is not as usual.
    pub fn measures(&mut self, class: usize, footprint: Footprint) {
        if let Some(own) = self.footprints.get_mut(class) {
            *own = footprint;
        }
    }

    /// Where the ground lies. Comes before the zones, which must lie on it.
    #[must_use]
    pub fn with_ground(self, ground: Option<Ground>) -> Self {
        Self { ground, ..self }
    }

    /// Counts what crosses a line.
    ///
    /// # Errors
    /// See [`SceneError`].
    pub fn add_line(&mut self, line: SceneLine) -> Result<(), SceneError> {
        line.check()?;
        if self.lines.len() == MAX_LINES {
            return Err(SceneError::TooMany { what: "lines", found: MAX_LINES + 1, most: MAX_LINES });
        }
        self.lines.push(line);
        Ok(())
    }

    /// Measures what is in a zone.
    ///
    /// # Errors
    /// See [`SceneError`].
    pub fn add_zone(&mut self, name: PlaceId, zone: SceneZone) -> Result<(), SceneError> {
        zone.check(self.ground.as_ref())?;
        if self.zones.len() == MAX_ZONES {
            return Err(SceneError::TooMany { what: "zones", found: MAX_ZONES + 1, most: MAX_ZONES });
        }
        let origin = zone.origin.as_ref().map(|arm| self.arm(arm));
        let destination = zone.destination.as_ref().map(|arm| self.arm(arm));
        self.ends.push((origin, destination));
        self.zones.push((name, zone));
        Ok(())
    }

    fn arm(&mut self, name: &PlaceId) -> usize {
        let known = self.arms.iter().position(|arm| arm == name);
        known.unwrap_or_else(|| {
            self.arms.push(name.clone());
            self.arms.len() - 1
        })
    }

    /// Names of the classes, by position.
    #[must_use]
    pub fn classes(&self) -> &[Label] {
        &self.classes
    }

    /// The lines, in order.
    #[must_use]
    pub fn lines(&self) -> &[SceneLine] {
        &self.lines
    }

    /// The zones, in order.
    #[must_use]
    pub fn zones(&self) -> &[(PlaceId, SceneZone)] {
        &self.zones
    }

    /// The arms of trips, in order.
    #[must_use]
    pub fn arms(&self) -> &[PlaceId] {
        &self.arms
    }

    /// How time is cut.
    #[must_use]
    pub const fn interval(&self) -> IntervalGrid {
        self.interval
    }

    /// Whether speeds and lengths are measured.
    #[must_use]
    pub const fn has_ground(&self) -> bool {
        self.ground.is_some()
    }
}

#[cfg(test)]
mod tests;
