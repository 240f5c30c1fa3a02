//! The table `[made]`: how a file came to be that a command of Verge made, so that nobody asks later. Beside the file lies the
//! same as `NAME.report.json`.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use verge_engine::ProcessorClass;

use super::{Wrong, quoted};

/// How a file came to be.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Provenance {
    /// The command.
    pub command: String,
    /// SHA-256 of the weights that it was made from.
    pub source_sha256: String,
    /// Pictures that it was made with.
    pub pictures: u64,
    /// SHA-256 of the list of their digests.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pictures_sha256: Option<String>,
    /// The kind of processor that it was made for: `x86`, `x86-vnni`, `arm` or `other`.
    pub processor: String,
    /// The version of Verge.
    pub verge: String,
    /// The version of ONNX Runtime.
    pub onnxruntime: String,
    /// What was measured, in percent, ms or bytes, as the name says.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub figures: BTreeMap<String, f64>,
    /// Lower and upper bounds of some of it.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub bounds: BTreeMap<String, [f64; 2]>,
}

/// In place of a kind of processor: the weights are the same for all.
pub const ANY_PROCESSOR: &str = "any";

impl Provenance {
    /// What cannot be.
    pub(super) fn fault(&self) -> Option<Wrong> {
        let is_digest = |text: &str| text.len() == 64 && text.bytes().all(|digit| digit.is_ascii_hexdigit());
        if self.command.is_empty() {
            return Some(("made.command", "the command that made the file"));
        }
        if !is_digest(&self.source_sha256) {
            return Some(("made.source_sha256", "64 hexadecimal digits"));
        }
        if self.pictures_sha256.as_deref().is_some_and(|text| !is_digest(text)) {
            return Some(("made.pictures_sha256", "64 hexadecimal digits"));
        }
        if self.processor != ANY_PROCESSOR && ProcessorClass::named(&self.processor).is_none() {
            return Some(("made.processor", "x86, x86-vnni, arm, other or any"));
        }
        let numbers = self.figures.values().chain(self.bounds.values().flatten());
        if numbers.into_iter().any(|number| !number.is_finite()) {
            return Some(("made.figures", "finite numbers"));
        }
        None
    }

    /// The table as it stands in a card.
    #[must_use]
    pub fn table(&self) -> String {
        let mut text = format!("[made]\ncommand = {}\n", quoted(&self.command));
        let mut line = |key: &str, value: String| text.push_str(&format!("{key} = {value}\n"));
        line("source_sha256", quoted(&self.source_sha256));
        line("pictures", self.pictures.to_string());
        if let Some(digest) = &self.pictures_sha256 {
            line("pictures_sha256", quoted(digest));
        }
        line("processor", quoted(&self.processor));
        line("verge", quoted(&self.verge));
        line("onnxruntime", quoted(&self.onnxruntime));
        for (name, number) in &self.figures {
            line(&format!("figures.{}", quoted(name)), format!("{number:?}"));
        }
        for (name, [low, high]) in &self.bounds {
            line(&format!("bounds.{}", quoted(name)), format!("[{low:?}, {high:?}]"));
        }
        text
    }

    /// In a line, for people.
    #[must_use]
    pub fn words(&self) -> String {
        let figures: Vec<String> = self
            .figures
            .iter()
            .map(|(name, number)| match self.bounds.get(name) {
                Some([low, high]) => format!("{name} {number:.2} ({low:.2} to {high:.2})"),
                None => format!("{name} {number:.2}"),
            })
            .collect();
        let figures = if figures.is_empty() { String::new() } else { format!("; {}", figures.join(", ")) };
        let source = self.source_sha256.get(..12).unwrap_or_default();
        format!(
            "{} from {source}…, {} pictures, for {}, Verge {}, ONNX Runtime {}{figures}",
            self.command, self.pictures, self.processor, self.verge, self.onnxruntime
        )
    }

    /// Why its figures do not hold on this machine, where that is so. `runtime`: the version of the library in use.
    #[must_use]
    pub fn remark(&self, here: ProcessorClass, runtime: Option<&str>) -> Option<String> {
        let made_for = ProcessorClass::named(&self.processor);
        // Weights of 7 bits are right where products are added in 32 bits, too.
        let runs = self.processor == ANY_PROCESSOR
            || made_for == Some(here)
            || (made_for, here) == (Some(ProcessorClass::X86), ProcessorClass::X86Vnni);
        let processor = (!runs).then(|| {
            format!(
                "made for a processor of kind {}, and this one is {}: `verge model bench` says whether it runs right here",
                self.processor,
                here.as_str()
            )
        });
        // What is no full version (`libonnxruntime.so.1`) says nothing.
        let is_full = |version: &str| version.matches('.').count() == 2;
        let other = runtime.filter(|runtime| *runtime != self.onnxruntime && is_full(runtime));
        let library = other.filter(|_| is_full(&self.onnxruntime)).map(|runtime| {
            format!(
                "it was made with ONNX Runtime {}, this is {runtime}: measure it again with `verge model bench`",
                self.onnxruntime
            )
        });
        let remarks: Vec<String> = processor.into_iter().chain(library).collect();
        (!remarks.is_empty()).then(|| remarks.join("; "))
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::super::Card;
    use super::*;

    fn made() -> Provenance {
        Provenance {
            command: "quantize --for \"x86\"".to_owned(),
            source_sha256: "ab".repeat(32),
            pictures: 111,
            pictures_sha256: Some("cd".repeat(32)),
            processor: "x86".to_owned(),
            verge: "0.1.0".to_owned(),
            onnxruntime: "1.32.0".to_owned(),
            figures: BTreeMap::from([("top1 %".to_owned(), 87.4), ("cpu ms".to_owned(), 6.0)]),
            bounds: BTreeMap::from([("top1 %".to_owned(), [80.0, 92.5])]),
        }
    }

    fn card(made: &Provenance) -> Result<Card, String> {
        let text = format!(
            "name = \"w\"\nversion = \"1\"\nfile = \"w.onnx\"\ntask = \"reconstruct\"\n{}",
            made.table()
        );
        Card::parse(&text, Path::new("w.toml")).map_err(|error| error.to_string())
    }

    #[test]
    fn a_table_that_is_written_is_read() {
        assert_eq!(card(&made()).unwrap().made, Some(made()));
        let plain =
            Provenance { figures: BTreeMap::new(), bounds: BTreeMap::new(), pictures_sha256: None, ..made() };
        assert_eq!(card(&plain).unwrap().made, Some(plain));
        assert!(made().words().contains("top1 % 87.40 (80.00 to 92.50)"), "{}", made().words());
        let report = serde_json::to_string(&made()).unwrap();
        assert_eq!(serde_json::from_str::<Provenance>(&report).unwrap(), made());
    }

    #[test]
    fn what_cannot_be_names_its_line() {
        let check = |made: Provenance, part: &str| {
            let error = card(&made).unwrap_err();
            assert!(error.contains(part), "{error}");
        };
        check(Provenance { source_sha256: "ab".to_owned(), ..made() }, "made.source_sha256");
        check(Provenance { processor: "vax".to_owned(), ..made() }, "made.processor");
        let same = Provenance { processor: ANY_PROCESSOR.to_owned(), ..made() };
        assert!(same.fault().is_none() && same.remark(ProcessorClass::Other, None).is_none());
        check(Provenance { command: String::new(), ..made() }, "made.command");
        check(
            Provenance { figures: BTreeMap::from([("x".to_owned(), f64::INFINITY)]), ..made() },
            "made.figures",
        );
    }

    #[test]
    fn another_processor_is_remarked() {
        assert_eq!(made().remark(ProcessorClass::X86, None), None);
        assert_eq!(made().remark(ProcessorClass::X86Vnni, None), None, "7 bits run right there, too");
        assert!(made().remark(ProcessorClass::Arm, None).unwrap().contains("this one is arm"));
        let wide = Provenance { processor: "x86-vnni".to_owned(), ..made() };
        assert!(wide.remark(ProcessorClass::X86, None).unwrap().contains("this one is x86"));
    }

    #[test]
    fn another_library_is_remarked() {
        let remark = |runtime| made().remark(ProcessorClass::X86, Some(runtime));
        assert_eq!((remark("1.32.0"), remark("1")), (None, None));
        assert!(remark("1.33.1").unwrap().contains("ONNX Runtime 1.32.0, this is 1.33.1"));
        let unknown = Provenance { onnxruntime: "unknown".to_owned(), ..made() };
        assert_eq!(unknown.remark(ProcessorClass::X86, Some("1.33.1")), None);
        let both = made().remark(ProcessorClass::Arm, Some("1.33.1")).unwrap();
        assert!(both.contains("this one is arm") && both.contains("this is 1.33.1"), "{both}");
    }
}
