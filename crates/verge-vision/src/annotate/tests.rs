use verge_domain::frame::{Classification, Detection, Detections, PixelBox, Score, Scored};
use verge_domain::id::Label;

use super::canvas::HALO;
use super::text::Lettering;
use super::*;
use crate::picture::SAMPLES;

const GREY: u8 = 90;

fn grey(width: u32, height: u32) -> Picture {
    Picture::from_rgb(width, height, vec![GREY; width as usize * height as usize * SAMPLES])
}

fn drawn(width: u32, height: u32, shapes: &[AnnotatedShape]) -> Picture {
    let mut picture = grey(width, height);
    draw(&mut picture, shapes);
    picture
}

/// Columns and rows of the pixels that pass.
fn places(picture: &Picture, passes: impl Fn([u8; 3]) -> bool) -> Vec<(u32, u32)> {
    let pixels = (0..).zip(picture.rgb().chunks_exact(SAMPLES));
    let passing = pixels.filter(|(_, pixel)| passes([pixel[0], pixel[1], pixel[2]]));
    passing.map(|(at, _): (u32, _)| (at % picture.width(), at / picture.width())).collect()
}

fn is(colour: Rgb888) -> impl Fn([u8; 3]) -> bool {
    use embedded_graphics::pixelcolor::RgbColor as _;
    move |pixel| pixel == [colour.r(), colour.g(), colour.b()]
}

fn changed(pixel: [u8; 3]) -> bool {
    pixel != [GREY; 3]
}

fn object(area: [f64; 4]) -> AnnotatedShape {
    AnnotatedShape::Object { area, label: "car".to_owned(), score: Some(0.9), track: None }
}

#[test]
fn an_object_has_a_box_around_it_and_its_label_above() {
    let picture = drawn(640, 480, &[object([0.25, 0.5, 0.25, 0.25])]);
    let coloured = places(&picture, is(colour_of("car")));
    let on = |x: u32, y: u32| coloured.contains(&(x, y));
    assert!(on(160, 300) && on(320, 300) && on(200, 240) && on(200, 360), "each side");
    assert!(
        places(&picture, changed).iter().all(|&(x, y)| !(168..312).contains(&x) || !(248..352).contains(&y))
    );
    let letters: Vec<_> = coloured.iter().filter(|(_, y)| *y < 234).collect();
    let is_above = |&&&(x, y): &&&(u32, u32)| (150..300).contains(&x) && y > 205;
    assert_eq!(letters.iter().filter(is_above).count(), letters.len(), "{letters:?}");
    assert!(!letters.is_empty());
    // Within the picture, where there is no room above.
    let picture = drawn(640, 480, &[object([0.25, 0.0, 0.25, 0.25])]);
    assert!(places(&picture, is(colour_of("car"))).iter().any(|&(_, y)| (124..150).contains(&y)), "below");
}

#[test]
fn letters_and_strokes_can_be_read_where_a_picture_is_shown_360_pixels_wide() {
    for width in [360, 416, 640, 800, 1280, 1920, 3840] {
        let shown = f64::from(Lettering::of(width).height()) * 360.0 / f64::from(width);
        assert!((10.0..=14.0).contains(&shown), "{width}: letters of {shown:.1} pixels");
        let picture = drawn(width, width / 2, &[object([0.25, 0.25, 0.5, 0.5])]);
        let row = places(&picture, is(colour_of("car"))).into_iter().filter(|&(_, y)| y == width / 4);
        let stroke = row.filter(|&(x, _)| x < width / 2).count();
        let shown = stroke as f64 * 360.0 / f64::from(width);
        assert!((1.0..=2.0).contains(&shown), "{width}: a stroke of {shown:.1} pixels");
    }
    assert_eq!(Lettering::of(16).height(), 12, "no smaller than can be read at all");
}

#[test]
fn the_arrow_of_a_line_points_forward_and_each_count_stands_on_its_side() {
    let line = |from, to| AnnotatedShape::Line { name: String::new(), from, to, counts: Some([8, 1]) };
    // Drawn to the right, forward is downwards; drawn to the left, upwards.
    for (from, to, down) in [([0.2, 0.5], [0.8, 0.5], true), ([0.8, 0.5], [0.2, 0.5], false)] {
        let picture = drawn(640, 480, &[line(from, to)]);
        let on = places(&picture, is(LINES));
        let reach = |below: bool| {
            let far = on.iter().filter(|&&(_, y)| (y > 240) == below).map(|&(_, y)| y.abs_diff(240));
            far.max().unwrap()
        };
        assert!(reach(down) > reach(!down) + 15, "the arrow is ahead: {} and {}", reach(down), reach(!down));
        assert!(reach(!down) > 8, "the other count is behind");
    }
}

#[test]
fn words_do_not_cover_each_other_where_there_is_room() {
    let shapes: Vec<_> = (0..4).map(|step| object([0.3 + f64::from(step) * 0.01, 0.3, 0.3, 0.3])).collect();
    let mut words = PlacedWords::new(Lettering::of(640), (640, 480));
    let mut picture = grey(640, 480);
    let canvas = AnnotationCanvas::new(&mut picture);
    shapes.iter().for_each(|shape| name_one(&canvas, shape, &mut words));
    let areas = words.areas();
    let apart = |a: usize, b: usize| areas[a].intersection(&areas[b]).is_zero_sized();
    assert!((0..4).all(|a| (0..a).all(|b| apart(a, b))), "{areas:?}");
}

#[test]
fn every_shape_is_drawn_and_stays_within_the_picture() {
    let corners = vec![[0.1, 0.1], [0.9, 0.1], [0.9, 0.9]];
    let all = [
        object([-0.2, 0.9, 0.5, 0.5]),
        AnnotatedShape::Trail { label: "car".to_owned(), points: vec![[0.1, 0.1], [0.5, 0.4], [1.5, 0.4]] },
        AnnotatedShape::Line {
            name: "north".to_owned(),
            from: [0.0, 1.0],
            to: [1.0, 1.0],
            counts: Some([12, 7]),
        },
        AnnotatedShape::Zone { text: "Zufahrt süd".to_owned(), corners: corners.clone() },
        AnnotatedShape::Mask { name: "window".to_owned(), corners },
        AnnotatedShape::HeatMap {
            columns: 2,
            cells: vec![0.0, 0.5, 1.0, f32::NAN],
            area: [0.0, 0.0, 1.0, 1.0],
        },
        AnnotatedShape::Caption("日 0.50".to_owned()),
    ];
    for (width, height) in [(64, 36), (640, 480), (300, 900)] {
        for shape in &all {
            let picture = drawn(width, height, std::slice::from_ref(shape));
            assert!(!places(&picture, changed).is_empty(), "{width}x{height}: {shape:?}");
        }
    }
    // However small or odd.
    for (width, height) in [(1, 1), (2, 300), (300, 2)] {
        draw(&mut grey(width, height), &all);
    }
}

#[test]
fn the_heat_map_is_brightest_where_it_is_hottest() {
    let cells = vec![0.0, 0.5, 1.0];
    let heat = AnnotatedShape::HeatMap { columns: 3, cells, area: [0.0, 0.0, 1.0, 1.0] };
    let picture = drawn(9, 3, &[heat]);
    let sum =
        |column: usize| picture.rgb()[column * SAMPLES..][..SAMPLES].iter().map(|&v| u32::from(v)).sum();
    let [cold, warm, hot]: [u32; 3] = [1, 4, 7].map(sum);
    assert_eq!(cold, 3 * u32::from(GREY), "nothing strange, nothing drawn");
    assert!(warm != cold && hot > warm + 100, "{cold} {warm} {hot}");
    assert!(places(&picture, is(HALO)).is_empty());
}

#[test]
fn views_become_shapes() {
    let label = || Label::new("car").unwrap();
    let area = PixelBox { x: 16, y: 12, width: 32, height: 24 };
    let score = Score::new(0.5).unwrap();
    let objects = vec![Detection { label: label(), score, area, track: Some(7) }];
    let shapes = shapes_of(&View::Detections(Detections { width: 64, height: 48, objects }));
    let area = [0.25, 0.25, 0.5, 0.5];
    let object = AnnotatedShape::Object { area, label: "car".to_owned(), score: Some(0.5), track: Some(7) };
    assert_eq!(shapes, [object]);
    let labels = vec![Scored { label: label(), score }];
    let shapes = shapes_of(&View::Classification(Classification { labels }));
    assert_eq!(shapes, [AnnotatedShape::Caption("car 0.50".to_owned())]);
    assert_eq!(
        shapes_of(&View::Reconstruction(0.025)),
        [AnnotatedShape::Caption("error 2.500e-2".to_owned())]
    );
}

#[test]
fn a_jpeg_holds_its_bytes_by_quality_first_and_size_then() {
    let noise = (0..320 * 240 * 3_u32).map(|at| (at.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    let picture = Picture::from_rgb(320, 240, noise);
    let whole = encode_within(&picture, &[], usize::MAX).unwrap();
    assert_eq!((whole.width, whole.height), (320, 240));
    let lower = encode_within(&picture, &[], whole.jpeg.len() - 1).unwrap();
    assert!(lower.width == 320 && lower.jpeg.len() < whole.jpeg.len(), "of lower quality");
    let smaller = encode_within(&picture, &[object([0.2, 0.2, 0.5, 0.5])], 25_000).unwrap();
    assert!(smaller.jpeg.len() <= 25_000 && (160..320).contains(&smaller.width), "{}", smaller.width);
    assert_eq!(smaller.height, smaller.width * 3 / 4);
    let error = encode_within(&picture, &[], 500).unwrap_err();
    assert!(matches!(error, SizeError::TooLarge { width: 160, limit: 500, .. }), "{error}");
}
