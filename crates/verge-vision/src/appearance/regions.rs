//! Connected parts of a map that stand out.

/// Regions that are reported of one frame at most, the most unusual.
const MAX_REGIONS: usize = 8;

/// A part of a map, in cells: `left` and `top` are within it, `right` and `bottom` behind it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct MapRegion {
    pub(super) left: usize,
    pub(super) top: usize,
    pub(super) right: usize,
    pub(super) bottom: usize,
    pub(super) peak: f32,
}

/// Finds them. It keeps its buffers.
#[derive(Debug)]
pub(super) struct RegionSearch {
    /// Cells that stand out and belong to no region yet.
    open: Vec<bool>,
    edge: Vec<usize>,
    found: Vec<MapRegion>,
}

impl RegionSearch {
    pub(super) const fn new() -> Self {
        Self { open: Vec::new(), edge: Vec::new(), found: Vec::new() }
    }

    /// The regions of a map of these rows and columns whose cells are at least `least`, or lie nearer to the greatest value
    /// than to the mean; the most unusual first. Cells touch at corners too.
    pub(super) fn find(
        &mut self,
        map: &[f32],
        (rows, columns): (usize, usize),
        least: Option<f32>,
    ) -> &[MapRegion] {
        self.found.clear();
        let least = least.unwrap_or_else(|| half_height(map));
        self.open.clear();
        self.open.extend(map.iter().map(|value| *value >= least));
        for start in 0..map.len() {
            if std::mem::take(&mut self.open[start]) {
                let region = self.grow(map, (rows, columns), start);
                let place = self.found.partition_point(|one| one.peak >= region.peak);
                if place < MAX_REGIONS {
                    self.found.truncate(MAX_REGIONS - 1);
                    self.found.insert(place, region);
                }
            }
        }
        &self.found
    }

    /// All that hangs together with a cell.
    fn grow(&mut self, map: &[f32], (rows, columns): (usize, usize), start: usize) -> MapRegion {
        let (row, column) = (start / columns, start % columns);
        let mut region =
            MapRegion { left: column, top: row, right: column + 1, bottom: row + 1, peak: map[start] };
        self.edge.push(start);
        while let Some(cell) = self.edge.pop() {
            let (row, column) = (cell / columns, cell % columns);
            region.left = region.left.min(column);
            region.right = region.right.max(column + 1);
            region.top = region.top.min(row);
            region.bottom = region.bottom.max(row + 1);
            region.peak = region.peak.max(map[cell]);
            for row in row.saturating_sub(1)..(row + 2).min(rows) {
                for column in column.saturating_sub(1)..(column + 2).min(columns) {
                    let neighbour = row * columns + column;
                    if std::mem::take(&mut self.open[neighbour]) {
                        self.edge.push(neighbour);
                    }
                }
            }
        }
        region
    }
}

/// Half-way between the mean of a map and its greatest value; of a flat map an infinity, beyond all.
fn half_height(map: &[f32]) -> f32 {
    let (mut sum, mut high) = (0.0, f32::NEG_INFINITY);
    for value in map {
        sum += f64::from(*value);
        high = high.max(*value);
    }
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_precision_loss,
        reason = "the mean of such numbers"
    )]
    let mean = (sum / map.len() as f64) as f32;
    if high > mean { mean / 2.0 + high / 2.0 } else { f32::INFINITY }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(rows: &[&str], least: Option<f32>, expected: &[[usize; 4]]) {
        let map: Vec<f32> =
            rows.concat().bytes().map(|digit| f32::from(digit.saturating_sub(b'0'))).collect();
        let mut search = RegionSearch::new();
        let found = search.find(&map, (rows.len(), rows[0].len()), least);
        let boxes: Vec<_> = found.iter().map(|one| [one.left, one.top, one.right, one.bottom]).collect();
        assert_eq!(boxes, expected, "{rows:?}");
    }

    #[test]
    fn what_hangs_together_is_one_region_and_the_highest_comes_first() {
        check(&["00000", "03300", "00090", "00000", "70000"], Some(3.0), &[[1, 1, 4, 3], [0, 4, 1, 5]]);
        // Nearer to 9 than to the mean.
        check(&["00000", "03300", "00090", "00000", "70000"], None, &[[3, 2, 4, 3], [0, 4, 1, 5]]);
        check(&["111", "111"], None, &[]);
        check(&["111", "111"], Some(1.0), &[[0, 0, 3, 2]]);
        check(&["111", "111"], Some(2.0), &[]);
        check(&["9"], Some(2.0), &[[0, 0, 1, 1]]);
    }

    #[test]
    fn of_many_regions_the_highest_are_reported() {
        let row: String = (0..40).map(|at| if at % 2 == 0 { '0' } else { ['3', '4'][at / 2 % 2] }).collect();
        let map: Vec<f32> = row.bytes().map(|digit| f32::from(digit - b'0')).collect();
        let mut search = RegionSearch::new();
        for _ in 0..2 {
            let found = search.find(&map, (1, 40), Some(3.0));
            assert_eq!(found.len(), MAX_REGIONS);
            assert!(found.iter().all(|one| one.peak > 3.5), "{found:?}");
        }
    }
}
