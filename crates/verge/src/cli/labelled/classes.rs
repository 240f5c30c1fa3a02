//! Pictures with their classes: a table beside them, or a folder for each class.

use std::path::{Path, PathBuf};

use anyhow::{Context, bail, ensure};
use verge_domain::id::Label;

use crate::cli::pictures;

/// A picture and its class.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct ClassifiedPicture {
    pub(crate) path: PathBuf,
    pub(crate) name: String,
    pub(crate) class: usize,
}

/// Pictures of a folder with the class of each: by `labels.csv`, or by the folders that they lie in.
pub(crate) fn read(folder: &Path, labels: &[Label]) -> anyhow::Result<Vec<ClassifiedPicture>> {
    let table = folder.join("labels.csv");
    let found =
        if table.is_file() { read_table(folder, &table, labels)? } else { read_folders(folder, labels)? };
    ensure!(!found.is_empty(), "{} holds no labelled pictures", folder.display());
    Ok(found)
}

fn class_of(label: &str, labels: &[Label]) -> Option<usize> {
    labels.iter().position(|known| known.as_str() == label)
}

/// Rows whose picture is missing are skipped: a table may be of a larger set.
fn read_table(folder: &Path, table: &Path, labels: &[Label]) -> anyhow::Result<Vec<ClassifiedPicture>> {
    let mut reader = csv::ReaderBuilder::new().trim(csv::Trim::All).from_path(table)?;
    let header = reader.headers()?.clone();
    let column = |name: &str| header.iter().position(|known| known == name);
    let place = table.display();
    let file = column("file").with_context(|| format!("{place} has no column `file`"))?;
    let own_index = format!("class_index_{}", labels.len());
    let index = column(&own_index).or_else(|| column("class_index"));
    let label = column("label");
    let mut found = Vec::new();
    for record in reader.into_records() {
        let record = record?;
        let line = record.position().map_or(0, csv::Position::line);
        let field = |column: usize| record.get(column).unwrap_or_default();
        let class = match (index, label) {
            (Some(index), _) => field(index).parse().ok().filter(|class| *class < labels.len()),
            (None, Some(label)) => class_of(field(label), labels),
            (None, None) => bail!("{place} has none of the columns {own_index}, class_index, label"),
        };
        let class = class.with_context(|| format!("{place}, line {line}: no class of the model"))?;
        let name = field(file).to_owned();
        let path = folder.join("images").join(&name);
        if path.is_file() {
            found.push(ClassifiedPicture { path, name, class });
        }
    }
    Ok(found)
}

fn read_folders(folder: &Path, labels: &[Label]) -> anyhow::Result<Vec<ClassifiedPicture>> {
    let cannot = || format!("cannot read the folder {}", folder.display());
    let entries = std::fs::read_dir(folder).with_context(cannot)?;
    let paths =
        entries.map(|entry| Ok(entry.with_context(cannot)?.path())).collect::<anyhow::Result<Vec<_>>>()?;
    let mut folders: Vec<PathBuf> = paths.into_iter().filter(|path| path.is_dir()).collect();
    folders.sort();
    let mut found = Vec::new();
    for path in folders {
        let label = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let class = class_of(&label, labels)
            .with_context(|| format!("{}: the model has no label {label:?}", path.display()))?;
        for picture in pictures::find(&path)? {
            let name = format!("{label}/{}", picture.file_name().unwrap_or_default().to_string_lossy());
            found.push(ClassifiedPicture { path: picture, name, class });
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels() -> Vec<Label> {
        ["car", "truck"].map(|label| Label::new(label).unwrap()).to_vec()
    }

    #[test]
    fn a_table_names_the_class_by_index_or_label() {
        let check = |table: &str, expected: Result<&[usize], &str>| {
            let folder = tempfile::tempdir().unwrap();
            std::fs::create_dir(folder.path().join("images")).unwrap();
            for name in ["a.jpg", "b.jpg"] {
                std::fs::write(folder.path().join("images").join(name), "").unwrap();
            }
            std::fs::write(folder.path().join("labels.csv"), table).unwrap();
            let found = read(folder.path(), &labels());
            match (found, expected) {
                (Ok(found), Ok(classes)) => {
                    assert_eq!(found.iter().map(|one| one.class).collect::<Vec<_>>(), classes);
                }
                (Err(error), Err(words)) => assert!(format!("{error:#}").contains(words), "{error:#}"),
                (found, _) => panic!("{table}: {found:?}"),
            }
        };
        check("file,class_index_2,class_index_3\na.jpg,1,2\nb.jpg,0,1\nelsewhere.jpg,0,1\n", Ok(&[1, 0]));
        check("file,label\na.jpg,truck\n", Ok(&[1]));
        check("file,label\na.jpg,bus\n", Err("line 2: no class of the model"));
        check("file,class_index\na.jpg,2\n", Err("no class of the model"));
        check("name,class_index\na.jpg,2\n", Err("no column `file`"));
        check("file\na.jpg\n", Err("none of the columns"));
        check("file,label\nc.jpg,truck\n", Err("no labelled pictures"));
    }

    #[test]
    fn a_folder_per_class_will_do() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["truck/1.jpg", "truck/2.JPEG", "car/1.jpg", "car/notes.txt"] {
            let path = folder.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, "").unwrap();
        }
        let found = read(folder.path(), &labels()).unwrap();
        let kept: Vec<(&str, usize)> = found.iter().map(|one| (one.name.as_str(), one.class)).collect();
        assert_eq!(kept, [("car/1.jpg", 0), ("truck/1.jpg", 1), ("truck/2.JPEG", 1)]);
    }
}
