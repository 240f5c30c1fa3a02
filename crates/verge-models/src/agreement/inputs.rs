//! The input of frames, and what is fed back.

use verge_engine::{ElementType, Feed, FeedBack, Port, shape_words};

use super::{Agreement, names};
use crate::card::{Resize, TensorLayout};
use crate::error::ModelError;

/// Longest side of an input, in pixels: see [`FrameCard`](crate::card::FrameCard).
const MAX_SIDE: i64 = 4096;
/// Most elements of an input, padding of a batch included: a batch of 16 at 1080p.
const MAX_INPUT_ELEMENTS: usize = 1 << 27;
/// Most elements of a tensor of state.
const MAX_STATE_ELEMENTS: usize = 1 << 24;

/// The input, and the size of a frame within it.
pub(super) struct InputSize {
    pub(super) feed: Feed,
    pub(super) batch: usize,
    pub(super) width: u32,
    pub(super) height: u32,
}

impl<'a> Agreement<'a> {
    pub(super) fn input(&self) -> Result<&Port, ModelError> {
        let is_state = |port: &&Port| !self.card.state.iter().any(|state| state.input == port.name);
        let inputs: Vec<&Port> = self.graph.inputs().iter().filter(is_state).collect();
        let names = || names(&inputs);
        let pictures: Vec<&Port> = inputs.iter().copied().filter(|port| port.sides().len() == 4).collect();
        match (&self.card.input.name, &inputs[..]) {
            (Some(name), _) => {
                let found = inputs.iter().find(|port| port.name == *name).copied();
                let found = found.ok_or_else(|| self.differ("input.name", format!("{name:?}"), names()))?;
                match inputs.iter().find(|port| port.name != *name) {
                    None => Ok(found),
                    Some(more) => Err(self.unfed(found, &[*more])),
                }
            }
            (None, [only]) => Ok(only),
            (None, _) => match pictures[..] {
                [picture] => {
                    let more: Vec<&Port> =
                        inputs.iter().copied().filter(|port| port.name != picture.name).collect();
                    Err(self.unfed(picture, &more))
                }
                _ => Err(self.differ("input.name", "nothing", format!("more than one input: {}", names()))),
            },
        }
    }

    /// Inputs beside the picture that nothing is fed to.
    fn unfed(&self, picture: &Port, more: &[&Port]) -> ModelError {
        let others: Vec<String> =
            more.iter().map(|port| format!("{:?} {}", port.name, port.described())).collect();
        let error = self.differ(
            "inputs",
            format!("one picture, {:?}, and {}", picture.name, self.states_in_words()),
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
    pub(super) fn size(&self, input: &Port) -> Result<InputSize, ModelError> {
        let card = &self.card.input;
        let shape = input.sides();
        let element = ElementType::from(card.element);
        self.check_element("input.element", element, input)?;
        let shown = shape_words(shape);
        let channels = i64::try_from(card.colour.channels()).expect("3 at most");
        let whole = || {
            let [width, height] =
                card.size.map_or(["?".to_owned(), "?".to_owned()], |s| s.map(|x| x.to_string()));
            match card.layout {
                TensorLayout::Nchw => {
                    format!("[batch, channel, height, width] = [1, {channels}, {height}, {width}]")
                }
                TensorLayout::Nhwc => {
                    format!("[batch, height, width, channel] = [1, {height}, {width}, {channels}]")
                }
            }
        };
        let differ = || {
            let error = self.differ("shape of the input", whole(), &shown);
            self.hinted(error, self.input_hint(shape))
        };
        let (batch, found_channels, height, width) = match (card.layout, shape) {
            (TensorLayout::Nchw, &[n, c, h, w]) | (TensorLayout::Nhwc, &[n, h, w, c]) => (n, c, h, w),
            _ => return Err(differ()),
        };
        if found_channels >= 0 && found_channels != channels {
            return Err(differ());
        }
        let side = |found: i64, stated: Option<u32>| match (found, stated) {
            (found, Some(stated)) if found < 0 || found == i64::from(stated) => Ok(stated),
            (1..=MAX_SIDE, None) => u32::try_from(found).map_err(|_| differ()),
            (found, None) if found < 0 => Err(ModelError::NoSize {
                path: self.graph.path().to_owned(),
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
        let (across, down) = (i64::from(width), i64::from(height));
        let batched = i64::try_from(batch).expect("64 at most");
        let shape = match card.layout {
            TensorLayout::Nchw => vec![batched, channels, down, across],
            TensorLayout::Nhwc => vec![batched, down, across, channels],
        };
        let feed = Feed { name: input.name.clone(), element, shape };
        Ok(InputSize { feed, batch, width, height })
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
            TensorLayout::Nchw => (second, fourth),
            TensorLayout::Nhwc => (fourth, second),
        };
        match (self.card.input.layout, is_channels(channels), is_channels(other)) {
            (TensorLayout::Nchw, false, true) => Some("this shape fits input.layout = \"nhwc\"".to_owned()),
            (TensorLayout::Nhwc, false, true) => Some("this shape fits input.layout = \"nchw\"".to_owned()),
            (_, true, _) if channels == 1 && self.card.input.colour.channels() == 3 => {
                Some("this shape fits input.colour = \"grey\"".to_owned())
            }
            (_, true, _) if channels == 3 && self.card.input.colour.channels() == 1 => {
                Some("this shape fits input.colour = \"rgb\" or \"bgr\"".to_owned())
            }
            _ => None,
        }
    }

    fn check_element(&self, what: &str, element: ElementType, port: &Port) -> Result<(), ModelError> {
        use ElementType::{F16, F32, I8, U8};
        if port.element == Some(element) {
            return Ok(());
        }
        let found = if port.shape.is_some() { port.type_name } else { "no tensor" };
        let error = self.differ(what, element.as_str(), found);
        let hint = match port.element {
            Some(F16) => {
                "write input.element = \"f16\", or export without half precision (ultralytics half=False)"
            }
            Some(F32 | U8 | I8) => return Err(error),
            _ => "pictures go in as f32, f16, u8 or i8: export the model with one of these",
        };
        Err(self.hinted(error, Some(hint.to_owned())))
    }

    pub(super) fn states(&self) -> Result<Vec<FeedBack>, ModelError> {
        let find = |all: &'a [Port], name: &str, what: &str| {
            let port = all.iter().find(|port| port.name == *name);
            port.ok_or_else(|| self.differ(what, format!("{name:?}"), names(&all.iter().collect::<Vec<_>>())))
        };
        let states = self.card.state.iter().map(|state| {
            let input = find(self.graph.inputs(), &state.input, "state.input")?;
            let output = find(self.graph.outputs(), &state.output, "state.output")?;
            let elements = input.sides().iter().try_fold(1_usize, |product, side| {
                usize::try_from(*side).ok().and_then(|side| product.checked_mul(side))
            });
            match (input.element, elements) {
                (Some(element), Some(1..=MAX_STATE_ELEMENTS))
                    if input.shape == output.shape && output.element == Some(element) =>
                {
                    let input = Feed { name: input.name.clone(), element, shape: input.sides().to_vec() };
                    Ok(FeedBack { input, output: output.name.clone() })
                }
                _ => Err(self.differ(
                    format!("state {:?}", state.input),
                    "an input and an output of one fixed shape and type",
                    format!("{} and {}", input.described(), output.described()),
                )),
            }
        });
        states.collect()
    }
}
