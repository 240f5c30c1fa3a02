use super::*;

#[test]
fn members_are_distinct_and_health_has_units_of_its_own() {
    for (index, member) in Member::ALL.into_iter().enumerate() {
        assert!(!member.is_health() || member.own_unit().is_some(), "{member:?}");
        assert!(Member::ALL[..index].iter().all(|other| other.as_str() != member.as_str()));
    }
}

#[test]
fn a_distance_counts_usual_widths() {
    let check = |low: Option<f64>, high: Option<f64>, value: f64, distance: Option<f64>| {
        assert_eq!(Expected { low, high }.distance(value), distance, "{value} in {low:?} to {high:?}");
    };
    check(Some(91.0), Some(96.0), 93.5, Some(0.0));
    check(Some(91.0), Some(96.0), 96.0, Some(1.0));
    check(Some(91.0), Some(96.0), 86.0, Some(3.0));
    check(None, Some(8.0), 12.0, Some(1.5));
    check(None, Some(-8.0), -4.0, Some(1.5));
    check(Some(8.0), None, 4.0, Some(1.5));
    check(None, Some(8.0), -100.0, Some(0.0));
    // Without a width there is no distance.
    check(None, Some(0.0), 1.0, None);
    check(Some(2.0), Some(2.0), 3.0, None);
    check(None, None, 3.0, None);
    let widest = Expected { low: Some(f64::MIN), high: Some(f64::MAX) };
    assert!(widest.distance(f64::MAX).is_some_and(|distance| (distance - 1.0).abs() < 1e-9));
    check(Some(0.0), Some(1e-300), f64::MAX, Some(FARTHEST));
}
