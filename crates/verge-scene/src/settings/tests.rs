//! What can be counted, and what is refused.

use super::*;

fn line(from: [f64; 2], to: [f64; 2]) -> SceneLine {
    SceneLine { name: PlaceId::new("north").unwrap(), from, to, anchor: Anchor::Bottom }
}

#[test]
fn lines_lie_in_the_picture_and_are_lines() {
    assert_eq!(line([0.0, 0.5], [1.0, 0.5]).check(), Ok(()));
    assert_eq!(line([0.0, 0.5], [1.2, 0.5]).check(), Err(SceneError::Outside { x: 1.2, y: 0.5 }));
    assert_eq!(line([0.3, 0.5], [0.3, 0.5]).check(), Err(SceneError::NoLength));
    assert!(line([0.1, 0.5], [f64::NAN, 0.5]).check().is_err());
    assert!(line([0.1, 0.97], [0.9, 0.99]).is_near_border());
    assert!(!line([0.0, 0.5], [1.0, 0.5]).is_near_border());
}

#[test]
fn zones_are_simple_polygons_on_the_ground() {
    let check = |polygon: &[[f64; 2]], expected: Result<(), SceneError>| {
        let zone = SceneZone { polygon: polygon.to_vec(), ..SceneZone::default() };
        assert_eq!(zone.check(None), expected);
    };
    check(&[[0.1, 0.1], [0.2, 0.1], [0.2, 0.2]], Ok(()));
    check(&[[0.1, 0.1], [0.2, 0.1]], Err(SceneError::Corners { found: 2 }));
    check(&[[0.1, 0.1], [0.2, 0.2], [0.3, 0.3]], Err(SceneError::NoArea));
    let bow = [[0.1, 0.1], [0.9, 0.9], [0.9, 0.1], [0.1, 0.9]];
    check(&bow, Err(SceneError::Crossed { first: 1, second: 3 }));
    let picture = [[0.4, 0.4], [0.6, 0.4], [0.9, 0.9], [0.1, 0.9]];
    let metres = [[-7.0, 60.0], [7.0, 60.0], [7.0, 10.0], [-7.0, 10.0]];
    let ground = Ground::new(picture, metres).unwrap();
    let polygon = vec![[0.1, 0.9], [0.9, 0.9], [0.5, 0.1]];
    let zone = SceneZone { polygon, ..SceneZone::default() };
    assert_eq!(zone.check(Some(&ground)), Err(SceneError::Horizon { x: 0.5, y: 0.1 }));
}
