//! Which decoder could read outputs of given shapes: advice for whoever has written another into a card.

use super::OutputShape;

/// In words, for this number of classes (labels and what their offset leaves out); `None` where no family is recognised.
pub(super) fn decoder_for(outputs: &[OutputShape], classes: usize) -> Option<String> {
    let last = |shape: &[Option<usize>], dim: usize| shape.len() >= 2 && shape.last() == Some(&Some(dim));
    if outputs.len() == 2
        && let Some((boxes, _)) = outputs.iter().find(|(_, shape)| last(shape, 4))
        && let Some((scores, _)) = outputs.iter().find(|(name, shape)| {
            // DETR has a class for "nothing" behind the others.
            name != boxes && (last(shape, classes) || last(shape, classes + 1))
        })
    {
        return Some(format!(
            "these shapes fit decoder = \"ssd\" with output.names = [{boxes:?}, {scores:?}], where the scores are those \
             after softmax or sigmoid"
        ));
    }
    let found = outputs.iter().find_map(|(name, shape)| Some((name, family(shape, classes)?)));
    found.map(|(name, family)| match outputs.len() {
        1 => family.to_owned(),
        _ => format!("{family}, with output.names = [{name:?}]"),
    })
}

fn family(shape: &[Option<usize>], classes: usize) -> Option<&'static str> {
    let is_row = |dims: &[Option<usize>]| {
        dims.iter().try_fold(1_usize, |product, dim| product.checked_mul((*dim)?)) == Some(classes)
    };
    match shape {
        // One number is a class id as well.
        [_, rest @ ..] if classes > 1 && !rest.is_empty() && is_row(rest) => {
            Some("this shape fits decoder = \"logits\" or \"probabilities\" with task = \"classify\"")
        }
        [_, _, Some(channels)] if *channels == 5 + classes => Some(
            "this shape fits decoder = \"yolox\" (heads as they leave the network) or \"yolox_decoded\" (boxes in pixels: \
             exported with --decode_in_inference, or by YOLOv5) with task = \"detect\"",
        ),
        [_, Some(channels), boxes] if *channels == 4 + classes && *boxes != Some(5 + classes) => {
            Some("this is the form of YOLOv8 and later, [1, 4 + classes, boxes]: decoder = \"yolov8\"")
        }
        [.., Some(6)] => Some(
            "these look like finished boxes, [boxes, (left, top, right, bottom, score, class)] as ultralytics' nms=True, \
             YOLOv10 and YOLO26 give them: decoder = \"yolov10\"; of PaddleDetection, whose rows begin with class and \
             score, decoder = \"ppyoloe\"; of RT-DETR by ultralytics decoder = \"rt-detr-ultralytics\"",
        ),
        [.., Some(7)] => Some(
            "these look like finished boxes with the picture of the batch in front: class before score of YOLOv7 (decoder = \
             \"yolov7-end2end\"), score before class of YOLO-NAS (decoder = \"yolo-nas-flat\")",
        ),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn families_are_known_by_their_shapes() {
        let check = |shapes: &[&[usize]], expected: &str| {
            let outputs: Vec<OutputShape> = shapes
                .iter()
                .zip(["first", "second", "third"])
                .map(|(shape, name)| (name.to_owned(), shape.iter().map(|dim| Some(*dim)).collect()))
                .collect();
            let found = decoder_for(&outputs, 3).unwrap_or_default();
            assert!(
                found.contains(expected) && found.is_empty() == expected.is_empty(),
                "{shapes:?}: {found}"
            );
        };
        check(&[&[1, 3]], "\"logits\" or \"probabilities\"");
        check(&[&[1, 3, 1, 1]], "\"logits\" or \"probabilities\"");
        check(&[&[1, 252, 8]], "\"yolox_decoded\"");
        check(&[&[1, 7, 8400]], "\"yolov8\"");
        check(&[&[1, 300, 6]], "\"yolov10\"");
        check(&[&[9, 7]], "\"yolov7-end2end\"");
        check(&[&[1, 100, 3], &[1, 100, 4]], "output.names = [\"second\", \"first\"]");
        check(&[&[1], &[1, 3]], "output.names = [\"second\"]");
        check(&[&[1, 50]], "");
        check(&[], "");
    }
}
