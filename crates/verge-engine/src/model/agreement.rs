//! A card held against the tensors of its file: where they differ, both sides stand in the message.

use std::path::Path;

use ort::session::Session as OrtSession;
use ort::value::{Outlet, TensorElementType, ValueType};

use super::fitting::decoder_for;
use super::{Contract, ModelError, OutputShape, StateContract};
use crate::card::{Card, Decoder, Element, Layout, Resize};
use crate::session::{READ_TYPES, described, element_name, is_read, shape_words};

/// Longest side of an input, in pixels: see [`Card`].
const MAX_SIDE: i64 = 4096;
/// Most elements of an input, padding of a batch included: a batch of 16 at 1080p.
const MAX_INPUT_ELEMENTS: usize = 1 << 27;
/// Most elements of a tensor of state.
const MAX_STATE_ELEMENTS: usize = 1 << 24;

/// Compares a card with the tensors of the file.
pub(super) struct Agreement<'a> {
    pub(super) card: &'a Card,
    pub(super) card_path: &'a Path,
    pub(super) path: &'a Path,
    pub(super) session: &'a OrtSession,
}

impl<'a> Agreement<'a> {
    fn differ(
        &self,
        what: impl Into<String>,
        card: impl Into<String>,
        file: impl Into<String>,
    ) -> ModelError {
        ModelError::Contract {
            path: self.path.to_owned(),
            what: what.into(),
            card: card.into(),
            file: file.into(),
            hint: String::new(),
        }
    }

    /// The same, with what would fit.
    fn hinted(&self, error: ModelError, hint: Option<String>) -> ModelError {
        match (error, hint) {
            (ModelError::Contract { path, what, card, file, hint: known }, Some(hint))
                if known.is_empty() =>
            {
                ModelError::Contract { path, what, card, file, hint: format!(": {hint}") }
            }
            (error, _) => error,
        }
    }

    pub(super) fn contract(&self, labels: usize) -> Result<Contract, ModelError> {
        let states = self.states()?;
        let input = self.input()?;
        let (batch, width, height) = self.size(input)?;
        let classes = labels + self.card.output.label_offset;
        let outputs = self.outputs(classes)?;
        self.classes(&outputs, labels)
            .and_then(|()| self.decodable(&outputs, width, height))
            .map_err(|error| self.hinted(error, decoder_for(&outputs, classes)))?;
        Ok(Contract { input: input.name().to_owned(), batch, width, height, outputs, states })
    }

    fn input(&self) -> Result<&Outlet, ModelError> {
        let is_state = |outlet: &&Outlet| !self.card.state.iter().any(|state| state.input == outlet.name());
        let inputs: Vec<&Outlet> = self.session.inputs().iter().filter(is_state).collect();
        let names = || names(&inputs);
        let pictures: Vec<&Outlet> = inputs.iter().copied().filter(|outlet| is_picture(outlet)).collect();
        match (&self.card.input.name, &inputs[..]) {
            (Some(name), _) => {
                let found = inputs.iter().find(|outlet| outlet.name() == name).copied();
                let found = found.ok_or_else(|| self.differ("input.name", format!("{name:?}"), names()))?;
                match inputs.iter().find(|outlet| outlet.name() != name) {
                    None => Ok(found),
                    Some(more) => Err(self.unfed(found, &[*more])),
                }
            }
            (None, [only]) => Ok(only),
            (None, _) => match pictures[..] {
                [picture] => {
                    let more: Vec<&Outlet> =
                        inputs.iter().copied().filter(|outlet| outlet.name() != picture.name()).collect();
                    Err(self.unfed(picture, &more))
                }
                _ => Err(self.differ("input.name", "nothing", format!("more than one input: {}", names()))),
            },
        }
    }

    /// Inputs beside the picture that nothing is fed to.
    fn unfed(&self, picture: &Outlet, more: &[&Outlet]) -> ModelError {
        let others: Vec<String> =
            more.iter().map(|outlet| format!("{:?} {}", outlet.name(), described(outlet.dtype()))).collect();
        let error = self.differ(
            "inputs",
            format!("one picture, {:?}, and {}", picture.name(), self.states_in_words()),
            format!("more than one input: also {}", others.join(", ")),
        );
        let hint = "values other than the picture and [[state]] are not fed: export the model with them as constants (an \
                    initializer)";
        self.hinted(error, Some(hint.to_owned()))
    }

    fn states_in_words(&self) -> String {
        match self.card.state.len() {
            0 => "no [[state]]".to_owned(),
            states => format!("{states} of [[state]]"),
        }
    }

    /// Batch, width and height.
    fn size(&self, input: &Outlet) -> Result<(usize, u32, u32), ModelError> {
        let card = &self.card.input;
        let shape = input.dtype().tensor_shape().map(|shape| shape.to_vec()).unwrap_or_default();
        self.element("input.element", card.element, input)?;
        let shown = shape_words(&shape);
        let channels = i64::try_from(card.colour.channels()).expect("3 at most");
        let whole = || {
            let [width, height] =
                card.size.map_or(["?".to_owned(), "?".to_owned()], |s| s.map(|x| x.to_string()));
            match card.layout {
                Layout::Nchw => {
                    format!("[batch, channel, height, width] = [1, {channels}, {height}, {width}]")
                }
                Layout::Nhwc => {
                    format!("[batch, height, width, channel] = [1, {height}, {width}, {channels}]")
                }
            }
        };
        let differ = || {
            let error = self.differ("shape of the input", whole(), &shown);
            self.hinted(error, self.input_hint(&shape))
        };
        let (batch, found_channels, height, width) = match (card.layout, &shape[..]) {
            (Layout::Nchw, &[n, c, h, w]) | (Layout::Nhwc, &[n, h, w, c]) => (n, c, h, w),
            _ => return Err(differ()),
        };
        if found_channels >= 0 && found_channels != channels {
            return Err(differ());
        }
        let side = |found: i64, stated: Option<u32>| match (found, stated) {
            (found, Some(stated)) if found < 0 || found == i64::from(stated) => Ok(stated),
            (1..=MAX_SIDE, None) => u32::try_from(found).map_err(|_| differ()),
            (found, None) if found < 0 => Err(ModelError::NoSize {
                path: self.path.to_owned(),
                card: self.card_path.to_owned(),
                shape: shown.clone(),
            }),
            _ => Err(differ()),
        };
        let width = side(width, card.size.map(|[width, _]| width))?;
        let height = side(height, card.size.map(|[_, height]| height))?;
        // A free batch is one frame; a fixed one is fed padded.
        let batch = usize::try_from(batch.max(1)).ok().filter(|batch| *batch <= 64).ok_or_else(differ)?;
        let elements = batch * width as usize * height as usize * card.colour.channels();
        if elements > MAX_INPUT_ELEMENTS {
            let most = format!("an input of at most {MAX_INPUT_ELEMENTS} numbers");
            return Err(self.differ("shape of the input", most, shown));
        }
        if card.resize == Resize::ShorterSideCrop
            && card.shorter_side.is_some_and(|side| side < width.max(height))
        {
            let side = card.shorter_side.unwrap_or_default();
            let wanted = format!("an input of {width} x {height} to be cut out of it");
            return Err(self.differ("input.shorter_side", side.to_string(), wanted));
        }
        Ok((batch, width, height))
    }

    /// What of the card would fit a shape of four sides better.
    fn input_hint(&self, shape: &[i64]) -> Option<String> {
        let &[_, second, _, fourth] = shape else {
            return Some(
                "pictures have four sides, [1, 3, height, width] or [1, height, width, 3]".to_owned(),
            );
        };
        let is_channels = |side: i64| matches!(side, 1 | 3);
        let (channels, other) = match self.card.input.layout {
            Layout::Nchw => (second, fourth),
            Layout::Nhwc => (fourth, second),
        };
        match (self.card.input.layout, is_channels(channels), is_channels(other)) {
            (Layout::Nchw, false, true) => Some("this shape fits input.layout = \"nhwc\"".to_owned()),
            (Layout::Nhwc, false, true) => Some("this shape fits input.layout = \"nchw\"".to_owned()),
            (_, true, _) if channels == 1 && self.card.input.colour.channels() == 3 => {
                Some("this shape fits input.colour = \"grey\"".to_owned())
            }
            (_, true, _) if channels == 3 && self.card.input.colour.channels() == 1 => {
                Some("this shape fits input.colour = \"rgb\" or \"bgr\"".to_owned())
            }
            _ => None,
        }
    }

    fn element(&self, what: &str, element: Element, outlet: &Outlet) -> Result<(), ModelError> {
        let found = outlet.dtype().tensor_type();
        if found.and_then(element_of) == Some(element) {
            return Ok(());
        }
        let error = self.differ(what, element.as_str(), found.map_or("no tensor", element_name));
        Err(match found.and_then(element_of) {
            Some(_) => error,
            None => {
                let hint = "pictures go in as f32, f16, u8 or i8: export the model with one of these";
                self.hinted(error, Some(hint.to_owned()))
            }
        })
    }

    fn states(&self) -> Result<Vec<StateContract>, ModelError> {
        let states = self.card.state.iter().map(|state| {
            let find = |all: &'a [Outlet], name: &str, what: &str| {
                let outlet = all.iter().find(|outlet| outlet.name() == name);
                outlet.ok_or_else(|| {
                    self.differ(what, format!("{name:?}"), names(&all.iter().collect::<Vec<_>>()))
                })
            };
            let input = find(self.session.inputs(), &state.input, "state.input")?;
            let output = find(self.session.outputs(), &state.output, "state.output")?;
            let shape_of =
                |outlet: &Outlet| outlet.dtype().tensor_shape().map(|s| s.to_vec()).unwrap_or_default();
            let (shape, back) = (shape_of(input), shape_of(output));
            let elements = shape.iter().try_fold(1_usize, |product, dim| {
                usize::try_from(*dim).ok().and_then(|dim| product.checked_mul(dim))
            });
            let element = input.dtype().tensor_type().and_then(element_of);
            match (element, elements) {
                (Some(element), Some(1..=MAX_STATE_ELEMENTS))
                    if shape == back
                        && output.dtype().tensor_type().and_then(element_of) == Some(element) =>
                {
                    Ok(StateContract {
                        input: state.input.clone(),
                        output: state.output.clone(),
                        element,
                        shape,
                    })
                }
                _ => Err(self.differ(
                    format!("state {:?}", state.input),
                    "an input and an output of one fixed shape and type",
                    format!("{} and {}", described(input.dtype()), described(output.dtype())),
                )),
            }
        });
        states.collect()
    }

    fn outputs(&self, classes: usize) -> Result<Vec<OutputShape>, ModelError> {
        let is_state = |outlet: &&Outlet| !self.card.state.iter().any(|state| state.output == outlet.name());
        let all: Vec<&Outlet> = self.session.outputs().iter().filter(is_state).collect();
        let wanted: Vec<&Outlet> = match &self.card.output.names {
            None => all.clone(),
            Some(wanted) => wanted
                .iter()
                .map(|name| {
                    let outlet = all.iter().find(|outlet| outlet.name() == name).copied();
                    outlet.ok_or_else(|| self.differ("output.names", format!("{name:?}"), names(&all)))
                })
                .collect::<Result<_, _>>()?,
        };
        let counts: &[usize] = match self.card.output.decoder {
            Decoder::Probabilities
            | Decoder::Logits
            | Decoder::Yolox
            | Decoder::YoloxDecoded
            | Decoder::Reconstruction => &[1],
            Decoder::Ssd => &[2, 4],
        };
        // What is no tensor comes first: that there are two outputs, for one, is of no use then.
        self.check_types(&wanted)?;
        let shapes: Vec<OutputShape> = wanted.iter().map(|outlet| shape_of(outlet)).collect();
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
    fn check_types(&self, wanted: &[&Outlet]) -> Result<(), ModelError> {
        let is_unread = |outlet: &&&Outlet| !outlet.dtype().tensor_type().is_some_and(is_read);
        let Some(unread) = wanted.iter().find(is_unread) else { return Ok(()) };
        let decoder = self.card.output.decoder.as_str();
        let error = self.differ(
            format!("type of output {:?}", unread.name()),
            format!("decoder {decoder}, which reads {READ_TYPES}"),
            described(unread.dtype()),
        );
        let hint = match unread.dtype() {
            ValueType::Sequence(_) | ValueType::Map { .. } => {
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
    fn classes(&self, outputs: &[OutputShape], labels: usize) -> Result<(), ModelError> {
        let last = |index: usize| outputs.get(index).and_then(|(_, shape)| shape.last().copied().flatten());
        let classes = match self.card.output.decoder {
            // Behind the batch; `[1, 1000, 1, 1]` holds a thousand classes too.
            Decoder::Probabilities | Decoder::Logits => match &outputs[0].1[..] {
                [classes] => *classes,
                [_, rest @ ..] => rest.iter().try_fold(1_usize, |product, dim| product.checked_mul((*dim)?)),
                [] => Some(1),
            },
            Decoder::Yolox | Decoder::YoloxDecoded => last(0).map(|channels| channels.saturating_sub(5)),
            Decoder::Ssd if outputs.len() == 2 => last(1),
            Decoder::Ssd | Decoder::Reconstruction => None,
        };
        let Some(classes) = classes else { return Ok(()) };
        let expected = classes.checked_sub(self.card.output.label_offset);
        if expected == Some(labels) {
            return Ok(());
        }
        let offset = self.card.output.label_offset;
        let (name, shape) = if outputs.len() == 2 { &outputs[1] } else { &outputs[0] };
        let error = self.differ(
            "number of labels",
            format!("{labels} and label_offset {offset}"),
            format!("{classes} classes in output {name:?} of shape {}", dimensions(shape)),
        );
        let hint = if offset == 0 && classes == labels + 1 {
            Some(
                "one class more than labels: with a class for \"nothing\" in front, output.label_offset = 1 and \
                  output.background = 0",
            )
        } else if classes == 1 && labels > 1 {
            Some(
                "one number is the id of a class, as ArgMax gives it: export the model without ArgMax, with a number for \
                  each class",
            )
        } else {
            None
        };
        let error = self.hinted(error, decoder_for(outputs, labels + offset));
        Err(self.hinted(error, hint.map(str::to_owned)))
    }

    /// Whether the decoder can read tensors of these shapes.
    fn decodable(&self, outputs: &[OutputShape], width: u32, height: u32) -> Result<(), ModelError> {
        let differ = |index: usize, expected: String| {
            let (name, shape) = &outputs[index];
            Err(self.differ(format!("shape of output {name:?}"), expected, dimensions(shape)))
        };
        let shape = |index: usize| &outputs[index].1[..];
        match self.card.output.decoder {
            Decoder::Probabilities | Decoder::Logits => Ok(()),
            Decoder::Reconstruction => {
                let (channels, width, height) =
                    (self.card.input.colour.channels(), width as usize, height as usize);
                let again = match self.card.input.layout {
                    Layout::Nchw => [channels, height, width],
                    Layout::Nhwc => [height, width, channels],
                };
                match shape(0) {
                    [_, rest @ ..]
                        if rest.len() == again.len()
                            && rest
                                .iter()
                                .zip(again)
                                .all(|(dim, same)| dim.is_none_or(|dim| dim == same)) =>
                    {
                        Ok(())
                    }
                    _ => {
                        differ(0, format!("that of the input, [1, {}, {}, {}]", again[0], again[1], again[2]))
                    }
                }
            }
            Decoder::YoloxDecoded if self.card.output.strides.is_none() => match shape(0) {
                [_, _, _] => Ok(()),
                _ => differ(0, "[1, boxes, 5 + classes]".to_owned()),
            },
            Decoder::Yolox | Decoder::YoloxDecoded => {
                let strides = self.card.output.strides.as_deref().unwrap_or_default();
                let along = |side: u32, stride: u32| (side / stride) as usize;
                let cells: usize =
                    strides.iter().map(|stride| along(width, *stride) * along(height, *stride)).sum();
                match shape(0) {
                    [_, rows, _] if rows.is_none_or(|rows| rows == cells) => Ok(()),
                    _ => differ(0, format!("[1, {cells}, 5 + classes] for strides {strides:?}")),
                }
            }
            Decoder::Ssd => {
                let boxes = match shape(0) {
                    [.., boxes, corners] if corners.is_none_or(|corners| corners == 4) => *boxes,
                    _ => return differ(0, "[1, boxes, 4]".to_owned()),
                };
                let (next, expected) = match (shape(1), outputs.len()) {
                    ([.., rows, _], 2) => (*rows, "[1, {}, classes]"),
                    ([.., rows], 4) => (*rows, "[1, {}]"),
                    _ => return differ(1, "scores or classes of each box".to_owned()),
                };
                match (boxes, next) {
                    (Some(boxes), Some(next)) if boxes != next => {
                        differ(1, expected.replace("{}", &boxes.to_string()))
                    }
                    _ => Ok(()),
                }
            }
        }
    }
}

/// Whether an input has the sides of a picture.
fn is_picture(outlet: &Outlet) -> bool {
    outlet.dtype().tensor_shape().is_some_and(|shape| shape.len() == 4)
}

fn shape_of(outlet: &Outlet) -> OutputShape {
    let shape = outlet.dtype().tensor_shape().map(|shape| shape.to_vec()).unwrap_or_default();
    let shape = shape.into_iter().map(|dim| usize::try_from(dim).ok()).collect();
    (outlet.name().to_owned(), shape)
}

/// Names and shapes.
fn described_all(outlets: &[&Outlet]) -> String {
    let all = outlets.iter().map(|outlet| format!("{:?} {}", outlet.name(), described(outlet.dtype())));
    format!("{}: {}", outlets.len(), all.collect::<Vec<_>>().join(", "))
}

/// A shape, with `?` for what the file leaves free.
fn dimensions(shape: &[Option<usize>]) -> String {
    let dims: Vec<String> =
        shape.iter().map(|dim| dim.map_or_else(|| "?".to_owned(), |dim| dim.to_string())).collect();
    format!("[{}]", dims.join(", "))
}

fn names(outlets: &[&Outlet]) -> String {
    let names: Vec<String> = outlets.iter().map(|outlet| format!("{:?}", outlet.name())).collect();
    names.join(", ")
}

fn element_of(element: TensorElementType) -> Option<Element> {
    match element {
        TensorElementType::Float32 => Some(Element::F32),
        TensorElementType::Float16 => Some(Element::F16),
        TensorElementType::Uint8 => Some(Element::U8),
        TensorElementType::Int8 => Some(Element::I8),
        _ => None,
    }
}
