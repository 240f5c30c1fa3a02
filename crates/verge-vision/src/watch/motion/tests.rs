use verge_domain::motion::{Blob, MAX_BLOBS};

use super::*;

const SIZE: (usize, usize) = (160, 90);
const ALL: [f32; 4] = [0.0, 0.0, 1.0, 1.0];

/// A street that is drawn: a pattern of its own, a shade of noise that differs from picture to picture.
struct Street {
    noise: u32,
}

impl Street {
    const fn new() -> Self {
        Self { noise: 1 }
    }

    /// With what stands on it, each as left, top, width, height and grey level; taken `brightness` times as bright.
    fn picture(&mut self, on_it: &[[usize; 5]], brightness: f32) -> Vec<u8> {
        let mut pixels = Vec::with_capacity(SIZE.0 * SIZE.1);
        for y in 0..SIZE.1 {
            for x in 0..SIZE.0 {
                let covers = |[left, top, width, height, _]: &&[usize; 5]| {
                    (*left..left + width).contains(&x) && (*top..top + height).contains(&y)
                };
                let pattern = 90 + (x / 7 * 31 + y / 5 * 17) % 60;
                let level = on_it.iter().rev().find(covers).map_or(pattern, |one| one[4]);
                self.noise = self.noise.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                let noise = (self.noise >> 24) as f32 / 64.0 - 2.0;
                pixels.push((level as f32 * brightness + noise).clamp(0.0, 255.0) as u8);
            }
        }
        pixels
    }
}

fn seconds(frame: usize) -> f64 {
    frame as f64 / 10.0
}

/// A background that has seen the empty street for three seconds, and the time of its next picture.
fn settled(street: &mut Street) -> (PixelBackground, usize) {
    let mut background = PixelBackground::default();
    for frame in 0..30 {
        let motion = background.look(&street.picture(&[], 1.0), SIZE, seconds(frame));
        assert_eq!(motion.settled, frame >= 15, "frame {frame}");
        assert!(motion.blobs.is_empty() && !motion.light, "frame {frame}: {motion:?}");
    }
    (background, 30)
}

#[track_caller]
fn covers(blob: &Blob, [left, top, width, height]: [usize; 4]) {
    let near = |share: f32, pixels: usize, side: usize| (share - pixels as f32 / side as f32).abs() < 0.02;
    let is_there = near(blob.left, left, SIZE.0)
        && near(blob.right, left + width, SIZE.0)
        && near(blob.top, top, SIZE.1)
        && near(blob.bottom, top + height, SIZE.1);
    assert!(is_there, "{blob:?} is not {left} {top} {width} {height}");
}

#[test]
fn what_moves_is_found_where_it_is() {
    let mut street = Street::new();
    let (mut background, begin) = settled(&mut street);
    for frame in 0..40 {
        let [car, van] = [[10 + 3 * frame, 20, 14, 9, 30], [150 - 3 * frame, 60, 10, 12, 230]];
        let motion = background.look(&street.picture(&[car, van], 1.0), SIZE, seconds(begin + frame));
        let mut blobs = motion.blobs.to_vec();
        assert_eq!(blobs.len(), 2, "frame {frame}: {motion:?}");
        blobs.sort_by(|a, b| a.top.total_cmp(&b.top));
        covers(&blobs[0], [car[0], 20, 14, 9]);
        covers(&blobs[1], [van[0], 60, 10.min(160 - van[0]), 12]);
        assert!((blobs[0].area - 126.0 / 14_400.0).abs() < 0.002, "{motion:?}");
    }
    let after = background.look(&street.picture(&[], 1.0), SIZE, seconds(begin + 40));
    assert!(after.blobs.is_empty(), "nothing stays behind: {after:?}");
}

#[test]
fn what_passes_while_the_background_is_learnt_leaves_no_trace() {
    for (rate, most) in [(10, 400), (5, 200)] {
        let (mut street, mut background) = (Street::new(), PixelBackground::default());
        // In the picture from the first one on, and gone after two seconds.
        for frame in 0..most {
            let at = frame as f64 / f64::from(rate);
            let down = (at * 45.0) as usize;
            let car = [[60, down, 20, 12, 240]];
            let on_it = if down < 90 { &car[..] } else { &[] };
            let motion = background.look(&street.picture(on_it, 1.0), SIZE, at);
            if at > 2.0 {
                assert!(motion.settled && motion.blobs.is_empty(), "{at} s at {rate}/s: {motion:?}");
            }
        }
    }
}

#[test]
fn a_camera_that_exposes_less_for_a_bright_car_sees_the_car_alone() {
    let mut street = Street::new();
    let (mut background, begin) = settled(&mut street);
    for frame in 0..30 {
        // Down to half within a second, and back.
        let brightness = 1.0 - 0.05 * frame.min(30 - frame).min(10) as f32;
        let car = [20 + 3 * frame, 30, 24, 20, 255];
        let motion = background.look(&street.picture(&[car], brightness), SIZE, seconds(begin + frame));
        let [blob] = motion.blobs[..] else { panic!("frame {frame}: {motion:?}") };
        covers(&blob, [car[0], 30, 24, 20]);
    }
}

#[test]
fn another_light_is_no_motion_and_is_learnt() {
    let mut street = Street::new();
    let (mut background, mut frame) = settled(&mut street);
    let mut look = |picture: &[u8]| {
        frame += 1;
        background.look(picture, SIZE, seconds(frame))
    };
    // Lamps: shadows lie elsewhere.
    let other: Vec<u8> =
        (0..SIZE.0 * SIZE.1).map(|at| if (at % 160 / 40 + at / 1600) % 2 == 0 { 10 } else { 240 }).collect();
    let at_once = look(&other);
    assert!(at_once.light && at_once.blobs.is_empty() && at_once.changed > 0.6, "{at_once:?}");
    assert!(at_once.moves(0.004, ALL), "nobody knows what moves");
    let then: Vec<bool> = (0..20).map(|_| look(&other).settled).collect();
    assert!(!then[0] && then[19], "{then:?}");
    assert!(!look(&other).moves(0.004, ALL));
}

#[test]
fn what_stands_becomes_background_and_leaves_no_ghost_for_long() {
    let mut street = Street::new();
    let (mut background, begin) = settled(&mut street);
    let parked = [60, 40, 20, 12, 240];
    // A picture every six seconds, for five minutes.
    let mut stands = |on_it: &[[usize; 5]], from: usize| {
        let each = (0..50).map(|number| {
            let motion = background.look(&street.picture(on_it, 1.0), SIZE, seconds(from + 60 * number));
            motion.moves(0.004, ALL)
        });
        each.collect::<Vec<bool>>()
    };
    let arrived = stands(&[parked], begin);
    assert!(arrived[..4].iter().all(|moves| *moves), "it is seen for twenty seconds at least");
    assert!(!arrived[49], "it belongs to the street");
    let left = stands(&[], begin + 3000);
    assert!(left[0] && !left[49], "its place differs, then belongs to the street again");
}

#[test]
fn noise_single_pixels_and_slow_light_are_no_blobs() {
    let mut street = Street::new();
    let (mut background, begin) = settled(&mut street);
    for frame in 0..60 {
        let spot = [frame * 7 % 158, frame * 5 % 88, 2, 2, 255];
        let brightness = 1.0 - 0.2 * frame as f32 / 60.0;
        let motion = background.look(&street.picture(&[spot], brightness), SIZE, seconds(begin + frame));
        assert!(motion.blobs.is_empty() && !motion.light, "frame {frame}: {motion:?}");
    }
}

#[test]
fn a_flock_is_bounded_and_another_size_begins_anew() {
    let mut street = Street::new();
    let (mut background, begin) = settled(&mut street);
    let flock: Vec<[usize; 5]> =
        (0..8).flat_map(|x| (0..4).map(move |y| [x * 20, y * 22, 6, 6, 255])).collect();
    let motion = background.look(&street.picture(&flock, 1.0), SIZE, seconds(begin));
    assert_eq!(motion.blobs.len(), MAX_BLOBS);
    let bytes = background.heap_bytes();
    assert!(bytes <= 10 * SIZE.0 * SIZE.1, "{bytes}");
    for (pixels, size) in
        [(vec![7; 120 * 160], (120, 160)), (vec![], (0, 0)), (vec![7; 1], (1, 1)), (vec![7; 9], (9, 1))]
    {
        let first = background.look(&pixels, size, seconds(begin + 1));
        assert!(!first.settled && !first.light, "{size:?}");
        background.look(&pixels, size, seconds(begin + 2));
    }
    // Time that runs back, or stood still for long.
    let (mut background, begin) = settled(&mut street);
    assert!(!background.look(&street.picture(&[], 1.0), SIZE, 0.5).settled);
    let (mut late, _) = settled(&mut street);
    assert!(!late.look(&street.picture(&[], 1.0), SIZE, seconds(begin) + 1000.0).settled);
    assert!(!late.look(&street.picture(&[], 1.0), SIZE, f64::NAN).settled);
}
