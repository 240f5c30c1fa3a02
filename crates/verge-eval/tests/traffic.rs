//! The tracker against simulated traffic: what `verge eval vision` prints in full, on a part of it.

use verge_eval::traffic::detector::BoxNoise;
use verge_eval::traffic::scenario::{Scenario, TrafficCase};
use verge_eval::traffic::score::{CaseScore, SceneScore};
use verge_eval::traffic::{self};

/// The scores of a case at each rate.
fn scores(case: TrafficCase, share: f64, boxes: BoxNoise, rates: &[u32]) -> Vec<CaseScore> {
    let mut scenarios = Scenario::of(case, 5, share);
    if case == TrafficCase::Angles {
        // Every fourth angle.
        scenarios = scenarios.into_iter().step_by(4).collect();
    }
    let all: Vec<SceneScore> =
        scenarios.into_iter().flat_map(|scenario| traffic::count(scenario, &[boxes], rates, 5)).collect();
    let of_rate = |rate: &u32| {
        let own: Vec<SceneScore> = all.iter().filter(|scene| scene.rate == *rate).cloned().collect();
        CaseScore::of(&own)
    };
    rates.iter().map(of_rate).collect()
}

#[test]
fn ideal_boxes_are_counted_exactly_at_three_frames_a_second_and_more() {
    for case in TrafficCase::ALL {
        for score in scores(case, 0.15, BoxNoise::Ideal, &[30, 10, 5, 3]) {
            assert!(score.crossings > 50, "{case:?}: {score:?}");
            assert_eq!((score.wrong, score.in_time), (0.0, 1.0), "{case:?}: {score:?}");
        }
    }
}

#[test]
fn boxes_of_a_detector_are_counted_well_at_five_frames_a_second_and_more() {
    for case in TrafficCase::ALL {
        for score in scores(case, 0.3, BoxNoise::Detected, &[10, 5]) {
            assert!(score.wrong <= 0.01, "{case:?}: {score:?}");
            assert!(score.in_time >= 0.97, "{case:?}: {score:?}");
            assert!(score.trips.unwrap_or(0.0) <= 0.02, "{case:?}: {score:?}");
            assert!(score.seldom <= 0.1, "{case:?}: {score:?}");
        }
    }
}

#[test]
fn one_frame_a_second_is_said_to_be_too_few() {
    for case in TrafficCase::ALL {
        for score in scores(case, 0.3, BoxNoise::Detected, &[1]) {
            assert!(score.seldom >= 0.5, "{case:?}: {score:?}");
        }
    }
}

#[test]
fn occupancy_speed_and_queue_are_those_of_the_road() {
    let road = scores(TrafficCase::Road, 0.5, BoxNoise::Detected, &[10]);
    assert!(road[0].occupancy.expect("a zone") <= 0.02, "{road:?}");
    assert!(road[0].speed.expect("a ground") <= 0.03, "{road:?}");
    let queue = scores(TrafficCase::Queue, 0.5, BoxNoise::Detected, &[10]);
    assert!(queue[0].queue.expect("a stop line") <= 0.2, "{queue:?}");
    assert!(queue[0].occupancy.expect("a zone") <= 0.02, "{queue:?}");
}

#[test]
fn headways_and_gaps_of_lanes_are_those_of_the_road() {
    for score in scores(TrafficCase::Lanes, 0.5, BoxNoise::Ideal, &[30, 10, 5]) {
        assert!(score.crossings > 200, "{score:?}");
        assert!(score.headway.expect("lanes") <= 0.01, "{score:?}");
        assert!(score.short_headways.expect("lanes") <= 0.02, "{score:?}");
        assert!(score.gap.expect("lanes") <= 0.02, "{score:?}");
    }
}
