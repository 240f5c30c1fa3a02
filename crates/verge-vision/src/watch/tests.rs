use super::*;
use crate::picture::SAMPLES;

const SIZE: (u32, u32) = (320, 180);

/// A wall of bricks of many shades with some noise; what is hidden is grey. Taken `brightness` times as bright.
fn picture(frame: u32, brightness: f32, hidden: &[Range<usize>]) -> Picture {
    let mut noise = frame.wrapping_mul(7_919) + 1;
    let mut rgb = Vec::new();
    for y in 0..SIZE.1 {
        for x in 0..SIZE.0 {
            let shade = 60 + (x / 14 * 31 + y / 10 * 17) % 90;
            noise = noise.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let level = shade as f32 * brightness + (noise >> 24) as f32 / 64.0;
            rgb.extend([level.clamp(0.0, 255.0) as u8; SAMPLES]);
        }
    }
    hidden.iter().for_each(|range| rgb[range.clone()].fill(114));
    Picture::from_rgb(SIZE.0, SIZE.1, rgb)
}

/// The left part of each row, up to this share of it.
fn left(share: f32) -> Vec<Range<usize>> {
    let width = (SIZE.0 as f32 * share) as usize * SAMPLES;
    (0..SIZE.1 as usize).map(|row| row * SIZE.0 as usize * SAMPLES).map(|from| from..from + width).collect()
}

fn at(frame: u32) -> Monotonic {
    Monotonic(u64::from(frame) * 200_000)
}

#[test]
fn what_is_hidden_from_now_on_is_not_missing_and_moves_nothing() {
    let hidden = left(0.6);
    let mut watch = CameraWatch::default();
    let clean = (0..100).map(|frame| watch.look(&picture(frame, 1.0, &[]), at(frame))).last().unwrap();
    assert!(clean.known.is_some_and(|known| known.missing < 0.1), "{clean:?}");
    for frame in 100..150 {
        // The light changes, the mask does not.
        let brightness = if frame < 120 { 1.0 } else { 1.4 };
        let look = watch.look_past(&hidden, &picture(frame, brightness, &hidden), at(frame));
        assert!((look.hidden - 0.6).abs() < 0.01, "{look:?}");
        if frame > 101 {
            let known = look.known.expect("the other part is known");
            assert!(known.missing.max(known.missing_area) < 0.1 && known.layout > 0.9, "{frame}: {look:?}");
        }
        assert_eq!(&look.motion.blobs[..], [], "{frame}");
        assert!(look.equal.unwrap() < 0.3 && look.shift.is_none(), "{look:?}");
        let of = |now: f32, of: f32| (now / of - 1.0).abs() < 0.15;
        assert!(of(look.sharpness, clean.sharpness) && of(look.edges, clean.edges), "{look:?} {clean:?}");
    }
}

#[test]
fn a_hidden_part_is_no_picture_that_stands_still_is_bright_or_dark() {
    let hidden = left(0.9);
    let mut watch = CameraWatch::default();
    (0..40).for_each(|frame| _ = watch.look_past(&hidden, &picture(frame, 1.0, &hidden), at(frame)));
    let stands = watch.look_past(&hidden, &picture(39, 1.0, &hidden), at(40));
    assert_eq!(stands.equal, Some(1.0));
    let dark = watch.look_past(&hidden, &picture(41, 0.03, &hidden), at(41));
    assert!(dark.mean < 12.0 && dark.contrast() < 6.0, "{dark:?}");
    let bright = watch.look_past(&hidden, &picture(42, 5.0, &hidden), at(42));
    assert!(bright.saturated > 0.9, "{bright:?}");
    // All of it: nothing is said.
    let whole = left(1.0);
    let nothing = watch.look_past(&whole, &picture(43, 1.0, &whole), at(43));
    assert!(nothing.equal.is_none() && nothing.known.is_none() && nothing.mean > 100.0, "{nothing:?}");
}
