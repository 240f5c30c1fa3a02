//! What a frame shows as a whole.

use verge_domain::frame::{Classification, Scored};

use super::Decided;
use crate::record::{record, tuple};
use crate::words::Occasion;

record!(Classification: "classification" { 0 labels });

tuple!(Scored: "label" { label, score });

impl Decided for Classification {
    fn words(&self, _: &Occasion<'_>) -> String {
        let labels: Vec<String> = self
            .labels
            .iter()
            .map(|one| format!("{} {:.0} %", one.label, one.score.as_f64() * 100.0))
            .collect();
        if labels.is_empty() { "nothing it knows".to_owned() } else { labels.join(", ") }
    }

    fn observed(&self) -> Option<f64> {
        None
    }
}
