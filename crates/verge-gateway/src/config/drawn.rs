//! What people draw in the dashboard: a second layer between the file and the environment, in the state folder. The operator's
//! file is never written.
//!
//! `[drawn."judge.NAME"]` says who drew the lines and zones of a judge, which take the place of all those in the file;
//! `[drawn."source.NAME"]` who drew masks of a source, which come beside those in the file: what that hides stays hidden.

use std::path::{Path, PathBuf};

use toml::de::DeTable;

use super::fault::Fault;
use super::origin::ValueOrigin;
use super::tree::{self, ConfigNode, Table, Value};
use super::walk::join;

/// Its file in the state folder.
pub const DRAWN_FILE: &str = "drawn.toml";
/// Larger files are none of ours.
const MAX_BYTES: usize = 4 << 20;
/// The table that says who drew what.
pub(crate) const DRAWN: &str = "drawn";

/// A section that people drew in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DrawnSection {
    /// The section, such as `judge.crossing`.
    pub section: String,
    /// Who drew it.
    pub by: String,
    /// When, as RFC 3339 says it.
    pub at: String,
    /// The keys that were drawn.
    pub keys: Vec<String>,
    /// The configuration has the section; else what was drawn has no effect.
    pub at_work: bool,
}

/// A layer over a file.
#[derive(Debug, Clone)]
pub(crate) struct DrawnLayer {
    pub(crate) path: PathBuf,
    pub(crate) bytes: Vec<u8>,
}

/// What is drawn in a state folder; `None` where nothing is.
///
/// # Errors
/// The fault of a file that cannot be read.
pub(super) fn read(state_dir: &Path) -> Result<Option<DrawnLayer>, Box<Fault>> {
    let path = state_dir.join(DRAWN_FILE);
    match std::fs::read(&path) {
        Ok(bytes) => Ok(Some(DrawnLayer { path, bytes })),
        Err(error) if is_absent(&error) && std::fs::symlink_metadata(&path).is_err() => Ok(None),
        Err(error) => Err(Box::new(unreadable(&path, &error.to_string()))),
    }
}

/// A state folder is the gateway's own: whoever may not enter it checks the file alone. A file that is there and cannot be read
/// may hold masks: it is not passed over.
fn is_absent(error: &std::io::Error) -> bool {
    use std::io::ErrorKind::{NotADirectory, NotFound, PermissionDenied};
    matches!(error.kind(), NotFound | NotADirectory | PermissionDenied)
}

fn unreadable(path: &Path, what: &str) -> Fault {
    let fault = Fault::new(path.display().to_string(), what, "lines, zones and masks that were drawn");
    fault.remedy("put an earlier version in its place: drawn.toml.1 beside it is the newest")
}

/// Lays it over the tree of a file.
pub(super) fn lay_over(file: &mut Table, layer: &DrawnLayer, faults: &mut Vec<Fault>) -> Vec<DrawnSection> {
    let text = std::str::from_utf8(&layer.bytes).ok().filter(|text| text.len() <= MAX_BYTES);
    let parsed = text.and_then(|text| Some(tree::read(text, DeTable::parse(text).ok()?.into_inner())));
    let Some(mut drawn) = parsed else {
        faults.push(unreadable(&layer.path, "no TOML"));
        return Vec::new();
    };
    let Some(Value::Table(sections)) = drawn.remove(DRAWN).map(|node| node.value) else { return Vec::new() };
    let section = |(section, node): (String, ConfigNode)| {
        let text = |key| node.table().and_then(|keys| keys.get(key)?.text()).unwrap_or("?").to_owned();
        let mut drawn_here =
            DrawnSection { section, by: text("by"), at: text("at"), keys: Vec::new(), at_work: false };
        drawn_here.lay_over(file, &drawn, (&layer.path, &mut *faults));
        drawn_here
    };
    sections.into_iter().map(section).collect()
}

impl DrawnSection {
    fn lay_over(&mut self, file: &mut Table, drawn: &Table, (path, faults): (&Path, &mut Vec<Fault>)) {
        let Some((kind, name)) = self.section.split_once('.') else { return };
        let section = join(kind, name);
        let within = |tree: &Table| tree.get(kind)?.table()?.get(name)?.table().cloned();
        let shapes = within(drawn).unwrap_or_default();
        let Some(Value::Table(named)) = file.get_mut(kind).map(|node| &mut node.value) else { return };
        let Some(Value::Table(own)) = named.get_mut(name).map(|node| &mut node.value) else { return };
        let origin = ValueOrigin::Drawn(format!("{}, drawn by {} at {}", path.display(), self.by, self.at));
        let is_track = own.get("detector").and_then(ConfigNode::text) == Some("track");
        match kind {
            "judge" if is_track => {
                for what in ["line", "zone"] {
                    own.remove(what);
                    let Some(node) = shapes.get(what) else { continue };
                    self.keys.extend(names_in(node).map(|name| join(&join(&section, what), name)));
                    own.insert(what.to_owned(), with_origin(node.clone(), &origin));
                }
            }
            "source" => {
                let empty = || Value::Table(Table::new()).into();
                let masks = own.entry("mask").or_insert_with(empty);
                let Value::Table(masks) = &mut masks.value else { return };
                let Some(drawn) = shapes.get("mask").and_then(ConfigNode::table) else { return };
                for (name, node) in drawn {
                    let key = join(&join(&section, "mask"), name);
                    match masks.get(name) {
                        None => {
                            self.keys.push(key);
                            masks.insert(name.clone(), with_origin(node.clone(), &origin));
                        }
                        Some(own) if says_the_same(own, node) => {}
                        Some(_) => faults.push(of_two_masks(key, &self.by, &self.at)),
                    }
                }
            }
            _ => return,
        }
        self.at_work = true;
    }
}

/// The one in the file would show what the other one hides.
fn of_two_masks(key: String, by: &str, at: &str) -> Fault {
    let expected = "another name: a mask that was drawn has this one";
    let fault = Fault::new(key, "a mask with other values", expected);
    fault.remedy(format!("give the mask in the file another name: {by} drew the other one at {at}"))
}

/// Whether two nodes hold the same, wherever they come from.
fn says_the_same(one: &ConfigNode, other: &ConfigNode) -> bool {
    let number = |node: &ConfigNode| match node.value {
        Value::Whole(number) => Some(number as f64),
        Value::Number(number) => Some(number),
        _ => None,
    };
    match (&one.value, &other.value) {
        (Value::Table(one), Value::Table(other)) => {
            one.len() == other.len()
                && one
                    .iter()
                    .all(|(key, node)| other.get(key).is_some_and(|other| says_the_same(node, other)))
        }
        (Value::List(one), Value::List(other)) => {
            one.len() == other.len() && one.iter().zip(other).all(|(one, other)| says_the_same(one, other))
        }
        (value, of_other) => match (number(one), number(other)) {
            (Some(one), Some(other)) => one == other,
            _ => value == of_other,
        },
    }
}

fn names_in(node: &ConfigNode) -> impl Iterator<Item = &String> {
    node.table().into_iter().flat_map(|table| table.keys())
}

fn with_origin(mut node: ConfigNode, origin: &ValueOrigin) -> ConfigNode {
    node.origin = origin.clone();
    node.value = match node.value {
        Value::Table(table) => {
            Value::Table(table.into_iter().map(|(key, node)| (key, with_origin(node, origin))).collect())
        }
        Value::List(items) => Value::List(items.into_iter().map(|item| with_origin(item, origin)).collect()),
        plain => plain,
    };
    node
}
