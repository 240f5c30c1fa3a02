use verge_domain::frame::Score;

use super::*;

const FRAME: u32 = 400;

fn label(name: &str) -> Label {
    Label::new(name).unwrap()
}

fn car(x: u32, side: u32) -> Detection {
    let area = PixelBox { x, y: 100, width: side, height: side };
    Detection { label: label("car"), score: Score::new(0.9).unwrap(), area, track: None }
}

/// Which objects of each frame are to be looked at, where two at most are; ten frames a second.
fn looked(every: Option<Duration>, frames: &[Vec<Detection>]) -> Vec<Vec<usize>> {
    let grey = Picture::from_rgb(FRAME, FRAME, vec![90; (FRAME * FRAME) as usize * SAMPLES]);
    let mut places = CropPlaces::default();
    let mut all = Vec::new();
    for (number, objects) in (0..).zip(frames) {
        places.follow(
            &grey,
            (objects, |name: &Label| name.as_str() == "car"),
            Monotonic(number * 100_000),
            every,
        );
        let due: Vec<DueCrop> = places.due().iter().take(2).copied().collect();
        for due in &due {
            places.note(*due, &objects[due.object].label, Some(&label("red")));
        }
        all.push(due.iter().map(|due| due.object).collect());
    }
    all
}

#[test]
fn an_object_is_looked_at_once_and_again_when_its_crop_is_better() {
    let drives = |side: u32| (0..8).map(|step| vec![car(20 + 15 * step, side)]).collect::<Vec<_>>();
    assert_eq!(looked(None, &drives(30))[..3], [vec![0], vec![], vec![]], "all of it is one object");
    let grows = [30, 36, 43, 48].map(|side| vec![car(50, side)]);
    assert_eq!(looked(None, &grows), [vec![0], vec![], vec![0], vec![]], "twice as many pixels");
    let second = looked(Some(Duration::from_millis(300)), &drives(30));
    assert_eq!(second, [vec![0], vec![], vec![], vec![0], vec![], vec![], vec![0], vec![]]);
    // Too small to tell, and none that is asked about.
    let others = vec![car(50, SHORTEST - 1), Detection { label: label("person"), ..car(90, 40) }];
    assert_eq!(looked(None, &[others]), [Vec::<usize>::new()]);
}

#[test]
fn what_was_never_looked_at_comes_before_what_is_seen_better() {
    let crowd = |side: u32| (0..5).map(|place| car(70 * place, side + place)).collect::<Vec<_>>();
    let frames = [crowd(30), crowd(30), crowd(46), crowd(46)];
    // The largest two, the next two, the last one before those that have grown.
    assert_eq!(looked(None, &frames), [vec![4, 3], vec![2, 1], vec![0, 4], vec![3, 2]]);
}

#[test]
fn an_answer_stays_until_others_outweigh_it() {
    let grey = Picture::from_rgb(FRAME, FRAME, vec![90; (FRAME * FRAME) as usize * SAMPLES]);
    let mut places = CropPlaces::default();
    let mut at = 0;
    let mut say = |answer: Option<&str>, keeps: bool| {
        at += 100;
        let mut objects = vec![car(50, 40)];
        places.follow(&grey, (&objects, |_: &Label| true), Monotonic(at * 1000), Some(Duration::ZERO));
        let answer = answer.map(label);
        places.note(places.due()[0], &label("car"), answer.as_ref());
        places.write(&mut objects, keeps);
        objects[0].label.to_string()
    };
    assert_eq!(say(None, true), "car");
    assert_eq!(say(Some("red"), true), "car/red");
    assert_eq!(say(None, true), "car/red");
    assert_eq!(say(Some("red"), true), "car/red");
    // Who follows objects itself is given the answer of the frame, and none where there is none.
    assert_eq!([say(None, false), say(Some("blue"), false)], ["car", "car/blue"]);
    assert_eq!(say(None, true), "car/red");
    assert_eq!(say(Some("blue"), true), "car/blue");
}

#[test]
fn time_that_runs_back_begins_anew() {
    let grey = Picture::from_rgb(FRAME, FRAME, vec![90; (FRAME * FRAME) as usize * SAMPLES]);
    let mut places = CropPlaces::default();
    for at in [1_000, 500] {
        places.follow(&grey, (&[car(50, 40)], |_: &Label| true), Monotonic(at * 1000), None);
        assert_eq!((places.places.len(), places.due().len()), (1, 1), "at {at}");
        places.note(places.due()[0], &label("car"), Some(&label("red")));
    }
}

#[test]
fn objects_in_mind_are_bounded() {
    let grey = Picture::from_rgb(FRAME, FRAME, vec![90; (FRAME * FRAME) as usize * SAMPLES]);
    let mut places = CropPlaces::default();
    let crowd: Vec<Detection> =
        (0..2 * u32::try_from(MOST).unwrap()).map(|number| car(number, 12 + number)).collect();
    for step in 0..4 {
        places.follow(&grey, (&crowd, |_: &Label| true), Monotonic(100_000 * step), None);
        assert!(places.places.len() <= MOST && places.due().len() <= MOST);
    }
    places.follow(&grey, (&[], |_: &Label| true), Monotonic(10_000_000), None);
    assert!(places.places.is_empty(), "nobody remembers what was not seen for long");
}
