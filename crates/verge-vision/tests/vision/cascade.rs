//! A second model that names the kinds of what a first one finds: patches by a detector, their colours by a classifier.

use std::sync::Arc;
use std::time::{Duration, Instant};

use verge_domain::frame::{EncodedFrame, Shortfall, View};
use verge_domain::id::JudgeIndex;
use verge_domain::scheme::ClassScheme;
use verge_domain::stage::{CropCount, Seen, ViewRequest, Viewer};
use verge_domain::time::{Moment, UtcMillis};
use verge_models::FrameModel;
use verge_vision::picture::MAX_BYTES;
use verge_vision::{CascadeSettings, FrameViewer, Memory, SourceMasks, ViewerSettings, VisionJudge};

use crate::frames::{camera, frame, jpeg, judge};
use crate::support::{card, load};

const SHARES: &str = "scale = [0.00392156862745098, 0.00392156862745098, 0.00392156862745098]";
/// Pixels of a cell of the detector's grid of 4 x 4.
const CELL: u16 = 40;
/// What the detector calls "car", once reddish, once greenish.
const RED: [u8; 3] = [255, 220, 0];
const GREEN: [u8; 3] = [220, 255, 0];

fn models() -> Vec<Arc<FrameModel>> {
    let input =
        format!("layout = \"nchw\"\ncolour = \"rgb\"\nelement = \"f32\"\nresize = \"stretch\"\n{SHARES}");
    let patches = "decoder = \"yolox\"\nstrides = [8, 16, 32]\nscore = 0.25";
    let vehicles = load(&card("yolox", &input, patches), &["car", "sign"]).unwrap();
    let colours =
        load(&card("mean_f32", &input, "decoder = \"probabilities\""), &["red", "green", "blue"]).unwrap();
    vec![Arc::new(vehicles), Arc::new(colours)]
}

fn cascade() -> CascadeSettings {
    CascadeSettings {
        model: 1,
        labels: vec!["car".to_owned()],
        margin: 0.0,
        at_most: 4,
        every: None,
        score: None,
        kinds: None,
        keeps: true,
    }
}

fn viewer(cascade: CascadeSettings) -> FrameViewer {
    let judge = VisionJudge { then: Some(Arc::new(cascade)), ..judge() };
    FrameViewer::new(&ViewerSettings {
        models: models(),
        judges: vec![Some(judge)],
        looks: Vec::new(),
        masks: SourceMasks::default(),
        names: Vec::new(),
        max_picture_bytes: MAX_BYTES,
        watched: Vec::new(),
    })
    .unwrap()
}

/// Patches in the cells of these columns and rows.
fn patches(of: &[((u16, u16), [u8; 3])]) -> EncodedFrame {
    let side = 4 * CELL;
    let colour = |x: u16, y: u16| {
        of.iter().find(|(cell, _)| *cell == (x / CELL, y / CELL)).map_or([0; 3], |(_, colour)| *colour)
    };
    frame(jpeg(side, side, colour), side.into(), side.into())
}

/// Labels of the objects from left to right, and what was counted.
fn see(viewer: &mut FrameViewer, memory: &mut Memory, frame: &EncodedFrame, ms: i64) -> (String, CropCount) {
    let received = Moment::from_wall(UtcMillis(ms));
    let until = Some(Instant::now() + Duration::from_secs(60));
    let camera = camera();
    let request = ViewRequest {
        camera: &camera,
        frame,
        received,
        judges: &[JudgeIndex(0)],
        until,
        shortfall: Shortfall::default(),
    };
    let mut seen = Seen::default();
    viewer.view(request, memory, &mut seen).unwrap();
    let View::Detections(view) = &mut seen.views[0].1 else { panic!("{seen:?}") };
    view.objects.sort_by_key(|object| object.area.x);
    let labels: Vec<&str> = view.objects.iter().map(|object| object.label.as_str()).collect();
    (labels.join(" "), seen.crops)
}

fn count(classified: u64, postponed: u64) -> CropCount {
    CropCount { classified, postponed, failed: 0 }
}

#[test]
fn objects_are_named_by_what_a_second_model_sees_of_them_alone() {
    let mut viewer = viewer(cascade());
    let mut memory = Memory::default();
    let sign = [255, 0, 255];
    let picture = patches(&[((0, 1), RED), ((1, 3), GREEN), ((3, 1), sign)]);
    assert_eq!(see(&mut viewer, &mut memory, &picture, 0), ("car/red car/green sign".into(), count(2, 0)));
    // It is known by now, and looks at nothing twice.
    assert_eq!(see(&mut viewer, &mut memory, &picture, 100), ("car/red car/green sign".into(), count(0, 0)));
    // What is behind the camera's back for long is another one.
    assert_eq!(see(&mut viewer, &mut memory, &picture, 9_000).1, count(2, 0));
}

#[test]
fn a_frame_costs_no_more_crops_than_are_allowed_and_the_others_come_next() {
    let mut viewer = viewer(CascadeSettings { at_most: 2, ..cascade() });
    let mut memory = Memory::default();
    let crowd: Vec<_> =
        (0..4).map(|column| ((column, column), if column % 2 == 0 { RED } else { GREEN })).collect();
    let picture = patches(&crowd);
    let (first, counted) = see(&mut viewer, &mut memory, &picture, 0);
    assert_eq!((first.matches('/').count(), counted), (2, count(2, 2)));
    let all = "car/red car/green car/red car/green".to_owned();
    assert_eq!(see(&mut viewer, &mut memory, &picture, 100), (all.clone(), count(2, 0)));
    assert_eq!(see(&mut viewer, &mut memory, &picture, 200), (all, count(0, 0)));
}

#[test]
fn what_follows_objects_itself_is_given_each_answer_once() {
    let every = Some(Duration::from_millis(500));
    let mut viewer = viewer(CascadeSettings { keeps: false, every, ..cascade() });
    let mut memory = Memory::default();
    let picture = patches(&[((1, 1), RED)]);
    let seen = [0, 100, 400, 500, 600].map(|ms| see(&mut viewer, &mut memory, &picture, ms).0);
    assert_eq!(seen, ["car/red", "car", "car", "car/red", "car"]);
}

#[test]
fn kinds_are_the_users_own_and_an_unsure_answer_names_none() {
    let kinds = |classes: &[(&str, &str)]| {
        let owned = |(name, label): &(&str, &str)| ((*name).to_owned(), vec![(*label).to_owned()]);
        Some(ClassScheme::new(classes.iter().map(owned).collect()).unwrap())
    };
    let see = |cascade: CascadeSettings| {
        let picture = patches(&[((0, 1), RED), ((2, 2), GREEN)]);
        see(&mut viewer(cascade), &mut Memory::default(), &picture, 0).0
    };
    let own = kinds(&[("fire", "red"), ("other", "*")]);
    assert_eq!(see(CascadeSettings { kinds: own, ..cascade() }), "car/fire car/other");
    assert_eq!(see(CascadeSettings { kinds: kinds(&[("fire", "red")]), ..cascade() }), "car/fire car");
    // Half of the crop is dark with such a margin: red is no more than a quarter.
    assert_eq!(see(CascadeSettings { margin: 0.5, ..cascade() }), "car car");
    assert_eq!(see(CascadeSettings { margin: 0.5, score: Some(0.1), ..cascade() }), "car/red car/green");
}

#[test]
fn what_a_second_model_cannot_do_is_refused() {
    let check = |cascade: CascadeSettings, expected: &str| {
        let judge = VisionJudge { then: Some(Arc::new(cascade)), ..judge() };
        assert_eq!(judge.check(&models()).unwrap_err().to_string(), expected);
    };
    check(
        CascadeSettings { model: 0, ..cascade() },
        "then.model needs a model with task = \"classify\"; the card of yolox says task = \"detect\"",
    );
    let labels = vec!["cars".to_owned()];
    check(CascadeSettings { labels, ..cascade() }, "its model has no label \"cars\"; nearest: car");
    let kinds = ClassScheme::new(vec![("fire".to_owned(), vec!["gren".to_owned()])]).unwrap();
    check(
        CascadeSettings { kinds: Some(kinds), ..cascade() },
        "then.classes: mean_f32 has no label \"gren\"; nearest: green",
    );
}
