//! What is said of a quantised model beside what is said of every new one.

use std::path::Path;

use serde_json::{Value, json};

use super::search::Found;

impl Found {
    /// Members that other commands do not have.
    pub(super) fn json(&self) -> Value {
        json!({
            "for": self.target.processor.as_str(), "weight_bits": self.target.weight_bits(),
            "method": self.method.as_str(), "repaired": self.is_repaired, "kept_float": self.float,
        })
    }

    /// What was made of what.
    pub(super) fn head(&self, card: &Path) -> Vec<String> {
        let bits = self.target.weight_bits();
        let repaired = if self.is_repaired { ", repaired" } else { "" };
        let mut lines = vec![format!(
            "{}: for {}, weights of {bits} bits, ranges by {}{repaired}",
            card.display(),
            self.target.processor.as_str(),
            self.method
        )];
        if !self.float.is_empty() {
            lines.push(format!("left float: {}", self.float.join(", ")));
        }
        lines
    }
}
