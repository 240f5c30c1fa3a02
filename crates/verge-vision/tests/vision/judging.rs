//! Models of our own, each family and type, from a JPEG to the finding.

use std::sync::Arc;
use std::time::{Duration, Instant};

use verge_domain::frame::{EncodedFrame, Shortfall, View};
use verge_domain::id::JudgeIndex;
use verge_domain::rejection::Reason;
use verge_domain::scheme::ClassScheme;
use verge_domain::stage::{Seen, ViewRequest, Viewer};
use verge_models::FrameModel;
use verge_vision::picture::MAX_BYTES;
use verge_vision::preprocess::Region;
use verge_vision::{FrameViewer, Memory, SourceMasks, ViewerSettings, VisionJudge};

use crate::frames::{NOW, assert_near, camera, frame, jpeg, judge, plain, view, viewer};
use crate::support::{card, load};

const RGB: [&str; 3] = ["red", "green", "blue"];
pub(crate) const SHARES: &str = "scale = [0.00392156862745098, 0.00392156862745098, 0.00392156862745098]";
pub(crate) const GREY: &str = "layout = \"nchw\"\ncolour = \"grey\"\nelement = \"f32\"\nresize = \"stretch\"\nname = \"x\"\n\
                    scale = [0.00392156862745098]";

pub(crate) fn input(layout: &str, colour: &str, element: &str, rest: &str) -> String {
    format!(
        "layout = \"{layout}\"\ncolour = \"{colour}\"\nelement = \"{element}\"\nresize = \"stretch\"\n{rest}"
    )
}

#[test]
fn classifiers_of_every_type_name_the_colour() {
    let step = "scale = 0.00392156862745098";
    let check = |card: &str, expected: &[&str]| {
        let mut viewer = viewer(load(card, &RGB).unwrap(), judge());
        let found = view(&mut viewer, &plain(40, 30, [51, 204, 102]), &mut Memory::default());
        assert_near(&found.unwrap(), expected);
    };
    let probabilities = "decoder = \"probabilities\"";
    let expected = ["green 800", "blue 400", "red 200"];
    check(&card("mean_f32", &input("nchw", "rgb", "f32", SHARES), probabilities), &expected);
    check(
        &card("mean_f32", &input("nchw", "bgr", "f32", SHARES), probabilities),
        &["green 800", "red 400", "blue 200"],
    );
    check(&card("mean_f16", &input("nchw", "rgb", "f16", SHARES), probabilities), &expected);
    check(&card("batch", &input("nchw", "rgb", "f32", SHARES), probabilities), &expected);
    let quantised = format!("{probabilities}\nquantisation = {{ {step}, zero_point = 0 }}");
    check(&card("mean_u8", &input("nhwc", "rgb", "u8", ""), &quantised), &expected);
    let zero = format!("quantisation = {{ {step}, zero_point = -128 }}");
    let signed = format!("{probabilities}\n{zero}");
    check(&card("mean_i8", &input("nhwc", "rgb", "i8", &format!("{SHARES}\n{zero}")), &signed), &expected);
    // Logits of 2, 8 and 4.
    let logits = card("logits", &input("nchw", "rgb", "f32", SHARES), "decoder = \"logits\"");
    check(&logits, &["green 980", "blue 18", "red 2"]);
    check(&format!("{logits}score = 0.01\n"), &["green 980", "blue 18"]);
    check(&format!("{logits}background = 1\n"), &["blue 18", "red 2"]);
}

#[test]
fn labels_begin_behind_their_offset() {
    let output = "decoder = \"probabilities\"\nlabel_offset = 1\nbackground = 0";
    let card = card("mean_f32", &input("nchw", "rgb", "f32", SHARES), output);
    let mut viewer = viewer(load(&card, &RGB[1..]).unwrap(), judge());
    let found = view(&mut viewer, &plain(8, 8, [255, 102, 51]), &mut Memory::default()).unwrap();
    assert_near(&found, &["green 400", "blue 200"]);
}

pub(crate) fn yolox(rest: &str) -> String {
    let output = format!("decoder = \"yolox\"\nstrides = [8, 16, 32]\nscore = 0.25\n{rest}");
    card("yolox", &input("nchw", "rgb", "f32", SHARES), &output)
}

/// A bright patch in the dark: cells of a grid of 4 x 4, each of `cell` pixels.
pub(crate) fn patch(cell: u16, (column, row): (u16, u16), colour: [u8; 3]) -> Vec<u8> {
    let side = 4 * cell;
    jpeg(side, side, |x, y| if (x / cell, y / cell) == (column, row) { colour } else { [0, 0, 0] })
}

#[test]
fn objects_come_in_pixels_of_the_frame() {
    let mut viewer = viewer(load(&yolox(""), &["a", "b"]).unwrap(), judge());
    let mut memory = Memory::default();
    // Of the input's own size, then of twice and of five times that: the same camera changes its size.
    for (cell, at, colour, expected) in [
        (8, (1, 2), [255, 255, 0], "a 8,16 8x8"),
        (16, (3, 0), [255, 0, 255], "b 48,0 16x16"),
        (40, (0, 3), [255, 255, 0], "a 0,120 40x40"),
        (8, (2, 2), [255, 255, 0], "a 16,16 8x8"),
    ] {
        let side = u32::from(4 * cell);
        let found = view(&mut viewer, &frame(patch(cell, at, colour), side, side), &mut memory).unwrap();
        // The resize spreads an edge over two pixels, which lowers the score a little.
        let [one] = &found[..] else { panic!("one object: {found:?}") };
        let words: Vec<&str> = one.split(' ').collect();
        assert_eq!([words[0], words[2], words[3]].join(" "), expected);
        assert!(words[1].parse::<u16>().unwrap() > 850, "{one}");
    }
    let dark = view(&mut viewer, &plain(64, 64, [0, 0, 0]), &mut memory).unwrap();
    assert_eq!(dark, [""; 0]);
}

#[test]
fn a_region_is_judged_alone_and_boxes_stay_within_it() {
    let region = Region::new([0.5, 0.5, 1.0, 1.0]).unwrap();
    let mut viewer = viewer(load(&yolox(""), &["a", "b"]).unwrap(), VisionJudge { region, ..judge() });
    // The lower right quarter of 64 x 64 has the size of the input; only that is bright.
    let picture = jpeg(64, 64, |x, y| if x >= 56 && y >= 56 { [255, 255, 0] } else { [0, 0, 0] });
    let found = view(&mut viewer, &frame(picture, 64, 64), &mut Memory::default()).unwrap();
    assert_eq!(found.len(), 1);
    assert!(found[0].ends_with(" 56,56 8x8"), "{found:?}");
}

#[test]
fn only_labels_asked_for_are_reported() {
    let labels = vec!["b".to_owned()];
    let mut viewer = viewer(load(&yolox(""), &["a", "b"]).unwrap(), VisionJudge { labels, ..judge() });
    let mut see = |colour| {
        view(&mut viewer, &frame(patch(8, (1, 1), colour), 32, 32), &mut Memory::default()).unwrap().len()
    };
    assert_eq!((see([255, 255, 0]), see([255, 0, 255])), (0, 1));
}

#[test]
fn labels_become_classes_of_the_users_own() {
    let scheme = |classes: &[(&str, &[&str])]| {
        let owned = |(name, labels): &(&str, &[&str])| {
            ((*name).to_owned(), labels.iter().map(|label| (*label).to_owned()).collect())
        };
        Some(ClassScheme::new(classes.iter().map(owned).collect()).unwrap())
    };
    // Two boxes, one above the other: the model sees a "red" and a "green" object where one is.
    let card = card(
        "ssd_same",
        &input("nhwc", "rgb", "f32", SHARES),
        "decoder = \"ssd\"\ncorners = \"xyxy\"\nscore = 0.3",
    );
    let see = |judge: VisionJudge, colour| {
        let mut viewer = viewer(load(&card, &["red", "green"]).unwrap(), judge);
        view(&mut viewer, &plain(100, 50, colour), &mut Memory::default()).unwrap()
    };
    let both = [102, 204, 0];
    assert_near(&see(judge(), both), &["green 800 0,0 50x50", "red 400 0,0 50x50"]);
    let one = |classes| VisionJudge { classes, ..judge() };
    assert_near(
        &see(one(scheme(&[("light", &["green"]), ("other", &["*"])])), both),
        &["light 800 0,0 50x50"],
    );
    // A class that nothing is in leaves the other label alone.
    assert_near(&see(one(scheme(&[("light", &["red"])])), both), &["light 400 0,0 50x50"]);
    // Thresholds of labels, and of classes: the box that is not sure enough hides none.
    let scores = |classes, scores: &[(&str, f32)]| {
        let scores = scores.iter().map(|(label, score)| ((*label).to_owned(), *score)).collect();
        VisionJudge { classes, scores, ..judge() }
    };
    assert_near(&see(scores(None, &[("red", 0.5)]), both), &["green 800 0,0 50x50"]);
    assert_near(&see(scores(None, &[("red", 0.1), ("green", 0.9)]), [51, 204, 0]), &["red 200 0,0 50x50"]);
    let classes = scheme(&[("light", &["green"]), ("other", &["*"])]);
    assert_near(&see(scores(classes, &[("light", 0.9)]), both), &["other 400 0,0 50x50"]);
}

#[test]
fn labels_that_a_model_does_not_have_come_with_the_nearest() {
    let model = || load(&yolox(""), &["car", "motorbike"]).unwrap();
    let refused = |judge: VisionJudge| {
        let models = vec![std::sync::Arc::new(model())];
        let (judges, looks, masks) = (vec![Some(judge)], Vec::new(), SourceMasks::default());
        let (names, watched, max_picture_bytes) = (Vec::new(), Vec::new(), MAX_BYTES);
        let settings = ViewerSettings { models, judges, looks, masks, names, max_picture_bytes, watched };
        FrameViewer::new(&settings).map(drop).unwrap_err().to_string()
    };
    let classes = ClassScheme::new(vec![("two-wheeler".to_owned(), vec!["motorcycle".to_owned()])]).ok();
    let expected = "its model has no label \"motorcycle\"; nearest: motorbike";
    assert_eq!(refused(VisionJudge { classes, ..judge() }), expected);
    assert_eq!(refused(VisionJudge { labels: vec!["motorcycle".to_owned()], ..judge() }), expected);
    assert_eq!(refused(VisionJudge { scores: vec![("motorcycle".to_owned(), 0.5)], ..judge() }), expected);
    let far = refused(VisionJudge { labels: vec!["giraffe".to_owned()], ..judge() });
    assert_eq!(far, "its model has no label \"giraffe\"");
}

#[test]
fn boxes_that_were_decoded_in_the_model_are_read() {
    let ssd = |name: &str, rest: &str| {
        let output = format!("decoder = \"ssd\"\ncorners = \"xyxy\"\nscore = 0.3\n{rest}");
        card(name, &input("nhwc", "rgb", "f32", SHARES), &output)
    };
    let check = |card: &str, colour: [u8; 3], expected: &[&str]| {
        let mut viewer = viewer(load(card, &["red", "green"]).unwrap(), judge());
        let found = view(&mut viewer, &plain(100, 50, colour), &mut Memory::default()).unwrap();
        assert_near(&found, expected);
    };
    let both = ["green 800 50,0 50x50", "red 400 0,0 50x50"];
    check(&ssd("ssd_selected", ""), [102, 204, 0], &both);
    check(&ssd("ssd_selected", ""), [51, 204, 0], &both[..1]);
    check(&ssd("ssd_selected", "background = 1"), [102, 204, 0], &both[1..]);
    // The class for "nothing" is as sure as the picture is blue, and is left out.
    for name in ["ssd_scored", "ssd_batch"] {
        check(&ssd(name, "background = 0\nlabel_offset = 1"), [102, 204, 255], &both);
    }
    let swapped = ssd("ssd_selected", "").replace("xyxy", "yxyx");
    check(&swapped, [102, 0, 0], &["red 400 0,0 100x25"]);
}

#[test]
fn boxes_of_yolox_are_read_decoded_in_the_model_too() {
    let input = input("nchw", "rgb", "f32", SHARES);
    let patch = frame(patch(8, (1, 2), [255, 255, 0]), 32, 32);
    for strides in ["", "\nstrides = [8, 16, 32]"] {
        let text = card("yolox_decoded", &input, &format!("decoder = \"yolox_decoded\"{strides}"));
        let mut viewer = viewer(load(&text, &["a", "b"]).unwrap(), judge());
        let found = view(&mut viewer, &patch, &mut Memory::default()).unwrap();
        assert_near(&found, &["a 1000 8,16 8x8"]);
        assert_eq!(viewer.try_out(0, None).unwrap().contradiction, None);
    }
    // Under the wrong card they lie far beyond the picture: no finding, and seen before the first frame.
    let text = card("yolox_decoded", &input, "decoder = \"yolox\"\nstrides = [8, 16, 32]");
    let mut viewer = viewer(load(&text, &["a", "b"]).unwrap(), judge());
    assert_eq!(view(&mut viewer, &patch, &mut Memory::default()), Err(Reason::BadOutput));
    let error = viewer.try_out(0, None).unwrap_err().to_string();
    assert!(error.contains("\"yolox_decoded\""), "{error}");
}

#[test]
fn integers_are_classes_and_pixels_are_no_shares() {
    let input = input("nhwc", "rgb", "f32", SHARES);
    let card_of = |name: &str| card(name, &input, "decoder = \"ssd\"\ncorners = \"xyxy\"");
    let picture = plain(300, 300, [200, 100, 0]);
    let mut integers = viewer(load(&card_of("ssd_integers"), &["red", "green"]).unwrap(), judge());
    let found = view(&mut integers, &picture, &mut Memory::default()).unwrap();
    assert_near(&found, &["red 784 0,0 150x300", "green 392 150,0 150x300"]);
    let mut pixels = viewer(load(&card_of("ssd_pixels"), &["red", "green"]).unwrap(), judge());
    assert_eq!(view(&mut pixels, &picture, &mut Memory::default()), Err(Reason::BadOutput));
    let error = pixels.try_out(0, None).unwrap_err().to_string();
    assert!(error.contains("look like pixels"), "{error}");
}

#[test]
fn one_logit_alone_goes_through_the_logistic_function() {
    let text = card("logit", &input("nchw", "rgb", "f32", SHARES), "decoder = \"logits\"");
    let mut viewer = viewer(load(&text, &["defect"]).unwrap(), judge());
    let mut of = |red: u8| view(&mut viewer, &plain(8, 8, [red, 0, 0]), &mut Memory::default()).unwrap();
    // 4 x 0 - 2, 4 x 0.5 - 2, 4 x 1 - 2.
    assert_near(&of(0), &["defect 119"]);
    assert_near(&of(128), &["defect 500"]);
    assert_near(&of(255), &["defect 881"]);
}

/// Pixels of 0 to 255 for probabilities: no finding, and seen before the first frame.
#[test]
fn a_trial_tells_what_a_model_gives() {
    let of = |name: &str, rest: &str| {
        let text = card(name, &input("nchw", "rgb", "f32", rest), "decoder = \"probabilities\"");
        viewer(load(&text, &["r", "g", "b"]).unwrap(), judge())
    };
    let trial = of("mean_f64", SHARES).try_out(0, None).unwrap();
    let [output] = &trial.outputs[..] else { panic!("{trial:?}") };
    assert_eq!((output.name.as_str(), output.element, &output.shape[..]), ("y", "f64", &[1, 3][..]));
    let (least, most) = output.range.unwrap();
    assert!(0.4 < least && least <= most && most < 0.6, "{trial:?}");
    for name in ["mean_f32", "mean_i64"] {
        let mut bytes = of(name, "");
        let error = bytes.try_out(0, None).unwrap_err();
        assert_eq!(error.reason(), Reason::BadOutput);
        assert!(error.to_string().contains("\"logits\""), "{error}");
        assert_eq!(
            view(&mut bytes, &plain(8, 8, [200, 0, 0]), &mut Memory::default()),
            Err(Reason::BadOutput)
        );
    }
}

#[test]
fn a_trial_that_does_not_end_is_ended() {
    let text = card("slow", GREY, "decoder = \"probabilities\"");
    let mut viewer = viewer(load(&text, &["a", "b"]).unwrap(), judge());
    let error = viewer.try_out(0, Some(Instant::now() + Duration::from_millis(50))).unwrap_err();
    assert_eq!(error.reason(), Reason::Overrun, "{error}");
}

#[test]
fn each_camera_has_its_state() {
    let output = "decoder = \"probabilities\"\n[[state]]\ninput = \"before\"\noutput = \"after\"";
    let mut viewer = viewer(load(&card("state", GREY, output), &["seen", "rest"]).unwrap(), judge());
    let (mut one, mut other) = (Memory::default(), Memory::default());
    let white = plain(16, 16, [255; 3]);
    let mut seen = |memory: &mut Memory| view(&mut viewer, &white, memory).unwrap()[1].clone();
    assert_eq!(seen(&mut one), "seen 100");
    assert_eq!(seen(&mut one), "seen 200");
    assert_eq!(seen(&mut other), "seen 100");
    assert_eq!(seen(&mut one), "seen 300");
}

#[test]
fn a_viewer_takes_over_runners_and_a_camera_keeps_its_state_while_model_and_region_stay() {
    let output = "decoder = \"probabilities\"\n[[state]]\ninput = \"before\"\noutput = \"after\"";
    let model = || Arc::new(load(&card("state", GREY, output), &["seen", "rest"]).unwrap());
    let settings = |model: &Arc<FrameModel>, judge: VisionJudge| {
        let (models, judges) = (vec![Arc::clone(model)], vec![Some(judge)]);
        let (looks, masks) = (Vec::new(), SourceMasks::default());
        let (names, watched, max_picture_bytes) = (Vec::new(), Vec::new(), MAX_BYTES);
        ViewerSettings { models, judges, looks, masks, names, max_picture_bytes, watched }
    };
    let (first, other) = (model(), model());
    let white = plain(16, 16, [255; 3]);
    let mut memory = Memory::default();
    let mut viewer = FrameViewer::new(&settings(&first, judge())).unwrap();
    let mut looks = |viewer: &mut FrameViewer| view(viewer, &white, &mut memory).unwrap()[0].clone();
    let before = looks(&mut viewer);
    // The same model, by the runner that the former viewer has, and another setting.
    let mut next =
        FrameViewer::beside(&settings(&first, VisionJudge { top: 1, ..judge() }), |_| true).unwrap();
    assert!(next.take_over(viewer), "all that it lacks was there");
    let after = looks(&mut next);
    assert_ne!(before, after, "the state goes on");
    // Another model of the same contents; then another part of the frame.
    let mut of_other = FrameViewer::beside(&settings(&other, judge()), |_| false).unwrap();
    assert!(of_other.take_over(next));
    assert_eq!(looks(&mut of_other), before, "the state of another model means nothing");
    assert_eq!(looks(&mut of_other), after);
    let region = Region::new([0.0, 0.0, 0.5, 1.0]).unwrap();
    let mut half =
        FrameViewer::beside(&settings(&other, VisionJudge { region, ..judge() }), |_| true).unwrap();
    assert!(half.take_over(of_other));
    assert_eq!(looks(&mut half), before);
    // One that lacks a model which the former does not have.
    let mut lacking = FrameViewer::beside(&settings(&first, judge()), |_| true).unwrap();
    assert!(!lacking.take_over(half));
}

#[test]
fn what_is_no_number_is_no_finding() {
    let shares = |output: &str| card("nan", GREY, output);
    let mut viewer = viewer(load(&shares("decoder = \"probabilities\""), &["a", "b"]).unwrap(), judge());
    let (mut memory, black, white) = (Memory::default(), plain(8, 8, [0; 3]), plain(8, 8, [255; 3]));
    assert_eq!(view(&mut viewer, &white, &mut memory), Ok(vec!["a 750".to_owned(), "b 250".to_owned()]));
    assert_eq!(view(&mut viewer, &black, &mut memory), Err(Reason::BadOutput));
    assert_eq!(view(&mut viewer, &white, &mut memory).unwrap().len(), 2, "the next frame is judged");
}

/// The mean square error that the judge sees, and the one reckoned from the decoded pixels of the whole frame: the mean
/// of the variances of its channels.
fn errors(card: &str, region: Region, picture: &EncodedFrame) -> Result<(f64, f64), Reason> {
    let mut viewer = viewer(load(card, &[]).unwrap(), VisionJudge { region, ..judge() });
    let (mut seen, judges) = (Seen::default(), &[JudgeIndex(0)]);
    let request = ViewRequest {
        camera: &camera(),
        frame: picture,
        received: NOW,
        judges,
        until: None,
        shortfall: Shortfall::default(),
    };
    viewer.view(request, &mut Memory::default(), &mut seen)?;
    let views = seen.views;
    let [(JudgeIndex(0), View::Reconstruction(found))] = &views[..] else { panic!("one error: {views:?}") };
    let variance = |channel: usize| {
        let pixels = viewer.picture().rgb().chunks_exact(3);
        let values: Vec<f64> = pixels.map(|pixel| f64::from(pixel[channel]) / 255.0).collect();
        let mean = values.iter().sum::<f64>() / values.len() as f64;
        values.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / values.len() as f64
    };
    Ok((*found, (0..3).map(variance).sum::<f64>() / 3.0))
}

#[test]
fn a_reconstruction_differs_from_what_was_shown_by_its_mean_square_error() {
    let output = "decoder = \"reconstruction\"";
    let dots = jpeg(4, 4, |x, y| if (x + y) % 2 == 0 { [220, 90, 40] } else { [20, 60, 200] });
    let dots = frame(dots, 4, 4);
    let floats = input("nchw", "rgb", "f32", SHARES);
    for name in ["flat_f32", "flat_batch"] {
        let (found, expected) = errors(&card(name, &floats, output), Region::WHOLE, &dots).unwrap();
        assert!(expected > 0.05 && (found - expected).abs() < 1e-6, "{name}: {found}, {expected}");
    }
    // The same in the steps of a quantised model, which rounds what it gives back.
    let step = "quantisation = { scale = 0.00392156862745098, zero_point = 0 }";
    let bytes = input("nhwc", "rgb", "u8", &format!("{SHARES}\n{step}"));
    let (found, expected) =
        errors(&card("flat_u8", &bytes, &format!("{output}\n{step}")), Region::WHOLE, &dots).unwrap();
    assert!((found - expected).abs() < 1e-4, "{found}, {expected}");

    // Only the part that is judged counts: the right half has one colour.
    let half = frame(jpeg(16, 8, |x, y| if x < 8 && (x + y) % 2 == 0 { [255; 3] } else { [60; 3] }), 16, 8);
    let right = Region::new([0.5, 0.0, 1.0, 1.0]).unwrap();
    let whole = errors(&card("flat_f32", &floats, output), Region::WHOLE, &half).unwrap();
    let part = errors(&card("flat_f32", &floats, output), right, &half).unwrap();
    assert!(whole.0 > 1e-3 && part.0 < 1e-5, "{whole:?}, {part:?}");
}

#[test]
fn a_reconstruction_that_is_no_number_is_no_error() {
    let card = card("log", &input("nchw", "rgb", "f32", SHARES), "decoder = \"reconstruction\"");
    let black = errors(&card, Region::WHOLE, &plain(8, 8, [0; 3]));
    assert_eq!(black, Err(Reason::BadOutput));
    assert!(errors(&card, Region::WHOLE, &plain(8, 8, [255; 3])).is_ok());
}
