//! What memory a frame costs once the buffers have grown. One test, because allocations of other threads would be
//! counted too. ONNX Runtime has an allocator of its own, which is not counted.
#![expect(clippy::unwrap_used, reason = "a test may fail")]
#![expect(clippy::print_stderr, reason = "says what was measured or skipped")]

#[path = "../../verge-models/tests/support/mod.rs"]
mod support;

use std::alloc::System;
use std::sync::Arc;
use std::time::{Duration, Instant};

use jpeg_encoder::{ColorType, Encoder};
use stats_alloc::{INSTRUMENTED_SYSTEM, Region as Memory, StatsAlloc};
use verge_domain::frame::{EncodedFrame, ImageFormat, Orientation, Shortfall};
use verge_domain::id::{DeviceId, JudgeIndex, Label};
use verge_domain::observation::Camera;
use verge_domain::reading::SourceIndex;
use verge_domain::stage::{Seen, ViewRequest, Viewer as _};
use verge_domain::time::{DeviceClock, Moment, Monotonic, UtcMillis};
use verge_engine::{RecurrentState, RunError, TensorView};
use verge_models::FrameModel;
use verge_models::card::{Card, FrameCard, Meaning, Nms};
use verge_vision::classify::Classifier;
use verge_vision::detect::ObjectDetector;
use verge_vision::preprocess::{InputPlacement, Preprocess, Region};
use verge_vision::watch::CameraWatch;
use verge_vision::{
    FrameViewer, GateSettings, Memory as CameraMemory, Picture, PrivacyMask, SourceMasks, ViewerSettings,
    VisionJudge,
};
use wildmatch::WildMatch;

#[global_allocator]
static MEMORY: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// Number and bytes of the allocations of some work, growth of buffers included.
fn allocated(work: impl FnOnce()) -> (usize, usize) {
    let region = Memory::new(MEMORY);
    work();
    let change = region.change();
    (change.allocations + change.reallocations, change.bytes_allocated)
}

/// The same once its buffers have grown; the least of several times, since other threads of the process (the
/// watchdog's, the library's) allocate when they like.
fn steadily(mut work: impl FnMut()) -> (usize, usize) {
    work();
    work();
    (0..5).map(|_| allocated(&mut work)).min().unwrap()
}

fn frame(width: u16, height: u16) -> EncodedFrame {
    let pixels: Vec<u8> =
        (0..u32::from(width) * u32::from(height) * 3).map(|at| (at * 7 % 256) as u8).collect();
    let mut bytes = Vec::new();
    Encoder::new(&mut bytes, 80).encode(&pixels, width, height, ColorType::Rgb).unwrap();
    EncodedFrame {
        device: DeviceId::new("cam").unwrap(),
        format: ImageFormat::Jpeg,
        bytes: bytes.into(),
        width: width.into(),
        height: height.into(),
        orientation: Orientation::Upright,
        captured_at: None,
        clock: DeviceClock::Absent,
    }
}

/// zune-jpeg makes its tables and the rows that it works on anew for each picture, far less than the pixels.
fn decoding() {
    let mut picture = Picture::new();
    for (width, height) in [(640, 480), (1280, 720)] {
        let frame = frame(width, height);
        let pixels = usize::from(width) * usize::from(height) * 3;
        let (count, bytes) = steadily(|| picture.decode(&frame).unwrap());
        assert!(count <= 40 && bytes < pixels / 4, "{width}x{height}: {count} allocations of {bytes} bytes");
    }
    // Turned pictures cost no more: they are decoded into a buffer that is kept.
    let turned = EncodedFrame { orientation: Orientation::Turned90, ..frame(640, 480) };
    let (count, bytes) = steadily(|| picture.decode(&turned).unwrap());
    assert!(count <= 40 && bytes < 640 * 480 * 3 / 4, "turned: {count} allocations of {bytes} bytes");
}

/// One picture of sixteen megapixels does not keep its memory for good.
fn giving_back() {
    let (large, small) = (frame(4096, 4096), frame(64, 64));
    let pixels = 4096 * 4096 * 3;
    let mut picture = Picture::new();
    let freed = |picture: &mut Picture, work: &dyn Fn(&mut Picture)| {
        picture.decode(&large).unwrap();
        let region = Memory::new(MEMORY);
        work(picture);
        region.change().bytes_deallocated
    };
    let freed_by_small = freed(&mut picture, &|picture| (0..8).for_each(|_| picture.decode(&small).unwrap()));
    assert!(freed_by_small >= pixels, "{freed_by_small}");
    let freed_by_rest = freed(&mut picture, &Picture::rest);
    assert!(freed_by_rest >= pixels, "{freed_by_rest}");
    // A camera that sends such pictures, and another that sends others, cost none.
    picture.decode(&large).unwrap();
    picture.decode(&small).unwrap();
    let again = steadily(|| {
        picture.decode(&small).unwrap();
        picture.decode(&large).unwrap();
    });
    assert!(again.1 < pixels / 4, "{again:?}");
}

/// What is made to cost memory or work is refused, or costs what a picture of its size may: all that is ever set aside for it,
/// whether given back meanwhile or not, is 64 MiB at most.
fn hostile() {
    const MOST: usize = 64 << 20;
    let coded = |width: u16, height: u16, has_noise: bool, set: &dyn Fn(&mut Encoder<&mut Vec<u8>>)| {
        let pixels = (0..u32::from(width) * u32::from(height) * 3).map(|at| {
            let at = at.wrapping_mul(2_654_435_761);
            if has_noise { (at ^ at >> 15).wrapping_mul(2_246_822_519).to_be_bytes()[0] } else { 99 }
        });
        let mut bytes = Vec::new();
        let mut encoder = Encoder::new(&mut bytes, 60);
        set(&mut encoder);
        encoder.encode(&pixels.collect::<Vec<u8>>(), width, height, ColorType::Rgb).unwrap();
        bytes
    };
    let with =
        |bytes: Vec<u8>, (width, height)| EncodedFrame { bytes: bytes.into(), width, height, ..frame(8, 8) };
    let progressive = |encoder: &mut Encoder<&mut Vec<u8>>| encoder.set_progressive(true);
    // Its last scan a thousand times.
    let scans = |bytes: &[u8]| {
        let last = bytes.windows(2).rposition(|pair| pair == [0xff, 0xda]).unwrap();
        let (scan, end) = (&bytes[last..bytes.len() - 2], &bytes[bytes.len() - 2..]);
        [&bytes[..last], &scan.repeat(1000), end].concat()
    };
    let exif = |bytes: &[u8]| {
        let segment =
            [&[0xff, 0xe1, 0xff, 0xff][..], b"Exif\0\0MM\0*\0\0\0\x08\x13\x88", &[0; 65_517]].concat();
        [&bytes[..2], &segment.repeat(160), &bytes[2..]].concat()
    };
    let small = coded(64, 64, true, &progressive);
    let mut claims = coded(64, 64, true, &|_| ());
    let head = claims.windows(2).position(|pair| pair == [0xff, 0xc0]).unwrap() + 5;
    claims[head..head + 4].copy_from_slice(&[0xff, 0xdc, 0xff, 0xdc]);
    let large = coded(2_900, 1_900, true, &progressive);
    let cases = [
        ("65,500 x 65,500", with(claims.clone(), (65_500, 65_500)), false),
        ("65,500 x 65,500 that was said to be small", with(claims, (64, 64)), false),
        ("a thousand scans", with(scans(&small), (64, 64)), false),
        (
            "a thousand scans of a large one",
            with(scans(&coded(3_000, 2_000, false, &progressive)), (3_000, 2_000)),
            false,
        ),
        ("ten megabytes of EXIF", with(exif(&coded(64, 64, true, &|_| ())), (64, 64)), true),
        ("noise, progressive", with(large, (2_900, 1_900)), true),
    ];
    for (name, frame, is_decoded) in cases {
        let mut picture = Picture::new();
        let began = Instant::now();
        let mut decoded = None;
        let (_, bytes) = allocated(|| decoded = Some(picture.decode(&frame)));
        // For the record: how long depends on the machine.
        eprintln!("{name}: {:.1} MiB set aside, {:.0?}", bytes as f64 / f64::from(1 << 20), began.elapsed());
        assert_eq!(decoded.unwrap().is_ok(), is_decoded, "{name}");
        assert!(bytes <= MOST, "{name}: {bytes} bytes");
    }
}

/// fast_image_resize reckons its weights anew for each picture: a short list per row and column of the input, none
/// of pixels.
fn preprocessing(model: &FrameModel) {
    let mut runner = model.runner().unwrap();
    let picture = Picture::from_rgb(640, 480, vec![99; 640 * 480 * 3]);
    let mut preprocess = Preprocess::new(&model.frames().input, 32, 32);
    let (count, bytes) = steadily(|| {
        preprocess.fill(&picture, Region::WHOLE, runner.input());
    });
    assert!(count <= 12 + 2 * (32 + 32) && bytes < 32 * 1024, "resize: {count} allocations of {bytes} bytes");
    let own = Picture::from_rgb(32, 32, vec![99; 32 * 32 * 3]);
    let none = steadily(|| {
        preprocess.fill(&own, Region::WHOLE, runner.input());
    });
    assert_eq!(none, (0, 0), "the pass alone");
}

/// ort describes each input and output that passes through it (shape, names, reference counts): small, and the same
/// for inputs and outputs of any size. The deadline takes one node of a map.
fn running(model: &FrameModel) {
    let mut runner = model.runner().unwrap();
    let mut state = RecurrentState::default();
    let later = Some(Instant::now() + Duration::from_secs(3600));
    for until in [None, later] {
        let (count, bytes) = steadily(|| {
            let read = runner.run(&mut state, until, |outputs| Ok::<_, RunError>(outputs.get(0)?.1.len()));
            assert_eq!(read.unwrap(), 21 * 7);
        });
        assert!(count <= 12 && bytes <= 2048, "{count} allocations of {bytes} bytes");
    }
}

/// What is found is what costs: its list, no more. Names are shared.
fn reading(detector: &FrameCard) {
    let labels = |count: usize| (0..count).map(|n| Label::new(&format!("c{n}")).unwrap()).collect::<Vec<_>>();
    let text = "name = \"m\"\nversion = \"1\"\nfile = \"m\"\ntask = \"classify\"\nlabels = \"l\"\n[input]\n\
                layout = \"nchw\"\ncolour = \"rgb\"\nelement = \"u8\"\nresize = \"stretch\"\n[output]\n\
                decoder = \"logits\"\nquantisation = { scale = 0.1, zero_point = 3 }";
    let Meaning::Frames(card) = Card::parse(text, std::path::Path::new("m")).unwrap().meaning else {
        panic!("it has [input] and [output]")
    };
    let mut classifier = Classifier::new(card.output, labels(1000));
    let numbers: Vec<u8> = (0..1000).map(|n| (n * 37 % 251) as u8).collect();
    let (count, _) = steadily(|| {
        assert_eq!(classifier.classify(TensorView::U8(&numbers), 5, 0.0).unwrap().labels.len(), 5);
    });
    assert_eq!(count, 1, "the list of labels");

    let mut output = detector.output.clone();
    output.nms = Some(Nms { iou: 0.5, per_class: true });
    let mut detector = ObjectDetector::new(output, labels(2), 32, 32);
    let cell = [0.5, 0.5, 0.0, 0.0, 0.9, 0.9, 0.1];
    let numbers = cell.repeat(21);
    let placement = InputPlacement {
        scale_x: 1.0,
        scale_y: 1.0,
        offset_x: 0.0,
        offset_y: 0.0,
        seen: [0.0, 0.0, 32.0, 32.0],
    };
    let none = steadily(|| {
        let found = detector.find_in(&[(&[], TensorView::F32(&numbers))], placement, 0.25).unwrap();
        assert_eq!(found.len(), 21);
    });
    assert_eq!(none, (0, 0), "candidates and suppression");
}

/// Which pixels are hidden is found with the first frame of a camera.
fn masking(model: &Arc<FrameModel>) {
    let corners = vec![[0.1, 0.2], [0.7, 0.3], [0.4, 0.9]];
    let mask = PrivacyMask { name: "window".to_owned(), corners, devices: vec![WildMatch::new("c*")] };
    let settings = |masks: Vec<PrivacyMask>| ViewerSettings {
        models: vec![Arc::clone(model)],
        judges: vec![Some(VisionJudge::of(0))],
        looks: Vec::new(),
        masks: [masks].into_iter().collect(),
        names: Vec::new(),
        max_picture_bytes: 1 << 24,
        watched: Vec::new(),
    };
    let camera = Camera { source: SourceIndex(0), device: DeviceId::new("cam").unwrap() };
    let frame = frame(640, 480);
    let cost = |masks: Vec<PrivacyMask>| {
        let mut viewer = FrameViewer::new(&settings(masks)).unwrap();
        let (mut memory, mut seen) = (CameraMemory::default(), Seen::default());
        let received = Moment { wall: UtcMillis(0), mono: Monotonic(0) };
        steadily(|| {
            let request = ViewRequest {
                camera: &camera,
                frame: &frame,
                received,
                judges: &[],
                until: None,
                shortfall: Shortfall::default(),
            };
            viewer.view(request, &mut memory, &mut seen).unwrap();
        })
    };
    assert_eq!(cost(vec![mask]), cost(Vec::new()));
}

/// What a frame says of its camera costs nothing once the background is known, whatever moves.
fn watching() {
    let mut watch = CameraWatch::default();
    let pictures: Vec<Picture> = (0..3)
        .map(|step| {
            let pixels = (0..320 * 240).flat_map(|at| {
                let (x, y) = (at % 320, at / 320);
                let is_car = (step * 60..step * 60 + 45).contains(&x) && (100..130).contains(&y);
                [if is_car { 250 } else { (x / 40 * 37 + y / 30 * 91) as u8 }; 3]
            });
            Picture::from_rgb(320, 240, pixels.collect())
        })
        .collect();
    let mut at = 0;
    let mut look = |picture: &Picture| {
        at += 200_000;
        watch.look(picture, Monotonic(at))
    };
    (0..20).for_each(|_| _ = look(&pictures[0]));
    let mut moved = 0;
    let none = steadily(|| {
        for picture in &pictures {
            moved += look(picture).motion.blobs.len();
        }
    });
    assert_eq!(none, (0, 0), "grey picture, measures, background and blobs");
    assert!(moved > 0, "something moved");
}

/// All of it together, from the JPEG to what a judge reports: no more than its parts, and no model where a gate is closed.
fn viewing() {
    let input = "layout = \"nchw\"\ncolour = \"bgr\"\nelement = \"f32\"\nresize = \"letterbox\"\n\
                 scale = [0.00392156862745098, 0.00392156862745098, 0.00392156862745098]";
    let card = support::card("yolox", input, "decoder = \"yolox\"\nstrides = [8, 16, 32]");
    let model = Arc::new(support::load(&card, &["a", "b"]).unwrap());
    let still = GateSettings { heartbeat: Duration::from_secs(3600), after: Duration::ZERO, least: 0.004 };
    let frame = frame(640, 480);
    let camera = Camera { source: SourceIndex(0), device: frame.device.clone() };
    let cost = |gate| {
        let settings = ViewerSettings {
            models: vec![Arc::clone(&model)],
            judges: vec![Some(VisionJudge { gate, score: Some(0.99), ..VisionJudge::of(0) })],
            looks: vec![true],
            masks: SourceMasks::default(),
            names: Vec::new(),
            max_picture_bytes: 1 << 24,
            watched: Vec::new(),
        };
        let mut viewer = FrameViewer::new(&settings).unwrap();
        let (mut memory, mut seen, mut at) = (CameraMemory::default(), Seen::default(), 0);
        let mut view = || {
            at += 200;
            seen.clear();
            let received = Moment::from_wall(UtcMillis(at));
            let judges = &[JudgeIndex(0)];
            let request = ViewRequest {
                camera: &camera,
                frame: &frame,
                received,
                judges,
                until: None,
                shortfall: Shortfall::default(),
            };
            viewer.view(request, &mut memory, &mut seen).unwrap();
            assert_eq!(seen.views.len(), 1);
        };
        (0..14).for_each(|_| view());
        steadily(view)
    };
    let (open, closed) = (cost(None), cost(Some(still)));
    // Decode, resize, run and the objects that are found may each have what they have alone.
    assert!(open.0 <= 40 + 12 + 2 * (32 + 32) + 12 + 2, "{open:?}");
    assert!(closed.0 <= 40 && closed.1 < 640 * 480 * 3 / 4 && closed < open, "{closed:?}");
}

#[test]
fn frames_cost_no_buffers() {
    hostile();
    let input = "layout = \"nchw\"\ncolour = \"bgr\"\nelement = \"f32\"\nresize = \"letterbox\"";
    let card = support::card("yolox", input, "decoder = \"yolox\"\nstrides = [8, 16, 32]");
    let model = support::load(&card, &["a", "b"]).unwrap();
    decoding();
    giving_back();
    preprocessing(&model);
    running(&model);
    reading(model.frames());
    let model = Arc::new(model);
    masking(&model);
    watching();
    viewing();
}
