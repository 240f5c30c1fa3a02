//! Which body hides which.

type Corners = [[f32; 2]; 4];

/// Puts things on the ground, each with the corners of the rectangle that it covers (counter-clockwise), into the
/// order in which they must be drawn for an eye above this point.
pub(super) fn back_to_front<T>(mut things: Vec<(Corners, T)>, eye: [f32; 2]) -> Vec<T> {
    let distance = |corners: &Corners| {
        let middle = |axis: usize| corners.iter().map(|corner| corner[axis]).sum::<f32>() / 4.0;
        (middle(0) - eye[0]).hypot(middle(1) - eye[1])
    };
    // The farthest last, where it is taken from.
    things.sort_by(|one, other| distance(&one.0).total_cmp(&distance(&other.0)));
    let mut ordered = Vec::with_capacity(things.len());
    while !things.is_empty() {
        // The farthest of those that hide nothing left. Three that hide each other in a circle are rare, and
        // then the farthest must do.
        let next = (0..things.len()).rev().find(|candidate| {
            let others = (0..things.len()).filter(|other| other != candidate);
            !others.into_iter().any(|other| hides(&things[*candidate].0, &things[other].0, eye))
        });
        let next = next.unwrap_or(things.len() - 1);
        ordered.push(things.remove(next).1);
    }
    ordered
}

/// Whether the first may hide a part of the second: a side of one of them parts the two, and the eye is on the
/// first one's side of it.
fn hides(first: &Corners, second: &Corners, eye: [f32; 2]) -> bool {
    let beyond = |corners: &Corners, side: usize, point: &[f32; 2]| {
        let (from, to) = (corners[side], corners[(side + 1) % 4]);
        // Outside of a counter-clockwise rectangle is to the right.
        (to[0] - from[0]) * (point[1] - from[1]) - (to[1] - from[1]) * (point[0] - from[0]) < 0.0
    };
    // One parting line that puts the first farther away settles it.
    let mut parted = false;
    for side in 0..4 {
        if second.iter().all(|corner| beyond(first, side, corner)) {
            if beyond(first, side, &eye) {
                return false;
            }
            parted = true;
        }
        if first.iter().all(|corner| beyond(second, side, corner)) {
            if !beyond(second, side, &eye) {
                return false;
            }
            parted = true;
        }
    }
    parted
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn rectangle(west: f32, south: f32, east: f32, north: f32) -> Corners {
        [[east, north], [west, north], [west, south], [east, south]]
    }

    #[test]
    fn a_car_beside_a_long_lorry_is_drawn_after_it() {
        let lorry = rectangle(0.0, 0.0, 12.0, 2.5);
        // Its middle is farther from the eye than the lorry's, yet it stands on the eye's side.
        let car = rectangle(9.0, -3.0, 13.0, -1.2);
        let order = back_to_front(vec![(car, "car"), (lorry, "lorry")], [2.0, -8.0]);
        assert_eq!(order, ["lorry", "car"]);
        let order = back_to_front(vec![(car, "car"), (lorry, "lorry")], [2.0, 10.0]);
        assert_eq!(order, ["car", "lorry"]);
    }
}
