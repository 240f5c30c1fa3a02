//! The card of a model that was made from another: the other's card, but for what is new.

use std::path::Path;

use toml::de::DeTable;

use super::{Card, CardError, Provenance, quoted};

/// What is new about a model.
#[derive(Debug, Clone, PartialEq)]
pub struct Successor<'a> {
    /// Its version.
    pub version: &'a str,
    /// The name of its file, beside the card.
    pub file: &'a str,
    /// SHA-256 of the file.
    pub sha256: &'a str,
    /// The name of the file of its labels, where they lie in one.
    pub labels: Option<&'a str>,
    /// How it came to be.
    pub made: &'a Provenance,
}

impl Successor<'_> {
    /// Its card, out of the text of the other's. Comments stay where they are.
    ///
    /// # Errors
    /// The text is no card; `path` is for messages alone.
    pub fn card(&self, text: &str, path: &Path) -> Result<String, CardError> {
        Card::parse(text, path)?;
        let mut text = without_made(text);
        let wanted = [
            ("version", Some(self.version)),
            ("file", Some(self.file)),
            ("sha256", Some(self.sha256)),
            ("labels", self.labels),
        ];
        let mut edits: Vec<(std::ops::Range<usize>, String)> = Vec::new();
        if let Ok(table) = DeTable::parse(&text) {
            for (key, value) in wanted {
                let Some(value) = value else { continue };
                let known = table.get_ref().iter().find(|(known, _)| known.get_ref() == key);
                edits.push(match known {
                    // A string of JSON is a basic string of TOML too.
                    Some((_, known)) => (known.span(), quoted(value)),
                    None => (0..0, format!("{key} = {}\n", quoted(value))),
                });
            }
        }
        edits.sort_by_key(|(span, _)| std::cmp::Reverse(span.start));
        edits.into_iter().for_each(|(span, value)| text.replace_range(span, &value));
        let text = format!("{}\n\n{}", text.trim_end(), self.made.table());
        Card::parse(&text, path).map(|_| text)
    }
}

/// The text up to the table of how the other came to be, and what follows that.
fn without_made(text: &str) -> String {
    let mut is_made = false;
    let mut kept = String::with_capacity(text.len());
    for line in text.split_inclusive('\n') {
        let begin = line.trim_start();
        if begin.starts_with('[') {
            is_made = begin.starts_with("[made]") || begin.starts_with("[made.");
        }
        if !is_made {
            kept.push_str(line);
        }
    }
    kept
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn made(processor: &str) -> Provenance {
        Provenance {
            command: "quantize".to_owned(),
            source_sha256: "ab".repeat(32),
            processor: processor.to_owned(),
            figures: BTreeMap::from([("agreement".to_owned(), 99.0)]),
            ..Provenance::default()
        }
    }

    #[test]
    fn what_is_new_takes_the_place_of_the_old_and_comments_stay() {
        let old = format!(
            "# of the plant\nname = \"w\"\nversion = \"1\" # first\nfile = 'x/w.onnx'\ntask = \"reconstruct\"\n\n{}",
            made("x86").table()
        );
        let new = made("arm");
        let digest = "cd".repeat(32);
        let successor =
            Successor { version: "1-int8", file: "new.onnx", sha256: &digest, labels: None, made: &new };
        let text = successor.card(&old, Path::new("w.toml")).unwrap();
        assert!(text.contains("# of the plant") && text.contains("version = \"1-int8\" # first"), "{text}");
        let card = Card::parse(&text, Path::new("w.toml")).unwrap();
        assert_eq!(
            (card.sha256, card.made, card.file.as_path()),
            (Some(digest.clone()), Some(new.clone()), Path::new("new.onnx"))
        );
        assert_eq!(text.matches("[made]").count(), 1);
        assert!(successor.card("name = 1", Path::new("w.toml")).is_err());
    }

    #[test]
    fn labels_of_a_file_are_named_anew() {
        let old = "name = \"w\"\nversion = \"1\"\nfile = \"w.onnx\"\ntask = \"classify\"\nlabels = [\n  \"a\",\n  \"b\",\n]\n\n[input]\n\
                   layout = \"nchw\"\ncolour = \"rgb\"\nelement = \"f32\"\nresize = \"stretch\"\n\n[output]\ndecoder = \"logits\"\n";
        let new = made("arm");
        let digest = "cd".repeat(32);
        let successor = Successor {
            version: "2",
            file: "n.onnx",
            sha256: &digest,
            labels: Some("n_labels.txt"),
            made: &new,
        };
        let text = successor.card(old, Path::new("w.toml")).unwrap();
        assert!(text.contains("labels = \"n_labels.txt\"\n\n[input]"), "{text}");
    }
}
