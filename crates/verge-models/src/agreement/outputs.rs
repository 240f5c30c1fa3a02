//! The outputs that a decoder reads, their shapes, and the number of classes.

use verge_engine::{ElementType, Port};

use super::fitting::decoder_for;
use super::{Agreement, OutputShape, described_all, dimensions, names, shape_of};
use crate::card::{OutputDecoder, TensorLayout};
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
        let counts: &[usize] = match self.card.output.decoder {
            OutputDecoder::Probabilities
            | OutputDecoder::Logits
            | OutputDecoder::Yolox
            | OutputDecoder::YoloxDecoded
            | OutputDecoder::Reconstruction => &[1],
            OutputDecoder::Ssd => &[2, 4],
        };
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
        let last = |index: usize| outputs.get(index).and_then(|(_, shape)| shape.last().copied().flatten());
        let classes = match self.card.output.decoder {
            // Behind the batch; `[1, 1000, 1, 1]` holds a thousand classes too.
            OutputDecoder::Probabilities | OutputDecoder::Logits => match &outputs[0].1[..] {
                [classes] => *classes,
                [_, rest @ ..] => rest.iter().try_fold(1_usize, |product, dim| product.checked_mul((*dim)?)),
                [] => Some(1),
            },
            OutputDecoder::Yolox | OutputDecoder::YoloxDecoded => {
                last(0).map(|channels| channels.saturating_sub(5))
            }
            OutputDecoder::Ssd if outputs.len() == 2 => last(1),
            OutputDecoder::Ssd | OutputDecoder::Reconstruction => None,
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
        match self.card.output.decoder {
            OutputDecoder::Probabilities | OutputDecoder::Logits => Ok(()),
            OutputDecoder::Reconstruction => {
                let (channels, width, height) =
                    (self.card.input.colour.channels(), width as usize, height as usize);
                let again = match self.card.input.layout {
                    TensorLayout::Nchw => [channels, height, width],
                    TensorLayout::Nhwc => [height, width, channels],
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
            OutputDecoder::YoloxDecoded if self.card.output.strides.is_none() => match shape(0) {
                [_, _, _] => Ok(()),
                _ => differ(0, "[1, boxes, 5 + classes]".to_owned()),
            },
            OutputDecoder::Yolox | OutputDecoder::YoloxDecoded => {
                let strides = self.card.output.strides.as_deref().unwrap_or_default();
                let along = |side: u32, stride: u32| (side / stride) as usize;
                let cells: usize =
                    strides.iter().map(|stride| along(width, *stride) * along(height, *stride)).sum();
                match shape(0) {
                    [_, rows, _] if rows.is_none_or(|rows| rows == cells) => Ok(()),
                    _ => differ(0, format!("[1, {cells}, 5 + classes] for strides {strides:?}")),
                }
            }
            OutputDecoder::Ssd => {
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
