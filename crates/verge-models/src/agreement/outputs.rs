//! The outputs that a decoder reads, their shapes, and the number of classes.

use verge_engine::{ElementType, Port};

use super::fitting::decoder_for;
use super::{Agreement, OutputShape, described_all, dimensions, names, shape_of};
use crate::card::{
    AnomalyForm, Background, NumbersAxis, OutputDecoder, OutputForm, OutputRole, TensorLayout, TupleForm,
};
use crate::error::ModelError;

impl Agreement<'_> {
    pub(super) fn outputs(&self, classes: usize) -> Result<Vec<OutputShape>, ModelError> {
        let is_state = |port: &&Port| !self.card.state.iter().any(|state| state.output == port.name);
        let all: Vec<&Port> = self.graph.outputs().iter().filter(is_state).collect();
        let wanted: Vec<&Port> = match &self.card.output.names {
            None => all.clone(),
            Some(wanted) => wanted
                .iter()
                .map(|name| {
                    let port = all.iter().find(|port| port.name == *name).copied();
                    port.ok_or_else(|| self.differ("output.names", format!("{name:?}"), names(&all)))
                })
                .collect::<Result<_, _>>()?,
        };
        let counts = counts(&self.card.output.form);
        // What is no tensor comes first: that there are two outputs, for one, is of no use then.
        self.check_types(&wanted)?;
        let shapes: Vec<OutputShape> = wanted.iter().map(|port| shape_of(port)).collect();
        if !counts.contains(&wanted.len()) {
            let count: Vec<String> = counts.iter().map(ToString::to_string).collect();
            let decoder = self.card.output.decoder.as_str();
            let card = format!("decoder {decoder}, which reads {}", count.join(" or "));
            let error = self.differ("number of outputs", card, described_all(&wanted));
            return Err(self.hinted(error, decoder_for(&shapes, classes)));
        }
        Ok(shapes)
    }

    /// Whether outputs are tensors of numbers.
    fn check_types(&self, wanted: &[&Port]) -> Result<(), ModelError> {
        let is_unread = |port: &&&Port| port.element.is_none();
        let Some(unread) = wanted.iter().find(is_unread) else { return Ok(()) };
        let decoder = self.card.output.decoder.as_str();
        let error = self.differ(
            format!("type of output {:?}", unread.name),
            format!("decoder {decoder}, which reads {}", ElementType::ALL),
            unread.described(),
        );
        let hint = match unread.is_collection {
            true => {
                "scikit-learn's converter makes such outputs: convert with options={\"zipmap\": False}, and name the output \
                 of probabilities in output.names"
            }
            _ if wanted.len() > 1 => {
                "name the outputs to read in output.names, or export this one as numbers (Cast to float)"
            }
            _ => "export it as numbers (a Cast to float at the end)",
        };
        Err(self.hinted(error, Some(hint.to_owned())))
    }

    /// The number of labels against the number of classes, where the file states it.
    pub(super) fn classes(&self, outputs: &[OutputShape], labels: usize) -> Result<(), ModelError> {
        let card = &self.card.output;
        let Some((index, classes)) = stated_classes(&card.form, outputs) else { return Ok(()) };
        let expected = card.classes(labels);
        if classes == expected {
            return Ok(());
        }
        let (offset, (name, shape)) = (card.label_offset, &outputs[index]);
        let named = match card.background {
            Some(Background::Last) => format!("{labels}, label_offset {offset} and a background behind them"),
            _ => format!("{labels} and label_offset {offset}"),
        };
        let error = self.differ(
            "number of labels",
            named,
            format!("{classes} classes in output {name:?} of shape {}", dimensions(shape)),
        );
        let more = classes.saturating_sub(expected);
        let hint = match &card.form {
            OutputForm::Classes { .. } if classes == 1 && labels > 1 => Some(
                "one number is the id of a class, as ArgMax gives it: export the model without ArgMax, with a number for \
                 each class"
                    .to_owned(),
            ),
            OutputForm::Grid(_) if more > 1 && card.decoder == OutputDecoder::Grid => Some(format!(
                "{more} numbers more: segment models have 32 of a mask, pose models 3 for each keypoint, which are passed \
                 over with output.extra"
            )),
            _ if offset == 0 && more == 1 && card.background.is_none() => Some(
                "one class more than labels: with a class for \"nothing\" in front, output.label_offset = 1 and \
                 output.background = 0; behind the others, output.background = \"last\"; an OBB model has an angle there, \
                 output.extra = 1 and output.angle = true"
                    .to_owned(),
            ),
            _ => None,
        };
        let error = self.hinted(error, decoder_for(outputs, expected));
        Err(self.hinted(error, hint))
    }

    /// Whether the decoder can read tensors of these shapes.
    pub(super) fn decodable(
        &self,
        outputs: &[OutputShape],
        width: u32,
        height: u32,
    ) -> Result<(), ModelError> {
        let differ = |index: usize, expected: String| {
            let (name, shape) = &outputs[index];
            Err(self.differ(format!("shape of output {name:?}"), expected, dimensions(shape)))
        };
        let shape = |index: usize| &outputs[index].1[..];
        match &self.card.output.form {
            OutputForm::Classes { .. } => Ok(()),
            OutputForm::Image => {
                let (channels, width, height) =
                    (self.card.input.colour.channels(), width as usize, height as usize);
                let again = match self.card.input.layout {
                    TensorLayout::Nchw => [channels, height, width],
                    TensorLayout::Nhwc => [height, width, channels],
                };
                let is_same = |rest: &[Option<usize>]| {
                    rest.iter().zip(again).all(|(dim, same)| dim.is_none_or(|dim| dim == same))
                };
                match shape(0) {
                    [_, rest @ ..] if rest.len() == again.len() && is_same(rest) => Ok(()),
                    _ => {
                        differ(0, format!("that of the input, [1, {}, {}, {}]", again[0], again[1], again[2]))
                    }
                }
            }
            OutputForm::Anomaly(form) => {
                let sides = |index: usize| shape(index).iter().rev().filter(|side| **side != Some(1)).count();
                match *form {
                    AnomalyForm { score: Some(index), .. } if sides(index) > 1 => {
                        differ(index, "one number, [1] or [1, 1]".to_owned())
                    }
                    AnomalyForm { map: Some(index), .. } if shape(index).len() < 2 || sides(index) < 2 => {
                        differ(
                            index,
                            "a map, [1, 1, rows, columns], [1, rows, columns] or [rows, columns]".to_owned(),
                        )
                    }
                    _ => Ok(()),
                }
            }
            OutputForm::Heads { strides } => {
                let cells = cells(strides, width, height, false);
                match shape(0) {
                    [_, rows, _] if rows.is_none_or(|rows| rows == cells) => Ok(()),
                    _ => differ(0, format!("[1, {cells}, 5 + classes] for strides {strides:?}")),
                }
            }
            OutputForm::Grid(grid) => {
                let stated =
                    grid.strides.as_ref().map(|strides| (strides, cells(strides, width, height, false)));
                let boxes = match (grid.axis, shape(0)) {
                    (NumbersAxis::Last, [_, boxes, _]) | (NumbersAxis::First, [_, _, boxes]) => Some(*boxes),
                    _ => None,
                };
                let numbers = if grid.objectness { "5 + classes" } else { "4 + classes" };
                let expected = |boxes: String| match grid.axis {
                    NumbersAxis::Last => format!("[1, {boxes}, {numbers}]"),
                    NumbersAxis::First => format!("[1, {numbers}, {boxes}]"),
                };
                match (boxes, stated) {
                    (Some(Some(found)), Some((strides, cells))) if found != cells => {
                        differ(0, format!("{} for strides {strides:?}", expected(cells.to_string())))
                    }
                    (Some(_), _) => Ok(()),
                    (None, _) => differ(0, expected("boxes".to_owned())),
                }
            }
            OutputForm::Rows(rows) => {
                let length = rows.columns.len();
                match shape(0) {
                    [.., _, found]
                        if found.is_none_or(|found| found == length || rows.more && found > length) =>
                    {
                        Ok(())
                    }
                    _ => {
                        differ(0, format!("[1, boxes, {length}{}]", if rows.more { " or more" } else { "" }))
                    }
                }
            }
            OutputForm::Anchors(anchors) => {
                for (index, stride) in anchors.strides.iter().enumerate() {
                    let (rows, columns) = ((height / stride) as usize, (width / stride) as usize);
                    let count = anchors.anchors[index].len();
                    let is = |dim: Option<usize>, value: usize| dim.is_none_or(|dim| dim == value);
                    let fits = match *shape(index) {
                        [_, a, h, w, _] => is(a, count) && is(h, rows) && is(w, columns),
                        [_, b, c, d] => is(c, rows) && is(d, columns) || is(b, rows) && is(c, columns),
                        _ => false,
                    };
                    if !fits {
                        return differ(
                            index,
                            format!(
                                "[1, {count}, {rows}, {columns}, 5 + classes], or its numbers in one side, for stride \
                                 {stride}"
                            ),
                        );
                    }
                }
                Ok(())
            }
            OutputForm::Tuple(tuple) => self.tuple_decodable(tuple, outputs),
            OutputForm::Heatmap { .. } => {
                for index in 0..outputs.len() {
                    let fits = match (index, shape(index)) {
                        (0, [_, _, _, _]) => true,
                        (_, [_, two, h, w]) => {
                            two.is_none_or(|two| two == 2) && [h, w] == [&shape(0)[2], &shape(0)[3]]
                        }
                        _ => false,
                    };
                    if !fits {
                        let expected =
                            if index == 0 { "[1, classes, rows, columns]" } else { "[1, 2, rows, columns]" };
                        return differ(index, expected.to_owned());
                    }
                }
                Ok(())
            }
            OutputForm::Nanodet(nanodet) if outputs.len() == 1 => {
                let cells = cells(&nanodet.strides, width, height, true);
                match shape(0) {
                    [_, rows, _] if rows.is_none_or(|rows| rows == cells) => Ok(()),
                    _ => differ(
                        0,
                        format!(
                            "[1, {cells}, classes + {}] for strides {:?}",
                            4 * nanodet.bins,
                            nanodet.strides
                        ),
                    ),
                }
            }
            OutputForm::Nanodet(nanodet) => {
                for (index, stride) in nanodet.strides.iter().enumerate() {
                    let cells = cells(&[*stride], width, height, true);
                    for (index, last) in
                        [(index, None), (index + nanodet.strides.len(), Some(4 * nanodet.bins))]
                    {
                        match shape(index) {
                            [.., rows, found]
                                if rows.is_none_or(|rows| rows == cells)
                                    && found.is_none_or(|found| last.is_none_or(|last| last == found)) => {}
                            _ => {
                                let last = last.map_or_else(|| "classes".to_owned(), |last| last.to_string());
                                return differ(index, format!("[1, {cells}, {last}] for stride {stride}"));
                            }
                        }
                    }
                }
                Ok(())
            }
            OutputForm::Fastestdet => match shape(0) {
                [_, _, _, _] => Ok(()),
                _ => differ(0, "[1, 5 + classes, rows, columns]".to_owned()),
            },
        }
    }

    fn tuple_decodable(&self, tuple: &TupleForm, outputs: &[OutputShape]) -> Result<(), ModelError> {
        let roles = tuple.roles(outputs.len());
        let at = |role: OutputRole| {
            let index = roles.iter().position(|one| *one == role)?;
            Some((index, &outputs.get(index)?.1[..]))
        };
        let differ = |index: usize, expected: String| {
            let (name, shape) = &outputs[index];
            Err(self.differ(format!("shape of output {name:?}"), expected, dimensions(shape)))
        };
        let (scores, classes) = (at(OutputRole::Scores), at(OutputRole::Classes));
        let length = if scores.is_none() { 5 } else { 4 };
        let Some((index, shape)) = at(OutputRole::Boxes) else { return Ok(()) };
        let boxes = match shape {
            [.., boxes, Some(1), corners] | [.., boxes, corners]
                if corners.is_none_or(|corners| corners == length) =>
            {
                *boxes
            }
            _ => return differ(index, format!("[1, boxes, {length}]")),
        };
        let is_indexed = at(OutputRole::Indices).is_some();
        let each = [scores.map(|found| (found, classes.is_none())), classes.map(|found| (found, false))];
        for ((index, shape), per_class) in each.into_iter().flatten() {
            let (rows, expected) = match (shape, per_class) {
                ([.., _, rows], true) if is_indexed => (*rows, "[1, classes, {}]"),
                ([.., rows, _], true) => (*rows, "[1, {}, classes]"),
                ([.., rows, Some(1)], false) if shape.len() >= 3 => (*rows, "[1, {}]"),
                ([.., rows], false) => (*rows, "[1, {}]"),
                _ => return differ(index, "scores or classes of each box".to_owned()),
            };
            if let (Some(boxes), Some(rows)) = (boxes, rows)
                && boxes != rows
            {
                return differ(index, expected.replace("{}", &boxes.to_string()));
            }
        }
        Ok(())
    }
}

/// Numbers of outputs that a form reads.
fn counts(form: &OutputForm) -> Vec<usize> {
    match form {
        OutputForm::Classes { .. }
        | OutputForm::Image
        | OutputForm::Heads { .. }
        | OutputForm::Grid(_)
        | OutputForm::Rows(_)
        | OutputForm::Fastestdet => vec![1],
        OutputForm::Anchors(anchors) => vec![anchors.strides.len()],
        OutputForm::Anomaly(form) => vec![form.outputs()],
        OutputForm::Tuple(tuple) => {
            tuple.outputs.as_ref().map_or_else(|| vec![2, 4], |roles| vec![roles.len()])
        }
        OutputForm::Heatmap { .. } => vec![2, 3],
        OutputForm::Nanodet(nanodet) => vec![1, 2 * nanodet.strides.len()],
    }
}

/// Cells of all levels. Networks that pad round their sides up.
fn cells(strides: &[u32], width: u32, height: u32, is_up: bool) -> usize {
    let along = |side: u32, stride: u32| (if is_up { side.div_ceil(stride) } else { side / stride }) as usize;
    strides.iter().map(|stride| along(width, *stride) * along(height, *stride)).sum()
}

/// Position of the output whose shape states the number of classes, and that number.
fn stated_classes(form: &OutputForm, outputs: &[OutputShape]) -> Option<(usize, usize)> {
    let dim = |index: usize, from_end: usize| {
        let shape = &outputs.get(index)?.1;
        *shape.get(shape.len().checked_sub(from_end)?)?
    };
    let first = match form {
        // Behind the batch; `[1, 1000, 1, 1]` holds a thousand classes too.
        OutputForm::Classes { .. } => match &outputs.first()?.1[..] {
            [classes] => *classes,
            [_, rest @ ..] => rest.iter().try_fold(1_usize, |product, dim| product.checked_mul((*dim)?)),
            [] => Some(1),
        },
        OutputForm::Heads { .. } => dim(0, 1).map(|numbers| numbers.saturating_sub(5)),
        OutputForm::Grid(grid) => {
            let numbers = dim(0, if grid.axis == NumbersAxis::Last { 1 } else { 2 });
            numbers.map(|numbers| numbers.saturating_sub(4 + usize::from(grid.objectness) + grid.extra))
        }
        OutputForm::Anchors(anchors) => {
            let count = anchors.anchors.first()?.len();
            let numbers = match &outputs.first()?.1[..] {
                [_, _, _, _, numbers] => *numbers,
                [_, Some(numbers), _, _] if numbers % count == 0 && numbers / count > 5 => {
                    Some(numbers / count)
                }
                [_, _, _, Some(numbers)] if numbers % count == 0 => Some(numbers / count),
                _ => None,
            };
            numbers.map(|numbers| numbers.saturating_sub(5))
        }
        OutputForm::Tuple(tuple) => {
            let roles = tuple.roles(outputs.len());
            let position = |role: OutputRole| roles.iter().position(|one| *one == role);
            if position(OutputRole::Classes).is_some() {
                return None;
            }
            let index = position(OutputRole::Scores)?;
            let is_indexed = position(OutputRole::Indices).is_some();
            return Some((index, dim(index, if is_indexed { 2 } else { 1 })?));
        }
        OutputForm::Heatmap { .. } => dim(0, 3),
        OutputForm::Nanodet(nanodet) => {
            let bins = if outputs.len() == 1 { 4 * nanodet.bins } else { 0 };
            dim(0, 1).map(|numbers| numbers.saturating_sub(bins))
        }
        OutputForm::Fastestdet => dim(0, 3).map(|numbers| numbers.saturating_sub(5)),
        OutputForm::Image | OutputForm::Anomaly(_) | OutputForm::Rows(_) => None,
    };
    first.map(|classes| (0, classes))
}
