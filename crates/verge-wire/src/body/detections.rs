//! The objects in a frame.

use verge_domain::frame::{Detection, Detections, PixelBox};
use verge_domain::id::Label;

use super::Decided;
use crate::number::exact;
use crate::record::{record, tuple};
use crate::words::Occasion;

record!(Detections: "detections" { 0 width, 1 height, 2 objects });

tuple! {
    [Detection { label, score, area: PixelBox { x, y, width, height }, track }]
    Detection: "object" { label, score, x, y, width, height, track optional }
}

impl Decided for Detections {
    /// How many of each label, the label with the highest score first.
    fn words(&self, _: &Occasion<'_>) -> String {
        let mut counts: Vec<(&Label, usize)> = Vec::new();
        for object in &self.objects {
            match counts.iter_mut().find(|(label, _)| **label == object.label) {
                Some((_, count)) => *count = count.saturating_add(1),
                None => counts.push((&object.label, 1)),
            }
        }
        let labels: Vec<String> = counts.iter().map(|(label, count)| format!("{count} {label}")).collect();
        if labels.is_empty() { "nothing there".to_owned() } else { labels.join(", ") }
    }

    fn observed(&self) -> Option<f64> {
        u64::try_from(self.objects.len()).ok().and_then(exact)
    }
}
