//! The input of frames, and what is fed back.

use verge_engine::{ElementType, Feed, FeedBack, FixedInput, Port, shape_words};

use super::{Agreement, names};
use crate::card::{FedNumber, Resize, TensorLayout};
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

/// Inputs that exporters name alike, and what they ask for: the size of the picture that the boxes are scaled to, which
/// is that of the input here (boxes are taken to the frame later), and how it was resized before, which is not at all.
fn known_values(name: &str) -> Option<&'static [FedNumber]> {
    use FedNumber::{Height, Number, Width};
    Some(match name {
        // RT-DETR, D-FINE, DEIM.
        "orig_target_sizes" => &[Width, Height],
        // PaddleDetection.
        "im_shape" => &[Height, Width],
        "scale_factor" => &[Number(1.0), Number(1.0)],
        // YOLOv3 of the ONNX zoo.
        "image_shape" => &[Height, Width],
        _ => return None,
    })
}

impl<'a> Agreement<'a> {
    /// The input of the picture, and the others that are no state.
    pub(super) fn input(&self) -> Result<(&'a Port, Vec<&'a Port>), ModelError> {
        let is_state = |port: &&Port| !self.card.state.iter().any(|state| state.input == port.name);
        let inputs: Vec<&Port> = self.graph.inputs().iter().filter(is_state).collect();
        let names = || names(&inputs);
        let pictures = |sides| {
            inputs.iter().copied().filter(move |port| port.sides().len() == sides).collect::<Vec<_>>()
        };
        let picture = match (&self.card.input.name, &inputs[..]) {
            (Some(name), _) => {
                let found = inputs.iter().find(|port| port.name == *name).copied();
                found.ok_or_else(|| self.differ("input.name", format!("{name:?}"), names()))?
            }
            (None, [only]) => only,
            (None, _) => match (&pictures(4)[..], &pictures(3)[..]) {
                ([picture], _) | ([], [picture]) => picture,
                _ => {
                    return Err(self.differ(
                        "input.name",
                        "nothing",
                        format!("more than one input: {}", names()),
                    ));
                }
            },
        };
        let others = inputs.iter().copied().filter(|port| port.name != picture.name).collect();
        Ok((picture, others))
    }

    /// What the inputs beside the picture are fed, by the card or by their well-known names.
    pub(super) fn fixed(
        &self,
        picture: &Port,
        others: &[&Port],
        size: &InputSize,
    ) -> Result<Vec<FixedInput>, ModelError> {
        let stated = &self.card.input.values;
        if let Some(name) = stated.keys().find(|name| !others.iter().any(|port| port.name == **name)) {
            let found =
                if others.is_empty() { "no input beside the picture".to_owned() } else { names(others) };
            return Err(self.differ("input.values", format!("{name:?}"), found));
        }
        let of = |port: &&Port| {
            let numbers = match stated.get(&port.name) {
                Some(stated) => &stated[..],
                None => known_values(&port.name).ok_or_else(|| self.unfed(picture, port))?,
            };
            self.fixed_input(port, numbers, size)
        };
        others.iter().map(of).collect()
    }

    fn fixed_input(
        &self,
        port: &Port,
        numbers: &[FedNumber],
        size: &InputSize,
    ) -> Result<FixedInput, ModelError> {
        let number = |number: &FedNumber| match number {
            FedNumber::Width => f64::from(size.width),
            FedNumber::Height => f64::from(size.height),
            FedNumber::Number(number) => *number,
        };
        let numbers: Vec<f64> = numbers.iter().map(number).collect();
        let free = port.sides().iter().filter(|side| **side < 0).count();
        let fixed: i64 = port.sides().iter().filter(|side| **side >= 0).product();
        let count = i64::try_from(numbers.len()).unwrap_or(i64::MAX);
        // The last free side takes what the others leave; a fixed batch repeats the numbers.
        let (mut left, mut rest) = (free, if fixed > 0 { count / fixed } else { 0 });
        let shape: Vec<i64> = port
            .sides()
            .iter()
            .map(|side| match side {
                0.. => *side,
                _ => {
                    left -= 1;
                    if left == 0 { std::mem::replace(&mut rest, 1) } else { 1 }
                }
            })
            .collect();
        let elements = shape.iter().product::<i64>();
        let batch = i64::try_from(size.batch).expect("64 at most");
        let times = match elements {
            elements if elements == count => 1,
            elements if elements == count * batch => size.batch,
            _ => 0,
        };
        let (Some(element), 1.., Some(_)) = (port.element, times, &port.shape) else {
            let stated = numbers.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
            let error =
                self.differ("input.values", format!("{:?} = [{stated}]", port.name), port.described());
            return Err(self.hinted(error, Some("state as many numbers as the input has".to_owned())));
        };
        let numbers = numbers.repeat(times);
        Ok(FixedInput { input: Feed { name: port.name.clone(), element, shape }, numbers })
    }

    /// An input beside the picture that nothing is fed to.
    fn unfed(&self, picture: &Port, more: &Port) -> ModelError {
        let error = self.differ(
            "inputs",
            format!("one picture, {:?}, and {}", picture.name, self.states_in_words()),
            format!("more than one input: also {:?} {}", more.name, more.described()),
        );
        let hint = format!(
            "state what it is fed, [input.values] {} = [numbers, \"width\" or \"height\" of the input], or export the model \
             with such inputs as constants (initializers)",
            more.name
        );
        self.hinted(error, Some(hint))
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
            // Without a batch, as torchvision's detectors take one of a list.
            (TensorLayout::Nchw, &[c, h, w]) | (TensorLayout::Nhwc, &[h, w, c]) => (1, c, h, w),
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
        let shape = shape[4 - input.sides().len()..].to_vec();
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
