//! Pictures with the objects in them, as YOLO writes them.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail, ensure};
use verge_models::gate::average_precision::{FoundObject, LabelledObject};
use verge_vision::detect::CandidateBox;

use crate::cli::pictures;

/// A picture and the objects in it, in shares of its sides.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct MarkedPicture {
    pub(crate) path: PathBuf,
    pub(crate) objects: Vec<(usize, [f64; 4])>,
}

/// An object in pixels of its picture.
pub(crate) fn truth((class, [x, y, w, h]): (usize, [f64; 4]), width: f64, height: f64) -> LabelledObject {
    LabelledObject { class, area: [(x - w / 2.0) * width, (y - h / 2.0) * height, w * width, h * height] }
}

/// What a detector found, as average precision takes it.
pub(crate) fn found(object: &CandidateBox) -> FoundObject {
    let [left, top, right, bottom] = object.corners.map(f64::from);
    FoundObject {
        class: object.label,
        area: [left, top, right - left, bottom - top],
        score: f64::from(object.score),
    }
}

/// Pictures of a folder, or of its folders, with the objects in each.
pub(crate) fn read(folder: &Path, classes: usize) -> anyhow::Result<Vec<MarkedPicture>> {
    let holds = |folder: &Path| folder.join("images").is_dir();
    let mut folders = vec![folder.to_owned()];
    if !holds(folder) {
        let cannot = || format!("cannot read the folder {}", folder.display());
        let entries = fs::read_dir(folder).with_context(cannot)?;
        folders =
            entries.map(|entry| Ok(entry.with_context(cannot)?.path())).collect::<anyhow::Result<_>>()?;
        folders.retain(|folder| holds(folder));
        folders.sort();
    }
    ensure!(!folders.is_empty(), "{} holds no folder images", folder.display());
    let mut found = Vec::new();
    for folder in folders {
        for path in pictures::find(&folder.join("images"))? {
            let name = path.with_extension("txt");
            let labels = folder.join("labels").join(name.file_name().unwrap_or_default());
            let objects = match fs::read_to_string(&labels) {
                Ok(text) => objects(&text, classes).with_context(|| labels.display().to_string())?,
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => Vec::new(),
                Err(error) => return Err(error).with_context(|| labels.display().to_string()),
            };
            found.push(MarkedPicture { path, objects });
        }
    }
    Ok(found)
}

fn objects(text: &str, classes: usize) -> anyhow::Result<Vec<(usize, [f64; 4])>> {
    let lines = text.lines().zip(1..).filter(|(line, _)| !line.trim().is_empty());
    lines
        .map(|(line, number)| {
            let fields: Vec<&str> = line.split_whitespace().collect();
            let [class, area @ ..] = &fields[..] else { bail!("line {number} is empty") };
            let class = class.parse::<usize>().ok().filter(|class| *class < classes);
            let class =
                class.with_context(|| format!("line {number}: its class is none of 0 to {}", classes - 1))?;
            let area: Option<Vec<f64>> = area.iter().map(|field| field.parse().ok()).collect();
            match area.as_deref() {
                Some(&[x, y, w, h]) if [x, y, w, h].iter().all(|share| share.is_finite()) => {
                    Ok((class, [x, y, w, h]))
                }
                _ => bail!("line {number}: expected a class and four numbers"),
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_read_or_refused_by_line() {
        assert_eq!(objects("1 0.5 0.5 0.2 0.1\n\n", 2).unwrap(), [(1, [0.5, 0.5, 0.2, 0.1])]);
        let check = |text: &str, expected: &str| {
            let error = objects(text, 2).unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        };
        check("2 0.5 0.5 0.2 0.1", "line 1: its class is none of 0 to 1");
        check("0 0.5 0.5 0.2 0.1\nx 0 0 0 0", "line 2: its class");
        check("0 0.5 0.5 0.2", "line 1: expected a class and four numbers");
        check("0 0.5 0.5 0.2 nan", "line 1: expected a class and four numbers");
    }
}
