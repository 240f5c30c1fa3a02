//! Charts of signals: SVG by presentation attributes alone, so that no page needs a style or a script for it. No text of a
//! device stands in one.

use std::ops::Range;

use plotters::coord::types::RangedCoordf64;
use plotters::prelude::*;
use verge_domain::finding::Expected;
use verge_domain::history::{BandChange, Course, Sample, Step};
use verge_domain::time::UtcMillis;
use verge_domain::verdict::Subject;

use super::events::EventView;
use super::pages::number;
use super::signals::path_of;

/// Why a chart cannot be drawn.
pub(crate) type DrawError = DrawingAreaErrorKind<std::io::Error>;
type Chart<'a, 'b> = ChartContext<'a, SVGBackend<'b>, Cartesian2d<RangedCoordf64, RangedCoordf64>>;
type Point = (f64, f64);

/// A signal that sent nothing for this many steps is drawn with a gap.
const GAP_STEPS: f64 = 12.0;
/// Values are drawn within this range.
const LIMIT: f64 = 1e30;

/// What is drawn.
pub(crate) struct Drawn<'a> {
    pub(crate) course: &'a Course,
    pub(crate) events: &'a [EventView],
    pub(crate) from: UtcMillis,
    pub(crate) to: UtcMillis,
    /// A time as the axis has it.
    pub(crate) hour: &'a dyn Fn(UtcMillis) -> String,
}

/// For which screen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ChartSize {
    Large,
    /// For a phone.
    Small,
}

/// Where a page gets a chart in each size and for each ground.
pub(crate) struct Picture {
    pub(crate) large: String,
    pub(crate) large_dark: String,
    pub(crate) small: String,
    pub(crate) small_dark: String,
}

impl Picture {
    /// Of a signal between two times.
    pub(crate) fn of(subject: &Subject, step: Step, from: i64, to: i64) -> Self {
        let path = path_of(subject);
        // A page that is fetched again within a step asks for the same picture.
        let length = i64::try_from(step.length().as_millis()).unwrap_or(i64::MAX);
        let (from, to) = (from.max(0).div_euclid(length) * length, (to.div_euclid(length) + 1) * length);
        let base = format!("/signals/{path}/chart.svg?step={step}&from={from}&to={to}");
        Self {
            large_dark: format!("{base}&ground=dark"),
            small: format!("{base}&size=small"),
            small_dark: format!("{base}&size=small&ground=dark"),
            large: base,
        }
    }
}

struct Colours {
    text: RGBColor,
    line: RGBColor,
    value: RGBColor,
    spread: RGBColor,
    band: RGBColor,
    alarm: RGBColor,
    held: RGBColor,
}

const LIGHT: Colours = Colours {
    text: RGBColor(26, 26, 26),
    line: RGBColor(154, 154, 154),
    value: RGBColor(20, 60, 110),
    spread: RGBColor(120, 150, 190),
    band: RGBColor(150, 175, 150),
    alarm: RGBColor(176, 0, 32),
    held: RGBColor(138, 83, 0),
};
const DARK: Colours = Colours {
    text: RGBColor(236, 236, 236),
    line: RGBColor(92, 100, 105),
    value: RGBColor(170, 205, 255),
    spread: RGBColor(90, 120, 160),
    band: RGBColor(80, 110, 85),
    alarm: RGBColor(255, 138, 138),
    held: RGBColor(255, 196, 107),
};

/// Charts of an hour count in minutes, those of a day in hours: so the axis has round times.
const fn unit_ms(step: Step) -> f64 {
    match step {
        Step::Fine => 60_000.0,
        Step::Coarse => 3_600_000.0,
    }
}

#[expect(clippy::cast_precision_loss, reason = "milliseconds of this age")]
fn x(at: UtcMillis, step: Step) -> f64 {
    at.0 as f64 / unit_ms(step)
}

fn y(value: f64) -> f64 {
    value.clamp(-LIMIT, LIMIT)
}

/// Draws a chart: where each judge expected the signal, its least to greatest value in each step and its last one, events and
/// maintenance.
pub(crate) fn svg(drawn: &Drawn<'_>, size: ChartSize, dark: bool) -> Result<String, DrawError> {
    let colours = if dark { &DARK } else { &LIGHT };
    let (extent, font, labels) = match size {
        ChartSize::Large => ((960, 340), 15, (8, 6)),
        ChartSize::Small => ((400, 280), 13, (4, 5)),
    };
    let step = drawn.course.step;
    let x = |at| x(at, step);
    let (from, to) = (x(drawn.from), x(drawn.to).max(x(drawn.from) + length_of(step)));
    let range = range_of(drawn);
    let mut text = String::new();
    {
        let canvas = SVGBackend::with_string(&mut text, extent).into_drawing_area();
        let mut builder = ChartBuilder::on(&canvas);
        builder.margin(8).margin_right(14).x_label_area_size(26).y_label_area_size(62);
        let mut chart: Chart<'_, '_> = builder.build_cartesian_2d(from..to, range.clone())?;
        for (_, changes) in &drawn.course.bands {
            let boxes = band(changes, (from, to), (&range, step));
            chart.draw_series(
                boxes.into_iter().map(|corners| Rectangle::new(corners, colours.band.mix(0.55).filled())),
            )?;
        }
        let events = drawn.events.iter().filter_map(|event| shade(event, (from, to), step));
        chart.draw_series(events.map(|(begin, end)| {
            Rectangle::new([(begin, range.start), (end, range.end)], colours.alarm.mix(0.18).filled())
        }))?;
        let foot = range.start + (range.end - range.start) * 0.03;
        let held = runs(drawn.course, from, to).into_iter().flatten().filter(|one| one.held);
        let length = length_of(step);
        chart.draw_series(held.map(|one| {
            Rectangle::new([(x(one.at), range.start), (x(one.at) + length, foot)], colours.held.filled())
        }))?;
        let format = |at: &f64| {
            #[expect(clippy::cast_possible_truncation, reason = "milliseconds of this age")]
            let at = UtcMillis((*at * unit_ms(step)).round() as i64);
            (drawn.hour)(at)
        };
        chart
            .configure_mesh()
            .disable_x_mesh()
            .light_line_style(TRANSPARENT)
            .bold_line_style(colours.line.mix(0.5))
            .axis_style(colours.line)
            .x_labels(labels.0)
            .y_labels(labels.1)
            .x_label_formatter(&format)
            .y_label_formatter(&|value| number(*value))
            .label_style(("sans-serif", font, &colours.text))
            .draw()?;
        for run in runs(drawn.course, from, to) {
            let above = run.iter().map(|one| (x(one.at) + length / 2.0, y(f64::from(one.greatest))));
            let below = run.iter().rev().map(|one| (x(one.at) + length / 2.0, y(f64::from(one.least))));
            let last: Vec<Point> =
                run.iter().map(|one| (x(one.at) + length / 2.0, y(f64::from(one.last)))).collect();
            if let [only] = last[..] {
                chart.draw_series([Circle::new(only, 3, colours.value.filled())])?;
                continue;
            }
            chart.draw_series([Polygon::new(
                above.chain(below).collect::<Vec<_>>(),
                colours.spread.mix(0.5),
            )])?;
            chart.draw_series([PathElement::new(last, colours.value.stroke_width(2))])?;
        }
        let begins = drawn.events.iter().filter_map(|event| shade(event, (from, to), step));
        chart.draw_series(begins.map(|(begin, _)| {
            PathElement::new(vec![(begin, range.start), (begin, range.end)], colours.alarm.stroke_width(2))
        }))?;
        canvas.present()?;
    }
    Ok(text)
}

fn length_of(step: Step) -> f64 {
    step.length().as_secs_f64() * 1_000.0 / unit_ms(step)
}

/// Values and what was expected, with a little room.
fn range_of(drawn: &Drawn<'_>) -> Range<f64> {
    let samples = drawn.course.samples.iter().flat_map(|one| [one.least, one.greatest]).map(f64::from);
    let ends =
        drawn.course.bands.iter().flat_map(|(_, changes)| changes).filter_map(|change| change.expected);
    let ends = ends.flat_map(|Expected { low, high }| [low, high]).flatten();
    let (mut low, mut high) = (f64::INFINITY, f64::NEG_INFINITY);
    for value in samples.chain(ends).map(y) {
        (low, high) = (low.min(value), high.max(value));
    }
    if low > high {
        return 0.0..1.0;
    }
    let least = low.abs().max(high.abs()).max(1e-6) * 1e-3;
    let room = ((high - low) * 0.06).max(least);
    low - room..high + room
}

/// Rectangles in which a judge expected the signal. An open side reaches to the edge.
fn band(
    changes: &[BandChange],
    (from, to): (f64, f64),
    (range, step): (&Range<f64>, Step),
) -> Vec<[Point; 2]> {
    let x = |at| x(at, step);
    let ends = changes.iter().skip(1).map(|change| x(change.from)).chain([to]);
    let spans = changes.iter().zip(ends).filter_map(|(change, end)| {
        let Expected { low, high } = change.expected?;
        let (begin, end) = (x(change.from).clamp(from, to), end.clamp(from, to));
        let low = low.map_or(range.start, |low| low.clamp(range.start, range.end));
        let high = high.map_or(range.end, |high| high.clamp(range.start, range.end));
        (begin < end).then_some([(begin, low), (end, high)])
    });
    spans.collect()
}

/// When an event lasted, within the chart.
fn shade(event: &EventView, (from, to): (f64, f64), step: Step) -> Option<(f64, f64)> {
    let x = |at| x(at, step);
    let lasted = i64::try_from(event.lasted_ms).unwrap_or(i64::MAX);
    let (begin, end) = (x(UtcMillis(event.since)), x(UtcMillis(event.since.saturating_add(lasted))));
    (end >= from && begin <= to).then(|| (begin.clamp(from, to), end.clamp(from, to)))
}

/// Samples without a gap between them.
fn runs(course: &Course, from: f64, to: f64) -> Vec<&[Sample]> {
    let (samples, x) = (&course.samples, |at| x(at, course.step));
    let within = |one: &Sample| (from..to).contains(&x(one.at));
    let first = samples.iter().position(within).unwrap_or(samples.len());
    let count = samples[first..].iter().take_while(|one| within(one)).count();
    let gap = length_of(course.step) * GAP_STEPS;
    samples[first..first + count].chunk_by(|one, next| x(next.at) - x(one.at) <= gap).collect()
}

/// A small line without numbers, for a list.
pub(crate) struct Sparkline {
    /// Points of the line, each run of them.
    pub(crate) lines: Vec<String>,
    /// Upper edge and height of where it is expected now.
    pub(crate) band: Option<(f64, f64)>,
}

/// Its size, in its own units.
const SPARK: (f64, f64) = (120.0, 32.0);
const SPARK_COLUMNS: f64 = 60.0;

impl Sparkline {
    /// Of the course between two times; `None` where there is none.
    pub(crate) fn of(course: &Course, from: UtcMillis, to: UtcMillis) -> Option<Self> {
        let drawn = Drawn { course, events: &[], from, to, hour: &|_| String::new() };
        let range = range_of(&drawn);
        let x = |at| x(at, course.step);
        let (from, to) = (x(from), x(to));
        let across = |at: f64| (at - from) / (to - from) * SPARK.0;
        let up = |value: f64| (range.end - value) / (range.end - range.start) * SPARK.1;
        let column = |one: &Sample| (across(x(one.at)) / SPARK.0 * SPARK_COLUMNS).floor();
        let line = |run: &[Sample]| {
            let columns = run.chunk_by(|one, next| column(one) == column(next));
            let points = columns.map(|piece| {
                let at = piece.first().map_or(0.0, |one| across(x(one.at)));
                let least = piece.iter().map(|one| one.least).fold(f32::INFINITY, f32::min);
                let greatest = piece.iter().map(|one| one.greatest).fold(f32::NEG_INFINITY, f32::max);
                let (low, high) = (up(y(f64::from(least))), up(y(f64::from(greatest))));
                if (low - high).abs() < 1.0 {
                    format!("{at:.0},{low:.1}")
                } else {
                    format!("{at:.0},{high:.1} {at:.0},{low:.1}")
                }
            });
            points.collect::<Vec<_>>().join(" ")
        };
        let lines: Vec<String> = runs(course, from, to).into_iter().map(line).collect();
        let newest = course.bands.iter().find_map(|(_, changes)| changes.last()?.expected);
        let band = newest.map(|Expected { low, high }| {
            let top = high.map_or(0.0, |high| up(high).clamp(0.0, SPARK.1));
            let foot = low.map_or(SPARK.1, |low| up(low).clamp(0.0, SPARK.1));
            ((top * 10.0).round() / 10.0, ((foot - top).max(0.5) * 10.0).round() / 10.0)
        });
        (!lines.is_empty()).then_some(Self { lines, band })
    }
}

#[cfg(test)]
mod tests;
