//! Pictures for people who watch a camera. A lease begins when somebody asks and ends when nobody has asked for half a minute:
//! only in between workers leave pictures here, and judges what they know of the scene. Somebody who draws also has what is
//! followed kept, for longer and without pictures. While nobody watches, a frame costs one look at a flag.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use verge_domain::frame::ShownFrame;
use verge_domain::live::{LivePicture, LiveScene, WatchedCamera};
use verge_domain::observation::{Camera, Captured};
use verge_domain::time::{Moment, Monotonic};

use super::tracks::{KEPT_FOR, SeenTracks};

/// Pictures are kept for this long after somebody asked last.
pub const WATCH_LEASE: Duration = Duration::from_secs(30);
/// Cameras that are watched at once at most.
pub const MAX_WATCHED: usize = 64;
/// Cameras at most whose tracks are kept; of more, those are dropped that nobody has asked for for the longest time.
const MAX_FOLLOWED: usize = 4;
/// Bytes of the pictures that are kept at most, of all cameras together.
const MAX_BYTES: usize = 64 << 20;
/// From one picture of a camera to the next at least: nobody asks more than five times a second.
const APART: Duration = Duration::from_millis(180);

/// Where pictures of watched cameras are left. Clones share it.
#[derive(Clone, Default)]
pub struct WatchBoard(Arc<WatchPlaces>);

#[derive(Default)]
struct WatchPlaces {
    /// Whether any camera is watched: workers and judges look at nothing else while none is.
    any: AtomicBool,
    book: Mutex<WatchBook>,
}

#[derive(Default)]
struct WatchBook {
    number: u64,
    places: Vec<WatchPlace>,
}

struct WatchPlace {
    camera: Camera,
    /// Pictures are wanted until then.
    until: Monotonic,
    /// When the newest picture was left.
    left: Option<Monotonic>,
    picture: Option<Arc<LivePicture>>,
    scene: LiveScene,
    /// Kept while somebody draws before the camera.
    tracks: Option<Followed>,
}

struct Followed {
    seen: SeenTracks,
    until: Monotonic,
}

impl WatchBoard {
    /// Somebody watches a camera from now on; what there is of it. `None`: as many as can be are watched already.
    #[must_use]
    pub fn watch(&self, camera: &Camera, now: Monotonic) -> Option<WatchedCamera> {
        let mut book = self.book();
        self.end_leases(&mut book, now);
        let until = now.after(WATCH_LEASE);
        let is_full = book.places.len() >= MAX_WATCHED;
        let known = book.places.iter_mut().find(|place| place.camera == *camera);
        let watched = match known {
            Some(place) => {
                place.until = until;
                WatchedCamera { picture: place.picture.clone(), scene: Arc::clone(&place.scene) }
            }
            None if is_full => return None,
            None => {
                let (camera, scene) = (camera.clone(), LiveScene::default());
                book.places.push(WatchPlace {
                    camera,
                    until,
                    left: None,
                    picture: None,
                    scene,
                    tracks: None,
                });
                WatchedCamera::default()
            }
        };
        self.0.any.store(true, Ordering::Release);
        Some(watched)
    }

    /// Whether somebody watches a camera and its next picture is due.
    pub(super) fn wants_picture(&self, camera: &Camera, now: Monotonic) -> bool {
        let is_due =
            |place: &WatchPlace| place.until > now && place.left.is_none_or(|left| now.since(left) >= APART);
        self.place(camera, now, is_due).unwrap_or(false)
    }

    /// Whether somebody watches a camera, or draws before it.
    pub(crate) fn wants_scene(&self, camera: &Camera, now: Monotonic) -> bool {
        self.place(camera, now, |_| ()).is_some()
    }

    /// Leaves a picture in its camera's place, if that is still watched.
    pub(super) fn leave_picture(
        &self,
        camera: &Camera,
        frame: ShownFrame,
        (captured, received): (Captured, Moment),
        now: Monotonic,
    ) {
        let mut book = self.book();
        book.number += 1;
        let number = book.number;
        let bytes = |place: &WatchPlace| place.picture.as_ref().map_or(0, |kept| kept.frame.jpeg.len());
        let others = book.places.iter().filter(|place| place.camera != *camera).map(bytes).sum::<usize>();
        if others + frame.jpeg.len() > MAX_BYTES {
            return;
        }
        let is_watched = |place: &&mut WatchPlace| place.camera == *camera && place.until > now;
        if let Some(place) = book.places.iter_mut().find(is_watched) {
            place.left = Some(now);
            place.picture = Some(Arc::new(LivePicture { number, frame, captured, received }));
        }
    }

    /// Leaves what judges know of the scene before a camera, if that is still watched.
    pub(crate) fn leave_scene(&self, camera: &Camera, scene: LiveScene, received: Moment) {
        if let Some(place) = self.book().places.iter_mut().find(|place| place.camera == *camera) {
            place.tracks.iter_mut().for_each(|tracks| tracks.seen.note(&scene, received));
            place.scene = scene;
        }
    }

    /// What was followed before a camera that is watched, since somebody asked for the first time. It is kept until nobody has
    /// asked for as long as tracks are kept.
    #[must_use]
    pub fn tracks(&self, camera: &Camera, now: Moment) -> Option<SeenTracks> {
        let mut book = self.book();
        let of = book.places.iter().position(|place| place.camera == *camera)?;
        let followed = |place: &&mut WatchPlace| place.tracks.is_some();
        if book.places[of].tracks.is_none() && book.places.iter_mut().filter(followed).count() >= MAX_FOLLOWED
        {
            let places = book.places.iter_mut().filter(followed);
            let oldest = places.min_by_key(|place| place.tracks.as_ref().map(|tracks| tracks.until.0));
            if let Some(place) = oldest {
                place.tracks = None;
            }
        }
        let until = now.mono.after(KEPT_FOR);
        let begin = || Followed { seen: SeenTracks::new(now.wall), until };
        let tracks = book.places[of].tracks.get_or_insert_with(begin);
        tracks.until = until;
        Some(tracks.seen.clone())
    }

    /// Forgets all pictures: the next ones come from other viewers.
    pub(super) fn forget_pictures(&self) {
        if self.0.any.load(Ordering::Acquire) {
            self.book().places.iter_mut().for_each(|place| (place.picture, place.left) = (None, None));
        }
    }

    /// Now and then: forgets what nobody watches any more, also where no frames come.
    pub(crate) fn look_after(&self, now: Monotonic) {
        if self.0.any.load(Ordering::Acquire) {
            self.end_leases(&mut self.book(), now);
        }
    }

    /// Pictures that are kept, and their bytes.
    #[must_use]
    pub fn kept(&self) -> (usize, usize) {
        let book = self.book();
        let kept = book.places.iter().filter_map(|place| place.picture.as_ref());
        kept.fold((0, 0), |(count, bytes), picture| (count + 1, bytes + picture.frame.jpeg.len()))
    }

    fn place<T>(&self, camera: &Camera, now: Monotonic, look: impl FnOnce(&WatchPlace) -> T) -> Option<T> {
        if !self.0.any.load(Ordering::Acquire) {
            return None;
        }
        let mut book = self.book();
        self.end_leases(&mut book, now);
        book.places.iter().find(|place| place.camera == *camera).map(look)
    }

    fn end_leases(&self, book: &mut WatchBook, now: Monotonic) {
        for place in &mut book.places {
            if place.until <= now {
                (place.picture, place.left) = (None, None);
            }
            if place.tracks.as_ref().is_some_and(|tracks| tracks.until <= now) {
                place.tracks = None;
            }
        }
        book.places.retain(|place| place.until > now || place.tracks.is_some());
        self.0.any.store(!book.places.is_empty(), Ordering::Release);
    }

    fn book(&self) -> MutexGuard<'_, WatchBook> {
        self.0.book.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use verge_domain::id::DeviceId;
    use verge_domain::reading::SourceIndex;
    use verge_domain::time::UtcMillis;

    use super::*;

    fn camera(name: &str) -> Camera {
        Camera { source: SourceIndex(0), device: DeviceId::new(name).unwrap() }
    }

    fn at(millis: u64) -> Monotonic {
        Monotonic(millis * 1_000)
    }

    fn frame(bytes: usize) -> ShownFrame {
        ShownFrame { jpeg: vec![0; bytes].into(), width: 8, height: 6, masked: false, views: Vec::new() }
    }

    fn leave(watch: &WatchBoard, of: &str, bytes: usize, millis: u64) {
        let times = (Captured::UNKNOWN, Moment::from_wall(UtcMillis(1)));
        watch.leave_picture(&camera(of), frame(bytes), times, at(millis));
    }

    #[test]
    fn pictures_are_kept_while_somebody_watches_and_no_longer() {
        let watch = WatchBoard::default();
        assert!(!watch.wants_picture(&camera("a"), at(0)) && !watch.wants_scene(&camera("a"), at(0)));
        leave(&watch, "a", 10, 0);
        assert_eq!(watch.kept(), (0, 0), "nobody watches");

        assert_eq!(watch.watch(&camera("a"), at(0)), Some(WatchedCamera::default()));
        assert!(watch.wants_picture(&camera("a"), at(1)) && watch.wants_scene(&camera("a"), at(1)));
        assert!(!watch.wants_picture(&camera("b"), at(1)), "nobody watches that one");
        leave(&watch, "a", 10, 1);
        leave(&watch, "b", 10, 1);
        assert_eq!(watch.kept(), (1, 10));
        assert!(!watch.wants_picture(&camera("a"), at(100)), "five a second at most");
        assert!(watch.wants_picture(&camera("a"), at(200)));
        leave(&watch, "a", 20, 200);
        let seen = watch.watch(&camera("a"), at(29_000)).unwrap().picture.unwrap();
        assert_eq!((seen.number, seen.frame.jpeg.len()), (4, 20));

        // Other viewers may hide more.
        watch.forget_pictures();
        assert_eq!(watch.kept(), (0, 0));
        leave(&watch, "a", 20, 29_000);

        // Half a minute after somebody asked last, whether frames come or not.
        watch.look_after(at(58_999));
        assert_eq!(watch.kept(), (1, 20));
        watch.look_after(at(59_001));
        assert_eq!(watch.kept(), (0, 0));
        assert!(!watch.0.any.load(Ordering::Relaxed), "a frame costs one look at a flag");
        assert!(!watch.wants_picture(&camera("a"), at(59_002)));
    }

    #[test]
    fn what_is_followed_is_kept_for_who_draws_without_pictures() {
        let watch = WatchBoard::default();
        let moment = |millis: u64| Moment { mono: at(millis), wall: UtcMillis(1) };
        assert!(watch.tracks(&camera("a"), moment(0)).is_none(), "nobody watches");
        assert!(
            watch.watch(&camera("a"), at(0)).is_some() && watch.tracks(&camera("a"), moment(0)).is_some()
        );
        leave(&watch, "a", 10, 1);
        watch.look_after(at(31_000));
        assert_eq!(watch.kept(), (0, 0));
        assert!(
            !watch.wants_picture(&camera("a"), at(31_000)) && watch.wants_scene(&camera("a"), at(31_000))
        );
        assert!(watch.tracks(&camera("a"), moment(600_000)).is_some());
        assert!(watch.wants_scene(&camera("a"), at(1_400_000)));
        watch.look_after(at(1_500_001));
        assert!(!watch.0.any.load(Ordering::Relaxed), "nobody has asked for a quarter of an hour");

        // Of too many the one goes that nobody has asked for for the longest time.
        for (millis, number) in [1, 2, 3, 4, 1, 5].into_iter().enumerate() {
            let (name, millis) = (number.to_string(), 2_000_000 + millis as u64);
            drop(watch.watch(&camera(&name), at(millis)));
            drop(watch.tracks(&camera(&name), moment(millis)));
        }
        let followed: Vec<bool> = watch.book().places.iter().map(|place| place.tracks.is_some()).collect();
        assert_eq!(followed, [true, false, true, true, true]);
    }

    #[test]
    fn cameras_and_bytes_are_bounded() {
        let watch = WatchBoard::default();
        for number in 0..MAX_WATCHED {
            assert!(watch.watch(&camera(&number.to_string()), at(0)).is_some());
        }
        assert_eq!(watch.watch(&camera("more"), at(1)), None);
        leave(&watch, "0", MAX_BYTES, 1);
        leave(&watch, "1", 1, 1);
        assert_eq!(watch.kept(), (1, MAX_BYTES));
        // Its own former picture makes room.
        leave(&watch, "0", 10, 2);
        leave(&watch, "1", 1, 2);
        assert_eq!(watch.kept(), (2, 11));
        assert!(watch.watch(&camera("more"), at(31_000)).is_some(), "the others are over");
    }
}
