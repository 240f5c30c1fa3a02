//! What a frame costs on its way from bytes to findings, apart from the run of the model itself. Pictures are made
//! here; with `VERGE_DATA`, real ones are decoded too.

use std::collections::BTreeMap;
use std::hint::black_box;
use std::path::Path;

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use jpeg_encoder::{ColorType, Encoder, SamplingFactor};
use verge_domain::frame::{EncodedFrame, ImageFormat, Orientation};
use verge_domain::id::{DeviceId, Label};
use verge_domain::time::{DeviceClock, Monotonic};
use verge_engine::{Tensor, TensorView, f16};
use verge_models::card::{
    Card, Colour, InputCard, Meaning, Nms, OutputCard, PixelElement, Resize, SideRounding, TensorLayout,
};
use verge_vision::Picture;
use verge_vision::classify::Classifier;
use verge_vision::detect::{CandidateBox, ObjectDetector, select};
use verge_vision::preprocess::{Preprocess, Region};
use verge_vision::watch::motion::PixelBackground;
use verge_vision::watch::{CameraWatch, GreyPicture};

/// A street of blocks with some noise, which a camera's picture has too.
fn pixels(width: u16, height: u16) -> Vec<u8> {
    let mut noise = 1_u32;
    let rows = (0..height).flat_map(|y| (0..width).map(move |x| (x, y)));
    rows.flat_map(|(x, y)| {
        noise = noise.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let grain = (noise >> 28) as u8;
        let block = ((x / 40) * 37 + (y / 30) * 91) as u8;
        [block | grain, (block >> 1) + grain, (255 - block) & !grain]
    })
    .collect()
}

fn frame(bytes: Vec<u8>, width: u32, height: u32) -> EncodedFrame {
    EncodedFrame {
        device: DeviceId::new("cam").expect("a name"),
        format: ImageFormat::Jpeg,
        bytes: bytes.into(),
        width,
        height,
        orientation: Orientation::Upright,
        captured_at: None,
        clock: DeviceClock::Absent,
    }
}

fn made(width: u16, height: u16, sampling: SamplingFactor) -> EncodedFrame {
    let mut bytes = Vec::new();
    let mut encoder = Encoder::new(&mut bytes, 80);
    encoder.set_sampling_factor(sampling);
    encoder.encode(&pixels(width, height), width, height, ColorType::Rgb).expect("a small picture");
    frame(bytes, width.into(), height.into())
}

fn decode(criterion: &mut Criterion) {
    let mut cases = vec![
        ("640x480", made(640, 480, SamplingFactor::F_2_2)),
        ("1920x1080", made(1920, 1080, SamplingFactor::F_2_2)),
        ("1920x1080, full colour", made(1920, 1080, SamplingFactor::F_1_1)),
    ];
    if let Some(data) = std::env::var_os("VERGE_DATA") {
        let folder = Path::new(&data).join("traffic_topview/valid/images");
        let first =
            std::fs::read_dir(folder).expect("the data are whole").flatten().map(|entry| entry.path());
        let path = first.min().expect("there are pictures");
        let bytes = std::fs::read(path).expect("the data are whole");
        cases.push(("640x640, real", frame(bytes, 640, 640)));
    }
    let mut group = criterion.benchmark_group("decode");
    let mut picture = Picture::new();
    for (name, frame) in cases {
        let name = format!("{name}, {} kB", frame.bytes.len() / 1000);
        group.bench_function(name, |bench| {
            bench.iter(|| picture.decode(black_box(&frame)).expect("a good picture"));
        });
    }
    group.finish();
}

fn card(resize: Resize, layout: TensorLayout, colour: Colour, element: PixelElement) -> InputCard {
    InputCard {
        name: None,
        layout,
        colour,
        element,
        size: None,
        resize,
        crop_fraction: Some(0.875),
        shorter_side: Some(448),
        longest_side: None,
        enlarge: true,
        rounding: SideRounding::Down,
        pad: 114,
        mean: None,
        scale: Some(vec![1.0 / 255.0; colour.channels()]),
        quantisation: None,
        values: BTreeMap::new(),
    }
}

fn preprocess(criterion: &mut Criterion) {
    const SIDE: u32 = 416;
    let mut group = criterion.benchmark_group("preprocess to 416x416");
    let mut check = |picture: &Picture, card: &InputCard| {
        let InputCard { resize, layout, colour, element, .. } = card;
        let (width, height) = (picture.width(), picture.height());
        let raw = if card.scale.is_none() { ", raw" } else { "" };
        let name = format!("{width}x{height} {resize:?} {layout:?} {colour:?} {element:?}{raw}");
        let elements = SIDE as usize * SIDE as usize * colour.channels();
        let mut tensor = match element {
            PixelElement::F32 => Tensor::F32(vec![0.0; elements]),
            PixelElement::F16 => Tensor::F16(vec![f16::ZERO; elements]),
            PixelElement::U8 => Tensor::U8(vec![0; elements]),
            PixelElement::I8 => Tensor::I8(vec![0; elements]),
        };
        let mut preprocess = Preprocess::new(card, SIDE, SIDE);
        group.bench_function(name, |bench| {
            bench.iter(|| preprocess.fill(black_box(picture), Region::WHOLE, &mut tensor));
        });
    };
    let square = Picture::from_rgb(640, 640, pixels(640, 640));
    let large = Picture::from_rgb(1920, 1080, pixels(1920, 1080));
    let own = Picture::from_rgb(SIDE, SIDE, pixels(416, 416));
    for resize in [
        Resize::Stretch,
        Resize::Letterbox,
        Resize::LetterboxTopleft,
        Resize::CentralCrop,
        Resize::ShorterSideCrop,
    ] {
        check(&square, &card(resize, TensorLayout::Nchw, Colour::Bgr, PixelElement::F32));
    }
    check(&large, &card(Resize::LetterboxTopleft, TensorLayout::Nchw, Colour::Bgr, PixelElement::F32));
    // Without a resize: the pass alone.
    for element in [PixelElement::F32, PixelElement::F16, PixelElement::U8, PixelElement::I8] {
        for layout in [TensorLayout::Nchw, TensorLayout::Nhwc] {
            check(&own, &card(Resize::Stretch, layout, Colour::Rgb, element));
        }
    }
    check(&own, &card(Resize::Stretch, TensorLayout::Nchw, Colour::Grey, PixelElement::F32));
    let raw = card(Resize::Stretch, TensorLayout::Nhwc, Colour::Rgb, PixelElement::U8);
    check(&own, &InputCard { scale: None, ..raw });
    group.finish();
}

/// Numbers from 0 to 1 without a pattern.
fn scattered() -> impl Iterator<Item = f32> {
    let mut state = 1_u32;
    std::iter::repeat_with(move || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 8) as f32 / (1 << 24) as f32
    })
}

fn suppression(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("suppression");
    for count in [100, 1000, 3000] {
        let mut numbers = scattered();
        let mut next = || numbers.next().expect("endless");
        let candidates: Vec<CandidateBox> = (0..count)
            .map(|index| {
                let (x, y) = (next() * 400.0, next() * 400.0);
                let corners = [x, y, x + 10.0 + 40.0 * next(), y + 10.0 + 40.0 * next()];
                CandidateBox { corners, label: index % 4, score: next() }
            })
            .collect();
        let mut work = Vec::with_capacity(count);
        for per_class in [true, false] {
            let name = if per_class { "per class" } else { "of all classes" };
            group.bench_function(BenchmarkId::new(name, count), |bench| {
                bench.iter(|| {
                    work.clear();
                    work.extend_from_slice(&candidates);
                    select(black_box(&mut work), Some(Nms { iou: 0.65, per_class }));
                });
            });
        }
    }
    group.finish();
}

fn output(decoder: &str) -> OutputCard {
    let task = if decoder.contains("yolo") { "detect" } else { "classify" };
    let text = format!(
        "name = \"m\"\nversion = \"1\"\nfile = \"m\"\ntask = \"{task}\"\nlabels = \"l\"\n[input]\nlayout = \"nchw\"\n\
         colour = \"rgb\"\nelement = \"f32\"\nresize = \"stretch\"\n[output]\ndecoder = {decoder}\n"
    );
    let card = Card::parse(&text, Path::new("m.toml")).expect("a good card");
    let Meaning::Frames(card) = card.meaning else { panic!("it has [input] and [output]") };
    card.output
}

fn labels(count: usize) -> Vec<Label> {
    (0..count).map(|index| Label::new(&format!("class-{index}")).expect("a name")).collect()
}

fn reading(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("read");
    let logits: Vec<f32> = scattered().map(|x| x * 20.0).take(1000).collect();
    for decoder in ["\"logits\"", "\"probabilities\""] {
        let mut classifier = Classifier::new(output(decoder), labels(1000));
        group.bench_function(format!("top 5 of 1000 {}", decoder.trim_matches('"')), |bench| {
            bench.iter(|| classifier.classify(TensorView::F32(black_box(&logits)), 5, 0.0));
        });
    }
    // 3549 cells of 80 classes; few of them are objects, as in practice.
    let nms = Some(Nms { iou: 0.65, per_class: true });
    let card = OutputCard { nms, ..output("\"yolox\"\nstrides = [8, 16, 32]") };
    let mut detector = ObjectDetector::new(card, labels(80), 416, 416);
    let mut elements: Vec<f32> = scattered().take(3549 * 85).collect();
    for (index, cell) in elements.chunks_exact_mut(85).enumerate() {
        cell[4] = if index % 36 == 0 { 0.8 } else { 0.01 * cell[4] };
    }
    let placement = placement();
    for least in [0.25, 0.001] {
        group.bench_function(format!("yolox of 416x416 from {least}"), |bench| {
            bench.iter(|| {
                let found =
                    detector.find_in(&[(&[], TensorView::F32(black_box(&elements)))], placement, least);
                found.expect("good numbers").len()
            });
        });
    }
    group.finish();
}

/// Where an input of 416 x 416 lies in a frame of 640 x 640.
fn placement() -> verge_vision::preprocess::InputPlacement {
    verge_vision::preprocess::InputPlacement {
        scale_x: 640.0 / 416.0,
        scale_y: 640.0 / 416.0,
        offset_x: 0.0,
        offset_y: 0.0,
        seen: [0.0, 0.0, 640.0, 640.0],
    }
}

/// What is done beside the decode where judges watch a camera or have a gate: the grey picture, the measures of its health, the
/// background and its blobs, while something moves.
fn watching(criterion: &mut Criterion) {
    let (width, height) = (1920, 1080);
    let frames: Vec<Picture> = (0..8_usize)
        .map(|step| {
            let mut rgb = pixels(1920, 1080);
            for row in 500..700 {
                let begin = (row * 1920 + 150 * step) * 3;
                rgb[begin..begin + 400 * 3].fill(250);
            }
            Picture::from_rgb(width, height, rgb)
        })
        .collect();
    let mut watch = CameraWatch::default();
    let mut at = 0;
    let mut next = frames.iter().cycle();
    let mut look = || {
        at += 100_000;
        watch.look(next.next().expect("a cycle"), Monotonic(at))
    };
    (0..100).for_each(|_| _ = look());
    criterion.bench_function("gate and health, 1920x1080", |bench| bench.iter(&mut look));
    // The gate's part of it.
    let mut grey = GreyPicture::default();
    let small: Vec<Vec<u8>> = frames
        .iter()
        .map(|frame| {
            grey.fill(frame);
            grey.pixels().to_vec()
        })
        .collect();
    let mut background = PixelBackground::default();
    let (mut at, mut next) = (0.0, small.iter().cycle());
    let mut look = || {
        at += 0.1;
        background.look(next.next().expect("a cycle"), (grey.width(), grey.height()), at)
    };
    (0..100).for_each(|_| _ = look());
    criterion.bench_function("gate alone, 160x90", |bench| bench.iter(&mut look));
}

criterion_group!(benches, decode, watching, preprocess, suppression, reading);
criterion_main!(benches);
