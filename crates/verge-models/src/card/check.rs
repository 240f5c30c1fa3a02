//! What a card may say.

use super::{FrameCard, LabelsCard, ModelTask, PixelElement, Quantisation, Resize, SideRounding, Wrong};

/// Numbers of an input beside the picture at most.
const MAX_VALUES: usize = 16;

/// The first value of a card over frames that cannot be.
pub(super) fn fault(card: &FrameCard) -> Option<Wrong> {
    let (input, output) = (&card.input, &card.output);
    let (decoder, scores_maps) = (output.decoder, card.task == ModelTask::Anomaly);
    let has_no_classes = matches!(card.task, ModelTask::Reconstruct | ModelTask::Anomaly);
    let channels = input.colour.channels();
    let unfit = |list: &Option<Vec<f32>>| {
        list.as_ref().is_some_and(|list| list.len() != channels || list.iter().any(|x| !x.is_finite()))
    };
    let no_share = |part: f64| !(part > 0.0 && part <= 1.0);
    let no_scale = |q: Option<Quantisation>| q.is_some_and(|q| !q.scale.is_finite() || q.scale <= 0.0);
    let has_classes = output.background.is_some()
        || output.label_offset != 0
        || (output.score.is_some() && !scores_maps)
        || output.nms.is_some();
    let (quantised, made) = (input.quantisation, output.quantisation);
    let unfit_size = input.size.is_some_and(|sides| !sides.into_iter().all(fits));
    let is_real = matches!(input.element, PixelElement::F32 | PixelElement::F16);
    let (score, iou) = (output.score, output.nms.map(|nms| nms.iou));
    let wrong_scores = score.is_some_and(|score| !scores_maps && !(0.0..=1.0).contains(&score))
        || iou.is_some_and(|iou| no_share(iou.into()));
    let is_cut = |resize| input.resize == resize;
    let is_boxed = is_cut(Resize::Letterbox) || is_cut(Resize::LetterboxTopleft);
    let row = |wrong: bool, key, expected| wrong.then_some((key, expected));
    let crops = input.crop_fraction;
    let rows = [
        row(
            card.labels.is_none() != has_no_classes,
            "labels",
            "a file with the name of a class in each line, or nothing with task = \"reconstruct\" or \"anomaly\"",
        ),
        row(
            decoder.task() != card.task,
            "output.decoder",
            "one of the task: probabilities or logits to classify, reconstruction to reconstruct, anomaly (anomalib) for \
             anomaly, any other to detect",
        ),
        row(
            has_no_classes && has_classes,
            "output.background, output.label_offset, output.score, output.nms",
            "nothing with task = \"reconstruct\" or \"anomaly\", which has no classes",
        ),
        row(
            scores_maps && score.is_some_and(|score| !score.is_finite()),
            "output.score",
            "a finite number, in the numbers of the map",
        ),
        row(unfit_size, "input.size", "width and height from 1 to 4096"),
        row(
            input.longest_side.is_some_and(|side| !fits(side)) || (!is_boxed && input.longest_side.is_some()),
            "input.longest_side",
            "a number of pixels from 1 to 4096, with resize = \"letterbox\" or \"letterbox-topleft\"",
        ),
        row(
            !is_boxed && (!input.enlarge || input.rounding != SideRounding::Down),
            "input.enlarge, input.rounding",
            "nothing without resize = \"letterbox\" or \"letterbox-topleft\"",
        ),
        row(
            input.values.values().any(|values| values.is_empty() || values.len() > MAX_VALUES),
            "input.values",
            "lists of 1 to 16 numbers, \"width\" and \"height\"",
        ),
        row(
            matches!(&card.labels, Some(LabelsCard::List(names)) if names.is_empty()),
            "labels",
            "names in quotes, or a file with the name of a class in each line",
        ),
        row(
            is_cut(Resize::CentralCrop) && crops.is_none_or(no_share),
            "input.crop_fraction",
            "a number above 0 and at most 1, with resize = \"central-crop\"",
        ),
        row(
            !is_cut(Resize::CentralCrop) && crops.is_some(),
            "input.crop_fraction",
            "nothing without resize = \"central-crop\"",
        ),
        row(
            is_cut(Resize::ShorterSideCrop) && !input.shorter_side.is_some_and(fits),
            "input.shorter_side",
            "a number of pixels from 1 to 4096, with resize = \"shorter-side-crop\"",
        ),
        row(
            !is_cut(Resize::ShorterSideCrop) && input.shorter_side.is_some(),
            "input.shorter_side",
            "nothing without resize = \"shorter-side-crop\"",
        ),
        row(unfit(&input.mean), "input.mean", "one finite number per channel"),
        row(unfit(&input.scale), "input.scale", "one finite number per channel"),
        row(no_scale(quantised), "input.quantisation", "a scale above 0"),
        row(
            quantised.is_some() && is_real,
            "input.quantisation",
            "nothing with element = \"f32\" or \"f16\"",
        ),
        row(no_scale(made), "output.quantisation", "a scale above 0"),
        row(
            output.label_offset > usize::from(u16::MAX),
            "output.label_offset",
            "a whole number from 0 to 65535",
        ),
        row(wrong_scores, "output.score, output.nms.iou", "numbers from 0 to 1"),
    ];
    rows.into_iter().flatten().next()
}

/// Sides of an input beyond this are a mistake, not a model for an edge machine.
const fn fits(side: u32) -> bool {
    side >= 1 && side <= 4096
}
