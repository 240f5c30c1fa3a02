//! One object that is followed: where it is taken to be, and what may be seen of it next.

use serde::{Deserialize, Serialize};

use super::HIGH_SCORE;
use super::axis::Axis;
use super::boxes::SeenBox;
use super::frame_size::FrameSize;
use crate::geometry::Point;

/// A track unseen for longer is over.
const UNSEEN: f64 = 2.5;
/// One that stands may be hidden by what passes in front of it,
const UNSEEN_STANDING: f64 = 15.0;
/// for this many times as long as it was seen: what a detector takes for an object for a second is none.
const UNSEEN_TIMES: f64 = 3.0;
/// One that went behind something, as long as that is there.
const UNSEEN_HIDDEN: f64 = 45.0;
/// One that stood when something came before it: as long as a light is red.
const UNSEEN_HIDDEN_STANDING: f64 = 90.0;
/// What hid it is gone for longer.
const HIDDEN_BEFORE: f64 = 1.0;
/// A box that covers more of another one than this hides it.
const HIDING: f64 = 0.35;
/// A track that was seen once lasts this long at least without a second sighting.
const UNCONFIRMED: f64 = 0.25;
/// Or this number of steps from frame to frame: one that is missed at a low rate is not the end.
const MISSED: f64 = 2.2;
/// Slower than this share of its height per second, it stands.
const STANDING: f64 = 0.2;
/// Sightings after which the size tells how the distance changes.
const SETTLED: u32 = 3;
/// What stands does not become less certain by being hidden for longer than this.
const STANDING_GROWTH: f64 = 1.0;
/// What stands keeps no rate that a box which is cut or merged gives it: seconds in which it falls to 1/e.
const STOPPING: f64 = 0.3;
/// What is hidden for longer may be slowing down; and seconds in which its speed falls to 1/e.
const SLOWING_FROM: f64 = 0.7;
const SLOWING: f64 = 1.5;
/// A box further away than this share of its side shows something else.
const OTHER_PLACE: f64 = 0.35;
/// As does one that is larger or smaller by this factor.
const OTHER_SIZE: f64 = 1.5;
/// Larger sides of its box within which it comes into sight again.
const FARTHEST_AGAIN: f64 = 4.0;
/// Seconds unseen after which it may come into sight again elsewhere.
const AGAIN_AFTER: f64 = 0.5;
/// Heights of its box per second squared by which what drives off becomes faster.
const PUSH: f64 = 1.3;
/// And by which what brakes hard becomes slower: 4 m/s² of a car.
const BRAKE: f64 = 2.7;

/// Whether a size is another one, give or take a factor.
fn is_like(known: f64, seen: f64, most: f64) -> bool {
    (1.0 / most..=most).contains(&(seen / known))
}

/// One object, followed.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Track<T> {
    /// Its number, never given twice.
    pub id: u64,
    /// When it was first seen, in seconds.
    pub first_seen: f64,
    /// When it was last seen, in seconds.
    pub last_seen: f64,
    /// In how many frames it was seen.
    pub sightings: u32,
    /// The class with the largest sum of scores, or the kind of it that was elected.
    pub class: usize,
    /// What the scene keeps about it.
    pub course: T,
    /// Of each class its scores, of each kind the areas of the crops that showed it.
    pub(super) sums: Vec<f32>,
    axes: [Axis; 4],
    /// The time that the axes stand for, and seconds since the frame before.
    at: f64,
    step: f64,
    stands: bool,
    /// Where it was last seen: middle, width and height.
    shown: [f64; 4],
    /// How it moved when it was last seen, and when it last moved.
    entered: Point,
    heading: Point,
    /// When it was last known to be behind something that is nearer to the camera.
    hidden: Option<f64>,
    /// Whether any of its boxes had a high score.
    is_sure: bool,
    /// How often it was seen since the sides of the picture last cut it.
    whole: u32,
}

impl<T: Default> Track<T> {
    /// One that begins with a box.
    pub(super) fn new(
        id: u64,
        at: f64,
        (seen, is_sure): (&SeenBox, bool),
        kind_of: &[Option<usize>],
    ) -> Self {
        let (size, deviation) = (seen.height().max(8.0), deviation_of(seen));
        let centre = seen.centre();
        let mut track = Self {
            id,
            first_seen: at,
            last_seen: at,
            sightings: 1,
            class: seen.class,
            course: T::default(),
            sums: vec![0.0; kind_of.len()],
            axes: [
                Axis::new(centre.x, deviation, 3.0 * size),
                Axis::new(centre.y, deviation, 3.0 * size),
                Axis::new(seen.width(), deviation, 0.5 * size),
                Axis::new(seen.height(), deviation, 0.5 * size),
            ],
            at,
            step: 0.0,
            stands: false,
            shown: [centre.x, centre.y, seen.width(), seen.height()],
            entered: Point::default(),
            heading: Point::default(),
            hidden: None,
            is_sure,
            whole: 0,
        };
        track.add_class(seen, kind_of);
        track
    }
}

impl<T> Track<T> {
    /// Whether it was seen twice, and at least once surely: one box alone may be an error of the detector.
    #[must_use]
    pub const fn is_confirmed(&self) -> bool {
        self.sightings >= 2 && self.is_sure
    }

    /// Where it is taken to be.
    #[must_use]
    pub fn area(&self) -> SeenBox {
        self.box_of(self.axes.map(|axis| axis.value))
    }

    /// Where it was last seen.
    pub(crate) fn area_seen(&self) -> SeenBox {
        self.box_of(self.shown)
    }

    fn box_of(&self, [x, y, width, height]: [f64; 4]) -> SeenBox {
        let (width, height) = (width.max(1.0), height.max(1.0));
        SeenBox {
            class: self.class,
            score: 1.0,
            left: x - width / 2.0,
            top: y - height / 2.0,
            right: x + width / 2.0,
            bottom: y + height / 2.0,
        }
    }

    /// How fast its foot moves, in pixels per second.
    pub(crate) fn velocity(&self) -> Point {
        Point::new(self.axes[0].rate, self.axes[1].rate + self.axes[3].rate / 2.0)
    }

    pub(crate) const fn set_standing(&mut self, stands: bool) {
        self.stands = stands;
    }

    pub(crate) fn is_finite(&self, classes: usize) -> bool {
        let times = [self.at, self.step, self.first_seen, self.last_seen].into_iter().chain(self.hidden);
        let ways = [self.entered, self.heading].into_iter().flat_map(|way| [way.x, way.y]);
        self.axes.iter().all(Axis::is_finite)
            && self.sums.len() == classes
            && self.sums.iter().all(|sum| sum.is_finite())
            && self.class < classes
            && times.chain(ways).chain(self.shown).all(f64::is_finite)
    }

    pub(super) fn size(&self) -> f64 {
        self.axes[3].value.max(8.0)
    }

    pub(super) fn predict(&mut self, at: f64) {
        let mut seconds = at - self.at;
        (self.at, self.step) = (at, seconds);
        let unseen = at - self.last_seen;
        if self.stands {
            // It stays where it is.
            for axis in &mut self.axes {
                axis.rate *= (-seconds / STOPPING).exp();
            }
            seconds = (seconds - (unseen - STANDING_GROWTH).max(0.0)).max(0.0);
        } else if self.hidden.is_some() && unseen > SLOWING_FROM {
            // Nobody knows whether it goes on as it did.
            let slows = (-seconds / SLOWING).exp();
            self.axes[0].rate *= slows;
            self.axes[1].rate *= slows;
        }
        let recession = self.recession(seconds);
        let size = self.size();
        for (axis, noise) in self.axes.iter_mut().zip([1.0, 1.0, 0.3, 0.3]) {
            axis.predict(seconds, noise * size, recession);
        }
    }

    /// By which factor its distance from the camera grows in a time, as its size tells: one over the other.
    fn recession(&self, seconds: f64) -> f64 {
        if self.whole < SETTLED {
            return 1.0;
        }
        let [.., width, height] = &self.axes;
        let shrinks = |axis: &Axis| -axis.rate / axis.value.max(8.0);
        (1.0 + f64::midpoint(shrinks(width), shrinks(height)) * seconds).clamp(0.8, 2.5)
    }

    /// Whether a box may show it: about where it is and of about its size, as far as these are known.
    pub(super) fn may_be(&self, area: &SeenBox, seen: &SeenBox, frame: FrameSize) -> bool {
        if self.whole < SETTLED && !(self.stands && self.sightings >= SETTLED) {
            // It comes into the picture: nobody knows where its middle is, or how fast it goes.
            return true;
        }
        let way = seen.centre().minus(area.centre());
        let near =
            |way: f64, side: f64, axis: &Axis| way.abs() <= OTHER_PLACE * side + 4.0 * axis.deviation();
        if !near(way.x, area.width(), &self.axes[0]) || !near(way.y, area.height(), &self.axes[1]) {
            return false;
        }
        if self.was_missed() && !self.stands && self.way_to(seen).is_none_or(|way| self.is_behind(way.0)) {
            return false;
        }
        let (known, now) = (frame.cuts(&self.area_seen()), frame.cuts(seen));
        let most = |known: f64, axis: &Axis| OTHER_SIZE + 3.0 * axis.deviation() / known;
        let (width, height) = (most(area.width(), &self.axes[2]), most(area.height(), &self.axes[3]));
        match (known.0 || now.0, known.1 || now.1) {
            (false, false) => {
                let known = area.width() * area.height();
                is_like(known.sqrt(), (seen.width() * seen.height()).sqrt(), width.max(height))
            }
            (true, false) => is_like(area.height(), seen.height(), height),
            (false, true) => is_like(area.width(), seen.width(), width),
            (true, true) => true,
        }
    }

    /// Whether it was not seen for a while, and in the frame before.
    fn was_missed(&self) -> bool {
        self.at - self.last_seen > AGAIN_AFTER.max(1.5 * self.step)
    }

    /// How far ahead of where it was last seen a box lies, and how far beside its way, the latter as a share of what may be.
    /// `None` where it lies behind it, or too far beside.
    fn way_to(&self, seen: &SeenBox) -> Option<(f64, f64)> {
        let from = self.area_seen();
        let way = seen.centre().minus(from.centre());
        let larger = from.width().max(from.height());
        let (along, aside) = match self.heading.unit() {
            Some(unit) => (way.dot(unit), way.cross(unit).abs()),
            None => (0.0, way.length()),
        };
        let most = 0.5 * larger + along.max(0.0);
        (along > -0.5 * larger && aside < most).then(|| (along, aside / most))
    }

    /// Whether it would have to brake harder than anything does to be only so far ahead of where it was last seen. Of one that
    /// went behind something nobody knows.
    fn is_behind(&self, along: f64) -> bool {
        let (from, now) = (self.area_seen(), self.area());
        let (speed, unseen) = (self.entered.length(), self.at - self.last_seen);
        let Some(unit) = self.heading.unit() else { return false };
        if self.hidden.is_some() || self.stands || speed < STANDING * self.size() {
            return false;
        }
        let brake = BRAKE * self.size();
        let braking = unseen.min(speed / brake);
        let kept = (speed - 0.5 * brake * braking) * braking / (speed * unseen);
        let ahead = now.centre().minus(from.centre()).dot(unit);
        along < ahead * kept - 0.5 * from.width().max(from.height())
    }

    /// How well a box fits one that was not seen for a while: it comes out ahead of where it went in, or where it stood, not
    /// beside it. `None` where it does not.
    pub(super) fn fits_again(&self, seen: &SeenBox) -> Option<f64> {
        let unseen = self.at - self.last_seen;
        let from = self.area_seen();
        let size = |of: &SeenBox| (of.width() * of.height()).sqrt();
        let is_hidden = self.hidden.is_some_and(|last| self.at - last <= HIDDEN_BEFORE);
        if !self.was_missed()
            || !self.is_confirmed()
            || !(is_hidden || unseen < UNSEEN)
            || !is_like(size(&from), size(seen), OTHER_SIZE)
        {
            return None;
        }
        // It may have driven off as soon as nobody saw it.
        let larger = from.width().max(from.height());
        let reach = 1.2 * self.entered.length() * unseen + 0.5 * PUSH * self.size() * unseen * unseen;
        let (along, aside) = self.way_to(seen).filter(|way| !self.is_behind(way.0))?;
        (along < (reach + larger).min(FARTHEST_AGAIN * larger)).then_some(1.0 - 0.5 * aside)
    }

    /// Notes whether something nearer to the camera covers where it was, or is taken to be.
    pub(super) fn note_hidden(&mut self, boxes: &[SeenBox]) {
        let places = [self.area_seen(), self.area()];
        let is_covered = boxes.iter().any(|nearer| {
            places.iter().any(|place| nearer.bottom > place.bottom && nearer.covers(place) > HIDING)
        });
        if is_covered {
            self.hidden = Some(self.at);
        }
    }

    /// For how many seconds it may stay unseen, `step` seconds after the frame before.
    pub(super) fn lasts(&self, step: f64) -> f64 {
        let speed = self.velocity().length() / self.size();
        let stands = self.stands || speed < STANDING;
        let is_hidden = self.hidden.is_some_and(|last| self.at - last <= HIDDEN_BEFORE);
        match (self.is_confirmed(), is_hidden) {
            (false, _) => UNCONFIRMED.max(MISSED * step),
            (true, true) if stands => UNSEEN_HIDDEN_STANDING,
            (true, true) => UNSEEN_HIDDEN,
            (true, false) if stands => {
                (UNSEEN_TIMES * (self.last_seen - self.first_seen)).clamp(UNSEEN, UNSEEN_STANDING)
            }
            (true, false) => UNSEEN,
        }
    }

    /// How far its box and those of a frame are widened, as a share of their size on each side.
    pub(super) fn margin(&self, area: &SeenBox) -> f64 {
        let deviation = self.axes[0].deviation().max(self.axes[1].deviation());
        let (least, growth) = if self.is_confirmed() { (0.15, 0.5) } else { (0.15, 0.8) };
        (least + growth * deviation / area.smaller_side().max(1.0)).min(1.5)
    }

    pub(super) fn see(&mut self, seen: &SeenBox, frame: FrameSize, kind_of: &[Option<usize>]) {
        let deviation = deviation_of(seen);
        let centre = seen.centre();
        let measured = [centre.x, centre.y, seen.width(), seen.height()];
        let (cut_across, cut_down) = frame.cuts(seen);
        self.whole = if cut_across || cut_down { 0 } else { self.whole.saturating_add(1) };
        for ((axis, value), cut) in
            self.axes.iter_mut().zip(measured).zip([cut_across, cut_down, cut_across, cut_down])
        {
            axis.update(value, if cut { 5.0 * deviation } else { deviation });
        }
        if self.whole == 1 {
            // How it grew while it came into the picture says nothing about its distance.
            let size = self.size();
            self.axes[2] = Axis::new(seen.width(), deviation, 0.5 * size);
            self.axes[3] = Axis::new(seen.height(), deviation, 0.5 * size);
        }
        self.shown = self.axes.map(|axis| axis.value);
        self.hidden = None;
        self.entered = if self.stands { Point::default() } else { self.velocity() };
        if self.whole >= SETTLED && self.entered.length() > STANDING * self.size() {
            self.heading = self.entered;
        }
        self.last_seen = self.at;
        self.sightings = self.sightings.saturating_add(1);
        self.is_sure |= seen.score >= HIGH_SCORE;
        self.add_class(seen, kind_of);
    }
}

fn deviation_of(seen: &SeenBox) -> f64 {
    let share = if seen.score >= HIGH_SCORE { 0.05 } else { 0.1 };
    share * seen.height().max(8.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_that_is_none_makes_a_track_unfit() {
        let seen = SeenBox { class: 0, score: 0.9, left: 0.0, top: 0.0, right: 10.0, bottom: 10.0 };
        let sound = Track::<()>::new(0, 0.0, (&seen, true), &[None]);
        assert!(sound.is_finite(1) && !sound.is_finite(2));
        let spoilt: [fn(&mut Track<()>); 7] = [
            |track| track.step = f64::NAN,
            |track| track.shown[3] = f64::INFINITY,
            |track| track.entered.x = f64::NAN,
            |track| track.heading.y = f64::NAN,
            |track| track.hidden = Some(f64::NAN),
            |track| track.sums[0] = f32::NAN,
            |track| track.first_seen = f64::NAN,
        ];
        for (which, spoil) in spoilt.into_iter().enumerate() {
            let mut track = sound.clone();
            spoil(&mut track);
            assert!(!track.is_finite(1), "{which}");
        }
    }
}
