//! Models of our own through the library: what fits its card runs, what does not is refused with both sides in one
//! message, and whatever a model does, the next run is as if nothing had been.

#![expect(clippy::unwrap_used, reason = "a test may fail")]

#[path = "frames/files.rs"]
mod files;
mod support;

use std::path::Path;
use std::time::{Duration, Instant};

use support::{card, fixtures, load, load_within};
use verge_engine::{ModelLimits, RecurrentState, RunError, Runner, Tensor, TensorView, f16};
use verge_models::{FrameModel, ModelError, ModelFiles};

const F32: &str = "layout = \"nchw\"\ncolour = \"rgb\"\nelement = \"f32\"\nresize = \"stretch\"";
const GREY: &str =
    "layout = \"nchw\"\ncolour = \"grey\"\nelement = \"f32\"\nresize = \"stretch\"\nname = \"x\"";
const RECONSTRUCTION: &str = "decoder = \"reconstruction\"";
const PROBABILITIES: &str = "decoder = \"probabilities\"";
const STATE: &str = "decoder = \"probabilities\"\n[[state]]\ninput = \"before\"\noutput = \"after\"";
const RGB: [&str; 3] = ["red", "green", "blue"];

fn runner(card: &str, labels: &[&str]) -> Runner {
    load(card, labels).unwrap().runner().unwrap()
}

fn fill(runner: &mut Runner, value: f32) {
    match runner.input() {
        Tensor::F32(data) => data.fill(value),
        Tensor::F16(data) => data.fill(f16::from_f32(value)),
        Tensor::U8(data) => data.fill(value as u8),
        Tensor::I8(data) => data.fill(value as i8),
        other => panic!("no picture goes in as {:?}", TensorView::from(&*other).element()),
    }
}

/// The first output as single precision.
fn run(
    runner: &mut Runner,
    state: &mut RecurrentState,
    until: Option<Instant>,
) -> Result<Vec<f32>, RunError> {
    runner.run(state, until, |outputs| {
        Ok::<_, RunError>(match outputs.get(0)?.1 {
            TensorView::F32(data) => data.to_vec(),
            TensorView::F16(data) => data.iter().map(|x| x.to_f32()).collect(),
            TensorView::U8(data) => data.iter().map(|x| f32::from(*x)).collect(),
            TensorView::I8(data) => data.iter().map(|x| f32::from(*x)).collect(),
            TensorView::F64(data) => data.iter().map(|x| *x as f32).collect(),
            TensorView::I32(data) => data.iter().map(|x| *x as f32).collect(),
            TensorView::I64(data) => data.iter().map(|x| *x as f32).collect(),
        })
    })
}

#[test]
fn every_type_of_element_goes_in_and_comes_out() {
    let check = |name: &str, layout: &str, element: &str| {
        let input =
            format!("layout = \"{layout}\"\ncolour = \"rgb\"\nelement = \"{element}\"\nresize = \"stretch\"");
        let mut runner = runner(&card(name, &input, PROBABILITIES), &RGB);
        for value in [3.0, 64.0] {
            fill(&mut runner, value);
            assert_eq!(run(&mut runner, &mut RecurrentState::default(), None).unwrap(), [value; 3], "{name}");
        }
    };
    check("mean_f32", "nchw", "f32");
    check("mean_f16", "nchw", "f16");
    check("mean_u8", "nhwc", "u8");
    check("mean_i8", "nhwc", "i8");
    for name in ["mean_f64", "mean_i64", "mean_i32"] {
        check(name, "nchw", "f32");
    }
}

#[test]
fn outputs_that_are_not_read_are_refused_before_the_first_frame() {
    refused(
        load(&card("mean_bool", F32, PROBABILITIES), &RGB),
        &[
            "type of output \"y\"",
            "the card says decoder probabilities, which reads f32, f16, f64",
            "the file has bool [1, 3]: export it as numbers",
        ],
    );
}

#[test]
fn what_the_file_leaves_free_the_card_says() {
    let sized = format!("{F32}\nsize = [6, 5]");
    let model = load(&card("free", &sized, PROBABILITIES), &RGB).unwrap();
    assert_eq!((model.width(), model.height()), (6, 5));
    assert_eq!(model.outputs(), [("y".to_owned(), vec![None, Some(3)])]);
    let mut runner = model.runner().unwrap();
    assert_eq!(runner.contract().batch, 1);
    assert_eq!(*runner.input(), Tensor::F32(vec![0.0; 90]));
    fill(&mut runner, 2.0);
    assert_eq!(run(&mut runner, &mut RecurrentState::default(), None).unwrap(), [2.0; 3]);
}

#[test]
fn of_a_batch_the_first_frame_counts() {
    let mut runner = runner(&card("batch", F32, PROBABILITIES), &RGB);
    assert_eq!(runner.contract().batch, 2);
    let Tensor::F32(data) = runner.input() else { panic!("the card says f32") };
    data[..48].fill(1.0);
    data[48..].fill(9.0);
    assert_eq!(run(&mut runner, &mut RecurrentState::default(), None).unwrap(), [1.0; 3]);
}

/// One message, and all of it.
#[track_caller]
fn refused(result: Result<FrameModel, ModelError>, expected: &[&str]) {
    let message = result.expect_err("it does not fit").to_string();
    for part in expected {
        assert!(message.contains(part), "{part:?} is not in: {message}");
    }
    assert_eq!(message.lines().count(), 1, "{message}");
}

#[test]
fn what_does_not_fit_its_card_is_refused_with_both_sides() {
    let good = card("mean_f32", F32, PROBABILITIES);
    let changed = |from: &str, to: &str| {
        assert!(good.contains(from), "{from}");
        load(&good.replacen(from, to, 1), &RGB)
    };
    assert!(load(&good, &RGB).is_ok());
    refused(
        changed("nchw", "nhwc"),
        &[
            "shape of the input: the card says [batch, height, width, channel] = [1, ?, ?, 3]",
            "the file has [1, 3, 4, 4]: this shape fits input.layout = \"nchw\"",
        ],
    );
    refused(
        changed("resize =", "size = [8, 9]\nresize ="),
        &["the card says [batch, channel, height, width] = [1, 3, 9, 8]", "the file has [1, 3, 4, 4]"],
    );
    refused(
        changed("\"rgb\"", "\"grey\""),
        &["= [1, 1, ?, ?]", "the file has [1, 3, 4, 4]: this shape fits input.colour = \"rgb\""],
    );
    refused(changed("\"f32\"", "\"u8\""), &["input.element: the card says u8, the file has f32"]);
    refused(changed("layout =", "name = \"images\"\nlayout ="), &["input.name", "\"images\"", "\"x\""]);
    refused(changed("decoder", "names = [\"z\"]\ndecoder"), &["output.names", "\"z\"", "\"y\""]);
    refused(
        changed("\"stretch\"", "\"shorter-side-crop\"\nshorter_side = 3"),
        &["input.shorter_side: the card says 3", "an input of 4 x 4"],
    );
    for (labels, offset) in [(&RGB[..2], 0), (&RGB[..], 1)] {
        refused(
            load(&format!("{good}label_offset = {offset}\n"), labels),
            &[
                &format!("the card says {} and label_offset {offset}", labels.len()),
                "3 classes in output \"y\" of shape [1, 3]",
            ],
        );
    }
    refused(load(&good, &["red", "", "blue"]), &["labels.txt, line 2"]);
    refused(load(&good, &[]), &["labels.txt, line 1"]);
    let free = card("free", F32, PROBABILITIES);
    refused(load(&free, &RGB), &["size of its input free, [?, 3, ?, ?]", "write input.size", "card.toml"]);
    // A thousand classes in a picture of one pixel are a thousand.
    assert!(load(&card("logits", F32, "decoder = \"logits\""), &RGB).is_ok());
}

#[test]
fn what_reconstructs_gives_its_input_again() {
    let good = card("flat_f32", F32, RECONSTRUCTION);
    let model = load(&good, &[]).unwrap();
    assert!(model.labels().is_empty());
    let mut runner = load(&card("flat_batch", F32, RECONSTRUCTION), &[]).unwrap().runner().unwrap();
    let Tensor::F32(data) = runner.input() else { panic!("the card says f32") };
    data[..48].fill(1.0);
    data[48..].fill(9.0);
    let (shown, made) = runner
        .run(&mut RecurrentState::default(), None, |outputs| {
            let (TensorView::F32(shown), (_, TensorView::F32(made))) = (outputs.input(), outputs.get(0)?)
            else {
                panic!("both are f32")
            };
            Ok::<_, RunError>((shown.to_vec(), made.to_vec()))
        })
        .unwrap();
    assert_eq!((shown, made), (vec![1.0; 48], vec![1.0; 48]), "of a batch, the first frame");

    refused(
        load(&card("mean_f32", F32, RECONSTRUCTION), &[]),
        &["the card says that of the input, [1, 3, 4, 4]", "output \"y\"", "[1, 3]"],
    );
    let changed = |from: &str, to: &str| {
        assert!(good.contains(from), "{from}");
        load(&good.replacen(from, to, 1), &RGB)
    };
    refused(
        changed("[input]", "labels = \"labels.txt\"\n[input]"),
        &["labels", "or nothing with task = \"reconstruct\""],
    );
    refused(changed("reconstruction", "logits"), &["output.decoder", "reconstruction to reconstruct"]);
    for key in ["background = 0", "label_offset = 1", "score = 0.5", "nms = { iou = 0.5, per_class = true }"]
    {
        let with = format!("\"reconstruction\"\n{key}");
        refused(changed("\"reconstruction\"", &with), &["output.background", "which has no classes"]);
    }
    let classify = card("mean_f32", F32, PROBABILITIES);
    refused(
        load(&classify.replace("labels = \"labels.txt\"\n", ""), &RGB),
        &["labels", "nothing", "a file with"],
    );
}

#[test]
fn detectors_are_held_against_their_shapes() {
    let yolox = card("yolox", F32, "decoder = \"yolox\"\nstrides = [8, 16, 32]");
    assert!(load(&yolox, &["a", "b"]).is_ok());
    refused(
        load(&yolox.replace("[8, 16, 32]", "[8, 16]"), &["a", "b"]),
        &["the card says [1, 20, 5 + classes] for strides [8, 16]", "the file has [1, 21, 7]"],
    );
    refused(load(&yolox, &RGB), &["the card says 3 and label_offset 0", "2 classes", "[1, 21, 7]"]);
    let decoded = |rest: &str| card("yolox_decoded", F32, &format!("decoder = \"yolox_decoded\"\n{rest}"));
    assert!(load(&decoded(""), &["a", "b"]).is_ok());
    assert!(load(&decoded("strides = [8, 16, 32]"), &["a", "b"]).is_ok());
    refused(load(&decoded("strides = [8]"), &["a", "b"]), &["[1, 16, 5 + classes]", "[1, 21, 7]"]);
    refused(load(&decoded(""), &RGB), &["the card says 3", "2 classes"]);
    let nhwc = F32.replace("nchw", "nhwc");
    let ssd = |name: &str, rest: &str| {
        card(name, &nhwc, &format!("decoder = \"ssd\"\ncorners = \"xyxy\"\nbackground = 0\n{rest}"))
    };
    let labels = ["red", "green"];
    assert!(load(&ssd("ssd_scored", "label_offset = 1"), &labels).is_ok());
    assert!(load(&ssd("ssd_selected", ""), &labels).is_ok());
    assert!(load(&ssd("ssd_integers", ""), &labels).is_ok());
    refused(load(&ssd("ssd_scored", ""), &labels), &["2 and label_offset 0", "3 classes", "[1, 2, 3]"]);
    refused(
        load(&ssd("ssd_scored", "label_offset = 1\nnames = [\"scores\", \"boxes\"]"), &RGB),
        &["shape of output \"scores\": the card says [1, boxes, 4], the file has [1, 2, 3]"],
    );
    refused(
        load(&ssd("ssd_selected", "names = [\"boxes\", \"classes\", \"scores\"]"), &labels),
        &[
            "number of outputs: the card says decoder ssd, which reads 2 or 4, the file has 3: \"boxes\" f32 [1, 2, 4]",
        ],
    );
}

#[test]
fn a_state_is_fed_back_camera_by_camera() {
    let mut runner = runner(&card("state", GREY, STATE), &["a", "b"]);
    fill(&mut runner, 1.0);
    let (mut one, mut other) = (RecurrentState::default(), RecurrentState::default());
    let mut first = |state: &mut RecurrentState| run(&mut runner, state, None).unwrap()[0];
    assert_eq!((first(&mut one), first(&mut one), first(&mut other)), (0.1, 0.2, 0.1));
    assert_eq!(first(&mut one), 0.3);
    // What cannot be read does not advance the state.
    let unread = runner.run(&mut other, None, |_| Err::<(), _>(RunError::Failed("unread".to_owned())));
    assert!(matches!(unread, Err(RunError::Failed(reason)) if reason == "unread"));
    assert_eq!(run(&mut runner, &mut other, None).unwrap()[0], 0.2);
}

#[test]
fn states_are_held_against_the_file() {
    refused(
        load(&card("state", GREY, PROBABILITIES), &["a", "b"]),
        &["inputs", "one picture, \"x\", and no [[state]]", "\"before\" f32 [1, 1]"],
    );
    let changed = |from, to| load(&card("state", GREY, &STATE.replace(from, to)), &["a", "b"]);
    refused(changed("\"before\"", "\"past\""), &["state.input", "\"past\"", "\"x\", \"before\""]);
    refused(changed("\"after\"", "\"y\""), &["one fixed shape and type"]);
    let unnamed = card("state", &GREY.replace("name = \"x\"", ""), PROBABILITIES);
    refused(load(&unnamed, &["a", "b"]), &["more than one input: also \"before\" f32 [1, 1]"]);
}

#[test]
fn a_state_without_numbers_is_not_fed_back() {
    let mut runner = runner(&card("state_nan", GREY, STATE), &["a", "b"]);
    let mut state = RecurrentState::default();
    fill(&mut runner, 1.0);
    assert_eq!(run(&mut runner, &mut state, None).unwrap()[0], 0.0);
    fill(&mut runner, 0.0);
    let bad = run(&mut runner, &mut state, None).unwrap_err();
    assert!(matches!(&bad, RunError::Output { name, .. } if name == "after"), "{bad}");
    fill(&mut runner, 1.0);
    assert_eq!(run(&mut runner, &mut state, None).unwrap()[0], 0.1, "as before the bad frame");
}

#[test]
fn a_run_is_ended_at_its_deadline_and_the_next_one_is_not() {
    let mut runner = runner(&card("slow", GREY, PROBABILITIES), &["a", "b"]);
    for _ in 0..3 {
        fill(&mut runner, 255.0);
        let begin = Instant::now();
        let ended = run(&mut runner, &mut RecurrentState::default(), Some(begin + Duration::from_millis(50)));
        assert!(matches!(ended, Err(RunError::Deadline)), "{ended:?}");
        let spent = begin.elapsed();
        assert!(spent >= Duration::from_millis(50) && spent < Duration::from_secs(10), "{spent:?}");
        fill(&mut runner, 0.0);
        for until in [None, Some(Instant::now() + Duration::from_secs(3600))] {
            assert_eq!(run(&mut runner, &mut RecurrentState::default(), until).unwrap(), [0.75, 0.25]);
        }
    }
    // A deadline that has passed: the run may still be quicker than the watchdog, but nothing of it lasts.
    for _ in 0..200 {
        match run(&mut runner, &mut RecurrentState::default(), Some(Instant::now())) {
            Ok(found) => assert_eq!(found, [0.75, 0.25]),
            Err(error) => assert!(matches!(error, RunError::Deadline), "{error}"),
        }
        assert_eq!(run(&mut runner, &mut RecurrentState::default(), None).unwrap(), [0.75, 0.25]);
    }
}

#[test]
fn runners_of_one_model_run_side_by_side() {
    let model = load(&card("mean_f32", F32, PROBABILITIES), &RGB).unwrap();
    std::thread::scope(|scope| {
        for value in 0..4_u8 {
            let model = &model;
            scope.spawn(move || {
                let mut runner = model.runner().unwrap();
                fill(&mut runner, f32::from(value));
                let until = Instant::now() + Duration::from_secs(60);
                for _ in 0..100 {
                    let found = run(&mut runner, &mut RecurrentState::default(), Some(until)).unwrap();
                    assert_eq!(found, [f32::from(value); 3]);
                }
            });
        }
    });
}

#[test]
fn of_a_map_of_labels_the_numbers_are_read() {
    let named = format!("{PROBABILITIES}\nnames = [\"probabilities\"]");
    let mut runner = runner(&card("zipmap", F32, &named), &RGB);
    for value in [0.25, 1.0] {
        fill(&mut runner, value);
        assert_eq!(run(&mut runner, &mut RecurrentState::default(), None).unwrap(), [value; 3]);
    }
}

#[test]
fn outputs_that_other_decoders_read_are_reported_so() {
    let logits = "decoder = \"logits\"";
    refused(
        load(&card("zipmap", F32, logits), &RGB),
        &["number of outputs", "2: \"label\" i64 [1], \"probabilities\" f32 [1, 3]"],
    );
    refused(load(&card("argmax", F32, logits), &RGB), &["1 classes in output \"y\"", "without ArgMax"]);
    for input in [F32.to_owned(), format!("{F32}\nname = \"x\"")] {
        refused(
            load(&card("factor", &input, logits), &RGB),
            &["one picture, \"x\"", "also \"factor\" f32 [1]", "as constants"],
        );
    }
    let yolox = "decoder = \"yolox\"\nstrides = [8, 16, 32]";
    refused(load(&card("yolov8", F32, yolox), &["a", "b"]), &["[1, 6, 21]", "YOLOv8"]);
    refused(load(&card("mean_f32", F32, yolox), &RGB), &["[1, 3]", "\"logits\" or \"probabilities\""]);
    refused(load(&card("mean_f32", F32, logits), &RGB[..2]), &["output.label_offset = 1"]);
    let detector = card("yolox", F32, logits);
    refused(load(&detector, &["a", "b"]), &["147 classes", "\"yolox\" (heads", "\"yolox_decoded\""]);
}
