//! What a card may say.

use super::{FrameCard, ModelTask, OutputDecoder, PixelElement, Quantisation, Resize, Wrong};

/// The first value of a card over frames that cannot be.
pub(super) fn fault(card: &FrameCard) -> Option<Wrong> {
    let input = &card.input;
    let output = &card.output;
    let channels = input.colour.channels();
    let share = |share: f32| !(share > 0.0 && share <= 1.0);
    let per_channel = |list: &Option<Vec<f32>>| {
        list.as_ref().is_some_and(|list| list.len() != channels || list.iter().any(|x| !x.is_finite()))
    };
    let quantised = |q: &Option<Quantisation>| q.is_some_and(|q| !q.scale.is_finite() || q.scale <= 0.0);
    let strides = output.strides.as_deref().unwrap_or_default();
    let faults: [(bool, &'static str, String, &'static str); 16] = [
        (
            card.labels.is_none() != (card.task == ModelTask::Reconstruct),
            "labels",
            card.labels.as_ref().map_or("nothing".to_owned(), |labels| labels.display().to_string()),
            "a file with the name of a class in each line, or nothing to reconstruct",
        ),
        (
            output.decoder.task() != card.task,
            "output.decoder",
            output.decoder.as_str().to_owned(),
            "one of the task: probabilities or logits to classify, yolox, yolox_decoded or ssd to detect, \
             reconstruction to reconstruct",
        ),
        (
            card.task == ModelTask::Reconstruct
                && (output.background.is_some()
                    || output.label_offset != 0
                    || output.score.is_some()
                    || output.nms.is_some()),
            "output.background, output.label_offset, output.score, output.nms",
            "one or more of them".to_owned(),
            "nothing with task = \"reconstruct\", which has no classes",
        ),
        (
            input.size.is_some_and(|[width, height]| !fits(width) || !fits(height)),
            "input.size",
            format!("{:?}", input.size.unwrap_or_default()),
            "width and height from 1 to 4096",
        ),
        (
            input.resize == Resize::CentralCrop
                && input.crop_fraction.is_none_or(|part| !(part > 0.0 && part <= 1.0)),
            "input.crop_fraction",
            format!("{:?}", input.crop_fraction),
            "a number above 0 and at most 1, with resize = \"central-crop\"",
        ),
        (
            input.resize != Resize::CentralCrop && input.crop_fraction.is_some(),
            "input.crop_fraction",
            format!("{:?}", input.crop_fraction),
            "nothing without resize = \"central-crop\"",
        ),
        (
            input.resize == Resize::ShorterSideCrop && !input.shorter_side.is_some_and(fits),
            "input.shorter_side",
            format!("{:?}", input.shorter_side),
            "a number of pixels from 1 to 4096, with resize = \"shorter-side-crop\"",
        ),
        (
            input.resize != Resize::ShorterSideCrop && input.shorter_side.is_some(),
            "input.shorter_side",
            format!("{:?}", input.shorter_side),
            "nothing without resize = \"shorter-side-crop\"",
        ),
        (
            per_channel(&input.mean),
            "input.mean",
            format!("{:?}", input.mean),
            "one finite number per channel",
        ),
        (
            per_channel(&input.scale),
            "input.scale",
            format!("{:?}", input.scale),
            "one finite number per channel",
        ),
        (
            quantised(&input.quantisation),
            "input.quantisation",
            format!("{:?}", input.quantisation),
            "a scale above 0",
        ),
        (
            input.quantisation.is_some() && matches!(input.element, PixelElement::F32 | PixelElement::F16),
            "input.quantisation",
            format!("{:?}", input.quantisation),
            "nothing with element = \"f32\" or \"f16\"",
        ),
        (
            quantised(&output.quantisation),
            "output.quantisation",
            format!("{:?}", output.quantisation),
            "a scale above 0",
        ),
        (
            match output.decoder {
                OutputDecoder::Yolox => strides.is_empty(),
                OutputDecoder::YoloxDecoded => false,
                _ => !strides.is_empty(),
            } || strides.contains(&0),
            "output.strides",
            format!("{strides:?}"),
            "such as [8, 16, 32] with decoder = \"yolox\" or \"yolox_decoded\", else nothing",
        ),
        (
            (output.decoder == OutputDecoder::Ssd) != output.corners.is_some(),
            "output.corners",
            format!("{:?}", output.corners),
            "\"xyxy\" or \"yxyx\" with decoder = \"ssd\", else nothing",
        ),
        (
            output.score.is_some_and(|score| !(0.0..=1.0).contains(&score))
                || output.nms.is_some_and(|nms| share(nms.iou)),
            "output.score, output.nms.iou",
            format!("{:?}, {:?}", output.score, output.nms.map(|nms| nms.iou)),
            "numbers from 0 to 1",
        ),
    ];
    faults.into_iter().find(|(wrong, ..)| *wrong).map(|(_, key, found, expected)| (key, found, expected))
}

/// Sides of an input beyond this are a mistake, not a model for an edge machine.
const fn fits(side: u32) -> bool {
    side >= 1 && side <= 4096
}
