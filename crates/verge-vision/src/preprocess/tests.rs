use std::collections::BTreeMap;

use verge_engine::f16;
use verge_models::card::{Colour, PixelElement, Quantisation, Resize, SideRounding, TensorLayout};

use super::*;

pub(super) fn card(resize: Resize) -> InputCard {
    InputCard {
        name: None,
        layout: TensorLayout::Nchw,
        colour: Colour::Rgb,
        element: PixelElement::F32,
        size: None,
        resize,
        crop_fraction: Some(0.5),
        shorter_side: Some(8),
        longest_side: None,
        enlarge: true,
        rounding: SideRounding::Down,
        pad: 114,
        mean: None,
        scale: None,
        quantisation: None,
        values: BTreeMap::new(),
    }
}

/// Red is the column, green the row, blue 7.
fn picture(width: u32, height: u32) -> Picture {
    let pixel = |x: u32, y: u32| [x as u8, y as u8, 7];
    let rgb = (0..height).flat_map(|y| (0..width).flat_map(move |x| pixel(x, y))).collect();
    Picture::from_rgb(width, height, rgb)
}

fn fill(card: &InputCard, width: u32, height: u32, picture: &Picture) -> (Vec<f32>, InputPlacement) {
    let mut tensor = Tensor::F32(vec![-1.0; (width * height) as usize * card.colour.channels()]);
    let placement = Preprocess::new(card, width, height).fill(picture, Region::WHOLE, &mut tensor);
    let Tensor::F32(data) = tensor else { panic!("the type does not change") };
    (data, placement)
}

#[test]
fn channels_stand_where_the_model_wants_them() {
    let picture = picture(2, 2);
    let check = |layout: TensorLayout, colour: Colour, expected: &[f32]| {
        let card = InputCard { layout, colour, ..card(Resize::Stretch) };
        assert_eq!(fill(&card, 2, 2, &picture).0, expected, "{layout:?} {colour:?}");
    };
    check(TensorLayout::Nchw, Colour::Rgb, &[0., 1., 0., 1., 0., 0., 1., 1., 7., 7., 7., 7.]);
    check(TensorLayout::Nchw, Colour::Bgr, &[7., 7., 7., 7., 0., 0., 1., 1., 0., 1., 0., 1.]);
    check(TensorLayout::Nhwc, Colour::Rgb, &[0., 0., 7., 1., 0., 7., 0., 1., 7., 1., 1., 7.]);
    check(TensorLayout::Nhwc, Colour::Bgr, &[7., 0., 0., 7., 0., 1., 7., 1., 0., 7., 1., 1.]);
    check(TensorLayout::Nchw, Colour::Grey, &[1., 1., 1., 2.]);
    check(TensorLayout::Nhwc, Colour::Grey, &[1., 1., 1., 2.]);
}

#[test]
fn elements_are_scaled_and_quantised() {
    let picture = Picture::from_rgb(1, 1, vec![0, 128, 255]);
    let base = card(Resize::Stretch);
    let normal =
        InputCard { mean: Some(vec![127.0, 128.0, 129.0]), scale: Some(vec![1.0, 2.0, 0.5]), ..base.clone() };
    assert_eq!(fill(&normal, 1, 1, &picture).0, [-127.0, 0.0, 63.0]);
    // The mean belongs to the channel in its order: of "bgr" the first is blue.
    let swapped = InputCard { colour: Colour::Bgr, ..normal };
    assert_eq!(fill(&swapped, 1, 1, &picture).0, [128.0, 0.0, -64.5]);

    let run = |card: &InputCard, mut tensor: Tensor| {
        Preprocess::new(card, 1, 1).fill(&picture, Region::WHOLE, &mut tensor);
        tensor
    };
    let u8_card = InputCard { element: PixelElement::U8, ..base.clone() };
    assert_eq!(run(&u8_card, Tensor::U8(vec![9; 3])), Tensor::U8(vec![0, 128, 255]));
    let i8_card = InputCard {
        element: PixelElement::I8,
        scale: Some(vec![1.0 / 255.0; 3]),
        quantisation: Some(Quantisation { scale: 1.0 / 255.0, zero_point: -128 }),
        ..base.clone()
    };
    assert_eq!(run(&i8_card, Tensor::I8(vec![9; 3])), Tensor::I8(vec![-128, 0, 127]));
    let f16_card = InputCard { element: PixelElement::F16, ..base };
    let expected = [0.0, 128.0, 255.0].map(f16::from_f32).to_vec();
    assert_eq!(run(&f16_card, Tensor::F16(vec![f16::ONE; 3])), Tensor::F16(expected));
}

#[test]
fn padding_surrounds_the_frame_and_boxes_find_back() {
    let card = card(Resize::Letterbox);
    let (data, placement) = fill(&card, 4, 8, &picture(4, 2));
    let red = &data[..32];
    assert!(red[..12].iter().all(|value| *value == 114.0));
    assert_eq!(red[12..20], [0.0, 1.0, 2.0, 3.0, 0.0, 1.0, 2.0, 3.0]);
    assert!(red[20..].iter().all(|value| *value == 114.0));
    assert_eq!((placement.offset_x, placement.offset_y, placement.scale_y), (0.0, -3.0, 1.0));
    assert_eq!(placement.seen, [0.0, 0.0, 4.0, 2.0]);
}

#[test]
fn raw_bytes_are_copied_into_their_place() {
    let raw = InputCard { layout: TensorLayout::Nhwc, element: PixelElement::U8, ..card(Resize::Letterbox) };
    // The same by the table: a zero point that changes nothing but the path.
    let reckoned = InputCard { mean: Some(vec![-1.0, 0.0, 0.0]), ..raw.clone() };
    let run = |card: &InputCard| {
        let mut tensor = Tensor::U8(vec![9; 4 * 8 * 3 + 5]);
        Preprocess::new(card, 4, 8).fill(&picture(4, 2), Region::WHOLE, &mut tensor);
        let Tensor::U8(data) = tensor else { panic!("the type does not change") };
        data
    };
    let (mut copied, reckoned) = (run(&raw), run(&reckoned));
    assert_eq!(copied[96..], [9; 5], "what is behind the first frame stays as it is");
    copied[..96].iter_mut().step_by(3).for_each(|red| *red += 1);
    assert_eq!(copied, reckoned);
}

#[test]
fn a_region_is_seen_alone() {
    let region = Region::new([0.5, 0.0, 1.0, 0.5]).unwrap();
    let mut tensor = Tensor::F32(vec![0.0; 2 * 2 * 3]);
    let placement = Preprocess::new(&card(Resize::Stretch), 2, 2).fill(&picture(4, 4), region, &mut tensor);
    let Tensor::F32(data) = tensor else { panic!("the type does not change") };
    assert_eq!(data[..8], [2.0, 3.0, 2.0, 3.0, 0.0, 0.0, 1.0, 1.0]);
    assert_eq!(placement.seen, [2.0, 0.0, 4.0, 2.0]);
    for wrong in
        [[0.5, 0.0, 0.5, 1.0], [0.0, 0.0, 1.1, 1.0], [-0.1, 0.0, 1.0, 1.0], [f32::NAN, 0.0, 1.0, 1.0]]
    {
        assert_eq!(Region::new(wrong), None);
    }
}

#[test]
fn frames_of_any_size_fit() {
    for resize in [Resize::Stretch, Resize::CentralCrop, Resize::ShorterSideCrop, Resize::Letterbox] {
        for (width, height) in [(1, 1), (1, 300), (300, 1), (2, 3), (255, 17)] {
            let (data, _) = fill(&card(resize), 8, 6, &picture(width, height));
            assert!(data.iter().all(|value| *value >= 0.0), "{resize:?} {width}x{height}");
        }
    }
}
