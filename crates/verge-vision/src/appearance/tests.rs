use verge_domain::frame::PixelBox;
use verge_engine::f16;

use super::*;

/// A 200 x 100 part at (50, 20) of a frame of 400 x 200, seen by an input of 80 x 40.
const PLACE: InputPlacement = InputPlacement {
    scale_x: 2.5,
    scale_y: 2.5,
    offset_x: 50.0,
    offset_y: 20.0,
    seen: [50.0, 20.0, 250.0, 120.0],
};
const FRAME: (u32, u32) = (400, 200);
const BOTH: AnomalyForm = AnomalyForm { score: Some(0), map: Some(1) };
const MAP: AnomalyForm = AnomalyForm { score: None, map: Some(0) };

fn reader(form: AnomalyForm) -> AppearanceReader {
    AppearanceReader::new(form, None, (80, 40))
}

/// A map of 8 x 4 cells.
const SHAPE: &[i64] = &[1, 1, 4, 8];

fn map(peaks: &[(usize, f32)]) -> Vec<f32> {
    let mut map = vec![0.125; 32];
    peaks.iter().for_each(|(cell, value)| map[*cell] = *value);
    map
}

#[test]
fn a_peak_of_the_map_is_a_box_in_the_frame_beside_the_score() {
    let peaks = map(&[(9, 0.75), (10, 1.0), (31, 0.875)]);
    let (map, score) = (Some((SHAPE, TensorView::F32(&peaks))), Some(TensorView::F32(&[0.625])));
    let mut reader = reader(BOTH);
    let seen = reader.read_in(map, score, PLACE, None, FRAME).unwrap();
    assert_eq!(seen.score, 0.625);
    // A cell is 10 pixels of the input, which are 25 of the frame.
    let region = |x, y, width, height, peak| RegionBox { area: PixelBox { x, y, width, height }, peak };
    let boxes = vec![region(75, 45, 50, 25, 1.0), region(225, 95, 25, 25, 0.875)];
    assert_eq!(seen.regions, Regions { width: 400, height: 200, boxes });
    let Some(AnnotatedShape::HeatMap { columns, cells, area }) = reader.heat_map(FRAME) else {
        panic!("a map")
    };
    assert_eq!((columns, cells.len(), area), (8, 32, [0.125, 0.1, 0.5, 0.5]));
    assert_eq!([cells[0], cells[9], cells[10]], [0.0, 5.0 / 7.0, 1.0]);
    // Only what is at least 0.9.
    let above = reader.read_in(map, score, PLACE, Some(0.9), FRAME).unwrap();
    assert_eq!(above.regions.boxes, [region(100, 45, 25, 25, 1.0)]);
}

#[test]
fn the_score_of_a_map_alone_is_its_greatest_value_and_a_score_alone_has_no_places() {
    let halves: Vec<f16> = map(&[(3, 4.5)]).into_iter().map(f16::from_f32).collect();
    for shape in [SHAPE, &[1, 4, 8], &[4, 8]] {
        let map = Some((shape, TensorView::F16(&halves)));
        let seen = reader(MAP).read_in(map, None, PLACE, None, FRAME).unwrap();
        assert_eq!((seen.score, seen.regions.boxes.len()), (4.5, 1));
    }
    let form = AnomalyForm { score: Some(0), map: None };
    let mut reader = reader(form);
    let seen = reader.read_in(None, Some(TensorView::F64(&[3.5])), PLACE, None, FRAME).unwrap();
    assert_eq!((seen.score, seen.regions.boxes.len()), (3.5, 0));
    assert!(reader.heat_map(FRAME).is_none());
}

#[test]
fn what_means_nothing_is_refused() {
    let check = |map: &[f32], shape: &[i64], score: &[f32], expected: BadOutput| {
        let map = Some((shape, TensorView::F32(map)));
        let found = reader(BOTH).read_in(map, Some(TensorView::F32(score)), PLACE, None, FRAME);
        assert_eq!(found, Err(expected));
    };
    let good = map(&[]);
    check(&good, SHAPE, &[f32::NAN], BadOutput::NotFinite);
    check(&good, SHAPE, &[0.5, 0.5], BadOutput::Length { found: 2, expected: 1 });
    check(&good, SHAPE, &[-0.5], BadOutput::Negative { found: -0.5 });
    check(&good, &[1, 1, 4, 9], &[0.5], BadOutput::Length { found: 32, expected: 36 });
    check(&good, &[32], &[0.5], BadOutput::Length { found: 32, expected: 0 });
    check(&good, &[-1, i64::MAX, i64::MAX], &[0.5], BadOutput::Length { found: 32, expected: usize::MAX });
    check(&map(&[(0, f32::INFINITY)]), SHAPE, &[0.5], BadOutput::NotFinite);
    // FastFlow's map lies from -1 to 0: the advice makes it usable.
    let shifted = Some(Quantisation { scale: 1.0, zero_point: -1 });
    let mut fastflow = AppearanceReader::new(MAP, shifted, (80, 40));
    let low: Vec<f32> = map(&[(3, 0.875)]).iter().map(|value| value - 1.0).collect();
    let seen = fastflow.read_in(Some((SHAPE, TensorView::F32(&low))), None, PLACE, None, FRAME).unwrap();
    assert_eq!(seen.score, 0.875);
}
