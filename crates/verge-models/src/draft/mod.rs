//! A card that writes itself: drafted from what a file and the files beside it say. Each line names its source, and what
//! is guessed is marked.

mod anomalies;
mod classifiers;
mod families;
mod paddle;
mod preparation;
mod python;
mod sides;
mod yaml;

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use verge_engine::{ElementType, Graph, Port, shape_words};

use crate::error::ModelError;
use families::Family;
use preparation::Preparation;
use python::PythonValue;
use sides::SideFiles;

/// Where a line of a draft is from.
#[derive(Debug, Clone, PartialEq, Eq)]
enum LineSource {
    /// The model's file: what of it.
    File(&'static str),
    /// A file beside it, by its name.
    Beside(String),
    /// Nothing says so: what to look at.
    Guess(&'static str),
}

/// A drafted card.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CardDraft {
    /// The card.
    pub text: String,
    /// Lines that are guessed, by their keys.
    pub guessed: Vec<&'static str>,
}

/// Lines of a card as they are found.
struct Lines {
    text: String,
    guessed: Vec<&'static str>,
}

impl Lines {
    fn table(&mut self, name: &str) {
        self.push(format_args!("\n[{name}]"));
    }

    fn push(&mut self, line: std::fmt::Arguments<'_>) {
        writeln!(self.text, "{line}").expect("a String takes everything");
    }

    /// A key, its value as TOML, and where it is from.
    fn key(&mut self, key: &'static str, value: &str, source: &LineSource) {
        let line = format!("{key} = {value}");
        let from = match source {
            LineSource::File(what) => format!("from the file: {what}"),
            LineSource::Beside(name) => format!("from {name}"),
            LineSource::Guess(remark) => {
                self.guessed.push(key);
                format!("GUESS: {remark}")
            }
        };
        self.push(format_args!("{line:<34} # {from}"));
    }
}

/// What is known of a model before its family is.
struct Facts<'a> {
    graph: &'a Graph,
    picture: &'a Port,
    /// Its side is a channel: 1 or 3 of them, and whether they stand in front.
    channels: Option<(i64, bool)>,
    task: Option<&'a str>,
    names: Option<(Vec<String>, LineSource)>,
    /// Height and width.
    size: Option<[u32; 2]>,
    /// What states the size.
    size_source: LineSource,
}

impl Facts<'_> {
    fn metadata(&self, key: &str) -> Option<PythonValue> {
        self.graph.metadata(key).and_then(PythonValue::read)
    }

    fn is_set(&self, key: &str) -> bool {
        self.metadata(key) == Some(PythonValue::Truth(true))
    }

    fn classes(&self) -> Option<usize> {
        self.names.as_ref().map(|(names, _)| names.len())
    }
}

/// Drafts the card of a model over frames. `labels`: a file with the name of a class in each line.
///
/// # Errors
/// A file cannot be read, or the model takes no picture.
pub fn draft(graph: &Graph, labels: Option<&Path>) -> Result<CardDraft, ModelError> {
    let sides = SideFiles::beside(graph.path());
    let is_picture = |port: &&Port| matches!(port.sides().len(), 3 | 4);
    let mut pictures = graph.inputs().iter().filter(is_picture);
    let picture = pictures.next().ok_or_else(|| ModelError::NoPicture {
        path: graph.path().to_owned(),
        inputs: graph
            .inputs()
            .iter()
            .map(|port| format!("{:?} {}", port.name, port.described()))
            .collect::<Vec<_>>()
            .join(", "),
    })?;
    let names = match labels {
        Some(path) => Some((sides::labels(path)?, LineSource::Beside(path.display().to_string()))),
        None => None,
    };
    let of_file = || {
        let names = graph.metadata("names").and_then(PythonValue::read)?.names()?;
        Some((names, LineSource::File("metadata names")))
    };
    let of_outputs = || {
        let names = graph.outputs().iter().find_map(|port| graph.labels(&port.name))?;
        Some((names.to_vec(), LineSource::File("the labels of its output")))
    };
    let names = names.or_else(of_file).or_else(of_outputs).or_else(|| sides.names());
    let size = graph.metadata("imgsz").and_then(PythonValue::read).and_then(|value| match value {
        PythonValue::List(sizes) => Some([sizes.first()?.whole()?, sizes.get(1)?.whole()?]),
        one => Some([one.whole()?; 2]),
    });
    let of_metadata = LineSource::File("metadata imgsz");
    let (size, size_source) = match (size, sides.size()) {
        (None, Some((size, source))) => (Some(size), source),
        (size, _) => (size, of_metadata),
    };
    let channels = channels(picture.sides());
    let facts = Facts { graph, picture, channels, task: graph.metadata("task"), names, size, size_source };
    let families = families::of(&facts, &sides);
    Ok(written(&facts, &families, &sides))
}

/// Which side of a picture's shape is its channels, where one is: their number, and whether they stand in front.
fn channels(shape: &[i64]) -> Option<(i64, bool)> {
    let is = |side: &&i64| matches!(side, 1 | 3);
    let front = shape.get(shape.len().checked_sub(3)?).filter(is);
    let behind = shape.last().filter(is);
    front.map(|side| (*side, true)).or(behind.map(|side| (*side, false)))
}

fn written(facts: &Facts<'_>, families: &[Family], sides: &SideFiles) -> CardDraft {
    let graph = facts.graph;
    let mut lines = Lines { text: String::new(), guessed: Vec::new() };
    let file = graph.path().file_name().map(PathBuf::from).unwrap_or_default();
    let stem = file.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    let first = families.first();
    let task = first.map_or("detect", |family| family.task);
    lines.push(format_args!(
        "# Drafted by `verge model card`. Lines with GUESS are to be looked at; `verge check` holds"
    ));
    lines.push(format_args!(
        "# the card against the file, `verge judge --annotate` shows what it makes of a picture."
    ));
    let name: String = stem.chars().filter(|letter| !letter.is_control()).take(64).collect();
    lines.key("name", &quoted(&name), &LineSource::File("its name"));
    match graph.metadata("version").filter(|version| version.len() <= 128) {
        Some(version) => lines.key("version", &quoted(version), &LineSource::File("metadata version")),
        None => lines.key("version", "\"1\"", &LineSource::File("it states none")),
    }
    if let Some(licence) = graph.metadata("license") {
        lines.key("licence", &quoted(licence), &LineSource::File("metadata license"));
    }
    lines.key("file", &quoted(&file.to_string_lossy()), &LineSource::File("its name"));
    let source = first.map_or(LineSource::Guess("no usual family of outputs is recognised"), |family| {
        family.source.clone()
    });
    lines.key("task", &quoted(task), &source);
    if !matches!(task, "reconstruct" | "anomaly") {
        match &facts.names {
            Some((names, source)) => {
                let names: Vec<String> = names.iter().map(|name| quoted(name)).collect();
                lines.key("labels", &format!("[{}]", names.join(", ")), source);
            }
            None => lines.key(
                "labels",
                "\"labels.txt\"",
                &LineSource::Guess("nothing names the classes: write one a line, or use --labels FILE"),
            ),
        }
    }
    let prepared = first.map_or_else(Preparation::unknown, |family| family.preparation.clone());
    let usual_side = if task == "anomaly" { 256 } else { 640 };
    input(&mut lines, facts, &sides.prepared(prepared), usual_side);
    lines.table("output");
    if families.len() > 1 {
        lines.push(format_args!(
            "# More than one reading fits these outputs: keep one of the decoders below."
        ));
    }
    for (at, family) in families.iter().enumerate() {
        if at == 0 {
            lines.key("decoder", &quoted(family.decoder), &family.source);
            for (key, value) in &family.keys {
                lines.key(key, value, &family.source);
            }
        } else {
            lines.push(format_args!("#decoder = {}", quoted(family.decoder)));
            for (key, value) in &family.keys {
                lines.push(format_args!("#{key} = {value}"));
            }
        }
        if families.len() > 1 {
            lines.push(format_args!("#   {}", family.remark));
        }
    }
    if families.is_empty() {
        lines.key("decoder", "\"\"", &LineSource::Guess("see docs/models.md for the decoders"));
        for port in graph.outputs() {
            lines.push(format_args!("# output {:?} {}", port.name, port.described()));
        }
    }
    CardDraft { text: lines.text, guessed: lines.guessed }
}

fn input(lines: &mut Lines, facts: &Facts<'_>, prepared: &Preparation, usual_side: u32) {
    let (picture, declared) = (facts.picture, LineSource::File("its input"));
    lines.table("input");
    if facts.graph.inputs().len() > 1 {
        lines.key("name", &quoted(&picture.name), &declared);
    }
    match facts.channels {
        Some((_, is_front)) => lines.key("layout", if is_front { "\"nchw\"" } else { "\"nhwc\"" }, &declared),
        None => lines.key("layout", "\"nchw\"", &LineSource::Guess("the file leaves the channels free")),
    }
    match facts.channels {
        Some((1, _)) => lines.key("colour", "\"grey\"", &declared),
        _ => lines.key("colour", &quoted(prepared.colour), &prepared.source),
    }
    let element = match picture.element {
        Some(element @ (ElementType::F32 | ElementType::F16 | ElementType::U8 | ElementType::I8)) => {
            element.as_str()
        }
        _ => "f32",
    };
    lines.key("element", &quoted(element), &declared);
    let is_free = |side: &i64| *side < 0;
    let pixels = match facts.channels {
        Some((_, false)) => picture.sides().iter().rev().skip(1).take(2).any(is_free),
        _ => picture.sides().iter().rev().take(2).any(is_free),
    };
    match facts.size {
        Some([height, width]) if pixels => {
            lines.key("size", &format!("[{width}, {height}]"), &facts.size_source);
        }
        None if pixels => {
            let remark = "the file leaves its size free: the size it was trained with";
            lines.push(format_args!("# {} {}", picture.name, shape_words(picture.sides())));
            lines.key("size", &format!("[{usual_side}, {usual_side}]"), &LineSource::Guess(remark));
        }
        _ => {}
    }
    let is_grey = matches!(facts.channels, Some((1, _)));
    let is_real = !matches!(picture.element, Some(ElementType::U8 | ElementType::I8));
    for (key, value) in prepared.keys(facts.size, is_grey, is_real) {
        lines.key(key, &value, &prepared.source);
    }
}

/// A text as TOML writes it.
fn quoted(text: &str) -> String {
    let mut out = String::from("\"");
    for letter in text.chars() {
        match letter {
            '"' | '\\' => out.extend(['\\', letter]),
            letter if letter.is_control() => {
                write!(out, "\\u{:04X}", u32::from(letter)).expect("a String takes everything");
            }
            letter => out.push(letter),
        }
    }
    out.push('"');
    out
}
