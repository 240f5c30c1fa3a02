//! Pictures whose classes people know: read from folders or a table, cleaned, and what of them says the same.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail, ensure};
use verge_domain::frame::EncodedFrame;
use verge_domain::id::DeviceId;
use verge_gateway::wiring;
use verge_models::head::groups::Groups;
use verge_vision::Picture;
use verge_vision::quality::PictureQuality;

use super::super::super::output::Progress;
use super::super::super::pictures::{self, PictureFiles, PictureLimits};
use super::super::super::say;

/// Pictures of one run at most.
const MOST: usize = 20_000;
/// Bits of 256 that differ at most between fingerprints of doubles, and of pictures that say the same.
const DOUBLE: u32 = 16;
const SAME: u32 = 40;
/// A picture with less than this part of the median sharpness of its class is blurred, each for its brightness: what is seen in
/// half the light has half the contrast.
const BLURRED: f64 = 0.1;
/// Beyond these a picture is reported as dark or bright.
const DARK: f64 = 16.0;
const BRIGHT: f64 = 239.0;
/// Files that are named in a message.
const NAMED: usize = 5;

/// A picture and its class, by name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Labelled {
    pub(super) path: PathBuf,
    /// Empty where nobody knows it.
    pub(super) class: String,
    /// Pictures of one place say the same: a folder within that of the class, or the column `group` of a table.
    pub(super) place: Option<String>,
}

/// A picture that was read.
pub(super) struct Read {
    pub(super) labelled: Labelled,
    pub(super) frame: EncodedFrame,
    pub(super) picture: Picture,
}

/// A picture that is kept; pixels are not.
#[derive(Debug, Clone)]
pub(super) struct Kept {
    pub(super) labelled: Labelled,
    quality: PictureQuality,
}

/// What was left out.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Dropped {
    pub(super) duplicate: Vec<PathBuf>,
    pub(super) damaged: Vec<PathBuf>,
    pub(super) blurred: Vec<PathBuf>,
}

/// Finds the labelled pictures of a folder.
pub(super) fn find(folder: &Path) -> anyhow::Result<Vec<Labelled>> {
    let table = folder.join("labels.csv");
    let found = if table.is_file() { of_table(folder, &table)? } else { of_folders(folder)? };
    ensure!(
        !found.is_empty(),
        "{} holds no labelled pictures: a folder of *.jpg for each class, or labels.csv with the columns file and label",
        folder.display()
    );
    ensure!(found.len() <= MOST, "{}: {} pictures, {MOST} at most", folder.display(), found.len());
    Ok(found)
}

fn listed(folder: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let cannot = || format!("cannot read the folder {}", folder.display());
    let entries = fs::read_dir(folder).with_context(cannot)?;
    let mut paths =
        entries.map(|entry| Ok(entry?.path())).collect::<std::io::Result<Vec<_>>>().with_context(cannot)?;
    paths.sort();
    Ok(paths)
}

fn of_folders(folder: &Path) -> anyhow::Result<Vec<Labelled>> {
    let mut found = Vec::new();
    for class in listed(folder)?.into_iter().filter(|path| path.is_dir()) {
        let name = class.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let mut open = vec![class.clone()];
        while let Some(inner) = open.pop() {
            let place = (inner != class).then(|| inner.display().to_string());
            for path in listed(&inner)? {
                if path.is_dir() {
                    open.push(path);
                } else if pictures::is_picture(&path) && pictures::is_there(&path) {
                    found.push(Labelled { path, class: name.clone(), place: place.clone() });
                }
            }
        }
    }
    Ok(found)
}

fn of_table(folder: &Path, table: &Path) -> anyhow::Result<Vec<Labelled>> {
    let mut reader = csv::ReaderBuilder::new().trim(csv::Trim::All).from_path(table)?;
    let header = reader.headers()?.clone();
    let column = |name: &str| header.iter().position(|known| known == name);
    let place = table.display();
    let file = column("file").with_context(|| format!("{place} has no column `file`"))?;
    let label = column("label").or_else(|| column("class"));
    let label = label.with_context(|| format!("{place} has no column `label`"))?;
    let group = column("group");
    let mut found = Vec::new();
    for record in reader.into_records() {
        let record = record?;
        let line = record.position().map_or(0, csv::Position::line);
        let (name, class) = (record.get(file).unwrap_or_default(), record.get(label).unwrap_or_default());
        ensure!(!class.is_empty(), "{place}, line {line}: no label");
        let paths = [folder.join(name), folder.join("images").join(name)];
        let Some(path) = paths.iter().find(|path| path.is_file()) else {
            bail!("{place}, line {line}: no picture {}", paths[0].display());
        };
        let group = group.and_then(|group| record.get(group)).filter(|group| !group.is_empty());
        // Each table numbers its own.
        let place = group.map(|group| format!("{place}/{group}"));
        found.push(Labelled { path: path.clone(), class: class.to_owned(), place });
    }
    Ok(found)
}

/// Reads pictures, one after the other. Doubles of any that `known` holds, and what is no picture, are left out and noted. Gives
/// what `each` makes of every picture that is kept.
pub(super) fn read<T>(
    all: &[Labelled],
    known: &mut Vec<Kept>,
    dropped: &mut Dropped,
    progress: &mut Progress,
    mut each: impl FnMut(&Read) -> anyhow::Result<T>,
) -> anyhow::Result<Vec<T>> {
    let mut files = PictureFiles::new(PictureLimits::default());
    let device = DeviceId::new("finetune").context("a constant")?;
    let mut made = Vec::new();
    for (number, labelled) in all.iter().enumerate() {
        progress.show(&format!("{number} of {} pictures", all.len()))?;
        let mut picture = Picture::within(wiring::picture_bytes(PictureLimits::default().max_pixels));
        let path = labelled.path.display();
        let frame = match files.read(&labelled.path, device.clone())? {
            Ok(frame) => frame,
            Err(reason) => {
                say(&format!("{path}: left out: no picture: {reason}"));
                dropped.damaged.push(labelled.path.clone());
                continue;
            }
        };
        if let Err(error) = picture.decode(&frame) {
            say(&format!("{path}: left out: {error}"));
            dropped.damaged.push(labelled.path.clone());
            continue;
        }
        let quality = PictureQuality::of(&picture);
        let double = known.iter().find(|one| one.quality.distance(&quality) <= DOUBLE);
        if let Some(double) = double {
            let are_known = !double.labelled.class.is_empty() && !labelled.class.is_empty();
            if are_known && double.labelled.class != labelled.class {
                let (other, class) = (double.labelled.path.display(), &double.labelled.class);
                say(&format!(
                    "{path}: left out: it shows what {other} shows, which is of the class {class:?}"
                ));
            }
            dropped.duplicate.push(labelled.path.clone());
            continue;
        }
        let read = Read { labelled: labelled.clone(), frame, picture };
        made.push(each(&read)?);
        known.push(Kept { labelled: read.labelled, quality });
    }
    progress.clear()?;
    Ok(made)
}

/// Which of the pictures are blurred, beside others of their class (`class_of` a place); those that are dark or bright are reported.
pub(super) fn blurred<'a>(kept: &[Kept], class_of: impl Fn(usize) -> &'a str) -> Vec<usize> {
    // Sharpness is a variance: it goes with the square of the light.
    let relative = |one: &Kept| one.quality.sharpness / one.quality.brightness.max(1.0).powi(2);
    let mut of_class: BTreeMap<&str, Vec<f64>> = BTreeMap::new();
    for (place, one) in kept.iter().enumerate() {
        of_class.entry(class_of(place)).or_default().push(relative(one));
    }
    for values in of_class.values_mut() {
        values.sort_by(f64::total_cmp);
    }
    let is_blurred = |place: usize| {
        let values = &of_class[class_of(place)];
        relative(&kept[place]) < BLURRED * values[values.len() / 2]
    };
    let of_light = |wanted: fn(f64) -> bool, what: &str| {
        let found = kept.iter().filter(|one| wanted(one.quality.brightness));
        let names: Vec<String> = found.map(|one| one.labelled.path.display().to_string()).collect();
        if !names.is_empty() {
            let shown = names.len().min(NAMED);
            say(&format!("{} {what}: {}", names.len(), names[..shown].join(", ")));
        }
    };
    of_light(|brightness| brightness < DARK, "hardly lit, used all the same");
    of_light(|brightness| brightness > BRIGHT, "nearly white, used all the same");
    (0..kept.len()).filter(|place| is_blurred(*place)).collect()
}

/// The group of each picture: near doubles, and those of one place.
pub(super) fn groups(kept: &[Kept]) -> Vec<usize> {
    let mut groups = Groups::alone(kept.len());
    let mut places: BTreeMap<&str, usize> = BTreeMap::new();
    for (member, one) in kept.iter().enumerate() {
        if let Some(place) = &one.labelled.place {
            match places.get(place.as_str()) {
                Some(first) => groups.join(*first, member),
                None => drop(places.insert(place, member)),
            }
        }
        for (other, before) in kept[..member].iter().enumerate() {
            if before.quality.distance(&one.quality) <= SAME {
                groups.join(other, member);
            }
        }
    }
    let mut of = vec![0; kept.len()];
    for (group, members) in groups.members().into_iter().enumerate() {
        members.into_iter().for_each(|member| of[member] = group);
    }
    of
}

/// The classes in order of their names, with how many pictures each has. A class needs two.
pub(super) fn classes(kept: &[Kept]) -> anyhow::Result<BTreeMap<String, usize>> {
    let mut counts = BTreeMap::new();
    for one in kept {
        *counts.entry(one.labelled.class.clone()).or_insert(0) += 1;
    }
    for (class, count) in &counts {
        ensure!(
            *count >= 2,
            "class {class:?} has one picture that can be used; each class needs two, and some 20 to be learnt"
        );
    }
    ensure!(counts.len() >= 2, "there is one class with pictures; a classifier tells two apart at least");
    Ok(counts)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(files: &[(&str, &str)]) -> anyhow::Result<Vec<(String, String, Option<String>)>> {
        let folder = tempfile::tempdir().unwrap();
        for (name, text) in files {
            let path = folder.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        let name = |path: &Path| path.file_name().unwrap().to_string_lossy().into_owned();
        let place = |place: String| name(Path::new(&place));
        let of = |one: Labelled| (name(&one.path), one.class, one.place.map(place));
        Ok(find(folder.path())?.into_iter().map(of).collect())
    }

    #[test]
    fn folders_and_tables_name_classes_and_places() {
        let text = |text: &str| text.to_owned();
        let folders = found(&[
            ("a/1.jpg", ""),
            ("a/x/2.JPEG", ""),
            ("b/3.jpg", ""),
            ("b/notes.txt", ""),
            ("4.jpg", ""),
        ]);
        let mut folders = folders.unwrap();
        folders.sort();
        let expected = [
            (text("1.jpg"), text("a"), None),
            (text("2.JPEG"), text("a"), Some(text("x"))),
            (text("3.jpg"), text("b"), None),
        ];
        assert_eq!(folders, expected);
        let table = "file,label,group\n1.jpg,a,left\n2.jpg,b,\n";
        let table = found(&[("labels.csv", table), ("images/1.jpg", ""), ("2.jpg", "")]).unwrap();
        let expected = [(text("1.jpg"), text("a"), Some(text("left"))), (text("2.jpg"), text("b"), None)];
        assert_eq!(table, expected);
        let check = |files: &[(&str, &str)], part: &str| {
            let error = format!("{:#}", found(files).unwrap_err());
            assert!(error.contains(part), "{error}");
        };
        check(&[("labels.csv", "file,label\n1.jpg,a\n")], "line 2: no picture");
        check(&[("labels.csv", "file,label\n1.jpg,\n"), ("1.jpg", "")], "line 2: no label");
        check(&[("labels.csv", "name,label\n")], "no column `file`");
        check(&[("labels.csv", "file,kind\n")], "no column `label`");
        check(&[("a/1.png", "")], "holds no labelled pictures");
    }
}
