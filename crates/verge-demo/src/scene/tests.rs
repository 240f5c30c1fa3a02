use super::*;

fn second(second: u64) -> Duration {
    Duration::from_secs(second)
}

fn picture(scene: &mut RoadScene, at: Duration) -> Vec<u8> {
    let mut rgb = Vec::new();
    scene.render(at, &mut rgb);
    rgb
}

#[test]
fn a_picture_depends_on_view_seed_and_time_alone() {
    let mut scene = RoadScene::new(Viewpoint::North, 5);
    let first = picture(&mut scene, second(4));
    assert_eq!(first.len(), (WIDTH * HEIGHT * 3) as usize);
    let truths = scene.truths(second(4));
    let later = picture(&mut scene, second(6));
    assert_ne!(first, later, "something moves");
    assert_ne!(truths, scene.truths(second(6)));
    assert_eq!(first, picture(&mut scene, second(4)), "going back in time");
    let mut again = RoadScene::new(Viewpoint::North, 5);
    assert_eq!(again.truths(second(4)), truths);
    assert_eq!(first, picture(&mut again, second(4)));
    assert_ne!(truths, RoadScene::new(Viewpoint::North, 6).truths(second(4)));
    assert_ne!(truths, RoadScene::new(Viewpoint::South, 5).truths(second(4)));
}

#[test]
fn night_is_dark_and_lamps_are_bright() {
    let of = |view| {
        let rgb = picture(&mut RoadScene::new(view, 1), second(3));
        let mean = rgb.iter().map(|sample| u64::from(*sample)).sum::<u64>() / rgb.len() as u64;
        (mean, rgb.into_iter().max().unwrap_or(0))
    };
    let (day, night) = (of(Viewpoint::North), of(Viewpoint::South));
    assert!(day.0 > 80 && night.0 < day.0 / 2, "{day:?} {night:?}");
    assert!(night.1 > 240, "{night:?}");
}

#[test]
fn truths_lie_within_the_picture_and_every_class_comes_by() {
    for view in [Viewpoint::North, Viewpoint::South] {
        let mut scene = RoadScene::new(view, 2);
        let mut labels = std::collections::BTreeSet::new();
        let mut partly_hidden = 0;
        for at in (0..90).map(second) {
            for truth in scene.truths(at) {
                let [left, top, width, height] = truth.area;
                assert!(left >= 0.0 && top >= 0.0, "{truth:?}");
                assert!(left + width <= WIDTH as f32 && top + height <= HEIGHT as f32, "{truth:?}");
                assert!(width >= LEAST_SIDES[0] && height >= LEAST_SIDES[1], "{truth:?}");
                assert!(truth.visible >= LEAST_VISIBLE && truth.visible <= 1.0, "{truth:?}");
                labels.insert(truth.label);
                partly_hidden += usize::from(truth.visible < 0.8);
            }
        }
        assert_eq!(labels.len(), LABELS.len(), "{view:?}: {labels:?}");
        assert!(LABELS.iter().all(|label| labels.contains(label)));
        assert!(partly_hidden > 0, "{view:?}");
    }
}

#[test]
fn the_tree_hides_a_part_of_what_passes_behind_it() {
    let mut scene = RoadScene::new(Viewpoint::North, 8);
    let mut without = RoadScene::new(Viewpoint::North, 8);
    without.fixtures.retain(|fixture| !matches!(fixture, Fixture::Tree { .. }));
    let seen = |scene: &mut RoadScene| {
        let truths = (0..60).flat_map(|at| scene.truths(second(at))).collect::<Vec<_>>();
        (truths.iter().map(|truth| truth.visible).sum::<f32>(), truths.len())
    };
    let (with, without) = (seen(&mut scene), seen(&mut without));
    assert!(with.0 < without.0 && with.1 <= without.1, "{with:?} {without:?}");
}
