//! Centres as peaks of a map per class (Zhou et al., "Objects as Points", 2019): sizes and offsets stand in maps of their
//! own, in cells.

use verge_models::card::Activation;

use super::CandidateBox;
use super::believed::{Believed, Numbers, real};
use crate::elements::BadOutput;

/// What numbers beyond 0 to 1 may be.
pub(super) const ADVICE: &str =
    "the map is read after sigmoid: export the model with it, or write output.activation = \"sigmoid\"";
/// What boxes far beyond the input may be.
pub(super) const BEYOND: &str = "sizes are read in cells of the map, width before height";

/// Decodes `[classes, rows, columns]`, sizes and, where there are three outputs, offsets `[2, rows, columns]`. A peak is at
/// least as high as its eight neighbours of the same class.
pub(super) fn decode(
    outputs: &[Numbers<'_>],
    activation: Activation,
    (classes, least): (usize, f32),
    believed: Believed,
    out: &mut Vec<CandidateBox>,
) -> Result<(), BadOutput> {
    let [map, sizes, offsets @ ..] = outputs else { return Err(BadOutput::Outputs { found: outputs.len() }) };
    let (rows, columns) = (map.side(2), map.side(1));
    let plane = rows * columns;
    Believed::length(map.of, classes * plane)?;
    for two in [sizes].into_iter().chain(offsets) {
        Believed::length(two.of, 2 * plane)?;
    }
    if plane == 0 {
        return Ok(());
    }
    let (across, down) = (believed.width / real(columns), believed.height / real(rows));
    for (label, heat) in map.of.chunks_exact(plane).enumerate() {
        for (cell, found) in heat.iter().enumerate() {
            let score = believed.score(*found, activation)?;
            let (row, column) = (cell / columns, cell % columns);
            if score < least || !is_peak(heat, (rows, columns), (row, column)) {
                continue;
            }
            let two = |of: &Numbers<'_>| [of.of[cell], of.of[plane + cell]];
            let [x, y] = offsets.first().map_or([0.5, 0.5], two);
            let [width, height] = two(sizes);
            let centre = [(real(column) + x) * across, (real(row) + y) * down];
            believed.centred(centre, [width * across, height * down], (label, score), out)?;
        }
    }
    Ok(())
}

fn is_peak(heat: &[f32], (rows, columns): (usize, usize), (row, column): (usize, usize)) -> bool {
    let here = heat[row * columns + column];
    let around = |at: usize, most: usize| at.saturating_sub(1)..=(at + 1).min(most - 1);
    around(row, rows).all(|y| around(column, columns).all(|x| heat[y * columns + x] <= here))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::elements::Probabilities;

    #[test]
    fn peaks_become_boxes() {
        let believed = Believed {
            width: 12.0,
            height: 8.0,
            probabilities: Probabilities::new(None, ADVICE),
            advice: BEYOND,
        };
        // Two classes, two rows of three cells of 4 x 4 pixels; the neighbour of a peak is none.
        let map = [0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.6, 0.9];
        let (mut sizes, mut offsets) = ([1.0; 12], [0.0; 12]);
        (sizes[5], sizes[11], offsets[5], offsets[11]) = (0.5, 2.0, 0.25, 0.5);
        let numbers = |shape, of| Numbers { shape, of };
        let (maps, twos): (&[i64], &[i64]) = (&[1, 2, 2, 3], &[1, 2, 2, 3]);
        let outputs = [numbers(maps, &map[..]), numbers(twos, &sizes), numbers(twos, &offsets)];
        let read = |outputs: &[Numbers<'_>], activation, least| {
            let mut out = Vec::new();
            decode(outputs, activation, (2, least), believed, &mut out).map(|()| out)
        };
        let one = CandidateBox { corners: [8.0, 2.0, 10.0, 10.0], label: 1, score: 0.9 };
        assert_eq!(read(&outputs, Activation::None, 0.25), Ok(vec![one]));
        let middle = read(&outputs[..2], Activation::None, 0.25).unwrap();
        assert_eq!(middle[0].corners, [9.0, 2.0, 11.0, 10.0]);
        let sigmoid = read(&outputs, Activation::Sigmoid, 0.6).unwrap();
        assert!((sigmoid[0].score - 0.710_949_5).abs() < 1e-6 && sigmoid.len() == 1, "{sigmoid:?}");
        assert!(read(&[outputs[0], numbers(twos, &sizes[..4])], Activation::None, 0.25).is_err());
        let bad = [f32::NAN; 12];
        assert_eq!(
            read(&[numbers(maps, &bad), outputs[1]], Activation::None, 0.25),
            Err(BadOutput::NotFinite)
        );
    }
}
