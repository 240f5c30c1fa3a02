//! Which objects a second model has looked at. Where an object was a moment ago decides, not a track: those are in the judge,
//! behind a queue. An object that is mistaken for another one costs a crop more or a crop later, and no wrong count.

use std::time::Duration;

use verge_domain::frame::{Detection, PixelBox};
use verge_domain::id::Label;
use verge_domain::time::Monotonic;

use crate::detect::overlap;
use crate::picture::{Picture, SAMPLES};

/// Objects kept in mind at most.
const MOST: usize = 128;
/// One that was not seen for longer is another one when it comes again.
const UNSEEN: Duration = Duration::from_millis(2_500);
/// Overlap of an object with where it should be by now.
const SAME: f32 = 0.3;
/// A crop that is better by this factor is worth another look.
const BETTER: f32 = 2.0;
/// A crop with a shorter side than this shows nothing, in pixels.
const SHORTEST: u32 = 12;
/// Answers that agree, of which each outweighs one that does not.
const FIRMEST: u8 = 3;
/// Places across and down at which sharpness is sampled.
const SAMPLED: u32 = 16;

/// An object, and what was made of it.
#[derive(Debug)]
struct CropPlace {
    /// Left, top, right, bottom in pixels.
    corners: [f32; 4],
    /// Pixels per second.
    speed: [f32; 2],
    seen: Monotonic,
    looked: Option<Monotonic>,
    /// Of the best crop that was looked at.
    quality: f32,
    kind: Option<KnownKind>,
}

/// The kind that an object was found to be.
#[derive(Debug)]
struct KnownKind {
    kind: Label,
    /// The class that it is a kind of, and both together.
    class: Label,
    name: Label,
    firmness: u8,
}

/// A crop that the second model should look at.
#[derive(Debug, Clone, Copy)]
pub(super) struct DueCrop {
    pub(super) object: usize,
    place: usize,
    is_first: bool,
    quality: f32,
}

/// The objects of one camera.
#[derive(Debug)]
pub(super) struct CropPlaces {
    places: Vec<CropPlace>,
    /// The place of each object of the frame, where it is one to be looked at.
    of_object: Vec<Option<usize>>,
    taken: Vec<bool>,
    due: Vec<DueCrop>,
    /// Objects of the frame, and what the second model called them.
    answers: Vec<(usize, Label)>,
    now: Monotonic,
}

impl Default for CropPlaces {
    fn default() -> Self {
        let (places, of_object, taken, due, answers) = Default::default();
        Self { places, of_object, taken, due, answers, now: Monotonic(0) }
    }
}

impl CropPlaces {
    /// Finds the objects of a frame again, and those that are to be looked at: what was never looked at first, then the best
    /// crops.
    pub(super) fn follow(
        &mut self,
        picture: &Picture,
        (objects, is_wanted): (&[Detection], impl Fn(&Label) -> bool),
        at: Monotonic,
        every: Option<Duration>,
    ) {
        if at < self.now {
            // Time ran back: nothing is known.
            self.places.clear();
        }
        self.now = at;
        self.places.retain(|place| at.since(place.seen) <= UNSEEN);
        self.of_object.clear();
        self.due.clear();
        self.answers.clear();
        self.taken.clear();
        self.taken.resize(self.places.len(), false);
        for (number, object) in objects.iter().enumerate() {
            let is_large = object.area.width.min(object.area.height) >= SHORTEST;
            let place = if is_large && is_wanted(&object.label) { self.place_of(object.area) } else { None };
            self.of_object.push(place);
            let Some(place) = place else { continue };
            let known = &self.places[place];
            let quality = quality(picture, object.area);
            let is_due = match (known.looked, every) {
                (None, _) => true,
                (Some(looked), Some(every)) => at.since(looked) >= every,
                (Some(_), None) => quality >= BETTER * known.quality,
            };
            if is_due {
                let is_first = known.looked.is_none();
                self.due.push(DueCrop { object: number, place, is_first, quality });
            }
        }
        self.due.sort_unstable_by(|a, b| {
            b.is_first.cmp(&a.is_first).then(b.quality.total_cmp(&a.quality)).then(a.object.cmp(&b.object))
        });
    }

    /// The place that an object continues, or a new one; `None` where there are too many.
    fn place_of(&mut self, area: PixelBox) -> Option<usize> {
        let corners = corners(area);
        let mut best = (SAME, None);
        for (number, place) in self.places.iter().enumerate() {
            let common = overlap(place.at(self.now), corners);
            if !self.taken[number] && common >= best.0 {
                best = (common, Some(number));
            }
        }
        if let Some(number) = best.1 {
            self.places[number].see(corners, self.now);
            self.taken[number] = true;
            return Some(number);
        }
        if self.places.len() == MOST {
            return None;
        }
        let (speed, seen) = ([0.0; 2], self.now);
        self.places.push(CropPlace { corners, speed, seen, looked: None, quality: 0.0, kind: None });
        self.taken.push(true);
        Some(self.places.len() - 1)
    }

    /// The crops that are to be looked at, in order.
    pub(super) fn due(&self) -> &[DueCrop] {
        &self.due
    }

    /// The second model has looked at an object of this class: it is of this kind, or the model cannot tell.
    pub(super) fn note(&mut self, due: DueCrop, class: &Label, kind: Option<&Label>) {
        let place = &mut self.places[due.place];
        place.looked = Some(self.now);
        place.quality = place.quality.max(due.quality);
        let Some(answer) = kind.and_then(|kind| KnownKind::new(class, kind)) else { return };
        self.answers.push((due.object, answer.name.clone()));
        match &mut place.kind {
            Some(known) if known.kind == answer.kind => known.firmness = (known.firmness + 1).min(FIRMEST),
            Some(known) if known.firmness > 1 => known.firmness -= 1,
            other => *other = Some(answer),
        }
    }

    /// Gives objects the names of their kinds: all whose kind is known, or those of which there is an answer in this frame, by
    /// that answer.
    pub(super) fn write(&mut self, objects: &mut [Detection], keeps: bool) {
        if !keeps {
            for (object, name) in self.answers.drain(..) {
                objects[object].label = name;
            }
            return;
        }
        for (object, place) in objects.iter_mut().zip(&self.of_object) {
            let Some(known) = place.and_then(|place| self.places[place].kind.as_mut()) else { continue };
            if known.class != object.label {
                // The first model calls it something else by now.
                let Some(named) = KnownKind::new(&object.label, &known.kind) else { continue };
                *known = KnownKind { firmness: known.firmness, ..named };
            }
            object.label = known.name.clone();
        }
    }
}

impl KnownKind {
    /// `None` where the name is too long, which the judge's check leaves out.
    fn new(class: &Label, kind: &Label) -> Option<Self> {
        let name = class.kind(kind).ok()?;
        Some(Self { kind: kind.clone(), class: class.clone(), name, firmness: 1 })
    }
}

impl CropPlace {
    /// Where it should be at a time.
    fn at(&self, now: Monotonic) -> [f32; 4] {
        let seconds = now.since(self.seen).as_secs_f32();
        let [left, top, right, bottom] = self.corners;
        let [across, down] = self.speed.map(|speed| speed * seconds);
        [left + across, top + down, right + across, bottom + down]
    }

    fn see(&mut self, corners: [f32; 4], now: Monotonic) {
        let seconds = now.since(self.seen).as_secs_f32();
        if seconds > 0.0 {
            let way = |low: usize| {
                (f32::midpoint(corners[low], corners[low + 2])
                    - f32::midpoint(self.corners[low], self.corners[low + 2]))
                    / seconds
            };
            self.speed = [way(0), way(1)];
        }
        (self.corners, self.seen) = (corners, now);
    }
}

#[expect(clippy::cast_precision_loss, reason = "pixels of a frame, 65,535 a side at most")]
fn corners(area: PixelBox) -> [f32; 4] {
    let (left, top) = (area.x as f32, area.y as f32);
    [left, top, left + area.width as f32, top + area.height as f32]
}

/// How much a crop shows: its pixels, and how sharp they are.
#[expect(clippy::cast_precision_loss, reason = "pixels of a frame")]
fn quality(picture: &Picture, area: PixelBox) -> f32 {
    let (width, height) = (picture.width() as usize, picture.height() as usize);
    let green = |x: usize, y: usize| picture.rgb().get((y * width + x) * SAMPLES + 1).copied().unwrap_or(0);
    let mut sum = 0_u32;
    for row in 0..SAMPLED {
        for column in 0..SAMPLED {
            let x = (area.x + (area.width - 1) * column / SAMPLED) as usize;
            let y = (area.y + (area.height - 1) * row / SAMPLED) as usize;
            if x + 1 < width && y + 1 < height {
                let own = green(x, y);
                sum += u32::from(own.abs_diff(green(x + 1, y))) + u32::from(own.abs_diff(green(x, y + 1)));
            }
        }
    }
    let sharpness = sum as f32 / (SAMPLED * SAMPLED) as f32;
    area.width as f32 * area.height as f32 * (1.0 + sharpness)
}

#[cfg(test)]
mod tests;
