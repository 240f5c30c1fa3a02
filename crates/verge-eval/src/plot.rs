//! One series as a picture: values with what was expected above, scores with the alarm level below, alarms and
//! labels in both.

use std::io;
use std::ops::Range;

use jiff::Timestamp;
use plotters::coord::types::RangedCoordf64;
use plotters::prelude::*;
use verge_domain::finding::Expected;
use verge_domain::time::UtcMillis;

use crate::detectors::{ReadingScore, auto_level};
use crate::events::stretches;

type Canvas<'a> = DrawingArea<SVGBackend<'a>, plotters::coord::Shift>;
type Chart<'a, 'b> = ChartContext<'a, SVGBackend<'b>, Cartesian2d<RangedCoordf64, RangedCoordf64>>;
type Point = (f64, f64);
/// Why a series cannot be drawn.
pub type DrawError = DrawingAreaErrorKind<io::Error>;

const WIDTH: u32 = 1200;
const HEIGHT: u32 = 700;
/// Height of the panel of values.
const UPPER: u32 = 460;
/// Room for the labels of the vertical axis.
const LEFT: u32 = 80;
/// Columns into which readings are thinned, each to its lowest and highest: at most two points per pixel.
const COLUMNS: usize = 1100;
/// Scores are drawn up to this many decades.
const MOST_DECADES: f64 = 15.0;
/// Values are drawn within this range.
const LIMIT: f64 = 1e100;

const DAY_MS: f64 = 86_400_000.0;
const VALUE: RGBColor = RGBColor(31, 78, 121);
const BAND: RGBColor = RGBColor(205, 225, 245);
const LABEL: RGBColor = RGBColor(250, 190, 110);
const ALARM: RGBColor = RGBColor(200, 20, 40);

/// A series with its labels; all columns have the same length.
#[derive(Debug, Clone, Copy)]
pub struct PlottedSeries<'a> {
    /// Stands above the picture.
    pub name: &'a str,
    /// Times of the readings.
    pub at: &'a [UtcMillis],
    /// The readings.
    pub values: &'a [f64],
    /// Whether each is labelled.
    pub labels: &'a [bool],
}

/// Draws a series of at least one reading, what a detector said of each and what it expected.
///
/// # Errors
/// See [`DrawError`].
pub fn svg(
    series: PlottedSeries<'_>,
    said: &[ReadingScore],
    bands: &[Option<Expected>],
) -> Result<String, DrawError> {
    let panel = Panel::new(series);
    let points = |value: &dyn Fn(usize) -> f64| -> Vec<Point> {
        panel.x.iter().enumerate().map(|(row, x)| (*x, value(row))).collect()
    };
    let values = points(&|row| series.values[row].clamp(-LIMIT, LIMIT));
    let scores = points(&|row| (-said[row].p_value.log10()).clamp(0.0, MOST_DECADES));
    let alarms: Vec<usize> = (0..said.len()).filter(|row| said[*row].alarm).collect();
    let level = -auto_level().log10();

    let mut text = String::new();
    {
        let canvas: Canvas<'_> = SVGBackend::with_string(&mut text, (WIDTH, HEIGHT)).into_drawing_area();
        canvas.fill(&WHITE)?;
        let (upper, lower) = canvas.split_vertically(UPPER);

        let mut chart = panel.chart(&upper, series.name, around(&values))?;
        let range = chart.y_range();
        let band = panel.band(bands, &range);
        chart.draw_series(band.into_iter().map(|outline| Polygon::new(outline, BAND)))?;
        panel.shade(&mut chart, series.labels, &range)?;
        panel.axes(&mut chart, "value")?;
        chart.draw_series([PathElement::new(panel.thin(&values), VALUE)])?;
        chart.draw_series(alarms.iter().map(|row| Circle::new(values[*row], 4, ALARM.filled())))?;

        let most = scores.iter().map(|(_, score)| *score).fold(level * 1.5, f64::max);
        let mut chart = panel.chart(&lower, "", 0.0..most * 1.05)?;
        let range = chart.y_range();
        panel.shade(&mut chart, series.labels, &range)?;
        panel.axes(&mut chart, "-log10 p")?;
        chart.draw_series([PathElement::new(panel.thin(&scores), VALUE)])?;
        chart.draw_series([PathElement::new(vec![(panel.start, level), (panel.end, level)], ALARM)])?;
        chart.draw_series(alarms.iter().map(|row| Circle::new(scores[*row], 4, ALARM.filled())))?;
        canvas.present()?;
    }
    Ok(text)
}

/// What both panels share: the axis of time, cut into columns.
struct Panel {
    /// Times of the readings, in milliseconds.
    x: Vec<f64>,
    start: f64,
    end: f64,
}

impl Panel {
    #[expect(clippy::cast_precision_loss, reason = "milliseconds of this age")]
    fn new(series: PlottedSeries<'_>) -> Self {
        let x: Vec<f64> = series.at.iter().map(|at| at.0 as f64).collect();
        let start = x.iter().copied().fold(f64::INFINITY, f64::min);
        let end = x.iter().copied().fold(f64::NEG_INFINITY, f64::max).max(start + 1.0);
        Self { x, start, end }
    }

    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "from 0 to the number of columns"
    )]
    fn column(&self, x: f64) -> usize {
        let share = (x - self.start) / (self.end - self.start);
        ((share * COLUMNS as f64) as usize).min(COLUMNS - 1)
    }

    /// Where a column starts.
    #[expect(clippy::cast_precision_loss, reason = "a number of columns")]
    fn at(&self, column: usize) -> f64 {
        self.start + (self.end - self.start) * column as f64 / COLUMNS as f64
    }

    /// Of each run of points in one column, the lowest and the highest, in their order.
    fn thin(&self, points: &[Point]) -> Vec<Point> {
        let mut thinned = Vec::new();
        for run in points.chunk_by(|a, b| self.column(a.0) == self.column(b.0)) {
            let by = |a: &usize, b: &usize| run[*a].1.total_cmp(&run[*b].1);
            let (lowest, highest) = ((0..run.len()).min_by(by), (0..run.len()).max_by(by));
            let (Some(lowest), Some(highest)) = (lowest, highest) else { continue };
            thinned.push(run[lowest.min(highest)]);
            if lowest != highest {
                thinned.push(run[lowest.max(highest)]);
            }
        }
        thinned
    }

    /// Outlines of what was expected, one for each stretch of columns in which something was.
    fn band(&self, bands: &[Option<Expected>], range: &Range<f64>) -> Vec<Vec<Point>> {
        let mut columns: Vec<Option<(f64, f64)>> = vec![None; COLUMNS];
        let mut seen = [false; COLUMNS];
        for (x, band) in self.x.iter().zip(bands) {
            let column = self.column(*x);
            seen[column] = true;
            let Some(Expected { low, high }) = *band else { continue };
            // An open side reaches to the edge of the panel, and so does what is beyond it.
            let low = low.unwrap_or(range.start).clamp(range.start, range.end);
            let high = high.unwrap_or(range.end).clamp(range.start, range.end);
            let kept = columns[column].get_or_insert((low, high));
            *kept = (kept.0.min(low), kept.1.max(high));
        }
        let mut outlines = Vec::new();
        let mut stretch: Vec<(usize, (f64, f64))> = Vec::new();
        for column in (0..COLUMNS).filter(|column| seen[*column]) {
            match columns[column] {
                Some(band) => stretch.push((column, band)),
                None => outlines.extend(self.outline(&mut stretch)),
            }
        }
        outlines.extend(self.outline(&mut stretch));
        outlines
    }

    fn outline(&self, stretch: &mut Vec<(usize, (f64, f64))>) -> Option<Vec<Point>> {
        let last = stretch.last()?;
        let closing = (last.0 + 1, last.1);
        stretch.push(closing);
        let above = stretch.iter().map(|(column, (_, high))| (self.at(*column), *high));
        let below = stretch.iter().rev().map(|(column, (low, _))| (self.at(*column), *low));
        let outline = above.chain(below).collect();
        stretch.clear();
        Some(outline)
    }

    fn chart<'a, 'b>(
        &self,
        area: &'a Canvas<'b>,
        caption: &str,
        y: Range<f64>,
    ) -> Result<Chart<'a, 'b>, DrawError>
    where
        'b: 'a,
    {
        let mut builder = ChartBuilder::on(area);
        builder.margin(8).x_label_area_size(28).y_label_area_size(LEFT);
        if !caption.is_empty() {
            builder.caption(caption, ("sans-serif", 22));
        }
        builder.build_cartesian_2d(self.start..self.end, y)
    }

    fn axes(&self, chart: &mut Chart<'_, '_>, what: &str) -> Result<(), DrawError> {
        let span = self.end - self.start;
        let form = if span > 300.0 * DAY_MS {
            "%Y-%m-%d"
        } else if span > 2.0 * DAY_MS {
            "%m-%d %H:%M"
        } else {
            "%H:%M:%S"
        };
        #[expect(clippy::cast_possible_truncation, reason = "milliseconds of this age")]
        let time = |x: &f64| {
            let at = Timestamp::from_millisecond(*x as i64);
            at.map(|at| at.strftime(form).to_string()).unwrap_or_default()
        };
        chart
            .configure_mesh()
            .disable_x_mesh()
            .light_line_style(TRANSPARENT)
            .x_labels(8)
            .x_label_formatter(&time)
            .y_desc(what)
            .label_style(("sans-serif", 15))
            .draw()?;
        Ok(())
    }

    /// Labelled stretches, each at least a column wide.
    fn shade(&self, chart: &mut Chart<'_, '_>, labels: &[bool], range: &Range<f64>) -> Result<(), DrawError> {
        let mut shaded: Vec<Range<usize>> = Vec::new();
        for stretch in stretches(labels) {
            let columns = self.column(self.x[stretch.start])..self.column(self.x[stretch.end - 1]) + 1;
            match shaded.last_mut() {
                Some(last) if columns.start <= last.end => last.end = last.end.max(columns.end),
                _ => shaded.push(columns),
            }
        }
        let boxes = shaded.into_iter().map(|columns| {
            let corners = [(self.at(columns.start), range.start), (self.at(columns.end), range.end)];
            Rectangle::new(corners, LABEL.mix(0.6).filled())
        });
        chart.draw_series(boxes)?;
        Ok(())
    }
}

/// The range of values, and a little room.
fn around(points: &[Point]) -> Range<f64> {
    let low = points.iter().map(|(_, value)| *value).fold(f64::INFINITY, f64::min);
    let high = points.iter().map(|(_, value)| *value).fold(f64::NEG_INFINITY, f64::max);
    let least = low.abs().max(high.abs()).max(1e-6) * 1e-6;
    let room = ((high - low) * 0.05).max(least);
    low - room..high + room
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Labelled {
        at: Vec<UtcMillis>,
        values: Vec<f64>,
        labels: Vec<bool>,
    }

    impl Labelled {
        fn drawing(&self) -> PlottedSeries<'_> {
            PlottedSeries { name: "a.csv", at: &self.at, values: &self.values, labels: &self.labels }
        }
    }

    fn series(
        rows: usize,
        value: impl Fn(usize) -> f64,
    ) -> (Labelled, Vec<ReadingScore>, Vec<Option<Expected>>) {
        let labelled = Labelled {
            at: (0..rows as i64).map(|row| UtcMillis(1_600_000_000_000 + row * 60_000)).collect(),
            values: (0..rows).map(&value).collect(),
            labels: (0..rows).map(|row| row % 100 < 3).collect(),
        };
        let said = |row: usize| ReadingScore {
            p_value: 1.0 / (1.0 + (row % 1000) as f64),
            alarm: row.is_multiple_of(500),
            held: false,
        };
        let band = |row: usize| {
            let band = Expected { low: Some(value(row) - 1.0), high: (row > 20).then(|| value(row) + 1.0) };
            (row > 10 && row % 1000 < 900).then_some(band)
        };
        let (said, bands) = ((0..rows).map(said).collect(), (0..rows).map(band).collect());
        (labelled, said, bands)
    }

    #[test]
    fn a_long_series_stays_small() {
        let (labelled, said, bands) = series(200_000, |row| ((row * 7919) % 1013) as f64 / 3.0);
        let svg = svg(labelled.drawing(), &said, &bands).unwrap();
        assert!(svg.len() < 1_000_000, "{}", svg.len());
        assert!(svg.contains("<polyline") && svg.contains("<polygon") && svg.contains("<circle"));
        assert!(svg.contains("a.csv") && svg.contains("-log10 p"));
    }

    #[test]
    fn odd_series_are_drawn_too() {
        for value in [|_: usize| 0.0, |_: usize| -1e300, |row: usize| 1e15 + row as f64 * 1e-3] {
            for rows in [1, 2, 30] {
                let (labelled, said, bands) = series(rows, value);
                assert!(svg(labelled.drawing(), &said, &bands).unwrap().ends_with("</svg>\n"));
            }
        }
        let (mut labelled, said, bands) = series(30, |row| row as f64);
        labelled.at.fill(UtcMillis(0));
        assert!(svg(labelled.drawing(), &said, &bands).unwrap().ends_with("</svg>\n"));
        // What goes up to the ends of all numbers.
        let (labelled, said, bands) = series(30, |row| if row % 2 == 0 { 1e308 } else { -1e308 });
        assert!(svg(labelled.drawing(), &said, &bands).unwrap().ends_with("</svg>\n"));
    }

    #[test]
    fn thinning_keeps_the_extremes_in_their_order() {
        let (labelled, ..) = series(110_000, |row| row as f64);
        let panel = Panel::new(labelled.drawing());
        let points: Vec<Point> = panel
            .x
            .iter()
            .enumerate()
            .map(|(row, x)| (*x, if row == 777 { -5.0 } else { row as f64 }))
            .collect();
        let thinned = panel.thin(&points);
        assert!(thinned.len() <= 2 * COLUMNS, "{}", thinned.len());
        assert!(thinned.contains(&points[777]));
        assert!(thinned.is_sorted_by(|a, b| a.0 < b.0));
        // What is sparse is not thinned.
        assert_eq!(panel.thin(&points[..1]), &points[..1]);
    }
}
