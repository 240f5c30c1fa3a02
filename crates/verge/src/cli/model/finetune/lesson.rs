//! Pictures that a head learns from another model: those whose classes people know, and those that only the teacher has seen.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use anyhow::{Context, bail, ensure};
use verge_domain::frame::EncodedFrame;
use verge_engine::ContentDigest;
use verge_models::head::{Lesson, Samples};
use verge_vision::viewer::Inference;

use super::super::super::output::Progress;
use super::super::super::pictures;
use super::super::measure::{Subject, folders};
use super::command::{TRIED, UNKNOWN};
use super::data::{self, Dropped, Kept, Labelled};
use super::features::{Features, Taps};
use super::tried::said_by;

/// Pictures that a class has at least, by people or by the teacher.
const LEAST: usize = 2;
/// Classes at most: a head of more takes longer to learn than anyone waits.
const MOST_CLASSES: usize = 200;

/// Where pictures come from.
pub(super) struct Lessons<'a> {
    pub(super) data: &'a Path,
    pub(super) labels: Option<&'a Path>,
    /// Pictures without labels at most.
    pub(super) limit: usize,
}

/// All that is learnt from.
pub(super) struct Taught {
    pub(super) kept: Vec<Kept>,
    pub(super) classes: Vec<String>,
    pub(super) samples: Samples,
    pub(super) features: Features,
    pub(super) lesson: Lesson,
    /// Whether people know the class of each picture.
    pub(super) labelled: Vec<bool>,
    /// What the model as it was says of each, where it has the class that people know, or else that the teacher thinks most of.
    pub(super) old: Vec<Option<String>>,
    /// The class that the teacher thinks most of; nothing where that is none of those that are learnt.
    pub(super) teacher: Vec<Option<usize>>,
    pub(super) dropped: Dropped,
    /// Pictures that the teacher calls unknown, or of which it alone sees a class that hardly any other has: they teach nothing.
    pub(super) strange: usize,
    pub(super) digests: Vec<ContentDigest>,
    /// Some of them, as cameras send them.
    pub(super) frames: Vec<EncodedFrame>,
}

/// What was learnt of one picture.
struct Seen {
    rows: Vec<Vec<f32>>,
    old: Option<String>,
    /// Probabilities by the teacher's labels.
    said: Vec<f64>,
    digest: ContentDigest,
}

impl Lessons<'_> {
    /// Has the teacher look at all pictures.
    pub(super) fn read(
        &self,
        (old, teacher): (&mut Subject, &mut Subject),
        taps: &mut Taps,
        progress: &mut Progress,
    ) -> anyhow::Result<Taught> {
        let mut all = self.labels.map(data::find).transpose()?.unwrap_or_default();
        all.extend(self.unlabelled()?);
        let labels: Vec<String> = teacher.model.labels().iter().map(ToString::to_string).collect();
        let step = (all.len() / TRIED).max(1);
        let (mut kept, mut dropped, mut frames, mut number) = (Vec::new(), Dropped::default(), Vec::new(), 0);
        let mut seen = data::read(&all, &mut kept, &mut dropped, progress, |read| {
            if number % step == 0 && frames.len() < TRIED {
                frames.push(read.frame.clone());
            }
            number += 1;
            let name = || read.labelled.path.display().to_string();
            let said = probabilities(teacher, &read.frame).with_context(name)?;
            let class = class_of(&read.labelled.class, &labels, &said);
            Ok(Seen {
                rows: taps.read(&read.picture).with_context(name)?,
                old: class.map_or(Ok(None), |class| said_by(old, class, &read.frame))?,
                said,
                digest: ContentDigest::of(&read.frame.bytes),
            })
        })?;
        let class_of_place = |place: usize| {
            class_of(&kept[place].labelled.class, &labels, &seen[place].said).unwrap_or_default()
        };
        let blurred = data::blurred(&kept, class_of_place);
        dropped.blurred = blurred.iter().map(|place| kept[*place].labelled.path.clone()).collect();
        blurred.iter().rev().for_each(|place| {
            kept.remove(*place);
            seen.remove(*place);
        });
        let classes = self.classes(&labels, &kept, &seen)?;
        let place_of = |class: &str| classes.iter().position(|known| known == class);
        // Of each picture: what the teacher gives the classes, and the class that people know.
        let columns: Vec<Option<usize>> =
            classes.iter().map(|class| labels.iter().position(|label| label == class)).collect();
        let before = kept.len();
        let is_taught = |one: &Kept, said: &[f64]| {
            !one.labelled.class.is_empty()
                || best(&labels, said).is_some_and(|class| place_of(class).is_some())
        };
        let stays: Vec<bool> = kept.iter().zip(&seen).map(|(one, seen)| is_taught(one, &seen.said)).collect();
        let mut places = stays.iter();
        kept.retain(|_| places.next() == Some(&true));
        let mut places = stays.iter();
        seen.retain(|_| places.next() == Some(&true));
        let pictures: Vec<(Vec<f64>, Option<usize>)> = kept
            .iter()
            .zip(&seen)
            .map(|(one, seen)| {
                let said = columns.iter().map(|column| column.map_or(0.0, |column| seen.said[column]));
                (said.collect(), place_of(&one.labelled.class))
            })
            .collect();
        let lesson = Lesson::new(classes.len(), &pictures);
        let groups = data::groups(&kept);
        let apart = groups.iter().collect::<BTreeSet<_>>().len();
        ensure!(
            apart > 1,
            "{}: all {} pictures say the same (near doubles): nothing can be tested; take pictures of other parts, places or times",
            self.data.display(),
            kept.len()
        );
        let teacher = seen.iter().map(|one| best(&labels, &one.said).and_then(&place_of)).collect();
        let samples = Samples {
            classes: classes.len(),
            labels: lesson.labels(),
            groups,
            pictures: (0..kept.len()).map(|row| vec![row]).collect(),
        };
        Ok(Taught {
            labelled: kept.iter().map(|one| !one.labelled.class.is_empty()).collect(),
            old: seen.iter().map(|one| one.old.clone()).collect(),
            digests: seen.iter().map(|one| one.digest).collect(),
            features: Features::of(seen.into_iter().map(|one| one.rows).collect()),
            strange: before - kept.len(),
            kept,
            classes,
            samples,
            lesson,
            teacher,
            dropped,
            frames,
        })
    }

    /// Pictures whose classes nobody knows, evenly spread over all.
    fn unlabelled(&self) -> anyhow::Result<Vec<Labelled>> {
        let mut found = Vec::new();
        for folder in folders(self.data)? {
            found.extend(pictures::find(&folder)?);
        }
        let spread = self.limit.min(found.len());
        let one = |number: usize| Labelled {
            path: found[number * found.len() / spread].clone(),
            class: String::new(),
            place: None,
        };
        Ok((0..spread).map(one).collect())
    }

    /// The classes that are learnt: of people, and what the teacher sees more than once.
    fn classes(&self, labels: &[String], kept: &[Kept], seen: &[Seen]) -> anyhow::Result<Vec<String>> {
        let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
        for (one, seen) in kept.iter().zip(seen) {
            let class = class_of(&one.labelled.class, labels, &seen.said);
            class.into_iter().for_each(|class| *counts.entry(class).or_default() += 1);
        }
        let of_people: BTreeSet<&str> =
            kept.iter().map(|one| one.labelled.class.as_str()).filter(|class| !class.is_empty()).collect();
        counts.retain(|class, count| *count >= LEAST || of_people.contains(class));
        ensure!(
            counts.len() >= 2,
            "{}: the teacher sees {} in {} pictures; a classifier tells two classes apart at least, each in {LEAST} pictures",
            self.data.display(),
            match counts.keys().next() {
                Some(class) => format!("nothing but {class:?}"),
                None => "no class twice".to_owned(),
            },
            kept.len()
        );
        ensure!(
            counts.len() <= MOST_CLASSES,
            "{}: the teacher sees {} classes in these pictures, {MOST_CLASSES} at most are learnt: take pictures of what the small \
             model is for",
            self.data.display(),
            counts.len()
        );
        Ok(counts.into_keys().map(str::to_owned).collect())
    }
}

/// The class that people know, else what the teacher thinks most of.
fn class_of<'a>(known: &'a str, labels: &'a [String], said: &[f64]) -> Option<&'a str> {
    if known.is_empty() { best(labels, said) } else { Some(known) }
}

/// What the teacher thinks most of; nothing where that is none of its classes.
fn best<'a>(labels: &'a [String], said: &[f64]) -> Option<&'a str> {
    let label = labels.get(verge_models::head::matrix::greatest(said))?;
    (label != UNKNOWN).then_some(label)
}

/// What a model gives each of its labels.
fn probabilities(model: &mut Subject, frame: &EncodedFrame) -> anyhow::Result<Vec<f64>> {
    let (Inference::Classes(classes), _) = model.look(frame)? else { bail!("a classifier gives classes") };
    let mut said = vec![0.0; model.model.labels().len()];
    for class in classes {
        if let Some(said) = said.get_mut(class.label) {
            *said = f64::from(class.probability);
        }
    }
    Ok(said)
}
