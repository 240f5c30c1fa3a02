//! Greedy non-maximum suppression: of boxes that overlap, the surest stays.

use verge_models::card::Nms;

use super::CandidateBox;

/// Drops what overlaps a surer box by more than the threshold. `candidates` come surest first and stay so.
pub(super) fn suppress(candidates: &mut Vec<CandidateBox>, nms: Nms) {
    let mut kept = 0;
    for index in 0..candidates.len() {
        let candidate = candidates[index];
        let same = |other: &CandidateBox| !nms.per_class || other.label == candidate.label;
        let hidden = candidates[..kept]
            .iter()
            .any(|other| same(other) && overlap(other.corners, candidate.corners) > nms.iou);
        if !hidden {
            candidates[kept] = candidate;
            kept += 1;
        }
    }
    candidates.truncate(kept);
}

/// Intersection over union: 0 to 1; 0 for boxes without area.
pub(crate) fn overlap(a: [f32; 4], b: [f32; 4]) -> f32 {
    let side = |low: f32, high: f32| (high - low).max(0.0);
    let area = |[left, top, right, bottom]: [f32; 4]| side(left, right) * side(top, bottom);
    let common = side(a[0].max(b[0]), a[2].min(b[2])) * side(a[1].max(b[1]), a[3].min(b[3]));
    let union = area(a) + area(b) - common;
    if union > 0.0 { common / union } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn candidate(left: f32, score: f32, label: usize) -> CandidateBox {
        CandidateBox { corners: [left, 0.0, left + 10.0, 10.0], label, score }
    }

    #[test]
    fn the_surest_of_overlapping_boxes_stays() {
        let boxes =
            [candidate(0.0, 0.9, 0), candidate(2.0, 0.8, 0), candidate(2.0, 0.7, 1), candidate(9.0, 0.6, 0)];
        let check = |iou: f32, per_class: bool, expected: &[f32]| {
            let mut candidates = boxes.to_vec();
            suppress(&mut candidates, Nms { iou, per_class });
            let scores: Vec<f32> = candidates.iter().map(|one| one.score).collect();
            assert_eq!(scores, expected, "{iou} {per_class}");
        };
        check(0.5, true, &[0.9, 0.7, 0.6]);
        check(0.5, false, &[0.9, 0.6]);
        check(0.7, true, &[0.9, 0.8, 0.7, 0.6]);
        check(0.01, false, &[0.9]);
    }

    #[test]
    fn overlap_is_a_share_of_the_union() {
        assert_eq!(overlap([0.0, 0.0, 2.0, 2.0], [1.0, 0.0, 3.0, 2.0]), 1.0 / 3.0);
        assert_eq!(overlap([0.0, 0.0, 2.0, 2.0], [5.0, 5.0, 6.0, 6.0]), 0.0);
        assert_eq!(overlap([1.0, 1.0, 1.0, 1.0], [1.0, 1.0, 1.0, 1.0]), 0.0);
        assert_eq!(overlap([3.0, 3.0, 1.0, 1.0], [0.0, 0.0, 4.0, 4.0]), 0.0);
    }

    proptest! {
        #[test]
        fn what_stays_does_not_overlap(
            boxes in prop::collection::vec((0.0f32..50.0, 0.0f32..50.0, 1.0f32..20.0, 1.0f32..20.0, 0usize..2), 0..60),
            iou in 0.05f32..0.9,
        ) {
            let mut candidates: Vec<CandidateBox> = boxes
                .iter()
                .zip((0..60).rev())
                .map(|(&(x, y, w, h, label), score)| CandidateBox { corners: [x, y, x + w, y + h], label, score: score as f32 })
                .collect();
            let before = candidates.clone();
            suppress(&mut candidates, Nms { iou, per_class: true });
            for (index, a) in candidates.iter().enumerate() {
                for b in &candidates[..index] {
                    prop_assert!(a.label != b.label || overlap(a.corners, b.corners) <= iou);
                }
            }
            // Whatever was dropped overlaps something surer that stayed.
            for dropped in before.iter().filter(|one| !candidates.contains(one)) {
                prop_assert!(candidates.iter().any(|kept| kept.label == dropped.label
                    && kept.score > dropped.score
                    && overlap(kept.corners, dropped.corners) > iou));
            }
        }
    }
}
