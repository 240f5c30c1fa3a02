//! Which vehicles truly cross a line of the picture, and when: counted in the traffic, not in pictures.

use std::collections::HashMap;
use std::time::Duration;

use super::geometry::vec3;
use super::traffic::RenderedTraffic;
use super::{HEIGHT, Viewpoint, WIDTH};

/// Time from one look at the traffic to the next.
const STEP: Duration = Duration::from_millis(100);

/// A vehicle that crosses a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SceneCrossing {
    /// Time since the start.
    pub at: Duration,
    /// Position of the line in the list.
    pub line: usize,
    /// From the line's left to its right, looking from its begin to its end.
    pub forward: bool,
}

/// All crossings of these lines in a span of time, in their order. Each line runs from its first to its second point, in
/// shares of the picture's sides. What crosses is the middle of a vehicle, on the ground.
#[must_use]
pub fn crossings(
    view: Viewpoint,
    seed: u64,
    lines: &[[[f64; 2]; 2]],
    span: std::ops::Range<Duration>,
) -> Vec<SceneCrossing> {
    let camera = view.camera();
    let mut traffic = RenderedTraffic::new(seed);
    let mut places: HashMap<u64, [f64; 2]> = HashMap::new();
    let mut crossings = Vec::new();
    let mut at = span.start;
    while at < span.end {
        traffic.advance(at);
        let mut now = HashMap::new();
        for (vehicle, pose) in traffic.placed(at) {
            let Some([x, y]) = camera.project(vec3(pose.x, pose.y, 0.0)) else { continue };
            let place = [f64::from(x) / f64::from(WIDTH), f64::from(y) / f64::from(HEIGHT)];
            if let Some(before) = places.get(&vehicle.looks) {
                let crossed = lines.iter().enumerate().filter_map(|(line, ends)| {
                    Some(SceneCrossing { at, line, forward: crosses(*before, place, *ends)? })
                });
                crossings.extend(crossed);
            }
            now.insert(vehicle.looks, place);
        }
        places = now;
        at += STEP;
    }
    crossings
}

/// Whether a step from one place to another crosses a line, and if so whether forward.
fn crosses(before: [f64; 2], after: [f64; 2], [from, to]: [[f64; 2]; 2]) -> Option<bool> {
    let side = |[from, to]: [[f64; 2]; 2], point: [f64; 2]| {
        (to[0] - from[0]) * (point[1] - from[1]) - (to[1] - from[1]) * (point[0] - from[0]) > 0.0
    };
    let (was_right, is_right) = (side([from, to], before), side([from, to], after));
    let between_ends = side([before, after], from) != side([before, after], to);
    (was_right != is_right && between_ends).then_some(is_right)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_over_a_line_has_a_direction_and_one_past_its_end_has_none() {
        let line = [[0.2, 0.5], [0.8, 0.5]];
        let check = |before, after, expected: Option<bool>| {
            assert_eq!(crosses(before, after, line), expected, "{before:?} to {after:?}");
        };
        check([0.5, 0.4], [0.5, 0.6], Some(true));
        check([0.5, 0.6], [0.4, 0.4], Some(false));
        check([0.9, 0.4], [0.9, 0.6], None);
        check([0.3, 0.4], [0.7, 0.4], None);
    }

    #[test]
    fn traffic_over_a_line_is_that_of_its_span_and_turns_with_the_line() {
        let (from, to) = ([0.304, 0.876], [0.103, 0.526]);
        let of = |lines: &[[[f64; 2]; 2]], seconds: std::ops::Range<u64>| {
            let span = Duration::from_secs(seconds.start)..Duration::from_secs(seconds.end);
            crossings(Viewpoint::North, 3, lines, span)
        };
        let both = of(&[[from, to], [to, from]], 10..50);
        let (one, other): (Vec<SceneCrossing>, Vec<SceneCrossing>) =
            both.into_iter().partition(|crossing| crossing.line == 0);
        assert!(one.len() > 10, "{one:?}");
        assert!(
            one.iter().zip(&other).all(|(one, other)| one.at == other.at && one.forward != other.forward)
        );
        assert_eq!(one.len(), other.len());
        let halves = [of(&[[from, to]], 10..30), of(&[[from, to]], 30..50)].concat();
        assert!(halves.len() <= one.len() && halves.len() + 2 >= one.len(), "{halves:?} {one:?}");
    }
}
