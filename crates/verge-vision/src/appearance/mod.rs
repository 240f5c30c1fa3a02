//! How unlike usual frames a frame is: the score and the map that models of visual anomalies give (Anomalib's `PaDiM`,
//! `PatchCore`, `EfficientAD`, reverse distillation, `FastFlow`), to one number and a few boxes.

mod regions;

use verge_domain::frame::{Appearance, RegionBox, Regions};
use verge_engine::{Outputs, TensorView};
use verge_models::card::{AnomalyForm, Quantisation};

use crate::annotate::AnnotatedShape;
use crate::detect::pixel_box;
use crate::elements::{BadOutput, reals};
use crate::preprocess::InputPlacement;
use crate::viewer::InferenceError;
use regions::RegionSearch;

/// Reads one model. It keeps its buffers; one per worker and model.
#[derive(Debug)]
pub(crate) struct AppearanceReader {
    form: AnomalyForm,
    quantisation: Option<Quantisation>,
    /// Of the model's input, in pixels.
    size: (u32, u32),
    scratch: Vec<f32>,
    map: Vec<f32>,
    /// Rows and columns of the map.
    cells: (usize, usize),
    placement: Option<InputPlacement>,
    /// The greatest value of all maps so far.
    hottest: f32,
    search: RegionSearch,
}

impl AppearanceReader {
    pub(crate) const fn new(form: AnomalyForm, quantisation: Option<Quantisation>, size: (u32, u32)) -> Self {
        Self {
            form,
            quantisation,
            size,
            scratch: Vec::new(),
            map: Vec::new(),
            cells: (0, 0),
            placement: None,
            hottest: f32::NEG_INFINITY,
            search: RegionSearch::new(),
        }
    }

    /// What the outputs say of a frame of this size. `least`: lowest value of the map that belongs to a region.
    pub(crate) fn read(
        &mut self,
        outputs: &Outputs<'_, '_>,
        placement: InputPlacement,
        least: Option<f32>,
        frame: (u32, u32),
    ) -> Result<Appearance, InferenceError> {
        let map = self.form.map.map(|index| outputs.get(index)).transpose()?;
        let score = self.form.score.map(|index| outputs.get(index)).transpose()?;
        Ok(self.read_in(map, score.map(|(_, elements)| elements), placement, least, frame)?)
    }

    /// The same of a map's shape and elements, and of the elements of a score.
    fn read_in(
        &mut self,
        map: Option<(&[i64], TensorView<'_>)>,
        score: Option<TensorView<'_>>,
        placement: InputPlacement,
        least: Option<f32>,
        (width, height): (u32, u32),
    ) -> Result<Appearance, BadOutput> {
        self.placement = None;
        let mut regions = Regions { width, height, boxes: Vec::new() };
        let mut highest = None;
        if let Some((shape, elements)) = map {
            self.take(shape, elements)?;
            let found = self.search.find(&self.map, self.cells, least);
            let (rows, columns) = self.cells;
            let across = |cell: usize| side_of(cell, columns, self.size.0);
            let down = |cell: usize| side_of(cell, rows, self.size.1);
            regions.boxes.extend(found.iter().filter_map(|one| {
                let corners = [across(one.left), down(one.top), across(one.right), down(one.bottom)];
                let corners @ [left, top, right, bottom] = placement.frame_corners(corners);
                // What lies wholly beyond what was seen is no place of the frame.
                let is_within = left < right && top < bottom;
                let area = pixel_box(corners, width, height);
                is_within.then_some(RegionBox { area, peak: f64::from(one.peak) })
            }));
            highest = self.map.iter().copied().max_by(f32::total_cmp);
            self.hottest = highest.map_or(self.hottest, |highest| highest.max(self.hottest));
            self.placement = Some(placement);
        }
        let score = match score {
            Some(elements) => match reals(elements, self.quantisation, &mut self.scratch) {
                [only] => *only,
                several => return Err(BadOutput::Length { found: several.len(), expected: 1 }),
            },
            None => highest.ok_or(BadOutput::Length { found: 0, expected: 1 })?,
        };
        if !score.is_finite() {
            return Err(BadOutput::NotFinite);
        }
        if score < 0.0 {
            return Err(BadOutput::Negative { found: score });
        }
        Ok(Appearance { score: f64::from(score), regions })
    }

    /// Keeps a map.
    fn take(&mut self, shape: &[i64], elements: TensorView<'_>) -> Result<(), BadOutput> {
        let side = |from_end: usize| {
            let side = shape.len().checked_sub(from_end).map_or(0, |at| shape[at]);
            usize::try_from(side).unwrap_or_default()
        };
        let (rows, columns) = (side(2), side(1));
        let values = reals(elements, self.quantisation, &mut self.scratch);
        let expected = rows.saturating_mul(columns);
        if values.len() != expected || values.is_empty() {
            return Err(BadOutput::Length { found: values.len(), expected });
        }
        if values.iter().any(|value| !value.is_finite()) {
            return Err(BadOutput::NotFinite);
        }
        self.map.clear();
        self.map.extend_from_slice(values);
        self.cells = (rows, columns);
        Ok(())
    }

    /// The map of the frame that was last looked at, for drawing: from its least value to the greatest that was seen so far,
    /// so that usual frames stay cool once an unusual one was seen.
    pub(crate) fn heat_map(&self, (width, height): (u32, u32)) -> Option<AnnotatedShape> {
        let InputPlacement { scale_x, scale_y, offset_x, offset_y, .. } = self.placement?;
        let low = self.map.iter().copied().min_by(f32::total_cmp)?;
        let span = self.hottest - low;
        let share = |value: &f32| if span > 0.0 { (value - low) / span } else { 0.0 };
        let along = |scale: f32, pixels: u32, side: u32| {
            f64::from(scale) * f64::from(pixels) / f64::from(side.max(1))
        };
        let area = [
            f64::from(offset_x) / f64::from(width.max(1)),
            f64::from(offset_y) / f64::from(height.max(1)),
            along(scale_x, self.size.0, width),
            along(scale_y, self.size.1, height),
        ];
        let cells = self.map.iter().map(share).collect();
        Some(AnnotatedShape::HeatMap { columns: self.cells.1, cells, area })
    }
}

/// The pixel of the input where a cell of the map begins.
#[expect(clippy::cast_precision_loss, reason = "cells and pixels of an input, 4096 at most")]
fn side_of(cell: usize, cells: usize, side: u32) -> f32 {
    cell as f32 * side as f32 / cells as f32
}

#[cfg(test)]
mod tests;
